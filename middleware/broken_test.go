package middleware_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/bubble"
)

// RES-008: a broken verifier closes the route.
func TestABrokenVerifierRefuses(t *testing.T) {
	for name, v := range map[string]bearergate.VerifierFunc{
		"panic":           func(context.Context, string) (*bearergate.Token, error) { panic("s3cret " + good) },
		"nothing":         func(context.Context, string) (*bearergate.Token, error) { return nil, nil },
		"the zero token":  func(context.Context, string) (*bearergate.Token, error) { return &bearergate.Token{}, nil },
		"a foreign error": func(context.Context, string) (*bearergate.Token, error) { return nil, errors.New("s3cret") },
		"token and error": func(context.Context, string) (*bearergate.Token, error) {
			return bearergate.NewToken(reader), errors.New("s3cret")
		},
	} {
		t.Run(name, func(t *testing.T) {
			events := &log{}
			gate := newGate(t, v, middleware.Config{Hooks: events.hooks()})
			w := httptest.NewRecorder()
			gate.Require(scope.Requirement{})(forbidden(t)).ServeHTTP(w, bearer("GET", good))
			require.Equal(t, 500, w.Code)
			require.Empty(t, w.Header().Values("WWW-Authenticate"))
			require.NotContains(t, w.Body.String(), "s3cret")
			e := events.only(t)
			requireError(t, e.Err, bearergate.ErrMisconfigured, bearergate.ReasonInternal)
			require.Nil(t, e.Token)
		})
	}
}

// A context error of a verifier's own, while the caller waits, is an outage of
// what it waited for.
func TestATimeoutOfTheVerifierIsAnOutage(t *testing.T) {
	for _, err := range []error{context.DeadlineExceeded, context.Canceled} {
		w := httptest.NewRecorder()
		gate := newGate(t, answers(err), middleware.Config{})
		gate.Require(scope.Requirement{})(forbidden(t)).ServeHTTP(w, bearer("GET", good))
		require.Equal(t, 503, w.Code)
		refused(t, gate, bearer("GET", good), scope.Requirement{}, bearergate.ErrUnavailable, bearergate.ReasonStoreUnavailable)
	}
}

// untouchable fails the test if anything is written.
type untouchable struct{ t testing.TB }

func (w untouchable) Header() http.Header       { w.t.Error("a header was asked for"); return http.Header{} }
func (w untouchable) WriteHeader(int)           { w.t.Error("a status was written") }
func (w untouchable) Write([]byte) (int, error) { w.t.Error("a body was written"); return 0, nil }

func TestNothingIsWrittenToACallerThatLeft(t *testing.T) {
	waits := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	for name, tc := range map[string]struct {
		v    bearergate.Verifier
		c    middleware.Config
		opts []middleware.RouteOption
	}{
		"the context's error": {v: bearergate.VerifierFunc(func(ctx context.Context, _ string) (*bearergate.Token, error) { return nil, waits(ctx) })},
		"as the contract has it": {v: bearergate.VerifierFunc(func(ctx context.Context, _ string) (*bearergate.Token, error) {
			return nil, &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonCanceled, Cause: waits(ctx)}
		})},
		"a fetch that broke off": {v: bearergate.VerifierFunc(func(ctx context.Context, _ string) (*bearergate.Token, error) {
			_ = waits(ctx)
			return nil, &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonKeysUnavailable}
		})},
		"Extract": {v: accepts(reader), c: middleware.Config{Extract: func(r *http.Request) (bearergate.Credentials, error) { return sent(""), waits(r.Context()) }}},
		"a Binding": {v: accepts(holder), c: middleware.Config{Bindings: []bearergate.Binding{certificate(func(ctx context.Context, _ bearergate.Call, _ *bearergate.Token) (bearergate.Reply, error) {
			return nil, waits(ctx)
		})}}},
		"a policy": {v: accepts(reader), opts: []middleware.RouteOption{middleware.Allow(func(r *http.Request, _ *bearergate.Token) error { return waits(r.Context()) })}},
	} {
		for _, timeout := range []bool{false, true} {
			bubble.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(context.Background())
				want := context.Canceled
				if timeout {
					ctx, cancel = context.WithTimeout(ctx, time.Second)
					want = context.DeadlineExceeded
				} else {
					time.AfterFunc(time.Second, cancel)
				}
				defer cancel()
				events := &log{}
				tc.c.Hooks = events.hooks()
				gate := newGate(t, tc.v, tc.c)
				// Clients that leave cancel. A deadline is of this server's making.
				w := httptest.NewRecorder()
				if timeout {
					gate.Require(scope.All("read"), tc.opts...)(forbidden(t)).ServeHTTP(w, bearer("GET", good).WithContext(ctx))
					require.Equal(t, 503, w.Code)
					require.NotEmpty(t, w.Header().Get("Retry-After"))
				} else {
					gate.Require(scope.All("read"), tc.opts...)(forbidden(t)).ServeHTTP(untouchable{t}, bearer("GET", good).WithContext(ctx))
				}
				e := events.only(t)
				reason := bearergate.ReasonCanceled
				if timeout {
					reason = bearergate.ReasonStoreUnavailable
				}
				if timeout && name == "a fetch that broke off" {
					reason = bearergate.ReasonKeysUnavailable
				} else {
					require.ErrorIs(t, e.Err, want, name)
				}
				requireError(t, e.Err, bearergate.ErrUnavailable, reason)
				require.Equal(t, reason, e.Reason)
				require.Equal(t, time.Second, e.Duration)
			})
		}
	}

	// A decision that was reached stays one: leaving early does not hide a forged token from the metrics.
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	refused(t, newGate(t, accepts(reader), middleware.Config{}), bearer("GET", "forged").WithContext(ctx), scope.All("read"), bearergate.ErrInvalidToken, bearergate.ReasonMalformed)
	w := httptest.NewRecorder()
	newGate(t, accepts(reader), middleware.Config{}).Require(scope.All("read"))(forbidden(t)).ServeHTTP(w, bearer("GET", "forged").WithContext(ctx))
	require.Equal(t, 401, w.Code, "it is answered, too")
	refused(t, newGate(t, answers(errors.New("x")), middleware.Config{}), bearer("GET", good).WithContext(ctx), scope.All("read"), bearergate.ErrMisconfigured, bearergate.ReasonInternal)
}
