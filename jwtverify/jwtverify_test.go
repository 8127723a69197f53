package jwtverify_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/stretchr/testify/require"
)

func config(keys jwks.Source) jwtverify.Config {
	return jwtverify.Config{Issuer: issuer, Audiences: []string{audience}, Keys: keys, Now: func() time.Time { return now }}
}

func newVerifier(t testing.TB, c jwtverify.Config) *jwtverify.Verifier {
	v, err := jwtverify.New(c)
	require.NoError(t, err)
	return v
}

func TestNewNamesEveryMistake(t *testing.T) {
	keys := newSigner(t, "ES256", "k").Set(t)
	for _, tt := range []struct {
		name     string
		change   func(*jwtverify.Config)
		says     []string
		mistakes int // 0: one
	}{
		{"nothing set", func(c *jwtverify.Config) { *c = jwtverify.Config{} }, []string{"Issuer is empty", "Audiences is empty"}, 2},
		{"no issuer", func(c *jwtverify.Config) { c.Issuer = "" }, []string{"Issuer is empty"}, 0},
		{"no audience", func(c *jwtverify.Config) { c.Audiences = nil }, []string{"Audiences is empty"}, 0},
		{"an empty audience", func(c *jwtverify.Config) { c.Audiences = []string{audience, ""} }, []string{"empty string"}, 0},
		{"none", func(c *jwtverify.Config) { c.Algorithms = []string{"none"} }, []string{`"none"`, "asymmetric"}, 0},
		{"HS256", func(c *jwtverify.Config) { c.Algorithms = []string{"RS256", "HS256"} }, []string{`"HS256"`}, 0},
		{"folded alg", func(c *jwtverify.Config) { c.Algorithms = []string{"rs256"} }, []string{`"rs256"`}, 0},
		{"empty alg", func(c *jwtverify.Config) { c.Algorithms = []string{""} }, []string{`""`}, 0},
		{"http issuer", func(c *jwtverify.Config) { c.Issuer = "http://as.example.com" }, []string{"http://as.example.com", "https"}, 0},
		{"http on a private address", func(c *jwtverify.Config) { c.Issuer = "http://10.0.0.1" }, []string{"http://10.0.0.1", "https"}, 0},
		{"http issuer, keys discovered", func(c *jwtverify.Config) { c.Issuer, c.Keys = "http://as.example.com", nil }, []string{"https"}, 0},
		{"issuer is no URL, keys discovered", func(c *jwtverify.Config) { c.Issuer, c.Keys = "joe", nil }, []string{"Issuer cannot be used to discover keys"}, 0},
		{"issuer with a query, keys discovered", func(c *jwtverify.Config) { c.Issuer, c.Keys = "https://as.example.com/?a=b", nil }, []string{"query"}, 0},
		{"no audience, and nowhere to discover", func(c *jwtverify.Config) { c.Issuer, c.Keys, c.Audiences = "https://as.example.com/?a=b", nil, nil },
			[]string{"Audiences is empty", "query"}, 2},
		{"no audience, and nowhere to discover by http", func(c *jwtverify.Config) {
			c.Issuer, c.Keys, c.Audiences, c.InsecureAllowHTTP = "http://keycloak:8080/?a=b", nil, nil, true
		}, []string{"Audiences is empty", "query"}, 2},
		{"leeway of an hour", func(c *jwtverify.Config) { c.Leeway = time.Hour }, []string{"Leeway 1h0m0s", "5m0s"}, 0},
		{"leeway just over", func(c *jwtverify.Config) { c.Leeway = jwtverify.MaxLeeway + 1 }, []string{"Leeway"}, 0},
		{"negative leeway", func(c *jwtverify.Config) { c.Leeway = -1 }, []string{"NoLeeway"}, 0},
		{"leeway and none", func(c *jwtverify.Config) { c.Leeway, c.NoLeeway = 1, true }, []string{"NoLeeway"}, 0},
		{"profile", func(c *jwtverify.Config) { c.Profile = 7 }, []string{"Profile 7"}, 0},
		{"token bytes", func(c *jwtverify.Config) { c.MaxTokenBytes = -1 }, []string{"MaxTokenBytes -1"}, 0},
		{"too many token bytes", func(c *jwtverify.Config) { c.MaxTokenBytes = jwtverify.MaxTokenBytesLimit + 1 }, []string{"MaxTokenBytes"}, 0},
		{"token age", func(c *jwtverify.Config) { c.MaxTokenAge = -1 }, []string{"MaxTokenAge"}, 0},
		{"required claim", func(c *jwtverify.Config) { c.RequiredClaims = []string{""} }, []string{"RequiredClaims"}, 0},
		{"required claims", func(c *jwtverify.Config) { c.RequiredClaims = strings.Fields(manyNames(65)) }, []string{"RequiredClaims"}, 0},
		{"scope claim", func(c *jwtverify.Config) { c.ScopeClaims = []string{""} }, []string{"ScopeClaims"}, 0},
		{"scope claims", func(c *jwtverify.Config) { c.ScopeClaims = strings.Fields(manyNames(9)) }, []string{"ScopeClaims"}, 0},
		{"confirmation", func(c *jwtverify.Config) { c.Confirmations = []string{""} }, []string{"Confirmations"}, 0},
		{"typed nil keys", func(c *jwtverify.Config) { c.Keys = (*jwks.Cache)(nil) }, []string{"Keys is a nil *jwks.Cache"}, 0},
		{"nil function for keys", func(c *jwtverify.Config) { c.Keys = sourceFunc(nil) }, []string{"Keys is a nil"}, 0},
		{"nil map for keys", func(c *jwtverify.Config) { c.Keys = mapSource(nil) }, []string{"Keys is a nil"}, 0},
		{"nil slice for keys", func(c *jwtverify.Config) { c.Keys = sliceSource(nil) }, []string{"Keys is a nil"}, 0},
		{"nil channel for keys", func(c *jwtverify.Config) { c.Keys = chanSource(nil) }, []string{"Keys is a nil"}, 0},
		{"another issuer's keys", func(c *jwtverify.Config) { c.Keys = issuerSource{keys, "https://other.example.com"} }, []string{"https://other.example.com"}, 0},
		{"cache off and sized", func(c *jwtverify.Config) { c.DisableCache, c.CacheEntries = true, 1 }, []string{"DisableCache"}, 0},
		{"cache off and bounded", func(c *jwtverify.Config) { c.DisableCache, c.CacheBytes = true, 1 }, []string{"DisableCache"}, 0},
		{"negative cache", func(c *jwtverify.Config) { c.CacheBytes = -1 }, []string{"CacheBytes"}, 0},
		{"negative entries", func(c *jwtverify.Config) { c.CacheEntries = -1 }, []string{"CacheEntries"}, 0},
		{"three at once", func(c *jwtverify.Config) { c.Audiences, c.Leeway, c.Algorithms = nil, time.Hour, []string{"none"} },
			[]string{"Audiences is empty", "Leeway 1h0m0s", `"none"`}, 3},
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

func manyNames(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "claim%d ", i)
	}
	return b.String()
}

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
		"the longest token":           func(c *jwtverify.Config) { c.MaxTokenBytes = jwtverify.MaxTokenBytesLimit },
		"as many scope claims":        func(c *jwtverify.Config) { c.ScopeClaims = strings.Fields(manyNames(8)) },
		"a claim required already":    func(c *jwtverify.Config) { c.RequiredClaims = strings.Fields(manyNames(61) + "exp iss") },
		"http on loopback, own keys":  func(c *jwtverify.Config) { c.Issuer = "http://127.0.0.1:9400" },
		"http on loopback 6":          func(c *jwtverify.Config) { c.Issuer = "http://[::1]:9400" },
		"what no URL parser takes":    func(c *jwtverify.Config) { c.Issuer = "http://%zz" },
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

// req: R7517-06: EdDSA and Ed25519 are one algorithm, whichever is configured.
// An algorithm that is not named is not accepted, whatever keys there are.
func TestNoOtherAlgorithm(t *testing.T) {
	signers := map[string]signer{}
	var keys []jwks.Key
	for _, alg := range []string{"RS256", "PS256", "ES256", "ES384", "EdDSA"} {
		signers[alg] = newSigner(t, alg, "k-"+alg)
		keys = append(keys, signers[alg].Public(t))
	}
	set, err := jwks.NewSet(keys...)
	require.NoError(t, err)
	for only := range signers {
		c := config(set)
		c.Algorithms = []string{only}
		v := newVerifier(t, c)
		for alg, s := range signers {
			token, err := v.Verify(t.Context(), s.Sign(t, nil))
			if alg == only {
				require.NoError(t, err)
			} else {
				requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonAlgorithm)
			}
		}
	}
}

func TestBothNamesOfEdDSA(t *testing.T) {
	key := newSigner(t, "EdDSA", "k")
	for _, configured := range []string{"EdDSA", "Ed25519"} {
		for _, used := range []string{"EdDSA", "Ed25519"} {
			c := config(key.Set(t))
			c.Algorithms = []string{configured}
			_, err := newVerifier(t, c).Verify(t.Context(), signer{Alg: used, KeyID: "k", Key: key.Key}.Sign(t, nil))
			require.NoError(t, err, "%s for %s", used, configured)
		}
	}
}

// Each boundary on both sides, to the second and to the nanosecond.
// req: R7519-05, R7519-06, R7519-07, R9068-06, R6750-13
func TestTimeBoundaries(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	at := func(d time.Duration) json.Number { // NumericDate with nanoseconds
		u := now.Add(d)
		return json.Number(fmt.Sprintf("%d.%09d", u.Unix(), u.Nanosecond()))
	}
	for _, leeway := range []time.Duration{0, jwtverify.DefaultLeeway, time.Minute, jwtverify.MaxLeeway} {
		for _, tt := range []struct {
			claim  string
			at     time.Duration
			reason bearergate.Reason
		}{
			{"exp", -leeway + 1, ""},
			{"exp", -leeway, bearergate.ReasonExpired},
			{"exp", -leeway - 1, bearergate.ReasonExpired},
			{"nbf", leeway, ""},
			{"nbf", leeway + 1, bearergate.ReasonNotYetValid},
			{"iat", leeway, ""},
			{"iat", leeway + 1, bearergate.ReasonNotYetValid},
		} {
			t.Run(fmt.Sprintf("leeway %v, %s at %v", leeway, tt.claim, tt.at), func(t *testing.T) {
				c := config(s.Set(t))
				c.Leeway, c.NoLeeway = leeway, leeway == 0
				token, err := newVerifier(t, c).Verify(t.Context(), s.Sign(t, map[string]any{tt.claim: at(tt.at)}))
				if tt.reason == "" {
					require.NoError(t, err)
					return
				}
				requireError(t, token, err, bearergate.ErrInvalidToken, tt.reason)
			})
		}
	}
}

func TestTokenBytes(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	raw := s.Sign(t, nil)
	for limit, reason := range map[int]bearergate.Reason{len(raw): "", len(raw) - 1: bearergate.ReasonTooLarge} {
		c := config(s.Set(t))
		c.MaxTokenBytes = limit
		token, err := newVerifier(t, c).Verify(t.Context(), raw)
		if reason == "" {
			require.NoError(t, err)
			continue
		}
		requireError(t, token, err, bearergate.ErrInvalidToken, reason)
	}
	v := newVerifier(t, config(s.Set(t)))
	token, err := v.Verify(t.Context(), strings.Repeat("a", jwtverify.DefaultMaxTokenBytes+1))
	requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonTooLarge)
	token, err = v.Verify(t.Context(), strings.Repeat("a", jwtverify.DefaultMaxTokenBytes))
	requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonMalformed)
}

func TestWhatATokenSays(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	c := config(s.Set(t))
	c.Confirmations = []string{"jkt"}
	token, err := newVerifier(t, c).Verify(t.Context(), s.Sign(t, map[string]any{
		"aud": []string{"other", audience}, "nbf": now.Add(-time.Minute).Unix(), "auth_time": 0, "acr": "gold",
		"act":    map[string]any{"sub": "agent", "iss": "i", "client_id": "c", "act": map[string]any{"sub": "earlier"}},
		"cnf":    map[string]any{"jkt": "thumb"},
		"tenant": map[string]any{"id": int64(9007199254740993)},
	}))
	require.NoError(t, err)
	require.Equal(t, issuer, token.Issuer())
	require.Equal(t, "user-1", token.Subject())
	require.Equal(t, "client-1", token.ClientID())
	require.Equal(t, "id-1", token.ID())
	require.Equal(t, []string{"other", audience}, token.Audience())
	require.Equal(t, []string{"read", "write"}, token.Scopes().Names())
	require.Equal(t, now.Add(time.Hour), token.ExpiresAt())
	require.Equal(t, now, token.IssuedAt())
	require.Equal(t, now.Add(-time.Minute), token.NotBefore())
	authTime, ok := token.AuthTime()
	require.True(t, ok)
	require.Equal(t, time.Unix(0, 0).UTC(), authTime)
	require.Equal(t, "gold", token.ACR())
	require.Equal(t, []bearergate.Actor{{Subject: "agent", Issuer: "i", ClientID: "c"}, {Subject: "earlier"}}, token.Actor())
	jkt, ok := token.Confirmation().Value("jkt")
	require.True(t, ok)
	require.Equal(t, "thumb", jkt)
	require.False(t, token.IsClient())
	require.False(t, token.Stale())
	var custom struct {
		Tenant struct {
			ID int64 `json:"id"`
		} `json:"tenant"`
	}
	require.NoError(t, token.Claims(&custom))
	require.Equal(t, int64(9007199254740993), custom.Tenant.ID)
}

// Issuer and audience are compared exactly.
func TestIssuerAndAudience(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	v := newVerifier(t, config(s.Set(t)))
	for name, tt := range map[string]struct {
		claims map[string]any
		reason bearergate.Reason
	}{
		"another issuer":        {map[string]any{"iss": "https://evil.example.com/"}, bearergate.ReasonIssuer},
		"iss in another case":   {map[string]any{"iss": "https://AS.example.com/"}, bearergate.ReasonIssuer},
		"iss without the slash": {map[string]any{"iss": issuer[:len(issuer)-1]}, bearergate.ReasonIssuer},
		"no iss":                {map[string]any{"iss": absent}, bearergate.ReasonMissingClaim},
		"another audience":      {map[string]any{"aud": "https://other.example.com/"}, bearergate.ReasonAudience},
		"ours within another":   {map[string]any{"aud": audience + "x"}, bearergate.ReasonAudience},
		"ours in another case":  {map[string]any{"aud": []string{"HTTPS://rs.example.com/"}}, bearergate.ReasonAudience},
		"no aud":                {map[string]any{"aud": absent}, bearergate.ReasonMissingClaim},
	} {
		t.Run(name, func(t *testing.T) {
			token, err := v.Verify(t.Context(), s.Sign(t, tt.claims))
			requireError(t, token, err, bearergate.ErrInvalidToken, tt.reason)
		})
	}
}

// A required claim is present, of its type, and not empty.
func TestRequiredClaims(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	c := config(s.Set(t))
	c.RequiredClaims = []string{"tenant"}
	v := newVerifier(t, c)
	for name, value := range map[string]any{"string": "x", "number": 0, "false": false, "array": []int{0}, "object": map[string]any{"": nil}, "space": " "} {
		_, err := v.Verify(t.Context(), s.Sign(t, map[string]any{"tenant": value}))
		require.NoError(t, err, name)
	}
	for name, value := range map[string]any{"absent": absent, "null": nil, "empty string": "", "empty array": []int{}, "empty object": map[string]any{}} {
		token, err := v.Verify(t.Context(), s.Sign(t, map[string]any{"tenant": value, "Tenant": "x"}))
		requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonMissingClaim)
		_ = name
	}
}

func TestMaxTokenAge(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	c := config(s.Set(t))
	c.MaxTokenAge = time.Hour
	v := newVerifier(t, c)
	_, err := v.Verify(t.Context(), s.Sign(t, nil))
	require.NoError(t, err)
	token, err := v.Verify(t.Context(), s.Sign(t, map[string]any{"exp": now.Add(time.Hour + time.Second).Unix()}))
	requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonPolicy)
	token, err = v.Verify(t.Context(), s.Sign(t, map[string]any{"iat": absent}))
	requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonMissingClaim)
	c.MaxTokenAge = 1
	token, err = newVerifier(t, c).Verify(t.Context(), s.Sign(t, map[string]any{"exp": now.Add(time.Second).Unix()}))
	requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonPolicy)
	token, err = newVerifier(t, c).Verify(t.Context(), s.Sign(t, map[string]any{"iat": absent}))
	requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonMissingClaim)
}

func TestScopeClaims(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	for _, tt := range []struct {
		name   string
		names  []string
		claims map[string]any
		want   []string // nil: malformed
	}{
		{"string", nil, map[string]any{"scope": "a b"}, []string{"a", "b"}},
		{"odd spaces", nil, map[string]any{"scope": "  a   b "}, []string{"a", "b"}},
		{"empty", nil, map[string]any{"scope": ""}, []string{}},
		{"absent", nil, map[string]any{"scope": absent}, []string{}},
		{"tab is no separator", nil, map[string]any{"scope": "a\tb c"}, []string{"c"}},
		{"array", nil, map[string]any{"scope": []string{"a", "b"}}, []string{"a", "b"}},
		{"array with an odd name", nil, map[string]any{"scope": []string{"a b", "c"}}, []string{"c"}},
		{"scp", nil, map[string]any{"scope": absent, "scp": []string{"a"}}, []string{"a"}},
		{"the first present wins", nil, map[string]any{"scope": "a", "scp": "b"}, []string{"a"}},
		{"even when empty", nil, map[string]any{"scope": "", "scp": "b"}, []string{}},
		{"configured order", []string{"scp", "scope"}, map[string]any{"scope": "a", "scp": "b"}, []string{"b"}},
		{"not configured", []string{"permissions"}, map[string]any{"scope": "a", "permissions": "b"}, []string{"b"}},
		{"null", nil, map[string]any{"scope": nil}, nil},
		{"number", nil, map[string]any{"scope": 5}, nil},
		{"object", nil, map[string]any{"scope": map[string]any{}}, nil},
		{"mixed array", nil, map[string]any{"scope": []any{"a", 5}}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := config(s.Set(t))
			c.ScopeClaims = tt.names
			token, err := newVerifier(t, c).Verify(t.Context(), s.Sign(t, tt.claims))
			if tt.want == nil {
				requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonMalformed)
				return
			}
			require.NoError(t, err)
			require.ElementsMatch(t, tt.want, token.Scopes().Names())
		})
	}
}

func TestConfirmations(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	c := config(s.Set(t))
	none := newVerifier(t, c)
	c.Confirmations = []string{"x5t#S256", "jkt"}
	both := newVerifier(t, c)
	for _, tt := range []struct {
		name         string
		cnf          any
		none, listed bearergate.Reason
	}{
		{"unbound", absent, "", ""},
		{"certificate", map[string]any{"x5t#S256": "a"}, bearergate.ReasonBinding, ""},
		{"both", map[string]any{"x5t#S256": "a", "jkt": "b"}, bearergate.ReasonBinding, ""},
		{"one of them unknown", map[string]any{"x5t#S256": "a", "jwk": map[string]any{"kty": "EC"}}, bearergate.ReasonBinding, bearergate.ReasonBinding},
		{"folded name", map[string]any{"X5T#S256": "a"}, bearergate.ReasonBinding, bearergate.ReasonBinding},
		{"empty object", map[string]any{}, bearergate.ReasonMalformed, bearergate.ReasonMalformed},
		{"empty member", map[string]any{"jkt": ""}, bearergate.ReasonMalformed, bearergate.ReasonMalformed},
		{"null member", map[string]any{"jkt": nil}, bearergate.ReasonMalformed, bearergate.ReasonMalformed},
		{"member of a wrong type", map[string]any{"x5t#S256": []string{"a"}}, bearergate.ReasonMalformed, bearergate.ReasonMalformed},
		{"null", nil, bearergate.ReasonMalformed, bearergate.ReasonMalformed},
		{"string", "jkt", bearergate.ReasonMalformed, bearergate.ReasonMalformed},
		{"array", []string{"jkt"}, bearergate.ReasonMalformed, bearergate.ReasonMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			raw := s.Sign(t, map[string]any{"cnf": tt.cnf})
			for v, reason := range map[*jwtverify.Verifier]bearergate.Reason{none: tt.none, both: tt.listed} {
				token, err := v.Verify(t.Context(), raw)
				if reason == "" {
					require.NoError(t, err)
					continue
				}
				requireError(t, token, err, bearergate.ErrInvalidToken, reason)
			}
		})
	}
}

func TestActorChain(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	v := newVerifier(t, config(s.Set(t)))
	chain := func(n int) any {
		var act any
		for range n {
			next := map[string]any{"sub": "a"}
			if act != nil {
				next["act"] = act
			}
			act = next
		}
		return act
	}
	token, err := v.Verify(t.Context(), s.Sign(t, map[string]any{"act": chain(16)}))
	require.NoError(t, err)
	require.Len(t, token.Actor(), 16)
	for name, act := range map[string]any{"too long": chain(17), "null": nil, "string": "a", "sub": map[string]any{"sub": 1}, "inner": map[string]any{"act": "x"}} {
		token, err := v.Verify(t.Context(), s.Sign(t, map[string]any{"act": act}))
		requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonMalformed)
		_ = name
	}
}

type sourceFunc func(ctx context.Context, kid, alg string) ([]jwks.Key, error)

func (f sourceFunc) Keys(ctx context.Context, kid, alg string) ([]jwks.Key, error) {
	return f(ctx, kid, alg)
}

func TestKeySources(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	raw := s.Sign(t, nil)
	for _, tt := range []struct {
		name   string
		keys   []jwks.Key
		err    error
		kind   error
		reason bearergate.Reason
	}{
		{"the key", []jwks.Key{s.Public(t)}, nil, nil, ""},
		{"the key among others", []jwks.Key{newSigner(t, "ES256", "k").Public(t), s.Public(t)}, nil, nil, ""},
		{"no key", nil, nil, bearergate.ErrInvalidToken, bearergate.ReasonUnknownKey},
		{"a plain error", nil, io.ErrUnexpectedEOF, bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable},
		{"a plain error beside the key", []jwks.Key{s.Public(t)}, io.EOF, bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable},
		{"an error with two sentinels", nil, errors.Join(bearergate.ErrInvalidToken, bearergate.ErrMissingToken), bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable},
		{"an error of our own", nil, &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonConfig}, bearergate.ErrMisconfigured, bearergate.ReasonConfig},
		{"a key of another kid", []jwks.Key{signer{Alg: "ES256", KeyID: "other", Key: s.Key}.Public(t)}, nil, bearergate.ErrMisconfigured, bearergate.ReasonInternal},
		{"the zero key", []jwks.Key{{}}, nil, bearergate.ErrMisconfigured, bearergate.ReasonInternal},
		{"a key of another algorithm", []jwks.Key{newSigner(t, "EdDSA", "k").Public(t)}, nil, bearergate.ErrInvalidToken, bearergate.ReasonSignature},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := newVerifier(t, config(sourceFunc(func(context.Context, string, string) ([]jwks.Key, error) { return tt.keys, tt.err })))
			token, err := v.Verify(t.Context(), raw)
			if tt.kind == nil {
				require.NoError(t, err)
				return
			}
			requireError(t, token, err, tt.kind, tt.reason)
		})
	}
}

// req: R7517-03: several keys with one kid: at most four are tried.
func TestAtMostFourKeysAreTried(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	for place, ok := range []bool{true, true, true, true, false} {
		keys := make([]jwks.Key, 5)
		for i := range keys {
			keys[i] = newSigner(t, "ES256", "k").Public(t)
		}
		keys[place] = s.Public(t)
		set, err := jwks.NewSet(keys...)
		require.NoError(t, err)
		token, err := newVerifier(t, config(set)).Verify(t.Context(), s.Sign(t, nil))
		if ok {
			require.NoError(t, err)
			continue
		}
		requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonSignature)
	}
}

// missSource has one key until it is told of a miss.
type missSource struct {
	before, after []jwks.Key
	err           error
	misses        int
}

func (s *missSource) Keys(context.Context, string, string) ([]jwks.Key, error) {
	if s.misses > 0 {
		return s.after, nil
	}
	return s.before, nil
}

func (s *missSource) KeysAfterMiss(context.Context, string) ([]jwks.Key, error) {
	s.misses++
	return s.after, s.err
}

func TestTokenWithoutKeyID(t *testing.T) {
	s, other := newSigner(t, "ES256", ""), newSigner(t, "ES256", "o")
	raw := s.Sign(t, nil)
	for _, tt := range []struct {
		name   string
		source missSource
		misses int
		kind   error
		reason bearergate.Reason
	}{
		{"the only key", missSource{before: []jwks.Key{s.Public(t)}}, 0, nil, ""},
		{"none", missSource{}, 0, bearergate.ErrInvalidToken, bearergate.ReasonUnknownKey},
		{"two", missSource{before: []jwks.Key{s.Public(t), other.Public(t)}}, 0, bearergate.ErrInvalidToken, bearergate.ReasonUnknownKey},
		{"rotated", missSource{before: []jwks.Key{other.Public(t)}, after: []jwks.Key{s.Public(t)}}, 1, nil, ""},
		{"not rotated", missSource{before: []jwks.Key{other.Public(t)}, after: []jwks.Key{other.Public(t)}}, 1, bearergate.ErrInvalidToken, bearergate.ReasonSignature},
		{"rotated to yet another", missSource{before: []jwks.Key{other.Public(t)}, after: []jwks.Key{newSigner(t, "ES256", "").Public(t)}}, 1,
			bearergate.ErrInvalidToken, bearergate.ReasonSignature},
		{"two after", missSource{before: []jwks.Key{other.Public(t)}, after: []jwks.Key{s.Public(t), other.Public(t)}}, 1, bearergate.ErrInvalidToken, bearergate.ReasonSignature},
		{"cannot be asked", missSource{before: []jwks.Key{other.Public(t)}, err: io.EOF}, 1, bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			token, err := newVerifier(t, config(&tt.source)).Verify(t.Context(), raw)
			require.Equal(t, tt.misses, tt.source.misses)
			if tt.kind == nil {
				require.NoError(t, err)
				return
			}
			requireError(t, token, err, tt.kind, tt.reason)
		})
	}

	// With a kid, a bad signature asks for nothing.
	source := missSource{before: []jwks.Key{other.Public(t)}}
	token, err := newVerifier(t, config(&source)).Verify(t.Context(), signer{Alg: "ES256", KeyID: "o", Key: s.Key}.Sign(t, nil))
	requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonSignature)
	require.Zero(t, source.misses)
}

func TestCheck(t *testing.T) {
	t.Setenv("GODEBUG", "panicnil=1") // recover returns nil for panic(nil), as it did before Go 1.21
	s := newSigner(t, "ES256", "k")
	raw := s.Sign(t, nil)
	canceled, cancel := context.WithCancel(t.Context())
	for _, tt := range []struct {
		name   string
		check  func(context.Context, *bearergate.Token) error
		kind   error
		reason bearergate.Reason
	}{
		{"accepts", func(_ context.Context, token *bearergate.Token) error {
			if token.Subject() != "user-1" {
				return errors.New("no claims")
			}
			return nil
		}, nil, ""},
		{"any error", func(context.Context, *bearergate.Token) error { return errors.New("no") }, bearergate.ErrInvalidToken, bearergate.ReasonPolicy},
		{"a bare sentinel", func(context.Context, *bearergate.Token) error {
			return fmt.Errorf("x: %w", bearergate.ErrInsufficientScope)
		},
			bearergate.ErrInsufficientScope, bearergate.ReasonScope},
		{"an Error", func(context.Context, *bearergate.Token) error {
			return &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonRevoked}
		}, bearergate.ErrInvalidToken, bearergate.ReasonRevoked},
		{"a Reason that is none", func(context.Context, *bearergate.Token) error {
			return &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: "user-1 is banned"}
		}, bearergate.ErrInvalidToken, bearergate.ReasonPolicy},
		{"two sentinels", func(context.Context, *bearergate.Token) error {
			return errors.Join(bearergate.ErrUnavailable, bearergate.ErrMissingToken)
		}, bearergate.ErrInvalidToken, bearergate.ReasonPolicy},
		{"its own timeout", func(context.Context, *bearergate.Token) error { return fmt.Errorf("db: %w", context.DeadlineExceeded) },
			bearergate.ErrUnavailable, bearergate.ReasonCanceled},
		{"a call of its own that was canceled", func(context.Context, *bearergate.Token) error { return fmt.Errorf("db: %w", context.Canceled) },
			bearergate.ErrUnavailable, bearergate.ReasonCanceled},
		{"panics with nil", func(context.Context, *bearergate.Token) error { panic(nil) }, bearergate.ErrMisconfigured, bearergate.ReasonInternal},
		{"panics", func(context.Context, *bearergate.Token) error { panic(raw) }, bearergate.ErrMisconfigured, bearergate.ReasonInternal},
		{"the caller goes away", func(ctx context.Context, _ *bearergate.Token) error { cancel(); <-ctx.Done(); return ctx.Err() },
			bearergate.ErrUnavailable, bearergate.ReasonCanceled},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := config(s.Set(t))
			c.Check = tt.check
			for range 2 { // from the cache too
				token, err := newVerifier(t, c).Verify(canceled, raw)
				if tt.kind == nil {
					require.NoError(t, err)
					continue
				}
				requireError(t, token, err, tt.kind, tt.reason)
				require.NotContains(t, err.Error(), raw)
				var e *bearergate.Error
				require.ErrorAs(t, err, &e)
			}
		})
	}
}

// Check is asked about tokens that are valid, and about no others.
func TestCheckIsNotAskedAboutARefusedToken(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	at := now
	c := config(s.Set(t))
	c.Now = func() time.Time { return at }
	c.Check = func(_ context.Context, token *bearergate.Token) error {
		require.NotNil(t, token)
		return nil
	}
	var last jwtverify.VerifyEvent
	c.Hooks.Verified = func(_ context.Context, e jwtverify.VerifyEvent) { last = e }
	v := newVerifier(t, c)
	token, err := v.Verify(t.Context(), s.Sign(t, map[string]any{"aud": "x"}))
	requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonAudience)
	require.False(t, last.Cached)

	raw := s.Sign(t, map[string]any{"nbf": now.Unix(), "iat": now.Add(-time.Hour).Unix()})
	_, err = v.Verify(t.Context(), raw)
	require.NoError(t, err)
	for _, tt := range []struct {
		at     time.Duration
		reason bearergate.Reason
	}{
		{-jwtverify.DefaultLeeway - 1, bearergate.ReasonNotYetValid}, // the clock was set back, behind nbf but not iat
		{2 * time.Hour, bearergate.ReasonExpired},
	} {
		at = now.Add(tt.at)
		token, err = v.Verify(t.Context(), raw)
		requireError(t, token, err, bearergate.ErrInvalidToken, tt.reason)
		require.True(t, last.Cached, "remembered, and judged again")
	}
}

// As many tokens are remembered as the configuration says.
func TestCacheEntries(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	const tokens = 300
	remembered := func(entries int) (n int) {
		c := config(s.Set(t))
		c.CacheEntries = entries
		c.Hooks.Verified = func(_ context.Context, e jwtverify.VerifyEvent) {
			if e.Cached {
				n++
			}
		}
		v := newVerifier(t, c)
		var all []string
		for i := range tokens {
			all = append(all, s.Sign(t, map[string]any{"jti": fmt.Sprint(i)}))
		}
		for range 2 {
			for _, raw := range all {
				_, err := v.Verify(t.Context(), raw)
				require.NoError(t, err)
			}
		}
		return n
	}
	require.Equal(t, tokens, remembered(0))
	require.Less(t, remembered(1), tokens)
}

// A decision from the cache equals one without: Check, times and keys are
// looked at on every call.
func TestCacheDecidesNothingByItself(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	raw := s.Sign(t, nil)
	clock := now
	keys, keyErr := []jwks.Key{s.Public(t)}, error(nil)
	var refuse error
	checks := 0
	var cached []bool
	c := config(sourceFunc(func(context.Context, string, string) ([]jwks.Key, error) { return keys, keyErr }))
	c.Now = func() time.Time { return clock }
	c.Check = func(context.Context, *bearergate.Token) error { checks++; return refuse }
	c.Hooks.Verified = func(_ context.Context, e jwtverify.VerifyEvent) { cached = append(cached, e.Cached) }
	v := newVerifier(t, c)

	first, err := v.Verify(t.Context(), raw)
	require.NoError(t, err)
	second, err := v.Verify(t.Context(), raw)
	require.NoError(t, err)
	require.Same(t, first, second)
	require.Equal(t, 2, checks)

	refuse = errors.New("revoked since")
	token, err := v.Verify(t.Context(), raw)
	requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonPolicy)
	refuse = nil

	// One bit more or less is another token.
	token, err = v.Verify(t.Context(), raw[:len(raw)-2]+"AA")
	requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonSignature)

	clock = now.Add(time.Hour + jwtverify.DefaultLeeway)
	token, err = v.Verify(t.Context(), raw)
	requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonExpired)
	clock = now.Add(-time.Hour) // set back: iat is in the future again
	token, err = v.Verify(t.Context(), raw)
	requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonNotYetValid)
	clock = now

	keyErr = io.EOF
	token, err = v.Verify(t.Context(), raw)
	requireError(t, token, err, bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)
	keys, keyErr = nil, nil // withdrawn
	token, err = v.Verify(t.Context(), raw)
	requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonUnknownKey)
	keys = []jwks.Key{newSigner(t, "ES256", "k").Public(t)} // replaced under the same kid
	token, err = v.Verify(t.Context(), raw)
	requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonSignature)
	keys = []jwks.Key{s.Public(t)}
	_, err = v.Verify(t.Context(), raw)
	require.NoError(t, err)

	require.Equal(t, []bool{false, true, true, false, true, true, false, false, false, true}, cached)
}

// A second key that fits makes a token without kid ambiguous, cached or not.
func TestCachedTokenWithoutKeyID(t *testing.T) {
	s := newSigner(t, "ES256", "")
	keys := []jwks.Key{s.Public(t)}
	v := newVerifier(t, config(sourceFunc(func(context.Context, string, string) ([]jwks.Key, error) { return keys, nil })))
	raw := s.Sign(t, nil)
	for range 2 {
		_, err := v.Verify(t.Context(), raw)
		require.NoError(t, err)
	}
	keys = append(keys, newSigner(t, "ES256", "").Public(t))
	token, err := v.Verify(t.Context(), raw)
	requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonUnknownKey)
}

func TestCacheEntriesEnd(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	for name, tt := range map[string]struct {
		disabled bool
		life     time.Duration
		cached   []bool // at once, after 4:59, after 5 minutes
	}{
		"five minutes": {false, time.Hour, []bool{true, true, false}},
		"disabled":     {true, time.Hour, []bool{false, false, false}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := config(s.Set(t))
				c.Now = nil
				c.DisableCache = tt.disabled
				var cached []bool
				c.Hooks.Verified = func(_ context.Context, e jwtverify.VerifyEvent) { cached = append(cached, e.Cached) }
				v := newVerifier(t, c)
				raw := s.Sign(t, map[string]any{"iat": time.Now().Unix(), "exp": time.Now().Add(tt.life).Unix()})
				for _, wait := range []time.Duration{0, 0, jwtverify.CacheTTL - time.Second, time.Second} {
					time.Sleep(wait) // the bubble's clock
					_, err := v.Verify(t.Context(), raw)
					require.NoError(t, err)
				}
				require.Equal(t, tt.cached, cached[1:])
			})
		})
	}
}

func TestContext(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	raw := s.Sign(t, nil)
	v := newVerifier(t, config(s.Set(t)))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	token, err := v.Verify(ctx, raw)
	requireError(t, token, err, bearergate.ErrUnavailable, bearergate.ReasonCanceled)
	require.ErrorIs(t, err, context.Canceled)

	waits := newVerifier(t, config(sourceFunc(func(ctx context.Context, _, _ string) ([]jwks.Key, error) {
		<-ctx.Done()
		return nil, fmt.Errorf("source: %w", ctx.Err())
	})))
	ctx, cancel = context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	token, err = waits.Verify(ctx, raw)
	requireError(t, token, err, bearergate.ErrUnavailable, bearergate.ReasonCanceled)
	require.ErrorIs(t, err, context.DeadlineExceeded)

	var none context.Context
	_, err = v.Verify(none, raw)
	require.NoError(t, err)
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

func TestHooks(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	var events []jwtverify.VerifyEvent
	var panics []jwtverify.PanicEvent
	record := jwtverify.Hooks{
		Verified: func(ctx context.Context, e jwtverify.VerifyEvent) {
			require.NoError(t, ctx.Err())
			events = append(events, e)
		},
		Panicked: func(_ context.Context, e jwtverify.PanicEvent) { panics = append(panics, e) },
	}
	c := config(s.Set(t))
	c.Hooks = jwtverify.JoinHooks(
		jwtverify.Hooks{Verified: func(context.Context, jwtverify.VerifyEvent) { panic("first") }},
		jwtverify.Hooks{Panicked: func(context.Context, jwtverify.PanicEvent) { panic("second") }},
		jwtverify.Hooks{}, record)
	v := newVerifier(t, c)
	token, err := v.Verify(t.Context(), s.Sign(t, nil))
	require.NoError(t, err)
	_, err = v.Verify(t.Context(), s.Sign(t, map[string]any{"aud": "x"}))
	require.Error(t, err)

	require.Len(t, events, 2)
	require.Equal(t, issuer, events[0].Issuer)
	require.Same(t, token, events[0].Token)
	require.NoError(t, events[0].Err)
	require.Positive(t, events[0].Duration)
	require.Nil(t, events[1].Token)
	require.Equal(t, err, events[1].Err)
	require.Len(t, panics, 2)
	require.Equal(t, "first", panics[0].Value)
	require.Contains(t, string(panics[0].Stack), "TestHooks")

	// A hook given alone is guarded as well.
	c.Hooks = jwtverify.Hooks{Verified: func(context.Context, jwtverify.VerifyEvent) { panic("alone") }}
	_, err = newVerifier(t, c).Verify(t.Context(), s.Sign(t, nil))
	require.NoError(t, err)

	empty := jwtverify.JoinHooks(jwtverify.Hooks{}, jwtverify.Hooks{})
	require.Nil(t, empty.Verified)
	require.Nil(t, empty.Panicked)
}

func TestPanickingKeySource(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	raw := s.Sign(t, nil)
	c := config(sourceFunc(func(context.Context, string, string) ([]jwks.Key, error) { panic(raw) }))
	reported := 0
	c.Hooks.Panicked = func(context.Context, jwtverify.PanicEvent) { reported++ }
	token, err := newVerifier(t, c).Verify(t.Context(), raw)
	requireError(t, token, err, bearergate.ErrMisconfigured, bearergate.ReasonInternal)
	require.NotContains(t, err.Error(), raw)
	require.Equal(t, 1, reported)
}

func TestWarm(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	require.NoError(t, newVerifier(t, config(s.Set(t))).Warm(t.Context()))

	c := config(newSigner(t, "ES512", "k").Set(t)) // not among the defaults
	requireError(t, nil, newVerifier(t, c).Warm(t.Context()), bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)

	c = config(nil)
	c.HTTPClient = &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF })}
	v := newVerifier(t, c)
	requireError(t, nil, v.Warm(t.Context()), bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)
	require.IsType(t, &jwks.Cache{}, v.Keys())
	require.Positive(t, bearergate.AsError(v.Warm(t.Context())).RetryAfter)

	// A cache has a key, but none for what is accepted.
	synctest.Test(t, func(t *testing.T) {
		as := authtest.New(t)
		c := jwtverify.Config{Issuer: as.Issuer(), Audiences: []string{audience}, HTTPClient: as.Client(), Algorithms: []string{"RS256"}}
		requireError(t, nil, newVerifier(t, c).Warm(t.Context()), bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)
	})

	// A source of another kind is asked for keys, and may have a bad day.
	for name, tt := range map[string]struct {
		keys []jwks.Key
		err  error
	}{
		"no key": {nil, nil}, "an error": {nil, io.EOF}, "an error beside a key": {[]jwks.Key{s.Public(t)}, io.EOF},
	} {
		v := newVerifier(t, config(sourceFunc(func(context.Context, string, string) ([]jwks.Key, error) { return tt.keys, tt.err })))
		err := v.Warm(t.Context())
		requireError(t, nil, err, bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)
		require.Equal(t, tt.err != nil, errors.Is(err, io.EOF), name)
	}

	// The context is the caller's, and may be nil.
	waits := newVerifier(t, config(sourceFunc(func(ctx context.Context, _, _ string) ([]jwks.Key, error) { return []jwks.Key{s.Public(t)}, ctx.Err() })))
	var none context.Context
	require.NoError(t, waits.Warm(none))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	requireError(t, nil, waits.Warm(ctx), bearergate.ErrUnavailable, bearergate.ReasonCanceled)
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Warm asks once, and leaves what is kept for the first rotation.
func TestWarmLeavesTheUnknownKeySlotAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as := authtest.New(t) // ES256 only: nothing serves the first of the default algorithms
		v := newVerifier(t, jwtverify.Config{Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client()})
		require.NoError(t, v.Warm(t.Context()))
		require.Equal(t, 1, as.Requests("/jwks"))
		as.Rotate()
		_, err := v.Verify(t.Context(), as.Token(authtest.Claims{}))
		require.NoError(t, err)
		require.Equal(t, 2, as.Requests("/jwks"))
	})
}

type panickingIssuer struct{ jwks.Source }

func (panickingIssuer) Issuer() string { panic("no") }

func TestPanicsInTheConfigurationAreErrors(t *testing.T) {
	c := config(panickingIssuer{newSigner(t, "ES256", "k").Set(t)})
	_, err := jwtverify.New(c)
	requireError(t, nil, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	requireError(t, nil, newVerifier(t, config(struct{ jwks.Source }{})).Warm(t.Context()), bearergate.ErrMisconfigured, bearergate.ReasonInternal)
}

// The end of the caller's context is never the token's fault, however the
// user's code reports it.
func TestEndedContextsOfUserCode(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	raw := s.Sign(t, nil)
	cause := errors.New("too slow")
	for name, report := range map[string]func(context.Context) error{
		"its error":        func(ctx context.Context) error { return fmt.Errorf("x: %w", ctx.Err()) },
		"its cause":        func(ctx context.Context) error { return fmt.Errorf("x: %w", context.Cause(ctx)) },
		"with a sentinel":  func(ctx context.Context) error { return fmt.Errorf("%w: %w", bearergate.ErrUnavailable, ctx.Err()) },
		"a sentinel alone": func(context.Context) error { return bearergate.ErrUnavailable },
	} {
		waits := func(ctx context.Context) error { <-ctx.Done(); return report(ctx) }
		check := config(s.Set(t))
		check.Check = func(ctx context.Context, _ *bearergate.Token) error { return waits(ctx) }
		source := config(sourceFunc(func(ctx context.Context, _, _ string) ([]jwks.Key, error) { return nil, waits(ctx) }))
		for where, c := range map[string]jwtverify.Config{"Check": check, "Source": source} {
			t.Run(where+" returns "+name, func(t *testing.T) {
				ctx, cancel := context.WithTimeoutCause(t.Context(), time.Millisecond, cause)
				defer cancel()
				token, err := newVerifier(t, c).Verify(ctx, raw)
				requireError(t, token, err, bearergate.ErrUnavailable, bearergate.ReasonCanceled)
				require.ErrorIs(t, err, context.DeadlineExceeded)
			})
		}
	}
	// An error that blames the token stays what it is.
	c := config(s.Set(t))
	for reason, err := range map[bearergate.Reason]error{
		bearergate.ReasonRevoked: &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonRevoked},
		bearergate.ReasonBinding: &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonBinding, Cause: context.Canceled},
		bearergate.ReasonPolicy:  errors.New("no"),
	} {
		ctx, cancel := context.WithCancel(t.Context())
		c.Check = func(context.Context, *bearergate.Token) error {
			cancel()
			return err
		}
		token, err := newVerifier(t, c).Verify(ctx, raw)
		requireError(t, token, err, bearergate.ErrInvalidToken, reason)
	}
}

// A source that ignores alg breaks its contract: cached or not, the key does
// not serve.
func TestCachedKeyMustStillServe(t *testing.T) {
	s := newSigner(t, "RS256", "k")
	key, err := jwks.NewKey("k", s.Key.Public(), "RS256")
	require.NoError(t, err)
	other, err := jwks.NewKey("k", s.Key.Public(), "PS256")
	require.NoError(t, err)
	keys := []jwks.Key{key}
	v := newVerifier(t, config(sourceFunc(func(context.Context, string, string) ([]jwks.Key, error) { return keys, nil })))
	_, err = v.Verify(t.Context(), s.Sign(t, nil))
	require.NoError(t, err)
	raw := s.Sign(t, nil)
	_, err = v.Verify(t.Context(), raw)
	require.NoError(t, err)
	keys = []jwks.Key{other}
	token, err := v.Verify(t.Context(), raw)
	requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonSignature)
}

// The bound on bytes holds for tokens that are made of many small claims.
func TestCacheBytesBoundTheHeap(t *testing.T) {
	s := newSigner(t, "EdDSA", "k")
	names := strings.Fields(manyNames(1500))
	for name, claims := range map[string]map[string]any{
		"scope string": {"scope": strings.Join(names, " ")},
		"scope array":  {"scope": names},
		"aud":          {"aud": append([]string{audience}, names...)},
	} {
		t.Run(name, func(t *testing.T) {
			const limit = 4 << 20
			c := config(s.Set(t))
			c.CacheBytes, c.MaxTokenBytes = limit, 1<<20
			v := newVerifier(t, c)
			before := heap()
			for i := range 200 {
				claims["jti"] = fmt.Sprint(i)
				_, err := v.Verify(t.Context(), s.Sign(t, claims))
				require.NoError(t, err)
			}
			require.Less(t, heap()-before, int64(2*limit))
			runtime.KeepAlive(v)
		})
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestConcurrentUse(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	c := config(s.Set(t))
	c.CacheEntries = 4
	v := newVerifier(t, c)
	tokens := make([]string, 16)
	for i := range tokens {
		tokens[i] = s.Sign(t, map[string]any{"sub": fmt.Sprint(i)})
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 200 {
				token, err := v.Verify(context.Background(), tokens[i%len(tokens)])
				if err != nil || token.Subject() != fmt.Sprint(i%len(tokens)) {
					t.Errorf("%v %v", token, err)
				}
			}
		})
	}
	wg.Wait()
}

// What a warm Verify may allocate is exact, so it is a test.
func TestAllocations(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	v := newVerifier(t, config(s.Set(t)))
	raw := s.Sign(t, nil)
	ctx := t.Context()
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if _, err := v.Verify(ctx, raw); err != nil {
			t.Fatal(err)
		}
	}))
}

func FuzzClaims(f *testing.F) {
	s := newSigner(f, "EdDSA", "k")
	v := newVerifier(f, config(s.Set(f)))
	header := []byte(`{"alg":"EdDSA","typ":"at+jwt","kid":"k"}`)
	for _, seed := range []string{
		`{"iss":"https://as.example.com/","aud":"https://rs.example.com/","exp":1772370000}`,
		`{"iss":"https://as.example.com/","aud":["https://rs.example.com/"],"exp":1772370000.5,"scope":"a b","cnf":{"jkt":"x"}}`,
		`{"iss":"https://as.example.com/","aud":["https://rs.example.com/"],"exp":1.772370000e9,"sub":null,"act":{"sub":"a"}}`,
		`{"iss":"https://as.example.com/","iss":"x"}`, `{}`, `null`, `[]`, ``,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, claims []byte) {
		raw, err := jose.Sign("EdDSA", s.Key, header, claims)
		if err != nil {
			t.Fatal(err)
		}
		token, err := v.Verify(context.Background(), raw)
		if err != nil {
			if token != nil || bearergate.ReasonOf(err) == "" {
				t.Fatalf("%v beside %v", token, err)
			}
			return
		}
		// What is accepted says the same to encoding/json, which folds and forgives.
		var std struct {
			Iss string      `json:"iss"`
			Aud any         `json:"aud"`
			Exp json.Number `json:"exp"`
		}
		if err := json.Unmarshal(claims, &std); err != nil {
			t.Fatalf("encoding/json refuses what was accepted: %v", err)
		}
		var exact map[string]json.RawMessage
		if err := json.Unmarshal(claims, &exact); err != nil || token.Issuer() != issuer || !token.HasAudience(audience) ||
			exact["exp"] == nil || !token.ExpiresAt().After(now.Add(-jwtverify.DefaultLeeway)) {
			t.Fatalf("accepted: %s", claims)
		}
	})
}
