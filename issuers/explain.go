package issuers

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/accept"
	"github.com/bearergate/bearergate/internal/fetch"
)

// Explain says which verifier a token goes to, or why to none, and then what that one
// explains (see [bearergate.Explain]). It is for operators who have the token at hand:
// what it tells must never go to a client. Resolve is asked as by Verify.
func (r *Router) Explain(ctx context.Context, token string) bearergate.Explanation {
	if ctx == nil {
		ctx = context.Background()
	}
	var c choice
	router := bearergate.Step{Name: "router", Unsigned: true}
	e := bearergate.Explanation{}.Then(router, func() (err error) {
		c, err = r.choose(ctx, token)
		return err
	})
	if e.Err != nil {
		e.Advice = r.advice(e.Err, token)
		return e
	}
	step := &e.Steps[0]
	step.Expected, step.Found, step.Detail = r.names, accept.Quoted(c.issuer), "the token goes to the verifier of its issuer"
	if c.issuer == "" {
		step.Expected, step.Found, step.Detail = "", "", "the token is no JWT, and goes to Opaque"
		if jwtShaped(token) {
			step.Detail = "the token is encrypted, and goes to Opaque"
		}
	}
	of := bearergate.Explain(ctx, c.verifier, token)
	of.Steps, of.By = append(e.Steps, of.Steps...), r
	if c.issuer == "" {
		return of
	}
	return of.Then(bearergate.Step{Name: "router's issuer", Expected: accept.Quoted(c.issuer)}, func() error { return holdTo(c.issuer, c.verifier, of.Token) })
}

// anyClaims looks into tokens that no verifier is asked about.
var anyClaims = accept.NewReader(accept.Fields{})

// advice is what to do where no verifier is asked.
func (r *Router) advice(err error, token string) []string {
	of := bearergate.AsError(err)
	if !errors.Is(err, bearergate.ErrInvalidToken) { // nor if r is nil
		return nil
	}
	switch of.Reason {
	case bearergate.ReasonMissingClaim:
		return []string{"The token has no iss, and so nobody can tell whose it is: have the authorization server add it."}
	case bearergate.ReasonTooLarge:
		return []string{"Look why the token is so long: roles and groups can often be left out of access tokens. Or raise MaxTokenBytes of the Router and of the verifier."}
	case bearergate.ReasonIssuer:
	default:
		if r.opaque != nil && isEncrypted(token) {
			return []string{"The token is encrypted, and only the server that issued it can read it. If that is the one that Opaque asks, set EncryptedAreOpaque of the Router. Else have the authorization server issue signed access tokens for this API."}
		}
		advice := (&accept.Case{Sight: accept.Look(token, anyClaims), Err: of, At: accept.StepForm}).Advice()
		if !jwtShaped(token) {
			advice = append([]string{"The token is no JWT, and the router has no verifier for such tokens: set Opaque, to an introspect.Client for example, if this API is to accept them."}, advice...)
		}
		return advice
	}
	found := ""
	if seen := accept.Look(token, anyClaims).Reading(); seen != nil {
		found = seen.Claims.Issuer
	}
	for _, issuer := range slices.Sorted(maps.Keys(r.issuers)) {
		if hint := fetch.IssuerHint(issuer, found); hint != "" {
			return []string{"The key " + strconv.Quote(issuer) + " of Issuers and the iss of the token: " + hint + "."}
		}
	}
	return []string{"The token says that it is of an issuer for which the router has no verifier: the client has it from another environment or server, or that issuer is missing in Issuers (and in ResolveIssuers)."}
}

// Explain explains local's verdict, then live's, then whether they agree.
func (v *liveVerifier) Explain(ctx context.Context, token string) bearergate.Explanation {
	if ctx == nil {
		ctx = context.Background()
	}
	e := bearergate.Explain(ctx, v.local, token)
	if e.Err != nil {
		return e
	}
	if !v.asks(e.Token) {
		e = e.Then(bearergate.Step{Name: "live", Detail: "live is not asked about such a token"}, func() error { return nil })
		e.By = v
		return e
	}
	live := bearergate.Explain(ctx, v.live, token)
	for _, s := range live.Steps {
		s.Name = "live " + s.Name
		e.Steps = append(e.Steps, s)
	}
	if live.Err != nil {
		return bearergate.Explanation{Err: live.Err, Steps: e.Steps, Advice: live.Advice}
	}
	var both *bearergate.Token
	agreement := e.Then(bearergate.Step{Name: "live agreement"}, func() (err error) {
		both, err = agreed(e.Token, live.Token)
		return err
	})
	agreement.Token, agreement.By = both, v
	return agreement
}
