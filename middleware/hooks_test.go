package middleware_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/bearergate/bearergate/test/kit"
)

func TestDecided(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		slow := bearergate.VerifierFunc(func(ctx context.Context, raw string) (*bearergate.Token, error) {
			time.Sleep(3 * time.Second)
			return accepts(reader).Verify(ctx, raw)
		})
		type key struct{}
		var events []middleware.DecisionEvent
		gate := newGate(t, slow, middleware.Config{Hooks: middleware.Hooks{Decided: func(ctx context.Context, e middleware.DecisionEvent) {
			require.Equal(t, "caller", ctx.Value(key{}), "the context of the request")
			events = append(events, e)
		}}})
		need := scope.All("read", "write")
		mux := http.NewServeMux()
		mux.Handle("/orders/{id}", gate.Require(scope.All("read"))(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			assert.Len(t, events, 1, "told before the handler runs")
			time.Sleep(time.Hour)
		})))
		mux.Handle("/write", gate.Require(need)(forbidden(t)))
		ctx := context.WithValue(context.Background(), key{}, "caller")
		serve := func(method, path, token string) middleware.DecisionEvent {
			events = nil
			r := httptest.NewRequest(method, path, nil).WithContext(ctx)
			r.Header.Set("Authorization", "Bearer "+token)
			mux.ServeHTTP(httptest.NewRecorder(), r)
			require.Len(t, events, 1)
			return events[0]
		}

		e := serve("DELETE", "/orders/7?secret=s3cret", good)
		require.NoError(t, e.Err)
		require.Equal(t, bearergate.Reason(""), e.Reason)
		require.Equal(t, "u1", e.Token.Subject())
		require.Equal(t, []string{"read"}, e.Required.Scopes())
		require.Equal(t, "DELETE", e.Method)
		require.Equal(t, "/orders/{id}", e.Pattern, "not the path")
		require.Equal(t, 3*time.Second, e.Duration, "without the handler")

		e = serve("PROPFIND", "/write", good)
		requireError(t, e.Err, bearergate.ErrInsufficientScope, bearergate.ReasonScope)
		require.Equal(t, bearergate.ReasonScope, e.Reason)
		require.Equal(t, "u1", e.Token.Subject(), "whom it refused is for audit")
		require.Equal(t, need, e.Required)
		require.Equal(t, "_OTHER", e.Method)
		require.Equal(t, "/write", e.Pattern)

		e = serve("get", "/write", "bad")
		requireError(t, e.Err, bearergate.ErrInvalidToken, bearergate.ReasonMalformed)
		require.Nil(t, e.Token)
		require.Equal(t, "_OTHER", e.Method, "a method is compared with case")

		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE"} {
			require.Equal(t, method, serve(method, "/write", "bad").Method)
		}

		events = nil
		_, _, err := gate.Check(bearer("GET", good).WithContext(ctx), need)
		require.ErrorIs(t, err, bearergate.ErrInsufficientScope)
		require.Len(t, events, 1)
		require.Equal(t, "GET", events[0].Method)
		require.Empty(t, events[0].Pattern)
	})
}

func TestAPanickingHookChangesNothing(t *testing.T) {
	kit.EachHook(t, middleware.JoinHooks)
	var panics []bearergate.PanicEvent
	boom := func(context.Context, middleware.DecisionEvent) { panic("boom") }
	report := func(_ context.Context, e bearergate.PanicEvent) { panics = append(panics, e) }
	for name, hooks := range map[string]middleware.Hooks{
		"reported":     {Decided: boom, Panicked: report},
		"not reported": {Decided: boom},
		"in vain":      {Decided: boom, Panicked: func(context.Context, bearergate.PanicEvent) { panic("again") }},
		"aborting":     {Decided: func(context.Context, middleware.DecisionEvent) { panic(http.ErrAbortHandler) }},
	} {
		t.Run(name, func(t *testing.T) {
			gate := newGate(t, accepts(reader), middleware.Config{Hooks: hooks})
			var ran bool
			h := gate.Require(scope.All("read"))(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { ran = true }))
			h.ServeHTTP(httptest.NewRecorder(), bearer("GET", good))
			require.True(t, ran)
			w := httptest.NewRecorder()
			gate.Require(scope.All("read"))(forbidden(t)).ServeHTTP(w, bearer("GET", "bad"))
			require.Equal(t, 401, w.Code)
		})
	}
	event := bearergate.PanicEvent{Where: "Decided", Type: "string"}
	require.Equal(t, []bearergate.PanicEvent{event, event}, panics)
}

func TestJoinHooks(t *testing.T) {
	var calls []string
	decided := func(name string) func(context.Context, middleware.DecisionEvent) {
		return func(_ context.Context, e middleware.DecisionEvent) { calls = append(calls, name+string(e.Reason)) }
	}
	panicked := func(name string) func(context.Context, bearergate.PanicEvent) {
		return func(_ context.Context, e bearergate.PanicEvent) { calls = append(calls, name+e.Where) }
	}
	hooks := []middleware.Hooks{
		{Decided: decided("a ")},
		{},
		{Decided: func(context.Context, middleware.DecisionEvent) { panic("boom") }, Panicked: func(context.Context, bearergate.PanicEvent) { panic("again") }},
		{Panicked: panicked("c ")},
		{Decided: decided("d "), Panicked: panicked("d ")},
	}
	joined := middleware.JoinHooks(hooks...)
	hooks[0] = middleware.Hooks{} // a copy was taken
	gate := newGate(t, accepts(reader), middleware.Config{Hooks: middleware.JoinHooks(joined, middleware.Hooks{Decided: decided("e ")})})
	_, _, err := gate.Check(bearer("GET", "bad"), scope.All("read"))
	require.ErrorIs(t, err, bearergate.ErrInvalidToken)
	require.Equal(t, []string{"a malformed", "c Decided", "d Decided", "d malformed", "e malformed"}, calls)
}

// A function that ends its goroutine decides nothing: the handler does not run, and the
// hook is told that something is broken.
func TestWhoEndsTheGoroutineIsTold(t *testing.T) {
	exits := func(context.Context, string) (*bearergate.Token, error) { runtime.Goexit(); return nil, nil }
	policy := middleware.Allow(func(*http.Request, *bearergate.Token) error { runtime.Goexit(); return nil })
	for name, tc := range map[string]struct {
		verifier bearergate.Verifier
		opts     []middleware.RouteOption
	}{
		"a verifier": {verifier: bearergate.VerifierFunc(exits)},
		"a policy":   {verifier: accepts(reader), opts: []middleware.RouteOption{policy}},
	} {
		events := &log{}
		gate := newGate(t, tc.verifier, middleware.Config{Hooks: events.hooks()})
		h := gate.Require(scope.All("read"), tc.opts...)(forbidden(t))
		require.True(t, kit.EndsGoroutine(func() { h.ServeHTTP(httptest.NewRecorder(), bearer("GET", good)) }), name)
		requireError(t, events.only(t).Err, bearergate.ErrMisconfigured, bearergate.ReasonInternal)
	}
}
