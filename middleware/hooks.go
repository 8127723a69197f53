package middleware

import (
	"context"
	"encoding/hex"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/scope"
)

// Hooks tell metrics, traces and audit what happens. Each is optional, costs
// nothing when nil, is called from the goroutine of the request, which waits for
// it, and must be safe for concurrent use. Join several with [JoinHooks].
type Hooks struct {
	// Decided is called once for every decision, before the handler runs or the
	// refusal is written, and once more for a request that its token ended, after its
	// handler has returned or panicked ([DecisionEvent.Midstream]). The context is
	// that of the request.
	Decided func(context.Context, DecisionEvent)

	// Panicked is called when another hook or [Config.Render] panicked, while
	// runtime/debug.Stack shows where. The panic goes no further and changes no
	// decision. A panic of Panicked itself is dropped.
	Panicked func(context.Context, bearergate.PanicEvent)
}

// DecisionEvent is one decision of a [Gate]. It never holds the token as sent or
// the path. Reason, Source, Method and Pattern are from closed sets and fit for
// metric labels; what Token says (client, subject, ID, granted scopes) is for
// audit only.
type DecisionEvent struct {
	// Err is nil if the request may pass. Otherwise exactly one of the eight
	// sentinels is true of it. Its text is for operators.
	Err error
	// ReportOnly says that the request passed, or went on, in spite of Err, because of
	// [Config.InsecureReportOnly].
	ReportOnly bool
	// Midstream says that the request was being served and has been ended by its
	// token: it expired on a route with [CancelOnExpiry], or was refused by [Recheck].
	// This is no further request, and its status was sent before; the same request
	// was told of as one that may pass. The rest says what was true then. If a token
	// of a gate further out ended the request, only that gate tells.
	Midstream bool
	// Reason is bearergate.ReasonOf(Err): "" if the request may pass. With
	// [bearergate.ReasonCanceled] there was no failure to count.
	Reason bearergate.Reason
	// Token is the token, verified and its binding proven, also when the request
	// was refused by what the route demands beyond that: [Bound], [StepUp],
	// [AuthContext], scopes, or what comes after them. It is nil when there is none, as
	// for a stranger that [Gate.Optional] let pass, and when the sender of a bound token
	// did not prove to hold its key: the token may be a stolen one, and says nothing about
	// who sent it.
	Token *bearergate.Token
	// Source says what carried the token; "" when none was found.
	Source Source
	// Required is what the route requires; see [scope.Requirement.Scopes]. Where it
	// is a [scope.Template], it is filled from the path: no metric label then.
	Required scope.Requirement
	// Method is the method of the request, or "_OTHER" if it is none of RFC 9110
	// and RFC 5789.
	Method string
	// Pattern is the pattern of the http.ServeMux that chose the handler; "" if
	// none did, or if the gate stands in front of it.
	Pattern string
	// QueryToken says that the query of the request has a parameter access_token (RFC 6750
	// §2.3), whatever else carried a token. The gate never reads what stands there, and
	// neither it nor anything else of the query is in an event. Where it was a token, it is
	// in the logs of everybody on the way by now (RFC 9700 §2.6): have it revoked.
	// Anybody can send such a request.
	QueryToken bool
	// Trial is what [Trial] would have decided; nil where it was not judged.
	Trial *TrialEvent
	// Address is that of the sender, as [Config.ClientAddress] found it; the zero Addr if
	// it is unknown, or nobody was to find it. It is personal data, and no metric label.
	Address netip.Addr
	// Duration is how long the decision took, without handler and answer; if
	// Midstream, how long the request was served.
	Duration time.Duration
}

// event tells of the decision on r.
func (d *decision) event(r *http.Request, took time.Duration) DecisionEvent {
	return DecisionEvent{
		Err:        d.err,
		Reason:     bearergate.ReasonOf(d.err),
		ReportOnly: d.reportOnly,
		Token:      d.token,
		Source:     d.source,
		Required:   d.need,
		Method:     methodLabel(r.Method),
		Pattern:    r.Pattern,
		Address:    d.address,
		QueryToken: r.URL != nil && namesToken(r.URL.RawQuery),
		Duration:   took,
	}
}

// namesToken reports whether a query has a parameter access_token: by its name alone, as
// it is or percent-encoded, in any place. It is not [url.ParseQuery], which allocates for
// every parameter, and leaves out what it does not like. A semicolon divides as well, as it
// does for some who read queries, and the logs have it anyway.
func namesToken(query string) bool {
	for query != "" {
		end := strings.IndexAny(query, "&;")
		if end < 0 {
			end = len(query)
		}
		if isTokenName(query[:end]) {
			return true
		}
		query = query[min(end+1, len(query)):]
	}
	return false
}

// isTokenName reports whether a parameter of a query is called access_token. What stands
// behind its name is not looked at.
func isTokenName(parameter string) bool {
	const name = "access_token"
	for i := range len(name) {
		var c byte
		switch {
		case parameter == "":
			return false
		case parameter[0] == '%' && len(parameter) > 2:
			digits := []byte(parameter[1:3])
			if _, err := hex.Decode(digits, digits); err != nil {
				return false
			}
			c, parameter = digits[0], parameter[3:]
		default:
			c, parameter = parameter[0], parameter[1:]
		}
		if c != name[i] {
			return false
		}
	}
	return parameter == "" || parameter[0] == '='
}

// Source is what carried a token.
type Source string

// The sources, all of them.
const (
	SourceHeader  Source = "header"  // Authorization
	SourceExtract Source = "extract" // [Config.Extract]
)

func (g *Gate) source() Source {
	if g.config.Extract != nil {
		return SourceExtract
	}
	return SourceHeader
}

// JoinHooks returns hooks that call those of every argument, in order. One that
// panics does not keep the others from being called.
func JoinHooks(hooks ...Hooks) Hooks {
	var joined Hooks
	for _, h := range hooks {
		joined.Panicked = bearergate.Hook("Panicked", nil, joined.Panicked, h.Panicked)
	}
	for _, h := range hooks {
		joined.Decided = bearergate.Hook("Decided", joined.Panicked, joined.Decided, h.Decided)
	}
	return joined
}

// methodLabel keeps a method that a client made up out of metric labels.
func methodLabel(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodConnect, http.MethodOptions, http.MethodTrace:
		return method
	}
	return "_OTHER"
}
