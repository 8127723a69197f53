package usage

import (
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bearergate/bearergate/scope"
)

// memory is what was seen of clients.
//
// What bounds it: MaxClients clients. Each has at most MaxScopes names; [maxGrants] sets
// of at most MaxScopes names, which keep alive the text of one token's scopes each; and
// for each set [maxAnswers] answers, a requirement and the scopes that satisfied it.
//
// Who can fill it: nobody without a token that the verifier accepted. Whoever can have
// clients registered at the authorization server at will can take the places of clients;
// the others are then not watched, and counted as such. A client fills its own sets and
// answers alone.
//
// Who can steer it: a client decides by its tokens and requests what its own entry says,
// and how long its own requests take: up to some microseconds more, where its tokens have
// ever other scopes, or its requests ever other requirements, so that nothing that was
// worked out serves twice. It holds up others of its shard for that time.
//
// What happens when it is full: a client without a place is counted and left out; a scope
// without one is left out, and the client is marked Partial; a set or answer without one
// is worked out each time. No answer of the gate depends on any of it.
type memory struct {
	config Config
	start  time.Time // a moment before the first decision: see at
	seed   maphash.Seed
	shards [shards]shard

	clients   atomic.Int64
	swept     atomic.Int64 // an instant
	unwatched atomic.Int64
}

const (
	// shards keep clients out of each other's way. A request takes the lock of its
	// client's shard for reading, unless there is something new.
	shards = 64
	// maxGrants is how many sets of scopes of a client are known by heart. A client has
	// a few: one for each thing that it asks tokens for. Where each of its users has a
	// set of their own, most are not.
	maxGrants = 8
	// maxAnswers is for how many requirements a set knows which of it satisfied them:
	// more than the routes that most clients call.
	maxAnswers = 32
	// idle is how long a set must not have been seen before another one takes its place.
	idle = time.Minute
	// tick is how exact the times are. In between, nothing is written, so that cores do
	// not wait for each other's cache lines.
	tick = time.Millisecond
)

type shard struct {
	mu      sync.RWMutex // guards what follows
	clients map[client]*clientUse
}

// client is a client of an authorization server; its ID says nothing without it.
type client struct{ issuer, id string }

// instant is how long after memory.start something was, in nanoseconds; 0 is never.
type instant = int64

// mark is when something was seen last. It is written under a lock for reading.
type mark struct{ last atomic.Int64 }

func (m *mark) at(now instant) {
	if last := m.last.Load(); last == 0 || now-last >= int64(tick) {
		m.last.Store(now)
	}
}

// clientUse is written under the lock of its shard, but for the marks.
type clientUse struct {
	first   instant
	seen    mark
	scopes  map[string]*scopeUse
	grants  []*grant
	partial bool
}

type scopeUse struct {
	granted   instant // without what the grants know
	exercised mark
}

// grant is a set of scopes that tokens of a client have.
type grant struct {
	set     scope.Set
	names   []string    // of the set, sorted
	scopes  []*scopeUse // of the names; nil for one that is not watched
	partial bool        // there are some of these
	seen    mark
	answers [maxAnswers]atomic.Pointer[answer]
}

// answer says which scopes of a set satisfied a requirement. A requirement that was put
// together for one request is never met again: its answer is soon written over.
type answer struct {
	need   scope.Requirement
	scopes []*scopeUse
}

func newMemory(c Config) *memory {
	m := &memory{config: c, start: time.Now().Add(-1), seed: maphash.MakeSeed()}
	for i := range m.shards {
		m.shards[i].clients = map[client]*clientUse{}
	}
	return m
}

// now is an instant by the monotonic clock.
func (m *memory) now() instant { return int64(time.Since(m.start)) }

// recent reports whether t was in the Window before now.
func (m *memory) recent(t, now instant) bool { return t != 0 && now-t <= int64(m.config.Window) }

// note takes down that a token of a client granted a set, and that this satisfied need
// (zero: that nothing of it was needed).
func (m *memory) note(id client, set scope.Set, need scope.Requirement) {
	now := m.now()
	sh := &m.shards[maphash.Comparable(m.seed, id)%shards]
	if g := m.again(sh, id, set, now); g != nil {
		g.exercise(need, maphash.Comparable(m.seed, need)%maxAnswers, now)
		return
	}
	var names []string
	if set.Len() <= m.config.MaxScopes {
		names = need.Exercised(set) // under no lock, for it takes as long as policies make it
	}
	m.first(sh, id, set, need, names, now)
}

// again takes down a set that was seen before, beside others that do the same. It is nil
// if it was not.
func (m *memory) again(sh *shard, id client, set scope.Set, now instant) *grant {
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	c := sh.clients[id]
	if c == nil || !m.recent(c.seen.last.Load(), now) {
		return nil
	}
	g := c.grant(set)
	if g != nil {
		c.seen.at(now)
		g.seen.at(now)
	}
	return g
}

// exercise takes down which scopes of the set satisfied need. It takes no lock: what it
// reads of g does not change, and the client, seen just now, stays.
func (g *grant) exercise(need scope.Requirement, slot uint64, now instant) {
	if need == (scope.Requirement{}) {
		return
	}
	a := g.answers[slot].Load()
	if a == nil || a.need != need {
		a = &answer{need: need}
		for _, name := range need.Exercised(g.set) {
			if at, _ := slices.BinarySearch(g.names, name); g.scopes[at] != nil {
				a.scopes = append(a.scopes, g.scopes[at])
			}
		}
		g.answers[slot].Store(a)
	}
	for _, s := range a.scopes {
		s.exercised.at(now)
	}
}

func (c *clientUse) grant(set scope.Set) *grant {
	for _, g := range c.grants {
		if g.set.Equal(set) {
			return g
		}
	}
	return nil
}

// first takes down what is new: a client, a set, or one that has no place.
func (m *memory) first(sh *shard, id client, set scope.Set, need scope.Requirement, names []string, now instant) {
	sh.mu.Lock()
	c := sh.clients[id]
	if c == nil && !m.room() {
		// Other shards are looked through for those that have gone: not under the lock.
		sh.mu.Unlock()
		if !m.sweep(now) || !m.room() {
			m.unwatched.Add(1)
			return
		}
		sh.mu.Lock()
		if c = sh.clients[id]; c != nil {
			m.clients.Add(-1) // somebody was faster
		}
	}
	defer sh.mu.Unlock()
	switch {
	case c == nil:
		c = &clientUse{}
		// The names are parts of a token, which is not to be kept.
		sh.clients[client{strings.Clone(id.issuer), strings.Clone(id.id)}] = c
		fallthrough
	case !m.recent(c.seen.last.Load(), now): // it is as good as new
		c.first, c.scopes, c.grants, c.partial = now, map[string]*scopeUse{}, nil, false
	}
	c.seen.at(now)
	partial := m.watch(c, set, now)
	c.partial = c.partial || partial
	for _, name := range names {
		if s := c.scopes[name]; s != nil {
			s.exercised.at(now)
		}
	}
	if set.Len() <= m.config.MaxScopes {
		c.learn(set, partial, now)
	} else if need != (scope.Requirement{}) { // finding out which would cost too much: all of them
		for name, s := range c.scopes {
			if set.Has(name) {
				s.exercised.at(now)
			}
		}
	}
}

// room takes a place for a client, if there is one.
func (m *memory) room() bool {
	if m.clients.Add(1) <= int64(m.config.MaxClients) {
		return true
	}
	m.clients.Add(-1)
	return false
}

// watch takes down that the set was granted, and reports whether there is more in it than
// is watched.
func (m *memory) watch(c *clientUse, set scope.Set, now instant) (partial bool) {
	found := 0
	if set.Len() > m.config.MaxScopes && len(c.scopes) == m.config.MaxScopes {
		// A token may have thousands: those that are watched are looked for in it.
		for name, s := range c.scopes {
			if set.Has(name) {
				s.granted = now
				found++
			}
		}
		return found < set.Len()
	}
	for _, name := range set.Names() {
		s := c.scopes[name]
		if s == nil {
			if len(c.scopes) == m.config.MaxScopes {
				continue
			}
			s = &scopeUse{}
			c.scopes[strings.Clone(name)] = s
		}
		s.granted = now
		found++
	}
	return found < set.Len()
}

// learn gives the set a place, if there is one.
func (c *clientUse) learn(set scope.Set, partial bool, now instant) {
	place := len(c.grants)
	if place == maxGrants {
		place = 0
		for i, g := range c.grants {
			if g.seen.last.Load() < c.grants[place].seen.last.Load() {
				place = i
			}
		}
		if now-c.grants[place].seen.last.Load() < int64(idle) {
			return
		}
	}
	if c.grant(set) != nil {
		return // somebody was faster
	}
	g := &grant{set: set, names: set.Names(), partial: partial}
	slices.Sort(g.names)
	for _, name := range g.names {
		g.scopes = append(g.scopes, c.scopes[name])
	}
	g.seen.at(now)
	if place == len(c.grants) {
		c.grants = append(c.grants, g)
		return
	}
	c.grants[place].settle()
	c.grants[place] = g
}

// settle takes down what only the grant knows: when it was seen.
func (g *grant) settle() {
	last := g.seen.last.Load()
	for _, s := range g.scopes {
		if s != nil {
			s.granted = max(s.granted, last)
		}
	}
}

// sweep forgets clients that were not seen for a window, but looks for them no
// more than ten times in a window. It reports whether it did.
func (m *memory) sweep(now instant) bool {
	swept := m.swept.Load()
	if swept != 0 && now-swept < int64(m.config.Window/10) || !m.swept.CompareAndSwap(swept, now) {
		return false
	}
	for i := range m.shards {
		sh := &m.shards[i]
		sh.mu.Lock()
		for id, c := range sh.clients {
			m.forget(sh, id, c, now)
		}
		sh.mu.Unlock()
	}
	return true
}

// forget forgets a client that was not seen for a window.
func (m *memory) forget(sh *shard, id client, c *clientUse, now instant) bool {
	if m.recent(c.seen.last.Load(), now) {
		return false
	}
	delete(sh.clients, id)
	m.clients.Add(-1)
	return true
}

// report returns what was seen in the last window, and forgets what was seen before.
func (m *memory) report() Report {
	wall, now := time.Now(), m.now()
	// By how long ago it was, since the clock of the wall may have been set meanwhile.
	at := func(t instant) time.Time { return wall.Add(time.Duration(t - now)) }
	r := Report{From: at(max(1, now-int64(m.config.Window))), To: wall, Unwatched: int(m.unwatched.Load())}
	for i := range m.shards {
		sh := &m.shards[i]
		sh.mu.Lock()
		for id, c := range sh.clients {
			if m.forget(sh, id, c, now) {
				continue
			}
			told := Client{Issuer: id.issuer, ClientID: id.id, FirstSeen: at(c.first), LastSeen: at(c.seen.last.Load()), Partial: c.partial}
			told.Exercised, told.Unexercised = m.tell(c, now)
			r.Clients = append(r.Clients, told)
		}
		sh.mu.Unlock()
	}
	return Merge(r)
}

// tell returns the scopes of a client that were granted in the window before now, and
// makes room for others in the place of the rest.
func (m *memory) tell(c *clientUse, now instant) (exercised, unexercised []string) {
	for _, g := range c.grants {
		g.settle()
	}
	gone := false
	for name, s := range c.scopes {
		switch {
		case !m.recent(s.granted, now):
			delete(c.scopes, name)
			gone = true
		case m.recent(s.exercised.last.Load(), now):
			exercised = append(exercised, name)
		default:
			unexercised = append(unexercised, name)
		}
	}
	// A set that was not seen for a window is of no use, and one of which not all was
	// watched may find room now.
	c.grants = slices.DeleteFunc(c.grants, func(g *grant) bool {
		return !m.recent(g.seen.last.Load(), now) || gone && g.partial
	})
	return exercised, unexercised
}
