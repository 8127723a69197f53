package issuers_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/issuers"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/stretchr/testify/require"
)

// says is a verifier that accepts every token as one with these claims.
func says(c bearergate.Claims) bearergate.VerifierFunc {
	return func(context.Context, string) (*bearergate.Token, error) { return bearergate.NewToken(c), nil }
}

func fails(err error) bearergate.VerifierFunc {
	return func(context.Context, string) (*bearergate.Token, error) { return nil, err }
}

func requireLive(t testing.TB, local, live bearergate.Verifier) bearergate.Verifier {
	t.Helper()
	v, err := issuers.RequireLive(local, live)
	require.NoError(t, err)
	return v
}

type caching struct {
	bearergate.Verifier
	live bool
}

func (c caching) Live() bool { return c.live }

type wrapper struct{ bearergate.Verifier }

func (w wrapper) Unwrap() bearergate.Verifier { return w.Verifier }

func wrapped(v bearergate.Verifier, times int) bearergate.Verifier {
	for range times {
		v = wrapper{v}
	}
	return v
}

type panicky struct{ bearergate.Verifier }

func (panicky) Verify(context.Context, string) (*bearergate.Token, error) { return nil, nil }
func (panicky) Live() bool                                                { panic("x") }

type endlessWrapper struct{ bearergate.Verifier }

func (w endlessWrapper) Unwrap() bearergate.Verifier { return w }

func TestRequireLiveNamesEveryMistake(t *testing.T) {
	local := newVerifier(t, config(newSigner(t, "ES256", "k").Set(t)))
	live := &recorder{}
	router := func(c issuers.Config) *issuers.Router { return newRouter(t, c) }
	many := map[string]bearergate.Verifier{issuer: caching{live, false}}
	for i := range 100 {
		many[fmt.Sprintf("https://as%d.example.com", i)] = live
	}
	require.False(t, router(issuers.Config{Issuers: many}).Live())
	require.True(t, router(issuers.Config{Opaque: live}).Live())
	require.False(t, (*issuers.Router)(nil).Live())
	for _, tt := range []struct {
		name        string
		local, live bearergate.Verifier
		says        []string
	}{
		{"both nil", nil, nil, []string{"local is nil", "live is nil"}},
		{"typed nil local", (*jwtverify.Verifier)(nil), live, []string{"local is nil"}},
		{"typed nil live", local, bearergate.VerifierFunc(nil), []string{"live is nil"}},
		{"caches", local, caching{live, false}, []string{"DisableCache"}},
		{"caches, and local is nil", nil, caching{live, false}, []string{"local is nil", "DisableCache"}},
		{"caches, wrapped", local, wrapper{caching{live, false}}, []string{"DisableCache"}},
		{"caches, wrapped twice", local, wrapper{wrapper{caching{live, false}}}, []string{"DisableCache"}},
		{"caches, in a live wrapper", local, liveWrapper{wrapper{caching{live, false}}}, []string{"DisableCache"}},
		{"caches, in a router", local, router(issuers.Config{Issuers: map[string]bearergate.Verifier{issuer: caching{live, false}}}), []string{"DisableCache"}},
		{"caches, for opaque tokens", local, router(issuers.Config{Opaque: caching{live, false}}), []string{"DisableCache"}},
		{"a router that resolves", local, router(issuers.Config{ResolveIssuers: []string{issuer},
			Resolve: func(context.Context, string) (bearergate.Verifier, error) { return live, nil }}), []string{"in Resolve"}},
		{"the wrong way round", live, local, []string{"asks nobody"}},
		{"local twice, wrapped", local, wrapper{local}, []string{"asks nobody"}},
		{"local twice, embedded", local, struct{ *jwtverify.Verifier }{newVerifier(t, config(newSigner(t, "ES256", "k").Set(t)))}, []string{"answers from its cache"}},
		{"a router with a cache, embedded", local, struct{ *issuers.Router }{newRouter(t, issuers.Config{Opaque: caching{live, false}})}, []string{"answers from its cache"}},
		{"panics when asked", local, panicky{}, []string{"panicked"}},
		{"wraps itself", local, endlessWrapper{live}, []string{"more than 16"}},
		{"wrapped too deep", local, wrapped(live, 16), []string{"more than 16"}},
		{"wrapped too deep in a router", local, router(issuers.Config{Issuers: map[string]bearergate.Verifier{issuer: wrapped(live, 15)}}), []string{"more than 16"}},
		{"wrapped too deep for opaque tokens", local, router(issuers.Config{Opaque: wrapped(live, 15)}), []string{"more than 16"}},
		{"one of many in a router caches", local, router(issuers.Config{Issuers: many}), []string{"DisableCache"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v, err := issuers.RequireLive(tt.local, tt.live)
			require.Nil(t, v)
			requireError(t, nil, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
			for _, text := range tt.says {
				require.ErrorContains(t, err, text)
			}
		})
	}
	require.Zero(t, live.asked())

	for name, live := range map[string]bearergate.Verifier{
		"says nothing":      live,
		"live":              caching{live, true},
		"wrapped":           wrapper{caching{live, true}},
		"wraps nothing":     wrapper{nil},
		"a router of those": router(issuers.Config{Issuers: map[string]bearergate.Verifier{issuer: caching{live, true}}, Opaque: live}),
		"another of these":  requireLive(t, local, live),
		"wrapped deep":      wrapped(live, 15),
		"wrapped deep in a router": router(issuers.Config{
			Issuers: map[string]bearergate.Verifier{issuer: wrapped(live, 14)}, Opaque: wrapped(live, 14)}),
	} {
		t.Run(name, func(t *testing.T) { requireLive(t, local, live) })
	}
}

type liveWrapper struct{ wrapper }

func (liveWrapper) Live() bool { return true }

// full is what a token of the local verifier says in these tests.
func full() bearergate.Claims {
	return bearergate.Claims{
		Issuer: issuer, Subject: "user-1", ClientID: "client-1", ID: "id-1", Audience: []string{audience, "other"},
		Scopes: scope.Of("read", "write", "admin"), Roles: []string{"clerk", "chief"}, Tenant: "blue", ExpiresAt: now.Add(time.Hour), IssuedAt: now, NotBefore: now.Add(-time.Minute),
		AuthTime: now.Add(-time.Hour), ACR: "gold", Actors: []bearergate.Actor{{Subject: "agent"}},
		Confirmation: map[string][]byte{"jkt": []byte(`"thumb"`), "jwk": []byte(`{"kty":"EC"}`)},
		Raw:          []byte(`{"sub":"user-1","tenant":"blue"}`),
	}
}

// Two sides that agree, and one change of the live answer.
func TestRequireLiveDecides(t *testing.T) {
	for _, tt := range []struct {
		name   string
		local  func(*bearergate.Claims)
		live   func(*bearergate.Claims)
		want   func(*bearergate.Claims) // of what local says
		reason bearergate.Reason        // of ErrInvalidToken
	}{
		{name: "the same", want: func(*bearergate.Claims) {}},
		{name: "nothing but active", live: func(c *bearergate.Claims) { *c = bearergate.Claims{} },
			want: func(c *bearergate.Claims) { c.Scopes = scope.Of() }},
		{name: "other claims of its own", live: func(c *bearergate.Claims) {
			c.ID, c.Audience, c.ACR, c.Actors, c.Raw = "x", []string{"x"}, "x", nil, []byte(`{}`)
			c.IssuedAt, c.NotBefore, c.AuthTime = time.Time{}, time.Time{}, now
		}, want: func(*bearergate.Claims) {}},
		{name: "the same actor, with its iss", live: func(c *bearergate.Claims) { c.Actors = []bearergate.Actor{{Subject: "agent", Issuer: issuer}} }, want: func(*bearergate.Claims) {}},
		{name: "another actor", live: func(c *bearergate.Claims) { c.Actors = []bearergate.Actor{{Subject: "mallory"}} }, reason: bearergate.ReasonPolicy},
		{name: "the actor of another issuer", live: func(c *bearergate.Claims) { c.Actors = []bearergate.Actor{{Subject: "agent", Issuer: issuerB}} }, reason: bearergate.ReasonPolicy},
		{name: "a longer chain", live: func(c *bearergate.Claims) { c.Actors = append(c.Actors, bearergate.Actor{Subject: "earlier"}) }, reason: bearergate.ReasonPolicy},
		{name: "an actor on the live side only", local: func(c *bearergate.Claims) { c.Actors = nil },
			want: func(c *bearergate.Claims) { c.Actors = []bearergate.Actor{{Subject: "agent"}} }},
		{name: "another iss", live: func(c *bearergate.Claims) { c.Issuer = issuerB }, reason: bearergate.ReasonIssuer},
		{name: "iss without the slash", live: func(c *bearergate.Claims) { c.Issuer = issuer[:len(issuer)-1] }, reason: bearergate.ReasonIssuer},
		{name: "another sub", live: func(c *bearergate.Claims) { c.Subject = "user-2" }, reason: bearergate.ReasonPolicy},
		{name: "sub in upper case", live: func(c *bearergate.Claims) { c.Subject = "USER-1" }, reason: bearergate.ReasonPolicy},
		{name: "another client_id", live: func(c *bearergate.Claims) { c.ClientID = "client-2" }, reason: bearergate.ReasonPolicy},
		{name: "another tenant", live: func(c *bearergate.Claims) { c.Tenant = "green" }, reason: bearergate.ReasonPolicy},
		{name: "no tenant", live: func(c *bearergate.Claims) { c.Tenant = "" }, want: func(*bearergate.Claims) {}},
		{name: "fewer roles", live: func(c *bearergate.Claims) { c.Roles = []string{"clerk"} }, want: func(c *bearergate.Claims) { c.Roles = []string{"clerk"} }},
		{name: "other roles", live: func(c *bearergate.Claims) { c.Roles = []string{"Clerk", "root"} }, want: func(c *bearergate.Claims) { c.Roles = []string{} }},
		{name: "an empty list of roles", live: func(c *bearergate.Claims) { c.Roles = []string{} }, want: func(c *bearergate.Claims) { c.Roles = []string{} }},
		{name: "roles not told", live: func(c *bearergate.Claims) { c.Roles = nil }, want: func(*bearergate.Claims) {}},
		{name: "roles on the live side only", local: func(c *bearergate.Claims) { c.Roles = nil }, want: func(*bearergate.Claims) {}},
		{name: "no iss", live: func(c *bearergate.Claims) { c.Issuer = "" }, want: func(*bearergate.Claims) {}},
		{name: "no sub", live: func(c *bearergate.Claims) { c.Subject = "" }, want: func(*bearergate.Claims) {}},
		{name: "no client_id", live: func(c *bearergate.Claims) { c.ClientID = "" }, want: func(*bearergate.Claims) {}},
		{name: "sub on the live side only", local: func(c *bearergate.Claims) { c.Subject = "" }, want: func(*bearergate.Claims) {}},
		{name: "client_id on the live side only", local: func(c *bearergate.Claims) { c.ClientID = "" }, want: func(*bearergate.Claims) {}},

		{name: "fewer scopes", live: func(c *bearergate.Claims) { c.Scopes = scope.Of("write", "read") },
			want: func(c *bearergate.Claims) { c.Scopes = scope.Of("read", "write") }},
		{name: "more scopes", live: func(c *bearergate.Claims) { c.Scopes = scope.Of("root", "admin", "write", "read") }, want: func(*bearergate.Claims) {}},
		{name: "other scopes", live: func(c *bearergate.Claims) { c.Scopes = scope.Of("Read", "writ") },
			want: func(c *bearergate.Claims) { c.Scopes = scope.Of() }},
		{name: "no claim of scopes in the answer", live: func(c *bearergate.Claims) { c.Scopes = scope.Set{} }, want: func(c *bearergate.Claims) { c.Scopes = scope.Of() }},
		{name: "an answer that names no scopes", live: func(c *bearergate.Claims) { c.Scopes = scope.Of() }, want: func(c *bearergate.Claims) { c.Scopes = scope.Of() }},
		{name: "a claim that names no scopes", local: func(c *bearergate.Claims) { c.Scopes = scope.Of() }, want: func(*bearergate.Claims) {}},
		{name: "a claim of the answer only", local: func(c *bearergate.Claims) { c.Scopes = scope.Set{} },
			want: func(c *bearergate.Claims) { c.Scopes = full().Scopes }},
		{name: "no claim anywhere", local: func(c *bearergate.Claims) { c.Scopes = scope.Set{} },
			live: func(c *bearergate.Claims) { c.Scopes = scope.Set{} }, want: func(*bearergate.Claims) {}},

		{name: "ends earlier", live: func(c *bearergate.Claims) { c.ExpiresAt = now.Add(time.Minute) },
			want: func(c *bearergate.Claims) { c.ExpiresAt = now.Add(time.Minute) }},
		{name: "ends later", live: func(c *bearergate.Claims) { c.ExpiresAt = now.Add(2 * time.Hour) }, want: func(*bearergate.Claims) {}},
		{name: "does not end", live: func(c *bearergate.Claims) { c.ExpiresAt = time.Time{} }, want: func(*bearergate.Claims) {}},
		{name: "ends on the live side only", local: func(c *bearergate.Claims) { c.ExpiresAt = time.Time{} },
			want: func(c *bearergate.Claims) { c.ExpiresAt = now.Add(time.Hour) }},
		{name: "ends on neither side", local: func(c *bearergate.Claims) { c.ExpiresAt = time.Time{} },
			live: func(c *bearergate.Claims) { c.ExpiresAt = time.Time{} }, want: func(*bearergate.Claims) {}},

		{name: "no cnf", live: func(c *bearergate.Claims) { c.Confirmation = nil }, want: func(*bearergate.Claims) {}},
		{name: "cnf on the live side only", local: func(c *bearergate.Claims) { c.Confirmation = nil },
			want: func(c *bearergate.Claims) { c.Confirmation = full().Confirmation }},
		{name: "cnf on neither side", local: func(c *bearergate.Claims) { c.Confirmation = nil },
			live: func(c *bearergate.Claims) { c.Confirmation = nil }, want: func(*bearergate.Claims) {}},
		{name: "cnf written otherwise", live: func(c *bearergate.Claims) { c.Confirmation["jkt"] = []byte(`"\u0074humb"`) }, want: func(*bearergate.Claims) {}},
		{name: "another thumbprint", live: func(c *bearergate.Claims) { c.Confirmation["jkt"] = []byte(`"Thumb"`) }, reason: bearergate.ReasonBinding},
		{name: "a thumbprint that is none", live: func(c *bearergate.Claims) { c.Confirmation["jkt"] = []byte(`5`) }, reason: bearergate.ReasonBinding},
		{name: "an empty thumbprint and an object", local: func(c *bearergate.Claims) { c.Confirmation["jkt"] = []byte(`""`) },
			live: func(c *bearergate.Claims) { c.Confirmation["jkt"] = []byte(`{}`) }, reason: bearergate.ReasonBinding},
		{name: "an object and an empty thumbprint", local: func(c *bearergate.Claims) { c.Confirmation["jkt"] = []byte(`{}`) },
			live: func(c *bearergate.Claims) { c.Confirmation["jkt"] = []byte(`""`) }, reason: bearergate.ReasonBinding},
		{name: "another key", live: func(c *bearergate.Claims) { c.Confirmation["jwk"] = []byte(`{"kty":"OKP"}`) }, reason: bearergate.ReasonBinding},
		{name: "a member less", live: func(c *bearergate.Claims) { delete(c.Confirmation, "jwk") }, reason: bearergate.ReasonBinding},
		{name: "a member more", live: func(c *bearergate.Claims) { c.Confirmation["x5t#S256"] = []byte(`"x"`) }, reason: bearergate.ReasonBinding},
		{name: "another member", live: func(c *bearergate.Claims) {
			c.Confirmation = map[string][]byte{"kid": []byte(`"thumb"`), "jwk": []byte(`{"kty":"EC"}`)}
		}, reason: bearergate.ReasonBinding},
		{name: "an empty cnf", live: func(c *bearergate.Claims) { c.Confirmation = map[string][]byte{} }, reason: bearergate.ReasonBinding},
	} {
		t.Run(tt.name, func(t *testing.T) {
			local, live := full(), full()
			if tt.local != nil {
				tt.local(&local)
			}
			if tt.live != nil {
				tt.live(&live)
			}
			token, err := requireLive(t, says(local), says(live)).Verify(t.Context(), "x")
			if tt.want == nil {
				requireError(t, token, err, bearergate.ErrInvalidToken, tt.reason)
				return
			}
			require.NoError(t, err)
			want := local
			tt.want(&want)
			require.Equal(t, bearergate.NewToken(want), token)
			var custom struct{ Tenant string }
			require.NoError(t, token.Claims(&custom))
		})
	}
}

func requireLiveIf(t testing.TB, local, live bearergate.Verifier, when func(*bearergate.Token) bool) bearergate.Verifier {
	t.Helper()
	v, err := issuers.RequireLiveIf(local, live, when)
	require.NoError(t, err)
	return v
}

func TestRequireLiveIf(t *testing.T) {
	inactive := &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonInactive}
	expired := &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonExpired}
	isAdmin := func(t *bearergate.Token) bool { return t.Scopes().Has("admin") }
	clerk := full()
	clerk.Scopes = scope.Of("read")
	for _, tt := range []struct {
		name        string
		local, live bearergate.VerifierFunc
		when        func(*bearergate.Token) bool
		asked       int // times that live is
		reason      bearergate.Reason
	}{
		{name: "named, and lives", local: says(full()), live: says(full()), when: isAdmin, asked: 1},
		{name: "named, and revoked", local: says(full()), live: fails(inactive), when: isAdmin, asked: 1, reason: bearergate.ReasonInactive},
		{name: "not named, and revoked", local: says(clerk), live: fails(inactive), when: isAdmin},
		{name: "refused by local", local: fails(expired), live: says(full()), when: func(*bearergate.Token) bool { return true }, reason: bearergate.ReasonExpired},
		{name: "a panic asks", local: says(clerk), live: fails(inactive), when: func(*bearergate.Token) bool { panic("x") }, asked: 1, reason: bearergate.ReasonInactive},
	} {
		t.Run(tt.name, func(t *testing.T) {
			asked := 0
			v := requireLiveIf(t, tt.local, bearergate.VerifierFunc(func(ctx context.Context, token string) (*bearergate.Token, error) {
				asked++
				return tt.live(ctx, token)
			}), tt.when)
			for range 2 { // nothing is remembered
				token, err := v.Verify(t.Context(), "x")
				if tt.reason == "" {
					require.NoError(t, err)
					want, _ := tt.local(t.Context(), "x")
					require.Equal(t, want, token)
				} else {
					requireError(t, token, err, bearergate.ErrInvalidToken, tt.reason)
				}
			}
			require.Equal(t, 2*tt.asked, asked)
			_, err := v.Verify(t.Context(), "x")
			e := bearergate.Explain(t.Context(), v, "x")
			kit.RequireExplained(t, e, err, "x")
			require.Equal(t, tt.asked == 0 && tt.reason == "", strings.Contains(e.String(), "live is not asked about such a token"))
		})
	}
}

func TestRequireLiveIfTellsWhatItIs(t *testing.T) {
	local := newVerifier(t, config(newSigner(t, "ES256", "k").Set(t)))
	live := &recorder{}
	never := func(*bearergate.Token) bool { return false }
	v := requireLiveIf(t, local, live, never)
	require.Equal(t, issuer, v.(interface{ Issuer() string }).Issuer())
	require.False(t, v.(interface{ Live() bool }).Live(), "it does not ask for every token")
	require.True(t, requireLive(t, local, live).(interface{ Live() bool }).Live())
	require.Nil(t, v.(interface{ Confirmations() []string }).Confirmations(), "live does not tell")
	both := requireLiveIf(t, local, confirmations{Verifier: live, members: []string{"jkt"}}, never)
	require.Equal(t, []string{"jkt"}, both.(interface{ Confirmations() []string }).Confirmations(), "either may bind the token")

	for _, tt := range []struct {
		name        string
		local, live bearergate.Verifier
		when        func(*bearergate.Token) bool
		says        []string
	}{
		{"no condition", local, live, nil, []string{"RequireLiveIf: when is nil", "use RequireLive for all"}},
		{"all nil", nil, nil, nil, []string{"RequireLiveIf: local is nil", "RequireLiveIf: live is nil", "when is nil"}},
		{"caches", local, caching{live, false}, never, []string{"RequireLiveIf: live:", "DisableCache"}},
		{"another of these", local, v, never, []string{"not for every token"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v, err := issuers.RequireLiveIf(tt.local, tt.live, tt.when)
			require.Nil(t, v)
			requireError(t, nil, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
			for _, text := range tt.says {
				require.ErrorContains(t, err, text)
			}
		})
	}
}

// I14: what counts as a claim of scopes is what the local verifier looks for, and reads.
func TestRequireLiveWhereTheTokenNamesNoScopes(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	for _, tt := range []struct {
		name   string
		claims []string // Config.ScopeClaims
		token  map[string]any
		want   []string // of read and write, which the answer names
	}{
		{name: "no claim", token: map[string]any{"scope": absent}, want: []string{"read", "write"}},
		{name: "a claim that nobody asks for", token: map[string]any{"scope": absent, "permissions": "x"}, want: []string{"read", "write"}},
		{name: "one of two", token: map[string]any{"scope": "read admin"}, want: []string{"read"}},
		{name: "an empty string", token: map[string]any{"scope": ""}},
		{name: "a space", token: map[string]any{"scope": " "}},
		{name: "an empty array", token: map[string]any{"scope": []string{}}},
		{name: "null", token: map[string]any{"scope": nil}},
		{name: "null, and the other claim", token: map[string]any{"scope": nil, "scp": "read"}, want: []string{"read"}},
		{name: "no scope token", token: map[string]any{"scope": "\"read\""}},
		{name: "scp", token: map[string]any{"scope": absent, "scp": []string{"write"}}, want: []string{"write"}},
		{name: "an empty scp", token: map[string]any{"scope": absent, "scp": []string{}}},
		{name: "another claim, absent", claims: []string{"permissions"}, token: map[string]any{"scope": ""}, want: []string{"read", "write"}},
		{name: "another claim, null", claims: []string{"permissions"}, token: map[string]any{"permissions": nil}},
		{name: "another claim, empty", claims: []string{"permissions"}, token: map[string]any{"permissions": []string{}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := config(s.Set(t))
			c.ScopeClaims = tt.claims
			answer := bearergate.Claims{Issuer: issuer, Scopes: scope.Of("read", "write")}
			v := requireLive(t, newVerifier(t, c), says(answer))
			for range 2 { // from the cache too
				token, err := v.Verify(t.Context(), s.Sign(t, tt.token))
				require.NoError(t, err)
				require.ElementsMatch(t, tt.want, token.Scopes().Names())
				require.False(t, token.Scopes().IsZero())
			}
			// What one has narrowed to nothing, another does not fill again.
			twice := requireLive(t, v, says(answer))
			token, err := twice.Verify(t.Context(), s.Sign(t, tt.token))
			require.NoError(t, err)
			require.ElementsMatch(t, tt.want, token.Scopes().Names())
		})
	}
}

// The order, and whose error it is: what local refuses is told to nobody.
func TestRequireLiveErrors(t *testing.T) {
	inactive := &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonInactive}
	expired := &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonExpired}
	down := &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonIntrospectionUnavailable, RetryAfter: time.Second}
	ours := &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonConfig}
	stale := full()
	stale.Stale = true
	for _, tt := range []struct {
		name        string
		local, live bearergate.VerifierFunc
		kind        error
		reason      bearergate.Reason
	}{
		{"expired, and inactive", fails(expired), fails(inactive), bearergate.ErrInvalidToken, bearergate.ReasonExpired},
		{"inactive", says(full()), fails(inactive), bearergate.ErrInvalidToken, bearergate.ReasonInactive},
		{"down", says(full()), fails(down), bearergate.ErrUnavailable, bearergate.ReasonIntrospectionUnavailable},
		{"our credentials", says(full()), fails(ours), bearergate.ErrMisconfigured, bearergate.ReasonConfig},
		{"a stale answer", says(full()), says(stale), bearergate.ErrUnavailable, bearergate.ReasonIntrospectionUnavailable},
		{"a foreign error", says(full()), fails(errors.New("x")), bearergate.ErrMisconfigured, bearergate.ReasonInternal},
		{"a nil token", says(full()), fails(nil), bearergate.ErrMisconfigured, bearergate.ReasonInternal},
		{"a nil token of local", fails(nil), says(full()), bearergate.ErrMisconfigured, bearergate.ReasonInternal},
		{"a panic", says(full()), func(context.Context, string) (*bearergate.Token, error) { panic("x") }, bearergate.ErrMisconfigured, bearergate.ReasonInternal},
		{"a panic of local", func(context.Context, string) (*bearergate.Token, error) { panic("x") }, says(full()), bearergate.ErrMisconfigured, bearergate.ReasonInternal},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var asked []string
			live := bearergate.VerifierFunc(func(ctx context.Context, token string) (*bearergate.Token, error) {
				asked = append(asked, token)
				return tt.live(ctx, token)
			})
			token, err := requireLive(t, tt.local, live).Verify(t.Context(), "raw")
			requireError(t, token, err, tt.kind, tt.reason)
			if _, localErr := bearergate.Verify(t.Context(), tt.local, "raw"); localErr != nil {
				require.Empty(t, asked, "a token that local refuses was sent on")
			} else {
				require.Equal(t, []string{"raw"}, asked)
			}
		})
	}
	token, err := requireLive(t, says(full()), says(full())).Verify(t.Context(), "")
	requireError(t, token, err, bearergate.ErrMissingToken, bearergate.ReasonNoToken)
}

func TestRequireLiveContext(t *testing.T) {
	// The caller leaves between the two: the second is not asked.
	ctx, cancel := context.WithCancel(t.Context())
	live := &recorder{}
	v := requireLive(t, bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) {
		cancel()
		return bearergate.NewToken(full()), nil
	}), live)
	token, err := v.Verify(ctx, "x")
	requireError(t, token, err, bearergate.ErrUnavailable, bearergate.ReasonCanceled)
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, live.asked())

	// And while the second is asked.
	v = requireLive(t, says(full()), bearergate.VerifierFunc(func(ctx context.Context, _ string) (*bearergate.Token, error) {
		<-ctx.Done()
		return nil, fmt.Errorf("live: %w", ctx.Err())
	}))
	bubble.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		token, err := v.Verify(ctx, "x")
		requireError(t, token, err, bearergate.ErrUnavailable, bearergate.ReasonStoreUnavailable)
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})

	// The deadline passes between the two: the keys were waited for, and the second
	// is not asked.
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	live = &recorder{}
	token, err = requireLive(t, says(full()), live).Verify(late, "x")
	requireError(t, token, err, bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Zero(t, live.asked())

	var none context.Context
	_, err = requireLive(t, says(full()), says(full())).Verify(none, "x")
	require.NoError(t, err)
}

// A token that was revoked is refused at once, although the local verifier
// remembers it; an outage never accepts it.
func TestRequireLiveSeesRevocation(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		as := authtest.New(t)
		local := newVerifier(t, jwtverify.Config{Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client()})
		answer := error(nil)
		asked := 0
		live := bearergate.VerifierFunc(func(ctx context.Context, token string) (*bearergate.Token, error) {
			asked++
			if answer != nil {
				return nil, answer
			}
			return bearergate.NewToken(bearergate.Claims{Issuer: as.Issuer(), Subject: "alice", Scopes: scope.Of("read")}), nil
		})
		// By way of a router, which knows whose tokens these are.
		v := newRouter(t, issuers.Config{Issuers: map[string]bearergate.Verifier{as.Issuer(): requireLive(t, local, live)}})
		_, err := issuers.NewRouter(issuers.Config{Issuers: map[string]bearergate.Verifier{issuerB: requireLive(t, local, live)}})
		requireError(t, nil, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
		_, err = issuers.NewRouter(issuers.Config{Issuers: map[string]bearergate.Verifier{issuerB: requireLive(t, named{local, issuer}, live)}})
		requireError(t, nil, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
		newRouter(t, issuers.Config{Issuers: map[string]bearergate.Verifier{issuerB: requireLive(t, says(full()), live)}})

		raw := as.Token(authtest.Claims{Subject: "alice", Scopes: scope.Of("read", "write")})
		for range 3 {
			token, err := v.Verify(t.Context(), raw)
			require.NoError(t, err)
			require.Equal(t, []string{"read"}, token.Scopes().Names())
			require.Equal(t, authtest.DefaultClientID, token.ClientID())
		}
		require.Equal(t, 3, asked)
		answer = &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonIntrospectionUnavailable}
		token, err := v.Verify(t.Context(), raw)
		requireError(t, token, err, bearergate.ErrUnavailable, bearergate.ReasonIntrospectionUnavailable)
		answer = &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonInactive}
		token, err = v.Verify(t.Context(), raw)
		requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonInactive)
		// What the local cache holds was not narrowed along.
		token, err = local.Verify(t.Context(), raw)
		require.NoError(t, err)
		require.Equal(t, []string{"read", "write"}, token.Scopes().Names())
		token, err = v.Verify(t.Context(), as.Token(authtest.Claims{ExpiresAt: time.Now().Add(-time.Hour)}))
		requireError(t, token, err, bearergate.ErrInvalidToken, bearergate.ReasonExpired)
		require.Equal(t, 5, asked)
	})
}

func ExampleRequireLive() {
	as, err := authtest.Start()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer as.Close()
	local, err := jwtverify.New(jwtverify.Config{
		Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client(),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	var revoked []string
	// Stands in for an introspect.Client with DisableCache.
	live := bearergate.VerifierFunc(func(_ context.Context, token string) (*bearergate.Token, error) {
		if slices.Contains(revoked, token) {
			return nil, &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonInactive}
		}
		return bearergate.NewToken(bearergate.Claims{Issuer: as.Issuer(), Subject: "alice", Scopes: scope.Of("pay")}), nil
	})
	verifier, err := issuers.RequireLive(local, live)
	if err != nil {
		fmt.Println(err)
		return
	}

	raw := as.Token(authtest.Claims{Subject: "alice", Scopes: scope.Of("pay", "refund")})
	for range 2 {
		token, err := verifier.Verify(context.Background(), raw)
		if err != nil {
			fmt.Println("refused:", bearergate.ReasonOf(err))
			continue
		}
		fmt.Println("accepted:", token.Subject(), "may", token.Scopes())
		revoked = append(revoked, raw)
	}
	// Output:
	// accepted: alice may pay
	// refused: inactive
}

// RequireLive tells the Confirmations of both, since the live answer alone may bind
// a token; nil, which says nothing, where one does not tell.
func TestRequireLiveConfirmations(t *testing.T) {
	tells := func(members ...string) bearergate.Verifier {
		return confirmations{says(full()), append([]string{}, members...)}
	}
	confirms := func(local, live bearergate.Verifier) []string {
		return requireLive(t, local, live).(interface{ Confirmations() []string }).Confirmations()
	}
	require.Equal(t, []string{"jkt", "x5t#S256"}, confirms(tells("x5t#S256", "jkt"), tells("jkt")))
	require.Equal(t, []string{"jkt"}, confirms(tells(), tells("jkt")))
	require.Equal(t, []string{}, confirms(tells(), tells()))
	require.Nil(t, confirms(tells("jkt"), says(full())))
	require.Nil(t, confirms(says(full()), tells("jkt")))
}

type confirmations struct {
	bearergate.Verifier
	members []string
}

func (c confirmations) Confirmations() []string { return c.members }

// A Router tells what its verifiers let through, and nothing where one of them
// does not tell: a gate must not take that for a refusal of bound tokens.
func TestRouterConfirmations(t *testing.T) {
	tells := func(members ...string) bearergate.Verifier {
		c := config(newSigner(t, "ES256", "k").Set(t))
		c.Confirmations = members
		return newVerifier(t, c)
	}
	router := func(a, opaque bearergate.Verifier) *issuers.Router {
		return newRouter(t, issuers.Config{Issuers: map[string]bearergate.Verifier{issuer: a}, Opaque: opaque})
	}
	require.Equal(t, []string{"jkt", "x5t#S256"}, router(tells("x5t#S256", "jkt"), tells("jkt")).Confirmations())
	require.Equal(t, []string{}, router(tells(), tells()).Confirmations())
	require.Equal(t, []string{"jkt"}, router(tells("jkt"), nil).Confirmations())
	require.Nil(t, router(tells("jkt"), says(full())).Confirmations())
	require.Nil(t, router(tells("jkt"), router(tells("jkt"), says(full()))).Confirmations())
	resolving := func(c *issuers.Config) {
		c.Issuers, c.Opaque = map[string]bearergate.Verifier{issuer: tells("jkt")}, tells("jkt")
	}
	require.Nil(t, (&directory{}).router(t, resolving).Confirmations(), "of what Resolve returns nobody knows")
	require.Nil(t, (*issuers.Router)(nil).Confirmations())
}

// Whose token it is that live refuses, local knows where live does not say.
func TestRequireLiveSaysWhoseItWas(t *testing.T) {
	local := says(bearergate.Claims{Issuer: issuer, ClientID: "shop"})
	inactive := &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonInactive}
	for _, tt := range []struct {
		name   string
		live   error
		client string // "": nobody's
	}{
		{name: "inactive", live: inactive, client: "shop"},
		{name: "refused by a live one that knows", live: inactive.WithRefused(bearergate.NewToken(bearergate.Claims{Issuer: issuer, ClientID: "mobile"})), client: "mobile"},
		{name: "out of order", live: &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonIntrospectionUnavailable}, client: "shop"},
		{name: "of another issuer", live: &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonIssuer}},
	} {
		_, err := requireLive(t, local, fails(tt.live)).Verify(t.Context(), "t")
		said, want := bearergate.AsError(err), bearergate.AsError(tt.live)
		require.Equal(t, want.Kind, said.Kind, tt.name)
		require.Equal(t, want.Reason, said.Reason, tt.name)
		require.Equal(t, tt.client != "", said.Refused != nil, tt.name)
		require.Equal(t, tt.client, said.Refused.ClientID(), tt.name)
	}
	require.Nil(t, inactive.Refused, "an error that others have too")
}
