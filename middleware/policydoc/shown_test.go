package policydoc_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/middleware/policydoc"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/stretchr/testify/require"
)

// samples has one for every exported function of package middleware that returns a
// RouteOption.
var samples = map[string]middleware.RouteOption{
	"Recheck":        middleware.Recheck(time.Minute),
	"StepUp":         middleware.StepUp([]string{"mfa"}, time.Minute),
	"AuthContext":    middleware.AuthContext("c1"),
	"Via":            middleware.Via(kit.Granting()),
	"Bound":          middleware.Bound(),
	"Roles":          middleware.Roles("clerk"),
	"Tenant":         middleware.Tenant(func(*http.Request) string { return "acme" }),
	"Audience":       middleware.Audience("https://pay.example"),
	"Delegation":     middleware.Delegation(bearergate.Delegation{AllowDirect: true}),
	"Allow":          middleware.Allow(func(*http.Request, *bearergate.Token) error { return nil }),
	"Once":           middleware.Once(store{}),
	"Trial":          middleware.Trial(scope.All("read:all"), nil),
	"CancelOnExpiry": middleware.CancelOnExpiry(),
}

// Whoever adds an option has to show it: what a route demands and no document says,
// no review can miss.
func TestEveryOptionIsShown(t *testing.T) {
	require.Equal(t, options(t), slices.Sorted(maps.Keys(samples)), "an option of package middleware has no sample here, or the sample no option")
	type shown struct {
		Route     middleware.Route
		Markdown  string
		Operation string
	}
	show := func(opts ...middleware.RouteOption) shown {
		rt := newRouter(t, middleware.Config{Bindings: []bearergate.Binding{binding{}}})
		rt.Group("/group", scope.Requirement{}, opts...).Handle("GET /x", scope.All("read"), kit.Says(""))
		kit.Built(t, rt)
		routes := rt.Routes()
		document, err := policydoc.OpenAPI(routes)
		require.NoError(t, err)
		var parsed struct {
			Paths map[string]map[string]json.RawMessage
		}
		require.NoError(t, json.Unmarshal(document, &parsed))
		lines := strings.Split(policydoc.Markdown(routes), "\n")
		require.Len(t, lines, 4, "a header, the route, and the end of its line")
		return shown{routes[0], lines[2], string(parsed.Paths["/group/x"]["get"])}
	}
	bare := show()
	for name, sample := range samples {
		t.Run(name, func(t *testing.T) {
			with := show(sample)
			require.NotEqual(t, bare.Route, with.Route, "no field of middleware.Route shows it")
			require.NotEqual(t, bare.Markdown, with.Markdown, "Markdown does not show it")
			require.NotEqual(t, bare.Operation, with.Operation, "OpenAPI does not show it")

			// HEAD without it is a way around it, and the Router says so.
			rt := newRouter(t, middleware.Config{Bindings: []bearergate.Binding{binding{}}})
			rt.Authenticated("GET /x", kit.Says(""), sample)
			rt.Authenticated("HEAD /x", kit.Says(""))
			_, err := rt.Handler()
			require.ErrorContains(t, err, "HEAD has another policy", "two routes are the same although one lacks it")
		})
	}
}

// options returns the names of the functions of package middleware that make a
// RouteOption, sorted.
func options(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../*.go")
	require.NoError(t, err)
	var names []string
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Recv != nil || !f.Name.IsExported() || f.Type.Results == nil {
				continue
			}
			for _, result := range f.Type.Results.List {
				if makesOption(result.Type) {
					names = append(names, f.Name.Name)
				}
			}
		}
	}
	slices.Sort(names)
	return names
}

// makesOption reports whether the type of a result is RouteOption or made of it.
func makesOption(result ast.Expr) (found bool) {
	ast.Inspect(result, func(n ast.Node) bool {
		name, ok := n.(*ast.Ident)
		found = found || ok && name.Name == "RouteOption"
		return !found
	})
	return found
}
