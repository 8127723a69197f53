package authtest_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/jwtverify"
)

const (
	orders = "https://api.example.test/orders"
	bound  = "the.bound.token"
)

func newKey(t testing.TB, alg string) *authtest.DPoPKey {
	t.Helper()
	key, err := authtest.NewDPoPKey(alg)
	require.NoError(t, err)
	return key
}

// publicKey makes a key of the member jwk of a proof, with nothing but the standard library.
func publicKey(t testing.TB, jwk map[string]any) crypto.PublicKey {
	t.Helper()
	octets := func(name string) []byte {
		text, ok := jwk[name].(string)
		require.True(t, ok, name)
		data, err := base64.RawURLEncoding.Strict().DecodeString(text)
		require.NoError(t, err)
		return data
	}
	switch jwk["kty"] {
	case "RSA":
		return &rsa.PublicKey{N: new(big.Int).SetBytes(octets("n")), E: int(new(big.Int).SetBytes(octets("e")).Int64())}
	case "OKP":
		require.Equal(t, "Ed25519", jwk["crv"])
		return ed25519.PublicKey(octets("x"))
	}
	curve := map[any]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}[jwk["crv"]]
	pub, err := ecdsa.ParseUncompressedPublicKey(curve, bytes.Join([][]byte{{4}, octets("x"), octets("y")}, nil))
	require.NoError(t, err)
	return pub
}

// requireSigned checks the signature of a proof by the algorithm with the standard
// library, under the key that the proof brings.
func requireSigned(t testing.TB, alg, proof string, pub crypto.PublicKey) {
	t.Helper()
	dot := strings.LastIndexByte(proof, '.')
	signed := []byte(proof[:dot])
	sig, err := base64.RawURLEncoding.Strict().DecodeString(proof[dot+1:])
	require.NoError(t, err)
	hash := map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}[alg[2:]]
	digest := func() []byte {
		h := hash.New()
		h.Write(signed)
		return h.Sum(nil)
	}
	switch pub := pub.(type) {
	case *rsa.PublicKey:
		if alg[:2] == "PS" {
			require.NoError(t, rsa.VerifyPSS(pub, hash, digest(), sig, &rsa.PSSOptions{SaltLength: hash.Size()}))
		} else {
			require.NoError(t, rsa.VerifyPKCS1v15(pub, hash, digest(), sig))
		}
	case *ecdsa.PublicKey:
		n := len(sig) / 2
		require.Equal(t, (pub.Curve.Params().BitSize+7)/8, n)
		require.True(t, ecdsa.Verify(pub, digest(), new(big.Int).SetBytes(sig[:n]), new(big.Int).SetBytes(sig[n:])))
	case ed25519.PublicKey:
		require.True(t, ed25519.Verify(pub, signed, sig))
	default:
		require.Fail(t, "no key", "%T", pub)
	}
}

// thumbprintOf is RFC 7638 §3: the required members, sorted and without white space.
func thumbprintOf(t testing.TB, jwk map[string]any) string {
	t.Helper()
	text, err := json.Marshal(jwk) // sorts, and the key has no other members
	require.NoError(t, err)
	sum := sha256.Sum256(text)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func TestDPoPProof(t *testing.T) {
	members := map[string][]string{"RS": {"e", "kty", "n"}, "PS": {"e", "kty", "n"}, "ES": {"crv", "kty", "x", "y"}, "Ed": {"crv", "kty", "x"}}
	thumbprints := map[string]bool{}
	for _, alg := range jose.Algorithms() {
		t.Run(alg, func(t *testing.T) {
			key := newKey(t, alg)
			proof := key.Proof("GET", orders, bound)
			head := header(t, proof)
			require.Equal(t, map[string]any{"typ": "dpop+jwt", "alg": alg, "jwk": key.JWK()}, head)
			jwk, _ := head["jwk"].(map[string]any)
			require.ElementsMatch(t, members[alg[:2]], keysOf(jwk), "the public key, and nothing else")
			requireSigned(t, alg, proof, publicKey(t, jwk))
			require.Len(t, key.Thumbprint(), 43)
			require.Equal(t, thumbprintOf(t, jwk), key.Thumbprint())
			require.False(t, thumbprints[key.Thumbprint()])
			thumbprints[key.Thumbprint()] = true
			require.Equal(t, map[string][]byte{"jkt": []byte(`"` + key.Thumbprint() + `"`)}, key.Confirmation())
		})
	}
}

func keysOf(members map[string]any) []string {
	var names []string
	for name := range members {
		names = append(names, name)
	}
	return names
}

func TestDPoPClaims(t *testing.T) {
	key := newKey(t, "ES256")
	sum := sha256.Sum256([]byte(bound))
	ath := base64.RawURLEncoding.EncodeToString(sum[:])
	for _, test := range []struct {
		name, method, url, token string
		want                     map[string]any // beside jti and iat
	}{
		{name: "with a token", method: "POST", url: orders, token: bound, want: map[string]any{"htm": "POST", "htu": orders, "ath": ath}},
		{name: "without a token", method: "POST", url: orders, want: map[string]any{"htm": "POST", "htu": orders}},
		{name: "query", method: "GET", url: orders + "?a=b?c", want: map[string]any{"htm": "GET", "htu": orders}},
		{name: "fragment", method: "GET", url: orders + "#a?b", want: map[string]any{"htm": "GET", "htu": orders}},
		{name: "query and fragment", method: "GET", url: orders + "?a#b", want: map[string]any{"htm": "GET", "htu": orders}},
		{name: "as it is", method: "get", url: "HTTPS://API.example.test:443/a%2Fb/../c", want: map[string]any{"htm": "get", "htu": "HTTPS://API.example.test:443/a%2Fb/../c"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				later(1500 * time.Millisecond) // iat is in whole seconds all the same
				first := claims(t, key.Proof(test.method, test.url, test.token))
				second := claims(t, key.Sign(nil, key.Claims(test.method, test.url, test.token)))
				require.NotEqual(t, first["jti"], second["jti"])
				for _, got := range []map[string]any{first, second} {
					id, _ := got["jti"].(string)
					require.GreaterOrEqual(t, len(id), 26, "of 128 bits")
					delete(got, "jti")
					require.Equal(t, float64(time.Now().Unix()), got["iat"])
					delete(got, "iat")
					require.Equal(t, test.want, got)
				}
			})
		})
	}
}

// A negative test is a valid proof and one change.
func TestDPoPSign(t *testing.T) {
	key, other := newKey(t, "ES256"), newKey(t, "Ed25519")
	private := key.JWK()
	private["d"] = "AAAA"
	valid := map[string]any{"typ": "dpop+jwt", "alg": "ES256", "jwk": key.JWK()}
	validClaims := key.Claims("GET", orders, bound)
	validClaims["iat"] = 1.0
	for _, test := range []struct {
		name           string
		header, claims map[string]any // the change
		dropped        string         // what the result lacks
	}{
		{name: "no change"},
		{name: "typ", header: map[string]any{"typ": "JWT"}},
		{name: "no typ", header: map[string]any{"typ": nil}, dropped: "typ"},
		{name: "alg", header: map[string]any{"alg": "none"}},
		{name: "an alg of another kind of key", header: map[string]any{"alg": "RS256"}},
		{name: "no alg", header: map[string]any{"alg": nil}, dropped: "alg"},
		{name: "no jwk", header: map[string]any{"jwk": nil}, dropped: "jwk"},
		{name: "jwk of another key", header: map[string]any{"jwk": other.JWK()}},
		{name: "jwk with a private member", header: map[string]any{"jwk": private}},
		{name: "one more", header: map[string]any{"crit": []any{"b64"}}},
		{name: "no jti", claims: map[string]any{"jti": nil}, dropped: "jti"},
		{name: "no ath", claims: map[string]any{"ath": nil}, dropped: "ath"},
		{name: "nonce", claims: map[string]any{"nonce": "n-1"}},
		{name: "htm of another type", claims: map[string]any{"htm": 7.0}},
	} {
		t.Run(test.name, func(t *testing.T) {
			given := maps.Clone(validClaims)
			maps.Copy(given, test.claims)
			before := maps.Clone(given)
			proof := key.Sign(test.header, given)
			require.Equal(t, before, given, "the caller's map")

			wantHeader, wantClaims := maps.Clone(valid), maps.Clone(validClaims)
			maps.Copy(wantHeader, test.header)
			maps.Copy(wantClaims, test.claims)
			delete(wantHeader, test.dropped)
			delete(wantClaims, test.dropped)
			require.Equal(t, wantHeader, header(t, proof))
			require.Equal(t, wantClaims, claims(t, proof))
			requireSigned(t, "ES256", proof, publicKey(t, key.JWK())) // whatever the header says
		})
	}
	require.NotContains(t, key.JWK(), "d", "what the caller changes is a copy")
	require.Contains(t, claims(t, key.Sign(nil, map[string]any{"nonce": json.RawMessage("null")})), "nonce")
}

func TestDPoPMisuse(t *testing.T) {
	for _, alg := range []string{"", "none", "HS256", "es256"} {
		key, err := authtest.NewDPoPKey(alg)
		require.ErrorContains(t, err, fmt.Sprintf("%q", alg))
		require.Nil(t, key)
	}
	key := newKey(t, "ES256")
	require.Panics(t, func() { key.Sign(nil, map[string]any{"x": func() {}}) })
	require.Panics(t, func() { key.Sign(map[string]any{"x": func() {}}, nil) })
	for _, unmade := range []*authtest.DPoPKey{nil, {}} {
		require.Panics(t, func() { unmade.Proof("GET", orders, bound) })
		metadata, err := unmade.Metadata("https://api.example.test", "/a.B/C", bound, "")
		require.ErrorContains(t, err, "NewDPoPKey")
		require.Nil(t, metadata)
	}
	_, err := key.Metadata("https://api.example.test", "/a.B/\xff", bound, "")
	require.Error(t, err)
}

func TestDPoPMetadata(t *testing.T) {
	key := newKey(t, "EdDSA")
	for _, base := range []string{"https://api.example.test", "https://api.example.test/"} {
		got, err := key.Metadata(base, "/orders.v1.Orders/Get", bound, "n-1")
		require.NoError(t, err)
		require.Len(t, got, 2)
		require.Equal(t, "DPoP "+bound, got["authorization"])
		requireSigned(t, "EdDSA", got["dpop"], publicKey(t, key.JWK()))
		want := key.Claims("POST", "https://api.example.test/orders.v1.Orders/Get", bound)
		sent := claims(t, got["dpop"])
		require.Equal(t, []any{want["htm"], want["htu"], want["ath"], "n-1"}, []any{sent["htm"], sent["htu"], sent["ath"], sent["nonce"]})
	}
	got, err := key.Metadata("https://api.example.test", "/orders.v1.Orders/Get", bound, "")
	require.NoError(t, err)
	require.NotContains(t, claims(t, got["dpop"]), "nonce")
}

func TestDPoPConfirmation(t *testing.T) {
	as := authtest.New(t)
	key := newKey(t, "PS256")
	certificate, err := authtest.NewClientCertificate()
	require.NoError(t, err)
	confirmation := key.Confirmation()
	maps.Copy(confirmation, authtest.CertificateConfirmation(certificate.Leaf))
	verifier, err := jwtverify.New(jwtverify.Config{Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience},
		HTTPClient: as.Client(), Confirmations: []string{"jkt", "x5t#S256"}})
	require.NoError(t, err)
	got, err := verifier.Verify(t.Context(), as.Token(authtest.Claims{Confirmation: confirmation}))
	require.NoError(t, err)
	jkt, _ := got.Confirmation().Value("jkt")
	require.Equal(t, key.Thumbprint(), jkt)
	require.Equal(t, []string{"jkt", "x5t#S256"}, got.Confirmation().Members())
}
