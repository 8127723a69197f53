package mtls_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"net/netip"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/binding/mtls"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

// TLS ends at a proxy, which passes the certificate on by RFC 9440.
func ExampleNew() {
	certificates, err := mtls.New(mtls.Config{Forwarded: []mtls.Forwarded{{
		Header: "Client-Cert", Format: mtls.RFC9440, Trusted: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")},
	}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	// Stands in for a verifier with Confirmations: []string{"x5t#S256"}.
	verifier := bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) {
		return bearergate.NewToken(bearergate.Claims{Subject: "alice",
			Confirmation: map[string][]byte{"x5t#S256": []byte(`"bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"`)}}), nil
	})
	gate, err := middleware.New(verifier, middleware.Config{Bindings: []bearergate.Binding{certificates}})
	if err != nil {
		fmt.Println(err)
		return
	}
	r := httptest.NewRequest("GET", "/orders", nil) // stolen: sent without a certificate
	r.RemoteAddr = "10.1.0.7:40000"
	r.Header.Set("Authorization", "Bearer token-of-alice")
	_, _, err = gate.Check(r, scope.Requirement{})
	fmt.Println(bearergate.ReasonOf(err))
	// Output: binding
}
