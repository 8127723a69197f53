package bench

import (
	"fmt"
	"testing"
)

// rounds is how often every subject has its turn; the tables give medians.
const rounds = 5

// BenchmarkVerify takes all subjects in turn, round by round: a library is
// compared with what was measured beside it.
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
					verify.add(c.alg, s.name, b)
					if round == 0 {
						verify.allocs[key{c.alg, s.name}] = testing.AllocsPerRun(20, func() { _ = s.verify(ctx, c.token) })
					}
				})
			}
		}
	}
}
