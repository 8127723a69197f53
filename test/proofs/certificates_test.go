package proofs_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/binding/dpop"
	"github.com/bearergate/bearergate/binding/mtls"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/kit"
)

// certificate makes a self-signed one for a new key, and returns it with its x5t#S256.
func certificate(t testing.TB) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	sum := sha256.Sum256(der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, base64.RawURLEncoding.EncodeToString(sum[:])
}

// A token may be bound to a certificate and to a DPoP key: its sender has to prove both,
// over one connection. The metadata of the API say that it takes either.
//
// req: R7800-01, R8705-12, R9449-45
func TestCertificateAndProof(t *testing.T) {
	as := authtest.New(t)
	v, err := jwtverify.New(jwtverify.Config{Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client(), Confirmations: []string{"jkt", "x5t#S256"}})
	require.NoError(t, err)
	server := httptest.NewUnstartedServer(nil)
	base := "https://" + server.Listener.Addr().String()
	p, err := dpop.New(dpop.Config{BaseURLs: []string{base}})
	require.NoError(t, err)
	certificates, err := mtls.New(mtls.Config{Direct: true})
	require.NoError(t, err)
	gate, err := middleware.New(v, middleware.Config{Bindings: []bearergate.Binding{p, certificates}, RequireBinding: true, Resource: base})
	require.NoError(t, err)
	rt := gate.NewRouter()
	rt.Handle("GET /orders", scope.All("read"), kit.Says("orders"))
	rt.Metadata(middleware.Metadata{})
	server.Config.Handler = kit.Built(t, rt)
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	server.StartTLS()
	t.Cleanup(server.Close)

	own, x5t := certificate(t)
	other, _ := certificate(t)
	key, stranger := kit.NewProofKey(t, "ES256"), kit.NewProofKey(t, "ES256")
	both := map[string]any{"jkt": key.Thumbprint, "x5t#S256": x5t}
	for _, tc := range []struct {
		name   string
		cnf    map[string]any
		scheme string
		shown  []tls.Certificate
		key    *kit.ProofKey // of the proof; nil: none
		status int
	}{
		{name: "W2-153 both", cnf: both, scheme: "DPoP", shown: []tls.Certificate{own}, key: &key, status: 200},
		{name: "W2-153 the proof alone", cnf: both, scheme: "DPoP", key: &key, status: 401},
		{name: "W2-153 the certificate alone", cnf: both, scheme: "DPoP", shown: []tls.Certificate{own}, status: 401},
		{name: "W2-153 the certificate alone, under Bearer", cnf: both, scheme: "Bearer", shown: []tls.Certificate{own}, status: 401},
		{name: "both, under Bearer", cnf: both, scheme: "Bearer", shown: []tls.Certificate{own}, key: &key, status: 401},
		{name: "another certificate", cnf: both, scheme: "DPoP", shown: []tls.Certificate{other}, key: &key, status: 401},
		{name: "another key", cnf: both, scheme: "DPoP", shown: []tls.Certificate{own}, key: &stranger, status: 401},
		{name: "bound to the certificate", cnf: map[string]any{"x5t#S256": x5t}, scheme: "Bearer", shown: []tls.Certificate{own}, status: 200},
		{name: "bound to the certificate, with a proof", cnf: map[string]any{"x5t#S256": x5t}, scheme: "DPoP", shown: []tls.Certificate{own}, key: &key, status: 401},
		{name: "bound to the key", cnf: map[string]any{"jkt": key.Thumbprint}, scheme: "DPoP", key: &key, status: 200},
		{name: "MTL-011 bound to nothing", scheme: "Bearer", shown: []tls.Certificate{own}, status: 401},
	} {
		t.Run(tc.name, func(t *testing.T) {
			token := as.Token(claims(t, tc.cnf))
			transport := server.Client().Transport.(*http.Transport).Clone()
			transport.TLSClientConfig.Certificates = tc.shown
			t.Cleanup(transport.CloseIdleConnections)
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/orders", nil)
			require.NoError(t, err)
			r.Header.Set("Authorization", tc.scheme+" "+token)
			if tc.key != nil {
				r.Header.Set("DPoP", tc.key.Sign(t, nil, tc.key.Claims("GET", base+"/orders", token, time.Now())))
			}
			res, err := transport.RoundTrip(r)
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
			require.Equal(t, tc.status, res.StatusCode)
			if tc.status == 401 {
				found := challenges(t, res)
				require.Len(t, found, 2)
				for scheme, challenge := range found {
					if scheme == tc.scheme {
						require.Contains(t, challenge, `error="invalid_`)
					} else {
						require.NotContains(t, challenge, "error=")
					}
				}
			}
		})
	}

	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/.well-known/oauth-protected-resource", nil)
	require.NoError(t, err)
	res, err := server.Client().Do(r)
	require.NoError(t, err)
	defer func() { _ = res.Body.Close() }()
	var document map[string]any
	require.NoError(t, json.NewDecoder(res.Body).Decode(&document))
	require.Equal(t, map[string]any{"resource": base, "bearer_methods_supported": []any{"header"}, "scopes_supported": []any{"read"},
		"tls_client_certificate_bound_access_tokens": true, "dpop_signing_alg_values_supported": []any{"ES256", "Ed25519", "EdDSA", "PS256", "RS256"}}, document)
}
