package grpcgate_test

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/tap"

	"github.com/bearergate/bearergate"
	grpcgate "github.com/bearergate/bearergate/adapters/grpc"
	"github.com/bearergate/bearergate/scope"
)

// trace remembers who ran, in order.
type trace struct {
	mu  sync.Mutex // guards ran
	ran []string
}

func (tr *trace) add(name string) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.ran = append(tr.ran, name)
}

func (tr *trace) take() []string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	ran := tr.ran
	tr.ran = nil
	return ran
}

func (tr *trace) unary(name string) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		tr.add(name)
		return handler(ctx, req)
	}
}

func (tr *trace) stream(name string) grpc.StreamServerInterceptor {
	return func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		tr.add(name)
		return handler(srv, ss)
	}
}

type statsHandler struct{ *trace }

func (h statsHandler) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context {
	h.add("stats")
	return ctx
}
func (statsHandler) HandleRPC(context.Context, stats.RPCStats)                         {}
func (statsHandler) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (statsHandler) HandleConn(context.Context, stats.ConnStats)                       {}

// The package comment says what runs before the gate: this is what gRPC for Go does.
func TestOrderOfInterceptors(t *testing.T) {
	var tr trace
	hooks := grpcgate.Hooks{Decided: func(context.Context, grpcgate.DecisionEvent) { tr.add("gate") }}
	gate := newGate(t, answers(reader(nil), nil), grpcgate.Config{Hooks: hooks})
	early := []string{"tap", "stats", "alone", "gate"}
	// serve gives the options of the gate first.
	conn := serve(t, gate, new(service),
		grpc.ChainUnaryInterceptor(tr.unary("chain")), grpc.ChainStreamInterceptor(tr.stream("chain")),
		grpc.UnaryInterceptor(tr.unary("alone")), grpc.StreamInterceptor(tr.stream("alone")),
		grpc.StatsHandler(statsHandler{&tr}),
		grpc.InTapHandle(func(ctx context.Context, _ *tap.Info) (context.Context, error) {
			tr.add("tap")
			return ctx, nil
		}))
	for name, send := range map[string]func(context.Context, *grpc.ClientConn) error{"unary": call, "stream": stream} {
		require.Error(t, send(t.Context(), conn))
		require.Equal(t, early, tr.take(), "%s: for a stranger", name)
		require.NoError(t, send(bearer(t, "x"), conn))
		require.Equal(t, append(early, "chain"), tr.take(), name)
	}

	// Alone, the gate is before everything else of its kind.
	alone := []grpc.ServerOption{grpc.ChainUnaryInterceptor(tr.unary("chain")), grpc.UnaryInterceptor(gate.Unary), grpc.StreamInterceptor(gate.Stream)}
	require.Panics(t, func() { grpc.NewServer(append(alone, grpc.UnaryInterceptor(tr.unary("alone")))...) })
	require.Panics(t, func() { grpc.NewServer(append(alone, grpc.StreamInterceptor(tr.stream("alone")))...) })
}

func TestTokenSaysWhyThereIsNone(t *testing.T) {
	gate := newGate(t, answers(reader(nil), nil), grpcgate.Config{
		Methods: map[string]scope.Requirement{unaryCall: scope.All("read")}, Public: []string{emptyCall}})
	in := func(method string) context.Context {
		return grpc.NewContextWithServerTransportStream(incoming(t.Context(), "x"), transport(method))
	}
	drop := func(_ context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		return handler(in(info.FullMethod), req) // a context of its own
	}
	ask := func(ctx context.Context, _ any) (any, error) { return gate.Token(ctx) }
	info := func(method string) *grpc.UnaryServerInfo { return &grpc.UnaryServerInfo{FullMethod: method} }
	for _, tt := range []struct {
		name   string
		ask    func() (any, error)
		kind   error
		reason bearergate.Reason
		says   string
	}{
		{name: "behind the gate", ask: func() (any, error) { return gate.Unary(in(unaryCall), nil, info(unaryCall), ask) }},
		{name: "before it", ask: func() (any, error) { return ask(in(unaryCall), nil) }, kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonConfig, says: "grpc.UnaryInterceptor or grpc.StreamInterceptor, which run before every chain"},
		{name: "behind an interceptor with a context of its own", ask: func() (any, error) {
			return gate.Unary(in(unaryCall), nil, info(unaryCall), func(ctx context.Context, req any) (any, error) { return drop(ctx, req, info(unaryCall), ask) })
		}, kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonConfig, says: "pass on the context"},
		{name: "a public method", ask: func() (any, error) { return gate.Unary(in(emptyCall), nil, info(emptyCall), ask) }, kind: bearergate.ErrMissingToken, reason: bearergate.ReasonNoToken, says: "public"},
		{name: "a method that is not listed", ask: func() (any, error) { return ask(in(duplex), nil) }, kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonConfig, says: "not listed"},
		{name: "no call at all", ask: func() (any, error) { return ask(t.Context(), nil) }, kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonConfig, says: "no call of gRPC"},
		{name: "no context", ask: func() (any, error) { return gate.Token(nil) }, kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonConfig, says: "no call of gRPC"}, //nolint:staticcheck // nil is what is tried
		{name: "no gate", ask: func() (any, error) { return new(grpcgate.Gate).Token(in(unaryCall)) }, kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonConfig, says: "nil or zero"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.ask()
			if tt.kind == nil {
				require.NoError(t, err)
				require.NotNil(t, got)
				return
			}
			require.Nil(t, got)
			requireError(t, err, tt.kind, tt.reason)
			require.ErrorContains(t, err, tt.says)
		})
	}

	// The client is told nothing of it.
	_, err := gate.Token(in(unaryCall))
	requireStatus(t, gate.Status(t.Context(), err).Err(), codes.Internal, "MISCONFIGURED")
}

// transport is what gRPC knows of a call.
type transport string

func (m transport) Method() string             { return string(m) }
func (transport) SetHeader(metadata.MD) error  { return nil }
func (transport) SendHeader(metadata.MD) error { return nil }
func (transport) SetTrailer(metadata.MD) error { return nil }
