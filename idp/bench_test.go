package idp_test

import (
	"testing"

	"github.com/bearergate/bearergate/idp"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/stretchr/testify/require"
)

// BenchmarkPreset compares, in one run, a configuration with and without the rule of a
// preset: for a token seen for the first time, and one seen before.
func BenchmarkPreset(b *testing.B) {
	s := kit.NewSigner(b, "RS256", "k")
	raw := keycloakToken(b, s)
	for _, rule := range []string{"without", "with"} {
		for _, seen := range []string{"cold", "warm"} {
			b.Run(seen+"/"+rule, func(b *testing.B) {
				v := benched(b, s, rule == "with", seen == "cold")
				b.ReportAllocs()
				for b.Loop() {
					if _, err := v.Verify(b.Context(), raw); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// A token seen before costs the same with a preset: nothing is allocated for its rule.
func TestRememberedTokensCostNoRule(t *testing.T) {
	s := kit.NewSigner(t, "ES256", "k")
	raw := keycloakToken(t, s)
	allocs := func(v *jwtverify.Verifier) float64 {
		return testing.AllocsPerRun(100, func() {
			if _, err := v.Verify(t.Context(), raw); err != nil {
				t.Error(err)
			}
		})
	}
	require.Equal(t, allocs(benched(t, s, false, false)), allocs(benched(t, s, true, false)))
}

func benched(t testing.TB, s kit.Signer, rule, cold bool) *jwtverify.Verifier {
	t.Helper()
	c := idp.Keycloak(kit.Issuer, kit.Audience)
	c.Keys, c.Now, c.DisableCache = s.Set(t), nowOf, cold
	if !rule {
		c.Preset = jwtverify.Config{}.Preset
	}
	v, err := jwtverify.New(c)
	require.NoError(t, err)
	return v
}

func keycloakToken(t testing.TB, s kit.Signer) string {
	return s.SignWith(t, map[string]any{"alg": s.Alg, "typ": "JWT", "kid": s.KeyID}, map[string]any{
		"typ": "Bearer", "azp": "shop", "sid": "5a3b", "acr": "1", "allowed-origins": []string{"https://shop.example.test"},
		"realm_access": map[string]any{"roles": []string{"offline_access", "buyer", "uma_authorization"}},
		"resource_access": map[string]any{
			kit.Audience: map[string]any{"roles": []string{"reader"}},
			"account":    map[string]any{"roles": []string{"manage-account", "view-profile"}},
		},
		"email_verified": true, "name": "Alice Example", "preferred_username": "alice", "email": "alice@example.test",
	})
}
