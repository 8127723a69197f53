package jwks_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bearergate/bearergate/jwks"
	"github.com/stretchr/testify/require"
)

// steps of a scene about a key that appears. Each begins with k1 in the set, just fetched;
// a TTL is ten minutes, more or less.
func TestAKeyThatIsUsedEarly(t *testing.T) {
	type scene struct {
		*server
		c *jwks.Cache
		r *recorder
	}
	refresh := func(t *testing.T, s scene) { require.NoError(t, s.c.Refresh(t.Context())) }
	for _, tt := range []struct {
		name  string
		play  func(t *testing.T, s scene)
		early []string
	}{
		{name: "the keys of the beginning", play: func(t *testing.T, s scene) { uses(t, s.c, "k1") }},
		{name: "no overlap: the token that is the first sign of it", early: []string{"k2"}, play: func(t *testing.T, s scene) {
			time.Sleep(3 * time.Minute)
			s.add(t, "k2")
			uses(t, s.c, "k2")
		}},
		{name: "no overlap, and a fetch that came by chance", early: []string{"k2"}, play: func(t *testing.T, s scene) {
			time.Sleep(3 * time.Minute)
			s.add(t, "k2")
			refresh(t, s)
			time.Sleep(time.Minute)
			uses(t, s.c, "k2")
		}},
		{name: "an overlap, in time", play: func(t *testing.T, s scene) {
			s.add(t, "k2")
			time.Sleep(12 * time.Minute) // due
			uses(t, s.c, "k2")
		}},
		{name: "an overlap, fetched ahead", play: func(t *testing.T, s scene) {
			s.add(t, "k2")
			ttl := s.c.Status().TTL
			time.Sleep(3 * time.Minute)
			refresh(t, s)
			has(t, s.c, "k2")
			time.Sleep(ttl - 3*time.Minute)
			uses(t, s.c, "k2")
		}},
		{name: "nobody used it", play: func(t *testing.T, s scene) {
			s.add(t, "k2")
			refresh(t, s)
			has(t, s.c, "k2") // a stranger's token names it
			hasNot(t, s.c, "k3")
		}},
		{name: "once for each key", early: []string{"k2", "k3"}, play: func(t *testing.T, s scene) {
			s.add(t, "k2")
			refresh(t, s)
			uses(t, s.c, "k2")
			uses(t, s.c, "k2")
			s.add(t, "k3") // a set that has both, and knows of the first
			refresh(t, s)
			uses(t, s.c, "k2")
			uses(t, s.c, "k3")
			uses(t, s.c, "k1")
		}},
		{name: "remembered by the sets that follow", early: []string{"k2"}, play: func(t *testing.T, s scene) {
			s.add(t, "k2")
			refresh(t, s)
			s.add(t, "k3")
			refresh(t, s)
			uses(t, s.c, "k2")
		}},
		{name: "another key under an old ID", early: []string{"k1"}, play: func(t *testing.T, s scene) {
			s.rotate(t, "k1")
			refresh(t, s)
			uses(t, s.c, "k1")
		}},
		{name: "a key that was withdrawn, and is back", early: []string{"k1"}, play: func(t *testing.T, s scene) {
			jwk := s.keys["k1"]
			s.add(t, "k2")
			s.remove("k1")
			refresh(t, s)
			s.keys["k1"] = jwk
			refresh(t, s)
			uses(t, s.c, "k1")
		}},
		{name: "an idle night", play: func(t *testing.T, s scene) {
			s.add(t, "k2")
			time.Sleep(8 * time.Hour)
			uses(t, s.c, "k2")
		}},
		{name: "an outage", play: func(t *testing.T, s scene) {
			s.fail("", down)
			time.Sleep(12 * time.Minute)
			has(t, s.c, "k1")
			s.heal()
			s.add(t, "k2")
			time.Sleep(2 * time.Minute)
			has(t, s.c, "k2")
			uses(t, s.c, "k2")
		}},
		{name: "304 in between", early: []string{"k2"}, play: func(t *testing.T, s scene) {
			s.header.Set("ETag", `"1"`)
			refresh(t, s)
			s.add(t, "k2")
			s.header.Set("ETag", `"2"`)
			refresh(t, s)
			refresh(t, s) // 304: the set that is held
			uses(t, s.c, "k2")
		}},
		{name: "an answer that was in a cache on the way, older than the key", play: func(t *testing.T, s scene) {
			s.header.Set("Age", "590") // of before the key was published: a TTL ago, almost
			refresh(t, s)
			s.header.Del("Age")
			s.add(t, "k2")
			time.Sleep(2 * time.Minute)
			uses(t, s.c, "k2")
		}},
		{name: "the same, confirmed by the cache", play: func(t *testing.T, s scene) {
			s.header.Set("ETag", `"1"`)
			refresh(t, s)
			s.header.Set("Age", "590")
			refresh(t, s) // 304
			s.header.Del("Age")
			s.header.Set("ETag", `"2"`)
			s.add(t, "k2")
			time.Sleep(2 * time.Minute)
			uses(t, s.c, "k2")
		}},
		{name: "an answer that was in a cache for a moment", early: []string{"k2"}, play: func(t *testing.T, s scene) {
			s.header.Set("Age", "10")
			refresh(t, s)
			s.add(t, "k2")
			time.Sleep(2 * time.Minute)
			uses(t, s.c, "k2")
		}},
		{name: "a key of another set", play: func(t *testing.T, s scene) {
			s.add(t, "k2")
			refresh(t, s)
			other, _ := newCache(t, newServer(t, "k2"))
			keys, err := other.Keys(t.Context(), "k2", "ES256")
			require.NoError(t, err)
			s.c.Used(t.Context(), keys[0])
			s.c.Used(t.Context(), jwks.Key{})
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			within(t, func(t *testing.T) {
				s := newServer(t, "k1")
				c, r := newCache(t, s, func(c *jwks.Config) { c.Issuer = issuer })
				has(t, c, "k1")
				tt.play(t, scene{s, c, r})
				var early []string
				for _, e := range r.early {
					early = append(early, e.KeyID)
					require.Equal(t, issuer, e.Issuer)
					require.Equal(t, setURL, e.URL)
					require.Less(t, e.Absent, e.TTL)
					require.InDelta(t, jwks.DefaultTTL, e.TTL, float64(time.Minute))
				}
				require.Equal(t, tt.early, early)
				time.Sleep(2 * time.Hour)
			})
		})
	}
}

// Keys of an import are those of another process: nobody saw them appear.
func TestAKeyOfAnImportIsNotEarly(t *testing.T) {
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		c, _ := newCache(t, s)
		has(t, c, "k1")
		s.add(t, "k2")
		require.NoError(t, c.Refresh(t.Context()))
		data, err := c.Export()
		require.NoError(t, err)
		require.NotContains(t, string(data), "query_sha256", "the URL has none")
		other, r := newCache(t, s)
		require.NoError(t, other.Import(data))
		uses(t, other, "k1")
		uses(t, other, "k2")
		require.Empty(t, r.early)
		s.add(t, "k3")
		uses(t, other, "k3")
		require.Len(t, r.early, 1)
	})
}

// A key is used by many at once, while sets come and go: it is told of once.
func TestUsedByMany(t *testing.T) {
	s := newServer(t, "k1")
	var told atomic.Int32
	c, _ := newCache(t, s, func(c *jwks.Config) {
		c.Hooks = jwks.Hooks{UsedEarly: func(context.Context, jwks.EarlyEvent) { told.Add(1) }}
	})
	has(t, c, "k1")
	data, err := c.Export()
	require.NoError(t, err)
	s.header.Set("ETag", `"1"`)
	s.add(t, "k2")
	require.NoError(t, c.Refresh(t.Context()))
	keys, err := c.Keys(t.Context(), "k2", "ES256")
	require.NoError(t, err)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 100 {
				c.Used(t.Context(), keys[0])
			}
		})
	}
	all.Go(func() {
		for range 20 {
			_ = c.Refresh(t.Context()) // 304
			_ = c.Import(data)
		}
	})
	all.Wait()
	require.EqualValues(t, 1, told.Load())
}

type ctxKey struct{}

// Nothing is told of what is none, and nothing breaks.
func TestUsedOfNothing(t *testing.T) {
	var none *jwks.Cache
	none.Used(t.Context(), jwks.Key{})
	new(jwks.Cache).Used(t.Context(), jwks.Key{})
	within(t, func(t *testing.T) {
		s := newServer(t, "k1")
		var told []any
		c, _ := newCache(t, s, func(c *jwks.Config) {
			c.Hooks = jwks.Hooks{UsedEarly: func(ctx context.Context, _ jwks.EarlyEvent) {
				require.NoError(t, ctx.Err())
				told = append(told, ctx.Value(ctxKey{}))
			}}
		})
		c.Used(t.Context(), jwks.Key{}) // before any fetch
		has(t, c, "k1")
		s.add(t, "k2")
		keys, err := c.Keys(t.Context(), "k2", "ES256")
		require.NoError(t, err)
		c.Used(nil, keys[0]) //nolint:staticcheck // nil is what is tested
		s.add(t, "k3")
		require.NoError(t, c.Refresh(t.Context()))
		keys, err = c.Keys(t.Context(), "k3", "ES256")
		require.NoError(t, err)
		gone, cancel := context.WithCancel(context.WithValue(t.Context(), ctxKey{}, 7))
		cancel()
		c.Used(gone, keys[0])
		require.Equal(t, []any{nil, 7}, told)
		silent, _ := newCache(t, s, func(c *jwks.Config) { c.Hooks = jwks.Hooks{} })
		silent.Used(t.Context(), keys[0])
	})
}
