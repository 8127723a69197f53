package clock_test

import (
	"testing"
	"time"

	"github.com/bearergate/bearergate/internal/clock"
	"github.com/stretchr/testify/require"
)

func TestSinceIsTheLargerDifference(t *testing.T) {
	start := clock.At(time.Now())
	for _, tc := range []struct {
		name       string
		mono, wall time.Duration // how far each clock has come
		want       time.Duration
	}{
		{name: "both clocks agree", mono: time.Minute, wall: time.Minute, want: time.Minute},
		{name: "the machine was suspended", mono: time.Second, wall: time.Hour, want: time.Hour},
		{name: "the wall clock was set back", mono: time.Minute, wall: -time.Hour, want: time.Minute},
		{name: "the wall clock was set forward", mono: time.Minute, wall: 25 * time.Hour, want: 25 * time.Hour},
	} {
		now := clock.Instant{Mono: start.Mono.Add(tc.mono), Wall: start.Wall.Add(tc.wall)}
		require.Equal(t, tc.want, now.Since(start), tc.name)
	}
	require.Equal(t, time.Minute, start.Add(time.Minute).Since(start))
	require.Greater(t, start.Since(clock.Instant{}), 1000*time.Hour, "the zero Instant is long ago")
}

func TestElapsed(t *testing.T) {
	now := time.Now()
	require.Equal(t, time.Minute, clock.Elapsed(now, now.Add(time.Minute)))
	require.Equal(t, time.Minute, clock.Elapsed(now.Round(0), now.Add(time.Minute)), "one reading without the monotonic clock")
}
