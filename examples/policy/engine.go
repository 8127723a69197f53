package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"

	"github.com/open-policy-agent/opa/v1/rego"

	"github.com/bearergate/bearergate"
)

//go:embed orders.rego
var ordersRego string

// engine is OPA, embedded.
type engine struct{ query rego.PreparedEvalQuery }

// newEngine compiles the rules. A file that does not compile, or has no decision, is
// refused here and not with the first request.
func newEngine(ctx context.Context, source string) (*engine, error) {
	query, err := rego.New(
		rego.Query("data.orders.decision"),
		rego.Module("orders.rego", source),
		rego.Strict(true),
		// Without it, a function that fails, such as a division by zero, makes the rule
		// undefined: a denial that could not be evaluated would deny nothing.
		rego.StrictBuiltinErrors(true),
	).PrepareForEval(ctx)
	if err != nil {
		return nil, fmt.Errorf("the rules: %w", err)
	}
	e := &engine{query}
	// A rule that was renamed compiles too: data.orders.decision is then undefined.
	if err := e.decide(ctx, question{Token: said(nil), Route: routeInput{Values: map[string]string{}}}); bearergate.ReasonOf(err) == bearergate.ReasonStoreUnavailable {
		return nil, fmt.Errorf("the rules decide nothing: %w", err)
	}
	return e, nil
}

// question is the input of a decision: all that the rules know.
type question struct {
	Token  tokenInput  `json:"token"`
	Route  routeInput  `json:"route"`
	Device deviceInput `json:"device"`
}

type tokenInput struct {
	Issuer  string       `json:"issuer"`
	Subject string       `json:"subject"`
	Client  string       `json:"client"`
	Tenant  string       `json:"tenant"`
	ACR     string       `json:"acr"`
	Scopes  []string     `json:"scopes"`
	Roles   []string     `json:"roles"`
	Actors  []actorInput `json:"actors"` // the current one first; only that one says who acts
}

type actorInput struct {
	Subject string `json:"subject"`
	Issuer  string `json:"issuer"`
}

type routeInput struct {
	Method  string            `json:"method"`
	Pattern string            `json:"pattern"` // of the route, or the full method of gRPC
	Values  map[string]string `json:"values"`  // of the path
}

type deviceInput struct {
	Posture posture `json:"posture"`
}

// said is what the token says, for the rules. Nil lists become empty ones: to Rego, null
// is no array, and what looks into it is undefined.
func said(t *bearergate.Token) tokenInput {
	in := tokenInput{Issuer: t.Issuer(), Subject: t.Subject(), Client: t.ClientID(), Tenant: t.Tenant(), ACR: t.ACR(),
		Scopes: append([]string{}, t.Scopes().Names()...), Roles: append([]string{}, t.Roles()...), Actors: []actorInput{}}
	for _, a := range t.Actor() {
		in.Actors = append(in.Actors, actorInput{a.Subject, a.Issuer})
	}
	return in
}

// decide returns nil if the rules allow it, ErrForbidden if they deny it, and
// ErrUnavailable whenever they have not said either.
func (e *engine) decide(ctx context.Context, q question) error {
	results, err := e.query.Eval(ctx, rego.EvalInput(q))
	if err != nil {
		// The error of OPA may quote the input: it is told in our words.
		return outage(fmt.Errorf("the rules could not be evaluated: a %T", err))
	}
	// Not results.Allowed(): for an undefined result it says false, as for a denial.
	if len(results) != 1 || len(results[0].Expressions) != 1 {
		return outage(errors.New("the decision is undefined"))
	}
	decision, _ := results[0].Expressions[0].Value.(map[string]any)
	switch allow, ok := decision["allow"].(bool); {
	case !ok:
		return outage(errors.New("the decision is no object with a boolean allow"))
	case allow:
		return nil
	}
	// The reason is a word of the rules and for operators. It never reaches the client.
	reason, _ := decision["reason"].(string)
	return &bearergate.Error{Kind: bearergate.ErrForbidden, Reason: bearergate.ReasonPolicy, Detail: reason}
}

func outage(err error) error {
	return &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonStoreUnavailable, Cause: err}
}
