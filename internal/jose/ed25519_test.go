package jose_test

import (
	"crypto/ed25519"
	"fmt"
	"math/big"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/bearergate/bearergate/internal/jose"
	"github.com/stretchr/testify/require"
)

// A second, independent description of edwards25519: the complete addition law
// in projective coordinates (RFC 8032 §5.1.4), and multiplication by it.
var (
	fieldP = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	fieldD = func() *big.Int {
		d, _ := new(big.Int).SetString("37095705934669439343138083508754565189542113879843219016388785533085940283555", 10)
		return d
	}()
	groupL = func() *big.Int {
		l, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
		return l
	}()
)

type edPoint struct{ x, y, z, t *big.Int }

func fmul(a, b *big.Int) *big.Int { c := new(big.Int).Mul(a, b); return c.Mod(c, fieldP) }
func fadd(a, b *big.Int) *big.Int { c := new(big.Int).Add(a, b); return c.Mod(c, fieldP) }
func fsub(a, b *big.Int) *big.Int { c := new(big.Int).Sub(a, b); return c.Mod(c, fieldP) }

func (p edPoint) add(q edPoint) edPoint {
	a := fmul(fsub(p.y, p.x), fsub(q.y, q.x))
	b := fmul(fadd(p.y, p.x), fadd(q.y, q.x))
	c := fmul(fmul(fmul(p.t, big.NewInt(2)), fieldD), q.t)
	d := fmul(fmul(p.z, big.NewInt(2)), q.z)
	e, f, g, h := fsub(b, a), fsub(d, c), fadd(d, c), fadd(b, a)
	return edPoint{fmul(e, f), fmul(g, h), fmul(f, g), fmul(e, h)}
}

func (p edPoint) times(k *big.Int) edPoint {
	r := edPoint{new(big.Int), big.NewInt(1), big.NewInt(1), new(big.Int)}
	for i := k.BitLen() - 1; i >= 0; i-- {
		if r = r.add(r); k.Bit(i) == 1 {
			r = r.add(p)
		}
	}
	return r
}

func (p edPoint) affine() (x, y *big.Int) {
	inverse := new(big.Int).Exp(p.z, new(big.Int).Sub(fieldP, big.NewInt(2)), fieldP)
	return fmul(p.x, inverse), fmul(p.y, inverse)
}

// edEncode writes y, which may be p or more, and a sign bit.
func edEncode(y *big.Int, sign uint) []byte {
	b := reversed(y.FillBytes(make([]byte, 32)))
	b[31] |= byte(sign << 7)
	return b
}

// edLift returns a point with that y, or false.
func edLift(y *big.Int) (edPoint, bool) {
	yy := fmul(y, y)
	den := fadd(fmul(fieldD, yy), big.NewInt(1))
	xx := fmul(fsub(yy, big.NewInt(1)), new(big.Int).Exp(den, new(big.Int).Sub(fieldP, big.NewInt(2)), fieldP))
	// Atkin's square root for p = 5 mod 8.
	x := new(big.Int).Exp(xx, new(big.Int).Rsh(new(big.Int).Add(fieldP, big.NewInt(3)), 3), fieldP)
	if fmul(x, x).Cmp(xx) != 0 {
		i := new(big.Int).Exp(big.NewInt(2), new(big.Int).Rsh(new(big.Int).Sub(fieldP, big.NewInt(1)), 2), fieldP)
		x = fmul(x, i)
	}
	return edPoint{x, new(big.Int).Set(y), big.NewInt(1), fmul(x, y)}, fmul(x, x).Cmp(xx) == 0
}

// smallOrder finds the eight points of order 1, 2, 4 and 8: L times any point
// leaves just its part of small order. All their encodings are returned, the
// non-canonical ones that Go's crypto/ed25519 reads too.
func smallOrder(t *testing.T) map[string][]byte {
	t.Helper()
	points := map[string]struct{ x, y *big.Int }{}
	for y := int64(2); len(points) < 8; y++ {
		if p, ok := edLift(big.NewInt(y)); ok {
			torsion := p.times(groupL)
			for q, i := torsion, 0; i < 8; q, i = q.add(torsion), i+1 {
				x, y := q.affine()
				points[fmt.Sprint(x, y)] = struct{ x, y *big.Int }{x, y}
			}
		}
		require.Less(t, y, int64(1000))
	}
	encodings := map[string][]byte{}
	for _, p := range points {
		for _, y := range []*big.Int{p.y, new(big.Int).Add(p.y, fieldP)} {
			if y.BitLen() > 255 {
				continue
			}
			for sign := range uint(2) {
				if p.x.Sign() != 0 && p.x.Bit(0) != sign {
					continue // that is another of the eight
				}
				b := edEncode(y, sign)
				encodings[fmt.Sprintf("%x", b)] = b
			}
		}
	}
	return encodings
}

// req: R8725-04
func TestEd25519SmallOrder(t *testing.T) {
	encodings := smallOrder(t)
	require.Len(t, encodings, 14) // eight canonical; y+p for y = 0 and 1; the sign of x = 0
	identity := append([]byte{1}, make([]byte, 31)...)
	forged := append(identity, make([]byte, 32)...) // R = 0·B, S = 0: no private key is involved
	for name, key := range encodings {
		t.Run(name, func(t *testing.T) {
			// It is worth refusing: the standard library takes the forgery for
			// every message whose hash is a multiple of the order.
			taken := 0
			for i := range 200 {
				if ed25519.Verify(key, fmt.Append(nil, i), forged) {
					taken++
				}
			}
			require.NotZero(t, taken)

			refused(t, members{"kty": "OKP", "crv": "Ed25519", "x": b64(key)}.json(t))
			made, err := jose.NewKey("", ed25519.PublicKey(key))
			require.Error(t, err)
			require.Equal(t, jose.Key{}, made)
		})
	}
	for i := range 200 {
		require.False(t, ed25519.Verify(edKey().Public().(ed25519.PublicKey), fmt.Append(nil, i), forged))
	}
}

// req: R7517-01, R8725-04
func TestParseKeyEd25519(t *testing.T) {
	base := edJWK(t)
	x := unb64(t, base["x"].(string))
	admitted(t, base.json(t))
	for name, bad := range map[string][]byte{
		"31 bytes":          x[:31],
		"33 bytes":          append(x[:32:32], 0),
		"32 and a 0 before": append([]byte{0}, x...),
		"64 bytes":          append(x[:32:32], x...),
		"57 bytes":          make([]byte, 57), // an Ed448 key
		"1 byte":            {9},
		"all ones":          edEncode(new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(1)), 1),
		"tagged 0x40":       append([]byte{0x40}, x...),
	} {
		t.Run(name, func(t *testing.T) { refused(t, base.with("x", b64(bad)).json(t)) })
	}
	for _, crv := range []string{"X25519", "Ed448", "X448", "ed25519", "ED25519", "Ed25519 ", "P-256", "Curve25519"} {
		refused(t, base.with("crv", crv).json(t))
	}
	for _, alg := range []string{"EdDSA", "Ed25519"} {
		key := admitted(t, base.with("alg", alg).json(t))
		require.ElementsMatch(t, []string{"EdDSA", "Ed25519"}, key.Algorithms())
	}
	for _, alg := range []string{"Ed448", "ES256", "RS256", "ECDH-ES", "eddsa", "ed25519"} {
		refused(t, base.with("alg", alg).json(t))
	}
	t.Run("y on and off the curve", func(t *testing.T) {
		on, off := 0, 0
		for y := int64(2); y < 200; y++ {
			_, ok := edLift(big.NewInt(y))
			for sign := range uint(2) {
				jwk := base.with("x", b64(edEncode(big.NewInt(y), sign))).json(t)
				if ok {
					on++
					admitted(t, jwk)
				} else {
					off++
					refused(t, jwk)
				}
			}
		}
		require.NotZero(t, on)
		require.NotZero(t, off)
	})
	t.Run("y not below p", func(t *testing.T) {
		aliases := 0
		for k := range int64(19) {
			_, onCurve := edLift(big.NewInt(k))
			for sign := range uint(2) {
				alias := edEncode(new(big.Int).Add(fieldP, big.NewInt(k)), sign)
				refused(t, base.with("x", b64(alias)).json(t))
				if onCurve && k > 1 {
					admitted(t, base.with("x", b64(edEncode(big.NewInt(k), sign))).json(t))
					aliases++
				}
			}
		}
		require.NotZero(t, aliases, "no refused encoding was a second name of an admitted point")
	})
	t.Run("the last y below p", func(t *testing.T) {
		for k := int64(1); k < 40; k++ {
			y := new(big.Int).Sub(fieldP, big.NewInt(k))
			p, ok := edLift(y)
			jwk := base.with("x", b64(edEncode(y, 0))).json(t)
			if x, _ := p.affine(); ok && x.Sign() != 0 {
				admitted(t, jwk)
			} else {
				refused(t, jwk)
			}
		}
	})
	t.Run("many keys", func(t *testing.T) {
		for i := range 64 {
			seed := make([]byte, 32)
			seed[0] = byte(i)
			pub := ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
			admitted(t, base.with("x", b64(pub)).json(t))
		}
	})
}

// admits is the check of a key by the curve itself: it finds x, and doubles the
// point three times to see whether its order divides eight.
func admits(key []byte) bool {
	y := new(big.Int).SetBytes(reversed(key))
	sign := y.Bit(255)
	y.SetBit(y, 255, 0)
	p, onCurve := edLift(y)
	if y.Cmp(fieldP) >= 0 || !onCurve || p.x.Sign() == 0 && sign == 1 {
		return false
	}
	x, y := p.times(big.NewInt(8)).affine()
	return x.Sign() != 0 || y.Cmp(big.NewInt(1)) != 0
}

// What is known of the points of small order, and the symbol that tells a point
// from none, say the same as the curve: at the ends of the field, around every
// point of small order, and anywhere.
// req: R8725-04
func TestEd25519AgainstTheCurve(t *testing.T) {
	limit := new(big.Int).Lsh(big.NewInt(1), 255)
	ys := []*big.Int{}
	around := func(y *big.Int) {
		for k := int64(-25); k <= 25; k++ {
			if near := new(big.Int).Add(y, big.NewInt(k)); near.Sign() >= 0 && near.Cmp(limit) < 0 {
				ys = append(ys, near)
			}
		}
	}
	around(new(big.Int))
	around(fieldP)
	around(limit)
	for _, encoding := range smallOrder(t) {
		y := new(big.Int).SetBytes(reversed(encoding))
		around(y.SetBit(y, 255, 0))
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 300 {
		b := make([]byte, 32)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		y := new(big.Int).SetBytes(b)
		ys = append(ys, y.SetBit(y, 255, 0))
	}
	base := edJWK(t)
	verdicts := map[bool]int{}
	for _, y := range ys {
		for sign := range uint(2) {
			key := edEncode(y, sign)
			want := admits(key)
			verdicts[want]++
			_, err := jose.ParseKey(base.with("x", b64(key)).json(t))
			require.Equal(t, want, err == nil, "%x: %v", key, err)
		}
	}
	require.Greater(t, verdicts[true], 300)
	require.Greater(t, verdicts[false], 300)
}
