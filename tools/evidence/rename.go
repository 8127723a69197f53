package main

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

var renaming = regexp.MustCompile(`^([a-z][a-z0-9/]*)\.((Test|Fuzz)\w+)=((Test|Fuzz)[A-Z0-9_]\w*)$`)

// rename renames a test in its directory, with its seeds if it is a fuzz target,
// and in every document.
func (t *tree) rename(what string) ([]string, error) {
	parts := renaming.FindStringSubmatch(what)
	if parts == nil || parts[3] != parts[5] {
		return nil, fmt.Errorf("-rename %q is not dir.TestOld=TestNew, nor dir.FuzzOld=FuzzNew", what)
	}
	dir, from, to := parts[1], parts[2], parts[4]
	if !slices.Contains(t.tests[from], dir) {
		return nil, fmt.Errorf("there is no test %s in %s", from, dir)
	}
	changed := map[string]string{}
	for _, file := range t.code[dir] {
		text, err := t.read(file)
		if err != nil {
			return nil, err
		}
		after, err := renameIn(text, file, from, to)
		if err != nil {
			return nil, err
		}
		if after != text && strings.HasSuffix(file, "_test.go") {
			changed[file] = after
		}
	}
	lines, err := t.renameInDocs(dir, from, to, changed)
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(changed)) {
		lines = append(lines, name+": "+from+" is now "+to)
	}
	if err := t.write(changed); err != nil {
		return lines, err
	}
	seeds := filepath.Join(filepath.Dir(filepath.Join(t.root, filepath.FromSlash(t.code[dir][0]))), "testdata", "fuzz")
	if err := os.Rename(filepath.Join(seeds, from), filepath.Join(seeds, to)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return lines, err
	}
	return lines, nil
}

// runFlag is a flag of go test that chooses tests, and its pattern.
var runFlag = regexp.MustCompile("(-(?:run|fuzz)[= ])('[^'\n]*'|\"[^\"\n]*\"|[^\\s`'\"]+)")

// chooses reports whether the pattern of a flag chooses the test. In a table a
// document writes a bar as \|.
func chooses(pattern, test string) bool {
	pattern, _, _ = strings.Cut(strings.ReplaceAll(strings.Trim(pattern, `'"`), `\|`, "|"), "/")
	matched, err := regexp.MatchString(pattern, test)
	return err == nil && matched
}

// renameInDocs renames a test in references, and in commands that run it. It
// returns the commands that it does not dare to change, and those that chose the
// test by a part of its name and do so no more.
func (t *tree) renameInDocs(dir, from, to string, changed map[string]string) (left []string, err error) {
	old := "`" + dir + "." + from + "`"
	word := regexp.MustCompile(`\b` + from + `\b`)
	for _, doc := range t.docs {
		text, err := t.read(doc)
		if err != nil {
			return nil, err
		}
		var after strings.Builder
		for line := range strings.Lines(strings.ReplaceAll(text, old, "`"+dir+"."+to+"`")) {
			// A command may mean the test of another directory.
			sure := len(t.tests[from]) == 1 || dir != rootName && strings.Contains(line, dir)
			after.WriteString(runFlag.ReplaceAllStringFunc(line, func(flag string) string {
				parts := runFlag.FindStringSubmatch(flag)
				switch named := word.MatchString(parts[2]); {
				case named && sure:
					return parts[1] + word.ReplaceAllString(parts[2], to)
				case named:
					left = append(left, fmt.Sprintf("%s: left alone, for %s is in several directories: %s", doc, from, strings.TrimSpace(line)))
				case chooses(parts[2], from) && !chooses(parts[2], to):
					left = append(left, fmt.Sprintf("%s: left alone, and does not choose %s: %s", doc, to, strings.TrimSpace(line)))
				}
				return flag
			}))
		}
		if after.String() != text {
			changed[doc] = after.String()
		}
	}
	return left, nil
}

// renameIn renames the function in one file: where it is declared or used, and
// where a comment names it. It refuses if the file has the new name already.
func renameIn(text, file, from, to string) (string, error) {
	fset := token.NewFileSet()
	parsed, err := parser.ParseFile(fset, file, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return "", err
	}
	taken := false
	others := map[*ast.Ident]bool{} // the Y of X.Y, which is no function of this package
	starts := map[int]bool{}        // of what is renamed
	ast.Inspect(parsed, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			others[n.Sel] = true
		case *ast.Ident:
			taken = taken || n.Name == to
			if n.Name == from && !others[n] {
				starts[fset.Position(n.Pos()).Offset] = true
			}
		}
		return true
	})
	if taken {
		return "", fmt.Errorf("%s has a name %s already", file, to)
	}
	word := regexp.MustCompile(`\b` + from + `\b`)
	for _, group := range parsed.Comments {
		for _, comment := range group.List {
			for _, at := range word.FindAllStringIndex(comment.Text, -1) {
				starts[fset.Position(comment.Pos()).Offset+at[0]] = true
			}
		}
	}
	if len(starts) == 0 {
		return text, nil
	}
	var out bytes.Buffer
	last := 0
	for _, at := range slices.Sorted(maps.Keys(starts)) {
		out.WriteString(text[last:at] + to)
		last = at + len(from)
	}
	out.WriteString(text[last:])
	formatted, err := format.Source(out.Bytes())
	return string(formatted), err
}
