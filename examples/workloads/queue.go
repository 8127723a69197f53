package workloads

import (
	"context"
	"errors"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/scope"
)

// Message is work that somebody asked for. Its token says who. Printing a Message does not
// show the token; whoever encodes one for a broker has to Reveal it, and only there.
type Message struct {
	ID    string
	Token bearergate.Secret // the access token as it was sent, which is verified again before the work
	Body  []byte
	// Failures is how often the message itself may have been the reason that it was not
	// done. Outages do not count.
	Failures int
}

// DeadLetter is a message that will not be done, without its token: a queue that is kept for
// weeks and read by many is no place for one.
type DeadLetter struct {
	ID   string
	Body []byte
	// Reason says why. "expired": whoever sent it may send it again with a new token.
	// "internal": it has failed MaxFailures times.
	Reason bearergate.Reason
}

// Queue is what is needed of a broker. A message that was taken is hidden from others until
// one of the three answers, or until its time is up (a visibility timeout): then it is there
// again. So a message may be done twice, and the work has to bear that.
type Queue interface {
	Take(context.Context) (Message, error)
	Done(context.Context, Message) error
	Again(ctx context.Context, m Message, after time.Duration) error // as it is given here, Failures included
	Dead(context.Context, DeadLetter) error
}

// Consumer does the work of a queue, for messages whose tokens allow it.
type Consumer struct {
	Queue    Queue
	Verifier bearergate.Verifier
	Need     scope.Requirement
	// Work does what a message asks for. Its context has the token. It says
	// bearergate.ErrUnavailable of an outage of what it needs; every other error, and a
	// panic, may be the fault of the message, and counts.
	Work func(context.Context, Message) error
	// MaxFailures is how many failures make a message a dead letter: 5, for example.
	MaxFailures int
}

const (
	verifyTimeout = 15 * time.Second // longer than verifiers take
	answerTimeout = 10 * time.Second // for the broker, also when the consumer is told to stop
	maxBackoff    = 5 * time.Minute
)

// Run takes messages until ctx ends or something is wrong that no later message will mend:
// the broker is gone, or this service is misconfigured. It may be called several times at
// once.
func (c Consumer) Run(ctx context.Context) error {
	if c.Queue == nil || c.Verifier == nil || c.Work == nil || c.MaxFailures < 1 {
		return errors.New("workloads: a Consumer needs all of its fields")
	}
	for {
		m, err := c.Queue.Take(ctx)
		if err != nil {
			return err
		}
		if err := c.handle(ctx, m); err != nil {
			return err
		}
	}
}

// handle gives the queue its answer about one message: always one, whatever happens. The
// error ends the consumer.
func (c Consumer) handle(ctx context.Context, m Message) error {
	answer := context.WithoutCancel(ctx) // it is given when ctx has ended, too
	if m.Failures >= c.MaxFailures {
		return c.dead(answer, m, bearergate.ReasonInternal)
	}
	token, err := c.admit(ctx, m)
	switch {
	case err == nil:
		return c.work(bearergate.NewContext(ctx, token), answer, m)
	case bearergate.ReasonOf(err) == bearergate.ReasonCanceled: // told to stop
		return c.again(answer, m, 0)
	case errors.Is(err, bearergate.ErrUnavailable): // nobody knows: neither done nor refused
		return c.again(answer, m, bearergate.AsError(err).RetryDelay())
	case errors.Is(err, bearergate.ErrMisconfigured): // the next message would fare no better
		if bearergate.ReasonOf(err) == bearergate.ReasonInternal {
			m.Failures++ // or something in this one breaks the verifier
		}
		return errors.Join(err, c.again(answer, m, backoff(m.Failures)))
	default: // no later attempt changes it
		return c.dead(answer, m, bearergate.ReasonOf(err))
	}
}

// admit decides on the token now, by the clock of this process: that it was good when the
// message was sent opens nothing. It refuses tokens that are bound to their sender, for a
// message has no proof of the sender's key.
func (c Consumer) admit(ctx context.Context, m Message) (*bearergate.Token, error) {
	ctx, cancel := context.WithTimeout(ctx, verifyTimeout)
	defer cancel()
	token, _, err := bearergate.Authenticate(ctx, c.Verifier, bearergate.Call{
		Credentials: bearergate.Credentials{Scheme: bearergate.SchemeBearer, Raw: m.Token}})
	if err != nil {
		return nil, err
	}
	return token, token.Authorize(c.Need)
}

func (c Consumer) work(ctx, answer context.Context, m Message) error {
	var failed error
	broken := bearergate.Guard(ctx, bearergate.ErrMisconfigured, func(ctx context.Context) error { // for its panics
		failed = c.Work(ctx, m)
		return nil
	})
	switch {
	case broken == nil && failed == nil:
		return bounded(answer, func(ctx context.Context) error { return c.Queue.Done(ctx, m) })
	case broken == nil && ctx.Err() != nil: // told to stop
		return c.again(answer, m, 0)
	case broken == nil && errors.Is(failed, bearergate.ErrUnavailable):
		return c.again(answer, m, bearergate.AsError(failed).RetryDelay())
	default:
		m.Failures++
		return c.again(answer, m, backoff(m.Failures))
	}
}

func (c Consumer) again(ctx context.Context, m Message, after time.Duration) error {
	return bounded(ctx, func(ctx context.Context) error { return c.Queue.Again(ctx, m, after) })
}

func (c Consumer) dead(ctx context.Context, m Message, why bearergate.Reason) error {
	return bounded(ctx, func(ctx context.Context) error {
		return c.Queue.Dead(ctx, DeadLetter{ID: m.ID, Body: m.Body, Reason: why})
	})
}

func bounded(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	return f(ctx)
}

func backoff(failures int) time.Duration {
	return min(time.Second<<min(failures, 10), maxBackoff)
}
