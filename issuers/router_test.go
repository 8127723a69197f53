package issuers_test

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/issuers"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/stretchr/testify/require"
)

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
		{"iss null", iss(nil), bearergate.ReasonMissingClaim},
		{"iss a number", iss(5), bearergate.ReasonMalformed},
		{"iss an array", iss([]string{issuer}), bearergate.ReasonMalformed},
		{"iss an object", iss(map[string]any{"a": issuer}), bearergate.ReasonMalformed},
		{"iss twice", claims(`{"iss":"` + issuerB + `","iss":"` + issuer + `"}`), bearergate.ReasonMalformed},
		{"iss twice, once escaped", claims(`{"iss":"` + issuer + `","\u0069ss":"` + issuer + `"}`), bearergate.ReasonMalformed},
		{"Iss", claims(`{"Iss":"` + issuer + `"}`), bearergate.ReasonMissingClaim},
		{"data after the claims", claims(`{"iss":"` + issuer + `"}{}`), bearergate.ReasonMalformed},
		{"a BOM before the claims", claims("\ufeff" + `{"iss":"` + issuer + `"}`), bearergate.ReasonMalformed},
		{"claims too deep", claims(`{"iss":"` + issuer + `","x":` + strings.Repeat("[", 512) + strings.Repeat("]", 512) + `}`), bearergate.ReasonMalformed},
		{"the claims an array", claims(`[{"iss":"` + issuer + `"}]`), bearergate.ReasonMalformed},
		{"the claims null", claims(`null`), bearergate.ReasonMalformed},
		{"no claims", parts[0] + ".." + parts[2], bearergate.ReasonMalformed},
		{"two parts", parts[0] + "." + parts[1], bearergate.ReasonMalformed},
		{"one part", parts[0], bearergate.ReasonMalformed},
		{"four parts", valid + ".x", bearergate.ReasonMalformed},
		{"five parts", valid + ".x.x", bearergate.ReasonMalformed},
		{"a padded part", parts[0] + "." + parts[1] + "=." + parts[2], bearergate.ReasonMalformed},
		{"too large", valid + strings.Repeat("A", issuers.DefaultMaxTokenBytes), bearergate.ReasonTooLarge},
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
			if e := bearergate.AsError(err); strings.Contains(err.Error(), "evil") { // the issuer may be told, and nothing else
				require.Equal(t, bearergate.ReasonIssuer, e.Reason)
				require.Contains(t, e.Found, "evil")
				require.True(t, e.Unsigned)
				require.NotContains(t, strings.Replace(err.Error(), e.Found, "", 1), "evil")
			}
		})
	}
}

// Operators are told which issuers there are.
func TestUnknownIssuerNamesTheConfiguredOnes(t *testing.T) {
	resolve := func(context.Context, string) (bearergate.Verifier, error) { return nil, nil }
	allow := func(string) bool { return false }
	for _, tt := range []struct {
		name     string
		config   issuers.Config
		expected string
	}{
		{name: "Issuers", config: issuers.Config{Issuers: map[string]bearergate.Verifier{issuerB: &recorder{}, issuer: &recorder{}}}, expected: `"` + issuer + `" "` + issuerB + `"`},
		{name: "Issuers and ResolveIssuers", config: issuers.Config{Issuers: map[string]bearergate.Verifier{issuerB: &recorder{}}, Resolve: resolve, ResolveIssuers: []string{issuer}}, expected: `"` + issuerB + `" "` + issuer + `"`},
		{name: "AllowIssuer", config: issuers.Config{Resolve: resolve, AllowIssuer: allow}, expected: "one that AllowIssuer lets through"},
		{name: "ResolveIssuers and AllowIssuer", config: issuers.Config{Resolve: resolve, ResolveIssuers: []string{issuer}, AllowIssuer: allow}, expected: `"` + issuer + `", or one that AllowIssuer lets through`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			token, err := newRouter(t, tt.config).Verify(t.Context(), unsigned("https://unknown.example.com"))
			requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonIssuer)
			require.Equal(t, tt.expected, bearergate.AsError(err).Expected)
		})
	}
}

// What else is wrong with a token is for the verifier of its issuer, and for no other.
func TestRouterLeavesTheRestToTheVerifier(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	valid := s.Sign(t, nil)
	parts := strings.Split(valid, ".")
	forged := func(json string) string { return parts[0] + "." + b64(json) + "." + parts[2] }
	signed := func(json string) string {
		token, err := jose.Sign(s.Alg, s.Key, []byte(`{"alg":"ES256","kid":"k"}`), []byte(json))
		require.NoError(t, err)
		return token
	}
	for _, tt := range []struct {
		name, token string
		reason      bearergate.Reason
	}{
		{"a duplicate elsewhere", signed(`{"iss":"` + issuer + `","x":{"a":1,"a":2}}`), bearergate.ReasonMalformed},
		{"a duplicate elsewhere, forged", forged(`{"iss":"` + issuer + `","x":{"a":1,"a":2}}`), bearergate.ReasonSignature},
		{"bad UTF-8 in the claims", signed(`{"iss":"` + issuer + `","sub":"` + "\xff" + `"}`), bearergate.ReasonMalformed},
		{"brackets that do not match", signed(`{"iss":"` + issuer + `","x":[}}`), bearergate.ReasonMalformed},
		{"a newline", valid + "\n", bearergate.ReasonMalformed},
		{"a space before", " " + valid, bearergate.ReasonMalformed},
		{"crit", s.SignWith(t, map[string]any{"alg": "ES256", "kid": "k", "crit": []string{"x"}}, nil), bearergate.ReasonMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, opaque := &recorder{issuer: issuerB}, &recorder{}
			r := newRouter(t, issuers.Config{Issuers: map[string]bearergate.Verifier{issuer: newVerifier(t, config(s.Set(t))), issuerB: b}, Opaque: opaque})
			token, err := r.Verify(t.Context(), tt.token)
			requireError(t, token, err, bearergate.ErrInvalidToken, tt.reason)
			require.Zero(t, b.asked()+opaque.asked())
		})
	}
}

// The usual token costs nothing but what its verifier does, and a hostile one little.
func TestRouterAllocations(t *testing.T) {
	if raceEnabled() {
		t.Skip("the race detector changes what allocates")
	}
	s := newSigner(t, "ES256", "k")
	v := newVerifier(t, config(s.Set(t)))
	r := newRouter(t, issuers.Config{Issuers: map[string]bearergate.Verifier{issuer: v, issuerB: &recorder{}}, Opaque: &recorder{}})
	raw, ctx := s.Sign(t, nil), t.Context()
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		if _, err := r.Verify(ctx, raw); err != nil {
			t.Error(err)
		}
	}))
	for name, raw := range hostile(t) { // an error, and what bearergate.Verify takes to judge that
		bare := testing.AllocsPerRun(100, func() { _, _ = bearergate.Verify(ctx, v, raw) })
		router := testing.AllocsPerRun(100, func() { _, _ = r.Verify(ctx, raw) })
		require.LessOrEqual(t, router, bare+8, name)
		require.Less(t, bytesPerRun(func() { _, _ = r.Verify(ctx, raw) }), uint64(20<<10), name)
	}
}

// bytesPerRun is what f allocates, as [testing.AllocsPerRun] counts how often.
func bytesPerRun(f func()) uint64 {
	const runs = 100
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	f() // fills what is reused
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range runs {
		f()
	}
	runtime.ReadMemStats(&after)
	return (after.TotalAlloc - before.TotalAlloc) / runs
}

// The buffer that tokens share keeps nothing of them, whatever became of them, and does
// not keep the size of the longest one.
func TestRouterBufferIsEmpty(t *testing.T) {
	r := newRouter(t, issuers.Config{Issuers: map[string]bearergate.Verifier{issuer: &recorder{issuer: issuer}}, MaxTokenBytes: 200 << 10})
	used := 0
	for range 100 {
		for _, token := range []string{unsigned(issuer), unsigned(issuerB), unsigned(issuer) + ".", "e30." + b64(`{"iss":5}`) + ".", "e30." + b64(issuer) + "=.", unsigned(strings.Repeat("x", 100<<10))} {
			_, _ = r.Verify(t.Context(), token)
			buf := issuers.Pooled()
			require.Equal(t, len(buf), bytes.Count(buf, []byte{0}))
			require.LessOrEqual(t, len(buf), 2*issuers.DefaultMaxTokenBytes)
			used += len(buf)
		}
		if used > 0 { // the pool may forget: more often still with the race detector
			return
		}
	}
	t.Error("the buffer is never used again")
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
					maps.Copy(h, header)
					c := map[string]any{"iss": tt.iss}
					maps.Copy(c, change)
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

func TestRouterHoldsVerifiersToTheContract(t *testing.T) {
	sentinel := &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonOverloaded, RetryAfter: time.Minute}
	type testCase struct {
		name   string
		verify bearergate.VerifierFunc
		kind   error
		reason bearergate.Reason
	}
	for _, tt := range []testCase{
		{
			name: "another issuer",
			verify: func(context.Context, string) (*bearergate.Token, error) {
				return bearergate.NewToken(bearergate.Claims{Issuer: issuerB}), nil
			},
			kind:   bearergate.ErrMisconfigured,
			reason: bearergate.ReasonInternal,
		},
		{
			name: "no issuer",
			verify: func(context.Context, string) (*bearergate.Token, error) {
				return bearergate.NewToken(bearergate.Claims{}), nil
			},
			kind:   bearergate.ErrMisconfigured,
			reason: bearergate.ReasonInternal,
		},
		{
			name:   "nil token",
			verify: func(context.Context, string) (*bearergate.Token, error) { return nil, nil },
			kind:   bearergate.ErrMisconfigured,
			reason: bearergate.ReasonInternal,
		},
		{
			name:   "zero token",
			verify: func(context.Context, string) (*bearergate.Token, error) { return new(bearergate.Token), nil },
			kind:   bearergate.ErrMisconfigured,
			reason: bearergate.ReasonInternal,
		},
		{
			name:   "panic",
			verify: func(context.Context, string) (*bearergate.Token, error) { panic("x") },
			kind:   bearergate.ErrMisconfigured,
			reason: bearergate.ReasonInternal,
		},
		{
			name:   "foreign error",
			verify: func(context.Context, string) (*bearergate.Token, error) { return nil, errors.New("x") },
			kind:   bearergate.ErrMisconfigured,
			reason: bearergate.ReasonInternal,
		},
		{
			name: "a token beside an error",
			verify: func(context.Context, string) (*bearergate.Token, error) {
				return bearergate.NewToken(bearergate.Claims{Issuer: issuer}), sentinel
			},
			kind:   bearergate.ErrUnavailable,
			reason: bearergate.ReasonOverloaded,
		},
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
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	for _, raw := range []string{unsigned(issuer), "opaque"} {
		token, err := r.Verify(late, raw)
		requireError(t, token, err, bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)
		require.ErrorIs(t, err, context.DeadlineExceeded)
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
	// Signed by B, with the iss of A.
	token, err = r.Verify(t.Context(), b.Token(authtest.Claims{Issuer: a.Issuer()}))
	requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonUnknownKey)
	require.Zero(t, b.Requests(""))
}
