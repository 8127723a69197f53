//go:build unix

package main

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// mend rewrites the names in the file of equivalent mutants whose code stands in
// another function or file now. It prints what it did, and what it could not.
func (c *config) mend(packages []string) error {
	explained, err := readEquivalent(c.equivalent)
	if err != nil {
		return err
	}
	mutants, err := every(c.root, packages)
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

// every returns all mutants of the packages.
func every(root string, packages []string) (all []*mutant, err error) {
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
