package issuers

import "github.com/bearergate/bearergate/internal/jose"

// Pooled returns the whole of a buffer that tokens were decoded into.
func Pooled() []byte {
	buf := *jose.Borrow()
	return buf[:cap(buf)]
}
