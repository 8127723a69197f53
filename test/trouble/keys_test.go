package trouble_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"math/big"
	"net/http"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/internal/jose"
)

// short is a key that nobody admits: RSA of 1024 bits. What it signs is never looked at.
func short(y *try, id string) []byte {
	n := make([]byte, 128)
	_, _ = rand.Read(n)
	n[0], n[127] = n[0]|0x80, n[127]|1
	jwk, err := jose.PublicJWK(id, &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: 65537}, "RS256")
	require.NoError(y.t, err)
	return jwk
}

// published has the server publish its own keys.
func published(y *try) { y.as.Fail(authtest.Fault{}) }

func keys() area {
	return area{
		title: "Keys",
		about: "The key that signed the token is not known, or is not the one that is known.",
		rows: []row{
			{
				title: "The key ID is unknown", caseID: "D4", status: http.StatusUnauthorized, reason: bearergate.ReasonUnknownKey,
				wrong:  func(y *try) { y.header["kid"] = "last-year" },
				mended: "The server signs with a key that it publishes.", mend: func(y *try) { delete(y.header, "kid") },
			},
			{
				title: "The key of that ID is for another algorithm", caseID: "D4", status: http.StatusUnauthorized, reason: bearergate.ReasonUnknownKey,
				wrong: func(y *try) {
					first, second := newSigner(y.t, "main", "EdDSA"), newSigner(y.t, "main", "ES256")
					y.publishes(first.public(y.t))
					y.signed(second)
				},
				mended: "The server names the key that signs.", mend: func(y *try) {
					second := newSigner(y.t, "second", "ES256")
					y.publishes(newSigner(y.t, "main", "EdDSA").public(y.t), second.public(y.t))
					y.signed(second)
				},
			},
			{
				title: "The token names no key, and five fit", caseID: "D4", status: http.StatusUnauthorized, reason: bearergate.ReasonUnknownKey,
				wrong: func(y *try) {
					var five [][]byte // up to four are tried
					for i := range 5 {
						five = append(five, newSigner(y.t, fmt.Sprint("k", i), "ES256").public(y.t))
					}
					y.publishes(five...)
					y.header["kid"] = nil
				},
				mended: "The server publishes the keys that it uses, and writes kid.", mend: func(y *try) { published(y); delete(y.header, "kid") },
			},
			{
				title: "The token names no key, and none fits", status: http.StatusUnauthorized, reason: bearergate.ReasonUnknownKey,
				wrong: func(y *try) {
					y.publishes(newSigner(y.t, "main", "EdDSA").public(y.t))
					y.header["kid"] = nil
				},
				mended: "The server publishes the key that signs.", mend: published,
			},
			{
				title: "The key is published, and not admitted (RSA of 1024 bits)", status: http.StatusUnauthorized, reason: bearergate.ReasonUnknownKey,
				wrong: func(y *try) {
					y.publishes(short(y, "old"), newSigner(y.t, "new", "ES256").public(y.t))
					y.unsigned(map[string]any{"alg": "RS256", "kid": "old", "typ": "at+jwt"}, strings.Repeat("A", 171))
				},
				mended: "The server signs with a key of ES256.", mend: func(y *try) {
					published(y)
					y.token = nil
				},
			},
			{
				title: "Another key was published under the same ID", status: http.StatusUnauthorized, reason: bearergate.ReasonSignature,
				wrong: func(y *try) {
					y.publishes(newSigner(y.t, "main", "ES256").public(y.t))
					y.signed(newSigner(y.t, "main", "ES256"))
				},
				mended: "The new key has an ID of its own.", mend: func(y *try) {
					old, fresh := newSigner(y.t, "main", "ES256"), newSigner(y.t, "main-2", "ES256")
					y.publishes(old.public(y.t), fresh.public(y.t))
					y.signed(fresh)
				},
			},
			{
				title: "Something on the way changes the token", twin: "The token is for Microsoft Graph", status: http.StatusUnauthorized, reason: bearergate.ReasonSignature,
				wrong: altered(func(token string) string {
					first := strings.IndexByte(token, '.') + 1
					return token[:first] + base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"`+issuer+`","admin":true}`)) + token[strings.LastIndexByte(token, '.'):]
				}),
				mended: "It is what the server issued.", mend: asIssued,
			},
		},
	}
}
