package usage

import (
	"cmp"
	"errors"
	"slices"
	"sync"
	"time"

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

// UnaskedFor is how long a number of [Usage.UnaskedBy] is good.
const UnaskedFor = time.Minute

// UnaskedBy returns a function that counts the scopes of [Report.Unasked] in a report of u,
// for all routes that the routers have by then: for a gauge. It works them out at most once
// in [UnaskedFor], since that takes some milliseconds, and is safe for concurrent use. The
// error is [bearergate.ErrMisconfigured]: for a nil u, no router, and a nil one.
func (u *Usage) UnaskedBy(ignore []string, routers ...*middleware.Router) (count func() int, err error) {
	switch {
	case u == nil || u.seen == nil:
		return nil, misconfigured(errors.New("the Usage is nil or zero: make it with New"))
	case len(routers) == 0 || slices.Contains(routers, nil):
		return nil, misconfigured(errors.New("there is no router, or a nil one: give those whose routes ask for scopes"))
	}
	c := &tally{usage: u, ignore: slices.Clone(ignore), routers: slices.Clone(routers)}
	return c.count, nil
}

type tally struct {
	usage   *Usage
	ignore  []string
	routers []*middleware.Router

	mu      sync.Mutex // guards the rest, and is held while it is worked out
	unasked int
	at      time.Time // zero: never worked out
}

func (c *tally) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); c.at.IsZero() || now.Sub(c.at) >= UnaskedFor {
		var routes []middleware.Route
		for _, rt := range c.routers {
			routes = append(routes, rt.Routes()...)
		}
		c.unasked, c.at = len(c.usage.Report().Unasked(routes, c.ignore...)), now
	}
	return c.unasked
}

func asked(routes []middleware.Route, name string) bool {
	return slices.ContainsFunc(routes, func(r middleware.Route) bool { return r.Required.Asks(name) || r.Trial.Asks(name) })
}
