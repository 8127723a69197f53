package otelgate_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"

	"github.com/bearergate/bearergate"
	otelgate "github.com/bearergate/bearergate/adapters/otel"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/middleware/usage"
	"github.com/bearergate/bearergate/scope"
)

func TestWatchUsage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		u, err := usage.New(usage.Config{})
		require.NoError(t, err)
		gate, err := middleware.New(bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) {
			return bearergate.NewToken(bearergate.Claims{Scopes: scope.Of("orders:read", "secret:one", "secret:two", "ignored")}), nil
		}), middleware.Config{Hooks: middleware.JoinHooks(u.Hooks(), r.GateHooks())})
		require.NoError(t, err)
		rt := gate.NewRouter()
		rt.Handle("GET /orders", scope.All("orders:read"), http.NotFoundHandler())
		h, err := rt.Handler()
		require.NoError(t, err)
		req := httptest.NewRequestWithContext(t.Context(), "GET", "/orders", nil)
		req.Header.Set("Authorization", "Bearer x")
		h.ServeHTTP(httptest.NewRecorder(), req)

		for name, err := range map[string]error{
			"no usage":     r.WatchUsage(nil, nil, rt),
			"no router":    r.WatchUsage(u, nil),
			"a nil router": r.WatchUsage(u, nil, nil),
		} {
			require.ErrorIs(t, err, bearergate.ErrMisconfigured, name)
			require.ErrorContains(t, err, "WatchUsage", name)
		}
		require.Empty(t, r.points(t, "bearergate.unasked_scopes"))
		require.NoError(t, r.WatchUsage(u, []string{"ignored"}, rt))
		require.Equal(t, map[string]int{"": 2}, r.points(t, "bearergate.unasked_scopes"))
		require.ErrorIs(t, r.WatchUsage(u, nil, rt), bearergate.ErrMisconfigured)
		r.KeyHooks().KeySkipped(t.Context(), skippedKey)
		r.requireDiscreet(t, "secret:one", "secret:two")

		broken, err := otelgate.New(otelgate.Config{MeterProvider: lateProvider{}})
		require.NoError(t, err)
		require.ErrorContains(t, broken.WatchUsage(u, nil, rt), "no more instruments")
	})
}

var skippedKey = jwks.KeyEvent{Issuer: "i"}

// lateProvider is a meter that makes no observable gauge.
type lateProvider struct{ metricnoop.MeterProvider }

func (lateProvider) Meter(string, ...metric.MeterOption) metric.Meter { return lateMeter{} }

type lateMeter struct{ metricnoop.Meter }

func (lateMeter) Int64ObservableGauge(string, ...metric.Int64ObservableGaugeOption) (metric.Int64ObservableGauge, error) {
	return nil, errors.New("no more instruments")
}
