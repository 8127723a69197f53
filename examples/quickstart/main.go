// Command quickstart protects a small API with bearergate and calls it over
// HTTP, with tokens of an authorization server that it starts itself.
//
//	go run ./examples/quickstart          sends every kind of request and prints the answers
//	go run ./examples/quickstart -serve   keeps running and prints curl lines to paste
//
// What to copy from is [newAPI]. The rest is demonstration.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

// audience is the name of this API in the aud of its tokens.
const audience = "https://orders.example.com"

// newAPI returns the API. Issuer is its authorization server; partnerIssuer is
// another one, which one route trusts instead.
func newAPI(issuer, partnerIssuer string, hooks middleware.Hooks) (http.Handler, error) {
	mux := http.NewServeMux()

	// These lines protect a route: who issues tokens for whom, a gate, and what the route requires.
	verifier, err := jwtverify.New(jwtverify.Config{Issuer: issuer, Audiences: []string{audience}})
	if err != nil {
		return nil, err
	}
	gate, err := middleware.New(verifier, middleware.Config{Hooks: hooks})
	if err != nil {
		return nil, err
	}
	mux.Handle("GET /orders", gate.Require(scope.All("orders:read"))(http.HandlerFunc(orders)))

	// What is not wrapped is public.
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "healthy") })

	// Either scope will do.
	mux.Handle("GET /admin", gate.Require(scope.Any("orders:admin", "superuser"))(http.HandlerFunc(orders)))

	// Paying takes a user who gave a second factor within the last five minutes.
	mux.Handle("GET /pay", gate.Require(scope.All("orders:pay"),
		middleware.StepUp([]string{"mfa"}, 5*time.Minute))(http.HandlerFunc(orders)))

	// Tokens of another authorization server open this route, and only this one.
	partner, err := jwtverify.New(jwtverify.Config{Issuer: partnerIssuer, Audiences: []string{audience}})
	if err != nil {
		return nil, err
	}
	mux.Handle("GET /partner", gate.Require(scope.All("orders:read"), middleware.Via(partner))(http.HandlerFunc(orders)))

	// A mistake: two scopes in one name, which no token can have. It closes the route.
	mux.Handle("GET /mistake", gate.Require(scope.All("orders:read orders:write"))(http.HandlerFunc(orders)))

	return mux, nil
}

// orders is a handler behind the gate: it finds the token in the context.
func orders(w http.ResponseWriter, r *http.Request) {
	token, ok := bearergate.FromContext(r.Context())
	if !ok {
		http.Error(w, "this handler must be behind a gate", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, "hello %s, your token has the scopes %q\n", token.Subject(), token.Scopes().Names())
}

func main() {
	serving := flag.Bool("serve", false, "keep the API and its authorization server running")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, *serving); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

// run starts both authorization servers and the API, and then demonstrates it or
// serves until ctx ends.
func run(ctx context.Context, out io.Writer, serving bool) error {
	as, err := authtest.Start(authtest.WithAudience(audience))
	if err != nil {
		return err
	}
	defer as.Close()
	partner, err := authtest.Start(authtest.WithAudience(audience))
	if err != nil {
		return err
	}
	partner.Close() // it issued tokens, and now it is down

	var seen decisions
	hooks := seen.hooks()
	if serving {
		hooks = logTo(out)
	}
	handler, err := newAPI(as.Issuer(), partner.Issuer(), hooks)
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
	url := "http://" + listener.Addr().String()

	if serving {
		printCurl(out, url, as)
		select {
		case <-ctx.Done():
		case err = <-ended: // it could not go on
		}
	} else {
		err = demonstrate(ctx, out, url, as, partner, &seen)
	}
	// Requests under way may finish; ctx may have ended already.
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return errors.Join(err, api.Shutdown(grace))
}
