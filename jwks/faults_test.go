package jwks_test

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/jwks"
	"github.com/stretchr/testify/require"
)

// The fault suite: what a server can do to the cache. `go run
// ./examples/faults` prints the same as a table.

// flood asks for n invented key IDs, one after another, and counts the answers.
func flood(t testing.TB, c jwks.Source, n int) (refused, unavailable int) {
	t.Helper()
	for i := range n {
		keys, err := c.Keys(t.Context(), fmt.Sprintf("invented-%d-%d", time.Now().UnixNano(), i), "ES256")
		switch {
		case err == nil && len(keys) == 0:
			refused++
		case errors.Is(err, bearergate.ErrUnavailable):
			unavailable++
		default:
			t.Errorf("neither refused nor unavailable: %v", err)
		}
	}
	return refused, unavailable
}

// JWF-017: S1, 500 distinct unknown kids, warm: at most 2 fetches per 10 s.
func TestS1UnknownKids(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		c, r := newCache(t, s)
		has(t, c, "k1")
		s.forget()
		refused, _ := flood(t, c, 500)
		require.Equal(t, 500, refused)
		require.LessOrEqual(t, s.count(""), 2)
		require.Len(t, r.suppressed, 498)

		// Over a quarter of an hour, all at once and spread out, with refreshes between.
		for range 90 {
			s.forget()
			var wg sync.WaitGroup
			for range 50 {
				wg.Go(func() { flood(t, c, 5) })
			}
			time.Sleep(5 * time.Second)
			flood(t, c, 50)
			time.Sleep(5 * time.Second)
			wg.Wait()
			require.LessOrEqual(t, s.count(""), 2)
		}
		has(t, c, "k1")
	})
}

// S1c, 500 tokens whose kid is that of a key of another alg, warm: at most 2 fetches per
// 10 s, which are those that unknown kids have.
func TestS1cOtherAlgorithms(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k0", "k1", "k2", "k3", "k4")
		c, r := newCache(t, s)
		has(t, c, "k1")
		s.forget()
		algs := []string{"RS256", "RS512", "PS256", "PS384", "ES384", "ES512", "EdDSA"}
		for i := range 500 {
			keys, err := c.Keys(t.Context(), fmt.Sprint("k", i%5), algs[i%len(algs)])
			require.NoError(t, err)
			require.Empty(t, keys)
		}
		refused, _ := flood(t, c, 500)
		require.Equal(t, 500, refused)
		require.Equal(t, 2, s.count(""))
		require.Len(t, r.suppressed, 998)
		has(t, c, "k1")
	})
}

// S1b, the same while the endpoint answers 503: at most 3 fetches in the first
// 10 s, then backoff, in whatever state the outage meets the cache.
func TestS1bUnknownKidsInAnOutage(t *testing.T) {
	for name, age := range map[string]time.Duration{"fresh": 0, "ahead": 8*time.Minute + 50*time.Second, "due": 12 * time.Minute, "stale": 20 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			within(t, func(t *testing.T) {
				s := newServer(t, "k1")
				c, _ := newCache(t, s)
				has(t, c, "k1")
				s.fail("", always(503, "", ""))
				if name == "stale" {
					time.Sleep(11 * time.Minute)
					has(t, c, "k1")
					age -= 11 * time.Minute
				}
				time.Sleep(age)
				s.forget()
				for range 99 { // 9.9 s
					_, unavailable := flood(t, c, 6)
					require.Equal(t, 6, unavailable, "nobody can say that there is no such key")
					has(t, c, "k1")
					time.Sleep(100 * time.Millisecond)
				}
				require.LessOrEqual(t, s.count(""), 3)
				require.Positive(t, s.count(""))
				s.forget()
				for range 600 { // 10 min
					flood(t, c, 5)
					time.Sleep(time.Second)
				}
				require.LessOrEqual(t, s.count(""), 60)
			})
		})
	}
}

// JWF-018: a flood while the endpoint is slow does not slow valid tokens.
func TestFloodOfASlowServer(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		c, _ := newCache(t, s)
		has(t, c, "k1")
		s.fail("", func(*http.Request) (*http.Response, error) { time.Sleep(4 * time.Second); return nil, nil })
		var wg sync.WaitGroup
		for range 200 {
			wg.Go(func() { flood(t, c, 1) })
		}
		synctest.Wait()
		for range 40 {
			before := time.Now()
			has(t, c, "k1")
			require.Zero(t, time.Since(before))
			time.Sleep(50 * time.Millisecond)
		}
		wg.Wait()
		require.Equal(t, 2, s.count(""))
	})
}

// S2, 10,000 bad signatures under a known kid: Keys fetches nothing for them. What looks for
// a key that was replaced is KeysAfterMiss, within the bound for unknown keys.
func TestS2BadSignatures(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		c, _ := newCache(t, s)
		has(t, c, "k1")
		s.forget()
		for range 10_000 {
			keys, err := c.Keys(t.Context(), "k1", "ES256")
			require.NoError(t, err)
			err = keys[0].Verify("ES256", []byte("signed"), make([]byte, 64))
			requireError(t, err, bearergate.ErrInvalidToken, bearergate.ReasonSignature)
		}
		require.Zero(t, s.count(""))
	})
}

// JWF-002, JWF-026: S3, an outage from before the TTL's end, 100 valid tokens
// after it: accepted and flagged stale; after MaxStale 503, never 401.
func TestS3Outage(t *testing.T) {
	for name, f := range map[string]fault{
		"down": down, "500 with a good body": nil, "hang": hang, "bad JSON": always(200, "application/json", `{"keys":[`),
	} {
		t.Run(name, func(t *testing.T) {
			within(t, func(t *testing.T) {
				s := newServer(t, "k1")
				c, r := newCache(t, s)
				has(t, c, "k1")
				if f == nil {
					f = always(500, "application/json", string(set(s.keys["k1"])))
				}
				time.Sleep(5 * time.Minute)
				s.fail("", f)
				time.Sleep(7 * time.Minute)
				for range 100 {
					has(t, c, "k1")
					time.Sleep(time.Second)
				}
				require.Len(t, r.stale, 100)
				require.Equal(t, jwks.StateStale, c.Status().State)
				for c.Status().State == jwks.StateStale {
					time.Sleep(time.Minute)
					_, _ = c.Keys(t.Context(), "k1", "ES256")
				}
				require.InDelta(t, (70 * time.Minute).Seconds(), time.Since(c.Status().LastSuccess).Seconds(), (3 * time.Minute).Seconds())
				for range 100 {
					unavailable(t, c, "k1")
					unavailable(t, c, "unknown")
					time.Sleep(10 * time.Second)
				}
				s.heal()
				time.Sleep(time.Minute)
				has(t, c, "k1")
			})
		})
	}
}

// Under traffic, callers with little time do not notice an outage, not even of a
// server that hangs, and not even when the TTL ends.
func TestOutageUnderTraffic(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		c, _ := newCache(t, s)
		has(t, c, "k1")
		s.fail("", hang)
		start := time.Now()
		for time.Since(start) < 68*time.Minute {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			keys, err := c.Keys(ctx, "k1", "ES256")
			cancel()
			require.NoError(t, err)
			require.Len(t, keys, 1)
			time.Sleep(time.Second)
		}
		time.Sleep(10 * time.Second)
	})
}

// JWF-001: S4, a cold start in an outage, 100 tokens one after another: at most
// 4 fetches, the rest a fast 503 with Retry-After.
func TestS4ColdOutage(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		s.fail("", always(500, "", ""))
		c, _ := newCache(t, s)
		for range 100 {
			before := time.Now()
			e := unavailable(t, c, "k1")
			require.LessOrEqual(t, e.RetryAfter, time.Minute)
			require.Zero(t, time.Since(before))
			time.Sleep(100 * time.Millisecond)
		}
		require.LessOrEqual(t, s.count(""), 4)
		s.heal()
		time.Sleep(time.Until(c.Status().NextAttempt))
		has(t, c, "k1")
	})
}

// S5, a cold stampede, 500 at once: 1 fetch.
func TestS5Stampede(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		s.delay = time.Second
		c, _ := newCache(t, s, discovered)
		var served atomic.Int32
		var wg sync.WaitGroup
		for range 500 {
			wg.Go(func() {
				if keys, err := c.Keys(context.Background(), "k1", "ES256"); err == nil && len(keys) == 1 {
					served.Add(1)
				}
			})
		}
		wg.Wait()
		require.EqualValues(t, 500, served.Load())
		require.Equal(t, 1, s.count(rfcURL))
		require.Equal(t, 1, s.count(setURL))
	})
}

// S6, a key withdrawn from the set: refused within one TTL; within TTL +
// MaxStale if the server is also down.
func TestS6Withdrawn(t *testing.T) {
	for name, outage := range map[string]bool{"up": false, "down": true} {
		t.Run(name, func(t *testing.T) {
			within(t, func(t *testing.T) {
				s := newServer(t, "gone", "stays")
				c, _ := newCache(t, s)
				has(t, c, "gone")
				s.mu.Lock()
				delete(s.keys, "gone")
				s.mu.Unlock()
				if outage {
					s.fail("", down)
				}
				start := time.Now()
				for {
					keys, err := c.Keys(t.Context(), "gone", "ES256")
					if len(keys) == 0 {
						require.Equal(t, outage, err != nil)
						break
					}
					time.Sleep(time.Second)
				}
				limit := 11 * time.Minute // with jitter
				if outage {
					limit += time.Hour
				}
				require.LessOrEqual(t, time.Since(start), limit+time.Second)
			})
		})
	}
}

// S7, rotation during a flood of unknown kids: the new key is accepted within
// 10 s; in calm at its first token.
func TestS7Rotation(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k0")
		c, _ := newCache(t, s)
		has(t, c, "k0")
		for n := range 20 {
			for range 7 + n%3 {
				flood(t, c, 20)
				time.Sleep(time.Second)
			}
			kid := fmt.Sprint("flooded", n)
			s.rotate(t, kid)
			start := time.Now()
			for {
				flood(t, c, 5)
				if keys, err := c.Keys(t.Context(), kid, "ES256"); err == nil && len(keys) == 1 {
					break
				}
				time.Sleep(100 * time.Millisecond)
			}
			require.LessOrEqual(t, time.Since(start), 10*time.Second)
		}
		for n := range 20 {
			time.Sleep(11 * time.Second)
			kid := fmt.Sprint("calm", n)
			s.rotate(t, kid)
			has(t, c, kid)
		}
		// Also just after a scheduled refresh.
		time.Sleep(12 * time.Minute)
		has(t, c, "calm19")
		s.rotate(t, "soon")
		has(t, c, "soon")
	})
}

// JWF-025: new bytes under the same kid arrive with the next scheduled refresh, where no
// token has asked for them before. TestKeysAfterMiss and TestKnownKeyThatDoesNotFit: one has.
func TestReplacedUnderItsKid(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		c, r := newCache(t, s)
		before, err := c.Keys(t.Context(), "k1", "ES256")
		require.NoError(t, err)
		s.rotate(t, "k1")
		time.Sleep(11 * time.Minute)
		after, err := c.Keys(t.Context(), "k1", "ES256")
		require.NoError(t, err)
		require.NotEqual(t, before[0].Thumbprint(), after[0].Thumbprint())
		require.Equal(t, []string{"k1"}, r.lastFetch(t).Added)
		require.Equal(t, []string{"k1"}, r.lastFetch(t).Removed)
	})
}

// JWF-005, JWF-007, JWF-015, JWK-033 ff.: S8, the endpoint answers nonsense: the
// last good set stays, memory and time are bounded, an event says which.
func TestS8Nonsense(t *testing.T) {
	const good = "k1"
	bomb := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		defer z.Close()
		for range 200 {
			if _, err := z.Write(make([]byte, 1<<20)); err != nil {
				return
			}
		}
	}
	text := func(contentType, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = []string{contentType}
			_, _ = io.WriteString(w, body)
		}
	}
	for name, tc := range map[string]struct {
		handler http.HandlerFunc
		outcome jwks.Outcome
	}{
		"empty set":         {text("application/json", `{"keys":[]}`), jwks.OutcomeNoUsableKey},
		"no good key":       {text("application/json", `{"keys":[{"kty":"oct","k":"AAAA"}]}`), jwks.OutcomeNoUsableKey},
		"100 bad keys":      {text("application/json", string(set(many([]byte(`{"kty":"oct"}`), 100)...))), jwks.OutcomeNoUsableKey},
		"no keys":           {text("application/json", `{}`), jwks.OutcomeMalformed},
		"keys an object":    {text("application/json", `{"keys":{}}`), jwks.OutcomeMalformed},
		"keys null":         {text("application/json", `{"keys":null}`), jwks.OutcomeMalformed},
		"a bare key":        {text("application/json", string(newJWK(t, good, "ES256"))), jwks.OutcomeMalformed},
		"an array":          {text("application/json", `[`+string(newJWK(t, good, "ES256"))+`]`), jwks.OutcomeMalformed},
		"keys twice":        {text("application/json", `{"keys":[`+string(newJWK(t, "evil", "ES256"))+`],"keys":[`+string(newJWK(t, good, "ES256"))+`]}`), jwks.OutcomeMalformed},
		"byte order mark":   {text("application/json", "\ufeff"+string(set(newJWK(t, good, "ES256")))), jwks.OutcomeMalformed},
		"nested deep":       {text("application/json", `{"keys":`+strings.Repeat("[", 100_000)+strings.Repeat("]", 100_000)+`}`), jwks.OutcomeMalformed},
		"trailing data":     {text("application/json", string(set(newJWK(t, good, "ES256")))+"{}"), jwks.OutcomeMalformed},
		"no body":           {text("application/json", ""), jwks.OutcomeMalformed},
		"null":              {text("application/json", "null"), jwks.OutcomeMalformed},
		"101 keys":          {text("application/json", string(set(many(newJWK(t, good, "ES256"), 101)...))), jwks.OutcomeTooManyKeys},
		"HTML":              {text("text/html; charset=utf-8", "<html>log in</html>"), jwks.OutcomeContentType},
		"a set as HTML":     {text("text/html", string(set(newJWK(t, "evil", "ES256")))), jwks.OutcomeContentType},
		"a set as a script": {text("application/javascript", string(set(newJWK(t, "evil", "ES256")))), jwks.OutcomeContentType},
		"encoded otherwise": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "br")
			text("application/json", "x")(w, nil)
		}, jwks.OutcomeContentType},
		"truncated": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", "4000")
			_, _ = w.Write(set(newJWK(t, "evil", "ES256")))
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, jwks.OutcomeTruncated},
		"broken gzip": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			text("application/json", "\x1f\x8b\x08\x00nonsense")(w, nil)
		}, jwks.OutcomeTruncated},
		"200 MB": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			for range 200 {
				if _, err := w.Write(make([]byte, 1<<20)); err != nil {
					return
				}
			}
		}, jwks.OutcomeTooLarge},
		"200 MB announced": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", fmt.Sprint(200<<20))
			_, _ = w.Write(make([]byte, 1<<10))
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, jwks.OutcomeTooLarge},
		"gzip bomb": {bomb, jwks.OutcomeTooLarge},
		"redirect elsewhere": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://evil.example/keys", http.StatusFound)
		}, jwks.OutcomeRedirect},
		"a drip": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			for range 30 {
				_, _ = io.WriteString(w, " ")
				w.(http.Flusher).Flush()
				select {
				case <-time.After(time.Second):
				case <-r.Context().Done():
					return
				}
			}
		}, jwks.OutcomeTimeout},
		"not HTTP": {func(w http.ResponseWriter, _ *http.Request) {
			conn, _, _ := w.(http.Hijacker).Hijack()
			_, _ = io.WriteString(conn, "SSH-2.0-secret\r\n\r\n")
			_ = conn.Close()
		}, jwks.OutcomeConnect},
		"closed": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, jwks.OutcomeConnect},
		"401":    {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) }, jwks.OutcomeStatus},
		"204":    {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, jwks.OutcomeStatus},
		"201":    {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(201) }, jwks.OutcomeStatus},
	} {
		t.Run(name, func(t *testing.T) {
			within(t, func(t *testing.T) {
				jwk := newJWK(t, good, "ES256")
				var bad atomic.Bool
				wire := serve(t, func(w http.ResponseWriter, r *http.Request) {
					if bad.Load() {
						tc.handler(w, r)
						return
					}
					text("application/jwk-set+json", string(set(jwk)))(w, r)
				})
				c, r := newCache(t, nil, func(c *jwks.Config) {
					c.URL, c.HTTPClient = "http://localhost/keys", &http.Client{Transport: wire.transport()}
				})
				has(t, c, good)
				bad.Store(true)
				wire.bytes.Store(0)
				time.Sleep(12 * time.Minute)
				before := time.Now()
				has(t, c, good)
				require.LessOrEqual(t, time.Since(before), time.Second)
				time.Sleep(jwks.DefaultFetchTimeout)
				hasOnly(t, c, good)
				require.Equal(t, jwks.StateStale, c.Status().State)
				e := r.lastFetch(t)
				require.Equal(t, tc.outcome, e.Outcome, "%v", e.Err)
				require.NotContains(t, e.Err.Error(), "secret")
				require.Less(t, len(e.Err.Error()), 1000)
				require.Less(t, wire.bytes.Load(), int64(2<<20), "bytes taken from the wire")
				bad.Store(false)
				time.Sleep(time.Minute)
				has(t, c, good)
				synctest.Wait()
				require.Equal(t, jwks.StateFresh, c.Status().State)
			})
		})
	}
}

func many(jwk []byte, n int) (out [][]byte) {
	for range n {
		out = append(out, jwk)
	}
	return out
}

func hasOnly(t testing.TB, c *jwks.Cache, kid string) {
	t.Helper()
	keys, err := c.Keys(t.Context(), "", "ES256")
	require.NoError(t, err)
	require.Len(t, keys, 1)
	require.Equal(t, kid, keys[0].ID())
}

// Accepted content types of a set, and a body right at the limit.
func TestAcceptedDocuments(t *testing.T) {
	within(t, func(t *testing.T) {
		doc := string(set(newJWK(t, "k1", "ES256")))
		for _, contentType := range []string{"application/json", "application/jwk-set+json", "application/json; charset=utf-8", "Application/JSON",
			"application/vnd.x+json", "text/plain", "application/octet-stream", "binary/octet-stream", "", "application/json; charset="} {
			s := newServer(t)
			s.fail("", always(200, contentType, doc))
			c, _ := newCache(t, s)
			has(t, c, "k1")
		}
		for _, extra := range []int{0, 1} {
			s := newServer(t)
			s.fail("", always(200, "application/json", doc+strings.Repeat(" ", jwks.DefaultMaxBytes-len(doc)+extra)))
			c, r := newCache(t, s)
			if extra == 0 {
				has(t, c, "k1")
			} else {
				unavailable(t, c, "k1")
				require.Equal(t, jwks.OutcomeTooLarge, r.lastFetch(t).Outcome)
			}
		}
		s := newServer(t)
		s.fail("", always(200, "application/json", string(set(many(newJWK(t, "k1", "ES256"), 100)...))))
		c, _ := newCache(t, s)
		keys, err := c.Keys(t.Context(), "k1", "ES256")
		require.NoError(t, err)
		require.Len(t, keys, 100)
	})
}

// wire is a real HTTP server and client over in-memory connections.
type wire struct {
	conns  chan net.Conn
	closed chan struct{}
	bytes  atomic.Int64 // that the server could get rid of
}

func serve(t testing.TB, h http.HandlerFunc) *wire {
	w := &wire{conns: make(chan net.Conn), closed: make(chan struct{})}
	srv := &http.Server{Handler: h, ErrorLog: quiet}
	go func() { _ = srv.Serve(w) }()
	t.Cleanup(func() { _ = srv.Close() })
	return w
}

func (w *wire) transport() *http.Transport {
	return &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		client, server := net.Pipe()
		select {
		case w.conns <- counted{server, &w.bytes}:
			return client, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}}
}

func (w *wire) Accept() (net.Conn, error) {
	select {
	case c := <-w.conns:
		return c, nil
	case <-w.closed:
		return nil, net.ErrClosed
	}
}

func (w *wire) Close() error   { close(w.closed); return nil }
func (w *wire) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

type counted struct {
	net.Conn
	n *atomic.Int64
}

func (c counted) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.n.Add(int64(n))
	return n, err
}
