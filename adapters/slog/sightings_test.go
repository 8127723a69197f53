package sloggate_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	sloggate "github.com/bearergate/bearergate/adapters/slog"
	"github.com/bearergate/bearergate/middleware/sightings"
)

// Whose token it was is in the audit; where it was sent from only if that was asked for.
func TestSightings(t *testing.T) {
	for _, tt := range []struct {
		name  string
		tell  bool
		names any
	}{
		{name: "as it is"},
		{name: "with the networks", tell: true, names: "192.0.2.0/24 198.51.100.0/24"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, o := newAudit(t, sloggate.Config{})
			watch, err := sightings.New(sightings.Config{Networks: 1, TellNetworks: tt.tell, Hooks: a.SightingHooks()})
			require.NoError(t, err)
			token := bearergate.NewToken(bearergate.Claims{Issuer: "https://as.example.test", Subject: "alice", ClientID: "shop", ID: "a-token-perhaps"})
			for _, from := range []string{"192.0.2.7", "192.0.2.9", "198.51.100.7"} {
				watch.Saw(t.Context(), token, netip.MustParseAddr(from))
			}
			records := o.records(t, sloggate.EventSuspected)
			require.Len(t, records, 1)
			r := records[0]
			require.Equal(t, tt.names, r["network_names"])
			require.Equal(t, "alice", r["subject"])
			require.Equal(t, "shop", r["client"])
			require.Contains(t, r["jti"], "sha256:")
			require.NotContains(t, o.String(), "a-token-perhaps")
			require.NotContains(t, o.String(), "192.0.2.7")
			require.Equal(t, tt.tell, r["network_names"] != nil)
		})
	}
}
