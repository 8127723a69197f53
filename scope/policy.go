package scope

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Policy says which granted scopes stand for others. It widens what tokens may
// do: a granted name on the left of Implies also satisfies what asks for the names
// on its right, and a granted wildcard what asks for the names that it covers. It
// must match what the authorization server and its users mean by those names. In
// RFC 6749, each scope stands for itself only.
//
// Only [Policy.Compile] applies it. The zero value adds nothing. It is
// plain data and is safe for concurrent use as long as nobody changes it.
type Policy struct {
	// Implies lists, for a granted scope, the scopes that it includes:
	//
	//	"orders:admin": {"orders:read", "orders:write"},
	//	"staff":        {"orders:admin", "billing:*"}, // so orders:read too
	//
	// It works from one implied name to the next, and to what a name covers as a
	// wildcard. A cycle is a mistake, for its names would all mean the same. Not
	// the other way around: all of the implied names together do not make the one
	// that implies them.
	//
	// A bundle, under whose name a token is granted several scopes, is an entry
	// here. A bundle that routes require is a variable:
	// billing := scope.All("billing:read", "billing:pay").
	//
	// Names follow RFC 6749 §3.3, without braces: a template cannot be implied,
	// but a wildcard that covers it can. A wildcard on the left is that name, as
	// granted or implied, and not each of the names that it covers. nil: no scope
	// implies another.
	Implies map[string][]string

	// Separator turns on wildcards in granted scopes. With ":", the granted
	// "orders:*" stands for every scope with "orders:" followed by one or more
	// characters without ":"; it does not stand for "orders:a:b", for which it
	// takes "orders:a:*", nor for "orders". If "orders:admin" implies something,
	// so does "orders:*", which stands for it. Only a last part that is "*" alone
	// does this, behind something: "*", ":*", "orders:re*" and "*:read" stand for
	// nothing but themselves. To give "*" a meaning, spell it out in Implies.
	//
	// Where a route requires "orders:*", it asks for that very name.
	//
	// One character of ASCII punctuation within RFC 6749 §3.3, but not '*', '{'
	// or '}'. Empty, the default: no wildcards, and '*' is like any other character.
	Separator string
}

// Compile returns r under the policy: each scope in it is also satisfied by the
// granted scopes that stand for it. This is worked out here, once: a check only
// looks these names up among the granted ones. p and r are not changed, and
// nothing of them is kept.
//
// [Requirement.Scopes] stays as it was. What was compiled or bound before, alone
// or as a part of r, keeps the policy that it has. So a requirement that is
// compiled under Policy{} keeps to its exact names, whatever it becomes part of.
//
// Every mistake in p and r is reported at once, and the requirement beside an
// error is satisfied by nothing. Its Err is the same error.
func (p Policy) Compile(r Requirement) (Requirement, error) {
	rs, err := p.rules()
	if err = errors.Join(err, r.Err()); err != nil {
		// Not the zero value: that one requires nothing.
		closed := &node{err: err}
		if r.n != nil {
			*closed = *r.n
			closed.err = err
		}
		return Requirement{closed}, err
	}
	if r.n == nil {
		return r, nil
	}
	if r.n.unbound { // Bind, which runs for each request, then has little to do
		rs.closed = make(map[string][]string, len(rs.impliedBy))
		for name := range rs.impliedBy {
			rs.closed[name] = rs.closure(name)
		}
	}
	return Requirement{r.n.transform(func(w *want) { rs.compile(w) })}, nil
}

// rules are a policy, checked and turned around.
type rules struct {
	separator byte                // 0: no wildcards
	impliedBy map[string][]string // sorted
	closed    map[string][]string // of every name in impliedBy, its closure; nil unless there are templates
}

func (rs *rules) compile(w *want) {
	switch {
	case w.sealed:
	case w.tmpl != nil:
		t := *w.tmpl
		t.admits[rs.separator] = false // NUL is no scope character in any case
		w.tmpl, w.rules = &t, rs
	default:
		w.by = rs.closure(w.name)
	}
	w.sealed = true
}

// closure returns every granted scope that stands for name: itself, the
// wildcard that covers it, what implies one of those, and so on.
func (rs *rules) closure(name string) []string {
	seen := map[string]bool{name: true}
	names := []string{name}
	add := func(by string) {
		if by != "" && !seen[by] {
			seen[by] = true
			names = append(names, by)
		}
	}
	for i := 0; i < len(names); i++ { //nolint:intrange // names grows meanwhile
		add(rs.wildcard(names[i]))
		for _, by := range rs.impliedBy[names[i]] {
			add(by)
		}
	}
	return names
}

// grantedBy is closure from what Compile prepared. Without rules, name is only
// granted by itself.
func (rs *rules) grantedBy(name string) []string {
	if rs == nil {
		return []string{name}
	}
	if names, ok := rs.closed[name]; ok {
		return names
	}
	wildcard := rs.wildcard(name)
	if wildcard == "" {
		return []string{name}
	}
	// Nothing implies name itself, so all the rest comes by way of its wildcard.
	if names, ok := rs.closed[wildcard]; ok {
		return slices.Concat([]string{name}, names)
	}
	return []string{name, wildcard}
}

// wildcard returns the one wildcard that covers name, or "". That of a
// wildcard is itself.
func (rs *rules) wildcard(name string) string {
	if rs.separator == 0 {
		return ""
	}
	last := strings.LastIndexByte(name, rs.separator)
	if last < 1 || last == len(name)-1 { // nothing before or behind it
		return ""
	}
	return name[:last+1] + "*"
}

func (p Policy) rules() (*rules, error) {
	rs := &rules{impliedBy: map[string][]string{}}
	var errs []error
	mistake := func(format string, args ...any) { errs = append(errs, fmt.Errorf("scope: Policy."+format, args...)) }

	if s := p.Separator; len(s) == 1 && inCharset(s[0]) && !isAlphanumeric(s[0]) && !strings.ContainsAny(s, "*{}") {
		rs.separator = s[0]
	} else if s != "" {
		mistake("Separator is %q: use one character of punctuation such as \":\", not '*', '{' or '}', or leave it empty for no wildcards", s)
	}
	for _, name := range slices.Sorted(maps.Keys(p.Implies)) {
		if err := checkImplied(name); err != nil {
			mistake("Implies[%q]: %w: mend the name, or take it out", name, err)
		}
		for i, implied := range p.Implies[name] {
			if err := checkImplied(implied); err != nil {
				mistake("Implies[%q]: name %d: %q: %w: mend the name, or take it out", name, i+1, implied, err)
				continue
			}
			_, known := p.Implies[implied]
			if strings.Contains(implied, "*") && !known && rs.wildcard(implied) != implied {
				mistake("Implies[%q]: name %d: %q is no wildcard and would stand for itself only: set Separator and end the name in it and '*', "+
					"or give the name an entry of its own if that is meant", name, i+1, implied)
			}
			rs.impliedBy[implied] = append(rs.impliedBy[implied], name)
		}
	}
	for _, cycle := range p.cycles() {
		mistake("Implies: a cycle, whose names would all mean the same: %q: remove one of these steps", cycle)
	}
	return rs, errors.Join(errs...)
}

func checkImplied(name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	if strings.ContainsAny(name, "{}") {
		return errors.New("braces: a template cannot be implied: name the wildcard that covers it")
	}
	return nil
}

// cycles returns cycles in Implies, each with its first name again at its end.
// Without the last step of each, no cycle is left.
func (p Policy) cycles() [][]string {
	var found [][]string
	var path []string
	done := map[string]bool{}
	var visit func(string)
	visit = func(name string) {
		if i := slices.Index(path, name); i >= 0 {
			found = append(found, append(slices.Clone(path[i:]), name))
			return
		}
		if done[name] {
			return
		}
		path = append(path, name)
		for _, implied := range p.Implies[name] {
			visit(implied)
		}
		path = path[:len(path)-1]
		done[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(p.Implies)) {
		visit(name)
	}
	return found
}
