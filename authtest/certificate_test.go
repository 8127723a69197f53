package authtest_test

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/binding/mtls"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/kit"
)

func TestClientCertificateValidity(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		now := time.Now().UTC()
		certificate, err := authtest.NewClientCertificate()
		require.NoError(t, err)
		require.Equal(t, now.Add(-time.Hour), certificate.Leaf.NotBefore)
		require.Equal(t, now.Add(24*time.Hour), certificate.Leaf.NotAfter)
	})
}

// A server receives the certificate in a real handshake, however it is configured to.
func TestNewClientCertificate(t *testing.T) {
	certificate, err := authtest.NewClientCertificate()
	require.NoError(t, err)
	other, err := authtest.NewClientCertificate()
	require.NoError(t, err)
	require.NotEqual(t, certificate.Leaf.SerialNumber, other.Leaf.SerialNumber)
	require.NotEqual(t, authtest.CertificateConfirmation(certificate.Leaf), authtest.CertificateConfirmation(other.Leaf))

	trusted := x509.NewCertPool()
	trusted.AddCert(certificate.Leaf)
	for _, test := range []struct {
		name string
		auth tls.ClientAuthType
		cas  *x509.CertPool
	}{
		{name: "any", auth: tls.RequireAnyClientCert},
		{name: "trusted", auth: tls.RequireAndVerifyClientCert, cas: trusted},
	} {
		t.Run(test.name, func(t *testing.T) {
			received := make(chan []byte, 1)
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				received <- r.TLS.PeerCertificates[0].Raw
			}))
			server.TLS = &tls.Config{ClientAuth: test.auth, ClientCAs: test.cas}
			server.StartTLS()
			defer server.Close()
			roots := x509.NewCertPool()
			roots.AddCert(server.Certificate())
			transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{certificate}}}
			defer transport.CloseIdleConnections()
			resp, err := (&http.Client{Transport: transport}).Do(request(t, "GET", server.URL, ""))
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			sum := sha256.Sum256(<-received)
			require.Equal(t, map[string][]byte{"x5t#S256": []byte(`"` + base64.RawURLEncoding.EncodeToString(sum[:]) + `"`)},
				authtest.CertificateConfirmation(certificate.Leaf))
		})
	}
}

// A token that is bound to a certificate opens a gate for who has its key, and for nobody
// else.
func TestCertificateConfirmationAtAGate(t *testing.T) {
	owner, err := authtest.NewClientCertificate()
	require.NoError(t, err)
	other, err := authtest.NewClientCertificate()
	require.NoError(t, err)
	as := authtest.New(t)
	verifier, err := jwtverify.New(jwtverify.Config{Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience},
		HTTPClient: as.Client(), Confirmations: []string{"x5t#S256"}})
	require.NoError(t, err)
	certificates, err := mtls.New(mtls.Config{Direct: true})
	require.NoError(t, err)
	gate, err := middleware.New(verifier, middleware.Config{Bindings: []bearergate.Binding{certificates}})
	require.NoError(t, err)
	router := gate.NewRouter()
	router.Handle("/orders", scope.All("orders:read"), http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server := httptest.NewUnstartedServer(kit.Built(t, router))
	server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	server.StartTLS()
	defer server.Close()
	token := as.Token(authtest.Claims{Scopes: scope.Of("orders:read"), Confirmation: authtest.CertificateConfirmation(owner.Leaf)})
	for _, test := range []struct {
		name        string
		certificate tls.Certificate
		want        int
	}{
		{name: "its owner", certificate: owner, want: 200},
		{name: "another", certificate: other, want: 401},
	} {
		t.Run(test.name, func(t *testing.T) {
			roots := x509.NewCertPool()
			roots.AddCert(server.Certificate())
			transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{test.certificate}}}
			defer transport.CloseIdleConnections()
			r := request(t, "GET", server.URL+"/orders", "")
			r.Header.Set("Authorization", "Bearer "+token)
			status, _ := do(t, transport, r)
			require.Equal(t, test.want, status)
		})
	}
	require.Panics(t, func() { authtest.CertificateConfirmation(nil) })
}
