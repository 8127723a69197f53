// Command grpc protects a gRPC server with an interceptor of its own, which
// calls the parts of bearergate directly, and calls it with tokens of an
// authorization server that it starts itself.
//
//	go run .
//
// With -listen it serves the same API behind the gate of adapters/grpc until it is
// interrupted, prints a token, and how to call the API with grpcurl. Reflection, which
// grpcurl asks for, is closed as every method is that nobody listed, and opened by its name:
//
//	go run . -listen 127.0.0.1:50051 -reflection public
//
// What to copy from is [gateOf], or for an interceptor of your own [guard.admit]; the rest
// is demonstration. The gate of adapters/grpc, of which the interceptor here takes the
// answers alone, also ends streams with their token, and sends the challenges.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"text/tabwriter"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/bearergate/bearergate"
	grpcgate "github.com/bearergate/bearergate/adapters/grpc"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/scope"
)

// audience is the name of this API in the aud of its tokens.
const audience = "https://orders.example.com"

// guard says who may call what.
type guard struct {
	verifier bearergate.Verifier
	methods  map[string]scope.Requirement // what is not in here is closed
}

// admit returns the context for the handler of a method, or the refusal.
func (g guard) admit(ctx context.Context, method string) (context.Context, error) {
	need, listed := g.methods[method]
	if !listed {
		return nil, status.Error(codes.Unimplemented, "this method is not available")
	}
	credentials, err := bearergate.ParseCredentials(metadata.ValueFromIncomingContext(ctx, "authorization"))
	if err != nil {
		return nil, grpcgate.Error(ctx, err) // never err itself: its text is for operators
	}
	// A token that is bound to a key (cnf) is refused here: to take it, name what
	// checks the proof after the call, and fill in what that looks at.
	token, _, err := bearergate.Authenticate(ctx, g.verifier, bearergate.Call{Credentials: credentials, Method: "POST", Target: method})
	if err != nil {
		return nil, grpcgate.Error(ctx, err)
	}
	if err := token.Authorize(need); err != nil {
		return nil, grpcgate.Error(ctx, err)
	}
	return bearergate.NewContext(ctx, token), nil
}

func (g guard) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	ctx, err := g.admit(ctx, info.FullMethod)
	if err != nil {
		return nil, err
	}
	return handler(ctx, req)
}

func (g guard) stream(srv any, s grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	ctx, err := g.admit(s.Context(), info.FullMethod)
	if err != nil {
		return err
	}
	return handler(srv, withContext{s, ctx})
}

type withContext struct {
	grpc.ServerStream
	ctx context.Context
}

func (s withContext) Context() context.Context { return s.ctx }

func newServer(issuer string) (*grpc.Server, error) {
	verifier, err := jwtverify.New(jwtverify.Config{Issuer: issuer, Audiences: []string{audience}})
	if err != nil {
		return nil, err
	}
	return protected(verifier), nil
}

// protected is the API, for tokens that the verifier accepts.
func protected(verifier bearergate.Verifier) *grpc.Server {
	g := guard{verifier, map[string]scope.Requirement{
		"/orders.v1.Orders/List":  scope.All("orders:read"),
		"/orders.v1.Orders/Watch": scope.All("orders:read", "orders:watch"),
	}}
	server := grpc.NewServer(grpc.UnaryInterceptor(g.unary), grpc.StreamInterceptor(g.stream)) // both, or the other kind is open
	server.RegisterService(&ordersDesc, nil)
	return server
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	listen := flag.String("listen", "", "serve on this address, such as 127.0.0.1:50051, until interrupted")
	reflectionFor := flag.String("reflection", reflectionClosed, "who may use reflection with -listen: closed, token or public")
	flag.Parse()
	do := func() error { return run(ctx, os.Stdout) }
	if *listen != "" {
		do = func() error { return serve(ctx, os.Stdout, *listen, *reflectionFor) }
	}
	if err := do(); err != nil {
		fmt.Fprintln(os.Stderr, "grpc:", err)
		os.Exit(1)
	}
}

// run starts the authorization server and the API, and calls it.
func run(ctx context.Context, out io.Writer) error {
	as, err := authtest.Start(authtest.WithAudience(audience))
	if err != nil {
		return err
	}
	defer as.Close()
	server, err := newServer(as.Issuer())
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	err = demonstrate(ctx, out, listener.Addr().String(), as)
	server.Stop()
	return errors.Join(err, <-ended)
}

func demonstrate(ctx context.Context, out io.Writer, address string, as *authtest.Server) error {
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials())) // TLS in production
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "CALL\tMETHOD\tANSWER")
	call := func(what, method string, authorization ...string) {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		for _, value := range authorization {
			ctx = metadata.AppendToOutgoingContext(ctx, "authorization", value)
		}
		// gRPC calls a stream of one answer like a method that is no stream.
		answer := new(wrapperspb.StringValue)
		err := conn.Invoke(ctx, "/orders.v1.Orders/"+method, new(emptypb.Empty), answer)
		if err != nil {
			fmt.Fprintf(table, "%s\t%s\t%s: %s\n", what, method, status.Code(err), status.Convert(err).Message())
			return
		}
		fmt.Fprintf(table, "%s\t%s\t%s: %s\n", what, method, codes.OK, answer.GetValue())
	}

	bearer := func(c authtest.Claims) string {
		c.Subject = "alice"
		return "Bearer " + as.Token(c)
	}
	read := bearer(authtest.Claims{Scopes: scope.Of("orders:read")})
	call("valid token", "List", read)
	call("no token", "List")
	call("two tokens", "List", read, read)
	call("forged token", "List", read[:len(read)-8]+"AAAAAAAA")
	call("expired token", "List", bearer(authtest.Claims{Scopes: scope.Of("orders:read"), ExpiresAt: time.Now().Add(-time.Minute)}))
	call("token of another API", "List", bearer(authtest.Claims{Scopes: scope.Of("orders:read"), Audience: []string{"https://other.example.com"}}))
	call("a scope is missing", "Watch", read)
	call("both scopes", "Watch", bearer(authtest.Claims{Scopes: scope.Of("orders:read", "orders:watch")}))
	call("a method without a policy", "Delete", read)
	return table.Flush()
}
