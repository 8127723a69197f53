package accept_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/jwks"
	"github.com/stretchr/testify/require"
)

// issuer is whose tokens are expected.
const issuer = "https://as.example.test/tenant-one"

type key struct {
	id     string
	header string // members of the tokens' header, beside alg and kid
	signer crypto.Signer
	public jwks.Key
}

func newKey(t *testing.T, id string) key {
	t.Helper()
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return key{id: id, signer: signer}.as(t, id)
}

// as is the key, published under another ID: its tokens go on to name the first.
func (k key) as(t *testing.T, id string) key {
	t.Helper()
	public, err := jwks.NewKey(id, k.signer.Public(), "ES256")
	require.NoError(t, err)
	k.public = public
	return k
}

// of is the key, published with one more member.
func (k key) of(t *testing.T, name string, value any) key {
	t.Helper()
	jwk, err := jose.PublicJWK(k.public.ID(), k.signer.Public(), "ES256")
	require.NoError(t, err)
	members := map[string]any{}
	require.NoError(t, json.Unmarshal(jwk, &members))
	members[name] = value
	jwk, err = json.Marshal(members)
	require.NoError(t, err)
	k.public, err = jwks.ParseKey(jwk)
	require.NoError(t, err)
	return k
}

// says is the key with one more member in the header of its tokens.
func (k key) says(name, value string) key {
	k.header += `,"` + name + `":"` + value + `"`
	return k
}

// thumbprintOf is something in the form of an x5t.
func thumbprintOf(name string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat(name, 20)[:20]))
}

func (k key) sign(t *testing.T) string {
	t.Helper()
	header := `{"alg":"ES256"` + k.header
	if k.id != "" {
		header += `,"kid":"` + k.id + `"`
	}
	signed, err := jose.Sign("ES256", k.signer, []byte(header+"}"), []byte(`{"iss":"x"}`))
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
