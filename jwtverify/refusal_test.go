package jwtverify_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/test/kit"
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
		change          func(*jwtverify.Config)
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
		// T1, T2, T7, T25 of the cases: what is no access token names the mark that says so.
		{name: "a refresh token, in a spelling of its own", header: jwt(), claims: map[string]any{"tokenName": "Refresh-Token"}, reason: bearergate.ReasonType, detail: "another kind", expected: "an access token", found: `tokenName "Refresh-Token"`, refused: true},
		{name: "a refresh token by typ", header: jwt(), claims: map[string]any{"typ": "REFRESH"}, reason: bearergate.ReasonType, detail: "another kind", expected: "an access token", found: `typ "REFRESH"`, refused: true},
		{name: "an authorization response", header: jwt(), claims: map[string]any{"code": "c", "state": "s"}, reason: bearergate.ReasonType, detail: "another kind", expected: "an access token", found: "the members code and state", refused: true},
		{name: "a nonce where at_hash is allowed", header: jwt(), claims: map[string]any{"at_hash": "x", "nonce": "n"}, change: allowMarks("at_hash"), reason: bearergate.ReasonType, detail: "another kind", expected: "an access token", found: "the member nonce", refused: true},
		{name: "bound, and nobody promises to ask for the proof", header: jwt(), claims: map[string]any{"typ": "DPoP", "nonce": "n", "cnf": map[string]any{"jkt": "x"}}, reason: bearergate.ReasonBinding, detail: "bound by a cnf member that is not named in Confirmations", expected: "no cnf", found: `"jkt"`, refused: true},
		// T5, T6: the header.
		{name: "a compressed payload", header: with("zip", "DEF"), reason: bearergate.ReasonMalformed, detail: "a compressed token is not accepted"},
		{name: "a type that nobody has allowed", header: with("typ", "JOSE"), reason: bearergate.ReasonType, detail: "typ is not", expected: `"at+jwt", "JWT" or none`, found: `"JOSE"`, unverified: true},
		{name: "another type than is allowed", header: with("typ", "JOSE+JSON"), change: allowTypes("JOSE"), reason: bearergate.ReasonType, detail: "typ is not", expected: `"at+jwt" "jose", "JWT" or none`, found: `"JOSE+JSON"`, unverified: true},
		// T12: of another environment, whose kid nobody knows here.
		{name: "another issuer, and another kid", header: with("kid", "staging-1"), claims: map[string]any{"iss": "https://as.staging.example.com/"}, reason: bearergate.ReasonIssuer, detail: "iss is not", expected: `"` + issuer + `"`, found: `"https://as.staging.example.com/"`, unverified: true},
		// T13, T14, T17: the key that a token names, or does not.
		{name: "no kid, and five keys fit", header: map[string]any{"alg": "ES256"}, change: keysOf(t, s, 5), reason: bearergate.ReasonUnknownKey, detail: "names no key, and more than four fit", found: `no kid, alg "ES256"`, unverified: true},
		{name: "another algorithm under a kid that is known", header: jwt(), change: keysOf(t, newSigner(t, "RS256", "k"), 1), reason: bearergate.ReasonUnknownKey, detail: "the key of that ID is not for this algorithm", found: `kid "k", alg "ES256"`, unverified: true},
		{name: "a certificate that no key has", header: map[string]any{"alg": "ES256", "x5t": thumbprint("c", 20)}, change: withMember(t, s, "x5t", thumbprint("a", 20)), reason: bearergate.ReasonUnknownKey, detail: "has the certificate that the token names", found: `no kid, alg "ES256"`, unverified: true},
		{name: "a key of another tenant", header: jwt(), change: withMember(t, s, "issuer", "https://tenant-two.example.com/"), reason: bearergate.ReasonUnknownKey, detail: "serves another issuer", found: `kid "k", alg "ES256"`, unverified: true},
		// T18: what stands in for aud.
		{name: "no aud, of another client", header: jwt(), claims: map[string]any{"aud": kit.Absent, "client_id": "app-2"}, change: cognito, reason: bearergate.ReasonMissingClaim, detail: "aud", expected: `"` + audience + `"`, refused: true},
		{name: "aud of another, of the client that may stand in", header: jwt(), claims: map[string]any{"aud": "app-1", "client_id": "app-1"}, change: cognito, reason: bearergate.ReasonAudience, detail: "aud names none", expected: `"` + audience + `"`, found: `"app-1"`, refused: true},
		// T19, T24: a member of another type, or null within cnf.
		{name: "act of another meaning", header: jwt(), claims: map[string]any{"act": "nobody"}, reason: bearergate.ReasonMalformed, detail: "the claim act is not of its type", expected: "an object, at most 16 of them within each other"},
		{name: "null within cnf", header: jwt(), claims: map[string]any{"cnf": map[string]any{"x5t#S256": nil}}, reason: bearergate.ReasonMalformed, detail: "the claim cnf is not of its type", expected: "an object with at least one member, none of them empty"},
		// T26: a Map that would undo a check.
		{name: "a Map that clears what a check has seen", header: jwt(), change: func(c *jwtverify.Config) {
			c.Map = func(c *bearergate.Claims) error { c.NotBefore = now.Add(-time.Hour); return nil }
		}, reason: bearergate.ReasonInternal, detail: "Map has changed NotBefore, which is not its to change", refused: true},
		{name: "a Check that says no", header: jwt(), change: func(c *jwtverify.Config) {
			c.Check = func(context.Context, *bearergate.Token) error { return errors.New("no") }
		}, reason: bearergate.ReasonPolicy, detail: "Config.Check refused the token", refused: true},
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
			kind := bearergate.ErrInvalidToken
			if tt.reason == bearergate.ReasonInternal {
				kind = bearergate.ErrMisconfigured
			}
			if tt.change != nil {
				tt.change(&c)
			}
			_, err := newVerifier(t, c).Verify(t.Context(), raw)
			requireError(t, nil, err, kind, tt.reason)
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

// keysOf makes a verifier know the key of s, and others of its kind, n in all.
func keysOf(t *testing.T, s signer, n int) func(*jwtverify.Config) {
	keys := []jwks.Key{s.Public(t)}
	for i := 1; i < n; i++ {
		keys = append(keys, newSigner(t, s.Alg, fmt.Sprint("other", i)).Public(t))
	}
	return func(c *jwtverify.Config) {
		set, err := jwks.NewSet(keys...)
		require.NoError(t, err)
		c.Keys = set
	}
}

// withMember makes a verifier know the key of s alone, with one member more in its JWK.
func withMember(t *testing.T, s signer, name, value string) func(*jwtverify.Config) {
	return func(c *jwtverify.Config) {
		data, err := jose.PublicJWK(s.KeyID, s.Key.Public(), s.Alg)
		require.NoError(t, err)
		key, err := jwks.ParseKey([]byte(strings.TrimSuffix(string(data), "}") + `,"` + name + `":"` + value + `"}`))
		require.NoError(t, err)
		c.Keys, err = jwks.NewSet(key)
		require.NoError(t, err)
	}
}
