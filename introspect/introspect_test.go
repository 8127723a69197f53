package introspect_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/issuers"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/scope"
	"github.com/stretchr/testify/require"
)

var (
	unavailable   = bearergate.ErrUnavailable
	misconfigured = bearergate.ErrMisconfigured
	invalid       = bearergate.ErrInvalidToken
)

func TestDefaults(t *testing.T) {
	require.Equal(t, 5*time.Second, introspect.DefaultLeeway)
	require.Equal(t, 5*time.Minute, introspect.MaxLeeway)
	require.Equal(t, 16<<10, introspect.DefaultMaxTokenBytes)
	require.Equal(t, 30*time.Second, introspect.DefaultPositiveTTL)
	require.Equal(t, 10*time.Second, introspect.NoExpiryTTL)
	require.Equal(t, 5*time.Second, introspect.DefaultNegativeTTL)
	require.Equal(t, 3*time.Second, introspect.DefaultTimeout)
	require.Equal(t, 64, introspect.DefaultMaxCalls)
	require.Equal(t, 64<<10, introspect.DefaultMaxResponseBytes)
	require.Equal(t, 8192, introspect.DefaultCacheEntries)
	require.Equal(t, 32<<20, introspect.DefaultCacheBytes)
	require.Equal(t, 100*time.Millisecond, introspect.DefaultStoreTimeout)
	require.Equal(t, 5*time.Minute, introspect.MaxTTL)
	require.Equal(t, time.Hour, introspect.MaxStaleLimit)
	require.Equal(t, 5, introspect.BreakerFailures)
	require.Equal(t, time.Second, introspect.BreakerMinOpen)
	require.Equal(t, 30*time.Second, introspect.BreakerMaxOpen)
	transport, ok := introspect.DefaultHTTPClient().Transport.(*http.Transport)
	require.True(t, ok)
	require.Equal(t, 5*time.Second, transport.IdleConnTimeout)
	require.Nil(t, transport.Proxy)
}

func TestNewNamesEveryMistake(t *testing.T) {
	s := newServer()
	otherKeys, err := jwks.New(jwks.Config{Issuer: "https://other.example.com"})
	require.NoError(t, err)
	for _, tt := range []struct {
		name   string
		change func(*introspect.Config)
		says   []string
	}{
		{"nothing set", func(c *introspect.Config) { *c = introspect.Config{} }, []string{"Issuer is empty", "Auth is nil", "Audiences is empty"}},
		{"issuer", func(c *introspect.Config) { c.Issuer = "" }, []string{"Issuer is empty"}},
		{"issuer not to discover", func(c *introspect.Config) { c.Issuer, c.Endpoint = "as", "" }, []string{"Issuer"}},
		{"auth", func(c *introspect.Config) { c.Auth = nil }, []string{"Auth is nil"}}, // req: R7662-04
		{"basic without id", func(c *introspect.Config) { c.Auth = introspect.BasicAuth("", "x") }, []string{"Auth: introspect.BasicAuth"}},
		{"post without secret", func(c *introspect.Config) { c.Auth = introspect.PostAuth("x", "") }, []string{"Auth: introspect.PostAuth"}},
		{"bearer nil", func(c *introspect.Config) { c.Auth = introspect.BearerAuth(nil) }, []string{"Auth: introspect.BearerAuth"}},
		{"key nil", func(c *introspect.Config) { c.Auth = introspect.PrivateKeyJWT("x", nil, introspect.Assertion{}) }, []string{"Auth: introspect.PrivateKeyJWT"}},
		{"key typed nil", func(c *introspect.Config) {
			c.Auth = introspect.PrivateKeyJWT("x", (*ecdsa.PrivateKey)(nil), introspect.Assertion{})
		}, []string{"Auth: introspect.PrivateKeyJWT"}},
		{"nothing embedded", func(c *introspect.Config) { c.Auth = embeddedAuth{} }, []string{"Auth", "BasicAuth"}},
		{"key without curve", func(c *introspect.Config) {
			c.Auth = introspect.PrivateKeyJWT("x", &ecdsa.PrivateKey{}, introspect.Assertion{})
		}, []string{"Auth: introspect.PrivateKeyJWT", "key"}},
		{"key cut off", func(c *introspect.Config) {
			c.Auth = introspect.PrivateKeyJWT("x", ed25519.PrivateKey{1}, introspect.Assertion{})
		}, []string{"Auth: introspect.PrivateKeyJWT", "key"}},
		{"empty RSA key", func(c *introspect.Config) {
			c.Auth = introspect.PrivateKeyJWT("x", &rsa.PrivateKey{}, introspect.Assertion{})
		}, []string{"Auth: introspect.PrivateKeyJWT", "key"}},
		{"key that panics", func(c *introspect.Config) {
			c.Auth = introspect.PrivateKeyJWT("x", brokenKey{}, introspect.Assertion{})
		}, []string{"Auth: introspect.PrivateKeyJWT", "key"}},
		{"keys that panic", func(c *introspect.Config) { c.Signing, c.Keys = introspect.SignedRequired, brokenKeys{} }, []string{"Keys cannot be used"}},
		{"store timeout", func(c *introspect.Config) {
			c.Store, c.StoreKey, c.StoreTimeout = newStore(), introspect.NewSecret(make([]byte, 32)), introspect.DefaultTimeout/3+1
		}, []string{"StoreTimeout"}},
		{"certificate without id", func(c *introspect.Config) { c.Auth = introspect.CertificateAuth("") }, []string{"Auth: introspect.CertificateAuth"}},
		{"audiences", func(c *introspect.Config) { c.Audiences = nil }, []string{"Audiences is empty"}},
		{"empty audience", func(c *introspect.Config) { c.Audiences = []string{audience, ""} }, []string{"empty string"}},
		{"http", func(c *introspect.Config) { c.Endpoint = "http://as.example.com/introspect" }, []string{"Endpoint must be https"}}, // req: R7662-01, INT-048
		{"userinfo", func(c *introspect.Config) { c.Endpoint = "https://a:b@as.example.com/" }, []string{"user information"}},
		{"leeway", func(c *introspect.Config) { c.Leeway = time.Hour }, []string{"Leeway"}},
		{"both leeways", func(c *introspect.Config) { c.Leeway, c.NoLeeway = 1, true }, []string{"choose one"}},
		{"ttl", func(c *introspect.Config) { c.PositiveTTL, c.NegativeTTL = time.Hour, -1 }, []string{"PositiveTTL", "NegativeTTL"}},
		{"stale", func(c *introspect.Config) { c.MaxStale = 2 * time.Hour }, []string{"MaxStale"}},
		{"bytes", func(c *introspect.Config) { c.MaxTokenBytes, c.MaxResponseBytes = -1, -1 }, []string{"MaxTokenBytes", "MaxResponseBytes"}},
		{"live and cache", func(c *introspect.Config) { c.DisableCache, c.PositiveTTL = true, time.Second }, []string{"DisableCache"}},
		{"live and stale", func(c *introspect.Config) { c.DisableCache, c.MaxStale = true, time.Second }, []string{"DisableCache"}},
		{"live and store", func(c *introspect.Config) {
			c.DisableCache, c.Store, c.StoreKey = true, newStore(), introspect.NewSecret(make([]byte, 32))
		}, []string{"DisableCache"}},
		{"store without key", func(c *introspect.Config) { c.Store = newStore() }, []string{"StoreKey has 0 bytes"}},
		{"store with short key", func(c *introspect.Config) { c.Store, c.StoreKey = newStore(), introspect.NewSecret(make([]byte, 31)) }, []string{"StoreKey has 31 bytes"}},
		{"key without store", func(c *introspect.Config) { c.StoreKey = introspect.NewSecret(make([]byte, 32)) }, []string{"StoreKey is set without Store"}},
		{"nil store", func(c *introspect.Config) { c.Store = (*store)(nil) }, []string{"Store is a nil"}},
		{"store of nobody", func(c *introspect.Config) {
			c.Auth = introspect.BearerAuth(func(context.Context) (string, error) { return "x", nil })
			c.Store, c.StoreKey = newStore(), introspect.NewSecret(make([]byte, 32))
		}, []string{"ClientID is empty"}},
		{"signing", func(c *introspect.Config) { c.Signing = 7 }, []string{"Signing 7"}},
		{"keys unused", func(c *introspect.Config) { c.Keys = otherKeys }, []string{"set Signing"}},
		{"algorithms unused", func(c *introspect.Config) { c.Algorithms = []string{"ES256"} }, []string{"set Signing"}},
		{"answer audiences unused", func(c *introspect.Config) { c.AnswerAudiences = []string{clientID} }, []string{"set Signing"}},
		{"keys of another", func(c *introspect.Config) { c.Signing, c.Keys = introspect.SignedRequired, otherKeys }, []string{"Keys belong to"}},
		{"nil keys", func(c *introspect.Config) { c.Signing, c.Keys = introspect.SignedRequired, (*jwks.Cache)(nil) }, []string{"Keys is a nil"}},
		{"none", func(c *introspect.Config) { c.Signing, c.Algorithms = introspect.SignedRequired, []string{"none"} }, []string{`"none"`}},
		{"answer audience", func(c *introspect.Config) {
			c.Signing, c.Auth = introspect.SignedRequired, introspect.BearerAuth(func(context.Context) (string, error) { return "x", nil })
		}, []string{"AnswerAudiences is empty"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client, err := introspect.New(with(config(s), tt.change))
			require.Nil(t, client)
			require.ErrorIs(t, err, misconfigured)
			require.Equal(t, bearergate.ReasonConfig, bearergate.ReasonOf(err))
			for _, text := range tt.says {
				require.Contains(t, err.Error(), text)
			}
			require.NotContains(t, err.Error(), secret)
		})
	}
	require.Zero(t, s.requests())
	// What Signing is for is not judged when nobody knows what it is.
	_, err = introspect.New(with(config(s), func(c *introspect.Config) { c.Signing, c.Keys = 7, otherKeys }))
	require.ErrorIs(t, err, misconfigured)
	require.NotContains(t, err.Error(), "Keys belong to")
	_, err = introspect.New(with(config(s), func(c *introspect.Config) { c.Signing, c.Issuer = introspect.SignedRequired, "" }))
	require.ErrorIs(t, err, misconfigured)
	require.NotContains(t, err.Error(), "discover keys")
}

// The largest values are taken, and nothing beyond.
func TestLimits(t *testing.T) {
	for name, at := range map[string]func(c *introspect.Config, more int){
		"Leeway":      func(c *introspect.Config, more int) { c.Leeway = introspect.MaxLeeway + time.Duration(more) },
		"Timeout":     func(c *introspect.Config, more int) { c.Timeout = introspect.MaxTimeout + time.Duration(more) },
		"PositiveTTL": func(c *introspect.Config, more int) { c.PositiveTTL = introspect.MaxTTL + time.Duration(more) },
		"NegativeTTL": func(c *introspect.Config, more int) { c.NegativeTTL = introspect.MaxTTL + time.Duration(more) },
		"MaxStale":    func(c *introspect.Config, more int) { c.MaxStale = introspect.MaxStaleLimit + time.Duration(more) },
		"StoreTimeout": func(c *introspect.Config, more int) {
			c.StoreTimeout = introspect.DefaultTimeout/3 + time.Duration(more)
		},
		"MaxTokenBytes":    func(c *introspect.Config, more int) { c.MaxTokenBytes = introspect.MaxTokenBytesLimit + more },
		"MaxCalls":         func(c *introspect.Config, more int) { c.MaxCalls = 1<<16 + more },
		"MaxResponseBytes": func(c *introspect.Config, more int) { c.MaxResponseBytes = 16<<20 + int64(more) },
		"CacheEntries":     func(c *introspect.Config, more int) { c.CacheEntries = 1<<24 + more },
		"CacheBytes":       func(c *introspect.Config, more int) { c.CacheBytes = 1<<40 + int64(more) },
	} {
		t.Run(name, func(t *testing.T) {
			requireAccepted(t, newClient(t, with(config(newServer()), func(c *introspect.Config) { at(c, 0) })), opaque)
			_, err := introspect.New(with(config(newServer()), func(c *introspect.Config) { at(c, 1) }))
			require.ErrorIs(t, err, misconfigured)
			require.ErrorContains(t, err, name+" is ")
		})
	}
}

func TestHTTPOnLoopback(t *testing.T) {
	for _, c := range []introspect.Config{
		with(config(newServer()), func(c *introspect.Config) { c.Endpoint = "http://localhost:8080/introspect" }),
		with(config(newServer()), func(c *introspect.Config) { c.Endpoint = "http://127.0.0.1/introspect" }),
		with(config(newServer()), func(c *introspect.Config) { c.Endpoint, c.InsecureAllowHTTP = "http://as.internal/", true }),
		with(config(newServer()), func(c *introspect.Config) { c.Endpoint, c.Issuer = "", "http://localhost:8080" }),
	} {
		requireAccepted(t, newClient(t, with(c, func(c *introspect.Config) {
			if c.Endpoint == "" {
				c.Endpoint = endpoint
				c.InsecureAnyAudience = true
				s := newServer()
				s.answers[opaque] = answer(map[string]any{"iss": absent})
				c.HTTPClient = &http.Client{Transport: s}
			}
		})), opaque)
	}
}

func TestZeroClient(t *testing.T) {
	for _, c := range []*introspect.Client{nil, {}} {
		tok, err := c.Verify(context.Background(), opaque)
		requireError(t, tok, err, misconfigured, bearergate.ReasonConfig)
		require.False(t, c.Live())
		c.Purge(opaque)
		c.PurgeAll()
	}
}

func TestVerify(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
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
	synctest.Test(t, func(t *testing.T) {
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
		require.True(t, tok.IsClient())
		s.answers["no-sub"] = answer(map[string]any{"sub": absent})
		require.True(t, requireAccepted(t, client, "no-sub").IsClient())
	})
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
		protocol("INT-027 exp string", set("exp", "1")), protocol("exp null", set("exp", nil)),
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
		protocol("iss array", set("iss", []string{issuer})), protocol("iss null", set("iss", nil)),
		valid("iss missing", set("iss", absent)),
		refused("INT-029 R7662-13 aud", set("aud", "https://other.example.com/"), bearergate.ReasonAudience),
		refused("aud prefix", set("aud", audience+"x"), bearergate.ReasonAudience),
		refused("aud of others", set("aud", []string{"a", "b"}), bearergate.ReasonAudience),
		refused("INT-030 aud missing", set("aud", absent), bearergate.ReasonMissingClaim),
		refused("aud empty array", set("aud", []string{}), bearergate.ReasonMissingClaim),
		refused("aud empty", set("aud", ""), bearergate.ReasonMissingClaim),
		protocol("aud null", set("aud", nil)), protocol("aud number", set("aud", []any{audience, 7})),
		valid("INT-031 aud array", set("aud", []string{"x", audience})),
		protocol("INT-033 R7662-09 scope array", set("scope", []string{"read"})),
		protocol("scope number", set("scope", 7)), protocol("scope null", set("scope", nil)),
		valid("scope empty", set("scope", "")), valid("scope missing", set("scope", absent)),
		refused("INT-036 MTL-017 R8705-04 cnf", set("cnf", map[string]any{"x5t#S256": "abc"}), bearergate.ReasonBinding),
		refused("cnf jkt", set("cnf", map[string]any{"jkt": "abc"}), bearergate.ReasonBinding),
		protocol("cnf empty", set("cnf", map[string]any{})), protocol("cnf string", set("cnf", "abc")),
		protocol("cnf null", set("cnf", nil)), protocol("cnf number", set("cnf", map[string]any{"x5t#S256": 1})),
		protocol("cnf empty value", set("cnf", map[string]any{"x5t#S256": ""})),
		refused("DPoP", set("token_type", "DPoP"), bearergate.ReasonBinding),
		refused("token_type empty", set("token_type", ""), bearergate.ReasonBinding),
		protocol("token_type null", set("token_type", nil)),
		valid("token_type bearer", set("token_type", "bEARER")), valid("token_type missing", set("token_type", absent)),
		refused("refresh token, Keycloak", set("typ", "Refresh"), bearergate.ReasonType),
		refused("ID token, Keycloak", set("typ", "ID"), bearergate.ReasonType),
		refused("refresh token, Hydra", set("token_use", "refresh_token"), bearergate.ReasonType),
		valid("access token, Hydra", set("token_use", "access_token")), valid("access token, Keycloak", set("typ", "Bearer")),
		refused("ID token by at_hash", set("at_hash", "x"), bearergate.ReasonType),
		refused("nonce", set("nonce", "x"), bearergate.ReasonType),
		protocol("client_id number", set("client_id", 1)), protocol("act string", set("act", "x")),
		protocol("sub number", set("sub", 1)), protocol("jti object", set("jti", map[string]any{})),
		protocol("auth_time string", set("auth_time", "1")), protocol("acr array", set("acr", []string{"x"})),
		valid("username of any type", set("username", 7)),
	} {
		t.Run(tt.id, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
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
				// req: INT-040: an error is not remembered, as anything.
				if errors.Is(err, unavailable) || errors.Is(err, misconfigured) {
					s.fail(nil)
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

func TestRetryAfterIsHandedOn(t *testing.T) {
	s := newServer()
	s.fail(status(429, "Retry-After", "7"))
	err := requireRefused(t, newClient(t, config(s)), opaque, unavailable, bearergate.ReasonIntrospectionUnavailable)
	require.Equal(t, 7*time.Second, bearergate.AsError(err).RetryAfter)
	require.Equal(t, 1, s.requests()) // not tried again
}

func TestRelaxations(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer map[string]any
		change func(*introspect.Config)
		reason bearergate.Reason
	}{
		{"no aud", map[string]any{"aud": absent}, func(c *introspect.Config) { c.AllowMissingAudience = true }, ""},
		{"no aud, but another", map[string]any{"aud": "x"}, func(c *introspect.Config) { c.AllowMissingAudience = true }, bearergate.ReasonAudience},
		{"no aud, but empty", map[string]any{"aud": []string{}}, func(c *introspect.Config) { c.AllowMissingAudience = true }, bearergate.ReasonMissingClaim},
		{"any aud", map[string]any{"aud": "x"}, func(c *introspect.Config) { c.InsecureAnyAudience, c.Audiences = true, nil }, ""},
		{"any aud, none", map[string]any{"aud": absent}, func(c *introspect.Config) { c.InsecureAnyAudience, c.Audiences = true, nil }, ""},
		{"scope array", map[string]any{"scope": []string{"read", "write"}}, func(c *introspect.Config) { c.AllowScopeArray = true }, ""}, // req: R7662-09
		{"cnf", map[string]any{"cnf": map[string]any{"x5t#S256": "x"}}, func(c *introspect.Config) { c.Confirmations = []string{"x5t#S256"} }, ""},
		{"cnf and another", map[string]any{"cnf": map[string]any{"x5t#S256": "x", "jkt": "y"}}, func(c *introspect.Config) { c.Confirmations = []string{"x5t#S256"} }, bearergate.ReasonBinding},
		{"DPoP in spite of jkt", map[string]any{"token_type": "DPoP", "cnf": map[string]any{"jkt": "y"}}, func(c *introspect.Config) { c.Confirmations = []string{"jkt"} }, bearergate.ReasonBinding},
		{"leeway", map[string]any{"exp": absent, "nbf": time.Now().Add(time.Minute).Unix()}, func(c *introspect.Config) { c.Leeway = 2 * time.Minute }, ""},
		{"no leeway", map[string]any{"nbf": time.Now().Add(4 * time.Second).Unix()}, func(c *introspect.Config) { c.NoLeeway = true }, bearergate.ReasonNotYetValid},
		{"now", map[string]any{"exp": 1000, "iat": 900}, func(c *introspect.Config) { c.Now = func() time.Time { return time.Unix(950, 0) } }, ""},
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

// What is no token is not sent to anybody.
func TestRefusedWithoutACall(t *testing.T) {
	s := newServer()
	client := newClient(t, with(config(s), func(c *introspect.Config) {
		c.Accept = func(token string) bool {
			require.NotContains(t, token, " ", "what is no token is not shown to Accept")
			return !strings.HasPrefix(token, "foreign")
		}
		c.MaxTokenBytes = 100
	}))
	requireRefused(t, client, "", bearergate.ErrMissingToken, bearergate.ReasonNoToken)
	requireRefused(t, client, "foreign-token", invalid, bearergate.ReasonMalformed)
	requireRefused(t, client, strings.Repeat("a", 101), invalid, bearergate.ReasonTooLarge)
	for _, bad := range []string{"=", "a=b", "a b", " a", "a\n", "a&token=b", "a%41", "ü", "a\x00", `a"`, "a,b", "a`b", "a{b", "a@b", "a[b", "a:b"} {
		requireRefused(t, client, bad, invalid, bearergate.ReasonMalformed)
	}
	require.Zero(t, s.requests())
	s.answers["a-._~+/9=="] = answer(nil)
	requireAccepted(t, client, "a-._~+/9==")
	require.Equal(t, "a-._~+/9==", s.form.Get("token"))

	requireRefused(t, newClient(t, config(s)), strings.Repeat("a", 16<<10+1), invalid, bearergate.ReasonTooLarge)
	requireRefused(t, newClient(t, config(s)), strings.Repeat("a", 16<<10), invalid, bearergate.ReasonInactive)
}

// req: R7662-02, R7662-03, R7662-04, R7662-05
func TestRequest(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	for _, tt := range []struct {
		name string
		auth introspect.Auth
		see  func(t *testing.T, r *http.Request, form url.Values)
	}{
		{"client_secret_basic", introspect.BasicAuth("a:b c", secret), func(t *testing.T, r *http.Request, form url.Values) {
			raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(r.Header.Get("Authorization"), "Basic "))
			require.NoError(t, err)
			require.Equal(t, "a%3Ab+c:s3cr3t%2Fof%2Bthe%3Aclient", string(raw)) // form-encoded first (RFC 6749 section 2.3.1)
			require.Empty(t, form.Get("client_id"))
		}},
		{"client_secret_post", introspect.PostAuth(clientID, secret), func(t *testing.T, r *http.Request, form url.Values) {
			require.Empty(t, r.Header.Get("Authorization"))
			require.Equal(t, clientID, form.Get("client_id"))
			require.Equal(t, secret, form.Get("client_secret"))
		}},
		{"bearer", introspect.BearerAuth(func(context.Context) (string, error) { return "our-own", nil }), func(t *testing.T, r *http.Request, form url.Values) {
			require.Equal(t, "Bearer our-own", r.Header.Get("Authorization"))
		}},
		{"certificate", introspect.CertificateAuth(clientID), func(t *testing.T, r *http.Request, form url.Values) {
			require.Empty(t, r.Header.Get("Authorization"))
			require.Equal(t, clientID, form.Get("client_id"))
		}},
		{"private_key_jwt", introspect.PrivateKeyJWT(clientID, key, introspect.Assertion{KeyID: "k1"}), func(t *testing.T, r *http.Request, form url.Values) {
			require.Equal(t, "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", form.Get("client_assertion_type"))
			jws, err := jose.Parse(form.Get("client_assertion"), 1<<14)
			require.NoError(t, err)
			require.Equal(t, "k1", jws.Header.KeyID)
			require.Equal(t, "ES256", jws.Header.Algorithm)
			pub, err := jwks.NewKey("k1", key.Public())
			require.NoError(t, err)
			require.NoError(t, pub.Verify("ES256", jws.Signed, jws.Signature))
			var claims map[string]any
			require.NoError(t, json.Unmarshal(jws.Payload, &claims))
			require.Equal(t, clientID, claims["iss"])
			require.Equal(t, clientID, claims["sub"])
			require.Equal(t, issuer, claims["aud"])
			require.InDelta(t, time.Now().Unix(), claims["iat"], 5)
			require.Equal(t, 60.0, claims["exp"].(float64)-claims["iat"].(float64))
			require.Len(t, claims["jti"], 26)
			require.False(t, seenJTI[claims["jti"].(string)])
			seenJTI[claims["jti"].(string)] = true
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer()
			client := newClient(t, with(config(s), func(c *introspect.Config) {
				c.Auth, c.TokenTypeHint, c.DisableCache = tt.auth, "access_token", true
			}))
			for range 2 {
				requireAccepted(t, client, opaque)
				require.Equal(t, http.MethodPost, s.last.Method)
				require.Equal(t, endpoint, s.last.URL.String()) // nothing in the query
				require.Equal(t, "application/x-www-form-urlencoded", s.last.Header.Get("Content-Type"))
				require.Equal(t, "application/json", s.last.Header.Get("Accept"))
				require.Equal(t, []string{opaque}, s.form["token"])
				require.Equal(t, "access_token", s.form.Get("token_type_hint"))
				tt.see(t, s.last, s.form)
			}
			require.Equal(t, 2, s.requests())
		})
	}
}

var seenJTI = map[string]bool{}

func TestAssertionAlgorithms(t *testing.T) {
	for _, alg := range []string{"RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA"} {
		key, err := jose.GenerateKey(alg)
		require.NoError(t, err)
		s := newServer()
		a := introspect.Assertion{Algorithm: alg, Audience: "https://as.example.com/token"}
		requireAccepted(t, newClient(t, with(config(s), func(c *introspect.Config) { c.Auth = introspect.PrivateKeyJWT(clientID, key, a) })), opaque)
		jws, err := jose.Parse(s.form.Get("client_assertion"), 1<<14)
		require.NoError(t, err)
		pub, err := jwks.NewKey("", key.Public())
		require.NoError(t, err)
		require.NoError(t, pub.Verify(alg, jws.Signed, jws.Signature))
		require.Contains(t, string(jws.Payload), `"aud":"https://as.example.com/token"`)

		a.Algorithm = map[bool]string{true: "RS256", false: "EdDSA"}[alg == "EdDSA"]
		_, err = introspect.New(with(config(s), func(c *introspect.Config) { c.Auth = introspect.PrivateKeyJWT(clientID, key, a) }))
		require.ErrorIs(t, err, misconfigured)
	}
}

// Credentials that cannot be made are an outage, or our own mistake; never the
// token's, whatever error stands behind.
func TestBearerAuthFails(t *testing.T) {
	for _, tt := range []struct {
		name   string
		token  string
		err    error
		panics bool
		kind   error
		reason bearergate.Reason
	}{
		{"error", "", errors.New(secret), false, unavailable, bearergate.ReasonIntrospectionUnavailable},
		{"misconfigured", "", &bearergate.Error{Kind: misconfigured}, false, misconfigured, bearergate.ReasonConfig},
		{"invalid token", "", &bearergate.Error{Kind: invalid}, false, unavailable, bearergate.ReasonIntrospectionUnavailable},
		{"canceled", "", context.Canceled, false, unavailable, bearergate.ReasonIntrospectionUnavailable},
		{"no token", "a\r\nb: c", nil, false, unavailable, bearergate.ReasonIntrospectionUnavailable},
		{"empty", "", nil, false, unavailable, bearergate.ReasonIntrospectionUnavailable},
		{"panic", "", nil, true, unavailable, bearergate.ReasonIntrospectionUnavailable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer()
			client := newClient(t, with(config(s), func(c *introspect.Config) {
				c.Auth = introspect.BearerAuth(func(context.Context) (string, error) {
					if tt.panics {
						panic(secret)
					}
					return tt.token, tt.err
				})
			}))
			err := requireRefused(t, client, opaque, tt.kind, tt.reason)
			require.NotContains(t, err.Error(), secret)
			require.NotErrorIs(t, err, context.Canceled)
			require.Zero(t, s.requests())
		})
	}
}

func TestCheck(t *testing.T) {
	s := newServer()
	own := errors.New("blocked")
	var result error
	calls := 0
	client := newClient(t, with(config(s), func(c *introspect.Config) {
		c.Check = func(_ context.Context, tok *bearergate.Token) error {
			calls++
			require.Equal(t, "user-1", tok.Subject())
			return result
		}
	}))
	requireAccepted(t, client, opaque)
	result = own
	err := requireRefused(t, client, opaque, invalid, bearergate.ReasonPolicy)
	require.ErrorIs(t, err, own)
	result = bearergate.ErrInsufficientAuthentication
	requireRefused(t, client, opaque, bearergate.ErrInsufficientAuthentication, bearergate.ReasonAuthentication)
	result = fmt.Errorf("revocation list: %w", context.DeadlineExceeded)
	requireRefused(t, client, opaque, unavailable, bearergate.ReasonCanceled)
	require.Equal(t, 4, calls)
	require.Equal(t, 1, s.requests())
}

func TestPanics(t *testing.T) {
	s := newServer()
	for name, change := range map[string]func(*introspect.Config){
		"Accept": func(c *introspect.Config) { c.Accept = func(string) bool { panic(secret) } },
		"Check":  func(c *introspect.Config) { c.Check = func(context.Context, *bearergate.Token) error { panic(secret) } },
	} {
		t.Run(name, func(t *testing.T) {
			var events []introspect.PanicEvent
			client := newClient(t, with(config(s), func(c *introspect.Config) {
				c.Hooks.Panicked = func(_ context.Context, e introspect.PanicEvent) { events = append(events, e); panic("again") }
				change(c)
			}))
			err := requireRefused(t, client, opaque, misconfigured, bearergate.ReasonInternal)
			require.NotContains(t, err.Error(), secret)
			require.Equal(t, []introspect.PanicEvent{{Where: "Verify", Type: "string"}}, events)
		})
	}
	broken := newClient(t, with(config(s), func(c *introspect.Config) { c.Now = func() time.Time { panic(secret) } }))
	requireRefused(t, broken, opaque, unavailable, bearergate.ReasonIntrospectionUnavailable) // in the shared call
}

// One caller's end is not the others', and not the server's fault.
func TestCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		s.delay = time.Second
		client := newClient(t, config(s))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		tok, err := client.Verify(ctx, opaque)
		requireError(t, tok, err, unavailable, bearergate.ReasonCanceled)
		require.ErrorIs(t, err, context.Canceled)
		require.Zero(t, s.requests())

		ctx, cancel = context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		start := time.Now()
		tok, err = client.Verify(ctx, opaque)
		requireError(t, tok, err, unavailable, bearergate.ReasonCanceled)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 100*time.Millisecond, time.Since(start))
		time.Sleep(time.Second) // the call goes on, and is not wasted
		requireAccepted(t, client, opaque)
		require.Equal(t, 1, s.requests())
	})
}

func TestDiscovery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		s.answers[opaque] = answer(map[string]any{"exp": absent})
		where := endpoint
		s.metadata = func(r *http.Request) *http.Response {
			return reply(200, "application/json", encode(map[string]any{"issuer": issuer, "introspection_endpoint": where}))
		}
		client := newClient(t, with(config(s), func(c *introspect.Config) { c.Endpoint, c.DisableCache = "", true }))
		for range 3 {
			requireAccepted(t, client, opaque)
		}
		require.Equal(t, 1, s.reads)
		require.Equal(t, endpoint, s.last.URL.String())

		s.set(func(*server) { where = "https://as.example.com/moved" })
		time.Sleep(time.Hour)
		requireAccepted(t, client, opaque) // nobody waits for the document
		synctest.Wait()
		requireAccepted(t, client, opaque)
		require.Equal(t, 2, s.reads)
		require.Equal(t, "https://as.example.com/moved", s.last.URL.String())

		// A call that fails makes the document suspect.
		s.set(func(*server) { where = "https://as.example.com/again" })
		time.Sleep(10 * time.Second)
		s.fail(status(404))
		requireRefused(t, client, opaque, unavailable, bearergate.ReasonIntrospectionUnavailable)
		s.fail(nil)
		synctest.Wait()
		requireAccepted(t, client, opaque)
		require.Equal(t, "https://as.example.com/again", s.last.URL.String())

		// Not one that fails for the token's sake.
		time.Sleep(10 * time.Second)
		reads := s.reads
		s.fail(status(500))
		requireRefused(t, client, opaque, unavailable, bearergate.ReasonIntrospectionUnavailable)
		s.fail(nil)
		synctest.Wait()
		require.Equal(t, reads, s.reads)

		// A document that cannot be read any more serves for another hour.
		s.set(func(s *server) { s.metadata = nil })
		time.Sleep(time.Hour)
		requireAccepted(t, client, opaque)
		time.Sleep(time.Hour)
		requireRefused(t, client, opaque, unavailable, bearergate.ReasonIntrospectionUnavailable)
	})
}

func TestDiscoveryRefuses(t *testing.T) {
	for name, doc := range map[string]map[string]any{
		"another issuer": {"issuer": "https://as.example.com", "introspection_endpoint": endpoint},
		"no endpoint":    {"issuer": issuer},
		"http":           {"issuer": issuer, "introspection_endpoint": "http://as.example.com/introspect"},
		"loopback http":  {"issuer": issuer, "introspection_endpoint": "http://127.0.0.1/introspect"},
		"not a string":   {"issuer": issuer, "introspection_endpoint": 7},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer()
			s.metadata = func(*http.Request) *http.Response { return reply(200, "application/json", encode(doc)) }
			client := newClient(t, with(config(s), func(c *introspect.Config) { c.Endpoint = "" }))
			requireRefused(t, client, opaque, unavailable, bearergate.ReasonIntrospectionUnavailable)
			require.Zero(t, s.requests())
		})
	}
}

// A transport that is out of order while the document is read costs its time,
// and nothing is kept of it.
func TestDiscoveryIsIsolated(t *testing.T) {
	for name, tt := range map[string]struct {
		fault         func()
		timeout, took time.Duration
	}{
		"panics":                {func() { panic(secret) }, introspect.DefaultTimeout, 0},
		"ends its goroutine":    {runtime.Goexit, introspect.DefaultTimeout, 0},
		"deaf":                  {func() { time.Sleep(time.Minute) }, introspect.DefaultTimeout, introspect.DefaultTimeout/2 + 100*time.Millisecond},
		"deaf, and little time": {func() { time.Sleep(time.Minute) }, 90 * time.Millisecond, 90 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer()
				s.metadata = func(*http.Request) *http.Response { tt.fault(); return reply(500, "", "") }
				client := newClient(t, with(config(s), func(c *introspect.Config) { c.Endpoint, c.Timeout = "", tt.timeout }))
				start := time.Now()
				err := requireRefused(t, client, opaque, unavailable, bearergate.ReasonIntrospectionUnavailable)
				require.NotContains(t, err.Error(), secret)
				require.Equal(t, tt.took, time.Since(start))
				require.Zero(t, s.requests())
				time.Sleep(2 * time.Minute)
				s.set(func(s *server) {
					s.metadata = func(*http.Request) *http.Response {
						return reply(200, "application/json", encode(map[string]any{"issuer": issuer, "introspection_endpoint": endpoint}))
					}
				})
				requireAccepted(t, client, opaque)
			})
		})
	}
}

var _ bearergate.Verifier = (*introspect.Client)(nil)

// What is wrong with the metadata, or with one token, makes nobody wait who
// could be answered, and the server is not asked for it on every call.
func TestDiscoveryInTheBackground(t *testing.T) {
	good := func(*http.Request) *http.Response {
		return reply(200, "application/json", encode(map[string]any{"issuer": issuer, "introspection_endpoint": endpoint}))
	}
	odd := func(_ *http.Request, form url.Values) (*http.Response, error) {
		if form.Get("token") == "odd" {
			return reply(404, "text/plain", "no"), nil
		}
		return reply(200, "application/json", encode(answer(nil))), nil
	}
	for name, bad := range map[string]func(*http.Request) *http.Response{
		"hangs": func(r *http.Request) *http.Response { <-r.Context().Done(); return reply(500, "", "") },
		"404":   nil,
	} {
		for _, oddToken := range []bool{true, false} {
			t.Run(fmt.Sprint(name, oddToken), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newServer()
					s.metadata, s.respond = good, odd
					client := newClient(t, with(config(s), func(c *introspect.Config) { c.Endpoint, c.DisableCache, c.MaxCalls = "", true, 1 }))
					requireAccepted(t, client, opaque)
					time.Sleep(time.Minute)
					if !oddToken {
						time.Sleep(time.Hour)
					}
					s.set(func(s *server) { s.metadata, s.reads = bad, 0 })
					for range 60 {
						if oddToken {
							requireRefused(t, client, "odd", unavailable, bearergate.ReasonIntrospectionUnavailable)
						}
						start := time.Now()
						requireAccepted(t, client, opaque)
						require.Zero(t, time.Since(start))
						time.Sleep(time.Second)
					}
					s.mu.Lock()
					reads := s.reads
					s.mu.Unlock()
					require.Positive(t, reads)
					require.LessOrEqual(t, reads, 2*7) // two URLs, after 0, 1, 2, 4... s
					s.set(func(s *server) { s.metadata, s.reads = good, 0 })
					time.Sleep(time.Minute)
					_, _ = client.Verify(t.Context(), "odd")
					synctest.Wait()
					require.Equal(t, 1, s.reads) // and recovers
				})
			})
		}
	}
	synctest.Test(t, func(t *testing.T) { // a token that is always odd
		s := newServer()
		s.metadata, s.respond = good, odd
		client := newClient(t, with(config(s), func(c *introspect.Config) { c.Endpoint, c.DisableCache = "", true }))
		for range 600 {
			requireRefused(t, client, "odd", unavailable, bearergate.ReasonIntrospectionUnavailable)
			time.Sleep(100 * time.Millisecond)
		}
		synctest.Wait()
		require.LessOrEqual(t, s.reads, 7)
		require.Greater(t, s.reads, 4)
	})
}

// A Router refuses a Client under the name of another issuer.
func TestIssuer(t *testing.T) {
	client := newClient(t, config(newServer()))
	_, err := issuers.NewRouter(issuers.Config{Issuers: map[string]bearergate.Verifier{"https://b.example.com/": client}})
	require.ErrorIs(t, err, misconfigured)
	require.Equal(t, bearergate.ReasonConfig, bearergate.ReasonOf(err))
	_, err = issuers.NewRouter(issuers.Config{Issuers: map[string]bearergate.Verifier{issuer: client}})
	require.NoError(t, err)
	require.Equal(t, issuer, client.Issuer())
	require.Empty(t, (*introspect.Client)(nil).Issuer())
}

type embeddedAuth struct{ introspect.Auth }

// brokenKeys and brokenKey panic.
type brokenKeys struct{ jwks.Source }

func (brokenKeys) Issuer() string { panic(secret) }

type brokenKey struct{ crypto.Signer }

func (brokenKey) Public() crypto.PublicKey { panic(secret) }
