package middleware_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

// A HEAD pattern with the policy of its GET is fine, and so is one without a GET.
func TestHEADWithThePolicyOfGET(t *testing.T) {
	gate := newGate(t, granting(), middleware.Config{Bindings: bindings(dpop(proven))})
	rt := gate.NewRouter()
	ok := says("")
	v := &structVerifier{granting()}
	rt.Handle("GET /a/{x}", scope.All("read"), ok, middleware.StepUp([]string{"a", "b"}, 1e9), middleware.Via(v), middleware.Recheck(1e9))
	rt.Handle("HEAD /a/{y}", scope.All("read"), ok, middleware.Recheck(1e9), middleware.Via(v), middleware.StepUp([]string{"a", "b"}, 1e9))
	allow := middleware.Allow(policy)
	rt.Handle("GET /aa/{x}", scope.All("read"), ok, middleware.Bound(), allow)
	rt.Handle("HEAD /aa/{x}", scope.All("read"), ok, allow, middleware.Bound())
	rt.Public("HEAD /b", ok)
	rt.Handle("GET /g/h", scope.All("read"), ok)
	rt.Group("/g", scope.Requirement{}).Handle("HEAD /h", scope.All("read"), ok)
	rt.Handle("GET /g2/h", scope.All("read"), ok)
	rt.Group("/g2", scope.All("read")).Handle("HEAD /h", scope.Requirement{}, ok)
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
