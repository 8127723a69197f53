package introspect

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bearergate/bearergate/internal/asmeta"
	"github.com/bearergate/bearergate/internal/clock"
	"github.com/bearergate/bearergate/internal/fetch"
	"github.com/bearergate/bearergate/internal/guard"
	"golang.org/x/sync/singleflight"
)

const (
	discoveryTTL = time.Hour // a metadata document older than this is read again
	discoveryMax = 2 * time.Hour

	// Between attempts to read it again that fail, while the last one serves.
	discoveryMinPause = time.Second
	discoveryMaxPause = time.Minute
	// A document is not in doubt before it is so old: one odd token, which the
	// server answers by 404, must not have it read on every call.
	doubtAfter = 10 * time.Second
)

// endpoint knows where the introspection endpoint is: by configuration, or from
// the issuer's metadata. It is safe for concurrent use.
type endpoint struct {
	url     string // as configured; "" when discovered
	request asmeta.Request
	client  *fetch.Client
	timeout time.Duration

	flight singleflight.Group
	found  atomic.Pointer[located]

	mu    sync.Mutex    // guards the rest
	pause time.Duration // after the last attempt, 0 if it did not fail
	next  time.Time     // none before
}

// located is what a metadata document said, immutable.
type located struct {
	url   string
	which int // of asmeta.URLs
	read  time.Time
}

func (l *located) age() time.Duration { return clock.Elapsed(l.read, time.Now()) }

func newEndpoint(c Config, client *fetch.Client, timeout time.Duration) *endpoint {
	e := &endpoint{url: c.Endpoint, client: client, timeout: timeout}
	insecure := c.InsecureAllowHTTP && !c.Auth.none()
	e.request = asmeta.Request{Issuer: c.Issuer, Check: func(d asmeta.Document) error {
		if d.IntrospectionEndpoint == "" {
			return errors.New("the document has no introspection_endpoint: set Endpoint, if the server has one")
		}
		if err := asmeta.CheckEndpoint(d.IntrospectionEndpoint, c.Issuer, insecure); err != nil {
			return errors.New("the document's introspection_endpoint " + err.Error() + ": set Endpoint, if the server has another")
		}
		return nil
	}}
	return e
}

// get returns the URL to call. A document older than discoveryTTL is read again,
// once for all callers, and nobody waits for that until it is older than
// discoveryMax.
func (e *endpoint) get(ctx context.Context) (string, error) {
	if e.url != "" {
		return e.url, nil
	}
	old := e.found.Load()
	if old != nil && old.age() < discoveryMax {
		if old.age() >= discoveryTTL {
			e.refresh(old)
		}
		return old.url, nil
	}
	// No pause between these attempts: they are calls, which the breaker paces.
	select {
	case r := <-e.start(old):
		if l := e.found.Load(); r.Err == nil {
			return l.url, nil
		}
		return "", r.Err
	case <-ctx.Done():
		return "", fetch.Fail(fetch.Timeout, e.request.Issuer, "no end of discovery in time: check that the issuer can be reached from here, or raise Timeout")
	}
}

func (e *endpoint) start(old *located) <-chan singleflight.Result {
	return e.flight.DoChan("", func() (any, error) { return nil, e.discover(old) })
}

// refresh reads the document again in the background, unless that has failed a
// moment ago.
func (e *endpoint) refresh(old *located) {
	e.mu.Lock()
	due := !time.Now().Before(e.next)
	e.mu.Unlock()
	if due {
		e.start(old)
	}
}

// doubt is called after a failed call: the endpoint may have moved.
func (e *endpoint) doubt() {
	if l := e.found.Load(); l != nil && l.age() >= doubtAfter {
		e.refresh(l)
	}
}

// discover reads the document. It takes half of the timeout at most, so that
// there is time for the call that waits for it.
func (e *endpoint) discover(old *located) error {
	ctx, cancel := context.WithTimeout(context.Background(), e.timeout/2)
	defer cancel()
	request := e.request
	if old != nil {
		request.First = old.which
	}
	found := &located{read: time.Now()}
	var failed error
	err := guard.Isolate(ctx, grace, func() {
		var doc asmeta.Document
		doc, found.which, failed = asmeta.Fetch(ctx, e.client, request)
		found.url = doc.IntrospectionEndpoint
	})
	if err == nil {
		err = failed
	} else {
		err = fetch.Fail(fetch.Panic, request.Issuer, err.Error())
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err != nil {
		e.pause = min(max(2*e.pause, discoveryMinPause), discoveryMaxPause)
		e.next = time.Now().Add(e.pause)
		return err
	}
	e.pause, e.next = 0, time.Time{}
	e.found.Store(found)
	return nil
}
