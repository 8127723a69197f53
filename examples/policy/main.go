// Command policy protects an API whose routes are decided by OPA, embedded, with rules in
// Rego. It shows what the rules see, what denied, broken and slow rules are answered, and
// that one question is asked once.
//
//	go -C examples/policy run .
//
// What to copy from is api.go, engine.go and orders.rego. cedar_test.go has Cedar in the
// place of OPA. The rest is demonstration.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"sync/atomic"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "policy:", err)
		os.Exit(1)
	}
}

// run sends requests and prints what they are answered.
func run(ctx context.Context, out io.Writer) error {
	as, err := authtest.Start()
	if err != nil {
		return err
	}
	defer as.Close()
	v, err := newVerifier(as)
	if err != nil {
		return err
	}
	inventory := fixed{"laptop": managed, "lost": reported}
	var asked atomic.Int64
	rules, err := newAuthorizer(ctx, ordersRego, inventory, func(question) { asked.Add(1) })
	if err != nil {
		return err
	}
	api, err := newAPI(v, rules, middleware.Hooks{})
	if err != nil {
		return err
	}
	token := func(device string, change func(*bearergate.Claims)) string {
		c := bearergate.Claims{Subject: "alice", Scopes: scope.Of("orders:read", "orders:refund"), Roles: []string{"refunder"},
			Raw: fmt.Appendf(nil, `{"tenant":"acme","device_id":%q}`, device)}
		if change != nil {
			change(&c)
		}
		return as.Token(c)
	}
	alice := token("laptop", nil)
	_, _ = fmt.Fprintf(out, "%-32s %-32s %s\n", "REQUEST", "OF", "ANSWER")
	for _, r := range []struct{ method, target, who, token string }{
		{"GET", "/orders/acme/7", "alice", alice},
		{"GET", "/orders/acme/7", "alice again", alice},
		{"POST", "/orders/acme/7/refund", "alice", alice},
		{"GET", "/orders/other/7", "alice, of another tenant", alice},
		{"GET", "/orders/acme/7", "alice, whose laptop is lost", token("lost", nil)},
		{"POST", "/orders/acme/7/refund", "alice, from a device of her own", token("", nil)},
		{"GET", "/orders/acme/7", "support-desk for alice", token("laptop", actedBy("support-desk"))},
		{"POST", "/orders/acme/7/refund", "support-desk for alice", token("laptop", actedBy("support-desk"))},
		{"GET", "/orders/acme/7", "a stranger for alice", token("laptop", actedBy("mallory"))},
		{"GET", "/orders/acme/7", "alice, inventory down", token("unreachable", nil)},
	} {
		request := httptest.NewRequestWithContext(ctx, r.method, r.target, nil)
		request.Header.Set("Authorization", "Bearer "+r.token)
		answer := httptest.NewRecorder()
		api.ServeHTTP(answer, request)
		_, _ = fmt.Fprintf(out, "%-32s %-32s %d %s\n", r.method+" "+r.target, r.who, answer.Code, http.StatusText(answer.Code))
	}
	_, _ = fmt.Fprintf(out, "The rules were asked %d times.\n", asked.Load())
	return nil
}

func actedBy(subjects ...string) func(*bearergate.Claims) {
	return func(c *bearergate.Claims) {
		for _, s := range subjects {
			c.Actors = append(c.Actors, bearergate.Actor{Subject: s})
		}
	}
}

// newVerifier accepts the tokens of as. No claim is the tenant by itself: Map says which.
func newVerifier(as *authtest.Server) (*jwtverify.Verifier, error) {
	return jwtverify.New(jwtverify.Config{Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client(),
		Map: func(c *bearergate.Claims) error {
			var claims struct {
				Tenant string `json:"tenant"`
			}
			if err := bearergate.NewToken(*c).Claims(&claims); err != nil {
				return err
			}
			c.Tenant = claims.Tenant
			return nil
		}})
}

// fixed is an inventory that never changes.
type fixed map[string]posture

var errDown = errors.New("connection refused")

func (f fixed) posture(_ context.Context, _, device string) (posture, error) {
	if device == "unreachable" {
		return "", errDown
	}
	return f[device], nil
}
