package ttlcache

import (
	"crypto/fips140"
	"crypto/sha256"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/blake2b"

	"github.com/bearergate/bearergate/internal/buffer"
)

// Namer gives tokens their names in a cache: a hash of a secret and the token.
// It is safe for concurrent use.
//
// Whoever may submit tokens of their choice must not find two with one name,
// not even with the secret from a heap dump, out of which no name may lead back
// to a token either. That rules out hash/maphash (64 bits, no one-way function)
// and the keyed checksums (GHASH, Poly1305), which collide at will for whoever
// knows the key. SHA-256 and BLAKE2b-256 both do; which of them is the faster
// one depends on the processor, by a factor of 1.6 for one with SHA extensions
// and of 2 to 3 for the other without (BenchmarkHash of test/bench).
type Namer struct {
	// Of one length, and the token stands last: no two inputs look alike. A
	// function, which fmt cannot print whatever a Namer is part of.
	secret  func() [32]byte
	blake2b bool
}

// NewNamer returns a Namer of names that mean something in this process only:
// it takes the hash that is the faster one here.
func NewNamer(secret [32]byte) *Namer { return newNamer(secret, preferBLAKE2b()) }

// NewSharedNamer returns a Namer whose names are the same in every process with
// this secret, whatever its processor: SHA-256.
func NewSharedNamer(secret [32]byte) *Namer { return newNamer(secret, false) }

func newNamer(secret [32]byte, blake2b bool) *Namer {
	return &Namer{func() [32]byte { return secret }, blake2b}
}

// Name returns the name of the token.
func (n *Namer) Name(token string) Key {
	secret := n.secret()
	if len(secret)+len(token) <= 1024 {
		var stack [1024]byte // nothing is allocated
		return n.hash(append(append(stack[:0], secret[:]...), token...))
	}
	if len(secret)+len(token) <= 4096 {
		var stack [4096]byte // clearing it takes a while
		return n.hash(append(append(stack[:0], secret[:]...), token...))
	}
	buf := buffer.Borrow()
	*buf = append(append(slices.Grow(*buf, len(secret)+len(token)), secret[:]...), token...)
	name := n.hash(*buf)
	buffer.GiveBack(buf, len(*buf))
	return name
}

func (n *Namer) hash(input []byte) Key {
	if n.blake2b {
		return blake2b.Sum256(input)
	}
	return sha256.Sum256(input)
}

// preferBLAKE2b times both hashes, once and for some microseconds: the standard
// library does not tell whether its SHA-256 uses the processor's. A wrong guess
// costs time only.
var preferBLAKE2b = sync.OnceValue(func() bool {
	if fips140.Enabled() {
		return false // SHA-256 is approved
	}
	input := make([]byte, 1024)
	best := func(hash func([]byte) [32]byte) time.Duration {
		shortest := time.Hour
		for range 8 {
			start := time.Now()
			sum := hash(input)
			shortest = min(shortest, time.Since(start))
			input[0] = sum[0]
		}
		return shortest
	}
	return best(blake2b.Sum256) < best(sha256.Sum256)
})
