package redisgate

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bearergate/bearergate"
)

// grace is how long a client may take to say that its context has ended.
const grace = 20 * time.Millisecond

// result is what a call came to.
type result[T any] struct {
	value   T
	err     error
	verdict verdict
	outcome Outcome
	code    string
}

// call asks Redis one thing. f runs in a goroutine and with a context of its own: what a
// caller does, who goes away or has a short deadline, neither costs a connection nor says
// something about Redis, and what a client does that ignores its context delays no caller.
func call[T any](ctx context.Context, s *Stores, op Operation, key string, f func(context.Context) (T, error)) (T, error) {
	start := time.Now()
	r := ask(ctx, s, op, s.partOf(key), start, f)
	tell(ctx, s.hooks.Called, CallEvent{Operation: op, Outcome: r.outcome, Code: r.code, Duration: time.Since(start)})
	return r.value, r.err
}

func ask[T any](ctx context.Context, s *Stores, op Operation, part int, start time.Time, f func(context.Context) (T, error)) result[T] {
	if err := ctx.Err(); err != nil {
		return result[T]{err: err, outcome: OutcomeCanceled}
	}
	ticket, wait := s.circuits[part].enter(start, s.timeout+grace)
	if ticket == nil {
		return result[T]{err: outage(op, "Redis has not answered lately: it is not asked", wait), outcome: OutcomeOpen}
	}
	settle := func(v verdict) {
		if event, changed := ticket.settle(time.Now(), v); changed {
			event.Part = part
			tell(context.WithoutCancel(ctx), s.hooks.CircuitChanged, event)
		}
	}
	select {
	case s.slots <- struct{}{}:
	default:
		settle(unknown)
		return result[T]{err: overloaded(op, fmt.Sprintf("%d calls are under way", cap(s.slots))), outcome: OutcomeBusy}
	}
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.timeout)
	done := make(chan result[T], 1) // not waited for if the caller goes away
	go func() {
		defer cancel()
		defer func() { <-s.slots }()
		// This is what is sent after a panic and a Goexit too: a hook of the client's.
		r := result[T]{err: broken(op), verdict: unknown, outcome: OutcomeBroken}
		defer func() {
			_ = recover() // its value may hold anything
			settle(r.verdict)
			done <- r
		}()
		value, err := f(within)
		r = judge(op, value, err)
	}()
	late := time.NewTimer(s.timeout + grace)
	defer late.Stop()
	select {
	case r := <-done:
		return r
	case <-ctx.Done():
		return result[T]{err: ctx.Err(), outcome: OutcomeCanceled}
	case <-late.C:
		settle(unanswered)
		return judge(op, *new(T), context.DeadlineExceeded)
	}
}

// errAlone says that too few replicas have a write.
var errAlone = errors.New("too few replicas")

// errMoved says that a slot is on another server than the client believed.
var errMoved = errors.New("moved")

// judge says whose fault an error of the client is. None of its text is kept: it may hold
// addresses, keys, and what a server says.
func judge[T any](op Operation, value T, err error) result[T] {
	var (
		own   *bearergate.Error
		reply redis.Error
	)
	switch {
	case err == nil:
		return result[T]{value: value, verdict: answered, outcome: OutcomeAnswered}
	case errors.As(err, &own): // what Redis said is judged already
		return result[T]{err: err, verdict: answered, outcome: OutcomeRefused}
	case errors.Is(err, errAlone):
		return result[T]{err: outage(op, "fewer replicas than Config.Replicas hold it", 0), verdict: answered, outcome: OutcomeAlone}
	case errors.Is(err, errMoved):
		return result[T]{err: outage(op, "the slot of the key is being moved", 0), verdict: answered, outcome: OutcomeRefused, code: "MOVED"}
	case errors.Is(err, redis.ErrPoolTimeout), errors.Is(err, redis.ErrPoolExhausted):
		return result[T]{err: overloaded(op, "no connection of the client is free"), verdict: unknown, outcome: OutcomeBusy}
	case errors.Is(err, redis.ErrClosed):
		return result[T]{err: outage(op, "the client is closed", 0), verdict: unknown, outcome: OutcomeBroken}
	case errors.As(err, &reply):
		code, v, err := refused(op, reply)
		return result[T]{err: err, verdict: v, outcome: OutcomeRefused, code: code}
	case isTimeout(err):
		return result[T]{err: outage(op, "Redis has not answered in time", 0), verdict: unanswered, outcome: OutcomeTimeout}
	}
	return result[T]{err: outage(op, "no connection to Redis", 0), verdict: unanswered, outcome: OutcomeConnection}
}

func isTimeout(err error) bool {
	var timed net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timed) && timed.Timeout()
}

// maxCode is how long the first word of an error may be.
const maxCode = 20

// inScript matches an error in a script as servers before Redis 7 say it: as one of the script,
// with the place in it, and then what later ones say alone.
var inScript = regexp.MustCompile(`^ERR Error (?:running|compiling) script \([^)]*\): [@\w]*: ?\d+: -?(.+)`)

// codeOf is the first word of what Redis says, which is one of a closed set, also in a script.
// It is ERR also where that is no word of Redis' at all: a proxy that has lost its servers says
// anything.
func codeOf(reply redis.Error) string {
	word, _, _ := strings.Cut(textOf(reply), " ")
	if word == "" || len(word) > maxCode || strings.Trim(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return "ERR"
	}
	return word
}

// textOf is what Redis says, or what it says of a command in a script.
func textOf(reply redis.Error) string {
	text := reply.Error()
	m := inScript.FindStringSubmatch(text)
	if m == nil {
		return text
	}
	if word, _, _ := strings.Cut(m[1], " "); strings.ToUpper(word) == word { // a code
		return m[1]
	}
	return "ERR " + m[1]
}

// mistakes are how texts behind ERR begin, in small letters, that prove a mistake in the set-up.
var mistakes = []string{
	// A server that is too old, or does not let a client do this.
	"unknown command", "unknown subcommand", "unknown redis command", "wrong number of arguments", "syntax error", "this redis command is not allowed from script",
	// A password where none is known, or a wrong one, of servers before Redis 6.
	"auth <password> called", "client sent auth", "invalid password", "operation not permitted",
	// Another database, or another kind of client, than the server has.
	"db index is out of range", "invalid db index", "select is not allowed in cluster mode", "this instance has cluster support disabled",
}

// isMistake reports whether an error with the code ERR proves a mistake in the set-up.
func isMistake(reply redis.Error) bool {
	text, ok := strings.CutPrefix(textOf(reply), "ERR ")
	return ok && slices.ContainsFunc(mistakes, func(start string) bool {
		return len(text) >= len(start) && strings.EqualFold(text[:len(start)], start)
	})
}

// refused is what an error of Redis means: its code, whether it is an answer, and what a caller
// gets. An error that does not prove a mistake in the set-up is an outage. A text that is not
// known need not even be an answer of Redis: one without a free connection says "ERR max
// number of clients reached" and hangs up, Twemproxy says "ERR Connection refused", and Envoy
// "upstream failure". It counts as none.
func refused(op Operation, reply redis.Error) (code string, v verdict, err error) {
	code = codeOf(reply)
	e := &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonStoreUnavailable, Detail: "redisgate: " + string(op) + ": Redis says " + code}
	switch {
	case code == "NOAUTH", code == "WRONGPASS", code == "NOPERM", code == "WRONGTYPE", isMistake(reply): // a password, the rights of the user, a key that is somebody else's, a server that is too old
		e.Kind, e.Reason = bearergate.ErrMisconfigured, bearergate.ReasonConfig
	case code == "OOM":
		e.Reason, e.Detail = bearergate.ReasonOverloaded, "redisgate: "+string(op)+": Redis is full"
	case code == "ERR":
		return code, unanswered, e
	}
	return code, answered, e
}

func outage(op Operation, what string, retryAfter time.Duration) error {
	return &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonStoreUnavailable,
		Detail: "redisgate: " + string(op) + ": " + what, RetryAfter: retryAfter}
}

func overloaded(op Operation, what string) error {
	return &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonOverloaded, Detail: "redisgate: " + string(op) + ": " + what}
}

func broken(op Operation) error {
	return &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonInternal,
		Detail: "redisgate: " + string(op) + ": the client or a hook of its has panicked"}
}

// command makes one command, by a client or in a pipeline of it.
type command[C redis.Cmder] func(ctx context.Context, c redis.Cmdable) C

// send sends one command about key. The error is of the connection or of Redis, but not
// redis.Nil. Where it has to be acknowledged, it is errAlone unless Config.Replicas
// replicas have what was written before, on any connection.
//
// WAIT waits for what its own connection has written, before Redis 7.2 for what it has seen.
// So it follows in one pipeline with the command, to the server that has key: a client for a
// Cluster would send it to any. And a command that has to be acknowledged writes each time:
// where that pipeline is repeated on another connection, one that only found what it wrote
// the first time would wait for nothing.
func send[C redis.Cmder](ctx context.Context, s *Stores, acknowledged bool, key string, do command[C]) (c C, err error) {
	if !acknowledged || s.replicas == 0 {
		c = do(ctx, s.client)
		return c, some(c.Err())
	}
	node, err := s.master(ctx, key)
	if err != nil {
		return c, err
	}
	pipe := node.Pipeline()
	c = do(ctx, pipe)
	held := pipe.Do(ctx, "wait", s.replicas, patience(ctx).Milliseconds())
	_, _ = pipe.Exec(ctx) // each command has its own error
	if err := some(c.Err()); err != nil {
		return c, s.redirected(ctx, err)
	}
	n, err := held.Int()
	switch {
	case err == nil && n < s.replicas, isTimeout(err): // Redis looks at its watch ten times a second: WAIT may last for longer than was asked
		return c, errAlone
	default:
		return c, err
	}
}

// some is an error that is one: redis.Nil says that there is no value.
func some(err error) error {
	if errors.Is(err, redis.Nil) {
		return nil
	}
	return err
}

// patience is how long WAIT may take: less than there is time for, so that Redis answers
// before nobody listens any more, and never 0, which means for ever.
func patience(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return DefaultTimeout
	}
	return max(time.Until(deadline)*3/4, time.Millisecond)
}

// master is the client of the server that has key.
func (s *Stores) master(ctx context.Context, key string) (redis.Cmdable, error) {
	if s.cluster == nil {
		return s.client, nil
	}
	return s.cluster.MasterForKey(ctx, key)
}

// redirected is an error of a command to one server of a Cluster. What the client for a Cluster
// would have done by itself, it is asked to: to look at the map anew.
func (s *Stores) redirected(ctx context.Context, err error) error {
	if s.cluster == nil {
		return err
	}
	_, moved := redis.IsMovedError(err)
	_, asks := redis.IsAskError(err)
	var reply redis.Error
	if moved || asks || redis.IsReadOnlyError(err) || !errors.As(err, &reply) {
		s.cluster.ReloadState(ctx)
	}
	if moved || asks {
		return errMoved
	}
	return err
}

// eval runs a script about keys. Its text goes with it each time: go-redis finds the hash by
// which Redis knows it with SHA-1, which FIPS 140-3 mode does not have, and a kilobyte
// more costs a microsecond.
func eval(ctx context.Context, s *Stores, acknowledged bool, script string, keys []string, args ...any) (*redis.Cmd, error) {
	return send(ctx, s, acknowledged, keys[0], func(ctx context.Context, c redis.Cmdable) *redis.Cmd { return c.Eval(ctx, script, keys, args...) })
}
