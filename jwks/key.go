package jwks

import (
	"crypto"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/jose"
)

// Key is one public key that was admitted: its kind, size and purpose are fit to
// verify signatures. It is an immutable value, safe for concurrent use. The zero
// Key verifies nothing.
type Key struct{ k jose.Key }

// ParseKey admits the public key of a JWK (RFC 7517 §4). The error is
// [bearergate.ErrMisconfigured] and says what is wrong with the key.
func ParseKey(jwk []byte) (Key, error) {
	k, err := jose.ParseKey(jwk)
	if err != nil {
		return Key{}, misconfigured(err)
	}
	return Key{k}, nil
}

// NewKey admits a public key from elsewhere, a PEM file for example, by the
// same rules as [ParseKey]: an *rsa.PublicKey, *ecdsa.PublicKey or
// ed25519.PublicKey. id is what tokens name it by, "" for a key without ID.
// Without algs, the key serves every algorithm that fits it.
func NewKey(id string, pub crypto.PublicKey, algs ...string) (Key, error) {
	k, err := jose.NewKey(id, pub, algs...)
	if err != nil {
		return Key{}, misconfigured(err)
	}
	return Key{k}, nil
}

// ID returns the key ID (RFC 7517 §4.5), "" if the key has none.
func (k Key) ID() string { return k.k.ID() }

// Algorithms returns the algorithms that the key serves.
func (k Key) Algorithms() []string { return k.k.Algorithms() }

// Serves reports whether alg is among Algorithms.
func (k Key) Serves(alg string) bool { return k.k.Serves(alg) }

// ServesIssuer reports whether the key may verify tokens of that issuer. It may verify
// anybody's, unless its JWK has a member issuer, as those of servers with many tenants have:
// then that is the only one. {tenantid} in it stands for any tenant.
func (k Key) ServesIssuer(issuer string) bool { return k.k.ServesIssuer(issuer) }

// NamedBy compares the certificate of the key with the thumbprints in the header of a token
// (RFC 7515 §4.1.7, §4.1.8), "" where it has none. known says that the key has one to compare
// with: in its JWK, or made of the first certificate of its x5c. same says that one is equal.
func (k Key) NamedBy(x5tS256, x5t string) (same, known bool) {
	return k.k.NamedBy(jose.Certificate{SHA256: x5tS256, SHA1: x5t})
}

// Thumbprint returns the SHA-256 thumbprint of RFC 7638: equal for equal keys,
// whatever their IDs.
func (k Key) Thumbprint() [32]byte { return k.k.Thumbprint() }

// Verify returns nil if sig is a signature of signed that this key made with
// alg. The error is [bearergate.ErrInvalidToken] with
// [bearergate.ReasonSignature], whatever the cause.
func (k Key) Verify(alg string, signed, sig []byte) error {
	if err := k.k.Verify(alg, signed, sig); err != nil {
		return &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonSignature, Cause: err}
	}
	return nil
}
