// Package guard runs foreign code so that its panic, its Goexit or its hanging does
// not reach those who wait for it.
package guard

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"
)

// ErrLate: what was waited for has not ended in time, and may still run.
var ErrLate = errors.New("no end in time")

// Isolate runs f on a goroutine of its own, and returns when f has, or wait
// after ctx has ended. The error is nil if f returned, [ErrLate], or says that
// f panicked or ended its goroutine. After ErrLate, f may still write to what
// it captured: leave that alone.
//
// singleflight kills the process when its function panics and leaves its
// waiters hanging when it calls runtime.Goexit, as a test's transport may with
// FailNow: so that function must do neither, and must not trust that an HTTP
// client honours its context.
func Isolate(ctx context.Context, wait time.Duration, f func()) error {
	done := make(chan error, 1)
	go func() {
		err := errors.New("the goroutine was ended")
		defer func() {
			if p := recover(); p != nil { // its value may hold anything: only the type is told
				err = fmt.Errorf("a panic with a %T", p)
			}
			done <- err
		}()
		f()
		err = nil
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return ErrLate
	}
}

// IsNil reports whether v is nil, or holds a nil pointer, func, map, slice or
// channel: a typed nil, whose methods would panic.
func IsNil(v any) bool {
	if v == nil {
		return true
	}
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Pointer, reflect.Func, reflect.Map, reflect.Slice, reflect.Chan:
		return r.IsNil()
	}
	return false
}
