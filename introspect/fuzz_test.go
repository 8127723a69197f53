package introspect_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/stretchr/testify/require"
)

// FuzzAnswer: whatever the server answers, there is no panic, no token beside
// an error, no acceptance of anything that another reader takes for inactive or
// not for us, and the same decision again from the cache.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(encode(answer(nil))))
	f.Add([]byte(`{"active":false}`))
	f.Add([]byte(`{"active":true,"aud":["https://rs.example.com/"],"exp":1e11,"cnf":{"jkt":"x"},"act":{"sub":"a","act":{}}}`))
	f.Add([]byte(`{"active":true,"Active":false,"\u0061ud":"https://rs.example.com/","scope":"a  b\u0000"}`))
	f.Add([]byte(`{"active":true,"aud":"https://rs.example.com/","iat":1.5e3,"nbf":0,"sub":null}`))
	f.Add([]byte(`{"active":true,"aud":"https://rs.example.com/","token_type":"Access-Token"}`))
	f.Add([]byte(`{"active":true,"aud":"https://rs.example.com/","token_type":"refresh_token"}`))
	f.Add([]byte(`{"active":true,"aud":[],"token_type":"DPoP","cnf":{"jkt":"x"}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		s := newServer()
		s.respond = nil
		s.fail(func() (*http.Response, error) { return reply(200, "application/json", string(body)), nil })
		client := newClient(t, config(s))
		tok, err := client.Verify(t.Context(), opaque)
		again, errAgain := client.Verify(t.Context(), opaque)
		require.Equal(t, bearergate.ReasonOf(err), bearergate.ReasonOf(errAgain))
		require.Equal(t, tok == nil, again == nil)
		require.Equal(t, tok == nil, err != nil)
		if err != nil {
			require.NotEmpty(t, bearergate.ReasonOf(err))
			return
		}
		require.Equal(t, tok, again)
		var members map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(body, &members))
		require.Equal(t, "true", string(members["active"]))
		require.True(t, tok.HasAudience(audience))
		require.Equal(t, issuer, tok.Issuer())
		require.False(t, tok.Confirmation().Bound())
		if kind, ok := members["token_type"]; ok && string(kind) != "null" {
			var name string
			require.NoError(t, json.Unmarshal(kind, &name))
			require.Regexp(t, `^(?i:(urn:ietf:params:oauth:tokentype:)?(bearer|accesstoken))$`, strings.NewReplacer("_", "", "-", "").Replace(name))
		}
	})
}

// One claim means the same in a JWT and in an answer: each case is a valid
// token of both kinds and one mutation.
func TestSameAsJWT(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		key := newSigner(t, "ES256", "k")
		local, err := jwtverify.New(jwtverify.Config{Issuer: issuer, Audiences: []string{audience}, Keys: key.keys(t), Confirmations: []string{"x5t#S256"}})
		require.NoError(t, err)
		now := time.Now().Unix()
		values := []any{nil, "", "x", "a b", " a  b ", "a\tb", "\"", 0, -1, 1.5, 1e300, now, now - 4, now - 5, now + 5, now + 6, true, []any{}, []string{"a", "b"}, []any{"a", 1},
			map[string]any{}, map[string]any{"x5t#S256": "x"}, map[string]any{"x5t#S256": ""}, map[string]any{"x5t#S256": "x", "jkt": "y"}, map[string]any{"sub": "a", "act": map[string]any{"sub": "b"}},
			map[string]any{"sub": 1}, issuer, audience, []string{audience}, absent}
		accepted, refused := 0, 0
		for _, name := range []string{"iss", "sub", "client_id", "jti", "aud", "exp", "nbf", "iat", "auth_time", "acr", "cnf", "act", "scope", "nonce", "typ", "token_use", "at_hash", "events"} {
			for _, value := range values {
				claims := answer(map[string]any{name: value})
				if (value == absent || value == nil) && (name == "iss" || name == "exp") {
					continue // required of a JWT only
				}
				s := newServer()
				s.answers[opaque] = claims
				client := newClient(t, with(config(s), func(c *introspect.Config) { c.Confirmations, c.AllowScopeArray = []string{"x5t#S256"}, true }))
				jwt := maps.Clone(claims)
				delete(jwt, "active")
				raw := key.sign(t, map[string]any{"typ": "JWT"}, maps.Collect(func(yield func(string, any) bool) {
					yield("token_introspection", absent)
					for _, n := range []string{"iss", "aud", "iat"} {
						if _, ok := jwt[n]; !ok {
							yield(n, absent)
						}
					}
					for n, v := range jwt {
						yield(n, v)
					}
				}))
				want, wantErr := local.Verify(t.Context(), raw)
				got, gotErr := client.Verify(t.Context(), opaque)
				what := name + ": " + encode(map[string]any{"v": claims[name]})
				switch reason := bearergate.ReasonOf(wantErr); {
				case wantErr == nil:
					accepted++
					require.NoError(t, gotErr, what)
					require.Equal(t, summary(want), summary(got), what)
				case reason == bearergate.ReasonMalformed: // there the token's fault, here the server's
					refused++
					requireError(t, got, gotErr, unavailable, bearergate.ReasonIntrospectionUnavailable)
				case name == "iss": // required of a JWT, and so missing where it is empty
					refused++
					requireError(t, got, gotErr, invalid, bearergate.ReasonIssuer)
				default:
					refused++
					require.Equal(t, reason, bearergate.ReasonOf(gotErr), what)
					requireError(t, got, gotErr, invalid, reason)
				}
			}
		}
		require.Greater(t, accepted, 80)
		require.Greater(t, refused, 150)
	})
}

func summary(t *bearergate.Token) []any {
	at, ok := t.AuthTime()
	value, bound := t.Confirmation().Value("x5t#S256")
	return []any{t.Issuer(), t.Subject(), t.ClientID(), t.ID(), t.Audience(), t.Scopes().Names(), t.ExpiresAt(), t.IssuedAt(), t.NotBefore(), at, ok, t.ACR(),
		t.IsClient(), t.Actor(), t.Confirmation().Members(), value, bound, t.Stale()}
}
