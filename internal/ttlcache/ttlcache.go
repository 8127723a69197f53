// Package ttlcache is a sharded LRU cache, bounded in entries and in bytes,
// whose entries carry their own expiry: nothing runs in the background. It is
// the only importer of golang-lru, and only of its simplelru package, since
// the goroutine of its expirable package never ends.
package ttlcache

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bearergate/bearergate/internal/clock"
	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// Key is a keyed hash: what it was made of cannot be read from it.
type Key = [32]byte

// shards bounds how many lookups can wait for one another.
const shards = 16

// Cache maps keys to values for a while. It is safe for concurrent use; the
// zero Cache holds nothing and may not be used.
type Cache[V any] struct {
	shards []shard[V]
}

type shard[V any] struct {
	// front is the entry that was used last, or nil. Being the last to be
	// evicted already, it is read without the lock: all cores may ask for one
	// hot token at once.
	front atomic.Pointer[Entry[V]]

	mu    sync.Mutex // guards the rest, and writing front
	lru   *simplelru.LRU[Key, *Entry[V]]
	bytes int64 // the sizes of all entries
	limit int64 // of bytes
	_     [64]byte
}

// Entry is a value as it was stored. It is immutable.
type Entry[V any] struct {
	Value V
	key   Key
	size  int64
	added time.Time
	ttl   time.Duration
}

// New returns a cache of at most maxEntries entries (at least 1) whose sizes
// add up to at most maxBytes.
func New[V any](maxEntries int, maxBytes int64) *Cache[V] {
	n := min(shards, max(maxEntries, 1))
	for n&(n-1) != 0 { // a power of two picks a shard by a mask
		n &= n - 1
	}
	c := &Cache[V]{shards: make([]shard[V], n)}
	for i := range c.shards {
		s := &c.shards[i]
		s.limit = maxBytes / int64(n)
		// The error is for a size of zero, which cannot be.
		s.lru, _ = simplelru.NewLRU(max(maxEntries/n, 1), s.evicted)
	}
	return c
}

func (c *Cache[V]) shard(k Key) *shard[V] {
	return &c.shards[binary.LittleEndian.Uint32(k[:4])&uint32(len(c.shards)-1)]
}

// evicted is told by the LRU of every entry that leaves it.
func (s *shard[V]) evicted(_ Key, e *Entry[V]) {
	s.bytes -= e.size
	if s.front.Load() == e {
		s.front.Store(nil)
	}
}

// Lookup returns the entry of k, which may have expired: see [Entry.Fresh].
func (c *Cache[V]) Lookup(k Key) (*Entry[V], bool) {
	s := c.shard(k)
	if e := s.front.Load(); e != nil && e.key == k {
		return e, true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.lru.Get(k)
	if ok {
		s.front.Store(e)
	}
	return e, ok
}

// Remove takes e out, unless another entry has taken its place.
func (c *Cache[V]) Remove(e *Entry[V]) {
	s := c.shard(e.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if last, _ := s.lru.Peek(e.key); last == e {
		s.lru.Remove(e.key)
	}
}

// Get returns the value of k unless it has expired at now, which should be a
// time.Now with its monotonic reading.
func (c *Cache[V]) Get(k Key, now time.Time) (V, bool) {
	e, ok := c.Lookup(k)
	if ok && e.Fresh(now) {
		return e.Value, true
	}
	if ok {
		c.Remove(e)
	}
	var none V
	return none, false
}

// Delete takes the entry of k out.
func (c *Cache[V]) Delete(k Key) {
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lru.Remove(k)
}

// Add stores v for ttl from now on, in the place of an older value; size is
// what it is counted with against the limit of bytes. A value larger than a
// shard's part of that limit, or with a ttl that is not positive, is not stored,
// and the older one goes all the same.
func (c *Cache[V]) Add(k Key, v V, size int64, now time.Time, ttl time.Duration) {
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lru.Remove(k) // so that the size of an older entry is given back
	if size > s.limit || ttl <= 0 {
		return
	}
	e := &Entry[V]{v, k, size, now, ttl}
	s.bytes += size
	s.lru.Add(k, e)
	s.front.Store(e)
	for s.bytes > s.limit {
		s.lru.RemoveOldest()
	}
}

// Len returns the number of entries, expired ones that nobody asked for included.
func (c *Cache[V]) Len() int {
	n := 0
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		n += s.lru.Len()
		s.mu.Unlock()
	}
	return n
}

// Fresh reports whether the entry has not expired at now: see [clock.Elapsed].
func (e *Entry[V]) Fresh(now time.Time) bool {
	return clock.Elapsed(e.added, now) < e.ttl
}
