package grpcgate_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"

	"github.com/bearergate/bearergate"
	grpcgate "github.com/bearergate/bearergate/adapters/grpc"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/scope"
)

const (
	unaryCall = grpc_testing.TestService_UnaryCall_FullMethodName
	emptyCall = grpc_testing.TestService_EmptyCall_FullMethodName
	duplex    = grpc_testing.TestService_FullDuplexCall_FullMethodName
)

// service counts what reaches it, and returns the subject of the token.
type service struct {
	grpc_testing.UnimplementedTestServiceServer
	mu   sync.Mutex // guards runs
	runs int
	// echo handles streams; nil answers each message with the subject.
	echo func(grpc_testing.TestService_FullDuplexCallServer) error
}

func (s *service) ran() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs++
}

func (s *service) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.runs
}

func subject(ctx context.Context) string {
	token, ok := bearergate.FromContext(ctx)
	if !ok {
		return "nobody"
	}
	return token.Subject()
}

func (s *service) UnaryCall(ctx context.Context, _ *grpc_testing.SimpleRequest) (*grpc_testing.SimpleResponse, error) {
	s.ran()
	return &grpc_testing.SimpleResponse{Username: subject(ctx)}, nil
}

func (s *service) EmptyCall(context.Context, *grpc_testing.Empty) (*grpc_testing.Empty, error) {
	s.ran()
	return &grpc_testing.Empty{}, nil
}

func (s *service) FullDuplexCall(stream grpc_testing.TestService_FullDuplexCallServer) error {
	s.ran()
	if s.echo != nil {
		return s.echo(stream)
	}
	for {
		if _, err := stream.Recv(); err != nil {
			return err
		}
		err := stream.Send(&grpc_testing.StreamingOutputCallResponse{
			Payload: &grpc_testing.Payload{Body: []byte(subject(stream.Context()))}})
		if err != nil {
			return err
		}
	}
}

// events remembers what the hooks were told.
type events struct {
	mu  sync.Mutex // guards all
	all []grpcgate.DecisionEvent
}

func (e *events) hooks() grpcgate.Hooks {
	return grpcgate.Hooks{Decided: func(_ context.Context, event grpcgate.DecisionEvent) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.all = append(e.all, event)
	}}
}

// take returns the events since it was last called.
func (e *events) take() []grpcgate.DecisionEvent {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := e.all
	e.all = nil
	return all
}

func newGate(t *testing.T, v bearergate.Verifier, c grpcgate.Config) *grpcgate.Gate {
	t.Helper()
	if c.Methods == nil {
		c.Methods = map[string]scope.Requirement{unaryCall: scope.All("read"), duplex: scope.All("read")}
	}
	gate, err := grpcgate.New(v, c)
	require.NoError(t, err)
	return gate
}

// serve runs a server in memory until the test ends, and returns a connection to it.
func serve(t *testing.T, gate *grpcgate.Gate, s *service, opts ...grpc.ServerOption) *grpc.ClientConn {
	t.Helper()
	return serveAny(t, gate, s, opts...)
}

// serveAny is serve with a service of any kind.
func serveAny(t *testing.T, gate *grpcgate.Gate, s grpc_testing.TestServiceServer, opts ...grpc.ServerOption) *grpc.ClientConn {
	t.Helper()
	server := grpc.NewServer(append(gate.ServerOptions(), opts...)...)
	grpc_testing.RegisterTestServiceServer(server, s)
	listener := bufconn.Listen(1 << 16)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:///memory", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, conn.Close())
		server.Stop()
		require.NoError(t, <-ended)
	})
	return conn
}

// with returns a context that sends these values of authorization.
func with(t *testing.T, authorization ...string) context.Context {
	ctx := t.Context()
	for _, value := range authorization {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", value)
	}
	return ctx
}

func bearer(t *testing.T, token string) context.Context { return with(t, "Bearer "+token) }

// incoming is the context of a call as an interceptor gets it.
func incoming(ctx context.Context, token string) context.Context {
	return metadata.NewIncomingContext(ctx, metadata.Pairs("authorization", "Bearer "+token))
}

func call(ctx context.Context, conn *grpc.ClientConn) error {
	_, err := grpc_testing.NewTestServiceClient(conn).UnaryCall(ctx, &grpc_testing.SimpleRequest{})
	return err
}

// stream opens a stream and exchanges one message.
func stream(ctx context.Context, conn *grpc.ClientConn) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := grpc_testing.NewTestServiceClient(conn).FullDuplexCall(ctx)
	if err != nil {
		return err
	}
	_ = s.Send(&grpc_testing.StreamingOutputCallRequest{}) // why it failed, Recv tells
	_, err = s.Recv()
	return err
}

// requireStatus requires a status with an ErrorInfo, and returns that.
func requireStatus(t *testing.T, err error, code codes.Code, reason string) *errdetails.ErrorInfo {
	t.Helper()
	st := status.Convert(err)
	require.Equal(t, code, st.Code(), "%v", err)
	require.NotEmpty(t, st.Details())
	info, ok := st.Details()[0].(*errdetails.ErrorInfo)
	require.True(t, ok)
	require.Equal(t, reason, info.GetReason())
	return info
}

// requireError requires that exactly one of the eight is true of err.
func requireError(t *testing.T, err, kind error, reason bearergate.Reason) {
	t.Helper()
	for _, sentinel := range []error{bearergate.ErrMissingToken, bearergate.ErrInvalidRequest, bearergate.ErrInvalidToken,
		bearergate.ErrInsufficientScope, bearergate.ErrInsufficientAuthentication, bearergate.ErrForbidden, bearergate.ErrUnavailable, bearergate.ErrMisconfigured} {
		require.Equal(t, sentinel == kind, errors.Is(err, sentinel), "%v: %v", sentinel, err)
	}
	require.Equal(t, reason, bearergate.ReasonOf(err))
}

func answers(token *bearergate.Token, err error) bearergate.Verifier {
	return bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) { return token, err })
}

func reader(change func(*bearergate.Claims)) *bearergate.Token {
	c := bearergate.Claims{Issuer: "https://as.example", Subject: "alice", Scopes: scope.Of("read")}
	if change != nil {
		change(&c)
	}
	return bearergate.NewToken(c)
}

// Real JWTs, from the metadata to the handler.
func TestTokens(t *testing.T) {
	as := authtest.New(t)
	verifier, err := jwtverify.New(jwtverify.Config{Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client()})
	require.NoError(t, err)
	var seen events
	s := new(service)
	conn := serve(t, newGate(t, verifier, grpcgate.Config{Hooks: seen.hooks()}), s)

	read := authtest.Claims{Subject: "alice", Scopes: scope.Of("read")}
	token := func(change func(*authtest.Claims)) string {
		c := read
		if change != nil {
			change(&c)
		}
		return "Bearer " + as.Token(c)
	}
	forged := token(nil)
	forged = forged[:len(forged)-8] + "AAAAAAAA"
	for name, test := range map[string]struct {
		authorization []string
		code          codes.Code
		wire          string
		kind          error
		reason        bearergate.Reason
	}{
		"valid":          {authorization: []string{token(nil)}},
		"lower case":     {authorization: []string{"b" + token(nil)[1:]}},
		"none":           {nil, codes.Unauthenticated, "MISSING_TOKEN", bearergate.ErrMissingToken, bearergate.ReasonNoToken},
		"empty":          {[]string{""}, codes.Unauthenticated, "MISSING_TOKEN", bearergate.ErrMissingToken, bearergate.ReasonNoToken},
		"another scheme": {[]string{"Basic YWxpY2U6c2VjcmV0"}, codes.Unauthenticated, "MISSING_TOKEN", bearergate.ErrMissingToken, bearergate.ReasonNoToken},
		"two":            {[]string{token(nil), token(nil)}, codes.InvalidArgument, "INVALID_REQUEST", bearergate.ErrInvalidRequest, bearergate.ReasonBadRequest},
		"two in one":     {[]string{token(nil) + ", " + token(nil)}, codes.InvalidArgument, "INVALID_REQUEST", bearergate.ErrInvalidRequest, bearergate.ReasonBadRequest},
		"malformed":      {[]string{"Bearer"}, codes.InvalidArgument, "INVALID_REQUEST", bearergate.ErrInvalidRequest, bearergate.ReasonBadRequest},
		"no JWT":         {[]string{"Bearer s3cret"}, codes.Unauthenticated, "INVALID_TOKEN", bearergate.ErrInvalidToken, bearergate.ReasonMalformed},
		"expired": {[]string{token(func(c *authtest.Claims) { c.ExpiresAt = time.Now().Add(-time.Minute) })},
			codes.Unauthenticated, "TOKEN_EXPIRED", bearergate.ErrInvalidToken, bearergate.ReasonExpired},
		"for somebody else": {[]string{token(func(c *authtest.Claims) { c.Audience = []string{"https://other.example"} })},
			codes.Unauthenticated, "INVALID_TOKEN", bearergate.ErrInvalidToken, bearergate.ReasonAudience},
		"forged": {[]string{forged},
			codes.Unauthenticated, "INVALID_TOKEN", bearergate.ErrInvalidToken, bearergate.ReasonSignature},
		"bound": {[]string{token(func(c *authtest.Claims) { c.Confirmation = map[string][]byte{"x5t#S256": []byte(`"abc"`)} })},
			codes.Unauthenticated, "INVALID_TOKEN", bearergate.ErrInvalidToken, bearergate.ReasonBinding},
		"another scope": {[]string{token(func(c *authtest.Claims) { c.Scopes = scope.Of("write") })},
			codes.PermissionDenied, "INSUFFICIENT_SCOPE", bearergate.ErrInsufficientScope, bearergate.ReasonScope},
	} {
		t.Run(name, func(t *testing.T) {
			for kind, call := range map[string]func(context.Context, *grpc.ClientConn) error{"unary": call, "stream": stream} {
				before := s.count()
				err := call(with(t, test.authorization...), conn)
				decided := seen.take()
				require.Len(t, decided, 1, kind)
				if test.kind == nil {
					require.NoError(t, err, kind)
					require.NoError(t, decided[0].Err)
					require.Equal(t, "alice", decided[0].Token.Subject())
					require.Equal(t, before+1, s.count())
					continue
				}
				requireStatus(t, err, test.code, test.wire)
				requireError(t, decided[0].Err, test.kind, test.reason)
				require.Equal(t, test.reason, decided[0].Reason)
				require.Equal(t, before, s.count(), "the handler ran")
			}
		})
	}

	reply, err := grpc_testing.NewTestServiceClient(conn).UnaryCall(with(t, token(nil)), &grpc_testing.SimpleRequest{})
	require.NoError(t, err)
	require.Equal(t, "alice", reply.GetUsername(), "the handler finds the token")
	opened, err := grpc_testing.NewTestServiceClient(conn).FullDuplexCall(with(t, token(nil)))
	require.NoError(t, err)
	require.NoError(t, opened.Send(&grpc_testing.StreamingOutputCallRequest{}))
	message, err := opened.Recv()
	require.NoError(t, err)
	require.Equal(t, "alice", string(message.GetPayload().GetBody()), "the handler of a stream finds the token")
	require.NoError(t, opened.CloseSend())
}

// Whatever a verifier answers, over real gRPC: fixed words, and nothing else.
func TestAnswers(t *testing.T) {
	const secret = "s3cret"
	cause := errors.New(secret)
	refuse := func(kind error, reason bearergate.Reason) bearergate.Verifier {
		return answers(nil, &bearergate.Error{Kind: kind, Reason: reason, Cause: cause})
	}
	for name, test := range map[string]struct {
		verifier bearergate.Verifier
		code     codes.Code
		wire     string
		words    string
		metadata map[string]string
		reason   bearergate.Reason
		retry    bool
	}{
		"inactive": {verifier: refuse(bearergate.ErrInvalidToken, bearergate.ReasonInactive), code: codes.Unauthenticated,
			wire: "TOKEN_INACTIVE", words: "The access token is no longer active.", reason: bearergate.ReasonInactive},
		"revoked": {verifier: refuse(bearergate.ErrInvalidToken, bearergate.ReasonRevoked), code: codes.Unauthenticated,
			wire: "TOKEN_INACTIVE", words: "The access token is no longer active.", reason: bearergate.ReasonRevoked},
		"expired": {verifier: refuse(bearergate.ErrInvalidToken, bearergate.ReasonExpired), code: codes.Unauthenticated,
			wire: "TOKEN_EXPIRED", words: "The access token has expired.", reason: bearergate.ReasonExpired},
		"unknown key": {verifier: refuse(bearergate.ErrInvalidToken, bearergate.ReasonUnknownKey), code: codes.Unauthenticated,
			wire: "INVALID_TOKEN", words: "The access token is not valid here.", reason: bearergate.ReasonUnknownKey},
		"bare sentinel": {verifier: answers(nil, bearergate.ErrInvalidToken), code: codes.Unauthenticated,
			wire: "INVALID_TOKEN", words: "The access token is not valid here.", reason: bearergate.ReasonPolicy},
		"finds no token": {verifier: refuse(bearergate.ErrMissingToken, bearergate.ReasonNoToken), code: codes.Unauthenticated,
			wire: "MISSING_TOKEN", words: "A bearer token is required.", reason: bearergate.ReasonNoToken},
		"bad request": {verifier: refuse(bearergate.ErrInvalidRequest, bearergate.ReasonBadRequest), code: codes.InvalidArgument,
			wire: "INVALID_REQUEST", words: "The call must carry exactly one well-formed bearer token.", reason: bearergate.ReasonBadRequest},
		"scope of the method": {verifier: answers(reader(func(c *bearergate.Claims) { c.Scopes = scope.Of("write") }), nil), code: codes.PermissionDenied,
			wire: "INSUFFICIENT_SCOPE", words: "The access token does not have the required scope.",
			metadata: map[string]string{"scope": "read"}, reason: bearergate.ReasonScope},
		"scopes of a verifier": {verifier: answers(nil, &bearergate.Error{Kind: bearergate.ErrInsufficientScope,
			Scopes: []string{"b", "a", "b", "", "c d", "\xff", "e\n"}}), code: codes.PermissionDenied,
			wire: "INSUFFICIENT_SCOPE", words: "The access token does not have the required scope.",
			metadata: map[string]string{"scope": "b a"}, reason: bearergate.ReasonScope},
		"authentication": {verifier: answers(nil, &bearergate.Error{Kind: bearergate.ErrInsufficientAuthentication,
			ACRValues: []string{"mfa", "hwk"}, MaxAge: 90*time.Second + 1, Scopes: []string{"read"}}), code: codes.Unauthenticated,
			wire: "INSUFFICIENT_USER_AUTHENTICATION", words: "A stronger or more recent authentication of the user is required.",
			metadata: map[string]string{"acr_values": "mfa hwk", "max_age": "90", "scope": "read"}, reason: bearergate.ReasonAuthentication},
		"claims": {verifier: answers(nil, &bearergate.Error{Kind: bearergate.ErrInsufficientAuthentication, ClaimsChallenge: "e30="}), code: codes.Unauthenticated,
			wire: "INSUFFICIENT_CLAIMS", words: "The user has to satisfy the authentication context that claims asks for.",
			metadata: map[string]string{"claims": "e30="}, reason: bearergate.ReasonAuthentication},
		"claims that are none": {verifier: answers(nil, &bearergate.Error{Kind: bearergate.ErrInsufficientAuthentication, ClaimsChallenge: "\xff"}), code: codes.Unauthenticated,
			wire: "INSUFFICIENT_USER_AUTHENTICATION", words: "A stronger or more recent authentication of the user is required.", reason: bearergate.ReasonAuthentication},
		"unavailable": {verifier: refuse(bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable), code: codes.Unavailable,
			wire: "TEMPORARILY_UNAVAILABLE", words: "The access token cannot be checked at the moment. Try again later.",
			reason: bearergate.ReasonKeysUnavailable, retry: true},
		"somebody's timeout": {verifier: refuse(bearergate.ErrUnavailable, bearergate.ReasonCanceled), code: codes.Unavailable,
			wire: "TEMPORARILY_UNAVAILABLE", words: "The access token cannot be checked at the moment. Try again later.",
			reason: bearergate.ReasonStoreUnavailable, retry: true},
		"forbidden": {verifier: refuse(bearergate.ErrForbidden, bearergate.ReasonTenant), code: codes.PermissionDenied,
			wire: "FORBIDDEN", words: "The access token does not allow this call.", reason: bearergate.ReasonTenant},
		"a wrong proof, of nobody who sent one": {verifier: refuse(bearergate.ErrInvalidToken, bearergate.ReasonProof), code: codes.Unauthenticated,
			wire: "INVALID_TOKEN", words: "The access token is not valid here.", reason: bearergate.ReasonProof},
		"a used proof, of nobody who sent one": {verifier: refuse(bearergate.ErrInvalidToken, bearergate.ReasonReplay), code: codes.Unauthenticated,
			wire: "INVALID_TOKEN", words: "The access token is not valid here.", reason: bearergate.ReasonReplay},
		"a proof without nonce, of nobody who sent one": {verifier: refuse(bearergate.ErrInvalidToken, bearergate.ReasonNonce), code: codes.Unauthenticated,
			wire: "INVALID_TOKEN", words: "The access token is not valid here.", reason: bearergate.ReasonNonce},
		"not its key": {verifier: refuse(bearergate.ErrInvalidToken, bearergate.ReasonBinding), code: codes.Unauthenticated,
			wire: "INVALID_TOKEN", words: "The access token is not valid here.", reason: bearergate.ReasonBinding},
		"misconfigured": {verifier: refuse(bearergate.ErrMisconfigured, bearergate.ReasonConfig), code: codes.Internal,
			wire: "MISCONFIGURED", words: "The access token cannot be checked because of an error in this server.", reason: bearergate.ReasonConfig},
		"foreign error": {verifier: answers(nil, cause), code: codes.Internal,
			wire: "MISCONFIGURED", words: "The access token cannot be checked because of an error in this server.", reason: bearergate.ReasonInternal},
		"foreign status": {verifier: answers(nil, status.Error(codes.OK, secret)), code: codes.Internal,
			wire: "MISCONFIGURED", words: "The access token cannot be checked because of an error in this server.", reason: bearergate.ReasonInternal},
		"neither token nor error": {verifier: answers(nil, nil), code: codes.Internal,
			wire: "MISCONFIGURED", words: "The access token cannot be checked because of an error in this server.", reason: bearergate.ReasonInternal},
		"a token beside an error": {verifier: answers(reader(nil), bearergate.ErrInvalidToken), code: codes.Unauthenticated,
			wire: "INVALID_TOKEN", words: "The access token is not valid here.", reason: bearergate.ReasonPolicy},
		"panic": {verifier: bearergate.VerifierFunc(func(_ context.Context, token string) (*bearergate.Token, error) { panic(token) }), code: codes.Internal,
			wire: "MISCONFIGURED", words: "The access token cannot be checked because of an error in this server.", reason: bearergate.ReasonInternal},
	} {
		t.Run(name, func(t *testing.T) {
			var seen events
			s := new(service)
			conn := serve(t, newGate(t, test.verifier, grpcgate.Config{Hooks: seen.hooks(), Domain: "orders.example.com"}), s)
			for _, call := range []func(context.Context, *grpc.ClientConn) error{call, stream} {
				err := call(bearer(t, secret), conn)
				info := requireStatus(t, err, test.code, test.wire)
				require.Equal(t, test.words, status.Convert(err).Message())
				require.Equal(t, "orders.example.com", info.GetDomain())
				require.Equal(t, test.metadata, info.GetMetadata())
				decided := seen.take()
				require.Len(t, decided, 1)
				require.Equal(t, test.reason, decided[0].Reason)
				wire, err := proto.Marshal(status.Convert(err).Proto())
				require.NoError(t, err)
				require.NotContains(t, string(wire), secret)
				details := status.Convert(call(bearer(t, secret), conn)).Details()
				seen.take()
				if !test.retry {
					require.Len(t, details, 1)
					continue
				}
				require.Len(t, details, 2)
				delay := details[1].(*errdetails.RetryInfo).GetRetryDelay().AsDuration()
				require.GreaterOrEqual(t, delay, 5*time.Second)
				require.LessOrEqual(t, delay, 8*time.Second)
			}
			require.Zero(t, s.count(), "the handler ran")
		})
	}
}

type explosive struct{}

func (explosive) Error() string   { return "explosive" }
func (explosive) Is(error) bool   { panic("boom") }
func (e explosive) Unwrap() error { panic("boom") }

// A caller that went away is not an outage. A caller whose time is up is one of
// what was waited for.
func TestCallerGone(t *testing.T) {
	waits := bearergate.VerifierFunc(func(ctx context.Context, _ string) (*bearergate.Token, error) {
		<-ctx.Done()
		return nil, &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonKeysUnavailable, Cause: ctx.Err()}
	})
	handler := func(context.Context, any) (any, error) { panic("the handler ran") }
	for name, test := range map[string]struct {
		context func(context.Context) (context.Context, context.CancelFunc)
		code    codes.Code
		wire    string
		details int
		reason  bearergate.Reason
		err     error
	}{
		"canceled": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(time.Second, cancel)
			return ctx, cancel
		}, codes.Canceled, "CANCELED", 1, bearergate.ReasonCanceled, context.Canceled},
		"timed out": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, time.Second)
		}, codes.Unavailable, "TEMPORARILY_UNAVAILABLE", 2, bearergate.ReasonKeysUnavailable, context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var seen events
				gate := newGate(t, waits, grpcgate.Config{Hooks: seen.hooks()})
				ctx, cancel := test.context(incoming(t.Context(), "x"))
				defer cancel()
				_, err := gate.Unary(ctx, nil, &grpc.UnaryServerInfo{FullMethod: unaryCall}, handler)
				requireStatus(t, err, test.code, test.wire)
				require.Len(t, status.Convert(err).Details(), test.details, "RetryInfo for an outage alone")
				decided := seen.take()
				require.Len(t, decided, 1)
				requireError(t, decided[0].Err, bearergate.ErrUnavailable, test.reason)
				require.ErrorIs(t, decided[0].Err, test.err)
			})
		})
	}
	// The same over the network, where the client ends its call at the deadline.
	t.Run("over the network", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var seen events
			s := new(service)
			conn := serve(t, newGate(t, waits, grpcgate.Config{Hooks: seen.hooks()}), s)
			ctx, cancel := context.WithTimeout(bearer(t, "x"), time.Second)
			defer cancel()
			start := time.Now()
			requireStatus(t, call(ctx, conn), codes.Unavailable, "TEMPORARILY_UNAVAILABLE")
			require.Equal(t, 990*time.Millisecond, time.Since(start), "before the client takes its call back")
			require.Zero(t, s.count())
			decided := seen.take()
			require.Len(t, decided, 1)
			requireError(t, decided[0].Err, bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)

			ctx, cancel = context.WithTimeout(bearer(t, "x"), 50*time.Millisecond)
			defer cancel()
			start = time.Now()
			requireStatus(t, stream(ctx, conn), codes.Unavailable, "TEMPORARILY_UNAVAILABLE")
			require.Equal(t, 45*time.Millisecond, time.Since(start), "a tenth of a short time")
			seen.take()

			ctx, cancel = context.WithCancel(bearer(t, "x"))
			time.AfterFunc(time.Second, cancel)
			require.Equal(t, codes.Canceled, status.Code(call(ctx, conn)))
			synctest.Wait()
			decided = seen.take()
			require.Len(t, decided, 1)
			requireError(t, decided[0].Err, bearergate.ErrUnavailable, bearergate.ReasonCanceled)
		})
	})
	// Whoever gives no time learns that, and no stranger can have it count as an outage.
	t.Run("over before it began", func(t *testing.T) {
		var seen events
		gate := newGate(t, bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) {
			t.Error("the verifier was asked")
			return nil, bearergate.ErrInvalidToken
		}), grpcgate.Config{Hooks: seen.hooks()})
		ctx, cancel := context.WithTimeout(incoming(t.Context(), "x"), -1)
		defer cancel()
		_, err := gate.Unary(ctx, nil, &grpc.UnaryServerInfo{FullMethod: unaryCall}, handler)
		requireStatus(t, err, codes.Unavailable, "TEMPORARILY_UNAVAILABLE")
		decided := seen.take()
		require.Len(t, decided, 1)
		requireError(t, decided[0].Err, bearergate.ErrUnavailable, bearergate.ReasonCanceled)
		require.ErrorIs(t, decided[0].Err, context.DeadlineExceeded)
	})
	t.Run("the handler has all of its time", func(t *testing.T) {
		gate := newGate(t, answers(reader(nil), nil), grpcgate.Config{})
		ctx, cancel := context.WithTimeout(incoming(t.Context(), "x"), time.Hour)
		defer cancel()
		want, _ := ctx.Deadline()
		require.NoError(t, unary(ctx, gate, func(ctx context.Context, _ any) (any, error) {
			got, _ := ctx.Deadline()
			require.Equal(t, want, got)
			return nil, ctx.Err()
		}))
	})
	t.Run("after a decision", func(t *testing.T) {
		gate := newGate(t, answers(nil, bearergate.ErrInvalidToken), grpcgate.Config{})
		ctx, cancel := context.WithCancel(incoming(t.Context(), "x"))
		cancel()
		_, err := gate.Unary(ctx, nil, &grpc.UnaryServerInfo{FullMethod: unaryCall}, handler)
		requireStatus(t, err, codes.Unauthenticated, "INVALID_TOKEN")
	})
}

func TestNilAndZeroGate(t *testing.T) {
	for name, gate := range map[string]*grpcgate.Gate{"nil": nil, "zero": {}} {
		t.Run(name, func(t *testing.T) {
			s := new(service)
			conn := serve(t, gate, s)
			info := requireStatus(t, call(bearer(t, "x"), conn), codes.Internal, "MISCONFIGURED")
			require.Equal(t, grpcgate.DefaultDomain, info.GetDomain())
			requireStatus(t, stream(bearer(t, "x"), conn), codes.Internal, "MISCONFIGURED")
			require.Zero(t, s.count())
			requireError(t, gate.CheckServices(nil), bearergate.ErrMisconfigured, bearergate.ReasonConfig)
			requireStatus(t, gate.Status(t.Context(), bearergate.ErrInvalidToken).Err(), codes.Unauthenticated, "INVALID_TOKEN")
		})
	}
}

func TestNewNamesEveryMistake(t *testing.T) {
	_, err := grpcgate.New((*jwtverify.Verifier)(nil), grpcgate.Config{
		Methods: map[string]scope.Requirement{
			"/a.B/Zero":     {},
			"/a.B/Bad":      scope.All("two words"),
			"/a.B/Template": scope.Template("read:{id}"),
			"a.B/NoSlash":   scope.All("x"),
			"/a.B/Twice":    scope.All("x"),
			"/a.B/Wild*":    scope.All("x"),
			"/*/Wild":       scope.All("x"),
			"/a.B/*":        scope.All("x"),
		},
		Authenticated: []string{"/a.B/Twice", "", "/a.B", "/a.B/", "/a.B/*", "//M", "/a.B/C/D", "x/a.B/M", "/a.B/sp ace", "/a.B/ä", "/a.B/\xff"},
		Public:        []string{"/a.B/Pub", "/a.B/Pub", "/a.C/*"},
		Via:           map[string]bearergate.Verifier{"/a.B/Via": answers(nil, nil), "/a.B/Twice": (*jwtverify.Verifier)(nil), "/a.B/Pub": nil, "/a.B/": answers(nil, nil)},
		StepUp: map[string]bearergate.StepUp{"/a.B/Up": {ACR: []string{"mfa"}}, "/a.B/Twice": {}, "/a.B/*": {ACR: []string{"two words"}, MaxAge: 1},
			"/a.B/Pub": {MaxAge: time.Minute}, "/a.B/Bad": {AuthContext: "c1 c2"}},
		Policies: map[string][]func(context.Context, string, *bearergate.Token) error{"/a.B/Policy": {func(context.Context, string, *bearergate.Token) error { return nil }},
			"/a.B/Pub": {nil}, "/a.B/Twice": {}, "/a.B/*": {func(context.Context, string, *bearergate.Token) error { return nil }, nil}},
		Delegation: map[string]bearergate.Delegation{"/a.B/Act": {AllowDirect: true}, "/a.B/Twice": {}, "/a.B/Pub": {AllowDirect: true, MaxChain: 1}},
		Bindings: []bearergate.Binding{nil, &binding{scheme: "Basic"}, &binding{scheme: bearergate.SchemeDPoP}, dpop(), dpop(),
			&binding{scheme: bearergate.SchemeBearer, members: []string{"a", "a"}}, (*binding)(nil)},
		Domain:               "a b",
		Realm:                `a"b`,
		MetadataURL:          "api.example.com",
		AuthorizationURI:     "https://a b",
		ExpiryLeeway:         -1,
		InsecureOutliveToken: true,
		Reverify:             time.Second - 1,
	})
	requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	for _, mistake := range []string{
		"the verifier is nil",
		`Config.Methods: "/a.B/Zero": the requirement is zero`,
		`Config.Methods: "/a.B/Bad": scope:`,
		`Config.Methods: "/a.B/Template": a template cannot be filled here, for a method has no path: use All or Any here`,
		`Config.Methods: "a.B/NoSlash": use the full name`,
		`Config.Methods: "/a.B/Wild*": only a whole method`,
		`Config.Methods: "/*/Wild": only a whole method`,
		`Config.Authenticated: "/a.B/Twice": listed before: list a method once`,
		`Config.Authenticated: "": use the full name`,
		`Config.Authenticated: "/a.B": use the full name`,
		`Config.Authenticated: "/a.B/": use the full name`,
		`Config.Authenticated: "/a.B/*": listed before`,
		`Config.Authenticated: "//M": use the full name`,
		`Config.Authenticated: "/a.B/C/D": use the full name`,
		`Config.Authenticated: "x/a.B/M": use the full name`,
		`Config.Authenticated: "/a.B/sp ace": use the full name`,
		`Config.Authenticated: "/a.B/ä": use the full name`,
		`Config.Authenticated: "/a.B/\xff": use the full name`,
		`Config.Public: "/a.B/Pub": listed before`,
		`Config.Public: "/a.C/*": a service cannot be public`,
		`Config.Via: "/a.B/Via": not listed in Methods or Authenticated by this name: list it there, or take it out here`,
		`Config.Via: "/a.B/Twice": the verifier is nil`,
		"Config.Via: \"/a.B/Pub\": the verifier is nil: pass one, or take the entry out\nnot listed",
		`Config.Via: "/a.B/": not listed`,
		`Config.StepUp: "/a.B/Up": not listed`,
		`Config.StepUp: "/a.B/Twice": StepUp demands nothing`,
		`Config.StepUp: "/a.B/*": StepUp: acr value 1`,
		"StepUp: maxAge is 1ns",
		`Config.StepUp: "/a.B/Pub": not listed`,
		`Config.StepUp: "/a.B/Bad": AuthContext: use printable ASCII`,
		`Config.Policies: "/a.B/Policy": not listed in Methods or Authenticated by this name`,
		"Config.Policies: \"/a.B/Pub\": there is no policy, or one is nil: pass functions, or take the entry out\nnot listed",
		`Config.Policies: "/a.B/Twice": there is no policy`,
		`Config.Policies: "/a.B/*": there is no policy, or one is nil`,
		`Config.Delegation: "/a.B/Act": not listed in Methods or Authenticated by this name: list it there, or take it out here`,
		`Config.Delegation: "/a.B/Twice": Delegation: there are no Actors`,
		"Config.Delegation: \"/a.B/Pub\": Delegation: MaxChain is set without Actors: nobody may act, so there is no chain; leave it out\nnot listed",
		"Config.Bindings: binding 1: it is nil: leave it out",
		`binding 2: its scheme is "Basic"`,
		"binding 3: it names no member",
		`binding 5: the member "jkt" has two`,
		`binding 6: the member "a" has two`,
		"binding 7: a method of it panicked",
		`Config.Domain: "a b"`,
		"Config.Realm: byte 0x22 at 1",
		"Config.MetadataURL: write an absolute URL",
		"Config.AuthorizationURI: write an absolute URL",
		"Config.ExpiryLeeway: -1ns",
		"Config.Reverify: 999.999999ms: use at least 1s, 30*time.Second for example, or 0 for never",
		"Config.InsecureOutliveToken: contradicts",
	} {
		require.ErrorContains(t, err, mistake)
	}

	one := []string{"/a.B/M"}
	for name, c := range map[string]grpcgate.Config{
		"no method is listed":   {},
		"Config.RequireBinding": {Authenticated: one, RequireBinding: true},
		"Config.ExpiryLeeway":   {Authenticated: one, ExpiryLeeway: grpcgate.MaxExpiryLeeway + 1},
		"Config.Reverify":       {Authenticated: one, Reverify: -time.Hour},
		"InsecureOutliveToken":  {Authenticated: one, InsecureOutliveToken: true, Reverify: time.Hour},
		"InsecureOutliveToken:": {Authenticated: one, InsecureOutliveToken: true, ExpiryLeeway: time.Second},
	} {
		_, err := grpcgate.New(answers(reader(nil), nil), c)
		requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
		require.ErrorContains(t, err, name)
	}
	_, err = grpcgate.New(nil, grpcgate.Config{Authenticated: one})
	require.ErrorContains(t, err, "the verifier is nil")
	_, err = grpcgate.New(answers(reader(nil), nil), grpcgate.Config{Authenticated: one, ExpiryLeeway: grpcgate.MaxExpiryLeeway, Reverify: grpcgate.MinReverify})
	require.NoError(t, err, "the bounds themselves are allowed")
}

func TestDefaults(t *testing.T) {
	require.Equal(t, "bearergate", grpcgate.DefaultDomain)
	require.Equal(t, time.Second, grpcgate.MinReverify)
	require.Equal(t, 5*time.Minute, grpcgate.MaxExpiryLeeway)
	gate := newGate(t, answers(reader(nil), nil), grpcgate.Config{})
	info := requireStatus(t, gate.Status(t.Context(), bearergate.ErrMissingToken).Err(), codes.Unauthenticated, "MISSING_TOKEN")
	require.Equal(t, grpcgate.DefaultDomain, info.GetDomain())
}

// What the caller does to its Config afterwards changes nothing.
func TestNewCopies(t *testing.T) {
	b := mtls()
	c := grpcgate.Config{
		Methods:       map[string]scope.Requirement{unaryCall: scope.All("admin")},
		Authenticated: []string{duplex},
		Public:        []string{emptyCall},
		Via:           map[string]bearergate.Verifier{duplex: answers(boundBy("x5t#S256"), nil)},
		StepUp:        map[string]bearergate.StepUp{duplex: {ACR: []string{"mfa"}}},
		Bindings:      []bearergate.Binding{b},
	}
	gate, err := grpcgate.New(answers(reader(nil), nil), c)
	require.NoError(t, err)
	c.Methods[unaryCall], c.Authenticated[0], c.Public[0] = scope.All("read"), emptyCall, unaryCall
	c.StepUp[duplex].ACR[0], c.Bindings[0] = "otp", nil
	delete(c.Via, duplex)
	conn := serve(t, gate, new(service))
	requireStatus(t, call(with(t), conn), codes.Unauthenticated, "MISSING_TOKEN")
	requireStatus(t, call(bearer(t, "x"), conn), codes.PermissionDenied, "INSUFFICIENT_SCOPE")
	requireStatus(t, stream(bearer(t, "x"), conn), codes.Unauthenticated, "INSUFFICIENT_USER_AUTHENTICATION")
	require.EqualValues(t, 1, b.asked.Load())
}

// A panic of the handler is left to whoever recovers.
func TestHandlerPanics(t *testing.T) {
	gate := newGate(t, answers(reader(func(c *bearergate.Claims) { c.ExpiresAt = time.Now().Add(time.Hour) }), nil), grpcgate.Config{})
	require.PanicsWithValue(t, "boom", func() {
		_, _ = gate.Unary(incoming(t.Context(), "x"), nil, &grpc.UnaryServerInfo{FullMethod: unaryCall},
			func(context.Context, any) (any, error) { panic("boom") })
	})
	require.PanicsWithValue(t, "boom", func() {
		_ = gate.Stream(nil, &fakeStream{ctx: incoming(t.Context(), "x")}, &grpc.StreamServerInfo{FullMethod: duplex},
			func(any, grpc.ServerStream) error { panic("boom") })
	})
}

func TestConcurrentCalls(t *testing.T) {
	as := authtest.New(t)
	verifier, err := jwtverify.New(jwtverify.Config{Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client()})
	require.NoError(t, err)
	var seen events
	conn := serve(t, newGate(t, verifier, grpcgate.Config{Hooks: seen.hooks(), Reverify: time.Second}), new(service))
	good := as.Token(authtest.Claims{Scopes: scope.Of("read")})
	var wg sync.WaitGroup
	failed := make(chan error, 64)
	for range 16 {
		wg.Go(func() { failed <- call(bearer(t, good), conn) })
		wg.Go(func() { failed <- stream(bearer(t, good), conn) })
		wg.Go(func() {
			if err := call(bearer(t, "bad"), conn); status.Code(err) != codes.Unauthenticated {
				failed <- fmt.Errorf("a bad token: %w", err)
			}
		})
	}
	wg.Wait()
	close(failed)
	for err := range failed {
		require.NoError(t, err)
	}
	require.Len(t, seen.take(), 48)
}
