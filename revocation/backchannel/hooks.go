package backchannel

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
	// Panicked is called when another hook, Map, List or Keys panicked, while
	// runtime/debug.Stack shows where.
	Panicked func(context.Context, bearergate.PanicEvent)
}

// ReceivedEvent is a request that was answered. Of the logout token it says whose logout it
// is, and nothing else. All fields but Subject, Session and Err are from closed sets, or
// numbers, and fit for metrics. What was revoked, revocation.Hooks.Changed tells.
type ReceivedEvent struct {
	Issuer  string // Config.Issuer
	Outcome Outcome
	// By says what was logged out; "" if the logout token was refused before that was read.
	By Target
	// Subject and Session are sub and sid of the logout token as the provider wrote them, and
	// as long: for an audit log, which has to bound and to quote them, and not for metrics. ""
	// if there is none, or if the logout token was refused before that was read: what nobody
	// has signed is not here.
	Subject, Session string
	Entries          int // that were added to the List
	// Err is nil if the logout was acknowledged. Its text is for operators.
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
	Discarded Outcome = "discarded" // Map made no Entry of it
	Refused   Outcome = "refused"   // it is no logout token of the issuer for us, or no request of this kind
	Failed    Outcome = "failed"    // it could not be verified, or the List did not take it: 503, or 500
)

// Target says what a logout token is about.
type Target string

// The targets, all of them.
const (
	BySession Target = "session" // it has a sid
	BySubject Target = "subject" // it has a sub alone: all sessions of that user
)

// JoinHooks returns hooks that call those of every argument, in order. One that panics does
// not keep the others from being called.
func JoinHooks(hooks ...Hooks) Hooks {
	var joined Hooks
	for _, h := range hooks {
		joined.Panicked = bearergate.Hook("Panicked", nil, joined.Panicked, h.Panicked)
	}
	for _, h := range hooks {
		joined.Received = bearergate.Hook("Received", joined.Panicked, joined.Received, h.Received)
	}
	return joined
}
