// Command forwardauth decides for nginx, Caddy or Traefik which requests they may pass on:
//
//	go run ./examples/forwardauth -proxy=caddy -service=127.0.0.1:9090
//	caddy run --config examples/forwardauth/Caddyfile
//
// Without -issuer it starts an authorization server of its own, for trying it out, and prints
// a token. With -service it is the service behind the proxy as well, which says what it was
// told. What to copy from is [newAuthorizer], and the configuration files beside it:
// nginx.conf and Caddyfile are the very files that tests of this repository run, with other
// addresses; traefik.yaml and traefik-dynamic.yaml are not tested.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

// audience is the name of the API in the aud of its tokens.
const audience = "https://api.example.com"

// newAuthorizer returns what the proxy asks at /forward-auth, and the metadata document of
// the API, for the tokens of issuer. trusted are the addresses that the proxy connects from.
func newAuthorizer(issuer string, proxy middleware.Proxy, trusted []netip.Prefix) (http.Handler, error) {
	verifier, err := jwtverify.New(jwtverify.Config{Issuer: issuer, Audiences: []string{audience}})
	if err != nil {
		return nil, err
	}
	gate, err := middleware.New(verifier, middleware.Config{
		Resource: audience,
		Hooks:    middleware.Hooks{Decided: logRefusal},
		// Each of these is in every 200, and the configuration of the proxy names each of them.
		Identity: map[string]func(*bearergate.Token) string{
			"X-Auth-Issuer":  (*bearergate.Token).Issuer, // without it, a subject is nobody in particular
			"X-Auth-Subject": (*bearergate.Token).Subject,
			"X-Auth-Client":  (*bearergate.Token).ClientID,
			"X-Auth-Scopes":  func(token *bearergate.Token) string { return token.Scopes().String() },
		},
	})
	if err != nil {
		return nil, err
	}

	// The routes of the service behind the proxy. What is not here is answered with 404: a
	// pattern for everything, such as Public("/"), would open what the service takes for one
	// of the others, /ORDERS/7 for example.
	behind := http.NotFoundHandler() // no handler runs here: the proxy passes the request on
	router := gate.NewRouter()
	router.Public("GET /health", behind)
	router.Public("OPTIONS /orders/{id}", behind) // CORS preflights, which the service answers
	router.Optional("GET /news", scope.Requirement{}, behind)
	router.Handle("GET /orders/{id}", scope.All("orders:read"), behind)
	router.Handle("POST /orders/{id}", scope.All("orders:write"), behind)
	forward, err := router.ForwardAuth(middleware.ForwardAuthConfig{Proxy: proxy, Trusted: trusted})
	if err != nil {
		return nil, err
	}
	pattern, metadata, err := gate.Metadata(middleware.Metadata{AuthorizationServers: []string{issuer}})
	if err != nil {
		return nil, err
	}

	mux := http.NewServeMux()
	mux.Handle("/forward-auth", forward)
	mux.Handle(pattern, metadata)
	return mux, nil
}

// logRefusal says why a request was refused, or the question of the proxy: for operators, and
// without the token.
func logRefusal(_ context.Context, e middleware.DecisionEvent) {
	if e.Err != nil {
		log.Printf("refused method=%s pattern=%q reason=%s err=%q", e.Method, e.Pattern, e.Reason, e.Err)
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "forwardauth:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("forwardauth", flag.ContinueOnError)
	flags.SetOutput(out)
	listen := flags.String("listen", "127.0.0.1:9000", "where the proxy asks")
	proxy := flags.String("proxy", "nginx", "the proxy that asks: nginx, caddy or traefik")
	trusted := flags.String("trusted", "127.0.0.1/32", "the addresses that the proxy connects from")
	issuer := flags.String("issuer", "", "the issuer of the tokens; none: one of this program")
	service := flags.String("service", "", "where to be the service behind the proxy too, for trying it out; none: nowhere")
	if err := flags.Parse(args); err != nil {
		return err
	}
	prefix, err := netip.ParsePrefix(*trusted)
	if err != nil {
		return err
	}
	if *issuer == "" {
		as, err := authtest.Start(authtest.WithAudience(audience))
		if err != nil {
			return err
		}
		defer as.Close()
		*issuer = as.Issuer()
		fmt.Fprintf(out, "a token for trying it out:\n%s\n", as.Token(authtest.Claims{Subject: "alice", Scopes: scope.Of("orders:read")}))
	}
	handler, err := newAuthorizer(*issuer, middleware.Proxy(*proxy), []netip.Prefix{prefix})
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", *listen)
	if err != nil {
		return fmt.Errorf("-listen: choose another address, here and in the file of the proxy, if something else listens there: %w", err)
	}
	if *service != "" {
		behind, err := new(net.ListenConfig).Listen(ctx, "tcp", *service)
		if err != nil {
			return errors.Join(fmt.Errorf("-service: choose another address, here and in the file of the proxy, or leave -service out if your service listens there: %w", err), listener.Close())
		}
		fmt.Fprintf(out, "the service behind the proxy is at http://%s\n", behind.Addr())
		running, end := context.WithCancel(ctx)
		served := make(chan struct{})
		go func() {
			defer close(served)
			_ = serve(running, behind, http.HandlerFunc(told)) // if it fails, the proxy answers 502
		}()
		defer func() { end(); <-served }()
	}
	fmt.Fprintf(out, "deciding for %s at http://%s/forward-auth\n", *proxy, listener.Addr())
	return serve(ctx, listener, handler)
}

// told is a service that says what the proxy tells it.
func told(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, "%s %q, subject %q, client %q, scopes %q, a token: %t\n", r.Method, r.URL.Path, //nolint:gosec // plain text, of an example
		r.Header.Get("X-Auth-Subject"), r.Header.Get("X-Auth-Client"), r.Header.Get("X-Auth-Scopes"), r.Header.Get("Authorization") != "")
}

// serve serves until ctx ends.
func serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = server.Shutdown(grace)
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
