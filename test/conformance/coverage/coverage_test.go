// Package coverage_test compares the catalogues, test/requirements.md and
// test/attacks.md, with the repository's tests that name their IDs.
package coverage_test

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/stretchr/testify/require"
)

const (
	root         = "../../.." // of the repository
	requirements = "../../requirements.md"
	attacks      = "../../attacks.md"
)

type requirement struct {
	id     string
	levels []string // one row may hold a must and a should
	part   string
	later  bool // it stands under "Later parts", and no total counts it
}

// built: the part exists.
func (r requirement) built() bool { return !strings.HasPrefix(r.part, "not built: ") }

// binding: a must, a must not or a policy.
func (r requirement) binding() bool {
	return slices.ContainsFunc(r.levels, func(l string) bool { return l == "M" || l == "MN" || l == "P" })
}

var (
	// idForm is R and an RFC, or the name of another specification.
	idForm   = regexp.MustCompile(`^(?:R[0-9]{4}|[A-Z]{3,4}|FAPI2)-[0-9]{2}$`)
	levels   = []string{"M", "MN", "P", "S", "SN", "m", "info"}
	wordForm = regexp.MustCompile(`^\(?(R[0-9]{4}|[A-Z]{3,4}|FAPI2)-([0-9]{2})(?:(?:\.\.|–|…)(?:(R[0-9]{4}|[A-Z]{3,4}|FAPI2)-)?([0-9]{2}))?[,;:.)]*$`)
	// otherID is the ID of an attack: it may stand in the same list.
	otherID = regexp.MustCompile(`^(?:(?:[A-Z]{2,4}|W2)-[0-9]{3}[a-z]?|S[0-9]{1,2}[a-z]?)[,;:.)]*$`)
)

// cells returns the cells of a row of a table: a bar in a cell is written \|.
// It returns none for a line that is in no table, and for the head of one.
func cells(line string) ([]string, error) {
	line = strings.TrimSpace(line)
	if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "| ID |") || strings.HasPrefix(line, "|---|") {
		return nil, nil
	}
	if !strings.HasSuffix(line, "|") || len(line) < 2 {
		return nil, fmt.Errorf("the row has no end: %q", line)
	}
	const bar = "\x00"
	row := strings.Split(strings.ReplaceAll(line[1:len(line)-1], `\|`, bar), "|")
	for i := range row {
		row[i] = strings.TrimSpace(strings.ReplaceAll(row[i], bar, "|"))
	}
	return row, nil
}

// readList reads the tables of requirements.md.
func readList(text string) ([]requirement, error) {
	var list []requirement
	seen := map[string]bool{}
	later := false
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) == "# Later parts" {
			later = true
		}
		row, err := cells(line)
		if err != nil {
			return nil, err
		}
		if row == nil {
			continue
		}
		if len(row) != 4 || !idForm.MatchString(row[0]) || row[2] == "" || row[3] == "" {
			return nil, fmt.Errorf("not an ID, a level, a part and a text: %q", line)
		}
		r := requirement{id: row[0], levels: strings.Split(row[1], "/"), part: row[2], later: later}
		for _, l := range r.levels {
			if !slices.Contains(levels, l) {
				return nil, fmt.Errorf("%s: unknown level %q", r.id, l)
			}
		}
		if seen[r.id] {
			return nil, fmt.Errorf("%s is there twice", r.id)
		}
		seen[r.id] = true
		list = append(list, r)
	}
	return list, nil
}

func requirementsOf(t *testing.T) []requirement {
	t.Helper()
	text, err := os.ReadFile(requirements)
	require.NoError(t, err)
	list, err := readList(string(text))
	require.NoError(t, err)
	return list
}

// named returns the requirements that a comment names. The list stands after
// the mark, the word req and a colon, and ends at the first word that is no ID;
// after a comma at the end of a line it goes on in the next one. A range, 01..03
// after the dash, names all in it.
func named(comment string) ([]string, error) {
	var ids []string
	in := false
	for line := range strings.Lines(comment) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "//") || strings.HasPrefix(line, "/*") {
			line = line[2:]
		}
		if _, after, ok := strings.Cut(line, "req:"); ok {
			words := strings.Fields(after)
			if len(words) == 0 || !wordForm.MatchString(words[0]) && !otherID.MatchString(words[0]) {
				return nil, fmt.Errorf("no requirement after req: in %q", line)
			}
			in, line = true, after
		}
		if !in {
			continue
		}
		words := strings.Fields(line)
		in = false
		for _, word := range words {
			m := wordForm.FindStringSubmatch(word)
			if m == nil && !otherID.MatchString(word) {
				in = false
				break
			}
			in = strings.HasSuffix(word, ",")
			if m == nil {
				continue
			}
			first, last := m[2], m[4]
			if last == "" {
				last = first
			}
			from, _ := strconv.Atoi(first)
			to, _ := strconv.Atoi(last)
			if m[3] != "" && m[3] != m[1] || to < from {
				return nil, fmt.Errorf("no range: %q", word)
			}
			for n := from; n <= to; n++ {
				ids = append(ids, fmt.Sprintf("%s-%02d", m[1], n))
			}
		}
	}
	return ids, nil
}

// eachTestFile calls f with every test file of the repository, and with what lies beside
// them under test/: the rows that several packages' tests share.
func eachTestFile(t *testing.T, f func(name string, text []byte)) {
	t.Helper()
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			switch entry.Name() {
			case ".git", "testdata", "vendor", "node_modules":
				return fs.SkipDir
			}
			return nil
		}
		shared := strings.HasPrefix(name, filepath.Join(root, "test")+string(filepath.Separator)) && strings.HasSuffix(name, ".go")
		if !shared && !strings.HasSuffix(name, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(name)
		if err == nil {
			f(name, text)
		}
		return err
	})
	require.NoError(t, err)
}

// tests returns, by requirement, where the tests of the repository name it.
func tests(t *testing.T) map[string][]string {
	t.Helper()
	places := map[string][]string{}
	files := 0
	eachTestFile(t, func(name string, text []byte) {
		set := token.NewFileSet()
		parsed, err := parser.ParseFile(set, name, text, parser.ParseComments)
		require.NoError(t, err)
		files++
		rel, err := filepath.Rel(root, name)
		require.NoError(t, err)
		for _, group := range parsed.Comments {
			var lines []string
			for _, c := range group.List {
				lines = append(lines, c.Text)
			}
			ids, err := named(strings.Join(lines, "\n"))
			place := fmt.Sprintf("%s:%d", filepath.ToSlash(rel), set.Position(group.Pos()).Line)
			if err != nil {
				t.Errorf("%s: %v", place, err)
			}
			for _, id := range ids {
				places[id] = append(places[id], place)
			}
		}
	})
	require.Greater(t, files, 20, "hardly any test was read: is this module inside its repository?")
	return places
}

// Every must, must not and policy of a part that is built is named by a test.
func TestCoverage(t *testing.T) {
	list := requirementsOf(t)
	first := slices.DeleteFunc(slices.Clone(list), func(r requirement) bool { return r.later })
	require.Greater(t, len(first), 140, "requirements have been lost")
	require.Greater(t, len(list)-len(first), 100, "requirements of later parts have been lost")
	places := tests(t)

	type count struct{ binding, bindingNamed, other, otherNamed, unbuilt int }
	byRFC := map[string]*count{}
	var total count
	laterUnbuilt := 0
	var optional []string
	known := map[string]bool{}
	for _, r := range list {
		known[r.id] = true
		if r.later && !r.built() {
			laterUnbuilt++
			continue
		}
		rfc, _, _ := strings.Cut(r.id, "-")
		c := byRFC[rfc]
		if c == nil {
			c = &count{}
			byRFC[rfc] = c
		}
		at := places[r.id]
		switch {
		case !r.built():
			c.unbuilt++
		case r.binding():
			c.binding++
			if len(at) > 0 {
				c.bindingNamed++
			} else {
				t.Errorf("%s (%s, %s): no test names it", r.id, strings.Join(r.levels, "/"), r.part)
			}
		default:
			c.other++
			if len(at) > 0 {
				c.otherNamed++
			} else {
				optional = append(optional, r.id)
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(places)) {
		if !known[id] {
			t.Errorf("%s, named in %s, is no requirement", id, strings.Join(places[id], ", "))
		}
	}

	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(w, "RFC\tmust, must not, policy\tnamed by a test\tothers\tnamed by a test\tnot built\t")
	for _, rfc := range slices.Sorted(maps.Keys(byRFC)) {
		c := byRFC[rfc]
		total.binding += c.binding
		total.bindingNamed += c.bindingNamed
		total.other += c.other
		total.otherNamed += c.otherNamed
		total.unbuilt += c.unbuilt
		_, _ = fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t\n", strings.TrimPrefix(rfc, "R"), c.binding, c.bindingNamed, c.other, c.otherNamed, c.unbuilt)
	}
	_, _ = fmt.Fprintf(w, "all\t%d\t%d\t%d\t%d\t%d\t\n", total.binding, total.bindingNamed, total.other, total.otherNamed, total.unbuilt)
	_ = w.Flush()
	t.Logf("%d requirements; %d more of later parts, not built", len(first), laterUnbuilt)
	t.Logf("\n%sshould, may and information without a test: %s", b.String(), strings.Join(optional, ", "))
	for _, r := range list {
		if at := places[r.id]; len(at) > 0 {
			t.Logf("%s %s: %s", r.id, strings.Join(r.levels, "/"), strings.Join(at, " "))
		}
	}
}

// A part of the list that claims to be built is a directory.
func TestParts(t *testing.T) {
	for _, r := range requirementsOf(t) {
		if r.built() {
			info, err := os.Stat(filepath.Join(root, r.part))
			require.NoError(t, err, r.id)
			require.True(t, info.IsDir(), r.id)
		}
	}
}

func TestNamed(t *testing.T) {
	const mark = "// req: "
	for comment, want := range map[string][]string{
		"// nothing":                                                nil,
		mark + "R7662-02, R7662-03":                                 {"R7662-02", "R7662-03"},
		mark + "R7515-01..03":                                       {"R7515-01", "R7515-02", "R7515-03"},
		mark + "R7515-01..R7515-02, R7519-01":                       {"R7515-01", "R7515-02", "R7519-01"},
		mark + "BCL-01..02, FAPI2-01 SSF-03":                        {"BCL-01", "BCL-02", "FAPI2-01", "SSF-03"},
		mark + "R9728-01 R9728-03":                                  {"R9728-01", "R9728-03"},
		mark + "R8725-07, ISS-019: keys of R9999-01":                {"R8725-07"},
		mark + "ISS-019, R8725-07":                                  {"R8725-07"},
		mark + "W2-001, ISS-019b, S6b, R8725-07":                    {"R8725-07"},
		mark + "R7515-06, R7515-10 (see R7515-01)":                  {"R7515-06", "R7515-10"},
		mark + "R7515-06: not R7515-01":                             {"R7515-06"},
		"// Two issuers. req: R8725-07, ISS-019":                    {"R8725-07"},
		mark + "R7515-06,\n// R7515-07\n// R7515-08":                {"R7515-06", "R7515-07"},
		mark + "R7515-06\n// R7515-07":                              {"R7515-06"},
		mark + "R7515-06\n" + mark + "R7515-07":                     {"R7515-06", "R7515-07"},
		"/* req: R7515-06 */":                                       {"R7515-06"},
		"// It says so.\n//\n" + mark + "R7515-06; every bit of it": {"R7515-06"},
	} {
		got, err := named(comment)
		require.NoError(t, err, comment)
		require.Equal(t, want, got, comment)
	}
	for _, comment := range []string{mark, mark + "R7515", mark + "7515-01", mark + "R7515-1", mark + "R7515-03..01", mark + "R7515-03..R7519-04"} {
		_, err := named(comment)
		require.Error(t, err, comment)
	}
}

func TestReadList(t *testing.T) {
	const head = "# Requirements\n\nR7515-01 is an ID.\n\n| ID | Level | Part | What is asked |\n|---|---|---|---|\n"
	list, err := readList(head + "| R7515-13 | S/M | internal/jose | strict \\| JSON |\n| R9449-01 | M | not built: dpop | one |\n" +
		"# Later parts\n" + head + "| FAPI2-01 | M | not built: dpop | iat |\n| BCL-01 | info | jwtverify | typ |\n")
	require.NoError(t, err)
	require.Len(t, list, 4)
	require.True(t, list[0].binding() && list[0].built() && !list[0].later)
	require.True(t, list[1].binding() && !list[1].built() && !list[1].later)
	require.True(t, list[2].binding() && !list[2].built() && list[2].later)
	require.False(t, list[3].binding())
	require.True(t, list[3].built() && list[3].later)
	for _, bad := range []string{
		"| R7515-1 | M | jose | x |", "| R7515-01 | M | jose |", "| R7515-01 | M | jose | |", "| R7515-01 | X | jose | x |", "| R7515-01 | M | | x |",
		"| R7515-01 | M | jose | x", "| BCL-01 | M | jose | x", "| R7515-01 | M | jose | x | y |", "| | M | jose | x |", "| R7515-01 | M | jose | x |\n| R7515-01 | S | jose | x |",
	} {
		_, err := readList(bad)
		require.Error(t, err, bad)
	}
}
