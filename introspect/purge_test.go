package introspect_test

import (
	"testing"
	"time"

	"github.com/bearergate/bearergate/introspect"
	"github.com/stretchr/testify/require"
)

// What is remembered of purges is bounded, and what is lost of it is never a purge.
func TestPurgesAreBounded(t *testing.T) {
	now, life := time.Now(), time.Minute
	var p introspect.Purges
	require.True(t, p.Since(1).IsZero())
	p.Add(1, now, life)
	require.Equal(t, now, p.Since(1))
	require.True(t, p.Since(2).IsZero(), "another one")
	p.Add(1, now.Add(-time.Second), life)
	require.Equal(t, now, p.Since(1), "another process has purged it before, and tells it now")

	// Those that are over go, when their time has come.
	later := now.Add(life + time.Second)
	p.Add(2, later, life)
	require.Equal(t, 1, p.Len())
	require.Equal(t, later, p.Since(2))

	// Too many at a time are one of everything.
	for i := range introspect.MaxPurges + 10 {
		p.Add(i, later, life)
		require.LessOrEqual(t, p.Len(), introspect.MaxPurges)
	}
	require.Equal(t, later, p.Since(1<<30), "a token that nobody has purged")
	require.Less(t, p.Len(), 20)
	p.Add(7, later.Add(time.Second), life)
	require.Equal(t, later.Add(time.Second), p.Since(7), "the later one counts")
	p.Add(8, later.Add(-time.Second), life)
	require.Equal(t, later, p.Since(8), "a purge of one that came before one of everything")
}
