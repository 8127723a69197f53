package bearergate

import (
	"context"
	"errors"
	"slices"

	"github.com/bearergate/bearergate/scope"
)

// NewContext returns a context that carries the token. A nil token hides one
// that ctx carries already, and so does one that was refused ([Error.WithRefused]).
func NewContext(ctx context.Context, t *Token) context.Context {
	return Admit(ctx, t, scope.Requirement{})
}

// Admit is [NewContext] for whoever builds a gate: for what is behind it, where the gate
// has demanded need. A gate further in then names in its refusals what both demand: see
// [AddDemands].
func Admit(ctx context.Context, t *Token, need scope.Requirement) context.Context {
	if ctx == nil {
		ctx = context.Background()
	}
	if t != nil && t.refused {
		t = nil
	}
	return &admitted{ctx, t, need}
}

// admitted carries both in one allocation: every request that is let in makes one. What
// gates further out demand is looked up where a request is refused, and only there.
type admitted struct {
	context.Context //nolint:containedctx // it is a context
	token           *Token
	need            scope.Requirement // zero: nothing
}

type (
	tokenKey    struct{}
	admittedKey struct{}
)

// Value implements [context.Context].
func (a *admitted) Value(key any) any {
	switch key.(type) {
	case tokenKey:
		return a.token
	case admittedKey:
		return a
	}
	return a.Context.Value(key)
}

// FromContext returns the token that [NewContext] put into ctx; false if there
// is none.
func FromContext(ctx context.Context) (*Token, bool) {
	if ctx == nil {
		return nil, false
	}
	t, _ := ctx.Value(tokenKey{}).(*Token)
	if t == nil || t.c == nil {
		return nil, false
	}
	return t, true
}

// AddDemands adds to a refusal of t that names scopes those which the gates further out
// demand ([Admit]), as far as t has them: what is named is then all that the next token
// needs. Each gate alone would name its half, and a client that asks for exactly what it
// is told would get a token for the one and be refused by the other, for ever. Nobody
// learns of a scope that way that the token does not have. Any other error is returned as
// it is.
func AddDemands(ctx context.Context, t *Token, err error) error {
	if ctx == nil || !errors.Is(err, ErrInsufficientScope) && !errors.Is(err, ErrInsufficientAuthentication) {
		return err
	}
	e := *AsError(err)
	if len(e.Scopes) == 0 {
		return err
	}
	var held []string
	for {
		outer, ok := ctx.Value(admittedKey{}).(*admitted)
		if !ok {
			break
		}
		for _, name := range outer.need.Scopes() {
			if t.Scopes().Has(name) && !slices.Contains(held, name) && !slices.Contains(e.Scopes, name) {
				held = append(held, name)
			}
		}
		ctx = outer.Context //nolint:fatcontext // outwards, to the one around it
	}
	if held == nil {
		return err
	}
	e.Scopes = append(held, e.Scopes...)
	return &e
}
