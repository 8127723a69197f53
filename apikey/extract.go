package apikey

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/bearergate/bearergate"
)

// Extract is for Config.Extract of a gate whose verifier is k: it takes the one credential
// of a request, a key or an access token. Two of them, in whatever headers, are
// [bearergate.ErrInvalidRequest], and so are a key that is there twice and one that has a
// space, a comma, or characters that are no printable ASCII. An access token may use
// Bearer or DPoP, as without Extract.
//
// Give the gate [Keys.Headers] as its ExtractHeaders: responses of Optional routes then say
// in Vary that they depend on who asks, and DropAuthorization takes a key out of the request
// as it does a token. Without them, both is left to the handler.
func (k *Keys) Extract(r *http.Request) (bearergate.Credentials, error) {
	return k.ExtractCall(bearergate.Call{Header: func(name string) []string { return r.Header[name] }})
}

// ExtractCall is [Keys.Extract] for what carries a request in another way: for the metadata of
// gRPC, it is Extract of a gate of adapters/grpc. Of the call, only the Header is read, under
// Authorization and the name of Config.Header as Go writes it.
func (k *Keys) ExtractCall(c bearergate.Call) (bearergate.Credentials, error) {
	if k == nil || k.config.Tokens == nil {
		return bearergate.Credentials{}, errZero
	}
	header := c.Header
	if header == nil {
		header = func(string) []string { return nil }
	}
	authorization := header("Authorization")
	if k.config.Header == "" {
		if len(authorization) == 1 {
			if rest, is := ofScheme(authorization[0]); is {
				return credentials(strings.TrimLeft(rest, " "))
			}
		}
		return bearergate.ParseCredentials(authorization, bearergate.SchemeBearer, bearergate.SchemeDPoP)
	}
	keys := header(k.config.Header)
	switch {
	case len(keys) == 0:
		return bearergate.ParseCredentials(authorization, bearergate.SchemeBearer, bearergate.SchemeDPoP)
	case len(authorization) > 0:
		return bearergate.Credentials{}, badRequest("an API key and Authorization were sent: one credential is enough")
	case len(keys) > 1:
		return bearergate.Credentials{}, badRequest("more than one API key was sent")
	case keys[0] == "":
		return bearergate.Credentials{}, &bearergate.Error{Kind: bearergate.ErrMissingToken, Reason: bearergate.ReasonNoToken, Detail: "the header of the API key is empty"}
	}
	return credentials(keys[0])
}

// Headers are the request headers that [Keys.Extract] reads, for ExtractHeaders of a gate.
func (k *Keys) Headers() []string {
	if k == nil || k.config.Header == "" {
		return []string{"Authorization"}
	}
	return []string{"Authorization", k.config.Header}
}

// ofScheme returns what follows the scheme ApiKey.
func ofScheme(authorization string) (rest string, is bool) {
	const name = "ApiKey"
	if len(authorization) < len(name) || !strings.EqualFold(authorization[:len(name)], name) {
		return "", false
	}
	rest = authorization[len(name):]
	return rest, rest == "" || rest[0] == ' '
}

func credentials(key string) (bearergate.Credentials, error) {
	if len(key) > MaxKeyBytes && !isJWT(key) || !isSendable(key) {
		return bearergate.Credentials{}, badRequest("what was sent as an API key is empty or too long, or has a space, a comma or a character that is no printable ASCII")
	}
	return bearergate.Credentials{Scheme: bearergate.SchemeBearer, Raw: bearergate.NewSecret(mark + key)}, nil
}

func badRequest(detail string) error {
	return &bearergate.Error{Kind: bearergate.ErrInvalidRequest, Reason: bearergate.ReasonBadRequest, Detail: detail}
}

// Announce has responses to requests that bring a key say that keys go: Sunset with
// Config.End (RFC 8594), Deprecation with Config.Deprecated (RFC 9745) and Link with
// Config.Guide. It looks whether there is a key and not whether it is good, and decides
// nothing. Put it outside of the gate, so that refusals say it too.
func (k *Keys) Announce(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if k.brings(r) {
			h := w.Header()
			h.Set("Sunset", k.config.End.UTC().Format(http.TimeFormat))
			if !k.config.Deprecated.IsZero() {
				h.Set("Deprecation", "@"+strconv.FormatInt(k.config.Deprecated.Unix(), 10))
			}
			if k.config.Guide != "" {
				h.Add("Link", "<"+k.config.Guide+`>; rel="deprecation sunset"`)
			}
		}
		next.ServeHTTP(w, r)
	})
}

func (k *Keys) brings(r *http.Request) bool {
	if k == nil || k.config.Tokens == nil {
		return false
	}
	if k.config.Header != "" {
		return len(r.Header[k.config.Header]) > 0
	}
	for _, value := range r.Header["Authorization"] {
		if _, is := ofScheme(value); is {
			return true
		}
	}
	return false
}

func isGuide(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Scheme == "https" && u.Host != "" && u.User == nil &&
		!strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`"<>\`, r) })
}
