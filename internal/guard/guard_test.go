package guard_test

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/bearergate/bearergate/internal/guard"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/stretchr/testify/require"
)

func TestIsolate(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		ran := false
		require.NoError(t, guard.Isolate(t.Context(), time.Second, func() { ran = true }))
		require.True(t, ran)

		err := guard.Isolate(t.Context(), time.Second, func() { panic("hunter2") })
		require.Error(t, err)
		require.NotErrorIs(t, err, guard.ErrLate)
		require.NotContains(t, err.Error(), "hunter2")

		require.Error(t, guard.Isolate(t.Context(), time.Second, func() { runtime.Goexit() }))

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		err = guard.Isolate(ctx, time.Second/10, func() { time.Sleep(time.Minute) }) // deaf to ctx
		require.ErrorIs(t, err, guard.ErrLate)
		require.Equal(t, 1100*time.Millisecond, time.Since(start))

		start = time.Now()
		err = guard.Isolate(ctx, time.Second/10, func() { time.Sleep(time.Second / 20) }) // ends within the grace
		require.NoError(t, err)
		require.Equal(t, time.Second/20, time.Since(start))
		time.Sleep(time.Minute)
	})
}
