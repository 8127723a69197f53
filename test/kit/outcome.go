package kit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bearergate/bearergate"
)

// Verdict is what an error must say.
type Verdict struct {
	Kind   error // nil: accepted
	Reason bearergate.Reason
}

// Outcome is something that a function of the user's may do, and what must come
// of it while the caller waits, after it went away, and after its deadline.
type Outcome struct {
	Name              string
	Do                func(ctx context.Context) error
	Alive, Gone, Late Verdict
	Panics            bool // Do does not return: Hooks.Panicked are told
}

// Outcomes are what a Check, a Binding or a policy may do. refused is the verdict
// where such a function merely says no.
func Outcomes(refused Verdict) []Outcome {
	canceled := Verdict{bearergate.ErrUnavailable, bearergate.ReasonCanceled}
	store := Verdict{bearergate.ErrUnavailable, bearergate.ReasonStoreUnavailable}
	broken := Verdict{bearergate.ErrMisconfigured, bearergate.ReasonInternal}
	says := func(err error) func(context.Context) error { return func(context.Context) error { return err } }
	all := func(name string, do func(context.Context) error, v Verdict) Outcome {
		return Outcome{Name: name, Do: do, Alive: v, Gone: v, Late: v}
	}
	overloaded := Verdict{bearergate.ErrUnavailable, bearergate.ReasonOverloaded}
	outcomes := []Outcome{
		all("says yes", says(nil), Verdict{}),
		all("says no", says(io.EOF), refused),
		all("says no beside a context error", says(errors.Join(bearergate.ErrForbidden, context.Canceled)), Verdict{bearergate.ErrForbidden, bearergate.ReasonPolicy}),
		all("says two things", says(errors.Join(bearergate.ErrForbidden, bearergate.ErrUnavailable)), refused),
		all("says that two things are down", says(errors.Join(bearergate.ErrUnavailable, bearergate.ErrMisconfigured)), broken),
		all("says no, wrapped", says(fmt.Errorf("session 7: %w", &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonRevoked})), Verdict{bearergate.ErrInvalidToken, bearergate.ReasonRevoked}),
		all("returns a typed nil", says((*bearergate.Error)(nil)), broken),
		all("returns an error that panics", says(panicking{}), broken),
		{Name: "a store is down", Do: says(bearergate.ErrUnavailable), Alive: store, Gone: canceled, Late: store},
		{Name: "a store is down, with a Reason", Do: says(&bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonOverloaded}), Alive: overloaded, Gone: canceled, Late: overloaded},
		{Name: "a store hangs until its own deadline", Do: hang, Alive: store, Gone: canceled, Late: store},
		{Name: "says that somebody left", Do: says(&bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonCanceled}), Alive: store, Gone: canceled, Late: store},
		{Name: "its own deadline passes", Do: says(context.DeadlineExceeded), Alive: store, Gone: store, Late: store},
		all("its store refuses the connection", says(&net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}), store),
		all("its store has no address", says(&net.DNSError{Err: "no such host", Name: "redis"}), store),
		all("its store cannot be verified", says(&url.Error{Op: "Get", URL: "https://store.example/7", Err: errors.New("x509: certificate signed by unknown authority")}), store),
		all("cannot parse a URL of the sender's", says(parseError()), refused),
		all("cannot parse an address of the sender's", says(&net.ParseError{Type: "CIDR address", Text: "x"}), refused),
		all("finds no file of that name", says(&os.PathError{Op: "open", Path: "x", Err: syscall.ENOENT}), refused),
		{Name: "its socket times out", Do: says(&net.OpError{Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded}), Alive: store, Gone: store, Late: store},
		{Name: "its own context is canceled", Do: says(context.Canceled), Alive: store, Gone: canceled, Late: store},
		{Name: "returns the end of the caller's context", Do: func(ctx context.Context) error { return ctx.Err() }, Gone: canceled, Late: store},
		{Name: "returns the cause of it", Do: context.Cause, Gone: canceled, Late: store},
	}
	for _, s := range Sentinels() {
		if !errors.Is(s, bearergate.ErrUnavailable) {
			outcomes = append(outcomes, all("says "+s.Error(), says(s), Verdict{s, bearergate.ReasonOf(s)}))
		}
	}
	for _, p := range panics() {
		if !p.Ends {
			o := all(p.Name, func(context.Context) error { p.Do(); return nil }, broken)
			o.Panics = true
			outcomes = append(outcomes, o)
		}
	}
	return outcomes
}

// OutcomesWithin are the [Outcomes] of a function whose time is limited, such as a policy.
// An error of its own words may then be how it says that its context has ended, and is no
// refusal.
func OutcomesWithin(refused Verdict) []Outcome {
	outcomes := Outcomes(refused)
	for i, o := range outcomes {
		switch o.Name {
		case "says no", "cannot parse a URL of the sender's", "cannot parse an address of the sender's", "finds no file of that name":
			outcomes[i].Gone = Verdict{bearergate.ErrUnavailable, bearergate.ReasonCanceled}
			outcomes[i].Late = Verdict{bearergate.ErrUnavailable, bearergate.ReasonStoreUnavailable}
		}
	}
	return outcomes
}

func parseError() error {
	_, err := url.Parse("https://" + strings.Repeat("[", 2))
	return err
}

// hang waits for a store that never answers, for 20 ms.
func hang(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	<-ctx.Done()
	return fmt.Errorf("the store: %w", ctx.Err())
}

// panicking is an error that cannot be looked at.
type panicking struct{}

func (panicking) Error() string { panic("Error") }
func (panicking) Is(error) bool { panic("Is") }

// EndsGoroutine reports whether f ends its goroutine, as [runtime.Goexit] does,
// instead of returning.
func EndsGoroutine(f func()) bool {
	returned := false
	var wait sync.WaitGroup
	wait.Go(func() {
		f()
		returned = true
	})
	wait.Wait()
	return !returned
}

// EachCaller runs f three times: for a caller that waits, for one that goes away
// when end is called, and for one whose deadline passes then.
func EachCaller(t *testing.T, o Outcome, f func(t *testing.T, ctx context.Context, end func(), want Verdict)) {
	t.Helper()
	cause := errors.New("the client hung up")
	t.Run(o.Name+", caller alive", func(t *testing.T) { f(t, t.Context(), func() {}, o.Alive) })
	t.Run(o.Name+", caller gone", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		f(t, ctx, func() { cancel(cause) }, o.Gone)
	})
	t.Run(o.Name+", caller late", func(t *testing.T) {
		ctx := &lateContext{Context: t.Context(), done: make(chan struct{})}
		f(t, ctx, ctx.expire, o.Late)
	})
}

// lateContext is a context whose deadline passes when a test says so.
type lateContext struct {
	context.Context //nolint:containedctx // it is one

	mu    sync.Mutex // guards late and after
	late  bool
	after []func()
	done  chan struct{}
}

func (c *lateContext) expire() {
	c.mu.Lock()
	after := c.after
	if !c.late {
		c.late = true
		close(c.done)
	}
	c.after = nil
	c.mu.Unlock()
	for _, f := range after {
		f()
	}
}

// AfterFunc lets contexts that are made of this one end with it, and not some time
// later in a goroutine of their own.
func (c *lateContext) AfterFunc(f func()) (stop func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.after = append(c.after, f)
	return func() bool { return false }
}

func (c *lateContext) Done() <-chan struct{} { return c.done }

func (c *lateContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.late {
		return context.DeadlineExceeded
	}
	return nil
}
