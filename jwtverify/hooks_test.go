package jwtverify_test

import (
	"context"
	"testing"

	"github.com/bearergate/bearergate/jwtverify"
	"github.com/stretchr/testify/require"
)

func TestHooks(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	var events []jwtverify.VerifyEvent
	var panics []jwtverify.PanicEvent
	record := jwtverify.Hooks{
		Verified: func(ctx context.Context, e jwtverify.VerifyEvent) {
			require.NoError(t, ctx.Err())
			events = append(events, e)
		},
		Panicked: func(_ context.Context, e jwtverify.PanicEvent) { panics = append(panics, e) },
	}
	c := config(s.Set(t))
	c.Hooks = jwtverify.JoinHooks(
		jwtverify.Hooks{Verified: func(context.Context, jwtverify.VerifyEvent) { panic("first") }},
		jwtverify.Hooks{Panicked: func(context.Context, jwtverify.PanicEvent) { panic("second") }},
		jwtverify.Hooks{}, record)
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
	require.Len(t, panics, 2)
	require.Equal(t, "first", panics[0].Value)
	require.Contains(t, string(panics[0].Stack), "TestHooks")

	// A hook given alone is guarded as well.
	c.Hooks = jwtverify.Hooks{Verified: func(context.Context, jwtverify.VerifyEvent) { panic("alone") }}
	_, err = newVerifier(t, c).Verify(t.Context(), s.Sign(t, nil))
	require.NoError(t, err)

	empty := jwtverify.JoinHooks(jwtverify.Hooks{}, jwtverify.Hooks{})
	require.Nil(t, empty.Verified)
	require.Nil(t, empty.Panicked)
}
