package jwtverify_test

import (
	"context"
	"testing"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/stretchr/testify/require"
)

// A Check is judged here as everywhere: see the same table in introspect.
func TestCheckOutcomes(t *testing.T) {
	t.Setenv("GODEBUG", "panicnil=1") // recover returns nil for panic(nil), as it did before Go 1.21
	s := newSigner(t, "ES256", "k")
	raw := s.Sign(t, nil)
	for _, o := range kit.Outcomes(kit.Verdict{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonPolicy}) {
		kit.EachCaller(t, o, func(t *testing.T, ctx context.Context, end func(), want kit.Verdict) {
			told := 0
			c := config(s.Set(t))
			c.Check = func(ctx context.Context, _ *bearergate.Token) error { end(); return o.Do(ctx) }
			c.Hooks.Panicked = func(context.Context, bearergate.PanicEvent) { told++ }
			token, err := newVerifier(t, c).Verify(ctx, raw)
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
	c := config(newSigner(t, "ES256", "k").Set(t))
	c.Confirmations = []string{"jkt"}
	v := newVerifier(t, c)
	v.Confirmations()[0] = "changed"
	require.Equal(t, []string{"jkt"}, v.Confirmations())
	require.Nil(t, (*jwtverify.Verifier)(nil).Confirmations())
	c.Confirmations = nil
	require.Equal(t, []string{}, newVerifier(t, c).Confirmations(), "it tells, and there are none")
}

// A token that is remembered opens as little without its proof as one that is not. W2-158
// req: R9449-43
func TestBoundTokensNeedTheirProof(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	for _, member := range []string{"jkt", "x5t#S256"} {
		for _, disabled := range []bool{true, false} {
			c := config(s.Set(t))
			c.Confirmations, c.DisableCache = []string{"jkt", "x5t#S256"}, disabled
			hits := 0
			c.Hooks.Verified = func(_ context.Context, e jwtverify.VerifyEvent) {
				if e.Cached {
					hits++
				}
			}
			kit.RequireProofs(t, newVerifier(t, c), s.Sign(t, map[string]any{"cnf": map[string]any{member: "x"}}), member)
			require.Equal(t, map[bool]int{false: kit.ProofCalls - 1}[disabled], hits, member)
		}
	}
}
