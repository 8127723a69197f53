package jwtverify

import (
	"context"
	"errors"
	"slices"

	"github.com/bearergate/bearergate/internal/accept"
	"github.com/bearergate/bearergate/jwks"
)

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
			return accept.Unavailable(ctx, err)
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
		return accept.Unavailable(ctx, errNoKey)
	}
	for _, alg := range v.algorithms {
		keys, err := v.keys.Keys(ctx, "", alg)
		if err != nil {
			return accept.Unavailable(ctx, err)
		}
		if len(keys) > 0 {
			return nil
		}
	}
	return accept.Unavailable(ctx, errNoKey)
}

var errNoKey = errors.New("jwtverify: the issuer has no key that serves one of the accepted algorithms")
