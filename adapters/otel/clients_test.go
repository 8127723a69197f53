package otelgate_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/bearergate/bearergate"
	otelgate "github.com/bearergate/bearergate/adapters/otel"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

func decision(t *bearergate.Token, err error) middleware.DecisionEvent {
	return middleware.DecisionEvent{Method: "GET", Pattern: "GET /", Token: t, Err: err, Reason: bearergate.ReasonOf(err)}
}

// Requests to a gate are counted by the client and the tenant of their token, and their spans
// say them, where somebody vouches for it, and nobody's else.
func TestClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as := authtest.New(t)
		shop := authtest.Claims{Subject: "shop", ClientID: "shop", Scopes: scope.Of("orders:read")}
		but := func(change func(*authtest.Claims)) authtest.Claims {
			c := shop
			change(&c)
			return c
		}
		genuine := as.Token(shop)
		issuer := "bearergate.issuer=" + as.Issuer()
		const client, tenant = "bearergate.client=shop", "bearergate.tenant=of shop"
		for _, tc := range []struct {
			name, token string
			reportOnly  bool
			client      string // as counted, and "" if not
			tenant      string
			span        string // of the three attributes
		}{
			{name: "of a client", token: genuine, client: client + " " + issuer + " bearergate.principal=client", tenant: issuer + " " + tenant,
				span: client + " " + issuer + " bearergate.principal=client " + tenant},
			{name: "of a user", token: as.Token(but(func(c *authtest.Claims) { c.Subject, c.AuthTime = "alice", time.Now() })),
				client: client + " " + issuer + " bearergate.principal=user", tenant: issuer + " " + tenant,
				span: client + " " + issuer + " bearergate.principal=user " + tenant},
			{name: "without the scope", token: as.Token(but(func(c *authtest.Claims) { c.Scopes = scope.Of("x") })),
				client: client + " " + issuer + " bearergate.principal=client error.type=scope", tenant: issuer + " " + tenant + " error.type=scope",
				span: client + " " + issuer + " bearergate.principal=client " + tenant},
			{name: "expired", token: as.Token(but(func(c *authtest.Claims) { c.ExpiresAt = time.Now().Add(-time.Hour) })),
				client: client + " " + issuer + " bearergate.principal=client error.type=expired", tenant: issuer + " " + tenant + " error.type=expired",
				span: client + " " + issuer + " bearergate.principal=client " + tenant},
			{name: "of another API, before Map", token: as.Token(but(func(c *authtest.Claims) { c.Audience = []string{"x"} })),
				client: client + " " + issuer + " bearergate.principal=client error.type=audience", tenant: issuer + " error.type=audience",
				span: client + " " + issuer + " bearergate.principal=client"},
			{name: "refused, and only reported", token: as.Token(but(func(c *authtest.Claims) { c.Scopes = scope.Of("x") })), reportOnly: true,
				client: client + " " + issuer + " bearergate.principal=client bearergate.report_only=true error.type=scope",
				tenant: issuer + " bearergate.report_only=true " + tenant + " error.type=scope",
				span:   client + " " + issuer + " bearergate.principal=client " + tenant},
			{name: "a client ID that is strange", token: as.Token(but(func(c *authtest.Claims) { c.ClientID = "a\nb" })),
				client: "bearergate.client=other bearergate.issuer=other bearergate.principal=unknown",
				tenant: "bearergate.issuer=other bearergate.tenant=other", span: "bearergate.principal=unknown"},
			{name: "no token"},
			{name: "forged", token: genuine[:len(genuine)-8] + "AAAAAAAA"},
			{name: "bound, and stolen", token: as.Token(but(func(c *authtest.Claims) { c.Confirmation = map[string][]byte{"jkt": []byte(`"x"`)} }))},
			{name: "bound, stolen and expired", token: as.Token(but(func(c *authtest.Claims) {
				c.ExpiresAt, c.Confirmation = time.Now().Add(-time.Hour), map[string][]byte{"jkt": []byte(`"x"`)}
			}))},
		} {
			all := func(c *otelgate.Config) {
				c.MaxClients, c.MaxTenants, c.SpanClient, c.SpanTenant, c.SpanPrincipal = 10, 10, true, true, true
			}
			r := with(t, all)
			v, err := jwtverify.New(jwtverify.Config{Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client(), Confirmations: []string{"jkt"},
				Map: func(c *bearergate.Claims) error { c.Tenant = "of " + c.ClientID; return nil }})
			require.NoError(t, err)
			gate, err := middleware.New(v, middleware.Config{Hooks: r.GateHooks(), Bindings: []bearergate.Binding{noProof{}}, InsecureReportOnly: tc.reportOnly})
			require.NoError(t, err)
			ctx, span := r.tracer.Start(t.Context(), "request")
			req := httptest.NewRequestWithContext(ctx, "GET", "/", nil)
			if tc.token != "" {
				req.Header.Set("Authorization", "Bearer "+tc.token)
			}
			if strings.HasPrefix(tc.name, "bound") {
				req.Header.Set("Authorization", "DPoP "+tc.token)
			}
			gate.Require(scope.All("orders:read"))(http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), req)
			span.End()

			want := func(counted string) map[string]int {
				if counted == "" {
					return map[string]int{}
				}
				return map[string]int{counted: 1}
			}
			require.Equal(t, want(tc.client), r.points(t, "bearergate.client_decisions"), tc.name)
			require.Equal(t, want(tc.tenant), r.points(t, "bearergate.tenant_decisions"), tc.name)
			require.Equal(t, tc.span, sender(r.span(t, "request")), tc.name)
		}
	})
}

// noProof is a binding that nobody satisfies.
type noProof struct{}

func (noProof) Scheme() bearergate.Scheme    { return bearergate.SchemeDPoP }
func (noProof) Members() []string            { return []string{"jkt"} }
func (noProof) Challenge() map[string]string { return nil }
func (noProof) Confirm(context.Context, bearergate.Call, *bearergate.Token) (bearergate.Reply, error) {
	return nil, errors.New("there is no proof")
}

// sender is what a span says of who sent its request.
func sender(s tracetest.SpanStub) string {
	kept := s.Attributes[:0:0]
	for _, a := range s.Attributes {
		switch a.Key {
		case "bearergate.client", "bearergate.tenant", "bearergate.principal", "bearergate.issuer":
			kept = append(kept, a)
		}
	}
	return text(kept)
}

// Whatever clients come, there is one series more than MaxClients, and one more than
// MaxTenants.
func TestMillionClients(t *testing.T) {
	n := 1_000_000
	if raceEnabled() {
		n = 20_000
	}
	r := with(t, func(c *otelgate.Config) { c.MaxClients, c.MaxTenants = 100, 20 })
	decided := r.GateHooks().Decided
	for i := range n {
		name := fmt.Sprint("client-", i)
		decided(t.Context(), decision(bearergate.NewToken(bearergate.Claims{Issuer: fmt.Sprint("issuer-", i%3), ClientID: name, Tenant: name}), nil))
	}
	clients, tenants := r.points(t, "bearergate.client_decisions"), r.points(t, "bearergate.tenant_decisions")
	require.Len(t, clients, 100+1)
	require.Len(t, tenants, 20+1)
	require.Equal(t, n-100, clients["bearergate.client=other bearergate.issuer=other bearergate.principal=unknown"])
	require.Equal(t, n-20, tenants["bearergate.issuer=other bearergate.tenant=other"])
	require.Equal(t, 1, clients["bearergate.client=client-99 bearergate.issuer=issuer-0 bearergate.principal=unknown"])
}

// Without the options, nothing of a client is told. Each is for itself.
func TestClientsAreOff(t *testing.T) {
	token := bearergate.NewToken(bearergate.Claims{Issuer: "the-issuer", Subject: "the-client", ClientID: "the-client", Tenant: "the-tenant"})
	for _, tc := range []struct {
		name            string
		change          func(*otelgate.Config)
		clients, tenant int
		span            string
	}{
		{name: "none", change: func(*otelgate.Config) {}},
		{name: "MaxClients", change: func(c *otelgate.Config) { c.MaxClients = 1 }, clients: 1},
		{name: "MaxTenants", change: func(c *otelgate.Config) { c.MaxTenants = 1 }, tenant: 1},
		{name: "SpanClient", change: func(c *otelgate.Config) { c.SpanClient = true }, span: "bearergate.client=the-client bearergate.issuer=the-issuer"},
		{name: "SpanTenant", change: func(c *otelgate.Config) { c.SpanTenant = true }, span: "bearergate.issuer=the-issuer bearergate.tenant=the-tenant"},
		{name: "SpanPrincipal", change: func(c *otelgate.Config) { c.SpanPrincipal = true }, span: "bearergate.principal=client"},
	} {
		r := with(t, tc.change)
		ctx, span := r.tracer.Start(t.Context(), "request")
		r.GateHooks().Decided(ctx, decision(token, nil))
		span.End()
		require.Len(t, r.points(t, "bearergate.client_decisions"), tc.clients, tc.name)
		require.Len(t, r.points(t, "bearergate.tenant_decisions"), tc.tenant, tc.name)
		require.Equal(t, tc.span, sender(r.span(t, "request")), tc.name)
		require.Equal(t, tc.clients > 0, strings.Contains(r.toldByMetrics(t), "the-client"), tc.name)
		require.Equal(t, tc.tenant > 0, strings.Contains(r.toldByMetrics(t), "the-tenant"), tc.name)
	}
}

// A request that is ended midway was counted when it began; its span says who sent it.
func TestMidstreamIsNoDecisionOfAClient(t *testing.T) {
	r := with(t, func(c *otelgate.Config) { c.MaxClients, c.MaxTenants, c.SpanClient = 1, 1, true })
	ctx, span := r.tracer.Start(t.Context(), "request")
	e := decision(bearergate.NewToken(bearergate.Claims{ClientID: "shop"}), bearergate.ErrInvalidToken)
	e.Midstream = true
	r.GateHooks().Decided(ctx, e)
	span.End()
	require.Empty(t, r.points(t, "bearergate.client_decisions"))
	require.Empty(t, r.points(t, "bearergate.tenant_decisions"))
	require.Equal(t, "bearergate.client=shop bearergate.issuer=", sender(r.span(t, "request")))
}

// Of several gates, the last one to know says who sent a request. One that refuses a token of
// nobody's takes back what was said of another one.
func TestTheLastSenderCounts(t *testing.T) {
	shop := bearergate.NewToken(bearergate.Claims{Issuer: "i", ClientID: "shop", Tenant: "acme"})
	other := bearergate.NewToken(bearergate.Claims{Issuer: "j", ClientID: "mobile"})
	for _, tc := range []struct {
		name string
		then middleware.DecisionEvent
		want string
	}{
		{name: "a gate that lets a stranger in", then: decision(nil, nil), want: "bearergate.client=shop bearergate.issuer=i bearergate.principal=unknown bearergate.tenant=acme"},
		{name: "a gate with another token", then: decision(other, nil), want: "bearergate.client=mobile bearergate.issuer=j bearergate.principal=unknown bearergate.tenant=acme"},
		{name: "a gate that refuses another token", then: decision(other, bearergate.ErrForbidden), want: "bearergate.client=mobile bearergate.issuer=j bearergate.principal=unknown bearergate.tenant="},
		{name: "a gate that refuses a token of nobody's", then: decision(nil, bearergate.ErrInvalidToken), want: "bearergate.client= bearergate.issuer= bearergate.principal= bearergate.tenant="},
	} {
		r := with(t, func(c *otelgate.Config) { c.SpanClient, c.SpanTenant, c.SpanPrincipal = true, true, true })
		ctx, span := r.tracer.Start(t.Context(), "request")
		r.GateHooks().Decided(ctx, decision(shop, nil))
		r.GateHooks().Decided(ctx, tc.then)
		span.End()
		require.Equal(t, tc.want, sender(r.span(t, "request")), tc.name)
	}
}

// The SDK links a measurement to the trace of its context, where that is sampled: nothing here
// measures with another context.
func TestExemplars(t *testing.T) {
	for _, sampled := range []bool{true, false} {
		sampler := sdktrace.NeverSample()
		if sampled {
			sampler = sdktrace.AlwaysSample()
		}
		r := with(t, func(c *otelgate.Config) { c.MaxClients, c.MaxTenants = 1, 1 }, sdktrace.WithSampler(sampler))
		ctx, span := r.tracer.Start(t.Context(), "request")
		token := bearergate.NewToken(bearergate.Claims{ClientID: "shop", Tenant: "acme"})
		r.GateHooks().Decided(ctx, decision(token, nil))
		r.VerifyHooks().Verified(ctx, jwtverify.VerifyEvent{Issuer: "i", Token: token, Duration: time.Millisecond})
		r.IntrospectHooks().Looked(ctx, introspect.LookEvent{Issuer: "i", Token: token, Duration: time.Millisecond})
		span.End()
		var all metricdata.ResourceMetrics
		require.NoError(t, r.reader.Collect(t.Context(), &all))
		linked := map[string]int{}
		for _, m := range all.ScopeMetrics[0].Metrics {
			switch data := m.Data.(type) {
			case metricdata.Histogram[float64]:
				for _, e := range data.DataPoints[0].Exemplars {
					require.Equal(t, span.SpanContext().TraceID().String(), fmt.Sprintf("%x", e.TraceID))
					require.Equal(t, span.SpanContext().SpanID().String(), fmt.Sprintf("%x", e.SpanID))
					linked[m.Name]++
				}
			case metricdata.Sum[int64]:
				for _, e := range data.DataPoints[0].Exemplars {
					require.Equal(t, span.SpanContext().TraceID().String(), fmt.Sprintf("%x", e.TraceID))
					require.Equal(t, span.SpanContext().SpanID().String(), fmt.Sprintf("%x", e.SpanID))
					linked[m.Name]++
				}
			}
		}
		want := map[string]int{}
		if sampled {
			want = map[string]int{"bearergate.decisions": 1, "bearergate.client_decisions": 1, "bearergate.tenant_decisions": 1, "bearergate.verify.duration": 1, "bearergate.introspect.duration": 1}
		}
		require.Equal(t, want, linked)
	}
}

// The span of a request that is refused names the check, for every Reason that there is, and
// so does the span of the verification.
func TestEveryReasonIsNamed(t *testing.T) {
	source, err := os.ReadFile("../../error.go")
	require.NoError(t, err)
	reasons := regexp.MustCompile(`(?m)^\tReason\w+ +Reason = "(\w+)"`).FindAllStringSubmatch(string(source), -1)
	require.Len(t, reasons, strings.Count(string(source), ` Reason = "`))
	require.Greater(t, len(reasons), 30)
	for _, kind := range []error{bearergate.ErrInvalidToken, bearergate.ErrForbidden, bearergate.ErrUnavailable} {
		for _, m := range reasons {
			refusal := &bearergate.Error{Kind: kind, Reason: bearergate.Reason(m[1])}
			r := newRig(t)
			ctx, span := r.tracer.Start(t.Context(), "request")
			r.GateHooks().Decided(ctx, decision(nil, refusal))
			r.VerifyHooks().Verified(ctx, jwtverify.VerifyEvent{Err: refusal})
			r.IntrospectHooks().Looked(ctx, introspect.LookEvent{Result: introspect.ResultMiss, Err: refusal})
			span.End()
			require.Equal(t, m[1], said(r.span(t, "request"))["reason"])
			require.Contains(t, text(r.span(t, "bearergate.verify").Attributes), "error.type="+m[1])
			require.Contains(t, text(r.span(t, "bearergate.introspect").Attributes), "error.type="+m[1])
		}
	}
}
