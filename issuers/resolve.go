package issuers

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/clock"
	"github.com/bearergate/bearergate/internal/fetch"
	"github.com/bearergate/bearergate/internal/guard"
	"github.com/bearergate/bearergate/internal/mistake"
)

const (
	resolvePause      = time.Second // after a failed call, before the next one for the same issuer
	refreshAtPercent  = 80          // of ResolvedTTL
	maxPlaceholder    = 128         // bytes that one placeholder stands for
	maxResolveIssuers = 1 << 20
)

// resolver holds the verifiers that Config.Resolve made.
//
// The iss of an unverified token decides which of them is asked for, so an
// attacker may ask for as many as the templates match. The entries are therefore
// kept apart by what an attacker cannot invent: whether a token of the issuer was
// ever accepted.
type resolver struct {
	resolve   func(context.Context, string) (bearergate.Verifier, error)
	exact     map[string]bool
	templates [][]string        // split at "/"
	allow     func(string) bool // Config.AllowIssuer; nil: nothing more
	max       int
	ttl       time.Duration
	timeout   time.Duration

	mu        sync.Mutex // guards what follows; not held while Resolve or a verifier runs
	entries   map[string]*resolved
	proven    list.List // the entries that are proven, the one used last in front
	others    list.List // the other entries, likewise
	calls     map[string]*call
	forExact  allowance // of the calls for exact issuers
	forOthers allowance // of the calls for issuers that a template matches, or AllowIssuer lets through
	forProven allowance // of the calls for issuers of which a token has been accepted
}

// resolved is an answer of Resolve.
type resolved struct {
	issuer   string
	verifier bearergate.Verifier // nil: err is the answer
	err      error
	at       time.Time
	ttl      time.Duration
	accepted atomic.Bool // the verifier has accepted a token

	// Guarded by resolver.mu:
	element  *list.Element // nil: not in the cache
	proven   bool          // the verifier or an earlier one of the issuer has accepted a token
	replaced bool          // by a later answer
	retryAt  time.Time     // not asked again in the background before
}

// call is a call of Resolve that is under way.
type call struct {
	allowance *allowance
	done      chan struct{}   // closed when answer is there
	late      <-chan struct{} // closed when the call has taken ResolveTimeout, and after done
	answer    *resolved
}

// newResolver returns nil without Resolve, and adds every mistake to wrong.
func newResolver(c Config, wrong *mistake.List) *resolver {
	if c.Resolve == nil {
		if len(c.ResolveIssuers) > 0 || c.AllowIssuer != nil || c.MaxResolved != 0 || c.ResolvedTTL != 0 || c.ResolveTimeout != 0 || c.MaxResolvesPerMinute != 0 {
			wrong.Addf("ResolveIssuers, AllowIssuer, MaxResolved, ResolvedTTL, ResolveTimeout and MaxResolvesPerMinute are for Resolve, which is nil: set it or leave them out")
		}
		return nil
	}
	r := &resolver{
		resolve: c.Resolve, exact: map[string]bool{}, allow: c.AllowIssuer, max: c.MaxResolved, ttl: c.ResolvedTTL, timeout: c.ResolveTimeout,
		entries: map[string]*resolved{}, calls: map[string]*call{},
	}
	if len(c.ResolveIssuers) == 0 && c.AllowIssuer == nil || len(c.ResolveIssuers) > maxResolveIssuers {
		wrong.Addf("ResolveIssuers has %d entries, not 1 to %d: name the issuers that Resolve may be asked for, exactly or by a template (or, for tenants in the host, set AllowIssuer)", len(c.ResolveIssuers), maxResolveIssuers)
	}
	for _, issuer := range c.ResolveIssuers {
		_, twice := c.Issuers[issuer]
		switch {
		case issuer == "":
			wrong.Addf("ResolveIssuers contains an empty string: remove it")
		case twice:
			wrong.Addf("ResolveIssuers: %q is a key of Issuers too: choose one", issuer)
		case strings.ContainsAny(issuer, "{}"):
			template, err := parseTemplate(issuer)
			if err != nil {
				wrong.Addf("ResolveIssuers: %q %w", issuer, err)
			}
			r.templates = append(r.templates, template)
		case fetch.CheckPasted(issuer) != nil:
			wrong.Addf("ResolveIssuers: %q %w", issuer, fetch.CheckPasted(issuer))
		default:
			r.exact[issuer] = true
		}
	}
	mistake.Between(wrong, "MaxResolved", &r.max, DefaultMaxResolved, 1, MaxResolvedLimit)
	mistake.Between(wrong, "ResolvedTTL", &r.ttl, DefaultResolvedTTL, leastResolvedTTL, limitResolvedTTL)
	mistake.Between(wrong, "ResolveTimeout", &r.timeout, DefaultResolveTimeout, leastResolveTimeout, limitResolveTimeout)
	mistake.Between(wrong, "MaxResolvesPerMinute", &c.MaxResolvesPerMinute, DefaultMaxResolvesPerMinute, 1, limitPerMinute)
	perMinute := float64(c.MaxResolvesPerMinute)
	r.forExact = allowance{perMinute: perMinute, left: perMinute}
	r.forOthers, r.forProven = r.forExact, r.forExact
	return r
}

// parseTemplate splits a template at its slashes, which puts the scheme into
// the first piece, nothing into the second and the host into the third.
func parseTemplate(template string) ([]string, error) {
	pieces := strings.Split(template, "/")
	sample := slices.Clone(pieces)
	for i, piece := range pieces {
		switch {
		case !strings.ContainsAny(piece, "{}"):
		case i < 3:
			return nil, errors.New("has a placeholder before its path: name the hosts one by one, or set AllowIssuer")
		case !isPlaceholder(piece):
			return nil, errors.New("has braces that are not one whole path segment: write it as in https://host/{name}/v2")
		case slices.Index(pieces, piece) != i:
			return nil, errors.New("has two placeholders of one name: give each its own")
		default:
			sample[i] = "x"
		}
	}
	// That http may be unsafe is for the verifier that Resolve makes to say.
	if err := fetch.CheckIssuer(strings.Join(sample, "/"), true); err != nil {
		return nil, err
	}
	return pieces, nil
}

func isPlaceholder(piece string) bool {
	name, opened := strings.CutPrefix(piece, "{")
	name, closed := strings.CutSuffix(name, "}")
	return opened && closed && name != "" && !strings.ContainsAny(name, "{}")
}

// matches compares the whole of issuer with a template, piece by piece.
func matches(template []string, issuer string) bool {
	for i, want := range template {
		piece, rest, more := strings.Cut(issuer, "/")
		same := piece == want
		if isPlaceholder(want) {
			same = isTenant(piece)
		}
		if !same || more != (i < len(template)-1) {
			return false
		}
		issuer = rest
	}
	return true
}

// isTenant reports whether a placeholder may stand for s: nothing that a URL, a
// path or a later parser could take for more than a name.
func isTenant(s string) bool {
	if s == "" || len(s) > maxPlaceholder || s[0] == '.' {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}

// allowed returns what a call of Resolve for the issuer is counted with, nil if
// there must be none. It changes nothing and takes no lock.
func (r *resolver) allowed(issuer string) (*allowance, error) {
	if r.exact[issuer] {
		return &r.forExact, nil
	}
	if slices.ContainsFunc(r.templates, func(template []string) bool { return matches(template, issuer) }) {
		return &r.forOthers, nil
	}
	if r.allow == nil || !isPlainURL(issuer) {
		return nil, nil
	}
	let := false
	err := guard.Call(func() error { let = r.allow(issuer); return nil }, func(p guard.PanicError) error {
		return &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonInternal, Cause: fmt.Errorf("issuers: AllowIssuer %w", p)}
	})
	if !let {
		return nil, err
	}
	return &r.forOthers, nil
}

// isPlainURL reports an issuer that AllowIssuer may be asked about: an https URL that every
// reader takes for the same. It has a host of lower-case letters, and a path whose
// segments are as those of tenants. So there are no user information, query, fragment,
// escapes, backslashes, and no segments that are empty or dots.
func isPlainURL(issuer string) bool {
	rest, https := strings.CutPrefix(issuer, "https://")
	host, path, _ := strings.Cut(rest, "/")
	if !https || !isHost(host) || fetch.CheckIssuer(issuer, false) != nil {
		return false
	}
	if path == "" {
		return true
	}
	segments := strings.Split(strings.TrimSuffix(path, "/"), "/")
	return !slices.ContainsFunc(segments, func(s string) bool { return !isTenant(s) })
}

// isHost reports the name of a host, or an IPv4 address, with or without a port.
func isHost(s string) bool {
	name, port, hasPort := strings.Cut(s, ":")
	isOther := func(c rune) bool { return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' }
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || strings.ContainsFunc(label, isOther) {
			return false
		}
	}
	if !hasPort {
		return true
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && strconv.FormatUint(n, 10) == port
}

// find returns the answer of Resolve for the issuer, waiting for it if none is
// known, and only then. It never returns one without a verifier.
func (r *resolver) find(ctx context.Context, a *allowance, issuer string) (*resolved, error) {
	e, f, err := r.lookup(a, issuer)
	if e == nil && err == nil {
		if e, err = f.wait(ctx); err != nil {
			return nil, err
		}
	}
	switch {
	case err != nil:
		return nil, err
	case e.verifier == nil:
		return nil, copied(e.err)
	}
	return e, nil
}

// lookup returns the entry if it is fresh, or the call that will have it.
func (r *resolver) lookup(a *allowance, issuer string) (*resolved, *call, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	e := r.entries[issuer]
	if e == nil || clock.Elapsed(e.at, now) >= e.ttl {
		f, err := r.start(a, issuer, now)
		return nil, f, err
	}
	r.list(e).MoveToFront(e.element)
	if e.verifier != nil && clock.Elapsed(e.at, now) >= e.ttl/100*refreshAtPercent && !now.Before(e.retryAt) {
		_, _ = r.start(a, issuer, now) // above the allowance: a later token will do it
	}
	return e, nil, nil
}

// start joins the call for the issuer, or begins one. r.mu is held.
func (r *resolver) start(a *allowance, issuer string, now time.Time) (*call, error) {
	if f := r.calls[issuer]; f != nil {
		return f, nil
	}
	// Names that somebody invents must not use up what renews the issuers in use.
	if e := r.entries[issuer]; e != nil && e.proven {
		a = &r.forProven
	}
	if wait := a.take(now); wait > 0 {
		return nil, &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonOverloaded, RetryAfter: wait,
			Cause: errors.New("issuers: too many issuers to resolve")}
	}
	// Not the caller's context: it must not shape an answer that is shared.
	ctx, cancel := context.WithTimeout(context.Background(), r.timeout)
	f := &call{allowance: a, done: make(chan struct{}), late: ctx.Done()}
	r.calls[issuer] = f
	go func() {
		defer cancel() // after done is closed, so that late is never seen without it
		answer := &resolved{issuer: issuer, ttl: resolvePause}
		answer.err = &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonInternal,
			Cause: errors.New("issuers: Resolve ended its goroutine")}
		defer r.finish(f, answer) // also after a Goexit
		if answer.verifier, answer.err = r.ask(ctx, issuer); answer.err == nil {
			answer.ttl = r.ttl
		} else if !errors.Is(answer.err, bearergate.ErrUnavailable) && !errors.Is(answer.err, bearergate.ErrMisconfigured) {
			answer.ttl = UnresolvedTTL
		}
	}()
	return f, nil
}

var errResolve = &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonKeysUnavailable, RetryAfter: resolvePause,
	Cause: errors.New("issuers: Resolve")}

// ask calls Resolve, and returns either a verifier or an error of this module. Its
// context is that of the call, not that of any caller.
func (r *resolver) ask(ctx context.Context, issuer string) (v bearergate.Verifier, err error) {
	err = bearergate.Guard(ctx, errResolve, func(ctx context.Context) (err error) {
		switch v, err = r.resolve(ctx, issuer); {
		case err != nil:
			return err
		case v == nil:
			return invalid(bearergate.ReasonIssuer, "Resolve knows no such issuer")
		}
		if wrong := checkMember(issuer, v); wrong != nil {
			return misconfigured(fmt.Errorf("issuers: what Resolve returned cannot be used: %w", wrong))
		}
		return nil
	})
	if err == nil {
		return v, nil
	}
	e := copied(err)
	if errors.Is(e, bearergate.ErrUnavailable) && e.RetryAfter == 0 {
		e.RetryAfter = resolvePause
	}
	return nil, e
}

// copied is an error of its own for everybody who is told: what one caller does
// with it, the next one, or the one who made it, must not notice.
func copied(err error) *bearergate.Error {
	e := *bearergate.AsError(err)
	e.Scopes, e.ACRValues = slices.Clone(e.Scopes), slices.Clone(e.ACRValues)
	return &e
}

func unresolved(cause error) error {
	return &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonKeysUnavailable, RetryAfter: resolvePause, Cause: cause}
}

// wait returns the answer of the call. A call that takes longer than it may
// goes on, so that there is never a second one beside it, but nobody waits.
func (f *call) wait(ctx context.Context) (*resolved, error) {
	select {
	case <-f.done:
		return f.answer, nil
	case <-ctx.Done():
		return nil, left(ctx)
	case <-f.late:
	}
	select {
	case <-f.done:
		return f.answer, nil
	default:
		return nil, unresolved(errors.New("issuers: Resolve takes longer than ResolveTimeout"))
	}
}

// finish stores the answer, unless it is a failure and there is a better one.
func (r *resolver) finish(f *call, e *resolved) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e.at = time.Now()
	f.allowance.busy--
	delete(r.calls, e.issuer)
	f.answer = e
	close(f.done)

	failed := e.verifier == nil && e.ttl == resolvePause
	if old := r.entries[e.issuer]; old != nil {
		if failed && old.verifier != nil && clock.Elapsed(old.at, e.at) < old.ttl {
			old.retryAt = e.at.Add(resolvePause)
			return
		}
		// Through a failure too, or a flood of invented issuers would keep this one out
		// after an outage. Not through "no such issuer": it has to prove itself again.
		e.proven = old.proven && (failed || e.verifier != nil)
	}
	r.drop(e.issuer, true)
	r.keep(e)
}

// list is where an entry belongs. r.mu is held.
func (r *resolver) list(e *resolved) *list.List {
	if e.proven {
		return &r.proven
	}
	return &r.others
}

// keep puts e in front, and the oldest of its kind out. r.mu is held.
func (r *resolver) keep(e *resolved) {
	l := r.list(e)
	e.element = l.PushFront(e)
	r.entries[e.issuer] = e
	if l.Len() > r.max {
		r.drop(l.Back().Value.(*resolved).issuer, false)
	}
}

// drop takes the issuer's entry out, if there is one. r.mu is held.
func (r *resolver) drop(issuer string, replaced bool) {
	if e := r.entries[issuer]; e != nil {
		r.list(e).Remove(e.element)
		e.element, e.replaced = nil, replaced
		delete(r.entries, issuer)
	}
}

// accept moves e to the proven, after it has accepted its first token. One that
// was pushed out meanwhile comes back, one that was replaced does not.
func (r *resolver) accept(e *resolved) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e.accepted.Store(true)
	if e.replaced || e.proven && e.element != nil {
		return
	}
	if e.element == nil && r.entries[e.issuer] != nil {
		return // resolved again since
	}
	r.drop(e.issuer, false)
	e.proven = true
	r.keep(e)
}

// allowance bounds calls of Resolve. It is guarded by resolver.mu.
type allowance struct {
	perMinute float64
	left      float64 // of perMinute, which it grows back to
	at        time.Time
	busy      int
}

// take counts one call, or says how long to wait.
func (a *allowance) take(now time.Time) time.Duration {
	if !a.at.IsZero() {
		a.left = min(a.perMinute, a.left+max(now.Sub(a.at), 0).Minutes()*a.perMinute)
	}
	a.at = now
	switch {
	case a.busy >= MaxResolving:
		return resolvePause
	case a.left < 1:
		return max(resolvePause, time.Duration((1-a.left)/a.perMinute*float64(time.Minute)))
	}
	a.left--
	a.busy++
	return 0
}
