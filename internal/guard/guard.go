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

// PanicError is the error of a function that panicked. The value of the panic is
// not kept, for it may hold a token or a secret. Type is its type, as %T prints it:
// that calls no method of the value, and a type is part of the program and holds
// nothing of a request. It is "" for panic(nil) under GODEBUG=panicnil=1.
type PanicError struct{ Type string }

func (p PanicError) Error() string {
	if p.Type == "" {
		return "panicked with nil"
	}
	return "panicked with a " + p.Type
}

// Call calls f and returns its error. If f panics, the error is what told makes of
// the [PanicError], or the PanicError itself if told is nil. While told runs,
// runtime/debug.Stack still shows where the panic came from. A panic of told is
// dropped: there is nobody left to tell.
//
// If f calls runtime.Goexit, told is called with the zero PanicError, and the
// goroutine ends: Call does not return.
func Call(f func() error, told func(PanicError) error) (err error) {
	returned := false
	defer func() {
		// Not p != nil alone: with GODEBUG=panicnil=1, panic(nil) recovers as nil.
		if p := recover(); !returned {
			panicked := PanicError{}
			if p != nil {
				panicked.Type = fmt.Sprintf("%T", p)
			}
			err = panicked
			if told != nil {
				defer func() { _ = recover() }()
				err = told(panicked)
			}
		}
	}()
	err = f()
	returned = true
	return err
}

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
		defer func() { done <- err }()
		err = Call(func() error { f(); return nil }, nil)
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

// IsNil reports whether v is nil or holds a nil pointer, func, map, slice or
// channel: an interface that holds one is not equal to nil, and has methods that
// panic.
func IsNil(v any) bool {
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Invalid: // nil itself
		return true
	case reflect.Pointer, reflect.Func, reflect.Map, reflect.Slice, reflect.Chan:
		return r.IsNil()
	}
	return false
}
