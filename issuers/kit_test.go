package issuers_test

import (
	"testing"
	"time"

	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/stretchr/testify/require"
)

// The shared vocabulary, by the short names of this package's tests.
const (
	issuer   = kit.Issuer
	audience = kit.Audience
)

type signer = kit.Signer

var (
	now          = kit.Now
	absent       = kit.Absent
	newSigner    = kit.NewSigner
	requireError = kit.RequireRefused
)

func config(keys jwks.Source) jwtverify.Config {
	return jwtverify.Config{Issuer: issuer, Audiences: []string{audience}, Keys: keys, Now: func() time.Time { return now }}
}

func newVerifier(t testing.TB, c jwtverify.Config) *jwtverify.Verifier {
	t.Helper()
	v, err := jwtverify.New(c)
	require.NoError(t, err)
	return v
}
