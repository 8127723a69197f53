// Package buffer lends buffers for what requests carry, such as a token or a proof, so that
// a long one does not cost its size once more in garbage.
package buffer

import "sync"

// maxPooled is the largest buffer that is kept: twice the default of the longest token.
const maxPooled = 32 << 10

var buffers = sync.Pool{New: func() any { return new([]byte) }}

// Borrow returns an empty buffer, to be given back by [GiveBack]. Nothing may point into it
// afterwards.
func Borrow() *[]byte {
	buf := buffers.Get().(*[]byte)
	*buf = (*buf)[:0]
	return buf
}

// GiveBack ends the use of a buffer of which at most that many bytes were written. They are
// cleared: no token stays in memory because of it.
func GiveBack(buf *[]byte, used int) {
	clear((*buf)[:min(cap(*buf), used)])
	if cap(*buf) <= maxPooled {
		buffers.Put(buf)
	}
}
