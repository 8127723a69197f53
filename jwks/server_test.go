package jwks_test

import (
	"bytes"
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/stretchr/testify/require"
)

const (
	issuer  = "https://as.example.com/tenant1"
	setURL  = "https://as.example.com/tenant1/keys"
	rfcURL  = "https://as.example.com/.well-known/oauth-authorization-server/tenant1"
	oidcURL = "https://as.example.com/tenant1/.well-known/openid-configuration"
)

// server is an authorization server without a network: it counts requests and
// goes wrong on demand. Without a fault, it serves metadata and its keys.
type server struct {
	mu     sync.Mutex
	keys   map[string][]byte // kid → JWK
	seen   map[string][]time.Time
	header http.Header // of the key set's answer
	delay  time.Duration
	faults map[string]fault // by URL; "" for all
	last   *http.Request
}

// fault answers instead of the server; nil, nil: as usual.
type fault func(*http.Request) (*http.Response, error)

func newServer(t testing.TB, kids ...string) *server {
	s := &server{keys: map[string][]byte{}, seen: map[string][]time.Time{}, header: http.Header{}, faults: map[string]fault{}}
	s.rotate(t, kids...)
	return s
}

// rotate replaces the keys by new ones.
func (s *server) rotate(t testing.TB, kids ...string) {
	t.Helper()
	keys := map[string][]byte{}
	for _, kid := range kids {
		keys[kid] = newJWK(t, kid, "ES256")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = keys
}

// add publishes one more key.
func (s *server) add(t testing.TB, kid string) {
	t.Helper()
	jwk := newJWK(t, kid, "ES256")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[kid] = jwk
}

// remove withdraws a key.
func (s *server) remove(kid string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.keys, kid)
}

// uses has a key verify something, as a verifier does that has found it.
func uses(t testing.TB, c *jwks.Cache, kid string) {
	t.Helper()
	keys, err := c.Keys(t.Context(), kid, "ES256")
	require.NoError(t, err)
	require.Len(t, keys, 1)
	c.Used(t.Context(), keys[0])
}

func newJWK(t testing.TB, kid, alg string) []byte {
	t.Helper()
	key, err := jose.GenerateKey(alg)
	require.NoError(t, err)
	return publicJWK(t, kid, key, alg)
}

func publicJWK(t testing.TB, kid string, key crypto.Signer, alg string) []byte {
	t.Helper()
	jwk, err := jose.PublicJWK(kid, key.Public(), alg)
	require.NoError(t, err)
	return jwk
}

func set(jwks ...[]byte) []byte {
	return fmt.Appendf(nil, `{"keys":[%s]}`, bytes.Join(jwks, []byte(",")))
}

func (s *server) fail(url string, f fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[url] = f
}

func (s *server) heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.faults)
}

// count returns how many requests there were for url, "" for all.
func (s *server) count(url string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if url != "" {
		return len(s.seen[url])
	}
	n := 0
	for _, at := range s.seen {
		n += len(at)
	}
	return n
}

// forget starts all counts anew.
func (s *server) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.seen)
}

func (s *server) RoundTrip(r *http.Request) (*http.Response, error) {
	url := r.URL.String()
	s.mu.Lock()
	s.seen[url] = append(s.seen[url], time.Now())
	s.last = r
	f, delay := s.faults[url], s.delay
	if f == nil {
		f = s.faults[""]
	}
	s.mu.Unlock()
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	if f != nil {
		if resp, err := f(r); resp != nil || err != nil {
			return resp, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch url {
	case rfcURL, oidcURL:
		return answer(200, "application/json", metadataOf(issuer, setURL)), nil
	case setURL:
		var keys [][]byte
		for _, key := range s.keys {
			keys = append(keys, key)
		}
		resp := answer(200, "application/jwk-set+json", string(set(keys...)))
		maps.Copy(resp.Header, s.header)
		if tag := s.header.Get("ETag"); tag != "" && r.Header.Get("If-None-Match") == tag {
			resp.StatusCode, resp.Body = 304, http.NoBody
		}
		return resp, nil
	}
	return answer(404, "text/plain", "no such thing"), nil
}

func metadataOf(issuer, jwksURI string) string {
	doc, _ := json.Marshal(map[string]any{"issuer": issuer, "jwks_uri": jwksURI, "response_types_supported": []string{"code"}})
	return string(doc)
}

func answer(status int, contentType, body string) *http.Response {
	h := http.Header{}
	if contentType != "" {
		h.Set("Content-Type", contentType)
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body)), ContentLength: -1}
}

func always(status int, contentType, body string) fault {
	return func(*http.Request) (*http.Response, error) { return answer(status, contentType, body), nil }
}

var errDown = errors.New("connection refused: with-a-secret-in-it")

func down(*http.Request) (*http.Response, error) { return nil, errDown }

func hang(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// recorder keeps what the hooks were told.
type recorder struct {
	mu         sync.Mutex
	fetched    []jwks.FetchEvent
	waited     []jwks.WaitEvent
	states     []jwks.StateEvent
	suppressed []jwks.MissEvent
	stale      []jwks.StaleEvent
	skipped    []jwks.KeyEvent
	early      []jwks.EarlyEvent
	panicked   []bearergate.PanicEvent
	dead       int // events with a context that had ended
}

func (r *recorder) hooks() jwks.Hooks {
	return jwks.Hooks{
		Fetched:        func(ctx context.Context, e jwks.FetchEvent) { note(ctx, r, &r.fetched, e) },
		Waited:         func(ctx context.Context, e jwks.WaitEvent) { note(ctx, r, &r.waited, e) },
		StateChanged:   func(ctx context.Context, e jwks.StateEvent) { note(ctx, r, &r.states, e) },
		MissSuppressed: func(ctx context.Context, e jwks.MissEvent) { note(ctx, r, &r.suppressed, e) },
		StaleServed:    func(ctx context.Context, e jwks.StaleEvent) { note(ctx, r, &r.stale, e) },
		KeySkipped:     func(ctx context.Context, e jwks.KeyEvent) { note(ctx, r, &r.skipped, e) },
		UsedEarly:      func(ctx context.Context, e jwks.EarlyEvent) { note(ctx, r, &r.early, e) },
		Panicked:       func(ctx context.Context, e bearergate.PanicEvent) { note(ctx, r, &r.panicked, e) },
	}
}

func note[E any](ctx context.Context, r *recorder, events *[]E, e E) {
	r.mu.Lock()
	defer r.mu.Unlock()
	*events = append(*events, e)
	if ctx == nil || ctx.Err() != nil {
		r.dead++
	}
}

// lastFetch returns the last fetch event.
func (r *recorder) lastFetch(t testing.TB) jwks.FetchEvent {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	require.NotEmpty(t, r.fetched, "no fetch event")
	return r.fetched[len(r.fetched)-1]
}

// within runs f in a bubble with its own time; a goroutine that outlives f and
// waits for nothing that will come is reported by the bubble itself.
func within(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	bubble.Test(t, f)
}

// noLeaks fails the test if goroutines of this module outlive it. It is for
// tests outside a bubble, in real time.
func noLeaks(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		var left string
		for range 10_000 {
			buf := make([]byte, 1<<20)
			left = ""
			for stack := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
				if (strings.Contains(stack, "bearergate/jwks.") || strings.Contains(stack, "singleflight")) && !strings.Contains(stack, "testing.") {
					left += stack + "\n"
				}
			}
			if left == "" {
				return
			}
			runtime.Gosched()
		}
		t.Error("goroutines left:\n" + left)
	})
}

// newCache returns a cache of a server's set under its URL.
func newCache(t testing.TB, s *server, change ...func(*jwks.Config)) (*jwks.Cache, *recorder) {
	t.Helper()
	r := &recorder{}
	config := jwks.Config{URL: setURL, HTTPClient: &http.Client{Transport: s}, Hooks: r.hooks()}
	for _, f := range change {
		f(&config)
	}
	c, err := jwks.New(config)
	require.NoError(t, err)
	jwks.Steppable(c)
	return c, r
}

// discovered is newCache by discovery.
func discovered(c *jwks.Config) { c.URL, c.Issuer = "", issuer }

func has(t testing.TB, c jwks.Source, kid string) {
	t.Helper()
	keys, err := c.Keys(t.Context(), kid, "ES256")
	require.NoError(t, err)
	require.Len(t, keys, 1)
	require.Equal(t, kid, keys[0].ID())
}

func hasNot(t testing.TB, c jwks.Source, kid string) {
	t.Helper()
	keys, err := c.Keys(t.Context(), kid, "ES256")
	require.NoError(t, err)
	require.Empty(t, keys)
}

func requireError(t testing.TB, err, kind error, reason bearergate.Reason) *bearergate.Error {
	t.Helper()
	kit.RequireError(t, err, kind, reason)
	var e *bearergate.Error
	require.ErrorAs(t, err, &e)
	require.NotContains(t, err.Error(), "secret")
	return e
}

// unavailable expects no answer, and a hint when to come back.
func unavailable(t testing.TB, c jwks.Source, kid string) *bearergate.Error {
	t.Helper()
	keys, err := c.Keys(t.Context(), kid, "ES256")
	require.Nil(t, keys)
	e := requireError(t, err, bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)
	require.Positive(t, e.RetryAfter)
	return e
}

var quiet = log.New(io.Discard, "", 0)
