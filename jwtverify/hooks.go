package jwtverify

import (
	"context"
	"runtime/debug"
	"time"

	"github.com/bearergate/bearergate"
)

// Hooks are called as things happen; feed any telemetry with them. A nil hook
// costs nothing. Hooks run in the goroutine of the caller of Verify, and
// concurrently, so they should be quick. One that panics is recovered and
// reported to Panicked.
type Hooks struct {
	// Verified is called at the end of every Verify.
	Verified func(context.Context, VerifyEvent)
	// Panicked is called when a hook, Config.Check, Config.Now or the key source panicked.
	Panicked func(context.Context, PanicEvent)
}

// VerifyEvent is one call of Verify. Issuer and [bearergate.ReasonOf] of Err
// are fit for metric labels; what Token says is for audit records only.
type VerifyEvent struct {
	Issuer   string            // the configured issuer
	Duration time.Duration     // waiting for keys and Check included
	Err      error             // nil: accepted
	Cached   bool              // the verified-token cache spared the signature
	Token    *bearergate.Token // nil unless accepted
}

// PanicEvent is a panic in the user's code that was recovered.
type PanicEvent struct {
	Value any // what was passed to panic; it may hold anything
	Stack []byte
}

// JoinHooks returns hooks that call those of all of hs, in order. A hook that
// panics does not keep the others from being called.
func JoinHooks(hs ...Hooks) Hooks {
	var joined Hooks
	told := func(ctx context.Context, value any) {
		if joined.Panicked != nil {
			joined.Panicked(ctx, PanicEvent{Value: value, Stack: debug.Stack()})
		}
	}
	for _, h := range hs {
		joined.Verified = bearergate.Hook(told, joined.Verified, h.Verified)
		joined.Panicked = bearergate.Hook(nil, joined.Panicked, h.Panicked)
	}
	return joined
}
