package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const root = "../.."

func readDoc(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	require.NoError(t, err)
	return strings.ReplaceAll(string(text), "\r\n", "\n") // a checkout may convert line ends
}

func TestReferenceIsUpToDate(t *testing.T) {
	want, err := generate(root, sections)
	require.NoError(t, err)
	if readDoc(t, output) != strings.ReplaceAll(string(want), "\r\n", "\n") {
		t.Fatalf("%s is out of date: run go generate ./tools/docgen", output)
	}
}

// Each exported configuration of a package that users import is in the reference.
func TestNoConfigIsForgotten(t *testing.T) {
	found := 0
	for _, dir := range []string{".", "scope", "jwks", "jwtverify", "introspect", "issuers", "apikey", "idp", "middleware", "middleware/usage", "middleware/sightings", "binding/dpop", "binding/mtls", "revocation", "revocation/admin", "revocation/backchannel", "revocation/signals", "policy", "authtest"} {
		i := slices.IndexFunc(sections, func(s section) bool { return s.dir == dir })
		require.GreaterOrEqual(t, i, 0, dir)
		p, err := load(root, dir)
		require.NoError(t, err)
		for _, typ := range p.Types {
			if strings.HasSuffix(typ.Name, "Config") || typ.Name == "Hooks" {
				found++
				require.Contains(t, sections[i].types, typ.Name, "%s: add it to sections", dir)
			}
		}
	}
	require.Greater(t, found, 5)
}

// A name that is gone, or a value in a form that eval does not know, is an
// error and no silent gap.
func TestGenerateReportsWhatIsNotThere(t *testing.T) {
	for name, s := range map[string]section{
		"directory": {dir: "nowhere"},
		"type":      {dir: "jwks", types: []string{"Configuration"}},
		"makers":    {dir: "scope", makers: []string{"Policy"}},
		"constants": {dir: "scope", constants: true},
	} {
		_, err := generate(root, []section{s})
		require.Error(t, err, name)
	}
	file, err := parser.ParseFile(token.NewFileSet(), "x.go", `package x; const A, B, C = 1 / 2, other.Value, "a"[0]`, 0)
	require.NoError(t, err)
	p := &pkg{root: root, files: []*ast.File{file}}
	for _, name := range []string{"A", "B", "C", "D"} {
		_, err := p.value(name)
		require.Error(t, err, name)
	}
}

func TestValues(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "x.go", `package x
		import ("time"; "github.com/bearergate/bearergate/internal/fetch")
		const (
			Wait = 90 * time.Second
			Long = 7 * 24 * time.Hour
			Short = 100 * time.Millisecond
			None = 0 * time.Second
			MaxBytes = 16 << 10
			OddBytes = 16<<10 + 1
			Entries = 8 * 1024
			Few = 100
			Same = Entries
			Name = "ES256"
			ElsewhereBytes = fetch.DefaultMaxBytes
		)`, 0)
	require.NoError(t, err)
	p := &pkg{root: root, files: []*ast.File{file}}
	for name, want := range map[string]string{"Wait": "90 s", "Long": "7 d", "Short": "100 ms", "None": "0", "MaxBytes": "16 KiB",
		"OddBytes": "16,385 B", "Entries": "8,192", "Few": "100", "Same": "8,192", "Name": "`ES256`", "ElsewhereBytes": "512 KiB"} {
		value, err := p.value(name)
		require.NoError(t, err, name)
		require.Equal(t, want, show(name, value), name)
	}
}
