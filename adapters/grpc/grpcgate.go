// Package grpcgate puts a [bearergate.Verifier] in front of gRPC handlers: it
// takes the token from the metadata of a call (RFC 6750 §2.1, RFC 9449 §7.1), has
// it verified, checks what the method requires, and otherwise answers with a
// fixed status.
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
// The package does not log in users or authenticate peers. A handler that needs
// more than its method demands reads the token and answers with [Gate.Refuse]. An
// interceptor of your own that calls the parts itself, [bearergate.ParseCredentials],
// [bearergate.Authenticate] and [bearergate.Token.Authorize], answers with [Error].
//
// # Order of a decision
//
//  1. the method is listed;
//  2. exactly one credential is in the metadata;
//  3. the verifier of the method accepts the token;
//  4. the sender of a bound token (RFC 7800 cnf) proves to hold its key
//     ([Config.Bindings]), and with [Config.RequireBinding] the token is bound;
//  5. the user's authentication satisfies [Config.StepUp];
//  6. the scopes satisfy the [scope.Requirement] of the method;
//  7. who acts for the subject satisfies [Config.Delegation];
//  8. the policies of the method agree ([Config.Policies]).
//
// The first that fails answers. An invalid token never tells what a method
// requires. Authentication goes before scope because its answer may name the
// missing scopes as well (RFC 9470 §3).
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
//	DPoP proof wrong or used before       UNAUTHENTICATED    INVALID_DPOP_PROOF
//	DPoP proof without a nonce of ours    UNAUTHENTICATED    USE_DPOP_NONCE
//	scopes insufficient                   PERMISSION_DENIED  INSUFFICIENT_SCOPE                scope
//	authentication too weak or too old    UNAUTHENTICATED    INSUFFICIENT_USER_AUTHENTICATION  acr_values, max_age, scope
//	the same, of a client with cp1        UNAUTHENTICATED    INSUFFICIENT_CLAIMS               claims, acr_values, max_age, scope
//	a policy or Delegation says no        PERMISSION_DENIED  FORBIDDEN
//	keys, issuer or store unavailable     UNAVAILABLE        TEMPORARILY_UNAVAILABLE
//	the deadline of the call passed       UNAVAILABLE        TEMPORARILY_UNAVAILABLE
//	this server is misconfigured          INTERNAL           MISCONFIGURED
//	the caller went away                  CANCELLED          CANCELED
//
// Where the deadline of a call passes while something is waited for, it is an
// outage of what was waited for, so that it counts: the event has its Reason, such
// as [bearergate.ReasonKeysUnavailable]. The decision ends a moment before that, by a
// tenth of the time left but 10 ms at most, since a client takes its call back at its
// deadline; it may still have its own DEADLINE_EXCEEDED first. Only a client that
// took its call back earlier, [bearergate.ReasonCanceled], is no failure of anybody's.
//
// Every refusal carries a google.rpc.ErrorInfo with that Reason, the domain of
// [Config.Domain] and that Metadata (lists are separated by spaces, max_age is
// in seconds), and UNAVAILABLE a google.rpc.RetryInfo of 1 to 60 seconds with
// jitter. Messages are fixed. These words are all that a client is told: a
// [bearergate.Reason] and the text of an error are for operators and reach
// [Hooks.Decided] only, since telling why a forged token failed would help to
// forge the next one. Nothing that was sent comes back. What a
// [bearergate.Binding] replies, such as dpop-nonce, comes with the headers of a
// call that goes on and with the trailers of one that is refused.
//
// The trailers of a refusal also have what HTTP would say, for clients behind grpc-gateway
// or gRPC-Web: www-authenticate with the challenges of RFC 6750, RFC 9470 and RFC 9449, the
// same that package middleware sends and one value for each scheme, and for an outage
// retry-after in seconds, which is that of the RetryInfo; where net/http serves the server
// (grpc.Server.ServeHTTP), which cannot send the first in a trailer, the headers. A refusal whose ErrorInfo has
// METHOD_NOT_LISTED, FORBIDDEN, MISCONFIGURED or CANCELED has no challenge.
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
// [Config.Reverify] ends streams whose token was revoked, or which a policy of the method
// no longer allows. A proof of possession is
// asked for once, when the stream opens.
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
// alone leaves the methods of the other kind open. gRPC for Go decodes the request
// of a unary call before any interceptor runs, so keep grpc.MaxRecvMsgSize low.
//
// # Order of interceptors
//
// What runs before the gate runs for strangers. gRPC for Go has this order, and not that
// in which the options are given:
//
//  1. grpc.InTapHandle, and the TagRPC and HandleRPC of every grpc.StatsHandler. They see
//     every call, those that are refused included;
//  2. the one interceptor of grpc.UnaryInterceptor or grpc.StreamInterceptor, wherever it
//     stands among the options: also behind those of the gate;
//  3. those of grpc.ChainUnaryInterceptor or grpc.ChainStreamInterceptor, in the order of
//     the options. The gate is one of these;
//  4. the handler.
//
// So whatever must not run for strangers goes into a chain, behind [Gate.ServerOptions].
// To have the gate before everything of 2 and 3, give it by itself:
// grpc.UnaryInterceptor(gate.Unary) and grpc.StreamInterceptor(gate.Stream); with another
// one of these, grpc.NewServer panics. No interceptor can see what ran before
// it. But whoever asks [Gate.Token] is told if the gate has not run, and a handler also
// if an interceptor behind the gate passed on a context of its own.
//
// # What it does not see
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
	"maps"
	"net/netip"
	"slices"
	"time"

	"google.golang.org/grpc"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/scope"
)

const (
	// DefaultDomain is the domain of every ErrorInfo when [Config.Domain] is empty.
	DefaultDomain = "bearergate"
	// MinReverify is the shortest [Config.Reverify].
	MinReverify = bearergate.MinRecheck
	// MaxExpiryLeeway is the longest [Config.ExpiryLeeway].
	MaxExpiryLeeway = 5 * time.Minute
	// PolicyTimeout is how long the policies of a call have for their answer, all together:
	// see [Config.Policies].
	PolicyTimeout = bearergate.PolicyTimeout
	// deadlineMargin is how long before the deadline of a call its decision ends.
	deadlineMargin = 10 * time.Millisecond
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

	// Realm is the realm of every challenge, shown to anybody; see
	// [bearergate.AnswerConfig]. Default [bearergate.DefaultRealm].
	Realm string

	// MetadataURL is where the metadata document of this API is (RFC 9728), such as
	// "https://api.example.com/.well-known/oauth-protected-resource", which something else
	// serves: middleware.Gate.Metadata does. Every challenge then names it; see
	// [bearergate.AnswerConfig]. Default: none.
	MetadataURL string

	// AuthorizationURI is the authorize endpoint of Microsoft Entra that a claims challenge
	// names; see [bearergate.AnswerConfig]. Default: none.
	AuthorizationURI string

	// AdvertiseScopes tells callers without a token which scopes the method wants: their
	// challenge has scope="…" (RFC 6750 §3), and no error. Anybody can then read what a
	// method requires.
	AdvertiseScopes bool

	// Via has the tokens of a method verified by another verifier than that of
	// [New], which then has no say in it: by one that asks the authorization server
	// every time, or that knows a second issuer. Each name is one of Methods or
	// Authenticated as listed there, and stands for the same: what is said of
	// "/package.Service/*" does not count for a method that is named by itself.
	Via map[string]bearergate.Verifier

	// StepUp demands of the tokens of a method how and when the user authenticated
	// (RFC 9470), with its AuthContext in Microsoft Entra. Names are as in Via. A client
	// whose token has "cp1" in xms_cc gets the claims challenge as claims, in base64: it
	// decodes that and sends it to the authorize endpoint as the parameter of that name.
	StepUp map[string]bearergate.StepUp

	// Delegation demands of the tokens of a method who acts for their subject (RFC 8693).
	// Names are as in Via. Otherwise the answer is [bearergate.ErrForbidden] with
	// [bearergate.ReasonActor].
	Delegation map[string]bearergate.Delegation

	// Policies are functions of your own that decide whether a call may go on whose token
	// satisfies everything else: a policy engine, for example. Names are as in Via. Those
	// of a method are asked in turn, until one refuses. Each returns nil, or an error that
	// is judged by the rule of [bearergate.Guard]; one that says nothing else is
	// [bearergate.ErrForbidden] with [bearergate.ReasonPolicy]. An outage has to be
	// [bearergate.ErrUnavailable]. A policy gets the full method as it was called, and a
	// context with the metadata of the call; it has to be safe for concurrent use. It is
	// not asked about a public method, nor about anybody without a good token, and it
	// does not see the messages.
	//
	// The policies of a call have [PolicyTimeout] for their answer, all together: their
	// context ends then, and whatever they wait for has to honour it. The answer is then
	// [bearergate.ErrUnavailable] with [bearergate.ReasonStoreUnavailable]. A policy that
	// does not look at its context is waited for, and what it says counts.
	//
	// With Reverify, they are asked again about each stream, with the token as it is then,
	// and what they say ends it by the same rule. Package policy remembers answers, so that
	// an engine is not asked for each call.
	Policies map[string][]func(ctx context.Context, fullMethod string, t *bearergate.Token) error

	// Extract returns the credentials of a call, from whatever metadata carries them: for
	// API keys beside tokens, it is ExtractCall of apikey.Keys. It replaces authorization
	// entirely, and has to refuse a call with more than one credential. What it is given is
	// the [bearergate.Call] that Bindings see, without credentials. A token without a Scheme
	// counts as sent with [bearergate.SchemeBearer].
	//
	// Credentials without a token and without an error mean that there is none:
	// [bearergate.ErrMissingToken]. Errors are judged by the rule of [bearergate.Guard]; one
	// that says nothing else, and a panic, is [bearergate.ErrMisconfigured]. Whatever the
	// error, the handler does not run. It must be quick, and safe for concurrent use.
	// Default: nil, and exactly one value of authorization, Bearer or DPoP.
	Extract func(bearergate.Call) (bearergate.Credentials, error)

	// Bindings check that the sender of a bound token (cnf, RFC 7800) holds its key:
	// by DPoP (RFC 9449), by a client certificate (RFC 8705). They are asked by the
	// rules of [bearergate.Authenticate], for bound tokens only, once for a call or a
	// stream; without the right one, a bound token is refused with
	// [bearergate.ReasonBinding]. Each has members of cnf of its own. The verifier has
	// to let bound tokens through as well (Confirmations of jwtverify and
	// introspect): [New] compares the two where the verifier tells, and names the
	// difference.
	//
	// The [bearergate.Call] that they see is a POST to the full method, with the
	// metadata as header, :authority as Host, and the TLS state and the address of
	// the connection.
	Bindings []bearergate.Binding

	// RequireBinding refuses unbound tokens, with [bearergate.ReasonBinding]: every
	// token must be bound, and its sender prove to hold the key.
	RequireBinding bool

	// ExpiryLeeway is how long after its exp a token keeps an open stream alive.
	// Default 0: exp to the letter. The leeway of the verifier is not added, so a
	// stream that was opened during it ends at once. At most [MaxExpiryLeeway].
	ExpiryLeeway time.Duration

	// InsecureOutliveToken lets a stream go on after its token has expired, for as
	// long as the client likes: who was locked out yesterday still listens today.
	// It excludes ExpiryLeeway and Reverify.
	InsecureOutliveToken bool

	// Reverify is how often the token of an open stream is decided on anew, from
	// the credential with which the stream was opened, by the rule of
	// [bearergate.Recheck]: less up to a tenth, at random. A token that was revoked,
	// lost a scope, is no longer enough for StepUp, Delegation or Policies, or says another
	// issuer, subject, client or binding ends the stream. An outage
	// ends it if it is met twice in a row, so a revocation takes at most two
	// intervals, three waits of up to 15 s, and what a cache of the verifier adds. The
	// handler keeps the token that opened the stream, and its exp. The proof with
	// which it was opened stays good: no Binding is asked again.
	//
	// Each open stream then has one goroutine more. Default 0: never. At least
	// [MinReverify].
	Reverify time.Duration

	// Hooks tell metrics, traces and audit what was decided.
	Hooks Hooks

	// ClientAddress finds the address of the sender for [DecisionEvent.Address], in the
	// metadata of a call and from the address of its connection, and is asked only where
	// [Hooks.Decided] is set. It decides nothing. Default: nil, and the address is not told.
	// What [bearergate.NewClientAddress] returns for the zero
	// [bearergate.ClientAddressConfig] takes the address of the connection; behind a proxy,
	// name its header and its addresses there.
	ClientAddress *bearergate.ClientAddress
}

// Gate decides which calls reach a handler. Make one with [New]. A nil or zero
// Gate refuses everything with [bearergate.ErrMisconfigured]. It is safe for
// concurrent use.
type Gate struct {
	config  Config             // without the policy
	methods map[string]*method // not changed after New; nil only in a zero Gate
	say     *bearergate.Answers
}

// New returns a gate that has tokens verified by v. Its error is
// [bearergate.ErrMisconfigured] and names every mistake in c at once.
func New(v bearergate.Verifier, c Config) (*Gate, error) {
	methods, errs := compile(v, c)
	if isNil(v) {
		errs = append(errs, errors.New("the verifier is nil: pass the result of jwtverify.New, introspect.New or your own Verifier"))
	}
	c.Bindings = slices.Clone(c.Bindings)
	if err := bearergate.CheckBindings(c.Bindings, append(slices.Collect(maps.Values(c.Via)), v)...); err != nil {
		errs = append(errs, fmt.Errorf("Config.Bindings: %w", bearergate.AsError(err).Cause))
	}
	var sound []bearergate.Binding
	if bearergate.CheckBindings(c.Bindings) == nil {
		sound = c.Bindings
	}
	say, err := bearergate.NewAnswers(bearergate.AnswerConfig{Realm: c.Realm, MetadataURL: c.MetadataURL, AuthorizationURI: c.AuthorizationURI}, sound...)
	if err != nil {
		errs = append(errs, bearergate.AsError(err).Cause)
	}
	if c.RequireBinding && len(c.Bindings) == 0 {
		errs = append(errs, errors.New("Config.RequireBinding without Bindings: no token could enter: set Bindings, or leave RequireBinding out"))
	}
	if c.Domain == "" {
		c.Domain = DefaultDomain
	}
	if !isWord(c.Domain) {
		errs = append(errs, fmt.Errorf("Config.Domain: %q: use printable ASCII without spaces", c.Domain))
	}
	if c.ExpiryLeeway < 0 || c.ExpiryLeeway > MaxExpiryLeeway {
		errs = append(errs, fmt.Errorf("Config.ExpiryLeeway: %v: use 0 to %v, 30*time.Second for example", c.ExpiryLeeway, MaxExpiryLeeway))
	}
	if c.Reverify != 0 && c.Reverify < MinReverify {
		errs = append(errs, fmt.Errorf("Config.Reverify: %v: use at least %v, 30*time.Second for example, or 0 for never", c.Reverify, MinReverify))
	}
	if c.InsecureOutliveToken && (c.Reverify != 0 || c.ExpiryLeeway != 0) {
		errs = append(errs, errors.New("Config.InsecureOutliveToken: contradicts Reverify and ExpiryLeeway: use the one or the others"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, misconfigured(err)
	}
	c.Hooks = JoinHooks(c.Hooks) // each hook guarded

	c.Methods, c.Authenticated, c.Public, c.Via, c.StepUp, c.Delegation, c.Policies = nil, nil, nil, nil, nil, nil, nil // the caller's; methods is the copy
	return &Gate{config: c, methods: methods, say: say}, nil
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

// ServerOptions returns both interceptors for grpc.NewServer, as the next of its chains.
// Put them before other options with chains. What grpc.UnaryInterceptor and
// grpc.StreamInterceptor are given runs before them in any case: see the package comment.
func (g *Gate) ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{grpc.ChainUnaryInterceptor(g.Unary), grpc.ChainStreamInterceptor(g.Stream)}
}

// Unary is a grpc.UnaryServerInterceptor. A panic of the handler is not recovered.
func (g *Gate) Unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	c := g.open(ctx, info.FullMethod)
	c.reply(ctx)
	if c.err != nil {
		return nil, g.refusal(ctx, &c)
	}
	if !c.method.public {
		ctx = c.admitted(ctx)
	}
	return handler(ctx, req)
}

// Stream is a grpc.StreamServerInterceptor. A panic of the handler is not recovered.
func (g *Gate) Stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	c := g.open(ss.Context(), info.FullMethod)
	c.reply(ss.Context())
	switch {
	case c.err != nil:
		return g.refusal(ss.Context(), &c)
	case c.method.public:
		return handler(srv, ss)
	}
	return g.follow(ss, c, func(ss grpc.ServerStream) error { return handler(srv, ss) })
}

// Token returns the token of a call, for handlers and for interceptors behind the gate. It
// is [bearergate.FromContext] with a reason where there is no token:
// [bearergate.ErrMissingToken] for a method of [Config.Public], and otherwise
// [bearergate.ErrMisconfigured], since the gate lets nobody in without. Then the gate did
// not run before, or an interceptor between passed on another context; the error says so.
// Return [Gate.Status] of it.
func (g *Gate) Token(ctx context.Context) (*bearergate.Token, error) {
	if g == nil || g.methods == nil {
		return nil, errZero
	}
	if token, ok := bearergate.FromContext(ctx); ok {
		return token, nil
	}
	name, ok := "", ctx != nil
	if ok {
		name, ok = grpc.Method(ctx)
	}
	switch m := g.find(name); {
	case !ok:
		return nil, errNoCall
	case m == unlisted:
		return nil, errUnlisted
	case m.public:
		return nil, errPublic
	}
	return nil, errNotAsked
}

var (
	errPublic = &bearergate.Error{Kind: bearergate.ErrMissingToken, Reason: bearergate.ReasonNoToken, Cause: errors.New("grpcgate: the method is public, so no token is looked for")}
	errNoCall = misconfigured(errors.New("the context is that of no call of gRPC: pass on the one that the handler or the interceptor got"))
	// What grpc.UnaryInterceptor is given runs before every chain: see the package comment.
	errNotAsked = misconfigured(errors.New("the context has no token, and the method needs one, so the gate has not run: " +
		"an interceptor that asks has to stand in a chain behind Gate.ServerOptions, and not in grpc.UnaryInterceptor or grpc.StreamInterceptor, which run before every chain; " +
		"Unary and Stream of the gate both have to be installed; and what stands between the gate and the handler has to pass on the context that it got"))
)

// call is one call, and what was decided about it.
type call struct {
	method      *method
	fullMethod  string
	credentials bearergate.Credentials
	sender      *sender           // nil if no binding needs it
	token       *bearergate.Token // verified and its binding proven; beside an error, for the hook
	asked       bearergate.Reply
	err         error
	opened      time.Time  // zero without a hook
	address     netip.Addr // of the sender; only where a hook is told
}

// admitted returns the context for the handler.
func (c call) admitted(ctx context.Context) context.Context {
	if c.sender != nil {
		ctx = context.WithValue(ctx, senderKey{}, c.sender)
	}
	return bearergate.Admit(ctx, c.token, c.method.need)
}

// open decides whether a call may begin, and tells the hook.
func (g *Gate) open(ctx context.Context, fullMethod string) (c call) {
	if g == nil || g.methods == nil {
		return call{err: errZero}
	}
	c.fullMethod = fullMethod
	if c.method = g.find(fullMethod); c.method.public {
		return c
	}
	if g.config.Hooks.Decided != nil {
		c.opened = time.Now()
		c.address = g.addressOf(ctx)
		defer func() { g.config.Hooks.Decided(ctx, c.event(c.err, false)) }()
	}
	if c.method == unlisted {
		c.err = errUnlisted
		return c
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		c.err = errNoTime
		return c
	}
	if c.credentials, c.err = g.extract(ctx, fullMethod); c.err != nil {
		return c
	}
	bounded, done := beforeDeadline(ctx)
	defer done()
	c.err = errUndecided // what the hook is told if a verifier ends the goroutine
	c.token, c.asked, c.err = bearergate.Authenticate(bounded, c.method.verifier, g.shown(ctx, fullMethod, &c), g.config.Bindings...)
	if c.err == nil && g.config.RequireBinding && !c.token.Proven() {
		c.err = errUnbound
	}
	if c.err == nil {
		c.err = bearergate.AddDemands(ctx, c.token, c.method.authorize(c.token))
	}
	if c.err == nil && len(c.method.policies) > 0 {
		c.err = errUndecided
		c.err = c.method.allowed(bounded, fullMethod, c.token)
	}
	return c
}

var errZero = misconfigured(errors.New("the gate is nil or zero: make it with New"))

// errNoTime is not an outage of whom the gate would have asked: a stranger could have every
// call count as one.
var errNoTime = &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonCanceled,
	Detail: "the deadline of the call had passed before anything was asked", Cause: context.DeadlineExceeded}

var errUndecided = &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonInternal,
	Cause: errors.New("grpcgate: the verifier, a binding or a policy ended the goroutine of the call")}

// beforeDeadline returns a context that ends a moment before the deadline of a call.
// At the deadline, the client takes its call back and most often is faster than the
// clock of this server: an outage would look as if the caller had gone away.
func beforeDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return ctx, func() {}
	}
	return context.WithDeadline(ctx, deadline.Add(-min(deadlineMargin, time.Until(deadline)/10)))
}

var errUnbound = &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonBinding,
	Detail: "the gate demands a token that is bound to its sender, and this one is not"}

// again decides anew on a call that was let in and is still going on.
func (g *Gate) again(ctx context.Context, c call) error {
	token, err := bearergate.Reauthenticate(ctx, c.method.verifier, c.credentials, c.token)
	if err != nil {
		return err
	}
	if err := c.method.authorize(token); err != nil {
		return err
	}
	return c.method.allowed(ctx, c.fullMethod, token)
}
