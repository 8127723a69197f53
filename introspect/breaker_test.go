package introspect_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/stretchr/testify/require"
)

func badCertificate() (*http.Response, error) {
	return nil, &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}
}

// The whole story of an outage.
func TestOutage(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newServer()
		var changes []introspect.BreakerEvent
		client := newClient(t, with(config(s), func(c *introspect.Config) {
			c.Hooks.BreakerChanged = func(_ context.Context, e introspect.BreakerEvent) { changes = append(changes, e) }
		}))
		requireAccepted(t, client, opaque)
		s.fail(down)
		var opened error
		for i := 0; len(changes) == 0; i++ {
			opened = requireRefused(t, client, fmt.Sprint("t", i), unavailable, bearergate.ReasonIntrospectionUnavailable)
			require.Positive(t, bearergate.AsError(opened).RetryAfter)
		}
		// The fifth is not tried again, but a token of our own is.
		require.Equal(t, 1+2*introspect.BreakerFailures, s.requests())
		require.Equal(t, introspect.BreakerOpen, changes[0].To)

		// Fast, with Retry-After, and nobody asks the server.
		start := time.Now()
		for i := range 100 {
			err := requireRefused(t, client, fmt.Sprint("t", i), unavailable, bearergate.ReasonIntrospectionUnavailable)
			require.Positive(t, bearergate.AsError(err).RetryAfter)
		}
		require.Zero(t, time.Since(start))
		require.Equal(t, 11, s.requests())
		requireAccepted(t, client, opaque) // what is remembered, is

		// One probe at a time, about a token of our own and one caller's, at growing intervals of at most 30 s.
		for range 12 {
			before := s.requests()
			last := changes[len(changes)-1]
			require.Equal(t, introspect.BreakerOpen, last.To)
			require.Equal(t, introspect.OutcomeConnect, last.Outcome)
			require.LessOrEqual(t, last.Wait, introspect.BreakerMaxOpen)
			time.Sleep(last.Wait)
			s.set(func(s *server) { s.delay = time.Second })
			var wg sync.WaitGroup
			for i := range 50 {
				wg.Go(func() {
					requireRefused(t, client, fmt.Sprint("t", i), unavailable, bearergate.ReasonIntrospectionUnavailable)
				})
			}
			wg.Wait()
			require.Equal(t, before+2, s.requests(), "a token of our own, and one caller's")
		}
		require.Greater(t, changes[len(changes)-1].Wait, 26*time.Second)

		// Recovery with the first probe.
		s.fail(nil)
		time.Sleep(changes[len(changes)-1].Wait)
		requireAccepted(t, client, opaque)
		require.Equal(t, introspect.BreakerClosed, changes[len(changes)-1].To)
		many(t, client, 100, func(int) string { return opaque })

		// And the next outage begins with a second again.
		openBreaker(t, s, client, down)
		require.InDelta(t, 950*time.Millisecond, changes[len(changes)-1].Wait, float64(51*time.Millisecond))
	})
}

// What feeds the breaker, how often it is tried, and what does not.
func TestWhatOpensTheBreaker(t *testing.T) {
	for _, tt := range []struct {
		name    string
		fault   func() (*http.Response, error)
		opens   bool
		per     int // calls for one token
		status  string
		refused bool // our credentials

		meanwhile int // further calls: while the one about a token of our own is under way, and the next of those
	}{
		{name: "connect", fault: down, opens: true, per: 2},
		{name: "TLS", fault: badCertificate, opens: true, per: 1},
		{name: "timeout", fault: func() (*http.Response, error) {
			time.Sleep(introspect.DefaultTimeout / 3 * 2)
			return nil, context.DeadlineExceeded
		}, opens: true, per: 1, meanwhile: 3},
		{name: "429", fault: status(429), opens: true, per: 1, status: "4xx"}, {name: "502", fault: status(502), opens: true, per: 2, status: "5xx"},
		{name: "503", fault: status(503), opens: true, per: 2, status: "5xx"}, {name: "504", fault: status(504), opens: true, per: 2, status: "5xx"},
		{name: "500", fault: status(500), opens: true, per: 1, status: "5xx"}, {name: "501", fault: status(501), opens: true, per: 1, status: "5xx"},
		{name: "503 with Retry-After", fault: status(503, "Retry-After", "1"), opens: true, per: 1, status: "5xx"},
		{name: "401", fault: status(401), refused: true, per: 1, status: "4xx"}, {name: "403", fault: status(403), refused: true, per: 1, status: "4xx"},
		{name: "400", fault: status(400), per: 1, status: "4xx"}, {name: "404", fault: status(404), per: 1, status: "4xx"},
		{name: "302", fault: status(302, "Location", "/x"), per: 1, status: "3xx"},
		{name: "nonsense", fault: func() (*http.Response, error) { return reply(200, "application/json", "{}"), nil }, per: 1, status: "2xx"},
		{name: "HTML", fault: func() (*http.Response, error) { return reply(200, "text/html", "{}"), nil }, per: 1, status: "2xx"},
		{name: "huge", fault: func() (*http.Response, error) {
			return reply(200, "application/json", string(make([]byte, 1<<17))), nil
		}, per: 1, status: "2xx"},
		{name: "cut off", fault: func() (*http.Response, error) {
			r := reply(200, "application/json", "")
			r.ContentLength, r.Body = 100, io.NopCloser(iotest.ErrReader(io.ErrUnexpectedEOF))
			return r, nil
		}, per: 1, status: "2xx"},
		{name: "panic", fault: func() (*http.Response, error) { panic(1) }, per: 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				s := newServer()
				s.fail(tt.fault)
				var mu sync.Mutex
				var calls []introspect.CallEvent
				client := newClient(t, with(config(s), func(c *introspect.Config) {
					c.Hooks.Called = func(_ context.Context, e introspect.CallEvent) {
						mu.Lock()
						defer mu.Unlock()
						calls = append(calls, e)
					}
				}))
				_, err := client.Verify(t.Context(), "first")
				require.Error(t, err)
				per := tt.per
				if tt.refused {
					per++
				}
				require.Len(t, calls, per)
				require.Equal(t, per, s.requests())
				require.Equal(t, tt.status, calls[0].StatusClass())
				require.Error(t, calls[0].Err)
				for i, call := range calls {
					require.Equal(t, tt.refused && i == 0, call.Own) // told first, for it decides about the other
				}
				for i := range 20 {
					_, _ = client.Verify(t.Context(), fmt.Sprint("t", i))
				}
				switch {
				case tt.refused: // the first, and one about a token of our own
					require.Equal(t, 2, s.requests())
				case tt.opens: // the last is not tried again, and one is about a token of our own
					require.Equal(t, (introspect.BreakerFailures-1)*tt.per+2+tt.meanwhile, s.requests())
				default:
					require.Equal(t, 21*tt.per, s.requests())
				}
				s.fail(nil)
				if !tt.opens && !tt.refused {
					requireAccepted(t, client, opaque)
				}
				time.Sleep(time.Minute)
			})
		})
	}
}

// In a row: one answer in between, and it is another row.
func TestFailuresInARow(t *testing.T) {
	s := newServer()
	client := newClient(t, with(config(s), func(c *introspect.Config) { c.DisableCache = true }))
	for row := range 5 {
		s.fail(status(429))
		for i := range 4 {
			requireRefused(t, client, fmt.Sprintf("t%d-%d", row, i), unavailable, bearergate.ReasonIntrospectionUnavailable)
		}
		s.fail(nil)
		requireAccepted(t, client, opaque)
	}
	require.Equal(t, 25, s.requests())
	bubble.Test(t, func(t *testing.T) { // what Map does not like is an answer as well
		s, w := newServer(), &watched{}
		client := newClient(t, with(config(s), func(c *introspect.Config) {
			c.Hooks = w.hooks()
			c.Map = func(*bearergate.Claims) error { return unavailable }
		}))
		for range 2 {
			s.fail(status(429))
			for range introspect.BreakerFailures - 1 {
				requireRefused(t, client, fmt.Sprint("t", s.requests()), unavailable, bearergate.ReasonIntrospectionUnavailable)
			}
			s.fail(nil)
			requireRefused(t, client, opaque, unavailable, bearergate.ReasonStoreUnavailable)
			time.Sleep(time.Second) // for so long, it is left alone
		}
		require.Equal(t, 2, s.times(opaque))
		require.Zero(t, w.count(isOwn))
	})
	bubble.Test(t, func(t *testing.T) { // what did not get as far as the server says nothing about it
		s := newServer()
		client := newClient(t, config(s))
		ask := func(respond func() (*http.Response, error), n int) {
			s.fail(respond)
			for range n {
				requireRefused(t, client, fmt.Sprint("t", s.requests()), unavailable, bearergate.ReasonIntrospectionUnavailable)
			}
		}
		ask(status(429), introspect.BreakerFailures-1)
		ask(func() (*http.Response, error) { panic(1) }, 1)
		ask(status(429), 1)
		ask(nil, 1)                                                  // open
		require.Equal(t, introspect.BreakerFailures+2, s.requests()) // and one about a token of our own
	})
	bubble.Test(t, func(t *testing.T) { // nor does one of our own that did not
		s := newServer()
		client := newClient(t, config(s))
		s.respond = func(_ *http.Request, form url.Values) (*http.Response, error) {
			if strings.HasPrefix(form.Get("token"), "caller") {
				return status(429)()
			}
			panic(1)
		}
		for i := range 2 * introspect.BreakerFailures {
			token := fmt.Sprint("caller", i)
			requireRefused(t, client, token, unavailable, bearergate.ReasonIntrospectionUnavailable)
			require.Equal(t, 1, s.times(token))
		}
	})
}

func TestRetryAfterOfTheServer(t *testing.T) {
	for seconds, opened := range map[string]time.Duration{"10": 10 * time.Second, "600": introspect.BreakerMaxOpen} {
		bubble.Test(t, func(t *testing.T) {
			s := newServer()
			client := newClient(t, config(s))
			s.fail(status(503, "Retry-After", seconds))
			for i := range 5 {
				requireRefused(t, client, fmt.Sprint("t", i), unavailable, bearergate.ReasonIntrospectionUnavailable)
			}
			s.fail(nil)
			time.Sleep(opened - time.Millisecond)
			requireRefused(t, client, opaque, unavailable, bearergate.ReasonIntrospectionUnavailable)
			time.Sleep(time.Millisecond)
			requireAccepted(t, client, opaque)
		})
	}
}

// One retry heals what a retry can.
func TestRetry(t *testing.T) {
	for _, fault := range []func() (*http.Response, error){down, status(503)} {
		bubble.Test(t, func(t *testing.T) {
			s := newServer()
			s.fail(func() (*http.Response, error) { s.fail(nil); return fault() })
			start := time.Now()
			requireAccepted(t, newClient(t, config(s)), opaque)
			require.Equal(t, 2, s.requests())
			require.GreaterOrEqual(t, time.Since(start), 50*time.Millisecond, "not at once")
			require.LessOrEqual(t, time.Since(start), 100*time.Millisecond)
		})
	}
}

// A call that took its time is not made again, though there may be some left.
func TestTimeoutIsNotRetried(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newServer()
		s.delay = time.Minute
		client := newClient(t, with(config(s), func(c *introspect.Config) { c.HTTPClient.Timeout = time.Second }))
		start := time.Now()
		requireRefused(t, client, opaque, unavailable, bearergate.ReasonIntrospectionUnavailable)
		require.Equal(t, time.Second, time.Since(start))
		require.Equal(t, 1, s.requests())
	})
}

// A probe that never ends does not keep the breaker from the next one.
func TestProbeThatHangs(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newServer()
		client := newClient(t, config(s))
		s.fail(status(429))
		for i := range 5 {
			requireRefused(t, client, fmt.Sprint("t", i), unavailable, bearergate.ReasonIntrospectionUnavailable)
		}
		s.fail(func() (*http.Response, error) { time.Sleep(time.Hour); return nil, errDown })
		time.Sleep(time.Second)
		requireRefused(t, client, opaque, unavailable, bearergate.ReasonIntrospectionUnavailable)
		s.fail(nil)
		time.Sleep(introspect.BreakerMaxOpen)
		requireAccepted(t, client, opaque)
		time.Sleep(2 * time.Hour)
	})
}

// Nor does one that never ends, about a token of our own, keep anybody waiting for the next.
func TestOwnCallThatHangs(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s, w := newServer(), &watched{}
		client := newClient(t, with(config(s), func(c *introspect.Config) { c.Hooks, c.Calls.Max = w.hooks(), 1 }))
		s.respond = func(_ *http.Request, form url.Values) (*http.Response, error) {
			if !strings.HasPrefix(form.Get("token"), "caller") {
				time.Sleep(time.Hour) // deaf to its context
			}
			return status(429)()
		}
		for i := range introspect.BreakerFailures {
			requireRefused(t, client, fmt.Sprint("caller", i), unavailable, bearergate.ReasonIntrospectionUnavailable)
		}
		synctest.Wait()
		time.Sleep(time.Second)
		require.Equal(t, introspect.BreakerOpen, last(w.changes()).To)
		time.Sleep(last(w.changes()).Wait)
		start := time.Now()
		requireRefused(t, client, "caller", unavailable, bearergate.ReasonIntrospectionUnavailable)
		require.Zero(t, time.Since(start))
		require.Equal(t, 1, s.times("caller"))
		time.Sleep(time.Hour)
	})
}

// Who makes the test waits for the token of our own for half of Timeout, and until the test is
// over nobody else makes one.
func TestHowLongTheTestTakes(t *testing.T) {
	for _, tt := range []struct {
		name  string
		own   time.Duration // takes the answer about a token of our own
		takes time.Duration // the caller's
	}{
		{name: "answered in time", own: introspect.DefaultTimeout/2 - 10*time.Millisecond, takes: introspect.DefaultTimeout/2 - 10*time.Millisecond},
		{name: "too late", own: introspect.DefaultTimeout/2 + 10*time.Millisecond, takes: introspect.DefaultTimeout / 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				s, w := newServer(), &watched{}
				client := newClient(t, with(config(s), func(c *introspect.Config) { c.Hooks = w.hooks() }))
				openBreaker(t, s, client, status(429))
				time.Sleep(last(w.changes()).Wait)
				s.set(func(s *server) {
					s.respond = func(_ *http.Request, form url.Values) (*http.Response, error) {
						if form.Get("token") == opaque {
							return reply(200, "application/json", encode(answer(nil))), nil
						}
						time.Sleep(tt.own)
						return reply(200, "application/json", `{"active":false}`), nil
					}
				})
				start := time.Now()
				requireAccepted(t, client, opaque)
				require.Equal(t, tt.takes, time.Since(start))
				time.Sleep(time.Minute)
			})
		})
	}
	bubble.Test(t, func(t *testing.T) {
		s, w := newServer(), &watched{}
		client := newClient(t, with(config(s), func(c *introspect.Config) { c.Hooks = w.hooks() }))
		openBreaker(t, s, client, status(429))
		time.Sleep(last(w.changes()).Wait)
		s.set(func(s *server) { s.delay = time.Hour })
		go func() { _, _ = client.Verify(t.Context(), "tests") }()
		time.Sleep(introspect.DefaultTimeout - 100*time.Millisecond)
		start := time.Now()
		requireRefused(t, client, "another", unavailable, bearergate.ReasonIntrospectionUnavailable)
		require.Zero(t, time.Since(start))
		time.Sleep(time.Minute)
		require.Equal(t, s.requests(), w.count(func(introspect.CallEvent) bool { return true }), "each call is told")
	})
}

// Whose time ends while it waits for the test is told then, and asks nothing more.
func TestTimeEndsDuringTheTest(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s, w := newServer(), &watched{}
		client := newClient(t, with(config(s), func(c *introspect.Config) { c.Hooks, c.Timeout = w.hooks(), 10*time.Second }))
		start := time.Now()
		s.set(func(s *server) {
			s.respond = func(r *http.Request, form url.Values) (*http.Response, error) {
				switch {
				case form.Get("token") == "slow":
					time.Sleep(9 * time.Second)
					return down() // which is tried again, and the breaker is to be tested by then
				case time.Since(start) < 9*time.Second:
					return status(429)()
				}
				<-r.Context().Done()
				return nil, r.Context().Err()
			}
		})
		slow := make(chan error, 1)
		go func() {
			_, err := client.Verify(t.Context(), "slow")
			slow <- err
		}()
		synctest.Wait()
		for i := range introspect.BreakerFailures {
			requireRefused(t, client, fmt.Sprint("t", i), unavailable, bearergate.ReasonIntrospectionUnavailable)
		}
		kit.RequireError(t, <-slow, unavailable, bearergate.ReasonIntrospectionUnavailable)
		require.Equal(t, 10*time.Second, time.Since(start))
		require.Equal(t, introspect.BreakerHalfOpen, last(w.changes()).To)
		require.Zero(t, w.count(func(e introspect.CallEvent) bool { return e.Attempt == 2 }))
		time.Sleep(time.Minute)
	})
}

// req: INT-046
func TestFloodOfTokens(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newServer()
		client := newClient(t, config(s))
		flood := func() (inactive, overloaded int) {
			var mu sync.Mutex
			var wg sync.WaitGroup
			for i := range 10_000 {
				wg.Go(func() {
					_, err := client.Verify(t.Context(), fmt.Sprint("garbage-", i))
					mu.Lock()
					defer mu.Unlock()
					switch bearergate.ReasonOf(err) {
					case bearergate.ReasonInactive:
						inactive++
					case bearergate.ReasonOverloaded:
						require.ErrorIs(t, err, unavailable)
						require.Positive(t, bearergate.AsError(err).RetryAfter)
						overloaded++
					default:
						t.Error(err)
					}
				})
			}
			wg.Wait()
			return inactive, overloaded
		}
		inactive, overloaded := flood()
		require.Equal(t, 10_000, inactive+overloaded)
		require.GreaterOrEqual(t, inactive, introspect.DefaultMaxCalls+introspect.DefaultMaxWaiting) // a fast server takes more
		require.LessOrEqual(t, s.max, introspect.DefaultMaxCalls)

		client.PurgeAll()
		s.set(func(s *server) { s.delay = 100 * time.Millisecond })
		start := time.Now()
		inactive, overloaded = flood()
		require.Less(t, time.Since(start), 2*time.Second) // a slow one does not make anybody wait for long
		require.Equal(t, introspect.DefaultMaxCalls, s.max)
		require.Equal(t, introspect.DefaultMaxCalls+introspect.DefaultMaxWaiting, inactive)
		require.Equal(t, 10_000, inactive+overloaded)
		require.Greater(t, overloaded, 5000)
		requireAccepted(t, client, opaque) // not the server's failure: the breaker is closed
	})
}

// Whatever answers about a token of our own, when the time of the breaker is over, closes it:
// nobody can have that said to order. Where it fails, the caller who came decides.
func TestWhatClosesTheBreaker(t *testing.T) {
	body := func(contentType, text string) func() (*http.Response, error) {
		return func() (*http.Response, error) { return reply(200, contentType, text), nil }
	}
	for _, tt := range []struct {
		name   string
		own    func() (*http.Response, error)
		closes bool
	}{
		{name: "inactive", own: body("application/json", `{"active":false}`), closes: true},
		{name: "active, and Map fails", own: body("application/json", encode(answer(map[string]any{"sub": "own"}))), closes: true},
		{name: "nonsense", own: body("application/json", "{}"), closes: true},
		{name: "too large", own: body("application/json", strings.Repeat(" ", 1<<17)), closes: true},
		{name: "a page", own: body("text/html", "<p>"), closes: true},
		{name: "400", own: status(400), closes: true}, {name: "404", own: status(404), closes: true},
		{name: "429", own: status(429)}, {name: "500", own: status(500)},
		{name: "401", own: status(401)}, {name: "403", own: status(403)},
		{name: "a client that panics", own: func() (*http.Response, error) { panic(1) }},
		{name: "connect", own: down},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				s, w := newServer(), &watched{}
				client := newClient(t, with(config(s), func(c *introspect.Config) {
					c.Hooks = w.hooks()
					c.Map = func(claims *bearergate.Claims) error {
						if claims.Subject == "own" {
							panic(1)
						}
						return nil
					}
				}))
				openBreaker(t, s, client, status(429))
				time.Sleep(last(w.changes()).Wait)
				s.tellApart(active, tt.own)
				requireAccepted(t, client, opaque)
				want := []introspect.BreakerState{introspect.BreakerOpen, introspect.BreakerHalfOpen, introspect.BreakerOpen, introspect.BreakerClosed}
				if tt.closes {
					want = append(want[:2], introspect.BreakerClosed)
				}
				var states []introspect.BreakerState
				for _, e := range w.changes() {
					states = append(states, e.To)
				}
				require.Equal(t, want, states)
			})
		})
	}
}

// A call and its retry are one call: five odd tokens open the breaker, not three.
func TestRetryIsNoSecondFailure(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newServer()
		client := newClient(t, config(s))
		for range 3 {
			s.fail(down)
			for i := range introspect.BreakerFailures - 1 {
				requireRefused(t, client, fmt.Sprint("odd", i), unavailable, bearergate.ReasonIntrospectionUnavailable)
			}
			s.fail(nil)
			requireRefused(t, client, "t", invalid, bearergate.ReasonInactive)
			time.Sleep(time.Minute)
		}
		require.Equal(t, 3*(2*(introspect.BreakerFailures-1)+1), s.requests())
		openBreaker(t, s, client, down)
		s.fail(nil)
		requireRefused(t, client, "t", unavailable, bearergate.ReasonIntrospectionUnavailable) // open
	})
}

// A fleet must not probe at one moment, nor may the server's recovery wait for long.
func TestBreakerJitter(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newServer()
		var last introspect.BreakerEvent
		client := newClient(t, with(config(s), func(c *introspect.Config) {
			c.Hooks.BreakerChanged = func(_ context.Context, e introspect.BreakerEvent) { last = e }
		}))
		s.fail(status(429))
		for i := range introspect.BreakerFailures - 1 {
			requireRefused(t, client, fmt.Sprint("t", i), unavailable, bearergate.ReasonIntrospectionUnavailable)
		}
		waits := map[time.Duration]bool{}
		for i := range 300 {
			requireRefused(t, client, fmt.Sprint("u", i), unavailable, bearergate.ReasonIntrospectionUnavailable)
			require.Equal(t, introspect.BreakerOpen, last.To)
			most := min(introspect.BreakerMinOpen<<min(i, 16), introspect.BreakerMaxOpen)
			require.LessOrEqual(t, last.Wait, most)
			require.GreaterOrEqual(t, last.Wait, most-most/10)
			waits[last.Wait] = true
			time.Sleep(last.Wait)
		}
		require.Greater(t, len(waits), 200)
		require.Less(t, slices.Min(slices.DeleteFunc(slices.Collect(maps.Keys(waits)), func(wait time.Duration) bool { return wait < 26*time.Second })),
			27200*time.Millisecond, "all of the tenth, of the longest")
	})
}

// What was admitted before the breaker opened neither closes it nor keeps it open for longer.
func TestLateReport(t *testing.T) {
	for name, late := range map[string]func() (*http.Response, error){
		"alive": func() (*http.Response, error) { return reply(200, "application/json", `{"active":false}`), nil },
		"down":  status(429),
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				s := newServer()
				var opened introspect.BreakerEvent
				client := newClient(t, with(config(s), func(c *introspect.Config) {
					c.Hooks.BreakerChanged = func(_ context.Context, e introspect.BreakerEvent) {
						if e.To == introspect.BreakerOpen {
							opened = e
						}
					}
				}))
				s.fail(func() (*http.Response, error) { time.Sleep(time.Second / 2); return late() })
				var wg sync.WaitGroup
				wg.Go(func() { _, _ = client.Verify(t.Context(), "late") })
				synctest.Wait()
				openBreaker(t, s, client, status(429))
				end := time.Now().Add(opened.Wait)
				s.fail(nil)
				wg.Wait()
				requireRefused(t, client, opaque, unavailable, bearergate.ReasonIntrospectionUnavailable)
				require.Equal(t, 1+introspect.BreakerFailures+1, s.requests())
				time.Sleep(time.Until(end))
				requireAccepted(t, client, opaque)
			})
		})
	}
}

// Nor do many of them that fail when its time is over have the server tested.
func TestLateReportsTestNothing(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s, w := newServer(), &watched{}
		client := newClient(t, with(config(s), func(c *introspect.Config) { c.Hooks = w.hooks() }))
		s.fail(func() (*http.Response, error) { time.Sleep(2 * introspect.BreakerMinOpen); return status(429)() })
		var wg sync.WaitGroup
		for i := range introspect.BreakerFailures {
			wg.Go(func() { _, _ = client.Verify(t.Context(), fmt.Sprint("late", i)) })
		}
		synctest.Wait()
		openBreaker(t, s, client, status(429))
		require.Equal(t, 1, w.count(isOwn))
		wg.Wait()
		require.Equal(t, 1, w.count(isOwn))
		s.fail(nil)
		requireAccepted(t, client, opaque)
		require.Equal(t, 2, w.count(isOwn))
	})
}

// A caller's answer ends an outage where a token of our own is never answered: something in
// front of the server does not let unknown ones through. From then on all is as before it.
func TestAnAnswerEndsAnOutage(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newServer()
		var last introspect.BreakerEvent
		client := newClient(t, with(config(s), func(c *introspect.Config) {
			c.Hooks.BreakerChanged = func(_ context.Context, e introspect.BreakerEvent) { last = e }
		}))
		outage := func(tokens string) {
			t.Helper()
			s.fail(status(429))
			for i := range introspect.BreakerFailures {
				require.NotEqual(t, introspect.BreakerOpen, last.To, "after %d", i)
				requireRefused(t, client, fmt.Sprint(tokens, i), unavailable, bearergate.ReasonIntrospectionUnavailable)
			}
			require.Equal(t, introspect.BreakerOpen, last.To)
			require.InDelta(t, 950*time.Millisecond, last.Wait, float64(51*time.Millisecond), "as long as the first time")
		}
		outage("a")
		s.tellApart(active, status(500))
		time.Sleep(last.Wait)
		requireAccepted(t, client, opaque)
		require.Equal(t, introspect.BreakerClosed, last.To)

		before := s.requests()
		s.fail(status(403))
		requireRefused(t, client, "barred", unavailable, bearergate.ReasonIntrospectionUnavailable)
		require.Equal(t, before+1, s.requests(), "it has just answered: nobody need ask about a token of our own")
		outage("b")
	})
}

// What the server answers to a call that began before the outage does not excuse a test that
// fails: the breaker opens again.
func TestLateAnswerDuringTheTest(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newServer()
		var last introspect.BreakerEvent
		client := newClient(t, with(config(s), func(c *introspect.Config) {
			c.Hooks.BreakerChanged = func(_ context.Context, e introspect.BreakerEvent) { last = e }
		}))
		slow := time.Duration(0)
		s.respond = func(_ *http.Request, form url.Values) (*http.Response, error) {
			if form.Get("token") == "late" {
				time.Sleep(introspect.DefaultTimeout * 5 / 6)
				return reply(200, "application/json", `{"active":false}`), nil
			}
			time.Sleep(slow)
			return status(429)()
		}
		begun := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() { requireRefused(t, client, "late", invalid, bearergate.ReasonInactive) })
		synctest.Wait()
		for i := range introspect.BreakerFailures {
			requireRefused(t, client, fmt.Sprint("t", i), unavailable, bearergate.ReasonIntrospectionUnavailable)
		}
		slow = introspect.DefaultTimeout * 2 / 3 // the test begins before the late answer, and ends thereafter
		time.Sleep(time.Second)
		wg.Go(func() { requireRefused(t, client, "test", unavailable, bearergate.ReasonIntrospectionUnavailable) })
		time.Sleep(time.Until(begun.Add(time.Second + slow + time.Millisecond)))
		synctest.Wait()
		require.Equal(t, introspect.BreakerOpen, last.To)
		require.Equal(t, introspect.BreakerHalfOpen, last.From)
		wg.Wait()
		time.Sleep(time.Minute) // for what is deaf to its end
	})
}

// That our credentials are refused is no outage: one that comes next begins with a second.
func TestOutageAfterRefusedCredentials(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newServer()
		var last introspect.BreakerEvent
		client := newClient(t, with(config(s), func(c *introspect.Config) {
			c.Hooks.BreakerChanged = func(_ context.Context, e introspect.BreakerEvent) { last = e }
		}))
		s.fail(status(401))
		for i := range 3 {
			requireRefused(t, client, fmt.Sprint("t", i), misconfigured, bearergate.ReasonConfig)
			require.Equal(t, introspect.BreakerOpen, last.To)
			time.Sleep(last.Wait)
		}
		s.fail(status(429))
		requireRefused(t, client, "t", unavailable, bearergate.ReasonIntrospectionUnavailable)
		require.Equal(t, introspect.BreakerOpen, last.To)
		require.InDelta(t, 950*time.Millisecond, last.Wait, float64(51*time.Millisecond))
	})
}

// Who has waited for a slot while the breaker opened is refused as everybody else is.
func TestBreakerOpensWhileSomebodyWaits(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newServer()
		client := newClient(t, with(config(s), func(c *introspect.Config) { c.Calls.Max = 1 }))
		slow := time.Duration(0)
		s.respond = func(*http.Request, url.Values) (*http.Response, error) {
			time.Sleep(slow)
			return status(429)()
		}
		var wg sync.WaitGroup
		refused := func(token string) {
			wg.Go(func() { requireRefused(t, client, token, unavailable, bearergate.ReasonIntrospectionUnavailable) })
			synctest.Wait()
		}
		for i := range introspect.BreakerFailures - 1 {
			refused(fmt.Sprint("t", i))
		}
		slow = 10 * time.Millisecond
		refused("last")
		time.Sleep(slow) // and now the server is tested, about a token of our own
		synctest.Wait()
		slow = 30 * time.Millisecond
		refused("holds-the-slot")
		refused("waits")
		wg.Wait()
		require.Equal(t, introspect.BreakerFailures+2, s.requests())
		s.fail(nil)
		time.Sleep(introspect.BreakerMaxOpen)
		requireAccepted(t, client, opaque) // the place of who waited is free
	})
}
