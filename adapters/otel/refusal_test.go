package otelgate_test

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
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

// said is why, in the words of a span, by the last part of their names.
func said(s tracetest.SpanStub) map[string]string {
	words := map[string]string{}
	for _, a := range s.Attributes {
		switch name := strings.TrimPrefix(string(a.Key), "bearergate."); name {
		case "reason", "detail", "expected", "found", "unverified":
			words[name] = a.Value.String()
		}
	}
	return words
}

// A refusal explains itself, on the span of what refused and on that of the request.
func TestRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as := authtest.New(t)
		for name, tc := range map[string]struct {
			opaque bool
			token  string
			span   string // of what refused, beside the request
			reason string
			want   map[string]string // said of both, beside the detail
		}{
			"audience": {
				token: as.Token(authtest.Claims{Audience: []string{"https://other.example.test", "graph"}}),
				span:  "bearergate.verify", reason: "audience",
				want: map[string]string{"expected": `"https://api.example.test"`, "found": `"https://other.example.test" "graph"`},
			},
			"expired": {
				token: as.Token(authtest.Claims{ExpiresAt: time.Unix(0, 0)}),
				span:  "bearergate.verify", reason: "expired",
				want: map[string]string{"expected": "later than 1999-12-31T23:59:55Z", "found": "1970-01-01T00:00:00Z"},
			},
			"unknown key": {
				token: as.Sign(map[string]any{"kid": "k\n1"}, as.Claims(authtest.Claims{})),
				span:  "bearergate.verify", reason: "unknown_key",
				want: map[string]string{"found": `kid "k\n1", alg "ES256"`, "unverified": "true"},
			},
			"no JWT": {
				token: "opaque",
				span:  "bearergate.verify", reason: "malformed",
			},
			"inactive": {
				opaque: true, token: "unknown",
				span: "bearergate.introspect", reason: "inactive",
			},
			"audience of an opaque token": {
				opaque: true, token: as.Opaque(authtest.Claims{Audience: []string{"graph"}}),
				span: "bearergate.introspect", reason: "audience",
				want: map[string]string{"expected": `"https://api.example.test"`, "found": `"graph"`},
			},
			"scope": {
				token:  as.Token(authtest.Claims{Scopes: scope.Of("orders:write")}),
				reason: "scope",
				want:   map[string]string{"detail": "the token does not have the scopes"},
			},
		} {
			r := newRig(t)
			v := bearergate.Verifier(jwtVerifier(t, r, as))
			if tc.opaque {
				client, err := introspect.New(introspect.Config{Issuer: as.Issuer(), Auth: introspect.BasicAuth("orders-api", "our-s3cret"),
					Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client(), Hooks: r.IntrospectHooks()})
				require.NoError(t, err)
				v = client
			}
			var refusal *bearergate.Error
			r.request(t, v, middleware.Hooks{Decided: func(_ context.Context, e middleware.DecisionEvent) { refusal = bearergate.AsError(e.Err) }}, tc.token)

			want := map[string]string{}
			maps.Copy(want, tc.want)
			if tc.span != "" {
				require.NotEmpty(t, refusal.Detail, name)
				want["detail"] = refusal.Detail
				s := r.span(t, tc.span)
				require.Equal(t, want, said(s), name)
				require.Contains(t, text(s.Attributes), "error.type="+tc.reason, name)
			}
			metrics := r.toldByMetrics(t)
			require.Contains(t, metrics, tc.reason, name)
			for word, text := range want { // metrics hold the reason alone
				require.NotContains(t, metrics, "bearergate."+word, name)
				if word != "unverified" {
					require.NotContains(t, metrics, text, name)
				}
			}
			want["reason"] = tc.reason
			require.Equal(t, want, said(r.span(t, "request")), name)
		}
	})
}

// request has a gate decide on a token, in a span of that name.
func (r *rig) request(t testing.TB, v bearergate.Verifier, more middleware.Hooks, token string) {
	t.Helper()
	gate, err := middleware.New(v, middleware.Config{Hooks: middleware.JoinHooks(r.GateHooks(), more)})
	require.NoError(t, err)
	ctx, span := r.tracer.Start(t.Context(), "request")
	defer span.End()
	req := httptest.NewRequestWithContext(ctx, "GET", "/", nil)
	req.Header.Set("Authorization", "Bearer "+token)
	gate.Require(scope.All("orders:read"))(http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), req)
}

// A verifier of the user's may say anything: of what size and form, a span decides.
func TestWordsAreBounded(t *testing.T) {
	long := strings.Repeat("x", 2000)
	for name, tc := range map[string]struct {
		err  *bearergate.Error
		want map[string]string
	}{
		"nothing":               {&bearergate.Error{}, nil},
		"a cause":               {&bearergate.Error{Cause: errors.New("what nobody may read")}, nil},
		"an explanation below":  {&bearergate.Error{Cause: &bearergate.Error{Detail: "what nobody may read"}}, nil},
		"whose it was":          {(&bearergate.Error{}).WithRefused(bearergate.NewToken(bearergate.Claims{Subject: "nobody"})), nil},
		"unsigned, not found":   {&bearergate.Error{Detail: "d", Expected: "e", Unsigned: true}, map[string]string{"detail": "d", "expected": "e"}},
		"unsigned":              {&bearergate.Error{Found: "f", Unsigned: true}, map[string]string{"found": "f", "unverified": "true"}},
		"just as long":          {&bearergate.Error{Detail: long[:1024]}, map[string]string{"detail": long[:1024]}},
		"too long":              {&bearergate.Error{Detail: long, Expected: long, Found: long}, map[string]string{"detail": long[:1021] + "…", "expected": long[:1021] + "…", "found": long[:1021] + "…"}},
		"too long by a byte":    {&bearergate.Error{Found: long[:1025]}, map[string]string{"found": long[:1021] + "…"}},
		"two bytes each":        {&bearergate.Error{Found: strings.Repeat("ü", 1000)}, map[string]string{"found": strings.Repeat("ü", 510) + "…"}},
		"three bytes each":      {&bearergate.Error{Found: "x" + strings.Repeat("€", 1000)}, map[string]string{"found": "x" + strings.Repeat("€", 340) + "…"}},
		"four bytes each":       {&bearergate.Error{Found: "xx" + strings.Repeat("🔑", 1000)}, map[string]string{"found": "xx" + strings.Repeat("🔑", 254) + "…"}},
		"no UTF-8":              {&bearergate.Error{Found: "a\xffb\xc3"}, map[string]string{"found": "ab"}},
		"no UTF-8, and no end":  {&bearergate.Error{Found: strings.Repeat("\x80", 5000)}, map[string]string{"found": "…"}},
		"nothing that is UTF-8": {&bearergate.Error{Found: "\xff"}, nil},
	} {
		tc.err.Kind, tc.err.Reason = bearergate.ErrInvalidToken, bearergate.ReasonPolicy
		r := newRig(t)
		ctx, span := r.tracer.Start(t.Context(), "request")
		r.GateHooks().Decided(ctx, middleware.DecisionEvent{Method: "GET", Err: tc.err})
		r.VerifyHooks().Verified(ctx, jwtverify.VerifyEvent{Err: tc.err})
		r.IntrospectHooks().Looked(ctx, introspect.LookEvent{Result: introspect.ResultMiss, Err: tc.err})
		span.End()
		want := map[string]string{}
		maps.Copy(want, tc.want)
		require.Equal(t, want, said(r.span(t, "bearergate.verify")), name)
		require.Equal(t, want, said(r.span(t, "bearergate.introspect")), name)
		want["reason"] = "policy"
		require.Equal(t, want, said(r.span(t, "request")), name)
		require.NotContains(t, r.told(t), "nobody", name)
		for _, text := range said(r.span(t, "request")) {
			require.True(t, utf8.ValidString(text), name)
			require.LessOrEqual(t, len(text), 1024, name)
		}
	}
}

// Of two gates, the first of which only reports, the span shows the second refusal alone.
func TestTheLastRefusalCounts(t *testing.T) {
	first := &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonSignature, Detail: "d1", Expected: "e1", Found: "f1", Unsigned: true}
	for name, tc := range map[string]struct {
		second *bearergate.Error
		want   map[string]string
	}{
		"that says nothing": {
			&bearergate.Error{Kind: bearergate.ErrInsufficientScope, Reason: bearergate.ReasonScope},
			map[string]string{"reason": "scope", "detail": "", "expected": "", "found": "", "unverified": "false"},
		},
		"that says less": {
			&bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonAudience, Detail: "d2", Found: "f2"},
			map[string]string{"reason": "audience", "detail": "d2", "expected": "", "found": "f2", "unverified": "false"},
		},
		"that says as much": {
			&bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonUnknownKey, Detail: "d2", Expected: "e2", Found: "f2", Unsigned: true},
			map[string]string{"reason": "unknown_key", "detail": "d2", "expected": "e2", "found": "f2", "unverified": "true"},
		},
	} {
		r := newRig(t)
		ctx, span := r.tracer.Start(t.Context(), "request")
		decided := r.GateHooks().Decided
		decided(ctx, middleware.DecisionEvent{Err: first, ReportOnly: true})
		decided(ctx, middleware.DecisionEvent{Err: tc.second})
		decided(ctx, middleware.DecisionEvent{})
		span.End()
		require.Equal(t, tc.want, said(r.span(t, "request")), name)
	}
}

// Where nothing is recorded, words cost nothing: not even to look at their length.
func TestUnrecordedWords(t *testing.T) {
	telemetry, err := otelgate.New(otelgate.Config{TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample()))})
	require.NoError(t, err)
	cost := func(refusal *bearergate.Error) float64 {
		refusal.Kind, refusal.Reason = bearergate.ErrInvalidToken, bearergate.ReasonPolicy
		return testing.AllocsPerRun(100, func() {
			telemetry.GateHooks().Decided(t.Context(), middleware.DecisionEvent{Err: refusal})
			telemetry.VerifyHooks().Verified(t.Context(), jwtverify.VerifyEvent{Err: refusal})
		})
	}
	silent := cost(&bearergate.Error{})
	require.Equal(t, silent, cost(&bearergate.Error{Detail: strings.Repeat("x", 1<<20), Expected: "\xff", Found: "\xff", Unsigned: true}))
}
