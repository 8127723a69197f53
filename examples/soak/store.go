package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	redisgate "github.com/bearergate/bearergate/adapters/redis"
	"github.com/bearergate/bearergate/test/servers"
)

// store is the Redis that the fleet shares.
type store interface {
	String() string
	connect() redis.UniversalClient // a client for one process
	acknowledging() int             // Replicas of redisgate.Config
	outages() []outage
	pass(time.Duration) // so much time has passed
	goroutines() int    // of the store itself, in this process
	close()
}

// outage is one way in which Redis fails.
type outage struct {
	name string
	// play has it fail, and returns when there was a master again, by itself or as somebody
	// has seen to it. All servers are back when it returns. Where it is dark, it says from when
	// until when.
	play func(dark func(bool)) (there time.Time, err error)
}

// openStore starts Redis with Sentinel, or one in memory where there is no redis-server, unless
// BEARERGATE_REDIS is "required".
func openStore() (store, error) {
	var wrong error
	for _, program := range []string{"redis-server", "redis-sentinel"} {
		_, err := servers.Find(program)
		wrong = errors.Join(wrong, err)
	}
	if wrong == nil && runtime.GOOS != "linux" {
		wrong = fmt.Errorf("servers are stopped and woken on Linux only, and this is %s", runtime.GOOS)
	}
	switch {
	case wrong == nil:
		return startSentinels()
	case required("BEARERGATE_REDIS"):
		return nil, fmt.Errorf("BEARERGATE_REDIS is required: %w", wrong)
	}
	m := miniredis.NewMiniRedis()
	return &inMemory{server: m, why: wrong}, m.Start()
}

func required(variable string) bool { return os.Getenv(variable) == "required" }

// sentinels is a master with a replica and three Sentinels. What is acknowledged, the replica has
// too: with more replicas than that, a master that hung and goes on while it is being replaced
// has somebody left to bear witness, until Sentinel has moved them all.
type sentinels struct {
	*servers.Failover
	dir string
}

func startSentinels() (store, error) {
	dir, err := os.MkdirTemp("", "soak-redis")
	if err != nil {
		return nil, err
	}
	f, err := servers.StartFailover(dir, 1)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &sentinels{f, dir}, nil
}

func (r *sentinels) String() string {
	return "Redis, a master with a replica and three Sentinels, Replicas 1"
}
func (r *sentinels) acknowledging() int { return 1 }
func (*sentinels) pass(time.Duration)   {}
func (*sentinels) goroutines() int      { return 0 }

func (r *sentinels) connect() redis.UniversalClient {
	return redis.NewFailoverClient(redisgate.FailoverOptions(&redis.FailoverOptions{MasterName: servers.MasterName, SentinelAddrs: r.Addresses(), ReadTimeout: storeTimeout}))
}

func (r *sentinels) close() {
	r.Kill()
	_ = os.RemoveAll(r.dir)
}

func (r *sentinels) outages() []outage {
	return []outage{
		{name: "Redis: the master is killed, and comes back as a replica", play: func(func(bool)) (time.Time, error) {
			return r.failOver((*servers.Redis).Kill, func(old, heir *servers.Redis) error { return old.Restart(servers.ReplicaOf(heir)...) })
		}},
		{name: "Redis: the master hangs, and believes that it is one", play: func(func(bool)) (time.Time, error) {
			var wrong error
			there, err := r.failOver(func(old *servers.Redis) { wrong = old.Pause() }, func(old, _ *servers.Redis) error { return old.Resume() })
			return there, errors.Join(wrong, err)
		}},
		{name: "Redis: all servers hang", play: r.hang},
	}
}

func (r *sentinels) failOver(fail func(master *servers.Redis), restore func(old, heir *servers.Redis) error) (there time.Time, err error) {
	var old *servers.Redis
	if err := eventually("no Sentinel knows a master", func() bool { old = r.Master(); return old != nil }); err != nil {
		return there, err
	}
	fail(old)
	heir, err := servers.Succeeded(r.But(old))
	there = time.Now()
	if err != nil {
		return there, err
	}
	return there, errors.Join(restore(old, heir), old.Synced())
}

func (r *sentinels) hang(dark func(bool)) (there time.Time, err error) {
	for _, s := range r.Servers {
		err = errors.Join(err, s.Pause())
	}
	dark(true)
	time.Sleep(maxLag + 3*time.Second)
	dark(false)
	for _, s := range r.Servers {
		err = errors.Join(err, s.Resume())
	}
	there = time.Now()
	_, wrong := servers.Succeeded(r.Servers)
	return there, errors.Join(err, wrong)
}

// inMemory is a Redis in this process: it shares as one does, and has nobody to fail over to.
type inMemory struct {
	server *miniredis.Miniredis
	why    error
}

func (m *inMemory) String() string {
	why := m.why.Error()
	if errors.Is(m.why, exec.ErrNotFound) {
		why = "there is no redis-server, or no redis-sentinel"
	}
	return "a Redis in memory; NOT RUN: Sentinel, and the loss of a master (" + why + ")"
}
func (m *inMemory) acknowledging() int   { return 0 }
func (m *inMemory) pass(d time.Duration) { m.server.FastForward(d) } // it forgets nothing by itself
func (m *inMemory) close()               { m.server.Close() }

// goroutines are two for a connection: one reads, and one answers.
func (m *inMemory) goroutines() int { return 2 * m.server.CurrentConnectionCount() }

func (m *inMemory) connect() redis.UniversalClient {
	return redis.NewClient(redisgate.Options(&redis.Options{Addr: m.server.Addr(), ReadTimeout: storeTimeout}))
}

func (m *inMemory) outages() []outage {
	gone := func(hold time.Duration) func(func(bool)) (time.Time, error) {
		return func(dark func(bool)) (time.Time, error) {
			m.server.Close()
			dark(true)
			time.Sleep(hold)
			dark(false)
			err := m.server.Restart()
			return time.Now(), err
		}
	}
	return []outage{
		{name: "Redis: not there for a moment", play: gone(2 * time.Second)},
		{name: "Redis: not there for long", play: gone(maxLag + 3*time.Second)},
	}
}

// check asks the store for all that the fleet will ask it for.
func check(s store) error {
	client := s.connect()
	defer func() { _ = client.Close() }()
	shared, err := redisgate.New(client, redisgate.Config{Namespace: "check", Secrets: [][]byte{make([]byte, redisgate.MinSecretBytes)}, Replicas: s.acknowledging()})
	if err != nil {
		return err
	}
	var wrong error
	if err := eventually("Redis cannot be used", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		wrong = shared.Check(ctx)
		return wrong == nil
	}); err != nil {
		return errors.Join(err, wrong)
	}
	return nil
}
