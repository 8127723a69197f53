package accept

import (
	"slices"
	"strings"

	"github.com/bearergate/bearergate/internal/strictjson"
)

// kind gathers what tells an access token from the other kinds (RFC 8725 §3.12).
type kind struct {
	marks, nonce, hasUse bool
	typ, use             string
}

// read looks at one member.
func (k *kind) read(name string, value []byte) (err error) {
	switch name {
	case "at_hash", "c_hash", "s_hash", "events", "token_introspection":
		k.marks = true
	case "nonce":
		k.nonce = true
	case "typ": // as Keycloak writes it
		k.typ, err = strictjson.String(value)
	case "token_use": // as Cognito and Hydra write it
		k.hasUse = true
		k.use, err = strictjson.String(value)
	}
	return err
}

// other reports the members of an ID token, a logout token, a security event,
// an introspection answer or a refresh token. uses are the values of token_use
// that stand for an access token.
func (k *kind) other(uses []string) bool {
	if k.marks || k.nonce && k.typ != "Bearer" {
		return true
	}
	if k.hasUse && !slices.Contains(uses, k.use) {
		return true
	}
	return slices.ContainsFunc(otherTypes, func(t string) bool { return strings.EqualFold(k.typ, t) })
}

// otherTypes are values of the claim typ.
var otherTypes = []string{"ID", "Refresh", "Offline", "Logout"}
