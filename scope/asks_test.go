package scope_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate/scope"
)

func TestAsks(t *testing.T) {
	policy := scope.Policy{Separator: ":", Implies: map[string][]string{"admin": {"orders:*"}, "root": {"admin"}, "clerk": {"doc:7:read"}, "archivist": {"doc:*"}}}
	compiled := func(r scope.Requirement) scope.Requirement {
		out, err := policy.Compile(r)
		require.NoError(t, err)
		return out
	}
	for _, tt := range []struct {
		name string
		need scope.Requirement
		yes  []string
		no   []string
	}{
		{name: "nothing", no: []string{"read", ""}},
		{name: "a mistake", need: scope.All("a b"), no: []string{"a", "a b"}},
		{name: "one of several", need: scope.AllOf(scope.All("read"), scope.AnyOf(scope.Any("a", "b"), scope.All("c"))), yes: []string{"read", "a", "b", "c"}, no: []string{"d", "rea", "read "}},
		{name: "no policy", need: scope.All("orders:read"), yes: []string{"orders:read"}, no: []string{"orders:*", "admin"}},
		{name: "a policy", need: compiled(scope.All("orders:read")), yes: []string{"orders:read", "orders:*", "admin", "root"}, no: []string{"orders:write", "clerk", "*"}},
		{name: "a template", need: scope.Template("doc:{id}"), yes: []string{"doc:7", "doc:x-y"}, no: []string{"doc:", "doc", "doc:*", "doc:7:8", "doc:a/b", "xdoc:7", "archivist"}},
		{name: "two placeholders", need: scope.Template("doc:{tenant}:{id}"), yes: []string{"doc:a:7"}, no: []string{"doc:a", "doc:a:7:8", "doc::7", "doc:a:"}},
		{name: "something behind", need: scope.Template("doc:{id}:read"), yes: []string{"doc:7:read"}, no: []string{"doc:7:write", "doc:7:reader", "doc:read"}},
		{name: "a template with a policy", need: compiled(scope.Template("doc:{id}")), yes: []string{"doc:7", "doc:*", "archivist"}, no: []string{"doc:", "orders:*", "clerk", ":*", "*"}},
		{name: "a template of three parts with a policy", need: compiled(scope.Template("doc:{id}:read")), yes: []string{"doc:7:read", "doc:7:*", "clerk"}, no: []string{"doc:*", "doc:*:read", "archivist", "doc:7:write"}},
		{name: "a template without the separator", need: compiled(scope.Template("doc.{id}")), yes: []string{"doc.7"}, no: []string{"doc:*", "doc.*"}},
		{name: "a template that is filled", need: compiled(scope.Template("doc:{id}")).Bind(func(string) (string, bool) { return "7", true }), yes: []string{"doc:7", "doc:*"}, no: []string{"doc:8"}},
	} {
		for _, name := range tt.yes {
			require.True(t, tt.need.Asks(name), "%s: %s", tt.name, name)
		}
		for _, name := range tt.no {
			require.False(t, tt.need.Asks(name), "%s: %s", tt.name, name)
		}
	}
}

// Whatever satisfies a requirement for some value, alone or beside others, is asked for.
func TestWhatSatisfiesIsAskedFor(t *testing.T) {
	policy := scope.Policy{Separator: ":", Implies: map[string][]string{"admin": {"a:*"}, "root": {"admin", "a:b:*"}}}
	names := []string{"a", "b", "a:b", "a:c", "a:*", "a:b:c", "a:b:*", "a:b:d", "b:a", "admin", "root", "a:b:c:d"}
	for _, pattern := range []string{"a:{x}", "a:{x}:{y}", "{x}:b", "a:b:{x}", "a:{x}:c"} {
		for _, need := range []scope.Requirement{scope.Template(pattern), func() scope.Requirement {
			r, err := policy.Compile(scope.Template(pattern))
			require.NoError(t, err)
			return r
		}()} {
			opens := map[string]bool{}
			for _, x := range []string{"a", "b", "c", "d"} {
				for _, y := range []string{"a", "b", "c", "d"} {
					bound := need.Bind(func(name string) (string, bool) {
						if name == "x" {
							return x, true
						}
						return y, true
					})
					for _, name := range names {
						opens[name] = opens[name] || bound.SatisfiedBy(scope.Of(name))
					}
				}
			}
			for _, name := range names {
				require.Equal(t, opens[name], need.Asks(name), "%s: %s", pattern, name)
			}
			require.True(t, slices.ContainsFunc(names, need.Asks), pattern)
		}
	}
}
