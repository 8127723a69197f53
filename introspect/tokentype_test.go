package introspect_test

import (
	"context"
	"maps"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/stretchr/testify/require"
)

// What token_type says of a token, whatever else the answer has.
// req: R9449-14. INT-049 to INT-053, W2-156
func TestTokenTypes(t *testing.T) {
	jkt, x5t := map[string]any{"jkt": "x"}, map[string]any{"x5t#S256": "x"}
	both := map[string]any{"jkt": "x", "x5t#S256": "x"}
	for _, tt := range []struct {
		name   string
		types  []any // of token_type
		cnf    any   // nil: none
		allow  []string
		others map[string]any
		reason bearergate.Reason // "": accepted
	}{
		{name: "a Bearer token", types: []any{absent, nil, "Bearer", "BEARER", "bearer"}},
		{name: "INT-049 an access token", types: []any{"access_token", "Access_Token", "access-token", "accessToken", "urn:ietf:params:oauth:token-type:access_token"}},
		{name: "a certificate", types: []any{absent, "Bearer", "access_token"}, cnf: x5t},
		{name: "INT-050 DPoP", types: []any{"DPoP", "dpop", "DPOP"}, cnf: jkt},
		{name: "DPoP and a certificate", types: []any{"DPoP"}, cnf: both},
		{name: "a jkt, and no word on the type", types: []any{absent, nil}, cnf: jkt},
		{name: "W2-156 DPoP without a jkt", types: []any{"DPoP", "dpop"}, reason: bearergate.ReasonBinding},
		{name: "DPoP with a certificate alone", types: []any{"DPoP"}, cnf: x5t, reason: bearergate.ReasonBinding},
		{name: "W2-156 Bearer with a jkt", types: []any{"Bearer", "bearer", "access_token"}, cnf: jkt, reason: bearergate.ReasonBinding},
		{name: "Bearer with both", types: []any{"Bearer"}, cnf: both, reason: bearergate.ReasonBinding},
		{name: "an allowed type with a jkt", types: []any{"user_access"}, allow: []string{"user_access"}, cnf: jkt, reason: bearergate.ReasonBinding},
		{name: "INT-052 another proof", types: []any{"PoP", "pop", "mac", "MAC"}, reason: bearergate.ReasonBinding},
		{name: "another proof with a jkt", types: []any{"PoP"}, cnf: jkt, reason: bearergate.ReasonBinding},
		{name: "INT-051 another kind", types: []any{"refresh_token", "Refresh-Token", "refreshToken", "REFRESH", "offline_access", "id_token", "idtoken", "ID", "logout_token", "N_A", "n/a", "",
			"urn:ietf:params:oauth:token-type:refresh_token", "urn:ietf:params:oauth:token-type:id_token", "urn:ietf:params:oauth:token-type:jwt"}, reason: bearergate.ReasonType},
		{name: "a refresh token without aud", types: []any{"refresh_token"}, others: map[string]any{"aud": absent}, reason: bearergate.ReasonType},
		{name: "an ID token for its client", types: []any{"id_token"}, others: map[string]any{"aud": "app-1"}, reason: bearergate.ReasonType},
		{name: "a bound refresh token", types: []any{"refresh_token"}, cnf: map[string]any{"other": "x"}, reason: bearergate.ReasonType},
		{name: "a refresh token of another issuer", types: []any{"refresh_token"}, others: map[string]any{"iss": "https://x.example.com"}, reason: bearergate.ReasonIssuer},
		{name: "what nobody knows", types: []any{"user_access", "JWT", "Bearer ", "Bear\u212Aer", "acce\u017F\u017F_token", strings.Repeat("x", 999)}, reason: bearergate.ReasonType},
		{name: "INT-053 what is allowed", types: []any{"user_access", "USER_access"}, allow: []string{"x", "User_Access"}},
		{name: "beside what is allowed", types: []any{"user_access2", "refresh_token", "id_token"}, allow: []string{"user_access"}, reason: bearergate.ReasonType},
	} {
		for _, value := range tt.types {
			t.Run(tt.name+" "+encode([]any{value}), func(t *testing.T) {
				a := map[string]any{"token_type": value}
				if tt.cnf != nil {
					a["cnf"] = tt.cnf
				}
				maps.Copy(a, tt.others)
				s := newServer()
				s.answers[opaque] = answer(a)
				var looked []introspect.LookEvent
				var called []introspect.CallEvent
				client := newClient(t, with(config(s), func(c *introspect.Config) {
					c.Confirmations, c.AllowTokenTypes = []string{"jkt", "x5t#S256"}, tt.allow
					c.Hooks.Looked = func(_ context.Context, e introspect.LookEvent) { looked = append(looked, e) }
					c.Hooks.Called = func(_ context.Context, e introspect.CallEvent) { called = append(called, e) }
				}))
				for range 2 { // the second from the cache
					if tt.reason == "" {
						tok := requireAccepted(t, client, opaque)
						require.Equal(t, tt.cnf != nil, tok.Bound())
						require.False(t, tok.Proven(), "nobody has asked for the proof")
					} else {
						requireRefused(t, client, opaque, invalid, tt.reason)
					}
				}
				require.Len(t, called, 1)
				require.Equal(t, introspect.OutcomeActive, called[0].Outcome, "that is what the server said")
				for _, e := range looked {
					require.Equal(t, tt.reason, bearergate.ReasonOf(e.Err))
				}
			})
		}
	}
}

// A bound token of an answer opens with its proof and with nothing less, wherever the
// answer comes from.
// req: R8705-04 R9449-14 R9449-43
func TestBoundTokensNeedTheirProof(t *testing.T) {
	for _, tt := range []struct {
		name      string
		tokenType any
		member    string
	}{
		{name: "W2-155 DPoP", tokenType: "DPoP", member: "jkt"},
		{name: "a jkt, and no word on the type", tokenType: absent, member: "jkt"},
		{name: "MTL-017 a certificate", tokenType: "Bearer", member: "x5t#S256"},
		{name: "MTL-017 a certificate, and no word on the type", tokenType: absent, member: "x5t#S256"},
	} {
		// The ways to an answer.
		for way, client := range map[string]func(*testing.T, *server, introspect.Config) *introspect.Client{
			"asked for": func(t *testing.T, _ *server, c introspect.Config) *introspect.Client {
				c.DisableCache = true
				return newClient(t, c)
			},
			"W2-157 remembered": func(t *testing.T, _ *server, c introspect.Config) *introspect.Client {
				client := newClient(t, c)
				requireAccepted(t, client, opaque)
				return client
			},
			"of a store": func(t *testing.T, _ *server, c introspect.Config) *introspect.Client {
				c.Store = sharing(newServer(), newStore()).Store
				requireAccepted(t, newClient(t, c), opaque)
				synctest.Wait()
				c.HTTPClient = &http.Client{Transport: newServer()} // which would say something else
				return newClient(t, c)
			},
			"old": func(t *testing.T, s *server, c introspect.Config) *introspect.Client {
				c.MaxStale = time.Hour
				client := newClient(t, c)
				requireAccepted(t, client, opaque)
				s.fail(down)
				time.Sleep(time.Minute)
				return client
			},
		} {
			t.Run(tt.name+", "+way, func(t *testing.T) {
				bubble.Test(t, func(t *testing.T) {
					s := newServer()
					s.answers[opaque] = answer(map[string]any{"token_type": tt.tokenType, "cnf": map[string]any{tt.member: "x"}})
					c := client(t, s, with(config(s), func(c *introspect.Config) { c.Confirmations = []string{"jkt", "x5t#S256"} }))
					kit.RequireProofs(t, c, opaque, tt.member)
					synctest.Wait()
				})
			})
		}
	}
}

// What can be no access token's type is a mistake.
func TestAllowTokenTypesMistakes(t *testing.T) {
	for name, says := range map[string]string{
		"":              `AllowTokenTypes contains "", which is no access token: remove it`,
		"refresh_token": `AllowTokenTypes contains "refresh_token", which is no access token: remove it`,
		"Refresh-Token": "which is no access token",
		"refresh token": "which is no access token",
		"id_token":      "which is no access token",
		"IDTOKEN":       "which is no access token",
		"N_A":           "which is no access token",
		"urn:ietf:params:oauth:token-type:id_token": "which is no access token",
		"DPoP": `AllowTokenTypes contains "DPoP", which needs a proof: remove it, and name "jkt" in Confirmations`,
		"dpop": "which needs a proof",
		"PoP":  "which needs a proof that nothing here checks: remove it",
	} {
		_, err := introspect.New(with(config(newServer()), func(c *introspect.Config) { c.AllowTokenTypes = []string{"JWT", name} }))
		require.ErrorIs(t, err, misconfigured, name)
		require.ErrorContains(t, err, says)
	}
	names := []string{"JWT", "Bearer"} // what is accepted anyhow may be named
	s := newServer()
	s.answers[opaque] = answer(map[string]any{"token_type": "JWT"})
	client := newClient(t, with(config(s), func(c *introspect.Config) { c.AllowTokenTypes = names }))
	names[0] = "changed"
	requireAccepted(t, client, opaque)
}
