package redisgate_test

import (
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate/binding/dpop"
	"github.com/bearergate/bearergate/revocation"
)

// What a use costs in memory and in Redis. That a benchmark with a real server stands beside
// one without says what this package itself costs.
func BenchmarkUse(b *testing.B) {
	use := func(b *testing.B, store dpop.ReplayStore) {
		b.Helper()
		var n atomic.Int64
		end := soon()
		b.ResetTimer()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				fresh, err := store.Use(b.Context(), "proof "+strconv.FormatInt(n.Add(1), 10), end)
				if err != nil || !fresh {
					b.Fatal(fresh, err)
				}
			}
		})
	}
	b.Run("memory", func(b *testing.B) {
		store, err := dpop.NewMemory(1 << 24)
		require.NoError(b, err)
		use(b, store)
	})
	b.Run("no server", func(b *testing.B) { use(b, intercepted(b, with(1), answers).Replay()) })
	b.Run("Redis", func(b *testing.B) {
		d := standalone(b)
		use(b, stores(b, d.connect(b), with(1)).Replay())
	})
	b.Run("Redis, two secrets", func(b *testing.B) {
		d := standalone(b)
		use(b, stores(b, d.connect(b), with(1, 2)).Replay())
	})
	b.Run("Redis, Replicas 1", func(b *testing.B) {
		d := failingOver(b)
		c := with(1)
		c.Replicas = 1
		use(b, stores(b, d.connect(b), c).Replay())
	})
}

func BenchmarkLog(b *testing.B) {
	log := stores(b, standalone(b).connect(b), with(1)).Log()
	data := string(make([]byte, 200))
	b.Run("append", func(b *testing.B) {
		for b.Loop() {
			require.NoError(b, log.Append(b.Context(), record(data)))
		}
	})
	b.Run("read 256", func(b *testing.B) {
		for range 4 {
			for range 64 {
				require.NoError(b, log.Append(b.Context(), record(data)))
			}
		}
		for b.Loop() {
			got, _, err := log.Read(b.Context(), "", 256)
			require.NoError(b, err)
			require.Len(b, got, 256)
		}
	})
}

// How long it takes from when a revocation was acknowledged until each of five other
// processes refuses the token.
func BenchmarkLag(b *testing.B) {
	node := server(b)
	writer, _ := listed(b, stores(b, connect(b, node.addr()), everyday(0)))
	var readers []*revocation.List
	for range 5 {
		list, _ := listed(b, stores(b, connect(b, node.addr()), everyday(0)))
		readers = append(readers, list)
	}
	var mu sync.Mutex // guards lags
	var lags []time.Duration
	for i := 0; b.Loop(); i++ {
		id := strconv.Itoa(i)
		require.NoError(b, writer.Add(b.Context(), entry(id)))
		acknowledged := time.Now()
		var all sync.WaitGroup
		for _, list := range readers {
			all.Go(func() {
				for !knows(b, list, []string{id}) {
					time.Sleep(time.Millisecond)
				}
				mu.Lock()
				defer mu.Unlock()
				lags = append(lags, time.Since(acknowledged))
			})
		}
		all.Wait()
	}
	slices.Sort(lags)
	for _, p := range []int{50, 95, 99} {
		b.ReportMetric(float64(lags[(len(lags)-1)*p/100].Milliseconds()), fmt.Sprintf("p%d-ms", p))
	}
	b.ReportMetric(float64(lags[len(lags)-1].Milliseconds()), "max-ms")
}
