package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The example prints a command line: it finds nothing wrong with the example, and what is
// changed in it is found.
func TestProbeOfTheQuickstart(t *testing.T) {
	for _, name := range []string{"main.go", "serve.go"} { // what the test cache has to notice is what is opened here
		_, err := os.ReadFile("../../examples/quickstart/" + name)
		require.NoError(t, err)
	}
	bin := filepath.Join(t.TempDir(), "quickstart")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "../../examples/quickstart").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	serve := exec.CommandContext(t.Context(), bin, "-serve")
	out, err := serve.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, serve.Start())
	defer func() {
		_ = serve.Process.Signal(os.Interrupt)
		_ = serve.Wait()
	}()
	defer time.AfterFunc(time.Minute, func() { _ = serve.Process.Kill() }).Stop()
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	var args []string
	for args == nil && lines.Scan() {
		if secret, rest, ok := strings.Cut(lines.Text(), " | go run ./cmd/bearergate "); ok {
			require.Equal(t, "echo my-secret", secret)
			args = strings.Fields(rest)
		}
	}
	require.NotNil(t, args, "the example prints no command line for probe")
	go func() { // its log
		for lines.Scan() {
		}
	}()

	got := inProcess(t, "my-secret\n", args...)
	require.Equal(t, exitOK, got.code, got.stdout+got.stderr)
	require.Contains(t, got.stdout, "\n9 ok, 0 warning, 0 failed, 0 unknown, 2 skipped\n")

	for _, tt := range []struct {
		name string
		more []string
		want string
	}{
		{"a token for another API", []string{"-ask-audience", "https://other.example"}, "\nverify       failed   "},
		{"a scope that the route does not demand", []string{"-scope", "orders:write"}, "lacks_scope"},
		{"a route that is open", []string{"-url", strings.Replace(args[len(args)-1], "/admin", "/health", 1)}, "open: status 200"},
		{"a JWT that nobody can revoke", []string{"-revoke", "-revocation-endpoint", strings.Replace(args[len(args)-1], "/admin", "/health", 1)}, "revocation"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := inProcess(t, "my-secret\n", append(slices.Clip(args), tt.more...)...)
			require.Equal(t, exitFound, got.code, got.stdout)
			require.Contains(t, got.stdout, tt.want)
		})
	}
}
