package revocation_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/guard"
	"github.com/bearergate/bearergate/revocation"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/bearergate/bearergate/test/kit"
)

// process is one of a fleet.
type process struct {
	*revocation.List

	end   func() // of its Run
	ended <-chan error

	mu    sync.Mutex // guards what follows
	syncs []revocation.SyncEvent
	put   int
}

// start starts one.
func start(t *testing.T, log revocation.Log, change func(*revocation.Config)) *process {
	t.Helper()
	p := &process{}
	p.List = newList(t, func(c *revocation.Config) {
		c.Log = log
		c.Hooks.Synced = func(_ context.Context, e revocation.SyncEvent) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.syncs = append(p.syncs, e)
		}
		c.Hooks.PutBack = func(_ context.Context, e revocation.PutBackEvent) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.put += e.Entries
		}
		if change != nil {
			change(c)
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	p.end, p.ended = cancel, ended
	go func() { ended <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
	})
	return p
}

func (p *process) putBack() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.put
}

// readings is how often the log was read from the beginning.
func (p *process) readings() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.syncs {
		if e.Whole {
			n++
		}
	}
	return n
}

// fleet starts n processes that know the whole log.
func fleet(t *testing.T, log revocation.Log, n int) []*process {
	t.Helper()
	var all []*process
	for range n {
		all = append(all, start(t, log, nil))
	}
	for _, p := range all {
		require.NoError(t, p.Warm(t.Context()))
	}
	return all
}

// alice is an Entry that no token of hers escapes, whenever it was issued.
func alice() revocation.Entry {
	return revocation.Entry{Issuer: issuer, Subject: "alice", Session: "s1"}
}

// bob is a token that alice does not matter to.
func bob() *bearergate.Token { return token(func(c *bearergate.Claims) { c.Subject = "bob" }) }

func requireUnavailable(t *testing.T, err error) {
	t.Helper()
	kit.RequireError(t, err, bearergate.ErrUnavailable, bearergate.ReasonStoreUnavailable)
}

// What one process is told, all know within a second, and one that starts later too.
//
// req: FLT-05
func TestAFleetHearsOfIt(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := new(kit.Log)
		all := fleet(t, log, 4)
		require.NoError(t, all[0].Add(t.Context(), alice()))
		requireRevoked(t, all[0].Check(t.Context(), token(nil)))
		time.Sleep(time.Second)
		all = append(all, fleet(t, log, 1)...)
		for _, p := range all {
			requireRevoked(t, p.Check(t.Context(), token(nil)))
			require.NoError(t, p.Check(t.Context(), token(func(c *bearergate.Claims) { c.Subject = "bob" })))
		}
		require.NoError(t, all[3].Lift(t.Context(), alice()))
		time.Sleep(time.Second)
		all = append(all, fleet(t, log, 1)...)
		for _, p := range all {
			require.NoError(t, p.Check(t.Context(), token(nil)))
			require.Equal(t, 1, p.Status().Lifted)
		}
	})
}

// Nobody knows what is revoked before the log was read, and 503 is what that is.
func TestBeforeTheFirstReading(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := new(kit.Log)
		l := newList(t, func(c *revocation.Config) { c.Log = log })
		err := l.Check(t.Context(), token(nil))
		requireUnavailable(t, err)
		require.ErrorContains(t, err, "call Warm, and Run", "what operators have to do")
		require.False(t, l.Status().Ready)
		require.EqualValues(t, -1, l.Status().Lag)
		require.NoError(t, l.Add(t.Context(), alice()), "it can be told already")
		requireRevoked(t, l.Check(t.Context(), token(nil)))
		log.Fault(func(context.Context, string) error { return errors.New("down") })
		requireUnavailable(t, l.Warm(t.Context()))
		requireUnavailable(t, l.Check(t.Context(), bob()))
		log.Fault(nil)
		require.NoError(t, l.Warm(t.Context()))
		require.NoError(t, l.Check(t.Context(), bob()))
		require.True(t, l.Status().Ready)
	})
}

// At MaxLag since it has heard of the others, to the nanosecond, a process does not know any
// more what is revoked.
func TestMaxLag(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		l := newList(t, func(c *revocation.Config) { c.Log, c.MaxLag = new(kit.Log), time.Minute })
		require.NoError(t, l.Warm(t.Context()))
		time.Sleep(time.Minute - 1)
		require.NoError(t, l.Check(t.Context(), token(nil)))
		require.True(t, l.Status().Ready)
		time.Sleep(time.Nanosecond)
		err := l.Check(t.Context(), token(nil))
		requireUnavailable(t, err)
		require.ErrorContains(t, err, "whether Run is running", "what operators have to look at")
		require.False(t, l.Status().Ready)
	})
}

// What two readings in a row have not met is known not to be in the log.
func TestUnlogged(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := new(kit.Log)
		l := newList(t, func(c *revocation.Config) { c.Log = log }) // without Run, nobody puts anything back
		require.NoError(t, l.Warm(t.Context()))
		require.NoError(t, l.Add(t.Context(), alice()))
		log.Lose(1 << 20)
		for _, want := range []int{0, 1, 1} {
			log.Fault(failing("Read"))
			requireUnavailable(t, l.Warm(t.Context()))
			log.Fault(nil)
			require.NoError(t, l.Warm(t.Context()), "from the beginning")
			require.Equal(t, want, l.Status().Unlogged)
		}
	})
}

// While the log is down, tokens are served for MaxLag and then answered 503, never 401 and
// never a pass; what is known to be revoked stays refused. It heals by itself.
//
// req: FLT-07
// W2-200.
func TestLag(t *testing.T) {
	faults := map[string]func(*kit.Log, bool){
		"errors": func(l *kit.Log, on bool) {
			l.Fault(when(on, func(context.Context, string) error { return errors.New("down") }))
		},
		"hangs":        func(l *kit.Log, on bool) { l.Fault(when(on, kit.Hang)) },
		"only appends": func(l *kit.Log, on bool) { l.Fault(when(on, failing("Read"))) },
		"only reads":   func(l *kit.Log, on bool) { l.Fault(when(on, failing("Append"))) },
		"is cut off":   func(l *kit.Log, on bool) { l.CutOff(on) },
		"panics":       func(l *kit.Log, on bool) { l.Fault(when(on, func(context.Context, string) error { panic("log") })) },
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				log := new(kit.Log)
				p := fleet(t, log, 1)[0]
				require.NoError(t, p.Add(t.Context(), alice()))
				time.Sleep(12 * time.Second) // between two heartbeats
				fault(log, true)
				since := time.Now()
				served := 29 * time.Second
				if name == "only reads" || name == "is cut off" { // since the last heartbeat that came back
					served = 24 * time.Second
				}
				time.Sleep(served)
				require.NoError(t, p.Check(t.Context(), bob()), "%v", p.Status())
				time.Sleep(time.Until(since.Add(31 * time.Second)))
				requireUnavailable(t, p.Check(t.Context(), bob()))
				requireRevoked(t, p.Check(t.Context(), token(nil)))
				require.Greater(t, p.Status().Lag, 30*time.Second)
				time.Sleep(time.Hour / 4)
				requireUnavailable(t, p.Check(t.Context(), bob()))
				fault(log, false)
				time.Sleep(11 * time.Second) // the longest pause, and what a hanging call takes
				require.NoError(t, p.Check(t.Context(), bob()), "%v", p.Status())
				requireRevoked(t, p.Check(t.Context(), token(nil)))
			})
		})
	}
}

func when[F any](on bool, f F) (none F) {
	if on {
		return f
	}
	return none
}

// failing is a fault of one method.
func failing(method string) func(context.Context, string) error {
	return func(_ context.Context, call string) error {
		if call == method {
			return errors.New("down")
		}
		return nil
	}
}

// A log that ignores its context keeps no more than a few goroutines, and nobody waits for
// it longer than is said.
func TestDeafLog(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := new(kit.Log)
		p := fleet(t, log, 1)[0]
		release := make(chan struct{})
		log.Fault(func(context.Context, string) error { <-release; return errors.New("late") })
		for range 40 {
			start := time.Now()
			requireUnavailable(t, p.Add(t.Context(), alice()))
			require.LessOrEqual(t, time.Since(start), 2100*time.Millisecond)
		}
		require.Less(t, log.Calls("Append")+log.Calls("Read"), 40)
		requireRevoked(t, p.Check(t.Context(), token(nil)))
		log.Fault(nil)
		close(release)
		time.Sleep(20 * time.Second)
		q := fleet(t, log, 1)[0]
		requireRevoked(t, q.Check(t.Context(), token(nil)))
	})
}

// Who does not want to wait any longer does not wait for the reading of somebody else.
func TestLeavingWhileOthersRead(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := new(kit.Log)
		l := newList(t, func(c *revocation.Config) { c.Log = log })
		log.Fault(kit.Hang)
		first := make(chan error)
		go func() { first <- l.Warm(t.Context()) }()
		synctest.Wait()
		ctx, leave := context.WithCancel(t.Context())
		time.AfterFunc(100*time.Millisecond, leave)
		start := time.Now()
		kit.RequireError(t, l.Warm(ctx), bearergate.ErrUnavailable, bearergate.ReasonCanceled)
		require.Equal(t, 100*time.Millisecond, time.Since(start))
		requireUnavailable(t, <-first)
	})
}

// InsecureFailOpen says what to do when nothing is heard. That there is no room for what was
// heard is something else.
func TestFailOpenIsNotForAFullReader(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := new(kit.Log)
		writer := fleet(t, log, 1)[0]
		for i := range 5 {
			require.NoError(t, writer.Add(t.Context(), revocation.Entry{Issuer: issuer, TokenID: fmt.Sprint(i)}))
		}
		p := start(t, log, func(c *revocation.Config) { c.MaxEntries, c.InsecureFailOpen = 2, true })
		kit.RequireError(t, p.Warm(t.Context()), bearergate.ErrUnavailable, bearergate.ReasonOverloaded)
		kit.RequireError(t, p.Check(t.Context(), bob()), bearergate.ErrUnavailable, bearergate.ReasonOverloaded)
	})
}

// InsecureFailOpen lets pass what nobody knows to be revoked, and Guard marks it.
//
// req: FLT-07
func TestFailOpen(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := new(kit.Log)
		p := start(t, log, func(c *revocation.Config) { c.InsecureFailOpen = true })
		require.NoError(t, p.Warm(t.Context()))
		require.NoError(t, p.Add(t.Context(), alice()))
		of := token(func(c *bearergate.Claims) { c.Subject = "bob"; c.ExpiresAt = c.ExpiresAt.Add(time.Minute) })
		v := p.Guard(bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) { return of, nil }))
		verified, err := v.Verify(t.Context(), "token")
		require.NoError(t, err)
		require.False(t, verified.Stale())
		log.Fault(kit.Hang)
		time.Sleep(time.Minute)
		require.NoError(t, p.Check(t.Context(), of))
		verified, err = v.Verify(t.Context(), "token")
		require.NoError(t, err)
		require.True(t, verified.Stale())
		requireRevoked(t, p.Check(t.Context(), token(nil)))
		require.False(t, p.Status().Ready)
	})
}

// A log that has failed over and lost what it had acknowledged gets it back from any process
// that knows it, lifts included, and each from one or a few.
//
// req: FLT-06
// W2-201, W2-202.
func TestWhatWasLostIsPutBack(t *testing.T) {
	for name, lost := range map[string]func(*kit.Log){
		// The client of the store notices nothing: the places of the new log are smaller.
		"unnoticed": func(l *kit.Log) { l.Lose(1 << 20) },
		"with an error": func(l *kit.Log) {
			l.Lose(1 << 20)
			l.Fault(func(context.Context, string) error { return errors.New("failing over") })
			time.Sleep(2 * time.Second)
			l.Fault(nil)
		},
		"the last one": func(l *kit.Log) { l.Lose(1) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				log := new(kit.Log)
				all := fleet(t, log, 3)
				for i := range 40 {
					require.NoError(t, all[i%3].Add(t.Context(), revocation.Entry{Issuer: issuer, Subject: fmt.Sprint(i)}))
				}
				time.Sleep(time.Second)
				require.NoError(t, all[0].Lift(t.Context(), revocation.Entry{Issuer: issuer, Subject: "7"}))
				require.NoError(t, all[0].Add(t.Context(), alice()))
				time.Sleep(time.Second)
				lost(log)
				require.NoError(t, all[1].Add(t.Context(), revocation.Entry{Issuer: issuer, TokenID: "evil"}), "after it")
				time.Sleep(15 * time.Second)
				later := fleet(t, log, 1)[0]
				for _, p := range append(slices.Clone(all), later) {
					s := p.Status()
					require.Equal(t, [3]int{41, 1, 0}, [3]int{s.Entries, s.Lifted, s.Unlogged}, "%+v", s)
					requireRevoked(t, p.Check(t.Context(), token(nil)))
					requireRevoked(t, p.Check(t.Context(), token(func(c *bearergate.Claims) { c.Subject, c.ID = "z", "evil" })))
					require.NoError(t, p.Check(t.Context(), token(func(c *bearergate.Claims) { c.Subject = "7" })))
				}
				if name == "unnoticed" {
					put := all[0].putBack() + all[1].putBack() + all[2].putBack()
					require.GreaterOrEqual(t, put, 41)
					require.LessOrEqual(t, put, 3*41)
				}
				require.Less(t, len(log.Data()), 200)
			})
		})
	}
}

// Processes that notice at once that the log has lost something do not all put it back at
// once: each waits for up to two seconds, and then for its next look.
func TestPuttingBackIsSpread(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var mu sync.Mutex // guards waits
		var waits []time.Duration
		for range 200 { // each with a log of its own, so that nobody else does it
			log := new(kit.Log)
			var whole time.Time // when it was last read from the beginning
			p := start(t, log, func(c *revocation.Config) {
				c.Hooks.Synced = func(_ context.Context, e revocation.SyncEvent) {
					if e.Whole {
						whole = time.Now()
					}
				}
				c.Hooks.PutBack = func(context.Context, revocation.PutBackEvent) {
					mu.Lock()
					defer mu.Unlock()
					waits = append(waits, time.Since(whole))
				}
			})
			require.NoError(t, p.Warm(t.Context()))
			require.NoError(t, p.Add(t.Context(), alice()))
			log.Lose(1 << 20)
		}
		time.Sleep(20 * time.Second)
		mu.Lock()
		defer mu.Unlock()
		require.Len(t, waits, 200)
		require.Less(t, slices.Max(waits), 2600*time.Millisecond)
		require.Greater(t, slices.Max(waits), 1600*time.Millisecond)
		require.Less(t, slices.Min(waits), time.Second)
	})
}

// appended is a log of which a test sees the entries that are told.
type appended struct {
	kit.Log
	entries func([]revocation.Record) error
}

func (a *appended) Append(ctx context.Context, records ...revocation.Record) error {
	if records[0].Data[1] == 'r' { // no heartbeat
		if err := a.entries(records); err != nil {
			return err
		}
	}
	return a.Log.Append(ctx, records...)
}

// What could not be put back is not told as put back, and is put back later.
func TestPuttingBackFails(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var down atomic.Bool
		log := &appended{entries: func([]revocation.Record) error {
			if down.Load() {
				return errors.New("down")
			}
			return nil
		}}
		p := start(t, log, nil)
		require.NoError(t, p.Warm(t.Context()))
		require.NoError(t, p.Add(t.Context(), alice(), revocation.Entry{Issuer: issuer, Client: "evil"}))
		down.Store(true)
		log.Lose(1 << 20)
		time.Sleep(time.Minute)
		require.Zero(t, p.putBack())
		down.Store(false)
		time.Sleep(20 * time.Second)
		require.Equal(t, 2, p.putBack())
		require.Zero(t, p.Status().Unlogged)
	})
}

// What ends before it is put back is not put back.
func TestEndsBeforeItIsPutBack(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		const n = 100
		ends := time.Now().Add(15 * time.Second)
		header := headerOfFirst()
		record := append(header, revocation.Encoded(revocation.Entry{Issuer: issuer, TokenID: "t1", Until: ends.Add(-2 * revocation.MaxLeeway)}, false)...)
		var logs []*appended
		var told, late atomic.Int32
		for range n {
			log := &appended{entries: func([]revocation.Record) error {
				if told.Add(1); !time.Now().Before(ends) {
					late.Add(1)
				}
				return nil
			}}
			log.Put(record, ends)
			logs = append(logs, log)
			p := start(t, log, nil)
			require.NoError(t, p.Warm(t.Context()))
			require.Equal(t, 1, p.Status().Entries)
		}
		for _, log := range logs { // so that some are put back before, and some have no time for that
			time.Sleep(100 * time.Millisecond)
			log.Lose(1 << 20)
		}
		time.Sleep(20 * time.Second)
		require.Positive(t, told.Load())
		require.Less(t, told.Load(), int32(n))
		require.Zero(t, late.Load())
	})
}

// Much is put back page by page, and not on while the log cannot be read: others may have put
// back the rest.
func TestPuttingBackPageByPage(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var told atomic.Int32
		log := &appended{entries: func(records []revocation.Record) error { told.Add(int32(len(records))); return nil }}
		p := start(t, log, nil)
		require.NoError(t, p.Warm(t.Context()))
		var entries []revocation.Entry
		for i := range 1200 {
			entries = append(entries, revocation.Entry{Issuer: issuer, TokenID: fmt.Sprint(i)})
		}
		require.NoError(t, p.Add(t.Context(), entries...))
		log.Lose(1 << 20)
		told.Store(0)
		log.Fault(func(_ context.Context, call string) error {
			if call == "Read" && told.Load() > 0 {
				return errors.New("down")
			}
			return nil
		})
		time.Sleep(20 * time.Second)
		require.EqualValues(t, 500, told.Load())
		log.Fault(nil)
		time.Sleep(20 * time.Second)
		require.EqualValues(t, 1200, told.Load())
		require.Zero(t, p.Status().Unlogged)
	})
}

// Without hooks, what was lost is put back as well.
func TestPuttingBackTellsNobody(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := new(kit.Log)
		l := newList(t, func(c *revocation.Config) { c.Log = log })
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- l.Run(ctx) }()
		require.NoError(t, l.Add(t.Context(), alice()))
		time.Sleep(time.Second)
		log.Lose(1 << 20)
		time.Sleep(20 * time.Second)
		require.Equal(t, 1, fleet(t, log, 1)[0].Status().Entries)
		cancel()
		require.NoError(t, <-ended)
	})
}

// Whoever adds an Entry and does not wait for the answer keeps nobody from hearing of it, and
// has no process but this one read the log from the beginning.
func TestAFeederThatLeaves(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := new(kit.Log)
		all := fleet(t, log, 3)
		time.Sleep(20 * time.Second)
		log.Fault(func(ctx context.Context, call string) error {
			if call == "Append" {
				select {
				case <-time.After(500 * time.Millisecond):
				case <-ctx.Done():
				}
			}
			return ctx.Err()
		})
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		requireUnavailable(t, all[0].Add(ctx, alice()))
		left, leave := context.WithCancel(t.Context())
		time.AfterFunc(100*time.Millisecond, leave)
		err := all[0].Add(left, revocation.Entry{Issuer: issuer, Client: "evil"})
		kit.RequireError(t, err, bearergate.ErrUnavailable, bearergate.ReasonCanceled)
		time.Sleep(20 * time.Second)
		requireRevoked(t, all[1].Check(t.Context(), token(nil)))
		for _, p := range all[1:] {
			p.mu.Lock()
			for _, e := range p.syncs[1:] {
				require.False(t, e.Whole, "%+v", p.syncs)
			}
			p.mu.Unlock()
			require.Equal(t, 2, p.Status().Entries)
		}
	})
}

// Where a store has lost very much and takes its time, a fleet puts it back together, and not
// each process all of it.
func TestAFleetPutsBackTogether(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		const n = 16_000
		log := new(kit.Log)
		all := fleet(t, log, 8)
		var entries []revocation.Entry
		for i := range n {
			entries = append(entries, revocation.Entry{Issuer: issuer, TokenID: fmt.Sprint(i)})
		}
		require.NoError(t, all[0].Add(t.Context(), entries[:n/2]...))
		require.NoError(t, all[0].Add(t.Context(), entries[n/2:]...))
		time.Sleep(10 * time.Second)
		log.Lose(1 << 20)
		log.Fault(func(ctx context.Context, call string) error {
			if call == "Append" {
				select {
				case <-time.After(100 * time.Millisecond):
				case <-ctx.Done():
				}
			}
			return ctx.Err()
		})
		time.Sleep(30 * time.Second)
		require.Equal(t, n, fleet(t, log, 1)[0].Status().Entries)
		require.Less(t, len(log.Data()), 7*n, "where each puts back all of it, it is 8")
		for _, p := range all {
			require.Zero(t, p.Status().Unlogged)
		}
	})
}

// A log that takes longer to read than a heartbeat lives is read once, and not again and
// again.
func TestALogThatTakesLongToRead(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := new(kit.Log)
		writer := fleet(t, log, 1)[0]
		var entries []revocation.Entry
		for i := range 10_000 {
			entries = append(entries, revocation.Entry{Issuer: issuer, TokenID: fmt.Sprint(i)})
		}
		require.NoError(t, writer.Add(t.Context(), entries...))
		log.Fault(func(ctx context.Context, call string) error {
			if call == "Read" {
				select {
				case <-time.After(1500 * time.Millisecond):
				case <-ctx.Done():
				}
			}
			return ctx.Err()
		})
		p := start(t, log, func(c *revocation.Config) { c.MaxLag = time.Minute })
		time.Sleep(45 * time.Second)
		for range 10 * 60 {
			time.Sleep(time.Second)
			require.NoError(t, p.Check(t.Context(), bob()))
		}
	})
}

// What was lost after its writer had read it, and before others had, is missed by them and
// put back by the writer, though nobody was told of an error.
//
// req: FLT-05, FLT-06
func TestWhatOnlyItsWriterHasRead(t *testing.T) {
	for phase := range 10 {
		bubble.Test(t, func(t *testing.T) {
			log := new(kit.Log)
			all := fleet(t, log, 3)
			require.NoError(t, all[0].Add(t.Context(), revocation.Entry{Issuer: issuer, Client: "evil"}))
			time.Sleep(20*time.Second + time.Duration(phase)*500*time.Millisecond)
			require.NoError(t, all[0].Add(t.Context(), alice()))
			require.NoError(t, all[0].Warm(t.Context()))
			log.Forget(2) // a heartbeat may be behind it
			require.NoError(t, all[1].Check(t.Context(), token(nil)))
			time.Sleep(12 * time.Second)
			for _, p := range append(all, fleet(t, log, 1)...) {
				requireRevoked(t, p.Check(t.Context(), token(nil)))
			}
			require.LessOrEqual(t, all[1].readings(), 4, "and nobody goes on asking")
		})
	}
}

// What the log says of an Entry later than its end does not matter, and what it says in
// another order does not either: adds and lifts are in order by their time.
func TestOrder(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := new(kit.Log)
		writer := fleet(t, log, 1)[0]
		require.NoError(t, writer.Add(t.Context(), alice()))
		time.Sleep(time.Second)
		require.NoError(t, writer.Lift(t.Context(), alice()))
		var records [][]byte
		for _, d := range log.Data() {
			if d[1] == 'r' {
				records = append(records, d)
			}
		}
		require.Len(t, records, 2)
		for name, tc := range map[string]struct {
			order []int
			want  bool // it is revoked
		}{
			"add, lift": {[]int{0, 1}, false}, "lift, add": {[]int{1, 0}, false}, "add": {[]int{0}, true}, "lift": {[]int{1}, false},
			"add, lift, add, put in again": {[]int{0, 1, 0}, false}, "twice": {[]int{1, 1, 0, 0}, false},
		} {
			other := new(kit.Log)
			for _, i := range tc.order {
				other.Put(records[i], time.Now().Add(time.Hour))
			}
			p := fleet(t, other, 1)[0]
			err := p.Check(t.Context(), token(nil))
			if tc.want {
				requireRevoked(t, err)
			} else {
				require.NoError(t, err, name)
			}
			require.NoError(t, p.Add(t.Context(), alice()), name)
			requireRevoked(t, p.Check(t.Context(), token(nil)))
		}
	})
}

// A process whose clock is slow can lift what another one has added.
func TestLiftBySlowClock(t *testing.T) {
	log := new(kit.Log)
	var add []byte
	bubble.Test(t, func(t *testing.T) {
		time.Sleep(time.Hour) // fast
		p := fleet(t, log, 1)[0]
		require.NoError(t, p.Add(t.Context(), revocation.Entry{Issuer: issuer, TokenID: "t1"}))
		add = log.Data()[1]
	})
	bubble.Test(t, func(t *testing.T) { // an hour behind
		shared := new(kit.Log)
		shared.Put(add, time.Now().Add(24*time.Hour))
		p := fleet(t, shared, 1)[0]
		requireRevoked(t, p.Check(t.Context(), token(nil)))
		require.NoError(t, p.Lift(t.Context(), revocation.Entry{Issuer: issuer, TokenID: "t1"}))
		for _, of := range []*process{p, fleet(t, shared, 1)[0]} {
			require.NoError(t, of.Check(t.Context(), token(nil)))
		}
	})
}

// What the log holds beside our records is passed over, and what cannot be read is counted.
//
// W2-203.
func TestPoisonedLog(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := new(kit.Log)
		writer := fleet(t, log, 1)[0]
		require.NoError(t, writer.Add(t.Context(), alice()))
		good := log.Data()[1]
		for _, bad := range [][]byte{nil, {}, {1}, {1, 'r'}, {2, 'r', 1}, []byte("garbage of some length"), good[:len(good)-1], append(slices.Clone(good), 0), make([]byte, 5000)} {
			log.Put(bad, time.Now().Add(time.Hour))
		}
		log.Put(append([]byte{1, 'p'}, make([]byte, 30)...), time.Now().Add(time.Hour)) // of another kind
		require.NoError(t, writer.Add(t.Context(), revocation.Entry{Issuer: issuer, Client: "evil"}))
		p := fleet(t, log, 1)[0]
		require.Equal(t, 2, p.Status().Entries)
		requireRevoked(t, p.Check(t.Context(), token(func(c *bearergate.Claims) { c.Subject, c.ClientID = "z", "evil" })))
		p.mu.Lock()
		defer p.mu.Unlock()
		require.Equal(t, 9, p.syncs[0].Skipped)
	})
}

// A process that has no room for what the log says answers 503, until it has.
func TestReaderIsFull(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := new(kit.Log)
		writer := fleet(t, log, 1)[0]
		for i := range 5 {
			until := time.Now().Add(time.Hour + time.Duration(i)*time.Minute)
			require.NoError(t, writer.Add(t.Context(), revocation.Entry{Issuer: issuer, TokenID: fmt.Sprint(i), Until: until}))
		}
		require.NoError(t, writer.Add(t.Context(), alice()))
		p := start(t, log, func(c *revocation.Config) { c.MaxEntries = 5 })
		kit.RequireError(t, p.Warm(t.Context()), bearergate.ErrUnavailable, bearergate.ReasonOverloaded)
		err := p.Check(t.Context(), bob())
		kit.RequireError(t, err, bearergate.ErrUnavailable, bearergate.ReasonOverloaded)
		require.Equal(t, 10*time.Second, bearergate.AsError(err).RetryAfter, "when it begins again")
		requireRevoked(t, p.Check(t.Context(), token(func(c *bearergate.Claims) { c.ID = "0" })))
		require.True(t, p.Status().Full)
		before := p.readings()
		time.Sleep(2 * time.Minute)
		require.InDelta(t, 11, p.readings()-before, 2, "one in 10 s, and its next look")
		time.Sleep(67 * time.Minute)
		kit.RequireError(t, p.Check(t.Context(), bob()), bearergate.ErrUnavailable, bearergate.ReasonOverloaded)
		time.Sleep(2 * time.Minute) // the first has ended
		require.NoError(t, p.Check(t.Context(), bob()))
		require.False(t, p.Status().Full)
	})
}

// Processes that each add the last Entry that there is room for do not shut everybody out.
func TestTheLastEntries(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := new(kit.Log)
		var all []*process
		for range 4 {
			all = append(all, start(t, log, func(c *revocation.Config) { c.MaxEntries, c.PerSource = 80, 80 }))
		}
		for i, p := range all {
			require.NoError(t, p.Warm(t.Context()))
			for j := range 19 {
				require.NoError(t, p.Add(t.Context(), revocation.Entry{Issuer: issuer, TokenID: fmt.Sprint("old ", i, j)}))
			}
		}
		time.Sleep(2 * time.Second)
		for i, p := range all {
			for j := range 3 {
				require.NoError(t, p.Add(t.Context(), revocation.Entry{Issuer: issuer, TokenID: fmt.Sprint("last ", i, j)}))
			}
		}
		time.Sleep(2 * time.Second)
		for _, p := range all {
			require.Equal(t, 88, p.Status().Entries)
			require.NoError(t, p.Check(t.Context(), bob()))
			err := p.Add(t.Context(), revocation.Entry{Issuer: issuer, TokenID: "more"})
			kit.RequireError(t, err, bearergate.ErrUnavailable, bearergate.ReasonOverloaded)
		}
	})
}

// A reader has room for an eighth more than it adds itself, and what it holds already, lifted
// or not, takes no more of it.
func TestRoomOfAReader(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := new(kit.Log)
		writer := newList(t, func(c *revocation.Config) { c.Log = log })
		changes := 0
		l := newList(t, func(c *revocation.Config) {
			c.Log, c.MaxEntries, c.Hooks.Changed = log, 56, func(context.Context, revocation.ChangeEvent) { changes++ }
		})
		entry := func(i int) revocation.Entry { return revocation.Entry{Issuer: issuer, TokenID: fmt.Sprint(i)} }
		for i := range 63 {
			require.NoError(t, writer.Add(t.Context(), entry(i)))
		}
		require.NoError(t, l.Warm(t.Context()))
		require.NoError(t, writer.Lift(t.Context(), entry(0)))
		require.NoError(t, l.Warm(t.Context()))
		require.Equal(t, [2]int{62, 1}, [2]int{l.Status().Entries, l.Status().Lifted})
		require.NoError(t, writer.Add(t.Context(), entry(63)))
		kit.RequireError(t, l.Warm(t.Context()), bearergate.ErrUnavailable, bearergate.ReasonOverloaded)
		require.Equal(t, 64, changes, "hooks are not told of what is not held")
	})
}

// A process that reads, and where Run is not called, forgets what has ended.
func TestReadingForgets(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := new(kit.Log)
		writer := newList(t, func(c *revocation.Config) { c.Log = log })
		l := newList(t, func(c *revocation.Config) { c.Log = log })
		require.NoError(t, writer.Add(t.Context(), alice()))
		require.NoError(t, l.Warm(t.Context()))
		require.Equal(t, 1, l.Status().Entries)
		time.Sleep(2 * time.Hour)
		require.NoError(t, writer.Add(t.Context(), revocation.Entry{Issuer: issuer, Client: "evil"}))
		require.NoError(t, l.Warm(t.Context()))
		require.Equal(t, 1, l.Status().Entries)
	})
}

// A machine that was suspended knows nothing of the time that it slept, and is right again
// after one look.
func TestSuspended(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := new(kit.Log)
		all := fleet(t, log, 2)
		all[0].end() // asleep
		synctest.Wait()
		require.NoError(t, all[1].Add(t.Context(), alice()))
		time.Sleep(time.Hour / 4)
		requireUnavailable(t, all[0].Check(t.Context(), token(nil)))
		require.NoError(t, all[0].Warm(t.Context()))
		requireRevoked(t, all[0].Check(t.Context(), token(nil)))
	})
}

// Whatever a Log calls its error, the change counts here: it is not one of those by which the
// List says that nothing does.
func TestErrorsOfTheLog(t *testing.T) {
	for _, fails := range []error{
		&bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonOverloaded},
		bearergate.ErrInvalidRequest, bearergate.ErrInvalidToken, errors.New("any"),
	} {
		bubble.Test(t, func(t *testing.T) {
			log := new(kit.Log)
			p := fleet(t, log, 1)[0]
			log.Fault(func(context.Context, string) error { return fails })
			err := p.Add(t.Context(), alice())
			requireUnavailable(t, err)
			require.ErrorIs(t, bearergate.AsError(err).Cause, fails, "operators are told")
			requireRevoked(t, p.Check(t.Context(), token(nil)))
			requireUnavailable(t, p.Lift(t.Context(), alice()))
			require.NoError(t, p.Check(t.Context(), token(nil)))
			log.Fault(func(context.Context, string) error { return bearergate.ErrMisconfigured })
			kit.RequireError(t, p.Add(t.Context(), alice()), bearergate.ErrMisconfigured, bearergate.ReasonInternal)
			requireRevoked(t, p.Check(t.Context(), token(nil)))
		})
	}
}

// Nothing is asked of the log more often than is said, and what a fleet appends is bounded.
func TestCallsOfTheLog(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := new(kit.Log)
		fleet(t, log, 10)
		reads, appends := log.Calls("Read"), log.Calls("Append")
		time.Sleep(time.Minute)
		require.InDelta(t, 10*60*2*1.2, log.Calls("Read")-reads, 400) // each look reads until it reads nothing
		require.LessOrEqual(t, log.Calls("Append")-appends, 10*12)
	})
}

// A nil context is a mistake, and no panic.
func TestNilContext(t *testing.T) {
	l := newList(t, func(c *revocation.Config) { c.Log = new(kit.Log) })
	var none context.Context
	require.NoError(t, l.Add(none, alice()))
	require.NoError(t, l.Warm(none))
	requireRevoked(t, l.Check(none, token(nil)))
	require.NoError(t, l.Lift(none, alice()))
	l = newList(t, func(c *revocation.Config) {
		c.Log = new(kit.Log)
		c.Hooks.Synced = func(context.Context, revocation.SyncEvent) { runtime.Goexit() } // nothing else ends it
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = l.Run(none)
	}()
	<-done
}

// Run is called once.
func TestRunTwice(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		p := fleet(t, new(kit.Log), 1)[0]
		synctest.Wait()
		kit.RequireError(t, p.Run(t.Context()), bearergate.ErrMisconfigured, bearergate.ReasonConfig)
		require.NoError(t, p.Warm(t.Context()), "and goes on")
	})
}

// A List without a log forgets too, in Run.
func TestRunAlone(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		p := start(t, nil, nil)
		require.NoError(t, p.Warm(t.Context()))
		require.NoError(t, p.Add(t.Context(), alice()))
		time.Sleep(2 * time.Hour)
		require.Zero(t, p.Status().Entries)
	})
}

// Readers and writers at once.
func TestConcurrentUse(t *testing.T) {
	log := new(kit.Log)
	l := newList(t, func(c *revocation.Config) { c.Log, c.MaxEntries = log, 5000 })
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { _ = l.Run(ctx) })
	var work sync.WaitGroup
	for i := range 8 {
		work.Go(func() {
			for j := range 200 {
				e := revocation.Entry{Issuer: issuer, Subject: fmt.Sprint(i, j%20)}
				_ = l.Add(ctx, e)
				requireRevoked(t, l.Check(ctx, token(func(c *bearergate.Claims) { c.Subject = e.Subject })))
				_ = l.Lift(ctx, e)
				l.Status()
				_ = slices.Collect(l.All())
			}
		})
	}
	work.Wait()
	cancel()
	all.Wait()
}

// Whoever was told that the Log has failed and asks again is not told that all is well while
// the Log still has not what was said: not where the Entry is there already, and not for a
// lift.
//
// req: FLT-05
func TestAskingAgain(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := new(kit.Log)
		all := fleet(t, log, 2)
		cut := revocation.Entry{Issuer: issuer, Subject: "alice", Before: time.Now().Add(-time.Hour)}
		session := revocation.Entry{Issuer: issuer, Session: "s2", Until: time.Now().Add(2 * time.Hour)}
		require.NoError(t, all[0].Add(t.Context(), cut, session))
		time.Sleep(10 * time.Second)
		cut.Before = time.Now()
		log.Fault(failing("Append"))
		for range 3 {
			requireUnavailable(t, all[0].Add(t.Context(), cut))
			requireUnavailable(t, all[0].Lift(t.Context(), session))
			time.Sleep(time.Second)
		}
		require.Equal(t, 2, all[0].Status().Unlogged)
		require.NoError(t, all[1].Check(t.Context(), issued(cut.Before)))
		log.Fault(nil)
		require.NoError(t, all[0].Add(t.Context(), cut))
		require.NoError(t, all[0].Lift(t.Context(), session))
		all[0].end()                // and cannot put it back
		time.Sleep(7 * time.Second) // as long as its pause may be
		requireRevoked(t, all[1].Check(t.Context(), issued(cut.Before)))
		require.NoError(t, all[1].Check(t.Context(), token(func(c *bearergate.Claims) { c.Subject, c.SessionID = "bob", "s2" })))
	})
}

// What is added again is told again: somebody may have lifted it, and this process has not read
// that yet.
func TestAddedAgain(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := new(kit.Log)
		l := newList(t, func(c *revocation.Config) { c.Log = log })
		require.NoError(t, l.Warm(t.Context()))
		e := revocation.Entry{Issuer: issuer, Subject: "alice", Before: time.Now(), Until: time.Now().Add(2 * time.Hour)}
		require.NoError(t, l.Add(t.Context(), e))
		appends := log.Calls("Append")
		require.NoError(t, l.Add(t.Context(), e))
		require.Equal(t, appends+1, log.Calls("Append"))
		e.Until = e.Until.Add(time.Second)
		require.NoError(t, l.Add(t.Context(), e))
		require.Equal(t, appends+2, log.Calls("Append"), "it is longer")
	})
}

// Of two processes, one lifts an Entry, and the other adds it again before it has read that. Add
// has said that the Log has it, so that all refuse the token, also when the process ends at once.
//
// req: FLT-05
func TestAddedAgainWhereItWasLifted(t *testing.T) {
	for _, ends := range []bool{false, true} {
		bubble.Test(t, func(t *testing.T) {
			log := new(kit.Log)
			all := fleet(t, log, 3)
			e := alice()
			e.Before, e.Until, e.Source = time.Now(), time.Now().Add(2*time.Hour), "signals"
			require.NoError(t, all[0].Add(t.Context(), e))
			time.Sleep(10 * time.Second)
			require.NoError(t, all[1].Lift(t.Context(), e))
			time.Sleep(10 * time.Millisecond)
			require.NoError(t, all[0].Add(t.Context(), e))
			if ends {
				all[0].end()
			}
			time.Sleep(2 * time.Second)
			for _, p := range all[1:] {
				requireRevoked(t, p.Check(t.Context(), token(nil)))
			}
			time.Sleep(20 * time.Minute)
			for _, p := range all {
				require.Zero(t, p.putBack(), "nothing was lost")
			}
		})
	}
}

// What was added before the Log was first read, and lost before that, is missing.
//
// req: FLT-05
func TestLostBeforeTheFirstReading(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := new(kit.Log)
		l := newList(t, func(c *revocation.Config) { c.Log = log })
		e := alice()
		e.Before, e.Until = time.Now(), time.Now().Add(2*time.Hour)
		require.NoError(t, l.Add(t.Context(), e))
		log.Lose(1)
		require.NoError(t, l.Warm(t.Context()))
		require.NoError(t, l.Add(t.Context(), e))
		require.Equal(t, 1, entriesOf(log))
	})
}

// What is added again is told again where the Log has lost it, also with nothing new.
//
// req: FLT-05
func TestAddedAgainWhereItWasLost(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := new(kit.Log)
		p := fleet(t, log, 1)[0]
		e := alice()
		e.Before, e.Until = time.Now(), time.Now().Add(3*time.Hour)
		require.NoError(t, p.Add(t.Context(), e))
		time.Sleep(11 * time.Minute) // two readings
		require.NoError(t, p.Add(t.Context(), e))
		require.Equal(t, 2, entriesOf(log))
		log.Lose(1000)
		for read := p.readings(); p.readings() == read; {
			time.Sleep(time.Millisecond)
		}
		// The process puts it back within two seconds; whoever adds it need not wait for that.
		require.NoError(t, p.Add(t.Context(), e))
		require.Equal(t, 1, entriesOf(log))
	})
}

// What the Log has refused is told again, also before it was ever read.
//
// req: FLT-05
func TestAddedAgainWhereItWasRefused(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := new(kit.Log)
		l := newList(t, func(c *revocation.Config) { c.Log = log })
		e := alice()
		e.Before, e.Until = time.Now(), time.Now().Add(3*time.Hour)
		log.Fault(failing("Append"))
		requireUnavailable(t, l.Add(t.Context(), e))
		requireUnavailable(t, l.Add(t.Context(), e))
		log.Fault(nil)
		require.NoError(t, l.Add(t.Context(), e))
		require.Equal(t, 1, entriesOf(log))
	})
}

// headerOfFirst is what internal/feed writes before the first record of a process.
func headerOfFirst() []byte { return append(append([]byte{1, 'r'}, make([]byte, 23)...), 1) }

// entriesOf is how many records of entries a log has.
func entriesOf(log *kit.Log) (n int) {
	for _, d := range log.Data() {
		if d[1] == 'r' {
			n++
		}
	}
	return n
}

// A Source that has four records in the Log for each entry that it may have is refused what
// would be another one, in every process, and nobody else is: not another Source that names
// the same users. Nothing of what is refused counts.
//
// req: FLT-05
func TestRecordsOfASource(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := new(kit.Log)
		few := func(c *revocation.Config) { c.PerSource = 2 }
		p, q := start(t, log, few), start(t, log, few)
		require.NoError(t, p.Warm(t.Context()))
		require.NoError(t, q.Warm(t.Context()))
		cut := func(source string) revocation.Entry {
			return revocation.Entry{Issuer: issuer, Subject: "alice", Before: time.Now(), Source: source}
		}
		requireRefused := func(p *process, e revocation.Entry) {
			t.Helper()
			err := p.Add(t.Context(), e)
			kit.RequireError(t, err, bearergate.ErrUnavailable, bearergate.ReasonOverloaded)
			require.ErrorContains(t, err, "records in Log as PerSource lets it have: mad")
		}
		require.NoError(t, p.Add(t.Context(), cut("admin")))
		var last time.Time
		for i := range 8 {
			time.Sleep(time.Second)
			last = time.Now()
			require.NoError(t, []*process{p, q}[i%2].Add(t.Context(), cut("mad")))
		}
		time.Sleep(time.Second)
		require.NoError(t, p.Warm(t.Context()))
		r := start(t, log, few)
		require.NoError(t, r.Warm(t.Context()))
		for _, p := range []*process{p, q, r} {
			requireRefused(p, cut("mad"))
			requireRefused(p, revocation.Entry{Issuer: issuer, Session: "s2", Source: "mad"})
			requireRevoked(t, p.Check(t.Context(), issued(last)))
			require.NoError(t, p.Check(t.Context(), issued(last.Add(time.Second))))
		}
		require.Equal(t, 9, entriesOf(log))
		require.NoError(t, q.Add(t.Context(), cut("admin")))
		require.NoError(t, q.Lift(t.Context(), cut("mad")))
		requireRefused(q, cut("mad"))
		require.NoError(t, q.Add(t.Context(), cut("admin")))
		e := cut("mad")
		e.Subject, e.Source = "bob", "admin"
		require.NoError(t, q.Add(t.Context(), e))
		for q.Add(t.Context(), e) == nil {
			time.Sleep(time.Second)
			e.Before = time.Now()
		}
		require.ErrorContains(t, q.Add(t.Context(), cut("admin")), "PerSource lets it have: admin")
		require.NoError(t, q.Lift(t.Context(), cut("")), "whoever lifts is not refused")
		requireRefused(q, cut("mad"))
		time.Sleep(time.Hour)
		requireRefused(q, cut("mad"))
		time.Sleep(16 * time.Minute) // they have ended, and the log was read since
		require.NoError(t, q.Add(t.Context(), cut("mad")))
	})
}

// Whoever can write to the log can have no process remember any number of sources.
func TestSourcesOfRecords(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := new(kit.Log)
		header := headerOfFirst()
		for range 4 {
			for _, source := range []string{"a", "b", "c"} {
				ended := revocation.Entry{Issuer: issuer, TokenID: source, Source: source, Until: time.Now().Add(-time.Hour)}
				log.Put(append(slices.Clone(header), revocation.Encoded(ended, false)...), time.Now().Add(time.Hour))
			}
		}
		for source, want := range map[string]bool{"a": false, "b": false, "c": true} {
			l := newList(t, func(c *revocation.Config) { c.Log, c.MaxEntries = log, 2 })
			require.NoError(t, l.Warm(t.Context()))
			err := l.Add(t.Context(), revocation.Entry{Issuer: issuer, Client: source, Source: source})
			require.Equal(t, want, err == nil, "%s: %v", source, err)
		}
	})
}

// An Entry that has ended takes no room, where the Log keeps it longer than it need.
func TestEndedInTheLog(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		header := headerOfFirst()
		kept := time.Now().Add(-2 * revocation.MaxLeeway)
		for _, ids := range [][]string{{"ended", "not yet"}, {"not yet", "ended"}} {
			log := new(kit.Log)
			for _, id := range ids {
				until := map[string]time.Time{"ended": kept, "not yet": kept.Add(time.Nanosecond)}[id]
				record := revocation.Encoded(revocation.Entry{Issuer: issuer, TokenID: id, Until: until}, false)
				log.Put(append(slices.Clone(header), record...), time.Now().Add(time.Hour))
			}
			var changes []string
			l := newList(t, func(c *revocation.Config) {
				c.Log, c.Hooks.Changed = log, func(_ context.Context, e revocation.ChangeEvent) { changes = append(changes, e.Entry.TokenID) }
			})
			require.NoError(t, l.Warm(t.Context()))
			all := slices.Collect(l.All())
			require.Len(t, all, 1)
			require.Equal(t, "not yet", all[0].TokenID)
			require.Equal(t, []string{"not yet"}, changes)
			require.Zero(t, l.Status().Skipped, "it can be read")
		}
	})
}

// A look that finds something, or fails, is told, with how long it took. One that finds
// nothing is not: there are two in a second.
func TestSynced(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := new(kit.Log)
		log.Fault(func(_ context.Context, call string) error {
			if call == "Append" {
				time.Sleep(time.Second)
			}
			return nil
		})
		var events []revocation.SyncEvent
		l := newList(t, func(c *revocation.Config) {
			c.Log, c.Hooks.Synced = log, func(_ context.Context, e revocation.SyncEvent) { events = append(events, e) }
		})
		require.NoError(t, l.Warm(t.Context()))
		require.NoError(t, l.Warm(t.Context()))
		require.Equal(t, []revocation.SyncEvent{{Whole: true, Duration: time.Second}}, events)
		require.NoError(t, l.Add(t.Context(), alice()))
		require.NoError(t, l.Warm(t.Context()))
		require.Equal(t, revocation.SyncEvent{Records: 1}, events[1])
		log.Fault(failing("Read"))
		requireUnavailable(t, l.Warm(t.Context()))
		require.Len(t, events, 3)
		require.Error(t, events[2].Err)
	})
}

// A failed append says nothing of what another one has told meanwhile.
func TestAnAppendThatFailsBesideOneThatDoesNot(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := new(kit.Log)
		l := fleet(t, log, 1)[0]
		cut := func(ago time.Duration) revocation.Entry {
			return revocation.Entry{Issuer: issuer, Subject: "alice", Before: time.Now().Add(-ago)}
		}
		entered, release := make(chan struct{}), make(chan struct{})
		log.Fault(func(_ context.Context, call string) error {
			if call == "Append" {
				close(entered)
				<-release
			}
			return nil
		})
		first := make(chan error)
		go func() { first <- l.Add(t.Context(), cut(time.Hour)) }()
		<-entered
		second := make(chan error)
		go func() { second <- l.Add(t.Context(), cut(time.Minute)) }()
		synctest.Wait() // it waits for the first
		log.Fault(failing("Append"))
		close(release)
		require.NoError(t, <-first)
		requireUnavailable(t, <-second)
		requireUnavailable(t, l.Add(t.Context(), cut(time.Minute)))
	})
}

// What was lifted, and the Log has that, cannot be lifted again.
func TestLiftedAgain(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		l := newList(t, func(c *revocation.Config) { c.Log = new(kit.Log) })
		require.NoError(t, l.Warm(t.Context()))
		require.NoError(t, l.Add(t.Context(), alice()))
		require.NoError(t, l.Lift(t.Context(), alice()))
		kit.RequireError(t, l.Lift(t.Context(), alice()), bearergate.ErrInvalidRequest, bearergate.ReasonBadRequest)
	})
}

// A cut-off refuses tokens that do not say when they were issued, also one from before all
// times that nanoseconds can say, which only a record in the log has.
func TestCutOffBeforeAllTimes(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := new(kit.Log)
		header := headerOfFirst()
		e := revocation.Entry{Issuer: issuer, Subject: "alice", Before: time.Unix(0, math.MinInt64), Until: time.Now().Add(time.Hour)}
		log.Put(append(header, revocation.Encoded(e, false)...), time.Now().Add(time.Hour))
		l := newList(t, func(c *revocation.Config) { c.Log = log })
		require.NoError(t, l.Warm(t.Context()))
		require.NoError(t, l.Check(t.Context(), token(nil)))
		requireRevoked(t, l.Check(t.Context(), token(func(c *bearergate.Claims) { c.AsOf, c.IssuedAt = time.Time{}, time.Time{} })))
	})
}

// A record that says that it is from the end of time does not make a later Add count for
// nothing.
//
// W2-204.
func TestTheLastTimeThereIs(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		for _, at := range []int64{math.MaxInt64, math.MaxInt64 - 1} {
			log := new(kit.Log)
			e := alice()
			e.Until = time.Now().Add(time.Hour)
			header := headerOfFirst()
			log.Put(append(header, revocation.EncodedAt(e, true, at)...), time.Now().Add(time.Hour))
			all := fleet(t, log, 2)
			require.Equal(t, 1, all[1].Status().Lifted)
			require.NoError(t, all[0].Add(t.Context(), alice()))
			time.Sleep(time.Second)
			for _, p := range all {
				requireRevoked(t, p.Check(t.Context(), token(nil)))
			}
		}
	})
}

// An Entry that was added and lifted at one time counts, in whatever order the log says so.
func TestAddedAndLiftedAtOneTime(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		e := alice()
		e.Until = time.Now().Add(time.Hour)
		header := headerOfFirst()
		for _, lifts := range [][]bool{{false, true}, {true, false}} {
			log := new(kit.Log)
			for _, lift := range lifts {
				log.Put(append(slices.Clone(header), revocation.EncodedAt(e, lift, 5)...), time.Now().Add(time.Hour))
			}
			l := newList(t, func(c *revocation.Config) { c.Log = log })
			require.NoError(t, l.Warm(t.Context()))
			requireRevoked(t, l.Check(t.Context(), token(nil)))
			require.Zero(t, l.Status().Lifted)
		}
	})
}

// Of two processes that have not read what the other one says, one lifts what the other adds
// again. It counts, if that is within a millisecond, or by a clock that is ahead; else the later
// one holds.
func TestLiftedAsItIsAddedAgain(t *testing.T) {
	for _, tc := range []struct {
		name  string
		ahead int           // milliseconds
		lift  time.Duration // after it was added again; or before
		holds bool          // the Add
	}{
		{name: "at one time", holds: true},
		{name: "and then lifted", lift: 2 * time.Millisecond},
		{name: "lifted, and then added", lift: -2 * time.Millisecond, holds: true},
		{name: "lifted, and then added, by a clock that is ahead", ahead: 10_000, lift: -2 * time.Millisecond, holds: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				log := new(kit.Log)
				adds := newList(t, func(c *revocation.Config) { c.Log = log })
				lifts := newList(t, func(c *revocation.Config) { c.Log = log })
				for range tc.ahead / 2 {
					require.NoError(t, adds.Add(t.Context(), alice()))
					require.NoError(t, adds.Lift(t.Context(), alice()))
				}
				require.NoError(t, adds.Add(t.Context(), alice()))
				require.NoError(t, lifts.Warm(t.Context()))
				time.Sleep(time.Second)
				if tc.lift < 0 {
					require.NoError(t, lifts.Lift(t.Context(), alice()))
					time.Sleep(-tc.lift)
				}
				require.NoError(t, adds.Add(t.Context(), alice()))
				if tc.lift >= 0 {
					time.Sleep(tc.lift)
					require.NoError(t, lifts.Lift(t.Context(), alice()))
				}
				for _, l := range []*revocation.List{lifts, adds} {
					require.NoError(t, l.Warm(t.Context()))
					require.Equal(t, tc.holds, l.Check(t.Context(), token(nil)) != nil)
				}
			})
		})
	}
}

// A Log may forget a record when the Entry itself is forgotten, and not before.
func TestUntilInTheLog(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var records []revocation.Record
		l := newList(t, func(c *revocation.Config) {
			c.Log = &appended{entries: func(told []revocation.Record) error { records = append(records, told...); return nil }}
		})
		until := time.Now().Add(2 * time.Hour)
		require.NoError(t, l.Add(t.Context(), revocation.Entry{Issuer: issuer, TokenID: "t1", Until: until}))
		require.Len(t, records, 1)
		require.True(t, records[0].Until.Equal(until.Add(2*revocation.MaxLeeway)), "%v", records[0].Until)
	})
}

// A record with more than an Entry may have is skipped: put back, it might be more than a
// record may have.
//
// W2-203.
func TestRecordWithTooMuch(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := new(kit.Log)
		header := headerOfFirst()
		for _, n := range []int{3110, 3111} { // with what else is counted, 3136 and one more
			e := revocation.Entry{Issuer: issuer, Subject: strings.Repeat("s", n), Until: time.Now().Add(time.Hour)}
			log.Put(append(header, revocation.Encoded(e, false)...), time.Now().Add(time.Hour))
		}
		s := fleet(t, log, 1)[0].Status()
		require.Equal(t, [2]int{1, 1}, [2]int{s.Entries, int(s.Skipped)})
	})
}

// heldAppends holds the next two appends, which close beating and telling when they begin,
// until beat and tell are closed.
func heldAppends(log *kit.Log) (beating, beat, telling, tell chan struct{}) {
	beating, beat, telling, tell = make(chan struct{}), make(chan struct{}), make(chan struct{}), make(chan struct{})
	var appends atomic.Int32
	log.Fault(func(_ context.Context, call string) error {
		if call == "Append" {
			switch appends.Add(1) {
			case 1:
				close(beating)
				<-beat
			case 2:
				close(telling)
				<-tell
			}
		}
		return nil
	})
	return beating, beat, telling, tell
}

// What was told while the log was read from the beginning, and was not met there, is not taken
// for met in that reading.
func TestToldWhileTheLogIsRead(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := new(kit.Log)
		l := newList(t, func(c *revocation.Config) { c.Log = log })
		require.NoError(t, l.Warm(t.Context()))
		require.NoError(t, l.Add(t.Context(), alice()))
		log.Fault(failing("Read"))
		requireUnavailable(t, l.Warm(t.Context())) // so that the next one begins at the beginning
		beating, beat, telling, tell := heldAppends(log)
		read, added := make(chan error), make(chan error)
		go func() { read <- l.Warm(t.Context()) }()
		<-beating
		go func() { added <- l.Add(t.Context(), revocation.Entry{Issuer: issuer, Client: "evil"}) }()
		synctest.Wait() // it counts here, and waits for the heartbeat
		close(beat)
		<-telling
		require.NoError(t, <-read)
		close(tell)
		require.NoError(t, <-added)
		require.Empty(t, l.Sound())
		require.NoError(t, l.Warm(t.Context()))
		require.Zero(t, l.Status().Unlogged)
		require.Empty(t, l.Sound())
	})
}

// What ends while it is told is forgotten, and leaves everything in order.
func TestEndsWhileItIsTold(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := new(kit.Log)
		l := newList(t, func(c *revocation.Config) { c.Log = log })
		require.NoError(t, l.Warm(t.Context()))
		require.NoError(t, l.Add(t.Context(), revocation.Entry{Issuer: issuer, TokenID: "t1"}, revocation.Entry{Issuer: issuer, TokenID: "t2", Until: time.Now().Add(24 * time.Hour)}))
		time.Sleep(time.Hour + 2*revocation.MaxLeeway - time.Second)
		log.Fault(func(_ context.Context, call string) error {
			if call == "Append" {
				time.Sleep(1500 * time.Millisecond)
			}
			return nil
		})
		lifted := make(chan error)
		go func() { lifted <- l.Lift(t.Context(), revocation.Entry{Issuer: issuer, TokenID: "t1"}) }()
		time.Sleep(time.Second)
		require.NoError(t, l.Add(t.Context(), revocation.Entry{Issuer: issuer, TokenID: "t3"}), "which takes out what has ended")
		require.NoError(t, <-lifted)
		s := l.Status()
		require.Equal(t, [3]int{2, 0, 0}, [3]int{s.Entries, s.Lifted, s.Unlogged})
		require.Empty(t, l.Sound())
	})
}

// What is told before the log was ever read is there, and is not told again.
func TestToldBeforeTheFirstReading(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := new(kit.Log)
		l := newList(t, func(c *revocation.Config) { c.Log = log })
		e := alice()
		e.Until = time.Now().Add(2 * time.Hour)
		require.NoError(t, l.Add(t.Context(), e))
		require.Zero(t, l.Status().Unlogged)
		log.Lose(1 << 20)
		require.NoError(t, newList(t, func(c *revocation.Config) { c.Log = log }).Add(t.Context(), revocation.Entry{Issuer: issuer, Client: "evil"}))
		require.NoError(t, l.Warm(t.Context()))
		require.Equal(t, 2, l.Status().Entries)
		require.Empty(t, l.Sound())
	})
}

// An Entry of which the log says less than is known here is one that the log has not.
func TestTheLogSaysLess(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		now := time.Now()
		e := alice()
		e.Before, e.Until = now, now.Add(3*time.Hour)
		for name, tc := range map[string]struct {
			change   func(*revocation.Entry)
			lift     bool
			at       int64 // in milliseconds from now
			unlogged int
		}{
			"as much":                         {},
			"more":                            {change: func(e *revocation.Entry) { e.Until = e.Until.Add(time.Hour) }, at: 1},
			"that it was lifted at that time": {lift: true, unlogged: 1},
			"of an earlier time":              {at: -1, unlogged: 1},
			"an earlier cut-off":              {change: func(e *revocation.Entry) { e.Before = now.Add(-time.Hour) }, unlogged: 1},
			"an earlier end":                  {change: func(e *revocation.Entry) { e.Until = now.Add(2 * time.Hour) }, unlogged: 1},
		} {
			log := new(kit.Log)
			l := newList(t, func(c *revocation.Config) { c.Log = log })
			log.Fault(failing("Append"))
			requireUnavailable(t, l.Add(t.Context(), e))
			require.Equal(t, 1, l.Status().Unlogged)
			said := e
			if tc.change != nil {
				tc.change(&said)
			}
			header := headerOfFirst()
			log.Put(append(header, revocation.EncodedAt(said, tc.lift, now.UnixMilli()+tc.at)...), now.Add(time.Hour))
			log.Fault(nil)
			require.NoError(t, l.Warm(t.Context()))
			requireRevoked(t, l.Check(t.Context(), token(nil)))
			require.Equal(t, tc.unlogged, l.Status().Unlogged, name)
		}
	})
}

// Hooks are told of what other processes add and lift, once, and that it was not this one.
func TestChangesOfOthers(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := new(kit.Log)
		other := newList(t, func(c *revocation.Config) { c.Log = log })
		var changes []revocation.ChangeEvent
		l := newList(t, func(c *revocation.Config) {
			c.Log, c.Hooks.Changed = log, func(_ context.Context, e revocation.ChangeEvent) { changes = append(changes, e) }
		})
		e := revocation.Entry{Issuer: issuer, Subject: "alice", Before: time.Now().Round(0), Until: time.Now().Add(2 * time.Hour).Round(0), Source: "admin"}
		require.NoError(t, other.Add(t.Context(), e))
		require.NoError(t, l.Warm(t.Context()))
		require.NoError(t, other.Lift(t.Context(), e))
		require.NoError(t, l.Warm(t.Context()))
		log.Fault(failing("Read"))
		requireUnavailable(t, l.Warm(t.Context()))
		log.Fault(nil)
		require.NoError(t, l.Warm(t.Context()), "from the beginning")
		require.Len(t, changes, 2)
		for i, change := range changes {
			require.True(t, change.Entry.Before.Equal(e.Before) && change.Entry.Until.Equal(e.Until))
			change.Entry.Before, change.Entry.Until = e.Before, e.Until
			require.Equal(t, revocation.ChangeEvent{Entry: e, By: "subject", Lifted: i == 1}, change)
		}
	})
}

// A list is locked for a moment only when entries were told while a long log was read from
// the beginning.
func TestToldWhileALongLogIsRead(t *testing.T) {
	log := new(kit.Log)
	l := newList(t, func(c *revocation.Config) { c.Log, c.PerSource = log, revocation.DefaultMaxEntries })
	entries := func(name string, n int) (all []revocation.Entry) {
		for i := range n {
			all = append(all, revocation.Entry{Issuer: issuer, TokenID: fmt.Sprint(name, i)})
		}
		return all
	}
	var usual time.Duration // to add as many while nothing is read
	for i := range 8 {
		old, start := entries(fmt.Sprint("old ", i, " "), 10_000), time.Now()
		require.NoError(t, l.Add(t.Context(), old...))
		usual = max(usual, time.Since(start))
	}
	require.NoError(t, l.Warm(t.Context()))
	log.Fault(failing("Read"))
	require.Error(t, l.Warm(t.Context()), "so that the next one begins at the beginning")
	beating, beat, telling, tell := heldAppends(log)
	read, added := make(chan error), make(chan error)
	go func() { read <- l.Warm(t.Context()) }()
	<-beating
	go func() { added <- l.Add(t.Context(), entries("new ", 10_000)...) }()
	for l.Status().Entries < 90_000 {
		runtime.Gosched()
	}
	close(beat)
	<-telling
	err := <-read
	start := time.Now()
	close(tell)
	err = errors.Join(err, <-added)
	took := time.Since(start)
	if errors.Is(err, guard.ErrLate) || errors.Is(err, context.DeadlineExceeded) { // one of them has waited for longer than an Append may take
		t.Skip("this machine is too busy: ", err)
	}
	require.NoError(t, err)
	t.Log("it took", took, "and usually", usual)
	require.Less(t, took, 5*usual+time.Second)
	require.NoError(t, l.Warm(t.Context()))
	require.Zero(t, l.Status().Unlogged)
	require.Empty(t, l.Sound())
}

// slowLog takes a second for each of its first records, and refuses what is no heartbeat while
// it is full.
type slowLog struct {
	kit.Log
	first int
	full  atomic.Bool
	at    atomic.Int64 // where the last Read began
}

func (l *slowLog) Append(ctx context.Context, records ...revocation.Record) error {
	if l.full.Load() && slices.ContainsFunc(records, func(r revocation.Record) bool { return r.Data[1] != 'h' }) {
		return errors.New("full")
	}
	return l.Log.Append(ctx, records...)
}

func (l *slowLog) Read(ctx context.Context, after string, limit int) ([][]byte, string, error) {
	at, _ := strconv.Atoi(after)
	if l.at.Store(int64(at)); at >= l.first {
		return l.Log.Read(ctx, after, limit)
	}
	select {
	case <-time.After(time.Second):
		return l.Log.Read(ctx, after, 1)
	case <-ctx.Done():
		return nil, "", ctx.Err()
	}
}

// fill puts as many entries into it as take long to read.
func (l *slowLog) fill() {
	end := time.Now().Add(24 * time.Hour)
	for i := range l.first {
		d := []byte{1, 'r', 'p', 'r', 'o', 'c', 'e', 's', 's', '1'}
		d = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(d, uint64(i)), uint64(i+1))
		e := revocation.Entry{Issuer: issuer, TokenID: fmt.Sprint("id", i), Before: time.Now(), Until: end, Source: "others"}
		l.Put(append(d, revocation.EncodedAt(e, false, time.Now().UnixMilli())...), end)
	}
}

// What a Log refuses to one process is no reason for the others to answer 503, nor for itself.
func TestAFullLogIsHeard(t *testing.T) {
	for _, tc := range []struct {
		name    string
		first   int // seconds that a reading takes
		feeders int
		again   bool // they try again each second, and not Run alone
	}{
		{name: "a long log", first: 8, feeders: 1, again: true},
		{name: "a short log, many feeders", first: 1, feeders: 10, again: true},
		{name: "Run tries again", first: 4, feeders: 1},
		{name: "Run tries again with a long log", first: 12, feeders: 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				log := &slowLog{first: tc.first}
				log.fill()
				all := fleet(t, log, 1+tc.feeders)
				time.Sleep(time.Minute)
				log.full.Store(true)
				worst := time.Duration(0)
				for second := range 400 {
					for i, p := range all[1:] {
						if tc.again || second == 0 {
							requireUnavailable(t, p.Add(t.Context(), revocation.Entry{Issuer: issuer, Subject: fmt.Sprint(i, second)}))
						}
					}
					time.Sleep(time.Second)
					for _, p := range all {
						worst = max(worst, p.Status().Lag)
					}
				}
				require.Less(t, worst, 10*time.Second)
			})
		})
	}
}

// A Log that takes longer to read than MaxLag is read all the same.
func TestWarmOfALongLog(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := &slowLog{first: 100}
		log.fill()
		l := newList(t, func(c *revocation.Config) { c.Log = log })
		require.NoError(t, l.Warm(t.Context()))
		require.Equal(t, 100, l.Status().Entries)
		require.Less(t, l.Status().Lag, 7*time.Second)
	})
}

// What is read ahead, while the log is read again, is counted once for its Source.
func TestReadAheadIsCountedOnce(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := &slowLog{first: 20}
		log.fill()
		reader := start(t, log, func(c *revocation.Config) { c.PerSource = 25 }) // 100 records
		writer := newList(t, func(c *revocation.Config) { c.Log = log })
		require.NoError(t, writer.Warm(t.Context()))
		time.Sleep(time.Minute)
		for at := int64(0); at != 5; at = log.at.Load() {
			time.Sleep(100 * time.Millisecond)
		}
		add := func(l *revocation.List) error {
			time.Sleep(20 * time.Millisecond)
			return l.Add(t.Context(), revocation.Entry{Issuer: issuer, Subject: "alice", Source: "feed"})
		}
		for range 30 {
			require.NoError(t, add(writer))
			require.NoError(t, add(reader.List))
		}
		time.Sleep(time.Minute) // the reading has ended
		for i := range 40 {
			require.NoError(t, add(reader.List), "record %d of 100", 60+i)
		}
		kit.RequireError(t, add(reader.List), bearergate.ErrUnavailable, bearergate.ReasonOverloaded)
	})
}

// Between two readings, what others append counts as well, and what has ended does not.
func TestRecordsOfOthersAreCounted(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := new(kit.Log)
		reader := start(t, log, func(c *revocation.Config) { c.PerSource = 25 }) // 100 records
		time.Sleep(2 * time.Second)
		writer := newList(t, func(c *revocation.Config) { c.Log = log })
		require.NoError(t, writer.Warm(t.Context()))
		for i := range 19 {
			require.NoError(t, writer.Add(t.Context(), revocation.Entry{Issuer: issuer, Subject: fmt.Sprint("s", i), Source: "feed"}))
		}
		for range 80 {
			time.Sleep(time.Millisecond)
			require.NoError(t, writer.Add(t.Context(), revocation.Entry{Issuer: issuer, Subject: "s1", Source: "feed"}))
		}
		past := revocation.Entry{Issuer: issuer, Subject: "past", Source: "feed", Before: time.Now().Add(-2 * time.Hour), Until: time.Now().Add(-time.Hour)}
		log.Put(append(headerOfFirst(), revocation.EncodedAt(past, false, time.Now().UnixMilli())...), time.Now().Add(time.Hour))
		time.Sleep(2 * time.Second)
		require.Equal(t, 19, reader.Status().Entries)
		require.NoError(t, reader.Add(t.Context(), revocation.Entry{Issuer: issuer, Subject: "s1", Source: "feed"}), "the hundredth")
		time.Sleep(time.Millisecond)
		kit.RequireError(t, reader.Add(t.Context(), revocation.Entry{Issuer: issuer, Subject: "s1", Source: "feed"}), bearergate.ErrUnavailable, bearergate.ReasonOverloaded)
	})
}

// A third of the room is for one Source, if nothing else is said.
func TestPerSourceByDefault(t *testing.T) {
	l := newList(t, func(c *revocation.Config) { c.MaxEntries = 12 })
	for i := range 4 {
		require.NoError(t, l.Add(t.Context(), revocation.Entry{Issuer: issuer, Subject: fmt.Sprint(i)}))
	}
	kit.RequireError(t, l.Add(t.Context(), revocation.Entry{Issuer: issuer, Subject: "one more"}), bearergate.ErrUnavailable, bearergate.ReasonOverloaded)
}

// What the Log has lost is put back however long it takes to read, and whatever else fails.
//
// req: FLT-06
func TestPuttingBackIsNotStarved(t *testing.T) {
	for _, tc := range []struct {
		name  string
		first int
		fails bool // what another process appends
	}{
		{name: "a reading takes as long as it is until the next", first: 301},
		{name: "and readings are asked for", first: 8, fails: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				log := &slowLog{first: tc.first}
				log.fill()
				all := []*process{start(t, log, nil), start(t, log, nil)}
				time.Sleep(700 * time.Second)
				require.NoError(t, all[0].Add(t.Context(), alice()))
				time.Sleep(10 * time.Second)
				log.Forget(1000)
				log.Lose(1000)
				log.fill()
				for range 1500 {
					if tc.fails {
						log.full.Store(true)
						requireUnavailable(t, all[1].Add(t.Context(), revocation.Entry{Issuer: issuer, TokenID: "refused"}))
						log.full.Store(false)
					}
					time.Sleep(time.Second)
				}
				require.True(t, bytes.Contains(bytes.Join(log.Data(), nil), []byte("alice")))
			})
		})
	}
}

// busyLog takes a while for each call, in which others append heartbeats: no page is empty.
type busyLog struct {
	kit.Log
	delay  time.Duration
	others int
	mu     sync.Mutex // guards what follows
	last   time.Time
}

func (l *busyLog) wait(ctx context.Context) error {
	select {
	case <-time.After(l.delay):
	case <-ctx.Done():
		return ctx.Err()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for every := 5 * time.Second / time.Duration(l.others); time.Since(l.last) >= every; l.last = l.last.Add(every) {
		if l.last.IsZero() {
			l.last = time.Now()
		}
		l.Put(append([]byte{1, 'h', 'a', 'n', 'o', 't', 'h', 'e', 'r', '1'}, make([]byte, 16+16)...), l.last.Add(20*time.Second))
	}
	return nil
}

func (l *busyLog) Append(ctx context.Context, records ...revocation.Record) error {
	if err := l.wait(ctx); err != nil {
		return err
	}
	return l.Log.Append(ctx, records...)
}

func (l *busyLog) Read(ctx context.Context, after string, limit int) ([][]byte, string, error) {
	if err := l.wait(ctx); err != nil {
		return nil, "", err
	}
	return l.Log.Read(ctx, after, limit)
}

// In a fleet so large that something new stands in each page, the end is never met. A process
// knows what is revoked all the same, tells that it is there, and is read again.
func TestAFleetThatIsNeverSilent(t *testing.T) {
	for _, tc := range []struct {
		delay  time.Duration
		others int
	}{{100 * time.Millisecond, 500}, {20 * time.Millisecond, 2000}, {time.Second, 50}} {
		t.Run(fmt.Sprint(tc), func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				log := &busyLog{delay: tc.delay, others: tc.others}
				p := start(t, log, nil)
				time.Sleep(10 * time.Second)
				worst := time.Duration(0)
				for range 900 {
					time.Sleep(time.Second)
					worst = max(worst, p.Status().Lag)
				}
				require.Less(t, worst, 15*time.Second)
				require.GreaterOrEqual(t, p.readings(), 3)
				require.NoError(t, p.Add(t.Context(), alice()))
				require.NoError(t, newList(t, func(c *revocation.Config) { c.Log = log }).Warm(t.Context()))
			})
		})
	}
}
