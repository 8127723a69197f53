package promgate_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	promgate "github.com/bearergate/bearergate/adapters/prometheus"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

func Example() {
	as, err := authtest.Start(authtest.WithInMemory()) // stands for your authorization server
	if err != nil {
		fmt.Println(err)
		return
	}
	defer as.Close()

	registry := prometheus.NewRegistry() // or prometheus.DefaultRegisterer
	metrics, err := promgate.New(promgate.Config{Registerer: registry})
	if err != nil {
		fmt.Println(err)
		return
	}
	v, err := jwtverify.New(jwtverify.Config{
		Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client(),
		Hooks: metrics.VerifyHooks(), KeyHooks: metrics.KeyHooks(),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := metrics.Watch(v.Keys()); err != nil {
		fmt.Println(err)
		return
	}
	gate, err := middleware.New(v, middleware.Config{Hooks: metrics.GateHooks()})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.Handle("GET /orders/{id}", gate.Require(scope.All("orders:read"))(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))

	token := as.Token(authtest.Claims{Scopes: scope.Of("orders:read")})
	for _, authorization := range []string{"Bearer " + token, "Bearer " + token, "Bearer forged"} {
		r := httptest.NewRequest("GET", "/orders/7", nil)
		r.Header.Set("Authorization", authorization)
		mux.ServeHTTP(httptest.NewRecorder(), r)
	}

	scraped := httptest.NewRecorder()
	mux.ServeHTTP(scraped, httptest.NewRequest("GET", "/metrics", nil))
	for line := range strings.Lines(scraped.Body.String()) {
		if strings.HasPrefix(line, "bearergate_decisions_total") || strings.HasPrefix(line, "bearergate_jwks_state{") && strings.HasSuffix(line, " 1\n") {
			fmt.Print(line)
		}
	}
	// Output:
	// bearergate_decisions_total{outcome="accepted",pattern="GET /orders/{id}",reason="",report_only="false"} 2
	// bearergate_decisions_total{outcome="refused",pattern="GET /orders/{id}",reason="malformed",report_only="false"} 1
	// bearergate_jwks_state{issuer="https://as.example.test",state="fresh"} 1
}
