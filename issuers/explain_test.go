package issuers_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/issuers"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/stretchr/testify/require"
)

// A Router explains where a token goes, or why to nobody, and then what the verifier says.
func TestRouterExplains(t *testing.T) {
	s := kit.NewSigner(t, "ES256", "k")
	own, err := jwtverify.New(jwtverify.Config{Issuer: kit.Issuer, Audiences: []string{kit.Audience}, Keys: s.Set(t), DisableCache: true, Now: func() time.Time { return kit.Now }})
	require.NoError(t, err)
	opaque := bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) {
		return bearergate.NewToken(bearergate.Claims{Issuer: "https://opaque.example.com"}), nil
	})
	wrong := bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) {
		return bearergate.NewToken(bearergate.Claims{Issuer: "https://another.example.com"}), nil
	})
	plain := issuers.Config{Issuers: map[string]bearergate.Verifier{kit.Issuer: own, "https://broken.example.com": wrong}}
	withOpaque := plain
	withOpaque.Opaque = opaque
	encrypted := withOpaque
	encrypted.EncryptedAreOpaque = true
	jwe := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"dir","enc":"A256GCM"}`)) + "..a.b.c"
	resolves := issuers.Config{Resolve: func(_ context.Context, issuer string) (bearergate.Verifier, error) {
		if issuer == kit.Issuer {
			return own, nil
		}
		return nil, nil
	}, ResolveIssuers: []string{kit.Issuer, "https://tenants.example.com/{tenant}"}}
	allows := issuers.Config{Resolve: resolves.Resolve, AllowIssuer: func(iss string) bool { return iss == kit.Issuer }}
	fails := issuers.Config{Resolve: func(context.Context, string) (bearergate.Verifier, error) { return nil, bearergate.ErrUnavailable }, ResolveIssuers: []string{kit.Issuer}}
	for name, tt := range map[string]struct {
		config issuers.Config
		token  string
		reason bearergate.Reason
		failed string
		first  string // the detail of the router's step
		advice string // begins with
		none   bool   // there is no advice: the token is not to blame
	}{
		"accepted":              {config: plain, token: s.Sign(t, nil), first: "the token goes to the verifier of its issuer"},
		"resolved":              {config: resolves, token: s.Sign(t, nil), first: "the token goes to the verifier of its issuer"},
		"opaque":                {config: withOpaque, token: "opaque", first: "the token is no JWT, and goes to Opaque"},
		"refused by its own":    {config: plain, token: s.Sign(t, map[string]any{"aud": "x"}), reason: bearergate.ReasonAudience, failed: "audience", advice: "The token is for another API"},
		"nobody's issuer":       {config: plain, token: s.Sign(t, map[string]any{"iss": "https://x.example.com"}), reason: bearergate.ReasonIssuer, failed: "router", advice: "The token says that it is of an issuer for which the router has no verifier"},
		"an issuer by a slash":  {config: plain, token: s.Sign(t, map[string]any{"iss": "https://as.example.com"}), reason: bearergate.ReasonIssuer, failed: "router", advice: `The key "https://as.example.com/" of Issuers and the iss of the token: the two differ only by a slash`},
		"no such tenant":        {config: resolves, token: s.Sign(t, map[string]any{"iss": "https://tenants.example.com/x"}), reason: bearergate.ReasonIssuer, failed: "router", advice: "The token says that it is of an issuer"},
		"not let through":       {config: allows, token: s.Sign(t, map[string]any{"iss": "https://x.example.com"}), reason: bearergate.ReasonIssuer, failed: "router", advice: "The token says that it is of an issuer"},
		"let through":           {config: allows, token: s.Sign(t, nil), first: "the token goes to the verifier of its issuer"},
		"no issuer":             {config: plain, token: s.Sign(t, map[string]any{"iss": kit.Absent}), reason: bearergate.ReasonMissingClaim, failed: "router", advice: "The token has no iss"},
		"opaque without Opaque": {config: plain, token: "opaque", reason: bearergate.ReasonMalformed, failed: "router", advice: "The token is no JWT, and the router has no verifier for such tokens"},
		"encrypted":             {config: encrypted, token: jwe, first: "the token is encrypted, and goes to Opaque"},
		"encrypted, not wanted": {config: withOpaque, token: jwe, reason: bearergate.ReasonMalformed, failed: "router", advice: "set EncryptedAreOpaque of the Router"},
		"encrypted, no Opaque":  {config: plain, token: jwe, reason: bearergate.ReasonMalformed, failed: "router"},
		"malformed, and Opaque": {config: withOpaque, token: "eyJhbGciOiJIUzI1NiJ9.e30=.x", reason: bearergate.ReasonMalformed, failed: "router", advice: "The text is written in plain base64"},
		"no JWT, as it seems":   {config: plain, token: "eyJhbGciOiJIUzI1NiJ9.e30=.x", reason: bearergate.ReasonMalformed, failed: "router", advice: "The text is written in plain base64"},
		"the wrong verifier":    {config: plain, token: s.Sign(t, map[string]any{"iss": "https://broken.example.com"}), reason: bearergate.ReasonInternal, failed: "router's issuer"},
		"no token":              {config: plain, reason: bearergate.ReasonNoToken, failed: "router", none: true},
		"too long":              {config: plain, token: s.Sign(t, map[string]any{"roles": strings.Repeat("r", issuers.DefaultMaxTokenBytes)}), reason: bearergate.ReasonTooLarge, failed: "router", advice: "Look why the token is so long"},
		"nobody can resolve":    {config: fails, token: s.Sign(t, nil), reason: bearergate.ReasonKeysUnavailable, failed: "router", none: true},
		"nobody's, and no JWT":  {config: plain, token: b64(`{"alg":"ES256"}`) + "." + b64(`{"iss":"https://x.example.com","x":{"a":1,"a":2}}`) + ".", reason: bearergate.ReasonIssuer, failed: "router", advice: "The token says that it is of an issuer"},
	} {
		t.Run(name, func(t *testing.T) {
			router, err := issuers.NewRouter(tt.config)
			require.NoError(t, err)
			_, err = router.Verify(t.Context(), tt.token)
			e := router.Explain(t.Context(), tt.token)
			kit.RequireExplained(t, e, err, tt.token)
			require.Equal(t, tt.reason, bearergate.ReasonOf(e.Err))
			failed, _ := e.Failed()
			require.Equal(t, tt.failed, failed.Name)
			if tt.first != "" {
				require.Equal(t, tt.first, e.Steps[0].Detail)
				require.True(t, e.Steps[0].Unsigned, "it is read before anything is verified")
			}
			require.Equal(t, strings.Contains(tt.advice, "EncryptedAreOpaque"), strings.Contains(strings.Join(e.Advice, " "), "EncryptedAreOpaque"))
			if tt.none {
				require.Empty(t, e.Advice)
			}
			if tt.advice != "" {
				require.NotEmpty(t, e.Advice)
				require.Contains(t, e.Advice[0], tt.advice)
			}
		})
	}
	var none *issuers.Router
	kit.RequireError(t, none.Explain(t.Context(), "x").Err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
}

// The verifiers that explain are given the caller's context, and one also where the caller
// has none.
func TestExplainPassesTheContextOn(t *testing.T) {
	type key struct{}
	var got context.Context
	asked := bearergate.VerifierFunc(func(ctx context.Context, _ string) (*bearergate.Token, error) {
		got = ctx
		return bearergate.NewToken(bearergate.Claims{Issuer: kit.Issuer}), nil
	})
	router := newRouter(t, issuers.Config{Issuers: map[string]bearergate.Verifier{kit.Issuer: asked}})
	live, err := issuers.RequireLive(asked, asked)
	require.NoError(t, err)
	for name, explain := range map[string]func(context.Context, string) bearergate.Explanation{
		"Router": router.Explain,
		"RequireLive": live.(interface {
			Explain(context.Context, string) bearergate.Explanation
		}).Explain,
	} {
		got = nil
		require.NoError(t, explain(context.WithValue(t.Context(), key{}, "the caller's"), unsigned(kit.Issuer)).Err, name)
		require.Equal(t, "the caller's", got.Value(key{}), name)
		got = nil
		var none context.Context
		require.NoError(t, explain(none, unsigned(kit.Issuer)).Err, name)
		require.NotNil(t, got, name)
	}
}

// RequireLive explains both verdicts, and whether they agree.
func TestRequireLiveExplains(t *testing.T) {
	local := bearergate.NewToken(bearergate.Claims{Issuer: "https://as.example.com", Subject: "a", Scopes: scope.Of("read", "write")})
	says := func(c *bearergate.Claims, reason bearergate.Reason) bearergate.Verifier {
		return bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) {
			if c == nil {
				return nil, &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: reason}
			}
			return bearergate.NewToken(*c), nil
		})
	}
	for name, tt := range map[string]struct {
		local, live bearergate.Verifier
		reason      bearergate.Reason
		failed      string
	}{
		"both":      {live: says(&bearergate.Claims{Scopes: scope.Of("read")}, "")},
		"local":     {local: says(nil, bearergate.ReasonExpired), live: says(&bearergate.Claims{}, ""), reason: bearergate.ReasonExpired, failed: "verifier"},
		"live":      {live: says(nil, bearergate.ReasonInactive), reason: bearergate.ReasonInactive, failed: "live verifier"},
		"agreement": {live: says(&bearergate.Claims{Subject: "b"}, ""), reason: bearergate.ReasonPolicy, failed: "live agreement"},
		"stale":     {live: says(&bearergate.Claims{Stale: true}, ""), reason: bearergate.ReasonIntrospectionUnavailable, failed: "live agreement"},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.local == nil {
				tt.local = bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) { return local, nil })
			}
			v, err := issuers.RequireLive(tt.local, tt.live)
			require.NoError(t, err)
			_, err = v.Verify(t.Context(), "x")
			e := bearergate.Explain(t.Context(), v, "x")
			kit.RequireExplained(t, e, err, "x")
			require.Equal(t, tt.reason, bearergate.ReasonOf(e.Err))
			failed, _ := e.Failed()
			require.Equal(t, tt.failed, failed.Name)
			if tt.reason == "" {
				require.Equal(t, scope.Of("read"), e.Token.Scopes(), "narrowed, as by Verify")
			}
		})
	}
}

// A stranger's token costs the same however many issuers there are.
func TestAnUnknownIssuerIsCheap(t *testing.T) {
	members := map[string]bearergate.Verifier{}
	refuses := bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) { return nil, bearergate.ErrInvalidToken })
	for i := range 5000 {
		members[fmt.Sprintf("https://as%d.example.com", i)] = refuses
	}
	router, err := issuers.NewRouter(issuers.Config{Issuers: map[string]bearergate.Verifier{"https://as.example.com": refuses}})
	require.NoError(t, err)
	many, err := issuers.NewRouter(issuers.Config{Issuers: members})
	require.NoError(t, err)
	token := kit.NewSigner(t, "ES256", "k").Sign(t, map[string]any{"iss": "https://nobody.example.net"})
	cost := func(r *issuers.Router) float64 {
		return testing.AllocsPerRun(100, func() { _, _ = r.Verify(t.Context(), token) })
	}
	require.InDelta(t, cost(router), cost(many), 1)
}
