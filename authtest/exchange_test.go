package authtest_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/scope"
)

// A token of the server is exchanged for one with which the client acts for its subject:
// for no more than the token grants, and no longer.
func TestTokenExchange(t *testing.T) {
	as := authtest.New(t)
	soon := time.Now().Add(10 * time.Minute)
	user := authtest.Claims{Subject: "alice", ClientID: "web", Scopes: scope.Of("read", "write"), ExpiresAt: soon, ACR: "mfa",
		AuthTime: time.Unix(1700000000, 0), Audience: []string{"https://a.test"}}
	acted := user
	acted.Actors = []bearergate.Actor{{Subject: "gateway", ClientID: "g"}}
	of := func(change func(*authtest.Claims)) string {
		c := user
		change(&c)
		return as.Token(c)
	}
	revoked, opaque := as.Token(user), as.Opaque(user)
	as.Revoke(revoked)
	const accessToken = "urn:ietf:params:oauth:token-type:access_token"
	for _, test := range []struct {
		name   string
		token  string     // default: user's
		form   url.Values // replaces what is sent
		err    string
		claims map[string]any
		absent []string
	}{
		{name: "a token", claims: map[string]any{"sub": "alice", "client_id": "orders", "act": map[string]any{"sub": "orders"}, "scope": "read write",
			"aud": "https://b.test", "acr": "mfa", "auth_time": 1700000000.0, "exp": float64(soon.Unix())}, absent: []string{"may_act", "cnf"}},
		{name: "an opaque token", token: opaque, claims: map[string]any{"sub": "alice", "act": map[string]any{"sub": "orders"}}},
		{name: "as a JWT, for a JWT", form: url.Values{"subject_token_type": {"urn:ietf:params:oauth:token-type:jwt"}, "requested_token_type": {"urn:ietf:params:oauth:token-type:jwt"}},
			claims: map[string]any{"sub": "alice"}},
		{name: "fewer scopes", form: url.Values{"scope": {"read"}}, claims: map[string]any{"scope": "read"}},
		{name: "somebody acted before", token: as.Token(acted), claims: map[string]any{
			"act": map[string]any{"sub": "orders", "act": map[string]any{"sub": "gateway", "client_id": "g"}}}},
		{name: "without scopes", token: of(func(c *authtest.Claims) { c.Scopes = scope.Set{} }), claims: map[string]any{"sub": "alice"}, absent: []string{"scope"}},
		{name: "that lives longer than a new one", token: of(func(c *authtest.Claims) { c.ExpiresAt = time.Now().Add(48 * time.Hour) }), claims: map[string]any{"sub": "alice"}},
		{name: "that lets this client act", token: of(func(c *authtest.Claims) { c.Raw = []byte(`{"may_act":{"sub":"orders"}}`) }), claims: map[string]any{"sub": "alice"}, absent: []string{"may_act"}},
		{name: "that lets another client act", token: of(func(c *authtest.Claims) { c.Raw = []byte(`{"may_act":{"sub":"billing"}}`) }), err: "invalid_request"},
		{name: "with may_act that is no object", token: of(func(c *authtest.Claims) { c.Raw = []byte(`{"may_act":"orders"}`) }), err: "invalid_request"},
		{name: "bound to another key", token: of(func(c *authtest.Claims) { c.Confirmation = map[string][]byte{"jkt": []byte(`"x"`)} }), claims: map[string]any{"sub": "alice"}, absent: []string{"cnf"}},

		{name: "more scopes", form: url.Values{"scope": {"read admin"}}, err: "invalid_scope"},
		{name: "a scope that is none", form: url.Values{"scope": {"a  b"}}, err: "invalid_scope"},
		{name: "an expired token", token: of(func(c *authtest.Claims) { c.ExpiresAt = time.Now().Add(-time.Second) }), err: "invalid_request"},
		{name: "a revoked token", token: revoked, err: "invalid_request"},
		{name: "a token of another server", token: authtest.New(t).Token(user), err: "invalid_request"},
		{name: "no token", token: "x", err: "invalid_request"},
		{name: "no subject_token", form: url.Values{"subject_token": nil}, err: "invalid_request"},
		{name: "two tokens", form: url.Values{"subject_token": {"a", "b"}}, err: "invalid_request"},
		{name: "no subject_token_type", form: url.Values{"subject_token_type": nil}, err: "invalid_request"},
		{name: "an ID token", form: url.Values{"subject_token_type": {"urn:ietf:params:oauth:token-type:id_token"}}, err: "invalid_request"},
		{name: "for a refresh token", form: url.Values{"requested_token_type": {"urn:ietf:params:oauth:token-type:refresh_token"}}, err: "invalid_request"},
		{name: "with an actor_token", form: url.Values{"actor_token": {"x"}, "actor_token_type": {accessToken}}, err: "invalid_request"},
		{name: "without a client", form: url.Values{"client_id": nil}, err: "invalid_client"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.token == "" {
				test.token = as.Token(user)
			}
			form := url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "client_id": {"orders"}, "audience": {"https://b.test"},
				"subject_token": {test.token}, "subject_token_type": {accessToken}}
			maps.Copy(form, test.form)
			resp, err := as.Client().PostForm(as.URL("/token"), form)
			require.NoError(t, err)
			defer resp.Body.Close()
			require.Equal(t, "no-store", resp.Header.Get("Cache-Control"))
			var m struct {
				Error       string
				AccessToken string `json:"access_token"`
				TokenType   string `json:"token_type"`
				Issued      string `json:"issued_token_type"`
				ExpiresIn   int64  `json:"expires_in"`
				Scope       string
			}
			require.NoError(t, json.NewDecoder(resp.Body).Decode(&m))
			require.Equal(t, test.err, m.Error)
			if test.err != "" {
				require.Empty(t, m.AccessToken)
				return
			}
			require.Equal(t, http.StatusOK, resp.StatusCode)
			require.Equal(t, "Bearer", m.TokenType)
			require.Equal(t, accessToken, m.Issued)
			got := claims(t, m.AccessToken)
			require.Subset(t, got, test.claims)
			for _, name := range test.absent {
				require.NotContains(t, got, name)
			}
			scopes, _ := got["scope"].(string)
			require.Equal(t, scopes, m.Scope)
			require.LessOrEqual(t, m.ExpiresIn, int64(3600))
			require.InDelta(t, m.ExpiresIn, got["exp"].(float64)-got["iat"].(float64), 2)
		})
	}
}
