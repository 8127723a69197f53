package accept

import (
	"errors"
	"slices"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/strictjson"
	"github.com/bearergate/bearergate/scope"
)

// Bounds of [Fields].
const (
	MaxRequired    = 64 // names in Required
	MaxScopeClaims = 8  // names in Scopes
	MaxExtra       = 2  // names in Extra
)

// Fields say which claims are looked for beyond those that have a place in
// [bearergate.Claims].
type Fields struct {
	Required []string // whether these are there: see Rules.Required
	Scopes   []string // the claims that may hold the scopes; the first that is present counts
	// ScopeString refuses scopes that are an array: RFC 7662 has a string.
	ScopeString bool
	// Extra are members whose values are handed out as they stand.
	Extra []string
	// Only are the claims that are read, besides Extra; nil: all. The others then may
	// be anything.
	Only []string
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
	found                      uint64 // bit i: the required claim i is present and not empty
	scopes                     [MaxScopeClaims][]byte
	kind                       kind
}

// ErrNotAnObject: what was read is not one JSON object in the strict form.
var ErrNotAnObject = errors.New("not one strict JSON object")

// Read decodes a set of claims, once, into r, which must be zero but for At. Its one error is
// ErrNotAnObject, which is none of the eight sentinels. The reading points into
// data: it is good as long as that.
func (f *Fields) Read(data []byte, r *Reading) error {
	r.At, r.Claims.Raw = StepClaims, data
	err := strictjson.Object(data, func(name, value []byte) error {
		if i := slices.Index(f.Required, string(name)); i >= 0 && !strictjson.IsEmpty(value) {
			r.found |= 1 << i
		}
		if i := slices.Index(f.Scopes, string(name)); i >= 0 {
			r.scopes[i] = value
		}
		if i := slices.Index(f.Extra, string(name)); i >= 0 {
			r.Extra[i] = value
		}
		if f.Only != nil && !slices.Contains(f.Only, string(name)) {
			return nil
		}
		if err := r.take(name, value); err != nil && r.Wrong == "" {
			// take fails on names of its own list only: none of them is the issuer's own text.
			r.Wrong = string(name)
		}
		return nil
	})
	if err != nil {
		return ErrNotAnObject
	}
	if !r.readScopes(f.ScopeString) && r.Wrong == "" {
		r.Wrong = "scope"
	}
	return nil
}

// take reads one claim. The claims that it does not know are left alone (RFC 7519
// §4).
func (r *Reading) take(name, value []byte) (err error) {
	c := &r.Claims
	switch string(name) {
	case "iss":
		r.HasIssuer = true
		c.Issuer, err = strictjson.String(value)
	case "sub":
		if !strictjson.IsNull(value) { // real servers send null where there is no user
			c.Subject, err = strictjson.String(value)
		}
	case "client_id":
		c.ClientID, err = strictjson.String(value)
	case "jti":
		c.ID, err = strictjson.String(value)
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
		c.AuthTime, err = strictjson.NumericDate(value)
	case "acr":
		c.ACR, err = strictjson.String(value)
	case "roles": // RFC 9068 §2.2.3.1
		if names, err := stringOrStrings(value); err == nil {
			c.Roles = names
		} else if !strictjson.IsNull(value) {
			c.Roles = []string{} // of another shape: it names no role, which is not the same as saying nothing
		}
	case "cnf":
		c.Confirmation, err = confirmation(value)
	case "act":
		c.Actors, err = actors(value)
	default:
		err = r.kind.read(string(name), value)
	}
	return err
}

// readScopes takes the first scope claim that is present. What in it is no scope
// token (RFC 6749 §3.3) grants nothing.
func (r *Reading) readScopes(stringOnly bool) bool {
	for _, value := range r.scopes {
		if value == nil {
			continue
		}
		names, err := scopes(value)
		if err != nil || stringOnly && value[0] == '[' {
			return false
		}
		r.Claims.Scopes = scope.Of(names...)
		return true
	}
	return true
}
