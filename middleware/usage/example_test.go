package usage_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
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
	watch, err := usage.New(usage.Config{Window: 24 * time.Hour})
	if err != nil {
		fmt.Println(err)
		return
	}
	gate, err := middleware.New(verifier, middleware.Config{Hooks: watch.Hooks()})
	if err != nil {
		fmt.Println(err)
		return
	}
	profile := gate.Require(scope.Requirement{})(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "hello") }))
	r := httptest.NewRequest("GET", "/me", nil)
	r.Header.Set("Authorization", "Bearer token-of-alice")
	profile.ServeHTTP(httptest.NewRecorder(), r)

	for _, c := range watch.Report().Clients {
		fmt.Println("never exercised:", c.Unexercised)
	}
	// Output:
	// never exercised: [orders:read]
}

// Each process of a service writes its report; a job puts them together.
func ExampleMerge() {
	// What two processes wrote, with json.Marshal of their Usage.Report.
	files := []string{
		`{"version":1,"from":"2026-03-02T00:00:00Z","to":"2026-03-09T00:00:00Z","clients":[{"issuer":"https://as.example","client_id":"shop",
		  "exercised":["orders:read"],"unexercised":["orders:delete","orders:write"],
		  "first_seen":"2026-03-02T08:00:00Z","last_seen":"2026-03-08T20:00:00Z"}],"unwatched":0}`,
		`{"version":1,"from":"2026-03-02T00:00:00Z","to":"2026-03-09T00:00:00Z","clients":[{"issuer":"https://as.example","client_id":"shop",
		  "exercised":["orders:write"],"unexercised":["orders:delete","orders:read"],
		  "first_seen":"2026-03-03T08:00:00Z","last_seen":"2026-03-07T20:00:00Z"}],"unwatched":0}`,
	}
	var reports []usage.Report
	for _, file := range files {
		r, err := usage.ReadReport(strings.NewReader(file))
		if err != nil {
			fmt.Println(err)
			return
		}
		reports = append(reports, r)
	}
	for _, c := range usage.Merge(reports...).Clients {
		fmt.Println(c.ClientID, "used", c.Exercised, "and never", c.Unexercised)
	}
	// Output:
	// shop used [orders:read orders:write] and never [orders:delete]
}
