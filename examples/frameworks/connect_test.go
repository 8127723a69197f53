package frameworks_test

import (
	"net/http"
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
	config := middleware.Config{Render: frameworks.ConnectError}
	up, cut := startAPI(t, as, config, frameworks.Connect), startAPI(t, down, config, frameworks.Connect)

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
			message                        string       // of Connect
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
			{"a stream, no token", "WatchOrders", "", false, connect.CodeUnauthenticated, "", `Bearer realm="api"`},
			{"a stream, too few scopes", "WatchOrders", "Bearer " + admin, false, connect.CodePermissionDenied, "",
				`Bearer realm="api", error="insufficient_scope", error_description="The access token does not have the required scope.", scope="orders:read"`},
			{"a stream, an outage", "WatchOrders", "Bearer " + unchecked, true, connect.CodeUnavailable, "", ""},
			{"a procedure that is not listed", "BuyOrder", "Bearer " + admin, false, connect.CodeUnimplemented, "", ""},
		} {
			t.Run(protocol+": "+tt.name, func(t *testing.T) {
				api := up
				if tt.down {
					api = cut
				}
				answer := &watched{transport: api.Client().Transport}
				client := connect.NewClient[wrapperspb.StringValue, wrapperspb.StringValue](&http.Client{Transport: answer}, api.URL+service+tt.procedure, options...)
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
				require.Equal(t, tt.challenge, answer.header.Get("WWW-Authenticate"))
				requireRetryAfter(t, tt.code == connect.CodeUnavailable, answer.header)
				if protocol == "Connect" && tt.message != "" {
					require.Equal(t, tt.message, refused.Message())
					require.Equal(t, tt.challenge, refused.Meta().Get("WWW-Authenticate"))
					requireRetryAfter(t, tt.code == connect.CodeUnavailable, refused.Meta())
				}
			})
		}
	}
}

// watched keeps the header of the last answer: of what is no gRPC, connect's
// clients for gRPC show the code only.
type watched struct {
	transport http.RoundTripper
	header    http.Header
}

func (w *watched) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := w.transport.RoundTrip(r)
	if err == nil {
		w.header = res.Header
	}
	return res, err
}
