package promgate

import (
	"context"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// ids are those of a trace and of a span in it.
type ids struct{ trace, span string }

// How long IDs may be. With their names they stay below the 128 characters that OpenMetrics
// allows an exemplar, beyond which the library panics.
const (
	maxTraceID = 64
	maxSpanID  = 32
)

// exemplar links what happens in ctx to its trace; nil: there is none.
func (m *Metrics) exemplar(ctx context.Context) prometheus.Labels {
	if m.traceOf == nil { // which costs no call
		return nil
	}
	return m.askTrace(ctx)
}

func (m *Metrics) askTrace(ctx context.Context) prometheus.Labels {
	var of ids
	m.traceOf(ctx, &of)
	if !isID(of.trace, maxTraceID) {
		return nil
	}
	linked := prometheus.Labels{"trace_id": of.trace}
	if isID(of.span, maxSpanID) {
		linked["span_id"] = of.span
	}
	return linked
}

// isID reports whether id may be one of a trace or a span: hexadecimal or decimal, in several
// parts perhaps. A token would hardly pass for one.
func isID(id string, most int) bool {
	return id != "" && len(id) <= most && strings.Trim(id, "0123456789abcdefABCDEF-") == ""
}

// count counts one, with an exemplar if there is one.
func count(c prometheus.Counter, linked prometheus.Labels) {
	if linked == nil {
		c.Inc()
		return
	}
	c.(prometheus.ExemplarAdder).AddWithExemplar(1, linked) // as the counters of the library
}
