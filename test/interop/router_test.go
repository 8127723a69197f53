package interop_test

import (
	"context"
	"testing"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/issuers"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/stretchr/testify/require"
)

// JWTs and opaque tokens of one server side by side. A JWT never reaches the
// introspection endpoint, whoever issued it and whatever is wrong with it.
func TestRouter(t *testing.T) {
	t.Parallel()
	s := ownServer(t)
	config := issuers.Config{
		Issuers: map[string]bearergate.Verifier{
			s.HTTP: verifier(t, jwtverify.Config{Issuer: s.HTTP, Audiences: trafficAudiences, Profile: jwtverify.RFC9068}),
		},
		Opaque: introspector(t, introspect.Config{Issuer: s.HTTP, Auth: basic()}),
	}
	router, err := issuers.NewRouter(config)
	require.NoError(t, err)
	api := serve(t, router)

	jwt := s.token(t, grant{kind: "es256"})
	got, who := api.get(t, jwt)
	require.Equal(t, accepted, got)
	require.Equal(t, app.id, who.Subject)
	foreign := s.token(t, grant{kind: "es256", over: authority.client()})
	api.requireVerdict(t, refused(bearergate.ReasonIssuer), foreign)
	api.requireVerdict(t, refused(bearergate.ReasonAudience), s.token(t, grant{kind: "rs256"}))
	api.requireVerdict(t, refused(bearergate.ReasonMalformed), jwt[:len(jwt)-10]+".")
	require.Zero(t, s.requests(t, introspectionPath))

	opaque := s.token(t, grant{kind: "opaque"})
	got, who = api.get(t, opaque)
	require.Equal(t, accepted, got)
	require.Empty(t, who.Subject)
	require.Equal(t, 1, s.requests(t, introspectionPath))
	api.requireVerdict(t, refused(bearergate.ReasonInactive), "unknown"+opaque)

	// The other issuer is made on demand.
	config.ResolveIssuers = []string{s.HTTPS}
	config.Resolve = func(_ context.Context, issuer string) (bearergate.Verifier, error) {
		return jwtverify.New(jwtverify.Config{Issuer: issuer, Audiences: trafficAudiences, HTTPClient: authority.client()})
	}
	router, err = issuers.NewRouter(config)
	require.NoError(t, err)
	api = serve(t, router)
	for range 2 {
		api.requireVerdict(t, accepted, foreign)
		api.requireVerdict(t, accepted, jwt)
		api.requireVerdict(t, accepted, opaque)
	}
}

// Keys rotate while JWTs and opaque tokens come through one router.
func TestRouterDuringARotation(t *testing.T) {
	t.Parallel()
	s := ownServer(t)
	router, err := issuers.NewRouter(issuers.Config{
		Issuers: map[string]bearergate.Verifier{s.HTTP: verifier(t, jwtverify.Config{Issuer: s.HTTP, Audiences: trafficAudiences})},
		Opaque:  introspector(t, introspect.Config{Issuer: s.HTTP, Auth: basic()}),
	})
	require.NoError(t, err)
	api := serve(t, router)
	jwts := driveRotating(t, s, api)
	opaque := drive(t, func(ctx context.Context, _, _ int) (verdict, error) {
		token, err := s.mint(ctx, grant{kind: "opaque"})
		if err != nil {
			return verdict{}, err
		}
		got, _, err := api.ask(ctx, "/read", token)
		if err != nil {
			return got, err
		}
		return got, must(got, accepted)
	})
	opaque.more(t, 50)
	s.rotate(t, "publish", "activate")
	jwts.signed(t, 2)
	opaque.more(t, 50)
	jwts.stop(t)
	opaque.stop(t)
}

// This server cannot introspect its JWTs and says so with an error: RequireLive
// must take that for what it is, not for a revoked token.
func TestRequireLiveOfAServerThatCannot(t *testing.T) {
	t.Parallel()
	local := verifier(t, jwtverify.Config{Issuer: shared.HTTP, Audiences: trafficAudiences})
	live := introspector(t, introspect.Config{Issuer: shared.HTTP, Auth: basic(), Audiences: trafficAudiences, DisableCache: true})
	both, err := issuers.RequireLive(local, live)
	require.NoError(t, err)
	jwt := shared.token(t, grant{kind: "es256"})
	serve(t, local).requireVerdict(t, accepted, jwt)
	serve(t, both).requireVerdict(t, unavailable(bearergate.ReasonIntrospectionUnavailable), jwt)

	// What is refused here is not asked about.
	serve(t, both).requireVerdict(t, refused(bearergate.ReasonAudience), shared.token(t, grant{kind: "rs256"}))
}
