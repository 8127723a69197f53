package introspect

import (
	"context"
	"crypto/rand"
	"sync"
	"time"
)

// own is the call about a token of our own, which nobody issued: it tells a server that is
// down, or that refuses us, from one that does not like a caller's token. There is one at a
// time, and more only if the HTTP client is deaf to their end, Calls.Max at most. It is bound
// by Timeout, needs none of the slots of callers, and is remembered nowhere.
type own struct {
	mu  sync.Mutex // guards now
	now *ownCall   // nil: none is under way
}

// ownCall is one such call.
type ownCall struct {
	done chan struct{} // closed when the rest is there
	r    reply
	f    *failure // nil: the server has answered
}

// askOwn starts such a call, or joins the one under way. What comes of it, the breaker knows
// before it ends.
func (c *Client) askOwn(hookCtx context.Context) *ownCall {
	c.own.mu.Lock()
	defer c.own.mu.Unlock()
	if c.own.now != nil {
		return c.own.now
	}
	call := &ownCall{done: make(chan struct{})}
	c.own.now = call
	since := c.breaker.since()
	go func() { // with a context of its own: it depends on nobody
		var events news
		call.r, call.f = c.ownAnswer(&events)
		if f := call.f; f == nil || !f.frozen {
			c.breakerChanged(&events, c.breaker.tested(time.Now(), since, f))
		} else {
			c.breaker.retest(time.Now())
		}
		c.tell(hookCtx, events...)
		c.own.mu.Lock()
		c.own.now = nil
		c.own.mu.Unlock()
		close(call.done)
	}()
	return call
}

// ownAnswer makes the call, and tells of it.
func (c *Client) ownAnswer(events *news) (reply, *failure) {
	ctx, cancel := context.WithTimeout(context.Background(), c.timeout)
	defer cancel()
	select {
	case c.ownSlots <- struct{}{}:
	default:
		return reply{}, &failure{outcome: OutcomeTimeout, detail: "the last calls about a token of our own have not ended"}
	}
	event := CallEvent{ID: newCallID(), Issuer: c.issuer, Attempt: 1, Own: true, Start: time.Now().Round(0)}
	start := time.Now()
	r, f := c.isolated(ctx, rand.Text(), func() { <-c.ownSlots })
	if f != nil {
		f.frozen = c.frozen(start)
	}
	c.called(events, event, time.Since(start), r, f)
	return r, f
}

// frozen reports that more time has passed than a call can take: the process was stopped, or
// its machine slept. What failed meanwhile says nothing about the server.
func (c *Client) frozen(start time.Time) bool {
	return c.elapsed(start, time.Now()) > c.timeout+grace+time.Second
}

// suspect has the server tested, and waits for that as long as ctx lasts.
func (c *Client) suspect(ctx, hookCtx context.Context) {
	if c.breaker.blocked(time.Now()) != nil { // it was, meanwhile
		return
	}
	select {
	case <-c.askOwn(hookCtx).done:
	case <-ctx.Done():
	}
}

// refused judges a 401 or 403. If the server answers about a token of our own, it does not
// refuse us: somebody does not like this one token. A firewall, most often.
func (c *Client) refused(ctx, hookCtx context.Context, f *failure) *failure {
	unclear := *f
	unclear.outcome = OutcomeStatus
	if !c.breaker.trusted(time.Now()) {
		call := c.askOwn(hookCtx)
		select {
		case <-call.done:
		case <-ctx.Done():
			unclear.detail = "our credentials may be refused: there was no time to ask about another token"
			return &unclear
		}
		switch {
		case call.f != nil && call.f.outcome == OutcomeUnauthorized:
			return f
		case call.f != nil && !call.f.alive():
			return call.f
		}
	}
	unclear.detail = "for this one token: about another one the server answers; look at the log of what stands in front of it, a firewall for example"
	return &unclear
}
