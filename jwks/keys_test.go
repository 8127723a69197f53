package jwks_test

import (
	"strings"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/jwks"
	"github.com/stretchr/testify/require"
)

// A key that has the ID and another algorithm may have been replaced: it is looked for as
// a key with an unknown ID is, and no more often.
func TestKnownKeyThatDoesNotFit(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		c, r := newCache(t, s)
		has(t, c, "k1")
		s.forget()
		for range 100 {
			for _, alg := range []string{"RS256", "none", "PS256", "ES384"} {
				keys, err := c.Keys(t.Context(), "k1", alg)
				require.NoError(t, err)
				require.Nil(t, keys)
			}
		}
		require.Equal(t, 2, s.count(""))
		require.Len(t, r.suppressed, 398)
		require.Equal(t, jwks.TriggerUnknownKey, r.lastFetch(t).Trigger)
		hasNot(t, c, "invented")
		require.Equal(t, 2, s.count(""), "the fetches are those of invented IDs")
		has(t, c, "k1")

		// It is told as what it is, whether or not a fetch was made for it.
		require.Equal(t, "the key of that ID is not for this algorithm, as of now", c.Absence("k1", "RS256"))

		// The server replaces it.
		time.Sleep(jwks.DefaultMissInterval)
		s.fail(setURL, always(200, "application/json", string(set(newJWK(t, "k1", "RS256")))))
		keys, err := c.Keys(t.Context(), "k1", "RS256")
		require.NoError(t, err)
		require.Len(t, keys, 1)
		require.Equal(t, 3, s.count(""))

		// While it is down, nobody can say whether it has: an outage, as for any unknown key.
		s.fail("", down)
		s.fail(setURL, nil)
		time.Sleep(jwks.DefaultMissInterval)
		unavailable(t, c, "k1")
		unavailable(t, c, "k1")
		require.Equal(t, 4, s.count(""))
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
}
