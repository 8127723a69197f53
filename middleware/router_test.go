package middleware_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

func TestRouter(t *testing.T) {
	events := &log{}
	gate := newGate(t, granting(), middleware.Config{Hooks: events.hooks()})
	rt := gate.NewRouter()
	rt.Handle("GET /orders", scope.All("read"), says("list"))
	rt.Handle("POST /orders", scope.All("write"), says("create"))
	rt.Handle("/any/{id}", scope.Any("read", "write"), says("any"))
	rt.Authenticated("GET /me", says("me"), middleware.StepUp(nil, 0xffffffffffff))
	rt.Public("GET /health", says("healthy"))
	rt.Optional("GET /news", scope.Requirement{}, says("news"))
	rt.Handle("GET api.example.org/orders", scope.All("other"), says("other host"))
	h := built(t, rt)
	type testCase struct {
		method, target, scopes string
		status                 int
		body                   string
		pattern                string // of the event; "" for none
	}
	for _, tc := range []testCase{
		{method: "GET", target: "/orders", scopes: "read", status: 200, body: "list", pattern: "GET /orders"},
		{method: "HEAD", target: "/orders", scopes: "read", status: 200, body: "list", pattern: "GET /orders"}, // a recorder keeps the body
		{method: "GET", target: "/orders", scopes: "write", status: 403, pattern: "GET /orders"},
		{method: "HEAD", target: "/orders", status: 401, pattern: "GET /orders"},
		{method: "POST", target: "/orders", scopes: "write", status: 200, body: "create", pattern: "POST /orders"},
		{method: "POST", target: "/orders", scopes: "read", status: 403, pattern: "POST /orders"},
		{method: "PURGE", target: "/any/7", scopes: "write", status: 200, body: "any", pattern: "/any/{id}"},
		{method: "GET", target: "/any/7", scopes: "other", status: 403, pattern: "/any/{id}"},
		{method: "GET", target: "/me", scopes: "x", status: 401, pattern: "GET /me"}, // no auth_time
		{method: "GET", target: "/health", status: 200, body: "healthy"},
		{method: "GET", target: "/health", scopes: "read", status: 200, body: "healthy"},
		{method: "GET", target: "/news", status: 200, body: "news", pattern: "GET /news"},
		{
			method:  "GET",
			target:  "http://api.example.org/orders",
			scopes:  "read",
			status:  403,
			pattern: "GET api.example.org/orders",
		},
		{
			method:  "GET",
			target:  "http://api.example.org/orders",
			scopes:  "other",
			status:  200,
			body:    "other host",
			pattern: "GET api.example.org/orders",
		},
		{
			method:  "POST",
			target:  "http://api.example.org/orders",
			scopes:  "write",
			status:  200,
			body:    "create",
			pattern: "POST /orders",
		},
		// ServeMux's own, without a decision.
		{method: "DELETE", target: "/orders", scopes: "read", status: 405, body: "Method Not Allowed\n"},
		{method: "GET", target: "/nothing", scopes: "read", status: 404, body: "404 page not found\n"},
		{method: "GET", target: "/orders/", scopes: "read", status: 404, body: "404 page not found\n"},
		{method: "GET", target: "//orders", scopes: "read", status: 307},
		{method: "GET", target: "/x/../orders", scopes: "read", status: 307},
		{method: "GET", target: "*", scopes: "read", status: 400},
	} {
		name := tc.method + " " + tc.target + " " + tc.scopes
		w := ask(h, tc.method, tc.target, tc.scopes)
		require.Equal(t, tc.status, w.Code, name)
		if tc.body != "" {
			require.Equal(t, tc.body, w.Body.String(), name)
		}
		if tc.pattern != "" {
			require.Equal(t, tc.pattern, events.only(t).Pattern, name)
		}
		require.Empty(t, events.events, name)
	}
	require.Equal(t, "GET, HEAD, POST", ask(h, "DELETE", "/orders", "").Header().Get("Allow"))
}

func TestRouterReportsEveryMistakeAtOnce(t *testing.T) {
	gate := newGate(t, granting(), middleware.Config{Bindings: bindings(dpop(proven))})
	read := scope.All("read")
	ok := says("")
	var nilFunc http.HandlerFunc
	mistakes := map[string]func(rt *middleware.Router){
		"bad pattern":        func(rt *middleware.Router) { rt.Handle("GET /{", read, ok) },
		"empty pattern":      func(rt *middleware.Router) { rt.Handle("", read, ok) },
		"no slash":           func(rt *middleware.Router) { rt.Public("GET orders", ok) },
		"unclean path":       func(rt *middleware.Router) { rt.Handle("GET /a//b", read, ok) },
		"doubled":            func(rt *middleware.Router) { rt.Handle("GET /d", read, ok); rt.Handle("GET /d", read, ok) },
		"doubled, public":    func(rt *middleware.Router) { rt.Handle("GET /e", read, ok); rt.Public("GET /e", ok) },
		"same but the names": func(rt *middleware.Router) { rt.Handle("/f/{a}", read, ok); rt.Handle("/f/{b}", read, ok) },
		"overlap":            func(rt *middleware.Router) { rt.Handle("/g/{a}/x", read, ok); rt.Handle("/g/y/{b}", read, ok) },
		"nil handler":        func(rt *middleware.Router) { rt.Handle("/h", read, nil) },
		"nil func":           func(rt *middleware.Router) { rt.Handle("/i", read, nilFunc) },
		"nil, public":        func(rt *middleware.Router) { rt.Public("/j", nil) },
		"nil func, public":   func(rt *middleware.Router) { rt.Public("/k", nilFunc) },
		"nil, optional":      func(rt *middleware.Router) { rt.Optional("/k2", read, nil) },
		"bad requirement":    func(rt *middleware.Router) { rt.Handle("/l", scope.All("a b"), ok) },
		"empty requirement":  func(rt *middleware.Router) { rt.Handle("/m", scope.Any(), ok) },
		"zero requirement":   func(rt *middleware.Router) { rt.Handle("/n", scope.Requirement{}, ok) },
		"bad optional":       func(rt *middleware.Router) { rt.Optional("/o", scope.All(""), ok) },
		"nil option":         func(rt *middleware.Router) { rt.Authenticated("/p", ok, nil) },
		"Via nil":            func(rt *middleware.Router) { rt.Handle("/q", read, ok, middleware.Via(nil)) },
		"StepUp of nothing":  func(rt *middleware.Router) { rt.Handle("/r", read, ok, middleware.StepUp(nil, 0)) },
		"no such wildcard": func(rt *middleware.Router) {
			rt.Handle("GET /s/{id}", scope.Template("doc:{tenant}:{id}"), ok)
		},
		"a segment of that name": func(rt *middleware.Router) { rt.Handle("GET /s3/{id}", scope.Template("doc:{s3}"), ok) },
		"no wildcard in the path": func(rt *middleware.Router) {
			rt.Handle("GET {id}.example.com/s2", scope.Template("doc:{id}"), ok)
		},
		"HEAD, open": func(rt *middleware.Router) { rt.Handle("GET /t", read, ok); rt.Public("HEAD /t", ok) },
		"HEAD, other scope": func(rt *middleware.Router) {
			rt.Handle("GET /u", scope.All("a", "b"), ok)
			rt.Handle("HEAD /u", scope.Any("a", "b"), ok)
		},
		"HEAD before GET":   func(rt *middleware.Router) { rt.Authenticated("HEAD /v", ok); rt.Handle("GET /v", read, ok) },
		"HEAD beside any":   func(rt *middleware.Router) { rt.Handle("/w", read, ok); rt.Authenticated("HEAD /w", ok) },
		"HEAD, other name":  func(rt *middleware.Router) { rt.Handle("GET /x/{a}", read, ok); rt.Authenticated("HEAD /x/{b}", ok) },
		"HEAD below a tree": func(rt *middleware.Router) { rt.Handle("GET /y/", read, ok); rt.Authenticated("HEAD /y/z", ok) },
		"HEAD of a root":    func(rt *middleware.Router) { rt.Handle("GET /z/{$}", read, ok); rt.Authenticated("HEAD /z/{$}", ok) },
		"HEAD of the rest": func(rt *middleware.Router) {
			rt.Handle("GET /aa/{x...}", read, ok)
			rt.Authenticated("HEAD /aa/{x...}", ok)
		},
		"HEAD with a host": func(rt *middleware.Router) { rt.Handle("GET /ab", read, ok); rt.Authenticated("HEAD h.example/ab", ok) },
		"HEAD tree with a host": func(rt *middleware.Router) {
			rt.Handle("GET /ac/d", read, ok)
			rt.Authenticated("HEAD h2.example/ac/", ok)
		},
		"HEAD escaped": func(rt *middleware.Router) {
			rt.Handle("GET /ad/a%2Fb", read, ok)
			rt.Authenticated("HEAD /ad/a%2fb", ok)
		},
		"HEAD, a bad escape": func(rt *middleware.Router) { rt.Handle("GET /ae/50%", read, ok); rt.Authenticated("HEAD /ae/50%", ok) },
		"HEAD, less step-up": func(rt *middleware.Router) {
			rt.Handle("GET /af", read, ok, middleware.StepUp([]string{"mfa"}, 0))
			rt.Handle("HEAD /af", read, ok)
		},
		"HEAD, longer step-up": func(rt *middleware.Router) {
			rt.Handle("GET /af2", read, ok, middleware.StepUp(nil, 1e9))
			rt.Handle("HEAD /af2", read, ok, middleware.StepUp(nil, 2e9))
		},
		"HEAD, other acr": func(rt *middleware.Router) {
			rt.Handle("GET /af3", read, ok, middleware.StepUp([]string{"a"}, 0))
			rt.Handle("HEAD /af3", read, ok, middleware.StepUp([]string{"b"}, 0))
		},
		"HEAD, other authentication context": func(rt *middleware.Router) {
			rt.Handle("GET /af8", read, ok, middleware.AuthContext("c1"))
			rt.Handle("HEAD /af8", read, ok, middleware.AuthContext("c2"))
		},
		"HEAD, outlives its token": func(rt *middleware.Router) {
			rt.Handle("GET /af4", read, ok, middleware.CancelOnExpiry())
			rt.Handle("HEAD /af4", read, ok)
		},
		"HEAD, rechecked less often": func(rt *middleware.Router) {
			rt.Handle("GET /af7", read, ok, middleware.Recheck(time.Second))
			rt.Handle("HEAD /af7", read, ok, middleware.Recheck(time.Minute))
		},
		"HEAD, other verifiers": func(rt *middleware.Router) {
			rt.Handle("GET /af5", read, ok, middleware.Via(&structVerifier{}))
			rt.Handle("HEAD /af5", read, ok, middleware.Via(&structVerifier{granting()}))
		},
		"HEAD, verifiers that are functions": func(rt *middleware.Router) {
			v := middleware.Via(granting())
			rt.Handle("GET /af6", read, ok, v)
			rt.Handle("HEAD /af6", read, ok, v)
		},
		"HEAD, another verifier": func(rt *middleware.Router) {
			rt.Handle("GET /ag", read, ok, middleware.Via(granting()))
			rt.Handle("HEAD /ag", read, ok)
		},
		"HEAD, unbound": func(rt *middleware.Router) {
			rt.Handle("GET /af7", read, ok, middleware.Bound())
			rt.Handle("HEAD /af7", read, ok)
		},
		"HEAD, without the policy": func(rt *middleware.Router) {
			rt.Handle("GET /af8", read, ok, middleware.Allow(policy))
			rt.Handle("HEAD /af8", read, ok)
		},
		"HEAD, policies that are functions": func(rt *middleware.Router) {
			rt.Handle("GET /af9", read, ok, middleware.Allow(policy))
			rt.Handle("HEAD /af9", read, ok, middleware.Allow(policy))
		},
		"HEAD, without Once": func(rt *middleware.Router) {
			rt.Handle("GET /af10", read, ok, middleware.Once(&used{}))
			rt.Handle("HEAD /af10", read, ok)
		},
		"HEAD, another store": func(rt *middleware.Router) {
			rt.Handle("GET /af11", read, ok, middleware.Once(&used{}))
			rt.Handle("HEAD /af11", read, ok, middleware.Once(&used{}))
		},
		"HEAD, without the trial": func(rt *middleware.Router) {
			rt.Handle("GET /af12", read, ok, middleware.Trial(read, nil))
			rt.Handle("HEAD /af12", read, ok)
		},
		"Allow of nothing":                   func(rt *middleware.Router) { rt.Handle("/ao", read, ok, middleware.Allow()) },
		"Allow nil":                          func(rt *middleware.Router) { rt.Handle("/ap", read, ok, middleware.Allow(policy, nil)) },
		"HEAD, optional":                     func(rt *middleware.Router) { rt.Handle("GET /ah", read, ok); rt.Optional("HEAD /ah", read, ok) },
		"HEAD, one more tab":                 func(rt *middleware.Router) { rt.Handle("GET\t/ai", read, ok); rt.Authenticated("HEAD \t /ai", ok) },
		"group without a slash":              func(rt *middleware.Router) { rt.Group("admin", read).Handle("GET /a", read, ok) },
		"group with two slashes":             func(rt *middleware.Router) { rt.Group("/admin/", read).Handle("GET /b", read, ok) },
		"group with two slashes, any method": func(rt *middleware.Router) { rt.Group("/admin/", read).Handle("/b", read, ok) },
		"group with a method":                func(rt *middleware.Router) { rt.Group("GET /admin", read).Handle("/c", read, ok) },
		"group, no path":                     func(rt *middleware.Router) { rt.Group("/aj", read).Handle("GET", read, ok) },
		"group, host in the route":           func(rt *middleware.Router) { rt.Group("/ak", read).Handle("GET h.example/x", read, ok) },
		"group, nothing required": func(rt *middleware.Router) {
			rt.Group("/al", scope.Requirement{}).Handle("/x", scope.Requirement{}, ok)
		},
		"group, bad requirement": func(rt *middleware.Router) { rt.Group("/am", scope.All()).Handle("/x", read, ok) },
		"group, option twice": func(rt *middleware.Router) {
			rt.Group("/an", read, middleware.StepUp([]string{"mfa"}, 0)).Handle("/x", read, ok, middleware.StepUp([]string{"pwd"}, 0))
		},
		"group, authentication context twice": func(rt *middleware.Router) {
			rt.Group("/an2", read, middleware.AuthContext("c1")).Handle("/x", read, ok, middleware.AuthContext("c2"))
		},
		"metadata without a resource": func(rt *middleware.Router) { rt.Metadata(middleware.Metadata{}) },
	}
	all := gate.NewRouter()
	for name, register := range mistakes {
		t.Run(name, func(t *testing.T) {
			rt := gate.NewRouter()
			rt.Handle("GET /fine", read, ok)
			register(rt)
			for range 2 {
				h, err := rt.Handler()
				require.Nil(t, h)
				requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
				require.Contains(t, err.Error(), "/router_test.go:", "names the line")
				require.NotContains(t, err.Error(), "/router.go")
				require.NotContains(t, err.Error(), "/fine")
			}
			register(all)
		})
	}
	_, err := all.Handler()
	requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	require.GreaterOrEqual(t, strings.Count(err.Error(), "\n/"), len(mistakes)-1, "all of them at once")
}

func TestRegistrationAfterHandler(t *testing.T) {
	gate := newGate(t, granting(), middleware.Config{Resource: "https://h/"})
	rt := gate.NewRouter()
	rt.Handle("GET /a", scope.All("read"), says("a"))
	h := built(t, rt)
	again := built(t, rt)
	require.Equal(t, 200, ask(again, "GET", "/a", "read").Code)

	rt.Public("GET /late", says("late"))
	rt.Group("/g", scope.All("x")).Authenticated("GET /late", says("late"))
	rt.Metadata(middleware.Metadata{})
	got, err := rt.Handler()
	require.Nil(t, got)
	requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	require.ErrorContains(t, err, "/late")
	require.ErrorContains(t, err, "/g/late")
	require.Equal(t, 3, strings.Count(err.Error(), "router_test.go:"))
	require.Equal(t, 404, ask(h, "GET", "/late", "read").Code)
	require.Len(t, rt.Routes(), 1)
	_, isMux := h.(*http.ServeMux)
	require.False(t, isMux, "on a mux, somebody could register more")
	var router any = rt
	_, isHandler := router.(http.Handler)
	require.False(t, isHandler, "what was not checked is not served")
}

func TestRouterOfNoGate(t *testing.T) {
	var none *middleware.Gate
	var nilRouter *middleware.Router
	for _, rt := range []*middleware.Router{none.NewRouter(), new(middleware.Gate).NewRouter(), new(middleware.Router), nilRouter} {
		_, err := rt.Handler()
		requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	}
	for _, rt := range []*middleware.Router{none.NewRouter(), nilRouter} {
		rt.Handle("/", scope.All("read"), says(""))
		rt.Authenticated("/a", says(""))
		rt.Optional("/b", scope.Requirement{}, says(""))
		rt.Public("/c", says(""))
		rt.Metadata(middleware.Metadata{})
		rt.Group("/d", scope.All("read")).Handle("/d", scope.All("read"), says(""))
		rt.Routes()
		_, err := rt.Handler()
		requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	}
}

func TestGroup(t *testing.T) {
	gate := newGate(t, granting(), middleware.Config{})
	rt := gate.NewRouter()
	api := rt.Group("api.example.org/v1", scope.Requirement{})
	api.Authenticated("GET /me", says("me"))
	admin := api.Group("/admin", scope.All("admin"))
	admin.Handle("GET /users/{id}", scope.All("users"), says("users"))
	admin.Handle("POST /users", scope.Requirement{}, says("post"))
	admin.Authenticated("/", says("rest"))
	admin.Group("/strict", scope.Any("root", "owner"), middleware.StepUp([]string{"mfa"}, 0)).Handle("/x", scope.Template("x:{$}"), says("")) // not a wildcard
	_, err := rt.Handler()
	require.Error(t, err)

	rt = gate.NewRouter()
	api = rt.Group("api.example.org/v1", scope.Requirement{})
	api.Authenticated("GET /me", says("me"))
	admin = api.Group("/admin", scope.All("admin"))
	admin.Handle("GET /users/{id}", scope.All("users"), says("users"))
	admin.Handle("POST /users", scope.Requirement{}, says("post"))
	admin.Authenticated("/", says("rest"))
	strict := admin.Group("/strict", scope.Any("root", "owner"), middleware.StepUp([]string{"mfa"}, 0))
	strict.Handle("/x", scope.All("x"), says("x"))
	h := built(t, rt)
	var patterns []string
	for _, r := range rt.Routes() {
		patterns = append(patterns, r.Pattern)
	}
	require.Equal(t, []string{"api.example.org/v1/admin/", "api.example.org/v1/admin/strict/x", "POST api.example.org/v1/admin/users",
		"GET api.example.org/v1/admin/users/{id}", "GET api.example.org/v1/me"}, patterns)
	const base = "http://api.example.org/v1"
	for _, tc := range []struct {
		method, path, scopes string
		status               int
	}{
		{"GET", "/me", "none", 200}, {"GET", "/me", "", 401},
		{"GET", "/admin/users/1", "admin+users", 200}, {"GET", "/admin/users/1", "users", 403}, {"GET", "/admin/users/1", "admin", 403},
		{"POST", "/admin/users", "admin", 200}, {"POST", "/admin/users", "users", 403}, {"POST", "/admin/users", "", 401},
		{"PUT", "/admin/whatever", "admin", 200}, {"PUT", "/admin/whatever", "x", 403},
		{"GET", "/admin/strict/x", "admin+root+x", 401}, // step-up
		{"GET", "/other", "admin", 404},
	} {
		require.Equal(t, tc.status, ask(h, tc.method, base+tc.path, tc.scopes).Code, "%v", tc)
	}
	require.Equal(t, 404, ask(h, "GET", "/v1/me", "x").Code, "another host")
	challenge := ask(h, "GET", base+"/admin/strict/x", "x").Header().Get("WWW-Authenticate")
	require.Equal(t, "admin root owner x", parseChallenge(t, challenge)["scope"])
}

func TestPatternsThatNeverMatch(t *testing.T) {
	for pattern, says := range map[string]string{
		"GET/admin":            "a space",
		"get /admin":           "upper case",
		"GET h:8080/admin":     "port",
		"GET Api.Example/x":    "lower case",
		"CONNECT /x":           "CONNECT",
		"CONNECT example.com/": "CONNECT",
	} {
		rt := newGate(t, granting(), middleware.Config{}).NewRouter()
		rt.Authenticated(pattern, http.NotFoundHandler())
		_, err := rt.Handler()
		requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
		require.ErrorContains(t, err, says, pattern)
	}
	rt := newGate(t, granting(), middleware.Config{}).NewRouter()
	rt.Public("/", (*http.ServeMux)(nil))
	rt.Public("GET /x", says("x"))
	rt.Authenticated("GET /x", nil) // both mistakes of it at once
	_, err := rt.Handler()
	requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	require.Equal(t, 2, strings.Count(err.Error(), "the handler is nil"))
	require.ErrorContains(t, err, "conflicts with pattern")
}
