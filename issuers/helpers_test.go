package issuers_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"sync"
	"testing"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/issuers"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/stretchr/testify/require"
)

const issuerB = "https://other.example.com/"

// recorder is a verifier that writes down what it is asked, and accepts it as
// a token of issuer.
type recorder struct {
	issuer string

	mu     sync.Mutex // guards tokens
	tokens []string
}

func (r *recorder) Verify(_ context.Context, token string) (*bearergate.Token, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tokens = append(r.tokens, token)
	return bearergate.NewToken(bearergate.Claims{Issuer: r.issuer}), nil
}

func (r *recorder) asked() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.tokens)
}

func newRouter(t testing.TB, c issuers.Config) *issuers.Router {
	t.Helper()
	r, err := issuers.NewRouter(c)
	require.NoError(t, err)
	return r
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// unsigned is a compact JWS of the issuer with an empty signature.
func unsigned(issuer string) string {
	claims, _ := json.Marshal(map[string]any{"iss": issuer})
	return b64(`{"alg":"ES256","kid":"k"}`) + "." + b64(string(claims)) + "."
}

// house is two issuers with keys of their own, and opaque tokens.
type house struct {
	a, b       signer // same kid
	va, vb     *jwtverify.Verifier
	opaque     *recorder
	router     *issuers.Router
	aSet, bSet []jwks.Key
}

func newHouse(t testing.TB) *house {
	h := &house{a: newSigner(t, "ES256", "k"), b: newSigner(t, "ES256", "k"), opaque: &recorder{}}
	h.aSet, h.bSet = []jwks.Key{h.a.Public(t)}, []jwks.Key{h.b.Public(t)}
	build := func(issuer string, keys []jwks.Key) *jwtverify.Verifier {
		set, err := jwks.NewSet(keys...)
		require.NoError(t, err)
		c := config(set)
		c.Issuer = issuer
		return newVerifier(t, c)
	}
	onlyB, err := jwks.NewKey("only-b", h.b.Key.Public())
	require.NoError(t, err)
	h.va, h.vb = build(issuer, h.aSet), build(issuerB, append(h.bSet, onlyB))
	h.router = newRouter(t, issuers.Config{
		Issuers: map[string]bearergate.Verifier{issuer: h.va, issuerB: h.vb}, Opaque: h.opaque})
	return h
}

func newHouseRouter(t testing.TB, issuer string, v bearergate.Verifier) *issuers.Router {
	return newRouter(t, issuers.Config{Issuers: map[string]bearergate.Verifier{issuer: v}, Opaque: &recorder{}})
}
