package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/bubble"
)

func TestAllow(t *testing.T) {
	custom := errors.New("s3cret policy")
	says := func(err error) func(*http.Request, *bearergate.Token) error {
		return func(*http.Request, *bearergate.Token) error { return err }
	}
	for name, tc := range map[string]struct {
		policy func(*http.Request, *bearergate.Token) error
		kind   error
		reason bearergate.Reason
		status int
	}{
		"yes":       {policy: says(nil), status: 200},
		"no":        {policy: says(custom), kind: bearergate.ErrForbidden, reason: bearergate.ReasonPolicy, status: 403},
		"tenant":    {policy: says(&bearergate.Error{Kind: bearergate.ErrForbidden, Reason: bearergate.ReasonTenant}), kind: bearergate.ErrForbidden, reason: bearergate.ReasonTenant, status: 403},
		"no outage": {policy: says(bearergate.ErrUnavailable), kind: bearergate.ErrUnavailable, reason: bearergate.ReasonStoreUnavailable, status: 503},
		"a timeout": {policy: says(fmt.Errorf("engine: %w", context.DeadlineExceeded)), kind: bearergate.ErrUnavailable, reason: bearergate.ReasonStoreUnavailable, status: 503},
		"a panic":   {policy: func(*http.Request, *bearergate.Token) error { panic(custom) }, kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonInternal, status: 500},
	} {
		t.Run(name, func(t *testing.T) {
			events := &log{}
			gate := newGate(t, accepts(reader), middleware.Config{Hooks: events.hooks()})
			for _, opts := range [][]middleware.RouteOption{
				{middleware.Allow(tc.policy)}, {middleware.Allow(says(nil), tc.policy)}, {middleware.Allow(says(nil)), middleware.Allow(tc.policy)},
			} {
				w := httptest.NewRecorder()
				gate.Require(scope.All("read"), opts...)(whoami(t)).ServeHTTP(w, bearer("GET", good))
				require.Equal(t, tc.status, w.Code)
				require.Empty(t, w.Header().Values("WWW-Authenticate"))
				e := events.only(t)
				require.Equal(t, "u1", e.Token.Subject())
				if tc.kind == nil {
					require.Equal(t, "u1", w.Body.String())
					continue
				}
				require.NotContains(t, w.Body.String(), "s3cret")
				requireError(t, e.Err, tc.kind, tc.reason)
				refused(t, gate, bearer("GET", good), scope.All("read"), tc.kind, tc.reason, opts...)
				events.only(t)
				if tc.status == 403 {
					require.Equal(t, problem("Forbidden", 403, bodyForbidden), w.Body.String())
				}
				// In a roll-out, the token is as good as it was.
				w = httptest.NewRecorder()
				trial := newGate(t, accepts(reader), middleware.Config{InsecureReportOnly: true})
				trial.Require(scope.All("read"), opts...)(whoami(t)).ServeHTTP(w, bearer("GET", good))
				who := "nobody"
				if errors.Is(tc.kind, bearergate.ErrForbidden) {
					who = "u1"
				}
				require.Equal(t, who, w.Body.String())
			}
		})
	}
}

// What the policies of a route wait for is bounded, for all of them together.
func TestAllowIsBoundedInTime(t *testing.T) {
	waits := func(d time.Duration) func(*http.Request, *bearergate.Token) error {
		return func(r *http.Request, _ *bearergate.Token) error {
			select {
			case <-time.After(d):
				return nil
			case <-r.Context().Done():
				return r.Context().Err()
			}
		}
	}
	deaf := func(err error) func(*http.Request, *bearergate.Token) error {
		return func(*http.Request, *bearergate.Token) error { time.Sleep(3 * time.Second); return err }
	}
	require.Equal(t, 2*time.Second, middleware.PolicyTimeout)
	type policies = []func(*http.Request, *bearergate.Token) error
	for name, tc := range map[string]struct {
		policies policies
		gone     time.Duration // when the caller goes away; default: never
		kind     error
		reason   bearergate.Reason
		took     time.Duration
	}{
		"in time":            {policies: policies{waits(1999 * time.Millisecond)}, took: 1999 * time.Millisecond},
		"too late":           {policies: policies{waits(time.Hour)}, kind: bearergate.ErrUnavailable, reason: bearergate.ReasonStoreUnavailable, took: 2 * time.Second},
		"too late together":  {policies: policies{waits(1500 * time.Millisecond), waits(time.Second)}, kind: bearergate.ErrUnavailable, reason: bearergate.ReasonStoreUnavailable, took: 2 * time.Second},
		"the caller left":    {policies: policies{waits(time.Hour)}, gone: time.Second, kind: bearergate.ErrUnavailable, reason: bearergate.ReasonCanceled, took: time.Second},
		"deaf, and says no":  {policies: policies{deaf(errors.New("no"))}, kind: bearergate.ErrUnavailable, reason: bearergate.ReasonStoreUnavailable, took: 3 * time.Second},
		"deaf, and means it": {policies: policies{deaf(bearergate.ErrForbidden)}, kind: bearergate.ErrForbidden, reason: bearergate.ReasonPolicy, took: 3 * time.Second},
		"deaf, and says yes": {policies: policies{deaf(nil)}, took: 3 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				if tc.gone != 0 {
					time.AfterFunc(tc.gone, cancel)
				}
				for _, opts := range [][]middleware.RouteOption{{middleware.Allow(tc.policies...)}, {middleware.Allow(policy), middleware.Allow(tc.policies...)}} {
					events := &log{}
					gate := newGate(t, accepts(reader), middleware.Config{Hooks: events.hooks()})
					start := time.Now()
					w := httptest.NewRecorder()
					h := forbidden(t)
					if tc.kind == nil {
						h = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
							time.Sleep(time.Hour)
							assert.NoError(t, r.Context().Err(), "the time is that of the policies, not of the handler")
						})
					}
					gate.Require(scope.All("read"), opts...)(h).ServeHTTP(w, bearer("GET", good).WithContext(ctx))
					e := events.only(t)
					if tc.kind == nil {
						require.NoError(t, e.Err)
					} else {
						requireError(t, e.Err, tc.kind, tc.reason)
						require.Equal(t, tc.took, time.Since(start))
					}
					require.Equal(t, tc.took, e.Duration)
					if tc.reason == bearergate.ReasonStoreUnavailable {
						require.Equal(t, 503, w.Code)
					}
					if tc.gone != 0 {
						return // the second caller would have left before
					}
				}
			})
		})
	}
}

// A policy is asked last, about a token that satisfies everything else, and never
// about a stranger.
func TestAllowIsAskedLast(t *testing.T) {
	asked := 0
	policy := middleware.Allow(func(r *http.Request, token *bearergate.Token) error {
		asked++
		require.Equal(t, "/orders", r.URL.Path)
		require.Equal(t, "u1", token.Subject())
		return errors.New("no")
	})
	gate := newGate(t, accepts(reader), middleware.Config{})
	refused(t, gate, bearer("GET", "bad"), scope.All("read"), bearergate.ErrInvalidToken, bearergate.ReasonMalformed, policy)
	refused(t, gate, bearer("GET", good), scope.All("write"), bearergate.ErrInsufficientScope, bearergate.ReasonScope, policy)
	refused(t, gate, bearer("GET", good), scope.All("read"), bearergate.ErrInsufficientAuthentication, bearergate.ReasonAuthentication, policy, middleware.StepUp([]string{"mfa"}, 0))
	w := httptest.NewRecorder()
	gate.Optional(scope.All("read"), policy)(whoami(t)).ServeHTTP(w, httptest.NewRequest("GET", "/orders", nil))
	require.Equal(t, "nobody", w.Body.String())
	require.Zero(t, asked)
	w = httptest.NewRecorder()
	gate.Optional(scope.All("read"), policy)(forbidden(t)).ServeHTTP(w, bearer("GET", good))
	require.Equal(t, 403, w.Code)
	require.Equal(t, 1, asked)
}
