package jwtverify_test

import (
	"testing"

	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/stretchr/testify/require"
)

// BenchmarkVerify compares, in one run: the raw signature check, a token seen
// for the first time, and one seen before.
func BenchmarkVerify(b *testing.B) {
	for _, alg := range []string{"RS256", "ES256", "EdDSA"} {
		s := newSigner(b, alg, "k")
		raw := s.Sign(b, nil)
		key := s.Public(b)
		jws, err := jose.Parse(raw, len(raw))
		require.NoError(b, err)
		b.Run(alg+"/raw", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if key.Verify(alg, jws.Signed, jws.Signature) != nil {
					b.Fatal("refused")
				}
			}
		})
		for name, disabled := range map[string]bool{"cold": true, "warm": false} {
			b.Run(alg+"/"+name, func(b *testing.B) {
				c := config(s.Set(b))
				c.DisableCache = disabled
				v, err := jwtverify.New(c)
				require.NoError(b, err)
				b.ReportAllocs()
				for b.Loop() {
					if _, err := v.Verify(b.Context(), raw); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
