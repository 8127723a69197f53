package promgate_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/require"

	promgate "github.com/bearergate/bearergate/adapters/prometheus"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

// What a scrape says in each scene that an authorization server, or somebody who sends
// tokens, can make: our own faults, outages and single tokens are told apart.
func TestScenes(t *testing.T) {
	const opaque = `issuer="` + opaqueIssuer + `"`
	for _, tt := range []struct {
		name    string
		fault   func(w http.ResponseWriter, r *http.Request) // for tokens that are not "live"; nil: none
		all     bool                                         // for those as well
		honest  string                                       // outcome of a live token's decision
		others  string                                       // outcome and reason of the others'
		calls   map[string]float64                           // by outcome and status
		breaker string
	}{
		{name: "a server that fails", fault: answers(500), all: true, honest: "unavailable", others: `outcome="unavailable",reason="introspection_unavailable"`,
			calls: map[string]float64{`outcome="status",status="5xx"`: introspect.BreakerFailures + 1}, breaker: "open"},
		{name: "a server that hangs", fault: hangs, all: true, honest: "unavailable", others: `outcome="unavailable",reason="introspection_unavailable"`, breaker: "open"},
		{name: "our credentials are refused", fault: answers(401), all: true, honest: "misconfigured", others: `outcome="misconfigured",reason="config"`,
			calls: map[string]float64{`outcome="unauthorized",status="4xx"`: 2}, breaker: "open"},
		{name: "a firewall bars some tokens", fault: answers(403), honest: "accepted", others: `outcome="unavailable",reason="introspection_unavailable"`, breaker: "closed"},
		{name: "some tokens are reset", fault: resets, honest: "accepted", others: `outcome="unavailable",reason="introspection_unavailable"`, breaker: "closed"},
		{name: "some tokens are nonsense to the server", fault: page, honest: "accepted", others: `outcome="unavailable",reason="introspection_unavailable"`, breaker: "closed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, registry := newMetrics(t, promgate.Config{})
				server := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					token := r.FormValue("token")
					live, poison := strings.HasPrefix(token, "live"), strings.HasPrefix(token, "poison")
					if poison || tt.all {
						tt.fault(w, r)
						return
					}
					w.Header().Set("Content-Type", "application/json")
					fmt.Fprintf(w, `{"active":%t,"aud":%q,"scope":"orders:read","sub":"s","exp":%d}`, live, authtest.DefaultAudience, time.Now().Unix()+86400)
				})
				client, err := introspect.New(introspect.Config{Issuer: opaqueIssuer, Endpoint: opaqueIssuer + "/introspect", Audiences: []string{authtest.DefaultAudience},
					Auth: introspect.BasicAuth("orders-api", "the-client-secret"), HTTPClient: overPlain(serve(t, server)), Hooks: m.IntrospectHooks()})
				require.NoError(t, err)
				gate, err := middleware.New(client, middleware.Config{Hooks: m.GateHooks()})
				require.NoError(t, err)
				mux := http.NewServeMux()
				mux.Handle("GET /orders/{id}", gate.Require(scope.All("orders:read"))(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
				mux.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError}))
				api := serve(t, mux)
				for i := range 20 {
					get(t, api, "/orders/1", fmt.Sprint("poison-", i))
				}
				get(t, api, "/orders/1", "live-and-well")
				seen := scrape(t, api)

				decisions := seen.of("decisions_total")
				require.EqualValues(t, 1, sum(decisions, `outcome="`+tt.honest+`"`)-map[bool]float64{true: 20}[tt.all], "the honest one: %v", decisions)
				for part := range strings.SplitSeq(tt.others, ",") {
					require.GreaterOrEqual(t, sum(decisions, part), 20.0, "%s: %v", part, decisions)
				}
				if tt.others != `outcome="misconfigured",reason="config"` {
					require.Zero(t, sum(decisions, `outcome="misconfigured"`), "an alarm for us: %v", decisions)
					require.Zero(t, sum(seen.of("introspection_calls_total"), `outcome="unauthorized"`))
				}
				for labels, n := range tt.calls {
					require.Equal(t, n, seen.of("introspection_calls_total")[opaque+","+labels], "%v", seen.of("introspection_calls_total"))
				}
				require.EqualValues(t, 1, seen.of("introspection_breaker_state")[opaque+`,state="`+tt.breaker+`"`], "%v", seen.of("introspection_breaker_state"))
				time.Sleep(time.Minute)
			})
		})
	}
}

// sum adds the samples that have a label.
func sum(samples map[string]float64, label string) (n float64) {
	for labels, value := range samples {
		if strings.Contains(labels, label) {
			n += value
		}
	}
	return n
}

func answers(status int) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
}

func hangs(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func resets(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func page(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html")
	fmt.Fprint(w, "<p>rejected</p>")
}
