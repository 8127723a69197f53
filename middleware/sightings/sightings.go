// Package sightings looks for stolen tokens: it notes from how many networks a token is sent
// within a short time, and tells of one that is seen in too many.
//
//	watch, err := sightings.New(sightings.Config{Hooks: sightings.Hooks{Suspected: tell}})
//	gate, err := middleware.New(v, middleware.Config{
//		ClientAddress: address, // bearergate.NewClientAddress: without it nothing is seen
//		Hooks:         watch.Hooks(),
//	})
//
// It is a signal and nothing else: it refuses no request, and revokes nothing. Phones change
// their network, and some proxies and cloud functions leave from many at once;
// docs/theft.md says how often that is taken for a theft, and how many thieves are seen.
//
// # What is seen
//
// A token is known by iss and jti. Without a jti it is not watched: what else it says is
// equal in two tokens that a client got in the same second. [Config.ID] names another claim.
// A network is the /24 of an IPv4 address and the /48 of an IPv6 address. The two families
// are counted apart, for a client with both uses both at once.
//
// Every request with a valid token counts, also one that was refused for its scope or by a
// policy: somebody has used the token. What does not count is a token that was refused
// itself, expired or revoked for example, and a bound token (RFC 9449, RFC 8705) without its
// proof. That is told elsewhere, and says more: a stolen copy of a bound token opens nothing.
//
// # What is not seen
//
// A thief behind the same NAT or in the same network as the client; a thief in one other
// network, while the client stays in its own, unless [Config.Networks] is 1; a thief who
// waits until the client has stopped for longer than [Config.Within]; and what other
// processes of the service see: each has a memory of its own.
//
// # What is kept
//
// Keyed hashes of tokens and of networks, under keys that each process draws at random, and
// times; no address and no token, unless [Config.TellNetworks] keeps the names of networks.
// Everything is in memory and bounded by [Config]. The package makes no goroutine.
package sightings

import (
	"context"
	"crypto/rand"
	"net/netip"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/digest"
	"github.com/bearergate/bearergate/internal/guard"
	"github.com/bearergate/bearergate/internal/mistake"
	"github.com/bearergate/bearergate/middleware"
)

// Defaults and bounds of [Config].
const (
	DefaultNetworks   = 3
	MaxNetworks       = 15
	DefaultWithin     = 5 * time.Minute
	MinWithin         = 10 * time.Second
	MaxWithin         = time.Hour
	DefaultPrefixIPv4 = 24
	DefaultPrefixIPv6 = 48
	DefaultMaxTokens  = 16384
	LimitMaxTokens    = 1 << 20

	maxName = 256 // bytes of what Config.Network returns and TellNetworks keeps
)

// Config is what [New] needs. The zero value is complete.
type Config struct {
	// Networks is from how many networks of one family a token may be sent Within; one more
	// is told. 1 to [MaxNetworks]; default [DefaultNetworks].
	//
	// 1 sees every thief in another network while the client is active, and every phone that
	// leaves its Wi-Fi: it is for clients that stay where they are, such as servers. Give
	// these a Watch of their own, and call [Watch.Saw] for their tokens.
	Networks int
	// Within is the time in which they are counted. [MinWithin] to [MaxWithin]; default
	// [DefaultWithin].
	Within time.Duration
	// PrefixIPv4 and PrefixIPv6 are how many bits of an address are its network: 8 to 32,
	// and 16 to 128; default [DefaultPrefixIPv4] and [DefaultPrefixIPv6]. More bits see more
	// thieves, and take more clients for thieves.
	PrefixIPv4, PrefixIPv6 int
	// Network names the network of an address instead: its autonomous system, for example,
	// from a database of yours. With that a phone has two networks however often its
	// operator gives it another address. "" means that the address does not count, as that
	// of a proxy from which everybody comes. It is called for every request, must be fast
	// and safe for concurrent use, and is told of in Hooks.Panicked if it panics.
	Network func(netip.Addr) string
	// ID returns what is one token among those of its issuer; "" is not watched. Default:
	// [bearergate.Token.ID], the claim jti. With [bearergate.Token.SessionID], all tokens
	// of a session are watched as one, those of a user's two devices perhaps too. It is
	// called for every request, as Network is.
	ID func(*bearergate.Token) string
	// MaxTokens is how many tokens are remembered at a time, at about 350 bytes each, or 480
	// with IPv4 and IPv6, and 32 more for each further of Networks and family; default
	// [DefaultMaxTokens], at most [LimitMaxTokens]. Where there are more, the token that was not seen for the longest
	// time is forgotten: [Status.Forgotten] counts, and Hooks.Forgot tells of it.
	MaxTokens int
	// TellNetworks keeps the names of the networks, and puts them into [Event.Names].
	// Default: nobody is told, and hashes are kept. The names are personal data.
	TellNetworks bool
	// Hooks tell what was seen.
	Hooks Hooks
}

// Hooks tell what a [Watch] has seen. Each is optional, is called from the goroutine of the
// request, which waits for it, and must be safe for concurrent use. Join several with
// [JoinHooks].
type Hooks struct {
	// Suspected is called when a token was sent from more than [Config.Networks] networks,
	// and no more than once per token and [Config.Within].
	Suspected func(context.Context, Event)

	// Forgot is called when tokens were forgotten that could still have been suspected, no
	// more than once a minute: [Config.MaxTokens] is too small for the traffic.
	Forgot func(context.Context, ForgotEvent)

	// Panicked is called when another hook, or a function of the Config, panicked, while
	// runtime/debug.Stack shows where. The panic goes no further. One of Panicked itself is
	// dropped.
	Panicked func(context.Context, bearergate.PanicEvent)
}

// Event is a token that was seen in too many networks. Somebody has stolen it, or its
// client moves more than others.
type Event struct {
	// Issuer is that of Token: the only one of these that is fit for the label of a metric.
	Issuer string
	// Token is the token of the request with which it was noticed: see its ID, ClientID and
	// Subject. Whether that request is the thief's, nobody knows.
	Token *bearergate.Token
	// IPv6 says of which family the networks are.
	IPv6 bool
	// Networks is in how many of them it was seen within Config.Within. It is Config.Networks
	// and one: that is when it is told.
	Networks int
	// FirstSeen is when the token was first seen here, without a pause of Config.Within since.
	FirstSeen time.Time
	// Names are the networks, in no order: prefixes, or what Config.Network returned, cut to
	// 256 bytes. nil without Config.TellNetworks. They are personal data.
	Names []string
}

// ForgotEvent says how many tokens were forgotten since the last of these events.
type ForgotEvent struct{ Tokens uint64 }

// Status is how a [Watch] is.
type Status struct {
	// Tokens are remembered.
	Tokens int
	// Seen is how many requests have counted. Suspected is how many events were told.
	Seen, Suspected uint64
	// Forgotten is how many tokens were forgotten that could still have been suspected.
	Forgotten uint64
	// WithoutID and WithoutAddress are how many requests did not count: their token has no ID, or it
	// is unknown where they came from, or Config.Network named no network. Many without an
	// address mean that no ClientAddress is configured, or wrongly.
	WithoutID, WithoutAddress uint64
}

// Watch is what was seen lately. Make it with [New]. It is safe for concurrent use. A nil
// or zero Watch sees nothing.
type Watch struct {
	config Config
	hooks  Hooks
	secret string // of the hashes of tokens
	memory *memory
}

// New returns a Watch. Its error is [bearergate.ErrMisconfigured] and names every mistake.
func New(c Config) (*Watch, error) {
	wrong := mistake.In("sightings")
	mistake.Between(&wrong, "Config.Networks", &c.Networks, DefaultNetworks, 1, MaxNetworks)
	mistake.Between(&wrong, "Config.Within", &c.Within, DefaultWithin, MinWithin, MaxWithin)
	if c.Network != nil && (c.PrefixIPv4 != 0 || c.PrefixIPv6 != 0) {
		wrong.Addf("Config.Network is set beside PrefixIPv4 or PrefixIPv6: leave these out, for it decides")
	}
	mistake.Between(&wrong, "Config.PrefixIPv4", &c.PrefixIPv4, DefaultPrefixIPv4, 8, 32)
	mistake.Between(&wrong, "Config.PrefixIPv6", &c.PrefixIPv6, DefaultPrefixIPv6, 16, 128)
	mistake.Between(&wrong, "Config.MaxTokens", &c.MaxTokens, DefaultMaxTokens, 1, LimitMaxTokens)
	if err := wrong.Err(); err != nil {
		return nil, &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonConfig, Cause: err}
	}
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // it never fails: crypto/rand ends the program first
	return &Watch{config: c, hooks: JoinHooks(c.Hooks), secret: string(secret), memory: newMemory(c)}, nil
}

// JoinHooks returns hooks that call those of every argument, in order. One that panics does
// not keep the others from being called.
func JoinHooks(hooks ...Hooks) Hooks {
	var joined Hooks
	for _, h := range hooks {
		joined.Panicked = bearergate.Hook("Panicked", nil, joined.Panicked, h.Panicked)
	}
	for _, h := range hooks {
		joined.Suspected = bearergate.Hook("Suspected", joined.Panicked, joined.Suspected, h.Suspected)
		joined.Forgot = bearergate.Hook("Forgot", joined.Panicked, joined.Forgot, h.Forgot)
	}
	return joined
}

// Hooks returns hooks that feed w; [middleware.JoinHooks] puts them beside others. For gRPC,
// call [Watch.Saw] from the hook Decided, unless its event is Midstream.
func (w *Watch) Hooks() middleware.Hooks {
	return middleware.Hooks{Decided: func(ctx context.Context, e middleware.DecisionEvent) {
		if !e.Midstream { // no further request: it was seen when it began
			w.Saw(ctx, e.Token, e.Address)
		}
	}}
}

// Saw notes that a valid token was sent from an address. A nil token is nobody's and does
// not count; neither does the zero Addr, which is unknown.
func (w *Watch) Saw(ctx context.Context, t *bearergate.Token, from netip.Addr) {
	if w == nil || w.memory == nil || t == nil {
		return
	}
	if !from.IsValid() {
		w.memory.skip(func(s *Status) { s.WithoutAddress++ })
		return
	}
	id := t.ID()
	if w.config.ID != nil {
		id = w.ask(ctx, "ID", func() string { return w.config.ID(t) })
	}
	if id == "" {
		w.memory.skip(func(s *Status) { s.WithoutID++ })
		return
	}
	network, ok := w.network(ctx, from.Unmap().WithZone(""))
	if !ok {
		w.memory.skip(func(s *Status) { s.WithoutAddress++ })
		return
	}
	found := w.memory.note(digest.Strings(w.secret, t.Issuer(), id), network)
	if found.forgot > 0 && w.hooks.Forgot != nil {
		w.hooks.Forgot(ctx, ForgotEvent{Tokens: found.forgot})
	}
	if found.suspected && w.hooks.Suspected != nil {
		w.hooks.Suspected(ctx, Event{Issuer: t.Issuer(), Token: t, IPv6: network.ipv6, Networks: w.config.Networks + 1, FirstSeen: found.first, Names: found.names})
	}
}

// network is that of an address; false if it does not count.
func (w *Watch) network(ctx context.Context, a netip.Addr) (network, bool) {
	n := network{ipv6: a.Is6()}
	if w.config.Network != nil {
		name := w.ask(ctx, "Network", func() string { return w.config.Network(a) })
		n.hash = w.memory.hashName(name)
		if w.config.TellNetworks {
			n.name = func() string { return cut(name) }
		}
		return n, name != ""
	}
	bits := w.config.PrefixIPv4
	if n.ipv6 {
		bits = w.config.PrefixIPv6
	}
	prefix, err := a.Prefix(bits)
	n.hash = w.memory.hashPrefix(prefix)
	if w.config.TellNetworks {
		n.name = prefix.String
	}
	return n, err == nil
}

func cut(name string) string {
	if len(name) > maxName {
		name = name[:maxName]
	}
	return string([]byte(name)) // not a part of a text that somebody else keeps alive
}

// ask calls a function of the Config; "" if it panics.
func (w *Watch) ask(ctx context.Context, where string, f func() string) (answer string) {
	_ = guard.Call(func() error { answer = f(); return nil }, func(p guard.PanicError) error {
		if w.hooks.Panicked != nil {
			w.hooks.Panicked(ctx, bearergate.PanicEvent{Where: where, Type: p.Type})
		}
		return nil
	})
	return answer
}

// Status returns how w is.
func (w *Watch) Status() Status {
	if w == nil || w.memory == nil {
		return Status{}
	}
	return w.memory.now()
}
