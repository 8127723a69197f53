package issuers

// Pooled returns the whole of a buffer that tokens were decoded into.
func Pooled() []byte {
	buf := *buffers.Get().(*[]byte)
	return buf[:cap(buf)]
}
