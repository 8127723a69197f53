package middleware

import (
	"errors"
	"fmt"
	"net/http"

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
// nothing and changes nothing of r, and tells [Hooks.Decided] what Handler would tell.
// A handler's own gate is not asked.
//
// r has to say what the client sent to the proxy: method, host, path as it was sent,
// headers. Whoever fills that in from what anybody may send lets anybody choose the
// route. A request for a path that is not clean is an error here, as it is a redirect
// there, since nobody knows what the service behind the proxy makes of it.
//
// To ask is to use up: a DPoP proof counts as seen afterwards, and so does the token
// on a route with [Once]. Do not ask and then send the same request through Handler.
//
// Like Handler, the first Decide ends the registration of routes. As long as Handler
// has a mistake to report, the Err of every Decision is that one,
// [bearergate.ErrMisconfigured]. Decide is safe for concurrent use.
func (rt *Router) Decide(r *http.Request) Decision {
	h, err := rt.Handler()
	if err != nil {
		return Decision{Err: err}
	}
	if r == nil || r.URL == nil {
		return Decision{Err: misconfigured(errors.New("the request is nil, or has no URL"))}
	}
	q := question{header: http.Header{}}
	h.ServeHTTP(&q, r.WithContext(r.Context())) // a copy: ServeMux writes into it which pattern it found
	if q.decision.Access == "" {
		q.decision = Decision{Unrouted: q.status, Err: &bearergate.Error{Kind: bearergate.ErrForbidden, Reason: bearergate.ReasonPolicy,
			Cause: fmt.Errorf("middleware: the request enters no route: the answer is %d", q.status)}}
	}
	return q.decision
}

// question stands where a response would be written, for a request that only asks:
// ServeMux, which alone knows the route and what its wildcards stand for, hands it to
// the route, and that answers it instead of running a handler. What a request carries
// could be passed on by somebody; a ResponseWriter goes nowhere else.
type question struct {
	header   http.Header
	status   int // what was written without a route
	decision Decision
}

func (q *question) Header() http.Header { return q.header }

func (q *question) WriteHeader(status int) { q.status = status }

func (q *question) Write(b []byte) (int, error) { return len(b), nil }

// answer says what was decided at a route.
func (q *question) answer(r *http.Request, access Access, d *decision) {
	q.decision = Decision{Err: d.err, ReportOnly: d.reportOnly, Pattern: r.Pattern, Access: access, Reply: sendable(d.reply)}
	if d.err == nil || d.reportOnly {
		q.decision.Token = d.known()
	}
}
