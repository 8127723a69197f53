package connectgate_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/bearergate/bearergate"
	connectgate "github.com/bearergate/bearergate/adapters/connect"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

const (
	get    = "/orders.v1.Orders/Get"
	list   = "/orders.v1.Orders/List" // without side effects, so by GET too
	pay    = "/orders.v1.Orders/Pay"  // asks for a step-up
	watch  = "/orders.v1.Orders/Watch"
	talk   = "/orders.v1.Orders/Talk"
	health = "/orders.v1.Orders/Health" // public
	hidden = "/orders.v1.Orders/Hidden" // served and not listed
)

type (
	message = wrapperspb.StringValue
	client  = connect.Client[message, message]
)

// service counts what reaches it and answers with the subject of the token.
type service struct {
	mu   sync.Mutex // guards runs
	runs int
	// says is what Get returns, nil for the subject.
	says func(context.Context) error
	// holds is what Talk does, nil for an echo.
	holds func(context.Context, *connect.BidiStream[message, message]) error
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

func subject(ctx context.Context) *message {
	token, ok := bearergate.FromContext(ctx)
	if !ok {
		return wrapperspb.String("nobody")
	}
	return wrapperspb.String(token.Subject())
}

func (s *service) unary(ctx context.Context, _ *connect.Request[message]) (*connect.Response[message], error) {
	s.ran()
	if s.says != nil {
		if err := s.says(ctx); err != nil {
			return nil, err
		}
	}
	return connect.NewResponse(subject(ctx)), nil
}

func (s *service) server(ctx context.Context, _ *connect.Request[message], stream *connect.ServerStream[message]) error {
	s.ran()
	return stream.Send(subject(ctx))
}

func (s *service) bidi(ctx context.Context, stream *connect.BidiStream[message, message]) error {
	s.ran()
	if s.holds != nil {
		return s.holds(ctx, stream)
	}
	for {
		if _, err := stream.Receive(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := stream.Send(subject(ctx)); err != nil {
			return err
		}
	}
}

// mux is the service as generated code would serve it.
func (s *service) mux(opts ...connect.HandlerOption) *http.ServeMux {
	mux := http.NewServeMux()
	for _, procedure := range []string{get, pay, health, hidden} {
		mux.Handle(procedure, connect.NewUnaryHandler(procedure, s.unary, opts...))
	}
	mux.Handle(list, connect.NewUnaryHandler(list, s.unary, append(opts, connect.WithIdempotency(connect.IdempotencyNoSideEffects))...))
	mux.Handle(watch, connect.NewServerStreamHandler(watch, s.server, opts...))
	mux.Handle(talk, connect.NewBidiStreamHandler(talk, s.bidi, opts...))
	return mux
}

// events remembers what the hooks were told.
type events struct {
	mu  sync.Mutex // guards all
	all []middleware.DecisionEvent
}

func (e *events) hooks() middleware.Hooks {
	return middleware.Hooks{Decided: func(_ context.Context, event middleware.DecisionEvent) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.all = append(e.all, event)
	}}
}

// take returns the events since it was last called.
func (e *events) take() []middleware.DecisionEvent {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := e.all
	e.all = nil
	return all
}

// newGate returns a gate that lists the procedures as their constants say.
func newGate(t *testing.T, v bearergate.Verifier, c middleware.Config, watched ...middleware.RouteOption) *connectgate.Gate {
	t.Helper()
	gate, err := connectgate.New(v, connectgate.Config{Gate: c})
	require.NoError(t, err)
	gate.Handle(get, scope.All("read"))
	gate.Authenticated(list)
	gate.Handle(pay, scope.All("pay"), middleware.StepUp([]string{"mfa"}, 0))
	gate.Handle(watch, scope.All("read"), watched...)
	gate.Handle(talk, scope.All("read"), watched...)
	gate.Public(health)
	return gate
}

// serve serves the service behind the gate over TLS, by HTTP/2 and, for who wants it, 1.1.
func serve(t *testing.T, gate *connectgate.Gate, s *service) *httptest.Server {
	t.Helper()
	handler, err := gate.Handler(s.mux(connect.WithInterceptors(gate.Interceptor())))
	require.NoError(t, err)
	server := httptest.NewUnstartedServer(handler)
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// old is a client that speaks HTTP/1.1.
func old(t *testing.T, server *httptest.Server) *http.Client {
	t.Helper()
	transport := server.Client().Transport.(*http.Transport).Clone()
	transport.Protocols = new(http.Protocols)
	transport.Protocols.SetHTTP1(true)
	transport.TLSClientConfig.NextProtos = []string{"http/1.1"}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// issuer is an authorization server and a verifier of its tokens.
func issuer(t *testing.T) (*authtest.Server, bearergate.Verifier) {
	t.Helper()
	as := authtest.New(t)
	v, err := jwtverify.New(jwtverify.Config{Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client()})
	require.NoError(t, err)
	return as, v
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

// ask calls a procedure, whatever its kind, and returns the first message of the answer.
func ask(t *testing.T, c *client, procedure string, authorization ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	switch procedure {
	case watch:
		request := connect.NewRequest(wrapperspb.String("7"))
		request.Header()["Authorization"] = authorization
		stream, err := c.CallServerStream(ctx, request)
		if err != nil {
			return "", err
		}
		defer func() { _ = stream.Close() }()
		if stream.Receive() {
			return stream.Msg().GetValue(), nil
		}
		return "", stream.Err()
	case talk:
		stream := c.CallBidiStream(ctx)
		defer func() { _ = stream.CloseResponse() }()
		stream.RequestHeader()["Authorization"] = authorization
		_ = stream.Send(wrapperspb.String("7")) // why it failed, Receive tells
		answer, err := stream.Receive()
		_ = stream.CloseRequest()
		return answer.GetValue(), err
	default:
		request := connect.NewRequest(wrapperspb.String("7"))
		request.Header()["Authorization"] = authorization
		response, err := c.CallUnary(ctx, request)
		if err != nil {
			return "", err
		}
		return response.Msg.GetValue(), nil
	}
}

// requireRefused requires an error with this code and ErrorInfo, and returns both.
func requireRefused(t *testing.T, err error, code connect.Code, reason string) (*connect.Error, *errdetails.ErrorInfo) {
	t.Helper()
	var refused *connect.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, code, refused.Code(), "%v", err)
	require.NotEmpty(t, refused.Details(), "%v", err)
	detail, err := refused.Details()[0].Value()
	require.NoError(t, err)
	info, ok := detail.(*errdetails.ErrorInfo)
	require.True(t, ok)
	require.Equal(t, reason, info.GetReason())
	return refused, info
}
