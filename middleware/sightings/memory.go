package sightings

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"

	"github.com/bearergate/bearergate/internal/digest"
)

// tellForgotten is how often Hooks.Forgot is called at most.
const tellForgotten = time.Minute

// memory is the tokens that were seen lately, and where.
//
// MaxTokens bounds it. Whoever has that many valid tokens fills it: a client that is given a
// new token for each request, for example. Then the token that was not seen for the longest
// time is forgotten, which nobody but the counter notices: a theft may be missed, and no
// request waits or fails. A thief cannot push out the token that it uses, for that is always
// the one seen last.
type memory struct {
	networks int           // of one family that a token may have
	within   time.Duration // Config.Within
	max      int           // tokens
	names    bool          // keeps those of networks
	seed     maphash.Seed
	start    time.Time // of the process's clock, from which all times here count

	mu        sync.Mutex // guards the rest; held for a look-up and a walk over a few networks
	tokens    map[digest.Sum]*token
	last      token // its next is the token that was seen longest ago, its prev the one seen last
	status    Status
	untold    uint64        // forgotten since Forgot was told
	forgotten time.Duration // when it was
}

// token is one that was seen, in a ring in the order of the last sighting.
type token struct {
	key        digest.Sum
	next, prev *token
	first      time.Duration // sighting without a pause of within
	last       time.Duration
	told       time.Duration // when it was last suspected; 0: never
	seen       [2][]sighting // in the networks of IPv4, of IPv6: as many as are suspicious
}

// sighting is when a token was last seen in a network. The zero one is none.
type sighting struct {
	hash uint64
	at   time.Duration
	name string // only with TellNetworks
}

// network is one to be noted.
type network struct {
	ipv6 bool
	hash uint64
	name func() string // nil without TellNetworks
}

// found is what a sighting has led to.
type found struct {
	suspected bool
	first     time.Time
	names     []string
	forgot    uint64 // to be told; 0: nothing
}

func newMemory(c Config) *memory {
	m := &memory{networks: c.Networks, within: c.Within, max: c.MaxTokens, names: c.TellNetworks,
		// Times begin at 1: 0 is never.
		seed: maphash.MakeSeed(), start: time.Now().Add(-1), tokens: map[digest.Sum]*token{}}
	m.last.next, m.last.prev = &m.last, &m.last
	return m
}

// hashPrefix is keyed, so that equal networks cannot be told in another process. maphash is
// no one-way function, and none would help: with the key, which lies beside it, whoever reads
// this memory tries out all networks of IPv4 in a second.
func (m *memory) hashPrefix(p netip.Prefix) uint64 {
	var b [17]byte
	address := p.Addr().As16()
	copy(b[:], address[:])
	b[16] = byte(p.Bits())
	return maphash.Bytes(m.seed, b[:])
}

func (m *memory) hashName(name string) uint64 { return maphash.String(m.seed, name) }

// skip counts a request that is not noted.
func (m *memory) skip(count func(*Status)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	count(&m.status)
}

func (m *memory) now() Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.status
	s.Tokens = len(m.tokens)
	return s
}

// note notes that a token was seen in a network.
func (m *memory) note(key digest.Sum, n network) (f found) {
	m.mu.Lock()
	defer m.mu.Unlock()
	clock := time.Now()
	now := clock.Sub(m.start)
	m.status.Seen++
	t, known := m.tokens[key]
	if !known {
		t = m.add(key, now)
	} else {
		t.unlink()
		if now-t.last >= m.within {
			t.forget(now)
		}
	}
	t.last = now
	m.append(t)

	family := 0
	if n.ipv6 {
		family = 1
	}
	if t.seen[family] == nil {
		t.seen[family] = make([]sighting, m.networks+1)
	}
	if m.count(t.seen[family], n, now) > m.networks && (t.told == 0 || now-t.told >= m.within) {
		t.told = now
		m.status.Suspected++
		// Counted back from now: the clock of the wall may have been set since start, and that
		// of the process may have stood still while the machine slept.
		f.suspected, f.first = true, clock.Add(t.first-now)
		if m.names {
			for _, s := range t.seen[family] {
				f.names = append(f.names, s.name)
			}
		}
	}
	if m.untold > 0 && (m.forgotten == 0 || now-m.forgotten >= tellForgotten) {
		f.forgot, m.untold, m.forgotten = m.untold, 0, now
	}
	return f
}

// count notes the network in the place that it has, or else in that of the one that was not
// seen for the longest time, and returns in how many networks the token was seen lately.
func (m *memory) count(seen []sighting, n network, now time.Duration) (lately int) {
	place := 0
	for i, s := range seen {
		if s.at != 0 && s.hash == n.hash {
			place = i
			break
		}
		if s.at < seen[place].at {
			place = i
		}
	}
	if seen[place].at == 0 || seen[place].hash != n.hash {
		seen[place] = sighting{hash: n.hash}
		if n.name != nil {
			seen[place].name = n.name()
		}
	}
	seen[place].at = now
	for _, s := range seen {
		if s.at != 0 && now-s.at < m.within {
			lately++
		}
	}
	return lately
}

// add makes a place for a token, which is not in the ring yet. It gives back two places that are out of date first, so that
// the memory shrinks again after a rush.
func (m *memory) add(key digest.Sum, now time.Duration) *token {
	var t *token
	for range 2 {
		oldest := m.last.next
		full := t == nil && len(m.tokens) >= m.max
		if oldest == &m.last || !full && now-oldest.last < m.within {
			break
		}
		if now-oldest.last < m.within {
			m.status.Forgotten++
			m.untold++
		}
		delete(m.tokens, oldest.key)
		oldest.unlink()
		t = oldest // its slices are used again
	}
	if t == nil {
		t = &token{}
	}
	t.key = key
	t.forget(now)
	m.tokens[key] = t
	return t
}

func (t *token) forget(now time.Duration) {
	t.first, t.told = now, 0
	clear(t.seen[0])
	clear(t.seen[1])
}

func (t *token) unlink() { t.next.prev, t.prev.next = t.prev, t.next }

func (m *memory) append(t *token) {
	end := m.last.prev
	t.prev, t.next = end, &m.last
	end.next, m.last.prev = t, t
}
