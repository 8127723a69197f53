package kit

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/bearergate/bearergate"
	"github.com/stretchr/testify/require"
)

// longestSide is what Expected and Found of a step may hold: eight quoted values of 128
// bytes, each of which may be an escape of four characters or more.
const longestSide = 8 * (128*10 + 8)

// RequireExplained asserts that an explanation says what the verdict of the same
// decision does, that its steps are in order, one of them having failed if and only if
// there is an error, and that it holds nothing of the token but what may be told.
func RequireExplained(t testing.TB, e bearergate.Explanation, verdict error, token string) {
	t.Helper()
	unasked := func(s bearergate.Step) bool { return s.State == bearergate.StepNotReached }
	if e.Err != nil || !slices.ContainsFunc(e.Steps, unasked) { // else a Binding or a store may have refused
		require.Equal(t, bearergate.ReasonOf(verdict), bearergate.ReasonOf(e.Err), "%v\n%v", verdict, e)
	}
	failed, seen := 0, []string{}
	for _, s := range e.Steps {
		require.NotContains(t, seen, s.Name, "twice")
		seen = append(seen, s.Name)
		switch s.State {
		case bearergate.StepPassed:
			require.Zero(t, failed, "passed after a failure: %v", e)
		case bearergate.StepFailed:
			failed++
			if refusal := bearergate.AsError(e.Err); refusal.Detail != "" {
				require.Equal(t, refusal.Detail, s.Detail)
			}
		case bearergate.StepNotReached:
			require.True(t, failed > 0 || s.Detail != "", "not reached without a reason: %v", e)
		default:
			require.Fail(t, "no state", "%q", s.State)
		}
		require.Less(t, len(s.Expected), longestSide)
		require.Less(t, len(s.Found), longestSide)
	}
	if e.Err == nil {
		require.Zero(t, failed, "%v", e)
	} else {
		RequireError(t, e.Err, bearergate.AsError(e.Err).Kind, bearergate.ReasonOf(e.Err))
		require.Nil(t, e.Token)
		require.Equal(t, 1, failed, "%v", e)
	}
	text := e.String()
	require.True(t, utf8.ValidString(text))
	RequireNothingOf(t, text, token)
}

// RequireNothingOf asserts that a text holds no part of a token that is long enough to
// be one, nor a piece of its signature.
func RequireNothingOf(t testing.TB, text, token string) {
	t.Helper()
	parts := strings.Split(token, ".")
	for i, part := range parts {
		if len(part) > 16 {
			require.NotContains(t, text, part)
		}
		if i != len(parts)-1 || i == 0 {
			continue
		}
		for piece := range slices.Chunk([]byte(part), 16) {
			if len(piece) == 16 {
				require.NotContains(t, text, string(piece))
			}
		}
	}
}
