package jwks_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bearergate/bearergate/jwks"
	"github.com/stretchr/testify/require"
)

func TestStates(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		c, r := newCache(t, s)
		state := func(want jwks.State) {
			t.Helper()
			require.Equal(t, want, c.Status().State)
		}
		state(jwks.StateEmpty)
		require.False(t, c.Status().Ready())
		require.Nil(t, c.Status().Algorithms)
		has(t, c, "k1")
		require.Equal(t, []string{"ES256"}, c.Status().Algorithms)
		require.Zero(t, c.Status().NextAttempt)
		state(jwks.StateFresh)
		require.True(t, c.Status().Ready())
		require.Equal(t, 1, c.Status().KeyCount)
		start := time.Now()

		// The jitter is at most a tenth either way.
		time.Sleep(time.Duration(0.8*0.9*float64(jwks.DefaultTTL)) - time.Second)
		state(jwks.StateFresh)
		has(t, c, "k1")
		require.Equal(t, 1, s.count(""))
		for c.Status().State == jwks.StateFresh {
			time.Sleep(time.Second)
		}
		state(jwks.StateAhead)
		require.LessOrEqual(t, time.Since(start), time.Duration(0.8*1.1*float64(jwks.DefaultTTL))+time.Second)

		// AHEAD answers at once and fetches in the background.
		s.delay = 2 * time.Second
		before := time.Now()
		has(t, c, "k1")
		require.Zero(t, time.Since(before))
		synctest.Wait()
		require.Equal(t, 2, s.count(""))
		has(t, c, "k1")
		require.Equal(t, 2, s.count(""), "one at a time")
		time.Sleep(3 * time.Second)
		state(jwks.StateFresh)
		require.Equal(t, jwks.TriggerAhead, r.lastFetch(t).Trigger)
		require.Equal(t, 2*time.Second, r.lastFetch(t).Duration)

		// DUE waits.
		s.delay = time.Second - time.Millisecond
		time.Sleep(11 * time.Minute)
		state(jwks.StateDue)
		before = time.Now()
		has(t, c, "k1")
		require.Equal(t, s.delay, time.Since(before))
		require.Empty(t, r.stale)
		require.Equal(t, jwks.TriggerDue, r.lastFetch(t).Trigger)
		state(jwks.StateFresh)

		// DUE waits for a fetch that fails, or that has run for a second; then STALE answers at once.
		s.fail("", hang)
		s.delay = 0
		time.Sleep(11 * time.Minute)
		state(jwks.StateDue)
		before = time.Now()
		has(t, c, "k1")
		require.Equal(t, time.Second, time.Since(before))
		state(jwks.StateDue)
		require.Len(t, r.stale, 1, "it says so")
		r.stale = nil
		time.Sleep(jwks.DefaultFetchTimeout - time.Second + time.Millisecond)
		require.Equal(t, jwks.OutcomeTimeout, r.lastFetch(t).Outcome)
		state(jwks.StateStale)
		has(t, c, "k1")
		require.True(t, c.Status().Ready())
		require.Error(t, c.Status().LastError)
		require.Len(t, r.stale, 1)
		time.Sleep(2 * time.Second)
		before = time.Now()
		has(t, c, "k1")
		require.Zero(t, time.Since(before))
		require.Len(t, r.stale, 2)
		time.Sleep(jwks.DefaultFetchTimeout + time.Second)
		require.Equal(t, jwks.TriggerRetry, r.lastFetch(t).Trigger)

		// EXPIRED: waits if the backoff allows, else fails at once.
		time.Sleep(75 * time.Minute)
		state(jwks.StateExpired)
		require.False(t, c.Status().Ready())
		before = time.Now()
		e := unavailable(t, c, "k1")
		require.Equal(t, jwks.DefaultFetchTimeout, time.Since(before))
		require.LessOrEqual(t, e.RetryAfter, time.Minute)
		before = time.Now()
		unavailable(t, c, "k1")
		require.Zero(t, time.Since(before))
		s.heal()
		time.Sleep(time.Until(c.Status().NextAttempt))
		has(t, c, "k1")
		state(jwks.StateFresh)
		require.NoError(t, c.Status().LastError)

		var passed []jwks.State
		for _, e := range r.states {
			if len(passed) > 0 {
				require.Equal(t, passed[len(passed)-1], e.From)
			}
			passed = append(passed, e.To)
		}
		require.Equal(t, []jwks.State{"fresh", "ahead", "fresh", "stale", "expired", "fresh"}, passed)
		require.Zero(t, r.dead)
	})
}

func TestUsable(t *testing.T) {
	for state, usable := range map[jwks.State]bool{
		"": false, jwks.StateEmpty: false, jwks.StateExpired: false,
		jwks.StateFresh: true, jwks.StateAhead: true, jwks.StateDue: true, jwks.StateStale: true,
	} {
		require.Equal(t, usable, state.Usable(), state)
	}
}

// ages returns the ages at which a fresh set reaches the states after it: its
// jitter is random, but not where they stand to each other.
func ages(c *jwks.Cache) (ahead, due, expired time.Duration) {
	reach := func(states ...jwks.State) time.Duration {
		before, at := time.Duration(-1), 3*time.Hour // sort.Search, whose int may have 32 bits
		for at-before > 1 {
			middle := before + (at-before)/2
			jwks.StepWall(c, middle)
			if slices.Contains(states, c.Status().State) {
				at = middle
			} else {
				before = middle
			}
		}
		jwks.StepWall(c, 0)
		return at
	}
	return reach(jwks.StateAhead, jwks.StateDue, jwks.StateExpired), reach(jwks.StateDue, jwks.StateExpired), reach(jwks.StateExpired)
}

// The states begin at their ages, to the nanosecond.
func TestStateBoundaries(t *testing.T) {
	within(t, func(t *testing.T) {
		c, _ := newCache(t, newServer(t, "k1"))
		has(t, c, "k1")
		ahead, due, expired := ages(c)
		require.Equal(t, due/100*80, ahead)
		require.Equal(t, due+jwks.DefaultMaxStale, expired)
	})
}

// Whether a set past its TTL may be used without asking depends on when asking
// failed last: past the TTL as well, or as short a time ago as under traffic.
func TestStaleOrDue(t *testing.T) {
	type testCase struct {
		failures     []time.Duration // after the TTL; negative: before
		missInterval time.Duration
		at           time.Duration
		want         jwks.State
	}
	for name, tc := range map[string]testCase{
		"a minute before":           {failures: []time.Duration{-59 * time.Second}, at: time.Second, want: jwks.StateStale},
		"earlier":                   {failures: []time.Duration{-70 * time.Second}, at: time.Second, want: jwks.StateDue},
		"at the very end, and idle": {failures: []time.Duration{0}, at: 20 * time.Minute, want: jwks.StateStale},
		"just before, and idle":     {failures: []time.Duration{-1}, at: 20 * time.Minute, want: jwks.StateDue},
		"as often as an interval takes": {
			failures:     []time.Duration{-20 * time.Second, -15 * time.Second, -10 * time.Second},
			missInterval: 10 * time.Minute,
			at:           5 * time.Minute,
			want:         jwks.StateStale,
		},
		"and that interval is over": {
			failures:     []time.Duration{-20 * time.Second, -15 * time.Second, -10 * time.Second},
			missInterval: 10 * time.Minute,
			at:           10 * time.Minute,
			want:         jwks.StateDue,
		},
	} {
		t.Run(name, func(t *testing.T) {
			within(t, func(t *testing.T) {
				s := newServer(t, "k1")
				c, _ := newCache(t, s, func(c *jwks.Config) { c.MissInterval = tc.missInterval })
				has(t, c, "k1")
				_, due, _ := ages(c)
				end := c.Status().LastSuccess.Add(due)
				s.fail("", down)
				for i, at := range tc.failures {
					time.Sleep(time.Until(end.Add(at)))
					has(t, c, "k1")
					synctest.Wait()
					require.Equal(t, i+1, c.Status().Failures)
				}
				time.Sleep(time.Until(end.Add(tc.at)))
				require.Equal(t, tc.want, c.Status().State)
			})
		})
	}
}

// The document may be as old as the start of its fetch.
func TestAgeCountsFromTheStart(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		s.delay = 4 * time.Second
		c, _ := newCache(t, s)
		start := time.Now()
		has(t, c, "k1")
		require.Equal(t, 4*time.Second, time.Since(start))
		require.Equal(t, start, c.Status().LastSuccess.Local())
	})
}

func TestJitter(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		var first, last time.Duration
		for range 50 {
			c, _ := newCache(t, s)
			has(t, c, "k1")
			start := time.Now()
			for c.Status().State != jwks.StateDue {
				time.Sleep(time.Second)
			}
			ttl := time.Since(start)
			if first == 0 || ttl < first {
				first = ttl
			}
			last = max(last, ttl)
		}
		require.GreaterOrEqual(t, first, 9*time.Minute)
		require.LessOrEqual(t, last, 11*time.Minute+time.Second)
		require.Greater(t, last-first, 30*time.Second, "a fleet does not ask at the same moment")
	})
}

// A wall clock that is set back brings back no withdrawn key, and loses no valid
// one.
func TestWallClockBack(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		c, _ := newCache(t, s)
		has(t, c, "k1")
		s.rotate(t, "k2") // k1 is withdrawn
		time.Sleep(9 * time.Minute)
		jwks.StepWall(c, -time.Hour)
		time.Sleep(3 * time.Minute)
		hasNot(t, c, "k1")
		has(t, c, "k2")

		// Set back during an outage, it does not stretch the time for stale keys.
		s.fail("", down)
		time.Sleep(30 * time.Minute)
		has(t, c, "k2")
		jwks.StepWall(c, -48*time.Hour)
		time.Sleep(45 * time.Minute)
		require.Equal(t, jwks.StateExpired, c.Status().State)
		unavailable(t, c, "k2")
		s.heal()
		time.Sleep(time.Minute)
		has(t, c, "k2")
	})
}

func TestWallClockForward(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		c, _ := newCache(t, s)
		has(t, c, "k1")
		jwks.StepWall(c, 24*time.Hour) // or: the machine slept for a day
		require.Equal(t, jwks.StateExpired, c.Status().State)
		has(t, c, "k1")
		require.Equal(t, jwks.StateFresh, c.Status().State)
		require.Equal(t, 2, s.count(""))

		// and back: the keys fetched meanwhile are neither lost nor kept longer
		jwks.StepWall(c, 0)
		has(t, c, "k1")
		require.Equal(t, 2, s.count(""))
		s.rotate(t, "k2")
		time.Sleep(12 * time.Minute)
		hasNot(t, c, "k1")
	})
}
