package authtest

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/internal/strictjson"
)

const (
	proofType   = "dpop+jwt" // typ (RFC 9449 §4.2)
	proofHeader = "DPoP"     // the header field of proofs, and the scheme of tokens
)

// DPoPKey is the key of a client, to which tokens are bound by DPoP (RFC 9449). It
// makes the proofs that such a token is sent with.
//
//	key, err := authtest.NewDPoPKey("ES256")
//	token := as.Token(authtest.Claims{Confirmation: key.Confirmation()})
//	r.Header.Set("Authorization", "DPoP "+token)
//	r.Header.Set("DPoP", key.Proof("GET", "https://api.example.test/orders", token))
//
// [DPoPTransport] does this for an http.Client, and [DPoPKey.Metadata] for gRPC. The
// token endpoint of a [Server] binds a token to the key of the request's proof.
//
// Proof and Sign panic on what JSON cannot express, and on a key that [NewDPoPKey]
// has not made. A DPoPKey is safe for concurrent use.
type DPoPKey struct {
	alg        string
	signer     crypto.Signer
	jwk        []byte
	thumbprint string
}

// NewDPoPKey makes a key for one of the asymmetric JWS algorithms: ES256, ES384,
// ES512, RS256 to RS512, PS256 to PS512, EdDSA and its other name Ed25519 (RFC
// 9864). The proofs have this name in alg. An RSA key takes a fraction of a second.
func NewDPoPKey(alg string) (*DPoPKey, error) {
	signer, err := generate(alg)
	if err != nil {
		return nil, err
	}
	jwk, sum, err := jose.OwnKey(signer.Public())
	if err != nil {
		return nil, fmt.Errorf("authtest: %w", err)
	}
	return &DPoPKey{alg, signer, jwk, base64url(sum)}, nil
}

// Thumbprint returns the SHA-256 thumbprint of the public key in base64url (RFC 7638
// §3), 43 characters: the member jkt of cnf.
func (k *DPoPKey) Thumbprint() string { return k.thumbprint }

// Confirmation returns what binds a token to the key (RFC 9449 §6.1), for
// Claims.Confirmation.
func (k *DPoPKey) Confirmation() map[string][]byte { return jktOf(k.thumbprint) }

func jktOf(thumbprint string) map[string][]byte {
	return map[string][]byte{"jkt": []byte(`"` + thumbprint + `"`)}
}

// base64url is how a hash is written in JOSE (RFC 7515 §2).
func base64url(sum [sha256.Size]byte) string { return base64.RawURLEncoding.EncodeToString(sum[:]) }

// JWK returns the members of the public key (RFC 7517 §4), as the header of a proof
// has them. The map is the caller's to change, for a proof with another jwk.
func (k *DPoPKey) JWK() map[string]any {
	var members map[string]any
	_ = strictjson.Unmarshal(k.jwk, &members) // it is our own text
	return members
}

// Proof returns a valid proof (RFC 9449 §4.2) for one request with this method and
// URL. Every call returns another one, made now. The token is the access token that
// the request is sent with; "" for a request without one, to the token endpoint.
func (k *DPoPKey) Proof(method, url, token string) string {
	return k.Sign(nil, k.Claims(method, url, token))
}

// Claims returns the claims that [DPoPKey.Proof] would sign, to be changed and given
// to [DPoPKey.Sign]: jti, htm, htu (the URL as it is, without query and fragment),
// iat in whole seconds and, if there is a token, ath, its hash. The nonce that a
// server demands is added by the caller.
//
//	claims := key.Claims("GET", "https://api.example.test/orders", token)
//	claims["nonce"] = resp.Header.Get("DPoP-Nonce")
//	proof := key.Sign(nil, claims)
func (k *DPoPKey) Claims(method, url, token string) map[string]any {
	claims := map[string]any{"jti": rand.Text(), "htm": method, "htu": withoutQuery(url), "iat": time.Now().Unix()}
	if token != "" {
		claims["ath"] = base64url(sha256.Sum256([]byte(token)))
	}
	return claims
}

func withoutQuery(url string) string {
	if i := strings.IndexAny(url, "?#"); i >= 0 {
		return url[:i]
	}
	return url
}

// Sign returns a compact JWS of this header and these claims, signed with the key:
// with [DPoPKey.Claims], a negative test is a valid proof and one change.
//
// What the header lacks is filled in: typ "dpop+jwt", the alg of the key, and its
// public key as jwk. In both, a member that is nil is left out (for a null give
// json.RawMessage("null")). The signature is always one of the key's own algorithm,
// whatever alg says.
//
//	key.Sign(map[string]any{"typ": "JWT"}, key.Claims("GET", url, token))
func (k *DPoPKey) Sign(header, claims map[string]any) string {
	proof, err := k.sign(header, claims)
	if err != nil {
		panic(err.Error()) //nolint:forbidigo // a mistake in a test ends it, as httptest does
	}
	return proof
}

func (k *DPoPKey) sign(header, claims map[string]any) (string, error) {
	if k == nil || k.signer == nil {
		return "", errors.New("authtest: a DPoPKey that was not made: use NewDPoPKey")
	}
	filled := map[string]any{"typ": proofType, "alg": k.alg, "jwk": json.RawMessage(k.jwk)}
	claims = maps.Clone(claims)
	maps.DeleteFunc(claims, isNil)
	return compact(k.alg, k.signer, filled, header, claims)
}

// Metadata returns what a gRPC client sends beside a call: "authorization" with the
// token and "dpop" with a new proof of the method POST and the URL baseURL +
// fullMethod, "https://api.example.test" + "/orders.v1.Orders/Get" for example. The
// nonce is that of the server's last dpop-nonce, "" for none.
//
// It is the answer of GetRequestMetadata where that belongs to a
// credentials.PerRPCCredentials of google.golang.org/grpc, which this package does
// not import:
//
//	func (c bound) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
//		call, _ := credentials.RequestInfoFromContext(ctx) // the URI that is passed has no method
//		return c.key.Metadata("https://api.example.test", call.Method, c.token, "")
//	}
func (k *DPoPKey) Metadata(baseURL, fullMethod, token, nonce string) (map[string]string, error) {
	proof, err := k.prove(http.MethodPost, strings.TrimSuffix(baseURL, "/")+fullMethod, token, nonce)
	if err != nil {
		return nil, err
	}
	return map[string]string{"authorization": proofHeader + " " + token, "dpop": proof}, nil
}

// prove is Proof with a nonce, "" for none.
func (k *DPoPKey) prove(method, url, token, nonce string) (string, error) {
	claims := k.Claims(method, url, token)
	if nonce != "" {
		claims["nonce"] = nonce
	}
	return k.sign(nil, claims)
}
