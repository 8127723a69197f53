package promgate_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/require"

	promgate "github.com/bearergate/bearergate/adapters/prometheus"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/revocation"
	"github.com/bearergate/bearergate/revocation/backchannel"
	"github.com/bearergate/bearergate/revocation/signals"
)

// What a provider and a transmitter send, from one that is taken to an outage, and what a
// scrape says: nothing of a token, and not whose it was.
func TestFeeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, registry := newMetrics(t, promgate.Config{})
		as := authtest.New(t)
		list, err := revocation.New(revocation.Config{MaxTokenLife: time.Hour, MaxEntries: 2, Hooks: m.RevocationHooks()})
		require.NoError(t, err)
		logout, err := backchannel.New(backchannel.Config{List: list, Issuer: as.Issuer(), ClientIDs: []string{authtest.DefaultClientID}, HTTPClient: as.Client(), Hooks: m.LogoutHooks()})
		require.NoError(t, err)
		receiver, err := signals.New(signals.Config{List: list, Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client(),
			InsecureAnyTransmitter: true, Hooks: m.SignalHooks()})
		require.NoError(t, err)
		var sent []string
		send := func(h http.Handler, contentType, body, token string) int {
			sent = append(sent, strings.Split(token, ".")...)
			r := httptest.NewRequestWithContext(t.Context(), "POST", "/", strings.NewReader(body))
			r.Header.Set("Content-Type", contentType)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			return w.Code
		}
		logsOut := func(token string) int {
			return send(logout, "application/x-www-form-urlencoded", url.Values{"logout_token": {token}}.Encode(), token)
		}
		signal := func(change map[string]any) int {
			set := as.SecurityEvent(change)
			return send(receiver, "application/secevent+jwt", set, set)
		}
		token := as.LogoutToken(map[string]any{"sid": "the-session"})
		require.Equal(t, 200, logsOut(token))
		require.Equal(t, 200, logsOut(token))
		require.Equal(t, 400, logsOut(token[:len(token)-8]+"AAAAAAAA"))
		require.Equal(t, 400, logsOut(as.LogoutToken(map[string]any{"sid": "the-session", "aud": "another-client"})))
		require.Equal(t, 202, signal(nil))
		require.Equal(t, 202, signal(map[string]any{"sub_id": map[string]any{"format": "email", "email": "alice@example.test"}}))
		require.Equal(t, 202, signal(map[string]any{"events": map[string]any{"https://events.example.test/x": map[string]any{}}}))
		require.Equal(t, 202, signal(map[string]any{"events": map[string]any{
			"https://schemas.openid.net/secevent/ssf/event-type/stream-updated": map[string]any{"status": "paused", "reason": "the-reason"}}}))
		// The list is full: an outage.
		require.Equal(t, 503, logsOut(as.LogoutToken(map[string]any{"sub": "the-subject"})))
		require.Equal(t, 503, signal(map[string]any{"sub_id": map[string]any{"format": "iss_sub", "iss": as.Issuer(), "sub": "the-subject"}}))

		iss := fmt.Sprintf("issuer=%q", as.Issuer())
		s := scrape(t, serve(t, promhttp.HandlerFor(registry, promhttp.HandlerOpts{})))
		require.Equal(t, map[string]float64{
			`by="session",` + iss + `,outcome="revoked",reason=""`:          1,
			`by="session",` + iss + `,outcome="repeated",reason=""`:         1,
			`by="",` + iss + `,outcome="refused",reason="signature"`:        1,
			`by="",` + iss + `,outcome="refused",reason="audience"`:         1,
			`by="subject",` + iss + `,outcome="failed",reason="overloaded"`: 1,
		}, s.of("revocation_logouts_total"))
		ends := `,type="` + signals.SessionRevoked + `"`
		require.Equal(t, map[string]float64{
			iss + `,outcome="revoked",reason=""` + ends:                                                                   1,
			iss + `,outcome="discarded",reason=""` + ends:                                                                 1,
			iss + `,outcome="failed",reason="overloaded"` + ends:                                                          1,
			iss + `,outcome="discarded",reason="",type="other"`:                                                           1,
			iss + `,outcome="updated",reason="",type="https://schemas.openid.net/secevent/ssf/event-type/stream-updated"`: 1,
		}, s.of("revocation_signals_total"))
		require.Equal(t, map[string]float64{iss + ends + `,why="subject"`: 1, iss + `,type="other",why="type"`: 1}, s.of("revocation_signals_discarded_total"))
		require.Equal(t, map[string]float64{iss + `,status="paused"`: 1}, s.of("revocation_stream_changes_total"))
		text := told(t, registry)
		for _, part := range append(sent, "the-session", "the-subject", "alice", "another-client", "events.example.test", "the-reason", authtest.DefaultSubject) {
			require.NotContains(t, text, part)
		}
		lint(t, registry)
	})
}
