package introspect_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/stretchr/testify/require"
)

func TestVerify(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newServer()
		now := time.Now().Unix()
		s.answers[opaque] = answer(map[string]any{
			"acr": "gold", "auth_time": now - 60, "nbf": now, "act": map[string]any{"sub": "admin", "act": map[string]any{"client_id": "c0"}},
			"cnf": map[string]any{"x5t#S256": "abc"}, "extension": map[string]any{"a": 1},
		})
		tok := requireAccepted(t, newClient(t, with(config(s), func(c *introspect.Config) { c.Confirmations = []string{"x5t#S256"} })), opaque)
		require.Equal(t, issuer, tok.Issuer())
		require.Equal(t, "user-1", tok.Subject())
		require.Equal(t, "client-1", tok.ClientID())
		require.Equal(t, "id-1", tok.ID())
		require.Equal(t, []string{audience}, tok.Audience())
		require.Equal(t, scope.Of("read", "write"), tok.Scopes())
		require.Equal(t, now+3600, tok.ExpiresAt().Unix())
		require.Equal(t, now, tok.IssuedAt().Unix())
		require.Equal(t, now, tok.NotBefore().Unix())
		at, ok := tok.AuthTime()
		require.True(t, ok)
		require.Equal(t, now-60, at.Unix())
		require.Equal(t, "gold", tok.ACR())
		require.Equal(t, []bearergate.Actor{{Subject: "admin"}, {ClientID: "c0"}}, tok.Actor())
		bound, ok := tok.Confirmation().Value("x5t#S256")
		require.True(t, ok)
		require.Equal(t, "abc", bound)
		require.False(t, tok.Stale())
		var claims struct {
			Username  string         `json:"username"`
			Extension map[string]int `json:"extension"`
		}
		require.NoError(t, tok.Claims(&claims))
		require.Equal(t, "alice", claims.Username)
		require.Equal(t, 1, claims.Extension["a"])
	})
}

// Where the answer leaves out what RFC 7662 leaves optional.
func TestOptionalMembers(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newServer()
		client := newClient(t, config(s))
		s.answers["minimal"] = map[string]any{"active": true, "aud": audience}
		tok := requireAccepted(t, client, "minimal")
		require.Equal(t, issuer, tok.Issuer()) // the one that was asked
		require.Empty(t, tok.Subject())
		require.Zero(t, tok.Scopes().Len())
		require.True(t, tok.ExpiresAt().IsZero())

		s.answers["null-sub"] = answer(map[string]any{"sub": nil})
		tok = requireAccepted(t, client, "null-sub")
		require.Empty(t, tok.Subject())
		require.False(t, tok.IsClient(), "a server may leave out the sub of a user")
		require.Equal(t, time.Now(), tok.AsOf(), "when the server said it")
		s.answers["no-sub"] = answer(map[string]any{"sub": absent})
		require.False(t, requireAccepted(t, client, "no-sub").IsUser())
	})
}

// What a server writes into answers about access tokens may be named; what it writes into
// no other answer may not.
func TestAllowMarks(t *testing.T) {
	for name, tt := range map[string]struct {
		marks  []string
		answer map[string]any
		reason bearergate.Reason
	}{
		"not named":               {answer: map[string]any{"nonce": "x"}, reason: bearergate.ReasonType},
		"named":                   {marks: []string{"nonce", "at_hash"}, answer: map[string]any{"nonce": "x", "at_hash": "y"}},
		"another one":             {marks: []string{"nonce"}, answer: map[string]any{"at_hash": "y"}, reason: bearergate.ReasonType},
		"a refresh token with it": {marks: []string{"nonce"}, answer: map[string]any{"nonce": "x", "tokenType": "refresh-token"}, reason: bearergate.ReasonType},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer()
			s.answers[opaque] = answer(tt.answer)
			_, err := newClient(t, with(config(s), func(c *introspect.Config) { c.AllowMarks = tt.marks })).Verify(t.Context(), opaque)
			require.Equal(t, tt.reason, bearergate.ReasonOf(err))
		})
	}
	_, err := introspect.New(with(config(newServer()), func(c *introspect.Config) { c.AllowMarks = []string{"events"} }))
	require.ErrorContains(t, err, `AllowMarks: "events" cannot be allowed`)
}

// Each case is a valid answer and one mutation.
// req: R7662-07, R7662-08, R7662-11, R7662-12, R7662-13, R8705-04
func TestAnswers(t *testing.T) {
	set := func(name string, value any) func() *http.Response {
		return func() *http.Response {
			return reply(200, "application/json", encode(answer(map[string]any{name: value})))
		}
	}
	raw := func(body string) func() *http.Response {
		return func() *http.Response { return reply(200, "application/json", body) }
	}
	code := func(status int, header ...string) func() *http.Response {
		return func() *http.Response {
			r := reply(status, "application/json", encode(answer(nil)))
			for i := 0; i+1 < len(header); i += 2 {
				r.Header.Set(header[i], header[i+1])
			}
			return r
		}
	}
	protocol := func(id string, f func() *http.Response) attack {
		return attack{id, f, unavailable, bearergate.ReasonIntrospectionUnavailable}
	}
	refused := func(id string, f func() *http.Response, reason bearergate.Reason) attack {
		return attack{id, f, invalid, reason}
	}
	valid := func(id string, f func() *http.Response) attack { return attack{id, f, nil, ""} }
	later := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	for _, tt := range []attack{
		valid("control", set("ext", 1)),
		// req: R7662-06: anything but one true or false is a protocol error.
		protocol("INT-004 active string", set("active", "true")),
		protocol("INT-005 active 1", set("active", 1)),
		protocol("active null", set("active", nil)),
		protocol("active array", set("active", []bool{true})),
		protocol("INT-007 active missing", set("active", absent)),
		protocol("active twice", raw(`{"active":true,"active":true,"aud":"`+audience+`"}`)),
		protocol("active twice, false first", raw(`{"active":false,"active":true}`)),
		protocol("active twice by escape", raw(`{"active":true,"\u0061ctive":true}`)),
		protocol("Active", raw(`{"Active":true,"aud":"`+audience+`"}`)),
		protocol("duplicate aud", raw(`{"active":true,"aud":"x","aud":"`+audience+`"}`)),
		refused("R7662-07 R7662-12 inactive", raw(`{"active":false}`), bearergate.ReasonInactive),
		refused("inactive with junk", raw(`{"active":false,"exp":"x","aud":7}`), bearergate.ReasonInactive),
		protocol("INT-010 HTML", func() *http.Response { return reply(200, "text/html", "<html>") }),
		protocol("HTML as JSON", raw("<html>")),
		protocol("INT-011 empty", raw("")),
		protocol("INT-012 array", raw(`[{"active":true}]`)),
		protocol("string", raw(`"active"`)), protocol("null", raw(`null`)), protocol("true", raw(`true`)),
		protocol("trailing", raw(`{"active":false}{"active":true}`)),
		protocol("truncated", raw(`{"active":true,`)),
		protocol("BOM", raw("\ufeff"+`{"active":true}`)),
		protocol("bad UTF-8", raw("{\"active\":true,\"x\":\"\xff\"}")),
		protocol("INT-013 text/plain", func() *http.Response { return reply(200, "text/plain", encode(answer(nil))) }),
		protocol("no content type", func() *http.Response { return reply(200, "", encode(answer(nil))) }),
		valid("charset", func() *http.Response { return reply(200, "application/json; charset=UTF-8", encode(answer(nil))) }),
		protocol("signed, not asked for", func() *http.Response {
			return reply(200, "application/token-introspection+jwt", encode(answer(nil)))
		}),
		protocol("compressed", code(200, "Content-Encoding", "br")),
		{"INT-015 R7662-11 401", code(401), misconfigured, bearergate.ReasonConfig},
		{"INT-016 403", code(403), misconfigured, bearergate.ReasonConfig},
		protocol("INT-016 400", code(400)), protocol("404", code(404)), protocol("INT-017 500", code(500)),
		protocol("502", code(502)), protocol("503", code(503)), protocol("504", code(504)),
		protocol("201", code(201)), protocol("204", code(204)), protocol("206", code(206)),
		protocol("INT-020 429", code(429, "Retry-After", "7")),
		protocol("INT-019 302", code(302, "Location", "https://evil.example.com/")),
		protocol("302 same origin", code(302, "Location", endpoint)),
		protocol("307", code(307, "Location", "https://evil.example.com/")),
		protocol("308 without Location", code(308)),
		protocol("INT-023 10 MB", raw(`{"active":true,"x":"`+strings.Repeat("x", 10<<20)+`"}`)),
		protocol("10 MB, unannounced", func() *http.Response {
			r := reply(200, "application/json", strings.Repeat(" ", 10<<20)+encode(answer(nil)))
			r.ContentLength = -1
			return r
		}),
		protocol("64 KiB + 1", raw(encode(answer(nil))+strings.Repeat(" ", 64<<10))),
		protocol("INT-027 exp string", set("exp", "1")), valid("exp null", set("exp", nil)),
		protocol("exp negative", set("exp", -1)), protocol("exp huge", raw(`{"active":true,"aud":"`+audience+`","exp":1e400}`)),
		valid("INT-027 exp float", raw(`{"active":true,"aud":"`+audience+`","exp":1e11}`)),
		valid("exp missing", set("exp", absent)),
		refused("R7662-08 exp past", func() *http.Response { return set("exp", later(-10*time.Second))() }, bearergate.ReasonExpired),
		refused("exp now less leeway", func() *http.Response { return set("exp", later(-5*time.Second))() }, bearergate.ReasonExpired),
		valid("exp within leeway", func() *http.Response { return set("exp", later(-4*time.Second))() }),
		refused("exp 0", set("exp", 0), bearergate.ReasonExpired),
		refused("nbf future", func() *http.Response { return set("nbf", later(6*time.Second))() }, bearergate.ReasonNotYetValid),
		valid("nbf within leeway", func() *http.Response { return set("nbf", later(5*time.Second))() }),
		refused("iat future", func() *http.Response { return set("iat", later(time.Minute))() }, bearergate.ReasonNotYetValid),
		protocol("iat string", set("iat", "1")), protocol("nbf bool", set("nbf", true)),
		refused("INT-028 iss", set("iss", "https://evil.example.com/"), bearergate.ReasonIssuer),
		refused("iss empty", set("iss", ""), bearergate.ReasonIssuer),
		refused("iss without slash", set("iss", strings.TrimSuffix(issuer, "/")), bearergate.ReasonIssuer),
		refused("iss case", set("iss", strings.ToUpper(issuer)), bearergate.ReasonIssuer),
		protocol("iss array", set("iss", []string{issuer})), valid("iss null", set("iss", nil)),
		valid("iss missing", set("iss", absent)),
		refused("INT-029 R7662-13 aud", set("aud", "https://other.example.com/"), bearergate.ReasonAudience),
		refused("aud prefix", set("aud", audience+"x"), bearergate.ReasonAudience),
		refused("aud of others", set("aud", []string{"a", "b"}), bearergate.ReasonAudience),
		refused("INT-030 aud missing", set("aud", absent), bearergate.ReasonMissingClaim),
		refused("aud empty array", set("aud", []string{}), bearergate.ReasonMissingClaim),
		refused("aud empty", set("aud", ""), bearergate.ReasonMissingClaim),
		refused("aud null", set("aud", nil), bearergate.ReasonMissingClaim), protocol("aud number", set("aud", []any{audience, 7})),
		valid("INT-031 aud array", set("aud", []string{"x", audience})),
		protocol("INT-033 R7662-09 scope array", set("scope", []string{"read"})),
		protocol("scope number", set("scope", 7)), valid("scope null", set("scope", nil)),
		valid("scope empty", set("scope", "")), valid("scope missing", set("scope", absent)),
		refused("INT-036 MTL-017 R8705-04 cnf", set("cnf", map[string]any{"x5t#S256": "abc"}), bearergate.ReasonBinding),
		refused("cnf jkt", set("cnf", map[string]any{"jkt": "abc"}), bearergate.ReasonBinding),
		protocol("cnf empty", set("cnf", map[string]any{})), protocol("cnf string", set("cnf", "abc")),
		protocol("cnf null", set("cnf", nil)), protocol("cnf number", set("cnf", map[string]any{"x5t#S256": 1})),
		protocol("cnf empty value", set("cnf", map[string]any{"x5t#S256": ""})),
		refused("DPoP", set("token_type", "DPoP"), bearergate.ReasonBinding),
		refused("token_type empty", set("token_type", ""), bearergate.ReasonType),
		valid("token_type null", set("token_type", nil)), protocol("token_type number", set("token_type", 7)),
		valid("token_type bearer", set("token_type", "bEARER")), valid("token_type missing", set("token_type", absent)),
		refused("refresh token, Keycloak", set("typ", "Refresh"), bearergate.ReasonType),
		refused("ID token, Keycloak", set("typ", "ID"), bearergate.ReasonType),
		refused("refresh token, Hydra", set("token_use", "refresh_token"), bearergate.ReasonType),
		valid("access token, Hydra", set("token_use", "access_token")), valid("access token, Keycloak", set("typ", "Bearer")),
		refused("ID token by at_hash", set("at_hash", "x"), bearergate.ReasonType),
		refused("nonce", set("nonce", "x"), bearergate.ReasonType),
		protocol("client_id number", set("client_id", 1)), protocol("act string", set("act", "x")),
		protocol("sub number", set("sub", 1)), protocol("jti object", set("jti", map[string]any{})),
		valid("auth_time string", set("auth_time", "1")), valid("acr array", set("acr", []string{"x"})),
		valid("I1", raw(`{"active":true,"aud":"`+audience+`","acr":null,"nbf":null,"auth_time":null,"jti":null,"username":null,"sub":""}`)),
		valid("username of any type", set("username", 7)),
	} {
		t.Run(tt.id, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				s := newServer()
				client := newClient(t, config(s))
				s.fail(func() (*http.Response, error) { return tt.respond(), nil })
				tok, err := client.Verify(t.Context(), opaque)
				if tt.kind == nil {
					require.NoError(t, err)
					require.NotNil(t, tok)
				} else {
					requireError(t, tok, err, tt.kind, tt.reason)
				}
				// req: INT-040: an error is not remembered, as anything. The token is left alone
				// for a second, and whoever refuses our credentials for ten.
				if errors.Is(err, unavailable) || errors.Is(err, misconfigured) {
					s.fail(nil)
					time.Sleep(introspect.CredentialsPause)
					requireAccepted(t, client, opaque)
				}
			})
		})
	}
}

type attack struct {
	id      string
	respond func() *http.Response
	kind    error
	reason  bearergate.Reason
}

func TestRelaxations(t *testing.T) {
	type testCase struct {
		name   string
		answer map[string]any
		change func(*introspect.Config)
		reason bearergate.Reason
	}
	for _, tt := range []testCase{
		{
			name:   "no aud",
			answer: map[string]any{"aud": absent},
			change: func(c *introspect.Config) { c.AllowMissingAudience = true },
		},
		{
			name:   "no aud, but another",
			answer: map[string]any{"aud": "x"},
			change: func(c *introspect.Config) { c.AllowMissingAudience = true },
			reason: bearergate.ReasonAudience,
		},
		{
			name:   "INT-057 no aud, written as none",
			answer: map[string]any{"aud": []string{}},
			change: func(c *introspect.Config) { c.AllowMissingAudience = true },
		},
		{
			name:   "INT-057 no aud, and no word that it may be missing",
			answer: map[string]any{"aud": []string{}},
			change: func(c *introspect.Config) {},
			reason: bearergate.ReasonMissingClaim,
		},
		{
			name:   "no aud, but an empty name",
			answer: map[string]any{"aud": ""},
			change: func(c *introspect.Config) { c.AllowMissingAudience = true },
			reason: bearergate.ReasonMissingClaim,
		},
		{
			name:   "no aud, but a list with an empty name",
			answer: map[string]any{"aud": []string{""}},
			change: func(c *introspect.Config) { c.AllowMissingAudience = true },
			reason: bearergate.ReasonAudience,
		},
		{
			name:   "any aud",
			answer: map[string]any{"aud": "x"},
			change: func(c *introspect.Config) { c.InsecureAnyAudience, c.Audiences = true, nil },
		},
		{
			name:   "any aud, none",
			answer: map[string]any{"aud": absent},
			change: func(c *introspect.Config) { c.InsecureAnyAudience, c.Audiences = true, nil },
		},
		// req: R7662-09
		{
			name:   "scope array",
			answer: map[string]any{"scope": []string{"read", "write"}},
			change: func(c *introspect.Config) { c.AllowScopeArray = true },
		},
		{
			name:   "cnf",
			answer: map[string]any{"cnf": map[string]any{"x5t#S256": "x"}},
			change: func(c *introspect.Config) { c.Confirmations = []string{"x5t#S256"} },
		},
		{
			name:   "cnf and another",
			answer: map[string]any{"cnf": map[string]any{"x5t#S256": "x", "jkt": "y"}},
			change: func(c *introspect.Config) { c.Confirmations = []string{"x5t#S256"} },
			reason: bearergate.ReasonBinding,
		},
		{
			name:   "leeway",
			answer: map[string]any{"exp": absent, "nbf": time.Now().Add(time.Minute).Unix()},
			change: func(c *introspect.Config) { c.Leeway = 2 * time.Minute },
		},
		{
			name:   "no leeway",
			answer: map[string]any{"nbf": time.Now().Add(4 * time.Second).Unix()},
			change: func(c *introspect.Config) { c.NoLeeway = true },
			reason: bearergate.ReasonNotYetValid,
		},
		{
			name:   "now",
			answer: map[string]any{"exp": 1000, "iat": 900},
			change: func(c *introspect.Config) { c.Now = func() time.Time { return time.Unix(950, 0) } },
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer()
			s.answers[opaque] = answer(tt.answer)
			client := newClient(t, with(config(s), tt.change))
			if tt.reason == "" {
				require.Equal(t, "user-1", requireAccepted(t, client, opaque).Subject())
				if tt.name == "scope array" {
					require.Equal(t, scope.Of("read", "write"), requireAccepted(t, client, opaque).Scopes())
				}
				return
			}
			requireRefused(t, client, opaque, invalid, tt.reason)
		})
	}
}
