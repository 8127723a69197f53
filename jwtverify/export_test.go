package jwtverify

import "github.com/bearergate/bearergate/internal/jose"

// Pooled is what the next token would find in the buffer that it is given.
func Pooled() []byte {
	buf := jose.Borrow()
	defer jose.GiveBack(buf, "")
	return (*buf)[:cap(*buf)]
}
