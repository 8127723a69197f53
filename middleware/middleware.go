// Package middleware puts a [bearergate.Verifier] in front of net/http
// handlers: it takes the bearer token from a request, has it verified, checks
// what the route requires, and otherwise answers as RFC 6750 §3 and RFC 9470 §3
// ask.
//
//	gate, err := middleware.New(verifier, middleware.Config{})
//	orders := gate.Require(scope.All("orders:read"))(ordersHandler)
//	token, ok := bearergate.FromContext(r.Context()) // in ordersHandler
//
// A token is taken from the Authorization header only (RFC 6750 §2.1). A token in
// the query or the body is never read; [Config.Extract] is for other carriers.
// The package does not log in users, keep sessions, or look at the path: a handler
// that is not wrapped is not protected. [Gate.NewRouter] wraps every route of a
// service, and each route has to say who may enter.
//
// # Order of a decision
//
// Each step is judged on every request, and the first that fails answers:
//
//  1. exactly one credential is extracted;
//  2. the verifier accepts the token;
//  3. a sender-constrained token (RFC 7800 cnf) is confirmed by [Config.Confirm];
//  4. the user's authentication satisfies [StepUp];
//  5. the scopes satisfy the route's [scope.Requirement].
//
// So the answer to an invalid token is always invalid_token, and never tells what a
// route requires (RFC 6750 §3.1, RFC 9470 §9). Authentication goes before scope
// because its challenge may name the missing scopes as well (RFC 9470 §3), while
// insufficient_scope cannot ask for an authentication. A client that lacks both
// learns so from one answer, and its user authenticates once.
//
// # Answers
//
//	case                                       status  WWW-Authenticate: Bearer realm="…"
//	no credential                              401     nothing more
//	malformed or repeated credential           400     error="invalid_request"
//	invalid token                              401     error="invalid_token"
//	scopes insufficient                        403     error="insufficient_scope", scope="…"
//	authentication too weak or too old         401     error="insufficient_user_authentication", acr_values="…", max_age="…"
//	keys or authorization server unavailable   503     none; Retry-After of 1 to 60 seconds
//	this server is misconfigured               500     none
//
// Every refusal has Cache-Control: no-store and, unless the method is HEAD, a body
// of type application/problem+json (RFC 9457) in fixed words; [Config.Render]
// writes other bodies. No text of an error leaves the server. Nothing that was
// sent comes back, with one exception: a scope filled from the path
// ([scope.Template]) is named to a client that lacks it. With [Config.Resource],
// every challenge ends with resource_metadata="…" (RFC 9728 §5.1). A caller that
// went away gets no answer.
//
// # What the caller must do
//
// Serve over TLS. Put a CORS handler outside the gate, and let it answer
// preflights itself: a preflight carries no credentials, and the gate, which
// treats OPTIONS like every other method, would refuse it. That handler must also
// send Access-Control-Expose-Headers: WWW-Authenticate, or scripts cannot read why
// they were refused. Put whatever must not run without a valid token, such as a
// body parser, inside the gate.
//
// Everything here is safe for concurrent use.
package middleware

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/scope"
)

// DefaultRealm is the realm of challenges when [Config.Realm] is empty.
const DefaultRealm = "api"

// Config is what [New] needs besides the verifier. The zero value is complete.
type Config struct {
	// Realm is the realm of every challenge (RFC 9110 §11.5), shown to anybody.
	// Printable ASCII without double quote and backslash; default [DefaultRealm].
	Realm string

	// Resource is the resource identifier of this API (RFC 9728 §1.2), exactly as
	// clients and [Metadata] documents name it. With it, every challenge says where
	// the document of [Gate.Metadata] is. The address depends on this field alone,
	// never on what a request says, such as its Host.
	//
	// It is an https URL (http for localhost and loopback addresses) in printable
	// ASCII, without user, fragment, empty or dot segments, and preferably without a
	// query. It is compared code point by code point and never normalized. Default:
	// none. An API with several resource identifiers needs a gate for each.
	Resource string

	// Hooks tell metrics, traces and audit what was decided.
	Hooks Hooks

	// InsecureReportOnly lets every request through, whatever was decided: nothing
	// is protected. It is for finding out, from the events of real traffic, whom a
	// new policy would refuse, before it refuses anybody.
	//
	// Decisions are made and reported ([DecisionEvent.ReportOnly]). The context of
	// the handler has a token if that was verified and its binding confirmed, even
	// if scopes or authentication do not suffice. A route whose handler is nil is
	// still refused. [Gate.Check] is not affected: it returns the error.
	InsecureReportOnly bool

	// DropAuthorization keeps the Authorization header from the handlers behind
	// the gate, those of [Router.Public] routes too, so that none of them can pass
	// a token on or log it. They get a copy of the request; the caller's is not
	// changed. A handler that reads this header itself must not be behind the gate.
	DropAuthorization bool

	// Identity tells the handlers behind the gate who calls, in request headers,
	// as a gateway needs it. Each entry is the name of a header and the function that
	// makes its value from the token, such as
	// "X-Auth-Subject": (*bearergate.Token).Subject. An empty value means no header.
	// If a function panics, the request is refused with [bearergate.ErrMisconfigured].
	//
	// Headers of these names that a client sent are always removed first, also
	// without a token and on [Router.Public] routes. Names are compared without case,
	// and any character that is neither letter nor digit counts as a dash: many
	// backends take X_Auth_Subject for X-Auth-Subject. The names are also removed
	// from Connection, by which a client could have a proxy drop the headers, and
	// request trailers are dropped. Handlers that are not behind this gate get
	// whatever the client sent.
	//
	// In a value, every byte but letters, digits and the punctuation of ASCII is
	// percent-encoded, and so are the percent sign, double quote, comma and
	// backslash; spaces between other characters stay. url.PathUnescape gives back
	// the original. Names consist of letters, digits and dashes.
	Identity map[string]func(*bearergate.Token) string

	// Render returns the content type and the body of a refusal: HTML for browsers,
	// gRPC-web, RFC 9457 with further members. Status and headers stay as they are.
	// Render must not change the request. The default body is sent if Render is nil,
	// panics ([Hooks.Panicked] is told), or returns a nil body, an empty content type
	// or one that a header cannot hold. The response to a HEAD request has the
	// content type only.
	//
	// Render must escape what it takes from the request, and must not send the text
	// of [Refusal.Err].
	Render func(*http.Request, Refusal) (contentType string, body []byte)

	// Extract opens the door to cross-site request forgery wherever a browser
	// attaches the carrier by itself, as it does with cookies: a page of an
	// attacker can then send requests with the token of its visitor. With such a
	// carrier, put http.CrossOriginProtection (or tokens of your own) outside
	// the gate, set SameSite on the cookie, and check Origin yourself on a
	// WebSocket handshake, which CORS does not cover.
	//
	// Extract returns the token of the request, which it must not change, from
	// whatever carries it: the cookie of a backend for frontend, a WebSocket
	// subprotocol. It replaces the Authorization header entirely: a token there
	// is then not read. nil, the default, reads the header, and refuses a
	// request with more than one credential; an Extract that reads two places
	// has to refuse that too.
	//
	// "" without an error, and http.ErrNoCookie, mean that there is no token:
	// [bearergate.ErrMissingToken]. An error that wraps exactly one of the eight
	// sentinels is kept: say [bearergate.ErrInvalidRequest] where the client sent
	// nonsense. A context error is [bearergate.ErrUnavailable]. Any other error,
	// and a panic, is [bearergate.ErrMisconfigured]: whether the client or a
	// session store is to blame is not known, and a client must not be blamed
	// for an outage. Whatever the error, the handler does not run.
	Extract func(*http.Request) (string, error)

	// Confirm decides whether the sender of the request holds the key to which
	// the token is bound (cnf, RFC 7800 §3.1): whether it is the client
	// certificate of the connection that x5t#S256 names (RFC 8705 §3), for
	// example. If it returns nil without having checked every member of
	// [bearergate.Token.Confirmation], a stolen token works for the thief.
	//
	// It is called for tokens that are bound, and only for those; nil, the
	// default, refuses every one of them. To demand that tokens are bound, let
	// the verifier refuse those that are not. The verifier has to let bound
	// tokens through as well (Confirmations of jwtverify and introspect).
	//
	// An error that wraps exactly one of the eight sentinels is kept. A context
	// error is [bearergate.ErrUnavailable], a panic [bearergate.ErrMisconfigured],
	// and any other error [bearergate.ErrInvalidToken] with
	// [bearergate.ReasonBinding].
	Confirm func(*http.Request, *bearergate.Token) error
}

// Gate decides which requests reach a handler. Make one with [New], once, and
// use it for every route. A nil or zero Gate refuses everything with
// [bearergate.ErrMisconfigured]. It is safe for concurrent use.
type Gate struct {
	verifier    bearergate.Verifier
	config      Config
	metadataURL string // "" without Config.Resource
}

// New returns a gate that has tokens verified by v. Its error is
// [bearergate.ErrMisconfigured] and names every mistake in c at once.
func New(v bearergate.Verifier, c Config) (*Gate, error) {
	var errs []error
	if isNil(v) {
		errs = append(errs, errors.New("the verifier is nil: pass the result of jwtverify.New, introspect.New or your own Verifier"))
	}
	if c.Realm == "" {
		c.Realm = DefaultRealm
	}
	if i := indexUnquotable(c.Realm); i >= 0 {
		errs = append(errs, fmt.Errorf("Config.Realm: byte %#02x at %d: use printable ASCII without double quote and backslash", c.Realm[i], i))
	}
	metadataURL, err := wellKnown(c.Resource)
	if err != nil {
		errs = append(errs, fmt.Errorf("Config.Resource: %w", err))
	}
	if c.Identity, err = identityNames(c.Identity); err != nil {
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, misconfigured(err)
	}
	c.Hooks = JoinHooks(c.Hooks) // each hook guarded
	return &Gate{verifier: v, config: c, metadataURL: metadataURL}, nil
}

// isNil reports whether v is nil or typed nil. bearergate.Verify looks at that
// first, and never calls v with an empty token.
func isNil(v bearergate.Verifier) bool {
	_, err := bearergate.Verify(context.Background(), v, "")
	return errors.Is(err, bearergate.ErrMisconfigured)
}

func misconfigured(err error) error {
	return &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonConfig,
		Cause: fmt.Errorf("middleware: %w", err)}
}

// Require returns what wraps a handler so that it runs only for requests with a
// valid token that satisfies need and the options; [bearergate.FromContext]
// gives it the token. The zero Requirement requires a valid token and nothing
// more. Every other request is answered as the package comment says.
//
// A mistake cannot be returned here, so it closes the route: with a
// [scope.Requirement] whose Err is not nil, a wrong option (see [StepUp] and
// [Via]), or a nil handler, every request is answered with 500 and the event says
// [bearergate.ReasonConfig].
//
// If the context of the request ends before its token is verified, the caller is
// taken to be gone: nothing is written, and the connection is given up. Otherwise
// net/http would send 200 on return, which would reach a caller that is still
// there, because a timeout or a shutdown ended the context. A timeout handler that
// wants to answer must write through a writer of its own, as http.TimeoutHandler
// does. If the http.ResponseWriter cannot give the connection up, the answer is
// 503.
//
// A panic of the handler is not recovered.
func (g *Gate) Require(need scope.Requirement, opts ...RouteOption) func(http.Handler) http.Handler {
	rt := g.route(need, opts)
	return func(next http.Handler) http.Handler { return g.wrap(rt, next) }
}

// Optional is [Gate.Require] for handlers that also serve requests without a
// token. Such a request reaches the handler, whose context then carries no token,
// not even that of an outer gate. A token that was sent must be valid and satisfy
// need and the options. Everything else is refused as by Require: a bad token, two
// credentials, an outage. Credentials of another scheme are no bearer token: such
// a request passes as one without a token.
//
// Responses say Vary: Authorization, or a cache could give one caller what was
// meant for another. With [Config.Extract], that is left to the handler.
func (g *Gate) Optional(need scope.Requirement, opts ...RouteOption) func(http.Handler) http.Handler {
	rt := g.route(need, opts)
	rt.access = AccessOptional
	return func(next http.Handler) http.Handler { return g.wrap(rt, next) }
}

func (g *Gate) wrap(rt route, next http.Handler) http.Handler {
	rt.forwards = true
	closed := g == nil || g.verifier == nil
	if isNilHandler(next) {
		closed = true
		rt.err = misconfigured(errors.Join(errors.New("the handler of the route is nil"), rt.err))
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d := g.check(r, &rt, !closed && g.config.InsecureReportOnly)
		if rt.access == AccessOptional && !closed && g.config.Extract == nil {
			w.Header().Add("Vary", "Authorization")
		}
		if d.err != nil && !d.reportOnly {
			g.refuse(w, r, &d)
			return
		}
		g.pass(w, r, &rt, &d, next)
	})
}

// isNilHandler reports whether h is nil or holds a nil pointer, func or map.
func isNilHandler(h http.Handler) bool {
	if h == nil {
		return true
	}
	switch v := reflect.ValueOf(h); v.Kind() {
	case reflect.Pointer, reflect.Func, reflect.Map:
		return v.IsNil()
	}
	return false
}

// pass calls the handler with what it is to know.
func (g *Gate) pass(w http.ResponseWriter, r *http.Request, rt *route, d *decision, next http.Handler) {
	token := d.token
	if !known(d.err) || d.unproven {
		token = nil
	}
	ctx := r.Context()
	if _, outer := bearergate.FromContext(ctx); token != nil || outer {
		ctx = bearergate.NewContext(ctx, token)
	}
	if rt.cancel && !token.ExpiresAt().IsZero() {
		var done context.CancelFunc
		ctx, done = context.WithDeadlineCause(ctx, token.ExpiresAt(), errExpired)
		defer done() // also when the handler panics: nothing of the deadline outlives the request
	}
	r = r.WithContext(ctx)
	g.clean(r)
	for _, h := range d.identity {
		r.Header[h.name] = []string{h.value}
	}
	next.ServeHTTP(w, r)
}

// known reports whether a token beside err is valid, whatever the route asks beyond that.
func known(err error) bool {
	return err == nil || errors.Is(err, bearergate.ErrInsufficientScope) || errors.Is(err, bearergate.ErrInsufficientAuthentication)
}

// Check makes the decision of [Gate.Require] without answering, for frameworks
// whose handlers are not http.Handlers. It returns the token, or nil and an
// error of which exactly one of the eight sentinels is true. It neither reads
// the body nor changes the request. When the context of r ends first, the error
// is [bearergate.ErrUnavailable] with [bearergate.ReasonCanceled] and matches
// the context's.
func (g *Gate) Check(r *http.Request, req scope.Requirement, opts ...RouteOption) (*bearergate.Token, error) {
	rt := g.route(req, opts)
	if r == nil {
		r, rt.err = new(http.Request), misconfigured(errors.New("the request is nil"))
	}
	d := g.check(r, &rt, false)
	if d.err != nil {
		return nil, d.err
	}
	return d.token, nil
}

// decision is what came out for one request.
type decision struct {
	token      *bearergate.Token // verified; beside an error, for the hook
	source     Source
	need       scope.Requirement // of the route, its placeholders filled
	identity   []identity
	err        error
	reportOnly bool
	unproven   bool // the token is bound to a sender, and this is not known to be it
}

// check decides and tells the hook.
func (g *Gate) check(r *http.Request, rt *route, reportOnly bool) decision {
	if g == nil || g.config.Hooks.Decided == nil {
		d := g.decide(r, rt)
		d.reportOnly = reportOnly && d.err != nil
		return d
	}
	start := time.Now()
	d := g.decide(r, rt)
	d.reportOnly = reportOnly && d.err != nil
	g.config.Hooks.Decided(r.Context(), DecisionEvent{
		Err:        d.err,
		Reason:     bearergate.ReasonOf(d.err),
		ReportOnly: d.reportOnly,
		Token:      d.token,
		Source:     d.source,
		Required:   d.need,
		Method:     methodLabel(r.Method),
		Pattern:    r.Pattern,
		Duration:   time.Since(start),
		Unproven:   d.unproven,
	})
	return d
}

// decide is the order of the package comment.
func (g *Gate) decide(r *http.Request, rt *route) (d decision) {
	d.need = rt.need
	if rt.err != nil {
		d.err = rt.err
		return d
	}
	if rt.templated {
		d.need = bind(rt.need, r)
	}
	raw, err := g.extract(r)
	if raw != "" {
		d.source = g.source()
	}
	if rt.access == AccessOptional && raw == "" && (err == nil || errors.Is(err, bearergate.ErrMissingToken)) {
		return d // what was not sent, as opposed to what a verifier does not find, makes a caller anonymous
	}
	if err == nil {
		d.token, err = bearergate.Verify(r.Context(), rt.verifier, raw)
	}
	if err == nil && d.token.Confirmation().Bound() {
		err = g.confirm(r, d.token)
		d.unproven = err != nil // whatever sentinel Confirm chose
	}
	if err != nil {
		d.err = canceled(r.Context(), err)
		return d
	}
	if d.err = rt.stepUp.check(d.token, d.need); d.err == nil {
		d.err = d.token.Authorize(d.need)
	}
	if rt.forwards && len(g.config.Identity) > 0 && (d.err == nil || g.config.InsecureReportOnly) {
		if d.identity, err = g.identify(d.token); err != nil {
			d.err = err
		}
	}
	return d
}

func (g *Gate) extract(r *http.Request) (token string, err error) {
	if g.config.Extract == nil {
		return bearergate.BearerToken(r.Header["Authorization"])
	}
	err = guard("Extract", func() (err error) {
		if token, err = g.config.Extract(r); err == nil {
			return nil // Verify refuses an empty token
		}
		if errors.Is(err, http.ErrNoCookie) && bearergate.ReasonOf(err) == "" {
			return &bearergate.Error{Kind: bearergate.ErrMissingToken, Reason: bearergate.ReasonNoToken, Cause: err}
		}
		return classify(err, "Extract", bearergate.ErrMisconfigured, bearergate.ReasonInternal)
	})
	if err != nil {
		return "", err
	}
	return token, nil
}

func (g *Gate) confirm(r *http.Request, token *bearergate.Token) error {
	if g.config.Confirm == nil {
		return &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonBinding,
			Cause: errors.New("middleware: the token is bound to its sender and Config.Confirm is not set")}
	}
	return guard("Confirm", func() error {
		if err := g.config.Confirm(r, token); err != nil {
			return classify(err, "Confirm", bearergate.ErrInvalidToken, bearergate.ReasonBinding)
		}
		return nil
	})
}

// guard makes a panic of the user's function an error. It stands around what
// judges the function's error too: a nil *bearergate.Error in an error may
// panic when it is looked at.
func guard(function string, f func() error) (err error) {
	returned := false
	defer func() {
		// Not p != nil alone: with GODEBUG=panicnil=1, panic(nil) recovers as nil.
		if p := recover(); !returned {
			// Only the type: the value may hold anything, the token included.
			err = &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonInternal,
				Cause: fmt.Errorf("middleware: %s panicked with a %T", function, p)}
		}
	}()
	err = f()
	returned = true
	return err
}

// classify keeps an error of a user's function that says whose fault it is, and
// otherwise makes it one of kind and reason.
func classify(err error, function string, kind error, reason bearergate.Reason) error {
	if bearergate.ReasonOf(err) != "" { // so exactly one sentinel is true
		return err
	}
	for _, ended := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, ended) {
			return &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonCanceled, Cause: ended}
		}
	}
	return &bearergate.Error{Kind: kind, Reason: reason, Cause: fmt.Errorf("middleware: %s: %w", function, err)}
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
		Cause: fmt.Errorf("middleware: %w (%v)", ended, err)}
}
