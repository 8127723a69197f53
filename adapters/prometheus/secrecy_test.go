package promgate_test

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	promgate "github.com/bearergate/bearergate/adapters/prometheus"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/issuers"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

// told is all that a scrape says, and what only the binary format has.
func told(t testing.TB, g prometheus.Gatherer) string {
	t.Helper()
	families, err := g.Gather()
	require.NoError(t, err)
	return gathered(t, g) + fmt.Sprintln(families)
}

// Wherever somebody could write a secret, the search finds it.
func TestEverythingIsSearched(t *testing.T) {
	secret := rand.Text()
	for name, write := range map[string]func(*promgate.Metrics, prometheus.Registerer){
		"label": func(m *promgate.Metrics, _ prometheus.Registerer) {
			m.VerifyHooks().Verified(t.Context(), jwtverify.VerifyEvent{Issuer: secret})
		},
		"help": func(_ *promgate.Metrics, r prometheus.Registerer) {
			require.NoError(t, r.Register(prometheus.NewCounter(prometheus.CounterOpts{Name: "c", Help: secret})))
		},
		"client": func(m *promgate.Metrics, _ prometheus.Registerer) {
			m.GateHooks().Decided(t.Context(), middleware.DecisionEvent{Token: bearergate.NewToken(bearergate.Claims{ClientID: secret})})
		},
		"exemplar": func(_ *promgate.Metrics, r prometheus.Registerer) {
			c := prometheus.NewCounter(prometheus.CounterOpts{Name: "c", Help: "h"})
			require.NoError(t, r.Register(c))
			c.(prometheus.ExemplarAdder).AddWithExemplar(1, prometheus.Labels{"l": secret})
		},
	} {
		m, registry := newMetrics(t, promgate.Config{MaxClients: 1})
		require.Empty(t, leaks(told(t, registry), map[string]string{"secret": secret}), name)
		write(m, registry)
		require.NotEmpty(t, leaks(told(t, registry), map[string]string{"secret": secret}), name)
	}
}

// Tokens and secrets go through everything, past servers and functions of the user's
// that repeat them wherever they can. Not sixteen bytes of any of them are told, and
// nothing with which a refusal explains itself.
func TestSecrecy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, registry := newMetrics(t, promgate.Config{})
		require.Empty(t, leaks(tryEverything(t, m, registry)))
	})
}

// With all options on, clients and tenants are told, and nothing else. A function for traces
// that returns a token returns no ID.
func TestSecrecyWithOptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var secrets map[string]string
		m, registry := newMetrics(t, promgate.Config{MaxClients: 100, MaxTenants: 100, TraceOf: func(context.Context) (string, string) {
			return secrets["token"], secrets["client secret"]
		}})
		told, secrets := tryEverything(t, m, registry, func(w *world) { secrets = w.secrets })
		for _, part := range []string{"client_decisions_total", "tenant_decisions_total", secrets["client"], "tenant of " + secrets["client"]} {
			require.Contains(t, told, part, "or nothing was looked at")
		}
		delete(secrets, "client")
		require.Empty(t, leaks(told, secrets))
	})
}

// tryEverything makes all attempts and returns what is told of them, and the secrets.
func tryEverything(t *testing.T, m *promgate.Metrics, registry *prometheus.Registry, with ...func(*world)) (string, map[string]string) {
	t.Helper()
	w := newWorld(t, m)
	for _, f := range with {
		f(w)
	}
	require.NoError(t, m.Watch(w.jwt(t, nil).Keys()))
	want, got := map[string]float64{}, map[string]float64{}
	for _, a := range w.attempts(t) {
		a.serve(t.Context(), t)
		want[string(a.reason)]++
	}
	s := scrape(t, serve(t, promhttp.HandlerFor(registry, promhttp.HandlerOpts{})))
	for _, metric := range []string{"decisions_total", "requests_ended_total"} {
		for labels, n := range s.of(metric) {
			_, reason, _ := strings.Cut(labels, `reason="`)
			reason, _, _ = strings.Cut(reason, `"`)
			got[reason] += n
		}
	}
	want[""]++ // the request that was ended midway had been let pass
	require.Equal(t, want, got, "or other refusals were looked at than were meant")

	told := told(t, registry)
	for _, part := range []string{"jwt_verifications_total", "introspections_total", "introspection_calls_total", "introspection_store_failures_total", "jwks_fetches_total",
		"jwks_state", "requests_ended_total", "panics_total", "query_tokens_total", "token_size_bytes", "token_lifetime_seconds", `reason="unknown_key"`} {
		require.Contains(t, told, part, "or nothing was looked at")
	}
	for _, part := range []string{"no-such-key", "other.example.test", "configured audiences", authtest.DefaultAudience} {
		require.NotContains(t, told, part)
	}
	return told, w.secrets
}

// telemetry makes the hooks that are tried.
type telemetry interface {
	VerifyHooks() jwtverify.Hooks
	KeyHooks() jwks.Hooks
	IntrospectHooks() introspect.Hooks
	GateHooks() middleware.Hooks
}

// attempt is a request with a token.
type attempt struct {
	name   string
	gate   http.Handler
	token  string
	reason bearergate.Reason // why it is refused; "": it is not
}

func (a attempt) serve(ctx context.Context, t testing.TB) {
	t.Helper()
	r := httptest.NewRequestWithContext(ctx, "GET", "/orders/7?access_token="+url.QueryEscape(a.token), nil)
	r.Header.Set("Authorization", "Bearer "+a.token)
	a.gate.ServeHTTP(httptest.NewRecorder(), r)
	synctest.Wait() // what goes on beside the request is told too
}

// world is a service that telemetry watches, and in which everybody repeats secrets
// wherever he can.
type world struct {
	telemetry
	as      *authtest.Server
	secrets map[string]string // by their names
}

func (w *world) secret(name string) string {
	w.secrets[name] = rand.Text() + rand.Text()
	return w.secrets[name]
}

func (w *world) jwt(t testing.TB, change func(*jwtverify.Config)) *jwtverify.Verifier {
	t.Helper()
	c := jwtverify.Config{Issuer: w.as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: w.as.Client(), KeyHooks: w.KeyHooks(), Map: tenant,
		Hooks: jwtverify.JoinHooks(w.VerifyHooks(), jwtverify.Hooks{Verified: func(context.Context, jwtverify.VerifyEvent) { panic(w.secrets["token"]) }})}
	if change != nil {
		change(&c)
	}
	v, err := jwtverify.New(c)
	require.NoError(t, err)
	return v
}

func tenant(c *bearergate.Claims) error {
	c.Tenant = "tenant of " + c.ClientID
	return nil
}

func (w *world) opaque(t testing.TB, change func(*introspect.Config)) *introspect.Client {
	t.Helper()
	c := introspect.Config{Issuer: w.as.Issuer(), ClientID: "orders-api", Map: tenant, Auth: introspect.BasicAuth("orders-api", w.secrets["client secret"]), Audiences: []string{authtest.DefaultAudience},
		HTTPClient: w.as.Client(), Store: introspect.StoreConfig{Answers: store{w.secrets["store"]}, Key: bearergate.NewSecret(w.secrets["store"])},
		Hooks: introspect.JoinHooks(w.IntrospectHooks(), introspect.Hooks{Looked: func(context.Context, introspect.LookEvent) { panic(w.secrets["token"]) }})}
	if change != nil {
		change(&c)
	}
	v, err := introspect.New(c)
	require.NoError(t, err)
	return v
}

func (w *world) gate(t testing.TB, v bearergate.Verifier, change func(*middleware.Config), options ...middleware.RouteOption) http.Handler {
	t.Helper()
	c := middleware.Config{Hooks: middleware.JoinHooks(w.GateHooks(), middleware.Hooks{Decided: func(context.Context, middleware.DecisionEvent) { panic(w.secrets["token"]) }}),
		Render: func(*http.Request, middleware.Refusal) (string, []byte) { panic(w.secrets["token"]) }}
	if change != nil {
		change(&c)
	}
	gate, err := middleware.New(v, c)
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.Handle("GET /orders/{id}", gate.Require(scope.All("orders:read"), options...)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select { // a token may end before
		case <-r.Context().Done():
		case <-time.After(2 * time.Minute):
		}
	})))
	return mux
}

// attempts are all that we can think of.
func (w *world) attempts(t testing.TB) []attempt {
	t.Helper()
	user := authtest.Claims{Subject: w.secret("subject"), ID: w.secret("jti"), ClientID: w.secret("client"), Scopes: scope.Of("orders:read"),
		ExpiresAt: time.Now().Add(1000 * time.Hour), Raw: fmt.Appendf(nil, `{"email":%q}`, w.secret("e-mail"))}
	live := w.as.Token(user)
	w.secrets["token"] = live
	parts := strings.Split(live, ".")
	header, err := base64.RawURLEncoding.DecodeString(parts[0])
	require.NoError(t, err)
	// but is a genuine token with one claim changed, of a nil value without it.
	but := func(claim string, value any) string {
		claims := w.as.Claims(user)
		claims[claim] = value
		maps.DeleteFunc(claims, func(_ string, value any) bool { return value == nil })
		return w.as.Sign(nil, claims)
	}
	// forged has a signature of nobody's, and the claims of the live token with another iss.
	forged := func(header, issuer string) string {
		claims := w.as.Claims(user)
		claims["iss"] = issuer
		payload, err := json.Marshal(claims)
		require.NoError(t, err)
		signature := make([]byte, 64)
		_, _ = rand.Read(signature)
		b64 := base64.RawURLEncoding.EncodeToString
		return b64([]byte(header)) + "." + b64(payload) + "." + b64(signature)
	}
	fails := func(f func(token string) error) bearergate.Verifier {
		return bearergate.VerifierFunc(func(_ context.Context, token string) (*bearergate.Token, error) { return nil, f(token) })
	}
	// Whoever repeats a token does so as the Cause of an Error, in an error of his own or in a panic.
	invalid := func(token string) error {
		return &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonPolicy, Scopes: []string{token}, Cause: errors.New(token)}
	}
	panics := func(token string) error { panic(token) }
	jwt, opaque := w.gate(t, w.jwt(t, nil), nil), w.gate(t, w.opaque(t, nil), nil)
	router, err := issuers.NewRouter(issuers.Config{Issuers: map[string]bearergate.Verifier{w.as.Issuer(): w.jwt(t, nil)}})
	require.NoError(t, err)
	asked := w.as.Opaque(user)

	attempts := []attempt{
		{name: "ended midway", gate: w.gate(t, w.jwt(t, nil), nil, middleware.CancelOnExpiry()), token: but("exp", time.Now().Add(time.Minute).Unix()), reason: bearergate.ReasonExpired}, // before the minute is over
		{name: "accepted", gate: jwt, token: live},
		{name: "from the cache", gate: jwt, token: live},
		{name: "narrow", gate: jwt, token: but("scope", "other"), reason: bearergate.ReasonScope},
		{name: "of another API", gate: jwt, token: but("aud", []string{"https://other.example.test", "\x1b[31m"}), reason: bearergate.ReasonAudience},
		{name: "for nobody", gate: jwt, token: but("aud", nil), reason: bearergate.ReasonMissingClaim},
		{name: "of another issuer", gate: jwt, token: but("iss", "https://\u2028.example.test/"+strings.Repeat("x", 1000)), reason: bearergate.ReasonIssuer},
		{name: "of nobody's issuer", gate: w.gate(t, router, nil), token: but("iss", "https://nobody.example.test"), reason: bearergate.ReasonIssuer},
		{name: "expired", gate: jwt, token: but("exp", 1000), reason: bearergate.ReasonExpired},
		{name: "not yet valid", gate: jwt, token: but("nbf", time.Now().Add(time.Hour).Unix()), reason: bearergate.ReasonNotYetValid},
		{name: "a subject that is a list", gate: jwt, token: but("sub", []string{user.Subject}), reason: bearergate.ReasonMalformed},
		{name: "bound", gate: jwt, token: but("cnf", map[string]any{"jkt": w.secret("thumbprint")}), reason: bearergate.ReasonBinding},
		{name: "an ID token", gate: jwt, token: w.as.Sign(map[string]any{"typ": nil}, map[string]any{"iss": w.as.Issuer(), "aud": authtest.DefaultAudience, "nonce": w.secret("nonce"),
			"sub": user.Subject, "exp": user.ExpiresAt.Unix()}), reason: bearergate.ReasonType},
		{name: "an unknown key", gate: jwt, token: w.as.Sign(map[string]any{"kid": "no-such-key"}, w.as.Claims(user)), reason: bearergate.ReasonUnknownKey},
		{name: "the same unknown key", gate: jwt, token: w.as.Sign(map[string]any{"kid": "no-such-key"}, w.as.Claims(user)), reason: bearergate.ReasonUnknownKey},
		{name: "an odd type", gate: jwt, token: w.as.Sign(map[string]any{"typ": "dpop+jwt\x00" + strings.Repeat("ü", 100)}, w.as.Claims(user)), reason: bearergate.ReasonType},
		{name: "a bad signature", gate: jwt, token: forged(string(header), w.as.Issuer()), reason: bearergate.ReasonSignature},
		{name: "another signature", gate: jwt, token: parts[0] + "." + parts[1] + "." + strings.Split(but("sub", "x"), ".")[2], reason: bearergate.ReasonSignature},
		{name: "an odd algorithm", gate: jwt, token: forged(`{"alg":"none\n\u001b[31m","kid":"\u0000","typ":"at+jwt"}`, "x"), reason: bearergate.ReasonAlgorithm},
		{name: "an odd key", gate: jwt, token: forged(`{"alg":"ES256","kid":"`+strings.Repeat(`\u2028`, 20)+`","typ":"at+jwt"}`, authtest.DefaultIssuer), reason: bearergate.ReasonUnknownKey},
		{name: "an odd header", gate: jwt, token: forged(`{"alg":"ES256","`+user.Subject+`":1,"`+user.Subject+`":2}`, "x"), reason: bearergate.ReasonMalformed},
		{name: "critical", gate: jwt, token: forged(`{"alg":"ES256","typ":"at+jwt","crit":["`+user.Subject+`"]}`, "x"), reason: bearergate.ReasonMalformed},
		{name: "opaque where a JWT was expected", gate: jwt, token: asked, reason: bearergate.ReasonMalformed},
		{name: "five parts", gate: jwt, token: live + ".AAAA.AAAA", reason: bearergate.ReasonMalformed},
		{name: "too long", gate: jwt, token: live + strings.Repeat("A", 1<<20), reason: bearergate.ReasonTooLarge},
		{name: "two words", gate: jwt, token: w.secret("word") + " " + live, reason: bearergate.ReasonBadRequest},

		{name: "active", gate: opaque, token: asked},
		{name: "inactive", gate: opaque, token: w.secret("inactive"), reason: bearergate.ReasonInactive},
		{name: "known to be inactive", gate: opaque, token: w.secrets["inactive"], reason: bearergate.ReasonInactive},
		{name: "a JWT that was asked about", gate: opaque, token: but("aud", "https://other.example.test"), reason: bearergate.ReasonAudience},
		{name: "active for others", gate: opaque, token: w.as.Opaque(authtest.Claims{Subject: user.Subject, ID: user.ID, Audience: []string{"https://other.example.test"}}), reason: bearergate.ReasonAudience},
		{name: "not accepted", gate: w.gate(t, w.opaque(t, func(c *introspect.Config) { c.Accept = func(string) bool { return false } }), nil), token: asked, reason: bearergate.ReasonMalformed},
		{name: "Accept panics", gate: w.gate(t, w.opaque(t, func(c *introspect.Config) { c.Accept = func(token string) bool { panic(token) } }), nil), token: asked, reason: bearergate.ReasonInternal},
		{name: "a wrong client secret", gate: w.gate(t, w.opaque(t, func(c *introspect.Config) { c.Auth = introspect.BasicAuth("orders-api", w.secret("wrong secret")) }), nil), token: asked, reason: bearergate.ReasonConfig},
		{name: "no credentials of our own", gate: w.gate(t, w.opaque(t, func(c *introspect.Config) {
			c.Auth = introspect.BearerAuth(func(context.Context) (string, error) { return "", errors.New(w.secrets["client secret"]) })
		}), nil), token: asked, reason: bearergate.ReasonIntrospectionUnavailable},

		{name: "a server that makes the token its client", gate: w.gate(t, w.opaque(t, func(c *introspect.Config) {
			c.HTTPClient, c.Endpoint = &http.Client{Transport: echo{"its own client", ""}}, w.as.URL("/introspect")
		}), nil), token: w.secret("client token")},
		{name: "a verifier refuses", gate: w.gate(t, fails(invalid), nil), token: live, reason: bearergate.ReasonPolicy},
		{name: "a verifier fails", gate: w.gate(t, fails(func(token string) error { return errors.New(token) }), nil), token: live, reason: bearergate.ReasonInternal},
		{name: "a verifier panics", gate: w.gate(t, fails(panics), nil), token: live, reason: bearergate.ReasonInternal},
		{name: "a Reason of nobody's", gate: w.gate(t, fails(func(token string) error {
			return &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.Reason(token)}
		}), nil), token: live, reason: bearergate.ReasonPolicy},
		{name: "whose it was", gate: w.gate(t, fails(func(string) error {
			return (&bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonRevoked}).WithRefused(bearergate.NewToken(user))
		}), nil), token: live, reason: bearergate.ReasonRevoked},
		{name: "Extract fails", gate: w.gate(t, w.jwt(t, nil), func(c *middleware.Config) {
			c.Extract = func(r *http.Request) (bearergate.Credentials, error) {
				return bearergate.Credentials{}, fmt.Errorf("no session: %v", r.Header)
			}
		}), token: live, reason: bearergate.ReasonInternal},
		{name: "Extract panics", gate: w.gate(t, w.jwt(t, nil), func(c *middleware.Config) {
			c.Extract = func(r *http.Request) (bearergate.Credentials, error) { panic(r.Header.Get("Authorization")) }
		}), token: live, reason: bearergate.ReasonInternal},
	}
	for name, check := range map[string]struct {
		says   func(token string) error
		reason bearergate.Reason
	}{
		"refuses": {says: invalid, reason: bearergate.ReasonPolicy},
		"fails":   {says: func(token string) error { return errors.New(token) }, reason: bearergate.ReasonPolicy},
		"is down": {says: func(token string) error { return fmt.Errorf("%w: %s", bearergate.ErrUnavailable, token) }, reason: bearergate.ReasonStoreUnavailable},
		"panics":  {says: panics, reason: bearergate.ReasonInternal},
	} {
		attempts = append(attempts,
			attempt{name: "Check " + name, token: live, reason: check.reason, gate: w.gate(t, w.jwt(t, func(c *jwtverify.Config) {
				c.Check = func(context.Context, *bearergate.Token) error { return check.says(live) }
			}), nil)},
			attempt{name: "Check of an answer " + name, token: asked, reason: check.reason, gate: w.gate(t, w.opaque(t, func(c *introspect.Config) {
				c.Check = func(context.Context, *bearergate.Token) error { return check.says(asked) }
			}), nil)},
			attempt{name: "Allow " + name, token: live, reason: check.reason, gate: w.gate(t, w.jwt(t, nil), nil, middleware.Allow(func(*http.Request, *bearergate.Token) error { return check.says(live) }))})
	}
	// Servers that repeat what they were sent, and more.
	for mode := range echoes {
		if mode == "its own client" { // which is accepted
			continue
		}
		client := &http.Client{Transport: echo{mode, w.secret("body")}}
		reason := map[string]bearergate.Reason{"401": bearergate.ReasonConfig, "its own audience": bearergate.ReasonAudience, "its own type": bearergate.ReasonType}[mode]
		reason = cmp.Or(reason, bearergate.ReasonIntrospectionUnavailable)
		attempts = append(attempts, attempt{name: "no keys: " + mode, token: live, reason: bearergate.ReasonKeysUnavailable, gate: w.gate(t, w.jwt(t, func(c *jwtverify.Config) { c.HTTPClient = client }), nil)})
		for name, auth := range map[string]introspect.Auth{
			"basic": introspect.BasicAuth("orders-api", w.secrets["client secret"]), "post": introspect.PostAuth("orders-api", w.secrets["client secret"]),
			"bearer": introspect.BearerAuth(func(context.Context) (string, error) { return w.secrets["client secret"], nil }),
		} {
			attempts = append(attempts, attempt{name: "no answer: " + mode + ", " + name, token: asked, reason: reason, gate: w.gate(t, w.opaque(t, func(c *introspect.Config) {
				c.HTTPClient, c.Auth, c.Endpoint = client, auth, w.as.URL("/introspect")
			}), nil)})
		}
	}
	for _, a := range attempts {
		w.secrets["the token: "+a.name] = a.token
	}
	return attempts
}

func newWorld(t testing.TB, told telemetry) *world {
	t.Helper()
	w := &world{telemetry: told, secrets: map[string]string{}}
	w.secret("store")
	w.as = authtest.New(t, authtest.WithClient("orders-api", w.secret("client secret")))
	w.secrets["basic"] = "orders-api:" + w.secrets["client secret"]
	return w
}

// echo is a server that puts what it was sent into its answer, and more.
type echo struct{ mode, more string }

func (e echo) RoundTrip(r *http.Request) (*http.Response, error) {
	dump, err := httputil.DumpRequestOut(r, true)
	if err != nil {
		return nil, err
	}
	return echoes[e.mode](strings.Map(func(c rune) rune { // fit for a header, and for a text in JSON
		if c < ' ' || c == '"' || c == '\\' {
			return '_'
		}
		return c
	}, string(dump)+e.more), r.FormValue("token"))
}

// echoes are what echo does, by its mode.
var echoes = map[string]func(sent, token string) (*http.Response, error){
	"500": func(sent, token string) (*http.Response, error) {
		return reply(500, "text/plain", sent, "Date", sent, "Age", token)
	},
	"401": func(sent, _ string) (*http.Response, error) {
		return reply(401, "text/plain", sent, "WWW-Authenticate", "Bearer error_description="+sent)
	},
	"429": func(sent, _ string) (*http.Response, error) {
		return reply(429, "text/plain", sent, "Retry-After", sent)
	},
	"content type": func(sent, _ string) (*http.Response, error) { return reply(200, "text/"+sent, sent) },
	"encoding": func(sent, _ string) (*http.Response, error) {
		return reply(200, "application/json", sent, "Content-Encoding", sent)
	},
	"redirect": func(sent, _ string) (*http.Response, error) {
		return reply(302, "text/plain", sent, "Location", "https://as.example.test/?"+url.QueryEscape(sent))
	},
	"no JSON": func(sent, _ string) (*http.Response, error) {
		return reply(200, "application/json", `{"active":true,"keys":[],"sub":"`+sent)
	},
	"twice": func(sent, _ string) (*http.Response, error) {
		return reply(200, "application/json", `{"`+sent+`":1,"`+sent+`":1}`)
	},
	"wrong types": func(sent, _ string) (*http.Response, error) {
		return reply(200, "application/json", `{"active":"`+sent+`","keys":"`+sent+`","issuer":"`+sent+`"}`)
	},
	"its own audience": func(sent, token string) (*http.Response, error) {
		return reply(200, "application/json", `{"active":true,"sub":"`+sent+`","aud":["`+token+`"]}`)
	},
	"its own type": func(sent, token string) (*http.Response, error) {
		return reply(200, "application/json", `{"active":true,"sub":"`+sent+`","aud":"`+authtest.DefaultAudience+`","token_type":"`+token+`"}`)
	},
	"its own client": func(sent, token string) (*http.Response, error) {
		return reply(200, "application/json", `{"active":true,"sub":"`+sent+`","client_id":"`+token+`","scope":"orders:read","aud":"`+authtest.DefaultAudience+`"}`)
	},
	"error": func(sent, _ string) (*http.Response, error) { return nil, errors.New("dial: " + sent) },
	"panic": func(sent, _ string) (*http.Response, error) { panic(sent) },
}

func reply(status int, contentType, body string, header ...string) (*http.Response, error) {
	h := http.Header{"Content-Type": {contentType}}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: h, Body: io.NopCloser(strings.NewReader(body))}, nil
}

// store is one that fails and tells all it knows.
type store struct{ secret string }

func (s store) Get(_ context.Context, key string) ([]byte, error) {
	return nil, errors.New(key + s.secret)
}

func (s store) Set(_ context.Context, key string, value []byte, _ time.Duration) error {
	return errors.New(key + s.secret + string(value))
}

// leaks returns the pieces of secrets that stand in text, as they are or encoded.
func leaks(text string, secrets map[string]string) []string {
	const piece = 16
	pieces := map[string]string{} // to the names of the secrets
	for name, secret := range secrets {
		b := []byte(secret)
		for _, form := range []string{secret, base64.StdEncoding.EncodeToString(b), base64.RawURLEncoding.EncodeToString(b), hex.EncodeToString(b), url.QueryEscape(secret)} {
			for i := 0; i+piece <= len(form); i++ {
				pieces[form[i:i+piece]] = name
			}
		}
	}
	var found []string
	for i := 0; i+piece <= len(text); i++ {
		if name, ok := pieces[text[i:i+piece]]; ok {
			found = append(found, name+": "+text[i:i+piece])
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

func TestLeaksAreFound(t *testing.T) {
	secret := map[string]string{"secret": "the-secret-of-nobody-at-all"}
	for _, text := range []string{"a the-secret-of-nobody-at-all b", "the-secret-of-no", "nobody-at-all/secret-of-nobody-a", base64.StdEncoding.EncodeToString([]byte("the-secret-of-nobody-at-all"))[3:21]} {
		require.NotEmpty(t, leaks(text, secret), text)
	}
	require.Empty(t, leaks("the-secret-of-n obody-at-all", secret))
}
