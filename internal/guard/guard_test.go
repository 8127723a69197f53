package guard_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/bearergate/bearergate/internal/guard"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/stretchr/testify/require"
)

func TestCall(t *testing.T) {
	t.Setenv("GODEBUG", "panicnil=1") // recover returns nil for panic(nil), as it did before Go 1.21
	boom, told := errors.New("boom"), errors.New("told")
	returns := func(err error) func() error { return func() error { return err } }
	panics := func(value any) func() error { return func() error { panic(value) } }
	for _, row := range []struct {
		name    string
		f       func() error
		want    error // with nobody to be told
		panicky bool
	}{
		{name: "returns nil", f: returns(nil)},
		{name: "returns an error", f: returns(boom), want: boom},
		{name: "returns a Panic", f: returns(guard.PanicError{Type: "int"}), want: guard.PanicError{Type: "int"}},
		{name: "panics with a text", f: panics("hunter2"), want: guard.PanicError{Type: "string"}, panicky: true},
		{name: "panics with an error", f: panics(boom), want: guard.PanicError{Type: "*errors.errorString"}, panicky: true},
		{name: "panics with nil", f: panics(nil), want: guard.PanicError{}, panicky: true},
		{name: "panics with what cannot be printed", f: panics(unprintable{}), want: guard.PanicError{Type: "guard_test.unprintable"}, panicky: true},
	} {
		t.Run(row.name, func(t *testing.T) {
			require.Equal(t, row.want, guard.Call(row.f, nil))
			var heard []error
			err := guard.Call(row.f, func(p guard.PanicError) error { heard = append(heard, p); return told })
			if !row.panicky {
				require.Equal(t, row.want, err)
				require.Empty(t, heard)
				return
			}
			require.Equal(t, told, err)
			require.Equal(t, []error{row.want}, heard)
			require.NotContains(t, row.want.Error(), "hunter2")
			require.NoError(t, guard.Call(row.f, func(guard.PanicError) error { return nil }))
			require.Equal(t, row.want, guard.Call(row.f, func(guard.PanicError) error { panic("again") }), "no error would open")
		})
	}
	require.Equal(t, "panicked with a string", guard.PanicError{Type: "string"}.Error())
	require.Equal(t, "panicked with nil", guard.PanicError{}.Error())
}

// unprintable has methods that %T does not call.
type unprintable struct{}

func (unprintable) String() string         { panic("String") }
func (unprintable) Error() string          { panic("Error") }
func (unprintable) Format(fmt.State, rune) { panic("Format") }

func TestCallAndGoexit(t *testing.T) {
	var heard []guard.PanicError
	returned, done := false, make(chan struct{})
	go func() {
		defer close(done)
		_ = guard.Call(func() error { runtime.Goexit(); return nil }, func(p guard.PanicError) error { heard = append(heard, p); return nil })
		returned = true
	}()
	<-done
	require.False(t, returned)
	require.Equal(t, []guard.PanicError{{}}, heard)
}

func TestIsNil(t *testing.T) {
	var (
		pointer *int
		nothing func()
		table   map[string]int
		list    []int
		channel chan int
		err     error
	)
	for _, v := range []any{nil, pointer, nothing, table, list, channel, err} {
		require.True(t, guard.IsNil(v), "%T", v)
	}
	for _, v := range []any{new(int), func() {}, map[string]int{}, []int{}, make(chan int), 0, "", struct{}{}, struct{ *int }{}, [0]int{}} {
		require.False(t, guard.IsNil(v), "%T", v)
	}
}

func TestIsolate(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		ran := false
		require.NoError(t, guard.Isolate(t.Context(), time.Second, func() { ran = true }))
		require.True(t, ran)

		err := guard.Isolate(t.Context(), time.Second, func() { panic("hunter2") })
		require.Error(t, err)
		require.NotErrorIs(t, err, guard.ErrLate)
		require.NotContains(t, err.Error(), "hunter2")

		require.Error(t, guard.Isolate(t.Context(), time.Second, func() { runtime.Goexit() }))

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		err = guard.Isolate(ctx, time.Second/10, func() { time.Sleep(time.Minute) }) // deaf to ctx
		require.ErrorIs(t, err, guard.ErrLate)
		require.Equal(t, 1100*time.Millisecond, time.Since(start))

		start = time.Now()
		err = guard.Isolate(ctx, time.Second/10, func() { time.Sleep(time.Second / 20) }) // ends within the grace
		require.NoError(t, err)
		require.Equal(t, time.Second/20, time.Since(start))
		require.Error(t, guard.Isolate(ctx, time.Second/10, func() { time.Sleep(time.Second / 20); panic("hunter2") }))
		time.Sleep(time.Minute)
	})
}
