// Command evidence keeps the tests that documents name in step with the code. A
// document names a test as `dir.TestName`; the root is called bearergate.
//
//	go run ./tools/evidence                              # mend references to tests that moved
//	go run ./tools/evidence -check                       # fail if there is something to mend
//	go run ./tools/evidence -rename scope.TestOld=TestNew
//
// What cannot be mended it names, and it ends with status 1.
package main

import (
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"log"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// rootName is the directory by which documents name the root.
const rootName = "bearergate"

// reference is how a document names a test.
var reference = regexp.MustCompile("`([a-z][a-z0-9/]*)\\.((?:Test|Fuzz)\\w+)`")

func main() {
	log.SetFlags(0)
	log.SetPrefix("evidence: ")
	root := flag.String("root", ".", "the root of the repository")
	check := flag.Bool("check", false, "write nothing, and fail if there is something to mend")
	rename := flag.String("rename", "", "rename a test and all that names it: `dir.TestOld=TestNew`")
	flag.Parse()
	lines, err := run(*root, *check, *rename)
	for _, line := range lines {
		fmt.Println(line)
	}
	if err != nil {
		log.Fatal(err)
	}
}

// run returns what it did, a line each.
func run(root string, check bool, rename string) ([]string, error) {
	t, err := read(root)
	switch {
	case err != nil:
		return nil, err
	case rename == "":
		return t.mend(check)
	case check:
		return nil, errors.New("-check changes nothing, and -rename does")
	}
	return t.rename(rename)
}

// A tree is what matters here of a repository: slash-separated paths from its root.
type tree struct {
	root  string
	docs  []string            // all *.md
	code  map[string][]string // directory, and its Go files
	tests map[string][]string // test, and the directories that have one of that name
}

func read(root string) (*tree, error) {
	t := &tree{root: root, code: map[string][]string{}, tests: map[string][]string{}}
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		switch {
		case entry.IsDir() && slices.Contains([]string{".git", "testdata", "vendor", "node_modules"}, entry.Name()):
			return fs.SkipDir
		case entry.IsDir():
		case strings.HasSuffix(rel, ".md"):
			t.docs = append(t.docs, rel)
		case strings.HasSuffix(rel, ".go"):
			dir := named(path.Dir(rel))
			t.code[dir] = append(t.code[dir], rel)
			if strings.HasSuffix(rel, "_test.go") {
				return t.readTests(dir, name)
			}
		}
		return nil
	})
	return t, err
}

// named is the directory as documents name it.
func named(dir string) string {
	if dir == "." {
		return rootName
	}
	return dir
}

func (t *tree) readTests(dir, file string) error {
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	for _, decl := range parsed.Decls {
		f, ok := decl.(*ast.FuncDecl)
		if ok && isTest(f) && !slices.Contains(t.tests[f.Name.Name], dir) {
			t.tests[f.Name.Name] = append(t.tests[f.Name.Name], dir)
		}
	}
	return nil
}

// isTest reports whether go test runs the function as a test or fuzz target.
func isTest(f *ast.FuncDecl) bool {
	if f.Recv != nil || len(f.Type.Params.List) != 1 {
		return false
	}
	star, ok := f.Type.Params.List[0].Type.(*ast.StarExpr)
	if !ok {
		return false
	}
	of, ok := star.X.(*ast.SelectorExpr)
	return ok && (strings.HasPrefix(f.Name.Name, "Test") && of.Sel.Name == "T" || strings.HasPrefix(f.Name.Name, "Fuzz") && of.Sel.Name == "F")
}

// mend points each reference whose test is gone at the one directory that has a
// test of that name.
func (t *tree) mend(check bool) (lines []string, err error) {
	changed, unknown := map[string]string{}, 0
	for _, doc := range t.docs {
		text, err := t.read(doc)
		if err != nil {
			return nil, err
		}
		after := reference.ReplaceAllStringFunc(text, func(ref string) string {
			parts := reference.FindStringSubmatch(ref)
			switch dirs := t.tests[parts[2]]; {
			case slices.Contains(dirs, parts[1]):
				return ref
			case len(dirs) == 1:
				to := "`" + dirs[0] + "." + parts[2] + "`"
				lines = append(lines, fmt.Sprintf("%s: %s is now %s", doc, ref, to))
				return to
			case len(dirs) == 0:
				lines = append(lines, fmt.Sprintf("%s: %s is nowhere", doc, ref))
			default:
				lines = append(lines, fmt.Sprintf("%s: %s may be in any of %s", doc, ref, strings.Join(dirs, ", ")))
			}
			unknown++
			return ref
		})
		if after != text {
			changed[doc] = after
		}
	}
	switch {
	case check && len(lines) > 0:
		return lines, fmt.Errorf("%d references are out of date", len(lines))
	case check:
		return nil, nil
	}
	if err := t.write(changed); err != nil {
		return lines, err
	}
	if unknown > 0 {
		return lines, fmt.Errorf("%d references name no test", unknown)
	}
	return lines, nil
}

func (t *tree) read(name string) (string, error) {
	b, err := os.ReadFile(filepath.Join(t.root, filepath.FromSlash(name)))
	return string(b), err
}

func (t *tree) write(changed map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(changed)) {
		if err := os.WriteFile(filepath.Join(t.root, filepath.FromSlash(name)), []byte(changed[name]), 0o644); err != nil {
			return err
		}
	}
	return nil
}
