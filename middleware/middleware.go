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
//  3. the sender of a bound token (RFC 7800 cnf) proves to hold its key
//     ([Config.Bindings]), and where [Bound] asks for it, the token is bound;
//  4. the user's authentication satisfies [StepUp] and [AuthContext];
//  5. the scopes satisfy the route's [scope.Requirement];
//  6. the token has the roles and the audience that the route demands, who acts for its
//     subject may ([Delegation]), and it is of the tenant of the request ([Roles],
//     [Audience], [Tenant]);
//  7. the route's own policies agree ([Allow]);
//  8. the token has not opened the route before ([Once]).
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
//	DPoP proof wrong or used before            401     error="invalid_dpop_proof"
//	DPoP proof without a nonce of this server  401     error="use_dpop_nonce"
//	scopes insufficient                        403     error="insufficient_scope", scope="…"
//	authentication too weak or too old         401     error="insufficient_user_authentication", acr_values="…", max_age="…"
//	the same, of a client that announced cp1   401     error="insufficient_claims", claims="…"; only by [AuthContext]
//	role, tenant, audience or policy says no,  403     none
//	or who acts for the subject may not
//	keys, server or store unavailable          503     none; Retry-After of 1 to 60 seconds
//	this server is misconfigured               500     none
//
// Where a Binding has the scheme DPoP (RFC 9449 §7.1), there is a second challenge
// for it, in a header line of its own. The error stands only in the challenge of
// the scheme that the request used; the other is bare, and so is Bearer if the
// request used a scheme that this gate does not accept. A request with several
// Authorization headers gets its error in both (RFC 9449 §7.2).
//
// Every refusal has Cache-Control: no-store and, unless the method is HEAD, a body
// of type application/problem+json (RFC 9457) in fixed words; [Config.Render]
// writes other bodies. No text of an error leaves the server. Nothing that was
// sent comes back, with one exception: a scope filled from the path
// ([scope.Template]) is named to a client that lacks it. With [Config.Resource],
// every challenge ends with resource_metadata="…" (RFC 9728 §5.1). A caller that
// went away gets no answer. What a [bearergate.Binding] replies, such as
// DPoP-Nonce, is in the header of refusals and of what the handler sends alike.
//
// # What the caller must do
//
// Serve over TLS. Put a CORS handler outside the gate, and let it answer
// preflights itself: a preflight carries no credentials, and the gate, which
// treats OPTIONS like every other method, would refuse it. That handler must also
// send Access-Control-Expose-Headers: WWW-Authenticate, or scripts cannot read why
// they were refused (and DPoP-Nonce, where that is used). Put whatever must not run without a valid token, such as a
// body parser, inside the gate.
//
// Everything here is safe for concurrent use.
package middleware

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"reflect"
	"slices"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/scope"
)

// DefaultRealm is the realm of challenges when [Config.Realm] is empty.
const DefaultRealm = "api" // bearergate.DefaultRealm

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

	// AuthorizationURI is the authorize endpoint of Microsoft Entra that a claims challenge
	// names (see [AuthContext]), such as
	// "https://login.microsoftonline.com/common/oauth2/authorize". Microsoft wants the
	// parameter there, and the tenant in this URI where Realm names one. It is an https URL
	// (http for localhost and loopback addresses) in printable ASCII, without user and
	// fragment. Default: none, and challenges do not say it.
	AuthorizationURI string

	// Hooks tell metrics, traces and audit what was decided.
	Hooks Hooks

	// ClientAddress finds the address of the sender for [DecisionEvent.Address], and is
	// asked only where [Hooks.Decided] is set. It decides nothing. Default: nil, and the
	// address is not told. What [bearergate.NewClientAddress] returns for the zero
	// [bearergate.ClientAddressConfig] takes [http.Request.RemoteAddr]; behind a proxy, name
	// its header and its addresses there.
	ClientAddress *bearergate.ClientAddress

	// InsecureReportOnly lets every request through, whatever was decided: nothing
	// is protected. It is for finding out, from the events of real traffic, whom a
	// new policy would refuse, before it refuses anybody.
	//
	// Decisions are made and reported ([DecisionEvent.ReportOnly]). The context of
	// the handler has a token if that was verified and its sender proved to hold its
	// key, even if scopes, authentication or a policy do not suffice. What [Recheck] and
	// [CancelOnExpiry] would end goes on. A route whose handler is nil is
	// still refused. [Gate.Check] is not affected: it returns the error.
	InsecureReportOnly bool

	// DropAuthorization keeps the Authorization header from the handlers behind
	// the gate, those of [Router.Public] routes too, so that none of them can pass
	// a token on or log it. They get a copy of the request; the caller's is not
	// changed. A handler that reads this header itself must not be behind the gate.
	// With Extract it needs ExtractHeaders, and takes all of these out too. With
	// [Router.ForwardAuth] it is a mistake: there the proxy has to do this.
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
	// Extract returns the credentials of the request, which it must not change, from
	// whatever carries them: the cookie of a backend for frontend, a WebSocket
	// subprotocol. It replaces the Authorization header entirely: a token there
	// is then not read. nil, the default, reads the header, and refuses a
	// request with more than one credential; an Extract that reads two places
	// has to refuse that too. A token without a Scheme counts as sent with
	// [bearergate.SchemeBearer], for a cookie has none.
	//
	// Credentials without a token and without an error, and http.ErrNoCookie, mean
	// that there is no token: [bearergate.ErrMissingToken]. Other errors are judged
	// by the rule of [bearergate.Guard]; one that says nothing else, and a panic, is
	// [bearergate.ErrMisconfigured]: whether the client or a session store is to
	// blame is not known, and a client must not be blamed for an outage. Say
	// [bearergate.ErrInvalidRequest] where the client sent nonsense. Whatever the
	// error, the handler does not run.
	//
	// Caches between a client and this service know of Authorization alone: without it, they
	// may store a response and give it to anybody (RFC 9111 §3.5). So the response to
	// credentials that came in another way says Cache-Control: private (as RFC 6750 §2.3 has
	// it), unless there is a Cache-Control already. A handler that sets its own replaces it,
	// and has to say private or no-store itself: max-age alone lets every cache store it.
	Extract func(*http.Request) (bearergate.Credentials, error)

	// ExtractHeaders are the request headers that Extract reads, Authorization included if it
	// reads that: what Headers of apikey.Keys returns, or "Cookie". Then responses of
	// [Gate.Optional] name them in Vary, and DropAuthorization takes all of them out of the
	// request, in every spelling that a backend may take for the name. They decide nothing.
	// Names consist of letters, digits and dashes. Default: none. Without Extract they are a
	// mistake.
	ExtractHeaders []string

	// Bindings check that the sender of a bound token (cnf, RFC 7800) holds its key:
	// by DPoP (RFC 9449), by a client certificate (RFC 8705). They are asked by the
	// rules of [bearergate.Authenticate], for bound tokens only; without the right
	// one, a bound token is refused with [bearergate.ReasonBinding]. Each has members
	// of cnf of its own. The verifier has to let bound tokens through as well
	// (Confirmations of jwtverify and introspect): [New] compares the two where the
	// verifier tells, and names the difference.
	Bindings []bearergate.Binding

	// RequireBinding demands of every route what [Bound] demands of one: an unbound
	// token is refused.
	RequireBinding bool

	// PathValue says what a placeholder of a [scope.Template] stands for, where something
	// else than http.ServeMux routes to the handlers of [Gate.Require], [Gate.Optional] and
	// [Gate.Check]: the variable of that name in the path, in the form in which the handler
	// uses it (some routers decode it, and some do not); "" if it is empty, which is
	// satisfied by nothing. With gorilla/mux:
	//
	//	func(r *http.Request, name string) string { return mux.Vars(r)[name] }
	//
	// It takes the place of [http.Request.PathValue], which is the default, and which
	// http.ServeMux and chi fill. The handler must take the value from the same place, or it
	// serves something else than the token was asked for. PathValue must not take it from what
	// a client can set beside the path, nor change the request, and has to be safe for
	// concurrent use; a panic is [bearergate.ErrMisconfigured]. Routes of a [Router] do not
	// ask it.
	//
	// Where the default finds no value and the handler was chosen by no pattern with a
	// wildcard of that name, every request of the route is refused with
	// [bearergate.ErrMisconfigured] and [bearergate.ReasonConfig].
	PathValue func(r *http.Request, name string) string

	// AdvertiseScopes tells callers without a token which scopes the route wants:
	// their challenge has scope="…" (RFC 6750 §3), and no error. Anybody can then read
	// what a route requires. A [scope.Template] is not advertised.
	AdvertiseScopes bool
}

// Gate decides which requests reach a handler. Make one with [New], once, and
// use it for every route. A nil or zero Gate refuses everything with
// [bearergate.ErrMisconfigured]. It is safe for concurrent use.
type Gate struct {
	verifier    bearergate.Verifier
	config      Config
	metadataURL string // "" without Config.Resource
	answers     *bearergate.Answers
}

// New returns a gate that has tokens verified by v. Its error is
// [bearergate.ErrMisconfigured] and names every mistake in c at once.
func New(v bearergate.Verifier, c Config) (*Gate, error) {
	var errs []error
	if isNil(v) {
		errs = append(errs, errors.New("the verifier is nil: pass the result of jwtverify.New, introspect.New or your own Verifier"))
	}
	metadataURL, err := wellKnown(c.Resource)
	if err != nil {
		errs = append(errs, fmt.Errorf("Config.Resource: %w", err))
	}
	say := bearergate.AnswerConfig{Realm: c.Realm, MetadataURL: metadataURL}
	if c.AuthorizationURI != "" {
		if _, err := secureURL(c.AuthorizationURI); err != nil {
			errs = append(errs, fmt.Errorf("Config.AuthorizationURI: %w", err))
		} else {
			say.AuthorizationURI = c.AuthorizationURI
		}
	}
	c.Identity, err = identityNames(c.Identity)
	errs = append(errs, err)
	if c.DropAuthorization && c.Extract != nil && len(c.ExtractHeaders) == 0 {
		errs = append(errs, errors.New("Config.DropAuthorization with Extract: it keeps the Authorization header from the handlers, and the token is elsewhere; name the headers that Extract reads in ExtractHeaders, or take it out of the request in a handler of your own"))
	}
	c.ExtractHeaders, err = c.extractNames()
	errs = append(errs, err)
	c.Bindings = slices.Clone(c.Bindings)
	sound := c.Bindings
	if err := bearergate.CheckBindings(c.Bindings); err != nil {
		errs, sound = append(errs, inBindings(err)), nil
	} else {
		errs = append(errs, inBindings(bearergate.CheckBindings(c.Bindings, v)))
	}
	answers, err := bearergate.NewAnswers(say, sound...)
	if err != nil {
		errs = append(errs, bearergate.AsError(err).Cause)
	}
	if c.RequireBinding && len(c.Bindings) == 0 {
		errs = append(errs, errors.New("Config.RequireBinding without Bindings: no token could enter: set Bindings, or leave it out"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, misconfigured(err)
	}
	c.Hooks = JoinHooks(c.Hooks) // each hook guarded
	return &Gate{verifier: v, config: c, metadataURL: metadataURL, answers: answers}, nil
}

// inBindings names the field in what [bearergate.CheckBindings] found.
func inBindings(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("Config.Bindings: %w", bearergate.AsError(err).Cause)
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
// [scope.Requirement] whose Err is not nil, a wrong option (see [RouteOption]),
// or a nil handler, every request is answered with 500 and the event says
// [bearergate.ReasonConfig].
//
// If the context of the request is canceled before its token is verified, the
// caller is taken to be gone: nothing is written, and the connection is given up.
// Otherwise net/http would send 200 on return, which would reach a caller that is
// still there, because a shutdown canceled the context. If the
// http.ResponseWriter cannot give the connection up, the answer is 503. A deadline
// of the context that passes is an outage of whatever was waited for, and the
// answer is 503 too.
//
// Where the handler has a gate of its own further in, that one names in its challenges
// what both demand.
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
// credentials, an outage, a DPoP token where no Binding checks its proof.
// Credentials of any other scheme are no token: such a request passes as one
// without.
//
// Responses say Vary: Authorization, or a cache could give one caller what was
// meant for another. With [Config.Extract], they name [Config.ExtractHeaders], and without
// these it is left to the handler.
func (g *Gate) Optional(need scope.Requirement, opts ...RouteOption) func(http.Handler) http.Handler {
	rt := g.route(need, opts)
	rt.access = AccessOptional
	return func(next http.Handler) http.Handler { return g.wrap(rt, next) }
}

func (g *Gate) wrap(rt route, next http.Handler) http.Handler {
	rt.forwards = true
	closed := g == nil
	if isNilValue(next) {
		closed = true
		rt.err = misconfigured(errors.Join(errors.New("the handler of the route is nil"), rt.err))
	}
	return guarded(func(w http.ResponseWriter, r *http.Request) {
		d := g.check(r, &rt, !closed && g.config.InsecureReportOnly)
		if q, asks := w.(*question); asks {
			if q.answer(g, r, rt.access, &d); asksToo(next) && (d.err == nil || d.reportOnly) {
				g.pass(w, r, &rt, &d, next) // the gate in front of the handler has the last word
			}
			return
		}
		if rt.access == AccessOptional && !closed {
			for _, name := range g.read() {
				w.Header().Add("Vary", name)
			}
		}
		reply(w, d.reply)
		if d.err != nil && !d.reportOnly {
			g.refuse(w, r, &d)
			return
		}
		if d.source == SourceExtract && len(r.Header["Authorization"]) == 0 && len(w.Header()["Cache-Control"]) == 0 {
			w.Header().Set("Cache-Control", "private") // see Extract
		}
		g.pass(w, r, &rt, &d, next)
	})
}

// read are the headers that credentials are taken from, as far as that is known.
func (g *Gate) read() []string {
	if g.config.Extract == nil {
		return authorizationAlone
	}
	return g.config.ExtractHeaders
}

var authorizationAlone = []string{"Authorization"}

// isNilValue reports whether v, a handler or a store, is nil or holds a nil pointer,
// func or map.
func isNilValue(v any) bool {
	if v == nil {
		return true
	}
	switch v := reflect.ValueOf(v); v.Kind() {
	case reflect.Pointer, reflect.Func, reflect.Map:
		return v.IsNil()
	}
	return false
}

// guarded is a handler with a gate in front of it, which answers a [question].
type guarded http.HandlerFunc

func (f guarded) ServeHTTP(w http.ResponseWriter, r *http.Request) { f(w, r) }

func asksToo(h http.Handler) bool {
	_, ok := h.(guarded)
	return ok
}

// pass calls the handler with what it is to know.
func (g *Gate) pass(w http.ResponseWriter, r *http.Request, rt *route, d *decision, next http.Handler) {
	token, ctx := d.known(), r.Context()
	if _, outer := bearergate.FromContext(ctx); token != nil || outer {
		ctx = bearergate.Admit(ctx, token, d.need)
	}
	ctx, done := g.watch(ctx, r, rt, d)
	defer done() // also when the handler panics: nothing of it outlives the request
	r = r.WithContext(ctx)
	g.clean(r)
	for _, h := range d.identity {
		r.Header[h.name] = []string{h.value}
	}
	next.ServeHTTP(w, r)
}

// known returns the token that the handler is to know.
func (d *decision) known() *bearergate.Token {
	if known(d.err) {
		return d.token
	}
	return nil
}

// known reports whether a token beside err is valid, whatever the route asks beyond that.
func known(err error) bool {
	return err == nil || errors.Is(err, bearergate.ErrInsufficientScope) || errors.Is(err, bearergate.ErrInsufficientAuthentication) ||
		errors.Is(err, bearergate.ErrForbidden)
}

// Check makes the decision of [Gate.Require] without answering, for frameworks
// whose handlers are not http.Handlers. It returns the token, or nil and an
// error of which exactly one of the eight sentinels is true. Beside both there are
// the response headers that a [bearergate.Binding] asks for: send them. It neither
// reads the body nor changes the request. When the context of r ends first, the
// error is [bearergate.ErrUnavailable] and matches the context's; its Reason is
// [bearergate.ReasonCanceled] only if the context was canceled. There is no handler
// here that [CancelOnExpiry] or [Recheck] could end: they do nothing.
func (g *Gate) Check(r *http.Request, req scope.Requirement, opts ...RouteOption) (*bearergate.Token, bearergate.Reply, error) {
	rt := g.route(req, opts)
	if r == nil {
		r, rt.err = new(http.Request), misconfigured(errors.New("the request is nil"))
	}
	d := g.check(r, &rt, false)
	if d.err != nil {
		return nil, d.reply, d.err
	}
	return d.token, d.reply, nil
}

// decision is what came out for one request.
type decision struct {
	token      *bearergate.Token // authenticated; beside an error, for the hook
	reply      bearergate.Reply
	scheme     bearergate.Scheme      // of the credentials; "" if there are none
	sent       bearergate.Credentials // for Recheck
	source     Source
	address    netip.Addr        // of the sender; only where a hook is told
	need       scope.Requirement // of the route, its placeholders filled
	templated  bool              // it has some
	identity   []identity
	err        error
	reportOnly bool
}

// check decides and tells the hook.
func (g *Gate) check(r *http.Request, rt *route, reportOnly bool) decision {
	if g == nil || g.config.Hooks.Decided == nil {
		d := g.decide(r, rt)
		d.reportOnly = reportOnly && d.err != nil
		return d
	}
	start, d := time.Now(), decision{err: errUndecided}
	// Now, for the handler may change the request before it is told of once more.
	d.address = g.addressOf(r)
	var event DecisionEvent
	defer func() {
		if d.err == errUndecided { //nolint:errorlint // a function of the user's ended the goroutine
			event = d.event(r, time.Since(start))
		}
		g.config.Hooks.Decided(r.Context(), event)
	}()
	decided := g.decide(r, rt)
	decided.address = d.address
	decided.reportOnly = reportOnly && decided.err != nil
	event = decided.event(r, time.Since(start))
	event.Trial = g.try(r, rt, decided.token)
	d = decided
	return d
}

var errUndecided = &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonInternal,
	Cause: errors.New("middleware: the verifier, a binding or a policy ended the goroutine of the request")}

// decide is the order of the package comment.
func (g *Gate) decide(r *http.Request, rt *route) (d decision) {
	d.need, d.templated = rt.need, rt.templated
	if rt.err != nil {
		d.err = rt.err
		return d
	}
	if rt.templated {
		if d.need, d.err = g.bind(rt, rt.need, r); d.err != nil {
			return d
		}
	}
	c, err := g.extract(r)
	if rt.access == AccessOptional && errors.Is(err, bearergate.ErrMissingToken) {
		return d // what was not sent, as opposed to what a verifier does not find, makes a caller anonymous
	}
	if err == nil {
		d.source, d.scheme, d.sent = g.source(), c.Scheme, c
		d.token, d.reply, err = bearergate.Authenticate(r.Context(), rt.verifier, g.call(r, c), g.config.Bindings...)
	}
	if err == nil {
		err = bearergate.AddDemands(r.Context(), d.token, rt.shown(rt.demands(d.token, d.need)))
	}
	if err == nil {
		err = rt.ofTenant(r, d.token)
	}
	if err == nil {
		err = rt.allowed(r, d.token)
	}
	d.err = err
	if rt.forwards && len(g.config.Identity) > 0 && d.token != nil && (err == nil || g.config.InsecureReportOnly && known(err)) {
		if d.identity, err = g.identify(r.Context(), d.token); err != nil {
			d.err = err
		}
	}
	if d.err == nil {
		if d.err = rt.use(r.Context(), d.token); d.err != nil {
			d.identity = nil
		}
	}
	return d
}

// extract returns what the request presents, or why that is not one credential.
func (g *Gate) extract(r *http.Request) (bearergate.Credentials, error) {
	if g.config.Extract == nil {
		// DPoP counts even where nothing checks its proof: Authenticate refuses it
		// then, instead of taking its sender for a stranger.
		return bearergate.ParseCredentials(r.Header["Authorization"], bearergate.SchemeBearer, bearergate.SchemeDPoP)
	}
	return bearergate.ExtractCredentials(r.Context(), errExtract, func(context.Context) (bearergate.Credentials, error) {
		c, err := g.config.Extract(r)
		if errors.Is(err, http.ErrNoCookie) && bearergate.ReasonOf(err) == "" {
			return c, &bearergate.Error{Kind: bearergate.ErrMissingToken, Reason: bearergate.ReasonNoToken, Cause: err}
		}
		return c, err
	})
}

var (
	errExtract  = &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonInternal, Cause: errors.New("middleware: Extract")}
	errIdentity = &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonInternal, Cause: errors.New("middleware: Identity")}
)
