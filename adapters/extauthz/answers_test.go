package extauthzgate_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/binding/dpop"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

const apiAudience = "https://api.example"

// api is a gate over the tokens of a real issuer, and its routes twice: for Envoy, and to be
// served by Handler.
type api struct {
	as      *authtest.Server
	client  authv3.AuthorizationClient
	handler http.Handler
	down    atomic.Pointer[error] // what every verification then says
}

func serve(t *testing.T, change ...func(*middleware.Config)) *api {
	t.Helper()
	a := &api{}
	var err error
	a.as, err = authtest.Start(authtest.WithAudience(apiAudience))
	require.NoError(t, err)
	t.Cleanup(a.as.Close)
	verifier, err := jwtverify.New(jwtverify.Config{Issuer: a.as.Issuer(), Audiences: []string{apiAudience}, Confirmations: []string{"jkt"},
		Check: func(context.Context, *bearergate.Token) error {
			if down := a.down.Load(); down != nil {
				return *down
			}
			return nil
		}})
	require.NoError(t, err)
	replay, err := dpop.NewMemory(100)
	require.NoError(t, err)
	nonces, err := dpop.NewNonces(dpop.NonceConfig{Secrets: [][]byte{[]byte(strings.Repeat("n", 32))}})
	require.NoError(t, err)
	proofs, err := dpop.New(dpop.Config{BaseURLs: []string{apiAudience}, Replay: replay, Nonces: nonces})
	require.NoError(t, err)
	gate := gateOf(t, verifier, append(change, func(c *middleware.Config) {
		c.Bindings, c.AdvertiseScopes = []bearergate.Binding{proofs}, true
	})...)
	routes := func() *middleware.Router {
		rt, nothing := gate.NewRouter(), http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
		rt.Handle("GET /orders/{id}", scope.All("orders:read"), nothing)
		rt.Handle("POST /orders/{id}", scope.All("orders:write"), nothing)
		rt.Handle("/orders/{id}/secret", scope.All("orders:read"), nothing, middleware.Allow(func(*http.Request, *bearergate.Token) error { return errors.New("no") }))
		rt.Handle("/orders/{id}/panic", scope.All("orders:read"), nothing, middleware.Allow(func(*http.Request, *bearergate.Token) error { panic("a policy") }))
		rt.Handle("/orders/{id}/pay", scope.All("orders:read"), nothing, middleware.StepUp([]string{"mfa"}, time.Minute))
		rt.Optional("/news", scope.Requirement{}, nothing)
		rt.Public("/health", nothing)
		return rt
	}
	a.client = dial(t, serverOf(t, routes()))
	a.handler, err = routes().Handler()
	require.NoError(t, err)
	return a
}

func (a *api) token(scopes ...string) string {
	return "Authorization: Bearer " + a.as.Token(authtest.Claims{Subject: "alice", ClientID: "app", Scopes: scope.Of(scopes...)})
}

// headerOf are fields of an answer, under names as Go writes them.
func headerOf(options []*corev3.HeaderValueOption) http.Header {
	h := http.Header{}
	for _, option := range options {
		h.Add(option.GetHeader().GetKey(), option.GetHeader().GetValue())
	}
	return h
}

// Envoy is told what Handler would write, row by row of the table of answers.
func TestAnswersAreThoseOfHandler(t *testing.T) {
	a := serve(t)
	outage := error(&bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonStoreUnavailable, RetryAfter: 7 * time.Second})
	broken := error(&bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonConfig})
	stranger := authtest.New(t, authtest.WithAudience(apiAudience))
	read := a.token("orders:read")
	expired := "Authorization: Bearer " + a.as.Token(authtest.Claims{Scopes: scope.Of("orders:read"), IssuedAt: time.Now().Add(-2 * time.Hour), ExpiresAt: time.Now().Add(-time.Hour)})
	key, err := authtest.NewDPoPKey("ES256")
	require.NoError(t, err)
	bound := a.as.Token(authtest.Claims{Scopes: scope.Of("orders:read"), Confirmation: key.Confirmation()})
	for _, tt := range []struct {
		name, method, target string
		lines                []string
		down                 *error
		status               int
		code                 codes.Code
		reason               bearergate.Reason
	}{
		{name: "allowed", target: "/orders/7", lines: []string{read}, status: 200},
		{name: "allowed to nobody in particular", target: "/news", status: 200},
		{name: "public", target: "/health", lines: []string{"Authorization: Bearer x"}, status: 200},
		{name: "no token", target: "/orders/7", status: 401, code: codes.Unauthenticated, reason: bearergate.ReasonNoToken},
		{name: "HEAD without a token", method: "HEAD", target: "/orders/7", status: 401, code: codes.Unauthenticated, reason: bearergate.ReasonNoToken},
		{name: "another scheme", target: "/orders/7", lines: []string{"Authorization: Basic eDp5"}, status: 401, code: codes.Unauthenticated, reason: bearergate.ReasonNoToken},
		{name: "another issuer", target: "/orders/7", lines: []string{"Authorization: Bearer " + stranger.Token(authtest.Claims{Scopes: scope.Of("orders:read")})}, status: 401, code: codes.Unauthenticated, reason: bearergate.ReasonIssuer},
		{name: "an expired token", target: "/orders/7", lines: []string{expired}, status: 401, code: codes.Unauthenticated, reason: bearergate.ReasonExpired},
		{name: "a bad token on an optional route", target: "/news", lines: []string{"Authorization: Bearer x"}, status: 401, code: codes.Unauthenticated, reason: bearergate.ReasonMalformed},
		{name: "malformed", target: "/orders/7", lines: []string{"Authorization: Bearer a b"}, status: 400, code: codes.PermissionDenied, reason: bearergate.ReasonBadRequest},
		{name: "two tokens", target: "/orders/7", lines: []string{read, expired}, status: 400, code: codes.PermissionDenied, reason: bearergate.ReasonBadRequest},
		{name: "the same token twice", target: "/orders/7", lines: []string{read, read}, status: 400, code: codes.PermissionDenied, reason: bearergate.ReasonBadRequest},
		{name: "a token after another scheme", target: "/orders/7", lines: []string{"Authorization: Basic eDp5", read}, status: 400, code: codes.PermissionDenied, reason: bearergate.ReasonBadRequest},
		{name: "a token after nothing", target: "/orders/7", lines: []string{"Authorization: ", read}, status: 400, code: codes.PermissionDenied, reason: bearergate.ReasonBadRequest},
		{name: "two tokens on an optional route", target: "/news", lines: []string{"Authorization: Basic eDp5", read}, status: 400, code: codes.PermissionDenied, reason: bearergate.ReasonBadRequest},
		{name: "a byte that is no UTF-8", target: "/orders/7", lines: []string{read + "\xff"}, status: 400, code: codes.PermissionDenied, reason: bearergate.ReasonBadRequest},
		{name: "a bound token under Bearer", target: "/orders/7", lines: []string{"Authorization: Bearer " + bound}, status: 401, code: codes.Unauthenticated, reason: bearergate.ReasonBinding},
		{name: "no nonce", target: "/orders/7", lines: []string{"Authorization: DPoP " + bound, "DPoP: " + key.Proof("GET", apiAudience+"/orders/7", bound)}, status: 401, code: codes.Unauthenticated, reason: bearergate.ReasonNonce},
		{name: "two proofs", target: "/orders/7", lines: []string{"Authorization: DPoP " + bound, "DPoP: " + key.Proof("GET", apiAudience+"/orders/7", bound), "DPoP: x.y.z"}, status: 401, code: codes.Unauthenticated, reason: bearergate.ReasonProof},
		{name: "too few scopes", method: "POST", target: "/orders/7", lines: []string{read}, status: 403, code: codes.PermissionDenied, reason: bearergate.ReasonScope},
		{name: "a policy says no", target: "/orders/7/secret", lines: []string{read}, status: 403, code: codes.PermissionDenied, reason: bearergate.ReasonPolicy},
		{name: "a policy that panics", target: "/orders/7/panic", lines: []string{read}, status: 500, code: codes.PermissionDenied, reason: bearergate.ReasonInternal},
		{name: "a weak authentication", target: "/orders/7/pay", lines: []string{read}, status: 401, code: codes.Unauthenticated, reason: bearergate.ReasonAuthentication},
		{name: "an outage", target: "/orders/7", lines: []string{read}, down: &outage, status: 503, code: codes.PermissionDenied, reason: bearergate.ReasonStoreUnavailable},
		{name: "a mistake", target: "/orders/7", lines: []string{read}, down: &broken, status: 500, code: codes.PermissionDenied, reason: bearergate.ReasonConfig},
	} {
		for form, raw := range map[string]bool{"headers": false, "header_map": true} {
			t.Run(tt.name+"/"+form, func(t *testing.T) {
				a.down.Store(tt.down)
				defer a.down.Store(nil)
				method := tt.method
				if method == "" {
					method = http.MethodGet
				}
				want := httptest.NewRecorder()
				a.handler.ServeHTTP(want, request(method, tt.target, tt.lines...))
				require.Equal(t, want.Code, tt.status)
				got := check(t, a.client, question(request(method, tt.target, tt.lines...), raw))
				require.Equal(t, int32(tt.code), got.GetStatus().GetCode())
				require.EqualValues(t, tt.status, got.GetDynamicMetadata().GetFields()["status"].GetNumberValue())
				if tt.status == 200 {
					require.NotNil(t, got.GetOkResponse())
					require.Equal(t, "allowed", got.GetDynamicMetadata().GetFields()["decision"].GetStringValue())
					return
				}
				require.Equal(t, "denied", got.GetDynamicMetadata().GetFields()["decision"].GetStringValue())
				require.Equal(t, string(tt.reason), got.GetDynamicMetadata().GetFields()["reason"].GetStringValue())
				require.NotContains(t, got.GetDynamicMetadata().GetFields(), "subject")
				denied := got.GetDeniedResponse()
				require.NotNil(t, denied)
				require.EqualValues(t, want.Code, denied.GetStatus().GetCode())
				require.Equal(t, want.Body.String(), denied.GetBody())
				header := headerOf(denied.GetHeaders())
				for _, name := range []string{"Retry-After", "Dpop-Nonce"} { // of chance
					require.Equal(t, want.Header().Get(name) != "", header.Get(name) != "", name)
					header.Del(name)
					want.Header().Del(name)
				}
				want.Header().Del("Vary") // of the answers of a handler, for caches; these have no-store
				require.Equal(t, want.Header(), header)
				require.Equal(t, "no-store", header.Get("Cache-Control"))
			})
		}
	}
}

// Two challenges are two fields of one name. They reach the client through an Envoy that obeys
// append_action in a denied answer, and through an older one that takes all fields there,
// unless append is set.
func TestEveryChallengeReachesTheClient(t *testing.T) {
	a := serve(t)
	want := httptest.NewRecorder()
	a.handler.ServeHTTP(want, request("GET", "/orders/7"))
	require.Len(t, want.Header()["Www-Authenticate"], 2)
	denied := check(t, a.client, question(request("GET", "/orders/7"), true)).GetDeniedResponse()
	got := http.Header{"Www-Authenticate": {"of another filter"}}
	mutate(got, denied.GetHeaders())
	require.Equal(t, want.Header()["Www-Authenticate"], got["Www-Authenticate"])
	require.Equal(t, want.Header()["Www-Authenticate"], headerOf(denied.GetHeaders())["Www-Authenticate"])
	for _, option := range denied.GetHeaders() {
		require.Nil(t, option.GetAppend()) //nolint:staticcheck // which older versions read
	}
}

// What Handler redirects, or answers without a route, is refused.
func TestRequestsWithoutARoute(t *testing.T) {
	a := serve(t)
	for _, tt := range []struct {
		method, target string
		status         int
		allow          string
	}{
		{method: "GET", target: "/nothing", status: 404},
		{method: "DELETE", target: "/orders/7", status: 405, allow: "GET, HEAD, POST"},
		{method: "GET", target: "/orders//7", status: 400},
		{method: "GET", target: "/health/../orders/7", status: 400},
		{method: "get", target: "/health", status: 400},
	} {
		t.Run(tt.method+" "+tt.target, func(t *testing.T) {
			denied := check(t, a.client, question(request(tt.method, tt.target, a.token("orders:read")), false)).GetDeniedResponse()
			require.EqualValues(t, tt.status, denied.GetStatus().GetCode())
			header := headerOf(denied.GetHeaders())
			require.Equal(t, tt.allow, header.Get("Allow"))
			require.Equal(t, "no-store", header.Get("Cache-Control"))
			require.Equal(t, "application/problem+json", header.Get("Content-Type"))
			require.Contains(t, denied.GetBody(), `"status":`)
		})
	}
}

// A proof is for the request of the client, and counts once; the nonce finds its way.
func TestDPoP(t *testing.T) {
	a := serve(t)
	key, err := authtest.NewDPoPKey("ES256")
	require.NoError(t, err)
	token := a.as.Token(authtest.Claims{Subject: "alice", Scopes: scope.Of("orders:read"), Confirmation: key.Confirmation()})
	ask := func(proof string) *authv3.CheckResponse {
		return check(t, a.client, question(request("GET", "/orders/7", "Authorization: DPoP "+token, "DPoP: "+proof), false))
	}
	nonce := headerOf(ask(key.Proof("GET", apiAudience+"/orders/7", token)).GetDeniedResponse().GetHeaders()).Get("DPoP-Nonce")
	require.NotEmpty(t, nonce)
	proof := func(method, target string) string {
		claims := key.Claims(method, apiAudience+target, token)
		claims["nonce"] = nonce
		return key.Sign(map[string]any{"typ": "dpop+jwt", "alg": "ES256", "jwk": key.JWK()}, claims)
	}
	good := proof("GET", "/orders/7")
	res := ask(good)
	require.Equal(t, "alice", headerOf(res.GetOkResponse().GetHeaders()).Get("X-Auth-Subject"), "%v", res)
	for name, sent := range map[string]string{"used before": good, "for another path": proof("GET", "/orders/8"), "for another method": proof("POST", "/orders/7")} {
		denied := ask(sent).GetDeniedResponse()
		require.EqualValues(t, 401, denied.GetStatus().GetCode(), name)
		require.Contains(t, headerOf(denied.GetHeaders()).Values("WWW-Authenticate")[0], `error="invalid_dpop_proof"`, name)
	}
}

// What a Binding replies goes to the client beside what the service answers.
func TestReplyBesideOK(t *testing.T) {
	gate := gateOf(t, bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) {
		return bearergate.NewToken(bearergate.Claims{Subject: "u1", Confirmation: map[string][]byte{"jkt": []byte(`"x"`)}}), nil
	}), func(c *middleware.Config) { c.Bindings = []bearergate.Binding{replies{}} })
	rt := gate.NewRouter()
	rt.Authenticated("/", http.NotFoundHandler())
	ok := check(t, dial(t, serverOf(t, rt)), question(request("GET", "/", "Authorization: DPoP x"), false)).GetOkResponse()
	require.Equal(t, http.Header{"Dpop-Nonce": {"n"}, "Cache-Control": {"no-store"}}, headerOf(ok.GetResponseHeadersToAdd()))
	for _, option := range ok.GetResponseHeadersToAdd() {
		want := corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD
		if option.GetHeader().GetKey() == "cache-control" {
			want = corev3.HeaderValueOption_ADD_IF_ABSENT
		}
		require.Equal(t, want, option.GetAppendAction())
	}
}

type replies struct{}

func (replies) Scheme() bearergate.Scheme    { return bearergate.SchemeDPoP }
func (replies) Members() []string            { return []string{"jkt"} }
func (replies) Challenge() map[string]string { return nil }
func (replies) Confirm(context.Context, bearergate.Call, *bearergate.Token) (bearergate.Reply, error) {
	return bearergate.Reply{"DPoP-Nonce": "n", "Cache-Control": "no-store"}, nil
}

// The backend gets no token, if the gate says so, and only then.
func TestDropAuthorization(t *testing.T) {
	for _, drop := range []bool{false, true} {
		a := serve(t, func(c *middleware.Config) { c.DropAuthorization = drop })
		for _, target := range []string{"/orders/7", "/health", "/news"} {
			ok := check(t, a.client, question(request("GET", target, a.token("orders:read")), false)).GetOkResponse()
			require.NotNil(t, ok)
			if drop {
				require.Contains(t, ok.GetHeadersToRemove(), "authorization")
			} else {
				require.NotContains(t, ok.GetHeadersToRemove(), "authorization")
			}
		}
	}
}
