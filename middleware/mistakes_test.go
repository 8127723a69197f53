package middleware_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

// What Router.Handler reports says what to change.
func TestRouterSays(t *testing.T) {
	read, ok := scope.All("read"), says("")
	with := func(opts ...middleware.RouteOption) func(*middleware.Router) {
		return func(rt *middleware.Router) { rt.Handle("GET /x", read, ok, opts...) }
	}
	for _, tt := range []struct {
		name     string
		register func(*middleware.Router)
		says     string
	}{
		{"Bound", with(middleware.Bound()), "option 1: Bound: the gate has no Bindings, so no token could enter: set Config.Bindings, or take Bound out"},
		{"Recheck", with(middleware.Recheck(30)), "option 1: Recheck: every is 30ns: use at least 1s, 30*time.Second for example, or take Recheck out"},
		{"two Via", with(middleware.Via(accepts(reader)), middleware.Via(accepts(reader))), "option 2: Via is given more than once, by the route or its groups: a route has one verifier; take the others out"},
		{"no verifier", with(middleware.Via(nil)), "option 1: Via: the verifier is nil: pass the result of jwtverify.New, introspect.New or your own Verifier"},
		{"no option", with(nil), "option 1: it is nil: take it out"},
		{"two AuthContexts", with(middleware.AuthContext("c1"), middleware.AuthContext("c2")), "option 2: AuthContext is given more than once, by the route or its groups: a claims challenge asks for one; take the others out"},
		{"no AuthContext", with(middleware.AuthContext("")), `option 1: AuthContext: it is empty: name one, "c1" for example, or take AuthContext out`},
		{"AuthContexts in one", with(middleware.AuthContext("c1 c2")), `option 1: AuthContext: use printable ASCII without space, double quote and backslash, "c1" for example`},
		{"no policy", with(middleware.Allow()), "Allow: there is no policy, or one is nil: pass functions, or take Allow out"},
		{"no tenant", with(middleware.Tenant(nil)), "Tenant: the function is nil: pass one that returns the tenant of a request"},
		{"no store", with(middleware.Once(nil)), "Once: the store is nil: pass the one that all processes share"},
		{"nothing to try", with(middleware.Trial(scope.Requirement{}, nil)), "Trial: the requirement is zero, so every token would pass: name what is to be tried, or take Trial out"},
		{"two names in one", func(rt *middleware.Router) { rt.Handle("GET /x", scope.All("a b"), ok) }, `the requirement of the route: scope: All: name 1, "a b": byte 0x20 at 1: a scope token is made of printable ASCII without space, double quote and backslash: give each name by itself: All("a", "b")`},
		{"no wildcard", func(rt *middleware.Router) { rt.Handle("GET /x/{id}", scope.Template("x:{name}"), ok) }, "the requirement has the placeholder {name} and the pattern no wildcard of that name: give one of them the name of the other"},
		{"no handler", func(rt *middleware.Router) { rt.Handle("GET /x", read, nil) }, "the handler is nil: pass one, or take the route out"},
		{"no pattern", func(rt *middleware.Router) { rt.Handle("GET /{", read, ok) }, "bad wildcard segment"},
		{"CONNECT", func(rt *middleware.Router) { rt.Handle("CONNECT /x", read, ok) }, "CONNECT cannot be a route: take it out"},
		{"twice", func(rt *middleware.Router) { rt.Handle("GET /x", read, ok); rt.Handle("GET /x", read, ok) }, "change the pattern of one of the two, or take it out"},
		{"late", func(rt *middleware.Router) { _, _ = rt.Handler(); rt.Handle("GET /x", read, ok) }, "registered after Handler, so it is not served: register it before Handler is called"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rt := newGate(t, accepts(reader), middleware.Config{}).NewRouter()
			tt.register(rt)
			_, err := rt.Handler()
			requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
			require.ErrorContains(t, err, tt.says)
			require.Equal(t, 1, strings.Count(err.Error(), "mistakes_test.go:"), "a mistake is named once: %v", err)
			require.Equal(t, tt.name == "twice", strings.Contains(err.Error(), "one of the two"), "there is no other pattern: %v", err)
		})
	}
}

// What is wrong with a route hides nothing of what is wrong with its pattern.
func TestTwoMistakesOfOneRoute(t *testing.T) {
	rt := newGate(t, accepts(reader), middleware.Config{}).NewRouter()
	rt.Handle("GET /{", scope.Requirement{}, nil)
	_, err := rt.Handler()
	requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	for _, says := range []string{"the requirement is zero", "the handler is nil", "bad wildcard segment"} {
		require.ErrorContains(t, err, says)
	}
}

// A mistake is named once, where two checks could see it.
func TestAMistakeIsNamedOnce(t *testing.T) {
	promises := promising{accepts(reader), []string{}}
	for _, tt := range []struct {
		name string
		gate *middleware.Gate
		says string
	}{
		{"Bound without Bindings", newGate(t, promises, middleware.Config{}), "set Config.Bindings"},
		{"a verifier that refuses them all", newGate(t, accepts(reader), middleware.Config{Bindings: bindings(dpop(proven))}), `name ["jkt"] in its Confirmations`},
		{"no gate", nil, "make it with New"},
	} {
		rt := tt.gate.NewRouter()
		rt.Authenticated("GET /x", says(""), middleware.Bound(), middleware.Via(promises))
		_, err := rt.Handler()
		requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
		require.ErrorContains(t, err, tt.says, tt.name)
		require.NotContains(t, err.Error(), "\n", tt.name)
	}
}

func TestConfigSays(t *testing.T) {
	subject := (*bearergate.Token).Subject
	for _, tt := range []struct {
		name, header string
		value        func(*bearergate.Token) string
		says         string
	}{
		{"a header of HTTP", "cookie", subject, "Config.Identity: Cookie: it has a meaning of its own: choose another name, such as X-User"},
		{"no function", "X-User", nil, "Config.Identity: X-User: the function is nil: pass one, or leave the header out"},
		{"an underscore", "X_User", subject, `Config.Identity: the name "X_User": use letters and digits, with dashes between them`},
	} {
		_, err := middleware.New(accepts(reader), middleware.Config{Identity: map[string]func(*bearergate.Token) string{tt.header: tt.value}})
		requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
		require.ErrorContains(t, err, tt.says, tt.name)
	}
	_, err := middleware.New(accepts(reader), middleware.Config{Identity: map[string]func(*bearergate.Token) string{"X-A": subject, "x-a": subject}})
	require.ErrorContains(t, err, "Config.Identity: X-A is given twice: names are compared without case, so leave one of them out")

	gate := newGate(t, accepts(reader), middleware.Config{Resource: "https://h/"})
	for says, m := range map[string]middleware.Metadata{
		`Metadata.AuthorizationServers: "https://as?x": an issuer has no query: cut it off before the ?`:                              {AuthorizationServers: []string{"https://as?x"}},
		`Metadata.JWKSURI: "http://h/keys": write https://host…; http is for localhost`:                                               {JWKSURI: "http://h/keys"},
		`Metadata.Policy: "policy.html": use the URL of a page, https://…`:                                                            {Policy: "policy.html"},
		"Metadata.SigningAlgorithms: neither the empty name nor none signs anything: remove it":                                       {SigningAlgorithms: []string{"none"}},
		`Metadata.Scopes: use scope tokens of RFC 6749 §3.3: scope: All: name 1, "a b"`:                                               {Scopes: []string{"a b"}},
		"Metadata.MaxAge is 600ns: use at least a second and at most a day, 10*time.Minute for example, or leave it out for 1h0m0s":   {MaxAge: 600},
		`Metadata.Extra: "jwks_uri" has a place of its own: take it out, and use Metadata.JWKSURI`:                                    {Extra: map[string]any{"jwks_uri": "x"}},
		`Metadata.Extra: "bearer_methods_supported" has a place of its own: take it out, and use Config.Extract, which decides on it`: {Extra: map[string]any{"bearer_methods_supported": "x"}},
		"Metadata.Extra: use values that encoding/json can write: json: unsupported type: chan int":                                   {Extra: map[string]any{"x": make(chan int)}},
	} {
		_, _, err := gate.Metadata(m)
		requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
		require.ErrorContains(t, err, says)
	}
}
