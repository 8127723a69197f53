// Package digest hashes what requests carry with SHA-256, without a copy on the heap: the
// hashes of a token and of a header are a large part of what a request costs that was seen
// before.
package digest

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"github.com/bearergate/bearergate/internal/buffer"
)

// Sum is a SHA-256.
type Sum = [sha256.Size]byte

// small and large are on the stack. Clearing the large one takes a while, too. What is
// longer is hashed in a buffer that is lent.
const (
	small = 1 << 10
	large = 4 << 10
)

// String is the SHA-256 of s.
func String(s string) Sum {
	switch {
	case len(s) <= small:
		var stack [small]byte
		return sha256.Sum256(append(stack[:0], s...))
	case len(s) <= large:
		var stack [large]byte
		return sha256.Sum256(append(stack[:0], s...))
	}
	buf := buffer.Borrow()
	*buf = append(slices.Grow(*buf, len(s)), s...)
	sum := sha256.Sum256(*buf)
	buffer.GiveBack(buf, len(s))
	return sum
}

// Strings is the SHA-256 of values, each with its length before it, so that no two lists
// have the same text.
func Strings(values ...string) Sum {
	size := 0
	for _, v := range values {
		size += 8 + len(v)
	}
	switch {
	case size <= small:
		var stack [small]byte
		return sha256.Sum256(appendAll(stack[:0], values))
	case size <= large:
		var stack [large]byte
		return sha256.Sum256(appendAll(stack[:0], values))
	}
	buf := buffer.Borrow()
	*buf = appendAll(slices.Grow(*buf, size), values)
	sum := sha256.Sum256(*buf)
	buffer.GiveBack(buf, size)
	return sum
}

func appendAll(b []byte, values []string) []byte {
	for _, v := range values {
		b = binary.BigEndian.AppendUint64(b, uint64(len(v)))
		b = append(b, v...)
	}
	return b
}
