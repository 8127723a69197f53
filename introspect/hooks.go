package introspect

import (
	"context"
	"time"

	"github.com/bearergate/bearergate"
)

// Hooks are called as things happen; feed any telemetry with them. A nil hook
// costs nothing. They may be called by several goroutines at once, must be
// quick, and must not call the Client. They get a context that has not ended
// and carries the values of the request that caused the event. One that panics
// is recovered and reported to Panicked. What is told of a call is told after
// it and waited for at most a tenth of a second; while a thousand such hooks
// hang, no more are called.
//
// No event holds a token, a secret or a body of the authorization server.
type Hooks struct {
	// Looked is called at the end of every Verify.
	Looked func(context.Context, LookEvent)
	// Called is called after each request to the introspection endpoint, and after each
	// call of Config.Ask.
	Called func(context.Context, CallEvent)
	// Waited is called for each Verify that waited for calls to their end, after
	// Called: it ties the many that wait to the calls that they share.
	Waited func(context.Context, WaitEvent)
	// BreakerChanged is called when the circuit breaker changes its state.
	BreakerChanged func(context.Context, BreakerEvent)
	// Purged is called after Purge and PurgeAll, and after one of another process that was
	// read in Config.PurgeLog.
	Purged func(context.Context, PurgeEvent)
	// PurgesRead is called after a look into Config.PurgeLog that has found something, or has
	// failed.
	PurgesRead func(context.Context, PurgesReadEvent)
	// StoreFailed is called when the Store fails or is too slow. The request goes on without it.
	StoreFailed func(context.Context, StoreEvent)
	// Unmapped is called for each path that Config.Map looked for and none of the first 100
	// answers about active tokens had, and once more if none of the first 1,000 had: see
	// [bearergate.Claims].Missing. Scopes or roles that were expected there have then been
	// granted to nobody. A path that one of them had is never told of.
	Unmapped func(context.Context, bearergate.UnmappedEvent)
	// Panicked is called when another hook, Config.Check, Config.Accept or
	// Config.Now panicked, while runtime/debug.Stack shows where. Where is "Verify"
	// for Accept and Now. What panics in a call is told by its Outcome instead. A
	// panic of its own is ignored.
	Panicked func(context.Context, bearergate.PanicEvent)
}

// Result is where a decision came from: a closed set, fit for a metric label.
type Result string

// The results.
const (
	ResultRefused  Result = "refused"      // empty, too long, malformed, or not accepted: nothing was looked up
	ResultHit      Result = "hit"          // the cache: the token was active
	ResultNegative Result = "negative_hit" // the cache: the token was refused
	ResultMiss     Result = "miss"         // the authorization server
	ResultStored   Result = "store_hit"    // the Store
	ResultStale    Result = "stale"        // an older answer, since there was no new one
)

// LookEvent is one call of Verify. Issuer, Result, Shared and
// [bearergate.ReasonOf] of Err are fit for metric labels; what Token says is
// for audit records only.
type LookEvent struct {
	Issuer   string // the configured issuer
	Result   Result
	Shared   bool              // it waited for a call that another Verify had begun
	Duration time.Duration     // waiting and Check included
	Err      error             // nil: accepted
	Token    *bearergate.Token // nil unless accepted
	// Bytes is how long the token is, as it was sent, and Lifetime how long it was given to
	// live: exp − iat or, in an answer without iat, what was left of it. Both are of a token
	// that was accepted by an answer from the server or the Store that was asked for by this
	// Verify: of one that is remembered, or that waited for the call of another, they are 0.
	// Without exp, Lifetime is.
	Bytes    int
	Lifetime time.Duration
}

// Outcome is how a call ended: a closed set, fit for a metric label.
type Outcome string

// The outcomes. The first two are answers.
const (
	OutcomeActive       Outcome = "active"
	OutcomeInactive     Outcome = "inactive"
	OutcomeUnauthorized Outcome = "unauthorized" // 401 or 403: our own credentials are refused
	OutcomeCredentials  Outcome = "credentials"  // our own credentials could not be made
	OutcomeDiscovery    Outcome = "discovery"    // the endpoint could not be found out
	OutcomeConnect      Outcome = "connect"      // name resolution, connection, or broken off before an answer
	OutcomeTLS          Outcome = "tls"          // handshake or certificate
	OutcomeTimeout      Outcome = "timeout"      // no complete answer in time
	OutcomeStatus       Outcome = "status"       // any other status than 200
	OutcomeRedirect     Outcome = "redirect"     // never followed: it would carry the token elsewhere
	OutcomeContentType  Outcome = "content_type" // not what was asked for: plain JSON where it must be signed, for example
	OutcomeTooLarge     Outcome = "too_large"    // more than MaxResponseBytes
	OutcomeTruncated    Outcome = "truncated"    // the body ended early
	OutcomeMalformed    Outcome = "malformed"    // not an introspection answer
	OutcomeSignature    Outcome = "signature"    // a signed answer that does not verify, or is not for us
	OutcomeKeys         Outcome = "keys"         // the keys of a signed answer could not be had
	OutcomeAsk          Outcome = "ask"          // Config.Ask returned an error, or broke
	OutcomeMap          Outcome = "map"          // Config.Map broke, or changed what is not its to change
	OutcomePanic        Outcome = "panic"        // the HTTP client, or another part of the Config, panicked
	outcomeOpen         Outcome = "breaker_open" // not a call
	outcomeOverloaded   Outcome = "overloaded"   // not a call
)

// CallEvent is one request to the introspection endpoint, a retry counted as one more, or
// one call of Config.Ask.
type CallEvent struct {
	ID      uint64 // random, not 0, the same for the retry: for [WaitEvent], and no metric label
	Issuer  string // the configured issuer
	Outcome Outcome
	Status  int // the HTTP status; 0 if there was none, as with Config.Ask
	Attempt int // 1, or 2 for the retry
	// Own says that it was about a random token of our own, which tells a server that is
	// down, or that refuses us, from one that does not like a caller's token.
	Own      bool
	Start    time.Time
	Duration time.Duration
	Err      error // nil if there was an answer
	// Server is what the answer says of the server, of whatever status it is. The zero
	// Server without one, and with Config.Ask.
	Server bearergate.Server
}

// WaitEvent is a Verify that waited for a call, its own or one under way, and
// its retry.
type WaitEvent struct {
	CallID uint64 // the ID of the CallEvents; there are none if no call could be made
	Issuer string // the configured issuer
}

// StatusClass is Status as a metric label: "2xx" to "5xx", "" if there was none.
func (e CallEvent) StatusClass() string {
	if e.Status < 100 || e.Status > 599 {
		return ""
	}
	return string(rune('0'+e.Status/100)) + "xx"
}

// BreakerState is a state of the circuit breaker: a closed set, fit for a metric label.
type BreakerState string

// The states.
const (
	BreakerClosed   BreakerState = "closed"    // calls go out
	BreakerOpen     BreakerState = "open"      // no call goes out
	BreakerHalfOpen BreakerState = "half_open" // a call about a token of our own goes out, to see
)

// BreakerEvent is a change of the circuit breaker.
type BreakerEvent struct {
	Issuer   string // the configured issuer
	From, To BreakerState
	Wait     time.Duration // how long it stays open, for BreakerOpen
	// Outcome is how the call about a token of our own ended that opened it, for
	// BreakerOpen. With OutcomeUnauthorized, the server refuses our credentials.
	Outcome Outcome
}

// PurgeEvent is a Purge, or a PurgeAll.
type PurgeEvent struct {
	Issuer string
	All    bool
	// Elsewhere says that another process asked for it.
	Elsewhere bool
	Err       error // of Config.PurgeLog, or without one of the Store: the other processes do not know
}

// PurgesReadEvent is a look into Config.PurgeLog.
type PurgesReadEvent struct {
	Issuer   string
	Err      error // nil: the end was reached
	Whole    bool  // it began at the beginning
	Records  int   // that were read
	Skipped  int   // that could not be read: somebody else's, or of a later version
	Duration time.Duration
}

// StoreEvent is a failure of the Store.
type StoreEvent struct {
	Issuer    string
	Operation string // "get", "set" or "claim"
	Err       error
}

// JoinHooks returns hooks that call those of all of hs, in order. A hook that
// panics does not keep the others from being called.
func JoinHooks(hs ...Hooks) Hooks {
	var joined Hooks
	for _, h := range hs {
		joined.Panicked = bearergate.Hook("Panicked", nil, joined.Panicked, h.Panicked)
	}
	for _, h := range hs {
		joined.Looked = bearergate.Hook("Looked", joined.Panicked, joined.Looked, h.Looked)
		joined.Called = bearergate.Hook("Called", joined.Panicked, joined.Called, h.Called)
		joined.Waited = bearergate.Hook("Waited", joined.Panicked, joined.Waited, h.Waited)
		joined.BreakerChanged = bearergate.Hook("BreakerChanged", joined.Panicked, joined.BreakerChanged, h.BreakerChanged)
		joined.Purged = bearergate.Hook("Purged", joined.Panicked, joined.Purged, h.Purged)
		joined.PurgesRead = bearergate.Hook("PurgesRead", joined.Panicked, joined.PurgesRead, h.PurgesRead)
		joined.Unmapped = bearergate.Hook("Unmapped", joined.Panicked, joined.Unmapped, h.Unmapped)
		joined.StoreFailed = bearergate.Hook("StoreFailed", joined.Panicked, joined.StoreFailed, h.StoreFailed)
	}
	return joined
}
