package dpop

import (
	"context"
	"time"

	"github.com/bearergate/bearergate"
)

// Hooks tell metrics and traces what happens. Each is optional, costs nothing when nil, is
// called from the goroutine of the request, which waits for it, and must be safe for
// concurrent use. Join several with [JoinHooks].
type Hooks struct {
	// Judged is called once for every proof that was judged, and for every call of a bound
	// token without one.
	Judged func(context.Context, ProofEvent)
	// Panicked is called when Judged panicked, while runtime/debug.Stack shows where. The
	// panic goes no further and changes no decision.
	Panicked func(context.Context, bearergate.PanicEvent)
}

// ProofEvent is one call of [Proofs.Confirm]. It holds nothing of the proof. All fields but
// Err are from closed sets, or numbers, and fit for metrics.
type ProofEvent struct {
	// Err is nil if the sender holds the key. Its text is for operators.
	Err error
	// Reason is bearergate.ReasonOf(Err).
	Reason bearergate.Reason
	// Fault says what is wrong with the proof; "" unless Reason is [bearergate.ReasonProof].
	Fault Fault
	// Algorithm is alg of a proof whose header is good: one of Config.Algorithms. Otherwise
	// it is "".
	Algorithm string
	// Nonce says what became of the nonce; "" where that was not looked at.
	Nonce NonceOutcome
	// Store says what Config.Replay answered; "" where it was not asked.
	Store StoreOutcome
	// StoreDuration is how long that took.
	StoreDuration time.Duration
	// Duration is how long the whole judgment took.
	Duration time.Duration
}

// Fault says what is wrong with a proof, so that a wrong clock and a wrong address are told
// apart.
type Fault string

// The faults, all of them, by the member of the proof where there is one.
const (
	FaultMissing   Fault = "missing"   // there is none
	FaultForm      Fault = "form"      // there are two, or it is no compact JWS, too long, or without a claim that it needs
	FaultHeader    Fault = "header"    // typ, alg or jwk
	FaultMethod    Fault = "htm"       // it is for another method
	FaultAddress   Fault = "htu"       // it is for another address, or Config.BaseURLs do not name ours
	FaultTokenHash Fault = "ath"       // it is for another token
	FaultTime      Fault = "iat"       // it is too old or of the future, or exp or nbf says so: a clock is wrong
	FaultSignature Fault = "signature" // the signature does not verify, or the key is not admitted
)

// NonceOutcome says what became of the nonce of a proof.
type NonceOutcome string

// The outcomes, all of them.
const (
	NonceAccepted NonceOutcome = "accepted" // one of ours
	NonceRenewed  NonceOutcome = "renewed"  // one of ours, and the client got a newer one
	NonceOffered  NonceOutcome = "offered"  // there was none; the client got one, and was let in
	NonceDemanded NonceOutcome = "demanded" // there was none, or an old one; the client got one, and was refused
)

// StoreOutcome says what a [ReplayStore] answered.
type StoreOutcome string

// The outcomes, all of them.
const (
	StoreFresh    StoreOutcome = "fresh"    // the proof was not used before
	StoreUsed     StoreOutcome = "used"     // it was
	StoreFull     StoreOutcome = "full"     // there was no room, or too many calls were under way
	StoreFailed   StoreOutcome = "failed"   // an error, or no answer in time
	StoreCanceled StoreOutcome = "canceled" // the caller went away
)

// JoinHooks returns hooks that call those of every argument, in order. One that panics
// does not keep the others from being called.
func JoinHooks(hooks ...Hooks) Hooks {
	var joined Hooks
	for _, h := range hooks {
		joined.Panicked = bearergate.Hook("Panicked", nil, joined.Panicked, h.Panicked)
	}
	for _, h := range hooks {
		joined.Judged = bearergate.Hook("Judged", joined.Panicked, joined.Judged, h.Judged)
	}
	return joined
}
