package introspect_test

import (
	"context"
	"testing"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/stretchr/testify/require"
)

// A Check is judged here as everywhere: see the same table in jwtverify.
func TestCheckOutcomes(t *testing.T) {
	for _, o := range kit.Outcomes(kit.Verdict{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonPolicy}) {
		kit.EachCaller(t, o, func(t *testing.T, ctx context.Context, end func(), want kit.Verdict) {
			told := 0
			client := newClient(t, with(config(newServer()), func(c *introspect.Config) {
				c.Check = func(ctx context.Context, _ *bearergate.Token) error { end(); return o.Do(ctx) }
				c.Hooks.Panicked = func(context.Context, introspect.PanicEvent) { told++ }
			}))
			token, err := client.Verify(ctx, opaque)
			if want.Kind == nil {
				require.NoError(t, err)
				return
			}
			requireError(t, token, err, want.Kind, want.Reason)
			require.Equal(t, o.Name == "panics", told == 1, "the hook is told of a panic, and of nothing else")
		})
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
