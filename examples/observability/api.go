package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/bearergate/bearergate"
	promgate "github.com/bearergate/bearergate/adapters/prometheus"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/middleware/usage"
	"github.com/bearergate/bearergate/scope"
)

const (
	clientID, clientSecret = "orders-api", "not-a-secret"

	keysTTL     = 10 * time.Second // default: 10 min
	positiveTTL = 5 * time.Second  // default: 30 s
	negativeTTL = time.Second      // default: 5 s
)

type api struct {
	handler    http.Handler
	warm       func(context.Context) error // fetches the keys
	revocation prometheus.Observer         // seconds from a revocation until the token opens nothing
}

// newAPI returns an API wired for telemetry: one set of hooks for each package,
// and the key cache watched.
func newAPI(issuer string, client *http.Client) (api, error) {
	registry := prometheus.NewRegistry()
	metrics, err := promgate.New(promgate.Config{Registerer: registry})
	if err != nil {
		return api{}, err
	}
	keys, err := jwks.New(jwks.Config{Issuer: issuer, HTTPClient: client, TTL: keysTTL, MinTTL: keysTTL, Hooks: metrics.KeyHooks()})
	if err != nil {
		return api{}, err
	}
	if err := metrics.Watch(keys); err != nil { // how old the keys are, read at every scrape
		return api{}, err
	}
	audiences := []string{authtest.DefaultAudience}
	jwts, err := jwtverify.New(jwtverify.Config{Issuer: issuer, Audiences: audiences, Keys: keys, Hooks: metrics.VerifyHooks()})
	if err != nil {
		return api{}, err
	}
	opaque, err := introspect.New(introspect.Config{Issuer: issuer, Audiences: audiences, HTTPClient: client,
		Auth: introspect.BasicAuth(clientID, clientSecret), PositiveTTL: positiveTTL, NegativeTTL: negativeTTL,
		Hooks: metrics.IntrospectHooks()})
	if err != nil {
		return api{}, err
	}
	scopes, err := usage.New(usage.Config{})
	if err != nil {
		return api{}, err
	}
	gate, err := middleware.New(jwts, middleware.Config{Hooks: middleware.JoinHooks(metrics.GateHooks(), scopes.Hooks())})
	if err != nil {
		return api{}, err
	}
	revocation := newRevocationSLI()
	if err := registry.Register(revocation); err != nil {
		return api{}, err
	}

	router := gate.NewRouter()
	if err := metrics.WatchUsage(scopes, nil, router); err != nil { // scopes that no route asks for
		return api{}, err
	}
	router.Handle("GET /orders", scope.All("orders:read"), http.HandlerFunc(hello))
	router.Handle("POST /orders", scope.All("orders:write"), http.HandlerFunc(hello))
	router.Handle("GET /account", scope.All("account:read"), http.HandlerFunc(hello), middleware.Via(opaque)) // opaque tokens
	// In earnest, on a port of its own that only the Prometheus reaches.
	router.Public("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError}))
	handler, err := router.Handler()
	return api{handler, jwts.Warm, revocation}, err
}

// newRevocationSLI measures what only a prober can know: it takes somebody who
// revokes tokens and goes on using them.
func newRevocationSLI() prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "example_revocation_to_refusal_seconds",
		Help:    "How long a revoked opaque token still opened a route.",
		Buckets: []float64{0.1, 0.25, 0.5, 1, 2, 3, 4, 5, 6, 8, 10, 15, 30, 60, 300},
		// A native histogram too, for servers that scrape those.
		NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100, NativeHistogramMinResetDuration: time.Hour,
	})
}

func hello(w http.ResponseWriter, r *http.Request) {
	token, ok := bearergate.FromContext(r.Context())
	if !ok {
		http.Error(w, "this handler must be behind a gate", http.StatusInternalServerError)
		return
	}
	fmt.Fprintf(w, "hello %s\n", token.Subject())
}
