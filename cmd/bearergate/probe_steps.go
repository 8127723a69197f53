package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/jwtverify"
)

// The steps, in the order in which they are taken and told: a closed set, which labels metrics.
const (
	stepDiscovery   = "discovery"
	stepKeys        = "keys"
	stepToken       = "token"
	stepVerify      = "verify"
	stepAccepted    = "accepted"
	stepNoToken     = "no_token"
	stepSignature   = "signature"
	stepForbidden   = "forbidden"
	stepRevocation  = "revocation"
	stepCertificate = "certificate"
	stepClock       = "clock"
)

// maxTokenAnswer bounds the answer of the token endpoint, and with it the token.
const maxTokenAnswer = 64 << 10

// probe is one run. It is used by one goroutine.
type probe struct {
	config probeConfig
	wire   *wire

	keys     *jwks.Cache   // nil: there are none
	token    string        // "": there is none
	refused  bool          // the library has refused the token
	opens    bool          // the API has accepted the token
	stranger bool          // the API has accepted a request without a token
	revoked  time.Duration // how long after its revocation the API refused the token
	findings []finding
}

// run takes all steps. Those that depend on one that failed are skipped and say so.
func (p *probe) run(ctx context.Context) report {
	began := time.Now()
	limit := p.config.timeout
	if p.config.revoke {
		limit += p.config.revokedWithin
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	p.discover(ctx)
	p.take(ctx, stepToken, p.getToken)
	p.take(ctx, stepVerify, p.verify)
	p.take(ctx, stepAccepted, p.sendToken)
	p.take(ctx, stepNoToken, p.sendNoToken)
	p.take(ctx, stepSignature, p.sendMutated)
	p.take(ctx, stepForbidden, p.sendToForbidden)
	p.take(ctx, stepRevocation, p.revoke)
	r := report{Name: p.config.name, Began: began}
	r.expires, r.skews = p.wire.seen()
	p.findings = append(p.findings, judgeCertificates(r.expires, p.config, time.Now()), judgeClocks(r.skews, p.config))
	r.Steps = p.findings
	if p.done(stepRevocation) {
		r.revoked, r.hasRevoked = p.revoked, true
	}
	r.Took = time.Since(began)
	return r
}

// take takes one step and measures it.
func (p *probe) take(ctx context.Context, name string, do func(context.Context) finding) {
	began := time.Now()
	f := do(ctx)
	p.note(ctx, name, f, time.Since(began))
}

// note keeps what came of a step.
func (p *probe) note(ctx context.Context, name string, f finding, took time.Duration) {
	if f.State == stateUnknown && ctx.Err() != nil {
		f = undecided(reasonTimeout, "the time of the whole probe was over")
	}
	f.Step = name
	if f.State != stateSkipped {
		f.took, f.timed = took, true
	}
	p.findings = append(p.findings, f)
}

// done reports whether a step has passed.
func (p *probe) done(name string) bool {
	return slices.ContainsFunc(p.findings, func(f finding) bool {
		return f.Step == name && (f.State == stateOK || f.State == stateWarning)
	})
}

// fetching is what the library tells of its fetch, which may outlive the wait for it.
type fetching struct {
	mu      sync.Mutex // guards what follows
	event   jwks.FetchEvent
	skipped []string // at most as many as a set may have keys
}

func (f *fetching) hooks() jwks.Hooks {
	return jwks.Hooks{
		Fetched: func(_ context.Context, e jwks.FetchEvent) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.event = e
		},
		KeySkipped: func(_ context.Context, e jwks.KeyEvent) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.skipped = append(f.skipped, quoted(e.KeyID)+" ("+cut(strings.TrimPrefix(e.Err.Error(), "jose: "))+")")
		},
	}
}

// discover has the library find the metadata, and fetch and admit the keys: two steps, and
// one fetch. Which of them failed is known by whether the key set was asked for.
func (p *probe) discover(ctx context.Context) {
	began := time.Now()
	var f fetching
	config := jwks.Config{Issuer: p.config.issuer, URL: p.config.keysURL, MetadataURL: p.config.metadataURL,
		HTTPClient: &http.Client{Transport: discovering{p.wire, p.config.issuer, p.config.metadataURL}}, FetchTimeout: p.config.patience(), Hooks: f.hooks()}
	cache, err := jwks.New(config)
	if err != nil { // check has seen to the flags
		p.note(ctx, stepDiscovery, fault(string(bearergate.ReasonConfig), "the issuer, or the URL of the key set, cannot be used"), 0)
		return
	}
	err = cache.Refresh(ctx)
	ended := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	failure := undecided(reasonTimeout, "nobody waited for the end of it")
	if f.event.Err != nil {
		failure = ofFetch(f.event)
	}
	asked, reached := p.wire.keysAsked()
	switch {
	case p.config.keysURL != "":
		asked = began
		p.note(ctx, stepDiscovery, skipped(reasonNotAsked, "-keys-url stands in for the metadata"), 0)
	case !reached:
		p.note(ctx, stepDiscovery, failure, ended.Sub(began))
		p.note(ctx, stepKeys, skipped(reasonNotReached, "without metadata nobody knows where the keys are"), 0)
		return
	default:
		p.note(ctx, stepDiscovery, passed("the metadata are of this issuer"), asked.Sub(began))
	}
	skips := ""
	if len(f.skipped) > 0 {
		skips = "; skipped: " + cut(strings.Join(f.skipped, ", "))
	}
	if err != nil {
		failure.Detail += skips
		p.note(ctx, stepKeys, failure, ended.Sub(asked))
		return
	}
	p.keys = cache
	status := cache.Status()
	p.note(ctx, stepKeys, passed(counted(status.KeyCount, "usable key")+" for "+strings.Join(status.Algorithms, " ")+skips), ended.Sub(asked))
}

// endpoint is that of a flag, or of the metadata.
func (p *probe) endpoint(flag, member string) string {
	if flag != "" || !p.done(stepDiscovery) {
		return flag
	}
	var document map[string]json.RawMessage
	var text string
	_ = json.Unmarshal(p.wire.metadata(), &document)
	_ = json.Unmarshal(document[member], &text) // "" if it is no string
	return text
}

// getToken asks for a token by the client credentials grant (RFC 6749 §4.4).
func (p *probe) getToken(ctx context.Context) finding {
	switch {
	case p.config.clientID == "":
		return skipped(reasonNotAsked, "no -client-id")
	case p.config.tokenEndpoint == "" && p.config.keysURL == "" && !p.done(stepDiscovery):
		return skipped(reasonNotReached, "without metadata nobody knows where the token endpoint is")
	}
	form := url.Values{"grant_type": {"client_credentials"}}
	if p.config.scope != "" {
		form.Set("scope", p.config.scope)
	}
	for name, values := range map[string][]string{"resource": p.config.resources, "audience": p.config.askAudience} {
		if len(values) > 0 {
			form[name] = values
		}
	}
	body, f := p.postAsClient(ctx, serverToken, p.endpoint(p.config.tokenEndpoint, "token_endpoint"), form)
	if f != nil {
		return *f
	}
	var answer struct {
		AccessToken string `json:"access_token"`
		TokenType   string `json:"token_type"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || !isB64Token(answer.AccessToken) {
		return fault(reasonTokenMalformed, "the answer has no access_token that could be sent in a header")
	}
	if !strings.EqualFold(answer.TokenType, string(bearergate.SchemeBearer)) {
		return fault(reasonTokenType, "token_type is not Bearer")
	}
	p.token = answer.AccessToken
	kind := "an opaque token"
	if isJWT(p.token) {
		kind = "a JWT"
	}
	return passed(kind + " of " + counted(len(p.token), "byte"))
}

// postAsClient posts a form with the credentials of the client. It returns the body, or
// what went wrong, in words of ours alone: an error of the other side may repeat what it
// was sent.
func (p *probe) postAsClient(ctx context.Context, to server, endpoint string, form url.Values) ([]byte, *finding) {
	if endpoint == "" {
		f := fault(reasonNoEndpoint, "the metadata do not name the endpoint, and no flag does")
		return nil, &f
	}
	if err := sendable(endpoint); err != nil {
		f := fault(reasonEndpoint, "the URL of the endpoint "+err.Error())
		return nil, &f
	}
	ctx, cancel := context.WithTimeout(ctx, p.config.patience())
	defer cancel()
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"application/json"}}
	p.config.authenticate(header, form)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		f := fault(reasonEndpoint, "the URL of the endpoint cannot be used")
		return nil, &f
	}
	req.Header = header
	resp, err := p.wire.send(to, req)
	if err != nil {
		f := ofTransport(err)
		return nil, &f
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxTokenAnswer+1))
	said := "status " + strconv.Itoa(resp.StatusCode)
	kind, _, _ := strings.Cut(strings.ToLower(resp.Header.Get("Content-Type")), ";")
	isJSON := strings.TrimSpace(kind) == "application/json"
	var f finding
	switch status := resp.StatusCode; {
	case status >= 500 || status == http.StatusTooManyRequests:
		f = undecided(reasonUnreachable, said)
	case status >= 300 && status < 400:
		f = fault(string(jwks.OutcomeRedirect), said+": it was not followed")
	case status == http.StatusUnauthorized:
		f = fault(reasonClient, said)
	case status == http.StatusBadRequest && isJSON:
		f = refusedGrant(body)
	case status != http.StatusOK:
		f = fault(reasonStatus, said)
	case len(body) > maxTokenAnswer:
		f = fault(string(jwks.OutcomeTooLarge), said+", and more than "+counted(maxTokenAnswer, "byte"))
	case err != nil && ctx.Err() != nil:
		f = ofTransport(ctx.Err())
	case err != nil:
		f = fault(string(jwks.OutcomeTruncated), said+", and the answer broke off")
	case !isJSON && to == serverToken: // RFC 7009 §2.2: what a revocation endpoint writes says nothing
		f = fault(string(jwks.OutcomeContentType), said+", and not application/json")
	default:
		return body, nil
	}
	return nil, &f
}

// refusedGrant names an error code of RFC 6749 §5.2, RFC 8707 §2 or RFC 7009 §2.2.1.
// Any other is not repeated.
func refusedGrant(body []byte) finding {
	var answer struct {
		Error string `json:"error"`
	}
	_ = json.Unmarshal(body, &answer) // what is no JSON has no code
	reason := map[string]string{
		"invalid_client":         reasonClient,
		"unauthorized_client":    reasonGrant,
		"unsupported_grant_type": reasonGrant,
		"invalid_scope":          reasonScope,
		"invalid_target":         reasonTarget,
		"unsupported_token_type": reasonUnsupported,
		"invalid_request":        reasonRequest,
	}[answer.Error]
	if reason == "" {
		return fault(reasonRequest, "status 400 with an error code that is not of RFC 6749")
	}
	return fault(reason, "status 400, error "+answer.Error)
}

// verify has the library judge the token for the configured issuer and audience.
func (p *probe) verify(ctx context.Context) finding {
	switch {
	case p.token == "":
		return skipped(reasonNotReached, "there is no token")
	case !isJWT(p.token) && strings.Count(p.token, ".") != 4:
		return skipped(reasonOpaque, "an opaque token says nothing by itself: the API alone can tell")
	case len(p.config.audiences) == 0:
		return skipped(reasonNotAsked, "no -audience")
	case p.keys == nil:
		return skipped(reasonNotReached, "there are no keys")
	}
	v, err := jwtverify.New(jwtverify.Config{Issuer: p.config.issuer, Audiences: p.config.audiences, Keys: p.keys})
	if err != nil {
		return fault(string(bearergate.ReasonConfig), "the issuer or the audience cannot be used")
	}
	ctx, cancel := context.WithTimeout(ctx, p.config.patience())
	defer cancel()
	e := bearergate.Explain(ctx, v, p.token)
	if e.Err == nil {
		scopes := "no scopes"
		if e.Token.Scopes().Len() > 0 {
			scopes = "the scopes " + e.Token.Quoted(e.Token.Scopes().Names()...)
		}
		return passed("the token is good for " + e.Token.Quoted(e.Token.Audience()...) + ", with " + scopes)
	}
	f := fault(string(bearergate.ReasonOf(e.Err)), "")
	if errors.Is(e.Err, bearergate.ErrUnavailable) {
		f.State = stateUnknown
	} else {
		p.refused = true
	}
	if failing, ok := e.Failed(); ok {
		f.Detail = cut(failing.String())
	}
	if len(e.Advice) > 0 {
		f.Advice = e.Advice[0]
	}
	return f
}

// isJWT tells a token in three parts from an opaque one.
func isJWT(token string) bool { return strings.Count(token, ".") == 2 }

// mutated is the token with another signature, of the same length and alphabet: a
// server that looks at the form alone, or at a part of the token, does not see the
// difference. Of an opaque token, it is the last third that changes.
func mutated(token string) string {
	i := strings.LastIndexByte(token, '.')
	if isJWT(token) {
		if sig, err := base64.RawURLEncoding.DecodeString(token[i+1:]); err == nil && len(sig) > 0 {
			sig[len(sig)/2] ^= 1
			return token[:i+1] + base64.RawURLEncoding.EncodeToString(sig)
		}
	}
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567" // those of rand.Text
	b, text := []byte(token), rand.Text()
	change := func(at int) {
		if b[at] = text[at%len(text)]; b[at] == token[at] { // never the same
			b[at] = letters[(strings.IndexByte(letters, token[at])+1)%len(letters)]
		}
	}
	from := len(strings.TrimRight(token, "=")) * 2 / 3
	if isJWT(token) {
		from = i + 1 // what is signed stays as it is
	}
	for at := from; at < len(b); at++ {
		if b[at] != '.' && b[at] != '=' {
			change(at)
		}
	}
	if string(b) == token { // a form that no server issues
		change(0)
	}
	return string(b)
}

// isB64Token reports whether s can stand in an Authorization header (RFC 6750 §2.1).
func isB64Token(s string) bool {
	trimmed := strings.TrimRight(s, "=")
	return trimmed != "" && strings.Trim(trimmed, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~+/") == ""
}

// counted is "1 key", "2 keys".
func counted(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return strconv.Itoa(n) + " " + what
}

// judgeCertificates holds the earliest end of a certificate to the limits.
func judgeCertificates(expires map[server]time.Time, c probeConfig, now time.Time) finding {
	f := skipped(reasonPlain, "no server was reached over TLS")
	var first time.Time
	for _, s := range servers {
		at, ok := expires[s]
		if !ok || !first.IsZero() && !at.Before(first) {
			continue
		}
		first = at
		left := at.Sub(now)
		detail := fmt.Sprintf("%.1f days left, of the server of %s", left.Hours()/24, s)
		switch {
		case left <= 0:
			f = fault(reasonExpired, detail)
		case left < days(c.certificateFail):
			f = fault(reasonExpires, detail)
		case left < days(c.certificateWarn):
			f = warning(reasonExpires, detail)
		default:
			f = passed(detail)
		}
	}
	f.Step = stepCertificate
	return f
}

func days(n float64) time.Duration { return time.Duration(n * 24 * float64(time.Hour)) }

// judgeClocks holds the largest difference of a clock to the limit, as far as it is certain.
func judgeClocks(skews map[server]skew, c probeConfig) finding {
	f := skipped(reasonNoDate, "no answer had a Date of its own")
	most := time.Duration(-1)
	for _, s := range servers {
		by, ok := skews[s]
		if !ok || by.least() <= most && most >= 0 {
			continue
		}
		most = by.least()
		detail := fmt.Sprintf("%+.1f s ± %.1f s, of the server of %s", by.ahead.Seconds(), by.within.Seconds(), s)
		if most > c.maxSkew {
			f = fault(reasonSkew, detail)
		} else {
			f = passed(detail)
		}
	}
	f.Step = stepClock
	return f
}
