package bearergate_test

import (
	"context"
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/stretchr/testify/require"
)

func TestHook(t *testing.T) {
	type traceKey struct{}
	type hook = func(context.Context, string)
	ctx := context.WithValue(t.Context(), traceKey{}, "trace")
	var calls []string
	note := func(name string) hook {
		return func(ctx context.Context, event string) {
			require.Equal(t, "trace", ctx.Value(traceKey{}))
			calls = append(calls, name+" "+event)
		}
	}
	panics := func(value any) hook {
		return func(ctx context.Context, event string) {
			note("panics")(ctx, event)
			panic(value)
		}
	}
	for _, row := range []struct {
		name  string
		hooks []hook
		calls []string
		told  []string // the types
	}{
		{name: "one", hooks: []hook{note("a")}, calls: []string{"a 1"}},
		{name: "in order, without the nil ones", hooks: []hook{nil, note("a"), nil, note("b"), note("c"), nil},
			calls: []string{"a 1", "b 1", "c 1"}},
		{name: "one panics", hooks: []hook{panics("x")}, calls: []string{"panics 1"}, told: []string{"string"}},
		{name: "the first panics", hooks: []hook{panics("x"), note("b")}, calls: []string{"panics 1", "b 1"}, told: []string{"string"}},
		{name: "the last panics", hooks: []hook{note("a"), panics("x")}, calls: []string{"a 1", "panics 1"}, told: []string{"string"}},
		{name: "all panic", hooks: []hook{panics(1), panics(2)}, calls: []string{"panics 1", "panics 1"}, told: []string{"int", "int"}},
		{name: "panic(nil)", hooks: []hook{panics(nil), note("b")}, calls: []string{"panics 1", "b 1"}, told: []string{""}},
		{name: "hooks of hooks", hooks: []hook{bearergate.Hook("", nil, note("a"), panics("x")), note("b")},
			calls: []string{"a 1", "panics 1", "b 1"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Setenv("GODEBUG", "panicnil=1") // as before Go 1.21: recover returns nil for panic(nil)
			for how, panicked := range map[string]func(){
				"told of panics": func() {}, "panics as well": func() { panic("again") },
			} {
				calls = nil
				var told []string
				bearergate.Hook("Where", func(ctx context.Context, e bearergate.PanicEvent) {
					require.Equal(t, "trace", ctx.Value(traceKey{}))
					require.Equal(t, "Where", e.Where)
					told = append(told, e.Type)
					panicked()
				}, row.hooks...)(ctx, "1")
				require.Equal(t, row.calls, calls, how)
				require.Equal(t, row.told, told, how)
			}
			calls = nil
			bearergate.Hook("", nil, row.hooks...)(ctx, "1")
			require.Equal(t, row.calls, calls, "nobody is told of panics")
		})
	}
}

func TestHookOfNothing(t *testing.T) {
	var none func(context.Context, int)
	panicked := func(context.Context, bearergate.PanicEvent) {}
	require.Nil(t, bearergate.Hook[int]("", panicked))
	require.Nil(t, bearergate.Hook("", panicked, none))
	require.Nil(t, bearergate.Hook("", nil, none, none))
}

// The caller's list stays the caller's.
func TestHookCopies(t *testing.T) {
	calls := 0
	count := func(context.Context, int) { calls++ }
	fs := []func(context.Context, int){nil, count, count}
	joined := bearergate.Hook("", nil, fs...)
	require.Nil(t, fs[0])
	require.NotNil(t, fs[2])
	fs[1], fs[2] = nil, nil
	joined(t.Context(), 0)
	require.Equal(t, 2, calls)
}

func explode(context.Context, int) { panic("x") }

// Whoever is told of a panic sees where it came from.
func TestHookStack(t *testing.T) {
	var stack string
	bearergate.Hook("", func(context.Context, bearergate.PanicEvent) { stack = string(debug.Stack()) }, explode)(t.Context(), 0)
	require.Contains(t, stack, "bearergate_test.explode")
}

// A hook may end the goroutine that calls it, as a test does with FailNow: that
// is told as well.
func TestHookThatEndsItsGoroutine(t *testing.T) {
	var told []bearergate.PanicEvent
	require.True(t, kit.EndsGoroutine(func() {
		bearergate.Hook("Where", func(_ context.Context, e bearergate.PanicEvent) { told = append(told, e) },
			func(context.Context, int) { runtime.Goexit() })(t.Context(), 0)
	}))
	require.Equal(t, []bearergate.PanicEvent{{Where: "Where"}}, told)
}

func TestHookAllocatesNothing(t *testing.T) {
	type event struct{ fields [20]uint64 }
	var sum uint64
	add := func(_ context.Context, e event) { sum += e.fields[19] }
	hook, ctx := bearergate.Hook("", func(context.Context, bearergate.PanicEvent) {}, add, add), t.Context()
	require.Zero(t, testing.AllocsPerRun(100, func() { hook(ctx, event{}) }))
}
