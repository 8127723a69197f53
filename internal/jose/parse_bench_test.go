package jose_test

import (
	"strings"
	"testing"

	"github.com/bearergate/bearergate/internal/jose"
)

// BenchmarkParse compares a good token with what strangers may send in its place, of about
// the same length.
func BenchmarkParse(b *testing.B) {
	const size = 16 << 10
	good := replaced(validToken(b), 1, b64([]byte(`{"a":"`+strings.Repeat("x", size*3/4)+`"}`)))
	for _, of := range []struct{ name, token string }{
		{"good", good},
		{"no dots", strings.Repeat("a", size)},
		{"foreign at last", good + "="},
		{"five parts", good + ".AAAA.AAAA"},
		{"not canonical", good[:len(good)-1] + "_"},
		{"dots", strings.Repeat(".", size)},
	} {
		b.Run(of.name, func(b *testing.B) {
			var buf []byte
			for b.Loop() {
				if _, err := jose.ParseInto(&buf, of.token, 2*size); (err == nil) != (of.name == "good") {
					b.Fatal(err)
				}
			}
		})
	}
}
