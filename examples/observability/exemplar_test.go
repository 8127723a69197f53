package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/scope"
)

const traceID, spanID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"

// A real Prometheus scrapes the API and finds the trace of a request in its metrics.
func TestPrometheusFindsTheTrace(t *testing.T) {
	path, err := exec.LookPath("prometheus")
	if err != nil {
		if os.Getenv("BEARERGATE_PROMTOOL") == "required" {
			t.Fatal(err)
		}
		t.Skip("there is no prometheus")
	}
	as, err := authtest.Start(authtest.WithClient(clientID, clientSecret))
	require.NoError(t, err)
	t.Cleanup(as.Close)
	a, err := newAPI(as.Issuer(), as.Client())
	require.NoError(t, err)
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := &http.Server{Handler: a.handler, ReadHeaderTimeout: 5 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		_ = server.Close()
		<-served
	})

	ask := func(traceparent string) {
		req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+listener.Addr().String()+"/orders", nil)
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer "+as.Token(authtest.Claims{ClientID: "shop", Scopes: scope.Of("orders:read")}))
		req.Header.Set("Traceparent", traceparent)
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, 200, resp.StatusCode)
	}
	ask("00-" + traceID + "-" + spanID + "-01")
	ask("00-" + strings.Repeat("a", 32) + "-" + strings.Repeat("b", 16) + "-00") // not sampled

	free, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	web := free.Addr().String()
	require.NoError(t, free.Close())
	dir := t.TempDir()
	config := fmt.Sprintf("global: {scrape_interval: 200ms, scrape_timeout: 200ms}\nscrape_configs: [{job_name: api, static_configs: [{targets: [%q]}]}]\n", listener.Addr())
	require.NoError(t, os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte(config), 0o600))
	ctx, stop := context.WithCancel(t.Context())
	var said strings.Builder
	cmd := exec.CommandContext(ctx, path, "--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+web, "--enable-feature=exemplar-storage", "--log.level=warn")
	cmd.Stdout, cmd.Stderr = &said, &said
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		stop()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(said.String())
		}
	})

	for _, metric := range []string{"bearergate_decisions_total", "bearergate_client_decisions_total", "bearergate_decision_duration_seconds_bucket", "bearergate_jwt_verifications_total"} {
		want := map[string]string{"trace_id": traceID, "span_id": spanID}
		require.Eventually(t, func() bool {
			found := exemplarsOf(t.Context(), web, metric)
			return len(found) == 1 && fmt.Sprint(found[0]) == fmt.Sprint(want)
		}, 30*time.Second, 100*time.Millisecond, metric)
	}
}

// exemplarsOf asks a Prometheus for the labels of all exemplars of a metric; none if it does
// not answer, since it may not have begun.
func exemplarsOf(ctx context.Context, web, metric string) []map[string]string {
	query := url.Values{"query": {metric}, "start": {"0"}, "end": {fmt.Sprint(time.Now().Add(time.Hour).Unix())}}
	req, err := http.NewRequestWithContext(ctx, "GET", "http://"+web+"/api/v1/query_exemplars?"+query.Encode(), nil)
	if err != nil {
		return nil
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil
	}
	var answer struct {
		Data []struct {
			Exemplars []struct{ Labels map[string]string }
		}
	}
	if json.Unmarshal(body, &answer) != nil {
		return nil
	}
	var found []map[string]string
	for _, series := range answer.Data {
		for _, e := range series.Exemplars {
			found = append(found, e.Labels)
		}
	}
	return found
}
