package labels_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/middleware/labels"
	"github.com/bearergate/bearergate/scope"
)

// A counter of your own, by client.
func Example() {
	// A service uses jwtverify.New or introspect.New here.
	verifier := bearergate.VerifierFunc(func(_ context.Context, token string) (*bearergate.Token, error) {
		return bearergate.NewToken(bearergate.Claims{Issuer: "https://as.example.test", ClientID: token, Scopes: scope.Of("orders:read")}), nil
	})
	clients := labels.New(2)
	gate, err := middleware.New(verifier, middleware.Config{Hooks: middleware.Hooks{Decided: func(_ context.Context, e middleware.DecisionEvent) {
		if t := labels.Whose(e.Token, e.Err); t != nil {
			fmt.Println(clients.Client(t).Name, labels.Principal(t))
		}
	}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	orders := gate.Require(scope.All("orders:read"))(http.NotFoundHandler())
	for _, client := range []string{"shop", "mobile", "late", "shop"} {
		r := httptest.NewRequest("GET", "/orders", nil)
		r.Header.Set("Authorization", "Bearer "+client)
		orders.ServeHTTP(httptest.NewRecorder(), r)
	}
	// Output:
	// shop unknown
	// mobile unknown
	// other unknown
	// shop unknown
}
