package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/introspect"
)

// direct calls a handler, without a network.
type direct struct{ h http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	server := httptest.NewRequestWithContext(r.Context(), r.Method, r.URL.String(), nil)
	server.Header = r.Header.Clone()
	w := httptest.NewRecorder()
	d.h.ServeHTTP(w, server)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return w.Result(), nil
}

// A minute with an outage in its middle, on a fake clock.
func TestPlay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as, stranger := authtest.New(t, authtest.WithClient(clientID, clientSecret)), authtest.New(t)
		a, err := newAPI(as.Issuer(), as.Client())
		require.NoError(t, err)
		require.NoError(t, a.warm(t.Context()))
		client := &http.Client{Transport: direct{a.handler}}
		tr := newTraffic("http://api.example.test", client, as, stranger, a.revocation)
		var out bytes.Buffer
		began := time.Now()
		play(t.Context(), &out, settings{duration: time.Minute, outageAt: 20 * time.Second, outageFor: 20 * time.Second, rate: 25}, tr)
		require.Equal(t, time.Minute, time.Since(began))
		require.NoError(t, tr.report(&out))
		require.Equal(t, []string{"The authorization server is down for 20s.", "It is back."}, strings.Split(out.String(), "\n")[:2])

		// Every kind was answered as it can be, some in both ways.
		for _, k := range tr.kinds {
			for _, status := range k.right {
				require.Positive(t, tr.answers[answered{k.name, status}], "%s: %d", k.name, status)
			}
		}
		require.NotEmpty(t, tr.revocations)
		for _, took := range tr.revocations {
			require.LessOrEqual(t, took, positiveTTL+probeInterval+introspect.DefaultTimeout) // the last answer may take long
		}

		s := scrape(t, client, "http://api.example.test/metrics")
		for _, want := range []struct {
			outcome string
			reason  bearergate.Reason
		}{
			{"accepted", ""},
			{"refused", bearergate.ReasonExpired},
			{"refused", bearergate.ReasonSignature},
			{"refused", bearergate.ReasonUnknownKey},
			{"refused", bearergate.ReasonScope},
			{"refused", bearergate.ReasonNoToken},
			{"refused", bearergate.ReasonInactive},
			{"unavailable", bearergate.ReasonKeysUnavailable},
			{"unavailable", bearergate.ReasonIntrospectionUnavailable},
		} {
			require.Positive(t, s.sum("bearergate_decisions_total", "outcome", want.outcome, "reason", string(want.reason)), "%v", want)
		}
		for _, want := range []struct{ client, principal, reason string }{
			{"shop", "user", ""}, {"shop", "user", "scope"}, {"mobile", "user", ""}, {"nightly-report", "client", "expired"},
		} {
			require.Positive(t, s.sum("bearergate_client_decisions_total", "issuer", as.Issuer(), "client", want.client, "principal", want.principal, "reason", want.reason), "%v", want)
		}
		require.Zero(t, s.sum("bearergate_client_decisions_total", "reason", "signature"), "nobody's")
		require.Positive(t, s.sum("bearergate_tenant_decisions_total", "tenant", "acme", "outcome", "accepted"))
		require.Positive(t, s.sum("bearergate_tenant_decisions_total", "tenant", "globex", "outcome", "accepted"))
		require.Zero(t, s.sum("bearergate_decisions_total", "outcome", "misconfigured"))
		require.Zero(t, s.sum("bearergate_panics_total"))
		require.Positive(t, s.sum("bearergate_jwt_verifications_total", "cached", "true", "outcome", "accepted"))
		require.Positive(t, s.sum("bearergate_introspections_total", "result", "hit", "outcome", "accepted"))
		require.Positive(t, s.sum("bearergate_jwks_stale_answers_total"))
		require.Positive(t, s.sum("bearergate_introspection_breaker_changes_total", "state", "open"))
		require.EqualValues(t, len(tr.revocations), s.sum("example_revocation_to_refusal_seconds"))
		// What warns early has nothing to say, and was looked at.
		require.Positive(t, s.sum("bearergate_token_size_bytes", "verifier", "jwt"))
		require.Positive(t, s.sum("bearergate_token_lifetime_seconds", "verifier", "introspection"))
		require.Len(t, s["bearergate_issuer_clock_skew_seconds"], 2)
		require.Len(t, s["bearergate_unasked_scopes"], 1)
		for _, metric := range []string{"bearergate_unasked_scopes", "bearergate_jwks_early_keys_total", "bearergate_jwt_removed_key_refusals_total", "bearergate_query_tokens_total"} {
			require.Zero(t, s.sum(metric), metric)
		}
		// All is well again.
		require.EqualValues(t, 1, s.sum("bearergate_introspection_breaker_state", "state", "closed"))
		require.Zero(t, s.sum("bearergate_jwks_consecutive_failures"))
		require.Zero(t, s.sum("bearergate_jwks_state", "state", "stale"))
		require.EqualValues(t, 1, s.sum("bearergate_jwks_keys"))
	})
}

// A revocation that an outage hides is not measured: the token opened nothing.
func TestRevocationInAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as := authtest.New(t)
		as.Fail(authtest.Fault{Drop: true})
		a, err := newAPI(as.Issuer(), as.Client())
		require.NoError(t, err)
		tr := newTraffic("http://api.example.test", &http.Client{Transport: direct{a.handler}}, as, as, a.revocation)
		for range 3 {
			require.True(t, tr.revokeOne(t.Context()))
		}
		require.Empty(t, tr.revocations)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.False(t, tr.revokeOne(ctx))
		require.Empty(t, tr.revocations)
	})
}

// The traffic notices an API that lets all in, or nobody, or is not there.
func TestReport(t *testing.T) {
	for _, tc := range []struct {
		name string
		api  http.HandlerFunc
		want []string
	}{
		{"open to all", func(http.ResponseWriter, *http.Request) {}, []string{"expired JWT: answered 200", "revoked opaque token: answered 200"}},
		{"closed", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) }, []string{"valid JWT: answered 401", "active opaque token: answered 401"}},
		{"down", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }, []string{"valid JWT: answered 503", "expired JWT: answered 503"}},
		{"broken off", nil, []string{"valid JWT: Get ", "no token: Get "}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			as := authtest.New(t)
			client := &http.Client{Transport: direct{tc.api}}
			if tc.api == nil {
				client = &http.Client{Transport: refusing{}}
			}
			tr := newTraffic("http://api.example.test", client, as, as, prometheus.NewHistogram(prometheus.HistogramOpts{Name: "x"}))
			for _, k := range tr.kinds {
				tr.request(t.Context(), k)
			}
			err := tr.report(io.Discard)
			for _, want := range tc.want {
				require.ErrorContains(t, err, want)
			}
		})
	}
}

type refusing struct{}

func (refusing) RoundTrip(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF }

// Nor is one whose last request is broken off: that is no refusal.
func TestRevocationBrokenOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		inUse := time.Now().Add(positiveTTL + time.Second) // by then it is revoked
		api := func(http.ResponseWriter, *http.Request) {
			if time.Now().After(inUse) {
				cancel()
			}
		}
		as := authtest.New(t)
		client := &http.Client{Transport: direct{http.HandlerFunc(api)}}
		tr := newTraffic("http://api.example.test", client, as, as, prometheus.NewHistogram(prometheus.HistogramOpts{Name: "x"}))
		require.False(t, tr.revokeOne(ctx))
		require.Empty(t, tr.revocations)
	})
}

// The program as it is, over TCP: what is scraped moves, until it is told to stop.
func TestRun(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	printed, out := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, out, settings{duration: time.Hour, outageAt: time.Second, outageFor: time.Hour, listen: "127.0.0.1:0", rate: 100})
		_ = out.CloseWithError(err)
		ended <- err
	}()
	lines := bufio.NewReader(printed)
	first, err := lines.ReadString('\n')
	require.NoError(t, err)
	_, url, ok := strings.Cut(strings.TrimSuffix(first, ".\n"), "its metrics at ")
	require.True(t, ok, first)
	rest := make(chan string, 1)
	go func() {
		text, _ := io.ReadAll(lines)
		rest <- string(text)
	}()

	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for moved := false; !moved; <-poll.C {
		s := scrape(t, client, url)
		moved = s.sum("bearergate_decisions_total", "outcome", "accepted") > 0 &&
			s.sum("bearergate_decisions_total", "outcome", "refused") > 0 &&
			s.sum("bearergate_decisions_total", "outcome", "unavailable") > 0
	}
	cancel()
	require.NoError(t, <-ended)
	require.Contains(t, <-rest, "valid JWT")
}

func TestSettings(t *testing.T) {
	good := settings{duration: time.Second, listen: "127.0.0.1:0", rate: 1}
	for _, change := range []func(*settings){
		func(s *settings) { s.duration = 0 },
		func(s *settings) { s.outageAt = -1 },
		func(s *settings) { s.outageFor = -1 },
		func(s *settings) { s.rate = 0 },
		func(s *settings) { s.rate = maxRate + 1 },
		func(s *settings) { s.listen = "nowhere" },
	} {
		s := good
		change(&s)
		require.Error(t, run(t.Context(), io.Discard, s), "%+v", s)
	}
}

func TestRevocationSLI(t *testing.T) {
	problems, err := testutil.CollectAndLint(newRevocationSLI())
	require.NoError(t, err)
	require.Empty(t, problems)
}

// sample is one series.
type sample struct {
	labels map[string]string
	value  float64 // of a histogram, how many observations it has
}

type samples map[string][]sample

// sum adds up the series of a metric that have these labels.
func (s samples) sum(metric string, labels ...string) float64 {
	total := 0.0
	for _, series := range s[metric] {
		fits := true
		for i := 0; i < len(labels); i += 2 {
			fits = fits && series.labels[labels[i]] == labels[i+1]
		}
		if fits {
			total += series.value
		}
	}
	return total
}

func scrape(t *testing.T, client *http.Client, url string) samples {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	require.NoError(t, err)
	resp, err := client.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, 200, resp.StatusCode)
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	require.NoError(t, err)
	out := samples{}
	for name, f := range families {
		for _, m := range f.GetMetric() {
			s := sample{labels: map[string]string{}, value: m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())}
			for _, l := range m.GetLabel() {
				s.labels[l.GetName()] = l.GetValue()
			}
			out[name] = append(out[name], s)
		}
	}
	return out
}
