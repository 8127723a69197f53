package introspect

import (
	"encoding/binary"
	"net/http"
	"time"
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
func (c *Client) TakePurge(record []byte) bool { return c.fleet.take(record) }

// PurgesSeen is how many records of the PurgeLog are remembered.
func (c *Client) PurgesSeen() int { return len(c.fleet.seen) }
