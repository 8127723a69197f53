package documents_test

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// fence begins or ends a block of a document: indentation, fence, language and mark.
var fence = regexp.MustCompile("^([ \t>]*)(```+|~~~+)[ \t]*([^ \t]*)[ \t]*(.*)$")

// proved says of each language who looks at its blocks. One that is not here is a
// block that nobody has thought of.
var proved = map[string]string{
	"go":       "compiled by tools/docgen",
	"sh":       "here: its form, and what it names of this repository",
	"json":     "here: it parses",
	"yaml":     "here: it parses; Envoy's by adapters/extauthz",
	"console":  "run by cmd/bearergate",
	"cron":     "here: the flags of bearergate",
	"promql":   "what it asks for is measured by adapters/prometheus",
	"sql":      "for a database that no test has",
	"js":       "for a server of the reader's; that of test/interop does likewise",
	"markdown": "output, compared by tools/docgen",
	"text":     "output, or a file whose marks tests look for",
	"":         "a drawing",
}

type docBlock struct {
	doc, language, text string
	line                int
}

// blocksOf reads the blocks of a document. What is not closed is a mistake.
func blocksOf(t *testing.T, doc, text string) []docBlock {
	t.Helper()
	var all []docBlock
	open, indent := "", ""
	for i, line := range strings.Split(text, "\n") {
		m := fence.FindStringSubmatch(strings.TrimSuffix(line, "\r"))
		switch {
		case open == "" && m != nil:
			open, indent = m[2], m[1]
			all = append(all, docBlock{doc: doc, language: m[3], line: i + 1})
		case open != "" && m != nil && m[3] == "" && strings.HasPrefix(m[2], open):
			open = ""
		case open != "":
			all[len(all)-1].text += strings.TrimPrefix(line, indent) + "\n"
		}
	}
	require.Empty(t, open, "%s: a block that does not end", doc)
	return all
}

func allBlocks(t *testing.T) []docBlock {
	t.Helper()
	var all []docBlock
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if entry.Name() == ".git" || entry.Name() == "node_modules" {
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(entry.Name()) != ".md" {
			return nil
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		all = append(all, blocksOf(t, filepath.ToSlash(rel), read(t, filepath.ToSlash(rel)))...)
		return nil
	})
	require.NoError(t, err)
	require.Greater(t, len(all), 100, "blocks have been lost")
	return all
}

// code is what a block without a language must not have: nobody would look at it.
var code = regexp.MustCompile(`(?m)^\s*(package \w+$|func .*\{$|[\w, ]+ := [^\x{2500}-\x{25ff}\n]*$|(go|bash|curl|git|make|npm) [a-z.-]+|[{}]$)`)

func TestEveryBlockIsLookedAt(t *testing.T) {
	used := map[string]bool{}
	for _, b := range allBlocks(t) {
		used[b.language] = true
		require.Contains(t, proved, b.language, "%s:%d: a language that nobody looks at", b.doc, b.line)
		if b.language == "" {
			require.NotRegexp(t, code, b.text, "%s:%d: code in a block that names no language", b.doc, b.line)
		}
	}
	for language := range proved {
		require.Contains(t, used, language, "no block is left of it")
	}
}

func TestDataInDocumentsParses(t *testing.T) {
	for _, b := range allBlocks(t) {
		require.NoError(t, parses(b), "%s:%d", b.doc, b.line)
	}
}

func parses(b docBlock) error {
	switch b.language {
	case "json":
		var v any
		return json.Unmarshal([]byte(b.text), &v)
	case "yaml":
		for decoder := yaml.NewDecoder(strings.NewReader(b.text)); ; {
			var v any
			if err := decoder.Decode(&v); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return err
			}
		}
	}
	return nil
}

func TestShellInDocuments(t *testing.T) {
	blocks := 0
	for _, b := range allBlocks(t) {
		if b.language == "cron" {
			require.NoError(t, bearergateRuns(b.text), "%s:%d", b.doc, b.line)
		}
		if b.language != "sh" {
			continue
		}
		blocks++
		require.NoError(t, runsHere(t, b.text), "%s:%d", b.doc, b.line)
	}
	require.Greater(t, blocks, 20)
}

var (
	// goCommand is one that names something of this repository.
	goCommand = regexp.MustCompile(`\bgo(?: -C (\S+))? (run|test|build|vet|generate|mod)((?: [^\s#|;&<>]+)*)`)
	// ciSteps and makeTarget are other ways to name something of it.
	ciSteps    = regexp.MustCompile(`\.ci/run((?: [a-z]+)*)`)
	makeTarget = regexp.MustCompile(`(?m)^make ([a-z]+)`)
	script     = regexp.MustCompile(`(?m)^((?:examples|test|tools)/\S+\.sh)\b`)
	// bearergate is the command, and its flags.
	bearergate = regexp.MustCompile(`(?m)(?:^|/|probe )bearergate ([a-z]+)((?: [^\s#|;&<>]+)*)`)
	// elsewhere are commands in a directory of the reader's.
	elsewhere = regexp.MustCompile(`\bgo (run|test|build|vet) \.( |\n|$)`)
)

// runsHere returns what is wrong with a block of shell: its form, or a directory,
// a flag, a step, a target or a test that is not there.
func runsHere(t *testing.T, text string) error {
	t.Helper()
	form := exec.CommandContext(t.Context(), "bash", "-n")
	form.Stdin = strings.NewReader(text)
	if out, err := form.CombinedOutput(); err != nil {
		return errors.New(string(out))
	}
	// What is quoted is one word: it has no space here, and no bar.
	text = regexp.MustCompile(`'[^'\n]*'|"[^"\n]*"`).ReplaceAllStringFunc(text, func(s string) string {
		return strings.NewReplacer(" ", "_", "|", bar).Replace(strings.Trim(s, `'"`))
	})
	for line := range strings.Lines(text) {
		for _, m := range goCommand.FindAllStringSubmatch(line, -1) {
			if m[1] == "" && elsewhere.MatchString(line) {
				continue
			}
			if err := goCommandRuns(m[1], m[2], strings.Fields(strings.ReplaceAll(m[3], bar, "|"))); err != nil {
				return errors.New(strings.TrimSpace(line) + ": " + err.Error())
			}
		}
	}
	if err := bearergateRuns(text); err != nil {
		return err
	}
	for _, m := range ciSteps.FindAllStringSubmatch(text, -1) {
		for step := range strings.FieldsSeq(m[1]) {
			if !regexp.MustCompile(`(?m)^run_` + step + `\(\)`).MatchString(read(t, ".ci/run")) {
				return errors.New(".ci/run has no step " + step)
			}
		}
	}
	for _, m := range makeTarget.FindAllStringSubmatch(text, -1) {
		if !strings.Contains(read(t, "Makefile"), "\n"+m[1]+":") {
			return errors.New("Makefile has no target " + m[1])
		}
	}
	for _, m := range script.FindAllStringSubmatch(text, -1) {
		if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(m[1]))); err != nil {
			return err
		}
	}
	return nil
}

// bearergateRuns returns what the command does not know.
func bearergateRuns(text string) error {
	source, err := sourceOf(filepath.Join(root, "cmd", "bearergate"))
	if err != nil {
		return err
	}
	for _, m := range bearergate.FindAllStringSubmatch(text, -1) {
		if !regexp.MustCompile(`newFlags\("` + m[1] + `"`).MatchString(source) {
			return errors.New("bearergate has no command " + m[1])
		}
		for word := range strings.FieldsSeq(m[2]) {
			name, isFlag := strings.CutPrefix(word, "-")
			if isFlag && name != "" && !hasFlag(source, name) {
				return errors.New("bearergate has no flag " + word)
			}
		}
	}
	return nil
}

// hasFlag reports whether a flag is defined in a text of Go.
func hasFlag(source, name string) bool {
	return regexp.MustCompile(`(?:Bool|String|Int|Duration|Var|Func)\((?:[^",]+, )?"` + regexp.QuoteMeta(name) + `"`).MatchString(source)
}

const bar = "\x01"

// goFlags are those of the go command that documents use, and whether a value
// follows.
var goFlags = map[string]bool{"-v": false, "-bench": true, "-benchtime": true, "-run": true, "-count": true, "-race": false, "-shuffle": true, "-fuzz": true, "-fuzztime": true, "-trimpath": false, "-buildvcs": false, "-o": true}

func goCommandRuns(dir, verb string, args []string) error {
	at := filepath.Join(root, filepath.FromSlash(dir))
	if _, err := os.Stat(filepath.Join(at, "go.mod")); err != nil {
		return errors.New("go -C " + dir + " leads to no module")
	}
	if verb == "mod" { // in the reader's module, all but verify and download
		return nil
	}
	pkg, own := "", []string{} // the package, and its own flags behind it
	for i := 0; i < len(args); i++ {
		name, _, hasValue := strings.Cut(args[i], "=")
		switch {
		case pkg != "" && verb == "run":
			own = append(own, name)
		case strings.HasPrefix(name, "-"):
			value, known := goFlags[name]
			if !known {
				own = append(own, name) // of a test: looked for below
				value = i+1 < len(args) && !strings.HasPrefix(args[i+1], "-") && i+2 < len(args)
			}
			if value && !hasValue {
				i++
				if name == "-run" && i < len(args) && !namesATest(at, args[i]) {
					return errors.New("no test is named " + args[i])
				}
			}
		default:
			pkg = args[i]
		}
	}
	if pkg == "" {
		return errors.New("it names no package")
	}
	place := filepath.Join(at, filepath.FromSlash(strings.TrimSuffix(pkg, "/...")))
	source, err := sourceOf(place)
	if err != nil || source == "" && !strings.HasSuffix(pkg, "/...") {
		return errors.New(pkg + " is no package")
	}
	if verb == "run" && !strings.Contains(source, "\nfunc main()") {
		return errors.New(pkg + " is no program")
	}
	for _, name := range own {
		name, isFlag := strings.CutPrefix(name, "-")
		if isFlag && !hasFlag(source, name) {
			return errors.New(pkg + " has no flag -" + name)
		}
	}
	return nil
}

// sourceOf is all the Go of a directory, one file after the other.
func sourceOf(dir string) (string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(dir); err != nil {
		return "", err
	}
	all := ""
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		all += "\n" + string(b)
	}
	return all, nil
}

// namesATest reports whether each alternative of a regexp for -run matches a test of
// the directory, or the regexp is the one that matches none on purpose.
func namesATest(dir, pattern string) bool {
	if pattern == "^$" {
		return true
	}
	source, err := sourceOf(dir)
	if err != nil {
		return false
	}
	for one := range strings.SplitSeq(strings.Trim(pattern, "()"), "|") {
		if !regexp.MustCompile(`(?m)^func (Test|Example)\w*` + regexp.QuoteMeta(strings.Trim(one, "^$"))).MatchString(source) {
			return false
		}
	}
	return true
}

// The checks above notice.
func TestBlocksNotice(t *testing.T) {
	for _, good := range []string{
		"go test ./...\n", "go run ./examples/quickstart -serve   # comment\n", "go -C test/bench test -bench . -benchtime 0.1s .\n", "go -C test/bench test -run 'Beyond|Faults' -v .\n",
		"bash .ci/run lint race\n", "make docs\n", "go run . -whatever\n", "go mod init example.com/a\n", "go install github.com/bearergate/bearergate/cmd/bearergate@latest\n",
	} {
		require.NoError(t, runsHere(t, good), good)
	}
	for bad, why := range map[string]string{
		"if true\n":                                       "unexpected end of file",
		"echo 'a\n":                                       "unexpected EOF",
		"go run ./examples/quickstrat\n":                  "is no package",
		"go run ./jwtverify\n":                            "is no program",
		"go run ./examples/quickstart -sreve\n":           "has no flag -sreve",
		"go -C test/bunch test .\n":                       "leads to no module",
		"go -C test/bench test -bench . -dta x .\n":       "has no flag -dta",
		"go -C test/bench test -run 'Beyond|Nothing' .\n": "no test is named Beyond|Nothing",
		"go test ./nothing/...\n":                         "is no package",
		"bash .ci/run lint rice\n":                        "no step rice",
		"bearergate explane <token.txt\n":                 "no command explane",
		"bearergate probe -issuer a -ulr b\n":             "no flag -ulr",
		"make doks\n":                                     "no target doks",
		"examples/observability/walk.sh\n":                "no such file",
	} {
		require.ErrorContains(t, runsHere(t, bad), why, bad)
	}
	require.Error(t, parses(docBlock{language: "json", text: `{"a": 1,}`}))
	require.Error(t, parses(docBlock{language: "yaml", text: "a: b: c"}))
	require.Error(t, parses(docBlock{language: "yaml", text: "a: b\n---\n- a\nb"}))
	require.Regexp(t, code, "v, err := jwtverify.New(c)\n")
	require.Regexp(t, code, "go run ./examples/quickstart\n")
	require.Len(t, blocksOf(t, "a.md", "```go x\na\n```\n\n> ~~~\n> b\n> ~~~\n\n````\n```\n````\n"), 3)
}
