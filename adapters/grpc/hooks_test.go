package grpcgate_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"github.com/bearergate/bearergate"
	grpcgate "github.com/bearergate/bearergate/adapters/grpc"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/kit"
)

func unary(ctx context.Context, gate *grpcgate.Gate, handler grpc.UnaryHandler) error {
	_, err := gate.Unary(ctx, nil, &grpc.UnaryServerInfo{FullMethod: unaryCall}, handler)
	return err
}

func nothing(context.Context, any) (any, error) { return nil, nil }

func TestDecided(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		token := reader(nil)
		slow := bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) {
			time.Sleep(3 * time.Second)
			return token, nil
		})
		need := scope.Any("read", "admin")
		var decided []grpcgate.DecisionEvent
		gate := newGate(t, slow, grpcgate.Config{Methods: map[string]scope.Requirement{unaryCall: need},
			Hooks: grpcgate.Hooks{Decided: func(ctx context.Context, e grpcgate.DecisionEvent) {
				require.Equal(t, "caller", ctx.Value(key{}), "the context of the call")
				decided = append(decided, e)
			}}})
		require.NoError(t, unary(context.WithValue(incoming(t.Context(), "x"), key{}, "caller"), gate, func(context.Context, any) (any, error) {
			require.Len(t, decided, 1, "told before the handler runs")
			time.Sleep(time.Hour)
			return nil, nil
		}))
		require.Equal(t, []grpcgate.DecisionEvent{{Token: token, Required: need, Method: unaryCall, Duration: 3 * time.Second}}, decided)
	})
}

func TestAPanickingHookChangesNothing(t *testing.T) {
	kit.EachHook(t, grpcgate.JoinHooks)
	var panics []bearergate.PanicEvent
	boom := func(context.Context, grpcgate.DecisionEvent) { panic("boom") }
	for name, hooks := range map[string]grpcgate.Hooks{
		"reported": {Decided: boom, Panicked: func(_ context.Context, e bearergate.PanicEvent) { panics = append(panics, e) }},
		"ignored":  {Decided: boom},
		"in vain":  {Decided: boom, Panicked: func(context.Context, bearergate.PanicEvent) { panic("again") }},
	} {
		t.Run(name, func(t *testing.T) {
			gate := newGate(t, answers(reader(nil), nil), grpcgate.Config{Hooks: hooks})
			ran := false
			require.NoError(t, unary(incoming(t.Context(), "x"), gate, func(context.Context, any) (any, error) { ran = true; return nil, nil }))
			require.True(t, ran)
			require.Error(t, unary(t.Context(), gate, nothing))
		})
	}
	event := bearergate.PanicEvent{Where: "Decided", Type: "string"}
	require.Equal(t, []bearergate.PanicEvent{event, event}, panics)
}

func TestJoinHooks(t *testing.T) {
	var calls []string
	decided := func(name string) func(context.Context, grpcgate.DecisionEvent) {
		return func(_ context.Context, e grpcgate.DecisionEvent) { calls = append(calls, name+string(e.Reason)) }
	}
	panicked := func(name string) func(context.Context, bearergate.PanicEvent) {
		return func(_ context.Context, e bearergate.PanicEvent) { calls = append(calls, name+e.Where) }
	}
	hooks := []grpcgate.Hooks{
		{Decided: decided("a ")},
		{},
		{Decided: func(context.Context, grpcgate.DecisionEvent) { panic("boom") }, Panicked: func(context.Context, bearergate.PanicEvent) { panic("again") }},
		{Panicked: panicked("c ")},
		{Decided: decided("d "), Panicked: panicked("d ")},
	}
	joined := grpcgate.JoinHooks(hooks...)
	hooks[0] = grpcgate.Hooks{} // a copy was taken
	gate := newGate(t, answers(reader(nil), nil), grpcgate.Config{Hooks: grpcgate.JoinHooks(joined, grpcgate.Hooks{Decided: decided("e ")})})
	require.Error(t, unary(t.Context(), gate, nothing))
	require.Equal(t, []string{"a no_token", "c Decided", "d Decided", "d no_token", "e no_token"}, calls)
}
