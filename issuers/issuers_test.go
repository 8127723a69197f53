package issuers_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/issuers"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/stretchr/testify/require"
)

const issuerB = "https://other.example.com/"

// recorder is a verifier that writes down what it is asked, and accepts it as
// a token of issuer.
type recorder struct {
	issuer string

	mu     sync.Mutex // guards tokens
	tokens []string
}

func (r *recorder) Verify(_ context.Context, token string) (*bearergate.Token, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tokens = append(r.tokens, token)
	return bearergate.NewToken(bearergate.Claims{Issuer: r.issuer}), nil
}

func (r *recorder) asked() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.tokens)
}

func newRouter(t testing.TB, c issuers.Config) *issuers.Router {
	t.Helper()
	r, err := issuers.NewRouter(c)
	require.NoError(t, err)
	return r
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// unsigned is a compact JWS of the issuer with a signature that is none.
func unsigned(issuer string) string {
	claims, _ := json.Marshal(map[string]any{"iss": issuer})
	return b64(`{"alg":"ES256","kid":"k"}`) + "." + b64(string(claims)) + "."
}

func TestNewRouterNamesEveryMistake(t *testing.T) {
	good := newVerifier(t, config(newSigner(t, "ES256", "k").Set(t)))
	opaque := &recorder{}
	resolve := func(context.Context, string) (bearergate.Verifier, error) { return nil, nil }
	for _, tt := range []struct {
		name   string
		change func(*issuers.Config)
		says   []string
	}{
		{"nothing set", func(c *issuers.Config) { *c = issuers.Config{} }, []string{"no verifier"}},
		{"an empty map", func(c *issuers.Config) {
			*c = issuers.Config{Issuers: map[string]bearergate.Verifier{}}
		}, []string{"no verifier"}},
		{"an empty key", func(c *issuers.Config) { c.Issuers[""] = &recorder{} }, []string{"empty key"}},
		{"a nil verifier", func(c *issuers.Config) { c.Issuers["https://n.example"] = nil }, []string{`"https://n.example"`, "nil"}},
		{"a typed nil verifier", func(c *issuers.Config) { c.Issuers["https://n.example"] = (*jwtverify.Verifier)(nil) }, []string{"nil *jwtverify.Verifier"}},
		{"a nil function", func(c *issuers.Config) { c.Issuers["https://n.example"] = bearergate.VerifierFunc(nil) }, []string{"nil bearergate.VerifierFunc"}},
		{"a zero verifier", func(c *issuers.Config) { c.Issuers["https://n.example"] = new(jwtverify.Verifier) }, []string{`for the issuer ""`}},
		{"another issuer's verifier", func(c *issuers.Config) { c.Issuers[issuerB] = good }, []string{issuerB, issuer}},
		{"another issuer's verifier of another kind", func(c *issuers.Config) { c.Issuers[issuerB] = named{&recorder{}, issuer} }, []string{issuerB, issuer}},
		{"one that panics when asked its name", func(c *issuers.Config) { c.Issuers[issuerB] = unnameable{} }, []string{"Issuer panicked"}},
		{"the wrong slash", func(c *issuers.Config) { c.Issuers[strings.TrimSuffix(issuer, "/")] = good }, []string{"for the issuer"}},
		{"typed nil opaque", func(c *issuers.Config) { c.Opaque = (*recorder)(nil) }, []string{"Opaque is a nil *issuers_test.recorder"}},
		{"token bytes", func(c *issuers.Config) { c.MaxTokenBytes = -1 }, []string{"MaxTokenBytes -1"}},
		{"too many token bytes", func(c *issuers.Config) { c.MaxTokenBytes = issuers.MaxTokenBytesLimit + 1 }, []string{"MaxTokenBytes"}},
		{"resolve without a gate", func(c *issuers.Config) { c.ResolveIssuers = nil }, []string{"ResolveIssuers has 0 entries"}},
		{"a gate without resolve", func(c *issuers.Config) { c.Resolve = nil }, []string{"Resolve, which is nil"}},
		{"a knob without resolve", func(c *issuers.Config) { c.Resolve, c.ResolveIssuers, c.MaxResolved = nil, nil, 1 }, []string{"Resolve, which is nil"}},
		{"a ttl without resolve", func(c *issuers.Config) {
			c.Resolve, c.ResolveIssuers, c.ResolvedTTL = nil, nil, time.Hour
		}, []string{"Resolve, which is nil"}},
		{"a timeout without resolve", func(c *issuers.Config) {
			c.Resolve, c.ResolveIssuers, c.ResolveTimeout = nil, nil, time.Second
		}, []string{"Resolve, which is nil"}},
		{"a rate without resolve", func(c *issuers.Config) {
			c.Resolve, c.ResolveIssuers, c.MaxResolvesPerMinute = nil, nil, 1
		}, []string{"Resolve, which is nil"}},
		{"a million issuers and one", func(c *issuers.Config) {
			c.ResolveIssuers = slices.Repeat([]string{issuerB}, 1<<20+1)
		}, []string{"ResolveIssuers has 1048577 entries"}},
		{"an empty entry", func(c *issuers.Config) { c.ResolveIssuers = []string{""} }, []string{"empty string"}},
		{"in both", func(c *issuers.Config) { c.ResolveIssuers = []string{issuer} }, []string{"choose one"}},
		{"a tenant for a host", func(c *issuers.Config) { c.ResolveIssuers = []string{"https://{tenant}/"} }, []string{"before its path"}},
		{"a tenant in the host", func(c *issuers.Config) { c.ResolveIssuers = []string{"https://{tenant}.example.com/x"} }, []string{"before its path"}},
		{"a tenant for a scheme", func(c *issuers.Config) { c.ResolveIssuers = []string{"{scheme}//as.example.com/x"} }, []string{"before its path"}},
		{"no scheme", func(c *issuers.Config) { c.ResolveIssuers = []string{"as.example.com/a/b/{tenant}"} }, []string{"absolute https URL"}},
		{"another scheme", func(c *issuers.Config) { c.ResolveIssuers = []string{"ftp://as.example.com/{tenant}"} }, []string{"https"}},
		{"no host", func(c *issuers.Config) { c.ResolveIssuers = []string{"https:///{tenant}"} }, []string{"host"}},
		{"userinfo", func(c *issuers.Config) { c.ResolveIssuers = []string{"https://a@b.example/{tenant}"} }, []string{"user information"}},
		{"in the query", func(c *issuers.Config) { c.ResolveIssuers = []string{"https://as.example.com/x?y=/{tenant}"} }, []string{"query"}},
		{"in the fragment", func(c *issuers.Config) { c.ResolveIssuers = []string{"https://as.example.com/x#/{tenant}"} }, []string{"fragment"}},
		{"half a segment", func(c *issuers.Config) { c.ResolveIssuers = []string{"https://as.example.com/t-{tenant}"} }, []string{"whole path segment"}},
		{"not opened", func(c *issuers.Config) { c.ResolveIssuers = []string{"https://as.example.com/tenant}"} }, []string{"whole path segment"}},
		{"no name", func(c *issuers.Config) { c.ResolveIssuers = []string{"https://as.example.com/{}"} }, []string{"whole path segment"}},
		{"not closed", func(c *issuers.Config) { c.ResolveIssuers = []string{"https://as.example.com/{tenant"} }, []string{"whole path segment"}},
		{"nested", func(c *issuers.Config) { c.ResolveIssuers = []string{"https://as.example.com/{{tenant}}"} }, []string{"whole path segment"}},
		{"twice", func(c *issuers.Config) { c.ResolveIssuers = []string{"https://as.example.com/{t}/{t}"} }, []string{"two placeholders"}},
		{"resolved", func(c *issuers.Config) { c.MaxResolved = -1 }, []string{"MaxResolved -1"}},
		{"too many resolved", func(c *issuers.Config) { c.MaxResolved = issuers.MaxResolvedLimit + 1 }, []string{"MaxResolved"}},
		{"ttl", func(c *issuers.Config) { c.ResolvedTTL = -1 }, []string{"ResolvedTTL"}},
		{"too long a ttl", func(c *issuers.Config) { c.ResolvedTTL = 25 * time.Hour }, []string{"ResolvedTTL"}},
		{"timeout", func(c *issuers.Config) { c.ResolveTimeout = 1 }, []string{"ResolveTimeout"}},
		{"too long a timeout", func(c *issuers.Config) { c.ResolveTimeout = time.Hour }, []string{"ResolveTimeout"}},
		{"rate", func(c *issuers.Config) { c.MaxResolvesPerMinute = -1 }, []string{"MaxResolvesPerMinute"}},
		{"too high a rate", func(c *issuers.Config) { c.MaxResolvesPerMinute = 60_001 }, []string{"MaxResolvesPerMinute"}},
		{"four at once", func(c *issuers.Config) {
			c.Issuers[""], c.Opaque, c.MaxTokenBytes, c.ResolveIssuers = nil, bearergate.VerifierFunc(nil), -1, nil
		}, []string{"empty key", "Opaque", "MaxTokenBytes", "ResolveIssuers"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := issuers.Config{
				Issuers: map[string]bearergate.Verifier{issuer: good}, Opaque: opaque,
				Resolve: resolve, ResolveIssuers: []string{"https://login.example.com/{tenant}/v2.0"},
			}
			tt.change(&c)
			r, err := issuers.NewRouter(c)
			require.Nil(t, r)
			requireError(t, nil, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
			for _, text := range tt.says {
				require.ErrorContains(t, err, text)
			}
		})
	}
	require.Zero(t, opaque.asked())
}

type named struct {
	bearergate.Verifier
	issuer string
}

func (n named) Issuer() string { return n.issuer }

type unnameable struct{ bearergate.Verifier }

func (unnameable) Verify(context.Context, string) (*bearergate.Token, error) { return nil, nil }
func (unnameable) Issuer() string                                            { panic("no name") }

func TestNewRouterAccepts(t *testing.T) {
	resolve := func(context.Context, string) (bearergate.Verifier, error) { return nil, nil }
	for name, c := range map[string]issuers.Config{
		"issuers only":      {Issuers: map[string]bearergate.Verifier{issuer: &recorder{}}},
		"opaque only":       {Opaque: &recorder{}},
		"resolve only":      {Resolve: resolve, ResolveIssuers: []string{"https://a.example/{t}"}},
		"an exact list":     {Resolve: resolve, ResolveIssuers: []string{"https://a.example/t1", "accounts.example.com"}},
		"http on loopback":  {Resolve: resolve, ResolveIssuers: []string{"http://localhost:8080/realms/{realm}"}},
		"two placeholders":  {Resolve: resolve, ResolveIssuers: []string{"https://a.example/{region}/x/{t}/"}},
		"named":             {Issuers: map[string]bearergate.Verifier{issuer: named{&recorder{}, issuer}}},
		"of no name":        {Issuers: map[string]bearergate.Verifier{issuer: named{&recorder{}, ""}}},
		"a million issuers": {Resolve: resolve, ResolveIssuers: slices.Repeat([]string{issuerB}, 1<<20)},
		"tildes":            {Resolve: resolve, ResolveIssuers: []string{"https://a.example/~x/{t~}"}},
		"other bounds": {Resolve: resolve, ResolveIssuers: []string{"https://a.example/{t}"}, MaxResolved: issuers.MaxResolvedLimit, ResolvedTTL: time.Second,
			ResolveTimeout: time.Millisecond, MaxResolvesPerMinute: 1, MaxTokenBytes: 1},
		"all bounds": {Resolve: resolve, ResolveIssuers: []string{"https://a.example/{t}"}, MaxResolved: 1, ResolvedTTL: 24 * time.Hour,
			ResolveTimeout: time.Minute, MaxResolvesPerMinute: 60_000, MaxTokenBytes: issuers.MaxTokenBytesLimit},
	} {
		t.Run(name, func(t *testing.T) { newRouter(t, c) })
	}
}

func TestRouterDefaults(t *testing.T) {
	require.Equal(t, 1024, issuers.DefaultMaxResolved)
	require.Equal(t, 1<<20, issuers.MaxResolvedLimit)
	require.Equal(t, time.Hour, issuers.DefaultResolvedTTL)
	require.Equal(t, 5*time.Second, issuers.DefaultResolveTimeout)
	require.Equal(t, 600, issuers.DefaultMaxResolvesPerMinute)
	require.Equal(t, 10*time.Second, issuers.UnresolvedTTL)
	require.Equal(t, 64, issuers.MaxResolving)

	a, opaque := &recorder{issuer: issuer}, &recorder{}
	r := newRouter(t, issuers.Config{Issuers: map[string]bearergate.Verifier{issuer: a}, Opaque: opaque})
	long := unsigned(issuer)
	long += strings.Repeat("A", issuers.DefaultMaxTokenBytes-len(long))
	long = long[:len(long)-len(long)%4] // of a length that base64url has
	_, err := r.Verify(t.Context(), long)
	require.NoError(t, err)
	_, err = r.Verify(t.Context(), strings.Repeat("x", issuers.DefaultMaxTokenBytes))
	require.NoError(t, err)
	for _, tooLong := range []string{long + "AAAA", strings.Repeat("x", issuers.DefaultMaxTokenBytes+1)} {
		token, err := r.Verify(t.Context(), tooLong)
		requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonTooLarge)
	}
	require.Equal(t, 1, a.asked())
	require.Equal(t, 1, opaque.asked())

	r = newRouter(t, issuers.Config{Opaque: opaque, MaxTokenBytes: 8})
	_, err = r.Verify(t.Context(), "12345678")
	require.NoError(t, err)
	token, err := r.Verify(t.Context(), "123456789")
	requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonTooLarge)
}

// house is two issuers with keys of their own, and opaque tokens.
type house struct {
	a, b       signer // same kid
	va, vb     *jwtverify.Verifier
	opaque     *recorder
	router     *issuers.Router
	aSet, bSet []jwks.Key
}

func newHouse(t testing.TB) *house {
	h := &house{a: newSigner(t, "ES256", "k"), b: newSigner(t, "ES256", "k"), opaque: &recorder{}}
	h.aSet, h.bSet = []jwks.Key{h.a.Public(t)}, []jwks.Key{h.b.Public(t)}
	build := func(issuer string, keys []jwks.Key) *jwtverify.Verifier {
		set, err := jwks.NewSet(keys...)
		require.NoError(t, err)
		c := config(set)
		c.Issuer = issuer
		return newVerifier(t, c)
	}
	onlyB, err := jwks.NewKey("only-b", h.b.Key.Public())
	require.NoError(t, err)
	h.va, h.vb = build(issuer, h.aSet), build(issuerB, append(h.bSet, onlyB))
	h.router = newRouter(t, issuers.Config{
		Issuers: map[string]bearergate.Verifier{issuer: h.va, issuerB: h.vb}, Opaque: h.opaque})
	return h
}

func TestRouterSendsEachTokenToItsVerifier(t *testing.T) {
	h := newHouse(t)
	for range 2 { // from the verifiers' caches too
		token, err := h.router.Verify(t.Context(), h.a.Sign(t, nil))
		require.NoError(t, err)
		require.Equal(t, issuer, token.Issuer())
		token, err = h.router.Verify(t.Context(), h.b.Sign(t, map[string]any{"iss": issuerB}))
		require.NoError(t, err)
		require.Equal(t, issuerB, token.Issuer())
	}
	require.Zero(t, h.opaque.asked())
	_, err := h.router.Verify(t.Context(), "2YotnFZFEjr1zCsicMWpAA")
	require.NoError(t, err)
	require.Equal(t, []string{"2YotnFZFEjr1zCsicMWpAA"}, h.opaque.tokens)
}

// A valid token and one change: what the router itself refuses reaches nobody.
// req: R8725-07
func TestRouterRefuses(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	valid := s.Sign(t, nil)
	parts := strings.Split(valid, ".")
	claims := func(json string) string { return parts[0] + "." + b64(json) + "." + parts[2] }
	iss := func(v any) string { return s.Sign(t, map[string]any{"iss": v}) }
	for _, tt := range []struct {
		name, token string
		reason      bearergate.Reason
	}{
		{"unknown issuer", iss("https://evil.example/"), bearergate.ReasonIssuer},
		{"no final slash", iss(strings.TrimSuffix(issuer, "/")), bearergate.ReasonIssuer},
		{"another scheme", iss("http://as.example.com/"), bearergate.ReasonIssuer},
		{"upper case", iss("HTTPS://AS.EXAMPLE.COM/"), bearergate.ReasonIssuer},
		{"a space after", iss(issuer + " "), bearergate.ReasonIssuer},
		{"a NUL after", iss(issuer + "\x00"), bearergate.ReasonIssuer},
		{"a longer host", iss("https://as.example.com.evil.test/"), bearergate.ReasonIssuer},
		{"inside another", iss("https://evil.test/" + issuer), bearergate.ReasonIssuer},
		{"no iss", iss(absent), bearergate.ReasonMissingClaim},
		{"an empty iss", iss(""), bearergate.ReasonMissingClaim},
		{"iss null", iss(nil), bearergate.ReasonMalformed},
		{"iss a number", iss(5), bearergate.ReasonMalformed},
		{"iss an array", iss([]string{issuer}), bearergate.ReasonMalformed},
		{"iss an object", iss(map[string]any{"a": issuer}), bearergate.ReasonMalformed},
		{"iss twice", claims(`{"iss":"` + issuerB + `","iss":"` + issuer + `"}`), bearergate.ReasonMalformed},
		{"iss twice, once escaped", claims(`{"iss":"` + issuer + `","\u0069ss":"` + issuer + `"}`), bearergate.ReasonMalformed},
		{"a duplicate elsewhere", claims(`{"iss":"` + issuer + `","x":{"a":1,"a":2}}`), bearergate.ReasonMalformed},
		{"Iss", claims(`{"Iss":"` + issuer + `"}`), bearergate.ReasonMissingClaim},
		{"data after the claims", claims(`{"iss":"` + issuer + `"}{}`), bearergate.ReasonMalformed},
		{"a BOM before the claims", claims("\ufeff" + `{"iss":"` + issuer + `"}`), bearergate.ReasonMalformed},
		{"bad UTF-8 in the claims", claims(`{"iss":"` + issuer + `","sub":"` + "\xff" + `"}`), bearergate.ReasonMalformed},
		{"the claims an array", claims(`[{"iss":"` + issuer + `"}]`), bearergate.ReasonMalformed},
		{"the claims null", claims(`null`), bearergate.ReasonMalformed},
		{"no claims", parts[0] + ".." + parts[2], bearergate.ReasonMalformed},
		{"two parts", parts[0] + "." + parts[1], bearergate.ReasonMalformed},
		{"one part", parts[0], bearergate.ReasonMalformed},
		{"four parts", valid + ".x", bearergate.ReasonMalformed},
		{"five parts", valid + ".x.x", bearergate.ReasonMalformed},
		{"a padded part", parts[0] + "." + parts[1] + "=." + parts[2], bearergate.ReasonMalformed},
		{"a newline", valid + "\n", bearergate.ReasonMalformed},
		{"a space before", " " + valid, bearergate.ReasonMalformed},
		{"too large", valid + strings.Repeat("A", issuers.DefaultMaxTokenBytes), bearergate.ReasonTooLarge},
		{"crit", s.SignWith(t, map[string]any{"alg": "ES256", "kid": "k", "crit": []string{"x"}}, nil), bearergate.ReasonMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b, opaque := &recorder{issuer: issuer}, &recorder{issuer: issuerB}, &recorder{}
			r := newRouter(t, issuers.Config{Issuers: map[string]bearergate.Verifier{issuer: a, issuerB: b}, Opaque: opaque,
				Resolve: func(context.Context, string) (bearergate.Verifier, error) {
					t.Error("Resolve was called")
					return nil, nil
				}, ResolveIssuers: []string{"https://login.example.com/{tenant}"}})
			_, err := r.Verify(t.Context(), valid)
			require.NoError(t, err)
			require.Equal(t, 1, a.asked())
			token, err := r.Verify(t.Context(), tt.token)
			requireError(t, token, err, bearergate.ErrInvalidToken, tt.reason)
			require.Equal(t, 1, a.asked()+b.asked()+opaque.asked(), "the token was sent to somebody")
			require.NotContains(t, err.Error(), "evil")
		})
	}
}

// req: R8725-07, ISS-019: keys of one issuer never verify tokens of another,
// under the same kid or under one that only the other has.
func TestIssuersNeverCross(t *testing.T) {
	h := newHouse(t)
	onlyB := signer{Alg: "ES256", KeyID: "only-b", Key: h.b.Key}
	for _, tt := range []struct {
		name   string
		signer signer
		iss    string
		reason bearergate.Reason
	}{
		{"A by A", h.a, issuer, ""},
		{"B by B", h.b, issuerB, ""},
		{"B by B, the other kid", onlyB, issuerB, ""},
		{"A by B", h.b, issuer, bearergate.ReasonSignature},
		{"B by A", h.a, issuerB, bearergate.ReasonSignature},
		{"A by B, a kid of B only", onlyB, issuer, bearergate.ReasonUnknownKey},
	} {
		t.Run(tt.name, func(t *testing.T) {
			token, err := h.router.Verify(t.Context(), tt.signer.Sign(t, map[string]any{"iss": tt.iss}))
			if tt.reason == "" {
				require.NoError(t, err)
				require.Equal(t, tt.iss, token.Issuer())
				return
			}
			requireError(t, token, err, bearergate.ErrInvalidToken, tt.reason)
		})
	}
}

// The router's decision is that of the verifier whose issuer the token names.
func TestRouterDecidesAsTheVerifierDoes(t *testing.T) {
	h := newHouse(t)
	forged := newSigner(t, "ES256", "k")
	changes := []map[string]any{
		nil, {"exp": now.Add(-time.Hour).Unix()}, {"exp": absent}, {"exp": "x"}, {"nbf": now.Add(time.Hour).Unix()}, {"aud": "x"}, {"aud": 5},
		{"aud": absent}, {"sub": nil}, {"sub": 5}, {"cnf": map[string]any{"jkt": "x"}}, {"cnf": 5}, {"nonce": "x"}, {"scope": 5}, {"scope": "a b"}, {"jti": 1},
	}
	headers := []map[string]any{
		{}, {"typ": "dpop+jwt"}, {"typ": 5}, {"alg": "none"}, {"alg": "HS256"}, {"alg": "ES384"}, {"kid": "other"}, {"kid": 5}, {"crit": []string{"exp"}},
		{"b64": false}, {"zip": "DEF"}, {"cty": "JWT"}, {"jwk": map[string]any{}}, {"typ": "JWT"},
	}
	n := 0
	for _, tt := range []struct {
		iss      string
		verifier *jwtverify.Verifier
		signers  []signer
	}{{issuer, h.va, []signer{h.a, h.b, forged}}, {issuerB, h.vb, []signer{h.b, h.a, forged}}} {
		for _, s := range tt.signers {
			for _, header := range headers {
				for _, change := range changes {
					h := map[string]any{"alg": "ES256", "typ": "at+jwt", "kid": "k"}
					for k, v := range header {
						h[k] = v
					}
					c := map[string]any{"iss": tt.iss}
					for k, v := range change {
						c[k] = v
					}
					raw := s.SignWith(t, h, c)
					want, wantErr := tt.verifier.Verify(t.Context(), raw)
					got, err := newHouseRouter(t, tt.iss, tt.verifier).Verify(t.Context(), raw)
					require.Equal(t, want, got)
					require.Equal(t, bearergate.ReasonOf(wantErr), bearergate.ReasonOf(err), "%v %v", header, change)
					if wantErr != nil {
						require.Equal(t, bearergate.AsError(wantErr).Kind, bearergate.AsError(err).Kind)
					}
					n++
				}
			}
		}
	}
	require.Greater(t, n, 1000)
	require.Zero(t, h.opaque.asked())
}

func newHouseRouter(t testing.TB, issuer string, v bearergate.Verifier) *issuers.Router {
	return newRouter(t, issuers.Config{Issuers: map[string]bearergate.Verifier{issuer: v}, Opaque: &recorder{}})
}

// Whatever is wrong with it, what somebody might take for a JWT stays here.
func TestJWTShapedNeverReachesOpaque(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	valid := s.Sign(t, map[string]any{"iss": "https://unknown.example/"})
	parts := strings.Split(valid, ".")
	header := `{"alg":"ES256","typ":"at+jwt","kid":"???>>>?"}`
	std := base64.StdEncoding.EncodeToString([]byte(header))
	require.Contains(t, std, "/")
	require.Contains(t, std, "=")
	spread := func(with string) string {
		return strings.Join(strings.Split(parts[0], ""), with) + "." + parts[1] + "." + parts[2]
	}
	utf16 := func(s string) string {
		var b strings.Builder
		for _, c := range s {
			b.WriteByte(byte(c))
			b.WriteByte(0)
		}
		return b.String()
	}
	tail := "." + parts[1] + "." + parts[2]
	for name, token := range map[string]string{
		"a JWT":                          valid,
		"no signature":                   parts[0] + "." + parts[1] + ".",
		"two parts":                      parts[0] + "." + parts[1],
		"the header and a dot":           parts[0] + ".",
		"the header alone":               parts[0],
		"an empty object":                b64("{}") + tail,
		"an empty object alone":          b64("{}"),
		"only a brace":                   b64("{") + tail,
		"only a brace, alone":            b64("{"),
		"a brace and no JSON":            b64("{alg: none}"),
		"a brace and noise":              b64("{\x00\x01\x02\xff\xfe") + tail,
		"bad UTF-8 in the kid":           b64("{\"alg\":\"ES256\",\"kid\":\"\xff\"}") + tail,
		"bad UTF-8 in the first name":    b64("{\"\xff\":1,\"alg\":\"ES256\"}") + tail,
		"bad UTF-8, no dot":              b64("{\"\xff\":1,\"alg\":\"ES256\"}"),
		"bad UTF-8, one dot":             b64("{ \"\xff\" :1,\"alg\":\"ES256\"}") + ".x",
		"control characters, no dot":     b64("{\"alg\":\"ES256\",\"kid\":\"\x01\x02\"}"),
		"noise after the header, no dot": b64("{\"alg\":\"ES256\"}\x01\xff"),
		"padded":                         base64.URLEncoding.EncodeToString([]byte(`{"a":1}x`)) + tail,
		"standard alphabet":              std + tail,
		"standard alphabet, no dot":      std,
		"the brace needs a +":            base64.RawStdEncoding.EncodeToString([]byte("{ယ:1}")) + tail,
		"the brace needs a /":            base64.RawStdEncoding.EncodeToString([]byte("{😀:1}")) + tail,
		"padding in the middle":          spread("="),
		"spaces":                         spread(" "),
		"CR LF":                          spread("\r\n"),
		"tabs":                           spread("\t"),
		"other characters":               spread("~"),
		"quoted":                         `"` + valid + `"`,
		"a newline before":               "\n" + valid,
		"a BOM before the token":         "\ufeff" + valid,
		"white space before the brace":   b64(" \t\r\n{\"alg\":\"ES256\"}") + tail,
		"a BOM before the brace":         b64("\ufeff{\"alg\":\"ES256\"}") + tail,
		"a BOM before the brace, no dot": b64("\ufeff{\"alg\":\"ES256\"}"),
		"UTF-16, little endian":          b64("\xff\xfe"+utf16(header)) + tail,
		"UTF-16, big endian":             b64("\xfe\xff\x00"+utf16(header)) + tail,
		"UTF-16, no dot":                 b64("\xff\xfe" + utf16(header)),
		"trailing bits":                  parts[0][:len(parts[0])-1] + "_" + tail,
		"JWE, compact":                   b64(`{"alg":"RSA-OAEP","enc":"A256GCM"}`) + ".a.b.c.d",
		"JWE, direct":                    b64(`{"alg":"dir","enc":"A256GCM"}`) + "..b.c.d",
		"six parts":                      valid + ".a.b.c",
		"only dots after":                parts[0] + "........",
		"flattened JSON":                 `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`,
		"general JSON":                   `{"payload":"` + parts[1] + `","signatures":[{"protected":"` + parts[0] + `","signature":"x"}]}`,
		"JSON after white space":         " \r\n\t" + `{"payload":"x.y"}`,
		"JSON after a BOM":               "\ufeff" + `{"payload":"x"}`,
		"JSON that ends early":           `{`,
		"flattened JSON in base64":       b64(`{"payload":"` + parts[1] + `","protected":"` + parts[0] + `"}`),
		"flattened JSON in std base64":   base64.StdEncoding.EncodeToString([]byte(`{"payload":"` + parts[1] + `"}`)),
	} {
		t.Run(name, func(t *testing.T) {
			a, opaque := &recorder{issuer: issuer}, &recorder{}
			r := newRouter(t, issuers.Config{Issuers: map[string]bearergate.Verifier{issuer: a}, Opaque: opaque})
			got, err := r.Verify(t.Context(), token)
			reason := bearergate.ReasonMalformed
			switch name {
			case "a JWT", "no signature", "white space before the brace": // well-formed
				reason = bearergate.ReasonIssuer
			}
			requireError(t, got, err, bearergate.ErrInvalidToken, reason)
			require.Zero(t, opaque.asked())
			require.Zero(t, a.asked())
		})
	}
}

// What has no two dots is taken for a JWT if it decodes to text after a brace,
// or to a quoted name and a colon.
func TestBraceAndNoDots(t *testing.T) {
	every := func(from, to byte) (all []string) {
		for c := int(from); c <= int(to); c++ {
			all = append(all, string([]byte{byte(c)}))
		}
		return all
	}
	text := slices.Concat(every(' ', '~'), []string{"\t", "\r", "\n", "\v", "\f", "\x00", "é", "ယ", "😀"})
	shaped := map[string]bool{
		"{\"a\":\x80": true, "{ \"a\" : \x80": true, "{\"a\\\"b\":\x80": true, "{\"\":\x80": true, "{\"\x80\":": true,
		"{\"a\"\x80:": false, "{\"a\x80": false, "{a\":\x80": false, "{x\"a\":\x80": false, "{:\x80": false, "{\"\"\x80": false, "{\"a\x80\"\"": false,
		"{\x80": false, "{a\x01": false, "{a\x7f": false,
	}
	for _, c := range text {
		shaped["{"+c] = true
		shaped["{ab"+c+"cd"] = true
	}
	for _, c := range slices.Concat(every(1, 8), every(0x0e, 0x1f), every(0x7f, 0xff)) {
		shaped["{ab"+c+"cd"] = false
	}
	opaque := &recorder{}
	r := newRouter(t, issuers.Config{Opaque: opaque})
	check := func(decoded, token string, want bool) {
		t.Helper()
		asked := opaque.asked()
		got, err := r.Verify(t.Context(), token)
		if !want {
			require.NoError(t, err, "%q", decoded)
			require.Equal(t, asked+1, opaque.asked())
			return
		}
		requireError(t, got, err, bearergate.ErrInvalidToken, bearergate.ReasonMalformed)
		require.Equal(t, asked, opaque.asked(), "%q", decoded)
	}
	for decoded, want := range shaped {
		for _, alphabet := range []*base64.Encoding{base64.RawURLEncoding, base64.RawStdEncoding, base64.StdEncoding} {
			token := alphabet.EncodeToString([]byte(decoded))
			check(decoded, token, want)
			check(decoded, token+".x", want)
		}
	}
	// Characters outside of both alphabets are passed over, wherever they stand.
	const alphabets = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_."
	token := b64("{alg: none}")
	for _, c := range every(0, 255) {
		if !strings.Contains(alphabets, c) {
			check(c, token[:1]+c+token[1:5]+c+token[5:], true)
		}
	}
}

// What no reader could take for a JWT is opaque, and none of them is lost:
// random characters begin with "{" in one of 256.
func TestOpaqueTokensReachOpaque(t *testing.T) {
	tokens := []string{
		"2YotnFZFEjr1zCsicMWpAA", "x", "e", ".", "...", "a.b.c", ".eyJhbGciOiJFUzI1NiJ9", "ory_at_eyJ.x", "ya29.a0AfB_byC", "v4.local.x", "[1]",
		b64(`["alg"]`) + ".a.b", b64(`"alg"`), b64("x{"), "é", "\x00", " ",
	}
	rng := rand.New(rand.NewChaCha8([32]byte{1}))
	random := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return b
	}
	braces := 0
	for range 20_000 {
		first := base64.RawURLEncoding.EncodeToString(random(32))
		id := hex.EncodeToString(random(16))
		if strings.HasPrefix(first, "e") && strings.ContainsRune("wxyz0123456789-_", rune(first[1])) {
			braces++
		}
		tokens = append(tokens,
			first, hex.EncodeToString(random(32)), id, // Spring, Doorkeeper
			first+"."+base64.RawURLEncoding.EncodeToString(random(32)), // Fosite
			id[:8]+"-"+id[8:12]+"-"+id[12:16]+"-"+id[16:20]+"-"+id[20:])
	}
	require.Greater(t, braces, 20)
	opaque := &recorder{}
	r := newRouter(t, issuers.Config{Opaque: opaque})
	for _, token := range tokens {
		_, err := r.Verify(t.Context(), token)
		require.NoError(t, err, "%q", token)
	}
	require.Equal(t, tokens, opaque.tokens)

	none := newRouter(t, issuers.Config{Issuers: map[string]bearergate.Verifier{issuer: &recorder{}}})
	token, err := none.Verify(t.Context(), tokens[0])
	requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonMalformed)
}

func TestRouterHoldsVerifiersToTheContract(t *testing.T) {
	sentinel := &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonOverloaded, RetryAfter: time.Minute}
	for _, tt := range []struct {
		name   string
		verify bearergate.VerifierFunc
		kind   error
		reason bearergate.Reason
	}{
		{"another issuer", func(context.Context, string) (*bearergate.Token, error) {
			return bearergate.NewToken(bearergate.Claims{Issuer: issuerB}), nil
		}, bearergate.ErrMisconfigured, bearergate.ReasonInternal},
		{"no issuer", func(context.Context, string) (*bearergate.Token, error) {
			return bearergate.NewToken(bearergate.Claims{}), nil
		}, bearergate.ErrMisconfigured, bearergate.ReasonInternal},
		{"nil token", func(context.Context, string) (*bearergate.Token, error) { return nil, nil }, bearergate.ErrMisconfigured, bearergate.ReasonInternal},
		{"zero token", func(context.Context, string) (*bearergate.Token, error) { return new(bearergate.Token), nil }, bearergate.ErrMisconfigured, bearergate.ReasonInternal},
		{"panic", func(context.Context, string) (*bearergate.Token, error) { panic("x") }, bearergate.ErrMisconfigured, bearergate.ReasonInternal},
		{"foreign error", func(context.Context, string) (*bearergate.Token, error) { return nil, errors.New("x") }, bearergate.ErrMisconfigured, bearergate.ReasonInternal},
		{"a token beside an error", func(context.Context, string) (*bearergate.Token, error) {
			return bearergate.NewToken(bearergate.Claims{Issuer: issuer}), sentinel
		}, bearergate.ErrUnavailable, bearergate.ReasonOverloaded},
	} {
		t.Run(tt.name, func(t *testing.T) {
			resolved := newRouter(t, issuers.Config{ResolveIssuers: []string{issuer},
				Resolve: func(context.Context, string) (bearergate.Verifier, error) { return tt.verify, nil }})
			for _, r := range []*issuers.Router{newHouseRouter(t, issuer, tt.verify), resolved} {
				token, err := r.Verify(t.Context(), unsigned(issuer))
				requireError(t, token, err, tt.kind, tt.reason)
			}
		})
	}
	// Opaque answers for nobody in particular, but keeps the contract.
	r := newRouter(t, issuers.Config{Opaque: bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) { panic("x") })})
	token, err := r.Verify(t.Context(), "x")
	requireError(t, token, err, bearergate.ErrMisconfigured, bearergate.ReasonInternal)
}

func TestRouterCopiesItsConfiguration(t *testing.T) {
	a := &recorder{issuer: issuer}
	c := issuers.Config{Issuers: map[string]bearergate.Verifier{issuer: a}, ResolveIssuers: []string{"https://a.example/{t}"},
		Resolve: func(context.Context, string) (bearergate.Verifier, error) { return &recorder{}, nil }}
	r := newRouter(t, c)
	delete(c.Issuers, issuer)
	c.Issuers[issuerB] = &recorder{issuer: issuerB}
	c.ResolveIssuers[0] = "https://b.example/{t}"
	_, err := r.Verify(t.Context(), unsigned(issuer))
	require.NoError(t, err)
	for _, iss := range []string{issuerB, "https://b.example/x"} {
		token, err := r.Verify(t.Context(), unsigned(iss))
		requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonIssuer)
	}
}

func TestRouterContext(t *testing.T) {
	a, opaque := &recorder{issuer: issuer}, &recorder{}
	r := newRouter(t, issuers.Config{Issuers: map[string]bearergate.Verifier{issuer: a}, Opaque: opaque})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, raw := range []string{unsigned(issuer), "opaque"} {
		token, err := r.Verify(ctx, raw)
		requireError(t, token, err, bearergate.ErrUnavailable, bearergate.ReasonCanceled)
		require.ErrorIs(t, err, context.Canceled)
	}
	require.Zero(t, a.asked()+opaque.asked())
	token, err := r.Verify(ctx, "")
	requireError(t, token, err, bearergate.ErrMissingToken, bearergate.ReasonNoToken)
	var none context.Context
	_, err = r.Verify(none, unsigned(issuer))
	require.NoError(t, err)

	for _, r := range []*issuers.Router{nil, {}} {
		token, err := r.Verify(t.Context(), unsigned(issuer))
		requireError(t, token, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	}
}

// Over the wire of a fake authorization server: a JWT of another issuer makes
// no request anywhere, and keys are fetched from the token's own issuer only.
func TestRouterAsksOnlyTheIssuer(t *testing.T) {
	a := authtest.New(t, authtest.WithIssuer("https://a.example.test"))
	b := authtest.New(t, authtest.WithIssuer("https://b.example.test"))
	c := authtest.New(t, authtest.WithIssuer("https://c.example.test"))
	members := map[string]bearergate.Verifier{}
	for _, as := range []*authtest.Server{a, b} {
		members[as.Issuer()] = newVerifier(t, jwtverify.Config{Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client()})
	}
	r := newRouter(t, issuers.Config{Issuers: members})
	_, err := r.Verify(t.Context(), a.Token(authtest.Claims{}))
	require.NoError(t, err)
	require.Positive(t, a.Requests(""))
	token, err := r.Verify(t.Context(), c.Token(authtest.Claims{}))
	requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonIssuer)
	require.Zero(t, b.Requests("")+c.Requests(""))
	// Signed by B, says A.
	token, err = r.Verify(t.Context(), b.Token(authtest.Claims{Issuer: a.Issuer()}))
	requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonUnknownKey)
	require.Zero(t, b.Requests(""))
}

// startsLikeJWT is told by other means than the router's own.
func startsLikeJWT(token string) bool {
	if strings.HasPrefix(strings.TrimLeft(token, " \t\r\n\ufeff"), "{") {
		return true
	}
	part, rest, _ := strings.Cut(token, ".")
	part = strings.Map(func(c rune) rune {
		switch {
		case c == '-':
			return '+'
		case c == '_':
			return '/'
		case c < 0x80 && strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", c):
			return c
		}
		return -1
	}, part)
	if len(part)%4 == 1 {
		part = part[:len(part)-1]
	}
	decoded, err := base64.RawStdEncoding.DecodeString(part)
	if err != nil {
		panic(err)
	}
	decoded = bytes.TrimLeft(bytes.TrimPrefix(decoded, []byte("\ufeff")), " \t\r\n")
	if !bytes.HasPrefix(decoded, []byte("{")) {
		return false
	}
	// encoding/json stops at the end of the object and forgives bad UTF-8.
	var header map[string]json.RawMessage
	return strings.Count(rest, ".") > 0 || json.NewDecoder(bytes.NewReader(decoded)).Decode(&header) == nil && len(header) > 0
}

func FuzzRouter(f *testing.F) {
	h := newHouse(f)
	valid := h.a.Sign(f, nil)
	parts := strings.Split(valid, ".")
	for _, seed := range []string{
		valid, h.b.Sign(f, nil), h.b.Sign(f, map[string]any{"iss": issuerB}), h.a.Sign(f, map[string]any{"iss": "https://login.example.com/t/v2.0"}),
		parts[0], parts[0] + "." + parts[1], " " + valid, strings.ReplaceAll(valid, "e", "e="), base64.StdEncoding.EncodeToString([]byte(`{"a":1}`)),
		b64("\ufeff{") + "..", `{"payload":"x"}`, "2YotnFZFEjr1zCsicMWpAA", "e30.e30.", "ew..", "", ".", b64("{\"\xff\":1}"), b64(`{}`) + ".x",
	} {
		f.Add(seed)
	}
	accept := bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) {
		return bearergate.NewToken(bearergate.Claims{Issuer: "https://login.example.com/t/v2.0"}), nil
	})
	f.Fuzz(func(t *testing.T, token string) {
		opaque := &recorder{}
		r := newRouter(t, issuers.Config{
			Issuers: map[string]bearergate.Verifier{issuer: h.va, issuerB: h.vb}, Opaque: opaque,
			Resolve: func(_ context.Context, issuer string) (bearergate.Verifier, error) {
				if issuer != "https://login.example.com/t/v2.0" && !strings.HasPrefix(issuer, "https://login.example.com/") {
					t.Errorf("resolved %q", issuer)
				}
				return accept, nil
			}, ResolveIssuers: []string{"https://login.example.com/{tenant}/v2.0"},
		})
		got, err := r.Verify(context.Background(), token)
		if err != nil && (got != nil || bearergate.ReasonOf(err) == "") || err == nil && got == nil {
			t.Fatalf("%v beside %v", got, err)
		}
		if opaque.asked() > 0 && (startsLikeJWT(token) || opaque.tokens[0] != token) {
			t.Fatalf("Opaque was asked about %q", token)
		}
		if opaque.asked() > 0 || err != nil {
			return
		}
		// Accepted: by the right verifier, for the issuer that it names.
		if v := map[string]*jwtverify.Verifier{issuer: h.va, issuerB: h.vb}[got.Issuer()]; v != nil {
			if _, err := v.Verify(context.Background(), token); err != nil {
				t.Fatalf("accepted what %s refuses: %v", got.Issuer(), err)
			}
		}
	})
}

func ExampleNewRouter() {
	ours, _ := authtest.Start(authtest.WithInMemory(), authtest.WithIssuer("https://as.example.test"))
	defer ours.Close()
	partner, _ := authtest.Start(authtest.WithInMemory(), authtest.WithIssuer("https://partner.example.test"))
	defer partner.Close()
	stranger, _ := authtest.Start(authtest.WithInMemory(), authtest.WithIssuer("https://stranger.example.test"))
	defer stranger.Close()

	members := map[string]bearergate.Verifier{}
	for _, as := range []*authtest.Server{ours, partner} {
		v, err := jwtverify.New(jwtverify.Config{
			Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client(),
		})
		if err != nil {
			fmt.Println(err)
			return
		}
		members[as.Issuer()] = v
	}
	// Stands in for an introspect.Client.
	opaque := bearergate.VerifierFunc(func(_ context.Context, token string) (*bearergate.Token, error) {
		if token != "2YotnFZFEjr1zCsicMWpAA" {
			return nil, &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonInactive}
		}
		return bearergate.NewToken(bearergate.Claims{Issuer: ours.Issuer(), Subject: "bob"}), nil
	})
	router, err := issuers.NewRouter(issuers.Config{Issuers: members, Opaque: opaque})
	if err != nil {
		fmt.Println(err)
		return
	}

	for _, raw := range []string{
		ours.Token(authtest.Claims{Subject: "alice"}),
		partner.Token(authtest.Claims{Subject: "carol"}),
		partner.Token(authtest.Claims{Issuer: ours.Issuer()}), // says that it is ours
		stranger.Token(authtest.Claims{}),                     // is sent to nobody
		"2YotnFZFEjr1zCsicMWpAA",
	} {
		token, err := router.Verify(context.Background(), raw)
		if err != nil {
			fmt.Println("refused:", bearergate.ReasonOf(err))
			continue
		}
		fmt.Println("accepted:", token.Subject(), "of", token.Issuer())
	}
	// Output:
	// accepted: alice of https://as.example.test
	// accepted: carol of https://partner.example.test
	// refused: unknown_key
	// refused: issuer
	// accepted: bob of https://as.example.test
}

// What the router adds to a token that its verifier remembers.
func BenchmarkRouter(b *testing.B) {
	h := newHouse(b)
	raw := h.a.Sign(b, nil)
	resolved := newRouter(b, issuers.Config{ResolveIssuers: []string{issuer},
		Resolve: func(context.Context, string) (bearergate.Verifier, error) { return h.va, nil }})
	for name, v := range map[string]bearergate.Verifier{"direct": h.va, "router": h.router, "resolved": resolved} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(b.Context(), raw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
