package extauthzgate_test

import (
	"context"
	"maps"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/apikey"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

// Envoy passes API keys on as it passes on tokens: two of one name as one value with a comma,
// or each by itself. The service gets whose key it was, and not the key.
func TestAPIKeys(t *testing.T) {
	key, record, err := apikey.Generate("orders")
	require.NoError(t, err)
	record.Owner, record.Scopes = "acme", []string{"orders:read"}
	keys, err := apikey.New(apikey.Config{Issuer: "urn:example:api-keys", Prefix: "orders", Header: "X-API-Key", Records: []apikey.Record{record},
		End: time.Now().Add(time.Hour),
		Tokens: bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) {
			return bearergate.NewToken(bearergate.Claims{Issuer: "https://as.example.com", ClientID: "c1", Scopes: scope.Of("orders:read")}), nil
		})})
	require.NoError(t, err)
	gate, err := middleware.New(keys, middleware.Config{Extract: keys.Extract, ExtractHeaders: keys.Headers(), DropAuthorization: true,
		Identity: map[string]func(*bearergate.Token) string{"X-Auth-Client": (*bearergate.Token).ClientID}})
	require.NoError(t, err)
	router := gate.NewRouter()
	router.Handle("GET /orders", scope.All("orders:read"), http.NotFoundHandler())
	client := dial(t, serverOf(t, router))
	raw := key.Reveal()
	for _, tc := range []struct {
		name   string
		header http.Header
		status int
		client string
	}{
		{name: "a key", header: http.Header{"X-Api-Key": {raw}}, status: 200, client: "acme"},
		{name: "a token", header: http.Header{"Authorization": {"Bearer good"}}, status: 200, client: "c1"},
		{name: "nothing", status: 401},
		{name: "both", header: http.Header{"X-Api-Key": {raw}, "Authorization": {"Bearer good"}}, status: 400},
		{name: "the key twice", header: http.Header{"X-Api-Key": {raw, raw}}, status: 400},
		{name: "a key and an empty one", header: http.Header{"X-Api-Key": {raw, ""}}, status: 400},
		{name: "a key as Bearer", header: http.Header{"Authorization": {"Bearer " + raw}}, status: 401},
		{name: "a key in another spelling of the header", header: http.Header{"X_Api_Key": {raw}}, status: 401},
	} {
		for form, headerMap := range map[string]bool{"headers": false, "header_map": true} {
			t.Run(tc.name+"/"+form, func(t *testing.T) {
				r := request("GET", "/orders")
				maps.Copy(r.Header, tc.header)
				r.Header["X-Auth-Client"] = []string{"root"}
				got := check(t, client, question(r, headerMap))
				if tc.status != 200 {
					require.EqualValues(t, tc.status, got.GetDeniedResponse().GetStatus().GetCode())
					require.NotContains(t, got.String(), raw)
					return
				}
				ok := got.GetOkResponse()
				require.NotNil(t, ok)
				require.Equal(t, tc.client, headerOf(ok.GetHeaders()).Get("X-Auth-Client"))
				require.Subset(t, ok.GetHeadersToRemove(), []string{"authorization", "x-api-key", "x_api_key"})
				require.NotContains(t, got.String(), raw)
			})
		}
	}
}
