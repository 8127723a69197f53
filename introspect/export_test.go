package introspect

import (
	"encoding/binary"
	"net/http"
	"sync"
	"time"

	"github.com/bearergate/bearergate/internal/clock"
)

// DefaultHTTPClient is the client of a Config that has none.
func DefaultHTTPClient() *http.Client { return httpClient(nil) }

// MaxPurges is how many purges of single tokens are remembered.
const MaxPurges = maxPurges

// Purges are what is remembered of purges, by a number for each token.
type Purges struct{ p purges }

// Add is a purge of one token.
func (p *Purges) Add(token int, now time.Time, life time.Duration) {
	p.p.add(numbered(token), now, now, life)
}

// Since is the time of the last purge of a token.
func (p *Purges) Since(token int) time.Time { return p.p.since(numbered(token)) }

// Len is how many of single tokens are remembered.
func (p *Purges) Len() int { return len(p.p.single) }

func numbered(token int) (k key) {
	binary.BigEndian.PutUint64(k[:], uint64(token))
	return k
}

// TakePurge reads a record of the PurgeLog.
func (c *Client) TakePurge(record []byte) bool { return c.fleet.take(record, false) }

// NameOf is the name of a token.
func (c *Client) NameOf(token string) [32]byte { return c.names.Name(token) }

// PurgesSeen is how many records of the PurgeLog are remembered.
func (c *Client) PurgesSeen() int { return len(c.fleet.seen) }

// PurgesSeenFor is how long at least.
func (c *Client) PurgesSeenFor() time.Duration { return c.purgeLife() + maxClockSkew }

// Sleeper is called before the Client is used. What it returns has the machine sleep for d: of
// the two clocks, the wall clock alone goes on. synctest moves both of them together.
func Sleeper(c *Client) (sleep func(d time.Duration)) {
	type nap struct {
		at time.Time
		d  time.Duration
	}
	var mu sync.Mutex
	var naps []nap
	c.elapsed = func(from, to time.Time) time.Duration {
		mu.Lock()
		defer mu.Unlock()
		elapsed := clock.Elapsed(from, to)
		for _, n := range naps {
			if n.at.After(from) && n.at.Before(to) {
				elapsed += n.d
			}
		}
		return elapsed
	}
	return func(d time.Duration) {
		time.Sleep(time.Nanosecond) // after what has begun now
		mu.Lock()
		naps = append(naps, nap{time.Now(), d})
		mu.Unlock()
		time.Sleep(time.Nanosecond)
	}
}
