package jwtverify

import (
	"context"
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
	// Unmapped is called for each path that Config.Map looked for and none of the first 100
	// tokens had, and once more if none of the first 1,000 had: see [bearergate.Claims].Missing.
	// Scopes or roles that were expected there have then been granted to nobody. A path that
	// one of them had is never told of.
	Unmapped func(context.Context, bearergate.UnmappedEvent)
	// Panicked is called when another hook, Config.Check, Config.Map, Config.Now or
	// the key source panicked, while runtime/debug.Stack shows where. Where is "Verify" for
	// Now and the key source, or "Warm". A panic of its own is ignored.
	Panicked func(context.Context, bearergate.PanicEvent)
}

// VerifyEvent is one call of Verify. Issuer and [bearergate.ReasonOf] of Err
// are fit for metric labels; what Token says is for audit records only.
type VerifyEvent struct {
	Issuer   string            // the configured issuer
	Duration time.Duration     // waiting for keys and Check included
	Err      error             // nil: accepted
	Cached   bool              // the verified-token cache spared the signature
	Token    *bearergate.Token // nil unless accepted
	// Bytes is how long the token is, as it was sent, and Lifetime how long it was given to
	// live, exp − iat: of one that was accepted and whose signature was checked for it, so
	// that a remembered token does not count each time. Else both are 0; without iat,
	// Lifetime is.
	Bytes    int
	Lifetime time.Duration
	// RemovedKey says that the token was accepted before, has not expired, and is refused
	// because the issuer publishes its key no more: with an unknown key, or with a bad
	// signature where another key has its ID now. It is the ID of that key or, if it has
	// none, its thumbprint (RFC 7638); "" for every other call. It is told once for each
	// token that the cache remembers, and no token that was never valid causes it. The issuer
	// chose it: at most 256 bytes, and no metric label.
	RemovedKey string
}

// JoinHooks returns hooks that call those of all of hs, in order. A hook that
// panics does not keep the others from being called.
func JoinHooks(hs ...Hooks) Hooks {
	var joined Hooks
	for _, h := range hs {
		joined.Panicked = bearergate.Hook("Panicked", nil, joined.Panicked, h.Panicked)
	}
	for _, h := range hs {
		joined.Unmapped = bearergate.Hook("Unmapped", joined.Panicked, joined.Unmapped, h.Unmapped)
		joined.Verified = bearergate.Hook("Verified", joined.Panicked, joined.Verified, h.Verified)
	}
	return joined
}
