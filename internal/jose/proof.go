package jose

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"

	"github.com/bearergate/bearergate/internal/strictjson"
)

// Proof is the header of a JWS that brings its own key, as a DPoP proof does (RFC 9449
// §4.2). Nothing in it has been verified. A token is never read as one.
type Proof struct {
	Algorithm string // alg, not empty
	Key       Own
}

// MaxProofNames bounds the members of a proof's header, those of its jwk included, and of
// its claims. A real one has ten. Each has a name in quotation marks, and what tells whether
// a name stands twice takes longer the more there are: 4 KiB of them cost more than the
// signature.
const MaxProofNames = 64

// TooManyNames reports whether JSON may have more than MaxProofNames members. The quotation
// marks of strings count as well: 32 members that are strings are as many.
func TooManyNames(json []byte) bool { return bytes.Count(json, []byte{'"'}) > 2*MaxProofNames }

// maxOwnExponent is the exponent of nearly every RSA key. With the largest that a key of an
// issuer may have, a signature takes three times as long.
const maxOwnExponent = 1<<16 + 1

// ParseProof reads a header of [Split] with that typ, which is compared without case
// and has to be written out. jwk has to be there, public and well formed; crit and b64
// are refused; every other member, kid and those of a certificate included, is ignored,
// for it is the thumbprint of the key that counts. Errors match [ErrMalformed].
func ParseProof(header []byte, typ string) (Proof, error) {
	if len(header) > maxHeaderBytes || bytes.Count(header, []byte{'{'})+bytes.Count(header, []byte{'['}) > maxHeaderNested {
		return Proof{}, malformed("the header is too long or holds too many objects and arrays")
	}
	if TooManyNames(header) {
		return Proof{}, malformed("the header has too many members")
	}
	var p Proof
	var jwk []byte
	typed := false
	err := strictjson.Object(header, func(name, value []byte) (err error) {
		switch string(name) {
		case "alg":
			if p.Algorithm, err = strictjson.String(value); err != nil || p.Algorithm == "" {
				return malformed("alg is not a non-empty string")
			}
		case "typ":
			text, err := strictjson.String(value)
			if typed = err == nil && strings.EqualFold(text, typ); !typed {
				return malformed("typ is not " + typ)
			}
		case "jwk":
			jwk = value
		case "crit":
			return malformed("crit is not accepted")
		case "b64":
			return malformed("b64 (RFC 7797) is not accepted")
		}
		return nil
	})
	switch {
	case err != nil && !errors.Is(err, ErrMalformed):
		return Proof{}, malformed("the header is not one strict JSON object")
	case err != nil:
		return Proof{}, err
	case !typed:
		return Proof{}, malformed("typ is not " + typ)
	case p.Algorithm == "":
		return Proof{}, malformed("the header has no alg")
	case jwk == nil:
		return Proof{}, malformed("the header has no jwk")
	}
	p.Key, err = readOwn(jwk)
	return p, err
}

// Own is a public key that somebody presents as its own. It has the form of a key, which
// costs little to find out, and was not admitted: [Own.Admit] says whether it is one
// under which a signature means anything.
type Own struct {
	required   []byte // the members of RFC 7638 §3.2, as that section writes them
	thumbprint [sha256.Size]byte
}

// Thumbprint is that of RFC 7638 with SHA-256.
func (o Own) Thumbprint() [sha256.Size]byte { return o.thumbprint }

// Admit admits the key by the checks of [ParseKey]; RSA keys have at most maxBits, and an
// exponent of at most 65537.
func (o Own) Admit(maxBits int) (Key, error) {
	k, err := ParseKey(o.required)
	if err != nil {
		return Key{}, err
	}
	if pub, ok := k.pub.(*rsa.PublicKey); ok && (pub.N.BitLen() > maxBits || pub.E > maxOwnExponent) {
		return Key{}, member("the RSA key is too large, or its exponent")
	}
	return k, nil
}

// OwnKey returns the public key of a client as it presents it: the JWK of the required
// members alone, in the order of RFC 7638.
func OwnKey(pub any) (jwk []byte, thumbprint [sha256.Size]byte, err error) {
	switch pub.(type) {
	case *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey:
	default:
		return nil, thumbprint, errors.New("jose: the public key is none of *rsa.PublicKey, *ecdsa.PublicKey and ed25519.PublicKey")
	}
	data, err := PublicJWK("", pub, "")
	if err != nil {
		return nil, thumbprint, err
	}
	o, err := readOwn(data)
	return o.required, o.thumbprint, err
}

// requiredMembers are those of a public key by its kty (RFC 7638 §3.2, RFC 8037 §2), sorted.
var requiredMembers = map[string][]string{
	"EC":  {"crv", "kty", "x", "y"},
	"OKP": {"crv", "kty", "x"},
	"RSA": {"e", "kty", "n"},
}

// maxOwnMember is more than the longest number of a key that is admitted has.
const maxOwnMember = 2 << 10

// readOwn reads what a key is, and nothing that its owner says about it: whatever use or
// key_ops say, the owner signs with it. A member that is null is absent: some clients write
// null wherever their kind of key has nothing to say.
func readOwn(jwk []byte) (Own, error) {
	members := map[string]string{}
	err := strictjson.Object(jwk, func(name, value []byte) error {
		if strictjson.IsNull(value) {
			return nil
		}
		switch string(name) {
		case "d", "p", "q", "dp", "dq", "qi", "oth", "k":
			return malformed("jwk has a private or symmetric member (RFC 9449 section 4.3)")
		case "kty", "crv", "x", "y", "n", "e":
			text, err := strictjson.String(value)
			if err != nil || len(text) > maxOwnMember {
				return malformed("a member of jwk is not a string, or too long")
			}
			members[string(name)] = text
		}
		return nil
	})
	if err != nil {
		if !errors.Is(err, ErrMalformed) {
			err = malformed("jwk is not one strict JSON object")
		}
		return Own{}, err
	}
	names, known := requiredMembers[members["kty"]]
	if !known {
		return Own{}, malformed("jwk: kty is not RSA, EC or OKP")
	}
	size, known := map[string]int{"": 0, "P-256": 32, "P-384": 48, "P-521": 66, "Ed25519": 32}[members["crv"]]
	if !known {
		return Own{}, malformed("jwk: crv is not P-256, P-384, P-521 or Ed25519")
	}
	b := []byte{'{'}
	for i, name := range names {
		text := members[name]
		if name != "kty" && name != "crv" {
			// Only text that needs no escape comes so far: the JSON can be written as it is.
			n, ok := decodedLen(text)
			if !ok || n == 0 || (name == "x" || name == "y") && n != size {
				return Own{}, malformed("jwk: " + name + " is not canonical base64url of the right length")
			}
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `"`+name+`":"`+text+`"`...)
	}
	b = append(b, '}')
	if members["kty"] == "EC" && !onCurve(members["crv"], members["x"], members["y"]) {
		return Own{}, malformed("jwk: the point is not on the curve")
	}
	return Own{required: b, thumbprint: sha256.Sum256(b)}, nil
}

// onCurve reports whether two coordinates that decode are a point. It takes a microsecond
// on P-256, so that a made-up key is told from somebody else's before the thumbprint tells.
func onCurve(crv, x, y string) bool {
	curve := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}[crv]
	if curve == nil {
		return false
	}
	point := []byte{4} // uncompressed (SEC 1 §2.3.3)
	for _, coordinate := range []string{x, y} {
		octets, _ := decode(coordinate)
		point = append(point, octets...)
	}
	_, err := ecdsa.ParseUncompressedPublicKey(curve, point)
	return err == nil
}

// decodedLen returns how many octets text stands for, if it is canonical base64url.
func decodedLen(text string) (int, bool) {
	var stack [maxOwnMember]byte
	n, err := canonical.Decode(stack[:], []byte(text))
	return n, err == nil && !skipped(len(text), n)
}

// ParseThumbprint reads a SHA-256 thumbprint as cnf writes it, in jkt (RFC 9449 §6.1) and
// in x5t#S256 (RFC 8705 §3.1): 43 characters of canonical base64url.
func ParseThumbprint(text string) (t [sha256.Size]byte, ok bool) {
	if len(text) != base64.RawURLEncoding.EncodedLen(len(t)) {
		return t, false
	}
	// The decoder skips line breaks: then there are fewer bytes.
	n, err := canonical.Decode(t[:], []byte(text))
	if err != nil || n != len(t) {
		return [sha256.Size]byte{}, false
	}
	return t, true
}
