package authtest

import (
	"net/url"
	"slices"
	"time"

	"github.com/bearergate/bearergate/internal/strictjson"
	"github.com/bearergate/bearergate/scope"
)

// The grants of the token endpoint, and the types of the tokens that it exchanges
// (RFC 8693 §2.1, §3).
const (
	clientCredentials = "client_credentials"
	tokenExchange     = "urn:ietf:params:oauth:grant-type:token-exchange" //nolint:gosec // the name of a grant
	typeAccessToken   = "urn:ietf:params:oauth:token-type:access_token"   //nolint:gosec // the name of a kind of token
	typeJWT           = "urn:ietf:params:oauth:token-type:jwt"
)

// subject is what the token endpoint reads of a token that it exchanges.
type subject struct {
	Subject   string `json:"sub"`
	Scope     string `json:"scope"`
	ExpiresAt int64  `json:"exp"`
	MayAct    *struct {
		Subject  string `json:"sub"`
		ClientID string `json:"client_id"`
	} `json:"may_act"`
}

// inherited are the claims about the subject's login, which an exchange does not change.
var inherited = []string{"auth_time", "acr", "amr", "sid", "roles"}

// exchange returns the claims of the token for which the client of c exchanges another one
// (RFC 8693 §2): of the same subject, with the client as its actor before those that the
// token had, for no more scopes and no longer. The error code is "" for success.
func (s *Server) exchange(c Claims, form url.Values) (_ Claims, code string) {
	types := []string{typeAccessToken, typeJWT}
	tokens, wanted := form["subject_token"], form.Get("requested_token_type")
	switch {
	case len(tokens) != 1, len(form["subject_token_type"]) != 1, !slices.Contains(types, form.Get("subject_token_type")),
		wanted != "" && !slices.Contains(types, wanted),
		form.Has("actor_token"), form.Has("actor_token_type"): // the client is the actor
		return Claims{}, "invalid_request"
	}
	given := s.active(tokens[0])
	if given == nil {
		return Claims{}, "invalid_request"
	}
	var of subject
	text, err := strictjson.Marshal(given)
	if err == nil {
		err = strictjson.Unmarshal(text, &of)
	}
	granted, malformed := scope.Parse(of.Scope)
	switch {
	case err != nil, of.Scope != "" && malformed != nil, of.Subject == "",
		of.MayAct != nil && of.MayAct.Subject != c.ClientID && of.MayAct.ClientID != c.ClientID:
		return Claims{}, "invalid_request"
	case slices.ContainsFunc(c.Scopes.Names(), func(name string) bool { return !granted.Has(name) }):
		return Claims{}, "invalid_scope"
	}
	if c.Subject = of.Subject; c.Scopes.Len() == 0 {
		c.Scopes = granted
	}
	c.ExpiresAt = time.Now().Add(DefaultLifetime)
	if end := time.Unix(of.ExpiresAt, 0); of.ExpiresAt != 0 && end.Before(c.ExpiresAt) {
		c.ExpiresAt = end
	}
	act := map[string]any{"sub": c.ClientID}
	if earlier, ok := given["act"]; ok {
		act["act"] = earlier
	}
	more := map[string]any{"act": act}
	for _, name := range inherited {
		if value, ok := given[name]; ok {
			more[name] = value
		}
	}
	if c.Raw, err = strictjson.Marshal(more); err != nil {
		return Claims{}, "invalid_request"
	}
	return c, ""
}
