package usage

import (
	"cmp"
	"slices"

	"github.com/bearergate/bearergate/middleware"
)

// Unasked is a scope that clients were granted and that no route asks for: it opens
// nothing here, and who steals the token has it too.
type Unasked struct {
	Scope   string
	Clients int // that were granted it
}

// openID are the scopes of OpenID Connect (Core 1.0 §5.4, §11). They are for the server's own
// endpoints, and many servers write them into access tokens for others.
var openID = []string{"openid", "profile", "email", "address", "phone", "offline_access"}

// Unasked returns the scopes of the report that none of the routes asks for, sorted by name:
// not by its requirement, and not by one on [middleware.Trial]. A wildcard asks for all that
// it covers, and a template for all that it can become ([scope.Requirement.Asks]). So do a
// requirement that a gate had met elsewhere: what any client has exercised is none of them.
// Left out are those in ignore, such as the scopes of another API that the tokens are for
// as well, and those of OpenID Connect: openid, profile, email, address, phone,
// offline_access.
//
// What a handler asks for by [bearergate.Token.Authorize] is in no route: put that into
// ignore. The names are those of the authorization server, or of clients where it lets them
// choose: they are for people, and no metric labels.
func (r Report) Unasked(routes []middleware.Route, ignore ...string) []Unasked {
	unasked := map[string]int{}
	for i := range r.Clients {
		for _, name := range r.Clients[i].Unexercised {
			unasked[name]++
		}
	}
	for i := range r.Clients {
		for _, name := range r.Clients[i].Exercised {
			delete(unasked, name)
		}
	}
	var out []Unasked
	for name, clients := range unasked {
		if !slices.Contains(ignore, name) && !slices.Contains(openID, name) && !asked(routes, name) {
			out = append(out, Unasked{Scope: name, Clients: clients})
		}
	}
	slices.SortFunc(out, func(a, b Unasked) int { return cmp.Compare(a.Scope, b.Scope) })
	return out
}

func asked(routes []middleware.Route, name string) bool {
	return slices.ContainsFunc(routes, func(r middleware.Route) bool { return r.Required.Asks(name) || r.Trial.Asks(name) })
}
