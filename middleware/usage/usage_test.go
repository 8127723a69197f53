package usage_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/middleware/usage"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/bearergate/bearergate/test/kit"
)

func newGate(t testing.TB, v bearergate.Verifier, c middleware.Config) *middleware.Gate {
	t.Helper()
	gate, err := middleware.New(v, c)
	require.NoError(t, err)
	return gate
}

func newUsage(t testing.TB, c usage.Config) *usage.Usage {
	t.Helper()
	u, err := usage.New(c)
	require.NoError(t, err)
	return u
}

// decide tells u of a decision.
func decide(u *usage.Usage, client string, granted scope.Set, need scope.Requirement) {
	token := bearergate.NewToken(bearergate.Claims{Issuer: "https://as", ClientID: client, Scopes: granted})
	u.Hooks().Decided(context.Background(), middleware.DecisionEvent{Token: token, Required: need, Err: token.Authorize(need)})
}

// now is the time as a report has it.
func now() time.Time { return time.Now().UTC().Round(0) }

func told(u *usage.Usage) ([]usage.Client, int) {
	r := u.Report()
	return r.Clients, r.Unwatched
}

func TestUsage(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		start := now()
		u := newUsage(t, usage.Config{})
		gate := newGate(t, kit.Granting(), middleware.Config{Hooks: middleware.JoinHooks(u.Hooks(), middleware.Hooks{})})
		rt := gate.NewRouter()
		rt.Handle("GET /orders", scope.Any("orders:read", "orders:admin"), kit.Says(""))
		rt.Handle("POST /orders", scope.All("orders:write"), kit.Says(""))
		rt.Handle("GET /docs/{id}", scope.Template("doc:{id}"), kit.Says(""))
		rt.Authenticated("GET /me", kit.Says(""))
		rt.Optional("GET /news", scope.Requirement{}, kit.Says(""))
		h := kit.Built(t, rt)
		clients, unwatched := told(u)
		require.Empty(t, clients)
		require.Zero(t, unwatched)

		const scopes = "orders:read+orders:write+doc:7+doc:8+billing"
		kit.Ask(h, "GET", "/me", scopes)
		require.Equal(t, 200, kit.Ask(h, "GET", "/orders", scopes).Code)
		require.Equal(t, 200, kit.Ask(h, "GET", "/docs/7", scopes).Code)
		require.Equal(t, 403, kit.Ask(h, "GET", "/docs/9", scopes).Code, "a refusal exercises nothing")
		kit.Ask(h, "GET", "/orders", "")
		kit.Ask(h, "GET", "/news", "")
		time.Sleep(time.Minute)
		require.Equal(t, 403, kit.Ask(h, "POST", "/orders", "orders:read").Code)
		clients, unwatched = told(u)
		require.Equal(t, []usage.Client{{
			ClientID: "c1", Exercised: []string{"doc:7", "orders:read"}, Unexercised: []string{"billing", "doc:8", "orders:write"},
			FirstSeen: start, LastSeen: start.Add(time.Minute),
		}}, clients)
		require.Zero(t, unwatched)
	})
}

// A scope that stands for others by a policy is exercised when it is what opened the route.
func TestUsageUnderAPolicy(t *testing.T) {
	compile := func(need scope.Requirement) scope.Requirement {
		compiled, err := scope.Policy{Implies: map[string][]string{"admin": {"read", "write"}, "root": {"admin"}}, Separator: ":"}.Compile(need)
		require.NoError(t, err)
		return compiled
	}
	for name, tc := range map[string]struct {
		granted   []string
		need      scope.Requirement
		exercised []string
	}{
		"the name itself":         {[]string{"read", "x"}, scope.All("read"), []string{"read"}},
		"both of any":             {[]string{"a", "b", "c"}, scope.Any("a", "b"), []string{"a", "b"}},
		"an implied one":          {[]string{"admin", "x"}, scope.All("read"), []string{"admin"}},
		"the name makes it spare": {[]string{"admin", "read"}, scope.All("read"), []string{"read"}},
		"one and the other":       {[]string{"admin", "read", "x"}, scope.All("read", "write"), []string{"admin", "read"}},
		"one of two that imply":   {[]string{"admin", "root"}, scope.All("read"), []string{"root"}},
		"a wildcard":              {[]string{"orders:*", "x"}, scope.All("orders:read"), []string{"orders:*"}},
		"nothing asked":           {[]string{"admin"}, scope.Requirement{}, nil},
	} {
		u := newUsage(t, usage.Config{})
		need := tc.need
		if need.Scopes() != nil {
			need = compile(need)
		}
		decide(u, "c", scope.Of(tc.granted...), need)
		clients, _ := told(u)
		require.Len(t, clients, 1)
		require.Equal(t, tc.exercised, clients[0].Exercised, name)
		require.Len(t, clients[0].Unexercised, len(tc.granted)-len(tc.exercised), name)
	}
}

func TestUsageWindow(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		u := newUsage(t, usage.Config{Window: time.Hour})
		report := func() string {
			clients, _ := told(u)
			s := ""
			for _, c := range clients {
				s += fmt.Sprintf("%s%v %v ", c.ClientID, c.Exercised, c.Unexercised)
			}
			return s
		}
		both := scope.Of("a", "b")
		decide(u, "c", both, scope.All("a"))
		time.Sleep(30 * time.Minute)
		decide(u, "c", both, scope.All("b"))
		require.Equal(t, "c[a b] [] ", report())
		time.Sleep(30*time.Minute + 1)
		decide(u, "c", scope.Of("b"), scope.Requirement{})
		require.Equal(t, "c[b] [a] ", report(), "a was exercised too long ago")
		time.Sleep(30 * time.Minute)
		require.Equal(t, "c[] [b] ", report(), "and granted too long ago")
		time.Sleep(30 * time.Minute)
		time.Sleep(time.Nanosecond)
		require.Empty(t, report())

		// Whoever comes back after a window is new.
		decide(u, "c", both, scope.All("a"))
		time.Sleep(time.Hour)
		require.Equal(t, "c[a] [b] ", report(), "a window ago is in the window")
		time.Sleep(time.Hour)
		back := now()
		decide(u, "c", scope.Of("z"), scope.Requirement{})
		clients, _ := told(u)
		require.Equal(t, []usage.Client{{Issuer: "https://as", ClientID: "c", Unexercised: []string{"z"}, FirstSeen: back, LastSeen: back}}, clients)

		// What was never exercised was not exercised in the longest of windows either.
		u = newUsage(t, usage.Config{Window: 1<<63 - 1})
		decide(u, "c", both, scope.All("a"))
		require.Equal(t, "c[a] [b] ", report())
	})
}

func TestUsageIsBounded(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		u := newUsage(t, usage.Config{Window: time.Hour, MaxClients: 3, MaxScopes: 2})
		for i := range 10 {
			decide(u, fmt.Sprint("c", i), scope.Of("a"), scope.All("a"))
		}
		clients, unwatched := told(u)
		require.Len(t, clients, 3)
		require.Equal(t, 7, unwatched)
		time.Sleep(time.Hour + 1)
		decide(u, "new", scope.Of("a", "b", "c"), scope.All("a"))
		decide(u, "new", scope.Of("d"), scope.All("d"))
		clients, unwatched = told(u)
		require.Len(t, clients, 1, "those that were not seen for a window make room")
		require.Equal(t, 7, unwatched)
		require.Equal(t, "new", clients[0].ClientID)
		require.True(t, clients[0].Partial)
		require.Equal(t, []string{"a", "b"}, clients[0].Exercised, "of a token with too many scopes, all count")

		// A full house is not searched for every stranger.
		u = newUsage(t, usage.Config{Window: time.Hour, MaxClients: 1})
		for i, pause := range []time.Duration{59 * time.Minute, 2 * time.Minute, 5 * time.Minute, 0} {
			decide(u, fmt.Sprint("c", i), scope.Of("a"), scope.All("a"))
			time.Sleep(pause)
		}
		clients, unwatched = told(u)
		require.Len(t, clients, 1)
		require.Equal(t, "c3", clients[0].ClientID, "c1 came too early, and c2 too soon after c1")
		require.Equal(t, 2, unwatched)
	})

	u := newUsage(t, usage.Config{})
	many := make([]string, 2000)
	for i := range many {
		many[i] = fmt.Sprint("s", i)
	}
	implied, err := scope.Policy{Separator: ":"}.Compile(scope.All("x:y"))
	require.NoError(t, err)
	start := time.Now()
	for range 50 {
		decide(u, "c", scope.Of(append(many, "x:*")...), implied)
	}
	require.Less(t, time.Since(start), 10*time.Second)
}

func TestUsageIgnoresWhatIsNobodys(t *testing.T) {
	u := newUsage(t, usage.Config{})
	token := bearergate.NewToken(bearergate.Claims{ClientID: "c", Scopes: scope.Of("a")})
	for _, err := range []error{bearergate.ErrInvalidToken, bearergate.ErrUnavailable, bearergate.ErrMisconfigured, errors.New("x")} {
		u.Hooks().Decided(context.Background(), middleware.DecisionEvent{Token: token, Err: err})
	}
	u.Hooks().Decided(context.Background(), middleware.DecisionEvent{})
	u.Hooks().Decided(context.Background(), middleware.DecisionEvent{Token: token, Err: bearergate.ErrInsufficientScope, Midstream: true})
	clients, unwatched := told(u)
	require.Empty(t, clients)
	require.Zero(t, unwatched)
	// The same ID at another issuer is another client.
	for _, issuer := range []string{"https://b", "https://a"} {
		for _, id := range []string{"d", ""} {
			u.Hooks().Decided(context.Background(), middleware.DecisionEvent{Token: bearergate.NewToken(bearergate.Claims{Issuer: issuer, ClientID: id})})
		}
	}
	clients, _ = told(u)
	require.Len(t, clients, 4)
	require.Equal(t, []string{"https://a", "", "https://a", "d", "https://b", "", "https://b", "d"}, []string{
		clients[0].Issuer, clients[0].ClientID, clients[1].Issuer, clients[1].ClientID, clients[2].Issuer, clients[2].ClientID, clients[3].Issuer, clients[3].ClientID})
}

func TestUsageConfig(t *testing.T) {
	for says, c := range map[string]usage.Config{
		"Config.Window is -1ns: use at least a minute, 24*time.Hour for example, or leave it out for 168h0m0s": {Window: -1},
		"Config.Window is 5ns: use at least a minute":                                                          {Window: 5},
		"Config.MaxClients is -1: use 1 or more, or leave it out for 1000":                                     {MaxClients: -1},
		"Config.MaxScopes is -1: use 1 or more, or leave it out for 100":                                       {MaxScopes: -1},
	} {
		u, err := usage.New(c)
		require.Nil(t, u)
		kit.RequireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
		require.ErrorContains(t, err, says)
	}
	require.Equal(t, 7*24*time.Hour, usage.DefaultWindow)
	require.Equal(t, 1000, usage.DefaultMaxClients)
	require.Equal(t, 100, usage.DefaultMaxScopes)
	u := newUsage(t, usage.Config{})
	for i := range 1001 {
		decide(u, fmt.Sprint(i), scope.Of("a"), scope.All("a"))
	}
	clients, unwatched := told(u)
	require.Len(t, clients, usage.DefaultMaxClients)
	require.Equal(t, 1, unwatched)
}

func TestUsageConcurrently(t *testing.T) {
	u := newUsage(t, usage.Config{MaxClients: 5})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 200 {
				decide(u, fmt.Sprint(rand.IntN(8)), scope.Of("a", "b"), scope.All("a"))
				if i%50 == 0 {
					u.Report()
				}
			}
		})
	}
	wg.Wait()
	clients, _ := told(u)
	require.Len(t, clients, 5)
}

// Whose token a policy refused had it, and exercised nothing; a token whose sender
// proved nothing is nobody's.
func TestRefusals(t *testing.T) {
	u := newUsage(t, usage.Config{})
	policy := middleware.Allow(func(*http.Request, *bearergate.Token) error { return errors.New("no") })
	gate := newGate(t, kit.Granting(), middleware.Config{Hooks: u.Hooks()})
	h := gate.Require(scope.All("read"), policy)(kit.Says(""))
	require.Equal(t, 403, kit.Ask(h, "GET", "/", "read").Code)
	clients, _ := told(u)
	require.Len(t, clients, 1)
	require.Equal(t, []string{"read"}, clients[0].Unexercised)
	require.Empty(t, clients[0].Exercised)

	u = newUsage(t, usage.Config{})
	bound := bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) {
		return bearergate.NewToken(bearergate.Claims{ClientID: "c1", Scopes: scope.Of("read"), Confirmation: map[string][]byte{"jkt": []byte(`"x"`)}}), nil
	})
	h = newGate(t, bound, middleware.Config{Hooks: u.Hooks()}).Require(scope.All("read"))(kit.Says(""))
	require.Equal(t, 401, kit.Ask(h, "GET", "/", "read").Code)
	clients, _ = told(u)
	require.Empty(t, clients)
}
