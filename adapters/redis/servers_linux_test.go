package redisgate_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	redisgate "github.com/bearergate/bearergate/adapters/redis"
)

// node is one process of Redis, on loopback.
type node struct {
	port    int
	program string
	args    []string
	process *os.Process
	done    chan struct{} // closed when the process has ended
}

func (n *node) addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(n.port)) }

// binary is the path of a program of Redis. Without it the test is skipped, or fails where
// BEARERGATE_REDIS is "required".
func binary(t testing.TB, name string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("it starts servers")
	}
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("BEARERGATE_REDIS") == "required" {
			t.Fatal(err)
		}
		t.Skipf("not run: %v", err)
	}
	return path
}

// port finds one that is free.
func port(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// start runs a program until the test ends. It ends with this process too.
func start(t testing.TB, program string, port int, args ...string) *node {
	t.Helper()
	n := &node{port: port, program: program, args: args}
	n.run(t)
	t.Cleanup(n.kill)
	return n
}

// run starts it, for the first time or again.
func (n *node) run(t testing.TB) {
	t.Helper()
	cmd := exec.Command(n.program, n.args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	require.NoError(t, cmd.Start())
	done := make(chan struct{})
	n.process, n.done = cmd.Process, done
	go func() {
		defer close(done)
		_ = cmd.Wait()
	}()
}

// kill is SIGKILL, also for one that is stopped.
func (n *node) kill() {
	_ = n.process.Kill()
	<-n.done
}

func (n *node) stop(t testing.TB) { require.NoError(t, n.process.Signal(syscall.SIGSTOP)) }
func (n *node) wake(t testing.TB) { require.NoError(t, n.process.Signal(syscall.SIGCONT)) }

// server starts a Redis.
func server(t testing.TB, args ...string) *node {
	t.Helper()
	program, p := binary(t, "redis-server"), port(t)
	n := start(t, program, p, append([]string{
		"--port", strconv.Itoa(p), "--bind", "127.0.0.1", "--dir", t.TempDir(), "--save", "", "--appendonly", "no",
		"--maxmemory", "100mb", "--maxmemory-policy", "noeviction", "--logfile", "redis.log", "--repl-diskless-sync-delay", "0",
		"--repl-ping-replica-period", "1",
	}, args...)...)
	until(t, func() bool { return n.do(t, "PING") == "PONG" })
	return n
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
func (n *node) synced(t testing.TB) {
	t.Helper()
	until(t, func() bool {
		info := n.do(t, "INFO", "replication")
		return strings.Contains(info, "role:slave") && strings.Contains(info, "master_link_status:up") && strings.Contains(info, "master_sync_in_progress:0")
	})
}

// succeeded waits until one of these replicas has taken over, and the others follow it. How
// long that takes is up to Sentinel and Cluster: where nobody wins their election, they begin
// again after twice the failover-timeout.
func succeeded(t testing.TB, heirs []*node) {
	t.Helper()
	until(t, func() bool {
		masters := 0
		for _, n := range heirs {
			switch info := n.do(t, "INFO", "replication"); {
			case strings.Contains(info, "role:master"):
				masters++
			case !strings.Contains(info, "master_link_status:up"):
				return false
			}
		}
		return masters == 1
	})
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
	program := binary(t, "redis-sentinel")
	master := server(t)
	d := deployment{masters: []*node{master}}
	for range 2 {
		r := server(t, "--replicaof", "127.0.0.1 "+strconv.Itoa(master.port))
		r.synced(t)
		d.replicas = append(d.replicas, r)
	}
	var addrs []string
	var sentinels []*node
	for range 3 {
		p, dir := port(t), t.TempDir()
		file := filepath.Join(dir, "sentinel.conf")
		text := fmt.Sprintf("port %d\nbind 127.0.0.1\ndir %s\nlogfile sentinel.log\nsentinel monitor main 127.0.0.1 %d 2\nsentinel down-after-milliseconds main 1000\nsentinel failover-timeout main 3000\n", p, dir, master.port)
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		n := start(t, program, p, file)
		sentinels, addrs = append(sentinels, n), append(addrs, n.addr())
	}
	for _, n := range sentinels {
		until(t, func() bool {
			state := n.do(t, "SENTINEL", "MASTER", "main")
			return strings.Contains(state, "num-slaves:2") && strings.Contains(state, "num-other-sentinels:2")
		})
	}
	d.connect = func(t testing.TB) redis.UniversalClient {
		client := redis.NewFailoverClient(redisgate.FailoverOptions(&redis.FailoverOptions{MasterName: "main", SentinelAddrs: addrs}))
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
