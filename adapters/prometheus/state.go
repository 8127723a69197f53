package promgate

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/jwks"
)

// breakers tells the states of circuit breakers.
type breakers struct {
	gauge *prometheus.GaugeVec
	mu    sync.Mutex // guards known, and the gauges of one issuer as a whole
	known map[string]bool
}

// begin tells that a breaker is closed, as it is at first, unless more is known.
func (b *breakers) begin(issuer string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.known[issuer] {
		b.put(issuer, introspect.BreakerClosed)
	}
}

func (b *breakers) set(issuer string, state introspect.BreakerState) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.put(issuer, state)
}

func (b *breakers) put(issuer string, state introspect.BreakerState) {
	if b.known == nil {
		b.known = map[string]bool{}
	}
	b.known[issuer] = true
	for _, s := range []introspect.BreakerState{introspect.BreakerClosed, introspect.BreakerOpen, introspect.BreakerHalfOpen} {
		b.gauge.WithLabelValues(issuer, string(s)).Set(oneIf(s == state))
	}
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// Watch tells at every scrape how a cache is: its state, its keys, and when its
// server last confirmed them. keys is a [*jwks.Cache], as Keys of a
// jwtverify.Verifier returns it by default. Any other source has no state to
// watch, and is an error, [bearergate.ErrMisconfigured]; so is a second cache of
// one issuer, since their series would be the same, and one more than
// MaxIssuers. A cache that is watched already stays watched. It is watched, and
// kept, for as long as the Metrics.
func (m *Metrics) Watch(keys jwks.Source) error {
	cache, ok := keys.(*jwks.Cache)
	if !ok || cache == nil {
		return misconfigured(errors.New("Watch: only a *jwks.Cache has a state to watch"))
	}
	w := &m.watched
	w.mu.Lock()
	defer w.mu.Unlock()
	if slices.ContainsFunc(w.caches, func(c watchedCache) bool { return c.Cache == cache }) {
		return nil
	}
	issuer, ok := m.bounds.admit("issuer", cache.Issuer())
	switch {
	case !ok:
		return misconfigured(errors.New("Watch: more issuers than MaxIssuers"))
	case slices.ContainsFunc(w.caches, func(c watchedCache) bool { return c.issuer == issuer }):
		// Two series of one name and labels would make every scrape fail.
		return misconfigured(errors.New("Watch: another cache of this issuer is watched: share one, or make a Metrics with a label of its own"))
	}
	w.caches = append(w.caches, watchedCache{cache, issuer})
	return nil
}

// watched is a prometheus.Collector of the state of caches.
type watched struct {
	mu     sync.Mutex // guards caches
	caches []watchedCache
}

type watchedCache struct {
	*jwks.Cache
	issuer string // as a label
}

var (
	stateDesc       = prometheus.NewDesc(prefix+"jwks_state", "State of the key cache: 1 for the present one, else 0.", []string{"issuer", "state"}, nil)
	keysDesc        = prometheus.NewDesc(prefix+"jwks_keys", "Admitted keys in the cache.", []string{"issuer"}, nil)
	lastSuccessDesc = prometheus.NewDesc(prefix+"jwks_last_success_timestamp_seconds", "When the server last confirmed the keys, in Unix time.", []string{"issuer"}, nil)
	lastAttemptDesc = prometheus.NewDesc(prefix+"jwks_last_attempt_timestamp_seconds", "When a fetch last began, in Unix time.", []string{"issuer"}, nil)
	failuresDesc    = prometheus.NewDesc(prefix+"jwks_consecutive_failures", "Failed fetches since the last success.", []string{"issuer"}, nil)
)

// states are all but the zero one.
var states = []jwks.State{jwks.StateEmpty, jwks.StateFresh, jwks.StateAhead, jwks.StateDue, jwks.StateStale, jwks.StateExpired}

func (w *watched) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{stateDesc, keysDesc, lastSuccessDesc, lastAttemptDesc, failuresDesc} {
		out <- d
	}
}

func (w *watched) Collect(out chan<- prometheus.Metric) {
	w.mu.Lock()
	caches := slices.Clone(w.caches) // sending may block
	w.mu.Unlock()
	for _, c := range caches {
		gauge := func(d *prometheus.Desc, value float64, labels ...string) {
			out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, append([]string{c.issuer}, labels...)...)
		}
		s := c.Status()
		for _, state := range states {
			gauge(stateDesc, oneIf(s.State == state), string(state))
		}
		gauge(keysDesc, float64(s.KeyCount))
		gauge(failuresDesc, float64(s.Failures))
		if !s.LastSuccess.IsZero() {
			gauge(lastSuccessDesc, unix(s.LastSuccess))
		}
		if !s.LastAttempt.IsZero() {
			gauge(lastAttemptDesc, unix(s.LastAttempt))
		}
	}
}

func unix(t time.Time) float64 { return float64(t.UnixMilli()) / 1e3 }
