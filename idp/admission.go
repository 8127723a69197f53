package idp

import (
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/clock"
	"github.com/bearergate/bearergate/internal/guard"
	"github.com/bearergate/bearergate/internal/ttlcache"
	"github.com/bearergate/bearergate/issuers"
	"golang.org/x/sync/singleflight"
)

const (
	admittedFor   = time.Hour        // how long it is remembered that a tenant may come
	refusedFor    = 10 * time.Second // and that it may not
	lookupTimeout = 5 * time.Second
	failedFor     = time.Second // how long after a failure no other call is made
)

// admission is what a Lookup says about one tenant, remembered. It is asked after the
// signature.
//
//   - What bounds it: one call at a time for a tenant, lookupTimeout; as many tenants as the
//     router keeps verifiers, and maxKnown in known.
//   - Who can fill and steer it: tenants of Entra whose applications get tokens for this API.
//     They are known by name. With more than maxKnown of them, the one that was let in
//     longest ago is forgotten in known, and asked about again with its next verifier.
//   - What the caller sees when there is no answer: ErrUnavailable, ReasonStoreUnavailable.
type admission struct {
	tenant string
	lookup func(context.Context, string) (bool, error)
	known  *known
	flight singleflight.Group
	slot   chan struct{} // of the one call that may be under way

	mu       sync.Mutex        // guards the rest
	refusal  *bearergate.Error // what was said last; nil: the tenant may come
	at       time.Time
	keeps    time.Duration // for how long; 0: nothing was said yet
	admitted time.Time     // when it was last said that the tenant may come
}

// known are the admissions of tenants that may come. What Lookup has said of them outlives
// their verifiers, which the router makes anew within a day: else a tenant would be refused
// if that happens in an outage. Strangers get nothing into it. Who may not come any more is
// taken out: another admission of the same tenant may have heard it.
type known = ttlcache.Cache[*admission]

// maxKnown is several times what there are verifiers for: the cache has shards, of which
// some fill sooner than others.
const maxKnown = 4 * issuers.DefaultMaxResolved

func newKnown() *known { return ttlcache.New[*admission](maxKnown, 0) }

// admissionOf is the one that is known, or a new one.
func admissionOf(tenant string, lookup func(context.Context, string) (bool, error), of *known) *admission {
	if a, ok := of.Get(sha256.Sum256([]byte(tenant)), time.Now()); ok {
		return a
	}
	return &admission{tenant: tenant, lookup: lookup, known: of, slot: make(chan struct{}, 1)}
}

var (
	errNotAdmitted = &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonIssuer, Detail: "idp.EntraTenants: Lookup says that the tenant may not open the API"}
	errLookup      = &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonStoreUnavailable, Detail: "idp.EntraTenants: Lookup has failed", Cause: errors.New("Lookup")}
)

// check is a Check of jwtverify.
func (a *admission) check(ctx context.Context, _ *bearergate.Token) error {
	counts, err := a.said(time.Now())
	if counts {
		return err
	}
	asked := a.flight.DoChan("", func() (any, error) { a.ask(); return nil, nil })
	if a.isAdmitted(time.Now()) { // nobody waits to hear what was heard before
		return nil
	}
	select {
	case <-asked:
		_, err := a.said(time.Now())
		return err
	case <-ctx.Done():
		return bearergate.Guard(ctx, errLookup, context.Context.Err)
	}
}

// said reports whether what was said last still counts, and returns it.
func (a *admission) said(now time.Time) (counts bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.refusal != nil {
		own := *a.refusal // each caller's own
		err = &own
	}
	return clock.Elapsed(a.at, now) < a.keeps, err
}

// ask calls Lookup, which may panic, end its goroutine or ignore its context.
func (a *admission) ask() {
	if counts, _ := a.said(time.Now()); counts { // from the flight before this one
		return
	}
	select {
	case a.slot <- struct{}{}:
	default: // the last call is deaf to its end
		a.say(time.Now(), errLookup)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookupTimeout)
	defer cancel()
	said := make(chan error, 1)
	err := guard.Isolate(ctx, 0, func() {
		defer func() { <-a.slot }()
		said <- bearergate.Guard(ctx, errLookup, func(ctx context.Context) error {
			is, err := a.lookup(ctx, a.tenant)
			if err == nil && !is {
				return errNotAdmitted
			}
			return err
		})
	})
	if err == nil {
		err = <-said
	} else {
		late := *errLookup
		late.Cause = err
		err = &late
	}
	a.say(time.Now(), bearergate.AsError(err))
}

// say remembers an answer. A tenant that could come before still can while nobody knows, for
// an hour: an outage of a store refuses no customer. A broken Lookup does.
func (a *admission) say(now time.Time, refusal *bearergate.Error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refusal, a.at, a.keeps = refusal, now, refusedFor
	name := sha256.Sum256([]byte(a.tenant))
	switch {
	case refusal == nil:
		a.admitted, a.keeps = now, admittedFor
		a.known.Add(name, a, 0, now, 2*admittedFor)
	case errors.Is(refusal.Kind, bearergate.ErrUnavailable):
		a.keeps = failedFor
		if a.stillAdmitted(now) {
			a.refusal = nil
		}
	case errors.Is(refusal.Kind, bearergate.ErrMisconfigured): // Lookup is broken: nobody knows what it would say
		a.keeps, a.admitted = failedFor, time.Time{}
		a.known.Delete(name)
	default:
		a.admitted = time.Time{}
		a.known.Delete(name)
	}
}

func (a *admission) isAdmitted(now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.stillAdmitted(now)
}

// stillAdmitted is called with the lock held.
func (a *admission) stillAdmitted(now time.Time) bool {
	return !a.admitted.IsZero() && clock.Elapsed(a.admitted, now) < 2*admittedFor
}
