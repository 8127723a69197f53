package connectgate_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

// What a service returns in the terms of package bearergate is answered as the gate would, and
// its text stays here.
func TestErrorsOfTheService(t *testing.T) {
	const secret = "db7.internal.example"
	refund := func(ctx context.Context) error {
		token, _ := bearergate.FromContext(ctx)
		return token.Authorize(scope.All("refund"))
	}
	const narrow = `Bearer realm="api", error="insufficient_scope", error_description="The access token does not have the required scope.", scope="refund"`
	s := new(service)
	var says func(context.Context) error
	s.says = func(ctx context.Context) error { return says(ctx) }
	gate := newGate(t, answers(reader(nil), nil), middleware.Config{})
	server := serve(t, gate, s)
	for _, row := range []struct {
		name      string
		says      func(context.Context) error
		code      connect.Code
		reason    string
		challenge []string
		retry     bool
	}{
		{name: "for scope", says: refund, code: connect.CodePermissionDenied, reason: "INSUFFICIENT_SCOPE", challenge: []string{narrow}},
		{name: "the same, wrapped in an error of connect", says: func(ctx context.Context) error {
			return connect.NewError(connect.CodeNotFound, fmt.Errorf("%s: %w", secret, refund(ctx)))
		}, code: connect.CodePermissionDenied, reason: "INSUFFICIENT_SCOPE", challenge: []string{narrow}},
		{name: "by Refuse", says: func(ctx context.Context) error { return gate.Refuse(ctx, refund(ctx)) },
			code: connect.CodePermissionDenied, reason: "INSUFFICIENT_SCOPE", challenge: []string{narrow}},
		{name: "an outage", says: func(context.Context) error {
			return &bearergate.Error{Kind: bearergate.ErrUnavailable, Cause: errors.New(secret)}
		},
			code: connect.CodeUnavailable, reason: "TEMPORARILY_UNAVAILABLE", retry: true},
		{name: "a policy", says: func(context.Context) error { return fmt.Errorf("%s: %w", secret, bearergate.ErrForbidden) },
			code: connect.CodePermissionDenied, reason: "FORBIDDEN"},
	} {
		t.Run(row.name, func(t *testing.T) {
			says = row.says
			for _, w := range wires {
				_, err := ask(t, w.client(t, server, get), get, "Bearer x")
				refused, _ := requireRefused(t, err, row.code, row.reason)
				require.Equal(t, row.challenge, refused.Meta()["Www-Authenticate"], w.name)
				requireRetry(t, row.retry, refused)
				require.NotContains(t, err.Error(), secret)
			}
		})
	}
	// Others are the service's own.
	says = func(context.Context) error {
		return connect.NewError(connect.CodeNotFound, errors.New("no such order"))
	}
	_, err := ask(t, wires[0].client(t, server, get), get, "Bearer x")
	require.Equal(t, connect.CodeNotFound, connect.CodeOf(err))
	require.ErrorContains(t, err, "no such order")

	require.NoError(t, gate.Refuse(t.Context(), nil))
	requireRefused(t, gate.Refuse(nil, errors.New(secret)), connect.CodeInternal, "MISCONFIGURED") //nolint:staticcheck // a caller's mistake
	requireRefused(t, gate.Refuse(t.Context(), bearergate.ErrMissingToken), connect.CodeUnauthenticated, "MISSING_TOKEN")
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	requireRefused(t, gate.Refuse(gone, &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonCanceled}), connect.CodeCanceled, "CANCELED")
}

// A service that is served past the gate, or for a path that the gate has not judged, is closed.
func TestPastTheGate(t *testing.T) {
	var seen events
	s := new(service)
	gate := newGate(t, answers(reader(nil), nil), middleware.Config{Hooks: seen.hooks()})
	service := s.mux(connect.WithInterceptors(gate.Interceptor()))
	guarded, err := gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if to := r.Header.Get("Rewrite"); to != "" {
			r = r.Clone(r.Context())
			r.URL.Path = to
		}
		service.ServeHTTP(w, r)
	}))
	require.NoError(t, err)
	other := newGate(t, answers(reader(nil), nil), middleware.Config{})
	foreign, err := other.Handler(service) // with the interceptor of another gate
	require.NoError(t, err)

	for _, row := range []struct {
		name    string
		handler http.Handler
		rewrite string
	}{
		{name: "without the gate", handler: service},
		{name: "behind another gate", handler: foreign},
		{name: "another procedure than the one that was judged", handler: guarded, rewrite: pay},
		{name: "one that is not listed", handler: guarded, rewrite: hidden},
	} {
		t.Run(row.name, func(t *testing.T) {
			server := httptest.NewUnstartedServer(row.handler)
			server.EnableHTTP2 = true
			server.StartTLS()
			defer server.Close()
			for _, w := range wires {
				for _, procedure := range []string{get, watch, health} {
					if row.rewrite != "" && procedure == watch {
						continue
					}
					c := w.client(t, server, procedure, connect.WithInterceptors(header{"Rewrite", row.rewrite}))
					_, err := ask(t, c, procedure, "Bearer x")
					refused, _ := requireRefused(t, err, connect.CodeInternal, "MISCONFIGURED")
					require.Empty(t, refused.Meta().Values("WWW-Authenticate"))
					decided := seen.take()
					require.NotEmpty(t, decided)
					last := decided[len(decided)-1]
					require.ErrorIs(t, last.Err, bearergate.ErrMisconfigured)
					require.Equal(t, bearergate.ReasonConfig, last.Reason)
				}
			}
			require.Zero(t, s.count(), "the service ran")
		})
	}
}

// header is a client's interceptor that sends one.
type header struct{ name, value string }

func (h header) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, r connect.AnyRequest) (connect.AnyResponse, error) {
		if h.value != "" {
			r.Header().Set(h.name, h.value)
		}
		return next(ctx, r)
	}
}
func (h header) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}
func (h header) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}

// The interceptor on a client changes nothing.
func TestInterceptorOfAClient(t *testing.T) {
	gate := newGate(t, answers(reader(nil), nil), middleware.Config{})
	server := serve(t, gate, new(service))
	for _, procedure := range []string{get, watch} {
		got, err := ask(t, wires[0].client(t, server, procedure, connect.WithInterceptors(gate.Interceptor())), procedure, "Bearer x")
		require.NoError(t, err)
		require.Equal(t, "alice", got)
	}
}

// With nothing enforced, calls and streams go on, past exp too.
func TestReportOnly(t *testing.T) {
	var seen events
	expired := reader(func(c *bearergate.Claims) { c.Scopes, c.ExpiresAt = scope.Of("other"), time.Now().Add(-time.Second) })
	server := serve(t, newGate(t, answers(expired, nil), middleware.Config{InsecureReportOnly: true, Hooks: seen.hooks()}), new(service))
	for _, procedure := range []string{get, watch, talk} {
		got, err := ask(t, wires[0].client(t, server, procedure), procedure, "Bearer x")
		require.NoError(t, err)
		require.Equal(t, "alice", got)
		decided := seen.take()
		require.Len(t, decided, 1)
		require.True(t, decided[0].ReportOnly)
		require.ErrorIs(t, decided[0].Err, bearergate.ErrInsufficientScope)
	}
}
