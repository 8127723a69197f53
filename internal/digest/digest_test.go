package digest_test

import (
	"crypto/sha256"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate/internal/digest"
)

// The hash is that of crypto/sha256 at every length around those of the buffers.
func TestString(t *testing.T) {
	for _, n := range []int{0, 1, 1023, 1024, 1025, 4095, 4096, 4097, 20000} {
		s := strings.Repeat("x", n)
		require.Equal(t, sha256.Sum256([]byte(s)), digest.String(s), n)
	}
}

// No two lists have one hash, however they are cut.
func TestStrings(t *testing.T) {
	seen := map[digest.Sum]int{}
	for i, values := range [][]string{nil, {""}, {"", ""}, {"ab"}, {"a", "b"}, {"b", "a"}, {"", "ab"}, {"ab", ""},
		{strings.Repeat("x", 1016)}, {strings.Repeat("x", 1017)}, {strings.Repeat("x", 4089)}, {strings.Repeat("x", 4000), strings.Repeat("x", 89)}} {
		sum := digest.Strings(values...)
		require.NotContains(t, seen, sum, i)
		seen[sum] = i
		require.Equal(t, sum, digest.Strings(values...))
	}
	require.Equal(t, sha256.Sum256([]byte("\x00\x00\x00\x00\x00\x00\x00\x01a\x00\x00\x00\x00\x00\x00\x00\x02bc")), digest.Strings("a", "bc"))
}
