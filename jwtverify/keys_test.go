package jwtverify_test

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/jwks"
	"github.com/stretchr/testify/require"
)

// An algorithm that is not named is not accepted, whatever keys there are.
func TestNoOtherAlgorithm(t *testing.T) {
	signers := map[string]signer{}
	var keys []jwks.Key
	for _, alg := range []string{"RS256", "PS256", "ES256", "ES384", "EdDSA"} {
		signers[alg] = newSigner(t, alg, "k-"+alg)
		keys = append(keys, signers[alg].Public(t))
	}
	set, err := jwks.NewSet(keys...)
	require.NoError(t, err)
	for only := range signers {
		c := config(set)
		c.Algorithms = []string{only}
		v := newVerifier(t, c)
		for alg, s := range signers {
			token, err := v.Verify(t.Context(), s.Sign(t, nil))
			if alg == only {
				require.NoError(t, err)
			} else {
				requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonAlgorithm)
			}
		}
	}
}

// req: R7517-06: EdDSA and Ed25519 are one algorithm, whichever is configured.
func TestBothNamesOfEdDSA(t *testing.T) {
	key := newSigner(t, "EdDSA", "k")
	for _, configured := range []string{"EdDSA", "Ed25519"} {
		for _, used := range []string{"EdDSA", "Ed25519"} {
			c := config(key.Set(t))
			c.Algorithms = []string{configured}
			_, err := newVerifier(t, c).Verify(t.Context(), signer{Alg: used, KeyID: "k", Key: key.Key}.Sign(t, nil))
			require.NoError(t, err, "%s for %s", used, configured)
		}
	}
}

func TestKeySources(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	raw := s.Sign(t, nil)
	type testCase struct {
		name   string
		keys   []jwks.Key
		err    error
		kind   error
		reason bearergate.Reason
	}
	for _, tt := range []testCase{
		{name: "the key", keys: []jwks.Key{s.Public(t)}},
		{name: "the key among others", keys: []jwks.Key{newSigner(t, "ES256", "k").Public(t), s.Public(t)}},
		{name: "no key", kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonUnknownKey},
		{
			name:   "a plain error",
			err:    io.ErrUnexpectedEOF,
			kind:   bearergate.ErrUnavailable,
			reason: bearergate.ReasonKeysUnavailable,
		},
		{
			name:   "a plain error beside the key",
			keys:   []jwks.Key{s.Public(t)},
			err:    io.EOF,
			kind:   bearergate.ErrUnavailable,
			reason: bearergate.ReasonKeysUnavailable,
		},
		{
			name:   "an error with two sentinels",
			err:    errors.Join(bearergate.ErrInvalidToken, bearergate.ErrMissingToken),
			kind:   bearergate.ErrUnavailable,
			reason: bearergate.ReasonKeysUnavailable,
		},
		{
			name:   "an error of our own",
			err:    &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonConfig},
			kind:   bearergate.ErrMisconfigured,
			reason: bearergate.ReasonConfig,
		},
		{
			name:   "a key of another kid",
			keys:   []jwks.Key{signer{Alg: "ES256", KeyID: "other", Key: s.Key}.Public(t)},
			kind:   bearergate.ErrMisconfigured,
			reason: bearergate.ReasonInternal,
		},
		{name: "the zero key", keys: []jwks.Key{{}}, kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonInternal},
		{
			name:   "a key of another algorithm",
			keys:   []jwks.Key{newSigner(t, "EdDSA", "k").Public(t)},
			kind:   bearergate.ErrInvalidToken,
			reason: bearergate.ReasonSignature,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := newVerifier(t, config(sourceFunc(func(context.Context, string, string) ([]jwks.Key, error) { return tt.keys, tt.err })))
			token, err := v.Verify(t.Context(), raw)
			if tt.kind == nil {
				require.NoError(t, err)
				return
			}
			requireError(t, token, err, tt.kind, tt.reason)
		})
	}
}

// req: R7517-03: several keys with one kid: at most four are tried.
func TestAtMostFourKeysAreTried(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	for place, ok := range []bool{true, true, true, true, false} {
		keys := make([]jwks.Key, 5)
		for i := range keys {
			keys[i] = newSigner(t, "ES256", "k").Public(t)
		}
		keys[place] = s.Public(t)
		set, err := jwks.NewSet(keys...)
		require.NoError(t, err)
		token, err := newVerifier(t, config(set)).Verify(t.Context(), s.Sign(t, nil))
		if ok {
			require.NoError(t, err)
			continue
		}
		requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonSignature)
	}
}

// missSource has one key until it is told of a miss.
type missSource struct {
	before, after []jwks.Key
	err           error
	misses        int
}

func (s *missSource) Keys(context.Context, string, string) ([]jwks.Key, error) {
	if s.misses > 0 {
		return s.after, nil
	}
	return s.before, nil
}

func (s *missSource) KeysAfterMiss(context.Context, jwks.Miss) ([]jwks.Key, error) {
	s.misses++
	return s.after, s.err
}

func TestTokenWithoutKeyID(t *testing.T) {
	s, other := newSigner(t, "ES256", ""), newSigner(t, "ES256", "o")
	raw := s.Sign(t, nil)
	type testCase struct {
		name   string
		source missSource
		misses int
		kind   error
		reason bearergate.Reason
	}
	for _, tt := range []testCase{
		{name: "the only key", source: missSource{before: []jwks.Key{s.Public(t)}}},
		{name: "none", source: missSource{}, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonUnknownKey},
		{
			name:   "two",
			source: missSource{before: []jwks.Key{other.Public(t), s.Public(t)}},
		},
		{
			name:   "five",
			source: missSource{before: []jwks.Key{other.Public(t), other.Public(t), other.Public(t), other.Public(t), s.Public(t)}},
			kind:   bearergate.ErrInvalidToken,
			reason: bearergate.ReasonUnknownKey,
		},
		{name: "rotated", source: missSource{before: []jwks.Key{other.Public(t)}, after: []jwks.Key{s.Public(t)}}, misses: 1},
		{
			name:   "not rotated",
			source: missSource{before: []jwks.Key{other.Public(t)}, after: []jwks.Key{other.Public(t)}},
			misses: 1,
			kind:   bearergate.ErrInvalidToken,
			reason: bearergate.ReasonSignature,
		},
		{
			name:   "rotated to yet another",
			source: missSource{before: []jwks.Key{other.Public(t)}, after: []jwks.Key{newSigner(t, "ES256", "").Public(t)}},
			misses: 1,
			kind:   bearergate.ErrInvalidToken,
			reason: bearergate.ReasonSignature,
		},
		{
			name:   "two after",
			source: missSource{before: []jwks.Key{other.Public(t)}, after: []jwks.Key{s.Public(t), other.Public(t)}},
			misses: 1,
		},
		{
			name:   "cannot be asked",
			source: missSource{before: []jwks.Key{other.Public(t)}, err: io.EOF},
			misses: 1,
			kind:   bearergate.ErrInvalidToken,
			reason: bearergate.ReasonSignature,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			token, err := newVerifier(t, config(&tt.source)).Verify(t.Context(), raw)
			require.Equal(t, tt.misses, tt.source.misses)
			if tt.kind == nil {
				require.NoError(t, err)
				return
			}
			requireError(t, token, err, tt.kind, tt.reason)
		})
	}

	// With a kid too, a bad signature may be the first sign of a new key.
	renewed := signer{Alg: "ES256", KeyID: "o", Key: s.Key}
	source := missSource{before: []jwks.Key{other.Public(t)}, after: []jwks.Key{renewed.Public(t)}}
	_, err := newVerifier(t, config(&source)).Verify(t.Context(), renewed.Sign(t, nil))
	require.NoError(t, err)
	require.Equal(t, 1, source.misses)
}
