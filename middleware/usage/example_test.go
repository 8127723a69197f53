package usage_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/middleware/usage"
	"github.com/bearergate/bearergate/scope"
)

// Scopes that a client was granted and never needed.
func Example() {
	// A service uses jwtverify.New or introspect.New here.
	verifier := bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) {
		return bearergate.NewToken(bearergate.Claims{ClientID: "shop", Scopes: scope.Of("orders:read")}), nil
	})
	report, err := usage.New(usage.Config{Window: 24 * time.Hour})
	if err != nil {
		fmt.Println(err)
		return
	}
	gate, err := middleware.New(verifier, middleware.Config{Hooks: report.Hooks()})
	if err != nil {
		fmt.Println(err)
		return
	}
	profile := gate.Require(scope.Requirement{})(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "hello") }))
	r := httptest.NewRequest("GET", "/me", nil)
	r.Header.Set("Authorization", "Bearer token-of-alice")
	profile.ServeHTTP(httptest.NewRecorder(), r)

	clients, _ := report.Report()
	for _, c := range clients {
		fmt.Println("never exercised:", c.Unexercised)
	}
	// Output:
	// never exercised: [orders:read]
}
