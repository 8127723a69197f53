package otelgate_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	otelgate "github.com/bearergate/bearergate/adapters/otel"
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
	spans, metrics := tracetest.NewInMemoryExporter(), sdkmetric.NewManualReader() // stand for your exporters

	telemetry, err := otelgate.New(otelgate.Config{
		TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans)),
		MeterProvider:  sdkmetric.NewMeterProvider(sdkmetric.WithReader(metrics)),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	v, err := jwtverify.New(jwtverify.Config{
		Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client(),
		Hooks: telemetry.VerifyHooks(), KeyHooks: telemetry.KeyHooks(),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	gate, err := middleware.New(v, middleware.Config{Hooks: telemetry.GateHooks()})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.Handle("GET /orders/{id}", gate.Require(scope.All("orders:read"))(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))

	token := as.Token(authtest.Claims{Scopes: scope.Of("orders:read")})
	for range 3 { // the second and the third cost no span
		r := httptest.NewRequest("GET", "/orders/7", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		mux.ServeHTTP(httptest.NewRecorder(), r)
	}

	for _, span := range spans.GetSpans() {
		fmt.Println(span.Name)
	}
	var collected metricdata.ResourceMetrics
	if err := metrics.Collect(context.Background(), &collected); err != nil {
		fmt.Println(err)
		return
	}
	for _, m := range collected.ScopeMetrics[0].Metrics {
		if sum, ok := m.Data.(metricdata.Sum[int64]); ok && m.Name == "bearergate.decisions" {
			for _, point := range sum.DataPoints {
				fmt.Println(m.Name, point.Value)
				for _, a := range point.Attributes.ToSlice() {
					fmt.Println(" ", a.Key, a.Value.String())
				}
			}
		}
	}
	// Output:
	// bearergate.jwks.fetch
	// bearergate.verify
	// bearergate.decisions 3
	//   bearergate.source header
	//   http.request.method GET
	//   http.route /orders/{id}
}
