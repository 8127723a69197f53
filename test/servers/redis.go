package servers

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Redis is one process of Redis, a server or a Sentinel.
type Redis struct {
	*Process
	Address string
}

// StartRedis starts a server that keeps its files in dir and persists nothing. The arguments
// stand beside what such a server needs.
func StartRedis(dir string, args ...string) (*Redis, error) {
	path, err := Find("redis-server")
	if err != nil {
		return nil, err
	}
	return listeningRedis(path, func(address string) ([]string, error) {
		_, port, _ := net.SplitHostPort(address)
		return append([]string{
			"--port", port, "--bind", "127.0.0.1", "--dir", dir, "--save", "", "--appendonly", "no",
			"--maxmemory", "100mb", "--maxmemory-policy", "noeviction", "--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1",
		}, args...), nil
	})
}

func listeningRedis(path string, args func(address string) ([]string, error)) (*Redis, error) {
	r := &Redis{}
	var err error
	r.Process, r.Address, err = Listening(path, args, func(address string) bool { return (&Redis{Address: address}).Ask("PING") == "PONG" })
	return r, err
}

// Ask sends one command and returns the answer, the parts of one that has several with a
// space in between. It is "" where there is none.
func (r *Redis) Ask(args ...any) string {
	conn, err := net.DialTimeout("tcp", r.Address, time.Second)
	if err != nil {
		return ""
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, a := range args {
		text := fmt.Sprint(a)
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(text), text)
	}
	if _, err := io.WriteString(conn, b.String()); err != nil {
		return ""
	}
	answer, err := reply(bufio.NewReader(conn))
	if err != nil {
		return ""
	}
	return answer
}

// reply reads an answer in the second version of the protocol of Redis. One that is an error
// is an error.
func reply(from *bufio.Reader) (string, error) {
	line, err := from.ReadString('\n')
	if err != nil {
		return "", err
	}
	kind, rest := line[0], strings.TrimSpace(line[1:])
	n, _ := strconv.Atoi(rest)
	switch kind {
	case '+', ':':
		return rest, nil
	case '$':
		text := make([]byte, max(n, 0)+len("\r\n"))
		if n < 0 {
			return "", nil
		}
		_, err := io.ReadFull(from, text)
		return string(text[:n]), err
	case '*':
		var all []string
		for range n {
			part, err := reply(from)
			if err != nil {
				return "", err
			}
			all = append(all, part)
		}
		return strings.Join(all, " "), nil
	}
	return "", errors.New(rest)
}

func (r *Redis) info() string { return r.Ask("INFO", "replication") }

// Synced waits until a replica follows its master.
func (r *Redis) Synced() error {
	return until("a replica does not follow its master", func() bool {
		info := r.info()
		return strings.Contains(info, "role:slave") && strings.Contains(info, "master_link_status:up") && strings.Contains(info, "master_sync_in_progress:0")
	})
}

// Succeeded waits until one of these has taken over and the others follow it, and returns
// it. The link of a replica to an old master that hangs is up too, so it says whom it follows.
// How long all that takes is up to Sentinel or Cluster: where nobody wins their election, they
// begin again after twice the failover-timeout.
func Succeeded(heirs []*Redis) (master *Redis, err error) {
	err = until("no replica has taken over", func() bool {
		master = nil
		var infos []string
		for _, r := range heirs {
			info := r.info()
			infos = append(infos, info)
			if strings.Contains(info, "role:master") {
				master = r
			}
		}
		if master == nil {
			return false
		}
		_, port, _ := net.SplitHostPort(master.Address)
		for i, r := range heirs {
			follows := strings.Contains(infos[i], "master_port:"+port+"\r\n") && strings.Contains(infos[i], "master_link_status:up")
			if r != master && !follows {
				return false
			}
		}
		return true
	})
	return master, err
}

// ReplicaOf are the arguments of a replica of a server.
func ReplicaOf(master *Redis) []string {
	host, port, _ := net.SplitHostPort(master.Address)
	return []string{"--replicaof", host + " " + port}
}

// Failover is a master with replicas and three Sentinels, which look after it under the name
// [MasterName].
type Failover struct {
	Servers   []*Redis // the master first, to begin with
	Sentinels []*Redis
}

// MasterName is what Sentinels know the master by.
const MasterName = "main"

// StartFailover starts a master with some replicas, and three Sentinels, which keep their
// files in dir.
func StartFailover(dir string, replicas int) (f *Failover, err error) {
	f = &Failover{}
	defer func() {
		if err != nil {
			f.Kill()
		}
	}()
	for i := range replicas + 1 {
		var args []string
		if i > 0 {
			args = ReplicaOf(f.Servers[0])
		}
		r, err := StartRedis(dir, append(args, "--dbfilename", fmt.Sprintf("%d.rdb", i))...)
		if err != nil {
			return nil, err
		}
		f.Servers = append(f.Servers, r)
		if i == 0 {
			continue
		}
		if err := r.Synced(); err != nil {
			return nil, err
		}
	}
	path, err := Find("redis-sentinel")
	if err != nil {
		return nil, err
	}
	for i := range 3 {
		r, err := listeningRedis(path, func(address string) ([]string, error) {
			file := filepath.Join(dir, fmt.Sprintf("sentinel%d.conf", i))
			_, port, _ := net.SplitHostPort(address)
			host, master, _ := net.SplitHostPort(f.Servers[0].Address)
			return []string{file}, os.WriteFile(file, fmt.Appendf(nil, "port %s\nbind 127.0.0.1\ndir %s\nsentinel monitor %s %s %s 2\nsentinel down-after-milliseconds %s 2000\nsentinel failover-timeout %s 3000\n",
				port, dir, MasterName, host, master, MasterName, MasterName), 0o600)
		})
		if err != nil {
			return nil, err
		}
		f.Sentinels = append(f.Sentinels, r)
	}
	for _, r := range f.Sentinels {
		if err := until("Sentinels do not find each other", func() bool {
			state := r.Ask("SENTINEL", "MASTER", MasterName)
			return strings.Contains(state, fmt.Sprintf("num-slaves %d ", replicas)) && strings.Contains(state, "num-other-sentinels 2 ")
		}); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// Master is the server that the Sentinels take for the master; nil if that is none of them.
func (f *Failover) Master() *Redis {
	for _, s := range f.Sentinels {
		said := strings.Replace(s.Ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", MasterName), " ", ":", 1)
		for _, r := range f.Servers {
			if said != "" && r.Address == said {
				return r
			}
		}
	}
	return nil
}

// But is the servers without one of them.
func (f *Failover) But(one *Redis) (others []*Redis) {
	for _, r := range f.Servers {
		if r != one {
			others = append(others, r)
		}
	}
	return others
}

// All are the servers and the Sentinels.
func (f *Failover) All() []*Redis {
	return slices.Concat(f.Servers, f.Sentinels)
}

// Addresses are those of the Sentinels.
func (f *Failover) Addresses() (all []string) {
	for _, s := range f.Sentinels {
		all = append(all, s.Address)
	}
	return all
}

// Kill ends all of it.
func (f *Failover) Kill() {
	for _, r := range f.All() {
		r.Kill()
	}
}
