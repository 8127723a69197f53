//go:build unix

package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"strings"
)

// A mutant is one small change to one source file: the bytes from start to end
// become text.
type mutant struct {
	file       *source
	decl       *ast.FuncDecl // nil outside functions
	alone      bool          // in a binary of its own
	kind       string
	what       string // the code that is changed, on one line
	nth        int    // among those of the same file, function, kind and code
	start, end int
	text       string
}

// id names the mutant for as long as its function keeps this piece of code:
// lines may move.
func (m *mutant) id() string {
	return fmt.Sprintf("%s %s %s %d %s", m.file.path, m.function(), m.kind, m.nth, m.what)
}

func (m *mutant) function() string {
	switch {
	case m.decl == nil:
		return "-"
	case m.decl.Recv == nil:
		return m.decl.Name.Name
	}
	recv := m.decl.Recv.List[0].Type
	return fmt.Sprintf("(%s).%s", m.file.textOf(recv), m.decl.Name.Name)
}

// A source is one parsed file of a package under test.
type source struct {
	path    string // slash-separated, from the root
	text    string
	fset    *token.FileSet
	parsed  *ast.File
	mutants []*mutant
	ids     map[string]bool
}

func parse(path, text string) (*source, error) {
	fset := token.NewFileSet()
	parsed, err := parser.ParseFile(fset, path, text, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	s := &source{path: path, text: text, fset: fset, parsed: parsed, ids: map[string]bool{}}
	for _, decl := range parsed.Decls {
		fn, _ := decl.(*ast.FuncDecl)
		if fn != nil && (fn.Body == nil || fn.Name.Name == "_") {
			continue
		}
		f := finder{source: s, decl: fn, alone: fn == nil || !callable(fn)}
		f.walk(decl)
	}
	return s, nil
}

func (s *source) offset(p token.Pos) int   { return s.fset.Position(p).Offset }
func (s *source) textOf(n ast.Node) string { return s.text[s.offset(n.Pos()):s.offset(n.End())] }
func (s *source) line(offset int) int      { return 1 + strings.Count(s.text[:offset], "\n") }

// callable reports whether a copy of the function can stand in for it: the
// function can name all that it has to pass on, and does not itself call
// recover, which would recover nothing in a function called by this one.
func callable(fn *ast.FuncDecl) bool {
	ok := fn.Type.TypeParams == nil && fn.Name.Name != "init"
	for _, field := range passed(fn) {
		ok = ok && len(field.Names) > 0 && field.Names[0].Name != "_"
	}
	ast.Inspect(fn.Body, func(n ast.Node) bool {
		if id, isIdent := n.(*ast.Ident); isIdent && id.Name == "recover" {
			ok = false
		}
		_, literal := n.(*ast.FuncLit)
		return !literal
	})
	return ok
}

// passed are the receiver, if any, and the parameters.
func passed(fn *ast.FuncDecl) []*ast.Field {
	if fn.Recv == nil {
		return fn.Type.Params.List
	}
	return append(fn.Recv.List[:1:1], fn.Type.Params.List...)
}

// A finder collects the mutants of one declaration.
type finder struct {
	*source
	decl  *ast.FuncDecl
	alone bool
	stack []ast.Node // from the declaration to the parent of the node at hand
}

func (f *finder) walk(decl ast.Decl) {
	ast.Inspect(decl, func(n ast.Node) bool {
		if n == nil {
			f.stack = f.stack[:len(f.stack)-1]
			return true
		}
		f.visit(n)
		f.stack = append(f.stack, n)
		return true
	})
}

func (f *finder) parent() ast.Node {
	if len(f.stack) == 0 {
		return nil
	}
	return f.stack[len(f.stack)-1]
}

// replace adds the mutant in which [from, to) becomes text; shown is the code
// by which a reader finds the place.
func (f *finder) replace(kind string, shown ast.Node, from, to token.Pos, text string) {
	for _, n := range f.stack {
		if call, ok := n.(*ast.CallExpr); ok && kind != "error" && slices.Contains([]string{"fmt.Errorf", "errors.New"}, f.textOf(call.Fun)) {
			return // no program and no test may depend on the text of an error
		}
	}
	what := strings.Join(strings.Fields(f.textOf(shown)), " ")
	if runes := []rune(what); len(runes) > 80 {
		what = string(runes[:79]) + "…"
	}
	m := &mutant{file: f.source, decl: f.decl, alone: f.alone, kind: kind, what: what, start: f.offset(from), end: f.offset(to), text: text}
	m.nth = 1
	for taken := m.id(); f.ids[taken]; taken = m.id() {
		m.nth++
	}
	f.ids[m.id()] = true
	f.mutants = append(f.mutants, m)
}

func (f *finder) swap(kind string, n ast.Expr, text string) {
	f.replace(kind, n, n.Pos(), n.End(), text)
}

// force makes a condition constant. Its code stays, so that what it uses is
// used, but it is not evaluated.
func (f *finder) force(kind string, cond ast.Expr, value bool) {
	neutral := "true || ("
	if !value {
		neutral = "false && ("
	}
	f.swap(kind, cond, "("+neutral+f.textOf(cond)+"))")
}

var (
	boundary  = map[token.Token]string{token.LSS: "<=", token.LEQ: "<", token.GTR: ">=", token.GEQ: ">"}
	negation  = map[token.Token]string{token.EQL: "!=", token.NEQ: "==", token.LSS: ">=", token.GEQ: "<", token.GTR: "<=", token.LEQ: ">"}
	operation = map[token.Token]string{token.ADD: "-", token.SUB: "+", token.MUL: "/", token.QUO: "*", token.REM: "*",
		token.SHL: ">>", token.SHR: "<<", token.AND: "|", token.OR: "&", token.XOR: "&", token.AND_NOT: "&",
		token.ADD_ASSIGN: "-=", token.SUB_ASSIGN: "+=", token.MUL_ASSIGN: "/=", token.QUO_ASSIGN: "*=",
		token.OR_ASSIGN: "&=", token.AND_ASSIGN: "|=", token.XOR_ASSIGN: "|=", token.SHL_ASSIGN: ">>=", token.SHR_ASSIGN: "<<="}
	// Whose fault it is, and why, are part of every answer.
	sentinel = regexp.MustCompile(`^Err(MissingToken|InvalidRequest|InvalidToken|InsufficientScope|InsufficientAuthentication|Unavailable|Misconfigured)$`)
	reason   = regexp.MustCompile(`^Reason[A-Z]`)
)

func (f *finder) visit(n ast.Node) {
	switch n := n.(type) {
	case *ast.BinaryExpr:
		f.binary(n)
	case *ast.UnaryExpr:
		if n.Op == token.NOT && !f.forced() {
			f.replace("not", n, n.Pos(), n.X.Pos(), "")
		}
	case *ast.IfStmt:
		f.force("true", n.Cond, true)
		f.force("false", n.Cond, false)
	case *ast.ForStmt:
		if n.Cond != nil {
			f.force("false", n.Cond, false)
		}
	case *ast.BasicLit:
		f.literal(n)
	case *ast.Ident:
		if flipped := map[string]string{"true": "false", "false": "true"}[n.Name]; flipped != "" && !f.beside() {
			f.replace("bool", f.context(n), n.Pos(), n.End(), flipped)
		}
	case *ast.SelectorExpr:
		f.errorName(n)
	case *ast.BlockStmt:
		f.statements(n.List)
		f.clauses(n)
	case *ast.CaseClause:
		f.statements(n.Body)
	case *ast.CommClause:
		f.statements(n.Body)
	case *ast.AssignStmt:
		if op := operation[n.Tok]; op != "" {
			f.replace("arithmetic", n, n.TokPos, n.TokPos+token.Pos(len(n.Tok.String())), op)
		}
	case *ast.IncDecStmt:
		f.replace("arithmetic", n, n.TokPos, n.TokPos+2, map[token.Token]string{token.INC: "--", token.DEC: "++"}[n.Tok])
	case *ast.ReturnStmt:
		f.results(n)
	}
}

// context is the node that shows where a short one stands.
func (f *finder) context(n ast.Node) ast.Node {
	switch p := f.parent().(type) {
	case *ast.KeyValueExpr, *ast.BinaryExpr, *ast.AssignStmt, *ast.ReturnStmt, *ast.ValueSpec, *ast.SliceExpr, *ast.IndexExpr, *ast.ArrayType:
		return p
	case *ast.CallExpr:
		if p.Fun != n {
			return p
		}
	}
	return n
}

func (f *finder) binary(n *ast.BinaryExpr) {
	operator := func(kind, text string) {
		if text != "" {
			f.replace(kind, n, n.OpPos, n.OpPos+token.Pos(len(n.Op.String())), text)
		}
	}
	switch n.Op {
	case token.LAND, token.LOR:
		operator("logic", map[token.Token]string{token.LAND: "||", token.LOR: "&&"}[n.Op])
		f.force("drop", n.X, n.Op == token.LAND)
		f.force("drop", n.Y, n.Op == token.LAND)
	case token.LSS, token.LEQ, token.GTR, token.GEQ:
		if !isNumber(n.X) && !isNumber(n.Y) { // x < 5: the number's own mutants are all neighbours of it
			operator("boundary", boundary[n.Op])
		}
		fallthrough
	case token.EQL, token.NEQ:
		if !f.forced() {
			operator("negation", negation[n.Op])
		}
	default:
		operator("arithmetic", operation[n.Op])
	}
}

func isNumber(e ast.Expr) bool {
	lit, ok := e.(*ast.BasicLit)
	return ok && (lit.Kind == token.INT || lit.Kind == token.CHAR)
}

// forced reports whether the expression is a condition, or one side of && or ||:
// those are forced to constants, which is harder to notice than their negation.
func (f *finder) forced() bool {
	switch p := f.parent().(type) {
	case *ast.IfStmt, *ast.ForStmt:
		return true
	case *ast.BinaryExpr:
		return p.Op == token.LAND || p.Op == token.LOR
	case *ast.CaseClause:
		return true
	case *ast.ReturnStmt:
		return true
	}
	return false
}

func (f *finder) literal(n *ast.BasicLit) {
	if f.beside() {
		return
	}
	switch n.Kind {
	case token.INT, token.CHAR:
		if call, ok := f.parent().(*ast.CallExpr); ok && f.textOf(call.Fun) == "make" {
			return // a capacity or a size hint
		}
		f.replace("plus", f.context(n), n.Pos(), n.End(), "("+n.Value+"+1)")
		f.replace("minus", f.context(n), n.Pos(), n.End(), "("+n.Value+"-1)")
	case token.STRING:
		if len(n.Value) == 2 {
			return // no name, no separator: that this is compared at all is forced elsewhere
		}
		compared := false
		switch p := f.parent().(type) {
		case *ast.BinaryExpr:
			_, compared = negation[p.Op]
		case *ast.CaseClause:
			compared = true
		case *ast.CallExpr:
			fun := f.textOf(p.Fun)
			compared = strings.HasPrefix(fun, "strings.") || strings.HasPrefix(fun, "bytes.")
		}
		if compared {
			f.replace("text", f.context(n), n.Pos(), n.End(), "("+n.Value+`+"~")`)
		}
	}
}

func (f *finder) errorName(n *ast.SelectorExpr) {
	var other string
	switch name := n.Sel.Name; {
	case sentinel.MatchString(name):
		other = "ErrUnavailable"
		if name == other {
			other = "ErrInvalidToken"
		}
	case reason.MatchString(name) && name != "ReasonOf":
		other = "ReasonInternal"
		if name == other {
			other = "ReasonConfig"
		}
	default:
		return
	}
	if pkg, ok := n.X.(*ast.Ident); ok && pkg.Name == "bearergate" {
		f.replace("error", f.context(n), n.Sel.Pos(), n.Sel.End(), other)
	}
}

// statements removes each statement that stands alone. Its code stays, so that
// what it uses is used, but it is never reached.
func (f *finder) statements(list []ast.Stmt) {
	for _, s := range list {
		inner := s
		if label, ok := s.(*ast.LabeledStmt); ok {
			inner = label.Stmt
		}
		switch s := inner.(type) {
		case *ast.AssignStmt:
			if s.Tok == token.DEFINE {
				continue
			}
			if blank, ok := s.Lhs[0].(*ast.Ident); ok && blank.Name == "_" && len(s.Lhs) == 1 {
				continue
			}
		case *ast.ExprStmt, *ast.IncDecStmt, *ast.SendStmt, *ast.DeferStmt, *ast.GoStmt:
		case *ast.BranchStmt:
			if s.Tok == token.FALLTHROUGH {
				continue
			}
		case *ast.ReturnStmt:
			if len(s.Results) > 0 {
				continue
			}
		default:
			continue
		}
		f.replace("remove", inner, inner.Pos(), inner.End(), "if false { "+f.textOf(inner)+" }")
	}
}

// clauses removes each case of a switch or select: its values one by one if it
// has several; the cases of a switch without a value are conditions.
func (f *finder) clauses(body *ast.BlockStmt) {
	sw, _ := f.parent().(*ast.SwitchStmt)
	for _, s := range body.List {
		clause, ok := s.(*ast.CaseClause)
		if !ok {
			if comm, ok := s.(*ast.CommClause); ok {
				f.replace("case", &ast.BadExpr{From: comm.Case, To: comm.Colon}, comm.Pos(), comm.End(), "")
			}
			continue
		}
		for i, value := range clause.List {
			switch {
			case sw != nil && sw.Tag == nil:
				f.force("true", value, true)
				f.force("false", value, false)
			case len(clause.List) > 1 && i == 0:
				f.replace("case", value, value.Pos(), clause.List[1].Pos(), "")
			case len(clause.List) > 1:
				f.replace("case", value, clause.List[i-1].End(), value.End(), "")
			default:
				f.replace("case", value, clause.Pos(), clause.End(), "")
			}
		}
		if clause.List == nil {
			f.replace("case", &ast.BadExpr{From: clause.Case, To: clause.Colon}, clause.Pos(), clause.End(), "")
		}
	}
}

// resultTypes are those of the function that the node at hand stands in.
func (f *finder) resultTypes() (types []ast.Expr) {
	for _, n := range slices.Backward(f.stack) {
		var fn *ast.FuncType
		switch n := n.(type) {
		case *ast.FuncLit:
			fn = n.Type
		case *ast.FuncDecl:
			fn = n.Type
		default:
			continue
		}
		if fn.Results != nil {
			for _, field := range fn.Results.List {
				for range max(1, len(field.Names)) {
					types = append(types, field.Type)
				}
			}
		}
		return types
	}
	return nil
}

func isIdent(e ast.Expr, names ...string) bool {
	id, ok := e.(*ast.Ident)
	return ok && slices.Contains(names, id.Name)
}

// beside reports whether the node at hand is a value that is returned beside an
// error: nobody uses it.
func (f *finder) beside() bool {
	ret, ok := f.parent().(*ast.ReturnStmt)
	types := f.resultTypes()
	last := len(types) - 1
	return ok && last > 0 && len(ret.Results) == len(types) && isIdent(types[last], "error") && !isIdent(ret.Results[last], "nil")
}

// results returns no error where one was returned, and constants where a
// decision was.
func (f *finder) results(n *ast.ReturnStmt) {
	types := f.resultTypes()
	if len(types) != len(n.Results) {
		return
	}
	for i, result := range n.Results {
		switch {
		case isIdent(types[i], "bool") && !isIdent(result, "true", "false"):
			f.force("true", result, true)
			f.force("false", result, false)
		case isIdent(types[i], "error") && i == len(types)-1 && !isIdent(result, "nil"):
			before := f.text[f.offset(n.Pos()):f.offset(result.Pos())] // evaluated, so that what it uses is used
			f.replace("no error", n, n.Pos(), n.End(), "{ _ = "+f.textOf(result)+"; "+before+"nil }")
		}
	}
}
