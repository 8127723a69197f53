package jwtverify_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/stretchr/testify/require"
)

func config(keys jwks.Source) jwtverify.Config {
	return jwtverify.Config{Issuer: issuer, Audiences: []string{audience}, Keys: keys, Now: func() time.Time { return now }}
}

func newVerifier(t testing.TB, c jwtverify.Config) *jwtverify.Verifier {
	v, err := jwtverify.New(c)
	require.NoError(t, err)
	return v
}

func manyNames(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "claim%d ", i)
	}
	return b.String()
}

type sourceFunc func(ctx context.Context, kid, alg string) ([]jwks.Key, error)

func (f sourceFunc) Keys(ctx context.Context, kid, alg string) ([]jwks.Key, error) {
	return f(ctx, kid, alg)
}
