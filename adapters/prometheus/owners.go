package promgate

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware/labels"
)

// owners counts decisions by the client, or by the tenant, of their tokens.
type owners struct {
	names     *labels.Names
	name      func(*labels.Names, *bearergate.Token) labels.Name
	principal bool // is a label
	counts    *prometheus.CounterVec
	made      atHand[ownerKey, prometheus.Counter]
}

type ownerKey struct {
	labels.Name
	principal, outcome, reason, reportOnly string
}

func (m *Metrics) owners(what, help string, places int, name func(*labels.Names, *bearergate.Token) labels.Name, more ...string) *owners {
	o := &owners{names: labels.New(places), name: name, principal: len(more) > 0,
		counts: prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + what + "_decisions_total", Help: help},
			append([]string{"issuer", what, "outcome", "reason", "report_only"}, more...))}
	m.all = append(m.all, o.counts)
	return o
}

// add counts a decision on a token that somebody vouches for; nothing on a nil o.
func (o *owners) add(linked prometheus.Labels, t *bearergate.Token, outcome, reason, reportOnly string) {
	if o == nil {
		return
	}
	k := ownerKey{Name: o.name(o.names, t), outcome: outcome, reason: reason, reportOnly: reportOnly}
	if o.principal {
		k.principal = labels.Principal(t)
	}
	c, ok := o.made.all()[k]
	if !ok {
		values := []string{k.Issuer, k.Name.Name, outcome, reason, reportOnly}
		if o.principal {
			values = append(values, k.principal)
		}
		// Names are valid UTF-8, and values as many as labels: the vector does not panic.
		c = o.counts.WithLabelValues(values...)
		o.made.keep(k, c)
	}
	count(c, linked)
}
