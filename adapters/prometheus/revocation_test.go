package promgate_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	promgate "github.com/bearergate/bearergate/adapters/prometheus"
	"github.com/bearergate/bearergate/revocation"
	"github.com/bearergate/bearergate/test/kit"
)

// A fleet's list, from before it has read its log to an outage, and what a scrape says.
func TestRevocations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, registry := newMetrics(t, promgate.Config{})
		require.NotContains(t, gathered(t, registry), "bearergate_revocation_", "nothing is watched")
		log := new(kit.Log)
		list, err := revocation.New(revocation.Config{MaxTokenLife: time.Hour, Log: log, Hooks: m.RevocationHooks()})
		require.NoError(t, err)
		require.NoError(t, m.WatchRevocations(list))
		http := serve(t, promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
		is := func(metric string, want float64) {
			t.Helper()
			require.Equal(t, map[string]float64{"": want}, scrape(t, http).of(metric), metric)
		}
		is("revocation_ready", 0)
		require.Empty(t, scrape(t, http).of("revocation_lag_seconds"), "it was never read")

		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { assert.NoError(t, list.Run(ctx)) })
		defer running.Wait()
		defer cancel()
		time.Sleep(time.Second)
		is("revocation_ready", 1)
		entry := revocation.Entry{Issuer: "i", Subject: "alice", Source: "admin"}
		require.NoError(t, list.Add(ctx, entry, revocation.Entry{Issuer: "i", Session: "s", Source: "backchannel"}, revocation.Entry{Issuer: "i", Session: "t"}))
		require.NoError(t, list.Lift(ctx, revocation.Entry{Issuer: "i", Session: "t"}))
		now := time.Now()
		require.Error(t, list.Check(ctx, bearergate.NewToken(bearergate.Claims{Issuer: "i", Subject: "alice", AsOf: now, ExpiresAt: now.Add(time.Minute)})))
		require.Equal(t, map[string]float64{`source="admin"`: 1, `source="backchannel"`: 1, `source=""`: 1}, scrape(t, http).of("revocation_entries"))
		is("revocation_lifted_entries", 1)
		is("revocation_unlogged_entries", 0)
		is("revocation_full", 0)
		require.Equal(t, map[string]float64{`by="subject",issuer="i",source="admin"`: 1}, scrape(t, http).of("revocation_refusals_total"))
		require.Equal(t, map[string]float64{`by="subject",change="added",source="admin"`: 1, `by="session",change="added",source="backchannel"`: 1,
			`by="session",change="added",source=""`: 1, `by="session",change="lifted",source=""`: 1}, scrape(t, http).of("revocation_changes_total"))
		require.NotContains(t, gathered(t, registry), "alice")

		log.Fault(func(context.Context, string) error { return errors.New("down") })
		require.Error(t, list.Add(ctx, revocation.Entry{Issuer: "i", Subject: "bob", Source: "admin"}))
		time.Sleep(time.Minute)
		is("revocation_ready", 0)
		is("revocation_unlogged_entries", 1)
		lag := scrape(t, http).of("revocation_lag_seconds")[""]
		require.Greater(t, lag, 55.0)
		require.Less(t, lag, 70.0)
		require.NotZero(t, scrape(t, http).of("revocation_syncs_total")[`outcome="failed"`])

		log.Fault(nil)
		time.Sleep(20 * time.Second)
		is("revocation_ready", 1)
		is("revocation_unlogged_entries", 0)
		require.Less(t, scrape(t, http).of("revocation_lag_seconds")[""], 10.0)
		require.NotZero(t, scrape(t, http).of("revocation_put_back_total")[""])
		lint(t, registry)
	})
}

func TestWatchRevocations(t *testing.T) {
	m, registry := newMetrics(t, promgate.Config{})
	list := func() *revocation.List {
		l, err := revocation.New(revocation.Config{MaxTokenLife: time.Hour})
		require.NoError(t, err)
		return l
	}
	one := list()
	require.ErrorIs(t, m.WatchRevocations(nil), bearergate.ErrMisconfigured)
	require.NoError(t, m.WatchRevocations(one))
	require.NoError(t, m.WatchRevocations(one), "watched already")
	require.ErrorIs(t, m.WatchRevocations(list()), bearergate.ErrMisconfigured)

	// However many sources there are, the series are bounded, and none is lost in the sum.
	for i := range 100 {
		require.NoError(t, one.Add(t.Context(), revocation.Entry{Issuer: "i", Subject: "s", Session: fmt.Sprint(i), Source: fmt.Sprint("source-", i)}))
	}
	s := scrape(t, serve(t, promhttp.HandlerFor(registry, promhttp.HandlerOpts{})))
	entries, total := s.of("revocation_entries"), 0.0
	require.LessOrEqual(t, len(entries), promgate.MaxWords+1)
	for _, n := range entries {
		total += n
	}
	require.EqualValues(t, 100, total)
	require.Empty(t, s.of("revocation_lag_seconds"), "there is no log")
	lint(t, registry)
}
