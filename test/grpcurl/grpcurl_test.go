package grpcurl_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// build builds a command and returns where it is.
func build(t *testing.T, dir, pkg string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), filepath.Base(pkg)+".exe")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", program, pkg)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return program
}

// start runs the server of examples/grpc on a free port until the test ends, and returns its
// address and the token that it prints.
func start(t *testing.T, program, reflection string) (address, token string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, program, "-listen", "127.0.0.1:0", "-reflection", reflection)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		cancel()
		var ended *exec.ExitError
		if err := cmd.Wait(); err != nil {
			require.True(t, errors.As(err, &ended) || errors.Is(err, context.Canceled), "%v", err)
		}
	})
	lines := bufio.NewScanner(out)
	for (address == "" || token == "") && lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), "API="); ok {
			address = value
		}
		if value, ok := strings.CutPrefix(lines.Text(), "TOKEN="); ok {
			token = value
		}
	}
	require.NotEmpty(t, address)
	require.NotEmpty(t, token)
	return address, token
}

// The commands that examples/grpc prints, and what comes of them.
func TestReflectionIsOpenedByItsName(t *testing.T) {
	grpcurl := build(t, ".", "github.com/fullstorydev/grpcurl/cmd/grpcurl")
	server := build(t, filepath.Join("..", "..", "examples", "grpc"), ".")
	const list = "orders.v1.Orders/List"
	const challenge = `www-authenticate: Bearer realm="api"`

	for _, mode := range []string{"closed", "token", "public"} {
		t.Run(mode, func(t *testing.T) {
			address, token := start(t, server, mode)
			bearer := "authorization: Bearer " + token
			for _, row := range []struct {
				name   string
				args   []string // before the address
				verb   []string // behind it
				modes  string   // in which it succeeds
				shows  []string
				closed []string // what it shows otherwise, with reflection closed to everybody
				token  []string // and where it needs a token
			}{
				{name: "list, no token", verb: []string{"list"}, modes: "public", shows: []string{"orders.v1.Orders", "grpc.reflection.v1.ServerReflection"},
					closed: []string{"does not support the reflection API"}, token: []string{"Unauthenticated", "A bearer token is required."}},
				{name: "list with a token", args: []string{"-reflect-header", bearer}, verb: []string{"list"}, modes: "public token", shows: []string{"orders.v1.Orders"},
					closed: []string{"does not support the reflection API"}},
				{name: "list with a forged token", args: []string{"-reflect-header", bearer[:len(bearer)-8] + "AAAAAAAA"}, verb: []string{"list"}, modes: "public",
					shows: []string{"orders.v1.Orders"}, closed: []string{"does not support the reflection API"}, token: []string{"Unauthenticated", "The access token is not valid here."}},
				{name: "describe", args: []string{"-reflect-header", bearer}, verb: []string{"describe", "orders.v1.Orders"}, modes: "public token",
					shows: []string{"rpc List", "rpc Watch"}, closed: []string{"does not support the reflection API"}},
				{name: "call with a token", args: []string{"-H", bearer}, verb: []string{list}, modes: "public token", shows: []string{"orders of alice"},
					closed: []string{"does not support the reflection API"}},
			} {
				out, err := run(t, grpcurl, append(append(append([]string{"-plaintext"}, row.args...), address), row.verb...)...)
				shows := row.closed
				switch {
				case strings.Contains(row.modes, mode):
					require.NoError(t, err, "%s: %s", row.name, out)
					shows = row.shows
				case mode == "token" && row.token != nil:
					shows = row.token
					fallthrough
				default:
					require.Error(t, err, "%s: %s", row.name, out)
					require.NotContains(t, out, "orders of")
				}
				for _, text := range shows {
					require.Contains(t, out, text, row.name)
				}
			}
			if mode == "closed" {
				return
			}
			// Calls: grpcurl knows the messages by reflection, and the gate judges the call.
			for _, row := range []struct {
				name  string
				args  []string
				verb  string
				shows []string
			}{
				{name: "no token", verb: list, shows: []string{"Code: Unauthenticated", "A bearer token is required.", challenge, "MISSING_TOKEN"}},
				{name: "two tokens", args: []string{"-rpc-header", bearer, "-rpc-header", bearer}, verb: list,
					shows: []string{"Code: InvalidArgument", challenge + `, error="invalid_request"`}},
				{name: "a forged token", args: []string{"-rpc-header", bearer[:len(bearer)-8] + "AAAAAAAA"}, verb: list,
					shows: []string{"Code: Unauthenticated", challenge + `, error="invalid_token"`}},
				{name: "a scope is missing, for a stream", args: []string{"-rpc-header", bearer}, verb: "orders.v1.Orders/Watch",
					shows: []string{"Code: PermissionDenied", `error="insufficient_scope"`, `scope="orders:read orders:watch"`}},
				{name: "not listed", args: []string{"-rpc-header", bearer}, verb: "orders.v1.Orders/Delete", shows: []string{"Code: Unimplemented", "METHOD_NOT_LISTED"}},
			} {
				out, err := run(t, grpcurl, append(append([]string{"-plaintext", "-v", "-reflect-header", bearer}, row.args...), address, row.verb)...)
				require.Error(t, err, "%s: %s", row.name, out)
				for _, text := range row.shows {
					require.Contains(t, out, text, row.name)
				}
				require.NotContains(t, out, "orders of", row.name)
			}
		})
	}
}

// run runs grpcurl, which must not wait for ever.
func run(t *testing.T, grpcurl string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, grpcurl, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}
