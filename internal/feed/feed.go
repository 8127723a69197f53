// Package feed follows a log that the processes of a fleet share: what one of them
// appends, every other one reads soon after.
//
// The log is snapshot and feed at once. A process reads it from the beginning, page by page
// to the end, and then goes on from there. After any error it begins again: a store that
// has failed over may have lost what it had said it has, and may number its records
// otherwise.
//
// That reads succeed does not say that they are up to date: the store may be cut off from
// the others. So each process appends a heartbeat now and then, and has heard from the
// others as of the last heartbeat that came back to it.
package feed

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"sync"
	"time"

	"github.com/bearergate/bearergate/internal/clock"
	"github.com/bearergate/bearergate/internal/guard"
)

// Record is what a process tells the others.
type Record struct {
	// Data is at most [MaxData] bytes. It names users and tokens.
	Data []byte
	// Until is when nobody needs it any more.
	Until time.Time
}

// Log is a sequence of records that a fleet shares.
type Log interface {
	// Append adds records at the end, in this order.
	Append(ctx context.Context, records ...Record) error
	// Read returns the data of at most limit records after a place in the log, and the
	// place behind them. The place "" is before the first.
	Read(ctx context.Context, after string, limit int) (data [][]byte, next string, err error)
}

const (
	// MaxData is how long the data of a record may be, in bytes.
	MaxData = 4096
	// Page is how many records are read, and appended, at once.
	Page = 500
	// Interval is how often a process looks for new records.
	Interval = 500 * time.Millisecond
	// Beat is how often it appends a heartbeat, and how long it waits for one to come back.
	Beat = 5 * time.Second
	// Timeout is how long one call of the log may take.
	Timeout = 2 * time.Second

	maxPause   = 5 * time.Second // between attempts while the log fails
	callGrace  = 20 * time.Millisecond
	maxAppends = 16
)

// What a record begins with: the version of this layout, and whose it is.
const (
	version   = 1
	heartbeat = 'h'
	header    = 2 // bytes
)

// ErrRunning: Run was called twice.
var ErrRunning = errors.New("it is running already")

// Config says what a [Follower] follows.
type Config struct {
	Log Log
	// Kind is whose records are taken: those of others in the same log are passed over.
	Kind byte
	// Begin is called before the first record of a reading from the beginning, Take with
	// each record, and Whole when such a reading has reached the end: what Take was not
	// given since Begin is not in the log. Take reports whether it could read the record,
	// and keeps nothing of it. They are called by one goroutine at a time.
	Begin, Whole func()
	Take         func(payload []byte) bool
	// Told is called after each look into the log at which something happened.
	Told func(context.Context, Event)
}

// Event is one look into the log.
type Event struct {
	Err      error // nil: the end was reached
	Whole    bool  // it began at the beginning
	Records  int   // that were taken
	Skipped  int   // that could not be read
	Duration time.Duration
}

// Follower follows a log.
//
//   - What bounds it: one call of Read at a time and maxAppends of Append, Timeout each. A
//     Log that ignores its context keeps its goroutine and its place among them.
//   - Who can fill it: whoever appends.
//   - Who can steer it: the log, which can be slow, fail, or lie about its end.
//   - What the caller sees when it is full: an error. [Follower.Age] grows.
type Follower struct {
	c       Config
	reads   chan struct{}
	appends chan struct{}

	looking chan struct{} // held by whoever looks; guards what follows
	after   string
	begun   clock.Instant // when the last reading from the beginning began
	whole   bool          // it has not reached the end
	beat    [16]byte
	beaten  clock.Instant // when the last heartbeat was appended; zero: none since the last error
	out     bool          // it has not come back

	mu      sync.Mutex // guards what follows
	heard   clock.Instant
	restart bool
	runs    bool
}

// New returns a Follower that has read nothing.
func New(c Config) *Follower {
	return &Follower{c: c, reads: make(chan struct{}, 1), appends: make(chan struct{}, maxAppends), looking: make(chan struct{}, 1)}
}

// Data is the data of a record with a payload.
func (f *Follower) Data(payload []byte) []byte { return data(f.c.Kind, payload) }

func data(kind byte, payload []byte) []byte { return append([]byte{version, kind}, payload...) }

// Age is how long ago this process is known to have heard all that the others had said.
// It is more than any bound if it has never.
func (f *Follower) Age(now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return clock.At(now).Since(f.heard)
}

// Heard is when that was; zero: never.
func (f *Follower) Heard() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.heard.Wall
}

// Restart has the next look begin at the beginning.
func (f *Follower) Restart() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.restart = true
}

// Append appends records. After an error the log is read from the beginning, which tells
// which of them it has.
func (f *Follower) Append(ctx context.Context, records ...Record) error {
	for len(records) > 0 {
		page := records[:min(len(records), Page)]
		records = records[len(page):]
		if err := call(ctx, f.appends, func(ctx context.Context) error { return f.c.Log.Append(ctx, page...) }); err != nil {
			f.Restart()
			return fmt.Errorf("Append: %w", err)
		}
	}
	return nil
}

// Look reads on to the end of the log, and appends a heartbeat when it is time for one. It
// waits for a look that is under way.
func (f *Follower) Look(ctx context.Context) error {
	select {
	case f.looking <- struct{}{}:
		defer func() { <-f.looking }()
	case <-ctx.Done():
		return ctx.Err()
	}
	start := time.Now()
	if f.takeRestart(clock.At(start)) {
		f.startOver()
	}
	e := Event{Whole: f.after == ""}
	if e.Err = f.beatAndRead(ctx, &e); e.Err != nil {
		f.startOver()
	}
	e.Duration = time.Since(start)
	if f.c.Told != nil && (e.Err != nil || e.Whole || e.Records+e.Skipped > 0) && ctx.Err() == nil {
		f.c.Told(ctx, e)
	}
	return e.Err
}

// Run looks into the log every Interval, less often while that fails, until ctx ends, which
// is no error. It calls each after every look that has reached the end.
func (f *Follower) Run(ctx context.Context, each func(context.Context) error) error {
	if !f.setRuns(true) {
		return ErrRunning
	}
	defer f.setRuns(false)
	pause := Interval
	for {
		err := f.Look(ctx)
		if err == nil {
			err = each(ctx)
		}
		if pause = min(2*pause, maxPause); err == nil {
			pause = Interval
		}
		timer := time.NewTimer(jittered(pause))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
	}
}

func (f *Follower) setRuns(to bool) (changed bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	changed = f.runs != to
	f.runs = to
	return changed
}

// jittered is d, a fifth less to a fifth more: processes that were started together must
// not ask together.
func jittered(d time.Duration) time.Duration {
	n, _ := rand.Int(rand.Reader, big.NewInt(int64(2*d/5)+1)) // never fails
	return d - d/5 + time.Duration(n.Int64())
}

// takeRestart reports whether to start over. Whoever asks for that again and again gets it
// once in a Beat: it costs as much as the log is long.
func (f *Follower) takeRestart(now clock.Instant) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.restart || now.Since(f.begun) < Beat {
		return false
	}
	f.restart = false
	return true
}

func (f *Follower) startOver() { f.after, f.whole, f.out, f.beaten = "", false, false, clock.Instant{} }

func (f *Follower) beatAndRead(ctx context.Context, e *Event) error {
	now := clock.At(time.Now())
	switch since := now.Since(f.beaten); {
	case since < Beat:
	case f.out:
		return errors.New("a heartbeat has not come back: what was appended is not what is read")
	default:
		_, _ = rand.Read(f.beat[:]) // never fails
		record := Record{Data: data(heartbeat, f.beat[:]), Until: now.Wall.Add(2 * Beat)}
		if err := call(ctx, f.appends, func(ctx context.Context) error { return f.c.Log.Append(ctx, record) }); err != nil {
			return fmt.Errorf("Append of a heartbeat: %w", err)
		}
		f.beaten, f.out = now, true
	}
	if f.after == "" {
		f.begun, f.whole = now, true
		f.c.Begin()
	}
	waited := f.out
	for {
		page, err := f.page(ctx)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			break
		}
		for _, d := range page {
			f.take(d, e)
		}
	}
	if f.whole {
		f.whole = false
		f.c.Whole()
	}
	if waited && !f.out { // and all that is before its end was taken
		f.mu.Lock()
		defer f.mu.Unlock()
		f.heard = f.beaten
	}
	return nil
}

func (f *Follower) page(ctx context.Context) ([][]byte, error) {
	type answer struct {
		data [][]byte
		next string
	}
	answered := make(chan answer, 1)
	after := f.after
	err := call(ctx, f.reads, func(ctx context.Context) (err error) {
		var a answer
		a.data, a.next, err = f.c.Log.Read(ctx, after, Page)
		answered <- a
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("Read: %w", err)
	}
	a := <-answered
	if len(a.data) > 0 && a.next == after {
		return nil, errors.New("Read: it has returned records and no place behind them")
	}
	if len(a.data) > 0 || a.next != "" {
		f.after = a.next
	}
	return a.data, nil
}

func (f *Follower) take(d []byte, e *Event) {
	switch {
	case len(d) < header || len(d) > MaxData || d[0] != version:
		e.Skipped++
	case d[1] == heartbeat:
		if bytes.Equal(d[header:], f.beat[:]) {
			f.out = false
		}
	case d[1] != f.c.Kind: // somebody else's
	case f.c.Take(d[header:]):
		e.Records++
	default:
		e.Skipped++
	}
}

// call makes one call of the log, bounded in time and in how many there are at once.
func call(ctx context.Context, slots chan struct{}, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	select {
	case slots <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("too many calls of the log are under way: %w", ctx.Err())
	}
	answered := make(chan error, 1)
	err := guard.Isolate(ctx, callGrace, func() {
		defer func() { <-slots }()
		answered <- do(ctx)
	})
	if err != nil {
		return err
	}
	return <-answered
}
