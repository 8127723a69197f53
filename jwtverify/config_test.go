package jwtverify_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/stretchr/testify/require"
)

func TestNewNamesEveryMistake(t *testing.T) {
	keys := newSigner(t, "ES256", "k").Set(t)
	type testCase struct {
		name     string
		change   func(*jwtverify.Config)
		says     []string
		mistakes int // 0: one
	}
	for _, tt := range []testCase{
		{
			name:     "nothing set",
			change:   func(c *jwtverify.Config) { *c = jwtverify.Config{} },
			says:     []string{"Issuer is empty", "Audiences is empty"},
			mistakes: 2,
		},
		{name: "no issuer", change: func(c *jwtverify.Config) { c.Issuer = "" }, says: []string{"Issuer is empty"}},
		{name: "no audience", change: func(c *jwtverify.Config) { c.Audiences = nil }, says: []string{"Audiences is empty"}},
		{
			name:   "an empty audience",
			change: func(c *jwtverify.Config) { c.Audiences = []string{audience, ""} },
			says:   []string{"empty string"},
		},
		{
			name:   "none",
			change: func(c *jwtverify.Config) { c.Algorithms = []string{"none"} },
			says:   []string{`"none"`, "asymmetric"},
		},
		{
			name:   "HS256",
			change: func(c *jwtverify.Config) { c.Algorithms = []string{"RS256", "HS256"} },
			says:   []string{`"HS256"`},
		},
		{
			name:   "folded alg",
			change: func(c *jwtverify.Config) { c.Algorithms = []string{"rs256"} },
			says:   []string{`"rs256"`},
		},
		{name: "empty alg", change: func(c *jwtverify.Config) { c.Algorithms = []string{""} }, says: []string{`""`}},
		{
			name:   "http issuer",
			change: func(c *jwtverify.Config) { c.Issuer, c.Keys = "http://as.example.com", nil },
			says:   []string{"http://as.example.com", "https"},
		},
		{
			name:   "http on a private address",
			change: func(c *jwtverify.Config) { c.Issuer, c.Keys = "http://10.0.0.1", nil },
			says:   []string{"http://10.0.0.1", "https"},
		},
		{
			name:   "http issuer, keys discovered",
			change: func(c *jwtverify.Config) { c.Issuer, c.Keys = "http://as.example.com", nil },
			says:   []string{"https"}, mistakes: 1,
		},
		{
			name:   "issuer is no URL, keys discovered",
			change: func(c *jwtverify.Config) { c.Issuer, c.Keys = "joe", nil },
			says:   []string{`Issuer cannot be used to discover keys: jwks: Issuer "joe" must be an absolute https URL: write https://host/path; or set Keys`},
		},
		{
			name:   "issuer with a query, keys discovered",
			change: func(c *jwtverify.Config) { c.Issuer, c.Keys = "https://as.example.com/?a=b", nil },
			says:   []string{"query"},
		},
		{
			name:     "no audience, and nowhere to discover",
			change:   func(c *jwtverify.Config) { c.Issuer, c.Keys, c.Audiences = "https://as.example.com/?a=b", nil, nil },
			says:     []string{"Audiences is empty", "query"},
			mistakes: 2,
		},
		{
			name: "no audience, and nowhere to discover by http",
			change: func(c *jwtverify.Config) {
				c.Issuer, c.Keys, c.Audiences, c.InsecureAllowHTTP = "http://keycloak:8080/?a=b", nil, nil, true
			},
			says:     []string{"Audiences is empty", "query"},
			mistakes: 2,
		},
		{
			name:   "leeway of an hour",
			change: func(c *jwtverify.Config) { c.Leeway = time.Hour },
			says:   []string{"Leeway is 1h0m0s", "5m0s"},
		},
		{
			name:   "leeway just over",
			change: func(c *jwtverify.Config) { c.Leeway = jwtverify.MaxLeeway + 1 },
			says:   []string{"Leeway"},
		},
		{
			name:   "negative leeway",
			change: func(c *jwtverify.Config) { c.Leeway = -1 },
			says:   []string{"Leeway is -1ns, which is negative: leave it out for the default of 5s, or set NoLeeway for none"},
		},
		{
			name:   "leeway without a unit",
			change: func(c *jwtverify.Config) { c.Leeway = 30 },
			says:   []string{"Leeway is 30ns (a number without a unit counts nanoseconds: write 30*time.Second, for example): leave it out"},
		},
		{
			name:   "token age without a unit",
			change: func(c *jwtverify.Config) { c.MaxTokenAge = 3600 },
			says:   []string{"MaxTokenAge is 3.6µs (a number without a unit counts nanoseconds: write 3600*time.Second, for example): set the longest life"},
		},
		{
			name:   "the URL of the metadata for an issuer",
			change: func(c *jwtverify.Config) { c.Issuer = "https://as.example.com/.well-known/openid-configuration" },
			says:   []string{`Issuer "https://as.example.com/.well-known/openid-configuration" is the URL of a metadata document: cut it off before /.well-known/openid-configuration`},
		},
		{
			name:   "the URL of the metadata, keys discovered",
			change: func(c *jwtverify.Config) { c.Issuer, c.Keys = "https://as.example.com/.well-known/x", nil },
			says:   []string{"is the URL of a metadata document"},
		},
		{
			name:   "an issuer with a line break",
			change: func(c *jwtverify.Config) { c.Issuer, c.Keys = issuer+"\n", nil },
			says:   []string{"has white space around it: remove it"},
		},
		{
			name:   "an issuer of all tenants",
			change: func(c *jwtverify.Config) { c.Issuer = "https://as.example.com/{tenantid}/v2.0" },
			says:   []string{`Issuer "https://as.example.com/{tenantid}/v2.0" has a brace in it: it is taken as it stands`}, mistakes: 1,
		},
		{
			name:   "an issuer with a wildcard, keys discovered",
			change: func(c *jwtverify.Config) { c.Issuer, c.Keys = "https://*.example.com", nil },
			says:   []string{`Issuer "https://*.example.com" has a * in it: it is compared as it stands`}, mistakes: 1,
		},
		{
			name:   "aliases by a pattern",
			change: func(c *jwtverify.Config) { c.IssuerAliases = []string{"https://*.example.com", "${ALIAS}"} },
			says:   []string{`IssuerAliases: "https://*.example.com" has a * in it`, `IssuerAliases: "${ALIAS}" has a brace in it`}, mistakes: 2,
		},
		{
			name:   "any audience",
			change: func(c *jwtverify.Config) { c.Audiences = []string{"https://api.example.com", "*"} },
			says:   []string{`Audiences: "*" has a * in it: it is compared as it stands, and * stands for nothing else; name each one`}, mistakes: 1,
		},
		{
			name:   "an audience that was to be filled in",
			change: func(c *jwtverify.Config) { c.Audiences = []string{"api://{client-id}"} },
			says:   []string{`Audiences: "api://{client-id}" has a brace in it`}, mistakes: 1,
		},
		{
			name: "any client for an audience",
			change: func(c *jwtverify.Config) {
				c.AllowAudienceFrom = map[string][]string{"client_id": {"app-1", "app-*"}}
			},
			says: []string{`AllowAudienceFrom: client_id: "app-*" has a * in it`}, mistakes: 1,
		},
		{
			name:   "any confirmation",
			change: func(c *jwtverify.Config) { c.Confirmations = []string{"*"} },
			says:   []string{`Confirmations: "*" has a * in it`}, mistakes: 1,
		},
		{
			name:   "a key set of all tenants",
			change: func(c *jwtverify.Config) { c.Keys, c.KeysURL = nil, "https://as.example.com/{tenantid}/keys" },
			says:   []string{`KeysURL cannot be used: jwks: URL "https://as.example.com/{tenantid}/keys" has a brace in it`}, mistakes: 1,
		},
		{
			name:   "leeway and none",
			change: func(c *jwtverify.Config) { c.Leeway, c.NoLeeway = 1, true },
			says:   []string{"NoLeeway"},
		},
		{name: "profile", change: func(c *jwtverify.Config) { c.Profile = 7 }, says: []string{"Profile 7"}},
		{name: "token bytes", change: func(c *jwtverify.Config) { c.MaxTokenBytes = -1 }, says: []string{"MaxTokenBytes is -1"}},
		{
			name:   "too many token bytes",
			change: func(c *jwtverify.Config) { c.MaxTokenBytes = jwtverify.MaxTokenBytesLimit + 1 },
			says:   []string{"MaxTokenBytes"},
		},
		{name: "token age", change: func(c *jwtverify.Config) { c.MaxTokenAge = -1 }, says: []string{"MaxTokenAge"}},
		{
			name:   "required claim",
			change: func(c *jwtverify.Config) { c.RequiredClaims = []string{""} },
			says:   []string{"RequiredClaims"},
		},
		{
			name:   "required claims",
			change: func(c *jwtverify.Config) { c.RequiredClaims = strings.Fields(manyNames(65)) },
			says:   []string{"they are 68 claims, and 64 are the most; leave some out"},
		},
		{
			name:   "scope claim",
			change: func(c *jwtverify.Config) { c.ScopeClaims = []string{""} },
			says:   []string{"ScopeClaims contains an empty string: remove it"},
		},
		{
			name:   "scope claims",
			change: func(c *jwtverify.Config) { c.ScopeClaims = strings.Fields(manyNames(9)) },
			says:   []string{"ScopeClaims has 9 names: leave out all but 8"},
		},
		{
			name:   "confirmation",
			change: func(c *jwtverify.Config) { c.Confirmations = []string{""} },
			says:   []string{"Confirmations"},
		},
		{
			name:   "typed nil keys",
			change: func(c *jwtverify.Config) { c.Keys = (*jwks.Cache)(nil) },
			says:   []string{"Keys is a nil *jwks.Cache"},
		},
		{
			name:   "nil function for keys",
			change: func(c *jwtverify.Config) { c.Keys = sourceFunc(nil) },
			says:   []string{"Keys is a nil"},
		},
		{
			name:   "nil map for keys",
			change: func(c *jwtverify.Config) { c.Keys = mapSource(nil) },
			says:   []string{"Keys is a nil"},
		},
		{
			name:   "nil slice for keys",
			change: func(c *jwtverify.Config) { c.Keys = sliceSource(nil) },
			says:   []string{"Keys is a nil"},
		},
		{
			name:   "nil channel for keys",
			change: func(c *jwtverify.Config) { c.Keys = chanSource(nil) },
			says:   []string{"Keys is a nil"},
		},
		{
			name:   "keys, and a client for others",
			change: func(c *jwtverify.Config) { c.HTTPClient = http.DefaultClient },
			says:   []string{"Keys and HTTPClient are both set"},
		},
		{
			name:   "keys, and hooks for others",
			change: func(c *jwtverify.Config) { c.KeyHooks.Fetched = func(context.Context, jwks.FetchEvent) {} },
			says:   []string{"Keys and KeyHooks are both set"},
		},
		{
			name:   "another issuer's keys",
			change: func(c *jwtverify.Config) { c.Keys = issuerSource{keys, "https://other.example.com"} },
			says:   []string{`Keys belong to the issuer "https://other.example.com"`, "keys must be the issuer's own, so make them for that Issuer"},
		},
		{
			name: "keys of the issuer without its slash",
			change: func(c *jwtverify.Config) {
				c.Issuer, c.Keys = "https://as.example.com/t", issuerSource{keys, "https://as.example.com/t/"}
			},
			says: []string{"the two differ only by a slash at the end: add it to Issuer"},
		},
		{
			name:   "cache off and sized",
			change: func(c *jwtverify.Config) { c.DisableCache, c.CacheEntries = true, 1 },
			says:   []string{"DisableCache"},
		},
		{
			name:   "cache off and bounded",
			change: func(c *jwtverify.Config) { c.DisableCache, c.CacheBytes = true, 1 },
			says:   []string{"DisableCache"},
		},
		{name: "negative cache", change: func(c *jwtverify.Config) { c.CacheBytes = -1 }, says: []string{"CacheBytes"}},
		{
			name:     "no cache, of a negative size",
			change:   func(c *jwtverify.Config) { c.DisableCache, c.CacheEntries = true, -1 },
			says:     []string{"must not be negative", "DisableCache is set together"},
			mistakes: 2,
		},
		{
			name:     "no issuer, and nil keys",
			change:   func(c *jwtverify.Config) { c.Issuer, c.Keys = "", (*jwks.Set)(nil) },
			says:     []string{"Issuer is empty", "Keys is a nil *jwks.Set"},
			mistakes: 2,
		},
		{name: "negative entries", change: func(c *jwtverify.Config) { c.CacheEntries = -1 }, says: []string{"CacheEntries"}},
		{
			name:     "three at once",
			change:   func(c *jwtverify.Config) { c.Audiences, c.Leeway, c.Algorithms = nil, time.Hour, []string{"none"} },
			says:     []string{"Audiences is empty", "Leeway is 1h0m0s", `"none"`},
			mistakes: 3,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := config(keys)
			tt.change(&c)
			v, err := jwtverify.New(c)
			require.Nil(t, v)
			requireError(t, nil, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
			for _, text := range tt.says {
				require.ErrorContains(t, err, text)
			}
			lines := strings.Split(err.Error(), "\n")
			require.Len(t, lines, max(1, tt.mistakes), "a mistake is named once: %v", err)
			require.Equal(t, 1, strings.Count(err.Error(), "misconfigured"), "%v", err)
		})
	}
}

type (
	mapSource   map[string]jwks.Key
	sliceSource []jwks.Key
	chanSource  chan jwks.Key
)

func (s mapSource) Keys(context.Context, string, string) ([]jwks.Key, error)   { return nil, nil }
func (s sliceSource) Keys(context.Context, string, string) ([]jwks.Key, error) { return nil, nil }
func (s chanSource) Keys(context.Context, string, string) ([]jwks.Key, error)  { return nil, nil }

type issuerSource struct {
	jwks.Source
	issuer string
}

func (s issuerSource) Issuer() string { return s.issuer }

func TestNewAccepts(t *testing.T) {
	keys := newSigner(t, "ES256", "k").Set(t)
	for name, change := range map[string]func(*jwtverify.Config){
		"as it is":                    func(*jwtverify.Config) {},
		"discovered":                  func(c *jwtverify.Config) { c.Keys = nil },
		"http on loopback":            func(c *jwtverify.Config) { c.Issuer, c.Keys = "http://127.0.0.1:9400", nil },
		"http on localhost":           func(c *jwtverify.Config) { c.Issuer, c.Keys = "http://localhost:9400/realm", nil },
		"http by explicit word":       func(c *jwtverify.Config) { c.Issuer, c.Keys, c.InsecureAllowHTTP = "http://keycloak:8080", nil, true },
		"an issuer that is no URL":    func(c *jwtverify.Config) { c.Issuer = "accounts.example.com" },
		"keys of this issuer":         func(c *jwtverify.Config) { c.Keys = issuerSource{keys, issuer} },
		"keys of no particular one":   func(c *jwtverify.Config) { c.Keys = issuerSource{keys, ""} },
		"every algorithm":             func(c *jwtverify.Config) { c.Algorithms = jose.Algorithms() },
		"the most leeway":             func(c *jwtverify.Config) { c.Leeway = jwtverify.MaxLeeway },
		"no leeway":                   func(c *jwtverify.Config) { c.NoLeeway = true },
		"the shortest token":          func(c *jwtverify.Config) { c.MaxTokenBytes = 1 },
		"the longest token":           func(c *jwtverify.Config) { c.MaxTokenBytes = jwtverify.MaxTokenBytesLimit },
		"as many scope claims":        func(c *jwtverify.Config) { c.ScopeClaims = strings.Fields(manyNames(8)) },
		"a claim required already":    func(c *jwtverify.Config) { c.RequiredClaims = strings.Fields(manyNames(61) + "exp iss") },
		"http on loopback, own keys":  func(c *jwtverify.Config) { c.Issuer = "http://127.0.0.1:9400" },
		"http on loopback 6":          func(c *jwtverify.Config) { c.Issuer = "http://[::1]:9400" },
		"what no URL parser takes":    func(c *jwtverify.Config) { c.Issuer = "http://%zz" },
		"loopback, in any case":       func(c *jwtverify.Config) { c.Issuer, c.Keys = "http://LOCALHOST:8080", nil },
		"a cache of one's own size":   func(c *jwtverify.Config) { c.CacheEntries, c.CacheBytes = 1, 1 },
		"as many claims as there are": func(c *jwtverify.Config) { c.RequiredClaims = strings.Fields(manyNames(61)) },
	} {
		t.Run(name, func(t *testing.T) {
			c := config(keys)
			change(&c)
			_, err := jwtverify.New(c)
			require.NoError(t, err)
		})
	}
}

func TestNewCopiesItsConfiguration(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	c := config(s.Set(t))
	c.Algorithms = []string{"ES256"}
	c.ScopeClaims = []string{"scope"}
	c.Confirmations = []string{"jkt"}
	v := newVerifier(t, c)
	c.Audiences[0], c.Algorithms[0], c.ScopeClaims[0], c.Confirmations[0] = "x", "none", "x", "x"
	token, err := v.Verify(t.Context(), s.Sign(t, map[string]any{"cnf": map[string]any{"jkt": "x"}}))
	require.NoError(t, err)
	require.True(t, token.Scopes().Has("read"))
}

func TestDefaults(t *testing.T) {
	require.Equal(t, []string{"RS256", "PS256", "ES256", "ES384", "EdDSA"}, jwtverify.DefaultAlgorithms())
	require.Equal(t, 5*time.Second, jwtverify.DefaultLeeway)
	require.Equal(t, 5*time.Minute, jwtverify.MaxLeeway)
	require.Equal(t, 16<<10, jwtverify.DefaultMaxTokenBytes)
	require.Equal(t, 1<<20, jwtverify.MaxTokenBytesLimit)
	require.Equal(t, 8192, jwtverify.DefaultCacheEntries)
	require.Equal(t, 32<<20, jwtverify.DefaultCacheBytes)
	require.Equal(t, 5*time.Minute, jwtverify.CacheTTL)
	require.Equal(t, jwtverify.AccessToken, jwtverify.Profile(0))

	for _, alg := range jose.Algorithms() {
		t.Run(alg, func(t *testing.T) {
			if alg == "PS512" || alg == "RS512" || alg == "PS384" || alg == "RS384" {
				t.Parallel()
			}
			s := newSigner(t, alg, "k")
			token, err := newVerifier(t, config(s.Set(t))).Verify(t.Context(), s.Sign(t, nil))
			switch alg {
			case "RS256", "PS256", "ES256", "ES384", "EdDSA", "Ed25519":
				require.NoError(t, err)
			default:
				requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonAlgorithm)
			}
		})
	}
}

func TestNilAndZeroVerifier(t *testing.T) {
	for _, v := range []*jwtverify.Verifier{nil, {}} {
		token, err := v.Verify(t.Context(), "x")
		requireError(t, token, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
		requireError(t, nil, v.Warm(t.Context()), bearergate.ErrMisconfigured, bearergate.ReasonConfig)
		require.Nil(t, v.Keys())
	}
	v := newVerifier(t, config(newSigner(t, "ES256", "k").Set(t)))
	token, err := v.Verify(t.Context(), "")
	requireError(t, token, err, bearergate.ErrMissingToken, bearergate.ReasonNoToken)
}

type panickingIssuer struct{ jwks.Source }

func (panickingIssuer) Issuer() string { panic("no") }

func TestPanicsInTheConfigurationAreErrors(t *testing.T) {
	c := config(panickingIssuer{newSigner(t, "ES256", "k").Set(t)})
	_, err := jwtverify.New(c)
	requireError(t, nil, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	requireError(t, nil, newVerifier(t, config(struct{ jwks.Source }{})).Warm(t.Context()), bearergate.ErrMisconfigured, bearergate.ReasonInternal)
}

// http is for this machine, whatever it is called here.
func TestIssuerOnLoopback(t *testing.T) {
	for host, loopback := range kit.Hosts() {
		_, err := jwtverify.New(jwtverify.Config{Issuer: "http://" + host, Audiences: []string{"x"}})
		require.Equal(t, loopback, err == nil, "%s: %v", host, err)
	}
}

// The words that allow something allow no more than they are for.
func TestWhatCannotBeAllowed(t *testing.T) {
	set := newSigner(t, "ES256", "k").Set(t)
	for _, tt := range []struct {
		name   string
		change func(*jwtverify.Config)
		says   []string
	}{
		{
			name:   "Keys and KeysURL",
			change: func(c *jwtverify.Config) { c.KeysURL = "https://as.example.com/keys" },
			says:   []string{"Keys and KeysURL are both set: leave out all but one, and clear the one that a function of package idp has set"},
		},
		{
			name:   "KeysURL over http",
			change: func(c *jwtverify.Config) { c.Keys, c.KeysURL = nil, "http://as.example.com/keys" },
			says:   []string{`KeysURL cannot be used: jwks: URL "http://as.example.com/keys" must be https`},
		},
		{
			name: "KeysURL and MetadataURL",
			change: func(c *jwtverify.Config) {
				c.Keys, c.KeysURL, c.MetadataURL = nil, "https://as.example.com/keys", "https://as.example.com/metadata"
			},
			says: []string{"KeysURL and MetadataURL are both set"},
		},
		{
			name:   "MetadataURL over http",
			change: func(c *jwtverify.Config) { c.Keys, c.MetadataURL = nil, "http://as.example.com/metadata" },
			says:   []string{`MetadataURL cannot be used: jwks: MetadataURL "http://as.example.com/metadata" must be https`},
		},
		{
			name: "aliases",
			change: func(c *jwtverify.Config) {
				c.IssuerAliases = []string{"", issuer, "x ", "https://x/.well-known/openid-configuration"}
			},
			says: []string{"contains an empty string", "is Issuer itself", "white space", "metadata document"},
		},
		{
			name: "types of other kinds",
			change: func(c *jwtverify.Config) {
				c.AllowTypes = []string{"", "DPoP+JWT", "application/logout+jwt", "secevent+jwt", "token-introspection+jwt"}
			},
			says: []string{"contains an empty string", `"DPoP+JWT" is the type of another kind`, `"application/logout+jwt" is`, `"secevent+jwt" is`, `"token-introspection+jwt" is`},
		},
		{
			name:   "types under RFC 9068",
			change: func(c *jwtverify.Config) { c.AllowTypes, c.Profile = []string{"JOSE"}, jwtverify.RFC9068 },
			says:   []string{"AllowTypes is set together with the Profile RFC9068"},
		},
		{
			name:   "marks that cannot be allowed",
			change: func(c *jwtverify.Config) { c.AllowMarks = []string{"events", "token_introspection", "", "sub"} },
			says:   []string{`"events" cannot be allowed: choose from at_hash, c_hash, s_hash, nonce, code`, `"token_introspection" cannot`, `"" cannot`, `"sub" cannot`},
		},
		{
			name:   "claims that cannot be ignored",
			change: func(c *jwtverify.Config) { c.IgnoreClaims = []string{"cnf", "act", "exp"} },
			says:   []string{`"cnf" cannot be ignored`, `"exp" cannot be ignored`},
		},
		{
			name:   "clients",
			change: func(c *jwtverify.Config) { c.ClientClaims = []string{"azp", ""} },
			says:   []string{"ClientClaims contains an empty string"},
		},
		{
			name: "what stands in for aud",
			change: func(c *jwtverify.Config) {
				c.AllowAudienceFrom = map[string][]string{"aud": {"x"}, "": {"x"}, "azp": nil, "cid": {""}}
				c.RequiredClaims = []string{"aud"}
			},
			says: []string{"together with aud in RequiredClaims", `"aud" cannot stand in`, `"" cannot stand in`, "azp has no value", "cid has no value, or an empty one"},
		},
		{
			name: "the issuer stands in for aud, under RFC 9068",
			change: func(c *jwtverify.Config) {
				c.Profile, c.AllowAudienceFrom = jwtverify.RFC9068, map[string][]string{"iss": {issuer}}
			},
			says: []string{"together with the Profile RFC9068", `"iss" cannot stand in`},
		},
		{
			name: "too much that stands in for aud",
			change: func(c *jwtverify.Config) {
				c.AllowAudienceFrom = map[string][]string{"a": {"x"}, "b": {"x"}, "c": {"x"}, "d": {"x"}, "e": {"x"}}
			},
			says: []string{"AllowAudienceFrom has 5 claims: leave out all but 4"},
		},
		{
			name:   "of whoever filled it in",
			change: func(c *jwtverify.Config) { c.Err = errors.New("no client is named") },
			says:   []string{"jwtverify: no client is named"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := config(set)
			tt.change(&c)
			v, err := jwtverify.New(c)
			require.Nil(t, v)
			kit.RequireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
			for _, text := range tt.says {
				require.ErrorContains(t, err, text)
			}
			require.Equal(t, len(tt.says), strings.Count(err.Error(), "jwtverify: "), "%v", err)
		})
	}
}
