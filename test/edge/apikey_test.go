package edge_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate/apikey"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/confusion"
	"github.com/bearergate/bearergate/test/kit"
)

// serveKeys is an API that takes a key of acme, behind a proxy that asks.
func serveKeys(t *testing.T, p program) (at, key string, service *confusion.Service) {
	t.Helper()
	made, record, err := apikey.Generate("orders")
	require.NoError(t, err)
	record.Owner, record.Scopes = "acme", []string{"orders:read"}
	keys, err := apikey.New(apikey.Config{Issuer: "urn:example:api-keys", Prefix: "orders", Header: "X-API-Key",
		Records: []apikey.Record{record}, Tokens: kit.Granting(), End: time.Now().Add(time.Hour)})
	require.NoError(t, err)
	gate := gateOf(t, keys, func(c *middleware.Config) { c.Extract, c.ExtractHeaders = keys.Extract, keys.Headers() })
	rt := gate.NewRouter()
	rt.Handle("GET /orders/{id}", scope.All("orders:read"), http.NotFoundHandler())
	rt.Optional("/news", scope.Requirement{}, http.NotFoundHandler())
	service = &confusion.Service{}
	behind := httptest.NewServer(service)
	t.Cleanup(behind.Close)
	return front(t, p, authorizer(t, p.name, rt, gate).URL, behind.URL), made.Reveal(), service
}

// API keys beside tokens, behind a proxy that asks. With the one line more of
// docs/migration-from-api-keys.md the service gets whose key it was, and not the key.
func TestAPIKeysBehindAProxy(t *testing.T) {
	lines := map[middleware.Proxy][2]string{ // and the line that it stands before
		middleware.Nginx: {"\t\tproxy_set_header X-API-Key \"\";\n", "\t\tproxy_set_header Authorization \"\";\n"},
		middleware.Caddy: {"\trequest_header -X-API-Key\n", "\trequest_header -*Auth*\n"},
	}
	document, err := os.ReadFile("../../docs/migration-from-api-keys.md")
	require.NoError(t, err)
	unknown, _, err := apikey.Generate("orders")
	require.NoError(t, err)
	for _, p := range programs {
		t.Run(string(p.name), func(t *testing.T) {
			line, change := lines[p.name], p.change
			require.Contains(t, string(document), "`"+strings.TrimSpace(line[0])+"`")
			p.change = func(dir, config string) string {
				require.Contains(t, config, line[1])
				return change(dir, strings.Replace(config, line[1], line[0]+line[1], 1))
			}
			at, raw, service := serveKeys(t, p)
			for _, tc := range []struct {
				name, target string
				lines        []string
				status       int
				client       string
			}{
				{name: "a key", target: "/orders/7", lines: []string{"X-API-Key: " + raw}, status: 200, client: "acme"},
				{name: "a key in small letters", target: "/orders/7", lines: []string{"x-api-key:" + raw}, status: 200, client: "acme"},
				{name: "a key on an optional route", target: "/news", lines: []string{"X-API-Key: " + raw}, status: 200, client: "acme"},
				{name: "a token", target: "/orders/7", lines: []string{"Authorization: " + kit.With("orders:read")}, status: 200, client: "c1"},
				{name: "nobody", target: "/orders/7", status: 401},
				{name: "both", target: "/orders/7", lines: []string{"X-API-Key: " + raw, "Authorization: " + kit.With("orders:read")}, status: 400},
				{name: "the key twice", target: "/orders/7", lines: []string{"X-API-Key: " + raw, "X-API-Key: " + raw}, status: 400},
				{name: "two keys in one line", target: "/orders/7", lines: []string{"X-API-Key: " + raw + "," + raw}, status: 400},
				{name: "a key and an unknown one", target: "/news", lines: []string{"X-API-Key: " + unknown.Reveal(), "X-API-Key: " + raw}, status: 400},
				{name: "an unknown key on an optional route", target: "/news", lines: []string{"X-API-Key: " + unknown.Reveal()}, status: 401},
				{name: "a key as Bearer", target: "/orders/7", lines: []string{"Authorization: Bearer " + raw}, status: 401},
				{name: "a key in another spelling of the header", target: "/orders/7", lines: []string{"X_API_Key: " + raw}, status: 401},
			} {
				t.Run(tc.name, func(t *testing.T) {
					before := service.Count()
					res, body := confusion.Send(t, at, confusion.Request{Target: tc.target, Lines: append(tc.lines, "X-Auth-Client: root"), Anonymous: true})
					require.Equal(t, tc.status, res.StatusCode, body)
					if tc.status != 200 {
						require.Equal(t, before, service.Count(), "the service was reached")
						require.NotContains(t, body, raw)
						return
					}
					require.Equal(t, before+1, service.Count())
					got := service.Last().Header
					require.Equal(t, tc.client, strings.Join(got["X-Auth-Client"], "|"))
					for name, values := range got {
						require.NotContains(t, strings.Join(values, ","), raw, name)
					}
				})
			}
		})
	}
}

// With limits for who sends no token, a key counts as a credential as well.
func TestLimitsAndAPIKeys(t *testing.T) {
	const instead = "map $http_authorization$http_x_api_key $without_token {"
	document, err := os.ReadFile("../../docs/proxies.md")
	require.NoError(t, err)
	require.Contains(t, string(document), "`"+instead+"`")
	at, key, _ := serveKeys(t, limited(t, func(block string) string {
		require.Contains(t, block, "map $http_authorization $without_token {")
		return strings.Replace(block, "map $http_authorization $without_token {", instead, 1)
	}))
	for range 40 {
		res, _ := confusion.Send(t, at, confusion.Request{Target: "/orders/7", Lines: []string{"X-API-Key: " + key}, Anonymous: true})
		require.Equal(t, http.StatusOK, res.StatusCode)
	}
	turnedAway := 0
	for range 40 {
		if res, _ := confusion.Send(t, at, confusion.Request{Target: "/news", Anonymous: true}); res.StatusCode == http.StatusTooManyRequests {
			turnedAway++
		}
	}
	require.Positive(t, turnedAway)
}
