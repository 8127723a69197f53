package introspect_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/introspect"
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

func TestPanics(t *testing.T) {
	s := newServer()
	for name, change := range map[string]func(*introspect.Config){
		"Accept": func(c *introspect.Config) { c.Accept = func(string) bool { panic(secret) } },
		"Check":  func(c *introspect.Config) { c.Check = func(context.Context, *bearergate.Token) error { panic(secret) } },
	} {
		t.Run(name, func(t *testing.T) {
			var events []introspect.PanicEvent
			client := newClient(t, with(config(s), func(c *introspect.Config) {
				c.Hooks.Panicked = func(_ context.Context, e introspect.PanicEvent) { events = append(events, e); panic("again") }
				change(c)
			}))
			err := requireRefused(t, client, opaque, misconfigured, bearergate.ReasonInternal)
			require.NotContains(t, err.Error(), secret)
			require.Equal(t, []introspect.PanicEvent{{Where: "Verify", Type: "string"}}, events)
		})
	}
	broken := newClient(t, with(config(s), func(c *introspect.Config) { c.Now = func() time.Time { panic(secret) } }))
	requireRefused(t, broken, opaque, unavailable, bearergate.ReasonIntrospectionUnavailable) // in the shared call
}
