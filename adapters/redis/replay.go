package redisgate

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
)

// Skew is how far apart the clocks of the processes, and of the servers, may be: what was
// used is remembered for so much longer.
const Skew = 5 * time.Second

// Replay remembers what was used: a dpop.ReplayStore, and what middleware.Once takes.
type Replay struct{ stores *Stores }

// Use marks key as used until then and for [Skew] more, and reports whether it was not, in
// one atomic step: of any number of calls at once, in all processes, one gets true. A call
// that the client repeats, since an answer was lost, does not take itself for a replay.
//
// An error says that nobody knows, or that fewer than Config.Replicas replicas know: key may
// then be used up. It is [bearergate.ErrUnavailable], or [bearergate.ErrMisconfigured] where
// Redis refuses what this process is, or may.
func (r *Replay) Use(ctx context.Context, key string, until time.Time) (fresh bool, err error) {
	ttl, err := lifetime(until)
	if err != nil {
		return false, err
	}
	return r.stores.first(ctx, OperationUse, forUses, key, ttl)
}

// longest keeps times that are far away from overflowing.
const longest = 100 * 365 * 24 * time.Hour

// lifetime is for how long to remember what was used.
func lifetime(until time.Time) (time.Duration, error) {
	rest := time.Until(until.Round(0)) // by the wall clock
	if rest <= 0 {
		return 0, outage(OperationUse, "it would be forgotten at once: the process stood still, or its clock was set", 0)
	}
	return min(rest, longest) + Skew, nil
}

// first reports whether text has not been seen for this purpose, and marks it for ttl. What
// marks it is a value that only this call has: one that finds its own was repeated.
func (s *Stores) first(ctx context.Context, op Operation, p purpose, text string, ttl time.Duration) (bool, error) {
	names, own := s.names(p, text), rand.Text()
	ttl = (ttl + time.Millisecond - 1).Truncate(time.Millisecond) // up: never shorter
	acknowledged := p != forClaims                                // of which nothing depends that must not happen twice
	return call(ctx, s, op, names[0], func(ctx context.Context) (bool, error) {
		fresh, err := s.mark(ctx, acknowledged, names, own, ttl)
		if !fresh && errors.Is(err, errAlone) {
			err = nil // it was used, whoever else knows that
		}
		return fresh && err == nil, err
	})
}

// markScript is SET KEYS[1] own NX GET PX ttl, but nothing if one of the keys is there. A call
// that is repeated writes once more, for WAIT: see send.
const markScript = `
for _, key in ipairs(KEYS) do
  local value = redis.call('GET', key)
  if value and value ~= ARGV[1] then
    return 0
  end -- it is another's
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
`

// mark reports whether nobody else has marked one of names, and marks the first. An errAlone
// comes with what it reports.
func (s *Stores) mark(ctx context.Context, acknowledged bool, names []string, own string, ttl time.Duration) (fresh bool, err error) {
	if len(names) > 1 || acknowledged && s.replicas > 0 {
		c, err := eval(ctx, s, acknowledged, markScript, names, own, ttl.Milliseconds())
		if c != nil && c.Err() == nil && c.Val() == int64(0) {
			return false, nil // it is another's, also where a replica says so, to which WAIT is a mistake
		}
		if err != nil && !errors.Is(err, errAlone) {
			return false, err
		}
		return c.Val() == int64(1), err
	}
	set := func(ctx context.Context, c redis.Cmdable) *redis.StatusCmd {
		return c.SetArgs(ctx, names[0], own, redis.SetArgs{Mode: "NX", Get: true, TTL: ttl})
	}
	c, err := send(ctx, s, acknowledged, names[0], set)
	if err != nil && !errors.Is(err, errAlone) {
		return false, err
	}
	return errors.Is(c.Err(), redis.Nil) || c.Val() == own, err
}
