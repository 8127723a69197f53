package catalogue_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/middleware/catalogue"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/stretchr/testify/require"
)

// routes are those of a router that asks for what the valid catalogue has; more adds to them.
func routes(t *testing.T, more func(rt *middleware.Router)) []middleware.Route {
	t.Helper()
	gate, err := middleware.New(kit.Granting(), middleware.Config{})
	require.NoError(t, err)
	rt := gate.NewRouter()
	rt.Public("GET /health", kit.Says(""))
	rt.Authenticated("GET /me", kit.Says(""))
	rt.Handle("GET /orders", scope.Any("orders:read", "orders:write"), kit.Says(""))
	rt.Handle("GET /documents/{id}", scope.Template("document:read:{id}"), kit.Says(""))
	if more != nil {
		more(rt)
	}
	kit.Built(t, rt)
	return rt.Routes()
}

func TestCheck(t *testing.T) {
	compiled := func(p scope.Policy, r scope.Requirement) scope.Requirement {
		r, err := p.Compile(r)
		require.NoError(t, err)
		return r
	}
	asks := func(need scope.Requirement, opts ...middleware.RouteOption) func(*middleware.Router) {
		return func(rt *middleware.Router) { rt.Handle("POST /orders", need, kit.Says(""), opts...) }
	}
	alias := scope.Policy{Implies: map[string][]string{"orders": {"orders:read", "orders:write"}, "staff": {"orders:write"}}, Separator: ":"}
	for _, tt := range []struct {
		name     string
		old, new string // in the valid file
		more     func(*middleware.Router)
		rules    catalogue.Rules
		want     []string
	}{
		{name: "all agrees"},
		{name: "unknown", more: asks(scope.All("orders:create")),
			want: []string{`unknown: "orders:create" (POST /orders): it is asked for and not in the catalogue: add it there, or mend the route`}},
		{name: "unknown in another case", more: asks(scope.All("Orders:read")),
			want: []string{`unknown: "Orders:read" (POST /orders): it is asked for and not in the catalogue: add it there, or mend the route`}},
		{name: "an unknown template", more: func(rt *middleware.Router) {
			rt.Handle("PUT /documents/{id}", scope.Template("document:write:{id}"), kit.Says(""))
		}, want: []string{`unknown: "document:write:{id}" (PUT /documents/{id}): it is asked for and not in the catalogue: add it there, or mend the route`}},
		{name: "unknown and on trial", more: asks(scope.All("orders:write"), middleware.Trial(scope.All("orders:create"), nil)),
			want: []string{`unknown: "orders:create" (POST /orders): it is asked for and not in the catalogue: add it there, or mend the route`}},
		{name: "unused", old: `"orders:write", "description"`, new: `"orders:create", "description"`,
			want: []string{`unused: "orders:create": no route asks for it: take it out, or say deprecated`,
				`unknown: "orders:write" (GET /orders): it is asked for and not in the catalogue: add it there, or mend the route`}},
		{name: "a policy accepts the deprecated name, and one that is unknown", more: asks(compiled(alias, scope.All("orders:write"))),
			want: []string{`unknown: "staff" (POST /orders): a policy accepts it and it is not in the catalogue: add it there, or take it out of the policy`}},
		{name: "what a policy accepts is used", old: `"deprecated": true, "replaced_by": ["orders:read", "orders:write"]`, new: `"who_may_ask": "Old clients"`,
			more: asks(compiled(scope.Policy{Implies: map[string][]string{"orders": {"orders:read"}}}, scope.All("orders:read"))), rules: catalogue.Rules{Exempt: []string{"orders"}}},
		{name: "a wildcard that is catalogued is used", old: `"orders"`, new: `"orders:*"`, more: asks(compiled(scope.Policy{Separator: ":"}, scope.All("orders:read"))),
			rules: catalogue.Rules{Exempt: []string{"orders:*"}}},
		{name: "deprecated and asked for", more: asks(scope.All("orders")),
			want: []string{`deprecated: "orders" (POST /orders): it is deprecated: ask for orders:read or orders:write, and let a policy accept the old name until no client has it`}},
		{name: "deprecated for nothing and asked for", old: `, "replaced_by": ["orders:read", "orders:write"]`, more: asks(scope.All("orders")),
			want: []string{`deprecated: "orders" (POST /orders): it is deprecated: take it out of the route`}},
		{name: "a bad name", old: `"document:read:{id}"`, new: `"Document-Read"`, rules: catalogue.Rules{Exempt: []string{"orders"}},
			want: []string{`bad name: "Document-Read": write it as resource:action, with two to 5 parts`, `unused: "Document-Read": no route asks for it: take it out, or say deprecated`,
				`unknown: "document:read:{id}" (GET /documents/{id}): it is asked for and not in the catalogue: add it there, or mend the route`}},
		{name: "a rule of one's own", rules: catalogue.Rules{Name: func(name string) error {
			if strings.Contains(name, ":") {
				return nil
			}
			return errors.New("no colon")
		}}, want: []string{`bad name: "orders": no colon`}},
		{name: "a name of OpenID", old: `"orders:write", "description"`, new: `"openid", "description"`, more: asks(scope.All("openid")),
			want: []string{`unknown: "orders:write" (GET /orders): it is asked for and not in the catalogue: add it there, or mend the route`}},
		{name: "no name is exempt", rules: catalogue.Rules{Exempt: []string{}, Name: func(string) error { return nil }}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := valid
			if tt.old != "" {
				require.Equal(t, 1, strings.Count(valid, tt.old), "the row changes one thing")
				file = strings.Replace(valid, tt.old, tt.new, 1)
				if tt.new == `"orders:create", "description"` || tt.new == `"openid", "description"` {
					file = strings.Replace(file, `["orders:read", "orders:write"]`, `["orders:read"]`, 1)
				}
			}
			rules := tt.rules
			if rules.Name == nil && rules.Exempt == nil { // the name of the deprecated scope is why it is deprecated
				rules.Exempt = append(catalogue.WellKnown(), "orders")
			}
			var got []string
			for _, finding := range parse(t, file).Check(routes(t, tt.more), rules) {
				got = append(got, finding.String())
			}
			require.Equal(t, tt.want, got)
		})
	}
}

func TestRulesByDefault(t *testing.T) {
	c := parse(t, `{"version":1,"scopes":[{"name":"openid","description":"d","owner":"o"},{"name":"orders","description":"d","owner":"o"}]}`)
	require.Equal(t, []catalogue.Finding{
		{Kind: catalogue.Unused, Scope: "openid", Text: "no route asks for it: take it out, or say deprecated"},
		{Kind: catalogue.BadName, Scope: "orders", Text: "write it as resource:action, with two to 5 parts"},
		{Kind: catalogue.Unused, Scope: "orders", Text: "no route asks for it: take it out, or say deprecated"},
	}, c.Check(nil, catalogue.Rules{}))
	require.Len(t, c.Check(nil, catalogue.Rules{Exempt: []string{}}), 4, "openid has a bad name then")

	known := catalogue.WellKnown()
	require.Equal(t, []string{"openid", "profile", "email", "address", "phone", "offline_access", "uma_protection"}, known)
	known[0] = "x"
	require.Equal(t, "openid", catalogue.WellKnown()[0])
}

func TestResourceAction(t *testing.T) {
	part := strings.Repeat("a", 40)
	for _, name := range []string{"orders:read", "billing:invoices:write", "document:read:{id}", "tenant:{tenant}:read", "a-b_c.d9:e", "a:b:c:d:e", part + ":" + part} {
		require.NoError(t, catalogue.ResourceAction(name), name)
	}
	for _, name := range []string{"", "orders", "orders.read", "read_orders", ":read", "orders:", "orders::read", "Orders:read", "orders:Read", "orders:9", "-a:b",
		"orders:*", "orders:re ad", "{tenant}:read", "a:b:c:d:e:f", part + "a:b", "orders/read:x", "ördern:x", "orders:r{id}"} {
		require.Error(t, catalogue.ResourceAction(name), name)
	}
}

// The metadata document of the API (RFC 9728) has what the catalogue advertises.
func TestMetadataHasTheCatalogue(t *testing.T) {
	gate, err := middleware.New(kit.Granting(), middleware.Config{Resource: "https://api.example.com"})
	require.NoError(t, err)
	rt := gate.NewRouter()
	rt.Metadata(middleware.Metadata{Scopes: parse(t, valid).Advertised()})
	answer := kit.Ask(kit.Built(t, rt), http.MethodGet, "/.well-known/oauth-protected-resource", "")
	var document struct {
		Scopes []string `json:"scopes_supported"`
	}
	require.NoError(t, json.Unmarshal(answer.Body.Bytes(), &document))
	require.Equal(t, []string{"orders:read", "orders:write"}, document.Scopes)
}
