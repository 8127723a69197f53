package main

import (
	"cmp"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/bearergate/bearergate"
	promgate "github.com/bearergate/bearergate/adapters/prometheus"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/middleware/labels"
	"github.com/bearergate/bearergate/revocation/backchannel"
	"github.com/bearergate/bearergate/revocation/signals"
)

const (
	doc        = "../../docs/observability.md"
	runbookURL = "https://github.com/bearergate/bearergate/blob/main/docs/observability.md#"
)

type rule struct {
	Record, Alert, Expr, For string
	Labels, Annotations      map[string]string
}

func rules(t *testing.T, file string) []rule {
	t.Helper()
	var parsed struct {
		Groups []struct {
			Name  string
			Rules []rule
		}
	}
	require.NoError(t, yaml.Unmarshal(read(t, file), &parsed))
	var all []rule
	for _, g := range parsed.Groups {
		all = append(all, g.Rules...)
	}
	require.NotEmpty(t, all, file)
	return all
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	return text
}

// panel is one of the dashboard. A row that is closed has its panels in itself.
type panel struct {
	ID          int
	Type        string
	Title       string
	Description string
	GridPos     struct{ H, W, X, Y int }
	Datasource  struct{ Type, UID string }
	FieldConfig struct {
		Defaults struct{ Unit string }
	}
	Targets []struct{ RefID, Expr, LegendFormat string }
	Panels  []panel
}

// logs reports that p asks for log records, and not for metrics.
func (p panel) logs() bool { return p.Datasource.Type == "loki" }

// dashboard returns all rows and panels, from top to bottom.
func dashboard(t *testing.T) []panel {
	t.Helper()
	var d struct{ Panels []panel }
	require.NoError(t, json.Unmarshal(read(t, "grafana.json"), &d))
	require.NotEmpty(t, d.Panels)
	var all []panel
	for _, p := range d.Panels {
		all = append(append(all, p), p.Panels...)
	}
	return all
}

// expressions are all of the rules and of the dashboard.
func expressions(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, r := range append(rules(t, "rules/recording.yml"), rules(t, "rules/alerts.yml")...) {
		all = append(all, r.Expr)
	}
	for _, p := range dashboard(t) {
		for _, target := range p.Targets {
			if !p.logs() {
				all = append(all, target.Expr)
			}
		}
	}
	return all
}

// describer is a registerer that only asks what there will be.
type describer struct {
	prometheus.Registerer
	labels map[string][]string // of every metric
}

var descText = regexp.MustCompile(`fqName: "([^"]+)".*variableLabels: \{([^}]*)\}`)

func (d describer) Register(c prometheus.Collector) error {
	descs := make(chan *prometheus.Desc)
	go func() {
		c.Describe(descs)
		close(descs)
	}()
	for desc := range descs {
		m := descText.FindStringSubmatch(desc.String())
		d.labels[m[1]] = strings.Split(m[2], ",")
	}
	return nil
}

// metrics are the names of all that newAPI exports, with their labels.
func metrics(t *testing.T) map[string][]string {
	t.Helper()
	d := describer{labels: map[string][]string{}}
	_, err := promgate.New(promgate.Config{Registerer: d, MaxClients: maxClients, MaxTenants: maxTenants})
	require.NoError(t, err)
	require.NoError(t, d.Register(newRevocationSLI()))
	require.NoError(t, d.Register(newUp()))
	require.Contains(t, d.labels, "bearergate_decisions_total")
	return d.labels
}

// base is the metric of a series.
func base(metrics map[string][]string, series string) string {
	for _, suffix := range []string{"", "_bucket", "_sum", "_count"} {
		if name := strings.TrimSuffix(series, suffix); metrics[name] != nil {
			return name
		}
	}
	return ""
}

var (
	word         = regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*`)
	recordedName = regexp.MustCompile(`^job(_issuer|_outcome)?(_client)?:.`)
	selector     = regexp.MustCompile(`([a-zA-Z_:][a-zA-Z0-9_:]*)\{([^}]*)\}`)
	matcher      = regexp.MustCompile(`(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"`)
)

// Whatever is named exists: a rule of a name that nobody exports is silent for ever.
func TestNames(t *testing.T) {
	metrics := metrics(t)
	recorded := map[string]bool{}
	for _, r := range rules(t, "rules/recording.yml") {
		require.False(t, recorded[r.Record], r.Record)
		recorded[r.Record] = true
	}
	used := map[string]bool{}
	for _, file := range []string{"rules/recording.yml", "rules/alerts.yml", "rules/test.yml", "rules/test_days.yml", "grafana.json", "run.sh", doc} {
		found := 0
		for _, name := range word.FindAllString(string(read(t, file)), -1) {
			ours := strings.HasPrefix(name, "bearergate_") || strings.HasPrefix(name, "example_")
			if !ours && !recordedName.MatchString(name) {
				continue
			}
			found++
			require.True(t, recorded[name] || base(metrics, name) != "", "%s: %s is neither exported nor recorded", file, name)
			if file == "grafana.json" || file == "rules/alerts.yml" {
				used[name] = true
			}
		}
		require.Positive(t, found, file)
	}
	for _, r := range rules(t, "rules/recording.yml") {
		for _, name := range word.FindAllString(r.Expr, -1) {
			used[name] = used[name] || name != r.Record
		}
	}
	for name := range recorded {
		require.True(t, used[name], "%s is recorded, and neither in the dashboard nor in a rule", name)
	}
}

// So do the labels, and the values that they are compared with.
func TestLabels(t *testing.T) {
	metrics := metrics(t)
	outcomes := []string{"accepted", "refused", "unavailable", "misconfigured", "canceled"}
	reasons := words(bearergate.ReasonNoToken, bearergate.ReasonBadRequest, bearergate.ReasonScope, bearergate.ReasonAuthentication,
		bearergate.ReasonNonce, bearergate.ReasonRole, bearergate.ReasonTenant, bearergate.ReasonActor, bearergate.ReasonReplay)
	values := map[string][]string{ // by label, or metric and label
		"outcome": outcomes,
		"reason":  reasons,
		"bearergate_introspection_calls_total outcome":           words(introspect.OutcomeActive, introspect.OutcomeInactive),
		"bearergate_jwks_fetches_total outcome":                  words(jwks.OutcomeOK, jwks.OutcomeNotModified),
		"bearergate_introspection_call_duration_seconds outcome": words(introspect.OutcomeActive, introspect.OutcomeInactive),
		"bearergate_introspection_breaker_state state":           words(introspect.BreakerClosed, introspect.BreakerOpen, introspect.BreakerHalfOpen),
		"bearergate_jwks_state state":                            words(jwks.StateEmpty, jwks.StateFresh, jwks.StateAhead, jwks.StateDue, jwks.StateStale, jwks.StateExpired),
		"bearergate_revocation_logouts_total reason": words(bearergate.ReasonKeysUnavailable, bearergate.ReasonStoreUnavailable, bearergate.ReasonOverloaded, bearergate.ReasonCanceled,
			bearergate.ReasonInternal, bearergate.ReasonConfig, bearergate.ReasonAudience, bearergate.ReasonExpired, bearergate.ReasonNotYetValid),
		"bearergate_revocation_signals_total reason": words(bearergate.ReasonKeysUnavailable, bearergate.ReasonIntrospectionUnavailable, bearergate.ReasonStoreUnavailable, bearergate.ReasonOverloaded,
			bearergate.ReasonCanceled, bearergate.ReasonInternal, bearergate.ReasonConfig, bearergate.ReasonAudience, bearergate.ReasonExpired, bearergate.ReasonNotYetValid),
		"bearergate_revocation_logouts_total outcome": words(backchannel.Refused, backchannel.Failed),
		"bearergate_revocation_signals_total outcome": words(signals.Refused, signals.Failed),
		"bearergate_revocation_syncs_total outcome":   {"ok", "failed"},
		"bearergate_sightings_requests_total result":  {"counted", "without_id", "without_address"},
		"report_only": {"true", "false"},
		"client":      {"", labels.Other}, // the others are of the clients' choice
		"tenant":      {"", labels.Other},
		"principal":   {labels.User, labels.Client, labels.Unknown},
		"endpoint":    {"keys", "introspection"},
	}
	compared := 0
	for _, expr := range expressions(t) {
		for _, s := range selector.FindAllStringSubmatch(expr, -1) {
			metric := base(metrics, s[1])
			for _, m := range matcher.FindAllStringSubmatch(s[2], -1) {
				label := m[1]
				if m[2] == "$job" || s[1] == "ALERTS" {
					continue
				}
				if metric != "" {
					require.Contains(t, metrics[metric], label, expr)
				}
				known := values[metric+" "+label]
				if known == nil {
					known = values[label]
				}
				require.NotNil(t, known, "%s: %s", expr, label)
				require.Subset(t, known, strings.Split(m[2], "|"), "%s: %s", expr, label)
				compared++
			}
		}
	}
	require.Greater(t, compared, 10)

	// The series of the tests are like those that are exported.
	series := 0
	for _, s := range regexp.MustCompile(`series: (\w+)\{([^}]*)\}`).FindAllStringSubmatch(string(read(t, "rules/test.yml"))+string(read(t, "rules/test_days.yml")), -1) {
		allowed := append([]string{"job", "instance", "le"}, metrics[base(metrics, s[1])]...)
		for _, m := range matcher.FindAllStringSubmatch(s[2], -1) {
			require.Contains(t, allowed, m[1], s[0])
			series++
		}
	}
	require.Positive(t, series)
}

func words[T ~string](values ...T) []string {
	var out []string
	for _, v := range values {
		out = append(out, string(v))
	}
	return out
}

// Every alert says how bad it is and where its runbook is, the runbook is there,
// and the tests of the rules show it firing and not firing.
func TestAlerts(t *testing.T) {
	anchors := map[string]bool{}
	var runbook []string // its headings
	for line := range strings.Lines(string(read(t, doc))) {
		if heading, ok := strings.CutPrefix(line, "#"); ok {
			heading = strings.TrimSpace(strings.TrimLeft(heading, "#"))
			anchors[anchor(heading)] = true
			if strings.HasPrefix(heading, "Bearergate") {
				runbook = append(runbook, heading)
			}
		}
	}
	fires, silent := map[string]bool{}, map[string]bool{}
	for _, file := range []string{"rules/test.yml", "rules/test_days.yml"} {
		var tests struct {
			Tests []struct {
				AlertRuleTest []struct {
					Alertname string           `yaml:"alertname"`
					ExpAlerts []map[string]any `yaml:"exp_alerts"`
				} `yaml:"alert_rule_test"`
			}
		}
		require.NoError(t, yaml.Unmarshal(read(t, file), &tests))
		require.NotEmpty(t, tests.Tests, file)
		for _, test := range tests.Tests {
			for _, a := range test.AlertRuleTest {
				if len(a.ExpAlerts) > 0 {
					fires[a.Alertname] = true
				} else {
					silent[a.Alertname] = true
				}
			}
		}
	}
	var names []string
	severity := map[string]string{}
	for _, a := range rules(t, "rules/alerts.yml") {
		names = append(names, a.Alert)
		severity[a.Alert] = a.Labels["severity"] // "page" sorts before "ticket"
		require.Contains(t, []string{"page", "ticket"}, a.Labels["severity"], a.Alert)
		require.NotEmpty(t, a.Annotations["summary"], a.Alert)
		target, ok := strings.CutPrefix(a.Annotations["runbook_url"], runbookURL)
		require.True(t, ok, a.Alert)
		require.Equal(t, anchor(a.Alert), target, a.Alert)
		require.True(t, anchors[target], "%s: no heading for #%s", a.Alert, target)
		require.True(t, fires[a.Alert], "no test shows %s firing", a.Alert)
		require.True(t, silent[a.Alert], "no test shows %s not firing", a.Alert)
	}
	require.ElementsMatch(t, names, runbook, "the alerts, and the headings of the runbook")
	require.True(t, slices.IsSortedFunc(runbook, func(a, b string) int { return cmp.Compare(severity[a], severity[b]) }), "pages come first: %v", runbook)
	for _, link := range regexp.MustCompile(regexp.QuoteMeta(runbookURL)+`([\w-]+)`).FindAllStringSubmatch(string(read(t, "grafana.json")), -1) {
		require.True(t, anchors[link[1]], link[0])
	}
	for _, link := range regexp.MustCompile(`\]\(#([\w-]+)\)`).FindAllStringSubmatch(string(read(t, doc)), -1) {
		require.True(t, anchors[link[1]], link[0])
	}
}

// anchor is what a heading is linked by.
func anchor(heading string) string {
	heading = strings.ReplaceAll(strings.ToLower(heading), " ", "-")
	return regexp.MustCompile(`[^a-z0-9_-]`).ReplaceAllString(heading, "")
}

func TestAnchor(t *testing.T) {
	require.Equal(t, "what-is-it-slow-or-not", anchor("What is it: `slow`, or not?"))
}

// Each panel has a place of its own, says what it shows, and in which unit.
func TestDashboard(t *testing.T) {
	ids, rows := map[int]bool{}, []string{}
	type cell struct{ x, y int }
	taken := map[cell]string{}
	for _, p := range dashboard(t) {
		require.Positive(t, p.ID, p.Title)
		require.False(t, ids[p.ID], "%d: %s", p.ID, p.Title)
		ids[p.ID] = true
		if p.Type == "row" {
			rows = append(rows, strings.SplitN(p.Title, ":", 2)[0])
			require.Empty(t, p.Targets, p.Title)
		} else {
			require.NotEmpty(t, p.Targets, p.Title)
			require.NotEmpty(t, p.Description, p.Title)
			require.True(t, strings.HasSuffix(p.Description, ".") || strings.HasSuffix(p.Description, ")"), "%s: %s", p.Title, p.Description)
			require.Contains(t, []string{"${datasource}", "${logs}"}, p.Datasource.UID, p.Title)
			require.Equal(t, p.logs(), p.FieldConfig.Defaults.Unit == "", "%s: its unit", p.Title)
		}
		require.Positive(t, p.GridPos.W*p.GridPos.H, p.Title)
		require.LessOrEqual(t, p.GridPos.X+p.GridPos.W, 24, p.Title)
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				at := cell{p.GridPos.X + x, p.GridPos.Y + y}
				require.Empty(t, taken[at], p.Title)
				taken[at] = p.Title
			}
		}
		refs := map[string]bool{}
		for _, target := range p.Targets {
			require.Contains(t, target.Expr, `job=~"$job"`, p.Title)
			require.False(t, refs[target.RefID], "%s: two targets are %s", p.Title, target.RefID)
			refs[target.RefID] = true
			require.Equal(t, p.logs(), target.LegendFormat == "", "%s: a name for each curve", p.Title)
		}
	}
	require.Equal(t, []string{"Executive", "On-call", "Debug", "Clients", "Early warnings", "Log"}, rows)
}

// promtool runs it, or skips the test: on Debian it is in the package prometheus.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv("BEARERGATE_PROMTOOL") == "required" {
			t.Fatal(err)
		}
		t.Skip("the rules were not tested: there is no promtool")
	}
	out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	t.Logf("%s", out)
}

func TestPromtoolRules(t *testing.T) {
	promtool(t, "check", "rules", "rules/recording.yml", "rules/alerts.yml")
}
func TestPromtoolConfig(t *testing.T) { promtool(t, "check", "config", "prometheus.yml") }
func TestPromtoolTests(t *testing.T) {
	promtool(t, "test", "rules", "rules/test.yml", "rules/test_days.yml")
}

// What the dashboard asks is PromQL.
func TestPromtoolDashboard(t *testing.T) {
	type group struct {
		Name  string              `yaml:"name"`
		Rules []map[string]string `yaml:"rules"`
	}
	g := group{Name: "dashboard"}
	for _, p := range dashboard(t) {
		for i, target := range p.Targets {
			if p.logs() {
				continue
			}
			g.Rules = append(g.Rules, map[string]string{
				"record": "panel:" + strings.Repeat("x", p.ID) + ":" + strings.Repeat("x", i+1), // all different
				"expr":   strings.NewReplacer("$__rate_interval", "1m").Replace(target.Expr),
			})
		}
	}
	require.False(t, slices.ContainsFunc(g.Rules, func(r map[string]string) bool { return strings.Contains(r["expr"], "$__") }))
	text, err := yaml.Marshal(map[string][]group{"groups": {g}})
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "dashboard.yml")
	require.NoError(t, os.WriteFile(file, text, 0o600))
	promtool(t, "check", "rules", file)
}
