package attack_test

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/asn1"
	"encoding/binary"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// sigRows attack the signature: RFC 7518 §3, RFC 8032, RFC 8017 §8.
func sigRows() []row {
	n := r1().rsa().N
	one := big.NewInt(1)
	rsaSig := func(v *big.Int) jwt { return valid().signed(fixed(v.FillBytes(make([]byte, 256)))) }
	es := func(r, s *big.Int) jwt { return from(e1()).signed(fixed(pair(r, s, 32))) }
	cut := func(n int) func([]byte) []byte { return func(sig []byte) []byte { return sig[:len(sig)-n] } }
	plus := func(after ...byte) func([]byte) []byte {
		return func(sig []byte) []byte { return append(slices.Clone(sig), after...) }
	}
	before := func(b ...byte) func([]byte) []byte {
		return func(sig []byte) []byte { return append(b, sig...) }
	}
	order, zero := p256n, new(big.Int)
	less := new(big.Int).Sub(order, one)
	pss := func(hash, mgf crypto.Hash, salt int, trailer byte) jwt {
		return from(p1()).signed(func(input []byte) []byte {
			return private(p1(), emsaPSS(digest(hash, input), hash, mgf, bytes.Repeat([]byte{7}, salt), trailer))
		})
	}
	pkcs := func(f func(sum []byte) []byte) jwt {
		return valid().signed(func(input []byte) []byte { return private(r1(), f(digest(crypto.SHA256, input))) })
	}
	flip := func(i int) func([]byte) []byte {
		return func(sig []byte) []byte { sig = slices.Clone(sig); sig[(i+len(sig))%len(sig)] ^= 1; return sig }
	}
	var rows []row
	for i, k := range []key{r1(), p1(), e1(), ed1()} {
		for j, f := range map[string]struct {
			what string
			f    func([]byte) []byte
		}{
			"a": {"empty", func([]byte) []byte { return nil }},
			"b": {"one octet", func([]byte) []byte { return []byte{1} }},
			"c": {"one octet short", cut(1)},
			"d": {"one octet long", plus(0)},
			"e": {"a zero octet before it", before(0)},
			"f": {"all zero", func(sig []byte) []byte { return make([]byte, len(sig)) }},
			"g": {"all ones", func(sig []byte) []byte { return bytes.Repeat([]byte{0xff}, len(sig)) }},
			"h": {"the first bit flipped", flip(0)},
			"i": {"the last bit flipped", flip(-1)},
			"j": {"reversed", func(sig []byte) []byte { sig = slices.Clone(sig); slices.Reverse(sig); return sig }},
			"k": {"twice", func(sig []byte) []byte { return append(slices.Clone(sig), sig...) }},
			"l": {"in base64url, encoded twice", func(sig []byte) []byte { return []byte(b64(string(sig))) }},
			"m": {"half of it", func(sig []byte) []byte { return sig[:len(sig)/2] }},
			"n": {"1, then zeros", func(sig []byte) []byte { return append([]byte{1}, make([]byte, len(sig)-1)...) }},
			"o": {"zeros, then 1", func(sig []byte) []byte { return append(make([]byte, len(sig)-1), 1) }},
		} {
			rows = append(rows, r(fmt.Sprintf("SIG-1%d0%s", i, j), k.alg+": "+f.what, from(k).mangled(f.f), bad(signature)))
		}
		rows = append(rows,
			r(fmt.Sprintf("SIG-1%d1", i), k.alg+": another claim", from(k).then(swapPayload), bad(signature)),
			r(fmt.Sprintf("SIG-1%d2", i), k.alg+": another header", from(k).then(func(h, p, s string) string {
				return b64(inside(string(unb64(h)), "1")) + "." + p + "." + s
			}), bad(signature)),
			r(fmt.Sprintf("SIG-1%d3", i), k.alg+": over the claims alone", from(k).signed(func(input []byte) []byte { return k.sign(input[bytes.IndexByte(input, '.')+1:]) }), bad(signature)),
			r(fmt.Sprintf("SIG-1%d4", i), k.alg+": over the decoded text", from(k).signed(func(input []byte) []byte {
				h, p, _ := strings.Cut(string(input), ".")
				return k.sign([]byte(string(unb64(h)) + "." + string(unb64(p))))
			}), bad(signature)),
			r(fmt.Sprintf("SIG-1%d5", i), k.alg+": of another token", from(k).signed(fixed(unb64(from(k).token()[strings.LastIndexByte(from(k).token(), '.')+1:]))), bad(signature)),
			r(fmt.Sprintf("SIG-1%d6", i), k.alg+": over a trailing dot too", from(k).signed(func(input []byte) []byte { return k.sign(append(slices.Clone(input), '.')) }), bad(signature)),
		)
	}
	// req: R7515-11, R7517-05, R8725-04; every bit of a token is in [TestEveryCharacterCounts]
	return append(rows,
		r("SIG-001", "RS256 without a signature", valid().signed(fixed(nil)), bad(signature)),
		r("SIG-002", "EdDSA without a signature", from(ed1()).signed(fixed(nil)), bad(signature)),
		r("SIG-003", "two signatures, joined", valid().mangled(func(sig []byte) []byte { return append(evilRSA().sign([]byte("x")), sig...) }), bad(signature)),
		r("SIG-004", "signed by an RSA key of the attacker, kid r1", valid().signedBy(evilRSA()), bad(signature)),
		r("SIG-005", "signed by an EC key of the attacker, kid e1", from(evilEC()), bad(signature)),
		r("SIG-006", "signed by an Ed25519 key of the attacker, kid ed1", from(evilEd()), bad(signature)),
		r("SIG-007", "RS256, 257 octets, the first zero", valid().mangled(before(0)), bad(signature)),
		r("SIG-008", "RS256, a leading zero octet stripped", zeroRSAStripped(), bad(signature)),
		r("SIG-009", "RS256, value 0", rsaSig(zero), bad(signature)),
		r("SIG-009b", "RS256, value 1", rsaSig(one), bad(signature)),
		r("SIG-009c", "RS256, value n-1", rsaSig(new(big.Int).Sub(n, one)), bad(signature)),
		r("SIG-009d", "RS256, value n", rsaSig(n), bad(signature)),
		r("SIG-009e", "RS256, value n+1", rsaSig(new(big.Int).Add(n, one)), bad(signature)),
		r("SIG-009f", "RS256, the signature plus n", valid().until(func(sig []byte) bool {
			return new(big.Int).Add(new(big.Int).SetBytes(sig), n).BitLen() <= 2048
		}).mangledLater(func(sig []byte) []byte {
			return new(big.Int).Add(new(big.Int).SetBytes(sig), n).FillBytes(make([]byte, 256))
		}), bad(signature)),
		r("SIG-009g", "RS256, n minus the signature", valid().mangled(func(sig []byte) []byte {
			return new(big.Int).Sub(n, new(big.Int).SetBytes(sig)).FillBytes(make([]byte, 256))
		}), bad(signature)),
		r("SIG-010", "RS256 made by hand, the control", pkcs(func(sum []byte) []byte { return pkcs1(256, sha256Info, sum) }), ok),
		r("SIG-010b", "RS256, PKCS #1 without the NULL of the DigestInfo", pkcs(func(sum []byte) []byte { return pkcs1(256, sha256InfoNoNull, sum) }), bad(signature)),
		r("SIG-010c", "RS256, PKCS #1 without DigestInfo", pkcs(func(sum []byte) []byte { return pkcs1(256, nil, sum) }), bad(signature)),
		r("SIG-010d", "RS256, PKCS #1 with type 2", pkcs(func(sum []byte) []byte { em := pkcs1(256, sha256Info, sum); em[1] = 2; return em }), bad(signature)),
		r("SIG-010e", "RS256, PKCS #1 with short padding and garbage after the hash", pkcs(func(sum []byte) []byte {
			em := append(pkcs1(256-64, sha256Info, sum), make([]byte, 64)...)
			return em
		}), bad(signature)),
		r("SIG-010f", "RS256, PKCS #1 with a padding octet that is not ff", pkcs(func(sum []byte) []byte { em := pkcs1(256, sha256Info, sum); em[9] = 0xfe; return em }), bad(signature)),
		r("SIG-010g", "RS256 with the DigestInfo of SHA-512", valid().signedBy(r1().as("r1", "RS512")), bad(signature)),
		r("SIG-010h", "RS256 with garbage in the parameters of the DigestInfo", pkcs(func(sum []byte) []byte {
			info := append([]byte{0x30, 0x31 + 4, 0x30, 0x0d + 4}, sha256Info[4:15]...)
			info = append(info, 5, 0, 4, 2, 1, 1, 4, 0x20)
			return pkcs1(256, info, sum)
		}), bad(signature)),
		r("SIG-010i", "RS256, a cube root instead of a signature, e 3", forgedCube(), bad(signature), keys(r1().jwk().set("e", `"Aw"`))),
		r("SIG-010j", "PS256 made by hand, the control", pss(crypto.SHA256, crypto.SHA256, 32, 0xbc), ok),
		r("SIG-011", "PS256 with 20 octets of salt", from(p1()).signed(salted(20)), bad(signature)),
		r("SIG-012", "PS256 without salt", pss(crypto.SHA256, crypto.SHA256, 0, 0xbc), bad(signature)), // salted(0) would be salted(222): 0 is PSSSaltLengthAuto
		r("SIG-013", "PS256 with 31 octets of salt", from(p1()).signed(salted(31)), bad(signature)),
		r("SIG-013b", "PS256 with 33 octets of salt", from(p1()).signed(salted(33)), bad(signature)),
		r("SIG-013c", "PS256 with 64 octets of salt", from(p1()).signed(salted(64)), bad(signature)),
		r("SIG-013d", "PS256 with all the salt there is room for", from(p1()).signed(salted(222)), bad(signature)),
		r("SIG-014", "PS256 with MGF1 of SHA-1", pss(crypto.SHA256, crypto.SHA1, 32, 0xbc), bad(signature)),
		r("SIG-014b", "PS256 with SHA-512", from(p1()).signed(p1().as("p1", "PS512").sign), bad(signature)),
		r("SIG-014c", "PS256 with SHA-384 and MGF1 of SHA-256", pss(crypto.SHA384, crypto.SHA256, 32, 0xbc), bad(signature)),
		r("SIG-014d", "PS256 with another trailer", pss(crypto.SHA256, crypto.SHA256, 32, 0xcc), bad(signature)),
		r("SIG-014e", "PS256 with PKCS #1 padding", from(p1()).signed(p1().as("p1", "RS256").sign), bad(signature)),
		r("SIG-015", "ES256 r=0 s=0", es(zero, zero), bad(signature)),
		r("SIG-016", "ES256 r=1 s=0", es(one, zero), bad(signature)),
		r("SIG-016b", "ES256 r=0 s=1", es(zero, one), bad(signature)),
		r("SIG-017", "ES256 r=1 s=1", es(one, one), bad(signature)),
		r("SIG-018", "ES256 r=n s=n", es(order, order), bad(signature)),
		r("SIG-019", "ES256 r=n s=1", es(order, one), bad(signature)),
		r("SIG-019b", "ES256 r=1 s=n", es(one, order), bad(signature)),
		r("SIG-019c", "ES256 r=n s=0", es(order, zero), bad(signature)),
		r("SIG-020", "ES256 r=0 s=n-1", es(zero, less), bad(signature)),
		r("SIG-020b", "ES256 r=n-1 s=n-1", es(less, less), bad(signature)),
		r("SIG-020c", "ES256 r=1 s=n-1", es(one, less), bad(signature)),
		r("SIG-020d", "ES256 r=n+1 s=1", es(new(big.Int).Add(order, one), one), bad(signature)),
		r("SIG-020e", "ES256 r the field prime, s=1", es(elliptic.P256().Params().P, one), bad(signature)),
		r("SIG-020f", "ES256 r x of the key, s the same", es(xOf(e1()), xOf(e1())), bad(signature)),
		r("SIG-021", "ES256 in DER", from(e1()).mangled(der), bad(signature)),
		r("SIG-021b", "ES256 in DER, exactly 64 octets", from(e1()).mangled(func(sig []byte) []byte { return append(der(sig), make([]byte, 64)...)[:64] }), bad(signature)),
		r("SIG-022", "ES256, 65 octets, the last zero", from(e1()).mangled(plus(0)), bad(signature)),
		r("SIG-022b", "ES256, 66 octets: a zero before r and before s", from(e1()).mangled(func(sig []byte) []byte {
			return pair(new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:]), 33)
		}), bad(signature)),
		r("SIG-022c", "ES256, 65 octets: a zero before s", from(e1()).mangled(func(sig []byte) []byte { return slices.Concat(sig[:32], []byte{0}, sig[32:]) }), bad(signature)),
		r("SIG-022d", "ES256, 65 octets: a zero before r", from(e1()).mangled(before(0)), bad(signature)),
		r("SIG-023", "ES256, s then r", from(e1()).mangled(func(sig []byte) []byte { return append(slices.Clone(sig[32:]), sig[:32]...) }), bad(signature)),
		r("SIG-024", "ES256, r and s stripped of leading zeros", from(e1()).until(startsWithZero).mangledLater(func(sig []byte) []byte { return sig[1:] }), bad(signature)),
		r("SIG-024b", "ES256, little-endian", from(e1()).mangled(func(sig []byte) []byte {
			sig = slices.Clone(sig)
			slices.Reverse(sig[:32])
			slices.Reverse(sig[32:])
			return sig
		}), bad(signature)),
		r("SIG-025", "ES256, r+n cut to 32 octets", from(e1()).mangled(func(sig []byte) []byte {
			r := new(big.Int).Add(new(big.Int).SetBytes(sig[:32]), order)
			return append(r.FillBytes(make([]byte, 33))[1:], sig[32:]...)
		}), bad(signature)),
		r("SIG-025b", "ES256, r+n in 33 octets", from(e1()).mangled(func(sig []byte) []byte {
			r := new(big.Int).Add(new(big.Int).SetBytes(sig[:32]), order)
			return append(r.FillBytes(make([]byte, 33)), sig[32:]...)
		}), bad(signature)),
		r("SIG-025c", "ES256, r negated", from(e1()).mangled(func(sig []byte) []byte {
			r := new(big.Int).Sub(order, new(big.Int).SetBytes(sig[:32]))
			return append(r.FillBytes(make([]byte, 32)), sig[32:]...)
		}), bad(signature)),
		r("SIG-026", "ES256 with SHA-384", from(e1()).signed(func(input []byte) []byte { return e1().ecdsa(digest(crypto.SHA384, input)) }), bad(signature)),
		r("SIG-026b", "ES256 with SHA-1", from(e1()).signed(func(input []byte) []byte { return e1().ecdsa(digest(crypto.SHA1, input)) }), bad(signature)),
		r("SIG-026c", "ES256 over the input and not its hash", from(e1()).signed(func(input []byte) []byte { return e1().ecdsa(input) }), bad(signature)),
		r("SIG-027", "ES256 with the signature of a P-384 key", from(e1()).signed(e384().sign), bad(signature)),
		r("SIG-027b", "ES256 with the signature of an RSA key", from(e1()).signed(r1().sign), bad(signature)),
		r("SIG-027c", "RS256 with the signature of an EC key", valid().signed(e1().sign), bad(signature)),
		r("SIG-027d", "ES256 with the signature of an Ed25519 key", from(e1()).signed(ed1().sign), bad(signature)),
		r("SIG-027e", "EdDSA with the signature of an EC key", from(ed1()).signed(e1().sign), bad(signature)),
		r("SIG-028", "EdDSA, S plus the order", from(ed1()).mangled(func(sig []byte) []byte { return append(slices.Clone(sig[:32]), plusL(sig[32:])...) }), bad(signature)),
		r("SIG-028b", "EdDSA, 63 octets", from(ed1()).mangled(cut(1)), bad(signature)),
		r("SIG-028c", "EdDSA, 65 octets", from(ed1()).mangled(plus(0)), bad(signature)),
		r("SIG-028d", "EdDSA, S then R", from(ed1()).mangled(func(sig []byte) []byte { return append(slices.Clone(sig[32:]), sig[:32]...) }), bad(signature)),
		r("SIG-028e", "Ed25519ph", from(ed1()).signed(func(input []byte) []byte {
			return must(ed1().priv.Sign(rand.Reader, digest(crypto.SHA512, input), crypto.SHA512))
		}), bad(signature)),
		r("SIG-028f", "Ed25519ctx", from(ed1()).signed(func(input []byte) []byte {
			return must(ed1().priv.Sign(rand.Reader, input, &ed25519.Options{Context: "x"}))
		}), bad(signature)),
		r("SIG-028g", "EdDSA, R the neutral element and S zero", from(ed1()).signed(fixed(neutral())), bad(signature)),
		r("SIG-028h", "EdDSA, the sign bit of R flipped", from(ed1()).mangled(flipBit(31, 0x80)), bad(signature)),
		r("SIG-028i", "EdDSA, the top bit of S set", from(ed1()).mangled(flipBit(63, 0x80)), bad(signature)),
	)
}

func flipBit(i int, bit byte) func([]byte) []byte {
	return func(sig []byte) []byte { sig = slices.Clone(sig); sig[i] ^= bit; return sig }
}

// mangledLater changes a signature that has passed the condition of until.
func (j jwt) mangledLater(f func([]byte) []byte) jwt {
	return j.then(func(h, p, s string) string { return h + "." + p + "." + b64(string(f(unb64(s)))) })
}

func zeroRSAStripped() string {
	token := zeroRSA()
	i := strings.LastIndexByte(token, '.') + 1
	return token[:i] + b64(string(unb64(token[i:])[1:]))
}

func swapPayload(h, p, s string) string {
	return h + "." + b64(strings.Replace(string(unb64(p)), "user-1", "admin1", 1)) + "." + s
}

func xOf(k key) *big.Int { x, _ := k.point(); return x }

func der(sig []byte) []byte {
	return must(asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])}))
}

// plusL adds the order of the base point to a little-endian S.
func plusL(s []byte) []byte {
	l, _ := new(big.Int).SetString("1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3ed", 16)
	b := slices.Clone(s)
	slices.Reverse(b)
	out := new(big.Int).Add(new(big.Int).SetBytes(b), l).FillBytes(make([]byte, 32))
	slices.Reverse(out)
	return out
}

// neutral is a signature that verifies for every message under a key of small order.
func neutral() []byte { return append([]byte{1}, make([]byte, 63)...) }

func salted(length int) func([]byte) []byte {
	return func(input []byte) []byte {
		return must(rsa.SignPSS(rand.Reader, p1().rsa(), crypto.SHA256, digest(crypto.SHA256, input), &rsa.PSSOptions{SaltLength: length}))
	}
}

// private is RSASP1 (RFC 8017 §5.2.1).
func private(k key, em []byte) []byte {
	return new(big.Int).Exp(new(big.Int).SetBytes(em), k.rsa().D, k.rsa().N).FillBytes(make([]byte, k.rsa().Size()))
}

var (
	sha256Info       = []byte{0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20}
	sha256InfoNoNull = []byte{0x30, 0x2f, 0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x04, 0x20}
)

// pkcs1 is EMSA-PKCS1-v1_5 (RFC 8017 §9.2).
func pkcs1(size int, info, sum []byte) []byte {
	em := bytes.Repeat([]byte{0xff}, size)
	em[0], em[1] = 0, 1
	end := size - len(info) - len(sum)
	em[end-1] = 0
	copy(em[end:], info)
	copy(em[end+len(info):], sum)
	return em
}

// forgedCube is a token with a signature that was made without any private
// key, for verifiers that do not look at what follows the hash: with e 3, a
// number whose cube begins like a good message.
func forgedCube() jwt {
	return valid().signed(func(input []byte) []byte {
		em := append(pkcs1(62, sha256Info, digest(crypto.SHA256, input)), bytes.Repeat([]byte{0}, 256-62)...)
		return cubeRoot(new(big.Int).SetBytes(em)).FillBytes(make([]byte, 256))
	})
}

// cubeRoot is the least number whose cube is at least v.
func cubeRoot(v *big.Int) *big.Int {
	low, high := new(big.Int), new(big.Int).Lsh(big.NewInt(1), 700)
	for low.Cmp(high) < 0 {
		middle := new(big.Int).Rsh(new(big.Int).Add(low, high), 1)
		if new(big.Int).Exp(middle, big.NewInt(3), nil).Cmp(v) < 0 {
			low = middle.Add(middle, big.NewInt(1))
		} else {
			high = middle
		}
	}
	return low
}

// emsaPSS is EMSA-PSS (RFC 8017 §9.1) for 2048 bits, with an own hash for MGF1.
func emsaPSS(sum []byte, hash, mgf crypto.Hash, salt []byte, trailer byte) []byte {
	const size = 256
	h := digest(hash, slices.Concat(make([]byte, 8), sum, salt))
	db := make([]byte, size-len(h)-1)
	db[len(db)-len(salt)-1] = 1
	copy(db[len(db)-len(salt):], salt)
	var mask []byte
	for i := uint32(0); len(mask) < len(db); i++ {
		mask = append(mask, digest(mgf, binary.BigEndian.AppendUint32(slices.Clone(h), i))...)
	}
	for i := range db {
		db[i] ^= mask[i]
	}
	db[0] &= 0x7f
	return append(append(db, h...), trailer)
}

// jwkRows attack the key set: RFC 7517, RFC 7518 §6, RFC 8037. Each is run with
// jwks.Static and with a jwks.Cache; a set that is of no use is an error of the
// first and an outage of the second.
func jwkRows() []row {
	v := valid
	changed := func(name, value string) func(*row) { return keys(r1().jwk().set(name, value), e1().jwk()) }
	without := func(name string) func(*row) { return keys(r1().jwk().del(name), e1().jwk()) }
	ec := func(name, value string) func(*row) { return keys(e1().jwk().set(name, value), r1().jwk()) }
	okp := func(name, value string) func(*row) { return keys(ed1().jwk().set(name, value), r1().jwk()) }
	number := func(b []byte) string { return strconv.Quote(b64(string(b))) }
	n := r1().rsa().N.Bytes()
	x, y := e1().point()
	ed := []byte(ed1().priv.Public().(ed25519.PublicKey))
	x1, y1 := x.FillBytes(make([]byte, 32)), y.FillBytes(make([]byte, 32))
	odd := func(bits int) []byte { // a number of that many bits that nobody can sign with
		b := bytes.Repeat([]byte{0xab}, (bits+7)/8)
		b[0] |= 0x80
		if extra := len(b)*8 - bits; extra > 0 {
			b[0] = b[0]>>extra | 1<<(7-extra)
		}
		b[len(b)-1] |= 1
		return b
	}
	anyRSA := func(kid string, n []byte) object {
		return object{{`"kty"`, `"RSA"`}, {`"kid"`, strconv.Quote(kid)}, {`"n"`, number(n)}, {`"e"`, `"AQAB"`}}
	}
	many := func(n int) []fmt.Stringer {
		out := []fmt.Stringer{r1().jwk()}
		for i := range n - 1 {
			out = append(out, e1().as(fmt.Sprintf("k%d", i), "ES256").jwk())
		}
		return out
	}
	rows := []row{
		// req: R7517-04, R8725-04
		r("JWK-001", "RSA of 1024 bits", from(weak1024()), bad(unknownKey), keys(weak1024().jwk(), r1().jwk())),
		r("JWK-002", "RSA of 2047 bits", from(weak2047()), bad(unknownKey), keys(weak2047().jwk(), r1().jwk())),
		r("JWK-003", "RSA of 2048 bits", v(), ok, keys(r1().jwk())),
		r("JWK-004", "RSA of 16384 bits beside a good key", v(), ok, keys(anyRSA("big", odd(16384)), r1().jwk())),
		r("JWK-004b", "a token that names RSA of 16384 bits", v().hdr("kid", `"big"`), bad(unknownKey), keys(anyRSA("big", odd(16384)), r1().jwk())),
		r("JWK-004c", "a token that names RSA of 8193 bits", v().hdr("kid", `"big"`), bad(unknownKey), keys(anyRSA("big", odd(8193)), r1().jwk())),
		r("JWK-004d", "a token that names RSA of 8192 bits, which is admitted", v().hdr("kid", `"big"`), bad(signature), keys(anyRSA("big", odd(8192)), r1().jwk())),
		r("JWK-005", "RSA with e 1: every message is its own signature", v().signed(func(input []byte) []byte { return pkcs1(256, sha256Info, digest(crypto.SHA256, input)) }), bad(unknownKey), changed("e", `"AQ"`)),
		r("JWK-005b", "RSA with e 0", v(), bad(unknownKey), changed("e", `"AA"`)),
		r("JWK-005c", "RSA with e 2", v(), bad(unknownKey), changed("e", `"Ag"`)),
		r("JWK-005d", "RSA with e 65536", v(), bad(unknownKey), changed("e", `"AQAA"`)),
		r("JWK-005e", "RSA with e of 2^32+1, which an int32 would take for 1", v(), bad(unknownKey), changed("e", `"AQAAAAE"`)),
		r("JWK-005f", "RSA with e of 2^64+65537, which an int64 would take for 65537", v(), bad(unknownKey), changed("e", `"AQAAAAAAAQAB"`)),
		r("JWK-005g", "RSA with a leading zero in e", v(), bad(unknownKey), changed("e", `"AAEAAQ"`)),
		r("JWK-005h", "RSA with e 3: another key, so the signature is bad", v(), bad(signature), changed("e", `"Aw"`)),
		r("JWK-005i", "RSA with e empty", v(), bad(unknownKey), changed("e", `""`)),
		r("JWK-005j", "RSA with e a number", v(), bad(unknownKey), changed("e", `65537`)),
		r("JWK-006", "RSA with an even n", v(), bad(unknownKey), changed("n", number(append(slices.Clone(n[:255]), 2)))),
		r("JWK-006b", "RSA with n empty", v(), bad(unknownKey), changed("n", `""`)),
		r("JWK-006c", "RSA without n", v(), bad(unknownKey), without("n")),
		r("JWK-006d", "RSA without e", v(), bad(unknownKey), without("e")),
		r("JWK-006e", "RSA with n in the standard alphabet", v(), bad(unknownKey), changed("n", strconv.Quote(strings.NewReplacer("-", "+", "_", "/").Replace(b64(string(n)))+"+"))),
		r("JWK-006f", "RSA with n padded", v(), bad(unknownKey), changed("n", strconv.Quote(b64(string(n))+"=="))),
		r("JWK-006g", "RSA with LF in n", v(), bad(unknownKey), changed("n", `"`+b64(string(n))[:9]+`\n`+b64(string(n))[9:]+`"`)),
		r("JWK-006h", "RSA with trailing bits in n", v(), bad(unknownKey), changed("n", strconv.Quote(nonCanonical(b64(string(n)))))),
		// req: R7517-02
		r("JWK-007", "use enc", v(), bad(unknownKey), changed("use", `"enc"`)),
		r("JWK-007b", "use SIG", v(), bad(unknownKey), changed("use", `"SIG"`)),
		r("JWK-007c", "use empty", v(), bad(unknownKey), changed("use", `""`)),
		r("JWK-007d", "use null: as if it were not there", v(), ok, changed("use", `null`)),
		r("JWK-007e", "use an array", v(), bad(unknownKey), changed("use", `["sig"]`)),
		r("JWK-008", "no use", v(), ok, without("use")),
		r("JWK-009", "key_ops sign", v(), bad(unknownKey), changed("key_ops", `["sign"]`)),
		r("JWK-010", "key_ops verify", v(), ok, changed("key_ops", `["verify"]`)),
		r("JWK-010b", "key_ops sign and verify", v(), ok, changed("key_ops", `["sign","verify"]`)),
		r("JWK-010c", "key_ops empty", v(), bad(unknownKey), changed("key_ops", `[]`)),
		r("JWK-010d", "key_ops a string", v(), bad(unknownKey), changed("key_ops", `"verify"`)),
		r("JWK-010e", "key_ops null: as if it were not there", v(), ok, changed("key_ops", `null`)),
		r("JWK-010f", "key_ops VERIFY", v(), bad(unknownKey), changed("key_ops", `["VERIFY"]`)),
		r("JWK-010g", "key_ops verify, use enc", v(), bad(unknownKey), keys(r1().jwk().set("key_ops", `["verify"]`).set("use", `"enc"`), e1().jwk())),
		r("JWK-011", "no alg", v(), ok, without("alg")),
		r("JWK-012", "alg RS512", v(), bad(unknownKey), changed("alg", `"RS512"`)),
		r("JWK-013", "alg RSA-OAEP", v(), bad(unknownKey), changed("alg", `"RSA-OAEP"`)),
		r("JWK-013b", "alg HS256 on an RSA key", v(), bad(unknownKey), changed("alg", `"HS256"`)),
		r("JWK-013c", "alg ES256 on an RSA key", v(), bad(unknownKey), changed("alg", `"ES256"`)),
		r("JWK-013d", "alg none", v(), bad(unknownKey), changed("alg", `"none"`)),
		r("JWK-013e", "alg empty", v(), bad(unknownKey), changed("alg", `""`)),
		r("JWK-013f", "alg null: as if it were not there", v(), ok, changed("alg", `null`)),
		r("JWK-013j", "alg null, and a token with the alg of another kind of key", v().hdr("alg", `"ES256"`), bad(signature), changed("alg", `null`)), // not as long as one of ES256: no key is looked for
		r("JWK-013k", "alg null, and a token with the alg of another kind of key, and a signature of that length", v().hdr("alg", `"ES256"`).signed(fixed(make([]byte, 64))), bad(unknownKey), changed("alg", `null`)),
		r("JWK-013g", "alg rs256", v(), bad(unknownKey), changed("alg", `"rs256"`)),
		r("JWK-013h", "alg a number", v(), bad(unknownKey), changed("alg", `1`)),
		r("JWK-013i", "alg an array", v(), bad(unknownKey), changed("alg", `["RS256"]`)),
		r("JWK-014", "kid a number", v(), bad(unknownKey), changed("kid", `1`)),
		r("JWK-014b", "kid null: a key without kid, which a kid may mean that no key has", v(), ok, changed("kid", `null`)),
		r("JWK-014e", "kid null, and signed by another", v().signedBy(evilRSA()), bad(signature), changed("kid", `null`)),
		r("JWK-014c", "kid of 257 bytes", v().noHdr("kid"), bad(unknownKey), changed("kid", strconv.Quote(strings.Repeat("k", 257)))),
		r("JWK-014d", "kid empty: a key without kid", v().noHdr("kid"), ok, changed("kid", `""`)),
		r("JWK-015", "kty rsa", v(), bad(unknownKey), changed("kty", `"rsa"`)),
		r("JWK-016", "kty EC on an RSA key", v(), bad(unknownKey), changed("kty", `"EC"`)),
		r("JWK-016b", "kty RSA on an EC key", from(e1()), bad(unknownKey), ec("kty", `"RSA"`)),
		r("JWK-017", "no kty", v(), bad(unknownKey), without("kty")),
		r("JWK-017b", "kty null", v(), bad(unknownKey), changed("kty", `null`)),
		r("JWK-017c", "kty AKP (post-quantum) beside a good key", v(), ok, keys(raw(`{"kty":"AKP","kid":"q","alg":"ML-DSA-44","pub":"AAAA"}`), r1().jwk())),
		r("JWK-018", "KTY instead of kty", v(), bad(unknownKey), keys(r1().jwk().del("kty").set("KTY", `"RSA"`), e1().jwk())),
		r("JWK-019", "kty oct with alg RS256", v(), bad(unknownKey), keys(raw(`{"kty":"oct","kid":"r1","alg":"RS256","k":"AAAA"}`), e1().jwk())),
		// req: R7517-05
		r("JWK-020", "EC, a point that is not on the curve", from(e1()), bad(unknownKey), ec("y", number(flipBit(31, 1)(y1)))),
		r("JWK-020b", "EC, the point 0,0", from(e1()), bad(unknownKey), keys(e1().jwk().set("x", number(make([]byte, 32))).set("y", number(make([]byte, 32))), r1().jwk())),
		r("JWK-020c", "EC, x is the field prime or more", from(e1()), bad(unknownKey), ec("x", number(bytes.Repeat([]byte{0xff}, 32)))),
		r("JWK-020d", "EC, x and y exchanged", from(e1()), bad(unknownKey), keys(e1().jwk().set("x", number(y1)).set("y", number(x1)), r1().jwk())),
		r("JWK-021", "EC, x of 31 octets", from(e1()), bad(unknownKey), ec("x", number(x1[1:]))),
		r("JWK-021b", "EC, x of 33 octets, the first zero", from(e1()), bad(unknownKey), ec("x", number(append([]byte{0}, x1...)))),
		r("JWK-021c", "EC without y", from(e1()), bad(unknownKey), keys(e1().jwk().del("y"), r1().jwk())),
		r("JWK-021d", "EC with y empty", from(e1()), bad(unknownKey), ec("y", `""`)),
		r("JWK-021e", "EC with y a number", from(e1()), bad(unknownKey), ec("y", `1`)),
		r("JWK-022", "EC, crv P-384 with the point of P-256", from(e1()), bad(unknownKey), ec("crv", `"P-384"`)),
		r("JWK-022b", "EC, crv p-256", from(e1()), bad(unknownKey), ec("crv", `"p-256"`)),
		r("JWK-022c", "EC, crv prime256v1", from(e1()), bad(unknownKey), ec("crv", `"prime256v1"`)),
		r("JWK-022d", "EC without crv", from(e1()), bad(unknownKey), keys(e1().jwk().del("crv"), r1().jwk())),
		r("JWK-022e", "EC with alg ES384 on P-256", from(e1()), bad(unknownKey), ec("alg", `"ES384"`)),
		r("JWK-022f", "EC with alg ECDH-ES", from(e1()), bad(unknownKey), ec("alg", `"ECDH-ES"`)),
		r("JWK-022g", "EC with alg ES256K on P-256", from(e1()), bad(unknownKey), ec("alg", `"ES256K"`)),
		r("JWK-023", "Ed25519 of small order: anybody's signature", from(ed1()).signed(fixed(neutral())), bad(unknownKey), okp("x", number(append([]byte{1}, make([]byte, 31)...)))),
		r("JWK-023b", "Ed25519, the point 0", from(ed1()).signed(fixed(neutral())), bad(unknownKey), okp("x", number(make([]byte, 32)))),
		r("JWK-023c", "Ed25519 of order 2", from(ed1()).signed(fixed(neutral())), bad(unknownKey), okp("x", number(append([]byte{0xec}, append(bytes.Repeat([]byte{0xff}, 30), 0x7f)...)))),
		r("JWK-023d", "Ed25519 that is not canonical: 1 plus the prime", from(ed1()).signed(fixed(neutral())), bad(unknownKey), okp("x", number(append([]byte{0xee}, append(bytes.Repeat([]byte{0xff}, 30), 0x7f)...)))),
		r("JWK-023e", "Ed25519 of small order with the sign bit", from(ed1()).signed(fixed(neutral())), bad(unknownKey), okp("x", number(append([]byte{1}, append(make([]byte, 30), 0x80)...)))),
		r("JWK-024", "Ed25519 of 31 octets", from(ed1()), bad(unknownKey), okp("x", number(ed[:31]))),
		r("JWK-024b", "Ed25519 of 33 octets", from(ed1()), bad(unknownKey), okp("x", number(append(slices.Clone(ed), 0)))),
		r("JWK-024c", "OKP with crv X25519", from(ed1()), bad(unknownKey), okp("crv", `"X25519"`)),
		r("JWK-024d", "OKP with crv Ed448", from(ed1()), bad(unknownKey), okp("crv", `"Ed448"`)),
		r("JWK-024e", "OKP with crv ed25519", from(ed1()), bad(unknownKey), okp("crv", `"ed25519"`)),
		r("JWK-024f", "kty EC with crv Ed25519", from(ed1()), bad(unknownKey), okp("kty", `"EC"`)),
		r("JWK-024g", "OKP with alg RS256", from(ed1()), bad(unknownKey), okp("alg", `"RS256"`)),
		r("JWK-025", "the private members of an RSA key", v(), bad(unknownKey), changed("d", number(r1().rsa().D.Bytes()))),
		r("JWK-025b", "d of an EC key", from(e1()), bad(unknownKey), ec("d", `"AAAA"`)),
		r("JWK-025c", "d of an Ed25519 key", from(ed1()), bad(unknownKey), okp("d", `"AAAA"`)),
		r("JWK-025g", "d null: nothing private is there", v(), ok, changed("d", `null`)),
		r("JWK-025h", "d null, and a prime", v(), bad(unknownKey), keys(r1().jwk().set("d", `null`).set("p", `"AAAA"`), e1().jwk())),
		r("JWK-025d", "d empty", v(), bad(unknownKey), changed("d", `""`)),
		r("JWK-025e", "a prime of an RSA key", v(), bad(unknownKey), changed("p", `"AAAA"`)),
		r("JWK-025f", "k on an RSA key", v(), bad(unknownKey), changed("k", `"AAAA"`)),
		// req: R7517-01
		r("JWK-026", "one good key among bad ones", v(), ok, keys(raw(`{}`), raw(`null`), raw(`"x"`), raw(`5`), raw(`[]`), raw(`{"kty":"RSA"}`), secp256k1("k"), r1().jwk())),
		r("JWK-027", "x5c, x5t and unknown members", v(), ok, keys(r1().jwk().set("x5c", `["!!"]`).set("x5t", `5`).set("x5u", `"http://attacker.test/"`).set("foo", `{}`))),
		r("JWK-028", "the same key twice", v(), ok, keys(r1().jwk(), r1().jwk())),
		r("JWK-029", "members of the set beside keys", v(), ok, set(inside(keySet(r1().jwk()), `[1]`))),
		r("JWK-030", "nothing but keys that are of no use", v(), down, keys(raw(`{"kty":"oct","k":"AA"}`), secp256k1("k"), anyRSA("a", odd(1024)))),
		r("JWK-031", "no keys", v(), down, set(`{"keys":[]}`)),
		r("JWK-032", "keys null", v(), down, set(`{"keys":null}`)),
		r("JWK-033", "{}", v(), down, set(`{}`)),
		r("JWK-034", "an empty body", v(), down, set(` `)),
		r("JWK-035", "keys an object", v(), down, set(`{"keys":{}}`)),
		r("JWK-035b", "keys a string", v(), down, set(`{"keys":"x"}`)),
		r("JWK-035c", "keys an object of keys", v(), down, set(`{"keys":{"r1":`+r1().jwk().String()+`}}`)),
		r("JWK-036", "Keys instead of keys", v(), down, set(strings.Replace(keySet(r1().jwk()), "keys", "Keys", 1))),
		r("JWK-037", "a key instead of a set", v(), down, set(r1().jwk().String())),
		r("JWK-038", "an array instead of a set", v(), down, set("["+r1().jwk().String()+"]")),
		r("JWK-039", "null", v(), down, set(`null`)),
		r("JWK-039b", "HTML", v(), down, set(`<!doctype html><html></html>`)),
		r("JWK-039c", "a set and text after it", v(), down, set(keySet(r1().jwk())+"x")),
		r("JWK-039d", "a set cut short", v(), down, set(strings.TrimSuffix(keySet(r1().jwk()), "}"))),
		r("JWK-040", "keys twice, the attacker's first", v(), down, set(`{"keys":[`+evilRSA().jwk().String()+`],"keys":[`+r1().jwk().String()+`]}`)),
		r("JWK-040b", "keys twice, the attacker's second", v().signedBy(evilRSA()), down, set(`{"keys":[`+r1().jwk().String()+`],"keys":[`+evilRSA().jwk().String()+`]}`)),
		r("JWK-040c", "n twice in a key", v(), down, keys(raw(strings.Replace(r1().jwk().String(), `"n":`, `"n":"AAAA","n":`, 1)))),
		r("JWK-040d", "n twice in a key, beside a good one", v(), bad(unknownKey), keys(raw(strings.Replace(r1().jwk().String(), `"n":`, `"n":"AAAA","n":`, 1)), e1().jwk())),
		r("JWK-040e", "n twice in a key: the others are used", from(e1()), ok, keys(raw(strings.Replace(r1().jwk().String(), `"n":`, `"n":"AAAA","n":`, 1)), e1().jwk())),
		r("JWK-040f", "kid twice in a key of the attacker, once as ours", v().signedBy(evilRSA()), bad(signature), keys(raw(strings.Replace(evilRSA().jwk().String(), `"kid":`, `"kid":"r1","kid":`, 1)), r1().jwk())),
		r("JWK-041", "a byte order mark", v(), down, set("\ufeff"+keySet(r1().jwk()))),
		r("JWK-041b", "UTF-16", v(), down, set(utf16(keySet(r1().jwk()), "\xff\xfe"))),
		r("JWK-041c", "invalid UTF-8", v(), down, set(inside(keySet(r1().jwk()), "\"\xff\""))),
		r("JWK-042", "white space around the set", v(), ok, set("\r\n "+keySet(r1().jwk())+"\n")),
		r("JWK-043", "n with a leading zero octet", v(), ok, changed("n", number(append([]byte{0}, n...)))),
		r("JWK-044", "100 keys", v(), ok, keys(many(100)...)),
		r("JWK-044b", "101 keys", v(), down, keys(many(101)...)),
		r("JWK-045", "a set of 1 MiB", v(), down, set(keySet(r1().jwk())+strings.Repeat(" ", 1<<20)), cacheOnly),
		r("JWK-045b", "20 000 keys", v(), down, set(`{"keys":[`+r1().jwk().String()+strings.Repeat(`,{}`, 20_000)+`]}`)),
		r("JWK-046", "100 000 nested arrays", v(), down, set(`{"keys":`+strings.Repeat("[", 100_000)+strings.Repeat("]", 100_000)+`}`)),
		r("JWK-046b", "100 000 nested arrays beside keys", v(), down, set(inside(keySet(r1().jwk()), strings.Repeat("[", 100_000)+strings.Repeat("]", 100_000)))),
		r("JWK-047", "a key of 65 KiB", v(), bad(unknownKey), keys(r1().jwk().set("x5c", `["`+strings.Repeat("A", 65<<10)+`"]`), e1().jwk())),
		// A key of an issuer with many tenants verifies tokens of the one that it is for.
		r("JWK-049", "issuer of a key: ours", v(), ok, changed("issuer", strconv.Quote(issuer))),
		r("JWK-049b", "issuer of a key: another", v(), bad(unknownKey), changed("issuer", `"https://b.example.com/"`)),
		r("JWK-049c", "issuer of a key: ours without the slash", v(), bad(unknownKey), changed("issuer", strconv.Quote(strings.TrimSuffix(issuer, "/")))),
		r("JWK-049d", "issuer of a key: any tenant", v(), ok, changed("issuer", `"https://{tenantid}.example.com/"`)),
		r("JWK-049e", "issuer of a key: any tenant of another host", v(), bad(unknownKey), changed("issuer", `"https://b.example.com/{tenantid}"`)),
		r("JWK-049f", "issuer of a key: no string", v(), bad(unknownKey), changed("issuer", `["`+issuer+`"]`)),
		r("JWK-049g", "issuer of a key: empty", v(), bad(unknownKey), changed("issuer", `""`)),
		r("JWK-049h", "issuer of a key: null", v(), ok, changed("issuer", `null`)),
		r("JWK-049i", "issuer of a key: another, in a token without kid", v().noHdr("kid"), bad(unknownKey), changed("issuer", `"https://b.example.com/"`)),
		r("JWK-048", "an outage does not blame a bad token", v().clm("exp", at(-100)), down, set(`{"keys":[]}`)),
	}
	return rows
}

func nonCanonical(s string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return s[:len(s)-1] + string(alphabet[strings.IndexByte(alphabet, s[len(s)-1])+1])
}

var weak1024 = sync.OnceValue(func() key { return key{"weak", "RS256", must(rsa.GenerateKey(rand.Reader, 1024))} })

// weak2047 is of 2047 bits, which Go does not make by itself.
var weak2047 = sync.OnceValue(func() key {
	for {
		p, q := must(rand.Prime(rand.Reader, 1024)), must(rand.Prime(rand.Reader, 1023))
		n := new(big.Int).Mul(p, q)
		one := big.NewInt(1)
		phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
		d := new(big.Int).ModInverse(big.NewInt(65537), phi)
		if d == nil || n.BitLen() != 2047 {
			continue
		}
		k := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: n, E: 65537}, D: d, Primes: []*big.Int{p, q}}
		k.Precompute()
		return key{"weak", "RS256", k}
	}
})
