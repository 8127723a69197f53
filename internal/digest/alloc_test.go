//go:build !race

package digest_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate/internal/digest"
)

// No text costs a copy on the heap. With the race detector, what is lent is at times not
// taken back.
func TestNothingIsAllocated(t *testing.T) {
	for _, n := range []int{0, 1500, 4096, 4097, 8 << 10, 16 << 10} {
		token := strings.Repeat("x", n)
		require.Zero(t, testing.AllocsPerRun(100, func() { _ = digest.String(token) }), n)
		require.Zero(t, testing.AllocsPerRun(100, func() { _ = digest.Strings("jkt", token) }), n)
	}
}
