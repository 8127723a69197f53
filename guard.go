package bearergate

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"time"

	"github.com/bearergate/bearergate/internal/guard"
)

// Guard calls a function of the user's and judges what it returns: the one rule
// for every Check, Binding, Extract and policy of this module. nil stays nil. An
// error becomes one of which exactly one of the eight sentinels is true:
//
//   - one of which that is true already is kept, with its Reason;
//   - [context.Canceled] of ctx, or its cause, is [ErrUnavailable] with
//     [ReasonCanceled]: the caller went away;
//   - a deadline of ctx that has passed, any context error while ctx is alive, an
//     error of the network ([net.OpError], [net.DNSError], a [url.Error] of a request, a
//     timeout) and a bare ErrUnavailable are
//     ErrUnavailable with [ReasonStoreUnavailable], or with the Reason of otherwise
//     if that is an ErrUnavailable: what the function waited for has not answered,
//     and nobody else is to blame;
//   - a panic is [ErrMisconfigured] with [ReasonInternal]; its value is not kept,
//     for it may hold anything, and only its type is told;
//   - every other error is otherwise, with the error as its cause.
//
// A function that calls [runtime.Goexit] ends the goroutine of its caller: no
// verdict is reached, and nothing opens.
func Guard(ctx context.Context, otherwise error, f func(context.Context) error) error {
	return guard.Call(func() error {
		if err := f(ctx); err != nil {
			return judge(ctx, otherwise, err) // inside the guard: an error may panic when it is looked at
		}
		return nil
	}, func(p guard.PanicError) error {
		return &Error{Kind: ErrMisconfigured, Reason: ReasonInternal, Cause: fmt.Errorf("%s %w", who(otherwise), p)}
	})
}

// PolicyTimeout is how long the policies of a route or a method have for their answer,
// all together, whatever carries the request.
const PolicyTimeout = 2 * time.Second

// GuardWithin is [Guard] for a function that has the time limit for its answer: its
// context ends then. That its time is up is an outage of what it waited for, [ErrUnavailable]
// with [ReasonStoreUnavailable], whatever words it finds for that: clients of policy
// engines have errors of their own for a deadline. The end of ctx itself is judged as
// Guard does, but in whatever words too. One that says an error of the eight
// is believed, and so is a function that does not look at its context and answers late:
// it is waited for. A limit that is not positive leaves no time.
func GuardWithin(ctx context.Context, limit time.Duration, otherwise error, f func(context.Context) error) error {
	return Guard(ctx, otherwise, func(outer context.Context) error {
		ctx, cancel := context.WithTimeout(outer, limit)
		defer cancel()
		err := f(ctx)
		switch ended := outer.Err(); {
		case err == nil || ctx.Err() == nil || ReasonOf(err) != "":
			return err
		case ended == nil:
			return ctx.Err()
		case countKinds(err) == 0 && !noAnswer(err): // of the rest, Guard knows what it is
			return ended
		}
		return err
	})
}

// who names the function in a text for operators.
func who(otherwise error) string {
	if e := AsError(otherwise); e != nil && e.Cause != nil {
		return textOf(e.Cause)
	}
	return "bearergate: a function"
}

const noAnswerDetail = "a function of this service, or what it asks, gave no answer"

func judge(ctx context.Context, otherwise, err error) error {
	e, ours := fromError(err)
	refusal := *AsError(otherwise)
	waited := ReasonStoreUnavailable
	if refusal.Kind == ErrUnavailable {
		waited = refusal.Reason
	}
	if ctx == nil { // a caller's mistake, and no reason to panic
		ctx = context.Background()
	}
	ended := ctx.Err()
	switch {
	case ours && e.Kind != ErrUnavailable: // a decision that was reached stays what it is
		return err
	case ended != nil && (ours || errors.Is(err, ended) || errors.Is(err, context.Cause(ctx)) || noAnswer(err) && errors.Is(ended, context.DeadlineExceeded)):
		return whoEnded(ended, err, waited)
	case ours && (e.Reason == ReasonCanceled || e.Reason == ReasonInternal):
		// Canceled was a context of its own; internal is what a bare ErrUnavailable says.
		return &Error{Kind: ErrUnavailable, Reason: waited, RetryAfter: e.RetryAfter, Detail: noAnswerDetail, Cause: e.Cause}
	case ours:
		return err
	case noAnswer(err):
		return &Error{Kind: ErrUnavailable, Reason: waited, Detail: noAnswerDetail, Cause: err}
	}
	if onlyOurs(err) {
		return &Error{Kind: ErrMisconfigured, Reason: ReasonInternal, Cause: err}
	}
	if refusal.Cause != nil {
		err = &namedError{who(otherwise), err}
	}
	refusal.Cause = err
	return &refusal
}

// namedError is an error with the name of the function that returned it.
type namedError struct {
	who string
	err error
}

func (s *namedError) Error() string { return s.who + ": " + textOf(s.err) }
func (s *namedError) Unwrap() error { return s.err }

// onlyOurs reports an error that says both ErrUnavailable and ErrMisconfigured, and
// nothing that blames anybody else: two outages, joined.
func onlyOurs(err error) bool {
	return countKinds(err) == 2 && errors.Is(err, ErrUnavailable) && errors.Is(err, ErrMisconfigured)
}

// noAnswer reports an error of a question that was not answered: a wait that ended,
// or a network that failed. Clients of stores put the deadline of a context on their
// sockets, and then return an i/o timeout that is no context error. Whoever has
// been refused a connection knows nothing about a token. Not every net.Error is one of
// these: what net and net/url say of a text that they cannot parse, and the file system
// of a name, may be about what the sender wrote.
func noAnswer(err error) bool {
	var (
		operation *net.OpError
		lookUp    *net.DNSError
		exchange  *url.Error
		timed     net.Error
	)
	says := errors.Is(err, context.Canceled) ||
		errors.As(err, &operation) || errors.As(err, &lookUp) || errors.As(err, &exchange) && exchange.Op != "parse" ||
		errors.As(err, &timed) && timed.Timeout() // among these, the passed deadlines of contexts and of sockets
	return says && countKinds(err) == 0 // one that says more than that is not believed
}

// whoEnded is the answer where a wait ended with the caller's context. That the
// caller went away is nobody's failure. That its time is up is the failure of
// what was waited for, whose Reason is given unless err has one of its own.
func whoEnded(ended, err error, waited Reason) error {
	if errors.Is(ended, context.Canceled) {
		return &Error{Kind: ErrUnavailable, Reason: ReasonCanceled, Cause: ended}
	}
	if e, ours := fromError(err); ours && e.Reason != ReasonCanceled && e.Reason != ReasonInternal {
		// In words alone: errors.Is finds ended, and nothing that could hide it.
		return &Error{Kind: ErrUnavailable, Reason: e.Reason, RetryAfter: e.RetryAfter, Cause: fmt.Errorf("%w (%v)", ended, e)}
	}
	return &Error{Kind: ErrUnavailable, Reason: waited, Detail: "the deadline of whoever asked passed before there was an answer", Cause: ended}
}

// Checks makes one check of several, for a Config.Check: all are asked, in order,
// until one refuses. An outage never hides a refusal: what says
// [ErrUnavailable], or breaks, is remembered while the others are asked, and is
// the answer only if none of them refuses. Each is called by the rule of [Guard];
// any error that is none of the eight is [ErrInvalidToken] with [ReasonPolicy]. A
// nil function, and no function at all, refuse everything with
// [ErrMisconfigured].
func Checks(fs ...func(context.Context, *Token) error) func(context.Context, *Token) error {
	fs = slices.Clone(fs)
	return func(ctx context.Context, t *Token) error {
		if len(fs) == 0 {
			return misconfigured("Checks: there is nothing to check: leave Check out instead")
		}
		var outage error
		for _, f := range fs {
			err := check(ctx, t, f)
			switch {
			case err == nil:
			case errors.Is(err, ErrMisconfigured):
				outage = err // worse than one that passes by itself
			case errors.Is(err, ErrUnavailable):
				if outage == nil {
					outage = err
				}
			default:
				return err
			}
		}
		return outage
	}
}

var errCheck = &Error{Kind: ErrInvalidToken, Reason: ReasonPolicy, Cause: text("Check")}

func check(ctx context.Context, t *Token, f func(context.Context, *Token) error) error {
	if f == nil {
		return misconfigured("Checks: a check is nil")
	}
	return Guard(ctx, errCheck, func(ctx context.Context) error { return f(ctx, t) })
}
