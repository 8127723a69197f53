package jwtverify_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/stretchr/testify/require"
)

// rotating is a key source whose keys the test replaces.
type rotating struct {
	set *jwks.Set
	err error
}

func (r *rotating) Keys(ctx context.Context, kid, alg string) ([]jwks.Key, error) {
	if r.err != nil {
		return nil, r.err
	}
	return r.set.Keys(ctx, kid, alg)
}

// outcome is everything that a caller sees of a decision.
func outcome(v *jwtverify.Verifier, raw string) string {
	t, err := v.Verify(context.Background(), raw)
	if err != nil {
		e := bearergate.AsError(err)
		return fmt.Sprintf("%v %v, token %v", e.Kind, e.Reason, t != nil)
	}
	return fmt.Sprintf("%s %s %s %s %v %v %v %v", t.Issuer(), t.Subject(), t.ClientID(), t.ID(), t.Audience(), t.Scopes(), t.ExpiresAt(), t.NotBefore())
}

// A cached decision equals an uncached one. Two verifiers, of one random
// configuration but for the cache, live through one random history: tokens that
// are valid and not, seen before and not, keys that are withdrawn, replaced under
// their kid and come back, outages of the source, a clock that steps both ways.
func TestTheCacheChangesNothing(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	signers := []signer{newSigner(t, "ES256", "a"), newSigner(t, "EdDSA", "b"), newSigner(t, "ES256", "a"), newSigner(t, "EdDSA", "")}
	histories := 60
	if testing.Short() {
		histories = 10
	}
	hits := 0
	for h := range histories {
		random := rand.New(rand.NewPCG(seed, uint64(h)))
		pick := func(n int) bool { return random.IntN(n) == 0 }
		clock, source := now, &rotating{set: signers[0].Set(t)}
		check := error(nil)
		c := jwtverify.Config{Issuer: issuer, Audiences: []string{audience}, Keys: source, Now: func() time.Time { return clock }}
		if pick(2) {
			c.Audiences = append(c.Audiences, "https://second.example.com/")
		}
		if pick(3) {
			c.Profile = jwtverify.RFC9068
		}
		switch random.IntN(3) {
		case 0:
			c.NoLeeway = true
		case 1:
			c.Leeway = time.Duration(random.IntN(120)+1) * time.Second
		}
		if pick(3) {
			c.MaxTokenAge = time.Duration(random.IntN(120)+1) * time.Minute
		}
		if pick(3) {
			c.RequiredClaims = []string{"tenant"}
		}
		if pick(3) {
			c.Confirmations = []string{"jkt"}
		}
		if pick(2) {
			c.Check = func(context.Context, *bearergate.Token) error { return check }
		}
		cachedConfig, plainConfig := c, c
		cachedConfig.Hooks.Verified = func(_ context.Context, e jwtverify.VerifyEvent) {
			if e.Cached {
				hits++
			}
		}
		if pick(3) {
			cachedConfig.CacheEntries = 1 + random.IntN(20)
		}
		plainConfig.DisableCache = true
		cached, plain := newVerifier(t, cachedConfig), newVerifier(t, plainConfig)

		var tokens []string
		for step := range 120 {
			switch random.IntN(12) {
			case 0, 1: // the clock, to and fro over the bounds of the tokens
				clock = clock.Add(time.Duration(random.IntN(5400)-2400) * time.Second / time.Duration(1+random.IntN(60)))
			case 2: // rotation
				var keys []jwks.Key
				for _, s := range signers {
					if pick(2) {
						keys = append(keys, s.Public(t))
					}
				}
				if len(keys) > 0 {
					set, err := jwks.NewSet(keys...)
					require.NoError(t, err)
					source.set = set
				}
			case 3:
				source.err = []error{nil, nil, bearergate.ErrUnavailable, fmt.Errorf("foreign")}[random.IntN(4)]
			case 4:
				check = []error{nil, nil, fmt.Errorf("denied"), bearergate.ErrUnavailable}[random.IntN(4)]
			}
			if len(tokens) == 0 || pick(3) {
				tokens = append(tokens, randomToken(t, random, signers[random.IntN(len(signers))], clock))
			}
			raw := tokens[random.IntN(len(tokens))]
			require.Equal(t, outcome(plain, raw), outcome(cached, raw), "seed %d, history %d, step %d", seed, h, step)
		}
	}
	require.Greater(t, hits, histories, "hardly anything came from the cache: this compares nothing")
}

// randomToken is mostly valid at the moment, for a while.
func randomToken(t *testing.T, random *rand.Rand, s signer, clock time.Time) string {
	second := func(n int) int64 { return clock.Add(time.Duration(random.IntN(2*n)-n) * time.Second).Unix() }
	claims := map[string]any{
		"iat": second(60), "exp": clock.Unix() + int64(random.IntN(3600)), "jti": fmt.Sprint(random.Uint64()),
	}
	set := func(n int, name string, value any) {
		if random.IntN(n) == 0 {
			claims[name] = value
		}
	}
	set(6, "nbf", second(600))
	set(6, "exp", second(7200))
	set(8, "aud", []string{"https://second.example.com/"})
	set(8, "aud", []string{"https://other.example.com/", audience})
	set(8, "tenant", "t")
	set(2, "tenant", "t")
	set(8, "cnf", map[string]any{"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"})
	set(12, "iss", "https://evil.example.com/")
	set(12, "sub", absent)
	set(12, "scope", []string{"read", "write:7"})
	set(16, "scope", 7)
	set(16, "exp", "soon")
	return s.Sign(t, claims)
}

// An entry never outlives exp, by the verifier's clock and by the machine's,
// nor the withdrawal of its key, whatever the clock says.
func TestAnEntryNeverOutlivesItsGrounds(t *testing.T) {
	random := rand.New(rand.NewPCG(1, uint64(now.Unix())))
	s, other := newSigner(t, "ES256", "k"), newSigner(t, "ES256", "k")
	for range 200 {
		clock, source := now, &rotating{set: s.Set(t)}
		leeway := time.Duration(1+random.IntN(60)) * time.Second
		v := newVerifier(t, jwtverify.Config{Issuer: issuer, Audiences: []string{audience}, Keys: source, Leeway: leeway, Now: func() time.Time { return clock }})
		life := time.Duration(1+random.IntN(7200)) * time.Second
		raw := s.Sign(t, map[string]any{"exp": now.Add(life).Unix()})
		accepted := func() { t.Helper(); _, err := v.Verify(t.Context(), raw); require.NoError(t, err) }
		accepted()
		clock = now.Add(life + leeway - 1)
		accepted()
		clock = now.Add(life + leeway + time.Duration(random.IntN(1000)))
		token, err := v.Verify(t.Context(), raw)
		requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonExpired)
		clock = now
		accepted()
		source.set = other.Set(t) // the same kid, another key
		token, err = v.Verify(t.Context(), raw)
		requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonSignature)
		source.set = newSigner(t, "ES256", "l").Set(t)
		token, err = v.Verify(t.Context(), raw)
		requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonUnknownKey)
	}
}

// A token that differs in one bit is another token: each of them is refused,
// though the true one is remembered, and none comes from the cache.
func TestOneBitOffNeverHits(t *testing.T) {
	for _, alg := range []string{"ES256", "EdDSA"} {
		s := newSigner(t, alg, "k")
		raw, hits := s.Sign(t, nil), 0
		c := config(s.Set(t))
		c.Hooks.Verified = func(_ context.Context, e jwtverify.VerifyEvent) {
			if e.Cached {
				hits++
			}
		}
		v := newVerifier(t, c)
		for range 2 {
			_, err := v.Verify(t.Context(), raw)
			require.NoError(t, err)
		}
		require.Equal(t, 1, hits)
		for i := range len(raw) {
			for bit := range 8 {
				b := []byte(raw)
				b[i] ^= 1 << bit
				token, err := v.Verify(t.Context(), string(b))
				require.Nil(t, token)
				require.ErrorIs(t, err, bearergate.ErrInvalidToken, "byte %d, bit %d", i, bit)
			}
		}
		require.Equal(t, 1, hits)
		_, err := v.Verify(t.Context(), raw)
		require.NoError(t, err)
		require.Equal(t, 2, hits)
	}
}

// What the source withdraws is refused from the next lookup after the set
// changed, also with a real cache of keys.
func TestAWithdrawnKeyRefusesItsCachedTokens(t *testing.T) {
	as := authtest.New(t)
	keys, err := jwks.New(jwks.Config{Issuer: as.Issuer(), HTTPClient: as.Client()})
	require.NoError(t, err)
	v := newVerifier(t, jwtverify.Config{Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, Keys: keys})
	raw := as.Token(authtest.Claims{})
	for range 2 {
		_, err = v.Verify(t.Context(), raw)
		require.NoError(t, err)
	}
	as.Rotate()
	as.Withdraw()
	require.NoError(t, keys.Refresh(t.Context()))
	token, err := v.Verify(t.Context(), raw)
	requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonUnknownKey)
}
