package mtls_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/binding/mtls"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return key
}

// issue makes a certificate for key; self-signed if there is no CA. Each has its own
// serial number.
func issue(t testing.TB, key *ecdsa.PrivateKey, ca *tls.Certificate) tls.Certificate {
	t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "client-1"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true, IsCA: ca == nil, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	parent, signer := template, any(key)
	if ca != nil {
		parent, signer = ca.Leaf, ca.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// x5t is x5t#S256 of a certificate (RFC 8705 §3.1).
func x5t(c tls.Certificate) string { return sha256URL(c.Leaf.Raw) }

func sha256URL(b []byte) string {
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func hash(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

func b64(der []byte) string { return base64.StdEncoding.EncodeToString(der) }

func armour(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// escape encodes as nginx does: all but the unreserved characters.
func escape(text string) string {
	const digits = "0123456789ABCDEF"
	var out []byte
	for _, c := range []byte(text) {
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.' || c == '~' {
			out = append(out, c)
		} else {
			out = append(out, '%', digits[c>>4], digits[c&15])
		}
	}
	return string(out)
}

// boundTo is a token whose cnf has a member x5t#S256 of this text.
func boundTo(thumbprint string) *bearergate.Token {
	return confirmed(map[string]any{"x5t#S256": thumbprint})
}

func confirmed(cnf map[string]any) *bearergate.Token {
	members := map[string][]byte{}
	for name, value := range cnf {
		text, err := json.Marshal(value)
		if err != nil {
			panic(err)
		}
		members[name] = text
	}
	return bearergate.NewToken(bearergate.Claims{Subject: "alice", Confirmation: members})
}

var proxyNet = []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("2001:db8:1::/48")}

// forwardedBy is a proxy in proxyNet.
func forwardedBy(header string, format mtls.Format, hops int) mtls.Config {
	return mtls.Config{Forwarded: []mtls.Forwarded{{Header: header, Format: format, Trusted: proxyNet, Hops: hops}}}
}

func newCertificates(t testing.TB, c mtls.Config) *mtls.Certificates {
	t.Helper()
	certificates, err := mtls.New(c)
	require.NoError(t, err)
	return certificates
}

// callFrom is a call of a peer with these values of every header.
func callFrom(peer string, values ...string) bearergate.Call {
	c := bearergate.Call{Credentials: bearergate.Credentials{Scheme: bearergate.SchemeBearer, Raw: bearergate.NewSecret("token")}, Method: "GET", Target: "/"}
	if peer != "" {
		c.Peer = netip.MustParseAddrPort(peer)
	}
	c.Header = func(string) []string { return values }
	return c
}

// judge has a call judged by the Binding, by Authenticate and by a gate of middleware,
// asserts that all say the same, and returns what the Binding said.
func judge(t testing.TB, certificates *mtls.Certificates, call bearergate.Call, token *bearergate.Token) (bearergate.Reply, error) {
	t.Helper()
	reply, err := certificates.Confirm(t.Context(), call, token)

	v := bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) { return token, nil })
	call.Credentials = bearergate.Credentials{Scheme: bearergate.SchemeBearer, Raw: bearergate.NewSecret("token")}
	proven, replied, alike := bearergate.Authenticate(t.Context(), v, call, certificates)
	require.Equal(t, err == nil, alike == nil)
	require.Equal(t, bearergate.ReasonOf(err), bearergate.ReasonOf(alike))
	require.Equal(t, err == nil, proven.Proven())
	require.Equal(t, reply["Cache-Control"], replied["Cache-Control"])

	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	r.TLS, r.RemoteAddr = call.TLS, "@"
	if call.Peer.IsValid() {
		r.RemoteAddr = call.Peer.String()
	}
	for _, name := range []string{"Client-Cert", "X-Client-Cert", "Client-Cert-Chain"} {
		r.Header[name] = call.Values(name)
	}
	r.Header.Set("Authorization", "Bearer token")
	var event middleware.DecisionEvent
	gate, wrong := middleware.New(v, middleware.Config{Bindings: []bearergate.Binding{certificates}, RequireBinding: true,
		Hooks: middleware.Hooks{Decided: func(_ context.Context, e middleware.DecisionEvent) { event = e }}})
	require.NoError(t, wrong)
	w := httptest.NewRecorder()
	gate.Require(scope.Requirement{})(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		token, _ := bearergate.FromContext(r.Context())
		assert.True(t, token.Proven())
	})).ServeHTTP(w, r)
	require.Equal(t, bearergate.ReasonOf(err), event.Reason)
	if err != nil {
		require.Equal(t, http.StatusUnauthorized, w.Code)
		require.Equal(t, []string{`Bearer realm="api", error="invalid_token", error_description="The access token is not valid here."`}, w.Header().Values("WWW-Authenticate"))
		return reply, err
	}
	require.Equal(t, http.StatusOK, w.Code)
	require.Equal(t, reply["Cache-Control"], w.Header().Get("Cache-Control"))
	return reply, nil
}

// requireNobody asserts that a call without a good certificate proves no token, also none that
// is bound to what a certificate that was not read could be taken for: no bytes, or 32 zeros.
func requireNobody(t testing.TB, certificates *mtls.Certificates, call bearergate.Call) {
	t.Helper()
	for _, of := range []string{sha256URL(nil), base64.RawURLEncoding.EncodeToString(make([]byte, sha256.Size))} {
		_, err := judge(t, certificates, call, boundTo(of))
		requireUnproven(t, err)
	}
}

// requireUnproven asserts the one way in which a sender is refused.
func requireUnproven(t testing.TB, err error) {
	t.Helper()
	require.ErrorIs(t, err, bearergate.ErrInvalidToken)
	require.Equal(t, bearergate.ReasonBinding, bearergate.ReasonOf(err))
}
