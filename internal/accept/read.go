package accept

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/strictjson"
	"github.com/bearergate/bearergate/scope"
)

// Bounds of [Fields].
const (
	MaxRequired    = 64 // names in Required
	MaxScopeClaims = 8  // names in Scopes
	MaxExtra       = 2  // names in Extra
	MaxClients     = 8  // names in Clients
	MaxStandIns    = 4  // names in StandIns
)

// Fields say which claims are looked for beyond those that have a place in
// [bearergate.Claims].
type Fields struct {
	Required []string // whether these are there: see Rules.Required
	Scopes   []string // the claims that may hold the scopes; the first that is present counts
	// ScopeString refuses scopes that are an array: RFC 7662 has a string.
	ScopeString bool
	// Clients are the claims that may name the client; the first that is a string, and not
	// empty, counts. nil: DefaultClients.
	Clients []string
	// StandIns are the claims that may stand in for aud where that does not occur.
	StandIns []string
	// Ignored are claims that are not read at all, whatever they are.
	Ignored []string
	// Extra are members whose values are handed out as they stand, and not read
	// otherwise.
	Extra []string
	// Only are the claims that are read, besides Extra; nil: all. The others then may
	// be anything.
	Only []string
}

// Reader reads claims as [Fields] say. It is safe for concurrent use.
type Reader struct {
	fields Fields
	uses   map[string]use // of all names in fields: each claim of each token is looked up once
}

// use is what a claim is read for: its place in each list, from 1; 0: it is not in it.
type use struct{ required, scope, client, standIn, ignored, extra, only int }

// NewReader returns a Reader for fields, whose lists nobody changes any more.
func NewReader(fields Fields) *Reader {
	if fields.Clients == nil {
		fields.Clients = DefaultClients()
	}
	reader := &Reader{fields, map[string]use{}}
	reader.note(fields.Required, func(u *use) *int { return &u.required })
	reader.note(fields.Scopes, func(u *use) *int { return &u.scope })
	reader.note(fields.Clients, func(u *use) *int { return &u.client })
	reader.note(fields.StandIns, func(u *use) *int { return &u.standIn })
	reader.note(fields.Ignored, func(u *use) *int { return &u.ignored })
	reader.note(fields.Extra, func(u *use) *int { return &u.extra })
	reader.note(fields.Only, func(u *use) *int { return &u.only })
	return reader
}

func (reader *Reader) note(names []string, place func(*use) *int) {
	for i, name := range slices.Backward(names) { // of two equal names, the first counts
		u := reader.uses[name]
		*place(&u) = i + 1
		reader.uses[name] = u
	}
}

// Reading is what one pass over a set of claims finds.
type Reading struct {
	Claims    bearergate.Claims
	HasIssuer bool             // there is an iss, whatever it says
	Extra     [MaxExtra][]byte // the values of Fields.Extra; nil: absent
	// Wrong is the first claim that decides something and is not of its type; "" if
	// there is none. It is a name that this package knows, and nothing that the issuer
	// wrote. Judge refuses it.
	Wrong string
	// At is the check that is being made, or was the last one. Whoever reads and judges
	// sets it, for those who explain.
	At Step

	hasAudience, emptyAudience bool
	audienceOccurs             bool   // also as null
	found                      uint64 // bit i: the required claim i is present and not empty
	scope, client              choice
	standIns                   [MaxStandIns][]byte
	kind                       kind
}

var readings = sync.Pool{New: func() any { return new(Reading) }}

// BorrowReading returns a zero Reading, to be given back by [GiveBackReading]. It is large,
// and would be garbage after each token.
func BorrowReading() *Reading { return readings.Get().(*Reading) }

// GiveBackReading ends the use of a Reading. It is cleared: nothing that it says stays in
// memory because of it.
func GiveBackReading(r *Reading) {
	*r = Reading{}
	readings.Put(r)
}

// choice is the value of that one of some claims that stands first in the configuration.
type choice struct {
	value []byte // nil: none has been found
	at    int    // its place in the configuration
}

func (c *choice) offer(at int, value []byte) {
	if c.value == nil || at < c.at {
		c.value, c.at = value, at
	}
}

// DefaultClients are the claims that name the client where a configuration names none:
// that of the RFCs, and those of OpenID Connect, Okta and Microsoft Entra.
func DefaultClients() []string { return []string{"client_id", "azp", "cid", "appid"} }

// ErrNotAnObject: what was read is not one JSON object in the strict form.
var ErrNotAnObject = errors.New("not one strict JSON object")

// Read decodes a set of claims, once, into r, which must be zero but for At. Its one error is
// ErrNotAnObject, which is none of the eight sentinels. The reading points into
// data: it is good as long as that.
func (reader *Reader) Read(data []byte, r *Reading) error {
	r.At, r.Claims.Raw = StepClaims, data
	nullScopes := false
	err := strictjson.Object(data, func(text, value []byte) error {
		name := string(text) // once, for all that look for it
		u := reader.uses[name]
		if u.ignored > 0 {
			return nil
		}
		if name == "aud" {
			r.audienceOccurs = true
		}
		if strictjson.IsNull(value) && name != "cnf" {
			nullScopes = nullScopes || u.scope > 0
			return nil // real servers send null for what there is not
		}
		if r.place(u, value) || reader.fields.Only != nil && u.only == 0 {
			return nil
		}
		if err := r.take(name, value); err != nil && r.Wrong == "" {
			// take fails on names of its own list only: none of them is the issuer's own text.
			r.Wrong = string(text) // and not name, which then would not stay on the stack
		}
		return nil
	})
	if err != nil {
		return ErrNotAnObject
	}
	if !r.readScopes(reader.fields.ScopeString) && r.Wrong == "" {
		r.Wrong = "scope"
	}
	if nullScopes && r.Claims.Scopes.IsZero() {
		r.Claims.Scopes = scope.Of() // it names no scope, which is not the same as saying nothing
	}
	if r.client.value != nil {
		r.Claims.ClientID, _ = strictjson.String(r.client.value)
	}
	return nil
}

// place keeps a member where it is asked for. It reports one that is not to be read
// otherwise.
func (r *Reading) place(u use, value []byte) (done bool) {
	if u.required > 0 && !strictjson.IsEmpty(value) {
		r.found |= 1 << (u.required - 1)
	}
	if u.scope > 0 {
		r.scope.offer(u.scope, value)
	}
	if u.standIn > 0 {
		r.standIns[u.standIn-1] = value
	}
	if u.client > 0 && value[0] == '"' && !strictjson.IsEmpty(value) {
		r.client.offer(u.client, value)
	}
	if u.extra > 0 {
		r.Extra[u.extra-1] = value
	}
	return u.extra > 0
}

// take reads one claim. The claims that it does not know are left alone (RFC 7519
// §4).
func (r *Reading) take(name string, value []byte) (err error) {
	c := &r.Claims
	switch name {
	case "iss":
		r.HasIssuer = true
		c.Issuer, err = strictjson.String(value)
	case "sub":
		c.Subject, err = strictjson.String(value)
	case "client_id":
		if value[0] != '"' { // whether it is the client, Fields.Clients says
			err = errEmpty
		}
	case "jti":
		c.ID, err = strictjson.String(value)
	case "sid":
		c.SessionID, _ = strictjson.String(value) // of another type, it is none
	case "aud":
		r.hasAudience, r.emptyAudience = true, strictjson.IsEmpty(value)
		c.Audience, err = stringOrStrings(value)
	case "exp":
		c.ExpiresAt, err = strictjson.NumericDate(value)
	case "nbf":
		c.NotBefore, err = strictjson.NumericDate(value)
	case "iat":
		c.IssuedAt, err = strictjson.NumericDate(value)
	case "auth_time":
		c.AuthTime = moments(value)
	case "acr":
		c.ACR, _ = strictjson.String(value) // of another type, it is none: StepUp then refuses
	case "roles": // RFC 9068 §2.2.3.1
		if names, err := stringOrStrings(value); err == nil {
			c.Roles = names
		} else {
			c.Roles = []string{} // of another shape: it names no role, which is not the same as saying nothing
		}
	case "cnf":
		c.Confirmation, err = confirmation(value)
	case "act":
		c.Actors, err = actors(value)
	default:
		r.kind.read(name, value)
	}
	return err
}

// moments reads auth_time: seconds, or text by RFC 3339, as older AD FS writes it.
// Anything else is no time, and StepUp then refuses.
func moments(value []byte) time.Time {
	if value[0] == '"' {
		s, _ := strictjson.String(value)
		at, _ := time.Parse(time.RFC3339, s)
		return at
	}
	at, _ := strictjson.NumericDate(value)
	return at
}

// readScopes takes the first scope claim that is present. What in it is no scope
// token (RFC 6749 §3.3) grants nothing.
func (r *Reading) readScopes(stringOnly bool) bool {
	value := r.scope.value
	switch {
	case value == nil:
		return true
	case value[0] == '[':
		names, err := strictjson.Strings(value)
		if err != nil || stringOnly {
			return false
		}
		r.Claims.Scopes = scope.Of(names...)
		return true
	}
	text, err := strictjson.String(value)
	if err != nil {
		return false
	}
	// Split at U+0020 and nothing else.
	var few [8]string
	names := few[:0]
	for name := range strings.SplitSeq(text, " ") {
		names = append(names, name)
	}
	r.Claims.Scopes = scope.Of(names...)
	return true
}
