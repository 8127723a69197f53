package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"slices"
)

// ErrSignature: the signature does not verify, whatever the cause.
var ErrSignature = errors.New("jose: the signature does not verify")

// Algorithms are the JWS algorithms that exist here: all of them asymmetric.
// "EdDSA" and "Ed25519" (RFC 9864) are two names of one.
func Algorithms() []string {
	return []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"}
}

// Named returns the algorithms that a configuration names, both names of EdDSA where it
// has one of them (RFC 9864), and beside them the names that are none.
func Named(names []string) (all, unknown []string) {
	for _, name := range names {
		if !slices.Contains(Algorithms(), name) {
			unknown = append(unknown, name)
		}
	}
	switch all = slices.Clone(names); {
	case !slices.Contains(all, "Ed25519") && slices.Contains(all, "EdDSA"):
		return append(all, "Ed25519"), unknown
	case !slices.Contains(all, "EdDSA") && slices.Contains(all, "Ed25519"):
		return append(all, "EdDSA"), unknown
	}
	return all, unknown
}

type family int

const (
	pkcs1 family = iota + 1
	pss
	ecdsaP
	eddsa
)

type algorithm struct {
	family family
	hash   crypto.Hash
	curve  elliptic.Curve
}

// algorithmOf is case-sensitive (RFC 7515 §4.1.1). There is no none and no
// HMAC to be chosen by mistake.
func algorithmOf(name string) (algorithm, bool) {
	switch name {
	case "RS256":
		return algorithm{family: pkcs1, hash: crypto.SHA256}, true
	case "RS384":
		return algorithm{family: pkcs1, hash: crypto.SHA384}, true
	case "RS512":
		return algorithm{family: pkcs1, hash: crypto.SHA512}, true
	case "PS256":
		return algorithm{family: pss, hash: crypto.SHA256}, true
	case "PS384":
		return algorithm{family: pss, hash: crypto.SHA384}, true
	case "PS512":
		return algorithm{family: pss, hash: crypto.SHA512}, true
	case "ES256":
		return algorithm{family: ecdsaP, hash: crypto.SHA256, curve: elliptic.P256()}, true
	case "ES384":
		return algorithm{family: ecdsaP, hash: crypto.SHA384, curve: elliptic.P384()}, true
	case "ES512":
		return algorithm{family: ecdsaP, hash: crypto.SHA512, curve: elliptic.P521()}, true
	case "EdDSA", "Ed25519":
		return algorithm{family: eddsa}, true
	}
	return algorithm{}, false
}

// fits reports whether a key of this kind can serve the algorithm.
func (a algorithm) fits(pub crypto.PublicKey) bool {
	switch pub := pub.(type) {
	case *rsa.PublicKey:
		return a.family == pkcs1 || a.family == pss
	case *ecdsa.PublicKey:
		return a.family == ecdsaP && a.curve == pub.Curve
	case ed25519.PublicKey:
		return a.family == eddsa
	}
	return false
}

func (a algorithm) verify(pub crypto.PublicKey, signed, sig []byte) bool {
	if !a.fits(pub) {
		return false
	}
	switch pub := pub.(type) {
	case *rsa.PublicKey:
		if len(sig) != pub.Size() {
			return false
		}
		var sum [sha512.Size]byte
		digest := a.digest(&sum, signed)
		if a.family == pkcs1 {
			return rsa.VerifyPKCS1v15(pub, a.hash, digest, sig) == nil
		}
		return rsa.VerifyPSS(pub, a.hash, digest, sig, &pssOptions) == nil
	case *ecdsa.PublicKey:
		// R and S as big-endian integers of the curve's field length, nothing else (RFC 7518 §3.4).
		n := fieldBytes(pub.Curve)
		if len(sig) != 2*n {
			return false
		}
		var sum [sha512.Size]byte
		r, s := new(big.Int).SetBytes(sig[:n]), new(big.Int).SetBytes(sig[n:])
		return ecdsa.Verify(pub, a.digest(&sum, signed), r, s) // refuses 0 and values not below the order
	case ed25519.PublicKey:
		return len(sig) == ed25519.SignatureSize && ed25519.Verify(pub, signed, sig)
	}
	return false
}

// pssOptions: the salt is as long as the hash (RFC 7518 §3.5), and no other
// length verifies.
var pssOptions = rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}

func (a algorithm) digest(sum *[sha512.Size]byte, signed []byte) []byte {
	switch a.hash {
	case crypto.SHA256:
		s := sha256.Sum256(signed)
		return sum[:copy(sum[:], s[:])]
	case crypto.SHA384:
		s := sha512.Sum384(signed)
		return sum[:copy(sum[:], s[:])]
	default:
		*sum = sha512.Sum512(signed)
		return sum[:]
	}
}

func fieldBytes(curve elliptic.Curve) int { return (curve.Params().BitSize + 7) / 8 }

// Sign returns the compact JWS of header and payload, both taken as they are:
// header must be a JSON object that names alg.
func Sign(alg string, key crypto.Signer, header, payload []byte) (string, error) {
	a, ok := algorithmOf(alg)
	if !ok || !complete(key) || !a.fits(key.Public()) {
		return "", fmt.Errorf("jose: a key of type %T cannot sign with %q", key, alg)
	}
	signed := base64.RawURLEncoding.AppendEncode(nil, header)
	signed = append(signed, '.')
	signed = base64.RawURLEncoding.AppendEncode(signed, payload)
	sig, err := a.sign(key, signed)
	if err != nil {
		return "", fmt.Errorf("jose: signing with %s: %w", alg, err)
	}
	return string(base64.RawURLEncoding.AppendEncode(append(signed, '.'), sig)), nil
}

// complete refuses the private keys under which crypto's own methods panic.
func complete(key crypto.Signer) bool {
	switch key := key.(type) {
	case nil:
		return false
	case *rsa.PrivateKey:
		return key != nil
	case *ecdsa.PrivateKey:
		//lint:ignore SA1019 only the fields tell what is missing
		return key != nil && key.X != nil && key.Y != nil && key.D != nil
	case ed25519.PrivateKey:
		return len(key) == ed25519.PrivateKeySize
	}
	return true
}

func (a algorithm) sign(key crypto.Signer, signed []byte) ([]byte, error) {
	var sum [sha512.Size]byte
	switch a.family {
	case pkcs1:
		return key.Sign(rand.Reader, a.digest(&sum, signed), a.hash)
	case pss:
		return key.Sign(rand.Reader, a.digest(&sum, signed), &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: a.hash})
	case eddsa:
		return key.Sign(rand.Reader, signed, crypto.Hash(0))
	}
	der, err := key.Sign(rand.Reader, a.digest(&sum, signed), a.hash)
	if err != nil {
		return nil, err
	}
	var point struct{ R, S *big.Int }
	if rest, err := asn1.Unmarshal(der, &point); err != nil || len(rest) != 0 {
		return nil, errors.New("the signer returned no DER signature")
	}
	// The signer may be foreign (a KMS), and FillBytes panics if it does not fit.
	n := fieldBytes(a.curve)
	if point.R.Sign() <= 0 || point.S.Sign() <= 0 || point.R.BitLen() > 8*n || point.S.BitLen() > 8*n {
		return nil, errors.New("the signer returned numbers that do not fit the curve")
	}
	sig := make([]byte, 2*n)
	point.R.FillBytes(sig[:n])
	point.S.FillBytes(sig[n:])
	return sig, nil
}

// GenerateKey returns a new private key for alg; RSA keys have 2048 bits.
func GenerateKey(alg string) (crypto.Signer, error) {
	a, ok := algorithmOf(alg)
	if !ok {
		return nil, fmt.Errorf("jose: unknown algorithm %q", alg)
	}
	switch a.family {
	case pkcs1, pss:
		return rsa.GenerateKey(rand.Reader, minRSABits)
	case ecdsaP:
		return ecdsa.GenerateKey(a.curve, rand.Reader)
	default:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
}
