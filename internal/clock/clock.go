// Package clock measures how much time has passed where neither of a machine's
// two clocks can be trusted alone.
package clock

import "time"

// Instant is one moment on both clocks. The zero Instant is in the distant past.
type Instant struct {
	Mono time.Time // with Go's monotonic reading, which decides in Sub
	Wall time.Time // without
}

// At is the moment of a reading of [time.Now].
func At(t time.Time) Instant { return Instant{Mono: t, Wall: t.Round(0)} }

// Since returns the larger of the two differences. A wall clock that is set back
// never makes anything younger, and time that a suspended machine slept counts,
// although its monotonic clock stood still.
func (i Instant) Since(earlier Instant) time.Duration {
	return max(i.Mono.Sub(earlier.Mono), i.Wall.Sub(earlier.Wall))
}

// Add returns the moment that is d later on both clocks.
func (i Instant) Add(d time.Duration) Instant {
	return Instant{Mono: i.Mono.Add(d), Wall: i.Wall.Add(d)}
}

// Elapsed is [Instant.Since] between two readings of [time.Now].
func Elapsed(from, to time.Time) time.Duration { return At(to).Since(At(from)) }
