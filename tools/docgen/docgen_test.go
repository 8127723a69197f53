package main

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
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
	for _, dir := range []string{"scope", "jwks", "jwtverify", "introspect", "issuers", "middleware", "middleware/usage", "authtest"} {
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

// block is a piece of Go in a document: "after" is a whole file, "part" the
// inside of a function.
var block = regexp.MustCompile("(?ms)^ *```go (\\w+)\n(.*?)^ *```$")

// part makes a file of a part: with the packages it uses, the names it takes
// for granted, and a use of each that it declares.
func part(t *testing.T, code string) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("package part\n\n")
	for name, path := range map[string]string{"context": "context", "http": "net/http", "time": "time", "bearergate": modulePath,
		"scope": modulePath + "/scope", "jwks": modulePath + "/jwks", "jwtverify": modulePath + "/jwtverify",
		"introspect": modulePath + "/introspect", "issuers": modulePath + "/issuers", "middleware": modulePath + "/middleware"} {
		if name == "context" || name == "bearergate" || regexp.MustCompile(`\b`+name+`\.`).MatchString(code) {
			fmt.Fprintf(&b, "import %q\n", path)
		}
	}
	if !strings.Contains(code, "http.") {
		b.WriteString("import \"net/http\"\n")
	}
	b.WriteString(`
var (
	ctx                                    context.Context
	secret                                 string
	v, payments, partner, opaque, verifier bearergate.Verifier
	confirmCertificate                     func(*http.Request, *bearergate.Token) error
	handler                                http.Handler
)

func _() {
`)
	head := b.String()
	file, err := parser.ParseFile(token.NewFileSet(), "part.go", head+code+"}\n", 0)
	require.NoError(t, err, code)
	b.WriteString(code)
	for _, decl := range file.Decls {
		f, ok := decl.(*ast.FuncDecl)
		if !ok {
			continue
		}
		for _, statement := range f.Body.List {
			if assign, ok := statement.(*ast.AssignStmt); ok && assign.Tok == token.DEFINE {
				for _, left := range assign.Lhs {
					if name := left.(*ast.Ident).Name; name != "_" {
						fmt.Fprintf(&b, "\t_ = %s\n", name)
					}
				}
			}
		}
	}
	b.WriteString("}\n")
	return b.String()
}

// What the documents tell readers to write compiles.
func TestCodeInDocumentsCompiles(t *testing.T) {
	dir := t.TempDir()
	abs, err := filepath.Abs(root)
	require.NoError(t, err)
	replace, packages, kinds := map[string]string{}, []string{"build"}, map[string]int{}
	for _, name := range []string{"docs/choosing.md", "docs/coming-from.md"} {
		for _, m := range block.FindAllStringSubmatch(readDoc(t, name), -1) {
			code := m[2]
			switch m[1] {
			case "after":
			case "part":
				code = part(t, code)
			case "before": // of other modules, which this one does not require
				continue
			default:
				t.Fatalf("%s: a block of an unknown kind: %s", name, m[1])
			}
			kinds[m[1]]++
			pkg := fmt.Sprintf("documented%d", len(replace))
			file := filepath.Join(dir, pkg+".go")
			require.NoError(t, os.WriteFile(file, []byte(code), 0o600))
			replace[filepath.Join(abs, "docs", pkg, "code.go")] = file
			packages = append(packages, "./docs/"+pkg)
		}
	}
	require.Equal(t, 4, kinds["after"], "one for each library")
	require.GreaterOrEqual(t, kinds["part"], 8)

	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	require.NoError(t, err)
	file := filepath.Join(dir, "overlay.json")
	require.NoError(t, os.WriteFile(file, overlay, 0o600))
	build := exec.CommandContext(t.Context(), "go", slices.Insert(packages, 1, "-overlay", file)...)
	build.Dir = abs
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
}
