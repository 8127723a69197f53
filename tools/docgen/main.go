// Command docgen writes docs/configuration.md, the configuration reference, from
// the doc comments of the packages, and the table of packages in
// docs/architecture.md. It reads the source only; nothing is repeated by hand, so
// that neither can drift from the code.
//
//	go generate ./tools/docgen
package main

//go:generate go run . -root ../..

import (
	"bytes"
	"cmp"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/constant"
	"go/doc"
	"go/doc/comment"
	"go/format"
	"go/parser"
	"go/token"
	"log"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	modulePath = "github.com/bearergate/bearergate"
	output     = "docs/configuration.md" // relative to the root of the repository
)

// A section says what of one package is configuration. Everything named has to
// exist, and a test sees to it that no exported *Config is forgotten.
type section struct {
	dir       string
	types     []string // a struct with its fields, or a closed set with its constants
	makers    []string // types whose constructors are the choice: options, ways to authenticate
	constants bool     // the defaults and bounds
}

var sections = []section{
	{dir: ".", types: []string{"AnswerConfig", "ClientAddressConfig", "Delegation"}, constants: true},
	{dir: "jwtverify", types: []string{"Config", "Profile", "Hooks"}, constants: true},
	{dir: "introspect", types: []string{"Config", "CacheConfig", "CallsConfig", "StoreConfig", "SignedConfig", "Signing", "Assertion", "Hooks"}, makers: []string{"Auth"}, constants: true},
	{dir: "jwks", types: []string{"Config", "Hooks"}, constants: true},
	{dir: "middleware", types: []string{"Config", "ForwardAuthConfig", "Proxy", "OriginalHeaders", "Metadata", "Hooks"}, makers: []string{"RouteOption"}, constants: true},
	{dir: "binding/dpop", types: []string{"Config", "NonceConfig", "Hooks"}, constants: true},
	{dir: "binding/mtls", types: []string{"Config", "Forwarded", "Format"}, constants: true},
	{dir: "revocation", types: []string{"Config", "Entry", "Hooks"}, constants: true},
	{dir: "revocation/admin", types: []string{"Config", "Hooks"}, constants: true},
	{dir: "revocation/signals", types: []string{"Config", "Hooks"}, constants: true},
	{dir: "revocation/backchannel", types: []string{"Config", "Hooks"}, constants: true},
	{dir: "policy", types: []string{"Config"}, constants: true},
	{dir: "issuers", types: []string{"Config", "Limits"}, constants: true},
	{dir: "apikey", types: []string{"Config", "Record", "Hooks"}, constants: true},
	{dir: "idp", types: []string{"EntraConfig", "EntraTenantsConfig", "B2CConfig", "CognitoConfig", "ClerkConfig"}},
	{dir: "middleware/catalogue", types: []string{"Rules", "Scope"}, constants: true},
	{dir: "middleware/sightings", types: []string{"Config", "Hooks"}, constants: true},
	{dir: "middleware/usage", types: []string{"Config"}, constants: true},
	{dir: "scope", types: []string{"Policy"}},
	{dir: "authtest", types: []string{"Fault", "DPoPTransport"}, makers: []string{"Option"}, constants: true},
}

// title is the heading of a section.
func (s section) title() string {
	if s.dir == "." {
		return "bearergate"
	}
	return s.dir
}

const head = `<!-- Generated from the doc comments by go generate ./tools/docgen. Do not edit. -->

# Configuration

Every field that configures something, with its unit, its default and its danger, as the doc comments have it. A field that is left out has its safe default; what is required, ` + "`New`" + ` asks for, and it names every mistake at once. What to choose: [choosing.md](choosing.md). All that weakens a check: the list at the end of [SECURITY.md](../SECURITY.md). The adapters are modules of their own and are described in their packages.

`

func main() {
	log.SetFlags(0)
	log.SetPrefix("docgen: ")
	root := flag.String("root", ".", "the root of the repository")
	flag.Parse()
	text, err := generate(*root, sections)
	if err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(*root, filepath.FromSlash(output)), text, 0o644); err != nil {
		log.Fatal(err)
	}
	if err := updateArchitecture(*root); err != nil {
		log.Fatal(err)
	}
}

// generate returns the reference of the sections.
func generate(root string, sections []section) ([]byte, error) {
	var out bytes.Buffer
	out.WriteString(head)
	for _, s := range sections {
		fmt.Fprintf(&out, "- [%s](#%s)\n", s.title(), strings.ReplaceAll(s.title(), "/", "")) // the anchor of the heading
	}
	for _, s := range sections {
		p, err := load(root, s.dir)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&out, "\n## %s\n", s.title())
		for _, name := range s.types {
			if err := p.writeType(&out, name); err != nil {
				return nil, err
			}
		}
		for _, name := range s.makers {
			if err := p.writeMakers(&out, name); err != nil {
				return nil, err
			}
		}
		if s.constants {
			if err := p.writeConstants(&out); err != nil {
				return nil, err
			}
		}
	}
	return out.Bytes(), nil
}

// pkg is the source of one package.
type pkg struct {
	*doc.Package
	root  string
	fset  *token.FileSet
	files []*ast.File
}

func load(root, dir string) (*pkg, error) {
	names, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(dir), "*.go"))
	if err != nil {
		return nil, err
	}
	p := &pkg{root: root, fset: token.NewFileSet()}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(p.fset, name, nil, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		p.files = append(p.files, file)
	}
	if len(p.files) == 0 {
		return nil, fmt.Errorf("%s: no Go files", dir)
	}
	// PreserveAST: the values of constants are looked up in the files later.
	p.Package, err = doc.NewFromFiles(p.fset, p.files, path.Join(modulePath, dir), doc.PreserveAST)
	return p, err
}

func (p *pkg) find(name string) (*doc.Type, error) {
	i := slices.IndexFunc(p.Types, func(t *doc.Type) bool { return t.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("%s: there is no exported type %s", p.Name, name)
	}
	return p.Types[i], nil
}

func (p *pkg) writeType(out *bytes.Buffer, name string) error {
	t, err := p.find(name)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\n### %s.%s\n\n%s", p.Name, name, p.markdown(t.Doc))
	for _, c := range t.Consts { // a closed set
		for _, spec := range c.Decl.Specs {
			v := spec.(*ast.ValueSpec)
			p.writeItem(out, "**`"+v.Names[0].Name+"`**", cmp.Or(v.Doc.Text(), v.Comment.Text()))
		}
	}
	body, ok := t.Decl.Specs[0].(*ast.TypeSpec).Type.(*ast.StructType)
	if !ok {
		return nil
	}
	for _, field := range body.Fields.List {
		var names []string
		for _, n := range field.Names {
			if n.IsExported() {
				names = append(names, "**`"+n.Name+"`**")
			}
		}
		if len(names) == 0 {
			continue
		}
		typ, err := p.source(field.Type)
		if err != nil {
			return err
		}
		p.writeItem(out, strings.Join(names, ", ")+" `"+typ+"`", cmp.Or(field.Doc.Text(), field.Comment.Text()))
	}
	return nil
}

// writeMakers writes the functions that return a type: each is one choice.
func (p *pkg) writeMakers(out *bytes.Buffer, name string) error {
	t, err := p.find(name)
	if err != nil {
		return err
	}
	if len(t.Funcs) == 0 {
		return fmt.Errorf("%s: no function returns %s", p.Name, name)
	}
	fmt.Fprintf(out, "\n### %s.%s\n\n%s", p.Name, name, p.markdown(t.Doc))
	for _, f := range t.Funcs {
		signature, err := p.source(f.Decl.Type)
		if err != nil {
			return err
		}
		p.writeItem(out, "**`"+f.Name+"`** `"+strings.TrimPrefix(signature, "func")+"`", f.Doc)
	}
	return nil
}

// writeConstants writes the constants of no type: the defaults and bounds. Those
// of a type, or converted to one, are closed sets.
func (p *pkg) writeConstants(out *bytes.Buffer) error {
	fmt.Fprintf(out, "\n### %s: defaults and bounds\n\n| constant | value | |\n|---|---|---|\n", p.Name)
	rows := 0
	for _, group := range p.Consts {
		for _, spec := range group.Decl.Specs {
			v := spec.(*ast.ValueSpec)
			if len(v.Values) != 1 {
				return fmt.Errorf("%s: %s has no value of its own", p.Name, v.Names[0].Name)
			}
			if _, converted := v.Values[0].(*ast.CallExpr); converted || v.Type != nil {
				continue
			}
			name := v.Names[0].Name
			value, err := p.value(name)
			if err != nil {
				return fmt.Errorf("%s: %s: %w", p.Name, name, err)
			}
			text := cmp.Or(v.Doc.Text(), v.Comment.Text())
			if text == "" && len(group.Decl.Specs) == 1 {
				text = group.Doc
			}
			cell := strings.Join(strings.Fields(string(p.markdown(text))), " ")
			fmt.Fprintf(out, "| `%s` | %s | %s |\n", name, show(name, value), strings.ReplaceAll(cell, "|", `\|`))
			rows++
		}
	}
	if rows == 0 {
		return fmt.Errorf("%s: no constants", p.Name)
	}
	return nil
}

// writeItem writes one item of a list, with its text indented below it.
func (p *pkg) writeItem(out *bytes.Buffer, title, text string) {
	fmt.Fprintf(out, "\n- %s\n", title)
	if text == "" {
		return
	}
	out.WriteByte('\n')
	for line := range strings.Lines(string(p.markdown(text))) {
		if line != "\n" {
			out.WriteString("  ")
		}
		out.WriteString(line)
	}
}

// markdown renders a doc comment. Links to other symbols become plain text.
func (p *pkg) markdown(text string) []byte {
	printer := p.Printer()
	printer.DocLinkURL = func(*comment.DocLink) string { return "" }
	printer.HeadingLevel = 4
	return printer.Markdown(p.Parser().Parse(text))
}

func (p *pkg) source(node ast.Node) (string, error) {
	var b strings.Builder
	err := format.Node(&b, p.fset, node)
	return b.String(), err
}

// quantity is the value of a constant, and whether it is a time.Duration.
type quantity struct {
	constant.Value
	duration bool
}

// value works out a constant of the package.
func (p *pkg) value(name string) (quantity, error) {
	for _, file := range p.files {
		for _, decl := range file.Decls {
			gen, ok := decl.(*ast.GenDecl)
			if !ok || gen.Tok != token.CONST {
				continue
			}
			for _, spec := range gen.Specs {
				v := spec.(*ast.ValueSpec)
				if i := slices.IndexFunc(v.Names, func(n *ast.Ident) bool { return n.Name == name }); i >= 0 && i < len(v.Values) {
					return p.eval(file, v.Values[i])
				}
			}
		}
	}
	return quantity{}, fmt.Errorf("no constant %s", name)
}

// units are what durations are written in.
var units = map[string]time.Duration{"Nanosecond": 1, "Microsecond": time.Microsecond, "Millisecond": time.Millisecond,
	"Second": time.Second, "Minute": time.Minute, "Hour": time.Hour}

// imports returns the directory of our package that a file knows by this name, or "".
func imports(file *ast.File, name string) (string, error) {
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return "", err
		}
		if rest, ours := strings.CutPrefix(imported, modulePath); ours && path.Base(imported) == name {
			return path.Clean("./" + rest), nil
		}
	}
	return "", nil
}

// eval knows the few forms in which defaults and bounds are written, and says
// so of any other.
func (p *pkg) eval(file *ast.File, expr ast.Expr) (quantity, error) {
	switch e := expr.(type) {
	case *ast.BasicLit:
		return quantity{Value: constant.MakeFromLiteral(e.Value, e.Kind, 0)}, nil
	case *ast.Ident:
		return p.value(e.Name)
	case *ast.SelectorExpr:
		from := e.X.(*ast.Ident).Name
		if unit, ok := units[e.Sel.Name]; ok && from == "time" {
			return quantity{constant.MakeInt64(int64(unit)), true}, nil
		}
		dir, err := imports(file, from)
		if err != nil || dir == "" {
			return quantity{}, errors.Join(err, fmt.Errorf("cannot work out %s.%s", from, e.Sel.Name))
		}
		other, err := load(p.root, dir)
		if err != nil {
			return quantity{}, err
		}
		return other.value(e.Sel.Name)
	case *ast.BinaryExpr:
		x, err := p.eval(file, e.X)
		if err != nil {
			return quantity{}, err
		}
		y, err := p.eval(file, e.Y)
		if err != nil {
			return quantity{}, err
		}
		switch e.Op {
		case token.SHL:
			if n, ok := constant.Uint64Val(y.Value); ok && n < 64 {
				return quantity{constant.Shift(x.Value, e.Op, uint(n)), x.duration}, nil
			}
		case token.MUL, token.ADD, token.SUB:
			return quantity{constant.BinaryOp(x.Value, e.Op, y.Value), x.duration || y.duration}, nil
		}
	}
	return quantity{}, fmt.Errorf("cannot work out a %T", expr)
}

// unit is a size and the name that follows a number of it.
type unit struct {
	size int64
	name string
}

// show writes a value for people: 5 min, 16 KiB, 8,192.
func show(name string, q quantity) string {
	if q.Kind() == constant.String {
		return "`" + constant.StringVal(q.Value) + "`"
	}
	n, exact := constant.Int64Val(q.Value)
	if !exact {
		return q.ExactString()
	}
	in := []unit{{1, ""}}
	switch {
	case q.duration:
		in = []unit{{int64(24 * time.Hour), " d"}, {int64(time.Hour), " h"}, {int64(time.Minute), " min"},
			{int64(time.Second), " s"}, {int64(time.Millisecond), " ms"}, {1, " ns"}}
	case strings.Contains(name, "Bytes"):
		in = []unit{{1 << 20, " MiB"}, {1 << 10, " KiB"}, {1, " B"}}
	}
	for _, s := range in {
		if n != 0 && n%s.size == 0 {
			return thousands(n/s.size) + s.name
		}
	}
	return "0"
}

func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
