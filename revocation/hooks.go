package revocation

import (
	"context"
	"time"

	"github.com/bearergate/bearergate"
)

// Hooks tell metrics, traces and logs what happens. Each is optional, costs nothing when
// nil, must return soon and be safe for concurrent use. Join several with [JoinHooks].
type Hooks struct {
	// Refused is called for every token that an Entry has refused, from the goroutine of
	// the request.
	Refused func(context.Context, RefusedEvent)
	// Changed is called for every Entry that was added or lifted, here or by another
	// process.
	Changed func(context.Context, ChangeEvent)
	// Synced is called after a look into the Log that has found something, or has failed.
	Synced func(context.Context, SyncEvent)
	// PutBack is called after the Log was given what it had lost.
	PutBack func(context.Context, PutBackEvent)
	// Refetched is called after the keys of an issuer were fetched again because of an
	// Entry with a key of that issuer.
	Refetched func(context.Context, RefetchEvent)
	// Panicked is called when another hook panicked, while runtime/debug.Stack shows where.
	Panicked func(context.Context, bearergate.PanicEvent)
}

// RefusedEvent is a token that was refused because it is revoked. All fields fit for
// metrics where Issuer and Source do: Issuer is that of a token that was verified, Source is
// what a feed calls itself.
type RefusedEvent struct {
	Issuer, Source string
	By             string // what the Entry has set: "token_id", "subject+client", …; "issuer" if that alone
}

// ChangeEvent is an Entry that was added or lifted.
type ChangeEvent struct {
	Entry  Entry  // for an audit log: it names users and tokens
	By     string // as in RefusedEvent
	Lifted bool
	Own    bool // by this process
}

// SyncEvent is a look into the Log.
type SyncEvent struct {
	Err      error // nil: the end of the Log was reached
	Whole    bool  // it began at the beginning
	Records  int   // that were read
	Skipped  int   // that could not be read: somebody else's, or of a later version
	Duration time.Duration
}

// PutBackEvent is what the Log had lost.
type PutBackEvent struct{ Entries int }

// RefetchEvent is a fetch of keys because one was revoked.
type RefetchEvent struct {
	Issuer string
	Err    error // nil: the keys are new
}

// JoinHooks returns hooks that call those of every argument, in order. One that panics does
// not keep the others from being called.
func JoinHooks(hooks ...Hooks) Hooks {
	var joined Hooks
	for _, h := range hooks {
		joined.Panicked = bearergate.Hook("Panicked", nil, joined.Panicked, h.Panicked)
	}
	for _, h := range hooks {
		joined.Refused = bearergate.Hook("Refused", joined.Panicked, joined.Refused, h.Refused)
		joined.Changed = bearergate.Hook("Changed", joined.Panicked, joined.Changed, h.Changed)
		joined.Synced = bearergate.Hook("Synced", joined.Panicked, joined.Synced, h.Synced)
		joined.PutBack = bearergate.Hook("PutBack", joined.Panicked, joined.PutBack, h.PutBack)
		joined.Refetched = bearergate.Hook("Refetched", joined.Panicked, joined.Refetched, h.Refetched)
	}
	return joined
}

// changed tells of a record that counts, and has keys fetched.
func (l *List) changed(ctx context.Context, r *record, own bool) {
	v := r.entry.values()
	mask := v.mask()
	if !r.lift && mask&byKey != 0 {
		l.keys.refetch(r.entry.Issuer)
	}
	if l.hooks.Changed != nil {
		l.hooks.Changed(ctx, ChangeEvent{Entry: r.entry, By: kinds[mask], Lifted: r.lift, Own: own})
	}
}
