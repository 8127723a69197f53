package bench

import (
	"crypto/rand"
	"crypto/sha256"
	"hash/maphash"
	"testing"

	"golang.org/x/crypto/blake2b"
)

// BenchmarkHash compares what could name a token in the cache. maphash is here
// as the lower bound only: its 64 bits are no defence against collisions.
func BenchmarkHash(b *testing.B) {
	w := newWorld(b, "RS256")
	var seed [32]byte
	_, _ = rand.Read(seed[:])
	var sink byte
	b.Run("sha256", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var stack [2048]byte
			sum := sha256.Sum256(append(append(stack[:0], seed[:]...), w.token...))
			sink ^= sum[0]
		}
	})
	b.Run("blake2b", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var stack [2048]byte
			sum := blake2b.Sum256(append(append(stack[:0], seed[:]...), w.token...))
			sink ^= sum[0]
		}
	})
	b.Run("maphash", func(b *testing.B) {
		random := maphash.MakeSeed()
		for b.Loop() {
			sink ^= byte(maphash.String(random, w.token))
		}
	})
	_ = sink
}
