package jose_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/fips140"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"hash"
	"math/big"
	"slices"
	"testing"

	"github.com/bearergate/bearergate/internal/jose"
	"github.com/stretchr/testify/require"
)

// Names that are no algorithm here: no key may ever serve them.
var foreignAlgorithms = []string{
	"", "none", "None", "NONE", " none", "none\x00", "HS256", "HS384", "HS512", "RS1", "RSA1_5", "RSA-OAEP", "dir",
	"ES256K", "Ed448", "ed25519", "EDDSA", "eddsa", "rs256", "RS256 ", " RS256", "RS256\x00", "ES256\n", "PS1", "ML-DSA-44",
}

func requireVerifies(t testing.TB, key jose.Key, alg string, signed, sig []byte) {
	t.Helper()
	require.NoError(t, key.Verify(alg, signed, sig))
}

func requireNoSignature(t testing.TB, key jose.Key, alg string, signed, sig []byte) {
	t.Helper()
	require.ErrorIs(t, key.Verify(alg, signed, sig), jose.ErrSignature)
}

func sameAlgorithm(a, b string) bool {
	both := []string{"EdDSA", "Ed25519"}
	return a == b || slices.Contains(both, a) && slices.Contains(both, b)
}

// Every signature under every claimed name and every kind of key, with and
// without a restriction of the key: only the fitting cell verifies.
//
// req: R7515-03, R7515-12, R7517-02, R7517-06, R8725-01, R8725-02, R8725-14
func TestVerifyMatrix(t *testing.T) {
	payload := []byte(`{"sub":"alice"}`)
	type holder struct {
		name   string
		key    jose.Key
		serves func(alg string) bool
		pub    crypto.PublicKey
	}
	var holders []holder
	for _, kind := range []string{"RS256", "ES256", "ES384", "ES512", "EdDSA"} {
		pub := signerFor(kind).Public()
		fits := func(alg string) bool {
			return slices.Contains(jose.Algorithms(), alg) && signerFor(alg).Public() == pub
		}
		if kind == "EdDSA" {
			fits = func(alg string) bool { return alg == "EdDSA" || alg == "Ed25519" }
		}
		holders = append(holders, holder{fmt.Sprintf("%T for %s", pub, kind), keyFor(t, kind), fits, pub})
		for _, only := range jose.Algorithms() {
			if !fits(only) {
				_, err := jose.NewKey("", pub, only)
				require.Error(t, err, only)
				refused(t, jwkOf(t, pub).with("alg", only).json(t))
				continue
			}
			made, err := jose.NewKey("", pub, only)
			require.NoError(t, err)
			serves := func(alg string) bool { return sameAlgorithm(alg, only) }
			holders = append(holders,
				holder{"NewKey only " + only, made, serves, pub},
				holder{"ParseKey only " + only, admitted(t, jwkOf(t, pub).with("alg", only).json(t)), serves, pub})
		}
	}
	names := append(jose.Algorithms(), foreignAlgorithms...)
	for _, h := range holders {
		for _, alg := range names {
			require.Equal(t, h.serves(alg), h.key.Serves(alg), "%s, %q", h.name, alg)
			require.Equal(t, h.serves(alg), slices.Contains(h.key.Algorithms(), alg), "%s, %q", h.name, alg)
		}
	}
	for _, made := range jose.Algorithms() {
		token, err := jose.Sign(made, signerFor(made), []byte(`{"alg":"`+made+`"}`), payload)
		require.NoError(t, err)
		j, err := jose.Parse(token, maxToken)
		require.NoError(t, err)
		accepted := 0
		for _, h := range holders {
			for _, claimed := range names {
				signedIt := slices.ContainsFunc(holders, func(x holder) bool { return x.serves(made) && x.pub.(equaler).Equal(h.pub) })
				want := signedIt && sameAlgorithm(made, claimed) && h.serves(claimed)
				err := h.key.Verify(claimed, j.Signed, j.Signature)
				if !want {
					require.ErrorIs(t, err, jose.ErrSignature, "%s signed, %q claimed, %s", made, claimed, h.name)
					continue
				}
				require.NoError(t, err, "%s signed, %q claimed, %s", made, claimed, h.name)
				accepted++
			}
			requireNoSignature(t, jose.Key{}, made, j.Signed, j.Signature)
		}
		require.NotZero(t, accepted)
	}
}

type equaler interface{ Equal(crypto.PublicKey) bool }

func TestZeroKeyVerifiesNothing(t *testing.T) {
	var zero jose.Key
	require.Empty(t, zero.ID())
	require.Empty(t, zero.Algorithms())
	for _, alg := range append(jose.Algorithms(), foreignAlgorithms...) {
		for _, sig := range [][]byte{nil, {}, make([]byte, 64), make([]byte, 256)} {
			requireNoSignature(t, zero, alg, nil, sig)
			requireNoSignature(t, zero, alg, []byte("a.b"), sig)
		}
	}
}

func TestAlgorithmsAreCopies(t *testing.T) {
	want := []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"}
	require.Equal(t, want, jose.Algorithms())
	jose.Algorithms()[0] = "none"
	require.Equal(t, want, jose.Algorithms())

	key := keyFor(t, "ES256")
	require.Equal(t, []string{"ES256"}, key.Algorithms())
	key.Algorithms()[0] = "ES384"
	require.Equal(t, []string{"ES256"}, key.Algorithms())
	require.False(t, key.Serves("ES384"))
}

// No MAC, whatever of the public key is taken for its secret, is a signature.
//
// req: R7515-14, R8725-01
func TestVerifyHMACConfusion(t *testing.T) {
	signed := []byte(b64([]byte(`{"alg":"HS256"}`)) + "." + b64([]byte(`{}`)))
	for _, kind := range []string{"RS256", "ES256", "EdDSA"} {
		pub := signerFor(kind).Public()
		key := keyFor(t, kind)
		der, err := x509.MarshalPKIXPublicKey(pub)
		require.NoError(t, err)
		jwk := jwkOf(t, pub)
		text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
		secrets := [][]byte{nil, {0}, der, text, bytes.TrimSpace(text), jwk.json(t), []byte(`{"keys":[` + string(jwk.json(t)) + `]}`)}
		for _, member := range []string{"n", "x"} {
			if v, ok := jwk[member].(string); ok {
				secrets = append(secrets, []byte(v), unb64(t, v))
			}
		}
		if rsaPub, ok := pub.(*rsa.PublicKey); ok {
			pkcs1 := x509.MarshalPKCS1PublicKey(rsaPub)
			secrets = append(secrets, pkcs1, pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: pkcs1}))
		}
		for _, secret := range secrets {
			for _, h := range []func() hash.Hash{sha256.New, sha512.New384, sha512.New} {
				var sum []byte
				fips140.WithoutEnforcement(func() { // an attacker's keys may be too short
					mac := hmac.New(h, secret)
					mac.Write(signed)
					sum = mac.Sum(nil)
				})
				for _, alg := range append(jose.Algorithms(), "HS256", "HS384", "HS512", "none") {
					requireNoSignature(t, key, alg, signed, sum)
				}
			}
		}
	}
}

func digest(alg string, signed []byte) ([]byte, crypto.Hash) {
	h := map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}[alg[2:]]
	d := h.New()
	d.Write(signed)
	return d.Sum(nil), h
}

// req: R7517-05, R8725-03, R8725-04
func TestVerifyECDSA(t *testing.T) {
	for _, alg := range []string{"ES256", "ES384", "ES512"} {
		t.Run(alg, func(t *testing.T) {
			priv := ecKeys[alg]()
			key := keyFor(t, alg)
			order := priv.Curve.Params().N
			size := (priv.Curve.Params().BitSize + 7) / 8
			signed := []byte("header.payload")
			sum, hash := digest(alg, signed)

			mint := func() (r, s *big.Int) {
				der, err := priv.Sign(rand.Reader, sum, hash)
				require.NoError(t, err)
				var sig struct{ R, S *big.Int }
				_, err = asn1.Unmarshal(der, &sig)
				require.NoError(t, err)
				return sig.R, sig.S
			}
			fixed := func(r, s *big.Int) []byte {
				return append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
			}
			wide := func(r, s *big.Int) []byte {
				return append(r.FillBytes(make([]byte, size+1)), s.FillBytes(make([]byte, size+1))...)
			}
			r, s := mint()
			good := fixed(r, s)
			requireVerifies(t, key, alg, signed, good)

			t.Run("both halves of the range of s", func(t *testing.T) {
				// JWS has no low-s rule: the other s is as good.
				requireVerifies(t, key, alg, signed, fixed(r, new(big.Int).Sub(order, s)))
			})
			t.Run("leading zeros", func(t *testing.T) {
				small := new(big.Int).Lsh(big.NewInt(1), uint(8*(size-1)))
				for haveR, haveS := false, false; !haveR || !haveS; {
					r, s := mint()
					if haveR, haveS = haveR || r.Cmp(small) < 0, haveS || s.Cmp(small) < 0; r.Cmp(small) < 0 || s.Cmp(small) < 0 {
						requireVerifies(t, key, alg, signed, fixed(r, s))
						if alg != "ES512" { // there it is the rule, not the exception
							requireNoSignature(t, key, alg, signed, append(r.Bytes(), s.Bytes()...))
						}
					}
				}
			})

			zero, one := new(big.Int), big.NewInt(1)
			last := new(big.Int).Sub(order, one)
			numbers := map[string]*big.Int{
				"0": zero, "1": one, "n-1": last, "n": order, "n+1": new(big.Int).Add(order, one),
				"p": priv.Curve.Params().P, "all ones": new(big.Int).Sub(new(big.Int).Lsh(one, uint(8*size)), one),
			}
			for rn, rv := range numbers {
				requireNoSignature(t, key, alg, signed, fixed(rv, s))
				requireNoSignature(t, key, alg, signed, fixed(r, rv))
				for sn, sv := range numbers {
					require.ErrorIs(t, key.Verify(alg, signed, fixed(rv, sv)), jose.ErrSignature, "r=%s s=%s", rn, sn)
				}
			}

			der, err := asn1.Marshal(struct{ R, S *big.Int }{r, s})
			require.NoError(t, err)
			plus := func(x *big.Int) *big.Int { return new(big.Int).Add(x, order) }
			minus := func(x *big.Int) *big.Int { return new(big.Int).Sub(order, x) }
			for name, bad := range map[string][]byte{
				"nil":                     nil,
				"empty":                   {},
				"one byte":                {0},
				"r alone":                 good[:size],
				"DER":                     der,
				"DER cut to length":       der[:min(len(der), 2*size)],
				"one short at the end":    good[:2*size-1],
				"one short at the front":  good[1:],
				"zero after":              append(slices.Clone(good), 0),
				"zero before":             append([]byte{0}, good...),
				"zero before both":        wide(r, s),
				"zero after both":         slices.Concat(good[:size], []byte{0}, good[size:], []byte{0}),
				"four zeros before both":  slices.Concat(make([]byte, 4), good[:size], make([]byte, 4), good[size:]),
				"twice":                   append(slices.Clone(good), good...),
				"uncompressed point mark": append([]byte{4}, good...),
				"swapped":                 fixed(s, r),
				"n-r":                     fixed(minus(r), s),
				"n-r, n-s":                fixed(minus(r), minus(s)),
				"r+n, wide":               wide(plus(r), s),
				"s+n, wide":               wide(r, plus(s)),
				"r+n, cut":                wide(plus(r), s)[1:][:2*size],
				"reversed":                slices.Concat(reversed(good[:size]), reversed(good[size:])),
				"hexadecimal":             fmt.Appendf(nil, "%x", good),
			} {
				t.Run(name, func(t *testing.T) { requireNoSignature(t, key, alg, signed, bad) })
			}
			if alg == "ES512" { // 66 bytes have room for a second spelling of each number
				requireNoSignature(t, key, alg, signed, fixed(plus(r), s))
				requireNoSignature(t, key, alg, signed, fixed(r, plus(s)))
				requireNoSignature(t, key, alg, signed, fixed(plus(r), plus(s)))
			}
			t.Run("another message, another key, another hash", func(t *testing.T) {
				requireNoSignature(t, key, alg, []byte("header.payloae"), good)
				requireNoSignature(t, key, alg, nil, good)
				other, err := jose.GenerateKey(alg)
				require.NoError(t, err)
				otherKey, err := jose.NewKey("", other.Public())
				require.NoError(t, err)
				requireNoSignature(t, otherKey, alg, signed, good)
				short := sumSHA1(signed)
				var wrong []byte
				fips140.WithoutEnforcement(func() { wrong, err = priv.Sign(rand.Reader, short[:], crypto.SHA1) })
				require.NoError(t, err)
				var sig struct{ R, S *big.Int }
				_, err = asn1.Unmarshal(wrong, &sig)
				require.NoError(t, err)
				requireNoSignature(t, key, alg, signed, fixed(sig.R, sig.S))
			})
		})
	}
}

func reversed(b []byte) []byte {
	b = slices.Clone(b)
	slices.Reverse(b)
	return b
}

// req: R8725-01, R8725-03, R8725-04
func TestVerifyRSA(t *testing.T) {
	priv := rsaKey()
	n := priv.N
	one := big.NewInt(1)
	size := priv.Size()
	fill := func(x *big.Int) []byte { return x.FillBytes(make([]byte, size)) }
	for _, alg := range []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"} {
		t.Run(alg, func(t *testing.T) {
			key := keyFor(t, alg)
			sign := func(payload string) (signed, sig []byte) {
				token, err := jose.Sign(alg, priv, []byte(`{"alg":"`+alg+`"}`), []byte(payload))
				require.NoError(t, err)
				j, err := jose.Parse(token, maxToken)
				require.NoError(t, err)
				requireVerifies(t, key, alg, j.Signed, j.Signature)
				return j.Signed, j.Signature
			}
			signed, good := sign("{}")
			for name, bad := range map[string][]byte{
				"nil":             nil,
				"empty":           {},
				"one byte":        {1},
				"zero before":     append([]byte{0}, good...),
				"zero after":      append(slices.Clone(good), 0),
				"first byte gone": good[1:],
				"last byte gone":  good[:size-1],
				"half":            good[:size/2],
				"twice":           append(slices.Clone(good), good...),
				"0":               make([]byte, size),
				"0, short":        {0},
				"1":               fill(one),
				"2":               fill(big.NewInt(2)),
				"n-1":             fill(new(big.Int).Sub(n, one)),
				"n":               fill(n),
				"all ones":        bytes.Repeat([]byte{0xff}, size),
				"n-s":             fill(new(big.Int).Sub(n, new(big.Int).SetBytes(good))),
				"reversed":        reversed(good),
				"the hash":        digestOnly(alg, signed),
			} {
				t.Run(name, func(t *testing.T) { requireNoSignature(t, key, alg, signed, bad) })
			}
			t.Run("s+n", func(t *testing.T) {
				limit := new(big.Int).Lsh(one, uint(8*size))
				for i := 0; ; i++ {
					signed, sig := sign(fmt.Sprint(i))
					if second := new(big.Int).Add(new(big.Int).SetBytes(sig), n); second.Cmp(limit) < 0 {
						requireNoSignature(t, key, alg, signed, fill(second))
						return
					}
				}
			})
			t.Run("a leading zero byte", func(t *testing.T) {
				if alg[2:] != "256" {
					t.Skip("256 signatures each; the hash makes no difference")
				}
				for i := 0; ; i++ {
					if signed, sig := sign(fmt.Sprint(i)); sig[0] == 0 {
						requireNoSignature(t, key, alg, signed, sig[1:])
						return
					}
				}
			})
		})
	}
}

func digestOnly(alg string, signed []byte) []byte {
	sum, _ := digest(alg, signed)
	return sum
}

// sumSHA1 is what an attacker may use in FIPS 140-3 mode too.
func sumSHA1(data []byte) (sum [sha1.Size]byte) {
	fips140.WithoutEnforcement(func() { sum = sha1.Sum(data) })
	return sum
}

// PKCS #1 v1.5 paddings that sloppy verifiers take.
//
// req: R8725-03
func TestVerifyPKCS1Padding(t *testing.T) {
	priv := rsaKey()
	key := keyFor(t, "RS256")
	signed := []byte("header.payload")
	sum := sha256.Sum256(signed)
	size := priv.Size()
	info := append([]byte{0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20}, sum[:]...)
	noNull := append([]byte{0x30, 0x2f, 0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x04, 0x20}, sum[:]...)
	sha1Sum := sumSHA1(signed)
	sha1Info := append([]byte{0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14}, sha1Sum[:]...)
	padded := func(kind byte, tail []byte) []byte {
		return slices.Concat([]byte{0, kind}, bytes.Repeat([]byte{0xff}, size-3-len(tail)), []byte{0}, tail)
	}
	sign := func(encoded []byte) []byte { return rawRSA(priv, encoded) }

	requireVerifies(t, key, "RS256", signed, sign(padded(1, info)))
	short := slices.Concat([]byte{0, 1}, bytes.Repeat([]byte{0xff}, 8), []byte{0}, info)
	for name, encoded := range map[string][]byte{
		"block type 0":          append(make([]byte, size-len(info)), info...),
		"block type 2":          padded(2, info),
		"without DigestInfo":    padded(1, sum[:]),
		"DigestInfo, no NULL":   padded(1, noNull),
		"SHA-1":                 padded(1, sha1Info),
		"garbage after":         slices.Concat(short, bytes.Repeat([]byte{0x5a}, size-len(short))),
		"zeros after":           append(short, make([]byte, size-len(short))...),
		"one byte after":        padded(1, append(slices.Clone(info), 0)),
		"padding of other byte": slices.Concat([]byte{0, 1}, bytes.Repeat([]byte{0xfe}, size-3-len(info)), []byte{0}, info),
		"no zero after padding": slices.Concat([]byte{0, 1}, bytes.Repeat([]byte{0xff}, size-2-len(info)), info),
	} {
		t.Run(name, func(t *testing.T) { requireNoSignature(t, key, "RS256", signed, sign(encoded)) })
	}

	// Bleichenbacher 2006: under e = 3, a cube root makes a good beginning
	// without any private key. Only a verifier that reads no further takes it.
	t.Run("cube root under e = 3", func(t *testing.T) {
		weak, err := jose.NewKey("", &rsa.PublicKey{N: modulus(2048), E: 3}, "RS256")
		require.NoError(t, err)
		target := new(big.Int).SetBytes(slices.Concat(short, bytes.Repeat([]byte{0xff}, size-len(short))))
		root := cubeRoot(target)
		cube := new(big.Int).Exp(root, big.NewInt(3), nil).FillBytes(make([]byte, size))
		require.Equal(t, short, cube[:len(short)], "the forgery begins as a signature does")
		requireNoSignature(t, weak, "RS256", signed, root.FillBytes(make([]byte, size)))
	})
}

func cubeRoot(x *big.Int) *big.Int {
	root := new(big.Int)
	for bit := x.BitLen()/3 + 1; bit >= 0; bit-- {
		root.SetBit(root, bit, 1)
		if new(big.Int).Exp(root, big.NewInt(3), nil).Cmp(x) > 0 {
			root.SetBit(root, bit, 0)
		}
	}
	return root
}

// rawRSA is the RSA private operation alone, for paddings that crypto/rsa does not make.
func rawRSA(priv *rsa.PrivateKey, encoded []byte) []byte {
	return new(big.Int).Exp(new(big.Int).SetBytes(encoded), priv.D, priv.N).FillBytes(make([]byte, priv.Size()))
}

// encodePSS is EMSA-PSS (RFC 8017 §9.1.1) with any salt, which crypto/rsa does not offer.
func encodePSS(h, mgf crypto.Hash, sum, salt []byte, bits int) (encoded []byte) {
	fips140.WithoutEnforcement(func() { encoded = encodeAnyPSS(h, mgf, sum, salt, bits) })
	return encoded
}

func encodeAnyPSS(h, mgf crypto.Hash, sum, salt []byte, bits int) []byte {
	d := h.New()
	d.Write(make([]byte, 8))
	d.Write(sum)
	d.Write(salt)
	hashed := d.Sum(nil)
	size := (bits + 7) / 8
	db := slices.Concat(make([]byte, size-len(salt)-len(hashed)-2), []byte{1}, salt)
	for i, block := 0, uint32(0); i < len(db); block++ {
		m := mgf.New()
		m.Write(hashed)
		m.Write(binary.BigEndian.AppendUint32(nil, block))
		i += subtleXOR(db[i:], m.Sum(nil))
	}
	db[0] &= 0xff >> (8*size - bits)
	return slices.Concat(db, hashed, []byte{0xbc})
}

func subtleXOR(dst, mask []byte) int {
	n := min(len(dst), len(mask))
	for i := range n {
		dst[i] ^= mask[i]
	}
	return n
}

// req: R8725-01
func TestVerifyPSSSaltLength(t *testing.T) {
	priv := rsaKey()
	bits := priv.N.BitLen() - 1
	signed := []byte("header.payload")
	for _, alg := range []string{"PS256", "PS384", "PS512"} {
		key := keyFor(t, alg)
		sum, h := digest(alg, signed)
		want := h.Size()
		longest := (bits+7)/8 - want - 2
		for _, n := range []int{0, 1, 20, 31, 32, 33, 47, 48, 49, 63, 64, 65, longest - 1, longest} {
			salt := make([]byte, n)
			_, _ = rand.Read(salt)
			sig := rawRSA(priv, encodePSS(h, h, sum, salt, bits))
			fips140.WithoutEnforcement(func() {
				require.NoError(t, rsa.VerifyPSS(&priv.PublicKey, h, sum, sig, &rsa.PSSOptions{SaltLength: n}), "the test's own encoding")
			})
			if n == want {
				requireVerifies(t, key, alg, signed, sig)
				continue
			}
			require.ErrorIs(t, key.Verify(alg, signed, sig), jose.ErrSignature, "%s with a salt of %d bytes", alg, n)
		}
		// The mask of another hash, and the signature of another.
		salt := make([]byte, want)
		requireVerifies(t, key, alg, signed, rawRSA(priv, encodePSS(h, h, sum, salt, bits)))
		requireNoSignature(t, key, alg, signed, rawRSA(priv, encodePSS(h, crypto.SHA1, sum, salt, bits)))
		short := sumSHA1(signed)
		requireNoSignature(t, key, alg, signed, rawRSA(priv, encodePSS(crypto.SHA1, crypto.SHA1, short[:], salt[:20], bits)))
	}
}

// req: R7517-06, R8725-03
func TestVerifyEd25519(t *testing.T) {
	priv := edKey()
	key := keyFor(t, "EdDSA")
	signed := []byte("header.payload")
	good := ed25519.Sign(priv, signed)
	requireVerifies(t, key, "EdDSA", signed, good)
	requireVerifies(t, key, "Ed25519", signed, good)

	// L is the order of the base point; S and S+L are the same number to a
	// verifier that does not ask for S < L.
	order, ok := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	require.True(t, ok)
	s := new(big.Int).SetBytes(reversed(good[32:]))
	require.Negative(t, s.Cmp(order))
	withS := func(s *big.Int) []byte {
		return append(slices.Clone(good[:32]), reversed(s.FillBytes(make([]byte, 32)))...)
	}
	require.Equal(t, good, withS(s))
	for k := int64(1); k < 16; k++ {
		more := new(big.Int).Add(s, new(big.Int).Mul(order, big.NewInt(k)))
		if more.BitLen() > 256 {
			break
		}
		requireNoSignature(t, key, "EdDSA", signed, withS(more))
	}
	identity := append([]byte{1}, make([]byte, 31)...)
	for name, bad := range map[string][]byte{
		"nil":                  nil,
		"63 bytes":             good[:63],
		"65 bytes":             append(slices.Clone(good), 0),
		"zero before":          append([]byte{0}, good...),
		"zero":                 make([]byte, 64),
		"identity, S = 0":      append(slices.Clone(identity), make([]byte, 32)...),
		"R = 0":                append(make([]byte, 32), good[32:]...),
		"S = 0":                append(slices.Clone(good[:32]), make([]byte, 32)...),
		"S = L":                withS(order),
		"L-S":                  withS(new(big.Int).Sub(order, s)),
		"halves swapped":       append(slices.Clone(good[32:]), good[:32]...),
		"all ones":             bytes.Repeat([]byte{0xff}, 64),
		"sign of R turned":     slices.Concat(good[:31], []byte{good[31] ^ 0x80}, good[32:]),
		"the key as signature": append(slices.Clone([]byte(priv.Public().(ed25519.PublicKey))), good[32:]...),
	} {
		t.Run(name, func(t *testing.T) {
			requireNoSignature(t, key, "EdDSA", signed, bad)
			requireNoSignature(t, key, "Ed25519", signed, bad)
		})
	}
	t.Run("Ed25519ph and Ed25519ctx", func(t *testing.T) {
		sum := sha512.Sum512(signed)
		var prehashed, context []byte
		var err error
		fips140.WithoutEnforcement(func() { prehashed, err = priv.Sign(nil, sum[:], crypto.SHA512) })
		require.NoError(t, err)
		requireNoSignature(t, key, "EdDSA", signed, prehashed)
		requireNoSignature(t, key, "EdDSA", sum[:], prehashed)
		fips140.WithoutEnforcement(func() { context, err = priv.Sign(nil, signed, &ed25519.Options{Context: "x"}) })
		require.NoError(t, err)
		requireNoSignature(t, key, "EdDSA", signed, context)
	})
	t.Run("the key negated", func(t *testing.T) {
		x := slices.Clone(priv.Public().(ed25519.PublicKey))
		x[31] ^= 0x80
		negated := admitted(t, members{"kty": "OKP", "crv": "Ed25519", "x": b64(x)}.json(t)) // a point as good as any
		require.NotEqual(t, key.Thumbprint(), negated.Thumbprint())
		requireNoSignature(t, negated, "EdDSA", signed, good)
	})
}

// Whatever single bit of a token's text is turned, it is refused.
//
// req: R7515-11, R8725-03
func TestVerifyBitFlips(t *testing.T) {
	for _, alg := range jose.Algorithms() {
		t.Run(alg, func(t *testing.T) {
			key := keyFor(t, alg)
			token, err := jose.Sign(alg, signerFor(alg), []byte(`{"alg":"`+alg+`","kid":"k","typ":"at+jwt"}`), []byte(`{"sub":"alice","aud":"api"}`))
			require.NoError(t, err)
			verify := func(token string) error {
				j, err := jose.Parse(token, maxToken)
				if err != nil {
					require.ErrorIs(t, err, jose.ErrMalformed)
					return err
				}
				return key.Verify(j.Header.Algorithm, j.Signed, j.Signature)
			}
			require.NoError(t, verify(token))
			step := 1
			if alg != "ES256" && alg != "PS256" && alg != "EdDSA" || testing.Short() {
				step = 7 // for the time it takes: every part still gets every bit of many characters
			}
			signatures := 0
			for i := 0; i < len(token); i += step {
				for bit := range 8 {
					flipped := []byte(token)
					flipped[i] ^= 1 << bit
					err := verify(string(flipped))
					require.Error(t, err, "bit %d of byte %d", bit, i)
					if err == jose.ErrSignature {
						signatures++
					}
				}
			}
			require.NotZero(t, signatures, "no flip got as far as the signature")
			// And the decoded signature, bit by bit.
			j, err := jose.Parse(token, maxToken)
			require.NoError(t, err)
			for i := range j.Signature {
				j.Signature[i] ^= 1 << (i % 8)
				requireNoSignature(t, key, alg, j.Signed, j.Signature)
				j.Signature[i] ^= 1 << (i % 8)
			}
			requireVerifies(t, key, alg, j.Signed, j.Signature)
		})
	}
}

// A signature has one length: no byte may come or go, least of all a zero
// where a number begins.
//
// req: R7517-05
func TestVerifySignatureLength(t *testing.T) {
	signed := []byte("header.payload")
	for _, alg := range jose.Algorithms() {
		key := keyFor(t, alg)
		token, err := jose.Sign(alg, signerFor(alg), []byte(`{"alg":"`+alg+`"}`), []byte(`{}`))
		require.NoError(t, err)
		j, err := jose.Parse(token, maxToken)
		require.NoError(t, err)
		good := j.Signature
		requireVerifies(t, key, alg, j.Signed, good)
		requireNoSignature(t, key, alg, signed, good)
		for i := range len(good) + 1 {
			for _, more := range [][]byte{{0}, {0, 0}, {0xff}} {
				requireNoSignature(t, key, alg, j.Signed, slices.Insert(slices.Clone(good), i, more...))
			}
			requireNoSignature(t, key, alg, j.Signed, good[:min(i, len(good)-1)])
			requireNoSignature(t, key, alg, j.Signed, good[max(i, 1):])
			if i < len(good) {
				requireNoSignature(t, key, alg, j.Signed, slices.Delete(slices.Clone(good), i, i+1))
			}
		}
	}
}

// Parts of two good tokens do not make a third.
//
// req: R7515-11
func TestVerifySplicedTokens(t *testing.T) {
	key := keyFor(t, "ES256")
	mint := func(payload string) []string {
		token, err := jose.Sign("ES256", ecKeys["ES256"](), []byte(`{"alg":"ES256","typ":"`+payload+`"}`), []byte(payload))
		require.NoError(t, err)
		return parts(token)
	}
	a, b := mint("a"), mint("b")
	for mix := range 8 {
		pick := func(i int) string {
			if mix>>i&1 == 1 {
				return b[i]
			}
			return a[i]
		}
		j, err := jose.Parse(pick(0)+"."+pick(1)+"."+pick(2), maxToken)
		require.NoError(t, err)
		if mix == 0 || mix == 7 {
			requireVerifies(t, key, "ES256", j.Signed, j.Signature)
		} else {
			requireNoSignature(t, key, "ES256", j.Signed, j.Signature)
		}
	}
}

// A Key is what was admitted, whatever becomes of the value it was made from.
func TestKeyIsImmutable(t *testing.T) {
	for _, alg := range []string{"RS256", "ES256", "EdDSA"} {
		t.Run(alg, func(t *testing.T) {
			token, err := jose.Sign(alg, signerFor(alg), []byte(`{"alg":"`+alg+`"}`), []byte(`{}`))
			require.NoError(t, err)
			j, err := jose.Parse(token, maxToken)
			require.NoError(t, err)

			var pub crypto.PublicKey
			var spoil func()
			switch original := signerFor(alg).Public().(type) {
			case *rsa.PublicKey:
				c := &rsa.PublicKey{N: new(big.Int).Set(original.N), E: original.E}
				pub, spoil = c, func() { c.N.SetInt64(15); c.E = 3 }
			case *ecdsa.PublicKey:
				point, err := original.Bytes()
				require.NoError(t, err)
				c, err := ecdsa.ParseUncompressedPublicKey(original.Curve, point)
				require.NoError(t, err)
				pub, spoil = c, func() {
					c.X.SetInt64(1) //lint:ignore SA1019 spoiling the coordinates is the point
					c.Y.SetInt64(1) //lint:ignore SA1019 spoiling the coordinates is the point
					c.Curve = elliptic.P384()
				}
			case ed25519.PublicKey:
				c := slices.Clone(original)
				pub, spoil = c, func() { clear(c) }
			}
			algs := []string{alg}
			key, err := jose.NewKey("k", pub, algs...)
			require.NoError(t, err)
			jwk := jwkOf(t, pub).json(t)
			parsed := admitted(t, jwk)

			thumbprint := key.Thumbprint()
			spoil()
			algs[0] = "none"
			for i := range jwk {
				jwk[i] = '#'
			}
			requireVerifies(t, key, alg, j.Signed, j.Signature)
			requireVerifies(t, parsed, alg, j.Signed, j.Signature)
			require.Equal(t, thumbprint, key.Thumbprint())
			require.Equal(t, thumbprint, parsed.Thumbprint())
			require.True(t, key.Serves(alg))
			require.False(t, key.Serves("none"))
			key.Algorithms()[0] = "none"
			require.False(t, key.Serves("none"))
		})
	}
}
