// Command gateway puts bearergate in front of a backend that knows nothing of
// tokens: it verifies them, keeps them, and tells the backend in headers who calls.
//
//	go run ./examples/gateway
//
// What to copy from are [newGateway], and for the backend [onlyFrom] and [backendTLS]. The
// rest is demonstration: an authorization server, a backend that prints what it is told, and
// requests, some of which try to be somebody else.
//
// Such headers are as good as the connection between gateway and backend: the backend takes
// them from the peer alone whose client certificate names the gateway. Whoever reaches it by
// another way is refused.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/signal"
	"text/tabwriter"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

// audience is the name of the API in the aud of its tokens.
const audience = "https://orders.example.com"

// backendName is the name in the certificate of the backend.
const backendName = "orders.internal.example"

// newGateway returns a handler that passes to the backend what the tokens of issuer allow.
// transport shows the backend the certificate of the gateway: see [gatewayTransport].
func newGateway(issuer string, backend *url.URL, transport http.RoundTripper) (http.Handler, error) {
	verifier, err := jwtverify.New(jwtverify.Config{Issuer: issuer, Audiences: []string{audience}})
	if err != nil {
		return nil, err
	}
	gate, err := middleware.New(verifier, middleware.Config{
		// The token ends here: a backend that never sees it cannot leak it.
		DropAuthorization: true,
		// Whatever a client sends under these names, in any spelling, ends here too.
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
	// Backend has the service behind see the request that was decided on: it refuses paths that
	// two programs read in two ways, and takes out what overrides method or path, in any
	// spelling, and tunnels.
	proxy := middleware.Backend(&httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(backend)
		r.SetXForwarded()
	}})

	router := gate.NewRouter()
	router.Public("GET /health", proxy)
	router.Optional("GET /news", scope.Requirement{}, proxy)
	orders := router.Group("/orders", scope.All("orders:read"))
	orders.Authenticated("GET /{id}", proxy)
	orders.Handle("POST /{id}", scope.All("orders:write"), proxy)
	router.Handle("GET /events", scope.All("orders:read"), proxy, middleware.CancelOnExpiry())
	return router.Handler()
}

// backend prints what the gateway told it.
func backend(w http.ResponseWriter, r *http.Request) {
	who := r.Header.Get("X-Auth-Subject")
	if who == "" {
		who = "nobody"
	}
	fmt.Fprintf(w, "%s, scopes %q, a token: %t", who, r.Header.Get("X-Auth-Scopes"), r.Header.Get("Authorization") != "") //nolint:gosec // plain text, of an example
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "gateway:", err)
		os.Exit(1)
	}
}

// run starts everything, sends requests to the gateway and prints the answers.
func run(ctx context.Context, out io.Writer) (err error) {
	as, err := authtest.Start(authtest.WithAudience(audience))
	if err != nil {
		return err
	}
	defer as.Close()
	services, err := newAuthority()
	if err != nil {
		return err
	}
	certificates := map[string]tls.Certificate{}
	for _, name := range []string{gatewayName, backendName, "other.internal.example"} {
		if certificates[name], err = services.issue(name); err != nil {
			return err
		}
	}
	behind, stopBackend, err := serve(ctx, onlyFrom(gatewayName, http.HandlerFunc(backend)), backendTLS(services.pool(), certificates[backendName]))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stopBackend()) }()
	transport := gatewayTransport(services.pool(), certificates[gatewayName], backendName)
	defer transport.CloseIdleConnections()
	handler, err := newGateway(as.Issuer(), behind, transport)
	if err != nil {
		return err
	}
	front, stopGateway, err := serve(ctx, handler, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stopGateway()) }()

	token := as.Token(authtest.Claims{Subject: "alice", Scopes: scope.Of("orders:read")})
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "REQUEST\tPATH\tSTATUS\tTHE BACKEND SAW")
	for _, request := range []struct {
		what, method, path string
		header             http.Header
	}{
		{"a token", "GET", "/orders/7", http.Header{"Authorization": {"Bearer " + token}}},
		{"no token", "GET", "/orders/7", nil},
		{"too few scopes", "POST", "/orders/7", http.Header{"Authorization": {"Bearer " + token}}},
		{"a false subject", "GET", "/orders/7", http.Header{"Authorization": {"Bearer " + token}, "X-Auth-Subject": {"root"}, "X_Auth_Subject": {"root"}}},
		{"a false subject, no token", "GET", "/news", http.Header{"X-Auth-Subject": {"root"}}},
		{"a false subject, public", "GET", "/health", http.Header{"x_auth_subject": {"root"}, "X-Auth-Scopes": {"admin"}}},
		{"a token, public", "GET", "/health", http.Header{"Authorization": {"Bearer " + token}}},
		{"headers to drop", "GET", "/orders/7", http.Header{"Authorization": {"Bearer " + token}, "Connection": {"close, X-Auth-Subject"}}},
		{"another method", "GET", "/orders/7", http.Header{"Authorization": {"Bearer " + token}, "X_HTTP_Method_Override": {"DELETE"}}},
		{"another route", "GET", "/orders/7%2Finternal%2Fexport", http.Header{"Authorization": {"Bearer " + token}}},
	} {
		status, saw, err := send(ctx, http.DefaultClient, request.method, front.String()+request.path, request.header)
		if err != nil {
			return err
		}
		fmt.Fprintf(table, "%s\t%s %s\t%d\t%s\n", request.what, request.method, request.path, status, saw)
	}
	// Past the gateway, as another service of the same authority.
	other := gatewayTransport(services.pool(), certificates["other.internal.example"], backendName)
	defer other.CloseIdleConnections()
	status, saw, err := send(ctx, &http.Client{Transport: other}, "GET", behind.String()+"/orders/7", http.Header{"X-Auth-Subject": {"root"}})
	if err != nil {
		return err
	}
	fmt.Fprintf(table, "past the gateway\tGET /orders/7\t%d\t%s\n", status, saw)
	return table.Flush()
}

// send returns the status, and the body of a success.
func send(ctx context.Context, client *http.Client, method, url string, header http.Header) (int, string, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return 0, "", err
	}
	if header != nil {
		r.Header = header
	}
	res, err := client.Do(r)
	if err != nil {
		return 0, "", err
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<16))
	err = errors.Join(err, res.Body.Close())
	if res.StatusCode != http.StatusOK {
		body = []byte("nothing")
	}
	return res.StatusCode, string(body), err
}

// serve serves h on a free port of this machine until stop is called, by TLS if there is a
// configuration for it.
func serve(ctx context.Context, h http.Handler, config *tls.Config) (at *url.URL, stop func() error, err error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, TLSConfig: config}
	scheme := "http"
	if config != nil {
		scheme = "https"
		go func() { _ = server.ServeTLS(listener, "", "") }() // ends when it is stopped
	} else {
		go func() { _ = server.Serve(listener) }()
	}
	stop = func() error {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		return server.Shutdown(grace)
	}
	return &url.URL{Scheme: scheme, Host: listener.Addr().String()}, stop, nil
}
