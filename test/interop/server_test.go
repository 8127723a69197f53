package interop_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// server is a running authorization server.
type server struct {
	HTTP, HTTPS string // its two issuers, which share clients, keys and tokens

	cmd    *exec.Cmd
	stdin  io.Closer
	stderr bytes.Buffer // to be read after the end
}

const startTimeout = 30 * time.Second

// start runs the server until stop is called or this process ends, with more clients than
// those that all have.
func start(more ...*client) (*server, error) {
	// What the test cache of the go command has to notice is what is opened here.
	for _, name := range []string{"as/server.mjs", "as/client.mjs", "as/package-lock.json"} {
		if _, err := os.ReadFile(name); err != nil {
			return nil, err
		}
	}
	exchanges := map[string]any{}
	for _, c := range more {
		if c.exchange != nil {
			exchanges[c.id] = c.exchange
		}
	}
	config, err := json.Marshal(map[string]any{"clients": registration(more...), "tls": authority.server, "exchanges": exchanges})
	if err != nil {
		return nil, err
	}
	s := &server{cmd: exec.Command("node", "server.mjs")}
	s.cmd.Dir, s.cmd.Stderr = "as", &s.stderr
	stdin, err := s.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	s.stdin = stdin
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	defer time.AfterFunc(startTimeout, func() { _ = s.cmd.Process.Kill() }).Stop()
	_, err = stdin.Write(append(config, '\n'))
	lines := bufio.NewScanner(stdout)
	for err == nil && lines.Scan() {
		ready, ok := strings.CutPrefix(lines.Text(), "READY ")
		if !ok {
			continue // warnings
		}
		var issuers struct{ HTTP, HTTPS string }
		if err = json.Unmarshal([]byte(ready), &issuers); err == nil {
			s.HTTP, s.HTTPS = issuers.HTTP, issuers.HTTPS
			return s, nil
		}
	}
	return nil, fmt.Errorf("the authorization server did not start: %w\n%s", errors.Join(err, lines.Err()), s.stop())
}

// stop ends the server and returns what it wrote to standard error.
func (s *server) stop() string {
	_ = s.stdin.Close() // which ends it
	defer time.AfterFunc(startTimeout, func() { _ = s.cmd.Process.Kill() }).Stop()
	_ = s.cmd.Wait()
	return s.stderr.String()
}

// ownServer is for tests that rotate keys, make the server fail, or have clients of their own.
func ownServer(t *testing.T, more ...*client) *server {
	t.Helper()
	s, err := start(more...)
	require.NoError(t, err)
	t.Cleanup(func() {
		if stderr := s.stop(); t.Failed() {
			t.Logf("the authorization server said:\n%s", stderr)
		}
	})
	return s
}

// plain talks to the server where the library does not.
var plain = &http.Client{Timeout: 20 * time.Second}

func (s *server) control(t *testing.T, what string, query url.Values) map[string]int {
	t.Helper()
	resp, err := plain.Get(s.HTTP + "/control/" + what + "?" + query.Encode())
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode)
	var requests map[string]int
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&requests))
	return requests
}

// rotate makes these steps as one: publish a new generation of keys, activate
// it for signing, drop all others.
func (s *server) rotate(t *testing.T, steps ...string) {
	t.Helper()
	s.control(t, "rotate", url.Values{"do": {strings.Join(steps, ",")}})
}

// The paths that the server's metadata name.
const (
	jwksPath          = "/jwks"
	introspectionPath = "/token/introspection"
)

// fault is what is wrong with a path of the server.
type fault struct {
	Status int  `json:"status,omitempty"` // answered instead of what is right
	Delay  int  `json:"delay,omitempty"`  // in milliseconds, before the answer
	Drip   bool `json:"drip,omitempty"`   // an answer that never ends
	Times  int  `json:"times,omitempty"`  // how often; 0: until mended
}

func (f fault) String() string {
	switch {
	case f.Drip:
		return "drip"
	case f.Delay > 0:
		return "delay"
	}
	return strconv.Itoa(f.Status)
}

func (s *server) fail(t *testing.T, path string, f fault) {
	t.Helper()
	spec, err := json.Marshal(f)
	require.NoError(t, err)
	s.control(t, "fault", url.Values{"path": {path}, "fault": {string(spec)}})
}

func (s *server) mend(t *testing.T, path string) {
	t.Helper()
	s.control(t, "fault", url.Values{"path": {path}})
}

// requests returns how many the server has had for a path.
func (s *server) requests(t *testing.T, path string) int {
	t.Helper()
	return s.control(t, "requests", nil)[path]
}

// grant is what a token is asked for with (RFC 6749 §4.4, RFC 8707).
type grant struct {
	app   *client // default: app
	kind  string  // opaque, or the algorithm of a JWT in lower case
	scope string  // default: read
	life  time.Duration
	over  *http.Client // not nil: from the https issuer, through this
	proof *prover      // DPoP
}

// audience is that of the tokens of a kind.
func audience(kind string) string { return "https://api.example/" + kind }

// mint gets a token; for goroutines that may not end the test.
func (s *server) mint(ctx context.Context, g grant) (string, error) {
	client, issuer := plain, s.HTTP
	if g.over != nil {
		client, issuer = g.over, s.HTTPS
	}
	if g.app == nil {
		g.app = app
	}
	resource := audience(g.kind)
	if g.life > 0 {
		resource += fmt.Sprintf("?ttl=%d", int(g.life.Seconds()))
	}
	if g.scope == "" {
		g.scope = "read"
	}
	req, err := g.app.request(ctx, issuer+"/token", url.Values{"grant_type": {"client_credentials"}, "scope": {g.scope}, "resource": {resource}})
	if err != nil {
		return "", err
	}
	if g.proof != nil {
		proof, err := g.proof.prove(req.Method, req.URL.String())
		if err != nil {
			return "", err
		}
		req.Header.Set("DPoP", proof)
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.AccessToken == "" {
		return "", fmt.Errorf("the server gave no token: %s: %s", resp.Status, body)
	}
	return answer.AccessToken, nil
}

func (s *server) token(t *testing.T, g grant) string {
	t.Helper()
	token, err := s.mint(t.Context(), g)
	require.NoError(t, err)
	return token
}

// revoke takes an opaque token of app back (RFC 7009).
func (s *server) revoke(t *testing.T, token string) {
	t.Helper()
	req, err := app.request(t.Context(), s.HTTP+"/token/revocation", url.Values{"token": {token}})
	require.NoError(t, err)
	resp, err := plain.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode)
}
