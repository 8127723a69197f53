package middleware_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

// employee is a token that has something of everything a route may ask for.
var employee = bearergate.Claims{Issuer: "https://as.example.com/", Subject: "u1", Scopes: scope.Of("read"), Roles: []string{"clerk", "auditor"}, Tenant: "acme",
	Audience: []string{"https://orders.example", "https://pay.example"}}

// fromQuery is the tenant in the query of a request.
func fromQuery(r *http.Request) string { return r.URL.Query().Get("tenant") }

// delegated is employee's token, with which the service orders acts for the user.
var delegated = func() bearergate.Claims {
	c := employee
	c.Actors = []bearergate.Actor{{Subject: "orders"}}
	return c
}()

func acting(subject string) bearergate.Delegation {
	return bearergate.Delegation{Actors: map[string][]bearergate.Actor{employee.Issuer: {{Subject: subject}}}}
}

var byOrders, byBilling = acting("orders"), acting("billing")

func TestRolesTenantActorAndAudience(t *testing.T) {
	type opts = []middleware.RouteOption
	without := employee
	without.Roles, without.Tenant, without.Audience = nil, "", nil
	spelled := employee
	spelled.Scopes = scope.Of("read", "admin")
	for name, tc := range map[string]struct {
		claims bearergate.Claims
		tenant string
		opts   opts
		kind   error // default: ErrForbidden
		reason bearergate.Reason
	}{
		"a role":                      {claims: employee, opts: opts{middleware.Roles("auditor")}},
		"one of the roles":            {claims: employee, opts: opts{middleware.Roles("admin", "clerk")}},
		"another role":                {claims: employee, opts: opts{middleware.Roles("admin")}, reason: bearergate.ReasonRole},
		"a role in another case":      {claims: employee, opts: opts{middleware.Roles("Clerk", "clerk ", "cler")}, reason: bearergate.ReasonRole},
		"no roles":                    {claims: without, opts: opts{middleware.Roles("clerk")}, reason: bearergate.ReasonRole},
		"a scope is no role":          {claims: spelled, opts: opts{middleware.Roles("admin")}, reason: bearergate.ReasonRole},
		"both lists of roles":         {claims: employee, opts: opts{middleware.Roles("clerk"), middleware.Roles("auditor", "x")}},
		"one of two lists of roles":   {claims: employee, opts: opts{middleware.Roles("clerk"), middleware.Roles("admin")}, reason: bearergate.ReasonRole},
		"the tenant":                  {claims: employee, tenant: "acme", opts: opts{middleware.Tenant(fromQuery)}},
		"another tenant":              {claims: employee, tenant: "evil", opts: opts{middleware.Tenant(fromQuery)}, reason: bearergate.ReasonTenant},
		"a tenant in another case":    {claims: employee, tenant: "Acme", opts: opts{middleware.Tenant(fromQuery)}, reason: bearergate.ReasonTenant},
		"no tenant of the request":    {claims: employee, opts: opts{middleware.Tenant(fromQuery)}, reason: bearergate.ReasonTenant},
		"no tenant of the token":      {claims: without, tenant: "acme", opts: opts{middleware.Tenant(fromQuery)}, reason: bearergate.ReasonTenant},
		"no tenant at all":            {claims: without, opts: opts{middleware.Tenant(fromQuery)}, reason: bearergate.ReasonTenant},
		"two tenants":                 {claims: employee, tenant: "acme", opts: opts{middleware.Tenant(fromQuery), middleware.Tenant(func(*http.Request) string { return "evil" })}, reason: bearergate.ReasonTenant},
		"a tenant that panics":        {claims: employee, opts: opts{middleware.Tenant(func(*http.Request) string { panic("s3cret") })}, kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonInternal},
		"an audience":                 {claims: employee, opts: opts{middleware.Audience("https://pay.example")}},
		"one of the audiences":        {claims: employee, opts: opts{middleware.Audience("x", "https://orders.example")}},
		"an audience with a tilde":    {claims: employee, opts: opts{middleware.Audience("https://pay.example", "https://pay.example/~x")}},
		"another audience":            {claims: employee, opts: opts{middleware.Audience("https://pay.example/")}, reason: bearergate.ReasonAudience},
		"no audience":                 {claims: without, opts: opts{middleware.Audience("https://pay.example")}, reason: bearergate.ReasonAudience},
		"one of two lists":            {claims: employee, opts: opts{middleware.Audience("https://pay.example"), middleware.Audience("x")}, reason: bearergate.ReasonAudience},
		"roles before the tenant":     {claims: without, opts: opts{middleware.Audience("x"), middleware.Tenant(fromQuery), middleware.Roles("x")}, reason: bearergate.ReasonRole},
		"audiences before the tenant": {claims: without, opts: opts{middleware.Audience("x"), middleware.Tenant(fromQuery)}, reason: bearergate.ReasonAudience},
		"the actor":                   {claims: delegated, opts: opts{middleware.Delegation(byOrders)}},
		"another actor":               {claims: delegated, opts: opts{middleware.Delegation(byBilling)}, reason: bearergate.ReasonActor},
		"no actor":                    {claims: employee, opts: opts{middleware.Delegation(byOrders)}, reason: bearergate.ReasonActor},
		"one of two delegations":      {claims: delegated, opts: opts{middleware.Delegation(byOrders), middleware.Delegation(byBilling)}, reason: bearergate.ReasonActor},
		"audiences before the actor":  {claims: delegated, opts: opts{middleware.Delegation(byBilling), middleware.Audience("x")}, reason: bearergate.ReasonAudience},
		"the actor before the tenant": {claims: delegated, opts: opts{middleware.Tenant(fromQuery), middleware.Delegation(byBilling)}, reason: bearergate.ReasonActor},
		"all before a policy":         {claims: employee, opts: opts{middleware.Allow(func(*http.Request, *bearergate.Token) error { panic("asked") }), middleware.Audience("x")}, reason: bearergate.ReasonAudience},
		"scopes before all":           {claims: bearergate.Claims{Subject: "u1"}, opts: opts{middleware.Roles("x")}, kind: bearergate.ErrInsufficientScope, reason: bearergate.ReasonScope},
	} {
		t.Run(name, func(t *testing.T) {
			events := &log{}
			gate := newGate(t, accepts(tc.claims), middleware.Config{Hooks: events.hooks()})
			request := func() *http.Request {
				r := bearer("GET", good)
				r.URL.RawQuery = "tenant=" + tc.tenant
				return r
			}
			w := httptest.NewRecorder()
			if tc.reason == "" {
				gate.Require(scope.All("read"), tc.opts...)(whoami(t)).ServeHTTP(w, request())
				require.Equal(t, "u1", w.Body.String())
				require.NoError(t, events.only(t).Err)
				return
			}
			if tc.kind == nil {
				tc.kind = bearergate.ErrForbidden
			}
			gate.Require(scope.All("read"), tc.opts...)(forbidden(t)).ServeHTTP(w, request())
			e := events.only(t)
			requireError(t, e.Err, tc.kind, tc.reason)
			require.Equal(t, "u1", e.Token.Subject())
			require.NotContains(t, w.Body.String(), "s3cret")
			if tc.kind == bearergate.ErrForbidden {
				require.Equal(t, 403, w.Code)
				require.Empty(t, w.Header().Values("WWW-Authenticate"))
				require.Equal(t, problem("Forbidden", 403, bodyForbidden), w.Body.String())
			}
			refused(t, gate, request(), scope.All("read"), tc.kind, tc.reason, tc.opts...)
			events.only(t)

			// Nobody asks a stranger for what only a token has.
			w = httptest.NewRecorder()
			r := request()
			r.Header.Del("Authorization")
			gate.Optional(scope.All("read"), tc.opts...)(whoami(t)).ServeHTTP(w, r)
			require.Equal(t, "nobody", w.Body.String())
		})
	}
}

// The tenant may stand in the path, and is asked for in a group.
func TestGroupsHaveRolesTenantAndAudience(t *testing.T) {
	rt := newGate(t, accepts(employee), middleware.Config{}).NewRouter()
	names := []string{"clerk"}
	tenants := rt.Group("/tenants/{tenant}", scope.All("read"), middleware.Tenant(func(r *http.Request) string { return r.PathValue("tenant") }), middleware.Roles(names...))
	tenants.Authenticated("GET /orders", says("orders"))
	tenants.Authenticated("GET /audits", says("audits"), middleware.Roles("auditor"), middleware.Audience("https://pay.example", "b"))
	tenants.Authenticated("GET /users", says("users"), middleware.Roles("admin"))
	names[0] = "changed"
	h := built(t, rt)
	for path, status := range map[string]int{
		"/tenants/acme/orders": 200, "/tenants/acme/audits": 200, "/tenants/acme/users": 403,
		"/tenants/evil/orders": 403, "/tenants/evil/audits": 403,
	} {
		w := httptest.NewRecorder()
		r := bearer("GET", good)
		r.URL.Path = path
		h.ServeHTTP(w, r)
		require.Equal(t, status, w.Code, path)
	}
	r := rt.Routes()[0]
	require.Equal(t, "/tenants/{tenant}/audits", r.Path)
	require.Equal(t, [][]string{{"clerk"}, {"auditor"}}, r.Roles)
	require.Equal(t, [][]string{{"https://pay.example", "b"}}, r.Audiences)
	require.Equal(t, 1, r.Tenants)
	r.Roles[0][0], r.Audiences[0][0] = "changed", "changed"
	require.Equal(t, "clerk", rt.Routes()[0].Roles[0][0])
	require.Equal(t, "b", rt.Routes()[0].Audiences[0][1])
}

// A route can narrow the delegation of its group, and what was given to it is a copy.
func TestGroupsHaveDelegations(t *testing.T) {
	rt := newGate(t, accepts(delegated), middleware.Config{}).NewRouter()
	given := bearergate.Delegation{AllowDirect: true, Actors: map[string][]bearergate.Actor{employee.Issuer: {{Subject: "orders"}, {Subject: "billing"}}}}
	group := rt.Group("/v1", scope.All("read"), middleware.Delegation(given))
	group.Authenticated("GET /orders", says("orders"))
	group.Authenticated("GET /bills", says("bills"), middleware.Delegation(byBilling))
	group.Authenticated("GET /password", says("password"), middleware.Delegation(bearergate.Delegation{AllowDirect: true}))
	given.Actors[employee.Issuer][0].Subject = "changed"
	h := built(t, rt)
	for path, status := range map[string]int{"/v1/orders": 200, "/v1/bills": 403, "/v1/password": 403} {
		w := httptest.NewRecorder()
		r := bearer("GET", good)
		r.URL.Path = path
		h.ServeHTTP(w, r)
		require.Equal(t, status, w.Code, path)
	}
	given.Actors[employee.Issuer][0].Subject = "orders"
	r := rt.Routes()[0]
	require.Equal(t, "/v1/bills", r.Path)
	require.Equal(t, []bearergate.Delegation{given, byBilling}, r.Delegations)
	r.Delegations[0].Actors[employee.Issuer][0].Subject = "changed"
	require.Equal(t, given, rt.Routes()[0].Delegations[0])
}

func TestWrongOptionsCloseTheRoute(t *testing.T) {
	for name, tc := range map[string]struct {
		opts []middleware.RouteOption
		says string
	}{
		"no role":           {opts: []middleware.RouteOption{middleware.Roles()}, says: "Roles: there is no name"},
		"an empty role":     {opts: []middleware.RouteOption{middleware.Roles("clerk", "")}, says: "Roles: there is no name"},
		"no audience":       {opts: []middleware.RouteOption{middleware.Audience()}, says: "Audience: there is no name"},
		"an empty audience": {opts: []middleware.RouteOption{middleware.Audience("", "https://pay.example")}, says: "Audience: there is no name"},
		"any audience":      {opts: []middleware.RouteOption{middleware.Audience("https://pay.example", "*")}, says: `Audience: "*" has a * or a brace in it`},
		"a template":        {opts: []middleware.RouteOption{middleware.Audience("https://{shop}.example")}, says: `Audience: "https://{shop}.example" has a * or a brace in it`},
		"no tenant":         {opts: []middleware.RouteOption{middleware.Tenant(nil)}, says: "Tenant: the function is nil"},
		"no delegation":     {opts: []middleware.RouteOption{middleware.Delegation(bearergate.Delegation{})}, says: "Delegation: there are no Actors"},
		"any issuer":        {opts: []middleware.RouteOption{middleware.Delegation(byOrders), middleware.Delegation(bearergate.Delegation{Actors: map[string][]bearergate.Actor{"*": {{Subject: "orders"}}}})}, says: `option 2: Delegation: Actors: the issuer "*" has a * in it`},
		"two ages":          {opts: []middleware.RouteOption{middleware.StepUp(nil, time.Minute), middleware.StepUp(nil, time.Hour)}, says: "StepUp is given more than once"},
	} {
		t.Run(name, func(t *testing.T) {
			gate := newGate(t, accepts(employee), middleware.Config{})
			w := httptest.NewRecorder()
			gate.Require(scope.All("read"), tc.opts...)(forbidden(t)).ServeHTTP(w, bearer("GET", good))
			require.Equal(t, 500, w.Code)
			err := refused(t, gate, bearer("GET", good), scope.All("read"), bearergate.ErrMisconfigured, bearergate.ReasonConfig, tc.opts...)
			require.ErrorContains(t, err, tc.says)
			rt := gate.NewRouter()
			rt.Group("/x", scope.All("read"), tc.opts...).Authenticated("GET /y", says(""))
			_, err = rt.Handler()
			requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
			require.ErrorContains(t, err, tc.says)
		})
	}
}

// A HEAD that asks for less than GET is a way around it, and options that hold a
// function are alike only if they come from one call.
func TestHEADWithOtherOptions(t *testing.T) {
	inPath := middleware.Tenant(fromQuery)
	for name, tc := range map[string]struct {
		get, head []middleware.RouteOption
		same      bool
	}{
		"the same":         {get: []middleware.RouteOption{middleware.Roles("a", "b"), middleware.Audience("c"), inPath}, head: []middleware.RouteOption{inPath, middleware.Audience("c"), middleware.Roles("a", "b")}, same: true},
		"no role":          {get: []middleware.RouteOption{middleware.Roles("a")}},
		"another role":     {get: []middleware.RouteOption{middleware.Roles("a")}, head: []middleware.RouteOption{middleware.Roles("a", "b")}},
		"no audience":      {get: []middleware.RouteOption{middleware.Audience("a")}},
		"another audience": {get: []middleware.RouteOption{middleware.Audience("a")}, head: []middleware.RouteOption{middleware.Audience("b")}},
		"the same actor":   {get: []middleware.RouteOption{middleware.Delegation(byOrders)}, head: []middleware.RouteOption{middleware.Delegation(byOrders.Clone())}, same: true},
		"no delegation":    {get: []middleware.RouteOption{middleware.Delegation(byOrders)}},
		"another actor":    {get: []middleware.RouteOption{middleware.Delegation(byOrders)}, head: []middleware.RouteOption{middleware.Delegation(byBilling)}},
		"no tenant":        {get: []middleware.RouteOption{inPath}},
		"two calls":        {get: []middleware.RouteOption{inPath}, head: []middleware.RouteOption{middleware.Tenant(fromQuery)}},
	} {
		rt := newGate(t, granting(), middleware.Config{}).NewRouter()
		rt.Authenticated("GET /x", says("get"), tc.get...)
		rt.Authenticated("HEAD /x", says("head"), tc.head...)
		_, err := rt.Handler()
		if tc.same {
			require.NoError(t, err, name)
			continue
		}
		requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
		require.ErrorContains(t, err, "HEAD has another policy", name)
	}
}
