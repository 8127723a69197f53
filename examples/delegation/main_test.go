package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDemonstration(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out), "%s", &out)
	table, rest, _ := strings.Cut(out.String(), "\n\n")
	rows := strings.Count(table, "\n")
	require.GreaterOrEqual(t, rows, 23)
	require.Contains(t, rest, fmt.Sprintf("all %d as they should be", rows))
	require.NotContains(t, out.String(), "eyJ", "a token is printed")
	require.Contains(t, rest, `{"outcome":"accepted","route":"GET /invoices","subject":"alice","actors":[{"subject":"orders"}]}`)
	require.Contains(t, rest, `{"outcome":"accepted","route":"GET /statements","subject":"alice","actors":[{"subject":"orders"},{"subject":"gateway"}]}`)
	require.Contains(t, rest, `{"outcome":"refused","reason":"actor","route":"GET /invoices","subject":"alice","actors":[{"subject":"reports"}]}`)
}
