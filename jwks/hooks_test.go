package jwks_test

import (
	"context"
	"reflect"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/stretchr/testify/require"
)

func TestPanics(t *testing.T) { kit.EachHook(t, jwks.JoinHooks) }

func TestHooksThatBreak(t *testing.T) {
	within(t, func(t *testing.T) {
		for name, breakIt := range map[string]func(){
			"panic": func() { panic("secret") }, "exit": runtime.Goexit, "slow": func() { time.Sleep(time.Hour) },
		} {
			s := newServer(t, "k1")
			c, r := newCache(t, s, func(c *jwks.Config) {
				c.Hooks.Fetched = func(context.Context, jwks.FetchEvent) { breakIt() }
			})
			start := time.Now()
			has(t, c, "k1")
			require.LessOrEqual(t, time.Since(start), jwks.DefaultFetchTimeout)
			time.Sleep(11 * time.Minute)
			has(t, c, "k1")
			require.Equal(t, 2, s.count(""))
			if name == "panic" {
				require.Equal(t, []bearergate.PanicEvent{{Where: "Fetched", Type: "string"}, {Where: "Fetched", Type: "string"}}, r.panicked)
				require.NotEmpty(t, r.states, "the other hooks are called")
			}
			time.Sleep(2 * time.Hour)
		}
	})
}

func TestPanickingHooksOnTheWay(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		c, r := newCache(t, s, func(c *jwks.Config) {
			c.Hooks.MissSuppressed = func(context.Context, jwks.MissEvent) { panic(1) }
			c.Hooks.StaleServed = func(context.Context, jwks.StaleEvent) { panic(errDown) }
			c.Hooks.StateChanged = func(context.Context, jwks.StateEvent) { panic(c) }
			c.Hooks.KeySkipped = func(context.Context, jwks.KeyEvent) { panic("secret") }
			noted := c.Hooks.Panicked
			c.Hooks.Panicked = func(ctx context.Context, e bearergate.PanicEvent) { noted(ctx, e); panic("again") }
		})
		has(t, c, "k1")
		hasNot(t, c, "x")
		hasNot(t, c, "x")
		s.fail("", always(200, "application/json", `{"keys":[{}]}`))
		time.Sleep(12 * time.Minute)
		has(t, c, "k1")
		seen := map[string]bool{}
		for _, e := range r.panicked {
			seen[e.Where] = true
		}
		require.Equal(t, map[string]bool{"MissSuppressed": true, "StaleServed": true, "StateChanged": true, "KeySkipped": true}, seen)
		require.Zero(t, r.dead)
	})
}

func TestJoinHooks(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		a, b := &recorder{}, &recorder{}
		broken := jwks.Hooks{Fetched: func(context.Context, jwks.FetchEvent) { panic("x") }}
		c, _ := newCache(t, s, func(c *jwks.Config) {
			c.Hooks = jwks.JoinHooks(a.hooks(), jwks.Hooks{}, broken, b.hooks())
		})
		hasNot(t, c, "x")
		hasNot(t, c, "x")
		hasNot(t, c, "x")
		for _, r := range []*recorder{a, b} {
			require.Len(t, r.fetched, 2)
			require.Len(t, r.waited, 2)
			require.Len(t, r.states, 1)
			require.Len(t, r.suppressed, 1)
			require.Len(t, r.panicked, 2)
		}
	})
}

// Each hook is called where it is the only one, and where two are joined.
func TestHooksOneByOne(t *testing.T) {
	within(t, func(t *testing.T) {
		all := reflect.TypeFor[jwks.Hooks]()
		for i := range all.NumField() {
			name := all.Field(i).Name
			calls := 0
			one := func() (h jwks.Hooks) {
				reflect.ValueOf(&h).Elem().Field(i).Set(reflect.MakeFunc(all.Field(i).Type, func(args []reflect.Value) []reflect.Value {
					require.Nil(t, args[0].Interface().(context.Context).Done(), "%s: the context of the call", name)
					calls++
					return nil
				}))
				return h
			}
			hooks := jwks.JoinHooks(one(), one())
			if name == "Panicked" {
				hooks.Fetched = func(context.Context, jwks.FetchEvent) { panic("x") }
			}
			s := newServer(t, "k1")
			s.keys["bad"] = []byte(`{"kty":"oct"}`)
			c, _ := newCache(t, s, func(c *jwks.Config) { c.Hooks = hooks })
			require.NoError(t, c.Refresh(t.Context()))
			if name == "StateChanged" {
				require.Equal(t, 2, calls, "told with the fetch, not at the next call")
			}
			hasNot(t, c, "x")
			hasNot(t, c, "x")
			s.add(t, "k2")
			require.NoError(t, c.Refresh(t.Context()))
			uses(t, c, "k2")
			s.fail("", down)
			time.Sleep(12 * time.Minute)
			has(t, c, "k1")
			require.GreaterOrEqual(t, calls, 2, name)
			require.Zero(t, calls%2, "%s: both are called", name)
		}

		// What is not there does not panic either.
		s := newServer(t, "k1")
		c, r := newCache(t, s, func(c *jwks.Config) { c.Hooks = jwks.Hooks{Panicked: c.Hooks.Panicked, Fetched: c.Hooks.Fetched} })
		hasNot(t, c, "x")
		hasNot(t, c, "x")
		hasNot(t, c, "x")
		require.NotEmpty(t, r.fetched)
		require.Empty(t, r.panicked)
	})
}

// All who wait are told which fetch they waited for, after it was told.
func TestWaited(t *testing.T) {
	within(t, func(t *testing.T) {
		type caller struct{}
		s := newServer(t, "k1")
		s.delay = time.Second
		var mu sync.Mutex
		waits := map[any]jwks.WaitEvent{}
		var r *recorder
		c, r := newCache(t, s, func(c *jwks.Config) {
			c.Issuer = issuer
			c.Hooks.Waited = func(ctx context.Context, e jwks.WaitEvent) {
				mu.Lock()
				defer mu.Unlock()
				require.NoError(t, ctx.Err())
				require.Equal(t, r.lastFetch(t).ID, e.FetchID, "told after the fetch")
				waits[ctx.Value(caller{})] = e
				panic("the others are told all the same")
			}
		})
		keys := func(who any, patience time.Duration) error {
			ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), caller{}, who), patience)
			defer cancel()
			_, err := c.Keys(ctx, "k1", "ES256")
			return err
		}
		var all sync.WaitGroup
		for i := range 10 {
			all.Go(func() { require.NoError(t, keys(i, time.Minute)) })
		}
		all.Go(func() {
			requireError(t, keys("gone", time.Second/2), bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)
		})
		all.Wait()
		require.NoError(t, keys("late", time.Minute), "a hit waits for nothing")

		require.Len(t, r.fetched, 1)
		require.NotZero(t, r.fetched[0].ID)
		require.Len(t, waits, 10)
		for who, e := range waits {
			require.Equal(t, jwks.WaitEvent{FetchID: r.fetched[0].ID, Issuer: issuer, URL: setURL}, e, who)
		}

		require.NoError(t, c.Refresh(context.WithValue(t.Context(), caller{}, "refresh")))
		require.Equal(t, r.lastFetch(t).ID, waits["refresh"].FetchID)
		require.NotEqual(t, waits[0].FetchID, waits["refresh"].FetchID)

		s.fail("", down)
		c, r = newCache(t, s, func(c *jwks.Config) {
			c.Hooks.Waited = func(_ context.Context, e jwks.WaitEvent) { waits["failed"] = e }
		})
		requireError(t, keys("", time.Minute), bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)
		require.Equal(t, r.lastFetch(t).ID, waits["failed"].FetchID)
		delete(waits, "failed")
		requireError(t, keys("", time.Minute), bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)
		requireError(t, c.Refresh(t.Context()), bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)
		require.NotContains(t, waits, "failed", "nobody waits during the backoff")
	})
}

// The events carry the values of the request that caused them, and a context
// that has not ended even if that request has.
func TestHookContext(t *testing.T) {
	within(t, func(t *testing.T) {
		type key struct{}
		s := newServer(t, "k1")
		s.delay = 2 * time.Second
		var got any
		var dead error
		c, _ := newCache(t, s, func(c *jwks.Config) {
			c.Hooks.Fetched = func(ctx context.Context, _ jwks.FetchEvent) { got, dead = ctx.Value(key{}), ctx.Err() }
		})
		ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), key{}, "trace"), time.Second)
		defer cancel()
		_, err := c.Keys(ctx, "k1", "ES256")
		requireError(t, err, bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		require.Equal(t, "trace", got)
		require.NoError(t, dead)
		require.Nil(t, s.last.Context().Value(key{}), "the fetch itself knows nothing of the request")

		// A change that a call notices is told in the goroutine of that call.
		var noticed []jwks.State
		c, _ = newCache(t, newServer(t, "k1"), func(c *jwks.Config) {
			c.Hooks.StateChanged = func(ctx context.Context, e jwks.StateEvent) {
				require.Nil(t, ctx.Done())
				noticed = append(noticed, e.To)
			}
		})
		has(t, c, "k1")
		time.Sleep(9 * time.Minute)
		has(t, c, "k1")
		synctest.Wait()
		require.Contains(t, noticed, jwks.StateAhead)
	})
}
