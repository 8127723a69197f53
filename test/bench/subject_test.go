package bench

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/auth0/go-jwt-middleware/v2/validator"
	validator3 "github.com/auth0/go-jwt-middleware/v3/validator"
	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
	"github.com/coreos/go-oidc/v3/oidc"
	golangjwt "github.com/golang-jwt/jwt/v5"
	capjwt "github.com/hashicorp/cap/jwt"
	jwk2 "github.com/lestrrat-go/jwx/v2/jwk"
	jwt2 "github.com/lestrrat-go/jwx/v2/jwt"
	jwk3 "github.com/lestrrat-go/jwx/v3/jwk"
	jwt3 "github.com/lestrrat-go/jwx/v3/jwt"
	"github.com/stretchr/testify/require"
	josev2 "gopkg.in/go-jose/go-jose.v2"
)

const (
	issuer   = "https://as.example.com/"
	audience = "https://api.example.com/"
	keyID    = "key-2026-01"
)

var algorithms = []string{"RS256", "ES256", "EdDSA"}

// world is an issuer with one key, and its token.
type world struct {
	alg   string
	key   crypto.Signer
	jwks  []byte
	token string
}

func newWorld(tb testing.TB, alg string) *world {
	key, err := jose.GenerateKey(alg)
	require.NoError(tb, err)
	w := &world{alg: alg, key: key}
	w.jwks = keySet(tb, w.jwk(keyID, alg, key.Public()))
	w.token = w.sign(tb, nil, nil)
	return w
}

func keySet(tb testing.TB, keys ...map[string]any) []byte {
	set, err := json.Marshal(map[string]any{"keys": keys})
	require.NoError(tb, err)
	return set
}

func (*world) jwk(kid, alg string, public crypto.PublicKey) map[string]any {
	b64 := base64.RawURLEncoding.EncodeToString
	m := map[string]any{"kid": kid, "alg": alg, "use": "sig"}
	switch pub := public.(type) {
	case *rsa.PublicKey:
		m["kty"], m["n"], m["e"] = "RSA", b64(pub.N.Bytes()), b64(big.NewInt(int64(pub.E)).Bytes())
	case *ecdsa.PublicKey:
		point, _ := pub.Bytes()
		m["kty"], m["crv"], m["x"], m["y"] = "EC", "P-256", b64(point[1:33]), b64(point[33:])
	case ed25519.PublicKey:
		m["kty"], m["crv"], m["x"] = "OKP", "Ed25519", b64(pub)
	}
	return m
}

// sign signs a valid access token, with what is given in place of its own
// members; nil takes one away.
func (w *world) sign(tb testing.TB, header, claims map[string]any) string {
	h := map[string]any{"alg": w.alg, "typ": "at+jwt", "kid": keyID}
	now := time.Now()
	c := map[string]any{
		"iss": issuer, "aud": []string{audience}, "sub": "248289761001", "client_id": "s6BhdRkqt3",
		"jti": "dbe39bf3a3ba4238a513f51d6e1691c4", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"scope": "openid profile orders:read orders:write",
	}
	maps.Copy(h, header)
	maps.Copy(c, claims)
	for _, m := range []map[string]any{h, c} {
		maps.DeleteFunc(m, func(_ string, v any) bool { return v == nil })
	}
	hj, err := json.Marshal(h)
	require.NoError(tb, err)
	cj, err := json.Marshal(c)
	require.NoError(tb, err)
	return w.signRaw(tb, hj, cj)
}

func (w *world) signRaw(tb testing.TB, header, claims []byte) string {
	token, err := jose.Sign(w.alg, w.key, header, claims)
	require.NoError(tb, err)
	return token
}

// subject is one way to verify a token.
type subject struct {
	name   string
	verify func(ctx context.Context, token string) error
}

func (w *world) keys(tb testing.TB) *jwks.Set {
	set, err := jwks.Static(w.jwks)
	require.NoError(tb, err)
	return set
}

func (w *world) verifier(tb testing.TB, disableCache bool) *jwtverify.Verifier {
	v, err := jwtverify.New(jwtverify.Config{Issuer: issuer, Audiences: []string{audience}, Keys: w.keys(tb), DisableCache: disableCache})
	require.NoError(tb, err)
	return v
}

func verifying(v bearergate.Verifier) func(context.Context, string) error {
	return func(ctx context.Context, token string) error {
		_, err := v.Verify(ctx, token)
		return err
	}
}

// raw is the bare signature check of the standard library, over bytes that were
// taken apart before.
func (w *world) raw(tb testing.TB) func() bool {
	dot := strings.LastIndexByte(w.token, '.')
	signed := []byte(w.token[:dot])
	sig, err := base64.RawURLEncoding.DecodeString(w.token[dot+1:])
	require.NoError(tb, err)
	switch pub := w.key.Public().(type) {
	case *rsa.PublicKey:
		return func() bool {
			digest := sha256.Sum256(signed)
			return rsa.VerifyPKCS1v15(pub, crypto.SHA256, digest[:], sig) == nil
		}
	case *ecdsa.PublicKey:
		return func() bool {
			digest := sha256.Sum256(signed)
			return ecdsa.Verify(pub, digest[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:]))
		}
	case ed25519.PublicKey:
		return func() bool { return ed25519.Verify(pub, signed, sig) }
	}
	tb.Fatal("no such key")
	return nil
}

// The names of our own subjects.
const (
	byRaw        = "raw-signature"
	bySHA        = "sha256-of-the-token"
	byCold       = "bearergate-new-token"
	byWarm       = "bearergate-seen-before"
	byBare       = "handler-bare"
	byMiddleware = "handler-behind-middleware"
	byIntrospect = "bearergate-introspected-before"
)

// ours are the ways of this library, and what to compare them with.
func (w *world) ours(tb testing.TB) []subject {
	raw, text := w.raw(tb), []byte(w.token)
	warm := w.verifier(tb, false)
	gate, err := middleware.New(warm, middleware.Config{})
	require.NoError(tb, err)
	nothing := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	return []subject{
		{byRaw, func(context.Context, string) error {
			if !raw() {
				return errors.New("refused")
			}
			return nil
		}},
		{bySHA, func(context.Context, string) error {
			if sha256.Sum256(text) == [32]byte{} {
				return errors.New("no hash")
			}
			return nil
		}},
		{byCold, verifying(w.verifier(tb, true))},
		{byWarm, verifying(warm)},
		{byBare, w.serve(nothing)},
		{byMiddleware, w.serve(gate.Require(scope.All("orders:read"))(nothing))},
		{byIntrospect, verifying(w.introspection(tb, 0))},
	}
}

type discard struct{ h http.Header }

func (d discard) Header() http.Header         { return d.h }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(status int) {
	if status >= 400 {
		panic(fmt.Sprint("answered ", status))
	}
}

func (w *world) serve(h http.Handler) func(context.Context, string) error {
	rw, r := discard{http.Header{}}, httptest.NewRequest("GET", "/orders", nil)
	r.Header.Set("Authorization", "Bearer "+w.token)
	return func(context.Context, string) error {
		h.ServeHTTP(rw, r)
		return nil
	}
}

// roundTrip answers without a network.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answering(body []byte) *http.Client {
	return &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Request: r, ContentLength: int64(len(body)), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
			Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(string(body)))}, nil
	})}
}

// introspection has room for entries answers; 0: for the default.
func (w *world) introspection(tb testing.TB, entries int) *introspect.Client {
	answer, err := json.Marshal(map[string]any{"active": true, "iss": issuer, "aud": audience, "sub": "248289761001",
		"client_id": "s6BhdRkqt3", "scope": "orders:read orders:write", "exp": time.Now().Add(time.Hour).Unix()})
	require.NoError(tb, err)
	c, err := introspect.New(introspect.Config{Issuer: issuer, Endpoint: "https://as.example.com/introspect", Audiences: []string{audience},
		Cache: introspect.CacheConfig{Entries: entries}, Auth: introspect.BasicAuth("api", "secret"), HTTPClient: answering(answer), Accept: func(string) bool { return true }})
	require.NoError(tb, err)
	return c
}

// accessClaims is what a service would read: the registered claims and the scope.
type accessClaims struct {
	golangjwt.RegisteredClaims
	ClientID string `json:"client_id"`
	Scope    string `json:"scope"`
}

// peers are the other libraries, each as its documentation has it, with iss, aud
// and exp checked, one algorithm allowed, and the keys in memory.
func (w *world) peers(tb testing.TB) []subject {
	public := w.key.Public()

	// golang-jwt/v5: its keyfunc looks the parsed key up by its kid.
	byKeyID := map[string]crypto.PublicKey{keyID: public}
	parser := golangjwt.NewParser(golangjwt.WithValidMethods([]string{w.alg}), golangjwt.WithIssuer(issuer),
		golangjwt.WithAudience(audience), golangjwt.WithExpirationRequired(), golangjwt.WithIssuedAt())
	keyfunc := func(t *golangjwt.Token) (any, error) {
		kid, _ := t.Header["kid"].(string)
		if key, ok := byKeyID[kid]; ok {
			return key, nil
		}
		return nil, errors.New("no such key")
	}

	// go-oidc: its remote key set, which has fetched the keys from memory.
	remote := oidc.NewRemoteKeySet(oidc.ClientContext(context.Background(), answering(w.jwks)), "https://as.example.com/jwks")
	idTokens := oidc.NewVerifier(issuer, remote, &oidc.Config{ClientID: audience, SupportedSigningAlgs: []string{w.alg}})

	set2, err := jwk2.Parse(w.jwks)
	require.NoError(tb, err)
	set3, err := jwk3.Parse(w.jwks)
	require.NoError(tb, err)

	// auth0: parsed keys, as its caching provider returns them.
	set := new(josev2.JSONWebKeySet)
	require.NoError(tb, json.Unmarshal(w.jwks, set))
	auth0, err := validator.New(func(context.Context) (any, error) { return set, nil },
		validator.SignatureAlgorithm(w.alg), issuer, []string{audience})
	require.NoError(tb, err)

	auth03, err := validator3.New(validator3.WithKeyFunc(func(context.Context) (any, error) { return set3, nil }),
		validator3.WithAlgorithm(validator3.SignatureAlgorithm(w.alg)), validator3.WithIssuer(issuer), validator3.WithAudience(audience))
	require.NoError(tb, err)

	// cap: its key sets over HTTP take no client, so the static one.
	static, err := capjwt.NewStaticKeySet([]crypto.PublicKey{public})
	require.NoError(tb, err)
	hashicorp, err := capjwt.NewValidator(static)
	require.NoError(tb, err)
	expected := capjwt.Expected{Issuer: issuer, Audiences: []string{audience}, SigningAlgorithms: []capjwt.Alg{capjwt.Alg(w.alg)}}

	return []subject{
		{"golang-jwt/v5", func(_ context.Context, token string) error {
			_, err := parser.ParseWithClaims(token, new(accessClaims), keyfunc)
			return err
		}},
		{"coreos/go-oidc/v3", func(ctx context.Context, token string) error {
			_, err := idTokens.Verify(ctx, token)
			return err
		}},
		{"lestrrat-go/jwx/v2", func(_ context.Context, token string) error {
			_, err := jwt2.Parse([]byte(token), jwt2.WithKeySet(set2), jwt2.WithIssuer(issuer), jwt2.WithAudience(audience), jwt2.WithRequiredClaim("exp"))
			return err
		}},
		{"lestrrat-go/jwx/v3", func(_ context.Context, token string) error {
			_, err := jwt3.Parse([]byte(token), jwt3.WithKeySet(set3), jwt3.WithIssuer(issuer), jwt3.WithAudience(audience), jwt3.WithRequiredClaim("exp"))
			return err
		}},
		{"auth0/go-jwt-middleware/v2", func(ctx context.Context, token string) error {
			_, err := auth0.ValidateToken(ctx, token)
			return err
		}},
		{"auth0/go-jwt-middleware/v3", func(ctx context.Context, token string) error {
			_, err := auth03.ValidateToken(ctx, token)
			return err
		}},
		{"hashicorp/cap", func(ctx context.Context, token string) error {
			_, err := hashicorp.Validate(ctx, token, expected)
			return err
		}},
	}
}
