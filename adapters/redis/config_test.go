package redisgate_test

import (
	"context"
	"fmt"
	"io"
	"reflect"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	redisgate "github.com/bearergate/bearergate/adapters/redis"
	"github.com/bearergate/bearergate/test/kit"
)

func TestNewNamesEveryMistake(t *testing.T) {
	good := redis.NewClient(redisgate.Options(&redis.Options{}))
	defer good.Close()
	rows := []struct {
		name   string
		client redis.UniversalClient
		change func(*redisgate.Config)
		says   []string
	}{
		{name: "nil", client: nil, says: []string{"give New a client"}},
		{name: "typed nil", client: (*redis.Client)(nil), says: []string{"give New a client"}},
		{name: "typed nil of a cluster", client: (*redis.ClusterClient)(nil), says: []string{"give New a client"}},
		{name: "deaf", client: redis.NewClient(&redis.Options{}), says: []string{"redisgate.Options or FailoverOptions"}},
		{name: "deaf cluster", client: redis.NewClusterClient(&redis.ClusterOptions{}), says: []string{"redisgate.ClusterOptions"}},
		{name: "reads from replicas", client: redis.NewClusterClient(redisgate.ClusterOptions(&redis.ClusterOptions{RouteByLatency: true})), says: []string{"reads from replicas"}},
		{name: "answers from its memory", client: redis.NewClient(redisgate.Options(&redis.Options{ClientSideCacheConfig: &redis.ClientSideCacheConfig{}})), says: []string{"a memory of its own"}},
		{name: "ring", client: redis.NewRing(&redis.RingOptions{ContextTimeoutEnabled: true}), says: []string{"a *redis.Ring"}},
		{name: "no namespace", client: good, change: func(c *redisgate.Config) { c.Namespace = "" }, says: []string{"Namespace"}},
		{name: "namespace with a hash tag", client: good, change: func(c *redisgate.Config) { c.Namespace = "{a}" }, says: []string{"Namespace"}},
		{name: "no secret", client: good, change: func(c *redisgate.Config) { c.Secrets = nil }, says: []string{"Secrets: 1 to 8 of them"}},
		{name: "nine secrets", client: good, change: func(c *redisgate.Config) { c.Secrets = with(1, 2, 3, 4, 5, 6, 7, 8, 9).Secrets }, says: []string{"there are 9"}},
		{name: "short secret", client: good, change: func(c *redisgate.Config) { c.Secrets = [][]byte{secret(1), make([]byte, 31)} }, says: []string{"Secrets[1]: at least 32"}},
		{name: "secret twice", client: good, change: func(c *redisgate.Config) { c.Secrets = with(1, 2, 1).Secrets }, says: []string{"Secrets[2] is Secrets[0] again"}},
		{name: "everything else", client: good, change: func(c *redisgate.Config) {
			c.Timeout, c.Replicas, c.MaxCalls, c.MaxRecords = time.Minute, -1, -1, -1
		}, says: []string{"Timeout is 1m0s", "Replicas is -1", "MaxCalls is -1", "MaxRecords is -1"}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			if client, ok := row.client.(io.Closer); ok && row.client != good && !reflect.ValueOf(client).IsNil() {
				defer client.Close()
			}
			c := config()
			if row.change != nil {
				row.change(&c)
			}
			s, err := redisgate.New(row.client, c)
			require.Nil(t, s)
			kit.RequireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
			for _, says := range row.says {
				require.ErrorContains(t, err, says)
			}
		})
	}
}

func TestStoresThatArePrintedShowNoKey(t *testing.T) {
	client := redis.NewClient(redisgate.Options(&redis.Options{}))
	defer client.Close()
	s := stores(t, client, with(1, 2))
	for _, verb := range []string{"%v", "%+v", "%#v"} {
		printed := fmt.Sprintf(verb, s)
		require.NotContains(t, printed, "uint8{")
		require.NotRegexp(t, `\[[0-9]+ [0-9]+ [0-9]+`, printed)
	}
}

func TestDefaults(t *testing.T) {
	require.Equal(t, 100*time.Millisecond, redisgate.DefaultTimeout)
	require.Equal(t, 1024, redisgate.DefaultMaxCalls)
	require.Equal(t, 1<<20, redisgate.DefaultMaxRecords)
	require.Equal(t, 5, redisgate.FailuresToOpen)
	require.Equal(t, 250*time.Millisecond, redisgate.MinPause)
	require.Equal(t, time.Second, redisgate.MaxPause)
	require.Equal(t, 5*time.Second, redisgate.Skew)

	// As go-redis fills them in: what it would set itself must not win.
	given := &redis.Options{Addr: "a:1"}
	client := redis.NewClient(redisgate.Options(given))
	defer client.Close()
	o := client.Options()
	require.Equal(t, "a:1", o.Addr)
	require.True(t, o.ContextTimeoutEnabled)
	require.True(t, o.DisableIdentity)
	require.False(t, given.ContextTimeoutEnabled, "a copy")
	require.Equal(t, []any{100 * time.Millisecond, 100 * time.Millisecond, time.Second, 50 * time.Millisecond, 3 * time.Minute, time.Millisecond, 8 * time.Millisecond},
		[]any{o.ReadTimeout, o.WriteTimeout, o.DialTimeout, o.PoolTimeout, o.ConnMaxIdleTime, o.MinRetryBackoff, o.MaxRetryBackoff})
	require.Equal(t, []int{1, 1}, []int{o.MaxRetries, o.DialerRetries})
	require.Equal(t, maintnotifications.ModeDisabled, o.MaintNotificationsConfig.Mode)

	f := redisgate.FailoverOptions(&redis.FailoverOptions{MasterName: "m", ReplicaOnly: true})
	require.Equal(t, &redis.FailoverOptions{
		MasterName: "m", ContextTimeoutEnabled: true, DisableIdentity: true, ReadTimeout: 100 * time.Millisecond, WriteTimeout: 100 * time.Millisecond, DialTimeout: time.Second,
		PoolTimeout: 50 * time.Millisecond, ConnMaxIdleTime: 3 * time.Minute, MaxRetries: 1, DialerRetries: 1,
		MinRetryBackoff: time.Millisecond, MaxRetryBackoff: 8 * time.Millisecond,
	}, f)

	cluster := redis.NewClusterClient(redisgate.ClusterOptions(&redis.ClusterOptions{Addrs: []string{"a:1"}}))
	defer cluster.Close()
	c := cluster.Options()
	require.True(t, c.ContextTimeoutEnabled)
	require.True(t, c.DisableIdentity)
	require.Equal(t, []any{100 * time.Millisecond, 100 * time.Millisecond, time.Second, 50 * time.Millisecond, 3 * time.Minute, time.Second},
		[]any{c.ReadTimeout, c.WriteTimeout, c.DialTimeout, c.PoolTimeout, c.ConnMaxIdleTime, c.ClusterStateReloadInterval})
	require.Equal(t, []int{1, 1, -1}, []int{c.DialerRetries, c.FailingTimeoutSeconds, c.MaxRetries})
	require.Equal(t, maintnotifications.ModeDisabled, c.MaintNotificationsConfig.Mode)

	kept := redisgate.Options(&redis.Options{ReadTimeout: time.Second, MaxRetries: -1, PoolTimeout: time.Second, MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeAuto}})
	require.Equal(t, []any{time.Second, -1, time.Second, maintnotifications.ModeAuto}, []any{kept.ReadTimeout, kept.MaxRetries, kept.PoolTimeout, kept.MaintNotificationsConfig.Mode})
}

func TestEachHook(t *testing.T) { kit.EachHook(t, redisgate.JoinHooks) }

func TestHooksAreJoined(t *testing.T) {
	first, second := &events{}, &events{}
	var panics []bearergate.PanicEvent
	c := config()
	c.Hooks = redisgate.JoinHooks(first.hooks(), redisgate.Hooks{
		Called:   func(context.Context, redisgate.CallEvent) { panic("secret") },
		Panicked: func(_ context.Context, p bearergate.PanicEvent) { panics = append(panics, p) },
	}, second.hooks())
	s, _ := single(t, c)
	fresh, err := s.Replay().Use(t.Context(), "proof", soon())
	require.NoError(t, err)
	require.True(t, fresh)
	require.Equal(t, []redisgate.Outcome{redisgate.OutcomeAnswered}, first.outcomes())
	require.Equal(t, first.outcomes(), second.outcomes())
	require.Equal(t, []bearergate.PanicEvent{{Where: "Called", Type: "string"}}, panics)
}
