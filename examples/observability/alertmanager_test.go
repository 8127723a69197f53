package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// tool returns the path of a program, or skips the test: on Debian they are in the
// packages prometheus and prometheus-alertmanager.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("BEARERGATE_PROMTOOL") == "required" {
			t.Fatal(err)
		}
		t.Skipf("not tested: there is no %s", name)
	}
	return path
}

func amtool(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), tool(t, "amtool"), args...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return string(out)
}

func TestAlertmanagerConfig(t *testing.T) {
	require.Contains(t, amtool(t, "check-config", "alertmanager.yml"), "SUCCESS")
}

// Each alert goes where its severity says, and every alert that is named exists.
func TestAlertmanagerRoutes(t *testing.T) {
	names := map[string]bool{}
	for _, a := range rules(t, "rules/alerts.yml") {
		names[a.Alert] = true
		amtool(t, "config", "routes", "test", "--config.file=alertmanager.yml", "--verify.receivers="+a.Labels["severity"],
			"alertname="+a.Alert, "severity="+a.Labels["severity"], "job=orders-api")
	}
	amtool(t, "config", "routes", "test", "--config.file=alertmanager.yml", "--verify.receivers=ticket", "alertname=Other")
	for _, file := range []string{"alertmanager.yml", doc} {
		found := regexp.MustCompile(`\bBearergate[A-Z]\w*`).FindAllString(string(read(t, file)), -1)
		require.NotEmpty(t, found, file)
		for _, name := range found {
			require.True(t, names[name], "%s: %s is no alert", file, name)
		}
	}
	// A recipient that exists would be told by whoever copies this and forgets it.
	for _, url := range regexp.MustCompile(`url: "?([^"},\s]+)`).FindAllStringSubmatch(string(read(t, "alertmanager.yml")), -1) {
		require.True(t, strings.HasPrefix(url[1], "http://127.0.0.1:"), url[1])
	}
}

// A real Alertmanager is sent what an outage of the authorization server brings, and
// tells each person once.
func TestAlertmanager(t *testing.T) {
	outage := []alertLabels{
		{"alertname": "BearergateUnavailable", "severity": "page", "job": "orders-api"},
		{"alertname": "BearergateKeysStale", "severity": "page", "job": "orders-api", "issuer": "as"},
		{"alertname": "BearergateErrorBudgetBurn", "severity": "ticket", "job": "orders-api"},
		{"alertname": "BearergateBreakerOpen", "severity": "ticket", "job": "orders-api", "issuer": "as"},
		{"alertname": "BearergateIntrospectionSlow", "severity": "ticket", "job": "orders-api", "issuer": "as"},
		// What does not follow from it.
		{"alertname": "BearergateRevocationLag", "severity": "page", "job": "orders-api"},
		{"alertname": "BearergateLogoutsFail", "severity": "ticket", "job": "orders-api", "issuer": "as"},
		// Another service, whose keys are stale although nobody notices yet.
		{"alertname": "BearergateKeysStale", "severity": "page", "job": "billing", "issuer": "as"},
		{"alertname": "BearergateBreakerOpen", "severity": "ticket", "job": "billing", "issuer": "as"},
		{"alertname": "BearergateBreakerOpen", "severity": "ticket", "job": "billing", "issuer": "partner"},
		// And a certificate of each issuer.
		{"alertname": "BearergateCertificateExpiring", "severity": "page", "job": "reports", "issuer": "as"},
		{"alertname": "BearergateCertificateExpiresSoon", "severity": "ticket", "job": "reports", "issuer": "as"},
		{"alertname": "BearergateCertificateExpiresSoon", "severity": "ticket", "job": "reports", "issuer": "partner"},
	}
	for _, tc := range []struct {
		name        string
		maintenance bool
		silence     []string // arguments of amtool silence add
		want        []string // the notifications: to whom, and which alerts
	}{
		{name: "an outage", want: []string{
			"page: BearergateCertificateExpiring reports as",
			"page: BearergateKeysStale billing as",
			"page: BearergateRevocationLag orders-api",
			"page: BearergateUnavailable orders-api",
			"ticket: BearergateBreakerOpen billing partner",
			"ticket: BearergateCertificateExpiresSoon reports partner",
			"ticket: BearergateLogoutsFail orders-api as",
		}},
		// What is muted still holds back what follows from it.
		{name: "a maintenance that is planned", maintenance: true, want: []string{
			"page: BearergateCertificateExpiring reports as",
			"page: BearergateRevocationLag orders-api",
			"ticket: BearergateCertificateExpiresSoon reports partner",
			"ticket: BearergateLogoutsFail orders-api as",
		}},
		{name: "one that is not", silence: []string{`alertname=~"BearergateUnavailable|BearergateKeysStale"`, `job="orders-api"`}, want: []string{
			"page: BearergateCertificateExpiring reports as",
			"page: BearergateKeysStale billing as",
			"page: BearergateRevocationLag orders-api",
			"ticket: BearergateBreakerOpen billing partner",
			"ticket: BearergateCertificateExpiresSoon reports partner",
			"ticket: BearergateLogoutsFail orders-api as",
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			told := &receiver{notified: make(chan string, 100)}
			receivers := httptest.NewServer(told)
			t.Cleanup(receivers.Close)
			url := startAlertmanager(t, alertmanagerConfig(t, receivers.URL, tc.maintenance))
			if tc.silence != nil {
				amtool(t, append([]string{"silence", "add", "--alertmanager.url=" + url, "--author=on-call", "--comment=the server moves", "--duration=2h"}, tc.silence...)...)
			}
			post(t, url, outage)
			var got []string
			for range tc.want {
				got = append(got, told.next(t))
			}
			// What was held back would have come before one that was sent later.
			post(t, url, []alertLabels{{"alertname": "BearergateKeysSkipped", "severity": "ticket", "job": "last", "issuer": "as"}})
			last := told.next(t)
			slices.Sort(got)
			require.Equal(t, tc.want, got)
			require.Equal(t, "ticket: BearergateKeysSkipped last as", last)
		})
	}
}

type alertLabels map[string]string

// receiver is told what Alertmanager has to say.
type receiver struct{ notified chan string }

func (r *receiver) ServeHTTP(_ http.ResponseWriter, req *http.Request) {
	var n struct {
		Alerts []struct{ Labels alertLabels }
	}
	text, err := io.ReadAll(req.Body)
	if err == nil {
		err = json.Unmarshal(text, &n)
	}
	if err != nil {
		r.notified <- err.Error()
		return
	}
	var alerts []string
	for _, a := range n.Alerts {
		alerts = append(alerts, strings.TrimSpace(a.Labels["alertname"]+" "+a.Labels["job"]+" "+a.Labels["issuer"]))
	}
	slices.Sort(alerts)
	r.notified <- strings.TrimPrefix(req.URL.Path, "/") + ": " + strings.Join(alerts, ", ")
}

func (r *receiver) next(t *testing.T) string {
	t.Helper()
	select {
	case n := <-r.notified:
		return n
	case <-time.After(time.Minute):
		require.Fail(t, "nobody was told")
		return ""
	}
}

// alertmanagerConfig is the example with receivers of the test and with waits of
// seconds. The maintenance is always, or never, whatever the day.
func alertmanagerConfig(t *testing.T, receivers string, maintenance bool) string {
	t.Helper()
	var config map[string]any
	text := strings.ReplaceAll(string(read(t, "alertmanager.yml")), "http://127.0.0.1:9095", receivers)
	require.NoError(t, yaml.Unmarshal([]byte(text), &config))
	hurry(config["route"])
	interval := map[string]any{}
	if !maintenance {
		interval["years"] = []string{"1999"}
	}
	windows, ok := config["time_intervals"].([]any)
	require.True(t, ok)
	require.Len(t, windows, 1)
	window, ok := windows[0].(map[string]any)
	require.True(t, ok)
	window["time_intervals"] = []any{interval}
	out, err := yaml.Marshal(config)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "alertmanager.yml")
	require.NoError(t, os.WriteFile(file, out, 0o600))
	return file
}

// hurry has a route and those below it wait two seconds, in which all that was sent at
// once has arrived.
func hurry(route any) {
	switch r := route.(type) {
	case map[string]any:
		if r["group_wait"] != nil {
			r["group_wait"] = "2s"
		}
		hurry(r["routes"])
	case []any:
		for _, child := range r {
			hurry(child)
		}
	}
}

// startAlertmanager returns the URL of a process that ends with the test.
func startAlertmanager(t *testing.T, config string) string {
	t.Helper()
	out := start(t, tool(t, "prometheus-alertmanager"), "--config.file="+config, "--storage.path="+t.TempDir(),
		"--web.listen-address=127.0.0.1:0", "--cluster.listen-address=")
	return out.listensAt(t, "/-/ready")
}

func post(t *testing.T, url string, alerts []alertLabels) {
	t.Helper()
	var body []map[string]any
	for _, a := range alerts {
		body = append(body, map[string]any{"labels": a})
	}
	text, err := json.Marshal(body)
	require.NoError(t, err)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/api/v2/alerts", bytes.NewReader(text))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode)
}
