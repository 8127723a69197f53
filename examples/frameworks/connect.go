package frameworks

import (
	"context"
	"net/http"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/bearergate/bearergate"
	connectgate "github.com/bearergate/bearergate/adapters/connect"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

// The procedures of the service, as generated code names them.
const (
	getProcedure    = "/orders.v1.OrderService/GetOrder"
	deleteProcedure = "/orders.v1.OrderService/DeleteOrder"
	watchProcedure  = "/orders.v1.OrderService/WatchOrders"
)

// ConnectGate returns the gate of this recipe, as [Gate] does for the others.
func ConnectGate(issuer string, config middleware.Config) (*connectgate.Gate, error) {
	verifier, err := jwtverify.New(jwtverify.Config{Issuer: issuer, Audiences: []string{Audience}})
	if err != nil {
		return nil, err
	}
	return connectgate.New(verifier, connectgate.Config{Gate: config})
}

// Connect is the recipe for connect-go, for its three protocols and for streams. The gate
// stands around the handlers, since an interceptor runs when the message of a stranger has
// been read, decompressed and decoded; its interceptor closes them to whatever comes another
// way, and ends streams with their token.
func Connect(gate *connectgate.Gate) (http.Handler, error) {
	gate.Handle(getProcedure, scope.All("orders:read"))
	gate.Handle(deleteProcedure, scope.All("orders:admin"))
	gate.Handle(watchProcedure, scope.All("orders:read"))

	// With generated code: service.Handle(ordersv1connect.NewOrderServiceHandler(…, options))
	options := connect.WithInterceptors(gate.Interceptor())
	service := http.NewServeMux()
	service.Handle(getProcedure, connect.NewUnaryHandler(getProcedure, rpcOrder, options))
	service.Handle(deleteProcedure, connect.NewUnaryHandler(deleteProcedure, rpcOrder, options))
	service.Handle(watchProcedure, connect.NewServerStreamHandler(watchProcedure, rpcOrders, options))
	return gate.Handler(service)
}

func rpcOrder(ctx context.Context, _ *connect.Request[wrapperspb.StringValue]) (*connect.Response[wrapperspb.StringValue], error) {
	token, _ := bearergate.FromContext(ctx)
	return connect.NewResponse(wrapperspb.String("for " + token.Subject())), nil
}

func rpcOrders(ctx context.Context, _ *connect.Request[wrapperspb.StringValue], stream *connect.ServerStream[wrapperspb.StringValue]) error {
	token, _ := bearergate.FromContext(ctx)
	return stream.Send(wrapperspb.String("for " + token.Subject()))
}
