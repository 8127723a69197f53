package jwks_test

import (
	"context"
	"encoding/base64"
	"fmt"

	"github.com/bearergate/bearergate/jwks"
)

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
