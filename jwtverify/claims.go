package jwtverify

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/claim"
	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/internal/strictjson"
	"github.com/bearergate/bearergate/scope"
)

const (
	maxScopeClaims    = 8  // names in Config.ScopeClaims
	maxRequiredClaims = 64 // required names in all, the profile's own included
)

// invalid is an error of the token itself. Its text names the rule, never what
// the token says.
func invalid(reason bearergate.Reason, text string) error {
	return &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: reason, Cause: errors.New("jwtverify: " + text)}
}

// headerType judges typ (RFC 8725 §3.11, RFC 9068 §4). explicit says that it
// names an access token and nothing else.
func (v *Verifier) headerType(h jose.Header) (explicit bool, err error) {
	switch {
	case strings.EqualFold(h.Type, "at+jwt"), strings.EqualFold(h.Type, "application/at+jwt"):
		return true, nil
	case v.profile == AccessToken && (!h.HasType || strings.EqualFold(h.Type, "JWT")):
		return false, nil
	}
	return false, invalid(bearergate.ReasonType, "typ is not that of an access token")
}

// reading is what one pass over the claims object finds.
type reading struct {
	claims bearergate.Claims
	found  uint64 // bit i: the required claim i is present and not empty
	scopes [maxScopeClaims][]byte
	kind   claim.Kind
}

// read decodes the claims, once, from the bytes that were signed. A claim that
// decides something and is not of its type makes the token malformed; the
// others are left alone (RFC 7519 §4).
func (v *Verifier) read(payload []byte) (reading, error) {
	r := reading{claims: bearergate.Claims{Raw: payload}}
	c := &r.claims
	err := strictjson.Object(payload, func(name, value []byte) (err error) {
		if i := slices.Index(v.required, string(name)); i >= 0 && !strictjson.IsEmpty(value) {
			r.found |= 1 << i
		}
		if i := slices.Index(v.scopeClaims, string(name)); i >= 0 {
			r.scopes[i] = value
		}
		switch string(name) {
		case "iss":
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
			c.Actors, err = actors(value)
		default:
			err = r.kind.Read(string(name), value)
		}
		if err != nil {
			// Only names of the list above come here: none of them is the token's own text.
			return invalid(bearergate.ReasonMalformed, "the claim "+string(name)+" is not of its type")
		}
		return nil
	})
	if err != nil {
		if bearergate.ReasonOf(err) == "" {
			err = invalid(bearergate.ReasonMalformed, "the claims are not one strict JSON object")
		}
		return reading{}, err
	}
	for _, value := range r.scopes {
		if value == nil {
			continue
		}
		if c.Scopes, err = granted(value); err != nil {
			return reading{}, invalid(bearergate.ReasonMalformed, "the scope claim is neither a string nor an array of strings")
		}
		break // the first claim present wins
	}
	return r, nil
}

// judge applies every check that does not depend on the time of day.
func (v *Verifier) judge(r *reading, explicitType bool) error {
	c := &r.claims
	switch {
	case c.Issuer != "" && c.Issuer != v.issuer:
		return invalid(bearergate.ReasonIssuer, "iss is not the configured issuer")
	case !explicitType && v.profile == AccessToken && r.kind.Other("access"):
		return invalid(bearergate.ReasonType, "the claims are those of another kind of token")
	}
	for i, name := range v.required {
		if r.found&(1<<i) == 0 {
			return invalid(bearergate.ReasonMissingClaim, "the required claim "+name+" is absent or empty")
		}
	}
	switch {
	case c.Issuer != v.issuer:
		return invalid(bearergate.ReasonIssuer, "iss is not the configured issuer")
	case !slices.ContainsFunc(v.audiences, func(a string) bool { return slices.Contains(c.Audience, a) }):
		return invalid(bearergate.ReasonAudience, "aud names none of the configured audiences")
	case v.maxTokenAge > 0 && c.ExpiresAt.Sub(c.IssuedAt) > v.maxTokenAge:
		return invalid(bearergate.ReasonPolicy, "the token lives longer than MaxTokenAge")
	}
	for member := range c.Confirmation {
		if !slices.Contains(v.confirmations, member) {
			return invalid(bearergate.ReasonBinding, "the token is bound by a cnf member that is not named in Confirmations")
		}
	}
	return nil
}

// checkTimes compares exp, nbf and iat with now; zero means absent.
func (v *Verifier) checkTimes(now, exp, nbf, iat time.Time) error {
	switch {
	case !now.Before(exp.Add(v.leeway)):
		return invalid(bearergate.ReasonExpired, "exp has passed")
	case now.Add(v.leeway).Before(nbf):
		return invalid(bearergate.ReasonNotYetValid, "nbf has not come yet")
	case now.Add(v.leeway).Before(iat):
		return invalid(bearergate.ReasonNotYetValid, "iat is in the future")
	}
	return nil
}

// granted reads a scope claim; what in it is no scope token grants nothing.
func granted(value []byte) (scope.Set, error) {
	names, err := claim.Scopes(value)
	if err != nil {
		return scope.Set{}, err
	}
	return scope.Of(names...), nil
}

// actors reads the act chain.
func actors(value []byte) (chain []bearergate.Actor, err error) {
	read, err := claim.Actors(value)
	for _, a := range read {
		chain = append(chain, bearergate.Actor(a))
	}
	return chain, err
}
