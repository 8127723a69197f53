package sloggate_test

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	sloggate "github.com/bearergate/bearergate/adapters/slog"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/revocation"
	"github.com/bearergate/bearergate/revocation/admin"
	"github.com/bearergate/bearergate/scope"
	"github.com/bearergate/bearergate/test/kit"
)

// An operator shuts a user out, in one process of two: the audit says who has done it, by
// what the user's tokens are refused from then on, and whose they are.
func TestRevocations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(kit.Log)
		process := func() (*output, *revocation.List, *middleware.Gate) {
			a, o := newAudit(t, sloggate.Config{})
			list, err := revocation.New(revocation.Config{MaxTokenLife: time.Hour, Log: log, Hooks: a.RevocationHooks()})
			require.NoError(t, err)
			require.NoError(t, list.Warm(t.Context()))
			tokens := bearergate.VerifierFunc(func(_ context.Context, raw string) (*bearergate.Token, error) {
				c := bearergate.Claims{Issuer: "https://as.example.test", Subject: raw, ClientID: "shop", AsOf: time.Now(), ExpiresAt: time.Now().Add(time.Minute)}
				if raw == "carol" {
					c.Scopes = scope.Of("revocation:write")
				}
				return bearergate.NewToken(c), nil
			})
			gate, err := middleware.New(list.Guard(tokens), middleware.Config{Hooks: a.GateHooks()})
			require.NoError(t, err)
			return o, list, gate
		}
		ask := func(h http.Handler, method, target, as, body string) int {
			r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
			r.Header.Set("Authorization", "Bearer "+as)
			r.Header.Set("Content-Type", "application/json")
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			return w.Code
		}
		here, list, gate := process()
		there, second, _ := process()
		api, err := admin.New(admin.Config{List: list, Protect: gate.Require(scope.All("revocation:write"))})
		require.NoError(t, err)
		key := strings.Repeat("k", 32)
		require.Equal(t, http.StatusCreated, ask(api, "POST", "/revoke", "carol", `{"entries":[{"issuer":"https://as.example.test","subject":"alice","client":"shop","before":"1999-12-31T23:59:59Z"},
			{"issuer":"i","tenant":"a\nb","session":"s","token_id":"a-token-perhaps","key":"`+base64.RawURLEncoding.EncodeToString([]byte(key))+`"}]}`))
		records := here.records(t, sloggate.EventRevocation)
		require.Len(t, records, 2)
		carol := map[string]any{"issuer": "https://as.example.test", "subject": "carol", "client": "shop", "principal": "unknown", "scopes": "revocation:write"}
		require.Equal(t, map[string]any{"level": "INFO", "change": "added", "revoked_by": "subject+client", "source": "admin", "asked_by": carol,
			"entry": map[string]any{"issuer": "https://as.example.test", "subject": "alice", "client": "shop", "before": "1999-12-31T23:59:59Z", "until": "2000-01-01T00:59:59Z"}},
			without(records[0]))
		entry := records[1]["entry"].(map[string]any)
		require.Equal(t, `"a\nb"`, entry["tenant"])
		require.Equal(t, base64.RawURLEncoding.EncodeToString([]byte(key)), entry["key"])
		require.Contains(t, entry["jti"], "sha256:")
		require.NotContains(t, here.String(), "a-token-perhaps")

		// The other process tells that it has heard of them, and nothing of who has asked.
		require.NoError(t, second.Warm(t.Context()))
		records = there.records(t, sloggate.EventRevocationElsewhere)
		require.Len(t, records, 2)
		require.Equal(t, "DEBUG", records[0]["level"])
		require.NotContains(t, records[0], "asked_by")

		// A token that is refused leads to the entry, and the entry to whose it was.
		require.NoError(t, list.Add(t.Context(), revocation.Entry{Issuer: "https://as.example.test", Subject: "alice", Source: "backchannel"}))
		require.Equal(t, http.StatusUnauthorized, ask(gate.Require(scope.All("orders:read"))(http.NotFoundHandler()), "GET", "/orders", "alice", ""))
		require.Equal(t, map[string]any{"level": "DEBUG", "issuer": "https://as.example.test", "source": "backchannel", "revoked_by": "subject"},
			without(here.record(t, sloggate.EventRevoked)))
		records = here.records(t, sloggate.EventDecision)
		decision := records[len(records)-1]
		require.Equal(t, "revoked", decision["reason"])
		require.Equal(t, "revocation: an entry of backchannel by subject revokes it", decision["detail"])
		require.Equal(t, "alice", decision["refused"].(map[string]any)["subject"])

		require.Equal(t, http.StatusOK, ask(api, "POST", "/lift", "carol", `{"issuer":"https://as.example.test","subject":"alice"}`))
		records = here.records(t, sloggate.EventRevocation)
		last := records[len(records)-1]
		require.Equal(t, "lifted", last["change"])
		require.Equal(t, carol, last["asked_by"])
	})
}

// However many entries somebody revokes at once, each has its record; a flood of a feed is
// bounded, and hides none of them.
func TestEachRevocationIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, o := newAudit(t, sloggate.Config{MaxPerSecond: 10})
		operator := bearergate.NewContext(t.Context(), bearergate.NewToken(claims))
		for range 300 {
			a.RevocationHooks().Changed(t.Context(), revocation.ChangeEvent{Own: true})
			a.RevocationHooks().Changed(operator, revocation.ChangeEvent{})
			a.RevocationHooks().Changed(operator, revocation.ChangeEvent{Own: true})
		}
		require.Len(t, o.records(t, sloggate.EventRevocation), 310)
		require.Len(t, o.records(t, sloggate.EventRevocationElsewhere), 10)
	})
}
