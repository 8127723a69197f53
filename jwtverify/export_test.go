package jwtverify

// Pooled is what the next token would find in the buffer that it is given.
func Pooled() []byte {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	return (*buf)[:cap(*buf)]
}
