package jwtverify_test

import (
	"context"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/stretchr/testify/require"
)

// The event of a refusal suffices without the token: both sides of the comparison,
// whether anybody vouches for what was found, and whose token it was if its signature
// held.
func TestARefusalExplainsItself(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	jwt := func() map[string]any { return map[string]any{"alg": "ES256", "typ": "JWT", "kid": "k"} }
	with := func(name string, value any) map[string]any {
		h := jwt()
		h[name] = value
		return h
	}
	for _, tt := range []struct {
		name            string
		header, claims  map[string]any // header nil: as it should be
		raw             string         // instead
		later           time.Duration  // by how much the clock is ahead
		reason          bearergate.Reason
		detail          string
		expected, found string
		unverified      bool
		refused         bool
	}{
		{name: "an opaque token", raw: "abcdef", reason: bearergate.ReasonMalformed, detail: "an opaque token"},
		{name: "an encrypted token", raw: "a.b.c.d.e", reason: bearergate.ReasonMalformed, detail: "as an encrypted token (JWE)"},
		{name: "another algorithm", header: with("alg", "ES512"), reason: bearergate.ReasonAlgorithm, detail: "alg is not among",
			expected: `"RS256" "PS256" "ES256" "ES384" "EdDSA" "Ed25519"`, found: `"ES512"`, unverified: true},
		{name: "another type", header: with("typ", "logout+jwt"), reason: bearergate.ReasonType, detail: "typ is not", expected: `"at+jwt", "JWT" or none`, found: `"logout+jwt"`, unverified: true},
		{name: "another kid", header: with("kid", "old"), reason: bearergate.ReasonUnknownKey, detail: "publishes no key of that ID", found: `kid "old", alg "ES256"`, unverified: true},
		{name: "another issuer", header: jwt(), claims: map[string]any{"iss": issuer + "/"}, reason: bearergate.ReasonIssuer, detail: "iss is not", expected: `"` + issuer + `"`, found: `"` + issuer + `/"`, unverified: true},
		{name: "another audience", header: jwt(), claims: map[string]any{"aud": "graph"}, reason: bearergate.ReasonAudience, detail: "aud names none", expected: `"` + audience + `"`, found: `"graph"`, refused: true},
		{name: "an ID token", header: jwt(), claims: map[string]any{"at_hash": "x"}, reason: bearergate.ReasonType, detail: "another kind", expected: "an access token", found: "the member at_hash", refused: true},
		{name: "a claim of another type", header: jwt(), claims: map[string]any{"jti": 7}, reason: bearergate.ReasonMalformed, detail: "the claim jti is not of its type", expected: "a string"},
		{name: "expired", header: jwt(), later: 2 * time.Hour, reason: bearergate.ReasonExpired, detail: "exp has passed",
			expected: "later than " + now.Add(2*time.Hour-5*time.Second).UTC().Format(time.RFC3339), found: now.Add(time.Hour).UTC().Format(time.RFC3339), refused: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var told jwtverify.VerifyEvent
			c := config(s.Set(t))
			c.Now = func() time.Time { return now.Add(tt.later) }
			c.Hooks.Verified = func(_ context.Context, e jwtverify.VerifyEvent) { told = e }
			raw := tt.raw
			if raw == "" {
				raw = s.SignWith(t, tt.header, tt.claims)
			}
			_, err := newVerifier(t, c).Verify(t.Context(), raw)
			requireError(t, nil, err, bearergate.ErrInvalidToken, tt.reason)
			e := bearergate.AsError(told.Err)
			require.Contains(t, e.Detail, tt.detail)
			require.Equal(t, tt.expected, e.Expected)
			require.Equal(t, tt.found, e.Found)
			require.Equal(t, tt.unverified, e.Unsigned)
			require.Equal(t, tt.refused, e.Refused != nil)
			if tt.refused {
				require.Equal(t, "user-1", e.Refused.Subject())
				require.False(t, e.Refused.Proven())
			}
			require.Nil(t, told.Token, "a refused token is no token")
		})
	}

	t.Run("expired in the cache", func(t *testing.T) {
		clock := now
		c := config(s.Set(t))
		c.Now = func() time.Time { return clock }
		v := newVerifier(t, c)
		raw := s.Sign(t, nil)
		_, err := v.Verify(t.Context(), raw)
		require.NoError(t, err)
		clock = now.Add(2 * time.Hour)
		_, err = v.Verify(t.Context(), raw)
		e := bearergate.AsError(err)
		require.Equal(t, bearergate.ReasonExpired, e.Reason)
		require.Equal(t, "user-1", e.Refused.Subject())
	})
}
