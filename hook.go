package bearergate

import (
	"context"
	"slices"
)

// Hook returns one function that calls each of fs that is not nil, in order; nil
// if there is none. It is what the JoinHooks of the other packages are made of.
//
// A hook that panics keeps neither the others from being called nor its caller
// from going on. Unless panicked is nil, it is told the value of the panic, while
// runtime/debug.Stack still shows where it came from. The value is nil for a hook
// that ends its goroutine, which unwinds through every Hook around it and is told
// by each, and for panic(nil) under GODEBUG=panicnil=1. A panic of panicked itself
// is dropped: there is nobody left to tell.
func Hook[E any](panicked func(ctx context.Context, value any), fs ...func(context.Context, E)) func(context.Context, E) {
	fs = slices.DeleteFunc(slices.Clone(fs), func(f func(context.Context, E)) bool { return f == nil })
	if len(fs) == 0 {
		return nil
	}
	return func(ctx context.Context, event E) {
		for _, f := range fs {
			callHook(ctx, panicked, f, event)
		}
	}
}

func callHook[E any](ctx context.Context, panicked func(context.Context, any), f func(context.Context, E), event E) {
	returned := false
	defer func() {
		// Not value != nil alone: with GODEBUG=panicnil=1, panic(nil) recovers as nil.
		if value := recover(); !returned && panicked != nil {
			defer func() { _ = recover() }()
			panicked(ctx, value)
		}
	}()
	f(ctx, event)
	returned = true
}
