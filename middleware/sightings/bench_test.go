package sightings_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware/sightings"
	"github.com/stretchr/testify/require"
)

// What a sighting costs.
func BenchmarkSaw(b *testing.B) {
	w, _ := newWatch(b, sightings.Config{})
	tokens := make([]*bearergate.Token, sightings.DefaultMaxTokens)
	for i := range tokens {
		tokens[i] = token(fmt.Sprintf("3f2b8c1e-9d1a-4c57-8b1e-%012d", i))
		w.Saw(b.Context(), tokens[i], address("192.0.2.1"))
	}
	from := []netip.Addr{address("192.0.2.1"), address("2001:db8::1")}
	b.Run("known", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			w.Saw(b.Context(), tokens[i%len(tokens)], from[i%2])
		}
	})
	b.Run("known, by all processors", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for i := 0; pb.Next(); i++ {
				w.Saw(b.Context(), tokens[i%len(tokens)], from[i%2])
			}
		})
	})
	many := make([]*bearergate.Token, 2*len(tokens)) // so that the oldest are forgotten
	for i := range many {
		many[i] = token(fmt.Sprintf("9d1a8c1e-3f2b-4c57-8b1e-%012d", i))
	}
	b.Run("new, memory full", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			w.Saw(b.Context(), many[i%len(many)], from[0])
		}
	})
}

func TestNothingIsAllocatedForAKnownToken(t *testing.T) {
	w, _ := newWatch(t, sightings.Config{})
	known, from := token("a"), []netip.Addr{address("192.0.2.1"), address("198.51.100.1"), address("2001:db8::1")}
	i := 0
	saw := func() { i++; w.Saw(t.Context(), known, from[i%len(from)]) }
	saw()
	saw()
	saw()
	require.Zero(t, testing.AllocsPerRun(100, saw))
}
