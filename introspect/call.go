package introspect

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/accept"
	"github.com/bearergate/bearergate/internal/fetch"
	"github.com/bearergate/bearergate/internal/guard"
)

const (
	grace      = time.Second / 10      // for an HTTP client to notice that its context has ended
	retryPause = 50 * time.Millisecond // before the one retry, and up to as much again
	retryAfter = time.Second           // what a refused caller is told at least
	maxTelling = 1024                  // hooks at once, so that one that hangs cannot gather goroutines
)

// outcome is what one shared call brought.
type outcome struct {
	entry     *entry // nil if err is not
	err       error
	outage    bool   // a stale answer may stand in
	stored    bool   // the Store had it
	elsewhere bool   // another process asks: there is neither an entry nor an error
	order     uint64 // the place of its beginning among all calls and callers
	id        uint64 // of its CallEvents; 0: only the Store was asked
}

// failure is why there is no answer.
type failure struct {
	outcome    Outcome
	status     int
	retryAfter time.Duration
	ours       bool              // our own configuration is at fault
	detail     string            // in our own words; "": see cause
	cause      error             // holds no token, secret or body
	own        *bearergate.Error // what a function of the user's made of it; nil: none was asked
	noAnswer   bool              // of own: whom the function asks has not answered, as its error proves
	frozen     bool              // the process stood still meanwhile: it says nothing about the server
}

// down reports a failure of the infrastructure, which feeds the breaker. An
// answer that is nonsense, or a 400, is about this one token, or we have no way to tell.
func (f *failure) down() bool {
	switch f.outcome {
	case OutcomeConnect, OutcomeTLS, OutcomeTimeout, OutcomeDiscovery, outcomeOpen:
		return true
	case OutcomeStatus:
		return f.status == http.StatusTooManyRequests || f.status >= http.StatusInternalServerError
	case OutcomeAsk:
		return f.noAnswer
	}
	return false
}

// outage reports that a stale answer may stand in: whatever has failed, it was not for what
// the server thinks of this token. An error of Ask that does not prove an outage says
// nothing to the breaker, for a token may have caused it. It may be one all the same: many
// clients have errors of their own for that.
func (f *failure) outage() bool {
	switch f.outcome {
	case OutcomeTruncated, OutcomeContentType, OutcomeRedirect, OutcomeKeys, OutcomePanic: // a page of a proxy's, for example
		return true
	case OutcomeCredentials: // nobody could make them
		return !f.ours
	case OutcomeStatus:
		return f.down() || f.status == http.StatusNotFound || f.status == http.StatusMethodNotAllowed || f.status == http.StatusGone
	case OutcomeAsk:
		return errors.Is(f.own.Kind, bearergate.ErrUnavailable)
	}
	return f.down()
}

// decided reports that the server has said something of this token. Whatever else comes may
// be a firewall's, which strangers can ask at will: it must not count for the server.
func (f *failure) decided() bool {
	return f.outcome == OutcomeMap || f.outcome == OutcomeAsk && f.alive()
}

// alive reports that something has answered about a token of our own, which nobody can make
// to order.
func (f *failure) alive() bool {
	switch f.outcome {
	case OutcomeMalformed, OutcomeTooLarge, OutcomeMap:
		return true
	case OutcomeAsk:
		// Whatever else it says of a token. An error that neither counted nor closed would
		// fail the probe: whoever sends odd tokens would keep the breaker open for ever.
		return !f.noAnswer && !errors.Is(f.own.Kind, bearergate.ErrMisconfigured)
	}
	return f.status != 0 && !f.down() && !f.barred()
}

// barred reports a 401 or 403: whether the server has said it, or a firewall in front of it,
// cannot be told.
func (f *failure) barred() bool {
	return f.status == http.StatusUnauthorized || f.status == http.StatusForbidden
}

func (f *failure) gateway() bool {
	return f.status == http.StatusBadGateway || f.status == http.StatusServiceUnavailable || f.status == http.StatusGatewayTimeout
}

// again reports whether a second try may help. It does no harm: introspection
// changes nothing at the server.
func (f *failure) again() bool {
	return f.outcome == OutcomeConnect || f.gateway() && f.retryAfter == 0
}

// err says whose fault it is: our configuration's or the outage's, never the token's.
func (f *failure) err() error {
	if f.own != nil {
		e := *f.own
		if errors.Is(e.Kind, bearergate.ErrUnavailable) {
			e.RetryAfter = max(e.RetryAfter, retryAfter)
		}
		return &e
	}
	e := &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonIntrospectionUnavailable,
		RetryAfter: max(f.retryAfter, retryAfter), Detail: "introspect: " + string(f.outcome)}
	if f.detail != "" {
		e.Detail += ": " + f.detail
	}
	e.Cause = f.cause
	if under, ok := f.cause.(*fetch.Error); ok { //nolint:errorlint // this very one is told in two parts
		e.Cause = rest{under}
	}
	switch {
	case f.outcome == outcomeOverloaded:
		e.Reason = bearergate.ReasonOverloaded
	case f.ours, f.outcome == OutcomeUnauthorized: // the server refuses us, not the token (RFC 7662 §2.3)
		e.Kind, e.Reason, e.RetryAfter = bearergate.ErrMisconfigured, bearergate.ReasonConfig, 0
	case f.outcome == OutcomeKeys:
		e.Reason = bearergate.ReasonKeysUnavailable
	}
	return e
}

// rest is the cause of an error whose Outcome and Detail are told already.
type rest struct{ of *fetch.Error }

func (r rest) Error() string { return r.of.Rest() }
func (r rest) Unwrap() error { return r.of }

// resolve is the shared call: the Store, then the authorization server, twice
// if that may help. All code that is not ours runs isolated in it.
func (c *Client) resolve(hookCtx context.Context, fl *flight, m *memory, name key, raw string, ahead *entry) (o outcome) {
	o.order = c.order.Add(1)
	var events news // collected: a slow hook takes none of the call's time
	defer func() { c.tell(hookCtx, events...) }()
	if c.vault != nil {
		if e := c.recallIsolated(&events, name); e != nil && (ahead == nil || e.said.After(ahead.said)) {
			c.remember(fl, m, name, e)
			o.entry, o.stored = e, true
			return o
		}
		if ahead != nil && !c.claim(&events, name) {
			ahead.later(time.Now())
			o.elsewhere = true
			return o
		}
	}
	o.id = newCallID()
	o, slept := c.inquire(hookCtx, &events, fl, m, name, raw, o)
	if slept { // once more, or whoever comes when the process is woken would learn nothing
		o, _ = c.inquire(hookCtx, &events, fl, m, name, raw, o)
	}
	return o
}

// inquire asks the authorization server, twice if that may help, and completes o. It reports
// whether the process has slept meanwhile, so that o says nothing.
func (c *Client) inquire(hookCtx context.Context, events *news, fl *flight, m *memory, name key, raw string, o outcome) (_ outcome, slept bool) {
	// Detached: the answer is for all who wait. And from now on: a Store that
	// hangs must not look like a server that does.
	ctx, cancel := context.WithTimeout(context.Background(), c.timeout)
	defer cancel()
	for attempt := 1; ; attempt++ {
		r, f := c.attempt(ctx, hookCtx, events, fl, o.id, raw, attempt)
		if f == nil {
			c.noteUnmapped(events, r)
			if c.remember(fl, m, name, r.entry) {
				c.share(hookCtx, fl, m, name, r)
			}
			return outcome{entry: r.entry, order: o.order, id: o.id}, false
		}
		// The second try decides: a server that answers it is up. If there was no
		// slot for a second try, the first one decides.
		o.err, o.outage = f.err(), f.outage() || f.outcome == outcomeOverloaded && (o.outage || !c.breaker.trusted(time.Now()))
		if attempt == 2 || !f.again() || !pause(ctx, retryPause+rand.N(retryPause)) {
			c.leaveAlone(fl, m, name, o, f)
			return o, f.frozen
		}
	}
}

// noteUnmapped tells of the paths that Map looks for and no answer has.
func (c *Client) noteUnmapped(events *news, r reply) {
	if r.entry.refusal != nil {
		return
	}
	never, tokens := c.unmapped.Note(r.misses)
	for _, path := range never {
		events.add(func(ctx context.Context) {
			c.hooks.Unmapped(ctx, bearergate.UnmappedEvent{Issuer: c.issuer, Path: path, Tokens: tokens})
		})
	}
}

// newCallID is random, since hooks may serve several Clients, and not 0.
func newCallID() uint64 { return rand.Uint64() | 1 }

func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// reply is what a call to the server brought: an answer, or the reason for none.
type reply struct {
	entry  *entry
	body   []byte        // the answer as the server gave it, for the Store
	misses []string      // what Map did not find in it
	life   time.Duration // how long it may be remembered there
	status int
	server fetch.Server // who answered, also where that is a failure
}

// attempt makes one call, if the breaker and the number of calls allow it. fl is the flight
// that it belongs to; nil: none.
func (c *Client) attempt(ctx, hookCtx context.Context, events *news, fl *flight, id uint64, raw string, attempt int) (reply, *failure) {
	if f := c.breaker.blocked(time.Now()); f != nil { // before waiting for a slot
		return reply{}, f
	}
	arrived := time.Now()
	if f := c.acquire(ctx, fl); f != nil {
		f.frozen = c.frozen(arrived)
		return reply{}, f
	}
	f, test, changed := c.breaker.admit(time.Now(), c.timeout+2*grace)
	if test {
		var before news // told before what the test changes
		c.breakerChanged(&before, changed)
		c.tell(hookCtx, before...)
		half := time.NewTimer(c.timeout / 2) // something may let unknown tokens hang, and answer about this one
		select {
		case <-c.askOwn(hookCtx).done:
		case <-half.C:
		case <-ctx.Done():
		}
		half.Stop()
		f = c.breaker.blocked(time.Now())
	}
	if f != nil && (!test || ctx.Err() != nil) {
		c.release()
		return reply{}, f
	}
	// Whoever made the test asks, whatever came of it: where something answers unknown tokens
	// by an error, a token of our own proves nothing, and only a real one can.
	blocked := f

	event := CallEvent{ID: id, Issuer: c.issuer, Attempt: attempt, Start: time.Now().Round(0)}
	start := time.Now()
	r, f := c.isolated(ctx, raw, c.release)
	took := start.Add(time.Since(start))
	suspect := false
	switch {
	case c.frozen(start):
		// An answer too: how old it is, nobody knows.
		r, f = reply{}, &failure{outcome: OutcomeTimeout, detail: "the process stood still meanwhile", frozen: true}
	case f == nil && blocked != nil:
		c.breakerChanged(events, c.breaker.proved(time.Now()))
	case f == nil:
		c.breaker.report(time.Now(), true, false)
	case blocked != nil: // it fails alike
		c.called(events, event, took.Sub(start), r, f)
		return reply{}, blocked
	default:
		if f.outcome == OutcomeUnauthorized {
			f = c.refused(ctx, hookCtx, f)
		}
		// The retry of a failure that is counted already does not count: one odd token
		// must not weigh twice.
		suspect = c.breaker.report(time.Now(), f.decided(), f.down() && attempt == 1)
	}
	c.called(events, event, took.Sub(start), r, f)
	if suspect {
		c.suspect(ctx, hookCtx)
	}
	return r, f
}

// called tells of a call.
func (c *Client) called(events *news, event CallEvent, took time.Duration, r reply, f *failure) {
	if c.hooks.Called == nil {
		return
	}
	event.Duration, event.Status, event.Server = took, r.status, bearergate.Server(r.server)
	switch {
	case f != nil:
		event.Outcome, event.Status, event.Err = f.outcome, f.status, f.err()
	case r.entry.active:
		event.Outcome = OutcomeActive
	default:
		event.Outcome = OutcomeInactive
	}
	events.add(func(ctx context.Context) { c.hooks.Called(ctx, event) })
}

// isolated makes one call. Foreign code in it, such as the HTTP client, may panic,
// end its goroutine or ignore its context.
func (c *Client) isolated(ctx context.Context, raw string, release func()) (reply, *failure) {
	type result struct {
		r reply
		f *failure
	}
	done := make(chan result, 1)
	err := guard.Isolate(ctx, grace, func() {
		// Here, not after Isolate: a client that is deaf to its context keeps its
		// slot, so that no more than Calls.Max of it can ever hang.
		defer release()
		r, f := c.call(ctx, raw)
		done <- result{r, f}
	})
	switch {
	case err == nil:
		result := <-done
		return result.r, result.f
	case errors.Is(err, guard.ErrLate):
		return reply{}, &failure{outcome: OutcomeTimeout, cause: err}
	}
	return reply{}, &failure{outcome: OutcomePanic, cause: err}
}

// acquire waits for one of the slots for calls, but not for long, and not for nobody.
func (c *Client) acquire(ctx context.Context, fl *flight) *failure {
	var left <-chan struct{}
	if fl != nil {
		left = fl.left
	}
	timer := time.NewTimer(c.maxWait)
	defer timer.Stop()
	select {
	case c.slots <- struct{}{}:
		if fl == nil || c.flights.begin(fl) {
			return nil
		}
		c.release()
		return overloaded("nobody waits any more")
	case <-left:
		return overloaded("nobody waits any more")
	case <-timer.C:
	case <-ctx.Done():
	}
	return overloaded("as many calls are under way as Calls.Max says")
}

func (c *Client) release() { <-c.slots }

// call asks the authorization server, and judges what it answers.
func (c *Client) call(ctx context.Context, raw string) (reply, *failure) {
	var body []byte
	var server fetch.Server
	var f *failure
	if c.ask != nil {
		body, f = c.askFunction(ctx, raw)
	} else {
		var status int
		if body, status, server, f = c.askEndpoint(ctx, raw); f == nil && status == http.StatusBadRequest {
			r, f := c.onBadRequest(body)
			r.server = server
			return r, f
		}
	}
	if f != nil {
		return reply{server: server}, f
	}
	var r accept.Reading
	quoted := quotes(body, raw)
	v, f := c.decide(body, quoted, &r)
	if f != nil {
		return reply{body: body, server: server}, f
	}
	e, life := c.newEntry(v, time.Now(), 0)
	if quoted {
		// Some servers make the token its own jti. A token is kept nowhere, so
		// neither is such an answer.
		e.fresh, e.keep, life = 0, 0, 0
		if e.refusal != nil {
			e.refusal = discreet(bearergate.AsError(e.refusal))
		}
	}
	misses := v.claims.Missing
	if slices.ContainsFunc(misses, func(path string) bool { return quotes([]byte(path), raw) }) { // a Map of somebody's that names what it was given
		misses = nil
	}
	return reply{entry: e, body: body, life: life, status: c.status, server: server, misses: misses}, nil
}

// askEndpoint makes the request of RFC 7662 §2.1. The status is 200, or 400 with a body
// that is JSON. It says who answered, also where that is a failure.
func (c *Client) askEndpoint(ctx context.Context, raw string) (body []byte, status int, server fetch.Server, f *failure) {
	where, err := c.endpoint.get(ctx)
	if err != nil {
		f, _ := failed(err)
		return nil, 0, server, &failure{outcome: OutcomeDiscovery, cause: err, detail: f.detail}
	}
	to := &credentials{issuer: c.issuer, header: http.Header{}, form: url.Values{"token": {raw}}}
	if c.hint != "" {
		to.form.Set("token_type_hint", c.hint)
	}
	if err := c.auth.apply(ctx, to); err != nil {
		return nil, 0, server, &failure{outcome: OutcomeCredentials, ours: errors.Is(err, bearergate.ErrMisconfigured), cause: errors.New(err.Error())}
	}
	resp, err := c.http.Post(ctx, fetch.PostRequest{URL: where, Accept: c.signing.accept(), Header: to.header, Form: to.form,
		MaxBytes: c.maxResponseBytes, Type: c.signing.allows, Also: http.StatusBadRequest})
	if err != nil {
		f, server := failed(err)
		f.detail += c.adviceOn(f.status)
		if f.down() || f.status == http.StatusNotFound || f.outcome == OutcomeRedirect {
			c.endpoint.doubt()
		}
		return nil, 0, server, f
	}
	body, server = resp.Body, resp.Server
	if resp.MediaType == typeSigned { // of a 200: a 400 is JSON
		if body, f = c.unwrap(ctx, body); f != nil {
			f.status = http.StatusOK
			return nil, 0, server, f
		}
	}
	return body, resp.Status, server, nil
}

// errAsk is what an error of Ask becomes that says nothing by itself.
var errAsk = &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonIntrospectionUnavailable,
	Detail: "Ask has failed with an error that does not say at whose fault", Cause: errors.New("introspect: Ask")}

// askFunction asks Config.Ask.
func (c *Client) askFunction(ctx context.Context, raw string) (body []byte, f *failure) {
	var said error
	err := bearergate.Guard(ctx, errAsk, func(ctx context.Context) error {
		body, said = c.ask(ctx, raw)
		return said
	})
	switch {
	case err == nil && int64(len(body)) > c.maxResponseBytes:
		return nil, &failure{outcome: OutcomeTooLarge, detail: "the answer of Ask is longer than Calls.MaxResponseBytes"}
	case err == nil:
		return bytes.Clone(body), nil // the function may go on writing to its own
	case ctx.Err() != nil && errors.Is(err, bearergate.ErrUnavailable):
		return nil, &failure{outcome: OutcomeTimeout, detail: "Ask has not answered in time"}
	}
	own := *bearergate.AsError(err)
	noAnswer := errors.Is(own.Kind, bearergate.ErrUnavailable) && (bearergate.ReasonOf(said) != "" || peerFailed(said))
	if own.Cause != nil {
		// In words alone: a deadline of the function's is not the caller's, who may be
		// one of many.
		own.Cause = errors.New(own.Cause.Error())
	}
	if quotes([]byte(own.Error()), raw) { // with a URL, for example, or as what was not found
		own = bearergate.Error{Kind: own.Kind, Reason: own.Reason, RetryAfter: own.RetryAfter,
			Cause: fmt.Errorf("introspect: Ask: a %T whose text holds the token", err)}
	}
	return nil, &failure{outcome: OutcomeAsk, own: &own, noAnswer: noAnswer}
}

// peerFailed reports whether an error of Ask, one that is none of the sentinels, proves
// that whom it asks, or the way there, is at fault. Others may be about this one token, and
// five odd tokens must not shut everybody out: a [url.Error] is what came before anything
// was sent too, for example of a token that is longer than a server takes in a header.
func peerFailed(err error) bool {
	var (
		operation   *net.OpError
		lookUp      *net.DNSError
		timed       net.Error
		certificate *tls.CertificateVerificationError
		record      tls.RecordHeaderError
		exchange    *url.Error
	)
	return errors.As(err, &operation) || errors.As(err, &lookUp) ||
		errors.As(err, &timed) && timed.Timeout() || // among these, the passed deadlines of contexts
		errors.As(err, &certificate) || errors.As(err, &record) ||
		errors.As(err, &exchange) && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)) // alone, they may be those of a decoder
}

// discreet is an error about an answer that quotes the token, without what may be the member
// that does. What a Map says of it, [accept.Mapped] withholds.
func discreet(e *bearergate.Error) *bearergate.Error {
	own := *e
	own.Found, own.Refused = "", nil
	return &own
}

// quotes reports whether an answer holds the token, be it in a longer text, in a
// link, or in JSON within JSON.
func quotes(body []byte, raw string) bool {
	token := []byte(raw)
	for levels := 3; ; levels-- { // of escapes: nobody nests more of them by accident
		switch {
		case bytes.Contains(body, token):
			return true
		case levels == 0 || !bytes.ContainsAny(body, `\%`):
			return false
		}
		body = unescape(body)
	}
}

// unescape takes away one level of the escapes of JSON and of URLs, as far as
// they stand for ASCII, which a token is.
func unescape(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for len(text) > 0 {
		c, n := text[0], 1
		switch {
		case bytes.HasPrefix(text, []byte(`\u00`)):
			c, n = hexByte(text, len(`\u00`))
		case c == '%':
			c, n = hexByte(text, len("%"))
		case c == '\\' && len(text) > 1:
			c, n = text[1], 2
		}
		out, text = append(out, c), text[n:]
	}
	return out
}

// hexByte returns what the two hexadecimal digits after a prefix of text stand
// for, and the length of both; without digits, the first byte of text.
func hexByte(text []byte, prefix int) (byte, int) {
	if end := prefix + 2; len(text) >= end {
		if c, err := strconv.ParseUint(string(text[prefix:end]), 16, 8); err == nil {
			return byte(c), end
		}
	}
	return text[0], 1
}

// failed translates an error of package fetch, and says who answered.
func failed(err error) (*failure, fetch.Server) {
	f := &failure{outcome: OutcomeConnect, cause: err}
	var e *fetch.Error
	if !errors.As(err, &e) {
		return f, fetch.Server{}
	}
	f.status, f.retryAfter, f.detail = e.Status, e.RetryAfter, e.Detail()
	switch e.Outcome {
	case fetch.Status:
		f.outcome = OutcomeStatus
		if e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden {
			f.outcome = OutcomeUnauthorized
		}
	case fetch.TLS:
		f.outcome = OutcomeTLS
	case fetch.Timeout:
		f.outcome = OutcomeTimeout
	case fetch.Redirect:
		f.outcome = OutcomeRedirect
		f.status = max(f.status, http.StatusMultipleChoices) // not told which, if the HTTP client would have followed
	case fetch.ContentType:
		f.outcome, f.status = OutcomeContentType, http.StatusOK
	case fetch.TooLarge:
		f.outcome, f.status = OutcomeTooLarge, http.StatusOK
	case fetch.Truncated:
		f.outcome, f.status = OutcomeTruncated, http.StatusOK
	}
	return f, e.Server
}

// adviceOn says what a status is about that an endpoint of ours should not have.
func (c *Client) adviceOn(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return c.auth.refused()
	case http.StatusForbidden:
		return ": our client may not ask, or a firewall says no: look at the rights of the client at the server, and at the log of what stands in front of it"
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusGone:
		return ": no introspection endpoint is there: check Endpoint, or the metadata that it comes from"
	}
	return ""
}

// news is what the hooks are told at the end of a shared call.
type news []func(context.Context)

func (n *news) add(hook func(context.Context)) { *n = append(*n, hook) }

// tell calls hooks from a shared call. A hook that ends its goroutine or never
// returns must not take the waiters of the call along: all hooks together get a
// tenth of a second, and while maxTelling of them hang, no more are called.
func (c *Client) tell(hookCtx context.Context, hooks ...func(context.Context)) {
	if len(hooks) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	for _, hook := range hooks {
		select {
		case c.telling <- struct{}{}:
			_ = guard.Isolate(ctx, 0, func() {
				defer func() { <-c.telling }()
				hook(hookCtx)
			})
		default: // maxTelling hooks hang
		}
	}
}

func (c *Client) breakerChanged(events *news, ch change) {
	if ch.from != ch.to && c.hooks.BreakerChanged != nil {
		events.add(func(ctx context.Context) {
			c.hooks.BreakerChanged(ctx, BreakerEvent{Issuer: c.issuer, From: ch.from, To: ch.to, Wait: ch.wait, Outcome: ch.outcome})
		})
	}
}
