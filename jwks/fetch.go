package jwks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/asmeta"
	"github.com/bearergate/bearergate/internal/clock"
	"github.com/bearergate/bearergate/internal/fetch"
	"github.com/bearergate/bearergate/internal/guard"
	"github.com/bearergate/bearergate/internal/jose"
	"golang.org/x/sync/singleflight"
)

// result is what one attempt brought.
type result struct {
	set       *keySet
	same      bool // 304: the set that is held
	body      []byte
	url, etag string
	maxAge    time.Duration
	hasMaxAge bool
	age       time.Duration // of the answer, in caches on the way
	found     discovery
	skipped   []jose.Skipped
	server    fetch.Server // who answered, for the metadata and for the set
	err       error
}

// start is the one way to a fetch, for every trigger. There is one fetch at a
// time, shared by all who ask while it runs. seen is the number of the last
// attempt that had begun when the caller arrived; scheduled fetches ignore it.
func (c *Cache) start(ctx context.Context, t Trigger, seen uint64) <-chan singleflight.Result {
	return c.fly(ctx, t, seen, wanted{})
}

// startMiss is start for an unknown key.
func (c *Cache) startMiss(ctx context.Context, seen uint64, w wanted) <-chan singleflight.Result {
	return c.fly(ctx, TriggerUnknownKey, seen, w)
}

func (c *Cache) fly(ctx context.Context, t Trigger, seen uint64, w wanted) <-chan singleflight.Result {
	// The hooks see the values of the context that started the fetch, a trace for
	// example. The fetch itself does not: one request must not shape an answer
	// that is shared, and must not take it along when it goes away.
	ctx = context.WithoutCancel(ctx)
	return c.flight.DoChan("", func() (any, error) {
		c.busy.Store(true)
		defer c.busy.Store(false)
		return c.attempt(ctx, t, seen, w), nil
	})
}

// attempt returns the ID of its [FetchEvent], 0 if there was nothing to do.
func (c *Cache) attempt(ctx context.Context, t Trigger, seen uint64, w wanted) (id uint64) {
	v, t := c.begin(t, seen, w)
	if v == nil {
		return 0
	}
	id = rand.Uint64() | 1 // random, since hooks may serve several Caches
	began := v.started
	fetchCtx, cancel := context.WithTimeout(context.Background(), c.timeout)
	defer cancel()
	var loaded result
	err := guard.Isolate(fetchCtx, grace, func() { loaded = c.load(fetchCtx, v) })
	if err != nil { // loaded may still be written to: leave it alone
		outcome := fetch.Panic
		if errors.Is(err, guard.ErrLate) {
			outcome = fetch.Timeout
		}
		where := cmp.Or(v.url, c.url, c.issuer)
		loaded := result{url: v.url, found: v.found, err: fetch.Fail(outcome, where, err.Error()+": see the transport of HTTPClient, which has to end with its context")}
		loaded.found.suspect = true
		c.finish(ctx, id, t, began, loaded)
		return id
	}
	c.finish(ctx, id, t, began, loaded)
	return id
}

// begin decides once more whether to fetch, on the latest view: another fetch may
// have brought what was needed since the caller decided. It returns nil if there
// is nothing to do.
func (c *Cache) begin(t Trigger, seen uint64, w wanted) (*view, Trigger) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, now := c.view.Load(), c.clock()
	switch t {
	case TriggerUnknownKey:
		if v.begun > seen || v.missPause(now, w) > 0 {
			return nil, ""
		}
	case TriggerRefresh:
		if v.begun > seen || v.pause(now) > 0 {
			return nil, ""
		}
	default:
		state := v.state(now)
		if state == StateFresh || v.pause(now) > 0 {
			return nil, ""
		}
		switch {
		case v.failures > 0:
			t = TriggerRetry
		case state == StateEmpty:
			t = TriggerFirst
		case state == StateAhead:
			t = TriggerAhead
		default:
			t = TriggerDue
		}
	}
	v = v.next(now, t, w)
	c.view.Store(v)
	c.fetching.Store(true)
	return v, t
}

// finish puts the outcome of an attempt into the view, then tells the hooks.
func (c *Cache) finish(ctx context.Context, id uint64, t Trigger, began clock.Instant, r result) {
	c.mu.Lock()
	old, now := c.view.Load(), c.clock()
	var v *view
	event := FetchEvent{ID: id, Issuer: c.issuer, URL: fetch.Bare(r.url), Trigger: t, Start: began.Wall, Duration: now.Mono.Sub(began.Mono), Err: r.err, Server: bearergate.Server(r.server)}
	if r.err != nil {
		var failure *fetch.Error
		if !errors.As(r.err, &failure) {
			failure = fetch.Fail(fetch.Connect, r.url, "")
		}
		event.Outcome, event.Status, event.Detail = Outcome(failure.Outcome), failure.Status, failure.Detail()
		if failure.URL != "" {
			event.URL = failure.URL
		}
		if v = old.withFailure(now, r.err, failure.RetryAfter); c.sleptThrough(now.Since(began)) && !old.interrupted {
			// The process was stopped, or its machine slept. That says nothing about the server:
			// it is no outage, and whoever waits asks once more. A second one in a row counts: a
			// clock that jumps at every fetch must not have us ask without end.
			v, event.Outcome = old.withoutAttempt(), OutcomeInterrupted
		}
	} else {
		v = old.withSuccess(now, began, old.begun)
		event.Outcome = OutcomeNotModified
		if !r.same {
			event.Outcome = OutcomeOK
			r.set.appear(old.set, old.confirmed.Add(-old.cached), old.ttl)
		}
		v.set, v.body = r.set, r.body
		event.Added, event.Removed = r.set.diff(old.set)
		v.cached = r.age
		v.url, v.etag, v.ttl = r.url, r.etag, c.policy.lifetime(r.maxAge, r.hasMaxAge)
	}
	if event.Outcome != OutcomeInterrupted {
		v.found = r.found
	}
	event.KeyCount = v.set.len()
	c.view.Store(v)
	c.fetching.Store(false)
	c.mu.Unlock()

	if c.hooks.none() {
		return
	}
	// A hook that ends its goroutine or never returns must not take the waiters along.
	hookCtx, cancel := context.WithTimeout(context.Background(), c.timeout)
	defer cancel()
	_ = guard.Isolate(hookCtx, 0, func() {
		for _, s := range r.skipped {
			if c.hooks.KeySkipped != nil {
				c.hooks.KeySkipped(ctx, KeyEvent{Issuer: c.issuer, URL: fetch.Bare(r.url), Index: s.Index, KeyID: s.ID, Err: s.Err})
			}
		}
		if c.hooks.Fetched != nil {
			c.hooks.Fetched(ctx, event)
		}
		c.tell(ctx, v.state(now))
	})
}

// sleptThrough reports whether an attempt of this age has lasted longer than any can.
func (c *Cache) sleptThrough(age time.Duration) bool { return age > c.timeout+grace+frozenAfter }

// tell reports the state if it differs from the one told last. A state may change
// by time alone: that is told when a call notices it.
func (c *Cache) tell(ctx context.Context, state State) {
	if c.hooks.StateChanged == nil || c.told.Load() == state {
		return
	}
	c.mu.Lock()
	v := c.view.Load()
	from, to := c.told.Load().(State), v.state(c.clock())
	c.told.Store(to)
	c.mu.Unlock()
	if from != to {
		c.hooks.StateChanged(context.WithoutCancel(ctx), StateEvent{Issuer: c.issuer, URL: fetch.Bare(v.url), From: from, To: to, Err: v.err})
	}
}

// discovery is what is known of the issuer's metadata.
type discovery struct {
	doc     asmeta.Document
	which   int           // of asmeta.URLs
	read    clock.Instant // zero: never
	suspect bool          // its jwks_uri has failed since
}

// remote loads a set over HTTP.
type remote struct {
	client      *fetch.Client
	issuer, url string
	metadata    string // its URL; "": where the issuer says
	insecure    bool
	maxBytes    int64
	tolerance   time.Duration
	maxKeys     int
	uses        []string
	clock       func() clock.Instant
}

// load makes one attempt, and says who answered. A metadata document that is held has come
// with a certificate that will be needed again.
func (r *remote) load(ctx context.Context, v *view) result {
	out := r.attempt(ctx, v)
	metadata := out.found.doc.Server
	if out.found.read.Mono.Before(v.started.Mono) { // of an earlier attempt, by the clocks of then
		metadata = fetch.Server{CertificateExpires: metadata.CertificateExpires}
	}
	out.server = metadata.And(out.server)
	return out
}

// attempt asks for the metadata if they are needed, then for the set. v, which it does not
// change, is what is held.
func (r *remote) attempt(ctx context.Context, v *view) result {
	if r.url != "" {
		return r.get(ctx, v, r.url)
	}
	found, asked := v.found, false
	age := r.clock().Since(found.read)
	if found.suspect || age >= discoveryTTL {
		asked = true
		fresh, err := r.discover(ctx, found)
		switch {
		case err == nil:
			found = fresh
		case age >= discoveryTTL+r.tolerance:
			return result{found: found, err: err, server: serverOf(err)}
		}
		// A document that is not too old stays in use like keys that are not too
		// old: the metadata may be out of order while the set is not.
	}
	out := r.get(ctx, v, found.doc.JWKSURI)
	if out.err != nil {
		found.suspect = true
		if !asked && ctx.Err() == nil { // the set may have moved
			if fresh, err := r.discover(ctx, found); err == nil {
				if fresh.doc.JWKSURI != found.doc.JWKSURI {
					out = r.get(ctx, v, fresh.doc.JWKSURI)
				}
				fresh.suspect = out.err != nil
				found = fresh
			}
		}
	} else {
		found.suspect = false
	}
	out.found = found
	return out
}

func (r *remote) discover(ctx context.Context, last discovery) (discovery, error) {
	read := r.clock()
	doc, which, err := asmeta.Fetch(ctx, r.client, asmeta.Request{
		Issuer: r.issuer, URL: r.metadata, First: last.which, MaxBytes: r.maxBytes,
		Check: func(doc asmeta.Document) error {
			if doc.JWKSURI == "" {
				return errors.New("the document has no jwks_uri: name the key set by URL of jwks.Config, if the server has one")
			}
			if err := asmeta.CheckEndpoint(doc.JWKSURI, cmp.Or(r.metadata, r.issuer), r.insecure); err != nil {
				return fmt.Errorf("the document's jwks_uri %w; or name the key set by URL of jwks.Config", err)
			}
			return nil
		},
	})
	if err != nil {
		return last, err
	}
	return discovery{doc: doc, which: which, read: read}, nil
}

func (r *remote) get(ctx context.Context, v *view, url string) result {
	out := result{url: url}
	req := fetch.Request{URL: url, Accept: "application/jwk-set+json, application/json", MaxBytes: r.maxBytes, Type: func(t string) bool { return t == "" || fetch.IsDocument(t) }}
	if v.set != nil && v.url == url {
		req.ETag = v.etag
	}
	resp, err := r.client.Get(ctx, req)
	if err != nil {
		out.err, out.server = err, serverOf(err)
		return out
	}
	out.server = resp.Server
	out.etag, out.maxAge, out.hasMaxAge, out.age, out.same = resp.ETag, resp.MaxAge, resp.HasMaxAge, resp.Age, resp.NotModified
	if out.same {
		out.set, out.body = v.set, v.body // what the 304 is about: an Import may have replaced what is held
		return out
	}
	out.read(resp.Body, r.maxKeys, r.uses)
	return out
}

// serverOf is who answered with a failure.
func serverOf(err error) fetch.Server {
	if e, ok := errors.AsType[*fetch.Error](err); ok {
		return e.Server
	}
	return fetch.Server{}
}

// read admits a document: one that does not parse, or has no usable key, is a
// failed fetch and never replaces a good set.
func (r *result) read(body []byte, maxKeys int, uses []string) {
	set, skipped, err := parseSet(body, maxKeys, uses)
	r.skipped = skipped
	if err != nil {
		outcome := whatIsWrong(body, maxKeys)
		r.err = fetch.Fail(outcome, r.url, err.Error()+wayOut[outcome])
		return
	}
	r.set, r.body = set, body
}

// wayOut says what to look at when a document is no set that can be used.
var wayOut = map[fetch.Outcome]string{
	fetch.Malformed:   ": check that this is the URL or path of a JWK Set",
	fetch.TooManyKeys: ": raise MaxKeys of jwks.Config, if they are all the issuer's own",
	fetch.NoUsableKey: ": Hooks.KeySkipped says why, key by key; have the issuer publish one to verify signatures, or use the set that has it",
}
