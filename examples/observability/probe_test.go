package main

import (
	"bytes"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

const probeDoc = "../../docs/command.md"

// probeOnce runs the command as cron does, against an API over TLS that introspects, and
// returns what it has written for the collector. broken puts something around the API.
func probeOnce(t *testing.T, broken func(http.Handler) http.Handler) []byte {
	t.Helper()
	dir := t.TempDir()
	bin, file, ca := filepath.Join(dir, "bearergate"), filepath.Join(dir, "bearergate.prom"), filepath.Join(dir, "ca.pem")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "github.com/bearergate/bearergate/cmd/bearergate").CombinedOutput()
	require.NoError(t, err, "%s", out)

	var as *authtest.Server
	revocation := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { as.Revoke(r.FormValue("token")) }))
	defer revocation.Close()
	as, err = authtest.Start(authtest.WithMetadata(map[string]any{"revocation_endpoint": revocation.URL}))
	require.NoError(t, err)
	defer as.Close()
	client, err := introspect.New(introspect.Config{Issuer: as.Issuer(), Auth: introspect.BasicAuth("api", "secret"), Audiences: []string{authtest.DefaultAudience}, DisableCache: true})
	require.NoError(t, err)
	gate, err := middleware.New(client, middleware.Config{})
	require.NoError(t, err)
	mux := http.NewServeMux()
	fine := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	mux.Handle("/orders", gate.Require(scope.All("orders:read"))(fine))
	mux.Handle("/admin", gate.Require(scope.All("orders:admin"))(fine))
	api := httptest.NewTLSServer(broken(mux))
	defer api.Close()
	require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: api.Certificate().Raw}), 0o600))

	cmd := exec.CommandContext(t.Context(), bin, "probe", "-issuer", as.Issuer(), "-audience", authtest.DefaultAudience,
		"-client-id", "probe", "-client-secret-file", "-", "-scope", "orders:read", "-url", api.URL+"/orders", "-forbidden-url", api.URL+"/admin",
		"-ca", ca, "-revoke", "-poll", "10ms", "-name", "orders", "-prometheus", file)
	cmd.Stdin = strings.NewReader("secret\n")
	_ = cmd.Run() // the metrics say what it has found
	return read(t, file)
}

// What the probe writes is the text format, by the parser of Prometheus and by promtool,
// in a good run and in one that finds something.
func TestProbeMetrics(t *testing.T) {
	for _, tt := range []struct {
		name   string
		broken func(http.Handler) http.Handler
		exit   float64
	}{
		{"a good run", func(next http.Handler) http.Handler { return next }, 0},
		{"a run that finds something", func(http.Handler) http.Handler {
			return http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
		}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := probeOnce(t, tt.broken)
			parser := expfmt.NewTextParser(model.LegacyValidation)
			families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
			require.NoError(t, err)
			require.Equal(t, tt.exit, families["bearergate_probe_exit_code"].GetMetric()[0].GetGauge().GetValue())
			for _, f := range families {
				require.Equal(t, dto.MetricType_GAUGE, f.GetType())
				require.NotEmpty(t, f.GetHelp())
			}
			requireNames(t, families, tt.exit != 0)

			path, err := exec.LookPath("promtool")
			if err != nil {
				if os.Getenv("BEARERGATE_PROMTOOL") == "required" {
					t.Fatal(err)
				}
				t.Skip("the format was not checked: there is no promtool")
			}
			check := exec.CommandContext(t.Context(), path, "check", "metrics")
			check.Stdin = bytes.NewReader(text)
			out, err := check.CombinedOutput()
			require.NoError(t, err, "%s", out)
			require.Empty(t, string(out))
		})
	}
}

// requireNames compares what was written with what the rules and their tests name.
func requireNames(t *testing.T, families map[string]*dto.MetricFamily, found bool) {
	t.Helper()
	labels := map[string][]string{}
	for name, f := range families {
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels[name] = append(labels[name], l.GetName())
		}
	}
	compared := 0
	for _, file := range []string{"rules/probe.yml", "rules/probe_test.yml", probeDoc} {
		for _, name := range regexp.MustCompile(`bearergate_probe_[a-z_]+`).FindAllString(string(read(t, file)), -1) {
			if name == "bearergate_probe_finding" && !found || name == "bearergate_probe_revocation_seconds" && found {
				continue // a good run has none of the first, and one that is broken off none of the second
			}
			require.Contains(t, labels, name, file)
		}
		for _, s := range regexp.MustCompile(`(bearergate_probe_[a-z_]+)\{([^}]*)\}`).FindAllStringSubmatch(string(read(t, file)), -1) {
			for _, m := range matcher.FindAllStringSubmatch(s[2], -1) {
				if labels[s[1]] != nil {
					require.Contains(t, labels[s[1]], m[1], s[0])
					compared++
				}
			}
		}
	}
	require.Greater(t, compared, 5)
}

func TestPromtoolProbe(t *testing.T) {
	promtool(t, "check", "rules", "rules/probe.yml")
	promtool(t, "test", "rules", "rules/probe_test.yml")
}

// Every alert has a heading in the runbook, and is shown to fire and not to fire.
func TestProbeAlerts(t *testing.T) {
	var tests struct {
		Tests []struct {
			AlertRuleTest []struct {
				Alertname string           `yaml:"alertname"`
				ExpAlerts []map[string]any `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		}
	}
	require.NoError(t, yaml.Unmarshal(read(t, "rules/probe_test.yml"), &tests))
	fires, silent := map[string]bool{}, map[string]bool{}
	for _, test := range tests.Tests {
		for _, a := range test.AlertRuleTest {
			fires[a.Alertname] = fires[a.Alertname] || len(a.ExpAlerts) > 0
			silent[a.Alertname] = silent[a.Alertname] || len(a.ExpAlerts) == 0
		}
	}
	headings := regexp.MustCompile(`(?m)^#+ (BearergateProbe\w+)$`).FindAllStringSubmatch(string(read(t, probeDoc)), -1)
	anchors := map[string]bool{}
	for _, h := range headings {
		anchors[anchor(h[1])] = true
	}
	all := rules(t, "rules/probe.yml")
	require.Len(t, headings, len(all))
	for _, a := range all {
		require.True(t, fires[a.Alert] && silent[a.Alert], "no test shows %s firing and not firing", a.Alert)
		require.Contains(t, []string{"page", "ticket"}, a.Labels["severity"])
		target := strings.TrimPrefix(a.Annotations["runbook_url"], "https://github.com/bearergate/bearergate/blob/main/docs/command.md#")
		require.Equal(t, anchor(a.Alert), target)
		require.True(t, anchors[target], a.Alert)
	}
}
