package jose_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/asn1"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"strings"
	"testing"

	"github.com/bearergate/bearergate/internal/jose"
	"github.com/stretchr/testify/require"
)

func TestSignAndVerify(t *testing.T) {
	for _, alg := range jose.Algorithms() {
		t.Run(alg, func(t *testing.T) {
			priv := signerFor(alg)
			header, payload := `{ "alg":"`+alg+`", "kid":"k" }`, `{"sub" : "é"}`
			token, err := jose.Sign(alg, priv, []byte(header), []byte(payload))
			require.NoError(t, err)
			j, err := jose.Parse(token, maxToken)
			require.NoError(t, err)
			require.Equal(t, jose.Header{Algorithm: alg, KeyID: "k"}, j.Header)
			require.Equal(t, header, string(unb64(t, parts(token)[0])), "taken as it is")
			require.Equal(t, payload, string(j.Payload), "taken as it is")
			requireReencodes(t, token, j)
			key, err := jose.NewKey("k", priv.Public())
			require.NoError(t, err)
			requireVerifies(t, key, alg, j.Signed, j.Signature)
			j.Signature[3] ^= 1
			requireNoSignature(t, key, alg, j.Signed, j.Signature)
		})
	}
}

// Signatures whose numbers begin with zeros have the full length all the same.
func TestSignPadsECDSA(t *testing.T) {
	key := keyFor(t, "ES256")
	for zeros := 0; zeros < 3; {
		token, err := jose.Sign("ES256", ecKeys["ES256"](), []byte(`{"alg":"ES256"}`), []byte(`{}`))
		require.NoError(t, err)
		j, err := jose.Parse(token, maxToken)
		require.NoError(t, err)
		require.Len(t, j.Signature, 64)
		requireVerifies(t, key, "ES256", j.Signed, j.Signature)
		if j.Signature[0] == 0 || j.Signature[32] == 0 {
			zeros++
		}
	}
}

func TestSignRefusesOtherKeys(t *testing.T) {
	for _, alg := range append(jose.Algorithms(), foreignAlgorithms...) {
		for _, kind := range []string{"RS256", "ES256", "ES384", "ES512", "EdDSA"} {
			priv := signerFor(kind)
			token, err := jose.Sign(alg, priv, []byte(`{}`), []byte(`{}`))
			if keyFor(t, kind).Serves(alg) {
				require.NoError(t, err)
				continue
			}
			require.Error(t, err, "%q with the key for %s", alg, kind)
			require.Empty(t, token)
		}
		token, err := jose.Sign(alg, nil, []byte(`{}`), []byte(`{}`))
		require.Error(t, err)
		require.Empty(t, token)
	}
}

// A key that is half a key is an error, not a panic.
func TestSignWithIncompleteKey(t *testing.T) {
	rsaPublic, ecPublic := rsaKey().PublicKey, ecKeys["ES256"]().PublicKey
	half := func(change func(*ecdsa.PrivateKey)) *ecdsa.PrivateKey {
		key := *ecKeys["ES256"]()
		change(&key)
		return &key
	}
	for name, c := range map[string]struct {
		alg string
		key crypto.Signer
	}{
		"nil RSA":           {"RS256", (*rsa.PrivateKey)(nil)},
		"zero RSA":          {"RS256", new(rsa.PrivateKey)},
		"RSA without d":     {"RS256", &rsa.PrivateKey{PublicKey: rsaPublic}},
		"PSS without d":     {"PS256", &rsa.PrivateKey{PublicKey: rsaPublic}},
		"nil EC":            {"ES256", (*ecdsa.PrivateKey)(nil)},
		"zero EC":           {"ES256", new(ecdsa.PrivateKey)},
		"EC without d":      {"ES256", &ecdsa.PrivateKey{PublicKey: ecPublic}},
		"EC without x":      {"ES256", half(func(k *ecdsa.PrivateKey) { k.PublicKey = *ecAt(k.Curve, nil, big.NewInt(1)) })},
		"EC without y":      {"ES256", half(func(k *ecdsa.PrivateKey) { k.PublicKey = *ecAt(k.Curve, big.NewInt(1), nil) })},
		"nil Ed25519":       {"EdDSA", ed25519.PrivateKey(nil)},
		"Ed25519, a seed":   {"EdDSA", ed25519.PrivateKey(edKey().Seed())},
		"Ed25519, 31 bytes": {"EdDSA", edKey()[:31]},
		"Ed25519, 63 bytes": {"EdDSA", edKey()[:63]},
		"Ed25519, 65 bytes": {"EdDSA", append(edKey()[:64:64], 0)},
	} {
		t.Run(name, func(t *testing.T) {
			token, err := jose.Sign(c.alg, c.key, []byte(`{"alg":"`+c.alg+`"}`), []byte(`{}`))
			require.Error(t, err)
			require.Empty(t, token)
		})
	}
}

// foreignSigner is a key elsewhere, in a KMS, that answers what it likes.
type foreignSigner struct {
	pub    crypto.PublicKey
	answer []byte
	err    error
}

func (s foreignSigner) Public() crypto.PublicKey { return s.pub }
func (s foreignSigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return s.answer, s.err
}

func TestSignWithForeignSigner(t *testing.T) {
	der := func(r, s *big.Int) []byte {
		return generated(asn1.Marshal(struct{ R, S *big.Int }{r, s}))
	}
	one := big.NewInt(1)
	huge := new(big.Int).Lsh(one, 600)
	pub := ecKeys["ES256"]().Public()
	for name, s := range map[string]foreignSigner{
		"error":        {pub, nil, errors.New("the KMS is away")},
		"nothing":      {pub, nil, nil},
		"no DER":       {pub, make([]byte, 64), nil},
		"r too long":   {pub, der(huge, one), nil},
		"s too long":   {pub, der(one, huge), nil},
		"r a bit more": {pub, der(new(big.Int).Lsh(one, 256), one), nil},
		"s a bit more": {pub, der(one, new(big.Int).Lsh(one, 256)), nil},
		"r negative":   {pub, der(big.NewInt(-1), one), nil},
		"s negative":   {pub, der(one, big.NewInt(-1)), nil},
		"r zero":       {pub, der(new(big.Int), one), nil},
		"s zero":       {pub, der(one, new(big.Int)), nil},
		"more after":   {pub, append(der(one, one), 0), nil},
		"one number":   {pub, generated(asn1.Marshal(struct{ R *big.Int }{one})), nil},
		"no key":       {nil, der(one, one), nil},
		"another kind": {rsaKey().Public(), der(one, one), nil},
		"P-224":        {&generated(ecdsa.GenerateKey(elliptic.P224(), rand.Reader)).PublicKey, der(one, one), nil},
	} {
		t.Run(name, func(t *testing.T) {
			token, err := jose.Sign("ES256", s, []byte(`{"alg":"ES256"}`), []byte(`{}`))
			require.Error(t, err)
			require.Empty(t, token)
			if s.err != nil {
				require.ErrorIs(t, err, s.err)
			}
		})
	}
	token, err := jose.Sign("ES256", foreignSigner{pub, der(one, one), nil}, []byte(`{"alg":"ES256"}`), []byte(`{}`))
	require.NoError(t, err)
	j, err := jose.Parse(token, maxToken)
	require.NoError(t, err)
	requireNoSignature(t, keyFor(t, "ES256"), "ES256", j.Signed, j.Signature)
}

func TestGenerateKey(t *testing.T) {
	for _, alg := range jose.Algorithms() {
		if strings.HasPrefix(alg, "RS") || strings.HasPrefix(alg, "PS") {
			if alg != "PS256" {
				continue // all the same, and slow
			}
		}
		priv, err := jose.GenerateKey(alg)
		require.NoError(t, err)
		key, err := jose.NewKey("k", priv.Public(), alg)
		require.NoError(t, err)
		require.True(t, key.Serves(alg))
		again, err := jose.GenerateKey(alg)
		require.NoError(t, err)
		other, err := jose.NewKey("k", again.Public(), alg)
		require.NoError(t, err)
		require.NotEqual(t, key.Thumbprint(), other.Thumbprint())
	}
	priv, err := jose.GenerateKey("RS256")
	require.NoError(t, err)
	require.IsType(t, &rsa.PrivateKey{}, priv)
	for _, alg := range foreignAlgorithms {
		priv, err := jose.GenerateKey(alg)
		require.Error(t, err)
		require.Nil(t, priv)
	}
}

func TestPublicJWK(t *testing.T) {
	for _, alg := range jose.Algorithms() {
		pub := signerFor(alg).Public()
		data, err := jose.PublicJWK("k", pub, alg)
		require.NoError(t, err)
		key := admitted(t, data)
		require.Equal(t, "k", key.ID())
		require.True(t, key.Serves(alg))
		require.Equal(t, keyFor(t, alg).Thumbprint(), key.Thumbprint())

		var names map[string]string
		require.NoError(t, json.Unmarshal(data, &names), "only strings")
		require.Equal(t, alg, names["alg"])
		for name := range names {
			require.Contains(t, []string{"kty", "n", "e", "crv", "x", "y", "kid", "alg"}, name, "nothing private")
		}
		data, err = jose.PublicJWK("", pub, "")
		require.NoError(t, err)
		require.NotContains(t, string(data), `"kid"`)
		require.NotContains(t, string(data), `"alg"`)
	}
	n, p256 := rsaKey().N, elliptic.P256()
	for _, pub := range []crypto.PublicKey{nil, []byte("secret"), rsaKey(), edKey(), ecKeys["ES256"](),
		(*rsa.PublicKey)(nil), &rsa.PublicKey{E: 3}, &rsa.PublicKey{N: new(big.Int), E: 3}, &rsa.PublicKey{N: new(big.Int).Neg(n), E: 3},
		&rsa.PublicKey{N: n}, &rsa.PublicKey{N: n, E: -3}, (*ecdsa.PublicKey)(nil), ecAt(nil, n, n), ecAt(p256, nil, n), ecAt(p256, n, nil), ecAt(p256, n, n),
	} {
		data, err := jose.PublicJWK("k", pub, "")
		require.Error(t, err)
		require.Nil(t, data)
	}
	// It writes keys, and leaves it to ParseKey to judge them.
	data, err := jose.PublicJWK("", &rsa.PublicKey{N: n, E: 1}, "")
	require.NoError(t, err)
	refused(t, data)
}
