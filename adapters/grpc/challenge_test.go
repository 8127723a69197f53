package grpcgate_test

import (
	"context"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/bearergate/bearergate"
	grpcgate "github.com/bearergate/bearergate/adapters/grpc"
	"github.com/bearergate/bearergate/scope"
)

// told is what a client gets of a call beside its error: the metadata of both ends.
type told struct{ header, trailer metadata.MD }

// unaryTold and streamTold call, and tell what came with the answer.
func unaryTold(ctx context.Context, conn *grpc.ClientConn) (m told, err error) {
	_, err = grpc_testing.NewTestServiceClient(conn).UnaryCall(ctx, &grpc_testing.SimpleRequest{}, grpc.Header(&m.header), grpc.Trailer(&m.trailer))
	return m, err
}

func streamTold(ctx context.Context, conn *grpc.ClientConn) (m told, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := grpc_testing.NewTestServiceClient(conn).FullDuplexCall(ctx)
	if err != nil {
		return m, err
	}
	_ = s.Send(&grpc_testing.StreamingOutputCallRequest{})
	if _, err = s.Recv(); err != nil {
		m.header, _ = s.Header()
		m.trailer = s.Trailer()
	}
	return m, err
}

// What HTTP would say comes with the trailers, for whoever translates to HTTP.
// req: R9470-01
func TestChallenges(t *testing.T) {
	const weak = `error="insufficient_user_authentication", error_description="A stronger or more recent authentication of the user is required.", acr_values="mfa", max_age="60"`
	const meta = "https://api.example.com/.well-known/oauth-protected-resource"
	invalid := `Bearer realm="api", error="invalid_token", error_description="The access token is not valid here."`
	for _, row := range []struct {
		name          string
		verifier      bearergate.Verifier
		config        grpcgate.Config
		authorization []string
		code          codes.Code
		reason        string
		challenges    []string
		retry         bool
	}{
		{name: "no token", code: codes.Unauthenticated, reason: "MISSING_TOKEN", challenges: []string{`Bearer realm="api"`}},
		{name: "no token, with everything that a challenge can say", config: grpcgate.Config{Realm: "orders", MetadataURL: meta, AdvertiseScopes: true},
			code: codes.Unauthenticated, reason: "MISSING_TOKEN", challenges: []string{`Bearer realm="orders", scope="read", resource_metadata="` + meta + `"`}},
		{name: "malformed", authorization: []string{"Bearer"}, code: codes.InvalidArgument, reason: "INVALID_REQUEST",
			challenges: []string{`Bearer realm="api", error="invalid_request", error_description="The request must carry exactly one well-formed bearer token."`}},
		{name: "two credentials", authorization: []string{"Bearer x", "Bearer x"}, config: grpcgate.Config{Bindings: []bearergate.Binding{dpop()}},
			code: codes.InvalidArgument, reason: "INVALID_REQUEST", challenges: []string{
				`Bearer realm="api", error="invalid_request", error_description="The request must carry exactly one well-formed bearer token."`,
				`DPoP realm="api", error="invalid_request", error_description="The request must carry exactly one well-formed bearer token."`}},
		{name: "expired", verifier: answers(nil, &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonExpired}),
			authorization: []string{"Bearer x"}, code: codes.Unauthenticated, reason: "TOKEN_EXPIRED",
			challenges: []string{`Bearer realm="api", error="invalid_token", error_description="The access token has expired."`}},
		{name: "wrong audience", verifier: answers(nil, &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonAudience}),
			authorization: []string{"Bearer x"}, code: codes.Unauthenticated, reason: "INVALID_TOKEN", challenges: []string{invalid}},
		{name: "a scheme that is not accepted", authorization: []string{"DPoP x"}, code: codes.Unauthenticated, reason: "INVALID_TOKEN",
			challenges: []string{`Bearer realm="api"`}},
		{name: "a proof without nonce", authorization: []string{"DPoP x"}, verifier: answers(boundBy("jkt"), nil),
			config: grpcgate.Config{Bindings: []bearergate.Binding{dpop().says(&bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonNonce})}},
			code:   codes.Unauthenticated, reason: "USE_DPOP_NONCE",
			challenges: []string{`DPoP realm="api", error="use_dpop_nonce", error_description="The DPoP proof must have a nonce of this server."`, `Bearer realm="api"`}},
		{name: "too few scopes", verifier: answers(reader(func(c *bearergate.Claims) { c.Scopes = scope.Of("write") }), nil),
			authorization: []string{"Bearer x"}, code: codes.PermissionDenied, reason: "INSUFFICIENT_SCOPE",
			challenges: []string{`Bearer realm="api", error="insufficient_scope", error_description="The access token does not have the required scope.", scope="read"`}},
		{name: "step-up", verifier: answers(reader(nil), nil),
			config: grpcgate.Config{StepUp: map[string]bearergate.StepUp{
				unaryCall: {ACR: []string{"mfa"}, MaxAge: time.Minute}, duplex: {ACR: []string{"mfa"}, MaxAge: time.Minute}}},
			authorization: []string{"Bearer x"}, code: codes.Unauthenticated, reason: "INSUFFICIENT_USER_AUTHENTICATION",
			challenges: []string{`Bearer realm="api", ` + weak}},
		{name: "a policy", verifier: answers(nil, bearergate.ErrForbidden), authorization: []string{"Bearer x"}, code: codes.PermissionDenied, reason: "FORBIDDEN"},
		{name: "an outage", verifier: answers(nil, bearergate.ErrUnavailable), authorization: []string{"Bearer x"}, code: codes.Unavailable,
			reason: "TEMPORARILY_UNAVAILABLE", retry: true},
		{name: "misconfigured", verifier: answers(nil, bearergate.ErrMisconfigured), authorization: []string{"Bearer x"}, code: codes.Internal, reason: "MISCONFIGURED"},
		{name: "not listed", config: grpcgate.Config{Methods: map[string]scope.Requirement{emptyCall: scope.All("read")}}, code: codes.Unimplemented, reason: "METHOD_NOT_LISTED"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if row.verifier == nil {
				row.verifier = answers(nil, bearergate.ErrInvalidToken)
			}
			s := new(service)
			conn := serve(t, newGate(t, row.verifier, row.config), s)
			for kind, call := range map[string]func(context.Context, *grpc.ClientConn) (told, error){"unary": unaryTold, "stream": streamTold} {
				m, err := call(with(t, row.authorization...), conn)
				requireStatus(t, err, row.code, row.reason)
				require.Equal(t, row.challenges, m.trailer.Get("www-authenticate"), kind)
				require.Empty(t, m.header.Get("www-authenticate"), "a refusal has no headers")
				if !row.retry {
					require.Empty(t, m.trailer.Get("retry-after"))
					continue
				}
				retry, ok := status.Convert(err).Details()[1].(*errdetails.RetryInfo)
				require.True(t, ok)
				seconds := strconv.Itoa(int(retry.GetRetryDelay().AsDuration() / time.Second))
				require.Equal(t, []string{seconds}, m.trailer.Get("retry-after"), "one delay, whoever reads it")
			}
			require.Zero(t, s.count(), "the handler ran")
		})
	}
}

// A call that is let in, and one of a public method, says nothing of the kind.
func TestNoChallengeWithoutARefusal(t *testing.T) {
	conn := serve(t, newGate(t, answers(reader(nil), nil), grpcgate.Config{}), new(service))
	m, err := unaryTold(bearer(t, "x"), conn)
	require.NoError(t, err)
	require.Empty(t, m.header.Get("www-authenticate"))
	require.Empty(t, m.trailer.Get("www-authenticate"))
}

// refusing is a handler that refuses by itself.
type refusing struct {
	grpc_testing.UnimplementedTestServiceServer
	gate *grpcgate.Gate
}

func (r refusing) UnaryCall(ctx context.Context, _ *grpc_testing.SimpleRequest) (*grpc_testing.SimpleResponse, error) {
	token, err := r.gate.Token(ctx)
	if err != nil {
		return nil, err
	}
	return nil, r.gate.Refuse(ctx, token.Authorize(scope.All("refund")))
}

func TestRefuse(t *testing.T) {
	gate := newGate(t, answers(reader(nil), nil), grpcgate.Config{})
	conn := serveAny(t, gate, refusing{gate: gate})
	m, err := unaryTold(bearer(t, "x"), conn)
	info := requireStatus(t, err, codes.PermissionDenied, "INSUFFICIENT_SCOPE")
	require.Equal(t, map[string]string{"scope": "refund"}, info.GetMetadata())
	require.Equal(t, []string{`Bearer realm="api", error="insufficient_scope", error_description="The access token does not have the required scope.", scope="refund"`},
		m.trailer.Get("www-authenticate"))

	require.NoError(t, gate.Refuse(t.Context(), nil))
	requireStatus(t, gate.Refuse(nil, bearergate.ErrInvalidToken), codes.Unauthenticated, "INVALID_TOKEN") //nolint:staticcheck // a caller's mistake
	requireStatus(t, (*grpcgate.Gate)(nil).Refuse(t.Context(), bearergate.ErrUnavailable), codes.Unavailable, "TEMPORARILY_UNAVAILABLE")
}

// A stream that its token ended has the challenge too.
func TestChallengeOfAStreamThatEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := serve(t, newGate(t, answers(expires(time.Minute), nil), grpcgate.Config{}), new(service))
		s, err := grpc_testing.NewTestServiceClient(conn).FullDuplexCall(bearer(t, "x"))
		require.NoError(t, err)
		_, err = s.Recv() // until it expires
		requireStatus(t, err, codes.Unauthenticated, "TOKEN_EXPIRED")
		require.Equal(t, []string{`Bearer realm="api", error="invalid_token", error_description="The access token has expired."`}, s.Trailer().Get("www-authenticate"))
	})
}
