package jwtverify_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/stretchr/testify/require"
)

// As many tokens are remembered as the configuration says.
func TestCacheEntries(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	const tokens = 300
	remembered := func(entries int) (n int) {
		c := config(s.Set(t))
		c.CacheEntries = entries
		c.Hooks.Verified = func(_ context.Context, e jwtverify.VerifyEvent) {
			if e.Cached {
				n++
			}
		}
		v := newVerifier(t, c)
		var all []string
		for i := range tokens {
			all = append(all, s.Sign(t, map[string]any{"jti": fmt.Sprint(i)}))
		}
		for range 2 {
			for _, raw := range all {
				_, err := v.Verify(t.Context(), raw)
				require.NoError(t, err)
			}
		}
		return n
	}
	require.Equal(t, tokens, remembered(0))
	require.Less(t, remembered(1), tokens)
}

// A decision from the cache equals one without: Check, times and keys are
// looked at on every call.
func TestCacheDecidesNothingByItself(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	raw := s.Sign(t, nil)
	clock := now
	keys, keyErr := []jwks.Key{s.Public(t)}, error(nil)
	var refuse error
	checks := 0
	var cached []bool
	c := config(sourceFunc(func(context.Context, string, string) ([]jwks.Key, error) { return keys, keyErr }))
	c.Now = func() time.Time { return clock }
	c.Check = func(context.Context, *bearergate.Token) error { checks++; return refuse }
	c.Hooks.Verified = func(_ context.Context, e jwtverify.VerifyEvent) { cached = append(cached, e.Cached) }
	v := newVerifier(t, c)

	first, err := v.Verify(t.Context(), raw)
	require.NoError(t, err)
	second, err := v.Verify(t.Context(), raw)
	require.NoError(t, err)
	require.Same(t, first, second)
	require.Equal(t, 2, checks)

	refuse = errors.New("revoked since")
	token, err := v.Verify(t.Context(), raw)
	requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonPolicy)
	refuse = nil

	// Another signature is another token.
	token, err = v.Verify(t.Context(), raw[:len(raw)-20]+strings.Repeat("A", 20))
	requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonSignature)

	clock = now.Add(time.Hour + jwtverify.DefaultLeeway)
	token, err = v.Verify(t.Context(), raw)
	requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonExpired)
	clock = now.Add(-time.Hour) // set back: iat is in the future again
	token, err = v.Verify(t.Context(), raw)
	requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonNotYetValid)
	clock = now

	keyErr = io.EOF
	token, err = v.Verify(t.Context(), raw)
	requireError(t, token, err, bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)
	keys, keyErr = nil, nil // withdrawn
	token, err = v.Verify(t.Context(), raw)
	requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonUnknownKey)
	keys = []jwks.Key{newSigner(t, "ES256", "k").Public(t)} // replaced under the same kid
	token, err = v.Verify(t.Context(), raw)
	requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonSignature)
	keys = []jwks.Key{s.Public(t)}
	_, err = v.Verify(t.Context(), raw)
	require.NoError(t, err)

	require.Equal(t, []bool{false, true, true, false, true, true, false, false, false, true}, cached)
}

// A fifth key that fits makes a token without kid ambiguous, cached or not.
func TestCachedTokenWithoutKeyID(t *testing.T) {
	s := newSigner(t, "ES256", "")
	keys := []jwks.Key{s.Public(t)}
	v := newVerifier(t, config(sourceFunc(func(context.Context, string, string) ([]jwks.Key, error) { return keys, nil })))
	raw := s.Sign(t, nil)
	for range 2 {
		_, err := v.Verify(t.Context(), raw)
		require.NoError(t, err)
	}
	for range 3 {
		keys = append(keys, newSigner(t, "ES256", "").Public(t))
		_, err := v.Verify(t.Context(), raw)
		require.NoError(t, err, "%d keys", len(keys))
	}
	keys = append(keys, newSigner(t, "ES256", "").Public(t))
	token, err := v.Verify(t.Context(), raw)
	requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonUnknownKey)
}

func TestCacheEntriesEnd(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	for name, tt := range map[string]struct {
		disabled bool
		life     time.Duration
		cached   []bool // at once, after 4:59, after 5 minutes
	}{
		"five minutes": {false, time.Hour, []bool{true, true, false}},
		"disabled":     {true, time.Hour, []bool{false, false, false}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				c := config(s.Set(t))
				c.Now = nil
				c.DisableCache = tt.disabled
				var cached []bool
				c.Hooks.Verified = func(_ context.Context, e jwtverify.VerifyEvent) { cached = append(cached, e.Cached) }
				v := newVerifier(t, c)
				raw := s.Sign(t, map[string]any{"iat": time.Now().Unix(), "exp": time.Now().Add(tt.life).Unix()})
				for _, wait := range []time.Duration{0, 0, jwtverify.CacheTTL - time.Second, time.Second} {
					time.Sleep(wait) // the bubble's clock
					_, err := v.Verify(t.Context(), raw)
					require.NoError(t, err)
				}
				require.Equal(t, tt.cached, cached[1:])
			})
		})
	}
}

// A source that ignores alg breaks its contract: cached or not, the key does
// not serve.
func TestCachedKeyMustStillServe(t *testing.T) {
	s := newSigner(t, "RS256", "k")
	key, err := jwks.NewKey("k", s.Key.Public(), "RS256")
	require.NoError(t, err)
	other, err := jwks.NewKey("k", s.Key.Public(), "PS256")
	require.NoError(t, err)
	keys := []jwks.Key{key}
	v := newVerifier(t, config(sourceFunc(func(context.Context, string, string) ([]jwks.Key, error) { return keys, nil })))
	_, err = v.Verify(t.Context(), s.Sign(t, nil))
	require.NoError(t, err)
	raw := s.Sign(t, nil)
	_, err = v.Verify(t.Context(), raw)
	require.NoError(t, err)
	keys = []jwks.Key{other}
	token, err := v.Verify(t.Context(), raw)
	requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonSignature)
}

// The bound on bytes holds for tokens that are made of many small claims.
func TestCacheBytesBoundTheHeap(t *testing.T) {
	s := newSigner(t, "EdDSA", "k")
	names := strings.Fields(manyNames(1500))
	for name, claims := range map[string]map[string]any{
		"scope string": {"scope": strings.Join(names, " ")},
		"scope array":  {"scope": names},
		"aud":          {"aud": append([]string{audience}, names...)},
	} {
		t.Run(name, func(t *testing.T) {
			const limit = 4 << 20
			c := config(s.Set(t))
			c.CacheBytes, c.MaxTokenBytes = limit, 1<<20
			v := newVerifier(t, c)
			before := heap()
			for i := range 200 {
				claims["jti"] = fmt.Sprint(i)
				_, err := v.Verify(t.Context(), s.Sign(t, claims))
				require.NoError(t, err)
			}
			require.Less(t, heap()-before, int64(2*limit))
			runtime.KeepAlive(v)
		})
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestConcurrentUse(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	c := config(s.Set(t))
	c.CacheEntries = 4
	v := newVerifier(t, c)
	tokens := make([]string, 16)
	for i := range tokens {
		tokens[i] = s.Sign(t, map[string]any{"sub": fmt.Sprint(i)})
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 200 {
				token, err := v.Verify(context.Background(), tokens[i%len(tokens)])
				if err != nil || token.Subject() != fmt.Sprint(i%len(tokens)) {
					t.Errorf("%v %v", token, err)
				}
			}
		})
	}
	wg.Wait()
}

// What a warm Verify may allocate is exact, so it is a test.
func TestAllocations(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	v := newVerifier(t, config(s.Set(t)))
	ctx := t.Context()
	for _, padding := range []int{0, 3 << 10, 6 << 10, 11 << 10} {
		if padding > 0 && raceEnabled() {
			return // what is lent is at times not taken back
		}
		raw := s.Sign(t, map[string]any{"padding": strings.Repeat("x", padding)})
		require.Zero(t, testing.AllocsPerRun(100, func() {
			if _, err := v.Verify(ctx, raw); err != nil {
				t.Fatal(err)
			}
		}), len(raw))
	}
}
