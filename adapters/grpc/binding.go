package grpcgate

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/bearergate/bearergate"
)

// checkBindings returns all that is wrong with the bindings of a gate.
func checkBindings(bindings []bearergate.Binding) error {
	var errs []error
	seen := map[string]bool{}
	for i, b := range bindings {
		err := bearergate.Guard(context.Background(), errBinding, func(context.Context) error {
			if b == nil {
				return fmt.Errorf("number %d is nil", i+1)
			}
			if s := b.Scheme(); s != bearergate.SchemeBearer && s != bearergate.SchemeDPoP {
				return fmt.Errorf("number %d has the scheme %q: use SchemeBearer or SchemeDPoP", i+1, s)
			}
			if len(b.Members()) == 0 {
				return fmt.Errorf("number %d names no member of cnf", i+1)
			}
			for _, member := range b.Members() {
				if member == "jkt" && b.Scheme() != bearergate.SchemeDPoP {
					return fmt.Errorf("number %d is for jkt, and its scheme is not SchemeDPoP: such tokens are sent with that (RFC 9449 §7.1)", i+1)
				}
				if seen[member] {
					return fmt.Errorf("the member %q has two bindings", member)
				}
				seen[member] = true
			}
			return nil
		})
		if err != nil {
			errs = append(errs, bearergate.AsError(err).Cause)
		}
	}
	return errors.Join(errs...)
}

var errBinding = &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonConfig, Cause: errors.New("Config.Bindings")}

// checkConfirmations compares the bindings, which are in order, with the members
// of cnf that the verifiers let through, where these tell.
func checkConfirmations(bindings []bearergate.Binding, verifiers ...bearergate.Verifier) error {
	var confirmed, promised, useless, unconfirmed []string
	for _, b := range bindings {
		confirmed = append(confirmed, b.Members()...)
	}
	silent := false
	for _, v := range verifiers {
		p, ok := v.(interface{ Confirmations() []string })
		if !ok || isNil(v) {
			silent = true
			continue
		}
		err := bearergate.Guard(context.Background(), errBinding, func(context.Context) error {
			members := p.Confirmations()
			silent = silent || members == nil // nil says nothing
			promised = append(promised, members...)
			return nil
		})
		silent = silent || err != nil
	}
	for _, member := range confirmed {
		if !silent && !slices.Contains(promised, member) {
			useless = append(useless, member)
		}
	}
	for _, member := range promised {
		if !slices.Contains(confirmed, member) && !slices.Contains(unconfirmed, member) {
			unconfirmed = append(unconfirmed, member)
		}
	}
	var errs []error
	if useless != nil {
		errs = append(errs, fmt.Errorf("Config.Bindings: the verifier refuses tokens with the members %q of cnf: name them in its Confirmations", useless))
	}
	if unconfirmed != nil {
		errs = append(errs, fmt.Errorf("the verifier's Confirmations have the members %q of cnf, which nobody confirms: put what does into Config.Bindings, or take them out", unconfirmed))
	}
	return errors.Join(errs...)
}

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
	shown := bearergate.Call{Credentials: c.credentials}
	if len(g.config.Bindings) == 0 {
		return shown
	}
	shown.Method, shown.Target = "POST", fullMethod
	shown.Header = func(name string) []string { return metadata.ValueFromIncomingContext(ctx, strings.ToLower(name)) }
	if authority := shown.Header(":authority"); len(authority) == 1 {
		shown.Host = authority[0]
	}
	if c.sender = senderOf(ctx); c.sender != nil {
		shown.TLS, shown.Peer = c.sender.tls, c.sender.address
	}
	return shown
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
