package introspect_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/bearergate/bearergate"
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
