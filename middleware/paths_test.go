package middleware_test

import (
	"errors"
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
	"github.com/bearergate/bearergate/scope"
)

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
						if header == "" {
							d := rt.Decide(r)
							if d.Unrouted == 400 || errors.Is(d.Err, bearergate.ErrMisconfigured) || host != strings.TrimSuffix(strings.ToLower(host), ".") {
								continue // it is stricter, and knows hosts by other spellings
							}
							require.Equal(t, w.Code, verdict(d), "Decide: %s %s%s", method, host, p)
						}
						if ran == name && w.Code == 200 {
							entered[name] = true
						}
						// Only the method and the target that net/http sees decide.
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
			d, w := rt.Decide(r), httptest.NewRecorder()
			if ran != "" {
				t.Fatalf("%s %s %s: Decide ran %s", method, host, target, ran)
			}
			h.ServeHTTP(w, r)
			if d.Unrouted == 400 || method == "" || host != strings.TrimSuffix(strings.ToLower(host), ".") {
				continue // it is stricter, takes no method for GET, and knows hosts by other spellings
			}
			if (ran != "") != (d.Err == nil) || w.Code != verdict(d) || ran != strings.ReplaceAll(d.Pattern, " ", "_") && d.Err == nil {
				t.Fatalf("%s %s %s: %d of %q, and Decide says %v", method, host, target, w.Code, ran, d)
			}
			if ran != "" && ran != route.Required.Scopes()[0] {
				t.Fatalf("%s %s %s: %s ran for a token of %s", method, host, target, ran, route.Pattern)
			}
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
	rt := newGate(t, granting(), middleware.Config{}).NewRouter()
	rt.Handle("/x", scope.All("read"), says(""))
	_, err := rt.Handler()
	if os.Getenv(in) != "" {
		requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
		require.ErrorContains(t, err, "httpmuxgo121")
		return
	}
	require.NoError(t, err)
	c := exec.Command(os.Args[0], "-test.run=^TestTheOldMuxIsRefused$", "-test.v")
	c.Env = append(os.Environ(), "GODEBUG=httpmuxgo121=1", in+"=1")
	out, err := c.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "PASS: TestTheOldMuxIsRefused")
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
		require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
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
