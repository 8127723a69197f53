package ttlcache

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/blake2b"
)

func TestNames(t *testing.T) {
	secret, other := [32]byte{1}, [32]byte{2}
	namers := map[string]struct {
		n    *Namer
		hash func([]byte) [32]byte
	}{
		"shared":  {NewSharedNamer(secret), sha256.Sum256},
		"sha256":  {newNamer(secret, false), sha256.Sum256},
		"blake2b": {newNamer(secret, true), blake2b.Sum256},
	}
	for name, nn := range namers {
		for _, length := range []int{0, 1, 500, 992, 993, 2017, 4064, 4065, 16 << 10} {
			token := strings.Repeat("t", length)
			require.Equal(t, nn.hash(append(secret[:], token...)), nn.n.Name(token), "%s %d", name, length)
		}
	}
	one, two := NewNamer(secret), NewNamer(other)
	require.Equal(t, one.Name("token"), NewNamer(secret).Name("token"), "the choice does not change while the process lives")
	require.NotEqual(t, one.Name("token"), two.Name("token"))
	require.NotEqual(t, one.Name("token"), one.Name("tokem"))
	require.NotEqual(t, namers["sha256"].n.Name("token"), namers["blake2b"].n.Name("token"))
}

func TestNamersDoNotPrintTheirSecret(t *testing.T) {
	secret := [32]byte([]byte("0123456789abcdefABCDEF!?$%&/()=+"))
	n := NewNamer(secret)
	for _, v := range []any{n, *n, struct{ n Namer }{*n}, struct{ any }{*n}, []*Namer{n}, map[string]Namer{"": *n}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%t", "%c", "%U", "%e"} {
			printed := fmt.Sprintf(verb, v)
			for _, form := range []string{"234567", "50 51 52 53", "32333435", "32 33 34 35", "0x32, 0x33", "'2' '3' '4'", "2 3 4 5", "U+0032 U+0033"} {
				require.NotContains(t, printed, form, "%s of a %T", verb, v)
			}
		}
	}
}
