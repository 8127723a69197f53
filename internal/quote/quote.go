// Package quote writes what somebody else wrote as an error, an event or an explanation
// may hold it: quoted, in printable ASCII, and cut.
package quote

import (
	"strconv"
	"strings"
)

const (
	maxBytes  = 128 // of one value
	maxValues = 8   // of a list
)

// One is one value.
func One(s string) string {
	if len(s) > maxBytes {
		return strconv.QuoteToASCII(s[:maxBytes]) + "…"
	}
	return strconv.QuoteToASCII(s)
}

// Cut is a text that is quoted already, or that we made of names from a configuration.
func Cut(s string) string {
	if len(s) <= maxBytes*maxValues {
		return s
	}
	return strings.ToValidUTF8(s[:maxBytes*maxValues], "") + "…"
}

// List are several, with a space between them.
func List(values ...string) string {
	var b strings.Builder
	for i, v := range values {
		if i > 0 {
			b.WriteByte(' ')
		}
		if i == maxValues {
			b.WriteString("…")
			break
		}
		b.WriteString(One(v))
	}
	return b.String()
}
