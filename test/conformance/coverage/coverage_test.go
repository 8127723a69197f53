// Package coverage_test compares the list of requirements with the comments of
// the repository's tests that name them.
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

const root = "../../.." // of the repository

type requirement struct {
	id     string
	levels []string // one row may hold a must and a should
	part   string
}

// built: the part exists.
func (r requirement) built() bool { return !strings.HasPrefix(r.part, "-") }

// binding: a must, a must not or a policy.
func (r requirement) binding() bool {
	return slices.ContainsFunc(r.levels, func(l string) bool { return l == "M" || l == "MN" || l == "P" })
}

var (
	idForm   = regexp.MustCompile(`^R[0-9]{4}-[0-9]{2}$`)
	levels   = []string{"M", "MN", "P", "S", "SN", "m", "info"}
	wordForm = regexp.MustCompile(`^\(?(R[0-9]{4})-([0-9]{2})(?:(?:\.\.|–|…)(?:(R[0-9]{4})-)?([0-9]{2}))?[,;:.)]*$`)
	// otherID is the ID of an attack: it may stand in the same list.
	otherID = regexp.MustCompile(`^[A-Z]{2,3}-[0-9]{3}[,;:.)]*$`)
)

func readList(text string) ([]requirement, error) {
	var list []requirement
	seen := map[string]bool{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Fields(line)
		if len(fields) != 3 || !idForm.MatchString(fields[0]) {
			return nil, fmt.Errorf("not an ID, a level and a part: %q", line)
		}
		r := requirement{id: fields[0], levels: strings.Split(fields[1], "/"), part: fields[2]}
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

// tests returns, by requirement, where the tests of the repository name it.
func tests(t *testing.T) map[string][]string {
	t.Helper()
	places := map[string][]string{}
	files := 0
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
		if !strings.HasSuffix(name, "_test.go") {
			return nil
		}
		set := token.NewFileSet()
		parsed, err := parser.ParseFile(set, name, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		files++
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
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
		return nil
	})
	require.NoError(t, err)
	require.Greater(t, files, 20, "hardly any test was read: is this module inside its repository?")
	return places
}

// Every must, must not and policy of a part that is built is named by a test.
func TestCoverage(t *testing.T) {
	text, err := os.ReadFile("requirements.txt")
	require.NoError(t, err)
	list, err := readList(string(text))
	require.NoError(t, err)
	require.Greater(t, len(list), 140, "requirements have been lost")
	places := tests(t)

	type count struct{ binding, bindingNamed, other, otherNamed, unbuilt int }
	byRFC := map[string]*count{}
	var optional []string
	known := map[string]bool{}
	for _, r := range list {
		known[r.id] = true
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
		_, _ = fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t\n", rfc[1:], c.binding, c.bindingNamed, c.other, c.otherNamed, c.unbuilt)
	}
	_ = w.Flush()
	t.Logf("\n%sshould, may and information without a test: %s", b.String(), strings.Join(optional, ", "))
	for _, r := range list {
		if at := places[r.id]; len(at) > 0 {
			t.Logf("%s %s: %s", r.id, strings.Join(r.levels, "/"), strings.Join(at, " "))
		}
	}
}

// A part of the list that claims to be built is a directory.
func TestParts(t *testing.T) {
	text, err := os.ReadFile("requirements.txt")
	require.NoError(t, err)
	list, err := readList(string(text))
	require.NoError(t, err)
	for _, r := range list {
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
		mark + "R9728-01 R9728-03":                                  {"R9728-01", "R9728-03"},
		mark + "R8725-07, ISS-019: keys of R9999-01":                {"R8725-07"},
		mark + "ISS-019, R8725-07":                                  {"R8725-07"},
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
	list, err := readList("# x\n\nR7515-13 S/M internal/jose\nR9449-01 M -dpop\nR7519-09 info jwtverify\n")
	require.NoError(t, err)
	require.Len(t, list, 3)
	require.True(t, list[0].binding() && list[0].built())
	require.True(t, list[1].binding() && !list[1].built())
	require.False(t, list[2].binding())
	for _, bad := range []string{"R7515-1 M jose", "R7515-01 M", "R7515-01 X jose", "R7515-01 M jose\nR7515-01 S jose"} {
		_, err := readList(bad)
		require.Error(t, err, bad)
	}
}
