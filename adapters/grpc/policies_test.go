package grpcgate_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/bearergate/bearergate"
	grpcgate "github.com/bearergate/bearergate/adapters/grpc"
	"github.com/bearergate/bearergate/policy"
	"github.com/bearergate/bearergate/scope"
)

type decide = func(context.Context, string, *bearergate.Token) error

func says(err error) decide {
	return func(context.Context, string, *bearergate.Token) error { return err }
}

// What a policy says, and what the client gets, for calls and streams alike.
func TestPolicies(t *testing.T) {
	custom := errors.New("s3cret policy")
	for name, tc := range map[string]struct {
		policies []decide
		kind     error
		reason   bearergate.Reason
		code     codes.Code
		wire     string
	}{
		"yes":           {policies: []decide{says(nil)}},
		"all agree":     {policies: []decide{says(nil), says(nil)}},
		"no":            {policies: []decide{says(custom)}, kind: bearergate.ErrForbidden, reason: bearergate.ReasonPolicy, code: codes.PermissionDenied, wire: "FORBIDDEN"},
		"the second no": {policies: []decide{says(nil), says(custom)}, kind: bearergate.ErrForbidden, reason: bearergate.ReasonPolicy, code: codes.PermissionDenied, wire: "FORBIDDEN"},
		"the first no":  {policies: []decide{says(custom), func(context.Context, string, *bearergate.Token) error { panic("asked") }}, kind: bearergate.ErrForbidden, reason: bearergate.ReasonPolicy, code: codes.PermissionDenied, wire: "FORBIDDEN"},
		"with a reason": {policies: []decide{says(&bearergate.Error{Kind: bearergate.ErrForbidden, Reason: bearergate.ReasonTenant})}, kind: bearergate.ErrForbidden, reason: bearergate.ReasonTenant, code: codes.PermissionDenied, wire: "FORBIDDEN"},
		"an outage":     {policies: []decide{says(bearergate.ErrUnavailable)}, kind: bearergate.ErrUnavailable, reason: bearergate.ReasonStoreUnavailable, code: codes.Unavailable, wire: "TEMPORARILY_UNAVAILABLE"},
		"a timeout":     {policies: []decide{says(fmt.Errorf("engine: %w", context.DeadlineExceeded))}, kind: bearergate.ErrUnavailable, reason: bearergate.ReasonStoreUnavailable, code: codes.Unavailable, wire: "TEMPORARILY_UNAVAILABLE"},
		"a panic":       {policies: []decide{func(context.Context, string, *bearergate.Token) error { panic(custom) }}, kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonInternal, code: codes.Internal, wire: "MISCONFIGURED"},
	} {
		t.Run(name, func(t *testing.T) {
			var seen events
			gate, err := grpcgate.New(answers(reader(nil), nil), grpcgate.Config{
				Authenticated: []string{"/a.S/*"}, Hooks: seen.hooks(),
				Policies: map[string][]decide{"/a.S/*": tc.policies},
			})
			require.NoError(t, err)
			ctx := incoming(t.Context(), "x")
			_, unary := gate.Unary(ctx, nil, &grpc.UnaryServerInfo{FullMethod: "/a.S/One"}, nothing)
			stream := gate.Stream(nil, &fakeStream{ctx: ctx}, &grpc.StreamServerInfo{FullMethod: "/a.S/One"}, func(any, grpc.ServerStream) error { return nil })
			decided := seen.take()
			require.Len(t, decided, 2)
			for i, err := range []error{unary, stream} {
				require.Equal(t, "alice", decided[i].Token.Subject(), "for audit")
				if tc.kind == nil {
					require.NoError(t, err)
					require.NoError(t, decided[i].Err)
					continue
				}
				requireStatus(t, err, tc.code, tc.wire)
				require.NotContains(t, err.Error(), "s3cret")
				requireError(t, decided[i].Err, tc.kind, tc.reason)
			}
		})
	}
}

// Which policy is asked about which method, with what, and after what.
func TestWhomPoliciesAreAskedAbout(t *testing.T) {
	var asked []string
	named := func(name string) []decide {
		return []decide{func(ctx context.Context, fullMethod string, t *bearergate.Token) error {
			device := metadata.ValueFromIncomingContext(ctx, "device")
			asked = append(asked, fmt.Sprint(name, " ", fullMethod, " ", t.Subject(), " ", device))
			return nil
		}}
	}
	policies := map[string][]decide{"/a.S/*": named("service"), "/a.S/Write": named("write"), "/a.S/Strong": named("strong")}
	gate, err := grpcgate.New(answers(reader(nil), nil), grpcgate.Config{
		Methods:       map[string]scope.Requirement{"/a.S/Write": scope.All("write")},
		Authenticated: []string{"/a.S/*", "/a.S/Own", "/a.S/Strong"},
		Public:        []string{"/a.S/Open"},
		StepUp:        map[string]bearergate.StepUp{"/a.S/Strong": {ACR: []string{"mfa"}}},
		Policies:      policies,
	})
	require.NoError(t, err)
	policies["/a.S/*"][0] = says(errors.New("changed after New"))
	for name, tc := range map[string]struct {
		method, token string
		asked         string // "": nobody
	}{
		"of a service":         {method: "/a.S/One", token: "x", asked: "service /a.S/One alice [d1]"},
		"as the client writes": {method: "/a.S/", token: "x", asked: "service /a.S/ alice [d1]"},
		"named by itself":      {method: "/a.S/Own", token: "x"},
		"public":               {method: "/a.S/Open", token: "x"},
		"a stranger":           {method: "/a.S/One"},
		"without the scope":    {method: "/a.S/Write", token: "x"},
		"weakly authenticated": {method: "/a.S/Strong", token: "x"},
		"unlisted":             {method: "/a.T/One", token: "x"},
	} {
		t.Run(name, func(t *testing.T) {
			asked = nil
			pairs := []string{"device", "d1"}
			if tc.token != "" {
				pairs = append(pairs, "authorization", "Bearer "+tc.token)
			}
			_, _ = gate.Unary(metadata.NewIncomingContext(t.Context(), metadata.Pairs(pairs...)), nil, &grpc.UnaryServerInfo{FullMethod: tc.method}, nothing)
			if tc.asked == "" {
				require.Empty(t, asked)
			} else {
				require.Equal(t, []string{tc.asked}, asked)
			}
		})
	}
}

// What the policies of a call wait for is bounded, for all of them together.
func TestPoliciesAreBoundedInTime(t *testing.T) {
	require.Equal(t, 2*time.Second, grpcgate.PolicyTimeout)
	waits := func(d time.Duration) decide {
		return func(ctx context.Context, _ string, _ *bearergate.Token) error {
			select {
			case <-time.After(d):
				return nil
			case <-ctx.Done():
				return errors.New("the engine's own words")
			}
		}
	}
	for name, tc := range map[string]struct {
		policies []decide
		kind     error
		reason   bearergate.Reason
		took     time.Duration
	}{
		"in time":           {policies: []decide{waits(1999 * time.Millisecond)}, took: 1999 * time.Millisecond},
		"too late":          {policies: []decide{waits(time.Hour)}, kind: bearergate.ErrUnavailable, reason: bearergate.ReasonStoreUnavailable, took: 2 * time.Second},
		"too late together": {policies: []decide{waits(1500 * time.Millisecond), waits(time.Second)}, kind: bearergate.ErrUnavailable, reason: bearergate.ReasonStoreUnavailable, took: 2 * time.Second},
		"a deaf one is believed": {policies: []decide{func(context.Context, string, *bearergate.Token) error {
			time.Sleep(3 * time.Second)
			return bearergate.ErrForbidden
		}},
			kind: bearergate.ErrForbidden, reason: bearergate.ReasonPolicy, took: 3 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var seen events
				gate, err := grpcgate.New(answers(reader(nil), nil), grpcgate.Config{Authenticated: []string{"/a.S/*"}, Hooks: seen.hooks(), Policies: map[string][]decide{"/a.S/*": tc.policies}})
				require.NoError(t, err)
				start := time.Now()
				_, _ = gate.Unary(incoming(t.Context(), "x"), nil, &grpc.UnaryServerInfo{FullMethod: "/a.S/One"}, nothing)
				require.Equal(t, tc.took, time.Since(start))
				decided := seen.take()
				require.Len(t, decided, 1)
				if tc.kind == nil {
					require.NoError(t, decided[0].Err)
					return
				}
				requireError(t, decided[0].Err, tc.kind, tc.reason)
			})
		})
	}
	t.Run("the deadline of the call", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var seen events
			gate, err := grpcgate.New(answers(reader(nil), nil), grpcgate.Config{Authenticated: []string{"/a.S/*"}, Hooks: seen.hooks(),
				Policies: map[string][]decide{"/a.S/*": {func(ctx context.Context, _ string, _ *bearergate.Token) error { <-ctx.Done(); return ctx.Err() }}}})
			require.NoError(t, err)
			ctx, done := context.WithTimeout(incoming(t.Context(), "x"), time.Second)
			defer done()
			start := time.Now()
			_, err = gate.Unary(ctx, nil, &grpc.UnaryServerInfo{FullMethod: "/a.S/One"}, nothing)
			requireStatus(t, err, codes.Unavailable, "TEMPORARILY_UNAVAILABLE")
			require.Equal(t, 990*time.Millisecond, time.Since(start), "a moment before the client takes its call back")
			requireError(t, seen.take()[0].Err, bearergate.ErrUnavailable, bearergate.ReasonStoreUnavailable)
		})
	})
}

// A policy that ends its goroutine opens nothing, and the hook is told.
func TestAPolicyThatEndsItsGoroutine(t *testing.T) {
	var seen events
	gate, err := grpcgate.New(answers(reader(nil), nil), grpcgate.Config{Authenticated: []string{"/a.S/*"}, Hooks: seen.hooks(),
		Policies: map[string][]decide{"/a.S/*": {func(context.Context, string, *bearergate.Token) error { runtime.Goexit(); return nil }}}})
	require.NoError(t, err)
	var ran atomic.Bool
	var all sync.WaitGroup
	all.Go(func() {
		_, _ = gate.Unary(incoming(t.Context(), "x"), nil, &grpc.UnaryServerInfo{FullMethod: "/a.S/One"}, func(context.Context, any) (any, error) { ran.Store(true); return nil, nil })
	})
	all.Wait()
	require.False(t, ran.Load())
	requireError(t, seen.take()[0].Err, bearergate.ErrMisconfigured, bearergate.ReasonInternal)
}

// With Reverify, an open stream is asked about again, with the token as it is then.
func TestPoliciesAreAskedAgain(t *testing.T) {
	outage := says(bearergate.ErrUnavailable)
	for name, tc := range map[string]struct {
		answers []decide // to the first question, the second…; the last one to all that follow
		ends    int      // after that many intervals; 0: never
		kind    error
		reason  bearergate.Reason
		code    codes.Code
		wire    string
	}{
		"agrees throughout": {answers: []decide{says(nil)}},
		"changes its mind":  {answers: []decide{says(nil), says(nil), says(errors.New("no"))}, ends: 2, kind: bearergate.ErrForbidden, reason: bearergate.ReasonPolicy, code: codes.PermissionDenied, wire: "FORBIDDEN"},
		"an outage":         {answers: []decide{says(nil), outage, says(nil)}},
		"a long outage":     {answers: []decide{says(nil), outage}, ends: 2, kind: bearergate.ErrUnavailable, reason: bearergate.ReasonStoreUnavailable, code: codes.Unavailable, wire: "TEMPORARILY_UNAVAILABLE"},
		"breaks": {answers: []decide{says(nil), func(context.Context, string, *bearergate.Token) error { panic("boom") }}, ends: 1,
			kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonInternal, code: codes.Internal, wire: "MISCONFIGURED"},
		"looks at the token": {answers: []decide{func(_ context.Context, fullMethod string, t *bearergate.Token) error {
			if t.ACR() == "3" && fullMethod == duplex {
				return bearergate.ErrForbidden
			}
			return nil
		}}, ends: 2, kind: bearergate.ErrForbidden, reason: bearergate.ReasonPolicy, code: codes.PermissionDenied, wire: "FORBIDDEN"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var seen events
				var calls, asked atomic.Int64
				v := bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) {
					return reader(func(c *bearergate.Claims) { c.ACR = fmt.Sprint(calls.Add(1)) }), nil
				})
				gate := newGate(t, v, grpcgate.Config{Reverify: 10 * time.Second, Hooks: seen.hooks(),
					Policies: map[string][]decide{duplex: {func(ctx context.Context, m string, token *bearergate.Token) error {
						return tc.answers[min(int(asked.Add(1)), len(tc.answers))-1](ctx, m, token)
					}}}})
				err := follow(t, gate, new(fakeStream), func(s grpc.ServerStream) error {
					if tc.ends == 0 {
						time.Sleep(time.Minute)
						return s.Context().Err()
					}
					return s.RecvMsg(nil)
				})
				decided := seen.take()
				if tc.ends == 0 {
					require.NoError(t, err)
					require.Len(t, decided, 1)
					require.GreaterOrEqual(t, asked.Load(), int64(6))
					return
				}
				requireStatus(t, err, tc.code, tc.wire)
				require.EqualValues(t, tc.ends+1, asked.Load())
				require.Len(t, decided, 2)
				require.True(t, decided[1].Midstream)
				requireError(t, decided[1].Err, tc.kind, tc.reason)
			})
		})
	}
}

// Package policy remembers for a gate as it does for HTTP: a method that is among the
// inputs has an answer of its own.
func TestRememberedPolicies(t *testing.T) {
	var asked atomic.Int64
	decisions, err := policy.New(policy.Config{Decide: func(_ context.Context, _ *bearergate.Token, inputs []string) error {
		asked.Add(1)
		if inputs[0] == "/a.S/Write" {
			return errors.New("no")
		}
		return nil
	}})
	require.NoError(t, err)
	gate, err := grpcgate.New(answers(reader(nil), nil), grpcgate.Config{Authenticated: []string{"/a.S/*"},
		Policies: map[string][]decide{"/a.S/*": {func(ctx context.Context, fullMethod string, t *bearergate.Token) error {
			return decisions.Ask(ctx, t, fullMethod)
		}}}})
	require.NoError(t, err)
	for range 3 {
		_, err := gate.Unary(incoming(t.Context(), "x"), nil, &grpc.UnaryServerInfo{FullMethod: "/a.S/Read"}, nothing)
		require.NoError(t, err)
		_, err = gate.Unary(incoming(t.Context(), "x"), nil, &grpc.UnaryServerInfo{FullMethod: "/a.S/Write"}, nothing)
		requireStatus(t, err, codes.PermissionDenied, "FORBIDDEN")
	}
	require.EqualValues(t, 2, asked.Load())
}
