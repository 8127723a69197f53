package jwks

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/bearergate/bearergate/internal/clock"
)

// State says what a [Cache] holds, what a call of Keys gets, and when the Cache
// fetches.
//
//	state    what is held                       Keys                      fetches                    Status.Ready
//	EMPTY    nothing yet                        waits for the fetch       at once                    no
//	FRESH    age below 80 % of the TTL          answers                   for an unknown key only    yes
//	AHEAD    age below the TTL                  answers                   in the background          yes
//	DUE      age past the TTL,                  waits for the fetch       at once                    yes
//	         no known outage
//	STALE    age past the TTL, known outage     answers                   in the background          yes
//	EXPIRED  age past the TTL plus MaxStale     waits for the fetch       at once                    no
//
// If the fetch fails, or has run for a second since its own start, a call that waits in DUE
// is answered as in STALE; one that waits in EMPTY or EXPIRED gets
// [bearergate.ErrUnavailable], and so does one that is not ready to wait for so long in DUE.
// Each answer in STALE calls the hook StaleServed.
//
// Age is the time since the start of the fetch that brought the set or that
// confirmed it (304). It is the larger of what the monotonic and the wall clock
// say: neither a suspended machine nor a clock that is set back lets a withdrawn
// key live longer.
//
// A fetch that took longer than any can, because the process was stopped or its machine
// slept, is no outage: whoever waits for it has the server asked once more.
//
// An outage is known if a fetch has failed past the TTL, or so shortly before it
// that the next attempt was due less than a minute ago.
//
// After a failed fetch, whatever started it, no other starts for 1 s, then 2 s,
// 4 s and so on up to 60 s, less up to a fifth, or for as long as the server's
// Retry-After says if that is longer. Retry-After counts for at most 5 min, and
// for at most 1 min if there are no usable keys. While there are usable keys, at
// most three fetches per MissInterval fail. During such a pause, EMPTY and EXPIRED
// fail at once instead of waiting.
type State string

// The states.
const (
	StateEmpty   State = "empty"
	StateFresh   State = "fresh"
	StateAhead   State = "ahead"
	StateDue     State = "due"
	StateStale   State = "stale"
	StateExpired State = "expired"
)

// Usable reports whether the state has keys that verify tokens.
func (s State) Usable() bool {
	switch s {
	case StateFresh, StateAhead, StateDue, StateStale:
		return true
	}
	return false
}

// policy is the part of Config that decides about times.
type policy struct {
	ttl, minTTL, maxTTL, maxStale, missInterval time.Duration
}

// view is everything that a Cache knows at one moment. It is immutable and
// replaced as a whole: a reader sees a consistent state without a lock.
type view struct {
	policy *policy

	// The keys: what was fetched.
	set       *keySet // nil: EMPTY
	body      []byte  // what set was read from
	url       string  // where it came from
	etag      string
	confirmed clock.Instant // when the fetch began that brought or confirmed set: the answer may be as old as that
	cached    time.Duration // how long that answer was in caches on the way: the server wrote it so long before
	ttl       time.Duration // with jitter
	found     discovery

	// The schedule: what was tried. Attempts are numbered from 1.
	begun     uint64                     // number of the last attempt
	succeeded uint64                     // number of the last one that succeeded
	started   clock.Instant              // when the last one began
	missed    [missFetches]clock.Instant // when the last ones began that an unknown key caused, the latest first
	asker     uint64                     // number of the latest of those
	asked     []wanted                   // what that one was asked for, as far as it is remembered; never changed in place
	answered  clock.Instant              // when the last success was complete

	failures   int                           // in a row, whatever the trigger
	failed     [usableFailures]clock.Instant // when the last of them were complete, the latest first
	wait       time.Duration                 // the backoff after the latest
	retryAfter time.Duration                 // what the server asked for
	err        error                         // the last failure; nil after a success

	interrupted bool // the process slept through an attempt since the last success
}

func (v *view) state(now clock.Instant) State {
	if v.set == nil {
		return StateEmpty
	}
	switch age := now.Since(v.confirmed); {
	case age < v.ttl/100*aheadPercent:
		return StateFresh
	case age < v.ttl:
		return StateAhead
	case age >= v.ttl+v.policy.maxStale:
		return StateExpired
	}
	// Past the TTL, the server must be asked before the keys are used again,
	// unless an attempt has failed since. A failure shortly before the TTL counts
	// too, as long as the next attempt may be under way: under traffic the outage
	// is known, and callers must not all wait to learn of it again. An older
	// failure does not count. The service was idle since, the server may be back,
	// and a withdrawn key must be refused.
	lately := max(v.wait, v.retryAfter) + backoffMax
	if v.failures > 0 && (v.failed[0].Since(v.confirmed) >= v.ttl || now.Since(v.failed[0]) < lately || v.pause(now) > 0) {
		return StateStale
	}
	return StateDue
}

func (v *view) usable(now clock.Instant) bool {
	return v.set != nil && now.Since(v.confirmed) < v.ttl+v.policy.maxStale
}

// pause returns for how long no fetch may start, 0 if one may. It counts
// failures of every trigger, so that no trigger gets around another's backoff.
func (v *view) pause(now clock.Instant) time.Duration {
	if v.failures == 0 {
		return 0
	}
	usable, retryAfter := v.usable(now), v.retryAfter
	if !usable {
		retryAfter = min(retryAfter, retryAfterEmpty)
	}
	pause := max(v.wait, retryAfter) - now.Since(v.failed[0])
	if usable { // nobody waits for it: no hurry
		pause = max(pause, v.policy.missInterval-now.Since(v.failed[usableFailures-1]))
	}
	return max(0, pause)
}

// missPause is pause for a fetch that an unknown key asks for. There are two such
// fetches per interval, and the second is not for what the first was asked for: one
// client with an old token, or one invented ID, does not keep a rotation waiting.
// Scheduled fetches do not use them up and do not wait for them: a flood of invented
// keys cannot delay those.
func (v *view) missPause(now clock.Instant, w wanted) time.Duration {
	since := v.missed[missFetches-1]
	if slices.Contains(v.asked, w.brief()) {
		since = v.missed[0]
	}
	return max(0, v.pause(now), v.policy.missInterval-now.Since(since))
}

// next returns a copy with one more attempt begun. w is what an unknown key asks for.
func (v *view) next(now clock.Instant, t Trigger, w wanted) *view {
	n := *v
	n.begun++
	n.started = now
	if t == TriggerUnknownKey {
		copy(n.missed[1:], v.missed[:])
		n.missed[0], n.asker, n.asked = now, n.begun, []wanted{w.brief()}
	}
	return &n
}

// withAsked returns a copy that remembers that the latest attempt for an unknown key
// answered w too; nil if there is nothing to remember.
func (v *view) withAsked(w wanted) *view {
	if len(v.asked) >= askedMax || slices.Contains(v.asked, w.brief()) {
		return nil
	}
	n := *v
	n.asked = append(slices.Clone(v.asked), w.brief())
	return &n
}

// withFailure returns a copy after a failed attempt: the keys stay.
func (v *view) withFailure(now clock.Instant, err error, retryAfter time.Duration) *view {
	n := *v
	n.failures++
	copy(n.failed[1:], v.failed[:])
	n.failed[0], n.err, n.retryAfter = now, err, retryAfter
	n.wait = min(backoffFirst<<min(n.failures-1, 16), backoffMax)
	n.wait -= time.Duration(rand.Int64N(int64(n.wait/100*backoffJitter) + 1))
	return &n
}

// withoutAttempt returns a copy after an attempt of which nothing can be said. An outage from
// before it is not known any more: the next caller past the TTL has the server asked.
func (v *view) withoutAttempt() *view {
	n := *v
	n.interrupted = true
	n.failures, n.failed, n.err, n.wait, n.retryAfter = 0, [usableFailures]clock.Instant{}, nil, 0, 0
	return &n
}

// withSuccess returns a copy after the attempt that started at the given time.
func (v *view) withSuccess(now, started clock.Instant, number uint64) *view {
	n := *v
	n.succeeded, n.answered, n.confirmed, n.interrupted = number, now, started, false
	n.failures, n.failed, n.err, n.wait, n.retryAfter = 0, [usableFailures]clock.Instant{}, nil, 0, 0
	return &n
}

// lifetime is the TTL for what the server said, with jitter.
func (p *policy) lifetime(maxAge time.Duration, said bool) time.Duration {
	ttl := p.ttl
	if said {
		ttl = min(max(maxAge, p.minTTL), p.maxTTL)
	}
	jitter := int64(ttl / 100 * jitterPercent)
	return ttl + time.Duration(rand.Int64N(2*jitter+1)-jitter)
}
