package bench

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const comparison = "../../docs/comparison.md"

// table is a table of Markdown: its first row is the head.
type table [][]string

// tables returns the tables of a text, in order.
func tables(text string) []table {
	var all []table
	inside := false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") {
			inside = false
			continue
		}
		if !inside {
			all, inside = append(all, nil), true
		}
		if strings.Trim(line, "|-: ") == "" {
			continue // the line under the head
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		all[len(all)-1] = append(all[len(all)-1], cells)
	}
	return all
}

// section returns what stands under the heading of a document.
func section(t *testing.T, heading string) string {
	t.Helper()
	text, err := os.ReadFile(comparison)
	require.NoError(t, err)
	_, after, found := strings.Cut(string(text), "\n## "+heading+"\n")
	require.True(t, found, "%s has no section %q", comparison, heading)
	under, _, _ := strings.Cut(after, "\n## ")
	return under
}

// required returns the versions of go.mod, by the end of the module's path.
func required(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("go.mod")
	require.NoError(t, err)
	versions := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^\tgithub\.com/(\S+) v(\S+)$`).FindAllStringSubmatch(string(text), -1) {
		versions[m[1]] = m[2]
	}
	return versions
}

// versioned is the head of a table as it is printed, each library with the version
// that go.mod has. modules names the module of a printed name.
func versioned(t *testing.T, head []string, modules map[string]string) []string {
	t.Helper()
	versions, head := required(t), slices.Clone(head)
	for i, name := range head[1:] {
		if name == "bearergate" {
			continue
		}
		require.Contains(t, modules, name)
		require.Contains(t, versions, modules[name], "go.mod")
		head[i+1] = name + " " + versions[modules[name]]
	}
	return head
}

// The table of what each library accepts is the one that the run prints: the same
// tokens, the same libraries at the versions of go.mod, the same verdicts.
func TestBeyondIsInTheComparison(t *testing.T) {
	printed := tables(beyond(t))
	require.Len(t, printed, 1)
	printed[0][0] = versioned(t, printed[0][0], map[string]string{
		"golang-jwt/v5": "golang-jwt/jwt/v5", "coreos/go-oidc/v3": "coreos/go-oidc/v3", "lestrrat-go/jwx/v2": "lestrrat-go/jwx/v2",
		"lestrrat-go/jwx/v3": "lestrrat-go/jwx/v3", "auth0/go-jwt-middleware/v2": "auth0/go-jwt-middleware/v2",
		"auth0/go-jwt-middleware/v3": "auth0/go-jwt-middleware/v3", "hashicorp/cap": "hashicorp/cap",
	})
	require.Equal(t, printed, tables(section(t, "What each accepts")))
}

var (
	// answer is a cell of a table of what was read: an answer that is a link, and what
	// there is to say about it; or none.
	answer = regexp.MustCompile(`^(?:not checked|n/a(?:: .+)?|\[(?:yes|no|partly)\](?:\([^)]+\)|\[[a-z0-9-]+\])(?:: .+)?)$`)
	// label is the use of a link that is defined at the end of the page, and defined
	// is its definition.
	label   = regexp.MustCompile(`\]\[([a-z0-9-]+)\]`)
	defined = regexp.MustCompile(`(?m)^\[([a-z0-9-]+)\]: https://\S+$`)
)

// Every answer that was read has a source, for a system whose version is said.
func TestAnswersInTheComparisonHaveSources(t *testing.T) {
	found := tables(section(t, "What each can do"))
	require.Greater(t, len(found), 6, "tables have been lost")
	versions := map[string]bool{}
	for _, row := range found[0][1:] {
		require.Len(t, row, 3)
		versions[row[0]] = true
	}
	for _, table := range found[1:] {
		for _, row := range table[1:] {
			require.True(t, versions[row[0]], "%s: no version", row[0])
			require.Len(t, row, len(table[0]), row[0])
			for i, cell := range row[1:] {
				require.Regexp(t, answer, cell, "%s, %s", row[0], table[0][i+1])
			}
		}
	}
}

// Each link that is used by its label is defined, and the other way round.
func TestSourcesInTheComparisonAreUsed(t *testing.T) {
	text, err := os.ReadFile(comparison)
	require.NoError(t, err)
	names := func(matches [][]string) (all []string) {
		for _, m := range matches {
			all = append(all, m[1])
		}
		slices.Sort(all)
		return slices.Compact(all)
	}
	sources := defined.FindAllStringSubmatch(string(text), -1)
	require.Len(t, names(sources), len(sources), "a label is defined twice")
	require.NotEmpty(t, sources)
	require.Equal(t, names(sources), names(label.FindAllStringSubmatch(string(text), -1)))
}

// The table of faults has the faults and the key caches that are played, at the
// versions of go.mod. What its cells say depends on the clock and is not held.
func TestFaultsAreInTheComparison(t *testing.T) {
	found := tables(section(t, "What each key cache does in an outage"))
	require.Len(t, found, 1)
	head := []string{"fault"}
	for _, c := range caches {
		head = append(head, c.name)
	}
	require.Equal(t, versioned(t, head, map[string]string{
		"go-oidc RemoteKeySet": "coreos/go-oidc/v3", "jwx/v2 jwk.Cache": "lestrrat-go/jwx/v2",
	}), found[0][0])
	require.Len(t, found[0], 1+len(faults))
	for i, f := range faults {
		require.Equal(t, f.name, found[0][i+1][0])
		require.Len(t, found[0][i+1], len(head))
	}
}
