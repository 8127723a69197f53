package catalogue_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/middleware/catalogue"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/stretchr/testify/require"
)

// The steps of docs/scopes.md: "orders" is split into orders:read and orders:write. In each
// step, who is let in, whom the trial would refuse, and that the catalogue has no findings.
func TestSplittingAScope(t *testing.T) {
	old := `{"name":"orders","description":"See and change orders","owner":"Orders team"`
	parts := `{"name":"orders:read","description":"See orders","owner":"Orders team"},{"name":"orders:write","description":"Change orders","owner":"Orders team"}`
	deprecated := old + `,"deprecated":true,"replaced_by":["orders:read","orders:write"]}`

	alias := scope.Policy{Implies: map[string][]string{"orders": {"orders:read", "orders:write"}}}
	aliased, err := alias.Compile(scope.All("orders:write"))
	require.NoError(t, err)
	onTrial := middleware.Trial(scope.All("orders:write"), nil)

	for _, step := range []struct {
		name   string
		file   string
		need   scope.Requirement
		opts   []middleware.RouteOption
		status map[string]int // by the scopes of the token
		tried  []bool         // for the tokens that were judged by the trial, in order: would it let them in?
	}{
		{name: "before", file: old + "}", need: scope.All("orders"),
			status: map[string]int{"orders": 200, "orders:write": 403, "orders:read": 403}},
		{name: "both names open the route", file: deprecated + "," + parts, need: aliased, opts: []middleware.RouteOption{onTrial},
			status: map[string]int{"orders": 200, "orders:write": 200, "orders:read": 403}, tried: []bool{false, false, true}},
		{name: "after", file: parts, need: scope.All("orders:write"),
			status: map[string]int{"orders": 403, "orders:write": 200, "orders:read": 403}},
	} {
		t.Run(step.name, func(t *testing.T) {
			var tried []bool // the requests are made one after the other
			gate, err := middleware.New(kit.Granting(), middleware.Config{Hooks: middleware.Hooks{Decided: func(_ context.Context, e middleware.DecisionEvent) {
				if e.Trial != nil {
					tried = append(tried, e.Trial.Err == nil)
				}
			}}})
			require.NoError(t, err)
			rt := gate.NewRouter()
			rt.Handle("POST /orders", step.need, kit.Says(""), step.opts...)
			if step.name != "before" {
				rt.Handle("GET /orders", scope.All("orders:read"), kit.Says(""))
			}
			handler := kit.Built(t, rt)
			for _, scopes := range []string{"orders", "orders:read", "orders:write"} {
				require.Equal(t, step.status[scopes], kit.Ask(handler, http.MethodPost, "/orders", scopes).Code, scopes)
			}
			require.Equal(t, step.tried, tried)
			found := parse(t, `{"version":1,"scopes":[`+step.file+`]}`).Check(rt.Routes(), catalogue.Rules{Exempt: []string{"orders"}})
			require.Empty(t, found)
		})
	}
}
