package catalogue_test

import (
	"context"
	"fmt"
	"net/http"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/middleware/catalogue"
	"github.com/bearergate/bearergate/scope"
)

// A test of a service compares the catalogue with the routes, and requires that there are no
// findings.
func Example() {
	scopes, err := catalogue.Parse([]byte(`{"version": 1, "scopes": [
		{"name": "orders:read", "description": "See orders", "owner": "Orders team"},
		{"name": "orders:write", "description": "Change orders", "owner": "Orders team"},
		{"name": "ReadInvoices", "description": "See invoices", "owner": "Billing team"}
	]}`))
	if err != nil {
		fmt.Println(err)
		return
	}

	// A service uses jwtverify.New or introspect.New here.
	verifier := bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) {
		return nil, bearergate.ErrInvalidToken
	})
	gate, err := middleware.New(verifier, middleware.Config{Resource: "https://api.example.com"})
	if err != nil {
		fmt.Println(err)
		return
	}
	router := gate.NewRouter()
	router.Metadata(middleware.Metadata{Scopes: scopes.Advertised()})
	router.Handle("GET /orders", scope.All("orders:read"), http.NotFoundHandler())
	router.Handle("POST /orders", scope.All("orders:create"), http.NotFoundHandler())

	for _, finding := range scopes.Check(router.Routes(), catalogue.Rules{}) {
		fmt.Println(finding)
	}
	// Output:
	// bad name: "ReadInvoices": write it as resource:action, with two to 5 parts
	// unused: "ReadInvoices": no route asks for it: take it out, or say deprecated
	// unknown: "orders:create" (POST /orders): it is asked for and not in the catalogue: add it there, or mend the route
	// unused: "orders:write": no route asks for it: take it out, or say deprecated
}
