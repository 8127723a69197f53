// Package mtls confirms that the sender of a request has the client certificate to
// which its token is bound (RFC 8705 §3): the member x5t#S256 of cnf is the SHA-256 of
// that certificate. A token that was stolen is of no use to somebody who has not the
// certificate's key.
//
//	certificates, err := mtls.New(mtls.Config{Direct: true})
//	verifier, err := jwtverify.New(jwtverify.Config{…, Confirmations: []string{"x5t#S256"}})
//	gate, err := middleware.New(verifier, middleware.Config{Bindings: []bearergate.Binding{certificates}})
//
// A token without cnf passes as before: demand bound tokens by middleware.Bound or
// Config.RequireBinding of middleware.
//
// It compares and does not judge: whether a certificate has expired, was revoked or is
// of a trusted authority is not asked. RFC 8705 §6.2 has no need of it: the
// authorization server has bound the token to this very certificate, which may be
// self-signed. A renewed certificate is another certificate, also with the old key.
//
// A certificate that crypto/x509 cannot parse is refused, by the handshake as well as in
// a header: one with a key on a brainpool curve or on secp256k1, for example. Such clients
// need a key of another kind. Only XFCC's Hash alone says nothing of what it is of.
//
// # TLS that ends here
//
// Set [Config].Direct, and have the server ask for certificates: tls.Config.ClientAuth
// must be tls.RequestClientCert or stricter. With RequestClientCert, Go verifies no
// chain, and the handshake proves all the same that the client has the key.
//
// # TLS that ends at a proxy
//
// Set [Config].Forwarded. The proxy passes the certificate on in a header that a client
// could send as well. So the header counts only on connections from Trusted, and the
// proxy MUST remove or overwrite it in every request, also where the client has shown no
// certificate (RFC 9440 §4); if it does not, whoever has a stolen token and the
// certificate, which is no secret, uses the token.
//
//	nginx    ssl_verify_client optional;
//	         proxy_set_header X-Client-Cert $ssl_client_escaped_cert;
//	         the second in every location that has a proxy_set_header of its own,
//	         for these replace those further out
//	Envoy    forward_client_cert_details: SANITIZE_SET
//	         set_current_client_cert_details: { cert: true }
//	Traefik  the middleware passTLSClientCert with pem: true, on every router, for a
//	         router without it lets the header through; clients that show no
//	         certificate must be refused (clientAuthType: RequireAnyClientCert),
//	         or the header removed by the middleware headers before it
//	HAProxy  bind … verify optional
//	         http-request del-header X-Client-Cert
//	         http-request set-header X-Client-Cert %[ssl_c_der,base64] if { ssl_c_used }
//	         or, with the format RFC9440,
//	         http-request del-header Client-Cert
//	         http-request set-header Client-Cert :%[ssl_c_der,base64]: if { ssl_c_used }
//
// Only if clients have self-signed certificates, ask for those of any authority:
//
//	nginx    ssl_verify_client optional_no_ca;
//	HAProxy  bind … verify optional crt-ignore-err all ca-ignore-err all
//
// Nothing may rewrite http.Request.RemoteAddr from a header, as the handlers RealIP and
// ProxyHeaders of some routers do: whoever sends that header would be the proxy. Nobody
// but the proxy may reach the service from an address in Trusted. [Certificates.SelfTest]
// finds a proxy that lets a client's own header through, if it is asked with a client
// certificate and without one.
//
// # Envoy that asks
//
// Set [Config].Told where Envoy asks adapters/extauthz: it tells the certificate itself, and
// no header counts.
//
// # The PROXY protocol
//
// A listener that reads the PROXY protocol replaces RemoteAddr as well: by the address in
// the first line of a connection, which is the client's.
//
//   - TLS ends here, behind a balancer that passes TCP on: set Direct alone, for which
//     RemoteAddr is of no matter.
//   - TLS ends at the proxy: the address is no longer the proxy's, and Trusted would have to
//     name clients, each of whom then has any certificate. Turn the PROXY protocol off
//     between that proxy and this service, or give the proxy a listener without it.
//   - Both at one service: the listener MUST take the line from the balancer alone. Whoever
//     else may send one writes an address of Trusted there, and is the proxy. Two listeners
//     with a gate each, Direct at the one and Forwarded at the other, are the safer way.
//
// [Certificates] is safe for concurrent use.
package mtls

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/internal/mistake"
	"github.com/bearergate/bearergate/internal/peers"
)

// member is what this package confirms of cnf (RFC 8705 §3.1).
const member = "x5t#S256"

// Config says where the certificate of a sender is found. Direct, Told or Forwarded is
// required; there is no default.
type Config struct {
	// Direct takes the client certificate of the sender's own connection, for a server
	// at which TLS ends. Beside Forwarded it counts for senders that are no trusted
	// proxy; a proxy's own certificate never counts as the sender's. A call whose peer
	// is not known (a Unix socket, a rewritten RemoteAddr) is then refused.
	Direct bool
	// Told takes the certificate that a proxy tells apart from every header when it asks
	// about a request ([bearergate.Call].Certificate): Envoy, by adapters/extauthz. It is that
	// of the sender's connection to the proxy. Beside Forwarded it counts for senders that are
	// no trusted proxy, as Direct does. Where nobody asks so, there is no such certificate, and
	// a bound token is refused. Direct with Told is a mistake: of one gate, TLS ends here or at
	// the proxy that asks.
	Told bool
	// Forwarded are the proxies that pass certificates on in a header. The slice is
	// copied.
	Forwarded []Forwarded
}

// Forwarded is one kind of proxy: where it connects from, and how it passes the
// client's certificate on. All but Hops is required.
type Forwarded struct {
	// Header is the header field that the proxy sets, as Go writes it: Client-Cert,
	// X-Forwarded-Client-Cert. Any other field is ignored.
	//
	// Danger: a proxy that does not remove or overwrite this very field lets its clients
	// choose the certificate. See the package comment.
	Header string
	// Format is how the certificate is written.
	Format Format
	// Trusted are the addresses that the proxy connects from, IPv4 as IPv4. The header
	// is ignored from every other peer. A peer with an IPv6 zone is not trusted. The
	// prefixes of two entries must not overlap, for a proxy sees to one header only. None
	// may be wider than 10.0.0.0/8 or fc00::/7, the widest private networks that there are
	// (RFC 1918, RFC 4193).
	//
	// Danger: whoever can connect from one of these addresses has any certificate. Behind
	// a listener for the PROXY protocol, these are no addresses of proxies: see the package
	// comment.
	Trusted []netip.Prefix
	// Hops says which element of an [XFCC] header counts, from the right: 1 is the last
	// one, of the client of the nearest proxy; 2 that of the client of the proxy before.
	// Default: 0, there must be exactly one. At most [MaxHops]. For XFCC only.
	//
	// Danger: with more hops than there are proxies of your own, the client chooses the
	// element. The outermost proxy must be set to SANITIZE_SET.
	Hops int
}

// The bounds of what a proxy may send.
const (
	// MaxCertificateBytes is the longest certificate, in DER.
	MaxCertificateBytes = 16 << 10
	// MaxHeaderBytes is the longest header field. It is four times MaxCertificateBytes, for
	// the certificate is percent-encoded there, and XFCC and Traefik pass the chain on
	// beside it; who is no trusted proxy cannot have it read at all.
	MaxHeaderBytes = 64 << 10
	// MaxHops is the largest Hops, and how many elements an XFCC header may have.
	MaxHops = 8
)

// Certificates confirms tokens that are bound to client certificates: a
// [bearergate.Binding]. It is safe for concurrent use.
type Certificates struct {
	direct    bool
	told      bool
	forwarded []Forwarded
}

var _ bearergate.Binding = (*Certificates)(nil)

// New returns the Certificates of a configuration, or all that is wrong with it.
func New(c Config) (*Certificates, error) {
	wrong := mistake.In("mtls")
	if !c.Direct && !c.Told && len(c.Forwarded) == 0 {
		wrong.Addf("neither Direct nor Forwarded is set: set Direct if TLS ends at this service, Forwarded if it ends at a proxy, Told if it ends at an Envoy that asks")
	}
	if c.Direct && c.Told {
		wrong.Addf("Direct and Told are both set: TLS ends at this service, or at the proxy that asks")
	}
	for i, f := range c.Forwarded {
		f.check(&wrong, i)
		for j, other := range c.Forwarded[:i] {
			if f.Header != "" && f.Header == other.Header {
				wrong.Addf("Forwarded[%d].Header is that of Forwarded[%d]: make them one entry, or have the proxies set different headers", i, j)
			}
			if slices.ContainsFunc(f.Trusted, func(p netip.Prefix) bool { return slices.ContainsFunc(other.Trusted, p.Overlaps) }) {
				wrong.Addf("Forwarded[%d].Trusted overlaps Forwarded[%d].Trusted: give each proxy one header, for it lets the other one through", i, j)
			}
		}
	}
	if err := wrong.Err(); err != nil {
		return nil, &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonConfig, Cause: err}
	}
	copied := slices.Clone(c.Forwarded)
	for i := range copied {
		copied[i].Trusted = slices.Clone(copied[i].Trusted)
	}
	return &Certificates{direct: c.Direct, told: c.Told, forwarded: copied}, nil
}

// check adds what is wrong with the entry i.
func (f Forwarded) check(wrong *mistake.List, i int) {
	peers.CheckHeader(wrong, fmt.Sprintf("Forwarded[%d].Header", i), f.Header, "Client-Cert", "Client-Cert-Chain")
	if !f.Format.known() {
		wrong.Addf("Forwarded[%d].Format is %.100q: use one of the constants, such as RFC9440", i, string(f.Format))
	}
	switch {
	case f.Hops != 0 && f.Format.known() && f.Format != XFCC:
		wrong.Addf("Forwarded[%d].Hops is %d, and is for XFCC only: leave it out", i, f.Hops)
	case f.Hops < 0 || f.Hops > MaxHops:
		wrong.Addf("Forwarded[%d].Hops is %d: choose between 1 and %d, or leave it out if the header has one element", i, f.Hops, MaxHops)
	}
	peers.CheckTrusted(wrong, fmt.Sprintf("Forwarded[%d].Trusted", i), f.Trusted)
}

// Scheme is Bearer: RFC 8705 §3 has no scheme of its own.
func (*Certificates) Scheme() bearergate.Scheme { return bearergate.SchemeBearer }

// Members are x5t#S256 alone (RFC 8705 §3.1).
func (*Certificates) Members() []string { return []string{member} }

// Direct reports whether [Config].Direct is set: where a proxy asks for somebody else's
// request, the connection is the proxy's own, and a gate there says that this is a mistake.
func (c *Certificates) Direct() bool { return c != nil && c.direct }

// Challenge adds nothing to the Bearer challenge.
func (*Certificates) Challenge() map[string]string { return nil }

// Confirm compares the SHA-256 of the sender's certificate with the one that the token
// names. A certificate that differs, cannot be read, or is not there is
// [bearergate.ErrInvalidToken] with [bearergate.ReasonBinding]. No error holds anything
// of a certificate or of a header.
//
// Where a proxy told the certificate, the Reply asks for Cache-Control: no-store, for a
// cache between cannot see what the response depends on (RFC 9440 §2.4). A handler may
// set another one.
func (c *Certificates) Confirm(_ context.Context, call bearergate.Call, t *bearergate.Token) (bearergate.Reply, error) {
	if c == nil {
		return nil, &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonConfig, Cause: errors.New("mtls: the Certificates are nil: use what New returned")}
	}
	text, _ := t.Confirmation().Value(member)
	want, ok := jose.ParseThumbprint(text)
	if !ok {
		return nil, unproven("the member x5t#S256 of cnf is not the SHA-256 of a certificate: it has to be 43 characters of base64url without padding (RFC 8705 section 3.1)")
	}
	proxy, err := c.proxyOf(call.Peer)
	if err != nil {
		return nil, err
	}
	var reply bearergate.Reply
	var got thumbprint
	if proxy != nil {
		reply = bearergate.Reply{"Cache-Control": "no-store"}
		got, err = proxy.certificate(call.Values(proxy.Header))
	} else {
		got, err = c.ownCertificate(call)
	}
	if err != nil {
		return reply, err
	}
	// In constant time: how many bytes agree is nobody's business (RFC 8705 §7.2).
	if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
		return reply, unproven("the client's certificate is not the one to which the token is bound: if it was renewed, have the client ask for a new token")
	}
	return reply, nil
}

// proxyOf returns the entry that trusts a peer, nil if the peer is a sender itself.
func (c *Certificates) proxyOf(peer netip.AddrPort) (*Forwarded, error) {
	if len(c.forwarded) == 0 {
		return nil, nil
	}
	if !peer.IsValid() {
		// It could be the proxy, whose own certificate is nobody's proof.
		return nil, unproven("nobody knows who is connected, so that no header with a certificate can be believed: serve on TCP, and let nothing rewrite RemoteAddr")
	}
	// A listener for both families shows IPv4 peers as ::ffff:a.b.c.d.
	addr := peer.Addr().Unmap()
	if addr.Zone() != "" { // as link-local addresses have
		// No prefix has one, so that a proxy would look like a sender of its own.
		return nil, unproven("the peer has a link-local address, of which nobody can tell whether it is a trusted proxy: connect from another one")
	}
	for i := range c.forwarded {
		if peers.Trusts(c.forwarded[i].Trusted, addr) {
			return &c.forwarded[i], nil
		}
	}
	return nil, nil
}

// ownCertificate is that of the sender's own connection. Only the leaf counts: of the
// others, the handshake does not prove that the client has their keys.
func (c *Certificates) ownCertificate(call bearergate.Call) (thumbprint, error) {
	switch {
	case c.told && call.Certificate == nil:
		return thumbprint{}, unproven("the proxy that asks told no client certificate: have it send them (include_peer_certificate of Envoy's ext_authz) and ask its clients for one")
	case c.told:
		return sha256.Sum256(call.Certificate.Raw), nil
	case !c.direct:
		return thumbprint{}, unproven("the peer is no proxy of Trusted, and Direct is not set: add the address that the proxy connects from, if it is one, and never that of a client, which a listener for the PROXY protocol shows here")
	case call.TLS == nil:
		return thumbprint{}, unproven("the request did not come over TLS, so that there is no client certificate: set Forwarded, if TLS ends at a proxy")
	case len(call.TLS.PeerCertificates) == 0 || call.TLS.PeerCertificates[0] == nil:
		return thumbprint{}, unproven("the client has shown no certificate: set ClientAuth of the server's tls.Config, if it should have been asked for one")
	}
	return sha256.Sum256(call.TLS.PeerCertificates[0].Raw), nil
}

// thumbprint is the SHA-256 of a certificate's DER.
type thumbprint [sha256.Size]byte

func unproven(what string) error {
	return &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonBinding, Detail: "mtls: " + what}
}
