package main

import (
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTableOfPackagesIsUpToDate(t *testing.T) {
	packages, err := measure(root)
	require.NoError(t, err)
	text := readDoc(t, architecture)
	want, err := replaceTable(text, packageTable(packages))
	require.NoError(t, err)
	require.Equal(t, want, text, "%s is out of date: run go generate ./tools/docgen", architecture)
}

// The table holds the product, all of it, and nothing else.
func TestMeasureFindsTheProduct(t *testing.T) {
	packages, err := measure(root)
	require.NoError(t, err)
	var dirs []string
	for _, p := range packages {
		dirs = append(dirs, p.dir)
		require.NotContains(t, p.dir, "examples")
		require.NotContains(t, p.dir, "test/")
		require.NotContains(t, p.dir, "tools")
	}
	require.Equal(t, ".", dirs[0])
	require.Subset(t, dirs, []string{"scope", "jwks", "jwtverify", "introspect", "issuers", "middleware", "middleware/usage",
		"middleware/policydoc", "binding/dpop", "binding/mtls", "authtest", "adapters/grpc", "internal/jose"})
	require.Less(t, slices.Index(dirs, "jwks"), slices.Index(dirs, "adapters/grpc"))
	require.Less(t, slices.Index(dirs, "adapters/grpc"), slices.Index(dirs, "internal/jose"))
}

func TestCountExported(t *testing.T) {
	for _, tt := range []struct {
		name, code string
		want       []string
	}{
		{name: "values", code: "const A, b = 1, 2; var C, _ = 1, 2", want: []string{"A", "C"}},
		{name: "functions", code: "func F() {}; func g() {}", want: []string{"F"}},
		{name: "methods", code: "type T struct{}; func (T) M() {}; func (*T) N() {}; func (t T) o() {}", want: []string{"T", "T.M", "T.N"}},
		{name: "methods of a type that is not exported", code: "type t struct{}; func (t) M() {}"},
		{name: "methods of a generic type", code: "type T[K any] struct{}; func (T[K]) M() {}; type U[K, V any] struct{}; func (*U[K, V]) M() {}",
			want: []string{"T", "T.M", "U", "U.M"}},
		{name: "an interface", code: "type I interface { M(); N(); o(); error }", want: []string{"I", "I.M", "I.N"}},
		{name: "an interface that is not exported", code: "type i interface { M() }"},
		{name: "fields are not counted", code: "type T struct { F, G int }", want: []string{"T"}},
		{name: "an alias", code: "type T = int", want: []string{"T"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file, err := parser.ParseFile(token.NewFileSet(), "x.go", "package x; "+tt.code, 0)
			require.NoError(t, err)
			got := map[string]bool{}
			countExported(file, got)
			require.Equal(t, tt.want, slices.Sorted(maps.Keys(got)))
		})
	}
}

func TestMeasurePackage(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	write("x.go", "// Package x holds an [F]: it is short. It has a second sentence.\npackage x\n\nfunc F() {}\n")
	write("x_linux.go", "package x\n\nfunc F() {}\n")
	write("x_test.go", "package x\n\nfunc G() {}\n")
	got, err := measurePackage(dir)
	require.NoError(t, err)
	require.Equal(t, figures{exported: 1, lines: 7, synopsis: "holds an F"}, got)

	write("x.go", "package x\n")
	_, err = measurePackage(dir)
	require.Error(t, err, "a package without a comment")
}

func TestReplaceTable(t *testing.T) {
	text := "above\n" + tableBegin + "\nold\n" + tableEnd + "\nbelow\n"
	got, err := replaceTable(text, "new\n")
	require.NoError(t, err)
	require.Equal(t, "above\n"+tableBegin+"\n\nnew\n\n"+tableEnd+"\nbelow\n", got)
	again, err := replaceTable(got, "new\n")
	require.NoError(t, err)
	require.Equal(t, got, again)

	for _, without := range []string{"", tableBegin + "\n", tableEnd + "\n", tableEnd + "\n" + tableBegin + "\n"} {
		_, err := replaceTable(without, "new\n")
		require.Error(t, err)
	}
}

func TestPackageTable(t *testing.T) {
	got := packageTable([]figures{{dir: ".", exported: 3, lines: 1234, synopsis: "a | b"}, {dir: "x", exported: 0, lines: 1235, synopsis: "c"}})
	require.Equal(t, `| package | exported names | source lines | it … |
|---|---:|---:|---|
| `+"`bearergate (the root)`"+` | 3 | 1,230 | a \| b |
| `+"`x`"+` | 0 | 1,240 | c |
`, got)
}
