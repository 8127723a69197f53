package bearergate

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/bearergate/bearergate/internal/mistake"
	"github.com/bearergate/bearergate/internal/peers"
)

// The bounds of [ClientAddressConfig].Hops.
const (
	DefaultAddressHops = 8
	MaxAddressHops     = 32
)

// maxForwardedBytes is the longest element of a header that is read: a host name of 255
// bytes and three more parameters have room in it.
const maxForwardedBytes = 1024

// ClientAddressConfig says how the address of whoever sent a request is found. The zero
// value takes the peer of the connection, for a service that no proxy stands in front of.
type ClientAddressConfig struct {
	// Header is the header field in which proxies tell who is connected to them, as Go
	// writes it:
	//
	//   - X-Forwarded-For: a list, to which each proxy adds at the end;
	//   - Forwarded (RFC 7239): likewise, and the parameter for is read;
	//   - any other, such as X-Real-Ip, Cf-Connecting-Ip or True-Client-Ip: one address,
	//     which the proxy replaces.
	//
	// Default: none, and no header is read.
	//
	// Danger: a proxy that neither adds to this very field nor replaces it lets its
	// clients choose the address.
	Header string
	// Trusted are the addresses that the proxies connect from, those between two proxies
	// included, IPv4 as IPv4. Required with Header, and a mistake without. The header is
	// ignored from every other peer, and a peer with an IPv6 zone is not trusted. No prefix
	// may be wider than 10.0.0.0/8 or fc00::/7, the widest private networks that there are
	// (RFC 1918, RFC 4193). The slice is copied.
	//
	// Name the proxies and not the network: the address of a client in Trusted is unknown,
	// for it cannot be told from a proxy that does not say for whom it asks.
	//
	// Danger: whoever can connect from one of these addresses chooses the address.
	Trusted []netip.Prefix
	// Hops is how many proxies may stand in a row, the one that is connected included. A
	// request that passed more has an unknown address. Default [DefaultAddressHops], at most
	// [MaxAddressHops]. For Header only.
	Hops int
}

// ClientAddress finds the address of whoever sent a request, by the trusted-proxy rule: the
// peer of the connection, unless that is a trusted proxy; then the rightmost address of the
// header that is not one itself. What stands to the left of it was written by the client and
// is not read, so that no client can choose its address, and none can hide it.
//
// The address is for audit and for signals, and decides nothing in this module. Do not let
// it open anything: whoever shares an address, behind one NAT, shares it with strangers.
//
// Make it with [NewClientAddress]. It is safe for concurrent use. A nil or zero
// ClientAddress knows no address.
type ClientAddress struct {
	config ClientAddressConfig
	made   bool
}

// NewClientAddress returns the ClientAddress of a configuration. Its error is
// [ErrMisconfigured] and names every mistake.
func NewClientAddress(c ClientAddressConfig) (*ClientAddress, error) {
	wrong := mistake.In("bearergate")
	if c.Header != "" {
		peers.CheckHeader(&wrong, "ClientAddressConfig.Header", c.Header, "X-Forwarded-For", "Via", "X-Forwarded-Host", "X-Forwarded-Proto")
		peers.CheckTrusted(&wrong, "ClientAddressConfig.Trusted", c.Trusted)
		mistake.Between(&wrong, "ClientAddressConfig.Hops", &c.Hops, DefaultAddressHops, 1, MaxAddressHops)
	} else if len(c.Trusted) > 0 || c.Hops != 0 {
		wrong.Addf("ClientAddressConfig.Header is empty, and Trusted or Hops is set: name the header field that the proxies set, or leave them out")
	}
	if err := wrong.Err(); err != nil {
		return nil, &Error{Kind: ErrMisconfigured, Reason: ReasonConfig, Cause: err}
	}
	c.Trusted = slices.Clone(c.Trusted)
	return &ClientAddress{config: c, made: true}, nil
}

// Of returns the address of the sender of a call, from its Peer and its Header: IPv4 as IPv4,
// without a zone. The zero Addr means that it is unknown: there is no peer with a port, as on
// a Unix socket; a trusted proxy has sent no such header, or one that is malformed, that has
// an obfuscated identifier or "unknown" where the address would be (RFC 7239 §6.2, §6.3), or
// that is there more than once where it has one address; every address is one of Trusted; or
// there are more than Hops. It is never a guess.
func (a *ClientAddress) Of(c Call) netip.Addr {
	if a == nil || !a.made || !c.Peer.IsValid() {
		return netip.Addr{}
	}
	peer := c.Peer.Addr()
	if !peers.Trusts(a.config.Trusted, peer) {
		return plain(peer)
	}
	values := c.Values(a.config.Header)
	switch a.config.Header {
	case "X-Forwarded-For":
		return a.last(values, lastOfList, forwardedFor)
	case "Forwarded":
		return a.last(values, lastForwarded, nodeOf)
	}
	if len(values) != 1 { // two proxies have set it, or the client has
		return netip.Addr{}
	}
	address, ok := forwardedFor(values[0])
	if !ok || peers.Trusts(a.config.Trusted, address) {
		return netip.Addr{}
	}
	return plain(address)
}

// plain is an address as it is told.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// last goes through the elements of a header from the right, past those of trusted proxies.
// Several fields are one list (RFC 9110 §5.3): some proxies add a field of their own.
func (a *ClientAddress) last(values []string, cut func(string) (rest, element string, more, ok bool), parse func(string) (netip.Addr, bool)) netip.Addr {
	hops := 1 // the peer
	for _, value := range slices.Backward(values) {
		for rest, more := value, true; more; {
			var element string
			var ok bool
			if rest, element, more, ok = cut(rest); !ok {
				return netip.Addr{}
			}
			address, ok := parse(element)
			if !ok {
				return netip.Addr{}
			}
			if !peers.Trusts(a.config.Trusted, address) {
				return plain(address)
			}
			if hops++; hops > a.config.Hops {
				return netip.Addr{}
			}
		}
	}
	return netip.Addr{}
}

// lastOfList cuts the last element off a list without quotes, and says whether there are
// more before it.
func lastOfList(list string) (rest, element string, more, ok bool) {
	i := strings.LastIndexByte(list[max(0, len(list)-maxForwardedBytes):], ',')
	if i < 0 {
		return "", list, false, len(list) < maxForwardedBytes
	}
	i += max(0, len(list)-maxForwardedBytes)
	return list[:i], list[i+1:], true, true
}

// lastForwarded is lastOfList for Forwarded, in which a comma may be quoted. It reads from
// the right, so that a quote which a client has left open does not swallow what the proxy
// added. That is right as long as no quote is escaped: no address needs that, and an element
// with a backslash is refused.
func lastForwarded(list string) (rest, element string, more, ok bool) {
	quoted := false
	for i := len(list) - 1; i >= 0; i-- {
		switch c := list[i]; {
		case c == '\\' || len(list)-i > maxForwardedBytes:
			return "", "", false, false
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			return list[:i], list[i+1:], true, true
		}
	}
	return "", list, false, true // a quote that does not end is for nodeOf to see
}

// nodeOf reads the address in the parameter for of an element of Forwarded (RFC 7239 §4),
// which must be there once.
func nodeOf(element string) (address netip.Addr, ok bool) {
	for more := true; more; {
		var pair string
		pair, element, more = cutPair(element)
		if pair = trim(pair); pair == "" {
			continue // the grammar has empty ones
		}
		name, value, found := strings.Cut(pair, "=")
		if !found || name == "" || strings.ContainsAny(name, " \t\"") {
			return netip.Addr{}, false
		}
		isFor := strings.EqualFold(name, "for")
		if inner, opened := strings.CutPrefix(value, `"`); opened {
			value, found = strings.CutSuffix(inner, `"`)
		} else if isFor { // others, such as host, are often left without their quotes
			found = !strings.ContainsAny(value, ":[]") // no characters of a token (RFC 9110 §5.6.2)
		}
		if !found || strings.Contains(value, `"`) {
			return netip.Addr{}, false
		}
		if !isFor {
			continue
		}
		if address.IsValid() { // two: which one would it be?
			return netip.Addr{}, false
		}
		if address, ok = node(value, true); !ok {
			return netip.Addr{}, false
		}
	}
	return address, address.IsValid()
}

// cutPair cuts at the first semicolon that is not quoted.
func cutPair(s string) (pair, rest string, more bool) {
	quoted := false
	for i := range len(s) {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case s[i] == ';' && !quoted:
			return s[:i], s[i+1:], true
		}
	}
	return s, "", false
}

// forwardedFor reads an element of X-Forwarded-For, which no standard describes, as proxies
// write it: an address, in brackets or not, with a port or without.
func forwardedFor(element string) (netip.Addr, bool) {
	element = trim(element)
	if a, err := netip.ParseAddr(element); err == nil { // IPv6 without brackets, too
		return a, true
	}
	return node(element, false)
}

func trim(s string) string { return strings.Trim(s, " \t") }

// node reads a node identifier with an address (RFC 7239 §6): IPv4, or IPv6 in brackets, and
// perhaps a port. An obfuscated port says nothing of the address.
func node(s string, obfuscated bool) (netip.Addr, bool) {
	var host, port string
	var found bool
	if inner, brackets := strings.CutPrefix(s, "["); brackets {
		var after string
		if host, after, found = strings.Cut(inner, "]"); !found {
			return netip.Addr{}, false
		}
		if port, found = strings.CutPrefix(after, ":"); !found && after != "" {
			return netip.Addr{}, false
		}
	} else {
		host, port, found = strings.Cut(s, ":")
	}
	if found && !isPort(port, obfuscated) {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(host)
	if err != nil || a.Is6() != strings.HasPrefix(s, "[") {
		return netip.Addr{}, false
	}
	return a, true
}

// isPort reports whether s is a port, or an obfuscated one (RFC 7239 §6.3).
func isPort(s string, obfuscated bool) bool {
	digits, most, all := s, 5, "0123456789"
	if rest, ok := strings.CutPrefix(s, "_"); ok && obfuscated {
		digits, most, all = rest, maxForwardedBytes, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz._-"
	}
	return digits != "" && len(digits) <= most && strings.Trim(digits, all) == ""
}
