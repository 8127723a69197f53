package buffer_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate/internal/buffer"
)

// A buffer is lent empty, with nothing in it of whoever had it before, and one that has
// grown beyond what tokens need is not kept.
func TestBuffersAreCleared(t *testing.T) {
	again := 0
	for range 100 {
		for _, used := range []int{1, 100, 8 << 10, 32 << 10, 64 << 10} {
			buf := buffer.Borrow()
			require.Empty(t, *buf)
			whole := (*buf)[:cap(*buf)]
			require.Equal(t, len(whole), bytes.Count(whole, []byte{0}), "something is left in it")
			require.LessOrEqual(t, cap(*buf), 32<<10)
			again += cap(*buf)
			*buf = append(*buf, bytes.Repeat([]byte{'x'}, used)...)
			buffer.GiveBack(buf, used)
		}
		if again > 0 { // the pool may forget: more often still with the race detector
			return
		}
	}
	t.Error("no buffer is ever used again")
}
