package jwks

import (
	"context"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/fetch"
)

// Hooks observe a [Cache], for metrics, traces and alarms. All are optional.
// They get a context that has not ended and carries the values of the request
// that caused the event. They are called where the event happens, possibly by
// several goroutines at once, and so must be quick, and must not call the Cache;
// a fetch does not wait longer for them than FetchTimeout. A panic in one is
// recovered and reported to Panicked.
type Hooks struct {
	// Fetched is called after each attempt to fetch the set.
	Fetched func(context.Context, FetchEvent)
	// Waited is called for each call of Keys or Refresh that waited for a fetch to
	// its end, after Fetched: it ties the many that wait to the one that they share.
	Waited func(context.Context, WaitEvent)
	// StateChanged is called when another [State] is noticed: after a fetch, or
	// by the first call after enough time has passed.
	StateChanged func(context.Context, StateEvent)
	// MissSuppressed is called for each unknown key, and for each bad signature, that
	// did not cause a fetch because others did a short time ago.
	MissSuppressed func(context.Context, MissEvent)
	// StaleServed is called for each call of Keys in [StateStale].
	StaleServed func(context.Context, StaleEvent)
	// KeySkipped is called for each key of a fetched set that is not admitted.
	// The others are used.
	KeySkipped func(context.Context, KeyEvent)
	// UsedEarly is called when a key has verified a signature that others may refuse, since
	// they cannot have the key yet: less than one TTL after a set that did not have it. It is
	// called once for each key that has appeared, by [Cache.Used]. The issuer changes to a
	// new key without the time that it takes all verifiers to fetch it.
	UsedEarly func(context.Context, EarlyEvent)
	// Panicked is called when one of the others has panicked, while
	// runtime/debug.Stack shows where. A panic of its own is ignored.
	Panicked func(context.Context, bearergate.PanicEvent)
}

// Trigger is why a fetch was made: a closed set, fit for a metric label.
type Trigger string

// The triggers.
const (
	TriggerFirst      Trigger = "first"       // EMPTY, never tried
	TriggerAhead      Trigger = "ahead"       // AHEAD: in the background
	TriggerDue        Trigger = "due"         // DUE or EXPIRED, with callers waiting
	TriggerRetry      Trigger = "retry"       // the last attempt has failed
	TriggerUnknownKey Trigger = "unknown_key" // a key that the set does not have, or a signature that is of none of its keys
	TriggerRefresh    Trigger = "refresh"     // Cache.Refresh

	triggerScheduled Trigger = "" // one of the first four: the state tells which
)

// Outcome is how a fetch ended: a closed set, fit for a metric label.
type Outcome string

// The outcomes. The first two are successes.
const (
	OutcomeOK          = Outcome(fetch.OK)
	OutcomeNotModified = Outcome(fetch.NotModified) // 304: the set that is held is still right
	OutcomeConnect     = Outcome(fetch.Connect)     // name resolution, connection, or broken off before an answer
	OutcomeTLS         = Outcome(fetch.TLS)         // handshake or certificate
	OutcomeTimeout     = Outcome(fetch.Timeout)     // no complete answer within FetchTimeout
	OutcomeStatus      = Outcome(fetch.Status)      // a status other than 200
	OutcomeRedirect    = Outcome(fetch.Redirect)    // to another origin, or more than one
	OutcomeContentType = Outcome(fetch.ContentType) // HTML, for example
	OutcomeTooLarge    = Outcome(fetch.TooLarge)    // more than MaxBytes
	OutcomeTruncated   = Outcome(fetch.Truncated)   // the body ended early or does not decompress
	OutcomeMalformed   = Outcome(fetch.Malformed)   // not a metadata document, or not a JWK Set
	OutcomeTooManyKeys = Outcome(fetch.TooManyKeys) // more than MaxKeys
	OutcomeNoUsableKey = Outcome(fetch.NoUsableKey) // a set without any admitted key
	OutcomeIssuer      = Outcome(fetch.Issuer)      // metadata of another issuer
	OutcomeJWKSURI     = Outcome(fetch.JWKSURI)     // jwks_uri is missing or not allowed
	OutcomeFile        = Outcome(fetch.File)        // the file cannot be read
	OutcomePanic       = Outcome(fetch.Panic)       // the HTTP client panicked
	OutcomeInterrupted = Outcome("interrupted")     // the process stood still meanwhile: not counted as a failure
)

// FetchEvent is one attempt to fetch the set, discovery included.
type FetchEvent struct {
	ID       uint64 // random, not 0: for [WaitEvent], and no metric label
	Issuer   string // as configured
	URL      string // of the set, or of what failed; here and in the other events without its query
	Trigger  Trigger
	Outcome  Outcome
	Status   int // the HTTP status, if that is what failed
	Start    time.Time
	Duration time.Duration
	KeyCount int // admitted keys that are now held, also after a failure
	// Added and Removed are the IDs of keys that the set has now and had before;
	// a key without ID stands as its thumbprint, and one that was replaced under
	// its ID in both. The issuer chose them: bounded, but no metric labels.
	Added, Removed []string
	Err            error // nil on success; it holds no body
	// Detail says why the fetch failed in words of this module, which nobody else had a
	// hand in: "no such host". "": Outcome is all that can be said so.
	Detail string
	// Server is what the answers say of the server: of its clock by the last one, and of
	// the certificates of the metadata and of the set by that which expires first.
	Server bearergate.Server
}

// WaitEvent is a call that waited for a fetch, its own or one under way.
type WaitEvent struct {
	FetchID     uint64 // the ID of the [FetchEvent]
	Issuer, URL string
}

// StateEvent is a change of state.
type StateEvent struct {
	Issuer, URL string
	From, To    State
	Err         error // why the last fetch failed; nil if it did not
}

// MissEvent is an unknown key, or a bad signature, that caused no fetch.
type MissEvent struct {
	Issuer, URL string
	// KeyID and Algorithm are from an unverified token: an attacker chose them.
	KeyID, Algorithm string
	NextFetch        time.Duration // until an unknown key may cause a fetch again
}

// StaleEvent is a call that was answered with keys older than their TTL.
type StaleEvent struct {
	Issuer, URL string
	Age         time.Duration // since the server last confirmed the keys
	Err         error         // why they could not be fetched
}

// KeyEvent is a key of the set that is not used.
type KeyEvent struct {
	Issuer, URL string
	Index       int    // its place in the set, from 0
	KeyID       string // "" if it has none that can be read
	Err         error  // why
}

// EarlyEvent is a key that was used before everybody can have it.
type EarlyEvent struct {
	Issuer, URL string
	// KeyID is the ID of the key; of one without, its thumbprint. The issuer chose it:
	// bounded, but no metric label.
	KeyID string
	// Absent is how long ago a fetch began that did not have the key, and longer by the Age of
	// its answer (RFC 9111 §5.1), if a cache on the way gave that: the key cannot have been
	// published for longer. A cache that does not say its Age makes it look shorter.
	Absent time.Duration
	// TTL is how long what that fetch brought may be used.
	TTL time.Duration
}

func (h Hooks) none() bool {
	return h.Fetched == nil && h.StateChanged == nil && h.KeySkipped == nil
}

// JoinHooks returns Hooks that call each of the given ones in order. One that
// panics does not keep the others from being called.
func JoinHooks(hooks ...Hooks) Hooks {
	var out Hooks
	for _, h := range hooks {
		out.Panicked = bearergate.Hook("Panicked", nil, out.Panicked, h.Panicked)
	}
	for _, h := range hooks {
		out.Fetched = bearergate.Hook("Fetched", out.Panicked, out.Fetched, h.Fetched)
		out.Waited = bearergate.Hook("Waited", out.Panicked, out.Waited, h.Waited)
		out.StateChanged = bearergate.Hook("StateChanged", out.Panicked, out.StateChanged, h.StateChanged)
		out.MissSuppressed = bearergate.Hook("MissSuppressed", out.Panicked, out.MissSuppressed, h.MissSuppressed)
		out.StaleServed = bearergate.Hook("StaleServed", out.Panicked, out.StaleServed, h.StaleServed)
		out.KeySkipped = bearergate.Hook("KeySkipped", out.Panicked, out.KeySkipped, h.KeySkipped)
		out.UsedEarly = bearergate.Hook("UsedEarly", out.Panicked, out.UsedEarly, h.UsedEarly)
	}
	return out
}
