package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const repositoryRoot = "../.."

const exampleAdapter = `module github.com/bearergate/bearergate/adapters/one

go 1.26

require github.com/bearergate/bearergate v0.1.0

replace github.com/bearergate/bearergate => ../..
`

// ready0 are the files of a repository that can be released as v0.1.0.
var ready0 = map[string]string{
	"go.mod":       "module github.com/bearergate/bearergate\n\ngo 1.26\n",
	"root.go":      "package bearergate\n",
	"LICENSE":      "Apache License Version 2.0, January 2004",
	"CHANGELOG.md": "# Changelog\n\n## v0.1.0, 2026-01-31\n\nThe first version.\n",
	"README.md":    "go get github.com/bearergate/bearergate\n",

	"adapters/one/go.mod": exampleAdapter,
	"adapters/two/go.mod": strings.ReplaceAll(exampleAdapter, "one", "two") + "\nrequire github.com/bearergate/bearergate/adapters/zero v0.1.0\n\nreplace github.com/bearergate/bearergate/adapters/zero => ../zero\n",
	// Behind two by its name, and before it by what two requires.
	"adapters/zero/go.mod": strings.ReplaceAll(exampleAdapter, "one", "zero"),
	"examples/a/go.mod":    strings.ReplaceAll(exampleAdapter, "adapters/one", "examples/a"),
}

// repository makes one of ready0 and changes; a change to "" takes the file away.
func repository(t *testing.T, changes map[string]string) string {
	t.Helper()
	root := t.TempDir()
	files := maps.Clone(ready0)
	maps.Copy(files, changes)
	for name, text := range files {
		if text == "" {
			continue
		}
		write(t, root, name, text)
	}
	git(t, root, "init", "--quiet")
	git(t, root, "add", "--all")
	git(t, root, "commit", "--quiet", "-m", "a")
	return root
}

func write(t *testing.T, root, name, text string) {
	t.Helper()
	file := filepath.Join(root, filepath.FromSlash(name))
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o700))
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
}

func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, err := output(t.Context(), dir, who("2026-01-31"), "git", append([]string{"-c", "commit.gpgsign=false", "-c", "tag.gpgsign=false"}, args...)...)
	require.NoError(t, err)
	return out
}

func TestCheckRefuses(t *testing.T) {
	mod := func(text string) string { return strings.Replace(exampleAdapter, "\nreplace", text+"\nreplace", 1) }
	for name, row := range map[string]struct {
		changes map[string]string
		after   func(t *testing.T, root string) // the commit
		wrong   string                          // "": nothing is
	}{
		"nothing":                      {},
		"a file that is not committed": {after: func(t *testing.T, root string) { write(t, root, "new.go", "package bearergate\n") }, wrong: "not committed:\n?? new.go"},
		"a file that is hidden": {after: func(t *testing.T, root string) {
			git(t, root, "config", "status.showUntrackedFiles", "no")
			write(t, root, "new.go", "package bearergate\n")
		}, wrong: "not committed:\n?? new.go"},
		"a file that was changed":      {after: func(t *testing.T, root string) { write(t, root, "root.go", "package other\n") }, wrong: "not committed:\n M root.go"},
		"the tag exists":               {after: func(t *testing.T, root string) { git(t, root, "tag", "v0.1.0") }, wrong: "the tag v0.1.0 exists"},
		"the tag of an adapter exists": {after: func(t *testing.T, root string) { git(t, root, "tag", "adapters/two/v0.1.0") }, wrong: "the tag adapters/two/v0.1.0 exists"},
		"another tag exists":           {after: func(t *testing.T, root string) { git(t, root, "tag", "adapters/two/v0.0.9") }},

		"an adapter requires another version":    {changes: map[string]string{"adapters/one/go.mod": strings.Replace(exampleAdapter, "v0.1.0", "v0.0.9", 1)}, wrong: "adapters/one/go.mod requires github.com/bearergate/bearergate v0.0.9, and not v0.1.0"},
		"an adapter requires no version of ours": {changes: map[string]string{"adapters/one/go.mod": "module github.com/bearergate/bearergate/adapters/one\n\ngo 1.26\n"}, wrong: "adapters/one/go.mod does not require"},
		"an adapter requires an example":         {changes: map[string]string{"adapters/one/go.mod": mod("\nrequire github.com/bearergate/bearergate/examples/a v0.1.0\n")}, wrong: "requires github.com/bearergate/bearergate/examples/a, which is not released"},
		"an example requires another version":    {changes: map[string]string{"examples/a/go.mod": strings.Replace(ready0["examples/a/go.mod"], "v0.1.0", "v0.0.9", 1)}, wrong: "examples/a/go.mod requires github.com/bearergate/bearergate v0.0.9"},
		"an adapter replaces a stranger":         {changes: map[string]string{"adapters/one/go.mod": mod("\nreplace example.com/a => ../../a\n")}, wrong: "adapters/one/go.mod replaces example.com/a"},
		"an adapter replaces us by a fork":       {changes: map[string]string{"adapters/one/go.mod": strings.Replace(exampleAdapter, "=> ../..", "=> example.com/fork v1.0.0", 1)}, wrong: "replaces github.com/bearergate/bearergate by example.com/fork"},
		"an adapter excludes a version":          {changes: map[string]string{"adapters/one/go.mod": mod("\nexclude example.com/a v1.0.0\n")}, wrong: "adapters/one/go.mod excludes example.com/a"},
		"an adapter names a toolchain":           {changes: map[string]string{"adapters/one/go.mod": mod("\ntoolchain go1.27.3\n")}, wrong: "adapters/one/go.mod names a toolchain"},
		"the root replaces":                      {changes: map[string]string{"go.mod": ready0["go.mod"] + "\nreplace example.com/a => ./a\n"}, wrong: "go.mod replaces example.com/a: go install refuses"},
		"a module by another path":               {changes: map[string]string{"adapters/one/go.mod": strings.Replace(exampleAdapter, "adapters/one", "adapters/eins", 1)}, wrong: "by its place it is github.com/bearergate/bearergate/adapters/one"},
		"a module nobody said anything of":       {changes: map[string]string{"plugins/a/go.mod": "module github.com/bearergate/bearergate/plugins/a\n"}, wrong: "plugins/a/go.mod: neither is said to be released nor not"},

		"no licence":                    {changes: map[string]string{"LICENSE": ""}, wrong: "adapters/two/LICENSE: the repository has none"},
		"an empty licence":              {changes: map[string]string{"LICENSE": " \n"}, wrong: "LICENSE: the repository has none"},
		"another licence in an adapter": {changes: map[string]string{"adapters/one/LICENSE": "all rights reserved"}, wrong: "adapters/one/LICENSE is another"},

		"unreleased in the changelog":    {changes: map[string]string{"CHANGELOG.md": strings.Replace(ready0["CHANGELOG.md"], "2026-01-31", "unreleased", 1)}, wrong: "v0.1.0 is unreleased: write the day"},
		"a day that is none":             {changes: map[string]string{"CHANGELOG.md": strings.Replace(ready0["CHANGELOG.md"], "2026-01-31", "2026-02-31", 1)}, wrong: "v0.1.0 is 2026-02-31: write the day"},
		"no section in the changelog":    {changes: map[string]string{"CHANGELOG.md": "# Changelog\n"}, wrong: `its first section is not "## v0.1.0`},
		"a later section above":          {changes: map[string]string{"CHANGELOG.md": "## v0.2.0, unreleased\n\nA\n\n" + ready0["CHANGELOG.md"]}, wrong: `its first section is not "## v0.1.0`},
		"an earlier section below":       {changes: map[string]string{"CHANGELOG.md": ready0["CHANGELOG.md"] + "\n## v0.0.9, 2025-01-31\n\nA\n"}},
		"a section that says nothing":    {changes: map[string]string{"CHANGELOG.md": "## v0.1.0, 2026-01-31\n\n## v0.0.9, 2025-01-31\n\nA\n"}, wrong: "says nothing"},
		"the README says not released":   {changes: map[string]string{"README.md": "Nothing is released yet.\ngo get github.com/bearergate/bearergate\n"}, wrong: `README.md says "released yet"`},
		"a page says not released":       {changes: map[string]string{"docs/a.md": "It is not released yet.\n"}, wrong: `docs/a.md says "released yet"`},
		"another document has a replace": {changes: map[string]string{"docs/a.md": "go mod edit -replace github.com/bearergate/bearergate=../x\n"}, wrong: `docs/a.md says "-replace`},
		"the README does not say how":    {changes: map[string]string{"README.md": "# bearergate\n"}, wrong: "README.md does not say go get"},
	} {
		t.Run(name, func(t *testing.T) {
			root := repository(t, row.changes)
			if row.after != nil {
				row.after(t, root)
			}
			for _, command := range []string{"check", "tags"} {
				var said bytes.Buffer
				err := run(t.Context(), []string{command, "-root", root, "-version", "v0.1.0"}, &said)
				if row.wrong == "" {
					require.NoError(t, err)
					require.NotEmpty(t, said.String())
					continue
				}
				require.ErrorContains(t, err, row.wrong)
				require.Empty(t, said.String(), "no tag may be made")
			}
		})
	}
	for _, version := range []string{"0.1.0", "v0.1", "v0.1.0+a", "v0.1.0-0.20260131120000-0123456789ab", "latest", "v2.0.0"} {
		root := repository(t, nil)
		for _, args := range [][]string{{"check"}, {"tags"}, {"prepare", "-date", "2026-01-31"}, {"artifacts", "-out", t.TempDir()}} {
			args = append(args, "-root", root, "-version", version)
			require.ErrorContains(t, run(t.Context(), args, &bytes.Buffer{}), "no version of a release", args)
		}
		require.Empty(t, git(t, root, "status", "--porcelain"))
	}
	for _, args := range [][]string{{}, {"push"}, {"check"}, {"prepare", "-version", "v0.1.0"}, {"tags", "-version", "v0.1.0", "now"}} {
		require.Error(t, run(t.Context(), args, &bytes.Buffer{}), args)
	}
}

// The root module comes first, and each adapter after those that it requires.
func TestTags(t *testing.T) {
	root := repository(t, nil)
	var said bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"tags", "-root", root, "-version", "v0.1.0"}, &said))
	const path = "github.com/bearergate/bearergate"
	head := strings.TrimSpace(git(t, root, "rev-parse", "HEAD"))
	require.Equal(t, `git tag -s -m "`+path+` v0.1.0" v0.1.0 `+head+`
git tag -s -m "`+path+`/adapters/one v0.1.0" adapters/one/v0.1.0 `+head+`
git tag -s -m "`+path+`/adapters/zero v0.1.0" adapters/zero/v0.1.0 `+head+`
git tag -s -m "`+path+`/adapters/two v0.1.0" adapters/two/v0.1.0 `+head+`
git push --atomic origin `+head+`:refs/heads/main v0.1.0 adapters/one/v0.1.0 adapters/zero/v0.1.0 adapters/two/v0.1.0
`, said.String())
	require.Empty(t, git(t, root, "tag"), "it only says them")

	one := exampleAdapter + "\nrequire github.com/bearergate/bearergate/adapters/two v0.1.0\n"
	two := strings.ReplaceAll(exampleAdapter, "one", "two") + "\nrequire github.com/bearergate/bearergate/adapters/one v0.1.0\n"
	err := run(t.Context(), []string{"tags", "-root", repository(t, map[string]string{"adapters/one/go.mod": one, "adapters/two/go.mod": two}), "-version", "v0.1.0"}, &said)
	require.ErrorContains(t, err, "require each other")
}

// What the documents of this repository say until the first release, prepare takes away.
func TestDocumentsCanBePrepared(t *testing.T) {
	root := filepath.Join("..", "..")
	pages, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	require.NoError(t, err)
	require.NotEmpty(t, pages)
	for _, page := range append(pages, filepath.Join(root, readme)) {
		name, err := filepath.Rel(root, page)
		require.NoError(t, err)
		if name == filepath.FromSlash(releasing) {
			continue
		}
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		require.Empty(t, document(name, preparedPage(string(text))))
	}
}

// What prepare leaves can be released, and a second time it finds nothing to do.
func TestPrepare(t *testing.T) {
	root := repository(t, map[string]string{
		"CHANGELOG.md": "# Changelog\n\n## v0.2.0, unreleased\n\nMore.\n\n## v0.1.0, 2026-01-31\n\nThe first.\n",
		"docs/a.md":    "Nothing is released yet. It will be.\n\nA program gets them:\n\n```sh\ngo mod edit -replace github.com/bearergate/bearergate/adapters/one=../bearergate/adapters/one\n```\n",
		"README.md":    "```sh\ngo mod init x\ngo mod edit -replace github.com/bearergate/bearergate=../bearergate   # the checkout\ngo mod tidy\n```\n\nNothing is released yet. It will be.\n\nThe end.\n",
	})
	require.Error(t, ready(t.Context(), root, "v0.2.0"))
	args := []string{"prepare", "-root", root, "-version", "v0.2.0", "-date", "2026-02-28"}
	var said bytes.Buffer
	require.NoError(t, run(t.Context(), args, &said))
	for _, name := range []string{"adapters/one/go.mod", "adapters/two/go.mod", "adapters/zero/go.mod", "examples/a/go.mod", "CHANGELOG.md", "README.md", "docs/a.md"} {
		require.Contains(t, said.String(), "changed "+name+"\n")
	}
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(root, name))
		require.NoError(t, err)
		return string(text)
	}
	require.Equal(t, "```sh\ngo mod init x\ngo get github.com/bearergate/bearergate\ngo mod tidy\n```\n\nThe end.\n", read("README.md"))
	require.Equal(t, "A program gets them:\n\n```sh\ngo get github.com/bearergate/bearergate/adapters/one\n```\n", read("docs/a.md"))
	require.Contains(t, read("CHANGELOG.md"), "## v0.2.0, 2026-02-28\n\nMore.\n\n## v0.1.0, 2026-01-31\n")
	require.Equal(t, strings.Replace(exampleAdapter, "v0.1.0", "v0.2.0", 1), read("adapters/one/go.mod"))

	git(t, root, "commit", "--quiet", "--all", "-m", "v0.2.0")
	require.NoError(t, ready(t.Context(), root, "v0.2.0"))
	said.Reset()
	require.NoError(t, run(t.Context(), args, &said))
	require.Empty(t, said.String())

	require.ErrorContains(t, run(t.Context(), []string{"prepare", "-root", root, "-version", "v0.3.0", "-date", "2026-03-31"}, &said), `has no section "## v0.3.0, unreleased"`)
	require.Empty(t, git(t, root, "status", "--porcelain"), "nothing is changed for it")
	require.ErrorContains(t, run(t.Context(), []string{"prepare", "-root", root, "-version", "v0.2.0", "-date", "today"}, &said), "is no day")
}

// What this repository is now: a prepare away from its release.
func TestThisRepository(t *testing.T) {
	released, others, err := layout(t.Context(), repositoryRoot)
	require.NoError(t, err)
	require.Equal(t, ".", released[0].dir)
	require.Greater(t, len(released), 5)
	require.Greater(t, len(others), 5)
	version, err := required(released)
	require.NoError(t, err)
	for _, m := range released {
		require.Empty(t, requirements(m, version, released), m.dir)
		require.Empty(t, licensed(repositoryRoot, m), m.dir)
	}
	// What prepare has to find in the documents before a first release, it finds.
	pages, err := filepath.Glob(filepath.Join(repositoryRoot, "docs", "*.md"))
	require.NoError(t, err)
	for _, name := range append(pages, filepath.Join(repositoryRoot, readme)) {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		prepared := preparedPage(string(text))
		if filepath.Base(name) == readme && filepath.Base(filepath.Dir(name)) != "docs" {
			require.Contains(t, prepared, "go get "+rootPath)
		}
		for _, phrase := range beforeFirst {
			if filepath.Base(name) != "releasing.md" { // which says what becomes of them
				require.NotContains(t, prepared, phrase, name)
			}
		}
	}
}

func TestLicencesPage(t *testing.T) {
	var said bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"licences", "-root", repositoryRoot}, &said))
	require.Contains(t, said.String(), "is true")
}

const mit = "Permission is hereby granted, free of charge, to any person obtaining a copy of this software\nThe above copyright notice and this permission notice shall be included in all copies"

// What a dependency brings along is looked at, and not what stands beside it.
func TestLicenceOfDependency(t *testing.T) {
	for name, row := range map[string]struct {
		files map[string]string // of the dependency
		kind  string
		wrong string
	}{
		"permitted":                          {files: map[string]string{"LICENSE": mit}, kind: "MIT"},
		"by its British name":                {files: map[string]string{"LICENCE.md": mit}, kind: "MIT"},
		"two":                                {files: map[string]string{"LICENSE": mit, "part/LICENSE": "Licensed under the Apache License, Version 2.0"}, kind: "Apache-2.0 and MIT"},
		"another of what is not linked":      {files: map[string]string{"LICENSE": mit, "other/LICENSE": "GNU GENERAL PUBLIC LICENSE\n  Version 3, 29 June 2007"}, kind: "MIT"},
		"none":                               {files: map[string]string{"README": mit}, wrong: "example.com/dep has no licence"},
		"one that nobody knows":              {files: map[string]string{"LICENSE": "all rights reserved"}, wrong: "example.com/dep has a LICENSE with no licence that is known here"},
		"not permitted":                      {files: map[string]string{"LICENSE": "GNU GENERAL PUBLIC LICENSE\n  Version 3, 29 June 2007"}, wrong: "has the licence GPL (LICENSE), which is not permitted"},
		"not permitted, beside one that is":  {files: map[string]string{"LICENSE": mit, "COPYING": "GNU AFFERO GENERAL PUBLIC LICENSE Version 3"}, wrong: "has the licence AGPL (COPYING)"},
		"not permitted, of what is linked":   {files: map[string]string{"LICENSE": mit, "part/LICENSE": "GNU LESSER GENERAL PUBLIC LICENSE Version 3"}, wrong: "has the licence LGPL"},
		"a notice is kept and is no licence": {files: map[string]string{"LICENSE": mit, "NOTICE": "made by somebody"}, kind: "MIT"},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			files := map[string]string{
				"go.mod":              "module github.com/bearergate/bearergate\n\ngo 1.26\n\nrequire example.com/dep v1.0.0\n\nreplace example.com/dep => ./testdata/dep\n",
				"root.go":             "package bearergate\n\nimport _ \"example.com/dep/part\"\n",
				"test/a.go":           "package test\n\nimport _ \"example.com/dep/other\"\n",
				"testdata/dep/go.mod": "module example.com/dep\n\ngo 1.26\n", "testdata/dep/part/part.go": "package part\n", "testdata/dep/other/other.go": "package other\n",
			}
			for file, text := range row.files {
				files["testdata/dep/"+file] = text
			}
			for file, text := range files {
				write(t, root, file, text)
			}
			mods, err := linked(t.Context(), root, []string{"GOFLAGS=-mod=mod"}, rootPath+"/...")
			require.NoError(t, err)
			require.Equal(t, []string{"example.com/dep", rootPath}, slices.Sorted(maps.Keys(mods)))
			kind, texts, err := mods["example.com/dep"].licence()
			if row.wrong != "" {
				require.ErrorContains(t, err, row.wrong)
				return
			}
			require.NoError(t, err)
			require.Equal(t, row.kind, strings.Join(kind, " and "))
			_, hasNotice := row.files["NOTICE"]
			require.Equal(t, hasNotice, slices.ContainsFunc(texts, func(name string) bool { return filepath.Base(name) == "NOTICE" }))
		})
	}
}

// Users get a module from the module proxy, and the command is built from the tag in the
// repository: a tag that was moved makes two things of that.
func TestServedIsTheTag(t *testing.T) {
	root, out := repository(t, nil), t.TempDir()
	released, _, err := layout(t.Context(), root)
	require.NoError(t, err)
	for _, m := range released {
		git(t, root, "tag", m.tag("v0.1.0"))
	}
	env, err := toClone(t.Context(), options{root: root, out: out}, root)
	require.NoError(t, err)
	set := &artifactSet{out: out, work: out, version: "v0.1.0", env: env}
	for _, m := range released {
		require.NoError(t, set.isServed(t.Context(), out, root, m), m.dir)
	}
	write(t, root, "root.go", "package bearergate // another\n")
	git(t, root, "commit", "--quiet", "--all", "-m", "b")
	for _, m := range released {
		err := set.isServed(t.Context(), out, root, m)
		if m.dir == "." {
			require.ErrorContains(t, err, "github.com/bearergate/bearergate v0.1.0 is h1:")
			continue
		}
		require.NoError(t, err, m.dir)
	}
}

// What is set on one machine goes into no program of a release, and what lies about is no
// part of it.
func TestNothingOfThisMachine(t *testing.T) {
	root := repository(t, map[string]string{"cmd/bearergate/main.go": "package main\n\nfunc main() {}\n"})
	file := filepath.Join(t.TempDir(), "program")
	env := []string{"GOOS=linux", "GOARCH=amd64"}
	_, err := program(t.Context(), root, file, env)
	require.NoError(t, err)
	for _, setting := range []string{"GOAMD64=v3", "GOEXPERIMENT=fieldtrack", "GOFIPS140=latest"} {
		_, err := program(t.Context(), root, file, append(slices.Clone(env), setting))
		require.ErrorContains(t, err, strings.Replace(setting, "=", " is ", 1))
	}
	_, err = program(t.Context(), root, file, []string{"GOOS=linux", "GOARCH=arm64", "GOARM64=v9.0"})
	require.ErrorContains(t, err, "GOARM64 is v9.0")

	out := t.TempDir()
	write(t, out, "bearergate-v0.0.9-linux-amd64", "")
	require.ErrorContains(t, run(t.Context(), []string{"artifacts", "-root", root, "-version", "v0.1.0", "-out", out}, &bytes.Buffer{}), "is not empty")
}

// What is not the same when it is made again is no artifact.
func TestMadeTwice(t *testing.T) {
	set := &artifactSet{out: t.TempDir(), w: &bytes.Buffer{}}
	require.NoError(t, set.add("same", func(bool) ([]byte, error) { return []byte("a"), nil }))
	require.FileExists(t, filepath.Join(set.out, "same"))
	require.ErrorContains(t, set.add("other", func(again bool) ([]byte, error) { return fmt.Append(nil, again), nil }), "other, made twice, is not the same")
	require.NoFileExists(t, filepath.Join(set.out, "other"))
	require.Len(t, set.sums, 1)
	require.Equal(t, "bearergate--windows-amd64.exe", set.programName("windows/amd64"))
}
