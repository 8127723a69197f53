package promgate_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/require"

	promgate "github.com/bearergate/bearergate/adapters/prometheus"
	"github.com/bearergate/bearergate/apikey"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

// Keys and tokens at one gate are told apart by issuer, and keys by owner: what the queries
// of docs/migration-from-api-keys.md ask.
func TestAPIKeysAreClientsOfTheirIssuer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const keysIssuer = "urn:example:api-keys"
		m, registry := newMetrics(t, promgate.Config{MaxClients: 10})
		as := authtest.New(t)
		tokens, err := jwtverify.New(jwtverify.Config{Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client()})
		require.NoError(t, err)
		key, r, err := apikey.Generate("orders")
		require.NoError(t, err)
		r.Owner, r.Scopes = "acme", []string{"orders:read"}
		over, ended, err := apikey.Generate("orders")
		require.NoError(t, err)
		ended.Owner, ended.NotAfter = "late", time.Now()
		unknown, _, err := apikey.Generate("orders")
		require.NoError(t, err)
		keys, err := apikey.New(apikey.Config{Issuer: keysIssuer, Prefix: "orders", Header: "X-Api-Key", Records: []apikey.Record{r, ended},
			Tokens: tokens, End: time.Now().AddDate(1, 0, 0)})
		require.NoError(t, err)
		gate, err := middleware.New(keys, middleware.Config{Extract: keys.Extract, Hooks: m.GateHooks()})
		require.NoError(t, err)
		h := gate.Require(scope.All("orders:read"))(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		for _, sent := range []struct {
			header, value string
			status        int
		}{
			{header: "X-Api-Key", value: key.Reveal(), status: 200},
			{header: "X-Api-Key", value: key.Reveal(), status: 200},
			{header: "X-Api-Key", value: over.Reveal(), status: 401},
			{header: "X-Api-Key", value: unknown.Reveal(), status: 401},
			{header: "Authorization", value: "Bearer " + as.Token(authtest.Claims{Subject: "acme", ClientID: "acme", Scopes: scope.Of("orders:read")}), status: 200},
		} {
			request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
			request.Header.Set(sent.header, sent.value)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, request)
			require.Equal(t, sent.status, w.Code)
		}
		require.Equal(t, map[string]float64{
			`client="acme",issuer="` + keysIssuer + `",outcome="accepted",principal="client",reason="",report_only="false"`:       2,
			`client="late",issuer="` + keysIssuer + `",outcome="refused",principal="client",reason="expired",report_only="false"`: 1,
			`client="acme",issuer="` + as.Issuer() + `",outcome="accepted",principal="client",reason="",report_only="false"`:      1,
		}, scrape(t, serve(t, promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))).of("client_decisions_total"))
	})
}
