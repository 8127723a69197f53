package bearergate_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/test/kit"
)

func TestTrustedPeers(t *testing.T) {
	prefixes := []netip.Prefix{netip.MustParsePrefix("10.1.2.0/24"), netip.MustParsePrefix("fd00::/16")}
	trusted, err := bearergate.NewTrustedPeers(prefixes...)
	require.NoError(t, err)
	prefixes[0] = netip.MustParsePrefix("192.0.2.0/24")
	for _, tt := range []struct {
		name, peer string
		want       bool
	}{
		{name: "IPv4", peer: "10.1.2.3:80", want: true},
		{name: "IPv4 at a listener for both", peer: "[::ffff:10.1.2.3]:80", want: true},
		{name: "IPv6", peer: "[fd00::1]:80", want: true},
		{name: "IPv6 with a zone", peer: "[fd00::1%eth0]:80"},
		{name: "the next network", peer: "10.1.3.3:80"},
		{name: "what the slice was changed to", peer: "192.0.2.1:80"},
	} {
		require.Equal(t, tt.want, trusted.Contain(netip.MustParseAddrPort(tt.peer)), tt.name)
		require.False(t, bearergate.TrustedPeers{}.Contain(netip.MustParseAddrPort(tt.peer)), "the zero value trusts nobody")
	}
	require.False(t, trusted.Contain(netip.AddrPort{}), "a Unix socket")
	require.False(t, trusted.Contain(netip.AddrPortFrom(netip.Addr{}, 80)))

	for name, wrong := range map[string][]netip.Prefix{
		"is empty":                            nil,
		"which is everybody":                  {netip.MustParsePrefix("0.0.0.0/0")},
		"wider than any private network":      {netip.MustParsePrefix("0.0.0.0/7")},
		"which has an address within it":      {netip.MustParsePrefix("10.1.2.3/24")},
		"write IPv4 as IPv4":                  {netip.MustParsePrefix("::ffff:10.1.2.0/120")},
		"has a prefix that is not valid: use": {{}},
	} {
		trusted, err := bearergate.NewTrustedPeers(wrong...)
		kit.RequireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
		require.ErrorContains(t, err, name)
		require.Equal(t, bearergate.TrustedPeers{}, trusted)
	}
}
