package introspect

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"sync/atomic"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/feed"
)

// Record is what a process tells the others of a fleet: Data, of at most 4096 bytes, and
// Until, the time after which nobody needs it and a [Log] may forget it. Data names a token
// by a keyed hash, from which it cannot be guessed.
type Record = feed.Record

// Log is a sequence of records that the processes of a fleet share, the same as a
// revocation.Log: one may serve both, and then each reads what is the other's and passes it
// over. Every record that was appended is read by every process that follows it; several
// appends of the same record do no harm. It must be safe for concurrent use, and its methods
// honour ctx.
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
//     and mean nothing elsewhere.
type Log = feed.Log

// What a record of ours begins with, in the log.
const (
	purgeKind = 'p'

	purgeOne = 1
	purgeAll = 2
	// an operation, who has written it, when in Unix milliseconds, for which Clients, and
	// the name of the token.
	purgeBytes = 1 + 8 + 8 + 32 + 32
)

// fleet tells other processes of purges, and hears of theirs.
//
//   - What bounds it: what bounds a [feed.Follower]. What is heard is held in purges.
//   - Who can fill and steer it: whoever calls Purge in any process, and whoever can write to
//     the log. They cause calls.
//   - What the caller sees when it is full: an error of Purge, which has worked here.
type fleet struct {
	client *Client
	self   [8]byte // who we are: what we have written is done here already
	of     key     // which Clients a record is for: those that have the same names
	feed   *feed.Follower

	seen map[key]time.Time // the records that were read, and when each may be forgotten; the follower's alone

	skipped atomic.Uint64
}

func newFleet(c *Client, log Log) *fleet {
	f := &fleet{client: c, of: c.names.Name(""), seen: map[key]time.Time{}} // no token is empty
	_, _ = rand.Read(f.self[:])                                             // never fails
	nothing := func() {}                                                    // what the log has lost, the memory has lost soon
	f.feed = feed.New(feed.Config{Log: log, Kind: purgeKind, Begin: nothing, Whole: nothing, Take: f.take, Told: f.told})
	return f
}

var errPurgeLog = &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonStoreUnavailable, RetryAfter: time.Second,
	Detail: "introspect: PurgeLog has failed: the token is purged in this process, and the others may not know", Cause: errors.New("introspect: PurgeLog")}

// append tells the others. at is when the purge was made here.
func (f *fleet) append(ctx context.Context, op byte, name key, at time.Time) error {
	if f == nil {
		return nil
	}
	payload := append(make([]byte, 0, purgeBytes), op)
	payload = append(payload, f.self[:]...)
	payload = binary.BigEndian.AppendUint64(payload, uint64(at.UnixMilli()))
	payload = append(append(payload, f.of[:]...), name[:]...)
	return bearergate.Guard(ctx, errPurgeLog, func(ctx context.Context) error {
		return f.feed.Append(ctx, Record{Data: payload, Until: at.Add(maxClockSkew + f.client.purgeLife())})
	})
}

// take reads a record that nobody need have written as append does.
func (f *fleet) take(record []byte, _ bool) bool {
	if len(record) != purgeBytes || record[0] != purgeOne && record[0] != purgeAll {
		f.skipped.Add(1)
		return false
	}
	op, from := record[0], [8]byte(record[1:])
	said := time.UnixMilli(int64(binary.BigEndian.Uint64(record[9:])))
	of, name := key(record[17:]), key(record[49:])
	now := time.Now()
	at := now
	if said.Before(now) { // a clock that is ahead must not purge what is to come
		at = said
	}
	if from == f.self || of != f.of || now.Sub(at) > f.client.purgeLife() || !f.isNew(sha256.Sum256(record), now) {
		return true
	}
	f.client.purge(op == purgeAll, name, at)
	f.client.purged(PurgeEvent{Issuer: f.client.issuer, All: op == purgeAll, Elsewhere: true})
	return true
}

// isNew reports whether a record was not read before: whoever reads the log from the
// beginning again must not forget again what was asked for since.
func (f *fleet) isNew(record key, now time.Time) bool {
	if _, seen := f.seen[record]; seen {
		return false
	}
	if len(f.seen) >= maxPurges {
		maps.DeleteFunc(f.seen, func(_ key, until time.Time) bool { return !now.Before(until) })
		if len(f.seen) >= maxPurges { // costs calls
			clear(f.seen)
		}
	}
	f.seen[record] = now.Add(f.client.purgeLife() + maxClockSkew)
	return true
}

func (f *fleet) told(ctx context.Context, e feed.Event) {
	if told := f.client.hooks.PurgesRead; told != nil {
		told(ctx, PurgesReadEvent{Issuer: f.client.issuer, Err: e.Err, Whole: e.Whole, Records: e.Records, Skipped: e.Skipped, Duration: e.Duration})
	}
}

// Run follows Config.PurgeLog until ctx ends, and then returns nil: what other processes
// purge is forgotten here. It looks twice a second, and says every 5 s that this process is
// there, by a record that has to come back. While PurgeLog fails, it tries again at least
// every 5 s, and reads from the beginning. Call it once for a Client; a second call at a time
// returns [bearergate.ErrMisconfigured]. Without PurgeLog, it returns nil at once.
func (c *Client) Run(ctx context.Context) error {
	if c == nil || c.slots == nil {
		return misconfigured(errZero)
	}
	if c.fleet == nil {
		return nil
	}
	if err := c.fleet.feed.Run(ctx, func(context.Context) error { return nil }); err != nil {
		return misconfigured(fmt.Errorf("introspect: Run: %w", err))
	}
	return nil
}

// Status says what a [Client] has heard of Config.PurgeLog.
type Status struct {
	// Heard is when this process last knew all purges of the others, and Lag how long ago
	// that is; zero and -1 without PurgeLog, or before it was read.
	Heard   time.Time
	Lag     time.Duration
	Skipped uint64 // records that could not be read
}

// Status returns what the Client has heard of Config.PurgeLog.
func (c *Client) Status() Status {
	s := Status{Lag: -1}
	if c == nil || c.fleet == nil {
		return s
	}
	s.Skipped = c.fleet.skipped.Load()
	if s.Heard = c.fleet.feed.Heard(); !s.Heard.IsZero() {
		s.Lag = c.fleet.feed.Age(time.Now())
	}
	return s
}
