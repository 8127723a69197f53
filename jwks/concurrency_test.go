package jwks_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/jwks"
	"github.com/stretchr/testify/require"
)

// A caller that has decided to fetch, and is overtaken by another caller's
// fetch, must not make another one.
func TestLateDecision(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		c, _ := newCache(t, s)
		has(t, c, "k1")
		for _, trigger := range []jwks.Trigger{jwks.Scheduled, jwks.TriggerUnknownKey, jwks.TriggerRefresh} {
			require.Zero(t, jwks.LateStart(c, trigger, 0), "no event to wait for")
			require.Equal(t, 1, s.count(""), trigger)
		}
		require.NotZero(t, jwks.LateStart(c, jwks.TriggerUnknownKey, 1))
		require.Equal(t, 2, s.count(""))
		jwks.LateStart(c, jwks.TriggerUnknownKey, 2)
		require.Equal(t, 2, s.count(""), "within the interval")
		s.fail("", down)
		jwks.LateStart(c, jwks.TriggerRefresh, 2)
		require.Equal(t, 3, s.count(""))
		for _, trigger := range []jwks.Trigger{jwks.Scheduled, jwks.TriggerUnknownKey, jwks.TriggerRefresh} {
			require.Zero(t, jwks.LateStart(c, trigger, 3), "no event to wait for")
			require.Equal(t, 3, s.count(""), "within the backoff")
		}
	})
}

func TestFirstCallerCancels(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		s.delay = 2 * time.Second
		c, _ := newCache(t, s)
		first, cancel := context.WithCancel(t.Context())
		var served, canceled atomic.Int32
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := c.Keys(first, "k1", "ES256")
			if errors.Is(err, context.Canceled) && bearergate.ReasonOf(err) == bearergate.ReasonCanceled {
				canceled.Add(1)
			}
		})
		synctest.Wait()
		for range 499 {
			wg.Go(func() {
				if keys, err := c.Keys(context.Background(), "k1", "ES256"); err == nil && len(keys) == 1 {
					served.Add(1)
				}
			})
		}
		time.Sleep(time.Second)
		cancel()
		wg.Wait()
		require.EqualValues(t, 1, canceled.Load())
		require.EqualValues(t, 499, served.Load())
		require.Equal(t, 1, s.count(""))
		require.Zero(t, c.Status().Failures, "a caller that went away is no failure")
	})
}

func TestWaiterHasItsOwnBound(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		s.delay = 2 * time.Second
		c, _ := newCache(t, s)
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		start := time.Now()
		_, err := c.Keys(ctx, "k1", "ES256")
		require.Equal(t, 300*time.Millisecond, time.Since(start))
		requireError(t, err, bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		has(t, c, "k1") // the fetch went on
		require.Equal(t, 2*time.Second, time.Since(start))
		require.Equal(t, 1, s.count(""))

		// A caller that has gone already starts no fetch, but gets keys that are there.
		_, err = c.Keys(ctx, "x", "ES256")
		requireError(t, err, bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)
		require.Equal(t, 1, s.count(""))
		keys, err := c.Keys(ctx, "k1", "ES256")
		require.NoError(t, err)
		require.Len(t, keys, 1)
	})
}

// Our own timeout must not look like the caller's.
func TestTimeoutIsNotTheCallers(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		s.fail("", hang)
		c, r := newCache(t, s)
		start := time.Now()
		e := unavailable(t, c, "k1")
		require.Equal(t, jwks.DefaultFetchTimeout, time.Since(start))
		require.NotErrorIs(t, e, context.DeadlineExceeded)
		require.Equal(t, jwks.OutcomeTimeout, r.lastFetch(t).Outcome)
	})
}

func TestRace(t *testing.T) {
	noLeaks(t)
	s := newServer(t, "k0", "stays")
	c, _ := newCache(t, s, func(c *jwks.Config) {
		c.MinTTL, c.TTL, c.MissInterval = 100*time.Millisecond, 100*time.Millisecond, 100*time.Millisecond
	})
	stays := s.keys["stays"]
	has(t, c, "stays")
	var stop atomic.Bool
	var readers, writers sync.WaitGroup
	for range 8 {
		readers.Go(func() {
			for i := 0; !stop.Load(); i++ {
				keys, err := c.Keys(context.Background(), "stays", "ES256")
				if err != nil || len(keys) != 1 {
					t.Error("lost a key during rotation: ", err)
					return
				}
				if i%64 == 0 {
					_, _ = c.Keys(context.Background(), fmt.Sprint("x", i), "ES256")
					_, _ = c.KeysAfterMiss(context.Background(), jwks.Miss{KeyID: "stays", Algorithm: "ES256", Tried: true})
					_ = c.Status()
				}
				runtime.Gosched()
			}
		})
	}
	for i := range 2 {
		writers.Go(func() {
			for n := range 50 {
				if i == 0 {
					s.rotate(t, fmt.Sprint("k", n))
					s.mu.Lock()
					s.keys["stays"] = stays
					s.mu.Unlock()
				}
				_ = c.Refresh(context.Background())
				if data, err := c.Export(); err == nil {
					_ = c.Import(data)
				}
			}
		})
	}
	writers.Wait()
	stop.Store(true)
	readers.Wait()
}
