package frameworks_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/examples/frameworks"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

func TestConnect(t *testing.T) {
	as, down := startAS(t), startAS(t)
	down.Fail(authtest.Fault{Status: http.StatusServiceUnavailable})
	reader := as.Token(authtest.Claims{Subject: "alice", Scopes: scope.Of("orders:read")})
	admin := as.Token(authtest.Claims{Subject: "alice", Scopes: scope.Of("orders:admin")})
	unchecked := down.Token(authtest.Claims{Subject: "alice", Scopes: scope.Of("orders:read", "orders:admin")})
	forged := reader[:len(reader)-4] + "AAAA"
	up, cut := startConnect(t, as), startConnect(t, down)

	const service = "/orders.v1.OrderService/"
	for protocol, options := range map[string][]connect.ClientOption{
		"Connect":  nil,
		"gRPC":     {connect.WithGRPC()},
		"gRPC-Web": {connect.WithGRPCWeb()},
	} {
		for _, tt := range []struct {
			name, procedure, authorization string
			down                           bool
			code                           connect.Code // 0: it succeeds
			message                        string
			challenge                      string
		}{
			{name: "a token", procedure: "GetOrder", authorization: "Bearer " + reader},
			{name: "a token for more", procedure: "DeleteOrder", authorization: "Bearer " + admin},
			{name: "a stream", procedure: "WatchOrders", authorization: "Bearer " + reader},
			{"no token", "GetOrder", "", false, connect.CodeUnauthenticated, "A bearer token is required.", `Bearer realm="api"`},
			{"a forged token", "GetOrder", "Bearer " + forged, false, connect.CodeUnauthenticated, "The access token is not valid here.",
				`Bearer realm="api", error="invalid_token", error_description="The access token is not valid here."`},
			{"too few scopes", "DeleteOrder", "Bearer " + reader, false, connect.CodePermissionDenied, "The access token does not have the required scope.",
				`Bearer realm="api", error="insufficient_scope", error_description="The access token does not have the required scope.", scope="orders:admin"`},
			{"an outage", "GetOrder", "Bearer " + unchecked, true, connect.CodeUnavailable, "The access token cannot be checked at the moment. Try again later.", ""},
			{"a stream, no token", "WatchOrders", "", false, connect.CodeUnauthenticated, "A bearer token is required.", `Bearer realm="api"`},
			{"a stream, too few scopes", "WatchOrders", "Bearer " + admin, false, connect.CodePermissionDenied, "The access token does not have the required scope.",
				`Bearer realm="api", error="insufficient_scope", error_description="The access token does not have the required scope.", scope="orders:read"`},
			{"a stream, an outage", "WatchOrders", "Bearer " + unchecked, true, connect.CodeUnavailable, "The access token cannot be checked at the moment. Try again later.", ""},
			{"a procedure that is not listed", "BuyOrder", "Bearer " + admin, false, connect.CodeUnimplemented, "This procedure is not available.", ""},
		} {
			t.Run(protocol+": "+tt.name, func(t *testing.T) {
				api := up
				if tt.down {
					api = cut
				}
				client := connect.NewClient[wrapperspb.StringValue, wrapperspb.StringValue](api.Client(), api.URL+service+tt.procedure, options...)
				request := connect.NewRequest(wrapperspb.String("7"))
				if tt.authorization != "" {
					request.Header().Set("Authorization", tt.authorization)
				}
				var got string
				var err error
				if tt.procedure == "WatchOrders" {
					stream, callErr := client.CallServerStream(t.Context(), request)
					require.NoError(t, callErr)
					for stream.Receive() {
						got += stream.Msg().GetValue()
					}
					err = stream.Err()
					require.NoError(t, stream.Close())
				} else {
					response, callErr := client.CallUnary(t.Context(), request)
					if err = callErr; err == nil {
						got = response.Msg.GetValue()
					}
				}
				if tt.code == 0 {
					require.NoError(t, err)
					require.Equal(t, "for alice", got)
					return
				}
				require.Empty(t, got)
				var refused *connect.Error
				require.ErrorAs(t, err, &refused)
				require.Equal(t, tt.code, refused.Code(), "%v", err)
				require.Equal(t, tt.message, refused.Message())
				require.Equal(t, tt.challenge, refused.Meta().Get("WWW-Authenticate"))
				requireRetryAfter(t, tt.code == connect.CodeUnavailable, refused.Meta())
			})
		}
	}
}

func startConnect(t *testing.T, as *authtest.Server) *httptest.Server {
	t.Helper()
	gate, err := frameworks.ConnectGate(as.Issuer(), middleware.Config{})
	require.NoError(t, err)
	handler, err := frameworks.Connect(gate)
	require.NoError(t, err)
	server := httptest.NewUnstartedServer(handler)
	server.EnableHTTP2 = true // for gRPC
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}
