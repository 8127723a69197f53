package grpcgate_test

import (
	"context"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/bearergate/bearergate"
	grpcgate "github.com/bearergate/bearergate/adapters/grpc"
	"github.com/bearergate/bearergate/middleware/sightings"
)

// The signal of stolen tokens, fed with the events of a gate for gRPC.
func TestSightings(t *testing.T) {
	told := 0 // the calls are made one after the other
	watch, err := sightings.New(sightings.Config{Networks: 1, Hooks: sightings.Hooks{Suspected: func(context.Context, sightings.Event) { told++ }}})
	require.NoError(t, err)
	from, err := bearergate.NewClientAddress(bearergate.ClientAddressConfig{})
	require.NoError(t, err)
	gate := newGate(t, answers(reader(func(c *bearergate.Claims) { c.ID = "7" }), nil), grpcgate.Config{ClientAddress: from,
		Hooks: grpcgate.Hooks{Decided: func(ctx context.Context, e grpcgate.DecisionEvent) {
			if !e.Midstream {
				watch.Saw(ctx, e.Token, e.Address)
			}
		}}})
	for i, ip := range []net.IP{net.IPv4(192, 0, 2, 1), net.IPv4(192, 0, 2, 9), net.IPv4(198, 51, 100, 1)} {
		ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs("authorization", "Bearer x"))
		ctx = peer.NewContext(ctx, &peer.Peer{Addr: &net.TCPAddr{IP: ip, Port: 1}})
		require.NoError(t, unary(ctx, gate, func(context.Context, any) (any, error) { return struct{}{}, nil }))
		require.Equal(t, i == 2, told == 1)
	}
	require.Equal(t, sightings.Status{Tokens: 1, Seen: 3, Suspected: 1}, watch.Status())
}
