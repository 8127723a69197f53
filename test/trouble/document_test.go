package trouble_test

import (
	_ "embed"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write docs/troubleshooting.md anew")

const document = root + "/docs/troubleshooting.md"

// chapter is an area, and what its rows told.
type chapter struct {
	area

	told []told
}

// head is what stands before the entries.
//
//go:embed testdata/head.md
var head string

// apart says how to tell two rows of one event apart.
func (a told) apart(b told) string {
	switch {
	case a.advice == "": // a Binding refused
		return ""
	case a.advice != b.advice:
		return "; Explain tells them apart"
	case a.cause != b.cause:
		return "; the end of the error tells them apart"
	}
	return ", and so does Explain"
}

// anchor is the one that GitHub gives a heading.
func anchor(heading string) string {
	kept := regexp.MustCompile(`[^\p{L}\p{N}_ -]`).ReplaceAllString(strings.ToLower(heading), "")
	return "#" + strings.ReplaceAll(kept, " ", "-")
}

// requireDocument compares the document with what the tables gave, or writes it.
func requireDocument(t *testing.T, chapters []chapter) {
	t.Helper()
	var b strings.Builder
	b.WriteString(strings.ReplaceAll(head, "\r\n", "\n"))
	all := map[string]told{} // by the title of the row
	for _, c := range chapters {
		fmt.Fprintf(&b, "- [%s](%s) (%d)\n", c.title, anchor(c.title), len(c.rows))
	}
	fmt.Fprintf(&b, "- [At start](%s) (%d)\n", anchor("At start"), len(mistakes()))
	for _, c := range chapters {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", c.title, c.about)
		for i, r := range c.rows {
			fmt.Fprintf(&b, "\n### %s\n\n", r.title)
			of := c.told[i]
			all[r.title] = of
			who := "The verifier says"
			if r.status != 0 {
				who = fmt.Sprintf("%d", r.status)
			}
			fmt.Fprintf(&b, "**%s:** %s\n\n", who, code(of.event))
			if of.cause != "" {
				fmt.Fprintf(&b, "**Its error ends with:** %s\n\n", code(of.cause))
			}
			if r.twin != "" {
				apart := of.apart(all[r.twin])
				if r.byBinding { // Explain says nothing of either
					apart = ""
				}
				fmt.Fprintf(&b, "The event reads like that of [%s](%s)%s.\n\n", r.twin, anchor(r.twin), apart)
			}
			if of.advice != "" {
				fmt.Fprintf(&b, "**What to do:** %s\n\n", plainText(of.advice))
			}
			fmt.Fprintf(&b, "**Mended:** %s\n", r.mended)
		}
	}
	b.WriteString("\n## At start\n\nWhat constructors say of a wrong configuration. They name all mistakes at once; here each has one.\n")
	for _, m := range mistakes() {
		fmt.Fprintf(&b, "\n### %s\n\n%s\n\n**Mended:** %s\n", m.title, code(m.text(t)), m.mended)
	}
	got := b.String()
	requireAnchors(t, got)
	if *update {
		require.NoError(t, os.WriteFile(filepath.FromSlash(document), []byte(got), 0o644))
	}
	want, err := os.ReadFile(filepath.FromSlash(document))
	require.NoError(t, err)
	require.Equal(t, strings.ReplaceAll(string(want), "\r\n", "\n"), got, "run go test ./test/trouble -update, and look at what changed")
}

// code is text as it stands.
func code(text string) string {
	if strings.Contains(text, "`") {
		return "``" + text + "``"
	}
	return "`" + text + "`"
}

// plainText keeps Markdown from reading more into a text than there is.
func plainText(text string) string {
	return regexp.MustCompile(`[<>*\[\]]`).ReplaceAllString(text, `\$0`)
}

// requireAnchors asserts that the links within a text lead somewhere.
func requireAnchors(t *testing.T, text string) {
	t.Helper()
	headings := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^##+ (.*)$`).FindAllStringSubmatch(text, -1) {
		require.False(t, headings[anchor(m[1])], "two headings with the anchor of %q", m[1])
		headings[anchor(m[1])] = true
	}
	links := regexp.MustCompile(`\]\((#[^)]*)\)`).FindAllStringSubmatch(text, -1)
	require.NotEmpty(t, links)
	for _, m := range links {
		require.True(t, headings[m[1]], "%s leads nowhere", m[1])
	}
}
