package introspect_test

import (
	"context"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/stretchr/testify/require"
)

type ctxKey struct{}

func TestHooks(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newServer()
		s.delay = 10 * time.Millisecond
		var looked []introspect.LookEvent
		var called []introspect.CallEvent
		client := newClient(t, with(config(s), func(c *introspect.Config) {
			c.Hooks.Looked = func(ctx context.Context, e introspect.LookEvent) {
				require.Equal(t, 7, ctx.Value(ctxKey{}))
				require.NoError(t, ctx.Err())
				looked = append(looked, e)
			}
			c.Hooks.Called = func(ctx context.Context, e introspect.CallEvent) {
				require.Equal(t, 7, ctx.Value(ctxKey{}))
				require.NoError(t, ctx.Err())
				called = append(called, e)
			}
		}))
		start := time.Now().Round(0)
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), ctxKey{}, 7))
		verify := func(token string) { _, _ = client.Verify(ctx, token) }
		verify(opaque)
		verify(opaque)
		verify("unknown")
		verify("unknown")
		verify("no token")
		time.Sleep(time.Minute)
		s.fail(status(401))
		verify(opaque)
		cancel()
		verify(opaque)
		var results []introspect.Result
		for _, e := range looked {
			results = append(results, e.Result)
			require.Equal(t, issuer, e.Issuer)
			require.Equal(t, e.Err == nil, e.Token != nil)
		}
		require.Equal(t, []introspect.Result{introspect.ResultMiss, introspect.ResultHit, introspect.ResultMiss, introspect.ResultNegative,
			introspect.ResultRefused, introspect.ResultMiss, introspect.ResultRefused}, results)
		require.Equal(t, 10*time.Millisecond, looked[0].Duration)
		require.Nil(t, s.last.Context().Value(ctxKey{}), "one request shapes what is shared")
		require.Len(t, called, 4)
		require.NotZero(t, called[0].ID)
		require.NotEqual(t, called[0].ID, called[1].ID)
		require.Equal(t, introspect.CallEvent{ID: called[0].ID, Issuer: issuer, Outcome: introspect.OutcomeActive, Status: 200, Attempt: 1,
			Start: start, Duration: 10 * time.Millisecond}, called[0])
		require.Equal(t, introspect.OutcomeInactive, called[1].Outcome)
		require.Equal(t, introspect.OutcomeUnauthorized, called[2].Outcome)
		require.Equal(t, "4xx", called[2].StatusClass())
		require.ErrorIs(t, called[2].Err, bearergate.ErrMisconfigured)
		require.True(t, called[2].Own, "whether it is about this one token")
		require.Equal(t, introspect.OutcomeUnauthorized, called[3].Outcome)
	})
}

// Only hooks that hang count against those that follow.
func TestHooksThatReturn(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		const calls = 1200
		called := 0
		client := newClient(t, with(config(newServer()), func(c *introspect.Config) {
			c.DisableCache = true
			c.Hooks.Called = func(context.Context, introspect.CallEvent) { called++ }
		}))
		for range calls {
			requireAccepted(t, client, opaque)
		}
		require.Equal(t, calls, called)
	})
}

func TestSharedInTheEvent(t *testing.T) {
	for name, tt := range map[string]struct {
		token   string
		respond func() (*http.Response, error)
		result  introspect.Result
	}{
		"accepted": {opaque, nil, introspect.ResultMiss},
		"refused":  {"unknown", nil, introspect.ResultMiss},
		"failed":   {"unknown", status(429), introspect.ResultMiss},
		"stale":    {opaque, status(429), introspect.ResultStale},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				s := newServer()
				s.delay = time.Second
				events := make(chan introspect.LookEvent, 10)
				client := newClient(t, with(config(s), func(c *introspect.Config) {
					c.MaxStale = time.Hour
					c.Hooks.Looked = func(_ context.Context, e introspect.LookEvent) { events <- e }
				}))
				if tt.result == introspect.ResultStale {
					requireAccepted(t, client, opaque)
					<-events
					time.Sleep(time.Minute)
				}
				s.fail(tt.respond)
				for range 10 {
					go func() { _, _ = client.Verify(t.Context(), tt.token) }()
				}
				n := 0
				for range 10 {
					e := <-events
					require.Equal(t, tt.result, e.Result)
					if e.Shared {
						n++
					}
				}
				require.Equal(t, 9, n)
			})
		})
	}
	bubble.Test(t, func(t *testing.T) { // who comes right after a call that failed shares what it brought
		s := newServer()
		s.fail(status(400))
		var shared []bool
		client := newClient(t, with(config(s), func(c *introspect.Config) {
			c.Hooks.Looked = func(_ context.Context, e introspect.LookEvent) { shared = append(shared, e.Shared) }
		}))
		for range 2 {
			requireRefused(t, client, opaque, unavailable, bearergate.ReasonIntrospectionUnavailable)
		}
		require.Equal(t, []bool{false, true}, shared)
	})
	bubble.Test(t, func(t *testing.T) { // who leaves has shared nothing, nor has who is one too many
		s := newServer()
		s.delay = time.Second
		var mu sync.Mutex
		shared := map[introspect.Result][]bool{}
		client := newClient(t, with(config(s), func(c *introspect.Config) {
			c.Calls.Max, c.Calls.Waiting = 1, 1
			c.Hooks.Looked = func(_ context.Context, e introspect.LookEvent) {
				mu.Lock()
				defer mu.Unlock()
				shared[e.Result] = append(shared[e.Result], e.Shared)
			}
		}))
		for range 2 {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			defer cancel()
			_, err := client.Verify(ctx, opaque)
			require.ErrorIs(t, err, unavailable)
		}
		go func() { _, _ = client.Verify(t.Context(), "waits") }()
		synctest.Wait()
		requireRefused(t, client, "third", unavailable, bearergate.ReasonOverloaded)
		mu.Lock()
		require.Equal(t, map[introspect.Result][]bool{introspect.ResultMiss: {false, false, false}}, shared)
		mu.Unlock()
		time.Sleep(10 * time.Second)
	})
}

// All who wait are told which calls they waited for, after those were told.
func TestWaited(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newServer()
		s.delay = time.Second
		s.fail(status(503)) // so that there is a retry
		type told struct {
			caller any
			id     uint64
		}
		var mu sync.Mutex
		var calls, waits []told
		note := func(to *[]told) func(context.Context, uint64) {
			return func(ctx context.Context, id uint64) {
				require.NoError(t, ctx.Err())
				mu.Lock()
				defer mu.Unlock()
				*to = append(*to, told{ctx.Value(ctxKey{}), id})
			}
		}
		called, waited := note(&calls), note(&waits)
		client := newClient(t, with(config(s), func(c *introspect.Config) {
			c.Hooks = introspect.JoinHooks(introspect.Hooks{
				Called: func(ctx context.Context, e introspect.CallEvent) { called(ctx, e.ID) },
				Waited: func(ctx context.Context, e introspect.WaitEvent) {
					require.Len(t, calls, 2, "told after the calls")
					require.Equal(t, issuer, e.Issuer)
					waited(ctx, e.CallID)
					panic("the others are told all the same")
				},
			}, introspect.Hooks{})
		}))
		verify := func(i int) {
			ctx := context.WithValue(t.Context(), ctxKey{}, i)
			if i == 9 { // this one goes away
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, time.Second/2)
				defer cancel()
			}
			_, _ = client.Verify(ctx, opaque)
		}
		var all sync.WaitGroup
		for i := range 10 {
			all.Go(func() { verify(i) })
		}
		all.Wait()
		require.Len(t, calls, 2)
		require.NotZero(t, calls[0].id)
		require.Equal(t, calls[0], calls[1])
		callers := map[any]bool{}
		for _, w := range waits {
			callers[w.caller] = true
			require.Equal(t, calls[0].id, w.id)
		}
		require.Len(t, waits, 9)
		require.Len(t, callers, 9)
		require.NotContains(t, callers, 9)

		s.fail(nil)
		calls, waits = nil, nil
		time.Sleep(time.Minute)
		client = newClient(t, with(config(s), func(c *introspect.Config) {
			c.Hooks.Waited = func(ctx context.Context, e introspect.WaitEvent) { waited(ctx, e.CallID) }
		}))
		requireAccepted(t, client, opaque)
		requireAccepted(t, client, opaque)
		require.Len(t, waits, 1, "a hit waits for nothing")
	})
}

func TestJoinHooks(t *testing.T) {
	var order []string
	note := func(name string) introspect.Hooks {
		return introspect.Hooks{
			Looked: func(context.Context, introspect.LookEvent) { order = append(order, name); panic(name) },
			Purged: func(context.Context, introspect.PurgeEvent) { order = append(order, "purged "+name) },
			Panicked: func(_ context.Context, e bearergate.PanicEvent) {
				order = append(order, "panicked "+e.Where+" "+e.Type)
				panic(1)
			},
		}
	}
	client := newClient(t, with(config(newServer()), func(c *introspect.Config) {
		c.Hooks = introspect.JoinHooks(note("a"), introspect.Hooks{}, note("b"))
	}))
	requireAccepted(t, client, opaque)
	client.Purge(opaque)
	require.Equal(t, []string{"a", "panicked Looked string", "panicked Looked string", "b", "panicked Looked string", "panicked Looked string", "purged a", "purged b"}, order)
}

// Hooks that run in the goroutine of Verify do not get its context, which may end.
func TestHookContext(t *testing.T) {
	told := map[string]<-chan struct{}{}
	client := newClient(t, with(config(newServer()), func(c *introspect.Config) {
		c.Hooks.Looked = func(ctx context.Context, _ introspect.LookEvent) { told["Looked"] = ctx.Done() }
		c.Hooks.Waited = func(ctx context.Context, _ introspect.WaitEvent) { told["Waited"] = ctx.Done() }
		c.Hooks.Panicked = func(ctx context.Context, _ bearergate.PanicEvent) { told["Panicked"] = ctx.Done() }
		c.Check = func(context.Context, *bearergate.Token) error { panic("x") }
	}))
	_, err := client.Verify(t.Context(), opaque)
	require.ErrorIs(t, err, bearergate.ErrMisconfigured)
	require.Equal(t, map[string]<-chan struct{}{"Looked": nil, "Waited": nil, "Panicked": nil}, told)
}

// Nothing runs when nothing is asked.
func TestNoGoroutineIsLeft(t *testing.T) {
	before := runtime.NumGoroutine()
	s := newServer()
	client := newClient(t, with(sharing(s, newStore()), func(c *introspect.Config) { c.PositiveTTL = 20 * time.Millisecond }))
	for i := range 200 {
		_, _ = client.Verify(t.Context(), opaque)
		if i%50 == 0 {
			s.fail(map[bool]func() (*http.Response, error){true: down}[i%100 == 0])
			time.Sleep(time.Millisecond)
		}
	}
	for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before && time.Now().Before(deadline); {
		runtime.Gosched()
	}
	require.LessOrEqual(t, runtime.NumGoroutine(), before)
}

// A hook that never returns costs a moment, not the server.
func TestHookThatHangs(t *testing.T) {
	const moment = time.Second / 10
	run := func(t *testing.T, c introspect.Config, verify func(*introspect.Client) error) {
		start, n := time.Now(), runtime.NumGoroutine()
		client := newClient(t, c)
		for range hookRounds {
			begun := time.Now()
			require.NoError(t, verify(client))
			require.LessOrEqual(t, time.Since(begun), moment+introspect.DefaultStoreTimeout+10*time.Millisecond)
			time.Sleep(10 * time.Millisecond)
		}
		require.Less(t, time.Since(start), 10*time.Minute)
		require.Less(t, runtime.NumGoroutine()-n, 1200)
	}
	for name, hooks := range map[string]func(stop chan struct{}) introspect.Hooks{
		"Called": func(stop chan struct{}) introspect.Hooks {
			return introspect.Hooks{Called: func(context.Context, introspect.CallEvent) { <-stop }}
		},
		"StoreFailed": func(stop chan struct{}) introspect.Hooks {
			return introspect.Hooks{StoreFailed: func(context.Context, introspect.StoreEvent) { <-stop }}
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				stop := make(chan struct{})
				defer close(stop)
				s, st := newServer(), newStore()
				st.err, s.delay = errDown, time.Millisecond
				run(t, with(sharing(s, st), func(c *introspect.Config) { c.Hooks, c.PositiveTTL = hooks(stop), time.Millisecond }), func(client *introspect.Client) error {
					_, err := client.Verify(t.Context(), opaque)
					return err
				})
			})
		})
	}
	t.Run("BreakerChanged", func(t *testing.T) {
		bubble.Test(t, func(t *testing.T) {
			s := newServer()
			stop := make(chan struct{})
			defer close(stop)
			client := newClient(t, with(config(s), func(c *introspect.Config) {
				c.Timeout = moment // what a hook takes of it would be all of it
				c.Hooks.BreakerChanged = func(context.Context, introspect.BreakerEvent) { <-stop }
			}))
			s.fail(status(429))
			for range introspect.BreakerFailures {
				requireRefused(t, client, opaque, unavailable, bearergate.ReasonIntrospectionUnavailable)
			}
			s.fail(nil)
			s.set(func(s *server) { s.delay = moment / 2 })
			time.Sleep(introspect.BreakerMinOpen)
			requireAccepted(t, client, opaque) // the probe
		})
	})
	t.Run("before the retry", func(t *testing.T) {
		bubble.Test(t, func(t *testing.T) {
			s := newServer()
			stop := make(chan struct{})
			defer close(stop)
			client := newClient(t, with(config(s), func(c *introspect.Config) {
				c.Timeout = 3 * moment
				c.Hooks.Called = func(context.Context, introspect.CallEvent) { <-stop }
			}))
			s.fail(func() (*http.Response, error) { s.fail(nil); return down() })
			s.delay = moment / 2
			start := time.Now()
			requireAccepted(t, client, opaque)
			require.LessOrEqual(t, time.Since(start), 3*moment) // the call, and one moment for all events
		})
	})
}

func TestStatusClass(t *testing.T) {
	for status, class := range map[int]string{-1: "", 0: "", 99: "", 100: "1xx", 199: "1xx", 200: "2xx", 299: "2xx", 300: "3xx", 399: "3xx", 499: "4xx", 500: "5xx", 599: "5xx", 600: ""} {
		require.Equal(t, class, introspect.CallEvent{Status: status}.StatusClass(), status)
	}
}
