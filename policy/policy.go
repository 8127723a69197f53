// Package policy remembers what a policy engine decided, so that it is asked once for the
// same token and the same question: OPA, Cedar, OpenFGA, a decision point over the
// network, or rules of your own. It is for middleware.Allow and for the Policies of
// grpcgate alike:
//
//	decisions, err := policy.New(policy.Config{Decide: engine.decide})
//	middleware.Allow(func(r *http.Request, t *bearergate.Token) error {
//		return decisions.Ask(r.Context(), t, r.Method, r.Pattern, r.PathValue("id"))
//	})
//
// A decision depends on the token and on the inputs, which are strings, and [Config.Decide]
// is given nothing else. So what it decides by cannot be missing in the key: a route, a
// tenant or a path value that is not among the inputs is one that it does not know. What
// it looks up by itself (a device, a group, the rules) is as old as the memory: see
// [Config.TTL].
//
// What is remembered opens nothing to a token that has expired or is known to be revoked:
// the gate has its verifier decide on the token first, with every request, and no decision
// is kept past exp. Outages are never remembered.
//
// Decide runs on a goroutine of its own, since several requests may wait for one answer,
// and the one that asked first may leave before it is there. It gets neither a request
// nor the context of one.
//
// Everything here is safe for concurrent use.
package policy

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/guard"
	"github.com/bearergate/bearergate/internal/mistake"
	"github.com/bearergate/bearergate/internal/quote"
	"github.com/bearergate/bearergate/internal/ttlcache"
	"github.com/bearergate/bearergate/scope"
)

const (
	// DefaultTTL is the default of [Config.TTL].
	DefaultTTL = 30 * time.Second
	// MaxTTL is the longest [Config.TTL] and [Config.DeniedTTL].
	MaxTTL = 5 * time.Minute
	// DefaultDeniedTTL is the default of [Config.DeniedTTL].
	DefaultDeniedTTL = 5 * time.Second
	// DefaultEntries is the default of [Config.Entries].
	DefaultEntries = 8192
	// MaxEntries is the most that [Config.Entries] may be.
	MaxEntries = 1 << 20
	// DefaultTimeout is the default of [Config.Timeout].
	DefaultTimeout = bearergate.PolicyTimeout
	// MaxTimeout is the longest [Config.Timeout].
	MaxTimeout = 10 * time.Second
	// DefaultCalls is the default of [Config.Calls].
	DefaultCalls = 256
	// MaxCalls is the most that [Config.Calls] may be.
	MaxCalls = 1 << 16

	// grace is how long Decide may take to say that its context has ended.
	grace = 100 * time.Millisecond
	// entryBytes is what an entry may hold on average: a refusal with its texts.
	entryBytes = 1024
	// overhead is what an entry is counted with beside its texts.
	overhead = 256
)

// Config is what [New] needs: Decide.
type Config struct {
	// Decide asks the engine about a token and what [Cache.Ask] was given beside it,
	// which it must not change. nil opens. An error is judged by the rule of
	// [bearergate.Guard]; one that says nothing else is [bearergate.ErrForbidden] with
	// [bearergate.ReasonPolicy]. What an engine cannot decide, such as a result that is
	// undefined, has to be [bearergate.ErrUnavailable], and never nil. A panic is
	// [bearergate.ErrMisconfigured].
	//
	// Its context ends after Timeout, and when nobody waits for the answer any more. It
	// carries no values: the answer is for every request that waits. Decide has to be safe
	// for concurrent use. It must depend on nothing but the token, the inputs and what may
	// be as old as TTL.
	Decide func(ctx context.Context, t *bearergate.Token, inputs []string) error

	// TTL is how long an answer of yes is remembered from the moment at which it was asked
	// for, and never past the token's exp. It is how long a device that was reported
	// stolen, a member who left a group, or a rule that was changed still opens what it
	// opened before, unless that is among the inputs, or [Cache.Purge] is called. Default
	// [DefaultTTL], at most [MaxTTL].
	TTL time.Duration

	// DeniedTTL is the same for an answer of no: how long somebody who was just given
	// access is still refused. Default [DefaultDeniedTTL], at most [MaxTTL].
	DeniedTTL time.Duration

	// Entries is how many answers of yes are remembered, and apart from them how many of
	// no. Each may take up to 1 KiB on average. Default [DefaultEntries], at most
	// [MaxEntries].
	Entries int

	// Timeout is how long Decide has for its answer. Default [DefaultTimeout], which is
	// also what the gates allow; at most [MaxTimeout].
	Timeout time.Duration

	// Calls is how many calls of Decide may run at once, those that ignore the end of
	// their context included. Whoever would need one more gets
	// [bearergate.ErrUnavailable] with [bearergate.ReasonOverloaded]. Default
	// [DefaultCalls], at most [MaxCalls].
	Calls int
}

// Cache remembers decisions. Make one with [New]. A nil or zero Cache refuses everything
// with [bearergate.ErrMisconfigured].
//
// Its four questions:
//   - What bounds it? Entries and bytes, for yes and no apart; of each, the one that was
//     not used for longest goes first. Config.Calls bounds what runs, and each that waits
//     is a request.
//   - Who can fill it? Whoever has a token that satisfies everything before the policy, by
//     asking about ever new inputs. That pushes out the answers of others, which are then
//     asked for again: no answer changes. Refusals push out only refusals. Declare as
//     inputs what Decide needs and no more, the pattern of a route rather than its path.
//   - Who can steer it? Nobody: a key is a hash, with a secret of the process, over the
//     token's [bearergate.Token.Fingerprint] and each input with its length. No input can
//     be written so that it reads as another list, and no token shares an entry with one
//     that says something else.
//   - What does the caller see when it is full? Nothing, but for the time that the engine
//     takes. When Calls run, [bearergate.ErrUnavailable] with [bearergate.ReasonOverloaded].
type Cache struct {
	config Config
	namer  *ttlcache.Namer
	memory atomic.Pointer[memory] // nil only in a zero Cache

	mu      sync.Mutex // guards the rest, and the flights of every memory
	running int        // calls of Decide that have not returned
}

// memory is what was remembered since the last Purge. A call that began before it adds
// nothing to what comes after.
type memory struct {
	granted *ttlcache.Cache[struct{}]
	denied  *ttlcache.Cache[*bearergate.Error]
	flights map[ttlcache.Key]*flight
}

// flight is one call of Decide, and who waits for it.
type flight struct {
	leave  context.CancelFunc
	done   chan struct{} // closed when err is there
	err    error
	late   time.Time // when nobody waits for it any more
	waiter int       // how many wait; guarded by the mutex of the Cache
}

// New returns a Cache. Its error is [bearergate.ErrMisconfigured] and names every mistake
// in c at once.
func New(c Config) (*Cache, error) {
	wrong := mistake.In("policy")
	if c.Decide == nil {
		wrong.Addf("Config.Decide is nil: pass the function that asks the engine")
	}
	mistake.Between(&wrong, "Config.TTL", &c.TTL, DefaultTTL, time.Millisecond, MaxTTL)
	mistake.Between(&wrong, "Config.DeniedTTL", &c.DeniedTTL, DefaultDeniedTTL, time.Millisecond, MaxTTL)
	mistake.Between(&wrong, "Config.Entries", &c.Entries, DefaultEntries, 1, MaxEntries)
	mistake.Between(&wrong, "Config.Timeout", &c.Timeout, DefaultTimeout, time.Millisecond, MaxTimeout)
	mistake.Between(&wrong, "Config.Calls", &c.Calls, DefaultCalls, 1, MaxCalls)
	if err := wrong.Err(); err != nil {
		return nil, &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonConfig, Cause: err}
	}
	var secret [32]byte
	_, _ = rand.Read(secret[:]) // never fails: the program ends instead
	cache := &Cache{config: c, namer: ttlcache.NewNamer(secret)}
	cache.Purge()
	return cache, nil
}

var (
	errZero = &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonConfig,
		Cause: errors.New("policy: the Cache is nil or zero: make it with New")}
	errPolicy = &bearergate.Error{Kind: bearergate.ErrForbidden, Reason: bearergate.ReasonPolicy,
		Detail: "the policy refused", Cause: errors.New("policy: Decide")}
	errOverloaded = &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonOverloaded,
		Detail: "as many calls of Decide are running as Config.Calls allows"}
	errLate = &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonStoreUnavailable,
		Detail: "Decide ignores the end of its context"}
	errEnded = &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonInternal,
		Cause: errors.New("policy: Decide ended its goroutine")}
)

// Purge forgets every decision, and has calls of Decide that are under way answer only
// those who wait for them already: for new rules, and for an event that changes many
// decisions at once.
func (c *Cache) Purge() {
	if c == nil || c.config.Decide == nil {
		return
	}
	most := int64(c.config.Entries) * entryBytes
	c.memory.Store(&memory{
		granted: ttlcache.New[struct{}](c.config.Entries, most),
		denied:  ttlcache.New[*bearergate.Error](c.config.Entries, most),
		flights: map[ttlcache.Key]*flight{},
	})
}

// Ask decides whether t may do what the inputs say: from memory, or by [Config.Decide].
// The order of the inputs matters, and there is no other separator between them: ("a",
// "b") and ("ab") are two questions.
//
// nil means yes. Otherwise exactly one of the eight sentinels is true of the error. Of a
// refusal that was remembered, the error is a copy, whose cause is the text of the first
// one's. Requests that ask the same at once share one call of Decide. One whose ctx ends
// leaves alone: [bearergate.ErrUnavailable], with [bearergate.ReasonCanceled] or
// [bearergate.ReasonStoreUnavailable]. The others go on waiting.
//
// A nil token, and a bound one whose sender has not proved to hold its key, are refused as
// by [bearergate.Token.Authorize], and Decide is not asked. The Explain of a gate asks
// nobody for a proof, so that it ends here for a bound token: its step "policy" says so.
func (c *Cache) Ask(ctx context.Context, t *bearergate.Token, inputs ...string) error {
	if c == nil || c.config.Decide == nil {
		return errZero
	}
	if err := t.Authorize(scope.Requirement{}); err != nil {
		return err
	}
	if ctx == nil {
		ctx = context.Background()
	}
	key, now, m := c.key(t, inputs), time.Now(), c.memory.Load()
	if _, ok := m.granted.Get(key, now); ok {
		return nil
	}
	if denied, ok := m.denied.Get(key, now); ok {
		return copied(denied)
	}
	gone := func() error {
		return bearergate.Guard(ctx, errPolicy, func(ctx context.Context) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return context.Canceled // not nil: a context that is wrong about its end opens nothing
		})
	}
	if ctx.Err() != nil {
		return gone()
	}
	f := c.join(m, key, now, t, inputs)
	if f == nil {
		return errOverloaded
	}
	defer c.part(m, key, f)
	late := time.NewTimer(time.Until(f.late))
	defer late.Stop()
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return gone()
	case <-late.C:
		return errLate
	}
}

// key is the same for two questions only if the token says the same and the inputs are
// the same, in the same order.
func (c *Cache) key(t *bearergate.Token, inputs []string) ttlcache.Key {
	sum := t.Fingerprint()
	size := len(sum)
	for _, s := range inputs {
		size += 8 + len(s)
	}
	b := append(make([]byte, 0, size), sum[:]...)
	for _, s := range inputs {
		b = binary.BigEndian.AppendUint64(b, uint64(len(s)))
		b = append(b, s...)
	}
	return c.namer.Name(string(b))
}

// join returns the call of Decide for the key, which may have to begin; nil if too many run.
func (c *Cache) join(m *memory, key ttlcache.Key, now time.Time, t *bearergate.Token, inputs []string) *flight {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := m.flights[key]
	if f == nil || !now.Before(f.late) { // or those who come one after the other would keep a call alive that hangs
		if c.running >= c.config.Calls {
			return nil
		}
		f = &flight{done: make(chan struct{}), late: now.Add(c.config.Timeout + grace)}
		// Not the caller's context: the others must not lose their answer when it leaves.
		var detached context.Context
		detached, f.leave = context.WithCancel(context.Background())
		m.flights[key] = f
		c.running++
		go c.run(detached, m, key, f, now, t, slices.Clone(inputs))
	}
	f.waiter++
	return f
}

// part is called by each who has waited. With the last one goes the call: so nobody has
// more of them running than requests.
func (c *Cache) part(m *memory, key ttlcache.Key, f *flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.waiter--; f.waiter == 0 {
		m.forget(key, f)
		f.leave()
	}
}

// forget reports whether f was what newcomers join, and has them begin anew.
func (m *memory) forget(key ttlcache.Key, f *flight) bool {
	if m.flights[key] != f {
		return false
	}
	delete(m.flights, key)
	return true
}

func (c *Cache) run(ctx context.Context, m *memory, key ttlcache.Key, f *flight, asked time.Time, t *bearergate.Token, inputs []string) {
	err, denied := error(errEnded), (*bearergate.Error)(nil)
	defer func() { // also after Goexit
		c.mu.Lock()
		defer c.mu.Unlock()
		c.running--
		// Of a call that everybody has left, the answer may be older than that of the
		// next one: it is not kept.
		if m.forget(key, f) {
			c.remember(m, key, asked, t, err, denied)
		}
		f.err = err
		close(f.done)
	}()
	err = bearergate.GuardWithin(ctx, c.config.Timeout, errPolicy, func(ctx context.Context) error {
		return c.config.Decide(ctx, t, inputs)
	})
	denied = kept(err)
}

// remember keeps a verdict, and nothing else. It takes the place of an opposite one: a
// request that looked into the memory just before another one's answer was there asks again.
func (c *Cache) remember(m *memory, key ttlcache.Key, asked time.Time, t *bearergate.Token, err error, denied *bearergate.Error) {
	left := MaxTTL
	if exp := t.ExpiresAt(); !exp.IsZero() {
		left = exp.Sub(asked)
	}
	switch {
	case err == nil:
		m.denied.Delete(key)
		m.granted.Add(key, struct{}{}, overhead, asked, min(c.config.TTL, left))
	case denied != nil:
		m.granted.Delete(key)
		m.denied.Add(key, denied, size(denied), asked, min(c.config.DeniedTTL, left))
	}
}

// kept is what is remembered of a refusal: nothing that holds on to a request. It is nil
// for an outage, for nil, and for an error that panics when it is looked at.
func kept(err error) *bearergate.Error {
	var e *bearergate.Error
	looked := guard.Call(func() error {
		if err != nil && !errors.Is(err, bearergate.ErrUnavailable) && !errors.Is(err, bearergate.ErrMisconfigured) {
			e = copied(bearergate.AsError(err))
			e.Refused = nil
			if e.Cause != nil {
				e.Cause = errors.New(quote.Cut(e.Cause.Error()))
			}
		}
		return nil
	}, nil)
	if looked == nil {
		return e
	}
	return nil
}

// copied is a copy that its owner may change.
func copied(e *bearergate.Error) *bearergate.Error {
	c := *e
	c.Scopes, c.ACRValues = slices.Clone(c.Scopes), slices.Clone(c.ACRValues)
	return &c
}

// size is what a refusal is counted with.
func size(e *bearergate.Error) int64 {
	n := overhead + len(e.Detail) + len(e.Expected) + len(e.Found) + len(e.ClaimsChallenge)
	for _, s := range slices.Concat(e.Scopes, e.ACRValues) {
		n += len(s)
	}
	if e.Cause != nil {
		n += len(e.Cause.Error())
	}
	return int64(n)
}
