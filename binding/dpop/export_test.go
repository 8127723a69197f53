package dpop

import (
	"time"

	"github.com/bearergate/bearergate/internal/clock"
	"github.com/bearergate/bearergate/internal/digest"
	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/internal/ttlcache"
)

// UseAt is Use of a store of NewMemory for a proof of a key, at a moment of both clocks.
func UseAt(store ReplayStore, key, owner string, now clock.Instant, until time.Time) (bool, error) {
	return store.(*memory).use(digest.String(key), owner, now, until)
}

// Sizes are how many entries a store of NewMemory has, by each of the places that hold
// them, and how many owners.
func Sizes(store ReplayStore) (used, ends, owners, heavy int) {
	m := store.(*memory)
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.used), len(m.ends), len(m.owners), m.heavy
}

// SamePlace reports whether two addresses are one, each of which can be compared.
func SamePlace(a, b string) (same, readA, readB bool) {
	x, readA := parsePlace(a)
	y, readB := parsePlace(b)
	return readA && readB && x == y, readA, readB
}

// ReadPlace returns an address as it is compared, "" if it is not read.
func ReadPlace(text string) (string, bool) {
	p, ok := parsePlace(text)
	if p == (place{}) {
		return "", ok
	}
	return p.scheme + "://" + p.authority + p.path, ok
}

// RequestPath is what a request target is compared as.
func RequestPath(target string) (string, bool) { return requestPath(target) }

// Forget empties a store of NewMemory.
func Forget(store ReplayStore) {
	m := store.(*memory)
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.used)
	clear(m.owners)
	m.ends, m.heavy = m.ends[:0], 0
}

// Pooled is what the next proof would find in the buffer that it is given.
func Pooled() []byte {
	buf := jose.Borrow()
	defer jose.GiveBack(buf, "")
	return (*buf)[:cap(*buf)]
}

// HeadersKept is how many headers p remembers.
func HeadersKept(p *Proofs) int { return p.headers.kept.Len() }

// HeaderName is what p calls a header.
func HeaderName(p *Proofs, header string) ttlcache.Key { return p.headers.names.Name(header) }
