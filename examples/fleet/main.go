// Command fleet runs an API in three processes that share in Redis what is revoked. It
// logs a user out, shuts a client out, deals with a stolen key, kills Redis and starts it
// again, and prints what came of each, and after how many seconds all processes knew.
//
//	go run .                           # with the redis-server of the PATH
//	./run.sh                           # with Debian's, unpacked into a temporary directory
//	go run . -redis 127.0.0.1:6379     # with yours, which it does not kill
//
// What to copy is newAPI, in api.go. The rest is demonstration: the authorization server
// (package authtest) and whoever asks are in the first process.
package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bearergate/bearergate/authtest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "fleet:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	flags := flag.NewFlagSet("fleet", flag.ContinueOnError)
	given := flags.String("redis", "", "`host:port` of a Redis; default: a redis-server of our own")
	issuer := flags.String("serve", "", "be one process of the fleet, for the tokens of this `issuer`; the secret is read from standard input")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *issuer != "" {
		secret := make([]byte, 32)
		if _, err := io.ReadFull(in, secret); err != nil {
			return err
		}
		redis.SetLogger(quiet{}) // what fails is in the table
		return serve(ctx, out, settings{issuer: *issuer, redis: *given, secret: secret})
	}

	as, err := authtest.Start(authtest.WithAudience(audience))
	if err != nil {
		return err
	}
	defer as.Close()
	store, err := newRedis(ctx, *given)
	if err != nil {
		return err
	}
	defer store.stop()
	f := &fleet{settings: settings{issuer: as.Issuer(), redis: store.addr, secret: make([]byte, 32)}}
	_, _ = rand.Read(f.secret) // never fails
	defer f.stop()
	for range 3 {
		if err := f.start(ctx); err != nil {
			return err
		}
	}
	return demonstrate(ctx, out, as, f, store)
}

// quiet is a logger of go-redis.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

// fleet is the processes of the API.
type fleet struct {
	settings

	processes []process
}

type process struct {
	url  string
	stop func()
}

// start starts one more, and returns when it knows what is revoked.
func (f *fleet) start(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	command := exec.CommandContext(ctx, self, "-serve", f.issuer, "-redis", f.redis) //nolint:gosec // ourselves, with what we were started with
	command.Stdin, command.Stderr = strings.NewReader(string(f.secret)), os.Stderr
	said, err := command.StdoutPipe()
	if err != nil {
		cancel()
		return err
	}
	if err := command.Start(); err != nil {
		cancel()
		return err
	}
	stop := func() { cancel(); _ = command.Wait() }
	line, err := bufio.NewReader(said).ReadString('\n')
	if err != nil {
		stop()
		return fmt.Errorf("a process of the fleet has not started: %w", err)
	}
	f.processes = append(f.processes, process{url: strings.TrimSpace(line), stop: stop})
	return nil
}

func (f *fleet) stop() {
	for _, p := range f.processes {
		p.stop()
	}
}

// redisServer is a redis-server of our own, or somebody's.
type redisServer struct {
	addr    string
	ours    bool
	dir     string
	command *exec.Cmd
}

func newRedis(ctx context.Context, given string) (*redisServer, error) {
	if given != "" {
		return &redisServer{addr: given}, nil
	}
	if _, err := exec.LookPath("redis-server"); err != nil {
		return nil, errors.New("there is no redis-server in the PATH: install one, use run.sh on Debian, or name yours by -redis")
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0") // for a port that is free
	if err != nil {
		return nil, err
	}
	addr := listener.Addr().String()
	if err := listener.Close(); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "fleet-"+hex.EncodeToString([]byte{byte(os.Getpid())}))
	if err != nil {
		return nil, err
	}
	r := &redisServer{addr: addr, ours: true, dir: dir}
	return r, r.start(ctx)
}

// start starts it empty: nothing is on disk.
func (r *redisServer) start(ctx context.Context) error {
	_, port, err := net.SplitHostPort(r.addr)
	if err != nil {
		return err
	}
	r.command = exec.CommandContext(ctx, "redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", r.dir, "--loglevel", "warning") //nolint:gosec // a port and a directory of our own
	if err := r.command.Start(); err != nil {
		return err
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", r.addr)
		if err == nil {
			return conn.Close()
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("redis-server does not answer: %w", err)
		}
		if err := sleep(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}

// kill ends it as a machine that fails does.
func (r *redisServer) kill() {
	_ = r.command.Process.Kill()
	_ = r.command.Wait()
}

func (r *redisServer) stop() {
	if r.ours {
		r.kill()
		_ = os.RemoveAll(r.dir)
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
