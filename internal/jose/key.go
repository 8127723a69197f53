package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/lestrrat-go/jwx/v2/jwk"

	"github.com/bearergate/bearergate/internal/strictjson"
)

const (
	minRSABits = 2048 // RFC 7518 §3.3
	maxRSABits = 8192 // beyond, one verification costs milliseconds
	maxExp     = 1<<31 - 1
	maxJWK     = 64 << 10 // bytes of one JWK; x5c chains are the longest that are met

	// MaxCandidates is under how many keys one signature is checked: what a token costs
	// that names no key must not grow with the set.
	MaxCandidates = 4
)

// Key is one admitted public key. It is immutable; the zero Key verifies nothing.
type Key struct {
	id         string
	algs       []string
	pub        crypto.PublicKey // *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey
	thumbprint [sha256.Size]byte
	about      *about // nil: nothing
}

// about is what a JWK says of its key beside what the key is.
type about struct {
	certificate Certificate // of its members
	leaf        Certificate // of the first certificate of its x5c
	issuer      string      // the only issuer whose tokens it may verify; "": it does not say
}

// NamedBy compares the certificate of the key with the one that a token names. known says
// that the key has a thumbprint of a kind that c has too; same, that one of them is equal.
func (k Key) NamedBy(c Certificate) (same, known bool) {
	if k.about == nil {
		return false, false
	}
	for _, of := range [...]Certificate{k.about.certificate, k.about.leaf} {
		for _, pair := range [...][2]string{{of.SHA256, c.SHA256}, {of.SHA1, c.SHA1}} {
			if pair[0] != "" && pair[1] != "" {
				known = true
				same = same || pair[0] == pair[1]
			}
		}
	}
	return same, known
}

// ServesIssuer reports whether the key may verify tokens of that issuer: any, unless its
// JWK has a member issuer. In that, {tenantid} stands for any one tenant.
func (k Key) ServesIssuer(issuer string) bool {
	return k.about == nil || k.about.issuer == "" || servesIssuer(k.about.issuer, issuer)
}

// ID returns kid, or "" when the key has none.
func (k Key) ID() string { return k.id }

// Algorithms returns the algorithms that the key may serve: what fits its type
// and curve, cut down to its alg if it names one.
func (k Key) Algorithms() []string { return slices.Clone(k.algs) }

// Serves reports whether alg is among Algorithms.
func (k Key) Serves(alg string) bool { return slices.Contains(k.algs, alg) }

// Thumbprint returns the SHA-256 thumbprint of RFC 7638.
func (k Key) Thumbprint() [sha256.Size]byte { return k.thumbprint }

// Verify returns nil if sig is the signature of signed under this key and alg,
// else an error that matches [ErrSignature].
func (k Key) Verify(alg string, signed, sig []byte) error {
	a, ok := algorithmOf(alg)
	if !ok || !k.Serves(alg) || !a.verify(k.pub, signed, sig) {
		return ErrSignature
	}
	return nil
}

// ParseKey admits a public key from a JWK (RFC 7517 §4, RFC 7518 §6, RFC 8037
// §2). The members are read and checked here first, for jwk.ParseKey lets
// through points off the curve, Ed25519 keys of 31 bytes, the exponent 1 and
// exponents cut short; what it then makes of them must be the key that we read.
//
// A key that is private, symmetric, not for signatures, too small, too large
// or in any way malformed is an error; its text holds no key material.
//
// uses are values of use that are admitted beside sig.
func ParseKey(data []byte, uses ...string) (Key, error) {
	m, err := readMembers(data)
	if err != nil {
		return Key{}, err
	}
	if err := m.checkUse(uses); err != nil {
		return Key{}, err
	}
	var k Key
	switch m.kty {
	case "RSA":
		k, err = m.rsa()
	case "EC":
		k, err = m.ec()
	case "OKP":
		k, err = m.okp()
	default:
		err = unfit{"kty is not RSA, EC or OKP", m.kty}
	}
	if err != nil {
		return Key{}, err
	}
	if k.algs, err = servable(k.pub, m.alg); err != nil {
		return Key{}, err
	}
	k.id = m.kid
	k.about = m.about()
	return k, nil
}

// NewKey admits a public key from Go's crypto packages by the same checks as
// [ParseKey]. Without algs it may serve every algorithm that fits it.
func NewKey(id string, pub crypto.PublicKey, algs ...string) (Key, error) {
	if len(id) > MaxKeyIDBytes || !utf8.ValidString(id) {
		return Key{}, fmt.Errorf("jose: the key ID must be UTF-8 of at most %d bytes", MaxKeyIDBytes)
	}
	data, err := PublicJWK(id, pub, "")
	if err != nil {
		return Key{}, err
	}
	k, err := ParseKey(data)
	if err != nil || len(algs) == 0 {
		return k, err
	}
	var served []string
	for _, alg := range algs {
		some, err := servable(k.pub, alg)
		if err != nil || alg == "" {
			return Key{}, unfit{"the key cannot serve the algorithm", alg}
		}
		served = append(served, some...)
	}
	slices.Sort(served)
	k.algs = slices.Compact(served)
	return k, nil
}

// Skipped is a key of a set that was not admitted.
type Skipped struct {
	Index int    // its place in keys, from 0
	ID    string // its kid, if it has a readable one
	Err   error
}

// ParseSet admits the keys of a JWK Set (RFC 7517 §5). A key that is not
// admitted is skipped and reported, one in which a member stands twice like any
// other: nobody can say which of the two is meant, but that is no reason to do
// without the rest. It is an error if data is not one strict JSON object with an
// array keys, if that has more than maxKeys elements, or if no key is usable; in
// the last case alone, skipped is returned beside the error, to say why.
//
// uses are as for [ParseKey].
func ParseSet(data []byte, maxKeys int, uses ...string) (keys []Key, skipped []Skipped, err error) {
	var array []byte
	if err := strictjson.Shallow(data, func(name, value []byte) error {
		if string(name) == "keys" {
			array = value
		}
		return nil
	}); err != nil {
		return nil, nil, errors.New("jose: the key set is not one strict JSON object")
	}
	if array == nil {
		return nil, nil, errors.New("jose: the key set has no member keys")
	}
	errTooMany := fmt.Errorf("jose: the key set has more than %d keys", maxKeys)
	index := 0
	err = strictjson.ShallowArray(array, func(element []byte) error {
		if index >= maxKeys {
			return errTooMany
		}
		if k, err := ParseKey(element, uses...); err != nil {
			skipped = append(skipped, Skipped{Index: index, ID: kidOf(element), Err: err})
		} else {
			keys = append(keys, k)
		}
		index++
		return nil
	})
	switch {
	case errors.Is(err, errTooMany):
		return nil, nil, err
	case err != nil:
		return nil, nil, errors.New("jose: keys is not an array")
	case len(keys) == 0:
		return nil, skipped, errors.New("jose: the key set has no usable key")
	}
	return keys, skipped, nil
}

// StrictSet returns data, a set that [ParseSet] has read, without the elements that are
// not strict JSON: so it can stand within another document.
func StrictSet(data []byte) []byte {
	var elements []stdjson.RawMessage
	whole := true
	_ = strictjson.Shallow(data, func(name, value []byte) error {
		if string(name) != "keys" {
			return nil
		}
		return strictjson.ShallowArray(value, func(element []byte) error {
			if strictjson.Object(element, func(_, _ []byte) error { return nil }) == nil {
				elements = append(elements, element)
			} else {
				whole = false
			}
			return nil
		})
	})
	if whole && strictjson.Object(data, func(_, _ []byte) error { return nil }) == nil {
		return data
	}
	out, _ := strictjson.Marshal(map[string]any{"keys": elements})
	return out
}

func kidOf(element []byte) (kid string) {
	err := strictjson.Object(element, func(name, value []byte) (err error) {
		if string(name) == "kid" {
			kid, err = strictjson.String(value)
		}
		return err
	})
	if err != nil || len(kid) > MaxKeyIDBytes {
		return ""
	}
	return kid
}

type members struct {
	kty, kid, use, alg, crv, n, e, x, y          string
	issuer                                       string
	certificate                                  Certificate
	leaf                                         []byte // DER
	hasIssuer, hasUse, hasAlg, hasOps, opsVerify bool
}

func readMembers(data []byte) (members, error) {
	var m members
	if len(data) > maxJWK {
		return m, fmt.Errorf("jose: the JWK is longer than %d bytes", maxJWK)
	}
	err := strictjson.Object(data, func(name, value []byte) error {
		if strictjson.IsNull(value) { // some servers write null where they have nothing to say
			return nil
		}
		var field *string
		switch string(name) {
		case "kty":
			field = &m.kty
		case "kid":
			field = &m.kid
		case "use":
			field, m.hasUse = &m.use, true
		case "alg":
			field, m.hasAlg = &m.alg, true
		case "crv":
			field = &m.crv
		case "n":
			field = &m.n
		case "e":
			field = &m.e
		case "x":
			field = &m.x
		case "y":
			field = &m.y
		case "key_ops":
			ops, err := strictjson.Strings(value)
			m.hasOps, m.opsVerify = true, slices.Contains(ops, "verify")
			if err != nil {
				return member("key_ops is not an array of strings")
			}
			return nil
		case "issuer":
			field, m.hasIssuer = &m.issuer, true
		// Which key a token means may depend on these, and nothing else: one that is odd
		// is as good as none.
		case "x5t#S256":
			m.certificate.SHA256 = thumbprint(value)
			return nil
		case "x5t":
			m.certificate.SHA1 = thumbprint(value)
			return nil
		case "x5c":
			m.leaf = leafOf(value)
			return nil
		case "d", "p", "q", "dp", "dq", "qi", "oth", "k":
			return member("a private or symmetric key: it must never be published, and is not used")
		default:
			return nil
		}
		text, err := strictjson.String(value)
		if err != nil {
			return member("the member " + string(name) + " is not a string")
		}
		*field = text
		return nil
	})
	var known member
	switch {
	case errors.As(err, &known):
		return members{}, known
	case err != nil:
		return members{}, errors.New("jose: the JWK is not one strict JSON object")
	case len(m.kid) > MaxKeyIDBytes:
		return members{}, fmt.Errorf("jose: kid is longer than %d bytes", MaxKeyIDBytes)
	}
	return m, nil
}

// member is an error of one member of a JWK.
type member string

func (m member) Error() string { return "jose: " + string(m) }

func (m members) checkUse(uses []string) error {
	switch {
	case m.hasUse && m.use != "sig" && !slices.Contains(uses, m.use):
		return fmt.Errorf("jose: use is not sig: it is %s", brief(m.use))
	case m.hasOps && !m.opsVerify:
		return errors.New("jose: key_ops has no verify")
	case m.hasAlg && m.alg == "":
		return errors.New("jose: alg is empty")
	case m.hasIssuer && m.issuer == "":
		return errors.New("jose: issuer is empty, so that the key serves nobody")
	}
	return nil
}

func (m members) about() *about {
	a := about{certificate: m.certificate, leaf: certificateOf(m.leaf), issuer: m.issuer}
	if a == (about{}) {
		return nil
	}
	return &a
}

func (m members) rsa() (Key, error) {
	nb, ok := decode(m.n)
	if !ok {
		return Key{}, errors.New("jose: n is not canonical base64url")
	}
	eb, ok := decode(m.e)
	if !ok {
		return Key{}, errors.New("jose: e is not canonical base64url")
	}
	// More octets than a modulus of maxRSABits and its zero octet are not worth a big.Int.
	if len(nb) > maxRSABits/8+1 {
		return Key{}, fmt.Errorf("jose: n has more than %d bits", maxRSABits)
	}
	n := new(big.Int).SetBytes(nb)
	if bits := n.BitLen(); bits < minRSABits || bits > maxRSABits {
		return Key{}, fmt.Errorf("jose: n has %d bits, not %d to %d", bits, minRSABits, maxRSABits)
	}
	if n.Bit(0) == 0 {
		return Key{}, errors.New("jose: n is even")
	}
	if roca(n) {
		return Key{}, errors.New("jose: n was made by a broken generator and can be factored (CVE-2017-15361)")
	}
	if len(eb) == 0 || len(eb) > 4 || eb[0] == 0 {
		return Key{}, errors.New("jose: e is not one to four octets without leading zeros")
	}
	e := new(big.Int).SetBytes(eb).Int64()
	if e < 3 || e > maxExp || e%2 == 0 {
		return Key{}, errors.New("jose: e is not an odd number from 3 to 2^31-1")
	}
	pub := &rsa.PublicKey{N: n, E: int(e)}
	return admit(pub, map[string]string{"kty": "RSA", "n": encode(n.Bytes()), "e": m.e})
}

var rocaPrimes = [...]int64{11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157}

// roca reports the fingerprint of the keys that can be factored for their
// generator's sake (CVE-2017-15361): modulo each of these primes, n is a power
// of 65537. A sound key has it with a probability of less than 2^-27.
func roca(n *big.Int) bool {
	var m big.Int
	for _, p := range rocaPrimes {
		rest, power := m.Mod(n, big.NewInt(p)).Int64(), int64(1)
		for rest != power {
			if power = power * 65537 % p; power == 1 {
				return false
			}
		}
	}
	return true
}

func (m members) ec() (Key, error) {
	var curve elliptic.Curve
	switch m.crv {
	case "P-256":
		curve = elliptic.P256()
	case "P-384":
		curve = elliptic.P384()
	case "P-521":
		curve = elliptic.P521()
	default:
		return Key{}, unfit{"crv is not P-256, P-384 or P-521", m.crv}
	}
	x, okX := decode(m.x)
	y, okY := decode(m.y)
	if n := fieldBytes(curve); !okX || !okY || len(x) != n || len(y) != n {
		return Key{}, fmt.Errorf("jose: x and y are not canonical base64url of exactly %d octets", n)
	}
	pub, err := ecdsa.ParseUncompressedPublicKey(curve, slices.Concat([]byte{4}, x, y))
	if err != nil {
		return Key{}, errors.New("jose: the point is not on the curve")
	}
	return admit(pub, map[string]string{"kty": "EC", "crv": m.crv, "x": m.x, "y": m.y})
}

func (m members) okp() (Key, error) {
	if m.crv != "Ed25519" {
		return Key{}, unfit{"crv is not Ed25519", m.crv}
	}
	x, ok := decode(m.x)
	if !ok || len(x) != ed25519.PublicKeySize {
		return Key{}, errors.New("jose: x is not canonical base64url of exactly 32 octets")
	}
	if err := checkEd25519(x); err != nil {
		return Key{}, err
	}
	return admit(ed25519.PublicKey(x), map[string]string{"kty": "OKP", "crv": "Ed25519", "x": m.x})
}

// admit returns the key that jwk.ParseKey makes of the required members alone,
// if it equals read, our own reading of them. Its thumbprint is theirs: they are,
// sorted and without white space, just what RFC 7638 §3.2 hashes.
func admit(read interface{ Equal(crypto.PublicKey) bool }, required map[string]string) (Key, error) {
	data, err := strictjson.Marshal(required)
	if err != nil {
		return Key{}, err
	}
	parsed, err := jwk.ParseKey(data)
	if err != nil {
		return Key{}, errors.New("jose: jwk.ParseKey refuses the key")
	}
	var pub any
	if err := parsed.Raw(&pub); err != nil || !read.Equal(pub) {
		return Key{}, errors.New("jose: jwk.ParseKey reads another key than we do")
	}
	return Key{pub: pub, thumbprint: sha256.Sum256(data)}, nil
}

// servable returns the algorithms that pub may serve if its JWK says alg, or
// says none (alg ""). Both names of EdDSA go together.
func servable(pub crypto.PublicKey, alg string) ([]string, error) {
	var names []string
	want, known := algorithmOf(alg)
	for _, name := range Algorithms() {
		a, _ := algorithmOf(name)
		if a.fits(pub) && (alg == "" || known && a == want) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil, unfit{"alg is no signature algorithm for this kind of key", alg}
	}
	return names, nil
}

// PublicJWK returns pub as a JWK with the given kid, and alg unless it is "".
func PublicJWK(id string, pub crypto.PublicKey, alg string) ([]byte, error) {
	m := map[string]any{}
	switch pub := pub.(type) {
	case *rsa.PublicKey:
		if pub == nil || pub.N == nil || pub.N.Sign() <= 0 || pub.E <= 0 {
			return nil, errors.New("jose: the RSA key is empty")
		}
		m["kty"], m["n"], m["e"] = "RSA", encode(pub.N.Bytes()), encode(big.NewInt(int64(pub.E)).Bytes())
	case *ecdsa.PublicKey:
		//lint:ignore SA1019 A nil coordinate makes Bytes panic, and only the fields tell.
		if pub == nil || pub.Curve == nil || pub.X == nil || pub.Y == nil {
			return nil, errors.New("jose: the ECDSA key is empty")
		}
		point, err := pub.Bytes() // 4, x, y; an error if it is not on the curve
		if err != nil {
			return nil, errors.New("jose: the ECDSA key is not a point on a supported curve")
		}
		n := len(point) / 2
		m["kty"], m["crv"], m["x"], m["y"] = "EC", pub.Curve.Params().Name, encode(point[1:1+n]), encode(point[1+n:])
	case ed25519.PublicKey:
		m["kty"], m["crv"], m["x"] = "OKP", "Ed25519", encode(pub)
	default:
		return nil, fmt.Errorf("jose: a public key of type %T is none of *rsa.PublicKey, *ecdsa.PublicKey and ed25519.PublicKey", pub)
	}
	if id != "" {
		m["kid"] = id
	}
	if alg != "" {
		m["alg"] = alg
	}
	return strictjson.Marshal(m)
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// brief quotes what a configuration or a server said, cut short.
// unfit is what is wrong with a member of a key, and the value that somebody else wrote.
type unfit struct{ what, value string }

func (u unfit) Error() string { return "jose: " + u.what + ": " + brief(u.value) }

// Plain says what is wrong with a key in fixed words: those of the error, without what
// somebody else wrote.
func Plain(err error) string {
	if u, ok := errors.AsType[unfit](err); ok {
		return u.what
	}
	return strings.TrimPrefix(err.Error(), "jose: ")
}

func brief(s string) string {
	if len(s) > 32 {
		return fmt.Sprintf("%.32q…", s)
	}
	return fmt.Sprintf("%q", s)
}
