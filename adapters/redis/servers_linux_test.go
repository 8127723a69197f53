package redisgate_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	redisgate "github.com/bearergate/bearergate/adapters/redis"
	"github.com/bearergate/bearergate/test/servers"
)

// node is one process of Redis, on loopback.
type node struct {
	*servers.Redis
	port int
}

func nodeOf(r *servers.Redis) *node {
	_, port, _ := net.SplitHostPort(r.Address)
	n, _ := strconv.Atoi(port)
	return &node{r, n}
}

func (n *node) addr() string { return n.Address }

// program skips the test where a program of Redis is missing, or fails it where
// BEARERGATE_REDIS is "required".
func program(t testing.TB, name string) {
	t.Helper()
	if testing.Short() {
		t.Skip("it starts servers")
	}
	if _, err := servers.Find(name); err != nil {
		if os.Getenv("BEARERGATE_REDIS") == "required" {
			t.Fatal(err)
		}
		t.Skipf("not run: %v", err)
	}
}

// port finds one that is free.
func port(t testing.TB) int {
	t.Helper()
	address, err := servers.FreeAddress()
	require.NoError(t, err)
	return nodeOf(&servers.Redis{Address: address}).port
}

// run starts it again.
func (n *node) run(t testing.TB) { t.Helper(); require.NoError(t, n.Restart()) }

// kill is SIGKILL, also for one that is stopped.
func (n *node) kill() { n.Kill() }

func (n *node) stop(t testing.TB) { t.Helper(); require.NoError(t, n.Pause()) }
func (n *node) wake(t testing.TB) { t.Helper(); require.NoError(t, n.Resume()) }

// server starts a Redis, which runs until the test ends.
func server(t testing.TB, args ...string) *node {
	t.Helper()
	program(t, "redis-server")
	r, err := servers.StartRedis(t.TempDir(), args...)
	require.NoError(t, err)
	t.Cleanup(r.Kill)
	return nodeOf(r)
}

// do asks one server, and returns "" where it does not answer.
func (n *node) do(t testing.TB, args ...any) string {
	t.Helper()
	client := redis.NewClient(redisgate.Options(&redis.Options{Addr: n.addr(), ReadTimeout: time.Second, MaxRetries: -1}))
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	value, err := client.Do(ctx, args...).Result()
	if err != nil {
		return ""
	}
	return fmt.Sprint(value)
}

// until waits for something that real servers do, and which takes them seconds at most.
func until(t testing.TB, holds func() bool) time.Duration {
	t.Helper()
	begin := time.Now()
	for !holds() {
		if time.Since(begin) > time.Minute {
			t.Fatal("it does not happen")
		}
		time.Sleep(5 * time.Millisecond)
	}
	return time.Since(begin)
}

// synced waits until a replica follows its master.
func (n *node) synced(t testing.TB) { t.Helper(); require.NoError(t, n.Synced()) }

// succeeded waits until one of these replicas has taken over, and the others follow it.
func succeeded(t testing.TB, heirs []*node) {
	t.Helper()
	var all []*servers.Redis
	for _, n := range heirs {
		all = append(all, n.Redis)
	}
	_, err := servers.Succeeded(all)
	require.NoError(t, err)
}

// deployment is a Redis that a fleet shares.
type deployment struct {
	masters  []*node
	replicas []*node
	connect  func(t testing.TB) redis.UniversalClient // a process of its own
}

// standalone is one server.
func standalone(t testing.TB) deployment {
	n := server(t)
	return deployment{masters: []*node{n}, connect: func(t testing.TB) redis.UniversalClient {
		client := redis.NewClient(redisgate.Options(&redis.Options{Addr: n.addr()}))
		t.Cleanup(func() { _ = client.Close() })
		return client
	}}
}

// failingOver is a master with two replicas and three Sentinels.
func failingOver(t testing.TB) deployment {
	t.Helper()
	program(t, "redis-server")
	program(t, "redis-sentinel")
	f, err := servers.StartFailover(t.TempDir(), 2)
	require.NoError(t, err)
	t.Cleanup(f.Kill)
	d := deployment{masters: []*node{nodeOf(f.Servers[0])}}
	for _, r := range f.Servers[1:] {
		d.replicas = append(d.replicas, nodeOf(r))
	}
	d.connect = func(t testing.TB) redis.UniversalClient {
		client := redis.NewFailoverClient(redisgate.FailoverOptions(&redis.FailoverOptions{MasterName: servers.MasterName, SentinelAddrs: f.Addresses()}))
		t.Cleanup(func() { _ = client.Close() })
		return client
	}
	return d
}

// clustered is a Cluster of three masters with a replica each.
func clustered(t testing.TB) deployment {
	var d deployment
	var addrs []string
	var all []*node
	var buses []int
	for range 6 {
		bus := port(t)
		n := server(t, "--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(bus), "--cluster-node-timeout", "2000", "--cluster-require-full-coverage", "no")
		all, buses, addrs = append(all, n), append(buses, bus), append(addrs, n.addr())
	}
	for i, n := range all[:3] {
		require.Equal(t, "OK", n.do(t, "CLUSTER", "ADDSLOTSRANGE", i*16384/3, (i+1)*16384/3-1))
		d.masters = append(d.masters, n)
	}
	for i, n := range all {
		require.Equal(t, "OK", n.do(t, "CLUSTER", "SET-CONFIG-EPOCH", i+1))
		if i > 0 {
			require.Equal(t, "OK", n.do(t, "CLUSTER", "MEET", "127.0.0.1", all[0].port, buses[0]))
		}
	}
	for _, n := range all {
		until(t, func() bool { return strings.Contains(n.do(t, "CLUSTER", "INFO"), "cluster_known_nodes:6") })
	}
	for i, n := range all[3:] {
		id := all[i].do(t, "CLUSTER", "MYID")
		until(t, func() bool { return n.do(t, "CLUSTER", "REPLICATE", id) == "OK" })
		n.synced(t)
		d.replicas = append(d.replicas, n)
	}
	for _, n := range all {
		until(t, func() bool {
			return strings.Contains(n.do(t, "CLUSTER", "INFO"), "cluster_state:ok") && strings.Count(n.do(t, "CLUSTER", "NODES"), "slave") == 3
		})
	}
	d.connect = func(t testing.TB) redis.UniversalClient {
		client := redis.NewClusterClient(redisgate.ClusterOptions(&redis.ClusterOptions{Addrs: addrs}))
		t.Cleanup(func() { _ = client.Close() })
		return client
	}
	return d
}
