package jwks_test

import (
	"context"
	"encoding/base64"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/jwks"
	"github.com/stretchr/testify/require"
)

func TestUnknownKey(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		c, r := newCache(t, s)
		hasNot(t, c, "x") // the first fetch began after the call, so its answer counts
		require.Equal(t, 1, s.count(""))
		hasNot(t, c, "x")
		require.Equal(t, 2, s.count(""))
		require.Equal(t, jwks.TriggerUnknownKey, r.lastFetch(t).Trigger)
		require.Empty(t, r.suppressed)
		hasNot(t, c, "y")
		require.Equal(t, 2, s.count(""))
		require.Len(t, r.suppressed, 1)
		require.Equal(t, "y", r.suppressed[0].KeyID)
		require.Equal(t, jwks.DefaultMissInterval, r.suppressed[0].NextFetch)

		// An algorithm that nothing fits counts likewise.
		keys, err := c.Keys(t.Context(), "", "RS256")
		require.NoError(t, err)
		require.Nil(t, keys)
		require.Equal(t, 2, s.count(""))
		time.Sleep(jwks.DefaultMissInterval)
		_, err = c.Keys(t.Context(), "", "RS256")
		require.NoError(t, err)
		require.Equal(t, 3, s.count(""))

		// After a failed attempt nobody can say that there is no such key.
		s.fail("", down)
		time.Sleep(jwks.DefaultMissInterval)
		for range 10 {
			e := unavailable(t, c, "z")
			require.LessOrEqual(t, e.RetryAfter, jwks.DefaultMissInterval)
		}
		has(t, c, "k1")
		require.Equal(t, 4, s.count(""), "a failed attempt is one too")
		require.Equal(t, jwks.StateFresh, c.Status().State)

		// Only an answer of the server changes that.
		s.heal()
		time.Sleep(2 * time.Second)
		unavailable(t, c, "z") // still within the interval
		require.Equal(t, 4, s.count(""))
		time.Sleep(8 * time.Second)
		hasNot(t, c, "z")
		require.Equal(t, 5, s.count(""))
	})
}

func TestKeysAfterMiss(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "")
		c, r := newCache(t, s)
		first, err := c.Keys(t.Context(), "", "ES256")
		require.NoError(t, err)
		require.Len(t, first, 1)
		s.rotate(t, "")
		second, err := c.KeysAfterMiss(t.Context(), "ES256")
		require.NoError(t, err)
		require.Len(t, second, 1)
		require.NotEqual(t, first[0].Thumbprint(), second[0].Thumbprint())
		require.Equal(t, 2, s.count(""))
		require.Equal(t, jwks.TriggerUnknownKey, r.lastFetch(t).Trigger)
		name := func(k jwks.Key) []string {
			thumbprint := k.Thumbprint()
			return []string{base64.RawURLEncoding.EncodeToString(thumbprint[:])}
		}
		require.Equal(t, name(second[0]), r.lastFetch(t).Added)
		require.Equal(t, name(first[0]), r.lastFetch(t).Removed)

		// The limiter is the one of unknown key IDs.
		for range 100 {
			keys, err := c.KeysAfterMiss(t.Context(), "ES256")
			require.NoError(t, err)
			require.Equal(t, second[0].Thumbprint(), keys[0].Thumbprint())
			hasNot(t, c, "x")
		}
		require.Equal(t, 2, s.count(""))

		s.fail("", down)
		time.Sleep(jwks.DefaultMissInterval)
		for range 10 {
			_, err = c.KeysAfterMiss(t.Context(), "ES256")
			requireError(t, err, bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)
		}
		require.Equal(t, 3, s.count(""))
		keys, err := c.Keys(t.Context(), "", "ES256")
		require.NoError(t, err)
		require.Len(t, keys, 1)
	})
}

// The key came with a fetch that was under way: there is no need of another.
func TestNewKeyInAFetchUnderWay(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		c, _ := newCache(t, s)
		has(t, c, "k1")
		s.rotate(t, "k2")
		s.delay = 2 * time.Second
		go func() { _ = c.Refresh(context.Background()) }()
		synctest.Wait()
		has(t, c, "k2")
		require.Equal(t, 2, s.count(""))
	})
}

// A fetch that began before the token arrived may not have seen its key.
func TestUnknownKeyDuringAFetch(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		c, _ := newCache(t, s)
		has(t, c, "k1")
		old := always(200, "application/json", string(set(s.keys["k1"])))
		s.fail("", func(r *http.Request) (*http.Response, error) {
			time.Sleep(2 * time.Second)
			return old(r)
		})
		var refreshed error
		go func() { refreshed = c.Refresh(context.Background()) }()
		synctest.Wait()
		time.Sleep(time.Second)
		s.rotate(t, "k2")
		s.heal()
		has(t, c, "k2")
		synctest.Wait()
		require.NoError(t, refreshed)
		require.Equal(t, 3, s.count(""))
	})
}

func TestRefresh(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		c, r := newCache(t, s)
		require.NoError(t, c.Refresh(t.Context()))
		require.NoError(t, c.Refresh(t.Context()))
		require.Equal(t, 2, s.count(""))
		require.Equal(t, jwks.TriggerRefresh, r.lastFetch(t).Trigger)
		require.Empty(t, r.lastFetch(t).Added)

		s.fail("", down)
		err := c.Refresh(t.Context())
		e := requireError(t, err, bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)
		require.Positive(t, e.RetryAfter)
		requireError(t, c.Refresh(t.Context()), bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)
		require.Equal(t, 3, s.count(""), "the backoff is for every trigger")
		has(t, c, "k1")
		s.heal()
		time.Sleep(time.Second)
		require.NoError(t, c.Refresh(t.Context()))

		// One that is under way is shared, but it began before the later calls.
		s.delay = 2 * time.Second
		s.forget()
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				if err := c.Refresh(context.Background()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		require.Equal(t, 2, s.count(""))

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		requireError(t, c.Refresh(ctx), bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)
		time.Sleep(5 * time.Second)
	})
}

// Why there is no key for a token, and as of when that is known.
func TestAbsence(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "a", "b")
		c, _ := newCache(t, s)
		require.Empty(t, new(jwks.Cache).Absence("x", "ES256"), "a Cache that was not made")
		require.Empty(t, (*jwks.Set)(nil).Absence("x", "ES256"))
		require.Empty(t, new(jwks.Set).Absence("x", "ES256"))
		require.Empty(t, c.Absence("a", "ES256"), "nothing is held yet, so nothing is known")

		has(t, c, "a")
		time.Sleep(3 * time.Second)
		for _, tt := range []struct{ kid, alg, why string }{
			{"a", "ES256", ""},
			{"x", "ES256", "the issuer publishes no key of that ID, as of 3s ago"},
			{"a", "RS256", "the key of that ID is not for this algorithm, as of 3s ago"},
			{"", "ES256", "the token names no key, and several fit, as of 3s ago"},
			{"", "RS256", "the token names no key, and none fits, as of 3s ago"},
		} {
			require.Equal(t, tt.why, c.Absence(tt.kid, tt.alg))
		}
		require.Equal(t, 1, s.count(""), "nothing was fetched for it")
	})
}
