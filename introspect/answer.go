package introspect

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/claim"
	"github.com/bearergate/bearergate/internal/strictjson"
	"github.com/bearergate/bearergate/scope"
)

// verdict is what an answer means to this Client, whatever the time of day.
type verdict struct {
	claims  bearergate.Claims // of an active token that is not refused
	active  bool              // what the authorization server said
	refusal error             // nil, or why the token is refused: inactive, or active but not for us
}

// invalid is an error of the token itself. Its text names the rule, never what
// the answer says.
func invalid(reason bearergate.Reason, text string) error {
	return &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: reason, Cause: errors.New("introspect: " + text)}
}

// read decodes an answer (RFC 7662 §2.2), once. An error means that it is not an
// answer: the token is then neither active nor inactive.
func (c *Client) read(body []byte) (verdict, error) {
	var active []byte
	members := make([]member, 0, 16)
	err := strictjson.Object(body, func(name, value []byte) error {
		if string(name) == "active" {
			active = value
		} else if slices.Contains(known, string(name)) {
			members = append(members, member{string(name), value})
		}
		return nil
	})
	switch {
	case err != nil:
		return verdict{}, errors.New("the body is not one strict JSON object")
	case string(active) == "false": // nothing else is expected then, or looked at
		return verdict{refusal: invalid(bearergate.ReasonInactive, "the authorization server answered active: false")}, nil
	case string(active) != "true":
		return verdict{}, errors.New("active is not a boolean")
	}
	a := activeAnswer{claims: bearergate.Claims{Raw: body}}
	for _, m := range members {
		if err := a.take(m, c.scopeArrays); err != nil {
			// m.name is one of known, and nothing that the server wrote.
			return verdict{}, errors.New("the member " + m.name + " is not of its type")
		}
	}
	v := verdict{claims: a.claims, active: true, refusal: c.judge(&a)}
	if !a.hasIssuer {
		// The answer came from there. Without it, users of two issuers who have
		// one sub could not be told apart.
		v.claims.Issuer = c.issuer
	}
	return v, nil
}

type member struct {
	name  string
	value []byte
}

// known are the members that decide something; all others are left alone.
var known = []string{"iss", "sub", "client_id", "jti", "aud", "exp", "nbf", "iat", "auth_time", "acr", "cnf", "act", "scope",
	"token_type", "token_use", "typ", "nonce", "at_hash", "c_hash", "s_hash", "events", "token_introspection"}

// activeAnswer is what one pass over the members of an active answer finds.
type activeAnswer struct {
	claims           bearergate.Claims
	kind             claim.Kind
	hasIssuer        bool
	hasAud, emptyAud bool
	hasType          bool
	tokenType        string
}

// take reads one member. A member of the wrong type makes the answer invalid,
// except sub: null, which real servers send where there is no user.
func (a *activeAnswer) take(m member, scopeArrays bool) (err error) {
	c, value := &a.claims, m.value
	switch m.name {
	case "iss":
		a.hasIssuer = true
		c.Issuer, err = strictjson.String(value)
	case "sub":
		if !strictjson.IsNull(value) {
			c.Subject, err = strictjson.String(value)
		}
	case "client_id":
		c.ClientID, err = strictjson.String(value)
	case "jti":
		c.ID, err = strictjson.String(value)
	case "aud":
		a.hasAud, a.emptyAud = true, strictjson.IsEmpty(value)
		c.Audience, err = claim.StringOrStrings(value)
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
	case "cnf":
		c.Confirmation, err = claim.Confirmation(value)
	case "act":
		var chain []claim.Actor
		chain, err = claim.Actors(value)
		for _, actor := range chain {
			c.Actors = append(c.Actors, bearergate.Actor(actor))
		}
	case "scope":
		var names []string
		if names, err = claim.Scopes(value); value[0] == '[' && !scopeArrays {
			err = errors.New("an array")
		}
		c.Scopes = scope.Of(names...)
	case "token_type":
		a.hasType = true
		a.tokenType, err = strictjson.String(value)
	default:
		err = a.kind.Read(m.name, value)
	}
	return err
}

// judge applies every check of an active token that does not depend on the time of day.
func (c *Client) judge(a *activeAnswer) error {
	switch {
	case a.hasIssuer && a.claims.Issuer != c.issuer:
		return invalid(bearergate.ReasonIssuer, "iss is not the configured issuer")
	case a.kind.Other("access", "access_token"):
		// The endpoint answers for refresh tokens too, and for whatever else the server issues.
		return invalid(bearergate.ReasonType, "the answer is about another kind of token")
	case a.hasType && !strings.EqualFold(a.tokenType, "Bearer"):
		return invalid(bearergate.ReasonBinding, "token_type is not Bearer: the token needs a proof that is not checked here")
	}
	if err := c.judgeAudience(a); err != nil {
		return err
	}
	for member := range a.claims.Confirmation {
		if !slices.Contains(c.confirmations, member) {
			return invalid(bearergate.ReasonBinding, "the token is bound by a cnf member that is not named in Confirmations")
		}
	}
	return nil
}

// judgeAudience: the server's word that a token is active is not that it was
// issued for us (RFC 7662 §4, RFC 9700 §2.3).
func (c *Client) judgeAudience(a *activeAnswer) error {
	switch {
	case c.anyAudience:
		return nil
	case !a.hasAud && c.missingAudience:
		return nil
	case !a.hasAud || a.emptyAud:
		return invalid(bearergate.ReasonMissingClaim, "the answer names no aud: see AllowMissingAudience")
	case !slices.ContainsFunc(c.audiences, func(ours string) bool { return slices.Contains(a.claims.Audience, ours) }):
		return invalid(bearergate.ReasonAudience, "aud names none of the configured audiences")
	}
	return nil
}

// checkTimes compares exp, nbf and iat with now; zero means absent. It is done
// again for every answer from the cache.
func (c *Client) checkTimes(now, exp, nbf, iat time.Time) error {
	switch {
	case !exp.IsZero() && !now.Before(exp.Add(c.leeway)):
		return invalid(bearergate.ReasonExpired, "exp has passed")
	case now.Add(c.leeway).Before(nbf):
		return invalid(bearergate.ReasonNotYetValid, "nbf has not come yet")
	case now.Add(c.leeway).Before(iat):
		return invalid(bearergate.ReasonNotYetValid, "iat is in the future")
	}
	return nil
}
