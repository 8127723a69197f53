// Package scope holds sets of OAuth 2.0 scopes (RFC 6749 §3.3) and what a
// route requires of them.
//
//	granted, err := scope.Parse("orders:read orders:write")
//	need := scope.All("orders:read")
//	need.SatisfiedBy(granted) // true
//
// Scopes are compared byte for byte: no folding, no wildcards, no hierarchy.
// A [Policy], and nothing else, adds implication and wildcards to the
// requirements that are compiled under it. A [Template] is a requirement whose
// scopes hold parts of the request, such as the id in its path.
//
// [Set] and [Requirement] are immutable values, safe for concurrent use.
package scope

import (
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
)

// Set is an immutable set of scopes. The zero value is the empty set.
// It is safe for concurrent use.
type Set struct {
	names []string // distinct, in the order first seen
	table []slot   // where each name is, by its hash; nil when there is none
}

// slot is a place in a hash table with open addressing, whose size is a power of
// two and which is at most half full. It is built once for each set, and the
// hashes of what a requirement looks for are computed when that is made, so
// that a check is little more than one probe for each name.
type slot struct {
	hash  uint32
	index uint32 // in names, plus 1; 0: the slot is free
}

// key is a name and its hash.
type key struct {
	name string
	hash uint32
}

// Random for each process, so that nobody can choose names that collide.
var seed = maphash.MakeSeed()

func newKey(name string) key { return key{name, uint32(maphash.String(seed, name))} }

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
// such a name reported.
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
		return Set{}
	}
	size := 2
	for size < 2*len(names) {
		size *= 2
	}
	s := Set{names[:0], make([]slot, size)}
	for _, name := range names {
		k := newKey(name)
		if at, found := s.find(&k); !found {
			s.names = append(s.names, name)
			s.table[at] = slot{k.hash, uint32(len(s.names))}
		}
	}
	if 4*len(s.names) <= size { // repeated names leave no larger table behind
		return newSet(s.names)
	}
	return s
}

// Has reports whether name is in the set, compared byte for byte.
func (s Set) Has(name string) bool {
	k := newKey(name)
	return s.has(&k)
}

func (s *Set) has(k *key) bool {
	if s.table == nil {
		return false
	}
	_, found := s.find(k)
	return found
}

// find returns the slot of k, or else the free one where it belongs.
func (s *Set) find(k *key) (at uint32, found bool) {
	mask := uint32(len(s.table) - 1)
	for at = k.hash & mask; ; at = (at + 1) & mask {
		switch slot := s.table[at]; {
		case slot.index == 0:
			return at, false
		case slot.hash == k.hash && s.names[slot.index-1] == k.name:
			return at, true
		}
	}
}

func (s *Set) hasAny(keys []key) bool {
	for i := range keys {
		if s.has(&keys[i]) {
			return true
		}
	}
	return false
}

// Names returns a copy of the names, in the order in which they were given.
func (s Set) Names() []string { return slices.Clone(s.names) }

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
