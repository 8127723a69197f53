package grpcgate_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/bearergate/bearergate"
	grpcgate "github.com/bearergate/bearergate/adapters/grpc"
	"github.com/bearergate/bearergate/authtest"
	certs "github.com/bearergate/bearergate/binding/mtls"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/issuers"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/scope"
)

// Certificates see in a call of gRPC what they see in a request: the connection, the
// peer, and the header of a proxy.
// req: R8705-06 R8705-09 R9440-01..03 R9440-08 XFCC-01 XFCC-02 NGX-01 TRF-01
func TestCertificates(t *testing.T) {
	own, other := issue(t, newKey(t)), issue(t, newKey(t))
	const proxy, stranger = "10.1.0.1:1", "192.0.2.1:1"
	der := own.Leaf.Raw
	text := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	escaped := url.PathEscape(text)
	b64 := base64.StdEncoding.EncodeToString(der)
	header := ":" + b64 + ":"
	sum := sha256.Sum256(der)
	both := map[string]any{"x5t#S256": x5t(own), "jkt": "k"}
	for _, tc := range []struct {
		name   string
		peer   string       // "": that of no connection
		format certs.Format // default: RFC9440
		hops   int
		shown  []*x509.Certificate
		header []string
		others metadata.MD
		cnf    map[string]any // default: x5t#S256 of own
		ok     bool
	}{
		{name: "its own certificate", peer: stranger, shown: []*x509.Certificate{own.Leaf}, ok: true},
		{name: "MTL-003 another one", peer: stranger, shown: []*x509.Certificate{other.Leaf}},
		{name: "W2-170 none", peer: stranger},
		{name: "its own one, behind another", peer: stranger, shown: []*x509.Certificate{other.Leaf, own.Leaf}},
		{name: "MTL-007 in a header of its own", peer: stranger, header: []string{header}},
		{name: "its own one, and another in a header", peer: stranger, shown: []*x509.Certificate{own.Leaf}, header: []string{":AAAA:"}, ok: true},
		{name: "passed on by a proxy", peer: proxy, header: []string{header}, ok: true},
		{name: "passed on twice", peer: proxy, header: []string{header, header}},
		{name: "passed on in a list", peer: proxy, header: []string{header + ", " + header}},
		{name: "passed on without colons", peer: proxy, header: []string{b64}},
		{name: "the proxy's own", peer: proxy, shown: []*x509.Certificate{own.Leaf}},
		{name: "W2-177 in another field", peer: proxy, others: metadata.MD{"x-client-cert": {escaped}, "client-cert-chain": {header}}},
		{name: "MTL-005 W2-174 with padding", peer: stranger, shown: []*x509.Certificate{own.Leaf}, cnf: map[string]any{"x5t#S256": x5t(own) + "="}},
		{name: "MTL-005 W2-174 in hexadecimal", peer: stranger, shown: []*x509.Certificate{own.Leaf}, cnf: map[string]any{"x5t#S256": hex.EncodeToString(sum[:])}},
		{name: "W2-174 a number", peer: stranger, shown: []*x509.Certificate{own.Leaf}, cnf: map[string]any{"x5t#S256": 1}},
		{name: "R7800-01 a member that nobody confirms", peer: stranger, shown: []*x509.Certificate{own.Leaf}, cnf: both},

		{name: "W2-182 IPv4 in IPv6", peer: "[::ffff:10.1.0.1]:1", header: []string{header}, ok: true},
		{name: "W2-182 a Unix socket", peer: "/run/orders.sock", header: []string{header}},
		{name: "W2-182 a Unix socket, its own certificate", peer: "/run/orders.sock", shown: []*x509.Certificate{own.Leaf}},
		{name: "W2-182 an address without a port", peer: "10.1.0.1", header: []string{header}},
		{name: "W2-182 no peer", header: []string{header}},
		{name: "an address with a zone", peer: "[2001:db8:1::1%eth0]:1", header: []string{header}},

		{name: "nginx", peer: proxy, format: certs.EscapedPEM, header: []string{escaped}, ok: true},
		{name: "W2-181 nginx, two blocks", peer: proxy, format: certs.EscapedPEM, header: []string{url.PathEscape(text + text)}},
		{name: "Traefik, with the chain", peer: proxy, format: certs.Traefik, header: []string{b64 + "," + base64.StdEncoding.EncodeToString(other.Leaf.Raw)}, ok: true},
		{name: "Traefik, the second one", peer: proxy, format: certs.Traefik, header: []string{base64.StdEncoding.EncodeToString(other.Leaf.Raw) + "," + b64}},
		{name: "HAProxy", peer: proxy, format: certs.Base64DER, header: []string{b64}, ok: true},
		{name: "HAProxy, two", peer: proxy, format: certs.Base64DER, header: []string{b64 + "," + b64}},
		{name: "Envoy", peer: proxy, format: certs.XFCC, header: []string{`By=spiffe://a/b;Hash=` + hex.EncodeToString(sum[:]) + `;Cert="` + escaped + `";Subject="CN=\"a,b;c\""`}, ok: true},
		{name: "W2-179 Envoy, two elements", peer: proxy, format: certs.XFCC, header: []string{`By=a,Cert="` + escaped + `"`}},
		{name: "W2-180 Envoy, the hop that counts", peer: proxy, format: certs.XFCC, hops: 1, header: []string{`By=a,Cert="` + escaped + `"`}, ok: true},
		{name: "W2-180 Envoy, the client's own element", peer: proxy, format: certs.XFCC, hops: 1, header: []string{`Cert="` + escaped + `",By=a`}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			format := tc.format
			if format == "" {
				format = certs.RFC9440
			}
			certificates, err := certs.New(certs.Config{Direct: true, Forwarded: []certs.Forwarded{{Header: "Client-Cert", Format: format, Hops: tc.hops,
				Trusted: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("2001:db8:1::/48")}}}})
			require.NoError(t, err)
			if tc.cnf == nil {
				tc.cnf = map[string]any{"x5t#S256": x5t(own)}
			}
			var seen events
			gate := newGate(t, answers(confirmed(t, tc.cnf), nil), grpcgate.Config{Bindings: []bearergate.Binding{certificates}, Hooks: seen.hooks()})
			md := metadata.Join(metadata.MD{"authorization": {"Bearer x"}, "client-cert": tc.header}, tc.others)
			ctx := metadata.NewIncomingContext(t.Context(), md)
			if tc.peer != "" {
				ctx = peer.NewContext(ctx, &peer.Peer{Addr: address(tc.peer), AuthInfo: credentials.TLSInfo{State: tls.ConnectionState{PeerCertificates: tc.shown}}})
			}
			for _, enter := range []enters{unaryThrough([]*grpcgate.Gate{gate}), streamThrough([]*grpcgate.Gate{gate})} {
				ran := false
				err = enter(ctx, func(context.Context) error { ran = true; return nil })
				require.Equal(t, tc.ok, ran)
				decided := seen.take()
				require.Len(t, decided, 1)
				if tc.ok {
					require.NoError(t, err)
					require.True(t, decided[0].Token.Proven())
					continue
				}
				requireStatus(t, err, codes.Unauthenticated, "INVALID_TOKEN")
				requireError(t, decided[0].Err, bearergate.ErrInvalidToken, bearergate.ReasonBinding)
			}
		})
	}
}

// Real handshakes and real tokens, JWTs and opaque ones: only the sender with the very
// certificate gets in, on a connection that resumes a session too.
// req: R8705-01 R8705-02 R8705-04 R8705-05 R8705-10 R8705-11
func TestCertificatesOverTLS(t *testing.T) {
	key := newKey(t)
	own, renewed, other := issue(t, key), issue(t, key), issue(t, newKey(t))
	as := authtest.New(t)
	jwts, err := jwtverify.New(jwtverify.Config{Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client(), Confirmations: []string{"x5t#S256"}})
	require.NoError(t, err)
	asks, err := introspect.New(introspect.Config{Issuer: as.Issuer(), Auth: introspect.BasicAuth("api", "secret"), Audiences: []string{authtest.DefaultAudience},
		HTTPClient: as.Client(), Confirmations: []string{"x5t#S256"}})
	require.NoError(t, err)
	verifier, err := issuers.NewRouter(issuers.Config{Issuers: map[string]bearergate.Verifier{as.Issuer(): jwts}, Opaque: asks})
	require.NoError(t, err)
	certificates, err := certs.New(certs.Config{Direct: true})
	require.NoError(t, err)
	claims := authtest.Claims{Subject: "alice", Scopes: scope.Of("read")}
	unbound := as.Token(claims)
	claims.Confirmation = map[string][]byte{"x5t#S256": []byte(`"` + x5t(own) + `"`)}
	jwt, opaque := as.Token(claims), as.Opaque(claims)
	for _, required := range []bool{false, true} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			s := serveTLS(t, newGate(t, verifier, grpcgate.Config{Bindings: []bearergate.Binding{certificates}, RequireBinding: required}), version)
			for _, tc := range []struct {
				name  string
				token string
				shown []tls.Certificate
				plain bool // without TLS
				ok    bool
			}{
				{name: "its own certificate", token: jwt, shown: []tls.Certificate{own}, ok: true},
				{name: "MTL-002 W2-170 none", token: jwt},
				{name: "W2-170 no TLS", token: jwt, plain: true},
				{name: "MTL-003 another one", token: jwt, shown: []tls.Certificate{other}},
				{name: "MTL-004 W2-171 a renewed one for the same key", token: jwt, shown: []tls.Certificate{renewed}},
				{name: "MTL-017 introspected, its own certificate", token: opaque, shown: []tls.Certificate{own}, ok: true},
				{name: "MTL-017 introspected, another one", token: opaque, shown: []tls.Certificate{other}},
				{name: "MTL-017 introspected, none", token: opaque},
				{name: "MTL-011 an unbound token", token: unbound, shown: []tls.Certificate{own}, ok: !required},
			} {
				t.Run(fmt.Sprintf("%s/%s/required %v", tc.name, tls.VersionName(version), required), func(t *testing.T) {
					dial := s.dial(&tls.Config{Certificates: tc.shown, ClientSessionCache: tls.NewLRUClientSessionCache(8)})
					if tc.plain {
						dial = s.dial(nil)
					}
					for _, resumed := range []bool{false, true} { // W2-173
						conn := dial(t)
						for _, call := range []func(context.Context, *grpc.ClientConn) error{call, stream} {
							before := s.count()
							err := call(bearer(t, tc.token), conn)
							require.Equal(t, resumed && !tc.plain, s.resumed.Load())
							if tc.ok {
								require.NoError(t, err)
								require.Equal(t, before+1, s.count())
								continue
							}
							requireStatus(t, err, codes.Unauthenticated, "INVALID_TOKEN")
							require.Equal(t, before, s.count(), "the handler ran")
						}
						require.NoError(t, conn.Close())
					}
				})
			}
		}
	}
}

// tlsService is a service over TCP: with TLS, and without it at another address.
type tlsService struct {
	*service
	addresses [2]string
	roots     *x509.CertPool
	version   uint16
	resumed   atomic.Bool // the connection of the last call resumed a session
}

func serveTLS(t *testing.T, gate *grpcgate.Gate, version uint16) *tlsService {
	t.Helper()
	certificate := issue(t, newKey(t))
	s := &tlsService{service: new(service), roots: x509.NewCertPool(), version: version}
	s.roots.AddCert(certificate.Leaf)
	look := func(ctx context.Context) {
		p, _ := peer.FromContext(ctx)
		info, ok := p.AuthInfo.(credentials.TLSInfo)
		s.resumed.Store(ok && info.State.DidResume)
	}
	options := append([]grpc.ServerOption{
		grpc.ChainUnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			look(ctx)
			return next(ctx, req)
		}),
		grpc.ChainStreamInterceptor(func(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			look(stream.Context())
			return next(srv, stream)
		}),
	}, gate.ServerOptions()...)
	for i, transport := range []credentials.TransportCredentials{
		credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{certificate}, ClientAuth: tls.RequestClientCert}),
		insecure.NewCredentials(),
	} {
		server := grpc.NewServer(append(options, grpc.Creds(transport))...)
		grpc_testing.RegisterTestServiceServer(server, s.service)
		listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		require.NoError(t, err)
		s.addresses[i] = listener.Addr().String()
		ended := make(chan error, 1)
		go func() { ended <- server.Serve(listener) }()
		t.Cleanup(func() {
			server.Stop()
			require.NoError(t, <-ended)
		})
	}
	return s
}

// dial returns what opens connections as this configuration says; nil: without TLS.
func (s *tlsService) dial(c *tls.Config) func(*testing.T) *grpc.ClientConn {
	target, transport := s.addresses[1], insecure.NewCredentials()
	if c != nil {
		c.MinVersion, c.MaxVersion, c.RootCAs, c.ServerName = tls.VersionTLS12, s.version, s.roots, "orders.example"
		target, transport = s.addresses[0], credentials.NewTLS(c)
	}
	return func(t *testing.T) *grpc.ClientConn {
		t.Helper()
		conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(transport))
		require.NoError(t, err)
		return conn
	}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return key
}

// issue makes a self-signed certificate, each with its own serial number.
func issue(t *testing.T, key *ecdsa.PrivateKey) tls.Certificate {
	t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: serial, DNSNames: []string{"orders.example"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// x5t is x5t#S256 of a certificate (RFC 8705 §3.1).
func x5t(c tls.Certificate) string {
	sum := sha256.Sum256(c.Leaf.Raw)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func confirmed(t *testing.T, cnf map[string]any) *bearergate.Token {
	t.Helper()
	return reader(func(c *bearergate.Claims) {
		c.Confirmation = map[string][]byte{}
		for name, value := range cnf {
			text, err := json.Marshal(value)
			require.NoError(t, err)
			c.Confirmation[name] = text
		}
	})
}

// address is a net.Addr.
type address string

func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }
