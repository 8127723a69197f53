package revocation

import (
	"context"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/accept"
)

// Guard returns a verifier that accepts what v does and Check does: for an issuers.Router,
// and for verifiers of your own. It has the optional methods of v: Issuer, Confirmations,
// Unwrap, Explain. A token that was let pass because of InsecureFailOpen is
// [bearergate.Token.Stale].
//
// Put a Guard around what remembers tokens, never inside: a verifier that remembers one
// that a Guard within it accepted accepts it again.
func (l *List) Guard(v bearergate.Verifier) bearergate.Verifier { return &guarded{l, v} }

type guarded struct {
	list *List
	of   bearergate.Verifier
}

func (g *guarded) Verify(ctx context.Context, token string) (*bearergate.Token, error) {
	t, err := bearergate.Verify(ctx, g.of, token)
	if err != nil {
		return nil, err
	}
	return g.judge(ctx, t)
}

func (g *guarded) judge(ctx context.Context, t *bearergate.Token) (*bearergate.Token, error) {
	stale, err := g.list.check(ctx, t)
	switch {
	case err != nil:
		return nil, accept.Refused(err, t)
	case stale && !t.Stale():
		return t.With(func(c *bearergate.Claims) { c.Stale = true }), nil
	}
	return t, nil
}

// Issuer is that of the verifier; "" if it does not tell.
func (g *guarded) Issuer() string {
	if tells, ok := g.of.(interface{ Issuer() string }); ok {
		return tells.Issuer()
	}
	return ""
}

// Confirmations are those of the verifier; nil, which says nothing, if it does not tell.
func (g *guarded) Confirmations() []string {
	if tells, ok := g.of.(interface{ Confirmations() []string }); ok {
		return tells.Confirmations()
	}
	return nil
}

// Unwrap returns the verifier.
func (g *guarded) Unwrap() bearergate.Verifier { return g.of }

// Explain explains the verdict of the verifier, and then whether the token is revoked.
func (g *guarded) Explain(ctx context.Context, token string) bearergate.Explanation {
	e := bearergate.Explain(ctx, g.of, token)
	if e.Err != nil {
		return e
	}
	said := e.Token
	if e = e.Then(bearergate.Step{Name: "revocation"}, func() (err error) {
		said, err = g.judge(ctx, said)
		return err
	}); e.Err == nil {
		e.Token = said
	} else {
		e.Advice = adviceOn(e.Err)
	}
	e.By = g
	return e
}

func adviceOn(err error) []string {
	switch bearergate.ReasonOf(err) {
	case bearergate.ReasonRevoked:
		return []string{"The token was revoked: have the client get a new one. If it should not have been, Lift the Entry that the detail names."}
	case bearergate.ReasonPolicy:
		return []string{"The List cannot remember long enough that such a token is revoked: have the authorization server issue tokens with exp and iat that live no longer than MaxTokenLife, or raise that."}
	default:
		return []string{"Nothing is known against the token: the Log that MaxLag is about is not read. Look at its store, and whether Run is running."}
	}
}
