package introspect_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/introspect"
	"github.com/stretchr/testify/require"
)

// What the authorization server knows and this API refuses says why, and whose it was:
// from the server, and from the cache.
func TestARefusalExplainsItself(t *testing.T) {
	for _, tt := range []struct {
		name            string
		answer          map[string]any
		reason          bearergate.Reason
		expected, found string
		refused         bool
		change          func(*introspect.Config)
		detail          string
	}{
		// I3, I12, I15 of the cases.
		{name: "DPoP, and nobody promises to ask for the proof", answer: map[string]any{"token_type": "DPoP", "cnf": map[string]any{"jkt": "x"}}, reason: bearergate.ReasonBinding, expected: "no cnf", found: `"jkt"`, refused: true, detail: "not named in Confirmations"},
		{name: "DPoP, and another proof is promised", answer: map[string]any{"token_type": "dpop", "cnf": map[string]any{"jkt": "x"}}, change: func(c *introspect.Config) { c.Confirmations = []string{"x5t#S256"} },
			reason: bearergate.ReasonBinding, expected: `"x5t#S256"`, found: `"jkt"`, refused: true, detail: "not named in Confirmations"},
		{name: "an audience that is written as none", answer: map[string]any{"aud": []string{}}, reason: bearergate.ReasonMissingClaim, expected: `"` + audience + `"`, refused: true, detail: "there is no aud, or an empty one"},
		{name: "an ID token by token_type", answer: map[string]any{"token_type": "ID_Token"}, reason: bearergate.ReasonType, expected: `"Bearer" "access_token" "DPoP" or none`, found: `"ID_Token"`, refused: true, detail: "token_type"},
		{name: "another type than is allowed", answer: map[string]any{"token_type": "urn:x:refresh"}, change: func(c *introspect.Config) { c.AllowTokenTypes = []string{"urn:x:access"} },
			reason: bearergate.ReasonType, expected: `"Bearer" "access_token" "DPoP" "urn:x:access" or none`, found: `"urn:x:refresh"`, refused: true, detail: "token_type"},
		{name: "a type that nobody knows", answer: map[string]any{"token_type": "user_token"}, reason: bearergate.ReasonType, expected: `"Bearer" "access_token" "DPoP" or none`, found: `"user_token"`, refused: true, detail: "see AllowTokenTypes"},
		{name: "another issuer", answer: map[string]any{"iss": issuer + "/x"}, reason: bearergate.ReasonIssuer, expected: `"` + issuer + `"`, found: `"` + issuer + `/x"`},
		{name: "another audience", answer: map[string]any{"aud": []string{"x"}}, reason: bearergate.ReasonAudience, expected: `"` + audience + `"`, found: `"x"`, refused: true},
		{name: "no audience", answer: map[string]any{"aud": absent}, reason: bearergate.ReasonMissingClaim, expected: `"` + audience + `"`, refused: true},
		{name: "DPoP without a key", answer: map[string]any{"token_type": "DPoP"}, reason: bearergate.ReasonBinding, expected: `"DPoP" with cnf.jkt`, found: `"DPoP"`, refused: true},
		{name: "a refresh token", answer: map[string]any{"token_type": "refresh_token", "aud": absent}, reason: bearergate.ReasonType, expected: `"Bearer" "access_token" "DPoP" or none`, found: `"refresh_token"`, refused: true},
		{name: "an ID token", answer: map[string]any{"nonce": "x"}, reason: bearergate.ReasonType, expected: "an access token", found: "the member nonce", refused: true},
		{name: "inactive", answer: map[string]any{"active": false}, reason: bearergate.ReasonInactive},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer()
			s.answers[opaque] = answer(tt.answer)
			var told []introspect.LookEvent
			client := newClient(t, with(config(s), func(c *introspect.Config) {
				c.Hooks.Looked = func(_ context.Context, e introspect.LookEvent) { told = append(told, e) }
				if tt.change != nil {
					tt.change(c)
				}
			}))
			for range 2 {
				requireRefused(t, client, opaque, invalid, tt.reason)
			}
			require.Equal(t, introspect.ResultNegative, told[1].Result)
			for _, event := range told {
				e := bearergate.AsError(event.Err)
				require.NotEmpty(t, e.Detail)
				require.Contains(t, e.Detail, tt.detail)
				require.Equal(t, strings.Contains(tt.detail, "AllowTokenTypes"), strings.Contains(e.Detail, "AllowTokenTypes"), "named where it can help")
				require.Equal(t, tt.expected, e.Expected)
				require.Equal(t, tt.found, e.Found)
				require.False(t, e.Unsigned, "the server said so")
				require.Equal(t, tt.refused, e.Refused != nil)
				if tt.refused {
					require.Equal(t, issuer, e.Refused.Issuer()[:len(issuer)])
					require.NotEmpty(t, e.Refused.Subject())
				}
				require.Nil(t, event.Token)
			}
		})
	}
}

// The audit finds the requests of a login, also where this API or its Map has refused them.
func TestARefusalSaysTheSession(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer map[string]any
		reason bearergate.Reason
	}{
		{name: "by this API", answer: map[string]any{"aud": "x", "sid": "s-1"}, reason: bearergate.ReasonAudience},
		{name: "by Map", answer: map[string]any{"sid": "s-1"}, reason: bearergate.ReasonTenant},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer()
			s.answers[opaque] = answer(tt.answer)
			client := newClient(t, with(config(s), func(c *introspect.Config) {
				c.Map = func(*bearergate.Claims) error {
					return &bearergate.Error{Kind: invalid, Reason: bearergate.ReasonTenant}
				}
			}))
			for range 2 { // from the server, and from the cache
				err := requireRefused(t, client, opaque, invalid, tt.reason)
				require.Equal(t, "s-1", bearergate.AsError(err).Refused.SessionID())
			}
		})
	}
}

// An answer that is none says which member is wrong.
func TestAnOddAnswerNamesItsMember(t *testing.T) {
	s := newServer()
	s.fail(func() (*http.Response, error) {
		return reply(200, "application/json", encode(answer(map[string]any{"jti": 7}))), nil
	})
	err := requireRefused(t, newClient(t, config(s)), opaque, unavailable, bearergate.ReasonIntrospectionUnavailable)
	require.Equal(t, "introspect: malformed: the member jti is not of its type", bearergate.AsError(err).Detail)
}

// An answer may quote the token in a member that refuses it: then nothing is told of it.
func TestARefusalThatQuotesTheToken(t *testing.T) {
	for _, member := range []string{"iss", "aud", "token_type", "token_use", "sub", "client_id"} {
		a := answer(map[string]any{"aud": "x", member: opaque})
		s := newServer()
		s.answers[opaque] = a
		_, err := newClient(t, config(s)).Verify(t.Context(), opaque)
		e := bearergate.AsError(err)
		require.ErrorIs(t, err, invalid, member)
		require.NotContains(t, err.Error(), opaque, member)
		require.Empty(t, e.Found, member)
		require.Nil(t, e.Refused, member)
	}
}

// A server whose metadata names no introspection endpoint may have one all the same.
func TestNoEndpointInTheMetadata(t *testing.T) {
	s := newServer()
	s.metadata = func(*http.Request) *http.Response {
		return reply(200, "application/json", encode(map[string]any{"issuer": issuer, "jwks_uri": issuer + "/keys"}))
	}
	err := requireRefused(t, newClient(t, with(config(s), func(c *introspect.Config) { c.Endpoint = "" })), opaque, unavailable, bearergate.ReasonIntrospectionUnavailable)
	require.Contains(t, bearergate.AsError(err).Detail, "no introspection_endpoint: set Endpoint")
	require.NotContains(t, err.Error(), "jwks_uri", "that is not what is missing")
}

// What went wrong stands once in the text, with the place and what is underneath.
func TestAFailureIsToldOnce(t *testing.T) {
	for _, tt := range []struct {
		name     string
		fault    func() (*http.Response, error)
		metadata func(*http.Request) *http.Response // not nil: discovery
		says     []string
		lookUp   bool // it is about the name of the server
	}{
		{name: "no endpoint", metadata: func(*http.Request) *http.Response {
			return reply(200, "application/json", encode(map[string]any{"issuer": issuer}))
		}, says: []string{"set Endpoint", "https://as.example.com/.well-known/openid-configuration"}},
		{name: "metadata of another", metadata: func(*http.Request) *http.Response {
			return reply(200, "application/json", `{"issuer":"x"}`)
		}, says: []string{"the document is of the issuer"}},
		{name: "no such host", fault: func() (*http.Response, error) { return nil, &net.DNSError{Err: "underneath", IsNotFound: true} },
			says: []string{"no such host", "underneath", endpoint}, lookUp: true},
		{name: "refused credentials", fault: status(401), says: []string{"status 401", "the server refuses our credentials: compare Auth", endpoint}},
		{name: "no right to ask", fault: status(403), says: []string{"status 403", "our client may not ask", endpoint}},
		{name: "nothing there", fault: status(404), says: []string{"status 404", "check Endpoint", endpoint}},
		{name: "another method", fault: status(405), says: []string{"status 405", "check Endpoint"}},
		{name: "gone", fault: status(410), says: []string{"status 410", "check Endpoint"}},
		{name: "a page", fault: func() (*http.Response, error) { return reply(200, "text/html", "<p>"), nil }, says: []string{"a page for people", endpoint}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer()
			s.metadata = tt.metadata
			s.fail(tt.fault)
			_, err := newClient(t, with(config(s), func(c *introspect.Config) {
				if tt.metadata != nil {
					c.Endpoint = ""
				}
			})).Verify(t.Context(), opaque)
			for _, text := range tt.says {
				require.Equal(t, 1, strings.Count(err.Error(), text), "%q in %v", text, err)
			}
			var lookUp *net.DNSError
			require.Equal(t, tt.lookUp, errors.As(err, &lookUp), "what is underneath can be asked for")
		})
	}
}

// A refusal keeps of an answer what says whose the token is, and that it is bound: without
// that it would name whoever it was stolen from.
func TestARefusalKeepsWhoseItIs(t *testing.T) {
	for _, tt := range []struct {
		name    string
		cnf     any
		bound   bool
		members []string
	}{
		{name: "not bound", cnf: absent},
		{name: "bound to a key", cnf: map[string]any{"jkt": strings.Repeat("x", 43)}, bound: true, members: []string{"jkt"}},
		{name: "bound to the longest text that is kept", cnf: map[string]any{"jkt": strings.Repeat("x", 62)}, bound: true, members: []string{"jkt"}},
		{name: "bound to a longer one", cnf: map[string]any{"jkt": strings.Repeat("x", 63)}, bound: true},
		{name: "bound in a way that is not kept", cnf: map[string]any{"jwk": map[string]any{"kty": "OKP"}}, bound: true},
		{name: "bound to a text of any size", cnf: map[string]any{"jkt": strings.Repeat("x", 1000)}, bound: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer()
			s.answers[opaque] = answer(map[string]any{"aud": "x", "client_id": "shop", "sub": "alice", "auth_time": 1000, "cnf": tt.cnf,
				"act": map[string]any{"sub": "agent", "act": map[string]any{"sub": "before"}}})
			client := newClient(t, with(config(s), func(c *introspect.Config) { c.Confirmations = []string{"jkt", "jwk"} }))
			for range 2 { // from the server, and from the cache
				e := bearergate.AsError(requireRefused(t, client, opaque, invalid, bearergate.ReasonAudience))
				require.Equal(t, "shop", e.Refused.ClientID())
				require.True(t, e.Refused.IsUser())
				require.Equal(t, tt.bound, e.Refused.Bound())
				require.ElementsMatch(t, tt.members, e.Refused.Confirmation().Members())
				require.Equal(t, []bearergate.Actor{{Subject: "agent"}}, e.Refused.Actor(), "who acts, and not who did before")
			}
		})
	}
}

// A Check refuses what the server vouches for: whose it was is known.
func TestARefusalByCheckSaysWhoseItWas(t *testing.T) {
	s := newServer()
	s.answers[opaque] = answer(map[string]any{"client_id": "shop"})
	client := newClient(t, with(config(s), func(c *introspect.Config) {
		c.Check = func(context.Context, *bearergate.Token) error { return bearergate.ErrInvalidToken }
	}))
	require.Equal(t, "shop", bearergate.AsError(requireRefused(t, client, opaque, invalid, bearergate.ReasonPolicy)).Refused.ClientID())

	s.answers[opaque] = answer(map[string]any{"client_id": opaque}) // which may be the token itself
	client.PurgeAll()
	require.Nil(t, bearergate.AsError(requireRefused(t, client, opaque, invalid, bearergate.ReasonPolicy)).Refused)
}
