package extauthzgate_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	extauthzgate "github.com/bearergate/bearergate/adapters/extauthz"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

// An authorizer for Envoy, asked as Envoy asks. In-memory parts keep the example
// self-contained; they have no addresses, so that anybody may ask.
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
	gate, err := middleware.New(verifier, middleware.Config{})
	if err != nil {
		log.Fatal(err)
	}
	router := gate.NewRouter()
	router.Handle("GET /orders/{id}", scope.All("orders:read"), http.NotFoundHandler()) // no handler runs
	authorizer, err := extauthzgate.New(router, extauthzgate.Config{AllowAnyPeer: true})
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer(grpc.MaxConcurrentStreams(100))
	authv3.RegisterAuthorizationServer(server, authorizer)
	l := bufconn.Listen(1 << 16)
	go func() { _ = server.Serve(l) }()
	defer server.Stop()

	conn, err := grpc.NewClient("passthrough:///envoy", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	for _, token := range []string{as.Token(authtest.Claims{Scopes: scope.Of("orders:read")}), as.Token(authtest.Claims{Scopes: scope.Of("news:read")}), "x"} {
		res, err := authv3.NewAuthorizationClient(conn).Check(context.Background(), &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
			Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
				Method: "GET", Host: "api.example.com", Path: "/orders/7", Headers: map[string]string{"authorization": "Bearer " + token},
			}},
		}})
		if err != nil {
			log.Fatal(err)
		}
		fields := res.GetDynamicMetadata().GetFields()
		fmt.Printf("%s %v %q\n", fields["decision"].GetStringValue(), fields["status"].GetNumberValue(), fields["reason"].GetStringValue())
	}
	// Output:
	// allowed 200 ""
	// denied 403 "scope"
	// denied 401 "malformed"
}
