package bearergate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"strings"
)

// Scheme is the authentication scheme that a token is sent with (RFC 9110
// §11.1). Schemes are compared by their constants; on the wire they match in any
// case.
type Scheme string

// The schemes, all of them.
const (
	SchemeBearer Scheme = "Bearer" // RFC 6750: whoever holds the token may use it
	SchemeDPoP   Scheme = "DPoP"   // RFC 9449 §7.1: every request proves that its sender holds the token's key
)

func (s Scheme) known() bool { return s == SchemeBearer || s == SchemeDPoP }

// Credentials are what a request presents: a scheme and a token. Printing them
// does not show the token.
type Credentials struct {
	Scheme Scheme
	Raw    Secret // the token as sent, not judged in any way
}

// ParseCredentials returns the credentials in authorization: all values of one
// request's Authorization header, or of the "authorization" key of gRPC metadata.
// Schemes are matched in any case; those that count are given, Bearer alone if
// none is. A Scheme that is not one of the constants is [ErrMisconfigured].
//
// No value, an empty one, or a scheme that does not count is [ErrMissingToken].
// Several values, or credentials that are not of the form scheme 1*SP token68
// (RFC 6750 §2.1, RFC 9449 §7.1), are [ErrInvalidRequest]: a request that names
// two credentials is refused rather than having one chosen.
func ParseCredentials(authorization []string, accepted ...Scheme) (Credentials, error) {
	if len(accepted) == 0 {
		accepted = bearerOnly
	}
	scheme, token, err := parseAuthorization(authorization, accepted)
	if err != nil {
		return Credentials{}, err
	}
	return Credentials{Scheme: scheme, Raw: NewSecret(token)}, nil
}

// ExtractCredentials calls a function of the user's that takes the credentials out of a request
// in its own way, and judges what it returns: the one rule for every Config.Extract of this
// module. An error is judged by [Guard], and comes without credentials. Credentials without a
// token are [ErrMissingToken], and those without a Scheme count as sent with [SchemeBearer].
func ExtractCredentials(ctx context.Context, otherwise error, extract func(context.Context) (Credentials, error)) (c Credentials, err error) {
	err = Guard(ctx, otherwise, func(ctx context.Context) (err error) {
		c, err = extract(ctx)
		return err
	})
	switch {
	case err != nil:
		return Credentials{}, err
	case c.Raw.Reveal() == "":
		return Credentials{}, noToken()
	case c.Scheme == "":
		c.Scheme = SchemeBearer
	}
	return c, nil
}

func parseAuthorization(authorization []string, accepted []Scheme) (Scheme, string, error) {
	for _, s := range accepted {
		if !s.known() {
			return "", "", misconfigured("ParseCredentials accepts SchemeBearer and SchemeDPoP: use these constants")
		}
	}
	switch len(authorization) {
	case 0:
		return "", "", notSent("nothing was sent in Authorization")
	case 1:
	default:
		return "", "", badRequest("more than one Authorization value")
	}
	value := authorization[0]
	if value == "" {
		return "", "", notSent("Authorization is empty")
	}
	if value[0] == ' ' || value[0] == '\t' {
		return "", "", badRequest("white space before the scheme")
	}
	word, rest, found := strings.Cut(value, " ")
	for _, s := range accepted {
		name := string(s)
		if !strings.EqualFold(word, name) {
			// "Bearer\ttoken" and "Bearer,token" are attempts at this scheme, not another one.
			if len(word) > len(name) && strings.EqualFold(word[:len(name)], name) && !isTokenChar(word[len(name)]) {
				return "", "", badRequest("the " + name + " scheme is not followed by a space")
			}
			continue
		}
		token := strings.TrimLeft(rest, " ")
		if !found || token == "" {
			return "", "", badRequest("the " + name + " scheme without a token")
		}
		if !isB64Token(token) {
			return "", "", badRequest(oddCharacter(token))
		}
		return s, token, nil
	}
	return "", "", notSent("Authorization has none of the schemes that are accepted before its token")
}

// oddCharacter says what is wrong with a text that is no token (RFC 6750 §2.1), as far as
// that tells how it came about.
func oddCharacter(token string) string {
	switch {
	case strings.ContainsAny(token, " \t\r\n"):
		return "white space in the token: it was wrapped, or the scheme is there twice"
	case strings.ContainsAny(token, `"'`):
		return "a quotation mark in the token"
	case strings.Contains(token, "%"):
		return "a percent sign in the token: it was encoded as in a URL"
	case strings.Contains(token, ","):
		return "a comma in the token: there are two, or it has parameters behind it"
	case strings.Contains(strings.TrimRight(token, "="), "="):
		return "padding within the token"
	}
	return "a character that RFC 6750 does not allow in a token"
}

var bearerOnly = []Scheme{SchemeBearer}

// BearerToken returns the token of the Bearer credentials (RFC 6750 §2.1) in
// authorization, by the rules of [ParseCredentials]. Other schemes count as no
// token. The token is returned as sent and is not judged in any way, its length
// included.
func BearerToken(authorization []string) (string, error) {
	_, token, err := parseAuthorization(authorization, bearerOnly)
	return token, err
}

// Call is one request, whatever carried it: what it shows of itself, for
// [Authenticate] and the [Binding]s.
type Call struct {
	Credentials
	// Method is the request method; POST for gRPC.
	Method string
	// Target is the request target as received (RFC 9112 §3.2), before any
	// handler changed the URL; the full method for gRPC.
	Target string
	// Host is the Host header or :authority. The client chose it: never build an
	// address from it.
	Host string
	// Header returns all values of a header field; nil: there are none.
	Header func(name string) []string
	// TLS is the state of the sender's own connection; nil: there is none, or a
	// proxy in between has it.
	TLS *tls.ConnectionState
	// Peer is who is connected; without a valid port: nobody to trust.
	Peer netip.AddrPort
	// Certificate is the client certificate of the sender's connection to a proxy that asks
	// about the request and tells it apart from every header: Envoy, in adapters/extauthz.
	// nil: nobody told one. No header has any say in it.
	Certificate *x509.Certificate
}

// Values returns the values of a header field, also where Header is nil.
func (c Call) Values(name string) []string {
	if c.Header == nil {
		return nil
	}
	return c.Header(name)
}

// Reply is the response headers that a [Binding] asks for, such as DPoP-Nonce
// (RFC 9449 §8): on success and beside an error alike.
type Reply map[string]string

func noToken() error { return &Error{Kind: ErrMissingToken, Reason: ReasonNoToken} }

func notSent(what string) error {
	return &Error{Kind: ErrMissingToken, Reason: ReasonNoToken, Detail: what}
}

func badRequest(what string) error {
	return &Error{Kind: ErrInvalidRequest, Reason: ReasonBadRequest, Detail: what}
}

func misconfigured(what string) error {
	return &Error{Kind: ErrMisconfigured, Reason: ReasonConfig, Cause: text(what)}
}

func unproven(what string) error {
	return &Error{Kind: ErrInvalidToken, Reason: ReasonBinding, Detail: what}
}

// text is an error that is a text of this package.
type text string

func (t text) Error() string { return "bearergate: " + string(t) }
