package main

import (
	"context"
	"errors"
	"net/url"
	"testing"

	"github.com/cedar-policy/cedar-go"
	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/policy"
)

const ordersCedar = `
permit (principal, action == Action::"GET /orders/{tenant}/{id}", resource)
when { principal.tenant == resource.tenant };

forbid (principal, action, resource)
unless { context.posture == "managed" };
`

// newCedar is the same with Cedar: inputs are the action, the tenant of the order, its ID
// and the posture of the device.
func newCedar(source string) (*policy.Cache, error) {
	rules, err := cedar.NewPolicySetFromBytes("orders.cedar", []byte(source))
	if err != nil {
		return nil, err
	}
	return policy.New(policy.Config{Decide: func(_ context.Context, t *bearergate.Token, in []string) error {
		// An ID of the subject means something together with its issuer alone.
		user := cedar.NewEntityUID("User", cedar.String(t.Issuer()+"#"+t.Subject()))
		order := cedar.NewEntityUID("Order", cedar.String(url.PathEscape(in[1])+"/"+url.PathEscape(in[2]))) // or "a/b" and "7" would name the order of "a" and "b/7"
		entities := cedar.EntityMap{
			user:  {UID: user, Attributes: cedar.NewRecord(cedar.RecordMap{"tenant": cedar.String(t.Tenant())})},
			order: {UID: order, Attributes: cedar.NewRecord(cedar.RecordMap{"tenant": cedar.String(in[1])})},
		}
		context := cedar.RecordMap{}
		if in[3] != "" {
			context["posture"] = cedar.String(in[3])
		}
		decision, diagnostic := cedar.Authorize(rules, entities, cedar.Request{Principal: user, Action: cedar.NewEntityUID("Action", cedar.String(in[0])),
			Resource: order, Context: cedar.NewRecord(context)})
		// Cedar skips a rule that it cannot evaluate, a forbid too: what is left may allow.
		if len(diagnostic.Errors) > 0 {
			return errors.Join(bearergate.ErrUnavailable, errors.New("a rule of Cedar could not be evaluated"))
		}
		if decision != cedar.Allow {
			return bearergate.ErrForbidden
		}
		return nil
	}})
}

func TestCedar(t *testing.T) {
	decisions, err := newCedar(ordersCedar)
	require.NoError(t, err)
	_, err = newCedar("permit (")
	require.Error(t, err)
	token := bearergate.NewToken(bearergate.Claims{Issuer: "https://as.example.com", Subject: "alice", Tenant: "acme"})
	for name, tc := range map[string]struct {
		tenant, posture string
		kind            error
		reason          bearergate.Reason
	}{
		"its own":           {tenant: "acme", posture: "managed"},
		"of another tenant": {tenant: "other", posture: "managed", kind: bearergate.ErrForbidden, reason: bearergate.ReasonPolicy},
		"another device":    {tenant: "acme", posture: "unknown", kind: bearergate.ErrForbidden, reason: bearergate.ReasonPolicy},
		"a rule that fails": {tenant: "acme", kind: bearergate.ErrUnavailable, reason: bearergate.ReasonStoreUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			err := decisions.Ask(t.Context(), token, "GET /orders/{tenant}/{id}", tc.tenant, "7", tc.posture)
			require.ErrorIs(t, err, tc.kind)
			require.Equal(t, tc.reason, bearergate.ReasonOf(err))
		})
	}
}

// A tenant with a slash, which a path may have as %2F, does not name the order of another.
func TestCedarOrdersAreApart(t *testing.T) {
	decisions, err := newCedar(ordersCedar + `forbid (principal, action, resource == Order::"a/b%2F7");`)
	require.NoError(t, err)
	for tenant, tc := range map[string]struct {
		id   string
		kind error
	}{"a": {id: "b/7", kind: bearergate.ErrForbidden}, "a/b": {id: "7"}} {
		token := bearergate.NewToken(bearergate.Claims{Issuer: "https://as.example.com", Subject: "alice", Tenant: tenant})
		require.ErrorIs(t, decisions.Ask(t.Context(), token, "GET /orders/{tenant}/{id}", tenant, tc.id, "managed"), tc.kind)
	}
}
