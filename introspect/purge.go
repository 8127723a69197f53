package introspect

import (
	"context"
	"time"
)

const maxPurges = 1 << 16 // of single tokens that are remembered

// purges are the purges that may still concern an answer on its way, or in the Store.
//
//   - What bounds them: maxPurges names, each for as long as an answer from before it can
//     live. Whoever purges more loses the rest of the Store, which costs calls.
//   - Who can fill and steer them: whoever calls Purge.
type purges struct {
	all    time.Time         // of everything
	single map[key]time.Time // of one token
	next   time.Time         // when to look for those that are over
}

// since returns the time of the last purge of a token. It is called with Client.purging held
// for reading.
func (p *purges) since(name key) time.Time {
	if at := p.single[name]; at.After(p.all) {
		return at
	}
	return p.all
}

// add is called with Client.purging held for writing. at is the time of a purge, and life how
// long it has to be remembered.
func (p *purges) add(name key, at, now time.Time, life time.Duration) {
	if len(p.single) >= maxPurges || now.After(p.next) {
		p.next = now.Add(life)
		for other, at := range p.single {
			if now.Sub(at) > life {
				delete(p.single, other)
			}
		}
		if len(p.single) >= maxPurges {
			p.all = now
			clear(p.single)
		}
	}
	if p.single == nil {
		p.single = map[key]time.Time{}
	}
	if at.After(p.single[name]) {
		p.single[name] = at
	}
}

// purgedSince reports whether a token was purged since a flight began.
func (c *Client) purgedSince(name key, m *memory, fl *flight) bool {
	c.purging.RLock()
	defer c.purging.RUnlock()
	return c.memory.Load() != m || fl.purged || !c.purges.since(name).Before(fl.began)
}

// purgeLife is how long a purge has to be remembered: as long as an answer from before it can
// live, or be on its way to the Store.
func (c *Client) purgeLife() time.Duration {
	return c.positiveTTL + maxClockSkew + c.timeout + storeGrace
}

// Purge is [Client.PurgeContext] without a context, for those who want no error: see
// [PurgeEvent].
func (c *Client) Purge(token string) { _ = c.PurgeContext(context.Background(), token) }

// PurgeContext forgets what is remembered of a token, here and in the Store, and with
// Config.PurgeLog in every process that follows it: the next Verify asks the server. It is
// for an incident that cannot wait for PositiveTTL. It concerns no other token.
//
// The answer to a call about the token that is under way is not remembered. An answer that
// this process is writing to the Store is purged again as soon as it is written. Without
// PurgeLog, other processes that share the Store keep what they have in memory until it ends,
// and one that is asking the server may put the older answer into the Store, for its
// PositiveTTL. With it, they forget what they have and ignore what is older in the Store as
// soon as they have read of the purge, which takes about a second.
//
// PurgeContext returns when the Store has answered, or after Store.Timeout, and then when
// PurgeLog has, or after 2 s. An error says that PurgeLog has failed, or without PurgeLog the
// Store, and that other processes may not know: [bearergate.ErrUnavailable] with
// [bearergate.ReasonStoreUnavailable], with [bearergate.ReasonCanceled], or whatever PurgeLog
// says of itself. The token is purged here all the same; purge it again until there is no
// error, or wait for PositiveTTL.
func (c *Client) PurgeContext(ctx context.Context, token string) error {
	if c == nil || c.memory.Load() == nil {
		return misconfigured(errZero)
	}
	name, now := c.names.Name(token), time.Now()
	c.purge(false, name, now)
	err := c.overwrite(name)
	if c.fleet != nil { // whoever hears of it ignores what is older in the Store
		err = c.fleet.append(ctx, purgeOne, name, now)
	}
	c.purged(PurgeEvent{Issuer: c.issuer, Err: err})
	return err
}

// PurgeAll is [Client.PurgeAllContext] without a context, for those who want no error: see
// [PurgeEvent].
func (c *Client) PurgeAll() { _ = c.PurgeAllContext(context.Background()) }

// PurgeAllContext forgets everything that is remembered, here and with Config.PurgeLog in
// every process that follows it. From then on, these processes ignore what was written to
// the Store before. Errors are those of [Client.PurgeContext].
func (c *Client) PurgeAllContext(ctx context.Context) error {
	if c == nil || c.memory.Load() == nil {
		return misconfigured(errZero)
	}
	now := time.Now()
	c.purge(true, key{}, now)
	err := c.fleet.append(ctx, purgeAll, key{}, now)
	c.purged(PurgeEvent{Issuer: c.issuer, All: true, Err: err})
	return err
}

// purge forgets what is remembered of one token, or of all, in this process. at is the time
// of the purge.
func (c *Client) purge(all bool, name key, at time.Time) {
	now := time.Now()
	c.purging.Lock()
	defer c.purging.Unlock()
	if all {
		if at.After(c.purges.all) {
			c.purges.all = at
		}
		c.memory.Store(c.newMemory())
		c.flights.detachAll()
		return
	}
	c.purges.add(name, at, now, c.purgeLife())
	m := c.memory.Load()
	if m.positive != nil {
		m.positive.Delete(name)
		m.negative.Delete(name)
	}
	m.failed.Delete(name)
	if fl := c.flights.detach(name); fl != nil {
		fl.purged = true
	}
}

func (c *Client) purged(e PurgeEvent) {
	if c.hooks.Purged != nil {
		c.hooks.Purged(context.Background(), e)
	}
}
