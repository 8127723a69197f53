package redisgate_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	redisgate "github.com/bearergate/bearergate/adapters/redis"
)

// deployments are what a fleet may share.
var deployments = []struct {
	name     string
	start    func(testing.TB) deployment
	replicas int // that each master has
}{
	{"standalone", standalone, 0},
	{"Sentinel", failingOver, 2},
	{"Cluster", clustered, 1},
}

// everyday is a Config with the default timeout.
func everyday(replicas int) redisgate.Config {
	c := with(1)
	c.Timeout, c.Replicas = 0, replicas
	return c
}

// lateness measures by how much this machine wakes goroutines too late, which is no fault
// of what is tested.
func lateness(t *testing.T) (worst func() time.Duration) {
	const nap = 5 * time.Millisecond
	var most atomic.Int64
	ended := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		for {
			begin := time.Now()
			select {
			case <-time.After(nap):
				most.Store(max(most.Load(), int64(time.Since(begin)-nap)))
			case <-ended:
				return
			}
		}
	})
	t.Cleanup(func() { close(ended); all.Wait() })
	return func() time.Duration { return time.Duration(most.Load()) }
}

// requireWithin requires that something took less than it may, on a machine that has time for
// it: what was woken late several times is not judged.
func requireWithin(t *testing.T, bound, took time.Duration, late func() time.Duration) {
	t.Helper()
	if late() > 100*time.Millisecond {
		t.Logf("the machine was late by %v: not judged", late())
		return
	}
	require.Less(t, took, bound+3*late())
}

// load uses up proofs, one after the other in each of several processes, until it is ended.
type load struct {
	mu       sync.Mutex // guards the rest
	accepted map[string]time.Time
	longest  time.Duration
	failed   int
	wrong    []error // failures that are not an outage
	end      func()
}

func underLoad(t *testing.T, d deployment, c redisgate.Config, processes int) *load {
	t.Helper()
	l := &load{accepted: map[string]time.Time{}}
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for process := range processes {
		replay := stores(t, d.connect(t), c).Replay()
		for worker := range 2 {
			all.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					l.use(t, replay, fmt.Sprintf("%d %d %d", process, worker, i))
					select {
					case <-time.After(2 * time.Millisecond):
					case <-ctx.Done():
					}
				}
			})
		}
	}
	l.end = sync.OnceFunc(func() { cancel(); all.Wait() })
	t.Cleanup(l.end)
	until(t, func() bool { accepted, _ := l.counts(); return accepted > 200 })
	return l
}

func (l *load) use(t *testing.T, replay *redisgate.Replay, name string) {
	begin := time.Now()
	fresh, err := replay.Use(t.Context(), name, begin.Add(5*time.Minute))
	took := time.Since(begin)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.longest = max(l.longest, took)
	switch {
	case err != nil:
		l.failed++
		if !errors.Is(err, bearergate.ErrUnavailable) {
			l.wrong = append(l.wrong, err)
		}
	case !fresh:
		l.wrong = append(l.wrong, fmt.Errorf("%s was not used before", name))
	default:
		l.accepted[name] = time.Now()
	}
}

// recovered waits until the load is served again: all masters, whatever else the machine does.
func (l *load) recovered(t *testing.T, since time.Time) time.Duration {
	t.Helper()
	const during = 500 * time.Millisecond
	until(t, func() bool {
		accepted, failed := l.counts()
		time.Sleep(during)
		more, less := l.counts()
		return more-accepted > 9*(less-failed)
	})
	return time.Since(since) - during
}

func (l *load) counts() (accepted, failed int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.accepted), l.failed
}

// replayed uses every accepted proof once more, in another process, and returns those that
// were accepted again.
func (l *load) replayed(t *testing.T, d deployment, c redisgate.Config) (lost []time.Time) {
	t.Helper()
	replay := stores(t, d.connect(t), c).Replay()
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, at := range l.accepted {
		var fresh bool
		until(t, func() bool {
			var err error
			fresh, err = replay.Use(t.Context(), name, soon())
			return err == nil
		})
		if fresh {
			lost = append(lost, at)
		}
	}
	require.Empty(t, l.wrong)
	return lost
}

// heirs are the replicas of one of the masters.
func (d deployment) heirs(master int) []*node {
	if len(d.masters) == 1 {
		return d.replicas
	}
	return d.replicas[master : master+1]
}

func TestRealRedis(t *testing.T) {
	for _, row := range deployments {
		t.Run(row.name, func(t *testing.T) {
			noLeaks(t)
			d := row.start(t)
			for _, c := range []redisgate.Config{with(1), with(1, 2)} {
				c.Replicas = row.replicas
				c.Namespace = fmt.Sprintf("orders-%d", len(c.Secrets))
				told := &events{}
				c.Hooks = told.hooks()
				process := func() *redisgate.Stores { return stores(t, unhurried(t, d.connect(t)), c) }
				s := process()
				require.NoError(t, s.Check(t.Context()))
				require.Len(t, told.checked, len(d.masters))
				for _, e := range told.checked {
					require.Equal(t, redisgate.CheckEvent{Policy: "noeviction", MaxMemory: 100 << 20}, e)
				}

				fleet := []*redisgate.Stores{s, process(), process(), process()}
				for round := range 20 { // W2-121
					var winners atomic.Int32
					var all sync.WaitGroup
					for i := range 64 {
						all.Go(func() {
							fresh, err := fleet[i%4].Replay().Use(t.Context(), "proof "+strconv.Itoa(round), soon())
							assert.NoError(t, err)
							if fresh {
								winners.Add(1)
							}
						})
					}
					all.Wait()
					require.EqualValues(t, 1, winners.Load())
				}

				answers := s.Answers()
				for i := range 50 {
					key := strconv.Itoa(i)
					require.NoError(t, answers.Set(t.Context(), key, []byte{byte(i), 0}, time.Minute))
					value, err := fleet[1].Answers().Get(t.Context(), key)
					require.NoError(t, err)
					require.Equal(t, []byte{byte(i), 0}, value)
					claimed, err := answers.Claim(t.Context(), key, time.Minute)
					require.NoError(t, err)
					require.True(t, claimed)
					claimed, err = fleet[1].Answers().Claim(t.Context(), key, time.Minute)
					require.NoError(t, err)
					require.False(t, claimed)
				}

				var want []string
				for i := range 300 {
					want = append(want, strconv.Itoa(i))
					require.NoError(t, fleet[i%4].Log().Append(t.Context(), record(want[i])))
				}
				got, end := readAll(t, fleet[2].Log(), "", 100)
				require.Equal(t, want, got)
				require.NoError(t, s.Log().Append(t.Context(), record("more")))
				got, _ = readAll(t, fleet[3].Log(), end, 100)
				require.Equal(t, []string{"more"}, got)
			}
		})
	}
}

// req: FLT-03 FLT-04
// W2-133.
func TestRealMasterIsKilledUnderLoad(t *testing.T) {
	for _, row := range deployments {
		if row.replicas == 0 {
			continue
		}
		for _, replicas := range []int{0, 1} {
			t.Run(fmt.Sprintf("%s, Replicas %d", row.name, replicas), func(t *testing.T) {
				noLeaks(t)
				d := row.start(t)
				c := everyday(replicas)
				late := lateness(t)
				l := underLoad(t, d, c, 3)
				killed := time.Now()
				d.masters[0].kill()
				succeeded(t, d.heirs(0))
				there := time.Now()
				if replicas >= row.replicas { // who takes over has too few itself, until the old one is back
					d.masters[0].run(t)
				}
				l.recovered(t, killed)
				took := time.Since(there)
				l.end()
				t.Logf("%d proofs accepted, %d refused as nobody knew; served again by all %v after there was a master; the longest call %v (the machine was late by %v)", len(l.accepted), l.failed, took.Round(time.Millisecond), l.longest, late())
				requireWithin(t, 10*time.Second, took, late)
				requireWithin(t, 200*time.Millisecond, l.longest, late)
				lost := l.replayed(t, d, c)
				for _, at := range lost {
					require.Less(t, killed.Sub(at), time.Second, "the window that is documented")
				}
				if replicas > 0 {
					require.Empty(t, lost)
				}
			})
		}
	}
}

// req: FLT-04
func TestRealMasterHangsUnderLoad(t *testing.T) {
	for _, row := range deployments {
		t.Run(row.name, func(t *testing.T) {
			noLeaks(t)
			d := row.start(t)
			c := everyday(min(row.replicas, 1))
			late := lateness(t)
			l := underLoad(t, d, c, 3)
			stopped := time.Now()
			d.masters[0].stop(t)
			if row.replicas == 0 { // nobody takes over
				until(t, func() bool { return time.Since(stopped) > 5*time.Second })
				stopped = time.Now()
				d.masters[0].wake(t)
			}
			if row.replicas > 0 {
				succeeded(t, d.heirs(0))
				stopped = time.Now()
			}
			if row.replicas == 1 { // who takes over has too few itself, until the old one is back
				d.masters[0].wake(t)
			}
			took := l.recovered(t, stopped)
			if row.replicas > 1 { // the old master comes back, and believes for a moment that it is one
				d.masters[0].wake(t)
				l.recovered(t, time.Now())
			}
			l.end()
			t.Logf("%d proofs accepted, %d refused as nobody knew; served again by all %v after there was a master; the longest call %v (the machine was late by %v)", len(l.accepted), l.failed, took.Round(time.Millisecond), l.longest, late())
			requireWithin(t, 10*time.Second, took, late)
			requireWithin(t, 200*time.Millisecond, l.longest, late)
			require.Empty(t, l.replayed(t, d, c))
		})
	}
}
