package promgate_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	promgate "github.com/bearergate/bearergate/adapters/prometheus"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/binding/dpop"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/issuers"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/middleware/sightings"
	"github.com/bearergate/bearergate/revocation"
	"github.com/bearergate/bearergate/revocation/backchannel"
	"github.com/bearergate/bearergate/revocation/signals"
	"github.com/bearergate/bearergate/scope"
)

func newMetrics(t testing.TB, c promgate.Config) (*promgate.Metrics, *prometheus.Registry) {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	c.Registerer = registry
	m, err := promgate.New(c)
	require.NoError(t, err)
	return m, registry
}

// serve serves h over HTTP, in memory, so that it may be in a synctest bubble.
func serve(t testing.TB, h http.Handler) *http.Client {
	conns := listener{make(chan net.Conn), make(chan struct{}), new(sync.Once)}
	server := http.Server{Handler: h}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(conns) })
	t.Cleanup(func() {
		_ = server.Close()
		serving.Wait()
	})
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		select {
		case conns.conns <- theirs:
			return ours, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}}}
}

type listener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   *sync.Once
}

func (l listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}
func (l listener) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l listener) Addr() net.Addr { return &net.IPAddr{} }

func get(t testing.TB, c *http.Client, path, token string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", "http://api.example.test"+path, nil)
	require.NoError(t, err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := c.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode
}

// samples are all samples of a text format, `name{a="b",…}` without our prefix
// of names and without buckets.
type samples map[string]float64

// scrape reads /metrics over HTTP.
func scrape(t testing.TB, c *http.Client) samples {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", "http://api.example.test/metrics", nil)
	require.NoError(t, err)
	resp, err := c.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, 200, resp.StatusCode)
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	require.NoError(t, err)
	out := samples{}
	for name, f := range families {
		name, ours := strings.CutPrefix(name, "bearergate_")
		require.True(t, ours, name)
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+strconv.Quote(l.GetValue()))
			}
			slices.Sort(labels)
			series := name + "{" + strings.Join(labels, ",") + "}"
			switch {
			case m.GetHistogram() != nil:
				out[series] = float64(m.GetHistogram().GetSampleCount())
			case m.GetCounter() != nil:
				out[series] = m.GetCounter().GetValue()
			default:
				out[series] = m.GetGauge().GetValue()
			}
		}
	}
	return out
}

// of are the samples of one metric, without its name.
func (s samples) of(metric string) map[string]float64 {
	out := map[string]float64{}
	for series, value := range s {
		if labels, ok := strings.CutPrefix(series, metric+"{"); ok {
			out[strings.TrimSuffix(labels, "}")] = value
		}
	}
	return out
}

// asked is an introspection endpoint: tokens that begin with "live" are active.
type asked struct {
	mu   sync.Mutex // guards down
	down bool
}

func (a *asked) fail(down bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.down = down
}

func (a *asked) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.down {
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(503)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if !strings.HasPrefix(r.FormValue("token"), "live") {
		fmt.Fprint(w, `{"active":false}`)
		return
	}
	fmt.Fprintf(w, `{"active":true,"aud":%q,"scope":"orders:read","sub":"subject-of-an-opaque-token","exp":%d}`, authtest.DefaultAudience, time.Now().Unix()+86400)
}

const opaqueIssuer = "https://opaque.example.test"

func TestEndToEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as, server := authtest.New(t), &asked{}
		m, registry := newMetrics(t, promgate.Config{})
		v, err := jwtverify.New(jwtverify.Config{Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client(),
			Hooks: m.VerifyHooks(), KeyHooks: m.KeyHooks()})
		require.NoError(t, err)
		require.NoError(t, m.Watch(v.Keys()))
		client, err := introspect.New(introspect.Config{Issuer: opaqueIssuer, Endpoint: opaqueIssuer + "/introspect", Audiences: []string{authtest.DefaultAudience},
			Auth: introspect.BasicAuth("orders-api", "the-client-secret"), HTTPClient: overPlain(serve(t, server)), Hooks: m.IntrospectHooks()})
		require.NoError(t, err)
		router, err := issuers.NewRouter(issuers.Config{Issuers: map[string]bearergate.Verifier{as.Issuer(): v}, Opaque: client})
		require.NoError(t, err)
		gate, err := middleware.New(router, middleware.Config{Hooks: m.GateHooks()})
		require.NoError(t, err)
		mux := http.NewServeMux()
		mux.Handle("GET /orders/{id}", gate.Require(scope.All("orders:read"))(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
		mux.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError}))
		api := serve(t, mux)
		const orders = `pattern="GET /orders/{id}",`
		iss, opaque := fmt.Sprintf("issuer=%q", as.Issuer()), fmt.Sprintf("issuer=%q", opaqueIssuer)

		// Before the first token.
		before := scrape(t, api)
		require.Equal(t, map[string]float64{
			iss + `,state="empty"`: 1, iss + `,state="fresh"`: 0, iss + `,state="ahead"`: 0,
			iss + `,state="due"`: 0, iss + `,state="stale"`: 0, iss + `,state="expired"`: 0}, before.of("jwks_state"))
		require.Equal(t, map[string]float64{iss: 0}, before.of("jwks_keys"))
		require.Empty(t, before.of("jwks_last_success_timestamp_seconds"), "never is not 1970")
		require.Empty(t, before.of("jwks_last_attempt_timestamp_seconds"))
		require.Empty(t, before.of("introspection_breaker_state"))

		// A usual day.
		token := as.Token(authtest.Claims{Subject: "subject-of-a-jwt", ClientID: "client-of-a-jwt", Scopes: scope.Of("orders:read"), ExpiresAt: time.Now().Add(24 * time.Hour)})
		expired := as.Token(authtest.Claims{ExpiresAt: time.Now().Add(-time.Hour)})
		narrow := as.Token(authtest.Claims{Scopes: scope.Of("orders:write")})
		began := time.Now()
		for range 3 {
			require.Equal(t, 200, get(t, api, "/orders/4711", token))
		}
		require.Equal(t, 401, get(t, api, "/orders/4711", ""))
		require.Equal(t, 401, get(t, api, "/orders/4711", expired))
		require.Equal(t, 403, get(t, api, "/orders/4711", narrow))
		for range 2 {
			require.Equal(t, 200, get(t, api, "/orders/4711", "live-opaque-token"))
		}
		require.Equal(t, 401, get(t, api, "/orders/4711", "dead-opaque-token"))
		day := scrape(t, api)
		require.Equal(t, map[string]float64{
			`outcome="accepted",` + orders + `reason="",report_only="false"`:        5,
			`outcome="refused",` + orders + `reason="no_token",report_only="false"`: 1,
			`outcome="refused",` + orders + `reason="expired",report_only="false"`:  1,
			`outcome="refused",` + orders + `reason="scope",report_only="false"`:    1,
			`outcome="refused",` + orders + `reason="inactive",report_only="false"`: 1,
		}, day.of("decisions_total"))
		require.Equal(t, map[string]float64{`outcome="accepted"`: 5, `outcome="refused"`: 4}, day.of("decision_duration_seconds"))
		require.Equal(t, map[string]float64{
			`cached="false",` + iss + `,outcome="accepted",reason=""`:       2,
			`cached="true",` + iss + `,outcome="accepted",reason=""`:        2,
			`cached="false",` + iss + `,outcome="refused",reason="expired"`: 1,
		}, day.of("jwt_verifications_total"))
		require.Equal(t, map[string]float64{
			`cached="false",` + iss + `,outcome="accepted"`: 2,
			`cached="true",` + iss + `,outcome="accepted"`:  2,
			`cached="false",` + iss + `,outcome="refused"`:  1,
		}, day.of("jwt_verification_duration_seconds"))
		require.Equal(t, map[string]float64{
			opaque + `,outcome="accepted",reason="",result="miss"`:        1,
			opaque + `,outcome="accepted",reason="",result="hit"`:         1,
			opaque + `,outcome="refused",reason="inactive",result="miss"`: 1,
		}, day.of("introspections_total"))
		require.Equal(t, map[string]float64{opaque + `,result="miss"`: 2, opaque + `,result="hit"`: 1}, day.of("introspection_duration_seconds"))
		require.Equal(t, map[string]float64{
			opaque + `,outcome="active",status="2xx"`:   1,
			opaque + `,outcome="inactive",status="2xx"`: 1,
		}, day.of("introspection_calls_total"))
		require.Equal(t, map[string]float64{opaque + `,outcome="active"`: 1, opaque + `,outcome="inactive"`: 1}, day.of("introspection_call_duration_seconds"))
		require.Equal(t, map[string]float64{opaque + `,state="closed"`: 1, opaque + `,state="open"`: 0, opaque + `,state="half_open"`: 0}, day.of("introspection_breaker_state"))
		require.Equal(t, map[string]float64{iss + `,outcome="ok",trigger="first"`: 1}, day.of("jwks_fetches_total"))
		require.Equal(t, map[string]float64{iss + `,outcome="ok"`: 1}, day.of("jwks_fetch_duration_seconds"))
		require.Equal(t, map[string]float64{`change="added",` + iss: 1}, day.of("jwks_key_changes_total"))
		require.Equal(t, map[string]float64{iss + `,state="fresh"`: 1}, day.of("jwks_state_changes_total"))
		require.Equal(t, map[string]float64{iss: 1}, day.of("jwks_keys"))
		require.Equal(t, map[string]float64{iss: 0}, day.of("jwks_consecutive_failures"))
		require.Equal(t, map[string]float64{iss: float64(began.Unix())}, day.of("jwks_last_success_timestamp_seconds"))

		// The state is that of the scrape, not of the last request.
		time.Sleep(9 * time.Minute)
		require.Contains(t, []string{"ahead", "fresh"}, stateOf(t, scrape(t, api)))
		time.Sleep(4 * time.Minute)
		require.Equal(t, "due", stateOf(t, scrape(t, api)))
		time.Sleep(2 * time.Hour)
		require.Equal(t, "expired", stateOf(t, scrape(t, api)))
		require.Equal(t, 200, get(t, api, "/orders/4711", token))
		require.Equal(t, "fresh", stateOf(t, scrape(t, api)))

		// The authorization servers go.
		as.Fail(authtest.Fault{Status: 503})
		server.fail(true)
		time.Sleep(12 * time.Minute)
		confirmed := scrape(t, api).of("jwks_last_success_timestamp_seconds")
		require.Equal(t, 200, get(t, api, "/orders/4711", token))
		require.Equal(t, 200, get(t, api, "/orders/4711", token))
		synctest.Wait()
		for i := range 8 {
			require.Equal(t, 503, get(t, api, "/orders/4711", fmt.Sprint("live-but-nobody-says-so-", i)))
		}
		outage := scrape(t, api)
		require.Equal(t, "stale", stateOf(t, outage))
		require.Positive(t, outage.of("jwks_stale_answers_total")[iss])
		require.Positive(t, outage.of("jwks_consecutive_failures")[iss])
		require.Equal(t, confirmed, outage.of("jwks_last_success_timestamp_seconds"), "when the server last confirmed the keys")
		require.Greater(t, outage.of("jwks_last_attempt_timestamp_seconds")[iss], confirmed[iss])
		require.Positive(t, outage.of("jwks_fetches_total")[iss+`,outcome="status",trigger="due"`])
		require.Equal(t, map[string]float64{opaque + `,state="closed"`: 0, opaque + `,state="open"`: 1, opaque + `,state="half_open"`: 0}, outage.of("introspection_breaker_state"))
		require.EqualValues(t, 1, outage.of("introspection_breaker_changes_total")[opaque+`,state="open"`])
		require.EqualValues(t, 6, outage.of("introspection_calls_total")[opaque+`,outcome="status",status="5xx"`], "and one about a token of its own")
		require.EqualValues(t, 8, outage.of("introspections_total")[opaque+`,outcome="unavailable",reason="introspection_unavailable",result="miss"`])
		require.EqualValues(t, 8, outage.of("decisions_total")[`outcome="unavailable",`+orders+`reason="introspection_unavailable",report_only="false"`])

		// For longer than the last good keys may serve.
		time.Sleep(2 * time.Hour)
		require.Equal(t, 503, get(t, api, "/orders/4711", token))
		gone := scrape(t, api)
		require.Equal(t, "expired", stateOf(t, gone))
		require.EqualValues(t, 1, gone.of("decisions_total")[`outcome="unavailable",`+orders+`reason="keys_unavailable",report_only="false"`])

		// They are back.
		as.Fail(authtest.Fault{})
		server.fail(false)
		time.Sleep(2 * time.Minute)
		require.Equal(t, 200, get(t, api, "/orders/4711", token))
		require.Equal(t, 200, get(t, api, "/orders/4711", "live-opaque-token"))
		back := scrape(t, api)
		require.Equal(t, "fresh", stateOf(t, back))
		require.EqualValues(t, 0, back.of("jwks_consecutive_failures")[iss])
		require.Equal(t, map[string]float64{opaque + `,state="closed"`: 1, opaque + `,state="open"`: 0, opaque + `,state="half_open"`: 0}, back.of("introspection_breaker_state"))

		lint(t, registry)
	})
}

func stateOf(t testing.TB, s samples) string {
	t.Helper()
	var states []string
	for labels, value := range s.of("jwks_state") {
		if value == 1 {
			_, state, _ := strings.Cut(labels, `state="`)
			states = append(states, strings.TrimSuffix(state, `"`))
		}
	}
	require.Len(t, states, 1)
	return states[0]
}

// overPlain reaches a server in memory by https URLs.
func overPlain(c *http.Client) *http.Client {
	return &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
		r = r.Clone(r.Context())
		r.URL.Scheme = "http"
		return c.Transport.RoundTrip(r)
	})}
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func lint(t testing.TB, g prometheus.Gatherer) {
	t.Helper()
	problems, err := testutil.GatherAndLint(g)
	require.NoError(t, err)
	require.Empty(t, problems)
}

// everything is one event of each kind.
func everything(ctx context.Context, m *promgate.Metrics, issuer, pattern string, err error, token *bearergate.Token) {
	verify, keys, opaque, gate, proofs := m.VerifyHooks(), m.KeyHooks(), m.IntrospectHooks(), m.GateHooks(), m.ProofHooks()
	kid := token.ID()
	server := bearergate.Server{ClockKnown: true, Ahead: -1500 * time.Millisecond, Within: time.Second, CertificateExpires: time.Unix(2e9, 5e8)}
	verify.Verified(ctx, jwtverify.VerifyEvent{Issuer: issuer, Err: err, Token: token})
	verify.Verified(ctx, jwtverify.VerifyEvent{Issuer: issuer, Token: token, Cached: true})
	verify.Verified(ctx, jwtverify.VerifyEvent{Issuer: issuer, Err: err, RemovedKey: "k" + kid, Bytes: 1000, Lifetime: time.Hour})
	verify.Unmapped(ctx, bearergate.UnmappedEvent{Issuer: issuer, Path: kid, Tokens: 100})
	verify.Panicked(ctx, bearergate.PanicEvent{Where: kid, Type: kid})
	keys.Fetched(ctx, jwks.FetchEvent{ID: 1, Issuer: issuer, URL: kid, Trigger: jwks.TriggerDue, Outcome: jwks.OutcomeStatus, Err: err, Added: []string{kid}, Removed: []string{kid, kid}, Server: server})
	keys.UsedEarly(ctx, jwks.EarlyEvent{Issuer: issuer, URL: kid, KeyID: kid})
	keys.StateChanged(ctx, jwks.StateEvent{Issuer: issuer, URL: kid, From: jwks.StateFresh, To: jwks.StateStale, Err: err})
	keys.MissSuppressed(ctx, jwks.MissEvent{Issuer: issuer, URL: kid, KeyID: kid, Algorithm: kid})
	keys.StaleServed(ctx, jwks.StaleEvent{Issuer: issuer, URL: kid, Err: err})
	keys.KeySkipped(ctx, jwks.KeyEvent{Issuer: issuer, URL: kid, KeyID: kid, Err: err})
	keys.Panicked(ctx, bearergate.PanicEvent{Where: kid, Type: kid})
	opaque.Looked(ctx, introspect.LookEvent{Issuer: issuer, Result: introspect.ResultMiss, Err: err, Token: token, Bytes: 30})
	opaque.Called(ctx, introspect.CallEvent{Issuer: issuer, Outcome: introspect.OutcomeStatus, Status: 503, Err: err, Server: server})
	opaque.BreakerChanged(ctx, introspect.BreakerEvent{Issuer: issuer, From: introspect.BreakerClosed, To: introspect.BreakerOpen})
	opaque.Purged(ctx, introspect.PurgeEvent{Issuer: issuer})
	opaque.Purged(ctx, introspect.PurgeEvent{Issuer: issuer, Err: err})
	opaque.PurgesRead(ctx, introspect.PurgesReadEvent{Issuer: issuer, Records: 1})
	opaque.PurgesRead(ctx, introspect.PurgesReadEvent{Issuer: issuer, Err: err})
	opaque.StoreFailed(ctx, introspect.StoreEvent{Issuer: issuer, Operation: "get", Err: err})
	opaque.Unmapped(ctx, bearergate.UnmappedEvent{Issuer: issuer, Path: kid, Tokens: 100})
	opaque.Panicked(ctx, bearergate.PanicEvent{Where: kid, Type: kid})
	gate.Decided(ctx, middleware.DecisionEvent{Method: kid, Pattern: pattern, Err: err, Token: token, Required: scope.All("document:read:" + kid), Source: middleware.SourceHeader, QueryToken: true})
	gate.Panicked(ctx, bearergate.PanicEvent{Where: kid, Type: kid})
	proofs.Judged(ctx, dpop.ProofEvent{Err: err, Reason: bearergate.ReasonProof, Fault: dpop.FaultTime, Algorithm: "ES256", Nonce: dpop.NonceAccepted, Store: dpop.StoreFresh})
	proofs.Panicked(ctx, bearergate.PanicEvent{Where: kid, Type: kid})
	revoked := m.RevocationHooks()
	revoked.Refused(ctx, revocation.RefusedEvent{Issuer: issuer, Source: "admin", By: "subject"})
	revoked.Changed(ctx, revocation.ChangeEvent{Entry: revocation.Entry{Issuer: kid, Subject: kid, Source: "admin"}, By: "subject", Own: true})
	revoked.Changed(ctx, revocation.ChangeEvent{Entry: revocation.Entry{Issuer: kid, Subject: kid, Source: "admin"}, By: "subject", Lifted: true})
	revoked.Synced(ctx, revocation.SyncEvent{Records: 2, Skipped: 3})
	revoked.Synced(ctx, revocation.SyncEvent{Err: err})
	revoked.PutBack(ctx, revocation.PutBackEvent{Entries: 4})
	revoked.Refetched(ctx, revocation.RefetchEvent{Issuer: issuer})
	revoked.Refetched(ctx, revocation.RefetchEvent{Issuer: issuer, Err: err})
	revoked.Panicked(ctx, bearergate.PanicEvent{Where: kid, Type: kid})
	seen := m.SightingHooks()
	seen.Suspected(ctx, sightings.Event{Issuer: issuer, Token: token, Networks: 4, Names: []string{kid}})
	seen.Forgot(ctx, sightings.ForgotEvent{Tokens: 7})
	seen.Panicked(ctx, bearergate.PanicEvent{Where: kid, Type: kid})
	logouts, events := m.LogoutHooks(), m.SignalHooks()
	logouts.Received(ctx, backchannel.ReceivedEvent{Issuer: issuer, Outcome: backchannel.Revoked, By: backchannel.BySession, Subject: kid, Session: kid, Entries: 2, Status: 200})
	logouts.Received(ctx, backchannel.ReceivedEvent{Issuer: issuer, Outcome: backchannel.Failed, By: backchannel.BySubject, Subject: kid, Err: err, Reason: bearergate.ReasonOf(err), Status: 503})
	logouts.Panicked(ctx, bearergate.PanicEvent{Where: kid, Type: kid})
	events.Received(ctx, signals.ReceivedEvent{Issuer: issuer, Outcome: signals.Discarded, Type: signals.SessionRevoked, ID: kid, Status: 202})
	events.Received(ctx, signals.ReceivedEvent{Issuer: issuer, Outcome: signals.Refused, Code: "invalid_key", Err: err, Reason: bearergate.ReasonOf(err), Status: 400})
	events.Discarded(ctx, signals.DiscardedEvent{Issuer: issuer, Type: signals.SessionRevoked, Why: signals.WhySubject, Member: "user", Format: "email", Found: kid, ID: kid})
	events.Stream(ctx, signals.StreamEvent{Issuer: issuer, Status: "paused", Reason: kid})
	events.Panicked(ctx, bearergate.PanicEvent{Where: kid, Type: kid})
}

func series(t testing.TB, g prometheus.Gatherer) int {
	t.Helper()
	n, err := testutil.GatherAndCount(g)
	require.NoError(t, err)
	return n
}

// Whatever clients, subjects, key IDs and paths come, they make no series; and
// issuers and patterns make as many as is allowed.
func TestCardinality(t *testing.T) {
	m, registry := newMetrics(t, promgate.Config{MaxIssuers: 3, MaxPatterns: 4})
	refusal := func(cause string) error {
		return &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonSignature, Scopes: []string{cause}, Cause: errors.New(cause)}
	}
	everything(t.Context(), m, "https://as.example.test", "GET /orders/{id}", refusal("x"), bearergate.NewToken(bearergate.Claims{}))
	before := series(t, registry)
	require.Greater(t, before, 20)

	strangers := 1_000_000
	if raceEnabled() || testing.Short() {
		strangers = 20_000
	}
	verify, keys, opaque, gate := m.VerifyHooks(), m.KeyHooks(), m.IntrospectHooks(), m.GateHooks()
	err := refusal("x")
	for i := range strangers {
		id := strconv.Itoa(i)
		token := bearergate.NewToken(bearergate.Claims{Issuer: id, Subject: id, ClientID: id, ID: id})
		verify.Verified(t.Context(), jwtverify.VerifyEvent{Issuer: "https://as.example.test", Token: token, Cached: true})
		keys.MissSuppressed(t.Context(), jwks.MissEvent{Issuer: "https://as.example.test", KeyID: id, Algorithm: id})
		opaque.Looked(t.Context(), introspect.LookEvent{Issuer: "https://as.example.test", Result: introspect.ResultMiss, Token: token, Err: err})
		gate.Decided(t.Context(), middleware.DecisionEvent{Method: id, Pattern: "GET /orders/{id}", Err: err, Token: token, Required: scope.All("order:read:" + id)})
	}
	for i := range 2000 {
		id := strconv.Itoa(i)
		everything(t.Context(), m, "https://as.example.test", "GET /orders/{id}", refusal(id), bearergate.NewToken(bearergate.Claims{Subject: id, ClientID: id, ID: id}))
	}
	require.Equal(t, before, series(t, registry))

	// Each of 3 issuers and "other" makes the series of one, and so each pattern.
	for i := range strangers / 100 {
		id := strconv.Itoa(i)
		everything(t.Context(), m, "https://as.example.test/"+id, "GET /"+id, refusal(id), bearergate.NewToken(bearergate.Claims{ID: id}))
	}
	// "Other" has no clock and no certificate.
	const panics, perPattern, durations, proofs, revocations, forgotten, perServer = 9, 2, 1, 5, 6, 1, 6
	perIssuer := before - panics - perPattern - durations - proofs - revocations - forgotten - perServer
	require.Equal(t, 4*perIssuer+3*perServer+panics+5*perPattern+durations+proofs+revocations+forgotten, series(t, registry))
	text := gathered(t, registry)
	require.Contains(t, text, `issuer="other"`)
	require.Contains(t, text, `issuer="https://as.example.test/1"`)
	require.NotContains(t, text, `issuer="https://as.example.test/2"`)
	require.Contains(t, text, `pattern="other"`)
	lint(t, registry)
}

func gathered(t testing.TB, g prometheus.Gatherer) string {
	t.Helper()
	w := httptest.NewRecorder()
	promhttp.HandlerFor(g, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError}).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	require.Equal(t, 200, w.Code)
	return w.Body.String()
}

// Words of nobody's closed set stay bounded too.
func TestForeignWords(t *testing.T) {
	m, registry := newMetrics(t, promgate.Config{})
	for i := range 300 {
		word := fmt.Sprint("made-up-", i)
		err := &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.Reason(word)}
		m.VerifyHooks().Verified(t.Context(), jwtverify.VerifyEvent{Issuer: "i", Err: err})
		m.GateHooks().Decided(t.Context(), middleware.DecisionEvent{Reason: err.Reason, Err: err, Pattern: "/"})
		m.KeyHooks().Fetched(t.Context(), jwks.FetchEvent{Issuer: "i", Trigger: jwks.Trigger(word), Outcome: "ok"})
		m.IntrospectHooks().StoreFailed(t.Context(), introspect.StoreEvent{Issuer: "i", Operation: word})
		m.SignalHooks().Received(t.Context(), signals.ReceivedEvent{Issuer: "i", Type: word})
	}
	s := scrape(t, serve(t, promhttp.HandlerFor(registry, promhttp.HandlerOpts{})))
	// A Reason that is none reads as the usual one of its sentinel, as ReasonOf has it.
	require.Equal(t, map[string]float64{`cached="false",issuer="i",outcome="refused",reason="policy"`: 300}, s.of("jwt_verifications_total"))
	require.Equal(t, map[string]float64{`outcome="refused",pattern="/",reason="policy",report_only="false"`: 300}, s.of("decisions_total"))
	require.Len(t, s.of("jwks_fetches_total"), promgate.MaxWords+1)
	require.EqualValues(t, 300-promgate.MaxWords, s.of("jwks_fetches_total")[`issuer="i",outcome="ok",trigger="other"`])
	require.Len(t, s.of("introspection_store_failures_total"), promgate.MaxWords+1)
	require.Len(t, s.of("revocation_signals_total"), promgate.MaxWords+1)
}

// What is kept at hand for speed is bounded apart, and nothing is lost beyond it.
func TestManySeries(t *testing.T) {
	m, registry := newMetrics(t, promgate.Config{MaxPatterns: promgate.MaxChildren + 10})
	gate := m.GateHooks()
	for range 2 {
		for i := range promgate.MaxChildren + 5 {
			gate.Decided(t.Context(), middleware.DecisionEvent{Pattern: fmt.Sprint("/", i)})
		}
	}
	s := scrape(t, serve(t, promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))).of("decisions_total")
	require.Len(t, s, promgate.MaxChildren+5)
	for labels, n := range s {
		require.EqualValues(t, 2, n, labels)
	}
}

func TestOutcomes(t *testing.T) {
	for name, tc := range map[string]struct {
		err             error
		outcome, reason string
	}{
		"accepted":      {nil, "accepted", ""},
		"missing":       {bearergate.ErrMissingToken, "refused", "no_token"},
		"scope":         {&bearergate.Error{Kind: bearergate.ErrInsufficientScope, Reason: bearergate.ReasonScope}, "refused", "scope"},
		"outage":        {&bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonKeysUnavailable}, "unavailable", "keys_unavailable"},
		"misconfigured": {&bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonConfig}, "misconfigured", "config"},
		"gone":          {&bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonCanceled, Cause: context.Canceled}, "canceled", "canceled"},
		"forbidden":     {&bearergate.Error{Kind: bearergate.ErrForbidden, Reason: bearergate.ReasonRole}, "refused", "role"},
		"a store":       {&bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonStoreUnavailable}, "unavailable", "store_unavailable"},
		"foreign":       {errors.New("what a token says"), "misconfigured", "internal"},
	} {
		m, registry := newMetrics(t, promgate.Config{})
		m.GateHooks().Decided(t.Context(), middleware.DecisionEvent{Err: tc.err, Pattern: "/", ReportOnly: tc.err != nil})
		m.VerifyHooks().Verified(t.Context(), jwtverify.VerifyEvent{Err: tc.err, Issuer: "i"})
		m.IntrospectHooks().Looked(t.Context(), introspect.LookEvent{Err: tc.err, Issuer: "i", Result: introspect.ResultStale})
		s := scrape(t, serve(t, promhttp.HandlerFor(registry, promhttp.HandlerOpts{})))
		require.Equal(t, map[string]float64{fmt.Sprintf(`outcome=%q,pattern="/",reason=%q,report_only="%v"`, tc.outcome, tc.reason, tc.err != nil): 1}, s.of("decisions_total"), name)
		require.Equal(t, map[string]float64{fmt.Sprintf(`cached="false",issuer="i",outcome=%q,reason=%q`, tc.outcome, tc.reason): 1}, s.of("jwt_verifications_total"), name)
		require.Equal(t, map[string]float64{fmt.Sprintf(`issuer="i",outcome=%q,reason=%q,result="stale"`, tc.outcome, tc.reason): 1}, s.of("introspections_total"), name)
	}
}

// A request that its token ended is no further decision, and how long it was served
// is no duration of one.
func TestRequestsEnded(t *testing.T) {
	m, registry := newMetrics(t, promgate.Config{})
	for _, reportOnly := range []bool{false, true} {
		m.GateHooks().Decided(t.Context(), middleware.DecisionEvent{Err: &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonRevoked},
			Pattern: "GET /events", Midstream: true, ReportOnly: reportOnly, Duration: time.Hour})
	}
	s := scrape(t, serve(t, promhttp.HandlerFor(registry, promhttp.HandlerOpts{})))
	require.Equal(t, map[string]float64{`pattern="GET /events",reason="revoked",report_only="false"`: 1, `pattern="GET /events",reason="revoked",report_only="true"`: 1}, s.of("requests_ended_total"))
	require.Empty(t, s.of("decisions_total"))
	require.Empty(t, s.of("decision_duration_seconds_count"))
}

// A store that a Check asks hangs, and every request runs into the Check's own
// deadline or into that of the service: both are failures of ours, and neither is
// a caller that left. Only such a one is left out of the shipped failure ratio.
func TestAStoreThatHangsIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, registry := newMetrics(t, promgate.Config{})
		as := authtest.New(t)
		v, err := jwtverify.New(jwtverify.Config{
			Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client(), Hooks: m.VerifyHooks(),
			Check: func(ctx context.Context, _ *bearergate.Token) error {
				ctx, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
				defer cancel()
				<-ctx.Done() // the store never answers
				return ctx.Err()
			},
		})
		require.NoError(t, err)
		token := as.Token(authtest.Claims{})
		for range 3 {
			_, err := v.Verify(t.Context(), token)
			require.ErrorIs(t, err, bearergate.ErrUnavailable)
		}
		hurried, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		_, err = v.Verify(hurried, token)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		leaving, leave := context.WithCancel(t.Context())
		time.AfterFunc(10*time.Millisecond, leave)
		_, err = v.Verify(leaving, token)
		require.ErrorIs(t, err, context.Canceled)

		s := scrape(t, serve(t, promhttp.HandlerFor(registry, promhttp.HandlerOpts{})))
		outcomes := map[string]float64{}
		for labels, n := range s.of("jwt_verifications_total") {
			_, outcome, _ := strings.Cut(labels, "outcome=")
			outcomes[outcome] += n
		}
		require.Equal(t, map[string]float64{`"unavailable",reason="store_unavailable"`: 4, `"canceled",reason="canceled"`: 1}, outcomes)
	})
}

// The other counters, each told by its own event.
func TestCounters(t *testing.T) {
	m, registry := newMetrics(t, promgate.Config{})
	everything(t.Context(), m, "i", "/", bearergate.ErrInvalidToken, bearergate.NewToken(bearergate.Claims{ID: "kid"}))
	s := scrape(t, serve(t, promhttp.HandlerFor(registry, promhttp.HandlerOpts{})))
	for metric, want := range map[string]map[string]float64{
		"jwks_fetches_total":                     {`issuer="i",outcome="status",trigger="due"`: 1},
		"jwks_key_changes_total":                 {`change="added",issuer="i"`: 1, `change="removed",issuer="i"`: 2},
		"jwks_state_changes_total":               {`issuer="i",state="stale"`: 1},
		"jwks_suppressed_misses_total":           {`issuer="i"`: 1},
		"jwks_stale_answers_total":               {`issuer="i"`: 1},
		"jwks_skipped_keys_total":                {`issuer="i"`: 1},
		"introspection_calls_total":              {`issuer="i",outcome="status",status="5xx"`: 1},
		"introspection_breaker_changes_total":    {`issuer="i",state="open"`: 1},
		"introspection_breaker_state":            {`issuer="i",state="open"`: 1, `issuer="i",state="closed"`: 0, `issuer="i",state="half_open"`: 0},
		"introspection_purges_total":             {`issuer="i"`: 2},
		"introspection_purge_log_failures_total": {`issuer="i",operation="append"`: 1, `issuer="i",operation="read"`: 1},
		"revocation_refusals_total":              {`by="subject",issuer="i",source="admin"`: 1},
		"revocation_changes_total":               {`by="subject",change="added",source="admin"`: 1, `by="subject",change="lifted",source="admin"`: 1},
		"revocation_syncs_total":                 {`outcome="ok"`: 1, `outcome="failed"`: 1},
		"revocation_skipped_records_total":       {"": 3},
		"revocation_put_back_total":              {"": 4},
		"revocation_key_refetches_total":         {`issuer="i",outcome="ok"`: 1, `issuer="i",outcome="failed"`: 1},
		"revocation_logouts_total":               {`by="session",issuer="i",outcome="revoked",reason=""`: 1, `by="subject",issuer="i",outcome="failed",reason="policy"`: 1},
		"revocation_signals_total": {`issuer="i",outcome="discarded",reason="",type="` + signals.SessionRevoked + `"`: 1,
			`issuer="i",outcome="refused",reason="policy",type=""`: 1},
		"revocation_signals_discarded_total":          {`issuer="i",type="` + signals.SessionRevoked + `",why="subject"`: 1},
		"revocation_stream_changes_total":             {`issuer="i",status="paused"`: 1},
		"introspection_store_failures_total":          {`issuer="i",operation="get"`: 1},
		"dpop_proofs_total":                           {`algorithm="ES256",fault="iat",outcome="refused",reason="policy"`: 1},
		"dpop_nonces_total":                           {`outcome="accepted"`: 1},
		"dpop_store_calls_total":                      {`outcome="fresh"`: 1},
		"unmapped_paths_total":                        {`issuer="i"`: 2},
		"issuer_clock_skew_seconds":                   {`endpoint="keys",issuer="i"`: -1.5, `endpoint="introspection",issuer="i"`: -1.5},
		"issuer_clock_skew_uncertainty_seconds":       {`endpoint="keys",issuer="i"`: 1, `endpoint="introspection",issuer="i"`: 1},
		"issuer_certificate_expiry_timestamp_seconds": {`endpoint="keys",issuer="i"`: 2e9, `endpoint="introspection",issuer="i"`: 2e9},
		"token_size_bytes":                            {`issuer="i",verifier="jwt"`: 1, `issuer="i",verifier="introspection"`: 1},
		"token_lifetime_seconds":                      {`issuer="i",verifier="jwt"`: 1},
		"jwks_early_keys_total":                       {`issuer="i"`: 1},
		"jwt_removed_key_refusals_total":              {`issuer="i"`: 1},
		"query_tokens_total":                          {`outcome="refused",pattern="/"`: 1},
		"sightings_suspected_total":                   {`issuer="i"`: 1},
		"sightings_forgotten_total":                   {"": 7},
		"panics_total": {`package="jwtverify"`: 1, `package="jwks"`: 1, `package="introspect"`: 1, `package="middleware"`: 1, `package="dpop"`: 1, `package="revocation"`: 1,
			`package="backchannel"`: 1, `package="signals"`: 1, `package="sightings"`: 1},
	} {
		require.Equal(t, want, s.of(metric), metric)
	}
	require.NotContains(t, gathered(t, registry), "kid")
}

// A breaker that is known to be open is not told to be closed by a call.
func TestBreakerBegins(t *testing.T) {
	m, registry := newMetrics(t, promgate.Config{})
	hooks := m.IntrospectHooks()
	state := func() map[string]float64 {
		return scrape(t, serve(t, promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))).of("introspection_breaker_state")
	}
	hooks.Called(t.Context(), introspect.CallEvent{Issuer: "i"})
	require.EqualValues(t, 1, state()[`issuer="i",state="closed"`])
	hooks.BreakerChanged(t.Context(), introspect.BreakerEvent{Issuer: "i", To: introspect.BreakerOpen})
	hooks.Called(t.Context(), introspect.CallEvent{Issuer: "i"})
	require.EqualValues(t, 1, state()[`issuer="i",state="open"`])
	require.EqualValues(t, 0, state()[`issuer="i",state="closed"`])
}

// Text that is no UTF-8 would make the vectors panic, and every scrape fail.
func TestBadText(t *testing.T) {
	m, registry := newMetrics(t, promgate.Config{})
	everything(t.Context(), m, "a\xff", "GET /\xfe", bearergate.ErrInvalidToken, bearergate.NewToken(bearergate.Claims{ID: "\xff"}))
	require.Contains(t, gathered(t, registry), "issuer=\"a\ufffd\"")
	require.Contains(t, gathered(t, registry), "pattern=\"GET /\ufffd\"")
}

func TestNative(t *testing.T) {
	m, registry := newMetrics(t, promgate.Config{})
	m.VerifyHooks().Verified(t.Context(), jwtverify.VerifyEvent{Issuer: "i", Cached: true, Duration: 700 * time.Nanosecond})
	m.VerifyHooks().Verified(t.Context(), jwtverify.VerifyEvent{Issuer: "i", Cached: true, Duration: 2 * time.Second})
	families, err := registry.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() != "bearergate_jwt_verification_duration_seconds" {
			continue
		}
		h := f.GetMetric()[0].GetHistogram()
		require.NotZero(t, h.GetSchema())
		require.Len(t, h.GetPositiveSpan(), 2)
		require.InDelta(t, 2.0000007, h.GetSampleSum(), 1e-9, "seconds")
		require.Equal(t, 1e-6, h.GetBucket()[0].GetUpperBound())
		require.EqualValues(t, 1, h.GetBucket()[0].GetCumulativeCount())
		return
	}
	require.Fail(t, "no histogram")
}

func TestNew(t *testing.T) {
	for name, tc := range map[string]struct {
		config promgate.Config
		says   string
	}{
		"nothing":   {promgate.Config{}, "Registerer"},
		"typed nil": {promgate.Config{Registerer: (*prometheus.Registry)(nil)}, "Registerer"},
		"issuers":   {promgate.Config{Registerer: prometheus.NewRegistry(), MaxIssuers: -1}, "MaxIssuers"},
		"patterns":  {promgate.Config{Registerer: prometheus.NewRegistry(), MaxPatterns: -1}, "MaxPatterns"},
		"clients":   {promgate.Config{Registerer: prometheus.NewRegistry(), MaxClients: -1}, "MaxClients"},
		"tenants":   {promgate.Config{Registerer: prometheus.NewRegistry(), MaxTenants: -1}, "MaxTenants"},
	} {
		m, err := promgate.New(tc.config)
		require.Nil(t, m, name)
		require.ErrorIs(t, err, bearergate.ErrMisconfigured, name)
		require.Equal(t, bearergate.ReasonConfig, bearergate.ReasonOf(err), name)
		require.ErrorContains(t, err, tc.says, name)
	}
	require.Equal(t, 100, promgate.DefaultMaxIssuers)
	require.Equal(t, 1000, promgate.DefaultMaxPatterns)
}

func TestRegisteredTwice(t *testing.T) {
	first, registry := newMetrics(t, promgate.Config{})
	first.KeyHooks().KeySkipped(t.Context(), jwks.KeyEvent{Issuer: "i"})
	for _, r := range []prometheus.Registerer{registry, prometheus.WrapRegistererWith(nil, registry)} {
		second, err := promgate.New(promgate.Config{Registerer: r})
		require.Nil(t, second)
		require.ErrorIs(t, err, bearergate.ErrMisconfigured)
		var twice prometheus.AlreadyRegisteredError
		require.ErrorAs(t, err, &twice)
	}
	require.Equal(t, 1, series(t, registry), "the first is as it was")

	// One of the names is taken: none of the others is registered.
	registry = prometheus.NewPedanticRegistry()
	taken := prometheus.NewCounter(prometheus.CounterOpts{Name: "bearergate_panics_total", Help: "Of somebody else."})
	require.NoError(t, registry.Register(taken))
	_, err := promgate.New(promgate.Config{Registerer: registry})
	require.ErrorIs(t, err, bearergate.ErrMisconfigured)
	require.Equal(t, 1, series(t, registry))
	require.True(t, registry.Unregister(taken))

	// Two with different labels live side by side.
	for _, service := range []string{"a", "b"} {
		registry := prometheus.NewPedanticRegistry()
		for _, api := range []string{"a", "b"} {
			m, err := promgate.New(promgate.Config{Registerer: prometheus.WrapRegistererWith(prometheus.Labels{"api": api, "service": service}, registry)})
			require.NoError(t, err)
			m.KeyHooks().KeySkipped(t.Context(), jwks.KeyEvent{Issuer: "i"})
		}
		require.Equal(t, 2, series(t, registry))
	}
}

func TestWatch(t *testing.T) {
	m, registry := newMetrics(t, promgate.Config{MaxIssuers: 2})
	cache := func(issuer string) *jwks.Cache {
		c, err := jwks.New(jwks.Config{Issuer: issuer})
		require.NoError(t, err)
		return c
	}
	one := cache("https://one.example.test")
	require.NoError(t, m.Watch(one))
	require.NoError(t, m.Watch(one), "watched already")
	require.NoError(t, m.Watch(cache("https://two.example.test")))
	set, err := jwks.Static([]byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`))
	require.NoError(t, err)
	for name, source := range map[string]jwks.Source{
		"nil": nil, "a nil cache": (*jwks.Cache)(nil), "a set": set,
		"of the same issuer": cache("https://one.example.test"), "one too many": cache("https://three.example.test"),
	} {
		err := m.Watch(source)
		require.ErrorIs(t, err, bearergate.ErrMisconfigured, name)
		require.Equal(t, bearergate.ReasonConfig, bearergate.ReasonOf(err), name)
	}
	require.Equal(t, 2*(6+1+1), series(t, registry)) // states, keys, failures
	require.NotContains(t, gathered(t, registry), "three")
	lint(t, registry)

	// A cache that New did not make is in no state.
	m, registry = newMetrics(t, promgate.Config{})
	require.NoError(t, m.Watch(&jwks.Cache{}))
	require.NotContains(t, gathered(t, registry), "} 1\n")
}

// Hooks, scrapes and new caches may meet.
func TestConcurrent(t *testing.T) {
	m, registry := newMetrics(t, promgate.Config{})
	var all sync.WaitGroup
	for worker := range 4 {
		all.Go(func() {
			for i := range 100 {
				everything(t.Context(), m, fmt.Sprint("issuer-", i%3), fmt.Sprint("/", worker), bearergate.ErrInvalidToken, bearergate.NewToken(bearergate.Claims{}))
			}
		})
		all.Go(func() {
			for i := range 20 {
				c, err := jwks.New(jwks.Config{Issuer: fmt.Sprintf("https://%d-%d.example.test", worker, i)})
				if err != nil || m.Watch(c) != nil {
					t.Error(err)
				}
				if _, err := registry.Gather(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	s := scrape(t, serve(t, promhttp.HandlerFor(registry, promhttp.HandlerOpts{})))
	require.Equal(t, map[string]float64{`package="jwtverify"`: 400, `package="jwks"`: 400, `package="introspect"`: 400, `package="middleware"`: 400, `package="dpop"`: 400, `package="revocation"`: 400,
		`package="backchannel"`: 400, `package="signals"`: 400, `package="sightings"`: 400}, s.of("panics_total"))
	total := 0.0
	for _, n := range s.of("jwt_verifications_total") {
		total += n
	}
	require.EqualValues(t, 1200, total)
}

// A token seen before pays nothing for being counted.
func TestAllocations(t *testing.T) {
	if raceEnabled() {
		t.Skip("the race detector allocates")
	}
	m, _ := newMetrics(t, promgate.Config{})
	verify, look, gate, proofs := m.VerifyHooks(), m.IntrospectHooks(), m.GateHooks(), m.ProofHooks()
	ctx, n := t.Context(), time.Duration(0)
	for name, f := range map[string]func(){
		"verify": func() {
			verify.Verified(ctx, jwtverify.VerifyEvent{Issuer: "https://as.example.test", Cached: true, Duration: 500 + n%3000})
		},
		"look": func() {
			look.Looked(ctx, introspect.LookEvent{Issuer: "https://as.example.test", Result: introspect.ResultHit, Duration: 500 + n%3000})
		},
		"gate": func() {
			gate.Decided(ctx, middleware.DecisionEvent{Method: "GET", Pattern: "GET /orders/{id}", Duration: 500 + n%3000})
		},
		"proof": func() {
			proofs.Judged(ctx, dpop.ProofEvent{Algorithm: "ES256", Nonce: dpop.NonceAccepted, Store: dpop.StoreFresh, StoreDuration: 500 + n%3000, Duration: 500 + n%3000})
		},
	} {
		for range 10_000 { // every native bucket is made
			n++
			f()
		}
		require.Zero(t, testing.AllocsPerRun(1000, func() { n++; f() }), name)
	}

	as := authtest.New(t)
	token := as.Token(authtest.Claims{})
	serve := func(hooks jwtverify.Hooks, gateHooks middleware.Hooks) float64 {
		v, err := jwtverify.New(jwtverify.Config{Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client(), Hooks: hooks})
		require.NoError(t, err)
		gate, err := middleware.New(v, middleware.Config{Hooks: gateHooks})
		require.NoError(t, err)
		h := gate.Require(scope.Requirement{})(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		req := httptest.NewRequestWithContext(ctx, "GET", "/", nil)
		req.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		return testing.AllocsPerRun(1000, func() { h.ServeHTTP(w, req) })
	}
	require.Equal(t, serve(jwtverify.Hooks{}, middleware.Hooks{}), serve(verify, gate))
}
