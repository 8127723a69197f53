package introspect

import (
	"context"
	"crypto/rand"
	"errors"

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
	r, f, err := c.askOnce(ctx, rand.Text())
	switch {
	case err != nil:
		return err
	case f == nil && !r.entry.active:
		return nil
	case f == nil || f.outcome == OutcomeMap: // which is asked about active tokens alone
		return &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonConfig,
			Detail: "introspect: Warm: whoever answers says active to a token that nobody issued, and so to all: check Endpoint, or Ask, and what answers there"}
	case f.own != nil && errors.Is(f.own.Kind, bearergate.ErrInvalidToken): // Ask says in its own way that it does not know it
		return nil
	}
	return f.err()
}

// askOnce makes one call that is shared with nobody, and remembers nothing.
func (c *Client) askOnce(ctx context.Context, raw string) (reply, *failure, error) {
	type answered struct {
		r reply
		f *failure
	}
	done := make(chan answered, 1)
	hookCtx := context.WithoutCancel(ctx)
	go func() { //nolint:gosec // a context of its own, on purpose
		// As every call, it does not depend on whoever asks: one who goes away must not
		// look to the breaker like a server that does not answer. It ends after Timeout.
		ctx, cancel := context.WithTimeout(context.Background(), c.timeout)
		defer cancel()
		var events news
		r, f := c.attempt(ctx, &events, newCallID(), raw, 1)
		c.tell(hookCtx, events...)
		done <- answered{r, f}
	}()
	select {
	case a := <-done:
		return a.r, a.f, nil
	case <-ctx.Done():
		return reply{}, nil, ended(ctx)
	}
}
