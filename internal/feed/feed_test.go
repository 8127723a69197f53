package feed_test

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate/internal/feed"
	"github.com/bearergate/bearergate/internal/guard"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/bearergate/bearergate/test/kit"
)

var errDown = errors.New("down")

// process follows a log, and takes the payloads that are not "?".
type process struct {
	*feed.Follower
	begun, whole int
	taken        []string // since Begin
	events       []feed.Event
}

func follow(log feed.Log) *process {
	p := new(process)
	p.Follower = feed.New(feed.Config{Log: log, Kind: 'k',
		Begin: func() { p.begun, p.taken = p.begun+1, nil },
		Whole: func() { p.whole++ },
		Take: func(payload []byte, _ bool) bool {
			if string(payload) == "?" {
				return false
			}
			p.taken = append(p.taken, string(payload))
			return true
		},
		Told: func(_ context.Context, e feed.Event) { p.events = append(p.events, e) },
	})
	return p
}

// looks looks, and reports whether it began at the beginning.
func (p *process) looks(t *testing.T) (whole bool) {
	t.Helper()
	before := p.begun
	require.NoError(t, p.Look(t.Context()))
	return p.begun > before
}

// looksUntilAgain looks until a second before the log is to be read again.
func (p *process) looksUntilAgain(t *testing.T) {
	t.Helper()
	start := time.Now()
	require.True(t, p.looks(t))
	for time.Since(start) < feed.Again-time.Second {
		time.Sleep(feed.Interval)
		require.False(t, p.looks(t))
	}
}

// record is one of a process with a name of eight letters, behind the one with the number
// before.
func record(kind byte, name string, number uint64, payload string) []byte {
	if kind == 'h' || number == 0 {
		return recordAfter(kind, name, number, number, payload)
	}
	return recordAfter(kind, name, number-1, number, payload)
}

func recordAfter(kind byte, name string, stands, number uint64, payload string) []byte {
	d := binary.BigEndian.AppendUint64(append([]byte{1, kind}, name[:8]...), stands)
	return append(binary.BigEndian.AppendUint64(d, number), payload...)
}

// recorder is a Log that remembers how it was called.
type recorder struct {
	kit.Log
	mu     sync.Mutex // guards what follows
	pages  [][]feed.Record
	places []string
	limits []int
}

func (r *recorder) Append(ctx context.Context, records ...feed.Record) error {
	r.mu.Lock()
	r.pages = append(r.pages, records)
	r.mu.Unlock()
	return r.Log.Append(ctx, records...)
}

func (r *recorder) Read(ctx context.Context, after string, limit int) ([][]byte, string, error) {
	r.mu.Lock()
	r.places, r.limits = append(r.places, after), append(r.limits, limit)
	r.mu.Unlock()
	return r.Log.Read(ctx, after, limit)
}

// scripted is a Log of functions.
type scripted struct {
	append func(context.Context) error
	read   func(ctx context.Context, after string) ([][]byte, string, error)
}

func (s scripted) Append(ctx context.Context, _ ...feed.Record) error { return s.append(ctx) }
func (s scripted) Read(ctx context.Context, after string, _ int) ([][]byte, string, error) {
	return s.read(ctx, after)
}

func until() time.Time { return time.Now().Add(time.Hour) }

// What every version has to write and read alike, and what the stores are told to expect.
func TestConstants(t *testing.T) {
	require.Equal(t, 4096, feed.MaxData)
	require.Equal(t, 500, feed.Page)
	require.Equal(t, 500*time.Millisecond, feed.Interval)
	require.Equal(t, 5*time.Second, feed.Beat)
	require.Equal(t, 2*time.Second, feed.Timeout)
	require.Equal(t, 5*time.Minute, feed.Again)
}

// A record is a version, a kind, a process, the number of the record before it, its own and a
// payload. A heartbeat has the number of the record before it twice.
func TestLayout(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := new(recorder)
		p, other := follow(log), follow(log)
		end := until()
		require.NoError(t, p.Append(t.Context(), feed.Record{Data: []byte("a"), Until: end}))
		require.NoError(t, p.Append(t.Context(), feed.Record{Data: []byte("b"), Until: end.Add(1)}, feed.Record{Data: []byte("c"), Until: end}))
		start := time.Now()
		require.True(t, p.looks(t))
		require.Equal(t, []string{"a", "b", "c"}, p.taken)
		time.Sleep(feed.Beat)
		require.False(t, p.looks(t))
		require.True(t, other.looks(t))

		data := log.Data()
		require.Len(t, data, 6)
		self, another := string(data[0][2:10]), string(data[5][2:10])
		require.NotEqual(t, self, another)
		for i, payload := range []string{"a", "b", "c"} {
			require.Equal(t, record('k', self, uint64(i+1), payload), data[i])
		}
		require.Equal(t, record('h', self, 3, ""), data[3][:26])
		require.Equal(t, record('h', self, 3, ""), data[4][:26])
		require.Equal(t, record('h', another, 0, ""), data[5][:26])
		require.Len(t, data[3], 26+16)
		require.NotEqual(t, data[3], data[4], "each has a name of its own")
		require.Equal(t, end, log.pages[0][0].Until)
		require.Equal(t, end.Add(1), log.pages[1][0].Until)
		require.True(t, start.Add(20*time.Second).Equal(log.pages[2][0].Until))
		require.Equal(t, 500, log.limits[0])
	})
}

// Of what stands in a log, only what can be read is taken.
func TestTake(t *testing.T) {
	const other = "process1"
	with := func(i int, b byte) []byte {
		d := record('k', other, 1, "a")
		d[i] = b
		return d
	}
	for _, tc := range []struct {
		name    string
		data    []byte
		taken   []string
		skipped int
	}{
		{name: "a record", data: record('k', other, 1, "a"), taken: []string{"a"}},
		{name: "one without a payload", data: record('k', other, 1, ""), taken: []string{""}},
		{name: "nothing", data: []byte{}, skipped: 1},
		{name: "half a header", data: record('k', other, 1, "")[:25], skipped: 1},
		{name: "with no number", data: recordAfter('k', other, 0, 0, "a"), taken: []string{"a"}},
		{name: "before what is there", data: recordAfter('k', other, 2, 1, "a"), skipped: 1},
		{name: "as long as may be", data: record('k', other, 1, strings.Repeat("a", 4096-26)), taken: []string{strings.Repeat("a", 4096-26)}},
		{name: "too long", data: record('k', other, 1, strings.Repeat("a", 4096-25)), skipped: 1},
		{name: "an older version", data: with(0, 0), skipped: 1},
		{name: "a newer version", data: with(0, 2), skipped: 1},
		{name: "of another kind", data: with(1, 'l')},
		{name: "a payload that Take cannot read", data: record('k', other, 1, "?"), skipped: 1},
		{name: "a heartbeat without a name", data: record('h', other, 0, "")},
		{name: "a heartbeat with half a name", data: record('h', other, 0, "123456789012345")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				log := new(kit.Log)
				log.Put(tc.data, until())
				p := follow(log)
				require.True(t, p.looks(t))
				require.Equal(t, tc.taken, p.taken)
				require.Equal(t, []feed.Event{{Whole: true, Records: len(tc.taken), Skipped: tc.skipped}}, p.events)
				require.True(t, p.Heard().Equal(time.Now()))
			})
		})
	}
}

// Told is called when there is something to tell.
func TestTold(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := new(kit.Log)
		p := follow(log)
		told := func() feed.Event {
			t.Helper()
			require.Len(t, p.events, 1)
			e := p.events[0]
			p.events = nil
			return e
		}
		p.looks(t)
		require.Equal(t, feed.Event{Whole: true}, told())
		p.looks(t)
		require.Empty(t, p.events, "nothing has happened")
		log.Put(record('k', "process1", 1, "a"), until())
		p.looks(t)
		require.Equal(t, feed.Event{Records: 1}, told())
		log.Put(record('k', "process1", 2, "?"), until())
		p.looks(t)
		require.Equal(t, feed.Event{Skipped: 1}, told())
		log.Put(record('k', "process1", 3, "?"), until())
		log.Put(record('k', "process1", 4, "b"), until())
		p.looks(t)
		require.Equal(t, feed.Event{Records: 1, Skipped: 1}, told())
		require.Equal(t, []string{"a", "b"}, p.taken)

		log.Fault(func(context.Context, string) error { time.Sleep(time.Second); return errDown })
		require.ErrorIs(t, p.Look(t.Context()), errDown)
		e := told()
		require.ErrorIs(t, e.Err, errDown)
		require.Equal(t, feed.Event{Err: e.Err, Duration: time.Second}, e)

		ctx, cancel := context.WithCancel(t.Context())
		log.Fault(func(context.Context, string) error { cancel(); return errDown })
		require.Error(t, p.Look(ctx))
		require.Empty(t, p.events, "whoever has looked is gone")
		log.Fault(nil)
		require.True(t, p.looks(t), "after an error")
	})
}

// One look at a time; who waits for it may leave.
func TestLooksWait(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := new(kit.Log)
		p := follow(log)
		log.Fault(func(context.Context, string) error { time.Sleep(time.Second); return nil })
		first := make(chan error, 1)
		start := time.Now()
		go func() { first <- p.Look(t.Context()) }()
		time.Sleep(time.Millisecond)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		require.ErrorIs(t, p.Look(ctx), context.DeadlineExceeded)
		require.Equal(t, 2*time.Millisecond, time.Since(start))
		require.NoError(t, p.Look(t.Context()))
		require.Equal(t, 3*time.Second, time.Since(start), "a heartbeat, a page that has it, and one of the second look")
		require.NoError(t, <-first)
		require.Equal(t, 1, log.Calls("Append"))
	})
}

func TestAppendInPages(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := new(recorder)
		p := follow(log)
		require.NoError(t, p.Append(t.Context()))
		require.Empty(t, log.pages)
		require.NoError(t, p.Append(t.Context(), make([]feed.Record, 1001)...))
		require.Len(t, log.pages, 3)
		require.Len(t, log.pages[0], 500)
		require.Len(t, log.pages[1], 500)
		require.Len(t, log.pages[2], 1)
	})
}

// After an error nobody knows what the log has: so it is read again.
func TestAppendFails(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := new(kit.Log)
		p := follow(log)
		p.looks(t)
		log.Fault(func(context.Context, string) error { return errDown })
		require.ErrorIs(t, p.Append(t.Context(), make([]feed.Record, 501)...), errDown)
		require.Equal(t, 2, log.Calls("Append"), "the heartbeat, and one page")
		log.Fault(nil)
		time.Sleep(feed.Beat)
		require.True(t, p.looks(t))
	})
}

// Whoever appends may leave: the number of the record is taken, and others would miss it.
func TestWhoAppendsMayLeave(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := new(kit.Log)
		p := follow(log)
		ctx, leave := context.WithCancel(t.Context())
		start := time.Now()
		log.Fault(func(ctx context.Context, _ string) error {
			leave()
			time.Sleep(time.Second)
			deadline, ok := ctx.Deadline()
			assert.True(t, ok)
			assert.Equal(t, start.Add(2*time.Second), deadline)
			return ctx.Err()
		})
		err := p.Append(ctx, feed.Record{Data: []byte("a"), Until: until()})
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, err, guard.ErrLate)
		require.Equal(t, 20*time.Millisecond, time.Since(start), "and it is not waited for")
		time.Sleep(time.Second)
		log.Fault(nil)
		p.looks(t)
		require.Equal(t, []string{"a"}, p.taken)
	})
}

// A log that does not listen to its context keeps one goroutine, and nobody waits for it for
// longer than Timeout.
func TestLogThatHangs(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := new(kit.Log)
		p := follow(log)
		release := make(chan struct{})
		log.Fault(func(context.Context, string) error { <-release; return nil })
		start := time.Now()
		err := p.Append(t.Context(), feed.Record{Until: until()})
		require.ErrorIs(t, err, guard.ErrLate)
		require.NotContains(t, err.Error(), "%!", "nobody has left")
		require.Equal(t, feed.Timeout+20*time.Millisecond, time.Since(start))

		start = time.Now()
		require.ErrorIs(t, p.Append(t.Context(), feed.Record{Until: until()}), context.DeadlineExceeded)
		require.Equal(t, feed.Timeout, time.Since(start))
		require.Equal(t, 1, log.Calls("Append"))
		close(release)
		require.NoError(t, p.Append(t.Context(), feed.Record{Until: until()}))
		require.True(t, p.looks(t))
	})
}

// A panic of the log is its own, and not that its caller has left.
func TestLogThatPanics(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := new(kit.Log)
		p := follow(log)
		ctx, leave := context.WithCancel(t.Context())
		log.Fault(func(context.Context, string) error { leave(); panic("broken") })
		err := p.Append(ctx, feed.Record{Until: until()})
		require.ErrorIs(t, err, guard.PanicError{Type: "string"})
		require.NotErrorIs(t, err, context.Canceled)
	})
}

// When the log is read from the beginning.
func TestFromTheBeginning(t *testing.T) {
	for _, tc := range []struct {
		name  string
		wants bool // somebody has asked for it
		later time.Duration
		whole bool
	}{
		{name: "nobody has asked", later: feed.Beat},
		{name: "a moment before the time", wants: true, later: feed.Beat - 1},
		{name: "at the time", wants: true, later: feed.Beat, whole: true},
		{name: "a moment before all do", later: feed.Again - 1},
		{name: "all do", later: feed.Again, whole: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				p := follow(new(kit.Log))
				require.True(t, p.looks(t))
				require.Equal(t, 1, p.whole)
				if tc.wants {
					p.Restart()
				}
				require.False(t, p.looks(t), "not at once")
				time.Sleep(tc.later)
				require.Equal(t, tc.whole, p.looks(t))
				require.Equal(t, p.begun, p.whole)
				if tc.whole {
					time.Sleep(feed.Beat)
					require.False(t, p.looks(t), "once")
					return
				}
				time.Sleep(time.Nanosecond)
				require.Equal(t, tc.later != feed.Beat, p.looks(t), "it is not forgotten")
			})
		})
	}
}

// A number that was passed over has the log read again, and the process is asked to do the
// same, once.
func TestNumbers(t *testing.T) {
	const a, b = "process1", "process2"
	type records = [][]byte
	for _, tc := range []struct {
		name   string
		first  records // in the first reading
		then   records // in the one behind it
		again  records // in the next reading from the beginning
		missed string  // whose
	}{
		{name: "the first of a process", then: records{record('k', a, 1, "")}},
		{name: "the second of a process", then: records{record('k', a, 2, "")}, missed: a},
		{name: "of another kind", then: records{record('l', a, 2, "")}, missed: a},
		{name: "a heartbeat of one that has said nothing", then: records{record('h', a, 0, "")}},
		{name: "a heartbeat of one that has said something", then: records{record('h', a, 1, "")}, missed: a},
		{name: "the first reading begins somewhere", first: records{record('k', a, 7, "")}},
		{name: "the first reading has lost some that have ended", first: records{record('k', a, 7, ""), record('k', a, 9, "")}},
		{name: "the next one", first: records{record('k', a, 7, "")}, then: records{record('k', a, 8, "")}},
		{name: "the next but one", first: records{record('k', a, 7, "")}, then: records{record('k', a, 9, "")}, missed: a},
		{name: "a heartbeat behind it", first: records{record('k', a, 7, "")}, then: records{record('h', a, 7, "")}},
		{name: "a heartbeat behind the next one", first: records{record('k', a, 7, "")}, then: records{record('h', a, 8, "")}, missed: a},
		{name: "it comes again", first: records{record('k', a, 7, "")}, then: records{record('k', a, 7, ""), record('k', a, 8, "")}},
		{name: "an older one comes again", first: records{record('k', a, 7, "")}, then: records{record('k', a, 6, ""), record('k', a, 8, "")}},
		{name: "read again, the next one", first: records{record('k', a, 7, "")}, again: records{record('k', a, 8, "")}},
		{name: "read again, the next but one", first: records{record('k', a, 7, "")}, again: records{record('k', a, 9, "")}, missed: a},
		{name: "read again, somebody new", first: records{record('k', a, 7, "")}, again: records{record('k', b, 9, "")}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				log := new(kit.Log)
				put := func(all records) {
					for _, d := range all {
						log.Put(d, until())
					}
				}
				p := follow(log)
				put(tc.first)
				p.looks(t)
				require.Equal(t, time.Now().UnixNano(), p.Heard().UnixNano())
				time.Sleep(time.Nanosecond)
				put(tc.then)
				require.False(t, p.looks(t))
				if tc.again != nil {
					time.Sleep(feed.Again)
					put(tc.again)
					require.True(t, p.looks(t))
				}
				require.Equal(t, tc.missed == "", p.Heard().Equal(time.Now()))
				asked := func() string {
					time.Sleep(feed.Beat)
					require.Equal(t, tc.missed != "", p.looks(t))
					data := log.Data()
					last := data[len(data)-1]
					require.Equal(t, byte('h'), last[1])
					require.Equal(t, time.Now().UnixNano(), p.Heard().UnixNano())
					return string(last[26+16:])
				}
				require.Equal(t, tc.missed, asked())
				tc.missed = ""
				require.Empty(t, asked(), "once")
			})
		})
	}
}

// A heartbeat asks this process to read again, if it names it.
func TestAsked(t *testing.T) {
	const name = "a name of 16 ..."
	for _, tc := range []struct {
		name  string
		asked func(self string) string
		whole bool
	}{
		{name: "nobody", asked: func(string) string { return name }},
		{name: "this one", asked: func(self string) string { return name + self }, whole: true},
		{name: "this one too", asked: func(self string) string { return name + "process2" + self }, whole: true},
		{name: "another one", asked: func(string) string { return name + "process2" }},
		{name: "half of it", asked: func(self string) string { return name + self[:7] }},
		{name: "its name is like this one", asked: func(self string) string { return self + self }},
		{name: "its name is half as long", asked: func(self string) string { return self }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				log := new(kit.Log)
				p := follow(log)
				p.looks(t)
				log.Put(record('h', "process1", 0, tc.asked(string(log.Data()[0][2:10]))), until())
				require.False(t, p.looks(t))
				time.Sleep(feed.Beat)
				require.Equal(t, tc.whole, p.looks(t))
			})
		})
	}
}

// One heartbeat asks a hundred processes, and the others are asked never: they read again by
// themselves.
func TestAsksNotTooMany(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := new(kit.Log)
		p := follow(log)
		p.looks(t)
		for i := range 101 {
			log.Put(record('k', nth(i), 2, ""), until())
		}
		p.looks(t)
		time.Sleep(feed.Beat)
		p.looks(t)
		data := log.Data()
		require.Len(t, data[len(data)-1], 26+16+100*8)
	})
}

func nth(i int) string { return fmt.Sprintf("p%07d", i) }

// The numbers of 10,000 processes are remembered.
func TestManyProcesses(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := new(kit.Log)
		p := follow(log)
		for i := range 10_001 {
			log.Put(record('k', nth(i), 1, ""), until())
		}
		heard := func() bool {
			time.Sleep(time.Nanosecond)
			p.looks(t)
			return p.Heard().Equal(time.Now())
		}
		require.True(t, heard())
		log.Put(record('k', nth(9_999), 2, ""), until())
		log.Put(record('k', nth(9_999), 3, ""), until())
		require.True(t, heard())
		log.Put(record('k', nth(10_000), 2, ""), until())
		require.False(t, heard(), "this one is one too many")
	})
}

// breakOff has a reading from the beginning fail at its end.
func breakOff(t *testing.T, p *process, log *kit.Log) {
	t.Helper()
	reads := 0
	log.Fault(func(_ context.Context, call string) error {
		if call == "Read" {
			reads++
		}
		if reads == 2 {
			return errDown
		}
		return nil
	})
	require.ErrorIs(t, p.Look(t.Context()), errDown)
	log.Fault(nil)
}

// What a reading has seen that broke off is known in the next, and what was known before it
// still is.
func TestNumbersAfterABreak(t *testing.T) {
	for _, tc := range []struct {
		name   string
		data   []byte
		missed bool
	}{
		{name: "known before, the next one", data: record('k', "process1", 4, "")},
		{name: "known before, the next but one", data: record('k', "process1", 5, ""), missed: true},
		{name: "seen then, the next one", data: record('k', "process2", 8, "")},
		{name: "seen then, the next but one", data: record('k', "process2", 9, ""), missed: true},
		{name: "somebody new", data: record('k', "process3", 9, "")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				log := new(kit.Log)
				p := follow(log)
				log.Put(record('k', "process1", 3, ""), until())
				p.looks(t)
				time.Sleep(feed.Again - feed.Interval)
				p.looks(t)
				time.Sleep(feed.Interval)
				log.Lose(100)
				log.Put(record('k', "process2", 7, ""), until())
				breakOff(t, p, log)
				time.Sleep(time.Second)
				log.Lose(100)
				log.Put(tc.data, until())
				require.True(t, p.looks(t))
				require.Equal(t, tc.missed, !p.Heard().Equal(time.Now()))
				time.Sleep(feed.Beat)
				require.Equal(t, tc.missed, p.looks(t))
				time.Sleep(feed.Again)
				log.Lose(100)
				log.Put(record('k', "process1", 9, ""), until())
				require.True(t, p.looks(t))
				require.Equal(t, tc.data[9] != '1', p.Heard().Equal(time.Now()), "who was not there in the last reading is dead")
			})
		})
	}
}

// No more than 10,000 are known after that either.
func TestManyProcessesAfterABreak(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := new(kit.Log)
		p := follow(log)
		for i := range 9_999 { // and p itself
			log.Put(record('k', nth(i), 1, ""), until())
		}
		p.looks(t)
		time.Sleep(feed.Again - feed.Interval)
		p.looks(t)
		time.Sleep(feed.Interval)
		log.Lose(20_000)
		log.Put(record('k', nth(0), 2, ""), until())
		log.Put(record('k', "process1", 5, ""), until())
		breakOff(t, p, log)
		time.Sleep(time.Second)
		log.Lose(100)
		log.Put(record('k', nth(0), 3, ""), until())
		log.Put(record('k', "process1", 7, ""), until())
		require.True(t, p.looks(t))
		require.True(t, p.Heard().Equal(time.Now()), "this one is one too many, and the others are as ever")
	})
}

// What was heard counts up to the last heartbeat that has come back.
func TestAge(t *testing.T) {
	for _, tc := range []struct {
		name  string
		fault func(log *kit.Log)
		fails time.Duration // when a look does
		heard time.Duration // and what had been heard then
	}{
		{name: "heartbeats are lost", fault: func(log *kit.Log) { log.CutOff(true) }, fails: 10 * time.Second},
		{name: "heartbeats are lost, and those of others are not", fails: 10 * time.Second, fault: func(log *kit.Log) {
			log.CutOff(true)
			time.AfterFunc(2*time.Second, func() { log.Put(record('h', "process1", 0, "a name of 16 ..."), until()) })
		}},
		{name: "nothing can be appended", fails: 5 * time.Second, fault: func(log *kit.Log) {
			log.Fault(func(_ context.Context, call string) error {
				if call == "Append" {
					return errDown
				}
				return nil
			})
		}},
		{name: "it is down", fails: 5 * time.Second, heard: 4*time.Second + 1, fault: func(log *kit.Log) {
			at := time.Now().Add(time.Second)
			log.Fault(func(context.Context, string) error {
				if time.Now().Before(at) {
					return nil
				}
				return errDown
			})
		}},
		{name: "nothing can be read", fails: 4*time.Second + 1, heard: 4 * time.Second, fault: func(log *kit.Log) {
			log.Fault(func(_ context.Context, call string) error {
				if call == "Read" {
					return errDown
				}
				return nil
			})
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				log := new(kit.Log)
				p := follow(log)
				require.Greater(t, p.Age(time.Now()), 1000*time.Hour)
				require.True(t, p.Heard().IsZero())
				start := time.Now()
				p.looks(t)
				time.Sleep(4 * time.Second)
				require.Equal(t, 4*time.Second, p.Age(time.Now()))
				p.looks(t)
				require.Zero(t, p.Age(time.Now()))
				require.Equal(t, 1, log.Calls("Append"), "not yet another heartbeat")
				tc.fault(log)
				for _, at := range []time.Duration{4*time.Second + 1, 5 * time.Second, 10*time.Second - 1, 10 * time.Second} {
					time.Sleep(time.Until(start.Add(at)))
					if at == tc.fails {
						require.Error(t, p.Look(t.Context()))
						break
					}
					require.False(t, p.looks(t))
					if at < 5*time.Second {
						require.Zero(t, p.Age(time.Now()))
					} else {
						require.Equal(t, at-4*time.Second-1, p.Age(time.Now()), "as of the look before the heartbeat")
					}
				}
				require.Equal(t, tc.heard, p.Heard().Sub(start.Round(0)))
				require.Equal(t, tc.fails-tc.heard, p.Age(time.Now()))
				log.CutOff(false)
				log.Fault(nil)
				require.True(t, p.looks(t))
				require.Zero(t, p.Age(time.Now()))
			})
		})
	}
}

// A log that is read for so long that a heartbeat would have ended is not one that has lost it.
func TestSlowLog(t *testing.T) {
	for _, tc := range []struct {
		name  string
		reads int // each takes a second
		lost  bool
		heard bool // after the first look
		fails bool // at the next heartbeat's time
	}{
		{name: "long, and the heartbeat is lost", reads: 5, lost: true, fails: true},
		{name: "long, and the heartbeat is there", reads: 5, heard: true},
		{name: "not as long, and the heartbeat is lost", reads: 4, lost: true, fails: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				log := new(kit.Log)
				slow := scripted{append: func(context.Context) error { return nil }}
				reads := 0
				slow.read = func(ctx context.Context, after string) ([][]byte, string, error) {
					reads++
					if reads <= tc.reads {
						time.Sleep(time.Second)
					}
					if reads < tc.reads {
						return [][]byte{record('k', "process1", uint64(reads), "")}, fmt.Sprint("page ", reads), nil
					}
					data, next, err := log.Read(ctx, strings.TrimPrefix(after, fmt.Sprint("page ", tc.reads-1)), 500)
					if next == "" {
						next = after
					}
					return data, next, err
				}
				p := follow(appendsTo{slow, log})
				log.CutOff(tc.lost)
				start := time.Now()
				require.True(t, p.looks(t))
				require.Equal(t, 1, p.whole)
				require.Equal(t, tc.heard, p.Heard().Equal(start))
				log.CutOff(false)
				time.Sleep(time.Until(start.Add(feed.Beat)))
				if tc.fails {
					require.Error(t, p.Look(t.Context()))
					return
				}
				require.False(t, p.looks(t))
				require.Equal(t, 2, log.Calls("Append"))
				require.True(t, p.Heard().Equal(time.Now()))
			})
		})
	}
}

// long is a log that gives one record at a time, and takes a second for each of the first, or
// the pause.
type long struct {
	kit.Log
	first int
	read  func(first bool)
	pause time.Duration
	gone  bool // the places behind the first
}

func (l *long) Read(ctx context.Context, after string, _ int) ([][]byte, string, error) {
	place, _ := strconv.Atoi(after) // "" is 0
	if l.read(place < l.first); l.gone && place >= l.first {
		return nil, "", errDown
	}
	if place < l.first {
		time.Sleep(cmp.Or(l.pause, time.Second))
	}
	return l.Log.Read(ctx, after, 1)
}

// filled has as many records that take long.
func filled(n int) *long {
	log := &long{first: n, read: func(bool) {}}
	for i := range n {
		log.Put(record('k', "process1", uint64(i+1), ""), until())
	}
	return log
}

// While the log is read again although nothing is wrong, however long that takes, what is new
// is heard as before, and what goes wrong is noticed. After an error, nothing is known before
// the end.
func TestLongLogIsReadAgain(t *testing.T) {
	const n = 100 // seconds
	for _, tc := range []struct {
		name        string
		failed      bool            // before it
		fault       func(log *long) // in the middle of it
		fails       bool            // and so does the look
		least, most time.Duration   // the greatest age until its end
	}{
		{name: "nothing is wrong", least: time.Second, most: 2 * time.Second},
		{name: "after an error", failed: true, least: feed.Again, most: feed.Again + time.Minute},
		{name: "after an error, and then nothing can be appended", failed: true, fails: true, least: 4 * time.Minute, most: feed.Again, fault: func(log *long) {
			log.Fault(func(_ context.Context, call string) error {
				if call == "Append" {
					return errDown
				}
				return nil
			})
		}},
		{name: "heartbeats are lost", fault: func(log *long) { log.CutOff(true) }, fails: true, least: 5 * time.Second, most: 12 * time.Second},
		{name: "nothing can be appended", fails: true, least: 5 * time.Second, most: 12 * time.Second, fault: func(log *long) {
			log.Fault(func(_ context.Context, call string) error {
				if call == "Append" {
					return errDown
				}
				return nil
			})
		}},
		{name: "its place is gone", fault: func(log *long) { log.gone = true }, fails: true, least: time.Second, most: 2 * time.Second},
		{name: "it is down", fault: func(log *long) { log.Fault(func(context.Context, string) error { return errDown }) }, fails: true, least: time.Second, most: 2 * time.Second},
		{name: "a number is passed over", least: n / 2 * time.Second, most: n * time.Second, fault: func(log *long) {
			log.Put(record('k', "process1", n+2, "new"), until())
		}},
		{name: "one of a new process is passed over", least: n / 2 * time.Second, most: n * time.Second, fault: func(log *long) {
			log.Put(record('k', "process2", 2, "new"), until())
		}},
		{name: "none is passed over", least: time.Second, most: 2 * time.Second, fault: func(log *long) {
			log.Put(record('k', "process1", n+1, "new"), until())
			log.Put(record('k', "process2", 1, "new"), until())
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				log := filled(n)
				p := follow(log)
				start := time.Now()
				require.True(t, p.looks(t))
				require.False(t, p.looks(t), "the first heartbeat has ended before it was reached")
				time.Sleep(time.Until(start.Add(feed.Again - time.Second)))
				if tc.failed {
					log.Fault(func(context.Context, string) error { return errDown })
					require.Error(t, p.Look(t.Context()))
					log.Fault(nil)
				} else {
					require.False(t, p.looks(t))
				}
				time.Sleep(time.Second)
				reads, greatest := 0, time.Duration(0)
				again := time.Now()
				log.read = func(first bool) {
					greatest = max(greatest, p.Age(time.Now()))
					if !first {
						return
					}
					if reads++; reads == n/2 && tc.fault != nil {
						tc.fault(log)
					}
				}
				require.Equal(t, tc.fails, p.Look(t.Context()) != nil)
				greatest = max(greatest, p.Age(time.Now()))
				require.GreaterOrEqual(t, greatest, tc.least)
				require.LessOrEqual(t, greatest, tc.most)
				require.Equal(t, 2, p.begun)
				require.Equal(t, tc.fails, p.whole == 1)
				if tc.fails {
					require.Less(t, time.Since(again), (n/2+10)*time.Second)
					return
				}
				require.Equal(t, n, reads)
			})
		})
	}
}

// failsOver is long, and says as a store does when a place is not there any more.
type failsOver struct {
	long
	behind func()          // before what is behind the first ones is read
	valid  map[string]bool // the places that were given since; nil: it has not failed over
}

func (l *failsOver) Read(ctx context.Context, after string, limit int) ([][]byte, string, error) {
	if after == strconv.Itoa(l.first) {
		l.behind()
	}
	if at, _ := strconv.Atoi(after); l.valid != nil && at > l.first && !l.valid[after] {
		return nil, "", errDown
	}
	data, next, err := l.long.Read(ctx, after, limit)
	if l.valid != nil {
		l.valid[next] = true
	}
	return data, next, err
}

// What was read ahead, while the log was read again, may be lost before that reading ends: then
// its place is not there any more, and the log is read once more.
func TestWhatWasReadAheadIsLost(t *testing.T) {
	t.Run("before it ends", func(t *testing.T) { readAheadIsLost(t, true) })
	t.Run("after it", func(t *testing.T) { readAheadIsLost(t, false) })
}

func readAheadIsLost(t *testing.T, before bool) {
	t.Helper()
	bubble.Test(t, func(t *testing.T) {
		const n = 22
		log := &failsOver{behind: func() {}}
		fill := func() {
			for i := range n {
				log.Put(record('k', "process1", uint64(i+1), ""), until())
			}
		}
		log.first, log.read = n, func(bool) {}
		fill()
		p := follow(log)
		start := time.Now()
		p.looks(t)
		time.Sleep(time.Until(start.Add(feed.Again - time.Second)))
		p.looks(t)
		time.Sleep(time.Second)
		reads := 0
		log.read = func(first bool) {
			if first {
				reads++
			}
			if reads == n-1 {
				reads++
				log.Put(record('k', "process1", n+1, "lost"), until()) // it is read ahead before the last page
			}
		}
		fails := func() {
			require.Contains(t, p.taken, "lost")
			log.Lose(1000)
			fill()
			log.valid = map[string]bool{}
		}
		log.behind = func() {
			if before && log.valid == nil && reads >= n {
				fails()
			}
		}
		err := p.Look(t.Context())
		if !before {
			require.NoError(t, err)
			fails()
			err = p.Look(t.Context())
		}
		require.ErrorIs(t, err, errDown)
		require.NotNil(t, log.valid)
	})
}

// What was read ahead is not read once more after the reading.
func TestWhatWasReadAheadIsReadOnce(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		reads, put := 0, false
		log := &long{first: 2, read: func(bool) {}}
		log.Put(record('k', "process1", 1, ""), until())
		log.Put(record('k', "process1", 2, ""), until())
		p := follow(log)
		p.looks(t)
		time.Sleep(feed.Beat)
		log.read = func(first bool) {
			if reads++; first && !put {
				put = true
				log.Put(record('k', "process1", 3, "new"), until()) // behind the heartbeat at which the reading ends
			}
		}
		p.Restart()
		require.True(t, p.looks(t))
		require.Contains(t, p.taken, "new")
		reads = 0
		require.False(t, p.looks(t))
		require.Equal(t, 1, reads)
	})
}

// Whoever gives up while the log is read again breaks that off, and no more: what is new is heard
// as before, and the reading goes on.
func TestWhoLooksMayLeave(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		const n = 60 // seconds
		var p *process
		var counts atomic.Bool
		reads, worst := 0, time.Duration(0)
		log := &long{first: n, read: func(first bool) {
			if !counts.Load() {
				return
			}
			if worst = max(worst, p.Age(time.Now())); first {
				reads++
			}
		}}
		for i := range n {
			log.Put(record('k', "process1", uint64(i+1), ""), until())
		}
		p = follow(log)
		p.looksUntilAgain(t)
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		require.ErrorIs(t, p.Look(ctx), context.DeadlineExceeded)
		require.Equal(t, []int{2, 1}, []int{p.begun, p.whole})
		counts.Store(true)
		p.Restart()
		require.False(t, p.looks(t), "it does not begin once more")
		require.Equal(t, 2, p.whole)
		require.Less(t, reads, n)
		require.Less(t, worst, 4*time.Second)
		require.True(t, p.events[len(p.events)-1].Whole)
	})
}

// What is in doubt is read again, and until the end of that nothing is heard.
func TestNothingIsHeardWhileInDoubt(t *testing.T) {
	const n = 20 // seconds
	for _, tc := range []struct {
		name string
		put  func(log *long)
		age  time.Duration // at the end, at least
	}{
		{name: "a number was passed over", put: func(log *long) { log.Put(record('k', "process1", n+2, ""), until()) }, age: n * time.Second},
		{name: "another process has missed one", put: func(log *long) {
			data := log.Data()
			self := string(data[len(data)-1][2:10])
			log.Put(record('h', "process2", 0, strings.Repeat("x", 16)+self), until())
		}, age: n * time.Second},
		{name: "nothing, and it is read again", put: func(*long) {}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				log := filled(n)
				p := follow(log)
				p.looks(t)
				tc.put(log)
				require.False(t, p.looks(t))
				time.Sleep(feed.Beat - time.Nanosecond)
				require.False(t, p.looks(t), "not so soon")
				time.Sleep(time.Nanosecond)
				p.Restart()
				worst := time.Duration(0)
				log.read = func(bool) { worst = max(worst, p.Age(time.Now())) }
				require.True(t, p.looks(t))
				require.GreaterOrEqual(t, worst, tc.age)
				require.True(t, tc.age > 0 || worst < 2*time.Second)
				require.Less(t, p.Age(time.Now()), 2*time.Second)
			})
		})
	}
}

// A reading that begins because of an error needs no other one after it for what was in doubt
// before.
func TestErrorAfterAMiss(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := new(kit.Log)
		log.Put(record('k', "process1", 1, ""), until())
		p := follow(log)
		p.looks(t)
		log.Put(record('k', "process1", 3, ""), until())
		require.False(t, p.looks(t))
		log.Fault(func(context.Context, string) error { return errDown })
		time.Sleep(time.Second)
		require.ErrorIs(t, p.Look(t.Context()), errDown)
		log.Fault(nil)
		require.True(t, p.looks(t))
		require.True(t, p.Heard().Equal(time.Now()))
		time.Sleep(2 * feed.Beat)
		require.False(t, p.looks(t))
	})
}

// An empty log that does not give back what is appended is not heard, and says so each Beat.
func TestEmptyAndDeaf(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		appends := 0
		p := follow(scripted{
			append: func(context.Context) error { appends++; return nil },
			read:   func(context.Context, string) ([][]byte, string, error) { return nil, "", nil },
		})
		for i := range 30 {
			err := p.Look(t.Context())
			require.Equal(t, i%10 == 0 && i > 0, err != nil, "at %v", time.Duration(i)*feed.Interval)
			if err != nil {
				require.NoError(t, p.Look(t.Context()))
			}
			time.Sleep(feed.Interval)
		}
		require.Equal(t, 3, appends)
		require.True(t, p.Heard().IsZero())
	})
}

// Nothing begins before a heartbeat was appended.
func TestNoHeartbeat(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := new(kit.Log)
		log.Fault(func(_ context.Context, call string) error {
			if call == "Append" {
				return errDown
			}
			return nil
		})
		p := follow(log)
		require.ErrorIs(t, p.Look(t.Context()), errDown)
		require.Equal(t, []int{0, 1}, []int{p.begun, log.Calls("Append")})
	})
}

// A look ends at the heartbeat that it has appended, and not at one of an earlier look.
func TestHeartbeatOfAnEarlierLook(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log, stale := new(kit.Log), false
		p := follow(appendsTo{log: log, scripted: scripted{read: func(ctx context.Context, after string) ([][]byte, string, error) {
			if stale {
				return nil, after, nil
			}
			return log.Read(ctx, after, 1)
		}}})
		p.looks(t)
		time.Sleep(feed.Beat)
		stale = true
		p.looks(t) // appends one, which is not read
		stale = false
		log.Put(record('k', "process1", 1, "later"), until())
		time.Sleep(time.Second)
		require.False(t, p.looks(t))
		require.Equal(t, 2, log.Calls("Append"))
		require.Equal(t, []string{"later"}, p.taken)
	})
}

// A page that is shorter than the one before it ends a look, and not a reading from the
// beginning. One as long does not.
func TestShorterPages(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := new(kit.Log)
		var limits []int
		p := follow(appendsTo{log: log, scripted: scripted{read: func(ctx context.Context, after string) ([][]byte, string, error) {
			limit := 500
			if len(limits) > 0 {
				limit, limits = limits[0], limits[1:]
			}
			return log.Read(ctx, after, limit)
		}}})
		put := func(n int) {
			for range n {
				log.Put(record('k', "process1", 0, "x"), until())
			}
		}
		put(6)
		limits = []int{3, 1, 2}
		require.True(t, p.looks(t))
		require.Equal(t, []int{6, 1, 0}, []int{len(p.taken), p.whole, len(limits)})
		put(6)
		limits = []int{2, 2, 1}
		time.Sleep(time.Second)
		require.False(t, p.looks(t))
		require.Len(t, p.taken, 11)
		require.False(t, p.Heard().Equal(time.Now()), "it has not come to the end")
		require.False(t, p.looks(t))
		require.Len(t, p.taken, 12)
		require.True(t, p.Heard().Equal(time.Now()))
	})
}

// Whoever is asked to read from the beginning does so once, however often it meets the heartbeat
// that asks. Another one is another matter.
func TestAskedOnce(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := new(kit.Log)
		p := follow(log)
		p.looks(t)
		self := string(log.Data()[0][2:10])
		readings := func(asks, from int) (n int) {
			for ask := range asks {
				log.Put(record('h', "process1", 0, fmt.Sprintf("%016d", from+ask)+self), time.Now().Add(80*time.Second))
			}
			begun := p.begun
			for range 200 {
				p.looks(t)
				time.Sleep(feed.Interval)
			}
			return p.begun - begun
		}
		require.Equal(t, 1, readings(150, 0))
		require.Equal(t, 1, readings(1, 150))
		require.Equal(t, 1, readings(9_849, 151), "as many as are remembered")
		require.Greater(t, readings(10_001, 10_000), 1, "and not more")
	})
}

// A heartbeat that is refused in the middle of a reading does not end it: another one is
// appended soon after.
func TestRefusedHeartbeatInALongReading(t *testing.T) {
	for _, tc := range []struct {
		name   string
		refuse func(call int) bool
		fails  bool
	}{
		{name: "none", refuse: func(int) bool { return false }},
		{name: "every second", refuse: func(call int) bool { return call%2 == 1 }},
		{name: "all but the first", refuse: func(call int) bool { return call > 0 }, fails: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				const n = 60 // seconds
				log, calls := &long{first: n, read: func(bool) {}}, 0
				for i := range n {
					log.Put(record('k', "process1", uint64(i+1), ""), until())
				}
				log.Fault(func(_ context.Context, call string) error {
					if call == "Append" {
						if calls++; tc.refuse(calls - 1) {
							return errDown
						}
					}
					return nil
				})
				p := follow(log)
				start := time.Now()
				err := p.Look(t.Context())
				require.Equal(t, []int{1, 0}, []int{p.begun, len(p.events) - 1})
				if tc.fails {
					require.ErrorIs(t, err, errDown)
					require.Less(t, time.Since(start), 13*time.Second, "but it does not go on for long")
					return
				}
				require.NoError(t, err)
				require.Equal(t, 1, p.whole)
				require.Less(t, p.Age(time.Now()), 8*time.Second)
			})
		})
	}
}

// While heartbeats are refused, in a long reading too, nothing more is heard.
func TestRefusedHeartbeatsWhileReadAhead(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		const n = 60 // seconds
		log := filled(n)
		p := follow(log)
		p.looksUntilAgain(t)
		begun := p.begun
		var since time.Time // the last heartbeat that was appended
		worst := time.Duration(0)
		log.read = func(bool) {
			if !since.IsZero() {
				worst = max(worst, time.Since(since)-p.Age(time.Now()))
			}
		}
		log.Fault(func(_ context.Context, call string) error {
			if call == "Append" {
				if !since.IsZero() {
					return errDown
				}
				since = time.Now()
			}
			return nil
		})
		time.Sleep(time.Second)
		for range 40 {
			_ = p.Look(t.Context())
			time.Sleep(feed.Interval)
		}
		require.Greater(t, p.begun, begun)
		// What is heard within a Beat of it may be believed, until the next one is due.
		require.LessOrEqual(t, worst, feed.Beat+time.Second)
	})
}

// While a look takes long, a heartbeat may not have come back although it is there: what was heard
// since the one before it is in doubt meanwhile.
func TestDoubtInALongLook(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := &long{read: func(bool) {}}
		log.Put(record('k', "process1", 1, ""), until())
		p := follow(log)
		p.looks(t)
		sure := time.Now()
		for range 9 {
			time.Sleep(feed.Interval)
			p.looks(t)
		}
		for i := range 9 {
			log.Put(record('k', "process1", uint64(i+2), ""), until())
		}
		log.first = 1000 // each page takes a second now
		time.Sleep(time.Until(sure.Add(feed.Beat)))
		ages := map[time.Duration]time.Duration{}
		log.read = func(bool) { ages[time.Since(sure)] = p.Age(time.Now()) }
		require.False(t, p.looks(t))
		require.Equal(t, 9*time.Second-9*feed.Interval, ages[9*time.Second], "%v", ages)
		require.Equal(t, 11*time.Second, ages[11*time.Second], "%v", ages)
		require.Less(t, p.Age(time.Now()), 7*time.Second)
	})
}

// A heartbeat that has not come back is in doubt also where the log is read again, or has failed,
// before the next one is due.
func TestStartingOverForgetsNoDoubt(t *testing.T) {
	for _, tc := range []struct {
		name  string
		again func(t *testing.T, p *process, log *kit.Log)
	}{
		{name: "it is read again", again: func(t *testing.T, p *process, _ *kit.Log) {
			t.Helper()
			p.Restart()
			require.True(t, p.looks(t))
		}},
		{name: "it has failed", again: func(t *testing.T, p *process, log *kit.Log) {
			t.Helper()
			log.Fault(func(context.Context, string) error { return errDown })
			require.ErrorIs(t, p.Look(t.Context()), errDown)
			log.Fault(nil)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				log := new(kit.Log)
				log.Put(record('k', "process1", 1, ""), until())
				p := follow(log)
				p.looks(t)
				cut := time.Now()
				log.CutOff(true)
				for time.Since(cut) < feed.Beat+4*feed.Interval {
					time.Sleep(feed.Interval)
					p.looks(t)
				}
				tc.again(t, p, log)
				require.Equal(t, time.Since(cut), p.Age(time.Now()))
			})
		})
	}
}

// A machine that has slept for long reads the log again, and needs no place in it for that.
func TestPlaceThatIsTooOld(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := &failsOver{behind: func() {}}
		log.first, log.read = 1, func(bool) {}
		log.Put(record('k', "process1", 1, ""), until())
		p := follow(log)
		p.looks(t)
		time.Sleep(feed.Again)
		log.valid = map[string]bool{} // the record at its place has ended
		require.True(t, p.looks(t))
		require.Less(t, p.Age(time.Now()), 2*time.Second)
	})
}

// Whoever leaves as the log begins to be read again takes nothing from that: what is new is
// heard by whoever comes next.
func TestWhoLeavesAtTheBeginning(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		const n = 30 // seconds
		log := filled(n)
		p := follow(log)
		p.looksUntilAgain(t)
		time.Sleep(time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		log.Fault(func(_ context.Context, call string) error {
			if call == "Append" {
				cancel()
				return context.Canceled
			}
			return nil
		})
		require.ErrorIs(t, p.Look(ctx), context.Canceled)
		require.Equal(t, 1, p.begun)
		log.Fault(nil)
		worst := time.Duration(0)
		log.read = func(bool) { worst = max(worst, p.Age(time.Now())) }
		require.True(t, p.looks(t))
		require.Less(t, worst, 3*time.Second)
	})
}

// Whoever leaves while a heartbeat is appended takes back nothing that was heard.
func TestWhoLeavesCausesNoDoubt(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := new(kit.Log)
		p := follow(log)
		for range 20 {
			for range 10 {
				p.looks(t)
				time.Sleep(feed.Interval)
			}
			ctx, cancel := context.WithCancel(t.Context())
			log.Fault(func(_ context.Context, call string) error {
				if call == "Append" {
					cancel()
					return context.Canceled
				}
				return nil
			})
			require.ErrorIs(t, p.Look(ctx), context.Canceled)
			log.Fault(nil)
			require.Less(t, p.Age(time.Now()), time.Second)
		}
	})
}

// tens gives ten records at a time, and takes a second.
type tens struct{ kit.Log }

func (l *tens) Read(ctx context.Context, after string, _ int) ([][]byte, string, error) {
	data, next, err := l.Log.Read(ctx, after, 10)
	select {
	case <-time.After(time.Second):
		return data, next, err
	case <-ctx.Done():
		return nil, "", ctx.Err()
	}
}

// Others append nearly as much as can be read. What is new comes first, also while the log is
// read again; and where there is always more, a look ends all the same.
func TestOthersAppendMuch(t *testing.T) {
	for _, tc := range []struct {
		every time.Duration
		most  time.Duration // the greatest age
		whole int           // readings that end, at least
	}{{time.Second / 2, 10 * time.Second, 4}, {time.Second / 4, 15 * time.Second, 4}, {time.Second / 6, 25 * time.Second, 1}} {
		t.Run(tc.every.String(), func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				log := new(tens)
				p := follow(log)
				ctx, cancel := context.WithCancel(t.Context())
				var wg sync.WaitGroup
				wg.Go(func() {
					for i := 0; ctx.Err() == nil; i++ {
						log.Put(record('k', "process1", uint64(i+1), ""), time.Now().Add(30*time.Second))
						time.Sleep(tc.every)
					}
				})
				turns := 0
				wg.Go(func() {
					_ = p.Run(ctx, func(context.Context) error { turns++; return nil })
				})
				time.Sleep(30 * time.Second)
				worst := time.Duration(0)
				for range 1200 {
					time.Sleep(time.Second)
					worst = max(worst, p.Age(time.Now()))
				}
				cancel()
				wg.Wait()
				require.Less(t, worst, tc.most)
				require.GreaterOrEqual(t, p.whole, tc.whole)
				require.Greater(t, turns, 60)
			})
		})
	}
}

// Where each page has fewer records than the one before, a look ends, and the next one comes half
// a second later: in a large fleet there would be no end, and all would read without a pause.
func TestReadsOfABusyLog(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log, reads := new(kit.Log), 0
		put := func(n int) {
			for range n {
				log.Put(record('h', "process1", 0, ""), until())
			}
		}
		p := follow(appendsTo{log: log, scripted: scripted{read: func(ctx context.Context, after string) ([][]byte, string, error) {
			if reads++; after != "" {
				put(3)
			}
			time.Sleep(10 * time.Millisecond)
			return log.Read(ctx, after, 500)
		}}})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _ = p.Run(ctx, func(context.Context) error { put(10); return nil }) })
		time.Sleep(time.Minute)
		cancel()
		wg.Wait()
		require.Less(t, reads, 300)
		require.Less(t, p.Age(time.Now()), 7*time.Second)
	})
}

// While a log is read again, what is new is looked for twice a second, and not after each page.
func TestHowOftenIsReadAhead(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		const n = 50 // 5 seconds
		ahead := 0
		log := &long{first: n, read: func(bool) {}, pause: 100 * time.Millisecond}
		for i := range n {
			log.Put(record('k', "process1", uint64(i+1), ""), until())
		}
		p := follow(log)
		p.looks(t)
		time.Sleep(feed.Beat)
		p.Restart()
		log.read = func(first bool) {
			if !first {
				ahead++
				time.Sleep(400 * time.Millisecond)
			}
		}
		require.True(t, p.looks(t))
		require.Less(t, ahead, 20)
		require.GreaterOrEqual(t, ahead, 10)
	})
}

// A record that was refused, or may have been, is missed by nobody; one before it still is.
func TestAFailedAppendIsNotMissed(t *testing.T) {
	for _, tc := range []struct {
		name   string
		lands  bool // what has failed is there all the same
		loses  bool // what had not failed is lost
		missed bool
	}{
		{name: "refused"},
		{name: "there all the same", lands: true},
		{name: "the one before is lost", loses: true, missed: true},
		{name: "the one before is lost, and it is there", lands: true, loses: true, missed: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				log := new(kit.Log)
				p, writer := follow(log), follow(log)
				writer.looks(t)
				p.looks(t)
				require.NoError(t, writer.Append(t.Context(), feed.Record{Data: []byte("good"), Until: until()}))
				if tc.loses {
					log.Lose(1)
				}
				log.Fault(func(_ context.Context, call string) error {
					if call == "Append" {
						return errDown
					}
					return nil
				})
				require.ErrorIs(t, writer.Append(t.Context(), feed.Record{Data: []byte("bad"), Until: until()}), errDown)
				log.Fault(nil)
				if tc.lands {
					d := log.Data()
					log.Put(recordAfter('k', string(d[0][2:10]), 1, 2, "bad"), until())
				}
				require.NoError(t, writer.Append(t.Context(), feed.Record{Data: []byte("better"), Until: until()}))
				time.Sleep(time.Second)
				require.False(t, p.looks(t))
				require.Contains(t, p.taken, "better")
				require.Equal(t, tc.missed, !p.Heard().Equal(time.Now()))
				time.Sleep(feed.Beat)
				require.Equal(t, tc.missed, p.looks(t))
			})
		})
	}
}

// appendsTo reads the one log and appends to the other.
type appendsTo struct {
	scripted
	log *kit.Log
}

func (a appendsTo) Append(ctx context.Context, records ...feed.Record) error {
	return a.log.Append(ctx, records...)
}

// Where a log says that it ends is where it is read on; records without a place behind them
// would be read for ever.
func TestPlaces(t *testing.T) {
	type answer struct {
		data int
		next string
	}
	for _, tc := range []struct {
		name    string
		answers map[string]answer
		places  []string // that two looks ask for
		fails   bool
	}{
		{name: "as it should be", answers: map[string]answer{"": {1, "a"}, "a": {1, "b"}, "b": {0, "b"}}, places: []string{"", "a", "b", "b"}},
		{name: "it does not say where it ends", answers: map[string]answer{"": {1, "a"}, "a": {0, ""}}, places: []string{"", "a", "a"}},
		{name: "it is empty, and has a place", answers: map[string]answer{"": {0, "a"}, "a": {0, "a"}}, places: []string{"", "a"}},
		{name: "it is empty", answers: map[string]answer{"": {0, ""}}, places: []string{"", ""}},
		{name: "the same place", answers: map[string]answer{"": {1, "a"}, "a": {1, "a"}}, places: []string{"", "a"}, fails: true},
		{name: "no place", answers: map[string]answer{"": {1, ""}}, places: []string{""}, fails: true},
		{name: "no place, later", answers: map[string]answer{"": {1, "a"}, "a": {1, ""}}, places: []string{"", "a"}, fails: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				var places []string
				log := scripted{append: func(context.Context) error { return nil }}
				log.read = func(_ context.Context, after string) ([][]byte, string, error) {
					places = append(places, after)
					a := tc.answers[after]
					return make([][]byte, a.data), a.next, nil
				}
				p := follow(log)
				err := p.Look(t.Context())
				require.Equal(t, tc.fails, err != nil)
				if !tc.fails {
					require.NoError(t, p.Look(t.Context()))
				}
				require.Equal(t, tc.places, places)
			})
		})
	}
}

// Run looks twice a second, less often while that fails.
func TestRun(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := new(kit.Log)
		p := follow(log)
		const rounds, fails = 200, 4
		var times []time.Time
		ctx, cancel := context.WithCancel(t.Context())
		require.NoError(t, p.Run(ctx, func(context.Context) error {
			require.ErrorIs(t, p.Run(ctx, nil), feed.ErrRunning)
			times = append(times, time.Now())
			switch n := len(times) % (fails + 2); {
			case len(times) == rounds*(fails+2):
				cancel()
				return nil
			case n >= 2:
				return errDown
			}
			return nil
		}))
		require.Len(t, times, rounds*(fails+2))
		pauses := map[time.Duration][]time.Duration{}
		for i := 1; i < len(times); i++ {
			expected := []time.Duration{feed.Interval, feed.Interval, time.Second, 2 * time.Second, 2 * time.Second, 2 * time.Second}[i%(fails+2)]
			pauses[expected] = append(pauses[expected], times[i].Sub(times[i-1]))
		}
		require.Len(t, pauses, 3)
		for expected, all := range pauses {
			var shorter, longer bool
			for _, pause := range all {
				require.GreaterOrEqual(t, pause, expected*8/10)
				require.LessOrEqual(t, pause, expected*12/10)
				shorter, longer = shorter || pause < expected*85/100, longer || pause > expected*115/100
			}
			require.True(t, shorter && longer, "they differ by a fifth")
		}

		ctx, cancel = context.WithCancel(t.Context())
		log.Fault(func(context.Context, string) error { return errDown })
		time.AfterFunc(time.Minute, cancel)
		require.NoError(t, p.Run(ctx, func(context.Context) error {
			require.Fail(t, "nothing was read")
			return nil
		}), "it can run again")
		require.ErrorIs(t, p.events[len(p.events)-1].Err, errDown)
	})
}
