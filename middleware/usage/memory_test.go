package usage_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/middleware/usage"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/bubble"
)

// A request whose client, scopes and route were seen before allocates nothing.
func TestWhatWasSeenBeforeAllocatesNothing(t *testing.T) {
	for kind, build := range kinds {
		for _, n := range []int{1, 10, 100} {
			granted, need := build(t, n)
			u := newUsage(t, usage.Config{})
			decided := u.Hooks().Decided
			token := func() *bearergate.Token {
				return bearergate.NewToken(bearergate.Claims{Issuer: "https://as", ClientID: "c", Scopes: scope.Of(granted.Names()...)})
			}
			first, second := token(), token()
			decided(t.Context(), middleware.DecisionEvent{Token: first, Required: need})
			for name, e := range map[string]middleware.DecisionEvent{
				"the token":               {Token: first, Required: need},
				"another, alike":          {Token: second, Required: need},
				"a route that asks less":  {Token: first},
				"a refusal for the scope": {Token: first, Required: need, Err: bearergate.ErrInsufficientScope},
			} {
				require.Zero(t, testing.AllocsPerRun(10, func() { decided(t.Context(), e) }), "%s, %d: %s", kind, n, name)
			}
		}
	}
}

// plain is what a Usage does, without everything that makes it fast.
type plain struct {
	config  usage.Config
	clients map[string]*plainClient
}

type plainClient struct {
	first, last        time.Time
	granted, exercised map[string]time.Time
	partial            bool
}

func (p *plain) decide(now time.Time, id string, granted scope.Set, need scope.Requirement) {
	c := p.clients[id]
	if c == nil || now.Sub(c.last) > p.config.Window {
		c = &plainClient{first: now, granted: map[string]time.Time{}, exercised: map[string]time.Time{}}
		p.clients[id] = c
	}
	c.last = now
	for _, name := range granted.Names() {
		if _, known := c.granted[name]; !known && len(c.granted) == p.config.MaxScopes {
			c.partial = true
			continue
		}
		c.granted[name] = now
		if slices.Contains(need.Exercised(granted), name) || granted.Len() > p.config.MaxScopes && need.SatisfiedBy(granted) && !need.SatisfiedBy(scope.Set{}) {
			c.exercised[name] = now
		}
	}
}

func (p *plain) report(now time.Time) string {
	var clients []usage.Client
	for id, c := range p.clients {
		if now.Sub(c.last) > p.config.Window {
			delete(p.clients, id)
			continue
		}
		told := usage.Client{Issuer: "https://as", ClientID: id, FirstSeen: c.first, LastSeen: c.last, Partial: c.partial}
		for name, at := range c.granted {
			if now.Sub(at) > p.config.Window {
				delete(c.granted, name)
				delete(c.exercised, name)
			} else if used, ok := c.exercised[name]; ok && now.Sub(used) <= p.config.Window {
				told.Exercised = append(told.Exercised, name)
			} else {
				told.Unexercised = append(told.Unexercised, name)
			}
		}
		clients = append(clients, told)
	}
	return text(usage.Merge(usage.Report{Clients: clients}).Clients)
}

func text(clients []usage.Client) string {
	var b strings.Builder
	for _, c := range clients {
		fmt.Fprintf(&b, "%s %v %v %v %v %v\n", c.ClientID, c.Exercised, c.Unexercised, c.FirstSeen.UnixMilli(), c.LastSeen.UnixMilli(), c.Partial)
	}
	return b.String()
}

// Whatever is remembered, and however much of it at a time, the report is that of a
// program which remembers nothing but names and times.
func TestTheReportIsThatOfThePlainProgram(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(3, 4))
		policy := scope.Policy{Separator: ":", Implies: map[string][]string{"s1": {"s2", "s3"}, "s4": {"s1"}}}
		var needs []scope.Requirement
		for i := range 50 { // more than there are places for
			needs = append(needs, compiled(t, policy, scope.Any(fmt.Sprint("s", i%12), fmt.Sprintf("t:%d", i%5))))
		}
		needs = append(needs, scope.Requirement{})
		var sets []scope.Set
		for range 15 { // as well
			var names []string
			for range 1 + random.IntN(9) {
				names = append(names, fmt.Sprint("s", random.IntN(12)))
			}
			sets = append(sets, scope.Of(append(names, []string{"t:*", "t:1", "u"}[random.IntN(3)])...))
		}
		for _, config := range []usage.Config{
			{Window: time.Hour, MaxScopes: 100},
			{Window: time.Hour, MaxScopes: 5}, // fewer than a token may have
			{Window: time.Minute, MaxScopes: 10},
		} {
			u, p := newUsage(t, config), &plain{config, map[string]*plainClient{}}
			for range 30 {
				for range 100 {
					id, set, need := fmt.Sprint("c", random.IntN(4)), sets[random.IntN(len(sets))], needs[random.IntN(len(needs))]
					if config.MaxScopes < 12 {
						set = sets[0] // which scopes find a place depends on the order; one after the other here
						if random.IntN(50) == 0 {
							set = sets[1]
						}
					}
					if random.IntN(2) == 0 {
						set = scope.Of(set.Names()...)
					}
					decide(u, id, set, need)
					p.decide(time.Now(), id, set, need)
					time.Sleep(time.Duration(random.IntN(3000)) * time.Millisecond)
				}
				if random.IntN(3) == 0 {
					time.Sleep(time.Duration(random.IntN(100)) * time.Minute)
				}
				if random.IntN(3) > 0 { // a report cleans up
					require.Equal(t, p.report(time.Now()), text(u.Report().Clients))
				}
			}
		}
	})
}

// Sets, requirements and clients beyond those that have a place are told of all the same,
// or counted, by all goroutines at once.
func TestNothingIsLostBetweenCores(t *testing.T) {
	u := newUsage(t, usage.Config{MaxClients: 40, MaxScopes: 60})
	policy := scope.Policy{Separator: ":"}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 300 {
				// A set and a requirement of each request's own, and some that all share.
				name := fmt.Sprintf("own%d:%d", g, i%7)
				need, err := policy.Compile(scope.All(name))
				if err != nil {
					t.Error(err)
				}
				decide(u, fmt.Sprint("c", i%50), scope.Of("shared", name), need)
				decide(u, fmt.Sprint("c", i%50), scope.Of("shared", "idle"), scope.All("shared"))
				if i%60 == 0 {
					u.Report()
				}
			}
		})
	}
	wg.Wait()
	r := u.Report()
	require.Len(t, r.Clients, 40)
	require.Equal(t, 10*8*300/50*2, r.Unwatched, "those of the ten clients that found no place")
	for _, c := range r.Clients {
		require.Contains(t, c.Exercised, "shared")
		require.Equal(t, []string{"idle"}, c.Unexercised)
		require.False(t, c.Partial)
	}
}

// A set that comes once more finds the place of one that does so no longer, which is told
// of all the same.
func TestSetsMakeRoom(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		u := newUsage(t, usage.Config{Window: time.Hour})
		decided := u.Hooks().Decided
		need := scope.All("read")
		token := func(i int) *bearergate.Token {
			return bearergate.NewToken(bearergate.Claims{ClientID: "c", Scopes: scope.Of("read", fmt.Sprint("user:", i))})
		}
		allocs := func(t9 *bearergate.Token) float64 {
			return testing.AllocsPerRun(10, func() { decided(t.Context(), middleware.DecisionEvent{Token: t9, Required: need}) })
		}
		for i := range 9 {
			decided(t.Context(), middleware.DecisionEvent{Token: token(i), Required: need})
		}
		ninth := token(8)
		require.Positive(t, allocs(ninth), "all places are taken")
		require.Zero(t, allocs(token(0)))
		time.Sleep(time.Minute)
		require.Zero(t, allocs(ninth), "and free again when they were not used for a while")
		require.Positive(t, func() float64 { // worked out and forgotten, by turns with the others
			var n float64
			for i := range 8 {
				n += allocs(token(i))
			}
			return n
		}())
		clients := u.Report().Clients
		require.Len(t, clients, 1)
		require.Len(t, clients[0].Unexercised, 9)
	})

	// When a set was seen last is not forgotten with its place.
	bubble.Test(t, func(t *testing.T) {
		u := newUsage(t, usage.Config{Window: time.Hour})
		set := func(i int) scope.Set { return scope.Of(fmt.Sprint("user:", i)) }
		for i := range 8 {
			decide(u, "c", set(i), scope.Requirement{})
		}
		time.Sleep(50 * time.Minute)
		decide(u, "c", set(0), scope.Requirement{})
		time.Sleep(5 * time.Minute)
		for i := range 8 {
			decide(u, "c", set(8+i), scope.Requirement{})
		}
		time.Sleep(30 * time.Minute)
		require.Equal(t, append([]string{"user:0"}, slices.Sorted(slices.Values(names("user:%d", 16)[8:]))...), u.Report().Clients[0].Unexercised)
	})
}

// A scope that had no place is watched as soon as another one has gone.
func TestScopesMakeRoom(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		u := newUsage(t, usage.Config{Window: time.Hour, MaxScopes: 2})
		decide(u, "c", scope.Of("old"), scope.All("old"))
		decide(u, "c", scope.Of("a", "b"), scope.All("b"))
		require.Equal(t, []string{"a"}, u.Report().Clients[0].Unexercised)
		time.Sleep(30 * time.Minute)
		decide(u, "c", scope.Of("a", "b"), scope.All("b"))
		time.Sleep(31 * time.Minute)
		u.Report()
		decide(u, "c", scope.Of("a", "b"), scope.All("b"))
		c := u.Report().Clients[0]
		require.Equal(t, []string{"b"}, c.Exercised)
		require.Equal(t, []string{"a"}, c.Unexercised)
	})
}
