package main

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// tree is a repository with one released module beside its root, which compiles
// everywhere.
func tree(t *testing.T, changed map[string]string) []string {
	t.Helper()
	root := t.TempDir()
	files := map[string]string{
		"go.mod":                 "module example.com/root\n\ngo 1.26\n",
		"root.go":                "package root\n\nimport \"strings\"\n\nfunc Loud(s string) string { return strings.ToUpper(s) }\n",
		"root_linux.go":          "package root\n\nimport \"syscall\"\n\nvar _ = syscall.Kill\n",
		"root_test.go":           "package root_test\n\nimport (\n\t\"testing\"\n\n\t\"example.com/root\"\n)\n\nfunc TestLoud(*testing.T) { _ = root.Loud(\"a\") }\n",
		"adapters/one/go.mod":    "module example.com/root/adapters/one\n\ngo 1.26\n\nrequire example.com/root v0.1.0\n\nreplace example.com/root => ../..\n",
		"adapters/one/one.go":    "package one\n\nimport \"example.com/root\"\n\nfunc One() string { return root.Loud(\"one\") }\n",
		"examples/not/go.mod":    "module example.com/root/examples/not\n\ngo 1.26\n",
		"examples/not/broken.go": "package not\n\nvar x int = \"\"\n",
	}
	maps.Copy(files, changed)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		file := filepath.Join(root, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o700))
		require.NoError(t, os.WriteFile(file, []byte(files[name]), 0o600))
	}
	dirs, err := released(root)
	require.NoError(t, err)
	return dirs
}

func TestPlatforms(t *testing.T) {
	if os.Getenv("BEARERGATE_PLATFORMS") != "required" {
		t.Skip("it checks the standard library for several systems, which takes most of a minute: BEARERGATE_PLATFORMS=required runs it")
	}
	for name, row := range map[string]struct {
		changed map[string]string
		wrong   map[string]string // platform: what it says
	}{
		"compiles everywhere": {},
		"a constant beyond 32 bits": {
			map[string]string{"root.go": "package root\n\nfunc Loud(s string) string { return s }\n\nvar _ int = 1 << 40\n"},
			map[string]string{"linux/386": "root.go:5:13: cannot use 1 << 40", "linux/arm": "overflows"},
		},
		"a constant beyond 32 bits, in a function of a test": {
			map[string]string{"root_test.go": "package root\n\nimport \"testing\"\n\nfunc TestLoud(*testing.T) { _ = int(1 << 40) }\n"},
			map[string]string{"linux/386": "root_test.go:5:37: constant 1099511627776 overflows int", "linux/arm": "overflows"},
		},
		"a function that Windows has not, in an adapter": {
			map[string]string{"adapters/one/one_test.go": "package one\n\nimport (\n\t\"syscall\"\n\t\"testing\"\n)\n\nfunc TestOne(*testing.T) { _ = syscall.Kill }\n"},
			map[string]string{"windows/amd64": "one_test.go:8:40: undefined: syscall.Kill"},
		},
		"a name that only one system has": {
			map[string]string{"root_linux.go": "package root\n\nconst onLinux = 1\n", "adapters.go": "package root\n\nvar _ = onLinux\n"},
			map[string]string{"windows/amd64": "adapters.go:3:9: undefined: onLinux", "darwin/arm64": "undefined: onLinux"},
		},
		"a file that is no Go": {
			map[string]string{"root_windows.go": "package root\n\nfunc {\n"},
			map[string]string{"windows/amd64": "root_windows.go:3:6: expected"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			dirs := tree(t, row.changed)
			for _, platform := range append(slices.Sorted(maps.Keys(row.wrong)), "linux/amd64") {
				var said strings.Builder
				err := checkAll(t.Context(), dirs, []string{platform}, &said)
				if text, wrong := row.wrong[platform]; wrong {
					require.ErrorContains(t, err, text, platform)
					require.NotContains(t, err.Error(), "examples", "is not released")
					continue
				}
				require.NoError(t, err, platform)
				require.Regexp(t, "^"+platform+": [34] packages", said.String())
			}
		})
	}
	require.ErrorContains(t, checkAll(t.Context(), tree(t, nil), []string{"linux/amd64", "linux/none"}, &strings.Builder{}), "linux/none: no such platform")
	require.ErrorContains(t, checkAll(t.Context(), tree(t, nil), []string{"none/amd64"}, &strings.Builder{}), "none/amd64: ")
	_, err := released(t.TempDir())
	require.ErrorContains(t, err, "no adapters")
}
