package grpcgate_test

import (
	"context"
	"fmt"
	"log"
	"net"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/bearergate/bearergate"
	grpcgate "github.com/bearergate/bearergate/adapters/grpc"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/scope"
)

// A server whose every method has a policy. The health service stands in for one
// of your own; in-memory parts keep the example self-contained.
func Example() {
	as, err := authtest.Start(authtest.WithInMemory())
	if err != nil {
		log.Fatal(err)
	}
	defer as.Close()

	verifier, err := jwtverify.New(jwtverify.Config{
		Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client()})
	if err != nil {
		log.Fatal(err)
	}
	gate, err := grpcgate.New(verifier, grpcgate.Config{
		Methods: map[string]scope.Requirement{"/grpc.health.v1.Health/*": scope.All("health:read")},
		Public:  []string{grpcgate.HealthCheck},
	})
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer(gate.ServerOptions()...)
	healthpb.RegisterHealthServer(server, health.NewServer())
	if err := gate.CheckServices(server.GetServiceInfo()); err != nil {
		log.Fatal(err)
	}
	listener := bufconn.Listen(1 << 16)
	go func() { _ = server.Serve(listener) }()
	defer server.Stop()

	conn, err := grpc.NewClient("passthrough:///memory", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	client := healthpb.NewHealthClient(conn)

	ctx := context.Background()
	_, err = client.Check(ctx, &healthpb.HealthCheckRequest{})
	fmt.Println("Check without a token:", status.Code(err))
	_, err = client.List(ctx, &healthpb.HealthListRequest{})
	fmt.Println("List without a token:", status.Code(err))

	wrong := metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+as.Token(authtest.Claims{Scopes: scope.Of("orders:read")}))
	_, err = client.List(wrong, &healthpb.HealthListRequest{})
	info := status.Convert(err).Details()[0].(*errdetails.ErrorInfo)
	fmt.Println("List with another scope:", status.Code(err), info.GetReason(), info.GetMetadata())

	right := metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+as.Token(authtest.Claims{Scopes: scope.Of("health:read")}))
	_, err = client.List(right, &healthpb.HealthListRequest{})
	fmt.Println("List with the right scope:", status.Code(err))
	// Output:
	// Check without a token: OK
	// List without a token: Unauthenticated
	// List with another scope: PermissionDenied INSUFFICIENT_SCOPE map[scope:health:read]
	// List with the right scope: OK
}

// A handler that asks for more than its method does answers as the gate would.
func ExampleGate_Status() {
	verifier := bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) {
		return nil, bearergate.ErrInvalidToken
	})
	gate, err := grpcgate.New(verifier, grpcgate.Config{Authenticated: []string{"/orders.v1.Orders/Change"}})
	if err != nil {
		log.Fatal(err)
	}
	change := func(ctx context.Context, refund bool) error {
		token, _ := bearergate.FromContext(ctx)
		if refund {
			return gate.Status(ctx, token.Authorize(scope.All("orders:refund"))).Err()
		}
		return nil
	}
	ctx := bearergate.NewContext(context.Background(), bearergate.NewToken(bearergate.Claims{Scopes: scope.Of("orders:read")}))
	fmt.Println(change(ctx, false))
	fmt.Println(change(ctx, true))
	// Output:
	// <nil>
	// rpc error: code = PermissionDenied desc = The access token does not have the required scope.
}

// An interceptor of your own, made of the parts, answers as a gate would: the text
// of an error is for operators, and stays here.
func ExampleError() {
	verifier := bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) {
		return nil, fmt.Errorf("db7.internal.example: row 42: %w", bearergate.ErrInvalidToken)
	})
	unary := func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		credentials, err := bearergate.ParseCredentials(metadata.ValueFromIncomingContext(ctx, "authorization"))
		if err != nil {
			return nil, grpcgate.Error(ctx, err)
		}
		token, _, err := bearergate.Authenticate(ctx, verifier, bearergate.Call{Credentials: credentials, Method: "POST", Target: info.FullMethod})
		if err != nil {
			return nil, grpcgate.Error(ctx, err)
		}
		return handler(bearergate.NewContext(ctx, token), req)
	}
	ctx := metadata.NewIncomingContext(context.Background(), metadata.Pairs("authorization", "Bearer x"))
	_, err := unary(ctx, nil, &grpc.UnaryServerInfo{FullMethod: "/orders.v1.Orders/List"}, nil)
	fmt.Println(err)
	// Output:
	// rpc error: code = Unauthenticated desc = The access token is not valid here.
}

// Which methods a service has, and which of them the policy forgot.
func ExampleGate_CheckServices() {
	verifier := bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) {
		return nil, bearergate.ErrInvalidToken
	})
	gate, err := grpcgate.New(verifier, grpcgate.Config{
		Public: []string{grpcgate.HealthCheck, grpcgate.HealthList, "/grpc.health.v1.Health/Wach"}})
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer(gate.ServerOptions()...)
	healthpb.RegisterHealthServer(server, health.NewServer())
	fmt.Println(gate.CheckServices(server.GetServiceInfo()))
	// Output:
	// bearergate: misconfigured: config: grpcgate: /grpc.health.v1.Health/Watch is served and not listed in Config, so nobody can call it: list it in Methods, Authenticated or Public
	// /grpc.health.v1.Health/Wach is listed in Config and not served: mend its name, register its service, or take it out
}
