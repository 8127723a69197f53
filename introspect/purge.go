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

// add is called with Client.purging held for writing. life is how long a purge has to be
// remembered.
func (p *purges) add(name key, now time.Time, life time.Duration) {
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
	p.single[name] = now
}

// purgedSince reports whether a token was purged since a flight began.
func (c *Client) purgedSince(name key, m *memory, fl *flight) bool {
	c.purging.RLock()
	defer c.purging.RUnlock()
	return c.memory.Load() != m || fl.purged || !c.purges.since(name).Before(fl.began)
}

// Purge forgets what is remembered of a token, here and in the Store: the next
// Verify asks the server. It is for an incident that cannot wait for PositiveTTL. It
// concerns no other token.
//
// The answer to a call about the token that is under way is not remembered. An answer that
// this process is writing to the Store is purged again as soon as it is written. Other
// processes that share the Store keep what they have in memory until it ends, and
// one that is asking the server may put the older answer into the Store, for its
// PositiveTTL. Purge returns when the Store has answered, or after Store.Timeout.
func (c *Client) Purge(token string) {
	if c == nil || c.memory.Load() == nil {
		return
	}
	name, now := c.names.Name(token), time.Now()
	c.purging.Lock()
	m := c.memory.Load()
	if m.positive != nil {
		m.positive.Delete(name)
		m.negative.Delete(name)
	}
	m.failed.Delete(name)
	c.purges.add(name, now, c.positiveTTL+maxClockSkew+c.timeout+storeGrace)
	if fl := c.flights.detach(name); fl != nil {
		fl.purged = true
	}
	c.purging.Unlock()
	c.overwrite(name)
	c.purged(PurgeEvent{Issuer: c.issuer})
}

// PurgeAll forgets everything that is remembered. From then on, this process
// ignores what was written to the Store before.
func (c *Client) PurgeAll() {
	if c == nil || c.memory.Load() == nil {
		return
	}
	c.purging.Lock()
	c.memory.Store(c.newMemory())
	c.purges = purges{all: time.Now()}
	c.flights.detachAll()
	c.purging.Unlock()
	c.purged(PurgeEvent{Issuer: c.issuer, All: true})
}

func (c *Client) purged(e PurgeEvent) {
	if c.hooks.Purged != nil {
		c.hooks.Purged(context.Background(), e)
	}
}
