package otelgate

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/binding/dpop"
)

// child makes the span of what a request did for itself and has just ended.
func (t *Telemetry) child(ctx context.Context, name string, duration time.Duration, o *options, refusal *bearergate.Error) {
	end := time.Now()
	_, span := t.tracer.Start(ctx, name, trace.WithTimestamp(end.Add(-duration)), trace.WithAttributes(o.attributes...))
	if refusal != nil && span.IsRecording() {
		span.SetAttributes(words(refusal)...)
		ours := refusal.Kind == bearergate.ErrUnavailable || refusal.Kind == bearergate.ErrMisconfigured
		if ours && refusal.Reason != bearergate.ReasonCanceled {
			span.SetStatus(codes.Error, string(refusal.Reason))
		}
	}
	span.End(trace.WithTimestamp(end))
}

// refused tells the span of a request why a gate refused it. There may be several
// gates of which all but the last only report. The last refusal counts: what an earlier
// one said is emptied, or it would explain another Reason.
func refused(span trace.Span, refusal *bearergate.Error) {
	if !span.IsRecording() {
		return
	}
	empty(span, keyDetail, keyExpected, keyFound, keyUnverified)
	span.SetAttributes(append(words(refusal), keyReason.String(string(refusal.Reason)))...)
}

// words are what a span says of a refusal. Its Cause is left out, for anybody may have
// written it, and whose token was refused, which is for audit; so are the scopes, roles
// and tenants of a valid token, which may hold what stood in the path.
func words(refusal *bearergate.Error) []attribute.KeyValue {
	if refusal.Kind == bearergate.ErrInsufficientScope || refusal.Kind == bearergate.ErrForbidden {
		return present(keyDetail.String(bounded(refusal.Detail)))
	}
	attributes := present(keyDetail.String(bounded(refusal.Detail)), keyExpected.String(bounded(refusal.Expected)), keyFound.String(bounded(refusal.Found)))
	if refusal.Found != "" && refusal.Unsigned {
		attributes = append(attributes, keyUnverified.Bool(true))
	}
	return attributes
}

// maxText is how many bytes of a refusal an attribute holds: a verifier of the user's
// may write anything.
const maxText = 1024

// bounded cuts text to maxText bytes, and says so. What is not UTF-8 is left out, and
// with it a character that was cut: an exporter would lose all spans of a batch.
func bounded(text string) string {
	const end = "…"
	if len(text) <= maxText {
		return strings.ToValidUTF8(text, "")
	}
	return strings.ToValidUTF8(text[:maxText-len(end)], "") + end // a copy: the span must not hold the rest
}

// empty takes back what a span says, as far as can be told: an attribute cannot be removed.
func empty(span trace.Span, keys ...attribute.Key) {
	told, ok := span.(interface{ Attributes() []attribute.KeyValue }) // as the spans of the SDK
	if !ok {
		return
	}
	for _, a := range told.Attributes() {
		switch {
		case !slices.Contains(keys, a.Key):
		case a.Value.Type() == attribute.BOOL:
			span.SetAttributes(a.Key.Bool(false))
		default:
			span.SetAttributes(a.Key.String(""))
		}
	}
}

// proven tells the span of a request of a proof: by an event, since several may be judged for
// one request.
func proven(span trace.Span, o *options, e dpop.ProofEvent) {
	if !span.IsRecording() {
		return
	}
	more := present(keyNonce.String(string(e.Nonce)), keyStore.String(string(e.Store)), keyProofTook.Float64(e.Duration.Seconds()))
	if e.Store != "" {
		more = append(more, keyStoreTook.Float64(e.StoreDuration.Seconds()))
	}
	span.AddEvent("bearergate.dpop.proof", trace.WithAttributes(o.attributes...), trace.WithAttributes(more...))
}

// root makes the span of what many requests may have waited for. It is in none
// of their traces.
func (t *Telemetry) root(ctx context.Context, name string, id uint64, start time.Time, duration time.Duration, o *options, err error, outcome string, more ...attribute.KeyValue) {
	with := []trace.SpanStartOption{trace.WithNewRoot(), trace.WithSpanKind(trace.SpanKindClient), trace.WithTimestamp(start),
		trace.WithAttributes(o.attributes...), trace.WithAttributes(more...)}
	if cause := trace.LinkFromContext(ctx); cause.SpanContext.IsValid() {
		with = append(with, trace.WithLinks(cause))
	}
	_, span := t.tracer.Start(ctx, name, with...)
	// A span that is not recorded may even have the context of another one.
	if span.IsRecording() && span.SpanContext().IsSampled() {
		t.shared.add(id, trace.Link{SpanContext: span.SpanContext()})
	}
	if err != nil {
		span.SetStatus(codes.Error, outcome)
	}
	span.End(trace.WithTimestamp(start.Add(duration)))
}

// maxShared is how many fetches and calls are remembered, the last ones, until
// those who waited for them have been told, which is at once.
const maxShared = 1024

// spans are the links to the spans of fetches and calls, by their ID.
type spans struct {
	mu    sync.Mutex              // guards the rest
	links map[uint64][]trace.Link // of a call, a second one to its retry
	ids   [maxShared]uint64       // the keys of links, a ring; of a retry twice; 0: none
	next  int                     // in ids
}

func (s *spans) add(id uint64, link trace.Link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.links == nil {
		s.links = map[uint64][]trace.Link{}
	}
	delete(s.links, s.ids[s.next])
	s.ids[s.next] = id
	s.next = (s.next + 1) % maxShared
	s.links[id] = append(s.links[id], link)
}

// link gives the span of ctx links to the spans of a fetch, or of a call.
func (s *spans) link(ctx context.Context, id uint64) {
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return
	}
	s.mu.Lock()
	links := s.links[id]
	s.mu.Unlock()
	for _, link := range links {
		span.AddLink(link)
	}
}
