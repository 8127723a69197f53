package jwtverify_test

import (
	"context"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/stretchr/testify/require"
)

func TestHooks(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	var events []jwtverify.VerifyEvent
	record := jwtverify.Hooks{
		Verified: func(ctx context.Context, e jwtverify.VerifyEvent) {
			require.NoError(t, ctx.Err())
			events = append(events, e)
		},
	}
	c := config(s.Set(t))
	c.Hooks = jwtverify.JoinHooks(jwtverify.Hooks{}, record)
	v := newVerifier(t, c)
	token, err := v.Verify(t.Context(), s.Sign(t, nil))
	require.NoError(t, err)
	_, err = v.Verify(t.Context(), s.Sign(t, map[string]any{"aud": "x"}))
	require.Error(t, err)

	require.Len(t, events, 2)
	require.Equal(t, issuer, events[0].Issuer)
	require.Same(t, token, events[0].Token)
	require.NoError(t, events[0].Err)
	require.Positive(t, events[0].Duration)
	require.Nil(t, events[1].Token)
	require.Equal(t, err, events[1].Err)

	// A hook given alone is guarded as well.
	c.Hooks = jwtverify.Hooks{Verified: func(context.Context, jwtverify.VerifyEvent) { panic("alone") }}
	_, err = newVerifier(t, c).Verify(t.Context(), s.Sign(t, nil))
	require.NoError(t, err)
}

// A panic of the user's code opens nothing, is told, and its value is not kept.
func TestPanics(t *testing.T) {
	kit.EachHook(t, jwtverify.JoinHooks)
	s := newSigner(t, "ES256", "k")
	raw := s.Sign(t, nil)
	verify := func(t *testing.T, c jwtverify.Config) error {
		token, err := newVerifier(t, c).Verify(t.Context(), raw)
		requireError(t, token, err, bearergate.ErrMisconfigured, bearergate.ReasonInternal)
		return err
	}
	for _, row := range []struct {
		name   string
		where  string
		panics func(c *jwtverify.Config, do func())
		ask    func(*testing.T, jwtverify.Config) error
	}{
		{name: "Check", where: "Check", ask: verify, panics: func(c *jwtverify.Config, do func()) {
			c.Check = func(context.Context, *bearergate.Token) error { do(); return nil }
		}},
		{name: "Map", where: "Map", ask: verify, panics: func(c *jwtverify.Config, do func()) {
			c.Map = func(*bearergate.Claims) error { do(); return nil }
		}},
		{name: "Now", where: "Verify", ask: verify, panics: func(c *jwtverify.Config, do func()) {
			c.Now = func() time.Time { do(); return now }
		}},
		{name: "Keys", where: "Verify", ask: verify, panics: func(c *jwtverify.Config, do func()) {
			c.Keys = sourceFunc(func(context.Context, string, string) ([]jwks.Key, error) { do(); return nil, nil })
		}},
		{name: "Keys, before the first token", where: "Warm", panics: func(c *jwtverify.Config, do func()) {
			c.Keys = sourceFunc(func(context.Context, string, string) ([]jwks.Key, error) { do(); return nil, nil })
		}, ask: func(t *testing.T, c jwtverify.Config) error { return newVerifier(t, c).Warm(t.Context()) }},
	} {
		t.Run(row.name, func(t *testing.T) {
			kit.EachPanic(t, row.where, func(t *testing.T, p kit.Panic, told func(context.Context, bearergate.PanicEvent)) error {
				c := config(s.Set(t))
				c.Hooks.Panicked = told
				row.panics(&c, p.Do)
				return row.ask(t, c)
			})
		})
	}
}
