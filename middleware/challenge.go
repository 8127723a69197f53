package middleware

import (
	"strings"

	"github.com/bearergate/bearergate/scope"
)

// challenge builds the value of a WWW-Authenticate header (RFC 9110 §11.6.1)
// for one scheme. Each name may be added once.
type challenge struct {
	scheme string
	b      strings.Builder
}

// add appends name="value". A parameter that is empty, or whose value would
// need escaping in a quoted-string or does not belong into a header at all, is
// left out: what goes in here was checked where it came from, and if that
// should fail, a missing parameter is harmless and a forged header is not.
func (c *challenge) add(name, value string) {
	if value == "" || indexUnquotable(value) >= 0 {
		return
	}
	if c.b.Len() == 0 {
		c.b.WriteString(c.scheme)
		c.b.WriteByte(' ')
	} else {
		c.b.WriteString(", ")
	}
	c.b.WriteString(name)
	c.b.WriteString(`="`)
	c.b.WriteString(value)
	c.b.WriteByte('"')
}

func (c *challenge) String() string { return c.b.String() }

// indexUnquotable returns where s first leaves %x20-21 / %x23-5B / %x5D-7E, the
// charset of RFC 6750 §3 that stands in a quoted-string as it is, or -1.
func indexUnquotable(s string) int {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			return i
		}
	}
	return -1
}

// isPrintable reports whether s is printable ASCII, as the value of a header may be.
func isPrintable(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c < 0x20 || c > 0x7e })
}

// listed joins values into a space-separated parameter, the order kept, each once.
// What cannot be listed is left out: the characters are those of a scope (RFC 6750
// §3).
func listed(values []string) string { return scope.Of(values...).String() }
