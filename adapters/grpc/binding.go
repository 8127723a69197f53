package grpcgate

import (
	"context"
	"crypto/tls"
	"net/netip"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/bearergate/bearergate"
)

// sender is who is at the other end of a connection.
type sender struct {
	peer    *peer.Peer // the same for all calls of a connection
	address netip.AddrPort
	tls     *tls.ConnectionState
}

type senderKey struct{}

// senderOf returns the sender of a call, and for a gate further in the very one
// that the outer gate had: a proof counts for it only if TLS is the same pointer.
func senderOf(ctx context.Context) *sender {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil
	}
	if outer, ok := ctx.Value(senderKey{}).(*sender); ok && outer.peer == p {
		return outer
	}
	s := &sender{peer: p}
	if info, ok := p.AuthInfo.(credentials.TLSInfo); ok {
		s.tls = &info.State
	}
	if p.Addr != nil {
		if address, err := netip.ParseAddrPort(p.Addr.String()); err == nil {
			s.address = address
		}
	}
	return s
}

// shown is a call as a Binding sees it. Where nobody will look, it is not worth
// gathering.
func (g *Gate) shown(ctx context.Context, fullMethod string, c *call) bearergate.Call {
	var shown bearergate.Call
	if len(g.config.Bindings) > 0 {
		shown, c.sender = received(ctx, fullMethod)
	}
	shown.Credentials = c.credentials
	return shown
}

// received is a call without its credentials, and who sent it.
func received(ctx context.Context, fullMethod string) (bearergate.Call, *sender) {
	c := bearergate.Call{Method: "POST", Target: fullMethod, Header: headerOf(ctx)}
	if authority := c.Header(":authority"); len(authority) == 1 {
		c.Host = authority[0]
	}
	s := senderOf(ctx)
	if s != nil {
		c.TLS, c.Peer = s.tls, s.address
	}
	return c, s
}

// headerOf is the metadata of a call as header.
func headerOf(ctx context.Context) func(name string) []string {
	return func(name string) []string { return metadata.ValueFromIncomingContext(ctx, strings.ToLower(name)) }
}

// addressOf is the address of the sender, where that is wanted.
func (g *Gate) addressOf(ctx context.Context) netip.Addr {
	if g.config.ClientAddress == nil {
		return netip.Addr{}
	}
	shown := bearergate.Call{Header: headerOf(ctx)}
	if s := senderOf(ctx); s != nil {
		shown.Peer = s.address
	}
	return g.config.ClientAddress.Of(shown)
}

// metadataOf is a Reply as gRPC sends it, without what a header cannot hold.
func metadataOf(reply bearergate.Reply) metadata.MD {
	md := metadata.MD{}
	for name, value := range reply {
		name = strings.ToLower(name)
		if isKey(name) && !strings.ContainsFunc(value, func(c rune) bool { return c < ' ' || c > '~' }) {
			md[name] = []string{value}
		}
	}
	return md
}

// isKey reports whether s is a key of metadata whose value is text.
func isKey(s string) bool {
	return s != "" && !strings.HasSuffix(s, "-bin") && !strings.HasPrefix(s, "grpc-") &&
		!strings.ContainsFunc(s, func(c rune) bool {
			return (c < 'a' || c > 'z') && (c < '0' || c > '9') && !strings.ContainsRune("-_.", c)
		})
}

// reply has gRPC send what the bindings ask for: with the headers of a call that
// goes on, and with the trailers of a refusal, which has no headers. It fails only
// where there is no call of gRPC to answer.
func (c call) reply(ctx context.Context) {
	if len(c.asked) == 0 {
		return
	}
	if c.err != nil {
		_ = grpc.SetTrailer(ctx, metadataOf(c.asked))
		return
	}
	_ = grpc.SetHeader(ctx, metadataOf(c.asked))
}
