package introspect

import (
	"context"
	"errors"
	"time"

	"github.com/bearergate/bearergate"
)

// Warm makes one call about a token that nobody issued, and says what is wrong with the
// set-up: a service that calls it at start does not find out at its first request. nil is
// that the server answered that the token is not active. Errors are those of Verify:
//
//   - [bearergate.ErrMisconfigured]: the server refuses our credentials, or they cannot be
//     made; or it says active to what it never issued, as a stub or a wrong URL does;
//   - [bearergate.ErrUnavailable]: the server or its metadata cannot be reached, or what
//     comes is no answer: a page, a redirect, a signature that does not verify. The text
//     names which. The server may also be restarting: whether to start all the same is
//     for the service to decide.
//
// The call is bounded as every other one, by Calls, Timeout and the breaker, and is told
// to [Hooks.Called]. It is made once, without a second try. Accept and Check are not
// asked, and nothing is remembered but where the endpoint is. When ctx ends first, the
// answer is that of Verify.
func (c *Client) Warm(ctx context.Context) error {
	if c == nil || c.slots == nil {
		return misconfigured(errZero)
	}
	if ctx == nil {
		ctx = context.Background()
	}
	if ctx.Err() != nil {
		return ended(ctx)
	}
	if f := c.breaker.blocked(time.Now()); f != nil {
		return f.err()
	}
	call := c.askOwn(context.WithoutCancel(ctx))
	select {
	case <-call.done:
	case <-ctx.Done():
		return ended(ctx)
	}
	switch r, f := call.r, call.f; {
	case f == nil && !r.entry.active:
		return nil
	case f == nil || f.outcome == OutcomeMap: // which is asked about active tokens alone
		return &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonConfig,
			Detail: "introspect: Warm: whoever answers says active to a token that nobody issued, and so to all: check Endpoint, or Ask, and what answers there"}
	case f.own != nil && errors.Is(f.own.Kind, bearergate.ErrInvalidToken): // Ask says in its own way that it does not know it
		return nil
	default:
		return f.err()
	}
}
