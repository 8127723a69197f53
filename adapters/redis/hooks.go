package redisgate

import (
	"context"
	"time"

	"github.com/bearergate/bearergate"
)

// Hooks are called as things happen; feed any telemetry with them. A nil hook costs
// nothing. They may be called by several goroutines at once, must be quick, and get the
// context of the call. One that panics is recovered and reported to Panicked.
//
// No event holds a key, data, a secret or an address.
type Hooks struct {
	// Called is called after each call, by whoever made it. Pages of a Log that one Read
	// needs are calls of their own.
	Called func(context.Context, CallEvent)
	// CircuitChanged is called when calls begin to fail at once, when an attempt to end that
	// has failed, and when Redis answers again.
	CircuitChanged func(context.Context, CircuitEvent)
	// Skipped is called when a Read has left out records that nobody of the fleet has
	// written: of another fleet in the same namespace, under a secret that this process does
	// not have, of a later version, or forged.
	Skipped func(context.Context, SkipEvent)
	// Checked is called by [Stores.Check] for each master.
	Checked func(context.Context, CheckEvent)
	// Panicked is called when another hook panicked. A panic of its own is ignored.
	Panicked func(context.Context, bearergate.PanicEvent)
}

// Operation is what was asked of Redis: a closed set, fit for a metric label.
type Operation string

// The operations, all of them.
const (
	OperationUse    Operation = "use"    // Replay.Use
	OperationGet    Operation = "get"    // Answers.Get
	OperationSet    Operation = "set"    // Answers.Set
	OperationClaim  Operation = "claim"  // Answers.Claim
	OperationAppend Operation = "append" // Log.Append
	OperationRead   Operation = "read"   // Log.Read, a page
	OperationCheck  Operation = "check"  // Stores.Check
)

// Outcome is what came of a call: a closed set, fit for a metric label.
type Outcome string

// The outcomes, all of them.
const (
	OutcomeAnswered   Outcome = "answered"
	OutcomeRefused    Outcome = "refused"    // Redis has answered with an error: see CallEvent.Code
	OutcomeAlone      Outcome = "alone"      // fewer than Config.Replicas replicas have it
	OutcomeTimeout    Outcome = "timeout"    // no answer within Config.Timeout
	OutcomeConnection Outcome = "connection" // no connection, or one that broke
	OutcomeOpen       Outcome = "open"       // not asked: Redis has not answered lately
	OutcomeBusy       Outcome = "busy"       // not asked: MaxCalls are under way, or no connection of the pool was free
	OutcomeCanceled   Outcome = "canceled"   // the caller went away, or its own deadline passed
	OutcomeBroken     Outcome = "broken"     // the client or a hook of its has panicked, or was closed
)

// CallEvent is one call. Operation, Outcome and Code are fit for metric labels.
type CallEvent struct {
	Operation Operation
	Outcome   Outcome
	// Code is the first word of Redis' error, of at most 20 capital letters: OOM, NOPERM,
	// READONLY. "" without one; "ERR" for whatever else it said.
	Code     string
	Duration time.Duration // until the caller had its answer
}

// CircuitEvent is a change of whether Redis is asked.
type CircuitEvent struct {
	// Open says that calls fail at once, for Pause. Then one of them tries.
	Open bool
	// Pause is how long: 250 ms, doubled with each attempt that fails, to at most [MaxPause].
	Pause time.Duration
	// Part is which of the 64 ranges of slots of a Cluster, from 0; 0 elsewhere.
	Part int
}

// SkipEvent are records that a Read has left out.
type SkipEvent struct {
	Records int
}

// CheckEvent is what a master says of itself.
type CheckEvent struct {
	// Policy is its maxmemory-policy. "": it does not say.
	Policy string
	// MaxMemory is how much it may hold, in bytes. 0: as much as the machine has, or it does
	// not say.
	MaxMemory int64
}

// JoinHooks returns hooks that call those of every argument, in order. One that panics
// does not keep the others from being called.
func JoinHooks(hooks ...Hooks) Hooks {
	var joined Hooks
	for _, h := range hooks {
		joined.Panicked = bearergate.Hook("Panicked", nil, joined.Panicked, h.Panicked)
	}
	for _, h := range hooks {
		joined.Called = bearergate.Hook("Called", joined.Panicked, joined.Called, h.Called)
		joined.CircuitChanged = bearergate.Hook("CircuitChanged", joined.Panicked, joined.CircuitChanged, h.CircuitChanged)
		joined.Skipped = bearergate.Hook("Skipped", joined.Panicked, joined.Skipped, h.Skipped)
		joined.Checked = bearergate.Hook("Checked", joined.Panicked, joined.Checked, h.Checked)
	}
	return joined
}
