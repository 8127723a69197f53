package main

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/bearergate/bearergate"
	grpcgate "github.com/bearergate/bearergate/adapters/grpc"
	"github.com/bearergate/bearergate/binding/dpop"
	"github.com/bearergate/bearergate/binding/mtls"
	"github.com/bearergate/bearergate/scope"
)

// method is the one of the gRPC server.
const method = "/soak.v1.Orders/Get"

// orders is what protoc would generate for
//
//	service Orders { rpc Get(google.protobuf.Empty) returns (google.protobuf.StringValue); }
var orders = grpc.ServiceDesc{ServiceName: "soak.v1.Orders", Methods: []grpc.MethodDesc{{
	MethodName: "Get",
	Handler: func(srv any, ctx context.Context, decode func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) {
		in := new(emptypb.Empty)
		if err := decode(in); err != nil {
			return nil, err
		}
		return interceptor(ctx, in, &grpc.UnaryServerInfo{Server: srv, FullMethod: method}, func(ctx context.Context, _ any) (any, error) { return wrapperspb.String(serves(ctx)), nil })
	},
}}}

// serveGRPC serves the method behind the gate of adapters/grpc, and returns its address.
func (p *process) serveGRPC(v bearergate.Verifier, proofs dpop.Config, certificate tls.Certificate) (string, error) {
	d, err := dpop.New(proofs)
	if err != nil {
		return "", err
	}
	c, err := mtls.New(mtls.Config{Direct: true, Forwarded: []mtls.Forwarded{{Header: "Client-Cert", Format: mtls.RFC9440, Trusted: []netip.Prefix{haproxyAt}}}})
	if err != nil {
		return "", err
	}
	gate, err := grpcgate.New(v, grpcgate.Config{Methods: map[string]scope.Requirement{method: scope.All("read")}, Bindings: []bearergate.Binding{c, d},
		Hooks: grpcgate.Hooks{Decided: func(ctx context.Context, e grpcgate.DecisionEvent) {
			number := metadata.ValueFromIncomingContext(ctx, strings.ToLower(requestHeader))
			p.world.decisions.add(strings.Join(number, ","), decision{process: p.number, reason: e.Reason, user: userOf(e.Token)})
		}}})
	if err != nil {
		return "", err
	}
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{certificate}, ClientAuth: tls.RequestClientCert}
	p.grpc = grpc.NewServer(append(gate.ServerOptions(), grpc.Creds(credentials.NewTLS(config)))...)
	p.grpc.RegisterService(&orders, nil)
	go func() { _ = p.grpc.Serve(listener) }() // ends with close
	return listener.Addr().String(), nil
}

// dial makes the connections of a door to a gRPC server.
func (d *door) dial(i *identity, own, other *tls.Certificate) error {
	for c, certificate := range [certificates]*tls.Certificate{noCertificate: nil, ownCertificate: own, otherCertificate: other} {
		conn, err := grpc.NewClient("passthrough:///"+d.address, grpc.WithTransportCredentials(credentials.NewTLS(i.client(certificate))), grpc.WithAuthority(host))
		if err != nil {
			return err
		}
		d.conns[c] = conn
	}
	return nil
}

// statuses are what HTTP has for what gRPC says.
var statuses = map[codes.Code]int{
	codes.OK: http.StatusOK, codes.InvalidArgument: http.StatusBadRequest, codes.Unauthenticated: http.StatusUnauthorized,
	codes.PermissionDenied: http.StatusForbidden, codes.Unavailable: http.StatusServiceUnavailable,
}

// call sends a request as a call, and returns what HTTP would have answered.
func (d *door) call(r *request, number string) answer {
	md := metadata.Pairs(requestHeader, number)
	for name, values := range r.header {
		md.Append(name, values...)
	}
	var header, trailer metadata.MD
	var out wrapperspb.StringValue
	err := d.conns[r.shown].Invoke(metadata.NewOutgoingContext(context.Background(), md), method, &emptypb.Empty{}, &out, grpc.Header(&header), grpc.Trailer(&trailer))
	a := answer{status: statuses[status.Code(err)], err: err, header: http.Header{}}
	a.user, a.served = strings.CutPrefix(out.GetValue(), served)
	for _, from := range []metadata.MD{header, trailer} {
		for name, values := range from {
			for _, value := range values {
				a.header.Add(name, value)
			}
		}
	}
	return a
}
