package jwks_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/jwks"
	"github.com/stretchr/testify/require"
)

// In DUE, the age of the fetch decides when the old keys serve, and not how long somebody
// waits: G4.
func TestNobodysDeadlineChoosesStaleness(t *testing.T) {
	for _, tt := range []struct {
		name     string
		after    time.Duration // the fetch began
		deadline time.Duration // 0: none
		late     bool
		takes    time.Duration
	}{
		{name: "no deadline", takes: time.Second},
		{name: "two seconds", deadline: 2 * time.Second, takes: time.Second},
		{name: "20 ms", deadline: 20 * time.Millisecond, late: true, takes: 20 * time.Millisecond},
		{name: "just not long enough", deadline: time.Second - time.Millisecond, late: true, takes: time.Second - time.Millisecond},
		{name: "20 ms, of a fetch that is old", after: 1500 * time.Millisecond, deadline: 20 * time.Millisecond},
		{name: "one who comes later", after: 600 * time.Millisecond, takes: 400 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			within(t, func(t *testing.T) {
				s := newServer(t, "k1")
				c, r := newCache(t, s)
				has(t, c, "k1")
				time.Sleep(12 * time.Minute)
				require.Equal(t, jwks.StateDue, c.Status().State)
				s.fail("", hang)
				if tt.after > 0 {
					ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
					defer cancel()
					_, err := c.Keys(ctx, "k1", "ES256")
					require.Error(t, err)
					time.Sleep(tt.after - time.Millisecond)
				}
				ctx, cancel := context.WithCancel(t.Context())
				if tt.deadline > 0 {
					ctx, cancel = context.WithTimeout(ctx, tt.deadline)
				}
				defer cancel()
				start := time.Now()
				keys, err := c.Keys(ctx, "k1", "ES256")
				require.Equal(t, tt.takes, time.Since(start))
				if tt.late {
					require.ErrorIs(t, err, bearergate.ErrUnavailable)
					require.Equal(t, bearergate.ReasonKeysUnavailable, bearergate.ReasonOf(err))
					require.Empty(t, r.stale)
				} else {
					require.NoError(t, err)
					require.Len(t, keys, 1)
					require.Len(t, r.stale, 1)
				}
				time.Sleep(time.Minute)
			})
		})
	}
}

// However short the TTL, a call in DUE waits for a fetch: that the one before it began more
// than a second ago makes nothing late.
func TestDueAfterAShortTTL(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		c, r := newCache(t, s, func(c *jwks.Config) { c.TTL, c.MinTTL = 2*time.Second, 2*time.Second })
		for _, kid := range []string{"k1", "k2", "k3"} {
			s.rotate(t, kid)
			s.delay = 500 * time.Millisecond
			before := time.Now()
			has(t, c, kid)
			require.Equal(t, s.delay, time.Since(before))
			time.Sleep(3 * time.Second)
			require.Equal(t, jwks.StateDue, c.Status().State)
		}
		require.Equal(t, 3, s.count(""))
		require.Empty(t, r.stale)
	})
}

// A process that stood still in the middle of a fetch, for longer than everything lasts, asks
// once more, waits for that, and has seen no outage.
func TestFrozen(t *testing.T) {
	for _, tt := range []struct {
		name  string
		state jwks.State // when the fetch begins
	}{
		{name: "in the background", state: jwks.StateAhead},
		{name: "while somebody waits", state: jwks.StateDue},
		{name: "at the first fetch", state: jwks.StateEmpty},
	} {
		t.Run(tt.name, func(t *testing.T) {
			within(t, func(t *testing.T) {
				s := newServer(t, "k1")
				c, r := newCache(t, s)
				if tt.state != jwks.StateEmpty {
					has(t, c, "k1")
					for c.Status().State != tt.state {
						time.Sleep(time.Second)
					}
				}
				require.Equal(t, tt.state, c.Status().State)
				before := s.count("")
				s.fail("", func(*http.Request) (*http.Response, error) {
					jwks.StepWall(c, 5*time.Hour)
					s.heal()
					return nil, context.DeadlineExceeded
				})
				has(t, c, "k1")
				synctest.Wait()
				has(t, c, "k1")
				require.Equal(t, before+2, s.count(""), "the one that was slept through, and one")
				require.Zero(t, c.Status().Failures)
				require.NoError(t, c.Status().LastError)
				require.Equal(t, jwks.StateFresh, c.Status().State)
				require.Empty(t, r.stale)
				outcomes := []jwks.Outcome{}
				for _, e := range r.fetched[len(r.fetched)-2:] {
					outcomes = append(outcomes, e.Outcome)
				}
				require.Equal(t, []jwks.Outcome{jwks.OutcomeInterrupted, jwks.OutcomeOK}, outcomes)
			})
		})
	}
}

// Keys that expire while a call in DUE waits for a late fetch are used no more: it waits for
// its end, and where the process slept through that, for one more.
func TestLateAndExpired(t *testing.T) {
	for _, tt := range []struct {
		name    string
		slept   bool
		fetches int // after the first
	}{
		{name: "a slow fetch", fetches: 1},
		{name: "a slow fetch that the process slept through", slept: true, fetches: 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			within(t, func(t *testing.T) {
				s := newServer(t, "k1")
				c, r := newCache(t, s, func(c *jwks.Config) { c.MaxStale = 500 * time.Millisecond })
				has(t, c, "k1")
				time.Sleep(c.Status().TTL)
				require.Equal(t, jwks.StateDue, c.Status().State)
				s.rotate(t, "k1")
				fresh := s.keys["k1"]
				s.fail("", func(*http.Request) (*http.Response, error) {
					time.Sleep(2 * time.Second)
					s.heal()
					if !tt.slept {
						return nil, nil
					}
					jwks.StepWall(c, time.Minute)
					return nil, context.DeadlineExceeded
				})
				s.forget()
				before := time.Now()
				keys, err := c.Keys(t.Context(), "k1", "ES256")
				require.NoError(t, err)
				require.Equal(t, 2*time.Second, time.Since(before))
				want, err := jwks.ParseKey(fresh)
				require.NoError(t, err)
				require.Len(t, keys, 1)
				require.Equal(t, want.Thumbprint(), keys[0].Thumbprint())
				require.Equal(t, tt.fetches, s.count(""))
				require.Empty(t, r.stale)
			})
		})
	}
}

// What was slept through says nothing of where the keys are either: the metadata are not
// asked for again.
func TestFrozenAfterDiscovery(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		c, r := newCache(t, s, discovered)
		has(t, c, "k1")
		s.forget()
		s.fail(setURL, func(r *http.Request) (*http.Response, error) {
			jwks.StepWall(c, time.Minute)
			s.heal()
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		require.Error(t, c.Refresh(t.Context()))
		require.Equal(t, jwks.OutcomeInterrupted, r.lastFetch(t).Outcome)
		require.Zero(t, c.Status().Failures)
		require.NoError(t, c.Refresh(t.Context()))
		require.Equal(t, 2, s.count(""))
		require.Equal(t, 2, s.count(setURL))
	})
}

// A process that stood still between two requests asks once.
func TestFrozenBetweenRequests(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		c, r := newCache(t, s)
		has(t, c, "k1")
		s.fail("", down)
		for c.Status().Failures == 0 { // a failure shortly before, too
			time.Sleep(time.Minute)
			has(t, c, "k1")
			synctest.Wait()
		}
		s.heal()
		before, stale := s.count(""), len(r.stale)
		jwks.StepWall(c, 5*time.Hour)
		has(t, c, "k1")
		has(t, c, "k1")
		require.Equal(t, before+1, s.count(""))
		require.Len(t, r.stale, stale)
		require.Zero(t, c.Status().Failures)
	})
}

// Who comes when the process has just been woken, before the fetch that it slept through has
// ended, waits for that one and for another.
func TestWokenInTheMiddleOfAFetch(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		c, r := newCache(t, s)
		has(t, c, "k1")
		for c.Status().State != jwks.StateAhead {
			time.Sleep(time.Second)
		}
		s.fail("", hang)
		has(t, c, "k1")
		synctest.Wait()
		before := s.count("")
		jwks.StepWall(c, 30*time.Minute)
		s.heal()
		require.Equal(t, jwks.StateDue, c.Status().State)
		has(t, c, "k1")
		require.Empty(t, r.stale, "it was no outage")
		require.Equal(t, before+1, s.count(""))
		require.Zero(t, c.Status().Failures)
		require.Equal(t, jwks.StateFresh, c.Status().State)
	})
}

// A platform that freezes the process between requests, and so every fetch in the background:
// after one outage, the next request has the server asked, and a withdrawn key goes.
func TestFrozenBetweenAllRequests(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		c, _ := newCache(t, s)
		has(t, c, "k1")
		for c.Status().State != jwks.StateDue {
			time.Sleep(time.Second)
		}
		s.fail("", down)
		has(t, c, "k1")
		require.Equal(t, jwks.StateStale, c.Status().State)
		s.rotate(t, "k2")
		wall := time.Duration(0)
		s.fail("", func(*http.Request) (*http.Response, error) {
			wall += 20 * time.Second
			jwks.StepWall(c, wall)
			s.heal()
			return nil, errDown
		})
		time.Sleep(15 * time.Second) // the backoff is over
		has(t, c, "k1")              // and starts a fetch, in the background
		synctest.Wait()
		require.Equal(t, jwks.StateDue, c.Status().State, "the outage is not known any more")
		hasNot(t, c, "k1")
	})
}

// A clock that jumps at every fetch does not have us ask without end, and is an outage.
func TestAClockThatJumps(t *testing.T) {
	for _, state := range []jwks.State{jwks.StateEmpty, jwks.StateDue} {
		t.Run(string(state), func(t *testing.T) {
			within(t, func(t *testing.T) {
				s := newServer(t, "k1")
				c, r := newCache(t, s)
				if state == jwks.StateDue {
					has(t, c, "k1")
					for c.Status().State != state {
						time.Sleep(time.Second)
					}
				}
				before := s.count("")
				wall := time.Duration(0)
				s.fail("", func(*http.Request) (*http.Response, error) {
					wall += 7 * time.Second
					jwks.StepWall(c, wall)
					return nil, errDown
				})
				for range 100 {
					_, _ = c.Keys(t.Context(), "k1", "ES256")
				}
				require.LessOrEqual(t, s.count("")-before, 4)
				require.Positive(t, c.Status().Failures)
				if state == jwks.StateDue {
					require.Len(t, r.stale, 100, "each says so")
				}
			})
		})
	}
}

// A machine that sleeps past everything while somebody waits: once more, and an answer.
func TestSleptWhileSomebodyWaits(t *testing.T) {
	for _, state := range []jwks.State{jwks.StateDue, jwks.StateExpired} {
		t.Run(string(state), func(t *testing.T) {
			within(t, func(t *testing.T) {
				s := newServer(t, "k1")
				c, _ := newCache(t, s)
				has(t, c, "k1")
				for c.Status().State != state {
					time.Sleep(time.Second)
				}
				s.fail("", func(r *http.Request) (*http.Response, error) {
					jwks.StepWall(c, 5*time.Hour)
					s.heal()
					<-r.Context().Done() // the connection is dead, and nobody says so
					return nil, r.Context().Err()
				})
				has(t, c, "k1")
				require.Zero(t, c.Status().Failures)
			})
		})
	}
}

// Old keys serve when the fetch has run for a second, and not while it is about to begin, or
// while hooks are told of the one before.
func TestLateIsTheFetchAlone(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		slow := false
		config := jwks.Config{URL: setURL, HTTPClient: &http.Client{Transport: s}}
		config.Hooks.Fetched = func(context.Context, jwks.FetchEvent) {
			if slow {
				time.Sleep(time.Second)
			}
		}
		stale := 0
		config.Hooks.StaleServed = func(context.Context, jwks.StaleEvent) { stale++ }
		c, err := jwks.New(config)
		require.NoError(t, err)
		jwks.Steppable(c)
		has(t, c, "k1")
		for c.Status().State != jwks.StateDue {
			time.Sleep(time.Second)
		}
		slow = true
		s.rotate(t, "k2")
		s.fail("", func(*http.Request) (*http.Response, error) {
			jwks.StepWall(c, time.Minute)
			s.heal()
			return nil, errDown
		})
		go func() { _, _ = c.Keys(context.Background(), "k1", "ES256") }()
		synctest.Wait()
		hasNot(t, c, "k1")
		require.Zero(t, stale)
		time.Sleep(time.Minute)
	})
}

// A fetch that was slept through says nothing about a key: a genuine new one is not refused.
func TestSleptThroughIsNoAnswer(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		c, _ := newCache(t, s)
		has(t, c, "k1")
		time.Sleep(time.Second / 2)
		s.rotate(t, "k2")
		s.fail("", down)
		unavailable(t, c, "k2")
		time.Sleep(1200 * time.Millisecond)
		s.fail("", func(*http.Request) (*http.Response, error) {
			jwks.StepWall(c, 6200*time.Millisecond)
			s.fail("", down)
			return nil, errDown
		})
		unavailable(t, c, "k3")
		unavailable(t, c, "k2")
	})
}
