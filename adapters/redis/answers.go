package redisgate

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// MaxAnswerBytes is how long an answer may be.
const MaxAnswerBytes = 1 << 20

// Answers are opaque values that the clients of package introspect share: an
// introspect.Store and introspect.Claimer. That package encrypts them; this one hides
// their names.
type Answers struct{ stores *Stores }

// Get returns the value under key, nil if there is none.
func (a *Answers) Get(ctx context.Context, key string) ([]byte, error) {
	s := a.stores
	names := s.names(forAnswers, key)
	return call(ctx, s, OperationGet, names[0], func(ctx context.Context) ([]byte, error) {
		if len(names) == 1 {
			c, err := send(ctx, s, false, names[0], func(ctx context.Context, c redis.Cmdable) *redis.StringCmd { return c.Get(ctx, names[0]) })
			if err != nil || c.Err() != nil {
				return nil, err
			}
			return c.Bytes()
		}
		c, err := send(ctx, s, false, names[0], func(ctx context.Context, c redis.Cmdable) *redis.SliceCmd { return c.MGet(ctx, names...) })
		if err != nil {
			return nil, err
		}
		for _, value := range c.Val() {
			if text, ok := value.(string); ok {
				return []byte(text), nil
			}
		}
		return nil, nil
	})
}

// setScript leaves no value under another secret's name: that could be what a purge has
// to be seen instead of.
const setScript = `
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
for i = 2, #KEYS do
  redis.call('DEL', KEYS[i])
end
return 1
`

// Set stores the value, of at most [MaxAnswerBytes], for ttl.
func (a *Answers) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if len(value) > MaxAnswerBytes {
		return misconfigured(fmt.Errorf("redisgate: set: a value of %d bytes: at most %d", len(value), MaxAnswerBytes))
	}
	s := a.stores
	names := s.names(forAnswers, key)
	ttl = max(ttl, time.Millisecond)
	_, err := call(ctx, s, OperationSet, names[0], func(ctx context.Context) (any, error) {
		if len(names) == 1 {
			return send(ctx, s, false, names[0], func(ctx context.Context, c redis.Cmdable) *redis.StatusCmd { return c.Set(ctx, names[0], value, ttl) })
		}
		return eval(ctx, s, false, setScript, names, value, ttl.Milliseconds())
	})
	return err
}

// Claim sets key for ttl unless it is there, and reports whether it did: of many who claim
// one key at a time, one is told true.
func (a *Answers) Claim(ctx context.Context, key string, ttl time.Duration) (bool, error) {
	return a.stores.first(ctx, OperationClaim, forClaims, key, max(ttl, time.Millisecond))
}
