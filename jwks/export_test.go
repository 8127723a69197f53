package jwks

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bearergate/bearergate/internal/clock"
)

// LateStart is a caller who has decided to fetch, and only now comes to it. It
// returns the ID of the fetch, 0 if there was none.
func LateStart(c *Cache, t Trigger, seen uint64) uint64 {
	r := <-c.start(context.Background(), t, seen)
	return r.Val.(uint64)
}

// Scheduled is the trigger of fetches that the state asks for.
const Scheduled = triggerScheduled

// walls are how far the wall clocks of caches are stepped.
var walls sync.Map // of *Cache: *atomic.Int64

// Steppable is called before the cache is used, where StepWall is called while it is.
func Steppable(c *Cache) {
	step := new(atomic.Int64)
	walls.Store(c, step)
	c.clock = func() clock.Instant {
		now := clock.At(time.Now())
		now.Wall = now.Wall.Add(time.Duration(step.Load()))
		return now
	}
}

// StepWall sets the wall clock of c by d from the real one: synctest moves both
// clocks together, and only one of them can be stepped on a real machine.
func StepWall(c *Cache, d time.Duration) {
	if _, ok := walls.Load(c); !ok {
		Steppable(c)
	}
	step, _ := walls.Load(c)
	step.(*atomic.Int64).Store(int64(d))
}

// Unconfigurable are the numbers of the design that Config does not expose.
var Unconfigurable = map[string]any{
	"ahead percent": aheadPercent, "jitter percent": jitterPercent,
	"first backoff": backoffFirst, "longest backoff": backoffMax, "backoff jitter": backoffJitter,
	"Retry-After without keys": retryAfterEmpty, "discovery TTL": discoveryTTL, "failures": usableFailures,
	"fetches for unknown keys": missFetches, "remembered of what was asked for": askedMax,
	"longest duration": limitDuration, "longest miss interval": limitMissInterval, "longest fetch": limitFetchTimeout,
	"most bytes": limitBytes, "most keys": limitKeys, "least duration": leastDuration, "skew": maxSkew,
}
