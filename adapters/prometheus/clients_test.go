package promgate_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	promgate "github.com/bearergate/bearergate/adapters/prometheus"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/issuers"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/revocation"
	"github.com/bearergate/bearergate/scope"
)

// Requests to a gate are counted by the client and the tenant of their token, where
// somebody vouches for it, and by nobody's else.
func TestClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, registry := newMetrics(t, promgate.Config{MaxClients: 10, MaxTenants: 10})
		as, partner := authtest.New(t), authtest.New(t, authtest.WithIssuer("https://partner.example.test"))
		list, err := revocation.New(revocation.Config{MaxTokenLife: 24 * time.Hour, Hooks: m.RevocationHooks()})
		require.NoError(t, err)
		verifier := func(as *authtest.Server) bearergate.Verifier {
			v, err := jwtverify.New(jwtverify.Config{Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client(),
				Check: list.Check, Confirmations: []string{"jkt"}, Map: func(c *bearergate.Claims) error { c.Tenant = "of " + c.ClientID; return nil }})
			require.NoError(t, err)
			return v
		}
		router, err := issuers.NewRouter(issuers.Config{Issuers: map[string]bearergate.Verifier{as.Issuer(): verifier(as), partner.Issuer(): verifier(partner)}})
		require.NoError(t, err)
		// A live one that knows nothing of the token but that it is no good.
		live, err := issuers.RequireLive(router, bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) {
			return nil, &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonInactive}
		}))
		require.NoError(t, err)
		gate := func(v bearergate.Verifier, change func(*middleware.Config)) http.Handler {
			c := middleware.Config{Hooks: m.GateHooks(), Bindings: []bearergate.Binding{noProof{}}}
			if change != nil {
				change(&c)
			}
			gate, err := middleware.New(v, c)
			require.NoError(t, err)
			return gate.Require(scope.All("orders:read"))(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		}
		shop := authtest.Claims{Subject: "shop", ClientID: "shop", Scopes: scope.Of("orders:read")}
		with := func(change func(*authtest.Claims)) authtest.Claims {
			c := shop
			change(&c)
			return c
		}
		revoked := with(func(c *authtest.Claims) { c.ID = "revoked" })
		require.NoError(t, list.Add(t.Context(), revocation.Entry{Issuer: as.Issuer(), TokenID: "revoked"}))
		genuine := as.Token(shop)
		for _, tc := range []struct {
			name, scheme, token string
			gate                http.Handler
			status              int
		}{
			{name: "of a client", token: genuine, gate: gate(router, nil), status: 200},
			{name: "of a user", token: as.Token(with(func(c *authtest.Claims) { c.Subject, c.AuthTime = "alice", time.Now() })), gate: gate(router, nil), status: 200},
			{name: "of nobody can tell whom", token: as.Token(with(func(c *authtest.Claims) { c.Subject = "alice" })), gate: gate(router, nil), status: 200},
			{name: "of a client of the same name at another issuer", token: partner.Token(shop), gate: gate(router, nil), status: 200},
			{name: "of no client", token: as.Sign(nil, map[string]any{"iss": as.Issuer(), "aud": authtest.DefaultAudience, "sub": "x", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(), "scope": "orders:read"}), gate: gate(router, nil), status: 200},
			{name: "without the scope", token: as.Token(with(func(c *authtest.Claims) { c.Scopes = scope.Of("x") })), gate: gate(router, nil), status: 403},
			{name: "expired", token: as.Token(with(func(c *authtest.Claims) { c.ExpiresAt = time.Now().Add(-time.Hour) })), gate: gate(router, nil), status: 401},
			{name: "of another API", token: as.Token(with(func(c *authtest.Claims) { c.Audience = []string{"x"} })), gate: gate(router, nil), status: 401},
			{name: "revoked", token: as.Token(revoked), gate: gate(router, nil), status: 401},
			{name: "no longer active", token: genuine, gate: gate(live, nil), status: 401},
			{name: "refused, and only reported", token: as.Token(with(func(c *authtest.Claims) { c.Scopes = scope.Of("x") })), status: 200,
				gate: gate(router, func(c *middleware.Config) { c.InsecureReportOnly = true })},

			// None of these names anybody.
			{name: "no token", gate: gate(router, nil), status: 401},
			{name: "forged", token: genuine[:len(genuine)-8] + "AAAAAAAA", gate: gate(router, nil), status: 401},
			{name: "of a key that nobody has", token: as.Sign(map[string]any{"kid": "x"}, as.Claims(shop)), gate: gate(router, nil), status: 401},
			{name: "of another issuer, under this one's key", token: as.Sign(nil, map[string]any{"iss": "https://nobody.example.test", "client_id": "shop"}), gate: gate(router, nil), status: 401},
			{name: "bound, and stolen", scheme: "DPoP", token: as.Token(with(func(c *authtest.Claims) { c.Confirmation = map[string][]byte{"jkt": []byte(`"x"`)} })), gate: gate(router, nil), status: 401},
			{name: "bound, stolen and expired", scheme: "DPoP", gate: gate(router, nil), status: 401,
				token: as.Token(with(func(c *authtest.Claims) {
					c.ExpiresAt, c.Confirmation = time.Now().Add(-time.Hour), map[string][]byte{"jkt": []byte(`"x"`)}
				}))},
		} {
			r := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
			if tc.token != "" {
				r.Header.Set("Authorization", strings.TrimSpace(tc.scheme+" "+tc.token))
				if tc.scheme == "" {
					r.Header.Set("Authorization", "Bearer "+tc.token)
				}
			}
			w := httptest.NewRecorder()
			tc.gate.ServeHTTP(w, r)
			require.Equal(t, tc.status, w.Code, tc.name)
		}
		s := scrape(t, serve(t, promhttp.HandlerFor(registry, promhttp.HandlerOpts{})))
		series := func(label, name, issuer, outcome, reason, reportOnly string) string {
			return fmt.Sprintf("%s=%q,issuer=%q,outcome=%q,reason=%q,report_only=%q", label, name, issuer, outcome, reason, reportOnly)
		}
		principal := func(of, series string) string {
			return strings.Replace(series, `,reason=`, fmt.Sprintf(`,principal=%q,reason=`, of), 1)
		}
		ours, theirs := as.Issuer(), partner.Issuer()
		require.Equal(t, map[string]float64{
			principal("client", series("client", "shop", ours, "accepted", "", "false")):        1,
			principal("user", series("client", "shop", ours, "accepted", "", "false")):          1,
			principal("unknown", series("client", "shop", ours, "accepted", "", "false")):       1,
			principal("client", series("client", "shop", theirs, "accepted", "", "false")):      1,
			principal("unknown", series("client", "", ours, "accepted", "", "false")):           1,
			principal("client", series("client", "shop", ours, "refused", "scope", "false")):    1,
			principal("client", series("client", "shop", ours, "refused", "expired", "false")):  1,
			principal("client", series("client", "shop", ours, "refused", "audience", "false")): 1,
			principal("client", series("client", "shop", ours, "refused", "revoked", "false")):  1,
			principal("client", series("client", "shop", ours, "refused", "inactive", "false")): 1,
			principal("client", series("client", "shop", ours, "refused", "scope", "true")):     1,
		}, s.of("client_decisions_total"))
		require.Equal(t, map[string]float64{
			series("tenant", "of shop", ours, "accepted", "", "false"):        3,
			series("tenant", "of shop", theirs, "accepted", "", "false"):      1,
			series("tenant", "of ", ours, "accepted", "", "false"):            1,
			series("tenant", "of shop", ours, "refused", "scope", "false"):    1,
			series("tenant", "of shop", ours, "refused", "expired", "false"):  1,
			series("tenant", "", ours, "refused", "audience", "false"):        1, // before Map was asked
			series("tenant", "of shop", ours, "refused", "revoked", "false"):  1,
			series("tenant", "of shop", ours, "refused", "inactive", "false"): 1,
			series("tenant", "of shop", ours, "refused", "scope", "true"):     1,
		}, swapped(s.of("tenant_decisions_total")))
		lint(t, registry)
	})
}

// swapped has the label tenant first, as client is.
func swapped(of map[string]float64) map[string]float64 {
	out := map[string]float64{}
	for labels, n := range of {
		before, tenant, _ := strings.Cut(labels, ",tenant=")
		out["tenant="+tenant+","+before] = n
	}
	return out
}

// noProof is a binding that nobody satisfies.
type noProof struct{}

func (noProof) Scheme() bearergate.Scheme    { return bearergate.SchemeDPoP }
func (noProof) Members() []string            { return []string{"jkt"} }
func (noProof) Challenge() map[string]string { return nil }
func (noProof) Confirm(context.Context, bearergate.Call, *bearergate.Token) (bearergate.Reply, error) {
	return nil, errors.New("there is no proof")
}

func decision(t *bearergate.Token, err error) middleware.DecisionEvent {
	return middleware.DecisionEvent{Method: "GET", Pattern: "GET /", Token: t, Err: err, Reason: bearergate.ReasonOf(err)}
}

// Whatever clients come, there is one series more than MaxClients, and one more than
// MaxTenants.
func TestMillionClients(t *testing.T) {
	n := 1_000_000
	if raceEnabled() {
		n = 20_000
	}
	m, registry := newMetrics(t, promgate.Config{MaxClients: 100, MaxTenants: 20})
	decided := m.GateHooks().Decided
	for i := range n {
		name := fmt.Sprint("client-", i)
		decided(t.Context(), decision(bearergate.NewToken(bearergate.Claims{Issuer: fmt.Sprint("issuer-", i%3), ClientID: name, Tenant: name}), nil))
	}
	s := scrape(t, serve(t, promhttp.HandlerFor(registry, promhttp.HandlerOpts{})))
	clients, tenants := s.of("client_decisions_total"), s.of("tenant_decisions_total")
	require.Len(t, clients, 100+1)
	require.Len(t, tenants, 20+1)
	require.EqualValues(t, n-100, clients[`client="other",issuer="other",outcome="accepted",principal="unknown",reason="",report_only="false"`])
	require.EqualValues(t, n-20, tenants[`issuer="other",outcome="accepted",reason="",report_only="false",tenant="other"`])
	// Those who came first keep their names.
	require.EqualValues(t, 1, clients[`client="client-99",issuer="issuer-0",outcome="accepted",principal="unknown",reason="",report_only="false"`])
	decided(t.Context(), decision(bearergate.NewToken(bearergate.Claims{Issuer: "issuer-0", ClientID: "client-99"}), nil))
	again := scrape(t, serve(t, promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))).of("client_decisions_total")
	require.EqualValues(t, 2, again[`client="client-99",issuer="issuer-0",outcome="accepted",principal="unknown",reason="",report_only="false"`])
}

// A client has a series for each way in which its requests end, and no more, whatever its
// requests say.
func TestSeriesOfAClient(t *testing.T) {
	m, registry := newMetrics(t, promgate.Config{MaxClients: 1})
	refusals := []error{nil}
	for _, reason := range []bearergate.Reason{bearergate.ReasonExpired, bearergate.ReasonScope, "of nobody's", "another"} {
		refusals = append(refusals, &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: reason, Detail: fmt.Sprint(reason)})
	}
	for i := range 1000 {
		token := bearergate.NewToken(bearergate.Claims{ClientID: "shop", Subject: fmt.Sprint("user-", i), ID: fmt.Sprint(i), Scopes: scope.Of(fmt.Sprint("s", i))})
		e := decision(token, refusals[i%len(refusals)])
		e.Pattern = fmt.Sprint("GET /", i)
		m.GateHooks().Decided(t.Context(), e)
	}
	require.Len(t, scrape(t, serve(t, promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))).of("client_decisions_total"), 4) // accepted, expired, scope, policy
}

// A request that is ended midway was counted when it began.
func TestMidstreamIsNoDecisionOfAClient(t *testing.T) {
	m, registry := newMetrics(t, promgate.Config{MaxClients: 1, MaxTenants: 1})
	e := decision(bearergate.NewToken(bearergate.Claims{ClientID: "shop", Tenant: "acme"}), bearergate.ErrInvalidToken)
	e.Midstream = true
	m.GateHooks().Decided(t.Context(), e)
	s := scrape(t, serve(t, promhttp.HandlerFor(registry, promhttp.HandlerOpts{})))
	require.Empty(t, s.of("client_decisions_total"))
	require.Empty(t, s.of("tenant_decisions_total"))
	require.Len(t, s.of("requests_ended_total"), 1)
}

// Without the options there is nothing of a client.
func TestClientsAreOff(t *testing.T) {
	for _, tc := range []struct {
		name            string
		config          promgate.Config
		clients, tenant int
	}{
		{name: "neither"},
		{name: "clients", config: promgate.Config{MaxClients: 1}, clients: 1},
		{name: "tenants", config: promgate.Config{MaxTenants: 1}, tenant: 1},
	} {
		m, registry := newMetrics(t, tc.config)
		m.GateHooks().Decided(t.Context(), decision(bearergate.NewToken(bearergate.Claims{ClientID: "the-client", Tenant: "the-tenant"}), nil))
		s := scrape(t, serve(t, promhttp.HandlerFor(registry, promhttp.HandlerOpts{})))
		require.Len(t, s.of("client_decisions_total"), tc.clients, tc.name)
		require.Len(t, s.of("tenant_decisions_total"), tc.tenant, tc.name)
		require.Equal(t, tc.clients > 0, strings.Contains(gathered(t, registry), "the-client"), tc.name)
		require.Equal(t, tc.tenant > 0, strings.Contains(gathered(t, registry), "the-tenant"), tc.name)
	}
}

// Names that are strange in a label do not get there, and break no scrape.
func TestStrangeClients(t *testing.T) {
	m, registry := newMetrics(t, promgate.Config{MaxClients: 10, MaxTenants: 10})
	for _, name := range []string{"a\xff", "a\nb", "a\x00", "a\u202eb", strings.Repeat("x", 129), strings.Repeat("x", 200), "other"} {
		m.GateHooks().Decided(t.Context(), decision(bearergate.NewToken(bearergate.Claims{Issuer: "i", ClientID: name, Tenant: name}), nil))
	}
	for _, name := range []string{`a"b\`, "{le=\"1\"}", "Käse", "https://app.example.test/c?x=1"} {
		m.GateHooks().Decided(t.Context(), decision(bearergate.NewToken(bearergate.Claims{Issuer: "i", ClientID: name, Tenant: name}), nil))
	}
	s := scrape(t, serve(t, promhttp.HandlerFor(registry, promhttp.HandlerOpts{})))
	for _, metric := range []string{"client_decisions_total", "tenant_decisions_total"} {
		got := map[string]float64{}
		for labels, n := range s.of(metric) {
			for _, name := range []string{`issuer="other"`, `"a\"b\\"`, `"{le=\"1\"}"`, `"Käse"`, `"https://app.example.test/c?x=1"`} {
				if strings.Contains(labels, name) {
					got[name] += n
				}
			}
		}
		require.Equal(t, map[string]float64{`issuer="other"`: 7, `"a\"b\\"`: 1, `"{le=\"1\"}"`: 1, `"Käse"`: 1, `"https://app.example.test/c?x=1"`: 1}, got, metric)
		require.Len(t, s.of(metric), 5)
	}
	lint(t, registry)
}
