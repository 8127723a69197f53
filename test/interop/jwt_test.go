package interop_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/stretchr/testify/require"
)

// verifier has its keys discovered from the real metadata.
func verifier(t *testing.T, c jwtverify.Config) *jwtverify.Verifier {
	t.Helper()
	v, err := jwtverify.New(c)
	require.NoError(t, err)
	return v
}

func TestAlgorithms(t *testing.T) {
	for _, alg := range []string{"RS256", "RS512", "PS256", "ES256", "ES384", "EdDSA", "Ed25519"} {
		t.Run(alg, func(t *testing.T) {
			t.Parallel()
			kind := strings.ToLower(alg)
			token := shared.token(t, grant{kind: kind})
			require.Equal(t, alg, header(token).Alg)
			require.Equal(t, "at+jwt", header(token).Typ)

			config := jwtverify.Config{Issuer: shared.HTTP, Audiences: []string{audience(kind)}, Profile: jwtverify.RFC9068}
			if alg == "RS512" {
				serve(t, verifier(t, config)).requireVerdict(t, refused(bearergate.ReasonAlgorithm), token)
				config.Algorithms = []string{"RS512"}
			}
			api := serve(t, verifier(t, config))
			for range 2 { // the second from the cache
				got, who := api.get(t, token)
				require.Equal(t, accepted, got)
				require.WithinDuration(t, time.Now().Add(10*time.Minute), who.ExpiresAt, time.Minute)
				who.ExpiresAt = time.Time{}
				require.Equal(t, identity{Issuer: shared.HTTP, Subject: app.id, ClientID: app.id, Audience: []string{audience(kind)},
					Scopes: []string{"read"}, IsClient: true}, who)
			}
		})
	}
}

func TestOneVerifierForAllAlgorithms(t *testing.T) {
	t.Parallel()
	kinds := []string{"rs256", "ps256", "es256", "es384", "eddsa", "ed25519"}
	var audiences []string
	for _, kind := range kinds {
		audiences = append(audiences, audience(kind))
	}
	v := verifier(t, jwtverify.Config{Issuer: shared.HTTP, Audiences: audiences})
	require.NoError(t, v.Warm(t.Context()))
	api := serve(t, v)
	for _, kind := range kinds {
		api.requireVerdict(t, accepted, shared.token(t, grant{kind: kind}))
	}
}

func TestJWTRefused(t *testing.T) {
	t.Parallel()
	config := jwtverify.Config{Issuer: shared.HTTP, Audiences: []string{audience("es256")}}
	api := serve(t, verifier(t, config))
	good := shared.token(t, grant{kind: "es256"})
	api.requireVerdict(t, accepted, good)

	// The same keys sign them all.
	api.requireVerdict(t, refused(bearergate.ReasonAudience), shared.token(t, grant{kind: "ps256"}))
	api.requireVerdict(t, refused(bearergate.ReasonIssuer), shared.token(t, grant{kind: "es256", over: authority.client()}))

	part := strings.Split(good, ".")
	other := strings.Split(shared.token(t, grant{kind: "es256", scope: "read admin"}), ".")
	api.requireVerdict(t, refused(bearergate.ReasonSignature), part[0]+"."+other[1]+"."+part[2])

	config.Now = func() time.Time { return time.Now().Add(11 * time.Minute) }
	serve(t, verifier(t, config)).requireVerdict(t, refused(bearergate.ReasonExpired), good)
	config.Now = func() time.Time { return time.Now().Add(-time.Minute) }
	serve(t, verifier(t, config)).requireVerdict(t, refused(bearergate.ReasonNotYetValid), good)
}

func TestScopes(t *testing.T) {
	t.Parallel()
	v := verifier(t, jwtverify.Config{Issuer: shared.HTTP, Audiences: []string{audience("es256")}})
	requireScopes(t, serve(t, v), "es256")
}

// requireScopes shows that a route gets what it requires, in an API for tokens of a kind.
func requireScopes(t *testing.T, api *api, kind string) {
	t.Helper()
	for _, tc := range []struct {
		scope, path string
		want        verdict
	}{
		{"read", "/read", accepted},
		{"read", "/admin", verdict{http.StatusForbidden, bearergate.ReasonScope}},
		{"admin", "/read", verdict{http.StatusForbidden, bearergate.ReasonScope}},
		{"read admin", "/admin", accepted},
	} {
		got, _, err := api.ask(t.Context(), tc.path, shared.token(t, grant{kind: kind, scope: tc.scope}))
		require.NoError(t, err)
		require.Equal(t, tc.want, got, "%s with %q", tc.path, tc.scope)
	}
}

// A token expires while requests bring it: not one is accepted after exp, also
// not from the cache, and not one refused before.
func TestJWTExpiresInFlight(t *testing.T) {
	t.Parallel()
	v := verifier(t, jwtverify.Config{Issuer: shared.HTTP, Audiences: []string{audience("es256")}, NoLeeway: true})
	requireExpiry(t, serve(t, v), "es256", refused(bearergate.ReasonExpired))
}

// requireExpiry takes the verdicts that an expired token of the kind may get.
func requireExpiry(t *testing.T, api *api, kind string, expired ...verdict) {
	t.Helper()
	token := shared.token(t, grant{kind: kind, life: 4 * time.Second})
	first, who := api.get(t, token)
	require.Equal(t, accepted, first)
	exp := who.ExpiresAt
	require.Less(t, time.Until(exp), 4*time.Second)
	load := drive(t, func(ctx context.Context, _, _ int) (verdict, error) {
		begin := time.Now()
		got, _, err := api.ask(ctx, "/read", token)
		switch {
		case err != nil:
			return got, err
		case !begin.Before(exp):
			return got, must(got, expired...)
		case time.Now().Before(exp):
			return got, must(got, accepted)
		}
		return got, must(got, append(expired, accepted)...) // it expired meanwhile
	})
	load.until(t, "refusals", func(count map[verdict]int, _ int) bool {
		sum := 0
		for _, v := range expired {
			sum += count[v]
		}
		return sum >= 100
	})
	require.NotZero(t, load.stop(t)[accepted])
}
