package introspect_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/stretchr/testify/require"
)

// A call says of the server what its answer says, whatever that is; without one, nothing.
func TestServerOfACall(t *testing.T) {
	const half = time.Second / 2
	for _, tt := range []struct {
		name    string
		respond func() (*http.Response, error)
		outcome introspect.Outcome
		unknown bool
	}{
		{name: "active", respond: func() (*http.Response, error) { return reply(200, "application/json", encode(answer(nil))), nil }, outcome: introspect.OutcomeActive},
		{name: "inactive", respond: func() (*http.Response, error) { return reply(200, "application/json", `{"active":false}`), nil }, outcome: introspect.OutcomeInactive},
		{name: "our credentials", respond: status(401), outcome: introspect.OutcomeUnauthorized},
		{name: "400", respond: func() (*http.Response, error) { return reply(400, "application/json", `{"error":"x"}`), nil }, outcome: introspect.OutcomeStatus},
		{name: "500", respond: status(500), outcome: introspect.OutcomeStatus},
		{name: "nonsense", respond: func() (*http.Response, error) { return reply(200, "application/json", `[]`), nil }, outcome: introspect.OutcomeMalformed},
		{name: "a page", respond: func() (*http.Response, error) { return reply(200, "text/html", `<p>`), nil }, outcome: introspect.OutcomeContentType},
		{name: "down", respond: func() (*http.Response, error) { return nil, http.ErrServerClosed }, outcome: introspect.OutcomeConnect, unknown: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				s := newServer()
				until := time.Now().Add(time.Hour)
				s.set(func(s *server) {
					s.respond = func(*http.Request, url.Values) (*http.Response, error) {
						resp, err := tt.respond()
						if resp != nil {
							resp.Header.Set("Date", time.Now().Add(time.Minute).UTC().Format(http.TimeFormat))
							resp.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{NotAfter: until}}}
						}
						return resp, err
					}
				})
				var called []introspect.CallEvent
				client := newClient(t, with(config(s), func(c *introspect.Config) {
					c.Hooks.Called = func(_ context.Context, e introspect.CallEvent) { called = append(called, e) }
				}))
				_, _ = client.Verify(t.Context(), opaque)
				require.NotEmpty(t, called)
				want := bearergate.Server{ClockKnown: true, Ahead: time.Minute + half, Within: half, CertificateExpires: until}
				if tt.unknown {
					want = bearergate.Server{}
				}
				for _, e := range called {
					require.Equal(t, tt.outcome, e.Outcome)
					require.Equal(t, want, e.Server, "own: %v", e.Own)
				}
			})
		})
	}
}

// How long a token is and lives is told for each answer that was asked for and says that it
// is active, and not for what is remembered or shared.
func TestSizeAndLifetimeOfATokenAreTold(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change map[string]any
		life   time.Duration
		none   bool
	}{
		{name: "from iat", change: map[string]any{"iat": func() int64 { return time.Now().Add(-10 * time.Minute).Unix() }, "exp": func() int64 { return time.Now().Add(50 * time.Minute).Unix() }}, life: time.Hour},
		{name: "what is left", change: map[string]any{"iat": nil, "exp": func() int64 { return time.Now().Add(50 * time.Minute).Unix() }}, life: 50 * time.Minute},
		{name: "without exp", change: map[string]any{"exp": nil}},
		{name: "inactive", change: map[string]any{"active": false}, none: true},
		{name: "for others", change: map[string]any{"aud": "x"}, none: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				s := newServer()
				s.delay = time.Millisecond
				said := answer(nil)
				for name, value := range tt.change {
					switch value := value.(type) {
					case nil:
						delete(said, name)
					case func() int64:
						said[name] = value()
					default:
						said[name] = value
					}
				}
				s.answers[opaque] = said
				var mu sync.Mutex
				var looked []introspect.LookEvent
				client := newClient(t, with(config(s), func(c *introspect.Config) {
					c.Now = nil
					c.Hooks.Looked = func(_ context.Context, e introspect.LookEvent) {
						mu.Lock()
						defer mu.Unlock()
						looked = append(looked, e)
					}
				}))
				var all sync.WaitGroup
				for range 3 { // one asks, and two wait for it
					all.Go(func() { _, _ = client.Verify(t.Context(), opaque) })
				}
				all.Wait()
				_, _ = client.Verify(t.Context(), opaque) // remembered
				require.Len(t, looked, 4)
				told := 0
				for _, e := range looked {
					if e.Bytes != 0 {
						told++
						require.Equal(t, len(opaque), e.Bytes)
						require.InDelta(t, tt.life, e.Lifetime, float64(time.Second))
					} else {
						require.Zero(t, e.Lifetime)
					}
				}
				if tt.none {
					require.Zero(t, told)
				} else {
					require.Equal(t, 1, told)
				}
			})
		})
	}
}
