package grpcgate_test

import (
	"context"
	"errors"
	"io"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/bearergate/bearergate"
	grpcgate "github.com/bearergate/bearergate/adapters/grpc"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/scope"
)

// fakeStream is a grpc.ServerStream without a network. Its calls wait for its
// context, as those of gRPC do, unless recv or send say otherwise.
type fakeStream struct {
	grpc.ServerStream
	ctx        context.Context
	recv, send func() error
}

func (s *fakeStream) Context() context.Context { return s.ctx }
func (s *fakeStream) RecvMsg(any) error        { return s.wait(s.recv) }
func (s *fakeStream) SendMsg(any) error        { return s.wait(s.send) }

func (s *fakeStream) wait(f func() error) error {
	if f != nil {
		return f()
	}
	<-s.ctx.Done()
	return status.FromContextError(s.ctx.Err()).Err()
}

// follow runs a handler behind the gate as gRPC does, which ends the context of a
// stream when the interceptor has returned. A stream that nothing ends fails its
// test after a day, which in a bubble is soon.
func follow(t *testing.T, gate *grpcgate.Gate, fake *fakeStream, handler func(grpc.ServerStream) error) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(incoming(t.Context(), "x"), 24*time.Hour)
	defer cancel()
	fake.ctx = ctx
	return gate.Stream(nil, fake, &grpc.StreamServerInfo{FullMethod: duplex},
		func(_ any, s grpc.ServerStream) error { return handler(s) })
}

func expires(in time.Duration) *bearergate.Token {
	return reader(func(c *bearergate.Claims) { c.ExpiresAt = time.Now().Add(in) })
}

// A synctest bubble does not end before every goroutine in it has: each of these
// tests is also a test for leaks.

// Real gRPC, a real JWT, a handler that waits for a message that never comes.
func TestStreamEndsWithItsToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as := authtest.New(t)
		verifier, err := jwtverify.New(jwtverify.Config{Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client()})
		require.NoError(t, err)
		var seen events
		left := make(chan error, 1)
		s := &service{echo: func(stream grpc_testing.TestService_FullDuplexCallServer) error {
			for {
				if _, err := stream.Recv(); err != nil {
					requireError(t, context.Cause(stream.Context()), bearergate.ErrInvalidToken, bearergate.ReasonExpired)
					left <- err
					return errors.New("what a handler makes of it")
				}
				if err := stream.Send(&grpc_testing.StreamingOutputCallResponse{}); err != nil {
					return err
				}
			}
		}}
		conn := serve(t, newGate(t, verifier, grpcgate.Config{Hooks: seen.hooks()}), s)
		start := time.Now()
		token := as.Token(authtest.Claims{Scopes: scope.Of("read"), ExpiresAt: start.Add(time.Minute)})
		opened, err := grpc_testing.NewTestServiceClient(conn).FullDuplexCall(bearer(t, token))
		require.NoError(t, err)
		for range 5 {
			require.NoError(t, opened.Send(&grpc_testing.StreamingOutputCallRequest{}))
			_, err = opened.Recv()
			require.NoError(t, err)
			time.Sleep(10 * time.Second)
		}
		_, err = opened.Recv()
		require.Equal(t, time.Minute, time.Since(start))
		requireStatus(t, err, codes.Unauthenticated, "TOKEN_EXPIRED")
		require.Equal(t, "The access token has expired.", status.Convert(err).Message())
		requireStatus(t, <-left, codes.Unauthenticated, "TOKEN_EXPIRED")

		decided := seen.take()
		require.Len(t, decided, 2)
		require.NoError(t, decided[0].Err)
		require.False(t, decided[0].Midstream)
		requireError(t, decided[1].Err, bearergate.ErrInvalidToken, bearergate.ReasonExpired)
		require.True(t, decided[1].Midstream)
		require.Equal(t, bearergate.ReasonExpired, decided[1].Reason)
		require.Equal(t, duplex, decided[1].Method)
		require.Equal(t, time.Minute, decided[1].Duration)
		require.Equal(t, authtest.DefaultSubject, decided[1].Token.Subject())
	})
}

// Real gRPC, a client that does not read, a handler that waits to send.
func TestSendingEndsWithTheToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left := make(chan error, 1)
		s := &service{echo: func(stream grpc_testing.TestService_FullDuplexCallServer) error {
			for {
				err := stream.Send(&grpc_testing.StreamingOutputCallResponse{Payload: &grpc_testing.Payload{Body: make([]byte, 1<<14)}})
				if err != nil {
					left <- err
					return err
				}
			}
		}}
		conn := serve(t, newGate(t, answers(expires(time.Minute), nil), grpcgate.Config{}), s)
		start := time.Now()
		opened, err := grpc_testing.NewTestServiceClient(conn).FullDuplexCall(bearer(t, "x"))
		require.NoError(t, err)
		requireStatus(t, <-left, codes.Unauthenticated, "TOKEN_EXPIRED")
		require.Equal(t, time.Minute, time.Since(start))
		for err == nil {
			_, err = opened.Recv() // what was sent in time
		}
		requireStatus(t, err, codes.Unauthenticated, "TOKEN_EXPIRED")
	})
}

func TestExpiry(t *testing.T) {
	recv := func(s grpc.ServerStream) error { return s.RecvMsg(nil) }
	for name, test := range map[string]struct {
		config  grpcgate.Config
		token   time.Duration // from now; 0 never expires
		handler func(grpc.ServerStream) error
		after   time.Duration
		want    codes.Code
	}{
		"in RecvMsg": {token: time.Minute, handler: recv, after: time.Minute, want: codes.Unauthenticated},
		"in SendMsg": {token: time.Minute, handler: func(s grpc.ServerStream) error { return s.SendMsg(nil) }, after: time.Minute, want: codes.Unauthenticated},
		"in both": {token: time.Minute, handler: func(s grpc.ServerStream) error {
			sent := make(chan error)
			go func() { sent <- s.SendMsg(nil) }()
			return errors.Join(s.RecvMsg(nil), <-sent)
		}, after: time.Minute, want: codes.Unauthenticated},
		"watching the context": {token: time.Minute, handler: func(s grpc.ServerStream) error {
			<-s.Context().Done()
			return nil // as if all had been sent
		}, after: time.Minute, want: codes.Unauthenticated},
		"returning later": {token: time.Minute, handler: func(s grpc.ServerStream) error {
			time.Sleep(time.Hour)
			return io.EOF
		}, after: time.Hour, want: codes.Unauthenticated},
		"expired within the leeway of the verifier": {token: -time.Second, handler: recv, want: codes.Unauthenticated},
		"leeway": {config: grpcgate.Config{ExpiryLeeway: 5 * time.Second}, token: time.Minute, handler: recv,
			after: 65 * time.Second, want: codes.Unauthenticated},
		"outlives its token": {config: grpcgate.Config{InsecureOutliveToken: true}, token: time.Minute, handler: func(s grpc.ServerStream) error {
			time.Sleep(time.Hour)
			return s.Context().Err()
		}, after: time.Hour, want: codes.OK},
		"never expires": {handler: func(s grpc.ServerStream) error {
			time.Sleep(time.Hour)
			return s.Context().Err()
		}, after: time.Hour, want: codes.OK},
		"done in time": {token: time.Minute, handler: func(grpc.ServerStream) error {
			time.Sleep(time.Minute - 1)
			return nil
		}, after: time.Minute - 1, want: codes.OK},
		"an error of its own in time": {token: time.Minute, handler: func(grpc.ServerStream) error {
			return status.Error(codes.NotFound, "")
		}, want: codes.NotFound},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				token := reader(nil)
				if test.token != 0 {
					token = expires(test.token)
				}
				gate := newGate(t, answers(token, nil), test.config)
				start := time.Now()
				err := follow(t, gate, new(fakeStream), test.handler)
				require.Equal(t, test.after, time.Since(start))
				require.Equal(t, test.want, status.Code(err), "%v", err)
				if test.want == codes.Unauthenticated {
					requireStatus(t, err, codes.Unauthenticated, "TOKEN_EXPIRED")
				}
			})
		})
	}
}

// After the end, no message passes, whether or not the transport would take it.
func TestNoMessageAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var received, sent atomic.Int32
		fake := &fakeStream{
			recv: func() error { received.Add(1); return nil },
			send: func() error { sent.Add(1); return nil },
		}
		gate := newGate(t, answers(expires(time.Minute), nil), grpcgate.Config{})
		err := follow(t, gate, fake, func(s grpc.ServerStream) error {
			require.NoError(t, s.RecvMsg(nil))
			require.NoError(t, s.SendMsg(nil))
			time.Sleep(time.Minute + 1)
			for range 3 {
				requireStatus(t, s.RecvMsg(nil), codes.Unauthenticated, "TOKEN_EXPIRED")
				requireStatus(t, s.SendMsg(nil), codes.Unauthenticated, "TOKEN_EXPIRED")
			}
			return nil
		})
		requireStatus(t, err, codes.Unauthenticated, "TOKEN_EXPIRED")
		synctest.Wait()
		require.EqualValues(t, 1, received.Load())
		require.EqualValues(t, 1, sent.Load())
	})
	t.Run("a message that comes at the very end", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var ended <-chan struct{}
			fake := &fakeStream{recv: func() error { <-ended; return nil }}
			gate := newGate(t, answers(expires(time.Minute), nil), grpcgate.Config{})
			require.Error(t, follow(t, gate, fake, func(s grpc.ServerStream) error {
				ended = s.Context().Done()
				requireStatus(t, s.RecvMsg(nil), codes.Unauthenticated, "TOKEN_EXPIRED")
				return nil
			}))
		})
	})
}

// A stream that ends for another reason says that one.
func TestStreamEndsOtherwise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := newGate(t, answers(expires(time.Minute), nil), grpcgate.Config{Reverify: 20 * time.Second})
		ctx, cancel := context.WithCancel(incoming(t.Context(), "x"))
		time.AfterFunc(time.Second, cancel)
		err := gate.Stream(nil, &fakeStream{ctx: ctx}, &grpc.StreamServerInfo{FullMethod: duplex}, func(_ any, s grpc.ServerStream) error {
			err := s.RecvMsg(nil)
			require.Equal(t, codes.Canceled, status.Code(err))
			require.Equal(t, codes.Canceled, status.Code(s.SendMsg(nil)))
			return err
		})
		require.Equal(t, codes.Canceled, status.Code(err))
	})
	t.Run("EOF", func(t *testing.T) {
		gate := newGate(t, answers(expires(time.Minute), nil), grpcgate.Config{})
		err := follow(t, gate, &fakeStream{recv: func() error { return io.EOF }}, func(s grpc.ServerStream) error {
			require.Equal(t, io.EOF, s.RecvMsg(nil), "the very error")
			return nil
		})
		require.NoError(t, err)
	})
}

// Nothing of the gate outlives the handler, whatever becomes of the call's context.
func TestContextEndsWithTheHandler(t *testing.T) {
	for name, test := range map[string]struct {
		config grpcgate.Config
		token  *bearergate.Token
	}{
		"expiry":   {token: expires(time.Hour)},
		"reverify": {config: grpcgate.Config{Reverify: time.Hour}, token: reader(nil)},
		"both":     {config: grpcgate.Config{Reverify: time.Hour}, token: expires(time.Hour)},
	} {
		t.Run(name, func(t *testing.T) {
			var ctx context.Context
			gate := newGate(t, answers(test.token, nil), test.config)
			err := gate.Stream(nil, &fakeStream{ctx: incoming(t.Context(), "x")}, &grpc.StreamServerInfo{FullMethod: duplex},
				func(_ any, s grpc.ServerStream) error {
					ctx = s.Context()
					return ctx.Err()
				})
			require.NoError(t, err)
			require.ErrorIs(t, ctx.Err(), context.Canceled)
		})
	}
}

// A panic of the stream, of another interceptor's for example, arrives where the
// handler called it, and not in a goroutine where nobody recovers.
func TestStreamPanics(t *testing.T) {
	gate := newGate(t, answers(expires(time.Minute), nil), grpcgate.Config{})
	fake := &fakeStream{recv: func() error { panic("boom") }, send: func() error { panic("boom") }}
	_ = follow(t, gate, fake, func(s grpc.ServerStream) error {
		require.PanicsWithValue(t, "boom", func() { _ = s.RecvMsg(nil) })
		require.PanicsWithValue(t, "boom", func() { _ = s.SendMsg(nil) })
		return nil
	})
}

// verdicts is a verifier that answers differently each time, and then as the last.
type verdicts struct {
	calls atomic.Int32
	list  []func() (*bearergate.Token, error)
}

func (v *verdicts) Verify(context.Context, string) (*bearergate.Token, error) {
	return v.list[min(int(v.calls.Add(1)), len(v.list))-1]()
}

func TestReverify(t *testing.T) {
	good := func() (*bearergate.Token, error) { return reader(nil), nil }
	refused := func(kind error, reason bearergate.Reason) func() (*bearergate.Token, error) {
		return func() (*bearergate.Token, error) { return nil, &bearergate.Error{Kind: kind, Reason: reason} }
	}
	outage := refused(bearergate.ErrUnavailable, bearergate.ReasonIntrospectionUnavailable)
	type list = []func() (*bearergate.Token, error)
	for name, test := range map[string]struct {
		verdicts list
		ends     int // after that many intervals; 0 never
		kind     error
		reason   bearergate.Reason
		code     codes.Code
		wire     string
	}{
		"valid throughout": {verdicts: list{good}},
		"revoked": {verdicts: list{good, good, refused(bearergate.ErrInvalidToken, bearergate.ReasonRevoked)}, ends: 2,
			kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonRevoked, code: codes.Unauthenticated, wire: "TOKEN_INACTIVE"},
		"lost a scope": {verdicts: list{good, func() (*bearergate.Token, error) {
			return reader(func(c *bearergate.Claims) { c.Scopes = scope.Of("write") }), nil
		}}, ends: 1, kind: bearergate.ErrInsufficientScope, reason: bearergate.ReasonScope, code: codes.PermissionDenied, wire: "INSUFFICIENT_SCOPE"},
		"bound now": {verdicts: list{good, func() (*bearergate.Token, error) {
			return reader(func(c *bearergate.Claims) { c.Confirmation = map[string][]byte{"jkt": []byte(`"a"`)} }), nil
		}}, ends: 1, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonBinding, code: codes.Unauthenticated, wire: "INVALID_TOKEN"},
		"of another subject now": {verdicts: list{good, func() (*bearergate.Token, error) {
			return reader(func(c *bearergate.Claims) { c.Subject = "mallory" }), nil
		}}, ends: 1, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonBinding, code: codes.Unauthenticated, wire: "INVALID_TOKEN"},
		"of another issuer now": {verdicts: list{good, func() (*bearergate.Token, error) {
			return reader(func(c *bearergate.Claims) { c.Issuer = "https://other.example" }), nil
		}}, ends: 1, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonBinding, code: codes.Unauthenticated, wire: "INVALID_TOKEN"},
		"of another client now": {verdicts: list{good, func() (*bearergate.Token, error) {
			return reader(func(c *bearergate.Claims) { c.ClientID = "app" }), nil
		}}, ends: 1, kind: bearergate.ErrInvalidToken, reason: bearergate.ReasonBinding, code: codes.Unauthenticated, wire: "INVALID_TOKEN"},
		"forbidden": {verdicts: list{good, refused(bearergate.ErrForbidden, bearergate.ReasonPolicy)}, ends: 1,
			kind: bearergate.ErrForbidden, reason: bearergate.ReasonPolicy, code: codes.PermissionDenied, wire: "FORBIDDEN"},
		"an outage":       {verdicts: list{good, outage, good}},
		"outages between": {verdicts: list{good, outage, good, outage, good, outage, good}},
		"a long outage": {verdicts: list{good, good, outage}, ends: 3,
			kind: bearergate.ErrUnavailable, reason: bearergate.ReasonIntrospectionUnavailable, code: codes.Unavailable, wire: "TEMPORARILY_UNAVAILABLE"},
		"timeouts of the verifier": {verdicts: list{good, refused(bearergate.ErrUnavailable, bearergate.ReasonCanceled)}, ends: 2,
			kind: bearergate.ErrUnavailable, reason: bearergate.ReasonStoreUnavailable, code: codes.Unavailable, wire: "TEMPORARILY_UNAVAILABLE"},
		"a broken verifier": {verdicts: list{good, func() (*bearergate.Token, error) { panic("boom") }}, ends: 1,
			kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonInternal, code: codes.Internal, wire: "MISCONFIGURED"},
		"a verifier that does not return": {verdicts: list{good, func() (*bearergate.Token, error) { runtime.Goexit(); return nil, nil }}, ends: 1,
			kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonInternal, code: codes.Internal, wire: "MISCONFIGURED"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var seen events
				v := &verdicts{list: test.verdicts}
				gate := newGate(t, v, grpcgate.Config{Reverify: 10 * time.Second, Hooks: seen.hooks()})
				start := time.Now()
				err := follow(t, gate, new(fakeStream), func(s grpc.ServerStream) error {
					if test.ends == 0 {
						time.Sleep(5 * time.Minute)
						return s.Context().Err()
					}
					err := s.RecvMsg(nil)
					requireStatus(t, err, test.code, test.wire)
					return err
				})
				if test.ends == 0 {
					require.NoError(t, err)
					require.Len(t, seen.take(), 1, "what changes nothing is no event")
					require.GreaterOrEqual(t, v.calls.Load(), int32(30))
					require.LessOrEqual(t, v.calls.Load(), int32(35))
					return
				}
				requireStatus(t, err, test.code, test.wire)
				require.EqualValues(t, test.ends+1, v.calls.Load())
				require.LessOrEqual(t, time.Since(start), time.Duration(test.ends)*10*time.Second)
				require.GreaterOrEqual(t, time.Since(start), time.Duration(test.ends)*9*time.Second)
				decided := seen.take()
				require.Len(t, decided, 2)
				requireError(t, decided[1].Err, test.kind, test.reason)
				require.True(t, decided[1].Midstream)
			})
		})
	}
}

// exp is watched all the same, and also while the server that would know is away.
func TestReverifyAndExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &verdicts{}
		token := expires(time.Minute)
		v.list = append(v.list, func() (*bearergate.Token, error) { return token, nil })
		gate := newGate(t, v, grpcgate.Config{Reverify: 25 * time.Second})
		start := time.Now()
		err := follow(t, gate, new(fakeStream), func(s grpc.ServerStream) error { return s.RecvMsg(nil) })
		requireStatus(t, err, codes.Unauthenticated, "TOKEN_EXPIRED")
		require.Equal(t, time.Minute, time.Since(start))
		require.EqualValues(t, 3, v.calls.Load())
	})
}

// A handler that returns while its token is being verified anew ends that.
func TestReverifyEndsWithTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen events
		var calls atomic.Int32
		waits := bearergate.VerifierFunc(func(ctx context.Context, _ string) (*bearergate.Token, error) {
			if calls.Add(1) == 1 {
				return reader(nil), nil
			}
			<-ctx.Done()
			return nil, ctx.Err()
		})
		gate := newGate(t, waits, grpcgate.Config{Reverify: time.Second, Hooks: seen.hooks()})
		require.NoError(t, follow(t, gate, new(fakeStream), func(grpc.ServerStream) error {
			time.Sleep(5 * time.Second)
			return nil
		}))
		synctest.Wait()
		require.EqualValues(t, 2, calls.Load())
		require.Len(t, seen.take(), 1)
	})
}

// A verifier that waits for ever is an outage like another.
func TestReverifyThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		hangs := bearergate.VerifierFunc(func(ctx context.Context, _ string) (*bearergate.Token, error) {
			if calls.Add(1) == 1 {
				return reader(func(c *bearergate.Claims) { c.ExpiresAt = time.Time{} }), nil
			}
			<-ctx.Done()
			return nil, ctx.Err()
		})
		gate := newGate(t, hangs, grpcgate.Config{Reverify: time.Minute})
		start := time.Now()
		err := follow(t, gate, new(fakeStream), func(ss grpc.ServerStream) error {
			<-ss.Context().Done()
			return nil
		})
		requireStatus(t, err, codes.Unavailable, "TEMPORARILY_UNAVAILABLE")
		require.EqualValues(t, 3, calls.Load())
		require.LessOrEqual(t, time.Since(start), 2*time.Minute+20*time.Second)
		require.Greater(t, time.Since(start), 90*time.Second)
	})
}
