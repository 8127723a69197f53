package jose

import (
	"errors"
	"math/big"
	"slices"
)

// edP is the field prime of edwards25519 (RFC 8032 §5.1): 2^255-19.
var edP = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))

// checkEd25519 refuses an encoded point that is not canonical, not on the
// curve, or of small order: under a key of order 8 or less, a signature that
// verifies for any message is easily made, without any private key.
func checkEd25519(key []byte) error {
	b := slices.Clone(key)
	slices.Reverse(b) // big endian
	b[0] &= 0x7f      // without the sign of x, which changes none of the answers
	y := new(big.Int).SetBytes(b)
	if y.Cmp(edP) >= 0 {
		return errors.New("jose: the Ed25519 key is not in canonical form")
	}
	switch y.Text(16) { // the y of the eight points of small order
	case "0", // order 4
		"1", // order 1
		"7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffec", // order 2
		"5fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826",  // order 8
		"7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7": // order 8
		return errors.New("jose: the Ed25519 key is of small order")
	}
	// x² = (y²-1) / (d·y²+1), where d = -121665/121666. Such an x exists if the
	// product of both is a square; it is taken here of 121666 times each.
	yy := new(big.Int).Mul(y, y)
	numerator := new(big.Int).Sub(yy, big.NewInt(1))
	numerator.Mul(numerator, big.NewInt(121666))
	denominator := new(big.Int).Mul(yy, big.NewInt(-121665))
	denominator.Add(denominator, big.NewInt(121666))
	if big.Jacobi(numerator.Mul(numerator, denominator), edP) != 1 {
		return errors.New("jose: the Ed25519 key is not a point on the curve")
	}
	return nil
}
