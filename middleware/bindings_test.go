package middleware_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/issuers"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/middleware/usage"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/bubble"
)

func bindings(b ...bearergate.Binding) []bearergate.Binding { return b }

// presents is a request with a scheme, the good token and, if it is not empty, a
// proof.
func presents(scheme bearergate.Scheme, proof string) *http.Request {
	r := httptest.NewRequest("GET", "/orders", nil)
	r.Header.Set("Authorization", string(scheme)+" "+good)
	if proof != "" {
		r.Header.Set("Proof", proof)
	}
	return r
}

func TestBindings(t *testing.T) {
	t.Setenv("GODEBUG", "panicnil=1") // as before Go 1.21: recover returns nil for panic(nil)
	custom := errors.New("certificate: s3cret")

	// None: every bound token is refused, one with an empty cnf as well.
	for _, c := range []bearergate.Claims{holder, boundBy()} {
		refused(t, newGate(t, accepts(c), middleware.Config{}), bearer("GET", good), scope.All("read"), bearergate.ErrInvalidToken, bearergate.ReasonBinding)
	}

	var typedNil *bearergate.Error
	type testCase struct {
		confirm confirm
		kind    error
		reason  bearergate.Reason
		status  int
	}
	for name, tc := range map[string]testCase{
		"any error": {
			confirm: fails(custom),
			kind:    bearergate.ErrInvalidToken,
			reason:  bearergate.ReasonBinding,
			status:  401,
		},
		"own sentinel": {
			confirm: fails(fmt.Errorf("x: %w", bearergate.ErrUnavailable)),
			kind:    bearergate.ErrUnavailable,
			reason:  bearergate.ReasonStoreUnavailable,
			status:  503,
		},
		"two sentinels": {
			confirm: fails(errors.Join(sentinels[0], sentinels[3])),
			kind:    bearergate.ErrInvalidToken,
			reason:  bearergate.ReasonBinding,
			status:  401,
		},
		"own Error": {
			confirm: fails(&bearergate.Error{Kind: bearergate.ErrInvalidRequest, Reason: bearergate.ReasonBadRequest}),
			kind:    bearergate.ErrInvalidRequest,
			reason:  bearergate.ReasonBadRequest,
			status:  400,
		},
		"a timeout of its own": {
			confirm: fails(fmt.Errorf("x: %w", context.DeadlineExceeded)),
			kind:    bearergate.ErrUnavailable,
			reason:  bearergate.ReasonStoreUnavailable,
			status:  503,
		},
		"a nil panic": {
			confirm: func(context.Context, bearergate.Call, *bearergate.Token) (bearergate.Reply, error) { panic(nil) },
			kind:    bearergate.ErrMisconfigured,
			reason:  bearergate.ReasonInternal,
			status:  500,
		},
		"a panic": {
			confirm: func(context.Context, bearergate.Call, *bearergate.Token) (bearergate.Reply, error) { panic(custom) },
			kind:    bearergate.ErrMisconfigured,
			reason:  bearergate.ReasonInternal,
			status:  500,
		},
		"a typed nil error": {
			confirm: fails(typedNil),
			kind:    bearergate.ErrMisconfigured,
			reason:  bearergate.ReasonInternal,
			status:  500,
		},
	} {
		t.Run(name, func(t *testing.T) {
			events := &log{}
			gate := newGate(t, accepts(holder), middleware.Config{Bindings: bindings(certificate(tc.confirm)), Hooks: events.hooks()})
			err := refused(t, gate, bearer("GET", good), scope.All("read"), tc.kind, tc.reason)
			require.Nil(t, events.only(t).Token, "who sent it is not known")
			if name == "any error" {
				require.ErrorIs(t, err, custom)
			}
			w := httptest.NewRecorder()
			gate.Require(scope.All("read"))(forbidden(t)).ServeHTTP(w, bearer("GET", good))
			require.Equal(t, tc.status, w.Code)
			require.NotContains(t, w.Body.String(), "s3cret")
		})
	}

	b := certificate(proven)
	gate := newGate(t, accepts(holder), middleware.Config{Bindings: bindings(b)})
	token, _, err := gate.Check(presents("Bearer", "good"), scope.All("read"))
	require.NoError(t, err)
	require.True(t, token.Proven())
	require.Equal(t, 1, b.asked)
	// The same token from another sender.
	refused(t, gate, presents("Bearer", "other"), scope.All("read"), bearergate.ErrInvalidToken, bearergate.ReasonBinding)

	// An unbound token is not asked about.
	never := certificate(fails(custom))
	_, _, err = newGate(t, accepts(reader), middleware.Config{Bindings: bindings(never)}).Check(bearer("GET", good), scope.All("read"))
	require.NoError(t, err)
	require.Zero(t, never.asked)
}

// The ways on which a token can come to a handler, all of them: a bound token is
// accepted on none without its proof, and with it on all. A handler takes an hour,
// and in that time a Recheck decides on.
func TestABoundTokenNeedsItsProofEverywhere(t *testing.T) {
	read := scope.All("read")
	for _, kind := range []struct {
		name   string
		claims bearergate.Claims
		scheme bearergate.Scheme
		new    func(confirm) *binding
	}{
		{name: "certificate", claims: holder, scheme: bearergate.SchemeBearer, new: certificate},
		{name: "DPoP", claims: boundBy("jkt"), scheme: bearergate.SchemeDPoP, new: dpop},
	} {
		for _, way := range []struct {
			name string
			wrap func(d *doors, h http.Handler) http.Handler
			open bool // the handler runs all the same, and is not told who called
			shut bool // a proof does not help: this is no way for bound tokens
		}{
			{name: "Require", wrap: func(d *doors, h http.Handler) http.Handler { return d.gate.Require(read)(h) }},
			{name: "Optional", wrap: func(d *doors, h http.Handler) http.Handler { return d.gate.Optional(read)(h) }},
			{name: "Bound", wrap: func(d *doors, h http.Handler) http.Handler { return d.gate.Require(read, middleware.Bound())(h) }},
			{name: "Router", wrap: func(d *doors, h http.Handler) http.Handler {
				rt := d.gate.NewRouter()
				rt.Handle("GET /orders", read, h)
				return built(t, rt)
			}},
			{name: "Router, any token", wrap: func(d *doors, h http.Handler) http.Handler {
				rt := d.gate.NewRouter()
				rt.Group("/orders", scope.Requirement{}).Authenticated("/", h)
				rt.Authenticated("/orders", h)
				return built(t, rt)
			}},
			{name: "Via", wrap: func(d *doors, h http.Handler) http.Handler {
				return d.elsewhere.Require(read, middleware.Via(d.verifier))(h)
			}},
			{name: "Optional, Via", wrap: func(d *doors, h http.Handler) http.Handler {
				return d.elsewhere.Optional(read, middleware.Via(d.verifier))(h)
			}},
			{name: "RequireLive", wrap: func(d *doors, h http.Handler) http.Handler {
				live, err := issuers.RequireLive(d.verifier, d.verifier)
				require.NoError(t, err)
				return d.elsewhere.Require(read, middleware.Via(live))(h)
			}},
			{name: "report only", open: true, wrap: func(d *doors, h http.Handler) http.Handler { return d.reporting.Require(read)(h) }},
			{name: "report only, Recheck", open: true, wrap: func(d *doors, h http.Handler) http.Handler {
				return d.reporting.Require(read, middleware.Recheck(time.Minute))(h)
			}},
			{name: "Recheck", wrap: func(d *doors, h http.Handler) http.Handler {
				return d.gate.Require(read, middleware.Recheck(time.Minute))(h)
			}},
			{name: "Recheck, Bound, Via", wrap: func(d *doors, h http.Handler) http.Handler {
				return d.elsewhere.Require(read, middleware.Recheck(time.Minute), middleware.Bound(), middleware.Via(d.verifier))(h)
			}},
			{name: "nested", wrap: func(d *doors, h http.Handler) http.Handler { return d.gate.Require(read)(d.gate.Require(read)(h)) }},
			{name: "nested, Recheck in both", wrap: func(d *doors, h http.Handler) http.Handler {
				recheck := middleware.Recheck(time.Minute)
				return d.gate.Require(read, recheck)(d.gate.Require(read, recheck)(h))
			}},
			{name: "nested in an open one", wrap: func(d *doors, h http.Handler) http.Handler {
				return d.reporting.Require(scope.Requirement{})(d.gate.Require(read)(h))
			}},
			{name: "Check", wrap: byHand(func(d *doors, r *http.Request) (*bearergate.Token, error) {
				token, _, err := d.gate.Check(r, read)
				return token, err
			})},
			{name: "Authenticate", wrap: byHand(func(d *doors, r *http.Request) (*bearergate.Token, error) {
				c, err := bearergate.ParseCredentials(r.Header["Authorization"], bearergate.SchemeBearer, bearergate.SchemeDPoP)
				if err != nil {
					return nil, err
				}
				token, _, err := bearergate.Authenticate(r.Context(), d.verifier, bearergate.Call{Credentials: c, Method: r.Method, Target: r.RequestURI, Header: r.Header.Values}, d.binding)
				return token, err
			})},
			{name: "Verify and Authorize", shut: true, wrap: byHand(func(d *doors, r *http.Request) (*bearergate.Token, error) {
				token, err := bearergate.Verify(r.Context(), d.verifier, good)
				if err == nil {
					err = token.Authorize(read)
				}
				return token, err
			})},
		} {
			for _, proof := range []string{"good", "wrong", ""} {
				t.Run(kind.name+"/"+way.name+"/proof "+proof, func(t *testing.T) {
					bubble.Test(t, func(t *testing.T) {
						d := newDoors(t, kind.claims, kind.new(proven))
						proves := proof == "good" && !way.shut
						ran := false
						h := way.wrap(d, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
							ran = true
							token, ok := bearergate.FromContext(r.Context())
							assert.Equal(t, proves, ok)
							assert.Equal(t, proves, token.Proven())
							time.Sleep(time.Hour)
							assert.NoError(t, r.Context().Err())
						}))
						w := httptest.NewRecorder()
						h.ServeHTTP(w, presents(kind.scheme, proof))
						require.Equal(t, proves || way.open, ran)
						if !ran {
							require.Equal(t, 401, w.Code)
						}
						if !way.shut {
							require.NotZero(t, d.binding.asked)
						}
						if proves {
							require.Equal(t, 1, d.binding.asked, "by one of all who decide")
						}
					})
				})
			}
		}
	}
}

// doors are gates for tokens of one kind, which all have one Binding.
type doors struct {
	verifier                   bearergate.Verifier
	binding                    *binding
	gate, reporting, elsewhere *middleware.Gate // elsewhere knows no token by itself
}

func newDoors(t testing.TB, c bearergate.Claims, b *binding) *doors {
	d := &doors{verifier: accepts(c), binding: b}
	config := middleware.Config{Bindings: bindings(b)}
	d.gate = newGate(t, d.verifier, config)
	d.elsewhere = newGate(t, answers(bearergate.ErrInvalidToken), config)
	config.InsecureReportOnly = true
	d.reporting = newGate(t, d.verifier, config)
	return d
}

// byHand wraps a handler in a decision that somebody makes without a handler.
func byHand(decide func(*doors, *http.Request) (*bearergate.Token, error)) func(*doors, http.Handler) http.Handler {
	return func(d *doors, h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			token, err := decide(d, r)
			if err != nil {
				w.WriteHeader(401)
				return
			}
			h.ServeHTTP(w, r.WithContext(bearergate.NewContext(r.Context(), token)))
		})
	}
}

// RFC 9449 §7.1: each scheme takes the tokens that belong to it.
// W2-140, W2-142, W2-153
// req: R9449-18 R9449-19 R9449-20
func TestSchemes(t *testing.T) {
	const wrong = `error="invalid_token", error_description="` + bodyInvalid + `"`
	for name, tc := range map[string]struct {
		claims     bearergate.Claims
		bindings   []bearergate.Binding
		scheme     bearergate.Scheme
		status     int
		challenges []string
	}{
		"unbound, Bearer": {claims: reader, bindings: bindings(dpop(proven)), scheme: "bearer", status: 200},
		"unbound, DPoP": {claims: reader, bindings: bindings(dpop(proven)), scheme: "DPoP", status: 401,
			challenges: []string{`DPoP realm="api", algs="ES256 EdDSA", ` + wrong, `Bearer realm="api"`}},
		"jkt, Bearer": {claims: boundBy("jkt"), bindings: bindings(dpop(proven)), scheme: "Bearer", status: 401,
			challenges: []string{`Bearer realm="api", ` + wrong, `DPoP realm="api", algs="ES256 EdDSA"`}},
		"jkt, DPoP": {claims: boundBy("jkt"), bindings: bindings(dpop(proven)), scheme: "dpop", status: 200},
		"certificate, DPoP": {claims: holder, bindings: bindings(certificate(proven), dpop(proven)), scheme: "DPoP", status: 401,
			challenges: []string{`DPoP realm="api", algs="ES256 EdDSA", ` + wrong, `Bearer realm="api"`}},
		"both, DPoP": {claims: boundBy("jkt", "x5t#S256"), bindings: bindings(certificate(proven), dpop(proven)), scheme: "DPoP", status: 200},
		"both, one":  {claims: boundBy("jkt", "x5t#S256"), bindings: bindings(dpop(proven)), scheme: "DPoP", status: 401, challenges: []string{`DPoP realm="api", algs="ES256 EdDSA", ` + wrong, `Bearer realm="api"`}},
		"both, neither": {claims: boundBy("jkt", "x5t#S256"), bindings: bindings(certificate(fails(errors.New("another one"))), dpop(proven)), scheme: "DPoP", status: 401,
			challenges: []string{`DPoP realm="api", algs="ES256 EdDSA", ` + wrong, `Bearer realm="api"`}},
		"W2-154 a member that nobody knows": {claims: boundBy("jkt", "x"), bindings: bindings(dpop(proven)), scheme: "DPoP", status: 401,
			challenges: []string{`DPoP realm="api", algs="ES256 EdDSA", ` + wrong, `Bearer realm="api"`}},
		"DPoP, alone": {claims: boundBy("jkt"), scheme: "DPoP", status: 401, challenges: []string{`Bearer realm="api"`}},
		"DPoP beside": {claims: reader, bindings: bindings(certificate(proven)), scheme: "DPoP", status: 401, challenges: []string{`Bearer realm="api"`}},
	} {
		t.Run(name, func(t *testing.T) {
			gate := newGate(t, accepts(tc.claims), middleware.Config{Bindings: tc.bindings})
			for _, wrap := range []func(scope.Requirement, ...middleware.RouteOption) func(http.Handler) http.Handler{gate.Require, gate.Optional} {
				w := httptest.NewRecorder()
				wrap(scope.All("read"))(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, presents(tc.scheme, "good"))
				require.Equal(t, tc.status, w.Code)
				require.Equal(t, tc.challenges, w.Header().Values("WWW-Authenticate"))
				if len(tc.challenges) == 1 {
					require.Equal(t, problem("Unauthorized", 401, bodyMissing), w.Body.String())
				}
			}
		})
	}
}

// One challenge for each scheme; the error stands in that of the one that was used, and
// in both where two were. W2-144, W2-149
// req: R9449-16 R9449-17 R9449-28..30
func TestChallengesOfSchemes(t *testing.T) {
	refuse := func(kind error, reason bearergate.Reason) confirm {
		return fails(&bearergate.Error{Kind: kind, Reason: reason})
	}
	const (
		bodyProof = "The DPoP proof is not valid here."
		bodyNonce = "The DPoP proof must have a nonce of this server."
		bare      = `Bearer realm="api"`
		offer     = `DPoP realm="api", algs="ES256 EdDSA"`
		request   = `, error="invalid_request", error_description="` + bodyRequest + `"`
	)
	both := []string{bare + request, offer + request}
	for name, tc := range map[string]struct {
		authorization []string
		confirm       confirm
		need          scope.Requirement
		status        int
		challenges    []string
		detail        string
	}{
		"W2-148 nothing": {status: 401, challenges: []string{bare, offer}, detail: bodyMissing},
		"W2-149 a bad token under Bearer": {authorization: []string{"Bearer bad"},
			status: 401, challenges: []string{bare + `, error="invalid_token", error_description="` + bodyInvalid + `"`, offer}, detail: bodyInvalid},
		"a bad token under DPoP": {authorization: []string{"DPoP bad"},
			status: 401, challenges: []string{offer + `, error="invalid_token", error_description="` + bodyInvalid + `"`, bare}, detail: bodyInvalid},
		"W2-150 wrong proof": {authorization: []string{"DPoP " + good}, confirm: refuse(bearergate.ErrInvalidToken, bearergate.ReasonProof),
			status: 401, challenges: []string{offer + `, error="invalid_dpop_proof", error_description="` + bodyProof + `"`, bare}, detail: bodyProof},
		"proof used before": {authorization: []string{"DPoP " + good}, confirm: refuse(bearergate.ErrInvalidToken, bearergate.ReasonReplay),
			status: 401, challenges: []string{offer + `, error="invalid_dpop_proof", error_description="` + bodyProof + `"`, bare}, detail: bodyProof},
		"no nonce": {authorization: []string{"dpop " + good}, confirm: refuse(bearergate.ErrInvalidToken, bearergate.ReasonNonce),
			status: 401, challenges: []string{offer + `, error="use_dpop_nonce", error_description="` + bodyNonce + `"`, bare}, detail: bodyNonce},
		"W2-151 wrong scope": {authorization: []string{"DPoP " + good}, confirm: fails(nil), need: scope.All("write"),
			status: 403, challenges: []string{offer + `, error="insufficient_scope", error_description="` + bodyScope + `", scope="write"`, bare}, detail: bodyScope},
		"malformed DPoP": {authorization: []string{"DPoP a b"},
			status: 400, challenges: []string{offer + `, error="invalid_request", error_description="` + bodyRequest + `"`, bare}, detail: bodyRequest},
		"malformed Bearer": {authorization: []string{"Bearer a b"},
			status: 400, challenges: []string{bare + `, error="invalid_request", error_description="` + bodyRequest + `"`, offer}, detail: bodyRequest},
		"W2-147, DPO-085 two": {authorization: []string{"Bearer " + good, "DPoP " + good}, status: 400, challenges: both, detail: bodyRequest},
		"two, DPoP first":     {authorization: []string{"DPoP " + good, "Bearer " + good}, status: 400, challenges: both, detail: bodyRequest},
		"two of DPoP":         {authorization: []string{"DPoP " + good, "DPoP " + good}, status: 400, challenges: both, detail: bodyRequest},
		"two of Bearer":       {authorization: []string{"Bearer " + good, "Bearer " + good}, status: 400, challenges: both, detail: bodyRequest},
		"DPoP and another":    {authorization: []string{"Basic dTpw", "DPoP " + good}, status: 400, challenges: both, detail: bodyRequest},
		"two of another":      {authorization: []string{"Basic dTpw", "Basic dTpw"}, status: 400, challenges: both, detail: bodyRequest},
		"another scheme":      {authorization: []string{"Basic dTpw"}, status: 401, challenges: []string{bare, offer}, detail: bodyMissing},
		"an outage": {authorization: []string{"DPoP " + good}, confirm: refuse(bearergate.ErrUnavailable, bearergate.ReasonStoreUnavailable),
			status: 503, detail: bodyUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.need.Scopes() == nil {
				tc.need = scope.All("read")
			}
			b := dpop(tc.confirm)
			gate := newGate(t, accepts(boundBy("jkt")), middleware.Config{Bindings: bindings(b)})
			r := httptest.NewRequest("GET", "/orders", nil)
			r.Header["Authorization"] = tc.authorization
			w := httptest.NewRecorder()
			w.Header().Set("WWW-Authenticate", "Basic")
			gate.Require(tc.need)(forbidden(t)).ServeHTTP(w, r)
			require.Equal(t, tc.status, w.Code)
			require.Equal(t, tc.challenges, w.Header().Values("WWW-Authenticate"))
			require.Equal(t, problem(http.StatusText(tc.status), tc.status, tc.detail), w.Body.String())
			// A proof is used up by the sender of the right token alone, and then whatever follows.
			asked := 0
			if tc.confirm != nil {
				asked = 1
			}
			require.Equal(t, asked, b.asked)
		})
	}
	// Under Bearer there is no DPoP proof to speak of.
	gate := newGate(t, accepts(holder), middleware.Config{Bindings: bindings(certificate(refuse(bearergate.ErrInvalidToken, bearergate.ReasonProof)))})
	w := httptest.NewRecorder()
	gate.Require(scope.All("read"))(forbidden(t)).ServeHTTP(w, bearer("GET", good))
	require.Equal(t, []string{invalid(bodyInvalid)}, w.Header().Values("WWW-Authenticate"))
}

// Several Bindings of one scheme share its challenge.
func TestParametersOfChallenges(t *testing.T) {
	gate := newGate(t, accepts(reader), middleware.Config{Resource: "https://h/", Bindings: bindings(
		&binding{scheme: "DPoP", members: []string{"x"}, challenge: map[string]string{"z": "1", "b": ""}}, dpop(proven),
		&binding{scheme: "Bearer", members: []string{"y"}, challenge: map[string]string{"x5": "2"}})})
	w := httptest.NewRecorder()
	gate.Require(scope.All("read"))(forbidden(t)).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	const metadata = `, resource_metadata="https://h/.well-known/oauth-protected-resource"`
	require.Equal(t, []string{`Bearer realm="api", x5="2"` + metadata, `DPoP realm="api", z="1", algs="ES256 EdDSA"` + metadata}, w.Header().Values("WWW-Authenticate"))
}

func TestRepliesOfBindings(t *testing.T) {
	reply := bearergate.Reply{"dpop-nonce": "n-1", "X-Bad": "a\r\nSet-Cookie: x=y", "X-Beyond": "ä", "X-Unit": "a\x1f", "X-Delete": "a\x7f", "X-Ends": " ~", "a b": "c", "": "d", "X:y": "e", "X\u00e4": "f", "X_9!": "g"}
	for _, answer := range []error{nil, &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonNonce}} {
		gate := newGate(t, accepts(boundBy("jkt")), middleware.Config{Bindings: bindings(dpop(
			func(context.Context, bearergate.Call, *bearergate.Token) (bearergate.Reply, error) {
				return reply, answer
			}))})
		w := httptest.NewRecorder()
		gate.Require(scope.All("read"))(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			assert.Equal(t, "n-1", w.Header().Get("DPoP-Nonce"), "before the handler runs")
		})).ServeHTTP(w, presents("DPoP", ""))
		require.Equal(t, []string{"n-1"}, w.Header().Values("DPoP-Nonce"))
		for _, name := range []string{"X-Bad", "X-Beyond", "X-Unit", "X-Delete", "Set-Cookie", "a b", "", "X:y", "X\u00e4"} {
			require.Empty(t, w.Header()[name], name)
		}
		require.Equal(t, "g", w.Header().Get("X_9!"))
		require.Equal(t, " ~", w.Header().Get("X-Ends"))
		_, got, err := gate.Check(presents("DPoP", ""), scope.All("read"))
		require.Equal(t, answer == nil, err == nil)
		require.Equal(t, reply, got)
	}
}

// A token that is not bound enters no route that demands it, whatever it is sent with.
// MTL-011
// req: FAPI2-03 R8705-11
func TestBound(t *testing.T) {
	b := certificate(proven)
	bound := middleware.Bound()
	some := newGate(t, accepts(reader), middleware.Config{Bindings: bindings(b)})
	all := newGate(t, accepts(reader), middleware.Config{Bindings: bindings(b), RequireBinding: true})
	_, _, err := some.Check(bearer("GET", good), scope.All("read"))
	require.NoError(t, err)
	refused(t, some, bearer("GET", good), scope.All("read"), bearergate.ErrInvalidToken, bearergate.ReasonBinding, bound)
	refused(t, all, bearer("GET", good), scope.All("read"), bearergate.ErrInvalidToken, bearergate.ReasonBinding)
	refused(t, all, bearer("GET", good), scope.All("read"), bearergate.ErrInvalidToken, bearergate.ReasonBinding, middleware.Via(accepts(reader)))
	// What the route requires is not told.
	refused(t, all, bearer("GET", good), scope.All("write"), bearergate.ErrInvalidToken, bearergate.ReasonBinding)
	for _, gate := range []*middleware.Gate{some, all} {
		_, _, err := gate.Check(presents("Bearer", "good"), scope.All("read"), middleware.Via(accepts(holder)), bound, bound)
		require.NoError(t, err)
	}

	// A stranger stays one, and an unbound token is not taken for a stranger's.
	w := httptest.NewRecorder()
	all.Optional(scope.All("read"))(whoami(t)).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	require.Equal(t, "nobody", w.Body.String())
	w = httptest.NewRecorder()
	all.Optional(scope.All("read"))(forbidden(t)).ServeHTTP(w, bearer("GET", good))
	require.Equal(t, 401, w.Code)

	// In a roll-out: whose tokens are not bound yet is in the event, and the handler is told nobody.
	events := &log{}
	trial := newGate(t, accepts(reader), middleware.Config{Bindings: bindings(b), RequireBinding: true, InsecureReportOnly: true, Hooks: events.hooks(),
		Identity: map[string]func(*bearergate.Token) string{"X-Who": (*bearergate.Token).Subject}})
	w = httptest.NewRecorder()
	trial.Require(scope.All("read"))(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.Empty(t, r.Header["X-Who"])
		whoami(t).ServeHTTP(w, r)
	})).ServeHTTP(w, bearer("GET", good))
	require.Equal(t, "nobody", w.Body.String())
	require.Equal(t, "u1", events.only(t).Token.Subject())

	// Where nothing checks a binding, nothing could enter.
	gate := newGate(t, accepts(holder), middleware.Config{})
	refused(t, gate, bearer("GET", good), scope.All("read"), bearergate.ErrMisconfigured, bearergate.ReasonConfig, bound)
	_, err = middleware.New(accepts(reader), middleware.Config{RequireBinding: true})
	requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
}

// A promising verifier tells which members of cnf it lets through.
type promising struct {
	bearergate.Verifier
	members []string
}

func (p promising) Confirmations() []string { return p.members }

func TestMistakesInBindings(t *testing.T) {
	var typedNil *binding
	other := &binding{scheme: "Basic", members: []string{"x"}}
	for name, tc := range map[string]struct {
		bindings []bearergate.Binding
		promised []string
		says     string
	}{
		"nil":                 {bindings: bindings(nil), says: "binding 1: it is nil"},
		"typed nil":           {bindings: bindings(typedNil), says: "binding 1: a method of it panicked"},
		"unknown scheme":      {bindings: bindings(certificate(proven), other), says: "binding 2: its scheme is"},
		"no member":           {bindings: bindings(&binding{scheme: "DPoP"}), says: "no member"},
		"two for one member":  {bindings: bindings(dpop(proven), dpop(proven)), says: `"jkt"`},
		"realm of its own":    {bindings: bindings(&binding{scheme: "DPoP", members: []string{"jkt"}, challenge: map[string]string{"realm": "x"}}), says: `"realm"`},
		"claims of its own":   {bindings: bindings(&binding{scheme: "DPoP", members: []string{"jkt"}, challenge: map[string]string{"claims": "e30="}}), says: `"claims"`},
		"an endpoint of ours": {bindings: bindings(&binding{scheme: "DPoP", members: []string{"jkt"}, challenge: map[string]string{"authorization_uri": "https://h"}}), says: `"authorization_uri"`},
		"a parameter twice":   {bindings: bindings(dpop(proven), &binding{scheme: "DPoP", members: []string{"x"}, challenge: map[string]string{"algs": "RS256"}}), says: `"algs"`},
		"a quote":             {bindings: bindings(&binding{scheme: "DPoP", members: []string{"jkt"}, challenge: map[string]string{"algs": `a"b`}}), says: `"algs"`},
		"a parameter's name":  {bindings: bindings(&binding{scheme: "DPoP", members: []string{"jkt"}, challenge: map[string]string{"a b": "c"}}), says: `"a b"`},
		"never asked":         {bindings: bindings(certificate(proven)), promised: []string{}, says: "Confirmations"},
		"asked about one":     {bindings: bindings(certificate(proven), dpop(proven)), promised: []string{"jkt"}, says: `"x5t#S256"`},
		"nobody confirms":     {bindings: bindings(certificate(proven)), promised: []string{"jkt", "x5t#S256"}, says: `"jkt"`},
		"nobody confirms any": {promised: []string{"jkt"}, says: "Config.Bindings"},
	} {
		v := accepts(reader)
		if tc.promised != nil {
			v = promising{v, tc.promised}
		}
		gate, err := middleware.New(v, middleware.Config{Bindings: tc.bindings})
		require.Nil(t, gate, name)
		requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
		require.ErrorContains(t, err, tc.says, name)
		require.NotContains(t, err.Error(), "\n", "%s: it is named once", name)
	}
	newGate(t, promising{accepts(reader), []string{"jkt"}}, middleware.Config{Bindings: bindings(dpop(proven))})
	newGate(t, promising{accepts(reader), nil}, middleware.Config{})
	newGate(t, promising{accepts(reader), nil}, middleware.Config{Bindings: bindings(dpop(proven))}) // nil says nothing

	// A route's own verifier may refuse what the gate confirms, and must not promise more.
	gate := newGate(t, accepts(reader), middleware.Config{Bindings: bindings(dpop(proven))})
	for _, members := range [][]string{nil, {}} {
		_, _, err := gate.Check(bearer("GET", good), scope.All("read"), middleware.Via(promising{accepts(reader), members}))
		require.NoError(t, err)
	}
	refused(t, gate, bearer("GET", good), scope.All("read"), bearergate.ErrMisconfigured, bearergate.ReasonConfig,
		middleware.Via(promising{accepts(reader), []string{"x5t#S256"}}))

	// One that accepts some of them, where the route demands a bound token, is none.
	both := newGate(t, accepts(boundBy("jkt")), middleware.Config{Bindings: bindings(certificate(proven), dpop(proven))})
	_, _, err := both.Check(presents("DPoP", "good"), scope.All("read"), middleware.Bound(), middleware.Via(promising{accepts(boundBy("jkt")), []string{"jkt"}}))
	require.NoError(t, err)

	// One that refuses every bound token, where the route demands one, is a mistake.
	refused(t, gate, bearer("GET", good), scope.All("read"), bearergate.ErrMisconfigured, bearergate.ReasonConfig,
		middleware.Bound(), middleware.Via(promising{accepts(reader), []string{}}))
	refused(t, newGate(t, accepts(reader), middleware.Config{Bindings: bindings(dpop(proven)), RequireBinding: true}), bearer("GET", good), scope.All("read"),
		bearergate.ErrMisconfigured, bearergate.ReasonConfig, middleware.Via(promising{accepts(reader), []string{}}))

	// The caller's slice is its own.
	given := bindings(dpop(proven))
	gate = newGate(t, accepts(boundBy("jkt")), middleware.Config{Bindings: given})
	given[0] = nil
	_, _, err = gate.Check(presents("DPoP", "good"), scope.All("read"))
	require.NoError(t, err)
}

// What a Binding sees is the request as it came, whatever handlers in front did.
func TestTheCallOfABinding(t *testing.T) {
	var got bearergate.Call
	gate := newGate(t, accepts(holder), middleware.Config{Bindings: bindings(certificate(func(_ context.Context, c bearergate.Call, _ *bearergate.Token) (bearergate.Reply, error) {
		got = c
		return nil, nil
	}))})
	state := &tls.ConnectionState{}
	r := httptest.NewRequest("POST", "/v1/%6frders?a=b%20c", nil)
	r.Header.Set("Authorization", "bearer "+good)
	r.Header["X-Proof"] = []string{"1", "2"}
	r.Host, r.TLS, r.RemoteAddr = "Api.example:8443", state, "192.0.2.7:1234"
	http.StripPrefix("/v1", gate.Require(scope.All("read"))(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))).ServeHTTP(httptest.NewRecorder(), r)
	require.Equal(t, bearergate.SchemeBearer, got.Scheme)
	require.Equal(t, good, got.Raw.Reveal())
	require.Equal(t, []string{"POST", "/v1/%6frders?a=b%20c", "Api.example:8443"}, []string{got.Method, got.Target, got.Host})
	require.Equal(t, []string{"1", "2"}, got.Values("x-proof"))
	require.Empty(t, got.Values("Other"))
	require.Same(t, state, got.TLS)
	require.Equal(t, netip.MustParseAddrPort("192.0.2.7:1234"), got.Peer)

	r, err := http.NewRequest("", "https://api.example/orders?x=y", nil) // as a client makes it, without RequestURI
	require.NoError(t, err)
	r.Header.Set("Authorization", "bearer "+good)
	for _, r.RemoteAddr = range []string{"", "@", "192.0.2.7", "192.0.2.7:", "192.0.2.7:x", "192.0.2.7:65536", "[192.0.2.7]:1", "2001:db8::7:1", "localhost:1"} {
		_, _, err = gate.Check(r, scope.All("read"))
		require.NoError(t, err)
		require.Equal(t, []string{"GET", "/orders?x=y", "api.example"}, []string{got.Method, got.Target, got.Host})
		require.Nil(t, got.TLS)
		require.Equal(t, netip.AddrPort{}, got.Peer, r.RemoteAddr)
	}

	// One that somebody put together, and left things out.
	_, _, err = gate.Check(&http.Request{Header: r.Header}, scope.All("read"))
	require.NoError(t, err)
	require.Equal(t, []string{"GET", "", ""}, []string{got.Method, got.Target, got.Host})
}

// A proof can be used once: an inner gate takes that of the outer one, if it is
// one of the very same request.
func TestNestedGatesAskOnce(t *testing.T) {
	read := scope.All("read")
	claims := boundBy("jkt")
	once := func() *binding { // a proof that is consumed
		used := false
		return dpop(func(ctx context.Context, c bearergate.Call, token *bearergate.Token) (bearergate.Reply, error) {
			reply, err := proven(ctx, c, token)
			if err == nil && used {
				err = &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonReplay}
			}
			used = true
			return reply, err
		})
	}
	either := bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) { return bearergate.NewToken(claims), nil })
	for name, tc := range map[string]struct {
		change  func(*http.Request)
		another bool // the inner gate has another Binding
		asked   int
		ran     bool
	}{
		"the same":           {change: func(*http.Request) {}, asked: 1, ran: true},
		"a stripped prefix":  {change: func(r *http.Request) { r.URL.Path = "/x" }, asked: 1, ran: true},
		"another header":     {change: func(r *http.Request) { r.Header.Set("X-Request-ID", "1") }, asked: 1, ran: true},
		"another credential": {change: func(r *http.Request) { r.Header.Set("Authorization", "DPoP other.token") }, asked: 2},
		"another method":     {change: func(r *http.Request) { r.Method = "DELETE" }, asked: 2},
		"another target":     {change: func(r *http.Request) { r.RequestURI = "/admin" }, asked: 2},
		"another proof":      {change: func(r *http.Request) { r.Header.Set("Proof", "wrong") }, asked: 2},
		"another binding":    {change: func(*http.Request) {}, another: true, asked: 1, ran: true},
		"another connection": {change: func(r *http.Request) { r.TLS = &tls.ConnectionState{} }, asked: 2},
	} {
		t.Run(name, func(t *testing.T) {
			outer := once()
			inner := outer
			if tc.another {
				inner = once()
			}
			a := newGate(t, either, middleware.Config{Bindings: bindings(outer)})
			b := newGate(t, either, middleware.Config{Bindings: bindings(inner)})
			ran := false
			h := a.Require(read)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				r = r.Clone(r.Context())
				tc.change(r)
				b.Require(read)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					token, _ := bearergate.FromContext(r.Context())
					assert.True(t, token.Proven())
					ran = true
				})).ServeHTTP(w, r)
			}))
			w := httptest.NewRecorder()
			h.ServeHTTP(w, presents("DPoP", "good"))
			require.Equal(t, tc.ran, ran)
			require.Equal(t, tc.ran, w.Code == 200)
			require.Equal(t, tc.asked, outer.asked)
			if tc.another {
				require.Equal(t, 1, inner.asked)
			}
		})
	}
}

// In a roll-out, too, nobody is taken for the sender whom a token is bound to
// unless the Binding says so, whatever sentinel its error wraps.
func TestReportOnlyWithAnUnconfirmedBinding(t *testing.T) {
	seen, err := usage.New(usage.Config{})
	require.NoError(t, err)
	for _, kind := range sentinels {
		gate := newGate(t, accepts(holder), middleware.Config{
			InsecureReportOnly: true, Hooks: seen.Hooks(),
			Bindings: bindings(certificate(fails(fmt.Errorf("not the holder: %w", kind)))),
			Identity: map[string]func(*bearergate.Token) string{"X-Who": (*bearergate.Token).Subject},
		})
		ran := false
		gate.Require(scope.All("read"))(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			ran = true
			_, ok := bearergate.FromContext(r.Context())
			assert.False(t, ok, "%v", kind)
			assert.Empty(t, r.Header.Get("X-Who"))
		})).ServeHTTP(httptest.NewRecorder(), bearer("GET", good))
		require.True(t, ran)
	}
	clients := seen.Report().Clients
	require.Empty(t, clients)
}

func TestAdvertiseScopes(t *testing.T) {
	for _, advertise := range []bool{false, true} {
		for name, tc := range map[string]struct {
			need  scope.Requirement
			extra string
		}{
			"plain":     {scope.All("write", "read"), `, scope="write read"`},
			"templated": {scope.AllOf(scope.All("read"), scope.Template("doc:{id}")), ""},
			"none":      {scope.Requirement{}, ""},
		} {
			gate := newGate(t, accepts(reader), middleware.Config{AdvertiseScopes: advertise, Bindings: bindings(dpop(proven))})
			mux := http.NewServeMux()
			mux.Handle("/{id}", gate.Require(tc.need)(forbidden(t)))
			w := httptest.NewRecorder()
			mux.ServeHTTP(w, httptest.NewRequest("GET", "/7", nil))
			if !advertise {
				tc.extra = ""
			}
			require.Equal(t, 401, w.Code)
			require.Equal(t, []string{`Bearer realm="api"` + tc.extra, `DPoP realm="api", algs="ES256 EdDSA"` + tc.extra}, w.Header().Values("WWW-Authenticate"), name)
			// Whoever sends a bad token does not learn it.
			w = httptest.NewRecorder()
			mux.ServeHTTP(w, func() *http.Request { r := bearer("GET", "bad"); r.URL.Path = "/7"; return r }())
			require.NotContains(t, w.Header().Values("WWW-Authenticate")[0], "scope=")
		}
	}

	// G5 of the cases: beside the metadata of the resource, and without an error.
	gate := newGate(t, accepts(reader), middleware.Config{AdvertiseScopes: true, Resource: "https://notes.example.test/v1"})
	w := httptest.NewRecorder()
	gate.Require(scope.All("notes:read"))(forbidden(t)).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	require.Equal(t, 401, w.Code)
	require.Equal(t, map[string]string{"realm": "api", "scope": "notes:read", "resource_metadata": "https://notes.example.test/.well-known/oauth-protected-resource/v1"},
		parseChallenge(t, w.Header().Get("WWW-Authenticate")))
}
