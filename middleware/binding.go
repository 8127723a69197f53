package middleware

import (
	"crypto/x509"
	"maps"
	"net/http"
	"net/netip"
	"strings"

	"github.com/bearergate/bearergate"
)

var errChallenge = &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonConfig}

// call is the request as a Binding sees it. Where nobody will look, it is not
// worth gathering.
func (g *Gate) call(r *http.Request, c bearergate.Credentials) bearergate.Call {
	call := bearergate.Call{Credentials: c}
	if len(g.config.Bindings) == 0 {
		return call
	}
	call.Method, call.Target, call.Host, call.Header, call.TLS = r.Method, r.RequestURI, r.Host, r.Header.Values, r.TLS
	if call.Method == "" {
		call.Method = http.MethodGet
	}
	if call.Target == "" && r.URL != nil {
		call.Target = r.URL.RequestURI()
	}
	call.Peer = peerOf(r)
	call.Certificate, _ = r.Context().Value(toldCertificate{}).(*x509.Certificate)
	return call
}

// toldCertificate is the key of the certificate in the context of a request that an [Advisor]
// was told of. Nobody else can write it.
type toldCertificate struct{}

// peerOf is who is connected; nobody where something has rewritten RemoteAddr.
func peerOf(r *http.Request) netip.AddrPort {
	peer, _ := netip.ParseAddrPort(r.RemoteAddr)
	return peer
}

// addressOf is the address of the sender, where that is wanted.
func (g *Gate) addressOf(r *http.Request) netip.Addr {
	if g.config.ClientAddress == nil {
		return netip.Addr{}
	}
	return g.config.ClientAddress.Of(bearergate.Call{Header: r.Header.Values, Peer: peerOf(r)})
}

// reply writes what bindings ask for, but nothing that a header cannot hold.
func reply(w http.ResponseWriter, headers bearergate.Reply) {
	for name, value := range sendable(headers) {
		w.Header().Set(name, value)
	}
}

// sendable takes out what a header cannot hold. headers is no map that a Binding keeps:
// [bearergate.Authenticate] makes one for each request.
func sendable(headers bearergate.Reply) bearergate.Reply {
	maps.DeleteFunc(headers, func(name, value string) bool { return !isToken(name) || !isPrintable(value) })
	return headers
}

// isToken reports whether s is a token of RFC 9110 §5.6.2, as the names of headers
// and of parameters are.
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool {
		return !isAlphanumeric(c) && !strings.ContainsRune("!#$%&'*+-.^_`|~", c)
	})
}

// isPrintable reports whether s is printable ASCII, as the value of a header may be.
func isPrintable(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c < 0x20 || c > 0x7e })
}
