package jwtverify

import (
	"cmp"
	"context"
	"crypto/rand"
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
	from, until time.Time // when checkTimes accepts it
}

// remembered returns the token if the cache holds it, its key is still
// published and its times are good: what [Verifier.examine] would find again.
// No token and no error means that examine must be asked.
func (v *Verifier) remembered(ctx context.Context, raw string) (*bearergate.Token, bool, error) {
	if v.cache == nil {
		return nil, false, nil
	}
	entry, ok := v.cache.Lookup(v.names.Name(raw))
	if !ok {
		return nil, false, nil
	}
	e := entry.Value
	keys, err := accept.Candidates(ctx, v.keys, e.key)
	if err != nil {
		return nil, false, err
	}
	// The key source may have waited: the clock is read thereafter, and once.
	now := time.Now()
	if !entry.Fresh(now) {
		v.cache.Remove(entry)
		return nil, false, nil
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
				return nil, true, accept.Refused(err, e.token)
			}
			return nil, false, nil // cannot be, as Window says the same; examine decides
		}
		return e.token, true, nil
	}
	return nil, false, nil
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
