package introspect_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/stretchr/testify/require"
)

// What a review found that strangers, or callers who go away, could do to others.

// How long a call waits for its turn, strangers decide: it makes no stale answer stand in.
func TestTheQueueMakesNothingStale(t *testing.T) {
	for _, latency := range []time.Duration{300 * time.Millisecond, 900 * time.Millisecond} {
		bubble.Test(t, func(t *testing.T) {
			s := newServer()
			client := newClient(t, with(config(s), func(c *introspect.Config) { c.MaxStale = time.Hour }))
			requireAccepted(t, client, opaque)
			time.Sleep(time.Minute)
			s.set(func(s *server) { delete(s.answers, opaque); s.delay = latency }) // revoked
			ctx, stop := context.WithCancel(t.Context())
			var n atomic.Int64
			var wg sync.WaitGroup
			for range 300 {
				wg.Go(func() {
					for ctx.Err() == nil {
						_, _ = client.Verify(ctx, fmt.Sprint("junk", n.Add(1)))
					}
				})
			}
			time.Sleep(2 * time.Second)
			for range 60 {
				token, err := client.Verify(t.Context(), opaque)
				require.Nil(t, token, "it was revoked, and the server is up")
				require.Error(t, err)
				time.Sleep(10 * time.Millisecond)
			}
			stop()
			wg.Wait()
			time.Sleep(10 * time.Second)
		})
	}
}

// slowStore is a Store with a latency, and perhaps with a say about the n-th Get.
type slowStore struct {
	introspect.Store
	get func(n int64) time.Duration
	n   *atomic.Int64
}

func (s slowStore) Get(ctx context.Context, k string) ([]byte, error) {
	value, err := s.Store.Get(ctx, k)
	time.Sleep(s.get(s.n.Add(1)))
	return value, err
}

// A call that all have left leaves no trace: it may know less than the one after it.
func TestAbandonedCallsLeaveNoTrace(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s, st := newServer(), newStore()
		first := newClient(t, sharing(s, st))
		requireAccepted(t, first, opaque)
		synctest.Wait()
		slow := slowStore{st, func(n int64) time.Duration { return map[bool]time.Duration{true: 90 * time.Millisecond}[n == 1] }, new(atomic.Int64)}
		second := newClient(t, sharing(s, slow))
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		_, err := second.Verify(ctx, opaque)
		require.ErrorIs(t, err, unavailable)
		s.set(func(s *server) { delete(s.answers, opaque) }) // revoked
		first.Purge(opaque)
		requireRefused(t, second, opaque, invalid, bearergate.ReasonInactive)
		time.Sleep(100 * time.Millisecond) // the abandoned one has its answer now
		requireRefused(t, second, opaque, invalid, bearergate.ReasonInactive)
	})
	bubble.Test(t, func(t *testing.T) { // nor does one ask that has a place when all have left
		s := newServer()
		slow := slowStore{newStore(), func(int64) time.Duration { return 90 * time.Millisecond }, new(atomic.Int64)}
		client := newClient(t, sharing(s, slow))
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		for i := range 30 {
			go func() { _, _ = client.Verify(ctx, fmt.Sprint("t", i)) }()
		}
		time.Sleep(time.Second)
		require.Zero(t, s.requests())
	})
	bubble.Test(t, func(t *testing.T) { // who leaves takes nothing from the others who wait
		s := newServer()
		client := newClient(t, with(config(s), func(c *introspect.Config) { c.Calls.Max = 1 }))
		s.set(func(s *server) { s.delay = 500 * time.Millisecond })
		go func() { _, _ = client.Verify(t.Context(), "slow") }() // has the one place
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		go func() { _, _ = client.Verify(ctx, opaque) }()
		requireAccepted(t, client, opaque)
	})
	bubble.Test(t, func(t *testing.T) { // and a Purge reaches it
		s, st := newServer(), newStore()
		requireAccepted(t, newClient(t, sharing(s, st)), opaque)
		synctest.Wait()
		entered, hold := make(chan struct{}, 10), make(chan struct{})
		second := newClient(t, with(sharing(s, st), func(c *introspect.Config) {
			c.Map = func(*bearergate.Claims) error {
				entered <- struct{}{}
				<-hold
				return nil
			}
		}))
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _, _ = second.Verify(ctx, opaque) }()
		<-entered // the answer of the Store is being judged
		cancel()
		synctest.Wait()
		s.set(func(s *server) { delete(s.answers, opaque) })
		second.Purge(opaque)
		close(hold)
		synctest.Wait()
		requireRefused(t, second, opaque, invalid, bearergate.ReasonInactive)
	})
	bubble.Test(t, func(t *testing.T) { // nor does one that fails after a purge
		s := newServer()
		client := newClient(t, config(s))
		s.fail(status(400))
		s.set(func(s *server) { s.delay = time.Second })
		go func() { _, _ = client.Verify(t.Context(), opaque) }()
		synctest.Wait()
		client.Purge(opaque)
		s.set(func(s *server) {
			s.respond, s.delay = func(*http.Request, url.Values) (*http.Response, error) { return status(400)() }, 0
		})
		time.Sleep(time.Second)
		synctest.Wait()
		s.fail(nil)
		requireAccepted(t, client, opaque)
	})
}

// Strangers' tokens do not keep a Purge from the Store.
func TestPurgeUnderAFlood(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s, st := newServer(), newStore()
		first := newClient(t, sharing(s, slowStore{st, func(int64) time.Duration { return 20 * time.Millisecond }, new(atomic.Int64)}))
		requireAccepted(t, first, opaque)
		time.Sleep(time.Second)
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() { _, _ = first.Verify(t.Context(), fmt.Sprint("junk", i)) })
		}
		synctest.Wait()
		s.set(func(s *server) { delete(s.answers, opaque) })
		first.Purge(opaque)
		wg.Wait()
		requireRefused(t, newClient(t, sharing(s, st)), opaque, invalid, bearergate.ReasonInactive) // another process
		time.Sleep(10 * time.Second)
	})
}

// Where something answers every unknown token by an error, a token of our own proves nothing:
// an honest one still gets in, when the time of the breaker is over.
func TestUnknownTokensFail(t *testing.T) {
	for _, code := range []int{500, 401, 403} {
		bubble.Test(t, func(t *testing.T) {
			s := newServer()
			s.set(func(s *server) {
				s.respond = func(_ *http.Request, form url.Values) (*http.Response, error) {
					if strings.HasPrefix(form.Get("token"), "honest") {
						return reply(200, "application/json", encode(answer(nil))), nil
					}
					return status(code)()
				}
			})
			client := newClient(t, config(s))
			requireAccepted(t, client, "honest-0")
			time.Sleep(2 * time.Second)
			strangers := func() {
				for i := range introspect.BreakerFailures {
					_, err := client.Verify(t.Context(), fmt.Sprint("stranger", time.Now().Unix(), i))
					require.Error(t, err)
				}
			}
			strangers()
			refused := 0
			for i := range 600 {
				if _, err := client.Verify(t.Context(), fmt.Sprint("honest-", 1+i)); err != nil {
					refused++
				}
				time.Sleep(time.Second)
			}
			require.LessOrEqual(t, refused, int(introspect.CredentialsPause/time.Second))
		})
	}
}

// What a firewall says of a stranger's token does not count for the server: neither for
// knowing us, nor for being up.
func TestAFirewallIsNotTheServer(t *testing.T) {
	html := func() (*http.Response, error) { return reply(200, "text/html", "<p>rejected"), nil }
	for name, odd := range map[string]func() (*http.Response, error){"406": status(406), "a page": html, "JSON": status(400)} {
		t.Run(name, func(t *testing.T) {
			for _, down := range []func(r *http.Request) (*http.Response, error){
				func(*http.Request) (*http.Response, error) { return status(401)() },
				func(*http.Request) (*http.Response, error) { return status(503, "Retry-After", "1")() },
			} {
				bubble.Test(t, func(t *testing.T) {
					s, w := newServer(), &watched{}
					s.set(func(s *server) {
						s.respond = func(r *http.Request, form url.Values) (*http.Response, error) {
							if strings.HasPrefix(form.Get("token"), "odd") {
								return odd()
							}
							return down(r)
						}
					})
					client := newClient(t, with(config(s), func(c *introspect.Config) { c.Hooks = w.hooks() }))
					for i := range 1000 {
						if i%90 == 0 {
							_, _ = client.Verify(t.Context(), fmt.Sprint("odd", i))
						}
						_, err := client.Verify(t.Context(), fmt.Sprint("t", i))
						require.Error(t, err)
						time.Sleep(10 * time.Millisecond)
					}
					require.NotEmpty(t, w.changes(), "the breaker opens")
					require.LessOrEqual(t, s.requests(), 50)
				})
			}
		})
	}
}

// Nobody can make our own credentials for a while: an outage as any other.
func TestStaleWithoutCredentials(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newServer()
		var down atomic.Bool
		client := newClient(t, with(config(s), func(c *introspect.Config) {
			c.MaxStale = time.Hour
			c.Auth = introspect.BearerAuth(func(context.Context) (string, error) {
				if down.Load() {
					return "", fmt.Errorf("token endpoint: %w", unavailable)
				}
				return "own", nil
			})
		}))
		requireAccepted(t, client, opaque)
		time.Sleep(time.Minute)
		down.Store(true)
		require.True(t, requireAccepted(t, client, opaque).Stale())
	})
}

// lateStore honours its context, and applies what it is given all the same, later.
type lateStore struct {
	*store
	lag time.Duration
}

func (s lateStore) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	time.Sleep(s.lag)
	if err := s.store.Set(ctx, key, value, ttl); err != nil {
		return err
	}
	return ctx.Err()
}

// An answer that reaches the Store after its time, and after a purge, is purged again.
func TestPurgeAndALateStore(t *testing.T) {
	for _, lag := range []time.Duration{50 * time.Millisecond, 150 * time.Millisecond, 2 * time.Second} {
		bubble.Test(t, func(t *testing.T) {
			s, st := newServer(), lateStore{newStore(), lag}
			first := newClient(t, sharing(s, st))
			requireAccepted(t, first, opaque)
			synctest.Wait()
			s.set(func(s *server) { delete(s.answers, opaque) })
			first.Purge(opaque)
			time.Sleep(10 * time.Second)
			requireRefused(t, newClient(t, sharing(s, st)), opaque, invalid, bearergate.ReasonInactive)
			time.Sleep(10 * time.Second)
		})
	}
}

// A server that hangs, and more callers than calls: each has a stale answer.
func TestManyStaleBehindAHang(t *testing.T) {
	for _, n := range []int{100, 300} {
		bubble.Test(t, func(t *testing.T) {
			s := newServer()
			for i := range n {
				s.answers[fmt.Sprint("h", i)] = answer(nil)
			}
			client := newClient(t, with(config(s), func(c *introspect.Config) { c.MaxStale = time.Hour }))
			for i := range n {
				requireAccepted(t, client, fmt.Sprint("h", i))
			}
			time.Sleep(2 * time.Minute)
			s.set(func(s *server) { s.delay = time.Hour })
			for range 4 {
				var wg sync.WaitGroup
				for i := range n {
					wg.Go(func() {
						start := time.Now()
						if token, err := client.Verify(t.Context(), fmt.Sprint("h", i)); err != nil || !token.Stale() || time.Since(start) > 2*time.Second {
							t.Errorf("%v after %v", err, time.Since(start))
						}
					})
				}
				wg.Wait()
			}
			time.Sleep(time.Minute)
		})
	}
}

// Something lets every unknown token hang: an honest one gets in when the time of the breaker
// is over.
func TestUnknownTokensHang(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newServer()
		s.set(func(s *server) {
			s.respond = func(r *http.Request, form url.Values) (*http.Response, error) {
				if strings.HasPrefix(form.Get("token"), "honest") {
					return reply(200, "application/json", encode(answer(nil))), nil
				}
				<-r.Context().Done()
				return nil, r.Context().Err()
			}
		})
		client := newClient(t, config(s))
		requireAccepted(t, client, "honest-0")
		for i := range introspect.BreakerFailures {
			go func() { _, _ = client.Verify(t.Context(), fmt.Sprint("stranger", i)) }()
		}
		time.Sleep(15 * time.Second)
		refused := 0
		for i := range 100 {
			if _, err := client.Verify(t.Context(), fmt.Sprint("honest-", 1+i)); err != nil {
				refused++
			}
			time.Sleep(time.Second)
		}
		require.LessOrEqual(t, refused, 2)
		time.Sleep(time.Minute)
	})
}
