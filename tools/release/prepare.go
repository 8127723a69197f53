package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

// replaceLine is what documents say in the place of go get until the first
// release, and notYet the paragraph that explains it.
var (
	replaceLine = regexp.MustCompile(`(?m)^go mod edit -replace (` + regexp.QuoteMeta(rootPath) + `[^\s=]*)=.*$`)
	notYet      = regexp.MustCompile(`(?m)^Nothing is released yet\..*\n\n`)
)

// prepare writes the version and the day where a release has them: go.mod of
// every module, the changelog, and for the first release the README and the pages
// of docs/. What is right already stays. The diff is the maintainer's to read and to commit.
func prepare(ctx context.Context, o options, w io.Writer) error {
	if err := releasable(o.version); err != nil {
		return err
	}
	if !isDay(o.date) {
		return fmt.Errorf("-date %q is no day, such as 2026-01-31", o.date)
	}
	released, others, err := layout(ctx, o.root)
	if err != nil {
		return err
	}
	// First what can say no: nothing is changed for a version that is not there.
	err = rewrite(o.root, changelog, w, func(text string) (string, error) {
		heading := "## " + o.version + ", "
		if !strings.Contains(text, heading+"unreleased\n") && !regexp.MustCompile(`(?m)^`+regexp.QuoteMeta(heading)+`\d`).MatchString(text) {
			return "", fmt.Errorf("has no section %q", heading+"unreleased")
		}
		return strings.Replace(text, heading+"unreleased\n", heading+o.date+"\n", 1), nil
	})
	if err != nil {
		return err
	}
	for _, m := range append(released, others...) {
		for _, r := range m.file.Require {
			if ours(r.Mod.Path) && r.Mod.Version != o.version {
				if err := m.file.AddRequire(r.Mod.Path, o.version); err != nil {
					return err
				}
			}
		}
		data, err := m.file.Format()
		if err != nil {
			return err
		}
		if err := rewrite(o.root, path.Join(m.dir, "go.mod"), w, func(string) (string, error) { return string(data), nil }); err != nil {
			return err
		}
	}
	pages, err := filepath.Glob(filepath.Join(o.root, "docs", "*.md"))
	errs := []error{err}
	names := []string{readme}
	for _, page := range pages {
		names = append(names, path.Join("docs", filepath.Base(page)))
	}
	for _, name := range names {
		errs = append(errs, rewrite(o.root, name, w, func(text string) (string, error) { return preparedPage(text), nil }))
	}
	return errors.Join(errs...)
}

func preparedPage(text string) string {
	return notYet.ReplaceAllLiteralString(replaceLine.ReplaceAllString(text, "go get $1"), "")
}

// rewrite changes a file, and says so if it has changed.
func rewrite(root, name string, w io.Writer, change func(string) (string, error)) error {
	file := filepath.Join(root, filepath.FromSlash(name))
	old, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	text, err := change(string(old))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if text == string(old) {
		return nil
	}
	fmt.Fprintf(w, "changed %s\n", name)
	return os.WriteFile(file, []byte(text), 0o644)
}
