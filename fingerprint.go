package bearergate

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"
	"time"
)

// Fingerprint is a SHA-256 over everything that t tells: what its methods return, with
// all that [Token.Claims] decodes, and whether its sender has proved to hold its key.
// Two tokens have one Fingerprint only if nobody who looks at them can tell them apart.
// It is for caches of what was found out about a token, such as those of package policy:
// a token that says something else, were it the time at which the authorization server
// was last asked about it, has another one.
//
// It is no secret, and no name for a user: whoever guesses all the claims can compute it.
// Where it leaves the process or is kept for long, hash it again with a key of your own.
// It takes a few microseconds for a token of a kilobyte, as its claims are hashed
// each time.
func (t *Token) Fingerprint() [32]byte {
	c := t.claims()
	var stack [2048]byte // nothing is allocated for most tokens
	b := stack[:0]
	for _, s := range [...]string{c.Issuer, c.Subject, c.ClientID, c.ID, c.Tenant, c.SessionID, c.ACR} {
		b = appendText(b, s)
	}
	b = appendTexts(b, c.Audience)
	b = appendTexts(b, c.Roles)
	b = appendCount(b, c.Scopes.Len())
	b = appendText(b, c.Scopes.String()) // no scope has a space
	for _, at := range [...]time.Time{c.ExpiresAt, c.IssuedAt, c.NotBefore, c.AuthTime, c.AsOf} {
		b = binary.BigEndian.AppendUint64(b, uint64(at.Unix())) // not as an int, which may have 32 bits
		b = appendCount(b, at.Nanosecond())
	}
	b = appendCount(b, len(c.Actors))
	for _, a := range c.Actors {
		b = appendText(appendText(appendText(b, a.Subject), a.Issuer), a.ClientID)
	}
	b = appendCount(b, len(c.Confirmation))
	if len(c.Confirmation) > 0 {
		for _, name := range slices.Sorted(maps.Keys(c.Confirmation)) {
			b = appendText(appendText(b, name), c.Confirmation[name])
		}
	}
	b = append(b, c.Key[:]...)
	for _, is := range [...]bool{t == nil || t.c == nil, c.Scopes.IsZero(), c.Confirmation == nil, c.Stale, c.Unquotable, c.Raw == nil,
		c.Audience == nil, c.Roles == nil, c.Actors == nil, t.Proven(), t != nil && t.refused} {
		if is {
			b = append(b, 1)
		} else {
			b = append(b, 0)
		}
	}
	b = appendText(b, c.Raw)
	return sha256.Sum256(b)
}

// appendText appends s with its length before it, so that no two lists have the same bytes.
func appendText[T string | []byte](b []byte, s T) []byte {
	return append(appendCount(b, len(s)), s...)
}

func appendTexts(b []byte, values []string) []byte {
	b = appendCount(b, len(values))
	for _, s := range values {
		b = appendText(b, s)
	}
	return b
}

func appendCount(b []byte, n int) []byte { return binary.BigEndian.AppendUint64(b, uint64(n)) }
