package redisgate_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	redisgate "github.com/bearergate/bearergate/adapters/redis"
	"github.com/bearergate/bearergate/test/kit"
)

func TestAnswers(t *testing.T) {
	for _, c := range []redisgate.Config{with(1), with(1, 2)} {
		s, server := single(t, c)
		answers := s.Answers()
		value, err := answers.Get(t.Context(), "k")
		require.NoError(t, err)
		require.Nil(t, value)

		sealed := []byte{0, 1, 255, '\r', '\n'}
		require.NoError(t, answers.Set(t.Context(), "k", sealed, 30*time.Second))
		value, err = answers.Get(t.Context(), "k")
		require.NoError(t, err)
		require.Equal(t, sealed, value)
		require.NoError(t, answers.Set(t.Context(), "k", []byte("later"), 40*time.Second))
		value, err = answers.Get(t.Context(), "k")
		require.NoError(t, err)
		require.Equal(t, "later", string(value))
		server.FastForward(40 * time.Second)
		value, err = answers.Get(t.Context(), "k")
		require.NoError(t, err)
		require.Nil(t, value)

		require.NoError(t, answers.Set(t.Context(), "short", sealed, 1), "less than Redis can count")
		require.NoError(t, answers.Set(t.Context(), "long", make([]byte, redisgate.MaxAnswerBytes), time.Minute))
		err = answers.Set(t.Context(), "longer", make([]byte, redisgate.MaxAnswerBytes+1), time.Minute)
		kit.RequireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	}
}

func TestOneOfManyClaimsWins(t *testing.T) {
	server := miniredis.RunT(t)
	fleet := []*redisgate.Answers{
		stores(t, connect(t, server.Addr()), with(1, 2)).Answers(),
		stores(t, connect(t, server.Addr()), with(2, 1)).Answers(),
	}
	var winners atomic.Int32
	var all sync.WaitGroup
	for i := range 32 {
		all.Go(func() {
			claimed, err := fleet[i%2].Claim(t.Context(), "k-ahead", 4*time.Second)
			assert.NoError(t, err)
			if claimed {
				winners.Add(1)
			}
		})
	}
	all.Wait()
	require.EqualValues(t, 1, winners.Load())
	server.FastForward(4 * time.Second)
	claimed, err := fleet[0].Claim(t.Context(), "k-ahead", time.Second)
	require.NoError(t, err)
	require.True(t, claimed)
}

// What was written last is what is read, whichever process wrote it and under which secret:
// a purge must not leave an older answer to be found.
func TestAnswersWhileASecretChanges(t *testing.T) {
	server := miniredis.RunT(t)
	client := connect(t, server.Addr())
	fleet := []*redisgate.Answers{stores(t, client, with(1, 2)).Answers(), stores(t, client, with(2, 1)).Answers()}
	for writer := range 2 {
		require.NoError(t, fleet[1-writer].Set(t.Context(), "k", []byte("active"), time.Minute))
		require.NoError(t, fleet[writer].Set(t.Context(), "k", []byte("purged"), time.Minute))
		for _, reader := range fleet {
			value, err := reader.Get(t.Context(), "k")
			require.NoError(t, err)
			require.Equal(t, "purged", string(value))
		}
		require.Len(t, server.Keys(), 1)
	}
	require.NoError(t, stores(t, client, with(1)).Answers().Set(t.Context(), "old", []byte("v"), time.Minute))
	value, err := stores(t, client, with(2, 1)).Answers().Get(t.Context(), "old")
	require.NoError(t, err)
	require.Equal(t, "v", string(value))
}
