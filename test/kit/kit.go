// Package kit is the vocabulary that the tests of several packages share: an
// issuer with a key, a valid token plus one change, and what an error must be.
package kit

import (
	"crypto"
	"encoding/json"
	"errors"
	"maps"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/jwks"
	"github.com/stretchr/testify/require"
)

// What the tokens of a [Signer] say.
const (
	Issuer   = "https://as.example.com/"
	Audience = "https://rs.example.com/"
)

// Now is the moment at which these tokens are issued; they live for an hour.
var Now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// Signer is an issuer's key.
type Signer struct {
	Alg, KeyID string
	Key        crypto.Signer
}

// NewSigner makes a key for an algorithm.
func NewSigner(t testing.TB, alg, kid string) Signer {
	t.Helper()
	key, err := jose.GenerateKey(alg)
	require.NoError(t, err)
	return Signer{Alg: alg, KeyID: kid, Key: key}
}

// Public is the key as its issuer publishes it.
func (s Signer) Public(t testing.TB) jwks.Key {
	t.Helper()
	k, err := jwks.NewKey(s.KeyID, s.Key.Public())
	require.NoError(t, err)
	return k
}

// Set is a key set with this key alone.
func (s Signer) Set(t testing.TB) *jwks.Set {
	t.Helper()
	set, err := jwks.NewSet(s.Public(t))
	require.NoError(t, err)
	return set
}

type absentValue struct{}

// Absent takes a claim away where it stands in a change.
var Absent any = absentValue{}

// Sign returns a valid token with these claims changed.
func (s Signer) Sign(t testing.TB, change map[string]any) string {
	t.Helper()
	return s.SignWith(t, map[string]any{"alg": s.Alg, "typ": "at+jwt", "kid": s.KeyID}, change)
}

// SignWith is Sign with a header of the caller's; an empty kid is left out.
func (s Signer) SignWith(t testing.TB, header, change map[string]any) string {
	t.Helper()
	if header["kid"] == "" {
		delete(header, "kid")
	}
	claims := map[string]any{
		"iss": Issuer, "aud": Audience, "sub": "user-1", "client_id": "client-1", "jti": "id-1",
		"iat": Now.Unix(), "exp": Now.Add(time.Hour).Unix(), "scope": "read write",
	}
	maps.Copy(claims, change)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == Absent })
	h, err := json.Marshal(header)
	require.NoError(t, err)
	c, err := json.Marshal(claims)
	require.NoError(t, err)
	token, err := jose.Sign(s.Alg, s.Key, h, c)
	require.NoError(t, err)
	return token
}

// Sentinels are all the answers to "whose fault".
func Sentinels() []error {
	return []error{
		bearergate.ErrMissingToken, bearergate.ErrInvalidRequest, bearergate.ErrInvalidToken, bearergate.ErrInsufficientScope,
		bearergate.ErrInsufficientAuthentication, bearergate.ErrForbidden, bearergate.ErrUnavailable, bearergate.ErrMisconfigured,
	}
}

// RequireError asserts that exactly one sentinel is true of err, and the Reason.
func RequireError(t testing.TB, err, kind error, reason bearergate.Reason) {
	t.Helper()
	for _, s := range Sentinels() {
		require.Equal(t, s == kind, errors.Is(err, s), "%v: is it %v?", err, s)
	}
	require.Equal(t, reason, bearergate.ReasonOf(err), "%v", err)
}

// RequireRefused is RequireError for what returns a token: there is none beside
// an error.
func RequireRefused(t testing.TB, token *bearergate.Token, err, kind error, reason bearergate.Reason) {
	t.Helper()
	require.Nil(t, token)
	RequireError(t, err, kind, reason)
}
