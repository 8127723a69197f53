// Package documents_test holds SECURITY.md and docs/evidence.md to the code: a
// document that names a test which is gone, or keeps silent about a field that
// relaxes a check, is worse than none.
package documents_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	root     = "../../.." // of the repository
	security = "SECURITY.md"
	evidence = "docs/evidence.md"
)

var (
	// testRef is a directory and a test or fuzz target in it; bearergate is the root.
	testRef = regexp.MustCompile("`([a-z][a-z0-9/]*)\\.((?:Test|Fuzz)\\w*)`")
	// rowRef is the ID of a row of the attack table, or of a case of another test.
	rowRef = regexp.MustCompile(`\b[A-Z]{2,3}-[0-9]{3}(?:[a-z]|\b)`)
	// nameRef is a directory and a name exported by it: a field, a function, a method.
	nameRef = regexp.MustCompile("`([a-z][a-z0-9/]*(?:\\.[A-Z]\\w*){1,2})`")
	// relaxing are the names that a field or function which weakens a check has.
	relaxing = regexp.MustCompile(`^(Allow|No|Ignore)[A-Z]|Insecure|Unverified|AreOpaque`)
	link     = regexp.MustCompile(`\]\(([^)]+)\)`)
)

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	require.NoError(t, err)
	return string(b)
}

// source is the Go code of the repository.
type source struct {
	tests   map[string]bool // "dir.TestName", the root being bearergate
	rows    map[string]bool // the IDs of rows and cases in all test files
	relaxes map[string]bool // "dir.Type.Field", "dir.Func", "dir.Type.Method", exported by a package for users
}

func readSource(t *testing.T) source {
	t.Helper()
	s, err := parsed()
	require.NoError(t, err)
	require.Greater(t, len(s.tests), 400, "tests have been lost: is this module inside its repository?")
	return s
}

// parsed reads every Go file of the repository, once.
var parsed = sync.OnceValues(func() (source, error) {
	s := source{tests: map[string]bool{}, rows: map[string]bool{}, relaxes: map[string]bool{}}
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			switch entry.Name() {
			case ".git", "testdata", "vendor", "node_modules":
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		rel, err := filepath.Rel(root, filepath.Dir(name))
		if err != nil {
			return err
		}
		dir := filepath.ToSlash(rel)
		if dir == "." {
			dir = "bearergate"
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, b, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		first, _, _ := strings.Cut(dir, "/")
		switch {
		case strings.HasSuffix(name, "_test.go"):
			for _, row := range rowRef.FindAll(b, -1) {
				s.rows[string(row)] = true
			}
			for _, test := range testsOf(file) {
				s.tests[dir+"."+test] = true
			}
		case !slices.Contains([]string{"internal", "examples", "test", "tools"}, first):
			for _, relaxed := range relaxesOf(file) {
				s.relaxes[dir+"."+relaxed] = true
			}
		}
		return nil
	})
	return s, err
})

// testsOf returns the tests and fuzz targets that go test runs in the file.
func testsOf(file *ast.File) (names []string) {
	for _, decl := range file.Decls {
		f, ok := decl.(*ast.FuncDecl)
		if !ok || f.Recv != nil || len(f.Type.Params.List) != 1 {
			continue
		}
		star, ok := f.Type.Params.List[0].Type.(*ast.StarExpr)
		if !ok {
			continue
		}
		if sel, ok := star.X.(*ast.SelectorExpr); ok &&
			(strings.HasPrefix(f.Name.Name, "Test") && sel.Sel.Name == "T" || strings.HasPrefix(f.Name.Name, "Fuzz") && sel.Sel.Name == "F") {
			names = append(names, f.Name.Name)
		}
	}
	return names
}

// relaxesOf returns what the file exports under a name that says that it
// relaxes something.
func relaxesOf(file *ast.File) (names []string) {
	for _, decl := range file.Decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			if !decl.Name.IsExported() || !relaxing.MatchString(decl.Name.Name) {
				continue
			}
			name := decl.Name.Name
			if decl.Recv != nil {
				of := decl.Recv.List[0].Type
				if star, ok := of.(*ast.StarExpr); ok {
					of = star.X
				}
				if of, ok := of.(*ast.Ident); ok {
					name = of.Name + "." + name
				}
			}
			names = append(names, name)
		case *ast.GenDecl:
			for _, spec := range decl.Specs {
				of, ok := spec.(*ast.TypeSpec)
				if !ok || !of.Name.IsExported() {
					continue
				}
				fields, ok := of.Type.(*ast.StructType)
				if !ok {
					continue
				}
				for _, field := range fields.Fields.List {
					for _, name := range field.Names {
						if name.IsExported() && relaxing.MatchString(name.Name) {
							names = append(names, of.Name.Name+"."+name.Name)
						}
					}
				}
			}
		}
	}
	return names
}

// section returns what stands under the heading, up to the next one.
func section(t *testing.T, text, heading string) string {
	t.Helper()
	_, rest, found := strings.Cut(text, "\n## "+heading+"\n")
	require.True(t, found, "no section %q", heading)
	rest, _, _ = strings.Cut(rest, "\n## ")
	return rest
}

// cells returns the rows of the one table in the text, without its head.
func cells(t *testing.T, text string, columns int) (rows [][]string) {
	t.Helper()
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") {
			continue
		}
		row := strings.Split(strings.Trim(line, "|"), "|")
		require.Len(t, row, columns, line)
		for i := range row {
			row[i] = strings.TrimSpace(row[i])
			require.NotEmpty(t, row[i], line)
		}
		rows = append(rows, row)
	}
	require.Greater(t, len(rows), 2, "no table")
	return rows[2:]
}

// Every test that the documents name exists, and so does every row.
func TestNamedTestsExist(t *testing.T) {
	s := readSource(t)
	for doc, least := range map[string]int{security: 120, evidence: 20} {
		text := read(t, doc)
		refs := testRef.FindAllStringSubmatch(text, -1)
		require.Greater(t, len(refs), least, "%s names hardly any test", doc)
		for _, ref := range refs {
			if !s.tests[ref[1]+"."+ref[2]] {
				t.Errorf("%s: there is no test %s in %s", doc, ref[2], ref[1])
			}
		}
	}
	rows := rowRef.FindAllString(section(t, read(t, security), "Threats"), -1)
	require.Greater(t, len(rows), 100)
	for _, row := range rows {
		if !s.rows[row] {
			t.Errorf("%s: no test has the row %s", security, row)
		}
	}
}

// Every threat has a defence and a test, every promise a test.
func TestThreatsAndPromisesHaveTests(t *testing.T) {
	text := read(t, security)
	threats := cells(t, section(t, text, "Threats"), 3)
	require.Greater(t, len(threats), 50, "threats have been lost")
	for _, threat := range threats {
		require.Regexp(t, testRef, threat[2], "no test for %q", threat[0])
	}
	promises := 0
	for line := range strings.Lines(section(t, text, "What is promised")) {
		if strings.TrimSpace(line) != "" {
			promises++
			require.Regexp(t, testRef, line)
		}
	}
	require.Equal(t, 9, promises)
}

// Everything that relaxes a check is listed, and nothing that is not there.
func TestRelaxationsAreListed(t *testing.T) {
	s := readSource(t)
	require.Greater(t, len(s.relaxes), 8)
	text := section(t, read(t, security), "What relaxes a check")
	listed := map[string]bool{}
	for _, ref := range nameRef.FindAllStringSubmatch(text, -1) {
		if parts := strings.Split(ref[1], "."); relaxing.MatchString(parts[len(parts)-1]) {
			listed[ref[1]] = true
		}
	}
	require.Equal(t, slices.Sorted(maps.Keys(s.relaxes)), slices.Sorted(maps.Keys(listed)))
	for _, row := range cells(t, text, 2) {
		require.Regexp(t, nameRef, row[0])
	}
}

// No fuzz target is missing in the table of the evidence.
func TestFuzzTargetsAreListed(t *testing.T) {
	text := read(t, evidence)
	for test := range readSource(t).tests {
		dir, name, _ := strings.Cut(test, ".")
		if strings.HasPrefix(name, "Fuzz") && !strings.HasPrefix(dir, "adapters/") && !strings.HasPrefix(dir, "examples/") {
			require.Contains(t, text, "`"+test+"`")
		}
	}
}

// Every link within the repository leads somewhere, to a heading too.
func TestLinks(t *testing.T) {
	for _, doc := range []string{security, evidence} {
		links := link.FindAllStringSubmatch(read(t, doc), -1)
		require.NotEmpty(t, links, doc)
		for _, l := range links {
			target, heading, _ := strings.Cut(l[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			name := doc
			if target != "" {
				name = path.Join(path.Dir(doc), target)
			}
			info, err := os.Stat(filepath.Join(root, filepath.FromSlash(name)))
			if err != nil {
				t.Errorf("%s: %s leads nowhere", doc, l[1])
				continue
			}
			if heading != "" && !info.IsDir() {
				require.Contains(t, headings(read(t, name)), heading, "%s: %s", doc, l[1])
			}
		}
	}
}

// headings returns the anchors of a document's headings.
func headings(text string) (anchors []string) {
	for line := range strings.Lines(text) {
		if title, found := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); found && strings.HasPrefix(line, "#") {
			keep := func(c rune) rune {
				switch {
				case c == ' ':
					return '-'
				case c == '-' || c == '_' || 'a' <= c && c <= 'z' || '0' <= c && c <= '9':
					return c
				}
				return -1
			}
			anchors = append(anchors, strings.Map(keep, strings.ToLower(strings.TrimSpace(title))))
		}
	}
	return anchors
}

// The readers above find what they are for, and nothing else.
func TestReaders(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "x.go", `package x
type Config struct {
	InsecureX, AllowY bool
	NoZ bool
	Notes, Normal, allowed string
	Hidden struct{ InsecureInner bool }
}
type config struct{ InsecureHidden bool }
type Names interface{ InsecureMethod() }
func InsecureF() {}
func (c *Config) UnverifiedIssuer() {}
func (Config) WithInsecureTLS() {}
func (Config) Noon() {}
func insecure() {}
func TestA(t *testing.T) {}
func TestB(t *other) {}
func FuzzC(f *testing.F) {}
func TestMain(m *testing.M) {}
func (Config) TestD(t *testing.T) {}
`, parser.SkipObjectResolution)
	require.NoError(t, err)
	require.Equal(t, []string{"Config.InsecureX", "Config.AllowY", "Config.NoZ", "InsecureF", "Config.UnverifiedIssuer", "Config.WithInsecureTLS"}, relaxesOf(file))
	require.Equal(t, []string{"TestA", "FuzzC"}, testsOf(file))
	require.Equal(t, [][]string{{"`internal/jose.TestX`", "internal/jose", "TestX"}}, testRef.FindAllStringSubmatch("`internal/jose.TestX`, `go test`, TestY, `a.Config`", -1))
	require.Equal(t, []string{"ZZZ-008", "ZZ-009", "ZZZ-013b"}, rowRef.FindAllString("ZZZ-008, ZZ-009; ZZZ-013b CVE-2017-15361 P-256", -1))
	require.Equal(t, [][]string{{"a", "b"}}, cells(t, "x\n| h | i |\n|---|---|\n| a | b |\ny", 2))
	require.Equal(t, []string{"what-a-test-is-rfc-7662"}, headings("#no\n## What a `test` is: (RFC 7662)\n"))
}
