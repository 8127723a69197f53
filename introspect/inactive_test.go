package introspect_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/stretchr/testify/require"
)

// A server that answers 400 about a token that it does not know: inactive where the
// configuration says so, and never else.
func TestInactiveByError(t *testing.T) {
	const named = "with an error code invalid_token: if this server answers so about tokens that it does not know, name the code in AllowInactiveErrors"
	const unnamed = "with an error code: if this server answers so"
	refused := func(status int, contentType, body string) func() (*http.Response, error) {
		return func() (*http.Response, error) { return reply(status, contentType, body), nil }
	}
	code := func(code string) string { return `{"error":"` + code + `","error_description":"` + opaque + `"}` }
	for _, tt := range []struct {
		name     string
		respond  func() (*http.Response, error)
		allow    []string
		kind     error
		reason   bearergate.Reason
		outcome  introspect.Outcome
		detail   string // is in the error
		silent   bool   // and no option is named
		remember bool
	}{
		{name: "INT-055 allowed", respond: refused(400, "application/json", code("invalid_token")), allow: []string{"x", "invalid_token"}, kind: invalid,
			reason: bearergate.ReasonInactive, outcome: introspect.OutcomeInactive, detail: "answered 400 with an error code of AllowInactiveErrors", silent: true, remember: true},
		{name: "allowed, another code", respond: refused(400, "application/json; charset=utf-8", code("token_expired")), allow: []string{"token_expired"}, kind: invalid,
			reason: bearergate.ReasonInactive, outcome: introspect.OutcomeInactive, silent: true, remember: true},
		{name: "INT-054 not allowed", respond: refused(400, "application/json", code("invalid_token")), detail: named},
		{name: "another than is allowed", respond: refused(400, "application/json", code("invalid_token")), allow: []string{"token_expired"}, detail: named},
		{name: "case counts", respond: refused(400, "application/json", code("Invalid_Token")), allow: []string{"invalid_token"}, detail: unnamed},
		{name: "what a stranger wrote is not told", respond: refused(400, "application/json", code(opaque)), detail: unnamed},
		{name: "our own client is refused", respond: refused(400, "application/json", code("invalid_client")), allow: []string{"invalid_token"}, detail: "status 400", silent: true},
		{name: "the server is at fault", respond: refused(400, "application/json", code("server_error")), allow: []string{"invalid_token"}, detail: "status 400", silent: true},
		{name: "twice", respond: refused(400, "application/json", `{"error":"invalid_token","error":"invalid_token"}`), allow: []string{"invalid_token"}, silent: true},
		{name: "no string", respond: refused(400, "application/json", `{"error":["invalid_token"]}`), allow: []string{"invalid_token"}, silent: true},
		{name: "nested", respond: refused(400, "application/json", `{"x":{"error":"invalid_token"}}`), allow: []string{"invalid_token"}, silent: true},
		{name: "no JSON", respond: refused(400, "application/json", `error=invalid_token`), allow: []string{"invalid_token"}, silent: true},
		{name: "a page", respond: refused(400, "text/html", code("invalid_token")), allow: []string{"invalid_token"}, silent: true},
		{name: "too long", respond: refused(400, "application/json", code("invalid_token")+strings.Repeat(" ", 64<<10)), allow: []string{"invalid_token"}, silent: true},
		{name: "INT-056 a 401", respond: refused(401, "application/json", code("invalid_token")), allow: []string{"invalid_token"}, kind: misconfigured,
			reason: bearergate.ReasonConfig, outcome: introspect.OutcomeUnauthorized, silent: true},
		{name: "a 403", respond: refused(403, "application/json", code("invalid_token")), allow: []string{"invalid_token"}, kind: misconfigured,
			reason: bearergate.ReasonConfig, outcome: introspect.OutcomeUnauthorized, silent: true},
		{name: "a 404", respond: refused(404, "application/json", code("invalid_token")), allow: []string{"invalid_token"}, silent: true},
		{name: "a 500", respond: refused(500, "application/json", code("invalid_token")), allow: []string{"invalid_token"}, silent: true},
		{name: "a 200", respond: refused(200, "application/json", code("invalid_token")), allow: []string{"invalid_token"}, outcome: introspect.OutcomeMalformed, silent: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				s := newServer()
				s.fail(tt.respond)
				var called []introspect.CallEvent
				client := newClient(t, with(config(s), func(c *introspect.Config) {
					c.AllowInactiveErrors = tt.allow
					c.Hooks.Called = func(_ context.Context, e introspect.CallEvent) { called = append(called, e) }
				}))
				if tt.kind == nil {
					tt.kind, tt.reason = unavailable, bearergate.ReasonIntrospectionUnavailable
				}
				if tt.outcome == "" {
					tt.outcome = introspect.OutcomeStatus
				}
				for range 2 {
					if !tt.remember {
						time.Sleep(introspect.CredentialsPause) // longer than a token is left alone
					}
					err := requireRefused(t, client, opaque, tt.kind, tt.reason)
					require.Contains(t, bearergate.AsError(err).Detail, tt.detail)
					require.Equal(t, tt.silent && tt.kind != invalid, !strings.Contains(err.Error(), "AllowInactiveErrors"), err)
					require.NotContains(t, err.Error(), opaque)
				}
				require.Equal(t, tt.outcome, called[0].Outcome)
				require.Equal(t, tt.remember, s.requests() == 1)
				explained := client.Explain(t.Context(), opaque)
				require.Equal(t, tt.reason, bearergate.ReasonOf(explained.Err))
				if tt.kind == invalid {
					failed, _ := explained.Failed()
					require.Equal(t, "active", failed.Name)
				}
			})
		})
	}
}

// It is a refusal as any other: the breaker stays closed, the Store has it, and it ends.
func TestInactiveByErrorIsARefusal(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s, st := newServer(), newStore()
		s.fail(status(400))
		c := with(sharing(s, st), func(c *introspect.Config) { c.AllowInactiveErrors = []string{"x"} })
		client := newClient(t, c)
		for i := range 2 * introspect.BreakerFailures {
			requireRefused(t, client, strings.Repeat("t", i+1), invalid, bearergate.ReasonInactive)
		}
		require.Equal(t, 2*introspect.BreakerFailures, s.requests())
		synctest.Wait()
		requireRefused(t, newClient(t, c), "t", invalid, bearergate.ReasonInactive)
		require.Equal(t, 2*introspect.BreakerFailures, s.requests(), "from the Store")
		s.fail(nil)
		s.answers["t"] = answer(nil)
		time.Sleep(introspect.DefaultNegativeTTL)
		requireAccepted(t, client, "t")
	})
}

func TestAllowInactiveErrorsMistakes(t *testing.T) {
	for code, says := range map[string]string{
		"":                        "AllowInactiveErrors contains an empty string: remove it",
		"invalid_client":          `AllowInactiveErrors contains "invalid_client", which blames our own client and not the token: remove it`,
		"unauthorized_client":     "blames our own client",
		"access_denied":           "blames our own client",
		"insufficient_scope":      "blames our own client",
		"temporarily_unavailable": "blames the server",
		"server_error":            "blames the server",
		"400":                     "a number: name the value of the member error",
	} {
		_, err := introspect.New(with(config(newServer()), func(c *introspect.Config) { c.AllowInactiveErrors = []string{"invalid_token", code} }))
		require.ErrorIs(t, err, misconfigured, code)
		require.ErrorContains(t, err, says)
	}
	_, err := introspect.New(with(signed(newServer(), newSigner(t, "ES256", "k").keys(t)), func(c *introspect.Config) { c.AllowInactiveErrors = []string{"invalid_token"} }))
	require.ErrorIs(t, err, misconfigured)
	require.ErrorContains(t, err, "error responses are never signed")
}
