package policydoc_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/middleware/catalogue"
	"github.com/bearergate/bearergate/middleware/policydoc"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/stretchr/testify/require"
)

func newRouter(t testing.TB, c middleware.Config) *middleware.Router {
	t.Helper()
	gate, err := middleware.New(kit.Granting(), c)
	require.NoError(t, err)
	return gate.NewRouter()
}

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

type binding struct{}

type store struct{}

func (store) Use(context.Context, string, time.Time) (bool, error) { return true, nil }

func (binding) Scheme() bearergate.Scheme    { return bearergate.SchemeDPoP }
func (binding) Members() []string            { return []string{"jkt"} }
func (binding) Challenge() map[string]string { return nil }

func (binding) Confirm(context.Context, bearergate.Call, *bearergate.Token) (bearergate.Reply, error) {
	return nil, nil
}

// policed is a router as a service has it; change makes another one of it.
func policed(t *testing.T, change func(need scope.Requirement) scope.Requirement) *middleware.Router {
	t.Helper()
	rt := newRouter(t, middleware.Config{Resource: "https://api.example.com/v1", Bindings: []bearergate.Binding{binding{}}})
	h := kit.Says("")
	rt.Public("GET /health", h)
	rt.Metadata(middleware.Metadata{})
	v1 := rt.Group("/v1", scope.Requirement{})
	v1.Authenticated("GET /me", h)
	v1.Handle("GET /orders", scope.Any("orders:read", "orders:admin"), h)
	v1.Handle("POST /orders", change(scope.All("orders:write", "orders:read")), h)
	v1.Handle("GET /documents/{id}", scope.AnyOf(scope.All("documents:admin"), scope.AllOf(scope.All("documents"), scope.Template("document:read:{id}"))), h)
	v1.Handle("POST /payments", scope.All("pay"), h, middleware.StepUp([]string{"urn:example:mfa", "hw"}, 5*time.Minute))
	v1.Handle("DELETE /accounts/{id}", scope.All("pay"), h, middleware.AuthContext("c1"))
	policy := func(*http.Request, *bearergate.Token) error { return nil }
	v1.Handle("POST /refunds", scope.All("pay"), h, middleware.Bound(), middleware.Allow(policy), middleware.Allow(policy))
	v1.Handle("GET /tenants/{tenant}/audits", scope.All("audit"), h, middleware.Roles("auditor", "head of audit"), middleware.Roles("staff"),
		middleware.Tenant(func(r *http.Request) string { return r.PathValue("tenant") }), middleware.Audience("https://audit.example"))
	v1.Handle("POST /invitations", scope.All("invite"), h, middleware.Once(store{}), middleware.Trial(scope.Any("invite:send", "admin"), nil))
	v1.Handle("GET /statements/{id}", scope.All("read"), h, middleware.Delegation(bearergate.Delegation{AllowDirect: true, MaxChain: 2, Actors: map[string][]bearergate.Actor{
		"https://as.example":      {{Subject: "orders"}, {Subject: "u|1", ClientID: "desk", Issuer: "https://staff.example"}},
		"https://partner.example": {{ClientID: "billing"}}}}))
	v1.Handle("PUT /password", scope.All("account"), h, middleware.Delegation(bearergate.Delegation{AllowDirect: true}))
	v1.Handle("GET /events/{topic...}", scope.All("events"), h, middleware.CancelOnExpiry(), middleware.Recheck(90*time.Second))
	v1.Handle("/partner/{$}", scope.All("partner|x"), h, middleware.Via(kit.Granting()))
	admin := v1.Group("/admin", scope.All("admin"))
	admin.Handle("DELETE /users/{id}", scope.Any("users:delete", "root"), h)
	admin.Authenticated("/", h)
	rt.Optional("GET /news", scope.Requirement{}, h)
	kit.Built(t, rt)
	return rt
}

func asIs(need scope.Requirement) scope.Requirement { return need }

func TestRoutesGolden(t *testing.T) {
	routes := policed(t, asIs).Routes()
	golden(t, "testdata/routes.md", policydoc.Markdown(routes))
	document, err := policydoc.OpenAPI(routes)
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
		old, changed := strings.Split(policydoc.Markdown(before), "\n"), strings.Split(policydoc.Markdown(after), "\n")
		require.Len(t, changed, len(old))
		differ := 0
		for i := range old {
			if old[i] != changed[i] {
				differ++
				require.Contains(t, changed[i], "| POST | `/v1/orders` |", name)
			}
		}
		require.Equal(t, 1, differ, name)
		a, err := policydoc.OpenAPI(before)
		require.NoError(t, err)
		b, err := policydoc.OpenAPI(after)
		require.NoError(t, err)
		require.NotEqual(t, string(a), string(b), name)
	}
}

func TestMarkdownEscapes(t *testing.T) {
	rt := newRouter(t, middleware.Config{})
	rt.Authenticated("GET /roles", kit.Says(""), middleware.Roles("a b", "a`|c", "Führung", "x\n| y |", `"`))
	require.Contains(t, policydoc.Markdown(rt.Routes()), "| role `a b` or `` a`\\|c `` or `Führung` or `\"x\\n\\| y \\|\"` or `\"\\\"\"` |\n")
	rt.Handle("GET /a`b|c", scope.All("x|y`z", "``"), kit.Says(""))
	require.Contains(t, policydoc.Markdown(rt.Routes()), "| GET | `` /a`b\\|c `` | token | ``` x\\|y`z and `` ``` |  |\n")
}

// OpenAPI needs the sets of scopes that satisfy a requirement: it is compared
// with trying out every one.
func TestOpenAPISecurity(t *testing.T) {
	securityOf := func(access string, need scope.Requirement) [][]string {
		rt := newRouter(t, middleware.Config{})
		switch access {
		case "optional":
			rt.Optional("GET /x/{id}", need, kit.Says(""))
		case "public":
			rt.Public("GET /x/{id}", kit.Says(""))
		case "authenticated":
			rt.Authenticated("GET /x/{id}", kit.Says(""))
		default:
			rt.Handle("GET /x/{id}", need, kit.Says(""))
		}
		document, err := policydoc.OpenAPI(rt.Routes())
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
	all, anyOne, allOf, anyOf := scope.All, scope.Any, scope.AllOf, scope.AnyOf
	implied, err := scope.Policy{Implies: map[string][]string{"admin": {"a", "b"}}}.Compile(all("a", "b"))
	require.NoError(t, err)
	for _, tc := range []struct {
		need scope.Requirement
		want [][]string
	}{
		{all("a"), [][]string{{"a"}}},
		{all("a", "b", "a"), [][]string{{"a", "b"}}},
		{anyOne("b", "a"), [][]string{{"b"}, {"a"}}},
		{anyOf(all("a", "b"), all("a")), [][]string{{"a"}}},
		{anyOf(all("a"), all("a", "b")), [][]string{{"a"}}},
		{anyOf(all("a", "b"), all("b")), [][]string{{"b"}}},
		{allOf(anyOne("a", "b"), anyOne("c", "a")), [][]string{{"a"}, {"b", "c"}}},
		{allOf(anyOne("a", "b"), anyOne("c", "d")), [][]string{{"a", "c"}, {"a", "d"}, {"b", "c"}, {"b", "d"}}},
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
		"a host":            func(rt *middleware.Router) { rt.Handle("GET h/x", read, kit.Says("")) },
		"another method":    func(rt *middleware.Router) { rt.Handle("PURGE /x", read, kit.Says("")) },
		"a method in lower": func(rt *middleware.Router) { rt.Handle("get /x", read, kit.Says("")) },
		"a tree and its root": func(rt *middleware.Router) {
			rt.Handle("GET /x/", read, kit.Says(""))
			rt.Public("GET /x/{$}", kit.Says(""))
		},
		"the same, no method": func(rt *middleware.Router) { rt.Handle("/x/", read, kit.Says("")); rt.Public("/x/{$}", kit.Says("")) },
		"too many ways in":    func(rt *middleware.Router) { rt.Handle("GET /x", scope.AllOf(wide...), kit.Says("")) },
		"a long search":       func(rt *middleware.Router) { rt.Handle("GET /x", scope.AllOf(cut...), kit.Says("")) },
		"a long search after a way in": func(rt *middleware.Router) {
			rt.Handle("GET /x", scope.AnyOf(scope.All("first"), scope.AllOf(cut...)), kit.Says(""))
		},
		"no way in": func(rt *middleware.Router) { rt.Handle("GET /x", scope.All(""), kit.Says("")) },
	} {
		rt := newRouter(t, middleware.Config{})
		register(rt)
		document, err := policydoc.OpenAPI(rt.Routes())
		require.Nil(t, document, name)
		kit.RequireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	}

	// A hundred ways in are not too many.
	var names []string
	for i := range 101 {
		names = append(names, fmt.Sprint("s", i))
	}
	for _, n := range []int{100, 101} {
		rt := newRouter(t, middleware.Config{})
		rt.Handle("GET /x", scope.Any(names[:n]...), kit.Says(""))
		_, err := policydoc.OpenAPI(rt.Routes())
		require.Equal(t, n > 100, err != nil, n)
	}

	// Paths that differ in the names of their wildcards are one path to OpenAPI.
	rt := newRouter(t, middleware.Config{})
	rt.Handle("GET /x/{a}", read, kit.Says(""))
	rt.Public("POST /x/{b}", kit.Says(""))
	rt.Authenticated("/x/{c}", kit.Says(""))
	document, err := policydoc.OpenAPI(rt.Routes())
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

// described is a document with a catalogue of what policed asks for, and one scope more.
func described(t *testing.T) policydoc.Document {
	t.Helper()
	scopes, err := catalogue.Parse([]byte(`{"version":1,"scopes":[
		{"name":"orders:read","description":"See orders","owner":"Orders team"},
		{"name":"document:read:{id}","description":"Read *one* <b>document</b>","owner":"Archive | files","who_may_ask":"[Anybody](x)"},
		{"name":"orders","description":"See orders.","owner":"Orders team","deprecated":true,"replaced_by":["orders:read","document:read:{id}"]},
		{"name":"pay","description":"Pay","owner":"Nobody","deprecated":true}
	]}`))
	require.NoError(t, err)
	return policydoc.Document{Routes: policed(t, asIs).Routes(), Scopes: scopes}
}

func TestDocumentMarkdown(t *testing.T) {
	d := described(t)
	require.Equal(t, policydoc.Markdown(d.Routes)+`
| Scope | Grants | Owner | Who may ask | Deprecated |
|---|---|---|---|---|
`+"| `orders:read` | See orders | Orders team |  |  |\n"+
		"| `document:read:{id}` | Read \\*one\\* \\<b\\>document\\</b\\> | Archive \\| files | \\[Anybody\\](x) |  |\n"+
		"| `orders` | See orders. | Orders team |  | use `orders:read` and `document:read:{id}` |\n"+
		"| `pay` | Pay | Nobody |  | yes |\n", d.Markdown())
	d.Scopes = nil
	require.Equal(t, policydoc.Markdown(d.Routes), d.Markdown())
}

func TestDocumentOpenAPI(t *testing.T) {
	scopes := `{"orders:read":"See orders","document:read:{id}":"Read *one* <b>document</b>",
		"orders":"Deprecated. See orders. Use orders:read and document:read:{id}.","pay":"Deprecated. Pay"}`
	for _, tt := range []struct {
		name   string
		change func(d *policydoc.Document)
		scheme string
	}{
		{name: "no catalogue", change: func(d *policydoc.Document) { d.Scopes = nil }, scheme: `{"type":"http","scheme":"bearer"}`},
		{name: "no flow", change: func(*policydoc.Document) {}, scheme: `{"type":"http","scheme":"bearer","x-scopes":` + scopes + `}`},
		{name: "client credentials", change: func(d *policydoc.Document) { d.TokenURL = "https://as.example.com/token" },
			scheme: `{"type":"oauth2","flows":{"clientCredentials":{"tokenUrl":"https://as.example.com/token","scopes":` + scopes + `}}}`},
		{name: "authorization code", change: func(d *policydoc.Document) {
			d.TokenURL, d.AuthorizationURL = "https://as.example.com/token", "https://as.example.com/authorize"
		}, scheme: `{"type":"oauth2","flows":{"authorizationCode":{"tokenUrl":"https://as.example.com/token","authorizationUrl":"https://as.example.com/authorize","scopes":` + scopes + `}}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := described(t)
			tt.change(&d)
			document, err := d.OpenAPI()
			require.NoError(t, err)
			var got struct {
				Components struct{ SecuritySchemes map[string]json.RawMessage }
				Paths      json.RawMessage
			}
			require.NoError(t, json.Unmarshal(document, &got))
			require.JSONEq(t, tt.scheme, string(got.Components.SecuritySchemes["bearer"]))
			// What the routes demand is the same under every scheme.
			bare, err := policydoc.OpenAPI(d.Routes)
			require.NoError(t, err)
			var want struct{ Paths json.RawMessage }
			require.NoError(t, json.Unmarshal(bare, &want))
			require.JSONEq(t, string(want.Paths), string(got.Paths))
		})
	}
}

func TestDocumentMistakes(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(d *policydoc.Document)
		says   string
	}{
		{name: "no token endpoint", change: func(d *policydoc.Document) { d.AuthorizationURL = "https://as.example.com/authorize" }, says: "AuthorizationURL is set without TokenURL"},
		{name: "no scopes", change: func(d *policydoc.Document) { d.TokenURL, d.Scopes = "https://as.example.com/token", nil }, says: "TokenURL is set without Scopes"},
		{name: "no URL", change: func(d *policydoc.Document) { d.TokenURL = "/token" }, says: `TokenURL: "/token": use the URL of the endpoint`},
		{name: "another scheme", change: func(d *policydoc.Document) {
			d.TokenURL, d.AuthorizationURL = "https://as.example.com/token", "javascript://as.example.com/"
		}, says: "AuthorizationURL: \"javascript://as.example.com/\": use the URL of the endpoint"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := described(t)
			tt.change(&d)
			document, err := d.OpenAPI()
			require.Nil(t, document)
			kit.RequireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
			require.ErrorContains(t, err, tt.says)
		})
	}
}
