package jose_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math/big"
	"strings"
	"sync"
	"testing"

	"github.com/bearergate/bearergate/internal/jose"
	"github.com/stretchr/testify/require"
)

// Private keys are made once per test binary: RSA ones take their time.
var (
	rsaKey = sync.OnceValue(func() *rsa.PrivateKey { return generated(rsa.GenerateKey(rand.Reader, 2048)) })
	ecKeys = map[string]func() *ecdsa.PrivateKey{
		"ES256": sync.OnceValue(func() *ecdsa.PrivateKey { return generated(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }),
		"ES384": sync.OnceValue(func() *ecdsa.PrivateKey { return generated(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)) }),
		"ES512": sync.OnceValue(func() *ecdsa.PrivateKey { return generated(ecdsa.GenerateKey(elliptic.P521(), rand.Reader)) }),
	}
	edKey = sync.OnceValue(func() ed25519.PrivateKey {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return generated(key, err)
	})
)

func generated[K any](key K, err error) K {
	if err != nil {
		panic(err)
	}
	return key
}

// signerFor returns the shared private key that fits alg.
func signerFor(alg string) crypto.Signer {
	switch {
	case strings.HasPrefix(alg, "ES"):
		return ecKeys[alg]()
	case strings.HasPrefix(alg, "Ed"):
		return edKey()
	}
	return rsaKey()
}

func keyFor(t testing.TB, alg string) jose.Key {
	t.Helper()
	key, err := jose.NewKey("", signerFor(alg).Public())
	require.NoError(t, err)
	return key
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func unb64(t testing.TB, s string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(s)
	require.NoError(t, err)
	return b
}

// members is a JWK. Its methods return changed copies.
type members map[string]any

func (m members) with(name string, value any) members {
	c := maps.Clone(m)
	c[name] = value
	return c
}

func (m members) without(name string) members {
	c := maps.Clone(m)
	delete(c, name)
	return c
}

func (m members) json(t testing.TB) []byte {
	t.Helper()
	b, err := json.Marshal(map[string]any(m))
	require.NoError(t, err)
	return b
}

func jwkOf(t testing.TB, pub crypto.PublicKey) members {
	t.Helper()
	data, err := jose.PublicJWK("", pub, "")
	require.NoError(t, err)
	var m members
	require.NoError(t, json.Unmarshal(data, &m))
	return m
}

func rsaJWK(t testing.TB) members { return jwkOf(t, rsaKey().Public()) }
func ecJWK(t testing.TB) members  { return jwkOf(t, ecKeys["ES256"]().Public()) }
func edJWK(t testing.TB) members  { return jwkOf(t, edKey().Public()) }

// modulus returns an odd number of exactly that many bits: what admission can
// see of an RSA modulus, without the primes.
func modulus(bits int) *big.Int {
	n := generated(rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), uint(bits-1))))
	return n.SetBit(n.SetBit(n, bits-1, 1), 0, 1)
}

func admitted(t testing.TB, jwk []byte) jose.Key {
	t.Helper()
	key, err := jose.ParseKey(jwk)
	require.NoError(t, err)
	require.NotEmpty(t, key.Algorithms())
	return key
}

func refused(t testing.TB, jwk []byte) {
	t.Helper()
	key, err := jose.ParseKey(jwk)
	require.Error(t, err)
	require.Equal(t, jose.Key{}, key, "a value beside an error")
}
