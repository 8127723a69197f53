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
	if need.Err() != nil || need.SatisfiedBy(scope.Set{}) { // it demands nothing that could be named
		need = scope.Requirement{}
	} else if outer := demanded(ctx); outer.Err() == nil && !outer.SatisfiedBy(scope.Set{}) {
		need = scope.AllOf(outer, need)
	}
	return &admitted{ctx, t, need}
}

// admitted carries both in one allocation: every request that is let in makes one.
type admitted struct {
	context.Context //nolint:containedctx // it is a context
	token           *Token
	need            scope.Requirement // zero: that of the context around it
}

type (
	tokenKey struct{}
	needKey  struct{}
)

// Value implements [context.Context].
func (a *admitted) Value(key any) any {
	switch key.(type) {
	case tokenKey:
		return a.token
	case needKey:
		if !a.need.SatisfiedBy(scope.Set{}) {
			return a.need
		}
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

// demanded returns what the gates further out demand; zero: nothing.
func demanded(ctx context.Context) scope.Requirement {
	need, _ := ctx.Value(needKey{}).(scope.Requirement)
	return need
}

// AddDemands adds to a refusal that names scopes those that the gates further out
// demand ([Admit]). Each gate alone would name its half, and a client that asks for
// exactly what it is told would get a token for the one and be refused by the other,
// for ever. Any other error is returned as it is.
func AddDemands(ctx context.Context, err error) error {
	if !errors.Is(err, ErrInsufficientScope) && !errors.Is(err, ErrInsufficientAuthentication) {
		return err
	}
	all, of := demanded(ctx).Scopes(), AsError(err)
	if len(all) == 0 || len(of.Scopes) == 0 {
		return err
	}
	e := *of
	for _, name := range e.Scopes {
		if !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	e.Scopes = all
	return &e
}
