package bearergate_test

import (
	"context"
	"errors"
	"io"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/stretchr/testify/require"
)

// A bubble ends only when every goroutine in it has: each row is a test for leaks
// too.
func TestRecheck(t *testing.T) {
	const every = 10 * time.Second
	type decision = func(context.Context) error
	yes := returns(nil)
	revoked := returns(&bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonRevoked})
	outage := returns(&bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonKeysUnavailable})
	hangs := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	goexit := func(context.Context) error { runtime.Goexit(); return nil }
	for _, tc := range []struct {
		name      string
		decisions []decision // then the last for ever
		ends      int        // with the decision of that number; 0: with ctx
		waits     time.Duration
		kind      error
		reason    bearergate.Reason
	}{
		{name: "good throughout", decisions: []decision{yes}},
		{name: "revoked after three", decisions: []decision{yes, yes, yes, revoked}, ends: 4, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonRevoked},
		{name: "one outage", decisions: []decision{yes, outage, yes}},
		{name: "outages with good news between", decisions: []decision{outage, yes, outage, yes, outage, yes}},
		{name: "two outages in a row", decisions: []decision{yes, outage, outage, yes}, ends: 3, kind: bearergate.ErrUnavailable, reason: bearergate.ReasonKeysUnavailable},
		{name: "revoked after an outage", decisions: []decision{outage, revoked}, ends: 2, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonRevoked},
		{name: "hangs once", decisions: []decision{hangs, yes}},
		{name: "hangs", decisions: []decision{hangs}, ends: 2, waits: 20 * time.Second, kind: bearergate.ErrUnavailable, reason: bearergate.ReasonStoreUnavailable},
		{name: "panics", decisions: []decision{yes, func(context.Context) error { panic("hunter2") }}, ends: 2, kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonInternal},
		{name: "ends its goroutine", decisions: []decision{yes, goexit}, ends: 2, kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonInternal},
		{name: "ends its goroutine after an outage", decisions: []decision{outage, goexit}, ends: 2, kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonInternal},
		{name: "an error that says nothing", decisions: []decision{returns(io.EOF)}, ends: 1, kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonInternal},
		{name: "a context of its own", decisions: []decision{returns(context.Canceled)}, ends: 2, kind: bearergate.ErrUnavailable, reason: bearergate.ReasonStoreUnavailable},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				calls := 0
				start := time.Now()
				err := bearergate.Recheck(ctx, every, func(ctx context.Context) error {
					calls++
					deadline, ok := ctx.Deadline()
					require.True(t, ok)
					require.LessOrEqual(t, time.Until(deadline), 10*time.Second)
					return tc.decisions[min(calls, len(tc.decisions))-1](ctx)
				})
				if tc.ends == 0 {
					require.NoError(t, err)
					require.Equal(t, time.Hour, time.Since(start))
					require.Greater(t, calls, 350)
					return
				}
				kit.RequireError(t, err, tc.kind, tc.reason)
				require.NotContains(t, err.Error(), "hunter2")
				require.Equal(t, tc.ends, calls)
				took, most := time.Since(start)-tc.waits, time.Duration(tc.ends)*every
				require.LessOrEqual(t, took, most)
				require.GreaterOrEqual(t, took, most-most/10)
			})
		})
	}
}

// Requests that began together do not ask together.
func TestRecheckSpreads(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		start := time.Now()
		at := map[time.Duration]bool{}
		for range 20 {
			_ = bearergate.Recheck(t.Context(), time.Hour, func(context.Context) error {
				at[time.Since(start)] = true
				return bearergate.ErrInvalidToken
			})
			start = time.Now()
		}
		require.Greater(t, len(at), 10)
	})
}

// A decision that does not honour its context is broken: it keeps no request alive,
// and is not asked a second time.
func TestRecheckOfWhatIgnoresItsContext(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		start := time.Now()
		var calls atomic.Int32
		err := bearergate.Recheck(t.Context(), time.Minute, func(context.Context) error {
			calls.Add(1)
			<-release
			return nil
		})
		kit.RequireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonInternal)
		require.EqualValues(t, 1, calls.Load())
		require.LessOrEqual(t, time.Since(start), time.Minute+15*time.Second)
	})
}

// With the request, everything ends at once: also what is being asked, and
// whatever comes of it.
func TestRecheckEndsWithItsRequest(t *testing.T) {
	for _, tc := range []struct {
		name  string
		again func(ctx context.Context, cancel func()) error
	}{
		{name: "while it waits", again: func(context.Context, func()) error { return nil }},
		{name: "while it asks", again: func(ctx context.Context, _ func()) error { <-ctx.Done(); return ctx.Err() }},
		{name: "with a refusal", again: func(_ context.Context, cancel func()) error { cancel(); return bearergate.ErrInvalidToken }},
		{name: "with a panic", again: func(_ context.Context, cancel func()) error { cancel(); panic("x") }},
		{name: "with the end of its goroutine", again: func(_ context.Context, cancel func()) error { cancel(); runtime.Goexit(); return nil }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				stop := func() { cancel(errors.New("the client left")) }
				time.AfterFunc(65*time.Second, stop)
				require.NoError(t, bearergate.Recheck(ctx, time.Minute, func(ctx context.Context) error { return tc.again(ctx, stop) }))
			})
		})
	}
}

func TestMistakesOfRecheck(t *testing.T) {
	for _, tc := range []struct {
		name  string
		ctx   context.Context
		every time.Duration
		again func(context.Context) error
	}{
		{name: "no interval", ctx: t.Context(), again: returns(nil)},
		{name: "a negative one", ctx: t.Context(), every: -time.Hour, again: returns(nil)},
		{name: "too short", ctx: t.Context(), every: bearergate.MinRecheck - 1, again: returns(nil)},
		{name: "nothing to ask", ctx: t.Context(), every: time.Hour},
		{name: "no context", every: time.Hour, again: returns(nil)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			kit.RequireError(t, bearergate.Recheck(tc.ctx, tc.every, tc.again), bearergate.ErrMisconfigured, bearergate.ReasonConfig)
		})
	}
	require.Equal(t, time.Second, bearergate.MinRecheck)
}
