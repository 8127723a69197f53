package redisgate_test

import (
	"bytes"
	"context"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	mini "github.com/alicebob/miniredis/v2/server"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	redisgate "github.com/bearergate/bearergate/adapters/redis"
	"github.com/bearergate/bearergate/revocation"
)

// secret is one of several secrets.
func secret(n byte) []byte { return bytes.Repeat([]byte{n}, redisgate.MinSecretBytes) }

// config is a valid Config.
func config() redisgate.Config {
	return redisgate.Config{Namespace: "orders", Secrets: [][]byte{secret(1)}, Timeout: 2 * time.Second}
}

// with is a valid Config with some secrets.
func with(secrets ...byte) redisgate.Config {
	c := config()
	c.Secrets = nil
	for _, n := range secrets {
		c.Secrets = append(c.Secrets, secret(n))
	}
	return c
}

// connect returns a client with patience for a busy machine.
func connect(t testing.TB, addr string) *redis.Client {
	t.Helper()
	client := redis.NewClient(redisgate.Options(&redis.Options{Addr: addr, ReadTimeout: 2 * time.Second, PoolTimeout: 2 * time.Second}))
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	return client
}

// stores returns what is shared, in one process of a fleet.
func stores(t testing.TB, client redis.UniversalClient, c redisgate.Config) *redisgate.Stores {
	t.Helper()
	s, err := redisgate.New(client, c)
	require.NoError(t, err)
	return s
}

// single returns what is shared, and the Redis that it is in.
func single(t testing.TB, c redisgate.Config) (*redisgate.Stores, *miniredis.Miniredis) {
	t.Helper()
	server := miniredis.RunT(t)
	return stores(t, connect(t, server.Addr()), c), server
}

// answer has a server answer a command in another way than it does.
func answer(server *miniredis.Miniredis, command string, f func(c *mini.Peer, args []string)) {
	server.Server().SetPreHook(func(c *mini.Peer, cmd string, args ...string) bool {
		if !strings.EqualFold(cmd, command) {
			return false
		}
		f(c, args)
		return true
	})
}

// soon is when a proof ends.
func soon() time.Time { return time.Now().Add(70 * time.Second) }

// record is one that ends in an hour.
func record(text string) revocation.Record {
	return revocation.Record{Data: []byte(text), Until: time.Now().Add(time.Hour)}
}

// readAll reads a log from a place to its end.
func readAll(t testing.TB, log *redisgate.Log, after string, limit int) (texts []string, end string) {
	t.Helper()
	for {
		data, next, err := log.Read(context.Background(), after, limit)
		require.NoError(t, err)
		if after = next; len(data) == 0 {
			return texts, after
		}
		for _, d := range data {
			texts = append(texts, string(d))
		}
	}
}

// interceptor decides what becomes of a command.
type interceptor func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error

func (f interceptor) DialHook(next redis.DialHook) redis.DialHook { return next }

func (f interceptor) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error { return f(ctx, cmd, next) }
}

func (f interceptor) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		return f(ctx, cmds[0], func(ctx context.Context, _ redis.Cmder) error { return next(ctx, cmds) })
	}
}

// intercepted returns what is shared through a client of which nothing reaches a Redis.
func intercepted(t testing.TB, c redisgate.Config, f interceptor) *redisgate.Stores {
	t.Helper()
	client := redis.NewClient(redisgate.Options(&redis.Options{}))
	client.AddHook(f)
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	return stores(t, client, c)
}

// events are what hooks were told.
type events struct {
	mu       sync.Mutex // guards the rest
	calls    []redisgate.CallEvent
	circuits []redisgate.CircuitEvent
	skipped  int
	checked  []redisgate.CheckEvent
}

func (e *events) hooks() redisgate.Hooks {
	return redisgate.Hooks{
		Called: func(_ context.Context, c redisgate.CallEvent) {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.calls = append(e.calls, c)
		},
		CircuitChanged: func(_ context.Context, c redisgate.CircuitEvent) {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.circuits = append(e.circuits, c)
		},
		Skipped: func(_ context.Context, s redisgate.SkipEvent) {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.skipped += s.Records
		},
		Checked: func(_ context.Context, c redisgate.CheckEvent) {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.checked = append(e.checked, c)
		},
	}
}

// outcomes are those of all calls, in order.
func (e *events) outcomes() (all []redisgate.Outcome) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range e.calls {
		all = append(all, c.Outcome)
	}
	return all
}

func (e *events) changes() []redisgate.CircuitEvent {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]redisgate.CircuitEvent(nil), e.circuits...)
}

func (e *events) skips() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.skipped
}

// noLeaks fails a test that leaves goroutines of this package or of the client behind.
func noLeaks(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		var left string
		for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); runtime.Gosched() {
			buf := make([]byte, 1<<20)
			left = ""
			for stack := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
				if (strings.Contains(stack, "adapters/redis.") || strings.Contains(stack, "go-redis")) && !strings.Contains(stack, "testing.") {
					left += stack + "\n"
				}
			}
			if left == "" {
				return
			}
		}
		t.Error("goroutines left:\n" + left)
	})
}
