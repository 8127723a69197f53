package interop_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// client is a client of the authorization server, with what only it knows.
// Everything secret is made for one run of the tests.
type client struct {
	id, secret string
	key        crypto.Signer
	method     string         // token_endpoint_auth_method
	more       map[string]any // further metadata (RFC 7591 §2)
	api        bool           // a resource server, which gets no tokens
	exchange   map[string]any // which tokens it may exchange (RFC 8693), as as/server.mjs wants it; nil: none
}

// Clients that get tokens.
var (
	app = &client{id: "orders-app", secret: rand.Text(), method: "client_secret_basic"}
	// Their tokens are bound to a DPoP key, and to a client certificate.
	appDPoP = &client{id: "orders-app-dpop", secret: rand.Text(), method: "client_secret_basic",
		more: map[string]any{"dpop_bound_access_tokens": true}}
	// Of this one, the server demands nonces in its proofs.
	appNonce = &client{id: "orders-app-dpop-nonce", secret: rand.Text(), method: "client_secret_basic", more: appDPoP.more}
	appBound = &client{id: "orders-app-mtls", secret: rand.Text(), method: "client_secret_basic",
		more: map[string]any{"tls_client_certificate_bound_access_tokens": true}}
)

// Resource servers, one for each way to authenticate.
var (
	// With all that form encoding changes, or must (RFC 6749 §2.3.1).
	apiBasic = &client{id: "orders:api/50% +x", secret: "a+b &c=d%2F:e" + rand.Text(), method: "client_secret_basic", api: true}
	apiPost  = &client{id: "orders-api-post", secret: "a+b &c=d%2F:e" + rand.Text(), method: "client_secret_post", api: true}

	apiES256 = keyClient("ES256", generate(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)))
	apiPS256 = keyClient("PS256", generate(rsa.GenerateKey(rand.Reader, 2048)))
	apiEdDSA = keyClient("EdDSA", ed25519.NewKeyFromSeed([]byte(rand.Text() + rand.Text())[:ed25519.SeedSize]))

	apiCertificate = &client{id: "orders-api-tls", method: "tls_client_auth", api: true,
		more: map[string]any{"tls_client_auth_san_dns": certificateName}}
	apiSelfSigned = &client{id: "orders-api-self", method: "self_signed_tls_client_auth", api: true,
		more: map[string]any{"jwks": keySet(authority.selfSigned.PrivateKey.(crypto.Signer), map[string]any{
			"x5c": []string{base64.StdEncoding.EncodeToString(authority.selfSigned.Certificate[0])}})}}
)

// apiSigned are resource servers that get signed answers, by algorithm (RFC 9701).
var apiSigned = map[string]*client{}

func init() {
	for _, alg := range []string{"RS256", "PS256", "ES256", "EdDSA"} {
		apiSigned[alg] = &client{id: "orders-api-" + strings.ToLower(alg), secret: rand.Text(), method: "client_secret_basic", api: true,
			more: map[string]any{"introspection_signed_response_alg": alg}}
	}
}

func generate[K crypto.Signer](key K, err error) K {
	if err != nil {
		panic(err)
	}
	return key
}

const keyID = "orders-api-key"

func keyClient(alg string, key crypto.Signer) *client {
	return &client{id: "orders-api-" + strings.ToLower(alg) + "-key", key: key, method: "private_key_jwt", api: true,
		more: map[string]any{"token_endpoint_auth_signing_alg": alg, "jwks": keySet(key, map[string]any{"kid": keyID, "alg": alg})}}
}

// registration is the metadata of all clients, and of those that one server has besides.
func registration(more ...*client) []map[string]any {
	clients := []*client{app, appDPoP, appNonce, appBound, apiBasic, apiPost, apiES256, apiPS256, apiEdDSA, apiCertificate, apiSelfSigned}
	for _, c := range apiSigned {
		clients = append(clients, c)
	}
	var all []map[string]any
	for _, c := range append(clients, more...) {
		m := map[string]any{"client_id": c.id, "token_endpoint_auth_method": c.method,
			"grant_types": []string{}, "response_types": []string{}, "redirect_uris": []string{}}
		if c.secret != "" {
			m["client_secret"] = c.secret
		}
		if !c.api {
			m["grant_types"], m["scope"] = []string{"client_credentials"}, "read write admin"
		}
		maps.Copy(m, c.more)
		all = append(all, m)
	}
	return all
}

// request is a form of a client that authenticates by client_secret_basic.
func (c *client) request(ctx context.Context, to string, form url.Values) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(url.QueryEscape(c.id), url.QueryEscape(c.secret))
	return req, nil
}

var b64 = base64.RawURLEncoding.EncodeToString

// publicJWK is the JWK of a public key (RFC 7518 §6, RFC 8037), with members of the caller's.
func publicJWK(key crypto.Signer, more map[string]any) map[string]any {
	jwk := map[string]any{}
	switch pub := key.Public().(type) {
	case *ecdsa.PublicKey: // all are P-256 here
		point, err := pub.Bytes()
		if err != nil {
			panic(err)
		}
		jwk["kty"], jwk["crv"], jwk["x"], jwk["y"] = "EC", "P-256", b64(point[1:33]), b64(point[33:])
	case *rsa.PublicKey:
		jwk["kty"], jwk["n"], jwk["e"] = "RSA", b64(pub.N.Bytes()), b64(big.NewInt(int64(pub.E)).Bytes())
	case ed25519.PublicKey:
		jwk["kty"], jwk["crv"], jwk["x"] = "OKP", "Ed25519", b64(pub)
	}
	maps.Copy(jwk, more)
	return jwk
}

func keySet(key crypto.Signer, more map[string]any) map[string]any {
	return map[string]any{"keys": []any{publicJWK(key, more)}}
}

// prover holds the key of a DPoP client (RFC 9449).
type prover struct{ key *ecdsa.PrivateKey }

func newProver() *prover { return &prover{generate(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))} }

func (p *prover) prove(method, uri string) (string, error) {
	header, err := json.Marshal(map[string]any{"typ": "dpop+jwt", "alg": "ES256", "jwk": publicJWK(p.key, nil)})
	if err != nil {
		return "", err
	}
	claims, err := json.Marshal(map[string]any{"htm": method, "htu": uri, "jti": rand.Text(), "iat": time.Now().Unix()})
	if err != nil {
		return "", err
	}
	signed := b64(header) + "." + b64(claims)
	digest := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, p.key, digest[:])
	if err != nil {
		return "", err
	}
	return signed + "." + b64(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)), nil
}

// authority is a certification authority and what it has issued.
var authority = newAuthority()

const certificateName = "orders-api.example" // of the client certificate

type ca struct {
	server     map[string]string // for the https listener, in PEM
	roots      *x509.CertPool
	trusted    tls.Certificate // a client certificate
	other      tls.Certificate // one of somebody else
	selfSigned tls.Certificate
}

func newAuthority() *ca {
	root := issue(&x509.Certificate{Subject: pkix.Name{CommonName: "interop"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign}, nil)
	clientUse := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	listener := issue(&x509.Certificate{DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, &root)
	a := &ca{
		roots:      x509.NewCertPool(),
		trusted:    issue(&x509.Certificate{DNSNames: []string{certificateName}, ExtKeyUsage: clientUse}, &root),
		other:      issue(&x509.Certificate{DNSNames: []string{"other.example"}, ExtKeyUsage: clientUse}, &root),
		selfSigned: issue(&x509.Certificate{Subject: pkix.Name{CommonName: "self"}, ExtKeyUsage: clientUse}, nil),
	}
	a.roots.AddCert(root.Leaf)
	key, err := x509.MarshalPKCS8PrivateKey(listener.PrivateKey)
	if err != nil {
		panic(err)
	}
	armor := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	a.server = map[string]string{"key": armor("PRIVATE KEY", key), "cert": armor("CERTIFICATE", listener.Certificate[0]),
		"ca": armor("CERTIFICATE", root.Certificate[0])}
	return a
}

// issue signs a certificate; without an issuer it is self-signed.
func issue(template *x509.Certificate, issuer *tls.Certificate) tls.Certificate {
	key := generate(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template.SerialNumber = new(big.Int).SetBytes([]byte(rand.Text())[:16])
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	parent, signer := template, crypto.Signer(key)
	if issuer != nil {
		parent, signer = issuer.Leaf, issuer.PrivateKey.(crypto.Signer)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// client trusts the authority, and presents the certificate if there is one.
func (a *ca) client(certificate ...tls.Certificate) *http.Client {
	config := &tls.Config{RootCAs: a.roots}
	if len(certificate) > 0 {
		config.GetClientCertificate = always(certificate[0])
	}
	return &http.Client{Timeout: plain.Timeout, Transport: &http.Transport{TLSClientConfig: config, IdleConnTimeout: 5 * time.Second}}
}

// always presents a certificate whatever authorities the server names: with
// tls.Config.Certificates alone, a self-signed one would be held back.
func always(certificate tls.Certificate) func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	return func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &certificate, nil }
}
