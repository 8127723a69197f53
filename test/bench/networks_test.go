package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	"github.com/bearergate/bearergate"
	grpcgate "github.com/bearergate/bearergate/adapters/grpc"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/servers"
)

// overNetworks are calls over a loopback network, each without us and with us. They are
// compared with the same bare check as the others, so that the difference of two rows is
// what we cost. Tokens have been seen before.
func (w *world) overNetworks(tb testing.TB, tokens []string) []way {
	v := w.roomy(tb)
	gate, err := grpcgate.New(v, grpcgate.Config{Methods: map[string]scope.Requirement{grpcgate.HealthCheck: scope.All("orders:read")}})
	require.NoError(tb, err)
	all := []way{
		w.unary(tb, "a unary call of gRPC", tokens),
		w.unary(tb, "a unary call of gRPC, behind the gate", tokens, gate.ServerOptions()...),
	}
	program, err := servers.Find("nginx")
	if err != nil {
		if os.Getenv("BEARERGATE_INTEROP") == "required" {
			tb.Fatal(err)
		}
		fmt.Println("nginx did not run:", err)
		return all
	}
	return append(all, w.behindNginx(tb, program, v, tokens)...)
}

// unary is a call of the health service, which does next to nothing.
func (w *world) unary(tb testing.TB, name string, tokens []string, options ...grpc.ServerOption) way {
	listener, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	server := grpc.NewServer(options...)
	healthpb.RegisterHealthServer(server, health.NewServer())
	go func() { _ = server.Serve(listener) }()
	tb.Cleanup(server.Stop)
	conn, err := grpc.NewClient("passthrough:///"+listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = conn.Close() })
	client := healthpb.NewHealthClient(conn)
	return way{name: name, bare: w.raw(tb), bound: 60, network: true, call: func(ctx context.Context, i int) error {
		_, err := client.Check(metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+tokens[i%len(tokens)]), &healthpb.HealthCheckRequest{})
		return err
	}}
}

// behindNginx are requests through a real nginx, which asks us or does not.
func (w *world) behindNginx(tb testing.TB, program string, v bearergate.Verifier, tokens []string) []way {
	gate, err := middleware.New(v, middleware.Config{})
	require.NoError(tb, err)
	router := gate.NewRouter()
	router.Handle("GET /orders", scope.All("orders:read"), http.NotFoundHandler())
	asked, err := router.ForwardAuth(middleware.ForwardAuthConfig{Proxy: middleware.Nginx, Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
	require.NoError(tb, err)
	authorizer, service := httptest.NewServer(asked), httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	tb.Cleanup(authorizer.Close)
	tb.Cleanup(service.Close)

	source, err := os.ReadFile(filepath.Join("..", "..", "examples", "forwardauth", "nginx.conf"))
	require.NoError(tb, err)
	dir := tb.TempDir()
	start := func(config string) string {
		nginx, at, err := servers.Listening(program, func(address string) ([]string, error) {
			file := filepath.Join(dir, strings.ReplaceAll(address, ":", "-"))
			return servers.NginxArgs(dir, file), os.WriteFile(file, []byte(servers.Nginx(dir, strings.ReplaceAll(config, "127.0.0.1:8080", address))), 0o600)
		}, func(address string) bool {
			conn, err := new(net.Dialer).DialContext(tb.Context(), "tcp", address)
			return err == nil && conn.Close() == nil
		})
		require.NoError(tb, err)
		tb.Cleanup(nginx.Kill)
		return at
	}
	asking := start(strings.NewReplacer("127.0.0.1:9000", authorizer.Listener.Addr().String(), "127.0.0.1:9090", service.Listener.Addr().String()).Replace(string(source)))
	plain := start("events {}\nhttp {\nserver { listen 127.0.0.1:8080; location / { proxy_pass " + service.URL + "; } }\n}\n")
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4}}
	tb.Cleanup(client.CloseIdleConnections)
	through := func(name, at string) way {
		get := func(ctx context.Context, i int) error {
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+at+"/orders", nil)
			if err != nil {
				return err
			}
			r.Header.Set("Authorization", "Bearer "+tokens[i%len(tokens)])
			response, err := client.Do(r)
			if err != nil {
				return err
			}
			_, err = io.Copy(io.Discard, response.Body)
			if response.StatusCode != http.StatusOK {
				err = errors.New(response.Status)
			}
			return errors.Join(err, response.Body.Close())
		}
		return way{name: name, bare: w.raw(tb), bound: 300, network: true, call: get}
	}
	return []way{through("a request through nginx", plain), through("a request through nginx, which asks", asking)}
}
