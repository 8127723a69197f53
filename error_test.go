package bearergate_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/stretchr/testify/require"
)

// yesMan claims to be every error there is.
type yesMan struct{}

func (yesMan) Error() string   { return "yes" }
func (yesMan) Is(error) bool   { return true }
func (yesMan) Unwrap() []error { return []error{io.EOF, nil, bearergate.ErrInvalidToken} }

// yesAs claims to be any error type, without giving one.
type yesAs struct{}

func (yesAs) Error() string { return "as" }
func (yesAs) As(any) bool   { return true }

// liar is one error to errors.Is and another to errors.As.
type liar struct{}

func (liar) Error() string        { return "liar" }
func (liar) Is(target error) bool { return target == bearergate.ErrUnavailable }
func (liar) As(target any) bool {
	e, ok := target.(**bearergate.Error)
	if ok {
		*e = &bearergate.Error{Kind: bearergate.ErrMissingToken, Reason: bearergate.ReasonNoToken}
	}
	return ok
}

type panicError struct{}

func (panicError) Error() string { panic("Error") }
func (panicError) Is(error) bool { panic("Is") }

// unhashable cannot be compared with ==: two of them panic.
type unhashable []string

func (unhashable) Error() string { return "unhashable" }

func TestExactlyOneSentinel(t *testing.T) {
	var nilError *bearergate.Error
	kinds := append([]error{
		nil,
		io.EOF,
		nilError,
		&bearergate.Error{},
		&bearergate.Error{Kind: bearergate.ErrInvalidToken},
		fmt.Errorf("wrapped: %w", bearergate.ErrInvalidToken),
		errors.Join(sentinels...),
		yesMan{},
		yesAs{},
		liar{},
		unhashable{"x"},
		(*net.OpError)(nil),
	}, sentinels...)
	causes := append(append([]error{
		context.Canceled,
		panicErrorText{},
		&bearergate.Error{Kind: bearergate.ErrUnavailable, Cause: context.Canceled},
		fmt.Errorf("a: %w", fmt.Errorf("b: %w", &bearergate.Error{Kind: bearergate.ErrUnavailable})),
		errors.Join(io.EOF, errors.Join(io.EOF, bearergate.ErrInsufficientScope)),
		fmt.Errorf("%w and %w", io.EOF, bearergate.ErrMissingToken),
	}, kinds...), sentinels...)

	for _, kind := range kinds {
		want := bearergate.ErrMisconfigured
		for _, s := range sentinels {
			if _, ok := kind.(unhashable); !ok && kind == s {
				want = s
			}
		}
		for _, cause := range causes {
			for _, reason := range []bearergate.Reason{"", bearergate.ReasonExpired, "made up"} {
				e := &bearergate.Error{Kind: kind, Reason: reason, Cause: cause}
				for _, err := range []error{e, fmt.Errorf("outer: %w", e), errors.Join(io.EOF, e), &wrapper{e}} {
					require.Equal(t, []error{want}, kindsOf(err), "kind %T, cause %T", kind, cause)
					require.NotPanics(t, func() { _ = err.Error() })
					as := bearergate.AsError(err)
					require.NotNil(t, as)
					require.Equal(t, want, as.Kind)
					require.Contains(t, allReasons, as.Reason)
					require.Equal(t, as.Reason, bearergate.ReasonOf(err))
					if reason == bearergate.ReasonExpired {
						require.Equal(t, reason, as.Reason)
					}
				}
			}
		}
	}
}

// panicErrorText matches nothing, but has no text.
type panicErrorText struct{}

func (panicErrorText) Error() string { panic("no text") }

type wrapper struct{ err error }

func (w *wrapper) Error() string { return "wrapper" }
func (w *wrapper) Unwrap() error { return w.err }

// The same with errors put together at random.
func TestExactlyOneSentinelRandom(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	var build func(depth int) error
	build = func(depth int) error {
		leaves := append([]error{io.EOF, context.Canceled, yesMan{}, liar{}, yesAs{}, (*bearergate.Error)(nil), unhashable{}}, sentinels...)
		if depth == 0 {
			return leaves[r.IntN(len(leaves))]
		}
		switch r.IntN(5) {
		case 0:
			return fmt.Errorf("w: %w", build(depth-1))
		case 1:
			return errors.Join(build(depth-1), build(depth-1))
		case 2:
			return &bearergate.Error{Kind: build(depth - 1), Cause: build(depth - 1)}
		case 3:
			return &bearergate.Error{Kind: sentinels[r.IntN(len(sentinels))], Cause: build(depth - 1)}
		default:
			return build(0)
		}
	}
	for range 20_000 {
		err := build(r.IntN(6))
		as := bearergate.AsError(err)
		require.Len(t, kindsOf(as), 1, "%#v", err)
		require.ErrorIs(t, as, as.Kind)
		if kinds := kindsOf(err); len(kinds) == 1 {
			require.Equal(t, kinds[0], as.Kind)
			require.NotEmpty(t, bearergate.ReasonOf(err))
		} else {
			require.Equal(t, bearergate.ErrMisconfigured, as.Kind)
			require.Empty(t, bearergate.ReasonOf(err))
		}
		if e, ok := errors.AsType[*bearergate.Error](err); ok {
			require.Len(t, kindsOf(e), 1)
		}
		// Whatever a verifier returns, one answer comes back.
		_, verr := bearergate.Verify(t.Context(), bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) {
			return nil, err
		}), "token")
		require.Len(t, kindsOf(verr), 1, "%#v", err)
	}
}

func TestErrorCause(t *testing.T) {
	for _, tc := range []struct {
		name      string
		cause     error
		target    error
		reachable bool
	}{
		{"a plain error", io.EOF, io.EOF, true},
		{"wrapped", fmt.Errorf("read: %w", io.EOF), io.EOF, true},
		{"the end of a context", context.Canceled, context.Canceled, true},
		{"joined", errors.Join(io.EOF, context.Canceled), io.EOF, true},
		{"beside a sentinel", errors.Join(io.EOF, bearergate.ErrInvalidToken), io.EOF, false},
		{"below an Error", &bearergate.Error{Kind: bearergate.ErrUnavailable, Cause: io.EOF}, io.EOF, false},
		{"below a yes-man", yesMan{}, io.EOF, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := &bearergate.Error{Kind: bearergate.ErrUnavailable, Cause: tc.cause}
			require.Equal(t, tc.reachable, errors.Is(e, tc.target))
			require.Equal(t, []error{bearergate.ErrUnavailable}, kindsOf(e))
			require.Contains(t, e.Error(), strings.TrimPrefix(tc.cause.Error(), "bearergate: ")) // told in any case
		})
	}
	t.Run("errors.As", func(t *testing.T) {
		op := &net.OpError{Op: "dial", Err: io.EOF}
		var got *net.OpError
		require.ErrorAs(t, &bearergate.Error{Kind: bearergate.ErrUnavailable, Cause: op}, &got)
		require.Same(t, op, got)
	})
	t.Run("of two Errors, the outer one", func(t *testing.T) {
		inner := &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonOverloaded}
		outer := &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonConfig, Cause: inner}
		requireKind(t, outer, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	})
}

// counting counts how often it is asked.
type counting struct{ asked *int }

func (counting) Error() string   { return "counting" }
func (c counting) Is(error) bool { *c.asked++; return false }

// A chain of errors is asked about in steps linear to its length.
func TestErrorChainCost(t *testing.T) {
	for _, depth := range []int{1, 2, 40} {
		asked := 0
		var err error = counting{&asked}
		for range depth {
			err = &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonOverloaded, Cause: fmt.Errorf("w: %w", err)}
		}
		requireKind(t, err, bearergate.ErrUnavailable, bearergate.ReasonOverloaded)
		require.Less(t, asked, 1000)
	}
}

func TestNilError(t *testing.T) {
	var e *bearergate.Error
	require.NotPanics(t, func() {
		require.NotEmpty(t, e.Error())
		require.Equal(t, []error{bearergate.ErrMisconfigured}, kindsOf(e))
		require.Equal(t, bearergate.ReasonInternal, bearergate.ReasonOf(e))
		require.Equal(t, bearergate.ErrMisconfigured, bearergate.AsError(e).Kind)
		outer := &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonOverloaded, Cause: e}
		require.NotEmpty(t, outer.Error())
		requireKind(t, outer, bearergate.ErrUnavailable, bearergate.ReasonOverloaded)
	})
}

// An error that panics when it is asked what it is stays a foreign one.
func TestErrorThatPanics(t *testing.T) {
	for _, err := range []error{panicError{}, (*net.OpError)(nil), fmt.Errorf("wrapped: %w", panicError{}), errors.Join(bearergate.ErrInvalidToken, panicError{})} {
		require.NotPanics(t, func() {
			require.Empty(t, bearergate.ReasonOf(err))
			as := bearergate.AsError(err)
			require.NotEmpty(t, as.Error())
			require.Equal(t, []error{bearergate.ErrMisconfigured}, kindsOf(as))
		})
	}
}

func TestErrorText(t *testing.T) {
	for _, s := range sentinels {
		e := &bearergate.Error{Kind: s, Reason: bearergate.ReasonPolicy, Cause: io.ErrClosedPipe}
		require.Contains(t, e.Error(), s.Error())
		require.Contains(t, e.Error(), string(bearergate.ReasonPolicy))
		require.Contains(t, e.Error(), io.ErrClosedPipe.Error())
	}
	require.NotEmpty(t, (&bearergate.Error{}).Error())
	require.NotPanics(t, func() { _ = (&bearergate.Error{Cause: (*net.OpError)(nil)}).Error() })
	for i, s := range sentinels {
		for _, other := range sentinels[:i] {
			require.NotEqual(t, s.Error(), other.Error())
		}
	}
}

func TestReasonOf(t *testing.T) {
	usual := map[error]bearergate.Reason{
		bearergate.ErrMissingToken:               bearergate.ReasonNoToken,
		bearergate.ErrInvalidRequest:             bearergate.ReasonBadRequest,
		bearergate.ErrInvalidToken:               bearergate.ReasonPolicy,
		bearergate.ErrInsufficientScope:          bearergate.ReasonScope,
		bearergate.ErrInsufficientAuthentication: bearergate.ReasonAuthentication,
		bearergate.ErrForbidden:                  bearergate.ReasonPolicy,
		bearergate.ErrUnavailable:                bearergate.ReasonInternal,
		bearergate.ErrMisconfigured:              bearergate.ReasonInternal,
	}
	require.Len(t, usual, len(sentinels))
	for s, reason := range usual {
		for _, err := range []error{
			s,
			fmt.Errorf("wrapped: %w", s),
			errors.Join(io.EOF, s),
			&bearergate.Error{Kind: s},
			&bearergate.Error{Kind: s, Reason: "made up"},
			&bearergate.Error{Kind: s, Reason: "Expired"},
		} {
			require.Equal(t, reason, bearergate.ReasonOf(err), "%v", err)
			as := bearergate.AsError(err)
			require.Equal(t, s, as.Kind)
			require.Equal(t, reason, as.Reason)
		}
	}
	for name, err := range map[string]error{
		"nil":           nil,
		"foreign":       io.EOF,
		"two sentinels": errors.Join(bearergate.ErrInvalidToken, bearergate.ErrUnavailable),
		"two Errors":    errors.Join(&bearergate.Error{Kind: bearergate.ErrInvalidToken}, &bearergate.Error{Kind: bearergate.ErrUnavailable}),
		"a yes-man":     yesMan{},
	} {
		require.Empty(t, bearergate.ReasonOf(err), name)
	}
}

func TestAsError(t *testing.T) {
	require.Nil(t, bearergate.AsError(nil))

	e := &bearergate.Error{Kind: bearergate.ErrInsufficientScope, Reason: bearergate.ReasonScope, Scopes: []string{"a"}, RetryAfter: time.Second, MaxAge: time.Minute, ACRValues: []string{"x"}}
	require.Same(t, e, bearergate.AsError(e))
	require.Same(t, e, bearergate.AsError(fmt.Errorf("wrapped: %w", e)))

	t.Run("mended without touching the original", func(t *testing.T) {
		e := &bearergate.Error{Kind: io.EOF, Reason: "made up", RetryAfter: time.Second, Scopes: []string{"a"}}
		as := bearergate.AsError(e)
		require.Equal(t, bearergate.ErrMisconfigured, as.Kind)
		require.Equal(t, bearergate.ReasonInternal, as.Reason)
		require.Equal(t, time.Second, as.RetryAfter)
		require.Equal(t, []string{"a"}, as.Scopes)
		require.Equal(t, io.EOF, e.Kind)
		require.Equal(t, bearergate.Reason("made up"), e.Reason)
	})
	t.Run("foreign", func(t *testing.T) {
		for _, err := range []error{io.EOF, yesMan{}, errors.Join(bearergate.ErrInvalidToken, bearergate.ErrUnavailable)} {
			as := bearergate.AsError(err)
			require.Equal(t, []error{bearergate.ErrMisconfigured}, kindsOf(as))
			require.Equal(t, bearergate.ReasonInternal, as.Reason)
		}
		require.ErrorIs(t, bearergate.AsError(io.EOF), io.EOF)
	})
	t.Run("As and Is disagree", func(t *testing.T) {
		requireKind(t, bearergate.AsError(liar{}), bearergate.ErrUnavailable, bearergate.ReasonInternal)
	})
	t.Run("a sentinel beside an Error of another kind", func(t *testing.T) {
		err := errors.Join(&bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonOverloaded}, bearergate.ErrUnavailable)
		requireKind(t, err, bearergate.ErrUnavailable, bearergate.ReasonOverloaded)
	})
}

// allReasons is the closed set, written out: these words are labels of
// metrics in other people's dashboards.
var allReasons = []bearergate.Reason{
	"expired", "not_yet_valid", "issuer", "audience", "type", "algorithm", "signature", "unknown_key", "malformed",
	"too_large", "missing_claim", "inactive", "revoked", "binding", "proof", "replay", "nonce", "policy", "tenant", "role", "actor",
	"scope", "authentication", "no_token", "bad_request", "keys_unavailable", "introspection_unavailable", "store_unavailable", "overloaded", "canceled", "internal", "config",
}

func TestReasons(t *testing.T) {
	require.Equal(t, []bearergate.Reason{
		bearergate.ReasonExpired, bearergate.ReasonNotYetValid, bearergate.ReasonIssuer, bearergate.ReasonAudience,
		bearergate.ReasonType, bearergate.ReasonAlgorithm, bearergate.ReasonSignature, bearergate.ReasonUnknownKey,
		bearergate.ReasonMalformed, bearergate.ReasonTooLarge, bearergate.ReasonMissingClaim, bearergate.ReasonInactive,
		bearergate.ReasonRevoked, bearergate.ReasonBinding, bearergate.ReasonProof, bearergate.ReasonReplay, bearergate.ReasonNonce,
		bearergate.ReasonPolicy, bearergate.ReasonTenant, bearergate.ReasonRole, bearergate.ReasonActor, bearergate.ReasonScope,
		bearergate.ReasonAuthentication, bearergate.ReasonNoToken, bearergate.ReasonBadRequest,
		bearergate.ReasonKeysUnavailable, bearergate.ReasonIntrospectionUnavailable, bearergate.ReasonStoreUnavailable, bearergate.ReasonOverloaded,
		bearergate.ReasonCanceled, bearergate.ReasonInternal, bearergate.ReasonConfig,
	}, allReasons)
	for _, reason := range allReasons {
		require.Equal(t, reason, bearergate.ReasonOf(&bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: reason}))
		require.Regexp(t, `^[a-z_]+$`, string(reason))
	}
}

// The constants in the source are these and no others: no reason is missing
// from the closed set.
func TestReasonConstantsAreAllListed(t *testing.T) {
	var found []bearergate.Reason
	for _, constant := range constantsOfType(t, "error.go", "Reason") {
		found = append(found, bearergate.Reason(constant))
	}
	require.ElementsMatch(t, allReasons, found)
}

// What a client is told to wait: not less than asked for, and never the same for all.
func TestRetryDelay(t *testing.T) {
	for _, tt := range []struct{ asked, least, most time.Duration }{
		{asked: 0, least: 5 * time.Second, most: 7 * time.Second},
		{asked: -1 << 63, least: 5 * time.Second, most: 7 * time.Second},
		{asked: 1, least: time.Second, most: 2 * time.Second},
		{asked: time.Second, least: time.Second, most: 2 * time.Second},
		{asked: 1001 * time.Millisecond, least: 2 * time.Second, most: 3 * time.Second},
		{asked: 20 * time.Second, least: 20 * time.Second, most: 26 * time.Second},
		{asked: 50 * time.Second, least: 47 * time.Second, most: time.Minute},
		{asked: time.Minute, least: 44 * time.Second, most: time.Minute},
		{asked: 1<<63 - 1, least: 44 * time.Second, most: time.Minute},
	} {
		seen := map[time.Duration]bool{} // in whole seconds
		for range 2000 {
			delay := (&bearergate.Error{Kind: bearergate.ErrUnavailable, RetryAfter: tt.asked}).RetryDelay()
			require.LessOrEqual(t, delay, time.Minute)
			seen[delay.Truncate(time.Second)] = true
		}
		least := min(tt.most, time.Minute-time.Second) // a minute itself is one moment
		for second := tt.least; second <= least; second += time.Second {
			require.True(t, seen[second], "%v: never %v", tt.asked, second)
			delete(seen, second)
		}
		delete(seen, time.Minute)
		require.Empty(t, seen, "%v", tt.asked)
	}
	var none *bearergate.Error
	require.Positive(t, none.RetryDelay())
}

// What a client is told, for every Kind and every Reason.
func TestCode(t *testing.T) {
	for _, tt := range []struct {
		kind   error
		reason bearergate.Reason
		proof  bool
		claims string
		code   string
	}{
		{kind: bearergate.ErrMissingToken, reason: bearergate.ReasonNoToken, code: "MISSING_TOKEN"},
		{kind: bearergate.ErrInvalidRequest, reason: bearergate.ReasonBadRequest, code: "INVALID_REQUEST"},
		{kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonExpired, code: "TOKEN_EXPIRED"},
		{kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonExpired, proof: true, code: "TOKEN_EXPIRED"},
		{kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonInactive, code: "TOKEN_INACTIVE"},
		{kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonRevoked, code: "TOKEN_INACTIVE"},
		{kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonSignature, proof: true, code: "INVALID_TOKEN"},
		{kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonBinding, proof: true, code: "INVALID_TOKEN"},
		{kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonProof, proof: true, code: "INVALID_DPOP_PROOF"},
		{kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonReplay, proof: true, code: "INVALID_DPOP_PROOF"},
		{kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonNonce, proof: true, code: "USE_DPOP_NONCE"},
		{kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonProof, code: "INVALID_TOKEN"},
		{kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonReplay, code: "INVALID_TOKEN"},
		{kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonNonce, code: "INVALID_TOKEN"},
		{kind: bearergate.ErrInsufficientScope, reason: bearergate.ReasonScope, code: "INSUFFICIENT_SCOPE"},
		{kind: bearergate.ErrInsufficientAuthentication, reason: bearergate.ReasonAuthentication, code: "INSUFFICIENT_USER_AUTHENTICATION"},
		{kind: bearergate.ErrInsufficientAuthentication, reason: bearergate.ReasonAuthentication, claims: "e30=", code: "INSUFFICIENT_CLAIMS"},
		{kind: bearergate.ErrInsufficientAuthentication, reason: bearergate.ReasonAuthentication, claims: "e3\r\n0=", code: "INSUFFICIENT_USER_AUTHENTICATION"},
		{kind: bearergate.ErrInsufficientAuthentication, reason: bearergate.ReasonAuthentication, claims: `{"a":1}`, code: "INSUFFICIENT_USER_AUTHENTICATION"},
		{kind: bearergate.ErrInsufficientScope, reason: bearergate.ReasonScope, claims: "e30=", code: "INSUFFICIENT_SCOPE"},
		{kind: bearergate.ErrForbidden, reason: bearergate.ReasonExpired, code: "FORBIDDEN"},
		{kind: bearergate.ErrUnavailable, reason: bearergate.ReasonCanceled, code: "TEMPORARILY_UNAVAILABLE"},
		{kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonReplay, proof: true, code: "MISCONFIGURED"},
		{kind: nil, reason: bearergate.ReasonExpired, code: "MISCONFIGURED"},
	} {
		require.Equal(t, tt.code, (&bearergate.Error{Kind: tt.kind, Reason: tt.reason, ClaimsChallenge: tt.claims}).Code(tt.proof), "%v %v %v", tt.kind, tt.reason, tt.proof)
	}
	var none *bearergate.Error
	require.Equal(t, "MISCONFIGURED", none.Code(true))
}

// panicking is an error that cannot say anything, and would tell a secret.
type secretive struct{}

func (secretive) Error() string { panic("s3cret") }

// fmt prints the value of a panic. Nothing here does, in no text.
func TestAnErrorThatPanicsTellsNothing(t *testing.T) {
	broken := &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonPolicy, Cause: secretive{}}
	for name, err := range map[string]error{
		"a cause":                broken,
		"within another":         fmt.Errorf("a check: %w", error(broken)),
		"of a check":             bearergate.Guard(t.Context(), bearergate.ErrInvalidToken, func(context.Context) error { return secretive{} }),
		"of a check with a name": bearergate.Guard(t.Context(), &bearergate.Error{Kind: bearergate.ErrInvalidToken, Cause: errors.New("Check")}, func(context.Context) error { return secretive{} }),
		"of the name of a check": bearergate.Guard(t.Context(), broken, func(context.Context) error { return io.EOF }),
		"of one that panics too": bearergate.Guard(t.Context(), broken, func(context.Context) error { panic("s3cret") }),
		"beside an outage":       bearergate.Guard(t.Context(), broken, func(context.Context) error { return errors.Join(secretive{}, bearergate.ErrUnavailable) }),
	} {
		for _, text := range []string{err.Error(), fmt.Sprintf("%v", err), fmt.Sprintf("%+v", err)} {
			require.NotContains(t, text, "s3cret", name)
		}
		require.NotEmpty(t, bearergate.ReasonOf(err), name)
	}
}

// What an operator reads: the rule, both sides, whether anybody vouches for them, and
// what was underneath.
func TestErrorTellsBothSides(t *testing.T) {
	for _, tt := range []struct {
		err  bearergate.Error
		text string
	}{
		{bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonAudience, Detail: "aud names none", Expected: `"a"`, Found: `"b"`},
			`bearergate: invalid token: audience: aud names none, expected "a", found "b"`},
		{bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonAlgorithm, Detail: "alg", Found: `"x"`, Unsigned: true},
			`bearergate: invalid token: algorithm: alg, found "x" (unverified)`},
		{bearergate.Error{Kind: bearergate.ErrUnavailable, Detail: "introspect: tls", Cause: io.EOF}, `bearergate: temporarily unavailable: introspect: tls: EOF`},
		{bearergate.Error{Kind: bearergate.ErrInvalidToken, Unsigned: true, Expected: "x"}, `bearergate: invalid token, expected x`},
	} {
		require.Equal(t, tt.text, tt.err.Error())
	}
	refused := &bearergate.Error{Kind: bearergate.ErrInvalidToken, Refused: bearergate.NewToken(bearergate.Claims{Subject: "alice", Raw: []byte(`{"sub":"alice"}`)})}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		require.NotContains(t, fmt.Sprintf(verb, error(refused)), "alice", "a subject is for audit, which asks for it")
	}
}
