package sloggate_test

import (
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	sloggate "github.com/bearergate/bearergate/adapters/slog"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

// nobody reads: slog has a shortcut for io.Discard.
type nobody struct{}

func (nobody) Write(b []byte) (int, error) { return len(b), nil }

// What a record of a decision costs, with the handler that writes it as JSON to nobody.
func BenchmarkDecision(b *testing.B) {
	full := claims
	full.SessionID, full.Tenant, full.Roles, full.Key = "s-1", "acme", []string{"admin", "clerk"}, [32]byte{1}
	for name, e := range map[string]middleware.DecisionEvent{
		"accepted": {Token: bearergate.NewToken(claims), Source: middleware.SourceHeader, Required: scope.All("orders:read"), Method: "GET", Pattern: "GET /orders/{id}", Duration: time.Microsecond},
		"accepted, says everything": {Token: bearergate.NewToken(full), Source: middleware.SourceHeader, Required: scope.All("orders:read"), Method: "GET", Pattern: "GET /orders/{id}", Duration: time.Microsecond,
			Address: netip.MustParseAddr("203.0.113.5")},
		"refused": {Err: bearergate.ErrInvalidToken, Source: middleware.SourceHeader, Required: scope.All("orders:read"), Method: "GET", Pattern: "GET /orders/{id}", Duration: time.Microsecond},
	} {
		b.Run(name, func(b *testing.B) {
			a, err := sloggate.New(sloggate.Config{Handler: slog.NewJSONHandler(nobody{}, nil), MaxPerSecond: 1 << 30})
			if err != nil {
				b.Fatal(err)
			}
			decided := a.GateHooks().Decided
			b.ReportAllocs()
			for b.Loop() {
				decided(b.Context(), e)
			}
		})
	}
}
