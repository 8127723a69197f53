package scope

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Requirement is what a route asks of the granted scopes. Build it with
// [All], [Any], [Template], [AllOf] and [AnyOf].
//
// Only the zero value requires nothing. A requirement that was built wrongly
// (no names, a name outside the charset of RFC 6749 §3.3) is satisfied by
// nothing, and [Requirement.Err] says why: a mistake closes the route.
//
// It is immutable and safe for concurrent use.
type Requirement struct {
	n *node
}

type node struct {
	any     bool    // one of wants and parts is enough; otherwise all of them are needed
	wants   []want  // scopes named directly
	parts   []*node // nested requirements
	unbound bool    // a template at or below this node waits for Bind
	err     error   // not nil: satisfied by nothing
}

// want is one scope that a requirement names. Without by, nothing satisfies it.
type want struct {
	name   string    // to ask for; where by is empty, the pattern of a template
	by     []string  // the granted scopes that satisfy it, itself first
	sealed bool      // compiled or bound: Compile leaves it as it is
	tmpl   *template // not nil: waits for Bind
	rules  *rules    // that Bind applies to it; nil: none
}

// All requires every one of the named scopes.
func All(names ...string) Requirement { return named("All", false, names) }

// Any requires at least one of the named scopes.
func Any(names ...string) Requirement { return named("Any", true, names) }

func named(fn string, anyOne bool, names []string) Requirement {
	n := &node{any: anyOne}
	var errs []error
	if len(names) == 0 {
		errs = append(errs, fmt.Errorf("scope: %s() names no scope: name at least one, or use the zero Requirement to require nothing", fn))
	}
	for i, name := range names {
		if err := checkName(name); err != nil {
			advice := ": remove it, or write it as the authorization server does"
			if strings.Contains(name, " ") {
				advice = fmt.Sprintf(`: give each name by itself: %s("a", "b")`, fn)
			}
			errs = append(errs, fmt.Errorf("scope: %s: name %d, %.100q: %w%s", fn, i+1, name, err, advice))
			continue
		}
		n.wants = append(n.wants, want{name: name, by: []string{name}})
	}
	n.err = errors.Join(errs...)
	return Requirement{n}
}

// AllOf requires every one of the given requirements. A zero Requirement
// among them adds nothing; if all are zero, or there is none, AllOf is an error, so
// that a policy put together at run time cannot end up open.
func AllOf(rs ...Requirement) Requirement {
	n := &node{}
	var errs []error
	for _, r := range rs {
		if r.n != nil {
			errs = append(errs, n.add(r.n))
		}
	}
	if len(n.parts) == 0 {
		errs = append(errs, errors.New("scope: AllOf() combines no requirement: give at least one that is not the zero value"))
	}
	n.err = errors.Join(errs...)
	return Requirement{n}
}

// AnyOf requires at least one of the given requirements. A zero Requirement
// among them is an error: it would open the route to everybody.
func AnyOf(rs ...Requirement) Requirement {
	n := &node{any: true}
	var errs []error
	for i, r := range rs {
		if r.n == nil {
			errs = append(errs, fmt.Errorf("scope: AnyOf: requirement %d is the zero value, which requires nothing and would make the others pointless: leave it out", i+1))
			continue
		}
		errs = append(errs, n.add(r.n))
	}
	if len(rs) == 0 {
		errs = append(errs, errors.New("scope: AnyOf() combines no requirement: give at least one"))
	}
	n.err = errors.Join(errs...)
	return Requirement{n}
}

func (n *node) add(part *node) error {
	n.parts = append(n.parts, part)
	n.unbound = n.unbound || part.unbound
	return part.err
}

func appendNew(list []string, name string) []string {
	if slices.Contains(list, name) {
		return list
	}
	return append(list, name)
}

// SatisfiedBy reports whether the granted scopes meet the requirement.
// It allocates nothing.
func (r Requirement) SatisfiedBy(granted Set) bool {
	return r.n == nil || r.n.satisfiedBy(&granted)
}

func (n *node) satisfiedBy(granted *Set) bool {
	if n.err != nil {
		return false
	}
	for i := range n.wants {
		if slices.ContainsFunc(n.wants[i].by, granted.Has) == n.any {
			return n.any
		}
	}
	for _, part := range n.parts {
		if part.satisfiedBy(granted) == n.any {
			return n.any
		}
	}
	return !n.any
}

// each calls f with every scope named at or below n, in the order written.
func (n *node) each(f func(*want)) {
	for i := range n.wants {
		f(&n.wants[i])
	}
	for _, part := range n.parts {
		part.each(f)
	}
}

// transform returns n with f applied to a copy of every scope named in it.
func (n *node) transform(f func(*want)) *node {
	t := &node{any: n.any, err: n.err}
	if len(n.wants) > 0 {
		t.wants = slices.Clone(n.wants)
		for i := range t.wants {
			f(&t.wants[i])
			t.unbound = t.unbound || t.wants[i].tmpl != nil
		}
	}
	if len(n.parts) > 0 {
		t.parts = make([]*node, len(n.parts))
		for i, part := range n.parts {
			t.parts[i] = part.transform(f)
			t.unbound = t.unbound || t.parts[i].unbound
		}
	}
	return t
}

// Scopes returns every scope that the requirement names, once each, in the
// order in which they were written. A token with all of them satisfies it, so
// this is what a challenge asks for (RFC 6750 §3, the scope attribute); for
// [Any] and [AnyOf], fewer would do. What a [Policy] also accepts is not among
// them.
//
// A [Template] counts once it is bound, with the scope that it became. Before,
// and with a value that it refuses, it is left out: a client cannot ask for a
// pattern.
func (r Requirement) Scopes() []string {
	return r.list(func(w *want) []string {
		if len(w.by) == 0 {
			return nil
		}
		return []string{w.name}
	})
}

// Asked returns what the requirement asks for as it was written: [Requirement.Scopes], and
// the pattern of each [Template] that is not bound. It is for documents; a client cannot ask
// for a pattern.
func (r Requirement) Asked() []string {
	return r.list(func(w *want) []string {
		if w.tmpl == nil && len(w.by) == 0 {
			return nil // a template with a value that it refuses
		}
		return []string{w.name}
	})
}

// Accepted returns every scope that counts towards the requirement where it is granted:
// [Requirement.Asked], and what a [Policy] lets stand for that. Of a [Template] that is not
// bound, these are its pattern and what stands for it whatever its values are. It is for
// documents and reviews. Not every name is one that somebody has: a policy with a Separator
// accepts the wildcard of each scope.
func (r Requirement) Accepted() []string {
	return r.list(func(w *want) []string {
		if w.tmpl != nil {
			return w.rules.grantedBy(w.name)
		}
		return w.by
	})
}

// list returns what of gives for each scope that is named, once each, in the order written.
func (r Requirement) list(of func(*want) []string) []string {
	if r.n == nil {
		return nil
	}
	var list []string
	r.n.each(func(w *want) {
		for _, name := range of(w) {
			list = appendNew(list, name)
		}
	})
	return list
}

// Err says what is wrong with the requirement, or nil. Every mistake is
// named. A requirement with an error is satisfied by nothing.
func (r Requirement) Err() error {
	if r.n == nil {
		return nil
	}
	return r.n.err
}

// String describes the requirement for people, as in a table of routes:
// "a and (b or c)". Templates that are not bound show their pattern; what a
// [Policy] adds does not show. The zero value is "nothing", one with an error
// "invalid". The form may change in any release.
func (r Requirement) String() string {
	switch {
	case r.n == nil:
		return "nothing"
	case r.n.err != nil:
		return "invalid"
	}
	return r.n.text("")
}

func (n *node) text(around string) string {
	if len(n.wants) == 0 && len(n.parts) == 1 {
		return n.parts[0].text(around)
	}
	word := " and "
	if n.any {
		word = " or "
	}
	terms := make([]string, 0, len(n.wants)+len(n.parts))
	for i := range n.wants {
		terms = append(terms, n.wants[i].name)
	}
	for _, part := range n.parts {
		terms = append(terms, part.text(word))
	}
	s := strings.Join(terms, word)
	if len(terms) > 1 && around != "" && around != word {
		return "(" + s + ")"
	}
	return s
}
