package main

import (
	"bufio"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var tokenEndpoint = regexp.MustCompile(`(http://127\.0\.0\.1:\d+)/token`)

// The curl lines that the first program of the README prints are pasted as they are.
func TestQuickstart(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a program")
	}
	program := filepath.Join(t.TempDir(), "quickstart")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../../examples/quickstart").CombinedOutput()
	require.NoError(t, err, "%s", out)
	cmd := exec.CommandContext(t.Context(), program, "-serve")
	shown, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	defer func() { _ = cmd.Wait() }()
	defer func() { _ = cmd.Process.Kill() }()

	var curls []string
	issuer := ""
	for lines := bufio.NewScanner(shown); issuer == "" && lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "curl -i -H 'Authorization: ") {
			curls = append(curls, lines.Text())
		}
		if m := tokenEndpoint.FindStringSubmatch(lines.Text()); m != nil {
			issuer = m[1]
		}
	}
	require.Len(t, curls, 3)
	for i, want := range []struct{ scope, verdict string }{
		{"orders:read", "accepted\n"},
		{"orders:read", "refused: invalid token: expired\n"},
		{"orders:admin", "refused: insufficient scope: scope\n"},
	} {
		r := invoke(t, curls[i]+"\n", "explain", "-issuer", issuer, "-audience", audience, "-scope", want.scope)
		require.True(t, strings.HasPrefix(r.out, want.verdict), r.out+r.err)
	}
	require.Len(t, keysOf(t, exitOK, "-issuer", issuer).Keys, 1)
}
