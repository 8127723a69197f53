package connectgate

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"time"

	"connectrpc.com/connect"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
)

// Interceptor returns the second half of the gate, for connect.WithInterceptors of every
// handler of the service: see the package comment. Give it first, so that what stands behind
// runs for calls that were let in alone. On a client it does nothing.
func (g *Gate) Interceptor() connect.Interceptor { return interceptor{g} }

type interceptor struct{ gate *Gate }

// WrapUnary is that of connect.Interceptor.
func (i interceptor) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
		if request.Spec().IsClient {
			return next(ctx, request)
		}
		c, err := i.gate.admitted(ctx, request.Spec())
		if err != nil {
			return nil, err
		}
		response, err := next(ctx, request)
		if err != nil {
			return nil, c.sendable(i.gate.outcome(ctx, err))
		}
		return response, nil
	}
}

// WrapStreamingClient is that of connect.Interceptor.
func (i interceptor) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// WrapStreamingHandler is that of connect.Interceptor.
func (i interceptor) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		c, err := i.gate.admitted(ctx, conn.Spec())
		if err != nil {
			return err
		}
		token, ok := bearergate.FromContext(ctx)
		if !ok || i.gate.config.Gate.InsecureReportOnly {
			return c.sendable(i.gate.outcome(ctx, next(ctx, conn)))
		}
		return c.sendable(i.gate.follow(ctx, c, token, conn, next))
	}
}

// admitted returns the call if [Gate.Handler] has let it in for the procedure that is about to
// run.
func (g *Gate) admitted(ctx context.Context, spec connect.Spec) (*call, error) {
	var c *call
	if g != nil {
		c, _ = ctx.Value(callKey{g}).(*call)
	}
	if c != nil && c.procedure == spec.Procedure {
		return c, nil
	}
	if g != nil && g.config.Gate.Hooks.Decided != nil {
		g.config.Gate.Hooks.Decided(ctx, middleware.DecisionEvent{Err: errPast, Reason: bearergate.ReasonOf(errPast), Method: http.MethodPost})
	}
	return nil, g.Refuse(ctx, errPast)
}

var errPast = misconfigured(errors.New("a call has reached the service past the gate: serve what Gate.Handler returns and not the service itself, " +
	"and have nothing between the two change the path"))

// outcome is what the client is told of an error of the service.
func (g *Gate) outcome(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if cause := ending(ctx); cause != nil {
		return g.Refuse(ctx, cause)
	}
	// Also where the service has wrapped it: its text is for operators.
	if bearergate.ReasonOf(err) != "" {
		return g.Refuse(ctx, err)
	}
	return err
}

// ending returns why the token ended the call, or nil if it did not.
func ending(ctx context.Context) error {
	if cause := context.Cause(ctx); bearergate.ReasonOf(cause) != "" {
		return cause
	}
	return nil
}

var errExpired = &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonExpired,
	Cause: errors.New("connectgate: the token expired while its stream was open")}

// follow runs the handler of a stream that its token ends.
func (g *Gate) follow(outer context.Context, c *call, token *bearergate.Token, conn connect.StreamingHandlerConn, next connect.StreamingHandlerFunc) error {
	start, expires := time.Now(), token.ExpiresAt()
	ctx, end := context.WithCancelCause(outer)
	defer end(nil)
	if !expires.IsZero() {
		var done context.CancelFunc
		ctx, done = context.WithDeadlineCause(ctx, expires, errExpired)
		defer done()
	}
	// A Receive that waits for the client is waiting for the body of the request: it returns
	// when its deadline has passed. This has to be over before the service has returned, for
	// the server has no writer to set it on afterwards.
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(interrupted)
		if ending(ctx) != nil {
			_ = http.NewResponseController(c.writer).SetReadDeadline(time.Unix(1, 0))
		}
	})
	defer func() {
		if !stop() {
			<-interrupted
		}
	}()
	err := next(ctx, &stream{conn, ctx, g, expires, end})
	// Not only if the service failed: one that returns nil when its context ends would make a
	// part look like the whole.
	cause := ending(ctx)
	if cause == nil {
		return g.outcome(ctx, err)
	}
	if g.config.Gate.Hooks.Decided != nil && ending(outer) == nil { // else the middleware tells
		g.config.Gate.Hooks.Decided(outer, middleware.DecisionEvent{Err: cause, Reason: bearergate.ReasonOf(cause), Midstream: true, Token: token,
			Source: g.source(), Required: c.need, Method: c.request.Method, Pattern: c.pattern, Address: g.addressOf(c.request), Duration: time.Since(start)})
	}
	return g.Refuse(ctx, cause)
}

// stream fails when its token has ended it.
type stream struct {
	connect.StreamingHandlerConn
	ctx     context.Context //nolint:containedctx // that of the stream
	gate    *Gate
	expires time.Time // zero: never
	end     context.CancelCauseFunc
}

// over returns nil while the token is good.
func (s *stream) over() error {
	// The timer of the context does not count the time that a suspended machine slept, nor a
	// step of the clock.
	if !s.expires.IsZero() && !time.Now().Before(s.expires) {
		s.end(errExpired)
		return s.gate.Refuse(s.ctx, errExpired)
	}
	if cause := ending(s.ctx); cause != nil {
		return s.gate.Refuse(s.ctx, cause)
	}
	return nil
}

func (s *stream) Receive(message any) error {
	if err := s.over(); err != nil {
		return err
	}
	err := s.StreamingHandlerConn.Receive(message)
	if over := s.over(); over != nil {
		return over // the message came too late, or the wait for it was ended
	}
	return err
}

func (s *stream) Send(message any) error {
	if err := s.over(); err != nil {
		return err
	}
	return s.StreamingHandlerConn.Send(message)
}

// source is what carried the token.
func (g *Gate) source() middleware.Source {
	if g.config.Gate.Extract != nil {
		return middleware.SourceExtract
	}
	return middleware.SourceHeader
}

// addressOf is the address of the sender, where that is wanted.
func (g *Gate) addressOf(r *http.Request) netip.Addr {
	if g.config.Gate.ClientAddress == nil {
		return netip.Addr{}
	}
	peer, _ := netip.ParseAddrPort(r.RemoteAddr) // of nobody where something has rewritten it
	return g.config.Gate.ClientAddress.Of(bearergate.Call{Header: r.Header.Values, Peer: peer})
}
