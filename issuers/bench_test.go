package issuers_test

import (
	"context"
	"strings"
	"testing"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/issuers"
)

// nested is a payload of about 13.7 KB that holds nothing but objects in objects.
func nested(iss string) string {
	const depth = 1900
	return `{"iss":"` + iss + `","x":` + strings.Repeat(`{"a":`, depth) + "1" + strings.Repeat("}", depth) + "}"
}

// hostile are tokens with garbage for a signature that once cost much.
func hostile(t testing.TB) map[string]string {
	s := newSigner(t, "RS256", "k")
	header, _, _ := strings.Cut(s.Sign(t, nil), ".")
	garbage := strings.Repeat("A", 342)
	token := func(payload string) string { return header + "." + b64(payload) + "." + garbage }
	return map[string]string{
		"nested":          token(nested(issuer)),
		"nested first":    token(`{"x":` + strings.Repeat(`{"a":`, 1900) + "1" + strings.Repeat("}", 1900) + `,"iss":"` + issuer + `"}`),
		"wide":            token(`{"iss":"` + issuer + `","x":[` + strings.Repeat(`{"a":1},`, 1300) + `1]}`),
		"members":         token(`{` + strings.Repeat(`"a":1,`, 1800) + `"iss":"` + issuer + `"}`),
		"escaped names":   token(`{` + strings.Repeat(`"\u0069s":1,`, 950) + `"iss":"` + issuer + `"}`),
		"escaped strings": token(`{"iss":"` + issuer + `","x":"` + strings.Repeat(`\"\\`, 2800) + `"}`),
		"no dot":          b64(`{"alg":"RS256","x":"` + strings.Repeat("x", 11500) + `"}`),
		"no dot, binary":  b64(`{"` + strings.Repeat("\x01\"", 5700)),
	}
}

// BenchmarkRouter compares, in one run: what a verifier takes for a token that it
// has seen before, and the same behind a Router; then hostile tokens, likewise.
func BenchmarkRouter(b *testing.B) {
	for _, alg := range []string{"RS256", "ES256"} {
		s := newSigner(b, alg, "k")
		v := newVerifier(b, config(s.Set(b)))
		r := newRouter(b, issuers.Config{Issuers: map[string]bearergate.Verifier{issuer: v, issuerB: &recorder{}}, Opaque: &recorder{}})
		raw := s.Sign(b, map[string]any{"scope": "orders:read orders:write", "client_id": "client-1", "jti": "0a8b1c"})
		resolved := newRouter(b, issuers.Config{ResolveIssuers: []string{issuer},
			Resolve: func(context.Context, string) (bearergate.Verifier, error) { return v, nil }})
		for _, by := range []struct {
			name string
			bearergate.Verifier
		}{{"bare", v}, {"router", r}, {"resolved", resolved}} {
			b.Run(alg+"/seen/"+by.name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := bearergate.Verify(b.Context(), by.Verifier, raw); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
	s := newSigner(b, "RS256", "k")
	v := newVerifier(b, config(s.Set(b)))
	r := newRouter(b, issuers.Config{Issuers: map[string]bearergate.Verifier{issuer: v, issuerB: &recorder{}}})
	for name, raw := range hostile(b) {
		for _, by := range []struct {
			name string
			bearergate.Verifier
		}{{"bare", v}, {"router", r}} {
			b.Run("hostile/"+name+"/"+by.name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := by.Verify(b.Context(), raw); err == nil {
						b.Fatal("accepted")
					}
				}
			})
		}
	}
}
