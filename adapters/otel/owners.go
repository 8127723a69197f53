package otelgate

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/middleware/labels"
)

// owners counts decisions by the client, or by the tenant, of their tokens.
type owners struct {
	names   *labels.Names
	counter metric.Int64Counter
	series  series[ownerLabels]
}

type ownerLabels struct {
	labels.Name
	key        attribute.Key
	principal  string
	reportOnly bool
	reason     bearergate.Reason
}

func (l ownerLabels) attributes() []attribute.KeyValue {
	attributes := present(keyIssuer.String(l.Issuer), l.key.String(l.Name.Name), keyPrincipal.String(l.principal), keyErrorType.String(string(l.reason)))
	if l.reportOnly {
		attributes = append(attributes, keyReportOnly.Bool(true))
	}
	return attributes
}

// sent tells who has sent a request on which a gate has decided.
func (t *Telemetry) sent(ctx context.Context, e middleware.DecisionEvent) {
	token := labels.Whose(e.Token, e.Err)
	if t.shows.any() {
		t.shows.sender(trace.SpanFromContext(ctx), token, e.Err != nil)
	}
	if token == nil || e.Midstream {
		return
	}
	l := ownerLabels{reportOnly: e.ReportOnly, reason: reasonOf(bearergate.AsError(e.Err))}
	if o := t.tenants; o != nil {
		l.key, l.Name = keyTenant, o.names.Tenant(token)
		o.counter.Add(ctx, 1, o.series.of(l).add...)
	}
	if o := t.clients; o != nil {
		l.key, l.Name, l.principal = keyClient, o.names.Client(token), labels.Principal(token)
		o.counter.Add(ctx, 1, o.series.of(l).add...)
	}
}

// shows is what the span of a request says of who sent it.
type shows struct{ client, tenant, principal bool }

func (s shows) any() bool { return s.client || s.tenant || s.principal }

// sender tells the span who sent its request; nil: nobody knows. Of several gates, one that
// refuses a token of nobody's takes back what another one said.
func (s shows) sender(span trace.Span, token *bearergate.Token, refused bool) {
	if !span.IsRecording() {
		return
	}
	if refused {
		empty(span, keyClient, keyTenant, keyPrincipal, keyIssuer)
	}
	if token == nil {
		return
	}
	var said []attribute.KeyValue
	if s.client && labels.Fit(token, token.ClientID()) {
		said = append(said, keyClient.String(token.ClientID()))
	}
	if s.tenant && labels.Fit(token, token.Tenant()) {
		said = append(said, keyTenant.String(token.Tenant()))
	}
	if said = present(said...); len(said) > 0 { // a client ID says nothing without it
		said = append(said, keyIssuer.String(bounded(token.Issuer())))
	}
	if s.principal {
		said = append(said, keyPrincipal.String(labels.Principal(token)))
	}
	span.SetAttributes(said...)
}
