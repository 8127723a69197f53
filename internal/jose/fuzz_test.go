package jose_test

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/bearergate/bearergate/internal/jose"
	"github.com/stretchr/testify/require"
)

func FuzzParse(f *testing.F) {
	token := validToken(f)
	f.Add(token)
	f.Add("")
	f.Add("..")
	f.Add("e30.e30.")
	f.Add(token + ".")
	f.Add(token + "=")
	f.Add(strings.Replace(token, ".", "\n.", 1))
	f.Add("eyJhbGciOiJub25lIn0." + joe + ".")
	f.Add("eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.AdwM")
	f.Add(replaced(token, 0, b64([]byte(`{"alg":"EdDSA","crit":["b64"],"b64":false}`))))
	f.Add(`{"payload":"","protected":"","signature":""}`)
	valid, err := jose.Parse(token, len(token))
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, token string) {
		const limit = 4096
		j, err := jose.Parse(token, limit)
		var known jose.Headers
		known.Keep(valid)
		again, errAgain := known.ParseInto(new([]byte), token, limit)
		require.Equal(t, err, errAgain)
		require.Equal(t, j, again)
		if err != nil {
			require.Equal(t, jose.JWS{}, j)
			require.Equal(t, len(token) > limit, errors.Is(err, jose.ErrTooLarge))
			require.NotEqual(t, errors.Is(err, jose.ErrTooLarge), errors.Is(err, jose.ErrMalformed))
			return
		}
		require.LessOrEqual(t, len(token), limit)
		requireReencodes(t, token, j)
		known.Keep(j)
		again, err = known.ParseInto(new([]byte), token, limit)
		require.NoError(t, err)
		require.Equal(t, j, again)
		require.NotEmpty(t, j.Header.Algorithm)
		require.NotEmpty(t, j.Payload)
	})
}

func FuzzHeader(f *testing.F) {
	for _, header := range []string{
		plainHeader, `{"alg":"EdDSA"}`, `{}`, `null`, ``, ` { "alg" : "\u0045dDSA" } `, `{"\u0061lg":"ES256","kid":"\ud83d\ude00"}`,
		`{"alg":"a","alg":"b"}`, `{"alg":"a","ALG":"b"}`, `{"alg":"a","kid":"` + strings.Repeat("k", 256) + `"}`, `{"alg":"a","crit":[]}`,
		`{"alg":"a","typ":""}`, `{"alg":"a","cty":"JWT"}`, `{"alg":"a","x":[{"y":1e999}]}`, "\ufeff" + `{"alg":"a"}`, `{"alg":"a"}x`,
		`{"alg":"a","kid":"\ud800"}`, "{\"alg\":\"\xff\"}", `{"alg":"a","b64":true}`, `{"alg":"a","":{"":{"":0}}}`,
	} {
		f.Add([]byte(header))
	}
	f.Fuzz(func(t *testing.T, header []byte) {
		if len(header) > 8192 {
			return // so deep that encoding/json has a limit of its own
		}
		token := b64(header) + "." + joe + ".AAAA"
		j, err := jose.Parse(token, 1<<20)
		if err != nil {
			require.ErrorIs(t, err, jose.ErrMalformed)
			require.Equal(t, jose.JWS{}, j)
			return
		}
		requireReencodes(t, token, j)
		var members map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(header, &members))
		text := func(name string) (value string, has bool) {
			raw, has := members[name]
			if has {
				require.Equal(t, byte('"'), raw[0], name)
				require.NoError(t, json.Unmarshal(raw, &value))
			}
			return value, has
		}
		alg, _ := text("alg")
		require.Equal(t, alg, j.Header.Algorithm)
		require.NotEmpty(t, alg)
		kid, hasKeyID := text("kid")
		require.Equal(t, kid, j.Header.KeyID)
		require.Equal(t, hasKeyID, j.Header.KeyID != "")
		require.LessOrEqual(t, len(kid), jose.MaxKeyIDBytes)
		typ, hasType := text("typ")
		require.Equal(t, typ, j.Header.Type)
		require.Equal(t, hasType, j.Header.HasType)
		cty, _ := text("cty")
		require.NotEqual(t, "jwt", strings.ToLower(cty))
		for _, name := range []string{"crit", "b64", "enc"} {
			require.NotContains(t, members, name)
		}
		var zip any
		_ = json.Unmarshal(members["zip"], &zip) // there may be none
		require.NotEqual(t, "DEF", zip)
	})
}

// readJWK reads the key of a JWK with encoding/json and math/big alone.
func readJWK(t *testing.T, data []byte) (pub crypto.PublicKey, kid, alg, required string) {
	t.Helper()
	var m map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(data, &m))
	text := func(name string) (s string) {
		if raw, has := m[name]; has {
			require.NoError(t, json.Unmarshal(raw, &s))
		}
		return s
	}
	number := func(name string) *big.Int {
		b, err := base64.RawURLEncoding.DecodeString(text(name))
		require.NoError(t, err)
		return new(big.Int).SetBytes(b)
	}
	kid, alg = text("kid"), text("alg")
	switch text("kty") {
	case "RSA":
		n, e := number("n"), number("e")
		require.True(t, e.IsInt64())
		return &rsa.PublicKey{N: n, E: int(e.Int64())}, kid, alg, fmt.Sprintf(`{"e":%q,"kty":"RSA","n":%q}`, b64(e.Bytes()), b64(n.Bytes()))
	case "EC":
		curve := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}[text("crv")]
		require.NotNil(t, curve)
		pub := ecAt(curve, number("x"), number("y"))
		_, err := pub.ECDH()
		require.NoError(t, err, "off the curve")
		return pub, kid, alg, fmt.Sprintf(`{"crv":%q,"kty":"EC","x":%q,"y":%q}`, text("crv"), text("x"), text("y"))
	case "OKP":
		require.Equal(t, "Ed25519", text("crv"))
		x, err := base64.RawURLEncoding.DecodeString(text("x"))
		require.NoError(t, err)
		return ed25519.PublicKey(x), kid, alg, fmt.Sprintf(`{"crv":"Ed25519","kty":"OKP","x":%q}`, text("x"))
	}
	require.Fail(t, "kty")
	return nil, "", "", ""
}

func requireSound(t *testing.T, data []byte, key jose.Key) {
	t.Helper()
	pub, kid, alg, required := readJWK(t, data)
	require.Equal(t, kid, key.ID())
	require.NotEmpty(t, key.Algorithms())
	if alg != "" {
		require.True(t, key.Serves(alg))
	}
	require.Equal(t, sha256.Sum256([]byte(required)), key.Thumbprint(), "RFC 7638")

	again, err := jose.PublicJWK(kid, pub, alg)
	require.NoError(t, err)
	readmitted, err := jose.ParseKey(again)
	require.NoError(t, err)
	require.Equal(t, key.Thumbprint(), readmitted.Thumbprint())
	require.Equal(t, key.ID(), readmitted.ID())
	require.Equal(t, key.Algorithms(), readmitted.Algorithms())
	made, err := jose.NewKey(kid, pub)
	require.NoError(t, err)
	require.Equal(t, key.Thumbprint(), made.Thumbprint())
	require.ErrorIs(t, key.Verify(key.Algorithms()[0], nil, make([]byte, 64)), jose.ErrSignature)
}

func addKeys(f *testing.F, add func(jwk string)) {
	for _, jwk := range []string{rsa7515, ec7515, ec521, ed8037, rsa7520, ec7520} {
		add(jwk)
		add(strings.Replace(jwk, "{", `{"alg":"ES256","key_ops":["verify"],"use":"sig","kid":"k",`, 1))
		add(strings.Replace(jwk, `"kty"`, `"\u006bty"`, 1))
	}
	add(string(rsaJWK(f).with("e", "Aw").json(f)))
	add(string(rsaJWK(f).with("e", "f____w").json(f)))
	add(string(rsaJWK(f).with("n", b64(append([]byte{0}, modulus(2048).Bytes()...))).json(f)))
	add(string(edJWK(f).with("x", b64(make([]byte, 32))).json(f)))
	add(string(edJWK(f).with("x", b64(edEncode(big.NewInt(3), 1))).json(f)))
	add(string(ecJWK(f).with("d", "AAAA").json(f)))
	add(`{"kty":"oct","k":"AAAA"}`)
	add(`{}`)
	add(`null`)
	add(``)
}

func FuzzParseKey(f *testing.F) {
	addKeys(f, func(jwk string) { f.Add([]byte(jwk)) })
	f.Fuzz(func(t *testing.T, data []byte) {
		before := bytes.Clone(data)
		key, err := jose.ParseKey(data)
		require.Equal(t, before, data)
		if err != nil {
			require.Equal(t, jose.Key{}, key)
			return
		}
		requireSound(t, data, key)
	})
}

func FuzzParseSet(f *testing.F) {
	var all []string
	addKeys(f, func(jwk string) {
		f.Add([]byte(`{"keys":[` + jwk + `]}`))
		if jwk != "" {
			all = append(all, jwk)
		}
	})
	f.Add(setOf(all...))
	f.Add([]byte(`{"keys":[],"keys":[` + ed8037 + `]}`))
	f.Add([]byte(`{"keys":{}}`))
	f.Add([]byte(`{}`))
	f.Add([]byte(ed8037))
	f.Fuzz(func(t *testing.T, data []byte) {
		const limit = 30
		keys, skipped, err := jose.ParseSet(data, limit)
		if err != nil {
			require.Nil(t, keys)
			return
		}
		require.NotEmpty(t, keys)
		var set map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(data, &set))
		var elements []json.RawMessage
		require.NoError(t, json.Unmarshal(set["keys"], &elements))
		require.Len(t, elements, len(keys)+len(skipped))
		require.LessOrEqual(t, len(elements), limit)
		for i, element := range elements {
			if at := slices.IndexFunc(skipped, func(s jose.Skipped) bool { return s.Index == i }); at >= 0 {
				require.Error(t, skipped[at].Err)
				require.LessOrEqual(t, len(skipped[at].ID), jose.MaxKeyIDBytes)
				_, err := jose.ParseKey(element)
				require.Error(t, err)
				continue
			}
			requireSound(t, element, keys[0])
			keys = keys[1:]
		}
		require.Empty(t, keys)
	})
}
