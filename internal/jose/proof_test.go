package jose_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"strings"
	"testing"

	"github.com/bearergate/bearergate/internal/jose"
	"github.com/stretchr/testify/require"
)

// Of the key in a proof, what is hashed is text that needs no escape in JSON, in the one
// spelling that it has: whoever could write more into it could write other members.
func TestMembersOfAKeyInAProof(t *testing.T) {
	okp, _, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	ec384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	require.NoError(t, err)
	ec521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	require.NoError(t, err)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	set := func(name string, to func(string) string) func(map[string]string) {
		return func(jwk map[string]string) { jwk[name] = to(jwk[name]) }
	}
	last := func(c string) func(string) string { return func(s string) string { return s[:len(s)-1] + c } }
	broken := func(s string) string { return s[:5] + "\n" + s[5:] }
	for _, tt := range []struct {
		name   string
		key    any
		change func(jwk map[string]string)
		wrong  string // "": nothing
	}{
		{name: "OKP", key: okp},
		{name: "EC, P-256", key: &ec.PublicKey},
		{name: "EC, P-384", key: &ec384.PublicKey},
		{name: "EC, P-521", key: &ec521.PublicKey},
		{name: "RSA", key: &rsaKey.PublicKey},
		{name: "another kty", key: okp, change: set("kty", func(string) string { return "oct" }), wrong: "kty is not RSA, EC or OKP"},
		{name: "another curve", key: okp, change: set("crv", func(string) string { return "P-224" }), wrong: "crv is not P-256"},
		{name: "a line break", key: okp, change: set("x", broken), wrong: "x is not canonical"},
		{name: "a line break in place of a character", key: okp, change: set("x", last("\n")), wrong: "x is not canonical"},
		{name: "a line break in n", key: &rsaKey.PublicKey, change: set("n", broken), wrong: "n is not canonical"},
		{name: "a line break in y", key: &ec.PublicKey, change: set("y", broken), wrong: "y is not canonical"},
		{name: "another member in n", key: &rsaKey.PublicKey, change: set("n", func(s string) string { return s + `","use":"sig` }), wrong: "n is not canonical"},
		{name: "another member in e", key: &rsaKey.PublicKey, change: set("e", func(s string) string { return s + `","x":"` + s }), wrong: "e is not canonical"},
		{name: "padding", key: okp, change: set("x", func(s string) string { return s + "=" }), wrong: "x is not canonical"},
		{name: "bits behind the last byte", key: okp, change: set("x", func(string) string { return strings.Repeat("A", 42) + "B" }), wrong: "x is not canonical"},
		{name: "too short", key: okp, change: set("x", func(string) string { return strings.Repeat("A", 42) }), wrong: "x is not canonical"},
		{name: "too long", key: &ec.PublicKey, change: set("y", func(s string) string { return s + "AAAA" }), wrong: "y is not canonical"},
		{name: "empty", key: &rsaKey.PublicKey, change: set("n", func(string) string { return "" }), wrong: "n is not canonical"},
		{name: "no member", key: &ec.PublicKey, change: func(jwk map[string]string) { delete(jwk, "y") }, wrong: "y is not canonical"},
		{name: "beside the curve", key: &ec.PublicKey, change: func(jwk map[string]string) { jwk["x"], jwk["y"] = jwk["y"], jwk["x"] }, wrong: "the point is not on the curve"},
		{name: "the form of OKP on a curve of EC", key: okp, change: func(jwk map[string]string) { jwk["kty"], jwk["y"] = "EC", jwk["x"] }, wrong: "the point is not on the curve"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			whole, thumbprint, err := jose.OwnKey(tt.key)
			require.NoError(t, err)
			var jwk map[string]string
			require.NoError(t, json.Unmarshal(whole, &jwk))
			if tt.change != nil {
				tt.change(jwk)
			}
			header, err := json.Marshal(map[string]any{"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk})
			require.NoError(t, err)
			proof, err := jose.ParseProof(header, "dpop+jwt")
			if tt.wrong != "" {
				require.ErrorIs(t, err, jose.ErrMalformed)
				require.ErrorContains(t, err, tt.wrong)
				return
			}
			require.NoError(t, err)
			require.Equal(t, thumbprint, proof.Key.Thumbprint())
			_, err = proof.Key.Admit(4096)
			require.NoError(t, err)
		})
	}
}
