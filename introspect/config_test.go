package introspect_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/issuers"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/stretchr/testify/require"
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
	require.Equal(t, 2*time.Second, transport.TLSHandshakeTimeout)
	require.EqualValues(t, 64<<10, transport.MaxResponseHeaderBytes)
	require.Equal(t, introspect.DefaultMaxCalls, transport.MaxIdleConnsPerHost)
	require.True(t, transport.ForceAttemptHTTP2)
	require.Nil(t, transport.Proxy)
}

func TestNewNamesEveryMistake(t *testing.T) {
	s := newServer()
	ownKeys, err := jwks.New(jwks.Config{Issuer: issuer})
	require.NoError(t, err)
	otherKeys, err := jwks.New(jwks.Config{Issuer: "https://other.example.com"})
	require.NoError(t, err)
	for _, tt := range []struct {
		name   string
		change func(*introspect.Config)
		says   []string
	}{
		{"nothing set", func(c *introspect.Config) { *c = introspect.Config{} }, []string{"Issuer is empty", "Auth is nil", "Audiences is empty"}},
		{"issuer", func(c *introspect.Config) { c.Issuer = "" }, []string{"Issuer is empty"}},
		{"issuer not to discover", func(c *introspect.Config) { c.Issuer, c.Endpoint = "as", "" }, []string{`Issuer "as" must be an absolute https URL: write https://host/path: it is needed to discover the endpoint; or set Endpoint`}},
		{"issuer with a space", func(c *introspect.Config) { c.Issuer += " " }, []string{"has white space around it: remove it"}},
		{"issuer that is its metadata", func(c *introspect.Config) { c.Issuer, c.Endpoint = issuer+"/.well-known/openid-configuration", "" }, []string{"cut it off before /.well-known/openid-configuration"}},
		{"auth", func(c *introspect.Config) { c.Auth = nil }, []string{"Auth is nil"}}, // req: R7662-04
		{"basic without id", func(c *introspect.Config) { c.Auth = introspect.BasicAuth("", "x") }, []string{"Auth: introspect.BasicAuth: the client ID is empty: pass the one"}},
		{"post without secret", func(c *introspect.Config) { c.Auth = introspect.PostAuth("x", "") }, []string{`Auth: introspect.PostAuth(client "x"): the secret is empty: pass the one`}},
		{"bearer nil", func(c *introspect.Config) { c.Auth = introspect.BearerAuth(nil) }, []string{"Auth: introspect.BearerAuth"}},
		{"key nil", func(c *introspect.Config) { c.Auth = introspect.PrivateKeyJWT("x", nil, introspect.Assertion{}) }, []string{"Auth: introspect.PrivateKeyJWT"}},
		{"key without id", func(c *introspect.Config) {
			c.Auth = introspect.PrivateKeyJWT("", ed25519.NewKeyFromSeed(make([]byte, 32)), introspect.Assertion{})
		}, []string{"Auth: introspect.PrivateKeyJWT: the client ID is empty"}},
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
		{"keys that panic", func(c *introspect.Config) { c.Signed.Answers, c.Signed.Keys = introspect.SignedRequired, brokenKeys{} }, []string{"Keys cannot be used"}},
		{"store timeout", func(c *introspect.Config) {
			c.Store.Answers, c.Store.Key, c.Store.Timeout = newStore(), bearergate.NewSecret(string(make([]byte, 32))), introspect.DefaultTimeout/3+1
		}, []string{"Store.Timeout is 1.000000001s, and more than a third of Timeout: choose at most 1s, or raise Timeout from 3s"}},
		{"certificate without id", func(c *introspect.Config) { c.Auth = introspect.CertificateAuth("") }, []string{"Auth: introspect.CertificateAuth"}},
		{"audiences", func(c *introspect.Config) { c.Audiences = nil }, []string{"Audiences is empty"}},
		{"empty audience", func(c *introspect.Config) { c.Audiences = []string{audience, ""} }, []string{"introspect: Audiences contains an empty string: remove it"}},
		{"empty confirmation", func(c *introspect.Config) { c.Confirmations = []string{""} }, []string{"introspect: Confirmations contains an empty string: remove it"}},
		{"any audience", func(c *introspect.Config) { c.Audiences = []string{"*", "https://{api}.example.com"} }, []string{`introspect: Audiences: "*" has a * in it: it is compared as it stands`, `introspect: Audiences: "https://{api}.example.com" has a brace in it`}},
		{"any confirmation", func(c *introspect.Config) { c.Confirmations = []string{"*"} }, []string{`introspect: Confirmations: "*" has a * in it`}},
		{"an audience of signed answers that was to be filled in", func(c *introspect.Config) {
			c.Signed.Answers, c.Signed.Audiences = introspect.SignedRequired, []string{"${CLIENT_ID}"}
		}, []string{`introspect: Signed.Audiences: "${CLIENT_ID}" has a brace in it`}},
		{"issuer of all tenants", func(c *introspect.Config) { c.Issuer = "https://as.example.com/{tenant}" }, []string{`introspect: Issuer "https://as.example.com/{tenant}" has a brace in it: it is taken as it stands`}},
		{"issuer with a wildcard", func(c *introspect.Config) { c.Issuer = "https://*.example.com" }, []string{`introspect: Issuer "https://*.example.com" has a * in it`}},
		{"endpoint with a placeholder", func(c *introspect.Config) { c.Endpoint = "https://as.example.com/{tenant}/introspect" }, []string{`introspect: Endpoint "https://as.example.com/{tenant}/introspect" has a brace in it`}},
		{"token type hint that is no ASCII", func(c *introspect.Config) { c.TokenTypeHint = "tokén" }, []string{"TokenTypeHint is "}},
		{"a Timeout that is none, beside a good one of the store", func(c *introspect.Config) {
			c.Timeout = 1
			c.Store = introspect.StoreConfig{Answers: newStore(), Key: bearergate.NewSecret(strings.Repeat("x", 32)), Timeout: introspect.DefaultTimeout / 3}
		}, []string{"Timeout is 1ns"}},
		{"a Timeout that is none, beside one of the store that is too long", func(c *introspect.Config) {
			c.Timeout = 1
			c.Store = introspect.StoreConfig{Answers: newStore(), Key: bearergate.NewSecret(strings.Repeat("x", 32)), Timeout: introspect.DefaultTimeout/3 + 1}
		}, []string{"Timeout is 1ns", "Store.Timeout is "}},
		{"the shortest Timeout, and a longer one of the store", func(c *introspect.Config) {
			c.Timeout = time.Millisecond
			c.Store = introspect.StoreConfig{Answers: newStore(), Key: bearergate.NewSecret(strings.Repeat("x", 32)), Timeout: time.Millisecond}
		}, []string{"Store.Timeout is "}},
		{"two that are void without a cache", func(c *introspect.Config) {
			c.DisableCache, c.PositiveTTL, c.NegativeTTL = true, time.Second, time.Second
		}, []string{"DisableCache is set together with PositiveTTL, NegativeTTL: "}},
		{"issuer not to discover keys from", func(c *introspect.Config) {
			c.Issuer, c.Endpoint, c.Signed.Answers = "as", "", introspect.SignedRequired
		}, []string{`Issuer "as" must be`}},
		{"purge log, and a store with a short key", func(c *introspect.Config) {
			c.PurgeLog, c.Store.Answers, c.Store.Key = new(kit.Log), newStore(), bearergate.NewSecret(strings.Repeat("x", 31))
		}, []string{"Store.Key has 31 bytes: give it 32 or more, random ones; without, "}},
		{"token type hint", func(c *introspect.Config) { c.TokenTypeHint = "access token" }, []string{`TokenTypeHint is "access token": use printable ASCII without spaces, access_token for example, or leave it out`}},
		{"timeout without a unit", func(c *introspect.Config) { c.Timeout = 3 }, []string{"Timeout is 3ns (a number without a unit counts nanoseconds: write 3*time.Second, for example): choose between 1ms and 1m0s, or leave it out for the default of 3s"}},
		{"ttls without a unit", func(c *introspect.Config) { c.PositiveTTL, c.NegativeTTL, c.MaxStale = 30, 5, 60 },
			[]string{"PositiveTTL is 30ns (", "NegativeTTL is 5ns (", "MaxStale is 60ns (", "write 60*time.Second, for example): choose between 1ms and 1h0m0s, or leave it out for none"}},
		{"store timeout without a unit", func(c *introspect.Config) {
			c.Store.Answers, c.Store.Key, c.Store.Timeout = newStore(), bearergate.NewSecret(string(make([]byte, 32))), 100
		}, []string{"Store.Timeout is 100ns (a number without a unit"}},
		{"http", func(c *introspect.Config) { c.Endpoint = "http://as.example.com/introspect" }, []string{`Endpoint "http://as.example.com/introspect" must be https`}}, // req: R7662-01, INT-048
		{"userinfo", func(c *introspect.Config) { c.Endpoint = "https://a:b@as.example.com/" }, []string{"user information"}},
		{"leeway", func(c *introspect.Config) { c.Leeway = time.Hour }, []string{"Leeway"}},
		{"both leeways", func(c *introspect.Config) { c.Leeway, c.NoLeeway = 1, true }, []string{"choose one"}},
		{"ttl", func(c *introspect.Config) { c.PositiveTTL, c.NegativeTTL = time.Hour, -1 }, []string{"PositiveTTL", "NegativeTTL"}},
		{"stale", func(c *introspect.Config) { c.MaxStale = 2 * time.Hour }, []string{"MaxStale"}},
		{"bytes", func(c *introspect.Config) { c.MaxTokenBytes, c.Calls.MaxResponseBytes = -1, -1 }, []string{"MaxTokenBytes", "MaxResponseBytes"}},
		{"live and cache", func(c *introspect.Config) { c.DisableCache, c.PositiveTTL = true, time.Second }, []string{"DisableCache is set together with PositiveTTL: leave out the one or the other"}},
		{"live and stale", func(c *introspect.Config) { c.DisableCache, c.MaxStale = true, time.Second }, []string{"DisableCache"}},
		{"live and store", func(c *introspect.Config) {
			c.DisableCache, c.Store.Answers, c.Store.Key = true, newStore(), bearergate.NewSecret(string(make([]byte, 32)))
		}, []string{"DisableCache"}},
		{"live and purge log", func(c *introspect.Config) {
			c.DisableCache, c.PurgeLog, c.Store.Key = true, new(kit.Log), bearergate.NewSecret(string(make([]byte, 32)))
		}, []string{"DisableCache is set together with PurgeLog"}},
		{"purge log without key", func(c *introspect.Config) { c.PurgeLog = new(kit.Log) }, []string{"Store.Key has 0 bytes", "PurgeLog"}},
		{"purge log and a short key", func(c *introspect.Config) {
			c.PurgeLog, c.Store.Key = new(kit.Log), bearergate.NewSecret(string(make([]byte, 31)))
		}, []string{"Store.Key has 31 bytes", "PurgeLog"}},
		{"purge log is nil", func(c *introspect.Config) { c.PurgeLog = (*kit.Log)(nil) }, []string{"PurgeLog is a nil *kit.Log"}},
		{"store without key", func(c *introspect.Config) { c.Store.Answers = newStore() }, []string{"Store.Key has 0 bytes"}},
		{"store with short key", func(c *introspect.Config) {
			c.Store.Answers, c.Store.Key = newStore(), bearergate.NewSecret(string(make([]byte, 31)))
		}, []string{"Store.Key has 31 bytes"}},
		{"key without store", func(c *introspect.Config) { c.Store.Key = bearergate.NewSecret(string(make([]byte, 32))) }, []string{"Store.Key or Store.Timeout is set without Store.Answers"}},
		{"nil store", func(c *introspect.Config) { c.Store.Answers = (*store)(nil) }, []string{"Store.Answers is a nil"}},
		{"store of nobody", func(c *introspect.Config) {
			c.Auth = introspect.BearerAuth(func(context.Context) (string, error) { return "x", nil })
			c.Store.Answers, c.Store.Key = newStore(), bearergate.NewSecret(string(make([]byte, 32)))
		}, []string{"ClientID is empty"}},
		{"signing", func(c *introspect.Config) { c.Signed.Answers = 7 }, []string{"Signed.Answers 7"}},
		{"any audience, and some", func(c *introspect.Config) { c.InsecureAnyAudience = true }, []string{"InsecureAnyAudience is set together with Audiences"}},
		{"any audience, and none", func(c *introspect.Config) {
			c.Audiences, c.InsecureAnyAudience, c.AllowMissingAudience = nil, true, true
		}, []string{"InsecureAnyAudience is set together with", "AllowMissingAudience"}},
		{"hooks of a cache that is not made", func(c *introspect.Config) {
			c.Signed = introspect.SignedConfig{Answers: introspect.SignedRequired, Keys: ownKeys, KeyHooks: jwks.Hooks{Fetched: func(context.Context, jwks.FetchEvent) {}}}
		}, []string{"Signed.Keys and Signed.KeyHooks are both set"}},
		{"a store's timeout without a store", func(c *introspect.Config) { c.Store.Timeout = time.Millisecond }, []string{"Store.Timeout is set without Store.Answers"}},
		{"keys unused", func(c *introspect.Config) { c.Signed.Keys = otherKeys }, []string{"set Signed.Answers"}},
		{"algorithms unused", func(c *introspect.Config) { c.Signed.Algorithms = []string{"ES256"} }, []string{"set Signed.Answers"}},
		{"answer audiences unused", func(c *introspect.Config) { c.Signed.Audiences = []string{clientID} }, []string{"set Signed.Answers"}},
		{"keys of another", func(c *introspect.Config) { c.Signed.Answers, c.Signed.Keys = introspect.SignedRequired, otherKeys }, []string{"Keys belong to"}},
		{"nil keys", func(c *introspect.Config) {
			c.Signed.Answers, c.Signed.Keys = introspect.SignedRequired, (*jwks.Cache)(nil)
		}, []string{"Keys is a nil"}},
		{"none", func(c *introspect.Config) {
			c.Signed.Answers, c.Signed.Algorithms = introspect.SignedRequired, []string{"none"}
		}, []string{`"none"`}},
		{"answer audience", func(c *introspect.Config) {
			c.Signed.Answers, c.Auth = introspect.SignedRequired, introspect.BearerAuth(func(context.Context) (string, error) { return "x", nil })
		}, []string{"Signed.Audiences is empty"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client, err := introspect.New(with(config(s), tt.change))
			require.Nil(t, client)
			require.ErrorIs(t, err, misconfigured)
			require.Equal(t, bearergate.ReasonConfig, bearergate.ReasonOf(err))
			for _, text := range tt.says {
				require.Contains(t, err.Error(), text)
			}
			require.LessOrEqual(t, strings.Count(err.Error(), "\n")+1, len(tt.says), "a mistake that is none: %v", err)
			require.NotContains(t, err.Error(), secret)
		})
	}
	require.Zero(t, s.requests())
	// What Signed is for is not judged when nobody knows what it is.
	_, err = introspect.New(with(config(s), func(c *introspect.Config) { c.Signed.Answers, c.Signed.Keys = 7, otherKeys }))
	require.ErrorIs(t, err, misconfigured)
	require.NotContains(t, err.Error(), "Keys belong to")
	_, err = introspect.New(with(config(s), func(c *introspect.Config) { c.Signed.Answers, c.Issuer = introspect.SignedRequired, "" }))
	require.ErrorIs(t, err, misconfigured)
	require.NotContains(t, err.Error(), "discover keys")
}

func TestWhatIsNoMistake(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*introspect.Config)
	}{
		{name: "an issuer that is no URL, beside an endpoint", change: func(c *introspect.Config) { c.Issuer = "as" }},
		{name: "an http issuer, to discover from", change: func(c *introspect.Config) {
			c.Issuer, c.Endpoint, c.InsecureAllowHTTP = "http://as.internal", "", true
		}},
		{name: "the least of everything", change: func(c *introspect.Config) {
			c.MaxTokenBytes, c.Cache = 1, introspect.CacheConfig{Entries: 1, Bytes: 1}
			c.Calls = introspect.CallsConfig{Max: 1, Waiting: 1, MaxResponseBytes: 1}
		}},
		{name: "a hint of all kinds of characters", change: func(c *introspect.Config) { c.TokenTypeHint = "!~" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := introspect.New(with(config(newServer()), tt.change))
			require.NoError(t, err)
		})
	}
}

// The largest values are taken, and nothing beyond.
func TestLimits(t *testing.T) {
	for name, at := range map[string]func(c *introspect.Config, more int){
		"Leeway":      func(c *introspect.Config, more int) { c.Leeway = introspect.MaxLeeway + time.Duration(more) },
		"Timeout":     func(c *introspect.Config, more int) { c.Timeout = introspect.MaxTimeout + time.Duration(more) },
		"PositiveTTL": func(c *introspect.Config, more int) { c.PositiveTTL = introspect.MaxTTL + time.Duration(more) },
		"NegativeTTL": func(c *introspect.Config, more int) { c.NegativeTTL = introspect.MaxTTL + time.Duration(more) },
		"MaxStale":    func(c *introspect.Config, more int) { c.MaxStale = introspect.MaxStaleLimit + time.Duration(more) },
		"Store.Timeout": func(c *introspect.Config, more int) {
			c.Store = introspect.StoreConfig{Answers: newStore(), Key: bearergate.NewSecret(string(make([]byte, 32))), Timeout: introspect.DefaultTimeout/3 + time.Duration(more)}
		},
		"MaxTokenBytes":          func(c *introspect.Config, more int) { c.MaxTokenBytes = introspect.MaxTokenBytesLimit + more },
		"Calls.Max":              func(c *introspect.Config, more int) { c.Calls.Max = 1<<16 + more },
		"Calls.Waiting":          func(c *introspect.Config, more int) { c.Calls.Waiting = 1<<16 + more },
		"Calls.MaxResponseBytes": func(c *introspect.Config, more int) { c.Calls.MaxResponseBytes = 16<<20 + int64(more) },
		"Cache.Entries":          func(c *introspect.Config, more int) { c.Cache.Entries = 1<<24 + more },
		"Cache.Bytes":            func(c *introspect.Config, more int) { c.Cache.Bytes = 1<<40 + int64(more) },
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
	for host, loopback := range kit.Hosts() {
		for _, change := range []func(*introspect.Config){
			func(c *introspect.Config) { c.Endpoint = "http://" + host + "/introspect" },
			func(c *introspect.Config) { c.Endpoint, c.Issuer = "", "http://"+host },
		} {
			_, err := introspect.New(with(config(newServer()), change))
			require.Equal(t, loopback, err == nil, "%s: %v", host, err)
		}
	}
	for _, c := range []introspect.Config{
		with(config(newServer()), func(c *introspect.Config) { c.Endpoint = "http://localhost:8080/introspect" }),
		with(config(newServer()), func(c *introspect.Config) { c.Endpoint = "http://127.0.0.1/introspect" }),
		with(config(newServer()), func(c *introspect.Config) { c.Endpoint, c.InsecureAllowHTTP = "http://as.internal/", true }),
		with(config(newServer()), func(c *introspect.Config) { c.Endpoint, c.Issuer = "", "http://localhost:8080" }),
	} {
		requireAccepted(t, newClient(t, with(c, func(c *introspect.Config) {
			if c.Endpoint == "" {
				c.Endpoint = endpoint
				c.InsecureAnyAudience, c.Audiences = true, nil
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

var _ bearergate.Verifier = (*introspect.Client)(nil)

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
