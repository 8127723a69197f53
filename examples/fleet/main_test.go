package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestMain is a process of the fleet where it is started as one.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "-serve" {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestDemonstration(t *testing.T) {
	if _, err := exec.LookPath("redis-server"); err != nil {
		if os.Getenv("BEARERGATE_REDIS") == "required" {
			t.Fatal(err)
		}
		t.Skip("the fleet was not started: there is no redis-server")
	}
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), nil, nil, &out), "%s", &out)
	require.Contains(t, out.String(), "Redis is back, and empty")
	require.Contains(t, out.String(), "all 27 as they should be")
	require.NotContains(t, out.String(), "eyJ", "a token")
}

func TestMistakes(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.Error(t, run(ctx, []string{"-no-such-flag"}, nil, new(bytes.Buffer)))
	require.Error(t, run(ctx, []string{"-serve", "https://as.example.com"}, strings.NewReader("short"), new(bytes.Buffer)))
	require.ErrorContains(t, run(ctx, []string{"-serve", "not a URL", "-redis", "127.0.0.1:1"}, strings.NewReader(strings.Repeat("x", 32)), new(bytes.Buffer)), "Issuer")
	t.Setenv("PATH", t.TempDir())
	require.ErrorContains(t, run(t.Context(), nil, nil, new(bytes.Buffer)), "redis-server")
}
