package jwtverify

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/accept"
	"github.com/bearergate/bearergate/internal/jose"
)

// Explain says, check by check, why Verify accepts a token or refuses it, and what to
// do. It is for operators who have the token at hand: what it tells must never go to a
// client. It makes the decision of Verify anew, from the first byte: nothing that was
// remembered of the token counts, and nothing is remembered. Keys are fetched as for
// Verify and under the same bounds, and Check is asked. [Hooks.Verified] is not called.
func (v *Verifier) Explain(ctx context.Context, token string) bearergate.Explanation {
	if v == nil || v.keys == nil {
		return bearergate.Explanation{}.Then(bearergate.Step{Name: "verifier"}, errZero)
	}
	if ctx == nil {
		ctx = context.Background()
	}
	var r accept.Reading
	t, err := v.verdictAnew(ctx, token, &r)
	c := v.caseOf(token, r.At, err)
	if err != nil {
		t = nil
	}
	c.Token, c.Missing = t, r.Claims.Missing
	steps := accept.Steps(v.steps(), r.At, accept.StepClaims, err, func(s accept.Step) (string, string) { return v.sides(s, &c) })
	if r.At == accept.StepSignature {
		v.keyNotAsked(token, steps)
	}
	return bearergate.Explanation{Err: err, Token: t, By: v, Advice: c.Advice(), Steps: steps}
}

// keyNotAsked corrects the step of the key where the form of the signature alone has
// refused the token: no key was looked for.
func (v *Verifier) keyNotAsked(raw string, steps []bearergate.Step) {
	jws, err := jose.Parse(raw, v.maxTokenBytes)
	if err != nil || accept.CheckSignature(jws) == nil {
		return
	}
	for i := range steps {
		if steps[i].Name == accept.StepKey.String() {
			steps[i].State, steps[i].Detail = bearergate.StepNotReached, "no key is looked for where none can have made the signature"
		}
	}
}

// verdictAnew is the decision of Verify without what it remembers.
func (v *Verifier) verdictAnew(ctx context.Context, raw string, r *accept.Reading) (t *bearergate.Token, err error) {
	err = v.guard(ctx, "Explain", func() (err error) {
		switch {
		case raw == "":
			return &bearergate.Error{Kind: bearergate.ErrMissingToken, Reason: bearergate.ReasonNoToken}
		case ctx.Err() != nil:
			return accept.Unavailable(ctx, ctx.Err())
		case len(raw) > v.maxTokenBytes:
			return v.tooLarge(raw)
		}
		t, err = v.examine(ctx, raw, r, nil, nil)
		return err
	})
	if err == nil && v.check != nil {
		r.At = accept.StepCheck
		err = v.runCheck(ctx, t)
	}
	if err != nil {
		return nil, bearergate.AsError(err)
	}
	return t, nil
}

// caseOf is the verdict on a token, with what can be seen in that. What is too long is
// not looked into.
func (v *Verifier) caseOf(raw string, at accept.Step, err error) accept.Case {
	c := accept.Case{Sight: &accept.Sight{}, At: at, Rules: &v.rules, Reader: v.reader, Algorithms: v.algorithms, RFC9068: v.profile == RFC9068, Now: time.Now()}
	if v.now != nil {
		_ = v.guard(context.Background(), "Explain", func() error { c.Now = v.now(); return nil })
	}
	if err != nil {
		c.Err = bearergate.AsError(err)
	}
	if len(raw) <= v.maxTokenBytes {
		c.Sight = accept.Look(raw, v.reader)
	}
	return c
}

// steps are the checks that this Verifier makes.
func (v *Verifier) steps() []accept.Step {
	steps := []accept.Step{accept.StepSize, accept.StepForm, accept.StepAlgorithm, accept.StepType, accept.StepOrigin, accept.StepKey, accept.StepSignature,
		accept.StepClaims, accept.StepIssuer, accept.StepKind, accept.StepRequired, accept.StepAudience}
	if v.rules.MaxLife > 0 {
		steps = append(steps, accept.StepLifetime)
	}
	steps = append(steps, accept.StepBinding)
	if !v.preset.IsZero() {
		steps = append(steps, accept.StepPreset)
	}
	if v.mapping != nil {
		steps = append(steps, accept.StepMap)
	}
	steps = append(steps, accept.StepTimes)
	if v.check != nil {
		steps = append(steps, accept.StepCheck)
	}
	return steps
}

// sides says what a check expects, and what the token has.
func (v *Verifier) sides(s accept.Step, c *accept.Case) (expected, found string) {
	switch s {
	case accept.StepSize:
		return v.sizes(c.Raw())
	case accept.StepForm:
		return "three parts", strconv.Itoa(strings.Count(c.Raw(), ".")+1) + " parts"
	}
	if s < accept.StepClaims && s != accept.StepOrigin {
		jws, err := jose.Parse(c.Raw(), v.maxTokenBytes)
		if err != nil {
			return "", ""
		}
		switch s {
		case accept.StepAlgorithm:
			return v.expected, accept.Quoted(jws.Header.Algorithm)
		case accept.StepType:
			return v.types(jws.Header)
		}
		return "", accept.Named(jws.Header.KeyID, jws.Header.Algorithm)
	}
	if r := c.Reading(); r != nil {
		return v.rules.Sides(s, r)
	}
	return "", ""
}

// sizes are the two sides of the check of the length.
func (v *Verifier) sizes(raw string) (expected, found string) {
	return "at most " + accept.Bytes(v.maxTokenBytes), accept.Bytes(len(raw))
}

// types are the two sides of the check of typ.
func (v *Verifier) types(h jose.Header) (expected, found string) {
	expected, found = `"at+jwt"`, "none"
	if v.rules.IDTokens {
		expected = `"JWT" or none`
	} else if v.profile == AccessToken {
		if len(v.allowedTypes) > 0 {
			expected += " " + accept.Quoted(v.allowedTypes...)
		}
		expected += `, "JWT" or none`
	}
	if h.HasType {
		found = accept.Quoted(h.Type)
	}
	return expected, found
}
