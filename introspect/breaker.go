package introspect

import (
	"math/rand/v2"
	"sync"
	"time"
)

// breaker stops calls to an authorization server that does not answer: they would
// make callers wait and hinder its recovery.
//
// It is our own: the standard library has none, and sony/gobreaker, the usual
// one, is as long as this and has neither Retry-After nor a growing interval.
//
// It is safe for concurrent use.
type breaker struct {
	mu       sync.Mutex // guards the rest
	state    BreakerState
	failures int           // in a row, in BreakerClosed
	opened   int           // times in a row without a success
	until    time.Time     // in BreakerOpen: no call before; in BreakerHalfOpen: the probe is given up
	wait     time.Duration // how long it was opened for
	period   uint64        // counts the changes: a report of a call admitted before the last one is ignored
}

// change is a change of state for the hooks; none if from and to are equal.
type change struct {
	from, to BreakerState
	wait     time.Duration
}

// blocked returns for how long no call will be admitted, 0 if one may be now.
func (b *breaker) blocked(now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state == "" || b.state == BreakerClosed {
		return 0
	}
	return max(0, b.until.Sub(now))
}

// admit lets a call go out, or says how long not to try. When the time in
// BreakerOpen is over, it admits one call, the probe, whose end has to be reported
// within the given time.
func (b *breaker) admit(now time.Time, probe time.Duration) (period uint64, wait time.Duration, c change) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state == "" {
		b.state = BreakerClosed
	}
	if b.state == BreakerClosed {
		return b.period, 0, c
	}
	if left := b.until.Sub(now); left > 0 {
		return 0, left, c
	}
	// Also when a probe was never reported: the HTTP client does not honour its context.
	c = b.enter(BreakerHalfOpen)
	b.until = now.Add(probe)
	return b.period, 0, c
}

// report says how an admitted call ended. alive: the server answered, if only by
// an error about one token. down: the infrastructure failed. Neither: the call
// did not get that far.
func (b *breaker) report(now time.Time, period uint64, alive, down bool, retryAfter time.Duration) change {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case period != b.period, !alive && !down && b.state == BreakerClosed:
		return change{}
	case alive:
		b.failures, b.opened = 0, 0
		return b.enter(BreakerClosed)
	}
	b.failures++
	if b.state == BreakerClosed && b.failures < BreakerFailures {
		return change{}
	}
	wait := min(BreakerMinOpen<<min(b.opened, 16), BreakerMaxOpen)
	wait -= time.Duration(rand.Int64N(int64(wait/10) + 1)) // a fleet must not probe at one moment
	b.wait = max(wait, min(retryAfter, BreakerMaxOpen))
	b.opened++
	b.failures = 0
	c := b.enter(BreakerOpen)
	b.until = now.Add(b.wait)
	c.wait = b.wait
	return c
}

// enter is called with the lock held.
func (b *breaker) enter(to BreakerState) change {
	c := change{from: b.state, to: to}
	if b.state != to || to == BreakerHalfOpen {
		b.period++
	}
	b.state = to
	return c
}
