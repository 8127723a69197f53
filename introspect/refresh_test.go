package introspect_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/stretchr/testify/require"
)

func TestRefreshAhead(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newServer()
		client := newClient(t, with(config(s), func(c *introspect.Config) { c.Calls.Max = 1 }))
		// In use, five times a second for ten minutes: nobody ever waits.
		requireAccepted(t, client, opaque)
		s.set(func(s *server) { s.delay = time.Second })
		for range 5 * 600 {
			time.Sleep(200 * time.Millisecond)
			start := time.Now()
			requireAccepted(t, client, opaque)
			require.Zero(t, time.Since(start))
		}
		require.InDelta(t, 24, s.requests(), 4)

		// An answer ahead of time counts like any other.
		s.set(func(s *server) { delete(s.answers, opaque) })
		deadline := time.Now().Add(introspect.DefaultPositiveTTL)
		for {
			if _, err := client.Verify(t.Context(), opaque); err != nil {
				require.Equal(t, bearergate.ReasonInactive, bearergate.ReasonOf(err))
				break
			}
			time.Sleep(200 * time.Millisecond)
		}
		require.Less(t, time.Now(), deadline)
		requireRefused(t, client, opaque, invalid, bearergate.ReasonInactive) // no old entry behind it
	})
	bubble.Test(t, func(t *testing.T) { // it takes no place from those who wait, and no try in an outage
		s, w := newServer(), &watched{}
		client := newClient(t, with(config(s), func(c *introspect.Config) { c.Hooks, c.Calls.Max = w.hooks(), 1 }))
		for range 4 { // in use
			requireAccepted(t, client, opaque)
		}
		time.Sleep(introspect.DefaultPositiveTTL * 8 / 10)
		s.set(func(s *server) { s.delay = 10 * time.Millisecond })
		go func() { _, _ = client.Verify(t.Context(), "other") }()
		synctest.Wait()
		requireAccepted(t, client, opaque)
		time.Sleep(time.Second)
		require.Equal(t, 1, s.times(opaque))

		openBreaker(t, s, client, status(429))
		requireAccepted(t, client, opaque)
		s.fail(nil)
		time.Sleep(last(w.changes()).Wait)
		require.Equal(t, 1, s.times(opaque))
		requireAccepted(t, client, opaque)
		time.Sleep(time.Second)
		require.Equal(t, 2, s.times(opaque))
	})
	bubble.Test(t, func(t *testing.T) { // however many are due at once, whoever has to wait finds a place
		s := newServer()
		client := newClient(t, with(config(s), func(c *introspect.Config) { c.Calls.Max, c.Calls.Waiting = 2, 1 }))
		tokens := inUse(t, s, client, 100)
		s.set(func(s *server) { s.answers["new"] = s.answers[opaque] })
		time.Sleep(introspect.DefaultPositiveTTL * 8 / 10)
		s.set(func(s *server) { s.delay = 10 * time.Millisecond })
		for _, token := range tokens {
			requireAccepted(t, client, token)
		}
		requireAccepted(t, client, "new")
		time.Sleep(time.Second)
	})
	bubble.Test(t, func(t *testing.T) { // nor does it wait for the renewals of a slow server
		for most, renewed := range map[int]int{1: 1, 2: 1, 4: 2, 5: 2} {
			s := newServer()
			client := newClient(t, with(config(s), func(c *introspect.Config) { c.Calls.Max = most }))
			tokens := inUse(t, s, client, 2*most)
			s.set(func(s *server) { s.answers["new"] = s.answers[opaque] })
			time.Sleep(introspect.DefaultPositiveTTL * 8 / 10)
			s.set(func(s *server) { s.delay, s.calls = introspect.DefaultTimeout*3/4, 0 })
			for _, token := range tokens {
				requireAccepted(t, client, token)
			}
			synctest.Wait()
			require.Equal(t, renewed, s.requests())
			start := time.Now()
			if most > 1 { // else it has the only place
				requireAccepted(t, client, "new")
				require.Equal(t, introspect.DefaultTimeout*3/4, time.Since(start))
			}
			time.Sleep(time.Minute)
		}
	})
	bubble.Test(t, func(t *testing.T) { // those who only ask a slow Store take no place from it
		s := newServer()
		slow := slowStore{newStore(), func(n int64) time.Duration {
			return map[bool]time.Duration{true: 50 * time.Millisecond}[n > 1]
		}, new(atomic.Int64)}
		client := newClient(t, with(sharing(s, slow), func(c *introspect.Config) { c.Calls.Max, c.Calls.Waiting = 1, 8 }))
		for range 4 { // in use
			requireAccepted(t, client, opaque)
		}
		time.Sleep(introspect.DefaultPositiveTTL * 8 / 10)
		go func() { _, _ = client.Verify(t.Context(), "other") }()
		synctest.Wait()
		requireAccepted(t, client, opaque)
		time.Sleep(time.Second)
		require.Equal(t, 2, s.times(opaque))
	})
	bubble.Test(t, func(t *testing.T) { // where too many calls are under way, it is tried again
		s := newServer()
		slow := slowStore{newStore(), func(n int64) time.Duration {
			return map[bool]time.Duration{true: 50 * time.Millisecond}[n == 2 || n == 3]
		}, new(atomic.Int64)}
		client := newClient(t, with(sharing(s, slow), func(c *introspect.Config) { c.Calls.Max, c.Calls.Waiting = 1, 1 }))
		for range 4 { // in use
			requireAccepted(t, client, opaque)
		}
		time.Sleep(introspect.DefaultPositiveTTL * 8 / 10)
		for i := range 2 {
			go func() { _, _ = client.Verify(t.Context(), fmt.Sprint("t", i)) }()
		}
		synctest.Wait() // both ask the Store
		for n := range 2 {
			requireAccepted(t, client, opaque)
			time.Sleep(time.Second)
			require.Equal(t, 1+n, s.times(opaque))
		}
	})
	bubble.Test(t, func(t *testing.T) { // an answer that is about to end while its call still tells the hooks
		s := newServer()
		client := newClient(t, with(config(s), func(c *introspect.Config) {
			c.PositiveTTL = 60 * time.Millisecond // and a tenth less at most
			c.Hooks.Called = func(context.Context, introspect.CallEvent) { time.Sleep(90 * time.Millisecond) }
		}))
		go func() { _, _ = client.Verify(t.Context(), opaque) }()
		synctest.Wait()
		for range 3 { // in use
			requireAccepted(t, client, opaque)
		}
		time.Sleep(50 * time.Millisecond)
		requireAccepted(t, client, opaque)
		time.Sleep(time.Second)
		require.Equal(t, 1, s.requests())
	})
	bubble.Test(t, func(t *testing.T) { // seldom used, or ending with exp: not asked ahead
		s := newServer()
		client := newClient(t, config(s))
		requireAccepted(t, client, opaque)
		time.Sleep(26 * time.Second)
		requireAccepted(t, client, opaque)
		synctest.Wait()
		require.Equal(t, 1, s.requests())

		// Three hits make an entry hot; the one after them, near its end, asks.
		for hits, calls := range map[int]int{2: 0, 3: 1} {
			s.set(func(s *server) { s.calls = 0 })
			client := newClient(t, config(s))
			requireAccepted(t, client, opaque)
			for range hits {
				requireAccepted(t, client, opaque)
			}
			time.Sleep(26 * time.Second)
			requireAccepted(t, client, opaque)
			synctest.Wait()
			require.Equal(t, 1+calls, s.requests(), hits)
		}

		for _, left := range []time.Duration{20 * time.Second, introspect.DefaultPositiveTTL} {
			time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(time.Second))) // exp has no fraction
			token := fmt.Sprint("short", left)
			s.set(func(s *server) {
				s.answers[token] = answer(map[string]any{"exp": time.Now().Add(left).Unix()})
			})
			for begun := time.Now(); time.Since(begun) < left*89/100; time.Sleep(200 * time.Millisecond) {
				requireAccepted(t, client, token)
			}
			require.Equal(t, 1, s.times(token))
		}
	})
}

// The Store still has the answer that is to be replaced.
func TestRefreshAheadWithStore(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newServer()
		client := newClient(t, sharing(s, newStore()))
		requireAccepted(t, client, opaque)
		s.set(func(s *server) { s.delay = time.Second })
		for range 5 * 120 {
			time.Sleep(200 * time.Millisecond)
			start := time.Now()
			requireAccepted(t, client, opaque)
			require.Zero(t, time.Since(start))
		}
		require.InDelta(t, 5, s.requests(), 1)
		time.Sleep(time.Minute)
	})
}

// inUse has the server know so many more tokens, and the client use each of them so often that
// it renews them ahead of time.
func inUse(t *testing.T, s *server, client *introspect.Client, n int) (tokens []string) {
	t.Helper()
	s.set(func(s *server) {
		for i := range n {
			tokens = append(tokens, fmt.Sprint("t", i))
			s.answers[tokens[i]] = s.answers[opaque]
		}
	})
	for range 4 {
		for _, token := range tokens {
			requireAccepted(t, client, token)
		}
	}
	return tokens
}
