package middleware

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/bearergate/bearergate"
)

// Decision is what [Router.Decide] says of a request.
type Decision struct {
	// Err is nil if the request may enter. Otherwise exactly one of the eight sentinels
	// is true of it: where [Router.Handler] would answer without a route,
	// [bearergate.ErrForbidden] with [bearergate.ReasonPolicy]. Its text is for operators.
	Err error
	// ReportOnly says that the request enters in spite of Err, because of
	// [Config.InsecureReportOnly].
	ReportOnly bool
	// Pattern is that of the route that the request enters, as in
	// [DecisionEvent.Pattern]; "" if it enters none.
	Pattern string
	// Access says who may enter that route; "" if there is none.
	Access Access
	// Unrouted is the status with which [Router.Handler] answers a request that enters no
	// route: 404, 405, a redirect to the cleaned path, 400. It is 0 if there is a route.
	Unrouted int
	// Token is what the handler would find in its context; nil if the request may not
	// enter.
	Token *bearergate.Token
	// Reply are the headers that a [bearergate.Binding] asks for, on refusals as well:
	// send them to the client.
	Reply bearergate.Reply
}

// Decide makes the decision of [Router.Handler] about a request without serving it:
// for a proxy that asks whether it may pass the request on. It runs no handler, writes
// nothing and changes nothing of r, and tells [Hooks.Decided] what Handler would tell. A
// handler that is itself wrapped by a gate is asked too; one that calls a gate further
// in is not.
//
// r has to say what the client sent to the proxy: Method, Host, URL with the path as it
// was sent, Header, and for Bindings RequestURI, which has to agree with URL. Whoever
// fills that in from what anybody may send lets anybody choose the route. TLS and
// RemoteAddr are those of the client, or left empty: the proxy's own prove nothing.
//
// Decide refuses what Handler leaves to its handlers, since nobody knows what the
// service behind the proxy makes of it: a path in which an encoded slash, or after
// decoding a dot segment, a backslash, a semicolon, a percent sign, a question mark, a
// number sign, a control character or a byte that is no UTF-8 was sent, and a method with
// lower-case letters.
// [Decision.Unrouted] is then 400. Host is compared as proxies do it, without case and
// without a dot at its end. No Method is GET.
//
// To ask is to use up: a DPoP proof counts as seen afterwards, and so does the token
// on a route with [Once]. Do not ask and then send the same request through Handler.
// Answers about [Router.Optional] routes differ by who asks: a proxy that caches them
// has to tell callers apart by their Authorization.
//
// Like Handler, the first Decide ends the registration of routes. As long as Handler
// has a mistake to report, the Err of every Decision is that one,
// [bearergate.ErrMisconfigured]. Decide is safe for concurrent use.
func (rt *Router) Decide(r *http.Request) Decision { return rt.ask(r).decision }

// ask is Decide, with what else there is to tell.
func (rt *Router) ask(r *http.Request) *question {
	q := &question{header: http.Header{}, identity: map[string]string{}}
	h, err := rt.Handler()
	switch {
	case err != nil:
		q.decision = Decision{Err: err}
		return q
	case r == nil || r.URL == nil:
		q.decision = Decision{Err: misconfigured(errors.New("Decide: the request is nil, or has no URL"))}
		return q
	case !sameTarget(r):
		q.decision = Decision{Err: misconfigured(errors.New("Decide: RequestURI and URL name different targets: a proof for one would count for the other"))}
		return q
	case r.Method != strings.ToUpper(r.Method) || unclear(r.URL):
		q.decision = unrouted(http.StatusBadRequest)
		return q
	}
	r = r.WithContext(r.Context()) // a copy: ServeMux writes into it which pattern it found
	r.Method, r.Host = cmp.Or(r.Method, http.MethodGet), plainHost(r.Host)
	h.ServeHTTP(q, r)
	if q.decision.Access == "" {
		q.decision = unrouted(q.status)
	}
	return q
}

// sameTarget reports whether RequestURI, where there is one, names what URL does.
func sameTarget(r *http.Request) bool {
	if r.RequestURI == "" || r.Method == http.MethodConnect { // which is no route
		return true
	}
	u, err := url.ParseRequestURI(r.RequestURI)
	return err == nil && u.EscapedPath() == r.URL.EscapedPath() && u.RawQuery == r.URL.RawQuery && hasEncodedSlash(u) == hasEncodedSlash(r.URL)
}

// hasEncodedSlash looks at RawPath, which is there where what was sent is not what EscapedPath
// would make of the decoded path. EscapedPath itself does not tell: where a character was sent
// that no path has, such as the bar in "/public%2fx|", it encodes the decoded path anew, with
// a slash in it that nobody sent.
func hasEncodedSlash(u *url.URL) bool { return strings.Contains(strings.ToLower(u.RawPath), "%2f") }

func unrouted(status int) Decision {
	return Decision{Unrouted: status, Err: &bearergate.Error{Kind: bearergate.ErrForbidden, Reason: bearergate.ReasonPolicy,
		Cause: fmt.Errorf("middleware: the request enters no route: the answer is %d", status)}}
}

// unclear reports a path of which two programs may make two things: one decodes what
// the other does not, cuts what begins with a semicolon, takes a backslash for a slash,
// or cleans away a segment. That is how "/public/..%2fadmin" gets around a proxy that
// asked about "/public/".
func unclear(u *url.URL) bool {
	if !isClean(u) {
		return false // ServeMux answers: with a redirect to the clean path, for example
	}
	if hasEncodedSlash(u) || !utf8.ValidString(u.Path) ||
		strings.ContainsFunc(u.Path, func(c rune) bool { return c < ' ' || c == 0x7f || strings.ContainsRune(`\;%?#`, c) }) {
		return true
	}
	segments := strings.Split(u.Path, "/")
	return slices.Contains(segments, ".") || slices.Contains(segments, "..")
}

// isClean reports whether the path as it was sent has no empty and no dot segments.
func isClean(u *url.URL) bool {
	escaped := u.EscapedPath()
	clean := path.Clean(escaped)
	return clean == escaped || clean != "/" && clean+"/" == escaped
}

// plainHost returns a host as everybody else compares it.
func plainHost(host string) string {
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		name, port = host, ""
	}
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	if port == "" {
		return name
	}
	return net.JoinHostPort(name, port)
}

// question stands where a response would be written, for a request that only asks:
// ServeMux, which alone knows the route and what its wildcards stand for, hands it to
// the route, and that answers it instead of running a handler. What a request carries
// could be passed on by somebody; a ResponseWriter goes nowhere else.
type question struct {
	header   http.Header
	status   int // what was written without a route
	decision Decision

	gates    []*Gate // that were asked, from the outermost
	gate     *Gate   // that has the last word, and what it decided
	made     decision
	identity map[string]string // what the handler would find in the headers of Config.Identity
}

func (q *question) Header() http.Header { return q.header }

func (q *question) WriteHeader(status int) { q.status = status }

func (q *question) Write(b []byte) (int, error) { return len(b), nil }

// answer says what was decided at a route.
func (q *question) answer(g *Gate, r *http.Request, access Access, d *decision) {
	q.gate, q.made = g, *d
	q.decision = Decision{Err: d.err, ReportOnly: d.reportOnly, Pattern: r.Pattern, Access: access, Reply: sendable(d.reply)}
	if d.err == nil || d.reportOnly {
		q.decision.Token = d.known()
	}
	if g == nil {
		return
	}
	q.gates = append(q.gates, g)
	for name := range g.config.Identity { // whatever a gate further out has said under these names
		q.identity[name] = ""
	}
	for _, h := range d.identity {
		q.identity[h.name] = h.value
	}
}
