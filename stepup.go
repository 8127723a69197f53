package bearergate

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bearergate/bearergate/internal/strictjson"
	"github.com/bearergate/bearergate/scope"
)

// maxAhead is how far auth_time may lie ahead of this server's clock. Clocks
// differ, and a user who has just authenticated must not be sent back for that;
// but an auth_time in the far future would satisfy every MaxAge for ever.
const maxAhead = time.Minute

// StepUp demands how and when the user authenticated (RFC 9470), whatever
// carries the request. A token that was issued without a user has none of these claims
// and never passes. What is given is demanded, all of it. The zero StepUp demands nothing.
type StepUp struct {
	// ACR are the authentication contexts that suffice, in order of preference:
	// the token's acr must be one of them, compared byte for byte. nil: any.
	ACR []string
	// MaxAge is how long ago the user may have authenticated: the token's auth_time
	// must be present and at most that old, without leeway; one more than a minute
	// ahead of this server's clock counts as absent. 0: any age.
	MaxAge time.Duration
	// AuthContext is an authentication context of Microsoft Entra's Conditional Access,
	// "c1" to "c99": the token's acrs, an array of strings, must hold it, compared byte for
	// byte. An acrs of any other type holds none. It is one value, since that is what a
	// claims request of Entra can ask for. "": none is demanded.
	//
	// What a context stands for is decided by the tenant that issued the token, and one
	// without a policy is satisfied by everybody there: accept only tenants that you trust
	// with it.
	AuthContext string
}

// isZero reports whether nothing is demanded.
func (s StepUp) isZero() bool { return len(s.ACR) == 0 && s.MaxAge == 0 && s.AuthContext == "" }

// Err names the mistakes: nothing demanded; an ACR value or an AuthContext that is not
// printable ASCII without space, double quote and backslash, and an ACR value that is
// empty; a MaxAge that is negative or shorter than a second.
func (s StepUp) Err() error {
	var errs []error
	if s.isZero() {
		errs = append(errs, errors.New("StepUp demands nothing: give acr values, a maxAge or an authentication context"))
	}
	for i, value := range s.ACR {
		if !isWord(value) {
			errs = append(errs, fmt.Errorf("StepUp: acr value %d: use printable ASCII without space, double quote and backslash", i+1))
		}
	}
	if s.MaxAge != 0 && s.MaxAge < time.Second {
		errs = append(errs, fmt.Errorf("StepUp: maxAge is %v: use at least a second, or 0 for any age", s.MaxAge))
	}
	if s.AuthContext != "" && !isWord(s.AuthContext) {
		errs = append(errs, errors.New(`AuthContext: use printable ASCII without space, double quote and backslash, "c1" for example`))
	}
	return errors.Join(errs...)
}

// isWord reports whether s has the characters of a scope (RFC 6750 §3), which may stand
// in a challenge as they are, and is not empty.
func isWord(s string) bool { return scope.All(s).Err() == nil }

// Authorize returns nil if the authentication behind t suffices, else an [Error]
// of [ErrInsufficientAuthentication] with what is demanded, all of it, since the
// next authentication has to satisfy all of it. Its Scopes are those of need if
// the token lacks them too, so that one answer tells both (RFC 9470 §3).
//
// If acrs lacks the AuthContext, [Error.ClaimsChallenge] asks for it where the token
// says that its client understands that: xms_cc holds "cp1". For every other client it
// stands in ACRValues, in the place of ACR, which means one of several.
func (s StepUp) Authorize(t *Token, need scope.Requirement) error {
	access := s.conditionalAccess(t)
	var detail, expected, found string
	at, ok := t.AuthTime()
	switch age := time.Since(at); {
	case access.lacking:
		detail, expected = "acrs does not hold the authentication context", Quoted(s.AuthContext)
		if access.malformed {
			detail = "acrs is no array of strings"
		} else if len(access.contexts) > 0 {
			found = t.Quoted(access.contexts...)
		}
	case len(s.ACR) > 0 && (t.ACR() == "" || !slices.Contains(s.ACR, t.ACR())):
		detail, expected = "acr is none of those that suffice", Quoted(s.ACR...)
		if t.ACR() != "" {
			found = t.Quoted(t.ACR())
		}
	case s.MaxAge != 0 && !ok: // a negative one, which Err names, is satisfied by nothing
		detail, expected = "there is no auth_time", "at most "+s.MaxAge.String()+" ago"
	case s.MaxAge != 0 && (age > s.MaxAge || age < -maxAhead):
		detail, expected, found = "auth_time is too long ago, or ahead", "at most "+s.MaxAge.String()+" ago", at.UTC().Format(time.RFC3339)
	default:
		return nil
	}
	e := &Error{Kind: ErrInsufficientAuthentication, Reason: ReasonAuthentication, ACRValues: slices.Clone(s.ACR), MaxAge: s.MaxAge,
		Detail: detail, Expected: expected, Found: found}
	switch {
	case access.lacking && access.challengeable:
		e.ClaimsChallenge = claimsChallenge(s.AuthContext)
	case s.AuthContext != "" && (access.lacking || len(s.ACR) == 0):
		e.ACRValues = []string{s.AuthContext}
	}
	if !need.SatisfiedBy(t.Scopes()) {
		e.Scopes = need.Scopes()
	}
	return e
}

// conditionalAccess is what a token says of Microsoft Entra's Conditional Access.
type conditionalAccess struct {
	contexts      []string // acrs
	malformed     bool     // acrs is no array of strings
	lacking       bool     // it does not hold what is demanded
	challengeable bool     // xms_cc: the client understands a claims challenge
}

// conditionalAccess reads the two claims, in one pass over those of the token, if an
// authentication context is demanded. How long they are, the verifier has bounded.
func (s StepUp) conditionalAccess(t *Token) (c conditionalAccess) {
	if s.AuthContext == "" {
		return c
	}
	err := strictjson.Object(t.claims().Raw, func(name, value []byte) error {
		switch string(name) {
		case "acrs":
			contexts, err := strictjson.Strings(value)
			c.contexts, c.malformed = contexts, err != nil && !strictjson.IsNull(value)
		case "xms_cc": // its values are compared without case
			capabilities, _ := strictjson.Strings(value) // of another type, it announces nothing
			c.challengeable = slices.ContainsFunc(capabilities, func(name string) bool { return strings.EqualFold(name, "cp1") })
		}
		return nil
	})
	if err != nil { // claims that nobody can read say nothing
		c = conditionalAccess{}
	}
	c.lacking = !slices.Contains(c.contexts, s.AuthContext)
	return c
}

// claimsChallenge is the claims request (OpenID Connect Core §5.5) for a context, as
// Entra wants it in a challenge: without white space, in base64 with padding.
func claimsChallenge(name string) string {
	type member map[string]any
	request, err := strictjson.Marshal(member{"access_token": member{"acrs": member{"essential": true, "value": name}}})
	if err != nil { // only what Err names
		return ""
	}
	return base64.StdEncoding.EncodeToString(request)
}
