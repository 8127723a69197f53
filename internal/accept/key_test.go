package accept_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"testing"

	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/jwks"
	"github.com/stretchr/testify/require"
)

type key struct {
	id     string
	signer crypto.Signer
	public jwks.Key
}

func newKey(t *testing.T, id string) key {
	t.Helper()
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	public, err := jwks.NewKey(id, signer.Public(), "ES256")
	require.NoError(t, err)
	return key{id, signer, public}
}

func (k key) sign(t *testing.T) string {
	t.Helper()
	header := `{"alg":"ES256"}`
	if k.id != "" {
		header = `{"alg":"ES256","kid":"` + k.id + `"}`
	}
	signed, err := jose.Sign("ES256", k.signer, []byte(header), []byte(`{"iss":"x"}`))
	require.NoError(t, err)
	return signed
}

func keys(of ...key) []jwks.Key {
	public := make([]jwks.Key, len(of))
	for i := range of {
		public[i] = of[i].public
	}
	return public
}
