package promgate_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"regexp"
	"runtime"
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
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

type traceKey struct{}

// traced is a context as a tracer makes it.
func traced(ctx context.Context, trace, span string) context.Context {
	return context.WithValue(ctx, traceKey{}, [2]string{trace, span})
}

func traceOf(ctx context.Context) (trace, span string) {
	of, _ := ctx.Value(traceKey{}).([2]string)
	return of[0], of[1]
}

const traceID, spanID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"

// openMetrics scrapes in the format that has exemplars.
func openMetrics(t testing.TB, g prometheus.Gatherer) string {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil)
	r.Header.Set("Accept", "application/openmetrics-text; version=1.0.0; charset=utf-8")
	w := httptest.NewRecorder()
	promhttp.HandlerFor(g, promhttp.HandlerOpts{EnableOpenMetrics: true, ErrorHandling: promhttp.HTTPErrorOnError}).ServeHTTP(w, r)
	require.Equal(t, http.StatusOK, w.Code)
	require.Contains(t, w.Header().Get("Content-Type"), "openmetrics")
	require.True(t, strings.HasSuffix(w.Body.String(), "# EOF\n"))
	return w.Body.String()
}

var sampleWithExemplar = regexp.MustCompile(`(?m)^bearergate_(\w+)(?:\{.*?\})? \S+ # (\{.*?\}) `)

// exemplars are the labels of the exemplars of each series' name.
func exemplars(t testing.TB, g prometheus.Gatherer) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	for _, m := range sampleWithExemplar.FindAllStringSubmatch(openMetrics(t, g), -1) {
		labels := strings.Split(strings.Trim(m[2], "{}"), ",") // in any order
		slices.Sort(labels)
		found[m[1]] = append(found[m[1]], "{"+strings.Join(labels, ",")+"}")
	}
	return found
}

const linked = `{span_id="` + spanID + `",trace_id="` + traceID + `"}`

// What happens to a request is linked to its trace, in a scrape by HTTP, where its trace is
// sampled.
func TestExemplars(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as := authtest.New(t)
		m, registry := newMetrics(t, promgate.Config{MaxClients: 1, MaxTenants: 1, TraceOf: traceOf})
		v, err := jwtverify.New(jwtverify.Config{Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client(),
			Hooks: m.VerifyHooks(), KeyHooks: m.KeyHooks()})
		require.NoError(t, err)
		gate, err := middleware.New(v, middleware.Config{Hooks: m.GateHooks()})
		require.NoError(t, err)
		h := gate.Require(scope.All("orders:read"))(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		ask := func(ctx context.Context, token string) {
			r := httptest.NewRequestWithContext(ctx, "GET", "/", nil)
			r.Header.Set("Authorization", "Bearer "+token)
			h.ServeHTTP(httptest.NewRecorder(), r)
			synctest.Wait()
		}
		token := as.Token(authtest.Claims{ClientID: "shop", Scopes: scope.Of("orders:read")})
		ask(t.Context(), token)
		require.Empty(t, exemplars(t, registry), "of a request without a trace")

		ask(traced(t.Context(), traceID, spanID), token)
		ask(traced(t.Context(), "abc", ""), as.Token(authtest.Claims{ClientID: "shop", Scopes: scope.Of("x")}))
		require.Equal(t, map[string][]string{
			"decisions_total":                          {linked, `{trace_id="abc"}`},
			"client_decisions_total":                   {linked, `{trace_id="abc"}`},
			"tenant_decisions_total":                   {linked, `{trace_id="abc"}`},
			"decision_duration_seconds_bucket":         {linked, `{trace_id="abc"}`},
			"jwt_verifications_total":                  {`{trace_id="abc"}`, linked},
			"jwt_verification_duration_seconds_bucket": {`{trace_id="abc"}`, linked},
		}, exemplars(t, registry))
	})
}

// Each hook that is told of a request.
func TestEventsWithExemplars(t *testing.T) {
	m, registry := newMetrics(t, promgate.Config{TraceOf: traceOf})
	ctx := traced(t.Context(), traceID, spanID)
	everything(ctx, m, "i", "GET /", bearergate.ErrInvalidToken, bearergate.NewToken(bearergate.Claims{}))
	m.GateHooks().Decided(ctx, middleware.DecisionEvent{Midstream: true, Err: bearergate.ErrInvalidToken})
	found := exemplars(t, registry)
	for _, name := range []string{"decisions_total", "decision_duration_seconds_bucket", "query_tokens_total", "requests_ended_total", "jwt_verifications_total", "jwt_verification_duration_seconds_bucket",
		"introspections_total", "introspection_duration_seconds_bucket", "introspection_calls_total", "introspection_call_duration_seconds_bucket",
		"jwks_fetches_total", "jwks_fetch_duration_seconds_bucket", "dpop_proofs_total", "dpop_proof_duration_seconds_bucket", "dpop_store_calls_total", "dpop_store_call_duration_seconds_bucket"} {
		require.NotEmpty(t, found[name], name)
		for _, labels := range found[name] {
			require.Equal(t, linked, labels, name)
		}
		delete(found, name)
	}
	require.Empty(t, found)

	// So they are in the histograms that are native.
	families, err := registry.Gather()
	require.NoError(t, err)
	native := 0
	for _, f := range families {
		for _, metric := range f.GetMetric() {
			for _, e := range metric.GetHistogram().GetExemplars() {
				native++
				require.ElementsMatch(t, []string{spanID, traceID}, []string{e.GetLabel()[0].GetValue(), e.GetLabel()[1].GetValue()})
			}
		}
	}
	require.Positive(t, native)
}

// What is no ID is left out, whatever the function returns: the library would panic, and
// OpenMetrics has a limit.
func TestBadIDs(t *testing.T) {
	hex := strings.Repeat("0123456789abcdef", 10)
	for _, tc := range []struct {
		name, trace, span string
		want              string // ""; no exemplar
	}{
		{name: "none"},
		{name: "a span without a trace", span: spanID},
		{name: "both", trace: traceID, span: spanID, want: linked},
		{name: "upper case", trace: "ABCDEF", span: "12AB", want: `{span_id="12AB",trace_id="ABCDEF"}`},
		{name: "decimal", trace: "1234567890123456789", span: "987", want: `{span_id="987",trace_id="1234567890123456789"}`},
		{name: "in parts", trace: "1-5759e988-bd862e3fe1be46a994272793", want: `{trace_id="1-5759e988-bd862e3fe1be46a994272793"}`},
		{name: "as long as may be", trace: hex[:64], span: hex[:32], want: `{span_id="` + hex[:32] + `",trace_id="` + hex[:64] + `"}`},
		{name: "a trace that is longer", trace: hex[:65], span: spanID},
		{name: "a span that is longer", trace: traceID, span: hex[:33], want: `{trace_id="` + traceID + `"}`},
		{name: "endless", trace: strings.Repeat("a", 1<<20), span: strings.Repeat("a", 1<<20)},
		{name: "no UTF-8", trace: "a\xff"},
		{name: "a span that is no UTF-8", trace: "a", span: "\xff", want: `{trace_id="a"}`},
		{name: "a line", trace: "a\nb"},
		{name: "a token", trace: "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJ4In0.AAAA"},
		{name: "a word", trace: "trace"},
	} {
		m, registry := newMetrics(t, promgate.Config{TraceOf: traceOf, MaxClients: 1})
		m.GateHooks().Decided(traced(t.Context(), tc.trace, tc.span), decision(bearergate.NewToken(bearergate.Claims{ClientID: "shop"}), nil))
		var want []string
		if tc.want != "" {
			want = []string{tc.want}
		}
		found := exemplars(t, registry)
		for _, name := range []string{"decisions_total", "client_decisions_total", "decision_duration_seconds_bucket"} {
			require.Equal(t, want, found[name], "%s: %s", tc.name, name)
		}
		s := scrape(t, serve(t, promhttp.HandlerFor(registry, promhttp.HandlerOpts{})))
		require.EqualValues(t, 1, s.of("decisions_total")[`outcome="accepted",pattern="GET /",reason="",report_only="false"`], "and it is counted all the same")
	}
}

// A function that panics loses its exemplars, and nothing else.
func TestTraceOfPanics(t *testing.T) {
	m, registry := newMetrics(t, promgate.Config{TraceOf: func(context.Context) (string, string) { panic("of the user's") }})
	m.VerifyHooks().Verified(t.Context(), jwtverify.VerifyEvent{Issuer: "i", Duration: time.Second})
	m.GateHooks().Decided(t.Context(), decision(nil, bearergate.ErrMissingToken))
	require.Empty(t, exemplars(t, registry))
	s := scrape(t, serve(t, promhttp.HandlerFor(registry, promhttp.HandlerOpts{})))
	require.Equal(t, map[string]float64{`package="promgate"`: 2}, s.of("panics_total"))
	require.Equal(t, map[string]float64{`cached="false",issuer="i",outcome="accepted",reason=""`: 1}, s.of("jwt_verifications_total"))
	require.Equal(t, map[string]float64{`outcome="refused",pattern="GET /",reason="no_token",report_only="false"`: 1}, s.of("decisions_total"))
	require.NotContains(t, gathered(t, registry), "of the user's")

	// One that ends the goroutine ends it, and is counted.
	m, registry = newMetrics(t, promgate.Config{TraceOf: func(context.Context) (string, string) { runtime.Goexit(); return "", "" }})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		m.GateHooks().Decided(t.Context(), decision(nil, bearergate.ErrMissingToken))
	}()
	<-ended
	require.Equal(t, map[string]float64{`package="promgate"`: 1}, scrape(t, serve(t, promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))).of("panics_total"))
}

// With the options on, a token that was seen before still pays nothing, but for exemplars.
func TestAllocationsWithOptions(t *testing.T) {
	if raceEnabled() {
		t.Skip("the race detector allocates")
	}
	m, _ := newMetrics(t, promgate.Config{MaxClients: 1, MaxTenants: 1})
	gate := m.GateHooks()
	known := decision(bearergate.NewToken(bearergate.Claims{Issuer: "i", ClientID: "shop", Tenant: "acme"}), nil)
	late := decision(bearergate.NewToken(bearergate.Claims{Issuer: "i", ClientID: "late", Tenant: "late"}), nil)
	gate.Decided(t.Context(), known)
	require.Zero(t, testing.AllocsPerRun(1000, func() { gate.Decided(t.Context(), known); gate.Decided(t.Context(), late) }))
}
