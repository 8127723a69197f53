package jwtverify_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/stretchr/testify/require"
)

// T11 of the cases: a path that a Map looks for and no token has is told, and not silently
// nothing.
func TestUnmapped(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	access := func(api string) map[string]any {
		return map[string]any{"resource_access": map[string]any{api: map[string]any{"roles": []string{"orders:read"}}}}
	}
	orders := jwtverify.ScopesFrom("resource_access", "orders-api", "roles")
	for _, tt := range []struct {
		name   string
		do     func(*bearergate.Claims) error
		claims func(token int) map[string]any // counted from 1
		told   []string
	}{
		{name: "the path is there", do: orders, claims: func(int) map[string]any { return access("orders-api") }},
		{
			name: "it never is", do: orders, claims: func(int) map[string]any { return access("bookings-api") },
			told: []string{"resource_access.orders-api.roles 100", "resource_access.orders-api.roles 1000"},
		},
		{name: "the last of a hundred has it", do: orders, claims: func(n int) map[string]any {
			if n == 100 {
				return access("orders-api")
			}
			return nil
		}},
		{
			name: "null is absent, and what is no object has no members", do: jwtverify.Maps(jwtverify.RolesFrom("a"), jwtverify.RolesFrom("sub", "b")),
			claims: func(int) map[string]any { return map[string]any{"a": nil} },
			told:   []string{"a 100", "sub.b 100", "a 1000", "sub.b 1000"},
		},
		{name: "nothing is there, and that is a value", do: jwtverify.RolesFrom("a"), claims: func(int) map[string]any { return map[string]any{"a": []string{}} }},
		{
			name: "two ways to one path", do: jwtverify.Maps(jwtverify.RolesFrom("a"), jwtverify.ScopesFrom("a")),
			told: []string{"a 100", "a 1000"},
		},
		{
			name: "a name with a dot is no path", do: jwtverify.Maps(jwtverify.RolesFrom("https://example.com/roles"), jwtverify.RolesFrom("a.b", "c"), jwtverify.RolesFrom("a", "b", "c")),
			told: []string{`"https://example.com/roles" 100`, `"a.b".c 100`, `a.b.c 100`, `"https://example.com/roles" 1000`, `"a.b".c 1000`, `a.b.c 1000`},
		},
		{name: "a Map of one's own", do: func(c *bearergate.Claims) error { c.Missing = append(c.Missing, "department"); return nil }, told: []string{"department 100", "department 1000"}},
		{name: "a Map that refuses: no such token was accepted", do: jwtverify.Maps(jwtverify.RolesFrom("a"), func(*bearergate.Claims) error { return errors.New("no role") })},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var told []string
			c := config(s.Set(t))
			c.Map = tt.do
			c.Hooks.Unmapped = func(ctx context.Context, e bearergate.UnmappedEvent) {
				require.NoError(t, ctx.Err())
				require.Equal(t, issuer, e.Issuer)
				told = append(told, fmt.Sprintf("%s %d", e.Path, e.Tokens))
			}
			v := newVerifier(t, c)
			for n := range 1010 {
				claims := map[string]any{"jti": fmt.Sprint(n)}
				if tt.claims != nil {
					maps.Copy(claims, tt.claims(n+1))
				}
				raw := s.Sign(t, claims)
				for range 2 { // what is remembered does not count again, nor what is explained
					_, err := v.Verify(t.Context(), raw)
					require.Equal(t, bearergate.ReasonOf(err) == bearergate.ReasonPolicy, err != nil)
				}
				if n < 3 {
					v.Explain(t.Context(), raw)
				}
			}
			require.Equal(t, tt.told, told)
		})
	}
}

// Explain says of one token what Map did not find in it.
func TestExplainUnmapped(t *testing.T) {
	s := newSigner(t, "ES256", "k")
	const keycloak = "resource_access.orders-api.roles"
	lookedFor := func(paths string) string { return "Map looked for " + paths + ", which this token does not have: " }
	refuse := func(*bearergate.Claims) error { return errors.New("no role") }
	for _, tt := range []struct {
		name   string
		do     func(*bearergate.Claims) error
		claims map[string]any
		reason bearergate.Reason
		advice []string // each begins with
	}{
		{name: "found", do: jwtverify.RolesFrom("realm_access", "roles"), claims: map[string]any{"realm_access": map[string]any{"roles": []string{"clerk"}}}},
		{
			name: "found: it has its scopes from there", do: jwtverify.ScopesFrom("realm_access", "roles"),
			claims: map[string]any{"realm_access": map[string]any{"roles": []string{"clerk"}}, "scope": nil},
		},
		{name: "not found", do: jwtverify.ScopesFrom("resource_access", "orders-api", "roles"), advice: []string{lookedFor(keycloak)}},
		{
			name: "not found, and no scope", do: jwtverify.ScopesFrom("resource_access", "orders-api", "roles"), claims: map[string]any{"scope": nil},
			advice: []string{lookedFor(keycloak), "The token has no scope"},
		},
		{name: "two", do: jwtverify.Maps(jwtverify.RolesFrom("a"), jwtverify.RolesFrom("b")), advice: []string{lookedFor("a, b")}},
		{
			name: "refused for it", do: jwtverify.Maps(jwtverify.RolesFrom("a"), refuse), reason: bearergate.ReasonPolicy,
			advice: []string{"Config.Map refused the token", lookedFor("a")},
		},
		{name: "refused without a word", do: refuse, reason: bearergate.ReasonPolicy, advice: []string{"Config.Map refused the token"}},
		{
			name: "refused before Map was asked", do: jwtverify.RolesFrom("a"), claims: map[string]any{"aud": "https://other.example.com"}, reason: bearergate.ReasonAudience,
			advice: []string{"The token is for another API"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := config(s.Set(t))
			c.Map = tt.do
			e := newVerifier(t, c).Explain(t.Context(), s.Sign(t, tt.claims))
			require.Equal(t, tt.reason, bearergate.ReasonOf(e.Err))
			require.Len(t, e.Advice, len(tt.advice), "%q", e.Advice)
			for i, want := range tt.advice {
				require.Contains(t, e.Advice[i], want)
			}
		})
	}
}
