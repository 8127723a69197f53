package jwtverify_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/stretchr/testify/require"
)

func TestWarm(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	require.NoError(t, newVerifier(t, config(s.Set(t))).Warm(t.Context()))

	c := config(newSigner(t, "ES512", "k").Set(t)) // not among the defaults
	requireError(t, nil, newVerifier(t, c).Warm(t.Context()), bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)

	c = config(nil)
	c.HTTPClient = &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF })}
	v := newVerifier(t, c)
	requireError(t, nil, v.Warm(t.Context()), bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)
	require.IsType(t, &jwks.Cache{}, v.Keys())
	require.Positive(t, bearergate.AsError(v.Warm(t.Context())).RetryAfter)

	// A cache has a key, but none for what is accepted.
	bubble.Test(t, func(t *testing.T) {
		as := authtest.New(t)
		c := jwtverify.Config{Issuer: as.Issuer(), Audiences: []string{audience}, HTTPClient: as.Client(), Algorithms: []string{"RS256"}}
		requireError(t, nil, newVerifier(t, c).Warm(t.Context()), bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)
	})

	// A source of another kind is asked for keys, and may fail.
	for name, tt := range map[string]struct {
		keys []jwks.Key
		err  error
	}{
		"no key": {nil, nil}, "an error": {nil, io.EOF}, "an error beside a key": {[]jwks.Key{s.Public(t)}, io.EOF},
	} {
		v := newVerifier(t, config(sourceFunc(func(context.Context, string, string) ([]jwks.Key, error) { return tt.keys, tt.err })))
		err := v.Warm(t.Context())
		requireError(t, nil, err, bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)
		require.Equal(t, tt.err != nil, errors.Is(err, io.EOF), name)
	}

	// The context is the caller's, and may be nil.
	waits := newVerifier(t, config(sourceFunc(func(ctx context.Context, _, _ string) ([]jwks.Key, error) { return []jwks.Key{s.Public(t)}, ctx.Err() })))
	var none context.Context
	require.NoError(t, waits.Warm(none))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	requireError(t, nil, waits.Warm(ctx), bearergate.ErrUnavailable, bearergate.ReasonCanceled)
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Warm asks once, and leaves what is kept for the first rotation.
func TestWarmLeavesTheUnknownKeySlotAlone(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		as := authtest.New(t) // ES256 only: nothing serves the first of the default algorithms
		v := newVerifier(t, jwtverify.Config{Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client()})
		require.NoError(t, v.Warm(t.Context()))
		require.Equal(t, 1, as.Requests("/jwks"))
		as.Rotate()
		_, err := v.Verify(t.Context(), as.Token(authtest.Claims{}))
		require.NoError(t, err)
		require.Equal(t, 2, as.Requests("/jwks"))
	})
}
