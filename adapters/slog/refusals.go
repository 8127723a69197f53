package sloggate

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"

	"github.com/bearergate/bearergate"
)

// MaxRefusals is how many [NewRefusals] keeps at most.
const MaxRefusals = 10_000

// Refusals is a [slog.Handler] that keeps the last refusals of a process in memory, and an
// [http.Handler] that shows them, the newest first, a JSON object in each line as
// slog.JSONHandler writes it. It is for a page of the service on an internal port:
//
//	last, err := sloggate.NewRefusals(50)
//	audit, err := sloggate.New(sloggate.Config{Handler: slog.NewMultiHandler(handler, last)})
//	internal.Handle("GET /debug/refusals", last)
//
// Records of [EventDecision] that are not accepted are kept, on the level Info and above.
// Those in which a genuine token stands are kept apart from those of strangers, so many of each,
// so that no flood pushes them out; strangers push out each other. Make it with [NewRefusals].
// It is safe for concurrent use.
//
// Danger: the page says who was refused what, which is personal data, and asks for nothing
// itself. Never serve it where others can connect, or put a gate in front.
type Refusals struct {
	kept *kept
	with []func(slog.Handler) slog.Handler // WithAttrs and WithGroup, in their order
}

type kept struct {
	mu                 sync.Mutex // guards the rest
	genuine, strangers [][]byte   // the newest last; at most n each
	n                  int
}

// NewRefusals keeps up to n refusals of genuine tokens, and as many of strangers. Another n than
// 1 to [MaxRefusals] is [bearergate.ErrMisconfigured].
func NewRefusals(n int) (*Refusals, error) {
	if n < 1 || n > MaxRefusals {
		return nil, &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonConfig,
			Cause: fmt.Errorf("sloggate: NewRefusals of %d: choose between 1 and %d", n, MaxRefusals)}
	}
	return &Refusals{kept: &kept{n: n}}, nil
}

// Enabled is for [slog.Handler].
func (*Refusals) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }

// Handle is for [slog.Handler].
func (h *Refusals) Handle(ctx context.Context, r slog.Record) error {
	refused, genuine := false, false
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "outcome":
			refused = a.Value.String() != "accepted"
		case "principal", "refused":
			genuine = true
		}
		return true
	})
	if r.Message != string(EventDecision) || !refused {
		return nil
	}
	var line bytes.Buffer
	var out slog.Handler = slog.NewJSONHandler(&line, nil)
	for _, with := range h.with {
		out = with(out)
	}
	if err := out.Handle(ctx, r); err != nil {
		return err
	}
	h.kept.mu.Lock()
	defer h.kept.mu.Unlock()
	ring := &h.kept.strangers
	if genuine {
		ring = &h.kept.genuine
	}
	if len(*ring) == h.kept.n {
		*ring = slices.Delete(*ring, 0, 1)
	}
	*ring = append(*ring, line.Bytes())
	return nil
}

// WithAttrs is for [slog.Handler].
func (h *Refusals) WithAttrs(attrs []slog.Attr) slog.Handler {
	return h.but(func(out slog.Handler) slog.Handler { return out.WithAttrs(attrs) })
}

// WithGroup is for [slog.Handler].
func (h *Refusals) WithGroup(name string) slog.Handler {
	return h.but(func(out slog.Handler) slog.Handler { return out.WithGroup(name) })
}

func (h *Refusals) but(with func(slog.Handler) slog.Handler) *Refusals {
	return &Refusals{h.kept, append(slices.Clip(h.with), with)}
}

// ServeHTTP shows the refusals of genuine tokens, then those of strangers.
func (h *Refusals) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	h.kept.mu.Lock()
	lines := slices.Concat(h.kept.strangers, h.kept.genuine)
	h.kept.mu.Unlock()
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	for _, line := range slices.Backward(lines) {
		if _, err := w.Write(line); err != nil {
			return // nobody reads on
		}
	}
}
