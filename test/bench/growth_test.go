package bench

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/stretchr/testify/require"
)

// growth is how cost grows: a curve for each column, a point for each row.
type growth struct {
	*results
	title, x string
}

var (
	bySize   = &growth{newResults(), "Size of the token", "bytes"}
	byKeys   = &growth{newResults(), "Keys in the set", "keys"}
	byTokens = &growth{newResults(), "Different tokens in turn", "tokens"}
	byCores  = &growth{newResults(), "Cores", "cores"}
	curves   = []*growth{bySize, byKeys, byTokens, byCores}
)

// sized returns a token of about so many bytes.
func (w *world) sized(tb testing.TB, bytes int) string {
	missing := (bytes - len(w.token)) * 3 / 4
	return w.sign(tb, nil, map[string]any{"groups": strings.Repeat("g", max(missing-12, 0))})
}

func (g *growth) run(b *testing.B, name string, x int, v bearergate.Verifier, tokens ...string) {
	ctx := b.Context()
	for _, token := range tokens {
		_, err := v.Verify(ctx, token)
		require.NoError(b, err)
	}
	b.Run(fmt.Sprintf("%s/%s=%d", name, g.x, x), func(b *testing.B) {
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			if _, err := v.Verify(ctx, tokens[i%len(tokens)]); err != nil {
				b.Fatal(err)
			}
			i++
		}
		g.add(name, fmt.Sprint(x), b)
	})
}

const seenBefore, newToken = "seen before", "new"

// BenchmarkGrowth shows how the cost of a verification grows, for ES256.
func BenchmarkGrowth(b *testing.B) {
	w := newWorld(b, "ES256")
	tokens := make([]string, 16_384)
	for i := range tokens {
		tokens[i] = w.sign(b, nil, map[string]any{"jti": fmt.Sprint(i)})
	}
	for range rounds {
		for _, bytes := range []int{512, 1024, 2048, 4096, 8192, 16_000} {
			token := w.sized(b, bytes)
			bySize.run(b, newToken, bytes, w.verifier(b, true), token)
			bySize.run(b, seenBefore, bytes, w.verifier(b, false), token)
		}
		for _, n := range []int{1, 3, 10, 30, 100} {
			set := w.among(b, n)
			byKeys.run(b, newToken, n, w.over(b, set, true), w.token)
			byKeys.run(b, seenBefore, n, w.over(b, set, false), w.token)
		}
		v := w.verifier(b, false)
		for _, n := range []int{1, 64, 1024, 4096, 16_384} { // the cache holds 8,192
			byTokens.run(b, "in turn", n, v, tokens[:n]...)
		}
		for cores := 1; cores <= runtime.NumCPU(); cores *= 2 {
			byCores.parallel(b, "one hot token", cores, v, tokens[:1])
			byCores.parallel(b, "4096 tokens", cores, v, tokens[:4096])
			byCores.parallel(b, "bare signature check", cores, w.bare(b), tokens[:1])
			byCores.parallel(b, newToken, cores, w.verifier(b, true), tokens[:64])
		}
	}
}

// parallel measures a service that uses so many cores.
func (g *growth) parallel(b *testing.B, name string, cores int, v bearergate.Verifier, tokens []string) {
	ctx := b.Context()
	for _, token := range tokens {
		_, err := v.Verify(ctx, token)
		require.NoError(b, err)
	}
	var worker atomic.Int64
	var ns float64 // of the last and longest run
	b.Run(fmt.Sprintf("%s/cores=%d", name, cores), func(b *testing.B) {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores)) // in here, since Run sets it
		b.RunParallel(func(pb *testing.PB) {
			for i := int(worker.Add(1)) * 997; pb.Next(); i++ {
				if _, err := v.Verify(ctx, tokens[i%len(tokens)]); err != nil {
					b.Error(err)
					return
				}
			}
		})
		ns = nsPerOp(b)
	})
	if ns > 0 { // else -bench left it out
		g.put(name, fmt.Sprint(cores), ns)
	}
}

// bare is the signature check alone, which shares nothing: what more cores of
// this machine give at best, at the moment.
func (w *world) bare(tb testing.TB) bearergate.Verifier {
	raw := w.raw(tb)
	return bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) {
		if !raw() {
			return nil, bearergate.ErrInvalidToken
		}
		return nil, nil
	})
}

// among returns the key of w as one of n.
func (w *world) among(tb testing.TB, n int) *jwks.Set {
	var keys []map[string]any
	for i := range n - 1 {
		other := newWorld(tb, w.alg)
		keys = append(keys, w.jwk(fmt.Sprint("other-", i), w.alg, other.key.Public()))
	}
	set, err := jwks.Static(keySet(tb, append(keys, w.jwk(keyID, w.alg, w.key.Public()))...))
	require.NoError(tb, err)
	return set
}

func (w *world) over(tb testing.TB, keys jwks.Source, disableCache bool) *jwtverify.Verifier {
	v, err := jwtverify.New(jwtverify.Config{Issuer: issuer, Audiences: []string{audience}, Keys: keys, DisableCache: disableCache})
	require.NoError(tb, err)
	return v
}

func liveBytes() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// The memory of the cache is bounded, also while a flood of valid tokens that
// are all different goes through it; and what an entry is counted with is about
// what it takes.
func TestMemory(t *testing.T) {
	w := newWorld(t, "EdDSA") // the fastest to sign with
	verify := func(v *jwtverify.Verifier, from, n int) {
		for i := range n {
			token := w.sign(t, nil, map[string]any{"jti": fmt.Sprintf("%032d", from+i)})
			if _, err := v.Verify(context.Background(), token); err != nil {
				t.Fatal(err)
			}
		}
	}
	newVerifier := func(entries int, bytes int64) *jwtverify.Verifier {
		v, err := jwtverify.New(jwtverify.Config{Issuer: issuer, Audiences: []string{audience}, Keys: w.keys(t),
			CacheEntries: entries, CacheBytes: bytes})
		require.NoError(t, err)
		return v
	}
	entries := 3000
	if *full {
		entries = 100_000
	}
	v := newVerifier(2*entries, 1<<40) // room for all of them in every shard
	before := liveBytes()
	verify(v, 0, entries)
	each := (liveBytes() - before) / int64(entries)
	runtime.KeepAlive(v)
	t.Logf("%d tokens of %d bytes: %d bytes each", entries, len(w.token), each)
	require.Less(t, each, int64(4096))
	require.Less(t, each, 1024+2*int64(len(w.token))+6*64, "Config.CacheBytes counts too little")

	const limit = 1000
	v = newVerifier(limit, 1<<40)
	before = liveBytes()
	verify(v, 0, 2*limit)
	filled := liveBytes() - before
	verify(v, 2*limit, entries)
	require.Less(t, liveBytes()-before, filled*5/4, "the cache grew beyond its bound")
	runtime.KeepAlive(v)
}
