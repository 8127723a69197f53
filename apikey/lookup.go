package apikey

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/digest"
	"github.com/bearergate/bearergate/internal/guard"
	"github.com/bearergate/bearergate/internal/mistake"
	"github.com/bearergate/bearergate/internal/quote"
	"github.com/bearergate/bearergate/internal/ttlcache"
)

// lookups ask Config.Lookup and remember what it said.
//
// known is bounded by MaxKeys, and only keys that exist are in it; whoever has many of them
// can have others looked up again, and no more. unknown is bounded by its entries, and
// strangers fill it: it spares calls for an ID that is sent again and again, and nobody
// depends on it. Outages are not remembered.
//
// Calls: one per ID. Strangers' IDs have places of their own, and who finds none is told 503
// overloaded. A Lookup that does not honour its context keeps its place until it returns.
type lookups struct {
	keys           *Keys
	known          *ttlcache.Cache[*entry]
	unknown        *ttlcache.Cache[struct{}]
	flights        singleflight.Group
	places, proven chan struct{} // for IDs that were never accepted, and for those that were
}

const (
	unknownEntries = 4096
	// weightless is the size of every entry: the caches are bounded by their entries alone.
	weightless = 0
	// callGrace is how much longer than its context a Lookup is waited for, so that what it
	// says then is told: its error, which often says more.
	callGrace = 100 * time.Millisecond
)

func newLookups(k *Keys) *lookups {
	return &lookups{keys: k,
		known:   ttlcache.New[*entry](k.config.MaxKeys, weightless),
		unknown: ttlcache.New[struct{}](unknownEntries, weightless),
		places:  make(chan struct{}, MaxLookups), proven: make(chan struct{}, MaxLookups)}
}

func (l *lookups) find(ctx context.Context, id string) (*entry, error) {
	name, now := digest.String(id), time.Now()
	if e, ok := l.known.Get(name, now); ok {
		return e, nil
	}
	if _, ok := l.unknown.Get(name, now); ok {
		return nil, nil
	}
	return l.wait(ctx, id, func() (*entry, error) {
		began := time.Now() // what Lookup says may be as old as its call
		e, err := l.call(id)
		switch {
		case err != nil: // an outage is not remembered
		case e == nil:
			l.unknown.Add(name, struct{}{}, weightless, began, UnknownTTL)
		default:
			l.known.Add(name, e, weightless, began, l.keys.config.KeyTTL)
		}
		return e, err
	})
}

// ask has Lookup asked for [Keys.Explain]: nothing that is remembered counts, and nothing is
// remembered.
func (l *lookups) ask(ctx context.Context, id string) (*entry, error) {
	return l.wait(ctx, "to explain "+id, func() (*entry, error) { return l.call(id) })
}

// wait joins the call of that name, or makes it, until ctx ends.
func (l *lookups) wait(ctx context.Context, name string, call func() (*entry, error)) (*entry, error) {
	if ctx.Err() != nil {
		return nil, bearergate.Guard(ctx, errStore, context.Context.Err)
	}
	answer := l.flights.DoChan(name, func() (any, error) { return call() })
	select {
	case r := <-answer:
		e, _ := r.Val.(*entry)
		return e, r.Err
	case <-ctx.Done():
		return nil, bearergate.Guard(ctx, errStore, context.Context.Err)
	}
}

// call makes the one call for an ID, which nobody who leaves takes along.
func (l *lookups) call(id string) (*entry, error) {
	places := l.places
	if l.keys.uses.accepted(id) {
		places = l.proven
	}
	select {
	case places <- struct{}{}:
	default:
		return nil, errOverload
	}
	ctx, cancel := context.WithTimeout(context.Background(), l.keys.config.LookupTimeout)
	defer cancel()
	type result struct {
		record Record
		found  bool
		err    error
	}
	done := make(chan result, 1) // not a variable: a late call may still write
	err := guard.Isolate(ctx, callGrace, func() {
		defer func() { <-places }()
		var r result
		r.err = bearergate.Guard(ctx, errStore, func(ctx context.Context) (err error) {
			r.record, r.found, err = l.keys.config.Lookup(ctx, id)
			return err
		})
		done <- r
	})
	if errors.Is(err, guard.ErrLate) {
		return nil, errLate
	}
	if err != nil {
		return nil, &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonInternal, Detail: "Lookup is broken", Cause: fmt.Errorf("apikey: Lookup: %w", err)}
	}
	r := <-done
	switch {
	case r.err != nil:
		return nil, blameless(ctx, r.err)
	case !r.found:
		return nil, nil
	}
	return l.entry(id, r.record)
}

// blameless keeps a Lookup that failed from blaming the client: that a key is wrong, this
// package decides. The error is kept as text alone, or a second sentinel would be true of it.
//
// ctx is that of the call. A Lookup that gives up when it ends has not answered in time, in
// whatever words it says so.
func blameless(ctx context.Context, err error) error {
	failed := *errStore
	switch {
	case errors.Is(err, bearergate.ErrMisconfigured): // it panicked, or says so
		failed = *bearergate.AsError(err)
		failed.Detail = cmp.Or(failed.Detail, "Lookup is broken")
		return &failed
	case errors.Is(err, bearergate.ErrUnavailable):
		failed = *bearergate.AsError(err)
	default:
		failed.Cause = fmt.Errorf("apikey: Lookup: %v", err)
	}
	if failed.Detail = cmp.Or(failed.Detail, errStore.Detail); ctx.Err() != nil {
		failed.Detail = errLate.Detail
	}
	return &failed
}

func (l *lookups) entry(id string, r Record) (*entry, error) {
	wrong := mistake.In("apikey")
	if r.ID != id {
		wrong.Addf("Lookup returned a record with another ID than it was asked for")
	} else {
		checkRecord(r, func(format string, args ...any) {
			wrong.Addf("record %s: "+format, append([]any{quote.One(id)}, args...)...)
		})
	}
	if err := wrong.Err(); err != nil {
		refused := misconfigured(err)
		refused.Detail = "Lookup returned a record that New would refuse"
		return nil, refused
	}
	return l.keys.entryOf(r), nil
}
