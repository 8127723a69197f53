package middleware_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/kit"
)

func problem(title string, status int, detail string) string {
	return `{"type":"about:blank","title":"` + title + `","status":` + strconv.Itoa(status) + `,"detail":"` + detail + `"}` + "\n"
}

const (
	bodyMissing     = "A bearer token is required."
	bodyRequest     = "The request must carry exactly one well-formed bearer token."
	bodyInvalid     = "The access token is not valid here."
	bodyExpired     = "The access token has expired."
	bodyInactive    = "The access token is no longer active."
	bodyScope       = "The access token does not have the required scope."
	bodyStepUp      = "A stronger or more recent authentication of the user is required."
	bodyClaims      = "The user has to satisfy the authentication context that claims asks for."
	bodyForbidden   = "The access token does not allow this request."
	bodyUnavailable = "The access token cannot be checked at the moment. Try again later."
	bodyBroken      = "The access token cannot be checked because of an error in this server."
)

func invalid(words string) string {
	return `Bearer realm="api", error="invalid_token", error_description="` + words + `"`
}

// The decision table, each row in full: what a client gets is compared byte for byte.
//
// req: R6750-05 R6750-06 R6750-07 R6750-08 R6750-09 R6750-10 R6750-13 R6750-14 R9470-01 R9470-02
func TestDecisionTable(t *testing.T) {
	type row struct {
		name      string
		verifier  bearergate.Verifier // default: accepts good with the scope read
		header    []string            // Authorization; default: good
		need      scope.Requirement   // default: read
		opts      []middleware.RouteOption
		kind      error
		reason    bearergate.Reason
		status    int
		challenge string
		detail    string
	}
	user := func(c bearergate.Claims) bearergate.Verifier { c.Scopes = scope.Of("read"); return accepts(c) }
	stepUp := func(acr []string, age time.Duration) []middleware.RouteOption {
		return []middleware.RouteOption{middleware.StepUp(acr, age)}
	}
	const weak = `Bearer realm="api", error="insufficient_user_authentication", error_description="` + bodyStepUp + `"`
	const claims = `Bearer realm="api", error="insufficient_claims", error_description="` + bodyClaims + `"`
	const narrow = `Bearer realm="api", error="insufficient_scope", error_description="` + bodyScope + `"`
	rows := []row{
		{name: "no credential", header: []string{}, kind: bearergate.ErrMissingToken, reason: bearergate.ReasonNoToken,
			status: 401, challenge: `Bearer realm="api"`, detail: bodyMissing},
		{name: "another scheme", header: []string{"Basic dTpw"}, kind: bearergate.ErrMissingToken, reason: bearergate.ReasonNoToken,
			status: 401, challenge: `Bearer realm="api"`, detail: bodyMissing},
		{name: "malformed", header: []string{"Bearer a b"}, kind: bearergate.ErrInvalidRequest, reason: bearergate.ReasonBadRequest,
			status: 400, challenge: `Bearer realm="api", error="invalid_request", error_description="` + bodyRequest + `"`, detail: bodyRequest},
		{name: "two credentials", header: []string{"Bearer " + good, "Bearer " + good}, kind: bearergate.ErrInvalidRequest, reason: bearergate.ReasonBadRequest,
			status: 400, challenge: `Bearer realm="api", error="invalid_request", error_description="` + bodyRequest + `"`, detail: bodyRequest},
		{name: "wrong scope", need: scope.All("orders:read", "read", "a'[]b"), kind: bearergate.ErrInsufficientScope, reason: bearergate.ReasonScope,
			status: 403, challenge: narrow + `, scope="orders:read read a'[]b"`, detail: bodyScope},
		{name: "wrong scope, nested", need: scope.AllOf(scope.Any("b", "a"), scope.All("c", "a")), kind: bearergate.ErrInsufficientScope, reason: bearergate.ReasonScope,
			status: 403, challenge: narrow + `, scope="b a c"`, detail: bodyScope},
		{name: "the verifier refuses for scope", verifier: answers(bearergate.ErrInsufficientScope),
			kind: bearergate.ErrInsufficientScope, reason: bearergate.ReasonScope,
			status: 403, challenge: narrow + `, scope="read"`, detail: bodyScope},
		{name: "the verifier refuses for scopes of its own", verifier: answers(&bearergate.Error{Kind: bearergate.ErrInsufficientScope, Scopes: []string{"tenant:7", "read", "bad scope", "\"", "ä", ""}}),
			kind: bearergate.ErrInsufficientScope, reason: bearergate.ReasonScope,
			status: 403, challenge: narrow + `, scope="read tenant:7"`, detail: bodyScope},
		{name: "weak", verifier: user(bearergate.Claims{ACR: "pwd"}), opts: stepUp([]string{"urn:x:gold", "urn:x:silver"}, 0),
			kind: bearergate.ErrInsufficientAuthentication, reason: bearergate.ReasonAuthentication,
			status: 401, challenge: weak + `, acr_values="urn:x:gold urn:x:silver"`, detail: bodyStepUp},
		{name: "old", verifier: user(bearergate.Claims{AuthTime: time.Unix(1, 0)}), opts: stepUp(nil, 90*time.Second+999*time.Millisecond),
			kind: bearergate.ErrInsufficientAuthentication, reason: bearergate.ReasonAuthentication,
			status: 401, challenge: weak + `, max_age="90"`, detail: bodyStepUp},
		{name: "no auth_time, good acr", verifier: user(bearergate.Claims{ACR: "mfa"}), opts: stepUp([]string{"mfa", "hw"}, time.Hour),
			kind: bearergate.ErrInsufficientAuthentication, reason: bearergate.ReasonAuthentication,
			status: 401, challenge: weak + `, acr_values="mfa hw", max_age="3600"`, detail: bodyStepUp},
		{name: "weak and wrong scope", need: scope.All("write", "read"), verifier: user(bearergate.Claims{}), opts: stepUp([]string{"mfa"}, 0),
			kind: bearergate.ErrInsufficientAuthentication, reason: bearergate.ReasonAuthentication,
			status: 401, challenge: weak + `, acr_values="mfa", scope="write read"`, detail: bodyStepUp},
		{name: "the verifier asks for a step-up", verifier: answers(&bearergate.Error{Kind: bearergate.ErrInsufficientAuthentication,
			ACRValues: []string{"a", "b c", "x\r\nSet-Cookie:y", "\"", "ü", "", "d"}, MaxAge: 2500 * time.Millisecond}),
			kind: bearergate.ErrInsufficientAuthentication, reason: bearergate.ReasonAuthentication,
			status: 401, challenge: weak + `, acr_values="a d", max_age="2"`, detail: bodyStepUp},
		{name: "the verifier asks for nonsense", verifier: answers(&bearergate.Error{Kind: bearergate.ErrInsufficientAuthentication, ACRValues: []string{"\x00"}, MaxAge: -time.Hour}),
			kind: bearergate.ErrInsufficientAuthentication, reason: bearergate.ReasonAuthentication,
			status: 401, challenge: weak, detail: bodyStepUp},
		{name: "an authentication context", verifier: user(bearergate.Claims{Raw: []byte(`{"acrs":["c2"]}`)}), opts: []middleware.RouteOption{middleware.AuthContext("c1")},
			kind: bearergate.ErrInsufficientAuthentication, reason: bearergate.ReasonAuthentication,
			status: 401, challenge: weak + `, acr_values="c1"`, detail: bodyStepUp},
		{name: "an authentication context, of a client with cp1", verifier: user(bearergate.Claims{Raw: []byte(`{"acrs":["c2"],"xms_cc":["cp1"]}`)}),
			opts: []middleware.RouteOption{middleware.AuthContext("c1")},
			kind: bearergate.ErrInsufficientAuthentication, reason: bearergate.ReasonAuthentication,
			status: 401, challenge: claims + `, claims="` + asksForC1 + `"`, detail: bodyClaims},
		{name: "an authentication context and more, of a client with cp1", verifier: user(bearergate.Claims{Raw: []byte(`{"xms_cc":["cp1"]}`)}),
			opts: []middleware.RouteOption{middleware.AuthContext("c1"), middleware.StepUp([]string{"mfa"}, time.Minute)}, need: scope.All("write"),
			kind: bearergate.ErrInsufficientAuthentication, reason: bearergate.ReasonAuthentication,
			status: 401, challenge: claims + `, claims="` + asksForC1 + `", acr_values="mfa", max_age="60", scope="write"`, detail: bodyClaims},
		{name: "the verifier challenges", verifier: answers(&bearergate.Error{Kind: bearergate.ErrInsufficientAuthentication, ClaimsChallenge: "e30="}),
			kind: bearergate.ErrInsufficientAuthentication, reason: bearergate.ReasonAuthentication,
			status: 401, challenge: claims + `, claims="e30="`, detail: bodyClaims},
		{name: "the verifier challenges with nonsense", verifier: answers(&bearergate.Error{Kind: bearergate.ErrInsufficientAuthentication, ClaimsChallenge: "e30=\r\nSet-Cookie: x=y"}),
			kind: bearergate.ErrInsufficientAuthentication, reason: bearergate.ReasonAuthentication,
			status: 401, challenge: weak, detail: bodyStepUp},
	}
	for _, reason := range []bearergate.Reason{
		bearergate.ReasonNotYetValid, bearergate.ReasonIssuer, bearergate.ReasonAudience, bearergate.ReasonType, bearergate.ReasonAlgorithm,
		bearergate.ReasonSignature, bearergate.ReasonUnknownKey, bearergate.ReasonMalformed, bearergate.ReasonTooLarge,
		bearergate.ReasonMissingClaim, bearergate.ReasonBinding, bearergate.ReasonPolicy,
		bearergate.ReasonProof, bearergate.ReasonReplay, bearergate.ReasonNonce, // under Bearer, nothing to speak of
	} {
		rows = append(rows, row{name: "invalid: " + string(reason), verifier: refuses(bearergate.ErrInvalidToken, reason),
			kind: bearergate.ErrInvalidToken, reason: reason, status: 401, challenge: invalid(bodyInvalid), detail: bodyInvalid})
	}
	rows = append(rows, row{name: "expired", verifier: refuses(bearergate.ErrInvalidToken, bearergate.ReasonExpired),
		kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonExpired, status: 401, challenge: invalid(bodyExpired), detail: bodyExpired})
	for _, reason := range []bearergate.Reason{bearergate.ReasonInactive, bearergate.ReasonRevoked} {
		rows = append(rows, row{name: "invalid: " + string(reason), verifier: refuses(bearergate.ErrInvalidToken, reason),
			kind: bearergate.ErrInvalidToken, reason: reason, status: 401, challenge: invalid(bodyInactive), detail: bodyInactive})
	}
	for _, reason := range []bearergate.Reason{bearergate.ReasonKeysUnavailable, bearergate.ReasonIntrospectionUnavailable,
		bearergate.ReasonOverloaded, bearergate.ReasonStoreUnavailable, bearergate.ReasonInternal, bearergate.ReasonCanceled} {
		want := reason
		if reason == bearergate.ReasonInternal || reason == bearergate.ReasonCanceled { // by something else than the caller
			want = bearergate.ReasonStoreUnavailable
		}
		rows = append(rows, row{name: "unavailable: " + string(reason), verifier: refuses(bearergate.ErrUnavailable, reason),
			kind: bearergate.ErrUnavailable, reason: want, status: 503, detail: bodyUnavailable})
	}
	for _, reason := range []bearergate.Reason{bearergate.ReasonPolicy, bearergate.ReasonTenant, bearergate.ReasonRole, bearergate.ReasonActor} {
		rows = append(rows, row{name: "forbidden: " + string(reason), verifier: refuses(bearergate.ErrForbidden, reason),
			kind: bearergate.ErrForbidden, reason: reason, status: 403, detail: bodyForbidden})
	}
	for _, reason := range []bearergate.Reason{bearergate.ReasonInternal, bearergate.ReasonConfig} {
		rows = append(rows, row{name: "misconfigured: " + string(reason), verifier: refuses(bearergate.ErrMisconfigured, reason),
			kind: bearergate.ErrMisconfigured, reason: reason, status: 500, detail: bodyBroken})
	}
	rows = append(rows,
		row{name: "expired and a reason of its own making", verifier: answers(&bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: "s3cret"}),
			kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonPolicy, status: 401, challenge: invalid(bodyInvalid), detail: bodyInvalid},
		row{name: "a foreign error", verifier: answers(errors.New("s3cret")),
			kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonInternal, status: 500, detail: bodyBroken},
		row{name: "a broken requirement", need: scope.All("b\"ad"),
			kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonConfig, status: 500, detail: bodyBroken},
	)

	for _, row := range rows {
		for _, method := range []string{"GET", "HEAD", "POST", "OPTIONS"} {
			t.Run(row.name+"/"+method, func(t *testing.T) {
				if row.verifier == nil {
					row.verifier = accepts(reader)
				}
				if row.header == nil {
					row.header = []string{"Bearer " + good}
				}
				if row.need.Scopes() == nil && row.need.Err() == nil {
					row.need = scope.All("read")
				}
				absent := row
				if row.kind != bearergate.ErrMisconfigured || row.reason != bearergate.ReasonConfig || row.need.Err() == nil {
					// Without a token, the rest of the row does not show.
					absent.kind, absent.reason, absent.status = bearergate.ErrMissingToken, bearergate.ReasonNoToken, 401
					absent.challenge, absent.detail = `Bearer realm="api"`, bodyMissing
				}
				absent.header = nil
				for _, row := range append(rows[:0:0], row, absent) {
					// req: R9728-06
					for _, resource := range []string{"", "https://api.example.com/v1"} {
						events := &log{}
						gate := newGate(t, row.verifier, middleware.Config{Hooks: events.hooks(), Resource: resource})
						r := httptest.NewRequest(method, "/orders", nil)
						if row.header != nil {
							r.Header["Authorization"] = row.header
						}
						handlers := []http.Handler{gate.Require(row.need, row.opts...)(forbidden(t))}
						rt := gate.NewRouter()
						rt.Handle("/orders", row.need, forbidden(t), row.opts...)
						if h, err := rt.Handler(); err == nil {
							handlers = append(handlers, h)
						} else {
							require.Error(t, row.need.Err())
						}
						for _, h := range handlers {
							w := httptest.NewRecorder()
							h.ServeHTTP(w, r)

							want := http.Header{"Cache-Control": {"no-store"}, "Content-Type": {"application/problem+json"}}
							if row.challenge != "" {
								challenge := row.challenge
								if resource != "" {
									challenge += `, resource_metadata="https://api.example.com/.well-known/oauth-protected-resource/v1"`
								}
								want["Www-Authenticate"] = []string{challenge}
							}
							if row.status == 503 {
								seconds, err := strconv.Atoi(w.Header().Get("Retry-After"))
								require.NoError(t, err)
								require.GreaterOrEqual(t, seconds, 5)
								require.LessOrEqual(t, seconds, 7)
								want["Retry-After"] = w.Header()["Retry-After"]
							}
							require.Equal(t, row.status, w.Code)
							require.Equal(t, want, w.Header())
							body := problem(http.StatusText(row.status), row.status, row.detail)
							require.True(t, json.Valid([]byte(body)))
							if method == "HEAD" {
								body = ""
							}
							require.Equal(t, body, w.Body.String())

							e := events.only(t)
							requireError(t, e.Err, row.kind, row.reason)
							require.Equal(t, row.reason, e.Reason)
							require.False(t, e.ReportOnly)
							source := middleware.Source("")
							if row.kind != bearergate.ErrMissingToken && row.kind != bearergate.ErrInvalidRequest && row.need.Err() == nil {
								source = middleware.SourceHeader
							}
							require.Equal(t, source, e.Source)
						}
						refused(t, gate, r, row.need, row.kind, row.reason, row.opts...)
					}
				}
			})
		}
	}
}

// A hook writes the body, and nothing but the body.
func TestRender(t *testing.T) {
	var panics []bearergate.PanicEvent
	var got middleware.Refusal
	page := "<p>Sorry.</p>"
	newRenderGate := func(v bearergate.Verifier, render func(*http.Request, middleware.Refusal) (string, []byte)) *middleware.Gate {
		panics, got = nil, middleware.Refusal{}
		return newGate(t, v, middleware.Config{Render: render, Hooks: middleware.Hooks{Panicked: func(_ context.Context, e bearergate.PanicEvent) { panics = append(panics, e) }}})
	}
	html := func(r *http.Request, refusal middleware.Refusal) (string, []byte) {
		got = refusal
		if !strings.Contains(r.Header.Get("Accept"), "text/html") {
			return "", nil
		}
		return "text/html; charset=utf-8", []byte(page)
	}
	const fixed = `Bearer realm="api", error="insufficient_scope", error_description="` + bodyScope + `", scope="write"`

	gate := newRenderGate(accepts(reader), html)
	for _, accept := range []string{"text/html", "application/json"} {
		for _, method := range []string{"GET", "HEAD"} {
			r := bearer(method, good)
			r.Header.Set("Accept", accept)
			w := httptest.NewRecorder()
			gate.Require(scope.All("write"))(forbidden(t)).ServeHTTP(w, r)
			contentType, body := "text/html; charset=utf-8", page
			if accept != "text/html" {
				contentType, body = "application/problem+json", problem("Forbidden", 403, bodyScope)
			}
			if method == "HEAD" {
				body = ""
			}
			require.Equal(t, 403, w.Code)
			require.Equal(t, http.Header{"Cache-Control": {"no-store"}, "Content-Type": {contentType}, "Www-Authenticate": {fixed}}, w.Header())
			require.Equal(t, body, w.Body.String())
			require.Equal(t, middleware.Refusal{Status: 403, Code: "insufficient_scope", Name: "INSUFFICIENT_SCOPE", Detail: bodyScope, Err: got.Err}, got)
			require.Equal(t, bearergate.ErrInsufficientScope, got.Err.Kind)
			require.Equal(t, []string{"write"}, got.Err.Scopes)
		}
	}
	require.Empty(t, panics)

	for name, render := range map[string]func(*http.Request, middleware.Refusal) (string, []byte){
		"no type":     func(*http.Request, middleware.Refusal) (string, []byte) { return "", []byte("x") },
		"no body":     func(*http.Request, middleware.Refusal) (string, []byte) { return "text/html", nil },
		"a line feed": func(*http.Request, middleware.Refusal) (string, []byte) { return "text/html\r\nX-Y: z", []byte("x") },
		"not ASCII":   func(*http.Request, middleware.Refusal) (string, []byte) { return "text/ä", []byte("x") },
		"a change": func(_ *http.Request, refusal middleware.Refusal) (string, []byte) {
			refusal.Status, refusal.Code, refusal.Err.Kind = 200, "", nil
			refusal.Err.Scopes[0] = "changed"
			return "", nil
		},
	} {
		gate := newRenderGate(accepts(reader), render)
		w := httptest.NewRecorder()
		gate.Require(scope.All("write"))(forbidden(t)).ServeHTTP(w, bearer("GET", good))
		require.Equal(t, 403, w.Code, name)
		require.Equal(t, http.Header{"Cache-Control": {"no-store"}, "Content-Type": {"application/problem+json"}, "Www-Authenticate": {fixed}}, w.Header(), name)
		require.Equal(t, problem("Forbidden", 403, bodyScope), w.Body.String(), name)
		require.Empty(t, panics, name)
	}
	kit.EachPanic(t, "Render", func(t *testing.T, p kit.Panic, told func(context.Context, bearergate.PanicEvent)) error {
		gate := newGate(t, accepts(reader), middleware.Config{Hooks: middleware.Hooks{Panicked: told},
			Render: func(*http.Request, middleware.Refusal) (string, []byte) { p.Do(); return "text/plain", nil }})
		w := httptest.NewRecorder()
		gate.Require(scope.All("write"))(forbidden(t)).ServeHTTP(w, bearer("GET", good))
		require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
		require.Equal(t, problem("Forbidden", 403, bodyScope), w.Body.String())
		return nil
	})

	// Nobody has to be told of a panic.
	refused := httptest.NewRecorder()
	newGate(t, accepts(reader), middleware.Config{Render: func(*http.Request, middleware.Refusal) (string, []byte) { panic("boom") }}).
		Require(scope.All("write"))(forbidden(t)).ServeHTTP(refused, bearer("GET", good))
	require.Equal(t, problem("Forbidden", 403, bodyScope), refused.Body.String())

	// What the verifier keeps is not changed either.
	shared := &bearergate.Error{Kind: bearergate.ErrInsufficientScope, Reason: bearergate.ReasonScope, Scopes: []string{"a"}, ACRValues: []string{"b"}}
	gate = newRenderGate(answers(shared), func(_ *http.Request, refusal middleware.Refusal) (string, []byte) {
		refusal.Err.Scopes[0], refusal.Err.ACRValues[0] = "x", "x"
		return "text/plain", []byte{}
	})
	w := httptest.NewRecorder()
	gate.Require(scope.All("write"))(forbidden(t)).ServeHTTP(w, bearer("GET", good))
	require.Equal(t, []string{"a", "b"}, []string{shared.Scopes[0], shared.ACRValues[0]})
	require.Equal(t, "text/plain", w.Header().Get("Content-Type"), "an empty body is one")
	require.Zero(t, w.Body.Len())
}

func TestTheAnswerIsTheGates(t *testing.T) {
	gate := newGate(t, refuses(bearergate.ErrUnavailable, bearergate.ReasonOverloaded), middleware.Config{})
	w := httptest.NewRecorder()
	w.Header().Set("WWW-Authenticate", "Basic")
	w.Header().Set("Content-Length", "7")
	w.Header().Set("Cache-Control", "public, max-age=3600")
	w.Header().Set("Access-Control-Expose-Headers", "WWW-Authenticate")
	gate.Require(scope.All("read"))(forbidden(t)).ServeHTTP(w, bearer("GET", good))
	require.Empty(t, w.Header().Values("WWW-Authenticate"))
	require.Empty(t, w.Header().Values("Content-Length"))
	require.Equal(t, []string{"no-store"}, w.Header().Values("Cache-Control"))
	require.Equal(t, "WWW-Authenticate", w.Header().Get("Access-Control-Expose-Headers"))
}

func TestRealm(t *testing.T) {
	gate := newGate(t, accepts(reader), middleware.Config{Realm: "orders & more, 'v2'"})
	w := httptest.NewRecorder()
	gate.Require(scope.All("read"))(forbidden(t)).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	require.Equal(t, `Bearer realm="orders & more, 'v2'"`, w.Header().Get("WWW-Authenticate"))
	require.Equal(t, "api", middleware.DefaultRealm)
}

func TestRetryAfter(t *testing.T) {
	for _, tc := range []struct {
		asked    time.Duration
		from, to int
	}{
		{0, 5, 7}, {-time.Hour, 5, 7}, {1, 1, 2}, {time.Second, 1, 2}, {1001 * time.Millisecond, 2, 3},
		{10 * time.Second, 10, 13}, {30 * time.Second, 30, 38}, {50 * time.Second, 47, 60},
		{time.Minute, 44, 60}, {time.Hour, 44, 60}, {1<<63 - 1, 44, 60},
	} {
		gate := newGate(t, answers(&bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonOverloaded, RetryAfter: tc.asked}), middleware.Config{})
		h := gate.Require(scope.All("read"))(forbidden(t))
		seen := map[int]bool{}
		for range 2000 {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, bearer("GET", good))
			seconds, err := strconv.Atoi(w.Header().Get("Retry-After"))
			require.NoError(t, err)
			seen[seconds] = true
		}
		for seconds := tc.from; seconds <= tc.to; seconds++ {
			require.True(t, seen[seconds], "%v: never %d", tc.asked, seconds)
			delete(seen, seconds)
		}
		require.Empty(t, seen, "%v", tc.asked)
	}
}

// Nothing of the request comes back, wherever the odd bytes are.
func TestNothingIsReflected(t *testing.T) {
	const mark = "zq7x"
	odd := []string{mark, mark + `"`, mark + `\"`, mark + `", error="` + mark, mark + "<script>", mark + "\x00", mark + "\r\nX-" + mark + ": " + mark, "\u00e4" + mark, mark + "\x7f", mark + "%0d%0a"}
	gates := map[string]bearergate.Verifier{
		"a careless verifier": bearergate.VerifierFunc(func(_ context.Context, raw string) (*bearergate.Token, error) {
			return nil, &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.Reason(raw), Cause: errors.New(raw)}
		}),
		"a careless outage": bearergate.VerifierFunc(func(_ context.Context, raw string) (*bearergate.Token, error) {
			return nil, &bearergate.Error{Kind: bearergate.ErrUnavailable, Cause: errors.New(raw)}
		}),
		"a foreign error": bearergate.VerifierFunc(func(_ context.Context, raw string) (*bearergate.Token, error) { return nil, errors.New(raw) }),
		"a panic":         bearergate.VerifierFunc(func(_ context.Context, raw string) (*bearergate.Token, error) { panic(raw) }),
		"a weak token": bearergate.VerifierFunc(func(_ context.Context, raw string) (*bearergate.Token, error) {
			return bearergate.NewToken(bearergate.Claims{Issuer: raw, Subject: raw, ClientID: raw, ID: raw, ACR: raw, Scopes: scope.Of(raw), Audience: []string{raw}}), nil
		}),
	}
	for name, v := range gates {
		for _, o := range odd {
			for _, carrier := range []string{"header", "extract"} {
				c := middleware.Config{}
				if carrier == "extract" {
					c.Extract = func(*http.Request) (bearergate.Credentials, error) { return sent(o), nil }
				}
				gate := newGate(t, v, c)
				r := httptest.NewRequest("POST", "/", strings.NewReader(o))
				r.Method = o
				r.URL.Path, r.URL.RawQuery, r.Host, r.RequestURI, r.RemoteAddr, r.Pattern = "/"+o, "access_token="+o, o, o, o, o
				for _, h := range []string{"Authorization", "Cookie", "Origin", "X-Forwarded-For", "X-Request-Id", "Www-Authenticate", "Content-Type", "Accept", o} {
					r.Header[h] = []string{o}
				}
				for _, authorization := range []string{o, "Bearer " + o, "Bearer " + mark, "Basic " + o, "Bearer " + mark + ", Bearer " + mark} {
					r.Header["Authorization"] = []string{authorization}
					for _, opts := range [][]middleware.RouteOption{nil, {middleware.StepUp([]string{"mfa"}, time.Minute)}} {
						w := httptest.NewRecorder()
						gate.Require(scope.All("read"), opts...)(forbidden(t)).ServeHTTP(w, r)
						res := w.Result()
						body, err := io.ReadAll(res.Body)
						require.NoError(t, err)
						require.GreaterOrEqual(t, res.StatusCode, 400)
						require.NotContains(t, string(body), mark, name)
						for header, values := range res.Header {
							require.NotContains(t, header+strings.Join(values, ""), mark, name)
						}
					}
				}
			}
		}
	}
}

// What explains a refusal to operators is not handed to who writes its body.
func TestRenderIsNotToldWhatOperatorsAre(t *testing.T) {
	full := (&bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonAudience, Detail: "d", Expected: "e", Found: `"<script>"`, Unsigned: true}).
		WithRefused(bearergate.NewToken(bearergate.Claims{Subject: "alice"}))
	events := &log{}
	var rendered bearergate.Error
	gate := newGate(t, answers(full), middleware.Config{Hooks: events.hooks(), Render: func(_ *http.Request, r middleware.Refusal) (string, []byte) {
		rendered = r.Err
		return "text/html", []byte(r.Err.Error())
	}})
	w := httptest.NewRecorder()
	gate.Require(scope.All("read"))(forbidden(t)).ServeHTTP(w, bearer("GET", good))
	require.Equal(t, bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonAudience}, rendered)
	require.NotContains(t, w.Body.String(), "script")
	require.Equal(t, `"<script>"`, bearergate.AsError(events.only(t).Err).Found, "the hook is told")
}
