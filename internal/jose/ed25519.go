package jose

import (
	"errors"
	"math/big"
	"slices"
)

// The field prime 2^255-19 and the constant d = -121665/121666 of edwards25519
// (RFC 8032 §5.1).
var (
	edP = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	edD = func() *big.Int {
		d := new(big.Int).ModInverse(big.NewInt(121666), edP)
		d.Mul(d, big.NewInt(-121665))
		return d.Mod(d, edP)
	}()
)

// checkEd25519 refuses an encoded point that is not canonical, not on the
// curve, or of small order: under a key of order 8 or less, a signature that
// verifies for any message is easily made, without any private key.
func checkEd25519(key []byte) error {
	b := slices.Clone(key)
	slices.Reverse(b) // big endian
	sign := b[0] >> 7
	b[0] &= 0x7f
	y := new(big.Int).SetBytes(b)
	if y.Cmp(edP) >= 0 {
		return errors.New("jose: the Ed25519 key is not in canonical form")
	}
	// x² = (y²-1) / (d·y²+1)
	yy := new(big.Int).Mul(y, y)
	yy.Mod(yy, edP)
	num := new(big.Int).Sub(yy, big.NewInt(1))
	den := new(big.Int).Mul(edD, yy)
	den.Add(den, big.NewInt(1))
	xx := new(big.Int).ModInverse(den.Mod(den, edP), edP)
	xx.Mul(xx, num)
	xx.Mod(xx, edP)
	x := new(big.Int).ModSqrt(xx, edP)
	if x == nil || x.Sign() == 0 && sign == 1 {
		return errors.New("jose: the Ed25519 key is not a point on the curve")
	}
	for range 3 { // 8·(x, y)
		x, y = edDouble(x, y)
	}
	if x.Sign() == 0 && y.Cmp(big.NewInt(1)) == 0 {
		return errors.New("jose: the Ed25519 key is of small order")
	}
	return nil
}

// edDouble adds the affine point to itself: x' = 2xy/(1+dx²y²),
// y' = (y²+x²)/(1-dx²y²). The denominators are never zero, since d is not a
// square. The sign of x does not matter for the order.
func edDouble(x, y *big.Int) (*big.Int, *big.Int) {
	xy := new(big.Int).Mul(x, y)
	xy.Mod(xy, edP)
	dxy := new(big.Int).Mul(xy, xy)
	dxy.Mul(dxy, edD)
	one := big.NewInt(1)

	dx := new(big.Int).Add(one, dxy)
	x2 := new(big.Int).ModInverse(dx.Mod(dx, edP), edP)
	x2.Mul(x2, xy.Lsh(xy, 1))

	dy := new(big.Int).Sub(one, dxy)
	y2 := new(big.Int).ModInverse(dy.Mod(dy, edP), edP)
	sum := new(big.Int).Mul(x, x)
	sum.Add(sum, new(big.Int).Mul(y, y))
	y2.Mul(y2, sum)
	return x2.Mod(x2, edP), y2.Mod(y2, edP)
}
