package middleware_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/middleware/usage"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/kit"
)

var (
	says     = kit.Says
	granting = kit.Granting
	with     = kit.With
	ask      = kit.Ask
)

func built(t testing.TB, rt *middleware.Router) http.Handler { return kit.Built(t, rt) }

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
	for _, tc := range []struct {
		method, target, scopes string
		status                 int
		body                   string
		pattern                string // of the event; "" for none
	}{
		{"GET", "/orders", "read", 200, "list", "GET /orders"},
		{"HEAD", "/orders", "read", 200, "list", "GET /orders"}, // a recorder keeps the body
		{"GET", "/orders", "write", 403, "", "GET /orders"},
		{"HEAD", "/orders", "", 401, "", "GET /orders"},
		{"POST", "/orders", "write", 200, "create", "POST /orders"},
		{"POST", "/orders", "read", 403, "", "POST /orders"},
		{"PURGE", "/any/7", "write", 200, "any", "/any/{id}"},
		{"GET", "/any/7", "other", 403, "", "/any/{id}"},
		{"GET", "/me", "x", 401, "", "GET /me"}, // no auth_time
		{"GET", "/health", "", 200, "healthy", ""},
		{"GET", "/health", "read", 200, "healthy", ""},
		{"GET", "/news", "", 200, "news", "GET /news"},
		{"GET", "http://api.example.org/orders", "read", 403, "", "GET api.example.org/orders"},
		{"GET", "http://api.example.org/orders", "other", 200, "other host", "GET api.example.org/orders"},
		{"POST", "http://api.example.org/orders", "write", 200, "create", "POST /orders"},
		// ServeMux's own, without a decision.
		{"DELETE", "/orders", "read", 405, "Method Not Allowed\n", ""},
		{"GET", "/nothing", "read", 404, "404 page not found\n", ""},
		{"GET", "/orders/", "read", 404, "404 page not found\n", ""},
		{"GET", "//orders", "read", 307, "", ""},
		{"GET", "/x/../orders", "read", 307, "", ""},
		{"GET", "*", "read", 400, "", ""},
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
	gate := newGate(t, granting(), middleware.Config{})
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
		"HEAD, outlives its token": func(rt *middleware.Router) {
			rt.Handle("GET /af4", read, ok, middleware.CancelOnExpiry())
			rt.Handle("HEAD /af4", read, ok)
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

// A HEAD pattern with the policy of its GET is fine, and so is one without a GET.
func TestHEADWithThePolicyOfGET(t *testing.T) {
	gate := newGate(t, granting(), middleware.Config{})
	rt := gate.NewRouter()
	ok := says("")
	v := &structVerifier{granting()}
	rt.Handle("GET /a/{x}", scope.All("read"), ok, middleware.StepUp([]string{"a", "b"}, 1e9), middleware.Via(v))
	rt.Handle("HEAD /a/{y}", scope.All("read"), ok, middleware.Via(v), middleware.StepUp([]string{"a", "b"}, 1e9))
	rt.Public("HEAD /b", ok)
	rt.Handle("GET /g/h", scope.All("read"), ok)
	rt.Group("/g", scope.Requirement{}).Handle("HEAD /h", scope.All("read"), ok)
	rt.Handle("/c/", scope.All("read"), ok)
	rt.Handle("GET /c/d", scope.All("write"), ok)
	rt.Handle("HEAD /c/d", scope.All("write"), ok)
	rt.Public("POST /b", ok)
	rt.Handle("GET h.example/e/", scope.All("write"), ok)
	rt.Handle("HEAD h.example/e/", scope.All("write"), ok)
	rt.Handle("GET /e/f", scope.All("read"), ok) // not on h.example
	h := built(t, rt)
	require.Equal(t, 403, ask(h, "HEAD", "/c/d", "read").Code)
	require.Equal(t, 200, ask(h, "HEAD", "http://h.example/e/f", "write").Code)
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
	var any any = rt
	_, isHandler := any.(http.Handler)
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

// A template is filled from the path, by Handle, Require and Check alike.
func TestTemplates(t *testing.T) {
	events := &log{}
	gate := newGate(t, granting(), middleware.Config{Hooks: events.hooks()})
	need := scope.AllOf(scope.All("read"), scope.AnyOf(scope.All("admin"), scope.Template("doc:{tenant}:{id}")))
	rt := gate.NewRouter()
	rt.Handle("GET /t/{tenant}/docs/{id}", need, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, r.PathValue("tenant"), "|", r.PathValue("id"))
	}))
	mux := http.NewServeMux()
	mux.Handle("GET /t/{tenant}/docs/{id}", gate.Require(need)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, r.PathValue("tenant"), "|", r.PathValue("id"))
	})))
	for name, h := range map[string]http.Handler{"router": built(t, rt), "raw mux": mux} {
		for _, tc := range []struct {
			path, scopes string
			status       int
			body, asked  string
		}{
			{"/t/a/docs/1", "read+doc:a:1", 200, "a|1", ""},
			{"/t/a/docs/1", "read+admin", 200, "a|1", ""},
			{"/t/a/docs/1", "doc:a:1", 403, "", "read admin doc:a:1"},
			{"/t/a/docs/2", "read+doc:a:1", 403, "", "read admin doc:a:2"},
			{"/t/b/docs/1", "read+doc:a:1", 403, "", "read admin doc:b:1"},
			{"/t/%61/docs/%31", "read+doc:a:1", 200, "a|1", ""},                        // the same document
			{"/t/a/docs/%2e%2e%2f1", "read+doc:a:../1+doc:a:1", 403, "", "read admin"}, // decoded, and refused
			{"/t/a%3A1/docs/x", "read+doc:a:1:x", 403, "", "read admin"},
			{"/t/a/docs/1%20read", "read+doc:a:1", 403, "", "read admin"},
			{"/t/a/docs/1%0d%0aX:%20y", "read+doc:a:1", 403, "", "read admin"},
			{"/t/a/docs/%22", "read+doc:a:1", 403, "", "read admin"},
			{"/t/a/docs/{id}", "read+doc:{tenant}:{id}", 403, "", "read admin"},
			{"/t/a/docs/*", "read+doc:a:*", 403, "", "read admin"},
			{"/t/a/docs/" + strings.Repeat("x", 257), "read+doc:a:" + strings.Repeat("x", 257), 403, "", "read admin"},
		} {
			w := ask(h, "GET", tc.path, tc.scopes)
			require.Equal(t, tc.status, w.Code, "%s: %v", name, tc)
			e := events.only(t)
			if tc.status == 200 {
				require.Equal(t, tc.body, w.Body.String())
				require.NoError(t, e.Err)
				require.Contains(t, e.Required.Scopes(), "doc:a:1")
				continue
			}
			require.Equal(t, tc.asked, parseChallenge(t, w.Header().Get("WWW-Authenticate"))["scope"], "%s: %v", name, tc)
			require.Equal(t, tc.asked, strings.Join(e.Required.Scopes(), " "))
		}
	}
	// One request leaves nothing for the next.
	require.Equal(t, []string{"id"}, scope.Template("doc:{id}").Placeholders())

	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Authorization", with("doc:7"))
	refused(t, gate, r, scope.Template("doc:{id}"), bearergate.ErrInsufficientScope, bearergate.ReasonScope)
	r.SetPathValue("id", "7")
	_, err := gate.Check(r, scope.Template("doc:{id}"))
	require.NoError(t, err)
	r.SetPathValue("id", "")
	refused(t, gate, r, scope.Template("doc:{id}"), bearergate.ErrInsufficientScope, bearergate.ReasonScope)
}

// Whatever the path or the headers are made to look like, a handler runs for
// those who satisfy its own route only: each token here opens one route.
func TestNoRouteIsEnteredUnderThePolicyOfAnother(t *testing.T) {
	gate := newGate(t, granting(), middleware.Config{})
	rt := gate.NewRouter()
	patterns := map[string]string{ // by scope
		"list": "GET /orders", "create": "POST /orders", "one": "GET /orders/{id}", "items": "GET /orders/{id}/items",
		"admin": "/admin/", "root": "GET /admin/{$}", "users": "GET /admin/users", "host": "GET admin.example/orders", "tree": "GET admin.example/", "rest": "GET /files/{path...}",
	}
	ran := ""
	for name, pattern := range patterns {
		rt.Handle(pattern, scope.All(name), http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			ran = name
			assert.Equal(t, pattern, r.Pattern)
		}))
	}
	rt.Public("GET /public/", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { ran = "public" }))
	h := built(t, rt)

	paths := []string{
		"/orders", "/orders/", "/orders//", "//orders", "/./orders", "/x/../orders", "/orders/.", "/orders/..", "/orders/7", "/orders/7/",
		"/orders%2F7", "/orders/7%2Fitems", "/orders/7/items", "/orders/%2e%2e/admin/users", "/orders/..%2fadmin%2fusers", "/public/../admin/users",
		"/public/%2e%2e/admin/users", "/public/..%2Fadmin/users", "/public//../../admin/users", "/admin", "/admin/", "/admin//", "/admin/users", "/admin/users/",
		"/Admin/users", "/%61dmin/users", "/admin%2Fusers", "/admin;/users", "/admin/users;x", "/admin/users%00", "/admin/users?x=/public/", "/public/?/admin/users",
		"/admin/./users", "/admin/x/../users", "/admin\\users", "/files/../admin/users", "/files/%2e%2e/admin/users", "/files//admin/users", "/%2e/orders", "/%2F/orders", "/orders#/public/",
	}
	entered := map[string]bool{}
	for _, p := range paths {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "OPTIONS", "CONNECT", "get", "TRACE"} {
			for _, host := range []string{"example.com", "admin.example", "ADMIN.example", "admin.example:80", "admin.example.", "public"} {
				for _, header := range []string{"", "X-HTTP-Method-Override: GET", "X-Original-URL: /public/", "X-Rewrite-Url: /public/", "X-Forwarded-Host: admin.example", "X-Forwarded-Prefix: /public"} {
					u, err := url.ParseRequestURI(p)
					if err != nil {
						u = &url.URL{Path: p}
					}
					r := httptest.NewRequest("GET", "/", nil)
					r.Method, r.Host, r.URL, r.RequestURI = method, host, u, p
					if name, value, ok := strings.Cut(header, ": "); ok {
						r.Header.Set(name, value)
					}
					for name := range patterns {
						r.Header.Set("Authorization", with(name))
						ran = ""
						w := httptest.NewRecorder()
						h.ServeHTTP(w, r.Clone(r.Context()))
						require.Contains(t, []string{"", "public", name}, ran, "%s %s%s with %q", method, host, p, header)
						if ran == name && w.Code == 200 {
							entered[name] = true
						}
						// Nothing but the method and the target that net/http sees has a say.
						if ran != "" && ran != "public" && method != "CONNECT" {
							m, rest, _ := strings.Cut(patterns[ran], " ")
							require.True(t, rest == "" || m == method || m == "GET" && method == "HEAD", "%s %s", method, p)
						}
						if ran == "public" {
							require.True(t, strings.HasPrefix(path.Clean(u.EscapedPath())+"/", "/public/"), p)
						}
					}
				}
			}
		}
	}
	require.Len(t, entered, len(patterns), "every route can be entered: %v", entered)
}

// Whatever the target, a route runs with its own scope only.
func FuzzRouter(f *testing.F) {
	for _, s := range []string{"/a", "/a/", "/a/b", "//a", "/a/../b", "/a%2fb", "/b/%2e%2e/a", "http://h/a", "/b;x", "*", ""} {
		f.Add("GET", s, "h")
		f.Add("HEAD", s, "")
	}
	gate, err := middleware.New(granting(), middleware.Config{})
	require.NoError(f, err)
	rt := gate.NewRouter()
	var ran string
	for _, pattern := range []string{"GET /a", "/a/", "GET /a/{x}", "POST /y/{y...}", "GET h/a", "HEAD /z", "/b/{x}/c"} {
		rt.Handle(pattern, scope.All(strings.ReplaceAll(pattern, " ", "_")), http.HandlerFunc(func(http.ResponseWriter, *http.Request) { ran = strings.ReplaceAll(pattern, " ", "_") }))
	}
	h := built(f, rt)
	routes := rt.Routes()
	f.Fuzz(func(t *testing.T, method, target, host string) {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			return
		}
		for _, route := range routes {
			r := &http.Request{Method: method, URL: u, Host: host, RequestURI: target, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
				Header: http.Header{"Authorization": {with(route.Required.Scopes()[0])}}}
			ran = ""
			h.ServeHTTP(httptest.NewRecorder(), r)
			if ran != "" && ran != route.Required.Scopes()[0] {
				t.Fatalf("%s %s %s: %s ran for a token of %s", method, host, target, ran, route.Pattern)
			}
		}
	})
}

// Whatever the path holds, a token for one document opens that document.
func FuzzTemplate(f *testing.F) {
	for _, s := range []string{"7", "%37", "7/", "7%2f", "..%2f7", "7%20x", "7:8", "*", "{id}", "%00", "\xff", "7?x", ""} {
		f.Add(s, s)
	}
	gate, err := middleware.New(granting(), middleware.Config{})
	require.NoError(f, err)
	rt := gate.NewRouter()
	var tenant, id string
	rt.Handle("GET /{tenant}/documents/{id...}", scope.Template("doc:{tenant}:{id}"), http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		tenant, id = r.PathValue("tenant"), r.PathValue("id")
	}))
	h := built(f, rt)
	f.Fuzz(func(t *testing.T, a, b string) {
		target := "/" + a + "/documents/" + b
		u, err := url.ParseRequestURI(target)
		if err != nil {
			return
		}
		r := &http.Request{Method: "GET", URL: u, RequestURI: target, Header: http.Header{"Authorization": {with("doc:acme:7+doc:x:y+acme:7+doc:acme+doc")}}}
		tenant, id = "", ""
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if got := tenant + "|" + id; got != "|" && got != "acme|7" && got != "x|y" {
			t.Fatalf("%s opened %q", target, got)
		}
		if w.Code == 403 {
			parseChallenge(t, w.Header().Get("WWW-Authenticate"))
		}
	})
}

// What the Router protects, and what a mux in front of it takes away.
func TestARawMuxBesideTheRouter(t *testing.T) {
	gate := newGate(t, granting(), middleware.Config{})
	rt := gate.NewRouter()
	rt.Handle("GET /orders/{id}", scope.All("read"), says("order"))
	rt.Handle("/admin/", scope.All("admin"), says("admin"))
	mux := http.NewServeMux()
	mux.Handle("/", built(t, rt))
	mux.Handle("GET /orders/export", says("export")) // nothing was said about who may
	mux.Handle("GET /admin/debug", gate.Require(scope.All("debug"))(says("debug")))

	// Protected: what the mux leaves to the Router.
	require.Equal(t, 401, ask(mux, "GET", "/orders/7", "").Code)
	require.Equal(t, 403, ask(mux, "GET", "/admin/x", "read").Code)
	require.Equal(t, "order", ask(mux, "GET", "/orders/7", "read").Body.String())
	require.Equal(t, 401, ask(mux, "POST", "/admin/debug", "").Code, "another method is the Router's")
	// Not protected: what the mux takes away from it, however strict the pattern there is.
	require.Equal(t, "export", ask(mux, "GET", "/orders/export", "").Body.String())
	// Protected by what stands there itself, and not by the Router's policy.
	require.Equal(t, 401, ask(mux, "GET", "/admin/debug", "").Code)
	require.Equal(t, "debug", ask(mux, "GET", "/admin/debug", "debug").Body.String())
}

// With GODEBUG=httpmuxgo121=1, ServeMux reads patterns in another way.
func TestTheOldMuxIsRefused(t *testing.T) {
	const in = "BEARERGATE_TEST_OLD_MUX"
	if os.Getenv(in) != "" {
		rt := newGate(t, granting(), middleware.Config{}).NewRouter()
		rt.Handle("/x", scope.All("read"), says(""))
		_, err := rt.Handler()
		requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
		require.ErrorContains(t, err, "httpmuxgo121")
		return
	}
	c := exec.Command(os.Args[0], "-test.run=^TestTheOldMuxIsRefused$", "-test.v")
	c.Env = append(os.Environ(), "GODEBUG=httpmuxgo121=1", in+"=1")
	out, err := c.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "PASS: TestTheOldMuxIsRefused")
}

func TestARoutedSuccessAllocatesLittle(t *testing.T) {
	v := accepts(bearergate.Claims{Scopes: scope.Of("read", "doc:7")})
	gate := newGate(t, v, middleware.Config{})
	nothing := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	bare := http.NewServeMux()
	bare.Handle("GET /orders/{id}", nothing)
	measure := func(h http.Handler) float64 {
		w, r := discard{http.Header{}}, bearer("GET", good)
		r.URL.Path = "/orders/7"
		return testing.AllocsPerRun(200, func() { h.ServeHTTP(w, r) })
	}
	routed := func(need scope.Requirement, opts ...middleware.RouteOption) float64 {
		rt := gate.NewRouter()
		rt.Handle("GET /orders/{id}", need, nothing, opts...)
		return measure(built(t, rt))
	}
	without := measure(bare)
	require.LessOrEqual(t, routed(scope.All("read"))-without, 2.0, "the request with its context, and the context; 4 are allowed")
	// Filling a template costs, and nothing else does.
	require.Greater(t, routed(scope.Template("doc:{id}"))-without, 2.0)
	require.LessOrEqual(t, routed(scope.Template("doc:{id}"))-without, 12.0)
}

func BenchmarkRouter(b *testing.B) {
	gate := newGate(b, accepts(bearergate.Claims{Scopes: scope.Of("read", "doc:7")}), middleware.Config{})
	nothing := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	bare := http.NewServeMux()
	bare.Handle("GET /orders/{id}", nothing)
	handlers := map[string]http.Handler{"bare mux": bare}
	for name, need := range map[string]scope.Requirement{"scope": scope.All("read"), "template": scope.Template("doc:{id}")} {
		rt := gate.NewRouter()
		rt.Handle("GET /orders/{id}", need, nothing)
		handlers[name] = built(b, rt)
	}
	for name, h := range handlers {
		b.Run(name, func(b *testing.B) {
			w, r := discard{http.Header{}}, bearer("GET", good)
			r.URL.Path = "/orders/7"
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(w, r)
			}
		})
	}
}

// Two patterns may meet only where no route's own sample path lies, and only on
// a host that one of them names.
func TestHeadSideDoorsWithHosts(t *testing.T) {
	for _, tt := range []struct{ get, head, other string }{
		{"GET /{y}/b", "HEAD h.example/a/{x}", ""},
		{"GET /a/b", "HEAD h.example/a/{x...}", ""},
		{"/a/{y}/c", "HEAD h.example/a/b/", ""},
		{"GET h.example/a/{x...}", "HEAD h.example/a/b", ""},
		{"GET /{y}/b/", "HEAD h.example/a/{z}/{x}", ""},
		{"GET /a/{z}/{x}", "HEAD h.example/{y}/b/", ""},
		{"GET /{x}", "HEAD h.example/{x}", "HEAD h.example/%7Bx%7D"}, // a path that looks like a wildcard
	} {
		rt := newGate(t, granting(), middleware.Config{}).NewRouter()
		rt.Handle(tt.get, scope.All("admin"), says("get"))
		rt.Public(tt.head, says("head"))
		if tt.other != "" {
			rt.Handle(tt.other, scope.All("admin"), says("other")) // as GET
		}
		_, err := rt.Handler()
		requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
		require.ErrorContains(t, err, "HEAD has another policy", tt.head)
	}
	rt := newGate(t, granting(), middleware.Config{}).NewRouter()
	rt.Handle("GET /a/{x}", scope.All("admin"), says("get"))
	rt.Public("HEAD h.example/b/{x}", says("head"))
	built(t, rt)
}

// Every pair of short patterns: where HEAD is let in and GET is not, Handler
// said so.
func TestHeadSideDoorsOfAllShortPatterns(t *testing.T) {
	// Up to two segments, each also with an end; {N} gets a name of its own.
	grow := func(list, segments, ends []string) []string {
		stems := []string{""}
		for range 2 {
			var longer []string
			for _, stem := range stems {
				for _, s := range segments {
					next := stem + "/" + strings.ReplaceAll(s, "N", strings.Repeat("n", len(stem)+1))
					list, longer = append(list, next), append(longer, next)
					for _, end := range ends {
						list = append(list, next+end)
					}
				}
			}
			stems = longer
		}
		return list
	}
	patterns := grow([]string{"/{r...}", "/{$}"}, []string{"a", "b", "{N}"}, []string{"/", "/{$}", "/{r...}"})
	paths := grow([]string{"/"}, []string{"a", "b", "c"}, []string{"/", "/d", "/d/"})
	pairs := 0
	for _, get := range patterns {
		for _, head := range patterns {
			rt := newGate(t, granting(), middleware.Config{}).NewRouter()
			rt.Handle("GET "+get, scope.All("admin"), says("get"))
			rt.Public("HEAD h.example"+head, says("head"))
			h, err := rt.Handler()
			if err != nil {
				continue
			}
			pairs++
			for _, path := range paths {
				status := func(method string) int {
					w := httptest.NewRecorder()
					h.ServeHTTP(w, httptest.NewRequest(method, "http://h.example"+path, nil))
					return w.Code
				}
				if status("HEAD") == 200 && status("GET") == 401 {
					t.Errorf("GET %s and HEAD h.example%s: a side door at %s", get, head, path)
					break
				}
			}
		}
	}
	require.Positive(t, pairs)
}

// ServeMux cleans no path of CONNECT and leaves the port in its host.
func TestConnectIsNoRoute(t *testing.T) {
	rt := newGate(t, granting(), middleware.Config{}).NewRouter()
	rt.Handle("/orders/", scope.All("read"), says("orders"))
	rt.Handle("/t/{tenant}/docs/{id}", scope.Template("doc:{tenant}:{id}"), says("doc"))
	h := built(t, rt)
	for _, path := range []string{"/orders/../admin", "/t//docs/mine", "/orders/x"} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Method, r.URL = "CONNECT", &url.URL{Path: path}
		r.Header.Set("Authorization", with("read+doc:mine:mine"))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		require.Equal(t, 405, w.Code, path)
	}

	// A mux of somebody's own lets them through to the gate.
	mux := http.NewServeMux()
	mux.Handle("/t/{tenant}/docs/{id}", newGate(t, granting(), middleware.Config{}).Require(scope.Template("doc:{tenant}:{id}"))(says("doc")))
	r := httptest.NewRequest("GET", "/", nil)
	r.Method, r.URL = "CONNECT", &url.URL{Path: "/t//docs/mine"}
	r.Header.Set("Authorization", with("doc:mine:mine"))
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	require.Equal(t, 403, w.Code)
}

type holding struct{ bearergate.Verifier }

func TestVerifiersThatCannotBeCompared(t *testing.T) {
	rt := newGate(t, granting(), middleware.Config{}).NewRouter()
	v := holding{granting()} // comparable as a type, and not what it holds
	rt.Authenticated("GET /x", says("get"), middleware.Via(v))
	rt.Authenticated("HEAD /x", says("head"), middleware.Via(v))
	for range 2 {
		h, err := rt.Handler()
		require.Nil(t, h)
		requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
		require.ErrorContains(t, err, "HEAD has another policy")
	}

	// A verifier of its own is one also where it is that of the gate.
	same := &structVerifier{granting()}
	for _, tt := range []struct{ get, head []middleware.RouteOption }{{get: []middleware.RouteOption{middleware.Via(same)}}, {head: []middleware.RouteOption{middleware.Via(same)}}} {
		rt := newGate(t, same, middleware.Config{}).NewRouter()
		rt.Authenticated("GET /x", says("get"), tt.get...)
		rt.Authenticated("HEAD /x", says("head"), tt.head...)
		_, err := rt.Handler()
		requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
		require.ErrorContains(t, err, "HEAD has another policy")
	}
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

// In a roll-out, too, nobody is taken for the sender whom a token is bound to
// unless Confirm says so, whatever sentinel its error wraps.
func TestReportOnlyWithAnUnconfirmedBinding(t *testing.T) {
	bound := reader
	bound.Confirmation = map[string][]byte{"jkt": []byte(`"x"`)}
	usage, err := usage.New(usage.Config{})
	require.NoError(t, err)
	for _, kind := range sentinels {
		gate := newGate(t, accepts(bound), middleware.Config{
			InsecureReportOnly: true, Hooks: usage.Hooks(),
			Confirm: func(*http.Request, *bearergate.Token) error { return fmt.Errorf("not the holder: %w", kind) },
		})
		ran := false
		gate.Require(scope.All("read"))(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			ran = true
			_, ok := bearergate.FromContext(r.Context())
			require.False(t, ok, "%v", kind)
		})).ServeHTTP(httptest.NewRecorder(), bearer("GET", good))
		require.True(t, ran)
	}
	clients, _ := usage.Report()
	require.Empty(t, clients)
}

// What an outer handler had in mind for its answer does not describe a refusal.
func TestRefusalsDropOuterHeaders(t *testing.T) {
	gate := newGate(t, accepts(reader), middleware.Config{})
	w := httptest.NewRecorder()
	for _, name := range []string{"Content-Encoding", "ETag", "Last-Modified", "Expires", "CDN-Cache-Control", "Surrogate-Control"} {
		w.Header().Set(name, "x")
	}
	gate.Require(scope.All("read"))(forbidden(t)).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	require.Equal(t, 401, w.Code)
	w.Header().Del("Date")
	require.Len(t, w.Header(), 3, "%v", w.Header()) // WWW-Authenticate, Cache-Control, Content-Type
}
