package introspect_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/stretchr/testify/require"
)

// A Check is judged here as everywhere: see the same table in jwtverify.
func TestCheckOutcomes(t *testing.T) {
	t.Setenv("GODEBUG", "panicnil=1") // recover returns nil for panic(nil), as it did before Go 1.21
	for _, o := range kit.Outcomes(kit.Verdict{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonPolicy}) {
		kit.EachCaller(t, o, func(t *testing.T, ctx context.Context, end func(), want kit.Verdict) {
			told := 0
			client := newClient(t, with(config(newServer()), func(c *introspect.Config) {
				c.Check = func(ctx context.Context, _ *bearergate.Token) error { end(); return o.Do(ctx) }
				c.Hooks.Panicked = func(context.Context, bearergate.PanicEvent) { told++ }
			}))
			token, err := client.Verify(ctx, opaque)
			if want.Kind == nil {
				require.NoError(t, err)
				return
			}
			requireError(t, token, err, want.Kind, want.Reason)
			require.Equal(t, map[bool]int{true: 1}[o.Panics], told, "the hook is told of a panic, once, and of nothing else")
		})
	}
}

func TestConfirmationsAreTold(t *testing.T) {
	members := []string{"jkt"}
	client := newClient(t, with(config(newServer()), func(c *introspect.Config) { c.Confirmations = members }))
	client.Confirmations()[0], members[0] = "changed", "changed"
	require.Equal(t, []string{"jkt"}, client.Confirmations())
	require.Nil(t, (*introspect.Client)(nil).Confirmations())
	require.Equal(t, []string{}, newClient(t, config(newServer())).Confirmations(), "it tells, and there are none")
}

// An ended context before anything is asked: whose fault it is, and nobody is asked.
func TestEndedBefore(t *testing.T) {
	s := newServer()
	client := newClient(t, config(s))
	late, cancel := context.WithDeadlineCause(t.Context(), time.Now().Add(-time.Second), errors.New("too slow"))
	defer cancel()
	token, err := client.Verify(late, opaque)
	requireError(t, token, err, unavailable, bearergate.ReasonIntrospectionUnavailable)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	token, err = client.Verify(gone, opaque)
	requireError(t, token, err, unavailable, bearergate.ReasonCanceled)
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, s.requests())
}

// A nil context is one that never ends.
func TestWithoutContext(t *testing.T) {
	var ctx context.Context
	for _, hooks := range []introspect.Hooks{{}, {Looked: func(context.Context, introspect.LookEvent) {}}} {
		client := newClient(t, with(config(newServer()), func(c *introspect.Config) { c.Hooks = hooks }))
		require.NoError(t, client.Explain(ctx, opaque).Err)
		require.NoError(t, client.Warm(ctx))
		_, err := client.Verify(ctx, opaque)
		require.NoError(t, err)
	}
}

// What errors.As finds is the caller's own copy: nobody changes what the next
// caller reads.
func TestRememberedErrorsAreCopies(t *testing.T) {
	client := newClient(t, config(newServer()))
	for range 3 { // from the server, then from the cache
		_, err := client.Verify(t.Context(), "unknown-token")
		var e *bearergate.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, bearergate.ErrInvalidToken, e.Kind)
		require.Equal(t, bearergate.ReasonInactive, e.Reason)
		e.Kind, e.Reason, e.Cause = bearergate.ErrUnavailable, bearergate.ReasonOverloaded, nil
	}
}
