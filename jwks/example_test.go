package jwks_test

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/jwtverify"
)

// The keys of an issuer, discovered, and what goes on when it is down.
func Example() {
	as, err := authtest.Start() // stands in for the authorization server
	if err != nil {
		fmt.Println(err)
		return
	}
	defer as.Close()

	keys, err := jwks.New(jwks.Config{Issuer: as.Issuer(), HTTPClient: as.Client()})
	if err != nil {
		fmt.Println(err)
		return
	}
	verifier, err := jwtverify.New(jwtverify.Config{Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, Keys: keys})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(keys.Status().State, keys.Status().Ready())

	_, err = verifier.Verify(context.Background(), as.Token(authtest.Claims{}))
	fmt.Println(err, keys.Status().State, keys.Status().KeyCount)

	as.Fail(authtest.Fault{Status: 503})
	_, err = verifier.Verify(context.Background(), as.Token(authtest.Claims{}))
	fmt.Println(err)
	// Output:
	// empty false
	// <nil> fresh 1
	// <nil>
}

// Without any key, in an outage, the token is not to blame.
func ExampleCache_Refresh() {
	as, err := authtest.Start()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer as.Close()
	as.Fail(authtest.Fault{Status: 503})

	keys, err := jwks.New(jwks.Config{URL: as.URL("/jwks"), HTTPClient: as.Client()})
	if err != nil {
		fmt.Println(err)
		return
	}
	err = keys.Refresh(context.Background())
	fmt.Println(errors.Is(err, bearergate.ErrUnavailable), bearergate.ReasonOf(err), keys.Status().Failures)
	// Output: true keys_unavailable 1
}

// A process that starts while the server is down takes over the keys of another.
func ExampleCache_Import() {
	as, err := authtest.Start()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer as.Close()
	config := jwks.Config{Issuer: as.Issuer(), HTTPClient: as.Client()}

	running, err := jwks.New(config)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := running.Refresh(context.Background()); err != nil {
		fmt.Println(err)
		return
	}
	saved, err := running.Export() // who can write it makes valid tokens
	if err != nil {
		fmt.Println(err)
		return
	}

	as.Fail(authtest.Fault{Status: 503})
	starting, err := jwks.New(config)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := starting.Import(saved); err != nil {
		fmt.Println(err)
		return
	}
	keys, err := starting.Keys(context.Background(), "", authtest.DefaultAlgorithm)
	fmt.Println(len(keys), err, starting.Status().Ready())
	// Output: 1 <nil> true
}

// Keys that a platform mounts. Replace the file by renaming.
func ExampleFile() {
	dir, err := os.MkdirTemp("", "jwks")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "jwks.json")
	err = os.WriteFile(path, []byte(`{"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "2026-01",
		"x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`), 0o600)
	if err != nil {
		fmt.Println(err)
		return
	}

	keys, err := jwks.File(path, jwks.Config{Issuer: "https://as.example.com"})
	if err != nil {
		fmt.Println(err)
		return
	}
	found, err := keys.Keys(context.Background(), "2026-01", "EdDSA")
	fmt.Println(len(found), err)
	// Output: 1 <nil>
}

// A key from a PEM file, for one algorithm only.
func ExampleNewKey() {
	block, _ := pem.Decode([]byte(`-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=
-----END PUBLIC KEY-----
`))
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		fmt.Println(err)
		return
	}
	key, err := jwks.NewKey("2026-01", public, "EdDSA")
	if err != nil {
		fmt.Println(err)
		return
	}
	set, err := jwks.NewSet(key)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, kid := range []string{"2026-01", "2025-12"} {
		keys, err := set.Keys(context.Background(), kid, "EdDSA")
		fmt.Println(kid, len(keys), err)
	}
	// Output:
	// 2026-01 1 <nil>
	// 2025-12 0 <nil>
}

// The public key of RFC 8037, appendix A.2, and its thumbprint of A.3.
func ExampleStatic() {
	set, err := jwks.Static([]byte(`{"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "2026-01",
		"x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	keys, err := set.Keys(context.Background(), "2026-01", "EdDSA")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, key := range keys {
		thumbprint := key.Thumbprint()
		fmt.Println(key.ID(), key.Algorithms(), base64.RawURLEncoding.EncodeToString(thumbprint[:]))
	}
	// Output: 2026-01 [EdDSA Ed25519] kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k
}
