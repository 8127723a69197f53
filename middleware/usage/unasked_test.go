package usage_test

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/middleware/usage"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/bearergate/bearergate/test/kit"
)

// What tokens grant and no route of the table asks for, seen through a gate.
func TestUnasked(t *testing.T) {
	verifier := bearergate.VerifierFunc(func(_ context.Context, token string) (*bearergate.Token, error) {
		text, err := base64.RawURLEncoding.DecodeString(token)
		client, scopes, _ := strings.Cut(string(text), "/")
		if err != nil {
			return nil, err
		}
		return bearergate.NewToken(bearergate.Claims{Issuer: "https://as.example", ClientID: client, Scopes: scope.Of(strings.Split(scopes, "+")...)}), nil
	})
	u, err := usage.New(usage.Config{})
	require.NoError(t, err)
	gate, err := middleware.New(verifier, middleware.Config{Hooks: u.Hooks()})
	require.NoError(t, err)
	nothing := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	rt := gate.NewRouter()
	policy := func(r scope.Requirement) scope.Requirement {
		return compiled(t, scope.Policy{Separator: ":", Implies: map[string][]string{"admin": {"orders:*"}}}, r)
	}
	rt.Handle("GET /orders", policy(scope.All("orders:read")), nothing)
	rt.Authenticated("GET /me", nothing)
	rt.Handle("GET /docs/{id}", policy(scope.AnyOf(scope.All("docs"), scope.Template("doc:read:{id}"))), nothing)
	rt.Authenticated("GET /reports", nothing, middleware.Trial(scope.All("reports:read"), nil))
	rt.Public("GET /health", nothing)
	h, err := rt.Handler()
	require.NoError(t, err)
	elsewhere := gate.Require(scope.All("jobs"))(nothing)
	ask := func(h http.Handler, path, token string) {
		r := httptest.NewRequest("GET", path, nil)
		r.Header.Set("Authorization", "Bearer "+base64.RawURLEncoding.EncodeToString([]byte(token)))
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	ask(h, "/me", "shop/orders:read+orders:*+admin+docs+doc:read:7+doc:read:*+reports:read")
	require.Empty(t, u.Report().Unasked(rt.Routes()), "all of these open something")
	ask(h, "/me", "shop/openid+email+offline_access+invoices:write+jobs")
	ask(h, "/orders", "till/invoices:write+orders:read+zebra") // one that opens a route
	ask(elsewhere, "/jobs", "shop/jobs")
	ask(h, "/orders", "poor/invoices:read") // one that does not
	want := []usage.Unasked{{Scope: "invoices:read", Clients: 1}, {Scope: "invoices:write", Clients: 2}, {Scope: "zebra", Clients: 1}}
	require.Equal(t, want, u.Report().Unasked(rt.Routes()))
	require.Equal(t, want[:2], u.Report().Unasked(rt.Routes(), "zebra", "never"))
	require.Empty(t, usage.Report{}.Unasked(rt.Routes()))
	require.Len(t, u.Report().Unasked(nil), 9, "without routes, all but what opened something")

	// Two processes, put together.
	merged := usage.Merge(u.Report(), usage.Report{Clients: []usage.Client{{ClientID: "other", Exercised: []string{"zebra"}}}})
	require.Equal(t, want[:2], merged.Unasked(rt.Routes()))
}

// A gauge of them is worked out once a minute, for the routes of then.
func TestUnaskedBy(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		u, err := usage.New(usage.Config{})
		require.NoError(t, err)
		gate, err := middleware.New(bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) {
			return bearergate.NewToken(bearergate.Claims{Scopes: scope.Of("a", "b", "c", "d")}), nil
		}), middleware.Config{Hooks: u.Hooks()})
		require.NoError(t, err)
		one, two := gate.NewRouter(), gate.NewRouter()
		count, err := u.UnaskedBy([]string{"d"}, one, two)
		require.NoError(t, err)
		require.Zero(t, count())
		nothing := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
		r := httptest.NewRequest("GET", "/me", nil)
		r.Header.Set("Authorization", "Bearer x")
		gate.Require(scope.Requirement{})(nothing).ServeHTTP(httptest.NewRecorder(), r)
		require.Zero(t, count(), "within the minute")
		time.Sleep(usage.UnaskedFor)
		require.Equal(t, 3, count())
		one.Handle("GET /a", scope.All("a"), nothing)
		two.Handle("GET /b", scope.All("b"), nothing)
		time.Sleep(usage.UnaskedFor)
		require.Equal(t, 1, count())

		for name, f := range map[string]func() (func() int, error){
			"nil":          func() (func() int, error) { return (*usage.Usage)(nil).UnaskedBy(nil, one) },
			"zero":         func() (func() int, error) { return new(usage.Usage).UnaskedBy(nil, one) },
			"no router":    func() (func() int, error) { return u.UnaskedBy(nil) },
			"a nil router": func() (func() int, error) { return u.UnaskedBy(nil, one, nil) },
		} {
			count, err := f()
			require.Nil(t, count, name)
			kit.RequireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
		}
	})
}
