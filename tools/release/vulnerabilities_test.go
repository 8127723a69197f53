package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// database is one of govulncheck, in which a function of the standard library is
// vulnerable.
func database(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	const modified = `"modified": "2026-01-31T00:00:00Z"`
	write(t, dir, "index/db.json", `{`+modified+`}`)
	write(t, dir, "index/modules.json", `[{"path": "stdlib", "vulns": [{"id": "GO-2026-0001", `+modified+`}]}]`)
	write(t, dir, "ID/GO-2026-0001.json", `{"schema_version": "1.3.1", "id": "GO-2026-0001", "published": "2026-01-31T00:00:00Z", `+modified+`,
		"summary": "A made-up flaw", "details": "It is made up.", "database_specific": {"url": "https://example.com/GO-2026-0001"},
		"affected": [{"package": {"name": "stdlib", "ecosystem": "Go"}, "ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}]}],
		"ecosystem_specific": {"imports": [{"path": "unicode/utf16", "symbols": ["IsSurrogate"]}]}}]}`)
	return dir
}

// Where the database can be reached, govulncheck runs and what it finds fails; so it
// does where it cannot be reached and has to be.
func TestVulnerabilities(t *testing.T) {
	dir := database(t)
	flawed, sound := t.TempDir(), t.TempDir()
	write(t, flawed, "go.mod", "module example.com/flawed\n\ngo 1.26\n")
	write(t, flawed, "main.go", "package main\n\nimport \"unicode/utf16\"\n\nfunc main() { println(utf16.IsSurrogate('a')) }\n")
	write(t, sound, "go.mod", "module example.com/sound\n\ngo 1.26\n")
	write(t, sound, "main.go", "package main\n\nfunc main() {}\n")
	files := "file://" + filepath.ToSlash(dir)
	server := httptest.NewServer(http.FileServer(http.Dir(dir)))
	t.Cleanup(server.Close)

	for _, at := range []string{files, server.URL} {
		require.NoError(t, reachable(t.Context(), at))
	}
	var said bytes.Buffer
	require.NoError(t, scan(t.Context(), files, []string{sound}, &said))
	require.Contains(t, said.String(), "No vulnerabilities found")
	err := scan(t.Context(), files, []string{sound, flawed}, &said)
	require.ErrorContains(t, err, "GO-2026-0001")
	require.ErrorContains(t, err, "utf16.IsSurrogate")

	server.Close()
	for _, gone := range []string{"file://" + filepath.ToSlash(t.TempDir()), server.URL} {
		t.Setenv("GOVULNDB", gone)
		t.Setenv("BEARERGATE_VULNDB", "")
		said.Reset()
		require.NoError(t, run(t.Context(), []string{"vulnerabilities", "-root", repositoryRoot}, &said))
		require.Regexp(t, `^govulncheck did not run, .* a release needs a run where it can be\.\n$`, said.String())
		t.Setenv("BEARERGATE_VULNDB", "required")
		require.ErrorContains(t, run(t.Context(), []string{"vulnerabilities", "-root", repositoryRoot}, &said), "govulncheck has no database")
	}
}
