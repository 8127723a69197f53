package middleware_test

import (
	"cmp"
	"context"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/kit"
)

func advisor(t testing.TB, rt *middleware.Router) *middleware.Advisor {
	t.Helper()
	a, err := rt.Advisor()
	require.NoError(t, err)
	return a
}

// An Advisor says what Handler writes.
func TestAdvisorAgreesWithHandler(t *testing.T) {
	config := middleware.Config{Identity: identityOfUser, Realm: "orders"}
	h := built(t, decideRouter(newGate(t, granting(), config), says("")))
	a := advisor(t, decideRouter(newGate(t, granting(), config), forbidden(t)))
	for _, method := range []string{"GET", "HEAD", "POST", "DELETE"} {
		for _, target := range []string{"/health", "/orders", "/orders/7", "/news", "/nothing", "/no", "/mfa", "/tree/x"} {
			for _, header := range []http.Header{{}, authorized("read"), {"Authorization": {"Bearer a b"}}, {"Authorization": {with("a"), with("b")}}} {
				r := httptest.NewRequest(method, target, nil)
				r.Header = header.Clone()
				want := httptest.NewRecorder()
				h.ServeHTTP(want, r)
				got := a.Advise(t.Context(), middleware.Told{Method: method, Host: "api.example", URI: target, Header: header})
				require.Equal(t, want.Code, got.Status, "%s %s %v", method, target, header)
				require.Equal(t, want.Header()["Www-Authenticate"], got.Header["Www-Authenticate"])
				require.Equal(t, got.Status == 200, got.Set != nil)
				require.Equal(t, got.Status == 200, got.Remove != nil)
				if got.Status == 401 || got.Status == 400 || got.Status == 403 {
					require.Equal(t, want.Body.String(), string(got.Body))
				}
				if got.Status == 200 {
					require.Empty(t, got.Body)
					require.Empty(t, got.Header)
				}
			}
		}
	}
}

// The certificate reaches Bindings by Told alone, and TLS never does.
func TestAdvisorTellsTheCertificate(t *testing.T) {
	own := &x509.Certificate{Raw: []byte("certificate")}
	var calls []bearergate.Call
	binding := certificate(func(_ context.Context, c bearergate.Call, _ *bearergate.Token) (bearergate.Reply, error) {
		calls = append(calls, c)
		return bearergate.Reply{"Cache-Control": "no-store"}, nil
	})
	var asked context.Context
	v := bearergate.VerifierFunc(func(ctx context.Context, _ string) (*bearergate.Token, error) {
		asked = ctx
		return bearergate.NewToken(holder), nil
	})
	routes := func() *middleware.Router {
		rt := newGate(t, v, middleware.Config{Bindings: []bearergate.Binding{binding}}).NewRouter()
		rt.Authenticated("/", says(""))
		return rt
	}
	a, h := advisor(t, routes()), built(t, routes())
	told := middleware.Told{Method: "GET", Host: "api.example", URI: "/", Header: authorized("x"), Peer: netip.MustParseAddrPort("192.0.2.1:4"), Certificate: own}
	got := a.Advise(t.Context(), told)
	require.Equal(t, 200, got.Status)
	require.Equal(t, "no-store", got.Header.Get("Cache-Control"), "what a Binding replies")
	told.Certificate = nil
	a.Advise(asked, told) // in the context of one that had a certificate
	h.ServeHTTP(httptest.NewRecorder(), func() *http.Request {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header = authorized("x")
		return r
	}())
	require.Len(t, calls, 3)
	require.Same(t, own, calls[0].Certificate)
	require.Equal(t, told.Peer, calls[0].Peer)
	for i, c := range calls {
		require.Nil(t, c.TLS)
		require.Equal(t, i == 0, c.Certificate != nil)
	}
}

// What the service must not get is named, however it is spelled.
func TestAdvisorSetsAndRemoves(t *testing.T) {
	rt := newGate(t, granting(), middleware.Config{Identity: identityOfUser, DropAuthorization: true}).NewRouter()
	rt.Handle("/orders/", scope.All("read"), says(""))
	header := authorized("read")
	for _, name := range []string{"X-Auth-Tenant", "X_auth_tenant", "X.auth.Subject", "X-Http-Method-Override", "X_forwarded_for", "X-Forwarded-For", "X-Other"} {
		header[name] = []string{"root"}
	}
	before := header.Clone()
	got := advisor(t, rt).Advise(t.Context(), middleware.Told{Method: "GET", Host: "api.example", URI: "/orders/7", Header: header})
	require.Equal(t, before, header)
	require.Equal(t, 200, got.Status)
	require.Equal(t, "u1", got.Set["X-Auth-Subject"])
	require.NotContains(t, got.Set, "X-Auth-Tenant", "the token has none")
	require.Equal(t, []string{"authorization", "forwarded", "x-auth-tenant", "x-forwarded-host", "x-http-method-override", "x.auth.subject", "x_auth_client", "x_auth_subject", "x_auth_tenant", "x_forwarded_for"}, got.Remove)
}

// What Advise is told stays as it is, whatever a policy does with the request.
func TestAdvisorKeepsWhatItWasTold(t *testing.T) {
	rt := newGate(t, granting(), middleware.Config{}).NewRouter()
	rt.Handle("/", scope.All("read"), says(""), middleware.Allow(func(r *http.Request, _ *bearergate.Token) error {
		require.Equal(t, []any{"HTTP/1.1", 1, 1}, []any{r.Proto, r.ProtoMajor, r.ProtoMinor})
		require.Empty(t, r.RemoteAddr, "nobody has told who sent it")
		r.Header.Del("Authorization")
		r.Header["X-Other"][0] = "changed"
		return nil
	}))
	header := authorized("read")
	header["X-Other"] = []string{"sent"}
	before := header.Clone()
	require.Equal(t, 200, advisor(t, rt).Advise(t.Context(), middleware.Told{Method: "GET", Host: "api.example", URI: "/", Header: header}).Status)
	require.Equal(t, before, header)
}

// A request without any header has an empty one, as any that a server has read.
func TestAdvisorOfNoHeader(t *testing.T) {
	rt := newGate(t, accepts(reader), middleware.Config{Extract: func(r *http.Request) (bearergate.Credentials, error) {
		require.Equal(t, http.Header{}, r.Header)
		return sent(good), nil
	}}).NewRouter()
	rt.Authenticated("/", says(""))
	require.Equal(t, 200, advisor(t, rt).Advise(t.Context(), middleware.Told{Method: "GET", Host: "api.example", URI: "/"}).Status)
}

// Every gate on the way has its identity headers, and forgeries of all of them go.
func TestAdvisorRemovesForgeriesOfEveryGate(t *testing.T) {
	under := func(name string) *middleware.Gate {
		return newGate(t, granting(), middleware.Config{
			Identity:          map[string]func(*bearergate.Token) string{name: (*bearergate.Token).Subject},
			DropAuthorization: name == "X-Inner",
		})
	}
	rt := under("X-Outer").NewRouter()
	need := scope.All("read")
	rt.Handle("/", need, under("X-Middle").Require(need)(under("X-Inner").Require(need)(says(""))))
	header := authorized("read")
	for _, name := range []string{"X.outer", "X.middle", "X.inner"} {
		header[name] = []string{"root"}
	}
	got := advisor(t, rt).Advise(t.Context(), middleware.Told{Method: "GET", Host: "api.example", URI: "/", Header: header})
	require.Equal(t, map[string]string{"X-Outer": "u1", "X-Middle": "u1", "X-Inner": "u1"}, got.Set)
	require.Subset(t, got.Remove, []string{"x.outer", "x.middle", "x.inner", "authorization"})
}

// What Connection lists, the next recipient removes: the identity must not be among it. Envoy
// passes Connection on, as it was sent, with a request that asks for an upgrade.
func TestAdvisorRemovesAConnectionThatListsTheIdentity(t *testing.T) {
	rt := newGate(t, granting(), middleware.Config{Identity: identityOfUser}).NewRouter()
	rt.Handle("/orders/", scope.All("read"), says(""))
	rt.Handle("/inner/", scope.All("read"), newGate(t, granting(), middleware.Config{Identity: map[string]func(*bearergate.Token) string{"X-Inner": (*bearergate.Token).Subject}}).
		Require(scope.All("read"))(says("")))
	a := advisor(t, rt)
	for _, tt := range []struct {
		name, path string
		connection []string
		removed    bool
	}{
		{name: "an upgrade", connection: []string{"Upgrade"}},
		{name: "another header", connection: []string{"upgrade, X-Other, Authorization"}},
		{name: "the identity", connection: []string{"upgrade, X-Auth-Subject"}, removed: true},
		{name: "in small letters, without a space", connection: []string{"upgrade,x-auth-subject"}, removed: true},
		{name: "in another spelling", connection: []string{"X_auth.Subject\t,upgrade"}, removed: true},
		{name: "in the second field", connection: []string{"upgrade", "X-Auth-Tenant, close"}, removed: true},
		{name: "that of a gate further in", path: "/inner/x", connection: []string{"upgrade, X-Inner"}, removed: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			header := authorized("read")
			header["Connection"] = tt.connection
			got := a.Advise(t.Context(), middleware.Told{Method: "GET", Host: "api.example", URI: cmp.Or(tt.path, "/orders/7"), Header: header})
			require.Equal(t, 200, got.Status)
			require.Equal(t, "u1", got.Set["X-Auth-Subject"])
			require.Equal(t, tt.removed, slices.Contains(got.Remove, "connection"), "%q", got.Remove)
		})
	}
}

// What cannot be decided on is told to the hook, and answered.
func TestAdvisorRefuses(t *testing.T) {
	var told []bearergate.Reason
	var address netip.Addr
	addresses, err := bearergate.NewClientAddress(bearergate.ClientAddressConfig{})
	require.NoError(t, err)
	words := func(_ *http.Request, refusal middleware.Refusal) (string, []byte) {
		return "text/plain", []byte(refusal.Detail)
	}
	rt := newGate(t, granting(), middleware.Config{ClientAddress: addresses, Render: words, Hooks: middleware.Hooks{Decided: func(_ context.Context, e middleware.DecisionEvent) {
		require.Empty(t, e.Pattern)
		address = e.Address
		told = append(told, bearergate.ReasonOf(e.Err))
	}}}).NewRouter()
	rt.Public("/", says(""))
	a := advisor(t, rt)
	for name, request := range map[string]middleware.Told{
		"nothing":     {},
		"no method":   {Host: "a", URI: "/"},
		"no host":     {Method: "GET", URI: "/"},
		"no path":     {Method: "GET", Host: "a"},
		"no origin":   {Method: "GET", Host: "a", URI: "http://b/"},
		"a user":      {Method: "GET", Host: "u@a", URI: "/"},
		"a long path": {Method: "GET", Host: "a", URI: "/" + strings.Repeat("a", middleware.MaxOriginalURIBytes)},
	} {
		t.Run(name, func(t *testing.T) {
			told = nil
			got := a.Advise(t.Context(), request)
			require.Equal(t, 400, got.Status)
			require.Equal(t, "text/plain", got.Header.Get("Content-Type"), "rendered as any refusal of the gate")
			require.Equal(t, "The method, the host or the path of the request can be read in more than one way.", string(got.Body))
			kit.RequireError(t, got.Decision.Err, bearergate.ErrInvalidRequest, bearergate.ReasonBadRequest)
			require.Equal(t, []bearergate.Reason{bearergate.ReasonBadRequest}, told)
			require.False(t, address.IsValid(), "nobody knows who sent it")
			request.Peer = netip.MustParseAddrPort("192.0.2.1:4")
			a.Advise(t.Context(), request)
			require.Equal(t, "192.0.2.1", address.String())
		})
	}
	told = nil
	got := a.Refuse(t.Context(), netip.AddrPort{}, &bearergate.Error{Kind: bearergate.ErrForbidden, Reason: bearergate.ReasonPolicy})
	require.Equal(t, 403, got.Status)
	require.Equal(t, "text/plain", got.Header.Get("Content-Type"))
	require.Equal(t, []bearergate.Reason{bearergate.ReasonPolicy}, told)
	got = a.Refuse(t.Context(), netip.AddrPort{}, nil)
	require.Equal(t, 500, got.Status)
	kit.RequireError(t, got.Decision.Err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)

	var none *middleware.Advisor
	for _, got := range []middleware.Advice{none.Advise(t.Context(), middleware.Told{Method: "GET", Host: "a", URI: "/"}), none.Refuse(t.Context(), netip.AddrPort{}, nil), (&middleware.Advisor{}).Advise(t.Context(), middleware.Told{})} {
		require.Equal(t, 500, got.Status)
		kit.RequireError(t, got.Decision.Err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	}
	// A path with a comma is one path, where no header told it.
	require.Equal(t, 200, a.Advise(t.Context(), middleware.Told{Method: "GET", Host: "a", URI: "/x?next=a,/b"}).Status)
	require.Equal(t, 200, a.Advise(t.Context(), middleware.Told{Method: "GET", Host: "a", URI: "/" + strings.Repeat("a", middleware.MaxOriginalURIBytes-1)}).Status)
}

// What is wrong with a router is in the error, and there is no Advisor then.
func TestAdvisorOfAWrongRouter(t *testing.T) {
	gate := newGate(t, granting(), middleware.Config{Identity: map[string]func(*bearergate.Token) string{"Location": (*bearergate.Token).Subject}})
	var none *middleware.Gate
	for _, tt := range []struct {
		name     string
		router   *middleware.Router
		register func(*middleware.Router)
		says     []string
	}{
		{name: "nil", says: []string{"make it with Gate.NewRouter"}},
		{name: "zero", router: new(middleware.Router), says: []string{"make it with New"}},
		{name: "no gate", router: none.NewRouter(), says: []string{"make it with New"}},
		{name: "all mistakes at once", router: gate.NewRouter(), register: func(rt *middleware.Router) {
			rt.Authenticated("/a", nil)
			rt.Authenticated("/b", says(""), middleware.CancelOnExpiry())
		}, says: []string{"the handler is nil", "Advisor: Config.Identity has Location", `Advisor: the route "/b" has Recheck or CancelOnExpiry`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.register != nil {
				tt.register(tt.router)
			}
			a, err := tt.router.Advisor()
			require.Nil(t, a)
			requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
			for _, text := range tt.says {
				require.ErrorContains(t, err, text)
			}
		})
	}
}

// brokenContext panics where it is asked for a value.
type brokenContext struct{ context.Context }

func (brokenContext) Value(any) any { panic("s3cret") }

// What panics is answered with 500, and the error says so: here, who looks for the gates further
// out of a refusal that names scopes.
func TestAdvisorOfWhatPanics(t *testing.T) {
	rt := newGate(t, granting(), middleware.Config{}).NewRouter()
	rt.Handle("/", scope.All("read"), says(""))
	got := advisor(t, rt).Advise(brokenContext{t.Context()}, middleware.Told{Method: "GET", Host: "a", URI: "/", Header: authorized("write")})
	require.Equal(t, 500, got.Status)
	requireError(t, got.Decision.Err, bearergate.ErrMisconfigured, bearergate.ReasonInternal)
	require.NotContains(t, got.Decision.Err.Error(), "s3cret")
	require.Nil(t, got.Decision.Token)
	require.Nil(t, got.Set)
}

// The proxy that gave up gets 503, should it read the answer.
func TestAdvisorOfAProxyThatWentAway(t *testing.T) {
	rt := newGate(t, accepts(holder), middleware.Config{Bindings: bindings(certificate(func(ctx context.Context, _ bearergate.Call, _ *bearergate.Token) (bearergate.Reply, error) {
		return bearergate.Reply{"X-Reply": "x"}, ctx.Err()
	}))}).NewRouter()
	rt.Authenticated("/", says(""))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got := advisor(t, rt).Advise(ctx, middleware.Told{Method: "GET", Host: "a", URI: "/", Header: http.Header{"Authorization": {"Bearer " + good}}})
	require.Equal(t, 503, got.Status)
	require.NotEmpty(t, got.Header.Get("Retry-After"))
	require.Empty(t, got.Header.Get("X-Reply"), "nothing is left of what came before")
	kit.RequireError(t, got.Decision.Err, bearergate.ErrUnavailable, bearergate.ReasonCanceled)
	require.Nil(t, got.Set)
}
