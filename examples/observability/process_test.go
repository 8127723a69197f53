package main

import (
	"context"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// process is a server that runs until the test ends.
type process struct {
	mu    sync.Mutex // guards what follows
	said  strings.Builder
	ended bool
}

func (p *process) Write(text []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said.Write(text)
}

func (p *process) log() (said string, ended bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said.String(), p.ended
}

func start(t *testing.T, path string, args ...string) *process {
	t.Helper()
	p := &process{}
	ctx, kill := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdout, cmd.Stderr = p, p
	require.NoError(t, cmd.Start())
	var waiting sync.WaitGroup
	waiting.Go(func() {
		_ = cmd.Wait() // it is killed
		p.mu.Lock()
		defer p.mu.Unlock()
		p.ended = true
	})
	t.Cleanup(func() {
		kill()
		waiting.Wait()
	})
	return p
}

var listens = regexp.MustCompile(`"(?:Listening on|TLS is disabled\.)".* address=(127\.0\.0\.1:[1-9][0-9]*)`)

// listensAt returns the URL that the process says it listens at, once it is ready.
func (p *process) listensAt(t *testing.T, ready string) string {
	t.Helper()
	url := ""
	poll(t, time.Minute, func() bool {
		said, ended := p.log()
		require.False(t, ended, "%s", said)
		if at := listens.FindStringSubmatch(said); at != nil {
			url = "http://" + at[1]
		}
		return url != "" && answers(t, url+ready)
	}, func() string { said, _ := p.log(); return said })
	return url
}

func answers(t *testing.T, url string) bool {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// poll asks until it is so, and fails the test with a reason if that takes too long.
func poll(t *testing.T, within time.Duration, so func() bool, why func() string) {
	t.Helper()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for deadline := time.Now().Add(within); !so(); <-again.C {
		if time.Now().After(deadline) {
			require.Fail(t, "it took too long", "%s", why())
		}
	}
}
