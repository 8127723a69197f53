package accept

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bearergate/bearergate"
)

// Step is one of the checks of a decision, for those who explain it.
type Step uint8

// The checks, in the order in which they are made. Not every decision makes all.
const (
	StepSize      Step = iota // not longer than is looked at
	StepForm                  // the form of a token
	StepAlgorithm             // alg is allowed
	StepType                  // typ is that of an access token
	StepOrigin                // iss, before anybody vouches for it: no key of ours has signed for another issuer
	StepKey                   // the key that is named is known
	StepSignature             // and has signed
	StepAnswer                // the server has answered
	StepActive                // and says that the token is active
	StepClaims                // one strict JSON object, whose claims are of their types
	StepIssuer                // iss
	StepKind                  // no marks of another kind of token
	StepRequired              // what must be there
	StepAudience              // aud
	StepLifetime              // from iat to exp
	StepBinding               // cnf: somebody confirms it
	StepTokenType             // token_type of an answer
	StepPreset                // what a ready-made configuration demands
	StepMap                   // the user's own reading of the claims
	StepTimes                 // exp, nbf, iat
	StepCheck                 // the user's own check
)

var stepNames = [...]string{"size", "form", "algorithm", "type", "origin", "key", "signature", "answer", "active",
	"claims", "issuer", "kind", "required", "audience", "lifetime", "binding", "token_type", "preset", "map", "times", "check"}

// String is the name of the step in an [bearergate.Explanation].
func (s Step) String() string { return stepNames[s] }

// Steps lists the checks of order, of which at was the last one that was made, and err
// what came of it. sides says what each expects and what is found. vouched is the first
// check at which somebody vouches for what is found.
func Steps(order []Step, at, vouched Step, err error, sides func(Step) (expected, found string)) []bearergate.Step {
	steps := make([]bearergate.Step, 0, len(order))
	for _, s := range order {
		step := bearergate.Step{Name: s.String(), State: bearergate.StepPassed}
		step.Expected, step.Found = sides(s)
		switch {
		case err == nil || s < at:
		case s > at:
			step.State = bearergate.StepNotReached
		default:
			e := bearergate.AsError(err)
			step.State, step.Detail = bearergate.StepFailed, e.Detail
			if e.Expected != "" || e.Found != "" {
				step.Expected, step.Found = e.Expected, e.Found
			}
		}
		ours := s <= StepForm || s == StepActive // we measure, or the server says it
		step.Unsigned = step.Found != "" && err != nil && at < vouched && !ours
		steps = append(steps, step)
	}
	return steps
}

// Sides says what the claims must say for a check, and what they say, as an error may
// hold it.
func (r *Rules) Sides(s Step, of *Reading) (expected, found string) {
	c := &of.Claims
	switch s {
	case StepIssuer, StepOrigin:
		if of.HasIssuer {
			found = Quoted(c.Issuer)
		}
		return Quoted(append([]string{r.Issuer}, r.Aliases...)...), found
	case StepKind:
		expected = "an access token"
		if r.IDTokens {
			expected = "an ID token"
		}
		return expected, r.otherKind(of)
	case StepRequired:
		return Quoted(r.Required...), ""
	case StepAudience:
		if r.AnyAudience {
			return "any", Quoted(c.Audience...)
		}
		return Quoted(r.Audiences...), Quoted(c.Audience...)
	case StepLifetime:
		if r.MaxLife > 0 {
			expected = "at most " + r.MaxLife.String()
		}
		return expected, c.ExpiresAt.Sub(c.IssuedAt).String()
	case StepBinding:
		if len(r.Confirmations) == 0 {
			expected = "no cnf"
		} else {
			expected = Quoted(r.Confirmations...)
		}
		return expected, Quoted(slices.Sorted(maps.Keys(c.Confirmation))...)
	case StepTimes:
		return "", times(c)
	}
	return "", ""
}

func times(c *bearergate.Claims) string {
	var all []string
	for _, t := range []struct {
		name string
		at   time.Time
	}{{"exp", c.ExpiresAt}, {"nbf", c.NotBefore}, {"iat", c.IssuedAt}} {
		if !t.at.IsZero() {
			all = append(all, t.name+" "+moment(t.at))
		}
	}
	return strings.Join(all, ", ")
}

// Bytes is a size, as a step shows it.
func Bytes(n int) string { return strconv.Itoa(n) + " bytes" }

// shapes are the types of the claims that decide something.
var shapes = map[string]string{
	"iss": "a string", "sub": "a string", "client_id": "a string", "jti": "a string", "acr": "a string", "nonce": "a string",
	"typ": "a string", "token_use": "a string", "aud": "a string, or an array of strings",
	"exp": "seconds since 1970, as a number", "nbf": "seconds since 1970, as a number", "iat": "seconds since 1970, as a number",
	"auth_time": "seconds since 1970, as a number", "scope": "a string with spaces in it, or an array of strings where that is allowed",
	"cnf": "an object with at least one member, none of them empty", "act": "an object, at most 16 of them within each other",
}
