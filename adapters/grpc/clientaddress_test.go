package grpcgate_test

import (
	"context"
	"net"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/bearergate/bearergate"
	grpcgate "github.com/bearergate/bearergate/adapters/grpc"
)

// Whatever is decided, the event says where the call came from.
func TestAddressOfADecision(t *testing.T) {
	at := func(c bearergate.ClientAddressConfig) *bearergate.ClientAddress {
		a, err := bearergate.NewClientAddress(c)
		require.NoError(t, err)
		return a
	}
	behind := at(bearergate.ClientAddressConfig{Header: "X-Forwarded-For", Trusted: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}})
	for _, tc := range []struct {
		name   string
		peer   net.Addr
		from   *bearergate.ClientAddress
		header []string
		want   netip.Addr
	}{
		{name: "nobody asks", peer: &net.TCPAddr{IP: net.IPv4(198, 51, 100, 7), Port: 1}},
		{name: "the peer", peer: &net.TCPAddr{IP: net.IPv4(198, 51, 100, 7), Port: 1}, from: at(bearergate.ClientAddressConfig{}), want: netip.MustParseAddr("198.51.100.7")},
		{name: "behind a proxy", peer: &net.TCPAddr{IP: net.IPv4(10, 1, 2, 3), Port: 1}, from: behind, header: []string{"192.0.2.66, 203.0.113.5"}, want: netip.MustParseAddr("203.0.113.5")},
		{name: "a value for each proxy", peer: &net.TCPAddr{IP: net.IPv4(10, 1, 2, 3), Port: 1}, from: behind, header: []string{"192.0.2.66", "203.0.113.5", "10.1.9.9"}, want: netip.MustParseAddr("203.0.113.5")},
		{name: "behind a proxy that says nothing", peer: &net.TCPAddr{IP: net.IPv4(10, 1, 2, 3), Port: 1}, from: behind},
		{name: "a Unix socket", peer: &net.UnixAddr{Name: "/run/api.sock"}, from: behind, header: []string{"203.0.113.5"}},
		{name: "no peer", from: behind, header: []string{"203.0.113.5"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			told := &events{}
			gate := newGate(t, answers(reader(nil), nil), grpcgate.Config{Hooks: told.hooks(), ClientAddress: tc.from})
			for _, authorization := range []string{"Bearer x", ""} {
				md := metadata.MD{"x-forwarded-for": tc.header}
				if authorization != "" {
					md.Set("authorization", authorization)
				}
				ctx := metadata.NewIncomingContext(t.Context(), md)
				if tc.peer != nil {
					ctx = peer.NewContext(ctx, &peer.Peer{Addr: tc.peer})
				}
				err := unary(ctx, gate, func(context.Context, any) (any, error) { return struct{}{}, nil })
				require.Equal(t, authorization == "", err != nil)
				decided := told.take()
				require.Len(t, decided, 1)
				require.Equal(t, tc.want, decided[0].Address)
			}
		})
	}
}
