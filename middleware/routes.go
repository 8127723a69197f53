package middleware

import (
	"cmp"
	"slices"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/scope"
)

// Route is what a [Router] was told about one route, for documents, reviews and
// tests. Changing it changes nothing.
type Route struct {
	// Pattern is the pattern of the route, whole, as in [DecisionEvent.Pattern].
	Pattern string
	// Method, Host and Path are its parts; no Method means every method that has
	// no pattern of its own, no Host every host.
	Method, Host, Path string
	// Access says who may enter at all.
	Access Access
	// Required is what a token must satisfy; that of its group included.
	Required scope.Requirement
	// ACRValues and MaxAge are what [StepUp] demands.
	ACRValues []string
	MaxAge    time.Duration
	// AuthContext is what [AuthContext] demands.
	AuthContext string
	// Bound says that the token must be bound to its sender: [Bound], or
	// [Config.RequireBinding].
	Bound bool
	// Roles are the lists of [Roles]: a token has one role of each.
	Roles [][]string
	// Tenants is how many functions of [Tenant] have to name the token's tenant.
	Tenants int
	// Audiences are the lists of [Audience]: aud names one of each.
	Audiences [][]string
	// Delegations are those of [Delegation]: who acts for the subject satisfies each.
	Delegations []bearergate.Delegation
	// Policies is how many functions of [Allow] have to agree.
	Policies int
	// Once says that a token opens the route one time: [Once].
	Once bool
	// Trial is the requirement of [Trial], which is not enforced; zero if there is none.
	Trial scope.Requirement
	// Via says that the route has a verifier of its own.
	Via bool
	// CancelOnExpiry says that the request ends with its token.
	CancelOnExpiry bool
	// Recheck is how often the token is decided on anew while the request is served;
	// 0 is never.
	Recheck time.Duration
}

// Routes returns every route that is registered, in the order of path, host and
// method. It does not look for mistakes: [Router.Handler] does.
func (rt *Router) Routes() []Route {
	if rt == nil {
		return nil
	}
	rt.mu.Lock()
	defer rt.mu.Unlock()
	routes := make([]Route, 0, len(rt.routes))
	for _, reg := range rt.routes {
		r := Route{
			Pattern:        reg.pattern,
			Access:         reg.route.access,
			Required:       reg.route.need,
			ACRValues:      slices.Clone(reg.route.stepUp.ACR),
			MaxAge:         reg.route.stepUp.MaxAge,
			AuthContext:    reg.route.stepUp.AuthContext,
			Bound:          reg.route.bound,
			Roles:          cloned(reg.route.roles),
			Tenants:        len(reg.route.tenants),
			Audiences:      cloned(reg.route.audiences),
			Delegations:    copied(reg.route.delegations),
			Policies:       reg.route.policies(),
			Once:           reg.route.once != nil,
			Via:            reg.route.via,
			CancelOnExpiry: reg.route.cancel,
			Recheck:        reg.route.recheck,
		}
		if reg.route.trial != nil {
			r.Trial = reg.route.trial.need
		}
		r.Method, _ = cut(reg.pattern)
		r.Host, r.Path = splitHost(reg.pattern)
		routes = append(routes, r)
	}
	slices.SortStableFunc(routes, func(a, b Route) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Host, b.Host), cmp.Compare(a.Method, b.Method))
	})
	return routes
}

func copied(delegations []bearergate.Delegation) []bearergate.Delegation {
	delegations = slices.Clone(delegations)
	for i, d := range delegations {
		delegations[i] = d.Clone()
	}
	return delegations
}

func cloned(lists [][]string) [][]string {
	lists = slices.Clone(lists)
	for i := range lists {
		lists[i] = slices.Clone(lists[i])
	}
	return lists
}

// scopes returns what the routes require, sorted, each scope once.
func (rt *Router) scopes() []string {
	var names []string
	for _, reg := range rt.routes {
		names = append(names, reg.route.need.Scopes()...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}
