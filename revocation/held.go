package revocation

import (
	"container/heap"
	"hash/maphash"
	"time"

	"github.com/bearergate/bearergate/internal/clock"
)

// held is an Entry in memory, or what is left of one that was lifted: that is kept for as
// long, so that nothing that was said before brings it back.
type held struct {
	values string // as values.append encodes them
	source string
	said
	added time.Time     // of the monotonic clock
	life  time.Duration // from then on

	hash  uint64 // under which it is found
	mask  uint8
	index int    // in ends
	pass  uint32 // the reading of the log in which it was last met; 0: never

	next         *held // of those with the same hash
	older, newer *held // by when they were last met in the log
}

// said is what is known of an Entry beside its values.
type said struct {
	at     int64 // of the last record; see next
	before int64 // in Unix nanoseconds
	until  int64 // when it is forgotten, by the wall clock in Unix nanoseconds
	lifted bool
}

// sameAs reports whether the same tokens are refused, as long.
func (s said) sameAs(t said) bool {
	s.at = t.at
	return s == t
}

// table finds what is held. Whoever uses it holds a lock.
type table struct {
	seed    maphash.Seed
	byHash  map[uint64]*held
	ends    ends
	masks   []uint8    // that occur
	counts  [masks]int // how often
	sources map[string]int
	lifted  int

	oldest, newest *held // a list by when they were last met in the log
}

func newTable() table {
	return table{seed: maphash.MakeSeed(), byHash: map[uint64]*held{}, sources: map[string]int{}}
}

// find returns what is held under a mask for values; nil if nothing is.
func (t *table) find(v *values, mask uint8, hash uint64) *held {
	for h := t.byHash[hash]; h != nil; h = h.next {
		if h.mask == mask && h.isOf(v) {
			return h
		}
	}
	return nil
}

// isOf compares without a copy.
func (h *held) isOf(v *values) bool {
	rest := h.values[1:]
	if rest, ok := cut(rest, v.issuer); ok {
		for i := range v.texts {
			if h.mask&(1<<i) != 0 {
				if rest, ok = cut(rest, v.texts[i]); !ok {
					return false
				}
			}
		}
		return h.mask&byKey == 0 || rest == string(v.key[:])
	}
	return false
}

// cut takes a text, and its length, from the beginning of s.
func cut(s, text string) (rest string, ok bool) {
	n, size := 0, 0
	for shift := 0; size < len(s); shift += 7 { // binary.Uvarint is for bytes
		c := s[size]
		size++
		if n |= int(c&0x7f) << shift; c < 0x80 {
			break
		}
	}
	if len(s) < size+n || s[size:size+n] != text {
		return "", false
	}
	return s[size+n:], true
}

func (h *held) entry() Entry {
	in := reader{left: []byte(h.values)}
	v := in.values()
	e := v.entry()
	e.Before, e.Until, e.Source = time.Unix(0, h.before), time.Unix(0, h.until).Add(-kept), h.source
	return e
}

func (h *held) record() record { return record{lift: h.lifted, at: h.at, entry: h.entry()} }

// put adds what is not there yet.
func (t *table) put(h *held) {
	h.next = t.byHash[h.hash]
	t.byHash[h.hash] = h
	heap.Push(&t.ends, h)
	if t.counts[h.mask]++; t.counts[h.mask] == 1 {
		t.masks = append(t.masks, h.mask)
	}
	t.sources[h.source]++
	t.link(h)
}

// lives sets how long h is held, which can only become longer.
func (t *table) lives(h *held, until int64, now clock.Instant) {
	if until <= h.until {
		return
	}
	h.until, h.added, h.life = until, now.Mono, time.Unix(0, until).Sub(now.Wall)
	if h.index >= 0 {
		heap.Fix(&t.ends, h.index)
	}
}

// hasEnded reports whether both clocks say so: a clock that is set ends nothing.
func (h *held) hasEnded(now clock.Instant) bool {
	return now.Wall.UnixNano() >= h.until && now.Mono.Sub(h.added) >= h.life
}

// sweep takes out at most n of those that have ended.
func (t *table) sweep(now clock.Instant, n int) {
	for range n {
		if len(t.ends) == 0 || !t.ends[0].hasEnded(now) {
			return
		}
		t.drop(heap.Pop(&t.ends).(*held))
	}
}

func (t *table) drop(h *held) {
	if first := t.byHash[h.hash]; first != h {
		for first.next != h {
			first = first.next
		}
		first.next = h.next
	} else if h.next != nil {
		t.byHash[h.hash] = h.next
	} else {
		delete(t.byHash, h.hash)
	}
	if t.counts[h.mask]--; t.counts[h.mask] == 0 {
		t.masks = without(t.masks, h.mask)
	}
	if t.sources[h.source]--; t.sources[h.source] == 0 {
		delete(t.sources, h.source)
	}
	if h.lifted {
		t.lifted--
	}
	t.unlink(h)
}

func without(masks []uint8, mask uint8) []uint8 {
	var kept []uint8
	for _, m := range masks {
		if m != mask {
			kept = append(kept, m)
		}
	}
	return kept
}

// met notes that h was met in the log, or put into it, in the newest reading.
func (t *table) met(h *held, pass uint32) {
	h.pass = pass
	t.unlink(h)
	t.link(h)
}

// unmet notes that the log is not known to have what is said of h now.
func (t *table) unmet(h *held) {
	h.pass = 0
	t.unlink(h)
	t.link(h)
}

// link puts h before all others if it was never met, else behind them: what is met now is
// met in the newest reading. Nothing is searched for: a lock is held.
func (t *table) link(h *held) {
	if h.pass == 0 {
		if h.newer = t.oldest; h.newer != nil {
			h.newer.older = h
		} else {
			t.newest = h
		}
		t.oldest = h
		return
	}
	if h.older = t.newest; h.older != nil {
		h.older.newer = h
	} else {
		t.oldest = h
	}
	t.newest = h
}

func (t *table) unlink(h *held) {
	if h.older != nil {
		h.older.newer = h.newer
	} else {
		t.oldest = h.newer
	}
	if h.newer != nil {
		h.newer.older = h.older
	} else {
		t.newest = h.older
	}
	h.older, h.newer = nil, nil
}

// ends is a heap by until.
type ends []*held

func (e ends) Len() int           { return len(e) }
func (e ends) Less(i, j int) bool { return e[i].until < e[j].until }

func (e ends) Swap(i, j int) {
	e[i], e[j] = e[j], e[i]
	e[i].index, e[j].index = i, j
}

func (e *ends) Push(x any) {
	h := x.(*held)
	h.index = len(*e)
	*e = append(*e, h)
}

func (e *ends) Pop() any {
	last := len(*e) - 1
	h := (*e)[last]
	(*e)[last] = nil
	*e = (*e)[:last]
	h.index = -1
	return h
}
