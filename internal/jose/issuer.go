package jose

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"

	"github.com/bearergate/bearergate/internal/strictjson"
)

// maxIssuerDepth is how deep objects and arrays may be nested in claims whose iss is
// looked for, the claims object included. Real claims have up to six levels. The scan
// costs the same at any depth, but the strict reader, which comes after the signature,
// pays for each level, and nobody has a use for more.
const maxIssuerDepth = 512

// ErrNoIssuer: the claims have no iss, or one that is null or empty.
var ErrNoIssuer = errors.New("jose: the required claim iss is absent or empty")

const (
	errClaims  = malformed("the claims are not one strict JSON object whose iss is a string")
	errDepth   = malformed("the claims have more than 512 objects and arrays in one another")
	errPayload = malformed("the payload is not canonical base64url")
)

// UnverifiedIssuer returns the iss of a compact JWS of at most maxBytes bytes.
//
// Nothing of the token is verified: anybody may have written it. The iss is good for
// choosing the verifier that is asked, and for nothing else: that one must read the iss
// again, strictly and from signed bytes, and compare it.
//
// Only the payload is decoded. Header and signature are not looked at, but for dots. It is
// decoded into *buf, which may be replaced by a larger one, and which holds it when the
// function returns; the iss may point into it. The usual token costs no allocation. Errors
// match [ErrTooLarge], [ErrMalformed] or [ErrNoIssuer].
func UnverifiedIssuer(buf *[]byte, token string, maxBytes int) ([]byte, error) {
	if len(token) > maxBytes {
		return nil, ErrTooLarge
	}
	first, second, ok := dots(token)
	if !ok {
		return nil, misshapen(token, "")
	}
	text := token[first+1 : second]
	decoded := base64.RawURLEncoding.DecodedLen(len(text))
	if need := len(text) + decoded; cap(*buf) < need {
		*buf = make([]byte, need)
	} else {
		*buf = (*buf)[:need]
	}
	source, payload := (*buf)[:len(text)], (*buf)[len(text):]
	copy(source, text)
	n, err := canonical.Decode(payload, source)
	if err != nil || skipped(len(text), n) {
		return nil, errPayload
	}
	return findIssuer(payload[:n])
}

// UnverifiedIssuer returns the iss of the payload, which it may point into: see the
// function of that name. ParseInto has refused what is no compact JWS.
func (j JWS) UnverifiedIssuer() ([]byte, error) { return findIssuer(j.Payload) }

// findIssuer scans the claims once, without a parser, which would cost an attacker
// nothing and us a millisecond. It looks at no more of the grammar than tells which
// members stand at the top. It must not be led to another iss than the strict reader
// (strictjson.Object) finds after the signature. That holds, for
//
//   - where the strict reader accepts the claims, it finds the iss that is found here, or
//     none where none is found here. In a valid object, quotes and backslashes tell what
//     is a string, and brackets outside of strings what is nested. A name may be
//     written with escapes. A second iss, and one that is no strict string, are errors.
//   - what the strict reader refuses, the verifier refuses, whichever is chosen: bad
//     UTF-8, bad numbers, brackets that do not match and other names that occur twice are
//     left to it.
//
// It returns an error for claims that are nested deeper than maxIssuerDepth, whatever
// the strict reader would say.
func findIssuer(claims []byte) (issuer []byte, err error) {
	found := false
	at, more := after(claims, 0, '{')
	if !more {
		return nil, errClaims
	}
	if end, empty := after(claims, at, '}'); empty {
		at, more = end, false
	}
	for more {
		name := blank(claims, at)
		if name == len(claims) || claims[name] != '"' {
			return nil, errClaims
		}
		end := afterString(claims, name)
		value, ok := after(claims, end, ':')
		if !ok {
			return nil, errClaims
		}
		value = blank(claims, value)
		if at, err = afterValue(claims, value); err != nil {
			return nil, err
		}
		if spells(claims[name+1:end-1], "iss") {
			if found {
				return nil, errClaims
			}
			found = true
			if issuer, err = unquoted(claims[value:at]); err != nil {
				return nil, err
			}
		}
		if at, more = after(claims, at, ','); !more {
			if at, ok = after(claims, at, '}'); !ok {
				return nil, errClaims
			}
		}
	}
	if blank(claims, at) < len(claims) {
		return nil, errClaims
	}
	if len(issuer) == 0 {
		return nil, ErrNoIssuer
	}
	return issuer, nil
}

// unquoted is the text of iss: nil for null. It never returns what the strict reader
// would not.
func unquoted(value []byte) ([]byte, error) {
	if len(value) == 0 { // a comma, or the end, instead of it
		return nil, errClaims
	}
	if string(bytes.TrimRight(value, " \t\r\n")) == "null" {
		return nil, nil
	}
	if value[0] == '"' && len(value) > 1 && isPlain(value[1:len(value)-1]) {
		return value[1 : len(value)-1], nil
	}
	text, err := strictjson.String(value)
	if err != nil {
		return nil, errClaims
	}
	return []byte(text), nil
}

// isPlain reports what stands between quotes and is printable ASCII, in which each
// character stands for itself.
func isPlain(text []byte) bool {
	for _, c := range text {
		if c < ' ' || c > '~' || c == '\\' {
			return false
		}
	}
	return true
}

// spells reports whether a JSON string, without its quotes, says word, which is of
// letters: each may stand as it is, or as \u and four digits. No other escape is a letter.
func spells(text []byte, word string) bool {
	for i := range len(word) {
		var unit [2]byte
		switch {
		case len(text) > 0 && text[0] == word[i]:
			text = text[1:]
			continue
		case len(text) < 6 || text[0] != '\\' || text[1] != 'u':
			return false
		}
		if _, err := hex.Decode(unit[:], text[2:6]); err != nil || unit != [2]byte{0, word[i]} {
			return false
		}
		text = text[6:]
	}
	return len(text) == 0
}

// The following functions go through JSON text. They take a place in it and return a
// later one.

// blank skips white space.
func blank(text []byte, at int) int {
	for at < len(text) && (text[at] == ' ' || text[at] == '\t' || text[at] == '\r' || text[at] == '\n') {
		at++
	}
	return at
}

// after skips white space, and then c. It stays where it is if c is not there.
func after(text []byte, at int, c byte) (int, bool) {
	if next := blank(text, at); next < len(text) && text[next] == c {
		return next + 1, true
	}
	return at, false
}

// afterString skips the string that begins at a quote. One that does not end is all the
// rest, after which everything that has to come is missed.
func afterString(text []byte, at int) int {
	for at++; at < len(text); at++ {
		switch text[at] {
		case '"':
			return at + 1
		case '\\':
			at++ // whatever follows, it ends nothing
		}
	}
	return len(text)
}

// afterValue skips a value, which is one if the text is JSON. A number, true, false and
// null are skipped with the white space after them.
func afterValue(text []byte, at int) (int, error) {
	if at == len(text) {
		return 0, errClaims
	}
	switch text[at] {
	case '"':
		return afterString(text, at), nil
	case '{', '[':
		return afterNested(text, at)
	}
	for at < len(text) && text[at] != ',' && text[at] != '}' {
		at++
	}
	return at, nil
}

// afterNested skips an object or array that is a member of the claims.
func afterNested(text []byte, at int) (int, error) {
	for depth := 1; at < len(text); {
		c := text[at]
		if c == '"' {
			at = afterString(text, at)
			continue
		}
		at++
		switch {
		case c < '[': // the usual ones
		case c == '{', c == '[':
			if depth++; depth > maxIssuerDepth {
				return 0, errDepth
			}
		case c == '}', c == ']':
			if depth--; depth == 1 {
				return at, nil
			}
		}
	}
	return 0, errClaims
}
