package introspect_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/scope"
)

// answers stands in for the network, so that the example runs anywhere.
type answers map[string]string

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.ParseForm(); err != nil {
		return nil, err
	}
	body, ok := a[r.PostForm.Get("token")]
	if !ok {
		body = `{"active":false}`
	}
	return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body))}, nil
}

func Example() {
	client, err := introspect.New(introspect.Config{
		Issuer:    "https://as.example.com",
		Endpoint:  "https://as.example.com/introspect", // or leave it out, to have it discovered
		Auth:      introspect.BasicAuth("orders-api", "the secret, from a vault"),
		Audiences: []string{"https://api.example.com"},
		HTTPClient: &http.Client{Transport: answers{
			"mF_9.B5f-4.1JqM": `{"active":true,"sub":"alice","aud":"https://api.example.com","scope":"orders:read"}`,
		}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, raw := range []string{"mF_9.B5f-4.1JqM", "revoked"} {
		token, err := client.Verify(context.Background(), raw)
		switch {
		case errors.Is(err, bearergate.ErrInvalidToken):
			fmt.Println("401:", bearergate.ReasonOf(err))
		case err != nil:
			fmt.Println("not the client's fault:", bearergate.ReasonOf(err))
		case token.Authorize(scope.All("orders:read")) == nil:
			fmt.Println("hello,", token.Subject())
		}
	}
	// Output:
	// hello, alice
	// 401: inactive
}

// Against a fake authorization server: discovery, revocation, and Purge for who
// cannot wait until a remembered answer is forgotten.
func ExampleNew() {
	as, err := authtest.Start(authtest.WithClient("orders-api", "secret"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer as.Close()
	client, err := introspect.New(introspect.Config{
		Issuer:     as.Issuer(),
		Auth:       introspect.BasicAuth("orders-api", "secret"),
		Audiences:  []string{authtest.DefaultAudience},
		HTTPClient: as.Client(), // a service leaves it out
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	raw := as.Opaque(authtest.Claims{Subject: "alice", Scopes: scope.Of("orders:read")})
	for range 3 {
		token, err := client.Verify(context.Background(), raw)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(token.Subject(), token.Scopes(), "calls:", as.Requests("/introspect"))
	}

	as.Revoke(raw)
	client.Purge(raw)
	_, err = client.Verify(context.Background(), raw)
	fmt.Println(bearergate.ReasonOf(err), "calls:", as.Requests("/introspect"))
	// Output:
	// alice orders:read calls: 1
	// alice orders:read calls: 1
	// alice orders:read calls: 1
	// inactive calls: 2
}

// That the server does not answer is not the token's fault, and that it refuses
// our own credentials is ours.
func ExampleClient_Verify() {
	as, err := authtest.Start(authtest.WithClient("orders-api", "secret"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer as.Close()
	for _, secret := range []string{"secret", "mistyped"} {
		client, err := introspect.New(introspect.Config{
			Issuer:     as.Issuer(),
			Endpoint:   as.URL("/introspect"),
			Auth:       introspect.BasicAuth("orders-api", secret),
			Audiences:  []string{authtest.DefaultAudience},
			HTTPClient: as.Client(),
		})
		if err != nil {
			fmt.Println(err)
			return
		}
		if secret == "secret" {
			as.Fail(authtest.Fault{Status: 500})
		}
		_, err = client.Verify(context.Background(), as.Opaque(authtest.Claims{}))
		fmt.Println("unavailable:", errors.Is(err, bearergate.ErrUnavailable), "misconfigured:", errors.Is(err, bearergate.ErrMisconfigured))
		as.Fail(authtest.Fault{}) // healed
	}
	// Output:
	// unavailable: true misconfigured: false
	// unavailable: false misconfigured: true
}
