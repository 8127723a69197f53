package introspect_test

import (
	"context"
	"maps"
	"strings"
	"testing"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/introspect"
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

// A bound token of an answer opens with its proof, and with nothing less, also when the
// answer is remembered.
func TestDPoPTokensNeedTheirProof(t *testing.T) {
	s := newServer()
	s.answers[opaque] = answer(map[string]any{"token_type": "DPoP", "cnf": map[string]any{"jkt": "x"}})
	client := newClient(t, with(config(s), func(c *introspect.Config) { c.Confirmations = []string{"jkt"} }))
	for _, tt := range []struct {
		name     string
		scheme   bearergate.Scheme
		bindings []bearergate.Binding
		proof    string
		reason   bearergate.Reason
	}{
		{name: "W2-155 with its proof", scheme: bearergate.SchemeDPoP, bindings: []bearergate.Binding{proofs{}}, proof: "good"},
		{name: "W2-157 without it, from the cache", scheme: bearergate.SchemeDPoP, bindings: []bearergate.Binding{proofs{}}, reason: bearergate.ReasonProof},
		{name: "as a Bearer token", scheme: bearergate.SchemeBearer, bindings: []bearergate.Binding{proofs{}}, proof: "good", reason: bearergate.ReasonBinding},
		{name: "at a gate without bindings", scheme: bearergate.SchemeBearer, proof: "good", reason: bearergate.ReasonBinding},
	} {
		t.Run(tt.name, func(t *testing.T) {
			call := bearergate.Call{Credentials: bearergate.Credentials{Scheme: tt.scheme, Raw: bearergate.NewSecret(opaque)},
				Header: func(string) []string { return []string{tt.proof} }}
			tok, _, err := bearergate.Authenticate(t.Context(), client, call, tt.bindings...)
			if tt.reason != "" {
				requireError(t, tok, err, invalid, tt.reason)
				return
			}
			require.NoError(t, err)
			require.True(t, tok.Proven())
		})
	}
}

// proofs is a Binding whose proof is a word.
type proofs struct{}

func (proofs) Scheme() bearergate.Scheme    { return bearergate.SchemeDPoP }
func (proofs) Members() []string            { return []string{"jkt"} }
func (proofs) Challenge() map[string]string { return nil }

func (proofs) Confirm(_ context.Context, c bearergate.Call, _ *bearergate.Token) (bearergate.Reply, error) {
	if c.Header("DPoP")[0] != "good" {
		return nil, &bearergate.Error{Kind: invalid, Reason: bearergate.ReasonProof}
	}
	return nil, nil
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
	names := []string{"JWT"}
	s := newServer()
	s.answers[opaque] = answer(map[string]any{"token_type": "JWT"})
	client := newClient(t, with(config(s), func(c *introspect.Config) { c.AllowTokenTypes = names }))
	names[0] = "changed"
	requireAccepted(t, client, opaque)
}
