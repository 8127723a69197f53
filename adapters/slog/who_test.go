package sloggate_test

import (
	"context"
	"encoding/base64"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	sloggate "github.com/bearergate/bearergate/adapters/slog"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/revocation"
	"github.com/bearergate/bearergate/scope"
)

// A real token through a real gate: the record says on whose behalf, by whom, from where, and
// with which key it was signed.
func TestWhoItWas(t *testing.T) {
	as := authtest.New(t)
	a, o := newAudit(t, sloggate.Config{Trace: func(ctx context.Context) (string, string) {
		ids, _ := ctx.Value(traceKey{}).([2]string)
		return ids[0], ids[1]
	}})
	v, err := jwtverify.New(jwtverify.Config{Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client(), Map: func(c *bearergate.Claims) error {
		c.Tenant, c.Roles = "acme", []string{"clerk", "order admin"}
		return nil
	}})
	require.NoError(t, err)
	from, err := bearergate.NewClientAddress(bearergate.ClientAddressConfig{Header: "X-Forwarded-For", Trusted: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}})
	require.NoError(t, err)
	gate, err := middleware.New(v, middleware.Config{Hooks: a.GateHooks(), ClientAddress: from})
	require.NoError(t, err)
	ask := func(token string) {
		r := httptest.NewRequestWithContext(context.WithValue(t.Context(), traceKey{}, [2]string{"4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"}), "GET", "/", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("X-Forwarded-For", "203.0.113.66, 198.51.100.7")
		gate.Require(scope.All("orders:read"))(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(httptest.NewRecorder(), r)
	}
	ask(as.Token(authtest.Claims{Subject: "alice", ClientID: "shop", ID: "7fd1", Scopes: scope.Of("orders:read"), AuthTime: time.Now(), Raw: []byte(`{"sid":"s-1"}`),
		Actors: []bearergate.Actor{{Subject: "robot", ClientID: "robots"}, {Subject: "earlier", Issuer: "https://partner.example.test"}}}))
	r := o.record(t, sloggate.EventDecision)
	key := r["key"].(string)
	published, err := base64.RawURLEncoding.DecodeString(key)
	require.NoError(t, err)
	require.Len(t, published, 32)
	require.Equal(t, map[string]any{"level": "INFO", "outcome": "accepted", "method": "GET", "source": "header", "address": "198.51.100.7", "required": "orders:read",
		"principal": "user", "issuer": as.Issuer(), "subject": "alice", "client": "shop", "jti": "7fd1", "session": "s-1", "tenant": "acme", "scopes": "orders:read", "roles": []any{"clerk", "order admin"}, "key": key,
		"actors":   []any{map[string]any{"subject": "robot", "client": "robots"}, map[string]any{"subject": "earlier", "issuer": "https://partner.example.test"}},
		"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "span_id": "00f067aa0ba902b7"}, without(r, "duration"))

	// The refused side says the same of whose token it was, and nothing as if it were the sender's.
	a, o = newAudit(t, sloggate.Config{})
	gate, err = middleware.New(v, middleware.Config{Hooks: a.GateHooks(), ClientAddress: from})
	require.NoError(t, err)
	ask(as.Token(authtest.Claims{Subject: "shop", ClientID: "shop", ID: "7fd2", ExpiresAt: time.Now().Add(-time.Hour), Raw: []byte(`{"sid":"s-2"}`)}))
	r = o.record(t, sloggate.EventDecision)
	require.Equal(t, "expired", r["reason"])
	require.Equal(t, "198.51.100.7", r["address"])
	for _, member := range []string{"principal", "session", "key", "trace_id"} {
		require.NotContains(t, r, member)
	}
	refused := r["refused"].(map[string]any)
	require.Equal(t, "client", refused["principal"])
	require.Equal(t, "s-2", refused["session"])
	require.Equal(t, key, refused["key"])
}

// What a token does not say is left out, and nobody is taken for a user who is not said to be one.
func TestPrincipal(t *testing.T) {
	for _, tc := range []struct {
		name   string
		claims bearergate.Claims
		want   string
	}{
		{name: "a user", claims: bearergate.Claims{Subject: "alice", ClientID: "shop", AuthTime: time.Unix(1, 0)}, want: "user"},
		{name: "a client", claims: bearergate.Claims{Subject: "shop", ClientID: "shop"}, want: "client"},
		{name: "it does not say", claims: bearergate.Claims{Subject: "alice", ClientID: "shop"}, want: "unknown"},
		{name: "nobody", want: "unknown"},
	} {
		a, o := newAudit(t, sloggate.Config{})
		a.GateHooks().Decided(t.Context(), middleware.DecisionEvent{Token: bearergate.NewToken(tc.claims)})
		r := without(o.record(t, sloggate.EventDecision), "duration", "outcome", "level", "subject", "client")
		require.Equal(t, map[string]any{"principal": tc.want}, r, tc.name)
	}
}

// A chain is bounded, in its length and in each text of it, and so is everything else that
// somebody else has written.
func TestBoundsOfWhoItWas(t *testing.T) {
	long := strings.Repeat("x", 1000)
	c := bearergate.Claims{SessionID: long, Tenant: "a\nb", Roles: slices.Repeat([]string{long}, 10), Actors: slices.Repeat([]bearergate.Actor{{Subject: long, Issuer: "\x1b[2J", ClientID: long}}, 20)}
	var plain output
	for _, handler := range []slog.Handler{nil, slog.NewTextHandler(&plain, nil), naive{&plain}} {
		a, o := newAudit(t, sloggate.Config{Handler: handler, MaxText: 16, Trace: func(context.Context) (string, string) { return long, "a\nb" }})
		a.GateHooks().Decided(t.Context(), middleware.DecisionEvent{Token: bearergate.NewToken(c)})
		if handler != nil {
			require.Contains(t, plain.String(), `more_actors=4`)
			require.NotContains(t, plain.String(), strings.Repeat("x", 65))
			continue
		}
		r := o.record(t, sloggate.EventDecision)
		cut := strings.Repeat("x", 16) + "…"
		require.Equal(t, cut, r["session"])
		require.Equal(t, `"a\nb"`, r["tenant"])
		require.Equal(t, []any{cut, cut, cut}, r["roles"], "with the mark of the cut, a fourth is too long")
		require.EqualValues(t, 7, r["more_roles"])
		require.Equal(t, cut, r["trace_id"])
		require.Equal(t, `"a\nb"`, r["span_id"])
		require.Len(t, r["actors"], 16)
		require.EqualValues(t, 4, r["more_actors"])
		for _, actor := range r["actors"].([]any) {
			require.Equal(t, map[string]any{"subject": cut, "issuer": `"\x1b[2J"`, "client": cut}, actor)
		}
	}
	require.Len(t, strings.Split(strings.TrimSpace(plain.String()), "\n"), 2)

	// A role that is too long by its quotes alone is there all the same.
	a, o := newAudit(t, sloggate.Config{MaxText: 16})
	a.GateHooks().Decided(t.Context(), middleware.DecisionEvent{Token: bearergate.NewToken(bearergate.Claims{Roles: []string{strings.Repeat("\x00", 16), "clerk"}})})
	require.Equal(t, []any{`"` + strings.Repeat(`\x00`, 16) + `"`}, o.record(t, sloggate.EventDecision)["roles"])

	a, o = newAudit(t, sloggate.Config{})
	c.Actors = c.Actors[:16]
	a.GateHooks().Decided(t.Context(), middleware.DecisionEvent{Token: bearergate.NewToken(c)})
	require.NotContains(t, o.record(t, sloggate.EventDecision), "more_actors")
}

// Every record of every event says its trace, and a panic of Trace costs none.
func TestTrace(t *testing.T) {
	a, o := newAudit(t, sloggate.Config{Trace: func(ctx context.Context) (string, string) { return ctx.Value(traceKey{}).(string), "" }})
	ctx := context.WithValue(t.Context(), traceKey{}, "4bf92f35")
	a.GateHooks().Decided(ctx, middleware.DecisionEvent{})
	a.KeyHooks().KeySkipped(ctx, jwks.KeyEvent{})
	a.RevocationHooks().Changed(ctx, revocation.ChangeEvent{})
	records := o.records(t, "")
	require.Len(t, records, 3)
	for _, r := range records {
		require.Equal(t, "4bf92f35", r["trace_id"])
		require.NotContains(t, r, "span_id")
	}
	a.GateHooks().Decided(t.Context(), middleware.DecisionEvent{})
	r := o.records(t, "")[3]
	require.Equal(t, "*runtime.TypeAssertionError", r["trace_panicked"])
	require.Equal(t, "accepted", r["outcome"])
}
