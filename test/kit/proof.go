package kit

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate/internal/jose"
)

// ProofKey is the DPoP key of a client (RFC 9449).
type ProofKey struct {
	Alg        string
	Key        crypto.Signer
	JWK        map[string]any // the public key, the required members alone
	Thumbprint string         // jkt
}

// NewProofKey makes a key for an algorithm.
func NewProofKey(t testing.TB, alg string) ProofKey {
	t.Helper()
	key, err := jose.GenerateKey(alg)
	require.NoError(t, err)
	return ProofKeyOf(t, alg, key)
}

// ProofKeyOf is a key that is there already.
func ProofKeyOf(t testing.TB, alg string, key crypto.Signer) ProofKey {
	t.Helper()
	data, sum, err := jose.OwnKey(key.Public())
	require.NoError(t, err)
	k := ProofKey{Alg: alg, Key: key, Thumbprint: base64.RawURLEncoding.EncodeToString(sum[:])}
	require.NoError(t, json.Unmarshal(data, &k.JWK))
	return k
}

// Claims are those of a valid proof.
func (k ProofKey) Claims(method, url, token string, at time.Time) map[string]any {
	return map[string]any{"jti": rand.Text(), "htm": method, "htu": url, "iat": at.Unix(), "ath": TokenHash(token)}
}

// Sign returns a proof with these claims, and what a header has changed. [Absent] takes a
// member away from either.
func (k ProofKey) Sign(t testing.TB, header, claims map[string]any) string {
	t.Helper()
	whole := map[string]any{"typ": "dpop+jwt", "alg": k.Alg, "jwk": k.JWK}
	maps.Copy(whole, header)
	return k.SignText(t, text(t, whole), text(t, claims))
}

// SignText returns a proof of exactly this header and these claims.
func (k ProofKey) SignText(t testing.TB, header, claims string) string {
	t.Helper()
	proof, err := jose.Sign(k.Alg, k.Key, []byte(header), []byte(claims))
	require.NoError(t, err)
	return proof
}

func text(t testing.TB, members map[string]any) string {
	t.Helper()
	members = maps.Clone(members)
	maps.DeleteFunc(members, func(_ string, v any) bool { return v == Absent })
	data, err := json.Marshal(members)
	require.NoError(t, err)
	return string(data)
}

// TokenHash is ath of a token.
func TokenHash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
