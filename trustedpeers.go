package bearergate

import (
	"net/netip"
	"slices"

	"github.com/bearergate/bearergate/internal/mistake"
	"github.com/bearergate/bearergate/internal/peers"
)

// TrustedPeers are the addresses from which trusted proxies connect: what such a proxy says
// in a header counts, and what anybody else says there does not. It is the rule by which
// [ClientAddress], a gate for proxies that ask, and client certificates in headers go.
//
// Make it with [NewTrustedPeers]. It is safe for concurrent use. The zero value trusts
// nobody.
type TrustedPeers struct{ prefixes []netip.Prefix }

// NewTrustedPeers returns the peers with an address in one of the prefixes, which are copied.
// At least one is required. No prefix may be wider than 10.0.0.0/8 or fc00::/7, the widest
// private networks that there are (RFC 1918, RFC 4193), have bits of an address behind its
// length, or write IPv4 as IPv6. The error is [ErrMisconfigured] and names every mistake, as
// one in a field named Trusted.
func NewTrustedPeers(trusted ...netip.Prefix) (TrustedPeers, error) {
	wrong := mistake.In("bearergate")
	peers.CheckTrusted(&wrong, "Trusted", trusted)
	if err := wrong.Err(); err != nil {
		return TrustedPeers{}, &Error{Kind: ErrMisconfigured, Reason: ReasonConfig, Cause: err}
	}
	return TrustedPeers{slices.Clone(trusted)}, nil
}

// Contain reports whether a peer is one of them, IPv4 in IPv6 as IPv4. A peer without a valid
// port, as on a Unix socket, and one with an IPv6 zone is not.
func (t TrustedPeers) Contain(peer netip.AddrPort) bool {
	return peers.Trusts(t.prefixes, peer.Addr())
}
