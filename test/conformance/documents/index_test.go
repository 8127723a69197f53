package documents_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const index = "docs/README.md"

// testName is a function that go test runs by its name.
var testName = regexp.MustCompile(`(?m)^func ((?:Test|Example|Fuzz|Benchmark)\w*)\(`)

// The index by task leads to every page of docs/, and each of its rows has a page and a
// command that runs something which is there.
func TestIndex(t *testing.T) {
	text := read(t, index)
	pages, err := os.ReadDir(filepath.Join(root, "docs"))
	require.NoError(t, err)
	names := []string{}
	for _, page := range pages {
		if strings.HasSuffix(page.Name(), ".md") {
			names = append(names, page.Name())
		}
	}
	require.Greater(t, len(names), 25, "pages have been lost")
	for _, fault := range indexFaults(text, names, os.DirFS(root)) {
		t.Errorf("%s: %s", index, fault)
	}
	rows := 0
	for _, section := range strings.Split(text, "\n## ")[1:] {
		rows += len(indexRows(section))
	}
	require.Greater(t, rows, 40, "tasks have been lost")
}

// indexFaults returns what is wrong with an index: pages that it does not name, rows
// without a page, and commands that name nothing in the repository.
func indexFaults(text string, pages []string, repository fs.FS) (faults []string) {
	var targets []string
	for _, l := range link.FindAllStringSubmatch(withoutCode(text), -1) {
		target, _, _ := strings.Cut(l[1], "#")
		targets = append(targets, target)
	}
	for _, page := range pages {
		if page != path.Base(index) && !slices.Contains(targets, page) {
			faults = append(faults, "no row leads to "+page)
		}
	}
	for _, section := range strings.Split(text, "\n## ")[1:] {
		for _, row := range indexRows(section) {
			if len(row) != 3 {
				faults = append(faults, fmt.Sprintf("%q has %d columns", row[0], len(row)))
				continue
			}
			if !link.MatchString(row[1]) {
				faults = append(faults, fmt.Sprintf("%q has no page", row[0]))
			}
			commands := 0
			for _, span := range codeSpan.FindAllString(row[2], -1) {
				command := strings.Trim(span, "`")
				if !strings.Contains(command, " ") && !strings.Contains(command, "/") {
					continue // the name of a program
				}
				commands++
				if err := runs(command, repository); err != nil {
					faults = append(faults, fmt.Sprintf("%q: %s: %s", row[0], command, err))
				}
			}
			if commands == 0 {
				faults = append(faults, fmt.Sprintf("%q has no command", row[0]))
			}
		}
	}
	return faults
}

// indexRows returns the rows of the tables in a section, without their heads. A pipe
// behind a backslash is one in a cell.
func indexRows(section string) (rows [][]string) {
	const pipe = "\x00"
	for line := range strings.Lines(section) {
		line = strings.ReplaceAll(strings.TrimSpace(line), `\|`, pipe)
		if !strings.HasPrefix(line, "|") {
			continue
		}
		row := strings.Split(strings.Trim(line, "|"), "|")
		for i := range row {
			row[i] = strings.ReplaceAll(strings.TrimSpace(row[i]), pipe, "|")
		}
		rows = append(rows, row)
	}
	if len(rows) < 3 {
		return nil
	}
	return rows[2:]
}

// runs says what keeps a command from running in the repository: a directory, a script,
// a target of make or a test that is not there.
func runs(command string, repository fs.FS) error {
	words := shellWords(command)
	dir := "."
	switch {
	case words[0] == "make":
		makefile, err := fs.ReadFile(repository, "Makefile")
		if err != nil {
			return err
		}
		if len(words) != 2 || !strings.Contains("\n"+string(makefile), "\n"+words[1]+":") {
			return errors.New("the Makefile has no such target")
		}
		return nil
	case words[0] == "bash" && len(words) == 2:
		_, err := fs.Stat(repository, words[1])
		return err
	case len(words) == 1:
		_, err := fs.Stat(repository, path.Clean(words[0]))
		return err
	case words[0] != "go":
		return errors.New("of no kind that this test knows")
	}
	words = words[1:]
	if words[0] == "-C" && len(words) > 2 {
		dir, words = words[1], words[2:]
		if _, err := fs.Stat(repository, path.Join(dir, "go.mod")); err != nil {
			return errors.New(dir + " is no module")
		}
	}
	verb, pattern, packages := words[0], "", []string(nil)
	for i := 1; i < len(words); i++ {
		switch word := words[i]; {
		case (word == "-run" || word == "-bench") && i+1 < len(words):
			i++
			if words[i] != "^$" && words[i] != "." {
				pattern = words[i]
			}
		case word == "." || strings.HasPrefix(word, "./"):
			packages = append(packages, path.Join(dir, strings.TrimSuffix(word, "...")))
			if verb == "run" {
				i = len(words) // what follows is for the program
			}
		}
	}
	if !slices.Contains([]string{"run", "test", "doc", "list"}, verb) || len(packages) == 0 {
		return errors.New("names no package")
	}
	for _, pkg := range packages {
		files, err := fs.Glob(repository, path.Join(pkg, "*.go"))
		if err != nil {
			return err
		}
		if len(files) == 0 {
			return errors.New("there is no package " + pkg)
		}
		if err := matches(pattern, verb, files, repository); err != nil {
			return err
		}
	}
	return nil
}

// matches says whether files have a test by the pattern, a command to run, or a test at
// all.
func matches(pattern, verb string, files []string, repository fs.FS) error {
	found, main := false, false
	chosen, err := regexp.Compile(pattern)
	if err != nil {
		return err
	}
	for _, file := range files {
		text, err := fs.ReadFile(repository, file)
		if err != nil {
			return err
		}
		if !strings.HasSuffix(file, "_test.go") {
			main = main || strings.Contains("\n"+string(text), "\npackage main\n")
			continue
		}
		for _, test := range testName.FindAllStringSubmatch(string(text), -1) {
			found = found || chosen.MatchString(test[1])
		}
	}
	switch {
	case verb == "run" && !main:
		return errors.New("is no command")
	case verb == "test" && !found:
		return errors.New("runs no test")
	}
	return nil
}

// shellWords are the words of a command, of which some stand in single quotation marks.
func shellWords(command string) (words []string) {
	for i, part := range strings.Split(command, "'") {
		if i%2 == 1 {
			words = append(words, part)
			continue
		}
		words = append(words, strings.Fields(part)...)
	}
	return words
}

// The test above bites.
func TestIndexBites(t *testing.T) {
	repository := os.DirFS(root)
	row := func(page, run string) string {
		return "# Index\n## A\n\n| you want to | page | run |\n|---|---|---|\n| protect a route | " + page + " | " + run + " |\n"
	}
	const routes = "[Routes](routes.md#scopes)"
	for _, test := range []struct{ name, text, fault string }{
		{name: "a good row", text: row(routes, "`go run ./examples/quickstart`, or `make quick`, with `redis-server`")},
		{name: "a test by name", text: row(routes, "`go test -v -run 'ExampleTrial\\|ExampleStepUp' ./middleware`")},
		{name: "flags of a program", text: row(routes, "`go run ./cmd/bearergate dev -run ./nowhere`")},
		{name: "scripts", text: row(routes, "`examples/fleet/run.sh`, `bash .ci/run`")},
		{name: "a page that no row leads to", text: row("[Scopes](scopes.md)", "`make quick`"), fault: "no row leads to routes.md"},
		{name: "a link in code", text: row("`[x](routes.md)`", "`make quick`"), fault: "no row leads to routes.md"},
		{name: "no page", text: row("routes", "`make quick`") + "[x](routes.md)\n", fault: `"protect a route" has no page`},
		{name: "no command", text: row(routes, "nothing with `redis-server`"), fault: `"protect a route" has no command`},
		{name: "no such directory", text: row(routes, "`go run ./examples/gone`"), fault: "there is no package examples/gone"},
		{name: "no such module", text: row(routes, "`go -C examples/quickstart run .`"), fault: "examples/quickstart is no module"},
		{name: "no command there", text: row(routes, "`go run ./scope`"), fault: "is no command"},
		{name: "no such test", text: row(routes, "`go test -run TestGone ./scope`"), fault: "runs no test"},
		{name: "no such script", text: row(routes, "`examples/gone/run.sh`"), fault: "no such file"},
		{name: "no such target", text: row(routes, "`make gone`"), fault: "no such target"},
		{name: "another program", text: row(routes, "`npm run gone`"), fault: "of no kind"},
		{name: "a column too many", text: row(routes, "`make quick` | x"), fault: "has 4 columns"},
	} {
		t.Run(test.name, func(t *testing.T) {
			faults := indexFaults(test.text, []string{"README.md", "routes.md"}, repository)
			if test.fault == "" {
				require.Empty(t, faults)
				return
			}
			require.NotEmpty(t, faults)
			require.Contains(t, faults[0], test.fault)
		})
	}
}
