package middleware

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bearergate/bearergate"
)

// Proxy is a program that asks [Router.ForwardAuth] before it passes a request on.
type Proxy string

// The proxies.
const (
	// Nginx asks by auth_request. Its configuration sets X-Original-Method, X-Original-Host
	// and X-Original-Uri. Of what is not 2xx, nginx passes nothing but the status on, and
	// makes 500 of every status but 401 and 403. So every refusal is 403, with what it would
	// have been in X-Auth-Status and its challenges in X-Auth-Challenge-1 and
	// X-Auth-Challenge-2; Retry-After, DPoP-Nonce and Allow are where they always are. The
	// configuration makes the answer out of these.
	Nginx Proxy = "nginx"
	// Caddy asks by forward_auth, or by reverse_proxy with handle_response. It sets
	// X-Forwarded-Method, X-Forwarded-Host and X-Forwarded-Uri, and passes refusals on as
	// they are.
	Caddy Proxy = "caddy"
	// Traefik asks by its middleware forwardAuth. It sets what Caddy does, as long as neither
	// trustForwardHeader nor the entry point has it take over what a client sent, and passes
	// refusals on as they are.
	Traefik Proxy = "traefik"
	// OtherProxy passes refusals on as they are, and has names of its own for the request:
	// set [ForwardAuthConfig.Headers].
	OtherProxy Proxy = "other"
)

// ForwardAuthConfig says who may ask [Router.ForwardAuth], and how. Proxy and Trusted are
// required.
type ForwardAuthConfig struct {
	// Proxy is the program that asks. It says in which headers the client's request stands,
	// and how a refusal is written.
	Proxy Proxy
	// Trusted are the addresses that the proxy connects from, IPv4 as IPv4, by the rule of
	// [bearergate.NewTrustedPeers]: no prefix may be wider than 10.0.0.0/8 or fc00::/7.
	// Whoever asks from another address gets 403 without a word, whatever it asks. The
	// slice is copied.
	//
	// Danger: whoever can connect from one of these addresses learns what any token opens.
	// That opens nothing by itself. But each question uses up a DPoP proof, and a token on a
	// route with [Once].
	Trusted []netip.Prefix
	// Headers are the fields in which the proxy tells the client's request, if they are not
	// those of Proxy. Default: those of Proxy.
	Headers OriginalHeaders
}

// OriginalHeaders are the names of the header fields in which a proxy tells what its client
// sent. All three are required, and no field of any other name is read: a client could have
// sent it.
//
// Danger: the proxy MUST set each of them itself in every question, and replace what the
// client sent under that name. If it sets X-Forwarded-Uri and this says X-Original-Uri, the
// client chooses the route.
type OriginalHeaders struct {
	// Method is the field with the method. It has no default: a question without it is refused.
	Method string
	// Host is the field with the host, as the client named it and as the service will see it;
	// a port may follow.
	Host string
	// URI is the field with the path and the query, as they were sent and as the service will
	// see them. An absolute URI is refused.
	URI string
}

// MaxOriginalURIBytes is the longest path with query that [Router.ForwardAuth] looks at.
const MaxOriginalURIBytes = 16 << 10

const (
	maxOriginalMethodBytes = 64
	maxOriginalHostBytes   = 255 + len(":65535") // RFC 1035 §2.3.4
)

const (
	statusField    = "X-Auth-Status"
	challengeField = "X-Auth-Challenge-" // and its number
)

// headersOf are the fields of the proxies that are known.
var headersOf = map[Proxy]OriginalHeaders{
	Nginx:      {Method: "X-Original-Method", Host: "X-Original-Host", URI: "X-Original-Uri"},
	Caddy:      {Method: "X-Forwarded-Method", Host: "X-Forwarded-Host", URI: "X-Forwarded-Uri"},
	Traefik:    {Method: "X-Forwarded-Method", Host: "X-Forwarded-Host", URI: "X-Forwarded-Uri"},
	OtherProxy: {},
}

// ForwardAuth returns the handler that a proxy asks whether it may pass a request on: nginx
// by auth_request, Caddy and Traefik by their forward authentication. It decides as
// [Router.Decide] does, by the routes, the gate and the hooks of this Router, about the request
// that the proxy tells in three header fields ([OriginalHeaders]). Serve it at a path that
// clients do not reach. No handler of the Router runs: http.NotFoundHandler() will do for
// each.
//
// The answer is 200 without a body, or the refusal that Handler would write. For a route
// that does not exist it is 404 or 405, and 400 for a request that two programs may read in
// two ways. That is what Decide refuses, and every path with an empty segment or a dot
// segment, which Handler would redirect: the service behind the proxy does not see the
// redirect. With [Nginx], refusals are written as nginx can pass them on. Every answer says
// Cache-Control: no-store: an answer is about one request.
//
// 200 has every header of [Config.Identity], with an empty value where the token has none
// and where there is no token. The proxy MUST replace by these what its client sent under
// the same names, in every spelling of them, and also where they are empty. It has what the
// Bindings reply as well, such as DPoP-Nonce, for the client.
//
// A field that is missing is a mistake of the proxy's configuration: 500. One that is there
// twice, is empty, has two values with a comma between them, or holds something else than a
// method, a host or a path with its query, is refused with 400. These two, and the 403 for
// who is not in Trusted, are told to [Hooks.Decided] as well, without a pattern. The body of
// the question is not read.
//
// The connection is the proxy's: a Binding sees no TLS, and the proxy as Peer. A certificate
// has to come in the header that the proxy sets (Forwarded of binding/mtls). To ask is to
// use up: a proxy that asks twice about one request has its DPoP proof, and the token of
// [Once], refused the second time. nginx asks again after every internal redirect
// (error_page, try_files, index, rewrite) that leads into a location with auth_request.
// Where the service behind the proxy checks proofs too, its store must be another one, or
// have a ReplayNamespace of its own.
//
// Its error is [bearergate.ErrMisconfigured] and names every mistake at once, those of
// Handler among them: a Binding that reads the certificate of the connection (Direct of
// binding/mtls); a route with [Recheck] or [CancelOnExpiry], which cannot end what the proxy
// serves; a header of Config.Identity that has a meaning in the answer; DropAuthorization, for
// the proxy alone can keep the token from the service. After it, as after Handler, nothing can
// be registered.
func (rt *Router) ForwardAuth(c ForwardAuthConfig) (http.Handler, error) {
	_, err := rt.assembled()
	errs := []error{err}
	mistake := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("ForwardAuthConfig."+format, args...))
	}
	known, ok := headersOf[c.Proxy]
	if !ok {
		mistake("Proxy is %.100q: use one of the constants, which are %q, %q, %q and %q", string(c.Proxy), string(Nginx), string(Caddy), string(Traefik), string(OtherProxy))
	}
	headers := c.Headers
	if headers == (OriginalHeaders{}) {
		headers = known
	}
	if ok || headers != (OriginalHeaders{}) {
		errs = append(errs, headers.canonical())
	}
	trusted, err := bearergate.NewTrustedPeers(c.Trusted...)
	if err != nil {
		mistake("Trusted: %w", bearergate.AsError(err).Cause)
	}
	if rt != nil && rt.gate != nil {
		errs = append(errs, rt.gate.cannotForward("ForwardAuth", headers), rt.cannotEnd("ForwardAuth"))
		if rt.gate.config.DropAuthorization {
			errs = append(errs, errors.New("ForwardAuth: Config.DropAuthorization is set, and it is the proxy that passes the request on: have it remove Authorization, and what else carries credentials, and leave the field out, or use a gate of its own here"))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, misconfigured(err)
	}
	return &forwardAuth{teller: teller{rt}, proxy: c.Proxy, headers: headers, trusted: trusted}, nil
}

// canonical writes the names as Go does, or returns all that is wrong with them.
func (o *OriginalHeaders) canonical() error {
	var errs []error
	seen := map[string]bool{}
	for _, f := range []struct {
		field string
		name  *string
	}{{"Method", &o.Method}, {"Host", &o.Host}, {"URI", &o.URI}} {
		name := http.CanonicalHeaderKey(*f.name)
		switch {
		case name == "":
			errs = append(errs, fmt.Errorf("ForwardAuthConfig.Headers.%s is empty: name the header field that the proxy sets", f.field))
		case !isHeaderName(name):
			errs = append(errs, fmt.Errorf("ForwardAuthConfig.Headers.%s is %.100q: use letters and digits, with dashes between them", f.field, name))
		case slices.Contains(notOriginal, name):
			errs = append(errs, fmt.Errorf("ForwardAuthConfig.Headers.%s is %s, which has another meaning: name the field that the proxy sets for this alone", f.field, name))
		case seen[name]:
			errs = append(errs, fmt.Errorf("ForwardAuthConfig.Headers.%s is %s, as another one is: a field says one thing", f.field, name))
		}
		seen[name] = true
		*f.name = name
	}
	return errors.Join(errs...)
}

// notOriginal are fields that hold something else in every request.
var notOriginal = slices.Concat(notIdentity, []string{"Dpop", "Forwarded", "X-Forwarded-For", "X-Forwarded-Proto"})

// cannotForward returns what of the gate's configuration is of no use to a proxy that asks.
func (g *Gate) cannotForward(who string, headers OriginalHeaders) error {
	var errs []error
	for i, b := range g.config.Bindings {
		var own bool
		err := bearergate.Guard(context.Background(), errChallenge, func(context.Context) error {
			reads, tells := b.(interface{ Direct() bool })
			own = tells && reads.Direct()
			return nil
		})
		if err != nil || own {
			errs = append(errs, fmt.Errorf("%s: binding %d reads the client certificate of the connection, which is the proxy's here: have the proxy pass the client's on in a header (Forwarded of binding/mtls), and leave Direct out", who, i+1))
		}
	}
	for _, name := range []string{headers.Method, headers.Host, headers.URI, statusField, challengeField + "1", challengeField + "2",
		"Allow", "Cache-Control", "Dpop-Nonce", "Location", "Retry-After", "Set-Cookie", "Www-Authenticate"} {
		if g.config.Identity[name] != nil {
			errs = append(errs, fmt.Errorf("%s: Config.Identity has %s, which has a meaning between the proxy and this handler: choose another name", who, name))
		}
	}
	return errors.Join(errs...)
}

// cannotEnd reports routes that would have to be watched while they are served.
func (rt *Router) cannotEnd(who string) error {
	var errs []error
	for _, route := range rt.Routes() {
		if route.Recheck != 0 || route.CancelOnExpiry {
			errs = append(errs, fmt.Errorf("%s: the route %q has Recheck or CancelOnExpiry, and a request that a proxy serves cannot be ended: take it out, and bound how long the proxy serves one", who, route.Pattern))
		}
	}
	return errors.Join(errs...)
}

// forwardAuth answers a proxy.
type forwardAuth struct {
	teller
	proxy   Proxy
	headers OriginalHeaders
	trusted bearergate.TrustedPeers
}

func (f *forwardAuth) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !f.trusted.Contain(peerOf(r)) {
		f.tell(r, errStranger)
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusForbidden)
		return
	}
	if f.proxy == Nginx {
		w = &nginxWriter{ResponseWriter: w}
	}
	asked, err := f.original(r)
	if err != nil {
		f.tell(r, err)
		f.refuseQuestion(w, r, err)
		return
	}
	f.answer(w, asked)
}

// teller tells a proxy what was decided about a request.
type teller struct{ router *Router }

// answer writes the answer about a request that the proxy told of.
func (f teller) answer(w http.ResponseWriter, asked *http.Request) *question {
	if !isClean(asked.URL) {
		f.refuseUnrouted(w, asked, http.StatusBadRequest)
		return &question{decision: unrouted(http.StatusBadRequest)}
	}
	q := f.router.ask(asked)
	reply(w, q.decision.Reply)
	switch d := &q.decision; {
	case d.Unrouted != 0:
		if allow := q.header.Get("Allow"); allow != "" {
			w.Header().Set("Allow", allow)
		}
		f.refuseUnrouted(w, asked, d.Unrouted)
	case d.Err != nil && !d.ReportOnly:
		q.refuse(f.router.gate, w, asked)
	default:
		for name, value := range q.identity {
			w.Header()[name] = []string{value}
		}
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusOK)
	}
	return q
}

// refuse writes what the gate that decided would. Without one, Handler has a mistake.
func (q *question) refuse(outer *Gate, w http.ResponseWriter, r *http.Request) {
	if q.made.err == nil {
		outer.refuse(w, r, &decision{err: q.decision.Err})
		return
	}
	q.gate.refuse(w, r, &q.made)
}

// tell tells the hook of a refusal before any route was looked for.
func (f teller) tell(r *http.Request, err error) {
	g := f.router.gate
	if g.config.Hooks.Decided == nil {
		return
	}
	d := decision{err: err, address: g.addressOf(r)}
	plain := r.WithContext(r.Context())
	plain.Pattern = "" // that of this handler
	g.config.Hooks.Decided(r.Context(), d.event(plain, 0))
}

var errStranger = &bearergate.Error{Kind: bearergate.ErrForbidden, Reason: bearergate.ReasonPolicy,
	Detail: "ForwardAuth was asked by somebody who is not in its Trusted: add the address that the proxy connects from, if it was the proxy"}

// original is the request that the proxy tells of: whoever its client is, it has neither the
// proxy's connection nor its body.
func (f *forwardAuth) original(r *http.Request) (*http.Request, error) {
	method, errMethod := f.value(r, f.headers.Method, maxOriginalMethodBytes)
	host, errHost := f.value(r, f.headers.Host, maxOriginalHostBytes)
	uri, errURI := f.value(r, f.headers.URI, MaxOriginalURIBytes)
	if err := worst(errMethod, errHost, errURI); err != nil {
		return nil, err
	}
	if strings.Contains(uri, ",/") {
		// That is how two values look that were made one, and the first may be the client's.
		return nil, f.malformed(f.headers.URI, "it looks like two values with a comma between them: have the proxy replace what its client sent")
	}
	u, field, err := originalTarget(method, host, uri)
	if err != nil {
		return nil, f.malformed(map[string]string{"method": f.headers.Method, "host": f.headers.Host, "path": f.headers.URI}[field], err.Error())
	}
	asked := &http.Request{
		Method: method, URL: u, RequestURI: uri, Host: host,
		Proto: r.Proto, ProtoMajor: r.ProtoMajor, ProtoMinor: r.ProtoMinor,
		Header: r.Header.Clone(), Body: http.NoBody, RemoteAddr: r.RemoteAddr,
	}
	for _, name := range []string{f.headers.Method, f.headers.Host, f.headers.URI} {
		delete(asked.Header, name)
	}
	return asked.WithContext(r.Context()), nil
}

// originalTarget parses what a proxy tells of a request, or names what is wrong and why.
func originalTarget(method, host, uri string) (u *url.URL, field string, err error) {
	if !isToken(method) {
		return nil, "method", errors.New("it is no method")
	}
	if !isAuthority(host) {
		return nil, "host", errors.New("it is no host, nor a host with a port")
	}
	u, err = originForm(uri)
	return u, "path", err
}

// worst is the error that says most of the proxy, if there is one.
func worst(errs ...error) error {
	for _, kind := range []error{bearergate.ErrMisconfigured, bearergate.ErrInvalidRequest} {
		for _, err := range errs {
			if errors.Is(err, kind) {
				return err
			}
		}
	}
	return nil
}

// value is what the proxy says in a field, which must be there once.
func (f *forwardAuth) value(r *http.Request, name string, most int) (string, error) {
	values := r.Header[name]
	switch {
	case len(values) == 0:
		return "", &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonConfig,
			Detail: "ForwardAuth was asked without " + name + ": have the proxy set it, or choose the Proxy or the Headers that it sets"}
	case len(values) > 1:
		return "", f.malformed(name, "it is there more than once: have the proxy replace what its client sent")
	case values[0] == "":
		return "", f.malformed(name, "it is empty")
	case len(values[0]) > most:
		return "", f.malformed(name, "it is too long")
	}
	return values[0], nil
}

func (f *forwardAuth) malformed(name, what string) error {
	return &bearergate.Error{Kind: bearergate.ErrInvalidRequest, Reason: bearergate.ReasonBadRequest,
		Detail: "ForwardAuth cannot use " + name + " of the question: " + what}
}

// originForm parses a path with its query (RFC 9112 §3.2.1). What no URI has is refused, for
// nobody knows what the service makes of it.
func originForm(uri string) (*url.URL, error) {
	switch {
	case !strings.HasPrefix(uri, "/"):
		return nil, errors.New("it does not begin with a slash: an absolute URI and * are no paths")
	case strings.ContainsFunc(uri, func(c rune) bool { return c <= ' ' || c > '~' || c == '#' || c == '\\' }):
		return nil, errors.New("it has a character that no URI has, or a fragment")
	}
	u, err := url.ParseRequestURI(uri) // which looks for no scheme and no host where a slash comes first
	if err != nil {
		return nil, errors.New("it is no path with a query")
	}
	return u, nil
}

// isAuthority reports whether s is a host, or a host and a port, in the characters that a
// host has (RFC 3986 §3.2.2) and every program reads alike.
func isAuthority(s string) bool {
	if strings.ContainsFunc(s, func(c rune) bool { return !isAlphanumeric(c) && !strings.ContainsRune("-._:[]", c) }) {
		return false
	}
	if strings.HasSuffix(s, "]") || !strings.Contains(s, ":") {
		s += ":443" // any port
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return false
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return false
	}
	if strings.HasPrefix(s, "[") {
		address, _ := netip.ParseAddr(host) // the zero Addr, which is no IPv6, beside an error
		return address.Is6()
	}
	return host != "" && !strings.HasPrefix(host, ".") && !strings.Contains(host, "..")
}

var (
	answerUnclear = &answer{status: http.StatusBadRequest, words: "The method, the host or the path of the request can be read in more than one way."}
	answerNoRoute = &answer{status: http.StatusNotFound, words: "There is no such route."}
	answerMethod  = &answer{status: http.StatusMethodNotAllowed, words: "The route does not have this method."}
)

// refuseUnrouted writes the answer to a request that enters no route, where [Router.Handler]
// would write status. A redirect is to the path with a slash at its end, which is another one.
func (f teller) refuseUnrouted(w http.ResponseWriter, r *http.Request, status int) {
	a := answerNoRoute
	switch status {
	case http.StatusBadRequest:
		a = answerUnclear
	case http.StatusMethodNotAllowed:
		a = answerMethod
	}
	f.write(w, r, a, bearergate.AsError(unrouted(a.status).Err))
}

// refuseQuestion writes the answer to a question that tells of no request.
func (f teller) refuseQuestion(w http.ResponseWriter, r *http.Request, err error) {
	if e := bearergate.AsError(err); errors.Is(err, bearergate.ErrInvalidRequest) {
		f.write(w, r, answerUnclear, e)
		return
	}
	f.router.gate.refuse(w, r, &decision{err: err})
}

func (f teller) write(w http.ResponseWriter, r *http.Request, a *answer, e *bearergate.Error) {
	contentType, body := f.router.gate.render(r, a, e)
	strip(w.Header())
	finish(w, r, a.status, contentType, body)
}

// nginxWriter writes refusals as nginx can pass them on.
type nginxWriter struct{ http.ResponseWriter }

func (w *nginxWriter) WriteHeader(status int) {
	if status != http.StatusOK {
		h := w.Header()
		h.Set(statusField, strconv.Itoa(status))
		for i, challenge := range h["Www-Authenticate"] {
			h.Set(challengeField+strconv.Itoa(i+1), challenge)
		}
		status = http.StatusForbidden
	}
	w.ResponseWriter.WriteHeader(status)
}

// SetWriteDeadline is for [http.ResponseController], by which a refusal breaks the connection
// of a caller that went away.
func (w *nginxWriter) SetWriteDeadline(t time.Time) error {
	return http.NewResponseController(w.ResponseWriter).SetWriteDeadline(t)
}
