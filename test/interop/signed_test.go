package interop_test

import (
	"io"
	"net/http"
	"net/url"
	"testing"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/stretchr/testify/require"
)

func signedConfig(s *server, alg string) introspect.Config {
	c := apiSigned[alg]
	return introspect.Config{Issuer: s.HTTP, Auth: introspect.BasicAuth(c.id, c.secret), Signed: introspect.SignedConfig{Answers: introspect.SignedRequired, Algorithms: []string{alg}}}
}

// Signed introspection answers (RFC 9701), whose aud is the caller's client_id.
func TestSignedAnswers(t *testing.T) {
	for alg, client := range apiSigned {
		t.Run(alg, func(t *testing.T) {
			t.Parallel()
			token := shared.token(t, grant{kind: "opaque"})
			answer := signedAnswer(t, client, token)
			require.Equal(t, alg, header(answer).Alg)
			require.Equal(t, "token-introspection+jwt", header(answer).Typ)

			config := signedConfig(shared, alg)
			api := serve(t, introspector(t, config))
			for range 2 { // the second from the cache
				got, who := api.get(t, token)
				require.Equal(t, accepted, got)
				require.Equal(t, app.id, who.ClientID)
				require.Empty(t, who.Subject)
			}
			api.requireVerdict(t, refused(bearergate.ReasonInactive), "unknown"+token)

			config.Signed.Algorithms = nil // the default accepts each of them
			serve(t, introspector(t, config)).requireVerdict(t, accepted, token)
			config.Signed.Answers = introspect.SignedIfOffered
			serve(t, introspector(t, config)).requireVerdict(t, accepted, token)

			unavailable := unavailable(bearergate.ReasonIntrospectionUnavailable)
			config = signedConfig(shared, alg)
			config.Signed.Algorithms = []string{"ES384"}
			serve(t, introspector(t, config)).requireVerdict(t, unavailable, token)
			config = signedConfig(shared, alg)
			config.Signed.Audiences = []string{"somebody-else"}
			serve(t, introspector(t, config)).requireVerdict(t, unavailable, token)
			config = signedConfig(shared, alg)
			config.Issuer, config.HTTPClient = shared.HTTPS, authority.client()
			config.Endpoint = shared.HTTP + introspectionPath
			serve(t, introspector(t, config)).requireVerdict(t, unavailable, token)

			// It is signed by the issuer's keys and for an audience that could be
			// ours, and still no access token.
			v := verifier(t, jwtverify.Config{Issuer: shared.HTTP, Audiences: []string{client.id}})
			serve(t, v).requireVerdict(t, refused(bearergate.ReasonType), answer)
		})
	}
}

// signedAnswer is what the server says about a token, as it stands there.
func signedAnswer(t *testing.T, c *client, token string) string {
	t.Helper()
	req, err := c.request(t.Context(), shared.HTTP+introspectionPath, url.Values{"token": {token}})
	require.NoError(t, err)
	req.Header.Set("Accept", "application/token-introspection+jwt")
	resp, err := plain.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode)
	return string(body)
}

// The keys of signed answers rotate like all others.
func TestSignedAnswersAndRotation(t *testing.T) {
	t.Parallel()
	s := ownServer(t)
	config := signedConfig(s, "ES256")
	config.DisableCache = true
	api := serve(t, introspector(t, config))
	token := s.token(t, grant{kind: "opaque"})
	api.requireVerdict(t, accepted, token)
	s.rotate(t, "publish", "activate", "drop")
	api.requireVerdict(t, accepted, token)
	require.Equal(t, 2, s.requests(t, jwksPath))
}

// The answers are there, and the keys that verify them are not.
func TestSignedAnswersWithoutKeys(t *testing.T) {
	t.Parallel()
	s := ownServer(t)
	api := serve(t, introspector(t, signedConfig(s, "ES256")))
	token := s.token(t, grant{kind: "opaque"})
	s.fail(t, jwksPath, fault{Status: 503})
	api.requireVerdict(t, unavailable(bearergate.ReasonKeysUnavailable), token)
	s.mend(t, jwksPath)
	api.eventually(t, accepted, token, unavailable(bearergate.ReasonKeysUnavailable))
}
