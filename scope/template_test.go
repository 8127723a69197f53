package scope_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/bearergate/bearergate/scope"
	"github.com/stretchr/testify/require"
)

// values answers from pairs of names and values.
func values(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

func TestTemplate(t *testing.T) {
	for _, tc := range []struct {
		pattern string
		bind    []string
		scope   string
	}{
		{"document:read:{id}", []string{"id", "42"}, "document:read:42"},
		{"document:{id}:read", []string{"id", "42", "other", "x"}, "document:42:read"},
		{"{tenant}:orders", []string{"tenant", "acme"}, "acme:orders"},
		{"t/{tenant}/doc/{_id2}.read", []string{"tenant", "acme", "_id2", "a-b"}, "t/acme/doc/a-b.read"},
		{"x:{a}:{a}", []string{"a", "1"}, "x:1:1"},
		{"doc-{id}", []string{"id", "a.b_c~d"}, "doc-a.b_c~d"},
		{"https://api.example.com/doc-read/{id}", []string{"id", "0b5c-4f.pdf"}, "https://api.example.com/doc-read/0b5c-4f.pdf"},
		{"doc:{ID}:{id}", []string{"ID", "1", "id", "2"}, "doc:1:2"},
		{"doc:*:{id}", []string{"id", "1"}, "doc:*:1"},
		{"doc:{id}!", []string{"id", strings.Repeat("x", 256)}, "doc:" + strings.Repeat("x", 256) + "!"},
	} {
		r := scope.Template(tc.pattern)
		require.NoError(t, r.Err(), tc.pattern)
		require.Nil(t, r.Scopes())
		require.Equal(t, tc.pattern, r.String())
		all := scope.Of(tc.scope, tc.pattern, "*", "document:read:*", "42", "document:read", "acme")
		require.False(t, r.SatisfiedBy(all), "not bound")
		bound := r.Bind(values(tc.bind...))
		require.NoError(t, bound.Err())
		require.Equal(t, []string{tc.scope}, bound.Scopes())
		require.Equal(t, tc.scope, bound.String())
		require.Nil(t, bound.Placeholders())
		require.True(t, bound.SatisfiedBy(scope.Of(tc.scope)))
		require.False(t, bound.SatisfiedBy(scope.Of(tc.pattern, "*", "document:read:*", "42", "document:read", "document:read:421", "document:read:4", "Document:read:42", "acme")))
		require.Equal(t, bound, bound.Bind(values("id", "43")), "bound once and for all")
		require.False(t, r.SatisfiedBy(all), "the template is as before")
		// Bound is final: no policy reaches it.
		late := compile(t, scope.Policy{Separator: ":", Implies: map[string][]string{"root": {tc.scope}, tc.scope: nil}}, bound)
		require.False(t, late.SatisfiedBy(scope.Of("document:read:*", "root")))
		require.True(t, late.SatisfiedBy(scope.Of(tc.scope)))
	}
}

// What arrives in a path is data: it cannot reach for another scope.
func TestTemplateValues(t *testing.T) {
	for _, tc := range []struct {
		pattern string
		refused []string
		fine    []string
	}{
		{"document:read:{id}",
			[]string{"", "a read", " ", "a\tb", "a\nb", "é", "\xff", "\x00", "\x7f", `a"b`, `a\b`, "..", ".", "../1", "1/..", "/", "a/b", "a:b", ":", ":a", "a:", "*", "a*", "{id}", "{", "}", strings.Repeat("x", 257)},
			[]string{"1", "a.b", "...", "a-b", "a_b", "a~b", "a@b.example", "a+b", "a,b", "a=", "%2f", "a;b", "'", "(a)", "!", "A", "#", "$id", strings.Repeat("x", 256)}},
		{"document-read-{id}", []string{"a-b", "-", "a/b"}, []string{"a:b", "a.b", "a_b"}},
		{"{tenant}.orders:read", []string{"a.b", "a:b"}, []string{"a-b", "a_b"}},
		{"my-service.v1:read,{id}", []string{"a:b", "a,b"}, []string{"a-b", "a.b", "a_b"}},
		{"x:{a}~{b}", []string{"1~2", "1:2"}, []string{"1.2"}},
		{"x:{a}_read", []string{"1_2"}, []string{"1-2"}},
	} {
		r := scope.Template(tc.pattern)
		require.NoError(t, r.Err())
		parts := strings.FieldsFunc(tc.pattern, func(c rune) bool { return c == '{' || c == '}' })
		for i, value := range append(slices.Clone(tc.refused), tc.fine...) {
			refused := i < len(tc.refused)
			built := strings.NewReplacer("{id}", value, "{tenant}", value, "{a}", value, "{b}", "B").Replace(tc.pattern)
			if strings.Contains(tc.pattern, "{b}") && !refused {
				built = strings.Replace(tc.pattern, "{a}", value, 1)
				built = strings.Replace(built, "{b}", "B", 1)
			}
			granted := scope.Of(append(slices.Clone(parts), built, tc.pattern, value, "document:read:", "document:read:*", "document:read:a", "read", "a", "document:read:1")...)
			bound := r.Bind(func(name string) (string, bool) {
				if name == "b" {
					return "B", true
				}
				return value, true
			})
			require.NoError(t, bound.Err(), "the request is wrong, not the route")
			require.Nil(t, bound.Placeholders())
			require.Equal(t, !refused, bound.SatisfiedBy(granted), "%s with %q", tc.pattern, value)
			if refused {
				require.Nil(t, bound.Scopes(), "nothing to ask for")
				require.Equal(t, tc.pattern, bound.String(), "nothing refused comes back")
				again := bound.Bind(values("id", "1", "tenant", "x", "a", "1", "b", "2"))
				require.Equal(t, bound, again, "refused for good")
				late := compile(t, scope.Policy{Separator: ":"}, bound)
				require.False(t, late.SatisfiedBy(granted))
			} else {
				require.Equal(t, []string{built}, bound.Scopes())
			}
		}
	}
}

func TestTemplateUnderPolicy(t *testing.T) {
	p := scope.Policy{Separator: ":", Implies: map[string][]string{
		"documents:admin": {"document:read:*", "document:x"},
		"first":           {"document:read:1", "document:read:1:history"},
		"staff":           {"first"},
		"every":           {"document:read:2"},
	}}
	id := func(v string) func(string) (string, bool) { return values("id", v) }
	r := compile(t, p, scope.Template("document:read:{id}"))
	require.Equal(t, []string{"id"}, r.Placeholders())
	for granted, want := range map[string][2]bool{ // with 1, with 2
		"document:read:1":         {true, false},
		"document:read:2":         {false, true},
		"document:read:*":         {true, true},
		"documents:admin":         {true, true},
		"first":                   {true, false},
		"staff":                   {true, false},
		"every":                   {false, true},
		"document:*":              {false, false},
		"document:read":           {false, false},
		"document:read:{id}":      {false, false},
		"document:read:1:history": {false, false},
		"*":                       {false, false},
	} {
		require.Equal(t, want[0], r.Bind(id("1")).SatisfiedBy(scope.Of(granted)), granted)
		require.Equal(t, want[1], r.Bind(id("2")).SatisfiedBy(scope.Of(granted)), granted)
		require.False(t, r.SatisfiedBy(scope.Of(granted)), "not bound")
	}
	require.Equal(t, []string{"document:read:1"}, r.Bind(id("1")).Scopes())
	require.Nil(t, r.Scopes())
	all := scope.Of("document:read:*", "documents:admin", "document:read:a:b", "document:read:../1", "document:read:a", "staff")
	for _, value := range []string{"*", "a:b", "..", "../1", "", "a read", "{id}"} {
		require.False(t, r.Bind(id(value)).SatisfiedBy(all), value)
	}

	// The placeholder in the middle, and a suffix that looks like a wildcard.
	r = compile(t, p, scope.Template("document:{id}:read")).Bind(id("7"))
	require.True(t, r.SatisfiedBy(scope.Of("document:7:*")))
	require.False(t, r.SatisfiedBy(scope.Of("document:*:read", "document:*", "document:8:*")))
	r = compile(t, p, scope.Template("document:{id}:*")).Bind(id("7"))
	require.True(t, r.SatisfiedBy(scope.Of("document:7:*")))
	require.False(t, r.SatisfiedBy(scope.Of("document:7:x", "document:*")))
	r = compile(t, p, scope.Template("document:{id}")).Bind(id("x"))
	require.True(t, r.SatisfiedBy(scope.Of("documents:admin")))

	// The separator of the policy is refused, though the pattern does not have it.
	slash := scope.Template("doc/{id}")
	require.True(t, slash.Bind(id("a:b")).SatisfiedBy(scope.Of("doc/a:b")))
	r = compile(t, p, slash)
	require.False(t, r.Bind(id("a:b")).SatisfiedBy(scope.Of("doc/a:b", "doc/a:*")))
	require.True(t, r.Bind(id("ab")).SatisfiedBy(scope.Of("doc/ab")))
	require.True(t, slash.Bind(id("a:b")).SatisfiedBy(scope.Of("doc/a:b")), "compiling changes nothing else")
	// A later policy does not replace it.
	r = compile(t, scope.Policy{Separator: "/"}, scope.AllOf(r)).Bind(id("ab"))
	require.False(t, r.SatisfiedBy(scope.Of("doc/*")))
}

func TestBindNests(t *testing.T) {
	doc, tenant := scope.Template("document:read:{id}"), scope.Template("tenant:{t}:{id}")
	r := scope.AllOf(scope.All("api", "v1"), scope.AnyOf(scope.All("admin"), scope.AllOf(doc, tenant)))
	require.NoError(t, r.Err())
	require.Equal(t, []string{"id", "t"}, r.Placeholders())
	require.Equal(t, []string{"api", "v1", "admin"}, r.Scopes())
	require.Equal(t, "api and v1 and (admin or (document:read:{id} and tenant:{t}:{id}))", r.String())
	require.True(t, r.SatisfiedBy(scope.Of("api", "v1", "admin")), "admin is enough, bound or not")
	require.False(t, r.SatisfiedBy(scope.Of("api", "v1", "document:read:1", "tenant:a:1")))

	bound := r.Bind(values("id", "1", "t", "a"))
	require.Nil(t, bound.Placeholders())
	require.Equal(t, []string{"api", "v1", "admin", "document:read:1", "tenant:a:1"}, bound.Scopes())
	require.True(t, bound.SatisfiedBy(scope.Of("api", "v1", "document:read:1", "tenant:a:1")))
	require.False(t, bound.SatisfiedBy(scope.Of("api", "v1", "document:read:1", "tenant:a:2")))
	require.True(t, bound.SatisfiedBy(scope.Of("api", "v1", "admin")))

	// One value missing: that template waits, as a whole.
	half := r.Bind(values("id", "1"))
	require.Equal(t, []string{"t", "id"}, half.Placeholders())
	require.Equal(t, []string{"api", "v1", "admin", "document:read:1"}, half.Scopes())
	require.False(t, half.SatisfiedBy(scope.Of("api", "v1", "document:read:1", "tenant:a:1", "tenant:{t}:1")))
	require.Equal(t, bound.Scopes(), half.Bind(values("id", "1", "t", "a")).Scopes())
	require.True(t, half.Bind(values("id", "1", "t", "a")).SatisfiedBy(scope.Of("api", "v1", "document:read:1", "tenant:a:1")))

	// One value refused: nobody but the admin.
	refused := r.Bind(values("id", "1", "t", "a:b"))
	require.NoError(t, refused.Err())
	require.False(t, refused.SatisfiedBy(scope.Of("api", "v1", "document:read:1", "tenant:a:1", "tenant:a:b:1")))
	require.True(t, refused.SatisfiedBy(scope.Of("api", "v1", "admin")))
	require.Equal(t, []string{"api", "v1", "admin", "document:read:1"}, refused.Scopes())

	// Compiled in parts or as a whole.
	p := scope.Policy{Separator: ":"}
	for _, c := range []scope.Requirement{compile(t, p, r), scope.AllOf(compile(t, p, r)), scope.AnyOf(compile(t, p, scope.AllOf(r)))} {
		c = c.Bind(values("id", "1", "t", "a"))
		require.True(t, c.SatisfiedBy(scope.Of("api", "v1", "document:read:*", "tenant:a:*")))
		require.False(t, c.SatisfiedBy(scope.Of("api", "v1", "document:read:*", "tenant:*")))
		require.Equal(t, bound.Scopes(), c.Scopes())
	}

	// A template is found wherever it stands.
	for _, r := range []scope.Requirement{scope.AnyOf(doc, scope.All("x")), scope.AnyOf(scope.All("x"), doc), scope.AllOf(scope.AnyOf(scope.AllOf(doc), scope.All("x")), scope.Any("d", "x"))} {
		r = scope.AnyOf(compile(t, p, r), scope.All("x"))
		for range 2 {
			require.Equal(t, []string{"id"}, r.Placeholders())
			r = r.Bind(values("t", "a"))
		}
		require.True(t, r.Bind(values("id", "1")).SatisfiedBy(scope.Of("document:read:*", "d")))
	}

	// Nothing to bind.
	plain := scope.AllOf(scope.All("a"), scope.Any("b", "{id}"))
	require.Equal(t, plain, plain.Bind(values("id", "1")))
	require.Nil(t, plain.Placeholders())
	require.True(t, plain.SatisfiedBy(scope.Of("a", "{id}")), "All and Any take braces as they are")
	require.Equal(t, zero, zero.Bind(values("id", "1")))
	require.Nil(t, zero.Placeholders())
	require.Equal(t, "nothing", zero.String())
	require.Equal(t, r, r.Bind(nil))
	require.False(t, doc.Bind(nil).SatisfiedBy(scope.Of("document:read:{id}")))

	// A mistake beside it stays one.
	for _, wrong := range []scope.Requirement{scope.AllOf(doc, scope.All()), scope.AnyOf(doc, zero), scope.AnyOf(scope.Template("{"), doc)} {
		require.Equal(t, "invalid", wrong.String())
		bound := wrong.Bind(values("id", "1"))
		require.Equal(t, wrong.Err(), bound.Err())
		require.Error(t, bound.Err())
		require.False(t, bound.SatisfiedBy(scope.Of("document:read:1")))
	}
}

func TestTemplateMistakes(t *testing.T) {
	for _, tc := range []struct {
		pattern string
		says    []string
		count   int
	}{
		{"", []string{"empty", "no placeholder"}, 1},
		{"orders:read", []string{"no placeholder", "All"}, 1},
		{"doc:{id", []string{"'{' at 4"}, 1},
		{"doc:id}", []string{"'}' at 6"}, 1},
		{"doc:}{", []string{"'}' at 4", "'{' at 5"}, 2},
		{"doc:{a{b}}", []string{"'{' at 4", "'}' at 9"}, 2},
		{"doc:{}", []string{"{}"}, 1},
		{"::", []string{"no placeholder"}, 1}, // and nothing about what surrounds it
		{"doc:{id~", []string{"'{' at 4"}, 1},
		{"doc:{1a}:{9a}", []string{"{1a}", "{9a}"}, 2},
		{"doc:{a-b}:{c.d}:{e...}:{$}", []string{"{a-b}", "{c.d}", "{e...}", "{$}"}, 4},
		{"doc:{a b}:{é}", []string{"0x20", "{a b}", "{é}"}, 3},
		{"doc {id}", []string{"0x20"}, 1},
		{"doc{id}", []string{"{id}", "separator"}, 1},
		{"doc:{id}x", []string{"{id}", "separator"}, 1},
		{"doc:{id}0more", []string{"{id}", "separator"}, 1},
		{"doc:{a}{b}", []string{"{b}", "separator"}, 1},
		{"doc:{a}x{b}", []string{"{a}", "{b}"}, 2},
		{"{id}", []string{"fixed word"}, 1},
		{"{a}:{b}", []string{"fixed word"}, 1},
		{"::{a}-", []string{"fixed word"}, 1},
		{"{a}{b}", []string{"{b}", "fixed word"}, 2},
	} {
		r := scope.Template(tc.pattern)
		err := r.Err()
		require.Error(t, err, tc.pattern)
		if tc.pattern != "" {
			for _, says := range tc.says {
				require.ErrorContains(t, err, says)
			}
		}
		require.Len(t, strings.Split(err.Error(), "\n"), tc.count, err)
		for _, r := range []scope.Requirement{r, r.Bind(func(string) (string, bool) { return "a", true })} {
			require.Error(t, r.Err())
			require.False(t, r.SatisfiedBy(scope.Of(tc.pattern, "a", "a:a", "doca", "doc:a", "doc:aa", "orders:read")))
			require.Nil(t, r.Scopes())
			require.Nil(t, r.Placeholders())
			require.Equal(t, "invalid", r.String())
		}
	}
}

func TestBoundAllocatesNothing(t *testing.T) {
	bound := scope.AnyOf(scope.Template("document:read:{id}"), scope.Template("t:{id}")).Bind(values("id", "1"))
	unbound := scope.Template("document:read:{id}")
	for _, set := range []scope.Set{scope.Of("t:1"), scope.Of("a", "b"), {}, scope.Of(append(sized(30), "document:read:1")...)} {
		for _, r := range []scope.Requirement{bound, unbound} {
			require.Zero(t, testing.AllocsPerRun(100, func() { r.SatisfiedBy(set) }))
		}
	}
	value := func(string) (string, bool) { return "1", true }
	plain := scope.All("a", "b")
	require.Zero(t, testing.AllocsPerRun(100, func() { plain.Bind(value) }), "a route without templates pays nothing")
	// Whatever the request says, what it costs is bounded.
	huge := strings.Repeat("x", 1<<20)
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() { unbound.Bind(func(string) (string, bool) { return huge, true }) }), 3.0)
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() { unbound.Bind(value) }), 5.0)
}

// letters and digits; everything else in a pattern may separate.
func isWord(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

func FuzzTemplate(f *testing.F) {
	for _, seed := range [][4]string{
		{"document:read:{id}", "42", "", ":"},
		{"document:read:{id}", "a read", "", ""},
		{"document:read:{id}", "../1", "", ":"},
		{"document:read:{id}", "*", "", ":"},
		{"a/{x}-{y}:*", "1", "2", "/"},
		{"{x}.{y}.z", "1.2", "3", "."},
		{"doc:{x}{y}", "1", "2", ":"},
		{"doc{x", "", "", ":"},
		{"d:{x}:{x}", "{x}", "x", "*"},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3])
	}
	f.Fuzz(func(t *testing.T, pattern, first, rest, separator string) {
		if len(pattern)+len(first)+len(rest) > 600 {
			t.Skip("the test itself takes the square of it")
		}
		r := scope.Template(pattern)
		holes := r.Placeholders()
		value := func(name string) (string, bool) {
			if name == holes[0] {
				return first, true
			}
			return rest, true
		}
		// What it should become, built another way.
		var pairs []string
		var literals string
		for _, hole := range holes {
			v, _ := value(hole)
			pairs = append(pairs, "{"+hole+"}", v)
		}
		built := strings.NewReplacer(pairs...).Replace(pattern)
		for i := range pairs {
			if i%2 == 1 {
				pairs[i] = ""
			}
		}
		literals = strings.NewReplacer(pairs...).Replace(pattern)

		p := scope.Policy{Separator: separator}
		compiled, err := p.Compile(r)
		if err != nil && r.Err() == nil && separator == "" {
			t.Fatalf("%q: %v", pattern, err)
		}
		all := scope.Of(built, pattern, "*", first, rest, first+"*", literals, literals+"*")
		for i, unbound := range []scope.Requirement{r, compiled} {
			if unbound.SatisfiedBy(all) {
				t.Fatalf("%q is satisfied before it is bound", pattern)
			}
			bound := unbound.Bind(value)
			if (bound.Err() == nil) != (unbound.Err() == nil) {
				t.Fatalf("%q: binding changes Err to %v", pattern, bound.Err())
			}
			if bound.Placeholders() != nil && bound.Err() == nil {
				t.Fatalf("%q: %q left", pattern, bound.Placeholders())
			}
			names := bound.Scopes()
			if unbound.Err() != nil || len(names) == 0 {
				if bound.SatisfiedBy(all) {
					t.Fatalf("%q with %q, %q: satisfied", pattern, first, rest)
				}
				continue
			}
			if len(names) != 1 || names[0] != built || !isScopeToken(built) {
				t.Fatalf("%q with %q, %q: asks for %q, not %q", pattern, first, rest, names, built)
			}
			if !bound.SatisfiedBy(scope.Of(built)) {
				t.Fatalf("%q is not satisfied by %q", pattern, built)
			}
			// Byte for byte, and under the policy by the wildcard that covers it.
			candidates := []string{pattern, "*", first, rest, literals, literals + "*", first + "*", built + "*", wildcardOf(built, separator), wildcardOf(literals, separator)}
			for i := range len(built) {
				near := []byte(built)
				near[i] ^= 1
				candidates = append(candidates, string(near), built[:i], built[i:], built[:i]+"*")
			}
			for _, name := range candidates {
				want := name == built || i == 1 && covers(name, built, separator)
				if got := bound.SatisfiedBy(scope.Of(name)); got != want {
					t.Fatalf("%q under %q by %q: %v", built, separator, name, got)
				}
			}
			// The value brought no separator along.
			for i := range len(literals) {
				c := literals[i]
				beside := strings.Contains(pattern, string(c)+"{") || strings.Contains(pattern, "}"+string(c))
				if (beside || !isWord(c) && !strings.ContainsRune("-._~", rune(c))) && strings.Count(built, string(c)) != strings.Count(literals, string(c)) {
					t.Fatalf("%q with %q, %q: another %q in %q", pattern, first, rest, c, built)
				}
			}
			if strings.Count(built, "/") != strings.Count(literals, "/") || strings.Count(built, "*") != strings.Count(literals, "*") || strings.ContainsAny(built, "{}") {
				t.Fatalf("%q with %q, %q: %q", pattern, first, rest, built)
			}
		}
		if compiled.Err() == nil && separator != "" && len(compiled.Bind(value).Scopes()) > 0 && strings.Count(built, separator) != strings.Count(literals, separator) {
			t.Fatalf("%q with %q, %q under %q: %q", pattern, first, rest, separator, built)
		}
	})
}

func wildcardOf(name, separator string) string {
	if separator == "" {
		return ""
	}
	i := strings.LastIndex(name, separator)
	if i < 0 {
		return ""
	}
	return name[:i] + separator + "*"
}

func ExampleTemplate() {
	need := scope.AnyOf(scope.All("documents:admin"), scope.Template("document:read:{id}"))
	granted := scope.Of("document:read:7")

	for _, id := range []string{"7", "8", "7 documents:admin", "../7"} {
		r := new(http.Request)
		r.SetPathValue("id", id) // as http.ServeMux does for "GET /documents/{id}"
		bound := need.Bind(func(name string) (string, bool) {
			v := r.PathValue(name)
			return v, v != ""
		})
		fmt.Println(bound.SatisfiedBy(granted), bound.Scopes())
	}
	fmt.Println(need.SatisfiedBy(granted), need.Placeholders()) // nothing bound yet
	// Output:
	// true [documents:admin document:read:7]
	// false [documents:admin document:read:8]
	// false [documents:admin]
	// false [documents:admin]
	// false [id]
}
