package redisgate_test

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	redisgate "github.com/bearergate/bearergate/adapters/redis"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/bearergate/bearergate/test/kit"
)

// patient is a Config with the default timeout.
func patient(hooks redisgate.Hooks) redisgate.Config {
	c := config()
	c.Timeout, c.Hooks = 0, hooks
	return c
}

// hangs answers nothing before its context ends.
func hangs(ctx context.Context, _ redis.Cmder, _ redis.ProcessHook) error {
	<-ctx.Done()
	return ctx.Err()
}

// answers says that nothing was there.
func answers(context.Context, redis.Cmder, redis.ProcessHook) error { return redis.Nil }

// took calls Use and says how long it took.
func took(ctx context.Context, s *redisgate.Stores) (time.Duration, error) {
	start := time.Now()
	_, err := s.Replay().Use(ctx, "proof", soon())
	return time.Since(start), err
}

// req: FLT-04
func TestAHangingRedisCostsFewRequestsTime(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		told := &events{}
		var works atomic.Bool
		var asked atomic.Int32
		s := intercepted(t, patient(told.hooks()), func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error {
			asked.Add(1)
			if works.Load() {
				return answers(ctx, cmd, next)
			}
			return hangs(ctx, cmd, next)
		})
		for range redisgate.FailuresToOpen {
			d, err := took(t.Context(), s)
			require.Equal(t, redisgate.DefaultTimeout, d)
			kit.RequireError(t, err, bearergate.ErrUnavailable, bearergate.ReasonStoreUnavailable)
		}
		for _, pause := range []time.Duration{250 * time.Millisecond, 500 * time.Millisecond, time.Second, time.Second} {
			changes := told.changes()
			require.Equal(t, redisgate.CircuitEvent{Open: true, Pause: pause}, changes[len(changes)-1])
			time.Sleep(pause - time.Millisecond)
			before := asked.Load()
			d, err := took(t.Context(), s)
			require.Zero(t, d, "at once")
			kit.RequireError(t, err, bearergate.ErrUnavailable, bearergate.ReasonStoreUnavailable)
			require.Equal(t, time.Millisecond, bearergate.AsError(err).RetryAfter)
			require.Equal(t, before, asked.Load(), "not asked")

			time.Sleep(time.Millisecond)
			var all sync.WaitGroup // one of many tries, and the others do not wait for it
			var tried atomic.Int32
			for range 10 {
				all.Go(func() {
					if d, err := took(t.Context(), s); err != nil && d > 0 {
						tried.Add(1)
					}
				})
			}
			all.Wait()
			require.EqualValues(t, 1, tried.Load())
			require.Equal(t, before+1, asked.Load())
		}
		works.Store(true)
		time.Sleep(redisgate.MaxPause)
		d, err := took(t.Context(), s)
		require.NoError(t, err)
		require.Zero(t, d)
		changes := told.changes()
		require.Equal(t, redisgate.CircuitEvent{}, changes[len(changes)-1])

		works.Store(false) // and it begins as at first
		for range redisgate.FailuresToOpen {
			d, _ := took(t.Context(), s)
			require.Equal(t, redisgate.DefaultTimeout, d)
		}
		changes = told.changes()
		require.Equal(t, redisgate.CircuitEvent{Open: true, Pause: redisgate.MinPause}, changes[len(changes)-1])
	})
}

// Those that were under way when it opened do not prolong the pause.
func TestFailuresAtOnceOpenOnce(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		told := &events{}
		s := intercepted(t, patient(told.hooks()), hangs)
		var all sync.WaitGroup
		for range 10 * redisgate.FailuresToOpen {
			all.Go(func() { _, _ = took(t.Context(), s) })
		}
		all.Wait()
		require.Equal(t, []redisgate.CircuitEvent{{Open: true, Pause: redisgate.MinPause}}, told.changes())
	})
}

func TestOnlyFailuresInARowOpen(t *testing.T) {
	told := &events{}
	var calls atomic.Int32
	s := intercepted(t, patient(told.hooks()), func(context.Context, redis.Cmder, redis.ProcessHook) error {
		if calls.Add(1)%redisgate.FailuresToOpen == 0 {
			return redis.Nil
		}
		return io.EOF
	})
	for range 10 * redisgate.FailuresToOpen {
		_, _ = took(t.Context(), s)
	}
	require.EqualValues(t, 10*redisgate.FailuresToOpen, calls.Load())
	require.Empty(t, told.changes())
}

// What Redis says, however bad, says that it is there.
func TestErrorsOfRedisDoNotOpen(t *testing.T) {
	told := &events{}
	s := intercepted(t, patient(told.hooks()), func(context.Context, redis.Cmder, redis.ProcessHook) error {
		return reply("LOADING Redis is loading the dataset in memory")
	})
	for range 3 * redisgate.FailuresToOpen {
		_, err := took(t.Context(), s)
		kit.RequireError(t, err, bearergate.ErrUnavailable, bearergate.ReasonStoreUnavailable)
	}
	require.Empty(t, told.changes())
}

// reply is an error that Redis has answered with.
type reply string

func (r reply) Error() string { return string(r) }
func (reply) RedisError()     {}

func TestCallersDoNotSteerTheCircuit(t *testing.T) {
	rows := []struct {
		name    string
		context func(context.Context) (context.Context, context.CancelFunc)
		err     error
	}{
		{"they go away", func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(time.Millisecond, cancel)
			return ctx, cancel
		}, context.Canceled},
		{"their deadline is short", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, time.Millisecond)
		}, context.DeadlineExceeded},
		{"their deadline has passed", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, -1)
		}, context.DeadlineExceeded},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				told := &events{}
				slow := 50 * time.Millisecond // for a Redis that answers
				s := intercepted(t, patient(told.hooks()), func(ctx context.Context, _ redis.Cmder, _ redis.ProcessHook) error {
					select {
					case <-time.After(slow):
						return redis.Nil
					case <-ctx.Done():
						return ctx.Err()
					}
				})
				for range 3 * redisgate.FailuresToOpen {
					ctx, cancel := row.context(t.Context())
					_, err := took(ctx, s)
					cancel()
					require.ErrorIs(t, err, row.err)
				}
				synctest.Wait()
				time.Sleep(time.Second)
				require.Empty(t, told.changes())
				require.NotContains(t, told.outcomes(), redisgate.OutcomeTimeout)
				_, err := took(t.Context(), s)
				require.NoError(t, err)
			})
		})
	}
}

// Callers that leave do not keep a Redis that hangs from being noticed either: that of
// package dpop has the same patience by default.
func TestAHangIsNoticedAfterItsCallerHasLeft(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		told := &events{}
		s := intercepted(t, patient(told.hooks()), hangs)
		for range redisgate.FailuresToOpen {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			_, err := took(ctx, s)
			cancel()
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}
		time.Sleep(redisgate.DefaultTimeout)
		require.Equal(t, []redisgate.CircuitEvent{{Open: true, Pause: redisgate.MinPause}}, told.changes())
	})
}

// A client that ignores its context keeps nobody waiting.
func TestADeafClientIsLeftBehind(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		told := &events{}
		wakes := make(chan struct{})
		c := patient(told.hooks())
		c.MaxCalls = redisgate.FailuresToOpen + 1
		s := intercepted(t, c, func(context.Context, redis.Cmder, redis.ProcessHook) error {
			<-wakes
			return redis.Nil
		})
		for range redisgate.FailuresToOpen {
			d, err := took(t.Context(), s)
			require.Equal(t, redisgate.DefaultTimeout+20*time.Millisecond, d)
			kit.RequireError(t, err, bearergate.ErrUnavailable, bearergate.ReasonStoreUnavailable)
		}
		require.Len(t, told.changes(), 1)
		time.Sleep(redisgate.MinPause)
		d, err := took(t.Context(), s)
		require.Equal(t, redisgate.DefaultTimeout+20*time.Millisecond, d)
		require.Error(t, err)
		time.Sleep(time.Hour) // and still they keep their places
		d, err = took(t.Context(), s)
		require.Zero(t, d)
		kit.RequireError(t, err, bearergate.ErrUnavailable, bearergate.ReasonOverloaded)
		close(wakes)
		synctest.Wait()
		_, err = took(t.Context(), s)
		require.NoError(t, err)
	})
}

func TestMaxCalls(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		told := &events{}
		c := patient(told.hooks())
		c.MaxCalls = 3
		goOn := make(chan struct{})
		s := intercepted(t, c, func(context.Context, redis.Cmder, redis.ProcessHook) error { <-goOn; return redis.Nil })
		for range 3 {
			go func() { _, _ = took(t.Context(), s) }()
		}
		synctest.Wait()
		d, err := took(t.Context(), s)
		require.Zero(t, d)
		kit.RequireError(t, err, bearergate.ErrUnavailable, bearergate.ReasonOverloaded)
		require.Equal(t, []redisgate.Outcome{redisgate.OutcomeBusy}, told.outcomes())
		close(goOn)
		synctest.Wait()
		_, err = took(t.Context(), s)
		require.NoError(t, err)
		require.Empty(t, told.changes())
	})
}

// An attempt of which nothing is ever heard is not the last one.
func TestAnAttemptThatIsLeftDoesNotKeepTheCircuitOpen(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		wakes := make(chan struct{})
		var works atomic.Bool
		s := intercepted(t, patient(redisgate.Hooks{}), func(context.Context, redis.Cmder, redis.ProcessHook) error {
			if !works.Load() {
				<-wakes
			}
			return redis.Nil
		})
		for range redisgate.FailuresToOpen {
			_, _ = took(t.Context(), s)
		}
		time.Sleep(redisgate.MinPause)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, err := took(ctx, s)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		works.Store(true)
		_, err = took(t.Context(), s)
		kit.RequireError(t, err, bearergate.ErrUnavailable, bearergate.ReasonStoreUnavailable)
		time.Sleep(redisgate.DefaultTimeout + 20*time.Millisecond)
		_, err = took(t.Context(), s)
		require.NoError(t, err)
		close(wakes)
	})
}

// One master of a Cluster that is gone does not keep callers from the others.
func TestEachPartOfAClusterHasACircuit(t *testing.T) {
	told := &events{}
	client := redis.NewClusterClient(redisgate.ClusterOptions(&redis.ClusterOptions{}))
	defer client.Close()
	client.AddHook(interceptor(func(_ context.Context, cmd redis.Cmder, _ redis.ProcessHook) error {
		if key, _ := cmd.Args()[1].(string); redisgate.SlotOf(key) < 22*256 {
			return io.EOF
		}
		return redis.Nil
	}))
	s := stores(t, client, patient(told.hooks()))
	var lost, served int
	for i := range 6000 {
		fresh, err := s.Replay().Use(t.Context(), string(rune('a'+i%26))+time.Duration(i).String(), soon())
		if err != nil {
			lost++
		}
		if fresh {
			served++
		}
	}
	require.InDelta(t, 6000*22/64, lost, 250)
	require.Equal(t, 6000, lost+served)
	parts := map[int]bool{}
	for _, e := range told.changes() {
		require.True(t, e.Open)
		require.Less(t, e.Part, 22)
		parts[e.Part] = true
	}
	require.Len(t, parts, 22)
}

func TestErrorsSayWhoseFaultItIs(t *testing.T) {
	const marker = "10.1.2.3:6379 user:password bearergate:orders:used:{abc}"
	unavailable, misconfigured := bearergate.ErrUnavailable, bearergate.ErrMisconfigured
	rows := []struct {
		name    string
		err     error
		kind    error
		reason  bearergate.Reason
		outcome redisgate.Outcome
		code    string
		opens   bool
	}{
		{"connection", errors.New("dial tcp " + marker), unavailable, bearergate.ReasonStoreUnavailable, redisgate.OutcomeConnection, "", true},
		{"timeout", context.DeadlineExceeded, unavailable, bearergate.ReasonStoreUnavailable, redisgate.OutcomeTimeout, "", true},
		{"pool", redis.ErrPoolTimeout, unavailable, bearergate.ReasonOverloaded, redisgate.OutcomeBusy, "", false},
		{"closed", redis.ErrClosed, unavailable, bearergate.ReasonStoreUnavailable, redisgate.OutcomeBroken, "", false},
		{"full", reply("OOM command not allowed " + marker), unavailable, bearergate.ReasonOverloaded, redisgate.OutcomeRefused, "OOM", false},
		{"replica", reply("READONLY You can't write " + marker), unavailable, bearergate.ReasonStoreUnavailable, redisgate.OutcomeRefused, "READONLY", false},
		{"down", reply("CLUSTERDOWN " + marker), unavailable, bearergate.ReasonStoreUnavailable, redisgate.OutcomeRefused, "CLUSTERDOWN", false},
		{"rights", reply("NOPERM " + marker), misconfigured, bearergate.ReasonConfig, redisgate.OutcomeRefused, "NOPERM", false},
		{"password", reply("WRONGPASS " + marker), misconfigured, bearergate.ReasonConfig, redisgate.OutcomeRefused, "WRONGPASS", false},
		{"no password", reply("NOAUTH " + marker), misconfigured, bearergate.ReasonConfig, redisgate.OutcomeRefused, "NOAUTH", false},
		{"type", reply("WRONGTYPE " + marker), misconfigured, bearergate.ReasonConfig, redisgate.OutcomeRefused, "WRONGTYPE", false},
		{"old server", reply("ERR syntax error " + marker), misconfigured, bearergate.ReasonConfig, redisgate.OutcomeRefused, "ERR", false},
		{"unknown command", reply("ERR unknown command 'set', with args beginning with: " + marker), misconfigured, bearergate.ReasonConfig, redisgate.OutcomeRefused, "ERR", false},
		{"a command that a script may not use", reply("ERR Unknown Redis command called from script script: " + marker), misconfigured, bearergate.ReasonConfig, redisgate.OutcomeRefused, "ERR", false},
		{"a password of an older server", reply("ERR invalid password" + marker), misconfigured, bearergate.ReasonConfig, redisgate.OutcomeRefused, "ERR", false},
		{"no database", reply("ERR DB index is out of range" + marker), misconfigured, bearergate.ReasonConfig, redisgate.OutcomeRefused, "ERR", false},
		{"no Cluster", reply("ERR This instance has cluster support disabled" + marker), misconfigured, bearergate.ReasonConfig, redisgate.OutcomeRefused, "ERR", false},
		{"type, in a script of an older server", reply("ERR Error running script (call to f_0123abcd): @user_script:1: WRONGTYPE Operation " + marker), misconfigured, bearergate.ReasonConfig, redisgate.OutcomeRefused, "WRONGTYPE", false},
		{"full, in a script of an older server", reply("ERR Error running script (call to f_0123abcd): @user_script: 12: -OOM command not allowed " + marker), unavailable, bearergate.ReasonOverloaded, redisgate.OutcomeRefused, "OOM", false},
		{"replica, in a script of an older server", reply("ERR Error running script (call to f_0123abcd): @user_script: 1: -READONLY You can't write " + marker), unavailable, bearergate.ReasonStoreUnavailable, redisgate.OutcomeRefused, "READONLY", false},
		{"unknown command, in a script of an older server", reply("ERR Error running script (call to f_0123abcd): @user_script: 1: Unknown Redis command called from Lua script " + marker), misconfigured, bearergate.ReasonConfig, redisgate.OutcomeRefused, "ERR", false},
		{"anything in a script", reply("ERR Error running script (call to f_0123abcd): @user_script: 1: " + marker), unavailable, bearergate.ReasonStoreUnavailable, redisgate.OutcomeRefused, "ERR", true},
		{"no place for a client", reply("ERR max number of clients reached"), unavailable, bearergate.ReasonStoreUnavailable, redisgate.OutcomeRefused, "ERR", true},
		{"no place for a client of a Cluster", reply("ERR max number of clients + cluster connections reached"), unavailable, bearergate.ReasonStoreUnavailable, redisgate.OutcomeRefused, "ERR", true},
		{"a proxy without a connection", reply("ERR Connection refused"), unavailable, bearergate.ReasonStoreUnavailable, redisgate.OutcomeRefused, "ERR", true},
		{"a mistake that is only mentioned", reply("ERR upstream: unknown command"), unavailable, bearergate.ReasonStoreUnavailable, redisgate.OutcomeRefused, "ERR", true},
		{"no text", reply("ERR"), unavailable, bearergate.ReasonStoreUnavailable, redisgate.OutcomeRefused, "ERR", true},
		{"small letters", reply("err unknown command"), unavailable, bearergate.ReasonStoreUnavailable, redisgate.OutcomeRefused, "ERR", true},
		{"anything", reply(marker), unavailable, bearergate.ReasonStoreUnavailable, redisgate.OutcomeRefused, "ERR", true},
		{"long", reply("AAAAAAAAAAAAAAAAAAAAA"), unavailable, bearergate.ReasonStoreUnavailable, redisgate.OutcomeRefused, "ERR", true},
		{"a proxy without servers", reply("upstream failure"), unavailable, bearergate.ReasonStoreUnavailable, redisgate.OutcomeRefused, "ERR", true},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			told := &events{}
			s := intercepted(t, patient(told.hooks()), func(context.Context, redis.Cmder, redis.ProcessHook) error { return row.err })
			fresh, err := s.Replay().Use(t.Context(), "proof", soon())
			require.False(t, fresh)
			kit.RequireError(t, err, row.kind, row.reason)
			value, err := s.Answers().Get(t.Context(), "k")
			require.Nil(t, value)
			kit.RequireError(t, err, row.kind, row.reason)
			claimed, err := s.Answers().Claim(t.Context(), "k", time.Second)
			require.False(t, claimed)
			kit.RequireError(t, err, row.kind, row.reason)
			kit.RequireError(t, s.Answers().Set(t.Context(), "k", []byte("v"), time.Second), row.kind, row.reason)
			kit.RequireError(t, s.Log().Append(t.Context(), record("r")), row.kind, row.reason)
			for _, c := range told.calls {
				require.Equal(t, row.outcome, c.Outcome)
				require.Equal(t, row.code, c.Code)
			}
			require.Len(t, told.calls, redisgate.FailuresToOpen)
			require.Equal(t, row.opens, len(told.changes()) == 1, "only what is no answer of Redis opens the circuit")
			_, _, err = s.Log().Read(t.Context(), "", 1)
			require.Error(t, err)
			for _, err := range []error{err, s.Check(t.Context())} {
				require.NotContains(t, err.Error(), "10.1.2.3")
				require.NotContains(t, err.Error(), "password")
				require.NotContains(t, err.Error(), "bearergate:orders")
				require.NotErrorIs(t, err, row.err)
			}
		})
	}
}

func TestPanicsOfTheClientAreContained(t *testing.T) {
	for name, breaks := range map[string]func(){"panic": func() { panic("secret") }, "nil": func() { panic(nil) }} {
		t.Run(name, func(t *testing.T) {
			told := &events{}
			s := intercepted(t, patient(told.hooks()), func(context.Context, redis.Cmder, redis.ProcessHook) error { breaks(); return nil })
			for range 2 * redisgate.FailuresToOpen {
				_, err := took(t.Context(), s)
				kit.RequireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonInternal)
				require.NotContains(t, err.Error(), "secret")
			}
			require.Empty(t, told.changes())
		})
	}
}
