package jwtverify

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/jwks"
)

// maxKeysTried bounds the signatures checked for one token.
const maxKeysTried = 4

// Warm fetches the keys now, for a service that would rather not start than
// start without them. It returns [bearergate.ErrUnavailable] when they cannot
// be fetched, or when none of them serves an accepted algorithm.
func (v *Verifier) Warm(ctx context.Context) error {
	if v == nil || v.keys == nil {
		return errZero()
	}
	if ctx == nil {
		ctx = context.Background()
	}
	return v.guard(ctx, "Warm", func() error { return v.warm(ctx) })
}

func (v *Verifier) warm(ctx context.Context) error {
	if s, ok := v.keys.(interface{ Refresh(context.Context) error }); ok {
		if err := s.Refresh(ctx); err != nil {
			return unavailable(ctx, err)
		}
	}
	// A cache is asked what it holds: for an algorithm that no key serves, Keys
	// would fetch again, and use up what is kept for the first rotation.
	if s, ok := v.keys.(interface{ Status() jwks.Status }); ok {
		for _, alg := range s.Status().Algorithms {
			if slices.Contains(v.algorithms, alg) {
				return nil
			}
		}
		return unavailable(ctx, errNoKey)
	}
	for _, alg := range v.algorithms {
		keys, err := v.keys.Keys(ctx, "", alg)
		if err != nil {
			return unavailable(ctx, err)
		}
		if len(keys) > 0 {
			return nil
		}
	}
	return unavailable(ctx, errNoKey)
}

var errNoKey = errors.New("jwtverify: the issuer has no key that serves one of the accepted algorithms")

// candidates returns the keys under which the signature may be checked. A
// token without kid names no key, so there must be just one that it can mean.
func (v *Verifier) candidates(ctx context.Context, keyID, alg string) ([]jwks.Key, error) {
	keys, err := v.keys.Keys(ctx, keyID, alg)
	if err != nil {
		return nil, unavailable(ctx, err)
	}
	if keyID == "" {
		if len(keys) != 1 {
			return nil, nil
		}
		return keys, nil
	}
	for i := range keys {
		if keys[i].ID() == keyID {
			continue
		}
		return nil, &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonInternal,
			Cause: fmt.Errorf("jwtverify: the key source %T returned a key with another kid than asked for", v.keys)}
	}
	return keys[:min(len(keys), maxKeysTried)], nil
}

// checkSignature returns the key that signed the token.
func (v *Verifier) checkSignature(ctx context.Context, jws jose.JWS) (jwks.Key, error) {
	keyID, alg := jws.Header.KeyID, jws.Header.Algorithm
	keys, err := v.candidates(ctx, keyID, alg)
	if err != nil {
		return jwks.Key{}, err
	}
	if len(keys) == 0 {
		return jwks.Key{}, invalid(bearergate.ReasonUnknownKey, "the issuer publishes no key, or several, that the token can mean")
	}
	for _, key := range keys {
		if key.Verify(alg, jws.Signed, jws.Signature) == nil {
			return key, nil
		}
	}
	// Without kid, a bad signature may be the first sign of a new key.
	if s, ok := v.keys.(afterMiss); ok && keyID == "" {
		newer, err := s.KeysAfterMiss(ctx, alg)
		if err != nil {
			return jwks.Key{}, unavailable(ctx, err)
		}
		if len(newer) == 1 && newer[0].Thumbprint() != keys[0].Thumbprint() && newer[0].Verify(alg, jws.Signed, jws.Signature) == nil {
			return newer[0], nil
		}
	}
	return jwks.Key{}, invalid(bearergate.ReasonSignature, "the signature does not verify")
}

// afterMiss is the part of [jwks.Cache] that looks for a newer key.
type afterMiss interface {
	KeysAfterMiss(ctx context.Context, alg string) ([]jwks.Key, error)
}
