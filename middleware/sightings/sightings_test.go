package sightings_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/middleware/sightings"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/stretchr/testify/require"
)

// told gathers events.
type told struct {
	mu     sync.Mutex // guards the rest
	events []sightings.Event
	forgot []uint64
	panics []bearergate.PanicEvent
}

func (l *told) hooks() sightings.Hooks {
	return sightings.Hooks{
		Suspected: func(_ context.Context, e sightings.Event) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.events = append(l.events, e)
		},
		Forgot: func(_ context.Context, e sightings.ForgotEvent) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.forgot = append(l.forgot, e.Tokens)
		},
		Panicked: func(_ context.Context, e bearergate.PanicEvent) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.panics = append(l.panics, e)
		},
	}
}

func (l *told) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.events)
}

func newWatch(t testing.TB, c sightings.Config) (*sightings.Watch, *told) {
	t.Helper()
	l := &told{}
	c.Hooks = l.hooks()
	c.Networks = cmp.Or(c.Networks, 2) // TestConfig has the default
	w, err := sightings.New(c)
	require.NoError(t, err)
	return w, l
}

func token(id string) *bearergate.Token {
	return bearergate.NewToken(bearergate.Claims{Issuer: "https://as.example", Subject: "alice", ClientID: "shop", ID: id, SessionID: "session"})
}

func address(s string) netip.Addr { return netip.MustParseAddr(s) }

// How many networks are too many: the same token from these addresses, in one instant.
func TestNetworks(t *testing.T) {
	for _, tt := range []struct {
		name   string
		config sightings.Config
		from   []string
		events int // in the end
	}{
		{name: "one network", from: []string{"192.0.2.1", "192.0.2.255", "192.0.2.7"}},
		{name: "two networks", from: []string{"192.0.2.1", "198.51.100.1", "192.0.2.1"}},
		{name: "three networks", from: []string{"192.0.2.1", "198.51.100.1", "203.0.113.1"}, events: 1},
		{name: "told once", from: []string{"192.0.2.1", "198.51.100.1", "203.0.113.1", "10.0.0.1", "10.0.1.1", "192.0.2.1"}, events: 1},
		{name: "the families are counted apart", from: []string{"192.0.2.1", "2001:db8::1", "198.51.100.1", "2001:db8:1::1"}},
		{name: "IPv6", from: []string{"2001:db8::1", "2001:db8:1::1", "2001:db8:2::1"}, events: 1},
		{name: "privacy addresses and other subnets of a site", from: []string{"2001:db8::1", "2001:db8::2:1", "2001:db8:0:7::1", "2001:db8:0:ffff::1"}},
		{name: "IPv4 in IPv6 is IPv4", from: []string{"::ffff:192.0.2.1", "192.0.2.2", "::ffff:192.0.2.3"}},
		{name: "and has networks like it", from: []string{"::ffff:192.0.2.1", "::ffff:198.51.100.1", "203.0.113.1"}, events: 1},
		{name: "a zone is no network", from: []string{"fe80::1%a", "fe80::1%b", "fe80::1%c"}},
		{name: "one is enough", config: sightings.Config{Networks: 1}, from: []string{"192.0.2.1", "198.51.100.1"}, events: 1},
		{name: "four are allowed", config: sightings.Config{Networks: 4}, from: []string{"192.0.2.1", "198.51.100.1", "203.0.113.1", "10.0.0.1"}},
		{name: "and not five", config: sightings.Config{Networks: 4}, from: []string{"192.0.2.1", "198.51.100.1", "203.0.113.1", "10.0.0.1", "10.0.1.1"}, events: 1},
		{name: "other prefixes", config: sightings.Config{Networks: 1, PrefixIPv4: 16, PrefixIPv6: 32}, from: []string{"10.0.0.1", "10.0.1.1", "2001:db8::1", "2001:db8:1::1"}},
		{name: "an address each", config: sightings.Config{Networks: 1, PrefixIPv4: 32}, from: []string{"10.0.0.1", "10.0.0.2"}, events: 1},
		{name: "an IPv6 subnet each", config: sightings.Config{Networks: 1, PrefixIPv6: 64}, from: []string{"2001:db8::1", "2001:db8:0:1::1"}, events: 1},
		{name: "named by a function", config: sightings.Config{Networks: 1, Network: func(a netip.Addr) string { return a.String()[:3] }},
			from: []string{"192.0.2.1", "192.88.99.1"}},
		{name: "named apart by a function", config: sightings.Config{Networks: 1, Network: netip.Addr.String}, from: []string{"192.0.2.1", "192.0.2.2"}, events: 1},
		{name: "a function is told no zone, and no IPv4 in IPv6", config: sightings.Config{Networks: 1, Network: netip.Addr.String}, from: []string{"fe80::1%a", "fe80::1%b", "::ffff:192.0.2.1", "192.0.2.1"}},
		{name: "not named by a function", config: sightings.Config{Networks: 1, Network: func(netip.Addr) string { return "" }}, from: []string{"192.0.2.1", "198.51.100.1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, l := newWatch(t, tt.config)
			for _, from := range tt.from {
				w.Saw(t.Context(), token("a"), address(from))
				w.Saw(t.Context(), token("of its own "+from), address(from))
			}
			require.Equal(t, tt.events, l.count())
			require.Equal(t, uint64(tt.events), w.Status().Suspected)
		})
	}
}

// What is one token: its issuer and its ID, and not what else it says.
func TestWhichTokenItIs(t *testing.T) {
	networks := []string{"192.0.2.1", "198.51.100.1", "203.0.113.1"}
	claims := func(issuer, id string) bearergate.Claims {
		return bearergate.Claims{Issuer: issuer, ID: id, SessionID: "s"}
	}
	for _, tt := range []struct {
		name   string
		config sightings.Config
		claims [3]bearergate.Claims // sent from one network each
		events int
		noID   uint64
	}{
		{name: "one token", claims: [3]bearergate.Claims{claims("i", "a"), claims("i", "a"), claims("i", "a")}, events: 1},
		{name: "another ID", claims: [3]bearergate.Claims{claims("i", "a"), claims("i", "a"), claims("i", "b")}},
		{name: "another issuer", claims: [3]bearergate.Claims{claims("i", "a"), claims("i", "a"), claims("j", "a")}},
		{name: "the same letters", claims: [3]bearergate.Claims{claims("i", "ab"), claims("ia", "b"), claims("iab", "")}, noID: 1},
		{name: "no ID", claims: [3]bearergate.Claims{claims("i", ""), claims("i", ""), claims("i", "")}, noID: 3},
		{name: "the session instead", config: sightings.Config{ID: (*bearergate.Token).SessionID}, claims: [3]bearergate.Claims{claims("i", "a"), claims("i", "b"), claims("i", "")}, events: 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, l := newWatch(t, tt.config)
			for i, c := range tt.claims {
				w.Saw(t.Context(), bearergate.NewToken(c), address(networks[i]))
			}
			require.Equal(t, tt.events, l.count())
			require.Equal(t, tt.noID, w.Status().WithoutID)
			require.Equal(t, 3-tt.noID, w.Status().Seen)
		})
	}
}

func TestWithin(t *testing.T) {
	a, b, c := address("192.0.2.1"), address("198.51.100.1"), address("203.0.113.1")
	bubble.Test(t, func(t *testing.T) {
		w, l := newWatch(t, sightings.Config{})
		began := time.Now()
		saw := func(after time.Duration, from netip.Addr) {
			time.Sleep(after)
			w.Saw(t.Context(), token("a"), from)
		}
		saw(0, a)
		saw(4*time.Minute, b)
		saw(time.Minute, c) // 5 minutes after a
		require.Zero(t, l.count(), "the first was too long ago")
		saw(3*time.Minute, a) // b: 4, c: 3 minutes ago
		require.Equal(t, 1, l.count())
		e := l.events[0]
		require.Equal(t, "https://as.example", e.Issuer)
		require.Equal(t, "a", e.Token.ID())
		require.Equal(t, 3, e.Networks)
		require.False(t, e.IPv6)
		require.True(t, e.FirstSeen.Equal(began), e.FirstSeen)
		require.Nil(t, e.Names, "nobody asked for them")

		// It goes on: told again, and not within five minutes.
		saw(time.Minute, b)
		saw(time.Minute, c)
		saw(time.Minute, a)
		saw(time.Minute, b)
		require.Equal(t, 1, l.count())
		saw(time.Minute, c)
		require.Equal(t, 2, l.count())
		require.True(t, l.events[1].FirstSeen.Equal(began), "there was no pause")

		// After a pause it is as if it had never been seen.
		paused := began.Add(18 * time.Minute)
		saw(5*time.Minute, a)
		saw(0, b)
		require.Equal(t, 2, l.count())
		saw(0, c)
		require.Equal(t, 3, l.count())
		require.True(t, l.events[2].FirstSeen.Equal(paused), l.events[2].FirstSeen)
	})
}

func TestNamesAreTold(t *testing.T) {
	w, l := newWatch(t, sightings.Config{TellNetworks: true})
	for _, from := range []string{"192.0.2.7", "2001:db8::7", "198.51.100.7", "203.0.113.7"} {
		w.Saw(t.Context(), token("a"), address(from))
	}
	require.Len(t, l.events, 1)
	require.ElementsMatch(t, []string{"192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"}, l.events[0].Names)

	w, l = newWatch(t, sightings.Config{TellNetworks: true, Networks: 1, Network: func(a netip.Addr) string { return a.String() + strings.Repeat("x", 300) }})
	w.Saw(t.Context(), token("a"), address("2001:db8::7"))
	w.Saw(t.Context(), token("a"), address("2001:db8::8"))
	require.Len(t, l.events, 1)
	require.True(t, l.events[0].IPv6)
	require.Len(t, l.events[0].Names[0], 256)
}

// No address is kept in the clear, nor a token.
func TestNothingIsKeptInTheClear(t *testing.T) {
	w, _ := newWatch(t, sightings.Config{})
	for i := range 100 {
		w.Saw(t.Context(), token(fmt.Sprint("secret-id-", i)), address(fmt.Sprintf("192.0.2.%d", i)))
	}
	text := fmt.Sprintf("%+v %#v", w, w)
	for _, secret := range []string{"secret-id", "192.0.2", "as.example", "alice"} {
		require.NotContains(t, text, secret)
	}
}

// Where there are more tokens than places, the one that was not seen for the longest time is
// forgotten; one that is in use never is.
func TestMaxTokens(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w, l := newWatch(t, sightings.Config{MaxTokens: 3, Networks: 1})
		a, b := address("192.0.2.1"), address("198.51.100.1")
		w.Saw(t.Context(), token("stolen"), a)
		for i := range 10 {
			w.Saw(t.Context(), token(fmt.Sprint(i)), a)
			w.Saw(t.Context(), token("stolen"), a)
		}
		require.Equal(t, sightings.Status{Tokens: 3, Seen: 21, Forgotten: 8}, w.Status())
		w.Saw(t.Context(), token("stolen"), b)
		require.Equal(t, 1, l.count(), "it was seen all the time")
		w.Saw(t.Context(), token("0"), b)
		require.Equal(t, 1, l.count(), "it had been forgotten")
		require.Equal(t, []uint64{1}, l.forgot, "told at once, and then once a minute")

		time.Sleep(time.Minute)
		w.Saw(t.Context(), token("stolen"), a)
		require.Equal(t, []uint64{1, 8}, l.forgot)
		require.Equal(t, uint64(9), w.Status().Forgotten)

		// What is out of date is no loss, and its places are given back.
		time.Sleep(5 * time.Minute)
		w.Saw(t.Context(), token("new"), a)
		require.Equal(t, 2, w.Status().Tokens)
		w.Saw(t.Context(), token("newer"), a)
		require.Equal(t, 2, w.Status().Tokens)
		require.Equal(t, uint64(9), w.Status().Forgotten)
		require.Equal(t, []uint64{1, 8}, l.forgot)
		// A place that is used again knows nothing of the token before it.
		w.Saw(t.Context(), token("new"), a)
		w.Saw(t.Context(), token("newer"), a)
		require.Equal(t, 1, l.count())
		for i := range 9 {
			w.Saw(t.Context(), token(fmt.Sprint("a", i)), address(fmt.Sprintf("2001:db8:%d::1", i)))
			w.Saw(t.Context(), token(fmt.Sprint("c", i)), address(fmt.Sprintf("192.0.%d.1", i)))
		}
		require.Equal(t, 1, l.count())
	})
}

// Which decisions of a gate are sightings.
func TestHooks(t *testing.T) {
	from, others := address("192.0.2.1"), []netip.Addr{address("198.51.100.1"), address("203.0.113.1")}
	refused := func(kind error) error { return &bearergate.Error{Kind: kind, Reason: bearergate.ReasonConfig} }
	for _, tt := range []struct {
		name  string
		event middleware.DecisionEvent
		seen  bool
	}{
		{name: "accepted", event: middleware.DecisionEvent{Token: token("a"), Address: from}, seen: true},
		{name: "refused for its scope", event: middleware.DecisionEvent{Token: token("a"), Address: from, Err: refused(bearergate.ErrInsufficientScope)}, seen: true},
		{name: "refused by a policy", event: middleware.DecisionEvent{Token: token("a"), Address: from, Err: refused(bearergate.ErrForbidden)}, seen: true},
		{name: "a policy gave no answer", event: middleware.DecisionEvent{Token: token("a"), Address: from, Err: refused(bearergate.ErrUnavailable)}, seen: true},
		{name: "no token", event: middleware.DecisionEvent{Address: from, Err: refused(bearergate.ErrInvalidToken)}},
		{name: "no address", event: middleware.DecisionEvent{Token: token("a")}},
		{name: "the end of a request", event: middleware.DecisionEvent{Token: token("a"), Address: from, Midstream: true, Err: refused(bearergate.ErrInvalidToken)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, l := newWatch(t, sightings.Config{})
			for _, a := range others {
				w.Saw(t.Context(), token("a"), a)
			}
			w.Hooks().Decided(t.Context(), tt.event)
			require.Equal(t, tt.seen, l.count() == 1)
		})
	}
}

// End to end: a gate behind a proxy, whose clients are told apart by its header.
func TestBehindAGate(t *testing.T) {
	w, l := newWatch(t, sightings.Config{})
	from, err := bearergate.NewClientAddress(bearergate.ClientAddressConfig{Header: "X-Forwarded-For", Trusted: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}})
	require.NoError(t, err)
	v := bearergate.VerifierFunc(func(_ context.Context, raw string) (*bearergate.Token, error) {
		return bearergate.NewToken(bearergate.Claims{Issuer: "https://as.example", ID: raw, Scopes: scope.Of("read")}), nil
	})
	gate, err := middleware.New(v, middleware.Config{ClientAddress: from, Hooks: w.Hooks()})
	require.NoError(t, err)
	h := gate.Require(scope.All("read"))(kit.Says(""))
	ask := func(raw, forwarded string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = "10.1.0.7:4711"
		r.Header.Set("Authorization", "Bearer "+raw)
		if forwarded != "" {
			r.Header.Set("X-Forwarded-For", forwarded)
		}
		answer := httptest.NewRecorder()
		h.ServeHTTP(answer, r)
		require.Equal(t, http.StatusOK, answer.Code, "it decides nothing")
	}
	for i := range 20 { // what a client makes up stands to the left, and is not read
		ask("honest", fmt.Sprintf("198.18.%d.1, 192.0.2.1", i))
	}
	ask("no-header", "")
	require.Zero(t, l.count())
	ask("stolen", "192.0.2.1")
	ask("stolen", "198.51.100.1")
	ask("stolen", "203.0.113.1")
	require.Equal(t, 1, l.count())
	require.Equal(t, "stolen", l.events[0].Token.ID())
	require.Equal(t, sightings.Status{Tokens: 2, Seen: 23, Suspected: 1, WithoutAddress: 1}, w.Status())
}

func TestConfig(t *testing.T) {
	for _, tt := range []struct {
		name   string
		config sightings.Config
		says   []string
	}{
		{name: "too many networks", config: sightings.Config{Networks: 16}, says: []string{"sightings: Config.Networks is 16: choose between 1 and 15"}},
		{name: "too short", config: sightings.Config{Within: time.Second}, says: []string{"sightings: Config.Within is 1s: choose between 10s and 1h0m0s"}},
		{name: "too long", config: sightings.Config{Within: 2 * time.Hour}, says: []string{"sightings: Config.Within is 2h0m0s"}},
		{name: "a number without a unit", config: sightings.Config{Within: 5}, says: []string{"sightings: Config.Within is 5ns (a number without a unit"}},
		{name: "two rules", config: sightings.Config{Network: netip.Addr.String, PrefixIPv6: 64}, says: []string{"sightings: Config.Network is set beside PrefixIPv4 or PrefixIPv6"}},
		{name: "everything", config: sightings.Config{Networks: -1, PrefixIPv4: 33, PrefixIPv6: 15, MaxTokens: sightings.LimitMaxTokens + 1},
			says: []string{"Config.Networks is -1", "Config.PrefixIPv4 is 33", "Config.PrefixIPv6 is 15", "Config.MaxTokens is 1048577"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, err := sightings.New(tt.config)
			require.Nil(t, w)
			kit.RequireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
			for _, text := range tt.says {
				require.ErrorContains(t, err, text)
			}
		})
	}
	l := &told{}
	w, err := sightings.New(sightings.Config{Hooks: l.hooks()})
	require.NoError(t, err)
	for i := range sightings.DefaultNetworks {
		w.Saw(t.Context(), token("a"), address(fmt.Sprintf("192.0.%d.1", i)))
	}
	require.Zero(t, l.count())
	w.Saw(t.Context(), token("a"), address("198.51.100.1"))
	require.Equal(t, 1, l.count())
	require.Equal(t, 3, sightings.DefaultNetworks)
	require.Equal(t, 5*time.Minute, sightings.DefaultWithin)
	require.Equal(t, 16384, sightings.DefaultMaxTokens)
}

func TestNoWatch(t *testing.T) {
	for _, w := range []*sightings.Watch{nil, {}} {
		w.Saw(t.Context(), token("a"), address("192.0.2.1"))
		w.Hooks().Decided(t.Context(), middleware.DecisionEvent{Token: token("a"), Address: address("192.0.2.1")})
		require.Zero(t, w.Status())
	}
}

func TestPanics(t *testing.T) {
	kit.EachHook(t, sightings.JoinHooks)
	saw := func(c sightings.Config, told func(context.Context, bearergate.PanicEvent)) error {
		c.Networks, c.Hooks.Panicked = 1, told
		w, err := sightings.New(c)
		require.NoError(t, err)
		w.Saw(t.Context(), token("a"), address("192.0.2.1"))
		w.Saw(t.Context(), token("a"), address("198.51.100.1"))
		return nil
	}
	kit.EachPanic(t, "Suspected", func(_ *testing.T, p kit.Panic, told func(context.Context, bearergate.PanicEvent)) error {
		return saw(sightings.Config{Hooks: sightings.Hooks{Suspected: func(context.Context, sightings.Event) { p.Do() }}}, told)
	})
	once := func(f func()) func() {
		done := false
		return func() {
			if !done {
				done = true
				f()
			}
		}
	}
	kit.EachPanic(t, "Network", func(_ *testing.T, p kit.Panic, told func(context.Context, bearergate.PanicEvent)) error {
		do := once(p.Do)
		return saw(sightings.Config{Network: func(netip.Addr) string { do(); return "x" }}, told)
	})
	kit.EachPanic(t, "ID", func(_ *testing.T, p kit.Panic, told func(context.Context, bearergate.PanicEvent)) error {
		do := once(p.Do)
		return saw(sightings.Config{ID: func(*bearergate.Token) string { do(); return "x" }}, told)
	})
	// A function that panics has seen nothing.
	w, l := newWatch(t, sightings.Config{Networks: 1, Network: func(netip.Addr) string { panic(errors.New("no database")) }})
	w.Saw(t.Context(), token("a"), address("192.0.2.1"))
	require.Equal(t, sightings.Status{WithoutAddress: 1}, w.Status())
	require.Len(t, l.panics, 1)
}

// Everybody at once: what is counted is right, and the race detector sees nothing.
func TestConcurrently(t *testing.T) {
	w, l := newWatch(t, sightings.Config{MaxTokens: 64})
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 1000 {
				w.Saw(t.Context(), token(fmt.Sprint(i%50)), address(fmt.Sprintf("192.0.%d.1", g)))
			}
		})
	}
	all.Wait()
	require.Equal(t, sightings.Status{Tokens: 50, Seen: 8000, Suspected: 50}, w.Status())
	require.Equal(t, 50, l.count())
}
