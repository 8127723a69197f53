//go:build unix

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every name in equivalent.txt is that of a mutant of this repository, in a
// package that is broken by default.
func TestEquivalentMutantsExist(t *testing.T) {
	explained, err := readEquivalent("equivalent.txt")
	require.NoError(t, err)
	require.Greater(t, len(explained), 200, "names have been lost")
	for id := range explained {
		require.True(t, byDefault(directory(id)), "add its package to packages in main.go: %s", id)
	}
	mutants, err := every(filepath.Join("..", ".."))
	require.NoError(t, err)
	require.Greater(t, len(mutants), 7000, "mutants have been lost")
	for _, m := range mutants {
		delete(explained, m.id())
	}
	for id := range explained {
		t.Errorf("run go -C test/mutation run . -fix: there is no mutant %s", id)
	}
}

// Every package that is broken by default exists.
func TestPackagesExist(t *testing.T) {
	dirs, err := productPackages(filepath.Join("..", ".."))
	require.NoError(t, err)
	require.Subset(t, dirs, strings.Split(packages, ","))
	for dir := range above {
		require.True(t, byDefault(dir), dir)
	}
}

// fixable is a tree whose functions have moved.
var fixable = map[string]string{
	"a/new.go":   "package a\n\nfunc Moved(x int) bool { return x == 1 }\n\nfunc (*T) Method(x int) bool { return x == 2 }\n",
	"a/old.go":   "package a\n\ntype T struct{}\n\nfunc Renamed(x int) bool { return x == 3 }\n\nfunc Kept(x int) bool { return x == 4 }\n",
	"a/other.go": "package a\n\nfunc One(x int) bool { return x == 5 }\n\nfunc Two(x int) bool { return x == 5 }\n",
	"test/x.go":  "package x\n\nfunc Helper(x int) bool { return x == 6 }\n",
	"mod/go.mod": "module example.com/mod\n",
	"mod/mod.go": "package mod\n\nfunc Other(x int) bool { return x == 6 }\n",
	"none/n.txt": "no Go\n",
	"b/b.go":     "package b\n\nfunc Moved(x int) bool { return x == 1 }\n\nfunc Far(x int) bool { return x == 6 }\n\nfunc Elsewhere(x int) bool { return x == 3 }\n",
}

// mended runs -fix over the tree and a list, and returns what the list is then.
func mended(t *testing.T, list string) (string, error) {
	t.Helper()
	root := t.TempDir()
	for name, text := range fixable {
		at := filepath.Join(root, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(at), 0o777))
		require.NoError(t, os.WriteFile(at, []byte(text), 0o666))
	}
	c := config{root: root, equivalent: filepath.Join(root, "equivalent.txt")}
	require.NoError(t, os.WriteFile(c.equivalent, []byte(list), 0o666))
	failed := c.mend()
	after, err := os.ReadFile(c.equivalent)
	require.NoError(t, err)
	return string(after), failed
}

func TestFix(t *testing.T) {
	for _, tc := range []struct {
		name, list, want string
		lost             bool
	}{
		{name: "nothing to do", list: "a/old.go Kept true 1 x == 4\n\tWhy.\n", want: "a/old.go Kept true 1 x == 4\n\tWhy.\n"},
		{
			name: "order, comments and reasons stay", list: "# Head.\n\na/old.go Moved true 1 x == 1\na/old.go Kept true 1 x == 4\n\tWhy.\n\na/gone.go (*T).Method false 1 x == 2\n\tBecause.\n",
			want: "# Head.\n\na/new.go Moved true 1 x == 1\na/old.go Kept true 1 x == 4\n\tWhy.\n\na/new.go (*T).Method false 1 x == 2\n\tBecause.\n",
		},
		{name: "the same file before another", list: "a/old.go Old plus 1 x == 3\n\tWhy.\n", want: "a/old.go Renamed plus 1 x == 3\n\tWhy.\n"},
		{name: "the same function in another directory", list: "c/c.go (*U).Elsewhere plus 1 x == 3\n\tWhy.\n", want: "b/b.go Elsewhere plus 1 x == 3\n\tWhy.\n"},
		{name: "once in the tree", list: "c/c.go Near minus 1 x == 6\n\tWhy.\n", want: "b/b.go Far minus 1 x == 6\n\tWhy.\n"},
		{name: "two functions", list: "a/old.go Three true 1 x == 5\n\tWhy.\n", want: "a/old.go Three true 1 x == 5\n\tWhy.\n", lost: true},
		{
			name: "two functions, of which one is explained", list: "a/other.go One true 1 x == 5\na/old.go Three true 1 x == 5\n\tWhy.\n",
			want: "a/other.go One true 1 x == 5\na/other.go Two true 1 x == 5\n\tWhy.\n",
		},
		{
			name: "two lines for one mutant", list: "c/c.go Near minus 1 x == 6\nc/c.go Next minus 1 x == 6\n\tWhy.\n",
			want: "b/b.go Far minus 1 x == 6\nc/c.go Next minus 1 x == 6\n\tWhy.\n", lost: true,
		},
		{name: "another kind, ordinal or code", list: "a/old.go Old true 2 x == 4\na/old.go Old not 1 x == 4\na/old.go Old true 1 x == 44\n\tWhy.\n", want: "a/old.go Old true 2 x == 4\na/old.go Old not 1 x == 4\na/old.go Old true 1 x == 44\n\tWhy.\n", lost: true},
	} {
		got, err := mended(t, tc.list)
		require.Equal(t, tc.want, got, tc.name)
		if tc.lost {
			require.ErrorContains(t, err, "are of no mutant", tc.name)
		} else {
			require.NoError(t, err, tc.name)
		}
	}
}
