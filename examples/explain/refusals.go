package main

import (
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"sync"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
)

// kept is how many refusals are remembered.
const kept = 50

// refusal is one refused request, as an operator is shown it. It has no token, no path
// and no subject: a route's pattern and a client are enough to find the cause.
type refusal struct {
	Time     time.Time         `json:"time"`
	Route    string            `json:"route,omitempty"`
	Method   string            `json:"method"`
	Reason   bearergate.Reason `json:"reason"`
	Detail   string            `json:"detail,omitempty"`
	Expected string            `json:"expected,omitempty"`
	Found    string            `json:"found,omitempty"`
	Unsigned bool              `json:"unsigned,omitempty"` // anybody may have written what was found
	Client   string            `json:"client,omitempty"`   // of a token that is genuine
	Trace    string            `json:"trace,omitempty"`
}

// refusals are the last ones: a ring, so that a flood costs no memory. What bounds it:
// kept entries of texts that bearergate has cut. Who can fill it: everybody who sends
// requests; the oldest go. It is safe for concurrent use.
type refusals struct {
	mu   sync.Mutex // guards what follows
	ring [kept]refusal
	next int
	full bool
}

// hooks remember the refusals of a gate.
func (l *refusals) hooks() middleware.Hooks {
	return middleware.Hooks{Decided: func(ctx context.Context, e middleware.DecisionEvent) {
		l.note(ctx, e.Pattern, e.Method, e.Err, e.Token)
	}}
}

// note remembers a refusal. A request without a token is everyday life, and one whose
// caller went away was not refused. A gate of gRPC is noted alike: in Decided of
// grpcgate.Hooks, with the method of its event for both route and method.
func (l *refusals) note(ctx context.Context, route, method string, why error, token *bearergate.Token) {
	err := bearergate.AsError(why)
	if err == nil || err.Reason == bearergate.ReasonNoToken || err.Reason == bearergate.ReasonCanceled {
		return
	}
	r := refusal{Time: time.Now().UTC(), Route: route, Method: method, Reason: err.Reason,
		Detail: err.Detail, Expected: err.Expected, Found: err.Found, Unsigned: err.Unsigned, Trace: traceOf(ctx)}
	switch {
	case token != nil: // it is valid, and the route demands more
		r.Client = token.ClientID()
	case err.Refused != nil:
		r.Client = err.Refused.ClientID()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ring[l.next] = r
	l.next = (l.next + 1) % kept
	l.full = l.full || l.next == 0
}

// last returns them, the latest first.
func (l *refusals) last() []refusal {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.next
	if l.full {
		n = kept
	}
	all := make([]refusal, n)
	for i := range all {
		all[i] = l.ring[(l.next-1-i+kept)%kept]
	}
	return all
}

// ServeHTTP shows them as JSON. It must stand behind a gate: it tells who calls, and why
// in vain.
func (l *refusals) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	body, err := json.MarshalIndent(l.last(), "", "  ")
	if err != nil {
		http.Error(w, "the list cannot be written", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(append(body, '\n')) // a caller that went away needs no list
}

type traceKey struct{}

// traced keeps the trace ID of a request (W3C Trace Context) for the hooks. A service
// with OpenTelemetry takes it from its span instead.
func traced(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if m := traceparent.FindStringSubmatch(r.Header.Get("Traceparent")); m != nil {
			r = r.WithContext(context.WithValue(r.Context(), traceKey{}, m[1]))
		}
		next.ServeHTTP(w, r)
	})
}

var traceparent = regexp.MustCompile(`^00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$`)

func traceOf(ctx context.Context) string {
	id, _ := ctx.Value(traceKey{}).(string)
	return id
}
