package redisgate_test

import (
	"fmt"
	"testing"

	"github.com/alicebob/miniredis/v2"
	mini "github.com/alicebob/miniredis/v2/server"
	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	redisgate "github.com/bearergate/bearergate/adapters/redis"
	"github.com/bearergate/bearergate/test/kit"
)

// W2-132.
func TestCheckLooksAtHowRedisMakesRoom(t *testing.T) {
	rows := []struct {
		name    string
		info    string // the section memory
		refuses string // instead
		wrong   bool
		told    redisgate.CheckEvent
	}{
		{name: "noeviction", info: "maxmemory:1024\r\nmaxmemory_policy:noeviction\r\n", told: redisgate.CheckEvent{Policy: "noeviction", MaxMemory: 1024}},
		{name: "allkeys-lru", info: "maxmemory:1024\r\nmaxmemory_policy:allkeys-lru\r\n", wrong: true, told: redisgate.CheckEvent{Policy: "allkeys-lru", MaxMemory: 1024}},
		{name: "volatile-ttl", info: "maxmemory:1024\r\nmaxmemory_policy:volatile-ttl\r\n", wrong: true, told: redisgate.CheckEvent{Policy: "volatile-ttl", MaxMemory: 1024}},
		{name: "no limit", info: "maxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\n", told: redisgate.CheckEvent{Policy: "allkeys-lru"}},
		{name: "says nothing", info: "used_memory:1\r\n"},
		{name: "may not be asked", refuses: "NOPERM User api has no permissions to run the 'info' command"},
		{name: "does not know the section", refuses: "ERR section (memory) is not supported"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			told := &events{}
			c := config()
			c.Hooks = told.hooks()
			s, server := single(t, c)
			answer(server, "INFO", func(c *mini.Peer, args []string) {
				if row.refuses != "" {
					c.WriteError(row.refuses)
					return
				}
				require.Equal(t, []string{"memory"}, args)
				c.WriteBulk("# Memory\r\n" + row.info)
			})
			err := s.Check(t.Context())
			require.Equal(t, []redisgate.CheckEvent{row.told}, told.checked)
			if row.wrong {
				kit.RequireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
				require.ErrorContains(t, err, "maxmemory-policy")
				require.Equal(t, fmt.Sprintf("%q", row.told.Policy), bearergate.AsError(err).Found)
				return
			}
			require.NoError(t, err)
			require.NoError(t, s.Check(t.Context()), "as often as one likes")
			got, _ := readAll(t, s.Log(), "", 10)
			require.Empty(t, got)
			require.Zero(t, told.skips())
		})
	}
}

func TestCheckNamesWhatIsWrong(t *testing.T) {
	rows := []struct {
		name string
		on   string
		does string // what the command answers, an error
		kind error
	}{
		{"SET NX GET is not known", "SET", "ERR syntax error", bearergate.ErrMisconfigured},
		{"no right to mark", "SET", "NOPERM no", bearergate.ErrMisconfigured},
		{"no right to read the log", "XRANGE", "NOPERM no", bearergate.ErrMisconfigured},
		{"no right to run scripts", "EVAL", "NOPERM no", bearergate.ErrMisconfigured},
		{"a replica", "SET", "READONLY no", bearergate.ErrUnavailable},
		{"no place for a client", "SET", "ERR max number of clients reached", bearergate.ErrUnavailable},
		{"not ready", "INFO", "LOADING no", bearergate.ErrUnavailable},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			s, server := single(t, config())
			answer(server, row.on, func(c *mini.Peer, _ []string) { c.WriteError(row.does) })
			err := s.Check(t.Context())
			require.ErrorIs(t, err, row.kind)
		})
	}
	t.Run("too few replicas", func(t *testing.T) {
		c := config()
		c.Replicas = 1
		server := miniredis.RunT(t)
		answer(server, "WAIT", func(c *mini.Peer, _ []string) { c.WriteInt(0) })
		kit.RequireError(t, stores(t, connect(t, server.Addr()), c).Check(t.Context()), bearergate.ErrUnavailable, bearergate.ReasonStoreUnavailable)
	})
	t.Run("forgets at once", func(t *testing.T) {
		s, server := single(t, config())
		answer(server, "SET", func(c *mini.Peer, _ []string) { c.WriteNull() })
		kit.RequireError(t, s.Check(t.Context()), bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	})
}
