package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestMain is also the process that TestFrozen stops.
func TestMain(m *testing.M) {
	if text, ok := os.LookupEnv(frozenEnv); ok {
		if err := frozenChild(text, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// Every fault is played.
func TestRows(t *testing.T) {
	ids := map[string]bool{}
	for _, r := range slices.Concat(keyFaults(), introspectionFaults(), frozenFaults()) {
		require.NotEmpty(t, r.must, r.id)
		ids[strings.TrimRight(r.id, "b")] = true
	}
	for i := 1; i <= 8; i++ {
		require.Contains(t, ids, fmt.Sprint("S", i))
	}
	for i := 1; i <= 11; i++ {
		require.Contains(t, ids, fmt.Sprint("F", i))
	}
	require.Equal(t, frozenFaults() != nil, ids["F12"])
}

// Whatever is not met, and whatever cannot be played, ends the program with an error.
func TestRun(t *testing.T) {
	said := func(ok bool, err error) func() (string, bool, error) {
		return func() (string, bool, error) { return "seen", ok, err }
	}
	var out bytes.Buffer
	require.NoError(t, run(&out, []row{{id: "A1", try: said(true, nil)}}, []row{{id: "A2", alone: true, try: said(true, nil)}}))
	require.Contains(t, out.String(), "all 2 met")
	out.Reset()
	require.EqualError(t, run(&out, []row{{id: "A1", try: said(true, nil)}, {id: "A2", alone: true, try: said(false, nil)},
		{id: "A3", try: said(true, errors.New("boom"))}}), "2 of 3 not met")
	require.NotContains(t, out.String(), "all")
	require.Contains(t, out.String(), "NOT MET")
	require.Contains(t, out.String(), "boom")
}
