package introspect_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/stretchr/testify/require"
)

// Nobody's token, deadline or number of requests decides what others get.

// watched is what the hooks of a client tell.
type watched struct {
	mu     sync.Mutex
	calls  []introspect.CallEvent
	states []introspect.BreakerEvent
}

func (w *watched) hooks() introspect.Hooks {
	return introspect.Hooks{
		Called: func(_ context.Context, e introspect.CallEvent) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.calls = append(w.calls, e)
		},
		BreakerChanged: func(_ context.Context, e introspect.BreakerEvent) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.states = append(w.states, e)
		},
	}
}

func (w *watched) changes() []introspect.BreakerEvent {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.states)
}

func last(all []introspect.BreakerEvent) introspect.BreakerEvent { return all[len(all)-1] }

func (w *watched) count(of func(introspect.CallEvent) bool) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.calls {
		if of(e) {
			n++
		}
	}
	return n
}

func isOwn(e introspect.CallEvent) bool { return e.Own }
func isAlarm(e introspect.CallEvent) bool {
	return e.Outcome == introspect.OutcomeUnauthorized
}

// except has a fault for all tokens but these, and but those of our own.
func (s *server) except(fault func() (*http.Response, error), tokens ...string) {
	s.set(func(s *server) {
		s.respond = func(_ *http.Request, form url.Values) (*http.Response, error) {
			token := form.Get("token")
			if slices.Contains(tokens, token) {
				return reply(200, "application/json", encode(answer(nil))), nil
			}
			if !strings.HasPrefix(token, "poison") {
				return reply(200, "application/json", `{"active":false}`), nil
			}
			return fault()
		}
	})
}

// Tokens that something on the way does not like shut nobody else out, and raise no alarm.
func TestPoisonedTokens(t *testing.T) {
	for _, tt := range []struct {
		name   string
		fault  func() (*http.Response, error)
		tokens int // different ones
		most   int // calls about tokens of our own
	}{
		{name: "one, reset", fault: down, tokens: 1, most: 3},
		{name: "five, reset", fault: down, tokens: 5, most: 13},
		{name: "a thousand, reset", fault: down, tokens: 1000, most: 200},
		{name: "one, barred", fault: status(403), tokens: 1, most: 11},
		{name: "a thousand, barred", fault: status(403), tokens: 1000, most: 11},
		{name: "a thousand, 401", fault: status(401), tokens: 1000, most: 11},
		{name: "a thousand, the server chokes", fault: status(500), tokens: 1000, most: 200},
		{name: "a thousand, too many", fault: status(429), tokens: 1000, most: 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				s, w := newServer(), &watched{}
				s.except(tt.fault, "honest-1", "honest-2", "honest-3")
				client := newClient(t, with(config(s), func(c *introspect.Config) { c.Hooks, c.DisableCache = w.hooks(), true }))
				for i := range 1000 {
					_, err := client.Verify(t.Context(), fmt.Sprint("poison-", i%tt.tokens))
					require.ErrorIs(t, err, unavailable)
					require.Equal(t, bearergate.ReasonIntrospectionUnavailable, bearergate.ReasonOf(err))
					if i%100 == 0 {
						requireAccepted(t, client, fmt.Sprint("honest-", 1+i/100%3))
					}
					time.Sleep(10 * time.Millisecond)
				}
				synctest.Wait()
				require.Empty(t, w.changes(), "the breaker")
				require.Zero(t, w.count(isAlarm))
				require.LessOrEqual(t, w.count(isOwn), tt.most)
				if tt.tokens == 1 {
					require.LessOrEqual(t, s.times("poison-0"), 2*11, "a call a second, and its retry")
				}
			})
		})
	}
}

// The server does not know us any more: one alarm, a pause, and each caller learns that it is
// not the token.
func TestRefusedCredentials(t *testing.T) {
	for _, code := range []int{401, 403} {
		bubble.Test(t, func(t *testing.T) {
			s, w := newServer(), &watched{}
			client := newClient(t, with(config(s), func(c *introspect.Config) { c.Hooks, c.DisableCache = w.hooks(), true }))
			requireAccepted(t, client, opaque)
			time.Sleep(time.Second)
			s.fail(status(code))
			for i := range 1000 {
				err := requireRefused(t, client, fmt.Sprint("t", i), misconfigured, bearergate.ReasonConfig)
				require.Contains(t, err.Error(), fmt.Sprint("status ", code))
				require.Zero(t, bearergate.AsError(err).RetryAfter, "somebody has to do something")
				time.Sleep(9 * time.Millisecond)
			}
			require.Equal(t, 3, s.requests(), "one good, one refused, one about a token of our own")
			require.Equal(t, 2, w.count(isAlarm))
			require.Len(t, w.changes(), 1)
			require.Equal(t, introspect.OutcomeUnauthorized, w.changes()[0].Outcome)
			require.InDelta(t, 0.95*float64(introspect.CredentialsPause), float64(w.changes()[0].Wait), 0.06*float64(introspect.CredentialsPause))
			// Still refused: the next pause, of the same length, after a token of our own and one more.
			time.Sleep(time.Second)
			requireRefused(t, client, opaque, misconfigured, bearergate.ReasonConfig)
			require.Equal(t, 5, s.requests())
			require.Equal(t, 2, s.times(opaque))
			s.fail(nil)
			time.Sleep(introspect.CredentialsPause)
			requireAccepted(t, client, opaque)
			require.Equal(t, introspect.BreakerClosed, last(w.changes()).To)
		})
	}
	bubble.Test(t, func(t *testing.T) { // each call is told with its own status
		s, w := newServer(), &watched{}
		client := newClient(t, with(config(s), func(c *introspect.Config) { c.Hooks = w.hooks() }))
		s.tellApart(status(403), status(401))
		requireRefused(t, client, opaque, misconfigured, bearergate.ReasonConfig)
		require.Len(t, w.calls, 2)
		for _, e := range w.calls {
			require.Equal(t, map[bool]int{true: 401, false: 403}[e.Own], e.Status)
			require.Equal(t, introspect.OutcomeUnauthorized, e.Outcome)
		}
	})
	bubble.Test(t, func(t *testing.T) { // what answers about a token of our own knows us, whatever it says
		s, w := newServer(), &watched{}
		client := newClient(t, with(config(s), func(c *introspect.Config) { c.Hooks = w.hooks() }))
		s.tellApart(status(403), status(400))
		err := requireRefused(t, client, opaque, unavailable, bearergate.ReasonIntrospectionUnavailable)
		require.Contains(t, err.Error(), "for this one token")
		require.Zero(t, w.count(isAlarm))
		require.Equal(t, 1, w.count(func(e introspect.CallEvent) bool { return e.Status == 403 }))
	})
	bubble.Test(t, func(t *testing.T) { // what cannot be told in time is no alarm
		s, w := newServer(), &watched{}
		client := newClient(t, with(config(s), func(c *introspect.Config) { c.Hooks = w.hooks() }))
		s.set(func(s *server) {
			s.respond = func(_ *http.Request, form url.Values) (*http.Response, error) {
				if form.Get("token") == opaque {
					return status(403)()
				}
				time.Sleep(time.Minute)
				return nil, errDown
			}
		})
		err := requireRefused(t, client, opaque, unavailable, bearergate.ReasonIntrospectionUnavailable)
		require.Contains(t, err.Error(), "no time to ask about another token")
		time.Sleep(2 * time.Minute)
		require.Zero(t, w.count(isAlarm))
	})
}

// 500 for everybody is an outage: stale answers, few calls, and no end before it is over.
func TestServerErrors(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s, w := newServer(), &watched{}
		for i := range 100 {
			s.answers[fmt.Sprint("t", i)] = answer(nil)
		}
		client := newClient(t, with(config(s), func(c *introspect.Config) { c.Hooks, c.MaxStale = w.hooks(), 10*time.Minute }))
		for i := range 100 {
			requireAccepted(t, client, fmt.Sprint("t", i))
		}
		time.Sleep(31 * time.Second)
		s.fail(status(500))
		before := s.requests()
		for range 60 { // a minute
			for i := range 100 {
				require.True(t, requireAccepted(t, client, fmt.Sprint("t", i)).Stale())
			}
			time.Sleep(time.Second)
		}
		require.LessOrEqual(t, s.requests()-before, introspect.BreakerFailures+1+2*6)
		require.Equal(t, introspect.BreakerOpen, w.changes()[0].To)
		require.Equal(t, introspect.OutcomeStatus, w.changes()[0].Outcome)
		s.fail(nil)
		time.Sleep(introspect.BreakerMaxOpen)
		require.False(t, requireAccepted(t, client, "t0").Stale())
	})
}

// How old an answer may be, the age of the call decides, and not how long a caller waits.
func TestNobodysDeadlineChoosesStaleness(t *testing.T) {
	for _, tt := range []struct {
		name     string
		after    time.Duration // the call began
		deadline time.Duration // 0: none
		want     string
		takes    time.Duration
	}{
		{name: "no deadline", want: "stale", takes: time.Second},
		{name: "two seconds", deadline: 2 * time.Second, want: "stale", takes: time.Second},
		{name: "20 ms", deadline: 20 * time.Millisecond, want: "late", takes: 20 * time.Millisecond},
		{name: "just not long enough", deadline: time.Second - time.Millisecond, want: "late", takes: time.Second - time.Millisecond},
		{name: "20 ms, of a call that is old", after: 1500 * time.Millisecond, deadline: 20 * time.Millisecond, want: "stale"},
		{name: "one who comes later", after: 600 * time.Millisecond, want: "stale", takes: 400 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				s := newServer()
				client := newClient(t, with(config(s), func(c *introspect.Config) { c.MaxStale = time.Hour }))
				requireAccepted(t, client, opaque)
				time.Sleep(time.Minute)
				s.set(func(s *server) { s.delay = time.Hour })
				if tt.after > 0 {
					go func() { _, _ = client.Verify(t.Context(), opaque) }()
					time.Sleep(tt.after)
				}
				ctx, cancel := context.WithCancel(t.Context())
				if tt.deadline > 0 {
					ctx, cancel = context.WithTimeout(ctx, tt.deadline)
				}
				defer cancel()
				start := time.Now()
				token, err := client.Verify(ctx, opaque)
				require.Equal(t, tt.takes, time.Since(start))
				if tt.want == "late" {
					requireError(t, token, err, unavailable, bearergate.ReasonIntrospectionUnavailable)
				} else {
					require.NoError(t, err)
					require.True(t, token.Stale())
				}
				time.Sleep(time.Minute)
			})
		})
	}
}

// Callers who come and leave leave nothing behind, whatever the server does.
func TestCallersWhoComeAndLeave(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newServer()
		s.delay = time.Hour
		client := newClient(t, config(s))
		before := runtime.NumGoroutine()
		var wg sync.WaitGroup
		reasons := map[bearergate.Reason]int{}
		var mu sync.Mutex
		for i := range 20_000 {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
				defer cancel()
				_, err := client.Verify(ctx, fmt.Sprint(i, strings.Repeat("x", 15<<10)))
				mu.Lock()
				defer mu.Unlock()
				require.ErrorIs(t, err, unavailable)
				reasons[bearergate.ReasonOf(err)]++
			})
		}
		wg.Wait()
		synctest.Wait()
		require.LessOrEqual(t, s.requests(), introspect.DefaultMaxCalls+1, "and one about a token of our own")
		require.Equal(t, 20_000-introspect.DefaultMaxCalls-introspect.DefaultMaxWaiting, reasons[bearergate.ReasonOverloaded])
		// What nobody waits for is not asked: only the calls that have begun are left.
		require.LessOrEqual(t, goroutines(before+3*introspect.DefaultMaxCalls), before+3*introspect.DefaultMaxCalls)
		time.Sleep(2 * introspect.DefaultTimeout)
		synctest.Wait()
		require.LessOrEqual(t, s.requests(), introspect.DefaultMaxCalls+1, "and one about a token of our own")
		require.LessOrEqual(t, goroutines(before+1), before+1)
		s.set(func(s *server) { s.delay = 0 })
		time.Sleep(introspect.BreakerMaxOpen) // they were all timeouts
		requireAccepted(t, client, opaque)
	})
}

// goroutines is how many there are, as soon as they are no more than most: one that has ended
// for the bubble is counted until the scheduler has seen to it, which takes a while on a busy
// machine. What waits for something stays.
func goroutines(most int) int {
	for range 1_000_000 {
		if runtime.NumGoroutine() <= most {
			break
		}
		runtime.Gosched()
	}
	return runtime.NumGoroutine()
}

// A call that renews what is remembered is made although nobody can wait for it; another one
// is not.
func TestCallsThatNobodyWaitsFor(t *testing.T) {
	for _, remembered := range []bool{true, false} {
		t.Run(fmt.Sprint(remembered), func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				s := newServer()
				client := newClient(t, with(config(s), func(c *introspect.Config) { c.MaxStale, c.Calls.Max = time.Hour, 1 }))
				if remembered {
					requireAccepted(t, client, opaque)
					time.Sleep(time.Minute)
				}
				s.set(func(s *server) { s.delay = 200 * time.Millisecond })
				go func() { _, _ = client.Verify(t.Context(), "other") }() // takes the one place
				synctest.Wait()
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				defer cancel()
				token, err := client.Verify(ctx, opaque)
				requireError(t, token, err, unavailable, bearergate.ReasonIntrospectionUnavailable)
				before := s.times(opaque)
				time.Sleep(time.Second)
				require.Equal(t, map[bool]int{true: before + 1, false: before}[remembered], s.times(opaque))
			})
		})
	}
}

// A call that renews what is remembered goes on to do so for the first who needed it, though
// the answer has ended for those who come later, and they leave.
func TestACallThatRenewsAndOutlivesTheAnswer(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newServer()
		s.answers[opaque] = answer(map[string]any{"exp": time.Now().Add(40 * time.Second).Unix()})
		client := newClient(t, with(config(s), func(c *introspect.Config) { c.MaxStale, c.Calls.Max = time.Hour, 1 }))
		requireAccepted(t, client, opaque)
		time.Sleep(40*time.Second - 50*time.Millisecond)
		s.set(func(s *server) { s.delay = 200 * time.Millisecond })
		go func() { _, _ = client.Verify(t.Context(), "other") }() // takes the one place
		synctest.Wait()
		for range 2 { // before the end of the answer, and after it
			ctx, cancel := context.WithTimeout(t.Context(), 60*time.Millisecond)
			defer cancel()
			token, err := client.Verify(ctx, opaque)
			requireError(t, token, err, unavailable, bearergate.ReasonIntrospectionUnavailable)
		}
		require.Equal(t, 1, s.times(opaque))
		time.Sleep(time.Second)
		require.Equal(t, 2, s.times(opaque))
	})
}

// What has just failed is left alone for a second, with and without a cache, and no longer.
func TestLeftAlone(t *testing.T) {
	for _, live := range []bool{true, false} {
		bubble.Test(t, func(t *testing.T) {
			s := newServer()
			client := newClient(t, with(config(s), func(c *introspect.Config) { c.DisableCache = live }))
			s.fail(status(400))
			err := requireRefused(t, client, opaque, unavailable, bearergate.ReasonIntrospectionUnavailable)
			for range 100 {
				again := requireRefused(t, client, opaque, unavailable, bearergate.ReasonIntrospectionUnavailable)
				require.Equal(t, err, again)
				require.NotSame(t, bearergate.AsError(err), bearergate.AsError(again), "it is each caller's own")
			}
			require.Equal(t, 1, s.requests())
			s.fail(nil)
			time.Sleep(time.Second - time.Millisecond)
			requireRefused(t, client, opaque, unavailable, bearergate.ReasonIntrospectionUnavailable)
			time.Sleep(time.Millisecond)
			requireAccepted(t, client, opaque)
			s.fail(status(400))
			requireRefused(t, client, "other", unavailable, bearergate.ReasonIntrospectionUnavailable)
			client.Purge("other")
			requireRefused(t, client, "other", unavailable, bearergate.ReasonIntrospectionUnavailable)
			require.Equal(t, 2, s.times("other"), "a purge ends it")
		})
	}
}

// Who got no place is not left alone: there may be one now.
func TestOverloadIsNotLeftAlone(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newServer()
		s.respond = func(_ *http.Request, form url.Values) (*http.Response, error) {
			if form.Get("token") == "slow" {
				time.Sleep(introspect.DefaultTimeout/3 + time.Millisecond)
			}
			return active()
		}
		client := newClient(t, with(config(s), func(c *introspect.Config) { c.Calls.Max = 1 }))
		go func() { _, _ = client.Verify(t.Context(), "slow") }()
		synctest.Wait()
		requireRefused(t, client, opaque, unavailable, bearergate.ReasonOverloaded)
		time.Sleep(2 * time.Millisecond)
		requireAccepted(t, client, opaque)
	})
}

// A purge of one token costs no other one a call.
func TestPurgeConcernsOneToken(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s, st := newServer(), newStore()
		for i := range 1000 {
			s.answers[fmt.Sprint("t", i)] = answer(nil)
		}
		first := newClient(t, sharing(s, st))
		for i := range 1000 {
			requireAccepted(t, first, fmt.Sprint("t", i))
			synctest.Wait() // it is in the Store
		}
		second := newClient(t, sharing(s, st))
		second.Purge("t0")
		first.Purge("t1")
		before := s.requests()
		for i := range 1000 {
			requireAccepted(t, first, fmt.Sprint("t", i))
			requireAccepted(t, second, fmt.Sprint("t", i))
		}
		synctest.Wait()
		// t0 for the second; t1 for the first; and again t1 for the second, whose Store holds
		// nothing of it any more; the first still remembers t0.
		require.LessOrEqual(t, s.requests()-before, 3)
		require.Equal(t, 2, s.times("t0"))
	})
	bubble.Test(t, func(t *testing.T) { // a call that is under way, for another token
		s := newServer()
		s.answers["other"] = answer(nil)
		s.delay = time.Second
		client := newClient(t, config(s))
		var wg sync.WaitGroup
		for _, token := range []string{opaque, "other"} {
			wg.Go(func() { requireAccepted(t, client, token) })
		}
		time.Sleep(time.Second / 2)
		client.Purge("other")
		wg.Wait()
		requireAccepted(t, client, opaque)
		require.Equal(t, 1, s.times(opaque), "what it brought is remembered")
		requireAccepted(t, client, "other")
		require.Equal(t, 2, s.times("other"), "and this is not")
	})
}

// A purge parts those who came before it from those who come after, and nobody else: these
// share one call, also when the one from before has ended.
func TestCallsAfterAPurgeAreShared(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newServer()
		s.delay = time.Second
		client := newClient(t, config(s))
		var wg sync.WaitGroup
		verify := func() { wg.Go(func() { requireAccepted(t, client, opaque) }) }
		verify()
		time.Sleep(300 * time.Millisecond)
		client.Purge(opaque)
		verify()
		time.Sleep(900 * time.Millisecond) // the first has ended
		verify()
		wg.Wait()
		require.Equal(t, 2, s.times(opaque))
	})
}

// claimer is a store with the atomic step.
type claimer struct {
	*store
	mu     sync.Mutex
	claims map[string]time.Time // until
	asked  int
	fault  error
}

func (c *claimer) Claim(_ context.Context, key string, ttl time.Duration) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
	if c.fault != nil {
		return false, c.fault
	}
	if until, ok := c.claims[key]; ok && time.Now().Before(until) {
		return false, nil
	}
	c.claims[key] = time.Now().Add(ttl)
	return true, nil
}

// A fleet asks about a token that is in use once per TTL, and not once per process.
func TestAFleetAsksOnce(t *testing.T) {
	for _, tt := range []struct {
		name  string
		store func() introspect.Store
		most  int
		fails map[string]bool // the operations that do
	}{
		{name: "a plain Store", store: func() introspect.Store { return newStore() }, most: 60},
		{name: "with Claim", store: func() introspect.Store { return &claimer{store: newStore(), claims: map[string]time.Time{}} }, most: 40},
		{name: "a Claim that fails", store: func() introspect.Store {
			return &claimer{store: newStore(), claims: map[string]time.Time{}, fault: errors.New("x")}
		}, most: 60, fails: map[string]bool{"claim": true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				s, st := newServer(), tt.store()
				s.delay = 20 * time.Millisecond
				var mu sync.Mutex
				var fails map[string]bool
				c := with(sharing(s, st), func(c *introspect.Config) {
					c.Hooks.StoreFailed = func(_ context.Context, e introspect.StoreEvent) {
						mu.Lock()
						defer mu.Unlock()
						fails = map[string]bool{e.Operation: true}
					}
				})
				var wg sync.WaitGroup
				for i := range 20 {
					wg.Go(func() {
						client := newClient(t, c)
						time.Sleep(time.Duration(i) * 100 * time.Millisecond)
						for end := time.Now().Add(10 * time.Minute); time.Now().Before(end); time.Sleep(250 * time.Millisecond) {
							requireAccepted(t, client, opaque)
						}
					})
				}
				wg.Wait()
				time.Sleep(time.Minute)
				t.Log(s.requests(), "calls in ten minutes, of 20 processes")
				require.LessOrEqual(t, s.requests(), tt.most)
				require.GreaterOrEqual(t, s.requests(), 20, "each answer ends after 30 s")
				mu.Lock()
				defer mu.Unlock()
				require.Equal(t, tt.fails, fails)
			})
		})
	}
}

// A server that answers somebody while a token of our own fails is up, and knows us.
func TestAnAnswerMeanwhile(t *testing.T) {
	for _, fault := range []int{429, 403} {
		bubble.Test(t, func(t *testing.T) {
			s, w := newServer(), &watched{}
			client := newClient(t, with(config(s), func(c *introspect.Config) { c.Hooks = w.hooks() }))
			s.set(func(s *server) {
				s.respond = func(_ *http.Request, form url.Values) (*http.Response, error) {
					switch token := form.Get("token"); {
					case token == opaque:
						return reply(200, "application/json", encode(answer(nil))), nil
					case strings.HasPrefix(token, "poison"):
						return status(fault)()
					}
					time.Sleep(time.Second)
					return status(fault)()
				}
			})
			var wg sync.WaitGroup
			for i := range introspect.BreakerFailures {
				wg.Go(func() { _, _ = client.Verify(t.Context(), fmt.Sprint("poison-", i)) })
			}
			time.Sleep(time.Second / 2)
			require.Equal(t, 1+introspect.BreakerFailures, s.requests(), "the last one is of our own")
			requireAccepted(t, client, opaque)
			wg.Wait()
			time.Sleep(time.Second)
			require.Empty(t, w.changes())
			require.Equal(t, 1, w.count(isOwn))
		})
	}
}

// A firewall bars one token, and the server is down: that is the outage, and no word about
// the one token.
func TestBarredInAnOutage(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s, w := newServer(), &watched{}
		s.tellApart(status(403), down)
		client := newClient(t, with(config(s), func(c *introspect.Config) { c.Hooks = w.hooks() }))
		err := requireRefused(t, client, opaque, unavailable, bearergate.ReasonIntrospectionUnavailable)
		require.Contains(t, err.Error(), "connect")
		require.NotContains(t, err.Error(), "for this one token")
		require.Zero(t, w.count(isAlarm))
	})
}

// A stale answer that was purged while somebody waited for a late call stands in for
// nothing, and whoever waits goes on waiting.
func TestPurgedWhileTheCallIsLate(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newServer()
		client := newClient(t, with(config(s), func(c *introspect.Config) { c.MaxStale = time.Hour }))
		requireAccepted(t, client, opaque)
		time.Sleep(time.Minute)
		s.set(func(s *server) { s.delay = 2 * time.Second })
		time.AfterFunc(time.Second/2, func() { client.Purge(opaque) })
		start := time.Now()
		token := requireAccepted(t, client, opaque)
		require.False(t, token.Stale(), "it is the answer to the call")
		require.Equal(t, 2*time.Second, time.Since(start))
	})
}

// With Claim, one process asks, also while its call takes long; and one that claimed and died
// leaves the entry to the others before its end.
func TestClaim(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newServer()
		st := &claimer{store: newStore(), claims: map[string]time.Time{}}
		requireAccepted(t, newClient(t, sharing(s, st)), opaque)
		synctest.Wait()
		s.set(func(s *server) { s.delay = 2500 * time.Millisecond })
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				client := newClient(t, sharing(s, st))
				for end := time.Now().Add(10 * time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
					start := time.Now()
					requireAccepted(t, client, opaque)
					require.Zero(t, time.Since(start), "nobody waits")
				}
			})
		}
		wg.Wait()
		time.Sleep(time.Minute)
		require.LessOrEqual(t, s.requests(), 26)
		require.Greater(t, st.asked, s.requests(), "others wanted to ask too")
	})
	bubble.Test(t, func(t *testing.T) {
		s := newServer()
		st := &claimer{store: newStore(), claims: map[string]time.Time{}}
		client := newClient(t, sharing(s, st))
		requireAccepted(t, client, opaque)
		synctest.Wait()
		st.claims[st.key(t)+"-ahead"] = time.Now().Add(25 * time.Second) // by somebody who dies
		s.set(func(s *server) { s.delay = time.Second })
		for end := time.Now().Add(40 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			start := time.Now()
			requireAccepted(t, client, opaque)
			require.Zero(t, time.Since(start), "nobody waits")
		}
		require.Equal(t, 2, s.times(opaque))
		require.Greater(t, st.asked, 1)
	})
}

func (c *claimer) key(t *testing.T) string {
	t.Helper()
	key, _ := c.one(t)
	return key
}
