package dpop_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/binding/dpop"
	"github.com/bearergate/bearergate/internal/clock"
	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/bearergate/bearergate/test/proofs"
)

// BenchmarkRequest is a bound request of a token that was seen before: the token from the
// cache, the proof judged and used up in memory. It is measured in turns with the bare
// signature check of the proof's algorithm, and x/bare is how many times that it takes.
func BenchmarkRequest(b *testing.B) {
	for _, alg := range dpop.DefaultAlgorithms() {
		b.Run(alg, func(b *testing.B) {
			s, v := seen(b, alg)
			store, err := dpop.NewMemory(10_000)
			require.NoError(b, err)
			p := newProofs(b, func(c *dpop.Config) { c.Now, c.Replay = func() time.Time { return kit.Now }, store })
			var calls []bearergate.Call
			for range 256 {
				c := call(sign(s, nil))
				c.Raw = bearergate.NewSecret(s.Token)
				calls = append(calls, c)
			}
			request := func(n int) time.Duration {
				dpop.Forget(store)
				start := time.Now()
				for _, c := range calls[:n] {
					if _, _, err := bearergate.Authenticate(b.Context(), v, c, p); err != nil {
						b.Fatal(err)
					}
				}
				return time.Since(start)
			}
			bare := bareCheck(b, s, calls[0].Values("DPoP")[0])
			request(len(calls))
			b.ReportAllocs()
			var ratios []float64
			for b.Loop() {
				took := request(64)
				ratios = append(ratios, float64(took)/float64(bare(64)))
			}
			slices.Sort(ratios)
			b.ReportMetric(ratios[len(ratios)/2], "x/bare")
			b.ReportMetric(testing.AllocsPerRun(1, func() { request(100) })/100, "allocs/request")
		})
	}
}

// seen is a client with a token, and a verifier that has seen it.
func seen(b *testing.B, alg string) (proofs.Scene, bearergate.Verifier) {
	b.Helper()
	s := newScene(b)
	s.Key, s.Now = kit.NewProofKey(b, alg), kit.Now
	signer := kit.NewSigner(b, "ES256", "k")
	s.Token = signer.Sign(b, map[string]any{"cnf": map[string]any{"jkt": s.Key.Thumbprint}})
	v, err := jwtverify.New(jwtverify.Config{Issuer: kit.Issuer, Audiences: []string{kit.Audience}, Keys: signer.Set(b), Confirmations: []string{"jkt"}, Now: func() time.Time { return kit.Now }})
	require.NoError(b, err)
	return s, v
}

// bareCheck checks the signature of a proof, and nothing else.
func bareCheck(b *testing.B, s proofs.Scene, proof string) func(n int) time.Duration {
	b.Helper()
	jwk, err := json.Marshal(s.Key.JWK)
	require.NoError(b, err)
	key, err := jose.ParseKey(jwk)
	require.NoError(b, err)
	dot := strings.LastIndexByte(proof, '.')
	sig, err := base64.RawURLEncoding.DecodeString(proof[dot+1:])
	require.NoError(b, err)
	signed := []byte(proof[:dot])
	return func(n int) time.Duration {
		start := time.Now()
		for range n {
			if err := key.Verify(s.Key.Alg, signed, sig); err != nil {
				b.Fatal(err)
			}
		}
		return time.Since(start)
	}
}

// BenchmarkNew is the first proof of a client: its header is read and its key admitted.
func BenchmarkNew(b *testing.B) {
	s := newScene(b)
	sent := call(sign(s, nil))
	token := bound(b, map[string]any{"jkt": s.Key.Thumbprint})
	for b.Loop() {
		b.StopTimer()
		p := newProofs(b)
		b.StartTimer()
		if _, _, err := bearergate.Authenticate(b.Context(), token, sent, p); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkJunk is what a proof costs that gets no signature check.
func BenchmarkJunk(b *testing.B) {
	s, token := seen(b, "ES256")
	p := newProofs(b, func(c *dpop.Config) { c.Now = func() time.Time { return kit.Now } })
	first := call(sign(s, nil))
	first.Raw = bearergate.NewSecret(s.Token)
	_, _, err := bearergate.Authenticate(b.Context(), token, first, p)
	require.NoError(b, err)
	for _, junk := range []struct{ name, proof string }{
		{"nothing", ""},
		{"4KiB", strings.Repeat("x", 4096)},
		{"form", strings.Repeat("eyJ4IjoxfQ", 100) + "." + strings.Repeat("A", 2000) + "." + strings.Repeat("A", 86)},
		{"header", strings.Repeat("A", 1000) + "." + strings.Repeat("A", 2000) + "." + strings.Repeat("A", 86)},
		{"nested", b64(`{"typ":"dpop+jwt","alg":"ES256","x":` + strings.Repeat("[", 30) + strings.Repeat("]", 30) + "}")},
		{"key", s.Other.Sign(b, nil, s.Claims())},
		{"RSAkey", kit.NewProofKey(b, "RS256").Sign(b, nil, s.Claims())},
		{"htm", sign(s, map[string]any{"htm": "PUT"})},
		{"htu", sign(s, map[string]any{"htu": api + strings.Repeat("/./a", 500)})},
		{"iat", sign(s, map[string]any{"iat": 1})},
		{"claims", sign(s, map[string]any{"x": strings.Repeat("x", 2000)})[:2500] + "." + strings.Repeat("A", 86)},
	} {
		b.Run(junk.name, func(b *testing.B) {
			sent := call(junk.proof)
			sent.Raw = bearergate.NewSecret(s.Token)
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := bearergate.Authenticate(b.Context(), token, sent, p); err == nil {
					b.Fatal("accepted")
				}
			}
		})
	}
}

func b64(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// BenchmarkMemory is one use in a store that holds many, and the bytes that each takes.
func BenchmarkMemory(b *testing.B) {
	for _, entries := range []int{1_000, 262_144} {
		for _, owners := range []int{1, entries} {
			b.Run(fmt.Sprintf("entries=%d/owners=%d", entries, owners), func(b *testing.B) {
				now := clock.At(time.Now())
				var before, after runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&before)
				store, err := dpop.NewMemory(2 * entries)
				require.NoError(b, err)
				use := func(i int) {
					at := now.Add(time.Duration(i) * time.Minute / time.Duration(entries))
					if fresh, err := dpop.UseAt(store, fmt.Sprint(i), fmt.Sprintf("%043d", i%owners), at, at.Wall.Add(time.Minute)); err != nil || !fresh {
						b.Fatal(err)
					}
				}
				for i := range entries {
					use(i)
				}
				runtime.GC()
				runtime.ReadMemStats(&after)
				i := entries
				for b.Loop() {
					use(i)
					i++
				}
				b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(entries), "B/entry")
				runtime.KeepAlive(store)
			})
		}
	}
}
