package middleware_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/bubble"
)

// asksForC1 is {"access_token":{"acrs":{"essential":true,"value":"c1"}}}.
const asksForC1 = "eyJhY2Nlc3NfdG9rZW4iOnsiYWNycyI6eyJlc3NlbnRpYWwiOnRydWUsInZhbHVlIjoiYzEifX19"

// saying is reader with these claims besides.
func saying(raw string) bearergate.Claims {
	c := reader
	c.Raw = []byte(raw)
	return c
}

// Real tokens, from their issuer to the answer: a JWT, and one that the server is asked
// about.
func TestAuthContextOfRealTokens(t *testing.T) {
	const ordinary = `Bearer realm="api", error="insufficient_user_authentication", error_description="` + bodyStepUp + `", acr_values="c1"`
	const challenged = `Bearer realm="api", error="insufficient_claims", error_description="` + bodyClaims + `", claims="` + asksForC1 + `"`
	for _, tt := range []struct {
		name      string
		claims    string
		status    int
		challenge string
	}{
		{name: "holds it", claims: `{"acrs":["p1","c1"]}`, status: 200},
		{name: "absent", claims: `{}`, status: 401, challenge: ordinary},
		{name: "absent, cp1", claims: `{"xms_cc":["cp1"]}`, status: 401, challenge: challenged},
		{name: "another", claims: `{"acrs":["c2"]}`, status: 401, challenge: ordinary},
		{name: "another, cp1", claims: `{"acrs":["c2"],"xms_cc":["CP1"]}`, status: 401, challenge: challenged},
		{name: "null", claims: `{"acrs":null}`, status: 401, challenge: ordinary},
		{name: "null, cp1", claims: `{"acrs":null,"xms_cc":["cp1"]}`, status: 401, challenge: challenged},
		{name: "a string", claims: `{"acrs":"c1"}`, status: 401, challenge: ordinary},
		{name: "a string, cp1", claims: `{"acrs":"c1","xms_cc":["cp1"]}`, status: 401, challenge: challenged},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				as := authtest.New(t, authtest.WithClient("api", "secret"))
				claims := authtest.Claims{Scopes: scope.Of("read"), Raw: []byte(tt.claims)}
				audiences := []string{authtest.DefaultAudience}
				local, err := jwtverify.New(jwtverify.Config{Issuer: as.Issuer(), Audiences: audiences, HTTPClient: as.Client()})
				require.NoError(t, err)
				remote, err := introspect.New(introspect.Config{Issuer: as.Issuer(), Audiences: audiences, HTTPClient: as.Client(), Auth: introspect.BasicAuth("api", "secret")})
				require.NoError(t, err)
				for _, by := range []struct {
					verifier bearergate.Verifier
					token    string
				}{{local, as.Token(claims)}, {remote, as.Opaque(claims)}} {
					events := &log{}
					h := newGate(t, by.verifier, middleware.Config{Hooks: events.hooks()}).Require(scope.All("read"), middleware.AuthContext("c1"))(says("in"))
					for range 2 { // the second from the cache
						w := httptest.NewRecorder()
						h.ServeHTTP(w, bearer("GET", by.token))
						require.Equal(t, tt.status, w.Code)
						require.Equal(t, tt.challenge, w.Header().Get("WWW-Authenticate"))
						e := events.only(t)
						if tt.status == 200 {
							require.NoError(t, e.Err)
							continue
						}
						requireError(t, e.Err, bearergate.ErrInsufficientAuthentication, bearergate.ReasonAuthentication)
						require.Equal(t, authtest.DefaultSubject, e.Token.Subject(), "for audit")
					}
				}
			})
		})
	}
}

// Where the authorize endpoint is, a claims challenge says, and nothing else.
func TestAuthorizationURI(t *testing.T) {
	const uri = "https://login.microsoftonline.com/common/oauth2/authorize"
	capable, other := saying(`{"xms_cc":["cp1"]}`), saying(`{}`)
	for _, tt := range []struct {
		name     string
		verifier bearergate.Verifier
		opts     []middleware.RouteOption
		says     bool
	}{
		{name: "a claims challenge", verifier: accepts(capable), opts: []middleware.RouteOption{middleware.AuthContext("c1")}, says: true},
		{name: "of a client that would not understand one", verifier: accepts(other), opts: []middleware.RouteOption{middleware.AuthContext("c1")}},
		{name: "a step-up of RFC 9470", verifier: accepts(capable), opts: []middleware.RouteOption{middleware.StepUp([]string{"mfa"}, 0)}},
		{name: "an invalid token", verifier: refuses(bearergate.ErrInvalidToken, bearergate.ReasonSignature), opts: []middleware.RouteOption{middleware.AuthContext("c1")}},
	} {
		gate := newGate(t, tt.verifier, middleware.Config{AuthorizationURI: uri, Resource: "https://h"})
		w := httptest.NewRecorder()
		gate.Require(scope.Requirement{}, tt.opts...)(forbidden(t)).ServeHTTP(w, bearer("GET", good))
		require.Equal(t, 401, w.Code, tt.name)
		params := parseChallenge(t, w.Header().Get("WWW-Authenticate"))
		said, ok := params["authorization_uri"]
		require.Equal(t, tt.says, ok, tt.name)
		if tt.says {
			require.Equal(t, map[string]string{"realm": "api", "error": "insufficient_claims", "error_description": bodyClaims, "authorization_uri": uri, "claims": asksForC1,
				"resource_metadata": "https://h/.well-known/oauth-protected-resource"}, params)
			require.Equal(t, uri, said)
		}
	}
	for _, mistake := range []string{"http://login.example/authorize", "login.example", "/authorize", "https://u@login.example/", "https://login.example/#x", `https://login.example/"`, "https://login.example/ x", "https://"} {
		_, err := middleware.New(accepts(reader), middleware.Config{AuthorizationURI: mistake, Realm: `"`})
		requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
		require.ErrorContains(t, err, "Config.AuthorizationURI: ", mistake)
		require.ErrorContains(t, err, "Config.Realm: ", "all at once")
	}
	newGate(t, accepts(reader), middleware.Config{AuthorizationURI: "http://localhost:8080/authorize"})
}

// The error stands in the challenge of the scheme that was used, as every error does.
func TestAClaimsChallengeUnderDPoP(t *testing.T) {
	c := boundBy("jkt")
	c.Raw = []byte(`{"xms_cc":["cp1"]}`)
	gate := newGate(t, accepts(c), middleware.Config{Bindings: bindings(dpop(proven))})
	r := bearer("GET", good)
	r.Header.Set("Authorization", "DPoP "+good)
	r.Header.Set("Proof", "good")
	w := httptest.NewRecorder()
	gate.Require(scope.Requirement{}, middleware.AuthContext("c1"))(forbidden(t)).ServeHTTP(w, r)
	require.Equal(t, []string{
		`DPoP realm="api", algs="ES256 EdDSA", error="insufficient_claims", error_description="` + bodyClaims + `", claims="` + asksForC1 + `"`,
		`Bearer realm="api"`,
	}, w.Header().Values("WWW-Authenticate"))
}

// What Render is told is what the challenge says.
func TestRenderOfAClaimsChallenge(t *testing.T) {
	var got middleware.Refusal
	gate := newGate(t, accepts(saying(`{"xms_cc":["cp1"]}`)), middleware.Config{Render: func(_ *http.Request, r middleware.Refusal) (string, []byte) {
		got = r
		return "", nil
	}})
	gate.Require(scope.Requirement{}, middleware.AuthContext("c1"))(forbidden(t)).ServeHTTP(httptest.NewRecorder(), bearer("GET", good))
	require.Equal(t, "insufficient_claims", got.Code)
	require.Equal(t, asksForC1, got.Err.ClaimsChallenge)
	require.Empty(t, got.Err.Expected)
}

// In every order, and from a group: beside StepUp, both are demanded.
func TestAuthContextBesideStepUp(t *testing.T) {
	both := saying(`{"acrs":["c1"]}`)
	both.ACR, both.AuthTime = "mfa", time.Now()
	weak, outside := both, both
	weak.ACR = "pwd"
	outside.Raw = []byte(`{"acrs":[]}`)
	stepUp, inContext := middleware.StepUp([]string{"mfa"}, time.Hour), middleware.AuthContext("c1")
	for name, register := range map[string]func(*middleware.Router){
		"StepUp first": func(rt *middleware.Router) { rt.Authenticated("GET /x/y", says(""), stepUp, inContext) },
		"StepUp last":  func(rt *middleware.Router) { rt.Authenticated("GET /x/y", says(""), inContext, stepUp) },
		"StepUp of the group": func(rt *middleware.Router) {
			rt.Group("/x", scope.Requirement{}, stepUp).Handle("GET /y", scope.All("read"), says(""), inContext)
		},
		"the context of the group": func(rt *middleware.Router) {
			rt.Group("/x", scope.Requirement{}, inContext).Handle("GET /y", scope.All("read"), says(""), stepUp)
		},
	} {
		for _, tt := range []struct {
			name   string
			claims bearergate.Claims
			status int
		}{
			{name: "both", claims: both, status: 200},
			{name: "another acr", claims: weak, status: 401},
			{name: "out of the context", claims: outside, status: 401},
		} {
			rt := newGate(t, accepts(tt.claims), middleware.Config{}).NewRouter()
			register(rt)
			r := bearer("GET", good)
			r.URL.Path = "/x/y"
			w := httptest.NewRecorder()
			built(t, rt).ServeHTTP(w, r)
			require.Equal(t, tt.status, w.Code, "%s, %s", name, tt.name)
		}
	}
}

// A stranger on an optional route has no user to authenticate; who sends a token has.
func TestAuthContextOfAnOptionalRoute(t *testing.T) {
	h := newGate(t, accepts(saying(`{}`)), middleware.Config{}).Optional(scope.Requirement{}, middleware.AuthContext("c1"))(says("in"))
	for _, tt := range []struct {
		request *http.Request
		status  int
	}{
		{httptest.NewRequest("GET", "/orders", nil), 200},
		{bearer("GET", good), 401},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, tt.request)
		require.Equal(t, tt.status, w.Code)
	}
}
