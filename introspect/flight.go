package introspect

import (
	"context"
	"sync"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/clock"
)

// lateAfter is how long a call may run, since its own start, before it counts as an outage
// for those who wait for it and have a stale answer that they may use.
const lateAfter = time.Second

// flights are the shared calls that are under way, one for each token that somebody waits for.
//
//   - What bounds them: Calls.Max that ask, and Calls.Waiting that wait for their turn, a
//     third of Timeout at most.
//   - Who can fill them: whoever sends tokens that nothing is remembered of, with each of
//     which somebody has to wait. What nobody waits for any more does not begin to ask.
//   - Who can steer them: nobody. A caller's context ends that caller's wait and nothing else.
//   - What the caller sees when they are full: ErrUnavailable with ReasonOverloaded, at once.
//     It makes no stale answer stand in while the server answers: strangers can cause it.
type flights struct {
	max      int
	maxAhead int // of those that renew ahead of time: the places of Calls.Waiting, and half of the slots, stay free of them

	mu   sync.Mutex      // guards the rest, and the fields of a flight that say so
	open map[key]*flight // those that others may join
	n    int             // under way, joinable or not
	// ahead is how many of those were begun ahead of time.
	ahead int
}

// flight is one shared call.
type flight struct {
	began time.Time
	ahead bool          // begun ahead of time
	left  chan struct{} // closed when nobody waits any more before it has begun to ask
	asked chan struct{} // closed when it begins to ask, and at is there
	done  chan struct{} // closed when o is there
	at    time.Time
	o     outcome

	waiting int  // guarded by flights.mu: those who have joined, and not left
	needed  bool // guarded by flights.mu: it renews what is remembered, whoever waits
	asks    bool // guarded by flights.mu: it has begun to ask, and goes on to its end
	purged  bool // guarded by Client.purging: what it brings is not remembered
}

// join returns the flight for a token, and whether it is a new one, which the caller has to
// start. It is nil if there are too many. needed says that it is not given up when all have
// left; who does not need it has to leave it, or to wait for its end. ahead says that nobody
// waits for it: it renews an answer ahead of time.
func (fs *flights) join(name key, needed, ahead bool) (f *flight, leads bool) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	f = fs.open[name]
	if f == nil {
		if fs.n >= fs.max || ahead && fs.ahead >= fs.maxAhead {
			return nil, false
		}
		f = &flight{began: time.Now(), ahead: ahead, left: make(chan struct{}), asked: make(chan struct{}), done: make(chan struct{})}
		fs.open[name] = f
		fs.n++
		if ahead {
			fs.ahead++
		}
		leads = true
	}
	f.waiting++
	f.needed = f.needed || needed
	return f, leads
}

// leave is for one who does not wait any more.
func (fs *flights) leave(name key, f *flight) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if f.waiting--; f.waiting == 0 && !f.needed && !f.asks {
		fs.remove(name, f)
		close(f.left) // once: nobody can join it now
	}
}

// begin reports whether the flight shall ask: somebody still needs it.
func (fs *flights) begin(f *flight) bool {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if !f.asks && (f.waiting > 0 || f.needed) {
		f.asks, f.at = true, time.Now()
		close(f.asked)
	}
	return f.asks
}

// abandoned reports that nobody waited any more before it had begun to ask.
func (f *flight) abandoned() bool {
	select {
	case <-f.left:
		return true
	default:
		return false
	}
}

// end delivers what a flight brought.
func (fs *flights) end(name key, f *flight, o outcome) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.remove(name, f)
	fs.n--
	if f.ahead {
		fs.ahead--
	}
	f.o = o
	close(f.done)
}

// detach lets nobody join the flight for a token any more, and returns it; nil if there is
// none.
func (fs *flights) detach(name key) *flight {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	f := fs.open[name]
	delete(fs.open, name)
	return f
}

// detachAll is detach for all flights.
func (fs *flights) detachAll() {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	clear(fs.open)
}

// remove is called with the lock held.
func (fs *flights) remove(name key, f *flight) {
	if fs.open[name] == f {
		delete(fs.open, name)
	}
}

// await returns the outcome of the shared call for this token: one that is under way, or a
// new one. The call does not depend on ctx, which ends only this caller's wait (a caller
// that went away must not fail the others). e is what is remembered, and no answer any more;
// nil: nothing. The age of the call, and not how long this caller has waited or is ready to,
// decides when a stale answer stands in for one that does not come.
func (c *Client) await(ctx context.Context, m *memory, name key, raw string, e *entry) (o outcome, joined bool) {
	arrived := c.order.Add(1)
	for {
		f, leads := c.flights.join(name, e != nil, false)
		if f == nil {
			return outcome{err: overloaded("as many calls are under way, and wait for their turn, as Calls.Max and Calls.Waiting say").err()}, false
		}
		if leads {
			c.launch(ctx, f, m, name, raw, nil)
		}
		if f.wait(ctx, func() bool { return c.standsIn(m, name, e) }, func() bool { return c.frozen(f.at) }) {
			o = f.o
			if o.elsewhere || c.live && o.order < arrived {
				continue // another process asks, or it was asked before we came
			}
			if c.hooks.Waited != nil && o.id != 0 {
				c.hooks.Waited(context.WithoutCancel(ctx), WaitEvent{CallID: o.id, Issuer: c.issuer})
			}
			return o, !leads
		}
		c.flights.leave(name, f)
		if ctx.Err() != nil {
			return outcome{err: ended(ctx)}, false
		}
		late := failure{outcome: OutcomeTimeout, detail: "the call has run for a second"}
		return outcome{err: late.err(), outage: true}, !leads
	}
}

// wait reports whether the flight has brought something. If it has not, ctx has ended, or the
// flight is late and a stale answer may stand in. It is not late if the process slept: then
// it asks once more.
func (f *flight) wait(ctx context.Context, standsIn, asleep func() bool) bool {
	select {
	case <-f.done: // before ctx, which may have ended too
		return true
	default:
	}
	var late <-chan time.Time
	// How long it waits for its turn does not count, for strangers decide that. If it gets none,
	// and nobody before it is answered either, that is its outcome.
	asked := f.asked
	if !standsIn() {
		asked = nil
	}
	for {
		select {
		case <-f.done:
			return true
		case <-ctx.Done():
			return false
		case <-asked:
			asked = nil
			timer := time.NewTimer(max(0, lateAfter-clock.Elapsed(f.at, time.Now())))
			defer timer.Stop()
			late = timer.C
		case <-late:
			if !asleep() && standsIn() {
				return false
			}
			late = nil
		}
	}
}

// launch starts a flight. ahead is the answer that it shall renew before its end; nil: there
// is none.
func (c *Client) launch(ctx context.Context, f *flight, m *memory, name key, raw string, ahead *entry) {
	// The hooks see the values of the context that started the call, a trace for
	// example. The call itself does not: one request must not shape an answer
	// that is shared, and must not take it along when it goes away.
	hookCtx := context.WithoutCancel(ctx)
	go func() { c.flights.end(name, f, c.resolve(hookCtx, f, m, name, raw, ahead)) }()
}

func overloaded(detail string) *failure {
	return &failure{outcome: outcomeOverloaded, detail: detail}
}

// ended is the answer to a caller whose context has ended.
func ended(ctx context.Context) error {
	return bearergate.Guard(ctx, errWait, context.Context.Err)
}
