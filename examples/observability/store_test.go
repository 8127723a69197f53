package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/bearergate/bearergate"
	promgate "github.com/bearergate/bearergate/adapters/prometheus"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

// The store that a Check asks hangs. Requests run into the Check's own deadline,
// 20 ms, or into the service's, 10 ms: they are answered 503, and the failure ratio
// that is shipped counts them. It does not count clients that went away.
func TestFailureRatioWhileAStoreHangs(t *testing.T) {
	for name, opaque := range map[string]bool{"JWTs": false, "opaque tokens": true} {
		var s samples
		t.Run(name+", scraped", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { s = scrapeHangingStore(t, opaque) })
			require.EqualValues(t, 5, s.sum("bearergate_decisions_total", "outcome", "unavailable", "reason", "store_unavailable"))
			require.EqualValues(t, 15, s.sum("bearergate_decisions_total", "outcome", "accepted"))
			require.EqualValues(t, 4, s.sum("bearergate_decisions_total", "outcome", "canceled"))
			require.EqualValues(t, 24, s.sum("bearergate_decisions_total"))
			// What the rules select, without Prometheus.
			all := selects(t, "job:bearergate_decisions:rate5m", "bearergate_decisions_total")
			failed := selects(t, "job:bearergate_infrastructure_failures:ratio_rate5m", "job:bearergate_decisions:ratio_rate5m")
			var total, failures float64
			for _, series := range s["bearergate_decisions_total"] {
				if all(series.labels) {
					total += series.value
					if failed(series.labels) {
						failures += series.value
					}
				}
			}
			require.InDelta(t, 0.25, failures/total, 1e-9)
		})
		t.Run(name+", promtool", func(t *testing.T) { promtool(t, "test", "rules", testOfRatio(t, s, 0.25)) })
	}
}

// scrapeHangingStore sends 24 requests, of which 15 find the store at work, and
// returns the metrics.
func scrapeHangingStore(t *testing.T, opaque bool) samples {
	t.Helper()
	registry := prometheus.NewRegistry()
	metrics, err := promgate.New(promgate.Config{Registerer: registry})
	require.NoError(t, err)
	var hangs atomic.Bool
	check := func(ctx context.Context, _ *bearergate.Token) error {
		if !hangs.Load() {
			return nil
		}
		ctx, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		defer cancel()
		<-ctx.Done() // the store does not answer
		return fmt.Errorf("the denylist: %w", ctx.Err())
	}
	as := authtest.New(t, authtest.WithClient(clientID, clientSecret))
	audiences := []string{authtest.DefaultAudience}
	var v bearergate.Verifier
	token := as.Token(authtest.Claims{Scopes: scope.Of("orders:read")})
	if opaque {
		token = as.Opaque(authtest.Claims{Scopes: scope.Of("orders:read")})
		v, err = introspect.New(introspect.Config{Issuer: as.Issuer(), Audiences: audiences, HTTPClient: as.Client(),
			Auth: introspect.BasicAuth(clientID, clientSecret), Check: check, Hooks: metrics.IntrospectHooks()})
	} else {
		v, err = jwtverify.New(jwtverify.Config{Issuer: as.Issuer(), Audiences: audiences, HTTPClient: as.Client(), Check: check, Hooks: metrics.VerifyHooks()})
	}
	require.NoError(t, err)
	gate, err := middleware.New(v, middleware.Config{Hooks: metrics.GateHooks()})
	require.NoError(t, err)
	router := gate.NewRouter()
	router.Handle("GET /orders", scope.All("orders:read"), http.HandlerFunc(hello))
	handler, err := router.Handler()
	require.NoError(t, err)
	hurried := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 10*time.Millisecond)
		defer cancel()
		handler.ServeHTTP(w, r.WithContext(ctx))
	})

	get := func(ctx context.Context, h http.Handler) (int, http.Header, error) {
		req, err := http.NewRequestWithContext(ctx, "GET", "http://api.example.test/orders", nil)
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := (&http.Client{Transport: direct{h}}).Do(req)
		if err != nil {
			return 0, nil, err
		}
		return resp.StatusCode, resp.Header, resp.Body.Close()
	}
	for range 15 {
		status, _, err := get(t.Context(), handler)
		require.NoError(t, err)
		require.Equal(t, 200, status)
	}
	hangs.Store(true)
	for _, h := range []http.Handler{handler, handler, handler, hurried, hurried} {
		status, header, err := get(t.Context(), h)
		require.NoError(t, err)
		require.Equal(t, 503, status)
		require.NotEmpty(t, header.Get("Retry-After"))
	}
	for range 4 {
		ctx, leave := context.WithCancelCause(t.Context())
		time.AfterFunc(5*time.Millisecond, func() { leave(errors.New("the client hung up")) })
		_, _, err := get(ctx, handler)
		require.ErrorIs(t, err, context.Canceled)
	}
	return scrape(t, &http.Client{Transport: direct{promhttp.HandlerFor(registry, promhttp.HandlerOpts{})}}, "http://api.example.test/metrics")
}

var comparison = regexp.MustCompile(`(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"`)

// selects returns what the selector of a series in a recording rule lets through.
func selects(t *testing.T, record, series string) func(labels map[string]string) bool {
	t.Helper()
	for _, r := range rules(t, "rules/recording.yml") {
		for _, s := range selector.FindAllStringSubmatch(r.Expr, -1) {
			if r.Record != record || s[1] != series {
				continue
			}
			return func(labels map[string]string) bool {
				for _, c := range comparison.FindAllStringSubmatch(s[2], -1) {
					fits := labels[c[1]] == c[3]
					if strings.HasSuffix(c[2], "~") {
						fits = regexp.MustCompile(`^(?:` + c[3] + `)$`).MatchString(labels[c[1]])
					}
					if fits == strings.HasPrefix(c[2], "!") {
						return false
					}
				}
				return true
			}
		}
	}
	require.Fail(t, "no such rule", "%s: %s", record, series)
	return nil
}

// testOfRatio writes a test for promtool: if every minute is like what was
// scraped, the failure ratio is want, and somebody is told.
func testOfRatio(t *testing.T, s samples, want float64) string {
	t.Helper()
	type object = map[string]any
	var input []object
	for _, series := range s["bearergate_decisions_total"] {
		labels := []string{`job="api"`}
		for _, name := range slices.Sorted(maps.Keys(series.labels)) {
			labels = append(labels, fmt.Sprintf("%s=%q", name, series.labels[name]))
		}
		input = append(input, object{"series": "bearergate_decisions_total{" + strings.Join(labels, ", ") + "}", "values": fmt.Sprintf("0+%vx20", series.value)})
	}
	require.NotEmpty(t, input)
	var files []string
	for _, name := range []string{"rules/recording.yml", "rules/alerts.yml"} {
		file, err := filepath.Abs(name)
		require.NoError(t, err)
		files = append(files, file)
	}
	text, err := yaml.Marshal(object{"rule_files": files, "evaluation_interval": "1m", "tests": []object{{
		"interval": "1m", "input_series": input,
		"promql_expr_test": []object{{
			"expr": "round(job:bearergate_infrastructure_failures:ratio_rate5m, 0.0001)", "eval_time": "10m",
			"exp_samples": []object{{"labels": `{job="api"}`, "value": want}},
		}},
		"alert_rule_test": []object{{"alertname": "BearergateUnavailable", "eval_time": "12m", "exp_alerts": []object{{
			"exp_labels": object{"severity": "page", "job": "api"},
			"exp_annotations": object{
				"summary":     fmt.Sprintf("api: requests cannot be decided and get 503, %.0f times as many as the objective allows", want/0.001),
				"runbook_url": runbookURL + "bearergateunavailable",
			},
		}}}},
	}}})
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "scraped.yml")
	require.NoError(t, os.WriteFile(file, text, 0o600))
	return file
}
