package bearergate_test

import (
	"context"
	"errors"
	"io"
	"runtime"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/stretchr/testify/require"
)

var errPolicy = &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonPolicy, Cause: errors.New("pkg: Check")}

// What a user's function may do, and what is made of it, with the caller alive, gone
// and out of time. The verifiers and gates run the same rows.
func TestGuard(t *testing.T) {
	t.Setenv("GODEBUG", "panicnil=1") // recover returns nil for panic(nil), as it did before Go 1.21
	for _, o := range kit.Outcomes(kit.Verdict{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonPolicy}) {
		kit.EachCaller(t, o, func(t *testing.T, ctx context.Context, end func(), want kit.Verdict) {
			err := bearergate.Guard(ctx, errPolicy, func(ctx context.Context) error { end(); return o.Do(ctx) })
			if want.Kind == nil {
				require.NoError(t, err)
				return
			}
			kit.RequireError(t, err, want.Kind, want.Reason)
			require.NotContains(t, err.Error(), kit.PanicSecret, "the value of a panic is not kept")
			if ended := ctx.Err(); ended != nil && errors.Is(err, bearergate.ErrUnavailable) && !ownEnd[o.Name] {
				require.ErrorIs(t, err, ended)
			}
		})
	}
}

// ownEnd are the outcomes that a caller's end does not explain, if that is of the
// other kind.
var ownEnd = map[string]bool{"its own deadline passes": true, "its own context is canceled": true, "its socket times out": true,
	"its store refuses the connection": true, "its store has no address": true,
	"its store cannot be verified": true}

func returns(err error) func(context.Context) error {
	return func(context.Context) error { return err }
}

func TestGuardKeepsWhatIsBelow(t *testing.T) {
	err := bearergate.Guard(t.Context(), errPolicy, returns(io.EOF))
	require.ErrorIs(t, err, io.EOF)
	require.Contains(t, err.Error(), "pkg: Check")
	require.Equal(t, "pkg: Check", errPolicy.Cause.Error(), "the template stays what it is")
	kept := &bearergate.Error{Kind: bearergate.ErrForbidden, Reason: bearergate.ReasonRole}
	require.Same(t, kept, bearergate.Guard(t.Context(), errPolicy, returns(kept)))
	require.Contains(t, bearergate.Guard(t.Context(), errPolicy, func(context.Context) error { panic(1) }).Error(), "pkg: Check panicked with a int")
	requireKind(t, bearergate.Guard(t.Context(), io.EOF, returns(io.ErrUnexpectedEOF)), bearergate.ErrMisconfigured, bearergate.ReasonInternal)
	requireKind(t, bearergate.Guard(nil, errPolicy, returns(context.Canceled)), bearergate.ErrUnavailable, bearergate.ReasonStoreUnavailable) //nolint:staticcheck // a caller's mistake
}

// A function that ends its goroutine reaches no verdict, and so opens nothing.
func TestGuardAndGoexit(t *testing.T) {
	after := false
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = bearergate.Guard(context.Background(), errPolicy, func(context.Context) error { runtime.Goexit(); return nil })
		after = true
	}()
	<-done
	require.False(t, after)
}

func TestChecks(t *testing.T) {
	type check = func(context.Context, *bearergate.Token) error
	says := func(err error) check { return func(context.Context, *bearergate.Token) error { return err } }
	outage := says(bearergate.ErrUnavailable)
	broken := func(context.Context, *bearergate.Token) error { panic("x") }
	refusal := says(&bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonRevoked})
	no := says(errors.New("no"))
	for _, tc := range []struct {
		name   string
		checks []check
		kind   error
		reason bearergate.Reason
	}{
		{name: "all say yes", checks: []check{says(nil), says(nil)}},
		{name: "one says no", checks: []check{says(nil), no}, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonPolicy},
		{name: "the first refusal wins", checks: []check{refusal, no}, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonRevoked},
		{name: "an outage does not hide a refusal", checks: []check{outage, refusal}, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonRevoked},
		{name: "a broken check does not hide a refusal", checks: []check{broken, refusal}, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonRevoked},
		{name: "an outage alone", checks: []check{says(nil), outage, says(nil)}, kind: bearergate.ErrUnavailable, reason: bearergate.ReasonStoreUnavailable},
		{name: "a broken check beside an outage", checks: []check{outage, broken, outage}, kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonInternal},
		{name: "a nil check", checks: []check{says(nil), nil}, kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonConfig},
		{name: "no check", kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonConfig},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := bearergate.Checks(tc.checks...)(t.Context(), bearergate.NewToken(bearergate.Claims{}))
			if tc.kind == nil {
				require.NoError(t, err)
				return
			}
			requireKind(t, err, tc.kind, tc.reason)
		})
	}

	fs := []check{says(nil)}
	all := bearergate.Checks(fs...)
	fs[0] = no
	require.NoError(t, all(t.Context(), nil), "the caller's slice is the caller's")
}

// An end that the function finds words of its own for is no refusal: neither that of its
// limit, nor that of whoever asked.
func TestGuardWithin(t *testing.T) {
	forbidden := &bearergate.Error{Kind: bearergate.ErrForbidden, Reason: bearergate.ReasonPolicy, Cause: errors.New("pkg: Policies")}
	own := errors.New("rego_eval_cancel_error: caller cancelled query execution")
	for name, tc := range map[string]struct {
		deadline, gone time.Duration // when the caller's context ends; default: never
		says           error
		kind           error
		reason         bearergate.Reason
	}{
		"its limit":                        {says: own, kind: bearergate.ErrUnavailable, reason: bearergate.ReasonStoreUnavailable},
		"the caller's deadline":            {deadline: time.Second, says: own, kind: bearergate.ErrUnavailable, reason: bearergate.ReasonStoreUnavailable},
		"the caller leaves":                {gone: time.Second, says: own, kind: bearergate.ErrUnavailable, reason: bearergate.ReasonCanceled},
		"its limit, and a verdict":         {says: bearergate.ErrForbidden, kind: bearergate.ErrForbidden, reason: bearergate.ReasonPolicy},
		"the deadline, and a verdict":      {deadline: time.Second, says: bearergate.ErrForbidden, kind: bearergate.ErrForbidden, reason: bearergate.ReasonPolicy},
		"the caller leaves, and a verdict": {gone: time.Second, says: bearergate.ErrForbidden, kind: bearergate.ErrForbidden, reason: bearergate.ReasonPolicy},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				ctx, leave := context.WithCancel(context.Background())
				defer leave()
				if tc.gone > 0 {
					time.AfterFunc(tc.gone, leave)
				}
				if tc.deadline > 0 {
					var done context.CancelFunc
					ctx, done = context.WithTimeout(ctx, tc.deadline)
					defer done()
				}
				err := bearergate.GuardWithin(ctx, bearergate.PolicyTimeout, forbidden, func(ctx context.Context) error {
					<-ctx.Done()
					return tc.says
				})
				kit.RequireError(t, err, tc.kind, tc.reason)
			})
		})
	}
	err := bearergate.GuardWithin(t.Context(), bearergate.PolicyTimeout, forbidden, returns(own))
	kit.RequireError(t, err, bearergate.ErrForbidden, bearergate.ReasonPolicy)
	require.ErrorIs(t, err, own)
}
