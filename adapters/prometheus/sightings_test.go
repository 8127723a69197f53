package promgate_test

import (
	"net/netip"
	"testing"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	promgate "github.com/bearergate/bearergate/adapters/prometheus"
	"github.com/bearergate/bearergate/middleware/sightings"
)

// A token that is sent from too many networks, and what a scrape says; also of a watch to which
// nobody tells an address.
func TestSightings(t *testing.T) {
	m, registry := newMetrics(t, promgate.Config{})
	require.NotContains(t, gathered(t, registry), "bearergate_sightings_requests_total", "nothing is watched")
	require.ErrorIs(t, m.WatchSightings(nil), bearergate.ErrMisconfigured)
	watch := func() *sightings.Watch {
		w, err := sightings.New(sightings.Config{Networks: 1, MaxTokens: 1, Hooks: m.SightingHooks()})
		require.NoError(t, err)
		require.NoError(t, m.WatchSightings(w))
		require.NoError(t, m.WatchSightings(w), "it is watched already, and not counted twice")
		return w
	}
	one, two := watch(), watch()
	token := func(id string) *bearergate.Token {
		return bearergate.NewToken(bearergate.Claims{Issuer: "i", Subject: "alice", ID: id})
	}
	one.Saw(t.Context(), token("kid-1"), netip.MustParseAddr("192.0.2.1"))
	one.Saw(t.Context(), token("kid-1"), netip.MustParseAddr("198.51.100.1"))
	one.Saw(t.Context(), token("kid-2"), netip.MustParseAddr("198.51.100.1"))
	one.Saw(t.Context(), token(""), netip.MustParseAddr("198.51.100.1"))
	two.Saw(t.Context(), token("kid-1"), netip.MustParseAddr("203.0.113.1"))
	two.Saw(t.Context(), token("kid-1"), netip.Addr{})

	s := scrape(t, serve(t, promhttp.HandlerFor(registry, promhttp.HandlerOpts{})))
	require.Equal(t, map[string]float64{`issuer="i"`: 1}, s.of("sightings_suspected_total"))
	require.Equal(t, map[string]float64{"": 1}, s.of("sightings_forgotten_total"))
	require.Equal(t, map[string]float64{"": 2}, s.of("sightings_tokens"))
	require.Equal(t, map[string]float64{`result="counted"`: 4, `result="without_id"`: 1, `result="without_address"`: 1}, s.of("sightings_requests_total"))
	text := gathered(t, registry)
	for _, personal := range []string{"alice", "kid-", "192.0.2", "198.51"} {
		require.NotContains(t, text, personal)
	}
	lint(t, registry)
}
