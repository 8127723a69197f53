package middleware_test

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/bubble"
)

// What authorization servers are known to do, allowed or not, from their
// metadata to the answer of the gate.

// quirk is one such habit, by which a valid token or what its server publishes
// differs from what RFC 9068, 7517 and 8414 would have.
type quirk struct {
	what    string
	options []authtest.Option
	faults  func(as *authtest.Server) []authtest.Fault
	token   func(as *authtest.Server) string // nil: a valid one
	config  func(*jwtverify.Config)

	reason  bearergate.Reason // "": 200
	status  int               // of a refusal
	claims  bearergate.Claims // what the handler finds, as far as it is set
	client  bool              // and IsClient
	skipped int               // keys that are not admitted
}

// gated sends a token through a gate in front of v, and returns the answer, why,
// and the token that the handler found.
func gated(t *testing.T, v bearergate.Verifier, raw string) (*httptest.ResponseRecorder, bearergate.Reason, *bearergate.Token) {
	t.Helper()
	events := &log{}
	var found *bearergate.Token
	handler := newGate(t, v, middleware.Config{Hooks: events.hooks()}).Require(scope.All("read"))(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		found, _ = bearergate.FromContext(r.Context())
	}))
	rec := httptest.NewRecorder()
	handler.ServeHTTP(rec, bearer(http.MethodGet, raw))
	return rec, events.only(t).Reason, found
}

func (q quirk) run(t *testing.T) {
	as := authtest.New(t, q.options...)
	token := as.Token(authtest.Claims{Scopes: scope.Of("read")})
	if q.token != nil {
		token = q.token(as)
	}
	if q.faults != nil {
		for _, f := range q.faults(as) {
			as.Fail(f)
		}
	}
	skipped := 0
	config := jwtverify.Config{Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client(),
		KeyHooks: jwks.Hooks{KeySkipped: func(context.Context, jwks.KeyEvent) { skipped++ }}}
	if q.config != nil {
		q.config(&config)
	}
	v, err := jwtverify.New(config)
	require.NoError(t, err)
	for range 2 { // the second from the cache
		rec, reason, found := gated(t, v, token)
		require.Equal(t, q.reason, reason)
		if q.reason != "" {
			require.Equal(t, q.status, rec.Code)
			require.Nil(t, found)
			require.Equal(t, q.status < 500, strings.HasPrefix(rec.Header().Get("WWW-Authenticate"), "Bearer "))
			require.Equal(t, q.status == 503, rec.Header().Get("Retry-After") != "")
			continue
		}
		require.Equal(t, http.StatusOK, rec.Code)
		requireClaims(t, q.claims, found)
		require.Equal(t, q.client, found.IsClient())
		require.False(t, found.Stale())
	}
	require.Equal(t, q.skipped, skipped)
}

// requireClaims compares what is set in want, and that the scopes have read.
func requireClaims(t *testing.T, want bearergate.Claims, found *bearergate.Token) {
	t.Helper()
	got := bearergate.Claims{Issuer: found.Issuer(), Subject: found.Subject(), ClientID: found.ClientID(), Audience: found.Audience(),
		Scopes: found.Scopes(), ExpiresAt: found.ExpiresAt(), IssuedAt: found.IssuedAt()}
	require.True(t, got.Scopes.Has("read"))
	if want.Issuer == "" {
		want.Issuer = got.Issuer
	}
	if want.Audience == nil {
		want.Audience = []string{authtest.DefaultAudience}
	}
	if want.Scopes.Len() == 0 {
		want.Scopes = scope.Of("read")
	}
	if want.IssuedAt.IsZero() {
		want.IssuedAt = got.IssuedAt
	}
	if want.ExpiresAt.IsZero() {
		want.ExpiresAt = got.ExpiresAt
	}
	require.Equal(t, want, got)
}

// signed is a valid token whose header and claims are changed; nil takes one away.
func signed(header, claims map[string]any) func(*authtest.Server) string {
	return func(as *authtest.Server) string {
		all := as.Claims(authtest.Claims{Scopes: scope.Of("read")})
		maps.Copy(all, claims)
		maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
		return as.Sign(header, all)
	}
}

// null is a claim that is there and is null.
var null = json.RawMessage("null")

// published has the server publish another key set, made from its own.
func published(contentType string, change func(keys []map[string]any) []map[string]any) func(*authtest.Server) []authtest.Fault {
	return func(as *authtest.Server) []authtest.Fault {
		var set struct {
			Keys []map[string]any `json:"keys"`
		}
		if err := json.Unmarshal(as.JWKS(), &set); err != nil {
			panic(err)
		}
		body, err := json.Marshal(map[string]any{"keys": change(set.Keys)})
		if err != nil {
			panic(err)
		}
		return []authtest.Fault{{Path: "/jwks", Body: body, ContentType: contentType}}
	}
}

func each(change func(key map[string]any)) func([]map[string]any) []map[string]any {
	return func(keys []map[string]any) []map[string]any {
		for _, key := range keys {
			change(key)
		}
		return keys
	}
}

func beside(more ...map[string]any) func([]map[string]any) []map[string]any {
	return func(keys []map[string]any) []map[string]any { return slices.Concat(more, keys) }
}

func same(keys []map[string]any) []map[string]any { return keys }

// user and app are what tokens say by default: for a user, or for the client itself.
var (
	user = bearergate.Claims{Subject: authtest.DefaultSubject, ClientID: authtest.DefaultClientID}
	app  = bearergate.Claims{ClientID: authtest.DefaultClientID}
)

func but(change func(*bearergate.Claims)) bearergate.Claims {
	c := user
	change(&c)
	return c
}

func rfc9068(c *jwtverify.Config) { c.Profile = jwtverify.RFC9068 }

const (
	oauthMetadata = "/.well-known/oauth-authorization-server"
	oidcMetadata  = "/.well-known/openid-configuration"
)

var quirks = []quirk{
	// Tokens.
	{what: "typ JWT, as before RFC 9068", token: signed(map[string]any{"typ": "JWT"}, nil), claims: user},
	{what: "no typ", token: signed(map[string]any{"typ": nil}, nil), claims: user},
	{what: "typ JWT where RFC 9068 is asked for", token: signed(map[string]any{"typ": "JWT"}, nil), config: rfc9068, status: 401, reason: bearergate.ReasonType},
	{what: "x5t beside kid in the header", token: signed(map[string]any{"typ": "JWT", "x5t": "dGVzdA"}, nil), claims: user},
	{what: "scp, an array", token: signed(nil, map[string]any{"scope": nil, "scp": []string{"read", "write"}}),
		claims: but(func(c *bearergate.Claims) { c.Scopes = scope.Of("read", "write") })},
	{what: "scp, a string", token: signed(nil, map[string]any{"scope": nil, "scp": "read write"}),
		claims: but(func(c *bearergate.Claims) { c.Scopes = scope.Of("read", "write") })},
	{what: "scope, an array", token: signed(nil, map[string]any{"scope": []string{"read"}}), claims: user},
	{what: "scope with two spaces and one at its end", token: signed(nil, map[string]any{"scope": "read  write "}),
		claims: but(func(c *bearergate.Claims) { c.Scopes = scope.Of("read", "write") })},
	{what: "roles instead of scopes", token: signed(nil, map[string]any{"scope": nil, "roles": []string{"read"}}), status: 403, reason: bearergate.ReasonScope},
	{what: "aud, a string", token: signed(nil, map[string]any{"aud": authtest.DefaultAudience}), claims: user},
	{what: "aud, an array with the userinfo endpoint", token: signed(nil, map[string]any{"aud": []string{authtest.DefaultAudience, "https://as.example.test/userinfo"}}),
		claims: but(func(c *bearergate.Claims) {
			c.Audience = []string{authtest.DefaultAudience, "https://as.example.test/userinfo"}
		})},
	{what: "aud names a default client and not the API", token: signed(nil, map[string]any{"aud": "account"}), status: 401, reason: bearergate.ReasonAudience},
	{what: "no aud, and the client in client_id", token: signed(map[string]any{"typ": nil}, map[string]any{"aud": nil, "token_use": "access"}), status: 401, reason: bearergate.ReasonMissingClaim},
	{what: "sub null, for a client itself", token: signed(nil, map[string]any{"sub": null}), claims: app},
	{what: "no sub, for a client itself", token: signed(map[string]any{"typ": "JWT"}, map[string]any{"sub": nil}), claims: app},
	{what: "sub null where RFC 9068 is asked for", token: signed(nil, map[string]any{"sub": null}), config: rfc9068, status: 401, reason: bearergate.ReasonMissingClaim},
	{what: "iat and exp with fractions", token: signed(nil, map[string]any{"iat": json.RawMessage("1500000000.25"), "exp": json.RawMessage("32503680000.999999")}),
		claims: but(func(c *bearergate.Claims) {
			c.IssuedAt, c.ExpiresAt = time.Unix(1_500_000_000, 250_000_000).UTC(), time.Unix(32_503_680_000, 999_999_000).UTC()
		})},
	{what: "iat with an exponent", token: signed(nil, map[string]any{"iat": json.RawMessage("1.5e9")}),
		claims: but(func(c *bearergate.Claims) { c.IssuedAt = time.Unix(1_500_000_000, 0).UTC() })},
	{what: "exp, a string", token: signed(nil, map[string]any{"exp": "32503680000"}), status: 401, reason: bearergate.ReasonMalformed},
	{what: "iat in milliseconds", token: signed(nil, map[string]any{"iat": time.Now().UnixMilli()}), status: 401, reason: bearergate.ReasonMalformed},
	{what: "the claim typ Bearer, with azp and realm_access", token: signed(map[string]any{"typ": "JWT"},
		map[string]any{"typ": "Bearer", "azp": "shop", "realm_access": map[string]any{"roles": []string{"a"}}, "acr": "1"}), claims: user},
	{what: "the claim typ Refresh: a refresh token", token: signed(map[string]any{"typ": "JWT"}, map[string]any{"typ": "Refresh"}), status: 401, reason: bearergate.ReasonType},
	{what: "an ID token for the API", token: signed(map[string]any{"typ": "JWT"}, map[string]any{"nonce": "n", "at_hash": "x"}), status: 401, reason: bearergate.ReasonType},
	{what: "no kid, and one key", token: signed(map[string]any{"kid": nil}, nil), claims: user},
	{what: "no kid, and the key of before a rotation beside it", token: func(as *authtest.Server) string {
		as.Rotate()
		return signed(map[string]any{"kid": nil}, nil)(as)
	}, claims: user},
	{what: "a kid that the key set does not have, for the key has none", faults: published("application/json", each(func(k map[string]any) { delete(k, "kid") })), claims: user},

	// Issuers and metadata.
	{what: "an issuer that ends with a slash", options: []authtest.Option{authtest.WithIssuer("https://as.example.test/")},
		claims: but(func(c *bearergate.Claims) { c.Issuer = "https://as.example.test/" })},
	{what: "an issuer with a path that ends with a slash", options: []authtest.Option{authtest.WithIssuer("https://as.example.test/application/o/shop/")},
		claims: but(func(c *bearergate.Claims) { c.Issuer = "https://as.example.test/application/o/shop/" })},
	{what: "a slash in the metadata that is not configured", options: []authtest.Option{authtest.WithMetadata(map[string]any{"issuer": authtest.DefaultIssuer + "/"})},
		status: 503, reason: bearergate.ReasonKeysUnavailable},
	{what: "a slash in iss that is not in the metadata", token: signed(nil, map[string]any{"iss": authtest.DefaultIssuer + "/"}), status: 401, reason: bearergate.ReasonIssuer},
	{what: "a placeholder for the tenant in the metadata", options: []authtest.Option{authtest.WithMetadata(map[string]any{"issuer": "https://as.example.test/{tenantid}/v2.0"})},
		status: 503, reason: bearergate.ReasonKeysUnavailable},
	{what: "discovery under openid-configuration only", faults: missing(oauthMetadata, authtest.Fault{Status: 404}), claims: user},
	{what: "discovery under oauth-authorization-server only", faults: missing(oidcMetadata, authtest.Fault{Status: 404}), claims: user},
	{what: "a login page, as 200, for a path that is not there",
		faults: missing(oauthMetadata, authtest.Fault{Body: []byte("<!doctype html>"), ContentType: "text/html; charset=utf-8"}), claims: user},
	{what: "500 for a path that is not there", faults: missing(oauthMetadata, authtest.Fault{Status: 500}), claims: user},
	{what: "keys on another host", options: []authtest.Option{authtest.WithHosts("keys.example.test"),
		authtest.WithMetadata(map[string]any{"jwks_uri": "https://keys.example.test/jwks"})}, claims: user},
	{what: "keys over http", options: []authtest.Option{authtest.WithMetadata(map[string]any{"jwks_uri": "http://as.example.test/jwks"})},
		status: 503, reason: bearergate.ReasonKeysUnavailable},

	// Key sets.
	{what: "keys without alg", options: []authtest.Option{authtest.WithAlgorithms("RS256")},
		faults: published("application/json", each(func(k map[string]any) { delete(k, "alg") })), claims: user},
	{what: "keys without use", faults: published("application/json", each(func(k map[string]any) { delete(k, "use") })), claims: user},
	{what: "certificates beside the key", options: []authtest.Option{authtest.WithAlgorithms("RS256")}, faults: published("application/json", each(func(k map[string]any) {
		k["x5c"], k["x5t"], k["x5t#S256"] = []string{"MIIC+DCCAeCgAwIBAgIJBIGjYW6hFpn2MA0G"}, "dGVzdA", "dGVzdA"
	})), claims: user},
	{what: "unknown members in a key", faults: published("application/json", each(func(k map[string]any) { k["cloud"], k["nbf"] = "x", 1 })), claims: user},
	{what: "a key for this issuer", faults: published("application/json", each(func(k map[string]any) { k["issuer"] = authtest.DefaultIssuer })), claims: user},
	{what: "a key for another issuer", faults: published("application/json", each(func(k map[string]any) { k["issuer"] = "x" })), status: 401, reason: bearergate.ReasonUnknownKey},
	{what: "keys of unknown types beside good ones", faults: published("application/json", beside(
		map[string]any{"kty": "AKP", "alg": "ML-DSA-65", "kid": "pq", "pub": "AAAA"},
		map[string]any{"kty": "EC", "crv": "secp256k1", "kid": "k1", "x": "AAAA", "y": "AAAA"},
		map[string]any{"kty": "OKP", "crv": "X25519", "kid": "enc", "use": "enc", "x": "AAAA"},
		map[string]any{"kid": "no kty"},
	)), claims: user, skipped: 4},
	{what: "a key for encryption under the same kid", faults: published("application/json", func(keys []map[string]any) []map[string]any {
		enc := maps.Clone(keys[0])
		enc["use"], enc["alg"] = "enc", "ECDH-ES"
		return []map[string]any{enc, keys[0]}
	}), claims: user, skipped: 1},
	{what: "a set as application/json with a charset", faults: published("application/json; charset=utf-8", same), claims: user},
	{what: "a set as application/jwk-set+json", faults: published("application/jwk-set+json", same), claims: user},
	{what: "a set as text/plain", faults: published("text/plain; charset=utf-8", same), claims: user},
	{what: "a set as application/octet-stream, from a bucket", faults: published("application/octet-stream", same), claims: user},
	{what: "a set as text/html", faults: published("text/html", same), status: 503, reason: bearergate.ReasonKeysUnavailable},
	{what: "everything as text/plain", faults: missing("", authtest.Fault{ContentType: "text/plain"}), claims: user},
	{what: "everything as binary/octet-stream, from a bucket", faults: missing("", authtest.Fault{ContentType: "binary/octet-stream"}), claims: user},
	{what: "everything as text/html", faults: missing("", authtest.Fault{ContentType: "text/html"}), status: 503, reason: bearergate.ReasonKeysUnavailable},
	{what: "null for what the server has not", options: []authtest.Option{authtest.WithMetadata(map[string]any{"introspection_endpoint": nil, "revocation_endpoint": nil})},
		faults: published("application/json", each(func(k map[string]any) { k["use"], k["key_ops"], k["d"], k["x5u"] = nil, nil, nil, nil })), claims: user},
	{what: "zip NONE", token: signed(map[string]any{"zip": "NONE"}, nil), claims: user},

	// Errors of servers and of what stands before them.
	{what: "an error in plain text", faults: missing("/jwks", authtest.Fault{Status: 502}), status: 503, reason: bearergate.ReasonKeysUnavailable},
	{what: "an error as 200 in plain text", faults: missing("/jwks", authtest.Fault{Body: []byte("upstream request timeout"), ContentType: "text/plain"}),
		status: 503, reason: bearergate.ReasonKeysUnavailable},
	{what: "an error as 200 in JSON", faults: missing("/jwks", authtest.Fault{Body: []byte(`{"error":"server_error"}`), ContentType: "application/json"}),
		status: 503, reason: bearergate.ReasonKeysUnavailable},
	{what: "429", faults: missing("/jwks", authtest.Fault{Status: 429, RetryAfter: time.Minute}), status: 503, reason: bearergate.ReasonKeysUnavailable},
}

// missing is a fault of one path.
func missing(path string, f authtest.Fault) func(*authtest.Server) []authtest.Fault {
	f.Path = path
	return func(*authtest.Server) []authtest.Fault { return []authtest.Fault{f} }
}

func TestQuirks(t *testing.T) {
	for _, q := range quirks {
		t.Run(q.what, func(t *testing.T) {
			t.Parallel()
			q.run(t)
		})
	}
}

// One kid for all algorithms: the token's alg says which key it means.
func TestQuirkOneKeyIDForSeveralAlgorithms(t *testing.T) {
	as := authtest.New(t, authtest.WithAlgorithms("ES256", "EdDSA", "ES384"))
	for _, f := range published("application/json", each(func(k map[string]any) { k["kid"] = "main" }))(as) {
		as.Fail(f)
	}
	v, err := jwtverify.New(jwtverify.Config{Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client()})
	require.NoError(t, err)
	for _, alg := range []string{"ES256", "EdDSA", "ES384"} {
		rec, reason, found := gated(t, v, signed(map[string]any{"alg": alg, "kid": "main"}, nil)(as))
		require.Empty(t, reason, alg)
		require.Equal(t, http.StatusOK, rec.Code)
		requireClaims(t, user, found)
	}
}

// Caching that is forbidden, or allowed for a year: both are clamped.
func TestQuirkCacheControl(t *testing.T) {
	for _, test := range []struct {
		value         string
		still, refill time.Duration // no fetch before; one after, with the jitter of a tenth
	}{
		{"no-store", 40 * time.Second, 67 * time.Second},
		{"no-cache, no-store, max-age=0, must-revalidate", 40 * time.Second, 67 * time.Second},
		{"max-age=1", 40 * time.Second, 67 * time.Second},
		{"public, max-age=31536000", 43 * time.Minute, 67 * time.Minute},
		{"max-age=\"600\"", 7 * time.Minute, 67 * time.Minute},
	} {
		t.Run(test.value, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				as := authtest.New(t, authtest.WithCacheControl(test.value))
				v, err := jwtverify.New(jwtverify.Config{Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client(), DisableCache: true})
				require.NoError(t, err)
				token := as.Token(authtest.Claims{Scopes: scope.Of("read"), ExpiresAt: time.Now().Add(24 * time.Hour)})
				for _, step := range []struct{ wait, fetches time.Duration }{{0, 1}, {test.still, 1}, {test.refill - test.still, 2}} {
					time.Sleep(step.wait)
					_, reason, found := gated(t, v, token)
					synctest.Wait() // for a fetch in the background
					require.Empty(t, reason)
					requireClaims(t, user, found)
					require.EqualValues(t, step.fetches, as.Requests("/jwks"))
				}
			})
		})
	}
}

// Servers that publish a new key and withdraw the old one in one moment.
func TestQuirkRotationWithoutOverlap(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		as := authtest.New(t)
		v, err := jwtverify.New(jwtverify.Config{Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client()})
		require.NoError(t, err)
		old := as.Token(authtest.Claims{Scopes: scope.Of("read")})
		_, reason, _ := gated(t, v, old)
		require.Empty(t, reason)
		time.Sleep(time.Minute)
		as.Rotate()
		as.Withdraw()
		_, reason, found := gated(t, v, as.Token(authtest.Claims{Scopes: scope.Of("read")}))
		require.Empty(t, reason)
		requireClaims(t, user, found)
		rec, reason, _ := gated(t, v, old)
		require.Equal(t, bearergate.ReasonUnknownKey, reason)
		require.Equal(t, http.StatusUnauthorized, rec.Code)
	})
}

// What introspection endpoints answer.
func TestQuirksOfIntrospection(t *testing.T) {
	const (
		ok     = bearergate.Reason("")
		outage = bearergate.ReasonIntrospectionUnavailable
	)
	for _, test := range []struct {
		what   string
		raw    string // members of the answer
		fault  authtest.Fault
		config func(*introspect.Config)
		status int
		reason bearergate.Reason
		claims bearergate.Claims
	}{
		{what: "token_type bearer in small letters, username and azp", raw: `{"token_type":"bearer","username":"alice","azp":"shop"}`, status: 200, reason: ok, claims: user},
		{what: "sub null, for a client itself", raw: `{"sub":null}`, status: 200, reason: ok, claims: app},
		{what: "aud, an array", raw: `{"aud":["https://api.example.test","account"]}`, status: 200, reason: ok,
			claims: but(func(c *bearergate.Claims) { c.Audience = []string{authtest.DefaultAudience, "account"} })},
		{what: "iat with a fraction", raw: `{"iat":900000000.5}`, status: 200, reason: ok,
			claims: but(func(c *bearergate.Claims) { c.IssuedAt = time.Unix(900_000_000, 500_000_000).UTC() })},
		{what: "scope, an array", raw: `{"scope":["read"]}`, status: 503, reason: outage},
		{what: "scope, an array, allowed", raw: `{"scope":["read"]}`, config: func(c *introspect.Config) { c.AllowScopeArray = true }, status: 200, reason: ok, claims: user},
		{what: "no aud", fault: authtest.Fault{Body: []byte(`{"active":true,"scope":"read","sub":"user-1","client_id":"client-1"}`), ContentType: "application/json"},
			status: 401, reason: bearergate.ReasonMissingClaim},
		{what: "a refresh token", raw: `{"token_type":"Bearer","token_use":"refresh_token"}`, status: 401, reason: bearergate.ReasonType},
		{what: "active, a string", fault: authtest.Fault{Body: []byte(`{"active":"true"}`), ContentType: "application/json"}, status: 503, reason: outage},
		{what: "text/plain", fault: authtest.Fault{ContentType: "text/plain"}, status: 503, reason: outage},
		{what: "an error in plain text", fault: authtest.Fault{Status: 502}, status: 503, reason: outage},
		{what: "400 for a token of unknown form", fault: authtest.Fault{Status: 400}, status: 503, reason: outage},
		{what: "403 for a client that may not ask", fault: authtest.Fault{Status: 403}, status: 500, reason: bearergate.ReasonConfig},
	} {
		t.Run(test.what, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) { // a retry waits
				as := authtest.New(t, authtest.WithClient("api", "secret"))
				test.fault.Path = "/introspect"
				as.Fail(test.fault)
				config := introspect.Config{Issuer: as.Issuer(), Auth: introspect.BasicAuth("api", "secret"), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client()}
				if test.config != nil {
					test.config(&config)
				}
				client, err := introspect.New(config)
				require.NoError(t, err)
				claims := authtest.Claims{Scopes: scope.Of("read")}
				if test.raw != "" {
					claims.Raw = []byte(test.raw)
				}
				if strings.Contains(test.raw, `"scope"`) {
					claims.Scopes = scope.Set{} // Raw has them
				}
				token := as.Opaque(claims)
				for range 2 { // the second from the cache, if it is an answer
					rec, reason, found := gated(t, client, token)
					require.Equal(t, test.reason, reason)
					require.Equal(t, test.status, rec.Code)
					if test.reason == ok {
						requireClaims(t, test.claims, found)
						require.False(t, found.IsClient(), "a server may leave out the sub of a user")
					}
				}
			})
		})
	}
}
