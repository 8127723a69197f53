package accept

import (
	"slices"
	"strings"

	"github.com/bearergate/bearergate/internal/strictjson"
)

// kind gathers what tells an access token from the other kinds (RFC 8725 §3.12).
type kind struct {
	mark          string // the first member that only another kind has
	nonce, hasUse bool
	typ, use      string
}

// read looks at one member.
func (k *kind) read(name string, value []byte) (err error) {
	switch name {
	case "nonce":
		k.nonce = true
	case "typ": // as Keycloak writes it
		k.typ, err = strictjson.String(value)
	case "token_use": // as Cognito and Hydra write it
		k.hasUse = true
		k.use, err = strictjson.String(value)
	default:
		if i := slices.Index(marks, name); i >= 0 && k.mark == "" {
			k.mark = marks[i] // not name, which would have to outlive the call for every claim
		}
	}
	return err
}

// marks are members that access tokens do not have.
var marks = []string{"at_hash", "c_hash", "s_hash", "events", "token_introspection"}

// other names what shows an ID token, a logout token, a security event, an
// introspection answer or a refresh token; "" if nothing does. uses are the values of
// token_use that stand for an access token.
func (k *kind) other(uses []string) string {
	switch {
	case k.mark != "":
		return "the member " + k.mark
	case k.nonce && k.typ != "Bearer":
		return "the member nonce"
	case k.hasUse && !slices.Contains(uses, k.use):
		return "token_use " + Quoted(k.use)
	case slices.ContainsFunc(otherTypes, func(t string) bool { return strings.EqualFold(k.typ, t) }):
		return "typ " + Quoted(k.typ)
	}
	return ""
}

// otherTypes are values of the claim typ.
var otherTypes = []string{"ID", "Refresh", "Offline", "Logout"}
