package revocation

import (
	"encoding/binary"
	"time"
)

// kind is that of the records of a List.
const kind = 'r'

// What a record says of its Entry.
const (
	opAdd  = 1
	opLift = 2
)

// record is what the log says of an Entry: that it was added, or lifted. Of two that say
// different things, the later one holds.
type record struct {
	lift  bool
	at    int64 // in Unix milliseconds; see next
	entry Entry
}

// encode encodes a record: the operation, at, Before and Until in Unix nanoseconds, the
// mask, Issuer and the values of the mask, each with its length before it, and Source.
func (r *record) encode() []byte {
	op := byte(opAdd)
	if r.lift {
		op = opLift
	}
	b := []byte{op}
	b = binary.AppendVarint(b, r.at)
	b = binary.AppendVarint(b, r.entry.Before.UnixNano())
	b = binary.AppendVarint(b, r.entry.Until.UnixNano())
	v := r.entry.values()
	b = v.append(b, v.mask())
	return appendText(b, r.entry.Source)
}

// append encodes the values of a mask.
func (v *values) append(b []byte, mask uint8) []byte {
	b = appendText(append(b, mask), v.issuer)
	for i, text := range v.texts {
		if mask&(1<<i) != 0 {
			b = appendText(b, text)
		}
	}
	if mask&byKey != 0 {
		b = append(b, v.key[:]...)
	}
	return b
}

func appendText(b []byte, text string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

// reader reads what encode has written. After something that is not so, ok is false.
type reader struct {
	left []byte
	ok   bool
}

func (r *reader) byte() byte {
	if len(r.left) == 0 {
		r.ok = false
		return 0
	}
	c := r.left[0]
	r.left = r.left[1:]
	return c
}

func (r *reader) number() int64 {
	n, size := binary.Varint(r.left)
	return int64(r.minimal(uint64(n), size, len(binary.AppendVarint(nil, n))))
}

// minimal is n, if its size is that of its one encoding.
func (r *reader) minimal(n uint64, size, want int) uint64 {
	if size <= 0 || size != want {
		r.ok, r.left = false, nil
		return 0
	}
	r.left = r.left[size:]
	return n
}

func (r *reader) text() string {
	n, size := binary.Uvarint(r.left)
	n = r.minimal(n, size, len(binary.AppendUvarint(nil, n)))
	if n > uint64(len(r.left)) {
		r.ok = false
		return ""
	}
	text := string(r.left[:n])
	r.left = r.left[n:]
	return text
}

// values reads those of a mask, none of which is empty.
func (r *reader) values() (v values) {
	mask := r.byte()
	v.issuer = r.text()
	for i := range v.texts {
		if mask&(1<<i) != 0 {
			v.texts[i] = r.text()
		}
	}
	if mask&byKey != 0 && len(r.left) >= len(v.key) {
		r.left = r.left[copy(v.key[:], r.left):]
	}
	r.ok = r.ok && v.mask() == mask && v.issuer != ""
	return v
}

// parseRecord reads a record that nobody need have written as encode does.
func parseRecord(data []byte) (r record, ok bool) {
	in := reader{left: data, ok: true}
	op := in.byte()
	r.lift, r.at = op == opLift, in.number()
	before, until := in.number(), in.number()
	size := len(in.left)
	v := in.values()
	size -= len(in.left)
	source := in.text()
	r.entry = v.entry()
	r.entry.Before, r.entry.Until, r.entry.Source = time.Unix(0, before), time.Unix(0, until), source
	if !in.ok || size > maxValues+maxOverhead || len(in.left) > 0 || op != opAdd && op != opLift || checkSource(source) != nil {
		return record{}, false
	}
	return r, true
}

func (v *values) entry() Entry {
	return Entry{Issuer: v.issuer, TokenID: v.texts[0], Subject: v.texts[1], Session: v.texts[2], Client: v.texts[3], Tenant: v.texts[4], Key: v.key}
}
