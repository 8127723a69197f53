package middleware

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bearergate/bearergate"
)

// answer is one of the fixed answers: its words are all that a client is told.
type answer struct {
	status    int
	code      string // RFC 6750 §3.1, RFC 9470 §3 or Entra's; "" for the bare challenge
	words     string // error_description and the detail of the body
	challenge bool
	body      []byte
}

func newAnswer(status int, challenge bool, code, words string) *answer {
	// The words and the status text need no escaping, which a test asserts.
	return &answer{status, code, words, challenge, []byte(
		`{"type":"about:blank","title":"` + http.StatusText(status) + `","status":` + strconv.Itoa(status) + `,"detail":"` + words + `"}` + "\n")}
}

// answers are all of them, by [bearergate.Error.Code].
var answers = map[string]*answer{
	missingToken:               newAnswer(401, true, "", "A bearer token is required."),
	"INVALID_REQUEST":          newAnswer(400, true, "invalid_request", "The request must carry exactly one well-formed bearer token."),
	"INVALID_TOKEN":            newAnswer(401, true, "invalid_token", "The access token is not valid here."),
	"TOKEN_EXPIRED":            newAnswer(401, true, "invalid_token", "The access token has expired."),
	"TOKEN_INACTIVE":           newAnswer(401, true, "invalid_token", "The access token is no longer active."),
	insufficientScope:          newAnswer(403, true, "insufficient_scope", "The access token does not have the required scope."),
	insufficientAuthentication: newAnswer(401, true, "insufficient_user_authentication", "A stronger or more recent authentication of the user is required."),
	insufficientClaims:         newAnswer(401, true, "insufficient_claims", "The user has to satisfy the authentication context that claims asks for."),
	"INVALID_DPOP_PROOF":       newAnswer(401, true, "invalid_dpop_proof", "The DPoP proof is not valid here."),
	"USE_DPOP_NONCE":           newAnswer(401, true, "use_dpop_nonce", "The DPoP proof must have a nonce of this server."),
	"FORBIDDEN":                newAnswer(403, false, "", "The access token does not allow this request."),
	unavailable:                newAnswer(503, false, "", "The access token cannot be checked at the moment. Try again later."),
	"MISCONFIGURED":            newAnswer(500, false, "", "The access token cannot be checked because of an error in this server."),
}

const (
	missingToken               = "MISSING_TOKEN"
	insufficientScope          = "INSUFFICIENT_SCOPE"
	insufficientAuthentication = "INSUFFICIENT_USER_AUTHENTICATION"
	insufficientClaims         = "INSUFFICIENT_CLAIMS"
	unavailable                = "TEMPORARILY_UNAVAILABLE"
)

// Refusal is what [Config.Render] renders.
type Refusal struct {
	// Status is the HTTP status.
	Status int
	// Code is the error code of the challenge: "invalid_token" and the like, "" if
	// there is none.
	Code string
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
	code := e.Code(d.scheme == bearergate.SchemeDPoP && d.token == nil)
	a := answers[code]
	if a.challenge && d.scheme != "" && !g.accepts(d.scheme) {
		code, a = missingToken, answers[missingToken] // RFC 6750 §3.1: no error code for who tried a scheme that is not supported
	}
	contentType, body := g.render(r, a, e)
	h := w.Header()
	strip(h)
	if a.challenge {
		g.challenge(h, r, code, e, d)
	}
	if code == unavailable {
		h.Set("Retry-After", strconv.Itoa(int(e.RetryDelay()/time.Second)))
	}
	finish(w, r, a.status, contentType, body)
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
		refusal := Refusal{Status: a.status, Code: a.code, Detail: a.words, Err: *e}
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
	return "application/problem+json", a.body
}

func (g *Gate) accepts(name bearergate.Scheme) bool {
	return slices.ContainsFunc(g.schemes, func(s scheme) bool { return s.name == name })
}

// challenge sets one challenge for each scheme of the gate. The error stands in
// that of the scheme that the request used, which comes first, and nowhere else:
// about the others, nothing is known to be wrong (RFC 9449 §7.1). Whoever sends
// Authorization several times used no scheme alone: the error stands in all of them
// (RFC 9449 §7.2).
func (g *Gate) challenge(h http.Header, r *http.Request, code string, e *bearergate.Error, d *decision) {
	used := d.scheme
	if used == "" && e.Kind == bearergate.ErrInvalidRequest && len(r.Header["Authorization"]) < 2 {
		used = g.attempted(r)
	}
	var values []string
	for _, s := range g.schemes {
		c := challenge{scheme: string(s.name)}
		c.add("realm", g.config.Realm)
		for _, p := range s.parameters {
			c.add(p.name, p.value)
		}
		if s.name == used || used == "" {
			g.explain(&c, code, e, d)
		}
		c.add("resource_metadata", g.metadataURL)
		if s.name == used {
			values = slices.Insert(values, 0, c.String())
		} else {
			values = append(values, c.String())
		}
	}
	h["Www-Authenticate"] = values
}

// attempted is the scheme of credentials that could not be read, Bearer if it is
// none of the gate's.
func (g *Gate) attempted(r *http.Request) bearergate.Scheme {
	sent := r.Header.Get("Authorization")
	for _, s := range g.schemes {
		if name := string(s.name); len(sent) >= len(name) && strings.EqualFold(sent[:len(name)], name) {
			return s.name
		}
	}
	return bearergate.SchemeBearer
}

// explain adds what was wrong with the credentials of the challenge's scheme.
func (g *Gate) explain(c *challenge, code string, e *bearergate.Error, d *decision) {
	a := answers[code]
	if a.code != "" { // else bare: RFC 6750 §3.1 has no more to say to who sent no token
		c.add("error", a.code)
		c.add("error_description", a.words)
	}
	switch code {
	case missingToken:
		if g.config.AdvertiseScopes && !d.templated {
			c.add("scope", listed(d.need.Scopes()))
		}
	case insufficientScope:
		// A verifier that refuses for scope itself may name more than the route does.
		c.add("scope", listed(slices.Concat(d.need.Scopes(), e.Scopes)))
	case insufficientAuthentication, insufficientClaims:
		if code == insufficientClaims {
			c.add("authorization_uri", g.config.AuthorizationURI)
			c.add("claims", e.ClaimsChallenge)
		}
		c.add("acr_values", listed(e.ACRValues))
		if e.MaxAge > 0 {
			c.add("max_age", strconv.FormatInt(int64(e.MaxAge/time.Second), 10))
		}
		c.add("scope", listed(e.Scopes))
	}
}
