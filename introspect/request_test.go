package introspect_test

import (
	"cmp"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/jwks"
	"github.com/stretchr/testify/require"
)

func TestRetryAfterIsHandedOn(t *testing.T) {
	s := newServer()
	s.fail(status(429, "Retry-After", "7"))
	err := requireRefused(t, newClient(t, config(s)), opaque, unavailable, bearergate.ReasonIntrospectionUnavailable)
	require.Equal(t, 7*time.Second, bearergate.AsError(err).RetryAfter)
	require.Equal(t, 1, s.requests()) // not tried again
}

// What cannot be a token is not sent to the server.
func TestRefusedWithoutACall(t *testing.T) {
	s := newServer()
	client := newClient(t, with(config(s), func(c *introspect.Config) {
		c.Accept = func(token string) bool {
			require.NotContains(t, token, " ", "what is no token is not shown to Accept")
			return !strings.HasPrefix(token, "foreign")
		}
		c.MaxTokenBytes = 100
	}))
	requireRefused(t, client, "", bearergate.ErrMissingToken, bearergate.ReasonNoToken)
	requireRefused(t, client, "foreign-token", invalid, bearergate.ReasonMalformed)
	requireRefused(t, client, strings.Repeat("a", 101), invalid, bearergate.ReasonTooLarge)
	for _, bad := range []string{"=", "a=b", "a b", " a", "a\n", "a&token=b", "a%41", "ü", "a\x00", `a"`, "a,b", "a`b", "a{b", "a@b", "a[b", "a:b"} {
		requireRefused(t, client, bad, invalid, bearergate.ReasonMalformed)
	}
	require.Zero(t, s.requests())
	s.answers["a-._~+/9=="] = answer(nil)
	requireAccepted(t, client, "a-._~+/9==")
	require.Equal(t, url.Values{"token": {"a-._~+/9=="}}, s.form, "and nothing else")

	requireRefused(t, newClient(t, config(s)), strings.Repeat("a", 16<<10+1), invalid, bearergate.ReasonTooLarge)
	requireRefused(t, newClient(t, config(s)), strings.Repeat("a", 16<<10), invalid, bearergate.ReasonInactive)
}

// req: R7662-02, R7662-03, R7662-04, R7662-05
func TestRequest(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	for _, tt := range []struct {
		name string
		auth introspect.Auth
		see  func(t *testing.T, r *http.Request, form url.Values)
	}{
		{"client_secret_basic", introspect.BasicAuth("a:b c", secret), func(t *testing.T, r *http.Request, form url.Values) {
			raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(r.Header.Get("Authorization"), "Basic "))
			require.NoError(t, err)
			require.Equal(t, "a%3Ab+c:s3cr3t%2Fof%2Bthe%3Aclient", string(raw)) // form-encoded first (RFC 6749 section 2.3.1)
			require.Empty(t, form.Get("client_id"))
		}},
		{"client_secret_post", introspect.PostAuth(clientID, secret), func(t *testing.T, r *http.Request, form url.Values) {
			require.Empty(t, r.Header.Get("Authorization"))
			require.Equal(t, clientID, form.Get("client_id"))
			require.Equal(t, secret, form.Get("client_secret"))
		}},
		{"bearer", introspect.BearerAuth(func(context.Context) (string, error) { return "our-own", nil }), func(t *testing.T, r *http.Request, form url.Values) {
			require.Equal(t, "Bearer our-own", r.Header.Get("Authorization"))
		}},
		{"certificate", introspect.CertificateAuth(clientID), func(t *testing.T, r *http.Request, form url.Values) {
			require.Empty(t, r.Header.Get("Authorization"))
			require.Equal(t, clientID, form.Get("client_id"))
		}},
		{"none", introspect.NoAuth(), func(t *testing.T, r *http.Request, form url.Values) {
			require.Empty(t, r.Header.Get("Authorization"))
			require.Equal(t, url.Values{"token": {opaque}, "token_type_hint": {"access_token"}}, form)
		}},
		{"private_key_jwt", introspect.PrivateKeyJWT(clientID, key, introspect.Assertion{KeyID: "k1"}), func(t *testing.T, r *http.Request, form url.Values) {
			require.Equal(t, "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", form.Get("client_assertion_type"))
			jws, err := jose.Parse(form.Get("client_assertion"), 1<<14)
			require.NoError(t, err)
			require.Equal(t, "k1", jws.Header.KeyID)
			require.Equal(t, "ES256", jws.Header.Algorithm)
			pub, err := jwks.NewKey("k1", key.Public())
			require.NoError(t, err)
			require.NoError(t, pub.Verify("ES256", jws.Signed, jws.Signature))
			var claims map[string]any
			require.NoError(t, json.Unmarshal(jws.Payload, &claims))
			require.Equal(t, clientID, claims["iss"])
			require.Equal(t, clientID, claims["sub"])
			require.Equal(t, issuer, claims["aud"])
			require.InDelta(t, time.Now().Unix(), claims["iat"], 5)
			require.Equal(t, 60.0, claims["exp"].(float64)-claims["iat"].(float64))
			require.Len(t, claims["jti"], 26)
			require.False(t, seenJTI[claims["jti"].(string)])
			seenJTI[claims["jti"].(string)] = true
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer()
			client := newClient(t, with(config(s), func(c *introspect.Config) {
				c.Auth, c.TokenTypeHint, c.DisableCache = tt.auth, "access_token", true
			}))
			for range 2 {
				requireAccepted(t, client, opaque)
				require.Equal(t, http.MethodPost, s.last.Method)
				require.Equal(t, endpoint, s.last.URL.String()) // nothing in the query
				require.Equal(t, "application/x-www-form-urlencoded", s.last.Header.Get("Content-Type"))
				require.Equal(t, "application/json", s.last.Header.Get("Accept"))
				require.Equal(t, []string{opaque}, s.form["token"])
				require.Equal(t, "access_token", s.form.Get("token_type_hint"))
				tt.see(t, s.last, s.form)
			}
			require.Equal(t, 2, s.requests())
		})
	}
}

var seenJTI = map[string]bool{}

func TestAssertionAlgorithms(t *testing.T) {
	for _, alg := range []string{"RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA"} {
		key, err := jose.GenerateKey(alg)
		require.NoError(t, err)
		s := newServer()
		a := introspect.Assertion{Algorithm: alg, Audience: "https://as.example.com/token"}
		requireAccepted(t, newClient(t, with(config(s), func(c *introspect.Config) { c.Auth = introspect.PrivateKeyJWT(clientID, key, a) })), opaque)
		jws, err := jose.Parse(s.form.Get("client_assertion"), 1<<14)
		require.NoError(t, err)
		pub, err := jwks.NewKey("", key.Public())
		require.NoError(t, err)
		require.NoError(t, pub.Verify(alg, jws.Signed, jws.Signature))
		require.Contains(t, string(jws.Payload), `"aud":"https://as.example.com/token"`)

		a.Algorithm = ""
		requireAccepted(t, newClient(t, with(config(s), func(c *introspect.Config) { c.Auth = introspect.PrivateKeyJWT(clientID, key, a) })), opaque)
		jws, err = jose.Parse(s.form.Get("client_assertion"), 1<<14)
		require.NoError(t, err)
		require.Equal(t, strings.Replace(alg, "RS", "PS", 1), jws.Header.Algorithm, "what the key is best for")

		a.Algorithm = map[bool]string{true: "RS256", false: "EdDSA"}[alg == "EdDSA"]
		_, err = introspect.New(with(config(s), func(c *introspect.Config) { c.Auth = introspect.PrivateKeyJWT(clientID, key, a) }))
		require.ErrorIs(t, err, misconfigured)
	}
}

// Credentials that cannot be made are an outage, or our own mistake; never the
// token's, whatever error stands behind.
func TestBearerAuthFails(t *testing.T) {
	type testCase struct {
		name   string
		token  string
		err    error
		panics bool
		kind   error
		reason bearergate.Reason
	}
	for _, tt := range []testCase{
		{name: "error", err: errors.New(secret), kind: unavailable, reason: bearergate.ReasonIntrospectionUnavailable},
		{
			name:   "misconfigured",
			err:    &bearergate.Error{Kind: misconfigured},
			kind:   misconfigured,
			reason: bearergate.ReasonConfig,
		},
		{
			name:   "invalid token",
			err:    &bearergate.Error{Kind: invalid},
			kind:   unavailable,
			reason: bearergate.ReasonIntrospectionUnavailable,
		},
		{name: "an error beside a token", token: "our-own", err: errors.New(secret), kind: unavailable, reason: bearergate.ReasonIntrospectionUnavailable},
		{name: "canceled", err: context.Canceled, kind: unavailable, reason: bearergate.ReasonIntrospectionUnavailable},
		{name: "no token", token: "a\r\nb: c", kind: unavailable, reason: bearergate.ReasonIntrospectionUnavailable},
		{name: "empty", kind: unavailable, reason: bearergate.ReasonIntrospectionUnavailable},
		{name: "panic", panics: true, kind: unavailable, reason: bearergate.ReasonIntrospectionUnavailable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer()
			client := newClient(t, with(config(s), func(c *introspect.Config) {
				c.Auth = introspect.BearerAuth(func(context.Context) (string, error) {
					if tt.panics {
						panic(secret)
					}
					return tt.token, tt.err
				})
			}))
			err := requireRefused(t, client, opaque, tt.kind, tt.reason)
			require.NotContains(t, err.Error(), secret)
			require.NotErrorIs(t, err, context.Canceled)
			require.Zero(t, s.requests())
		})
	}
}

// A key in an HSM that does not answer is an outage: nothing is sent without its signature.
func TestAssertionThatIsNotSigned(t *testing.T) {
	key, err := jose.GenerateKey("ES256")
	require.NoError(t, err)
	for name, auth := range map[string]introspect.Auth{
		"the key fails":                introspect.PrivateKeyJWT(clientID, failingKey{key}, introspect.Assertion{}),
		"an ID that JSON cannot hold":  introspect.PrivateKeyJWT("a\xff", key, introspect.Assertion{}),
		"a kid that JSON cannot hold":  introspect.PrivateKeyJWT(clientID, key, introspect.Assertion{KeyID: "a\xff"}),
		"an aud that JSON cannot hold": introspect.PrivateKeyJWT(clientID, key, introspect.Assertion{Audience: "a\xff"}),
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer()
			err := requireRefused(t, newClient(t, with(config(s), func(c *introspect.Config) { c.Auth = auth })), opaque, unavailable, bearergate.ReasonIntrospectionUnavailable)
			require.NotContains(t, err.Error(), secret)
			require.Zero(t, s.requests())
		})
	}
}

// failingKey is a key that does not sign, for a reason that is nobody's to read.
type failingKey struct{ crypto.Signer }

func (failingKey) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New(secret)
}

// INT-058: no credentials are sent where somebody between could be the endpoint.
func TestNoAuth(t *testing.T) {
	metadata := func(endpoint string) func(*http.Request) *http.Response {
		return func(r *http.Request) *http.Response {
			return reply(200, "application/json", encode(map[string]any{"issuer": "https://as.example.com", "introspection_endpoint": endpoint}))
		}
	}
	for _, tt := range []struct {
		name             string
		issuer, endpoint string // endpoint "": discovered
		found            string // by discovery
		insecure         bool
		says             string // by New
		refused          bool   // by Verify
	}{
		{name: "https", endpoint: "https://as.example.com/admin/oauth2/introspect"},
		{name: "https, and http allowed", endpoint: "https://as.example.com/introspect", insecure: true},
		{name: "loopback", endpoint: "http://127.0.0.1:4445/admin/oauth2/introspect"},
		{name: "localhost, and http allowed", endpoint: "http://localhost:4445/introspect", insecure: true},
		{name: "http elsewhere", endpoint: "http://hydra:4445/introspect", says: "Endpoint \"http://hydra:4445/introspect\" must be https"},
		{name: "http elsewhere, allowed", endpoint: "http://hydra:4445/introspect", insecure: true, says: "NoAuth is for https and for loopback, and Endpoint \"http://hydra:4445/introspect\" is neither"},
		{name: "the same in capitals", endpoint: "HTTP://hydra:4445/introspect", insecure: true, says: "NoAuth is for https"},
		{name: "an http issuer, allowed", issuer: "http://hydra:4444", insecure: true, says: "NoAuth is for https and for loopback, and Issuer \"http://hydra:4444\" is neither"},
		{name: "discovered", found: "https://as.example.com/introspect"},
		{name: "discovered on http", found: "http://hydra:4445/introspect", insecure: true, refused: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer()
			s.answers[opaque] = answer(map[string]any{"iss": absent})
			s.metadata = metadata(tt.found)
			client, err := introspect.New(with(config(s), func(c *introspect.Config) {
				c.Auth, c.Issuer, c.Endpoint, c.InsecureAllowHTTP = introspect.NoAuth(), cmp.Or(tt.issuer, "https://as.example.com"), tt.endpoint, tt.insecure
			}))
			if tt.says != "" {
				require.ErrorIs(t, err, misconfigured)
				require.ErrorContains(t, err, tt.says)
				return
			}
			require.NoError(t, err)
			if tt.refused {
				requireRefused(t, client, opaque, unavailable, bearergate.ReasonIntrospectionUnavailable)
				require.Zero(t, s.requests())
				return
			}
			requireAccepted(t, client, opaque)
		})
	}
	s := newServer()
	c := with(sharing(s, newStore()), func(c *introspect.Config) { c.Auth = introspect.NoAuth() })
	_, err := introspect.New(c)
	require.ErrorContains(t, err, "ClientID is empty")
	c.ClientID = clientID
	requireAccepted(t, newClient(t, c), opaque)
	s.fail(status(401))
	err = requireRefused(t, newClient(t, with(config(s), func(c *introspect.Config) { c.Auth = introspect.NoAuth() })), opaque, misconfigured, bearergate.ReasonConfig)
	require.Contains(t, err.Error(), "the endpoint wants client authentication")
	require.Equal(t, "introspect.NoAuth", introspect.NoAuth().String())
	wrapped := struct{ introspect.Auth }{introspect.NoAuth()}
	_, err = introspect.New(with(config(s), func(c *introspect.Config) {
		c.Auth, c.Endpoint, c.InsecureAllowHTTP = wrapped, "http://hydra/introspect", true
	}))
	require.ErrorContains(t, err, "NoAuth is for https")
}
