package scope_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bearergate/bearergate/scope"
	"github.com/stretchr/testify/require"
)

var zero scope.Requirement

// sets are all subsets of a, b and c.
func sets() []scope.Set {
	var all []scope.Set
	for bits := range 8 {
		var names []string
		for i, name := range []string{"a", "b", "c"} {
			if bits>>i&1 == 1 {
				names = append(names, name)
			}
		}
		all = append(all, scope.Of(names...))
	}
	return all
}

func TestRequirementTruth(t *testing.T) {
	a, b, c := scope.All("a"), scope.Any("b"), scope.All("c")
	for _, tc := range []struct {
		name string
		r    scope.Requirement
		by   []string // the satisfying sets, each its names in order
	}{
		{"zero", zero, []string{"", "a", "b", "ab", "c", "ac", "bc", "abc"}},
		{"All(a)", a, []string{"a", "ab", "ac", "abc"}},
		{"All(a,b)", scope.All("a", "b"), []string{"ab", "abc"}},
		{"All(a,a)", scope.All("a", "a"), []string{"a", "ab", "ac", "abc"}},
		{"All(a,b,c)", scope.All("a", "b", "c"), []string{"abc"}},
		{"Any(a)", scope.Any("a"), []string{"a", "ab", "ac", "abc"}},
		{"Any(a,b)", scope.Any("a", "b"), []string{"a", "b", "ab", "ac", "bc", "abc"}},
		{"All(A)", scope.All("A"), nil},
		{"AllOf(a)", scope.AllOf(a), []string{"a", "ab", "ac", "abc"}},
		{"AllOf(a,b)", scope.AllOf(a, b), []string{"ab", "abc"}},
		{"AllOf(a,zero)", scope.AllOf(a, zero), []string{"a", "ab", "ac", "abc"}},
		{"AllOf(zero,a)", scope.AllOf(zero, a), []string{"a", "ab", "ac", "abc"}},
		{"AnyOf(a)", scope.AnyOf(a), []string{"a", "ab", "ac", "abc"}},
		{"AnyOf(a,b)", scope.AnyOf(a, b), []string{"a", "b", "ab", "ac", "bc", "abc"}},
		{"a and (b or c)", scope.AllOf(a, scope.AnyOf(b, c)), []string{"ab", "ac", "abc"}},
		{"a or (b and c)", scope.AnyOf(a, scope.AllOf(b, c)), []string{"a", "ab", "ac", "bc", "abc"}},
		{"(a or b) and (b or c)", scope.AllOf(scope.Any("a", "b"), scope.Any("b", "c")), []string{"b", "ab", "ac", "bc", "abc"}},
		// Wrong ones are satisfied by nothing, wherever the mistake stands.
		{"All()", scope.All(), nil},
		{"Any()", scope.Any(), nil},
		{"All(nil...)", scope.All([]string(nil)...), nil},
		{"AllOf()", scope.AllOf(), nil},
		{"AnyOf()", scope.AnyOf(), nil},
		{"AllOf(zero)", scope.AllOf(zero), nil},
		{"AllOf(zero,zero)", scope.AllOf(zero, zero), nil},
		{"AnyOf(zero)", scope.AnyOf(zero), nil},
		{"AnyOf(a,zero)", scope.AnyOf(a, zero), nil},
		{"AnyOf(zero,a)", scope.AnyOf(zero, a), nil},
		{"All(empty)", scope.All(""), nil},
		{"All(a,empty)", scope.All("a", ""), nil},
		{"Any(a,empty)", scope.Any("a", ""), nil},
		{"Any(a,bad)", scope.Any("a", "a b"), nil},
		{"AnyOf(a,All())", scope.AnyOf(a, scope.All()), nil},
		{"AllOf(a,Any(bad))", scope.AllOf(a, scope.Any("é")), nil},
		{"a mistake deep below", scope.AnyOf(a, scope.AllOf(b, scope.AnyOf(c, scope.Any()))), nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var by []string
			for _, s := range sets() {
				if tc.r.SatisfiedBy(s) {
					by = append(by, strings.Join(s.Names(), ""))
				}
			}
			require.Equal(t, tc.by, by)
			if tc.name != "All(A)" {
				require.Equal(t, tc.by == nil, tc.r.Err() != nil)
			}
		})
	}
}

func TestRequirementScopes(t *testing.T) {
	for _, tc := range []struct {
		name string
		r    scope.Requirement
		want []string
	}{
		{"zero", zero, nil},
		{"in the order written", scope.All("c", "a", "b"), []string{"c", "a", "b"}},
		{"once each", scope.Any("b", "a", "b"), []string{"b", "a"}},
		{"nested", scope.AllOf(scope.All("z", "a"), scope.AnyOf(scope.Any("m", "a"), scope.All("b", "z"))), []string{"z", "a", "m", "b"}},
		{"without what no challenge may hold", scope.Any("a", "x y", "", "b\"", "c"), []string{"a", "c"}},
		{"of a wrong one too", scope.AnyOf(zero, scope.All("a"), scope.All()), []string{"a"}},
		{"none", scope.All(), nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			require.Equal(t, tc.want, tc.r.Scopes())
			for i := range tc.r.Scopes() {
				tc.r.Scopes()[i] = "changed"
			}
			require.Equal(t, tc.want, tc.r.Scopes())
		})
	}
}

// A requirement around one other says what that one says.
func TestRequirementString(t *testing.T) {
	either := scope.Any("a", "b")
	for want, r := range map[string]scope.Requirement{
		"nothing":        zero,
		"a or b":         either,
		"(a or b) and c": scope.AllOf(scope.AnyOf(either), scope.All("c")),
		"a or b or c":    scope.AnyOf(scope.AllOf(either), scope.All("c")),
		"invalid":        scope.All(),
	} {
		require.Equal(t, want, r.String())
	}
	require.Equal(t, "a or b", scope.AllOf(either).String())
}

// Every mistake is named, with what it is about.
func TestRequirementErr(t *testing.T) {
	require.NoError(t, zero.Err())
	require.NoError(t, scope.AllOf(scope.All("a"), zero, scope.AnyOf(scope.Any("b"))).Err())
	for _, tc := range []struct {
		name  string
		r     scope.Requirement
		names []string
		count int // of mistakes, each on a line
	}{
		{"All()", scope.All(), []string{"All()"}, 1},
		{"Any()", scope.Any(), []string{"Any()"}, 1},
		{"AllOf()", scope.AllOf(), []string{"AllOf()"}, 1},
		{"AllOf(zero)", scope.AllOf(zero), []string{"AllOf()"}, 1},
		{"AnyOf()", scope.AnyOf(), []string{"AnyOf()"}, 1},
		{"AnyOf(zero)", scope.AnyOf(scope.All("a"), zero, zero), []string{"AnyOf", "requirement 2", "requirement 3"}, 2},
		{"names", scope.All("a", "", "b c", "d\x00"), []string{`name 2, "": empty name: remove it`, `name 3, "b c": byte 0x20`, `give each name by itself: All("a", "b")`, `name 4, "d\x00": byte 0x00`, "write it as the authorization server does"}, 3},
		{"nested", scope.AllOf(scope.All(), scope.AnyOf(scope.Any(`"`), zero, scope.Any())), []string{"All()", "name 1", "0x22", "requirement 2", "Any()"}, 4},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := tc.r.Err()
			require.Error(t, err)
			for _, name := range tc.names {
				require.ErrorContains(t, err, name)
			}
			require.Len(t, strings.Split(err.Error(), "\n"), tc.count)
		})
	}
}

// What is passed in and what is built from it stay apart.
func TestRequirementIsImmutable(t *testing.T) {
	names := []string{"a", "b"}
	all, anyOne := scope.All(names...), scope.Any(names...)
	parts := []scope.Requirement{all, anyOne}
	nested := scope.AllOf(parts...)
	names[0], names[1] = "x", "x"
	parts[0], parts[1] = zero, zero
	for _, r := range []scope.Requirement{all, anyOne, nested} {
		require.Equal(t, []string{"a", "b"}, r.Scopes())
		require.True(t, r.SatisfiedBy(scope.Of("a", "b")))
		require.False(t, r.SatisfiedBy(scope.Of("x")))
	}
	// Used twice, a part is not changed by what is built above it.
	scope.AllOf(all, scope.All("c"))
	scope.AnyOf(all, scope.All("d"))
	require.Equal(t, []string{"a", "b"}, all.Scopes())
}

// formula is a requirement and its meaning, computed another way.
type formula struct {
	r      scope.Requirement
	truth  func(map[string]bool) bool // nil: wrong
	isZero bool
	text   string
}

func randomFormula(r *rand.Rand, depth int) formula {
	if depth == 0 || r.IntN(4) == 0 {
		if r.IntN(12) == 0 {
			return formula{r: zero, truth: func(map[string]bool) bool { return true }, isZero: true, text: "zero"}
		}
		names := make([]string, r.IntN(4))
		wrong := len(names) == 0
		for i := range names {
			names[i] = []string{"a", "b", "c", "d", "e"}[r.IntN(5)]
			if r.IntN(40) == 0 {
				names[i], wrong = "not a name", true
			}
		}
		f := formula{text: fmt.Sprintf("names%q", names)}
		if r.IntN(2) == 0 {
			f.r, f.text = scope.All(names...), "all "+f.text
			f.truth = func(has map[string]bool) bool {
				return !slices.ContainsFunc(names, func(n string) bool { return !has[n] })
			}
		} else {
			f.r, f.text = scope.Any(names...), "any "+f.text
			f.truth = func(has map[string]bool) bool {
				return slices.ContainsFunc(names, func(n string) bool { return has[n] })
			}
		}
		if wrong {
			f.truth = nil
		}
		return f
	}
	parts := make([]formula, r.IntN(4))
	rs := make([]scope.Requirement, len(parts))
	wrong, zeros := false, 0
	var texts []string
	for i := range parts {
		parts[i] = randomFormula(r, depth-1)
		rs[i] = parts[i].r
		wrong = wrong || parts[i].truth == nil
		if parts[i].isZero {
			zeros++
		}
		texts = append(texts, parts[i].text)
	}
	f := formula{text: "(" + strings.Join(texts, ", ") + ")"}
	if r.IntN(2) == 0 {
		f.r, f.text = scope.AllOf(rs...), "AllOf"+f.text
		wrong = wrong || zeros == len(parts)
		f.truth = func(has map[string]bool) bool {
			return !slices.ContainsFunc(parts, func(p formula) bool { return !p.truth(has) })
		}
	} else {
		f.r, f.text = scope.AnyOf(rs...), "AnyOf"+f.text
		wrong = wrong || len(parts) == 0 || zeros > 0
		f.truth = func(has map[string]bool) bool {
			return slices.ContainsFunc(parts, func(p formula) bool { return p.truth(has) })
		}
	}
	if wrong {
		f.truth = nil
	}
	return f
}

func TestRequirementAgainstReference(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	right, satisfied := 0, 0
	for range 4000 {
		f := randomFormula(r, r.IntN(4))
		require.Equal(t, f.truth == nil, f.r.Err() != nil, f.text)
		if f.truth != nil {
			right++
		}
		for bits := range 32 {
			has := map[string]bool{}
			var names []string
			for i, name := range []string{"a", "b", "c", "d", "e"} {
				if bits>>i&1 == 1 {
					has[name] = true
					names = append(names, name)
				}
			}
			want := f.truth != nil && f.truth(has)
			if want {
				satisfied++
			}
			require.Equal(t, want, f.r.SatisfiedBy(scope.Of(names...)), "%s by %v", f.text, names)
		}
		if f.truth != nil {
			require.True(t, f.r.SatisfiedBy(scope.Of(f.r.Scopes()...)), "%s: not satisfied by all that it names", f.text)
		}
	}
	require.Greater(t, right, 500)
	require.Greater(t, satisfied, 5000)
}

func TestSatisfiedByAllocatesNothing(t *testing.T) {
	names := make([]string, 30)
	for i := range names {
		names[i] = fmt.Sprintf("orders:%d", i)
	}
	s := scope.Of(names...)
	for name, r := range map[string]scope.Requirement{
		"3 of 30":   scope.All("orders:3", "orders:17", "orders:29"),
		"none":      scope.Any("x", "y", "z"),
		"nested":    scope.AllOf(scope.All("orders:1"), scope.AnyOf(scope.All("x"), scope.Any("y", "orders:2"))),
		"wrong":     scope.All(),
		"zero":      zero,
		"of a few":  scope.All("orders:1"),
		"of nobody": scope.AnyOf(scope.All("x"), scope.All("orders:4", "x")),
	} {
		require.Zero(t, testing.AllocsPerRun(100, func() { r.SatisfiedBy(s) }), name)
		few := scope.Of("orders:1", "orders:2")
		require.Zero(t, testing.AllocsPerRun(100, func() { r.SatisfiedBy(few) }), name)
	}
}

func Example() {
	granted, err := scope.Parse("orders:read orders:write")
	if err != nil {
		fmt.Println(err)
		return
	}
	need := scope.AllOf(scope.All("orders:read"), scope.Any("admin", "orders:write"))
	fmt.Println(need.SatisfiedBy(granted), need.Scopes())
	fmt.Println(scope.All("orders:delete").SatisfiedBy(granted))
	fmt.Println(scope.Any().SatisfiedBy(granted)) // a mistake closes the route
	// Output:
	// true [orders:read admin orders:write]
	// false
	// false
}

// What documents and reviews need to know beside Scopes: patterns, and what a policy lets in.
func TestAskedAndAccepted(t *testing.T) {
	policy := scope.Policy{Implies: map[string][]string{"staff": {"orders:*"}, "clerk": {"document:read:*"}}, Separator: ":"}
	compiled := func(r scope.Requirement) scope.Requirement {
		r, err := policy.Compile(r)
		require.NoError(t, err)
		return r
	}
	value := func(of string) func(string) (string, bool) { return func(string) (string, bool) { return of, true } }
	document := scope.Template("document:read:{id}")
	for _, tt := range []struct {
		name            string
		need            scope.Requirement
		asked, accepted []string
	}{
		{name: "zero"},
		{name: "a mistake", need: scope.All()},
		{name: "names, once each", need: scope.AnyOf(scope.All("b", "a"), scope.Any("a", "c")), asked: []string{"b", "a", "c"}, accepted: []string{"b", "a", "c"}},
		{name: "a template", need: document, asked: []string{"document:read:{id}"}, accepted: []string{"document:read:{id}"}},
		{name: "a template that is bound", need: document.Bind(value("7")), asked: []string{"document:read:7"}, accepted: []string{"document:read:7"}},
		{name: "a template with a value that it refuses", need: document.Bind(value("a:b"))},
		{name: "a policy", need: compiled(scope.All("orders:read")), asked: []string{"orders:read"}, accepted: []string{"orders:read", "orders:*", "staff"}},
		{name: "a template under a policy", need: compiled(document), asked: []string{"document:read:{id}"}, accepted: []string{"document:read:{id}", "document:read:*", "clerk"}},
		{name: "the same, bound", need: compiled(document).Bind(value("7")), asked: []string{"document:read:7"}, accepted: []string{"document:read:7", "document:read:*", "clerk"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.asked, tt.need.Asked())
			require.Equal(t, tt.accepted, tt.need.Accepted())
		})
	}
	// Nothing that is handed out is the requirement's own.
	need := scope.All("a")
	need.Accepted()[0] = "z"
	require.Equal(t, []string{"a"}, need.Accepted())
}
