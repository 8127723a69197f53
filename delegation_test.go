package bearergate_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/test/kit"
)

const (
	ours    = "https://as.example.com"
	partner = "https://partner.example"
)

// byOrders lets the service orders act for the users of our authorization server.
var byOrders = bearergate.Delegation{Actors: map[string][]bearergate.Actor{ours: {{Subject: "orders"}}}}

// Which actor gets in: by whom the token is, what act says of the current actor, and how
// many there are.
func TestDelegation(t *testing.T) {
	t.Parallel()
	with := func(change func(*bearergate.Delegation)) bearergate.Delegation {
		d := byOrders.Clone()
		change(&d)
		return d
	}
	both := with(func(d *bearergate.Delegation) { d.Actors[partner] = []bearergate.Actor{{Subject: "billing"}} })
	direct := with(func(d *bearergate.Delegation) { d.AllowDirect = true })
	three := with(func(d *bearergate.Delegation) { d.MaxChain = 3 })
	byClient := bearergate.Delegation{Actors: map[string][]bearergate.Actor{ours: {{ClientID: "orders"}}}}
	byBoth := bearergate.Delegation{Actors: map[string][]bearergate.Actor{ours: {{Subject: "orders", ClientID: "o-1"}}}}
	ofStaff := bearergate.Delegation{Actors: map[string][]bearergate.Actor{ours: {{Subject: "ada", Issuer: partner}}}}
	nobody := bearergate.Delegation{AllowDirect: true}
	const (
		notAllowed = "the actor is none of those that may act"
		tooLong    = "the act chain is too long"
		noActor    = "nobody acts for the subject, and it may not call by itself"
		noDelegate = "nobody may act for the subject"
	)
	type chain = []bearergate.Actor
	orders := bearergate.Actor{Subject: "orders"}
	for _, tt := range []struct {
		name     string
		demand   bearergate.Delegation
		issuer   string // default: ours
		act      chain
		detail   string // "": accepted
		expected string
		found    string
	}{
		{name: "the actor", demand: byOrders, act: chain{orders}},
		{name: "the actor, with the issuer of the token as its own", demand: byOrders, act: chain{{Subject: "orders", Issuer: ours}}},
		{name: "the actor of each issuer", demand: both, issuer: partner, act: chain{{Subject: "billing"}}},
		{name: "another actor", demand: byOrders, act: chain{{Subject: "mallory"}}, detail: notAllowed, expected: `sub "orders"`, found: "a sub"},
		{name: "an actor in another case", demand: byOrders, act: chain{{Subject: "Orders"}}, detail: notAllowed, expected: `sub "orders"`, found: "a sub"},
		{name: "an actor whose name begins alike", demand: byOrders, act: chain{{Subject: "orders-x"}}, detail: notAllowed, expected: `sub "orders"`, found: "a sub"},
		{name: "nobody in act", demand: byOrders, act: chain{{}}, detail: notAllowed, expected: `sub "orders"`, found: "an act that names nobody"},
		{name: "only the issuer in act", demand: byOrders, act: chain{{Issuer: ours}}, detail: notAllowed, expected: `sub "orders"`, found: `iss "https://as.example.com"`},

		// The same name at another issuer is somebody else.
		{name: "the actor of another issuer", demand: byOrders, act: chain{{Subject: "orders", Issuer: partner}}, detail: notAllowed, expected: `sub "orders"`, found: `a sub, iss "https://partner.example"`},
		{name: "in a token of another issuer", demand: byOrders, issuer: partner, act: chain{orders}, detail: notAllowed, expected: "no actor in tokens of this issuer", found: "a sub"},
		{name: "another issuer says that it is ours", demand: byOrders, issuer: partner, act: chain{{Subject: "orders", Issuer: ours}}, detail: notAllowed, expected: "no actor in tokens of this issuer", found: `a sub, iss "https://as.example.com"`},
		{name: "another issuer, which has actors of its own, says it", demand: both, issuer: partner, act: chain{{Subject: "orders", Issuer: ours}}, detail: notAllowed, expected: `sub "billing"`, found: `a sub, iss "https://as.example.com"`},
		{name: "our actor, in a token of that issuer", demand: both, issuer: partner, act: chain{orders}, detail: notAllowed, expected: `sub "billing"`, found: "a sub"},
		{name: "the issuer with a slash more", demand: byOrders, issuer: ours + "/", act: chain{orders}, detail: notAllowed, expected: "no actor in tokens of this issuer", found: "a sub"},
		{name: "an actor of another issuer that is allowed", demand: ofStaff, act: chain{{Subject: "ada", Issuer: partner}}},
		{name: "the same name without its issuer", demand: ofStaff, act: chain{{Subject: "ada"}}, detail: notAllowed, expected: `sub "ada", iss "https://partner.example"`, found: "a sub"},

		// All members count.
		{name: "by its client", demand: byClient, act: chain{{ClientID: "orders"}}},
		{name: "a sub that is named as the client", demand: byClient, act: chain{orders}, detail: notAllowed, expected: `client_id "orders"`, found: "a sub"},
		{name: "a client that is named as the sub", demand: byOrders, act: chain{{ClientID: "orders"}}, detail: notAllowed, expected: `sub "orders"`, found: `client_id "orders"`},
		{name: "somebody through the client", demand: byClient, act: chain{{Subject: "ada", ClientID: "orders"}}, detail: notAllowed, expected: `client_id "orders"`, found: `a sub, client_id "orders"`},
		{name: "the actor through another client", demand: byOrders, act: chain{{Subject: "orders", ClientID: "x"}}, detail: notAllowed, expected: `sub "orders"`, found: `a sub, client_id "x"`},
		{name: "both members", demand: byBoth, act: chain{{Subject: "orders", ClientID: "o-1"}}},
		{name: "one of both members", demand: byBoth, act: chain{orders}, detail: notAllowed, expected: `sub "orders", client_id "o-1"`, found: "a sub"},

		// Only the current actor decides (RFC 8693 §4.1), and how many there are.
		{name: "somebody acted before", demand: byOrders, act: chain{orders, {Subject: "gateway"}}, detail: tooLong, expected: "at most 1", found: "2"},
		{name: "the actor twice", demand: byOrders, act: chain{orders, orders}, detail: tooLong, expected: "at most 1", found: "2"},
		{name: "as long as may be", demand: three, act: chain{orders, {Subject: "mallory"}, {}}},
		{name: "longer than may be", demand: three, act: chain{orders, {Subject: "a"}, {Subject: "b"}, {Subject: "c"}}, detail: tooLong, expected: "at most 3", found: "4"},
		{name: "the actor acted before another", demand: three, act: chain{{Subject: "mallory"}, orders}, detail: notAllowed, expected: `sub "orders"`, found: "a sub"},

		// Tokens without act.
		{name: "no actor", demand: byOrders, detail: noActor, expected: `sub "orders"`, found: "no act"},
		{name: "no actor, an empty chain", demand: byOrders, act: chain{}, detail: noActor, expected: `sub "orders"`, found: "no act"},
		{name: "no actor, where that is allowed", demand: direct},
		{name: "no actor, of an issuer that has none", demand: direct, issuer: partner},
		{name: "the actor, where none is allowed too", demand: direct, act: chain{orders}},
		{name: "another actor, where none is allowed too", demand: direct, act: chain{{Subject: "mallory"}}, detail: notAllowed, expected: `sub "orders"`, found: "a sub"},
		{name: "nobody in act, where none is allowed too", demand: direct, act: chain{{}}, detail: notAllowed, expected: `sub "orders"`, found: "an act that names nobody"},
		{name: "nobody may act, and nobody does", demand: nobody},
		{name: "nobody may act, and somebody does", demand: nobody, act: chain{orders}, detail: noDelegate, expected: "no act", found: "a sub"},
		{name: "nobody may act, and somebody without a name does", demand: nobody, act: chain{{}}, detail: noDelegate, expected: "no act", found: "an act that names nobody"},

		// What Err would have named lets nobody in.
		{name: "zero, an actor", act: chain{orders}, detail: noDelegate, expected: "no act", found: "a sub"},
		{name: "zero, no actor", detail: noActor, expected: "no actor in tokens of this issuer", found: "no act"},
		{name: "an actor without a name, which act has", demand: bearergate.Delegation{Actors: map[string][]bearergate.Actor{ours: {{}}}}, act: chain{{}}, detail: notAllowed, expected: "an act that names nobody", found: "an act that names nobody"},
		{name: "no chain at all", demand: with(func(d *bearergate.Delegation) { d.MaxChain = -1 }), act: chain{orders}, detail: tooLong, expected: "at most -1", found: "1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			issuer := tt.issuer
			if issuer == "" {
				issuer = ours
			}
			token := bearergate.NewToken(bearergate.Claims{Issuer: issuer, Subject: "alice", Actors: tt.act})
			err := tt.demand.Authorize(token)
			explained := bearergate.Explanation{Token: token}.Delegation(tt.demand)
			if tt.detail == "" {
				require.NoError(t, err)
				require.NoError(t, explained.Err)
				return
			}
			kit.RequireError(t, err, bearergate.ErrForbidden, bearergate.ReasonActor)
			e := bearergate.AsError(err)
			require.Equal(t, [3]string{tt.detail, tt.expected, tt.found}, [3]string{e.Detail, e.Expected, e.Found})
			kit.RequireError(t, explained.Err, bearergate.ErrForbidden, bearergate.ReasonActor)
			failed, _ := explained.Failed()
			require.Equal(t, "delegation", failed.Name)
			require.Contains(t, explained.Advice[0], "act, RFC 8693")

			// What may be the token itself is quoted nowhere.
			unquotable := token.With(func(c *bearergate.Claims) { c.Unquotable = true })
			if found := bearergate.AsError(tt.demand.Authorize(unquotable)).Found; len(tt.act) > 0 && tt.detail != tooLong {
				require.Empty(t, found)
			}
		})
	}
}

func TestDelegationWithoutAToken(t *testing.T) {
	t.Parallel()
	for _, token := range []*bearergate.Token{nil, {}} {
		for _, demand := range []bearergate.Delegation{{}, byOrders, {AllowDirect: true}} {
			kit.RequireError(t, demand.Authorize(token), bearergate.ErrMissingToken, bearergate.ReasonNoToken)
		}
	}
}

// An explanation that has failed before asks nothing more.
func TestDelegationIsExplainedWhereItIsReached(t *testing.T) {
	t.Parallel()
	before := &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonExpired}
	e := bearergate.Explanation{Err: before}.Delegation(byOrders)
	require.Equal(t, error(before), e.Err)
	require.Equal(t, bearergate.StepNotReached, e.Steps[0].State)
	require.Empty(t, e.Advice)

	require.Empty(t, bearergate.Explanation{}.Delegation().Steps)
	acts := bearergate.NewToken(bearergate.Claims{Issuer: ours, Actors: []bearergate.Actor{{Subject: "orders"}}})
	for _, second := range []bearergate.Delegation{byOrders, {AllowDirect: true}} {
		e = bearergate.Explanation{Token: acts}.Delegation(byOrders, second)
		require.Len(t, e.Steps, 1)
		require.Equal(t, second.AllowDirect, e.Err != nil, "the second counts too")
	}
}

func TestMistakesOfADelegation(t *testing.T) {
	t.Parallel()
	actors := func(issuer string, of ...bearergate.Actor) map[string][]bearergate.Actor {
		return map[string][]bearergate.Actor{issuer: of}
	}
	orders := bearergate.Actor{Subject: "orders"}
	for _, tt := range []struct {
		name   string
		demand bearergate.Delegation
		says   []string // nil: no mistake
	}{
		{name: "actors", demand: byOrders},
		{name: "a subject with a star and a brace", demand: bearergate.Delegation{Actors: actors(ours, bearergate.Actor{Subject: "a*{b}"})}},
		{name: "the longest chain", demand: bearergate.Delegation{Actors: actors(ours, orders), MaxChain: bearergate.MaxActChain}},
		{name: "nobody may act", demand: bearergate.Delegation{AllowDirect: true}},
		{name: "zero", says: []string{"Delegation: there are no Actors"}},
		{name: "a chain of nobody", demand: bearergate.Delegation{AllowDirect: true, MaxChain: 2}, says: []string{"MaxChain is set without Actors"}},
		{name: "no issuer", demand: bearergate.Delegation{Actors: actors("", orders)}, says: []string{"Actors has an empty issuer"}},
		{name: "any issuer", demand: bearergate.Delegation{Actors: actors("https://*.example.com", orders)}, says: []string{`the issuer "https://*.example.com" has a * in it`}},
		{name: "a template", demand: bearergate.Delegation{Actors: actors("https://{x}.example.com", orders)}, says: []string{"has a brace in it"}},
		{name: "an issuer without actors", demand: bearergate.Delegation{Actors: actors(ours)}, says: []string{`of "https://as.example.com" there are none`}},
		{name: "an actor without a name", demand: bearergate.Delegation{Actors: actors(ours, orders, bearergate.Actor{Issuer: ours})}, says: []string{`"https://as.example.com": actor 2 has neither`}},
		{name: "a negative chain", demand: bearergate.Delegation{Actors: actors(ours, orders), MaxChain: -1}, says: []string{"MaxChain is -1: use 1 to 16, or 0 for the default of 1"}},
		{name: "too long a chain", demand: bearergate.Delegation{Actors: actors(ours, orders), MaxChain: 17}, says: []string{"MaxChain is 17"}},
		{name: "all at once", demand: bearergate.Delegation{Actors: map[string][]bearergate.Actor{"": {{}}, "b": nil}, MaxChain: 99},
			says: []string{"an empty issuer", "actor 1 has neither", `of "b" there are none`, "MaxChain is 99"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := tt.demand.Err()
			if tt.says == nil {
				require.NoError(t, err)
				return
			}
			for _, says := range tt.says {
				require.ErrorContains(t, err, says)
			}
			require.Len(t, strings.Split(err.Error(), "\n"), len(tt.says))
		})
	}
}

func TestActorOf(t *testing.T) {
	t.Parallel()
	require.Equal(t, bearergate.Actor{Subject: "a", Issuer: ours}, bearergate.Actor{Subject: "a"}.Of(ours))
	require.Equal(t, bearergate.Actor{ClientID: "a", Issuer: partner}, bearergate.Actor{ClientID: "a", Issuer: partner}.Of(ours))
	require.Equal(t, bearergate.Actor{Subject: "a"}, bearergate.Actor{Subject: "a"}.Of(""))
}

func TestDefaultsOfADelegation(t *testing.T) {
	t.Parallel()
	require.Equal(t, 1, bearergate.DefaultMaxChain)
	require.Equal(t, 16, bearergate.MaxActChain)
}

func TestCloneOfADelegation(t *testing.T) {
	t.Parallel()
	clone := byOrders.Clone()
	require.Equal(t, byOrders, clone)
	clone.Actors[ours][0].Subject = "mallory"
	clone.Actors[partner] = nil
	require.Equal(t, map[string][]bearergate.Actor{ours: {{Subject: "orders"}}}, byOrders.Actors)
	require.Equal(t, bearergate.Delegation{AllowDirect: true}, bearergate.Delegation{AllowDirect: true}.Clone())
}
