package otelgate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/middleware/usage"
)

// The bounds of tokens: 15 minutes are among the lifetimes, and the common limits of headers
// and the longest token that is looked at by default among the sizes.
var (
	lifetimeBounds = []float64{60, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 43200, 86400, 7 * 86400}
	sizeBounds     = []float64{256, 512, 1024, 2048, 3072, 4096, 6144, 8192, 12288, 16384, 32768}
)

// warnings makes the instruments of what may break.
func (t *Telemetry) warnings(counter func(name, unit, description string) metric.Int64Counter) error {
	var errs []error
	gauge := func(name, description string) metric.Float64Gauge {
		g, err := t.meter.Float64Gauge(name, metric.WithUnit("s"), metric.WithDescription(description))
		errs = append(errs, err)
		return g
	}
	histogram := func(name, unit, description string, bounds []float64) metric.Float64Histogram {
		h, err := t.meter.Float64Histogram(name, metric.WithUnit(unit), metric.WithDescription(description), metric.WithExplicitBucketBoundaries(bounds...))
		errs = append(errs, err)
		return h
	}
	t.skew = gauge("bearergate.issuer.clock_skew", "By how much the clock of the issuer is ahead of that of this machine, by the Date of its last answer.")
	t.skewUncertainty = gauge("bearergate.issuer.clock_skew_uncertainty", "How far the skew may be from the truth, in either direction.")
	t.certificateExpiry = gauge("bearergate.issuer.certificate_expiry", "When the TLS certificates of the issuer are no longer good, in Unix time.")
	t.tokenLifetime = histogram("bearergate.token.lifetime", "s", "How long accepted tokens were given to live.", lifetimeBounds)
	t.tokenSize = histogram("bearergate.token.size", "By", "How long accepted tokens are.", sizeBounds)
	t.earlyKeys = counter("bearergate.jwks.early_keys", "{key}", "Keys that were used less than one TTL after they appeared: others cannot have them yet.")
	t.removedKeys = counter("bearergate.verify.removed_keys", "{token}", "Tokens that had been accepted and were refused because their key is published no more.")
	t.queryTokens = counter("bearergate.query_tokens", "{request}", "Requests with a parameter access_token in their query, which is never read.")
	return errors.Join(errs...)
}

func (t *Telemetry) server(ctx context.Context, issuer, endpoint string, s bearergate.Server) {
	o := t.otherSeries.of(otherLabels{issuer, keyEndpoint, endpoint}).record
	if s.ClockKnown {
		t.skew.Record(ctx, s.Ahead.Seconds(), o...)
		t.skewUncertainty.Record(ctx, s.Within.Seconds(), o...)
	}
	if !s.CertificateExpires.IsZero() {
		t.certificateExpiry.Record(ctx, float64(s.CertificateExpires.Unix()), o...)
	}
}

// token tells of a token that was verified anew.
func (t *Telemetry) token(ctx context.Context, issuer, verifier string, bytes int, lifetime time.Duration) {
	if bytes == 0 {
		return
	}
	o := t.otherSeries.of(otherLabels{issuer, keyVerifier, verifier}).record
	t.tokenSize.Record(ctx, float64(bytes), o...)
	if lifetime > 0 {
		t.tokenLifetime.Record(ctx, lifetime.Seconds(), o...)
	}
}

// WatchUsage tells as bearergate.unasked_scopes how many scopes clients were granted that no
// route of the routers asks for: of u, whose hooks have to be among those of the gates, as
// [usage.Report.Unasked] has it. ignore are scopes that are none of them. Which they are, is
// in the report, and in no attribute. It is worked out anew when the meter asks, at most once
// a minute.
//
// A nil Usage, no router and a nil one are errors, [bearergate.ErrMisconfigured], and so is a
// second call, whose series would be the same. What is given is kept for as long as the meter.
func (t *Telemetry) WatchUsage(u *usage.Usage, ignore []string, routers ...*middleware.Router) error {
	count, err := u.UnaskedBy(ignore, routers...)
	if err != nil {
		return misconfigured([]error{fmt.Errorf("WatchUsage: %w", err)})
	}
	if !t.usage.CompareAndSwap(false, true) {
		return misconfigured([]error{errors.New("WatchUsage: a Usage is watched: give all routers in one call")})
	}
	_, err = t.meter.Int64ObservableGauge("bearergate.unasked_scopes", metric.WithUnit("{scope}"), metric.WithDescription("Scopes that clients were granted and no route asks for."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(int64(count()))
			return nil
		}))
	if err != nil {
		t.usage.Store(false)
		return misconfigured([]error{err})
	}
	return nil
}
