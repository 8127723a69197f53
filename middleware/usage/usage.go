// Package usage finds clients with more privileges than they use: it notes which
// scopes the tokens of a client grant, and which of those opened a route.
//
//	u, err := usage.New(usage.Config{})
//	gate, err := middleware.New(v, middleware.Config{Hooks: u.Hooks()})
//	clients, unwatched := u.Report() // after a while
//
// It sees what gates decide, not what a handler does with
// [bearergate.Token.Authorize]. Everything is in memory and bounded by [Config];
// each process sees its own requests.
package usage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

// Defaults of [Config].
const (
	DefaultWindow     = 7 * 24 * time.Hour
	DefaultMaxClients = 1000
	DefaultMaxScopes  = 100
)

// Config is what [New] needs. The zero value is complete.
type Config struct {
	// Window is how far back a report looks: at least a minute; default
	// [DefaultWindow].
	Window time.Duration
	// MaxClients is how many clients are watched at a time; default
	// [DefaultMaxClients]. While all places are taken, a new client is not watched.
	// A place is free again when its client was not seen for a Window.
	MaxClients int
	// MaxScopes is how many scopes of a client are watched; default
	// [DefaultMaxScopes]. Further ones are left out of the report.
	MaxScopes int
}

// Usage is what was seen so far. Make one with [New], put its [Usage.Hooks] into
// [middleware.Config.Hooks], and look at [Usage.Report] after a while. It is safe
// for concurrent use.
type Usage struct {
	config Config

	mu        sync.Mutex // guards what follows
	clients   map[client]*clientUse
	swept     time.Time
	unwatched int
}

// client is a client of an authorization server; its ID says nothing without it.
type client struct{ issuer, id string }

type clientUse struct {
	first, last time.Time // seen
	scopes      map[string]scopeUse
	partial     bool
}

type scopeUse struct{ granted, exercised time.Time }

// New returns a Usage. Its error is [bearergate.ErrMisconfigured].
func New(c Config) (*Usage, error) {
	c.Window = cmp.Or(c.Window, DefaultWindow)
	c.MaxClients = cmp.Or(c.MaxClients, DefaultMaxClients)
	c.MaxScopes = cmp.Or(c.MaxScopes, DefaultMaxScopes)
	var errs []error
	if c.Window < time.Minute {
		errs = append(errs, fmt.Errorf("Config.Window is %v: use at least a minute, 24*time.Hour for example, or leave it out for %v", c.Window, DefaultWindow))
	}
	if c.MaxClients < 0 {
		errs = append(errs, fmt.Errorf("Config.MaxClients is %d: use 1 or more, or leave it out for %d", c.MaxClients, DefaultMaxClients))
	}
	if c.MaxScopes < 0 {
		errs = append(errs, fmt.Errorf("Config.MaxScopes is %d: use 1 or more, or leave it out for %d", c.MaxScopes, DefaultMaxScopes))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonConfig, Cause: fmt.Errorf("usage: %w", err)}
	}
	return &Usage{config: c, clients: map[client]*clientUse{}}, nil
}

// Hooks returns hooks that feed u; [middleware.JoinHooks] puts them beside others.
func (u *Usage) Hooks() middleware.Hooks { return middleware.Hooks{Decided: u.decided} }

func (u *Usage) decided(_ context.Context, e middleware.DecisionEvent) {
	if e.Token == nil || !known(e.Err) || e.Midstream {
		return // nobody's privileges, or those of a request that was counted when it began
	}
	granted := e.Token.Scopes()
	var exercised []string
	switch {
	case e.Err != nil || e.Required.SatisfiedBy(scope.Set{}):
	case granted.Len() > u.config.MaxScopes: // finding out would cost too much
		exercised = granted.Names()
	default:
		exercised = exercise(granted, e.Required)
	}
	now := time.Now()
	u.mu.Lock()
	defer u.mu.Unlock()
	key := client{e.Token.Issuer(), e.Token.ClientID()}
	use := u.clients[key]
	switch {
	case use == nil:
		if len(u.clients) >= u.config.MaxClients && !u.sweep(now) {
			u.unwatched++
			return
		}
		use = &clientUse{}
		u.clients[key] = use
		fallthrough
	case now.Sub(use.last) > u.config.Window: // it is as good as new
		*use = clientUse{first: now, scopes: map[string]scopeUse{}}
	}
	use.last = now
	for _, name := range granted.Names() {
		s, known := use.scopes[name]
		if !known && len(use.scopes) >= u.config.MaxScopes {
			use.partial = true
			continue
		}
		s.granted = now
		if slices.Contains(exercised, name) {
			s.exercised = now
		}
		use.scopes[name] = s
	}
}

// known reports whether a token beside err is valid, whatever the route asks beyond that.
func known(err error) bool {
	return err == nil || errors.Is(err, bearergate.ErrInsufficientScope) || errors.Is(err, bearergate.ErrInsufficientAuthentication) ||
		errors.Is(err, bearergate.ErrForbidden)
}

// exercise returns which of the granted scopes opened a route. Those that the
// requirement names did, all that are there, even if fewer would do. If they do
// not suffice, a scope.Policy let others stand for them: then so many of the
// granted ones that none of them can be missed.
func exercise(granted scope.Set, need scope.Requirement) []string {
	used := slices.DeleteFunc(need.Scopes(), func(name string) bool { return !granted.Has(name) })
	if need.SatisfiedBy(scope.Of(used...)) {
		return used
	}
	enough := granted.Names()
	for _, name := range granted.Names() {
		fewer := slices.DeleteFunc(slices.Clone(enough), func(s string) bool { return s == name })
		if !slices.Contains(used, name) && need.SatisfiedBy(scope.Of(fewer...)) {
			enough = fewer
		}
	}
	return enough
}

// sweep forgets clients that were not seen for a window, but looks for them no
// more than ten times in a window. It reports whether there is room now.
func (u *Usage) sweep(now time.Time) bool {
	if now.Sub(u.swept) < u.config.Window/10 {
		return false
	}
	u.swept = now
	for key, use := range u.clients {
		if now.Sub(use.last) > u.config.Window {
			delete(u.clients, key)
		}
	}
	return len(u.clients) < u.config.MaxClients
}

// Client is what one client was granted in the window of a [Usage], and what
// of it opened a route. Both lists are sorted.
type Client struct {
	Issuer, ClientID string // as in its tokens; no ClientID stands for all tokens that name none
	Exercised        []string
	Unexercised      []string
	// FirstSeen is since when it has been seen without a gap of a whole Window. Of
	// a client that has just come, Unexercised says little.
	FirstSeen, LastSeen time.Time
	// Partial says that the client has more scopes than Config.MaxScopes.
	Partial bool
}

// Report returns what was seen in the last Window, sorted by issuer and client,
// and how many decisions were left out because of MaxClients, since the start.
func (u *Usage) Report() (clients []Client, unwatched int) {
	now := time.Now()
	u.mu.Lock()
	defer u.mu.Unlock()
	for key, use := range u.clients {
		if now.Sub(use.last) > u.config.Window {
			delete(u.clients, key)
			continue
		}
		c := Client{Issuer: key.issuer, ClientID: key.id, FirstSeen: use.first, LastSeen: use.last, Partial: use.partial}
		for name, s := range use.scopes {
			switch {
			case now.Sub(s.granted) > u.config.Window:
				delete(use.scopes, name) // and makes room
			case !s.exercised.IsZero() && now.Sub(s.exercised) <= u.config.Window:
				c.Exercised = append(c.Exercised, name)
			default:
				c.Unexercised = append(c.Unexercised, name)
			}
		}
		slices.Sort(c.Exercised)
		slices.Sort(c.Unexercised)
		clients = append(clients, c)
	}
	slices.SortFunc(clients, func(a, b Client) int {
		return cmp.Or(cmp.Compare(a.Issuer, b.Issuer), cmp.Compare(a.ClientID, b.ClientID))
	})
	return clients, u.unwatched
}
