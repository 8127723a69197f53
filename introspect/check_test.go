package introspect_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/stretchr/testify/require"
)

func TestCheck(t *testing.T) {
	s := newServer()
	own := errors.New("blocked")
	var result error
	calls := 0
	client := newClient(t, with(config(s), func(c *introspect.Config) {
		c.Check = func(_ context.Context, tok *bearergate.Token) error {
			calls++
			require.Equal(t, "user-1", tok.Subject())
			return result
		}
	}))
	requireAccepted(t, client, opaque)
	result = own
	err := requireRefused(t, client, opaque, invalid, bearergate.ReasonPolicy)
	require.ErrorIs(t, err, own)
	result = bearergate.ErrInsufficientAuthentication
	requireRefused(t, client, opaque, bearergate.ErrInsufficientAuthentication, bearergate.ReasonAuthentication)
	result = fmt.Errorf("revocation list: %w", context.DeadlineExceeded)
	requireRefused(t, client, opaque, unavailable, bearergate.ReasonStoreUnavailable)
	require.Equal(t, 4, calls)
	require.Equal(t, 1, s.requests())
}

// A panic of the user's code opens nothing, is told, and its value is not kept.
func TestPanics(t *testing.T) {
	kit.EachHook(t, introspect.JoinHooks)
	s := newServer()
	for _, row := range []struct {
		name, where string
		panics      func(c *introspect.Config, do func())
	}{
		{name: "Check", where: "Check", panics: func(c *introspect.Config, do func()) {
			c.Check = func(context.Context, *bearergate.Token) error { do(); return nil }
		}},
		{name: "Accept", where: "Verify", panics: func(c *introspect.Config, do func()) {
			c.Accept = func(string) bool { do(); return true }
		}},
		{name: "Now, beside the call", where: "Verify", panics: func(c *introspect.Config, do func()) {
			asked := 0
			c.Now = func() time.Time {
				if asked++; asked > 1 {
					do()
				}
				return time.Now()
			}
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			kit.EachPanic(t, row.where, func(t *testing.T, p kit.Panic, told func(context.Context, bearergate.PanicEvent)) error {
				client := newClient(t, with(config(s), func(c *introspect.Config) {
					c.Hooks.Panicked = told
					row.panics(c, p.Do)
				}))
				return requireRefused(t, client, opaque, misconfigured, bearergate.ReasonInternal)
			})
		})
	}
	broken := newClient(t, with(config(s), func(c *introspect.Config) { c.Now = func() time.Time { panic(secret) } }))
	requireRefused(t, broken, opaque, unavailable, bearergate.ReasonIntrospectionUnavailable) // in the shared call
}
