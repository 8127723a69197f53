package otelgate_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/bearergate/bearergate"
	otelgate "github.com/bearergate/bearergate/adapters/otel"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
)

// BenchmarkOptions is what the options cost a gate whose requests have no span: with names
// for its clients and tenants, of a client that has one and of one that has not.
func BenchmarkOptions(b *testing.B) {
	named := bearergate.NewToken(bearergate.Claims{Issuer: "https://as.example.test", ClientID: "shop", Tenant: "t1"})
	late := bearergate.NewToken(bearergate.Claims{Issuer: "https://as.example.test", ClientID: "late", Tenant: "t2"})
	for _, bb := range []struct {
		name   string
		places int
		token  *bearergate.Token
	}{
		{name: "off", token: named},
		{name: "named", places: 1, token: named},
		{name: "other", places: 1, token: late},
	} {
		gate := with(b, func(c *otelgate.Config) { c.MaxClients, c.MaxTenants = bb.places, bb.places }).GateHooks()
		gate.Decided(b.Context(), decision(named, nil))
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				gate.Decided(b.Context(), middleware.DecisionEvent{Method: "GET", Pattern: "GET /", Token: bb.token, Duration: 1000})
			}
		})
	}
}

// BenchmarkHooks is what the hooks cost on the way of a token that was seen before, and of
// one that is refused: what they cost in a service that has all options off.
func BenchmarkHooks(b *testing.B) {
	token := bearergate.NewToken(bearergate.Claims{Issuer: "https://as.example.test", ClientID: "shop", Tenant: "t1"})
	refusal := &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonExpired}
	telemetry, err := otelgate.New(otelgate.Config{MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader()))})
	require.NoError(b, err)
	verify, gate := telemetry.VerifyHooks(), telemetry.GateHooks()
	b.Run("verified", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			verify.Verified(b.Context(), jwtverify.VerifyEvent{Issuer: token.Issuer(), Token: token, Cached: true, Duration: 1000})
		}
	})
	b.Run("accepted", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			gate.Decided(b.Context(), middleware.DecisionEvent{Method: "GET", Pattern: "GET /orders/{id}", Token: token, Duration: 1000})
		}
	})
	b.Run("refused", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			gate.Decided(b.Context(), middleware.DecisionEvent{Method: "GET", Pattern: "GET /orders/{id}", Err: refusal, Reason: refusal.Reason, Duration: 1000})
		}
	})
}
