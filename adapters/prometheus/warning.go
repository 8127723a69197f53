package promgate

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/middleware/usage"
)

// The buckets of tokens: 15 minutes are among the lifetimes, and the common limits of headers
// and the longest token that is looked at by default among the sizes.
var (
	lifetimeBuckets = []float64{60, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 43200, 86400, 7 * 86400}
	sizeBuckets     = []float64{256, 512, 1024, 2048, 3072, 4096, 6144, 8192, 12288, 16384, 32768}
)

// warnings makes the metrics of what may break.
func (m *Metrics) warnings() {
	gauge := func(name, help string) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: prefix + name, Help: help}, []string{"issuer", "endpoint"})
		m.all = append(m.all, g)
		return g
	}
	histogram := func(name, help string, buckets []float64) *prometheus.HistogramVec {
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: prefix + name, Help: help, Buckets: buckets,
			NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100, NativeHistogramMinResetDuration: time.Hour}, []string{"issuer", "verifier"})
		m.all = append(m.all, h)
		return h
	}
	m.skew = gauge("issuer_clock_skew_seconds", "By how much the clock of the issuer is ahead of that of this machine, by the Date of its last answer.")
	m.skewUncertainty = gauge("issuer_clock_skew_uncertainty_seconds", "How far the skew may be from the truth, in either direction.")
	m.certificateExpiry = gauge("issuer_certificate_expiry_timestamp_seconds", "When the TLS certificates of the issuer are no longer good, in Unix time.")
	m.tokenLifetime = histogram("token_lifetime_seconds", "How long accepted tokens were given to live.", lifetimeBuckets)
	m.tokenSize = histogram("token_size_bytes", "How long accepted tokens are.", sizeBuckets)
	m.earlyKeys = m.counter("jwks_early_keys", "Keys that were used less than one TTL after they appeared: others cannot have them yet.", "issuer")
	m.removedKeys = m.counter("jwt_removed_key_refusals", "Tokens that had been accepted and were refused because their key is published no more.", "issuer")
	m.queryTokens = m.counter("query_tokens", "Requests with a parameter access_token in their query, which is never read.", "outcome", "pattern")
}

// server tells of the clock and the certificate of an issuer. Those that MaxIssuers leaves
// without a label of their own are left out: "other" is nobody's clock.
func (m *Metrics) server(issuer, endpoint string, s bearergate.Server) {
	if !s.ClockKnown && s.CertificateExpires.IsZero() {
		return
	}
	label, own := m.bounds.admit("issuer", issuer)
	if !own {
		return
	}
	if s.ClockKnown {
		m.skew.WithLabelValues(label, endpoint).Set(s.Ahead.Seconds())
		m.skewUncertainty.WithLabelValues(label, endpoint).Set(s.Within.Seconds())
	}
	if !s.CertificateExpires.IsZero() {
		m.certificateExpiry.WithLabelValues(label, endpoint).Set(float64(s.CertificateExpires.Unix()))
	}
}

// token tells of a token that was verified anew.
func (m *Metrics) token(issuer, verifier string, bytes int, lifetime time.Duration) {
	if bytes == 0 {
		return
	}
	label := m.issuer(issuer)
	m.tokenSize.WithLabelValues(label, verifier).Observe(float64(bytes))
	if lifetime > 0 {
		m.tokenLifetime.WithLabelValues(label, verifier).Observe(lifetime.Seconds())
	}
}

// senderOf is the outcome of a request with a token in its query. A route that lets in who has
// no token accepts a stranger, and no client is to blame for that.
func senderOf(e middleware.DecisionEvent, outcome string) string {
	if e.Err == nil && e.Token == nil {
		return "anonymous"
	}
	return outcome
}

// WatchUsage tells how many scopes clients were granted that no route of the routers asks
// for: of u, whose hooks have to be among those of the gates, as [usage.Report.Unasked] has
// it. ignore are scopes that are none of them. Which they are, is in the report, and in no
// label. It is worked out anew at a scrape, at most once a minute.
//
// A nil Usage, no router and a nil one are errors, [bearergate.ErrMisconfigured], and so is a
// second call, whose series would be the same. What is given is kept for as long as the
// Metrics.
func (m *Metrics) WatchUsage(u *usage.Usage, ignore []string, routers ...*middleware.Router) error {
	count, err := u.UnaskedBy(ignore, routers...)
	if err != nil {
		return misconfigured(fmt.Errorf("WatchUsage: %w", err))
	}
	if !m.usage.count.CompareAndSwap(nil, &count) {
		return misconfigured(errors.New("WatchUsage: a Usage is watched: give all routers in one call, or make a Metrics with a label of its own"))
	}
	return nil
}

// watchedUsage is a prometheus.Collector of the scopes that no route asks for.
type watchedUsage struct{ count atomic.Pointer[func() int] }

var unaskedDesc = prometheus.NewDesc(prefix+"unasked_scopes", "Scopes that clients were granted and no route asks for.", nil, nil)

func (w *watchedUsage) Describe(out chan<- *prometheus.Desc) { out <- unaskedDesc }

func (w *watchedUsage) Collect(out chan<- prometheus.Metric) {
	if count := w.count.Load(); count != nil {
		out <- prometheus.MustNewConstMetric(unaskedDesc, prometheus.GaugeValue, float64((*count)()))
	}
}
