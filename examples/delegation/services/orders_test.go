package services_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/examples/delegation/services"
	"github.com/bearergate/bearergate/scope"
)

// What service A sends to service B, and what it makes of the answers.
func TestOrdersCallsBilling(t *testing.T) {
	as, err := authtest.Start()
	require.NoError(t, err)
	t.Cleanup(as.Close)
	const audience, reads = "https://orders.example.com", "orders:read"
	user := as.Token(authtest.Claims{Subject: "alice", ClientID: "web", Audience: []string{audience}, Scopes: scope.Of(reads, "invoices:read")})
	evil := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") }))
	t.Cleanup(evil.Close)
	for _, tt := range []struct {
		name    string
		billing func(http.ResponseWriter)
		down    bool
		status  int
		calls   int // exchanges of two requests
	}{
		{name: "200", billing: func(w http.ResponseWriter) { _, _ = w.Write([]byte("invoices")) }, status: 200, calls: 1},
		{name: "401", billing: func(w http.ResponseWriter) { w.WriteHeader(401) }, status: 503, calls: 2},
		{name: "403", billing: func(w http.ResponseWriter) { w.WriteHeader(403) }, status: 403, calls: 1},
		{name: "404", billing: func(w http.ResponseWriter) { w.WriteHeader(404) }, status: 502, calls: 1},
		{name: "500", billing: func(w http.ResponseWriter) { w.WriteHeader(500) }, status: 502, calls: 1},
		{name: "a redirect", billing: func(w http.ResponseWriter) { w.Header().Set("Location", evil.URL); w.WriteHeader(307) }, status: 502, calls: 1},
		{name: "too long", billing: func(w http.ResponseWriter) { _, _ = w.Write([]byte(strings.Repeat("x", 1<<20+1))) }, status: 502, calls: 1},
		{name: "down", down: true, status: 503, calls: 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sent := make(chan http.Header, 2)
			billing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				sent <- r.Header.Clone()
				tt.billing(w)
			}))
			t.Cleanup(billing.Close)
			if tt.down {
				billing.Close()
			}
			x, err := services.NewExchanger(services.ExchangeConfig{TokenURL: as.URL("/token"), ClientID: "orders", Secret: bearergate.NewSecret("s"),
				Audience: "https://billing.example.com", Scopes: []string{"invoices:read"}})
			require.NoError(t, err)
			orders, err := services.NewOrders(services.OrdersConfig{Issuer: as.Issuer(), Audience: audience, Scope: reads, Billing: billing.URL, Exchange: x})
			require.NoError(t, err)
			before := as.Requests("/token")
			for range 2 {
				r := httptest.NewRequest(http.MethodGet, "/orders", nil)
				r.Header.Set("Authorization", "Bearer "+user)
				r.Header.Set("Cookie", "of=alice")
				w := httptest.NewRecorder()
				orders.ServeHTTP(w, r)
				require.Equal(t, tt.status, w.Code)
				require.NotContains(t, w.Body.String(), user)
				if tt.down {
					continue
				}
				header := <-sent
				require.True(t, strings.HasPrefix(header.Get("Authorization"), "Bearer eyJ"))
				require.Empty(t, header.Get("Cookie"))
				for _, values := range header {
					require.NotContains(t, strings.Join(values, " "), user, "the user's own token was sent on")
				}
			}
			require.Equal(t, tt.calls, as.Requests("/token")-before)
		})
	}
}

// Nobody but the gateway and the user may call service A, and without a gateway nobody
// but the user.
func TestWhoCallsOrders(t *testing.T) {
	as, err := authtest.Start()
	require.NoError(t, err)
	t.Cleanup(as.Close)
	x, err := services.NewExchanger(services.ExchangeConfig{TokenURL: as.URL("/token"), ClientID: "orders", Secret: bearergate.NewSecret("s"), Audience: "b", Scopes: []string{"more"}})
	require.NoError(t, err)
	by := func(actors ...string) string {
		c := authtest.Claims{Subject: "alice", Audience: []string{"a"}, Scopes: scope.Of("read")}
		for _, actor := range actors {
			c.Actors = append(c.Actors, bearergate.Actor{Subject: actor})
		}
		return as.Token(c)
	}
	for _, tt := range []struct {
		name, gateway, token string
		exchanged            int // and then refused, for the scope
	}{
		{name: "the user", token: by(), exchanged: 1},
		{name: "the gateway", gateway: "gateway", token: by("gateway"), exchanged: 1},
		{name: "the gateway, where there is none", token: by("gateway")},
		{name: "somebody else", gateway: "gateway", token: by("reports")},
		{name: "the gateway, by somebody else", gateway: "gateway", token: by("gateway", "reports")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			orders, err := services.NewOrders(services.OrdersConfig{Issuer: as.Issuer(), Audience: "a", Scope: "read", Gateway: tt.gateway, Billing: "http://127.0.0.1:1", Exchange: x})
			require.NoError(t, err)
			before := as.Requests("/token")
			r := httptest.NewRequest(http.MethodGet, "/orders", nil)
			r.Header.Set("Authorization", "Bearer "+tt.token)
			w := httptest.NewRecorder()
			orders.ServeHTTP(w, r)
			require.Equal(t, http.StatusForbidden, w.Code)
			require.Equal(t, tt.exchanged, as.Requests("/token")-before)
		})
	}
}

func TestMistakesOfTheServices(t *testing.T) {
	_, err := services.NewOrders(services.OrdersConfig{Issuer: "https://as.example.com", Audience: "a", Scope: "read"})
	require.ErrorContains(t, err, "Exchange is nil")
	_, err = services.NewOrders(services.OrdersConfig{Exchange: new(services.Exchanger)})
	require.ErrorContains(t, err, "Issuer")
	_, err = services.NewBilling(services.BillingConfig{})
	require.ErrorContains(t, err, "Issuer")
	_, err = services.NewBilling(services.BillingConfig{Issuer: "https://as.example.com", Audience: "a", Scope: "read"})
	require.ErrorContains(t, err, "Delegation", "nobody may act")
}
