package trouble_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/netip"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/binding/mtls"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/test/kit"
)

// proxies are where the proxy of these rows connects from.
var proxies = []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}

// forwarded is a configuration for TLS that ends at the proxy.
func forwarded(format mtls.Format) *mtls.Config {
	return &mtls.Config{Forwarded: []mtls.Forwarded{{Header: "Client-Cert", Format: format, Trusted: proxies}}}
}

// pki is what the client of these rows has.
type pki struct {
	own, renewed *x509.Certificate // for one key
}

func newPKI(t *testing.T) pki {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	issue := func(serial int64) *x509.Certificate {
		template := &x509.Certificate{SerialNumber: big.NewInt(serial)}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		require.NoError(t, err)
		c, err := x509.ParseCertificate(der)
		require.NoError(t, err)
		return c
	}
	return pki{own: issue(1), renewed: issue(2)}
}

// byCertificate has the token bound to the client's certificate, which a proxy at
// 10.1.2.3 passes on as RFC 9440 has it.
func byCertificate(y *try) {
	y.client = newPKI(y.t)
	y.jwt.Confirmations = []string{"x5t#S256"}
	y.certificates = forwarded(mtls.RFC9440)
	y.bound(sha256URL(y.client.own.Raw))
	y.peer = "10.1.2.3:40312"
	y.passedOn = []string{byteSequence(y.client.own)}
	y.request = func(r *http.Request) {
		r.RemoteAddr, r.TLS = y.peer, y.tls
		if y.passedOn != nil {
			r.Header["Client-Cert"] = y.passedOn
		}
	}
}

// bound has the token say that it is bound so.
func (y *try) bound(thumbprint string) { y.claims["cnf"] = map[string]string{"x5t#S256": thumbprint} }

// direct has TLS end at the API: the client has shown these certificates.
func direct(shown ...func(pki) *x509.Certificate) func(*try) {
	return func(y *try) {
		y.certificates, y.peer, y.passedOn = &mtls.Config{Direct: true}, "192.0.2.7:40312", nil
		y.tls = &tls.ConnectionState{}
		for _, of := range shown {
			y.tls.PeerCertificates = append(y.tls.PeerCertificates, of(y.client))
		}
	}
}

func own(c pki) *x509.Certificate     { return c.own }
func renewed(c pki) *x509.Certificate { return c.renewed }

// peerIs has somebody else be connected, or seem to be.
func peerIs(address string) func(*try) { return func(y *try) { y.peer = address } }

// writes has the proxy write this, in the format that the API expects.
func writes(format mtls.Format, values ...func(*x509.Certificate) string) func(*try) {
	return func(y *try) {
		y.certificates.Forwarded[0].Format = format
		y.passedOn = nil
		for _, value := range values {
			y.passedOn = append(y.passedOn, value(y.client.own))
		}
	}
}

func sha256URL(b []byte) string {
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func byteSequence(c *x509.Certificate) string {
	return ":" + base64.StdEncoding.EncodeToString(c.Raw) + ":"
}

func escapedPEM(c *x509.Certificate) string {
	return url.PathEscape(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})))
}

func envoy(c *x509.Certificate) string { return `Cert="` + escapedPEM(c) + `"` }

func certificates() area {
	const unauthorized, reason = http.StatusUnauthorized, bearergate.ReasonBinding
	const notTrusted, unknown = "The proxy is not in Trusted", "RemoteAddr has no port: a handler writes X-Forwarded-For into it"
	return area{
		title: "Client certificates",
		about: "The token is bound to a client certificate (`x5t#S256`, RFC 8705), and `binding/mtls` does not find that certificate. What to do stands in the line itself: Explain asks no Binding, for a proof counts once, and explains everything else as if the certificate were right. TLS ends at a proxy at 10.1.2.3, unless the title says otherwise. `Certificates.SelfTest` finds what no refusal shows: a proxy that lets a client's own header through.",
		base:  byCertificate,
		rows: []row{
			{
				title: notTrusted, status: unauthorized, reason: reason, byBinding: true,
				wrong:  peerIs("10.9.0.4:40312"),
				mended: "Trusted has the network of the proxy.", mend: func(y *try) {
					y.certificates.Forwarded[0].Trusted = []netip.Prefix{netip.MustParsePrefix("10.9.0.0/24")}
				},
			},
			{
				title: "The listener reads the PROXY protocol, and RemoteAddr is the client's", status: unauthorized, reason: reason, byBinding: true,
				wrong:  peerIs("203.0.113.7:51234"),
				mended: "The proxy has a listener without it. Trusted does not name the clients.", mend: peerIs("10.1.2.3:40312"),
				twin: notTrusted,
			},
			{
				title: unknown, status: unauthorized, reason: reason, byBinding: true,
				wrong:  peerIs("203.0.113.7"),
				mended: "That handler is gone; the address of the client is read from the header where it is needed.", mend: peerIs("10.1.2.3:40312"),
			},
			{
				title: "The proxy connects over a Unix socket", status: unauthorized, reason: reason, byBinding: true,
				wrong:  peerIs("@"),
				mended: "It connects over TCP.", mend: peerIs("10.1.2.3:40312"),
				twin: unknown,
			},
			{
				title: "The proxy connects from a link-local address, which has a zone", status: unauthorized, reason: reason, byBinding: true,
				wrong:  peerIs("[fe80::1%eth0]:40312"),
				mended: "It connects from another one.", mend: peerIs("10.1.2.3:40312"),
			},
			{
				title: "The proxy passes no certificate on", status: unauthorized, reason: reason, byBinding: true,
				wrong:  func(y *try) { y.passedOn = nil },
				mended: "The proxy asks for a certificate, and sets the header in this location too.", mend: writes(mtls.RFC9440, byteSequence),
			},
			{
				title: "The proxy adds its header to that of the client", status: unauthorized, reason: reason, byBinding: true,
				wrong:  writes(mtls.RFC9440, func(*x509.Certificate) string { return ":AAAA:" }, byteSequence),
				mended: "It replaces the header.", mend: writes(mtls.RFC9440, byteSequence),
			},
			{
				title: "The proxy is nginx, and Format is RFC9440", status: unauthorized, reason: reason, byBinding: true,
				wrong:  writes(mtls.RFC9440, escapedPEM),
				mended: "Format is EscapedPEM.", mend: writes(mtls.EscapedPEM, escapedPEM),
			},
			{
				title: "nginx passes $ssl_client_cert on, with spaces for line ends", status: unauthorized, reason: reason, byBinding: true,
				wrong:  writes(mtls.EscapedPEM, func(*x509.Certificate) string { return "-----BEGIN CERTIFICATE----- MIIB -----END CERTIFICATE-----" }),
				mended: "It passes $ssl_client_escaped_cert on.", mend: writes(mtls.EscapedPEM, escapedPEM),
			},
			{
				title: "The key of the certificate is on a curve that Go does not have", status: unauthorized, reason: reason, byBinding: true,
				wrong: writes(mtls.RFC9440, func(c *x509.Certificate) string {
					// X9.62's prime239v3 in the place of P-256.
					return byteSequence(&x509.Certificate{Raw: bytes.Replace(c.Raw, []byte("\x2a\x86\x48\xce\x3d\x03\x01\x07"), []byte("\x2a\x86\x48\xce\x3d\x03\x01\x06"), 1)})
				}),
				mended: "The client has a key on P-256.", mend: writes(mtls.RFC9440, byteSequence),
			},
			{
				title: "Two Envoys add an element each", status: unauthorized, reason: reason, byBinding: true,
				wrong:  writes(mtls.XFCC, func(c *x509.Certificate) string { return envoy(c) + ",By=spiffe://mesh/orders" }),
				mended: "The inner one is set to SANITIZE_SET.", mend: writes(mtls.XFCC, envoy),
			},
			{
				title: "Envoy passes the subject on, and neither Cert nor Hash", status: unauthorized, reason: reason, byBinding: true,
				wrong:  writes(mtls.XFCC, func(*x509.Certificate) string { return `Subject="CN=shop"` }),
				mended: "set_current_client_cert_details has cert: true.", mend: writes(mtls.XFCC, envoy),
			},
			{
				title: "TLS ends at the proxy, and Direct is set", status: unauthorized, reason: reason, byBinding: true,
				wrong:  func(y *try) { y.certificates = &mtls.Config{Direct: true} },
				mended: "Forwarded has the proxy.", mend: func(y *try) { y.certificates = forwarded(mtls.RFC9440) },
			},
			{
				title: "TLS ends here, and ClientAuth is not set", status: unauthorized, reason: reason, byBinding: true,
				wrong:  direct(),
				mended: "ClientAuth of the server's tls.Config is tls.RequestClientCert.", mend: direct(own),
			},
			{
				title: "The client has renewed its certificate, and kept its token", status: unauthorized, reason: reason, byBinding: true,
				wrong:  direct(renewed),
				mended: "The client asks for a new token with the new certificate.", mend: func(y *try) { y.bound(sha256URL(y.client.renewed.Raw)) },
			},
			{
				title: "The server writes x5t#S256 in hexadecimal", status: unauthorized, reason: reason, byBinding: true,
				wrong: func(y *try) {
					sum := sha256.Sum256(y.client.own.Raw)
					y.bound(hex.EncodeToString(sum[:]))
				},
				mended: "The server writes base64url.", mend: func(y *try) { y.bound(sha256URL(y.client.own.Raw)) },
			},
			{
				title: "A route takes bound tokens only, and this one is not bound", status: unauthorized, reason: reason,
				wrong: func(y *try) {
					delete(y.claims, "cnf")
					option(middleware.Bound())(y)
				},
				mended: "The client shows its certificate at the token endpoint too.", mend: func(y *try) { y.bound(sha256URL(y.client.own.Raw)) },
			},
		},
	}
}

// certificateMistakes are those of mtls.New, and of gates that do not fit their
// verifier.
func certificateMistakes() []mistake {
	of := func(change func(*mtls.Forwarded)) func() error {
		return func() error {
			c := forwarded(mtls.RFC9440)
			change(&c.Forwarded[0])
			_, err := mtls.New(*c)
			return err
		}
	}
	trusts := func(prefix string) func() error {
		return of(func(f *mtls.Forwarded) { f.Trusted = []netip.Prefix{netip.MustParsePrefix(prefix)} })
	}
	gate := func(change func(*jwtverify.Config, *middleware.Config)) func() error {
		return func() error {
			certificates, err := mtls.New(mtls.Config{Direct: true})
			if err != nil {
				return err
			}
			v := jwtverify.Config{Issuer: issuer, Audiences: []string{api}, Confirmations: []string{"x5t#S256"}}
			c := middleware.Config{Bindings: []bearergate.Binding{certificates}}
			change(&v, &c)
			verifier, err := jwtverify.New(v)
			if err != nil {
				return err
			}
			_, err = middleware.New(verifier, c)
			return err
		}
	}
	fits := gate(func(*jwtverify.Config, *middleware.Config) {})
	document := func(bindings bool) func() error {
		return func() error {
			c := middleware.Config{Resource: api}
			if bindings {
				c.Bindings = []bearergate.Binding{certificate{}}
			}
			g, err := middleware.New(kit.Granting(), c)
			if err != nil {
				return err
			}
			_, _, err = g.Metadata(middleware.Metadata{CertificateBound: true})
			return err
		}
	}
	return []mistake{
		{
			title: "Nobody says where the client certificate is", wrong: func() error { _, err := mtls.New(mtls.Config{}); return err },
			says: "set Direct if TLS ends at this service, Forwarded if it ends at a proxy", mended: "Direct is set.", mend: fits,
		},
		{
			title: "Trusted is everybody", wrong: trusts("0.0.0.0/0"),
			says: "which is everybody", mended: "It is the network of the proxy.", mend: trusts("10.1.0.0/16"),
		},
		{
			title: "Trusted is half of everybody", wrong: trusts("128.0.0.0/1"),
			says: "wider than any private network", mended: "It is the network of the proxy.", mend: trusts("10.1.0.0/16"),
		},
		{
			title: "Trusted has an address and the length of its network", wrong: trusts("10.1.2.3/16"),
			says: "write 10.1.0.0/16, or /32 for the address alone", mended: "It is the network.", mend: trusts("10.1.0.0/16"),
		},
		{
			title: "Trusted has IPv4 written as IPv6", wrong: trusts("::ffff:10.1.0.0/112"),
			says: "write IPv4 as IPv4", mended: "It is IPv4.", mend: trusts("10.1.0.0/16"),
		},
		{
			title: "Trusted is link-local", wrong: trusts("fe80::/10"),
			says: "have the proxy connect from another address", mended: "It is another network.", mend: trusts("fd00:1::/64"),
		},
		{
			title: "The name of the header is in lower case", wrong: of(func(f *mtls.Forwarded) { f.Header = "x-client-cert" }),
			says: `write it as Go does, "X-Client-Cert"`, mended: "It is written so.", mend: of(func(f *mtls.Forwarded) { f.Header = "X-Client-Cert" }),
		},
		{
			title: "Confirmations of the verifier lacks x5t#S256", wrong: gate(func(v *jwtverify.Config, _ *middleware.Config) { v.Confirmations = nil }),
			says: "name them in its Confirmations", mended: "It is there.", mend: fits,
		},
		{
			title: "The verifier takes bound tokens, and the gate has no Binding", wrong: gate(func(_ *jwtverify.Config, c *middleware.Config) { c.Bindings = nil }),
			says: "which nobody confirms: put what does into Bindings", mended: "It has the Certificates.", mend: fits,
		},
		{
			title: "RequireBinding is set, and there are no Bindings", wrong: newGate(kit.Granting(), func(c *middleware.Config) { c.RequireBinding = true }),
			says: "no token could enter: set Bindings", mended: "There is one.", mend: gate(func(_ *jwtverify.Config, c *middleware.Config) { c.RequireBinding = true }),
		},
		{
			title: "The metadata promise certificate-bound tokens, and the gate has no Binding", wrong: document(false),
			says: "no Binding confirms x5t#S256", mended: "It has one.", mend: document(true),
		},
	}
}
