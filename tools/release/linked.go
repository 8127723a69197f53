package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// platforms are those for which it is asked what is linked, which is not the same
// everywhere: one with assembly, one of 32 bits without, and the other systems.
var platforms = []string{"linux/amd64", "linux/386", "darwin/arm64", "windows/amd64"}

// linkedModule is a module of which packages are linked into what is looked at.
type linkedModule struct {
	path, version, sum, dir string
	packages                []string        // their directories
	imports                 map[string]bool // paths of modules
}

// notForUsers are packages of the root module that nobody links.
var notForUsers = regexp.MustCompile(`^` + regexp.QuoteMeta(rootPath) + `/(examples|test|tools|\.ci)(/|$)`)

// linked returns what is linked into the packages of a module that users import,
// or into those that are named, by module path. Their tests and what only those
// use are left out. dir is where the go command runs: within the module, or in
// one that requires it.
func linked(ctx context.Context, dir string, env []string, patterns ...string) (map[string]*linkedModule, error) {
	found := map[string]*linkedModule{}
	for _, platform := range platforms {
		goos, goarch, _ := strings.Cut(platform, "/")
		env := append(slices.Clone(env), "GOOS="+goos, "GOARCH="+goarch, "CGO_ENABLED=0", "GOWORK=off")
		packages := patterns
		if len(patterns) == 1 && strings.HasSuffix(patterns[0], "/...") {
			names, err := output(ctx, dir, env, "go", "list", "-find", patterns[0])
			if err != nil {
				return nil, err
			}
			packages = slices.DeleteFunc(strings.Fields(names), notForUsers.MatchString)
		}
		if len(packages) == 0 {
			return nil, fmt.Errorf("%v: no packages", patterns)
		}
		out, err := output(ctx, dir, env, "go", append([]string{"list", "-deps", "-json=ImportPath,Dir,Standard,Imports,Module"}, packages...)...)
		if err != nil {
			return nil, err
		}
		if err := collect(out, found); err != nil {
			return nil, err
		}
	}
	return found, nil
}

func collect(out string, found map[string]*linkedModule) error {
	of := map[string]*linkedModule{} // by import path
	for decoder := json.NewDecoder(strings.NewReader(out)); ; {
		var p struct {
			ImportPath, Dir string
			Standard        bool
			Imports         []string
			Module          *struct{ Path, Version, Sum, Dir string }
		}
		switch err := decoder.Decode(&p); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case p.Standard:
			continue
		case p.Module == nil:
			return fmt.Errorf("%s is of no module", p.ImportPath)
		}
		m := found[p.Module.Path]
		if m == nil {
			m = &linkedModule{path: p.Module.Path, version: p.Module.Version, sum: p.Module.Sum, dir: p.Module.Dir, imports: map[string]bool{}}
			found[m.path] = m
		}
		if !slices.Contains(m.packages, p.Dir) {
			m.packages = append(m.packages, p.Dir)
		}
		of[p.ImportPath] = m
		for _, name := range p.Imports { // -deps names it before
			if other := of[name]; other != nil && other != m {
				m.imports[other.path] = true
			}
		}
	}
}

var (
	licenceName = regexp.MustCompile(`(?i)^(un)?(licen[cs]e|copying)([-.].*)?$`)
	noticeName  = regexp.MustCompile(`^NOTICE([-.].*)?$`) // Apache-2.0, section 4(d)
	blank       = regexp.MustCompile(`[\s*/#]+`)
)

// phrases tell licences by what each and no other says, white space aside.
var phrases = []struct {
	kind string
	has  []string
	not  string
}{
	{kind: "Apache-2.0", has: []string{"Apache License Version 2.0, January 2004", "TERMS AND CONDITIONS FOR USE, REPRODUCTION, AND DISTRIBUTION"}},
	{kind: "Apache-2.0", has: []string{`Licensed under the Apache License, Version 2.0`}, not: "TERMS AND CONDITIONS FOR USE"},
	{kind: "MIT", has: []string{"Permission is hereby granted, free of charge, to any person obtaining a copy", "The above copyright notice and this permission notice shall be included"}},
	{kind: "ISC", has: []string{"Permission to use, copy, modify, and", "distribute this software for any purpose with or without fee is hereby granted"}},
	{kind: "BSD-3-Clause", has: []string{"Redistribution and use in source and binary forms", "endorse or promote products derived from this software"}},
	{kind: "BSD-2-Clause", has: []string{"Redistribution and use in source and binary forms"}, not: "endorse or promote products derived from"},
	{kind: "MPL-2.0", has: []string{"Mozilla Public License", "2.0 1. Definitions"}},
	{kind: "GPL", has: []string{"GNU GENERAL PUBLIC LICENSE Version"}},
	{kind: "AGPL", has: []string{"GNU AFFERO GENERAL PUBLIC LICENSE Version"}},
	{kind: "LGPL", has: []string{"GNU LESSER GENERAL PUBLIC LICENSE Version"}},
}

// permitted are the kinds of licences that may be linked: all allow it in any
// program, on the terms that docs/licences.md repeats.
var permitted = []string{"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MPL-2.0"}

// kinds are the licences of a text.
func kinds(text string) []string {
	text = blank.ReplaceAllString(text, " ")
	var all []string
	for _, p := range phrases {
		if slices.ContainsFunc(p.has, func(phrase string) bool { return !strings.Contains(text, phrase) }) ||
			p.not != "" && strings.Contains(text, p.not) || slices.Contains(all, p.kind) {
			continue
		}
		all = append(all, p.kind)
	}
	slices.Sort(all)
	return all
}

// licence returns the licences of a module, and the files that have them, notices
// too: those at its root, and those of the packages that are linked.
func (m *linkedModule) licence() (kind []string, files []string, err error) {
	dirs := []string{m.dir}
	for _, dir := range m.packages {
		for ; len(dir) > len(m.dir); dir = filepath.Dir(dir) {
			if !slices.Contains(dirs, dir) {
				dirs = append(dirs, dir)
			}
		}
	}
	slices.Sort(dirs)
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, nil, err
		}
		for _, entry := range entries {
			if !entry.Type().IsRegular() || strings.HasSuffix(entry.Name(), ".go") {
				continue
			}
			file := filepath.Join(dir, entry.Name())
			switch {
			case noticeName.MatchString(entry.Name()):
				files = append(files, file)
			case licenceName.MatchString(entry.Name()):
				of, err := permittedKinds(file)
				if err != nil {
					return nil, nil, fmt.Errorf("%s %w", m.path, err)
				}
				kind, files = append(kind, of...), append(files, file)
			}
		}
	}
	if len(kind) == 0 {
		return nil, nil, fmt.Errorf("%s has no licence", m.path)
	}
	slices.Sort(kind)
	return slices.Compact(kind), files, nil
}

// permittedKinds are the licences in a file, all of which have to be permitted.
func permittedKinds(file string) ([]string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	of := kinds(string(text))
	if len(of) == 0 {
		return nil, fmt.Errorf("has a %s with no licence that is known here", filepath.Base(file))
	}
	for _, kind := range of {
		if !slices.Contains(permitted, kind) {
			return nil, fmt.Errorf("has the licence %s (%s), which is not permitted", kind, filepath.Base(file))
		}
	}
	return of, nil
}
