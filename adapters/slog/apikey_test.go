package sloggate_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	sloggate "github.com/bearergate/bearergate/adapters/slog"
	"github.com/bearergate/bearergate/apikey"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

// A record says by its issuer that it was a key, whose, which one, and that it will be
// refused; and nothing of the key.
func TestAPIKeys(t *testing.T) {
	a, o := newAudit(t, sloggate.Config{})
	key, r, err := apikey.Generate("orders")
	require.NoError(t, err)
	r.Owner, r.Scopes = "acme", []string{"orders:read"}
	now := time.Date(2027, time.June, 30, 0, 0, 0, 0, time.UTC)
	keys, err := apikey.New(apikey.Config{Issuer: "urn:example:api-keys", Prefix: "orders", Header: "X-Api-Key", Records: []apikey.Record{r},
		Tokens: bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) { return nil, bearergate.ErrInvalidToken }),
		End:    now.AddDate(0, 0, 1), Now: func() time.Time { return now }})
	require.NoError(t, err)
	gate, err := middleware.New(keys, middleware.Config{Extract: keys.Extract, Hooks: a.GateHooks()})
	require.NoError(t, err)
	h := gate.Require(scope.All("orders:read"), middleware.Trial(apikey.WithoutKeys(), keys.Issued))(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	ask := func(name, value string) int {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		request.Header.Set(name, value)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, request)
		return w.Code
	}
	require.Equal(t, 200, ask("X-Api-Key", key.Reveal()))
	require.Equal(t, 401, ask("Authorization", "Bearer "+key.Reveal()))
	now = now.AddDate(0, 0, 1)
	require.Equal(t, 401, ask("X-Api-Key", key.Reveal()))

	records := o.records(t, "")
	require.Len(t, records, 3)
	require.Equal(t, "urn:example:api-keys", records[0]["issuer"])
	require.Equal(t, "acme", records[0]["client"])
	require.Equal(t, r.ID, records[0]["jti"])
	require.Equal(t, false, records[0]["trial_passed"])
	require.Equal(t, "type", records[1]["reason"])
	require.Nil(t, records[1]["refused"], "nobody looked whose it is")
	require.Equal(t, "expired", records[2]["reason"])
	require.Equal(t, "acme", records[2]["refused"].(map[string]any)["client"])
	require.NotContains(t, o.String(), key.Reveal()[25:])
}
