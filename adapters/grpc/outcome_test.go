package grpcgate_test

import (
	"context"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/bearergate/bearergate"
	grpcgate "github.com/bearergate/bearergate/adapters/grpc"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/kit"
)

// What a Binding may do is judged as everywhere: the same table as in jwtverify,
// introspect and middleware.
func TestBindingOutcomes(t *testing.T) {
	bound := bearergate.NewToken(bearergate.Claims{Issuer: "https://as.example", Scopes: scope.Of("read"), Confirmation: map[string][]byte{"x5t#S256": []byte(`"k"`)}})
	for _, o := range kit.Outcomes(kit.Verdict{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonBinding}) {
		kit.EachCaller(t, o, func(t *testing.T, ctx context.Context, end func(), want kit.Verdict) {
			b := &binding{scheme: bearergate.SchemeBearer, members: []string{"x5t#S256"}}
			b.that(func(ctx context.Context, _ bearergate.Call, _ *bearergate.Token) error { end(); return o.Do(ctx) })
			var decided error
			gate := newGate(t, answers(bound, nil), grpcgate.Config{
				Bindings: []bearergate.Binding{b},
				Hooks:    grpcgate.Hooks{Decided: func(_ context.Context, e grpcgate.DecisionEvent) { decided = e.Err }},
			})
			requireVerdict(ctx, t, gate, &decided, want)
		})
	}
}

// So is what a policy may do, whose time is limited.
func TestPolicyOutcomes(t *testing.T) {
	for _, o := range kit.OutcomesWithin(kit.Verdict{Kind: bearergate.ErrForbidden, Reason: bearergate.ReasonPolicy}) {
		kit.EachCaller(t, o, func(t *testing.T, ctx context.Context, end func(), want kit.Verdict) {
			var decided error
			gate := newGate(t, answers(reader(nil), nil), grpcgate.Config{
				Policies: map[string][]decide{unaryCall: {func(inner context.Context, _ string, _ *bearergate.Token) error {
					if end(); ctx.Err() != nil {
						<-inner.Done() // which ends a little later than ctx: it stands around metadata
					}
					return o.Do(inner)
				}}},
				Hooks: grpcgate.Hooks{Decided: func(_ context.Context, e grpcgate.DecisionEvent) { decided = e.Err }},
			})
			requireVerdict(ctx, t, gate, &decided, want)
		})
	}
}

// Nothing was decided where a verifier ends the goroutine of the call: the handler
// does not run, and the event does not say that the call may go on.
func TestAVerifierThatEndsTheGoroutine(t *testing.T) {
	var decided error
	ran := false
	gate := newGate(t, bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) { runtime.Goexit(); return nil, nil }),
		grpcgate.Config{Hooks: grpcgate.Hooks{Decided: func(_ context.Context, e grpcgate.DecisionEvent) { decided = e.Err }}})
	require.True(t, kit.EndsGoroutine(func() {
		ctx := metadata.NewIncomingContext(context.Background(), metadata.Pairs("authorization", "Bearer x"))
		_, _ = gate.Unary(ctx, nil, &grpc.UnaryServerInfo{FullMethod: unaryCall}, func(context.Context, any) (any, error) { ran = true; return nil, nil })
	}))
	require.False(t, ran)
	kit.RequireError(t, decided, bearergate.ErrMisconfigured, bearergate.ReasonInternal)
}

// requireVerdict requires that a call is let in, or refused and told of, as want says.
func requireVerdict(ctx context.Context, t *testing.T, gate *grpcgate.Gate, decided *error, want kit.Verdict) {
	t.Helper()
	ran := false
	ctx = metadata.NewIncomingContext(ctx, metadata.Pairs("authorization", "Bearer x"))
	_, err := gate.Unary(ctx, nil, &grpc.UnaryServerInfo{FullMethod: unaryCall}, func(context.Context, any) (any, error) {
		ran = true
		return nil, nil
	})
	require.Equal(t, want.Kind == nil, ran)
	if want.Kind == nil {
		require.NoError(t, err)
		require.NoError(t, *decided)
		return
	}
	require.Error(t, err)
	kit.RequireError(t, *decided, want.Kind, want.Reason)
}
