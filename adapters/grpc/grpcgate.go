// Package grpcgate puts a [bearergate.Verifier] in front of gRPC handlers: it
// takes the bearer token from the metadata of a call (RFC 6750 §2.1), has it
// verified, checks what the method requires, and otherwise answers with a fixed
// status.
//
//	gate, err := grpcgate.New(verifier, grpcgate.Config{
//		Methods: map[string]scope.Requirement{"/orders.v1.Orders/List": scope.All("orders:read")},
//		Public:  []string{grpcgate.HealthCheck},
//	})
//	server := grpc.NewServer(gate.ServerOptions()...)
//	token, ok := bearergate.FromContext(ctx) // in the handler
//
// A method that [Config] does not list is closed: what was not listed does not
// exist for clients. After everything is registered, [Gate.CheckServices] names
// the methods without a policy and the policies without a method. The health
// and reflection services are methods like all others.
//
// The package does not log in users, authenticate peers, or ask for RFC 9470
// step-up: a handler that needs more than scopes reads the token and answers
// with [Gate.Status].
//
// # Order of a decision
//
//  1. the method is listed;
//  2. exactly one credential is in the metadata;
//  3. the verifier accepts the token;
//  4. a sender-constrained token (RFC 7800 cnf) is confirmed by [Config.Confirm];
//  5. the scopes satisfy the [scope.Requirement] of the method.
//
// The first that fails answers. An invalid token never tells what a method requires.
//
// # Answers
//
//	case                                  code               ErrorInfo.Reason                  Metadata
//	method not listed                     UNIMPLEMENTED      METHOD_NOT_LISTED
//	no credential                         UNAUTHENTICATED    MISSING_TOKEN
//	malformed or repeated credential      INVALID_ARGUMENT   INVALID_REQUEST
//	expired                               UNAUTHENTICATED    TOKEN_EXPIRED
//	inactive or revoked                   UNAUTHENTICATED    TOKEN_INACTIVE
//	invalid for any other reason          UNAUTHENTICATED    INVALID_TOKEN
//	scopes insufficient                   PERMISSION_DENIED  INSUFFICIENT_SCOPE                scope
//	authentication too weak or too old    UNAUTHENTICATED    INSUFFICIENT_USER_AUTHENTICATION  acr_values, max_age, scope
//	keys or issuer unavailable            UNAVAILABLE        TEMPORARILY_UNAVAILABLE
//	this server is misconfigured          INTERNAL           MISCONFIGURED
//	the caller went away                  CANCELLED          CANCELED
//	the deadline of the call passed       DEADLINE_EXCEEDED  DEADLINE_EXCEEDED
//
// Every refusal carries a google.rpc.ErrorInfo with that Reason, the domain of
// [Config.Domain] and that Metadata (lists are separated by spaces, max_age is
// in seconds), and UNAVAILABLE a google.rpc.RetryInfo of 1 to 60 seconds with
// jitter. Messages are fixed. These words are all that a client is told: a
// [bearergate.Reason] and the text of an error are for operators and reach
// [Hooks.Decided] only, since telling why a forged token failed would help to
// forge the next one. Nothing that was sent comes back.
//
// # Streams
//
// A stream is decided on when it opens. When the token expires, it ends:
//   - the context of the handler ends, with the cause [bearergate.ErrInvalidToken]
//     and [bearergate.ReasonExpired];
//   - RecvMsg and SendMsg return UNAUTHENTICATED, TOKEN_EXPIRED, those that are
//     waiting at that moment included, and no further message passes. One whose
//     SendMsg was waiting for the client to read may still reach it;
//   - whatever the handler returns then, that status is what the client gets,
//     so that what it received never looks complete when it is not.
//
// The handler itself is not interrupted: the stream is over for gRPC when it
// returns. A handler that waits for something else has to watch its context.
// [Config.Reverify] ends streams whose token was revoked.
//
// To be able to return early, RecvMsg and SendMsg of such a stream run in a
// goroutine of their own, which costs one to two microseconds per message; one that
// was left waiting ends as soon as the handler has returned. So the message of a
// call that returned an error must not be used again, not even read. (gRPC asks
// for much of that anyway, and generated code keeps to it.) A stream with a
// token that never expires, and without Reverify, is passed through as it is.
//
// # What the caller must see to
//
// Serve over TLS. Install both interceptors, as [Gate.ServerOptions] does: one
// alone leaves the methods of the other kind open. Put the gate before every
// interceptor that must not run for strangers. gRPC for Go decodes the request
// of a unary call before any interceptor runs, so keep grpc.MaxRecvMsgSize low.
//
// What calls the implementation of a service without gRPC, as the in-process
// handlers of grpc-gateway do, passes no interceptor and no gate. And behind
// grpc.UnknownServiceHandler, "/package.Service/*" stands for every spelling of
// a method that a client can think of: list the methods one by one there.
//
// Everything here is safe for concurrent use.
package grpcgate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/scope"
)

const (
	// DefaultDomain is the domain of every ErrorInfo when [Config.Domain] is empty.
	DefaultDomain = "bearergate"
	// MinReverify is the shortest [Config.Reverify].
	MinReverify = time.Second
	// reverifyTimeout bounds each decision of [Config.Reverify].
	reverifyTimeout = 10 * time.Second
	// MaxExpiryLeeway is the longest [Config.ExpiryLeeway].
	MaxExpiryLeeway = 5 * time.Minute
)

// Config is what [New] needs besides the verifier: at least one method. Methods
// are named in full, "/package.Service/Method", as the constants with the ending
// _FullMethodName of generated code are.
type Config struct {
	// Methods says what each method requires. "/package.Service/*" stands for all
	// methods of a service that are not named anywhere by themselves, those that
	// are added to it later included. A zero requirement is a mistake here: say
	// Authenticated. So is a [scope.Template]: a method has nothing to fill it from.
	Methods map[string]scope.Requirement

	// Authenticated are the methods for every valid token, whatever its scopes.
	// "/package.Service/*" is as in Methods.
	Authenticated []string

	// Public are the methods for everybody: no token is looked for, no decision
	// made, no event sent. Each is named by itself; a service as a whole cannot be
	// public, or what is added to it later would be open. For health checks and
	// reflection see [HealthCheck] and [ReflectionV1].
	Public []string

	// Domain is the domain of every google.rpc.ErrorInfo, shown to anybody: the
	// name of the service, such as "orders.example.com". Printable ASCII without
	// spaces; default [DefaultDomain].
	Domain string

	// Confirm decides whether the sender of the call holds the key to which the
	// token is bound (cnf, RFC 7800 §3.1): whether it is the client certificate
	// of the connection that x5t#S256 names (RFC 8705 §3), for example, which
	// peer.FromContext tells. If it returns nil without having checked every member
	// of [bearergate.Token.Confirmation], a stolen token works for the thief.
	//
	// It is called for tokens that are bound, and only for those; nil, the
	// default, refuses every one of them. The verifier has to let bound tokens
	// through as well (Confirmations of jwtverify and introspect).
	//
	// An error that wraps exactly one of the eight sentinels is kept. A context
	// error is [bearergate.ErrUnavailable], a panic [bearergate.ErrMisconfigured],
	// and any other error [bearergate.ErrInvalidToken] with
	// [bearergate.ReasonBinding].
	Confirm func(context.Context, *bearergate.Token) error

	// ExpiryLeeway is how long after its exp a token keeps an open stream alive.
	// Default 0: exp to the letter. The leeway of the verifier is not added, so a
	// stream that was opened during it ends at once. At most [MaxExpiryLeeway].
	ExpiryLeeway time.Duration

	// InsecureOutliveToken lets a stream go on after its token has expired, for as
	// long as the client likes: who was locked out yesterday still listens today.
	// It excludes ExpiryLeeway and Reverify.
	InsecureOutliveToken bool

	// Reverify is how often the token of an open stream is decided on anew, from
	// the credential with which the stream was opened, less up to a tenth, at
	// random. A token that was revoked or lost a scope ends the stream. An outage
	// ends it if it is met twice in a row, so a revocation takes at most two
	// intervals, two waits of 10 s, and what a cache of the verifier adds. The
	// handler keeps the token that opened the stream, and its exp.
	//
	// Each open stream then has one goroutine more. Default 0: never. At least
	// [MinReverify].
	Reverify time.Duration

	// Hooks tell metrics, traces and audit what was decided.
	Hooks Hooks
}

// Gate decides which calls reach a handler. Make one with [New]. A nil or zero
// Gate refuses everything with [bearergate.ErrMisconfigured]. It is safe for
// concurrent use.
type Gate struct {
	verifier bearergate.Verifier
	config   Config             // without the policy
	methods  map[string]*method // not changed after New
}

// New returns a gate that has tokens verified by v. Its error is
// [bearergate.ErrMisconfigured] and names every mistake in c at once.
func New(v bearergate.Verifier, c Config) (*Gate, error) {
	methods, errs := compile(c)
	if isNil(v) {
		errs = append(errs, errors.New("the verifier is nil: pass the result of jwtverify.New, introspect.New or your own Verifier"))
	}
	if c.Domain == "" {
		c.Domain = DefaultDomain
	}
	if !isWord(c.Domain) {
		errs = append(errs, fmt.Errorf("Config.Domain: %q: use printable ASCII without spaces", c.Domain))
	}
	if c.ExpiryLeeway < 0 || c.ExpiryLeeway > MaxExpiryLeeway {
		errs = append(errs, fmt.Errorf("Config.ExpiryLeeway: %v: use 0 to %v", c.ExpiryLeeway, MaxExpiryLeeway))
	}
	if c.Reverify != 0 && c.Reverify < MinReverify {
		errs = append(errs, fmt.Errorf("Config.Reverify: %v: use at least %v, or 0 for never", c.Reverify, MinReverify))
	}
	if c.InsecureOutliveToken && (c.Reverify != 0 || c.ExpiryLeeway != 0) {
		errs = append(errs, errors.New("Config.InsecureOutliveToken: contradicts Reverify and ExpiryLeeway: use the one or the others"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, misconfigured(err)
	}
	c.Hooks = JoinHooks(c.Hooks) // each hook guarded

	c.Methods, c.Authenticated, c.Public = nil, nil, nil // the caller's; methods is the copy
	return &Gate{verifier: v, config: c, methods: methods}, nil
}

// isNil reports whether v is nil or typed nil. bearergate.Verify looks at that
// first, and never calls v with an empty token.
func isNil(v bearergate.Verifier) bool {
	_, err := bearergate.Verify(context.Background(), v, "")
	return errors.Is(err, bearergate.ErrMisconfigured)
}

func misconfigured(err error) *bearergate.Error {
	return &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonConfig, Cause: fmt.Errorf("grpcgate: %w", err)}
}

// ServerOptions returns both interceptors for grpc.NewServer. Put them before
// other interceptors, so that the gate runs first.
func (g *Gate) ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{grpc.ChainUnaryInterceptor(g.Unary), grpc.ChainStreamInterceptor(g.Stream)}
}

// Unary is a grpc.UnaryServerInterceptor. A panic of the handler is not recovered.
func (g *Gate) Unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	c := g.open(ctx, info.FullMethod)
	if c.err != nil {
		return nil, g.Status(ctx, c.err).Err()
	}
	if !c.method.public {
		ctx = bearergate.NewContext(ctx, c.token)
	}
	return handler(ctx, req)
}

// Stream is a grpc.StreamServerInterceptor. A panic of the handler is not recovered.
func (g *Gate) Stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	c := g.open(ss.Context(), info.FullMethod)
	switch {
	case c.err != nil:
		return g.Status(ss.Context(), c.err).Err()
	case c.method.public:
		return handler(srv, ss)
	}
	return g.follow(ss, c, func(ss grpc.ServerStream) error { return handler(srv, ss) })
}

// call is one call, and what was decided about it.
type call struct {
	method *method
	raw    string            // the credential
	token  *bearergate.Token // verified; beside an error, for the hook
	err    error
	opened time.Time // zero without a hook
}

// open decides whether a call may begin, and tells the hook.
func (g *Gate) open(ctx context.Context, fullMethod string) (c call) {
	if g == nil || g.verifier == nil {
		return call{err: misconfigured(errors.New("the gate is nil or zero: make it with New"))}
	}
	if c.method = g.find(fullMethod); c.method.public {
		return c
	}
	if g.config.Hooks.Decided != nil {
		c.opened = time.Now()
		defer func() { g.config.Hooks.Decided(ctx, c.event(c.err, false)) }()
	}
	if c.method == unlisted {
		c.err = errUnlisted
		return c
	}
	if c.raw, c.err = bearergate.BearerToken(metadata.ValueFromIncomingContext(ctx, "authorization")); c.err == nil {
		c.token, c.err = g.decide(ctx, c.method, c.raw)
	}
	return c
}

// decide judges a credential. Beside an error, the token is that of a credential
// which is valid but does not suffice.
func (g *Gate) decide(ctx context.Context, m *method, raw string) (*bearergate.Token, error) {
	token, err := bearergate.Verify(ctx, g.verifier, raw)
	if err == nil && token.Confirmation().Bound() {
		err = g.confirm(ctx, token)
	}
	if err != nil {
		return token, canceled(ctx, err)
	}
	return token, token.Authorize(m.need)
}

func (g *Gate) confirm(ctx context.Context, token *bearergate.Token) error {
	if g.config.Confirm == nil {
		return &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonBinding,
			Cause: errors.New("grpcgate: the token is bound to its sender and Config.Confirm is not set")}
	}
	// As a Verifier, so that a panic is caught and its error held to the contract.
	confirmed := bearergate.VerifierFunc(func(ctx context.Context, _ string) (*bearergate.Token, error) {
		err := g.config.Confirm(ctx, token)
		switch {
		case err == nil || bearergate.ReasonOf(err) != "": // so exactly one sentinel is true
			return token, err
		case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
			return nil, &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonCanceled, Cause: err}
		}
		return nil, &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonBinding,
			Cause: fmt.Errorf("grpcgate: Confirm: %w", err)}
	})
	_, err := bearergate.Verify(ctx, confirmed, "bound")
	return err
}

// canceled says of an outage that it was the end of ctx, if it was: a fetch that
// was cut short because the caller left is no failure of anybody's. A decision
// that was reached stays what it is.
func canceled(ctx context.Context, err error) error {
	ended := ctx.Err()
	if ended == nil || !errors.Is(err, bearergate.ErrUnavailable) {
		return err
	}
	if bearergate.ReasonOf(err) == bearergate.ReasonCanceled && errors.Is(err, ended) {
		return err
	}
	return &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonCanceled,
		Cause: fmt.Errorf("grpcgate: %w (%v)", ended, err)}
}
