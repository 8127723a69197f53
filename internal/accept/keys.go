package accept

import (
	"cmp"
	"context"
	"fmt"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/jwks"
)

// maxKeysTried bounds the signatures that are checked for one token.
const maxKeysTried = 4

// newer is the part of [jwks.Cache] that looks for a key that replaced another.
type newer interface {
	KeysAfterMiss(ctx context.Context, alg string) ([]jwks.Key, error)
}

// Unavailable makes an error of a key source, which is not nil, ours or the
// caller's. It is never the token's fault, whatever the source says: a source has
// not seen the token.
func Unavailable(ctx context.Context, err error) error {
	e := bearergate.AsError(bearergate.Guard(ctx, errKeys, func(context.Context) error { return err }))
	if e.Kind != bearergate.ErrUnavailable && e.Kind != bearergate.ErrMisconfigured {
		return &bearergate.Error{Kind: errKeys.Kind, Reason: errKeys.Reason, Cause: e}
	}
	return e
}

var errKeys = &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonKeysUnavailable}

// Candidates returns the keys under which a signature may be checked. A token
// without kid names no key, so there must be just one that it can mean.
func Candidates(ctx context.Context, source jwks.Source, keyID, alg string) ([]jwks.Key, error) {
	keys, err := source.Keys(ctx, keyID, alg)
	if err != nil {
		return nil, Unavailable(ctx, err)
	}
	if keyID == "" {
		if len(keys) != 1 {
			return nil, nil
		}
		return keys, nil
	}
	for i := range keys {
		if keys[i].ID() != keyID {
			return nil, &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonInternal,
				Cause: fmt.Errorf("the key source %T returned a key with another kid than asked for", source)}
		}
	}
	return keys[:min(len(keys), maxKeysTried)], nil
}

// Signer returns the key of the source whose signature jws has. The caller has
// found alg in its allowlist.
func Signer(ctx context.Context, source jwks.Source, jws jose.JWS) (jwks.Key, error) {
	keyID, alg := jws.Header.KeyID, jws.Header.Algorithm
	keys, err := Candidates(ctx, source, keyID, alg)
	if err != nil {
		return jwks.Key{}, err
	}
	if len(keys) == 0 {
		return jwks.Key{}, unknownKey(source, keyID, alg)
	}
	for _, key := range keys {
		if key.Verify(alg, jws.Signed, jws.Signature) == nil {
			return key, nil
		}
	}
	// Without kid, a bad signature may be the first sign of a new key.
	if s, ok := source.(newer); ok && keyID == "" {
		found, err := s.KeysAfterMiss(ctx, alg)
		if err != nil {
			return jwks.Key{}, Unavailable(ctx, err)
		}
		if len(found) == 1 && found[0].Thumbprint() != keys[0].Thumbprint() && found[0].Verify(alg, jws.Signed, jws.Signature) == nil {
			return found[0], nil
		}
	}
	detail := "the signature does not verify"
	switch n := signatureBytes[alg]; {
	case len(jws.Signature) == 0:
		detail = "the signature is empty: the token was cut off, or nobody signed it"
	case n > 0 && len(jws.Signature) != n:
		detail = "the signature is not as long as one of its alg: the token was cut off, or signed by a program that writes it in another form"
	}
	return jwks.Key{}, Unsigned(bearergate.ReasonSignature, detail, "", Named(keyID, alg))
}

// signatureBytes is how long signatures are that have one length (RFC 7518 §3.4, RFC 8037).
var signatureBytes = map[string]int{"ES256": 64, "ES384": 96, "ES512": 132, "EdDSA": 64, "Ed25519": 64}

// unknownKey says which key is missing, and why as far as it is known. Sources of the
// user's are not asked why: their words could be anything.
func unknownKey(source jwks.Source, keyID, alg string) error {
	why := ""
	switch s := source.(type) {
	case *jwks.Cache:
		why = s.Absence(keyID, alg)
	case *jwks.Set:
		why = s.Absence(keyID, alg)
	}
	return Unsigned(bearergate.ReasonUnknownKey, cmp.Or(why, "the issuer publishes no key, or several, that the token can mean"), "", Named(keyID, alg))
}

// Named is the key that a token names, as an error may hold it.
func Named(keyID, alg string) string {
	if keyID == "" {
		return "no kid, alg " + Quoted(alg)
	}
	return "kid " + Quoted(keyID) + ", alg " + Quoted(alg)
}
