package jwtverify_test

import (
	"strings"
	"testing"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/jose"
	"github.com/stretchr/testify/require"
)

// Allocations are exact, so they are tested; times are not: see internal/bench.
func TestAllocationsBeyondTheSignature(t *testing.T) {
	if raceEnabled() {
		t.Skip("the race detector changes what allocates")
	}
	for _, alg := range []string{"RS256", "ES256", "EdDSA"} {
		s := newSigner(t, alg, "k")
		raw, key, ctx := s.sign(t, nil), s.public(t), t.Context()
		jws, err := jose.Parse(raw, len(raw))
		require.NoError(t, err)
		check := testing.AllocsPerRun(100, func() {
			if key.Verify(alg, jws.Signed, jws.Signature) != nil {
				t.Error("refused")
			}
		})
		verify := func(v bearergate.Verifier, raw string) float64 {
			return testing.AllocsPerRun(100, func() {
				if _, err := v.Verify(ctx, raw); err != nil {
					t.Error(err)
				}
			})
		}
		c := config(s.set(t))
		long := s.sign(t, map[string]any{"groups": strings.Repeat("a long list of groups ", 300)})
		require.LessOrEqual(t, verify(newVerifier(t, c), raw), 0.0, alg)
		require.LessOrEqual(t, verify(newVerifier(t, c), long), 2.0, alg)
		c.DisableCache = true
		require.LessOrEqual(t, verify(newVerifier(t, c), raw)-check, 25.0, alg)
	}
}
