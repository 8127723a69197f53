package authtest_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/internal/jose"
)

// askToken asks the token endpoint with these DPoP header fields.
func askToken(t *testing.T, as *authtest.Server, proofs ...string) (*http.Response, map[string]any) {
	t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {"shop"}, "client_secret": {"x"}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, as.URL("/token"), strings.NewReader(form.Encode()))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header["Dpop"] = proofs
	resp, err := as.Client().Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	var members map[string]any
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&members))
	require.Equal(t, "no-store", resp.Header.Get("Cache-Control"))
	return resp, members
}

func TestTokenEndpointBindsToTheKeyOfAProof(t *testing.T) {
	as := authtest.New(t)
	for _, alg := range jose.Algorithms() {
		key := newKey(t, alg)
		resp, members := askToken(t, as, key.Proof("POST", as.URL("/token"), ""))
		require.Equal(t, http.StatusOK, resp.StatusCode, alg)
		require.Equal(t, "DPoP", members["token_type"])
		token, _ := members["access_token"].(string)
		require.NoError(t, verify(as, token))
		require.Equal(t, map[string]any{"jkt": key.Thumbprint()}, claims(t, token)["cnf"])
		require.Equal(t, "DPoP", answer(t, as, token)["token_type"])
	}
	_, members := askToken(t, as)
	require.Equal(t, "Bearer", members["token_type"])
	token, _ := members["access_token"].(string)
	require.NotContains(t, claims(t, token), "cnf")

	_, body := get(t, as, as.URL("/.well-known/oauth-authorization-server"))
	var metadata map[string]any
	require.NoError(t, json.Unmarshal([]byte(body), &metadata))
	algs, _ := metadata["dpop_signing_alg_values_supported"].([]any)
	require.Len(t, algs, len(jose.Algorithms()))
	require.Contains(t, algs, "ES256")
	require.NotContains(t, algs, "none")
}

func TestTokenEndpointRefusesWrongProofs(t *testing.T) {
	as := authtest.New(t)
	key, other := newKey(t, "ES256"), newKey(t, "ES256")
	private := key.JWK()
	private["d"] = "AAAA"
	// proof is a valid one with these changes.
	proof := func(header, change map[string]any) string {
		c := key.Claims("POST", as.URL("/token"), "")
		maps.Copy(c, change)
		return key.Sign(header, c)
	}
	good := func() string { return proof(nil, nil) }
	for _, test := range []struct {
		name   string
		proofs []string
		ok     bool
	}{
		{name: "good", proofs: []string{good()}, ok: true},
		{name: "a query in htu", proofs: []string{proof(nil, map[string]any{"htu": as.URL("/token?a=b#c")})}, ok: true},
		{name: "a nonce that nobody demands", proofs: []string{proof(nil, map[string]any{"nonce": "n-1"})}, ok: true},
		{name: "two", proofs: []string{good(), good()}},
		{name: "two in one", proofs: []string{good() + ", " + good()}},
		{name: "empty", proofs: []string{""}},
		{name: "no JWS", proofs: []string{"proof"}},
		{name: "no signature", proofs: []string{good()[:strings.LastIndexByte(good(), '.')+1]}},
		{name: "a signature of another proof", proofs: []string{good()[:strings.LastIndexByte(good(), '.')] + good()[strings.LastIndexByte(good(), '.'):]}},
		{name: "an access token", proofs: []string{as.Token(authtest.Claims{})}},
		{name: "typ", proofs: []string{proof(map[string]any{"typ": "JWT"}, nil)}},
		{name: "no typ", proofs: []string{proof(map[string]any{"typ": nil}, nil)}},
		{name: "alg none", proofs: []string{proof(map[string]any{"alg": "none"}, nil)}},
		{name: "a symmetric alg", proofs: []string{proof(map[string]any{"alg": "HS256"}, nil)}},
		{name: "an alg of another kind of key", proofs: []string{proof(map[string]any{"alg": "RS256"}, nil)}},
		{name: "no jwk", proofs: []string{proof(map[string]any{"jwk": nil}, nil)}},
		{name: "another's jwk", proofs: []string{proof(map[string]any{"jwk": other.JWK()}, nil)}},
		{name: "a private jwk", proofs: []string{proof(map[string]any{"jwk": private}, nil)}},
		{name: "no jti", proofs: []string{proof(nil, map[string]any{"jti": nil})}},
		{name: "no htm", proofs: []string{proof(nil, map[string]any{"htm": nil})}},
		{name: "no htu", proofs: []string{proof(nil, map[string]any{"htu": nil})}},
		{name: "no iat", proofs: []string{proof(nil, map[string]any{"iat": nil})}},
		{name: "iat is text", proofs: []string{proof(nil, map[string]any{"iat": "now"})}},
		{name: "another method", proofs: []string{proof(nil, map[string]any{"htm": "GET"})}},
		{name: "another path", proofs: []string{proof(nil, map[string]any{"htu": as.URL("/introspect")})}},
		{name: "another host", proofs: []string{proof(nil, map[string]any{"htu": "https://other.example.test/token"})}},
		{name: "another scheme", proofs: []string{proof(nil, map[string]any{"htu": "http://as.example.test/token"})}},
	} {
		t.Run(test.name, func(t *testing.T) {
			resp, members := askToken(t, as, test.proofs...)
			if test.ok {
				require.Equal(t, http.StatusOK, resp.StatusCode)
				return
			}
			require.Equal(t, http.StatusBadRequest, resp.StatusCode)
			require.Equal(t, map[string]any{"error": "invalid_dpop_proof"}, members)
			require.Empty(t, resp.Header.Values("DPoP-Nonce"))
		})
	}
}

// The server under another name is another address.
func TestTokenEndpointUnderAnotherHost(t *testing.T) {
	as := authtest.New(t, authtest.WithHosts("as2.example.test"))
	key := newKey(t, "ES256")
	for htu, status := range map[string]int{"https://as2.example.test/token": 200, "https://as.example.test/token": 400} {
		form := strings.NewReader("grant_type=client_credentials&client_id=shop")
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://as2.example.test/token", form)
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("DPoP", key.Proof("POST", htu, ""))
		resp, err := as.Client().Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, status, resp.StatusCode, htu)
	}
}

func TestWithDPoPNonce(t *testing.T) {
	as := authtest.New(t, authtest.WithDPoPNonce("n-1"))
	key := newKey(t, "ES256")
	for _, test := range []struct {
		name   string
		change map[string]any
		err    string
		nonce  []string // of the answer
	}{
		{name: "it", change: map[string]any{"nonce": "n-1"}},
		{name: "none", err: "use_dpop_nonce", nonce: []string{"n-1"}},
		{name: "another", change: map[string]any{"nonce": "n-0"}, err: "use_dpop_nonce", nonce: []string{"n-1"}},
		{name: "of another type", change: map[string]any{"nonce": 1}, err: "invalid_dpop_proof"},
		{name: "none, and another method", change: map[string]any{"htm": "GET"}, err: "invalid_dpop_proof"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := key.Claims("POST", as.URL("/token"), "")
			maps.Copy(c, test.change)
			resp, members := askToken(t, as, key.Sign(nil, c))
			require.Equal(t, test.nonce, resp.Header.Values("DPoP-Nonce"))
			if test.err == "" {
				require.Equal(t, http.StatusOK, resp.StatusCode)
				require.Equal(t, "DPoP", members["token_type"])
				return
			}
			require.Equal(t, http.StatusBadRequest, resp.StatusCode)
			require.Equal(t, map[string]any{"error": test.err}, members)
		})
	}
	_, members := askToken(t, as)
	require.Equal(t, "Bearer", members["token_type"], "without a proof nothing is demanded")

	for _, nonce := range []string{"a b", "a\"", `a\`, "ä", "a\r\nX: y"} {
		_, err := authtest.Start(authtest.WithInMemory(), authtest.WithDPoPNonce(nonce))
		require.ErrorContains(t, err, "WithDPoPNonce", nonce)
	}
}
