package trouble_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"syscall"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/jwks"
)

const metadata = "/.well-known/openid-configuration"

// dials has every connection to the server fail with this.
func dials(err error) func(*try) {
	return func(y *try) {
		y.jwt.HTTPClient = &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: err}
		}}}
	}
}

// reached is a client that reaches the server.
func reached(y *try) { y.jwt.HTTPClient = y.as.Client() }

// fails has the server fail so.
func fails(f authtest.Fault) func(*try) { return func(y *try) { y.as.Fail(f) } }

// atBoth is what the server answers where its metadata are looked for.
func atBoth(f authtest.Fault) func(*try) {
	return func(y *try) {
		for _, path := range []string{metadata, "/.well-known/oauth-authorization-server"} {
			f.Path = path
			y.as.Fail(f)
		}
	}
}

// overTLS reaches the server by real TLS, with a certificate of a CA of its own. Behind a
// proxy, that is asked to connect first, and answers with status.
type overTLS struct {
	roots  *x509.CertPool // the CA
	client *http.Client
}

func newOverTLS(y *try, proxy *url.URL, status int) overTLS {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(y.t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a CA of one's own"}, DNSNames: []string{"as.example.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(y.t, err)
	ca, err := x509.ParseCertificate(der)
	require.NoError(y.t, err)
	o := overTLS{roots: x509.NewCertPool()}
	o.roots.AddCert(ca)
	certificate := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	o.client = &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{RootCAs: x509.NewCertPool()},
		Proxy:             func(*http.Request) (*url.URL, error) { return proxy, nil },
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			near, far := y.connection(ctx)
			go y.serveTLS(ctx, far, certificate, proxy, status)
			return near, nil
		},
	}}
	return o
}

// connection returns the two ends of one. It is real TCP: TLS ends a handshake by writing
// while the other side does too, which a net.Pipe does not take.
func (y *try) connection(ctx context.Context) (near, far net.Conn) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	require.NoError(y.t, err)
	defer l.Close()
	near, err = new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
	require.NoError(y.t, err)
	far, err = l.Accept()
	require.NoError(y.t, err)
	return near, far
}

// trust has the client know the CA.
func (o overTLS) trust() { o.client.Transport.(*http.Transport).TLSClientConfig.RootCAs = o.roots }

// serveTLS passes what comes over a connection on to the server.
func (y *try) serveTLS(ctx context.Context, conn net.Conn, certificate tls.Certificate, proxy *url.URL, status int) {
	defer conn.Close()
	if proxy != nil {
		r, err := http.ReadRequest(bufio.NewReader(conn))
		if err != nil || r.Method != http.MethodConnect {
			return
		}
		fmt.Fprintf(conn, "HTTP/1.1 %d %s\r\n\r\n", status, http.StatusText(status))
		if status != http.StatusOK {
			return
		}
	}
	secured := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{certificate}})
	if secured.HandshakeContext(ctx) != nil {
		return
	}
	behind, err := y.as.Client().Transport.(*http.Transport).DialContext(ctx, "tcp", "as.example.test:443")
	if err != nil {
		return
	}
	go func() {
		_, _ = io.Copy(behind, secured)
		_ = behind.Close()
	}()
	_, _ = io.Copy(secured, behind)
	_ = secured.Close()
}

func firstFetch() area {
	proxy := &url.URL{Scheme: "http", Host: "proxy.example.test:3128"}
	const up = "The server is there."
	fetch := func(r row) row {
		r.status, r.reason = http.StatusServiceUnavailable, bearergate.ReasonKeysUnavailable
		return r
	}
	return area{
		title: "The first fetch",
		about: "The keys cannot be got. The token is not to blame, and the client is told to come again. `jwks.Cache.Refresh` and `Warm` of a verifier return the same error at start.",
		rows: []row{
			fetch(row{
				title: "The name of the server does not exist", caseID: "D3",
				wrong: dials(&net.DNSError{Err: "no such host", Name: "as.example.test", IsNotFound: true}), mended: "The name server knows it.", mend: reached,
			}),
			fetch(row{
				title: "Nobody listens there",
				wrong: dials(os.NewSyscallError("connect", syscall.ECONNREFUSED)), mended: up, mend: reached,
			}),
			fetch(row{
				title: "The certificate is of a CA of one's own", caseID: "D3",
				wrong:  func(y *try) { y.jwt.HTTPClient = newOverTLS(y, nil, 0).client },
				mended: "RootCAs of the transport has the CA.", mend: func(y *try) {
					o := newOverTLS(y, nil, 0)
					o.trust()
					y.jwt.HTTPClient = o.client
				},
			}),
			fetch(row{
				title:  "A proxy answers 502",
				wrong:  func(y *try) { y.jwt.HTTPClient = newOverTLS(y, proxy, http.StatusBadGateway).client },
				mended: "The proxy reaches the server.", mend: func(y *try) {
					o := newOverTLS(y, proxy, http.StatusOK)
					o.trust()
					y.jwt.HTTPClient = o.client
				},
			}),
			fetch(row{
				title: "The server does not answer",
				wrong: fails(authtest.Fault{Path: "/jwks", Hang: true}), mended: up, mend: published,
			}),
			fetch(row{
				title: "The server has no metadata",
				wrong: atBoth(authtest.Fault{Status: http.StatusNotFound}), mended: "Keys is a cache with the URL of the key set.",
				mend: func(y *try) { y.keysAt(jwks.Config{Issuer: issuer}) },
			}),
			fetch(row{
				title: "A login page is there instead of the metadata",
				wrong: atBoth(authtest.Fault{ContentType: "text/html; charset=utf-8", Body: []byte("<html>log in</html>")}), mended: "No login stands in front of the metadata.",
				mend: published,
			}),
			fetch(row{
				title: "The metadata have an issuer with a slash", caseID: "D7", server: server(issuer + "/"),
				// The tokens have no slash: with one, iss would be refused before any key is looked for.
				wrong: func(y *try) { y.jwt.Issuer = issuer; claim("iss", issuer)(y) }, mended: "Issuer has the slash, as document and tokens have it.", mend: func(y *try) { y.jwt.Issuer += "/"; claim("iss", issuer+"/")(y) },
			}),
			fetch(row{
				title: "The metadata have no jwks_uri", server: []authtest.Option{authtest.WithMetadata(map[string]any{"jwks_uri": nil})},
				wrong: func(*try) {}, mended: "Keys is a cache with the URL of the key set.",
				mend: func(y *try) { y.keysAt(jwks.Config{Issuer: issuer}) },
			}),
			fetch(row{
				title: "The key set has no key that can be used",
				wrong: func(y *try) { y.publishes(short(y, "old")) }, mended: "The server publishes a key of ES256.", mend: published,
			}),
		},
	}
}
