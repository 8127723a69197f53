package connectgate_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
)

// open opens a stream and sends a first message.
func open(t *testing.T, c *client) *connect.BidiStreamForClient[message, message] {
	t.Helper()
	stream := c.CallBidiStream(t.Context())
	stream.RequestHeader().Set("Authorization", "Bearer x")
	_ = stream.Send(wrapperspb.String("7")) // why it failed, Receive tells
	t.Cleanup(func() { _ = stream.CloseResponse() })
	return stream
}

// rest reads a stream to its end.
func rest(stream *connect.BidiStreamForClient[message, message]) error {
	for {
		if _, err := stream.Receive(); err != nil {
			return err
		}
	}
}

// A stream ends with its token, in every protocol, while the service waits for a message that
// never comes; and nothing that the service returns hides it.
func TestStreamEndsWithItsToken(t *testing.T) {
	for _, w := range wires {
		if w.http1 {
			continue // no stream in two directions
		}
		for name, returns := range map[string]func(error) error{
			"the error":     func(err error) error { return err },
			"nil":           func(error) error { return nil },
			"another error": func(error) error { return connect.NewError(connect.CodeNotFound, errors.New("gone")) },
		} {
			t.Run(w.name+", the service returns "+name, func(t *testing.T) {
				var seen events
				causes := make(chan error, 1)
				s := &service{holds: func(ctx context.Context, stream *connect.BidiStream[message, message]) error {
					for {
						if _, err := stream.Receive(); err != nil {
							causes <- context.Cause(ctx)
							if sent := stream.Send(wrapperspb.String("too late")); sent == nil {
								return errors.New("a message passed after the end")
							}
							return returns(err)
						}
						if err := stream.Send(subject(ctx)); err != nil {
							causes <- context.Cause(ctx)
							return returns(err)
						}
					}
				}}
				token := reader(func(c *bearergate.Claims) { c.ExpiresAt = time.Now().Add(300 * time.Millisecond) })
				server := serve(t, newGate(t, answers(token, nil), middleware.Config{Hooks: seen.hooks()}), s)
				err := rest(open(t, w.client(t, server, talk)))
				requireRefused(t, err, connect.CodeUnauthenticated, "TOKEN_EXPIRED")
				require.Equal(t, bearergate.ReasonExpired, bearergate.ReasonOf(<-causes))
				decided := told(t, &seen, 2)
				require.NoError(t, decided[0].Err)
				require.True(t, decided[1].Midstream)
				require.Equal(t, bearergate.ReasonExpired, decided[1].Reason)
				require.Equal(t, "alice", decided[1].Token.Subject())
				require.Equal(t, talk, decided[1].Pattern)
				require.Equal(t, middleware.SourceHeader, decided[1].Source)
				require.Equal(t, []string{"read"}, decided[1].Required.Scopes())
			})
		}
	}
}

// told waits until the hooks were told of n decisions: the last is told when the handler has
// returned, which the client may hear of before.
func told(t *testing.T, seen *events, n int) []middleware.DecisionEvent {
	t.Helper()
	var all []middleware.DecisionEvent
	require.Eventually(t, func() bool {
		all = append(all, seen.take()...)
		return len(all) >= n
	}, 10*time.Second, time.Millisecond)
	require.Len(t, all, n)
	return all
}

// revoked lets the first question pass.
type revoked struct {
	asked atomic.Int32
	token *bearergate.Token
}

func (v *revoked) Verify(context.Context, string) (*bearergate.Token, error) {
	if v.asked.Add(1) == 1 {
		return v.token, nil
	}
	return nil, &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonRevoked}
}

// A stream whose token was revoked ends, and is told of once.
func TestStreamEndsWhenItsTokenIsRevoked(t *testing.T) {
	for _, w := range wires {
		if w.http1 {
			continue
		}
		t.Run(w.name, func(t *testing.T) {
			var seen events
			v := &revoked{token: reader(nil)}
			server := serve(t, newGate(t, v, middleware.Config{Hooks: seen.hooks()}, middleware.Recheck(bearergate.MinRecheck), middleware.CancelOnExpiry()), new(service))
			requireRefused(t, rest(open(t, w.client(t, server, talk))), connect.CodeUnauthenticated, "TOKEN_INACTIVE")
			decided := told(t, &seen, 2)
			require.True(t, decided[1].Midstream)
			require.Equal(t, bearergate.ReasonRevoked, decided[1].Reason)
		})
	}
}

// A stream that the client ends, or whose token never expires, is the service's own.
func TestStreamEndsOtherwise(t *testing.T) {
	for name, token := range map[string]*bearergate.Token{
		"no exp":   reader(nil),
		"later":    reader(func(c *bearergate.Claims) { c.ExpiresAt = time.Now().Add(time.Hour) }),
		"very old": reader(func(c *bearergate.Claims) { c.AuthTime = time.Unix(1, 0) }),
	} {
		t.Run(name, func(t *testing.T) {
			server := serve(t, newGate(t, answers(token, nil), middleware.Config{}), new(service))
			stream := open(t, wires[0].client(t, server, talk))
			answer, err := stream.Receive()
			require.NoError(t, err)
			require.Equal(t, "alice", answer.GetValue())
			require.NoError(t, stream.CloseRequest())
			_, err = stream.Receive()
			require.ErrorIs(t, err, io.EOF)
		})
	}
}

// A unary call is not ended by the expiry of its token, also where the route was asked to.
func TestUnaryCallsOutliveTheirToken(t *testing.T) {
	expired := reader(func(c *bearergate.Claims) { c.ExpiresAt = time.Now().Add(-time.Second) }) // within the leeway of its verifier
	gate := newGate(t, answers(expired, nil), middleware.Config{})
	gate.Authenticated("/orders.v1.Orders/Hidden", middleware.CancelOnExpiry())
	s := &service{says: func(ctx context.Context) error { return ctx.Err() }}
	server := serve(t, gate, s)
	got, err := ask(t, wires[0].client(t, server, hidden), hidden, "Bearer x")
	require.NoError(t, err)
	require.Equal(t, "alice", got)
	_, err = ask(t, wires[0].client(t, server, watch), watch, "Bearer x")
	requireRefused(t, err, connect.CodeUnauthenticated, "TOKEN_EXPIRED")
}

// A deadline that passes while something is waited for is an outage, and counts.
func TestDeadline(t *testing.T) {
	slow := bearergate.VerifierFunc(func(ctx context.Context, _ string) (*bearergate.Token, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	for _, w := range wires {
		t.Run(w.name, func(t *testing.T) {
			var seen events
			server := serve(t, newGate(t, slow, middleware.Config{Hooks: seen.hooks()}), new(service))
			request := connect.NewRequest(wrapperspb.String("7"))
			request.Header().Set("Authorization", "Bearer x")
			// Said, and not kept by the client: its own clock would be the faster one.
			request.Header().Set("Connect-Timeout-Ms", "50")
			request.Header().Set("Grpc-Timeout", "50m")
			_, err := w.client(t, server, get).CallUnary(t.Context(), request)
			requireRefused(t, err, connect.CodeUnavailable, "TEMPORARILY_UNAVAILABLE")
			decided := told(t, &seen, 1)
			require.ErrorIs(t, decided[0].Err, bearergate.ErrUnavailable)
			require.Equal(t, bearergate.ReasonStoreUnavailable, decided[0].Reason, "an outage that nobody counts")
		})
	}
}

// A client that gives no time does not make a bad token an outage.
func TestDeadlineThatLeavesNoTime(t *testing.T) {
	refuses := bearergate.VerifierFunc(func(ctx context.Context, _ string) (*bearergate.Token, error) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		return nil, &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonSignature}
	})
	for _, row := range []struct{ kind, header, value string }{
		{"application/proto", "Connect-Timeout-Ms", "0"},
		{"application/proto", "Connect-Timeout-Ms", "1"},
		{"application/grpc", "Grpc-Timeout", "0n"},
		{"application/grpc", "Grpc-Timeout", "1n"},
		{"Application/GRPC", "Grpc-Timeout", "1n"},
		{"application/grpc-web", "Grpc-Timeout", "9u"},
	} {
		t.Run(row.kind+" "+row.value, func(t *testing.T) {
			var seen events
			server := serve(t, newGate(t, refuses, middleware.Config{Hooks: seen.hooks()}), new(service))
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+get, nil)
			require.NoError(t, err)
			r.Header.Set("Content-Type", row.kind)
			r.Header.Set(row.header, row.value)
			r.Header.Set("Authorization", "Bearer x")
			res, err := server.Client().Do(r)
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
			decided := told(t, &seen, 1)
			require.ErrorIs(t, decided[0].Err, bearergate.ErrInvalidToken)
			require.Equal(t, bearergate.ReasonSignature, decided[0].Reason)
		})
	}
}

// The deadline of a call is read as connect-go reads it.
func TestDeadlineOfAnyCase(t *testing.T) {
	slow := bearergate.VerifierFunc(func(ctx context.Context, _ string) (*bearergate.Token, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	var seen events
	server := serve(t, newGate(t, slow, middleware.Config{Hooks: seen.hooks()}), new(service))
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+get, nil)
	require.NoError(t, err)
	r.Header.Set("Content-Type", "Application/GRPC")
	r.Header.Set("Grpc-Timeout", "50m")
	r.Header.Set("Authorization", "Bearer x")
	res, err := server.Client().Do(r)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, bearergate.ReasonStoreUnavailable, told(t, &seen, 1)[0].Reason)
}

// Whatever a client says of its deadline, it does not get in, and takes nobody down.
func TestOddDeadlines(t *testing.T) {
	server := serve(t, newGate(t, answers(nil, bearergate.ErrInvalidToken), middleware.Config{}), new(service))
	for _, row := range []struct{ kind, header, value string }{
		{"application/proto", "Connect-Timeout-Ms", "0"},
		{"application/proto", "Connect-Timeout-Ms", "-1"},
		{"application/proto", "Connect-Timeout-Ms", "9999999999"},
		{"application/proto", "Connect-Timeout-Ms", "99999999999999999999"},
		{"application/proto", "Connect-Timeout-Ms", "1e3"},
		{"application/grpc", "Grpc-Timeout", "99999999H"},
		{"application/grpc", "Grpc-Timeout", "H"},
		{"application/grpc", "Grpc-Timeout", "1x"},
		{"application/grpc-web", "Grpc-Timeout", "0n"},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+get, nil)
		require.NoError(t, err)
		r.Header.Set("Content-Type", row.kind)
		r.Header.Set(row.header, row.value)
		r.Header.Set("Authorization", "Bearer x")
		res, err := server.Client().Do(r)
		require.NoError(t, err, row.value)
		require.NoError(t, res.Body.Close())
		if row.kind == "application/proto" {
			require.NotEqual(t, 200, res.StatusCode, row.value)
		} else {
			require.NotEqual(t, "0", res.Header.Get("Grpc-Status"), row.value)
			require.NotEmpty(t, res.Header.Get("Grpc-Status"), row.value)
		}
	}
}

// late hands out messages when the token has expired: what a network does that is slow.
type late struct {
	connect.StreamingHandlerConn
	until time.Time
}

func (l late) Receive(message any) error {
	err := l.StreamingHandlerConn.Receive(message)
	<-time.After(time.Until(l.until))
	return err
}

// interceptorOf makes one of what it does to a stream.
type interceptorOf func(connect.StreamingHandlerConn) connect.StreamingHandlerConn

func (interceptorOf) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc { return next }
func (interceptorOf) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}
func (i interceptorOf) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error { return next(ctx, i(conn)) }
}

// A message that comes after the end is not handed to the service.
func TestNoMessageAfterTheEnd(t *testing.T) {
	expires := time.Now().Add(300 * time.Millisecond)
	gate := newGate(t, answers(reader(func(c *bearergate.Claims) { c.ExpiresAt = expires }), nil), middleware.Config{})
	received := make(chan error, 1)
	s := &service{holds: func(_ context.Context, stream *connect.BidiStream[message, message]) error {
		_, err := stream.Receive()
		received <- err
		return err
	}}
	slow := interceptorOf(func(conn connect.StreamingHandlerConn) connect.StreamingHandlerConn { return late{conn, expires} })
	handler, err := gate.Handler(s.mux(connect.WithInterceptors(slow, gate.Interceptor())))
	require.NoError(t, err)
	server := httptest.NewUnstartedServer(handler)
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	requireRefused(t, rest(open(t, wires[0].client(t, server, talk))), connect.CodeUnauthenticated, "TOKEN_EXPIRED")
	requireRefused(t, <-received, connect.CodeUnauthenticated, "TOKEN_EXPIRED")
}
