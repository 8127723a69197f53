package dpop

import (
	"container/heap"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/clock"
	"github.com/bearergate/bearergate/internal/digest"
	"github.com/bearergate/bearergate/internal/guard"
	"github.com/bearergate/bearergate/internal/jose"
)

// ReplayStore remembers which proofs were used. It must be safe for concurrent use, and
// one store for all processes that serve an API: each store lets a proof in once.
type ReplayStore interface {
	// Use marks key as used until then, and reports whether it was not, in one atomic
	// step: of two calls at once, one gets true. A write that is tried again must not take
	// itself for a replay. A store that is full or cannot be reached returns an error, and
	// never forgets a key early to make room. The key is 43 characters of base64url, equal
	// in all processes; until is by [Config].Now, and at most the life of a nonce or
	// MaxAge, and some seconds, away. It has a second for clocks that differ: a store whose
	// clock is further ahead of a process than that forgets a proof which this one accepts.
	Use(ctx context.Context, key string, until time.Time) (fresh bool, err error)
}

// maxStoreCalls is how many calls of a store may be under way.
const maxStoreCalls = 1024

// storeGrace is how long a store may take to say that its context has ended.
const storeGrace = 20 * time.Millisecond

// replay asks a store.
//
//   - What bounds it: maxStoreCalls at once, StoreTimeout and storeGrace each. A store that
//     ignores its context keeps its goroutine and its place among them.
//   - Who can fill it: clients with bound tokens and good proofs, as fast as they sign.
//   - Who can steer it: nobody. The key is a hash.
//   - What the caller sees when it is full: ErrUnavailable, ReasonOverloaded.
type replay struct {
	store     ReplayStore
	namespace string
	timeout   time.Duration
	slots     chan struct{}
}

func newReplay(store ReplayStore, namespace string, timeout time.Duration) replay {
	return replay{store, namespace, timeout, make(chan struct{}, maxStoreCalls)}
}

var (
	errUsed = &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonReplay,
		Detail: "dpop: the proof was used before: a client makes a new one for every request"}
	errStore = &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonStoreUnavailable,
		Detail: "dpop: Replay has failed", Cause: errors.New("dpop: Replay")}
	errStoreLate = &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonStoreUnavailable,
		Detail: "dpop: Replay has not answered within StoreTimeout"}
	errStoodStill = &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonStoreUnavailable,
		Detail: "dpop: the proof has ended while it was judged: the process stood still, or its clock was set"}
	errStoreBusy = &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonOverloaded,
		Detail: fmt.Sprintf("dpop: %d calls of Replay are under way", maxStoreCalls)}
)

// replayLabel begins what is hashed, so that a store that also remembers other things does
// not take one for the other.
const replayLabel = "bearergate binding/dpop 1"

// nameOf is the name of a proof, the same in every process. Each part has its length before
// it, so that no two proofs have one name, and jkt keeps a client from using up the jti of
// another one.
func (r replay) nameOf(jkt, id string) name { return digest.Strings(replayLabel, r.namespace, jkt, id) }

// use uses a proof up.
func (r replay) use(ctx context.Context, jkt, id string, now, until time.Time, e *ProofEvent) error {
	if !now.Before(until) { // a store may have forgotten it by now, and would let it in again
		return copied(errStoodStill)
	}
	start := time.Now()
	fresh, err := r.ask(ctx, jkt, id, now, until)
	e.StoreDuration = time.Since(start)
	switch {
	case err != nil:
		switch e.Store = StoreFailed; bearergate.ReasonOf(err) {
		case bearergate.ReasonOverloaded:
			e.Store = StoreFull
		case bearergate.ReasonCanceled:
			e.Store = StoreCanceled
		}
		return err
	case !fresh:
		e.Store = StoreUsed
		return copied(errUsed)
	}
	e.Store = StoreFresh
	return nil
}

func (r replay) ask(ctx context.Context, jkt, id string, now, until time.Time) (bool, error) {
	proof := r.nameOf(jkt, id)
	if m, ours := r.store.(*memory); ours { // it waits for nobody, knows owners, and goes by Config.Now
		return m.use(proof, jkt, clock.At(now), until)
	}
	key := base64.RawURLEncoding.EncodeToString(proof[:])
	select {
	case r.slots <- struct{}{}:
	default:
		return false, copied(errStoreBusy)
	}
	within, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	type answer struct {
		fresh bool
		err   error
	}
	answered := make(chan answer, 1) // not waited for if the store ignores its context
	err := guard.Isolate(within, storeGrace, func() {
		defer func() { <-r.slots }()
		var a answer
		a.err = bearergate.Guard(within, errStore, func(ctx context.Context) (err error) {
			a.fresh, err = r.store.Use(ctx, key, until)
			return err
		})
		answered <- a
	})
	if err == nil {
		a := <-answered
		return a.fresh && a.err == nil, a.err
	}
	// Guard tells a caller that has left, or whose time is up, from a store that failed.
	return false, bearergate.Guard(ctx, errStore, func(context.Context) error {
		if errors.Is(err, guard.ErrLate) {
			return copied(errStoreLate)
		}
		return err
	})
}

// copied is an error of the caller's own.
func copied(e *bearergate.Error) error {
	own := *e
	return &own
}

// NewMemory returns a store of one process, for at most entries proofs at once, which is
// between 2 and 1<<24. An entry takes some 165 bytes, and 125 more where each is of another
// key. It forgets an entry soon after its time.
//
// A store that is full refuses with [bearergate.ErrUnavailable] and
// [bearergate.ReasonOverloaded], and forgets nothing early. If then more than half of the
// proofs in it are of one key, it is this key that is refused, and for the others there is
// room for half as many again. Several keys that fill it together are refused like all.
//
// An entry ends when both the wall clock and the monotonic clock say so: a clock that is
// set, forth or back, ends none early. When the clock is set back after an entry has ended,
// to a moment at which its proof was good, the proof opens once more.
//
// Danger: each process lets a proof in once, and a restart forgets all: see
// [Config].Replay.
func NewMemory(entries int) (ReplayStore, error) {
	if entries < 2 || entries > 1<<24 {
		return nil, misconfigured(fmt.Sprintf("NewMemory: %d entries: choose between 2 and %d; %d hold those of a minute in which 4,000 a second come", entries, 1<<24, DefaultReplayEntries))
	}
	return &memory{entries: entries, used: map[name]struct{}{}, owners: map[string]*owner{}}, nil
}

// name is what a store knows a proof by.
type name = digest.Sum

// memory is the store of NewMemory.
//
//   - What bounds it: entries, and half as many for keys that hold no more than half.
//   - Who can fill it: clients with bound tokens and good proofs.
//   - Who can steer it: nobody. Names are hashes, and nothing leaves before its time.
//   - What the caller sees when it is full: ErrUnavailable, ReasonOverloaded.
type memory struct {
	entries int

	mu     sync.Mutex // guards the rest
	used   map[name]struct{}
	ends   queue // the same entries; the one that ends first is the first
	owners map[string]*owner
	heavy  int // how many owners have more than half of entries
}

// owner is a key that has signed some of the entries.
type owner struct {
	thumbprint string // jkt
	entries    int
}

// entry is a proof that was used.
type entry struct {
	name  name
	owner *owner
	until int64         // of the wall clock, in Unix nanoseconds
	added time.Time     // of the monotonic clock
	life  time.Duration // from then on
}

// hasEnded reports whether both clocks say so.
func (e *entry) hasEnded(now clock.Instant) bool {
	return now.Wall.UnixNano() >= e.until && now.Mono.Sub(e.added) >= e.life
}

// swept is how many entries that have ended one call takes out: more than it puts in, and
// few enough that nobody waits long. Where there is no room otherwise, it is sweptFull, some
// milliseconds, so that nobody is refused for what has long ended.
const (
	swept     = 32
	sweptFull = 4096
)

// Use is [ReplayStore.Use] by the clock of the machine. All keys count as one owner's.
func (m *memory) Use(_ context.Context, key string, until time.Time) (bool, error) {
	proof, ok := jose.ParseThumbprint(key) // what Proofs gives to other stores
	if !ok {
		proof = digest.String(key)
	}
	return m.use(proof, "", clock.At(time.Now()), until)
}

func (m *memory) use(proof name, jkt string, now clock.Instant, until time.Time) (fresh bool, err error) {
	if !now.Wall.Before(until) {
		return false, errors.New("dpop: the entry would be forgotten at once: the clock of the caller is not that of the store in memory")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sweep(now, swept)
	if _, ok := m.used[proof]; ok {
		return false, nil
	}
	o := m.owners[jkt]
	if o == nil {
		o = &owner{thumbprint: jkt}
	}
	if m.isFull(o) {
		m.sweep(now, sweptFull)
	}
	if m.isFull(o) {
		return false, &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonOverloaded,
			Detail: "dpop: the store in memory is full: give NewMemory more entries"}
	}
	m.used[proof] = struct{}{}
	m.owners[jkt] = o // also where the sweep has just taken it out
	m.count(o, 1)
	heap.Push(&m.ends, entry{name: proof, owner: o, until: until.UnixNano(), added: now.Mono, life: until.Sub(now.Wall)})
	return true, nil
}

// isFull reports whether there is no room for an entry of o.
func (m *memory) isFull(o *owner) bool {
	switch n := len(m.ends); {
	case n < m.entries:
		return false
	case m.heavy == 0 || m.isHeavy(o):
		return true
	default:
		return n >= m.entries+m.entries/2
	}
}

func (m *memory) isHeavy(o *owner) bool { return o.entries > m.entries/2 }

// count adds n entries to those of o.
func (m *memory) count(o *owner, n int) {
	if m.isHeavy(o) {
		m.heavy--
	}
	if o.entries += n; m.isHeavy(o) {
		m.heavy++
	}
	if o.entries == 0 {
		delete(m.owners, o.thumbprint)
	}
}

// sweep takes out at most that many of the entries that have ended.
func (m *memory) sweep(now clock.Instant, most int) {
	for range most {
		if len(m.ends) == 0 || !m.ends[0].hasEnded(now) {
			return
		}
		e := heap.Pop(&m.ends).(entry)
		delete(m.used, e.name)
		m.count(e.owner, -1)
	}
}

// queue is a heap of entries by until.
type queue []entry

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].until < q[j].until }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(e any)        { *q = append(*q, e.(entry)) }

func (q *queue) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	(*q)[last] = entry{}
	*q = (*q)[:last]
	return e
}
