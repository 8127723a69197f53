package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// repository has a test of one name at the root and in a, and a fuzz target with
// a seed in b.
var repository = map[string]string{
	"root_test.go": "package m\n\nimport \"testing\"\n\nfunc TestTwice(t *testing.T) {}\n\nfunc TestRoot(t *testing.T) {}\n",
	"a/a.go":       "package a\n\nfunc TestHelper() {}\n",
	"a/a_test.go": `package a

import "testing"

// TestOne is for TestOneMore what TestOne is.
func TestOne(t *testing.T) { t.Run("TestOne", TestOneMore) }

func TestOneMore(t *testing.T) { x{}.TestOne(t); _ = TestOne }

func TestTwice(t *testing.T) {}

type x struct{}

func (x) Gone(t *testing.T) {}
`,
	"a/b/b_test.go":                  "package b\n\nimport \"testing\"\n\nfunc FuzzSeeded(f *testing.F) {}\n",
	"a/b/testdata/fuzz/FuzzSeeded/1": "go test fuzz v1\n",
	"README.md":                      "`a.TestOne`, `a.TestOneMore`, `bearergate.TestRoot`, `bubble.Test`, TestOne\n",
	"docs/evidence.md":               "`go test -run '^TestOne$' ./a`, -run=TestOneMore\n| `a.TestOne` | `go test -fuzz '^FuzzSeeded$' ./a/b` |\n`a/b.FuzzSeeded`\n",
	"docs/both.md":                   "`a.TestTwice`\n`bearergate.TestTwice`\ngo test -run TestTwice ./a\ngo test -run '^TestTwice$' .\n",
	"node_modules/m/README.md":       "`gone.TestGone`\n",
}

// write makes the repository, with some files in other words.
func write(t *testing.T, changed map[string]string) (root string) {
	t.Helper()
	root = t.TempDir()
	for _, files := range []map[string]string{repository, changed} {
		for name, text := range files {
			at := filepath.Join(root, filepath.FromSlash(name))
			require.NoError(t, os.MkdirAll(filepath.Dir(at), 0o777))
			require.NoError(t, os.WriteFile(at, []byte(text), 0o666))
		}
	}
	return root
}

func content(t *testing.T, root, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	require.NoError(t, err)
	return string(b)
}

func TestMend(t *testing.T) {
	for _, tc := range []struct {
		name, readme, want string
		lines              []string
		fails              string // without -check
	}{
		{name: "nothing to do", readme: "`a.TestOne`", want: "`a.TestOne`"},
		{
			name: "moved, twice on a line", readme: "`old.TestOne` and `a.FuzzSeeded`, `old.TestRoot`", want: "`a.TestOne` and `a/b.FuzzSeeded`, `bearergate.TestRoot`",
			lines: []string{"README.md: `old.TestOne` is now `a.TestOne`", "README.md: `a.FuzzSeeded` is now `a/b.FuzzSeeded`", "README.md: `old.TestRoot` is now `bearergate.TestRoot`"},
		},
		{
			name: "in two other directories", readme: "`old.TestTwice`", want: "`old.TestTwice`",
			lines: []string{"README.md: `old.TestTwice` may be in any of a, bearergate"}, fails: "1 references name no test",
		},
		{
			name: "nowhere, and a helper and a method are no tests", readme: "`a.TestGone`, `a.TestHelper`; `b.TestOne`", want: "`a.TestGone`, `a.TestHelper`; `a.TestOne`",
			lines: []string{"README.md: `a.TestGone` is nowhere", "README.md: `a.TestHelper` is nowhere", "README.md: `b.TestOne` is now `a.TestOne`"}, fails: "2 references name no test",
		},
	} {
		root := write(t, map[string]string{"README.md": tc.readme})
		lines, err := run(root, true, "")
		require.Equal(t, tc.lines, lines, tc.name)
		require.Equal(t, tc.readme, content(t, root, "README.md"), "-check writes nothing")
		if tc.lines == nil {
			require.NoError(t, err, tc.name)
		} else {
			require.ErrorContains(t, err, "out of date", tc.name)
		}

		lines, err = run(root, false, "")
		require.Equal(t, tc.lines, lines, tc.name)
		require.Equal(t, tc.want, content(t, root, "README.md"), tc.name)
		if tc.fails == "" {
			require.NoError(t, err, tc.name)
			_, err = run(root, true, "")
			require.NoError(t, err, tc.name)
		} else {
			require.EqualError(t, err, tc.fails, tc.name)
		}
	}
}

func TestRename(t *testing.T) {
	root := write(t, nil)
	lines, err := run(root, false, "a.TestOne=TestTheFirst")
	require.NoError(t, err)
	require.Equal(t, []string{
		"README.md: TestOne is now TestTheFirst", "a/a_test.go: TestOne is now TestTheFirst", "docs/evidence.md: TestOne is now TestTheFirst",
	}, lines)
	code := content(t, root, "a/a_test.go")
	require.Contains(t, code, "// TestTheFirst is for TestOneMore what TestTheFirst is.\nfunc TestTheFirst(t *testing.T) { t.Run(\"TestOne\", TestOneMore) }\n")
	require.Contains(t, code, "func TestOneMore(t *testing.T) { x{}.TestOne(t); _ = TestTheFirst }\n")
	require.Equal(t, "`a.TestTheFirst`, `a.TestOneMore`, `bearergate.TestRoot`, `bubble.Test`, TestOne\n", content(t, root, "README.md"))
	require.Equal(t, "`go test -run '^TestTheFirst$' ./a`, -run=TestOneMore\n| `a.TestTheFirst` | `go test -fuzz '^FuzzSeeded$' ./a/b` |\n`a/b.FuzzSeeded`\n", content(t, root, "docs/evidence.md"))
	_, err = run(root, true, "")
	require.NoError(t, err)
}

// A pattern may name several tests, or a test by a part of its name.
func TestRenameInPatterns(t *testing.T) {
	root := write(t, map[string]string{"README.md": "| `go test -v -run '^(TestOne\\|TestRoot)$' ./...` | `go test -run TestOne/sub ./a` |\n" +
		"`go test -run 'Test(One$\\|Root)' ./...`\n`go test -run One ./a`, `go test -run ^Test ./a`, `go test -fuzz \"^TestOne$\" ./a`\n"})
	lines, err := run(root, false, "a.TestOne=TestTheFirst")
	require.NoError(t, err)
	require.Equal(t, "| `go test -v -run '^(TestTheFirst\\|TestRoot)$' ./...` | `go test -run TestTheFirst/sub ./a` |\n"+
		"`go test -run 'Test(One$\\|Root)' ./...`\n`go test -run One ./a`, `go test -run ^Test ./a`, `go test -fuzz \"^TestTheFirst$\" ./a`\n", content(t, root, "README.md"))
	require.Contains(t, lines, "README.md: left alone, and does not choose TestTheFirst: `go test -run 'Test(One$\\|Root)' ./...`")
	require.Contains(t, lines, "README.md: left alone, and does not choose TestTheFirst: `go test -run One ./a`, `go test -run ^Test ./a`, `go test -fuzz \"^TestOne$\" ./a`")
	require.NotContains(t, strings.Join(lines, "\n"), "several directories")
}

// The seeds of a fuzz target go with it.
func TestRenameFuzzTarget(t *testing.T) {
	root := write(t, nil)
	_, err := run(root, false, "a/b.FuzzSeeded=FuzzB")
	require.NoError(t, err)
	require.Contains(t, content(t, root, "a/b/b_test.go"), "func FuzzB(")
	require.Contains(t, content(t, root, "docs/evidence.md"), "`go test -fuzz '^FuzzB$' ./a/b` |\n`a/b.FuzzB`\n")
	require.Equal(t, "go test fuzz v1\n", content(t, root, "a/b/testdata/fuzz/FuzzB/1"))
	require.NoDirExists(t, filepath.Join(root, "a", "b", "testdata", "fuzz", "FuzzSeeded"))
}

// A test of the same name elsewhere keeps it.
func TestRenameOneOfTwo(t *testing.T) {
	root := write(t, nil)
	lines, err := run(root, false, "a.TestTwice=TestOnce")
	require.NoError(t, err)
	require.Contains(t, lines, "docs/both.md: left alone, for TestTwice is in several directories: go test -run '^TestTwice$' .")
	require.Equal(t, "`a.TestOnce`\n`bearergate.TestTwice`\ngo test -run TestOnce ./a\ngo test -run '^TestTwice$' .\n", content(t, root, "docs/both.md"))
	require.Equal(t, repository["root_test.go"], content(t, root, "root_test.go"))
}

func TestRenameRefuses(t *testing.T) {
	for rename, why := range map[string]string{
		"a.TestOne=TestOneMore": "a name TestOneMore already",
		"a.TestOne=TestHelper":  "a name TestHelper already",
		"a.TestGone=TestNew":    "there is no test TestGone in a",
		"b.TestOne=TestNew":     "there is no test TestOne in b",
		"a.TestOne=FuzzOne":     "is not dir.TestOld=TestNew",
		"a.TestOne=Testone":     "is not dir.TestOld=TestNew",
		"TestOne=TestNew":       "is not dir.TestOld=TestNew",
	} {
		root := write(t, nil)
		_, err := run(root, false, rename)
		require.ErrorContains(t, err, why, rename)
		for name, text := range repository {
			require.Equal(t, text, content(t, root, name), rename)
		}
	}
	_, err := run(write(t, nil), true, "a.TestOne=TestNew")
	require.Error(t, err, "-check beside -rename")
}

// The documents of this repository are up to date.
func TestRepository(t *testing.T) {
	lines, err := run(filepath.Join("..", ".."), true, "")
	require.NoError(t, err, "run go run ./tools/evidence: %v", lines)
}
