package accept_test

import (
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/accept"
	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/internal/mistake"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/stretchr/testify/require"
)

// A valid statement and one change.
func TestEvents(t *testing.T) {
	signer, other := kit.NewSigner(t, "ES256", "k"), kit.NewSigner(t, "ES256", "k")
	now := time.Now().Unix()
	events := func(untyped bool) *accept.Events {
		return &accept.Events{Name: "a statement", Types: []string{"event+jwt"}, Untyped: untyped, Algorithms: []string{"ES256"}, Keys: signer.Set(t),
			Rules: accept.Rules{Issuer: kit.Issuer, Audiences: []string{kit.Audience}, Required: []string{"iss", "aud", "jti", "events"}, Leeway: 5 * time.Second, ExpiryOptional: true}}
	}
	for _, tt := range []struct {
		name    string
		by      kit.Signer
		header  map[string]any
		claims  map[string]any
		untyped bool
		reason  bearergate.Reason // "": accepted
	}{
		{name: "as it should be"},
		{name: "no exp", claims: map[string]any{"exp": kit.Absent}},
		{name: "what is not read may be anything", claims: map[string]any{"scope": 1, "act": "x", "cnf": nil, "sid": 7, "client_id": 1}},
		{name: "typ in full", header: map[string]any{"typ": "Application/Event+JWT"}},
		{name: "another typ", header: map[string]any{"typ": "at+jwt"}, reason: bearergate.ReasonType},
		{name: "another typ, untyped allowed", header: map[string]any{"typ": "at+jwt"}, untyped: true, reason: bearergate.ReasonType},
		{name: "no typ", header: map[string]any{}, reason: bearergate.ReasonType},
		{name: "no typ, allowed", header: map[string]any{}, untyped: true},
		{name: "typ empty", header: map[string]any{"typ": ""}, untyped: true, reason: bearergate.ReasonType},
		{name: "typ JWT", header: map[string]any{"typ": "JWT"}, reason: bearergate.ReasonType},
		{name: "typ JWT, allowed", header: map[string]any{"typ": "JWT"}, untyped: true},
		{name: "another alg", header: map[string]any{"typ": "event+jwt", "alg": "RS256"}, reason: bearergate.ReasonAlgorithm},
		{name: "another issuer", claims: map[string]any{"iss": "https://x.example/"}, reason: bearergate.ReasonIssuer},
		{name: "another issuer, and another key", by: other, claims: map[string]any{"iss": "https://x.example/"}, reason: bearergate.ReasonIssuer},
		{name: "another key", by: other, reason: bearergate.ReasonSignature},
		{name: "another audience", claims: map[string]any{"aud": "x"}, reason: bearergate.ReasonAudience},
		{name: "a claim is missing", claims: map[string]any{"events": nil}, reason: bearergate.ReasonMissingClaim},
		{name: "a claim is of the wrong type", claims: map[string]any{"sub": 1}, reason: bearergate.ReasonMalformed},
		{name: "expired", claims: map[string]any{"exp": now - 10}, reason: bearergate.ReasonExpired},
		{name: "of the future", claims: map[string]any{"iat": now + 10}, reason: bearergate.ReasonNotYetValid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.header == nil {
				tt.header = map[string]any{"typ": "event+jwt"}
			}
			if tt.by.Key == nil {
				tt.by = signer
			}
			header := map[string]any{"alg": "ES256", "kid": "k"}
			maps.Copy(header, tt.header)
			claims := map[string]any{"iat": now, "exp": now + 60, "events": map[string]any{"x": 1}, "null": nil}
			maps.Copy(claims, tt.claims)
			e, err := events(tt.untyped).Verify(t.Context(), tt.by.SignWith(t, header, claims), 4096)
			if tt.reason != "" {
				require.Nil(t, e)
				kit.RequireError(t, err, bearergate.ErrInvalidToken, tt.reason)
				return
			}
			require.NoError(t, err)
			require.Equal(t, "user-1", e.Claims.Subject)
			require.Equal(t, "id-1", e.Claims.ID)
			require.JSONEq(t, `{"x":1}`, string(e.Members["events"]))
			require.True(t, e.Has("events"))
			require.Contains(t, e.Members, "null")
			require.False(t, e.Has("null"))
			require.False(t, e.Has("no"))
		})
	}
	_, err := events(false).Verify(t.Context(), strings.Repeat("x", 4097), 4096)
	kit.RequireError(t, err, bearergate.ErrInvalidToken, bearergate.ReasonTooLarge)
	_, err = events(false).Verify(t.Context(), "x", 4096)
	kit.RequireError(t, err, bearergate.ErrInvalidToken, bearergate.ReasonMalformed)
}

// Claims that are signed and no object.
func TestEventsThatAreNone(t *testing.T) {
	signer := kit.NewSigner(t, "ES256", "k")
	events := &accept.Events{Name: "a statement", Types: []string{"event+jwt"}, Algorithms: []string{"ES256"}, Keys: signer.Set(t), Rules: accept.Rules{Issuer: kit.Issuer, AnyAudience: true, ExpiryOptional: true}}
	for claims, reason := range map[string]bearergate.Reason{
		`{"iss":"` + kit.Issuer + `"}`:               "",
		`{"iss":"` + kit.Issuer + `","a":1,"a":2}`:   bearergate.ReasonMalformed,
		`{"a":1,"a":2,"iss":"` + kit.Issuer + `"}`:   bearergate.ReasonMalformed,
		`{"iss":"` + kit.Issuer + `","events":{"a"}`: bearergate.ReasonMalformed,
	} {
		raw, err := jose.Sign("ES256", signer.Key, []byte(`{"alg":"ES256","kid":"k","typ":"event+jwt"}`), []byte(claims))
		require.NoError(t, err)
		e, err := events.Verify(t.Context(), raw, 4096)
		require.Equal(t, reason == "", err == nil)
		if err != nil {
			require.Nil(t, e)
			kit.RequireError(t, err, bearergate.ErrInvalidToken, reason)
		}
	}
}

// fetching is a source that says when it has fetched.
type fetching struct {
	jwks.Source
	at time.Time
}

func (f fetching) Status() jwks.Status { return jwks.Status{LastSuccess: f.at} }

// A key that nobody knows is an outage where no keys were fetched since: the statement is then
// sent again.
func TestEventsWhoseKeyWasNotLookedFor(t *testing.T) {
	signer, other, same := kit.NewSigner(t, "ES256", "k"), kit.NewSigner(t, "ES256", "another"), kit.NewSigner(t, "ES256", "k")
	before, after := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	for _, tt := range []struct {
		name   string
		keys   jwks.Source
		cut    int   // characters from the end
		kind   error // nil: verified
		reason bearergate.Reason
	}{
		{name: "known", keys: fetching{signer.Set(t), before}},
		{name: "unknown, and not looked for", keys: fetching{other.Set(t), before}, kind: bearergate.ErrUnavailable, reason: bearergate.ReasonKeysUnavailable},
		{name: "unknown, and looked for", keys: fetching{other.Set(t), after}, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonUnknownKey},
		{name: "unknown, and nobody says when", keys: other.Set(t), kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonUnknownKey},
		{name: "another one of its name, and not looked for", keys: fetching{same.Set(t), before}, kind: bearergate.ErrUnavailable, reason: bearergate.ReasonKeysUnavailable},
		{name: "another one of its name, and looked for", keys: fetching{same.Set(t), after}, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonSignature},
		{name: "another one of its name, and nobody says when", keys: same.Set(t), kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonSignature},
		{name: "a signature that no key makes", keys: fetching{signer.Set(t), before}, cut: 86, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonSignature},
	} {
		t.Run(tt.name, func(t *testing.T) {
			events := &accept.Events{Name: "a statement", Types: []string{"event+jwt"}, Algorithms: []string{"ES256"}, Keys: tt.keys, Rules: accept.Rules{Issuer: kit.Issuer, AnyAudience: true, ExpiryOptional: true}}
			raw := signer.SignWith(t, map[string]any{"alg": "ES256", "kid": "k", "typ": "event+jwt"}, map[string]any{"iat": kit.Absent, "exp": kit.Absent})
			_, err := events.Verify(t.Context(), raw[:len(raw)-tt.cut], 4096)
			if tt.kind == nil {
				require.NoError(t, err)
				return
			}
			kit.RequireError(t, err, tt.kind, tt.reason)
			require.Equal(t, tt.reason == bearergate.ReasonKeysUnavailable, bearergate.AsError(err).RetryAfter > 0)
		})
	}
}

// Where the keys of an issuer come from. What else New of jwtverify says of it stands in
// its tests.
func TestOrigin(t *testing.T) {
	set := kit.NewSigner(t, "ES256", "k").Set(t)
	for _, tt := range []struct {
		name   string
		origin accept.Origin
		says   string // "": nothing is wrong
	}{
		{"pasted", accept.Origin{Issuer: "https://as.example.com/.well-known/openid-configuration"}, "is the URL of a metadata document"},
		{"pasted, and its keys are named", accept.Origin{Issuer: "https://as.example.com/.well-known/openid-configuration", Keys: set}, "is the URL of a metadata document"},
		{"http, and no URL", accept.Origin{Issuer: "http://%zz"}, "Issuer cannot be used to discover keys"},
		{"a client, and what it fetches", accept.Origin{Issuer: kit.Issuer, HTTPClient: http.DefaultClient}, ""},
		{"discovered", accept.Origin{Issuer: kit.Issuer}, ""},
		{"no issuer", accept.Origin{}, "Issuer is empty"},
		{"http", accept.Origin{Issuer: "http://as.example.com"}, "is http"},
		{"http, loopback", accept.Origin{Issuer: "http://127.0.0.1:1"}, ""},
		{"http, allowed", accept.Origin{Issuer: "http://as.example.com", InsecureAllowHTTP: true}, ""},
		{"http, and nothing is fetched from it", accept.Origin{Issuer: "http://as.example.com", Keys: set}, ""},
		{"a URL", accept.Origin{Issuer: "as", KeysURL: "https://as.example.com/jwks"}, ""},
		{"metadata", accept.Origin{Issuer: "as", MetadataURL: "https://as.example.com/m"}, ""},
		{"two", accept.Origin{Issuer: "as", MetadataURL: "https://as.example.com/m", KeysURL: "https://as.example.com/jwks"}, "KeysURL and MetadataURL are both set"},
		{"keys, and what fetches none", accept.Origin{Issuer: "as", Keys: set, HTTPClient: http.DefaultClient}, "HTTPClient are both set"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wrong := mistake.In("x")
			discovers := tt.origin.Check(&wrong)
			require.Equal(t, tt.origin.Keys == nil && tt.origin.KeysURL+tt.origin.MetadataURL == "" && wrong.Err() == nil, discovers)
			source := tt.origin.Source(&wrong, discovers)
			if tt.says != "" {
				require.ErrorContains(t, wrong.Err(), tt.says)
				require.Equal(t, 1, strings.Count(wrong.Err().Error(), "x: "), "once: %v", wrong.Err())
				return
			}
			require.NoError(t, wrong.Err())
			if tt.origin.Keys != nil {
				require.Same(t, set, source)
				return
			}
			require.Equal(t, tt.origin.Issuer, source.(*jwks.Cache).Issuer())
		})
	}
}
