// Package revocation refuses tokens that are good by themselves and were revoked: a token,
// a session, all tokens of a user, a client, a tenant or an issuer from before a moment, or
// whatever a stolen key has signed. A lookup takes no call and less than a microsecond. With
// a [Log] that the processes of a fleet share, a revocation reaches all of them in about a
// second.
//
//	list, err := revocation.New(revocation.Config{MaxTokenLife: time.Hour, Log: log})
//	go list.Run(ctx)
//	err = list.Warm(ctx) // before the first request
//	v, err := jwtverify.New(jwtverify.Config{…, Check: list.Check})
//	list.Watch(v.Keys())
//
//	err = list.Add(ctx, revocation.Entry{Issuer: "https://as.example.com", Subject: "alice", Source: "admin"})
//
// Together with another Check, use [bearergate.Checks]. In front of a verifier that has no
// Check, such as an issuers.Router, use [List.Guard].
//
// # What is answered when
//
// A token that an [Entry] matches is refused with [bearergate.ErrInvalidToken] and
// [bearergate.ReasonRevoked], whatever else is wrong. A process that has heard nothing of
// the others for MaxLag does not know what is revoked: it answers
// [bearergate.ErrUnavailable], unless InsecureFailOpen is set. So it does before it has read
// the Log for the first time, and while there is more in the Log than it has room for.
//
// What a process has seen revoked stays so, whatever the Log says later: what a store has
// lost, any process puts back. [List.Lift] is the one way back.
//
// # What it cannot do
//
// Nobody can list the tokens of a user, so a token is revoked by what it says of itself:
// without jti, no Entry with TokenID matches it; without sid, none with Session. An Entry
// is dropped when no token is left that it is about, so the List has to know how long tokens
// live: those that live longer than MaxTokenLife, or do not say how long, are refused.
//
// Who adds an Entry must be somebody who may: the feeds in the packages below this one check
// that. Whoever can write to the Log can shut anybody out, and lift any Entry.
//
// A [List] is safe for concurrent use.
package revocation

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/clock"
	"github.com/bearergate/bearergate/internal/feed"
	"github.com/bearergate/bearergate/internal/guard"
	"github.com/bearergate/bearergate/internal/mistake"
	"github.com/bearergate/bearergate/jwks"
)

// What a [Config] does where it does not say otherwise.
const (
	// DefaultMaxEntries is how many entries a List holds: some 60 MB, if it is full.
	DefaultMaxEntries = 200_000
	// DefaultMaxLag is how long a process may have heard nothing of the others.
	DefaultMaxLag = 30 * time.Second
)

const (
	maxEntriesLimit = 10_000_000
	maxAdded        = 10_000 // entries in one call of Add
	swept           = 32     // ended entries that one change takes out
	sweptInRun      = 10_000 // and one turn of Run
	putBackWithin   = 2 * time.Second
	fullAgain       = 10 * time.Second // how often a reader that was full begins again
	copiedAtOnce    = 256              // entries, for whoever looks at all
	recordsPerEntry = 4                // in Log, of a Source, beside PerSource
)

// Config says what a [List] holds.
type Config struct {
	// MaxTokenLife is how long a token may live: exp less iat, or less the time of the
	// answer for an opaque token without iat. One that lives longer, or does not say, is
	// refused, for an Entry about it would be dropped before it ends. Required: the longest
	// life of the tokens of your authorization servers; a second to a year.
	MaxTokenLife time.Duration
	// MaxEntries is how many entries the List holds, those that were lifted included, until
	// they end. [List.Add] refuses more, with [bearergate.ReasonOverloaded]. Several processes
	// may add at once what is the last for each of them, so there is room for an eighth more
	// that is read in the Log; a process that reads more than that answers 503. Default:
	// [DefaultMaxEntries]; at most ten million.
	MaxEntries int
	// PerSource is how many of them one Source may add, so that a feed gone mad leaves room
	// for the others, and two of them for an operator. So that it leaves room in Log as well,
	// [List.Add] also refuses, with [bearergate.ReasonOverloaded], a Source that has four times
	// as many records there: an Entry is a record each time it is added, until it ends.
	// Default: a third of MaxEntries.
	PerSource int

	// Log is what the processes of a fleet share. Default: none, and an Entry counts in this
	// process, until it ends.
	Log Log
	// MaxLag is how long this process may have heard nothing of the others until it answers
	// 503. Default: [DefaultMaxLag]; 10 seconds to an hour. That a Log answers, and is cut off
	// from the others, shows after 10 seconds and one look: with the least MaxLag, 503 may come
	// a second late. Not used without a Log.
	MaxLag time.Duration
	// InsecureFailOpen accepts tokens while nothing was heard for MaxLag, or Log was never
	// read, unless an Entry that is known refuses them. [List.Guard] marks them as
	// [bearergate.Token.Stale]. It does not help where there is more in Log than MaxEntries.
	//
	// Danger: whoever can cut a process off from the Log uses tokens that were revoked.
	InsecureFailOpen bool

	// Hooks are told what happens. Default: none.
	Hooks Hooks
}

// List knows what is revoked.
//
//   - What bounds it: MaxEntries, of at most some 3 KiB each; the life of an Entry.
//   - Who can fill it: whoever can call Add, so the feeds, each up to PerSource, and whoever
//     can write to the Log. The Log: the same, each Source up to four records for each of
//     PerSource, and some more for what several processes add in the same second.
//   - Who can steer it: the same. Nobody by a token.
//   - What the caller sees when it is full: Add an error, which feeds answer with 503, so
//     that their senders try again. A process that cannot hold what it reads answers 503.
type List struct {
	life       time.Duration
	maxEntries int
	perSource  int
	maxLag     time.Duration
	failOpen   bool
	hooks      Hooks
	feed       *feed.Follower // nil: no Log

	mu       sync.RWMutex // guards what follows
	table    table
	pass     uint32         // which reading of the log this is
	overflow bool           // this reading had more than there is room for
	lost     []*held        // what this reading has not met
	putBack  time.Time      // when to put that back; zero: there is nothing
	told     map[string]int // how many records of a Source Log has, as far as this process knows
	counted  map[string]int // how many this reading has met, but for some of its last seconds; nil: it has reached the end

	full    atomic.Bool // the last whole reading had more than there is room for
	skipped atomic.Uint64
	again   time.Time // when a full reader begins again; Run alone uses it
	keys    keys
}

// New returns an empty List, or all that is wrong with the configuration, as one
// [bearergate.ErrMisconfigured]. With a Log, it answers 503 until [List.Warm] or [List.Run]
// has read that.
func New(c Config) (*List, error) {
	wrong := mistake.In("revocation")
	if c.MaxTokenLife == 0 {
		wrong.Addf("MaxTokenLife is not set: set it to the longest life of the tokens of your authorization servers")
	} else {
		mistake.Between(&wrong, "MaxTokenLife", &c.MaxTokenLife, 0, time.Second, KeyLife)
	}
	mistake.Between(&wrong, "MaxEntries", &c.MaxEntries, DefaultMaxEntries, 1, maxEntriesLimit)
	mistake.Between(&wrong, "PerSource", &c.PerSource, max(1, c.MaxEntries/3), 1, max(1, c.MaxEntries))
	mistake.Between(&wrong, "MaxLag", &c.MaxLag, DefaultMaxLag, 2*feed.Beat, time.Hour)
	if c.Log != nil && guard.IsNil(c.Log) {
		wrong.Addf("Log is a nil pointer: leave it out, or give one")
	}
	if c.InsecureFailOpen && c.Log == nil {
		wrong.Addf("InsecureFailOpen says what to do when Log is not heard, and there is no Log: leave it out")
	}
	if err := wrong.Err(); err != nil {
		return nil, &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonConfig, Cause: err}
	}
	l := &List{life: c.MaxTokenLife, maxEntries: c.MaxEntries, perSource: c.PerSource, maxLag: c.MaxLag, failOpen: c.InsecureFailOpen,
		hooks: JoinHooks(c.Hooks), table: newTable(), pass: 1, told: map[string]int{}}
	l.keys.told = l.hooks.Refetched
	if c.Log != nil {
		l.feed = feed.New(feed.Config{Log: c.Log, Kind: kind, Begin: l.begin, Take: l.take, Whole: l.whole, Told: l.looked})
	}
	return l, nil
}

// Check refuses a token that is revoked: for the Check of a verifier. It waits for nobody
// and makes no call. Errors are [bearergate.ErrInvalidToken], with
// [bearergate.ReasonRevoked] if an Entry matches, and with [bearergate.ReasonPolicy] if the
// token lives longer than MaxTokenLife; and [bearergate.ErrUnavailable] where this process
// does not know what is revoked.
func (l *List) Check(ctx context.Context, t *bearergate.Token) error {
	_, err := l.check(ctx, t)
	return err
}

// check also says whether the token was let pass although nothing is known.
func (l *List) check(ctx context.Context, t *bearergate.Token) (stale bool, err error) {
	if err := l.lookup(ctx, t); err != nil {
		return false, err
	}
	if err := l.checkLife(t); err != nil {
		return false, err
	}
	err = l.ready(time.Now())
	if err != nil && l.failOpen && !l.full.Load() {
		return true, nil
	}
	return false, err
}

// lookup refuses what an Entry matches.
func (l *List) lookup(ctx context.Context, t *bearergate.Token) error {
	v := valuesOf(t)
	has := v.mask()
	l.mu.RLock()
	h := l.match(&v, has, issued(t))
	if h == nil {
		l.mu.RUnlock()
		return nil
	}
	e := RefusedEvent{Issuer: v.issuer, Source: h.source, By: kinds[h.mask]}
	l.mu.RUnlock()
	if l.hooks.Refused != nil {
		l.hooks.Refused(ctx, e)
	}
	detail := "revocation: an entry by " + e.By + " revokes it"
	if e.Source != "" {
		detail = "revocation: an entry of " + e.Source + " by " + e.By + " revokes it"
	}
	return &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonRevoked, Detail: detail}
}

func (l *List) match(v *values, has uint8, issued time.Time) *held {
	var hashes hashes
	hashed := false
	for _, mask := range l.table.masks {
		if mask&has != mask {
			continue
		}
		if !hashed { // most services hold nothing most of the time
			hashes, hashed = v.hashes(l.table.seed, has), true
		}
		h := l.table.find(v, mask, hashes.of(mask))
		if h == nil || h.lifted {
			continue
		}
		if mask&outright != 0 || issued.IsZero() || issued.UnixNano() <= h.before {
			return h
		}
	}
	return nil
}

var (
	errNoExpiry = &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonPolicy,
		Detail: "revocation: the token has no exp: nobody knows how long to remember that it is revoked"}
	errNoIssue = &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonPolicy,
		Detail: "revocation: the token has no iat, so that MaxTokenLife cannot be checked"}
)

// issued is when a token was issued, as far as it says: its iat, or the time of the answer
// of the authorization server where that comes first or is all that is known. An answer from
// after a cut-off does not make an old token new: the server may not know of the cut-off.
func issued(t *bearergate.Token) time.Time {
	iat, asOf := t.IssuedAt(), t.AsOf()
	if asOf.IsZero() || !iat.IsZero() && iat.Before(asOf) {
		return iat
	}
	return asOf
}

// checkLife refuses tokens that outlive what is known about them.
func (l *List) checkLife(t *bearergate.Token) error {
	exp, from := t.ExpiresAt(), issued(t)
	switch {
	case exp.IsZero():
		return copied(errNoExpiry)
	case from.IsZero():
		return copied(errNoIssue)
	case exp.Sub(from) > l.life:
		return &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonPolicy,
			Detail: "revocation: the token lives longer than MaxTokenLife", Expected: "at most " + l.life.String()}
	}
	return nil
}

var (
	errNotHeard = &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonStoreUnavailable, RetryAfter: time.Second,
		Detail: "revocation: nothing was heard of Log for MaxLag, so that nobody knows what is revoked: look at its store, and whether Run is running"}
	errNeverRead = &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonStoreUnavailable, RetryAfter: time.Second,
		Detail: "revocation: Log has not been read yet: call Warm, and Run"}
	errFull = &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonOverloaded, RetryAfter: fullAgain,
		Detail: "revocation: there is more in Log than MaxEntries: raise it"}
)

// ready reports whether this process knows what is revoked.
func (l *List) ready(now time.Time) error {
	switch {
	case l.feed == nil:
		return nil
	case l.full.Load():
		return copied(errFull)
	case l.feed.Age(now) < l.maxLag:
		return nil
	case l.feed.Heard().IsZero():
		return copied(errNeverRead)
	}
	return copied(errNotHeard)
}

// copied is an error of the caller's own.
func copied(e *bearergate.Error) error {
	own := *e
	return &own
}

// Add revokes. Each Entry counts in this process at once, and in every other process of the
// fleet in about a second. Add returns when the Log has them, so that whoever was told of no
// error need not ask again; adding an Entry again does no harm.
//
// Errors: [bearergate.ErrInvalidRequest] for an Entry that cannot be, and then none of them
// counts, and the error names all mistakes; [bearergate.ErrUnavailable] with
// [bearergate.ReasonOverloaded] if there is no room, when none counts either, and with
// [bearergate.ReasonStoreUnavailable] if the Log has failed, or [bearergate.ErrMisconfigured]
// if the Log says so of itself. Then they count here, and Run goes on trying to tell the
// others: add them again until there is no error.
func (l *List) Add(ctx context.Context, entries ...Entry) error {
	now := clock.At(time.Now())
	if len(entries) > maxAdded {
		return invalid(fmt.Errorf("revocation: %d entries: at most %d at once", len(entries), maxAdded))
	}
	wrong := mistake.In("revocation")
	records := make([]record, len(entries))
	for i, e := range entries {
		at := ""
		if len(entries) > 1 {
			at = fmt.Sprintf("entry %d: ", i)
		}
		e.check(&wrong, at, now.Wall, l.life)
		records[i] = record{at: now.Wall.UnixMilli(), entry: e}
	}
	if err := wrong.Err(); err != nil {
		return invalid(err)
	}
	return l.change(ctx, now, records)
}

// Lift takes back the Entry with the same values: Before, Until and Source do not count.
// Tokens that it alone refused are good again, here at once and in the fleet in about a
// second. As long as it is remembered, until the time at which it would have ended, an Entry
// that is added with the same values has the latest Before and Until of both: what was lifted
// comes back with it. Errors are those of Add; [bearergate.ErrInvalidRequest] also if there is
// no such Entry.
func (l *List) Lift(ctx context.Context, e Entry) error {
	now := clock.At(time.Now())
	v := e.values()
	l.mu.RLock()
	_, h := l.held(&v)
	found := h != nil && (!h.lifted || h.pass == 0 && l.feed != nil) // one that the Log has not is told again
	if found {
		e = h.entry()
	}
	l.mu.RUnlock()
	if !found {
		return invalid(errors.New("revocation: there is no Entry with these values"))
	}
	return l.change(ctx, now, []record{{lift: true, at: now.Wall.UnixMilli(), entry: e}})
}

func invalid(err error) error {
	return &bearergate.Error{Kind: bearergate.ErrInvalidRequest, Reason: bearergate.ReasonBadRequest, Cause: err}
}

// held returns what is held for values, and their hash. The caller holds a lock.
func (l *List) held(v *values) (uint64, *held) {
	mask := v.mask()
	hashes := v.hashes(l.table.seed, mask)
	hash := hashes.of(mask)
	return hash, l.table.find(v, mask, hash)
}

// change applies records here, and tells the others.
func (l *List) change(ctx context.Context, now clock.Instant, records []record) error {
	ctx = orBackground(ctx)
	changed, pass, err := l.applyOwn(now, records)
	if err != nil {
		return err
	}
	for _, r := range records {
		l.changed(ctx, &r, true)
	}
	if l.feed == nil || len(changed) == 0 {
		return nil
	}
	if err := l.tell(ctx, changed, pass); err != nil {
		return ofLog(ctx, err)
	}
	return nil
}

// ofLog is an error of the Log for whoever changes something. That there is no room, and
// that an Entry cannot be, this List alone says: then nothing counts. Here it does,
// whatever the Log calls its error.
func ofLog(ctx context.Context, err error) error {
	e := bearergate.AsError(bearergate.Guard(ctx, errLog, func(context.Context) error { return err }))
	if e.Kind == bearergate.ErrMisconfigured || e.Kind == bearergate.ErrUnavailable && e.Reason != bearergate.ReasonOverloaded {
		return e
	}
	failed := *errLog
	failed.Cause = err
	return &failed
}

var errLog = &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonStoreUnavailable, RetryAfter: time.Second,
	Detail: "revocation: Log has failed: what was to be changed counts in this process alone so far", Cause: errors.New("revocation: Log")}

// applyOwn applies all records, or none if there is no room for them.
func (l *List) applyOwn(now clock.Instant, records []record) (changed []news, pass uint32, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.table.sweep(now, max(swept, 2*len(records)))
	more, bySource, toTell := map[values]bool{}, map[string]int{}, map[string]int{}
	for i := range records {
		if !records[i].lift { // whoever lifts is an operator, and no feed gone mad
			toTell[records[i].entry.Source]++
		}
		v := records[i].entry.values()
		if _, h := l.held(&v); h == nil && !more[v] {
			more[v] = true
			bySource[records[i].entry.Source]++
		}
	}
	for source, n := range bySource {
		if l.table.sources[source]+n > l.perSource {
			return nil, 0, overloaded("revocation: a Source has as many entries as PerSource: " + or(source, "the one without a name"))
		}
	}
	for source, n := range toTell {
		if l.told[source]+n > recordsPerEntry*l.perSource {
			return nil, 0, overloaded("revocation: a Source has as many records in Log as PerSource lets it have: " + or(source, "the one without a name"))
		}
	}
	if len(l.table.ends)+len(more) > l.maxEntries {
		return nil, 0, overloaded("revocation: the List is full: raise MaxEntries")
	}
	for i := range records {
		v := records[i].entry.values()
		if _, h := l.held(&v); h != nil {
			records[i].at = max(records[i].at, next(h))
		}
		h := l.apply(&records[i], now)
		l.table.unmet(h) // until Append has said yes
		changed = append(changed, news{h, records[i].entry.Source})
	}
	return changed, l.pass, nil
}

// orBackground is ctx; nil is a caller's mistake, and no reason to panic.
func orBackground(ctx context.Context) context.Context {
	if ctx == nil {
		return context.Background()
	}
	return ctx
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

func overloaded(detail string) error {
	return &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonOverloaded, RetryAfter: time.Minute, Detail: detail}
}

// next is the earliest time that a record may have which is to hold against what is held.
// Records of one Entry are put in order by their time, in every process alike, however
// often and in whatever order they are read. It is that of a clock, and later than what
// whoever wrote the record had seen: so a clock that is slow does not lose what it says.
// Where an Entry was added and lifted at the same time, it counts: so an Add that has not seen
// a lift holds against it.
func next(h *held) int64 {
	if h.at < math.MaxInt64 {
		return h.at + 1
	}
	return h.at
}

// apply applies a record, and returns what is held then. The caller holds the lock, and sees to it that there is room.
func (l *List) apply(r *record, now clock.Instant) *held {
	v := r.entry.values()
	hash, h := l.held(&v)
	before, until := r.entry.Before.UnixNano(), r.entry.Until.Add(kept).UnixNano()
	if h == nil {
		mask := v.mask()
		h = &held{values: string(v.append(nil, mask)), hash: hash, mask: mask, source: l.source(r.entry.Source), said: said{at: r.at, lifted: r.lift, before: before}, index: -1}
		l.table.lives(h, until, now)
		l.table.put(h)
		if r.lift {
			l.table.lifted++
		}
		return h
	}
	if r.lift != h.lifted && (r.at > h.at || r.at == h.at && h.lifted) {
		if h.lifted = r.lift; r.lift {
			l.table.lifted++
		} else {
			l.table.lifted--
		}
	}
	h.at, h.before = max(h.at, r.at), max(h.before, before)
	l.table.lives(h, until, now)
	return h
}

// source is one text for all entries of a source.
func (l *List) source(name string) string {
	if h := l.table.newest; h != nil && h.source == name {
		return h.source
	}
	return name
}

// news is what the log has not, and who has said it: another Source, perhaps, than the first.
type news struct {
	*held
	by string
}

// tell puts what is held into the log.
func (l *List) tell(ctx context.Context, changed []news, pass uint32) error {
	l.mu.RLock()
	records, told := make([]feed.Record, len(changed)), make([]said, len(changed))
	for i, h := range changed {
		r := h.record()
		r.entry.Source = h.by
		records[i], told[i] = feed.Record{Data: r.encode(), Until: time.Unix(0, h.until)}, h.said
	}
	l.mu.RUnlock()
	if err := l.feed.Append(ctx, records...); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range changed {
		l.count(l.told, h.by)
	}
	if pass != l.pass {
		return nil // a reading has begun meanwhile, and will meet them
	}
	for i, h := range changed {
		if h.index >= 0 && h.said == told[i] { // it has not ended meanwhile, and nothing else was said of it
			l.table.met(h.held, pass)
		}
	}
	return nil
}

// begin, take and whole read the log.
func (l *List) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pass++
	l.overflow, l.lost, l.putBack = false, nil, time.Time{}
	l.counted = map[string]int{}
}

// count counts a record of a Source. Whoever can write to the log can make up any number of
// sources.
func (l *List) count(records map[string]int, source string) {
	if _, met := records[source]; met || len(records) < l.maxEntries {
		records[source]++
	}
}

func (l *List) take(payload []byte, ahead bool) bool {
	r, ok := parseRecord(payload)
	if !ok {
		l.skipped.Add(1)
		return false
	}
	if l.takeRecord(&r, ahead) {
		l.changed(context.Background(), &r, false)
	}
	return true
}

// takeRecord reports whether the record has changed what is held.
func (l *List) takeRecord(r *record, ahead bool) bool {
	now := clock.At(time.Now())
	l.mu.Lock()
	defer l.mu.Unlock()
	l.table.sweep(now, swept)
	changed, isNew := l.meet(r, now)
	switch {
	case l.counted != nil && !ahead:
		l.count(l.counted, r.entry.Source)
	case isNew: // what is our own was counted when it was told
		l.count(l.told, r.entry.Source)
	}
	return changed
}

// meet applies a record that the log has, and reports whether that changes anything, and
// whether this process had not seen the record. The caller holds the lock.
func (l *List) meet(r *record, now clock.Instant) (changed, isNew bool) {
	v := r.entry.values()
	_, h := l.held(&v)
	if h == nil {
		if until := r.entry.Until.Add(kept); !now.Wall.Before(until) {
			return false, false
		}
		if len(l.table.ends) >= l.maxEntries+l.maxEntries/8 {
			l.overflow = true
			l.full.Store(true)
			return false, false
		}
	}
	var was said
	if h != nil {
		was = h.said
	}
	l.apply(r, now)
	if h == nil {
		_, h = l.held(&v)
		l.table.met(h, l.pass)
		return true, true
	}
	// The log has it only if it says all that is known here.
	if r.lift == h.lifted && r.at >= h.at && r.entry.Before.UnixNano() >= h.before && r.entry.Until.Add(kept).UnixNano() >= h.until {
		l.table.met(h, l.pass)
	}
	return !h.sameAs(was), h.said != was
}

func (l *List) whole() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.full.Store(l.overflow)
	l.told, l.counted = l.counted, nil
	for h := l.table.oldest; h != nil && h.pass < l.pass; h = h.newer {
		l.lost = append(l.lost, h)
	}
	if n := len(l.lost); n > 0 {
		// Every process has met the same. Whoever is first spares the others the work, and
		// where there is much of it, each begins somewhere else.
		first := int(feed.Random(time.Duration(n)))
		l.lost = slices.Concat(l.lost[first:], l.lost[:first])
		l.putBack = time.Now().Add(feed.Random(putBackWithin))
	}
}

func (l *List) looked(ctx context.Context, e feed.Event) {
	if l.hooks.Synced != nil {
		l.hooks.Synced(ctx, SyncEvent{Err: e.Err, Whole: e.Whole, Records: e.Records, Skipped: e.Skipped, Duration: e.Duration})
	}
}

// Warm reads the whole Log, or what is new in it, and returns when this process knows what
// is revoked: call it before the first request is served. It ends with ctx. Without a Log
// it does nothing.
func (l *List) Warm(ctx context.Context) error {
	ctx = orBackground(ctx)
	if l.feed == nil {
		return nil
	}
	if err := l.feed.Look(ctx); err != nil {
		return bearergate.Guard(ctx, errLog, func(context.Context) error { return err })
	}
	return l.ready(time.Now())
}

// Run follows the Log until ctx ends, and then returns nil. It looks twice a second, and
// says every 5 s that this process is there, by a record that has to come back. While Log
// fails, it tries again after 2.4 s at most. It also puts back what the Log has lost, and
// forgets what has ended. Call it once for a List, with a Log or without; a second call
// returns [bearergate.ErrMisconfigured].
func (l *List) Run(ctx context.Context) error {
	ctx = orBackground(ctx)
	if l.feed == nil {
		return l.runAlone(ctx)
	}
	if err := l.feed.Run(ctx, l.turn); err != nil {
		return &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonConfig, Cause: fmt.Errorf("revocation: Run: %w", err)}
	}
	return nil
}

func (l *List) runAlone(ctx context.Context) error {
	tick := time.NewTicker(feed.Beat)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			l.sweep()
		case <-ctx.Done():
			return nil
		}
	}
}

func (l *List) sweep() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.table.sweep(clock.At(time.Now()), sweptInRun)
}

// turn is what Run does after each look.
func (l *List) turn(ctx context.Context) error {
	l.sweep()
	if l.full.Load() {
		switch now := time.Now(); {
		case l.again.IsZero():
			l.again = now.Add(fullAgain)
		case !now.Before(l.again): // entries have ended meanwhile, perhaps
			l.again = time.Time{}
			l.feed.Restart()
		}
	}
	for n := 0; ; {
		missing, pass := l.missing()
		if len(missing) == 0 {
			if n > 0 && l.hooks.PutBack != nil {
				l.hooks.PutBack(ctx, PutBackEvent{Entries: n})
			}
			return nil
		}
		if err := l.tell(ctx, missing, pass); err != nil {
			return err
		}
		n += len(missing)
		if err := l.feed.Look(ctx); err != nil { // what others have put back meanwhile
			return err
		}
	}
}

// missing are some of those that the log has not.
func (l *List) missing() (missing []news, pass uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.putBack.IsZero() || time.Now().Before(l.putBack) {
		return nil, 0
	}
	for ; len(l.lost) > 0 && len(missing) < feed.Page; l.lost = l.lost[1:] {
		if h := l.lost[0]; h.index >= 0 && h.pass < l.pass { // it has not ended meanwhile, and nobody else has put it back
			missing = append(missing, news{h, h.source})
		}
	}
	if len(missing) == 0 {
		l.lost, l.putBack = nil, time.Time{}
	}
	return missing, l.pass
}

// Watch has the keys of an issuer fetched again when an [Entry] with one of its keys comes
// in: so a key that the issuer no longer publishes is dropped in every process, and one that
// is new is known. A source that fetches nothing, such as a [jwks.Set], is left alone. Call
// it before the first Entry.
func (l *List) Watch(sources ...jwks.Source) {
	for _, s := range sources {
		l.keys.watch(s)
	}
}

// Status says what a [List] holds and knows.
type Status struct {
	Entries int            // that count
	Lifted  int            // that do not, and are remembered so that they stay so
	Sources map[string]int // both, by Source
	Ready   bool           // this process knows what is revoked
	// Heard is when this process last heard all that the others had said, and Lag how long
	// ago that is; zero and -1 without a Log, or before it was read.
	Heard time.Time
	Lag   time.Duration
	// Unlogged is how many entries the Log has not, as far as this process knows.
	Unlogged int
	Skipped  uint64 // records of the Log that could not be read
	Full     bool   // there is more in the Log than MaxEntries
}

// Status returns what the List holds and knows at this moment.
func (l *List) Status() Status {
	s := Status{Ready: l.ready(time.Now()) == nil, Lag: -1, Skipped: l.skipped.Load(), Full: l.full.Load()}
	if l.feed != nil {
		if s.Heard = l.feed.Heard(); !s.Heard.IsZero() {
			s.Lag = l.feed.Age(time.Now())
		}
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	s.Lifted, s.Sources = l.table.lifted, maps.Clone(l.table.sources)
	s.Entries = len(l.table.ends) - s.Lifted
	if l.feed != nil {
		for h := l.table.oldest; h != nil && (h.pass == 0 || h.pass+1 < l.pass); h = h.newer {
			s.Unlogged++
		}
	}
	return s
}

// All returns what is revoked, in no order: for operators, since values are of users and
// tokens. What is added meanwhile may be missing. Requests wait for a few entries at a time,
// and not for the end.
func (l *List) All() iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		l.mu.RLock()
		all := slices.Clone(l.table.ends) // pointers alone
		l.mu.RUnlock()
		for some := range slices.Chunk(all, copiedAtOnce) {
			for _, e := range l.copies(some) {
				if !yield(e) {
					return
				}
			}
		}
	}
}

// copies are the entries of those that count.
func (l *List) copies(some []*held) (entries []Entry) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, h := range some {
		if h.index >= 0 && !h.lifted {
			entries = append(entries, h.entry())
		}
	}
	return entries
}
