package introspect

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/clock"
	"github.com/bearergate/bearergate/internal/ttlcache"
)

// Refresh-ahead: what makes an entry hot, and when its end is near.
const (
	aheadPercent = 80 // of its life
	aheadHits    = 3

	failedEntries = 1024 // of memory.failed
)

// key is the name of a token: a keyed hash, from which it cannot be guessed.
type key = ttlcache.Key

// namePrefix is the part of every key that keeps apart what must not meet: the
// entries of two endpoints, of two clients (an answer may differ by who asks,
// RFC 7662 §2.2), and plain answers from signed ones. Each part is preceded by
// its length, so that no two lists of parts look alike.
func namePrefix(seed []byte, parts ...string) [32]byte {
	mac := hmac.New(sha256.New, seed)
	for _, part := range parts {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		mac.Write(length[:])
		mac.Write([]byte(part))
	}
	return [32]byte(mac.Sum(nil))
}

// memory is what a Client remembers. PurgeAll replaces it as a whole, by which a
// call that began earlier notices.
type memory struct {
	positive, negative *ttlcache.Cache[*entry] // apart: invented tokens must not push out real ones; nil: no cache
	// failed are calls that have just failed, so that a token which always does costs a
	// call a second. It is apart, and small, for strangers can fill it: what it loses costs
	// a call.
	failed *ttlcache.Cache[outcome]
}

// entry is one remembered answer, as this Client judged it. It is immutable but
// for the two counters.
type entry struct {
	token   *bearergate.Token // nil: refused
	stale   *bearergate.Token // the same, flagged; nil if stale answers are off
	refusal error
	active  bool // what the server said, which may be active and still refused
	size    int64

	added time.Time
	said  time.Time     // when the server gave the answer, by the wall clock
	fresh time.Duration // how long it is an answer
	keep  time.Duration // how long it may stand in, flagged, during an outage
	hits  atomic.Uint32
	ahead atomic.Bool  // refreshing it has been tried, or would not help
	due   atomic.Int64 // from which age on refreshing it is tried
}

// later has refreshing be tried again, in a twentieth of the life: another process does it
// now, and may fail.
func (e *entry) later(now time.Time) {
	e.due.Store(int64(e.age(now) + e.fresh/20))
	e.ahead.Store(false)
}

// newEntry works out how long an answer is remembered here (fresh, keep) and in
// the Store (life). age is how long ago the server gave it.
func (c *Client) newEntry(v verdict, now time.Time, age time.Duration) (e *entry, life time.Duration) {
	e = &entry{refusal: v.refusal, active: v.active, added: now, said: now.Add(-age).Round(0), size: 256}
	if v.refusal != nil {
		e.size += refusalSize(v.refusal)
		e.fresh = c.negativeTTL - age
		e.keep = e.fresh
		return e, e.fresh
	}
	v.claims.AsOf = now.Add(-age)
	e.size = 1024 + 2*int64(len(v.claims.Raw)) // the answer as JSON and decoded
	e.token = bearergate.NewToken(v.claims)
	life = c.positiveTTL
	left := life + c.maxStale
	if exp := v.claims.ExpiresAt; !exp.IsZero() {
		left = exp.Sub(c.now()) // never past exp (RFC 7662 §4), leeway or not
		usable := left
		if c.halfLife {
			usable /= 2
		}
		if usable <= life {
			life = usable
			e.ahead.Store(!c.halfLife) // a new answer would end at the same time
		}
	} else if life = min(life, NoExpiryTTL); c.halfLife {
		life = 0 // half of what is not known
	}
	life -= age
	e.fresh = life
	if life > 0 {
		e.fresh -= time.Duration(rand.Int64N(int64(life/100*jitterPercent) + 1)) // what was asked for together must not end together
	}
	e.due.Store(int64(e.fresh / 100 * aheadPercent))
	e.keep = e.fresh
	if c.maxStale > 0 && life > 0 {
		e.keep = min(e.fresh+c.maxStale, left)
		v.claims.Stale = true
		e.stale = bearergate.NewToken(v.claims)
		e.size *= 2
	}
	return e, life
}

// refusalSize is about what a remembered refusal takes: its texts and the token that it
// names.
func refusalSize(err error) int64 {
	e := bearergate.AsError(err)
	size := len(e.Detail) + len(e.Expected) + len(e.Found)
	if t := e.Refused; t != nil {
		size += 1024 + len(t.Issuer()) + len(t.Subject()) + len(t.ClientID()) + len(t.ID()) + len(t.SessionID())
		for _, a := range t.Actor() {
			size += len(a.Subject) + len(a.Issuer) + len(a.ClientID)
		}
	}
	return int64(size)
}

func (e *entry) age(now time.Time) time.Duration { return clock.Elapsed(e.added, now) }

// look returns what is remembered of a token, and whether it is still an answer.
// If it is not, it may stand in for one during an outage.
func (m *memory) look(name key, now time.Time) (e *entry, fresh bool) {
	if m.positive == nil {
		return nil, false
	}
	if e, ok := m.positive.Get(name, now); ok {
		return e, e.age(now) < e.fresh
	}
	if e, ok := m.negative.Get(name, now); ok {
		return e, true
	}
	return nil, false
}

// remember stores e, unless there is no cache or the token was purged since the flight
// began. It reports whether e is now the last answer.
func (c *Client) remember(fl *flight, m *memory, name key, e *entry) bool {
	if m.positive == nil {
		return false
	}
	c.purging.RLock()
	defer c.purging.RUnlock()
	if c.outdated(m, fl) {
		return false
	}
	into, other := m.positive, m.negative
	if e.token == nil {
		into, other = other, into
	}
	// The last answer is the only one, also if it is not to be remembered. In this
	// order, so that nobody meanwhile finds nothing.
	into.Add(name, e, e.size, e.added, e.keep)
	other.Delete(name)
	return true
}

// outdated reports whether a flight must leave no trace: the token, or everything, was purged
// since it began; or all have left it, so that it is not known to Purge, and another may have
// brought a newer answer. It is called with purging held for reading.
func (c *Client) outdated(m *memory, fl *flight) bool {
	return c.memory.Load() != m || fl.purged || fl.abandoned()
}

// leaveAlone remembers for a moment that asking about a token has failed: who sends it again
// at once gets the same answer, and causes no call.
func (c *Client) leaveAlone(fl *flight, m *memory, name key, o outcome, f *failure) {
	c.purging.RLock()
	defer c.purging.RUnlock()
	if c.outdated(m, fl) {
		return
	}
	decided := f.own != nil && !errors.Is(f.own.Kind, bearergate.ErrUnavailable) && !errors.Is(f.own.Kind, bearergate.ErrMisconfigured)
	if f.outcome != outcomeOpen && f.outcome != outcomeOverloaded && !f.frozen && !decided {
		m.failed.Add(name, o, 256, time.Now(), retryAfter)
	}
}

func (c *Client) newMemory() *memory {
	m := &memory{failed: ttlcache.New[outcome](failedEntries, failedEntries*256)}
	if !c.live {
		m.positive = ttlcache.New[*entry](c.cacheEntries, c.cacheBytes)
		m.negative = ttlcache.New[*entry](c.cacheEntries, c.cacheBytes)
	}
	return m
}
