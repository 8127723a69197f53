package introspect

import (
	"math/rand/v2"
	"sync"
	"time"
)

// breaker stops calls to an authorization server that does not answer, or that refuses our
// own credentials: they would make callers wait and hinder its recovery.
//
//	CLOSED     calls go out. After five outages in a row, and when our credentials are
//	           refused, the client asks about a random token of its own.
//	           It fails alike: OPEN. It is answered: the tokens of the callers were to
//	           blame, or a firewall that does not like them.
//	OPEN       no call goes out: for 1 s, 2 s, 4 s and so on up to 30 s, for as long as
//	           Retry-After says, or for 10 s where our credentials are refused.
//	HALF_OPEN  the client asks about a token of its own, and if that fails, about that of
//	           the caller who came: one is answered: CLOSED, else OPEN.
//
// Some servers, and firewalls in front of them, answer by an error to every token that they
// do not know, so that a token of our own proves nothing. That is why a caller's is asked about
// too. There, five strangers can still shut out the others until an honest one is the next to
// come when the time is over: [Client.Warm] names such a server at start.
//
//   - What bounds it: the times above. One call about a token of our own at a time.
//   - Who can fill it: it holds counters alone.
//   - Who can steer it: nobody who sends tokens. They can have us ask about a token of our
//     own, one call in six of theirs at most, and no more than one for credentials a second.
//   - What the caller sees when it is open: ErrUnavailable with Retry-After; where our
//     credentials are refused, ErrMisconfigured.
//
// It is our own: the standard library has none, and sony/gobreaker, the usual
// one, is as long as this and has neither Retry-After nor a growing interval.
//
// It is safe for concurrent use.
type breaker struct {
	mu       sync.Mutex // guards the rest
	state    BreakerState
	failures int           // in a row, in BreakerClosed
	answers  uint64        // counts those of the server
	answered time.Time     // the last of them; none was long ago
	opened   int           // times in a row without a success
	until    time.Time     // in BreakerOpen: no call before; in BreakerHalfOpen: the test is given up
	refusal  *failure      // in BreakerOpen: of our credentials; nil: an outage
	wait     time.Duration // how long it was opened for
}

// change is a change of state for the hooks; none if from and to are equal.
type change struct {
	from, to BreakerState
	wait     time.Duration
	outcome  Outcome // of the test
}

// blocked returns why no call goes out now; nil if one may.
func (b *breaker) blocked(now time.Time) *failure {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.block(now)
}

// block is called with the lock held.
func (b *breaker) block(now time.Time) *failure {
	left := b.until.Sub(now) // long over, where it was never opened
	switch {
	case b.state == BreakerClosed || left <= 0:
		return nil
	case b.refusal != nil:
		f := *b.refusal
		return &f
	}
	return &failure{outcome: outcomeOpen, retryAfter: left, detail: "the authorization server did not answer the last calls"}
}

// admit lets a call go out, or says why not. When the time in BreakerOpen is over, the first
// who asks has to make a test before, which has to be reported within the given time.
func (b *breaker) admit(now time.Time, limit time.Duration) (f *failure, test bool, c change) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state == "" {
		b.state = BreakerClosed
	}
	if f := b.block(now); f != nil || b.state == BreakerClosed {
		return f, false, c
	}
	// Also when a test was never reported: the HTTP client does not honour its context.
	c = b.enter(BreakerHalfOpen)
	b.until = now.Add(limit)
	return nil, true, c
}

// report says how a call for a caller ended. alive: the server answered, if only by an error
// about one token. down: the infrastructure failed. Neither: the call did not get that
// far. It reports whether the server has to be tested.
func (b *breaker) report(now time.Time, alive, down bool) (suspect bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case alive:
		b.heard(now)
	case down && b.state == BreakerClosed:
		b.failures++
		return b.failures >= BreakerFailures
	}
	return false
}

// proved says that a caller was answered right after a token of our own had failed.
func (b *breaker) proved(now time.Time) change {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.close(now)
}

// since returns a count of the server's answers, for tested.
func (b *breaker) since() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.answers
}

// trusted reports whether the server has answered lately: it knows our credentials.
func (b *breaker) trusted(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return now.Sub(b.answered) < retryAfter
}

// tested says how a call about a token of our own ended that began when the server had given
// so many answers; f is nil if it was answered.
func (b *breaker) tested(now time.Time, since uint64, f *failure) change {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state == "" {
		b.state = BreakerClosed
	}
	refused := f != nil && f.outcome == OutcomeUnauthorized
	switch {
	case f == nil || f.alive():
		return b.close(now)
	case b.state == BreakerOpen:
		return change{}
	case b.state == BreakerClosed && b.answers != since: // it has answered meanwhile
		return change{}
	case b.state == BreakerClosed && !refused:
		if !f.down() {
			return change{}
		}
		if b.failures++; b.failures < BreakerFailures {
			return change{}
		}
	}
	return b.open(now, f, refused)
}

// retest is tested for a call of which nothing can be said: the next caller has to make another.
func (b *breaker) retest(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state == BreakerHalfOpen {
		b.until = now
	}
}

// open is called with the lock held.
func (b *breaker) open(now time.Time, f *failure, refused bool) change {
	wait := min(BreakerMinOpen<<min(b.opened, 16), BreakerMaxOpen)
	if b.refusal = nil; refused {
		wait, b.refusal = CredentialsPause, f
	}
	wait -= time.Duration(rand.Int64N(int64(wait/10) + 1)) // a fleet must not test at one moment
	b.wait = max(wait, min(f.retryAfter, BreakerMaxOpen))
	if !refused {
		b.opened++
	}
	c := b.enter(BreakerOpen)
	b.until = now.Add(b.wait)
	c.wait, c.outcome = b.wait, f.outcome
	return c
}

// heard notes an answer of the server. It is called with the lock held.
func (b *breaker) heard(now time.Time) {
	b.failures, b.answered = 0, now
	b.answers++
}

// close is called with the lock held.
func (b *breaker) close(now time.Time) change {
	b.heard(now)
	b.opened, b.refusal = 0, nil
	return b.enter(BreakerClosed)
}

// enter is called with the lock held.
func (b *breaker) enter(to BreakerState) change {
	c := change{from: b.state, to: to}
	b.state = to
	return c
}
