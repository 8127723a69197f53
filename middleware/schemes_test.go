package middleware_test

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

// Whoever sends DPoP credentials has said who they are: where they prove nothing, they
// are refused, on an Optional route too, and never served as a stranger.
// req: R9449-20 R9449-41 R9449-43
func TestDPoPCallersAreNoStrangers(t *testing.T) {
	const invalidToken, proof = "invalid_token", "invalid_dpop_proof"
	refuse := func(kind error, reason bearergate.Reason) *binding {
		return dpop(fails(&bearergate.Error{Kind: kind, Reason: reason}))
	}
	jkt := boundBy("jkt")
	invalid := bearergate.ErrInvalidToken
	for _, tc := range []struct {
		name     string
		claims   bearergate.Claims
		bindings []bearergate.Binding
		header   http.Header
		bound    bool // the route demands it
		status   int
		code     string            // of the challenge
		reason   bearergate.Reason // "": nothing was refused
		stranger bool              // served without a token, where the route allows that
	}{
		{name: "nothing", claims: jkt, bindings: bindings(dpop(proven)), status: 401, reason: bearergate.ReasonNoToken, stranger: true},
		{name: "nothing, and a proof", claims: jkt, bindings: bindings(dpop(proven)), header: http.Header{"Proof": {"good"}, "Dpop": {"a.b.c"}}, status: 401, reason: bearergate.ReasonNoToken, stranger: true},
		{name: "in Proxy-Authorization", claims: jkt, bindings: bindings(dpop(proven)), header: http.Header{"Proxy-Authorization": {"DPoP " + good}, "Proof": {"good"}}, status: 401, reason: bearergate.ReasonNoToken, stranger: true},
		{name: "Bearer in Proxy-Authorization", claims: reader, header: http.Header{"Proxy-Authorization": {"Bearer " + good}}, status: 401, reason: bearergate.ReasonNoToken, stranger: true},
		{name: "another one in Proxy-Authorization", claims: jkt, bindings: bindings(dpop(proven)), header: http.Header{"Authorization": {"DPoP " + good}, "Proxy-Authorization": {"DPoP bad"}, "Proof": {"good"}}, status: 200},

		{name: "with its proof", claims: jkt, bindings: bindings(dpop(proven)), header: http.Header{"Authorization": {"DPoP " + good}, "Proof": {"good"}}, status: 200},
		{name: "no Binding", claims: jkt, header: http.Header{"Authorization": {"DPoP " + good}, "Proof": {"good"}}, status: 401, reason: bearergate.ReasonBinding},
		{name: "no Binding, an unbound token", claims: reader, header: http.Header{"Authorization": {"DPoP " + good}}, status: 401, reason: bearergate.ReasonBinding},
		{name: "no Binding, a bad token", claims: reader, header: http.Header{"Authorization": {"DPoP bad"}}, status: 401, reason: bearergate.ReasonBinding},
		{name: "another Binding", claims: jkt, bindings: bindings(certificate(proven)), header: http.Header{"Authorization": {"dpop " + good}, "Proof": {"good"}}, status: 401, reason: bearergate.ReasonBinding},
		{name: "no proof", claims: jkt, bindings: bindings(dpop(proven)), header: http.Header{"Authorization": {"DPoP " + good}}, status: 401, code: invalidToken, reason: bearergate.ReasonBinding},
		{name: "a wrong proof", claims: jkt, bindings: bindings(refuse(invalid, bearergate.ReasonProof)), header: http.Header{"Authorization": {"DPoP " + good}}, status: 401, code: proof, reason: bearergate.ReasonProof},
		{name: "a proof used before", claims: jkt, bindings: bindings(refuse(invalid, bearergate.ReasonReplay)), header: http.Header{"Authorization": {"DPoP " + good}}, status: 401, code: proof, reason: bearergate.ReasonReplay},
		{name: "no nonce", claims: jkt, bindings: bindings(refuse(invalid, bearergate.ReasonNonce)), header: http.Header{"Authorization": {"DPoP " + good}}, status: 401, code: "use_dpop_nonce", reason: bearergate.ReasonNonce},
		{name: "a store that is down", claims: jkt, bindings: bindings(refuse(bearergate.ErrUnavailable, bearergate.ReasonStoreUnavailable)), header: http.Header{"Authorization": {"DPoP " + good}}, status: 503, reason: bearergate.ReasonStoreUnavailable},
		{name: "a bad token", claims: jkt, bindings: bindings(dpop(proven)), header: http.Header{"Authorization": {"DPoP bad"}, "Proof": {"good"}}, status: 401, code: invalidToken, reason: bearergate.ReasonMalformed},
		{name: "W2-142 an unbound token", claims: reader, bindings: bindings(dpop(proven)), header: http.Header{"Authorization": {"DPoP " + good}, "Proof": {"good"}}, status: 401, code: invalidToken, reason: bearergate.ReasonBinding},
		{name: "no token", claims: jkt, bindings: bindings(dpop(proven)), header: http.Header{"Authorization": {"DPoP"}, "Proof": {"good"}}, status: 400, code: "invalid_request", reason: bearergate.ReasonBadRequest},
		{name: "a comma", claims: jkt, bindings: bindings(dpop(proven)), header: http.Header{"Authorization": {"DPoP " + good + ", Bearer " + good}, "Proof": {"good"}}, status: 400, code: "invalid_request", reason: bearergate.ReasonBadRequest},
		{name: "W2-140 as a Bearer token", claims: jkt, bindings: bindings(dpop(proven)), header: http.Header{"Authorization": {"Bearer " + good}}, status: 401, code: invalidToken, reason: bearergate.ReasonBinding},
		{name: "as a Bearer token, with its proof", claims: jkt, bindings: bindings(dpop(proven)), header: http.Header{"Authorization": {"Bearer " + good}, "Proof": {"good"}}, status: 401, code: invalidToken, reason: bearergate.ReasonBinding},
		{name: "W2-143 an unbound Bearer token with a stray proof", claims: reader, bindings: bindings(dpop(proven)), header: http.Header{"Authorization": {"Bearer " + good}, "Dpop": {"a.b.c", "d.e.f"}}, status: 200},
		{name: "W2-143 the same, where a bound one is demanded", claims: reader, bindings: bindings(dpop(proven)), header: http.Header{"Authorization": {"Bearer " + good}, "Dpop": {"a.b.c"}}, bound: true, status: 401, code: invalidToken, reason: bearergate.ReasonBinding},
		{name: "with its proof, where a bound one is demanded", claims: jkt, bindings: bindings(dpop(proven)), header: http.Header{"Authorization": {"DPoP " + good}, "Proof": {"good"}}, bound: true, status: 200},
		{name: "nothing, where a bound one is demanded", claims: jkt, bindings: bindings(dpop(proven)), bound: true, status: 401, reason: bearergate.ReasonNoToken, stranger: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			events := &log{}
			gate := newGate(t, accepts(tc.claims), middleware.Config{Bindings: tc.bindings, Hooks: events.hooks()})
			var opts []middleware.RouteOption
			if tc.bound {
				opts = append(opts, middleware.Bound())
			}
			rt := gate.NewRouter()
			rt.Optional("GET /orders", scope.All("read"), whoami(t), opts...)
			router := built(t, rt)
			for door, h := range map[string]http.Handler{
				"Require": gate.Require(scope.All("read"), opts...)(whoami(t)), "Optional": gate.Optional(scope.All("read"), opts...)(whoami(t)), "Router": router,
			} {
				r := httptest.NewRequest("GET", "/orders", nil)
				maps.Copy(r.Header, tc.header)
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				e := events.only(t)
				if tc.stranger && door != "Require" {
					require.Equal(t, 200, w.Code, door)
					require.Equal(t, "nobody", w.Body.String())
					require.NoError(t, e.Err)
					continue
				}
				require.Equal(t, tc.status, w.Code, door)
				require.Equal(t, tc.reason, e.Reason, door)
				if tc.status == 200 {
					require.Equal(t, "u1", w.Body.String())
					require.Equal(t, tc.claims.Confirmation != nil, e.Token.Proven())
					continue
				}
				require.NotContains(t, w.Body.String(), "u1")
				requireErrorCode(t, w, tc.code)
			}
			// A proxy that asks is told the same.
			r := httptest.NewRequest("GET", "/orders", nil)
			maps.Copy(r.Header, tc.header)
			d := rt.Decide(r)
			require.Equal(t, tc.status == 200 || tc.stranger, d.Err == nil)
			require.Equal(t, tc.status == 200, d.Token != nil)
		})
	}
}

// requireErrorCode asserts the error of all challenges together, "" for none.
func requireErrorCode(t *testing.T, w *httptest.ResponseRecorder, code string) {
	t.Helper()
	found := ""
	for _, value := range w.Header().Values("WWW-Authenticate") {
		if parsed := parseChallenge(t, strings.Replace(value, "DPoP ", "Bearer ", 1)); parsed["error"] != "" {
			require.Empty(t, found, "in one challenge alone")
			found = parsed["error"]
		}
	}
	require.Equal(t, code, found)
}
