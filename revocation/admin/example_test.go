package admin_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/revocation"
	"github.com/bearergate/bearergate/revocation/admin"
	"github.com/bearergate/bearergate/scope"
)

// The API stands behind a gate of its own, with a scope that nobody else has.
func ExampleNew() {
	list, err := revocation.New(revocation.Config{MaxTokenLife: time.Hour})
	if err != nil {
		fmt.Println(err)
		return
	}
	// A service uses jwtverify.New or introspect.New here, with list.Check.
	operators := bearergate.VerifierFunc(func(_ context.Context, token string) (*bearergate.Token, error) {
		if token != "token-of-carol" {
			return nil, &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonInactive}
		}
		return bearergate.NewToken(bearergate.Claims{Subject: "carol", Scopes: scope.Of("revocation:write")}), nil
	})
	gate, err := middleware.New(operators, middleware.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	api, err := admin.New(admin.Config{List: list, Protect: gate.Require(scope.All("revocation:write")), Hooks: admin.Hooks{
		Asked: func(_ context.Context, e admin.Event) {
			fmt.Printf("%s asked to revoke %d: %d\n", e.By.Subject(), len(e.Entries), e.Status) // into an audit log
		},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.Handle("/admin/revocation/", http.StripPrefix("/admin/revocation", api))

	revoke := func(authorization, body string) {
		r := httptest.NewRequest("POST", "/admin/revocation/revoke", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", authorization)
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		fmt.Print(w.Code, " ", w.Body)
	}
	revoke("Bearer token-of-carol", `{"issuer": "https://as.example.com", "subject": "mallory"}`)
	revoke("Bearer token-of-carol", `{"issuer": "https://as.example.com"}`)
	revoke("Bearer token-of-mallory", `{"issuer": "https://as.example.com", "subject": "carol"}`)
	// Output:
	// carol asked to revoke 1: 201
	// 201 {"entries":[{"issuer":"https://as.example.com","subject":"mallory","source":"admin"}]}
	// 400 {"type":"about:blank","title":"Bad Request","status":400,"detail":"Nothing was revoked: the request has mistakes.","mistakes":["it has nothing but issuer, and would refuse all its tokens: if that is meant, repeat the issuer in confirm"]}
	// 401 {"type":"about:blank","title":"Unauthorized","status":401,"detail":"The access token is no longer active."}
}
