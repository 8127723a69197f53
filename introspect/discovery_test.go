package introspect_test

import (
	"fmt"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/stretchr/testify/require"
)

func TestDiscovery(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newServer()
		s.answers[opaque] = answer(map[string]any{"exp": absent})
		where := endpoint
		s.metadata = func(r *http.Request) *http.Response {
			return reply(200, "application/json", encode(map[string]any{"issuer": issuer, "introspection_endpoint": where}))
		}
		client := newClient(t, with(config(s), func(c *introspect.Config) { c.Endpoint, c.DisableCache = "", true }))
		for range 3 {
			requireAccepted(t, client, opaque)
		}
		require.Equal(t, 1, s.reads)
		require.Equal(t, endpoint, s.last.URL.String())

		s.set(func(*server) { where = "https://as.example.com/moved" })
		time.Sleep(time.Hour)
		requireAccepted(t, client, opaque) // nobody waits for the document
		synctest.Wait()
		requireAccepted(t, client, opaque)
		require.Equal(t, 2, s.reads)
		require.Equal(t, "https://as.example.com/moved", s.last.URL.String())

		// A call that fails makes the document suspect.
		for i, fault := range []func() (*http.Response, error){status(404), status(500), status(302, "Location", "https://as.example.com/login")} {
			again := fmt.Sprint("https://as.example.com/again", i)
			s.set(func(*server) { where = again })
			time.Sleep(10 * time.Second)
			s.fail(fault)
			requireRefused(t, client, opaque, unavailable, bearergate.ReasonIntrospectionUnavailable)
			s.fail(nil)
			synctest.Wait()
			time.Sleep(time.Second)
			requireAccepted(t, client, opaque)
			require.Equal(t, again, s.last.URL.String())
		}

		// Not one that fails for the token's sake, or for that of a proxy.
		for _, fault := range []func() (*http.Response, error){status(400), status(409), func() (*http.Response, error) { return reply(200, "text/html", "<p>"), nil }} {
			time.Sleep(10 * time.Second)
			reads := s.reads
			s.fail(fault)
			requireRefused(t, client, opaque, unavailable, bearergate.ReasonIntrospectionUnavailable)
			s.fail(nil)
			synctest.Wait()
			require.Equal(t, reads, s.reads)
		}

		// A document that cannot be read any more serves for another hour.
		s.set(func(s *server) { s.metadata = nil })
		time.Sleep(time.Hour)
		requireAccepted(t, client, opaque)
		time.Sleep(time.Hour)
		requireRefused(t, client, opaque, unavailable, bearergate.ReasonIntrospectionUnavailable)
	})
}

func TestDiscoveryRefuses(t *testing.T) {
	for name, doc := range map[string]map[string]any{
		"another issuer": {"issuer": "https://as.example.com", "introspection_endpoint": endpoint},
		"no endpoint":    {"issuer": issuer},
		"http":           {"issuer": issuer, "introspection_endpoint": "http://as.example.com/introspect"},
		"loopback http":  {"issuer": issuer, "introspection_endpoint": "http://127.0.0.1/introspect"},
		"not a string":   {"issuer": issuer, "introspection_endpoint": 7},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer()
			s.metadata = func(*http.Request) *http.Response { return reply(200, "application/json", encode(doc)) }
			client := newClient(t, with(config(s), func(c *introspect.Config) { c.Endpoint = "" }))
			requireRefused(t, client, opaque, unavailable, bearergate.ReasonIntrospectionUnavailable)
			require.Zero(t, s.requests())
		})
	}
}

// A transport that fails while the document is read costs at most its timeout,
// and nothing of it is remembered.
func TestDiscoveryIsIsolated(t *testing.T) {
	for name, tt := range map[string]struct {
		fault         func()
		timeout, took time.Duration
	}{
		"panics":                {func() { panic(secret) }, introspect.DefaultTimeout, 0},
		"ends its goroutine":    {runtime.Goexit, introspect.DefaultTimeout, 0},
		"deaf":                  {func() { time.Sleep(time.Minute) }, introspect.DefaultTimeout, introspect.DefaultTimeout/2 + 100*time.Millisecond},
		"deaf, and little time": {func() { time.Sleep(time.Minute) }, 90 * time.Millisecond, 90 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				s := newServer()
				s.metadata = func(*http.Request) *http.Response { tt.fault(); return reply(500, "", "") }
				client := newClient(t, with(config(s), func(c *introspect.Config) { c.Endpoint, c.Timeout = "", tt.timeout }))
				start := time.Now()
				err := requireRefused(t, client, opaque, unavailable, bearergate.ReasonIntrospectionUnavailable)
				require.NotContains(t, err.Error(), secret)
				require.Equal(t, tt.took, time.Since(start))
				require.Zero(t, s.requests())
				time.Sleep(2 * time.Minute)
				s.set(func(s *server) {
					s.metadata = func(*http.Request) *http.Response {
						return reply(200, "application/json", encode(map[string]any{"issuer": issuer, "introspection_endpoint": endpoint}))
					}
				})
				requireAccepted(t, client, opaque)
			})
		})
	}
}

// What is wrong with the metadata, or with one token, makes nobody wait who
// could be answered, and the server is not asked for it on every call.
func TestDiscoveryInTheBackground(t *testing.T) {
	good := func(*http.Request) *http.Response {
		return reply(200, "application/json", encode(map[string]any{"issuer": issuer, "introspection_endpoint": endpoint}))
	}
	odd := func(_ *http.Request, form url.Values) (*http.Response, error) {
		if form.Get("token") == "odd" {
			return reply(404, "text/plain", "no"), nil
		}
		return reply(200, "application/json", encode(answer(nil))), nil
	}
	for name, bad := range map[string]func(*http.Request) *http.Response{
		"hangs": func(r *http.Request) *http.Response { <-r.Context().Done(); return reply(500, "", "") },
		"404":   nil,
	} {
		for _, oddToken := range []bool{true, false} {
			t.Run(fmt.Sprint(name, oddToken), func(t *testing.T) {
				bubble.Test(t, func(t *testing.T) {
					s := newServer()
					s.metadata, s.respond = good, odd
					client := newClient(t, with(config(s), func(c *introspect.Config) { c.Endpoint, c.DisableCache, c.Calls.Max = "", true, 1 }))
					requireAccepted(t, client, opaque)
					time.Sleep(time.Minute)
					if !oddToken {
						time.Sleep(time.Hour)
					}
					s.set(func(s *server) { s.metadata, s.reads = bad, 0 })
					for range 60 {
						if oddToken {
							requireRefused(t, client, "odd", unavailable, bearergate.ReasonIntrospectionUnavailable)
						}
						start := time.Now()
						requireAccepted(t, client, opaque)
						require.Zero(t, time.Since(start))
						time.Sleep(time.Second)
					}
					s.mu.Lock()
					reads := s.reads
					s.mu.Unlock()
					require.Positive(t, reads)
					require.LessOrEqual(t, reads, 2*7) // two URLs, after 0, 1, 2, 4... s
					s.set(func(s *server) { s.metadata, s.reads = good, 0 })
					time.Sleep(time.Minute)
					_, _ = client.Verify(t.Context(), "odd")
					synctest.Wait()
					require.Equal(t, 1, s.reads) // and recovers
				})
			})
		}
	}
	bubble.Test(t, func(t *testing.T) { // a token that is always odd
		s := newServer()
		s.metadata, s.respond = good, odd
		client := newClient(t, with(config(s), func(c *introspect.Config) { c.Endpoint, c.DisableCache = "", true }))
		for range 600 {
			requireRefused(t, client, "odd", unavailable, bearergate.ReasonIntrospectionUnavailable)
			time.Sleep(100 * time.Millisecond)
		}
		synctest.Wait()
		require.LessOrEqual(t, s.reads, 7)
		require.Greater(t, s.reads, 4)
	})
}

// A document is read when it must be, where it was found, and no more often than that after a
// failure.
func TestWhenTheDocumentIsRead(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newServer()
		s.answers[opaque] = answer(map[string]any{"exp": absent})
		good := func(r *http.Request) *http.Response {
			if strings.Contains(r.URL.Path, "oauth-authorization-server") {
				return reply(404, "text/plain", "no")
			}
			return reply(200, "application/json", encode(map[string]any{"issuer": issuer, "introspection_endpoint": endpoint}))
		}
		s.metadata = good
		client := newClient(t, with(config(s), func(c *introspect.Config) { c.Endpoint, c.DisableCache = "", true }))
		reads := func(while func()) int {
			s.set(func(s *server) { s.reads = 0 })
			while()
			synctest.Wait()
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.reads
		}
		once := func() { requireAccepted(t, client, opaque) }
		start := time.Now()
		require.Equal(t, 2, reads(once), "at first both places are tried")
		require.Zero(t, time.Since(start))
		require.Equal(t, 1, s.requests())
		require.Equal(t, endpoint, s.last.URL.String())

		var outages []int
		for range 2 {
			time.Sleep(time.Hour)
			require.Equal(t, 1, reads(once), "the one where it was found")
			time.Sleep(time.Hour)
			s.set(func(s *server) { s.metadata = nil })
			outages = append(outages, reads(func() {
				for range 200 {
					once()
					time.Sleep(100 * time.Millisecond)
				}
			}))
			s.set(func(s *server) { s.metadata = good })
			time.Sleep(time.Minute)
			once()
			synctest.Wait()
		}
		attempts := 2 * 5 // in both places, after pauses of 0, 1, 2, 4 and 8 s: after a success, they begin anew
		require.Equal(t, []int{attempts, attempts}, outages)

		s.set(func(s *server) { s.metadata = nil })
		time.Sleep(2*time.Hour - time.Nanosecond)
		once()
		time.Sleep(time.Nanosecond)
		requireRefused(t, client, opaque, unavailable, bearergate.ReasonIntrospectionUnavailable)
	})
}
