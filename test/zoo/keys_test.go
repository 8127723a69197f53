package zoo_test

import (
	"crypto"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate/internal/jose"
)

// published is the key set of a provider.
type published struct {
	alg    string // of its tokens
	header m      // of its tokens, beside alg and kid
	jwks   []m    // what its JWKs say beside the key. The first has signed a token, unless the token says another
}

// key is a key pair. RSA keys take long to make, and providers share them.
func key(alg string, i int) crypto.Signer {
	made.Lock()
	defer made.Unlock()
	for len(made.of[alg]) <= i {
		k, err := jose.GenerateKey(alg)
		if err != nil {
			panic(err)
		}
		made.of[alg] = append(made.of[alg], k)
	}
	return made.of[alg][i]
}

// made are the keys so far.
var made = struct {
	sync.Mutex // guards of

	of map[string][]crypto.Signer
}{of: map[string][]crypto.Signer{}}

// stranger is a key that no provider publishes.
const stranger = 3

// kid is the name of the first key.
func (p *provider) kid() string { return p.jwks[0]["kid"].(string) }

// place is that of a key among those of the provider, by its kid.
func (p *provider) place(kid string) int {
	return slices.IndexFunc(p.jwks, func(jwk m) bool { return jwk["kid"] == kid })
}

// set is the key set as the provider shows it.
func (p *provider) set() string {
	all := []m{}
	for i, more := range p.jwks {
		text, err := jose.PublicJWK("", key(p.alg, i).Public(), "")
		if err != nil {
			panic(err)
		}
		jwk := m{}
		if err := json.Unmarshal(text, &jwk); err != nil {
			panic(err)
		}
		all = append(all, changed(jwk, more))
	}
	text, err := json.Marshal(m{"keys": all})
	if err != nil {
		panic(err)
	}
	return string(text)
}

// token is what a row says, signed.
func (p *provider) token(t testing.TB, r *row) string {
	t.Helper()
	payload, err := json.Marshal(r.claimsOf(t))
	require.NoError(t, err)
	is := fmt.Sprint(p.alg, p.jwks, p.header, r.header, r.key, r.forged, r.parts, string(payload))
	if raw, signed := tokens.Load(is); signed {
		return raw.(string)
	}
	raw := p.signed(t, r, payload)
	tokens.Store(is, raw)
	return raw
}

// tokens are those of the rows so far, by all that they are made of. RSA signatures take
// long to make, and several tests read the same rows.
var tokens sync.Map

func (p *provider) signed(t testing.TB, r *row, payload []byte) string {
	t.Helper()
	kid, place := p.kid(), 0
	if r.key != "" {
		kid, place = r.key, p.place(r.key)
		require.NotEqual(t, -1, place, "%s publishes no key %s", p.name, kid)
	}
	if r.forged {
		place = stranger
	}
	header := changed(changed(m{"alg": p.alg, "kid": kid}, p.header), r.header)
	head, err := json.Marshal(header)
	require.NoError(t, err)
	var raw string
	switch alg := header["alg"].(string); alg {
	case "HS256", "HS512", "none":
		raw = p.symmetric(t, alg, head, payload)
	default:
		raw, err = jose.Sign(alg, key(alg, place), head, payload)
		require.NoError(t, err)
	}
	return raw + strings.Repeat(".AAAA", r.parts)
}

// symmetric signs with the public key as a secret, as somebody does who hopes that it is
// taken for one; with none, it does not sign.
func (p *provider) symmetric(t testing.TB, alg string, head, payload []byte) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key(p.alg, 0).Public())
	require.NoError(t, err)
	secret := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	raw := base64.RawURLEncoding.EncodeToString(head) + "." + base64.RawURLEncoding.EncodeToString(payload)
	mac := hmac.New(sha256.New, secret)
	switch alg {
	case "none":
		return raw + "."
	case "HS512":
		mac = hmac.New(sha512.New, secret)
	}
	mac.Write([]byte(raw))
	return raw + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// web is what a provider serves. With a test, whatever else is asked for fails it.
type web struct {
	t      testing.TB
	bodies map[string]string // by URL; "": 404

	mu   sync.Mutex // guards seen
	seen map[string]bool
}

func (p *provider) web(t testing.TB) *web {
	w := &web{t: t, bodies: map[string]string{p.keys: p.set()}, seen: map[string]bool{}}
	if p.metadata != "" {
		text, err := json.Marshal(m{"issuer": p.good().issuer(), "jwks_uri": p.keys})
		if err != nil {
			panic(err)
		}
		w.bodies[p.metadata] = string(text)
	}
	if p.absent != "" {
		w.bodies[p.absent] = ""
	}
	return w
}

// issuer is iss of a row.
func (r row) issuer() string {
	claims := m{}
	if err := json.Unmarshal([]byte(r.claims), &claims); err != nil {
		panic(err)
	}
	return claims["iss"].(string)
}

func (w *web) asked(url string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen[url]
}

func (w *web) RoundTrip(r *http.Request) (*http.Response, error) {
	url := r.URL.String()
	w.mu.Lock()
	w.seen[url] = true
	w.mu.Unlock()
	body, known := w.bodies[url]
	if !known && w.t != nil {
		w.t.Errorf("the provider has no %s %s", r.Method, url)
	}
	status := http.StatusOK
	if body == "" {
		status = http.StatusNotFound
	}
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: -1, Request: r}, nil
}
