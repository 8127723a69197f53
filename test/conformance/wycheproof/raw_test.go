package wycheproof_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/big"
	"strings"
	"testing"

	"github.com/c2sp/wycheproof"
	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate/internal/jose"
)

// raw is a file of signatures that is no JOSE, and the JWS algorithm that it is
// read as.
type raw struct {
	name string
	alg  string
	// none: the primitive or the encoding differs from that of every JWS
	// algorithm of this kind of key, so all of it must be refused.
	none bool
}

func raws() []raw {
	files := []raw{
		{name: "ecdsa_secp256r1_sha256_p1363_test.json", alg: "ES256"},
		{name: "ecdsa_secp384r1_sha384_p1363_test.json", alg: "ES384"},
		{name: "ecdsa_secp521r1_sha512_p1363_test.json", alg: "ES512"},
		{name: "ed25519_test.json", alg: "EdDSA"},
		{name: "ed25519_test.json", alg: "Ed25519"},
		{name: "rsa_pss_2048_sha256_mgf1_32_test.json", alg: "PS256"},
		{name: "rsa_pss_3072_sha256_mgf1_32_test.json", alg: "PS256"},
		{name: "rsa_pss_4096_sha256_mgf1_32_test.json", alg: "PS256"},
		{name: "rsa_pss_2048_sha384_mgf1_48_test.json", alg: "PS384"},
		{name: "rsa_pss_4096_sha384_mgf1_48_test.json", alg: "PS384"},
		{name: "rsa_pss_4096_sha512_mgf1_64_test.json", alg: "PS512"},

		// Neighbours: the same keys, another hash, curve, salt, mask or encoding.
		{name: "ecdsa_secp256r1_sha256_test.json", alg: "ES256", none: true}, // DER
		{name: "ecdsa_secp384r1_sha384_test.json", alg: "ES384", none: true},
		{name: "ecdsa_secp521r1_sha512_test.json", alg: "ES512", none: true},
		{name: "ecdsa_secp256r1_sha512_p1363_test.json", alg: "ES256", none: true},
		{name: "ecdsa_secp256k1_sha256_p1363_test.json", alg: "ES256", none: true},
		{name: "ecdsa_secp256k1_sha512_p1363_test.json", alg: "ES512", none: true},
		{name: "rsa_pss_2048_sha256_mgf1_0_test.json", alg: "PS256", none: true},
		{name: "rsa_pss_2048_sha256_mgf1sha1_20_test.json", alg: "PS256", none: true},
		{name: "rsa_pss_2048_sha512_256_mgf1_32_test.json", alg: "PS256", none: true},
		{name: "rsa_pss_4096_sha512_mgf1_32_test.json", alg: "PS512", none: true},
		{name: "rsa_signature_2048_sha512_256_test.json", alg: "RS256", none: true},
		{name: "rsa_signature_2048_sha3_256_test.json", alg: "RS256", none: true},
	}
	for _, size := range []string{"2048", "3072", "4096", "8192"} {
		for _, hash := range []string{"256", "384", "512"} {
			files = append(files, raw{name: fmt.Sprintf("rsa_signature_%s_sha%s_test.json", size, hash), alg: "RS" + hash})
		}
	}
	return files
}

// genuine are vectors of the neighbours that Wycheproof calls invalid, since
// they are signatures of just the algorithm that they are read as here.
var genuine = map[string][]exception{
	"rsa_pss_2048_sha256_mgf1_0_test.json":    {{"69", "the salt is as long as the hash: PS256"}},
	"rsa_signature_2048_sha512_256_test.json": {{"221", "hashed with SHA-256: RS256"}},
	"rsa_signature_2048_sha3_256_test.json":   {{"221", "hashed with SHA-256: RS256"}},
}

type rawGroup struct {
	Key struct {
		Curve    string `json:"curve"`
		X        string `json:"wx"`
		Y        string `json:"wy"`
		Point    string `json:"pk"`
		Modulus  string `json:"modulus"`
		Exponent string `json:"publicExponent"`
	} `json:"publicKey"`
	JWK   json.RawMessage `json:"publicKeyJwk"`
	Tests []struct {
		ID      int    `json:"tcId"`
		Comment string `json:"comment"`
		Result  string `json:"result"`
		Message string `json:"msg"`
		Sig     string `json:"sig"`
	} `json:"tests"`
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

// jwk writes the public key of a group as a JWK.
func (g rawGroup) jwk(t *testing.T) []byte {
	t.Helper()
	m := map[string]string{}
	number := func(hexes string, size int) string {
		n := new(big.Int).SetBytes(unhex(t, hexes))
		return base64.RawURLEncoding.EncodeToString(n.FillBytes(make([]byte, max(size, (n.BitLen()+7)/8))))
	}
	coordinates := func(crv string, size int) {
		m["kty"], m["crv"], m["x"], m["y"] = "EC", crv, number(g.Key.X, size), number(g.Key.Y, size)
	}
	switch {
	case g.Key.Curve == "secp256r1":
		coordinates("P-256", 32)
	case g.Key.Curve == "secp384r1":
		coordinates("P-384", 48)
	case g.Key.Curve == "secp521r1":
		coordinates("P-521", 66)
	case g.Key.Curve == "secp256k1":
		coordinates("secp256k1", 32)
	case g.Key.Curve == "edwards25519":
		m["kty"], m["crv"], m["x"] = "OKP", "Ed25519", base64.RawURLEncoding.EncodeToString(unhex(t, g.Key.Point))
	case g.Key.Modulus != "":
		m["kty"], m["n"], m["e"] = "RSA", number(g.Key.Modulus, 0), number(g.Key.Exponent, 0)
	default:
		require.Fail(t, "what key is this?")
	}
	data, err := json.Marshal(m)
	require.NoError(t, err)
	return data
}

// The primitives below JOSE: every raw signature that has the form of a JWS
// algorithm, and the neighbours that must not pass for one.
//
// req: R7515-11, R7517-05, R7517-06, R8725-01, R8725-03, R8725-04, R8725-14
func TestRawSignatures(t *testing.T) {
	var tallies []*tally
	for _, r := range raws() {
		f := load[rawGroup](t, r.name)
		exceptions, own := map[int]string{}, byID(t, genuine[r.name])
		c := &tally{file: r.name + ", as " + r.alg, policy: map[string]int{}}
		for _, g := range f.TestGroups {
			c.groups++
			require.NotEmpty(t, g.Tests)
			key, err := jose.ParseKey(g.jwk(t))
			if err == nil && g.JWK != nil {
				same, err := jose.ParseKey(g.JWK)
				require.NoError(t, err)
				require.Equal(t, key.Thumbprint(), same.Thumbprint(), "the JWK of the vector is another key")
			}
			for _, v := range g.Tests {
				message, sig := unhex(t, v.Message), unhex(t, v.Sig)
				ok := err == nil && key.Verify(r.alg, message, sig) == nil
				// An invalid vector may well be a signature of another algorithm:
				// that is then what is wrong with it. A valid one is of one alone.
				for _, alg := range jose.Algorithms() {
					ed := strings.HasPrefix(alg, "Ed") && strings.HasPrefix(r.alg, "Ed")
					if err == nil && v.Result == "valid" && alg != r.alg && !ed && key.Verify(alg, message, sig) == nil {
						t.Errorf("%s %d: verifies as %s", c.file, v.ID, alg)
					}
				}
				result := v.Result
				switch {
				case own[v.ID] != "":
					result = "valid"
					delete(own, v.ID)
				case r.none && result != "invalid":
					result = "valid"
					exceptions[v.ID] = "not the primitive or the encoding of " + r.alg
				}
				c.judge(t, v.ID, result, v.Comment, ok, exceptions)
			}
		}
		c.counted(t, f.NumberOfTests, exceptions)
		require.Empty(t, own, "%s: exceptions for vectors that do not exist", c.file)
		tallies = append(tallies, c)
	}
	table(t, tallies)
}

// No file that has the form of a JWS algorithm is left out, also not one that
// a later version of Wycheproof brings.
func TestRawFiles(t *testing.T) {
	listed := map[string]bool{}
	for _, r := range raws() {
		listed[r.name] = true
	}
	for _, pattern := range []string{
		"ecdsa_secp256r1_sha256_p1363_test.json", "ecdsa_secp384r1_sha384_p1363_test.json", "ecdsa_secp521r1_sha512_p1363_test.json", "ed25519_test.json",
		"rsa_pss_*_sha256_mgf1_32_test.json", "rsa_pss_*_sha384_mgf1_48_test.json", "rsa_pss_*_sha512_mgf1_64_test.json",
		"rsa_signature_*_sha256_test.json", "rsa_signature_*_sha384_test.json", "rsa_signature_*_sha512_test.json",
	} {
		names, err := fs.Glob(wycheproof.TestVectors, pattern)
		require.NoError(t, err)
		require.NotEmpty(t, names, pattern)
		for _, name := range names {
			if strings.Contains(name, "sha3_") {
				continue
			}
			require.True(t, listed[name], name)
		}
	}
}
