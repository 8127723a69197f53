// Package inbox is what the feeds of revocation have in common: a request's body within
// bounds, the statements that were taken before, and adding to the list.
package inbox

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/guard"
	"github.com/bearergate/bearergate/internal/mistake"
	"github.com/bearergate/bearergate/internal/strictjson"
	"github.com/bearergate/bearergate/internal/ttlcache"
	"github.com/bearergate/bearergate/revocation"
)

// The defaults and bounds of what feeds have in common.
const (
	DefaultMaxConcurrent = 64
	MaxConcurrentLimit   = 10_000
	DefaultMaxRemembered = 10_000
	MaxRememberedLimit   = 1_000_000
	DefaultAddTimeout    = 5 * time.Second
	MaxAddTimeout        = time.Minute
	// BodyTimeout is how long a body may take to arrive.
	BodyTimeout = 10 * time.Second
	// Remembered is how long a statement that was taken is known by its jti.
	Remembered = time.Hour
)

// List is what is fed: a [revocation.List].
type List interface {
	Add(ctx context.Context, entries ...revocation.Entry) error
}

// Config says how much an Inbox takes.
type Config struct {
	Package       string // whose errors these are
	List          List
	Source        string
	MaxConcurrent int
	MaxRemembered int
	AddTimeout    time.Duration
	// Panicked is told of a function of the user's that panicked; nil: nobody is.
	Panicked func(context.Context, bearergate.PanicEvent)
}

// Inbox passes on to a list what was verified. It is safe for concurrent use.
type Inbox struct {
	pkg      string
	list     List
	source   string
	timeout  time.Duration
	slots    chan struct{}
	seen     *ttlcache.Cache[struct{}]
	names    *ttlcache.Namer
	panicked func(context.Context, bearergate.PanicEvent)
}

// New returns an Inbox, and adds what is wrong with the configuration.
func New(wrong *mistake.List, c Config) *Inbox {
	if guard.IsNil(c.List) {
		wrong.Addf("List is nil: give the revocation.List that your verifiers ask")
	}
	if err := checkSource(c.Source); err != nil {
		wrong.Addf("Source cannot be used: %v", err)
	}
	mistake.Between(wrong, "MaxConcurrent", &c.MaxConcurrent, DefaultMaxConcurrent, 1, MaxConcurrentLimit)
	mistake.Between(wrong, "MaxRemembered", &c.MaxRemembered, DefaultMaxRemembered, 1, MaxRememberedLimit)
	mistake.Between(wrong, "AddTimeout", &c.AddTimeout, DefaultAddTimeout, 1, MaxAddTimeout)
	if wrong.Err() != nil {
		return nil
	}
	var secret [32]byte
	_, _ = rand.Read(secret[:]) // never fails
	return &Inbox{
		pkg: c.Package, panicked: c.Panicked, list: c.List, source: c.Source, timeout: c.AddTimeout, slots: make(chan struct{}, c.MaxConcurrent),
		seen: ttlcache.New[struct{}](c.MaxRemembered, int64(c.MaxRemembered)), names: ttlcache.NewNamer(secret),
	}
}

// checkSource has a list of its own say what is wrong: the rule stands there.
func checkSource(source string) error {
	list, err := revocation.New(revocation.Config{MaxTokenLife: time.Minute})
	if err != nil {
		return err
	}
	if err = list.Add(context.Background(), revocation.Entry{Issuer: "i", TokenID: "t", Source: source}); err != nil {
		return bearergate.AsError(err).Cause
	}
	return nil
}

// Enter takes one of MaxConcurrent places, to be left again, or says that there is none.
// Nobody waits: the sender tries again.
func (b *Inbox) Enter() (leave func(), err error) {
	select {
	case b.slots <- struct{}{}:
		return func() { <-b.slots }, nil
	default:
		return nil, &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonOverloaded, RetryAfter: time.Second,
			Detail: b.pkg + ": MaxConcurrent statements are being taken already"}
	}
}

// Within bounds what the user's functions and the list take together: AddTimeout.
func (b *Inbox) Within(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, b.timeout)
}

// Seen reports a statement that was taken before. jti is unique for its issuer, and an
// Inbox is of one.
func (b *Inbox) Seen(id string) bool {
	_, seen := b.seen.Get(b.names.Name(id), time.Now())
	return seen
}

// Remember notes a statement that was taken, and acknowledged for good: not before the list
// has what it says. One that is forgotten, because there are too many, or an hour has
// passed, is taken again, which does no harm: its time is what it was.
func (b *Inbox) Remember(id string) {
	b.seen.Add(b.names.Name(id), struct{}{}, 1, time.Now(), Remembered)
}

// CutOff is the time of an event, by the clock of whoever states it: the earlier one of
// what it says and of now. Now is that of a clock which may be as far ahead of ours as a
// verifier may bear with: were it cut off earlier, tokens of that issuer that are as new
// would outlive their revocation. It comes from the statement, so that one that is sent
// again ends nothing that has begun since.
func CutOff(at time.Time) time.Time {
	if latest := time.Now().Add(revocation.MaxLeeway); at.After(latest) {
		return latest
	}
	return at
}

// Add adds entries in the name of Source, none with a later time than cutOff.
func (b *Inbox) Add(ctx context.Context, cutOff time.Time, entries []revocation.Entry) error {
	own := make([]revocation.Entry, len(entries))
	for i, e := range entries {
		if e.Before.IsZero() || e.Before.After(cutOff) {
			e.Before = cutOff
		}
		if e.Source == "" {
			e.Source = b.source
		}
		own[i] = e
	}
	return b.Ask(ctx, "List", func(ctx context.Context) error { return b.list.Add(ctx, own...) })
}

// Ask calls a function of the user's by the rule of [bearergate.Guard]. An error that says
// nothing else is an outage: the sender is to try again.
func (b *Inbox) Ask(ctx context.Context, where string, f func(context.Context) error) error {
	otherwise := &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonStoreUnavailable, Cause: errors.New(b.pkg + ": " + where)}
	return bearergate.Guard(ctx, otherwise, func(ctx context.Context) error {
		return b.Guard(ctx, where, func() error { return f(ctx) })
	})
}

// Guard makes a panic of f an error, and tells of it.
func (b *Inbox) Guard(ctx context.Context, where string, f func() error) error {
	return guard.Call(f, func(p guard.PanicError) error {
		if b.panicked != nil {
			b.panicked(ctx, bearergate.PanicEvent{Where: where, Type: p.Type})
		}
		return &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonInternal, Cause: fmt.Errorf("%s: %s %w", b.pkg, where, p)}
	})
}

// IsType reports whether the body of a request is of a media type, without a coding over it.
func IsType(r *http.Request, mediaType string) bool {
	values, codings := r.Header.Values("Content-Type"), r.Header.Values("Content-Encoding")
	if len(values) != 1 || len(codings) > 0 {
		return false
	}
	got, _, err := mime.ParseMediaType(values[0])
	return err == nil && got == mediaType
}

// Bound has the body of a request arrive within BodyTimeout, or be given up: by Body, and by
// net/http itself, which reads what nobody has asked for before it answers. Where the
// connection has no deadlines, the server bounds the wait. It ends with the body: net/http
// takes it away before it goes on reading to notice that the client leaves.
func Bound(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(BodyTimeout))
}

// Body reads the body of a request that is bound by Bound, which may be at most limit bytes
// long. With an error it returns the status of the answer.
func Body(w http.ResponseWriter, r *http.Request, limit int64) (body []byte, status int, err error) {
	body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var over *http.MaxBytesError
	switch {
	case err == nil:
		return body, 0, nil
	case errors.As(err, &over):
		return nil, http.StatusRequestEntityTooLarge, &bearergate.Error{Kind: bearergate.ErrInvalidRequest, Reason: bearergate.ReasonTooLarge, Detail: "the body is longer than MaxBodyBytes"}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, http.StatusRequestTimeout, &bearergate.Error{Kind: bearergate.ErrInvalidRequest, Reason: bearergate.ReasonBadRequest, Detail: "the body did not arrive in time"}
	}
	return nil, http.StatusBadRequest, &bearergate.Error{Kind: bearergate.ErrInvalidRequest, Reason: bearergate.ReasonBadRequest, Detail: "the body did not arrive whole"}
}

// Status is that of the answer to an error: an outage is never the sender's fault, who would
// give up.
func Status(err error) int {
	switch {
	case errors.Is(err, bearergate.ErrInvalidToken), errors.Is(err, bearergate.ErrInvalidRequest):
		return http.StatusBadRequest
	case errors.Is(err, bearergate.ErrMisconfigured):
		return http.StatusInternalServerError
	}
	return http.StatusServiceUnavailable
}

// WriteJSON writes an answer of fixed words.
func WriteJSON(w http.ResponseWriter, status int, members map[string]string) {
	body, err := strictjson.Marshal(members)
	if err != nil { // cannot be: fixed words
		body = []byte("{}")
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// RetryLater says when to try again, where [Status] is 503.
func RetryLater(h http.Header, err error) {
	if Status(err) == http.StatusServiceUnavailable {
		h.Set("Retry-After", strconv.Itoa(int(bearergate.AsError(err).RetryDelay()/time.Second)))
	}
}
