// Package bearergate is the vocabulary of a resource server that accepts
// OAuth 2.0 bearer tokens (RFC 6750): the [Verifier] that decides whether a
// token is valid, the immutable [Token] it returns, and the seven errors with
// which everything in this module answers.
//
// The verifiers are in the packages jwtverify (JWT access tokens, RFC 7519 and
// 9068) and introspect (opaque tokens, RFC 7662); package middleware puts one in
// front of net/http handlers. Without HTTP, in a gRPC interceptor for example,
// a token's way is four calls:
//
//	raw, err := bearergate.BearerToken(md.Get("authorization"))
//	token, err := bearergate.Verify(ctx, verifier, raw)
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
	"fmt"
	"reflect"
	"strings"
)

// Verifier decides whether a token is valid. Implementations are safe for
// concurrent use.
//
// Verify returns a token and no error, or a nil token and an error of which
// exactly one of the seven sentinels of this package is true. It honours ctx
// wherever it waits; when ctx ends first, the error is [ErrUnavailable] with
// [ReasonCanceled] and matches ctx.Err().
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

var errNilVerifier = errors.New("bearergate: the verifier is nil")

// Verify calls v.Verify and holds it to the contract of [Verifier], so that a
// broken verifier refuses instead of opening: a nil verifier (also a typed
// nil), a panic, a nil token without an error, a token beside an error, and an
// error that is not exactly one of the seven all come back as a nil token and
// [ErrMisconfigured]. An empty token is [ErrMissingToken].
//
// Use it wherever a Verifier comes from elsewhere; package middleware does.
func Verify(ctx context.Context, v Verifier, token string) (verified *Token, err error) {
	if isNil(v) {
		return nil, &Error{Kind: ErrMisconfigured, Reason: ReasonConfig, Cause: errNilVerifier}
	}
	if token == "" {
		return nil, &Error{Kind: ErrMissingToken, Reason: ReasonNoToken}
	}
	returned := false
	defer func() {
		// Not p != nil alone: with GODEBUG=panicnil=1, panic(nil) recovers as nil.
		if p := recover(); !returned {
			// The value of a panic may hold anything, the token included: only its type is told.
			verified, err = nil, &Error{Kind: ErrMisconfigured, Reason: ReasonInternal,
				Cause: fmt.Errorf("bearergate: the verifier panicked with a %T", p)}
		}
	}()
	verified, err = v.Verify(ctx, token)
	if err != nil {
		err = normalize(ctx, err)
	}
	returned = true
	switch {
	case err != nil:
		return nil, err
	case verified == nil || verified.c == nil:
		return nil, &Error{Kind: ErrMisconfigured, Reason: ReasonInternal,
			Cause: errors.New("bearergate: the verifier returned neither a token nor an error")}
	}
	return verified, nil
}

// isNil reports whether v is nil or holds a nil pointer, func or map.
func isNil(v Verifier) bool {
	if v == nil {
		return true
	}
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Pointer, reflect.Func, reflect.Map, reflect.Slice, reflect.Chan, reflect.Interface:
		return r.IsNil()
	}
	return false
}

// BearerToken returns the token of the Bearer credentials (RFC 6750 §2.1) in
// authorization: all values of one request's Authorization header, or of the
// "authorization" key of gRPC metadata. The scheme is matched in any case.
//
// No value, an empty one, or another scheme is [ErrMissingToken]. Several
// values, or Bearer credentials that are not of the form
// "Bearer" 1*SP b64token, are [ErrInvalidRequest] (RFC 6750 §3.1): a request
// that names two credentials is refused rather than having one chosen.
//
// The token is returned as sent and is not judged in any way, its length
// included.
func BearerToken(authorization []string) (string, error) {
	switch len(authorization) {
	case 0:
		return "", &Error{Kind: ErrMissingToken, Reason: ReasonNoToken}
	case 1:
	default:
		return "", badRequest("more than one Authorization value")
	}
	value := authorization[0]
	if value == "" {
		return "", &Error{Kind: ErrMissingToken, Reason: ReasonNoToken}
	}
	if value[0] == ' ' || value[0] == '\t' {
		return "", badRequest("white space before the scheme")
	}
	scheme, rest, found := strings.Cut(value, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		// "Bearer\ttoken" and "Bearer,token" are attempts at this scheme, not another one.
		if len(scheme) > len("Bearer") && strings.EqualFold(scheme[:len("Bearer")], "Bearer") && !isTokenChar(scheme[len("Bearer")]) {
			return "", badRequest("the Bearer scheme is not followed by a space")
		}
		return "", &Error{Kind: ErrMissingToken, Reason: ReasonNoToken}
	}
	token := strings.TrimLeft(rest, " ")
	if !found || token == "" {
		return "", badRequest("the Bearer scheme without a token")
	}
	if !isB64Token(token) {
		return "", badRequest("a character that RFC 6750 does not allow in a token")
	}
	return token, nil
}

func badRequest(what string) error {
	return &Error{Kind: ErrInvalidRequest, Reason: ReasonBadRequest, Cause: fmt.Errorf("bearergate: %s", what)}
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
