package middleware_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

var update = flag.Bool("update", false, "write the golden files of this package anew")

// golden compares got with a file. In a service this is the whole test: a change
// of a policy is a line of the diff of that file, which somebody has to approve.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, strings.ReplaceAll(string(want), "\r\n", "\n"), got, "the policy has changed: if that is meant, run go test -update")
}

// policed is a router as a service has it; change makes another one of it.
func policed(t *testing.T, change func(need scope.Requirement) scope.Requirement) *middleware.Router {
	t.Helper()
	rt := newGate(t, granting(), middleware.Config{Resource: "https://api.example.com/v1"}).NewRouter()
	h := forbidden(t)
	rt.Public("GET /health", h)
	rt.Metadata(middleware.Metadata{})
	v1 := rt.Group("/v1", scope.Requirement{})
	v1.Authenticated("GET /me", h)
	v1.Handle("GET /orders", scope.Any("orders:read", "orders:admin"), h)
	v1.Handle("POST /orders", change(scope.All("orders:write", "orders:read")), h)
	v1.Handle("GET /documents/{id}", scope.AnyOf(scope.All("documents:admin"), scope.AllOf(scope.All("documents"), scope.Template("document:read:{id}"))), h)
	v1.Handle("POST /payments", scope.All("pay"), h, middleware.StepUp([]string{"urn:example:mfa", "hw"}, 5*time.Minute))
	v1.Handle("GET /events/{topic...}", scope.All("events"), h, middleware.CancelOnExpiry())
	v1.Handle("/partner/{$}", scope.All("partner|x"), h, middleware.Via(granting()))
	admin := v1.Group("/admin", scope.All("admin"))
	admin.Handle("DELETE /users/{id}", scope.Any("users:delete", "root"), h)
	admin.Authenticated("/", h)
	rt.Optional("GET /news", scope.Requirement{}, h)
	built(t, rt)
	return rt
}

func asIs(need scope.Requirement) scope.Requirement { return need }

func TestRoutesGolden(t *testing.T) {
	routes := policed(t, asIs).Routes()
	golden(t, "testdata/routes.md", middleware.Markdown(routes))
	document, err := middleware.OpenAPI(routes)
	require.NoError(t, err)
	golden(t, "testdata/routes.openapi.json", string(document))
}

// A change of one policy is a change of one line, and of the operation's security.
func TestAPolicyChangeIsAVisibleDiff(t *testing.T) {
	before := policed(t, asIs).Routes()
	for name, change := range map[string]func(scope.Requirement) scope.Requirement{
		"all to any":     func(scope.Requirement) scope.Requirement { return scope.Any("orders:write", "orders:read") },
		"one scope less": func(scope.Requirement) scope.Requirement { return scope.All("orders:write") },
		"another way in": func(need scope.Requirement) scope.Requirement { return scope.AnyOf(need, scope.All("admin")) },
	} {
		after := policed(t, change).Routes()
		old, changed := strings.Split(middleware.Markdown(before), "\n"), strings.Split(middleware.Markdown(after), "\n")
		require.Len(t, changed, len(old))
		differ := 0
		for i := range old {
			if old[i] != changed[i] {
				differ++
				require.Contains(t, changed[i], "| POST | `/v1/orders` |", name)
			}
		}
		require.Equal(t, 1, differ, name)
		a, err := middleware.OpenAPI(before)
		require.NoError(t, err)
		b, err := middleware.OpenAPI(after)
		require.NoError(t, err)
		require.NotEqual(t, string(a), string(b), name)
	}
}

func TestRoutes(t *testing.T) {
	rt := newGate(t, granting(), middleware.Config{}).NewRouter()
	require.Empty(t, rt.Routes())
	acr := []string{"a", "b"}
	rt.Group("h.example/x", scope.All("g")).Handle("POST /{id}", scope.All("read"), says(""), middleware.StepUp(acr, time.Minute), middleware.Via(granting()), middleware.CancelOnExpiry())
	rt.Public("/x/", says(""))
	rt.Public("\tGET", nil) // a mistake, which Handler reports
	rt.Public("PUT \t~h/", says(""))
	routes := rt.Routes()
	require.Len(t, routes, 4)
	require.Equal(t, middleware.Route{Pattern: "\tGET", Host: "GET", Access: middleware.AccessPublic}, routes[0])
	require.Equal(t, middleware.Route{Pattern: "PUT \t~h/", Method: "PUT", Host: "~h", Path: "/", Access: middleware.AccessPublic}, routes[1])
	require.Equal(t, "/x/", routes[2].Pattern)
	require.Equal(t, middleware.AccessPublic, routes[2].Access)
	r := routes[3]
	require.Equal(t, []string{"POST h.example/x/{id}", "POST", "h.example", "/x/{id}"}, []string{r.Pattern, r.Method, r.Host, r.Path})
	require.Equal(t, []string{"g", "read"}, r.Required.Scopes())
	require.Equal(t, middleware.Route{Pattern: r.Pattern, Method: "POST", Host: "h.example", Path: "/x/{id}", Access: middleware.AccessToken, Required: r.Required,
		ACRValues: acr, MaxAge: time.Minute, Via: true, CancelOnExpiry: true}, r)
	r.ACRValues[0] = "changed"
	require.Equal(t, acr, rt.Routes()[3].ACRValues)
}

func TestMarkdownEscapes(t *testing.T) {
	rt := newGate(t, granting(), middleware.Config{}).NewRouter()
	rt.Handle("GET /a`b|c", scope.All("x|y`z", "``"), says(""))
	require.Contains(t, middleware.Markdown(rt.Routes()), "| GET | `` /a`b\\|c `` | token | ``` x\\|y`z and `` ``` |  |\n")
}

// OpenAPI needs the sets of scopes that satisfy a requirement: it is compared
// with trying out every one.
func TestOpenAPISecurity(t *testing.T) {
	securityOf := func(access string, need scope.Requirement) [][]string {
		rt := newGate(t, granting(), middleware.Config{}).NewRouter()
		switch access {
		case "optional":
			rt.Optional("GET /x/{id}", need, says(""))
		case "public":
			rt.Public("GET /x/{id}", says(""))
		case "authenticated":
			rt.Authenticated("GET /x/{id}", says(""))
		default:
			rt.Handle("GET /x/{id}", need, says(""))
		}
		document, err := middleware.OpenAPI(rt.Routes())
		require.NoError(t, err)
		var parsed struct {
			Paths map[string]map[string]struct{ Security []map[string][]string }
		}
		require.NoError(t, json.Unmarshal(document, &parsed))
		security := parsed.Paths["/x/{id}"]["get"].Security
		require.NotNil(t, security)
		sets := [][]string{}
		for _, s := range security {
			if len(s) == 0 {
				sets = append(sets, nil)
				continue
			}
			require.Len(t, s, 1)
			sets = append(sets, s["bearer"])
		}
		return sets
	}
	all, any, allOf, anyOf := scope.All, scope.Any, scope.AllOf, scope.AnyOf
	implied, err := scope.Policy{Implies: map[string][]string{"admin": {"a", "b"}}}.Compile(all("a", "b"))
	require.NoError(t, err)
	for _, tc := range []struct {
		need scope.Requirement
		want [][]string
	}{
		{all("a"), [][]string{{"a"}}},
		{all("a", "b", "a"), [][]string{{"a", "b"}}},
		{any("b", "a"), [][]string{{"b"}, {"a"}}},
		{anyOf(all("a", "b"), all("a")), [][]string{{"a"}}},
		{anyOf(all("a"), all("a", "b")), [][]string{{"a"}}},
		{anyOf(all("a", "b"), all("b")), [][]string{{"b"}}},
		{allOf(any("a", "b"), any("c", "a")), [][]string{{"a"}, {"b", "c"}}},
		{allOf(any("a", "b"), any("c", "d")), [][]string{{"a", "c"}, {"a", "d"}, {"b", "c"}, {"b", "d"}}},
		{anyOf(all("a", "b"), all("b", "c"), all("a", "c")), [][]string{{"a", "b"}, {"a", "c"}, {"b", "c"}}},
		{scope.Template("doc:{id}:{id}"), [][]string{{"doc:{id}:{id}"}}},
		{anyOf(all("a"), scope.Template("doc_{id}")), [][]string{{"a"}, {"doc_{id}"}}},
		{implied, [][]string{{"a", "b"}}},
	} {
		require.Equal(t, tc.want, securityOf("", tc.need), "%v", tc.need)
	}
	require.Equal(t, [][]string{}, securityOf("public", scope.Requirement{}))
	require.Equal(t, [][]string{{}}, securityOf("authenticated", scope.Requirement{}))
	require.Equal(t, [][]string{nil, {}}, securityOf("optional", scope.Requirement{}))
	require.Equal(t, [][]string{nil, {"a"}}, securityOf("optional", all("a")))
}

func TestOpenAPICannotSayEverything(t *testing.T) {
	read := scope.All("read")
	var wide []scope.Requirement
	for _, c := range "abcdefg" {
		wide = append(wide, scope.Any(string(c)+"1", string(c)+"2"))
	}
	var cut []scope.Requirement // few ways in, many that lead nowhere
	for _, c := range "abcdefghijklmnopqrst" {
		cut = append(cut, scope.AnyOf(scope.All(string(c)+"1"), scope.All("all", string(c)+"2")))
	}
	for name, register := range map[string]func(rt *middleware.Router){
		"a host":              func(rt *middleware.Router) { rt.Handle("GET h/x", read, says("")) },
		"another method":      func(rt *middleware.Router) { rt.Handle("PURGE /x", read, says("")) },
		"a method in lower":   func(rt *middleware.Router) { rt.Handle("get /x", read, says("")) },
		"a tree and its root": func(rt *middleware.Router) { rt.Handle("GET /x/", read, says("")); rt.Public("GET /x/{$}", says("")) },
		"the same, no method": func(rt *middleware.Router) { rt.Handle("/x/", read, says("")); rt.Public("/x/{$}", says("")) },
		"too many ways in":    func(rt *middleware.Router) { rt.Handle("GET /x", scope.AllOf(wide...), says("")) },
		"a long search":       func(rt *middleware.Router) { rt.Handle("GET /x", scope.AllOf(cut...), says("")) },
		"a long search after a way in": func(rt *middleware.Router) {
			rt.Handle("GET /x", scope.AnyOf(scope.All("first"), scope.AllOf(cut...)), says(""))
		},
		"no way in": func(rt *middleware.Router) { rt.Handle("GET /x", scope.All(""), says("")) },
	} {
		rt := newGate(t, granting(), middleware.Config{}).NewRouter()
		register(rt)
		document, err := middleware.OpenAPI(rt.Routes())
		require.Nil(t, document, name)
		requireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	}

	// A hundred ways in are not too many.
	var names []string
	for i := range 101 {
		names = append(names, fmt.Sprint("s", i))
	}
	for _, n := range []int{100, 101} {
		rt := newGate(t, granting(), middleware.Config{}).NewRouter()
		rt.Handle("GET /x", scope.Any(names[:n]...), says(""))
		_, err := middleware.OpenAPI(rt.Routes())
		require.Equal(t, n > 100, err != nil, n)
	}

	// Paths that differ in the names of their wildcards are one path to OpenAPI.
	rt := newGate(t, granting(), middleware.Config{}).NewRouter()
	rt.Handle("GET /x/{a}", read, says(""))
	rt.Public("POST /x/{b}", says(""))
	rt.Authenticated("/x/{c}", says(""))
	document, err := middleware.OpenAPI(rt.Routes())
	require.NoError(t, err)
	var parsed struct {
		Paths map[string]map[string]json.RawMessage
	}
	require.NoError(t, json.Unmarshal(document, &parsed))
	require.Len(t, parsed.Paths, 1)
	operations := parsed.Paths["/x/{a}"]
	require.Len(t, operations, 7, "HEAD is GET's")
	require.NotContains(t, operations, "head")
	require.JSONEq(t, `{"security":[{"bearer":["read"]}]}`, string(operations["get"]))
	require.JSONEq(t, `{"security":[]}`, string(operations["post"]))
	require.JSONEq(t, `{"security":[{"bearer":[]}]}`, string(operations["trace"]))
}
