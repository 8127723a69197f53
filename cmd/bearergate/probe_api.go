package main

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bearergate/bearergate"
)

// apiAnswer is what the probe looks at of an answer of the API: never its body, which is
// not read at all.
type apiAnswer struct {
	status     int
	html       bool
	noStore    bool
	challenges []challenge
	malformed  bool // the challenges are none of RFC 9110
}

// ask sends one request, and follows no redirect: the token goes to the URL that was
// configured, and nowhere else.
func (p *probe) ask(ctx context.Context, target, token string) (apiAnswer, *finding) {
	ctx, cancel := context.WithTimeout(ctx, p.config.patience())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, http.NoBody)
	if err != nil {
		f := fault(reasonStatus, "the URL cannot be used")
		return apiAnswer{}, &f
	}
	req.Header.Set("Accept", "application/json, */*;q=0.1")
	req.Header.Set("User-Agent", "bearergate-probe")
	if token != "" {
		req.Header.Set("Authorization", string(bearergate.SchemeBearer)+" "+token)
	}
	resp, err := p.wire.send(serverAPI, req)
	if err != nil {
		f := ofTransport(err)
		return apiAnswer{}, &f
	}
	_ = resp.Body.Close()
	a := apiAnswer{status: resp.StatusCode, noStore: hasNoStore(resp.Header), html: isHTML(resp.Header.Get("Content-Type")) && !p.config.html}
	var ok bool
	a.challenges, ok = parseChallenges(resp.Header.Values("WWW-Authenticate"))
	a.malformed = !ok
	return a, nil
}

func isHTML(contentType string) bool {
	kind, _, _ := strings.Cut(contentType, ";")
	kind = strings.ToLower(strings.TrimSpace(kind))
	return kind == "text/html" || kind == "application/xhtml+xml"
}

func hasNoStore(h http.Header) bool {
	for _, line := range h.Values("Cache-Control") {
		for directive := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(directive), "no-store") {
				return true
			}
		}
	}
	return false
}

func (a apiAnswer) good() bool { return a.status >= 200 && a.status < 300 }

// said is the answer in words: the status, and an error code if it is one of RFC 6750 or 9470.
func (a apiAnswer) said() string {
	text := "status " + strconv.Itoa(a.status)
	if code := a.code(); code != "" {
		text += ", error " + code
	}
	return text
}

// code is the error of the Bearer challenge, if it is known.
func (a apiAnswer) code() string {
	for _, c := range a.challenges {
		if c.bearer() && slices.Contains([]string{"invalid_request", "invalid_token", "insufficient_scope", "insufficient_user_authentication"}, c.params["error"]) {
			return c.params["error"]
		}
	}
	return ""
}

// odd is what is wrong with an answer whatever was sent.
func (a apiAnswer) odd() (finding, bool) {
	switch {
	case a.status == http.StatusServiceUnavailable:
		return fault(reasonUnavailable, a.said()), true
	case a.status >= 500:
		return fault(reasonServerError, a.said()), true
	case a.status >= 300 && a.status < 400:
		return fault(reasonRedirect, a.said()+": it was not followed"), true
	case a.status == http.StatusNotFound, a.status == http.StatusMethodNotAllowed, a.status == http.StatusGone:
		return fault(reasonNotFound, a.said()), true
	case a.status == http.StatusTooManyRequests:
		return undecided(reasonThrottled, a.said()), true
	case a.good() && a.html:
		return fault(reasonLoginPage, a.said()+" with a page for people"), true
	}
	return finding{}, false
}

// challenged judges the challenge of a refusal (RFC 6750 §3); code is the error that it
// must have, "" for any or none.
func (a apiAnswer) challenged(code string) finding {
	bearer := slices.ContainsFunc(a.challenges, challenge.bearer)
	bare := !slices.ContainsFunc(a.challenges, func(c challenge) bool { return c.bearer() && len(c.params) > 0 })
	switch {
	case a.malformed:
		return fault(reasonChallengeMalformed, a.said()+", WWW-Authenticate is none of RFC 9110")
	case !bearer:
		return fault(reasonChallengeMissing, a.said()+" without a Bearer challenge")
	case code != "" && a.code() != code:
		return fault(reasonChallengeError, a.said()+", and not error "+code)
	case bare:
		return warning(reasonChallengeBare, a.said()+", the Bearer challenge has no parameter")
	case !a.noStore:
		return warning(reasonCacheable, a.said()+" without Cache-Control: no-store")
	}
	return passed(a.said())
}

// lacks says why a step of the API is not taken; nil if it is.
func (p *probe) lacks(target, flag string, token bool) *finding {
	var f finding
	switch {
	case target == "":
		f = skipped(reasonNotAsked, "no "+flag)
	case token && p.token == "":
		f = skipped(reasonNotReached, "there is no token")
	default:
		return nil
	}
	return &f
}

// sendToken expects the API to accept the token.
func (p *probe) sendToken(ctx context.Context) finding {
	if f := p.lacks(p.config.url, "-url", true); f != nil {
		return *f
	}
	a, f := p.ask(ctx, p.config.url, p.token)
	if f != nil {
		return *f
	}
	if odd, ok := a.odd(); ok {
		return odd
	}
	switch {
	case a.good():
		p.opens = true
		if p.refused {
			return warning(reasonAcceptsRefused, a.said()+", and the step verify has refused the token")
		}
		return passed(a.said())
	case a.status == http.StatusUnauthorized:
		return fault(reasonRefused, a.said())
	case a.status == http.StatusForbidden:
		return fault(reasonLacksScope, a.said())
	}
	return fault(reasonStatus, a.said())
}

// sendNoToken expects a refusal that tells a client what to send.
func (p *probe) sendNoToken(ctx context.Context) finding {
	if f := p.lacks(p.config.url, "-url", false); f != nil {
		return *f
	}
	a, f := p.ask(ctx, p.config.url, "")
	if f != nil {
		return *f
	}
	if odd, ok := a.odd(); ok {
		return odd
	}
	switch {
	case a.good():
		p.stranger = true
		return fault(reasonOpen, a.said())
	case a.status == http.StatusUnauthorized:
		return a.challenged("")
	case a.status == http.StatusForbidden:
		return fault(reasonForbiddenNot401, a.said())
	}
	return fault(reasonStatus, a.said())
}

// sendMutated expects the API to refuse the token with another signature. It comes after
// sendToken, so that an API which remembers the good token by a part of it is found out.
func (p *probe) sendMutated(ctx context.Context) finding {
	if f := p.lacks(p.config.url, "-url", true); f != nil {
		return *f
	}
	if isJWT(p.token) && strings.HasSuffix(p.token, ".") {
		switch { // there is nothing to break, and the API has shown already what it makes of that
		case p.stranger:
			return fault(reasonOpen, "the token has no signature")
		case p.opens:
			return fault(reasonSignatureAccepted, "the token has no signature at all")
		}
		return skipped(reasonNotReached, "the token has no signature, and the API does not accept it")
	}
	a, f := p.ask(ctx, p.config.url, mutated(p.token))
	if f != nil {
		return *f
	}
	if odd, ok := a.odd(); ok {
		return odd
	}
	switch {
	case a.good() && p.stranger:
		return fault(reasonOpen, a.said())
	case a.good():
		return fault(reasonSignatureAccepted, a.said())
	case !p.opens:
		return skipped(reasonNotReached, "the API does not accept the good token either: a refusal of the broken one says nothing")
	case a.status == http.StatusUnauthorized:
		return a.challenged("invalid_token")
	case a.status == http.StatusForbidden:
		return fault(reasonForbiddenNot401, a.said())
	}
	return fault(reasonStatus, a.said())
}

// sendToForbidden expects the API to say that the token is good, and not for this.
func (p *probe) sendToForbidden(ctx context.Context) finding {
	if f := p.lacks(p.config.forbiddenURL, "-forbidden-url", true); f != nil {
		return *f
	}
	a, f := p.ask(ctx, p.config.forbiddenURL, p.token)
	if f != nil {
		return *f
	}
	if odd, ok := a.odd(); ok {
		return odd
	}
	switch {
	case a.good():
		return fault(reasonForbiddenOpen, a.said())
	case a.status == http.StatusForbidden:
		return a.challenged("insufficient_scope")
	case a.status == http.StatusUnauthorized && p.config.url != "" && !p.opens:
		return skipped(reasonNotReached, "the API does not accept the token at all")
	case a.status == http.StatusUnauthorized:
		return fault(reasonRefusedNot403, a.said())
	}
	return fault(reasonStatus, a.said())
}

// revoke takes the token back (RFC 7009), and asks the API until it refuses it.
func (p *probe) revoke(ctx context.Context) finding {
	switch {
	case !p.config.revoke:
		return skipped(reasonNotAsked, "no -revoke")
	case p.token == "" || !p.opens:
		return skipped(reasonNotReached, "the API accepts no token that could be revoked")
	case p.stranger:
		return skipped(reasonNotReached, "the API refuses nobody")
	}
	if _, f := p.postAsClient(ctx, serverRevocation, p.endpoint(p.config.revocationEndpoint, "revocation_endpoint"), url.Values{"token": {p.token}, "token_type_hint": {"access_token"}}); f != nil {
		return *f
	}
	revoked := time.Now()
	last, accepted := p.awaitRefusal(ctx, p.config.revokedWithin, false)
	switch {
	case last.State == stateOK:
		p.revoked = time.Since(revoked)
		return passed("refused after " + seconds(p.revoked) + ", asked every " + p.config.poll.String())
	case last.State == stateFailed || !accepted:
		return last
	}
	// It was accepted, and then came an outage, of one machine of several perhaps. An answer
	// that comes now still tells: what accepts it now has done so too long.
	switch late, _ := p.awaitRefusal(ctx, p.config.patience(), true); late.State {
	case stateFailed:
		return late
	case stateOK:
		return undecided(reasonTimeout, "refused in the end, and no answer told when it began")
	}
	return last
}

// awaitRefusal asks the API for so long whether it accepts the token, until it refuses it,
// or until it answers either way. The finding is passed if it was refused, failed if the
// last that was heard is that it was accepted, and unknown if that was an outage; accepted
// reports whether it was accepted at all.
func (p *probe) awaitRefusal(ctx context.Context, within time.Duration, eitherWay bool) (last finding, accepted bool) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	tick := time.NewTicker(p.config.poll)
	defer tick.Stop()
	last = undecided(reasonTimeout, "no answer since the revocation")
	for {
		a, f := p.ask(ctx, p.config.url, p.token)
		switch {
		case f != nil && ctx.Err() != nil: // it was broken off, which is no answer
		case f != nil:
			last = *f
		case a.status == http.StatusUnauthorized:
			return passed(""), accepted
		case a.good():
			last, accepted = fault(reasonStillAccepted, "still accepted after "+p.config.revokedWithin.String()), true
			if eitherWay {
				return last, accepted
			}
		default: // an outage, a limit: it may pass
			last = undecided(reasonStatus, a.said())
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return last, accepted
		}
	}
}

// seconds is a duration to the millisecond.
func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 3, 64) + " s" }

// challenge is one of WWW-Authenticate (RFC 9110 §11.6.1).
type challenge struct {
	scheme string
	params map[string]string // names in lower case; nil for a token68
}

func (c challenge) bearer() bool {
	return strings.EqualFold(c.scheme, string(bearergate.SchemeBearer)) && c.params != nil
}

// parseChallenges reads the challenges of all header fields. It is strict, for scripts of
// clients are not lenient: false is whatever RFC 9110 §11.6.1 does not allow, a parameter
// that is there twice, and a token68 in the place of Bearer's parameters.
func parseChallenges(fields []string) ([]challenge, bool) {
	var all []challenge
	for _, field := range fields {
		r := challengeReader{rest: field}
		for r.commas(); r.rest != ""; {
			word := r.token()
			if word == "" {
				return nil, false
			}
			if !r.spaces() || r.rest == "" || r.rest[0] == ',' { // a scheme alone
				if r.rest != "" && r.rest[0] != ',' {
					return nil, false
				}
				all = append(all, challenge{scheme: word, params: map[string]string{}})
				r.commas()
				continue
			}
			c, ok := r.challenge(word)
			if !ok {
				return nil, false
			}
			all = append(all, c)
		}
	}
	return all, true
}

// challengeReader reads one field from the left.
type challengeReader struct{ rest string }

// challenge reads what follows a scheme and its space, up to the next scheme.
func (r *challengeReader) challenge(scheme string) (challenge, bool) {
	c := challenge{scheme: scheme, params: map[string]string{}}
	for first := true; ; first = false {
		before := r.rest
		name := strings.ToLower(r.token())
		r.spaces()
		if name == "" || !strings.HasPrefix(r.rest, "=") {
			if !first && name != "" { // the next scheme
				r.rest = before
				return c, true
			}
			r.rest = before
			return c, first && r.token68(&c)
		}
		r.rest = r.rest[1:]
		r.spaces()
		value, ok := r.value()
		if _, twice := c.params[name]; !ok || twice {
			r.rest = before
			return c, first && r.token68(&c)
		}
		c.params[name] = value
		switch ended := r.commas(); {
		case r.rest == "":
			return c, true
		case !ended:
			return c, false
		}
	}
}

// token68 reads what stands in the place of parameters in schemes such as Negotiate.
func (r *challengeReader) token68(c *challenge) bool {
	n := strings.IndexAny(r.rest, ", \t")
	if n < 0 {
		n = len(r.rest)
	}
	text := r.rest[:n]
	r.rest = r.rest[n:]
	c.params = nil
	ended := r.commas()
	return isB64Token(text) && !c.bearer() && (ended || r.rest == "") && !strings.EqualFold(c.scheme, "bearer")
}

// token reads a token (RFC 9110 §5.6.2); "" if there is none.
func (r *challengeReader) token() string {
	n := 0
	for n < len(r.rest) && isTokenChar(r.rest[n]) {
		n++
	}
	word := r.rest[:n]
	r.rest = r.rest[n:]
	return word
}

func isTokenChar(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// value reads a token or a quoted-string (RFC 9110 §5.6.4).
func (r *challengeReader) value() (string, bool) {
	if !strings.HasPrefix(r.rest, `"`) {
		word := r.token()
		return word, word != ""
	}
	var b strings.Builder
	for i := 1; i < len(r.rest); i++ {
		switch c := r.rest[i]; {
		case c == '"':
			r.rest = r.rest[i+1:]
			return b.String(), true
		case c == '\\' && i+1 < len(r.rest):
			i++
			b.WriteByte(r.rest[i])
		case c < ' ' && c != '\t' || c == 0x7f:
			return "", false
		default:
			b.WriteByte(c)
		}
	}
	return "", false
}

// spaces skips white space and reports whether there was any.
func (r *challengeReader) spaces() bool {
	before := len(r.rest)
	r.rest = strings.TrimLeft(r.rest, " \t")
	return len(r.rest) < before
}

// commas skips white space and commas, and reports whether there was a comma.
func (r *challengeReader) commas() bool {
	found := false
	for {
		r.spaces()
		if r.rest == "" || r.rest[0] != ',' {
			return found
		}
		r.rest, found = r.rest[1:], true
	}
}
