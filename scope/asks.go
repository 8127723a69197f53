package scope

import (
	"slices"
	"strings"
)

// Asks reports whether it can make a difference to the requirement that a token has this
// scope: whether it is one that the requirement names, one that a [Policy] lets stand for
// one of those (a wildcard, or what implies it), or one that a [Template] can become.
//
// It is for reports of scopes that no route needs, not for decisions. A requirement with an
// error asks for nothing.
func (r Requirement) Asks(name string) bool {
	if r.n == nil || r.n.err != nil {
		return false
	}
	asks := false
	r.n.each(func(w *want) { asks = asks || w.asks(name) })
	return asks
}

func (w *want) asks(name string) bool {
	if w.tmpl == nil {
		return slices.Contains(w.by, name)
	}
	if w.tmpl.becomes(name, w.rules) {
		return true
	}
	if w.rules == nil {
		return false
	}
	for implied := range w.rules.impliedBy {
		if w.tmpl.becomes(implied, w.rules) && slices.Contains(w.rules.closure(implied), name) {
			return true
		}
	}
	return false
}

// becomes reports whether the template can be filled so that it is the name, or so that the
// name is the wildcard that covers it.
func (t *template) becomes(name string, rs *rules) bool {
	if t.fits(name) {
		return true
	}
	if rs == nil || rs.separator == 0 {
		return false
	}
	group, ok := strings.CutSuffix(name, string(rs.separator)+"*")
	if !ok {
		return false
	}
	// The wildcard covers what stands behind the last separator, which no value contains.
	for last := len(t.literals) - 1; last >= 0; last-- {
		if at := strings.LastIndexByte(t.literals[last], rs.separator); at >= 0 {
			before := &template{literals: slices.Clone(t.literals[:last+1]), holes: t.holes[:last], admits: t.admits}
			before.literals[last] = before.literals[last][:at]
			return group != "" && before.fits(group)
		}
	}
	return false
}

// fits reports whether the template can be filled so that it is the name. A value ends
// where the literal behind it begins: it does not contain the first byte of that.
func (t *template) fits(name string) bool {
	rest, ok := strings.CutPrefix(name, t.literals[0])
	for _, literal := range t.literals[1:] {
		end := 0
		for end < len(rest) && t.admits[rest[end]] {
			end++
		}
		if !ok || !t.admit(rest[:end]) {
			return false
		}
		rest, ok = strings.CutPrefix(rest[end:], literal)
	}
	return ok && rest == ""
}
