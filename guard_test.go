package bearergate_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/stretchr/testify/require"
)

var errPolicy = &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonPolicy, Cause: errors.New("pkg: Check")}

// What a user's function says, and what is made of it, with the caller alive, gone
// and out of time.
func TestGuard(t *testing.T) {
	cause := errors.New("the client hung up")
	gone, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	late, done := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer done()
	alive := t.Context()
	own, ended := context.WithCancel(t.Context())
	ended()
	type verdict struct {
		kind   error
		reason bearergate.Reason
	}
	canceled := verdict{bearergate.ErrUnavailable, bearergate.ReasonCanceled}
	store := verdict{bearergate.ErrUnavailable, bearergate.ReasonStoreUnavailable}
	policy := verdict{bearergate.ErrInvalidToken, bearergate.ReasonPolicy}
	broken := verdict{bearergate.ErrMisconfigured, bearergate.ReasonInternal}
	var typedNil *bearergate.Error
	for _, tc := range []struct {
		name              string
		f                 func(context.Context) error
		alive, gone, late verdict
	}{
		{name: "a foreign error", f: returns(io.EOF), alive: policy, gone: policy, late: policy},
		{name: "a sentinel", f: returns(fmt.Errorf("x: %w", bearergate.ErrForbidden)),
			alive: verdict{bearergate.ErrForbidden, bearergate.ReasonPolicy}, gone: verdict{bearergate.ErrForbidden, bearergate.ReasonPolicy}, late: verdict{bearergate.ErrForbidden, bearergate.ReasonPolicy}},
		{name: "a sentinel beside a context error", f: returns(errors.Join(bearergate.ErrInvalidToken, context.Canceled, context.DeadlineExceeded)), alive: policy, gone: policy, late: policy},
		{name: "two sentinels", f: returns(errors.Join(bearergate.ErrUnavailable, bearergate.ErrForbidden)), alive: policy, gone: policy, late: policy},
		{name: "a bare outage", f: returns(fmt.Errorf("redis: %w", bearergate.ErrUnavailable)), alive: store, gone: canceled, late: store},
		{name: "an outage with a reason", f: returns(&bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonOverloaded}),
			alive: verdict{bearergate.ErrUnavailable, bearergate.ReasonOverloaded}, gone: canceled, late: verdict{bearergate.ErrUnavailable, bearergate.ReasonOverloaded}},
		{name: "a verifier that it asked with a context of its own", f: returns(&bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonCanceled}), alive: store, gone: canceled, late: store},
		{name: "the end of its own context", f: returns(own.Err()), alive: store, gone: canceled, late: store},
		{name: "its own deadline", f: returns(context.DeadlineExceeded), alive: store, gone: store, late: store},
		{name: "the end of the caller's context", f: func(ctx context.Context) error { return ctx.Err() }, gone: canceled, late: store},
		{name: "the cause of it", f: context.Cause, gone: canceled, late: store},
		{name: "a panic", f: func(context.Context) error { panic("hunter2") }, alive: broken, gone: broken, late: broken},
		{name: "an error that panics", f: returns(panicError{}), alive: broken, gone: broken, late: broken},
		{name: "a typed nil", f: returns(typedNil), alive: broken, gone: broken, late: broken},
		{name: "nil", f: returns(nil)},
	} {
		for _, caller := range []struct {
			name string
			ctx  context.Context
			want verdict
		}{{"alive", alive, tc.alive}, {"gone", gone, tc.gone}, {"late", late, tc.late}} {
			t.Run(tc.name+", caller "+caller.name, func(t *testing.T) {
				err := bearergate.Guard(caller.ctx, errPolicy, tc.f)
				if caller.want.kind == nil {
					require.NoError(t, err)
					return
				}
				require.Equal(t, []error{caller.want.kind}, kindsOf(err), "%v", err)
				require.Equal(t, caller.want.reason, bearergate.ReasonOf(err), "%v", err)
				require.NotContains(t, err.Error(), "hunter2")
				if caller.want == canceled {
					require.ErrorIs(t, err, context.Canceled)
				}
			})
		}
	}
}

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
