// Package connectgate puts a [middleware.Gate] in front of the handlers of connect-go, for
// its three protocols: Connect, gRPC and gRPC-Web.
//
//	gate, err := connectgate.New(verifier, connectgate.Config{})
//	gate.Handle(ordersv1connect.OrdersServiceListProcedure, scope.All("orders:read"))
//	gate.Public(grpchealth.HealthV1CheckProcedure)
//	mux := http.NewServeMux()
//	mux.Handle(ordersv1connect.NewOrdersServiceHandler(service, connect.WithInterceptors(gate.Interceptor())))
//	handler, err := gate.Handler(mux)
//	token, ok := bearergate.FromContext(ctx) // in the service
//
// A procedure that is not listed is closed.
//
// # Two halves
//
// [Gate.Handler] decides, as the middleware it is: before a message of a stranger is read,
// decompressed or decoded, which connect-go does for unary calls before any interceptor runs,
// and with what only HTTP shows. So everything of package middleware holds here: the order of
// a decision, its options for a route (step-up, Via, Recheck, roles, policies), DPoP and client
// certificates, hooks and the list of routes. Each procedure is the route of its path, whatever
// the method of the request: a procedure without side effects may be called by GET, and
// connect-go decides about that. No token is ever taken from a query.
//
// [Gate.Interceptor] stands directly in front of the service, and has to be given to each of
// its handlers. It
//
//   - refuses every call that Handler has not let in for the very procedure that runs, so that
//     a service which is also served past the gate is closed, and not open;
//   - ends streams when their token expires;
//   - makes a refusal of what a service returns: an error in the terms of package bearergate,
//     such as that of [bearergate.Token.Authorize], whose text is not for clients.
//
// # Answers
//
// A refusal is written as the protocol of the call has it, as an error with the code, the
// fixed words and a google.rpc.ErrorInfo:
//
//	case                                  code               ErrorInfo.Reason                  Metadata
//	procedure not listed                  unimplemented      METHOD_NOT_LISTED
//	no credential                         unauthenticated    MISSING_TOKEN
//	malformed or repeated credential      invalid_argument   INVALID_REQUEST
//	expired                               unauthenticated    TOKEN_EXPIRED
//	inactive or revoked                   unauthenticated    TOKEN_INACTIVE
//	invalid for any other reason          unauthenticated    INVALID_TOKEN
//	DPoP proof wrong or used before       unauthenticated    INVALID_DPOP_PROOF
//	DPoP proof without a nonce of ours    unauthenticated    USE_DPOP_NONCE
//	scopes insufficient                   permission_denied  INSUFFICIENT_SCOPE                scope
//	authentication too weak or too old    unauthenticated    INSUFFICIENT_USER_AUTHENTICATION  acr_values, max_age, scope
//	the same, of a client with cp1        unauthenticated    INSUFFICIENT_CLAIMS               claims, acr_values, max_age, scope
//	a policy says no                      permission_denied  FORBIDDEN
//	keys, issuer or store cannot be had   unavailable        TEMPORARILY_UNAVAILABLE
//	this server is misconfigured          internal           MISCONFIGURED
//
// An outage has a google.rpc.RetryInfo as well. The metadata of the error has what HTTP would
// say: WWW-Authenticate with the challenges, Retry-After, and what a binding replies, such as
// DPoP-Nonce. Where that is on the wire is a matter of the protocol: in the header for a unary
// call of Connect and for gRPC-Web, in the trailers for gRPC, in the last message for a stream
// of Connect. A request that belongs to none of the protocols gets the answer of the middleware.
//
// # Streams
//
// A stream is decided on when it opens. When its token expires, the context of the service
// ends, with the cause [bearergate.ErrInvalidToken] and [bearergate.ReasonExpired], Receive and
// Send fail, and whatever the service returns then, the client gets unauthenticated with
// TOKEN_EXPIRED: what it received never looks complete when it is not. A Receive that waits for
// the client is ended by a deadline on the connection ([http.ResponseController]), so a
// ResponseWriter of your own in front of the gate needs Unwrap. A Send that waits for the
// client to read is not interrupted, and nothing is sent after it.
// With [middleware.Recheck], the same happens when a token was revoked.
//
// # What the caller must do
//
// Serve over TLS. Put a CORS handler outside of the gate: a preflight has no credentials. Its
// Access-Control-Expose-Headers has to name WWW-Authenticate and Retry-After, beside what
// connect-go asks for, or scripts cannot read why they were refused. A token that comes in a
// cookie ([middleware.Config.Extract]) opens the door to cross-site requests, above all by GET.
// Mount the service at the root of its host, as its protocols want it; whatever stands between
// Handler and the service must not change the path.
//
// Everything here is safe for concurrent use, once Handler was called.
package connectgate

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"connectrpc.com/connect"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

// DefaultDomain is the domain of every ErrorInfo when [Config.Domain] is empty.
const DefaultDomain = "bearergate"

// Config is what [New] needs besides the verifier. The zero value is complete.
type Config struct {
	// Gate is the configuration of the middleware that decides. Its Render is asked only
	// for a request that belongs to none of the protocols.
	Gate middleware.Config

	// Domain is the domain of every google.rpc.ErrorInfo, shown to anybody: the name of the
	// service, such as "orders.example.com". Printable ASCII without spaces; default
	// [DefaultDomain].
	Domain string
}

// Gate decides which calls reach a service. Make one with [New], list every procedure, and
// serve what [Gate.Handler] returns. A nil or zero Gate refuses everything.
type Gate struct {
	config Config
	gate   *middleware.Gate
	router *middleware.Router
	writer *connect.ErrorWriter

	mu      sync.Mutex // guards what follows
	errs    []error
	service http.Handler // nil until Handler; not changed afterwards
	handler http.Handler
}

// New returns a gate that has tokens verified by v. Its error is [bearergate.ErrMisconfigured]
// and names every mistake in c at once.
func New(v bearergate.Verifier, c Config) (*Gate, error) {
	g := &Gate{config: c, writer: connect.NewErrorWriter()}
	var errs []error
	if g.config.Domain == "" {
		g.config.Domain = DefaultDomain
	}
	if strings.ContainsFunc(g.config.Domain, func(r rune) bool { return r <= ' ' || r > '~' }) {
		errs = append(errs, fmt.Errorf("Config.Domain: %q: use printable ASCII without spaces", c.Domain))
	}
	hooked := c.Gate
	hooked.Render = g.render
	gate, err := middleware.New(v, hooked)
	if err != nil {
		errs = append(errs, bearergate.AsError(err).Cause)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, misconfigured(err)
	}
	g.config.Gate.Hooks = middleware.JoinHooks(c.Gate.Hooks) // each hook guarded
	g.gate, g.router = gate, gate.NewRouter()
	return g, nil
}

func misconfigured(err error) *bearergate.Error {
	return &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonConfig, Cause: fmt.Errorf("connectgate: %w", err)}
}

// Handle lists a procedure for calls whose token satisfies need and the options, as
// [middleware.Router.Handle] has it. Its name is that of generated code,
// "/package.Service/Method". "/package.Service/*" stands for all procedures of a service that
// are not listed by themselves, those that are added to it later included. A zero need is a
// mistake: say [Gate.Authenticated]. So is a [scope.Template]: a procedure has nothing to fill
// it from. [middleware.CancelOnExpiry] is not needed for a stream, and left out: what it would
// do to a unary call is to fail one whose token expires meanwhile.
//
// A mistake, here as in the other methods, is reported by [Gate.Handler].
func (g *Gate) Handle(procedure string, need scope.Requirement, opts ...middleware.RouteOption) {
	if pattern, ok := g.pattern(procedure, false); ok {
		g.router.Handle(pattern, need, g.enter(need), without(opts)...)
	}
}

// Authenticated lists a procedure for calls with any valid token that satisfies the options.
func (g *Gate) Authenticated(procedure string, opts ...middleware.RouteOption) {
	if pattern, ok := g.pattern(procedure, false); ok {
		g.router.Authenticated(pattern, g.enter(scope.Requirement{}), without(opts)...)
	}
}

// Public lists a procedure for everybody: no token is looked for, no decision made, no event
// sent. Each is listed by itself; a service as a whole cannot be public, or what is added to it
// later would be open.
func (g *Gate) Public(procedure string) {
	if pattern, ok := g.pattern(procedure, true); ok {
		g.router.Public(pattern, g.enter(scope.Requirement{}))
	}
}

// Routes are the procedures that are listed, for package policydoc for example: the pattern of
// each is its path.
func (g *Gate) Routes() []middleware.Route {
	if g == nil || g.router == nil {
		return nil
	}
	return g.router.Routes()
}

// Metadata returns the handler of the metadata document of [middleware.Config.Resource], and
// the pattern to register it under on a mux in front of [Gate.Handler]: see
// [middleware.Gate.Metadata].
func (g *Gate) Metadata(m middleware.Metadata) (pattern string, h http.Handler, err error) {
	if g == nil {
		return (*middleware.Gate)(nil).Metadata(m)
	}
	return g.gate.Metadata(m)
}

// without takes out what the interceptor does itself, for streams alone.
func without(opts []middleware.RouteOption) []middleware.RouteOption {
	return slices.DeleteFunc(slices.Clone(opts), func(o middleware.RouteOption) bool { return o == middleware.CancelOnExpiry() })
}

// pattern returns the pattern of http.ServeMux for a procedure.
func (g *Gate) pattern(procedure string, public bool) (pattern string, ok bool) {
	if g == nil || g.router == nil {
		return "", false // Handler says so
	}
	var err error
	service, all := strings.CutSuffix(procedure, "/*")
	parts := strings.Split(procedure, "/")
	switch {
	case len(parts) != 3 || parts[0] != "" || !isName(parts[1], true) || !all && !isName(parts[2], false):
		err = errors.New(`use the full name, "/package.Service/Method", or "/package.Service/*"`)
	case all && public:
		err = errors.New("a service cannot be public as a whole: name each of its procedures")
	case all:
		procedure = service + "/{procedure}"
	}
	if err == nil {
		return procedure, true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.errs = append(g.errs, fmt.Errorf("%q: %w", procedure, err))
	return "", false
}

// isName reports whether s is an identifier of protobuf, dotted if it names a service.
func isName(s string, dotted bool) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' && (r != '.' || !dotted)
	})
}

// Handler returns what serves the procedures that are listed, and nothing else, by service:
// the mux of everything that generated code returns, or one such handler. Its error is
// [bearergate.ErrMisconfigured] and names every mistake of the list at once. Call it once:
// afterwards, nothing can be listed.
func (g *Gate) Handler(service http.Handler) (http.Handler, error) {
	if g == nil || g.router == nil {
		return nil, misconfigured(errors.New("the gate is nil or zero: make it with New"))
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	errs := slices.Clone(g.errs)
	if service == nil {
		errs = append(errs, errors.New("the service is nil: pass the mux of what generated code returns"))
	}
	if g.service != nil {
		errs = append(errs, errors.New("Handler was called before: call it once"))
	}
	router, err := g.router.Handler()
	if err != nil {
		errs = append(errs, bearergate.AsError(err).Cause)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, misconfigured(err)
	}
	g.service, g.handler = service, router
	return http.HandlerFunc(g.serve), nil
}

// callKey is the key of a call in its context: each gate has its own.
type callKey struct{ gate *Gate }

// call is one call on its way through the gate.
type call struct {
	writer    http.ResponseWriter // of the server
	request   *http.Request       // as it came in
	need      scope.Requirement
	procedure string // that was let in; "" if none was
	pattern   string

	answer recorder
	render *middleware.Refusal // what was refused, if it was
}

// serve has the middleware decide, and writes its refusals as the protocol of the call has them.
func (g *Gate) serve(w http.ResponseWriter, r *http.Request) {
	ctx, done := beforeDeadline(r)
	defer done()
	c := &call{writer: w, request: r}
	c.answer = recorder{under: w, header: http.Header{}}
	g.handler.ServeHTTP(&c.answer, r.WithContext(context.WithValue(ctx, callKey{g}, c)))
	if c.procedure == "" && c.answer.status != 0 {
		g.refuse(c)
	} // else the service has answered, or the caller went away and the middleware gave it up
}

// enter is the handler of a route: what the middleware lets in, the service answers.
func (g *Gate) enter(need scope.Requirement) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, ok := r.Context().Value(callKey{g}).(*call)
		if !ok || c.procedure != "" {
			// The Router is served by itself, without Handler, or a handler inside of the gate calls it.
			http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
			return
		}
		c.procedure, c.pattern, c.need = r.URL.Path, r.Pattern, need
		for name, values := range c.answer.header { // such as DPoP-Nonce
			if name == "Vary" {
				values = append(c.writer.Header()["Vary"], values...)
			}
			c.writer.Header()[name] = values
		}
		g.service.ServeHTTP(c.writer, r)
	})
}

// render remembers what the middleware refuses.
func (g *Gate) render(r *http.Request, refused middleware.Refusal) (contentType string, body []byte) {
	if c, ok := r.Context().Value(callKey{g}).(*call); ok {
		c.render = &refused
	}
	if g.config.Gate.Render != nil {
		return g.config.Gate.Render(r, refused)
	}
	return "", nil // the default
}

// recorder keeps the answer of the middleware.
type recorder struct {
	under  http.ResponseWriter
	header http.Header
	status int
	body   []byte
}

func (w *recorder) Header() http.Header { return w.header }

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

func (w *recorder) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	w.body = append(w.body, b...)
	return len(b), nil
}

// Unwrap lets the middleware give up a connection whose caller went away.
func (w *recorder) Unwrap() http.ResponseWriter { return w.under }
