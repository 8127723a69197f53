package bearergate_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/test/kit"
)

var proxies = []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("2001:db8:1::/48")}

const proxyPeer = "10.1.2.3:4711"

func newClientAddress(t testing.TB, header string, hops int) *bearergate.ClientAddress {
	t.Helper()
	a, err := bearergate.NewClientAddress(bearergate.ClientAddressConfig{Header: header, Trusted: proxies, Hops: hops})
	require.NoError(t, err)
	return a
}

// addressOf asks with one header, and no other.
func addressOf(a *bearergate.ClientAddress, header, peer string, values ...string) string {
	c := bearergate.Call{Header: func(name string) []string {
		if name != header {
			return []string{"203.0.113.99"} // a header that nobody asked for
		}
		return values
	}}
	c.Peer, _ = netip.ParseAddrPort(peer)
	if found := a.Of(c); found.IsValid() {
		return found.String()
	}
	return ""
}

// Whom a proxy names, in the forms that are written, and nobody where that is not clear.
// req: R7239-01..05 XFF-01
func TestClientAddress(t *testing.T) {
	const xff, forwarded, single = "X-Forwarded-For", "Forwarded", "X-Real-Ip"
	long := strings.Repeat("x", 2000)
	for _, tc := range []struct {
		name, header, peer string
		hops               int
		values             []string
		want               string // "": unknown
	}{
		// Who is connected.
		{name: "a stranger", header: xff, peer: "198.51.100.7:1", want: "198.51.100.7"},
		{name: "a stranger's header", header: xff, peer: "198.51.100.7:1", values: []string{"203.0.113.5"}, want: "198.51.100.7"},
		{name: "a stranger on IPv6", header: xff, peer: "[2001:db8:2::7]:1", want: "2001:db8:2::7"},
		{name: "IPv4 in IPv6", header: xff, peer: "[::ffff:198.51.100.7]:1", want: "198.51.100.7"},
		{name: "a proxy, IPv4 in IPv6", header: xff, peer: "[::ffff:10.1.2.3]:1", values: []string{"203.0.113.5"}, want: "203.0.113.5"},
		{name: "a proxy on IPv6", header: xff, peer: "[2001:db8:1::7]:1", values: []string{"203.0.113.5"}, want: "203.0.113.5"},
		{name: "a peer with a zone is no proxy", header: xff, peer: "[2001:db8:1::7%eth0]:1", values: []string{"203.0.113.5"}, want: "2001:db8:1::7"},
		{name: "link-local", header: xff, peer: "[fe80::1%eth0]:1", values: []string{"203.0.113.5"}, want: "fe80::1"},
		{name: "nobody", header: xff, values: []string{"203.0.113.5"}},

		// X-Forwarded-For.
		{name: "one address", header: xff, values: []string{"203.0.113.5"}, want: "203.0.113.5"},
		{name: "no header", header: xff},
		{name: "an empty header", header: xff, values: []string{""}},
		{name: "IPv6", header: xff, values: []string{"2001:db8:9::1"}, want: "2001:db8:9::1"},
		{name: "IPv6 in brackets", header: xff, values: []string{"[2001:db8:9::1]"}, want: "2001:db8:9::1"},
		{name: "IPv6 with a port", header: xff, values: []string{"[2001:db8:9::1]:443"}, want: "2001:db8:9::1"},
		{name: "IPv6 with a zone", header: xff, values: []string{"fe80::1%eth0"}, want: "fe80::1"},
		{name: "IPv4 in IPv6, told", header: xff, values: []string{"::ffff:203.0.113.5"}, want: "203.0.113.5"},
		{name: "a proxy told as IPv4 in IPv6", header: xff, values: []string{"203.0.113.5, ::ffff:10.1.9.9"}, want: "203.0.113.5"},
		{name: "IPv4 with a port", header: xff, values: []string{"203.0.113.5:50123"}, want: "203.0.113.5"},
		{name: "what the client wrote is not read", header: xff, values: []string{"192.0.2.66, 203.0.113.5"}, want: "203.0.113.5"},
		{name: "what the client wrote is junk", header: xff, values: []string{`;"\x, ,,` + long + ", 203.0.113.5"}, want: "203.0.113.5"},
		{name: "what the client wrote is long", header: xff, values: []string{long + ",203.0.113.5"}, want: "203.0.113.5"},
		{name: "past a proxy", header: xff, values: []string{"192.0.2.66, 203.0.113.5, 10.1.9.9"}, want: "203.0.113.5"},
		{name: "past two proxies", header: xff, values: []string{"203.0.113.5,10.1.9.9,\t2001:db8:1::1 "}, want: "203.0.113.5"},
		{name: "a field for each proxy", header: xff, values: []string{"192.0.2.66", "203.0.113.5", "10.1.9.9"}, want: "203.0.113.5"},
		{name: "proxies alone", header: xff, values: []string{"10.1.9.9, 10.1.9.8"}},
		{name: "a client in Trusted does not choose", header: xff, values: []string{"10.1.9.9"}},
		{name: "an empty element", header: xff, values: []string{"203.0.113.5, "}},
		{name: "an empty element before a proxy", header: xff, values: []string{"203.0.113.5, , 10.1.9.9"}},
		{name: "a name", header: xff, values: []string{"203.0.113.5, localhost"}},
		{name: "unknown", header: xff, values: []string{"203.0.113.5, unknown"}},
		{name: "a quote", header: xff, values: []string{`"203.0.113.5"`}},
		{name: "a leading zero", header: xff, values: []string{"203.0.113.05"}},
		{name: "a network", header: xff, values: []string{"203.0.113.0/24"}},
		{name: "no port behind the colon", header: xff, values: []string{"203.0.113.5:"}},
		{name: "a port that is none", header: xff, values: []string{"203.0.113.5:http"}},
		{name: "a port that is too long", header: xff, values: []string{"203.0.113.5:123456"}},
		{name: "an obfuscated port, which is for Forwarded", header: xff, values: []string{"203.0.113.5:_a"}},
		{name: "IPv4 in brackets", header: xff, values: []string{"[203.0.113.5]"}},
		{name: "a bracket that does not close", header: xff, values: []string{"[2001:db8:9::1"}},
		{name: "a bracket, and something behind", header: xff, values: []string{"[2001:db8:9::1]x"}},
		{name: "two addresses without a comma", header: xff, values: []string{"203.0.113.5 203.0.113.6"}},
		{name: "too long an element", header: xff, values: []string{long}},
		{name: "too many spaces", header: xff, values: []string{strings.Repeat(" ", 2000) + "203.0.113.5"}},
		{name: "as many as Hops", header: xff, hops: 2, values: []string{"203.0.113.5, 10.1.9.9"}, want: "203.0.113.5"},
		{name: "more than Hops", header: xff, hops: 2, values: []string{"203.0.113.5, 10.1.9.9, 10.1.9.8"}},
		{name: "more than Hops, a field each", header: xff, hops: 1, values: []string{"203.0.113.5", "10.1.9.9"}},
		{name: "as many as the default of Hops", header: xff, values: []string{"203.0.113.5" + strings.Repeat(", 10.1.9.9", bearergate.DefaultAddressHops-1)}, want: "203.0.113.5"},
		{name: "more than the default of Hops", header: xff, values: []string{"203.0.113.5" + strings.Repeat(", 10.1.9.9", bearergate.DefaultAddressHops)}},

		// Forwarded (RFC 7239).
		{name: "for", header: forwarded, values: []string{"for=203.0.113.5"}, want: "203.0.113.5"},
		{name: "RFC 7239 section 4, the second example", header: forwarded, values: []string{`For="[2001:db8:cafe::17]:4711"`}, want: "2001:db8:cafe::17"},
		{name: "RFC 7239 section 4, the third example", header: forwarded, values: []string{"for=192.0.2.60;proto=http;by=203.0.113.43"}, want: "192.0.2.60"},
		{name: "RFC 7239 section 7.1", header: forwarded, values: []string{`for=192.0.2.43, for="[2001:db8:cafe::17]"`}, want: "2001:db8:cafe::17"},
		{name: "past proxies", header: forwarded, values: []string{`for=192.0.2.66`, `for="203.0.113.5:80";by=10.1.0.1, for="[2001:db8:1::1]"`}, want: "203.0.113.5"},
		{name: "an obfuscated port", header: forwarded, values: []string{`for="203.0.113.5:_x-1"`}, want: "203.0.113.5"},
		{name: "an obfuscated identifier", header: forwarded, values: []string{"for=203.0.113.5, for=_gazonk"}},
		{name: "an unknown one", header: forwarded, values: []string{"for=203.0.113.5, for=unknown"}},
		{name: "a host in quotes, with what splits", header: forwarded, values: []string{`for=203.0.113.5;host="a,for=192.0.2.66;b"`}, want: "203.0.113.5"},
		{name: "a host without its quotes", header: forwarded, values: []string{`for=203.0.113.5;host=api.example.test:8080`}, want: "203.0.113.5"},
		{name: "spaces around semicolons", header: forwarded, values: []string{`for=203.0.113.5 ; proto=https;`}, want: "203.0.113.5"},
		{name: "the client has left a quote open", header: forwarded, values: []string{`for="a, for=203.0.113.5`}, want: "203.0.113.5"},
		{name: "the client has left a quote open, and the proxy quotes", header: forwarded, values: []string{`for="a, for="[2001:db8:9::1]";by=10.1.0.1`}, want: "2001:db8:9::1"},
		{name: "the client escapes", header: forwarded, values: []string{`for="\, for=203.0.113.5`}, want: "203.0.113.5"},
		{name: "a backslash of the proxy", header: forwarded, values: []string{`for=203.0.113.5;host="a\",for=192.0.2.66"`}},
		{name: "a backslash before no quote", header: forwarded, values: []string{`for=203.0.113.5;host="a\b"`}},
		{name: "no for", header: forwarded, values: []string{"for=203.0.113.5, by=10.1.0.1"}},
		{name: "two of them", header: forwarded, values: []string{"for=203.0.113.5;FOR=203.0.113.6"}},
		{name: "a colon without quotes", header: forwarded, values: []string{"for=203.0.113.5:80"}},
		{name: "IPv6 without quotes", header: forwarded, values: []string{"for=[2001:db8:9::1]"}},
		{name: "IPv6 without brackets", header: forwarded, values: []string{`for="2001:db8:9::1"`}},
		{name: "a quote that does not end", header: forwarded, values: []string{`for="203.0.113.5`}},
		{name: "something behind the quote", header: forwarded, values: []string{`for="203.0.113.5"x`}},
		{name: "a quote within a value", header: forwarded, values: []string{`for=203.0.113.5"";by=""`}},
		{name: "a quote within a value that is not quoted", header: forwarded, values: []string{`for=203.0.113.5;by=a"b"`}},
		{name: "a quote at the end of the first pair", header: forwarded, values: []string{`x";for=203.0.113.5`}},
		{name: "no value", header: forwarded, values: []string{"for="}},
		{name: "no equals sign", header: forwarded, values: []string{"for=203.0.113.5;x"}},
		{name: "no name", header: forwarded, values: []string{"for=203.0.113.5;=x"}},
		{name: "a space in a name", header: forwarded, values: []string{"for =203.0.113.5"}},
		{name: "empty", header: forwarded, values: []string{""}},
		{name: "too long", header: forwarded, values: []string{"for=203.0.113.5;x=" + long}},
		{name: "a bare address", header: forwarded, values: []string{"203.0.113.5"}},

		// One address.
		{name: "single", header: single, values: []string{"203.0.113.5"}, want: "203.0.113.5"},
		{name: "single with a port", header: single, values: []string{"[2001:db8:9::1]:1"}, want: "2001:db8:9::1"},
		{name: "single, not there", header: single},
		{name: "single, twice", header: single, values: []string{"203.0.113.5", "203.0.113.5"}},
		{name: "single, a list", header: single, values: []string{"203.0.113.5, 203.0.113.6"}},
		{name: "single, a proxy", header: single, values: []string{"10.1.9.9"}},
		{name: "single, empty", header: single, values: []string{""}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.peer == "" && tc.name != "nobody" {
				tc.peer = proxyPeer
			}
			require.Equal(t, tc.want, addressOf(newClientAddress(t, tc.header, tc.hops), tc.header, tc.peer, tc.values...))
		})
	}
}

// Without a proxy, the peer is asked for on purpose: nobody is told an address by default.
func TestClientAddressOfThePeer(t *testing.T) {
	a, err := bearergate.NewClientAddress(bearergate.ClientAddressConfig{})
	require.NoError(t, err)
	require.Equal(t, "10.1.2.3", addressOf(a, "X-Forwarded-For", proxyPeer, "203.0.113.5"))
	require.Empty(t, addressOf(a, "X-Forwarded-For", ""))
	for _, nobody := range []*bearergate.ClientAddress{nil, {}} {
		require.Empty(t, addressOf(nobody, "X-Forwarded-For", proxyPeer, "203.0.113.5"))
	}
	require.Zero(t, newClientAddress(t, "X-Forwarded-For", 0).Of(bearergate.Call{Peer: netip.MustParseAddrPort(proxyPeer)}), "no Header")
}

func TestNewClientAddress(t *testing.T) {
	require.Equal(t, 8, bearergate.DefaultAddressHops)
	require.Equal(t, 32, bearergate.MaxAddressHops)
	for _, tc := range []struct {
		name   string
		config bearergate.ClientAddressConfig
		says   []string
	}{
		{name: "everything", config: bearergate.ClientAddressConfig{Header: "x-real-ip", Trusted: []netip.Prefix{{}}, Hops: -1},
			says: []string{`ClientAddressConfig.Header is "x-real-ip": write it as Go does, "X-Real-Ip"`, "ClientAddressConfig.Trusted has a prefix that is not valid", "ClientAddressConfig.Hops is -1: choose between 1 and 32"}},
		{name: "no proxies", config: bearergate.ClientAddressConfig{Header: "Forwarded"}, says: []string{"ClientAddressConfig.Trusted is empty"}},
		{name: "everybody", config: bearergate.ClientAddressConfig{Header: "Forwarded", Trusted: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}}, says: []string{"0.0.0.0/0, which is everybody"}},
		{name: "too many hops", config: bearergate.ClientAddressConfig{Header: "Forwarded", Trusted: proxies, Hops: 33}, says: []string{"ClientAddressConfig.Hops is 33"}},
		{name: "no header", config: bearergate.ClientAddressConfig{Trusted: proxies}, says: []string{"ClientAddressConfig.Header is empty"}},
		{name: "no header, hops", config: bearergate.ClientAddressConfig{Hops: 1}, says: []string{"ClientAddressConfig.Header is empty"}},
		{name: "no field name", config: bearergate.ClientAddressConfig{Header: "X Real", Trusted: proxies}, says: []string{"such as X-Forwarded-For"}},
		{name: "the token", config: bearergate.ClientAddressConfig{Header: "Authorization", Trusted: proxies}, says: []string{"another meaning"}},
		{name: "what proxies call themselves", config: bearergate.ClientAddressConfig{Header: "Via", Trusted: proxies}, says: []string{"another meaning"}},
		{name: "the scheme", config: bearergate.ClientAddressConfig{Header: "X-Forwarded-Proto", Trusted: proxies}, says: []string{"another meaning"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a, err := bearergate.NewClientAddress(tc.config)
			require.Nil(t, a)
			kit.RequireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
			for _, says := range tc.says {
				require.ErrorContains(t, err, says)
			}
		})
	}

	// The slice is the caller's.
	trusted := []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}
	a, err := bearergate.NewClientAddress(bearergate.ClientAddressConfig{Header: "X-Real-Ip", Trusted: trusted, Hops: bearergate.MaxAddressHops})
	require.NoError(t, err)
	trusted[0] = netip.MustParsePrefix("192.0.2.0/24")
	require.Equal(t, "203.0.113.5", addressOf(a, "X-Real-Ip", proxyPeer, "203.0.113.5"))
}

// An address that is known is told plainly, is none of a proxy, is the same when a proxy writes
// it again, and stays the same whatever a client has written before it.
func FuzzClientAddress(f *testing.F) {
	for _, seed := range []string{"", "203.0.113.5", "2001:db8:9::1", "[2001:db8:9::1]:443", "10.1.9.9", "203.0.113.5, 10.1.9.9", "for=203.0.113.5", `for="[2001:db8:9::1]:_x";by=10.1.0.1;host="a,b"`,
		`for="a, for=203.0.113.5`, `for="\", for=10.1.9.9`, "for=_hidden", "unknown", "::ffff:10.1.9.9", "fe80::1%eth0"} {
		f.Add(seed, "")
		f.Add("203.0.113.7", seed)
	}
	headers := map[string]*bearergate.ClientAddress{}
	for _, header := range []string{"X-Forwarded-For", "Forwarded", "X-Real-Ip"} {
		headers[header] = newClientAddress(f, header, 0)
	}
	f.Fuzz(func(t *testing.T, value, written string) {
		for header, a := range headers {
			text := addressOf(a, header, proxyPeer, written, value)
			if text == "" {
				text = addressOf(a, header, proxyPeer, value)
			}
			if text == "" {
				continue
			}
			address := netip.MustParseAddr(text)
			require.False(t, address.Is4In6() || address.Zone() != "", text)
			for _, p := range proxies {
				// An address with a zone is no proxy's, and is told without it.
				require.True(t, !p.Contains(address) || strings.Contains(value+written, "%"), text)
			}
			if proxies[1].Contains(address) {
				continue
			}
			again, byProxy := text, "10.1.9.9"
			if header == "Forwarded" {
				again, byProxy = `for="`+text+`"`, "for=10.1.9.9"
				if address.Is6() {
					again = `for="[` + text + `]"`
				}
			}
			require.Equal(t, text, addressOf(a, header, proxyPeer, again))
			if header == "X-Real-Ip" {
				continue
			}
			require.Equal(t, text, addressOf(a, header, proxyPeer, written+","+again))
			require.Equal(t, text, addressOf(a, header, proxyPeer, written, again+", "+byProxy))
		}
	})
}
