// Package usage finds clients with more privileges than they use: it notes which
// scopes the tokens of a client grant, and which of those opened a route.
//
//	u, err := usage.New(usage.Config{})
//	gate, err := middleware.New(v, middleware.Config{Hooks: u.Hooks()})
//	report := u.Report() // after a while
//
// It sees what gates decide, not what a handler does with
// [bearergate.Token.Authorize]. Everything is in memory and bounded by [Config];
// each process sees its own requests. Reports of several processes are written as JSON
// ([Report.MarshalJSON]), read again ([ReadReport]) and put together ([Merge]).
package usage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
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
	seen   *memory
}

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
		return nil, misconfigured(err)
	}
	return &Usage{config: c, seen: newMemory(c)}, nil
}

func misconfigured(err error) error {
	return &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonConfig, Cause: fmt.Errorf("usage: %w", err)}
}

// Hooks returns hooks that feed u; [middleware.JoinHooks] puts them beside others.
func (u *Usage) Hooks() middleware.Hooks { return middleware.Hooks{Decided: u.decided} }

func (u *Usage) decided(_ context.Context, e middleware.DecisionEvent) {
	if e.Token == nil || !known(e.Err) || e.Midstream {
		return // nobody's privileges, or those of a request that was counted when it began
	}
	need := e.Required
	if e.Err != nil {
		need = scope.Requirement{} // no scope opened the route
	}
	u.seen.note(client{e.Token.Issuer(), e.Token.ClientID()}, e.Token.Scopes(), need)
}

// known reports whether a token beside err is valid, whatever the route asks beyond that.
func known(err error) bool {
	return err == nil || errors.Is(err, bearergate.ErrInsufficientScope) || errors.Is(err, bearergate.ErrInsufficientAuthentication) ||
		errors.Is(err, bearergate.ErrForbidden)
}

// Report returns what was seen in the last Window.
func (u *Usage) Report() Report { return u.seen.report() }
