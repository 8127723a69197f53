package introspect_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/url"
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
