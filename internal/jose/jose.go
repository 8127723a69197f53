// Package jose is the strict part of JOSE that a resource server needs:
// compact JWS (RFC 7515), admission of public keys (RFC 7517), and signatures
// (RFC 7518, RFC 8037) with the standard library's crypto packages.
//
// It is the only importer of jwx/v2, and of it only of package jwk, whose
// parser is asked after our own checks have passed. jwx's own parsing and
// verifying of tokens is not used: it accepts the JSON serialization, ignores
// crit and the header's alg, and tolerates sloppy base64.
package jose

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
	"sync/atomic"

	"github.com/bearergate/bearergate/internal/strictjson"
)

const (
	// MaxKeyIDBytes bounds kid, in a token's header and in a key.
	MaxKeyIDBytes = 256

	// The header is read before any signature is checked, so it is bounded
	// closer than the token: a certificate chain (x5c) fits, thousands of nested
	// objects, which cost twenty times a signature check, do not.
	maxHeaderBytes  = 8 << 10
	maxHeaderNested = 32 // objects and arrays
)

// What can be wrong with a compact JWS. The texts name the rule, and carry
// nothing of the token.
var (
	ErrTooLarge  = errors.New("jose: the token is longer than the limit")
	ErrMalformed = errors.New("jose: not a strict compact JWS")
)

type malformed string

func (m malformed) Error() string        { return "jose: " + string(m) }
func (m malformed) Is(target error) bool { return target == ErrMalformed }

// JWS is a compact JWS in its strict form. Nothing in it has been verified:
// the header is what an attacker wrote.
type JWS struct {
	Header    Header
	Signed    []byte // the JWS Signing Input (RFC 7515 §2), the bytes as received
	Payload   []byte // decoded from the second part of Signed
	Signature []byte // decoded; may be empty

	segment []byte // the first part of Signed, of which Header was read
}

// Header holds the header parameters that a resource server reads. jku, jwk,
// x5u, x5c and unknown ones are ignored: a token never brings its own key
// (RFC 8725 §3.10).
type Header struct {
	Algorithm string // alg, not empty
	KeyID     string // kid, 1 to MaxKeyIDBytes bytes; "" when absent
	Type      string // typ
	HasType   bool   // false: typ is absent
	// Certificate is what x5t#S256 and x5t name: only which of the issuer's keys are
	// tried depends on it. It is empty where there is a kid, and where it is malformed.
	Certificate Certificate
}

// Certificate is the thumbprints of an X.509 certificate (RFC 7515 §4.1.7, §4.1.8), as the
// text that a header or a JWK has: canonical base64url, "" if there is none.
type Certificate struct{ SHA256, SHA1 string }

// IsZero reports whether there is no thumbprint at all.
func (c Certificate) IsZero() bool { return c == Certificate{} }

// IsThumbprint reports whether one of them is as long as a hash of its kind. One that is
// not may be the text of a server of its own mind, or nothing.
func (c Certificate) IsThumbprint() bool {
	return len(c.SHA256) == base64.RawURLEncoding.EncodedLen(sha256.Size) || len(c.SHA1) == base64.RawURLEncoding.EncodedLen(20)
}

// maxThumbprintChars is room for the thumbprints that some servers make of hexadecimal text.
const maxThumbprintChars = 128

// thumbprint is the text of a thumbprint; "" if value is none: whoever wrote that has named
// no certificate.
func thumbprint(value []byte) string {
	if len(value) == 0 || len(value) > maxThumbprintChars {
		return ""
	}
	text, err := strictjson.String(value)
	if err != nil {
		return ""
	}
	if _, ok := decode(text); !ok {
		return ""
	}
	return text
}

// Parse reads a compact JWS of at most maxBytes bytes. The length is looked at
// before anything else, then the two dots, and the characters when they are decoded:
// no part of the cost of hostile input grows faster than its length
// (CVE-2025-30204 is what happens otherwise). Errors match [ErrTooLarge] or [ErrMalformed].
func Parse(token string, maxBytes int) (JWS, error) { return ParseInto(new([]byte), token, maxBytes) }

// ParseInto is [Parse] with a buffer to use again, which it may replace by a
// larger one: what it returns points into *buf, and is good until that is
// written to.
func ParseInto(buf *[]byte, token string, maxBytes int) (JWS, error) {
	c, err := Split(buf, token, maxBytes)
	if err != nil {
		return JWS{}, err
	}
	h, err := parseHeader(c.Header)
	if err != nil {
		return JWS{}, err
	}
	return c.with(h), nil
}

func (c Compact) with(h Header) JWS {
	return JWS{Header: h, Signed: c.Signed, Payload: c.Payload, Signature: c.Signature, segment: c.Segment}
}

// Headers is [ParseInto] for tokens of which most have the same header, as those that are
// signed with one key do: that header is read once. What a header says depends on nothing
// but its bytes. The zero value is ready; a nil Headers knows none. It is safe for
// concurrent use.
//
// What bounds it: one header, of at most maxKnownHeader bytes as received. Who can fill it:
// who has a token whose signature was verified, whatever its claims say. Who can steer it:
// the same; after a verified token with another header, the next one is read as by
// ParseInto, and what strangers send changes nothing. It is never full: the last one counts.
type Headers struct{ last atomic.Pointer[knownHeader] }

// maxKnownHeader leaves out headers with a certificate chain (x5c): where those and others
// alternate, each would be copied.
const maxKnownHeader = 1 << 10

type knownHeader struct {
	segment string // not empty
	header  Header
}

// ParseInto is the function [ParseInto].
func (h *Headers) ParseInto(buf *[]byte, token string, maxBytes int) (JWS, error) {
	var known *knownHeader
	if h != nil {
		known = h.last.Load()
	}
	if known == nil {
		return ParseInto(buf, token, maxBytes)
	}
	c, err := split(buf, token, maxBytes, known.segment)
	if err != nil {
		return JWS{}, err
	}
	if string(c.Segment) == known.segment {
		return c.with(known.header), nil
	}
	header, err := parseHeader(c.Header)
	if err != nil {
		return JWS{}, err
	}
	return c.with(header), nil
}

// Keep has the header of j known from now on. Its signature has been verified.
func (h *Headers) Keep(j JWS) {
	if h == nil || len(j.segment) > maxKnownHeader {
		return
	}
	if known := h.last.Load(); known == nil || string(j.segment) != known.segment {
		h.last.Store(&knownHeader{string(j.segment), j.Header})
	}
}

// Compact is a compact JWS by its form alone: nothing in it has been read.
type Compact struct {
	Segment   []byte // the first part as received, of which Header is decoded
	Header    []byte
	Signed    []byte // the JWS Signing Input (RFC 7515 §2), the bytes as received
	Payload   []byte // not empty
	Signature []byte // may be empty
}

// Split checks the form of a compact JWS of at most maxBytes bytes, and decodes its
// parts. buf and the errors are those of [ParseInto].
func Split(buf *[]byte, token string, maxBytes int) (Compact, error) {
	return split(buf, token, maxBytes, "")
}

// split is Split, but for a header that is known: it is not decoded.
func split(buf *[]byte, token string, maxBytes int, known string) (Compact, error) {
	if len(token) > maxBytes {
		return Compact{}, ErrTooLarge
	}
	first, second, ok := dots(token)
	if !ok {
		return Compact{}, misshapen(token, "")
	}
	// One buffer: the token as received, then the three decoded parts.
	b := (*buf)[:0]
	if need := len(token) + base64.RawURLEncoding.DecodedLen(len(token)); cap(b) < need {
		b = make([]byte, 0, need)
	}
	b = append(b, token...)
	*buf = b
	signed := b[:second:second]
	var header []byte
	if string(signed[:first]) != known {
		if b, header, ok = appendDecoded(b, signed[:first]); !ok {
			return Compact{}, misshapen(token, "header")
		}
	}
	b, payload, ok := appendDecoded(b, signed[first+1:])
	if !ok {
		return Compact{}, misshapen(token, "payload")
	}
	if len(payload) == 0 {
		return Compact{}, malformed("the payload is empty")
	}
	_, signature, ok := appendDecoded(b, b[second+1:len(token):len(token)])
	if !ok {
		return Compact{}, misshapen(token, "signature")
	}
	return Compact{Segment: signed[:first:first], Header: header, Signed: signed, Payload: payload, Signature: signature}, nil
}

// dots returns where the two dots stand, if there are two.
func dots(token string) (first, second int, ok bool) {
	first = strings.IndexByte(token, '.')
	second = first + 1 + strings.IndexByte(token[first+1:], '.')
	return first, second, first < second && strings.IndexByte(token[second+1:], '.') < 0
}

// misshapen says why a token is not three parts of the alphabet, or that a part of it, which
// could not be decoded, is not canonical.
func misshapen(token, part string) error {
	for i := range len(token) {
		if !inToken[token[i]] {
			return malformed("a character outside the base64url alphabet")
		}
	}
	switch strings.Count(token, ".") {
	case 0, 1:
		return malformed("not exactly three parts: an opaque token, or none at all")
	case 2:
		return malformed("the " + part + " is not canonical base64url")
	case 4:
		return malformed("five parts, as an encrypted token (JWE) has them, which is not accepted")
	}
	return malformed("not exactly three parts")
}

// inToken holds the dot and the base64url alphabet. Strangers choose how long a token is
// that has to be looked at for what is not in it, so that each byte must cost little.
var inToken = func() (t [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.") {
		t[c] = true
	}
	return t
}()

// canonical refuses what is not of the base64url alphabet, and non-zero trailing bits, which
// would give one token many spellings. It skips CR and LF: see skipped.
var canonical = base64.RawURLEncoding.Strict()

// skipped reports whether canonical has skipped something of length characters, of which it
// made so many bytes.
func skipped(length, bytes int) bool { return base64.RawURLEncoding.EncodedLen(bytes) != length }

func appendDecoded(buf, text []byte) (whole, decoded []byte, ok bool) {
	whole, err := canonical.AppendDecode(buf, text)
	decoded = whole[len(buf):len(whole):len(whole)]
	return whole, decoded, err == nil && !skipped(len(text), len(decoded))
}

// decode is the canonical base64url of a JWK member (RFC 7515 §2).
func decode(text string) ([]byte, bool) {
	b, err := canonical.DecodeString(text)
	return b, err == nil && !skipped(len(text), len(b))
}

func parseHeader(data []byte) (Header, error) {
	if len(data) > maxHeaderBytes || bytes.Count(data, []byte{'{'})+bytes.Count(data, []byte{'['}) > maxHeaderNested {
		return Header{}, malformed("the header is too long or holds too many objects and arrays")
	}
	var h Header
	var long, short []byte // x5t#S256, x5t
	hasKeyID := false
	err := strictjson.Object(data, func(name, value []byte) (err error) {
		switch string(name) {
		case "alg":
			if h.Algorithm, err = strictjson.String(value); err != nil || h.Algorithm == "" {
				return malformed("alg is not a non-empty string")
			}
		case "kid":
			hasKeyID = true
			if h.KeyID, err = strictjson.String(value); err != nil {
				return malformed("kid is not a string")
			}
		case "x5t#S256":
			long = value
		case "x5t":
			short = value
		case "typ":
			h.HasType = true
			if h.Type, err = strictjson.String(value); err != nil {
				return malformed("typ is not a string")
			}
		case "cty":
			cty, err := strictjson.String(value)
			if err != nil {
				return malformed("cty is not a string")
			}
			if strings.TrimPrefix(strings.ToLower(cty), "application/") == "jwt" {
				return malformed("a nested JWT (cty) is not accepted")
			}
		case "crit":
			// No extension is understood, and an empty crit is invalid (RFC 7515 §4.1.11).
			return malformed("crit is not accepted")
		case "b64":
			return malformed("b64 (RFC 7797) is not accepted")
		case "enc":
			return malformed("an encrypted token is not accepted")
		case "zip":
			// Some servers write NONE, or null. Only DEF has a meaning (RFC 7516 §4.1.3).
			if zip, err := strictjson.String(value); err == nil && zip == "DEF" {
				return malformed("a compressed token is not accepted")
			}
		}
		return nil
	})
	switch {
	case err != nil && !errors.Is(err, ErrMalformed):
		return Header{}, malformed("the header is not one strict JSON object")
	case err != nil:
		return Header{}, err
	case h.Algorithm == "":
		return Header{}, malformed("the header has no alg")
	case hasKeyID && (h.KeyID == "" || len(h.KeyID) > MaxKeyIDBytes):
		return Header{}, malformed("kid is not 1 to 256 bytes long")
	}
	if !hasKeyID { // whoever has a kid pays nothing for the rest
		h.Certificate = Certificate{SHA256: thumbprint(long), SHA1: thumbprint(short)}
	}
	return h, nil
}
