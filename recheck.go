package bearergate

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

const (
	// MinRecheck is the shortest interval of [Recheck].
	MinRecheck = time.Second
	// recheckTimeout bounds each decision of Recheck.
	recheckTimeout = 10 * time.Second
	// recheckGrace is how long one may take to say that its context has ended.
	recheckGrace = 5 * time.Second
)

// Recheck decides again and again on a request that takes long, a stream or a long
// poll, and returns the error that has to end it: one of which exactly one of the
// eight sentinels is true. It returns nil as soon as ctx, which is that of the
// request, has ended. It blocks until then; whoever serves the request calls it
// from another goroutine.
//
// It waits for every, less up to a tenth, at random, so that requests that began
// together do not ask together; then it calls again, with a context that ends
// after 10 s. As a rule that is [Reauthenticate] and what the route demands. What it
// returns is judged by the rule of [Guard]; an error that says nothing else, and a
// panic, are [ErrMisconfigured]. One [ErrUnavailable] is borne, for an outage is not
// the token's fault; the second in a row ends the request. So a revocation takes at
// most two intervals, three waits of up to 15 s, and what a cache of the verifier
// adds.
//
// Each call of again has a goroutine of its own, so that it can do no harm. One that
// ends its goroutine ([runtime.Goexit]), or has not returned 5 s after its context
// ended, has decided nothing and is broken: the request ends with ErrMisconfigured.
// The latter is left behind, so that a request leaves one goroutine at most. Two
// calls of again never run at once.
//
// An interval shorter than [MinRecheck], and a nil ctx or again, are ErrMisconfigured
// at once.
func Recheck(ctx context.Context, every time.Duration, again func(context.Context) error) error {
	if ctx == nil || again == nil || every < MinRecheck {
		return misconfigured("Recheck: give a context, a function, and at least MinRecheck")
	}
	for borne := false; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(every - rand.N(every/10+1)):
		}
		err := recheck(ctx, again)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // whatever came of it, there is nothing left to end
		}
		switch {
		case err == nil:
			borne = false
		case errors.Is(err, ErrUnavailable) && !borne:
			borne = true
		default:
			return err
		}
	}
}

// recheck asks once.
func recheck(ctx context.Context, again func(context.Context) error) error {
	bounded, done := context.WithTimeout(ctx, recheckTimeout)
	defer done()
	verdict := make(chan error, 1) // not waited for if nobody listens any more
	go func() {
		err := error(errEndedGoroutine)
		defer func() { verdict <- err }() // also after Goexit
		err = Guard(bounded, errRecheck, again)
	}()
	select {
	case err := <-verdict:
		return err
	case <-ctx.Done():
		return nil
	case <-time.After(recheckTimeout + recheckGrace):
		return errHangs
	}
}

var (
	errRecheck        = &Error{Kind: ErrMisconfigured, Reason: ReasonInternal, Cause: text("Recheck")}
	errEndedGoroutine = &Error{Kind: ErrMisconfigured, Reason: ReasonInternal, Cause: text("Recheck: the decision ended its goroutine")}
	errHangs          = &Error{Kind: ErrMisconfigured, Reason: ReasonInternal, Cause: text("Recheck: the decision ignores the end of its context")}
)
