package interop_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"testing"
)

// shared is the authorization server of all tests that do not disturb it. Those
// that rotate its keys or make it fail start their own.
var shared *server

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if err := missing(); err != nil {
		fmt.Fprintln(os.Stderr, "interop: NOT RUN, nothing was tested against a real server:", err)
		if os.Getenv("BEARERGATE_INTEROP") == "required" {
			return 1
		}
		// So that "go test ./..." says "[no tests to run]", and not only "ok".
		_ = flag.Set("test.run", "^$")
		_ = flag.Set("test.fuzz", "")
		_ = flag.Set("test.bench", "")
		return m.Run()
	}
	// The tests mostly wait: for timeouts, backoffs, expiries.
	if parallel := flag.Lookup("test.parallel"); parallel.Value.String() == parallel.DefValue && runtime.GOMAXPROCS(0) < 4 {
		_ = parallel.Value.Set("4")
	}
	var err error
	if shared, err = start(); err != nil {
		fmt.Fprintln(os.Stderr, "interop:", err)
		return 1
	}
	code := m.Run()
	if built != "" {
		_ = os.RemoveAll(built)
	}
	if stderr := shared.stop(); code != 0 {
		fmt.Fprintf(os.Stderr, "the shared authorization server said:\n%s\n", stderr)
	}
	return code
}

// missing says what the tests need and this machine lacks.
func missing() error {
	if _, err := exec.LookPath("node"); err != nil {
		return fmt.Errorf("there is no Node: %w", err)
	}
	suits := exec.Command("node", "-e", `process.exit(URL.parse && require("crypto").hash ? 0 : 1)`)
	if err := suits.Run(); err != nil {
		return fmt.Errorf("this Node is older than what the server needs, 20.19: %w", err)
	}
	for _, name := range []string{"oidc-provider", "oauth4webapi", "dpop"} {
		if _, err := os.Stat("as/node_modules/" + name); err != nil {
			return fmt.Errorf("%s is not installed: npm ci --prefix test/interop/as --ignore-scripts", name)
		}
	}
	return nil
}
