package introspect

import (
	"context"
	"errors"
	"slices"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/accept"
)

// Explain says, check by check, why Verify accepts a token or refuses it, and what to
// do. It is for operators who have the token at hand: what it tells must never go to a
// client. It asks the authorization server once, whatever is remembered, and remembers
// nothing itself; the call is bounded as every other one, by Calls, Timeout and the
// breaker, and is told to [Hooks.Called]. Accept and Check are asked. [Hooks.Looked] is
// not called. It makes no second attempt. Keep it from strangers: each explanation is a
// call to the server. When ctx ends first, the explanation says so.
func (c *Client) Explain(ctx context.Context, token string) bearergate.Explanation {
	if c == nil || c.slots == nil {
		return bearergate.Explanation{}.Then(bearergate.Step{Name: "verifier"}, func() error { return misconfigured(errZero) })
	}
	if ctx == nil {
		ctx = context.Background()
	}
	x := examination{raw: token}
	t, err := c.verdictAnew(ctx, &x)
	of := accept.Case{Sight: c.look(&x), At: x.At, Rules: &c.rules, Reader: c.reader, Opaque: true}
	_ = c.guard(ctx, "Explain", func() error { of.Now = c.now(); return nil })
	if err != nil {
		t, of.Err = nil, bearergate.AsError(err)
	}
	of.Token, of.Missing = t, x.misses
	return bearergate.Explanation{Err: err, Token: t, By: c, Advice: c.advice(&of, &x),
		Steps: accept.Steps(c.steps(), x.At, accept.StepClaims, err, func(s accept.Step) (string, string) { return c.sides(s, &x, of.Reading()) })}
}

// examination is one decision that is explained.
type examination struct {
	accept.Reading
	raw    string
	body   []byte // the answer; nil: none
	quoted bool   // which holds the token
	misses []string
}

// verdictAnew is the decision of Verify without what it remembers.
func (c *Client) verdictAnew(ctx context.Context, x *examination) (t *bearergate.Token, err error) {
	err = c.guard(ctx, "Explain", func() (err error) {
		x.At = accept.StepSize
		if err = c.admit(ctx, x.raw); err != nil {
			return err
		}
		x.At = accept.StepForm
		if err = c.plausible(x.raw); err != nil {
			return err
		}
		x.At = accept.StepAnswer
		e, err := c.askAnew(ctx, x)
		switch {
		case err != nil:
			return err
		case e.refusal != nil:
			return e.refusal
		}
		x.At = accept.StepTimes
		t, err = c.timely(e.token)
		return err
	})
	if err == nil && c.check != nil {
		x.At = accept.StepCheck
		err = c.runCheck(ctx, t)
	}
	if err != nil {
		own := *bearergate.AsError(err)
		if x.quoted {
			own.Found = "" // it may be the token
		}
		return nil, &own
	}
	return t, nil
}

// askAnew asks the server, and reads the answer as it was judged.
func (c *Client) askAnew(ctx context.Context, x *examination) (*entry, error) {
	r, f, err := c.askOnce(ctx, x.raw)
	if err != nil {
		return nil, err
	}
	if f != nil && f.outcome != OutcomeMap {
		return nil, f.err()
	}
	x.body, x.quoted, x.misses = r.body, quotes(r.body, x.raw), r.misses
	v, err := c.read(r.body, &x.Reading)
	switch {
	case err != nil: // it was read before
		return nil, misconfigured(err)
	case f != nil:
		x.At = accept.StepMap
		return nil, f.err()
	case v.refusal == nil && r.entry.refusal != nil:
		x.At = accept.StepMap
	}
	return r.entry, nil
}

// look looks into the answer, or into the token where there is none that tells more.
func (c *Client) look(x *examination) *accept.Sight {
	switch {
	case len(x.raw) > c.maxTokenBytes:
		return &accept.Sight{}
	case x.body == nil, x.At == accept.StepActive:
		return accept.Look(x.raw, c.reader)
	}
	return accept.LookInto(x.raw, x.body, c.reader)
}

// advice is what to do, in words for what only answers have where those fit better.
func (c *Client) advice(of *accept.Case, x *examination) []string {
	_, kind, _ := c.tokenTypeOf(x.Extra[memberTokenType])
	switch {
	case x.At == accept.StepMap && !errors.Is(of.Err, bearergate.ErrUnavailable) && !errors.Is(of.Err, bearergate.ErrMisconfigured):
		advice := []string{"Config.Map refused the token, and the library says nothing more: look at that function, and at the members of the answer that it reads."}
		if missing := of.OnMissing(); missing != "" {
			advice = append(advice, missing)
		}
		return advice
	case !errors.Is(of.Err, bearergate.ErrInvalidToken): // of.Err may be nil
	case x.At == accept.StepAnswer:
		return []string{"Config.Ask refused the token and gave no answer: look at that function. For a token that it does not know it is to return {\"active\":false}, which is remembered."}
	case x.At == accept.StepKind && kind == typeOther:
		return []string{adviceTokenType}
	case x.At == accept.StepTokenType && kind == typeProof:
		return []string{"The token is sent with a proof that is not checked here, as its token_type says: have the server issue Bearer or DPoP tokens for this API."}
	case x.At == accept.StepTokenType:
		return []string{"token_type and cnf of the answer do not agree, so whether the sender owes a DPoP proof is not known: have the server write DPoP beside a jkt (RFC 9449 section 6.2), and no jkt beside Bearer. Look for a proxy or a mapper that drops cnf."}
	}
	return of.Advice()
}

const adviceTokenType = "The server says by token_type that this is no access token: have the client send the access token, access_token of the token response. A refresh token that was sent to an API should be revoked. If it was the access token, have the server write Bearer or nothing there, or name what it writes in AllowTokenTypes."

// steps are the checks that this Client makes.
func (c *Client) steps() []accept.Step {
	steps := []accept.Step{accept.StepSize, accept.StepForm, accept.StepAnswer, accept.StepActive, accept.StepClaims, accept.StepIssuer,
		accept.StepKind, accept.StepAudience, accept.StepBinding, accept.StepTokenType, accept.StepTimes}
	if c.rules.MaxLife > 0 {
		steps = append(steps, accept.StepRequired, accept.StepLifetime)
	}
	if c.mapping != nil {
		steps = append(steps, accept.StepMap)
	}
	slices.Sort(steps) // which is the order in which they are made
	if c.check != nil {
		steps = append(steps, accept.StepCheck)
	}
	return steps
}

// sides says what a check expects, and what the answer, or the token, has.
func (c *Client) sides(s accept.Step, x *examination, r *accept.Reading) (expected, found string) {
	switch {
	case s == accept.StepSize:
		return c.sizes(x.raw)
	case s == accept.StepActive:
		if expected = "active: true"; x.body != nil {
			found = "active: " + string(x.Extra[memberActive])
		}
		return expected, found
	case s == accept.StepTokenType:
		expected = c.accessTypes()
		if name, _, _ := c.tokenTypeOf(x.Extra[memberTokenType]); name != "" {
			found = accept.Quoted(name)
		}
	case r != nil:
		expected, found = c.rules.Sides(s, r)
	}
	if x.quoted { // what is found may be the token
		found = ""
	}
	return expected, found
}

// sizes are the two sides of the check of the length.
func (c *Client) sizes(raw string) (expected, found string) {
	return "at most " + accept.Bytes(c.maxTokenBytes), accept.Bytes(len(raw))
}

// askOnce makes one call that is shared with nobody, and remembers nothing.
func (c *Client) askOnce(ctx context.Context, raw string) (reply, *failure, error) {
	type answered struct {
		r reply
		f *failure
	}
	done := make(chan answered, 1)
	hookCtx := context.WithoutCancel(ctx)
	go func() { //nolint:gosec // a context of its own, on purpose
		// As every call, it does not depend on whoever asks: one who goes away must not
		// look to the breaker like a server that does not answer. It ends after Timeout.
		ctx, cancel := context.WithTimeout(context.Background(), c.timeout)
		defer cancel()
		var events news
		r, f := c.attempt(ctx, hookCtx, &events, nil, newCallID(), raw, 1)
		c.tell(hookCtx, events...)
		done <- answered{r, f}
	}()
	select {
	case a := <-done:
		return a.r, a.f, nil
	case <-ctx.Done():
		return reply{}, nil, ended(ctx)
	}
}
