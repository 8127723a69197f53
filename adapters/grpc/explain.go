package grpcgate

import (
	"context"

	"github.com/bearergate/bearergate"
)

// Explain says, check by check, why the gate lets a call of a method pass or refuses it,
// and what to do. It is for operators: what it tells must never go to a client, and
// Explain sends nothing. ctx is that of a call, or one with the metadata of one:
//
//	metadata.NewIncomingContext(ctx, metadata.Pairs("authorization", "Bearer "+token))
//
// The verifier and [Config.Policies] are asked anew. No [bearergate.Binding] is asked, for a proof counts once: a
// step says so, and what comes after it is explained as if the proof were good. Hooks of
// the gate are not called. A public method is accepted without a step.
func (g *Gate) Explain(ctx context.Context, fullMethod string) bearergate.Explanation {
	var c call
	e := bearergate.Explanation{}.Then(bearergate.Step{Name: "method"}, func() error {
		if g == nil || g.methods == nil {
			return errZero
		}
		if c.method = g.find(fullMethod); c.method == unlisted {
			return errUnlisted
		}
		return nil
	})
	if e.Err != nil || c.method.public {
		return e
	}
	var err error
	c.credentials, err = g.extract(ctx, fullMethod)
	of := bearergate.ExplainCall(ctx, c.method.verifier, g.shown(ctx, fullMethod, &c), err, g.config.Bindings...)
	of.Steps = append(e.Steps, of.Steps...)
	if advice := adviceOnExtract[bearergate.ReasonOf(err)]; g.config.Extract != nil && advice != "" {
		of.Advice = []string{advice}
	}
	if g.config.RequireBinding {
		before := of.Err
		of = of.Then(bearergate.Step{Name: "bound"}, func() error {
			if !of.Token.Bound() {
				return errUnbound
			}
			return nil
		})
		if before == nil && of.Err != nil {
			of.Advice = append([]string{adviceBound}, of.Advice...)
		}
	}
	of = of.Authorize(c.method.stepUp, c.method.need)
	if c.method.delegation != nil {
		of = of.Delegation(*c.method.delegation)
	}
	if len(c.method.policies) > 0 {
		before, token := of.Err, of.Token
		of = of.Then(bearergate.Step{Name: "policy"}, func() error { return c.method.allowed(ctx, fullMethod, token) })
		if before == nil && of.Err != nil {
			of.Advice = append([]string{advicePolicy}, of.Advice...)
		}
	}
	return of
}

const advicePolicy = "A function of Config.Policies refuses, or could not answer, and the library says nothing more: look at that function, and at the engine that it asks."

const adviceBound = "The gate takes only tokens that are bound to a key of their sender: have the client use DPoP or a client certificate when it asks for the token."

// adviceOnExtract is what to do where Config.Extract finds no credential, or not one.
var adviceOnExtract = map[bearergate.Reason]string{
	bearergate.ReasonNoToken:    "No credential arrived where Extract of this gate reads one: have the client send it there. If it does, something on the way takes it out: look at the proxy in front of this server.",
	bearergate.ReasonBadRequest: "Have the client send exactly one credential where Extract of this gate reads one, as it was issued and once: no second one in other metadata, no quotes, no space, no comma.",
}
