package frameworks

import (
	"context"
	"encoding/json"
	"net/http"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

// The procedures of the service, as generated code names them.
const (
	getProcedure    = "/orders.v1.OrderService/GetOrder"
	deleteProcedure = "/orders.v1.OrderService/DeleteOrder"
	watchProcedure  = "/orders.v1.OrderService/WatchOrders"
)

// Connect is the recipe for connect-go, for its three protocols and for streams.
// The gate stands around the handler and is no interceptor: an interceptor runs
// when the message of a stranger has been read, decompressed and decoded.
//
// Each procedure is a route, so that one which nobody has thought of is not found.
// The gate is to be made with [ConnectError] as its middleware.Config.Render.
func Connect(gate *middleware.Gate) (http.Handler, error) {
	// With generated code: _, service := ordersv1connect.NewOrderServiceHandler(…)
	service := http.NewServeMux()
	service.Handle(getProcedure, connect.NewUnaryHandler(getProcedure, rpcOrder))
	service.Handle(deleteProcedure, connect.NewUnaryHandler(deleteProcedure, rpcOrder))
	service.Handle(watchProcedure, connect.NewServerStreamHandler(watchProcedure, rpcOrders))

	router := gate.NewRouter()
	router.Handle("POST "+getProcedure, scope.All("orders:read"), service)
	router.Handle("POST "+deleteProcedure, scope.All("orders:admin"), service)
	router.Handle("POST "+watchProcedure, scope.All("orders:read"), service, middleware.CancelOnExpiry())
	return router.Handler()
}

// connectCodes are those that the Connect protocol has for the statuses of a
// refusal. gRPC and gRPC-Web clients, and Connect streams, go by the status alone.
var connectCodes = map[int]connect.Code{
	http.StatusBadRequest:          connect.CodeInvalidArgument,
	http.StatusUnauthorized:        connect.CodeUnauthenticated,
	http.StatusForbidden:           connect.CodePermissionDenied,
	http.StatusInternalServerError: connect.CodeInternal,
	http.StatusServiceUnavailable:  connect.CodeUnavailable,
}

// ConnectError is a middleware.Config.Render: it writes refusals as the Connect
// protocol does errors, so that its clients find code and message in them.
// WWW-Authenticate and Retry-After are in the Meta of the error.
func ConnectError(_ *http.Request, refused middleware.Refusal) (contentType string, body []byte) {
	body, err := json.Marshal(map[string]string{"code": connectCodes[refused.Status].String(), "message": refused.Detail})
	if err != nil {
		return "", nil // the default body
	}
	return "application/json", body
}

func rpcOrder(ctx context.Context, _ *connect.Request[wrapperspb.StringValue]) (*connect.Response[wrapperspb.StringValue], error) {
	token, _ := bearergate.FromContext(ctx)
	return connect.NewResponse(wrapperspb.String("for " + token.Subject())), nil
}

func rpcOrders(ctx context.Context, _ *connect.Request[wrapperspb.StringValue], stream *connect.ServerStream[wrapperspb.StringValue]) error {
	token, _ := bearergate.FromContext(ctx)
	return stream.Send(wrapperspb.String("for " + token.Subject()))
}
