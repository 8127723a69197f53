// Package admin is an HTTP API by which people and programs of the operator revoke tokens
// and take that back: for an incident, and for whatever no feed tells.
//
//	gate, err := middleware.New(verifier, middleware.Config{})
//	api, err := admin.New(admin.Config{List: list, Protect: gate.Require(scope.All("revocation:write"))})
//	mux.Handle("/admin/revocation/", http.StripPrefix("/admin/revocation", api))
//
// | request | it |
// |---|---|
// | POST /revoke | adds one entry, or several; 201 |
// | POST /lift | takes one back; 200, or 404 if there is none |
// | GET /list | lists what is revoked, some of it; 200 |
// | GET /status | says what this process holds and knows; 200 |
//
// # What is sent
//
// An entry is a JSON object with issuer and whatever else the tokens have in common:
// token_id (jti), subject, session (sid), client, tenant, and key, the base64url thumbprint
// of the key that signed them (RFC 7638). Before is the time of a cut-off and until that of
// the end, both as RFC 3339 has them; see [revocation.Entry]. Several are an object with the
// one member entries.
//
//	{"issuer": "https://as.example.com", "subject": "alice"}
//	{"entries": [{"issuer": "https://as.example.com", "session": "8f3a"}, …]}
//
// An entry of an issuer alone refuses all tokens of that issuer. So that nobody sends it by
// leaving something out, it needs a further member, confirm, with the issuer once more.
//
// A member that is not known, an empty value, one that is given twice, and a time in the
// future are refused, with 400 and all mistakes of the request. What is lifted is named by
// the same values; before, until and source may be there, as GET /list has them, and do not
// count.
//
// # What is answered
//
// 503 with Retry-After says whether the entries count: with store_unavailable, they count in
// this process, which goes on trying to tell the others; with overloaded, none counts. In
// both cases, send them again. 413 and 415 are for bodies over [MaxBodyBytes] and for other
// types than application/json. What is wrong with whoever asks, Protect answers. Nothing may
// be stored.
//
// # What it relies on
//
// Whoever passes Protect can shut everybody out, and can let in whom others shut out. So
// Protect must ask for a scope that nobody else has; with credentials that a browser sends
// by itself, such as cookies or client certificates, other sites are kept out by the content
// type, which they cannot send without asking, and are never told that they may (no CORS).
// Bound how long a request may take to come in by [http.Server.ReadTimeout].
//
// Values name users and tokens: the answers of GET /list are for operators, and so are the
// events of [Hooks]. Whoever shuts out himself must be let in by somebody else, or by
// [revocation.List.Lift].
package admin

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/guard"
	"github.com/bearergate/bearergate/internal/mistake"
	"github.com/bearergate/bearergate/revocation"
)

const (
	// DefaultSource is whose the entries are where [Config].Source does not say otherwise.
	DefaultSource = "admin"
	// MaxBodyBytes is how long the body of a request may be.
	MaxBodyBytes = 64 << 10
	// MaxEntries is how many entries one request may revoke.
	MaxEntries = 500
	// DefaultListed is how many entries GET /list returns where the request has no limit.
	DefaultListed = 100
	// MaxListed is how many it returns at most.
	MaxListed = 1000

	changeTimeout = 10 * time.Second
	maxSearches   = 2 // at once
)

// Config says what the API is about, and who may use it.
type Config struct {
	// List is what is revoked. Required.
	List *revocation.List
	// Protect lets in whoever may revoke, and answers everybody else, with 401 or 403: a
	// middleware, such as what the method Require of a middleware.Gate returns. It is called
	// once, by New, with the whole API. Required.
	//
	// Danger: whoever it lets in can shut everybody out, and let in whom others shut out.
	Protect func(http.Handler) http.Handler
	// Source is the Source of the entries that are revoked here. Default: [DefaultSource].
	Source string
	// Hooks are told of what was asked for: an audit log needs them. Default: none.
	Hooks Hooks
}

// Hooks tell an audit log what was asked for. Each is optional, must return soon and be safe
// for concurrent use. Join several with [JoinHooks].
type Hooks struct {
	// Asked is called for every request to revoke or to lift that Protect let in and that
	// could be read, when its answer is known, and before that is written.
	Asked func(context.Context, Event)
	// Panicked is called when another hook panicked, while runtime/debug.Stack shows where.
	Panicked func(context.Context, bearergate.PanicEvent)
}

// Event is a request to revoke or to lift. It names users and tokens: it is for an audit log.
type Event struct {
	Lift    bool
	Entries []revocation.Entry
	// By is the token in the context of the request, which a middleware.Gate puts there: who
	// has asked. nil: Protect puts none there.
	By *bearergate.Token
	// Status is that of the answer: 201 and 200 for what was done, 404 if there was nothing
	// to lift, 503 if the List has no room or its Log has failed.
	Status int
	Err    error // nil: it was done
}

// JoinHooks returns hooks that call those of every argument, in order. One that panics does
// not keep the others from being called.
func JoinHooks(hooks ...Hooks) Hooks {
	var joined Hooks
	for _, h := range hooks {
		joined.Panicked = bearergate.Hook("Panicked", nil, joined.Panicked, h.Panicked)
	}
	for _, h := range hooks {
		joined.Asked = bearergate.Hook("Asked", joined.Panicked, joined.Asked, h.Asked)
	}
	return joined
}

// New returns the API behind Protect, or all that is wrong with the configuration, as one
// [bearergate.ErrMisconfigured]. Its paths are those of the package comment: mount it with
// [http.StripPrefix]. It is safe for concurrent use.
func New(c Config) (http.Handler, error) {
	wrong := mistake.In("revocation/admin")
	if c.List == nil {
		wrong.Addf("List is nil: give the List that your verifiers ask")
	}
	if c.Source == "" {
		c.Source = DefaultSource
	}
	if err := checkSource(c.Source); err != nil {
		wrong.Addf("Source: %w", err)
	}
	a := &api{list: c.List, source: c.Source, hooks: JoinHooks(c.Hooks), searches: make(chan struct{}, maxSearches)}
	protected := protect(&wrong, c.Protect, a)
	if err := wrong.Err(); err != nil {
		return nil, &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonConfig, Cause: err}
	}
	return protected, nil
}

func protect(wrong *mistake.List, with func(http.Handler) http.Handler, api http.Handler) (protected http.Handler) {
	if with == nil {
		wrong.Addf("Protect is nil: whoever reaches the API could shut everybody out; give the Require of a middleware.Gate, with a scope that nobody else has")
		return nil
	}
	if err := guard.Call(func() error { protected = with(api); return nil }, nil); err != nil {
		wrong.Addf("Protect %w", err)
	} else if guard.IsNil(protected) {
		wrong.Addf("Protect has returned nil: have it return the handler that decides who may revoke")
	}
	return protected
}

// checkSource has a List say what it thinks of a Source: it has the rule.
func checkSource(source string) error {
	l, err := revocation.New(revocation.Config{MaxTokenLife: time.Second})
	if err != nil {
		return err
	}
	return l.Add(context.Background(), revocation.Entry{Issuer: "x", Source: source})
}

// api is what Protect lets in.
//
//   - What bounds it: MaxBodyBytes and changeTimeout for a request, MaxEntries and MaxListed
//     for what it is about, maxSearches that go through the List at once. What is added, the
//     List bounds.
//   - Who can fill and steer it: whoever Protect lets in.
//   - What the caller sees when it is full: 503.
type api struct {
	list     *revocation.List
	source   string
	hooks    Hooks
	searches chan struct{}
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := map[string]struct {
		method string
		serve  func(http.ResponseWriter, *http.Request)
	}{
		"/revoke": {http.MethodPost, a.revoke},
		"/lift":   {http.MethodPost, a.lift},
		"/list":   {http.MethodGet, a.entries},
		"/status": {http.MethodGet, a.status},
	}
	switch p, ok := path[r.URL.Path]; {
	case !ok:
		refuse(w, http.StatusNotFound, "There are /revoke, /lift, /list and /status.")
	case r.Method != p.method && (r.Method != http.MethodHead || p.method != http.MethodGet):
		w.Header().Set("Allow", p.method)
		refuse(w, http.StatusMethodNotAllowed, "Use "+p.method+".")
	default:
		p.serve(w, r)
	}
}

func (a *api) revoke(w http.ResponseWriter, r *http.Request) {
	body, ok := read(w, r)
	if !ok {
		return
	}
	entries, mistakes := readEntries(body, time.Now())
	if mistakes != nil {
		refuse(w, http.StatusBadRequest, "Nothing was revoked: the request has mistakes.", mistakes...)
		return
	}
	for i := range entries {
		entries[i].Source = a.source
	}
	// An operator who goes away has revoked all the same.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), changeTimeout)
	defer cancel()
	err := a.list.Add(ctx, entries...)
	status := http.StatusCreated
	switch {
	case err == nil:
	case errors.Is(err, bearergate.ErrInvalidRequest):
		status = http.StatusBadRequest
	default:
		status = http.StatusServiceUnavailable
	}
	// Before the answer: whoever does not read that must not keep this out of an audit log.
	a.asked(r, Event{Entries: entries, Status: status, Err: err})
	switch status {
	case http.StatusCreated:
		answer(w, status, listed{Entries: shown(entries)})
	case http.StatusBadRequest:
		refuse(w, status, "Nothing was revoked: the request has mistakes.", textsOf(err)...)
	default:
		failed(w, err, "The entries count in this process alone so far, which goes on trying to tell the others.")
	}
}

func (a *api) lift(w http.ResponseWriter, r *http.Request) {
	body, ok := read(w, r)
	if !ok {
		return
	}
	entry, mistakes := readLifted(body)
	if mistakes != nil {
		refuse(w, http.StatusBadRequest, "Nothing was lifted: the request has mistakes.", mistakes...)
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), changeTimeout)
	defer cancel()
	err := a.list.Lift(ctx, entry)
	status := http.StatusOK
	switch {
	case err == nil:
	case errors.Is(err, bearergate.ErrInvalidRequest): // it is well-formed, so there is none
		status = http.StatusNotFound
	default:
		status = http.StatusServiceUnavailable
	}
	a.asked(r, Event{Lift: true, Entries: []revocation.Entry{entry}, Status: status, Err: err})
	switch status {
	case http.StatusOK:
		answer(w, status, listed{Entries: shown([]revocation.Entry{entry})})
	case http.StatusNotFound:
		refuse(w, status, "There is no entry with exactly these values.")
	default:
		failed(w, err, "The entry is lifted in this process alone so far, which goes on trying to tell the others.")
	}
}

func (a *api) asked(r *http.Request, e Event) {
	if a.hooks.Asked != nil {
		e.By, _ = bearergate.FromContext(r.Context())
		a.hooks.Asked(context.WithoutCancel(r.Context()), e)
	}
}

// failed answers what is not the fault of whoever asks.
func failed(w http.ResponseWriter, err error, here string) {
	e := bearergate.AsError(err)
	if e.Reason == bearergate.ReasonOverloaded {
		retry(w, e, "overloaded", "Nothing was changed: the list has no room, or this source has as many entries as it may.")
	} else {
		retry(w, e, "store_unavailable", here+" Send the request again.")
	}
}
