package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

const changelog, readme = "CHANGELOG.md", "README.md"

// The heading of a version in the changelog: "## v0.1.0, unreleased" until it has
// a date in the place of the word.
var section = regexp.MustCompile(`(?m)^## (v\S+), (\S+)$`)

// What a document says before there is a first release, and is wrong afterwards.
var beforeFirst = []string{"released yet", "until the first release", "-replace " + rootPath + "="}

func check(ctx context.Context, o options, w io.Writer) error {
	if err := ready(ctx, o.root, o.version); err != nil {
		return err
	}
	fmt.Fprintf(w, "%s can be released\n", o.version)
	return nil
}

// tags prints the commands that release the state. They are the maintainer's to run.
func tags(ctx context.Context, o options, w io.Writer) error {
	if err := ready(ctx, o.root, o.version); err != nil {
		return err
	}
	released, _, err := layout(ctx, o.root)
	if err != nil {
		return err
	}
	// By name: another commit may be checked out when they are run. The push is refused
	// where it is not what main is, or is about to be.
	revision, err := output(ctx, o.root, nil, "git", "rev-parse", "HEAD")
	if err != nil {
		return err
	}
	revision = strings.TrimSpace(revision)
	push := []string{"git push --atomic origin", revision + ":refs/heads/main"}
	for _, m := range released {
		fmt.Fprintf(w, "git tag -s -m %q %s %s\n", m.path()+" "+o.version, m.tag(o.version), revision)
		push = append(push, m.tag(o.version))
	}
	fmt.Fprintln(w, strings.Join(push, " "))
	return nil
}

// releasable refuses what is no version of a release, and v2 too, which is one of a
// module by another path.
func releasable(version string) error {
	if semver.Canonical(version) != version || semver.Build(version) != "" || module.IsPseudoVersion(version) || module.Check(rootPath, version) != nil {
		return fmt.Errorf("%q is no version of a release, such as v0.1.0", version)
	}
	return nil
}

// ready returns everything that is wrong with the state of the repository for a
// release of this version.
func ready(ctx context.Context, root, version string) error {
	if err := releasable(version); err != nil {
		return err
	}
	released, others, err := layout(ctx, root)
	if err != nil {
		return err
	}
	var mistakes []error
	mistake := func(format string, args ...any) { mistakes = append(mistakes, fmt.Errorf(format, args...)) }

	changed, err := output(ctx, root, nil, "git", "status", "--porcelain", "--untracked-files=all") // whatever is configured
	if err != nil {
		return err
	}
	if changed != "" {
		mistake("the working tree has what is not committed:\n%s", strings.TrimRight(changed, "\n"))
	}
	known, err := output(ctx, root, nil, "git", "tag", "--list")
	if err != nil {
		return err
	}
	existing := strings.Fields(known)
	for _, m := range released {
		if slices.Contains(existing, m.tag(version)) {
			mistake("the tag %s exists: a version is never made twice", m.tag(version))
		}
		mistakes = append(mistakes, requirements(m, version, released)...)
		mistakes = append(mistakes, licensed(root, m)...)
	}
	for _, m := range others {
		for _, r := range m.file.Require {
			if ours(r.Mod.Path) && r.Mod.Version != version {
				mistake("%s/go.mod requires %s %s, and not %s", m.dir, r.Mod.Path, r.Mod.Version, version)
			}
		}
	}
	mistakes = append(mistakes, changes(root, version)...)
	mistakes = append(mistakes, documents(ctx, root)...)
	return errors.Join(mistakes...)
}

// requirements is what go.mod of a released module must not say: what its users
// would be told, who have no replace directives.
func requirements(m aModule, version string, released []aModule) []error {
	var mistakes []error
	mistake := func(format string, args ...any) {
		mistakes = append(mistakes, fmt.Errorf(path.Join(m.dir, "go.mod")+" "+format, args...))
	}
	isReleased := func(modulePath string) bool {
		return slices.ContainsFunc(released, func(r aModule) bool { return r.path() == modulePath })
	}
	own := false
	for _, r := range m.file.Require {
		switch {
		case !ours(r.Mod.Path):
			continue
		case !isReleased(r.Mod.Path):
			mistake("requires %s, which is not released", r.Mod.Path)
		case r.Mod.Version != version:
			mistake("requires %s %s, and not %s", r.Mod.Path, r.Mod.Version, version)
		}
		own = own || r.Mod.Path == rootPath
	}
	if !own && m.dir != "." {
		mistake("does not require %s", rootPath)
	}
	for _, r := range m.file.Replace {
		if m.dir == "." {
			mistake("replaces %s: go install refuses a command of such a module", r.Old.Path)
		} else if !isReleased(r.Old.Path) || !modfile.IsDirectoryPath(r.New.Path) {
			mistake("replaces %s by %s, and its users do not", r.Old.Path, r.New.Path)
		}
	}
	for _, e := range m.file.Exclude {
		mistake("excludes %s, and its users do not", e.Mod)
	}
	if m.file.Toolchain != nil {
		mistake("names a toolchain, which is a matter of its users: %s", m.file.Toolchain.Name)
	}
	return mistakes
}

// licensed reports whether a module has a licence: the go command takes that of
// the root of the repository for a module without one.
func licensed(root string, m aModule) []error {
	whole, err := os.ReadFile(filepath.Join(root, "LICENSE"))
	if err != nil || len(bytes.TrimSpace(whole)) == 0 {
		return []error{errors.New(path.Join(m.dir, "LICENSE") + ": the repository has none, and so has this module")}
	}
	own, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(m.dir), "LICENSE"))
	if err == nil && !bytes.Equal(own, whole) {
		return []error{errors.New(path.Join(m.dir, "LICENSE") + " is another than that of the repository")}
	}
	return nil
}

// changes are the mistakes in the changelog.
func changes(root, version string) []error {
	text, err := os.ReadFile(filepath.Join(root, changelog))
	if err != nil {
		return []error{err}
	}
	sections := section.FindAllSubmatchIndex(text, -1)
	if len(sections) == 0 || string(text[sections[0][2]:sections[0][3]]) != version {
		return []error{fmt.Errorf("%s: its first section is not %q", changelog, "## "+version+", DATE")}
	}
	var mistakes []error
	if date := string(text[sections[0][4]:sections[0][5]]); !isDay(date) {
		mistakes = append(mistakes, fmt.Errorf("%s: %s is %s: write the day of the release", changelog, version, date))
	}
	end := len(text)
	if len(sections) > 1 {
		end = sections[1][0]
	}
	if len(bytes.TrimSpace(text[sections[0][1]:end])) == 0 {
		mistakes = append(mistakes, fmt.Errorf("%s: the section of %s says nothing", changelog, version))
	}
	return mistakes
}

func isDay(s string) bool {
	_, err := time.Parse(time.DateOnly, s)
	return err == nil
}

// documents are the mistakes in what readers are told about getting the library.
func documents(ctx context.Context, root string) []error {
	files, err := committable(ctx, root)
	if err != nil {
		return []error{err}
	}
	var mistakes []error
	for _, name := range files {
		if path.Ext(name) != ".md" || name == releasing {
			continue
		}
		text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			return []error{err}
		}
		mistakes = append(mistakes, document(name, string(text))...)
	}
	return mistakes
}

// document are the mistakes of one of them.
func document(name, text string) (mistakes []error) {
	for _, phrase := range beforeFirst {
		if strings.Contains(text, phrase) {
			mistakes = append(mistakes, fmt.Errorf("%s says %q", name, phrase))
		}
	}
	if name == readme && !strings.Contains(text, "go get "+rootPath) {
		mistakes = append(mistakes, fmt.Errorf("%s does not say go get %s", name, rootPath))
	}
	return mistakes
}

// releasing is the page that names what changes at a release, and so quotes it.
const releasing = "docs/releasing.md"
