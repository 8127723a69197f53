package middleware_test

import (
	"context"
	"fmt"
	"net/http"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

// A route is to ask for more. The trial reports whom that would refuse, and a policy
// asks for it already of the clients that go first.
func ExampleTrial() {
	as, err := authtest.Start() // stands in for the authorization server
	if err != nil {
		fmt.Println(err)
		return
	}
	defer as.Close()
	verifier, err := jwtverify.New(jwtverify.Config{
		Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience},
		HTTPClient: as.Client(), // a service leaves it out
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	gate, err := middleware.New(verifier, middleware.Config{Hooks: middleware.Hooks{
		Decided: func(_ context.Context, e middleware.DecisionEvent) {
			if e.Trial != nil && e.Trial.Err != nil {
				fmt.Printf("the trial would refuse %s: it asks for %v\n", e.Token.ClientID(), e.Trial.Required)
			}
		},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	stricter := scope.All("orders:write")
	pilot := map[string]bool{"back-office": true} // the clients that go first
	router := gate.NewRouter()
	router.Handle("POST /orders", scope.All("orders:read"), http.HandlerFunc(hello),
		middleware.Trial(stricter, nil),
		middleware.Allow(func(_ *http.Request, t *bearergate.Token) error {
			if !pilot[t.ClientID()] {
				return nil
			}
			return t.Authorize(stricter)
		}))
	handler, err := router.Handler()
	if err != nil {
		fmt.Println(err)
		return
	}

	of := func(client string, scopes ...string) string {
		return as.Token(authtest.Claims{Subject: "alice", ClientID: client, Scopes: scope.Of(scopes...)})
	}
	fetch(handler, "POST", "/orders", of("shop", "orders:read"))
	fetch(handler, "POST", "/orders", of("back-office", "orders:read"))
	fetch(handler, "POST", "/orders", of("back-office", "orders:read", "orders:write"))
	// Output:
	// the trial would refuse shop: it asks for orders:write
	// POST /orders: 200 hello alice
	// the trial would refuse back-office: it asks for orders:write
	// POST /orders: 403
	// POST /orders: 200 hello alice
}
