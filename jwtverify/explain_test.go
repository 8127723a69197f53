package jwtverify_test

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/stretchr/testify/require"
)

// Each check shows what it expects and what it found, also those that were not reached.
func TestExplainShowsBothSides(t *testing.T) {
	s := newSigner(t, "ES256", "k1")
	c := config(s.Set(t))
	c.MaxTokenAge = 2 * time.Hour
	c.Check = func(context.Context, *bearergate.Token) error { return nil }
	v := newVerifier(t, c)
	const accepted = `accepted
  passed: size, expected at most 16384 bytes, found SIZE bytes
  passed: form, expected three parts, found 3 parts
  passed: algorithm, expected "RS256" "PS256" "ES256" "ES384" "EdDSA" "Ed25519", found "ES256"
  passed: type, expected "at+jwt", "JWT" or none, found "at+jwt"
  passed: origin, expected "https://as.example.com/", found "https://as.example.com/"
  passed: key, found kid "k1", alg "ES256"
  passed: signature, found kid "k1", alg "ES256"
  passed: claims
  passed: issuer, expected "https://as.example.com/", found "https://as.example.com/"
  passed: kind, expected an access token
  passed: required, expected "iss" "aud" "exp" "iat"
  passed: audience, expected "https://rs.example.com/", found "https://rs.example.com/"
  passed: lifetime, expected at most 2h0m0s, found 1h0m0s
  passed: binding, expected no cnf
  passed: times, found exp 2026-03-01T13:00:00Z, iat 2026-03-01T12:00:00Z
  passed: check
`
	const forged = `refused: invalid token: signature
  what to do: The key of that ID has not signed this token as it stands: the token was changed on its way (its end cut off, a part encoded anew), or the server has put another key under the same ID, which needs a new one, or somebody has forged it. Compare the token with what the server issued, character by character.
  passed: size, expected at most 16384 bytes, found SIZE bytes
  passed: form, expected three parts, found 3 parts
  passed: algorithm, expected "RS256" "PS256" "ES256" "ES384" "EdDSA" "Ed25519", found "ES256" (unverified)
  passed: type, expected "at+jwt", "JWT" or none, found "at+jwt" (unverified)
  passed: origin, expected "https://as.example.com/", found "https://as.example.com/" (unverified)
  passed: key, found kid "k1", alg "ES256" (unverified)
  failed: signature: the signature does not verify, found kid "k1", alg "ES256" (unverified)
  not reached: claims
  not reached: issuer, expected "https://as.example.com/", found "https://as.example.com/" (unverified)
  not reached: kind, expected an access token
  not reached: required, expected "iss" "aud" "exp" "iat"
  not reached: audience, expected "https://rs.example.com/", found "https://evil.example.net" (unverified)
  not reached: lifetime, expected at most 2h0m0s, found 1h0m0s (unverified)
  not reached: binding, expected no cnf
  not reached: times, found exp 2026-03-01T13:00:00Z, iat 2026-03-01T12:00:00Z (unverified)
  not reached: check
`
	for token, want := range map[string]string{
		s.Sign(t, nil): accepted,
		newSigner(t, "ES256", "k1").Sign(t, map[string]any{"aud": "https://evil.example.net"}): forged,
	} {
		e := v.Explain(t.Context(), token)
		text := e.String()
		require.Equal(t, want, regexp.MustCompile(`found \d+ bytes`).ReplaceAllString(text, "found SIZE bytes"))
		kit.RequireNothingOf(t, text, token)
	}
}

// Explain remembers nothing, uses nothing that is remembered, and no hook takes it for
// a request.
func TestExplainLeavesNoTrace(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	checked, events, at := 0, 0, now
	c := config(s.Set(t))
	c.Now = func() time.Time { return at }
	c.Check = func(context.Context, *bearergate.Token) error { checked++; return nil }
	var last jwtverify.VerifyEvent
	c.Hooks.Verified = func(_ context.Context, e jwtverify.VerifyEvent) { events++; last = e }
	v := newVerifier(t, c)
	token := s.Sign(t, nil)
	require.NoError(t, v.Explain(t.Context(), token).Err)
	require.Equal(t, []int{1, 0}, []int{checked, events})
	_, err := v.Verify(t.Context(), token)
	require.NoError(t, err)
	require.False(t, last.Cached, "Explain has remembered it")
	_, err = v.Verify(t.Context(), token)
	require.NoError(t, err)
	require.True(t, last.Cached)
	require.Equal(t, "user-1", v.Explain(t.Context(), token).Token.Subject())
	require.Equal(t, []int{4, 2}, []int{checked, events})
}

// What is no question of the token is explained as that.
func TestExplainWithoutAVerdict(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	token := s.Sign(t, nil)
	gone, leave := context.WithCancel(t.Context())
	leave()
	down := sourceFunc(func(context.Context, string, string) ([]jwks.Key, error) { return nil, errors.New("s3cret") })
	for name, tt := range map[string]struct {
		v      func(c jwtverify.Config) *jwtverify.Verifier
		change func(c *jwtverify.Config)
		ctx    context.Context
		token  string
		kind   error
		reason bearergate.Reason
		failed string
	}{
		"no token":            {token: "", kind: bearergate.ErrMissingToken, reason: bearergate.ReasonNoToken, failed: "size"},
		"the caller is gone":  {ctx: gone, token: token, kind: bearergate.ErrUnavailable, reason: bearergate.ReasonCanceled, failed: "size"},
		"too long":            {token: token + strings.Repeat("x", 16<<10), kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonTooLarge, failed: "size"},
		"no keys":             {change: func(c *jwtverify.Config) { c.Keys = down }, token: token, kind: bearergate.ErrUnavailable, reason: bearergate.ReasonKeysUnavailable, failed: "key"},
		"a clock that panics": {change: func(c *jwtverify.Config) { c.Now = func() time.Time { panic("s3cret") } }, token: token, kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonInternal, failed: "times"},
		"a Check that panics": {change: func(c *jwtverify.Config) {
			c.Check = func(context.Context, *bearergate.Token) error { panic("s3cret") }
		}, token: token, kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonInternal, failed: "check"},
		"a Check that refuses": {change: func(c *jwtverify.Config) {
			c.Check = func(context.Context, *bearergate.Token) error { return errors.New("s3cret") }
		}, token: token, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonPolicy, failed: "check"},
		"a store that is down": {change: func(c *jwtverify.Config) {
			c.Check = func(context.Context, *bearergate.Token) error { return bearergate.ErrUnavailable }
		}, token: token, kind: bearergate.ErrUnavailable, reason: bearergate.ReasonStoreUnavailable, failed: "check"},
		"a key of another kind": {token: newSigner(t, "RS256", "k").Sign(t, nil), kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonUnknownKey, failed: "key"},
	} {
		t.Run(name, func(t *testing.T) {
			c := config(s.Set(t))
			if tt.change != nil {
				tt.change(&c)
			}
			v := newVerifier(t, c)
			ctx := tt.ctx
			if ctx == nil {
				ctx = t.Context()
			}
			_, err := v.Verify(ctx, tt.token)
			kit.RequireError(t, err, tt.kind, tt.reason)
			e := v.Explain(ctx, tt.token)
			kit.RequireExplained(t, e, err, tt.token)
			failed, _ := e.Failed()
			require.Equal(t, tt.failed, failed.Name)
			require.NotEmpty(t, e.Advice)
			require.NotContains(t, e.String(), "s3cret")
		})
	}
	for _, v := range []*jwtverify.Verifier{nil, new(jwtverify.Verifier)} {
		e := v.Explain(t.Context(), token)
		kit.RequireError(t, e.Err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	}
	var none context.Context
	require.NoError(t, newVerifier(t, config(s.Set(t))).Explain(none, token).Err)
}
