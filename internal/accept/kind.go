package accept

import (
	"slices"
	"strings"

	"github.com/bearergate/bearergate/internal/strictjson"
)

// kind gathers what tells an access token from the other kinds (RFC 8725 §3.12). Servers
// write it in claims of many names and in many spellings. A claim that is no string tells
// nothing.
type kind struct {
	marks uint8              // bit i: the member marks[i] is there
	state bool               // beside code, an authorization response (JARM)
	names [len(named)]string // the values of named
	has   [len(named)]bool   // which of them are strings
	of    [len(typed)]string // the values of typed
}

// marks are members that access tokens do not have.
var marks = [...]string{"at_hash", "c_hash", "s_hash", "events", "token_introspection", "nonce", "code"}

const (
	markNonce = 5
	markCode  = 6
)

// allowableMarks are the marks that a configuration may allow: servers write them into
// access tokens. events and token_introspection are in none.
var allowableMarks = []string{"at_hash", "c_hash", "s_hash", "nonce", "code"}

// named must name an access token, and typed must not name anything else.
var (
	named = [...]string{"token_use", "token_type", "tokenType", "tokenName"}
	typed = [...]string{"typ", "type"}
)

// read looks at one member that is not null.
func (k *kind) read(name string, value []byte) {
	if i := slices.Index(marks[:], name); i >= 0 {
		k.marks |= 1 << i
		return
	}
	if name == "state" {
		k.state = true
		return
	}
	if value[0] != '"' {
		return
	}
	if i := slices.Index(named[:], name); i >= 0 {
		s, err := strictjson.String(value)
		k.names[i], k.has[i] = s, err == nil
	} else if i := slices.Index(typed[:], name); i >= 0 {
		k.of[i], _ = strictjson.String(value)
	}
}

// PlainType is a typ as it is compared.
func PlainType(typ string) string {
	return strings.TrimPrefix(strings.ToLower(typ), "application/")
}

// plainKind is the name of a kind of token as all spellings of it have it: of "Refresh",
// "refresh-token" and "RefreshToken" it is "refresh".
func plainKind(s string) string {
	if s == "" {
		return ""
	}
	s = strings.TrimPrefix(strings.TrimPrefix(strings.ToLower(s), "urn:ietf:params:oauth:token-type:"), "application/")
	if i := strings.IndexAny(s, ":/"); i > 0 && !strings.Contains(s[i:], "refresh") { // "id:token/v1"
		s = s[:i]
	}
	s = joined.Replace(s)
	for _, end := range []string{"jwt", "token"} {
		s = strings.TrimSuffix(s, end)
	}
	return s
}

var joined = strings.NewReplacer("-", "", "_", "", " ", "", ".", "", "+", "")

// other names what shows another kind of token; "" if nothing does. allowed are the
// marks that access tokens of this issuer have.
func (k *kind) other(allowed []string) string {
	for i, mark := range marks {
		switch {
		case k.marks&(1<<i) == 0, slices.Contains(allowed, mark), i == markCode && !k.state:
			continue
		case i == markNonce && slices.Contains([]string{"bearer", "dpop"}, plainKind(k.of[0])):
			continue // the claim typ of Keycloak's access tokens, which had the nonce of the login
		}
		if i == markCode {
			return "the members code and state"
		}
		return "the member " + mark
	}
	for i, name := range named {
		if k.has[i] && !slices.Contains(accessNames, plainKind(k.names[i])) {
			return name + " " + Quoted(k.names[i])
		}
	}
	for i, name := range typed {
		if plain := plainKind(k.of[i]); slices.Contains(idNames, plain) || isNeither(plain) {
			return name + " " + Quoted(k.of[i])
		}
	}
	return ""
}

// otherThanID names what shows another kind than an ID token; "" if nothing does.
func (k *kind) otherThanID() string {
	for i, mark := range marks {
		if k.marks&(1<<i) != 0 && !slices.Contains(allowableMarks, mark) {
			return "the member " + mark
		}
	}
	if k.marks&(1<<markCode) != 0 && k.state {
		return "the members code and state"
	}
	for i, name := range named {
		if k.has[i] && !slices.Contains(idNames, plainKind(k.names[i])) {
			return name + " " + Quoted(k.names[i])
		}
	}
	for i, name := range typed {
		if plain := plainKind(k.of[i]); slices.Contains(accessNames, plain) || isNeither(plain) {
			return name + " " + Quoted(k.of[i])
		}
	}
	return ""
}

// isNeither reports the name of a kind that is neither an access token nor an ID token.
func isNeither(plain string) bool {
	return slices.Contains(otherNames, plain) || strings.Contains(plain, "refresh") && !strings.Contains(plain, "refreshable") || strings.HasPrefix(plain, "offline")
}

// Of the names of kinds, as plainKind has them.
var (
	accessNames = []string{"access", "oauthaccess", "at", "bearer", "dpop"} // how a token is sent is no other kind of it
	idNames     = []string{"id", "serializedid", "identity"}
	otherNames  = []string{"rt", "logout", "secevent"}
)
