package mtls_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/binding/mtls"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/issuers"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/kit"
)

// service is a resource server behind a gate, over TLS.
type service struct {
	*httptest.Server
	as *authtest.Server

	mu      sync.Mutex        // guards what follows
	refusal bearergate.Reason // of the last request; "": it was accepted
	resumed bool              // its connection resumed a session
}

func (s *service) reason() bearergate.Reason {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refusal
}

func (s *service) reused() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.resumed
}

// newService takes certificate-bound JWTs and opaque tokens. /bound demands a bound one.
func newService(t *testing.T, c mtls.Config, auth tls.ClientAuthType) *service {
	t.Helper()
	return serveOn(t, nil, c, auth)
}

// serveOn is newService on a listener of one's own.
func serveOn(t *testing.T, listener net.Listener, c mtls.Config, auth tls.ClientAuthType) *service {
	t.Helper()
	s := &service{as: authtest.New(t)}
	jwts, err := jwtverify.New(jwtverify.Config{Issuer: s.as.Issuer(), Audiences: []string{authtest.DefaultAudience},
		HTTPClient: s.as.Client(), Confirmations: []string{"x5t#S256"}})
	require.NoError(t, err)
	opaque, err := introspect.New(introspect.Config{Issuer: s.as.Issuer(), Auth: introspect.BasicAuth("api", "secret"),
		Audiences: []string{authtest.DefaultAudience}, HTTPClient: s.as.Client(), Confirmations: []string{"x5t#S256"}})
	require.NoError(t, err)
	verifier, err := issuers.NewRouter(issuers.Config{Issuers: map[string]bearergate.Verifier{s.as.Issuer(): jwts}, Opaque: opaque})
	require.NoError(t, err)
	gate, err := middleware.New(verifier, middleware.Config{Bindings: []bearergate.Binding{newCertificates(t, c)}})
	require.NoError(t, err)
	mux := http.NewServeMux()
	open := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	mux.Handle("/", gate.Require(scope.Requirement{})(open))
	mux.Handle("/bound", gate.Require(scope.Requirement{}, middleware.Bound())(open))
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _, err := gate.Check(r, scope.Requirement{})
		s.mu.Lock()
		s.resumed, s.refusal = r.TLS != nil && r.TLS.DidResume, bearergate.ReasonOf(err)
		s.mu.Unlock()
		mux.ServeHTTP(w, r)
	}))
	if listener != nil {
		require.NoError(t, s.Listener.Close())
		s.Listener = listener
	}
	s.TLS = &tls.Config{ClientAuth: auth}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// get sends a token with the client certificates of a connection of its own.
func (s *service) get(t *testing.T, path, token string, header http.Header, shown ...tls.Certificate) *http.Response {
	t.Helper()
	return s.send(t, s.transport(shown...), path, token, header)
}

func (s *service) transport(shown ...tls.Certificate) *http.Transport {
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: shown}}
}

func (s *service) send(t *testing.T, transport *http.Transport, path, token string, header http.Header) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+path, nil)
	require.NoError(t, err)
	maps.Copy(r.Header, header)
	r.Header.Set("Authorization", "Bearer "+token)
	response, err := (&http.Client{Transport: transport}).Do(r)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	return response
}

func cnf(thumbprint string) bearergate.Claims {
	return bearergate.Claims{Confirmation: map[string][]byte{"x5t#S256": []byte(`"` + thumbprint + `"`)}}
}

// Real handshakes, real tokens: only the sender with the very certificate gets in.
// req: R8705-01 R8705-02 R8705-04 R8705-05 R8705-08 R8705-11
func TestDirect(t *testing.T) {
	s := newService(t, mtls.Config{Direct: true}, tls.RequestClientCert)
	ca := issue(t, newKey(t), nil)
	own := issue(t, newKey(t), &ca)
	chain := own
	chain.Certificate = append(append([][]byte{}, own.Certificate...), ca.Certificate...)
	renewed := issue(t, own.PrivateKey.(*ecdsa.PrivateKey), &ca)
	other := issue(t, newKey(t), &ca)
	selfSigned := issue(t, newKey(t), nil)
	for _, tc := range []struct {
		name   string
		path   string
		token  string
		shown  []tls.Certificate
		status int
		reason bearergate.Reason
	}{
		{name: "its own certificate", token: s.as.Token(cnf(x5t(own))), shown: []tls.Certificate{own}, status: 200},
		{name: "its own certificate, where a bound token is demanded", path: "/bound", token: s.as.Token(cnf(x5t(own))), shown: []tls.Certificate{own}, status: 200},
		{name: "a self-signed one", token: s.as.Token(cnf(x5t(selfSigned))), shown: []tls.Certificate{selfSigned}, status: 200},
		{name: "MTL-002 W2-170 none", token: s.as.Token(cnf(x5t(own))), status: 401, reason: bearergate.ReasonBinding},
		{name: "MTL-003 another one of the same CA and subject", token: s.as.Token(cnf(x5t(own))), shown: []tls.Certificate{other}, status: 401, reason: bearergate.ReasonBinding},
		{name: "MTL-004 W2-171 a renewed one for the same key", token: s.as.Token(cnf(x5t(own))), shown: []tls.Certificate{renewed}, status: 401, reason: bearergate.ReasonBinding},
		{name: "MTL-005 W2-174 with padding", token: s.as.Token(cnf(x5t(own) + "=")), shown: []tls.Certificate{own}, status: 401, reason: bearergate.ReasonBinding},
		{name: "MTL-005 W2-174 in hexadecimal", token: s.as.Token(cnf(hash(own.Leaf.Raw))), shown: []tls.Certificate{own}, status: 401, reason: bearergate.ReasonBinding},
		{name: "MTL-005 W2-174 of the key", token: s.as.Token(cnf(sha256URL(own.Leaf.RawSubjectPublicKeyInfo))), shown: []tls.Certificate{own}, status: 401, reason: bearergate.ReasonBinding},
		{name: "MTL-005 W2-174 of the PEM", token: s.as.Token(cnf(sha256URL([]byte(armour(own.Leaf.Raw))))), shown: []tls.Certificate{own}, status: 401, reason: bearergate.ReasonBinding},
		{name: "W2-174 empty", token: s.as.Token(cnf("")), shown: []tls.Certificate{own}, status: 401, reason: bearergate.ReasonMalformed},
		{name: "W2-174 a number", token: s.as.Token(bearergate.Claims{Confirmation: map[string][]byte{"x5t#S256": []byte("1")}}), shown: []tls.Certificate{own}, status: 401, reason: bearergate.ReasonMalformed},
		{name: "W2-174 introspected, in hexadecimal", token: s.as.Opaque(cnf(hash(own.Leaf.Raw))), shown: []tls.Certificate{own}, status: 401, reason: bearergate.ReasonBinding},
		{name: "R8705-09 of the CA, which is shown beside it", token: s.as.Token(cnf(x5t(ca))), shown: []tls.Certificate{chain}, status: 401, reason: bearergate.ReasonBinding},
		{name: "its own certificate, with that of the CA", token: s.as.Token(cnf(x5t(own))), shown: []tls.Certificate{chain}, status: 200},
		{name: "an unbound token is as ever", token: s.as.Token(bearergate.Claims{}), shown: []tls.Certificate{own}, status: 200},
		{name: "MTL-011 an unbound token where a bound one is demanded", path: "/bound", token: s.as.Token(bearergate.Claims{}), shown: []tls.Certificate{own}, status: 401},
		{name: "MTL-017 introspected, its own certificate", token: s.as.Opaque(cnf(x5t(own))), shown: []tls.Certificate{own}, status: 200},
		{name: "MTL-017 introspected, another one", token: s.as.Opaque(cnf(x5t(own))), shown: []tls.Certificate{other}, status: 401, reason: bearergate.ReasonBinding},
		{name: "MTL-017 introspected, none", token: s.as.Opaque(cnf(x5t(own))), status: 401, reason: bearergate.ReasonBinding},
	} {
		t.Run(tc.name, func(t *testing.T) {
			response := s.get(t, tc.path, tc.token, nil, tc.shown...)
			require.Equal(t, tc.status, response.StatusCode)
			require.Equal(t, tc.reason, s.reason())
			if tc.status == 401 {
				require.Len(t, response.Header.Values("WWW-Authenticate"), 1)
				require.Regexp(t, `^Bearer .*error="invalid_token"`, response.Header.Get("WWW-Authenticate"))
			}
		})
	}
}

// W2-173: Go keeps the certificates of the session that is resumed.
// req: R8705-10
func TestResumedSession(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) { testResumedSession(t, version) })
	}
}

func testResumedSession(t *testing.T, version uint16) {
	s := newService(t, mtls.Config{Direct: true}, tls.RequireAnyClientCert)
	own := issue(t, newKey(t), nil)
	transport := s.transport(own)
	transport.TLSClientConfig.MaxVersion = version
	transport.TLSClientConfig.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	token := s.as.Token(cnf(x5t(own)))
	require.Equal(t, 200, s.send(t, transport, "/", token, nil).StatusCode)
	require.Equal(t, 200, s.send(t, transport, "/", token, nil).StatusCode)
	require.True(t, s.reused())
	stolen := s.as.Token(cnf(x5t(issue(t, newKey(t), nil))))
	require.Equal(t, 401, s.send(t, transport, "/", stolen, nil).StatusCode)
	require.True(t, s.reused())
}

// MTL-007: no header of anybody's is a certificate.
// req: R9440-03
func TestHeadersOfStrangers(t *testing.T) {
	own, thief := issue(t, newKey(t), nil), issue(t, newKey(t), nil)
	header := http.Header{"Client-Cert": {":" + b64(own.Leaf.Raw) + ":"}, "X-Client-Cert": {escape(armour(own.Leaf.Raw))}, "X-Ssl-Client-Cert": {b64(own.Leaf.Raw)}}
	elsewhere := forwardedBy("Client-Cert", mtls.RFC9440, 0)
	both := elsewhere
	both.Direct = true
	for name, c := range map[string]mtls.Config{"Direct": {Direct: true}, "Forwarded": elsewhere, "both": both} {
		s := newService(t, c, tls.RequestClientCert)
		token := s.as.Token(cnf(x5t(own)))
		require.Equal(t, 401, s.get(t, "/", token, header, thief).StatusCode, name)
		require.Equal(t, bearergate.ReasonBinding, s.reason(), name)
		require.Equal(t, 401, s.get(t, "/", token, header).StatusCode, name)
		if c.Direct {
			require.Equal(t, 200, s.get(t, "/", token, http.Header{"Client-Cert": {":" + b64(thief.Leaf.Raw) + ":"}}, own).StatusCode, "ignored, not refused: %s", name)
		}
	}
}

// Over the wire from a proxy on loopback, whose own certificate is nobody's.
// req: R8705-06 R9440-06 R9440-08
func TestBehindAProxy(t *testing.T) {
	own, proxy := issue(t, newKey(t), nil), issue(t, newKey(t), nil)
	s := newService(t, mtls.Config{Direct: true, Forwarded: []mtls.Forwarded{{Header: "Client-Cert", Format: mtls.RFC9440,
		Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}}}}, tls.RequestClientCert)
	header := http.Header{"Client-Cert": {":" + b64(own.Leaf.Raw) + ":"}}
	response := s.get(t, "/", s.as.Token(cnf(x5t(own))), header, proxy)
	require.Equal(t, 200, response.StatusCode)
	require.Equal(t, "no-store", response.Header.Get("Cache-Control"))
	require.Equal(t, 401, s.get(t, "/", s.as.Token(cnf(x5t(proxy))), header, proxy).StatusCode)
	response = s.get(t, "/", s.as.Token(cnf(x5t(proxy))), nil, proxy)
	require.Equal(t, 401, response.StatusCode, "a client without certificate has not that of the proxy")
	require.Equal(t, bearergate.ReasonBinding, s.reason())
	require.Equal(t, "no-store", response.Header.Get("Cache-Control"))

	value := ":" + b64(own.Leaf.Raw) + ":"
	for _, tc := range []struct {
		name   string
		header http.Header
	}{
		{name: "W2-177 in another field", header: http.Header{"X-Client-Cert": {escape(armour(own.Leaf.Raw))}, "X-Ssl-Client-Cert": {b64(own.Leaf.Raw)}, "Client-Cert-Chain": {value}}},
		{name: "twice", header: http.Header{"Client-Cert": {value, value}}},
		{name: "in a list", header: http.Header{"Client-Cert": {value + ", " + value}}},
		{name: "as PEM", header: http.Header{"Client-Cert": {escape(armour(own.Leaf.Raw))}}},
		{name: "another one", header: http.Header{"Client-Cert": {":" + b64(proxy.Leaf.Raw) + ":"}}},
		{name: "too long", header: http.Header{"Client-Cert": {":" + strings.Repeat("A", mtls.MaxHeaderBytes) + ":"}}},
	} {
		require.Equal(t, 401, s.get(t, "/", s.as.Token(cnf(x5t(own))), tc.header, own).StatusCode, tc.name)
		require.Equal(t, bearergate.ReasonBinding, s.reason(), tc.name)
	}
}

// Of a peer without an address, nobody knows whether it is the proxy. W2-182
// req: R9440-03
func TestUnixSocket(t *testing.T) {
	own := issue(t, newKey(t), nil)
	header := http.Header{"Client-Cert": {":" + b64(own.Leaf.Raw) + ":"}}
	both := forwardedBy("Client-Cert", mtls.RFC9440, 0)
	both.Direct = true
	for _, tc := range []struct {
		name   string
		config mtls.Config
		status int
	}{
		{name: "Forwarded", config: forwardedBy("Client-Cert", mtls.RFC9440, 0), status: 401},
		{name: "Direct, which asks nobody's address", config: mtls.Config{Direct: true}, status: 200},
		{name: "both", config: both, status: 401},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "s")
			listener, err := new(net.ListenConfig).Listen(t.Context(), "unix", path)
			if err != nil {
				t.Skip("no Unix sockets here:", err)
			}
			s := serveOn(t, listener, tc.config, tls.RequestClientCert)
			s.URL = "https://example.com" // as in the certificate of httptest
			transport := s.transport(own)
			transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", path)
			}
			require.Equal(t, tc.status, s.send(t, transport, "/", s.as.Token(cnf(x5t(own))), header).StatusCode)
			require.Equal(t, tc.status == 401, s.reason() == bearergate.ReasonBinding)
		})
	}
}

// A listener that reads the PROXY protocol puts the client's address where the proxy's
// was. TLS that ends here goes on as ever, and no header is believed any more, unless
// Trusted names the clients: then every one of them has any certificate.
func TestProxyProtocol(t *testing.T) {
	own, thief := issue(t, newKey(t), nil), issue(t, newKey(t), nil)
	header := http.Header{"Client-Cert": {":" + b64(own.Leaf.Raw) + ":"}}
	clients := forwardedBy("Client-Cert", mtls.RFC9440, 0)
	clients.Forwarded[0].Trusted = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	for _, tc := range []struct {
		name   string
		config mtls.Config
		shown  tls.Certificate
		status int
	}{
		{name: "Direct", config: mtls.Config{Direct: true}, shown: own, status: 200},
		{name: "Direct, another certificate", config: mtls.Config{Direct: true}, shown: thief, status: 401},
		{name: "Forwarded, Trusted names the proxy", config: forwardedBy("Client-Cert", mtls.RFC9440, 0), shown: thief, status: 401},
		{name: "Forwarded, Trusted names clients: the danger", config: clients, shown: thief, status: 200},
	} {
		t.Run(tc.name, func(t *testing.T) {
			listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
			require.NoError(t, err)
			s := serveOn(t, renaming{listener}, tc.config, tls.RequestClientCert)
			require.Equal(t, tc.status, s.get(t, "/", s.as.Token(cnf(x5t(own))), header, tc.shown).StatusCode)
		})
	}
}

// renaming is a listener whose connections say that they are of the stranger.
type renaming struct{ net.Listener }

func (l renaming) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return renamed{c}, err
}

type renamed struct{ net.Conn }

func (renamed) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(stranger))
}

// Without TLS there is no certificate, and a token that is not bound enters. W2-170
// req: R8705-02
func TestPlainHTTP(t *testing.T) {
	own := issue(t, newKey(t), nil)
	s := newService(t, mtls.Config{Direct: true}, tls.RequestClientCert)
	plain := httptest.NewServer(s.Config.Handler)
	t.Cleanup(plain.Close)
	s.URL = plain.URL
	require.Equal(t, 401, s.get(t, "/", s.as.Token(cnf(x5t(own))), http.Header{"Client-Cert": {":" + b64(own.Leaf.Raw) + ":"}}).StatusCode)
	require.Equal(t, bearergate.ReasonBinding, s.reason())
	require.Equal(t, 401, s.get(t, "/bound", s.as.Token(bearergate.Claims{}), nil).StatusCode)
	require.Equal(t, 200, s.get(t, "/", s.as.Token(bearergate.Claims{}), nil).StatusCode)
}

// MTL-005, W2-174: of all that can be hashed, only the DER counts, and in one form only.
// req: R8705-03 R8705-07
func TestThumbprint(t *testing.T) {
	own := issue(t, newKey(t), nil)
	sum := sha256.Sum256(own.Leaf.Raw)
	spki := sha256.Sum256(own.Leaf.RawSubjectPublicKeyInfo)
	text := sha256.Sum256([]byte(armour(own.Leaf.Raw)))
	raw := base64.RawURLEncoding
	// The last character has two bits that stand for nothing.
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	good := x5t(own)
	dirty := good[:42] + string(alphabet[strings.IndexByte(alphabet, good[42])+1])
	certificates := newCertificates(t, mtls.Config{Direct: true})
	call := bearergate.Call{TLS: &tls.ConnectionState{PeerCertificates: []*x509.Certificate{own.Leaf}}}
	_, err := judge(t, certificates, call, boundTo(good))
	require.NoError(t, err)
	for name, value := range map[string]any{
		"padded":                 base64.URLEncoding.EncodeToString(sum[:]),
		"hexadecimal":            hex.EncodeToString(sum[:]),
		"SHA-1":                  raw.EncodeToString(sum[:20]), // as long
		"of the key":             raw.EncodeToString(spki[:]),
		"of the PEM":             raw.EncodeToString(text[:]),
		"base64 of hexadecimal":  raw.EncodeToString([]byte(hex.EncodeToString(sum[:]))),
		"of nothing":             raw.EncodeToString(make([]byte, 32)),
		"empty":                  "",
		"one byte less":          raw.EncodeToString(sum[:31]),
		"one byte more":          raw.EncodeToString(append(sum[:], 0)),
		"the first byte differs": func() string { d := sum; d[0] ^= 1; return raw.EncodeToString(d[:]) }(),
		"the last byte differs":  func() string { d := sum; d[31] ^= 1; return raw.EncodeToString(d[:]) }(),
		"bits at the end":        dirty,
		"a line break":           good[:42] + "\n",
		"a space before it":      " " + good[:42],
		"no string":              12,
		"a list":                 []string{good},
	} {
		_, err := judge(t, certificates, call, confirmed(map[string]any{"x5t#S256": value}))
		requireUnproven(t, err)
		require.NotContains(t, err.Error(), good[:20], name)
	}
}

// req: R8705-09
func TestLeafOnly(t *testing.T) {
	ca := issue(t, newKey(t), nil)
	own := issue(t, newKey(t), &ca)
	certificates := newCertificates(t, mtls.Config{Direct: true})
	call := bearergate.Call{TLS: &tls.ConnectionState{PeerCertificates: []*x509.Certificate{own.Leaf, ca.Leaf}}}
	_, err := judge(t, certificates, call, boundTo(x5t(own)))
	require.NoError(t, err)
	_, err = judge(t, certificates, call, boundTo(x5t(ca)))
	requireUnproven(t, err)
	for name, state := range map[string]*tls.ConnectionState{"W2-170 no TLS": nil, "no certificate": {}, "nil": {PeerCertificates: []*x509.Certificate{nil}}} {
		_, err = judge(t, certificates, bearergate.Call{TLS: state}, boundTo(x5t(own)))
		require.Error(t, err, name)
		requireUnproven(t, err)
		requireNobody(t, certificates, bearergate.Call{TLS: state})
	}
}

// keyHolder stands in for DPoP.
type keyHolder struct{ err error }

func (keyHolder) Scheme() bearergate.Scheme    { return bearergate.SchemeDPoP }
func (keyHolder) Members() []string            { return []string{"jkt"} }
func (keyHolder) Challenge() map[string]string { return nil }
func (k keyHolder) Confirm(context.Context, bearergate.Call, *bearergate.Token) (bearergate.Reply, error) {
	return nil, k.err
}

// All that cnf names has to be proven.
// req: R7800-01
func TestOtherMembers(t *testing.T) {
	own, other := issue(t, newKey(t), nil), issue(t, newKey(t), nil)
	for _, tc := range []struct {
		name   string
		cnf    map[string]any
		shown  tls.Certificate
		holder keyHolder
		ok     bool
	}{
		{name: "both proven", cnf: map[string]any{"x5t#S256": x5t(own), "jkt": "k"}, shown: own, ok: true},
		{name: "not the certificate", cnf: map[string]any{"x5t#S256": x5t(own), "jkt": "k"}, shown: other},
		{name: "not the key", cnf: map[string]any{"x5t#S256": x5t(own), "jkt": "k"}, shown: own, holder: keyHolder{errors.New("no")}},
		{name: "a member that nobody proves", cnf: map[string]any{"x5t#S256": x5t(own), "jkt": "k", "jwk": map[string]string{}}, shown: own},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v := bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) { return confirmed(tc.cnf), nil })
			call := callFrom("192.0.2.1:1")
			call.Scheme, call.TLS = bearergate.SchemeDPoP, &tls.ConnectionState{PeerCertificates: []*x509.Certificate{tc.shown.Leaf}}
			token, _, err := bearergate.Authenticate(t.Context(), v, call, newCertificates(t, mtls.Config{Direct: true}), tc.holder)
			if tc.ok {
				require.NoError(t, err)
				require.True(t, token.Proven())
				return
			}
			requireUnproven(t, err)
			require.Nil(t, token)
		})
	}
}

func TestBinding(t *testing.T) {
	certificates := newCertificates(t, mtls.Config{Direct: true})
	require.NoError(t, bearergate.CheckBindings([]bearergate.Binding{certificates}))
	require.Equal(t, bearergate.SchemeBearer, certificates.Scheme())
	require.Equal(t, []string{"x5t#S256"}, certificates.Members())
	require.Nil(t, certificates.Challenge())
	var none *mtls.Certificates
	_, err := none.Confirm(t.Context(), bearergate.Call{}, boundTo(""))
	kit.RequireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	_, err = new(mtls.Certificates).Confirm(t.Context(), bearergate.Call{TLS: &tls.ConnectionState{}}, boundTo(strings.Repeat("A", 43)))
	requireUnproven(t, err)
}

// req: R9440-04
func TestNewNamesEveryMistake(t *testing.T) {
	prefix := netip.MustParsePrefix
	good := mtls.Forwarded{Header: "Client-Cert", Format: mtls.RFC9440, Trusted: proxyNet}
	with := func(change func(*mtls.Forwarded)) []mtls.Forwarded {
		f := good
		change(&f)
		return []mtls.Forwarded{f}
	}
	for _, tc := range []struct {
		name      string
		forwarded []mtls.Forwarded
		says      []string
	}{
		{name: "nothing", says: []string{"neither Direct nor Forwarded"}},
		{name: "an empty entry", forwarded: []mtls.Forwarded{{}}, says: []string{"Header is empty", "Format is", "Trusted is empty"}},
		{name: "two empty entries, whose headers are not one", forwarded: []mtls.Forwarded{{}, {}}, says: []string{
			"Forwarded[0].Header is empty", "Forwarded[0].Format is", "Forwarded[0].Trusted is empty", "Forwarded[1].Header is empty", "Forwarded[1].Format is", "Forwarded[1].Trusted is empty"}},
		{name: "a header in lower case", forwarded: with(func(f *mtls.Forwarded) { f.Header = "client-cert" }), says: []string{`write it as Go does, "Client-Cert"`}},
		{name: "no header", forwarded: with(func(f *mtls.Forwarded) { f.Header = "Client Cert" }), says: []string{"use the name of a header field"}},
		{name: "a header beyond ASCII", forwarded: with(func(f *mtls.Forwarded) { f.Header = "Client-Cért" }), says: []string{"use the name of a header field"}},
		{name: "the chain", forwarded: with(func(f *mtls.Forwarded) { f.Header = "Client-Cert-Chain" }), says: []string{"another meaning"}},
		{name: "the token", forwarded: with(func(f *mtls.Forwarded) { f.Header = "Authorization" }), says: []string{"another meaning"}},
		{name: "an unknown format", forwarded: with(func(f *mtls.Forwarded) { f.Format = "pem" }), says: []string{"Format is"}},
		{name: "hops of another format", forwarded: with(func(f *mtls.Forwarded) { f.Hops = 1 }), says: []string{"for XFCC only"}},
		{name: "hops of an unknown format", forwarded: with(func(f *mtls.Forwarded) { f.Format, f.Hops = "pem", 1 }), says: []string{"Format is"}},
		{name: "negative hops", forwarded: with(func(f *mtls.Forwarded) { f.Format, f.Hops = mtls.XFCC, -1 }), says: []string{"Hops is -1"}},
		{name: "too many hops", forwarded: with(func(f *mtls.Forwarded) { f.Format, f.Hops = mtls.XFCC, mtls.MaxHops+1 }), says: []string{"Hops is 9"}},
		{name: "everybody", forwarded: with(func(f *mtls.Forwarded) {
			f.Trusted = []netip.Prefix{prefix("0.0.0.0/0"), prefix("::/0"), prefix("10.0.0.1/0")}
		}),
			says: []string{"0.0.0.0/0, which is everybody", "::/0, which is everybody", "10.0.0.1/0, which is everybody"}},
		{name: "half of everybody", forwarded: with(func(f *mtls.Forwarded) {
			f.Trusted = []netip.Prefix{prefix("0.0.0.0/1"), prefix("128.0.0.0/1"), prefix("10.0.0.0/7"), prefix("2000::/3"), prefix("fc00::/6")}
		}),
			says: []string{"0.0.0.0/1, which is wider than any private network", "128.0.0.0/1, which is wider", "10.0.0.0/7, which is wider", "2000::/3, which is wider", "fc00::/6, which is wider"}},
		{name: "link-local", forwarded: with(func(f *mtls.Forwarded) { f.Trusted = []netip.Prefix{prefix("fe80::/10")} }), says: []string{"such peers have a zone"}},
		{name: "mapped", forwarded: with(func(f *mtls.Forwarded) { f.Trusted = []netip.Prefix{prefix("::ffff:10.0.0.0/104")} }), says: []string{"write IPv4 as IPv4"}},
		{name: "an address within", forwarded: with(func(f *mtls.Forwarded) { f.Trusted = []netip.Prefix{prefix("10.0.0.7/8")} }), says: []string{"write 10.0.0.0/8, or /32"}},
		{name: "not valid", forwarded: with(func(f *mtls.Forwarded) { f.Trusted = []netip.Prefix{{}} }), says: []string{"not valid"}},
		{name: "one header twice", forwarded: []mtls.Forwarded{good, {Header: good.Header, Format: mtls.Base64DER, Trusted: []netip.Prefix{prefix("192.0.2.1/32")}}}, says: []string{"Forwarded[1].Header is that of Forwarded[0]"}},
		{name: "one proxy twice", forwarded: []mtls.Forwarded{good, {Header: "X-Client-Cert", Format: mtls.EscapedPEM, Trusted: []netip.Prefix{prefix("10.1.2.0/24")}}}, says: []string{"Forwarded[1].Trusted overlaps"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			certificates, err := mtls.New(mtls.Config{Forwarded: tc.forwarded})
			require.Nil(t, certificates)
			require.ErrorIs(t, err, bearergate.ErrMisconfigured)
			require.Equal(t, bearergate.ReasonConfig, bearergate.ReasonOf(err))
			for _, says := range tc.says {
				require.ErrorContains(t, err, says)
			}
			require.Equal(t, len(tc.says), strings.Count(bearergate.AsError(err).Cause.Error(), "mtls: "))
		})
	}
}

// The widest private networks can be trusted, and the most hops be counted.
func TestWidestTrusted(t *testing.T) {
	c := forwardedBy("X-Forwarded-Client-Cert", mtls.XFCC, 8)
	c.Forwarded[0].Trusted = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fc00::/7")}
	newCertificates(t, c)
}

func TestConfigIsCopied(t *testing.T) {
	own := issue(t, newKey(t), nil)
	c := mtls.Config{Forwarded: []mtls.Forwarded{{Header: "Client-Cert", Format: mtls.RFC9440, Trusted: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}}}}
	certificates := newCertificates(t, c)
	c.Forwarded[0].Trusted[0] = netip.MustParsePrefix("192.0.2.0/24")
	c.Forwarded[0].Format = mtls.XFCC
	value := ":" + b64(own.Leaf.Raw) + ":"
	_, err := certificates.Confirm(t.Context(), callFrom("10.1.0.1:1", value), boundTo(x5t(own)))
	require.NoError(t, err)
	_, err = certificates.Confirm(t.Context(), callFrom("192.0.2.1:1", value), boundTo(x5t(own)))
	requireUnproven(t, err)
}
