package middleware_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

func TestSuccessAllocatesLittle(t *testing.T) {
	gate := newGate(t, accepts(bearergate.Claims{Scopes: scope.Of("read"), ACR: "mfa", AuthTime: time.Now()}), middleware.Config{})
	var ran int
	h := gate.Require(scope.All("read"), middleware.StepUp([]string{"mfa"}, time.Hour))(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { ran++ }))
	w, r := discard{http.Header{}}, bearer("GET", good)
	allocs := testing.AllocsPerRun(100, func() { h.ServeHTTP(w, r) })
	require.LessOrEqual(t, allocs, 3.0, "the credential, the request with its context, and the context")
	require.Equal(t, 101, ran)
	allocs = testing.AllocsPerRun(100, func() { _, _, _ = gate.Check(r, scope.Requirement{}) })
	require.LessOrEqual(t, allocs, 2.0, "the credential, and the value of the requirement at most")
}

// Decide asks for the handler each time.
func TestAHandlerIsBuiltOnce(t *testing.T) {
	rt := newGate(t, accepts(reader), middleware.Config{}).NewRouter()
	rt.Handle("GET /orders/{id}", scope.All("read"), says(""))
	built(t, rt)
	require.Zero(t, testing.AllocsPerRun(100, func() { _, _ = rt.Handler() }))
}

func BenchmarkRequire(b *testing.B) {
	gate := newGate(b, accepts(reader), middleware.Config{})
	h := gate.Require(scope.All("read"))(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	w, r := discard{http.Header{}}, bearer("GET", good)
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(w, r)
	}
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
	require.LessOrEqual(t, routed(scope.All("read"))-without, 3.0, "the credential, the request with its context, and the context; 4 are allowed")
	// Filling a template costs, and nothing else does.
	require.Greater(t, routed(scope.Template("doc:{id}"))-without, 3.0)
	require.LessOrEqual(t, routed(scope.Template("doc:{id}"))-without, 13.0)
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
