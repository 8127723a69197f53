package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
	"github.com/stretchr/testify/require"
)

const (
	probeAudience = "https://orders.example.test"
	probeClient   = "probe"
	probeSecret   = "s3cret-of-the-probe"
)

// scene is an authorization server and an API, of which one thing is wrong.
type scene struct {
	as     *authtest.Server
	api    *httptest.Server
	revoke *httptest.Server // a revocation endpoint: authtest has none
	config probeConfig
}

// setup says how a scene differs from one in which all is well.
type setup struct {
	as       []authtest.Option
	fault    authtest.Fault                         // of the authorization server
	answer   func(*authtest.Server) map[string]any  // what the token endpoint answers
	live     bool                                   // the API introspects: it sees revocations
	cached   time.Duration                          // and remembers answers for so long
	tamper   func(next http.Handler) http.Handler   // what is wrong with the API
	revoking http.HandlerFunc                       // what the revocation endpoint does instead
	tls      func(t *testing.T, s *httptest.Server) // the API speaks TLS, and is so configured
	set      func(*scene)                           // the flags
}

// newScene starts both servers. Without anything in s, all steps but those of flags that
// are not set pass.
func newScene(t *testing.T, s setup) *scene {
	t.Helper()
	out := &scene{}
	revoking := s.revoking
	if revoking == nil {
		revoking = func(w http.ResponseWriter, r *http.Request) {
			id, secret, ok := r.BasicAuth()
			if !ok || id != probeClient || secret != probeSecret {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			out.as.Revoke(r.FormValue("token"))
		}
	}
	out.revoke = httptest.NewServer(revoking)
	t.Cleanup(out.revoke.Close)
	as, err := authtest.Start(slices.Concat([]authtest.Option{
		authtest.WithClient(probeClient, probeSecret), authtest.WithClient("orders-api", "s3cret-of-the-api"),
		authtest.WithMetadata(map[string]any{"revocation_endpoint": out.revoke.URL + "/revoke"}),
	}, s.as)...)
	require.NoError(t, err)
	t.Cleanup(as.Close)
	out.as = as

	out.api = httptest.NewUnstartedServer(newAPI(t, as, s))
	out.api.Config.ErrorLog = log.New(t.Output(), "", 0) // it complains of handshakes
	if s.tls != nil {
		s.tls(t, out.api)
	} else {
		out.api.Start()
	}
	t.Cleanup(out.api.Close)
	as.Fail(s.fault)
	if s.answer != nil {
		body, err := json.Marshal(s.answer(as))
		require.NoError(t, err)
		as.Fail(authtest.Fault{Path: "/token", Body: body, ContentType: "application/json"})
	}
	out.config = probeConfig{
		issuer: as.Issuer(), audiences: []string{probeAudience}, url: out.api.URL + "/orders", forbiddenURL: out.api.URL + "/admin",
		clientID: probeClient, clientAuth: "basic", secret: bearergate.NewSecret(probeSecret), scope: "orders:read", resources: []string{probeAudience},
		revokedWithin: 5 * time.Second, poll: minPoll, certificateWarn: defaultCertificateWarn, certificateFail: defaultCertificateFail,
		maxSkew: defaultMaxSkew, timeout: 30 * time.Second, name: "default",
	}
	if s.set != nil {
		s.set(out)
	}
	require.NoError(t, out.config.check())
	return out
}

// newAPI is an API as people build it, and what is wrong with it around that.
func newAPI(t *testing.T, as *authtest.Server, s setup) http.Handler {
	t.Helper()
	var v bearergate.Verifier
	var err error
	if s.live {
		v, err = introspect.New(introspect.Config{Issuer: as.Issuer(), Audiences: []string{probeAudience},
			Auth: introspect.BasicAuth("orders-api", "s3cret-of-the-api"), DisableCache: s.cached == 0, PositiveTTL: s.cached})
	} else {
		v, err = jwtverify.New(jwtverify.Config{Issuer: as.Issuer(), Audiences: []string{probeAudience}})
	}
	require.NoError(t, err)
	gate, err := middleware.New(v, middleware.Config{})
	require.NoError(t, err)
	mux := http.NewServeMux()
	fine := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"orders":[]}`))
	})
	mux.Handle("GET /orders", gate.Require(scope.All("orders:read"))(fine))
	mux.Handle("GET /admin", gate.Require(scope.All("orders:admin"))(fine))
	warmed := httptest.NewRequest(http.MethodGet, "/orders", http.NoBody)
	warmed.Header.Set("Authorization", "Bearer "+as.Token(authtest.Claims{Audience: []string{probeAudience}, Scopes: scope.Of("orders:read")}))
	mux.ServeHTTP(httptest.NewRecorder(), warmed) // it has its keys, and an outage does not stop it
	if s.tamper != nil {
		return s.tamper(mux)
	}
	return mux
}

func (s *scene) run(t *testing.T) report {
	t.Helper()
	base := http.DefaultTransport.(*http.Transport).Clone()
	base.DisableKeepAlives, base.MaxResponseHeaderBytes = true, maxProbeHeader
	if s.api.TLS != nil {
		base.TLSClientConfig = &tls.Config{RootCAs: s.api.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
	}
	return (&probe{config: s.config, wire: newWire(base)}).run(t.Context())
}

// wrong are the steps that have not simply passed, one in a line.
func wrong(r report) []string {
	out := []string{}
	for _, f := range r.Steps {
		if f.State != stateOK && f.State != stateSkipped {
			out = append(out, strings.Join([]string{f.Step, string(f.State), f.Reason}, " "))
		}
	}
	return out
}

// answering has the API answer in this way wherever when says so.
func answering(when func(*http.Request) bool, answer http.HandlerFunc) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if when(r) {
				answer(w, r)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

func always(*http.Request) bool         { return true }
func withoutToken(r *http.Request) bool { return r.Header.Get("Authorization") == "" }
func atAdmin(r *http.Request) bool      { return r.URL.Path == "/admin" }
func withToken(r *http.Request) bool    { return !withoutToken(r) }

// status answers with a status and a challenge, as the gate would.
func status(code int, challenge string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if challenge != "" {
			w.Header().Set("WWW-Authenticate", challenge)
		}
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(code)
	}
}

// refusing changes the refusals of the API, and nothing else.
func refusing(change func(http.Header, int) int) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(&changed{w, change}, r) })
	}
}

type changed struct {
	http.ResponseWriter
	change func(http.Header, int) int
}

func (c *changed) WriteHeader(code int) {
	if code >= 400 {
		code = c.change(c.Header(), code)
	}
	c.ResponseWriter.WriteHeader(code)
}

func page(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(code)
		_, _ = w.Write([]byte("<!DOCTYPE html><title>Log in</title>"))
	}
}

func grantError(code string) authtest.Fault {
	return authtest.Fault{Path: "/token", Status: 400, ContentType: "application/json", Body: []byte(`{"error":"` + code + `"}`)}
}

func granted(token string) map[string]any {
	return map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": 60}
}

const metadataPath = "/.well-known/oauth-authorization-server"

// Each fault that the probe has to find is there in one scene, in which all else is well.
func TestProbeFindsFaults(t *testing.T) {
	shown := map[string]bool{
		string(jwks.OutcomePanic): true, // of a transport that this program does not have
	}
	defer func() {
		for reason := range advice {
			require.True(t, shown[reason] || t.Failed(), "no scene has the reason %s", reason)
		}
	}()
	for _, tt := range []struct {
		name string
		setup
		want []string
		exit int
	}{
		{name: "all is well", exit: exitOK},
		{name: "all is well, and revoked", setup: setup{live: true, set: func(s *scene) { s.config.revoke = true }}, exit: exitOK},
		{name: "an opaque token", setup: setup{live: true, answer: func(as *authtest.Server) map[string]any {
			return granted(as.Opaque(authtest.Claims{Audience: []string{probeAudience}, Scopes: scope.Of("orders:read")}))
		}}, exit: exitOK},
		{name: "client_secret_post", setup: setup{set: func(s *scene) { s.config.clientAuth = "post" }}, exit: exitOK},

		// Discovery and keys.
		{name: "metadata of another issuer", setup: setup{as: []authtest.Option{authtest.WithMetadata(map[string]any{"issuer": "https://as.example.test/"})}},
			want: []string{"discovery failed issuer"}, exit: exitFound},
		{name: "metadata without jwks_uri", setup: setup{as: []authtest.Option{authtest.WithMetadata(map[string]any{"jwks_uri": nil})}},
			want: []string{"discovery failed jwks_uri"}, exit: exitFound},
		{name: "metadata with an http jwks_uri", setup: setup{as: []authtest.Option{authtest.WithMetadata(map[string]any{"jwks_uri": "http://as.example.test/jwks"})}},
			want: []string{"discovery failed jwks_uri"}, exit: exitFound},
		{name: "no metadata", setup: setup{fault: authtest.Fault{Status: 404}}, want: []string{"discovery failed status"}, exit: exitFound},
		{name: "a login page for metadata", setup: setup{fault: authtest.Fault{Status: 200, ContentType: "text/html", Body: []byte("<html>")}},
			want: []string{"discovery failed content_type"}, exit: exitFound},
		{name: "metadata that are no JSON", setup: setup{fault: authtest.Fault{Body: []byte("{")}}, want: []string{"discovery failed malformed"}, exit: exitFound},
		{name: "a redirect for ever", setup: setup{fault: authtest.Fault{Redirect: "/elsewhere"}}, want: []string{"discovery failed redirect"}, exit: exitFound},
		{name: "metadata without end", setup: setup{fault: authtest.Fault{PadTo: 200 << 20, Gzip: true}}, want: []string{"discovery failed too_large"}, exit: exitFound},
		{name: "metadata that break off", setup: setup{fault: authtest.Fault{Truncate: true}}, want: []string{"discovery failed truncated"}, exit: exitFound},
		{name: "the authorization server is out of order", setup: setup{fault: authtest.Fault{Status: 503}}, want: []string{"discovery unknown unreachable"}, exit: exitOutage},
		{name: "the authorization server is gone", setup: setup{set: func(s *scene) { s.as.Close() }}, want: []string{"discovery unknown unreachable"}, exit: exitOutage},
		{name: "the authorization server says nothing", setup: setup{fault: authtest.Fault{Hang: true}, set: func(s *scene) { s.config.timeout = 3 * time.Second }},
			want: []string{"discovery unknown unreachable"}, exit: exitOutage},
		{name: "an empty key set", setup: setup{fault: authtest.Fault{Path: "/jwks", Body: []byte(`{"keys":[]}`)}}, want: []string{"keys failed no_usable_key"}, exit: exitFound},
		{name: "no usable key", setup: setup{fault: authtest.Fault{Path: "/jwks", Body: []byte(`{"keys":[{"kty":"oct","kid":"shared","k":"c2VjcmV0"}]}`)}},
			want: []string{"keys failed no_usable_key"}, exit: exitFound},
		{name: "a key set that is none", setup: setup{fault: authtest.Fault{Path: "/jwks", Body: []byte(`[]`)}}, want: []string{"keys failed malformed"}, exit: exitFound},
		{name: "too many keys", setup: setup{fault: authtest.Fault{Path: "/jwks", Body: []byte(`{"keys":[` + strings.Repeat("{},", 200) + `{}]}`)}},
			want: []string{"keys failed too_many_keys"}, exit: exitFound},
		{name: "the key set is out of order", setup: setup{fault: authtest.Fault{Path: "/jwks", Status: 500}}, want: []string{"keys unknown unreachable"}, exit: exitOutage},
		{name: "no metadata, and a key set by flag", setup: setup{fault: authtest.Fault{Path: metadataPath, Status: 404}, set: func(s *scene) {
			s.config.keysURL, s.config.tokenEndpoint = s.as.URL("/jwks"), s.as.URL("/token")
		}}, exit: exitOK},

		// The token.
		{name: "a wrong secret", setup: setup{set: func(s *scene) { s.config.secret = bearergate.NewSecret("wrong") }}, want: []string{"token failed client_refused"}, exit: exitFound},
		{name: "the client may not", setup: setup{fault: grantError("unauthorized_client")}, want: []string{"token failed grant_refused"}, exit: exitFound},
		{name: "no such grant", setup: setup{fault: grantError("unsupported_grant_type")}, want: []string{"token failed grant_refused"}, exit: exitFound},
		{name: "no such scope", setup: setup{fault: grantError("invalid_scope")}, want: []string{"token failed scope_refused"}, exit: exitFound},
		{name: "no such resource", setup: setup{fault: grantError("invalid_target")}, want: []string{"token failed target_refused"}, exit: exitFound},
		{name: "an error code of nobody", setup: setup{fault: grantError("\x1b[31m" + probeSecret)}, want: []string{"token failed request_refused"}, exit: exitFound},
		{name: "no token endpoint", setup: setup{as: []authtest.Option{authtest.WithMetadata(map[string]any{"token_endpoint": nil})}},
			want: []string{"token failed no_endpoint"}, exit: exitFound},
		{name: "a token endpoint that is not https", setup: setup{as: []authtest.Option{authtest.WithMetadata(map[string]any{"token_endpoint": "http://as.example.test/token"})}},
			want: []string{"token failed endpoint"}, exit: exitFound},
		{name: "a redirect of the token endpoint", setup: setup{fault: authtest.Fault{Path: "/token", Redirect: "/elsewhere"}}, want: []string{"token failed redirect"}, exit: exitFound},
		{name: "a page for a token", setup: setup{fault: authtest.Fault{Path: "/token", ContentType: "text/html"}}, want: []string{"token failed content_type"}, exit: exitFound},
		{name: "an answer without a token", setup: setup{answer: func(*authtest.Server) map[string]any { return map[string]any{} }}, want: []string{"token failed token_malformed"}, exit: exitFound},
		{name: "a token that no header can have", setup: setup{answer: func(*authtest.Server) map[string]any { return granted("a b\r\nX: y") }},
			want: []string{"token failed token_malformed"}, exit: exitFound},
		{name: "a token that is bound to a key", setup: setup{answer: func(as *authtest.Server) map[string]any {
			return map[string]any{"access_token": as.Token(authtest.Claims{}), "token_type": "DPoP"}
		}}, want: []string{"token failed token_type"}, exit: exitFound},
		{name: "the token endpoint is out of order", setup: setup{fault: authtest.Fault{Path: "/token", Status: 502}}, want: []string{"token unknown unreachable"}, exit: exitOutage},

		// The token, judged here: the API is of the same opinion.
		{name: "a token for another API", setup: setup{set: func(s *scene) { s.config.resources = []string{"https://other.example.test"} }},
			want: []string{"verify failed audience", "accepted failed refused"}, exit: exitFound},
		{name: "an API that accepts what is for another", setup: setup{set: func(s *scene) { s.config.audiences = []string{"https://other.example.test"} }},
			want: []string{"verify failed audience", "accepted warning accepts_refused"}, exit: exitFound},
		{name: "a token that has expired", setup: setup{answer: func(as *authtest.Server) map[string]any {
			return granted(as.Token(authtest.Claims{Audience: []string{probeAudience}, Scopes: scope.Of("orders:read"), ExpiresAt: time.Now().Add(-time.Hour)}))
		}}, want: []string{"verify failed expired", "accepted failed refused"}, exit: exitFound},
		{name: "a token of a key that is not published", setup: setup{answer: func(as *authtest.Server) map[string]any {
			stranger, err := authtest.Start()
			require.NoError(t, err)
			defer stranger.Close()
			return granted(stranger.Token(authtest.Claims{Issuer: as.Issuer(), Audience: []string{probeAudience}, Scopes: scope.Of("orders:read")}))
		}}, want: []string{"verify failed unknown_key", "accepted failed refused"}, exit: exitFound},
		{name: "a token without the scope", setup: setup{set: func(s *scene) { s.config.scope = "" }}, want: []string{"accepted failed lacks_scope"}, exit: exitFound},

		// The API.
		{name: "an API that is gone", setup: setup{set: func(s *scene) { s.api.Close() }},
			want: []string{"accepted unknown unreachable", "no_token unknown unreachable", "signature unknown unreachable", "forbidden unknown unreachable"}, exit: exitOutage},
		{name: "an API that says nothing", setup: setup{tamper: answering(withToken, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }),
			set: func(s *scene) { s.config.timeout = 3 * time.Second }},
			want: []string{"accepted unknown unreachable", "signature unknown unreachable", "forbidden unknown timeout"}, exit: exitOutage},
		{name: "an API that fails with a token", setup: setup{tamper: answering(withToken, status(500, ""))},
			want: []string{"accepted failed server_error", "signature failed server_error", "forbidden failed server_error"}, exit: exitFound},
		{name: "an API that cannot tell", setup: setup{tamper: answering(withToken, status(503, ""))},
			want: []string{"accepted failed unavailable", "signature failed unavailable", "forbidden failed unavailable"}, exit: exitFound},
		{name: "an API behind a limit", setup: setup{tamper: answering(withoutToken, status(429, ""))}, want: []string{"no_token unknown throttled"}, exit: exitOutage},
		{name: "an API behind a login", setup: setup{tamper: answering(always, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://login.example.test/", http.StatusFound)
		})},
			want: []string{"accepted failed redirect", "no_token failed redirect", "signature failed redirect", "forbidden failed redirect"}, exit: exitFound},
		{name: "a redirect to nowhere", setup: setup{tamper: answering(withoutToken, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "https://[::1/")
			w.WriteHeader(http.StatusFound)
		})}, want: []string{"no_token failed redirect"}, exit: exitFound},
		{name: "a login page with 200", setup: setup{tamper: answering(withoutToken, page(200))}, want: []string{"no_token failed login_page"}, exit: exitFound},
		{name: "no such route", setup: setup{set: func(s *scene) { s.config.url = s.api.URL + "/none" }},
			want: []string{"accepted failed not_found", "no_token failed not_found", "signature failed not_found"}, exit: exitFound},
		{name: "an odd status", setup: setup{tamper: answering(withoutToken, status(418, ""))}, want: []string{"no_token failed status"}, exit: exitFound},
		{name: "an API that is open", setup: setup{tamper: answering(always, status(200, ""))},
			want: []string{"no_token failed open", "signature failed open", "forbidden failed forbidden_open"}, exit: exitFound},
		{name: "an API that does not check signatures", setup: setup{tamper: answering(func(r *http.Request) bool { return withToken(r) && !atAdmin(r) }, status(200, ""))},
			want: []string{"signature failed signature_accepted"}, exit: exitFound},
		{name: "an API that accepts a token without a signature", setup: setup{
			tamper: func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
					parts := strings.Split(token, ".")
					if claims, err := base64.RawURLEncoding.DecodeString(parts[min(1, len(parts)-1)]); withToken(r) && err == nil && json.Valid(claims) && !atAdmin(r) {
						w.WriteHeader(http.StatusOK)
						return
					}
					if withToken(r) && !atAdmin(r) {
						status(401, `Bearer realm="api", error="invalid_token"`)(w, r)
						return
					}
					if atAdmin(r) {
						status(403, `Bearer realm="api", error="insufficient_scope"`)(w, r)
						return
					}
					next.ServeHTTP(w, r)
				})
			},
			answer: func(as *authtest.Server) map[string]any { return granted(withoutSignature(as)) },
		}, want: []string{"verify failed algorithm", "accepted warning accepts_refused", "signature failed signature_accepted"}, exit: exitFound},
		{name: "a token without a signature", setup: setup{answer: func(as *authtest.Server) map[string]any { return granted(withoutSignature(as)) }},
			want: []string{"verify failed algorithm", "accepted failed refused"}, exit: exitFound},
		{name: "an API that answers 403 for 401", setup: setup{tamper: refusing(func(http.Header, int) int { return 403 })},
			want: []string{"no_token failed forbidden_for_unauthorized", "signature failed forbidden_for_unauthorized"}, exit: exitFound},
		{name: "an API that answers 401 for 403", setup: setup{tamper: answering(atAdmin, status(401, `Bearer realm="api", error="invalid_token"`))},
			want: []string{"forbidden failed unauthorized_for_forbidden"}, exit: exitFound},
		{name: "an API that opens what it must not", setup: setup{tamper: answering(atAdmin, status(200, ""))}, want: []string{"forbidden failed forbidden_open"}, exit: exitFound},
		{name: "a 403 of a policy", setup: setup{tamper: answering(atAdmin, status(403, `Bearer realm="api"`))}, want: []string{"forbidden failed challenge_error"}, exit: exitFound},
		{name: "no challenge", setup: setup{tamper: refusing(func(h http.Header, code int) int { h.Del("WWW-Authenticate"); return code })},
			want: []string{"no_token failed challenge_missing", "signature failed challenge_missing", "forbidden failed challenge_missing"}, exit: exitFound},
		{name: "a challenge of another scheme", setup: setup{tamper: answering(withoutToken, status(401, `Basic realm="api"`))}, want: []string{"no_token failed challenge_missing"}, exit: exitFound},
		{name: "a challenge that is none", setup: setup{tamper: answering(withoutToken, status(401, `Bearer realm="api`))}, want: []string{"no_token failed challenge_malformed"}, exit: exitFound},
		{name: "a challenge without an error", setup: setup{tamper: refusing(func(h http.Header, code int) int {
			h.Set("WWW-Authenticate", `Bearer realm="api"`)
			return code
		})}, want: []string{"signature failed challenge_error", "forbidden failed challenge_error"}, exit: exitFound},
		{name: "a challenge without anything", setup: setup{tamper: answering(withoutToken, status(401, `Bearer`))}, want: []string{"no_token warning challenge_bare"}, exit: exitOK},
		{name: "refusals that may be cached", setup: setup{tamper: refusing(func(h http.Header, code int) int { h.Set("Cache-Control", "max-age=60"); return code })},
			want: []string{"no_token warning cacheable", "signature warning cacheable", "forbidden warning cacheable"}, exit: exitOK},

		// Revocation.
		{name: "a revoked token that is still accepted", setup: setup{set: func(s *scene) {
			s.config.revoke, s.config.revokedWithin = true, 50*time.Millisecond
		}}, want: []string{"revocation failed still_accepted"}, exit: exitFound},
		{name: "a cache that outlives the promise", setup: setup{live: true, cached: time.Minute, set: func(s *scene) {
			s.config.revoke, s.config.revokedWithin = true, 50*time.Millisecond
		}}, want: []string{"revocation failed still_accepted"}, exit: exitFound},
		{name: "no revocation endpoint", setup: setup{as: []authtest.Option{authtest.WithMetadata(map[string]any{"revocation_endpoint": nil})},
			set: func(s *scene) { s.config.revoke = true }}, want: []string{"revocation failed no_endpoint"}, exit: exitFound},
		{name: "tokens that cannot be revoked", setup: setup{revoking: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(400)
			_, _ = w.Write([]byte(`{"error":"unsupported_token_type"}`))
		}, set: func(s *scene) { s.config.revoke = true }}, want: []string{"revocation failed unsupported_token_type"}, exit: exitFound},
		{name: "an outage after the revocation", setup: setup{revoking: func(http.ResponseWriter, *http.Request) {}, set: func(s *scene) {
			s.config.revoke, s.config.revokedWithin = true, 50*time.Millisecond
			fails := s.api.Config.Handler
			var n atomic.Int64
			s.api.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if n.Add(1) > 4 { // the four steps before the revocation
					w.WriteHeader(503)
					return
				}
				fails.ServeHTTP(w, r)
			})
		}}, want: []string{"revocation unknown status"}, exit: exitOutage},

		{name: "an outage that would hide a token which is still accepted", setup: setup{revoking: func(http.ResponseWriter, *http.Request) {}, set: func(s *scene) {
			s.config.revoke, s.config.revokedWithin = true, 500*time.Millisecond
			accepts := s.api.Config.Handler
			var n atomic.Int64
			var down atomic.Pointer[time.Time]
			s.api.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch calls := n.Add(1); { // four steps come before the revocation, and it accepts the token once more
				case calls == 5:
					down.Store(new(time.Now()))
				case calls > 5 && time.Since(*down.Load()) < 600*time.Millisecond:
					w.WriteHeader(503)
					return
				}
				accepts.ServeHTTP(w, r)
			})
		}}, want: []string{"revocation failed still_accepted"}, exit: exitFound},

		// Certificates and clocks.
		{name: "a certificate that has expired", setup: setup{tls: servedUntil(-time.Hour)},
			want: []string{"accepted failed tls", "no_token failed tls", "signature failed tls", "forbidden failed tls", "certificate failed expired"}, exit: exitFound},
		{name: "a certificate that soon expires", setup: setup{tls: servedUntil(6 * 24 * time.Hour)}, want: []string{"certificate failed expires_soon"}, exit: exitFound},
		{name: "a certificate to renew", setup: setup{tls: servedUntil(8 * 24 * time.Hour)}, want: []string{"certificate warning expires_soon"}, exit: exitOK},
		{name: "a certificate that is good for long", setup: setup{tls: servedUntil(90 * 24 * time.Hour)}, exit: exitOK},
		{name: "a clock that is late", setup: setup{fault: authtest.Fault{Path: "/jwks", Header: http.Header{"Date": {time.Now().Add(-time.Minute).UTC().Format(http.TimeFormat)}}}},
			want: []string{"clock failed skew"}, exit: exitFound},
		{name: "a clock that is early", setup: setup{fault: authtest.Fault{Path: "/token", Header: http.Header{"Date": {time.Now().Add(time.Minute).UTC().Format(http.TimeFormat)}}}},
			want: []string{"clock failed skew"}, exit: exitFound},
		{name: "an old answer of a cache", setup: setup{fault: authtest.Fault{Path: "/jwks", Header: http.Header{"Age": {"60"}, "Date": {time.Now().Add(-time.Minute).UTC().Format(http.TimeFormat)}}}},
			exit: exitOK},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newScene(t, tt.setup)
			r := s.run(t)
			if tt.want == nil {
				tt.want = []string{}
			}
			require.Equal(t, tt.want, wrong(r), "%+v", r.Steps)
			require.Equal(t, tt.exit, r.exit())
			for _, f := range r.Steps {
				shown[f.Reason] = true
				require.Equal(t, f.State != stateOK && f.State != stateSkipped, f.Advice != "", "advice on what is wrong, and on nothing else: %+v", f)
			}
		})
	}
}

// withoutSignature is a token that is good but for its signature, which is not there.
func withoutSignature(as *authtest.Server) string {
	token := as.Token(authtest.Claims{Audience: []string{probeAudience}, Scopes: scope.Of("orders:read")})
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + strings.Split(token, ".")[1] + "."
}

func servedUntil(left time.Duration) func(*testing.T, *httptest.Server) {
	return func(t *testing.T, s *httptest.Server) {
		s.TLS = &tls.Config{Certificates: []tls.Certificate{selfSigned(t, left)}}
		s.StartTLS()
	}
}

// selfSigned is a certificate for loopback with so much left of its time.
func selfSigned(t *testing.T, left time.Duration) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	ends := time.Now().Add(left)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: ends.Add(-365 * 24 * time.Hour), NotAfter: ends,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
