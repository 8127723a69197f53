package main

import (
	"context"
	"fmt"
	"io"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/reflection"

	"github.com/bearergate/bearergate"
	grpcgate "github.com/bearergate/bearergate/adapters/grpc"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/scope"
)

// Who may use reflection, the service that shows the whole API: by its name, as any other.
const (
	reflectionClosed = "closed" // nobody: it is registered, and not listed
	reflectionToken  = "token"  // whoever has the scope for it
	reflectionPublic = "public" // everybody
)

// gateOf lists every method that anybody may call, and what it takes.
func gateOf(verifier bearergate.Verifier, reflectionFor string) (*grpcgate.Gate, error) {
	c := grpcgate.Config{
		Methods: map[string]scope.Requirement{
			"/orders.v1.Orders/List":  scope.All("orders:read"),
			"/orders.v1.Orders/Watch": scope.All("orders:read", "orders:watch"),
		},
		Domain: "orders.example.com",
	}
	switch reflectionFor {
	case reflectionClosed:
	case reflectionToken:
		c.Methods[grpcgate.ReflectionV1] = scope.All("orders:describe")
	case reflectionPublic:
		c.Public = []string{grpcgate.ReflectionV1}
	default:
		return nil, fmt.Errorf("-reflection is %q: use %s, %s or %s", reflectionFor, reflectionClosed, reflectionToken, reflectionPublic)
	}
	return grpcgate.New(verifier, c)
}

// guarded is the API behind the gate of adapters/grpc.
func guarded(verifier bearergate.Verifier, reflectionFor string) (*grpc.Server, error) {
	gate, err := gateOf(verifier, reflectionFor)
	if err != nil {
		return nil, err
	}
	if err := described(); err != nil {
		return nil, err
	}
	server := grpc.NewServer(gate.ServerOptions()...)
	server.RegisterService(&ordersDesc, nil)
	reflection.RegisterV1(server)
	return server, nil
}

// serve starts an authorization server and the API, prints a token and how to call, and serves
// until ctx ends.
func serve(ctx context.Context, out io.Writer, address, reflectionFor string) error {
	as, err := authtest.Start(authtest.WithAudience(audience))
	if err != nil {
		return err
	}
	defer as.Close()
	verifier, err := jwtverify.New(jwtverify.Config{Issuer: as.Issuer(), Audiences: []string{audience}})
	if err != nil {
		return err
	}
	server, err := guarded(verifier, reflectionFor)
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	token := as.Token(authtest.Claims{Subject: "alice", Scopes: scope.Of("orders:read", "orders:describe")})
	fmt.Fprintf(out, `API=%s
TOKEN=%s
grpcurl -plaintext $API list
grpcurl -plaintext -v $API orders.v1.Orders/List
grpcurl -plaintext -reflect-header "authorization: Bearer $TOKEN" $API list
grpcurl -plaintext -H "authorization: Bearer $TOKEN" $API orders.v1.Orders/List
`, listener.Addr(), token)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err = <-ended:
		return err
	case <-ctx.Done():
		server.Stop()
		return <-ended
	}
}
