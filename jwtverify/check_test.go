package jwtverify_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/stretchr/testify/require"
)

func TestCheck(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	raw := s.Sign(t, nil)
	canceled, cancel := context.WithCancel(t.Context())
	type testCase struct {
		name   string
		check  func(context.Context, *bearergate.Token) error
		kind   error
		reason bearergate.Reason
	}
	for _, tt := range []testCase{
		{
			name: "accepts",
			check: func(_ context.Context, token *bearergate.Token) error {
				if token.Subject() != "user-1" {
					return errors.New("no claims")
				}
				return nil
			},
		},
		{
			name:   "any error",
			check:  func(context.Context, *bearergate.Token) error { return errors.New("no") },
			kind:   bearergate.ErrInvalidToken,
			reason: bearergate.ReasonPolicy,
		},
		{
			name: "a bare sentinel",
			check: func(context.Context, *bearergate.Token) error {
				return fmt.Errorf("x: %w", bearergate.ErrInsufficientScope)
			},
			kind:   bearergate.ErrInsufficientScope,
			reason: bearergate.ReasonScope,
		},
		{
			name: "an Error",
			check: func(context.Context, *bearergate.Token) error {
				return &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonRevoked}
			},
			kind:   bearergate.ErrInvalidToken,
			reason: bearergate.ReasonRevoked,
		},
		{
			name: "a Reason that is none",
			check: func(context.Context, *bearergate.Token) error {
				return &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: "user-1 is banned"}
			},
			kind:   bearergate.ErrInvalidToken,
			reason: bearergate.ReasonPolicy,
		},
		{
			name: "two sentinels",
			check: func(context.Context, *bearergate.Token) error {
				return errors.Join(bearergate.ErrUnavailable, bearergate.ErrMissingToken)
			},
			kind:   bearergate.ErrInvalidToken,
			reason: bearergate.ReasonPolicy,
		},
		{
			name:   "its own timeout",
			check:  func(context.Context, *bearergate.Token) error { return fmt.Errorf("db: %w", context.DeadlineExceeded) },
			kind:   bearergate.ErrUnavailable,
			reason: bearergate.ReasonStoreUnavailable,
		},
		{
			name:   "a call of its own that was canceled",
			check:  func(context.Context, *bearergate.Token) error { return fmt.Errorf("db: %w", context.Canceled) },
			kind:   bearergate.ErrUnavailable,
			reason: bearergate.ReasonStoreUnavailable,
		},
		{
			name:   "the caller goes away",
			check:  func(ctx context.Context, _ *bearergate.Token) error { cancel(); <-ctx.Done(); return ctx.Err() },
			kind:   bearergate.ErrUnavailable,
			reason: bearergate.ReasonCanceled,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := config(s.Set(t))
			c.Check = tt.check
			for range 2 { // from the cache too
				token, err := newVerifier(t, c).Verify(canceled, raw)
				if tt.kind == nil {
					require.NoError(t, err)
					continue
				}
				requireError(t, token, err, tt.kind, tt.reason)
				require.NotContains(t, err.Error(), raw)
				var e *bearergate.Error
				require.ErrorAs(t, err, &e)
			}
		})
	}
}

// Check is asked about tokens that are valid, and about no others.
func TestCheckIsNotAskedAboutARefusedToken(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	at := now
	c := config(s.Set(t))
	c.Now = func() time.Time { return at }
	c.Check = func(_ context.Context, token *bearergate.Token) error {
		require.NotNil(t, token)
		return nil
	}
	var last jwtverify.VerifyEvent
	c.Hooks.Verified = func(_ context.Context, e jwtverify.VerifyEvent) { last = e }
	v := newVerifier(t, c)
	token, err := v.Verify(t.Context(), s.Sign(t, map[string]any{"aud": "x"}))
	requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonAudience)
	require.False(t, last.Cached)

	raw := s.Sign(t, map[string]any{"nbf": now.Unix(), "iat": now.Add(-time.Hour).Unix()})
	_, err = v.Verify(t.Context(), raw)
	require.NoError(t, err)
	for _, tt := range []struct {
		at     time.Duration
		reason bearergate.Reason
	}{
		{-jwtverify.DefaultLeeway - 1, bearergate.ReasonNotYetValid}, // the clock was set back, behind nbf but not iat
		{2 * time.Hour, bearergate.ReasonExpired},
	} {
		at = now.Add(tt.at)
		token, err = v.Verify(t.Context(), raw)
		requireError(t, token, err, bearergate.ErrInvalidToken, tt.reason)
		require.True(t, last.Cached, "remembered, and judged again")
	}
}

func TestContext(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	raw := s.Sign(t, nil)
	v := newVerifier(t, config(s.Set(t)))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	token, err := v.Verify(ctx, raw)
	requireError(t, token, err, bearergate.ErrUnavailable, bearergate.ReasonCanceled)
	require.ErrorIs(t, err, context.Canceled)

	waits := newVerifier(t, config(sourceFunc(func(ctx context.Context, _, _ string) ([]jwks.Key, error) {
		<-ctx.Done()
		return nil, fmt.Errorf("source: %w", ctx.Err())
	})))
	ctx, cancel = context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	token, err = waits.Verify(ctx, raw)
	requireError(t, token, err, bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)
	require.ErrorIs(t, err, context.DeadlineExceeded)

	var none context.Context
	_, err = v.Verify(none, raw)
	require.NoError(t, err)
}

// The end of the caller's context is never the token's fault, however the
// user's code reports it.
func TestEndedContextsOfUserCode(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	raw := s.Sign(t, nil)
	cause := errors.New("too slow")
	for name, report := range map[string]func(context.Context) error{
		"its error":        func(ctx context.Context) error { return fmt.Errorf("x: %w", ctx.Err()) },
		"its cause":        func(ctx context.Context) error { return fmt.Errorf("x: %w", context.Cause(ctx)) },
		"with a sentinel":  func(ctx context.Context) error { return fmt.Errorf("%w: %w", bearergate.ErrUnavailable, ctx.Err()) },
		"a sentinel alone": func(context.Context) error { return bearergate.ErrUnavailable },
	} {
		waits := func(ctx context.Context) error { <-ctx.Done(); return report(ctx) }
		check := config(s.Set(t))
		check.Check = func(ctx context.Context, _ *bearergate.Token) error { return waits(ctx) }
		source := config(sourceFunc(func(ctx context.Context, _, _ string) ([]jwks.Key, error) { return nil, waits(ctx) }))
		for where, w := range map[string]struct {
			config jwtverify.Config
			late   bearergate.Reason
		}{
			"Check":  {check, bearergate.ReasonStoreUnavailable},
			"Source": {source, bearergate.ReasonKeysUnavailable},
		} {
			v := newVerifier(t, w.config)
			t.Run(where+" returns "+name+", deadline", func(t *testing.T) {
				bubble.Test(t, func(t *testing.T) {
					ctx, cancel := context.WithTimeoutCause(t.Context(), time.Millisecond, cause)
					defer cancel()
					token, err := v.Verify(ctx, raw)
					requireError(t, token, err, bearergate.ErrUnavailable, w.late)
					require.ErrorIs(t, err, context.DeadlineExceeded)
				})
			})
			t.Run(where+" returns "+name+", canceled", func(t *testing.T) {
				bubble.Test(t, func(t *testing.T) {
					ctx, cancel := context.WithCancelCause(t.Context())
					time.AfterFunc(time.Millisecond, func() { cancel(cause) })
					token, err := v.Verify(ctx, raw)
					requireError(t, token, err, bearergate.ErrUnavailable, bearergate.ReasonCanceled)
					require.ErrorIs(t, err, context.Canceled)
				})
			})
		}
	}
	// An error that blames the token stays what it is.
	c := config(s.Set(t))
	for reason, err := range map[bearergate.Reason]error{
		bearergate.ReasonRevoked: &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonRevoked},
		bearergate.ReasonBinding: &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonBinding, Cause: context.Canceled},
		bearergate.ReasonPolicy:  errors.New("no"),
	} {
		ctx, cancel := context.WithCancel(t.Context())
		c.Check = func(context.Context, *bearergate.Token) error {
			cancel()
			return err
		}
		token, err := newVerifier(t, c).Verify(ctx, raw)
		requireError(t, token, err, bearergate.ErrInvalidToken, reason)
	}
}
