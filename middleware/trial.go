package middleware

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/scope"
)

// Trial judges tokens by another requirement beside the one in force, and reports in
// [DecisionEvent.Trial] whom it would refuse. It is never enforced and shown to no
// client: it is for tightening what a route requires without finding out from one's
// callers. need is all that the scopes would have to satisfy, what a group requires
// included, and its placeholders are filled from the path as those of the requirement
// in force are.
//
// It is judged for tokens that forWhom selects; for all, if forWhom is nil. forWhom
// has to be safe for concurrent use. If it panics, [Hooks.Panicked] is told with the
// name "Trial", and there is no report. It is judged whenever a token was
// authenticated, also one that the route then refused, and if [Hooks.Decided] is set.
//
// A route has one Trial. A second one, and a need that is zero or has an error
// ([scope.Requirement.Err]), are mistakes, and close the route.
func Trial(need scope.Requirement, forWhom func(*bearergate.Token) bool) RouteOption {
	return &trial{need, forWhom}
}

type trial struct {
	need    scope.Requirement
	forWhom func(*bearergate.Token) bool
}

func (*trial) routeOption() {}

// err is what is wrong with it.
func (t *trial) err() error {
	if err := t.need.Err(); err != nil {
		return fmt.Errorf("Trial: the requirement: %w", err)
	}
	if isZero(t.need) {
		return errors.New("Trial: the requirement is zero, so every token would pass: name what is to be tried, or take Trial out")
	}
	return nil
}

// TrialEvent is what [Trial] would have decided.
type TrialEvent struct {
	// Required is the requirement on trial, filled from the path: no metric label.
	Required scope.Requirement
	// Err is nil if the token satisfies it, [bearergate.ErrInsufficientScope] if not, and
	// [bearergate.ErrMisconfigured] if nothing says what a placeholder stands for: see
	// [Config.PathValue].
	Err error
}

// try judges the requirement on trial; nil if there is none, or no token to judge.
func (g *Gate) try(r *http.Request, rt *route, token *bearergate.Token) *TrialEvent {
	if rt.trial == nil || token == nil || !g.selects(r.Context(), rt.trial, token) {
		return nil
	}
	need, err := g.bind(rt, rt.trial.need, r)
	if err != nil {
		return &TrialEvent{Required: rt.trial.need, Err: err}
	}
	return &TrialEvent{Required: need, Err: token.Authorize(need)}
}

// selects asks whether the token is on trial.
func (g *Gate) selects(ctx context.Context, t *trial, token *bearergate.Token) (selected bool) {
	if t.forWhom == nil {
		return true
	}
	ask := func(_ context.Context, token *bearergate.Token) { selected = t.forWhom(token) }
	bearergate.Hook("Trial", g.config.Hooks.Panicked, ask)(ctx, token)
	return selected
}
