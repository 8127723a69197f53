package promgate

import (
	"errors"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bearergate/bearergate/middleware/sightings"
)

// WatchSightings tells at every scrape how many requests a watch has counted, and how many it
// could not: one that sees nothing, since no address is configured, is silent otherwise. Those
// of several watches are added up. nil is an error, [bearergate.ErrMisconfigured]. One that is
// watched already stays watched, and each is kept for as long as the Metrics.
func (m *Metrics) WatchSightings(w *sightings.Watch) error {
	if w == nil {
		return misconfigured(errors.New("WatchSightings: the Watch is nil"))
	}
	m.watches.mu.Lock()
	defer m.watches.mu.Unlock()
	if !slices.Contains(m.watches.all, w) {
		m.watches.all = append(m.watches.all, w)
	}
	return nil
}

// watchedSightings is a prometheus.Collector of the state of watches.
type watchedSightings struct {
	mu  sync.Mutex // guards all
	all []*sightings.Watch
}

var (
	sightingTokensDesc   = prometheus.NewDesc(prefix+"sightings_tokens", "Tokens that are remembered, with the networks that they were sent from.", nil, nil)
	sightingRequestsDesc = prometheus.NewDesc(prefix+"sightings_requests_total", "Requests with a valid token: counted, or not for lack of an ID or an address.", []string{"result"}, nil)
)

func (w *watchedSightings) Describe(out chan<- *prometheus.Desc) {
	out <- sightingTokensDesc
	out <- sightingRequestsDesc
}

func (w *watchedSightings) Collect(out chan<- prometheus.Metric) {
	w.mu.Lock()
	all := slices.Clone(w.all) // sending may block
	w.mu.Unlock()
	if len(all) == 0 {
		return
	}
	var sum sightings.Status
	for _, watch := range all {
		s := watch.Status()
		sum.Tokens += s.Tokens
		sum.Seen += s.Seen
		sum.WithoutID += s.WithoutID
		sum.WithoutAddress += s.WithoutAddress
	}
	out <- prometheus.MustNewConstMetric(sightingTokensDesc, prometheus.GaugeValue, float64(sum.Tokens))
	for _, c := range []struct {
		result string
		n      uint64
	}{{"counted", sum.Seen}, {"without_id", sum.WithoutID}, {"without_address", sum.WithoutAddress}} {
		out <- prometheus.MustNewConstMetric(sightingRequestsDesc, prometheus.CounterValue, float64(c.n), c.result)
	}
}
