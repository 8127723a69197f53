// Package jwks provides the keys that verify an issuer's tokens: a JWK Set (RFC
// 7517 §5) that is fetched, cached and kept fresh, or one that is given.
//
//	keys, err := jwks.New(jwks.Config{Issuer: "https://as.example.com"})
//	verifier, err := jwtverify.New(jwtverify.Config{Issuer: "https://as.example.com", Keys: keys, …})
//
// [Cache] finds the set through the issuer's metadata (RFC 8414, OpenID Connect
// Discovery) or under a URL. It follows a rotation at the first token that needs
// the new key, serves the last good keys for a bounded time when the
// authorization server is down, and keeps a flood of invented key IDs from the
// server: see [State]. [Static] is for keys that never change, [File] for keys
// in a file.
//
// A Cache starts no goroutine that outlives a fetch, makes no request unless it
// is asked for keys, and needs no Close. It verifies no token and looks at no
// claim. It does not log: see [Hooks].
//
// The caller must configure the right issuer or URL. Whoever controls it, or the
// certificates that the HTTP client trusts, can make valid tokens.
//
// Everything here is safe for concurrent use.
package jwks

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/clock"
	"github.com/bearergate/bearergate/internal/fetch"
	"github.com/bearergate/bearergate/internal/jose"
	"github.com/bearergate/bearergate/internal/mistake"
	"golang.org/x/sync/singleflight"
)

// Source is where a verifier gets its keys from. Implementations are safe for
// concurrent use; a [Cache] and a [Set] are Sources.
type Source interface {
	// Keys returns the keys with that ID that fit the algorithm; if no key has the
	// ID, those without ID that fit the algorithm; with kid "", every key that fits
	// the algorithm. The slice is shared: read it only.
	//
	// No key and no error means that the issuer has no such key: the token is
	// refused. An error means that this could not be found out. An error that is
	// none of bearergate's sentinels counts as [bearergate.ErrUnavailable]. Keys
	// honours ctx wherever it waits.
	Keys(ctx context.Context, kid, alg string) ([]Key, error)
}

// The defaults and bounds of [Config].
const (
	DefaultTTL          = 10 * time.Minute
	DefaultMinTTL       = time.Minute
	DefaultMaxTTL       = time.Hour
	DefaultMaxStale     = time.Hour
	DefaultMissInterval = 10 * time.Second
	DefaultFetchTimeout = 5 * time.Second
	DefaultMaxBytes     = fetch.DefaultMaxBytes
	DefaultMaxKeys      = 100

	limitDuration     = 24 * time.Hour // of TTLs and MaxStale: a withdrawn key lives at most twice this
	limitMissInterval = 10 * time.Minute
	limitFetchTimeout = time.Minute
	limitBytes        = 16 << 20
	limitKeys         = 1000
	leastDuration     = 100 * time.Millisecond // below this, an interval protects nobody
)

// What is not configurable.
const (
	aheadPercent    = 80               // of the TTL: from then on, refresh before anybody has to wait
	jitterPercent   = 10               // of the TTL, either way: a fleet started together must not ask together
	backoffFirst    = time.Second      // after the first failure; doubled by each further one
	backoffMax      = time.Minute      // the longest
	backoffJitter   = 20               // percent by which a backoff may be shorter
	retryAfterEmpty = time.Minute      // the longest Retry-After that is honoured without usable keys
	discoveryTTL    = time.Hour        // a metadata document older than this is read again
	missFetches     = 2                // at most so many per MissInterval are for unknown keys
	askedMax        = 16               // of what a fetch was asked for, so much is remembered
	usableFailures  = 3                // at most so many failed attempts per MissInterval while keys are usable
	grace           = time.Second / 10 // for an HTTP client to notice that its context has ended
	lateAfter       = time.Second      // in DUE, a fetch that has run for so long counts as failed for those who wait
	frozenAfter     = time.Second      // beyond what a fetch can take: the process stood still meanwhile
)

// Config says where keys come from. Issuer or URL is required; every other
// field has a safe default.
type Config struct {
	// Issuer is the authorization server's issuer identifier: an https URL
	// without query and fragment, exactly as it stands in tokens and metadata.
	// With URL empty, the set is found through the issuer's metadata, which must
	// name this very issuer, code point by code point (RFC 8414 §3.3).
	Issuer string
	// URL is where the JWK Set is, an https URL. There is then no discovery, and
	// Issuer, if given, only says to whom the keys belong. A query, an API key for
	// example, is sent, and stands in no event, error or Status.
	URL string
	// MetadataURL is where the issuer's metadata are, an https URL, if not where the issuer
	// says (RFC 8414 §3). The issuer in them must be Issuer all the same, which may then be
	// any text. With URL, it is a mistake.
	MetadataURL string

	// HTTPClient makes the requests: set it for a CA of your own, a client
	// certificate, a proxy, or a transport that adds a bearer token. It is copied.
	// Its Jar and CheckRedirect are not used: no cookie is kept, and at most one
	// redirect is followed, within the origin. The default has timeouts, keeps no
	// connection, and uses no proxy.
	HTTPClient *http.Client
	// Hooks observe what happens.
	Hooks Hooks
	// InsecureAllowHTTP lets anybody on the path replace the keys, and so make
	// valid tokens: it allows http for every host. Without it, http is allowed
	// only if the host configured here is localhost or a loopback address.
	InsecureAllowHTTP bool
	// AllowUses makes keys that are published for something else verify tokens:
	// whoever may sign with one of those can make valid tokens. It lists values of
	// use (RFC 7517 §4.2) that are admitted beside sig, letter for letter:
	// "jwt-svid" for the bundle of a SPIFFE trust domain. Default: none. A key
	// without use is admitted anyway; "enc" never is.
	AllowUses []string

	// TTL is how long a set may be used before the server is asked again, if the
	// server does not say so itself in Cache-Control. Default DefaultTTL; between
	// MinTTL and MaxTTL. Each set gets up to a tenth more or less, at random. A key
	// that the server has withdrawn is refused after at most one TTL, or TTL +
	// MaxStale if the server is down.
	TTL time.Duration
	// MinTTL and MaxTTL bound what the server says in Cache-Control. Defaults
	// DefaultMinTTL and DefaultMaxTTL; between 100 ms and 24 h.
	MinTTL, MaxTTL time.Duration
	// MaxStale is how long after its TTL a set is still used when the server
	// cannot be reached. Default DefaultMaxStale; between 1 ms and 24 h.
	MaxStale time.Duration
	// MissInterval is the time in which at most two fetches are made for keys that
	// are unknown, or of another algorithm, or under which a signature is bad, however many tokens there are;
	// the second only for a key that the first was not asked for. It is also how long
	// a flood of invented IDs can hide a rotation. Default DefaultMissInterval;
	// between 100 ms and 10 min.
	MissInterval time.Duration
	// FetchTimeout bounds one fetch, discovery included; [Cache.Keys] waits for
	// two at most. Default DefaultFetchTimeout; between 100 ms and 1 min.
	FetchTimeout time.Duration
	// MaxBytes bounds one response body after decompression. Default
	// DefaultMaxBytes; at most 16 MiB.
	MaxBytes int64
	// MaxKeys is how many keys a set may have: one with more is not used at all.
	// Default DefaultMaxKeys; at most 1,000.
	MaxKeys int
}

// Cache is a [Source] that fetches its set and keeps it as [State] describes.
// It is safe for concurrent use; readers take no lock.
type Cache struct {
	issuer  string
	hooks   Hooks
	policy  policy
	timeout time.Duration
	load    func(context.Context, *view) result // reads v, changes nothing
	maxKeys int
	uses    []string // beside sig
	url     string   // as configured; "" when discovered
	clock   func() clock.Instant

	flight singleflight.Group
	busy   atomic.Bool // a fetch is under way, or about to be, or hooks are told of it

	fetching atomic.Bool // an attempt has begun, as view.started says, and has not ended; written with mu held

	mu   sync.Mutex // guards the replacing of the following; never held during I/O or a hook
	view atomic.Pointer[view]
	told atomic.Value // the State that the hooks know
}

// New returns a Cache. It checks the configuration and touches no network: use
// [Cache.Refresh] to fetch before the first token arrives. The error names
// everything that is wrong with the configuration.
func New(c Config) (*Cache, error) {
	wrong := mistake.In("jwks")
	limits(&wrong, &c)
	if c.Issuer == "" && c.URL == "" {
		wrong.Addf("set Issuer to discover the keys, or URL to name the set")
	}
	if c.MetadataURL != "" {
		if c.URL != "" || c.Issuer == "" {
			wrong.Addf("MetadataURL is set with URL, or without Issuer: it is for finding the keys of an issuer; leave out URL, and set Issuer")
		}
		if err := fetch.CheckNamed(c.MetadataURL, c.InsecureAllowHTTP || fetch.Loopback(c.MetadataURL)); err != nil {
			wrong.Addf("MetadataURL%s %w", fetch.Shown(c.MetadataURL), err)
		}
	}
	if c.Issuer != "" && c.URL == "" && c.MetadataURL == "" { // else nothing is fetched from it
		if err := fetch.CheckIssuer(c.Issuer, c.InsecureAllowHTTP || fetch.Loopback(c.Issuer)); err != nil {
			wrong.Addf("Issuer%s %w", fetch.Shown(c.Issuer), err)
		}
	}
	if c.URL != "" {
		if err := mistake.Literal(c.Issuer); err != nil { // not with MetadataURL: metadata of all tenants have a template, which has to be named
			wrong.Addf("Issuer%s %w", fetch.Shown(c.Issuer), err)
		}
		if err := fetch.CheckNamed(c.URL, c.InsecureAllowHTTP || fetch.Loopback(c.URL)); err != nil {
			wrong.Addf("URL%s %w", fetch.Shown(c.URL), err)
		}
	}
	if err := wrong.Err(); err != nil {
		return nil, misconfigured(err)
	}
	cache := newCache(c)
	remote := remote{
		client: fetch.NewClient(c.HTTPClient), issuer: c.Issuer, url: c.URL, metadata: c.MetadataURL, insecure: c.InsecureAllowHTTP,
		maxBytes: c.MaxBytes, maxKeys: c.MaxKeys, uses: cache.uses, tolerance: c.MaxStale, clock: func() clock.Instant { return cache.clock() },
	}
	cache.load = remote.load
	return cache, nil
}

// newCache takes a checked configuration.
func newCache(c Config) *Cache {
	cache := &Cache{
		issuer: c.Issuer, url: c.URL, hooks: JoinHooks(c.Hooks), timeout: c.FetchTimeout, maxKeys: c.MaxKeys, uses: slices.Clone(c.AllowUses), clock: func() clock.Instant { return clock.At(time.Now()) },
		policy: policy{ttl: c.TTL, minTTL: c.MinTTL, maxTTL: c.MaxTTL, maxStale: c.MaxStale, missInterval: c.MissInterval},
	}
	cache.view.Store(&view{policy: &cache.policy})
	cache.told.Store(StateEmpty)
	return cache
}

// Issuer returns the configured Issuer, "" if there is none.
func (c *Cache) Issuer() string {
	if c == nil {
		return ""
	}
	return c.issuer
}

// Keys implements [Source].
//
// It answers from the set that is held, and waits for a fetch in two cases only:
//
//   - The [State] is EMPTY, DUE or EXPIRED.
//   - The key is unknown: no key with this ID fits the algorithm and, if no key has
//     the ID, none without ID does; or, with kid "", no key fits the algorithm. The
//     keys may have been rotated, also under their IDs. At most two fetches per
//     MissInterval are made for unknown keys, the second only for one that the first
//     was not asked for. "No key" is the answer only if a fetch that began after the
//     call has succeeded, or if the last one has succeeded within the last
//     MissInterval.
//
// So a rotation is followed at the first token that needs the new key, unless two other
// unknown keys were asked for in the last MissInterval. Whoever invents IDs without end
// hides a rotation for at most one MissInterval, and the time of a fetch.
//
// A call waits for the fetch under way and, if that began too early to have seen
// the key, for one more. Each ends within FetchTimeout; slow hooks may take as
// much again. If ctx ends first, the fetch goes on for the others. The error is
// then [bearergate.ErrUnavailable] with [bearergate.ReasonCanceled] if ctx was
// canceled, and with [bearergate.ReasonKeysUnavailable] if its deadline passed. Any
// other failure has [bearergate.ReasonKeysUnavailable] and RetryAfter.
func (c *Cache) Keys(ctx context.Context, kid, alg string) ([]Key, error) {
	v, err := c.current()
	if err != nil {
		return nil, err
	}
	if v.state(c.clock()) == StateFresh {
		if keys, known := v.set.find(kid, alg); known {
			return keys, nil
		}
	}
	if ctx == nil {
		ctx = context.Background()
	}
	seen := v.begun
	v, stale, err := c.ready(ctx, v)
	if err != nil {
		return nil, err
	}
	if stale && c.hooks.StaleServed != nil {
		c.hooks.StaleServed(context.WithoutCancel(ctx),
			StaleEvent{Issuer: c.issuer, URL: fetch.Bare(v.url), Age: c.clock().Since(v.confirmed), Err: v.err})
	}
	return c.answer(ctx, v, seen, wanted{use: use{kid, alg}})
}

// Absence says in fixed words why Keys has not the one key that a token can mean, from
// what is held at the moment; "" if it has. It fetches nothing, and is for the texts of
// whoever refuses the token.
func (c *Cache) Absence(kid, alg string) string {
	v, err := c.current()
	if err != nil {
		return ""
	}
	why := v.set.absence(kid, alg)
	if why != "" && v.succeeded > 0 { // under the limiter for unknown keys, that may be some seconds
		why += ", as of " + ago(c.clock().Since(v.answered))
	}
	return why
}

func ago(d time.Duration) string {
	if d < time.Second {
		return "now"
	}
	return d.Round(time.Second).String() + " ago"
}

// Miss is a token that the keys which [Cache.Keys] returned for it do not verify.
type Miss struct {
	KeyID, Algorithm string // of its header; KeyID "": it has no kid
	X5TS256, X5T     string // x5t#S256 and x5t of its header, where it has no kid
	// Issuer is whose token it is: a key that is published for the tokens of another is
	// none. "": any key will do.
	Issuer string
	// Tried says that its signature was checked under every key that it can mean, and is
	// of none: one of them may have been replaced. Without it, it can mean none of the keys
	// that are held: none has the certificate that it names, or serves its issuer, or too
	// many without ID fit.
	Tried bool
	// Since is when the token came: a fetch that began later has seen its key, if there
	// is one, and is not made again. The zero Moment is that of the call.
	Since Moment
}

// Moment is a point in the order of a [Cache]'s fetches.
type Moment struct{ after uint64 } // one more than the number of the last that had begun; 0: none

// Moment returns the present one.
func (c *Cache) Moment() Moment {
	v, err := c.current()
	if err != nil {
		return Moment{}
	}
	return Moment{v.begun + 1}
}

// KeysAfterMiss is for a token that may be the first sign of a new key, although the set
// has keys for it. The call counts as one for an unknown key, under the same limit of
// fetches. It returns what Keys would: whoever asks leaves out what it has tried.
//
// If the signature was Tried, nobody can say whether the key is new or the token forged, and
// whoever forges one does not wait for a server that is down: if no fetch may be made, or the
// last one has failed, the answer comes at once. It is what is held if a key has the token's
// kid, or the token has none: the error is then [bearergate.ErrUnavailable] only if ctx was
// canceled. If keys without ID were tried for a kid that no key has, it is
// [bearergate.ErrUnavailable] as for every unknown kid.
//
// Otherwise it waits as Keys does for an unknown key, and errors are those of Keys.
func (c *Cache) KeysAfterMiss(ctx context.Context, m Miss) ([]Key, error) {
	v, err := c.current()
	if err != nil {
		return nil, err
	}
	if ctx == nil {
		ctx = context.Background()
	}
	w := wanted{use: use{m.KeyID, m.Algorithm}, issuer: m.Issuer}
	if m.KeyID == "" {
		w.certificate = jose.Certificate{SHA256: m.X5TS256, SHA1: m.X5T}
	}
	seen := v.begun
	if m.Since.after > 0 {
		seen = min(seen, m.Since.after-1)
	}
	switch {
	case m.Tried && (m.KeyID == "" || v.set.has(m.KeyID)):
		return c.replaced(ctx, v.set, seen, w)
	case m.Tried: // under keys without kid: its kid is as unknown as any other
		w.byID = true
	}
	if v, _, err = c.ready(ctx, v); err != nil { // Keys has told of stale keys, for this token
		return nil, err
	}
	return c.answer(ctx, v, seen, w)
}

// Used tells the Cache that a key of its set has verified the signature of a token: for
// [Hooks.UsedEarly]. A name in a token that nobody has verified is no use of a key. It is
// called by the verifiers of this module, and is for whoever calls [Key.Verify] by himself.
// It does not wait, and changes nothing of what the Cache answers.
func (c *Cache) Used(ctx context.Context, k Key) {
	if c == nil || c.hooks.UsedEarly == nil {
		return
	}
	v := c.view.Load()
	if v.set == nil {
		return
	}
	id := identityOf(k)
	a := v.set.young[id]
	if a == nil {
		return
	}
	now := c.clock()
	if !a.early(now) || !a.told.CompareAndSwap(false, true) {
		return
	}
	if ctx == nil {
		ctx = context.Background()
	}
	c.hooks.UsedEarly(context.WithoutCancel(ctx), EarlyEvent{Issuer: c.issuer, URL: fetch.Bare(v.url), KeyID: id.name(), Absent: now.Since(a.absent), TTL: a.ttl})
}

// Refresh fetches the set now and waits for it, whatever its age: to fail fast
// at start, or after an alarm. A fetch that is under way is shared; after
// failures, the backoff applies to Refresh too.
func (c *Cache) Refresh(ctx context.Context) error {
	v, err := c.current()
	if err != nil {
		return err
	}
	if ctx == nil {
		ctx = context.Background()
	}
	seen := v.begun
	// Twice, for the first may be the end of a fetch that began before the call.
	for range 2 {
		if err := c.await(ctx, TriggerRefresh, seen); err != nil {
			return err
		}
		if v = c.view.Load(); v.succeeded > seen {
			return nil
		}
	}
	return v.unavailable(v.pause(c.clock()))
}

// Status is what a [Cache] knows about itself, for readiness probes.
type Status struct {
	State    State
	Issuer   string // as configured
	URL      string // of the set, without its query, which may hold an API key; "" until it has been discovered
	KeyCount int
	// Algorithms are those that at least one of the keys serves.
	Algorithms []string

	// TTL is for how long after LastSuccess the set is used before the server is asked
	// again: what the server said in Cache-Control, or Config.TTL, between MinTTL and MaxTTL,
	// with the tenth more or less of this set. 0: there is no set.
	TTL time.Duration

	LastSuccess time.Time // when the server last confirmed the set; zero: never
	LastAttempt time.Time // zero: never
	LastError   error     // why the last attempt failed; nil if it did not
	Failures    int       // failed attempts in a row
	NextAttempt time.Time // before this, no fetch starts; zero: at any time
}

// Ready reports whether tokens can be verified.
func (s Status) Ready() bool { return s.State.Usable() }

// Status returns a snapshot. It makes no request. The status of a nil Cache is
// the zero Status, whose State is not usable.
func (c *Cache) Status() Status {
	v, err := c.current()
	if err != nil {
		return Status{LastError: err}
	}
	now := c.clock()
	s := Status{State: v.state(now), Issuer: c.issuer, URL: fetch.Bare(cmp.Or(v.url, c.url)), KeyCount: v.set.len(), Algorithms: v.set.algorithms(),
		TTL: v.ttl, LastSuccess: v.confirmed.Wall, LastAttempt: v.started.Wall, LastError: v.err, Failures: v.failures}
	if pause := v.pause(now); pause > 0 {
		s.NextAttempt = now.Wall.Add(pause)
	}
	return s
}

// current returns the view, and an error for a Cache that New did not make.
func (c *Cache) current() (*view, error) {
	if c != nil {
		if v := c.view.Load(); v != nil {
			return v, nil
		}
	}
	return nil, misconfigured(errors.New("jwks: the Cache is nil or zero: make it with New or File"))
}

// answer is what a view that is ready has for a token, or what a miss brings. A fetch with
// a higher number than seen began after the token came.
func (c *Cache) answer(ctx context.Context, v *view, seen uint64, w wanted) ([]Key, error) {
	if v.set.knows(w) {
		keys, _ := v.set.find(w.kid, w.alg)
		return keys, nil
	}
	return c.miss(ctx, seen, w)
}

// ready does what the state asks for, and returns a view with usable keys, and whether they
// are used in an outage.
func (c *Cache) ready(ctx context.Context, v *view) (_ *view, stale bool, err error) {
	now := c.clock()
	state := v.state(now)
	switch state {
	case StateFresh:
	case StateAhead, StateStale: // answers at once
		if v.pause(now) == 0 && !c.busy.Load() {
			c.start(ctx, triggerScheduled, 0)
		}
	default: // EMPTY, DUE, EXPIRED: waits, unless it is too early to ask again
		// Twice, for the first may be the end of a fetch that the process slept through. That it
		// was late, and that it is now too late for the old keys, is no round.
		for rounds := 0; rounds < 2; {
			// Not c.busy, which is more: nobody waits for the hooks of a fetch that has failed.
			if state == StateFresh || !c.fetching.Load() && v.pause(now) > 0 {
				break
			}
			late, err := c.awaitDue(ctx, state)
			if err != nil {
				return nil, false, err
			}
			v, now = c.view.Load(), c.clock()
			if state = v.state(now); late && state == StateDue {
				return v, true, nil // for those who have waited; the state is told when it is known
			}
			if !late {
				rounds++
			}
		}
	}
	c.tell(ctx, state)
	if !state.Usable() {
		return nil, false, v.unavailable(v.pause(now))
	}
	return v, state == StateStale, nil
}

// miss answers for an unknown key. One limiter bounds the fetches for all of
// them. Of what was asked for, only a few names are remembered, until the next such
// fetch: an attacker can invent more than memory holds.
func (c *Cache) miss(ctx context.Context, seen uint64, w wanted) ([]Key, error) {
	waited, suppressed := false, false
	// Twice, for the first may be the end of a fetch that began before the call
	// and so may not have seen the key.
	for range 2 {
		v := c.view.Load()
		if v.succeeded > seen {
			break
		}
		busy := c.busy.Load()
		if !busy && v.missPause(c.clock(), w) > 0 {
			suppressed = !waited
			break
		}
		if w.byID && v.failures > 0 { // most are forged, as in replaced
			if !busy {
				c.startMiss(ctx, seen, w) // for those who come later
			}
			return nil, v.unavailable(c.timeout) // by when it has ended
		}
		if err := c.awaitMiss(ctx, seen, w); err != nil {
			return nil, err
		}
		waited = true
		if c.view.Load().set.knows(w) {
			break
		}
	}
	v, now := c.view.Load(), c.clock()
	if !v.usable(now) { // they may have expired meanwhile
		return nil, v.unavailable(v.pause(now))
	}
	if suppressed {
		c.suppressed(ctx, v, w)
	}
	keys, _ := v.set.find(w.kid, w.alg)
	// "No such key" refuses a token. It is the answer only if the server has said
	// so recently enough: a failed attempt proves nothing.
	recent := v.failures == 0 && !v.interrupted && now.Since(v.answered) < c.policy.missInterval
	if v.set.knows(w) || v.succeeded > seen || recent {
		return keys, nil
	}
	return nil, v.unavailable(v.missPause(now, w))
}

// replaced answers for a token whose signature is of none of the keys that it can mean.
// Whoever sends it may have invented it, so that it neither waits for a server that is
// down nor learns of that.
func (c *Cache) replaced(ctx context.Context, set *keySet, seen uint64, w wanted) ([]Key, error) {
	waited := false
	for range 2 { // as in miss
		v := c.view.Load()
		if v.succeeded > seen || v.set.brings(set, w.use) {
			break
		}
		busy := c.busy.Load()
		if !busy && v.missPause(c.clock(), w) > 0 {
			if !waited {
				c.suppressed(ctx, v, w)
			}
			break
		}
		if v.failures > 0 {
			if !busy {
				c.startMiss(ctx, seen, w) // for those who come later
			}
			break
		}
		if err := c.awaitMiss(ctx, seen, w); err != nil {
			if bearergate.AsError(err).Reason == bearergate.ReasonCanceled {
				return nil, err
			}
			break
		}
		waited = true
	}
	v := c.view.Load()
	if !v.usable(c.clock()) {
		return nil, nil
	}
	keys, _ := v.set.find(w.kid, w.alg)
	return keys, nil
}

func (c *Cache) suppressed(ctx context.Context, v *view, w wanted) {
	if c.hooks.MissSuppressed != nil {
		c.hooks.MissSuppressed(context.WithoutCancel(ctx),
			MissEvent{Issuer: c.issuer, URL: fetch.Bare(v.url), KeyID: w.kid, Algorithm: w.alg, NextFetch: v.missPause(c.clock(), w)})
	}
}

// awaitDue is await for a scheduled fetch. In DUE, there are keys to go on with: it is late
// when the fetch has run for lateAfter. That counts from its own start, and not from when
// this caller came: nobody gets older keys for being impatient, and who leaves earlier gets
// an error.
func (c *Cache) awaitDue(ctx context.Context, state State) (late bool, err error) {
	if state != StateDue {
		return false, c.await(ctx, triggerScheduled, 0)
	}
	for {
		in := c.lateIn()
		if in == 0 {
			return true, nil
		}
		waiting, leave := context.WithTimeout(ctx, in)
		err = c.await(waiting, triggerScheduled, 0)
		leave()
		if err == nil || ctx.Err() != nil {
			return false, err
		}
	}
}

// lateIn returns when the fetch under way is late, or one that begins now would be. One that
// the process slept through is not late: its end is near, and says nothing about the server.
func (c *Cache) lateIn() time.Duration {
	age := c.clock().Since(c.view.Load().started)
	if !c.fetching.Load() || c.sleptThrough(age) { // busy is more: before a fetch has begun, and while hooks are told of it
		return lateAfter
	}
	return max(0, lateAfter-age)
}

// await starts a fetch or joins the one under way, and waits for its end or
// the end of ctx. What came of it is in the view.
func (c *Cache) await(ctx context.Context, t Trigger, seen uint64) error {
	return c.wait(ctx, func() <-chan singleflight.Result { return c.start(ctx, t, seen) })
}

// awaitMiss is await for an unknown key. What a fetch has answered, the next one for
// unknown keys need not be made for.
func (c *Cache) awaitMiss(ctx context.Context, seen uint64, w wanted) error {
	if err := c.wait(ctx, func() <-chan singleflight.Result { return c.startMiss(ctx, seen, w) }); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if v := c.view.Load(); v.asker == v.succeeded {
		if n := v.withAsked(w); n != nil {
			c.view.Store(n)
		}
	}
	return nil
}

func (c *Cache) wait(ctx context.Context, start func() <-chan singleflight.Result) error {
	if ctx.Err() == nil {
		select {
		case r := <-start():
			if id, _ := r.Val.(uint64); id != 0 && c.hooks.Waited != nil {
				c.hooks.Waited(context.WithoutCancel(ctx), WaitEvent{FetchID: id, Issuer: c.issuer, URL: fetch.Bare(c.view.Load().url)})
			}
			return nil
		case <-ctx.Done():
		}
	}
	return bearergate.Guard(ctx, errWait, context.Context.Err)
}

// errWait is what a caller is told whose deadline passes while it waits for keys.
var errWait = &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonKeysUnavailable}

func (v *view) unavailable(retryAfter time.Duration) error {
	e := &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonKeysUnavailable, RetryAfter: max(retryAfter, time.Second), Cause: v.err}
	if f, ok := errors.AsType[*fetch.Error](v.err); ok {
		e.Detail = "the last fetch of the keys failed: " + string(f.Outcome)
		if detail := f.Detail(); detail != "" {
			e.Detail += ": " + detail
		}
	} else if v.err == nil {
		e.Detail = "the authorization server has not been asked recently enough"
	}
	return e
}

func misconfigured(cause error) error {
	return &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonConfig, Cause: cause}
}

// limits puts in the defaults and checks all numbers.
func limits(wrong *mistake.List, c *Config) {
	mistake.Between(wrong, "MinTTL", &c.MinTTL, DefaultMinTTL, leastDuration, limitDuration)
	mistake.Between(wrong, "MaxTTL", &c.MaxTTL, DefaultMaxTTL, leastDuration, limitDuration)
	mistake.Between(wrong, "TTL", &c.TTL, DefaultTTL, leastDuration, limitDuration)
	mistake.Between(wrong, "MaxStale", &c.MaxStale, DefaultMaxStale, time.Millisecond, limitDuration)
	mistake.Between(wrong, "MissInterval", &c.MissInterval, DefaultMissInterval, leastDuration, limitMissInterval)
	mistake.Between(wrong, "FetchTimeout", &c.FetchTimeout, DefaultFetchTimeout, leastDuration, limitFetchTimeout)
	mistake.Between(wrong, "MaxBytes", &c.MaxBytes, DefaultMaxBytes, 1, limitBytes)
	mistake.Between(wrong, "MaxKeys", &c.MaxKeys, DefaultMaxKeys, 1, limitKeys)
	for _, use := range c.AllowUses {
		switch {
		case use == "":
			wrong.Addf("AllowUses has an empty string: remove it; a key without use is admitted anyway")
		case use == "sig":
			wrong.Addf("AllowUses has \"sig\": remove it; that is admitted anyway")
		case strings.EqualFold(use, "enc"):
			wrong.Addf("AllowUses has %q: remove it; such a key is for encryption, and verifies no token", use)
		}
	}
	if c.TTL < c.MinTTL || c.TTL > c.MaxTTL {
		wrong.Addf("TTL is %v: choose between MinTTL (%v) and MaxTTL (%v), or change those", c.TTL, c.MinTTL, c.MaxTTL)
	}
}
