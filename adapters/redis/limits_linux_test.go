package redisgate_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	redisgate "github.com/bearergate/bearergate/adapters/redis"
	"github.com/bearergate/bearergate/test/kit"
)

// The rights that the package comment lists are enough for everything, and nothing is asked
// for beyond them.
func TestRealUserWithTheRightsThatAreListed(t *testing.T) {
	source, err := os.ReadFile("redisgate.go")
	require.NoError(t, err)
	rule := regexp.MustCompile(`ACL SETUSER api on >\S+ (.*)`).FindStringSubmatch(string(source))
	require.Len(t, rule, 2)
	for _, row := range deployments {
		t.Run(row.name, func(t *testing.T) {
			d := row.start(t)
			all := append(append([]*node(nil), d.masters...), d.replicas...)
			for _, n := range all {
				args := []any{"ACL", "SETUSER", "api", "on", ">password"}
				for right := range strings.FieldsSeq(rule[1]) {
					args = append(args, right)
				}
				client := redis.NewClient(redisgate.Options(&redis.Options{Addr: n.addr(), ReadTimeout: time.Second}))
				require.NoError(t, client.Do(t.Context(), args...).Err())
				require.NoError(t, client.Close())
			}
			for _, c := range []redisgate.Config{with(1), with(1, 2)} {
				c.Replicas = row.replicas
				s := stores(t, as(t, unhurried(t, d.connect(t)), "api", "password"), c)
				require.NoError(t, s.Check(t.Context()))
				fresh, err := s.Replay().Use(t.Context(), fmt.Sprint("proof", len(c.Secrets)), soon())
				require.NoError(t, err)
				require.True(t, fresh)
				_, err = s.Answers().Claim(t.Context(), "k", time.Minute)
				require.NoError(t, err)
				require.NoError(t, s.Answers().Set(t.Context(), "k", []byte("v"), time.Minute))
				value, err := s.Answers().Get(t.Context(), "k")
				require.NoError(t, err)
				require.Equal(t, "v", string(value))
				require.NoError(t, s.Log().Append(t.Context(), record("r")))
				got, end := readAll(t, s.Log(), "", 10)
				require.NotEmpty(t, got)
				_, _, err = s.Log().Read(t.Context(), end, 10)
				require.NoError(t, err)
			}
			for _, n := range all {
				require.Equal(t, "[]", n.do(t, "ACL", "LOG"), "what was asked for and not allowed")
			}

			s := stores(t, as(t, d.connect(t), "api", "another password"), with(1))
			_, err := s.Replay().Use(t.Context(), "proof", soon())
			if row.name != "Cluster" { // whose client says that it found no node
				kit.RequireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
			}
			require.Error(t, err)
			require.NotContains(t, err.Error(), "password")
			require.NotContains(t, err.Error(), "127.0.0.1")
		})
	}
}

// as is a client like another one, of a user with a password.
func as(t *testing.T, like redis.UniversalClient, user, password string) redis.UniversalClient {
	t.Helper()
	return changed(t, like, func(o *redis.Options) { o.Username, o.Password = user, password },
		func(o *redis.ClusterOptions) { o.Username, o.Password = user, password })
}

// unhurried is a client like another one, with patience for a busy machine, for a test that
// is not about time.
func unhurried(t *testing.T, like redis.UniversalClient) redis.UniversalClient {
	t.Helper()
	const long = 2 * time.Second
	return changed(t, like, func(o *redis.Options) { o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = long, long, long },
		func(o *redis.ClusterOptions) { o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = long, long, long })
}

// changed is a client like another one, with other options.
func changed(t *testing.T, like redis.UniversalClient, single func(*redis.Options), cluster func(*redis.ClusterOptions)) redis.UniversalClient {
	t.Helper()
	var client redis.UniversalClient
	switch c := like.(type) {
	case *redis.Client:
		o := *c.Options()
		single(&o)
		client = redis.NewClient(&o)
	case *redis.ClusterClient:
		o := *c.Options()
		cluster(&o)
		client = redis.NewClusterClient(&o)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// W2-133.
func TestRealMasterWithoutReplicasLetsNobodyIn(t *testing.T) {
	d := failingOver(t)
	told := &events{}
	c := everyday(1)
	c.Hooks = told.hooks()
	s := stores(t, d.connect(t), c)
	fresh, err := s.Replay().Use(t.Context(), "before", soon())
	require.NoError(t, err)
	require.True(t, fresh)
	for _, r := range d.replicas {
		r.stop(t)
	}
	late := lateness(t)
	var alone string // a name that the master had, when it said that nobody else has it
	for i := 0; i < 3*redisgate.FailuresToOpen || alone == ""; i++ {
		begin, name := time.Now(), "cut off "+strconv.Itoa(i)
		fresh, err = s.Replay().Use(t.Context(), name, soon())
		requireWithin(t, 200*time.Millisecond, time.Since(begin), late)
		kit.RequireError(t, err, bearergate.ErrUnavailable, bearergate.ReasonStoreUnavailable)
		require.False(t, fresh)
		if outcomes := told.outcomes(); outcomes[len(outcomes)-1] == redisgate.OutcomeAlone {
			alone = name
		}
	}
	require.ErrorIs(t, s.Log().Append(t.Context(), record("r")), bearergate.ErrUnavailable)
	until(t, func() bool { // what was used is refused, whoever knows it
		fresh, err = s.Replay().Use(t.Context(), "before", soon())
		require.False(t, fresh)
		return err == nil
	})
	for _, r := range d.replicas {
		r.wake(t)
	}
	until(t, func() bool {
		fresh, err = s.Replay().Use(t.Context(), "after "+strconv.FormatInt(time.Now().UnixNano(), 10), soon())
		return err == nil
	})
	require.True(t, fresh)
	until(t, func() bool { // W2-135
		fresh, err = s.Replay().Use(t.Context(), alone, soon())
		require.False(t, fresh)
		return err == nil
	})
}

// A use that the client repeats writes once more. Since Redis 7.2, and in Valkey, WAIT goes
// by what its own connection wrote: a call that only found its mark would wait for nothing.
func TestRealRepeatedUseIsWrittenOnceMore(t *testing.T) {
	d := failingOver(t)
	for _, c := range []redisgate.Config{with(1), with(1, 2)} {
		lose := new(atomic.Bool)
		client := redis.NewClient(redisgate.Options(&redis.Options{Addr: d.masters[0].addr(), ReadTimeout: time.Second,
			Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
				c, err := new(net.Dialer).DialContext(ctx, network, addr)
				return &lossy{Conn: c, command: "\r\nwait\r\n", lose: lose}, err
			}}))
		t.Cleanup(func() { require.NoError(t, client.Close()) })
		c.Replicas, c.Timeout = 1, 2*time.Second
		s := stores(t, client, c)
		written := func() string {
			return regexp.MustCompile(`rdb_changes_since_last_save:\d+`).FindString(d.masters[0].do(t, "INFO", "persistence"))
		}
		changes := func(name string) (n int) {
			var before, after int
			_, _ = fmt.Sscanf(written(), "rdb_changes_since_last_save:%d", &before)
			fresh, err := s.Replay().Use(t.Context(), name+strconv.Itoa(len(c.Secrets)), soon())
			require.NoError(t, err)
			require.True(t, fresh)
			_, _ = fmt.Sscanf(written(), "rdb_changes_since_last_save:%d", &after)
			return after - before
		}
		require.Equal(t, 1, changes("once"))
		lose.Store(true)
		require.Equal(t, 2, changes("repeated"))
		require.False(t, lose.Load())
	}
}

// A use that the client repeats on another connection waits for what the first has written.
func TestRealRepeatedUseIsHeldByReplicas(t *testing.T) {
	d := failingOver(t)
	lose := new(atomic.Bool)
	client := redis.NewClient(redisgate.Options(&redis.Options{Addr: d.masters[0].addr(), ReadTimeout: time.Second,
		Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := new(net.Dialer).DialContext(ctx, network, addr)
			return &lossy{Conn: c, command: "\r\nwait\r\n", lose: lose}, err
		}}))
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	told := &events{}
	c := with(1)
	c.Replicas, c.Timeout, c.Hooks = 1, time.Second, told.hooks()
	s := stores(t, client, c)
	_, err := s.Replay().Use(t.Context(), "before", soon())
	require.NoError(t, err)

	lose.Store(true)
	fresh, err := s.Replay().Use(t.Context(), "repeated", soon())
	require.NoError(t, err)
	require.True(t, fresh)
	require.False(t, lose.Load())

	for _, r := range d.replicas {
		r.stop(t)
	}
	lose.Store(true)
	_, err = s.Replay().Use(t.Context(), "repeated, and nobody holds it", soon())
	kit.RequireError(t, err, bearergate.ErrUnavailable, bearergate.ReasonStoreUnavailable)
	require.False(t, lose.Load())
	outcomes := told.outcomes()
	require.Len(t, outcomes, 3)
	require.NotEqual(t, redisgate.OutcomeAnswered, outcomes[2])
}

// A Redis that takes no more clients is an outage. It ends by itself.
func TestRealRedisWithoutAFreeConnection(t *testing.T) {
	n := server(t, "--maxclients", "8")
	told := &events{}
	c := with(1)
	c.Hooks = told.hooks()
	s := stores(t, connect(t, n.addr()), c)
	var others []net.Conn
	until(t, func() bool {
		conn, err := net.Dial("tcp", n.addr())
		require.NoError(t, err)
		others = append(others, conn)
		_, _ = conn.Write([]byte("PING\r\n")) // one that Redis has no place for it closes
		line, _ := bufio.NewReader(conn).ReadString('\n')
		return line != "+PONG\r\n"
	})
	for range 2 * redisgate.FailuresToOpen {
		_, err := s.Replay().Use(t.Context(), "proof", soon())
		kit.RequireError(t, err, bearergate.ErrUnavailable, bearergate.ReasonStoreUnavailable)
		kit.RequireError(t, s.Check(t.Context()), bearergate.ErrUnavailable, bearergate.ReasonStoreUnavailable)
	}
	require.NotEmpty(t, told.changes())
	for _, conn := range others {
		require.NoError(t, conn.Close())
	}
	until(t, func() bool {
		fresh, err := s.Replay().Use(t.Context(), "proof", soon())
		return fresh && err == nil
	})
}

// W2-128, W2-132.
func TestRealFullRedisForgetsNothing(t *testing.T) {
	n := server(t, "--maxmemory", "4mb")
	client := connect(t, n.addr())
	s := stores(t, client, with(1))
	require.NoError(t, s.Check(t.Context()))
	fresh, err := s.Replay().Use(t.Context(), "proof", soon())
	require.NoError(t, err)
	require.True(t, fresh)
	for i := range 1000 {
		if err = s.Answers().Set(t.Context(), strconv.Itoa(i), make([]byte, 64<<10), time.Minute); err != nil {
			break
		}
	}
	kit.RequireError(t, err, bearergate.ErrUnavailable, bearergate.ReasonOverloaded)
	until(t, func() bool { // in what is left there may be room for a few
		_, err = s.Replay().Use(t.Context(), strconv.FormatInt(time.Now().UnixNano(), 10), soon())
		return err != nil
	})
	kit.RequireError(t, err, bearergate.ErrUnavailable, bearergate.ReasonOverloaded)
	kit.RequireError(t, s.Log().Append(t.Context(), record("r")), bearergate.ErrUnavailable, bearergate.ReasonOverloaded)
	fresh, err = s.Replay().Use(t.Context(), "proof", soon())
	require.False(t, fresh && err == nil)

	lru := stores(t, connect(t, server(t, "--maxmemory-policy", "allkeys-lru").addr()), with(1))
	kit.RequireError(t, lru.Check(t.Context()), bearergate.ErrMisconfigured, bearergate.ReasonConfig)
}
