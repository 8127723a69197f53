package revocation

// Reencoded reads a record, and writes it again if it is one.
func Reencoded(payload []byte) ([]byte, bool) {
	r, ok := parseRecord(payload)
	if !ok {
		return nil, false
	}
	return r.append(nil), true
}

// Encoded is what the log says of an Entry.
func Encoded(e Entry, lift bool) []byte {
	r := record{lift: lift, at: 1, entry: e}
	return r.append(nil)
}

// Sound reports what does not fit together in a List.
func (l *List) Sound() string {
	l.mu.RLock()
	defer l.mu.RUnlock()
	t := &l.table
	n, lifted := 0, 0
	for _, h := range t.byHash {
		for ; h != nil; h = h.next {
			n++
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
	masks, sources := 0, 0
	for _, c := range t.counts {
		masks += c
	}
	for _, c := range t.sources {
		sources += c
	}
	switch {
	case n != len(t.ends) || m != n || masks != n || sources != n || last != t.newest:
		return "the numbers"
	case lifted != t.lifted:
		return "lifted"
	}
	return ""
}
