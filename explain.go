package bearergate

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/bearergate/bearergate/internal/guard"
	"github.com/bearergate/bearergate/internal/quote"
	"github.com/bearergate/bearergate/scope"
)

// Explanation says, check by check, why a token is accepted or refused. It is for
// operators who have the token at hand: what it tells would help to forge the next one,
// so it must never go into an answer to a client, and this module puts it into none.
//
// It holds no token, no signature, no secret and no subject. What a token or a server
// says is quoted and cut as in [Error], and marked where nobody vouches for it.
type Explanation struct {
	// Err is what Verify would say of the token now; nil: it is accepted, as far as
	// Steps say that everything was asked.
	Err error
	// Token is what Verify would return, nil with an Err. It is not proven: see
	// [Token.Proven]. It is for whoever explains what comes after the token, and is not
	// part of any text.
	Token *Token
	// By is the verifier that explains. [Explain] compares it with the one that it was
	// asked about: a type that embeds a verifier has its method Explain too, and may refuse
	// more in its own Verify.
	By Verifier
	// Steps are the checks, in the order in which they are made.
	Steps []Step
	// Advice is what to do, the most likely first. It is in fixed words of this module,
	// with names from the configuration, and may be there for an accepted token too: its
	// scopes may stand where nobody looks for them.
	Advice []string
}

// Step is one check of an [Explanation].
type Step struct {
	// Name is one word for the check: "form", "signature", "audience". More may come
	// with any release.
	Name string
	// State is what came of it.
	State StepState
	// Detail, Expected and Found are as in [Error]. Expected and Found are there
	// wherever they can be known, also for checks that passed or were not reached.
	Detail, Expected, Found string
	// Unsigned says that Found was read without a signature, or an answer, that
	// vouches for it: anybody may have written it.
	Unsigned bool
}

// StepState is what came of a check.
type StepState string

// The states, all of them.
const (
	StepPassed     StepState = "passed"
	StepFailed     StepState = "failed"      // this is why the token is refused, or why nobody can tell
	StepNotReached StepState = "not reached" // a check before it has failed, or it is not asked: its Detail says so
)

// Failed returns the step that decided; false if the token is accepted.
func (e Explanation) Failed() (Step, bool) {
	for _, s := range e.Steps {
		if s.State == StepFailed {
			return s, true
		}
	}
	return Step{}, false
}

// String is a text of several lines: the verdict, what to do, and the steps.
func (e Explanation) String() string {
	var b strings.Builder
	err := AsError(e.Err)
	switch unasked := slices.ContainsFunc(e.Steps, func(s Step) bool { return s.State == StepNotReached }); {
	case err != nil:
		b.WriteString("refused: " + err.kind().Error() + ": " + string(err.Reason) + "\n")
	case unasked:
		b.WriteString("accepted, but for what was not asked\n")
	default:
		b.WriteString("accepted\n")
	}
	for _, advice := range e.Advice {
		b.WriteString("  what to do: " + advice + "\n")
	}
	for _, s := range e.Steps {
		b.WriteString("  " + s.String() + "\n")
	}
	return b.String()
}

// String is one line.
func (s Step) String() string {
	var b strings.Builder
	b.WriteString(string(s.State) + ": " + s.Name)
	for _, part := range []struct{ before, value string }{{": ", s.Detail}, {", expected ", s.Expected}, {", found ", s.Found}} {
		if part.value != "" {
			b.WriteString(part.before + part.value)
		}
	}
	if s.Found != "" && s.Unsigned {
		b.WriteString(" (unverified)")
	}
	return b.String()
}

// Then returns e with a step that is taken where everything before has passed: check is
// asked, and its error decides. What step says it expects and has found is shown if the
// error has no sides of its own. A nil check is not asked: step.Detail says why.
func (e Explanation) Then(step Step, check func() error) Explanation {
	step.State = StepNotReached
	if e.Err == nil && check != nil {
		step.State = StepPassed
		if err := check(); err != nil {
			step, e.Err, e.Token = failedStep(step, err), AsError(err), nil
		}
	}
	e.Steps = append(slices.Clip(e.Steps), step)
	return e
}

// failedStep is a step that err has ended.
func failedStep(step Step, err error) Step {
	failed := AsError(err)
	step.State = StepFailed
	if failed.Detail != "" {
		step.Detail = failed.Detail
	}
	if failed.Expected != "" || failed.Found != "" {
		step.Expected, step.Found, step.Unsigned = failed.Expected, failed.Found, failed.Unsigned
	}
	return step
}

// explainer is a [Verifier] that can say more than one error.
type explainer interface {
	Explain(ctx context.Context, token string) Explanation
}

// Explain has v explain what it thinks of a token, by its method Explain(ctx, token)
// Explanation, as the verifiers of this module have it. Any other verifier is asked as
// by [Verify], which is then the one step. The token is judged anew: nothing that was
// remembered of it counts, and nothing is remembered. Hooks are not told of it, except
// for the calls and fetches that it may cause.
func Explain(ctx context.Context, v Verifier, token string) Explanation {
	if e, ok := v.(explainer); ok && token != "" {
		var explanation Explanation
		err := Guard(ctx, errVerifier, func(ctx context.Context) error {
			explanation = e.Explain(ctx, token)
			return nil
		})
		switch {
		case err != nil: // it is broken: its verdict stands
		case explanation.Err != nil:
			explanation.Err, explanation.Token = AsError(explanation.Err), nil
			return explanation
		case explanation.Token != nil:
			return explanation.heldTo(ctx, v, token)
		}
	}
	var t *Token
	e := Explanation{}.Then(Step{Name: "verifier"}, func() (err error) {
		t, err = Verify(ctx, v, token)
		return err
	})
	e.Token = t
	return e
}

// heldTo holds an explanation that accepts the token to what [Verify] would make of it.
// Where v is not who explains, it embeds that one and may well say more in a Verify of its
// own: it is asked as well.
func (e Explanation) heldTo(ctx context.Context, v Verifier, token string) Explanation {
	said, who := e.Token, Verifier(VerifierFunc(func(context.Context, string) (*Token, error) { return e.Token, nil }))
	if e.By == nil || !sameVerifier(e.By, v) {
		who = v
	}
	held := e.Then(Step{Name: "verifier"}, func() (err error) {
		said, err = Verify(ctx, who, token)
		return err
	})
	if held.Err == nil {
		held.Token = said
		if e.By != nil && sameVerifier(e.By, v) {
			held.Steps = e.Steps // it was no step, only care
		}
	}
	return held
}

// sameVerifier is ==, and false for what cannot be compared.
func sameVerifier(a, b Verifier) (same bool) {
	_ = guard.Call(func() error { same = a == b; return nil }, nil)
	return same
}

// ExplainCall explains the decision of [Authenticate], for whoever builds a gate:
// extracted is the error of [ParseCredentials], or of whatever else took the credentials
// of c from the request. No [Binding] is asked, for a proof
// counts once: a step says so, and what comes after it is explained as if the proof were
// good. [Explanation.Token] is not [Token.Proven] then.
func ExplainCall(ctx context.Context, v Verifier, c Call, extracted error, bindings ...Binding) Explanation {
	e := Explanation{}.Then(Step{Name: "credential"}, func() error {
		switch {
		case extracted != nil:
			return extracted
		case c.Raw.Reveal() == "":
			return noToken()
		}
		return c.admitted(ctx, bindings)
	})
	if e.Err != nil {
		e.Advice = adviceOnCredential(e.Err)
		return e
	}
	of := Explain(ctx, v, c.Raw.Reveal())
	e = Explanation{Err: of.Err, Token: of.Token, Advice: of.Advice, By: of.By, Steps: append(e.Steps, of.Steps...)}
	proof := Step{Name: "proof", Expected: "an unbound token under Bearer, or a bound one with a proof of its key", Found: "an unbound token under " + string(c.Scheme)}
	if e.Err != nil {
		proof.Found = ""
	} else if e.Token.Bound() {
		proof.Found = "a bound token under " + string(c.Scheme)
	}
	var needed []Binding
	e = e.Then(proof, func() (err error) {
		needed, err = e.Token.needs(ctx, c.Scheme, bindings)
		return err
	})
	switch last := &e.Steps[len(e.Steps)-1]; {
	case len(needed) > 0:
		last.State, last.Detail = StepNotReached, "no Binding is asked, for a proof counts once"
	case last.State == StepFailed:
		e.Advice = append([]string{adviceProof}, e.Advice...)
	}
	return e
}

// Authorize explains what a route demands of the token beyond that it is valid: how its
// user authenticated ([StepUp.Authorize]), and the scopes ([Token.Authorize], but for the
// proof of a bound token, which no explanation has).
func (e Explanation) Authorize(s StepUp, need scope.Requirement) Explanation {
	if !s.isZero() {
		before, t := e.Err, e.Token
		_, timed := t.AuthTime()
		silent := len(s.ACR) > 0 && t.ACR() == "" || s.MaxAge != 0 && !timed
		e = e.Then(Step{Name: "authentication"}, func() error { return s.Authorize(e.Token, need) })
		switch {
		case before != nil || e.Err == nil:
		case s.conditionalAccess(t).lacking:
			e.Advice = []string{adviceAuthContext}
		case silent:
			e.Advice = []string{adviceNoAuthentication, adviceAuthentication}
		default:
			e.Advice = []string{adviceAuthentication}
		}
	}
	before := e.Err
	step := Step{Name: "scope", Expected: quote.Cut(need.String())}
	if e.Token != nil {
		step.Found = e.Token.Quoted(e.Token.Scopes().Names()...)
	}
	e = e.Then(step, func() error { return e.Token.reaches(need) })
	if before == nil && e.Err != nil { // what is known of other places of the scopes comes first
		e.Advice = append(e.Advice, adviceScope)
	}
	return e
}

// Delegation explains what a route demands of who acts for the subject, as one step:
// nil or an empty list demands nothing, and is none.
func (e Explanation) Delegation(all ...Delegation) Explanation {
	if len(all) == 0 {
		return e
	}
	before := e.Err
	e = e.Then(Step{Name: "delegation"}, func() error {
		for _, d := range all {
			if err := d.Authorize(e.Token); err != nil {
				return err
			}
		}
		return nil
	})
	if before == nil && e.Err != nil {
		e.Advice = append([]string{adviceDelegation}, e.Advice...)
	}
	return e
}

const (
	adviceDelegation       = "The token is valid, and who acts for its subject (act, RFC 8693) may not do so here: look whether the right client has exchanged the token, and how often it was exchanged. If this actor is one of those that should, give it to the Delegation of the route, as act has it."
	adviceAuthentication   = "The user has to authenticate again, as the challenge tells the client: with acr_values and max_age (RFC 9470)."
	adviceNoAuthentication = "The access token does not say how or when the user authenticated: have the server write acr, or auth_time, into it. In the ID token alone they are of no use here, and a token that a client got for itself never has them."
	adviceAuthContext      = "The user has to satisfy the authentication context (Conditional Access of Microsoft Entra) that the route demands. The challenge tells a client how to ask for it, if its tokens have cp1 in xms_cc: have the client announce that capability, and make xms_cc an optional claim of this API's access tokens. Any other client asks for acrs in its parameter claims. With acrs as an optional claim, tokens have it as soon as the user satisfies it."
	adviceScope            = "Have the client ask for these scopes, and look at the server whether it may grant them to that client and that user; what was granted is what was found."
	adviceProof            = "A token that is bound to a key (cnf) needs a proof, and an unbound one must not come under DPoP: give the gate the Binding for that member of cnf, and have the client send the token under the scheme that goes with it, DPoP for jkt and Bearer for x5t#S256."
	adviceNoToken          = "No token arrived: have the client send the header Authorization with the word Bearer, one space, and its access token, and no other scheme. If it does, something on the way takes the header out: look at the proxy in front of this server."
	adviceMalformed        = "Have the client send exactly one Authorization header, with the word Bearer, one space, and the token as it was issued: no quotes, no comma, no second credential."
	adviceNoProofing       = "The client uses DPoP, and this gate has no Binding that checks its proofs: give it one."
)

func adviceOnCredential(err error) []string {
	switch {
	case errors.Is(err, ErrMissingToken):
		return []string{adviceNoToken}
	case errors.Is(err, ErrInvalidRequest):
		return []string{adviceMalformed}
	case errors.Is(err, ErrInvalidToken):
		return []string{adviceNoProofing}
	}
	return nil
}
