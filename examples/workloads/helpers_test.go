package workloads_test

import (
	"context"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/test/kit"
)

// decisions are what a gate has decided.
type decisions struct {
	mu  sync.Mutex // guards all
	all []middleware.DecisionEvent
}

func (d *decisions) config() middleware.Config {
	return middleware.Config{Hooks: middleware.Hooks{Decided: func(_ context.Context, e middleware.DecisionEvent) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.all = append(d.all, e)
	}}}
}

// require asserts what the last decision was, and that its error does not hold the token.
func (d *decisions) require(t testing.TB, want kit.Verdict, token string) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	require.NotEmpty(t, d.all)
	err := d.all[len(d.all)-1].Err
	if want.Kind == nil {
		require.NoError(t, err)
		return
	}
	kit.RequireError(t, err, want.Kind, want.Reason)
	kit.RequireNothingOf(t, err.Error(), token)
}

// startTLS serves a handler under a certificate of a CA that nobody else knows, and returns
// a file with that CA.
func startTLS(t testing.TB, h http.Handler) (server *httptest.Server, ca string) {
	server = httptest.NewTLSServer(h)
	t.Cleanup(server.Close)
	return server, write(t, filepath.Join(t.TempDir(), "ca.crt"),
		string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
}

// write replaces a file in one step, as the kubelet does.
func write(t testing.TB, path, content string) string {
	t.Helper()
	require.NoError(t, os.WriteFile(path+".new", []byte(content), 0o600))
	require.NoError(t, os.Rename(path+".new", path))
	return path
}

// serve sends a request to a handler.
func serve(h http.Handler, method, target, token string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}
