package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
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

	maxClients, maxTenants = 20, 20 // that have a name in metrics; default: none
)

type api struct {
	handler    http.Handler
	warm       func(context.Context) error // fetches the keys
	revocation prometheus.Observer         // seconds from a revocation until the token opens nothing
	up         prometheus.Gauge            // whether the authorization server answers, as the example plays it
}

// newAPI returns an API wired for telemetry: one set of hooks for each package,
// and the key cache watched.
func newAPI(issuer string, client *http.Client) (api, error) {
	registry := prometheus.NewRegistry()
	metrics, err := promgate.New(promgate.Config{Registerer: registry, MaxClients: maxClients, MaxTenants: maxTenants, TraceOf: traceOf})
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
	jwts, err := jwtverify.New(jwtverify.Config{Issuer: issuer, Audiences: audiences, Keys: keys, Map: tenant, Hooks: metrics.VerifyHooks()})
	if err != nil {
		return api{}, err
	}
	opaque, err := introspect.New(introspect.Config{Issuer: issuer, Audiences: audiences, HTTPClient: client,
		Auth: introspect.BasicAuth(clientID, clientSecret), PositiveTTL: positiveTTL, NegativeTTL: negativeTTL, Map: tenant,
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
	revocation, up := newRevocationSLI(), newUp()
	for _, c := range []prometheus.Collector{revocation, up} {
		if err := registry.Register(c); err != nil {
			return api{}, err
		}
	}

	router := gate.NewRouter()
	if err := metrics.WatchUsage(scopes, nil, router); err != nil { // scopes that no route asks for
		return api{}, err
	}
	router.Handle("GET /orders", scope.All("orders:read"), http.HandlerFunc(hello))
	router.Handle("POST /orders", scope.All("orders:write"), http.HandlerFunc(hello))
	router.Handle("GET /account", scope.All("account:read"), http.HandlerFunc(hello), middleware.Via(opaque)) // opaque tokens
	// In earnest, on a port of its own that only the Prometheus reaches.
	router.Public("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorHandling: promhttp.HTTPErrorOnError, EnableOpenMetrics: true, // which has exemplars
	}))
	handler, err := router.Handler()
	if err != nil {
		return api{}, err
	}
	return api{traced(handler), jwts.Warm, revocation, up}, nil
}

// traced stands for the handler of your tracer, otelhttp for example: it puts the trace into
// the context, here that of the header traceparent (W3C Trace Context), if it is sampled.
func traced(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if of := strings.Split(r.Header.Get("Traceparent"), "-"); len(of) == 4 && of[3] == "01" {
			r = r.WithContext(context.WithValue(r.Context(), traceKey{}, of))
		}
		next.ServeHTTP(w, r)
	})
}

type traceKey struct{}

// traceOf asks your tracer, trace.SpanContextFromContext for example.
func traceOf(ctx context.Context) (traceID, spanID string) {
	if of, ok := ctx.Value(traceKey{}).([]string); ok {
		return of[1], of[2]
	}
	return "", ""
}

// tenant takes the tenant from the claim into which this authorization server writes it.
func tenant(c *bearergate.Claims) error {
	var claims struct {
		Tenant string `json:"tenant"`
	}
	err := bearergate.NewToken(*c).Claims(&claims)
	c.Tenant = claims.Tenant
	return err
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

// newUp tells when the outage was, for whoever looks at it afterwards.
func newUp() prometheus.Gauge {
	up := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "example_authorization_server_up",
		Help: "Whether the authorization server of the example answers: 1, and 0 in its outage.",
	})
	up.Set(1)
	return up
}

func hello(w http.ResponseWriter, r *http.Request) {
	token, ok := bearergate.FromContext(r.Context())
	if !ok {
		http.Error(w, "this handler must be behind a gate", http.StatusInternalServerError)
		return
	}
	fmt.Fprintf(w, "hello %s\n", token.Subject())
}
