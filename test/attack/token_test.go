package attack_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/fips140"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/bearergate/bearergate/internal/jose"
)

// object is a JSON object in the making: names and values as JSON text, in
// order, so that a row can say exactly what stands there.
type object [][2]string

func (o object) set(name, value string) object {
	o = slices.Clone(o)
	for i := range o {
		if o[i][0] == strconv.Quote(name) {
			o[i][1] = value
			return o
		}
	}
	return append(o, [2]string{strconv.Quote(name), value})
}

func (o object) del(name string) object {
	return slices.DeleteFunc(slices.Clone(o), func(m [2]string) bool { return m[0] == strconv.Quote(name) })
}

// add appends a member whatever is there already; name is JSON text.
func (o object) add(name, value string) object {
	return append(slices.Clone(o), [2]string{name, value})
}

func (o object) String() string {
	members := make([]string, len(o))
	for i, m := range o {
		members[i] = m[0] + ":" + m[1]
	}
	return "{" + strings.Join(members, ",") + "}"
}

// jwt is a token in the making. Every method returns a changed copy.
type jwt struct {
	head, body         object
	headText, bodyText *string // instead
	key                key
	sign               func(input []byte) []byte // instead of key
	before             func(h, p string) (string, string)
	after              func(h, p, s string) string
	wanted             func(sig []byte) bool // signed again, under another jti, until this is true
	literal            string                // instead of everything
}

var serial atomic.Int64 // makes every token another one

// valid is the token of which every row is a mutation.
func valid() jwt {
	return jwt{
		head: object{{`"alg"`, `"RS256"`}, {`"typ"`, `"at+jwt"`}, {`"kid"`, `"r1"`}},
		body: object{
			{`"iss"`, strconv.Quote(issuer)}, {`"sub"`, `"user-1"`}, {`"aud"`, strconv.Quote(audience)},
			{`"client_id"`, `"client-1"`}, {`"iat"`, at(-10)}, {`"exp"`, at(3600)},
			{`"jti"`, fmt.Sprintf(`"id-%d"`, serial.Add(1))}, {`"scope"`, `"read"`},
		},
		key: r1(),
	}
}

// from is a valid token of the key k, named in its header.
func from(k key) jwt {
	j := valid().hdr("alg", strconv.Quote(k.alg)).hdr("kid", strconv.Quote(k.kid))
	j.key = k
	return j
}

func (j jwt) clm(name, value string) jwt { j.body = j.body.set(name, value); return j }
func (j jwt) noClm(name string) jwt      { j.body = j.body.del(name); return j }
func (j jwt) addClm(name, v string) jwt  { j.body = j.body.add(name, v); return j }
func (j jwt) payload(text string) jwt    { j.bodyText = &text; return j }
func (j jwt) hdr(name, value string) jwt { j.head = j.head.set(name, value); return j }
func (j jwt) noHdr(name string) jwt      { j.head = j.head.del(name); return j }
func (j jwt) addHdr(name, v string) jwt  { j.head = j.head.add(name, v); return j }
func (j jwt) header(text string) jwt     { j.headText = &text; return j }

// signedBy changes who signs, and not what the header says.
func (j jwt) signedBy(k key) jwt                               { j.key = k; return j }
func (j jwt) signed(f func(input []byte) []byte) jwt           { j.sign = f; return j }
func (j jwt) encoded(f func(h, p string) (string, string)) jwt { j.before = f; return j }
func (j jwt) until(f func(sig []byte) bool) jwt                { j.wanted = f; return j }
func (j jwt) then(f func(h, p, s string) string) jwt           { j.after = f; return j }

// mangled changes the octets of the signature.
func (j jwt) mangled(f func(sig []byte) []byte) jwt {
	sign, k := j.sign, j.key
	return j.signed(func(input []byte) []byte {
		if sign != nil {
			return f(sign(input))
		}
		return f(k.sign(input))
	})
}

// texts returns the texts of header and payload.
func (j jwt) texts() (head, body string) {
	head, body = j.head.String(), j.body.String()
	if j.headText != nil {
		head = *j.headText
	}
	if j.bodyText != nil {
		body = *j.bodyText
	}
	return head, body
}

func (j jwt) token() string {
	if j.literal != "" || j.head == nil {
		return j.literal
	}
	head, body := j.texts()
	h, p := b64(head), b64(body)
	if j.before != nil {
		h, p = j.before(h, p)
	}
	sign := j.sign
	if sign == nil {
		sign = j.key.sign
	}
	var sig []byte
	fips140.WithoutEnforcement(func() { sig = sign([]byte(h + "." + p)) }) // an attacker's keys may be weak
	if j.wanted != nil && !j.wanted(sig) {
		return j.clm("jti", fmt.Sprintf(`"id-%d"`, serial.Add(1))).token()
	}
	s := b64(string(sig))
	if j.after != nil {
		return j.after(h, p, s)
	}
	return h + "." + p + "." + s
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func unb64(s string) []byte {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// key is a signing key, named as in the key set.
type key struct {
	kid, alg string
	priv     crypto.Signer
}

func (k key) is(other key) bool {
	return k.priv.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(other.priv.Public())
}

func (k key) as(kid, alg string) key { return key{kid, alg, k.priv} }

// sign signs any bytes with the standard library, independently of internal/jose.
func (k key) sign(input []byte) []byte {
	switch k.alg {
	case "RS256":
		return must(k.priv.Sign(rand.Reader, digest(crypto.SHA256, input), crypto.SHA256))
	case "RS512":
		return must(k.priv.Sign(rand.Reader, digest(crypto.SHA512, input), crypto.SHA512))
	case "PS256":
		return must(k.priv.Sign(rand.Reader, digest(crypto.SHA256, input), &rsa.PSSOptions{SaltLength: 32, Hash: crypto.SHA256}))
	case "PS512":
		return must(k.priv.Sign(rand.Reader, digest(crypto.SHA512, input), &rsa.PSSOptions{SaltLength: 64, Hash: crypto.SHA512}))
	case "ES256":
		return k.ecdsa(digest(crypto.SHA256, input))
	case "ES384":
		return k.ecdsa(digest(crypto.SHA384, input))
	case "ES512":
		return k.ecdsa(digest(crypto.SHA512, input))
	case "EdDSA", "Ed25519":
		return must(k.priv.Sign(rand.Reader, input, crypto.Hash(0)))
	}
	panic("attack: nobody signs with " + k.alg)
}

func (k key) ecdsa(sum []byte) []byte {
	priv := k.priv.(*ecdsa.PrivateKey)
	r, s, err := ecdsa.Sign(rand.Reader, priv, sum)
	if err != nil {
		panic(err)
	}
	return pair(r, s, (priv.Params().BitSize+7)/8)
}

// pair is the signature of RFC 7518 §3.4.
func pair(r, s *big.Int, size int) []byte {
	return append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
}

func digest(hash crypto.Hash, data []byte) []byte {
	h := hash.New()
	h.Write(data)
	return h.Sum(nil)
}

func mac(secret []byte) func([]byte) []byte {
	return func(input []byte) []byte {
		m := hmac.New(sha256.New, secret)
		m.Write(input)
		return m.Sum(nil)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func newKey(kid, alg string) func() key {
	return sync.OnceValue(func() key { return key{kid, alg, must(jose.GenerateKey(alg))} })
}

// The keys of the issuer, and those of somebody else.
var (
	r1  = newKey("r1", "RS256")
	p1  = newKey("p1", "PS256")
	e1  = newKey("e1", "ES256")
	ed1 = newKey("ed1", "EdDSA")

	evilRSA = newKey("r1", "RS256")
	evilEC  = newKey("e1", "ES256")
	evilEd  = newKey("ed1", "EdDSA")
	e384    = newKey("e384", "ES384")
	e521    = newKey("e521", "ES512")
)

func (k key) rsa() *rsa.PrivateKey { return k.priv.(*rsa.PrivateKey) }

// jwk is the public key as the issuer publishes it.
func (k key) jwk() object {
	o := object{{`"kid"`, strconv.Quote(k.kid)}, {`"alg"`, strconv.Quote(k.alg)}, {`"use"`, `"sig"`}}
	number := func(b []byte) string { return strconv.Quote(b64(string(b))) }
	switch pub := k.priv.Public().(type) {
	case *rsa.PublicKey:
		return append(o, object{{`"kty"`, `"RSA"`}, {`"n"`, number(pub.N.Bytes())}, {`"e"`, number(big.NewInt(int64(pub.E)).Bytes())}}...)
	case *ecdsa.PublicKey:
		point := must(pub.Bytes())[1:]
		return append(o, object{{`"kty"`, `"EC"`}, {`"crv"`, strconv.Quote(pub.Params().Name)},
			{`"x"`, number(point[:len(point)/2])}, {`"y"`, number(point[len(point)/2:])}}...)
	case ed25519.PublicKey:
		return append(o, object{{`"kty"`, `"OKP"`}, {`"crv"`, `"Ed25519"`}, {`"x"`, number(pub)}}...)
	}
	panic("attack: no JWK for this key")
}

func (k key) point() (x, y *big.Int) {
	point := must(k.priv.Public().(*ecdsa.PublicKey).Bytes())[1:]
	return new(big.Int).SetBytes(point[:len(point)/2]), new(big.Int).SetBytes(point[len(point)/2:])
}

func keySet(elements ...fmt.Stringer) string {
	texts := make([]string, len(elements))
	for i, e := range elements {
		texts[i] = e.String()
	}
	return `{"keys":[` + strings.Join(texts, ",") + `]}`
}

// raw is JSON text where an object is wanted.
type raw string

func (r raw) String() string { return string(r) }

var defaultSet = sync.OnceValue(func() string {
	var all sync.WaitGroup
	for _, f := range []func() key{r1, p1, evilRSA} {
		all.Go(func() { f() }) // RSA keys take their time
	}
	all.Wait()
	return keySet(r1().jwk(), p1().jwk(), e1().jwk(), ed1().jwk())
})

var p256n = elliptic.P256().Params().N

// serverOf is the issuer, reached without a network. Nothing else is reached.
type serverOf struct {
	t        *testing.T
	metadata string

	mu    sync.Mutex // guards the rest
	set   string
	asked map[string]int
}

func newServerOf(t *testing.T, metadata, set string) *serverOf {
	if metadata == "" {
		metadata = metadataOf(issuer, issuer+"jwks")
	}
	return &serverOf{t: t, metadata: metadata, set: set, asked: map[string]int{}}
}

func metadataOf(issuer, uri string) string {
	return fmt.Sprintf(`{"issuer":%q,"jwks_uri":%q}`, issuer, uri)
}

func (s *serverOf) serve(set string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set = set
}

func (s *serverOf) client() *http.Client { return &http.Client{Transport: s} }

func (s *serverOf) RoundTrip(req *http.Request) (*http.Response, error) {
	s.mu.Lock()
	s.asked[req.URL.String()]++
	set := s.set
	s.mu.Unlock()
	answer := func(status int, contentType, body string) (*http.Response, error) {
		return &http.Response{StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: req,
			Header: http.Header{"Content-Type": {contentType}}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}, nil
	}
	switch req.URL.String() {
	case issuer + ".well-known/oauth-authorization-server":
		return answer(200, "application/json", s.metadata)
	case issuer + ".well-known/openid-configuration":
		return answer(404, "text/html", "")
	case issuer + "jwks":
		return answer(200, "application/jwk-set+json", set)
	}
	s.t.Errorf("a request went to %s", req.URL)
	return nil, io.ErrUnexpectedEOF
}

// requests returns how often the issuer was asked, by URL.
func (s *serverOf) requests() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, times := range s.asked {
		n += times
	}
	return n
}
