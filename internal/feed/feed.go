// Package feed follows a log that the processes of a fleet share: what one of them
// appends, every other one reads soon after.
//
// The log is snapshot and feed at once. A process reads it from the beginning, page by page
// to the end, and then goes on from there. After any error it begins again: a store that
// has failed over may have lost what it had said it has, and may number its records
// otherwise. Where nothing is wrong, and the log is read again all the same, it goes on
// from where it was as well: however long the log is, it goes on hearing what is new.
//
// That reads succeed does not say that they are up to date: the store may be cut off from
// the others. So each process appends a heartbeat now and then, and has heard from the
// others as of the last heartbeat that came back to it. What stands before that was read:
// so a reading also ends there, however much the others go on appending.
//
// Nor does it say that nothing was passed over: a store that has failed over may put new
// records before a place that was read already. So each process numbers what it appends, and
// says with each record and heartbeat which number the log is known to have before it. Whoever
// misses that one reads from the beginning; and all do so now and then, for whoever has died
// could not say what it had appended.
package feed

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"slices"
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
	// MaxData is how long the data of a record may be, in bytes, with a header of 26.
	MaxData = 4096
	// Page is how many records are read, and appended, at once.
	Page = 500
	// Interval is how often a process looks for new records.
	Interval = 500 * time.Millisecond
	// Beat is how often it appends a heartbeat, and how long it waits for one to come back.
	Beat = 5 * time.Second
	// Timeout is how long one call of the log may take, and waiting for the calls before it.
	Timeout = 2 * time.Second
	// Again is how often the log is read from the beginning though nothing seems wrong.
	Again = 5 * time.Minute

	maxPause   = 2 * time.Second // between attempts while the log fails
	callGrace  = 20 * time.Millisecond
	maxWriters = 10_000 // processes whose numbers are remembered, and heartbeats that were answered
	maxAsked   = 100    // processes that one heartbeat asks
)

// What a record begins with: the version of this layout, whose it is, the process that has
// appended it, the last number of that process that the log is known to have, and its own. A
// heartbeat has no number of its own, so that one that is lost asks nobody: both are the last
// one. It says at random who it is, and the processes that it asks to read from the beginning.
const (
	version   = 1
	heartbeat = 'h'
	header    = 1 + 1 + len(writer{}) + 8 + 8 // bytes
)

// writer is a random name of a process.
type writer [8]byte

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
	// and keeps nothing of it. ahead says that a reading from the beginning has not come to it
	// yet, and may give it once more. They are called by one goroutine at a time.
	Begin, Whole func()
	Take         func(payload []byte, ahead bool) bool
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
//   - What bounds it: one call of Read at a time and one of Append, Timeout each. A Log that
//     ignores its context keeps its goroutine, and the next call waits for it.
//   - Who can fill it: whoever appends.
//   - Who can steer it: the log, which can be slow, fail, or lie about its end.
//   - What the caller sees when it is full: an error. [Follower.Age] grows.
type Follower struct {
	c     Config
	self  writer
	reads chan struct{}

	appends chan struct{} // held by whoever appends; guards what follows
	number  uint64        // of the last record of ours
	stands  uint64        // of the last one that the log has said to have

	looking chan struct{} // held by whoever looks; guards what follows
	after   string
	tail    string              // where it was, while the log is read again although nothing is wrong; else ""
	tailing bool                // what is read comes from there
	begun   clock.Instant       // when the last reading from the beginning began
	ended   clock.Instant       // when the last one reached the end
	whole   bool                // it has not reached the end
	numbers map[writer]uint64   // the last ones that were read, since the beginning
	known   map[writer]uint64   // and before it, until the end is reached
	missed  bool                // one was passed over
	ask     map[writer]struct{} // whose
	// answered are the names of the heartbeats that have asked this process; maxWriters at most.
	answered map[[16]byte]struct{}
	beat     [16]byte
	beaten   clock.Instant // when the last heartbeat was appended; zero: none since the last error
	out      bool          // it has not come back
	passed   bool          // although the end was reached since
	refused  bool          // another one could not be appended since
	sent     bool          // it was appended by the look that is under way
	back     bool          // and was met on the way, so that all that was there by then has been read

	mu      sync.Mutex    // guards what follows
	heard   clock.Instant // see Age
	sure    clock.Instant // when the last heartbeat was appended that has come back
	restart bool          // the log is to be read again, although nothing that was read is in doubt
	asked   bool          // another process has missed what this one has appended
	runs    bool
}

// New returns a Follower that has read nothing.
func New(c Config) *Follower {
	f := &Follower{c: c, reads: make(chan struct{}, 1), appends: make(chan struct{}, 1), looking: make(chan struct{}, 1),
		ask: map[writer]struct{}{}, answered: map[[16]byte]struct{}{}}
	_, _ = rand.Read(f.self[:]) // never fails
	return f
}

// Age is how long ago this process is known to have heard all that the others had said: the
// last heartbeat that has come back, and after that the last look that reached the end, until
// the next one is appended. If that does not come back, no look since the last that did counts.
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

// Restart has a look begin at the beginning, a [Beat] after the last such reading at the
// earliest. What is new is heard meanwhile, unless something is in doubt.
func (f *Follower) Restart() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.restart = true
}

// Append appends records, whose Data is the payload. After an error the log is read from the
// beginning, which tells which of them it has.
func (f *Follower) Append(ctx context.Context, records ...Record) error {
	for len(records) > 0 {
		page := records[:min(len(records), Page)]
		records = records[len(page):]
		if err := f.append(ctx, f.c.Kind, page); err != nil {
			f.Restart()
			return fmt.Errorf("appending: %w", err)
		}
	}
	return nil
}

func (f *Follower) append(ctx context.Context, kind byte, payloads []Record) error {
	return call(ctx, f.appends, func(ctx context.Context) error {
		if kind != heartbeat { // whoever asked may leave; the number is taken, and all others would miss it
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), Timeout)
			defer cancel()
		}
		records := make([]Record, len(payloads))
		stands := f.stands
		for i, r := range payloads {
			number := stands
			if kind != heartbeat { // a number that has failed is not taken again: the log may have it
				f.number++
				number = f.number
			}
			d := append([]byte{version, kind}, f.self[:]...)
			d = binary.BigEndian.AppendUint64(d, stands)
			d = binary.BigEndian.AppendUint64(d, number)
			records[i] = Record{Data: append(d, r.Data...), Until: r.Until}
			stands = number
		}
		err := f.c.Log.Append(ctx, records...)
		if err == nil {
			f.stands = stands
		}
		return err
	})
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
	if again, routine := f.takeRestart(clock.At(start)); again {
		tail := f.after
		if f.startOver(); routine && f.Age(start) <= 2*Beat { // else its place may be gone
			f.tail = tail
		}
	}
	f.sent, f.back = false, false
	var e Event
	if e.Err = f.beatAndRead(ctx, &e); e.Err != nil && ctx.Err() == nil { // else the log is not to blame
		f.startOver()
	}
	e.Duration = time.Since(start)
	if (e.Err != nil || e.Whole || e.Records+e.Skipped > 0) && ctx.Err() == nil {
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
func jittered(d time.Duration) time.Duration { return d - d/5 + Random(2*d/5) }

// Random is a duration that is less than d.
func Random(d time.Duration) time.Duration {
	n, _ := rand.Int(rand.Reader, big.NewInt(int64(d))) // never fails
	return time.Duration(n.Int64())
}

// takeRestart reports whether to start over, and whether that is so although nothing is
// wrong. Whoever asks for that again and again gets it once in a Beat: it costs as much as
// the log is long, and after it there must be time to put back what is lost.
func (f *Follower) takeRestart(now clock.Instant) (again, routine bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	begins := f.after == "" // whatever is asked for
	routine = !f.asked && !f.missed
	again = !begins && !f.whole && now.Since(f.ended) >= Beat && (!routine || f.restart || now.Since(f.begun) >= Again)
	if begins || again {
		f.restart, f.asked, f.missed = false, false, false
	}
	return again, routine
}

func (f *Follower) startOver() {
	if f.passed { // nobody looks for that heartbeat any more
		f.doubt()
	}
	f.after, f.tail, f.out, f.beaten = "", "", false, clock.Instant{}
}

func (f *Follower) beatAndRead(ctx context.Context, e *Event) error {
	now := clock.At(time.Now())
	begins := f.after == ""
	if err := f.appendBeat(ctx, now, 0); err != nil {
		return err
	}
	if begins {
		f.begun, f.whole = now, true
		f.forget()
		f.c.Begin()
	}
	e.Whole = f.whole
	last := 0 // records of the page before
	for followed := now; !f.back; {
		if f.tail != "" && now.Since(followed) >= Interval {
			if err := f.follow(ctx, e); err != nil {
				return err
			}
			now = clock.At(time.Now())
			followed = now
		}
		n, err := f.takePage(ctx, &f.after, e)
		if err != nil {
			return err
		}
		if n == 0 {
			f.hear(now)
			break
		}
		if n < last && !f.whole { // this is what others have appended since the page before: the next look goes on
			break
		}
		last = n
		now = clock.At(time.Now())
	}
	if f.tail != "" { // is what was read there still there?
		if err := f.follow(ctx, e); err != nil {
			return err
		}
		f.after = f.tail // all that is before one of the two has been read
	}
	if f.whole {
		f.ended = clock.At(time.Now())
		f.whole, f.known, f.tail = false, nil, "" // who is not there any more is dead
		f.c.Whole()
	}
	return nil
}

// follow is a look from where the log had been read to, while it is read again. It lasts no
// longer than Interval and a page, for others may append as fast as it reads; as long as a
// Beat, where it has fallen behind.
func (f *Follower) follow(ctx context.Context, e *Event) error {
	f.tailing = true
	defer func() { f.tailing = false }()
	began := clock.At(time.Now())
	most := Interval
	if f.Age(began.Mono) > 2*Beat {
		most = Beat
	}
	for now := began; now.Since(began) < most; now = clock.At(time.Now()) {
		n, err := f.takePage(ctx, &f.tail, e)
		if err != nil {
			return err
		}
		if n == 0 {
			f.hear(now)
			break
		}
	}
	return nil
}

// hear notes that all has been read that was in the log then.
func (f *Follower) hear(then clock.Instant) {
	f.passed = f.out
	if f.out || f.missed || f.refused { // not all that is before the end was taken, or it may be an old one
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.heard, f.sure = then, f.beaten
}

// appendBeat appends a heartbeat when it is time for one. One that fails is no error while the
// one before is younger than bears: until it is appended, nothing more is heard.
func (f *Follower) appendBeat(ctx context.Context, now clock.Instant, bears time.Duration) error {
	if now.Since(f.beaten) < Beat {
		return nil
	}
	if f.out {
		f.doubt()
		if f.passed {
			return errors.New("a heartbeat has not come back: what was appended is not what is read")
		}
	}
	var name [16]byte
	_, _ = rand.Read(name[:]) // never fails
	data := slices.Clone(name[:])
	for w := range f.ask {
		data = append(data, w[:]...)
	}
	record := Record{Data: data, Until: now.Wall.Add(4 * Beat)}
	err := f.append(ctx, heartbeat, []Record{record})
	switch {
	case err == nil:
		f.beat, f.beaten, f.out, f.passed, f.refused, f.sent, f.back = name, now, true, false, false, true, false
		clear(f.ask)
		return nil
	case ctx.Err() == nil:
		place := f.after
		if _, reads := f.page(ctx, &place); reads == nil { // it is not down, but cut off, perhaps for longer
			f.doubt()
		}
	}
	if f.refused = true; now.Since(f.beaten) < bears {
		return nil
	}
	return fmt.Errorf("appending a heartbeat: %w", err)
}

// takePage takes the records of a page, and returns how many they were. A reading that takes
// long needs a heartbeat that it meets at its end.
func (f *Follower) takePage(ctx context.Context, place *string, e *Event) (int, error) {
	page, err := f.page(ctx, place)
	for _, d := range page {
		f.take(d, e)
	}
	if len(page) > 0 && !f.back {
		err = f.appendBeat(ctx, clock.At(time.Now()), 2*Beat)
	}
	return len(page), err
}

// doubt takes back what was heard since the last heartbeat that has come back.
func (f *Follower) doubt() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.heard = f.sure
}

// page reads a page, and moves the place behind it.
func (f *Follower) page(ctx context.Context, place *string) ([][]byte, error) {
	type answer struct {
		data [][]byte
		next string
	}
	answered := make(chan answer, 1)
	after := *place
	err := call(ctx, f.reads, func(ctx context.Context) (err error) {
		var a answer
		a.data, a.next, err = f.c.Log.Read(ctx, after, Page)
		answered <- a
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading: %w", err)
	}
	a := <-answered
	if len(a.data) > 0 && (a.next == after || a.next == "") {
		return nil, errors.New("reading has returned records and no place behind them")
	}
	if a.next != "" {
		*place = a.next
	}
	return a.data, nil
}

func (f *Follower) take(d []byte, e *Event) {
	if len(d) < header || len(d) > MaxData || d[0] != version {
		e.Skipped++
		return
	}
	kind, from := d[1], writer(d[2:])
	stands, number := binary.BigEndian.Uint64(d[header-16:]), binary.BigEndian.Uint64(d[header-8:])
	if stands > number { // it would be missed in every reading
		e.Skipped++
		return
	}
	f.count(from, stands, number)
	switch payload := d[header:]; {
	case kind == heartbeat:
		f.takeBeat(payload)
	case kind != f.c.Kind: // somebody else's
	case f.c.Take(payload, f.tailing):
		e.Records++
	default:
		e.Skipped++
	}
}

func (f *Follower) takeBeat(payload []byte) {
	if len(payload) < len(f.beat) {
		return
	}
	name, asked := payload[:len(f.beat)], payload[len(f.beat):]
	if bytes.Equal(name, f.beat[:]) {
		f.back = f.sent && !f.tailing
		f.out = false
		f.hear(f.beaten)
	}
	for ; len(asked) >= len(f.self); asked = asked[len(f.self):] {
		if writer(asked) == f.self {
			f.answer([16]byte(name))
		}
	}
}

// answer has the log read from the beginning, because of a heartbeat with that name. The
// reading meets it again, and later ones do until it has ended.
func (f *Follower) answer(name [16]byte) {
	if _, again := f.answered[name]; again {
		return
	}
	if len(f.answered) == maxWriters { // more than a fleet has processes: some are answered twice
		clear(f.answered)
	}
	f.answered[name] = struct{}{}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = true
}

// count notes the number of a record, and whether one that stands before it was passed over. While
// the log is read from the beginning, what has ended is missing, but nothing is that comes
// after what was read before, nor while it goes on from there as well.
func (f *Follower) count(from writer, stands, number uint64) {
	last, met := f.numbers[from]
	earlier, known := f.known[from]
	if last = max(last, earlier); stands > last && (known || !f.whole || f.tailing) {
		f.missed = true
		if len(f.ask) < maxAsked {
			f.ask[from] = struct{}{}
		}
	}
	if met || len(f.numbers) < maxWriters {
		f.numbers[from] = max(last, number)
	}
}

// forget begins to count anew.
func (f *Follower) forget() {
	if f.known == nil { // else the reading before has not reached the end
		f.known = make(map[writer]uint64, len(f.numbers))
	}
	for w, n := range f.numbers {
		if _, met := f.known[w]; met || len(f.known) < maxWriters {
			f.known[w] = n
		}
	}
	f.numbers = map[writer]uint64{}
}

// call makes one call of the log, bounded in time and in how many there are at once.
func call(caller context.Context, slots chan struct{}, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(caller, Timeout)
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
	switch ended := caller.Err(); {
	case err == nil:
		return <-answered
	case ended != nil && errors.Is(err, guard.ErrLate):
		return fmt.Errorf("%w: %w", ended, err)
	}
	return err
}
