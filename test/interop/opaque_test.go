package interop_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/introspect"
	"github.com/stretchr/testify/require"
)

// introspector discovers the endpoint from the real metadata.
func introspector(t *testing.T, c introspect.Config) *introspect.Client {
	t.Helper()
	if c.Audiences == nil {
		c.Audiences = []string{audience("opaque")}
	}
	client, err := introspect.New(c)
	require.NoError(t, err)
	return client
}

func basic() introspect.Auth { return introspect.BasicAuth(apiBasic.id, apiBasic.secret) }

// The answer about a token that a client got for itself names no sub.
func TestOpaqueToken(t *testing.T) {
	t.Parallel()
	api := serve(t, introspector(t, introspect.Config{Issuer: shared.HTTP, Auth: basic()}))
	token := shared.token(t, grant{kind: "opaque"})
	for range 2 { // the second from the cache
		got, who := api.get(t, token)
		require.Equal(t, accepted, got)
		require.WithinDuration(t, time.Now().Add(10*time.Minute), who.ExpiresAt, time.Minute)
		who.ExpiresAt = time.Time{}
		require.Equal(t, identity{Issuer: shared.HTTP, ClientID: app.id, Audience: []string{audience("opaque")},
			Scopes: []string{"read"}}, who) // without sub, nothing says that it is a client's
	}
	requireScopes(t, api, "opaque")
}

func TestOpaqueTokenRefused(t *testing.T) {
	t.Parallel()
	token := shared.token(t, grant{kind: "opaque"})
	api := serve(t, introspector(t, introspect.Config{Issuer: shared.HTTP, Auth: basic()}))
	api.requireVerdict(t, refused(bearergate.ReasonInactive), rand.Text())
	api.requireVerdict(t, refused(bearergate.ReasonInactive), token[:len(token)-1])

	other := serve(t, introspector(t, introspect.Config{Issuer: shared.HTTP, Auth: basic(), Audiences: []string{audience("other")}}))
	other.requireVerdict(t, refused(bearergate.ReasonAudience), token)

	// Its token endpoint is another's.
	elsewhere := serve(t, introspector(t, introspect.Config{Issuer: shared.HTTPS, Auth: basic(), HTTPClient: authority.client(),
		Endpoint: shared.HTTP + introspectionPath}))
	elsewhere.requireVerdict(t, refused(bearergate.ReasonIssuer), token)
}

func TestRevocation(t *testing.T) {
	t.Parallel()
	t.Run("at once without a cache", func(t *testing.T) {
		api := serve(t, introspector(t, introspect.Config{Issuer: shared.HTTP, Auth: basic(), DisableCache: true}))
		token := shared.token(t, grant{kind: "opaque"})
		api.requireVerdict(t, accepted, token)
		shared.revoke(t, token)
		api.requireVerdict(t, refused(bearergate.ReasonInactive), token)
	})
	t.Run("within the TTL", func(t *testing.T) {
		const ttl = time.Second
		api := serve(t, introspector(t, introspect.Config{Issuer: shared.HTTP, Auth: basic(), PositiveTTL: ttl}))
		token := shared.token(t, grant{kind: "opaque"})
		api.requireVerdict(t, accepted, token)
		shared.revoke(t, token)
		revoked := time.Now()
		load := drive(t, func(ctx context.Context, _, _ int) (verdict, error) {
			begin := time.Now()
			got, _, err := api.ask(ctx, "/read", token)
			switch {
			case err != nil:
				return got, err
			case begin.After(revoked.Add(ttl)):
				return got, must(got, refused(bearergate.ReasonInactive))
			}
			return got, must(got, accepted, refused(bearergate.ReasonInactive))
		})
		load.until(t, "refusals", func(count map[verdict]int, _ int) bool { return count[refused(bearergate.ReasonInactive)] >= 500 })
		load.stop(t)
	})
	t.Run("at once with Purge", func(t *testing.T) {
		client := introspector(t, introspect.Config{Issuer: shared.HTTP, Auth: basic()})
		api := serve(t, client)
		token := shared.token(t, grant{kind: "opaque"})
		api.requireVerdict(t, accepted, token)
		shared.revoke(t, token)
		api.requireVerdict(t, accepted, token) // remembered: the price of the cache
		client.Purge(token)
		api.requireVerdict(t, refused(bearergate.ReasonInactive), token)
	})
}

func TestOpaqueTokenExpiresInFlight(t *testing.T) {
	t.Parallel()
	api := serve(t, introspector(t, introspect.Config{Issuer: shared.HTTP, Auth: basic(), NoLeeway: true}))
	// The server does not know it any more, or knows it no better than the cache.
	requireExpiry(t, api, "opaque", refused(bearergate.ReasonExpired), refused(bearergate.ReasonInactive))
}

func TestClientAuthentication(t *testing.T) {
	stolen := generate(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	assertion := introspect.Assertion{KeyID: keyID}
	post := introspect.PostAuth(apiPost.id, apiPost.secret)
	for _, tc := range []struct {
		name      string
		auth      introspect.Auth
		http      *http.Client // not nil: over TLS
		want      verdict
		wantError error
	}{
		{"basic", basic(), nil, accepted, nil},
		{"post", post, nil, accepted, nil},
		{"private_key_jwt ES256", introspect.PrivateKeyJWT(apiES256.id, apiES256.key, assertion), nil, accepted, nil},
		{"private_key_jwt PS256", introspect.PrivateKeyJWT(apiPS256.id, apiPS256.key, assertion), nil, accepted, nil},
		{"private_key_jwt EdDSA", introspect.PrivateKeyJWT(apiEdDSA.id, apiEdDSA.key, assertion), nil, accepted, nil},
		{"private_key_jwt without kid", introspect.PrivateKeyJWT(apiES256.id, apiES256.key, introspect.Assertion{}), nil, accepted, nil},
		{"basic over TLS", basic(), authority.client(), accepted, nil},
		{"tls_client_auth", introspect.CertificateAuth(apiCertificate.id), authority.client(authority.trusted), accepted, nil},
		{"self_signed_tls_client_auth", introspect.CertificateAuth(apiSelfSigned.id), authority.client(authority.selfSigned), accepted, nil},

		{"basic, wrong secret", introspect.BasicAuth(apiBasic.id, "wrong"), nil, misconfigured, bearergate.ErrMisconfigured},
		{"basic, unknown client", introspect.BasicAuth("nobody", apiBasic.secret), nil, misconfigured, bearergate.ErrMisconfigured},
		{"post, wrong secret", introspect.PostAuth(apiPost.id, "wrong"), nil, misconfigured, bearergate.ErrMisconfigured},
		{"private_key_jwt, wrong key", introspect.PrivateKeyJWT(apiES256.id, stolen, assertion), nil, misconfigured, bearergate.ErrMisconfigured},
		{"private_key_jwt, wrong aud", introspect.PrivateKeyJWT(apiES256.id, apiES256.key, introspect.Assertion{KeyID: keyID, Audience: "https://other.example"}),
			nil, misconfigured, bearergate.ErrMisconfigured},
		{"tls_client_auth, no certificate", introspect.CertificateAuth(apiCertificate.id), authority.client(), misconfigured, bearergate.ErrMisconfigured},
		{"tls_client_auth, another's certificate", introspect.CertificateAuth(apiCertificate.id), authority.client(authority.other), misconfigured, bearergate.ErrMisconfigured},

		// That a client may not ask, the server hides behind active: false (RFC 7662 §2.2).
		{"a client that may not ask", introspect.BasicAuth(app.id, app.secret), nil, refused(bearergate.ReasonInactive), bearergate.ErrInvalidToken},
		// The server has no such method, and says 400: it might be about the token.
		{"bearer", introspect.BearerAuth(func(context.Context) (string, error) { return rand.Text(), nil }), nil,
			unavailable(bearergate.ReasonIntrospectionUnavailable), bearergate.ErrUnavailable},
		{"bearer, no token to be had", introspect.BearerAuth(func(context.Context) (string, error) { return "", errors.New("down") }), nil,
			unavailable(bearergate.ReasonIntrospectionUnavailable), bearergate.ErrUnavailable},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			config := introspect.Config{Issuer: shared.HTTP, Auth: tc.auth}
			g := grant{kind: "opaque"}
			if tc.http != nil {
				config.Issuer, config.HTTPClient, g.over = shared.HTTPS, tc.http, authority.client()
			}
			client := introspector(t, config)
			api := serve(t, client)
			for range 2 {
				api.requireVerdict(t, tc.want, shared.token(t, g))
			}
			_, err := client.Verify(t.Context(), shared.token(t, g))
			require.ErrorIs(t, err, tc.wantError)
		})
	}
}
