package introspect_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/stretchr/testify/require"
)

const (
	issuer   = "https://as.example.com/"
	audience = "https://rs.example.com/"
	endpoint = "https://as.example.com/introspect"
	clientID = "orders-api"
	secret   = "s3cr3t/of+the:client"
	opaque   = "2YotnFZFEjr1zCsicMWpAA"
)

// server is an authorization server in memory: an http.RoundTripper that
// answers introspection requests, counts, and fails on demand.
type server struct {
	mu       sync.Mutex // guards the rest
	calls    int
	byToken  map[string]int
	now, max int // calls under way, and the most there were
	last     *http.Request
	form     url.Values
	answers  map[string]map[string]any // by token; others are inactive
	respond  func(r *http.Request, form url.Values) (*http.Response, error)
	delay    time.Duration
	metadata func(r *http.Request) *http.Response
	reads    int // of the metadata
}

func newServer() *server {
	s := &server{byToken: map[string]int{}, answers: map[string]map[string]any{}}
	s.answers[opaque] = answer(nil)
	return s
}

func (s *server) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.Contains(r.URL.Path, "/.well-known/") {
		s.mu.Lock()
		s.reads++
		metadata := s.metadata
		s.mu.Unlock()
		if metadata == nil {
			return reply(404, "text/plain", "no"), nil
		}
		return metadata(r), nil
	}
	var form url.Values
	if r.Body != nil {
		body, err := io.ReadAll(r.Body)
		_ = r.Body.Close()
		if err != nil {
			return nil, err
		}
		if form, err = url.ParseQuery(string(body)); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	s.calls++
	s.byToken[form.Get("token")]++
	s.now++
	s.max = max(s.max, s.now)
	s.last, s.form = r, form
	delay, respond, a := s.delay, s.respond, s.answers[form.Get("token")]
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.now--
		s.mu.Unlock()
	}()
	if delay > 0 {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	if respond != nil {
		return respond(r, form)
	}
	if a == nil {
		a = map[string]any{"active": false}
	}
	return reply(200, "application/json", encode(a)), nil
}

func (s *server) set(change func(*server)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

func (s *server) requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

// times is how often the server was asked about a token.
func (s *server) times(token string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byToken[token]
}

// fail has every call answered so; nil ends it.
func (s *server) fail(respond func() (*http.Response, error)) {
	s.set(func(s *server) {
		s.respond = nil
		if respond != nil {
			s.respond = func(*http.Request, url.Values) (*http.Response, error) { return respond() }
		}
	})
}

// tellApart has calls about opaque answered in one way, and those about all other tokens in
// another.
func (s *server) tellApart(itself, others func() (*http.Response, error)) {
	s.set(func(s *server) {
		s.respond = func(_ *http.Request, form url.Values) (*http.Response, error) {
			if form.Get("token") == opaque {
				return itself()
			}
			return others()
		}
	})
}

// openBreaker has calls fail until the breaker is open.
func openBreaker(t testing.TB, s *server, v bearergate.Verifier, failure func() (*http.Response, error)) {
	t.Helper()
	s.fail(failure)
	for i := range introspect.BreakerFailures {
		requireRefused(t, v, fmt.Sprint("t", i), unavailable, bearergate.ReasonIntrospectionUnavailable)
	}
}

// active is an answer that accepts a token.
func active() (*http.Response, error) {
	return reply(200, "application/json", encode(answer(nil))), nil
}

func status(code int, header ...string) func() (*http.Response, error) {
	return func() (*http.Response, error) {
		r := reply(code, "application/json", `{"error":"x"}`)
		for i := 0; i+1 < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		return r, nil
	}
}

var errDown = errors.New("connection refused")

func down() (*http.Response, error) { return nil, errDown }

func reply(code int, contentType, body string) *http.Response {
	h := http.Header{}
	if contentType != "" {
		h.Set("Content-Type", contentType)
	}
	return &http.Response{StatusCode: code, Header: h, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
}

func encode(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err)
	}
	return strings.TrimSpace(b.String())
}

type absentValue struct{}

var absent any = absentValue{}

// answer is a valid answer after change has had its way with it.
func answer(change map[string]any) map[string]any {
	a := map[string]any{
		"active": true, "iss": issuer, "aud": audience, "sub": "user-1", "client_id": "client-1", "username": "alice",
		"scope": "read write", "token_type": "Bearer", "jti": "id-1",
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
	}
	maps.Copy(a, change)
	maps.DeleteFunc(a, func(_ string, v any) bool { return v == absent })
	return a
}

func config(s *server) introspect.Config {
	return introspect.Config{Issuer: issuer, Endpoint: endpoint, Auth: introspect.BasicAuth(clientID, secret),
		Audiences: []string{audience}, HTTPClient: &http.Client{Transport: s}}
}

func newClient(t testing.TB, c introspect.Config) *introspect.Client {
	t.Helper()
	client, err := introspect.New(c)
	require.NoError(t, err)
	return client
}

func with(c introspect.Config, change func(*introspect.Config)) introspect.Config {
	change(&c)
	return c
}

var requireError = kit.RequireRefused

func requireAccepted(t testing.TB, v bearergate.Verifier, token string) *bearergate.Token {
	t.Helper()
	tok, err := v.Verify(context.Background(), token)
	require.NoError(t, err)
	require.NotNil(t, tok)
	return tok
}

func requireRefused(t testing.TB, v bearergate.Verifier, token string, kind error, reason bearergate.Reason) error {
	t.Helper()
	tok, err := v.Verify(context.Background(), token)
	requireError(t, tok, err, kind, reason)
	return err
}
