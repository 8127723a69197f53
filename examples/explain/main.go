// Command explain shows the last refusals of an API to its operators: when, which
// route, why, what was expected and what was found, which client, which trace, and no
// token.
//
//	go run ./examples/explain
//
// It starts an authorization server and an API, sends requests that are refused, and
// then prints what GET /debug/refusals answers to somebody with the scope ops:read. Last,
// it prints what an operator reads who has one of the tokens at hand: every check, with
// both sides, and what to do. That is never sent to a client. What to copy is
// refusals.go, and the two lines of [newAPI] that use it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

// audience is the name of this API in the aud of its tokens.
const audience = "https://orders.example.com"

// newAPI returns an API whose refusals can be looked at, and its gate.
func newAPI(issuer string, client *http.Client) (http.Handler, *middleware.Gate, error) {
	verifier, err := jwtverify.New(jwtverify.Config{Issuer: issuer, Audiences: []string{audience}, HTTPClient: client})
	if err != nil {
		return nil, nil, err
	}
	last := new(refusals)
	gate, err := middleware.New(verifier, middleware.Config{Hooks: last.hooks()})
	if err != nil {
		return nil, nil, err
	}
	router := gate.NewRouter()
	router.HandleFunc("GET /orders", scope.All("orders:read"), func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "orders") })
	router.Handle("GET /debug/refusals", scope.All("ops:read"), last)
	handler, err := router.Handler()
	if err != nil {
		return nil, nil, err
	}
	return traced(handler), gate, nil
}

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "explain:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) (err error) {
	as, err := authtest.Start(authtest.WithAudience(audience))
	if err != nil {
		return err
	}
	defer as.Close()
	handler, gate, err := newAPI(as.Issuer(), as.Client())
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	api := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- api.Serve(listener) }()
	defer func() {
		err = errors.Join(err, api.Close())
		if served := <-ended; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
	}()
	url := "http://" + listener.Addr().String()

	wrongKind := as.Claims(authtest.Claims{ClientID: "shop"})
	wrongKind["nonce"] = "n-0S6"
	forGraph := as.Token(authtest.Claims{ClientID: "shop", Audience: []string{"https://graph.example.com"}})
	for _, token := range []string{
		as.Token(authtest.Claims{ClientID: "shop", Scopes: scope.Of("orders:list")}),
		forGraph,
		as.Token(authtest.Claims{ClientID: "nightly", ExpiresAt: time.Now().Add(-time.Hour)}),
		as.Sign(map[string]any{"kid": "last-year"}, as.Claims(authtest.Claims{ClientID: "nightly"})),
		as.Sign(map[string]any{"typ": "JWT"}, wrongKind),
		"an-opaque-token",
	} {
		if _, err := get(ctx, url+"/orders", token); err != nil {
			return err
		}
	}
	shown, err := get(ctx, url+"/debug/refusals", as.Token(authtest.Claims{ClientID: "console", Scopes: scope.Of("ops:read")}))
	if err != nil {
		return err
	}
	asked, err := request(ctx, url+"/orders", forGraph)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s\n%v", shown, gate.Explain(asked, scope.All("orders:read")))
	return err
}

func request(ctx context.Context, url, token string) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	return r, nil
}

func get(ctx context.Context, url, token string) ([]byte, error) {
	r, err := request(ctx, url, token)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	return io.ReadAll(resp.Body)
}
