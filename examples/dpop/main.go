// Command dpop protects an API to which clients send tokens in three ways: as Bearer
// tokens, bound to a key of theirs by DPoP (RFC 9449), and bound to their certificate
// (RFC 8705). It then sends what clients send, and what thieves do.
//
//	go run ./examples/dpop
//
// All of it is in this process: the authorization server, the API over TLS, the clients.
// What to copy is [newAPI], and the ClientAuth of [run]. The rest is demonstration.
package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
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
	"github.com/bearergate/bearergate/binding/dpop"
	"github.com/bearergate/bearergate/binding/mtls"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

// audience is the name of this API in the aud of its tokens.
const audience = "https://orders.example.com"

// newAPI returns the API. Issuer is its authorization server, and url what clients call it:
// no request says that reliably.
func newAPI(issuer, url string, hooks middleware.Hooks) (http.Handler, error) {
	verifier, err := jwtverify.New(jwtverify.Config{Issuer: issuer, Audiences: []string{audience},
		Confirmations: []string{"jkt", "x5t#S256"}}) // what the bindings below check
	if err != nil {
		return nil, err
	}
	certificates, err := mtls.New(mtls.Config{Direct: true}) // TLS ends at this server
	if err != nil {
		return nil, err
	}
	proofs, err := dpop.New(dpop.Config{BaseURLs: []string{url}})
	if err != nil {
		return nil, err
	}
	gate, err := middleware.New(verifier, middleware.Config{Bindings: []bearergate.Binding{certificates, proofs}, Resource: url, Hooks: hooks})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()

	// Tokens of all three kinds open this route; those that are bound, with their proof only.
	mux.Handle("GET /orders", gate.Require(scope.All("orders:read"))(http.HandlerFunc(hello)))

	// No Bearer token opens this one.
	mux.Handle("GET /accounts", gate.Require(scope.All("accounts:read"), middleware.Bound())(http.HandlerFunc(hello)))

	// And here a proof must have a nonce of ours: it was not signed in advance, and the
	// clock of the client does not matter. A fleet has one secret in all processes. One
	// that is new in each process also refuses what was used before it was started again.
	secret := make([]byte, dpop.MinSecretBytes)
	if _, err := rand.Read(secret); err != nil {
		return nil, err
	}
	nonces, err := dpop.NewNonces(dpop.NonceConfig{Secrets: [][]byte{secret}})
	if err != nil {
		return nil, err
	}
	fresh, err := dpop.New(dpop.Config{BaseURLs: []string{url}, Nonces: nonces})
	if err != nil {
		return nil, err
	}
	strict, err := middleware.New(verifier, middleware.Config{Bindings: []bearergate.Binding{certificates, fresh}, RequireBinding: true, Hooks: hooks})
	if err != nil {
		return nil, err
	}
	mux.Handle("POST /payments", strict.Require(scope.All("payments:write"))(http.HandlerFunc(hello)))

	// The document (RFC 9728) from which clients learn all this.
	pattern, document, err := gate.Metadata(middleware.Metadata{AuthorizationServers: []string{issuer}})
	if err != nil {
		return nil, err
	}
	mux.Handle(pattern, document)
	return mux, nil
}

// hello is a handler behind a gate: a bound token that it finds in the context is proven.
func hello(w http.ResponseWriter, r *http.Request) {
	token, ok := bearergate.FromContext(r.Context())
	if !ok {
		http.Error(w, "this handler must be behind a gate", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, "hello %s, your token is bound to a key: %t\n", token.Subject(), token.Proven())
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, newAPI); err != nil {
		fmt.Fprintln(os.Stderr, "dpop:", err)
		os.Exit(1)
	}
}

// run starts the authorization server and the API that build makes, and demonstrates it.
func run(ctx context.Context, out io.Writer, build func(issuer, url string, hooks middleware.Hooks) (http.Handler, error)) (err error) {
	as, err := authtest.Start(authtest.WithAudience(audience))
	if err != nil {
		return err
	}
	defer as.Close()
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	url := "https://" + listener.Addr().String()
	var seen decisions
	handler, err := build(as.Issuer(), url, seen.hooks())
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	certificate, trusted, err := selfSigned()
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	api := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second, TLSConfig: &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{certificate},
		ClientAuth:   tls.RequestClientCert, // asked for, and compared with the token alone
	}}
	ended := make(chan error, 1)
	go func() { ended <- api.ServeTLS(listener, "", "") }()
	defer func() {
		err = errors.Join(err, api.Close())
		if served := <-ended; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
	}()
	return demonstrate(ctx, out, url, as, trusted, &seen)
}
