package scope_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate/scope"
)

func TestEqual(t *testing.T) {
	a := scope.Of("read", "write")
	for _, tt := range []struct {
		name  string
		other scope.Set
		equal bool
	}{
		{name: "itself", other: a, equal: true},
		{name: "a copy", other: scope.Of(a.Names()...), equal: true},
		{name: "another order", other: scope.Of("write", "read", "write"), equal: true},
		{name: "one less", other: scope.Of("read")},
		{name: "one more", other: scope.Of("read", "write", "x")},
		{name: "another name", other: scope.Of("read", "writf")},
		{name: "none", other: scope.Of()},
		{name: "the zero set", other: scope.Set{}},
	} {
		require.Equal(t, tt.equal, a.Equal(tt.other), tt.name)
		require.Equal(t, tt.equal, tt.other.Equal(a), tt.name)
	}
	require.True(t, scope.Set{}.Equal(scope.Of()), "no names are no names")
}

func TestExercised(t *testing.T) {
	p := scope.Policy{Implies: map[string][]string{"admin": {"read", "write"}, "root": {"admin"}}, Separator: ":"}
	compiled := func(need scope.Requirement) scope.Requirement { return compile(t, p, need) }
	bound := func(id string) scope.Requirement {
		return compiled(scope.Template("doc:{id}")).Bind(func(string) (string, bool) { return id, true })
	}
	for _, tt := range []struct {
		name    string
		granted []string
		need    scope.Requirement
		want    []string
	}{
		{name: "nothing asked", granted: []string{"a"}},
		{name: "nothing granted", need: scope.All("a")},
		{name: "a refusal", granted: []string{"b"}, need: scope.All("a")},
		{name: "a part of all", granted: []string{"a"}, need: scope.All("a", "b")},
		{name: "a requirement with an error", granted: []string{"a"}, need: scope.AllOf(scope.All("a"), scope.All())},
		{name: "the name itself", granted: []string{"x", "read"}, need: compiled(scope.All("read")), want: []string{"read"}},
		{name: "every name that is there", granted: []string{"c", "b", "a"}, need: scope.Any("b", "a"), want: []string{"a", "b"}},
		{name: "an implied one", granted: []string{"admin", "x"}, need: compiled(scope.All("read")), want: []string{"admin"}},
		{name: "a wildcard", granted: []string{"doc:*", "x:*"}, need: compiled(scope.All("doc:7")), want: []string{"doc:*"}},
		{name: "the name makes the wildcard spare", granted: []string{"doc:*", "doc:7"}, need: compiled(scope.All("doc:7")), want: []string{"doc:7"}},
		{name: "one by name and one by another", granted: []string{"admin", "read", "x"}, need: compiled(scope.All("read", "write")), want: []string{"admin", "read"}},
		{name: "the last of two that could", granted: []string{"admin", "root"}, need: compiled(scope.All("read")), want: []string{"root"}},
		{name: "in whatever order they stand", granted: []string{"root", "admin"}, need: compiled(scope.All("read")), want: []string{"root"}},
		{name: "named in one place, spare in another", granted: []string{"admin", "b"}, need: scope.AnyOf(compiled(scope.All("read", "c")), scope.All("admin", "b")), want: []string{"admin", "b"}},
		{name: "the way that is open", granted: []string{"root", "b"}, need: scope.AnyOf(compiled(scope.All("read", "b")), scope.All("c")), want: []string{"b", "root"}},
		{name: "a template", granted: []string{"doc:7", "doc:8"}, need: bound("7"), want: []string{"doc:7"}},
		{name: "a template by a wildcard", granted: []string{"doc:*", "doc:8"}, need: bound("7"), want: []string{"doc:*"}},
		{name: "a template that nobody filled", granted: []string{"doc:7"}, need: scope.Template("doc:{id}")},
	} {
		require.Equal(t, tt.want, tt.need.Exercised(scope.Of(tt.granted...)), tt.name)
	}
}

// exercised is the definition, word for word.
func exercised(granted scope.Set, need scope.Requirement) []string {
	if need.SatisfiedBy(scope.Set{}) || !need.SatisfiedBy(granted) {
		return nil
	}
	all := granted.Names()
	slices.Sort(all)
	named := slices.DeleteFunc(slices.Clone(all), func(name string) bool { return !slices.Contains(need.Scopes(), name) })
	if need.SatisfiedBy(scope.Of(named...)) {
		return named
	}
	enough := all
	for _, name := range all {
		fewer := slices.DeleteFunc(slices.Clone(enough), func(s string) bool { return s == name })
		if !slices.Contains(named, name) && need.SatisfiedBy(scope.Of(fewer...)) {
			enough = fewer
		}
	}
	return enough
}

func TestExercisedIsAsDefined(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	all := []string{"a", "b", "c", "d:x", "d:y", "d:*", "e", "root"}
	pick := func(most int) []string {
		names := slices.Clone(all)
		random.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		return names[:1+random.IntN(most)]
	}
	policies := []scope.Policy{{}, {Separator: ":"}, {Separator: ":", Implies: map[string][]string{"root": {"a", "d:*", "e"}, "e": {"b", "c"}, "b": {"d:x"}}}}
	var build func(depth int) scope.Requirement
	build = func(depth int) scope.Requirement {
		var r scope.Requirement
		switch random.IntN(3) {
		case 0:
			r = scope.All(pick(3)...)
		case 1:
			r = scope.Any(pick(3)...)
		default:
			if depth == 0 {
				return scope.Any(pick(2)...)
			}
			combine := scope.AllOf
			if random.IntN(2) == 0 {
				combine = scope.AnyOf
			}
			r = combine(build(depth-1), build(depth-1))
		}
		return compile(t, policies[random.IntN(len(policies))], r)
	}
	satisfied := 0
	for range 20_000 {
		need, granted := build(2), scope.Of(pick(len(all))...)
		want := exercised(granted, need)
		require.Equal(t, want, need.Exercised(granted), "%v of %v", need, granted)
		if want != nil {
			satisfied++
		}
	}
	require.Greater(t, satisfied, 5000)
}

func BenchmarkExercised(b *testing.B) {
	for _, n := range []int{1, 10, 100} {
		p := scope.Policy{Separator: ":"}
		granted := make([]string, n)
		for i := range granted {
			granted[i] = fmt.Sprintf("svc%03d:*", i)
		}
		set := scope.Of(granted...)
		need, err := p.Compile(scope.All(fmt.Sprintf("svc%03d:read", n/2)))
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				need.Exercised(set)
			}
		})
	}
}
