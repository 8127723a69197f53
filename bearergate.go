// Package bearergate is the vocabulary of a resource server that accepts
// OAuth 2.0 bearer tokens (RFC 6750): the [Verifier] that decides whether a
// token is valid, the immutable [Token] it returns, and the eight errors with
// which everything in this module answers.
//
// The verifiers are in the packages jwtverify (JWT access tokens, RFC 7519 and
// 9068) and introspect (opaque tokens, RFC 7662); package middleware puts one in
// front of net/http handlers. Without HTTP, in a gRPC interceptor for example,
// a token's way is four calls:
//
//	credentials, err := bearergate.ParseCredentials(md.Get("authorization"))
//	token, _, err := bearergate.Authenticate(ctx, verifier, bearergate.Call{Credentials: credentials})
//	err = token.Authorize(scope.All("orders:read"))
//	ctx = bearergate.NewContext(ctx, token)
//
// The package does not issue tokens, keep sessions, decide what a user may do
// beyond scopes, or log.
//
// Everything here is safe for concurrent use.
package bearergate

import (
	"context"
	"errors"
	"strings"

	"github.com/bearergate/bearergate/internal/guard"
)

// Verifier decides whether a token is valid. Implementations are safe for
// concurrent use.
//
// Verify returns a token and no error, or a nil token and an error of which
// exactly one of the eight sentinels of this package is true. It honours ctx
// wherever it waits. When ctx is canceled first, the error is [ErrUnavailable]
// with [ReasonCanceled]; when its deadline passes first, it is ErrUnavailable with
// the Reason of what was waited for, such as [ReasonKeysUnavailable]. Both match
// ctx.Err().
type Verifier interface {
	Verify(ctx context.Context, token string) (*Token, error)
}

// VerifierFunc makes a function a [Verifier].
type VerifierFunc func(ctx context.Context, token string) (*Token, error)

// Verify calls f. A nil f answers [ErrMisconfigured].
func (f VerifierFunc) Verify(ctx context.Context, token string) (*Token, error) {
	if f == nil {
		return nil, &Error{Kind: ErrMisconfigured, Reason: ReasonConfig, Cause: errNilVerifier}
	}
	return f(ctx, token)
}

// errVerifier is what an error outside the contract makes of its verifier.
var errVerifier = &Error{Kind: ErrMisconfigured, Reason: ReasonInternal, Cause: text("the verifier")}

var errNilVerifier = errors.New("bearergate: the verifier is nil")

// Verify calls v.Verify and holds it to the contract of [Verifier], so that a
// broken verifier refuses instead of opening: a nil verifier (also a typed
// nil), a panic, a nil token without an error, a token beside an error, and an
// error that is not exactly one of the eight all come back as a nil token and
// [ErrMisconfigured]; the end of a context, a failed network, and an outage without
// a Reason, are told apart as by [Guard]. An empty token is [ErrMissingToken].
//
// Use it wherever a Verifier comes from elsewhere; package middleware does.
func Verify(ctx context.Context, v Verifier, token string) (verified *Token, err error) {
	if guard.IsNil(v) {
		return nil, &Error{Kind: ErrMisconfigured, Reason: ReasonConfig, Cause: errNilVerifier}
	}
	if token == "" {
		return nil, &Error{Kind: ErrMissingToken, Reason: ReasonNoToken}
	}
	err = Guard(ctx, errVerifier, func(ctx context.Context) (err error) {
		verified, err = v.Verify(ctx, token)
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case verified == nil || verified.c == nil || verified.refused:
		return nil, &Error{Kind: ErrMisconfigured, Reason: ReasonInternal,
			Cause: errors.New("bearergate: the verifier returned neither a token nor an error")}
	case verified.confirmed != nil: // a token says nothing about who sends it
		return verified.with(nil), nil
	}
	return verified, nil
}

// isB64Token reports whether s is a b64token of RFC 6750 §2.1:
// 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"=".
func isB64Token(s string) bool {
	body := strings.TrimRight(s, "=")
	in := body != ""
	rest := body
	for ; len(rest) >= 8; rest = rest[8:] { // every byte of every request's token: no branches
		in = in && inB64Token[rest[0]]&inB64Token[rest[1]]&inB64Token[rest[2]]&inB64Token[rest[3]]&
			inB64Token[rest[4]]&inB64Token[rest[5]]&inB64Token[rest[6]]&inB64Token[rest[7]] != 0
	}
	for i := range len(rest) {
		in = in && inB64Token[rest[i]] != 0
	}
	return in
}

// inB64Token has 1 for the characters of a b64token, "=" apart.
var inB64Token = func() (in [256]uint8) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/") {
		in[c] = 1
	}
	return in
}()

// isTokenChar reports whether c may stand in an HTTP token, and so in the name
// of a scheme (RFC 9110 §5.6.2).
func isTokenChar(c byte) bool {
	return isAlphaNumeric(c) || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

func isAlphaNumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
