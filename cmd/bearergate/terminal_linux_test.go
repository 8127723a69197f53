package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate/authtest"
)

// terminal is a pseudo-terminal with the command on it.
type terminal struct {
	master *os.File
	cmd    *exec.Cmd

	mu    sync.Mutex // guards what follows
	shown bytes.Buffer
	ended chan struct{}
}

// openTerminal opens a pseudo-terminal: what somebody types and reads, and what a process
// has of it.
func openTerminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		t.Skip("no pseudo-terminals here")
	}
	require.NoError(t, err)
	t.Cleanup(func() { _ = master.Close() })
	var unlock, number int32
	for _, call := range []struct {
		request uintptr
		value   *int32
	}{{syscall.TIOCSPTLCK, &unlock}, {syscall.TIOCGPTN, &number}} {
		_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, master.Fd(), call.request, reflect.ValueOf(call.value).Pointer())
		require.Zero(t, errno)
		runtime.KeepAlive(call.value)
	}
	slave, err = os.OpenFile("/dev/pts/"+strconv.Itoa(int(number)), os.O_RDWR|syscall.O_NOCTTY, 0)
	require.NoError(t, err)
	return master, slave
}

// onTerminal runs the command with standard input, output and error on a terminal.
func onTerminal(t *testing.T, args ...string) *terminal {
	t.Helper()
	master, slave := openTerminal(t)
	c := &terminal{master: master, cmd: exec.CommandContext(t.Context(), os.Args[0], args...), ended: make(chan struct{})}
	c.cmd.Env = append(os.Environ(), beCommand+"=1")
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = slave, slave, slave
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	require.NoError(t, c.cmd.Start())
	_ = slave.Close()
	go func() {
		defer close(c.ended)
		for buf := make([]byte, 4096); ; {
			n, err := master.Read(buf)
			c.mu.Lock()
			c.shown.Write(buf[:n])
			c.mu.Unlock()
			if err != nil { // EIO: the process has ended
				return
			}
		}
	}()
	return c
}

func (c *terminal) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.ReplaceAll(c.shown.String(), "\r\n", "\n") // as the terminal makes it
}

// waitFor waits until a text is shown.
func (c *terminal) waitFor(t *testing.T, text string) {
	t.Helper()
	require.Eventually(t, func() bool { return strings.Contains(c.text(), text) }, 30*time.Second, time.Millisecond, "%q is not shown", text)
}

// end waits for the end of the command.
func (c *terminal) end() int {
	_ = c.cmd.Wait()
	<-c.ended
	return c.cmd.ProcessState.ExitCode()
}

// On a terminal, somebody is told what is waited for and how to end it; Enter is the end of
// the token; and nothing that a token says moves the cursor.
// An interrupt ends the wait for a file that is a pipe, which nobody may ever write to.
func TestInterruptedPipe(t *testing.T) {
	name := filepath.Join(t.TempDir(), "pipe")
	require.NoError(t, syscall.Mkfifo(name, 0o600))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs bytes.Buffer
	require.Equal(t, exitInterrupted, run(ctx, newEnv(nil, &out, &errs, time.Now), []string{"decode", "-token-file", name}))
	f, err := os.OpenFile(name, os.O_RDWR, 0) // the read that waits ends
	require.NoError(t, err)
	require.NoError(t, f.Close())

	r := invoke(t, "", "keys", "-jwks-file", name)
	require.Equal(t, exitUsage, r.code)
	require.Contains(t, r.err, "has to be a regular file")
}

func TestOnATerminal(t *testing.T) {
	as := startServer(t)
	hostile := as.Sign(map[string]any{"kid": "\x1b[2J\x1b]0;owned\x07"}, as.Claims(authtest.Claims{Audience: []string{"\x1b[31m\u202e\u009b"}}))
	for name, tc := range map[string]struct {
		args  []string
		typed string
		shows string
		code  int
	}{
		"accepted": {args: []string{"explain", "-issuer", as.Issuer(), "-audience", audience}, typed: "\nAuthorization: Bearer " + as.Token(authtest.Claims{}) + "\n", shows: "accepted\n", code: exitOK},
		"hostile":  {args: []string{"explain", "-issuer", as.Issuer(), "-audience", audience}, typed: hostile + "\n", shows: `\x1b[2J`, code: exitFound},
		"decoded":  {args: []string{"decode"}, typed: hostile + "\n", shows: `\u001b[2J`, code: exitOK},
		"as JSON":  {args: []string{"decode", "-json"}, typed: hostile + "\n", shows: `\u001b[2J`, code: exitOK},
		"cut":      {args: []string{"decode"}, typed: strings.Repeat("a", 5000) + "\n", shows: "the terminal may have cut the line", code: exitUsage},
		"end":      {args: []string{"decode"}, typed: "\x04", shows: "there is none", code: exitUsage},
		"Ctrl-C":   {args: []string{"decode"}, typed: "\x03", code: exitInterrupted},
	} {
		t.Run(name, func(t *testing.T) {
			c := onTerminal(t, tc.args...)
			c.waitFor(t, "waiting for the token: paste it and press Enter; Ctrl-C ends this\n")
			_, err := c.master.WriteString(tc.typed)
			require.NoError(t, err)
			require.Equal(t, tc.code, c.end(), c.text())
			require.Contains(t, c.text(), tc.shows)
			require.NotContains(t, c.text(), "\x1b", "an escape")
			require.NotContains(t, c.text(), "\u202e")
			require.NotContains(t, c.text(), "\u009b")
		})
	}
}

// dev on a terminal: Enter, and Ctrl-C.
func TestDevOnATerminal(t *testing.T) {
	c := onTerminal(t, "dev", "-scope", "orders:read")
	c.waitFor(t, "Ctrl-C ends this")
	require.Contains(t, c.text(), "FOR LOCAL WORK ONLY")
	tokens := strings.Count(c.text(), "\neyJ")
	require.Equal(t, 1, tokens)
	_, err := c.master.WriteString("\n")
	require.NoError(t, err)
	require.Eventually(t, func() bool { return strings.Count(c.text(), "\neyJ") == 2 }, 30*time.Second, time.Millisecond)
	_, err = c.master.WriteString("\x03")
	require.NoError(t, err)
	require.Equal(t, exitOK, c.end(), c.text())
}

// Through pipes, nothing is asked and nothing waits; /dev/null is no terminal.
func TestThroughPipes(t *testing.T) {
	as := startServer(t)
	for name, tc := range map[string]struct {
		stdin string
		code  int
	}{"a token": {stdin: as.Token(authtest.Claims{}), code: exitOK}, "nothing": {code: exitUsage}} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "explain", "-issuer", as.Issuer(), "-audience", audience)
		cmd.Env = append(os.Environ(), beCommand+"=1")
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		if tc.stdin != "" {
			cmd.Stdin = strings.NewReader(tc.stdin)
		}
		_ = cmd.Run()
		require.Equal(t, tc.code, cmd.ProcessState.ExitCode(), "%s: %s%s", name, out.String(), errs.String())
		require.NotContains(t, errs.String(), "waiting")
	}
}
