package bearergate

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bearergate/bearergate/scope"
)

// maxAhead is how far auth_time may lie ahead of this server's clock. Clocks
// differ, and a user who has just authenticated must not be sent back for that;
// but an auth_time in the far future would satisfy every MaxAge for ever.
const maxAhead = time.Minute

// StepUp demands how and when the user authenticated (RFC 9470), whatever
// carries the request. A token that was issued without a user has neither claim
// and never passes. The zero StepUp demands nothing.
type StepUp struct {
	// ACR are the authentication contexts that suffice, in order of preference:
	// the token's acr must be one of them, compared byte for byte. nil: any.
	ACR []string
	// MaxAge is how long ago the user may have authenticated: the token's auth_time
	// must be present and at most that old, without leeway; one more than a minute
	// ahead of this server's clock counts as absent. 0: any age.
	MaxAge time.Duration
}

// Err names the mistakes: nothing demanded; an ACR value that is empty or not
// printable ASCII without space, double quote and backslash; a MaxAge that is
// negative or shorter than a second.
func (s StepUp) Err() error {
	var errs []error
	if len(s.ACR) == 0 && s.MaxAge == 0 {
		errs = append(errs, errors.New("StepUp demands nothing: give acr values, a maxAge or both"))
	}
	for i, value := range s.ACR {
		if scope.All(value).Err() != nil { // the characters of a scope (RFC 6750 §3)
			errs = append(errs, fmt.Errorf("StepUp: acr value %d: use printable ASCII without space, double quote and backslash", i+1))
		}
	}
	if s.MaxAge != 0 && s.MaxAge < time.Second {
		errs = append(errs, fmt.Errorf("StepUp: maxAge is %v: use at least a second, or 0 for any age", s.MaxAge))
	}
	return errors.Join(errs...)
}

// Authorize returns nil if the authentication behind t suffices, else an [Error]
// of [ErrInsufficientAuthentication] with what is demanded, all of it, since the
// next authentication has to satisfy all of it. Its Scopes are those of need if
// the token lacks them too, so that one answer tells both (RFC 9470 §3).
func (s StepUp) Authorize(t *Token, need scope.Requirement) error {
	var detail, expected, found string
	at, ok := t.AuthTime()
	switch age := time.Since(at); {
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
	if !need.SatisfiedBy(t.Scopes()) {
		e.Scopes = need.Scopes()
	}
	return e
}
