package introspect_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/stretchr/testify/require"
)

// Each fault of the set-up is named at start.
func TestWarm(t *testing.T) {
	body := func(status int, contentType, text string) func() (*http.Response, error) {
		return func() (*http.Response, error) { return reply(status, contentType, text), nil }
	}
	redirect := func() (*http.Response, error) {
		r := reply(301, "text/html", "")
		r.Header.Set("Location", endpoint+"/")
		return r, nil
	}
	active := body(200, "application/json", encode(answer(nil)))
	for _, tt := range []struct {
		name     string
		fault    func() (*http.Response, error)
		metadata func(*http.Request) *http.Response // not nil: discovery
		change   func(*introspect.Config)
		kind     error // nil: ready
		reason   bearergate.Reason
		outcome  introspect.Outcome
		says     string
		unsent   bool // no request came to the endpoint
	}{
		{name: "ready", outcome: introspect.OutcomeInactive},
		{name: "ready, with a form of its own", change: func(c *introspect.Config) { c.Accept, c.MaxTokenBytes = func(string) bool { return false }, 8 }, outcome: introspect.OutcomeInactive},
		{name: "ready, and says so by 400", fault: body(400, "application/json", `{"error":"invalid_token"}`), change: func(c *introspect.Config) { c.AllowInactiveErrors = []string{"invalid_token"} }, outcome: introspect.OutcomeInactive},
		{name: "says inactive by 400", fault: body(400, "application/json", `{"error":"invalid_token"}`), kind: unavailable, reason: bearergate.ReasonIntrospectionUnavailable, outcome: introspect.OutcomeStatus, says: "name the code in AllowInactiveErrors"},
		{name: "nobody there", fault: func() (*http.Response, error) { return nil, &net.DNSError{IsNotFound: true} }, kind: unavailable, reason: bearergate.ReasonIntrospectionUnavailable, outcome: introspect.OutcomeConnect, says: "no such host"},
		{name: "hangs up", fault: func() (*http.Response, error) { return nil, io.ErrUnexpectedEOF }, kind: unavailable, reason: bearergate.ReasonIntrospectionUnavailable, outcome: introspect.OutcomeConnect, says: "the connection ended"},
		{name: "no metadata", metadata: func(*http.Request) *http.Response { return reply(404, "text/plain", "") }, kind: unavailable, reason: bearergate.ReasonIntrospectionUnavailable, outcome: introspect.OutcomeDiscovery, says: "status 404", unsent: true},
		{name: "metadata without an endpoint", metadata: func(*http.Request) *http.Response { return reply(200, "application/json", `{"issuer":"`+issuer+`"}`) },
			kind: unavailable, reason: bearergate.ReasonIntrospectionUnavailable, outcome: introspect.OutcomeDiscovery, says: "set Endpoint", unsent: true},
		{name: "a wrong secret", fault: status(401), kind: misconfigured, reason: bearergate.ReasonConfig, outcome: introspect.OutcomeUnauthorized, says: "the server refuses our credentials"},
		{name: "no right to ask", fault: status(403), kind: misconfigured, reason: bearergate.ReasonConfig, outcome: introspect.OutcomeUnauthorized, says: "our client may not ask"},
		{name: "no credentials", change: func(c *introspect.Config) {
			c.Auth = introspect.BearerAuth(func(context.Context) (string, error) { return "", errors.New("x") })
		}, kind: unavailable, reason: bearergate.ReasonIntrospectionUnavailable, outcome: introspect.OutcomeCredentials, says: "BearerAuth", unsent: true},
		{name: "another path", fault: status(404), kind: unavailable, reason: bearergate.ReasonIntrospectionUnavailable, outcome: introspect.OutcomeStatus, says: "check Endpoint"},
		{name: "a page", fault: body(200, "text/html", "<p>"), kind: unavailable, reason: bearergate.ReasonIntrospectionUnavailable, outcome: introspect.OutcomeContentType, says: "a page for people"},
		{name: "no JSON", fault: body(200, "application/json", "<p>"), kind: unavailable, reason: bearergate.ReasonIntrospectionUnavailable, outcome: introspect.OutcomeMalformed, says: "not one strict JSON object"},
		{name: "another answer", fault: body(200, "application/json", `{"sub":"x"}`), kind: unavailable, reason: bearergate.ReasonIntrospectionUnavailable, outcome: introspect.OutcomeMalformed, says: "active is not a boolean"},
		{name: "a slash is missing", fault: redirect, kind: unavailable, reason: bearergate.ReasonIntrospectionUnavailable, outcome: introspect.OutcomeRedirect, says: "the slash at its end"},
		{name: "INT-059 says active to everything", fault: active, kind: misconfigured, reason: bearergate.ReasonConfig, outcome: introspect.OutcomeActive, says: "says active to a token that nobody issued"},
		{name: "active, if not for us", fault: body(200, "application/json", `{"active":true}`), kind: misconfigured, reason: bearergate.ReasonConfig, outcome: introspect.OutcomeActive, says: "says active"},
		{name: "active, and the Map is broken", fault: active, change: func(c *introspect.Config) { c.Map = func(*bearergate.Claims) error { panic(secret) } },
			kind: misconfigured, reason: bearergate.ReasonConfig, outcome: introspect.OutcomeMap, says: "says active"},
		{name: "plain where it must be signed", change: func(c *introspect.Config) {
			c.Signed = introspect.SignedConfig{Answers: introspect.SignedRequired, Keys: newSigner(t, "ES256", "k").keys(t)}
		}, kind: unavailable, reason: bearergate.ReasonIntrospectionUnavailable, outcome: introspect.OutcomeContentType, says: "content type"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				s, st := newServer(), newStore()
				s.metadata = tt.metadata
				s.fail(tt.fault)
				var called []introspect.CallEvent
				c := with(sharing(s, st), func(c *introspect.Config) {
					c.ClientID = clientID
					if tt.metadata != nil {
						c.Endpoint = ""
					}
					c.Check = func(context.Context, *bearergate.Token) error { panic("there is no token to check") }
					c.Hooks.Called = func(_ context.Context, e introspect.CallEvent) { called = append(called, e) }
					c.Hooks.Looked = func(context.Context, introspect.LookEvent) { panic("nobody has verified") }
				})
				if tt.change != nil {
					tt.change(&c)
				}
				err := newClient(t, c).Warm(t.Context())
				if tt.kind == nil {
					require.NoError(t, err)
				} else {
					kit.RequireError(t, err, tt.kind, tt.reason)
					require.Contains(t, err.Error(), tt.says)
					require.NotContains(t, err.Error(), secret)
				}
				require.Equal(t, map[bool]int{false: 1}[tt.unsent], s.requests(), "once")
				synctest.Wait()
				require.Len(t, called, 1)
				require.Equal(t, tt.outcome, called[0].Outcome)
				require.Equal(t, 1, called[0].Attempt)
				require.Empty(t, st.values, "nothing is shared")
			})
		})
	}
}

// Warm asks about another token each time, and remembers nothing of it.
func TestWarmLeavesNoTrace(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newServer()
		var asked []string
		s.respond = func(_ *http.Request, form url.Values) (*http.Response, error) {
			asked = append(asked, form.Get("token"))
			return reply(200, "application/json", `{"active":false}`), nil
		}
		client := newClient(t, config(s))
		for range 3 {
			require.NoError(t, client.Warm(t.Context()))
		}
		require.Len(t, asked, 3)
		require.NotEqual(t, asked[0], asked[1])
		require.GreaterOrEqual(t, len(asked[0]), 26)
		requireRefused(t, client, asked[2], invalid, bearergate.ReasonInactive)
		require.Len(t, asked, 4, "it was not remembered")
	})
}

// Warm is a call as every other one: it opens the breaker, is stopped by it, and nobody
// who goes away does that.
func TestWarmAndTheBreaker(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newServer()
		var changes []introspect.BreakerState
		client := newClient(t, with(config(s), func(c *introspect.Config) {
			c.Hooks.BreakerChanged = func(_ context.Context, e introspect.BreakerEvent) { changes = append(changes, e.To) }
		}))
		s.set(func(s *server) { s.delay = time.Second })
		for range 3 * introspect.BreakerFailures {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			kit.RequireError(t, client.Warm(ctx), unavailable, bearergate.ReasonIntrospectionUnavailable)
			cancel()
		}
		time.Sleep(time.Minute)
		require.Empty(t, changes, "those who went away")
		require.NoError(t, client.Warm(t.Context()))
		gone, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Millisecond, cancel)
		kit.RequireError(t, client.Warm(gone), unavailable, bearergate.ReasonCanceled)
		before := s.requests()
		kit.RequireError(t, client.Warm(gone), unavailable, bearergate.ReasonCanceled)
		synctest.Wait()
		require.Equal(t, before, s.requests(), "nobody is asked for one who is gone")

		time.Sleep(time.Second) // else the next one joins the call that goes on
		s.set(func(s *server) { s.delay = 0 })
		s.fail(down)
		for range introspect.BreakerFailures {
			kit.RequireError(t, client.Warm(t.Context()), unavailable, bearergate.ReasonIntrospectionUnavailable)
		}
		before = s.requests()
		err := client.Warm(t.Context())
		kit.RequireError(t, err, unavailable, bearergate.ReasonIntrospectionUnavailable)
		require.Contains(t, err.Error(), "breaker_open")
		require.Equal(t, before, s.requests())
		s.fail(nil)
		time.Sleep(introspect.BreakerMinOpen)
		require.NoError(t, client.Warm(t.Context()))
		requireAccepted(t, client, opaque)
		synctest.Wait()
	})
}

// Ask is warmed as well, and one that refuses in its own way has answered.
func TestWarmOfAsk(t *testing.T) {
	for _, tt := range []struct {
		name   string
		ask    askFunc
		kind   error
		reason bearergate.Reason
	}{
		{name: "ready", ask: says(`{"active":false}`)},
		{name: "refuses", ask: func(context.Context, string) ([]byte, error) { return nil, invalid }},
		{name: "fails", ask: func(context.Context, string) ([]byte, error) { return nil, errors.New("x") }, kind: unavailable, reason: bearergate.ReasonIntrospectionUnavailable},
		{name: "panics", ask: func(context.Context, string) ([]byte, error) { panic(1) }, kind: misconfigured, reason: bearergate.ReasonInternal},
		{name: "knows everything", ask: says(encode(answer(nil))), kind: misconfigured, reason: bearergate.ReasonConfig},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := newClient(t, asking(tt.ask)).Warm(t.Context())
			if tt.kind == nil {
				require.NoError(t, err)
				return
			}
			kit.RequireError(t, err, tt.kind, tt.reason)
		})
	}
	for _, c := range []*introspect.Client{nil, {}} {
		kit.RequireError(t, c.Warm(t.Context()), misconfigured, bearergate.ReasonConfig)
	}
	require.NoError(t, newClient(t, config(newServer())).Warm(nil)) //nolint:staticcheck // a caller's mistake, and no reason to panic
}
