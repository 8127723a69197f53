package jwks_test

import (
	"strings"
	"testing"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/jwks"
	"github.com/stretchr/testify/require"
)

func TestKnownKeyThatDoesNotFit(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		c, _ := newCache(t, s)
		has(t, c, "k1")
		for range 100 {
			keys, err := c.Keys(t.Context(), "k1", "RS256")
			require.NoError(t, err)
			require.Nil(t, keys)
			keys, err = c.Keys(t.Context(), "k1", "none")
			require.NoError(t, err)
			require.Nil(t, keys)
		}
		require.Equal(t, 1, s.count(""))
	})
}

// req: R7517-02, R7517-03, R7517-06
func TestSelection(t *testing.T) {
	within(t, func(t *testing.T) {
		doc := set(newJWK(t, "same", "ES256"), newJWK(t, "same", "RS256"), newJWK(t, "same", "ES256"), newJWK(t, "same", "ES256"),
			newJWK(t, "ed", "EdDSA"), newJWK(t, "", "ES384"))
		s := newServer(t)
		s.fail(setURL, always(200, "application/json", string(doc)))
		c, _ := newCache(t, s)
		static, err := jwks.Static(doc)
		require.NoError(t, err)
		for _, source := range []jwks.Source{c, static} {
			for _, tc := range []struct {
				kid, alg string
				want     int
			}{
				{"same", "ES256", 3}, {"same", "RS256", 1}, {"same", "PS256", 0}, {"same", "ES384", 0},
				{"ed", "EdDSA", 1}, {"ed", "Ed25519", 1}, {"ed", "ES256", 0},
				{"", "ES256", 3}, {"", "ES384", 1}, {"", "EdDSA", 1}, {"", "Ed25519", 1}, {"", "RS256", 1}, {"", "ES512", 0},
				{"none such", "ES256", 0},
			} {
				keys, err := source.Keys(t.Context(), tc.kid, tc.alg)
				require.NoError(t, err)
				require.Len(t, keys, tc.want, "%q %s", tc.kid, tc.alg)
				if tc.want == 0 {
					require.Nil(t, keys)
				}
				require.Equal(t, len(keys), cap(keys))
			}
		}
	})
}

// req: R7517-01, JWK-009, JWK-012, JWK-017, JWK-020, JWK-025
func TestOneBadKeyIsSkipped(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t)
		s.fail(setURL, always(200, "application/json", string(set(
			[]byte(`{"kty":"PQC","kid":"new kind"}`), []byte(`{"kid":"no kty"}`), newJWK(t, "good", "ES256"),
			[]byte(`{"kty":"oct","kid":"secret","k":"AAAA"}`), []byte(`17`)))))
		c, r := newCache(t, s)
		has(t, c, "good")
		require.Len(t, r.skipped, 4)
		for i, want := range []struct {
			index int
			kid   string
		}{{0, "new kind"}, {1, "no kty"}, {3, "secret"}, {4, ""}} {
			require.Equal(t, want.index, r.skipped[i].Index)
			require.Equal(t, want.kid, r.skipped[i].KeyID)
			require.Error(t, r.skipped[i].Err)
		}
		require.Equal(t, 1, r.lastFetch(t).KeyCount)
	})
}

// Two issuers share nothing, not even with equal key IDs.
// req: R8725-07, ISS-019.
func TestIssuersShareNothing(t *testing.T) {
	within(t, func(t *testing.T) {
		a, b := newServer(t, "k1"), newServer(t, "k1")
		ca, _ := newCache(t, a)
		cb, _ := newCache(t, b)
		ka, err := ca.Keys(t.Context(), "k1", "ES256")
		require.NoError(t, err)
		kb, err := cb.Keys(t.Context(), "k1", "ES256")
		require.NoError(t, err)
		require.NotEqual(t, ka[0].Thumbprint(), kb[0].Thumbprint())
		data, err := ca.Export()
		require.NoError(t, err)
		c2, err := jwks.New(jwks.Config{URL: setURL + "2"})
		require.NoError(t, err)
		requireError(t, c2.Import(data), bearergate.ErrMisconfigured, bearergate.ReasonConfig)
		c3, err := jwks.New(jwks.Config{URL: setURL, Issuer: issuer})
		require.NoError(t, err)
		requireError(t, c3.Import(data), bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	})
}

// req: R8725-10: a hostile kid is data, and reaches no URL.
func TestHostileKeyIDs(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		c, _ := newCache(t, s)
		for _, kid := range []string{"../../etc/passwd", "' OR 1=1 --", "http://evil.example/", strings.Repeat("k", 10<<20), "\x00", "K1", "k1 "} {
			hasNot(t, c, kid)
		}
		require.Equal(t, s.count(""), s.count(setURL))
		require.LessOrEqual(t, s.count(""), 3)
	})
}

func TestWarmHitAllocatesNothing(t *testing.T) {
	noLeaks(t)
	s := newServer(t, "k1")
	c, _ := newCache(t, s)
	has(t, c, "k1")
	ctx := t.Context()
	require.Zero(t, testing.AllocsPerRun(1000, func() { _, _ = c.Keys(ctx, "k1", "ES256") }))
	require.Zero(t, testing.AllocsPerRun(1000, func() { _, _ = c.Keys(ctx, "", "ES256") }))
	require.Zero(t, testing.AllocsPerRun(1000, func() { _, _ = c.Keys(ctx, "k1", "RS256") }))
}
