package coverage_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	// attackForm is the ID of a row of attacks.md; S1 and its like are the fault suite.
	attackForm = regexp.MustCompile(`^(?:(?:[A-Z]{2,4}|W2)-[0-9]{3}[a-z]*[0-9]*(?:\.[a-z0-9_]+)?|S[0-9]+[a-z]?)$`)
	// rowRef is the ID of an attack in a test, faultRef that of a fault in the name
	// of a test, and parent what stands before the letter of an ID.
	rowRef   = regexp.MustCompile(`\b(?:(?:[A-Z]{2,4}|W2)-[0-9]{3}(?:[a-z]|\b)|S[0-9]{1,2}[a-z]?\b)`)
	faultRef = regexp.MustCompile(`\bTest(S[0-9]{1,2}[a-z]?)[A-Z]`)
	parent   = regexp.MustCompile(`^(?:[A-Z]{2,4}|W2)-[0-9]{3}`)
	// noRow is what looks like an ID and is none: hashes, and the IDs that the
	// tests of the search for IDs make up.
	noRow = []string{"SHA-", "ZZ-", "ZZZ-"}
)

// readAttacks reads the IDs of attacks.md.
func readAttacks(text string) (map[string]bool, error) {
	ids := map[string]bool{}
	for line := range strings.Lines(text) {
		row, err := cells(line)
		if err != nil {
			return nil, err
		}
		if row == nil {
			continue
		}
		if len(row) != 3 || !attackForm.MatchString(row[0]) || row[1] == "" || row[2] == "" {
			return nil, fmt.Errorf("not an ID, an attack and an answer: %q", line)
		}
		if ids[row[0]] {
			return nil, fmt.Errorf("%s is there twice", row[0])
		}
		ids[row[0]] = true
	}
	return ids, nil
}

// unnamed returns the rows about proofs, certificates and revocation that no test names,
// and the section of which does not say that they are not built. Tests make the IDs of
// other families out of pieces.
func unnamed(text string, found map[string]bool) (rows []string) {
	built := true
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") {
			built = !strings.Contains(line, "not built")
		}
		row, err := cells(line)
		if err != nil || row == nil || !built {
			continue
		}
		family, _, _ := strings.Cut(row[0], "-")
		if slices.Contains([]string{"DPO", "MTL", "W2"}, family) && !found[row[0]] {
			rows = append(rows, row[0])
		}
	}
	return rows
}

// rowsIn returns the IDs of attacks that stand in the text of a test.
func rowsIn(text string) []string {
	ids := rowRef.FindAllString(text, -1)
	for _, name := range faultRef.FindAllStringSubmatch(text, -1) {
		ids = append(ids, name[1])
	}
	return slices.DeleteFunc(ids, func(id string) bool {
		return slices.ContainsFunc(noRow, func(prefix string) bool { return strings.HasPrefix(id, prefix) })
	})
}

// missing returns the IDs that the catalogue does not have, and whose parent it
// does not have either.
func missing(ids []string, catalogue map[string]bool) (lost []string) {
	for _, id := range ids {
		if !catalogue[id] && !catalogue[parent.FindString(id)] {
			lost = append(lost, id)
		}
	}
	return lost
}

// Whoever meets an ID in a test can look up what it means.
func TestCatalogues(t *testing.T) {
	text, err := os.ReadFile(attacks)
	require.NoError(t, err)
	catalogue, err := readAttacks(string(text))
	require.NoError(t, err)
	require.Greater(t, len(catalogue), 1300, "attacks have been lost")
	for _, r := range requirementsOf(t) {
		require.False(t, catalogue[r.id], "%s is a requirement and an attack", r.id)
		catalogue[r.id] = true
	}

	found := map[string]bool{}
	eachTestFile(t, func(name string, text []byte) {
		ids := rowsIn(string(text))
		for _, id := range ids {
			found[id] = true
		}
		for _, id := range missing(ids, catalogue) {
			t.Errorf("%s names %s, which is in no catalogue", name, id)
		}
	})
	require.Greater(t, len(found), 900, "hardly any ID was found")
	require.Empty(t, unnamed(string(text), found), "attacks that no test names")

	places := tests(t)
	require.Greater(t, len(places), 100, "hardly any requirement was found")
	for id, at := range places {
		if len(missing([]string{id}, catalogue)) > 0 {
			t.Errorf("%s names %s, which is in no catalogue", strings.Join(at, " "), id)
		}
	}
}

// An ID that is in no catalogue is told, and a letter is forgiven only to the
// child of a row.
func TestMissing(t *testing.T) {
	const head = "| ID | Attack | What must come back |\n|---|---|---|\n"
	catalogue, err := readAttacks("# Attacks\n" + head + "| ZZZ-008 | a \\| b | 401 |\n| ZZZ-009b | c | 401 |\n| S1b | d | 503 |\n| ZZZ-010.iss | e | 200 |\n")
	require.NoError(t, err)
	require.Equal(t, map[string]bool{"ZZZ-008": true, "ZZZ-009b": true, "S1b": true, "ZZZ-010.iss": true}, catalogue)
	require.Empty(t, missing([]string{"ZZZ-008", "ZZZ-008c", "ZZZ-009b", "S1b"}, catalogue))
	lost := []string{"ZZZ-009", "ZZZ-009c", "ZZZ-011", "R9999-01", "S" + "1", "S" + "1c", "W2" + "-999"}
	require.Equal(t, lost, missing(lost, catalogue))
	w2 := "W2" + "-"
	require.Equal(t, []string{w2 + "001"}, unnamed("## a\n"+head+"| "+w2+"001 | a | 401 |\n| "+w2+"002 | a | 401 |\n| ZZZ-001 | a | 401 |\n## b (not built)\n| "+w2+"003 | a | 401 |\n", map[string]bool{w2 + "002": true}))
	for _, bad := range []string{"| ZZZ-08 | a | 401 |", "| ZZZ-008 | a |", "| ZZZ-008 | a | |", "| ZZZ-008 | a | b | c |", "| ZZZ-008 | a | 401", "| ZZZ-008 | a | 401 |\n| ZZZ-008 | b | 401 |"} {
		_, err := readAttacks(bad)
		require.Error(t, err, bad)
	}

	// Written in two pieces: the search reads this file too.
	alg, later, fault := "ALG"+"-0", "W2"+"-999", "S"+"99"
	require.Equal(t, []string{later, fault + "b", fault}, rowsIn("// "+later+", x5t#S256, "+fault+"b: RS256\nfunc Test"+fault+"Nonsense(t *testing.T) {}"))
	require.Equal(t, []string{alg + "08", alg + "08b"}, rowsIn("// "+alg+`08: SHA-256, ZZZ-008 and CVE-2017-15361; r("`+alg+`08b", "P-256")`))
}
