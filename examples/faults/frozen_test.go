//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A process that was stopped for longer than everything lasts has seen no outage, and answers
// the first request of each kind rightly.
func TestFrozen(t *testing.T) {
	for name, answered := range map[string]bool{"the server says nothing": silent, "the server answers meanwhile": answers} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // most of it is waiting
			s, err := freeze(answered)
			require.NoError(t, err)
			for token, verdict := range s.again.Verdicts {
				require.Empty(t, verdict, token)
			}
			for token, verdict := range s.slept.Verdicts {
				require.Empty(t, verdict, "slept through: %s", token)
			}
			require.Len(t, s.again.Verdicts, frozenCalls+1)
			require.Len(t, s.slept.Verdicts, frozenCalls)
			require.LessOrEqual(t, s.fetches, 1)
			require.LessOrEqual(t, s.most, 2, "calls about one token, with the one that was slept through")
			require.Zero(t, s.ours, "calls about tokens of its own")
			require.Zero(t, s.again.Failures)
			require.Zero(t, s.again.Stale)
			require.Empty(t, s.again.Breaker)
		})
	}
}
