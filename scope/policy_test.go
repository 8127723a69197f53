package scope_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bearergate/bearergate/scope"
	"github.com/stretchr/testify/require"
)

func compile(t *testing.T, p scope.Policy, r scope.Requirement) scope.Requirement {
	t.Helper()
	compiled, err := p.Compile(r)
	require.NoError(t, err)
	require.NoError(t, compiled.Err())
	return compiled
}

var orders = scope.Policy{
	Separator: ":",
	Implies: map[string][]string{
		"orders:admin": {"orders:read", "orders:write"},
		"staff":        {"orders:admin", "billing:*"},
		"root":         {"*", "staff"},
		"*":            {"everything"},
		"auditor":      {"orders:read", "orders:read"},
		"guest":        nil,
	},
}

// attacks: SCP-017
func TestPolicyTruth(t *testing.T) {
	for _, tc := range []struct {
		need string
		by   string // satisfied by any one of these
		not  string
	}{
		{"orders:read", "orders:read orders:admin orders:* staff root auditor",
			"orders:write orders * :* *:read *:* orders: orders:re* orders:r orders:** orders:*:* orders.* orders/* Orders:* ORDERS:READ orders:a:* orders:rea orders:reads billing:* billing:read guest everything"},
		{"orders:write", "orders:write orders:admin orders:* staff root", "orders:read auditor * guest"},
		{"orders:admin", "orders:admin orders:* staff root", "orders:read orders:write auditor *"},
		{"orders:a:b", "orders:a:b orders:a:*", "orders:* orders:a orders:*:b orders:*:* * orders:a:b:* staff root"},
		{"orders", "orders", "orders:* * orders:read orders:admin root"},
		{"orders:", "orders:", "orders:* orders *"},
		{"orders::", "orders::", "orders::* orders:* *"},
		{"orders::x", "orders::x orders::*", "orders:* *"},
		{":read", ":read", ":* * *:*"},
		{"::read", "::read ::*", ":* * *:*"},
		{":", ":", ":* *"},
		{"*", "* root", "orders:* *:* :* staff"},
		{"orders:*", "orders:*", "orders:read orders:admin * staff orders:*:*"},
		{"orders:*:*", "orders:*:*", "orders:* *"},
		{"orders:*:x", "orders:*:x orders:*:*", "orders:* orders:x:*"},
		{"billing:pay", "billing:pay billing:* staff root", "billing:pay:* orders:*"},
		{"billing:*", "billing:* staff root", "billing:pay orders:*"},
		{"billing:a:b", "billing:a:b billing:a:*", "billing:* staff"},
		{"everything", "everything * root", "staff orders:*"},
		{"staff", "staff root", "orders:admin *"},
		{"guest", "guest", "root *"},
	} {
		r := compile(t, orders, scope.All(tc.need))
		for name := range strings.SplitSeq(tc.by, " ") {
			require.True(t, r.SatisfiedBy(scope.Of(name)), "%s by %s", tc.need, name)
			require.True(t, r.SatisfiedBy(scope.Of("x", name, "y")), "%s by %s", tc.need, name)
		}
		for name := range strings.SplitSeq(tc.not, " ") {
			require.False(t, r.SatisfiedBy(scope.Of(name)), "%s by %s", tc.need, name)
		}
		require.False(t, r.SatisfiedBy(scope.Set{}))
		require.False(t, r.SatisfiedBy(scope.Of(strings.Split(tc.not, " ")...)), tc.need)
	}
}

func TestPolicyKeepsTheAlgebra(t *testing.T) {
	r := compile(t, orders, scope.AllOf(scope.All("orders:read", "orders:write"), scope.AnyOf(scope.All("a:x", "b:x"), scope.Any("everything"))))
	for granted, want := range map[string]bool{
		"staff":                           false,
		"staff a:*":                       false,
		"staff a:* b:x":                   true,
		"staff *":                         true,
		"root":                            true,
		"orders:* everything":             true,
		"auditor everything":              false,
		"auditor orders:write everything": true,
	} {
		require.Equal(t, want, r.SatisfiedBy(scope.Of(strings.Split(granted, " ")...)), granted)
	}
	require.Equal(t, []string{"orders:read", "orders:write", "a:x", "b:x", "everything"}, r.Scopes())
	require.Equal(t, "orders:read and orders:write and ((a:x and b:x) or everything)", r.String())
}

func TestPolicyOffByDefault(t *testing.T) {
	for _, r := range []scope.Requirement{
		scope.All("orders:read"),
		compile(t, scope.Policy{}, scope.All("orders:read")),
		compile(t, scope.Policy{Separator: "/"}, scope.All("orders:read")),
		compile(t, scope.Policy{Implies: map[string][]string{"staff": {"x"}}}, scope.All("orders:read")),
	} {
		require.True(t, r.SatisfiedBy(scope.Of("orders:read")))
		require.False(t, r.SatisfiedBy(scope.Of("orders:*", "*", "orders:admin", "staff", "orders")))
	}
	// Implication alone brings no wildcards, and wildcards alone no implication.
	r := compile(t, scope.Policy{Implies: map[string][]string{"a:*": {"x:y"}}}, scope.Any("x:y"))
	require.True(t, r.SatisfiedBy(scope.Of("a:*")))
	require.False(t, r.SatisfiedBy(scope.Of("x:*", "a:b")))
	require.Equal(t, zero, compile(t, orders, zero))
}

// A policy stays with what was compiled under it, alone or inside of something.
func TestPolicyNests(t *testing.T) {
	colon, slash := scope.Policy{Separator: ":"}, scope.Policy{Separator: "/"}
	a, b, c := compile(t, colon, scope.All("a:x")), compile(t, slash, scope.All("b/x")), compile(t, scope.Policy{}, scope.All("c:x"))
	all := scope.AllOf(a, b, c)
	require.NoError(t, all.Err())
	require.True(t, all.SatisfiedBy(scope.Of("a:*", "b/*", "c:x")))
	for _, r := range []scope.Requirement{all, compile(t, slash, all), compile(t, colon, all), compile(t, colon, compile(t, slash, all))} {
		require.True(t, r.SatisfiedBy(scope.Of("a:*", "b/*", "c:x")))
		require.False(t, r.SatisfiedBy(scope.Of("a:*", "b/*", "c:*")), "pinned")
		require.False(t, r.SatisfiedBy(scope.Of("a/*", "b:*", "c:x")))
		require.Equal(t, []string{"a:x", "b/x", "c:x"}, r.Scopes())
	}
	// What is new beside it gets the new one.
	r := compile(t, slash, scope.AllOf(a, scope.All("d/x")))
	require.True(t, r.SatisfiedBy(scope.Of("a:*", "d/*")))
}

func TestPolicyMistakes(t *testing.T) {
	good := scope.All("orders:read")
	implies := func(m map[string][]string) scope.Policy { return scope.Policy{Implies: m, Separator: ":"} }
	for name, tc := range map[string]struct {
		p     scope.Policy
		r     scope.Requirement
		says  []string
		count int
	}{
		"separators":    {scope.Policy{Separator: "::"}, good, []string{"Separator", `"::"`}, 1},
		"star":          {scope.Policy{Separator: "*"}, good, []string{"Separator"}, 1},
		"brace":         {scope.Policy{Separator: "{"}, good, []string{"Separator"}, 1},
		"brace 2":       {scope.Policy{Separator: "}"}, good, []string{"Separator"}, 1},
		"letter":        {scope.Policy{Separator: "a"}, good, []string{"Separator"}, 1},
		"digit":         {scope.Policy{Separator: "0"}, good, []string{"Separator"}, 1},
		"space":         {scope.Policy{Separator: " "}, good, []string{"Separator"}, 1},
		"quote":         {scope.Policy{Separator: `"`}, good, []string{"Separator"}, 1},
		"not ASCII":     {scope.Policy{Separator: "·"}, good, []string{"Separator"}, 1},
		"control":       {scope.Policy{Separator: "\x00"}, good, []string{"Separator"}, 1},
		"itself":        {implies(map[string][]string{"a": {"a"}}), good, []string{`["a" "a"]`}, 1},
		"two":           {implies(map[string][]string{"a": {"b"}, "b": {"a"}}), good, []string{`["a" "b" "a"]`}, 1},
		"three":         {implies(map[string][]string{"x": {"b"}, "b": {"y", "c"}, "c": {"d", "z"}, "d": {"b"}}), good, []string{`["b" "c" "d" "b"]`}, 1},
		"two cycles":    {implies(map[string][]string{"a": {"b"}, "b": {"a"}, "c": {"d"}, "d": {"c", "a"}}), good, []string{`["a" "b" "a"]`, `["c" "d" "c"]`}, 2},
		"wild cycle":    {implies(map[string][]string{"a:*": {"b:*"}, "b:*": {"a:*"}}), good, []string{`["a:*" "b:*" "a:*"]`}, 1},
		"names":         {implies(map[string][]string{"a b": {"c", ""}, "": {"\t"}}), good, []string{`Implies["a b"]: byte 0x20`, `Implies["a b"]: name 2`, `Implies[""]: empty name`, `Implies[""]: name 1: "\t": byte 0x09`}, 4},
		"no name":       {implies(map[string][]string{"a": {"* "}}), good, []string{`Implies["a"]: name 1: "* ": byte 0x20`, "mend the name, or take it out"}, 1},
		"templates":     {implies(map[string][]string{"admin": {"doc:{id}", "x}"}, "x:{y}": {"z"}}), good, []string{`Implies["admin"]: name 1: "doc:{id}": braces: a template cannot be implied: name the wildcard that covers it`, `Implies["admin"]: name 2: "x}": braces`, `Implies["x:{y}"]: braces`}, 3},
		"no wildcards":  {implies(map[string][]string{"admin": {"*", "*:read", "a:*:b", "a:b*", ":*", "a.*"}}), good, []string{"name 1", "name 2", "name 3", "name 4", "name 5", "name 6", "no wildcard"}, 6},
		"no separator":  {scope.Policy{Implies: map[string][]string{"admin": {"a:*"}}}, good, []string{`"a:*"`, "set Separator"}, 1},
		"requirement":   {orders, scope.All("a b"), []string{"0x20"}, 1},
		"template":      {orders, scope.Template("{id}"), []string{"{id}"}, 1},
		"all of it":     {scope.Policy{Separator: "x", Implies: map[string][]string{"a": {"a", ""}}}, scope.All(), []string{"Separator", "name 2", `["a" "a"]`, "All()"}, 4},
		"zero, policy":  {scope.Policy{Separator: "x"}, zero, []string{"Separator"}, 1},
		"deep, unfound": {implies(map[string][]string{"a": {"b"}, "b": {"c"}, "c": {"c"}}), scope.AnyOf(good, scope.Template("doc:{id}")), []string{`["c" "c"]`}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := tc.p.Compile(tc.r)
			require.Error(t, err)
			require.Equal(t, err, r.Err())
			for _, says := range tc.says {
				require.ErrorContains(t, err, says)
			}
			require.Len(t, strings.Split(err.Error(), "\n"), tc.count, err)
			require.Equal(t, tc.r.Scopes(), r.Scopes())
			require.Equal(t, "invalid", r.String())
			granted := scope.Of("a", "b", "orders:read", "orders:*", "*", "staff", "doc:1", "doc:{id}")
			for _, r := range []scope.Requirement{r, scope.AllOf(r), scope.AnyOf(good, r), r.Bind(func(string) (string, bool) { return "1", true })} {
				require.False(t, r.SatisfiedBy(granted))
				require.False(t, r.SatisfiedBy(scope.Set{}))
				require.Error(t, r.Err())
				again, err := scope.Policy{}.Compile(r)
				require.Error(t, err)
				require.False(t, again.SatisfiedBy(granted))
			}
		})
	}
	// These look like mistakes and are none.
	for _, p := range []scope.Policy{
		{Implies: map[string][]string{"orders:admin": {"orders:*"}}, Separator: ":"}, // covers itself
		{Implies: map[string][]string{"a": {"b", "c"}, "b": {"d"}, "c": {"d"}}},      // two ways, no cycle
		{Implies: map[string][]string{"a": {}, "b": nil}},
		{Implies: map[string][]string{"root": {"*"}, "*": nil}},
	} {
		_, err := p.Compile(good)
		require.NoError(t, err)
	}
	for c := byte('!'); c <= '~'; c++ {
		letter := c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		_, err := scope.Policy{Separator: string(c)}.Compile(good)
		require.Equal(t, !letter && !strings.ContainsRune("*{}\"\\", rune(c)), err == nil, "%q", c)
	}
}

// The policy may be changed once Compile has returned, and what Compile was
// given stays what it was.
func TestPolicyIsCopied(t *testing.T) {
	p := scope.Policy{Implies: map[string][]string{"admin": {"read", "write", "doc:*"}}, Separator: ":"}
	plain, template := scope.All("read"), scope.Template("doc:{id}")
	need := scope.AllOf(plain, template)
	r := compile(t, p, need)
	p.Implies["admin"][0], p.Implies["admin"][2] = "x", "x"
	p.Implies["mallory"] = []string{"read", "doc:*"}
	delete(p.Implies, "admin")
	p.Separator = "/"
	bound := r.Bind(func(string) (string, bool) { return "1", true })
	require.True(t, bound.SatisfiedBy(scope.Of("admin")))
	require.False(t, bound.SatisfiedBy(scope.Of("mallory")))
	require.False(t, r.SatisfiedBy(scope.Of("admin")), "not bound")
	require.False(t, plain.SatisfiedBy(scope.Of("admin")), "not compiled")
	again := need.Bind(func(string) (string, bool) { return "1", true })
	require.False(t, again.SatisfiedBy(scope.Of("read", "doc:*")))
	require.True(t, again.SatisfiedBy(scope.Of("read", "doc:1")))
	bound.Scopes()[0] = "changed"
	require.Equal(t, []string{"read", "doc:1"}, bound.Scopes())
}

// One compiled requirement serves all requests at once.
func TestPolicyConcurrently(t *testing.T) {
	r := compile(t, orders, scope.AllOf(scope.All("orders:read"), scope.Template("billing:{id}")))
	granted := scope.Of("staff", "x", "y")
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 200 {
				id := fmt.Sprint(i, "-", j)
				bound := r.Bind(func(string) (string, bool) { return strings.ReplaceAll(id, " ", ""), true })
				if !bound.SatisfiedBy(granted) || r.SatisfiedBy(granted) || len(r.Scopes()) != 1 || len(bound.Scopes()) != 2 {
					t.Error("wrong for", id)
				}
			}
		})
	}
	wg.Wait()
}

// covers is the wildcard rule, said in another way than the code says it.
func covers(wildcard, name, separator string) bool {
	if separator == "" {
		return false
	}
	w, n := strings.Split(wildcard, separator), strings.Split(name, separator)
	last := len(w) - 1
	return len(w) == len(n) && last > 0 && w[last] == "*" && n[last] != "" &&
		slices.Equal(w[:last], n[:last]) && strings.Join(w[:last], separator) != ""
}

// expand adds to the granted names what they stand for, among the names of the
// vocabulary, until nothing is left to add.
func expand(p scope.Policy, vocabulary, granted []string) map[string]bool {
	has := map[string]bool{}
	for _, name := range granted {
		has[name] = true
	}
	for before := -1; before != len(has); {
		before = len(has)
		for name := range maps.Clone(has) {
			for _, implied := range p.Implies[name] {
				has[implied] = true
			}
			for _, other := range vocabulary {
				if covers(name, other, p.Separator) {
					has[other] = true
				}
			}
		}
	}
	return has
}

func TestPolicyAgainstReference(t *testing.T) {
	clock := uint64(time.Now().UnixNano())
	t.Logf("seed %d", clock)
	r := rand.New(rand.NewPCG(clock, 0))
	var satisfied, refused, widened int
	for range 1000 {
		separator := []string{"", ":", ":", ":", "/", "."}[r.IntN(6)]
		glue := separator
		if glue == "" || r.IntN(8) == 0 {
			glue = ":"
		}
		parts := []string{"a", "a", "b", "b", "c", "*", "*", "", "a*"}
		vocabulary := []string{}
		for len(vocabulary) < 20 {
			name := make([]string, 1+r.IntN(3))
			for i := range name {
				name[i] = parts[r.IntN(len(parts))]
			}
			if joined := strings.Join(name, glue); joined != "" && !slices.Contains(vocabulary, joined) {
				vocabulary = append(vocabulary, joined)
			}
		}
		p := scope.Policy{Separator: separator, Implies: map[string][]string{}}
		for range r.IntN(20) { // forward only: no cycles
			from := r.IntN(len(vocabulary) - 1)
			to := from + 1 + r.IntN(len(vocabulary)-from-1)
			p.Implies[vocabulary[from]] = append(p.Implies[vocabulary[from]], vocabulary[to])
			if strings.Contains(vocabulary[to], "*") && p.Implies[vocabulary[to]] == nil {
				p.Implies[vocabulary[to]] = []string{} // meant as it is
			}
		}
		var build func(depth int) (scope.Requirement, func(map[string]bool) bool)
		build = func(depth int) (scope.Requirement, func(map[string]bool) bool) {
			anyOne := r.IntN(2) == 0
			n := 1 + r.IntN(3)
			truths := make([]func(map[string]bool) bool, n)
			truth := func(has map[string]bool) bool {
				for _, t := range truths {
					if t(has) == anyOne {
						return anyOne
					}
				}
				return !anyOne
			}
			if depth == 0 {
				names := make([]string, n)
				for i := range names {
					name := vocabulary[r.IntN(len(vocabulary))]
					names[i] = name
					truths[i] = func(has map[string]bool) bool { return has[name] }
				}
				if anyOne {
					return scope.Any(names...), truth
				}
				return scope.All(names...), truth
			}
			rs := make([]scope.Requirement, n)
			for i := range rs {
				rs[i], truths[i] = build(depth - 1)
			}
			if anyOne {
				return scope.AnyOf(rs...), truth
			}
			return scope.AllOf(rs...), truth
		}
		plain, truth := build(r.IntN(3))
		require.NoError(t, plain.Err())
		compiled := compile(t, p, plain)
		twice := compile(t, p, scope.AllOf(compiled))
		require.Equal(t, plain.Scopes(), compiled.Scopes())
		require.True(t, compiled.SatisfiedBy(scope.Of(plain.Scopes()...)))
		// A template that becomes one of the names is that name.
		target := vocabulary[r.IntN(len(vocabulary))]
		bound, whole := boundTo(t, p, target, glue)
		for range 20 {
			var granted []string
			for range r.IntN(6) {
				granted = append(granted, vocabulary[r.IntN(len(vocabulary))])
			}
			set, has := scope.Of(granted...), expand(p, vocabulary, granted)
			want := truth(has)
			require.Equal(t, want, compiled.SatisfiedBy(set), "%+v: %v by %q", p, plain, granted)
			require.Equal(t, want, twice.SatisfiedBy(set))
			exact := truth(expand(scope.Policy{}, nil, granted))
			require.Equal(t, exact, plain.SatisfiedBy(set))
			if whole {
				require.Equal(t, has[target], bound.SatisfiedBy(set), "%+v: template of %v by %q", p, target, granted)
			}
			switch {
			case want && !exact:
				widened++
			case want:
				satisfied++
			default:
				refused++
			}
			if exact {
				require.True(t, want, "a policy only widens")
			}
		}
	}
	t.Logf("%d satisfied, %d more under the policy, %d refused", satisfied, widened, refused)
	require.Greater(t, satisfied, 500)
	require.Greater(t, widened, 500)
	require.Greater(t, refused, 2000)
}

// boundTo makes name out of a template under p, if it has a part that can be a value.
func boundTo(t *testing.T, p scope.Policy, name, glue string) (scope.Requirement, bool) {
	parts := strings.Split(name, glue)
	for i, part := range parts {
		pattern := slices.Clone(parts)
		pattern[i] = "{x}"
		r := scope.Template(strings.Join(pattern, glue))
		if strings.Contains(part, "*") || part == "" || r.Err() != nil {
			continue
		}
		r = compile(t, p, r).Bind(func(string) (string, bool) { return part, true })
		require.Equal(t, []string{name}, r.Scopes())
		return r, true
	}
	return scope.Requirement{}, false
}

func TestCompiledAllocatesNothing(t *testing.T) {
	names := sized(30)
	r := compile(t, benchPolicy(30), scope.AllOf(scope.All(pick(names)...), scope.Template("service02:read:{id}")))
	bound := r.Bind(func(string) (string, bool) { return "42", true })
	for granted, want := range map[string][2]bool{
		strings.Join(names, " "):  {false, false},
		"staff service02:read:*":  {false, true},
		"service02:read:42 staff": {false, true},
	} {
		set, err := scope.Parse(granted)
		require.NoError(t, err)
		for i, r := range []scope.Requirement{r, bound} {
			require.Equal(t, want[i], r.SatisfiedBy(set))
			require.Zero(t, testing.AllocsPerRun(100, func() { r.SatisfiedBy(set) }))
		}
	}
}

func ExamplePolicy_Compile() {
	policy := scope.Policy{
		Implies:   map[string][]string{"orders:admin": {"orders:read", "orders:write"}},
		Separator: ":",
	}
	need, err := policy.Compile(scope.All("orders:read"))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, granted := range []string{"orders:read", "orders:admin", "orders:*", "orders:write", "*"} {
		fmt.Println(granted, need.SatisfiedBy(scope.Of(granted)))
	}
	fmt.Println("a challenge asks for", need.Scopes())
	// Output:
	// orders:read true
	// orders:admin true
	// orders:* true
	// orders:write false
	// * false
	// a challenge asks for [orders:read]
}

func ExamplePolicy_Compile_cycle() {
	policy := scope.Policy{Implies: map[string][]string{"admin": {"editor"}, "editor": {"admin"}}}
	need, err := policy.Compile(scope.All("admin"))
	fmt.Println(err)
	fmt.Println(need.SatisfiedBy(scope.Of("admin"))) // a mistake closes the route
	// Output:
	// scope: Policy.Implies: a cycle, whose names would all mean the same: ["admin" "editor" "admin"]: remove one of these steps
	// false
}
