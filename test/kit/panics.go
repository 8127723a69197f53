package kit

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/bearergate/bearergate"
	"github.com/stretchr/testify/require"
)

// PanicSecret is what the functions of [EachPanic] panic with: nobody may read it.
const PanicSecret = "hunter2"

// Panic is a way for a function of the user's not to return.
type Panic struct {
	Name string
	Do   func()
	Type string // what Hooks.Panicked are told
	Ends bool   // it ends the goroutine, which nobody can stop
}

func panics() []Panic {
	type credentials struct{ password string }
	return []Panic{
		{Name: "panics with a text", Do: func() { panic(PanicSecret) }, Type: "string"},
		{Name: "panics with a struct", Do: func() { panic(&credentials{PanicSecret}) }, Type: "*kit.credentials"},
		{Name: "panics with an error", Do: func() { panic(errors.New(PanicSecret)) }, Type: "*errors.errorString"},
		{Name: "panics with an error of ours", Do: func() { panic(bearergate.ErrInvalidToken) }, Type: "*errors.errorString"},
		{Name: "panics with nil", Do: func() { panic(nil) }}, //nolint:govet // nilness: a nil that panics is the case
		{Name: "ends its goroutine", Do: func() { runtime.Goexit() }, Ends: true},
	}
}

// EachPanic runs f once for each way in which a function of the user's may not
// return: f has it call p.Do, and Hooks.Panicked be told. The error of f is what was
// made of the panic, if anything. EachPanic checks that the event names the function
// by where, that runtime/debug.Stack showed the function then, and that neither the
// event nor the error holds what the panic held.
func EachPanic(t *testing.T, where string, f func(t *testing.T, p Panic, told func(context.Context, bearergate.PanicEvent)) error) {
	t.Helper()
	t.Setenv("GODEBUG", "panicnil=1") // recover returns nil for panic(nil), as it did before Go 1.21
	for _, p := range panics() {
		t.Run(where+" "+p.Name, func(t *testing.T) {
			var events []bearergate.PanicEvent
			var stack string
			var err error
			told := func(_ context.Context, e bearergate.PanicEvent) {
				events = append(events, e)
				stack = string(debug.Stack())
			}
			require.Equal(t, p.Ends, EndsGoroutine(func() { err = f(t, p, told) }))
			require.NotEmpty(t, events)
			if !p.Ends { // a Goexit is told by each guard that it unwinds through, this one first
				require.Len(t, events, 1)
			}
			require.Equal(t, bearergate.PanicEvent{Where: where, Type: p.Type}, events[0])
			require.Contains(t, stack, "kit.panics", "the function that panicked")
			require.NotContains(t, fmt.Sprintf("%v %+v %#v %v %+v %#v", events, events, events, err, err, err), PanicSecret)
			for ; err != nil; err = errors.Unwrap(err) {
				require.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), PanicSecret)
			}
		})
	}
}

// EachHook runs [EachPanic] for every hook of a package, given its JoinHooks. One
// that panics, and a Panicked that panics, keep nobody from being called.
func EachHook[H any](t *testing.T, join func(...H) H) {
	t.Helper()
	all := reflect.TypeFor[H]()
	for i := range all.NumField() {
		field := all.Field(i)
		if field.Name == "Panicked" {
			continue
		}
		hooks := func(call func(), panicked func(context.Context, bearergate.PanicEvent)) (h H) {
			v := reflect.ValueOf(&h).Elem()
			v.Field(i).Set(reflect.MakeFunc(field.Type, func([]reflect.Value) []reflect.Value { call(); return nil }))
			v.FieldByName("Panicked").Set(reflect.ValueOf(panicked))
			return h
		}
		EachPanic(t, field.Name, func(t *testing.T, p Panic, told func(context.Context, bearergate.PanicEvent)) error {
			called := 0
			call := func() { called++ }
			again := func(context.Context, bearergate.PanicEvent) { panic("again") }
			var none H
			joined := reflect.ValueOf(join(hooks(call, again), none, hooks(p.Do, again), join(hooks(call, told)))).Field(i)
			joined.Call([]reflect.Value{reflect.ValueOf(t.Context()), reflect.Zero(field.Type.In(1))})
			require.Equal(t, 2, called, "the others")
			return nil
		})
		require.True(t, reflect.ValueOf(join(*new(H), *new(H))).Field(i).IsNil(), "what nobody listens to costs nothing")
	}
	require.True(t, reflect.ValueOf(join()).FieldByName("Panicked").IsNil())
}
