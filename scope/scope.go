// Package scope holds sets of OAuth 2.0 scopes (RFC 6749 §3.3) and what a
// route requires of them.
//
//	granted, err := scope.Parse("orders:read orders:write")
//	need := scope.All("orders:read")
//	need.SatisfiedBy(granted) // true
//
// Scopes are compared byte for byte: no folding, no wildcards, no hierarchy.
// Only a [Policy] adds implication and wildcards, and only to the requirements
// that are compiled under it. The scopes of a [Template] hold parts of the
// request, such as the id in its path.
//
// [Set] and [Requirement] are immutable values, safe for concurrent use.
package scope

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Set is an immutable set of scopes. The zero value is the empty set of which nobody
// has said anything: see [Set.IsZero]. It is safe for concurrent use.
type Set struct {
	names []string // distinct, in the order first seen; nil in the zero Set alone
	// The same in alphabetical order, for binary search. A map makes three to five
	// allocations for each token and takes three times the memory in its cache; it
	// would save 10 ns of each look-up among 30 names, and nothing among five.
	sorted []string
}

// Parse reads the scope string of RFC 6749 §3.3: one or more scope tokens,
// each one or more of %x21 / %x23-5B / %x5D-7E, separated by single spaces.
// A name that is repeated counts once. The empty string, a leading, trailing
// or doubled space and every other character are errors.
func Parse(s string) (Set, error) {
	if s == "" {
		return Set{}, errors.New("scope: empty scope string: RFC 6749 section 3.3 asks for at least one scope token")
	}
	names := strings.Split(s, " ")
	for i, name := range names {
		if err := checkName(name); err != nil {
			return Set{}, fmt.Errorf("scope: name %d: %w", i+1, err)
		}
	}
	return newSet(names), nil
}

// Of returns the set of the given names. A name that is no scope token of
// RFC 6749 §3.3 could never be granted and is left out; use [Parse] to have
// such a name reported. Without a valid name it is empty, and not the zero Set.
func Of(names ...string) Set {
	valid := make([]string, 0, len(names))
	for _, name := range names {
		if checkName(name) == nil {
			valid = append(valid, name)
		}
	}
	return newSet(valid)
}

// newSet takes ownership of names.
func newSet(names []string) Set {
	if len(names) == 0 {
		return Set{names: []string{}}
	}
	sorted := names
	if !slices.IsSorted(names) {
		sorted = slices.Clone(names)
		slices.Sort(sorted)
	}
	for i, name := range sorted[1:] {
		if name == sorted[i] {
			return newSet(distinct(names))
		}
	}
	return Set{names, sorted}
}

// distinct returns the first of each name, in a slice that has no room for the
// others: a token may repeat a name thousands of times, and stay in a cache.
func distinct(names []string) []string {
	seen := map[string]bool{}
	return slices.Clone(slices.DeleteFunc(names, func(name string) bool {
		again := seen[name]
		seen[name] = true
		return again
	}))
}

// IsZero reports whether s is the zero Set: nobody has said anything about scopes, as a
// token without a claim for them. The set of a claim that names none is empty too, and
// not zero. Neither satisfies more than the other.
func (s Set) IsZero() bool { return s.names == nil }

// Has reports whether name is in the set, compared byte for byte.
func (s Set) Has(name string) bool {
	_, found := slices.BinarySearch(s.sorted, name)
	return found
}

// Equal reports whether both sets have the same names, in whatever order. Two copies of
// one set, such as that of a token in a cache, are compared in no time.
func (s Set) Equal(o Set) bool {
	if len(s.sorted) != len(o.sorted) {
		return false
	}
	if len(s.sorted) == 0 || &s.sorted[0] == &o.sorted[0] {
		return true
	}
	return slices.Equal(s.sorted, o.sorted)
}

// Names returns a copy of the names, in the order in which they were given; nil if there
// are none.
func (s Set) Names() []string { return append([]string(nil), s.names...) }

// Len returns the number of distinct names.
func (s Set) Len() int { return len(s.names) }

// String returns the names separated by single spaces, in the order in which
// they were given: the form that [Parse] reads, or "" for the empty set.
func (s Set) String() string { return strings.Join(s.names, " ") }

// checkName reports why name is not a scope-token of RFC 6749 §3.3.
func checkName(name string) error {
	if name == "" {
		return errors.New("empty name")
	}
	for i := range len(name) {
		if c := name[i]; !inCharset(c) {
			return fmt.Errorf("byte %#02x at %d: a scope token is made of printable ASCII without space, double quote and backslash", c, i)
		}
	}
	return nil
}

func inCharset(c byte) bool { return c > 0x20 && c < 0x7f && c != '"' && c != '\\' }
