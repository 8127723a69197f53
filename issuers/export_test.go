package issuers

import (
	"context"

	"github.com/bearergate/bearergate/internal/jose"
)

// Pooled returns the whole of a buffer that tokens were decoded into.
func Pooled() []byte {
	buf := *jose.Borrow()
	return buf[:cap(buf)]
}

// WaitForEnded is what somebody is told who begins to wait for a call of Resolve after it
// has ended, in time.
func WaitForEnded(ctx context.Context) error {
	ended := make(chan struct{})
	close(ended)
	_, err := (&call{done: ended, late: ended, answer: &resolved{}}).wait(ctx)
	return err
}
