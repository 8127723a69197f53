package jwtverify

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"sync/atomic"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/accept"
	"github.com/bearergate/bearergate/internal/mistake"
	"github.com/bearergate/bearergate/internal/ttlcache"
)

// verified is a token whose signature and claims passed every check but those
// that are made again on each hit.
type verified struct {
	token       *bearergate.Token
	key         accept.KeyName
	thumbprint  [32]byte
	from, until time.Time   // when checkTimes accepts it
	told        atomic.Bool // that its key has been removed
}

// keyID is how an event names the key. The token that named it was genuine.
func (e *verified) keyID() string {
	if e.key.KeyID != "" {
		return e.key.KeyID
	}
	return base64.RawURLEncoding.EncodeToString(e.thumbprint[:])
}

// memory is what the cache had to say of a token.
type memory struct {
	decided bool // the token was there, and that decided
	// orphan is what is remembered of a token whose times are good and whose key is not
	// among those that the issuer publishes; nil for every other.
	orphan *verified
}

// orphaned reports whether err refuses a token for its key, and not for an outage: whether
// the key is there has been found out.
func orphaned(err error) bool {
	reason := bearergate.ReasonOf(err)
	return reason == bearergate.ReasonUnknownKey || reason == bearergate.ReasonSignature
}

// remembered returns the token if the cache holds it, its key is still
// published and its times are good: what [Verifier.examine] would find again.
// No token and no error means that examine must be asked.
func (v *Verifier) remembered(ctx context.Context, raw string) (*bearergate.Token, memory, error) {
	if v.cache == nil {
		return nil, memory{}, nil
	}
	entry, ok := v.cache.Lookup(v.names.Name(raw))
	if !ok {
		return nil, memory{}, nil
	}
	e := entry.Value
	keys, err := accept.Candidates(ctx, v.keys, e.key)
	if err != nil {
		return nil, memory{}, err
	}
	// The key source may have waited: the clock is read thereafter, and once.
	now := time.Now()
	if !entry.Fresh(now) {
		v.cache.Remove(entry)
		return nil, memory{}, nil
	}
	if v.now != nil {
		now = v.now()
	}
	for i := range keys {
		if keys[i].Thumbprint() != e.thumbprint || !keys[i].Serves(e.key.Algorithm) {
			continue
		}
		if now.Before(e.from) || !now.Before(e.until) {
			if err := v.rules.CheckTimes(now, e.token.ExpiresAt(), e.token.NotBefore(), e.token.IssuedAt()); err != nil {
				return nil, memory{decided: true}, accept.Refused(err, e.token)
			}
			return nil, memory{}, nil // cannot be, as Window says the same; examine decides
		}
		return e.token, memory{decided: true}, nil
	}
	if now.Before(e.from) || !now.Before(e.until) {
		return nil, memory{}, nil
	}
	return nil, memory{orphan: e}, nil
}

// entrySize is about what a remembered token takes: the claims as JSON and
// decoded, what holds them, and a string's header and more for each name.
func entrySize(tokenBytes, names int) int64 { return 1024 + 2*int64(tokenBytes) + 64*int64(names) }

// newCache returns nothing with DisableCache, and where New fails.
func newCache(c *Config, wrong *mistake.List) (*ttlcache.Cache[*verified], *ttlcache.Namer) {
	if c.CacheEntries < 0 || c.CacheBytes < 0 {
		wrong.Addf("CacheEntries and CacheBytes must not be negative: use DisableCache for no cache")
	}
	if c.DisableCache && (c.CacheEntries != 0 || c.CacheBytes != 0) {
		wrong.Addf("DisableCache is set together with CacheEntries or CacheBytes: choose one")
	}
	if c.DisableCache {
		return nil, nil
	}
	// This Verifier's own secret: entries cannot be aimed at from outside, nor
	// shared between Verifiers.
	var secret [32]byte
	_, _ = rand.Read(secret[:]) // never fails: the program ends instead
	return ttlcache.New[*verified](cmp.Or(c.CacheEntries, DefaultCacheEntries), cmp.Or(c.CacheBytes, DefaultCacheBytes)), ttlcache.NewNamer(secret)
}
