//go:build unix

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/build"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// env selects the mutant that a test binary runs as; unset, it is the original.
const env = "BEARERGATE_MUTANT"

// A target is a package under test, its mutants, and the tests that ask for them.
type target struct {
	root, dir, work string
	name            string // of the package
	sources         []*source
	suites          []*suite
	blocks          []block // of all sources
}

// A suite is the tests of one package.
type suite struct {
	dir   string
	bin   string // with all mutants that can be built together
	tests []test
}

type test struct {
	name    string
	took    time.Duration
	covered map[block]bool
}

// A block is a piece of the package under test, as a cover profile has it.
type block struct {
	path                                 string
	startLine, startCol, endLine, endCol int
}

func load(root, dir, work string) (*target, error) {
	pkg, err := build.ImportDir(filepath.Join(root, dir), 0)
	if err != nil {
		return nil, err
	}
	t := &target{root: root, dir: dir, work: work, name: pkg.Name}
	for _, name := range pkg.GoFiles {
		text, err := os.ReadFile(filepath.Join(root, dir, name))
		if err != nil {
			return nil, err
		}
		s, err := parse(path.Join(dir, name), string(text))
		if err != nil {
			return nil, err
		}
		t.sources = append(t.sources, s)
	}
	return t, os.MkdirAll(work, 0o777)
}

// mutants returns them in the order of the sources; the number of a mutant in
// the binaries is its index plus 1.
func (t *target) mutants() (all []*mutant) {
	for _, s := range t.sources {
		slices.SortStableFunc(s.mutants, func(a, b *mutant) int { return a.start - b.start })
		all = append(all, s.mutants...)
	}
	return all
}

// overlay writes changed files (by their path from the root) and the list of
// them that the go command reads.
func (t *target) overlay(name string, changed map[string]string) (string, error) {
	replace := map[string]string{}
	for file, text := range changed {
		at := filepath.Join(t.work, name+"_"+path.Base(file))
		if err := os.WriteFile(at, []byte(text), 0o666); err != nil {
			return "", err
		}
		replace[filepath.Join(t.root, file)] = at
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	at := filepath.Join(t.work, name+".json")
	return at, os.WriteFile(at, list, 0o666)
}

// together returns the files of the package with every mutant in them: each is
// a copy of its function under another name, and the function calls the copy
// that the environment selects. The lines of the original stay where they are.
// owner gives the mutant of a line behind them, as the compiler names it.
func (t *target) together(mutants []*mutant, skip map[*mutant]bool) (changed map[string]string, owner map[string]*mutant) {
	changed, owner = map[string]string{}, map[string]*mutant{}
	for _, s := range t.sources {
		dispatch := map[*ast.FuncDecl]string{}
		var copies strings.Builder
		line := s.line(len(s.text)) + 1
		for i, m := range mutants {
			if m.file != s || m.alone || skip[m] {
				continue
			}
			name := fmt.Sprintf("mutant%d_%s", i+1, m.decl.Name.Name)
			from, at := s.offset(m.decl.Pos()), s.offset(m.decl.Name.Pos())
			text := s.text[from:at] + name + s.text[at+len(m.decl.Name.Name):m.start] + m.text + s.text[m.end:s.offset(m.decl.End())]
			copies.WriteString(text + "\n")
			for range strings.Count(text, "\n") + 1 {
				owner[fmt.Sprintf("all_%s:%d", path.Base(s.path), line)] = m
				line++
			}
			dispatch[m.decl] += fmt.Sprintf(" case %d: %s;", i+1, call(m.decl, name))
		}
		text := s.text
		for _, decl := range slices.Backward(s.parsed.Decls) {
			if fn, ok := decl.(*ast.FuncDecl); ok && dispatch[fn] != "" {
				at := s.offset(fn.Body.Lbrace) + 1
				text = text[:at] + " switch activeMutant {" + dispatch[fn] + " };" + text[at:]
			}
		}
		changed[s.path] = text + "\n" + copies.String()
	}
	changed[path.Join(t.dir, "zz_mutant.go")] = "package " + t.name + "\n\nimport (\n\t\"os\"\n\t\"strconv\"\n)\n\nvar activeMutant, _ = strconv.Atoi(os.Getenv(\"" + env + "\"))\n"
	return changed, owner
}

// call is the statement by which fn passes its work on to the function name.
func call(fn *ast.FuncDecl, name string) string {
	var args []string
	for _, field := range fn.Type.Params.List {
		for _, id := range field.Names {
			args = append(args, id.Name)
		}
		if _, variadic := field.Type.(*ast.Ellipsis); variadic {
			args[len(args)-1] += "..."
		}
	}
	if fn.Recv != nil {
		name = fn.Recv.List[0].Names[0].Name + "." + name
	}
	text := name + "(" + strings.Join(args, ", ") + ")"
	if fn.Type.Results == nil {
		return text + "; return"
	}
	return "return " + text
}

// prepare learns which test runs what, and builds the tests with the mutants in
// them. It returns the mutants that do not compile, and the tests that fail
// because they share a binary: those that count allocations.
func (t *target) prepare(mutants []*mutant, suites []string) (broken map[*mutant]bool, left []string, err error) {
	for _, dir := range suites {
		s := &suite{dir: dir}
		if err := t.measure(s); err != nil {
			return nil, nil, err
		}
		t.suites = append(t.suites, s)
	}
	broken = map[*mutant]bool{}
	var overlay string
	for {
		changed, owner := t.together(mutants, broken)
		if overlay, err = t.overlay("all", changed); err != nil {
			return nil, nil, err
		}
		out, err := t.goCommand("build", "-gcflags=-e", "-overlay="+overlay, "./"+t.dir)
		if err == nil {
			break
		}
		known := len(broken)
		for _, at := range position.FindAllStringSubmatch(out, -1) {
			if m := owner[at[1]]; m != nil {
				broken[m] = true
			}
		}
		if len(broken) == known {
			return nil, nil, fmt.Errorf("building %s with its mutants: %v\n%s", t.dir, err, out)
		}
	}
	for i, s := range t.suites {
		s.bin = filepath.Join(t.work, fmt.Sprintf("all%d.test", i))
		if out, err := t.goCommand("test", "-c", "-vet=off", "-ldflags=-s -w", "-overlay="+overlay, "-o", s.bin, "./"+s.dir); err != nil {
			return nil, nil, fmt.Errorf("%v\n%s", err, out)
		}
		var passing []test
		for _, one := range s.tests {
			o, err := t.run(s, s.bin, 0, []test{one}, time.Minute)
			switch {
			case err != nil:
				return nil, nil, err
			case o == survived:
				passing = append(passing, one)
			default:
				left = append(left, s.dir+" "+one.name)
			}
		}
		s.tests = passing
	}
	return broken, left, nil
}

// How the compiler names a place in a file with mutants.
var position = regexp.MustCompile(`(?m)(all_[^/\s]+\.go:\d+):\d+: `)

func (t *target) goCommand(args ...string) (string, error) {
	cmd := exec.Command("go", args...)
	cmd.Dir = t.root
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// measure runs each test of a suite alone, for its time and for what it covers.
func (t *target) measure(s *suite) error {
	bin, profile := filepath.Join(t.work, "cover.test"), filepath.Join(t.work, "cover.out")
	if out, err := t.goCommand("test", "-c", "-vet=off", "-covermode=atomic", "-coverpkg=./"+t.dir, "-o", bin, "./"+s.dir); err != nil {
		return fmt.Errorf("%v\n%s", err, out)
	}
	if _, err := os.Stat(bin); errors.Is(err, fs.ErrNotExist) {
		return nil // no tests
	} else if err != nil {
		return err
	}
	list, err := t.command(s, bin, "-test.list=^(Test|Fuzz|Example)").Output()
	if err != nil {
		return err
	}
	for name := range strings.FieldsSeq(string(list)) {
		start := time.Now()
		out, err := t.command(s, bin, "-test.run=^"+name+"$", "-test.coverprofile="+profile).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s of %s fails as it is: %v\n%s", name, s.dir, err, out)
		}
		one := test{name: name, took: time.Since(start)}
		text, err := os.ReadFile(profile)
		if err != nil {
			return err
		}
		one.covered = map[block]bool{}
		for line := range strings.Lines(string(text)) {
			file, rest, _ := strings.Cut(line, ":")
			b := block{path: path.Join(t.dir, path.Base(file))}
			var statements, count int
			if n, _ := fmt.Sscanf(rest, "%d.%d,%d.%d %d %d", &b.startLine, &b.startCol, &b.endLine, &b.endCol, &statements, &count); n < 6 {
				continue
			}
			if count > 0 {
				one.covered[b] = true
			}
			if !slices.Contains(t.blocks, b) {
				t.blocks = append(t.blocks, b)
			}
		}
		s.tests = append(s.tests, one)
	}
	slices.SortStableFunc(s.tests, func(a, b test) int { return int(a.took - b.took) })
	return nil
}

// asked are the tests of a suite that run the changed code.
func (t *target) asked(s *suite, m *mutant) []test {
	at := m.file.fset.Position(m.file.parsed.FileStart + token.Pos(m.start))
	var inner *block
	var ofFunction []block
	for _, b := range t.blocks {
		switch {
		case b.path != m.file.path || m.decl == nil:
		case b.contains(at) && (inner == nil || inner.contains(token.Position{Line: b.startLine, Column: b.startCol})):
			inner = &b
		case b.startLine >= m.file.line(m.file.offset(m.decl.Pos())) && b.endLine <= m.file.line(m.file.offset(m.decl.End())):
			ofFunction = append(ofFunction, b)
		}
	}
	return slices.DeleteFunc(slices.Clone(s.tests), func(one test) bool {
		switch {
		case m.decl == nil:
			return false
		case inner != nil:
			return !one.covered[*inner]
		}
		return !slices.ContainsFunc(ofFunction, func(b block) bool { return one.covered[b] }) // the values of a case are in no block
	})
}

func (b block) contains(p token.Position) bool {
	return (p.Line > b.startLine || p.Line == b.startLine && p.Column >= b.startCol) &&
		(p.Line < b.endLine || p.Line == b.endLine && p.Column < b.endCol)
}

type outcome string

const (
	killed   outcome = "killed"
	timedOut outcome = "timed out"
	survived outcome = "survived"
	unbuilt  outcome = "does not compile"
)

// try runs the tests that ask for the mutant: the quick ones of the package
// first, then its others, then those of the packages above it.
func (t *target) try(m *mutant, number int, limit time.Duration) (outcome, error) {
	overlay := ""
	for i, s := range t.suites {
		tests := t.asked(s, m)
		if len(tests) == 0 {
			continue
		}
		bin := s.bin
		if m.alone {
			var err error
			if overlay == "" {
				text := m.file.text
				changed := map[string]string{m.file.path: text[:m.start] + m.text + text[m.end:]}
				if overlay, err = t.overlay(fmt.Sprintf("alone%d", number), changed); err != nil {
					return "", err
				}
			}
			bin = filepath.Join(t.work, fmt.Sprintf("alone%d_%d.test", number, i))
			defer os.Remove(bin)
			if _, err := t.goCommand("test", "-c", "-vet=off", "-ldflags=-s -w", "-overlay="+overlay, "-o", bin, "./"+s.dir); err != nil {
				return unbuilt, nil
			}
		}
		quick := slices.IndexFunc(tests, func(one test) bool { return one.took > 100*time.Millisecond })
		if quick < 0 {
			quick = len(tests)
		}
		for _, some := range [][]test{tests[:quick], tests[quick:]} {
			if len(some) == 0 {
				continue
			}
			if o, err := t.run(s, bin, number, some, limit); o != survived {
				return o, err
			}
		}
	}
	return survived, nil
}

// run runs some tests against one mutant, with bounds on time and memory.
func (t *target) run(s *suite, bin string, number int, tests []test, limit time.Duration) (outcome, error) {
	names, took := make([]string, len(tests)), time.Duration(0)
	for i, one := range tests {
		names[i] = one.name
		took += one.took
	}
	if limit == 0 {
		limit = min(10*took+3*time.Second, time.Minute)
	}
	cmd := t.command(s, bin, "-test.failfast", "-test.run=^("+strings.Join(names, "|")+")$")
	cmd.Env = append(cmd.Environ(), env+"="+strconv.Itoa(number))
	if err := cmd.Start(); err != nil {
		return "", err
	}
	timer := time.AfterFunc(limit, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	err := cmd.Wait()
	stopped := !timer.Stop()
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what it started
	var exit *exec.ExitError
	switch {
	case err == nil:
		return survived, nil
	case !errors.As(err, &exit) || exit.ExitCode() > 2: // 1 is a failed test, 2 a panic; a binary that cannot be run kills no mutant
		return "", fmt.Errorf("running the tests of %s: %w", s.dir, err)
	case stopped && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL:
		return timedOut, nil
	}
	return killed, nil
}

// command is a test binary in the directory of its package, in a process group
// of its own, with at most 8 GB of address space.
func (t *target) command(s *suite, bin string, args ...string) *exec.Cmd {
	cmd := exec.Command("/bin/sh", append([]string{"-c", `ulimit -v 8000000; exec "$0" "$@"`, bin}, args...)...)
	cmd.Dir = filepath.Join(t.root, s.dir)
	cmd.Env = append(cmd.Environ(), "GOMEMLIMIT=512MiB")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}
