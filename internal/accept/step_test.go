package accept_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/accept"
)

// What is told of each check, whatever came of the decision.
func TestSteps(t *testing.T) {
	order := []accept.Step{accept.StepSize, accept.StepForm, accept.StepKey, accept.StepActive, accept.StepIssuer, accept.StepTimes}
	sides := func(s accept.Step) (expected, found string) {
		if s == accept.StepIssuer {
			return "e", "" // nothing was found
		}
		return "e", "f"
	}
	const passed, failed, never = bearergate.StepPassed, bearergate.StepFailed, bearergate.StepNotReached
	step := func(name string, state bearergate.StepState) bearergate.Step {
		s := bearergate.Step{Name: name, State: state, Expected: "e", Found: "f"}
		if name == "issuer" {
			s.Found = ""
		}
		return s
	}
	unsigned := func(s bearergate.Step) bearergate.Step {
		s.Unsigned = true
		return s
	}
	because := func(s bearergate.Step, detail, expected, found string) bearergate.Step {
		s.Detail, s.Expected, s.Found = detail, expected, found
		return s
	}
	for _, tt := range []struct {
		name    string
		at      accept.Step
		vouched accept.Step
		err     error
		want    []bearergate.Step
	}{
		{name: "accepted", at: accept.StepIssuer, vouched: accept.StepClaims, want: []bearergate.Step{
			step("size", passed), step("form", passed), step("key", passed), step("active", passed), step("issuer", passed), step("times", passed)}},
		{name: "accepted, and never vouched for", at: accept.StepIssuer, vouched: accept.StepCheck, want: []bearergate.Step{
			step("size", passed), step("form", passed), step("key", passed), step("active", passed), step("issuer", passed), step("times", passed)}},
		{name: "refused before anybody vouches", at: accept.StepKey, vouched: accept.StepClaims, err: accept.Mismatch(bearergate.ReasonUnknownKey, "d", "e2", "f2"), want: []bearergate.Step{
			step("size", passed), step("form", passed), unsigned(because(step("key", failed), "d", "e2", "f2")), step("active", never), step("issuer", never), unsigned(step("times", never))}},
		{name: "one side is enough: what was found", at: accept.StepKey, vouched: accept.StepClaims, err: accept.Mismatch(bearergate.ReasonUnknownKey, "d", "", "f2"), want: []bearergate.Step{
			step("size", passed), step("form", passed), unsigned(because(step("key", failed), "d", "", "f2")), step("active", never), step("issuer", never), unsigned(step("times", never))}},
		{name: "one side is enough: what was expected", at: accept.StepKey, vouched: accept.StepClaims, err: accept.Mismatch(bearergate.ReasonUnknownKey, "d", "e2", ""), want: []bearergate.Step{
			step("size", passed), step("form", passed), because(step("key", failed), "d", "e2", ""), step("active", never), step("issuer", never), unsigned(step("times", never))}},
		{name: "refused where somebody vouches", at: accept.StepClaims, vouched: accept.StepClaims, err: accept.Invalid(bearergate.ReasonMalformed, "d"), want: []bearergate.Step{
			step("size", passed), step("form", passed), step("key", passed), step("active", passed), step("issuer", never), step("times", never)}},
		{name: "refused at the last one", at: accept.StepTimes, vouched: accept.StepClaims, err: accept.Invalid(bearergate.ReasonExpired, "d"), want: []bearergate.Step{
			step("size", passed), step("form", passed), step("key", passed), step("active", passed), step("issuer", passed), because(step("times", failed), "d", "e", "f")}},
		{name: "an error of somebody's", at: accept.StepSize, vouched: accept.StepClaims, err: errors.New("x"), want: []bearergate.Step{
			step("size", failed), step("form", never), unsigned(step("key", never)), step("active", never), step("issuer", never), unsigned(step("times", never))}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.want, accept.Steps(order, tt.at, tt.vouched, tt.err, sides))
		})
	}
}

// Both sides of each check of the claims.
func TestSides(t *testing.T) {
	at := func(s int64) time.Time { return time.Unix(s, 0) }
	confirmed := bearergate.Claims{Confirmation: map[string][]byte{"x5t#S256": []byte(`"x"`), "jkt": []byte(`"x"`)}}
	for _, tt := range []struct {
		name            string
		step            accept.Step
		rules           accept.Rules
		of              accept.Reading
		expected, found string
	}{
		{name: "the issuer", step: accept.StepIssuer, rules: accept.Rules{Issuer: "a", Aliases: []string{"b"}}, of: accept.Reading{HasIssuer: true, Claims: bearergate.Claims{Issuer: "c"}}, expected: `"a" "b"`, found: `"c"`},
		{name: "the origin", step: accept.StepOrigin, rules: accept.Rules{Issuer: "a"}, of: accept.Reading{HasIssuer: true, Claims: bearergate.Claims{Issuer: "c"}}, expected: `"a"`, found: `"c"`},
		{name: "no issuer", step: accept.StepIssuer, rules: accept.Rules{Issuer: "a"}, expected: `"a"`},
		{name: "an access token", step: accept.StepKind, expected: "an access token"},
		{name: "an ID token", step: accept.StepKind, rules: accept.Rules{IDTokens: true}, expected: "an ID token"},
		{name: "required", step: accept.StepRequired, rules: accept.Rules{Required: []string{"a", "b"}}, expected: `"a" "b"`},
		{name: "an audience", step: accept.StepAudience, rules: accept.Rules{Audiences: []string{"a"}}, of: accept.Reading{Claims: bearergate.Claims{Audience: []string{"b", "c"}}}, expected: `"a"`, found: `"b" "c"`},
		{name: "any audience", step: accept.StepAudience, rules: accept.Rules{AnyAudience: true}, of: accept.Reading{Claims: bearergate.Claims{Audience: []string{"b"}}}, expected: "any", found: `"b"`},
		{name: "a life", step: accept.StepLifetime, rules: accept.Rules{MaxLife: 1}, of: accept.Reading{Claims: bearergate.Claims{IssuedAt: at(1), ExpiresAt: at(61)}}, expected: "at most 1ns", found: "1m0s"},
		{name: "any life", step: accept.StepLifetime, of: accept.Reading{Claims: bearergate.Claims{IssuedAt: at(1), ExpiresAt: at(61)}}, found: "1m0s"},
		{name: "a binding", step: accept.StepBinding, rules: accept.Rules{Confirmations: []string{"jkt"}}, of: accept.Reading{Claims: confirmed}, expected: `"jkt"`, found: `"jkt" "x5t#S256"`},
		{name: "no binding", step: accept.StepBinding, of: accept.Reading{Claims: confirmed}, expected: "no cnf", found: `"jkt" "x5t#S256"`},
		{name: "times", step: accept.StepTimes, of: accept.Reading{Claims: bearergate.Claims{ExpiresAt: at(60), IssuedAt: at(0)}}, found: "exp 1970-01-01T00:01:00Z, iat 1970-01-01T00:00:00Z"},
		{name: "no times", step: accept.StepTimes},
		{name: "a check of another kind", step: accept.StepMap},
	} {
		t.Run(tt.name, func(t *testing.T) {
			expected, found := tt.rules.Sides(tt.step, &tt.of)
			require.Equal(t, tt.expected, expected)
			require.Equal(t, tt.found, found)
		})
	}
}
