package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// nothing says why the traffic of the example leaves a panel, or one query of it, or the
// condition of an alert, without data. What is not in here must have some.
var nothing = map[string]string{
	"Passed only because of report-only":                           "no gate of the example only reports",
	"Keys B":                                                       "the server has no key that is not admitted",
	"What should never happen A":                                   "nothing panics",
	"What should never happen B":                                   "there is no shared store",
	"Proofs of DPoP keys":                                          "no token is bound",
	"Nonces of proofs":                                             "no token is bound",
	"Store of used proofs":                                         "no token is bound",
	"Revocations: how far behind A":                                "there is no list of revocations",
	"Revocations: how far behind B":                                "there is no list of revocations",
	"Recent revocations":                                           "there is no list of revocations",
	"Revocations: what is held A":                                  "there is no list of revocations",
	"Revocations: what is held B":                                  "there is no list of revocations",
	"Revocations: tokens refused A":                                "there is no list of revocations",
	"Revocations: tokens refused B":                                "there is no list of revocations",
	"Logouts and security events that were not taken A":            "nobody logs out by the provider",
	"Logouts and security events that were not taken B":            "no transmitter sends events",
	"Security events that revoke nothing, and streams that stop A": "no transmitter sends events",
	"Security events that revoke nothing, and streams that stop B": "no transmitter sends events",
	"Requests that their token ended":                              "no request is that long",
	"Requests whose client has no name here":                       "the example has fewer clients than MaxClients",
	"Certificate of the issuer: time left":                         "the server of the example has none",
	"Keys that come too late or go too early, tokens in a query A": "no key is new",
	"Keys that come too late or go too early, tokens in a query B": "no key goes",
	"Keys that come too late or go too early, tokens in a query C": "the traffic has none",
	"Tokens in many networks":                                      "no sightings.Watch runs here",
	"What the signal of stolen tokens does not see A":              "no sightings.Watch runs here",
	"What the signal of stolen tokens does not see B":              "no sightings.Watch runs here",
	"BearergateCertificateExpiring":                                "the server of the example has no certificate",
	"BearergateCertificateExpiresSoon":                             "the server of the example has no certificate",
	"BearergateClockSkew":                                          "all clocks are that of this machine",
	"BearergateTokensLarge":                                        "the tokens are short",
	"BearergateKeyUsedEarly":                                       "no key is new",
	"BearergateKeyRemoved":                                         "no key goes",
	"BearergateTokenInQuery":                                       "the traffic has none",
	"BearergateUnaskedScopes":                                      "the routes ask for all scopes of the traffic",
	"BearergateMisconfigured":                                      "nothing is wrong with the configuration",
	"BearergateRevocationLag":                                      "there is no list of revocations",
	"BearergateInvalidTokenBurst":                                  "of 24 requests 4 bring an invalid token, which is less than a fifth",
	"BearergateKeysSkipped":                                        "the server has no key that is not admitted",
	"BearergateIntrospectionSlow":                                  "the server is on this machine",
	"BearergateLogoutsFail":                                        "nobody logs out by the provider",
	"BearergateProofsReplayed":                                     "no token is bound",
	"BearergateTokensInManyNetworks":                               "no sightings.Watch runs here, and nobody steals a token",
}

// either are those that may have data or not: it depends on how busy this machine is.
var either = map[string]bool{"BearergateIntrospectionSlow": true}

// A real Prometheus watches the example with an outage, and answers every query of the
// dashboard and of the rules, with data where the traffic causes some.
func TestPrometheus(t *testing.T) {
	program := tool(t, "prometheus")
	queries := map[string]string{} // by panel and target, record or alert
	for _, p := range dashboard(t) {
		for _, target := range p.Targets {
			name := p.Title
			if len(p.Targets) > 1 {
				name += " " + target.RefID
			}
			if !p.logs() {
				require.NotContains(t, queries, name+"\x00"+p.Type)
				queries[name+"\x00"+p.Type] = strings.NewReplacer("$__rate_interval", "1m", "$job", "orders-api").Replace(target.Expr)
			}
		}
	}
	for _, r := range append(rules(t, "rules/recording.yml"), rules(t, "rules/alerts.yml")...) {
		name := r.Record + r.Alert
		if r.Record != "" {
			queries[name+"\x00recorded"] = r.Record
		}
		queries[name+"\x00rule"] = r.Expr
	}
	unused := maps.Clone(nothing)
	for name := range queries {
		delete(unused, strings.SplitN(name, "\x00", 2)[0])
	}
	require.Empty(t, unused, "no such panel or alert")

	prometheus := startPrometheus(t, program, startExample(t, settings{
		duration: time.Hour, rate: 25, listen: "127.0.0.1:0",
		outageAt: 12 * time.Second, outageFor: time.Hour, // before it, a token or two are revoked and refused
	}))
	silent := maps.Clone(queries)
	poll(t, 3*time.Minute, func() bool {
		missing := 0
		for name, query := range silent {
			if ask(t, prometheus, query) > 0 {
				delete(silent, name)
			} else if nothing[strings.SplitN(name, "\x00", 2)[0]] == "" {
				missing++
			}
		}
		return missing == 0
	}, func() string {
		var lines []string
		for name := range silent {
			if title, _, _ := strings.Cut(name, "\x00"); nothing[title] == "" {
				lines = append(lines, strings.ReplaceAll(name, "\x00", ", ")+": "+queries[name])
			}
		}
		slices.Sort(lines)
		return "without data:\n" + strings.Join(lines, "\n")
	})
	for name := range queries {
		if title, _, _ := strings.Cut(name, "\x00"); nothing[title] != "" && !either[title] {
			_, ok := silent[name]
			require.True(t, ok, "%s: there is data, although %s", title, nothing[title])
		}
	}
}

// ask returns how many series the answer has.
func ask(t *testing.T, prometheus, query string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, prometheus+"/api/v1/query?query="+url.QueryEscape(query), nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	var answer struct {
		Status, Error string
		Data          struct {
			Result []struct{ Value []any }
		}
	}
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&answer), query)
	require.Equal(t, "success", answer.Status, "%s: %s", query, answer.Error)
	series := 0
	for _, r := range answer.Data.Result {
		require.Len(t, r.Value, 2)
		if r.Value[1] != "NaN" { // zero divided by zero shows nothing
			series++
		}
	}
	return series
}

// startExample runs the program until the test ends, and returns where its API is.
func startExample(t *testing.T, s settings) string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	printed, out := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, out, s)
		_ = out.CloseWithError(err)
		ended <- err
	}()
	lines := bufio.NewReader(printed)
	first, err := lines.ReadString('\n')
	require.NoError(t, err)
	go func() { _, _ = io.Copy(io.Discard, lines) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
	})
	_, at, ok := strings.Cut(strings.Fields(first)[4], "http://")
	require.True(t, ok, first)
	return at
}

// startPrometheus returns the URL of one that scrapes the API, with the rules of the
// example, until the test ends.
func startPrometheus(t *testing.T, program, api string) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "rules"), 0o700))
	for _, file := range []string{"prometheus.yml", "rules/recording.yml", "rules/alerts.yml"} {
		text := strings.NewReplacer("127.0.0.1:8080", api, "interval: 5m", "interval: 2s").Replace(string(read(t, file)))
		require.NoError(t, os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600))
	}
	return start(t, program, "--config.file="+filepath.Join(dir, "prometheus.yml"),
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address=127.0.0.1:0").listensAt(t, "/-/ready")
}
