// Package documents_test holds SECURITY.md and docs/evidence.md to the code: a
// document that names a test which is gone, or keeps silent about a field that
// relaxes a check, is worse than none. It follows the links of every document, and
// holds docs/coverage.md to an answer and a link in each row.
package documents_test

import (
	"fmt"
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
	"unicode"

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
	// link is a link or a picture; codeFence begins or ends a block of code, and codeSpan is
	// one within a line.
	link      = regexp.MustCompile(`\]\(([^)]+)\)`)
	codeFence = regexp.MustCompile("^(?:```+|~~~+)")
	codeSpan  = regexp.MustCompile("`+[^`\n]*`+")
	// answer is how a row of docs/coverage.md is answered; what is declined has a reason.
	answer = regexp.MustCompile(`^(?:built|documented)(?:\W|$)|^declined: \S+ \S+`)
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
		if strings.HasPrefix(name, "Fuzz") && !strings.HasPrefix(dir, "examples/") {
			require.True(t, strings.Contains(text, "| `"+test+"` |"), "%s is not in the table of %s", test, evidence) //nolint:testifylint // the whole page says less
		}
	}
}

// markdown returns the documents of the repository: every *.md outside of testdata,
// whose files are pieces and golden copies of others.
func markdown(t *testing.T) (names []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
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
		if strings.HasSuffix(name, ".md") {
			rel, err := filepath.Rel(root, name)
			if err != nil {
				return err
			}
			names = append(names, filepath.ToSlash(rel))
		}
		return nil
	}))
	require.Greater(t, len(names), 20, "documents have been lost")
	return names
}

// Every link of every document that stays within the repository leads somewhere, to a
// heading too, and one to the documentation of a package to a package that is there.
func TestLinks(t *testing.T) {
	for _, doc := range markdown(t) {
		for _, fault := range brokenLinks(doc, func(name string) (string, bool) {
			info, err := os.Stat(filepath.Join(root, filepath.FromSlash(name)))
			if err != nil || info.IsDir() {
				return "", err == nil
			}
			return read(t, name), true
		}) {
			t.Errorf("%s: %s", doc, fault)
		}
	}
}

// brokenLinks returns what is wrong with the links of a document. look returns the text
// of a file, none of a directory, and whether there is one of that name.
func brokenLinks(doc string, look func(name string) (text string, found bool)) (faults []string) {
	text, _ := look(doc)
	for _, l := range link.FindAllStringSubmatch(withoutCode(text), -1) {
		to, _, _ := strings.Cut(l[1], " ") // behind it stands a title
		target, heading, hasHeading := strings.Cut(to, "#")
		name := doc
		switch pkg, ours := strings.CutPrefix(target, "https://pkg.go.dev/github.com/bearergate/bearergate"); {
		case ours:
			name, hasHeading = path.Join(".", pkg), false
		case strings.Contains(target, ":"):
			continue // another site
		case target != "":
			name = path.Join(path.Dir(doc), target)
		}
		said, found := look(name)
		switch {
		case !found:
			faults = append(faults, l[1]+" leads nowhere")
		case hasHeading && !slices.Contains(headings(said), heading):
			faults = append(faults, l[1]+" names no heading of "+name)
		}
	}
	return faults
}

// Every row of docs/coverage.md says what is asked, how that is answered, and where to
// read on in the repository. TestLinks follows the links.
func TestCoverage(t *testing.T) {
	text := read(t, "docs/coverage.md")
	sections := strings.Split(text, "\n## ")[1:]
	require.Greater(t, len(sections), 8, "sections have been lost")
	asked, rows := map[string]bool{}, 0
	for _, section := range sections {
		heading, _, _ := strings.Cut(section, "\n")
		for _, row := range cells(t, section, 3) {
			rows++
			require.False(t, asked[row[0]], "asked twice: %s", row[0])
			asked[row[0]] = true
			require.True(t, strings.HasSuffix(row[0], "?"), "%s: %s is no question", heading, row[0])
			require.Regexp(t, answer, row[1], row[0])
			links := link.FindAllStringSubmatch(row[2], -1)
			require.NotEmpty(t, links, "%s: no link", row[0])
			for _, l := range links {
				require.NotContains(t, l[1], ":", "%s: a link to elsewhere", row[0])
			}
		}
	}
	require.Greater(t, rows, 100, "rows have been lost")
}

// withoutCode is the text without what a renderer shows as it stands: blocks and spans
// of code, which hold brackets that are no links.
func withoutCode(text string) string { return codeSpan.ReplaceAllString(withoutBlocks(text), "code") }

// withoutBlocks is the text without its blocks of code, which hold number signs that
// are no headings.
func withoutBlocks(text string) string {
	var kept strings.Builder
	fence := ""
	for line := range strings.Lines(text) {
		mark := codeFence.FindString(strings.TrimLeft(line, " >\t"))
		switch {
		case fence == "" && mark != "":
			fence = mark
		case fence != "" && strings.HasPrefix(mark, fence) && strings.Trim(strings.TrimSpace(line), fence[:1]) == "":
			fence = ""
		case fence == "":
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// headings returns the anchors of a document's headings, as GitHub makes them: of two
// headings with the same words, the second ends with -1.
func headings(text string) (anchors []string) {
	seen := map[string]int{}
	for line := range strings.Lines(withoutBlocks(text)) {
		title, found := strings.CutPrefix(strings.TrimLeft(line, "#"), " ")
		if !found || !strings.HasPrefix(line, "#") {
			continue
		}
		keep := func(c rune) rune {
			switch {
			case c == ' ':
				return '-'
			case c == '-' || c == '_' || unicode.IsLetter(c) || unicode.IsNumber(c):
				return c
			}
			return -1
		}
		anchor := strings.Map(keep, strings.ToLower(strings.TrimSpace(title)))
		if n := seen[anchor]; n > 0 {
			anchors = append(anchors, fmt.Sprintf("%s-%d", anchor, n))
		} else {
			anchors = append(anchors, anchor)
		}
		seen[anchor]++
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
	require.Equal(t, []string{"what-a-test-is-rfc-7662", "two", "two-1"}, headings("#no\n## What a `test` is: (RFC 7662)\n```sh\n# a comment\n```\n# Two\n# Two\n"))
}

// A link that leads nowhere is found, in whichever way it does, and nothing else is.
func TestBrokenLinksAreFound(t *testing.T) {
	files := map[string]string{
		"README.md": "# Top\n[a](docs/a.md) [b](docs/a.md#one) [c](#top) [d](docs) [e](https://example.com/x#y) [f](mailto:a@example.com)\n" +
			"[g](https://pkg.go.dev/github.com/bearergate/bearergate) [h](https://pkg.go.dev/github.com/bearergate/bearergate/docs#Type)\n" +
			"`gate.Require(x)[y](z)` ![i](docs/a.svg \"a title\")\n",
		"docs": "", "docs/a.svg": "", "docs/a.md": "## One\n[up](../README.md#top)\n~~~sh\n# Not a heading\n[x](nowhere)\n~~~\n",
	}
	look := func(name string) (string, bool) {
		if name == "." {
			return "", true
		}
		text, found := files[name]
		return text, found
	}
	require.Empty(t, brokenLinks("README.md", look))
	require.Empty(t, brokenLinks("docs/a.md", look))
	for _, test := range []struct{ name, link, fault string }{
		{name: "a file that is gone", link: "docs/b.md", fault: "docs/b.md leads nowhere"},
		{name: "a heading that is gone", link: "docs/a.md#two", fault: "docs/a.md#two names no heading of docs/a.md"},
		{name: "a heading of its own that is gone", link: "#two", fault: "#two names no heading of README.md"},
		{name: "a comment in a block of code", link: "docs/a.md#not-a-heading", fault: "docs/a.md#not-a-heading names no heading of docs/a.md"},
		{name: "a heading of a directory", link: "docs#one", fault: "docs#one names no heading of docs"},
		{name: "an empty heading", link: "docs/a.md#", fault: "docs/a.md# names no heading of docs/a.md"},
		{name: "a picture that is gone", link: "b.svg", fault: "b.svg leads nowhere"},
		{name: "a package that is gone", link: "https://pkg.go.dev/github.com/bearergate/bearergate/gone", fault: "https://pkg.go.dev/github.com/bearergate/bearergate/gone leads nowhere"},
	} {
		t.Run(test.name, func(t *testing.T) {
			files["broken.md"] = "[x](" + test.link + ")"
			if strings.HasPrefix(test.link, "#") {
				files["README.md"] += "[x](" + test.link + ")"
				require.Equal(t, []string{test.fault}, brokenLinks("README.md", look))
				return
			}
			require.Equal(t, []string{test.fault}, brokenLinks("broken.md", look))
		})
	}
}
