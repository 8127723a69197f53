package promgate_test

import (
	"context"
	"testing"

	"github.com/bearergate/bearergate"
	promgate "github.com/bearergate/bearergate/adapters/prometheus"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
)

// BenchmarkOptions is what the options cost a gate: with names for its clients and tenants,
// of a client that has one and of one that has not, and with exemplars.
func BenchmarkOptions(b *testing.B) {
	named := bearergate.NewToken(bearergate.Claims{Issuer: "https://as.example.test", ClientID: "shop", Tenant: "t1"})
	late := bearergate.NewToken(bearergate.Claims{Issuer: "https://as.example.test", ClientID: "late", Tenant: "t2"})
	for _, bb := range []struct {
		name   string
		config promgate.Config
		token  *bearergate.Token
	}{
		{name: "off", token: named},
		{name: "named", config: promgate.Config{MaxClients: 1, MaxTenants: 1}, token: named},
		{name: "other", config: promgate.Config{MaxClients: 1, MaxTenants: 1}, token: late},
		{name: "not sampled", config: promgate.Config{TraceOf: func(context.Context) (string, string) { return "", "" }}, token: named},
		{name: "sampled", config: promgate.Config{TraceOf: func(context.Context) (string, string) { return traceID, spanID }}, token: named},
	} {
		m, _ := newMetrics(b, bb.config)
		gate := m.GateHooks()
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
	m, _ := newMetrics(b, promgate.Config{})
	verify, gate := m.VerifyHooks(), m.GateHooks()
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
