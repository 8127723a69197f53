package redisgate

import (
	"sync"
	"time"
)

// When a Redis that does not answer is left alone.
const (
	// FailuresToOpen is after how many calls in a row without an answer the next ones fail at
	// once. One or two happen whenever a connection breaks.
	FailuresToOpen = 5
	// MinPause is how long they do at first: a call waits for 100 ms, and a dead Redis shall
	// cost a fraction of the requests that much, and no more.
	MinPause = 250 * time.Millisecond
	// MaxPause is the longest pause, and so how much later than its client a process comes
	// back after a failover. go-redis takes up to a second itself where it could not connect.
	MaxPause = time.Second
)

// verdict is what a call says about Redis.
type verdict int

const (
	answered   verdict = iota // with whatever: it is there
	unanswered                // or by something that need not be Redis: see refused
	unknown                   // it was not asked
)

// circuit keeps a Redis that does not answer from slowing every request down.
//
//   - What bounds it: one attempt at a time, a pause between MinPause and MaxPause.
//   - Who can fill it: nothing is kept.
//   - Who can steer it: Redis, and the network to it. Not callers: a call that was left
//     by its caller is judged by what Redis does, and one that got no connection says nothing.
//   - What the caller sees while it is open: ErrUnavailable, ReasonStoreUnavailable, at once.
type circuit struct {
	mu       sync.Mutex // guards the rest
	failures int        // in a row, while closed
	pause    time.Duration
	until    time.Time // calls fail at once; zero: closed
	attempt  *ticket   // under way; nil: none
	lapses   time.Time // when an attempt of which nothing was heard does not count any more
}

// ticket is one call that was let through.
type ticket struct {
	circuit *circuit
	once    sync.Once
}

// enter lets a call through, or says how long to wait. A call lasts at most for life.
func (c *circuit) enter(now time.Time, life time.Duration) (t *ticket, wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t = &ticket{circuit: c}
	switch {
	case c.until.IsZero():
		return t, 0
	case now.Before(c.until):
		return nil, c.until.Sub(now)
	case c.attempt != nil && now.Before(c.lapses):
		return nil, c.lapses.Sub(now)
	}
	c.attempt, c.lapses = t, now.Add(life)
	return t, 0
}

// settle says what came of a call, once: later verdicts about it do not count. It reports
// whether the circuit has opened, stayed open for longer, or closed.
func (t *ticket) settle(now time.Time, v verdict) (event CircuitEvent, changed bool) {
	t.once.Do(func() { event, changed = t.circuit.settle(t, now, v) })
	return event, changed
}

func (c *circuit) settle(t *ticket, now time.Time, v verdict) (CircuitEvent, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	attempt := c.attempt == t
	if attempt {
		c.attempt = nil
	}
	isOpen := !c.until.IsZero()
	switch {
	case v == answered:
		c.failures, c.pause, c.until = 0, 0, time.Time{}
		return CircuitEvent{}, isOpen
	case v == unknown:
		return CircuitEvent{}, false // the next call is the next attempt
	case isOpen && !attempt:
		return CircuitEvent{}, false // one of those that were under way when it opened
	case isOpen:
		c.pause = min(2*c.pause, MaxPause)
	case c.failures+1 < FailuresToOpen:
		c.failures++
		return CircuitEvent{}, false
	default:
		c.pause = MinPause
	}
	c.until = now.Add(c.pause)
	return CircuitEvent{Open: true, Pause: c.pause}, true
}
