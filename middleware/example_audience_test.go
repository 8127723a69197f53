package middleware_test

import (
	"fmt"
	"net/http"

	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

// Two resources behind one verifier: a token for one does not open the other. Beside it
// stands the tenant, whose claim organization reads: each is demanded by itself.
func ExampleAudience() {
	const orders, invoices = "https://orders.example.com", "https://invoices.example.com"
	as, err := authtest.Start() // stands in for the authorization server
	if err != nil {
		fmt.Println(err)
		return
	}
	defer as.Close()
	verifier, err := jwtverify.New(jwtverify.Config{
		Issuer: as.Issuer(), Audiences: []string{orders, invoices}, Map: organization,
		HTTPClient: as.Client(), // a service leaves it out
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	gate, err := middleware.New(verifier, middleware.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	tenant := middleware.Tenant(func(r *http.Request) string { return r.PathValue("tenant") })
	router := gate.NewRouter()
	router.Handle("GET /{tenant}/orders", scope.All("read"), http.HandlerFunc(hello), tenant, middleware.Audience(orders))
	router.Handle("GET /{tenant}/invoices", scope.All("read"), http.HandlerFunc(hello), tenant, middleware.Audience(invoices))
	handler, err := router.Handler()
	if err != nil {
		fmt.Println(err)
		return
	}

	of := func(subject, tenant string, audience ...string) string {
		claims := as.Claims(authtest.Claims{Subject: subject, Audience: audience, Scopes: scope.Of("read")})
		claims["org_id"] = tenant
		return as.Sign(nil, claims)
	}
	fetch(handler, "GET", "/a/orders", of("alice", "a", orders))
	fetch(handler, "GET", "/a/invoices", of("alice", "a", orders)) // a token for orders at invoices
	fetch(handler, "GET", "/b/orders", of("alice", "a", orders))   // a token of a asks for b
	fetch(handler, "GET", "/a/invoices", of("carol", "a", invoices))
	fetch(handler, "GET", "/a/orders", of("erin", "a", orders, invoices))
	// Output:
	// GET /a/orders: 200 hello alice
	// GET /a/invoices: 403
	// GET /b/orders: 403
	// GET /a/invoices: 200 hello carol
	// GET /a/orders: 200 hello erin
}
