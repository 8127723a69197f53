package jose

import "sync"

// maxPooled is the largest buffer that is kept: twice the default of the longest token.
const maxPooled = 32 << 10

var buffers = sync.Pool{New: func() any { return new([]byte) }}

// Borrow returns a buffer for [Split], [ParseInto] or [UnverifiedIssuer], to be given back
// by [GiveBack]. Nothing may point into it afterwards.
func Borrow() *[]byte { return buffers.Get().(*[]byte) }

// GiveBack ends the use of a buffer for a token. It is cleared: no token stays in memory
// because of it.
func GiveBack(buf *[]byte, token string) {
	clear((*buf)[:min(cap(*buf), 2*len(token))])
	if cap(*buf) <= maxPooled {
		buffers.Put(buf)
	}
}
