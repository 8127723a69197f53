package middleware

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/bearergate/bearergate/scope"
)

// Router is a list of routes, each with its pattern and what it takes to enter.
// Make one with [Gate.NewRouter], register every route, and serve what
// [Router.Handler] returns; the Router itself serves nothing.
//
// Patterns are those of http.ServeMux, and so is everything about methods and
// paths: precedence, 404 and 405, cleaned paths and redirects to them, which are
// answered without a token and never reach a handler. A pattern with GET serves
// HEAD too. CONNECT is answered with 405, for ServeMux does not clean its path.
//
// A path is matched as it was sent, encoded: "/files/%2e%2e/admin" and
// "/files/..%2fadmin" enter "GET /files/", and r.URL.Path has the dots. A handler
// that passes the path on, to a file system or through a proxy, must refuse or
// clean it. A host in a pattern is compared as it was sent, too: "API.example" and
// "api.example." are not "api.example", and their requests go to a pattern without
// a host. So that pattern must not open what a host pattern protects.
//
// What is registered elsewhere is not protected: a handler on an http.ServeMux in
// front of the Router serves whatever its own pattern matches, and asks for no
// token.
type Router struct {
	gate *Gate

	mu      sync.Mutex // guards what follows
	routes  []registered
	late    []error // registered after Handler
	built   bool
	handler http.Handler
	err     error
}

type registered struct {
	pattern  string
	route    route
	handler  http.Handler
	metadata *Metadata // its handler is made when all routes are known
	at       string    // file:line where the user registered it
	errs     []error
}

// NewRouter returns a router whose routes are guarded by g.
func (g *Gate) NewRouter() *Router { return &Router{gate: g} }

// Handle registers a handler for requests that satisfy need and the options, as
// [Gate.Require] has it. Placeholders of a [scope.Template] are the wildcards of
// the pattern: scope.Template("document:read:{id}") goes with "GET
// /documents/{id}". A zero need is a mistake here: say [Router.Authenticated].
//
// A mistake, here as in the other methods, is reported by [Router.Handler].
func (rt *Router) Handle(pattern string, need scope.Requirement, h http.Handler, opts ...RouteOption) {
	rt.add(pattern, need, h, opts, AccessToken, zeroIsAMistake(need)...)
}

// HandleFunc is [Router.Handle] with a function.
func (rt *Router) HandleFunc(pattern string, need scope.Requirement, f func(http.ResponseWriter, *http.Request), opts ...RouteOption) {
	rt.Handle(pattern, need, http.HandlerFunc(f), opts...)
}

// Authenticated registers a handler for requests with any valid token.
func (rt *Router) Authenticated(pattern string, h http.Handler, opts ...RouteOption) {
	rt.add(pattern, scope.Requirement{}, h, opts, AccessToken)
}

// AuthenticatedFunc is [Router.Authenticated] with a function.
func (rt *Router) AuthenticatedFunc(pattern string, f func(http.ResponseWriter, *http.Request), opts ...RouteOption) {
	rt.Authenticated(pattern, http.HandlerFunc(f), opts...)
}

// Optional registers a handler that also serves requests without a token: see
// [Gate.Optional]. With a zero need, a token that is sent only has to be valid.
func (rt *Router) Optional(pattern string, need scope.Requirement, h http.Handler, opts ...RouteOption) {
	rt.add(pattern, need, h, opts, AccessOptional)
}

// OptionalFunc is [Router.Optional] with a function.
func (rt *Router) OptionalFunc(pattern string, need scope.Requirement, f func(http.ResponseWriter, *http.Request), opts ...RouteOption) {
	rt.Optional(pattern, need, http.HandlerFunc(f), opts...)
}

// Public registers a handler for everybody: no token is looked for, no decision
// made, no event sent. [Config.Identity] and [Config.DropAuthorization] keep their
// headers from this handler too.
func (rt *Router) Public(pattern string, h http.Handler) {
	rt.add(pattern, scope.Requirement{}, h, nil, AccessPublic)
}

// PublicFunc is [Router.Public] with a function.
func (rt *Router) PublicFunc(pattern string, f func(http.ResponseWriter, *http.Request)) {
	rt.Public(pattern, http.HandlerFunc(f))
}

// Metadata registers the metadata document of [Config.Resource] as a public
// route, with the scopes of all routes that take a token: see [Gate.Metadata].
func (rt *Router) Metadata(m Metadata) {
	if rt == nil {
		return
	}
	reg := registered{pattern: "GET " + wellKnownPath, route: route{access: AccessPublic}, metadata: &m}
	pattern, h, err := rt.gate.Metadata(m)
	if err != nil {
		reg.errs = append(reg.errs, err)
	} else {
		reg.pattern, reg.handler = pattern, h
	}
	rt.register(reg)
}

// Group returns a part of the router whose routes have a prefix, such as
// "/admin" or "api.example.com/v1", and whatever else they require, need and the
// options as well. A zero need adds nothing.
func (rt *Router) Group(prefix string, need scope.Requirement, opts ...RouteOption) *Group {
	return &Group{rt, prefix, need, opts}
}

// Group registers routes under a prefix, with a requirement that all of them
// share: see [Router.Group]. A route cannot take back what its group requires:
// there is no Public, and [StepUp], [AuthContext], [Via], [Once], [Trial] and
// [Recheck] are given by the group or by the route, not by both. It is safe for
// concurrent use.
type Group struct {
	router *Router
	prefix string
	need   scope.Requirement
	opts   []RouteOption
}

// Handle registers a handler for requests that satisfy need and what the group
// requires; one of the two may be zero. The path of the pattern begins behind
// the prefix: "GET /users" in the group "/admin" is "GET /admin/users".
func (g *Group) Handle(pattern string, need scope.Requirement, h http.Handler, opts ...RouteOption) {
	need = both(g.need, need)
	g.add(pattern, need, h, opts, zeroIsAMistake(need)...)
}

// HandleFunc is [Group.Handle] with a function.
func (g *Group) HandleFunc(pattern string, need scope.Requirement, f func(http.ResponseWriter, *http.Request), opts ...RouteOption) {
	g.Handle(pattern, need, http.HandlerFunc(f), opts...)
}

// Authenticated registers a handler for requests with a valid token that
// satisfies what the group requires.
func (g *Group) Authenticated(pattern string, h http.Handler, opts ...RouteOption) {
	g.add(pattern, g.need, h, opts)
}

// AuthenticatedFunc is [Group.Authenticated] with a function.
func (g *Group) AuthenticatedFunc(pattern string, f func(http.ResponseWriter, *http.Request), opts ...RouteOption) {
	g.Authenticated(pattern, http.HandlerFunc(f), opts...)
}

// Group returns a group in the group.
func (g *Group) Group(prefix string, need scope.Requirement, opts ...RouteOption) *Group {
	return &Group{g.router, g.prefix + prefix, both(g.need, need), slices.Concat(g.opts, opts)}
}

func (g *Group) add(pattern string, need scope.Requirement, h http.Handler, opts []RouteOption, errs ...error) {
	method, path := cut(pattern)
	if !strings.HasPrefix(path, "/") {
		errs = append(errs, errors.New("begin the path of a route in a group with a slash; a host belongs to the prefix"))
	}
	if prefixMethod, _ := cut(g.prefix); prefixMethod != "" || !strings.Contains(g.prefix, "/") || strings.HasSuffix(g.prefix, "/") {
		errs = append(errs, fmt.Errorf("the prefix %q of the group: use a path without a slash at its end, such as /admin, without a method", g.prefix))
	}
	if method != "" {
		method += " "
	}
	g.router.add(method+g.prefix+path, need, h, slices.Concat(g.opts, opts), AccessToken, errs...)
}

// both requires a and b, either of which may be zero.
func both(a, b scope.Requirement) scope.Requirement {
	switch {
	case isZero(a):
		return b
	case isZero(b):
		return a
	}
	return scope.AllOf(a, b)
}

// isZero reports whether need is satisfied by no scope at all, as only the zero
// Requirement is.
func isZero(need scope.Requirement) bool { return need.SatisfiedBy(scope.Set{}) }

func zeroIsAMistake(need scope.Requirement) []error {
	if isZero(need) {
		return []error{errors.New("the requirement is zero: use Authenticated for any valid token, or Public for everybody")}
	}
	return nil
}

// misread reports what ServeMux takes for something that never matches.
func misread(pattern string) error {
	method, _ := cut(pattern)
	host, _ := splitHost(pattern)
	switch {
	case method == http.MethodConnect:
		return errors.New("CONNECT cannot be a route: take it out, for a Router answers it with 405")
	case method != strings.ToUpper(method):
		return fmt.Errorf("no request has the method %q: write it in upper case", method)
	case host != strings.ToLower(host) || strings.Contains(host, ":"):
		return fmt.Errorf("no request has the host %q: write it in lower case and without a port, and a space between a method and its path", host)
	}
	return nil
}

func (rt *Router) add(pattern string, need scope.Requirement, h http.Handler, opts []RouteOption, access Access, errs ...error) {
	if rt == nil {
		return // Handler says so
	}
	planned, err := rt.gate.plan(need, opts)
	planned.access, planned.routed = access, true
	planned.bound = planned.bound && access != AccessPublic
	reg := registered{pattern: pattern, route: planned, handler: h, errs: append(errs, err)}
	placeholders := need.Placeholders()
	if planned.trial != nil {
		placeholders = slices.Concat(placeholders, planned.trial.need.Placeholders())
	}
	for _, name := range placeholders {
		if !slices.Contains(wildcards(pattern), name) {
			reg.errs = append(reg.errs, fmt.Errorf("the requirement has the placeholder {%s} and the pattern no wildcard of that name: give one of them the name of the other", name))
		}
	}
	rt.register(reg)
}

func (rt *Router) register(reg registered) {
	reg.at = caller()
	reg.errs = append(reg.errs, misread(reg.pattern))
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if rt.built {
		rt.late = append(rt.late, fmt.Errorf("%s: %q: registered after Handler, so it is not served: register it before Handler is called", reg.at, reg.pattern))
		return
	}
	rt.routes = append(rt.routes, reg)
}

// caller returns where this package was called.
func caller() string {
	const here = "github.com/bearergate/bearergate/middleware."
	pcs := make([]uintptr, 8) // Group.HandleFunc is the deepest
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs)])
	for {
		frame, _ := frames.Next() // behind the last one comes one without a function
		if !strings.HasPrefix(frame.Function, here) {
			return fmt.Sprintf("%s:%d", frame.File, frame.Line)
		}
	}
}

// Handler returns what serves the routes. Its error is
// [bearergate.ErrMisconfigured] and names every mistake of registration at once:
//
//   - a pattern that http.ServeMux refuses, or that is registered twice
//   - a nil handler
//   - a wrong requirement or option
//   - a zero requirement in [Router.Handle]
//   - a placeholder that the pattern does not have
//   - a HEAD pattern whose policy is not that of GET for the same URL, for any URL at all.
//     As a rule both run the same handler: HEAD would be a way around the policy of GET.
//
// After Handler, nothing can be registered: a route that is registered then is not
// served, and the next call of Handler reports it.
func (rt *Router) Handler() (http.Handler, error) {
	h, err := rt.assembled()
	if err != nil {
		return nil, misconfigured(err)
	}
	return h, nil
}

// assembled is Handler, for whoever has mistakes to add to its own. The handler counts only
// where there is no error.
func (rt *Router) assembled() (http.Handler, error) {
	if rt == nil {
		return nil, errors.New("the router is nil: make it with Gate.NewRouter")
	}
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if !rt.built {
		rt.built, rt.err = true, errors.New("an earlier call of Handler did not come to its end")
		rt.handler, rt.err = rt.build()
	}
	return rt.handler, errors.Join(rt.err, errors.Join(rt.late...))
}

func (rt *Router) build() (http.Handler, error) {
	mux := http.NewServeMux()
	var errs []error
	mistake := func(reg *registered, err error) {
		errs = append(errs, fmt.Errorf("%s: %q: %w", reg.at, reg.pattern, err))
	}
	if rt.gate == nil || rt.gate.verifier == nil {
		errs = append(errs, errors.New("the gate of the router is nil or zero: make it with New"))
	}
	errs = append(errs, understandsPatterns())
	var served []*registered
	for i := range rt.routes {
		reg := &rt.routes[i]
		if m := reg.metadata; m != nil && m.Scopes == nil {
			complete := *m
			complete.Scopes = rt.scopes()
			_, reg.handler, _ = rt.gate.Metadata(complete) // a mistake was found when it was registered
		}
		if err := errors.Join(reg.errs...); err != nil {
			mistake(reg, err)
			if reg.metadata != nil {
				continue // a pattern of its own is what it lacks
			}
		}
		// A route with mistakes of its own is registered too: its pattern may be another one.
		serving := rt.serving(reg)
		if serving == nil {
			mistake(reg, errors.New("the handler is nil: pass one, or take the route out"))
			serving = http.NotFoundHandler()
		}
		if err := handle(mux, reg.pattern, serving); err != nil {
			mistake(reg, err)
			continue
		}
		served = append(served, reg)
	}
	doors := newSideDoors(served)
	for _, reg := range served {
		if get, path := doors.find(reg); get != nil {
			mistake(reg, fmt.Errorf("HEAD has another policy than %q, registered at %s, as for the path %s: leave it out, or make them equal", get.pattern, get.at, path))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	// Not the mux itself, on which somebody could register more. ServeMux neither
	// cleans the path of CONNECT nor takes the port from its host, so that it could
	// enter one route in the place of another; a tunnel is no route.
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodConnect {
			w.Header().Set("Cache-Control", "no-store")
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		mux.ServeHTTP(w, r)
	}), nil
}

func (rt *Router) serving(reg *registered) http.Handler {
	if isNilValue(reg.handler) {
		return nil // build says so
	}
	if reg.route.access == AccessPublic {
		open := rt.gate.cleaned(reg.handler)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if q, asks := w.(*question); asks {
				if q.answer(rt.gate, r, AccessPublic, &decision{}); !asksToo(reg.handler) {
					return
				}
			}
			open.ServeHTTP(w, r)
		})
	}
	return rt.gate.wrap(reg.route, reg.handler)
}

// sources are where ServeMux believes that routes were registered: here, all of them.
var sources = regexp.MustCompile(` \(registered at [^)]*\)`)

// handle makes the panic with which ServeMux reports a mistake an error. Its text says
// what is wrong with the pattern, and of two that conflict, on which paths.
func handle(mux *http.ServeMux, pattern string, h http.Handler) (err error) {
	defer func() {
		if p := recover(); p != nil {
			text := sources.ReplaceAllString(fmt.Sprint(p), "")
			if strings.Contains(text, "conflicts with") {
				text += "\nchange the pattern of one of the two, or take it out"
			}
			err = errors.New(text)
		}
	}()
	mux.Handle(pattern, h)
	return nil
}

// understandsPatterns reports GODEBUG=httpmuxgo121=1, with which ServeMux takes
// "GET /x" for a host and "{id}" for a literal: requests then go wherever they
// are not expected.
func understandsPatterns() error {
	mux := http.NewServeMux()
	mux.Handle("GET /{x}", http.NotFoundHandler())
	if _, pattern := mux.Handler(&http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/a"}}); pattern == "" {
		return errors.New("http.ServeMux does not understand methods and wildcards: remove httpmuxgo121=1 from GODEBUG")
	}
	return nil
}

// cut returns the method and the rest of a pattern, as ServeMux reads it.
func cut(pattern string) (method, rest string) {
	if i := strings.IndexAny(pattern, " \t"); i >= 0 {
		return pattern[:i], strings.TrimLeft(pattern[i:], " \t")
	}
	return "", pattern
}

// splitHost returns the host and the path of a pattern.
func splitHost(pattern string) (host, path string) {
	_, rest := cut(pattern)
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		return rest[:i], rest[i:]
	}
	return rest, ""
}

// wildcards returns the names of the wildcards of a pattern.
func wildcards(pattern string) []string {
	var names []string
	_, path := splitHost(pattern)
	for s := range strings.SplitSeq(path, "/") {
		if name, ok := strings.CutPrefix(s, "{"); ok {
			names = append(names, strings.TrimSuffix(strings.TrimSuffix(name, "}"), "..."))
		}
	}
	return names
}
