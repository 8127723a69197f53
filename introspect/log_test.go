package introspect_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/feed"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/bearergate/bearergate/test/kit"
)

// telling is a configuration with a PurgeLog.
func telling(s *server, log introspect.Log) introspect.Config {
	return with(config(s), func(c *introspect.Config) {
		c.PurgeLog, c.Store.Key = log, bearergate.NewSecret(string(bytes.Repeat([]byte{7}, 32)))
		c.PositiveTTL = 5 * time.Minute
	})
}

// follow has Clients follow their PurgeLog until the test ends.
func follow(t *testing.T, clients ...*introspect.Client) {
	t.Helper()
	for _, c := range clients {
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		wg.Go(func() { assert.NoError(t, c.Run(ctx)) })
		t.Cleanup(func() { cancel(); wg.Wait() })
	}
	time.Sleep(time.Second)
}

// purgeEvents are what the Hooks were told.
type purgeEvents struct {
	mu     sync.Mutex // guards the rest
	purged []introspect.PurgeEvent
	read   []introspect.PurgesReadEvent
}

func (p *purgeEvents) hooks(c *introspect.Config) {
	c.Hooks.Purged = func(_ context.Context, e introspect.PurgeEvent) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.purged = append(p.purged, e)
	}
	c.Hooks.PurgesRead = func(_ context.Context, e introspect.PurgesReadEvent) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.read = append(p.read, e)
	}
}

func (p *purgeEvents) take() (purged []introspect.PurgeEvent, read []introspect.PurgesReadEvent) {
	p.mu.Lock()
	defer p.mu.Unlock()
	purged, read = p.purged, p.read
	p.purged, p.read = nil, nil
	return purged, read
}

// A Purge reaches the memory of every process in a second, and concerns no other token and no
// other Client.
func TestPurgeReachesEveryProcess(t *testing.T) {
	for _, tt := range []struct {
		name  string
		purge func(*introspect.Client) error
		all   bool
	}{
		{name: "one, without a context", purge: func(c *introspect.Client) error { c.Purge(opaque); return nil }},
		{name: "one", purge: func(c *introspect.Client) error { return c.PurgeContext(context.Background(), opaque) }},
		{name: "all, without a context", all: true, purge: func(c *introspect.Client) error { c.PurgeAll(); return nil }},
		{name: "all", all: true, purge: func(c *introspect.Client) error { return c.PurgeAllContext(context.Background()) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				log, s := new(kit.Log), newServer()
				s.answers["other"] = answer(nil)
				var events, otherEvents purgeEvents
				first := newClient(t, telling(s, log))
				second, third := newClient(t, with(telling(s, log), events.hooks)), newClient(t, telling(s, log))
				another := newClient(t, with(telling(s, log), func(c *introspect.Config) {
					c.Auth = introspect.BasicAuth("another-api", secret)
					otherEvents.hooks(c)
				}))
				follow(t, first, second, third, another)
				verify := func(clients ...*introspect.Client) (calls int) {
					before := s.requests()
					for _, c := range clients {
						requireAccepted(t, c, opaque)
						requireAccepted(t, c, "other")
					}
					return s.requests() - before
				}
				require.Equal(t, 8, verify(first, second, third, another))
				require.Zero(t, verify(first, second, third, another))

				s.set(func(s *server) { delete(s.answers, opaque) })
				require.NoError(t, tt.purge(first))
				requireRefused(t, first, opaque, invalid, bearergate.ReasonInactive)
				time.Sleep(time.Second)
				requireRefused(t, second, opaque, invalid, bearergate.ReasonInactive)
				requireRefused(t, third, opaque, invalid, bearergate.ReasonInactive)
				requireAccepted(t, another, opaque)
				before := s.requests()
				for _, c := range []*introspect.Client{first, second, third, another} {
					requireAccepted(t, c, "other")
				}
				calls := 0
				if tt.all {
					calls = 3
				}
				require.Equal(t, calls, s.requests()-before)

				purged, _ := events.take()
				require.Equal(t, []introspect.PurgeEvent{{Issuer: issuer, All: tt.all, Elsewhere: true}}, purged)
				purged, _ = otherEvents.take()
				require.Empty(t, purged)
				for _, data := range log.Data() {
					require.NotContains(t, string(data), opaque)
				}
			})
		})
	}
}

// An answer from before the purge comes back neither by a call that was under way nor out of
// the Store, whoever puts it there.
func TestPurgedAnswersStayAway(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log, st, s := new(kit.Log), newStore(), newServer()
		c := with(telling(s, log), func(c *introspect.Config) { c.Store.Answers = st })
		first, second, third := newClient(t, c), newClient(t, c), newClient(t, c)
		follow(t, first, second, third)
		requireAccepted(t, first, opaque)
		synctest.Wait()
		st.mu.Lock()
		values := maps.Clone(st.values)
		clear(st.values)
		st.mu.Unlock()

		// The second asks, and has an answer from before the purge when it has heard of that.
		s.set(func(s *server) { s.delay = 2 * time.Second })
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := second.Verify(t.Context(), opaque)
			assert.NoError(t, err)
		})
		synctest.Wait()
		s.set(func(s *server) { s.delay = 0 })
		require.NoError(t, first.PurgeContext(t.Context(), opaque))
		wg.Wait() // 2 s
		synctest.Wait()
		s.set(func(s *server) { delete(s.answers, opaque) })
		requireRefused(t, second, opaque, invalid, bearergate.ReasonInactive)
		requireRefused(t, first, opaque, invalid, bearergate.ReasonInactive)

		// One that has heard nothing, or is broken, puts the old answer into the Store.
		putBack := func() {
			st.mu.Lock()
			defer st.mu.Unlock()
			maps.Copy(st.values, values)
		}
		putBack()
		requireRefused(t, third, opaque, invalid, bearergate.ReasonInactive)
		synctest.Wait()
		putBack()
		late := newClient(t, c) // learns of the purge out of the log, before anything is asked of it
		follow(t, late)
		requireRefused(t, late, opaque, invalid, bearergate.ReasonInactive)

		synctest.Wait()
		putBack()
		deaf := newClient(t, c) // the control: it does not follow
		requireAccepted(t, deaf, opaque)
	})
}

// A Purge while the log fails works here, and says that the others do not know.
func TestPurgeLogFails(t *testing.T) {
	for name, fault := range map[string]func(context.Context, string) error{
		"an error": func(context.Context, string) error { return errors.New("down") },
		"hangs":    kit.Hang,
		"panics":   func(context.Context, string) error { panic(opaque) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				log, s := new(kit.Log), newServer()
				var events, others purgeEvents
				first, second := newClient(t, with(telling(s, log), events.hooks)), newClient(t, with(telling(s, log), others.hooks))
				follow(t, first, second)
				requireAccepted(t, first, opaque)
				requireAccepted(t, second, opaque)
				require.Equal(t, 2, s.requests())
				events.take()
				others.take()

				log.Fault(fault)
				start := time.Now()
				err := first.PurgeContext(t.Context(), opaque)
				require.LessOrEqual(t, time.Since(start), 3*time.Second)
				kit.RequireError(t, err, bearergate.ErrUnavailable, bearergate.ReasonStoreUnavailable)
				require.NotContains(t, err.Error(), opaque)
				purged, _ := events.take()
				require.Equal(t, []introspect.PurgeEvent{{Issuer: issuer, Err: err}}, purged)
				requireAccepted(t, first, opaque)
				require.Equal(t, 3, s.requests(), "forgotten here")
				time.Sleep(15 * time.Second)
				requireAccepted(t, second, opaque)
				require.Equal(t, 3, s.requests(), "nothing is refused, and nothing forgotten, because nothing is heard")
				_, read := others.take()
				require.NotEmpty(t, read)
				require.Error(t, read[len(read)-1].Err)
				require.Greater(t, second.Status().Lag, 10*time.Second)

				// Once more, when it is back.
				log.Fault(nil)
				time.Sleep(10 * time.Second)
				require.NoError(t, first.PurgeContext(t.Context(), opaque))
				time.Sleep(time.Second)
				requireAccepted(t, second, opaque)
				require.Equal(t, 4, s.requests())
				require.Less(t, second.Status().Lag, 10*time.Second)

				// What was read is not done again when the log is read from the beginning.
				others.take()
				log.Fault(fault)
				time.Sleep(10 * time.Second)
				log.Fault(nil)
				time.Sleep(20 * time.Second)
				purged, read = others.take()
				require.Empty(t, purged)
				last := read[len(read)-1]
				require.True(t, last.Whole)
				require.NoError(t, last.Err)
				require.Equal(t, 1, last.Records)
				requireAccepted(t, second, opaque)
				require.Equal(t, 4, s.requests())
			})
		})
	}
}

func TestPurgeWhoseCallerLeaves(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log, s := new(kit.Log), newServer()
		client := newClient(t, telling(s, log))
		requireAccepted(t, client, opaque)
		log.Fault(kit.Hang)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		kit.RequireError(t, client.PurgeContext(ctx, opaque), bearergate.ErrUnavailable, bearergate.ReasonCanceled)
		kit.RequireError(t, client.PurgeAllContext(ctx), bearergate.ErrUnavailable, bearergate.ReasonCanceled)
		requireAccepted(t, client, opaque)
		require.Equal(t, 2, s.requests())
		time.Sleep(feed.Timeout + time.Second) // the call of the log goes on without its caller
	})
}

// purgeRecord is one as another process writes it. of is the name of the Client, and name that
// of the token: both as that process knows them.
func purgeRecord(t *testing.T, s *server, purge func(*introspect.Client)) (payload []byte) {
	t.Helper()
	log := new(kit.Log)
	purge(newClient(t, telling(s, log)))
	data := log.Data()
	require.Len(t, data, 1)
	return data[0][26:] // behind what internal/feed writes
}

// What nobody has written, and what comes too late, does nothing.
func TestPurgeRecords(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newServer()
		good := purgeRecord(t, s, func(c *introspect.Client) { c.Purge(opaque) })
		at := func(at time.Time) []byte {
			record := bytes.Clone(good)
			binary.BigEndian.PutUint64(record[9:], uint64(at.UnixMilli()))
			return record
		}
		raw := func(ms uint64) []byte {
			record := bytes.Clone(good)
			binary.BigEndian.PutUint64(record[9:], ms)
			return record
		}
		now := time.Now()
		const life = 5*time.Minute + 5*time.Second + introspect.DefaultTimeout + time.Minute // PositiveTTL, the clocks, a call, a Store
		for _, tt := range []struct {
			name         string
			record       []byte
			unread, acts bool
		}{
			{name: "good", record: good, acts: true},
			{name: "by a clock that is ahead", record: at(now.Add(time.Hour)), acts: true},
			{name: "by a clock of another age", record: raw(math.MaxInt64), acts: true},
			{name: "as long ago as an answer can live", record: at(now.Add(-life)), acts: true},
			{name: "longer ago", record: at(now.Add(-life - time.Millisecond))},
			{name: "before all times", record: raw(1 << 63)},
			{name: "empty", unread: true},
			{name: "cut off", record: good[:len(good)-1], unread: true},
			{name: "too long", record: append(bytes.Clone(good), 0), unread: true},
			{name: "another operation", record: append([]byte{3}, good[1:]...), unread: true},
			{name: "of another Client", record: append(append(bytes.Clone(good[:17]), good[49:]...), good[49:]...)},
		} {
			client := newClient(t, telling(s, new(kit.Log)))
			requireAccepted(t, client, opaque)
			before := s.requests()
			require.Equal(t, !tt.unread, client.TakePurge(tt.record), tt.name)
			requireAccepted(t, client, opaque)
			require.Equal(t, tt.acts, s.requests() > before, tt.name)
			require.Equal(t, tt.unread, client.Status().Skipped == 1, tt.name)
			// And once more changes nothing.
			before = s.requests()
			client.TakePurge(tt.record)
			requireAccepted(t, client, opaque)
			require.Equal(t, before, s.requests(), tt.name)
		}
	})
}

// A process whose clock is ahead purges what was, and not what is to come.
func TestPurgeByAClockAhead(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		st, s := newStore(), newServer()
		record := purgeRecord(t, s, func(c *introspect.Client) { c.Purge(opaque) })
		binary.BigEndian.PutUint64(record[9:], uint64(time.Now().Add(time.Hour).UnixMilli()))
		c := with(telling(s, new(kit.Log)), func(c *introspect.Config) { c.Store.Answers = st })
		first, second := newClient(t, c), newClient(t, c)
		require.True(t, first.TakePurge(record))
		time.Sleep(6 * time.Second)
		requireAccepted(t, second, opaque)
		synctest.Wait()
		requireAccepted(t, first, opaque)
		require.Equal(t, 1, s.requests())
	})
}

// A process whose clock is behind purges what this one writes to the Store at the moment, too.
func TestPurgeByAClockBehindDuringSet(t *testing.T) {
	for _, tt := range []struct {
		name  string
		purge func(*introspect.Client)
	}{
		{name: "one token", purge: func(c *introspect.Client) { c.Purge(opaque) }},
		{name: "all", purge: (*introspect.Client).PurgeAll},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				s, st := newServer(), lateStore{newStore(), 80 * time.Millisecond}
				record := purgeRecord(t, s, tt.purge)
				time.Sleep(10 * time.Second)
				c := with(telling(s, new(kit.Log)), func(c *introspect.Config) { c.Store.Answers = st })
				client := newClient(t, with(c, func(c *introspect.Config) {
					c.Hooks.Called = func(context.Context, introspect.CallEvent) { time.Sleep(50 * time.Millisecond) }
				}))
				go func() { _, _ = client.Verify(t.Context(), opaque) }()
				synctest.Wait() // it has its answer, and the Store has not
				st.mu.Lock()
				require.Empty(t, st.values)
				st.mu.Unlock()
				require.True(t, client.TakePurge(record))
				time.Sleep(time.Second)
				requireAccepted(t, newClient(t, c), opaque)
				require.Equal(t, 2, s.requests(), "the Store has none of it")
				time.Sleep(time.Second)
			})
		})
	}
}

// What another process has purged before this one did takes nothing back of that.
func TestEarlierPurgeOfAll(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		st, s := newStore(), newServer()
		earlier := purgeRecord(t, s, func(c *introspect.Client) { c.PurgeAll() })
		time.Sleep(10 * time.Second)
		client := newClient(t, with(telling(s, new(kit.Log)), func(c *introspect.Config) { c.Store.Answers = st }))
		requireAccepted(t, client, opaque)
		synctest.Wait()
		time.Sleep(10 * time.Second)
		client.PurgeAll()
		require.True(t, client.TakePurge(earlier))
		requireAccepted(t, client, opaque)
		require.Equal(t, 2, s.requests(), "the answer in the Store is older than the purge")
	})
}

// A process that reads its own purge forgets nothing again.
func TestOwnPurges(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newServer()
		var events purgeEvents
		client := newClient(t, with(telling(s, new(kit.Log)), events.hooks))
		follow(t, client)
		requireAccepted(t, client, opaque)
		for _, purge := range []func(){func() { client.Purge(opaque) }, client.PurgeAll} {
			before := s.requests()
			purge()
			requireAccepted(t, client, opaque)
			time.Sleep(time.Second)
			requireAccepted(t, client, opaque)
			require.Equal(t, before+1, s.requests())
		}
		purged, read := events.take()
		require.Equal(t, []introspect.PurgeEvent{{Issuer: issuer}, {Issuer: issuer, All: true}}, purged)
		require.Equal(t, 1, read[len(read)-1].Records, "it was read")
	})
}

// However many records somebody writes, what is kept of them is bounded.
func TestPurgeRecordsAreBounded(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newServer()
		record := purgeRecord(t, s, func(c *introspect.Client) { c.Purge(opaque) })
		client := newClient(t, telling(s, new(kit.Log)))
		for i := range introspect.MaxPurges + 10 {
			binary.BigEndian.PutUint64(record[len(record)-8:], uint64(i))
			client.TakePurge(record)
			require.LessOrEqual(t, client.PurgesSeen(), introspect.MaxPurges)
		}
		require.Less(t, client.PurgesSeen(), 20)
		requireAccepted(t, client, opaque)

		// Those that are over go first.
		numbered := func(i int) []byte {
			binary.BigEndian.PutUint64(record[9:], uint64(time.Now().UnixMilli()))
			binary.BigEndian.PutUint64(record[len(record)-8:], uint64(i))
			return record
		}
		for _, tt := range []struct{ short, seen int }{ // where all may count still, all are forgotten
			{short: 0, seen: introspect.MaxPurges/2 + 1},
			{short: 1, seen: 1},
		} {
			client = newClient(t, telling(s, new(kit.Log)))
			for i := range introspect.MaxPurges / 2 {
				client.TakePurge(numbered(i))
			}
			time.Sleep(client.PurgesSeenFor() - time.Duration(tt.short)*time.Nanosecond)
			for i := range introspect.MaxPurges/2 + 1 {
				client.TakePurge(numbered(i))
			}
			require.Equal(t, tt.seen, client.PurgesSeen())
		}
	})
}

func TestRunOfPurges(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newServer()
		require.NoError(t, newClient(t, config(s)).Run(t.Context()), "nothing to follow")
		require.Equal(t, introspect.Status{Lag: -1}, newClient(t, config(s)).Status())
		for _, none := range []*introspect.Client{nil, {}} {
			kit.RequireError(t, none.Run(t.Context()), misconfigured, bearergate.ReasonConfig)
			kit.RequireError(t, none.PurgeContext(t.Context(), opaque), misconfigured, bearergate.ReasonConfig)
			kit.RequireError(t, none.PurgeAllContext(t.Context()), misconfigured, bearergate.ReasonConfig)
			require.Equal(t, introspect.Status{Lag: -1}, none.Status())
		}

		client := newClient(t, telling(s, new(kit.Log)))
		require.Equal(t, introspect.Status{Lag: -1}, client.Status())
		follow(t, client)
		kit.RequireError(t, client.Run(t.Context()), misconfigured, bearergate.ReasonConfig)
		status := client.Status()
		require.False(t, status.Heard.IsZero())
		require.Less(t, status.Lag, 2*time.Second)
	})
}

// Many verify while many purge, in several processes.
func TestPurgesAtTheSameTime(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log, st, s := new(kit.Log), newStore(), newServer()
		c := with(telling(s, log), func(c *introspect.Config) { c.Store.Answers = st })
		clients := []*introspect.Client{newClient(t, c), newClient(t, c), newClient(t, c)}
		follow(t, clients...)
		var wg sync.WaitGroup
		for _, client := range clients {
			for range 4 {
				wg.Go(func() {
					for range 50 {
						_, err := client.Verify(t.Context(), opaque)
						assert.NoError(t, err)
						time.Sleep(37 * time.Millisecond)
					}
				})
			}
			wg.Go(func() {
				for n := range 10 {
					assert.NoError(t, client.PurgeContext(t.Context(), opaque))
					if n%5 == 0 {
						assert.NoError(t, client.PurgeAllContext(t.Context()))
					}
					_ = client.Status()
					time.Sleep(150 * time.Millisecond)
				}
			})
		}
		wg.Wait()
		s.set(func(s *server) { delete(s.answers, opaque) })
		require.NoError(t, clients[0].PurgeContext(t.Context(), opaque))
		time.Sleep(time.Second)
		for _, client := range clients {
			requireRefused(t, client, opaque, invalid, bearergate.ReasonInactive)
		}
	})
}

// A record does what it says or nothing.
func FuzzPurgeRecord(f *testing.F) {
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{1}, 81))
	f.Add(bytes.Repeat([]byte{2}, 81))
	f.Fuzz(func(t *testing.T, record []byte) {
		s := newServer()
		client := newClient(t, telling(s, new(kit.Log)))
		requireAccepted(t, client, opaque)
		require.Equal(t, len(record) == 81 && (record[0] == 1 || record[0] == 2), client.TakePurge(record))
		requireAccepted(t, client, opaque)
		require.Equal(t, 1, s.requests(), "nobody guesses the name of a Client")
	})
}
