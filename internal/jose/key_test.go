package jose_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"strings"
	"testing"

	"github.com/lestrrat-go/jwx/v2/jwk"

	"github.com/bearergate/bearergate/internal/jose"
	"github.com/stretchr/testify/require"
)

// Each refused row is an admitted key and one change.
//
// req: R7517-01, R7517-02, R9449-07
func TestParseKeyMembers(t *testing.T) {
	for _, base := range []struct {
		name string
		jwk  members
		alg  string // one that it serves
	}{{"RSA", rsaJWK(t), "RS256"}, {"EC", ecJWK(t), "ES256"}, {"OKP", edJWK(t), "EdDSA"}} {
		plain := admitted(t, base.jwk.json(t))
		good := func(name string, jwk members) {
			t.Run(base.name+"/admitted/"+name, func(t *testing.T) {
				require.Equal(t, plain.Thumbprint(), admitted(t, jwk.json(t)).Thumbprint())
			})
		}
		bad := func(name string, jwk members) {
			t.Run(base.name+"/refused/"+name, func(t *testing.T) { refused(t, jwk.json(t)) })
		}
		notStrings := map[string]any{"number": 1, "false": false, "array": []string{"x"}, "empty array": []string{}, "object": members{}}

		good("as it is", base.jwk)
		good("use sig", base.jwk.with("use", "sig"))
		good("key_ops verify", base.jwk.with("key_ops", []string{"verify"}))
		good("key_ops sign and verify", base.jwk.with("key_ops", []string{"sign", "verify"}))
		good("use and key_ops", base.jwk.with("use", "sig").with("key_ops", []string{"verify"}))
		good("alg", base.jwk.with("alg", base.alg))
		good("everything", base.jwk.with("alg", base.alg).with("use", "sig").with("key_ops", []string{"verify"}).with("kid", "k"))
		good("unknown members", base.jwk.with("x5c", []any{1}).with("x5t#S256", nil).with("exp", 0).with("iat", "x").with("revoked", members{"at": 1}))
		good("folded names beside", base.jwk.with("KTY", "oct").with("Use", "enc").with("ALG", "none").with("D", "x").with("Key_Ops", []string{}))

		// req: R7517-01: a member that is null is as good as none, and none that is needed.
		for _, name := range []string{"use", "alg", "kid", "key_ops", "x5t", "x5t#S256", "x5c", "x5u", "issuer", "d", "p", "q", "dp", "dq", "qi", "oth", "k", "revoked"} {
			good(name+" null", base.jwk.with(name, nil))
		}
		good("null wherever it can be", base.jwk.with("use", nil).with("alg", nil).with("kid", nil).with("key_ops", nil).with("d", nil).with("k", nil))
		bad("d null, and another private member that is not", base.jwk.with("d", nil).with("p", "AQAB"))
		bad("use null, key_ops sign", base.jwk.with("use", nil).with("key_ops", []string{"sign"}))

		for _, name := range []string{"kty", "n", "e", "crv", "x", "y"} {
			if _, has := base.jwk[name]; has {
				bad(name+" null", base.jwk.with(name, nil))
				bad("without "+name, base.jwk.without(name))
				bad("folded "+name, base.jwk.without(name).with(strings.ToUpper(name), base.jwk[name]))
				bad("empty "+name, base.jwk.with(name, ""))
			}
		}
		for _, name := range []string{"kty", "n", "e", "crv", "x", "y", "use", "alg", "kid"} {
			for what, value := range notStrings {
				bad(name+" "+what, base.jwk.with(name, value))
			}
		}
		for _, kty := range []string{"rsa", "Rsa", "ec", "Ec", "okp", "EC ", "oct", "OCT", "AKP", "none", strings.ToLower(base.name), base.name + "\x00"} {
			bad("kty "+kty, base.jwk.with("kty", kty))
		}
		for _, kty := range []string{"RSA", "EC", "OKP"} {
			if kty != base.name {
				bad("kty of another, "+kty, base.jwk.with("kty", kty))
			}
		}
		for _, use := range []string{"enc", "SIG", "Sig", "sig ", "", "signature", "verify"} {
			bad("use "+use, base.jwk.with("use", use))
		}
		for what, ops := range map[string]any{
			"string": "verify", "number": 1, "object": members{"verify": 1}, "empty": []string{},
			"sign": []string{"sign"}, "encrypt": []string{"encrypt"}, "case": []string{"VERIFY"}, "padded": []string{"verify "},
			"with a number": []any{"verify", 1}, "with null": []any{"verify", nil}, "nested": []any{[]string{"verify"}},
		} {
			bad("key_ops "+what, base.jwk.with("key_ops", ops))
		}
		bad("use enc, key_ops verify", base.jwk.with("use", "enc").with("key_ops", []string{"verify"}))
		bad("use sig, key_ops sign", base.jwk.with("use", "sig").with("key_ops", []string{"sign"}))
		for _, alg := range append(foreignAlgorithms, strings.ToLower(base.alg), "ES999", "A256GCM") {
			bad("alg "+alg, base.jwk.with("alg", alg))
		}
		for _, name := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"} {
			for what, value := range map[string]any{"string": "AQAB", "empty": "", "array": []any{}, "number": 1} {
				bad("private member "+name+" "+what, base.jwk.with(name, value))
			}
		}
	}
	for name, jwk := range map[string]string{
		"oct":               `{"kty":"oct","k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`,
		"oct with alg":      `{"kty":"oct","alg":"HS256","use":"sig","k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`,
		"oct without k":     `{"kty":"oct"}`,
		"AKP (ML-DSA)":      `{"kty":"AKP","alg":"ML-DSA-44","pub":"AAAA"}`,
		"no members":        `{}`,
		"only kty":          `{"kty":"RSA"}`,
		"null":              `null`,
		"array":             `[]`,
		"string":            `"x"`,
		"number":            `1`,
		"nothing":           ``,
		"white space":       ` `,
		"a set":             `{"keys":[` + string(ecJWK(t).json(t)) + `]}`,
		"a key in an array": `[` + string(ecJWK(t).json(t)) + `]`,
		"PEM":               "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n-----END PUBLIC KEY-----\n",
	} {
		t.Run("refused/"+name, func(t *testing.T) { refused(t, []byte(jwk)) })
	}
}

func TestParseKeyID(t *testing.T) {
	base := edJWK(t)
	for name, c := range map[string]struct{ kid, want string }{
		"plain":            {"k", "k"},
		"empty, like none": {"", ""},
		"256 bytes":        {strings.Repeat("k", 256), strings.Repeat("k", 256)},
		"128 é":            {strings.Repeat("é", 128), strings.Repeat("é", 128)},
		"any text":         {"\"\\/\n\x00😀../", "\"\\/\n\x00😀../"},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.want, admitted(t, base.with("kid", c.kid).json(t)).ID())
			key, err := jose.NewKey(c.kid, edKey().Public())
			require.NoError(t, err)
			require.Equal(t, c.want, key.ID())
		})
	}
	require.Empty(t, admitted(t, base.json(t)).ID())
	require.Equal(t, "k1", admitted(t, []byte(strings.Replace(string(base.json(t)), "{", `{"\u006bid":"k\u0031",`, 1))).ID())
	for name, kid := range map[string]string{"257 bytes": strings.Repeat("k", 257), "129 é": strings.Repeat("é", 129)} {
		t.Run(name, func(t *testing.T) {
			refused(t, base.with("kid", kid).json(t))
			key, err := jose.NewKey(kid, edKey().Public())
			require.Error(t, err)
			require.Equal(t, jose.Key{}, key)
		})
	}
	key, err := jose.NewKey("\xff", edKey().Public())
	require.Error(t, err)
	require.Equal(t, jose.Key{}, key)
}

// req: R7515-13, R7517-01
func TestParseKeyStrictJSON(t *testing.T) {
	good := string(edJWK(t).json(t))
	admitted(t, []byte(" \n"+good+"\t\r\n"))
	first := func(member string) string { return strings.Replace(good, "{", "{"+member+",", 1) }
	last := func(member string) string { return strings.TrimSuffix(good, "}") + "," + member + "}" }
	for name, jwk := range map[string]string{
		"kty twice":              first(`"kty":"OKP"`),
		"x twice, ours last":     first(`"x":"AAAA"`),
		"x twice, ours first":    last(`"x":"AAAA"`),
		"x twice, escaped":       last(`"\u0078":"AAAA"`),
		"use twice":              first(`"use":"sig","use":"enc"`),
		"unknown twice":          first(`"z":1,"z":1`),
		"twice at depth":         first(`"z":{"a":1,"a":1}`),
		"private, escaped":       first(`"\u0064":"AAAA"`),
		"BOM":                    "\ufeff" + good,
		"trailing letter":        good + "x",
		"trailing NUL":           good + "\x00",
		"two keys":               good + good,
		"unterminated":           strings.TrimSuffix(good, "}"),
		"trailing comma":         strings.TrimSuffix(good, "}") + ",}",
		"invalid UTF-8":          first("\"z\":\"\xff\""),
		"lone surrogate":         first(`"z":"\ud800"`),
		"kid a lone surrogate":   first(`"kid":"\ud800"`),
		"100 000 deep":           first(`"z":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000)),
		"UTF-16":                 "{\x00}\x00",
		"comment":                first(`/* "d" */"z":1`),
		"white space in kty":     strings.Replace(good, `"OKP"`, `" OKP"`, 1),
		"longer than 64 KiB":     first(`"z":"` + strings.Repeat("z", 64<<10-len(good)-len(`"z":"",`)+1) + `"`),
		"10 MB":                  first(`"z":"` + strings.Repeat("z", 10<<20) + `"`),
		"longer by white space":  good + strings.Repeat(" ", 64<<10-len(good)+1),
		"64 KiB and not closed":  strings.Repeat(`{"z":`, (64<<10)/5),
		"n of 60 KB for another": first(`"n":"` + strings.Repeat("A", 60_000) + `","y":1`),
	} {
		t.Run(name, func(t *testing.T) { refused(t, []byte(jwk)) })
	}
	admitted(t, []byte(first(`"z":"`+strings.Repeat("z", 64<<10-len(good)-len(`"z":"",`))+`"`)))
	admitted(t, []byte(good+strings.Repeat(" ", 64<<10-len(good))))
}

// Base64url that another parser would take for the same bytes.
//
// req: R7517-01
func TestParseKeyBase64(t *testing.T) {
	// The larger ones are whole quads, so that what a decoder has read when it
	// meets the fault is a usable key.
	whole := rsaJWK(t).with("n", b64(modulus(3072).Bytes()))
	for _, base := range []members{rsaJWK(t), whole, ecJWK(t), jwkOf(t, ecKeys["ES384"]().Public()), edJWK(t)} {
		admitted(t, base.json(t))
		for _, name := range []string{"n", "e", "x", "y"} {
			text, has := base[name].(string)
			if !has {
				continue
			}
			spare := map[int]string{0: "", 2: "4", 3: "2"}[len(text)%4]
			mutants := map[string]string{
				"padded": text + strings.Repeat("=", (4-len(text)%4)%4), "=": text + "=", "====": text + "====",
				"LF in": text[:2] + "\n" + text[2:], "CR in": text[:2] + "\r" + text[2:], "CRLF last": text + "\r\n",
				"space in": text[:2] + " " + text[2:], "+": text[:1] + "+" + text[2:], "/": text[:1] + "/" + text[2:],
				"NUL last": text + "\x00", "dot": text + ".", "outside ASCII": "é" + text[2:],
				"one character more": text + strings.Repeat("A", (5-len(text)%4)%4),
			}
			if spare != "" {
				lastChar := strings.IndexByte(alphabet, text[len(text)-1])
				mutants["trailing bits"] = text[:len(text)-1] + string(alphabet[lastChar|1])
				require.Equal(t, unb64(t, text), unb64(t, mutants["trailing bits"]))
			}
			for what, mutant := range mutants {
				if mutant != text {
					t.Run(fmt.Sprint(base["kty"], "/", name, "/", what), func(t *testing.T) { refused(t, base.with(name, mutant).json(t)) })
				}
			}
		}
	}
	// Both e of this key and its thumbprint name one spelling, AQAB.
	require.Equal(t, "AQAB", rsaJWK(t)["e"])
}

// req: R7517-04, R7517-01
func TestParseKeyRSAModulus(t *testing.T) {
	base := rsaJWK(t)
	for _, bits := range []int{2048, 2049, 2055, 2056, 3072, 4096, 8191, 8192} {
		n := modulus(bits)
		key := admitted(t, base.with("n", b64(n.Bytes())).json(t))
		made, err := jose.NewKey("", &rsa.PublicKey{N: n, E: 65537})
		require.NoError(t, err)
		require.Equal(t, key.Thumbprint(), made.Thumbprint(), "%d bits", bits)
	}
	for _, bits := range []int{1, 2, 8, 512, 1024, 2040, 2047, 8193, 8200, 8208, 16384, 1 << 18} {
		n := modulus(bits)
		refused(t, base.with("n", b64(n.Bytes())).json(t))
		made, err := jose.NewKey("", &rsa.PublicKey{N: n, E: 65537})
		require.Error(t, err, "%d bits", bits)
		require.Equal(t, jose.Key{}, made)
	}
	t.Run("even", func(t *testing.T) {
		n := modulus(2048)
		n.SetBit(n, 0, 0)
		refused(t, base.with("n", b64(n.Bytes())).json(t))
		_, err := jose.NewKey("", &rsa.PublicKey{N: n, E: 65537})
		require.Error(t, err)
	})
	t.Run("leading zeros", func(t *testing.T) {
		plain := admitted(t, base.json(t))
		n := unb64(t, base["n"].(string))
		for _, zeros := range []int{1, 2, 100} {
			key := admitted(t, base.with("n", b64(append(make([]byte, zeros), n...))).json(t))
			require.Equal(t, plain.Thumbprint(), key.Thumbprint())
			token, err := jose.Sign("RS256", rsaKey(), []byte(`{"alg":"RS256"}`), []byte(`{}`))
			require.NoError(t, err)
			j, err := jose.Parse(token, maxToken)
			require.NoError(t, err)
			requireVerifies(t, key, "RS256", j.Signed, j.Signature)
		}
		admitted(t, base.with("n", b64(append([]byte{0}, modulus(8192).Bytes()...))).json(t))
		// Zeros do not make a short modulus long, nor are many of them read.
		refused(t, base.with("n", b64(append(make([]byte, 128), modulus(1024).Bytes()...))).json(t))
		refused(t, base.with("n", b64(append(make([]byte, 2), modulus(8192).Bytes()...))).json(t))
		refused(t, base.with("n", b64(append(make([]byte, 40_000), n...))).json(t))
		refused(t, base.with("n", b64(make([]byte, 256))).json(t))
	})
}

// A modulus that is a power of 65537 modulo each of the primes of the broken
// generator is refused; one that differs modulo any one of them is not.
func TestParseKeyROCA(t *testing.T) {
	primes := []int64{11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157}
	random := mathrand.New(mathrand.NewPCG(1, 2))
	// power says whether rest is one: by trying all exponents.
	power := func(rest, p int64) bool {
		for i, x := int64(0), int64(1); i < p; i, x = i+1, x*65537%p {
			if x == rest {
				return true
			}
		}
		return false
	}
	// A modulus of 2048 bits, by the Chinese remainder theorem: odd, and a power
	// modulo all primes but one.
	modulusBut := func(but int64) *big.Int {
		n, m := big.NewInt(1), big.NewInt(2)
		for _, p := range primes {
			want := random.Int64N(p)
			for power(want, p) == (p == but) {
				want = random.Int64N(p)
			}
			for new(big.Int).Mod(n, big.NewInt(p)).Int64() != want {
				n.Add(n, m)
			}
			m.Mul(m, big.NewInt(p))
		}
		steps := new(big.Int).Div(new(big.Int).Lsh(big.NewInt(1), 2047), m)
		steps.Add(steps, new(big.Int).SetUint64(random.Uint64()))
		return n.Add(n, steps.Mul(steps, m).Add(steps, m))
	}
	base := rsaJWK(t)
	for _, p := range primes {
		for range 8 {
			refused(t, base.with("n", b64(modulusBut(0).Bytes())).json(t))
			admitted(t, base.with("n", b64(modulusBut(p).Bytes())).json(t))
		}
	}
	_, err := jose.NewKey("", &rsa.PublicKey{N: modulusBut(0), E: 65537})
	require.Error(t, err)
}

// req: R7517-01
func TestParseKeyRSAExponent(t *testing.T) {
	base := rsaJWK(t)
	for e, ok := range map[int64]bool{
		0: false, 1: false, 2: false, 3: true, 4: false, 5: true, 17: true, 255: true, 256: false, 257: true,
		65536: false, 65537: true, 1<<31 - 2: false, 1<<31 - 1: true, 1 << 31: false, 1<<31 + 1: false,
		1<<32 - 1: false, 1 << 32: false, 1<<32 + 1: false, 1<<32 + 65537: false, 1<<40 + 65537: false, -1: false, -3: false, -65537: false,
	} {
		if int64(int(e)) != e {
			continue // an int of 32 bits cannot say it
		}
		made, err := jose.NewKey("", &rsa.PublicKey{N: rsaKey().N, E: int(e)})
		require.Equal(t, ok, err == nil, "NewKey with e = %d: %v", e, err)
		if e < 0 {
			continue
		}
		jwk := base.with("e", b64(big.NewInt(e).Bytes())).json(t)
		if !ok {
			require.Equal(t, jose.Key{}, made)
			refused(t, jwk)
			continue
		}
		require.Equal(t, made.Thumbprint(), admitted(t, jwk).Thumbprint())
	}
	for name, e := range map[string][]byte{
		"leading zero":              {0, 1, 0, 1},
		"leading zeros":             {0, 0, 0, 1, 0, 1},
		"zero, one byte":            {0},
		"zero, four bytes":          {0, 0, 0, 0},
		"five bytes":                {1, 0, 1, 0, 1},
		"eight bytes":               {1, 0, 0, 0, 0, 1, 0, 1},
		"nine bytes":                {1, 0, 0, 0, 0, 0, 1, 0, 1},
		"truncates to 65537":        {0xff, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1},
		"as long as n":              modulus(2048).Bytes(),
		"thousands of bytes":        append(make([]byte, 9000), 1, 0, 1),
		"the modulus's own texture": {0xff, 0xff, 0xff, 0xff},
	} {
		t.Run(name, func(t *testing.T) { refused(t, base.with("e", b64(e)).json(t)) })
	}
}

func ecPoint(t testing.TB, pub *ecdsa.PublicKey) (x, y *big.Int) {
	t.Helper()
	point, err := pub.Bytes()
	require.NoError(t, err)
	half := len(point) / 2
	return new(big.Int).SetBytes(point[1 : 1+half]), new(big.Int).SetBytes(point[1+half:])
}

// req: R7517-05, R8725-04
func TestParseKeyEC(t *testing.T) {
	type curve struct {
		alg, crv string
		params   *elliptic.CurveParams
	}
	curves := []curve{{"ES256", "P-256", elliptic.P256().Params()}, {"ES384", "P-384", elliptic.P384().Params()}, {"ES512", "P-521", elliptic.P521().Params()}}
	for _, c := range curves {
		t.Run(c.crv, func(t *testing.T) {
			p := c.params.P
			size := (c.params.BitSize + 7) / 8
			x, y := ecPoint(t, &ecKeys[c.alg]().PublicKey)
			jwk := func(x, y []byte) members { return members{"kty": "EC", "crv": c.crv, "x": b64(x), "y": b64(y)} }
			fixed := func(v *big.Int) []byte { return v.FillBytes(make([]byte, size)) }
			xb, yb := fixed(x), fixed(y)
			key := admitted(t, jwk(xb, yb).json(t))
			require.Equal(t, []string{c.alg}, key.Algorithms())
			negated := admitted(t, jwk(xb, fixed(new(big.Int).Sub(p, y))).json(t)) // a point as good as any
			require.NotEqual(t, key.Thumbprint(), negated.Thumbprint())

			zero, one := new(big.Int), big.NewInt(1)
			offCurve := map[string][2][]byte{
				"y + 1":           {xb, fixed(new(big.Int).Add(y, one))},
				"x + 1":           {fixed(new(big.Int).Add(x, one)), yb},
				"(0, 0)":          {fixed(zero), fixed(zero)},
				"(0, 1)":          {fixed(zero), fixed(one)},
				"(1, 1)":          {fixed(one), fixed(one)},
				"swapped":         {yb, xb},
				"x = y":           {xb, xb},
				"(p, p)":          {fixed(p), fixed(p)},
				"all ones":        {fixed(new(big.Int).Sub(new(big.Int).Lsh(one, uint(8*size)), one)), yb},
				"x little endian": {reversed(xb), reversed(yb)},
				"x empty":         {nil, yb},
				"both empty":      {nil, nil},
				"x short":         {xb[1:], yb},
				"y short":         {xb, yb[1:]},
				"x long":          {append([]byte{0}, xb...), yb},
				"y long":          {xb, append([]byte{0}, yb...)},
				"both long":       {append([]byte{0}, xb...), append([]byte{0}, yb...)},
				"zero after":      {append(fixed(x), 0), yb},
				"byte moved":      {append(fixed(x), yb[0]), yb[1:]},
				"byte moved back": {xb[:size-1], append([]byte{xb[size-1]}, yb...)},
				"point in x":      {append(append([]byte{4}, xb...), yb...), nil},
				"compressed":      {append([]byte{2}, xb...), nil},
				"infinity":        {[]byte{0}, nil},
			}
			for name, point := range offCurve {
				t.Run(name, func(t *testing.T) { refused(t, jwk(point[0], point[1]).json(t)) })
			}
			t.Run("coordinates not below p", func(t *testing.T) {
				// A point with an x so small that x + p still has room.
				small, root := smallPoint(c.params)
				admitted(t, jwk(fixed(small), fixed(root)).json(t))
				refused(t, jwk(fixed(new(big.Int).Add(small, p)), fixed(root)).json(t))
				if c.crv == "P-521" {
					refused(t, jwk(xb, fixed(new(big.Int).Add(y, p))).json(t))
					refused(t, jwk(fixed(new(big.Int).Add(x, p)), yb).json(t))
				}
			})
			for _, crv := range []string{"P-256", "P-384", "P-521", "P-224", "p-256", "P256", "secp256r1", "secp256k1", "Ed25519", "X25519", "1.2.840.10045.3.1.7"} {
				if crv != c.crv {
					refused(t, jwk(xb, yb).with("crv", crv).json(t))
				}
			}
			for _, alg := range []string{"ES256", "ES384", "ES512", "RS256", "PS256", "EdDSA", "ECDH-ES"} {
				if alg != c.alg {
					refused(t, jwk(xb, yb).with("alg", alg).json(t))
				}
			}
		})
	}
	t.Run("the curve of another length", func(t *testing.T) {
		x, y := ecPoint(t, &ecKeys["ES256"]().PublicKey)
		for _, crv := range []string{"P-384", "P-521"} {
			size := map[string]int{"P-384": 48, "P-521": 66}[crv]
			refused(t, members{"kty": "EC", "crv": crv, "x": b64(x.FillBytes(make([]byte, size))), "y": b64(y.FillBytes(make([]byte, size)))}.json(t))
		}
	})
	t.Run("secp256k1", func(t *testing.T) {
		g := members{
			"kty": "EC", "crv": "secp256k1",
			"x": "eb5mfvncu6xVoGKVzocLBwKb_NstzijZWfKBWxb4F5g", "y": "SDradyajxGVdpPv8DhEIqP0XtEimhVQZnEfQj_sQ1Lg",
		}
		refused(t, g.json(t))
		refused(t, g.with("crv", "P-256").json(t))
		refused(t, g.with("alg", "ES256K").json(t))
		refused(t, g.with("alg", "ES256").json(t))
	})
}

// smallPoint finds the least x > 0 of a point of y² = x³ - 3x + b.
func smallPoint(c *elliptic.CurveParams) (x, y *big.Int) {
	for x = big.NewInt(1); ; x.Add(x, big.NewInt(1)) {
		yy := new(big.Int).Exp(x, big.NewInt(3), c.P)
		yy.Sub(yy, new(big.Int).Mul(big.NewInt(3), x))
		yy.Add(yy, c.B)
		if y = new(big.Int).ModSqrt(yy.Mod(yy, c.P), c.P); y != nil {
			return x, y
		}
	}
}

// ecAt makes any key, on the curve or not.
func ecAt(curve elliptic.Curve, x, y *big.Int) *ecdsa.PublicKey {
	//lint:ignore SA1019 only the fields can hold a point that is off the curve
	return &ecdsa.PublicKey{Curve: curve, X: x, Y: y}
}

// NewKey takes what users build by hand, and must neither admit nor panic.
func TestNewKeyOfUnusableKeys(t *testing.T) {
	x, y := ecPoint(t, &ecKeys["ES256"]().PublicKey)
	n := rsaKey().N
	one := big.NewInt(1)
	for name, pub := range map[string]crypto.PublicKey{
		"nil":                       nil,
		"nil RSA":                   (*rsa.PublicKey)(nil),
		"nil EC":                    (*ecdsa.PublicKey)(nil),
		"nil Ed25519":               ed25519.PublicKey(nil),
		"zero RSA":                  &rsa.PublicKey{},
		"RSA without e":             &rsa.PublicKey{N: n},
		"RSA without n":             &rsa.PublicKey{E: 65537},
		"RSA, n 0":                  &rsa.PublicKey{N: new(big.Int), E: 65537},
		"RSA, n negative":           &rsa.PublicKey{N: new(big.Int).Neg(n), E: 65537},
		"RSA by value":              rsaKey().PublicKey,
		"RSA private":               rsaKey(),
		"zero EC":                   &ecdsa.PublicKey{},
		"EC without curve":          ecAt(nil, x, y),
		"EC without point":          ecAt(elliptic.P256(), nil, nil),
		"EC without x":              ecAt(elliptic.P256(), nil, y),
		"EC without y":              ecAt(elliptic.P256(), x, nil),
		"EC off the curve":          ecAt(elliptic.P256(), x, new(big.Int).Add(y, one)),
		"EC at infinity":            ecAt(elliptic.P256(), new(big.Int), new(big.Int)),
		"EC, x negative":            ecAt(elliptic.P256(), new(big.Int).Neg(x), y),
		"EC, x + p":                 ecAt(elliptic.P256(), new(big.Int).Add(x, elliptic.P256().Params().P), y),
		"EC, another curve":         ecAt(elliptic.P384(), x, y),
		"EC, P-224":                 &generated(ecdsa.GenerateKey(elliptic.P224(), rand.Reader)).PublicKey,
		"EC, a curve of one's own":  ecAt(elliptic.P256().Params(), x, y),
		"EC by value":               ecKeys["ES256"]().PublicKey,
		"EC private":                ecKeys["ES256"](),
		"Ed25519 private":           edKey(),
		"Ed25519, 31 bytes":         edKey().Public().(ed25519.PublicKey)[:31],
		"Ed25519, 33 bytes":         append(edKey().Public().(ed25519.PublicKey)[:32:32], 0),
		"Ed25519, small order":      ed25519.PublicKey(make([]byte, 32)),
		"an X25519 key":             generated(ecKeys["ES256"]().PublicKey.ECDH()),
		"a secret":                  []byte("secret"),
		"a string":                  "secret",
		"a jwk.Key":                 generated(jwk.FromRaw(rsaKey().Public())),
		"pointer to Ed25519":        new(ed25519.PublicKey),
		"a typed nil *big.Int in n": &rsa.PublicKey{N: (*big.Int)(nil), E: 3},
	} {
		t.Run(name, func(t *testing.T) {
			key, err := jose.NewKey("k", pub)
			require.Error(t, err)
			require.Equal(t, jose.Key{}, key)
		})
	}
}

func TestNewKeyAlgorithms(t *testing.T) {
	pub := rsaKey().Public()
	for _, c := range []struct{ algs, want []string }{
		{nil, []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}},
		{[]string{}, []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}},
		{[]string{"RS256"}, []string{"RS256"}},
		{[]string{"RS256", "RS256"}, []string{"RS256"}},
		{[]string{"RS256", "PS512"}, []string{"RS256", "PS512"}},
		{[]string{"RS256", "PS512", "RS256"}, []string{"RS256", "PS512"}},
	} {
		key, err := jose.NewKey("k", pub, c.algs...)
		require.NoError(t, err)
		require.ElementsMatch(t, c.want, key.Algorithms())
	}
	key, err := jose.NewKey("", edKey().Public(), "EdDSA")
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"EdDSA", "Ed25519"}, key.Algorithms())
	for _, algs := range [][]string{
		{""}, {"RS256", ""}, {"none"}, {"HS256"}, {"rs256"}, {"ES256"}, {"EdDSA"}, {"RS256", "ES256"}, {"RS256", "none"}, {"PS256", "RSA-OAEP"},
	} {
		key, err := jose.NewKey("k", pub, algs...)
		require.Error(t, err, "%q", algs)
		require.Equal(t, jose.Key{}, key)
	}
}

// A key that is refused tells why without any of its material.
func TestKeyErrorsHoldNoMaterial(t *testing.T) {
	const secret = "c2VjcmV0LXNlY3JldC1zZWNyZXQ"
	for _, jwk := range []string{
		`{"kty":"oct","k":"` + secret + `"}`, `{"kty":"RSA","n":"` + secret + `","e":"AQAB"}`, `{"kty":"RSA","d":"` + secret + `"}`,
		`{"kty":"EC","crv":"P-256","x":"` + secret + `","y":"` + secret + `"}`, `{"kty":"OKP","crv":"Ed25519","x":"` + secret + `"}`,
		`{"kty":"RSA","` + secret + `":1,"` + secret + `":1}`, `{"kty":1,"z":"` + secret + `"}`,
	} {
		_, err := jose.ParseKey([]byte(jwk))
		require.Error(t, err)
		require.NotContains(t, err.Error(), secret)
	}
	// What names a kind or a curve is quoted, and cut short.
	for _, jwk := range []string{
		`{"kty":"` + strings.Repeat("x", 5000) + `"}`, `{"kty":"EC","crv":"` + strings.Repeat("x", 5000) + `"}`,
		`{"kty":"OKP","crv":"` + strings.Repeat(`\n`, 5000) + `"}`, `{"kty":"` + strings.Repeat("é", 5000) + `"}`,
	} {
		_, err := jose.ParseKey([]byte(jwk))
		require.Error(t, err)
		require.Less(t, len(err.Error()), 200)
		require.NotContains(t, err.Error(), "\n")
	}
}

// Why we look at the members first: what jwk.ParseKey alone admits. When a row
// here fails, jwx has become stricter and the check on our side may be doubled.
func TestBareJWXAdmitsWhatWeRefuse(t *testing.T) {
	rsaBase, ecBase, edBase := rsaJWK(t), ecJWK(t), edJWK(t)
	x, y := ecPoint(t, &ecKeys["ES256"]().PublicKey)
	even := new(big.Int).SetBit(modulus(2048), 0, 0)
	for name, key := range map[string]members{
		"EC point off the curve":     ecBase.with("y", b64(new(big.Int).Xor(y, big.NewInt(1)).FillBytes(make([]byte, 32)))),
		"EC coordinate too long":     ecBase.with("x", b64(append([]byte{0}, x.FillBytes(make([]byte, 32))...))),
		"EC point at infinity":       ecBase.with("x", b64(make([]byte, 32))).with("y", b64(make([]byte, 32))),
		"Ed25519 key of 31 bytes":    edBase.with("x", b64(make([]byte, 31))),
		"Ed25519 key of small order": edBase.with("x", b64(make([]byte, 32))),
		"exponent 1":                 rsaBase.with("e", "AQ"),
		"exponent 2":                 rsaBase.with("e", "Ag"),
		"exponent overlong":          rsaBase.with("e", b64([]byte{1, 0, 0, 0, 0, 0, 1, 0, 1})),
		"exponent empty bytes":       rsaBase.with("e", b64([]byte{0})),
		"modulus of 1024 bits":       rsaBase.with("n", b64(modulus(1024).Bytes())),
		"modulus even":               rsaBase.with("n", b64(even.Bytes())),
		"modulus of 16384 bits":      rsaBase.with("n", b64(modulus(16384).Bytes())),
		"use enc":                    rsaBase.with("use", "enc"),
		"key_ops sign":               rsaBase.with("key_ops", []string{"sign"}),
		"alg of another key type":    rsaBase.with("alg", "ES256"),
		"n padded":                   rsaBase.with("n", rsaBase["n"].(string)+"=="),
		"kid of a megabyte":          rsaBase.with("kid", strings.Repeat("k", 1<<20)),
		"oct":                        {"kty": "oct", "k": "AAAA"},
	} {
		t.Run(name, func(t *testing.T) {
			data := key.json(t)
			parsed, err := jwk.ParseKey(data)
			require.NoError(t, err)
			var raw any
			require.NoError(t, parsed.Raw(&raw))
			refused(t, data)
		})
	}
	t.Run("the overlong exponent is cut short", func(t *testing.T) {
		parsed, err := jwk.ParseKey(rsaBase.with("e", b64([]byte{1, 0, 0, 0, 0, 0, 1, 0, 1})).json(t))
		require.NoError(t, err)
		var raw any
		require.NoError(t, parsed.Raw(&raw))
		require.Equal(t, 65537, raw.(*rsa.PublicKey).E)
	})
	t.Run("duplicate members", func(t *testing.T) {
		data := []byte(strings.Replace(string(edBase.json(t)), "{", `{"kty":"OKP",`, 1))
		_, err := jwk.ParseKey(data)
		require.NoError(t, err)
		refused(t, data)
	})
}

// Keys of the generator that CVE-2017-15361 is about: n is a power of 65537
// modulo each small prime. Any such odd number of the right size has the
// fingerprint, 65537^k itself first of all.
func TestKeysOfABrokenGenerator(t *testing.T) {
	n := new(big.Int).Exp(big.NewInt(65537), big.NewInt(130), nil) // 2081 bits
	e := "AQAB"
	jwk := func(n *big.Int) []byte {
		return fmt.Appendf(nil, `{"kty":"RSA","e":%q,"n":%q}`, e, b64(n.Bytes()))
	}
	_, err := jose.ParseKey(jwk(n))
	require.ErrorContains(t, err, "CVE-2017-15361")
	_, err = jose.ParseKey(jwk(n.Add(n, big.NewInt(2))))
	require.NoError(t, err)
}
