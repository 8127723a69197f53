package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

// withTenant fills in the tenant, which servers put into claims of their own: "org" here.
func withTenant(v bearergate.Verifier) bearergate.Verifier {
	return bearergate.VerifierFunc(func(ctx context.Context, raw string) (*bearergate.Token, error) {
		token, err := bearergate.Verify(ctx, v, raw)
		if err != nil {
			return nil, err
		}
		var own struct {
			Org string `json:"org"`
		}
		if err := token.Claims(&own); err != nil {
			return nil, &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonMalformed, Cause: errors.New("org is no string")}
		}
		return token.With(func(c *bearergate.Claims) { c.Tenant = own.Org }), nil
	})
}

// Many tenants and two resources behind one verifier: a token of one tenant does not
// open another, and a token for one resource does not open the other.
func ExampleAudience() {
	// Stands in for a jwtverify.Verifier whose Audiences are the two resources.
	tokens := map[string]bearergate.Claims{
		"token-of-a":           {Subject: "alice", Audience: []string{"https://orders.example.com"}, Scopes: scope.Of("orders:read"), Raw: []byte(`{"org":"a"}`)},
		"token-of-b":           {Subject: "bob", Audience: []string{"https://orders.example.com"}, Scopes: scope.Of("orders:read"), Raw: []byte(`{"org":"b"}`)},
		"token-for-invoices":   {Subject: "carol", Audience: []string{"https://invoices.example.com"}, Scopes: scope.Of("orders:read"), Raw: []byte(`{"org":"a"}`)},
		"token-without-tenant": {Subject: "dave", Audience: []string{"https://orders.example.com"}, Scopes: scope.Of("orders:read"), Raw: []byte(`{}`)},
	}
	verifier := bearergate.VerifierFunc(func(_ context.Context, raw string) (*bearergate.Token, error) {
		claims, ok := tokens[raw]
		if !ok {
			return nil, &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonSignature}
		}
		return bearergate.NewToken(claims), nil
	})
	gate, err := middleware.New(withTenant(verifier), middleware.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	router := gate.NewRouter()
	router.Handle("GET /tenants/{tenant}/orders", scope.All("orders:read"), http.HandlerFunc(hello),
		middleware.Tenant(func(r *http.Request) string { return r.PathValue("tenant") }),
		middleware.Audience("https://orders.example.com"))
	handler, err := router.Handler()
	if err != nil {
		fmt.Println(err)
		return
	}

	fetch(handler, "GET", "/tenants/a/orders", "token-of-a")
	fetch(handler, "GET", "/tenants/b/orders", "token-of-a") // a token of a asks for b
	fetch(handler, "GET", "/tenants/b/orders", "token-of-b")
	fetch(handler, "GET", "/tenants/a/orders", "token-for-invoices")
	fetch(handler, "GET", "/tenants/a/orders", "token-without-tenant")
	// Output:
	// GET /tenants/a/orders: 200 hello alice
	// GET /tenants/b/orders: 403
	// GET /tenants/b/orders: 200 hello bob
	// GET /tenants/a/orders: 403
	// GET /tenants/a/orders: 403
}
