package revocation

import (
	"errors"
	"fmt"
	"hash/maphash"
	"math/bits"
	"strings"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/mistake"
)

// Entry says which tokens are revoked: those of Issuer that have every other value that is
// set. With Issuer alone, it is all tokens of that issuer.
//
// An Entry with TokenID, Session or Key refuses its tokens whenever they were issued. Every
// other one is a cut-off: it refuses tokens that were issued at Before or earlier, by their
// iat, or if they have none, that the authorization server said to be active then
// ([bearergate.Token.AsOf]), and those that do not tell. So a user who logs in again gets tokens that are good.
//
// For a signing key that was stolen, a cut-off of the issuer is not enough: whoever has the
// key writes any time into a token. Set Key.
type Entry struct {
	// Issuer is iss of the tokens, as it stands. Required.
	Issuer string

	TokenID string // jti
	Subject string // sub
	Session string // sid
	Client  string // client_id, or whatever [bearergate.Token.ClientID] is
	Tenant  string // [bearergate.Token.Tenant]
	// Key is the thumbprint of the key that signed the tokens (RFC 7638, SHA-256), as
	// [bearergate.Token.Key] has it. Opaque tokens have none.
	Key [32]byte

	// Before is the time of a cut-off, by the clock of the authorization server. Zero means
	// now: by our clock, so ClockSkew is added. Where that clock is ahead of ours by more,
	// give the time that it shows: at most MaxLeeway from now. Before does not count for an
	// Entry with TokenID, Session or Key.
	Before time.Time
	// Until is when no token is left that the Entry is about. Zero, and what is too early,
	// means Before, or now, and [Config].MaxTokenLife; for an Entry with Key [KeyLife] at
	// least: such tokens may be made as long as the issuer publishes the key. The Entry is
	// kept MaxLeeway longer, twice. It is at most [MaxUntil] away.
	Until time.Time
	// Source says who revoked, for quotas, events and the error of a refused token: at most
	// 64 of a-z, 0-9, ".", "_" and "-". "" is a source like others.
	Source string
}

const (
	// ClockSkew is added to Before where that is our own now: tokens that were issued up to
	// then by a clock that is ahead of ours are refused.
	ClockSkew = 5 * time.Second
	// MaxLeeway is the widest leeway of verifiers. An Entry is kept twice as long after Until:
	// iat of a token may be so far ahead, and so is its exp, and it is accepted so long after
	// that.
	MaxLeeway = 5 * time.Minute
	// KeyLife is how long an Entry with Key lives at least.
	KeyLife = 365 * 24 * time.Hour
	// MaxUntil is how far Until may be away.
	MaxUntil = 10 * KeyLife
	// MaxValueBytes is how long a value of an Entry may be.
	MaxValueBytes = 1024

	maxValues      = 3072 // bytes of all values of an Entry
	maxOverhead    = 64   // and of their lengths, the mask and Key, in a record
	maxSourceBytes = 64

	kept = 2 * MaxLeeway // after Until
)

// The values that an Entry may have beside Issuer, as bits of a mask.
const (
	byTokenID = 1 << iota
	bySubject
	bySession
	byClient
	byTenant
	byKey

	masks    = 1 << iota // how many masks there are
	outright = byTokenID | bySession | byKey
)

var kinds = func() (names [masks]string) {
	for mask := range names {
		var set []string
		for i, name := range []string{"token_id", "subject", "session", "client", "tenant", "key"} {
			if mask&(1<<i) != 0 {
				set = append(set, name)
			}
		}
		if names[mask] = strings.Join(set, "+"); mask == 0 {
			names[mask] = "issuer"
		}
	}
	return names
}()

// values are what an Entry and a token are compared by.
type values struct {
	issuer string
	texts  [5]string // by the bits from byTokenID to byTenant
	key    [32]byte
}

func (e *Entry) values() values {
	return values{e.Issuer, [5]string{e.TokenID, e.Subject, e.Session, e.Client, e.Tenant}, e.Key}
}

func valuesOf(t *bearergate.Token) values {
	return values{t.Issuer(), [5]string{t.ID(), t.Subject(), t.SessionID(), t.ClientID(), t.Tenant()}, t.Key()}
}

// mask says which values there are.
func (v *values) mask() (mask uint8) {
	for i, text := range v.texts {
		if text != "" {
			mask |= 1 << i
		}
	}
	if v.key != ([32]byte{}) {
		mask |= byKey
	}
	return mask
}

// hashes are those of the values of a token, each computed once. A seed that nobody knows
// keeps whoever chooses values from choosing hashes.
type hashes struct {
	issuer uint64
	values [6]uint64
}

func (v *values) hashes(seed maphash.Seed, mask uint8) (h hashes) {
	h.issuer = maphash.String(seed, v.issuer)
	for i := range v.texts {
		if mask&(1<<i) != 0 {
			h.values[i] = maphash.String(seed, v.texts[i])
		}
	}
	if mask&byKey != 0 {
		h.values[5] = maphash.Bytes(seed, v.key[:])
	}
	return h
}

// of is the hash of the values of a mask. Values with one hash are compared.
func (h *hashes) of(mask uint8) uint64 {
	sum := h.issuer ^ uint64(mask)
	for i, value := range h.values {
		sum = bits.RotateLeft64(sum, 27) * 0x9E3779B97F4A7C15 // the golden ratio: an odd number without pattern
		if mask&(1<<i) != 0 {
			sum ^= value
		}
	}
	return sum
}

// check adds what is wrong with an Entry, and fills in what is left out.
func (e *Entry) check(wrong *mistake.List, at string, now time.Time, life time.Duration) {
	if e.Issuer == "" {
		wrong.Addf("%sIssuer is empty: every value means something only together with its issuer", at)
	}
	total := 0
	for _, value := range []struct{ name, text string }{
		{"Issuer", e.Issuer}, {"TokenID", e.TokenID}, {"Subject", e.Subject}, {"Session", e.Session}, {"Client", e.Client}, {"Tenant", e.Tenant},
	} {
		if total += len(value.text); len(value.text) > MaxValueBytes {
			wrong.Addf("%s%s has %d bytes: at most %d", at, value.name, len(value.text), MaxValueBytes)
		}
	}
	if total > maxValues {
		wrong.Addf("%sthe values have %d bytes: at most %d together", at, total, maxValues)
	}
	if err := checkSource(e.Source); err != nil {
		wrong.Addf("%sSource %w", at, err)
	}
	e.Before, e.Until = e.Before.Round(0), e.Until.Round(0)
	if epoch := time.Unix(0, 0); !e.Before.IsZero() && e.Before.Before(epoch) {
		e.Before = epoch // what UnixNano cannot say becomes any time, tomorrow too
	}
	if e.Before.After(now.Add(MaxLeeway)) {
		wrong.Addf("%sBefore is more than %v in the future: tokens that are not issued yet cannot be revoked", at, MaxLeeway)
	}
	v := e.values()
	mask := v.mask()
	from, least := now, life // tokens with these values are refused that are issued until now
	if mask&outright == 0 {
		if e.Before.IsZero() {
			e.Before = now.Add(ClockSkew)
		}
		from = e.Before
	} else if e.Before.IsZero() {
		e.Before = now
	}
	if mask&byKey != 0 {
		least = max(life, KeyLife)
	}
	if e.Until.After(now.Add(MaxUntil)) {
		wrong.Addf("%sUntil is more than %v away", at, MaxUntil)
	}
	e.Until = later(e.Until, from.Add(least))
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func checkSource(source string) error {
	if len(source) > maxSourceBytes {
		return fmt.Errorf("has %d bytes: at most %d", len(source), maxSourceBytes)
	}
	for _, c := range []byte(source) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-' {
			return errors.New("has a character that is none of a-z, 0-9, \".\", \"_\" and \"-\"")
		}
	}
	return nil
}
