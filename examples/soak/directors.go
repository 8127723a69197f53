package main

import (
	"context"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
)

const (
	keysPath       = "/jwks"
	introspectPath = "/introspect"
)

// step is one fault of the authorization server, or several at once.
type step struct {
	name   string
	faults []authtest.Fault
	hold   time.Duration // how much longer than others
}

var steps = func() []step {
	both := func(name string, f authtest.Fault) step {
		keys, calls := f, f
		keys.Path, calls.Path = keysPath, introspectPath
		return step{name: name, faults: []authtest.Fault{keys, calls}}
	}
	html := authtest.Fault{Body: []byte("<html>log in</html>"), ContentType: "text/html"}
	return []step{
		both("503", authtest.Fault{Status: 503, RetryAfter: time.Second}),
		both("hangs", authtest.Fault{Hang: true}),
		{"connections dropped, metadata too", []authtest.Fault{{Drop: true}}, 3 * time.Second}, // till a new key's 401 must be over
		both("a drip", authtest.Fault{Drip: time.Hour}),
		both("a login page", html),
		both("half an answer", authtest.Fault{Truncate: true}),
		both("empty JSON", authtest.Fault{Body: []byte(`{}`)}),
		{"no keys in the set, introspection 500", []authtest.Fault{{Path: keysPath, Body: []byte(`{"keys":[]}`)}, {Path: introspectPath, Status: 500}}, 0},
		{"keys hang", []authtest.Fault{{Path: keysPath, Hang: true}}, 0},
		{"introspection hangs", []authtest.Fault{{Path: introspectPath, Hang: true}}, 0},
		{"slow", []authtest.Fault{{Delay: 50 * time.Millisecond}}, 0},
	}
}()

// failServer has the authorization server fail in one way after the other.
func (w *world) failServer(ctx context.Context) error {
	for n := 0; ctx.Err() == nil; n++ {
		if err := w.play(steps[n%len(steps)]); err != nil {
			return err
		}
	}
	return nil
}

// play is one fault from its beginning to the recovery, with a rotation in the middle of it,
// and once more in the calm thereafter, with a burst of junk.
func (w *world) play(s step) error {
	w.become(func(now *state) { now.step, now.trouble, now.faults = s.name, true, now.faults+1 })
	w.healed.Store(0)
	for _, f := range s.faults {
		w.as.Fail(f)
	}
	time.Sleep(hold / 2)
	w.rotate()
	time.Sleep(hold/2 + s.hold)
	w.as.Fail(authtest.Fault{})
	healed := time.Now()
	w.healed.Store(healed.UnixNano())
	if err := errors.Join(w.recover(healed), w.accept()); err != nil {
		return fmt.Errorf("after %q: %w", s.name, err)
	}
	w.figures.fault("the server: "+s.name, time.Since(healed))
	time.Sleep(time.Second) // for so long, a token of which a call has failed is left alone
	w.become(func(now *state) { now.step, now.trouble, now.stalls = "calm after "+s.name, false, w.stalls.Load() })
	time.Sleep(hold / 2)
	w.rotate()
	w.burst()
	err := w.accept()
	time.Sleep(hold / 2)
	if err != nil {
		return fmt.Errorf("in the calm after %q: %w", s.name, err)
	}
	return nil
}

// each waits until something is true of every process, which is asked by door.
func (w *world) each(otherwise string, holds func(d *door) bool) error {
	var errs []error
	for _, d := range w.doors {
		if d.is == direct {
			errs = append(errs, eventually(fmt.Sprintf("%s in process %d", otherwise, d.process), func() bool { return holds(d) }))
		}
	}
	return errors.Join(errs...)
}

// recover waits until every process has fetched the keys and introspected a token after the
// last fault.
func (w *world) recover(since time.Time) error {
	// What began during the fault may fail until then, and open the breaker once more.
	time.Sleep(callTimeout + hold)
	return errors.Join(
		w.each("the keys are not fetched again", func(d *door) bool {
			w.send(bearer(w.now.Load().kit, "ES256"), d) // fetches happen in the background of requests
			s := w.processes[d.process-1].keys.Status()
			return s.Failures == 0 && s.LastSuccess.After(since)
		}),
		w.each("tokens are not introspected again", func(d *door) bool {
			k := kindOf("opaque, unknown")
			return w.send(kinds[k].make(w, w.now.Load()), d).decision.reason == bearergate.ReasonInactive
		}))
}

// rotate has the server sign with new keys. Those before stay published, and those before
// them are withdrawn.
func (w *world) rotate() {
	generation := w.now.Load().generation + 1
	w.become(func(s *state) { s.generation = generation })
	w.as.Rotate()
	k := w.newKit(generation)
	w.become(func(s *state) { s.next = k })
	w.figures.change(func() { w.figures.rotations++ })
}

// accept waits until the new key is known everywhere. All processes have then fetched the
// set with it, in which the key of two rotations ago is no more.
func (w *world) accept() error {
	s := w.now.Load()
	err := w.each("a new key is not accepted", func(d *door) bool {
		a := w.send(bearer(s.next, "ES256"), d)
		// Good, and nobody knows whether it is revoked.
		return a.status == http.StatusOK || a.decision.reason == bearergate.ReasonStoreUnavailable
	})
	previous := w.previous
	w.previous = s.kit
	known := w.newMortals(atOnce, s.next.epoch)
	w.become(func(s *state) { s.old, s.kit, s.next, s.living[atOnce] = previous, s.next, nil, known })
	return err
}

// burst sends junk, more at once than there are workers.
func (w *world) burst() {
	var strangers sync.WaitGroup
	for range 8 {
		strangers.Go(func() {
			for range 25 {
				w.ask(kindOf(one([]string{"unknown kid", "opaque, unknown", "bad signature", "junk: too long", "junk: three parts of nothing", "DPoP, a thief's proof"})), w.through(direct))
				w.figures.change(func() { w.figures.junk++ })
			}
		})
	}
	strangers.Wait()
}

// failStore has Redis fail in one way after the other, with calm in between.
func (w *world) failStore(ctx context.Context) error {
	outages := w.store.outages()
	for n := 0; ctx.Err() == nil; n++ {
		if err := w.storm(outages[n%len(outages)]); err != nil {
			return err
		}
		if n == 0 {
			w.warm.Store(heapNow())
		}
		select {
		case <-ctx.Done():
		case <-time.After(calm):
		}
	}
	return nil
}

// storm is one outage of Redis from its beginning until all processes tell each other what
// is revoked and purged, and know which proofs were used.
func (w *world) storm(o outage) error {
	began := time.Now()
	w.become(func(s *state) { s.outage, s.storm, s.stormBegan, s.storms = o.name, true, began, s.storms+1 })
	w.calmed.Store(0)
	there, err := o.play(func(dark bool) {
		w.become(func(s *state) {
			if s.dark = (time.Time{}); dark {
				s.dark = time.Now()
			}
		})
	})
	if err != nil {
		return fmt.Errorf("in %q: %w", o.name, err)
	}
	if err := w.rejoin(); err != nil {
		return fmt.Errorf("after %q: %w", o.name, err)
	}
	w.figures.fault(o.name, time.Since(there))
	// What has opened before is still known.
	for calls, through := range map[bool]way{false: direct, true: rpc} {
		for _, r := range w.used[calls].since(began.Add(-usedFor)) {
			w.judged(kindOf(again), r, w.through(through))
			w.figures.change(func() { w.figures.replayed++ })
		}
	}
	w.calmed.Store(time.Now().UnixNano())
	w.become(func(s *state) { s.outage, s.storm, s.storeStalls = "calm after "+o.name, false, w.storeStalls.Load() })
	return nil
}

// rejoin waits until what one process says reaches the others, from each of them, and proofs
// are let in again by all.
func (w *world) rejoin() error {
	var errs []error
	for _, p := range w.processes {
		m := w.newMortal(byToken, nil)
		w.kill(context.Background(), m, p)
		errs = append(errs, w.each("a revocation is not heard of", func(d *door) bool { return w.refuses(m, d) }))
	}
	for _, p := range w.processes {
		since := time.Now()
		errs = append(errs, eventually("the log of purges is not read", func() bool { return p.opaque.Status().Heard.After(since) }))
	}
	return errors.Join(append(errs, w.each("a proof is not accepted", func(d *door) bool {
		return w.send(w.proven(w.now.Load(), "/orders/1", nil), d).status == http.StatusOK
	}))...)
}

// refuses reports whether the process behind a door refuses a token as it has to.
func (w *world) refuses(m *mortal, d *door) bool {
	why := w.send(ofMortal([]*mortal{m}), d).decision.reason
	// Of one that was purged, it is enough that the server was asked.
	return why == m.refusal() || m.fate == byPurge && why == bearergate.ReasonIntrospectionUnavailable
}

// revoke revokes one token after the other, in every way, and measures how long it takes
// until all processes know.
func (w *world) revoke(ctx context.Context) error {
	for n := 0; ctx.Err() == nil; n++ {
		f := fate(n % int(fates))
		good := w.now.Load().living[f]
		if len(good) == 0 {
			continue // there are some under the next key
		}
		m := good[0]
		w.kill(ctx, m, one(w.processes))
		if m.killed.Load() == 0 {
			return nil // ctx has ended
		}
		w.become(func(s *state) {
			s.living[f] = slices.DeleteFunc(slices.Clone(s.living[f]), func(one *mortal) bool { return one == m })
			if f != atOnce {
				s.living[f] = append(s.living[f], w.newMortal(f, nil))
			}
			s.dead[f] = append(slices.Clone(s.dead[f][max(0, len(s.dead[f])-dead+1):]), m)
		})
		w.figures.change(func() { w.figures.revoked++ })
		if !f.listed() && f != byPurge {
			continue
		}
		if err := w.each("a revocation is not heard of: "+fateNames[f], func(d *door) bool { return w.refuses(m, d) }); err != nil {
			return err
		}
		took, when := time.Since(time.Unix(0, m.killed.Load())), whileLate
		switch {
		case m.storms != w.now.Load().storms:
			when = whileFailing
		case m.setbacks == w.setbacks():
			when = whenWell
		}
		w.figures.lag(f == byPurge, when, took)
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(mathrand.N(int64(hold)))):
		}
	}
	return nil
}

// kill has a token revoked, by a process of the fleet or at the server, until that is
// acknowledged.
func (w *world) kill(ctx context.Context, m *mortal, p *process) {
	now := w.now.Load()
	m.process, m.setbacks, m.storms = p.number, w.setbacks(), now.storms
	if now.storm {
		m.storms = -1
	}
	m.dying.Store(true)
	if !m.fate.listed() {
		w.as.Revoke(m.token)
	}
	for ctx.Err() == nil {
		var err error
		switch {
		case m.fate.listed():
			err = p.list.Add(ctx, m.entry)
		case m.fate == byPurge:
			err = p.opaque.PurgeContext(ctx, m.token)
		}
		m.here.CompareAndSwap(0, time.Now().UnixNano())
		if err == nil {
			m.killed.Store(time.Now().UnixNano())
			return
		}
		if ctx.Err() == nil {
			w.figures.change(func() { w.figures.refused++ })
			if !errors.Is(err, bearergate.ErrUnavailable) {
				w.complainf("a revocation ended with %v", err)
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(hold / 10):
		}
	}
}

// work sends one request after another: half of them ought to be accepted.
func (w *world) work(ctx context.Context) {
	good := goodKinds()
	for ctx.Err() == nil {
		if w.pace != nil {
			select {
			case <-w.pace:
			case <-ctx.Done():
				return
			}
		}
		switch mathrand.N(100) {
		case 0:
			w.race()
		default:
			k := mathrand.N(len(kinds))
			if mathrand.N(2) == 0 {
				k = one(good)
			}
			if d := w.through(kinds[k].through); d != nil {
				w.ask(k, d)
			}
		}
	}
}

// goodKinds are those whose requests are accepted when all is well.
func goodKinds() (good []int) {
	for i := range kinds {
		if kinds[i].want == accepted {
			good = append(good, i)
		}
	}
	return good
}

// through chooses a door; nil: there is none of these.
func (w *world) through(some way) *door {
	var fit []*door
	for _, d := range w.doors {
		if d.is&some != 0 {
			fit = append(fit, d)
		}
	}
	if len(fit) == 0 {
		return nil
	}
	return one(fit)
}

// watch notices when this machine wakes goroutines too late, which is no fault of what is
// tested.
func (w *world) watch(ctx context.Context) {
	const nap = 5 * time.Millisecond
	for {
		begin := time.Now()
		select {
		case <-ctx.Done():
			return
		case <-time.After(nap):
		}
		late := time.Since(begin) - nap
		w.latest.Store(max(w.latest.Load(), int64(late)))
		if late > tooLate {
			w.late.Add(1)
		}
	}
}
