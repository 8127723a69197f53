package dpop_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/binding/dpop"
	"github.com/bearergate/bearergate/internal/clock"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/bearergate/bearergate/test/kit"
	"github.com/bearergate/bearergate/test/proofs"
)

// One store serves both.
var _ middleware.ReplayStore = dpop.ReplayStore(nil)

// A proof opens once, whatever its text: it is known by key and jti.
//
// req: R9449-42
func TestReplay(t *testing.T) {
	s := newScene(t)
	p := newProofs(t)
	valid := sign(s, map[string]any{"jti": "Id"})
	_, err := confirm(s, p, call(valid))
	require.NoError(t, err)
	again := proofs.Resigned(s, valid)
	for _, tc := range []struct {
		name string
		call bearergate.Call
		want bearergate.Reason
	}{
		{name: "W2-120 the same again", call: call(valid), want: bearergate.ReasonReplay},
		{name: "W2-126 signed again", call: call(again[0]), want: bearergate.ReasonReplay},
		{name: "r, n - s", call: call(again[1]), want: bearergate.ReasonReplay},
		{name: "DPO-069 another iat", call: call(sign(s, map[string]any{"jti": "Id", "iat": s.Now.Unix() - 1})), want: bearergate.ReasonReplay},
		{name: "W2-125, DPO-070 another address", call: func() bearergate.Call {
			c := call(sign(s, map[string]any{"jti": "Id", "htu": api + "/c"}))
			c.Target = "/c"
			return c
		}(), want: bearergate.ReasonReplay},
		{name: "another header", call: call(s.Key.Sign(t, map[string]any{"x": 1}, func() map[string]any { c := s.Claims(); c["jti"] = "Id"; return c }())), want: bearergate.ReasonReplay},
		{name: "W2-127 another case", call: call(sign(s, map[string]any{"jti": "ID"}))},
		{name: "composed", call: call(sign(s, map[string]any{"jti": "\u00e9"}))},
		{name: "decomposed", call: call(sign(s, map[string]any{"jti": "e\u0301"}))},
		{name: "an escaped jti", call: call(s.Key.SignText(t, headerText(t, s), strings.Replace(claimsText(t, s, "I\x00d"), `I\u0000d`, `\u0049d`, 1))), want: bearergate.ReasonReplay},
	} {
		_, err := confirm(s, p, tc.call)
		require.Equal(t, tc.want, bearergate.ReasonOf(err), tc.name)
		requireReason(t, err, tc.want)
	}
	// W2-124: another client cannot use up a jti.
	other := s
	other.Key = s.Other
	_, err = confirm(other, p, call(sign(other, map[string]any{"jti": "next"})))
	require.NoError(t, err)
	_, err = confirm(s, p, call(sign(s, map[string]any{"jti": "next"})))
	require.NoError(t, err)
}

// Of 64 uses at once, through four processes and one store, one gets in.
//
// W2-121
// req: FLT-01
func TestOneWins(t *testing.T) {
	s := newScene(t)
	store, err := dpop.NewMemory(100)
	require.NoError(t, err)
	foreign := newRecorder(t) // whose calls are on goroutines of their own
	for _, of := range []dpop.ReplayStore{store, foreign} {
		var processes []*dpop.Proofs
		for range 4 {
			processes = append(processes, newProofs(t, func(c *dpop.Config) { c.Replay, c.StoreTimeout = of, 10*time.Second }))
		}
		for range 20 {
			proof := sign(s, nil)
			var won, replays atomic.Int32
			start := make(chan struct{})
			var all sync.WaitGroup
			for n := range 64 {
				all.Go(func() {
					<-start
					switch _, err := confirm(s, processes[n%4], call(proof)); bearergate.ReasonOf(err) {
					case "":
						won.Add(1)
					case bearergate.ReasonReplay:
						replays.Add(1)
					}
				})
			}
			close(start)
			all.Wait()
			require.EqualValues(t, 1, won.Load())
			require.EqualValues(t, 63, replays.Load())
		}
	}
}

// The keys of a store are the same in every process, tell nothing, and differ by what they
// have to.
func TestReplayKeys(t *testing.T) {
	s := newScene(t)
	key := func(s proofs.Scene, id, namespace string) string {
		store := newRecorder(t)
		_, err := confirm(s, newProofs(t, func(c *dpop.Config) { c.Replay, c.ReplayNamespace = store, namespace }), call(sign(s, map[string]any{"jti": id})))
		require.NoError(t, err)
		require.Len(t, store.keys, 1)
		return store.keys[0]
	}
	first := key(s, "order-17", "")
	require.Equal(t, first, key(s, "order-17", ""))
	require.Len(t, first, 43)
	require.NotContains(t, first, "order")
	other := s
	other.Key = s.Other
	seen := map[string]bool{first: true}
	for _, k := range []string{key(s, "order-18", ""), key(other, "order-17", ""), key(s, "order-17", "gateway"), key(s, "gatewayorder-17", "")} {
		require.False(t, seen[k])
		seen[k] = true
	}
}

// What a store does is never a pass, and never the client's fault.
//
// W2-128, W2-131
// req: FLT-04
func TestStores(t *testing.T) {
	for _, tc := range []struct {
		name string
		use  func(ctx context.Context) (bool, error)
		want bearergate.Reason
		took time.Duration
		told dpop.StoreOutcome
		says string
	}{
		{name: "fresh", use: func(context.Context) (bool, error) { return true, nil }, told: dpop.StoreFresh},
		{name: "used", use: func(context.Context) (bool, error) { return false, nil }, want: bearergate.ReasonReplay, told: dpop.StoreUsed},
		{name: "an error", use: func(context.Context) (bool, error) { return true, errors.New("x") }, want: bearergate.ReasonStoreUnavailable, told: dpop.StoreFailed},
		{name: "full", use: func(context.Context) (bool, error) {
			return true, &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonOverloaded}
		}, want: bearergate.ReasonOverloaded, told: dpop.StoreFull},
		{name: "slow", use: func(ctx context.Context) (bool, error) { time.Sleep(99 * time.Millisecond); return true, nil }, took: 99 * time.Millisecond, told: dpop.StoreFresh},
		{name: "silent", use: func(ctx context.Context) (bool, error) { <-ctx.Done(); return true, ctx.Err() },
			want: bearergate.ReasonStoreUnavailable, took: 100 * time.Millisecond, told: dpop.StoreFailed},
		{name: "silent, and then a refusal", use: func(ctx context.Context) (bool, error) { <-ctx.Done(); return false, nil },
			want: bearergate.ReasonReplay, took: 100 * time.Millisecond, told: dpop.StoreUsed},
		{name: "deaf", use: func(context.Context) (bool, error) { time.Sleep(time.Hour); return true, nil },
			want: bearergate.ReasonStoreUnavailable, took: 120 * time.Millisecond, told: dpop.StoreFailed, says: "within StoreTimeout"},
		{name: "panics", use: func(context.Context) (bool, error) { panic("x") }, want: bearergate.ReasonInternal, told: dpop.StoreFailed},
		{name: "ends its goroutine", use: func(context.Context) (bool, error) { runtime.Goexit(); return true, nil },
			want: bearergate.ReasonStoreUnavailable, told: dpop.StoreFailed, says: "the goroutine was ended"},
	} {
		bubble.Test(t, func(t *testing.T) {
			s := newScene(t)
			var told []dpop.ProofEvent
			p := newProofs(t, func(c *dpop.Config) {
				c.Replay = store(tc.use)
				c.Hooks.Judged = func(_ context.Context, e dpop.ProofEvent) { told = append(told, e) }
			})
			start := time.Now()
			_, err := confirm(s, p, call(sign(s, nil)))
			require.Equal(t, tc.want, bearergate.ReasonOf(err), tc.name)
			requireReason(t, err, tc.want)
			if tc.says != "" {
				require.ErrorContains(t, err, tc.says, tc.name)
			}
			require.Equal(t, tc.took, time.Since(start), tc.name)
			require.Len(t, told, 1)
			require.Equal(t, tc.told, told[0].Store, tc.name)
			require.Equal(t, tc.took, told[0].StoreDuration, tc.name)
			time.Sleep(2 * time.Hour)
		})
	}
}

// A process that stands still between the judgment of a proof and its use must not ask a
// store that has forgotten it: the proof would open again. That is no fault of the client.
func TestProcessStandsStill(t *testing.T) {
	nonces, err := dpop.NewNonces(dpop.NonceConfig{Secrets: [][]byte{[]byte(strings.Repeat("s", 32))}})
	require.NoError(t, err)
	memory, err := dpop.NewMemory(10)
	require.NoError(t, err)
	for _, of := range []dpop.ReplayStore{memory, store(func(context.Context) (bool, error) { return true, nil })} {
		for _, nonces := range []*dpop.Nonces{nil, nonces} {
			s := newScene(t)
			var still time.Duration // for how long, once the proof was judged
			asked := 0
			var told dpop.ProofEvent
			p := newProofs(t, func(c *dpop.Config) {
				c.Replay, c.Nonces = of, nonces
				c.Hooks.Judged = func(_ context.Context, e dpop.ProofEvent) { told = e }
				c.Now = func() time.Time {
					if asked++; asked == 2 {
						return s.Now.Add(still)
					}
					return s.Now
				}
			})
			proof := func() string {
				reply, _ := confirm(s, p, call(sign(s, nil)))
				asked = 0
				return sign(s, map[string]any{"nonce": reply["DPoP-Nonce"]})
			}
			_, err := confirm(s, p, call(proof()))
			require.NoError(t, err)
			still = time.Hour
			_, err = confirm(s, p, call(proof()))
			requireReason(t, err, bearergate.ReasonStoreUnavailable)
			require.ErrorContains(t, err, "stood still")
			require.Empty(t, told.Store, "it was not asked")
		}
	}
}

// store is a ReplayStore that is a function.
type store func(context.Context) (bool, error)

func (s store) Use(ctx context.Context, _ string, _ time.Time) (bool, error) { return s(ctx) }

// A caller that goes away is nobody's failure, and one whose time is up gets 503.
func TestCallersOfStores(t *testing.T) {
	for _, tc := range []struct {
		name string
		ctx  func(context.Context) (context.Context, context.CancelFunc)
		want bearergate.Reason
		told dpop.StoreOutcome
	}{
		{name: "goes away", ctx: func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(10*time.Millisecond, cancel)
			return ctx, cancel
		}, want: bearergate.ReasonCanceled, told: dpop.StoreCanceled},
		{name: "is out of time", ctx: func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 10*time.Millisecond)
		}, want: bearergate.ReasonStoreUnavailable, told: dpop.StoreFailed},
	} {
		for _, deaf := range []bool{false, true} {
			bubble.Test(t, func(t *testing.T) {
				s := newScene(t)
				var told dpop.StoreOutcome
				p := newProofs(t, func(c *dpop.Config) {
					c.Replay = store(func(ctx context.Context) (bool, error) {
						if deaf {
							time.Sleep(time.Hour)
							return true, nil
						}
						<-ctx.Done()
						return false, ctx.Err()
					})
					c.Hooks.Judged = func(_ context.Context, e dpop.ProofEvent) { told = e.Store }
				})
				ctx, cancel := tc.ctx(t.Context())
				defer cancel()
				_, _, err := bearergate.Authenticate(ctx, bound(t, map[string]any{"jkt": s.Key.Thumbprint}), call(sign(s, nil)), p)
				kit.RequireError(t, err, bearergate.ErrUnavailable, tc.want)
				require.Equal(t, tc.told, told, "%s, deaf %v", tc.name, deaf)
				time.Sleep(2 * time.Hour) // until the deaf one has come back
			})
		}
	}
}

// A store that is deaf keeps 1,024 goroutines, and not one for each request.
func TestDeafStoreIsBounded(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newScene(t)
		var asked atomic.Int32
		p := newProofs(t, func(c *dpop.Config) {
			c.Replay = store(func(context.Context) (bool, error) { asked.Add(1); time.Sleep(time.Hour); return true, nil })
		})
		var late, busy atomic.Int32
		var all sync.WaitGroup
		for range 1200 {
			proof := sign(s, nil)
			all.Go(func() {
				_, err := confirm(s, p, call(proof))
				switch reason := bearergate.ReasonOf(err); {
				case !errors.Is(err, bearergate.ErrUnavailable):
				case reason == bearergate.ReasonStoreUnavailable:
					late.Add(1)
				case reason == bearergate.ReasonOverloaded:
					busy.Add(1)
				}
			})
		}
		all.Wait()
		require.EqualValues(t, 1024, late.Load())
		require.EqualValues(t, 176, busy.Load())
		require.EqualValues(t, 1024, asked.Load())
		time.Sleep(time.Hour)
		synctest.Wait()
		_, err := confirm(s, p, call(sign(s, map[string]any{"iat": time.Now().Unix()})))
		requireReason(t, err, bearergate.ReasonStoreUnavailable) // there is room again
		time.Sleep(time.Hour)
	})
}

// A store in memory has from 2 to 1<<24 entries, and takes any text for a key.
func TestNewMemory(t *testing.T) {
	for _, entries := range []int{2, 1 << 24} {
		store, err := dpop.NewMemory(entries)
		require.NoError(t, err)
		for _, use := range []struct {
			key   string
			fresh bool
		}{{"a", true}, {"b", true}, {"a", false}, {"b", false}} {
			fresh, err := store.Use(t.Context(), use.key, time.Now().Add(time.Minute))
			require.NoError(t, err)
			require.Equal(t, use.fresh, fresh)
		}
	}
	for _, entries := range []int{-1, 0, 1, 1<<24 + 1} {
		store, err := dpop.NewMemory(entries)
		require.Nil(t, store)
		kit.RequireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
		require.ErrorContains(t, err, "between 2 and 16777216")
	}
}

// A full store refuses, forgets nothing early, and has room again when entries end. Who
// fills it is refused first.
//
// W2-128, W2-129.
func TestMemoryIsFull(t *testing.T) {
	at := time.Now()
	now := clock.At(at)
	mem, err := dpop.NewMemory(10)
	require.NoError(t, err)
	use := func(key string, of int) string {
		fresh, err := dpop.UseAt(mem, key, fmt.Sprint(of), now, at.Add(time.Minute))
		if err != nil {
			kit.RequireError(t, err, bearergate.ErrUnavailable, bearergate.ReasonOverloaded)
			require.False(t, fresh)
			return "full"
		}
		return map[bool]string{true: "fresh", false: "used"}[fresh]
	}
	many := func(prefix string, n, of int) (answers []string) {
		for i := range n {
			answers = append(answers, use(fmt.Sprint(prefix, i), of))
		}
		return answers
	}
	all := func(answer string, n int) []string { return strings.Fields(strings.Repeat(answer+" ", n)) }
	require.Equal(t, all("fresh", 10), many("a", 10, 1), "one key has all of it")
	require.Equal(t, "full", use("a10", 1))
	require.Equal(t, all("fresh", 5), many("b", 5, 2), "others have room for half as many again")
	require.Equal(t, "full", use("b5", 2))
	require.Equal(t, all("used", 10), many("a", 10, 1), "nothing was forgotten")
	require.Equal(t, all("used", 5), many("b", 5, 2))
	now = now.Add(time.Minute)
	at = at.Add(time.Minute)
	require.Equal(t, all("fresh", 5), many("c", 5, 3), "all have ended")
	require.Equal(t, all("fresh", 5), many("d", 5, 4))
	require.Equal(t, "full", use("e", 5), "nobody has more than half")
	require.Equal(t, "full", use("c5", 3))
	now = now.Add(time.Hour)
	at = at.Add(time.Hour)
	require.Equal(t, "fresh", use("f", 6))
	used, ends, owners, heavy := dpop.Sizes(mem)
	require.Equal(t, []int{1, 1, 1, 0}, []int{used, ends, owners, heavy}, "nothing is left behind")
}

// A key that filled a store, and others beside it, finds room as soon as all of that has
// ended, however few calls there were since.
func TestMemoryHasRoomAgain(t *testing.T) {
	at := time.Now()
	now := clock.At(at)
	mem, err := dpop.NewMemory(1000)
	require.NoError(t, err)
	for i := range 1500 {
		owner := "a"
		if i >= 1000 {
			owner = "others"
		}
		fresh, err := dpop.UseAt(mem, fmt.Sprint(i), owner, now, at.Add(time.Minute))
		require.NoError(t, err)
		require.True(t, fresh)
	}
	now = now.Add(time.Minute)
	fresh, err := dpop.UseAt(mem, "next", "a", now, now.Wall.Add(time.Minute))
	require.NoError(t, err)
	require.True(t, fresh)
	used, ends, owners, heavy := dpop.Sizes(mem)
	require.Equal(t, []int{1, 1, 1, 0}, []int{used, ends, owners, heavy})
}

// An entry ends when both clocks say so.
//
// W2-104.
func TestClockIsSet(t *testing.T) {
	start := clock.At(time.Now())
	until := start.Wall.Add(time.Minute)
	at := func(wall, mono time.Duration) clock.Instant {
		return clock.Instant{Wall: start.Wall.Add(wall), Mono: start.Mono.Add(mono)}
	}
	for _, tc := range []struct {
		name  string
		at    clock.Instant
		fresh bool
	}{
		{name: "a second later", at: at(time.Second, time.Second)},
		{name: "set back an hour", at: at(-time.Hour, time.Second)},
		{name: "set back, and a minute later", at: at(-time.Hour+time.Minute, time.Minute)},
		{name: "set forth an hour", at: at(time.Hour, time.Second)},
		{name: "just before its end", at: at(time.Minute-1, time.Minute-1)},
		{name: "its end", at: at(time.Minute, time.Minute), fresh: true},
	} {
		mem, err := dpop.NewMemory(10)
		require.NoError(t, err)
		_, err = dpop.UseAt(mem, "k", "", start, until)
		require.NoError(t, err)
		fresh, err := dpop.UseAt(mem, "k", "", tc.at, tc.at.Wall.Add(time.Minute))
		require.NoError(t, err)
		require.Equal(t, tc.fresh, fresh, tc.name)
	}
	mem, err := dpop.NewMemory(10)
	require.NoError(t, err)
	fresh, err := mem.Use(t.Context(), "k", time.Now().Add(-time.Second))
	require.Error(t, err, "what would be forgotten at once")
	require.False(t, fresh)
	fresh, err = mem.Use(t.Context(), "k", time.Now().Add(time.Second))
	require.NoError(t, err)
	require.True(t, fresh)
}

// The store goes by Config.Now, whatever the machine's clock says.
func TestMemoryGoesByNow(t *testing.T) {
	for _, year := range []int{2001, 2090} {
		s := newScene(t)
		s.Now = time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)
		mem, err := dpop.NewMemory(10)
		require.NoError(t, err)
		p := newProofs(t, func(c *dpop.Config) { c.Now, c.Replay = func() time.Time { return s.Now }, mem })
		proof := sign(s, nil)
		_, err = confirm(s, p, call(proof))
		require.NoError(t, err)
		_, err = confirm(s, p, call(proof))
		requireReason(t, err, bearergate.ReasonReplay)
	}
}

// Proofs of many clients come and end; what the store holds is those of now.
func TestMemoryOverTime(t *testing.T) {
	mem, err := dpop.NewMemory(10_000)
	require.NoError(t, err)
	at := time.Now()
	for second := range 300 {
		for i := range 100 {
			now := at.Add(time.Duration(second) * time.Second)
			fresh, err := dpop.UseAt(mem, fmt.Sprint(second, i), fmt.Sprint(i, second), clock.At(now), now.Add(time.Minute))
			require.NoError(t, err)
			require.True(t, fresh)
		}
	}
	used, ends, owners, heavy := dpop.Sizes(mem)
	require.Equal(t, 6000, used)
	require.Equal(t, 6000, ends)
	require.Equal(t, 6000, owners)
	require.Zero(t, heavy)
}
