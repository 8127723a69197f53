package redisgate_test

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	redisgate "github.com/bearergate/bearergate/adapters/redis"
	"github.com/bearergate/bearergate/revocation"
)

const issuer = "https://as.example.com"

// listed starts a process with a list of what is revoked, which runs until the test ends or
// it is ended.
func listed(t testing.TB, s *redisgate.Stores) (list *revocation.List, end func()) {
	t.Helper()
	list, err := revocation.New(revocation.Config{MaxTokenLife: time.Hour, Log: s.Log()})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() { _ = list.Run(ctx) })
	end = sync.OnceFunc(func() { cancel(); all.Wait() })
	t.Cleanup(end)
	until(t, func() bool { return list.Status().Ready })
	return list, end
}

func entry(id string) revocation.Entry { return revocation.Entry{Issuer: issuer, TokenID: id} }

// knows reports whether a list refuses the token of each ID as revoked.
func knows(t testing.TB, list *revocation.List, ids []string) bool {
	now := time.Now().Truncate(time.Second)
	for _, id := range ids {
		err := list.Check(t.Context(), bearergate.NewToken(bearergate.Claims{Issuer: issuer, ID: id, IssuedAt: now, AsOf: now, ExpiresAt: now.Add(30 * time.Minute)}))
		if bearergate.ReasonOf(err) != bearergate.ReasonRevoked {
			return false
		}
	}
	return true
}

// req: FLT-05 FLT-06
// W2-201, W2-202.
func TestRealRevocationsAcrossAFailover(t *testing.T) {
	for _, row := range deployments {
		for _, replicas := range []int{0, 1} {
			if replicas > row.replicas {
				continue
			}
			t.Run(fmt.Sprintf("%s, Replicas %d", row.name, replicas), func(t *testing.T) {
				noLeaks(t)
				d := row.start(t)
				late := lateness(t)
				c := everyday(replicas)
				var lists []*revocation.List
				for range 3 {
					list, _ := listed(t, stores(t, d.connect(t), c))
					lists = append(lists, list)
				}
				// A feeder that asks once more where nobody has taken what it says.
				var mu sync.Mutex // guards the rest
				var acknowledged []string
				refused := 0
				told := func() (ids []string) { mu.Lock(); defer mu.Unlock(); return append(ids, acknowledged...) }
				ctx, cancel := context.WithCancel(t.Context())
				var all sync.WaitGroup
				end := func() { cancel(); all.Wait() }
				defer end()
				all.Go(func() {
					for i := 0; ctx.Err() == nil; i++ {
						id := strconv.Itoa(i)
						for ctx.Err() == nil {
							err := lists[i%3].Add(ctx, entry(id))
							mu.Lock()
							if err == nil {
								acknowledged = append(acknowledged, id)
							} else {
								refused++
							}
							mu.Unlock()
							time.Sleep(5 * time.Millisecond)
							if err == nil {
								break
							}
						}
					}
				})
				until(t, func() bool { return len(told()) > 100 })
				all3 := func(ids []string) bool {
					return knows(t, lists[0], ids) && knows(t, lists[1], ids) && knows(t, lists[2], ids)
				}
				before := told()
				took := until(t, func() bool { return all3(before) })
				t.Logf("known to all after %v", took)
				requireWithin(t, 2*time.Second, took, late)

				master, heir := d.masters[0], 0
				if row.name == "Cluster" { // the one that has the log
					heir = min(int(redisgate.SlotOf(stream))*3/16384, 2)
					master = d.masters[heir]
				}
				before = told()
				master.kill()
				if row.replicas > 0 {
					succeeded(t, d.heirs(heir))
				}
				there := time.Now()
				if replicas >= row.replicas { // who takes over has too few itself; a single one has lost everything
					master.run(t)
				}
				until(t, func() bool { return len(told()) > len(before)+50 })
				after := told()
				until(t, func() bool { return all3(after) })
				took = time.Since(there)
				end()
				after = told()
				require.True(t, knows(t, lists[(len(after)-1)%3], after[len(after)-1:]))
				until(t, func() bool { return all3(after) })
				t.Logf("%d acknowledged, %d times not; all of before and of 50 after the failover known to all %v after there was a master (the machine was late by %v)", len(after), refused, took.Round(time.Millisecond), late())
				requireWithin(t, 15*time.Second, took, late) // a list that has failed for long looks again after 2 s

				// What was lost was put back: a process that starts now knows all.
				until(t, func() bool {
					list, end := listed(t, stores(t, d.connect(t), c))
					defer end()
					return knows(t, list, after)
				})
			})
		}
	}
}
