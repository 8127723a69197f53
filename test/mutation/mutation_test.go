//go:build unix

package main_test

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A small repository, whose tests miss something.
var repository = map[string]string{
	"go.mod": "module example.com/m\n\ngo 1.26\n",
	"gate/gate.go": `package gate

import "errors"

var errLate = errors.New("late")

const limit = 3

type Gate struct{ opened, asked int }

func (g *Gate) Open(_ string, age int) error {
	g.asked++
	if age > limit {
		return errLate
	}
	g.opened++
	return nil
}

func (g *Gate) Count() int { return g.opened }

func Walk(from, to int) (steps int) {
	for i := from; i < to; i++ {
		steps += 1
	}
	return steps
}

func Kind(s string) string {
	switch s {
	case "a", "b":
		return "letter"
	case "":
		return "none"
	}
	return "other"
}

func Name(s string) string { return s + "!" }

func Unasked(ok bool) bool { return !ok }
`,
	"gate/gate_test.go": `package gate

import "testing"

func TestOpen(t *testing.T) {
	var g Gate
	if g.Open("x", 3) != nil || g.Open("x", 4) == nil || g.Count() != 1 {
		t.Fatal()
	}
}

func TestWalk(t *testing.T) {
	if Walk(2, 5) != 3 {
		t.Fatal()
	}
}

func TestKind(t *testing.T) {
	if Kind("a") != "letter" || Kind("") != "none" || Kind("c") != "other" || Name("x") != "x!" {
		t.Fatal()
	}
}
`,
}

// mutate writes the repository and runs the tool over it.
func mutate(t *testing.T, tool string, files map[string]string, equivalent string, args ...string) (out string, ok bool) {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		at := filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(at), 0o777))
		require.NoError(t, os.WriteFile(at, []byte(text), 0o666))
	}
	list := filepath.Join(t.TempDir(), "equivalent.txt")
	require.NoError(t, os.WriteFile(list, []byte(equivalent), 0o666))
	cmd := exec.Command(tool, append([]string{"-root", root, "-equivalent", list, "-pkg", "gate", "-timeout", "10s"}, args...)...)
	got, err := cmd.CombinedOutput()
	for name, text := range files {
		after, err := os.ReadFile(filepath.Join(root, name))
		require.NoError(t, err)
		require.Equal(t, text, string(after), "the repository itself is left alone")
	}
	return string(got), err == nil
}

func build(t *testing.T) string {
	t.Helper()
	tool := filepath.Join(t.TempDir(), "mutation")
	out, err := exec.Command("go", "build", "-o", tool, ".").CombinedOutput()
	require.NoError(t, err, "%s", out)
	return tool
}

// What these tests miss, and nothing else, is reported.
func TestSurvivors(t *testing.T) {
	tool := build(t)
	survivors := []string{
		"gate/gate.go (*Gate).Open arithmetic 1 g.asked++",
		"gate/gate.go (*Gate).Open remove 1 g.asked++",
		`gate/gate.go Kind case 1 "b"`,
		`gate/gate.go Kind text 1 "b"`,
		"gate/gate.go Unasked false 1 !ok",
		"gate/gate.go Unasked true 1 !ok",
	}
	out, ok := mutate(t, tool, repository, "")
	require.False(t, ok)
	var got []string
	for line := range strings.Lines(out) {
		if id, found := strings.CutPrefix(line, "survived: "); found {
			got = append(got, strings.TrimSpace(id))
		}
	}
	slices.Sort(got)
	require.Equal(t, survivors, got, out)

	// Explained, they are no failure.
	list := strings.Join(survivors, "\n") + "\n\tA reason.\n"
	out, ok = mutate(t, tool, repository, "# comment\n\n"+list)
	require.True(t, ok, out)
	require.Contains(t, out, "| 6 | 0 | 100.0 % |\n")

	// An explanation is of no use any more.
	const dead = "gate/gate.go (*Gate).Open true 1 age > limit"
	for name, equivalent := range map[string]string{
		"explained as equivalent, but killed: " + dead:              list + dead + "\n\tIt is not.\n",
		"explained, and does not exist: gate/gate.go Gone true 1 x": list + "gate/gate.go Gone true 1 x\n\tIt went.\n",
		"no reason for " + survivors[0]:                             survivors[0] + "\n",
		"twice: " + survivors[0]:                                    list + list,
	} {
		out, ok = mutate(t, tool, repository, equivalent, "-run", "Open true")
		require.False(t, ok)
		require.Contains(t, out, name)
	}
}

// What is changed in a source that has something of everything.
func TestKinds(t *testing.T) {
	out, ok := mutate(t, build(t), map[string]string{
		"go.mod": repository["go.mod"],
		"gate/gate.go": `package gate

import (
	"fmt"
	"strings"

	"example.com/m/bearergate"
)

const limit = 1 << 4

func check(s string, n int, c chan int, v any) (bool, error) {
	if n <= limit && !strings.HasPrefix(s, "x") {
		return false, fmt.Errorf("%d: %w", n+1, bearergate.ErrInvalidToken)
	}
	for n >= 2*limit {
		n--
		continue
	}
	defer close(c)
	select {
	case c <- n:
	default:
	}
	switch v := v.(type) {
	case int, nil:
		return v == 5, nil
	}
	switch {
	case s != "":
		s = "y"
	}
	return bearergate.Known(bearergate.ReasonScope, make([]int, 0, 8)), nil
}
`,
	}, "", "-list")
	require.True(t, ok, out)
	want := `
- arithmetic 1 1 << 4
- minus 1 1 << 4
- minus 2 1 << 4
- plus 1 1 << 4
- plus 2 1 << 4
check arithmetic 1 2*limit
check arithmetic 1 n--
check boundary 1 n <= limit
check boundary 1 n >= 2*limit
check case 1 case c <- n
check case 1 default
check case 1 int
check case 1 nil
check drop 1 !strings.HasPrefix(s, "x")
check drop 1 n <= limit
check error 1 bearergate.Known(bearergate.ReasonScope, make([]int, 0, 8))
check error 1 fmt.Errorf("%d: %w", n+1, bearergate.ErrInvalidToken)
check false 1 bearergate.Known(bearergate.ReasonScope, make([]int, 0, 8))
check false 1 n <= limit && !strings.HasPrefix(s, "x")
check false 1 n >= 2*limit
check false 1 s != ""
check false 1 v == 5
check logic 1 n <= limit && !strings.HasPrefix(s, "x")
check minus 1 2*limit
check minus 1 v == 5
check no error 1 return false, fmt.Errorf("%d: %w", n+1, bearergate.ErrInvalidToken)
check plus 1 2*limit
check plus 1 v == 5
check remove 1 continue
check remove 1 defer close(c)
check remove 1 n--
check remove 1 s = "y"
check text 1 strings.HasPrefix(s, "x")
check true 1 bearergate.Known(bearergate.ReasonScope, make([]int, 0, 8))
check true 1 n <= limit && !strings.HasPrefix(s, "x")
check true 1 s != ""
check true 1 v == 5
`
	got := strings.Split(strings.ReplaceAll(strings.TrimSpace(out), "gate/gate.go ", ""), "\n")
	slices.Sort(got)
	require.Equal(t, strings.Split(strings.TrimSpace(want), "\n"), got)
}

// The name of a mutant is that of its code, wherever it moves; a sample is
// always the same one.
func TestNames(t *testing.T) {
	tool := build(t)
	list := func(files map[string]string, args ...string) []string {
		out, ok := mutate(t, tool, files, "", append(args, "-list")...)
		require.True(t, ok, out)
		return strings.Split(strings.TrimSpace(out), "\n")
	}
	all := list(repository)
	require.Len(t, slices.Compact(slices.Sorted(slices.Values(all))), len(all), "names are unique")

	moved := maps.Clone(repository)
	moved["gate/gate.go"] = strings.Replace(moved["gate/gate.go"], "func Walk", "func Other(a, b int) bool {\n\treturn a <= b\n}\n\nfunc Walk", 1)
	require.Subset(t, list(moved), all)

	sample := list(repository, "-sample", "1/3")
	require.Equal(t, sample, list(repository, "-sample", "1/3"))
	require.Subset(t, all, sample)
	require.Greater(t, len(all), 2*len(sample))
	require.NotEmpty(t, sample)

	for _, args := range [][]string{{"-sample", "3"}, {"-sample", "1/0"}, {"-run", "("}} {
		_, ok := mutate(t, tool, repository, "", args...)
		require.False(t, ok, args)
	}
}

// Tests that fail as they are say nothing about mutants.
func TestBrokenFromTheStart(t *testing.T) {
	broken := maps.Clone(repository)
	broken["gate/gate_test.go"] = strings.Replace(broken["gate/gate_test.go"], "Walk(2, 5) != 3", "Walk(2, 5) != 4", 1)
	out, ok := mutate(t, build(t), broken, "")
	require.False(t, ok)
	require.Contains(t, out, "TestWalk of gate fails as it is")
}
