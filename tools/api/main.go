// Command api writes the exported API of every package for users to api/, one
// file a package and one line a name, so that growth is a visible diff. It reads
// the source only.
//
//	go run ./tools/api
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/doc"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"log"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

const modulePath = "github.com/bearergate/bearergate"

// hidden are the directories whose packages are not for users.
var hidden = []string{"internal", "examples", "test", "tools"}

func main() {
	log.SetFlags(0)
	log.SetPrefix("api: ")
	root := flag.String("root", ".", "the root of the repository")
	flag.Parse()
	files, err := generate(*root)
	if err != nil {
		log.Fatal(err)
	}
	if err := write(filepath.Join(*root, "api"), files); err != nil {
		log.Fatal(err)
	}
}

// write makes the files of dir those that are given, and no others.
func write(dir string, files map[string]string) error {
	old, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil {
		return err
	}
	for _, name := range old {
		if _, ok := files[filepath.Base(name)]; !ok {
			if err := os.Remove(name); err != nil {
				return err
			}
		}
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// generate returns the text of each file, by its name: "middleware-usage.txt"
// is the package in middleware/usage, "bearergate.txt" the one at the root.
func generate(root string) (map[string]string, error) {
	files := map[string]string{}
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		dir := filepath.ToSlash(rel)
		first, _, _ := strings.Cut(dir, "/")
		if slices.Contains(hidden, first) || dir != "." && strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata" || entry.Name() == "node_modules" {
			return fs.SkipDir
		}
		lines, err := lines(name, path.Join(modulePath, dir))
		if err != nil || len(lines) == 0 {
			return err
		}
		file := strings.ReplaceAll(dir, "/", "-")
		if dir == "." {
			file = "bearergate"
		}
		files[file+".txt"] = strings.Join(lines, "\n") + "\n"
		return nil
	})
	if err == nil && len(files) == 0 {
		err = errors.New("no package found")
	}
	return files, err
}

// lines returns a line for each exported name of the package in dir, sorted.
func lines(dir, importPath string) ([]string, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	set := token.NewFileSet()
	var parsed []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(set, name, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		if file.Name.Name != "main" {
			parsed = append(parsed, file)
		}
	}
	if len(parsed) == 0 {
		return nil, nil
	}
	pkg, err := doc.NewFromFiles(set, parsed, importPath)
	if err != nil {
		return nil, err
	}
	w := &writer{set: set}
	w.values(pkg.Consts)
	w.values(pkg.Vars)
	w.funcs(pkg.Funcs)
	for _, t := range pkg.Types {
		w.values(t.Consts)
		w.values(t.Vars)
		w.funcs(t.Funcs)
		w.funcs(t.Methods)
		for _, spec := range t.Decl.Specs {
			w.typ(spec.(*ast.TypeSpec))
		}
	}
	if w.err != nil {
		return nil, fmt.Errorf("%s: %w", importPath, w.err)
	}
	slices.Sort(w.lines)
	return w.lines, nil
}

type writer struct {
	set   *token.FileSet
	lines []string
	err   error
}

func (w *writer) addf(format string, args ...any) {
	w.lines = append(w.lines, fmt.Sprintf(format, args...))
}

// source renders a piece of syntax on one line.
func (w *writer) source(node any) string {
	var b bytes.Buffer
	if err := format.Node(&b, w.set, node); err != nil {
		w.err = errors.Join(w.err, err)
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

func (w *writer) values(values []*doc.Value) {
	for _, value := range values {
		for _, spec := range value.Decl.Specs {
			v := spec.(*ast.ValueSpec)
			for i, name := range v.Names {
				if !name.IsExported() {
					continue
				}
				line := value.Decl.Tok.String() + " " + name.Name
				if v.Type != nil {
					line += " " + w.source(v.Type)
				}
				if value.Decl.Tok == token.CONST && i < len(v.Values) {
					line += " = " + w.source(v.Values[i])
				}
				w.addf("%s", line)
			}
		}
	}
}

func (w *writer) funcs(funcs []*doc.Func) {
	for _, f := range funcs {
		declaration := *f.Decl
		declaration.Body, declaration.Doc = nil, nil
		w.addf("%s", w.source(&declaration))
	}
}

func (w *writer) typ(spec *ast.TypeSpec) {
	name := spec.Name.Name
	if spec.TypeParams != nil {
		name += "[…]"
	}
	switch t := spec.Type.(type) {
	case *ast.StructType:
		w.addf("type %s struct", name)
		w.fields("type "+name+" struct, ", t.Fields)
	case *ast.InterfaceType:
		w.addf("type %s interface", name)
		w.fields("type "+name+" interface, ", t.Methods)
	default:
		assign := ""
		if spec.Assign.IsValid() {
			assign = "= "
		}
		w.addf("type %s %s%s", name, assign, w.source(spec.Type))
	}
}

func (w *writer) fields(prefix string, fields *ast.FieldList) {
	for _, field := range fields.List {
		if len(field.Names) == 0 {
			w.addf("%s%s", prefix, w.source(field.Type)) // embedded
		}
		for _, name := range field.Names {
			if name.IsExported() {
				rest := w.source(field.Type)
				if _, method := field.Type.(*ast.FuncType); method && strings.Contains(prefix, " interface, ") {
					rest = strings.TrimPrefix(rest, "func")
				} else {
					rest = " " + rest
				}
				w.addf("%s%s%s", prefix, name.Name, rest)
			}
		}
	}
}
