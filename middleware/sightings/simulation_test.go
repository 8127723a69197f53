package sightings_test

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware/sightings"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/stretchr/testify/require"
)

// world is where requests come from. Everything in it is drawn from one seed.
type world struct{ *rand.Rand }

// v4 is an address in the n-th /24 of an operator, v6 one in its n-th /48.
func (w world) v4(operator byte, n int) netip.Addr {
	return netip.AddrFrom4([4]byte{operator, byte(n >> 8), byte(n), byte(w.IntN(256))})
}

func (w world) v6(operator byte, n int) netip.Addr {
	a := [16]byte{0: 0x2a, 1: operator, 15: byte(w.IntN(256))}
	binary.BigEndian.PutUint16(a[4:], uint16(n))
	return netip.AddrFrom16(a)
}

// operatorOf names the operator of an address, as a database of autonomous systems does.
func operatorOf(a netip.Addr) string {
	if a.Is4() {
		return fmt.Sprint(a.As4()[0])
	}
	return fmt.Sprint(a.As16()[1])
}

// around is a time with that mean, exponentially distributed, and never zero.
func (w world) around(mean time.Duration) time.Duration {
	return time.Duration(w.ExpFloat64()*float64(mean)) + 1
}

// The operators of the world.
const (
	offices, homes, mobiles, proxies, vpns, clouds, wifis, thieves = 11, 12, 13, 14, 15, 16, 17, 18
)

// client says from where the next request comes.
type client func(now time.Duration) netip.Addr

// every calls change now and then, on average after a mean time.
func (w world) every(mean time.Duration, change func(), from client) client {
	next := time.Duration(0)
	return func(now time.Duration) netip.Addr {
		for now >= next {
			change()
			next += w.around(mean)
		}
		return from(now)
	}
}

// office is one of many users behind few addresses.
func office(w world) client {
	return func(time.Duration) netip.Addr { return w.v4(offices, 1) }
}

// dual uses IPv6 for most connections, and IPv4 for those where it was faster (RFC 8305).
func (w world) dual(operator byte, v4, v6 *int) client {
	return func(time.Duration) netip.Addr {
		if w.IntN(10) < 8 {
			return w.v6(operator, *v6) // another address of its /64 each time (RFC 8981)
		}
		return w.v4(operator, *v4)
	}
}

func home(w world) client {
	n := w.IntN(60000)
	return w.dual(homes, &n, &n)
}

// phone is on Wi-Fi and on the network of its operator by turns, and gets another address of
// 16 /24s and 16 /48s there whenever it attaches anew. While it is attached, it has one
// (RFC 6888, REQ-2). Every fifth Wi-Fi is one that it meets on its way.
func phone(wifi, mobile, attached time.Duration) func(w world) client {
	return func(w world) client {
		own := w.IntN(60000)
		onWifi := w.IntN(2) == 0
		var at4, at6, hotspot int
		cell := w.every(attached, func() { at4, at6 = w.IntN(16), w.IntN(16) }, w.dual(mobiles, &at4, &at6))
		until := time.Duration(0)
		return func(now time.Duration) netip.Addr {
			for now >= until {
				onWifi = !onWifi
				if hotspot = 0; onWifi && w.IntN(5) == 0 {
					hotspot = 1 + w.IntN(60000)
				}
				if onWifi {
					until += w.around(wifi)
				} else {
					until += w.around(mobile)
					at4, at6 = w.IntN(16), w.IntN(16)
				}
			}
			switch {
			case onWifi && hotspot > 0:
				return w.v4(wifis, hotspot)
			case onWifi:
				return w.dual(homes, &own, &own)(now)
			}
			return cell(now)
		}
	}
}

// egress leaves from one of n /24s, another one for each connection.
func egress(operator byte, n int, connection time.Duration) func(w world) client {
	return func(w world) client {
		at := 0
		return w.every(connection, func() { at = w.IntN(n) }, func(time.Duration) netip.Addr { return w.v4(operator, at) })
	}
}

// vpn is at home, and now and then in a tunnel that ends in one of two networks.
func vpn(w world) client {
	own, at := w.IntN(60000), -1
	return w.every(20*time.Minute, func() {
		if at++; at > 1 {
			at = -1
		}
	}, func(time.Duration) netip.Addr {
		if at >= 0 {
			return w.v4(vpns, at)
		}
		return w.v4(homes, own)
	})
}

// residential are proxies in the homes of others, at a hundred operators.
func residential(w world) client {
	at := 0
	return w.every(2*time.Minute, func() { at = w.IntN(100) }, func(time.Duration) netip.Addr { return w.v4(byte(100+at), at) })
}

// stolen is a client whose token a thief uses too, from the half hour on.
func stolen(from, thief func(w world) client) func(w world) client {
	return func(w world) client {
		c, t := from(w), thief(w)
		return func(now time.Duration) netip.Addr {
			if now >= 30*time.Minute && w.IntN(2) == 0 {
				return t(now)
			}
			return c(now)
		}
	}
}

// after is a thief who waits until the client has ended.
func after(from, thief func(w world) client) func(w world) client {
	return func(w world) client {
		c, t := from(w), thief(w)
		return func(now time.Duration) netip.Addr {
			if now >= 30*time.Minute {
				return t(now)
			}
			return c(now)
		}
	}
}

var everyday = phone(40*time.Minute, 15*time.Minute, 20*time.Minute)

// populations are 100 tokens each, for an hour, with a request every 15 s on average.
var populations = []struct {
	name  string
	thief bool
	of    func(w world) client
	pause time.Duration // at the half hour
}{
	{name: "an office behind NAT", of: office},
	{name: "at home, IPv4 and IPv6 at once", of: home},
	{name: "a phone: Wi-Fi 40 min, mobile 15 min by turns", of: everyday},
	{name: "a phone on a train: Wi-Fi 3 min, mobile 6 min, attached anew every 4 min", of: phone(3*time.Minute, 6*time.Minute, 4*time.Minute)},
	{name: "a mobile operator that changes among 8 networks with each connection", of: egress(mobiles, 8, time.Minute)},
	{name: "a company that leaves by 2 networks", of: egress(proxies, 2, time.Minute)},
	{name: "a company that leaves by 4 networks", of: egress(proxies, 4, time.Minute)},
	{name: "a VPN that is switched on and off", of: vpn},
	{name: "cloud functions that share a token, 40 networks", of: egress(clouds, 40, 15*time.Second)},
	{name: "stolen at home, used from one server", thief: true, of: stolen(home, egress(thieves, 1, time.Hour))},
	{name: "stolen in the office, used from one server", thief: true, of: stolen(office, egress(thieves, 1, time.Hour))},
	{name: "stolen from a phone, used from one server", thief: true, of: stolen(everyday, egress(thieves, 1, time.Hour))},
	{name: "stolen in the office, used through changing proxies", thief: true, of: stolen(office, residential)},
	{name: "stolen, used within the same network", thief: true, of: stolen(office, office)},
	{name: "stolen, used from one server 10 min after the client has ended", thief: true, of: after(office, egress(thieves, 1, time.Hour)), pause: 10 * time.Minute},
}

// columns are the configurations that are compared.
var columns = []struct {
	name   string
	config sightings.Config
}{
	{name: "1 in 5 min", config: sightings.Config{Networks: 1}},
	{name: "2 in 5 min", config: sightings.Config{Networks: 2}},
	{name: "3 in 1 min", config: sightings.Config{Within: time.Minute}},
	{name: "**3 in 5 min**", config: sightings.Config{}},
	{name: "3 in 15 min", config: sightings.Config{Within: 15 * time.Minute}},
	{name: "5 in 5 min", config: sightings.Config{Networks: 5}},
	{name: "1 operator", config: sightings.Config{Networks: 1, Network: operatorOf}},
	{name: "2 operators", config: sightings.Config{Networks: 2, Network: operatorOf}},
}

// simulate returns of how many tokens in a hundred each configuration has told.
func simulate(t *testing.T, of func(w world) client, pause time.Duration) []int {
	t.Helper()
	const tokens, hour = 100, time.Hour
	suspected := make([]map[string]bool, len(columns))
	watches := make([]*sightings.Watch, len(columns))
	for i, c := range columns {
		told := map[string]bool{}
		suspected[i] = told
		c.config.Hooks.Suspected = func(_ context.Context, e sightings.Event) { told[e.Token.ID()] = true }
		w, err := sightings.New(c.config)
		require.NoError(t, err)
		watches[i] = w
	}
	for n := range tokens { // one after the other, each in an hour of its own
		w := world{rand.New(rand.NewPCG(18, uint64(n)))}
		from, sent := of(w), bearergate.NewToken(bearergate.Claims{Issuer: "https://as.example", ID: fmt.Sprint(n)})
		for now, paused := time.Duration(0), false; now < hour; {
			gap := w.around(15 * time.Second)
			if now += gap; !paused && now >= 30*time.Minute {
				paused = true
				now, gap = now+pause, gap+pause
			}
			time.Sleep(gap)
			at := from(now)
			for _, watch := range watches {
				watch.Saw(t.Context(), sent, at)
			}
		}
	}
	counts := make([]int, len(columns))
	for i := range counts {
		counts[i] = len(suspected[i])
	}
	return counts
}

var update = flag.Bool("update", false, "write the table in docs/theft.md anew")

// The figures of docs/theft.md, and what the defaults have to do whatever the figures are.
func TestSimulation(t *testing.T) {
	if raceEnabled {
		t.Skip("one goroutine, and a million sightings")
	}
	var table strings.Builder
	head, line := "| of 100 tokens in an hour |", "|---|"
	for _, c := range columns {
		head, line = head+" "+c.name+" |", line+"---:|"
	}
	table.WriteString(head + "\n" + line + "\n")
	for _, p := range populations {
		var counts []int
		bubble.Test(t, func(t *testing.T) { counts = simulate(t, p.of, p.pause) })
		fmt.Fprintf(&table, "| %s |", p.name)
		for _, n := range counts {
			fmt.Fprintf(&table, " %d |", n)
		}
		table.WriteString("\n")
		byDefault := counts[3]
		switch p.name {
		case "an office behind NAT", "at home, IPv4 and IPv6 at once", "a company that leaves by 2 networks":
			require.Zero(t, byDefault, p.name)
		case "a phone: Wi-Fi 40 min, mobile 15 min by turns":
			require.LessOrEqual(t, byDefault, 5, p.name)
		case "stolen in the office, used through changing proxies":
			require.Equal(t, 100, byDefault, p.name)
		case "stolen, used within the same network":
			require.Equal(t, make([]int, len(columns)), counts, "nobody can see it")
		}
	}
	const file, begin, end = "../../docs/theft.md", "<!-- simulation: begin -->\n\n", "\n<!-- simulation: end -->"
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	text := strings.ReplaceAll(string(b), "\r\n", "\n")
	before, rest, ok := strings.Cut(text, begin)
	require.True(t, ok)
	shown, behind, ok := strings.Cut(rest, end)
	require.True(t, ok)
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(before+begin+table.String()+end+behind), 0o644))
		return
	}
	require.Equal(t, table.String(), shown, "the figures have changed: go test ./middleware/sightings -update, and read what docs/theft.md says about them")
}
