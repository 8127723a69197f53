package introspect

import (
	"slices"
	"strings"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/accept"
	"github.com/bearergate/bearergate/internal/mistake"
	"github.com/bearergate/bearergate/internal/strictjson"
)

// What token_type of an answer (RFC 7662 §2.2) is to us. It is to be a type of RFC 6749
// §7.1, which says how the token is sent; some servers write there what the token is.
//
//	Bearer, access_token, AllowTokenTypes, none   sent as a Bearer token: without cnf.jkt, if it is said
//	DPoP                                          bound by DPoP (RFC 9449 §6.2): with cnf.jkt
//	PoP, mac                                      sent with a proof that nothing here checks
//	all others                                    no access token: refresh_token, id_token, N_A (RFC 8693 §2.2.1)
type tokenType int

const (
	typeOther tokenType = iota
	typeBearer
	typeDPoP
	typeProof
)

// tokenTypes are the types in the spelling of [plainType].
var tokenTypes = map[string]tokenType{"bearer": typeBearer, "accesstoken": typeBearer, "dpop": typeDPoP, "pop": typeProof, "mac": typeProof}

// isOther reports a type, in the spelling of [plainType], that is never an access token's.
func isOther(plain string) bool {
	return strings.Contains(plain, "refresh") || slices.Contains([]string{"", "na", "n/a", "offline", "offlinetoken", "idtoken", "id", "logouttoken", "logout"}, plain)
}

// plainType is a token_type in one spelling: Refresh-Token, refresh_token and
// urn:ietf:params:oauth:token-type:refresh_token (RFC 8693 §3) are the same. Only ASCII
// is folded.
func plainType(value string) string {
	lower := func(r rune) rune {
		switch {
		case 'A' <= r && r <= 'Z':
			return r + ('a' - 'A')
		case r == '-', r == '_':
			return -1
		}
		return r
	}
	return strings.TrimPrefix(strings.Map(lower, value), "urn:ietf:params:oauth:tokentype:")
}

// tokenTypeOf reads token_type; value is nil, or null, where there is none.
func (c *Client) tokenTypeOf(value []byte) (name string, t tokenType, err error) {
	if value == nil || strictjson.IsNull(value) {
		return "", typeBearer, nil
	}
	if name, err = strictjson.String(value); err != nil {
		return "", typeOther, err
	}
	known, ok := tokenTypes[plainType(name)]
	if !ok && slices.ContainsFunc(c.tokenTypes, func(t string) bool { return strings.EqualFold(t, name) }) {
		known = typeBearer
	}
	return name, known, nil
}

// accessTypes are the values of token_type that say that a token is an access token.
func (c *Client) accessTypes() string {
	return accept.Quoted(append([]string{"Bearer", "access_token", "DPoP"}, c.tokenTypes...)...) + " or none"
}

// notAnAccessToken refuses what the server calls something else: it answers for refresh
// tokens too, and for whatever else it issues.
func (c *Client) notAnAccessToken(name string) error {
	detail := "token_type does not name an access token"
	if !isOther(plainType(name)) {
		detail += " in a word that is known here: if the server writes that for access tokens, and for no others, see AllowTokenTypes"
	}
	return accept.Mismatch(bearergate.ReasonType, detail, c.accessTypes(), accept.Quoted(name))
}

// judgeProof compares how a token is sent, by its token_type, with the cnf of the answer.
// A server that says the one and not the other contradicts itself, and whoever believed
// the wrong one would take a stolen token (RFC 9449 §6.2).
func judgeProof(name string, t tokenType, cnf map[string][]byte) error {
	_, jkt := cnf["jkt"]
	refuse := func(detail, expected string) error {
		return accept.Mismatch(bearergate.ReasonBinding, detail, expected, accept.Quoted(name))
	}
	switch {
	case t == typeProof:
		return refuse("token_type names a kind of token that needs a proof which is not checked here", `"Bearer" or "DPoP"`)
	case t == typeDPoP && !jkt:
		return refuse("token_type is DPoP, and cnf has no jkt that a proof could be compared with", `"DPoP" with cnf.jkt`)
	case t == typeBearer && jkt && name != "":
		return refuse("cnf has a jkt, and token_type is not DPoP", `"DPoP"`)
	}
	return nil
}

func checkTokenTypes(c *Config, wrong *mistake.List) {
	for _, name := range c.AllowTokenTypes {
		switch t, known := tokenTypes[plainType(name)]; {
		case isOther(plainType(name)):
			wrong.Addf("AllowTokenTypes contains %s, which is no access token: remove it", accept.Quoted(name))
		case t == typeDPoP:
			wrong.Addf("AllowTokenTypes contains %s, which needs a proof: remove it, and name \"jkt\" in Confirmations", accept.Quoted(name))
		case known && t == typeProof:
			wrong.Addf("AllowTokenTypes contains %s, which needs a proof that nothing here checks: remove it", accept.Quoted(name))
		}
	}
}
