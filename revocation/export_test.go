package revocation

import (
	"container/heap"
	"maps"
	"slices"
	"time"

	"github.com/bearergate/bearergate/internal/clock"
)

// Reencoded reads a record, and writes it again if it is one.
func Reencoded(payload []byte) ([]byte, bool) {
	r, ok := parseRecord(payload)
	if !ok {
		return nil, false
	}
	return r.encode(), true
}

// Encoded is what the log says of an Entry.
func Encoded(e Entry, lift bool) []byte {
	r := record{lift: lift, at: 1, entry: e}
	return r.encode()
}

// Colliding holds entries that have one hash.
type Colliding struct {
	table table
	held  []*held
}

func NewColliding(entries ...Entry) *Colliding {
	c := &Colliding{table: newTable()}
	for _, e := range entries {
		v := e.values()
		h := &held{values: string(v.append(nil, v.mask())), hash: 1, mask: v.mask(), index: -1}
		c.held = append(c.held, h)
		c.table.put(h)
	}
	return c
}

// Find is which of the entries is found for the values of e; -1: none.
func (c *Colliding) Find(e Entry) int {
	v := e.values()
	return slices.Index(c.held, c.table.find(&v, v.mask(), 1))
}

// Drop forgets one.
func (c *Colliding) Drop(i int) {
	heap.Remove(&c.table.ends, c.held[i].index)
	c.table.drop(c.held[i])
}

// HasEnded reports it of what was added, once or again, at moments of both clocks until then.
func HasEnded(until time.Time, now clock.Instant, added ...clock.Instant) bool {
	h := &held{index: -1}
	t := newTable()
	for _, at := range added {
		t.lives(h, until.UnixNano(), at)
	}
	return h.hasEnded(now)
}

// Sound reports what does not fit together in a List.
func (l *List) Sound() string {
	l.mu.RLock()
	defer l.mu.RUnlock()
	t := &l.table
	n, lifted := 0, 0
	sources := map[string]int{}
	var counts [masks]int
	for _, h := range t.byHash {
		if h == nil {
			return "a hash of nothing"
		}
		for ; h != nil; h = h.next {
			n++
			sources[h.source]++
			counts[h.mask]++
			if h.lifted {
				lifted++
			}
			if t.ends[h.index] != h {
				return "the heap"
			}
		}
	}
	m, pass := 0, uint32(0)
	var last *held
	for h := t.oldest; h != nil; h = h.newer {
		if m++; h.pass < pass || h.older != last {
			return "the list"
		}
		last, pass = h, h.pass
	}
	for i, h := range t.ends {
		if h.index != i || i > 0 && t.ends[(i-1)/2].until > h.until {
			return "the order of the heap"
		}
	}
	kinds := 0
	for mask, n := range counts {
		if n > 0 {
			kinds++
		}
		if (n > 0) != slices.Contains(t.masks, uint8(mask)) {
			return "the masks"
		}
	}
	switch {
	case n != len(t.ends) || m != n || counts != t.counts || !maps.Equal(sources, t.sources) || last != t.newest:
		return "the numbers"
	case kinds != len(t.masks):
		return "a mask twice"
	case lifted != t.lifted:
		return "lifted"
	}
	return ""
}

// EncodedAt is what the log says of an Entry at a time.
func EncodedAt(e Entry, lift bool, at int64) []byte {
	r := record{lift: lift, at: at, entry: e}
	return r.encode()
}
