package signals

import (
	"context"
	"time"

	"github.com/bearergate/bearergate"
)

// Hooks tell metrics and logs what happens. Each is optional, costs nothing when nil, is
// called from the goroutine of the request, which waits for it, and must be safe for
// concurrent use. Join several with [JoinHooks].
type Hooks struct {
	// Received is called once for every request, after its answer.
	Received func(context.Context, ReceivedEvent)
	// Discarded is called for every event that is valid and revokes nothing, because it is
	// of a type that does not, or because its subject cannot be mapped: somebody has
	// to look whether tokens are good that should not be.
	Discarded func(context.Context, DiscardedEvent)
	// Stream is called when the transmitter says that it has changed the state of the
	// stream. Paused and disabled are alarms: no more revocations will come.
	Stream func(context.Context, StreamEvent)
	// Panicked is called when another hook, Verifier, Resolve, Revoke, VerificationState,
	// List or Keys panicked, while runtime/debug.Stack shows where.
	Panicked func(context.Context, bearergate.PanicEvent)
}

// ReceivedEvent is a request that was answered. Of the SET it says which one it is, and
// nothing else. All fields but ID and Err are from closed sets, or numbers, and fit for
// metrics. What was revoked, revocation.Hooks.Changed tells.
type ReceivedEvent struct {
	Issuer string // Config.Issuer
	// Type is the URI of the event if this package knows it or Config.Revoke has it; "other"
	// if not, and "" if the SET was refused before that was read.
	Type string
	// ID is its jti, for logs and not for metrics: quoted and cut. By it, the transmitter can
	// be asked to send an event again. It is "" where Type is.
	ID      string
	Outcome Outcome
	Entries int // that were added to the List
	// Code is the error code of RFC 8935 §2.4 that the transmitter was told; "" if none.
	Code string
	// Err is nil if the SET was acknowledged. Its text is for operators.
	Err error
	// Reason is bearergate.ReasonOf(Err).
	Reason   bearergate.Reason
	Status   int // of the answer
	Duration time.Duration
}

// Outcome says what became of a request.
type Outcome string

// The outcomes, all of them.
const (
	Revoked   Outcome = "revoked"   // the List has it
	Repeated  Outcome = "repeated"  // it was taken before, and is acknowledged again
	Discarded Outcome = "discarded" // it is valid and revokes nothing: see Hooks.Discarded
	Verified  Outcome = "verified"  // it was a verification event, and the stream works
	Updated   Outcome = "updated"   // the state of the stream has changed: see Hooks.Stream
	Refused   Outcome = "refused"   // it is no SET of the issuer for us, or no request of this kind
	Failed    Outcome = "failed"    // it could not be verified, or the List did not take it: 503, or 500
)

// DiscardedEvent is an event that was acknowledged and revokes nothing.
type DiscardedEvent struct {
	Issuer string // Config.Issuer
	// Type is as in ReceivedEvent.
	Type string
	Why  Why
	// Member is the member of a complex subject that Why is about, if the specification
	// has one of that name, or else "other"; "" for a simple subject.
	Member string
	// Format is the format of the subject that Why is about, if this package knows it, or
	// else "other"; "" if Why is not about one.
	Format string
	// Found is what stands there as the transmitter wrote it, for logs and not for metrics: the
	// type of the event, the member and the format, quoted and cut.
	Found string
	ID    string // jti, for logs: quoted and cut
}

// Why says why an event revokes nothing.
type Why string

// The reasons, all of them.
const (
	WhyType          Why = "type"          // events of this type revoke nothing here
	WhyDecision      Why = "decision"      // what the event says is no reason to revoke: a level that rises, or Config.Revoke said no
	WhySubject       Why = "subject"       // the subject, or a member of it, can be mapped to nothing that a token says
	WhyCritical      Why = "critical"      // likewise, and the transmitter has declared that member critical
	WhyIssuer        Why = "issuer"        // the subject does not say of which of TokenIssuers it is
	WhyContradiction Why = "contradiction" // the members of a complex subject contradict each other
)

// StreamEvent is what the transmitter says about the stream (SSF 1.0 §8.1.5).
type StreamEvent struct {
	Issuer string // Config.Issuer
	Status string // "enabled", "paused" or "disabled"; "other" for anything else
	Reason string // what the transmitter gives for a reason, quoted and cut; "" if nothing
}

// JoinHooks returns hooks that call those of every argument, in order. One that panics does
// not keep the others from being called.
func JoinHooks(hooks ...Hooks) Hooks {
	var joined Hooks
	for _, h := range hooks {
		joined.Panicked = bearergate.Hook("Panicked", nil, joined.Panicked, h.Panicked)
	}
	for _, h := range hooks {
		joined.Received = bearergate.Hook("Received", joined.Panicked, joined.Received, h.Received)
		joined.Discarded = bearergate.Hook("Discarded", joined.Panicked, joined.Discarded, h.Discarded)
		joined.Stream = bearergate.Hook("Stream", joined.Panicked, joined.Stream, h.Stream)
	}
	return joined
}
