package introspect_test

import (
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/stretchr/testify/require"
)

// A process that stood still, or whose machine slept, has learned nothing of the server.

// responses are what the calls get, one after the other; the last one stays.
func (s *server) responses(all ...func() (*http.Response, error)) {
	s.set(func(s *server) {
		s.respond = func(*http.Request, url.Values) (*http.Response, error) {
			s.mu.Lock()
			next := all[0]
			all = all[min(1, len(all)-1):]
			s.mu.Unlock()
			return next()
		}
	})
}

// What a call has brought in whose time the process stood still, nobody knows the age of: it
// is made once more.
func TestSleptThroughACall(t *testing.T) {
	inactive := func() (*http.Response, error) { return reply(200, "application/json", `{"active":false}`), nil }
	const bearable = introspect.DefaultTimeout + 1100*time.Millisecond - 2 // and two for falling asleep
	for _, tt := range []struct {
		name     string
		first    func() (*http.Response, error) // after the sleep
		second   func() (*http.Response, error)
		sleeps   time.Duration
		outcomes []introspect.Outcome
		reason   bearergate.Reason
	}{
		{name: "an answer", first: active, second: inactive, sleeps: time.Hour, reason: bearergate.ReasonInactive,
			outcomes: []introspect.Outcome{introspect.OutcomeTimeout, introspect.OutcomeInactive}},
		{name: "no answer", first: down, second: active, sleeps: time.Hour,
			outcomes: []introspect.Outcome{introspect.OutcomeTimeout, introspect.OutcomeActive}},
		{name: "longer than a call can take", first: active, second: inactive, sleeps: bearable + 1, reason: bearergate.ReasonInactive,
			outcomes: []introspect.Outcome{introspect.OutcomeTimeout, introspect.OutcomeInactive}},
		{name: "as long as a call can take", first: active, second: inactive, sleeps: bearable,
			outcomes: []introspect.Outcome{introspect.OutcomeActive}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				s, w := newServer(), &watched{}
				client := newClient(t, with(config(s), func(c *introspect.Config) { c.Hooks = w.hooks() }))
				sleep := introspect.Sleeper(client)
				s.responses(func() (*http.Response, error) { sleep(tt.sleeps); return tt.first() }, tt.second)
				_, err := client.Verify(t.Context(), opaque)
				require.Equal(t, tt.reason, bearergate.ReasonOf(err))
				var outcomes []introspect.Outcome
				for _, e := range w.calls {
					outcomes = append(outcomes, e.Outcome)
				}
				require.Equal(t, tt.outcomes, outcomes)
				require.Empty(t, w.changes())
			})
		})
	}
}

// However many calls a process sleeps through, it is no outage, and no token is left alone
// for that.
func TestSleptThroughEveryCall(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s, w := newServer(), &watched{}
		client := newClient(t, with(config(s), func(c *introspect.Config) { c.Hooks = w.hooks() }))
		sleep := introspect.Sleeper(client)
		for i := range 2 * introspect.BreakerFailures {
			token := fmt.Sprint("t", i)
			s.set(func(s *server) { s.answers[token] = answer(nil) })
			s.fail(func() (*http.Response, error) { sleep(time.Hour); return down() })
			requireRefused(t, client, token, unavailable, bearergate.ReasonIntrospectionUnavailable)
			require.Equal(t, 2, s.times(token), "once more, and not without end")
			s.fail(nil)
			requireAccepted(t, client, token)
		}
		require.Empty(t, w.changes())
		require.Zero(t, w.count(isOwn))
	})
}

// That a call was slept through makes no stale answer stand in: it is made once more.
func TestSleptIsNotLate(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newServer()
		client := newClient(t, with(config(s), func(c *introspect.Config) { c.MaxStale = time.Hour }))
		sleep := introspect.Sleeper(client)
		requireAccepted(t, client, opaque)
		time.Sleep(time.Minute)
		s.set(func(s *server) { s.delay = 2 * time.Second })
		start := time.Now()
		time.AfterFunc(time.Second/2, func() { sleep(time.Hour) })
		require.False(t, requireAccepted(t, client, opaque).Stale())
		require.Equal(t, 4*time.Second, time.Since(start))
		require.Equal(t, 3, s.times(opaque))
	})
}

// Who has waited for a turn while the process stood still waits once more.
func TestSleptInTheQueue(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newServer()
		s.delay = 1200 * time.Millisecond
		client := newClient(t, with(config(s), func(c *introspect.Config) { c.Calls.Max = 1 }))
		sleep := introspect.Sleeper(client)
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = client.Verify(t.Context(), "first") })
		time.Sleep(100 * time.Millisecond)
		time.AfterFunc(time.Second/2, func() { sleep(time.Hour) })
		requireAccepted(t, client, opaque)
		wg.Wait()
	})
}

// A call about a token of our own that was slept through ends no pause.
func TestSleptInAPause(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s, w := newServer(), &watched{}
		client := newClient(t, with(config(s), func(c *introspect.Config) { c.Hooks = w.hooks() }))
		sleep := introspect.Sleeper(client)
		s.set(func(s *server) {
			s.respond = func(_ *http.Request, form url.Values) (*http.Response, error) {
				if form.Get("token") == opaque { // of somebody whom a firewall does not like
					time.Sleep(2 * time.Second)
					s.set(func(s *server) {
						s.respond = func(*http.Request, url.Values) (*http.Response, error) { sleep(time.Hour); return down() }
					})
					return status(403)()
				}
				return status(503, "Retry-After", "10")()
			}
		})
		var wg sync.WaitGroup
		wg.Go(func() { requireRefused(t, client, opaque, unavailable, bearergate.ReasonIntrospectionUnavailable) })
		synctest.Wait()
		for i := range introspect.BreakerFailures {
			requireRefused(t, client, fmt.Sprint("t", i), unavailable, bearergate.ReasonIntrospectionUnavailable)
		}
		require.Equal(t, 10*time.Second, last(w.changes()).Wait)
		wg.Wait()
		require.Equal(t, 2, w.count(isOwn))
		before := s.requests()
		requireRefused(t, client, "another", unavailable, bearergate.ReasonIntrospectionUnavailable)
		require.Equal(t, before, s.requests())
		require.Len(t, w.changes(), 1)
	})
}

// A test of the server that was slept through is made again, by the next who comes.
func TestSleptThroughTheTest(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s, w := newServer(), &watched{}
		client := newClient(t, with(config(s), func(c *introspect.Config) { c.Hooks, c.DisableCache = w.hooks(), true }))
		sleep := introspect.Sleeper(client)
		openBreaker(t, s, client, status(429))
		time.Sleep(last(w.changes()).Wait)
		tests := w.count(isOwn)
		s.set(func(s *server) {
			s.respond = func(_ *http.Request, form url.Values) (*http.Response, error) {
				if form.Get("token") != opaque {
					sleep(time.Hour)
					return down()
				}
				return reply(200, "application/json", encode(answer(nil))), nil
			}
		})
		for i := range 3 {
			requireAccepted(t, client, opaque)
			require.Equal(t, introspect.BreakerHalfOpen, last(w.changes()).To)
			require.Equal(t, tests+1+i, w.count(isOwn))
		}
		s.fail(nil)
		requireAccepted(t, client, opaque)
		require.Equal(t, introspect.BreakerClosed, last(w.changes()).To)
		synctest.Wait()
	})
}
