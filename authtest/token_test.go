package authtest_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/scope"
)

func decodePart(token string, i int) ([]byte, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, fmt.Errorf("%d parts", len(parts))
	}
	return base64.RawURLEncoding.Strict().DecodeString(parts[i])
}

func TestTokenWritesEveryField(t *testing.T) {
	as := authtest.New(t)
	at := time.Unix(1_700_000_000, 999_999_999)
	token := as.Token(authtest.Claims{
		Issuer: "https://other.example.test", Subject: "alice", ClientID: "app", ID: "id-1",
		Audience: []string{"a", "b"}, Scopes: scope.Of("orders:read", "orders:write"), Roles: []string{"clerk"},
		ExpiresAt: at, IssuedAt: at.Add(-time.Minute), NotBefore: at.Add(-2 * time.Minute), AuthTime: at.Add(-time.Hour), ACR: "mfa",
		Actors:       []bearergate.Actor{{Subject: "service"}, {Subject: "earlier", Issuer: "https://i.test", ClientID: "c"}},
		Confirmation: map[string][]byte{"jkt": []byte(`"thumb"`), "jwk": []byte(`{"kty":"OKP"}`)},
		Stale:        true,
		Raw:          []byte(`{"tenant":{"id":9007199254740993},"sub":"from raw","jti":"from raw"}`),
	})
	require.NoError(t, verify(as, token))
	payload, err := decodePart(token, 1)
	require.NoError(t, err)
	require.Equal(t, `{"acr":"mfa","act":{"act":{"client_id":"c","iss":"https://i.test","sub":"earlier"},"sub":"service"},`+
		`"aud":["a","b"],"auth_time":1699996400,"client_id":"app","cnf":{"jkt":"thumb","jwk":{"kty":"OKP"}},"exp":1700000000,`+
		`"iat":1699999940,"iss":"https://other.example.test","jti":"id-1","nbf":1699999880,"roles":["clerk"],"scope":"orders:read orders:write",`+
		`"sub":"alice","tenant":{"id":9007199254740993}}`, string(payload))
}

func TestRawReplacesDefaults(t *testing.T) {
	as := authtest.New(t)
	c := claims(t, as.Token(authtest.Claims{Raw: []byte(`{"sub":null,"aud":[],"scope":7,"exp":1.5}`), Confirmation: map[string][]byte{}}))
	require.Subset(t, c, map[string]any{"sub": nil, "aud": []any{}, "scope": 7.0, "exp": 1.5, "cnf": map[string]any{}, "iss": as.Issuer()})
}

func TestClaimsAreTheCallersToChange(t *testing.T) {
	as := authtest.New(t)
	raw := []byte(`{"x":"abc"}`)
	c := as.Claims(authtest.Claims{Subject: "alice", Raw: raw})
	copy(raw, `{"x":"zzz"}`)
	delete(c, "exp")
	c["iat"] = "now"
	got := claims(t, as.Sign(nil, c))
	require.NotContains(t, got, "exp")
	require.Subset(t, got, map[string]any{"sub": "alice", "iat": "now", "x": "abc", "aud": authtest.DefaultAudience})
}

func TestSign(t *testing.T) {
	as := authtest.New(t)
	kid := header(t, as.Token(authtest.Claims{}))["kid"]
	for name, test := range map[string]struct{ header, want map[string]any }{
		"nothing given": {nil, map[string]any{"alg": "ES256", "kid": kid, "typ": "at+jwt"}},
		"typ":           {map[string]any{"typ": "JWT"}, map[string]any{"alg": "ES256", "kid": kid, "typ": "JWT"}},
		"typ removed":   {map[string]any{"typ": nil}, map[string]any{"alg": "ES256", "kid": kid}},
		"all removed":   {map[string]any{"typ": nil, "alg": nil, "kid": nil}, map[string]any{}},
		"other kid":     {map[string]any{"kid": "other"}, map[string]any{"alg": "ES256", "kid": "other", "typ": "at+jwt"}},
		"wrong types":   {map[string]any{"kid": 1, "typ": []string{}}, map[string]any{"alg": "ES256", "kid": 1.0, "typ": []any{}}},
		"more":          {map[string]any{"crit": []string{"b64"}, "b64": false}, map[string]any{"alg": "ES256", "kid": kid, "typ": "at+jwt", "crit": []any{"b64"}, "b64": false}},
	} {
		t.Run(name, func(t *testing.T) {
			token := as.Sign(test.header, nil)
			require.Equal(t, test.want, header(t, token))
			require.Empty(t, claims(t, token))
			// Whatever the header says, the signature is good.
			keys, _, err := jose.ParseSet(as.JWKS(), 10)
			require.NoError(t, err)
			dot := strings.LastIndexByte(token, '.')
			sig, err := decodePart(token, 2)
			require.NoError(t, err)
			require.NoError(t, keys[0].Verify("ES256", []byte(token[:dot]), sig))
		})
	}
}

func TestEveryAlgorithm(t *testing.T) {
	as := authtest.New(t)
	kids := map[any]bool{}
	for _, alg := range jose.Algorithms() {
		token := as.Sign(map[string]any{"alg": alg}, as.Claims(authtest.Claims{}))
		require.Equal(t, alg, header(t, token)["alg"])
		require.NoError(t, verify(as, token), alg)
		kids[header(t, token)["kid"]] = true
	}
	require.Len(t, kids, len(jose.Algorithms())-1) // EdDSA and Ed25519 are one
	keys, _, err := jose.ParseSet(as.JWKS(), 100)
	require.NoError(t, err)
	require.Len(t, keys, len(kids))
}

func TestWithAlgorithms(t *testing.T) {
	as := authtest.New(t, authtest.WithAlgorithms("Ed25519", "ES512", "ES512"))
	keys, _, err := jose.ParseSet(as.JWKS(), 100)
	require.NoError(t, err)
	require.Len(t, keys, 2)
	token := as.Token(authtest.Claims{})
	require.Equal(t, "Ed25519", header(t, token)["alg"])
	require.NoError(t, verify(as, token))
	before := as.JWKS()
	require.NoError(t, verify(as, as.Sign(map[string]any{"alg": "ES512"}, nil)))
	require.Equal(t, before, as.JWKS(), "no key is made that was there from the start")
	require.NoError(t, verify(as, as.Sign(map[string]any{"alg": "ES256"}, nil)))
	require.NotEqual(t, before, as.JWKS())
}

func TestRotateAndWithdraw(t *testing.T) {
	as := authtest.New(t, authtest.WithAlgorithms("ES256", "EdDSA"))
	tokens := func() []string {
		return []string{as.Token(authtest.Claims{}), as.Sign(map[string]any{"alg": "EdDSA"}, nil)}
	}
	good := func(tokens []string) {
		t.Helper()
		for _, token := range tokens {
			require.NoError(t, verify(as, token))
		}
	}
	bad := func(tokens []string) {
		t.Helper()
		for _, token := range tokens {
			require.ErrorContains(t, verify(as, token), "no key")
		}
	}
	first := tokens()
	as.Withdraw() // nothing to withdraw
	good(first)
	as.Rotate()
	second := tokens()
	good(first)
	good(second)
	as.Rotate()
	third := tokens()
	bad(first)
	good(second)
	good(third)
	as.Withdraw()
	bad(second)
	good(third)

	kids := map[any]bool{}
	for _, token := range append(append(first, second...), third...) {
		kids[header(t, token)["kid"]] = true
	}
	require.Len(t, kids, 6)
}

func TestKeyIDsDifferBetweenServers(t *testing.T) {
	one, other := authtest.New(t), authtest.New(t)
	require.NotEqual(t, header(t, one.Token(authtest.Claims{}))["kid"], header(t, other.Token(authtest.Claims{}))["kid"])
}
