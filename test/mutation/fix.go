//go:build unix

package main

import (
	"errors"
	"fmt"
	"go/build"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// mend rewrites the names in the file of equivalent mutants whose code stands in
// another function, file or package now. It prints what it did, and what it could
// not.
func (c *config) mend() error {
	explained, err := readEquivalent(c.equivalent)
	if err != nil {
		return err
	}
	mutants, err := every(c.root)
	if err != nil {
		return err
	}
	exists := map[string]bool{}
	for _, m := range mutants {
		exists[m.id()] = true
	}
	text, err := os.ReadFile(c.equivalent)
	if err != nil {
		return err
	}
	var after strings.Builder
	mended, lost := 0, 0
	for line := range strings.Lines(string(text)) {
		id := strings.TrimRight(line, "\n")
		if explained[id] && !exists[id] {
			if now := successor(id, mutants, explained); now != "" {
				fmt.Printf("%s\n  is now %s\n", id, now)
				if dir := directory(now); !byDefault(dir) {
					fmt.Printf("  whose package is not broken by default: add %s to packages in main.go\n", dir)
				}
				explained[now] = true
				line = now + "\n"
				mended++
			} else {
				fmt.Printf("%s\n  is nowhere, or in several places\n", id)
				lost++
			}
		}
		after.WriteString(line)
	}
	if mended > 0 {
		if err := os.WriteFile(c.equivalent, []byte(after.String()), 0o666); err != nil {
			return err
		}
	}
	if lost > 0 {
		return fmt.Errorf("%d names in %s are of no mutant", lost, c.equivalent)
	}
	return nil
}

// every returns all mutants of the tree: of the code that a program of a user
// runs, whether or not its package is broken by default.
func every(root string) (all []*mutant, err error) {
	packages, err := productPackages(root)
	if err != nil {
		return nil, err
	}
	work, err := os.MkdirTemp("", "mutation")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(work)
	for i, dir := range packages {
		t, err := load(root, dir, filepath.Join(work, strconv.Itoa(i)))
		if err != nil {
			return nil, err
		}
		all = append(all, t.mutants()...)
	}
	return all, nil
}

// productPackages returns the directories of the root module that have Go code
// for users.
func productPackages(root string) (dirs []string, err error) {
	err = filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		switch dir := filepath.ToSlash(rel); {
		case slices.Contains([]string{".git", "node_modules", "testdata", "vendor"}, entry.Name()),
			slices.Contains([]string{"authtest", "examples", "test", "tools"}, dir):
			return fs.SkipDir
		case dir != "." && isFile(filepath.Join(name, "go.mod")):
			return fs.SkipDir // another module
		default:
			_, err := build.ImportDir(name, 0)
			if _, none := errors.AsType[*build.NoGoError](err); none {
				return nil
			}
			dirs = append(dirs, dir)
			return err
		}
	})
	return dirs, err
}

func isFile(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular()
}

// directory is the package of a mutant, by its name.
func directory(id string) string {
	file, _, _ := strings.Cut(id, " ")
	return path.Dir(file)
}

func byDefault(dir string) bool { return slices.Contains(strings.Split(packages, ","), dir) }

// successor returns the name that a mutant has now, "" if none or several may be
// meant. Nothing that is explained already is meant.
func successor(id string, mutants []*mutant, explained map[string]bool) string {
	file, rest, _ := strings.Cut(id, " ")
	function, rest, _ := strings.Cut(rest, " ")
	var same []*mutant
	for _, m := range mutants {
		if !explained[m.id()] && rest == fmt.Sprintf("%s %d %s", m.kind, m.nth, m.what) {
			same = append(same, m)
		}
	}
	inDir := func(m *mutant) bool { return path.Dir(m.file.path) == path.Dir(file) }
	inFunction := func(m *mutant) bool { return bare(m.function()) == bare(function) }
	for _, near := range []func(*mutant) bool{ // the likeliest first
		func(m *mutant) bool { return inDir(m) && inFunction(m) },
		func(m *mutant) bool { return m.file.path == file },
		inFunction,
		inDir,
		func(*mutant) bool { return true }, // in the tree
	} {
		if among := slices.DeleteFunc(slices.Clone(same), func(m *mutant) bool { return !near(m) }); len(among) > 0 {
			if len(among) == 1 {
				return among[0].id()
			}
			return ""
		}
	}
	return ""
}

// bare is the name of a function without its receiver.
func bare(function string) string { return function[strings.LastIndexByte(function, '.')+1:] }
