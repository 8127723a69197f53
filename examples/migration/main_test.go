package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The whole course: keys alone, keys and tokens, the trial, the date.
func TestMigration(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out), out.String())
	text := out.String()
	require.Equal(t, 41, strings.Count(text, "as it has to be"), text)
	at := 0
	for _, line := range []string{
		"Keys alone",
		"2026-07-01  slow, by its key                               GET   200  Sunset",
		"Keys and tokens",
		"2027-01-01  acme, by its token                             POST  200",
		"2027-01-01  a key and a token                              GET   400  Sunset",
		"The trial",
		"2027-06-01  slow, by its key                               GET   200  Sunset",
		"2027-06-01  early, whose key has an end of its own         GET   401  Sunset",
		"requests of acme that the trial would have refused                     0",
		"requests of slow that the trial would have refused                     1",
		"The last second",
		"2027-06-30  slow, by its key                               GET   200  Sunset",
		"The date has come",
		"2027-07-01  acme, which has changed over                   GET   200",
		"2027-07-01  slow, by its key                               GET   401  Sunset",
		"so far, the key of slow was refused for its end                        1",
	} {
		i := strings.Index(text[at:], line)
		require.GreaterOrEqual(t, i, 0, "%q in order in\n%s", line, text)
		at += i
	}
	require.NotRegexp(t, `orders_[a-z2-7]{16}`, text, "a key")
	require.NotContains(t, text, "eyJ", "a token")
}
