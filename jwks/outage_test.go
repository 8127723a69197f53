package jwks_test

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/jwks"
	"github.com/stretchr/testify/require"
)

// While the last good keys serve, three attempts fit into an interval, and the
// server is noticed to be back as soon as the backoff allows.
func TestRecoveryWhileStale(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		c, _ := newCache(t, s)
		has(t, c, "k1")
		_, due, _ := ages(c)
		time.Sleep(due)
		s.fail("", down)
		s.forget()
		start := time.Now()
		for time.Since(start) < 30*time.Minute { // under traffic
			has(t, c, "k1")
			synctest.Wait()
			switch elapsed := time.Since(start); {
			case elapsed >= 3*time.Second && elapsed < jwks.DefaultMissInterval:
				require.Equal(t, 3, s.count(""))
			case elapsed == 11*time.Second:
				require.Equal(t, 4, s.count(""))
			}
			time.Sleep(time.Second)
		}
		require.Greater(t, s.count(""), 30)
		s.heal()
		time.Sleep(time.Minute)
		has(t, c, "k1")
		synctest.Wait()
		require.Equal(t, jwks.StateFresh, c.Status().State)
	})
}

// The backoff is up to a fifth shorter, so that a fleet does not come back at
// the same moment.
func TestBackoffJitter(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t)
		s.fail("", down)
		first, last := time.Hour, time.Duration(0)
		for range 500 {
			c, _ := newCache(t, s)
			unavailable(t, c, "k1")
			wait := time.Until(c.Status().NextAttempt)
			first, last = min(first, wait), max(last, wait)
		}
		require.GreaterOrEqual(t, first, 800*time.Millisecond)
		require.LessOrEqual(t, last, time.Second)
		require.Less(t, first, 850*time.Millisecond) // all of 500 above it: once in 10^62 runs
		require.Greater(t, last, 950*time.Millisecond)
	})
}

// After a refresh-ahead that failed long ago, the server is asked again: a
// withdrawn key is refused within one TTL.
func TestDueAfterAnEarlierFailure(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		c, _ := newCache(t, s)
		has(t, c, "k1")
		for c.Status().State != jwks.StateAhead {
			time.Sleep(time.Second)
		}
		s.fail("", down)
		has(t, c, "k1")
		synctest.Wait()
		require.Equal(t, 1, c.Status().Failures)
		s.heal()
		s.rotate(t, "k2")
		time.Sleep(5 * time.Minute)
		require.Equal(t, jwks.StateDue, c.Status().State)
		hasNot(t, c, "k1")
	})
}

// Keys that expire while a call waits for the server are not used any more; the
// call reports an outage, and does not blame the token.
func TestExpiryWhileWaiting(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		c, _ := newCache(t, s)
		has(t, c, "k1")
		s.fail("", func(*http.Request) (*http.Response, error) {
			jwks.StepWall(c, 2*time.Hour)
			return nil, errDown
		})
		unavailable(t, c, "x")
		require.Equal(t, jwks.StateExpired, c.Status().State)
	})
}

func TestBackoff(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		s.fail("", always(503, "application/json", "{}"))
		c, r := newCache(t, s)
		want := time.Second
		for i := range 12 {
			unavailable(t, c, "k1")
			require.Equal(t, i+1, s.count(""), "a fetch as soon as the backoff allows")
			status := c.Status()
			require.Equal(t, i+1, status.Failures)
			wait := time.Until(status.NextAttempt)
			require.LessOrEqual(t, wait, want)
			require.GreaterOrEqual(t, wait, want*8/10)
			require.Equal(t, 503, r.lastFetch(t).Status)
			time.Sleep(wait - time.Nanosecond)
			unavailable(t, c, "k1")
			require.Equal(t, status.NextAttempt, c.Status().NextAttempt)
			requireError(t, c.Refresh(t.Context()), bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)
			for _, trigger := range []jwks.Trigger{jwks.Scheduled, jwks.TriggerUnknownKey, jwks.TriggerRefresh} {
				require.Zero(t, jwks.LateStart(c, trigger, 1000))
			}
			require.Equal(t, i+1, s.count(""), "no fetch before")
			time.Sleep(time.Nanosecond)
			require.Zero(t, c.Status().NextAttempt)
			want = min(2*want, time.Minute)
		}
		s.heal()
		has(t, c, "k1")
		require.Zero(t, c.Status().Failures)
	})
}

func TestRetryAfter(t *testing.T) {
	busy := func(value string) fault {
		return func(*http.Request) (*http.Response, error) {
			resp := answer(503, "", "")
			resp.Header.Set("Retry-After", value)
			return resp, nil
		}
	}
	within(t, func(t *testing.T) {
		for _, tc := range []struct {
			value         string
			empty, usable time.Duration
		}{
			{"30", 30 * time.Second, 30 * time.Second},
			{"240", time.Minute, 4 * time.Minute},
			{"99999999999999999999", time.Minute, 5 * time.Minute},
			{time.Now().Add(2 * time.Hour).UTC().Format(http.TimeFormat), time.Minute, 5 * time.Minute},
			{"-5", 0, 0}, {"soon", 0, 0}, {"0", 0, 0},
		} {
			s := newServer(t, "k1")
			s.fail("", busy(tc.value))
			c, _ := newCache(t, s)
			e := unavailable(t, c, "k1")
			if tc.empty > 0 {
				require.Equal(t, tc.empty, e.RetryAfter, tc.value)
			} else {
				require.LessOrEqual(t, e.RetryAfter, time.Second)
			}

			s.heal()
			time.Sleep(time.Until(c.Status().NextAttempt))
			has(t, c, "k1")
			s.fail("", busy(tc.value))
			requireError(t, c.Refresh(t.Context()), bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)
			if tc.usable > 0 {
				require.Equal(t, tc.usable, time.Until(c.Status().NextAttempt), tc.value)
			}
		}
	})
}

func TestClientThatBreaks(t *testing.T) {
	for name, tc := range map[string]struct {
		fault   fault
		outcome jwks.Outcome
	}{
		"panics":              {func(*http.Request) (*http.Response, error) { panic("secret") }, jwks.OutcomePanic},
		"ends its goroutine":  {func(*http.Request) (*http.Response, error) { runtime.Goexit(); return nil, nil }, jwks.OutcomePanic},
		"ignores its context": {func(*http.Request) (*http.Response, error) { time.Sleep(time.Minute); return nil, nil }, jwks.OutcomeTimeout},
		"nil, nil":            {func(*http.Request) (*http.Response, error) { var none *http.Response; return none, errNothing }, jwks.OutcomeConnect},
	} {
		t.Run(name, func(t *testing.T) {
			within(t, func(t *testing.T) {
				s := newServer(t, "k1")
				s.fail("", tc.fault)
				c, r := newCache(t, s, discovered)
				var wg sync.WaitGroup
				start := time.Now()
				for range 10 {
					wg.Go(func() { unavailable(t, c, "k1") })
				}
				wg.Wait()
				require.LessOrEqual(t, time.Since(start), jwks.DefaultFetchTimeout+time.Second)
				require.Equal(t, tc.outcome, r.lastFetch(t).Outcome)
				s.heal()
				time.Sleep(2 * time.Second)
				has(t, c, "k1")
				time.Sleep(2 * time.Minute) // what ignores its context ends some day
				has(t, c, "k1")
			})
		})
	}
}

var errNothing = errors.New("nothing")

// While a fetch is under way, no pause that comes back with the wall clock makes a call fail
// that the fetch has the keys for.
func TestClockSetBackDuringAFetch(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		c, _ := newCache(t, s)
		s.fail("", down)
		unavailable(t, c, "k1")
		s.heal()
		s.delay = 200 * time.Millisecond
		jwks.StepWall(c, time.Minute)
		var wg sync.WaitGroup
		wg.Go(func() { has(t, c, "k1") })
		time.Sleep(100 * time.Millisecond)
		jwks.StepWall(c, 0)
		has(t, c, "k1")
		wg.Wait()
		require.Equal(t, 2, s.count(""))
	})
}

// Who comes when a fetch has failed does not wait for the hooks that are told of it.
func TestNobodyWaitsForHooksDuringTheBackoff(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		s.fail("", down)
		c, _ := newCache(t, s, func(c *jwks.Config) {
			c.Hooks = jwks.Hooks{Fetched: func(context.Context, jwks.FetchEvent) { time.Sleep(500 * time.Millisecond) }}
		})
		go func() { _, _ = c.Keys(context.Background(), "k1", "ES256") }()
		synctest.Wait()
		before := time.Now()
		unavailable(t, c, "k1")
		require.Zero(t, time.Since(before))
		time.Sleep(time.Second)
	})
}

// Where there is nothing to wait for, it does not matter that the caller has gone: it gets
// what is known.
func TestCanceledWithoutWaiting(t *testing.T) {
	within(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := newServer(t, "k1")
		s.fail("", down)
		c, _ := newCache(t, s, func(c *jwks.Config) {
			c.Hooks.Waited = func(context.Context, jwks.WaitEvent) { cancel() }
		})
		for range 2 { // one that has waited, and one that comes during the backoff
			_, err := c.Keys(ctx, "k1", "ES256")
			require.Error(t, ctx.Err())
			e := requireError(t, err, bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)
			require.Equal(t, time.Second, e.RetryAfter)
		}

		s.heal()
		time.Sleep(time.Second)
		ctx, cancel = context.WithCancel(t.Context())
		defer cancel()
		keys, err := c.Keys(ctx, "k1", "ES256")
		require.Error(t, ctx.Err())
		require.NoError(t, err)
		require.Len(t, keys, 1)
	})
}

// A call waits for two fetches at most, however slow the hooks are: when they have been told
// of a failure, the backoff may have passed already.
func TestKeysWaitsForTwoFetchesAtMost(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		s.fail("", down)
		c, _ := newCache(t, s, func(c *jwks.Config) {
			c.Hooks = jwks.Hooks{Fetched: func(context.Context, jwks.FetchEvent) { time.Sleep(4 * time.Second) }}
		})
		before := time.Now()
		unavailable(t, c, "k1")
		require.Equal(t, 8*time.Second, time.Since(before))
		require.Equal(t, 2, s.count(""))
	})
}
