package scope

import "slices"

// Exercised returns which of the granted scopes satisfy the requirement, sorted: those
// that the requirement names, all that were granted, even if fewer would do. Where these
// do not suffice, a [Policy] let others stand for them; then so many others are added
// that none of these can be missed. Of several that could stand in, which one is told
// depends on their names alone, so that a set has the same answer however it is ordered.
// It is nil if the requirement asks for nothing, and if it is not satisfied.
//
// It is for reports of which privileges are used, not for decisions. What it costs grows
// with the scopes that the requirement and its policy name, and hardly with those that
// were granted.
func (r Requirement) Exercised(granted Set) []string {
	if r.n == nil {
		return nil
	}
	e := exercise{use: make([]use, granted.Len())}
	r.n.each(func(w *want) { e.add(w, &granted) })
	if !e.satisfies(r.n) {
		for i := range e.use {
			e.use[i].in = e.use[i].in || e.use[i].other
		}
		if !e.satisfies(r.n) {
			return nil
		}
		for i := range e.use {
			if u := &e.use[i]; u.in && !u.named {
				u.in = false
				u.in = !e.satisfies(r.n)
			}
		}
	}
	var names []string
	for i, u := range e.use {
		if u.in {
			names = append(names, granted.sorted[i])
		}
	}
	return names
}

// exercise looks for the scopes that a requirement needs. A scope is known by its place
// in the sorted names of the set, so that each is looked up once.
type exercise struct {
	use   []use // of each name of the set
	by    []int // the places of those that satisfy the first scope of the requirement, then the second, ...
	wants []int // where in by each begins
	next  int   // that satisfies comes to
}

type use struct {
	named bool // by the requirement
	other bool // stands for what is named, by a policy
	in    bool // counts as granted
}

func (e *exercise) add(w *want, granted *Set) {
	e.wants = append(e.wants, len(e.by))
	for i, name := range w.by {
		at, found := slices.BinarySearch(granted.sorted, name)
		if !found {
			continue
		}
		e.by = append(e.by, at)
		u := &e.use[at]
		if i == 0 { // the name itself
			u.named, u.in = true, true
		} else {
			u.other = true
		}
	}
}

// satisfies reports whether the scopes that are in satisfy the requirement.
func (e *exercise) satisfies(n *node) bool {
	e.next = 0
	return e.node(n)
}

func (e *exercise) node(n *node) bool {
	satisfied := !n.any
	judge := func(one bool) {
		if one == n.any {
			satisfied = n.any
		}
	}
	for range n.wants {
		judge(e.want())
	}
	for _, part := range n.parts {
		judge(e.node(part)) // every one of them, or the places would be those of others
	}
	return satisfied && n.err == nil
}

func (e *exercise) want() bool {
	from, to := e.wants[e.next], len(e.by)
	if e.next++; e.next < len(e.wants) {
		to = e.wants[e.next]
	}
	return slices.ContainsFunc(e.by[from:to], func(at int) bool { return e.use[at].in })
}
