package main

import (
	_ "embed"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/tester"
	"github.com/stretchr/testify/require"
)

//go:embed orders_test.rego
var ordersTestRego string

// What "opa test" would run.
func TestRego(t *testing.T) {
	modules := map[string]*ast.Module{}
	for name, text := range map[string]string{"orders.rego": ordersRego, "orders_test.rego": ordersTestRego} {
		module, err := ast.ParseModule(name, text)
		require.NoError(t, err)
		modules[name] = module
	}
	results, err := tester.NewRunner().SetModules(modules).RunTests(t.Context(), nil)
	require.NoError(t, err)
	ran := 0
	for result := range results {
		ran++
		require.True(t, result.Pass(), "%v: %v", result, result.Error)
	}
	require.Equal(t, 6, ran)
}
