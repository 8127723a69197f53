package middleware_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

// statuses are what the eight errors are answered with.
var statuses = map[error]int{
	bearergate.ErrMissingToken: 401, bearergate.ErrInvalidRequest: 400, bearergate.ErrInvalidToken: 401, bearergate.ErrInsufficientScope: 403,
	bearergate.ErrInsufficientAuthentication: 401, bearergate.ErrForbidden: 403, bearergate.ErrUnavailable: 503, bearergate.ErrMisconfigured: 500,
}

// verdict is the status that a proxy makes of a decision.
func verdict(d middleware.Decision) int {
	switch {
	case d.Unrouted != 0:
		return d.Unrouted
	case d.Err == nil || d.ReportOnly:
		return 200
	}
	return statuses[bearergate.AsError(d.Err).Kind]
}

type decideCase struct {
	method, target, scopes string // default: GET; no scopes, no token
	authorization          string // instead of scopes

	status  int // of Handler where a gate enforces what it decides
	pattern string
	access  middleware.Access
	reason  bearergate.Reason
	subject string
}

var decideCases = map[string]decideCase{
	"a token":                {target: "/orders", scopes: "read", status: 200, pattern: "GET /orders", access: middleware.AccessToken, subject: "u1"},
	"HEAD":                   {method: "HEAD", target: "/orders", scopes: "read", status: 200, pattern: "GET /orders", access: middleware.AccessToken, subject: "u1"},
	"HEAD without a token":   {method: "HEAD", target: "/orders", status: 401, pattern: "GET /orders", access: middleware.AccessToken, reason: bearergate.ReasonNoToken},
	"no token":               {target: "/orders", status: 401, pattern: "GET /orders", access: middleware.AccessToken, reason: bearergate.ReasonNoToken},
	"a bad token":            {target: "/orders", authorization: "Bearer ~", status: 401, pattern: "GET /orders", access: middleware.AccessToken, reason: bearergate.ReasonMalformed},
	"nonsense":               {target: "/orders", authorization: "Bearer a b", status: 400, pattern: "GET /orders", access: middleware.AccessToken, reason: bearergate.ReasonBadRequest},
	"another scope":          {target: "/orders", scopes: "write", status: 403, pattern: "GET /orders", access: middleware.AccessToken, reason: bearergate.ReasonScope},
	"a template":             {target: "/orders/7", scopes: "order:7", status: 200, pattern: "/orders/{id}", access: middleware.AccessToken, subject: "u1"},
	"a template, encoded":    {target: "/orders/%37", scopes: "order:7", status: 200, pattern: "/orders/{id}", access: middleware.AccessToken, subject: "u1"},
	"another template":       {target: "/orders/8", scopes: "order:7", status: 403, pattern: "/orders/{id}", access: middleware.AccessToken, reason: bearergate.ReasonScope},
	"a tenant in the path":   {target: "/tenants/acme/x", scopes: "read", status: 403, pattern: "/tenants/{tenant}/x", access: middleware.AccessToken, reason: bearergate.ReasonTenant},
	"a policy says no":       {target: "/no", scopes: "read", status: 403, pattern: "/no", access: middleware.AccessToken, reason: bearergate.ReasonPolicy},
	"a policy is down":       {target: "/down", scopes: "read", status: 503, pattern: "/down", access: middleware.AccessToken, reason: bearergate.ReasonStoreUnavailable},
	"step-up":                {target: "/mfa", scopes: "read", status: 401, pattern: "/mfa", access: middleware.AccessToken, reason: bearergate.ReasonAuthentication},
	"optional, a stranger":   {target: "/news", status: 200, pattern: "GET /news", access: middleware.AccessOptional},
	"optional, a token":      {target: "/news", scopes: "read", status: 200, pattern: "GET /news", access: middleware.AccessOptional, subject: "u1"},
	"optional, a bad token":  {target: "/news", authorization: "Bearer ~", status: 401, pattern: "GET /news", access: middleware.AccessOptional, reason: bearergate.ReasonMalformed},
	"public":                 {target: "/health", status: 200, pattern: "GET /health", access: middleware.AccessPublic},
	"public, a bad token":    {target: "/health", authorization: "Bearer ~", status: 200, pattern: "GET /health", access: middleware.AccessPublic},
	"another host":           {target: "http://h.example/orders", scopes: "read", status: 403, pattern: "h.example/orders", access: middleware.AccessToken, reason: bearergate.ReasonScope},
	"a tree":                 {target: "/tree/a/b", scopes: "read", status: 200, pattern: "/tree/", access: middleware.AccessToken, subject: "u1"},
	"no route":               {target: "/nothing", scopes: "read", status: 404, reason: bearergate.ReasonPolicy},
	"no route, no token":     {target: "/nothing", status: 404, reason: bearergate.ReasonPolicy},
	"another method":         {method: "DELETE", target: "/orders", scopes: "read", status: 405, reason: bearergate.ReasonPolicy},
	"CONNECT":                {method: "CONNECT", target: "/orders", scopes: "read", status: 405, reason: bearergate.ReasonPolicy},
	"a path to clean":        {target: "//orders", scopes: "read", status: 307, reason: bearergate.ReasonPolicy},
	"dots":                   {target: "/health/../orders", scopes: "read", status: 307, reason: bearergate.ReasonPolicy},
	"a slash is missing":     {target: "/tree", scopes: "read", status: 307, reason: bearergate.ReasonPolicy},
	"dots of a public route": {target: "/health/../no", status: 307, reason: bearergate.ReasonPolicy},
	"all of the server":      {method: "OPTIONS", target: "*", scopes: "read", status: 400, reason: bearergate.ReasonPolicy},
}

func decideRouter(gate *middleware.Gate, h http.Handler) *middleware.Router {
	rt := gate.NewRouter()
	read := scope.All("read")
	rt.Handle("GET /orders", read, h)
	rt.Handle("/orders/{id}", scope.Template("order:{id}"), h)
	rt.Handle("/tenants/{tenant}/x", read, h, middleware.Tenant(func(r *http.Request) string { return r.PathValue("tenant") }))
	rt.Handle("/no", read, h, middleware.Allow(func(*http.Request, *bearergate.Token) error { return errors.New("no") }))
	rt.Handle("/down", read, h, middleware.Allow(func(*http.Request, *bearergate.Token) error { return bearergate.ErrUnavailable }))
	rt.Handle("/mfa", read, h, middleware.StepUp([]string{"mfa"}, 0))
	rt.Optional("GET /news", read, h)
	rt.Public("GET /health", h)
	rt.Handle("h.example/orders", scope.All("admin"), h)
	rt.Handle("/tree/", read, h)
	return rt
}

func (tc decideCase) request() *http.Request {
	if tc.method == "" {
		tc.method = "GET"
	}
	r := httptest.NewRequest(tc.method, "/", nil)
	u, err := url.ParseRequestURI(tc.target)
	if err != nil || tc.target == "*" {
		u = &url.URL{Path: tc.target}
	}
	r.URL, r.RequestURI = u, tc.target
	if u.Host != "" {
		r.Host = u.Host
	}
	switch {
	case tc.authorization != "":
		r.Header.Set("Authorization", tc.authorization)
	case tc.scopes != "":
		r.Header.Set("Authorization", with(tc.scopes))
	}
	return r
}

// Decide says what Handler does, to the same hooks, and does nothing else.
func TestDecideAgreesWithHandler(t *testing.T) {
	for _, reportOnly := range []bool{false, true} {
		served, asked := &log{}, &log{}
		config := middleware.Config{InsecureReportOnly: reportOnly, DropAuthorization: true, Hooks: served.hooks(), Identity: map[string]func(*bearergate.Token) string{"X-User": (*bearergate.Token).Subject}}
		h := built(t, decideRouter(newGate(t, granting(), config), whoami(t)))
		config.Hooks = asked.hooks()
		rt := decideRouter(newGate(t, granting(), config), forbidden(t))
		for name, tc := range decideCases {
			if reportOnly {
				name += ", report only"
				if tc.access != "" {
					tc.status = 200
				}
			}
			t.Run(name, func(t *testing.T) {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, tc.request())
				require.Equal(t, tc.status, w.Code)

				r := tc.request()
				before := *r
				header := r.Header.Clone()
				d := rt.Decide(r)
				require.Equal(t, before, *r, "the request is as it was")
				require.Equal(t, header, r.Header)
				require.Equal(t, w.Code, verdict(d))
				require.Equal(t, tc.pattern, d.Pattern)
				require.Equal(t, tc.access, d.Access)
				require.Equal(t, tc.reason, bearergate.ReasonOf(d.Err))
				require.Equal(t, tc.access == "", d.Unrouted != 0)
				require.Equal(t, reportOnly && tc.access != "" && tc.reason != "", d.ReportOnly)
				if tc.access == "" {
					requireError(t, d.Err, bearergate.ErrForbidden, bearergate.ReasonPolicy)
				}
				if tc.status == 200 && r.Method != "HEAD" { // the handler knows whom the decision names
					who := "nobody"
					if d.Token != nil {
						who = d.Token.Subject()
					}
					require.Equal(t, w.Body.String(), who)
				}
				if !reportOnly {
					require.Equal(t, tc.subject, d.Token.Subject())
				}

				require.Len(t, asked.events, len(served.events))
				for i := range served.events {
					served.events[i].Duration, asked.events[i].Duration = 0, 0
					require.Equal(t, served.events[i].Reason, asked.events[i].Reason)
					served.events[i].Err, asked.events[i].Err = nil, nil
					require.Equal(t, served.events[i], asked.events[i])
				}
				if tc.access == "" || tc.access == middleware.AccessPublic {
					require.Empty(t, asked.events)
				} else {
					require.Len(t, asked.events, 1)
				}
				served.events, asked.events = nil, nil
			})
		}
	}
}

func TestDecideRepliesForBindings(t *testing.T) {
	answer := bearergate.Reply{"DPoP-Nonce": "n1", "Not a header": "x", "X-Split": "a\r\nb"}
	var err error
	gate := newGate(t, accepts(boundBy("jkt")), middleware.Config{Bindings: bindings(dpop(func(_ context.Context, c bearergate.Call, _ *bearergate.Token) (bearergate.Reply, error) {
		require.Equal(t, "/orders?x=1", c.Target)
		return answer, err
	}))})
	rt := gate.NewRouter()
	rt.Authenticated("GET /orders", forbidden(t))
	r := httptest.NewRequest("GET", "/orders?x=1", nil)
	r.Header.Set("Authorization", "DPoP "+good)
	d := rt.Decide(r)
	require.NoError(t, d.Err)
	require.True(t, d.Token.Proven())
	require.Equal(t, bearergate.Reply{"DPoP-Nonce": "n1"}, d.Reply)
	d.Reply["DPoP-Nonce"] = "changed"
	require.Equal(t, bearergate.Reply{"DPoP-Nonce": "n1", "Not a header": "x", "X-Split": "a\r\nb"}, answer, "what a Binding keeps stays as it is")
	err = &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonNonce}
	d = rt.Decide(r)
	requireError(t, d.Err, bearergate.ErrInvalidToken, bearergate.ReasonNonce)
	require.Nil(t, d.Token)
	require.Equal(t, bearergate.Reply{"DPoP-Nonce": "n1"}, d.Reply)
}

// What the functions of the user see is the request of the caller, in its context.
func TestDecideAsksInTheContextOfTheCaller(t *testing.T) {
	type key struct{}
	ctx, cancel := context.WithCancel(context.WithValue(context.Background(), key{}, "caller"))
	var inner http.Handler
	gate := newGate(t, granting(), middleware.Config{})
	rt := gate.NewRouter()
	rt.Authenticated("/x", forbidden(t), middleware.Allow(func(r *http.Request, _ *bearergate.Token) error {
		require.Equal(t, "caller", r.Context().Value(key{}))
		w := httptest.NewRecorder()
		inner.ServeHTTP(w, r) // who serves another request with this one's context is served
		require.Equal(t, "inner", w.Body.String())
		cancel()
		return r.Context().Err()
	}))
	other := gate.NewRouter()
	other.Authenticated("/x", says("inner"))
	inner = built(t, other)
	r := httptest.NewRequest("GET", "/x", nil).WithContext(ctx)
	r.Header.Set("Authorization", with("read"))
	d := rt.Decide(r)
	requireError(t, d.Err, bearergate.ErrUnavailable, bearergate.ReasonCanceled)
}

func TestDecideOfAWrongRouter(t *testing.T) {
	gate := newGate(t, granting(), middleware.Config{})
	wrong := gate.NewRouter()
	wrong.Public("GET /health", says(""))
	wrong.Handle("GET /x", scope.Requirement{}, says(""))
	late := gate.NewRouter()
	late.Public("GET /health", says(""))
	require.NoError(t, late.Decide(httptest.NewRequest("GET", "/health", nil)).Err)
	late.Public("GET /late", says(""))
	for name, tc := range map[string]struct {
		rt *middleware.Router
		r  *http.Request
	}{
		"a mistake":     {wrong, httptest.NewRequest("GET", "/health", nil)},
		"too late":      {late, httptest.NewRequest("GET", "/health", nil)},
		"nil":           {nil, httptest.NewRequest("GET", "/health", nil)},
		"no request":    {decideRouter(gate, says("")), nil},
		"an empty one":  {decideRouter(gate, says("")), &http.Request{}},
		"the zero Gate": {new(middleware.Gate).NewRouter(), httptest.NewRequest("GET", "/health", nil)},
	} {
		d := tc.rt.Decide(tc.r)
		requireError(t, d.Err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
		require.Equal(t, middleware.Decision{Err: d.Err}, d, name)
	}
	require.NotPanics(t, func() {
		d := decideRouter(gate, says("")).Decide(&http.Request{URL: &url.URL{Path: strings.Repeat("/", 9)}})
		require.Equal(t, 307, d.Unrouted)
	})
}

// What Handler leaves to its handlers, and nobody knows what a service behind a proxy
// makes of it, opens nothing.
func TestDecideRefusesWhatTwoReadersReadTwoWays(t *testing.T) {
	gate := newGate(t, granting(), middleware.Config{})
	rt := gate.NewRouter()
	rt.Public("/", says(""))
	rt.Public("/public/", says(""))
	rt.Handle("/admin/", scope.All("admin"), says(""))
	rt.Handle("api.example/", scope.All("api"), says(""))
	rt.Handle("GET /m", scope.All("m"), says(""))
	built(t, rt)
	for _, tt := range []struct {
		method, target, host string
		unrouted             int
		reason               bearergate.Reason // "": open
	}{
		{target: "/public/x"},
		{target: "/public/a-b_c.d~e"},
		{target: "/public/%C3%BC"},
		{target: "/public/"},
		{target: "/public/a%20b"},
		{target: "/public/%2e%2e/admin/x", unrouted: 400, reason: bearergate.ReasonPolicy},
		{target: "/public/%2E/x", unrouted: 400, reason: bearergate.ReasonPolicy},
		{target: "/public/..%2fadmin/x", unrouted: 400, reason: bearergate.ReasonPolicy},
		{target: "/public/..%2Fadmin/x", unrouted: 400, reason: bearergate.ReasonPolicy},
		{target: "/public/..%5cadmin/x", unrouted: 400, reason: bearergate.ReasonPolicy},
		{target: "/public/..;/admin/x", unrouted: 400, reason: bearergate.ReasonPolicy},
		{target: "/admin;x=1/y", unrouted: 400, reason: bearergate.ReasonPolicy},
		{target: "/public/..%3b/x", unrouted: 400, reason: bearergate.ReasonPolicy},
		{target: "/admin%2fx", unrouted: 400, reason: bearergate.ReasonPolicy},
		{target: "/%2fadmin/x", unrouted: 400, reason: bearergate.ReasonPolicy},
		{target: "/public%2fx|", unrouted: 400, reason: bearergate.ReasonPolicy},
		{target: "/public/x%2Fy{", unrouted: 400, reason: bearergate.ReasonPolicy},
		{target: "/public/a|b"},
		{target: "/public/%252e%252e/admin", unrouted: 400, reason: bearergate.ReasonPolicy},
		{target: "/public/%00", unrouted: 400, reason: bearergate.ReasonPolicy},
		{target: "/public/%1f", unrouted: 400, reason: bearergate.ReasonPolicy},
		{target: "/public/%0a", unrouted: 400, reason: bearergate.ReasonPolicy},
		{target: "/public/%c0%ae%c0%ae/admin", unrouted: 400, reason: bearergate.ReasonPolicy},
		{target: "/public/../admin/x", unrouted: 307, reason: bearergate.ReasonPolicy},
		{target: "//admin/x", unrouted: 307, reason: bearergate.ReasonPolicy},

		{target: "/x", host: "other.example"},
		{target: "/x", host: "api.example", reason: bearergate.ReasonNoToken},
		{target: "/x", host: "API.Example", reason: bearergate.ReasonNoToken},
		{target: "/x", host: "api.example.", reason: bearergate.ReasonNoToken},
		{target: "/x", host: "api.example.:8443", reason: bearergate.ReasonNoToken},
		{target: "/m", reason: bearergate.ReasonNoToken},
		{method: "", target: "/m", reason: bearergate.ReasonNoToken},
		{method: "get", target: "/m", unrouted: 400, reason: bearergate.ReasonPolicy},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Method, r.RequestURI, r.Host = tt.method, tt.target, tt.host
		var err error
		r.URL, err = url.ParseRequestURI(tt.target)
		require.NoError(t, err)
		before := *r
		d := rt.Decide(r)
		require.Equal(t, tt.unrouted, d.Unrouted, "%s %s", tt.host, tt.target)
		require.Equal(t, tt.reason, bearergate.ReasonOf(d.Err), "%s %s: %v", tt.host, tt.target, d.Err)
		require.Equal(t, before, *r, "the request was changed")
	}

	// A Binding looks at RequestURI: a proof for the one must not count for the other.
	r := httptest.NewRequest("GET", "/public/x", nil)
	for _, tt := range []struct{ path, query, target string }{
		{path: "/public/x", target: "/auth"},
		{path: "/public/x|", target: "/public%2fx|"},
		{path: "/public/x", query: "a=1", target: "/public/x?a=2"},
		{path: "/public/x", query: "a=1", target: "/public/x"},
		{path: "/public/x", target: "public/x"},
	} {
		r.URL, r.RequestURI = &url.URL{Path: tt.path, RawQuery: tt.query}, tt.target
		requireError(t, rt.Decide(r).Err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	}
	// No route has the method of a tunnel, whose target is no path.
	r.Method, r.URL, r.RequestURI = http.MethodConnect, &url.URL{Host: "192.0.2.7:443"}, "192.0.2.7:443"
	d := rt.Decide(r)
	requireError(t, d.Err, bearergate.ErrForbidden, bearergate.ReasonPolicy)
	require.Equal(t, 405, d.Unrouted)
}

// A Binding is told of the host as everybody compares it, with its port.
func TestDecideTellsBindingsThePlainHost(t *testing.T) {
	var got string
	rt := newGate(t, accepts(boundBy("jkt")), middleware.Config{Bindings: bindings(dpop(func(_ context.Context, c bearergate.Call, _ *bearergate.Token) (bearergate.Reply, error) {
		got = c.Host
		return nil, nil
	}))}).NewRouter()
	rt.Authenticated("/", forbidden(t))
	for _, tt := range []struct{ host, plain string }{
		{host: "api.example", plain: "api.example"},
		{host: "API.Example.", plain: "api.example"},
		{host: "api.example:", plain: "api.example"},
		{host: "API.example.:8443", plain: "api.example:8443"},
		{host: "[2001:DB8::7]", plain: "[2001:db8::7]"},
		{host: "[2001:DB8::7]:8443", plain: "[2001:db8::7]:8443"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Authorization", "DPoP "+good)
		r.Host = tt.host
		require.NoError(t, rt.Decide(r).Err)
		require.Equal(t, tt.plain, got)
	}
}

// A gate right behind the route has the last word.
func TestDecideAsksTheGateOfTheHandler(t *testing.T) {
	gate := newGate(t, granting(), middleware.Config{})
	inner := gate.Require(scope.All("admin"))(forbidden(t))
	rt := gate.NewRouter()
	rt.Public("/public", inner)
	rt.Handle("/read", scope.All("read"), inner)
	rt.Public("/open", says(""))
	var none *middleware.Gate
	rt.Public("/none", none.Require(scope.All("read"))(forbidden(t)))
	built(t, rt)
	for _, tt := range []struct {
		path, scopes string
		want         error
		reason       bearergate.Reason
	}{
		{path: "/public", want: bearergate.ErrMissingToken, reason: bearergate.ReasonNoToken},
		{path: "/public", scopes: "read", want: bearergate.ErrInsufficientScope, reason: bearergate.ReasonScope},
		{path: "/public", scopes: "admin"},
		{path: "/read", scopes: "admin", want: bearergate.ErrInsufficientScope, reason: bearergate.ReasonScope},
		{path: "/read", scopes: "read", want: bearergate.ErrInsufficientScope, reason: bearergate.ReasonScope},
		{path: "/read", scopes: "read+admin"},
		{path: "/open"},
		{path: "/none", scopes: "read", want: bearergate.ErrMisconfigured, reason: bearergate.ReasonConfig},
	} {
		r := httptest.NewRequest("GET", tt.path, nil)
		if tt.scopes != "" {
			r.Header.Set("Authorization", with(tt.scopes))
		}
		d := rt.Decide(r)
		if tt.want == nil {
			require.NoError(t, d.Err, "%s with %q", tt.path, tt.scopes)
			continue
		}
		requireError(t, d.Err, tt.want, tt.reason)
		require.Nil(t, d.Token)
	}
}
