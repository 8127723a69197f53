package admin

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/quote"
	"github.com/bearergate/bearergate/internal/strictjson"
	"github.com/bearergate/bearergate/revocation"
)

// member is a member of an entry that is text.
type member struct {
	name string
	of   func(*revocation.Entry) *string
}

// members of an entry, as they are sent and shown.
var members = []member{
	{"issuer", func(e *revocation.Entry) *string { return &e.Issuer }},
	{"token_id", func(e *revocation.Entry) *string { return &e.TokenID }},
	{"subject", func(e *revocation.Entry) *string { return &e.Subject }},
	{"session", func(e *revocation.Entry) *string { return &e.Session }},
	{"client", func(e *revocation.Entry) *string { return &e.Client }},
	{"tenant", func(e *revocation.Entry) *string { return &e.Tenant }},
}

func memberOf(name string) (member, bool) {
	i := slices.IndexFunc(members, func(m member) bool { return m.name == name })
	if i < 0 {
		return member{}, false
	}
	return members[i], true
}

const maxMistakes = 20

// mistakes are what is wrong with a request, each in words for whoever sent it.
type mistakes struct {
	texts []string
	more  int
}

func (m *mistakes) addf(format string, args ...any) {
	if len(m.texts) == maxMistakes {
		m.more++
		return
	}
	m.texts = append(m.texts, fmt.Sprintf(format, args...))
}

func (m *mistakes) count() int { return len(m.texts) + m.more }

// list is nil if there are none.
func (m *mistakes) list() []string {
	if m.more > 0 {
		return append(m.texts, fmt.Sprintf("and %d more", m.more))
	}
	return m.texts
}

// textsOf are the mistakes that a List has found.
func textsOf(err error) []string {
	var m mistakes
	if cause := bearergate.AsError(err).Cause; cause != nil {
		for line := range strings.SplitSeq(cause.Error(), "\n") {
			m.addf("%s", quote.Cut(strings.TrimPrefix(line, "revocation: ")))
		}
	}
	return m.list()
}

// readEntries reads the body of a request to revoke.
func readEntries(body []byte, now time.Time) (entries []revocation.Entry, wrong []string) {
	var m mistakes
	var several []byte
	others := 0
	err := strictjson.Object(body, func(name, value []byte) error {
		if string(name) == "entries" {
			several = value
		} else {
			others++
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, []string{"the body is not one JSON object in UTF-8 whose members have distinct names"}
	case several == nil:
		entries = []revocation.Entry{readEntry(body, "", true, now, &m)}
	case others > 0:
		m.addf("entries stands beside other members: put them into its objects")
	default:
		err = strictjson.Array(several, func(element []byte) error {
			if len(entries) == MaxEntries {
				return errTooMany
			}
			entries = append(entries, readEntry(element, fmt.Sprintf("entry %d: ", len(entries)), true, now, &m))
			return nil
		})
		switch {
		case errors.Is(err, errTooMany):
			m.addf("there are more than %d entries: send them in several requests", MaxEntries)
		case err != nil:
			m.addf("entries is not an array")
		case len(entries) == 0:
			m.addf("entries is empty")
		}
	}
	if wrong = m.list(); wrong != nil {
		return nil, wrong
	}
	return entries, nil
}

var errTooMany = errors.New("too many")

// readLifted reads the body of a request to lift.
func readLifted(body []byte) (revocation.Entry, []string) {
	var m mistakes
	e := readEntry(body, "", false, time.Time{}, &m)
	e.Before, e.Until = time.Time{}, time.Time{}
	if wrong := m.list(); wrong != nil {
		return revocation.Entry{}, wrong
	}
	return e, nil
}

// readEntry reads one entry, to be revoked or to be lifted.
func readEntry(value []byte, at string, revoked bool, now time.Time, m *mistakes) (e revocation.Entry) {
	confirm, confirmed := "", false
	before := m.count()
	err := strictjson.Object(value, func(name, value []byte) error {
		n := string(name)
		f, isValue := memberOf(n)
		if !isValue && n != "key" && n != "before" && n != "until" && (n != "confirm" || !revoked) && (n != "source" || revoked) {
			m.addf("%sthe member %s is not known%s", at, quote.One(n), hint(n))
			return nil
		}
		text, err := strictjson.String(value)
		switch {
		case err != nil:
			m.addf("%s%s is not a string", at, n)
		case text == "" && n != "source": // the List has entries without a source
			m.addf("%s%s is empty: leave out what does not count", at, n)
		case isValue && len(text) > revocation.MaxValueBytes:
			m.addf("%s%s has %d bytes: at most %d", at, n, len(text), revocation.MaxValueBytes)
		case isValue:
			*f.of(&e) = text
		case n == "key":
			e.Key = readKey(text, at, m)
		case n == "before":
			e.Before = readTime(text, at, n, m)
		case n == "until":
			e.Until = readTime(text, at, n, m)
		case n == "confirm":
			confirm, confirmed = text, true
		}
		return nil
	})
	if err != nil {
		m.addf("%sit is not a JSON object in UTF-8 whose members have distinct names", at)
		return e
	}
	if m.count() > before { // what is missing may have been meant
		return e
	}
	if e.Issuer == "" {
		m.addf("%sissuer is missing: every value means something only together with its issuer", at)
	}
	if revoked {
		check(&e, confirm, confirmed, at, now, m)
	}
	return e
}

func hint(name string) string {
	known := map[string]string{
		"iss": "issuer", "jti": "token_id", "sub": "subject", "sid": "session", "client_id": "client", "azp": "client", "jkt": "key", "kid": "key",
	}
	switch to, ok := known[name]; {
	case name == "source":
		return ": it is what this service is configured to say"
	case name == "confirm":
		return ": lifting needs none"
	case name == "entries":
		return " here: lift one at a time, and put no entries into one"
	case ok:
		return ": give " + to
	}
	return ""
}

// check is about what an entry to be revoked says as a whole.
func check(e *revocation.Entry, confirm string, confirmed bool, at string, now time.Time, m *mistakes) {
	outright := e.TokenID != "" || e.Session != "" || e.Key != [32]byte{}
	alone := *e == revocation.Entry{Issuer: e.Issuer, Before: e.Before, Until: e.Until}
	switch {
	case alone && !confirmed:
		m.addf("%sit has nothing but issuer, and would refuse all its tokens: if that is meant, repeat the issuer in confirm", at)
	case alone && confirm != e.Issuer:
		m.addf("%sconfirm is not the issuer", at)
	case !alone && confirmed:
		m.addf("%sconfirm is for an entry of issuer alone: leave it out, or what else there is", at)
	}
	if outright && !e.Before.IsZero() {
		m.addf("%sbefore does not count beside token_id, session and key, which refuse whenever a token was issued: leave it out", at)
	}
	if e.Before.After(now.Add(revocation.MaxLeeway)) {
		m.addf("%sbefore is more than %d minutes in the future: tokens that are not issued yet cannot be revoked", at, int(revocation.MaxLeeway/time.Minute))
	}
	if !e.Until.IsZero() && !e.Until.After(now) {
		m.addf("%suntil has passed: leave it out, or give a time to come", at)
	}
	if e.Until.After(now.Add(revocation.MaxUntil)) {
		m.addf("%suntil is more than %d days away", at, int(revocation.MaxUntil/(24*time.Hour)))
	}
}

func readKey(text, at string, m *mistakes) (key [32]byte) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) != len(key) || strings.ContainsAny(text, "\r\n") || [32]byte(raw) == key {
		m.addf("%skey is not the thumbprint of a key: 43 characters of base64url, SHA-256 (RFC 7638)", at)
		return key
	}
	return [32]byte(raw)
}

// readTime takes no time before 1970: it would not mean a moment, but that somebody's
// zero value was written.
func readTime(text, at, name string, m *mistakes) time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil || t.Unix() <= 0 {
		m.addf("%s%s is not a time after 1970 as RFC 3339 has it, such as 2026-01-31T15:04:05Z", at, name)
		return time.Time{}
	}
	return t
}
