package bearergate

import (
	"context"
	"slices"

	"github.com/bearergate/bearergate/internal/guard"
)

// UnmappedEvent is a path of claims that the Map of a configuration looked for in each of
// the first Tokens that were accepted, and that none of them had: it is misspelled, or the
// server does not write it. All fields are fit for metric labels.
type UnmappedEvent struct {
	Issuer string // the configured issuer
	// Path are the names of the path with a dot between them. A name that is not of letters,
	// digits, - and _ alone is quoted: resource_access.orders-api.roles, or
	// "https://example.com/claims".roles
	Path   string
	Tokens int // 100, and if it goes on 1,000. One that is remembered counts once
}

// PanicEvent is a panic of a hook, or of another function of a configuration, that
// was recovered. The value of the panic is not kept, for it may hold a token or a
// secret.
type PanicEvent struct {
	// Where is the hook or the function of the configuration that panicked, such as
	// "Verified", "Check" or "Render"; for those that a method calls on its way, the
	// method: "Verify".
	Where string
	// Type is the type of the value, as %T prints it. A type is part of the program
	// and holds nothing of a request. It is "" for a function that ended its
	// goroutine (runtime.Goexit), and for panic(nil) under GODEBUG=panicnil=1.
	Type string
}

// Hook returns one function that calls each of fs that is not nil, in order; nil
// if there is none. It is what the JoinHooks of the other packages are made of.
//
// A hook that panics keeps neither the others from being called nor its caller
// from going on. Unless panicked is nil, it is told of the panic of the hook named
// where, while runtime/debug.Stack still shows where it came from. It is told too of
// a hook that ends its goroutine, which unwinds through every Hook around it and is
// told by each. A panic of panicked itself is dropped: there is nobody left to tell.
func Hook[E any](where string, panicked func(context.Context, PanicEvent), fs ...func(context.Context, E)) func(context.Context, E) {
	fs = slices.DeleteFunc(slices.Clone(fs), func(f func(context.Context, E)) bool { return f == nil })
	if len(fs) == 0 {
		return nil
	}
	return func(ctx context.Context, event E) {
		for _, f := range fs {
			_ = guard.Call(func() error { f(ctx, event); return nil }, func(p guard.PanicError) error {
				if panicked != nil {
					panicked(ctx, PanicEvent{Where: where, Type: p.Type})
				}
				return nil
			})
		}
	}
}
