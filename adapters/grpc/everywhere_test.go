package grpcgate_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/bearergate/bearergate"
	grpcgate "github.com/bearergate/bearergate/adapters/grpc"
	"github.com/bearergate/bearergate/issuers"
	"github.com/bearergate/bearergate/scope"
)

// enters runs a handler as gRPC would.
type enters func(ctx context.Context, handler func(context.Context) error) error

func unaryThrough(gates []*grpcgate.Gate) enters {
	return func(ctx context.Context, handler func(context.Context) error) error {
		run := func(ctx context.Context, _ any) (any, error) { return nil, handler(ctx) }
		for _, gate := range gates {
			next := run
			run = func(ctx context.Context, req any) (any, error) {
				return gate.Unary(ctx, req, &grpc.UnaryServerInfo{FullMethod: unaryCall}, next)
			}
		}
		_, err := run(ctx, nil)
		return err
	}
}

func streamThrough(gates []*grpcgate.Gate) enters {
	return func(ctx context.Context, handler func(context.Context) error) error {
		run := func(_ any, s grpc.ServerStream) error { return handler(s.Context()) }
		for _, gate := range gates {
			next := run
			run = func(srv any, s grpc.ServerStream) error {
				return gate.Stream(srv, s, &grpc.StreamServerInfo{FullMethod: duplex}, next)
			}
		}
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		return run(nil, &fakeStream{ctx: ctx})
	}
}

// The ways on which a token can come to a handler, all of them: a bound token is
// accepted on none without its proof, and with it on all. A handler takes an hour,
// and in that time a Reverify decides on.
func TestABoundTokenNeedsItsProofEverywhere(t *testing.T) {
	plain, reverify := grpcgate.Config{}, grpcgate.Config{Reverify: time.Minute}
	required := grpcgate.Config{Reverify: time.Minute, RequireBinding: true}
	byHand := func(decide func(context.Context, bearergate.Verifier, bearergate.Call, bearergate.Binding) (*bearergate.Token, error)) func(*testing.T, bearergate.Verifier, *binding) enters {
		return func(_ *testing.T, v bearergate.Verifier, b *binding) enters {
			return func(ctx context.Context, handler func(context.Context) error) error {
				md, _ := metadata.FromIncomingContext(ctx)
				c, err := bearergate.ParseCredentials(md.Get("authorization"), bearergate.SchemeBearer, bearergate.SchemeDPoP)
				require.NoError(t, err)
				token, err := decide(ctx, v, bearergate.Call{Credentials: c, Method: "POST", Target: unaryCall, Header: md.Get}, b)
				if err != nil {
					return grpcgate.Error(ctx, err)
				}
				return handler(bearergate.NewContext(ctx, token))
			}
		}
	}
	// behind returns the way through gates that are all made of one Config.
	behind := func(through func([]*grpcgate.Gate) enters, gates int, c grpcgate.Config, change func(*testing.T, *bearergate.Verifier, *grpcgate.Config)) func(*testing.T, bearergate.Verifier, *binding) enters {
		return func(t *testing.T, v bearergate.Verifier, b *binding) enters {
			c := c
			c.Bindings = []bearergate.Binding{b}
			if change != nil {
				change(t, &v, &c)
			}
			var all []*grpcgate.Gate
			for range gates {
				all = append(all, newGate(t, v, c))
			}
			return through(all)
		}
	}
	via := func(_ *testing.T, v *bearergate.Verifier, c *grpcgate.Config) {
		c.Via = map[string]bearergate.Verifier{unaryCall: *v, duplex: *v}
		*v = answers(nil, bearergate.ErrInvalidToken)
	}
	live := func(t *testing.T, v *bearergate.Verifier, _ *grpcgate.Config) {
		both, err := issuers.RequireLive(*v, *v)
		require.NoError(t, err)
		*v = both
	}
	for _, kind := range []struct {
		name   string
		member string
		scheme string
		new    func() *binding
	}{
		{name: "certificate", member: "x5t#S256", scheme: "Bearer", new: mtls},
		{name: "DPoP", member: "jkt", scheme: "DPoP", new: dpop},
	} {
		for _, way := range []struct {
			name string
			make func(*testing.T, bearergate.Verifier, *binding) enters
			shut bool // a proof does not help: this is no way for bound tokens
		}{
			{name: "unary", make: behind(unaryThrough, 1, plain, nil)},
			{name: "unary, Via", make: behind(unaryThrough, 1, plain, via)},
			{name: "unary, RequireBinding", make: behind(unaryThrough, 1, required, nil)},
			{name: "unary, RequireLive", make: behind(unaryThrough, 1, plain, live)},
			{name: "unary, nested", make: behind(unaryThrough, 2, plain, nil)},
			{name: "stream", make: behind(streamThrough, 1, plain, nil)},
			{name: "stream, Via", make: behind(streamThrough, 1, plain, via)},
			{name: "stream, nested", make: behind(streamThrough, 2, plain, nil)},
			{name: "Reverify", make: behind(streamThrough, 1, reverify, nil)},
			{name: "Reverify, RequireBinding", make: behind(streamThrough, 1, required, nil)},
			{name: "Reverify, Via", make: behind(streamThrough, 1, reverify, via)},
			{name: "Reverify, RequireLive", make: behind(streamThrough, 1, reverify, live)},
			{name: "Reverify, nested", make: behind(streamThrough, 2, reverify, nil)},
			{name: "Authenticate", make: byHand(func(ctx context.Context, v bearergate.Verifier, c bearergate.Call, b bearergate.Binding) (*bearergate.Token, error) {
				token, _, err := bearergate.Authenticate(ctx, v, c, b)
				return token, err
			})},
			{name: "Verify and Authorize", shut: true, make: byHand(func(ctx context.Context, v bearergate.Verifier, c bearergate.Call, _ bearergate.Binding) (*bearergate.Token, error) {
				token, err := bearergate.Verify(ctx, v, c.Raw.Reveal())
				if err == nil {
					err = token.Authorize(scope.All("read"))
				}
				return token, err
			})},
		} {
			for _, proof := range []string{"good", "wrong", ""} {
				t.Run(kind.name+"/"+way.name+"/proof "+proof, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						b := kind.new().that(func(_ context.Context, c bearergate.Call, _ *bearergate.Token) error {
							if got := c.Values("proof"); len(got) != 1 || got[0] != "good" {
								return errors.New("not the holder")
							}
							return nil
						})
						enter := way.make(t, answers(boundBy(kind.member), nil), b)
						md := metadata.Pairs("authorization", kind.scheme+" x")
						if proof != "" {
							md.Set("proof", proof)
						}
						proves := proof == "good" && !way.shut
						ran := false
						err := enter(metadata.NewIncomingContext(t.Context(), md), func(ctx context.Context) error {
							ran = true
							token, _ := bearergate.FromContext(ctx)
							assert.True(t, token.Proven())
							time.Sleep(time.Hour)
							return ctx.Err()
						})
						require.Equal(t, proves, ran)
						if !way.shut {
							require.EqualValues(t, 1, b.asked.Load(), "by one of all who decide")
						}
						if proves {
							require.NoError(t, err)
							return
						}
						require.Equal(t, codes.Unauthenticated, status.Code(err))
					})
				})
			}
		}
	}
}
