package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/scope"
)

func TestRun(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out))
	require.Equal(t, `CALL                       METHOD  ANSWER
valid token                List    OK: orders of alice
no token                   List    Unauthenticated: A bearer token is required.
two tokens                 List    InvalidArgument: The call must carry exactly one well-formed bearer token.
forged token               List    Unauthenticated: The access token is not valid here.
expired token              List    Unauthenticated: The access token has expired.
token of another API       List    Unauthenticated: The access token is not valid here.
a scope is missing         Watch   PermissionDenied: The access token does not have the required scope.
both scopes                Watch   OK: orders of alice
a method without a policy  Delete  Unimplemented: this method is not available
`, out.String())
}

// Over a real connection: whatever goes wrong, the client gets the code and fixed
// words, and nothing of what is for operators.
func TestNoOperatorTextReachesTheClient(t *testing.T) {
	const secret = "db7.internal.example"
	refuse := func(kind error) (*bearergate.Token, error) {
		return nil, &bearergate.Error{Kind: kind, Cause: errors.New(secret)}
	}
	token := func(change func(*bearergate.Claims)) (*bearergate.Token, error) {
		c := bearergate.Claims{Issuer: "https://" + secret, Subject: secret, Scopes: scope.Of("orders:read", "orders:watch")}
		change(&c)
		return bearergate.NewToken(c), nil
	}
	for name, test := range map[string]struct {
		verify func() (*bearergate.Token, error)
		code   codes.Code
		reason string
	}{
		"missing":      {func() (*bearergate.Token, error) { return refuse(bearergate.ErrMissingToken) }, codes.Unauthenticated, "MISSING_TOKEN"},
		"request":      {func() (*bearergate.Token, error) { return refuse(bearergate.ErrInvalidRequest) }, codes.InvalidArgument, "INVALID_REQUEST"},
		"token":        {func() (*bearergate.Token, error) { return refuse(bearergate.ErrInvalidToken) }, codes.Unauthenticated, "INVALID_TOKEN"},
		"scope":        {func() (*bearergate.Token, error) { return refuse(bearergate.ErrInsufficientScope) }, codes.PermissionDenied, "INSUFFICIENT_SCOPE"},
		"forbidden":    {func() (*bearergate.Token, error) { return refuse(bearergate.ErrForbidden) }, codes.PermissionDenied, "FORBIDDEN"},
		"outage":       {func() (*bearergate.Token, error) { return refuse(bearergate.ErrUnavailable) }, codes.Unavailable, "TEMPORARILY_UNAVAILABLE"},
		"mistake":      {func() (*bearergate.Token, error) { return refuse(bearergate.ErrMisconfigured) }, codes.Internal, "MISCONFIGURED"},
		"foreign":      {func() (*bearergate.Token, error) { return nil, errors.New(secret) }, codes.Internal, "MISCONFIGURED"},
		"panic":        {func() (*bearergate.Token, error) { panic(secret) }, codes.Internal, "MISCONFIGURED"},
		"timeout":      {func() (*bearergate.Token, error) { return nil, context.DeadlineExceeded }, codes.Unavailable, "TEMPORARILY_UNAVAILABLE"},
		"bound":        {func() (*bearergate.Token, error) { return token(bound) }, codes.Unauthenticated, "INVALID_TOKEN"},
		"other scopes": {func() (*bearergate.Token, error) { return token(narrow) }, codes.PermissionDenied, "INSUFFICIENT_SCOPE"},
	} {
		t.Run(name, func(t *testing.T) {
			server := protected(bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) { return test.verify() }))
			listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
			require.NoError(t, err)
			ended := make(chan error, 1)
			go func() { ended <- server.Serve(listener) }()
			conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
			require.NoError(t, err)
			t.Cleanup(func() {
				require.NoError(t, conn.Close())
				server.Stop()
				require.NoError(t, <-ended)
			})
			for _, method := range []string{"List", "Watch"} { // unary, stream
				var header, trailer metadata.MD
				ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer t0k3n")
				err = conn.Invoke(ctx, "/orders.v1.Orders/"+method, new(emptypb.Empty), new(wrapperspb.StringValue), grpc.Header(&header), grpc.Trailer(&trailer))
				st := status.Convert(err)
				require.Equal(t, test.code, st.Code(), "%v", err)
				require.Equal(t, test.reason, st.Details()[0].(*errdetails.ErrorInfo).GetReason())
				wire, err := proto.Marshal(st.Proto())
				require.NoError(t, err)
				for _, hidden := range []string{secret, "t0k3n", "bearergate:"} {
					require.NotContains(t, string(wire), hidden)
					require.NotContains(t, fmt.Sprint(header, trailer), hidden)
				}
			}
		})
	}
}

func bound(c *bearergate.Claims)  { c.Confirmation = map[string][]byte{"jkt": []byte(`"k"`)} }
func narrow(c *bearergate.Claims) { c.Scopes = scope.Set{} }

func TestNewServerReportsAMistake(t *testing.T) {
	_, err := newServer("")
	require.ErrorContains(t, err, "Issuer")
}
