package ttlcache_test

import (
	"crypto/sha256"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/bearergate/bearergate/internal/ttlcache"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/stretchr/testify/require"
)

func key(i int) ttlcache.Key { return sha256.Sum256(fmt.Append(nil, i)) }

func TestExpiry(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		c := ttlcache.New[string](8, 1000)
		c.Add(key(1), "one", 1, time.Now(), time.Minute)
		c.Add(key(2), "never", 1, time.Now(), 0)
		c.Add(key(3), "never", 1, time.Now(), -time.Second)
		require.Equal(t, 1, c.Len())

		time.Sleep(time.Minute - time.Nanosecond) // the bubble's clock
		v, ok := c.Get(key(1), time.Now())
		require.True(t, ok)
		require.Equal(t, "one", v)

		time.Sleep(time.Nanosecond)
		v, ok = c.Get(key(1), time.Now())
		require.False(t, ok)
		require.Empty(t, v)
		require.Zero(t, c.Len(), "an expired entry goes when it is asked for")
	})
}

// A wall clock that jumps ahead ends entries; one set back revives none, since
// the larger of the two differences counts.
func TestWallClockSteps(t *testing.T) {
	c := ttlcache.New[int](8, 1000)
	start := time.Now()
	c.Add(key(1), 1, 1, start, time.Minute)

	back := start.Round(0).Add(-time.Hour) // no monotonic reading: only the wall is compared
	_, ok := c.Get(key(1), back)
	require.True(t, ok)
	_, ok = c.Get(key(1), start.Add(2*time.Minute))
	require.False(t, ok)

	c.Add(key(2), 2, 1, start, time.Minute)
	_, ok = c.Get(key(2), start.Round(0).Add(2*time.Minute))
	require.False(t, ok)
}

func TestBoundInEntries(t *testing.T) {
	for _, limit := range []int{1, 2, 3, 15, 16, 17, 100, 1000} {
		c := ttlcache.New[int](limit, 1<<20)
		for i := range 5000 {
			c.Add(key(i), i, 1, time.Now(), time.Minute)
		}
		require.LessOrEqual(t, c.Len(), limit)
		require.Greater(t, 2*c.Len(), limit, "most of the room is used")
		_, ok := c.Get(key(4999), time.Now())
		require.True(t, ok, "the latest is there")
	}
	require.NotPanics(t, func() { ttlcache.New[int](0, 0).Add(key(1), 1, 1, time.Now(), time.Minute) })
}

func TestBoundInBytes(t *testing.T) {
	c := ttlcache.New[int](1<<20, 16*100) // 100 for each shard
	for i := range 1000 {
		c.Add(key(i), i, 40, time.Now(), time.Minute)
	}
	require.Equal(t, 2*16, c.Len(), "two of 40 in each shard's 100")

	// Replacing gives back what was counted before.
	c = ttlcache.New[int](1, 100)
	for i := range 50 {
		c.Add(key(1), i, 90, time.Now(), time.Minute)
		v, ok := c.Get(key(1), time.Now())
		require.True(t, ok)
		require.Equal(t, i, v)
	}
	c.Add(key(2), 2, 101, time.Now(), time.Minute)
	_, ok := c.Get(key(2), time.Now())
	require.False(t, ok, "larger than the whole")
	_, ok = c.Get(key(1), time.Now())
	require.True(t, ok, "and nobody had to go for it")
}

func TestLeastRecentlyUsedGoes(t *testing.T) {
	c := ttlcache.New[int](1, 100)
	c.Add(key(1), 1, 1, time.Now(), time.Minute)
	c.Add(key(2), 2, 1, time.Now(), time.Minute)
	_, ok := c.Get(key(1), time.Now())
	require.False(t, ok)
	_, ok = c.Get(key(2), time.Now())
	require.True(t, ok)
}

func TestConcurrentUse(t *testing.T) {
	c := ttlcache.New[int](64, 1<<20)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 2000 {
				c.Add(key(i%200), i%200, 1, time.Now(), time.Minute)
				if v, ok := c.Get(key(i%100), time.Now()); ok && v != i%100 {
					t.Errorf("%d under the key of %d", v, i%100)
				}
			}
		})
	}
	wg.Wait()
	require.LessOrEqual(t, c.Len(), 64)
}

// One shard, so that the order of use is that of the whole cache.
func TestTheEntryUsedLast(t *testing.T) {
	c := ttlcache.New[int](1, 100)
	now := time.Now()
	get := func(k int, at time.Time) any {
		if v, ok := c.Get(key(k), at); ok {
			return v
		}
		return nil
	}
	c.Add(key(1), 1, 1, now, time.Minute)
	require.Equal(t, 1, get(1, now))
	require.Nil(t, get(2, now), "another key")
	c.Add(key(1), 10, 1, now, time.Minute)
	require.Equal(t, 10, get(1, now), "the newer value")
	c.Add(key(2), 2, 1, now, time.Minute)
	require.Nil(t, get(1, now), "pushed out")
	require.Equal(t, 2, get(2, now))
	require.Nil(t, get(2, now.Add(time.Minute)), "expired")
	require.Nil(t, get(2, now), "and gone, whatever the time")
	require.Zero(t, c.Len())
}

func TestReadingTheLastEntryCountsAsUse(t *testing.T) {
	c := ttlcache.New[int](1024, 1<<20) // 64 in each of 16 shards
	now := time.Now()
	c.Add(key(0), 0, 1, now, time.Minute)
	for i := 1; i < 5000; i++ {
		c.Add(key(i), i, 1, now, time.Minute)
		for range 3 {
			_, ok := c.Get(key(0), now)
			require.True(t, ok, i)
		}
	}
}

func TestDeleteAndReplace(t *testing.T) {
	c := ttlcache.New[int](8, 800)
	now := time.Now()
	for name, end := range map[string]func(){
		"deleted":          func() { c.Delete(key(1)) },
		"replaced, no ttl": func() { c.Add(key(1), 2, 1, now, 0) },
		"replaced, large":  func() { c.Add(key(1), 2, 801, now, time.Minute) },
	} {
		c.Add(key(1), 1, 1, now, time.Minute)
		c.Add(key(2), 2, 1, now, time.Minute)
		end()
		_, ok := c.Get(key(1), now)
		require.False(t, ok, name)
		_, ok = c.Get(key(2), now)
		require.True(t, ok, name)
		require.Equal(t, 1, c.Len(), name)
	}
	c.Delete(key(3))
}

// An entry that is replaced is never missing meanwhile.
func TestReplacingLeavesNoGap(t *testing.T) {
	c := ttlcache.New[int](8, 800)
	now := time.Now()
	c.Add(key(1), 0, 1, now, time.Minute)
	var readers sync.WaitGroup
	done := make(chan struct{})
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if _, ok := c.Get(key(1), now); !ok {
					t.Error("nothing was found")
					return
				}
			}
		})
	}
	for i := range 2000 {
		c.Add(key(1), i, 1, now, time.Minute)
	}
	close(done)
	readers.Wait()
}
