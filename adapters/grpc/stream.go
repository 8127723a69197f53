package grpcgate

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"github.com/bearergate/bearergate"
)

var errExpired = &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonExpired,
	Cause: errors.New("grpcgate: the token expired while its stream was open")}

// follow runs the handler of a stream whose token ends it.
func (g *Gate) follow(ss grpc.ServerStream, c call, handler func(grpc.ServerStream) error) error {
	outer := ss.Context()
	ctx := c.admitted(outer)
	expires := c.token.ExpiresAt()
	mortal := !expires.IsZero() && !g.config.InsecureOutliveToken
	if !mortal && g.config.Reverify == 0 {
		return handler(stream{ss, ctx})
	}
	var deadline time.Time
	if mortal {
		deadline = expires.Add(g.config.ExpiryLeeway)
		var done context.CancelFunc
		ctx, done = context.WithDeadlineCause(ctx, deadline, errExpired)
		defer done() // also when the handler panics: nothing of the deadline outlives the stream
	}
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	if g.config.Reverify > 0 {
		go g.reverify(ctx, end, c)
	}
	err := handler(mortalStream{stream{ss, ctx}, g, deadline, end})
	// Not only if the handler failed: one that returns nil when its context ends would
	// make a part look like the whole.
	if cause := ending(ctx); cause != nil {
		if g.config.Hooks.Decided != nil {
			g.config.Hooks.Decided(outer, c.event(cause, true))
		}
		c.err = cause
		return g.refusal(outer, &c)
	}
	return err
}

// reverify decides on a stream again and again, until its context ends or it
// ends it.
func (g *Gate) reverify(ctx context.Context, end context.CancelCauseFunc, c call) {
	err := bearergate.Recheck(ctx, g.config.Reverify, func(ctx context.Context) error { return g.again(ctx, c) })
	if err != nil {
		end(err) // nothing happens if ctx has ended meanwhile
	}
}

// ending returns why the token ended the stream, or nil if it did not.
func ending(ctx context.Context) error {
	if cause := context.Cause(ctx); bearergate.ReasonOf(cause) != "" {
		return cause
	}
	return nil
}

// stream is a grpc.ServerStream with the token in its context.
type stream struct {
	grpc.ServerStream
	ctx context.Context // that of the embedded stream, and the token
}

func (s stream) Context() context.Context { return s.ctx }

// mortalStream ends with its context, and says why.
type mortalStream struct {
	stream
	gate     *Gate
	deadline time.Time // zero: none
	end      context.CancelCauseFunc
}

func (s mortalStream) RecvMsg(m any) error {
	err := s.interruptible(func() error { return s.ServerStream.RecvMsg(m) })
	if err == nil {
		return s.over() // the message came too late
	}
	return err
}

func (s mortalStream) SendMsg(m any) error {
	return s.interruptible(func() error { return s.ServerStream.SendMsg(m) })
}

// over returns nil while the context is alive, and then the status to end with.
func (s mortalStream) over() error {
	// The timer of the context does not count the time that a suspended machine
	// slept, nor a step of the clock.
	if !s.deadline.IsZero() && !time.Now().Before(s.deadline) {
		s.end(errExpired)
	}
	if s.ctx.Err() == nil {
		return nil
	}
	if cause := ending(s.ctx); cause != nil {
		return s.gate.Status(s.ServerStream.Context(), cause).Err()
	}
	return status.FromContextError(s.ctx.Err()).Err()
}

// interruptible runs f and does not wait for it beyond the end of the context.
// gRPC has no other way to leave a RecvMsg or SendMsg that waits for the client:
// it ends when the handler has returned, and therefore after the handler learned
// that it should. As over stays what it is, f never runs twice at a time.
func (s mortalStream) interruptible(f func() error) error {
	if err := s.over(); err != nil {
		return err
	}
	type outcome struct {
		err      error
		returned bool
		panicked any
	}
	done := make(chan outcome, 1) // not waited for if nobody listens any more
	go func() {
		var o outcome
		defer func() {
			if !o.returned {
				o.panicked = recover()
			}
			done <- o
		}()
		if o.err = s.over(); o.err == nil { // it may be some time since it was asked
			o.err = f()
		}
		o.returned = true
	}()
	select {
	case o := <-done:
		if !o.returned {
			panic(o.panicked) //nolint:forbidigo // where the handler and who recovers for it expect it
		}
		return o.err
	case <-s.ctx.Done():
		return s.over()
	}
}
