//go:build !race

package ttlcache

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// No token costs its size to be named. With the race detector, what is lent is at times not
// taken back.
func TestNamesAllocateNothing(t *testing.T) {
	for _, blake2b := range []bool{false, true} {
		n := newNamer([32]byte{1}, blake2b)
		for _, length := range []int{0, 500, 992, 993, 4064, 4065, 8 << 10, 16 << 10} {
			token := strings.Repeat("t", length)
			require.Zero(t, testing.AllocsPerRun(100, func() { _ = n.Name(token) }), "%d, BLAKE2b %v", length, blake2b)
		}
	}
}
