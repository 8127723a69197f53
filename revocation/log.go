package revocation

import "github.com/bearergate/bearergate/internal/feed"

// Record is what a process tells the others of a fleet: Data, of at most 4096 bytes, and
// Until, the time after which nobody needs it and a [Log] may forget it. Data names users
// and tokens: a Log that others can read or write encrypts and authenticates it.
type Record = feed.Record

// Log is a sequence of records that the processes of a fleet share. Every record that was
// appended is read by every process that follows it; several appends of the same record do
// no harm. It must be safe for concurrent use, and its methods honour ctx.
//
//   - Append(ctx, ...Record) error adds records at the end, in this order. It returns nil
//     when they will not be lost with one machine, so far as the store can say that. After an
//     error some of them may be there.
//   - Read(ctx, after string, limit int) (data [][]byte, next string, err error) returns the
//     Data of at most limit records after a place, and the place behind the last one. The
//     place "" is before the first record that is kept. It does not wait: no data says that
//     this is the end, and next is then a place to go on from. Records whose time has ended
//     may be left out, others may not. A record that nobody of the fleet has written is
//     skipped, so that one bad record does not hide those behind it. Places are of one log,
//     and mean nothing elsewhere. A page that is shorter than it need be is right, and costs
//     time.
type Log = feed.Log
