package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// vulnerabilities runs govulncheck, of the version in go.mod of this module, over
// what is released, where its database can be had: at GOVULNDB, or the public one.
// Where not, it says so, and fails only if BEARERGATE_VULNDB is "required".
func vulnerabilities(ctx context.Context, o options, w io.Writer) error {
	database := cmp.Or(os.Getenv("GOVULNDB"), "https://vuln.go.dev")
	if err := reachable(ctx, database); err != nil {
		if os.Getenv("BEARERGATE_VULNDB") == "required" {
			return fmt.Errorf("govulncheck has no database: %w", err)
		}
		fmt.Fprintf(w, "govulncheck did not run, for its database cannot be reached (%v): a release needs a run where it can be.\n", err)
		return nil
	}
	released, _, err := layout(ctx, o.root)
	if err != nil {
		return err
	}
	var dirs []string
	for _, m := range released {
		dirs = append(dirs, filepath.Join(o.root, filepath.FromSlash(m.dir)))
	}
	return scan(ctx, database, dirs, w)
}

// scan looks at the modules in dirs.
func scan(ctx context.Context, database string, dirs []string, w io.Writer) error {
	temp, err := os.MkdirTemp("", "govulncheck")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	program := filepath.Join(temp, "govulncheck.exe")
	// In the directory of this module: go run . and go test are there.
	if _, err := output(ctx, "", nil, "go", "build", "-o", program, "golang.org/x/vuln/cmd/govulncheck"); err != nil {
		return err
	}
	var found []error
	for _, dir := range dirs {
		said, err := output(ctx, dir, []string{"GOWORK=off"}, program, "-db", database, "./...")
		if err != nil {
			found = append(found, err)
			continue
		}
		fmt.Fprintf(w, "-- %s\n%s", dir, said)
	}
	return errors.Join(found...)
}

// reachable asks a database when it was changed last.
func reachable(ctx context.Context, database string) error {
	if dir, ok := strings.CutPrefix(database, "file://"); ok {
		_, err := os.Stat(filepath.Join(filepath.FromSlash(dir), "index", "db.json"))
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(database, "/")+"/index/db.json", http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	return nil
}
