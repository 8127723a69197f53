package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMigration(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out), out.String())
	text := out.String()
	require.Equal(t, 26, strings.Count(text, "as it has to be"), text)
	require.Contains(t, text, "2027-07-01  slow, by its key                               GET   401  Sunset")
	require.NotRegexp(t, `orders_[a-z2-7]{16}`, text, "a key")
	require.NotContains(t, text, "eyJ", "a token")
}
