package middleware

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/bearergate/bearergate"
)

// answer is one of the fixed answers: its words are all that a client is told.
type answer struct {
	status int
	code   string // RFC 6750 §3.1, RFC 9470 §3 or Entra's; "" if there is none
	name   string // of [bearergate.Error.Code]
	words  string // the detail of the body
}

// body needs no escaping: the words and the status text are fixed, which a test asserts.
func (a *answer) body() []byte {
	return []byte(`{"type":"about:blank","title":"` + http.StatusText(a.status) + `","status":` + strconv.Itoa(a.status) + `,"detail":"` + a.words + `"}` + "\n")
}

// Refusal is what [Config.Render] renders.
type Refusal struct {
	// Status is the HTTP status.
	Status int
	// Code is the error code of the challenge: "invalid_token" and the like, "" if
	// there is none.
	Code string
	// Name is the word of [bearergate.Error.Code] for the refusal, such as "TOKEN_EXPIRED",
	// for bodies that name it; "" where no route was entered.
	Name string
	// Detail says in fixed words what the client may know.
	Detail string
	// Err is what was decided, a copy. Kind and Reason are always set; Detail, Expected,
	// Found, Unsigned and Refused never. Its text, its Cause and its Reason are for
	// operators: do not send them.
	Err bearergate.Error
}

// refuse writes the answer to an error, unless the caller went away.
func (g *Gate) refuse(w http.ResponseWriter, r *http.Request, d *decision) {
	e := bearergate.AsError(d.err)
	if e.Reason == bearergate.ReasonCanceled && errors.Is(r.Context().Err(), context.Canceled) {
		// On return net/http writes 200 by itself. Nobody should be there to read it, but if the
		// context was canceled by a shutdown, somebody is, and would take the request for done:
		// with this deadline passed, the connection breaks instead.
		if http.NewResponseController(w).SetWriteDeadline(time.Unix(1, 0)) == nil {
			return
		}
		// A writer that cannot break the connection gets the 503 wherever a 200 could reach somebody.
		if served := r.Context().Value(http.ServerContextKey) != nil; !served {
			return
		}
	}
	attempt := bearergate.Attempt{Authorization: r.Header["Authorization"], Scheme: d.scheme, Authenticated: d.token != nil, Required: d.need}
	attempt.Advertise = g != nil && g.config.AdvertiseScopes && !d.templated
	told := g.Answers().To(e, attempt) // of a nil gate: fixed words without a challenge
	contentType, body := g.render(r, &answer{told.Status, told.Error, told.Code, told.Words}, e)
	h := w.Header()
	strip(h)
	if len(told.Challenges) > 0 {
		h["Www-Authenticate"] = told.Challenges
	}
	if seconds := int(told.RetryAfter / time.Second); seconds > 0 {
		h.Set("Retry-After", strconv.Itoa(seconds))
	}
	finish(w, r, told.Status, contentType, body)
}

// Answers are those of the gate, for whoever writes refusals of its own, of a handler for
// example, in another protocol. nil for a nil or zero Gate.
func (g *Gate) Answers() *bearergate.Answers {
	if g == nil {
		return nil
	}
	return g.answers
}

// strip takes out of a header what an outer handler had in mind.
func strip(h http.Header) {
	for _, name := range []string{"Content-Length", "Content-Encoding", "WWW-Authenticate", "ETag", "Last-Modified", "Expires",
		"CDN-Cache-Control", "Surrogate-Control"} {
		h.Del(name)
	}
}

// finish writes a refusal whose other headers stand.
func finish(w http.ResponseWriter, r *http.Request, status int, contentType string, body []byte) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body)
	}
}

// render asks Config.Render, which has no writer to do harm with.
func (g *Gate) render(r *http.Request, a *answer, e *bearergate.Error) (contentType string, body []byte) {
	if g != nil && g.config.Render != nil {
		refusal := Refusal{Status: a.status, Code: a.code, Name: a.name, Detail: a.words, Err: *e}
		refusal.Err.Scopes, refusal.Err.ACRValues = slices.Clone(e.Scopes), slices.Clone(e.ACRValues)
		// These are for operators, and Found is a client's own text.
		refusal.Err.Detail, refusal.Err.Expected, refusal.Err.Found, refusal.Err.Unsigned, refusal.Err.Refused = "", "", "", false, nil
		bearergate.Hook("Render", g.config.Hooks.Panicked, func(_ context.Context, refusal Refusal) {
			contentType, body = g.config.Render(r, refusal)
		})(r.Context(), refusal)
		if contentType != "" && isPrintable(contentType) && body != nil {
			return contentType, body
		}
	}
	return "application/problem+json", a.body()
}
