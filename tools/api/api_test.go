package main

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What users may rely on changes only where a diff of api/ shows it.
func TestExportedAPIIsThatOfTheGoldenFiles(t *testing.T) {
	files, err := generate("../..")
	require.NoError(t, err)
	require.Contains(t, files["jwtverify.txt"], "func New(c Config) (*Verifier, error)\n")
	require.Contains(t, files["bearergate.txt"], "type Verifier interface, Verify(ctx ")
	require.NotContains(t, slices.Collect(maps.Keys(files)), "internal-jose.txt")

	golden, err := filepath.Glob("../../api/*.txt")
	require.NoError(t, err)
	require.Len(t, golden, len(files), "a package has come or gone: run go run ./tools/api")
	for _, name := range golden {
		want, err := os.ReadFile(name)
		require.NoError(t, err)
		got, ok := files[filepath.Base(name)]
		require.True(t, ok, "%s: no such package: run go run ./tools/api", name)
		require.Equal(t, strings.ReplaceAll(string(want), "\r\n", "\n"), got, "%s: the exported API has changed: if that is meant, run go run ./tools/api", name)
	}
}

func TestLines(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a.go"), []byte(`package a

// A is documented.
type A struct {
	Shown, hidden int
	inner
}
type inner struct{}
type i interface{ M() }
type I interface {
	M(x int) error
	m()
}
type F func(int) string
type G[T any] struct{ V T }
type (
	K int
	L = K
)

const (
	One K = iota
	two
	Three
)
const Name, other = "n", 1

var V, v = 1, 2

func New(x int) *A { return nil }
func private()     {}
func (a *A) Method(f func(
	x int,
) error) (y int) {
	return 0
}
func (a *A) method() {}
func (inner) Method() {}
func Generic[T any](t T) {}
`), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a_test.go"), []byte("package a\nfunc InTest() {}\n"), 0o600))
	got, err := lines(dir, "a.example/a")
	require.NoError(t, err)
	require.Equal(t, []string{
		`const Name = "n"`,
		"const One K = iota",
		"const Three",
		"func (a *A) Method(f func( x int, ) error) (y int)",
		"func Generic[T any](t T)",
		"func New(x int) *A",
		"type A struct",
		"type A struct, Shown int",
		"type F func(int) string",
		"type G[…] struct",
		"type G[…] struct, V T",
		"type I interface",
		"type I interface, M(x int) error",
		"type K int",
		"type L = K",
		"var V",
	}, got)
	_, err = lines(filepath.Join(dir, "none"), "a.example/none")
	require.NoError(t, err)
	_, err = generate(filepath.Join(dir, "none"))
	require.Error(t, err)
}
