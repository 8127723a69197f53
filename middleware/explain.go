package middleware

import (
	"errors"
	"net/http"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/scope"
)

// Explain says, check by check, why [Gate.Require] with need and opts lets a request
// pass or refuses it, and what to do. It is for operators, behind a route of their own
// for example: what it tells must never go to the client, and Explain writes nothing. r
// is a request as a client sent it, or one that was made for the purpose: a Method, a
// URL, a Host and the header with the token. It is not changed.
//
// The verifier, and the policies of [Allow], are asked anew. No [bearergate.Binding] is
// asked, for a proof counts once, and neither is the store of [Once]: steps say so, and
// what comes after them is explained as if they had agreed. [Trial] is not judged. Hooks
// of the gate are not called. A route of [Gate.Optional] is explained as one of Require.
func (g *Gate) Explain(r *http.Request, need scope.Requirement, opts ...RouteOption) bearergate.Explanation {
	rt := g.route(need, opts)
	if r == nil {
		r, rt.err = new(http.Request), misconfigured(errors.New("the request is nil"))
	}
	if rt.err == nil {
		need, rt.err = g.bind(&rt, need, r)
	}
	if rt.err != nil {
		return bearergate.Explanation{}.Then(bearergate.Step{Name: "route", Detail: bearergate.AsError(rt.err).Cause.Error()}, func() error { return rt.err })
	}
	c, err := g.extract(r)
	e := bearergate.ExplainCall(r.Context(), rt.verifier, g.call(r, c), err, g.config.Bindings...)
	if advice := adviceOnExtract[bearergate.ReasonOf(err)]; g.config.Extract != nil && advice != "" {
		e.Advice = []string{advice} // Authorization is not, or not alone, where this gate looks
	}
	// ask adds a step, with what to do if it is the one that refuses.
	ask := func(step bearergate.Step, advice string, check func(*bearergate.Token) error) {
		before := e.Err
		e = e.Then(step, func() error { return check(e.Token) })
		if before == nil && e.Err != nil {
			e.Advice = append([]string{advice}, e.Advice...)
		}
	}
	if rt.bound {
		ask(bearergate.Step{Name: "bound"}, adviceBound, func(t *bearergate.Token) error {
			if !t.Bound() {
				return errUnbound
			}
			return nil
		})
	}
	before, token := e.Err, e.Token // which a refusal takes out
	e = e.Authorize(rt.stepUp, need)
	e.Steps[len(e.Steps)-1].Expected = rt.written() // see shown
	if before == nil {
		e.Err = bearergate.AddDemands(r.Context(), token, rt.shown(e.Err))
	}
	if len(rt.roles) > 0 || len(rt.audiences) > 0 {
		before := e.Err
		if ask(bearergate.Step{Name: "route's roles and audiences"}, adviceRole, rt.claimed); before == nil && bearergate.ReasonOf(e.Err) == bearergate.ReasonAudience {
			e.Advice[0] = adviceAudience
		}
	}
	e = e.Delegation(rt.delegations...)
	if len(rt.tenants) > 0 {
		ask(bearergate.Step{Name: "tenant"}, adviceTenant, func(t *bearergate.Token) error { return rt.ofTenant(r, t) })
	}
	if len(rt.allow) > 0 {
		ask(bearergate.Step{Name: "policy"}, advicePolicy, func(t *bearergate.Token) error { return rt.allowed(r, t) })
	}
	if len(g.config.Identity) > 0 {
		ask(bearergate.Step{Name: "identity"}, adviceIdentity, func(t *bearergate.Token) error {
			_, err := g.identify(r.Context(), t)
			return err
		})
	}
	if rt.once != nil {
		ask(bearergate.Step{Name: "usable once"}, adviceOnce, func(t *bearergate.Token) error { return usableOnce(t, usableUntil(t)) })
		e = e.Then(bearergate.Step{Name: "once", Detail: "the store of Once is not asked, for that would use the token up"}, nil)
	}
	return e
}

// adviceOnExtract is what to do where Config.Extract finds no credential, or not one.
var adviceOnExtract = map[bearergate.Reason]string{
	bearergate.ReasonNoToken:    "No credential arrived where Extract of this gate reads one: have the client send it there. If it does, something on the way takes it out: look at the proxy in front of this server.",
	bearergate.ReasonBadRequest: "Have the client send exactly one credential where Extract of this gate reads one, as it was issued and once: no second one in another header, no quotes, no space, no comma.",
}

const (
	adviceBound    = "The route takes only tokens that are bound to a key of their sender: have the client use DPoP or a client certificate when it asks for the token."
	adviceRole     = "The token is valid, and has none of the roles that this route demands beyond that: give one of them to the user or the client at the authorization server, which has to write it into the claim roles."
	adviceAudience = "The token is for this service, and not for the part of it that this route belongs to: have the client ask for that audience as well."
	adviceTenant   = "The request is for another tenant than the token, or one of the two has none: let the client take the tenant from its own token, and look whether the verifier sets Claims.Tenant at all; no claim does it by itself."
	adviceIdentity = "A function of Config.Identity failed: the hook Panicked of the gate, or the error, says how."
	adviceOnce     = "The route lets each token in one time, and knows it by jti and for as long as exp says: have the authorization server write both."
	advicePolicy   = "A function of Allow refuses, or could not answer, and the library says nothing more: look at that function, and at the engine that it asks."
)
