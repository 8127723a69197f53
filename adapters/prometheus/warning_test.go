package promgate_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	promgate "github.com/bearergate/bearergate/adapters/prometheus"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/middleware/usage"
	"github.com/bearergate/bearergate/scope"
)

// wrong is an authorization server whose clock is wrong and whose certificate ends.
type wrong struct {
	http.RoundTripper
	ahead time.Duration
	until time.Time
	plain bool // says neither
}

func (w *wrong) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := w.RoundTripper.RoundTrip(r)
	if err == nil && !w.plain {
		resp.Header.Set("Date", time.Now().Add(w.ahead).UTC().Format(http.TimeFormat))
		resp.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{NotAfter: w.until}}}
	} else if err == nil {
		resp.Header.Del("Date")
	}
	return resp, err
}

// What warns, from an authorization server to a scrape.
func TestWarnings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as := authtest.New(t, authtest.WithClient("api", "secret"))
		server := &wrong{RoundTripper: as.Client().Transport, plain: true}
		m, registry := newMetrics(t, promgate.Config{})
		v, err := jwtverify.New(jwtverify.Config{Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: &http.Client{Transport: server}, Hooks: m.VerifyHooks(), KeyHooks: m.KeyHooks()})
		require.NoError(t, err)
		opaque, err := introspect.New(introspect.Config{Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, Auth: introspect.BasicAuth("api", "secret"),
			HTTPClient: &http.Client{Transport: server}, Hooks: m.IntrospectHooks()})
		require.NoError(t, err)
		seen, err := usage.New(usage.Config{})
		require.NoError(t, err)
		gate, err := middleware.New(v, middleware.Config{Hooks: middleware.JoinHooks(m.GateHooks(), seen.Hooks())})
		require.NoError(t, err)
		rt := gate.NewRouter()
		rt.Handle("GET /orders/{id}", scope.All("orders:read"), http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		rt.Optional("GET /news", scope.Requirement{}, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		api, err := rt.Handler()
		require.NoError(t, err)
		require.NoError(t, m.WatchUsage(seen, []string{"ignored"}, rt))
		scraped := func() samples {
			return scrape(t, serve(t, promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError})))
		}
		ask := func(path, token string) int {
			r, w := httptest.NewRequestWithContext(t.Context(), "GET", path, nil), httptest.NewRecorder()
			r.Header.Set("Authorization", "Bearer "+token)
			api.ServeHTTP(w, r)
			return w.Code
		}
		token := func(life time.Duration) string {
			return as.Token(authtest.Claims{Scopes: scope.Of("orders:read", "orders:delete", "openid", "ignored"), ExpiresAt: time.Now().Add(life)})
		}
		issuer := `issuer="` + as.Issuer() + `"`

		// Nothing is known of a server that says nothing: no series, and not zero.
		jwt := token(10 * time.Minute)
		require.Equal(t, 200, ask("/orders/7", jwt))
		_, err = opaque.Verify(t.Context(), as.Opaque(authtest.Claims{}))
		require.NoError(t, err)
		s := scraped()
		for _, metric := range []string{"issuer_clock_skew_seconds", "issuer_clock_skew_uncertainty_seconds", "issuer_certificate_expiry_timestamp_seconds", "query_tokens_total", "jwks_early_keys_total"} {
			require.Empty(t, s.of(metric), metric)
		}
		require.Equal(t, map[string]float64{"": 1}, s.of("unasked_scopes"), "orders:delete")
		require.Equal(t, map[string]float64{issuer + `,verifier="introspection"`: 1, issuer + `,verifier="jwt"`: 1}, s.of("token_size_bytes"))

		server.plain, server.ahead, server.until = false, 30*time.Second, time.Now().Add(10*24*time.Hour).Truncate(time.Second)
		require.Equal(t, 200, ask("/orders/7?access_token=x", jwt))
		require.Equal(t, 401, ask("/orders/7?access_token=x", "nonsense"))
		stranger := httptest.NewRecorder()
		api.ServeHTTP(stranger, httptest.NewRequestWithContext(t.Context(), "GET", "/news?access_token=x", nil))
		require.Equal(t, 200, stranger.Code)
		require.Equal(t, 200, ask("/orders/7", jwt))
		as.Rotate()
		require.Equal(t, 200, ask("/orders/7", token(2*time.Hour)), "a key that came with its first token")
		_, err = opaque.Verify(t.Context(), as.Opaque(authtest.Claims{}))
		require.NoError(t, err)
		s = scraped()
		for _, endpoint := range []string{`endpoint="keys",`, `endpoint="introspection",`} {
			require.InDelta(t, 30.5, s.of("issuer_clock_skew_seconds")[endpoint+issuer], 0.01)
			require.InDelta(t, 0.5, s.of("issuer_clock_skew_uncertainty_seconds")[endpoint+issuer], 0.01)
			require.EqualValues(t, server.until.Unix(), s.of("issuer_certificate_expiry_timestamp_seconds")[endpoint+issuer])
		}
		require.Equal(t, map[string]float64{issuer + `,verifier="introspection"`: 2, issuer + `,verifier="jwt"`: 2}, s.of("token_size_bytes"), "each once")
		require.Equal(t, map[string]float64{`outcome="accepted",pattern="GET /orders/{id}"`: 1, `outcome="refused",pattern="GET /orders/{id}"`: 1,
			`outcome="anonymous",pattern="GET /news"`: 1}, s.of("query_tokens_total"), "who is let in without a token is no client")
		require.Equal(t, map[string]float64{issuer: 1}, s.of("jwks_early_keys_total"))
		text := gathered(t, registry)
		require.Contains(t, text, `bearergate_token_lifetime_seconds_bucket{`+issuer+`,verifier="jwt",le="900"} 1`)
		require.Contains(t, text, `bearergate_token_lifetime_seconds_bucket{`+issuer+`,verifier="jwt",le="+Inf"} 2`)

		// The old key goes while its tokens live.
		require.Empty(t, s.of("jwt_removed_key_refusals_total"))
		as.Withdraw()
		require.NoError(t, v.Keys().(*jwks.Cache).Refresh(t.Context()))
		for range 3 {
			require.Equal(t, 401, ask("/orders/7", jwt))
		}
		require.Equal(t, map[string]float64{issuer: 1}, scraped().of("jwt_removed_key_refusals_total"))
		lint(t, registry)
		time.Sleep(time.Minute)
	})
}

func TestWatchUsageMistakes(t *testing.T) {
	m, _ := newMetrics(t, promgate.Config{})
	u, err := usage.New(usage.Config{})
	require.NoError(t, err)
	gate, err := middleware.New(bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) { return nil, bearergate.ErrInvalidToken }), middleware.Config{})
	require.NoError(t, err)
	rt := gate.NewRouter()
	for name, err := range map[string]error{
		"no usage":     m.WatchUsage(nil, nil, rt),
		"no router":    m.WatchUsage(u, nil),
		"a nil router": m.WatchUsage(u, nil, nil),
	} {
		require.ErrorIs(t, err, bearergate.ErrMisconfigured, name)
		require.ErrorContains(t, err, "WatchUsage", name)
	}
	require.NoError(t, m.WatchUsage(u, nil, rt))
	require.ErrorIs(t, m.WatchUsage(u, nil, rt), bearergate.ErrMisconfigured)
}

// An issuer beyond MaxIssuers shares its label with others, and has no clock.
func TestTheClockOfOneIssuerTooMany(t *testing.T) {
	m, registry := newMetrics(t, promgate.Config{MaxIssuers: 1})
	told := func(issuer string, ahead time.Duration) {
		m.KeyHooks().Fetched(t.Context(), jwks.FetchEvent{Issuer: issuer, Server: bearergate.Server{ClockKnown: true, Ahead: ahead}})
	}
	told("a", 1*time.Second)
	told("b", 2*time.Second)
	told("c", 3*time.Second)
	s := scrape(t, serve(t, promhttp.HandlerFor(registry, promhttp.HandlerOpts{})))
	require.Equal(t, map[string]float64{`endpoint="keys",issuer="a"`: 1}, s.of("issuer_clock_skew_seconds"))
}
