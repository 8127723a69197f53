package promgate

import (
	"errors"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bearergate/bearergate/revocation"
)

// WatchRevocations tells at every scrape what a list holds, and when it last heard of the
// others. nil, and a second list, whose series would be the same, are errors,
// [bearergate.ErrMisconfigured]. A list that is watched already stays watched. It is
// watched, and kept, for as long as the Metrics.
func (m *Metrics) WatchRevocations(list *revocation.List) error {
	w := &m.list
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case list == nil:
		return misconfigured(errors.New("WatchRevocations: the List is nil"))
	case w.list != nil && w.list != list:
		return misconfigured(errors.New("WatchRevocations: another List is watched: share one, or make a Metrics with a label of its own"))
	}
	w.list, w.bounds = list, &m.bounds
	return nil
}

// watchedList is a prometheus.Collector of the state of a list.
type watchedList struct {
	mu     sync.Mutex // guards the rest
	list   *revocation.List
	bounds *bounds
}

var (
	readyDesc    = prometheus.NewDesc(prefix+"revocation_ready", "1 if this process knows what is revoked, 0 if it answers 503.", nil, nil)
	lagDesc      = prometheus.NewDesc(prefix+"revocation_lag_seconds", "How long ago this process heard all revocations of the others.", nil, nil)
	entriesDesc  = prometheus.NewDesc(prefix+"revocation_entries", "Entries in the list of revocations, those that were lifted included.", []string{"source"}, nil)
	liftedDesc   = prometheus.NewDesc(prefix+"revocation_lifted_entries", "Entries that were lifted.", nil, nil)
	unloggedDesc = prometheus.NewDesc(prefix+"revocation_unlogged_entries", "Entries that the log of revocations has not.", nil, nil)
	fullDesc     = prometheus.NewDesc(prefix+"revocation_full", "1 if the log of revocations has more than there is room for.", nil, nil)
)

func (w *watchedList) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{readyDesc, lagDesc, entriesDesc, liftedDesc, unloggedDesc, fullDesc} {
		out <- d
	}
}

func (w *watchedList) Collect(out chan<- prometheus.Metric) {
	w.mu.Lock()
	list, bounds := w.list, w.bounds // sending may block
	w.mu.Unlock()
	if list == nil {
		return
	}
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	s := list.Status()
	gauge(readyDesc, oneIf(s.Ready))
	if s.Lag >= 0 {
		gauge(lagDesc, s.Lag.Seconds())
	}
	sources := map[string]int{}
	for source, n := range s.Sources {
		label, _ := bounds.admit("source", source)
		sources[label] += n
	}
	for source, n := range sources {
		gauge(entriesDesc, float64(n), source)
	}
	gauge(liftedDesc, float64(s.Lifted))
	gauge(unloggedDesc, float64(s.Unlogged))
	gauge(fullDesc, oneIf(s.Full))
}
