package introspect_test

import (
	"context"
	"errors"
	"fmt"
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

// One caller's end is not the others', and not the server's fault.
func TestCanceled(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newServer()
		s.delay = time.Second
		client := newClient(t, config(s))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		tok, err := client.Verify(ctx, opaque)
		requireError(t, tok, err, unavailable, bearergate.ReasonCanceled)
		require.ErrorIs(t, err, context.Canceled)
		require.Zero(t, s.requests())

		ctx, cancel = context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		start := time.Now()
		tok, err = client.Verify(ctx, opaque)
		requireError(t, tok, err, unavailable, bearergate.ReasonIntrospectionUnavailable)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 100*time.Millisecond, time.Since(start))
		time.Sleep(time.Second) // the call goes on, and is not wasted
		requireAccepted(t, client, opaque)
		require.Equal(t, 1, s.requests())
	})
}

// req: INT-045
func TestOneCallForAll(t *testing.T) {
	for _, tokens := range []int{1, 100} {
		t.Run(fmt.Sprint(tokens), func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				s := newServer()
				s.delay = 100 * time.Millisecond
				for i := range tokens {
					s.answers[fmt.Sprint("token-", i)] = answer(nil)
				}
				client := newClient(t, config(s))
				many(t, client, 10_000, func(i int) string { return fmt.Sprint("token-", i%tokens) })
				require.Equal(t, tokens, s.requests())
				require.LessOrEqual(t, s.max, introspect.DefaultMaxCalls)
				many(t, client, 1000, func(i int) string { return fmt.Sprint("token-", i%tokens) })
				require.Equal(t, tokens, s.requests())
			})
		})
	}
}

func TestFirstCallerCancels(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newServer()
		s.delay = time.Second
		client := newClient(t, config(s))
		ctx, cancel := context.WithCancel(t.Context())
		var first error
		var wg sync.WaitGroup
		wg.Go(func() { _, first = client.Verify(ctx, opaque) })
		synctest.Wait()
		errs := make([]error, 100)
		for i := range errs {
			wg.Go(func() { _, errs[i] = client.Verify(t.Context(), opaque) })
		}
		synctest.Wait()
		cancel()
		synctest.Wait()
		require.ErrorIs(t, first, context.Canceled)
		wg.Wait()
		require.NoError(t, errors.Join(errs...))
		require.Equal(t, 1, s.requests())
	})
}

// A transport that panics or ends its goroutine fails the call, and no caller hangs.
func TestCallIsIsolated(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newServer()
		var outcomes []introspect.Outcome
		client := newClient(t, with(config(s), func(c *introspect.Config) {
			c.Hooks.Called = func(_ context.Context, e introspect.CallEvent) { outcomes = append(outcomes, e.Outcome) }
		}))
		for _, fault := range []func() (*http.Response, error){
			func() (*http.Response, error) { panic(opaque) },
			func() (*http.Response, error) { runtime.Goexit(); return nil, nil },
		} {
			s.fail(fault)
			err := requireRefused(t, client, opaque, unavailable, bearergate.ReasonIntrospectionUnavailable)
			require.NotContains(t, err.Error(), opaque)
			time.Sleep(time.Second)
		}
		// One that ignores its context does not make anybody wait longer.
		s.fail(func() (*http.Response, error) { time.Sleep(time.Minute); return nil, errDown })
		start := time.Now()
		requireRefused(t, client, opaque, unavailable, bearergate.ReasonIntrospectionUnavailable)
		require.Equal(t, introspect.DefaultTimeout+100*time.Millisecond, time.Since(start))
		time.Sleep(time.Minute)
		s.fail(nil)
		requireAccepted(t, client, opaque)
		require.Equal(t, []introspect.Outcome{introspect.OutcomePanic, introspect.OutcomePanic, introspect.OutcomeTimeout, introspect.OutcomeActive}, outcomes)
	})
}

// A hook that panics, ends its goroutine or does not return for an hour does not
// disturb the call.
func TestHooksAreIsolated(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		for _, hook := range []func(){runtime.Goexit, func() { time.Sleep(time.Hour) }, func() { panic(opaque) }} {
			client := newClient(t, with(config(newServer()), func(c *introspect.Config) {
				c.Hooks.Called = func(context.Context, introspect.CallEvent) { hook() }
			}))
			requireAccepted(t, client, opaque)
		}
		time.Sleep(2 * time.Hour)
	})
}
