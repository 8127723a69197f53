// Package feed follows a log that the processes of a fleet share: what one of them
// appends, every other one reads soon after.
package feed

import (
	"context"
	"time"
)

// Record is what a process tells the others.
type Record struct {
	// Data is at most [MaxData] bytes. It names users and tokens.
	Data []byte
	// Until is when nobody needs it any more.
	Until time.Time
}

// MaxData is how long the data of a record may be, in bytes.
const MaxData = 4096

// Log is a sequence of records that a fleet shares.
type Log interface {
	// Append adds records at the end, in this order.
	Append(ctx context.Context, records ...Record) error
	// Read returns the data of at most limit records after a place in the log, and the
	// place behind them. The place "" is before the first.
	Read(ctx context.Context, after string, limit int) (data [][]byte, next string, err error)
}
