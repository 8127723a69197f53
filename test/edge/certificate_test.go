package edge_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/binding/mtls"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/confusion"
)

// serverPEM is a certificate for 127.0.0.1 and its key.
func serverPEM(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	var b bytes.Buffer
	require.NoError(t, pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: der}))
	require.NoError(t, pem.Encode(&b, &pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
	return b.Bytes()
}

// A token that is bound to a certificate opens for who shows it to nginx, with the lines that
// docs/proxies.md gives, and for nobody who writes it into a header.
//
// req: R8705-06, R9700-06
func TestCertificatesBehindAProxyThatAsks(t *testing.T) {
	const (
		line = "proxy_set_header X-Client-Cert $ssl_client_escaped_cert;"
		all  = "ssl_verify_client optional_no_ca;\nproxy_set_header X-Client-Cert \"\";"
	)
	page, err := os.ReadFile("../../docs/proxies.md")
	require.NoError(t, err)
	require.Contains(t, string(page), line)
	require.Contains(t, string(page), all)

	as, err := authtest.Start(authtest.WithAudience(apiAudience))
	require.NoError(t, err)
	defer as.Close()
	verifier, err := jwtverify.New(jwtverify.Config{Issuer: as.Issuer(), Audiences: []string{apiAudience}, Confirmations: []string{"x5t#S256"}})
	require.NoError(t, err)
	certificates, err := mtls.New(mtls.Config{Forwarded: []mtls.Forwarded{{Header: "X-Client-Cert", Format: mtls.EscapedPEM, Trusted: loopback}}})
	require.NoError(t, err)
	gate := gateOf(t, verifier, func(c *middleware.Config) { c.Bindings = []bearergate.Binding{certificates} })
	rt := gate.NewRouter()
	rt.Handle("GET /orders/{id}", scope.All("orders:read"), http.NotFoundHandler())
	var service confusion.Service
	behind := httptest.NewServer(&service)
	defer behind.Close()

	own, err := authtest.NewClientCertificate()
	require.NoError(t, err)
	other, err := authtest.NewClientCertificate()
	require.NoError(t, err)
	withTLS := programs[0]
	var tlsAt string
	withTLS.change = func(dir, config string) string {
		tlsAt = freeAddress(t)
		file := filepath.Join(dir, "server.pem")
		require.NoError(t, os.WriteFile(file, serverPEM(t), 0o600))
		for old, with := range map[string]string{
			"server_name api.example.com;":                  "listen " + tlsAt + " ssl;\nssl_certificate " + file + ";\nssl_certificate_key " + file + ";\n" + all,
			"proxy_set_header X-Original-URI $request_uri;": "proxy_set_header X-Original-URI $request_uri;\n" + line,
		} {
			require.Contains(t, config, old)
			config = strings.Replace(config, old, with, 1)
		}
		return programs[0].change(dir, config)
	}
	front(t, withTLS, authorizer(t, middleware.Nginx, rt, gate).URL, behind.URL)

	token := as.Token(authtest.Claims{Subject: "alice", Scopes: scope.Of("orders:read"), Confirmation: authtest.CertificateConfirmation(own.Leaf)})
	escaped := strings.ReplaceAll(url.QueryEscape(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: own.Certificate[0]}))), "+", "%20")
	for _, tt := range []struct {
		name   string
		shown  *tls.Certificate
		forged bool
		status int
	}{
		{name: "the holder", shown: &own, status: 200},
		{name: "the holder and a forged header", shown: &own, forged: true, status: 200},
		{name: "another certificate", shown: &other, status: 401},
		{name: "another certificate and a forged header", shown: &other, forged: true, status: 401},
		{name: "no certificate", status: 401},
		{name: "no certificate and a forged header", forged: true, status: 401},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := service.Count()
			config := &tls.Config{InsecureSkipVerify: true} // the proxy is not what is tested
			if tt.shown != nil {
				config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return tt.shown, nil }
			}
			transport := &http.Transport{TLSClientConfig: config}
			defer transport.CloseIdleConnections()
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+tlsAt+"/orders/7", nil)
			require.NoError(t, err)
			r.Header.Set("Authorization", "Bearer "+token)
			if tt.forged {
				r.Header.Set("X-Client-Cert", escaped)
				r.Header["X_Client_Cert"] = []string{escaped}
			}
			res, err := transport.RoundTrip(r)
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
			require.Equal(t, tt.status, res.StatusCode)
			require.Equal(t, tt.status == 200, service.Count() == before+1)
			if tt.status == 200 {
				require.Empty(t, service.Last().Header.Values("X-Client-Cert"), "the service could take it for the proxy's")
			}
		})
	}
}
