package promgate

import (
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	prefix = "bearergate_"
	other  = "other" // stands for values that are too many

	maxWords    = 64   // how many values a label has that is neither an issuer nor a pattern
	maxChildren = 2000 // how many series of one family are kept at hand
)

// The classic buckets, in seconds: from a token seen before, about a
// microsecond, to the longest wait for keys; for a store, from one in memory to the
// longest timeout, with its default of 0.1 s among them.
var (
	verifyBuckets  = []float64{1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 1e-2, 0.1, 1, 5, 10}
	storeBuckets   = []float64{1e-6, 1e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 10}
	networkBuckets = []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}
)

// key is the values of the labels of a series, as the event has them.
type key [4]string

// family is a counter and, unless durations is nil, a histogram with the first
// few of its labels.
type family struct {
	bounds    *bounds
	labels    []string
	counts    *prometheus.CounterVec
	durations *prometheus.HistogramVec
	timed     int // how many labels durations has

	made atHand[key, child]
}

// atHand has the series of a vector that were asked for: a token seen before must not pay for
// hashing and locking. It has maxChildren at most; the rest are looked for each time.
type atHand[K comparable, V any] struct {
	made atomic.Pointer[map[K]V] // replaced, never changed: readers take no lock
	mu   sync.Mutex              // guards the replacing of made
}

// all may be read by anybody, and is changed by nobody.
func (h *atHand[K, V]) all() map[K]V {
	if made := h.made.Load(); made != nil {
		return *made
	}
	return nil
}

func (h *atHand[K, V]) keep(k K, v V) {
	h.mu.Lock()
	defer h.mu.Unlock()
	made := map[K]V{}
	if old := h.made.Load(); old != nil {
		if len(*old) >= maxChildren {
			return
		}
		made = maps.Clone(*old)
	}
	made[k] = v
	h.made.Store(&made)
}

type child struct {
	count    prometheus.Counter
	duration prometheus.Observer // nil without a histogram
}

func (m *Metrics) counter(name, help string, labels ...string) *family {
	f := &family{bounds: &m.bounds, labels: labels,
		counts: prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + name + "_total", Help: help}, labels)}
	m.all = append(m.all, f.counts)
	return f
}

func (m *Metrics) timed(name, plural, help, durationHelp string, buckets []float64, timed int, labels ...string) *family {
	f := m.counter(plural, help, labels...)
	f.timed = timed
	f.durations = prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: prefix + name + "_duration_seconds", Help: durationHelp, Buckets: buckets,
		// Each bucket at most a tenth wider than the one before, unless more than 100 are needed.
		NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100, NativeHistogramMinResetDuration: time.Hour}, labels[:timed])
	m.all = append(m.all, f.durations)
	return f
}

func (f *family) add(n int, k key) {
	if n > 0 {
		f.of(k).count.Add(float64(n))
	}
}

// link counts one, with an exemplar if there is one.
func (f *family) link(linked prometheus.Labels, k key) { count(f.of(k).count, linked) }

func (f *family) observe(linked prometheus.Labels, d time.Duration, k key) {
	c := f.of(k)
	count(c.count, linked)
	if linked == nil {
		c.duration.Observe(d.Seconds())
		return
	}
	c.duration.(prometheus.ExemplarObserver).ObserveWithExemplar(d.Seconds(), linked) // as the histograms of the library
}

func (f *family) of(k key) child {
	if c, ok := f.made.all()[k]; ok {
		return c
	}
	values, keep := make([]string, len(f.labels)), true
	for i, label := range f.labels {
		var ok bool
		values[i], ok = f.bounds.admit(label, k[i])
		keep = keep && ok
	}
	// Values are valid UTF-8 and as many as labels: the vectors do not panic.
	c := child{count: f.counts.WithLabelValues(values...)}
	if f.durations != nil {
		c.duration = f.durations.WithLabelValues(values[:f.timed]...)
	}
	if keep {
		f.made.keep(k, c)
	}
	return c
}

// bounds keeps the values of each label from becoming too many, whatever the
// events say: each series costs memory here and in the server.
type bounds struct {
	max  map[string]int // by label; maxWords for those not listed
	mu   sync.Mutex     // guards seen
	seen map[string]map[string]bool
}

func newBounds(issuers, patterns int) bounds {
	return bounds{max: map[string]int{"issuer": issuers, "pattern": patterns}, seen: map[string]map[string]bool{}}
}

// admit returns the value as a label, or "other" and false for one too many.
func (b *bounds) admit(label, value string) (string, bool) {
	limit, ok := b.max[label]
	if !ok {
		limit = maxWords
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	seen := b.seen[label]
	if seen == nil {
		seen = map[string]bool{}
		b.seen[label] = seen
	}
	valid := strings.ToValidUTF8(value, "\ufffd") // Prometheus takes no other
	switch {
	case seen[valid]:
	case len(seen) >= limit:
		return other, false
	default:
		seen[strings.Clone(valid)] = true
	}
	return valid, true
}

func (m *Metrics) issuer(name string) string {
	label, _ := m.bounds.admit("issuer", name)
	return label
}
