// Package peers says which peers of a connection are trusted proxies, whose headers
// count, and which header a proxy may be told to set.
package peers

import (
	"net/netip"
	"net/textproto"
	"slices"
	"strings"

	"github.com/bearergate/bearergate/internal/mistake"
)

// Trusts reports whether an address is in one of the prefixes, IPv4 in IPv6 as IPv4: a
// listener for both families shows IPv4 peers so. An address with a zone is in none.
func Trusts(trusted []netip.Prefix, a netip.Addr) bool {
	a = a.Unmap()
	return slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(a) })
}

// CheckTrusted adds what is wrong with the addresses of proxies in a field of a
// configuration.
func CheckTrusted(wrong *mistake.List, field string, trusted []netip.Prefix) {
	if len(trusted) == 0 {
		wrong.Addf("%s is empty: name the addresses that the proxy connects from", field)
	}
	for _, p := range trusted {
		switch {
		case !p.IsValid():
			wrong.Addf("%s has a prefix that is not valid: use netip.ParsePrefix and look at its error", field)
		case p.Bits() == 0:
			wrong.Addf("%s has %v, which is everybody: name the addresses that the proxy connects from", field, p)
		case p.Bits() < widest(p.Addr()):
			wrong.Addf("%s has %v, which is wider than any private network: name the addresses that the proxy connects from", field, p)
		case p.Addr().Is6() && p.Addr().IsLinkLocalUnicast():
			wrong.Addf("%s has %v, which no peer is in, for such peers have a zone: have the proxy connect from another address", field, p)
		case p.Addr().Is4In6():
			wrong.Addf("%s has %v, which no peer is in: write IPv4 as IPv4", field, p)
		case p != p.Masked():
			wrong.Addf("%s has %v, which has an address within it: write %v, or /%d for the address alone", field, p, p.Masked(), p.Addr().BitLen())
		}
	}
}

// widest is how many bits the widest private network has: 10.0.0.0/8 (RFC 1918), fc00::/7
// (RFC 4193). What is wider has strangers in it, as 2000::/3 and the halves of all that
// is written when 0.0.0.0/0 is refused.
func widest(a netip.Addr) int {
	if a.Is4() {
		return 8
	}
	return 7
}

// CheckHeader adds what is wrong with the header field that a proxy sets. such is an
// example of one, and others are fields that have another meaning there, beside those that
// always have.
func CheckHeader(wrong *mistake.List, field, header, such string, others ...string) {
	canonical := textproto.CanonicalMIMEHeaderKey(header)
	switch {
	case header == "":
		wrong.Addf("%s is empty: name the header field that the proxy sets", field)
	case !isFieldName(header):
		wrong.Addf("%s is %.100q: use the name of a header field, such as %s", field, header, such)
	case header != canonical:
		wrong.Addf("%s is %.100q: write it as Go does, %.100q", field, header, canonical)
	case slices.Contains(otherFields, header) || slices.Contains(others, header):
		wrong.Addf("%s is %q, which has another meaning: name the field that the proxy sets for this alone", field, header)
	}
}

// otherFields are those that hold something else in every request.
var otherFields = []string{"Authorization", "Connection", "Cookie", "Dpop", "Host", "Transfer-Encoding"}

// isFieldName reports whether s is a token (RFC 9110 §5.6.2).
func isFieldName(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool {
		return c <= ' ' || c > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, c)
	})
}
