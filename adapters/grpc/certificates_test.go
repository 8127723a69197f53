package grpcgate_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"math/big"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/bearergate/bearergate"
	grpcgate "github.com/bearergate/bearergate/adapters/grpc"
	certs "github.com/bearergate/bearergate/binding/mtls"
)

// Certificates see in a call of gRPC what they see in a request: the connection, the
// peer, and the header of a proxy.
func TestCertificates(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	own, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	sum := sha256.Sum256(der)
	token := reader(func(c *bearergate.Claims) {
		c.Confirmation = map[string][]byte{"x5t#S256": []byte(`"` + base64.RawURLEncoding.EncodeToString(sum[:]) + `"`)}
	})
	certificates, err := certs.New(certs.Config{Direct: true, Forwarded: []certs.Forwarded{{Header: "Client-Cert", Format: certs.RFC9440,
		Trusted: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}}}})
	require.NoError(t, err)
	gate := newGate(t, answers(token, nil), grpcgate.Config{Bindings: []bearergate.Binding{certificates}})
	header := ":" + base64.StdEncoding.EncodeToString(der) + ":"
	for _, tc := range []struct {
		name, peer string
		shown      []*x509.Certificate
		header     []string
		ok         bool
	}{
		{name: "its own certificate", peer: "192.0.2.1:1", shown: []*x509.Certificate{own}, ok: true},
		{name: "none", peer: "192.0.2.1:1"},
		{name: "in a header of its own", peer: "192.0.2.1:1", header: []string{header}},
		{name: "passed on by a proxy", peer: "10.1.0.1:1", header: []string{header}, ok: true},
		{name: "passed on twice", peer: "10.1.0.1:1", header: []string{header, header}},
		{name: "the proxy's own", peer: "10.1.0.1:1", shown: []*x509.Certificate{own}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ctx := metadata.NewIncomingContext(t.Context(), metadata.MD{"authorization": {"Bearer x"}, "client-cert": tc.header})
			ctx = peer.NewContext(ctx, &peer.Peer{Addr: address(tc.peer), AuthInfo: credentials.TLSInfo{State: tls.ConnectionState{PeerCertificates: tc.shown}}})
			_, err := gate.Unary(ctx, nil, &grpc.UnaryServerInfo{FullMethod: unaryCall}, nothing)
			if tc.ok {
				require.NoError(t, err)
				return
			}
			requireStatus(t, err, codes.Unauthenticated, "INVALID_TOKEN")
		})
	}
}

// address is a net.Addr.
type address string

func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }
