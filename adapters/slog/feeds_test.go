package sloggate_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	sloggate "github.com/bearergate/bearergate/adapters/slog"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/revocation"
	"github.com/bearergate/bearergate/revocation/backchannel"
	"github.com/bearergate/bearergate/revocation/signals"
	"github.com/bearergate/bearergate/test/kit"
)

// A log that is down costs a logout and a security event, and their senders do not send them
// again: the audit says whose they were, and which. Of what strangers send it says nothing
// that they have written, and of no token a part.
func TestFeeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, o := newAudit(t, sloggate.Config{})
		as, log := authtest.New(t), new(kit.Log)
		list, err := revocation.New(revocation.Config{MaxTokenLife: time.Hour, Log: log, Hooks: a.RevocationHooks()})
		require.NoError(t, err)
		require.NoError(t, list.Warm(t.Context()))
		logout, err := backchannel.New(backchannel.Config{List: list, Issuer: as.Issuer(), ClientIDs: []string{authtest.DefaultClientID}, HTTPClient: as.Client(), Hooks: a.LogoutHooks()})
		require.NoError(t, err)
		receiver, err := signals.New(signals.Config{List: list, Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client(),
			InsecureAnyTransmitter: true, Hooks: a.SignalHooks()})
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
		last := func(event sloggate.Event) map[string]any {
			records := o.records(t, event)
			require.NotEmpty(t, records, "%s", event)
			return without(records[len(records)-1], "duration")
		}
		iss := as.Issuer()

		// What was taken leads to its entry.
		require.Equal(t, 200, logsOut(as.LogoutToken(map[string]any{"sub": "alice", "sid": "s-1"})))
		require.Equal(t, map[string]any{"level": "INFO", "outcome": "revoked", "status": 200.0, "issuer": iss, "by": "session", "subject": "alice", "session": "s-1", "entries": 1.0},
			last(sloggate.EventLogout))
		require.Equal(t, "s-1", last(sloggate.EventRevocation)["entry"].(map[string]any)["session"])
		require.Equal(t, 202, signal(map[string]any{"jti": "event-1"}))
		require.Equal(t, map[string]any{"level": "INFO", "outcome": "revoked", "status": 202.0, "issuer": iss, "type": signals.SessionRevoked, "id": `"event-1"`, "entries": 1.0},
			last(sloggate.EventSignal))

		// What is discarded says why.
		require.Equal(t, 202, signal(map[string]any{"jti": "event-2", "sub_id": map[string]any{"format": "email", "email": "alice@example.test"}}))
		require.Equal(t, map[string]any{"level": "WARN", "issuer": iss, "type": signals.SessionRevoked, "id": `"event-2"`, "why": "subject", "format": "email",
			"found": `"` + signals.SessionRevoked + `" "" "email"`}, last(sloggate.EventDiscarded))
		require.NotContains(t, o.String(), "alice@example.test", "whose it was is not needed to see why")

		// What is lost says whose it was, or which.
		log.Fault(func(context.Context, string) error { return errors.New("what nobody may read") })
		require.Equal(t, 503, logsOut(as.LogoutToken(map[string]any{"sub": "bob\n" + strings.Repeat("x", 1000)})))
		require.Equal(t, map[string]any{"level": "ERROR", "outcome": "failed", "reason": "store_unavailable", "status": 503.0, "issuer": iss, "by": "subject",
			"subject": `"bob\n` + strings.Repeat("x", sloggate.DefaultMaxText-4) + `"…`}, without(last(sloggate.EventLogout), "detail"))
		require.Equal(t, 503, signal(map[string]any{"jti": "event-3", "sub_id": map[string]any{"format": "opaque", "id": "s-2"}}))
		lost := last(sloggate.EventSignal)
		require.Equal(t, "failed", lost["outcome"])
		require.Equal(t, `"event-3"`, lost["id"])

		// A stranger chooses none of the words.
		forged := as.LogoutToken(map[string]any{"sub": "a-name-of-a-stranger"})
		require.Equal(t, 400, logsOut(forged[:len(forged)-8]+"AAAAAAAA"))
		refused := last(sloggate.EventLogout)
		require.Equal(t, "signature", refused["reason"])
		require.NotContains(t, refused, "subject")
		for _, part := range append(sent, "a-name-of-a-stranger", "nobody") {
			require.NotContains(t, o.String(), part)
		}
	})
}
