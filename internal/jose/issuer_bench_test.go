package jose_test

import (
	"strings"
	"testing"

	"github.com/bearergate/bearergate/internal/jose"
)

func BenchmarkUnverifiedIssuer(b *testing.B) {
	for name, claims := range map[string]string{
		"usual": `{"aud":["https://api.example.com/"],"client_id":"client-1","exp":1767225600,"iat":1767222000,"iss":"https://as.example.com/","jti":"0a8b1c","scope":"orders:read orders:write","sub":"user-1"}`,
		"wide":  `{"iss":"joe","x":[` + strings.Repeat(`{"a":1},`, 1300) + `1]}`,
		"deep":  `{"iss":"joe","x":` + nestedIn(`{"a":}`, 1900, "1") + `}`,
		"long":  `{"iss":"joe","x":"` + strings.Repeat(`\"\\`, 2800) + `"}`,
	} {
		token := plainHeaderPart + "." + b64([]byte(claims)) + ".AAAA"
		b.Run(name, func(b *testing.B) {
			var buf []byte
			b.ReportAllocs()
			for b.Loop() {
				_, _ = jose.UnverifiedIssuer(&buf, token, 16<<10)
			}
		})
		b.Run(name+"/decoded", func(b *testing.B) {
			jws := jose.JWS{Payload: []byte(claims)}
			b.ReportAllocs()
			for b.Loop() {
				_, _ = jws.UnverifiedIssuer()
			}
		})
	}
}
