package middleware_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/kit"
)

// Each demand of a route has its step, and says what to do where it refuses. Whether the
// verdict is that of Check, the helper refused asserts for every refusal of this package.
func TestExplain(t *testing.T) {
	user := reader
	user.Roles, user.Audience, user.Tenant, user.ID, user.ExpiresAt = []string{"clerk"}, []string{"https://api.example.com"}, "t1", "id-1", time.Now().Add(time.Hour)
	tenant := middleware.Tenant(func(r *http.Request) string { return r.PathValue("tenant") })
	policy := func(err error) middleware.RouteOption {
		return middleware.Allow(func(*http.Request, *bearergate.Token) error { return err })
	}
	once := &stubStore{t: t}
	nameless := user
	nameless.ID = ""
	homeless := user
	homeless.Tenant = ""
	for name, tt := range map[string]struct {
		claims bearergate.Claims
		need   scope.Requirement
		opts   []middleware.RouteOption
		tenant string // of the path
		failed string
		reason bearergate.Reason
		detail string
		sides  [2]string
		advice string // begins with
	}{
		"all is well": {need: scope.All("read"), opts: []middleware.RouteOption{middleware.Roles("clerk"), middleware.Audience("https://api.example.com"), tenant, policy(nil)}, tenant: "t1"},
		"scope":       {need: scope.All("write"), failed: "scope", reason: bearergate.ReasonScope, detail: "the token does not have the scopes", sides: [2]string{"write", `"read"`}, advice: "Have the client ask for these scopes"},
		"template":    {need: scope.Template("t:{tenant}"), tenant: "t2", failed: "scope", reason: bearergate.ReasonScope, detail: "the token does not have the scopes", sides: [2]string{"t:{tenant}", `"read"`}, advice: "Have the client ask for these scopes"},
		"long":        {need: scope.AllOf(scope.All(strings.Repeat("a", 2000)), scope.Template("t:{tenant}")), tenant: "t2", failed: "scope", reason: bearergate.ReasonScope, detail: "the token does not have the scopes", sides: [2]string{strings.Repeat("a", 1024) + "…", `"read"`}, advice: "Have the client ask for these scopes"},
		"step-up":     {opts: []middleware.RouteOption{middleware.StepUp([]string{"mfa"}, 0)}, failed: "authentication", reason: bearergate.ReasonAuthentication, detail: "acr is none of those that suffice", sides: [2]string{`"mfa"`, ""}, advice: "The access token does not say how or when the user authenticated"},
		"context":     {opts: []middleware.RouteOption{middleware.AuthContext("c1")}, failed: "authentication", reason: bearergate.ReasonAuthentication, detail: "acrs does not hold the authentication context", sides: [2]string{`"c1"`, ""}, advice: "The user has to satisfy the authentication context"},
		"role":        {opts: []middleware.RouteOption{middleware.Roles("boss", "owner")}, failed: "route's roles and audiences", reason: bearergate.ReasonRole, detail: "the token has none of the roles of the route", sides: [2]string{`"boss" "owner"`, `"clerk"`}, advice: "The token is valid, and has none of the roles"},
		"audience":    {opts: []middleware.RouteOption{middleware.Audience("https://x.example.com")}, failed: "route's roles and audiences", reason: bearergate.ReasonAudience, detail: "aud names no audience of the route", sides: [2]string{`"https://x.example.com"`, `"https://api.example.com"`}, advice: "The token is for this service, and not for the part of it"},
		"delegation":  {opts: []middleware.RouteOption{middleware.Delegation(acting("orders"))}, failed: "delegation", reason: bearergate.ReasonActor, detail: "nobody acts for the subject, and it may not call by itself", sides: [2]string{`sub "orders"`, "no act"}, advice: "The token is valid, and who acts for its subject"},
		"actors":      {opts: []middleware.RouteOption{middleware.Delegation(bearergate.Delegation{AllowDirect: true}), tenant}, tenant: "t1"},
		"tenant":      {opts: []middleware.RouteOption{tenant}, tenant: "t2", failed: "tenant", reason: bearergate.ReasonTenant, detail: "the token is not of the tenant of the request, or one of the two has none", sides: [2]string{"", `"t1"`}, advice: "The request is for another tenant"},
		"no tenant":   {claims: homeless, opts: []middleware.RouteOption{tenant}, tenant: "t2", failed: "tenant", reason: bearergate.ReasonTenant, detail: "the token is not of the tenant of the request, or one of the two has none", advice: "The request is for another tenant"},
		"policy":      {opts: []middleware.RouteOption{policy(errors.New("s3cret"))}, failed: "policy", reason: bearergate.ReasonPolicy, detail: "a policy of Allow refused the request", advice: "A function of Allow refuses"},
		"once":        {need: scope.All("read"), opts: []middleware.RouteOption{middleware.Once(once)}},
		"no jti":      {claims: nameless, opts: []middleware.RouteOption{middleware.Once(once)}, failed: "usable once", reason: bearergate.ReasonMissingClaim, detail: "Once knows a token by jti and for as long as exp says, and one of them is missing", advice: "The route lets each token in one time"},
		"a mistake":   {need: scope.Template("t:{tenant}"), tenant: "t1", opts: []middleware.RouteOption{middleware.Roles()}, failed: "route", reason: bearergate.ReasonConfig, detail: "middleware: option 1: Roles: there is no name, or one is empty"},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.claims.Issuer == "" {
				tt.claims = user
			}
			gate := newGate(t, accepts(tt.claims), middleware.Config{})
			r := bearer("GET", good)
			r.SetPathValue("tenant", tt.tenant)
			e := gate.Explain(r, tt.need, tt.opts...)
			require.Equal(t, tt.reason, bearergate.ReasonOf(e.Err), "%v", e)
			s, _ := e.Failed()
			require.Equal(t, tt.failed, s.Name)
			require.Equal(t, tt.detail, s.Detail)
			sides := [2]string{s.Expected, s.Found}
			require.Equal(t, tt.sides, sides)
			if tt.reason != "" { // and so does the event
				_, _, err := gate.Check(r, tt.need, tt.opts...)
				refusal := bearergate.AsError(err)
				require.Equal(t, tt.reason, refusal.Reason)
				sides = [2]string{refusal.Expected, refusal.Found}
				require.Equal(t, tt.sides, sides)
				require.Equal(t, refusal.Expected, bearergate.AsError(e.Err).Expected)
			}
			require.NotContains(t, e.String(), "s3cret")
			require.NotContains(t, e.String(), "u1", "the subject")
			if tt.advice == "" {
				require.Empty(t, e.Advice)
				return
			}
			require.Contains(t, e.Advice[0], tt.advice)
		})
	}
}

// Each demand has its step, and there is none for what is not demanded.
func TestExplainHasAStepForEachDemand(t *testing.T) {
	of := func(*http.Request) string { return "t1" }
	steps := func(c middleware.Config, opts ...middleware.RouteOption) (names []string) {
		for _, s := range newGate(t, accepts(reader), c).Explain(bearer("GET", good), scope.All("read"), opts...).Steps {
			names = append(names, s.Name)
		}
		return names
	}
	bare := steps(middleware.Config{})
	require.Equal(t, []string{"credential", "proof", "scope"}, slices.DeleteFunc(slices.Clone(bare), func(name string) bool { return name == "verifier" }))
	for _, tt := range []struct {
		name   string
		config middleware.Config
		opts   []middleware.RouteOption
		more   []string
	}{
		{name: "roles", opts: []middleware.RouteOption{middleware.Roles("a")}, more: []string{"route's roles and audiences"}},
		{name: "audiences", opts: []middleware.RouteOption{middleware.Audience("a")}, more: []string{"route's roles and audiences"}},
		{name: "delegation", opts: []middleware.RouteOption{middleware.Delegation(acting("a"))}, more: []string{"delegation"}},
		{name: "tenant", opts: []middleware.RouteOption{middleware.Tenant(of)}, more: []string{"tenant"}},
		{name: "policy", opts: []middleware.RouteOption{middleware.Allow(func(*http.Request, *bearergate.Token) error { return nil })}, more: []string{"policy"}},
		{name: "identity", config: middleware.Config{Identity: map[string]func(*bearergate.Token) string{"X-User": (*bearergate.Token).Subject}}, more: []string{"identity"}},
		{name: "once", opts: []middleware.RouteOption{middleware.Once(&stubStore{t: t})}, more: []string{"usable once", "once"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, slices.Concat(bare, tt.more), steps(tt.config, tt.opts...))
		})
	}
}

// A verifier that refuses for scopes of its own is not explained as a route that does.
func TestExplainOfTheScopesOfTheVerifier(t *testing.T) {
	gate := newGate(t, answers(&bearergate.Error{Kind: bearergate.ErrInsufficientScope, Reason: bearergate.ReasonScope, Scopes: []string{"base"}, Expected: "base"}), middleware.Config{})
	err := refused(t, gate, bearer("GET", good), scope.All("read"), bearergate.ErrInsufficientScope, bearergate.ReasonScope)
	require.Equal(t, "base", bearergate.AsError(err).Expected)
	require.Equal(t, "base", bearergate.AsError(gate.Explain(bearer("GET", good), scope.All("read")).Err).Expected)
}

// A verifier that refuses the audience is not explained as a route that does.
func TestExplainOfTheAudienceOfTheVerifier(t *testing.T) {
	for _, kind := range []error{bearergate.ErrInvalidToken, bearergate.ErrForbidden} {
		gate := newGate(t, refuses(kind, bearergate.ReasonAudience), middleware.Config{})
		e := gate.Explain(bearer("GET", good), scope.Requirement{}, middleware.Audience("https://x.example.com"))
		requireError(t, e.Err, kind, bearergate.ReasonAudience)
		require.Equal(t, gate.Explain(bearer("GET", good), scope.Requirement{}).Advice, e.Advice)
	}
}

// What fails in a function of Identity is explained as that.
func TestExplainOfAnIdentityThatPanics(t *testing.T) {
	gate := newGate(t, accepts(reader), middleware.Config{Identity: map[string]func(*bearergate.Token) string{"X-User": func(*bearergate.Token) string { panic("s3cret") }}})
	e := gate.Explain(bearer("GET", good), scope.All("read"))
	requireError(t, e.Err, bearergate.ErrMisconfigured, bearergate.ReasonInternal)
	failed, _ := e.Failed()
	require.Equal(t, "identity", failed.Name)
	require.Contains(t, e.Advice[0], "A function of Config.Identity failed")
}

// Behind another gate, what that one demands is asked for as well, as in the refusal itself.
func TestExplainOfANestedGate(t *testing.T) {
	gate := newGate(t, accepts(reader), middleware.Config{})
	r := bearer("GET", good)
	r = r.WithContext(bearergate.Admit(r.Context(), bearergate.NewToken(reader), scope.All("read")))
	err := refused(t, gate, r, scope.All("write"), bearergate.ErrInsufficientScope, bearergate.ReasonScope)
	require.Equal(t, []string{"read", "write"}, bearergate.AsError(err).Scopes)
	require.Equal(t, []string{"read", "write"}, bearergate.AsError(gate.Explain(r, scope.All("write")).Err).Scopes)
}

// A request that is not there is what is wrong, whatever the route would fill from it.
func TestExplainOfNoRequest(t *testing.T) {
	gate := newGate(t, accepts(reader), middleware.Config{PathValue: func(*http.Request, string) string { return "7" }})
	e := gate.Explain(nil, scope.Template("doc:{id}"))
	requireError(t, e.Err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	failed, _ := e.Failed()
	require.Equal(t, "route", failed.Name)
	require.Contains(t, failed.Detail, "the request is nil")
}

// stubStore must not be asked.
type stubStore struct{ t *testing.T }

func (s *stubStore) Use(context.Context, string, time.Time) (bool, error) {
	s.t.Error("the token was used up")
	return true, nil
}

// What is wrong with the header is explained without a token.
func TestExplainWithoutAToken(t *testing.T) {
	gate := newGate(t, accepts(reader), middleware.Config{})
	for name, tt := range map[string]struct {
		header []string
		reason bearergate.Reason
		advice string
	}{
		"none":           {reason: bearergate.ReasonNoToken, advice: "No token arrived"},
		"another scheme": {header: []string{"Basic dTpw"}, reason: bearergate.ReasonNoToken, advice: "No token arrived"},
		"no scheme":      {header: []string{good}, reason: bearergate.ReasonNoToken, advice: "No token arrived"},
		"two":            {header: []string{"Bearer a", "Bearer b"}, reason: bearergate.ReasonBadRequest, advice: "Have the client send exactly one"},
		"quotes":         {header: []string{`Bearer "` + good + `"`}, reason: bearergate.ReasonBadRequest, advice: "Have the client send exactly one"},
		"DPoP":           {header: []string{"DPoP " + good}, reason: bearergate.ReasonBinding, advice: "The client uses DPoP"},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/", nil)
			r.Header["Authorization"] = tt.header
			_, _, err := gate.Check(r, scope.Requirement{})
			e := gate.Explain(r, scope.Requirement{})
			kit.RequireExplained(t, e, err, good)
			require.Equal(t, tt.reason, bearergate.ReasonOf(e.Err))
			require.Contains(t, e.Advice[0], tt.advice)
			require.NotContains(t, e.String(), good)
		})
	}
	for _, gate := range []*middleware.Gate{nil, new(middleware.Gate)} {
		kit.RequireError(t, gate.Explain(bearer("GET", good), scope.Requirement{}).Err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	}
}

// A token that is bound is explained further than its proof, and a route that demands a
// bound one says so.
func TestExplainOfBoundTokens(t *testing.T) {
	never := certificate(func(context.Context, bearergate.Call, *bearergate.Token) (bearergate.Reply, error) {
		t.Error("a Binding was asked")
		return nil, nil
	})
	gate := newGate(t, accepts(holder), middleware.Config{Bindings: bindings(never)})
	e := gate.Explain(bearer("GET", good), scope.All("write"), middleware.Bound())
	require.Equal(t, bearergate.ReasonScope, bearergate.ReasonOf(e.Err), "%v", e)
	e = gate.Explain(bearer("GET", good), scope.All("read"), middleware.Bound())
	require.NoError(t, e.Err)
	require.Contains(t, e.String(), "accepted, but for what was not asked")
	unbound := newGate(t, accepts(reader), middleware.Config{Bindings: bindings(never)})
	err := refused(t, unbound, bearer("GET", good), scope.All("read"), bearergate.ErrInvalidToken, bearergate.ReasonBinding, middleware.Bound())
	require.NotEmpty(t, bearergate.AsError(err).Detail)
	require.Contains(t, unbound.Explain(bearer("GET", good), scope.All("read"), middleware.Bound()).Advice[0], "The route takes only tokens that are bound")
}
