package introspect_test

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/stretchr/testify/require"
)

const signedType = "application/token-introspection+jwt"

type signer struct {
	alg, kid string
	key      crypto.Signer
}

func newSigner(t testing.TB, alg, kid string) signer {
	key, err := jose.GenerateKey(alg)
	require.NoError(t, err)
	return signer{alg, kid, key}
}

func (s signer) keys(t testing.TB) *jwks.Set {
	k, err := jwks.NewKey(s.kid, s.key.Public())
	require.NoError(t, err)
	set, err := jwks.NewSet(k)
	require.NoError(t, err)
	return set
}

// sign returns a valid signed answer after change has had its way with header and claims.
func (s signer) sign(t testing.TB, header, claims map[string]any) string {
	h := map[string]any{"alg": s.alg, "kid": s.kid, "typ": "token-introspection+jwt"}
	c := map[string]any{"iss": issuer, "aud": clientID, "iat": time.Now().Unix(), "token_introspection": answer(nil)}
	if s.kid == "" {
		delete(h, "kid")
	}
	maps.Copy(h, header)
	maps.Copy(c, claims)
	for _, m := range []map[string]any{h, c} {
		maps.DeleteFunc(m, func(_ string, v any) bool { return v == absent })
	}
	hb, err := json.Marshal(h)
	require.NoError(t, err)
	cb, err := json.Marshal(c)
	require.NoError(t, err)
	signed, err := jose.Sign(s.alg, s.key, hb, cb)
	require.NoError(t, err)
	return signed
}

func signed(s *server, keys jwks.Source) introspect.Config {
	return with(config(s), func(c *introspect.Config) { c.Signed.Answers, c.Signed.Keys = introspect.SignedRequired, keys })
}

// req: R9701-01, R9701-02, R9701-03, R9701-04
func TestSignedAnswers(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		key, other := newSigner(t, "ES256", "k"), newSigner(t, "ES256", "k")
		m := func(pairs ...any) map[string]any {
			out := map[string]any{}
			for i := 0; i < len(pairs); i += 2 {
				out[pairs[i].(string)] = pairs[i+1]
			}
			return out
		}
		now := time.Now().Unix()
		for _, tt := range []struct {
			name           string
			header, claims map[string]any
			outcome        introspect.Outcome
		}{
			{"control", nil, nil, introspect.OutcomeActive},
			{"typ in full", m("typ", "application/Token-Introspection+JWT"), nil, introspect.OutcomeActive},
			{"aud array", nil, m("aud", []string{"x", clientID}), introspect.OutcomeActive},
			{"inactive", nil, m("token_introspection", m("active", false)), introspect.OutcomeInactive},
			{"typ missing", m("typ", absent), nil, introspect.OutcomeSignature},
			{"typ JWT", m("typ", "JWT"), nil, introspect.OutcomeSignature},
			{"typ at+jwt", m("typ", "at+jwt"), nil, introspect.OutcomeSignature},
			{"alg none", m("alg", "none"), nil, introspect.OutcomeSignature},
			{"alg HS256", m("alg", "HS256"), nil, introspect.OutcomeSignature},
			{"alg of another key", m("alg", "RS256"), nil, introspect.OutcomeSignature},
			{"unknown kid", m("kid", "other"), nil, introspect.OutcomeSignature},
			{"no kid, one key", m("kid", absent), nil, introspect.OutcomeActive},
			{"crit", m("crit", []string{"exp"}), nil, introspect.OutcomeMalformed},
			{"iss missing", nil, m("iss", absent), introspect.OutcomeSignature},
			{"iss of another", nil, m("iss", "https://evil.example.com/"), introspect.OutcomeSignature},
			{"aud missing", nil, m("aud", absent), introspect.OutcomeSignature},
			{"aud of another", nil, m("aud", "other-api"), introspect.OutcomeSignature},
			{"aud of the token", nil, m("aud", audience), introspect.OutcomeSignature},
			{"iat missing", nil, m("iat", absent), introspect.OutcomeSignature},
			{"iat string", nil, m("iat", "1"), introspect.OutcomeSignature},
			{"iat in the future", nil, m("iat", now+60), introspect.OutcomeSignature},
			{"iat long ago", nil, m("iat", now-61), introspect.OutcomeSignature},
			{"iat a minute ago", nil, m("iat", now-60), introspect.OutcomeActive},
			{"exp past", nil, m("exp", now-10), introspect.OutcomeSignature},
			{"no answer", nil, m("token_introspection", absent), introspect.OutcomeSignature},
			{"answer null is absent", nil, m("token_introspection", nil), introspect.OutcomeSignature},
			{"answer string", nil, m("token_introspection", "x"), introspect.OutcomeMalformed},
			{"answer at the top", nil, m("token_introspection", absent, "active", true), introspect.OutcomeSignature},
			{"active string", nil, m("token_introspection", m("active", "true")), introspect.OutcomeMalformed},
			{"inner iss", nil, m("token_introspection", answer(m("iss", "x"))), "issuer"},
			{"inner aud", nil, m("token_introspection", answer(m("aud", "x"))), "audience"},
		} {
			body := key.sign(t, tt.header, tt.claims)
			s := newServer()
			var got introspect.CallEvent
			client := newClient(t, with(signed(s, key.keys(t)), func(c *introspect.Config) {
				c.Hooks.Called = func(_ context.Context, e introspect.CallEvent) { got = e }
			}))
			s.fail(func() (*http.Response, error) { return reply(200, signedType, body), nil })
			tok, err := client.Verify(t.Context(), opaque)
			switch tt.outcome {
			case introspect.OutcomeActive:
				require.NoError(t, err, tt.name)
				require.Equal(t, "user-1", tok.Subject())
			case introspect.OutcomeInactive:
				requireError(t, tok, err, invalid, bearergate.ReasonInactive)
			case "issuer", "audience":
				requireError(t, tok, err, invalid, bearergate.Reason(tt.outcome))
				tt.outcome = introspect.OutcomeActive // the server said so
			default:
				requireError(t, tok, err, unavailable, bearergate.ReasonIntrospectionUnavailable)
			}
			require.Equal(t, []any{tt.outcome, 200}, []any{got.Outcome, got.Status}, tt.name)
			require.Equal(t, signedType, s.last.Header.Get("Accept"))
		}

		for name, r := range map[string]func() *http.Response{
			"plain":                 func() *http.Response { return reply(200, "application/json", encode(answer(nil))) },
			"plain, called signed":  func() *http.Response { return reply(200, signedType, encode(answer(nil))) },
			"signed, called a JWT":  func() *http.Response { return reply(200, "application/jwt", key.sign(t, nil, nil)) },
			"signed, called plain":  func() *http.Response { return reply(200, "application/json", key.sign(t, nil, nil)) },
			"signed by another key": func() *http.Response { return reply(200, signedType, other.sign(t, nil, nil)) },
			"signature cut":         func() *http.Response { s := key.sign(t, nil, nil); return reply(200, signedType, s[:len(s)-2]) },
			"signature empty": func() *http.Response {
				s := key.sign(t, nil, nil)
				return reply(200, signedType, s[:strings.LastIndex(s, ".")+1])
			},
			"white space at the end": func() *http.Response { return reply(200, signedType, key.sign(t, nil, nil)+"\n") },
			"five parts":             func() *http.Response { return reply(200, signedType, key.sign(t, nil, nil)+".a.b") },
		} {
			s := newServer()
			s.fail(func() (*http.Response, error) { return r(), nil })
			_, err := newClient(t, signed(s, key.keys(t))).Verify(t.Context(), opaque)
			requireError(t, nil, err, unavailable, bearergate.ReasonIntrospectionUnavailable)
			require.ErrorIs(t, err, unavailable, name)
		}
	})
}

func TestSignedIfOffered(t *testing.T) {
	key := newSigner(t, "EdDSA", "k")
	s := newServer()
	client := newClient(t, with(signed(s, key.keys(t)), func(c *introspect.Config) { c.Signed.Answers, c.DisableCache = introspect.SignedIfOffered, true }))
	requireAccepted(t, client, opaque)
	require.Equal(t, signedType+", application/json;q=0.5", s.last.Header.Get("Accept"))
	s.fail(func() (*http.Response, error) { return reply(200, signedType, key.sign(t, nil, nil)), nil })
	requireAccepted(t, client, opaque)
	s.fail(func() (*http.Response, error) {
		return reply(200, signedType, newSigner(t, "EdDSA", "k").sign(t, nil, nil)), nil
	})
	requireRefused(t, client, opaque, unavailable, bearergate.ReasonIntrospectionUnavailable)
}

// What was not asked for is not taken, however well it is signed.
func TestSignedUnasked(t *testing.T) {
	key := newSigner(t, "EdDSA", "k")
	s := newServer()
	var got introspect.Outcome
	client := newClient(t, with(config(s), func(c *introspect.Config) {
		c.Hooks.Called = func(_ context.Context, e introspect.CallEvent) { got = e.Outcome }
	}))
	s.fail(func() (*http.Response, error) { return reply(200, signedType, key.sign(t, nil, nil)), nil })
	requireRefused(t, client, opaque, unavailable, bearergate.ReasonIntrospectionUnavailable)
	require.Equal(t, introspect.OutcomeContentType, got)
}

func TestSignedAlgorithms(t *testing.T) {
	for _, alg := range []string{"RS256", "PS256", "ES256", "ES384", "EdDSA", "ES512"} {
		key := newSigner(t, alg, "k")
		s := newServer()
		s.fail(func() (*http.Response, error) { return reply(200, signedType, key.sign(t, nil, nil)), nil })
		client := newClient(t, signed(s, key.keys(t)))
		if alg == "ES512" { // by configuration only
			requireRefused(t, client, opaque, unavailable, bearergate.ReasonIntrospectionUnavailable)
			client = newClient(t, with(signed(s, key.keys(t)), func(c *introspect.Config) { c.Signed.Algorithms = []string{alg} }))
		}
		requireAccepted(t, client, opaque)
	}
}

// Some servers put the audience of the token where RFC 9701 has the caller's.
func TestAnswerAudiences(t *testing.T) {
	key := newSigner(t, "ES256", "k")
	s := newServer()
	s.fail(func() (*http.Response, error) {
		return reply(200, signedType, key.sign(t, nil, map[string]any{"aud": audience})), nil
	})
	requireRefused(t, newClient(t, signed(s, key.keys(t))), opaque, unavailable, bearergate.ReasonIntrospectionUnavailable)
	requireAccepted(t, newClient(t, with(signed(s, key.keys(t)), func(c *introspect.Config) { c.Signed.Audiences = c.Audiences })), opaque)
}

type source func() ([]jwks.Key, error)

func (f source) Keys(context.Context, string, string) ([]jwks.Key, error) { return f() }

// Keys that cannot be had are an outage, whatever the source says.
func TestKeysUnavailable(t *testing.T) {
	key := newSigner(t, "ES256", "k")
	for _, tt := range []struct {
		err    error
		kind   error
		reason bearergate.Reason
	}{
		{errors.New("x"), unavailable, bearergate.ReasonKeysUnavailable},
		{context.DeadlineExceeded, unavailable, bearergate.ReasonKeysUnavailable},
		{&bearergate.Error{Kind: unavailable, Reason: bearergate.ReasonKeysUnavailable}, unavailable, bearergate.ReasonKeysUnavailable},
		{&bearergate.Error{Kind: invalid}, unavailable, bearergate.ReasonKeysUnavailable},
		{&bearergate.Error{Kind: misconfigured}, misconfigured, bearergate.ReasonConfig},
	} {
		s := newServer()
		s.fail(func() (*http.Response, error) { return reply(200, signedType, key.sign(t, nil, nil)), nil })
		client := newClient(t, signed(s, source(func() ([]jwks.Key, error) { return nil, tt.err })))
		err := requireRefused(t, client, opaque, tt.kind, tt.reason)
		require.NotErrorIs(t, err, context.DeadlineExceeded)
	}
}

// Beside what makes it an answer for us, what stands around one decides nothing.
func TestMembersAroundASignedAnswer(t *testing.T) {
	key := newSigner(t, "ES256", "k")
	for name, value := range map[string]any{"sub": true, "client_id": 7, "jti": []string{}, "acr": 1, "act": "noActor", "typ": 5, "token_use": nil, "cnf": map[string]any{"jkt": "x"}, "scope": 1, "at_hash": "x"} {
		s := newServer()
		s.fail(func() (*http.Response, error) {
			return reply(200, signedType, key.sign(t, nil, map[string]any{name: value})), nil
		})
		requireAccepted(t, newClient(t, signed(s, key.keys(t))), opaque)
	}
	for name, value := range map[string]any{"iss": 1, "aud": true, "iat": "now", "exp": "x", "nbf": time.Now().Add(time.Hour).Unix()} {
		s := newServer()
		s.fail(func() (*http.Response, error) {
			return reply(200, signedType, key.sign(t, nil, map[string]any{name: value})), nil
		})
		requireRefused(t, newClient(t, signed(s, key.keys(t))), opaque, unavailable, bearergate.ReasonIntrospectionUnavailable)
	}
}

// A server that replaces its one key, which has no ID, signs with the new one at
// once: the answer is the first sign of it.
func TestSignedByANewerKeyWithoutID(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		old, now := newSigner(t, "ES256", ""), newSigner(t, "ES256", "")
		published := old
		s := newServer()
		fetches := 0
		s.metadata = func(r *http.Request) *http.Response {
			if r.URL.Path != "/.well-known/keys" {
				return reply(200, "application/json", encode(map[string]any{"issuer": issuer, "jwks_uri": "https://as.example.com/.well-known/keys"}))
			}
			fetches++
			jwk, err := jose.PublicJWK("", published.key.Public(), "ES256")
			require.NoError(t, err)
			return reply(200, "application/json", `{"keys":[`+string(jwk)+`]}`)
		}
		signer := old
		s.fail(func() (*http.Response, error) { return reply(200, signedType, signer.sign(t, nil, nil)), nil })
		client := newClient(t, signed(s, nil))
		requireAccepted(t, client, "token-1")
		require.Equal(t, 1, fetches)

		published, signer = now, now
		time.Sleep(time.Minute)
		requireAccepted(t, client, "token-2")
		require.Equal(t, 2, fetches)

		// One that nobody published is refused, and the limiter holds: an outage of the
		// answer, not of the token.
		signer = newSigner(t, "ES256", "")
		requireRefused(t, client, "token-3", unavailable, bearergate.ReasonIntrospectionUnavailable)
		requireRefused(t, client, "token-4", unavailable, bearergate.ReasonIntrospectionUnavailable)
		require.Equal(t, 2, fetches)
	})
}

// The keys are found through the issuer, as the endpoint is.
func TestSignedByDiscoveredKeys(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		key := newSigner(t, "ES256", "k")
		jwk, err := jose.PublicJWK("k", key.key.Public(), "ES256")
		require.NoError(t, err)
		s := newServer()
		s.metadata = func(*http.Request) *http.Response {
			return reply(200, "application/json", encode(map[string]any{"issuer": issuer, "introspection_endpoint": endpoint, "jwks_uri": "https://as.example.com/.well-known/jwks"}))
		}
		metadata := s.metadata
		s.metadata = func(r *http.Request) *http.Response {
			if r.URL.Path == "/.well-known/jwks" {
				return reply(200, "application/json", `{"keys":[`+string(jwk)+`]}`)
			}
			return metadata(r)
		}
		s.fail(func() (*http.Response, error) { return reply(200, signedType, key.sign(t, nil, nil)), nil })
		client := newClient(t, with(signed(s, nil), func(c *introspect.Config) { c.Endpoint = "" }))
		requireAccepted(t, client, opaque)
	})
}

// req: R9701-05: a signed answer is no access token, and an access token no answer.
func TestSignedAnswerIsNoAccessToken(t *testing.T) {
	key := newSigner(t, "ES256", "k")
	for _, header := range []map[string]any{nil, {"typ": "JWT"}, {"typ": absent}} {
		v, err := jwtverify.New(jwtverify.Config{Issuer: issuer, Audiences: []string{audience, clientID}, Keys: key.keys(t)})
		require.NoError(t, err)
		tok, err := v.Verify(t.Context(), key.sign(t, header, map[string]any{"exp": time.Now().Add(time.Hour).Unix()}))
		requireError(t, tok, err, invalid, bearergate.ReasonType)
	}
	s := newServer()
	s.fail(func() (*http.Response, error) {
		return reply(200, signedType, key.sign(t, map[string]any{"typ": "at+jwt"}, answer(map[string]any{"aud": []string{clientID, audience}}))), nil
	})
	requireRefused(t, newClient(t, signed(s, key.keys(t))), opaque, unavailable, bearergate.ReasonIntrospectionUnavailable)
}
