package bench

import (
	"fmt"
	"testing"
	"time"
)

const (
	rounds = 5   // of each benchmark
	turns  = 100 // of each subject of the table, which gives medians
)

// BenchmarkVerify takes all subjects in turn, round by round, for benchstat;
// and, for the table, in turns of two milliseconds or more: a library is compared with
// what was measured beside it, whatever else the machine was doing.
func BenchmarkVerify(b *testing.B) {
	type contest struct {
		*world
		subjects []subject
	}
	var contests []contest
	for _, alg := range algorithms {
		w := newWorld(b, alg)
		contests = append(contests, contest{w, append(w.ours(b), w.peers(b)...)})
	}
	for round := range rounds {
		for _, c := range contests {
			for _, s := range c.subjects {
				b.Run(fmt.Sprintf("round=%d/alg=%s/by=%s", round+1, c.alg, s.name), func(b *testing.B) {
					ctx := b.Context()
					b.ReportAllocs()
					for b.Loop() {
						if err := s.verify(ctx, c.token); err != nil {
							b.Fatal(err)
						}
					}
					if round == 0 {
						verify.allocs[key{c.alg, s.name}] = testing.AllocsPerRun(20, func() { _ = s.verify(ctx, c.token) })
					}
				})
			}
		}
	}
	for _, c := range contests {
		b.Run("table/alg="+c.alg, func(b *testing.B) {
			for range turns {
				for _, s := range c.subjects {
					verify.put(c.alg, s.name, c.turn(b, s))
				}
			}
			b.ReportMetric(0, "ns/op") // of all together: it says nothing
		})
	}
}

// turn returns the nanoseconds that s takes once.
func (w *world) turn(b *testing.B, s subject) float64 {
	ctx, n := b.Context(), 0
	start := time.Now()
	for batch := 1; ; batch *= 2 {
		for range batch {
			if err := s.verify(ctx, w.token); err != nil {
				b.Fatal(err)
			}
		}
		n += batch
		if took := time.Since(start); took > 2*time.Millisecond {
			return float64(took) / float64(n)
		}
	}
}
