package redisgate_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	mini "github.com/alicebob/miniredis/v2/server"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	redisgate "github.com/bearergate/bearergate/adapters/redis"
	"github.com/bearergate/bearergate/binding/dpop"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/revocation"
	"github.com/bearergate/bearergate/test/kit"
)

// What others ask for.
var (
	_ dpop.ReplayStore       = (*redisgate.Replay)(nil)
	_ middleware.ReplayStore = (*redisgate.Replay)(nil)
	_ introspect.Store       = (*redisgate.Answers)(nil)
	_ introspect.Claimer     = (*redisgate.Answers)(nil)
	_ revocation.Log         = (*redisgate.Log)(nil)
)

// req: FLT-01
// W2-121.
func TestOneOfManyUsesWins(t *testing.T) {
	noLeaks(t)
	rows := []struct {
		name  string
		fleet []redisgate.Config // of the four processes
	}{
		{"one secret", []redisgate.Config{with(1), with(1), with(1), with(1)}},
		{"two secrets", []redisgate.Config{with(1, 2), with(1, 2), with(1, 2), with(1, 2)}},
		{"a change of the secret, first step", []redisgate.Config{with(1), with(1, 2), with(1), with(1, 2)}},
		{"a change of the secret, second step", []redisgate.Config{with(1, 2), with(2, 1), with(1, 2), with(2, 1)}},
		{"a change of the secret, third step", []redisgate.Config{with(2, 1), with(2), with(2, 1), with(2)}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			server := miniredis.RunT(t)
			var fleet []*redisgate.Replay
			for _, c := range row.fleet {
				fleet = append(fleet, stores(t, connect(t, server.Addr()), c).Replay())
			}
			for round := range 8 {
				var winners atomic.Int32
				var all sync.WaitGroup
				for i := range 64 {
					all.Go(func() {
						fresh, err := fleet[i%len(fleet)].Use(t.Context(), "proof "+strconv.Itoa(round), soon())
						assert.NoError(t, err)
						if fresh {
							winners.Add(1)
						}
					})
				}
				all.Wait()
				require.EqualValues(t, 1, winners.Load())
			}
		})
	}
}

func TestUsedProofsAreFoundWhileASecretChanges(t *testing.T) {
	server := miniredis.RunT(t)
	rows := []struct {
		name          string
		before, after redisgate.Config
	}{
		{"the new one can be read", with(1), with(1, 2)},
		{"the new one writes", with(1, 2), with(2, 1)},
		{"back again", with(2, 1), with(1, 2)},
		{"the old one is gone", with(2, 1), with(2)},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			client := connect(t, server.Addr())
			fresh, err := stores(t, client, row.before).Replay().Use(t.Context(), row.name, soon())
			require.NoError(t, err)
			require.True(t, fresh)
			for range 2 {
				fresh, err = stores(t, client, row.after).Replay().Use(t.Context(), row.name, soon())
				require.NoError(t, err)
				require.False(t, fresh)
			}
		})
	}
}

func TestUsesAreKeptApart(t *testing.T) {
	server := miniredis.RunT(t)
	client := connect(t, server.Addr())
	other := config()
	other.Namespace = "payments"
	for _, s := range []*redisgate.Stores{stores(t, client, config()), stores(t, client, other)} {
		for _, key := range []string{"a", "A", "é", "e\u0301", ""} { // W2-127
			fresh, err := s.Replay().Use(t.Context(), key, soon())
			require.NoError(t, err)
			require.True(t, fresh, key)
		}
		claimed, err := s.Answers().Claim(t.Context(), "a", time.Minute)
		require.NoError(t, err)
		require.True(t, claimed)
	}
}

// req: FLT-02
func TestUsesAreKeptUntilTheirEnd(t *testing.T) {
	for _, c := range []redisgate.Config{with(1), with(1, 2)} {
		s, server := single(t, c)
		until := time.Now().Add(70*time.Second + 300*time.Microsecond)
		fresh, err := s.Replay().Use(t.Context(), "proof", until)
		require.NoError(t, err)
		require.True(t, fresh)
		require.Len(t, server.Keys(), 1)
		ttl := server.TTL(server.Keys()[0])
		require.GreaterOrEqual(t, ttl, time.Until(until)+redisgate.Skew)
		require.LessOrEqual(t, ttl, 70*time.Second+redisgate.Skew+time.Millisecond)

		server.FastForward(time.Until(until) + redisgate.Skew - time.Millisecond)
		fresh, err = s.Replay().Use(t.Context(), "proof", soon())
		require.NoError(t, err)
		require.False(t, fresh)
		require.LessOrEqual(t, server.TTL(server.Keys()[0]), 10*time.Second, "a second use does not prolong")
		server.FastForward(10 * time.Second)
		fresh, err = s.Replay().Use(t.Context(), "proof", soon())
		require.NoError(t, err)
		require.True(t, fresh)

		fresh, err = s.Replay().Use(t.Context(), "for ever", time.Unix(1<<37, 0))
		require.NoError(t, err)
		require.True(t, fresh)
		fresh, err = s.Replay().Use(t.Context(), "over", time.Now().Add(-time.Second))
		kit.RequireError(t, err, bearergate.ErrUnavailable, bearergate.ReasonStoreUnavailable)
		require.False(t, fresh)
	}
}

// A connection that loses the answer to the first command named, which the server has run.
type lossy struct {
	net.Conn
	command string
	lose    *atomic.Bool
	wrote   atomic.Bool
}

func (c *lossy) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte(c.command)) && c.lose.CompareAndSwap(true, false) {
		c.wrote.Store(true)
	}
	return c.Conn.Write(b)
}

func (c *lossy) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.wrote.Load() {
		_ = c.Close() // for good
		return 0, io.EOF
	}
	return n, err
}

// req: FLT-03
// W2-131.
func TestALostAnswerIsNoReplay(t *testing.T) {
	rows := []struct {
		name    string
		config  redisgate.Config
		command string
	}{
		{"one secret", with(1), "\r\nset\r\n"},
		{"two secrets", with(1, 2), "\r\neval\r\n"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			server := miniredis.RunT(t)
			lose := new(atomic.Bool)
			client := redis.NewClient(redisgate.Options(&redis.Options{
				Addr: server.Addr(), ReadTimeout: 2 * time.Second,
				Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
					c, err := new(net.Dialer).DialContext(ctx, network, addr)
					return &lossy{Conn: c, command: row.command, lose: lose}, err
				},
			}))
			t.Cleanup(func() { require.NoError(t, client.Close()) })
			replay := stores(t, client, row.config).Replay()
			_, err := replay.Use(t.Context(), "before", soon())
			require.NoError(t, err)
			lose.Store(true)
			fresh, err := replay.Use(t.Context(), "proof", soon())
			require.NoError(t, err)
			require.True(t, fresh)
			require.False(t, lose.Load(), "an answer was lost")
			fresh, err = replay.Use(t.Context(), "proof", soon())
			require.NoError(t, err)
			require.False(t, fresh)
		})
	}
}

// req: FLT-08
func TestRedisLearnsNoName(t *testing.T) {
	const user = "alice@example.com"
	for _, c := range []redisgate.Config{with(1), with(1, 2)} {
		s, server := single(t, c)
		_, err := s.Replay().Use(t.Context(), user, soon())
		require.NoError(t, err)
		_, err = s.Answers().Claim(t.Context(), user, time.Minute)
		require.NoError(t, err)
		require.NoError(t, s.Answers().Set(t.Context(), user, []byte("sealed by its owner"), time.Minute))
		require.NoError(t, s.Log().Append(t.Context(), record(user)))
		require.Len(t, server.Keys(), 5)
		dump := server.Dump()
		require.NotContains(t, dump, "alice")
		require.Contains(t, dump, "bearergate:orders:used:{")
		for _, key := range server.Keys() {
			require.True(t, strings.HasPrefix(key, "bearergate:"), key)
		}

		// Nor are names those of another secret: without it, nobody can test a guess.
		other, elsewhere := single(t, with(9))
		_, err = other.Replay().Use(t.Context(), user, soon())
		require.NoError(t, err)
		require.NotSubset(t, server.Keys(), elsewhere.Keys())
	}
}

// req: FLT-09
func TestUsesSpreadOverSlots(t *testing.T) {
	s, server := single(t, config())
	for i := range 2000 {
		_, err := s.Replay().Use(t.Context(), strconv.Itoa(i), soon())
		require.NoError(t, err)
	}
	thirds := map[int]int{}
	for _, key := range server.Keys() {
		thirds[int(redisgate.SlotOf(key))*3/16384]++
	}
	for third := range 3 {
		require.InDelta(t, 2000/3, thirds[third], 120)
	}
}

// Under several secrets, one script decides: on one server of a Cluster.
func TestTheNamesOfAUseAreInOneSlot(t *testing.T) {
	s, _ := single(t, with(1, 2, 3))
	slots := map[uint16]bool{}
	for i := range 100 {
		names := s.Names(strconv.Itoa(i))
		require.Len(t, names, 3)
		for _, name := range names {
			require.Equal(t, redisgate.SlotOf(names[0]), redisgate.SlotOf(name))
			slots[redisgate.SlotOf(name)] = true
		}
		require.NotEqual(t, names[0], names[1])
	}
	require.Greater(t, len(slots), 90)
}

func TestSlotsAreThoseOfRedis(t *testing.T) {
	// Appendix A of the specification of Redis Cluster, and its rules for hash tags.
	require.EqualValues(t, 0x31C3, redisgate.SlotOf("123456789"))
	require.Equal(t, redisgate.SlotOf("user1000"), redisgate.SlotOf("{user1000}.following"))
	require.Equal(t, redisgate.SlotOf("bar"), redisgate.SlotOf("foo{bar}{zap}"))
	require.EqualValues(t, 8363, redisgate.SlotOf("foo{}{bar}"))
}

func TestFewerReplicasThanAskedFor(t *testing.T) {
	rows := []struct {
		name     string
		replicas int
		enough   bool
	}{
		{"enough", 2, true},
		{"too few", 1, false},
	}
	for _, row := range rows {
		for _, secrets := range []redisgate.Config{with(1), with(1, 2)} {
			t.Run(row.name, func(t *testing.T) {
				told := &events{}
				secrets.Replicas, secrets.Hooks = 2, told.hooks()
				server := miniredis.RunT(t)
				answer(server, "WAIT", func(c *mini.Peer, _ []string) { c.WriteInt(row.replicas) })
				s := stores(t, connect(t, server.Addr()), secrets)
				fresh, err := s.Replay().Use(t.Context(), "proof", soon())
				require.Equal(t, row.enough, fresh)
				if !row.enough {
					kit.RequireError(t, err, bearergate.ErrUnavailable, bearergate.ReasonStoreUnavailable)
					require.Equal(t, []redisgate.Outcome{redisgate.OutcomeAlone}, told.outcomes())
				} else {
					require.NoError(t, err)
				}
				// Whoever comes second is told, whatever the replicas know.
				fresh, err = s.Replay().Use(t.Context(), "proof", soon())
				require.NoError(t, err)
				require.False(t, fresh)

				err = s.Log().Append(t.Context(), record("r"))
				require.Equal(t, row.enough, err == nil)
				require.NoError(t, s.Answers().Set(t.Context(), "k", []byte("v"), time.Minute), "nobody waits for replicas here")
			})
		}
	}
}

// In a failover, a client may reach a server that is a replica by now. What is used there was
// used, and that is no mistake in the set-up: WAIT is what a replica refuses.
func TestUsedByTheWordOfAReplica(t *testing.T) {
	c := config()
	c.Replicas = 1
	s, server := single(t, c)
	wait := func(f func(c *mini.Peer)) {
		answer(server, "WAIT", func(c *mini.Peer, _ []string) { f(c) })
	}
	wait(func(c *mini.Peer) { c.WriteInt(1) })
	fresh, err := s.Replay().Use(t.Context(), "proof", soon())
	require.NoError(t, err)
	require.True(t, fresh)

	wait(func(c *mini.Peer) { c.WriteError("ERR WAIT cannot be used with replica instances.") })
	fresh, err = s.Replay().Use(t.Context(), "proof", soon())
	require.NoError(t, err)
	require.False(t, fresh)

	// What writes, where WAIT does not work, is not acknowledged. It is an outage, until the
	// client finds the new master.
	fresh, err = s.Replay().Use(t.Context(), "another", soon())
	kit.RequireError(t, err, bearergate.ErrUnavailable, bearergate.ReasonStoreUnavailable)
	require.False(t, fresh)
}
