// Package servers starts programs of others, on loopback, for tests that need the real ones:
// Redis with replicas and Sentinels, and proxies. It has to do with processes alone; what
// they are asked, and by whom, is up to the tests.
//
// What is started ends with [Process.Kill], and on Linux with this process too.
package servers

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// patience is for what servers do in seconds at most, on a busy machine too.
const patience = time.Minute

// Find returns the path of a program. BEARERGATE_ and its name in capitals say which one, if
// it is not the one in PATH or in /usr/sbin, where Debian has servers.
func Find(name string) (string, error) {
	if wanted := os.Getenv("BEARERGATE_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))); wanted != "" {
		return exec.LookPath(wanted)
	}
	path, err := exec.LookPath(name)
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/" + name)
	}
	return path, err
}

// FreeAddress is one of 127.0.0.1 that nobody listened at a moment ago.
func FreeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// Process is a program that was started. Its methods are for one goroutine at a time.
type Process struct {
	path    string
	args    []string
	process *os.Process
	ended   chan struct{} // closed when it has
	said    *output
}

// Start starts a program.
func Start(path string, args ...string) (*Process, error) {
	p := &Process{path: path, args: args}
	return p, p.Restart()
}

// Restart starts it again after it was killed, with these arguments beside the first ones.
func (p *Process) Restart(more ...string) error {
	cmd := exec.Command(p.path, slices.Concat(p.args, more)...)
	said, ended := new(output), make(chan struct{})
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = said, said, withUs()
	if err := cmd.Start(); err != nil {
		return err
	}
	p.process, p.ended, p.said = cmd.Process, ended, said
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	return nil
}

// Kill ends it as a machine that fails does, also if it is stopped, and returns when it has
// ended.
func (p *Process) Kill() {
	_ = p.process.Kill()
	<-p.ended
}

// Ended reports whether it has ended, by itself too.
func (p *Process) Ended() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// Said is what it has written to its standard output and error, the first 64 KiB.
func (p *Process) Said() string { return p.said.String() }

// output is the beginning of what a program writes.
type output struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text.Write(b[:min(len(b), 64<<10-o.text.Len())])
	return len(b), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// until waits for something that servers do by themselves.
func until(what string, holds func() bool) error {
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("servers: %s: not within %v", what, patience)
		}
	}
	return nil
}

// Listening starts a program that listens at a free address, as often as others are faster
// at the address that was chosen for it. The arguments are made for an address; serves says
// whether it is this program that answers there.
func Listening(path string, args func(address string) ([]string, error), serves func(address string) bool) (p *Process, address string, err error) {
	for range 5 {
		if address, err = FreeAddress(); err != nil {
			return nil, "", err
		}
		given, err := args(address)
		if err != nil {
			return nil, "", err
		}
		if p, err = Start(path, given...); err != nil {
			return nil, "", err
		}
		switch err := until(filepath.Base(path)+" does not listen", func() bool { return p.Ended() || serves(address) }); {
		case err != nil:
			p.Kill()
			return nil, "", fmt.Errorf("%w; it said: %s", err, p.Said())
		case !p.Ended():
			return p, address, nil
		}
		said := strings.ToLower(p.Said())
		if !strings.Contains(said, "already in use") && !strings.Contains(said, "cannot bind") {
			return nil, "", fmt.Errorf("servers: %s has ended: %s", filepath.Base(path), p.Said())
		}
	}
	return nil, "", errors.New("servers: another process was faster at every address")
}
