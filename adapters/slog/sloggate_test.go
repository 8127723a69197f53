package sloggate_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	sloggate "github.com/bearergate/bearergate/adapters/slog"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/binding/dpop"
	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/jwtverify"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/middleware/sightings"
	"github.com/bearergate/bearergate/revocation"
	"github.com/bearergate/bearergate/revocation/backchannel"
	"github.com/bearergate/bearergate/revocation/signals"
	"github.com/bearergate/bearergate/scope"
)

// output is what handlers wrote.
type output struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// records are the records of an event; all for "".
func (o *output) records(t testing.TB, event sloggate.Event) []map[string]any {
	t.Helper()
	var records []map[string]any
	for line := range strings.Lines(o.String()) {
		r := map[string]any{}
		require.NoError(t, json.Unmarshal([]byte(line), &r), line)
		require.Equal(t, sloggate.Schema, r["schema"])
		if event == "" || r["msg"] == string(event) {
			records = append(records, r)
		}
	}
	return records
}

func (o *output) record(t testing.TB, event sloggate.Event) map[string]any {
	t.Helper()
	records := o.records(t, event)
	require.Len(t, records, 1, "%s", event)
	return records[0]
}

// everything is all levels.
var everything = &slog.HandlerOptions{Level: slog.LevelDebug}

func newAudit(t testing.TB, c sloggate.Config) (*sloggate.Audit, *output) {
	t.Helper()
	o := &output{}
	if c.Handler == nil {
		c.Handler = jsonTo(t, o, everything)
	}
	a, err := sloggate.New(c)
	require.NoError(t, err)
	return a, o
}

// without removes what a test does not say: time, and the level unless it is asked for.
func without(r map[string]any, keys ...string) map[string]any {
	for _, k := range append(keys, "time", "msg", "schema") {
		delete(r, k)
	}
	return r
}

var claims = bearergate.Claims{Issuer: "https://as.example.test", Subject: "alice", ClientID: "shop", ID: "jti-1", Scopes: scope.Of("orders:read", "orders:write"),
	Actors: []bearergate.Actor{{Subject: "robot"}, {Subject: "earlier"}}, Raw: []byte(`{"jti":"jti-1"}`)}

// chain is how a record has the actors of claims.
var chain = []any{map[string]any{"subject": "robot"}, map[string]any{"subject": "earlier"}}

func TestDecisions(t *testing.T) {
	token := bearergate.NewToken(claims)
	refused := func(kind error, reason bearergate.Reason) error {
		return &bearergate.Error{Kind: kind, Reason: reason, Cause: errors.New("what nobody may read")}
	}
	ofToken := map[string]any{"issuer": "https://as.example.test", "subject": "alice", "client": "shop", "jti": "jti-1", "principal": "unknown", "actors": chain,
		"scopes": "orders:read orders:write", "required": "orders:read"}
	for name, tc := range map[string]struct {
		err   error
		token *bearergate.Token
		want  map[string]any
	}{
		"accepted":        {nil, token, map[string]any{"level": "INFO", "outcome": "accepted"}},
		"stranger":        {nil, nil, map[string]any{"level": "INFO", "outcome": "accepted"}},
		"no token":        {refused(bearergate.ErrMissingToken, bearergate.ReasonNoToken), nil, map[string]any{"level": "INFO", "outcome": "refused", "reason": "no_token", "status": 401.0}},
		"bad request":     {refused(bearergate.ErrInvalidRequest, bearergate.ReasonBadRequest), nil, map[string]any{"level": "WARN", "outcome": "refused", "reason": "bad_request", "status": 400.0}},
		"expired":         {refused(bearergate.ErrInvalidToken, bearergate.ReasonExpired), nil, map[string]any{"level": "WARN", "outcome": "refused", "reason": "expired", "status": 401.0}},
		"binding":         {refused(bearergate.ErrInvalidToken, bearergate.ReasonBinding), token, map[string]any{"level": "WARN", "outcome": "refused", "reason": "binding", "status": 401.0}},
		"scope":           {refused(bearergate.ErrInsufficientScope, bearergate.ReasonScope), token, map[string]any{"level": "WARN", "outcome": "refused", "reason": "scope", "status": 403.0}},
		"authentication":  {refused(bearergate.ErrInsufficientAuthentication, bearergate.ReasonAuthentication), token, map[string]any{"level": "WARN", "outcome": "refused", "reason": "authentication", "status": 401.0}},
		"keys":            {refused(bearergate.ErrUnavailable, bearergate.ReasonKeysUnavailable), nil, map[string]any{"level": "ERROR", "outcome": "unavailable", "reason": "keys_unavailable", "status": 503.0}},
		"a store":         {refused(bearergate.ErrUnavailable, bearergate.ReasonStoreUnavailable), token, map[string]any{"level": "ERROR", "outcome": "unavailable", "reason": "store_unavailable", "status": 503.0}},
		"role":            {refused(bearergate.ErrForbidden, bearergate.ReasonRole), token, map[string]any{"level": "WARN", "outcome": "refused", "reason": "role", "status": 403.0}},
		"proof":           {refused(bearergate.ErrInvalidToken, bearergate.ReasonProof), token, map[string]any{"level": "WARN", "outcome": "refused", "reason": "proof", "status": 401.0}},
		"config":          {refused(bearergate.ErrMisconfigured, bearergate.ReasonConfig), nil, map[string]any{"level": "ERROR", "outcome": "misconfigured", "reason": "config", "status": 500.0}},
		"canceled":        {refused(bearergate.ErrUnavailable, bearergate.ReasonCanceled), nil, map[string]any{"level": "INFO", "outcome": "canceled", "reason": "canceled"}},
		"foreign error":   {errors.New("what nobody may read"), nil, map[string]any{"level": "ERROR", "outcome": "misconfigured", "reason": "internal", "status": 500.0}},
		"unknown Reason":  {refused(bearergate.ErrInvalidToken, "what nobody may read"), nil, map[string]any{"level": "WARN", "outcome": "refused", "reason": "policy", "status": 401.0}},
		"typed nil error": {(*bearergate.Error)(nil), nil, map[string]any{"level": "ERROR", "outcome": "misconfigured", "reason": "internal", "status": 500.0}},
	} {
		a, o := newAudit(t, sloggate.Config{})
		a.GateHooks().Decided(t.Context(), middleware.DecisionEvent{Err: tc.err, Reason: bearergate.ReasonOf(tc.err), Token: tc.token, Source: middleware.SourceHeader,
			Required: scope.All("orders:read"), Method: "GET", Pattern: "GET /orders/{id}", Duration: 1500})
		want := map[string]any{"method": "GET", "route": "GET /orders/{id}", "source": "header", "duration": 1500.0}
		maps.Copy(want, tc.want)
		if tc.token != nil {
			maps.Copy(want, ofToken)
		}
		require.Equal(t, want, without(o.record(t, sloggate.EventDecision)), name)
		require.NotContains(t, o.String(), "nobody", name)
	}

	// A refusal that was only reported has no status, and a stale answer says so.
	a, o := newAudit(t, sloggate.Config{})
	c := claims
	c.Stale = true
	a.GateHooks().Decided(t.Context(), middleware.DecisionEvent{Err: bearergate.ErrInsufficientScope, ReportOnly: true, Token: bearergate.NewToken(c)})
	r := o.record(t, sloggate.EventDecision)
	require.Equal(t, true, r["report_only"])
	require.Equal(t, true, r["stale"])
	require.NotContains(t, r, "status")
	require.NotContains(t, r, "midstream")

	// One that ended a request that was being served says so: its status was sent before.
	a, o = newAudit(t, sloggate.Config{})
	a.GateHooks().Decided(t.Context(), middleware.DecisionEvent{Err: &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonRevoked}, Midstream: true, Token: bearergate.NewToken(c), Duration: time.Hour})
	r = o.record(t, sloggate.EventDecision)
	require.Equal(t, true, r["midstream"])
	require.Equal(t, "revoked", r["reason"])
	require.EqualValues(t, time.Hour, r["duration"])
	require.NotContains(t, r, "status")

	// What a trial would have decided stands beside what was decided.
	a, o = newAudit(t, sloggate.Config{})
	for _, err := range []error{nil, bearergate.ErrInsufficientScope} {
		a.GateHooks().Decided(t.Context(), middleware.DecisionEvent{Token: token, Trial: &middleware.TrialEvent{Required: scope.All("orders:list"), Err: err}})
	}
	records := o.records(t, sloggate.EventDecision)
	require.Len(t, records, 2)
	for i, passed := range []bool{true, false} {
		require.Equal(t, passed, records[i]["trial_passed"])
		require.Equal(t, "orders:list", records[i]["trial_required"])
		require.Equal(t, "accepted", records[i]["outcome"])
	}
}

// The status is the one that the middleware answers.
func TestStatus(t *testing.T) {
	for _, kind := range []error{bearergate.ErrMissingToken, bearergate.ErrInvalidRequest, bearergate.ErrInvalidToken, bearergate.ErrInsufficientScope,
		bearergate.ErrInsufficientAuthentication, bearergate.ErrUnavailable, bearergate.ErrMisconfigured} {
		a, o := newAudit(t, sloggate.Config{})
		gate, err := middleware.New(bearergate.VerifierFunc(func(context.Context, string) (*bearergate.Token, error) { return nil, kind }), middleware.Config{Hooks: a.GateHooks()})
		require.NoError(t, err)
		w, r := httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
		r.Header.Set("Authorization", "Bearer x")
		gate.Require(scope.Requirement{})(http.NotFoundHandler()).ServeHTTP(w, r)
		require.EqualValues(t, w.Code, o.record(t, sloggate.EventDecision)["status"], "%v", kind)
	}
}

// jti is told of a JWT. Elsewhere it may be the token itself.
func TestTokenID(t *testing.T) {
	const id = "2YotnFZFEjr1zCsicMWpAA"
	const digest = "sha256:6c96130f130ab0d6d158397e24d2bcc1"
	for name, tc := range map[string]struct {
		raw  string
		want any
	}{
		"JWT":                       {`{"jti":"2YotnFZFEjr1zCsicMWpAA","sub":"active"}`, id},
		"introspection":             {`{"active":true,"jti":"2YotnFZFEjr1zCsicMWpAA"}`, digest},
		"no claims object":          {``, digest},
		"claims that are no object": {`[]`, digest},
		"claims that are not JSON":  {`{"jti":`, digest},
		"active is null":            {`{"active":null}`, digest},
	} {
		a, o := newAudit(t, sloggate.Config{})
		a.GateHooks().Decided(t.Context(), middleware.DecisionEvent{Token: bearergate.NewToken(bearergate.Claims{ID: id, Raw: []byte(tc.raw)})})
		require.Equal(t, tc.want, o.record(t, sloggate.EventDecision)["jti"], name)
	}
	a, o := newAudit(t, sloggate.Config{})
	a.GateHooks().Decided(t.Context(), middleware.DecisionEvent{Token: bearergate.NewToken(bearergate.Claims{})})
	require.NotContains(t, o.record(t, sloggate.EventDecision), "jti")
}

// Every other event, once.
func TestEvents(t *testing.T) {
	const issuer, url = "https://as.example.test", "https://as.example.test/jwks"
	unreadable := errors.New("what nobody may read")
	server := bearergate.Server{ClockKnown: true, Ahead: -3, Within: 2, CertificateExpires: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	for _, tc := range []struct {
		event sloggate.Event
		tell  func(*sloggate.Audit, context.Context)
		want  map[string]any
	}{
		{sloggate.EventVerification, func(a *sloggate.Audit, ctx context.Context) {
			a.VerifyHooks().Verified(ctx, jwtverify.VerifyEvent{Issuer: issuer, Cached: true, Token: bearergate.NewToken(claims), Duration: 1})
		}, map[string]any{"level": "DEBUG", "outcome": "accepted", "issuer": issuer, "cached": true, "subject": "alice", "client": "shop", "jti": "jti-1", "principal": "unknown", "actors": chain,
			"scopes": "orders:read orders:write", "duration": 1.0}},
		{sloggate.EventVerification, func(a *sloggate.Audit, ctx context.Context) {
			a.VerifyHooks().Verified(ctx, jwtverify.VerifyEvent{Issuer: issuer, Err: &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonSignature, Cause: unreadable}})
		}, map[string]any{"level": "DEBUG", "outcome": "refused", "reason": "signature", "issuer": issuer, "cached": false, "duration": 0.0}},
		{sloggate.EventIntrospection, func(a *sloggate.Audit, ctx context.Context) {
			a.IntrospectHooks().Looked(ctx, introspect.LookEvent{Issuer: issuer, Result: introspect.ResultMiss, Err: &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonOverloaded, Cause: unreadable}})
		}, map[string]any{"level": "DEBUG", "outcome": "unavailable", "reason": "overloaded", "issuer": issuer, "result": "miss", "duration": 0.0}},
		{sloggate.EventProof, func(a *sloggate.Audit, ctx context.Context) {
			a.ProofHooks().Judged(ctx, dpop.ProofEvent{Algorithm: "ES256", Nonce: dpop.NonceRenewed, Store: dpop.StoreFresh, StoreDuration: 1, Duration: 2})
		}, map[string]any{"level": "DEBUG", "outcome": "accepted", "alg": "ES256", "nonce": "renewed", "store": "fresh", "store_duration": 1.0, "duration": 2.0}},
		{sloggate.EventProof, func(a *sloggate.Audit, ctx context.Context) {
			a.ProofHooks().Judged(ctx, dpop.ProofEvent{Algorithm: "ES256", Fault: dpop.FaultTime, Duration: 2,
				Err: &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonProof, Detail: "dpop: iat is older than MaxAge", Cause: unreadable}})
		}, map[string]any{"level": "WARN", "outcome": "refused", "reason": "proof", "fault": "iat", "alg": "ES256", "detail": "dpop: iat is older than MaxAge", "duration": 2.0}},
		{sloggate.EventProof, func(a *sloggate.Audit, ctx context.Context) {
			a.ProofHooks().Judged(ctx, dpop.ProofEvent{Fault: dpop.FaultMissing, Err: &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonProof}})
		}, map[string]any{"level": "WARN", "outcome": "refused", "reason": "proof", "fault": "missing", "duration": 0.0}},
		{sloggate.EventProof, func(a *sloggate.Audit, ctx context.Context) {
			a.ProofHooks().Judged(ctx, dpop.ProofEvent{Algorithm: "ES256", Nonce: dpop.NonceDemanded, Err: &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonNonce}})
		}, map[string]any{"level": "DEBUG", "outcome": "refused", "reason": "nonce", "alg": "ES256", "nonce": "demanded", "duration": 0.0}},
		{sloggate.EventProof, func(a *sloggate.Audit, ctx context.Context) {
			a.ProofHooks().Judged(ctx, dpop.ProofEvent{Algorithm: "ES256", Store: dpop.StoreFailed, StoreDuration: 3, Duration: 4,
				Err: &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonStoreUnavailable, Cause: unreadable}})
		}, map[string]any{"level": "ERROR", "outcome": "unavailable", "reason": "store_unavailable", "alg": "ES256", "store": "failed", "store_duration": 3.0, "duration": 4.0}},
		{sloggate.EventCall, func(a *sloggate.Audit, ctx context.Context) {
			a.IntrospectHooks().Called(ctx, introspect.CallEvent{Issuer: issuer, Outcome: introspect.OutcomeStatus, Status: 502, Attempt: 2, Duration: 3, Err: unreadable})
		}, map[string]any{"level": "WARN", "issuer": issuer, "outcome": "status", "status": 502.0, "attempt": 2.0, "duration": 3.0}},
		{sloggate.EventBreaker, func(a *sloggate.Audit, ctx context.Context) {
			a.IntrospectHooks().BreakerChanged(ctx, introspect.BreakerEvent{Issuer: issuer, From: introspect.BreakerClosed, To: introspect.BreakerOpen, Wait: 4})
		}, map[string]any{"level": "ERROR", "issuer": issuer, "from": "closed", "to": "open", "wait": 4.0}},
		{sloggate.EventPurge, func(a *sloggate.Audit, ctx context.Context) {
			a.IntrospectHooks().Purged(ctx, introspect.PurgeEvent{Issuer: issuer, All: true})
		}, map[string]any{"level": "INFO", "issuer": issuer, "all": true}},
		{sloggate.EventPurge, func(a *sloggate.Audit, ctx context.Context) {
			a.IntrospectHooks().Purged(ctx, introspect.PurgeEvent{Issuer: issuer, Elsewhere: true})
		}, map[string]any{"level": "INFO", "issuer": issuer, "all": false, "elsewhere": true}},
		{sloggate.EventPurge, func(a *sloggate.Audit, ctx context.Context) {
			a.IntrospectHooks().Purged(ctx, introspect.PurgeEvent{Issuer: issuer, Err: unreadable})
		}, map[string]any{"level": "WARN", "issuer": issuer, "all": false, "others": "untold"}},
		{sloggate.EventPurgeLog, func(a *sloggate.Audit, ctx context.Context) {
			a.IntrospectHooks().PurgesRead(ctx, introspect.PurgesReadEvent{Issuer: issuer, Records: 2, Skipped: 1, Duration: 3})
		}, map[string]any{"level": "DEBUG", "issuer": issuer, "outcome": "ok", "whole": false, "records": 2.0, "skipped": 1.0, "duration": 3.0}},
		{sloggate.EventPurgeLog, func(a *sloggate.Audit, ctx context.Context) {
			a.IntrospectHooks().PurgesRead(ctx, introspect.PurgesReadEvent{Issuer: issuer, Err: unreadable, Whole: true})
		}, map[string]any{"level": "WARN", "issuer": issuer, "outcome": "failed", "whole": true, "records": 0.0, "duration": 0.0}},
		{sloggate.EventRevoked, func(a *sloggate.Audit, ctx context.Context) {
			a.RevocationHooks().Refused(ctx, revocation.RefusedEvent{Issuer: issuer, Source: "admin", By: "subject+client"})
		}, map[string]any{"level": "DEBUG", "issuer": issuer, "source": "admin", "revoked_by": "subject+client"}},
		{sloggate.EventRevocationLog, func(a *sloggate.Audit, ctx context.Context) {
			a.RevocationHooks().Synced(ctx, revocation.SyncEvent{Whole: true, Records: 7, Duration: 3})
		}, map[string]any{"level": "DEBUG", "outcome": "ok", "whole": true, "records": 7.0, "duration": 3.0}},
		{sloggate.EventRevocationLog, func(a *sloggate.Audit, ctx context.Context) {
			a.RevocationHooks().Synced(ctx, revocation.SyncEvent{Err: unreadable, Duration: 3})
		}, map[string]any{"level": "WARN", "outcome": "failed", "whole": false, "records": 0.0, "duration": 3.0}},
		{sloggate.EventPutBack, func(a *sloggate.Audit, ctx context.Context) {
			a.RevocationHooks().PutBack(ctx, revocation.PutBackEvent{Entries: 9})
		}, map[string]any{"level": "WARN", "entries": 9.0}},
		{sloggate.EventRefetch, func(a *sloggate.Audit, ctx context.Context) {
			a.RevocationHooks().Refetched(ctx, revocation.RefetchEvent{Issuer: issuer})
		}, map[string]any{"level": "INFO", "issuer": issuer, "outcome": "ok"}},
		{sloggate.EventRefetch, func(a *sloggate.Audit, ctx context.Context) {
			a.RevocationHooks().Refetched(ctx, revocation.RefetchEvent{Issuer: issuer, Err: unreadable})
		}, map[string]any{"level": "WARN", "issuer": issuer, "outcome": "failed"}},
		{sloggate.EventStore, func(a *sloggate.Audit, ctx context.Context) {
			a.IntrospectHooks().StoreFailed(ctx, introspect.StoreEvent{Issuer: issuer, Operation: "set", Err: unreadable})
		}, map[string]any{"level": "WARN", "issuer": issuer, "operation": "set"}},
		{sloggate.EventFetch, func(a *sloggate.Audit, ctx context.Context) {
			a.KeyHooks().Fetched(ctx, jwks.FetchEvent{Issuer: issuer, URL: url + "?key=what-nobody-may-read", Trigger: jwks.TriggerDue, Outcome: jwks.OutcomeStatus, Status: 503, KeyCount: 2, Duration: 5, Err: unreadable})
		}, map[string]any{"level": "WARN", "issuer": issuer, "url": url, "trigger": "due", "outcome": "status", "status": 503.0, "keys": 2.0, "duration": 5.0}},
		{sloggate.EventKeys, func(a *sloggate.Audit, ctx context.Context) {
			a.KeyHooks().Fetched(ctx, jwks.FetchEvent{Issuer: issuer, URL: url, Outcome: jwks.OutcomeOK, KeyCount: 2, Added: []string{"k2", "k3"}, Removed: []string{"k1"}})
		}, map[string]any{"level": "INFO", "issuer": issuer, "url": url, "keys": 2.0, "added": "k2 k3", "removed": "k1"}},
		{sloggate.EventState, func(a *sloggate.Audit, ctx context.Context) {
			a.KeyHooks().StateChanged(ctx, jwks.StateEvent{Issuer: issuer, URL: url, From: jwks.StateStale, To: jwks.StateExpired, Err: unreadable})
		}, map[string]any{"level": "ERROR", "issuer": issuer, "url": url, "from": "stale", "to": "expired"}},
		{sloggate.EventStale, func(a *sloggate.Audit, ctx context.Context) {
			a.KeyHooks().StaleServed(ctx, jwks.StaleEvent{Issuer: issuer, URL: url, Age: 6, Err: unreadable})
		}, map[string]any{"level": "WARN", "issuer": issuer, "url": url, "age": 6.0}},
		{sloggate.EventMiss, func(a *sloggate.Audit, ctx context.Context) {
			a.KeyHooks().MissSuppressed(ctx, jwks.MissEvent{Issuer: issuer, URL: url, KeyID: "x\ny", Algorithm: "ES256", NextFetch: 7})
		}, map[string]any{"level": "INFO", "issuer": issuer, "url": url, "kid": `"x\ny"`, "alg": "ES256", "next_fetch": 7.0}},
		{sloggate.EventSkipped, func(a *sloggate.Audit, ctx context.Context) {
			a.KeyHooks().KeySkipped(ctx, jwks.KeyEvent{Issuer: issuer, URL: url, Index: 8, KeyID: "k8", Err: unreadable})
		}, map[string]any{"level": "WARN", "issuer": issuer, "url": url, "index": 8.0, "kid": "k8"}},
		{sloggate.EventSuspected, func(a *sloggate.Audit, ctx context.Context) {
			a.SightingHooks().Suspected(ctx, sightings.Event{Issuer: issuer, Networks: 4, FirstSeen: time.Unix(1700000000, 0), Names: []string{"192.0.2.0/24", "a\nb"},
				Token: bearergate.NewToken(bearergate.Claims{Issuer: issuer, Subject: "alice", ClientID: "shop", ID: "7"})})
		}, map[string]any{"level": "WARN", "issuer": issuer, "principal": "unknown", "subject": "alice", "client": "shop", "jti": "sha256:7902699be42c8a8e46fbbb4501726517", "family": "IPv4", "networks": 4.0,
			"network_names": `"192.0.2.0/24 a\nb"`, "first_seen": "2023-11-14T22:13:20Z"}},
		{sloggate.EventSuspected, func(a *sloggate.Audit, ctx context.Context) {
			a.SightingHooks().Suspected(ctx, sightings.Event{Issuer: issuer, IPv6: true, Networks: 2, FirstSeen: time.Unix(1700000000, 0)})
		}, map[string]any{"level": "WARN", "issuer": issuer, "family": "IPv6", "networks": 2.0, "first_seen": "2023-11-14T22:13:20Z"}},
		{sloggate.EventForgot, func(a *sloggate.Audit, ctx context.Context) {
			a.SightingHooks().Forgot(ctx, sightings.ForgotEvent{Tokens: 9})
		}, map[string]any{"level": "WARN", "tokens": 9.0}},
		{sloggate.EventPanic, func(a *sloggate.Audit, ctx context.Context) {
			a.SightingHooks().Panicked(ctx, bearergate.PanicEvent{Where: "Network", Type: "*main.broken"})
		}, map[string]any{"level": "ERROR", "package": "sightings", "where": "Network", "type": "*main.broken"}},
		{sloggate.EventKeyEarly, func(a *sloggate.Audit, ctx context.Context) {
			a.KeyHooks().UsedEarly(ctx, jwks.EarlyEvent{Issuer: issuer, URL: url, KeyID: "x\ny", Absent: 9, TTL: 10})
		}, map[string]any{"level": "WARN", "issuer": issuer, "url": url, "kid": `"x\ny"`, "absent": 9.0, "ttl": 10.0}},
		{sloggate.EventKeyRemoved, func(a *sloggate.Audit, ctx context.Context) {
			a.VerifyHooks().Verified(ctx, jwtverify.VerifyEvent{Issuer: issuer, RemovedKey: "x\ny", Err: bearergate.ErrInvalidToken})
		}, map[string]any{"level": "WARN", "issuer": issuer, "kid": `"x\ny"`}},
		{sloggate.EventQueryToken, func(a *sloggate.Audit, ctx context.Context) {
			a.GateHooks().Decided(ctx, middleware.DecisionEvent{QueryToken: true, Method: "GET", Pattern: "GET /orders/{id}", Source: middleware.SourceHeader, Token: bearergate.NewToken(claims)})
		}, map[string]any{"level": "WARN", "outcome": "accepted", "method": "GET", "route": "GET /orders/{id}", "source": "header", "issuer": "https://as.example.test", "subject": "alice", "client": "shop",
			"jti": "jti-1", "principal": "unknown", "actors": chain, "scopes": "orders:read orders:write"}},
		{sloggate.EventQueryToken, func(a *sloggate.Audit, ctx context.Context) {
			a.GateHooks().Decided(ctx, middleware.DecisionEvent{QueryToken: true, Method: "GET", Pattern: "GET /orders/{id}", Err: bearergate.ErrMissingToken})
			a.GateHooks().Decided(ctx, middleware.DecisionEvent{QueryToken: true, Midstream: true, Err: bearergate.ErrInvalidToken})
		}, map[string]any{"level": "INFO", "outcome": "refused", "method": "GET", "route": "GET /orders/{id}"}},
		{sloggate.EventQueryToken, func(a *sloggate.Audit, ctx context.Context) { // let in without a token, as anybody is
			a.GateHooks().Decided(ctx, middleware.DecisionEvent{QueryToken: true, Method: "GET", Pattern: "GET /news"})
		}, map[string]any{"level": "INFO", "outcome": "accepted", "method": "GET", "route": "GET /news"}},
		{sloggate.EventFetch, func(a *sloggate.Audit, ctx context.Context) {
			a.KeyHooks().Fetched(ctx, jwks.FetchEvent{Issuer: issuer, URL: url, Trigger: jwks.TriggerDue, Outcome: jwks.OutcomeOK, KeyCount: 1, Server: server})
		}, map[string]any{"level": "DEBUG", "issuer": issuer, "url": url, "trigger": "due", "outcome": "ok", "keys": 1.0, "duration": 0.0,
			"clock_ahead": -3.0, "clock_within": 2.0, "certificate_expires": "2026-01-02T03:04:05Z"}},
		{sloggate.EventCall, func(a *sloggate.Audit, ctx context.Context) {
			a.IntrospectHooks().Called(ctx, introspect.CallEvent{Issuer: issuer, Outcome: introspect.OutcomeActive, Status: 200, Attempt: 1, Server: server})
		}, map[string]any{"level": "DEBUG", "issuer": issuer, "outcome": "active", "status": 200.0, "attempt": 1.0, "duration": 0.0,
			"clock_ahead": -3.0, "clock_within": 2.0, "certificate_expires": "2026-01-02T03:04:05Z"}},
		{sloggate.EventUnmapped, func(a *sloggate.Audit, ctx context.Context) {
			a.VerifyHooks().Unmapped(ctx, bearergate.UnmappedEvent{Issuer: issuer, Path: "resource_access.orders-api.roles", Tokens: 100})
		}, map[string]any{"level": "WARN", "package": "jwtverify", "issuer": issuer, "claim_path": "resource_access.orders-api.roles", "tokens": 100.0}},
		{sloggate.EventUnmapped, func(a *sloggate.Audit, ctx context.Context) {
			a.IntrospectHooks().Unmapped(ctx, bearergate.UnmappedEvent{Issuer: issuer, Path: "a\nb", Tokens: 1000})
		}, map[string]any{"level": "WARN", "package": "introspect", "issuer": issuer, "claim_path": `"a\nb"`, "tokens": 1000.0}},
		{sloggate.EventPanic, func(a *sloggate.Audit, ctx context.Context) {
			a.GateHooks().Panicked(ctx, bearergate.PanicEvent{Where: "Decided", Type: "*main.broken"})
		}, map[string]any{"level": "ERROR", "package": "middleware", "where": "Decided", "type": "*main.broken"}},
		{sloggate.EventPanic, func(a *sloggate.Audit, ctx context.Context) {
			a.VerifyHooks().Panicked(ctx, bearergate.PanicEvent{Where: "Check", Type: "*main.broken"})
		}, map[string]any{"level": "ERROR", "package": "jwtverify", "where": "Check", "type": "*main.broken"}},
		{sloggate.EventPanic, func(a *sloggate.Audit, ctx context.Context) {
			a.IntrospectHooks().Panicked(ctx, bearergate.PanicEvent{Where: "Looked", Type: "*main.broken"})
		}, map[string]any{"level": "ERROR", "package": "introspect", "where": "Looked", "type": "*main.broken"}},
		{sloggate.EventPanic, func(a *sloggate.Audit, ctx context.Context) {
			a.KeyHooks().Panicked(ctx, bearergate.PanicEvent{Where: "Fetched", Type: "*main.broken"})
		}, map[string]any{"level": "ERROR", "package": "jwks", "where": "Fetched", "type": "*main.broken"}},
		{sloggate.EventPanic, func(a *sloggate.Audit, ctx context.Context) {
			a.ProofHooks().Panicked(ctx, bearergate.PanicEvent{Where: "Judged", Type: "*main.broken"})
		}, map[string]any{"level": "ERROR", "package": "dpop", "where": "Judged", "type": "*main.broken"}},
		{sloggate.EventPanic, func(a *sloggate.Audit, ctx context.Context) {
			a.RevocationHooks().Panicked(ctx, bearergate.PanicEvent{Where: "Changed", Type: "*main.broken"})
		}, map[string]any{"level": "ERROR", "package": "revocation", "where": "Changed", "type": "*main.broken"}},
		{sloggate.EventPanic, func(a *sloggate.Audit, ctx context.Context) {
			a.LogoutHooks().Panicked(ctx, bearergate.PanicEvent{Where: "Map", Type: "*main.broken"})
		}, map[string]any{"level": "ERROR", "package": "backchannel", "where": "Map", "type": "*main.broken"}},
		{sloggate.EventPanic, func(a *sloggate.Audit, ctx context.Context) {
			a.SignalHooks().Panicked(ctx, bearergate.PanicEvent{Where: "Resolve", Type: "*main.broken"})
		}, map[string]any{"level": "ERROR", "package": "signals", "where": "Resolve", "type": "*main.broken"}},
		{sloggate.EventLogout, func(a *sloggate.Audit, ctx context.Context) {
			a.LogoutHooks().Received(ctx, backchannel.ReceivedEvent{Issuer: issuer, Outcome: backchannel.Revoked, By: backchannel.BySession, Subject: "alice", Session: "a\nb", Entries: 1, Status: 200, Duration: 3})
		}, map[string]any{"level": "INFO", "outcome": "revoked", "issuer": issuer, "by": "session", "subject": "alice", "session": `"a\nb"`, "entries": 1.0, "status": 200.0, "duration": 3.0}},
		{sloggate.EventLogout, func(a *sloggate.Audit, ctx context.Context) {
			a.LogoutHooks().Received(ctx, backchannel.ReceivedEvent{Issuer: issuer, Outcome: backchannel.Failed, By: backchannel.BySubject, Subject: "alice", Status: 503, Duration: 3,
				Err: &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonStoreUnavailable, Cause: unreadable}})
		}, map[string]any{"level": "ERROR", "outcome": "failed", "reason": "store_unavailable", "issuer": issuer, "by": "subject", "subject": "alice", "status": 503.0, "duration": 3.0}},
		{sloggate.EventLogout, func(a *sloggate.Audit, ctx context.Context) {
			a.LogoutHooks().Received(ctx, backchannel.ReceivedEvent{Issuer: issuer, Outcome: backchannel.Refused, Status: 400,
				Err: &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonUnknownKey, Detail: "no key has that kid", Found: `"k"`, Unsigned: true, Cause: unreadable}})
		}, map[string]any{"level": "WARN", "outcome": "refused", "reason": "unknown_key", "detail": "no key has that kid", "found": `"k"`, "unverified": true, "issuer": issuer, "status": 400.0, "duration": 0.0}},
		{sloggate.EventSignal, func(a *sloggate.Audit, ctx context.Context) {
			a.SignalHooks().Received(ctx, signals.ReceivedEvent{Issuer: issuer, Outcome: signals.Revoked, Type: signals.SessionRevoked, ID: `"id-1"`, Entries: 1, Status: 202, Duration: 3})
		}, map[string]any{"level": "INFO", "outcome": "revoked", "issuer": issuer, "type": signals.SessionRevoked, "id": `"id-1"`, "entries": 1.0, "status": 202.0, "duration": 3.0}},
		{sloggate.EventSignal, func(a *sloggate.Audit, ctx context.Context) {
			a.SignalHooks().Received(ctx, signals.ReceivedEvent{Issuer: issuer, Outcome: signals.Refused, Code: "invalid_key", Status: 400,
				Err: &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonSignature, Cause: unreadable}})
		}, map[string]any{"level": "WARN", "outcome": "refused", "reason": "signature", "code": "invalid_key", "issuer": issuer, "status": 400.0, "duration": 0.0}},
		{sloggate.EventDiscarded, func(a *sloggate.Audit, ctx context.Context) {
			a.SignalHooks().Discarded(ctx, signals.DiscardedEvent{Issuer: issuer, Type: signals.SessionRevoked, Why: signals.WhyCritical, Member: "device", Format: "other", Found: `"x" "y"`, ID: `"id-1"`})
		}, map[string]any{"level": "WARN", "issuer": issuer, "type": signals.SessionRevoked, "why": "critical", "member": "device", "format": "other", "found": `"x" "y"`, "id": `"id-1"`}},
		{sloggate.EventStream, func(a *sloggate.Audit, ctx context.Context) {
			a.SignalHooks().Stream(ctx, signals.StreamEvent{Issuer: issuer, Status: "paused", Reason: `"maintenance"`})
		}, map[string]any{"level": "ERROR", "issuer": issuer, "status": "paused", "given_reason": `"maintenance"`}},
	} {
		a, o := newAudit(t, sloggate.Config{MaxPerSecond: 1})
		tc.tell(a, t.Context())
		require.Equal(t, tc.want, without(o.record(t, tc.event)), "%s", tc.event)
		require.NotContains(t, o.String(), "nobody", "%s", tc.event)
	}
}

func TestLevels(t *testing.T) {
	for want, cases := range map[slog.Level]map[sloggate.Event][]string{
		slog.LevelDebug: {
			sloggate.EventVerification: {"", "expired", "keys_unavailable"}, sloggate.EventIntrospection: {"", "internal"}, sloggate.EventProof: {"", "nonce", "canceled"},
			sloggate.EventCall: {"active", "inactive"}, sloggate.EventFetch: {"ok", "not_modified"}, sloggate.EventState: {"ahead", "due"},
			sloggate.EventRevoked: {"", "admin"}, sloggate.EventRevocationElsewhere: {"added", "lifted"}, sloggate.EventRevocationLog: {"ok"}, sloggate.EventPurgeLog: {"ok"},
			sloggate.EventSignal: {"verified"}},
		slog.LevelInfo: {
			sloggate.EventDecision: {"", "no_token", "canceled", "nonce"}, sloggate.EventBreaker: {"closed", "half_open"}, sloggate.EventPurge: {""},
			sloggate.EventRevocation: {"added", "lifted"}, sloggate.EventRefetch: {"ok"},
			sloggate.EventLogout: {"revoked", "repeated", "discarded"}, sloggate.EventSignal: {"revoked", "repeated", "discarded", "updated"},
			sloggate.EventDiscarded: {"type", "decision"}, sloggate.EventStream: {"enabled"},
			sloggate.EventKeys: {""}, sloggate.EventState: {"fresh", "empty"}, sloggate.EventMiss: {""}, sloggate.EventQueryToken: {"refused", "unavailable", "anonymous"}},
		slog.LevelWarn: {
			sloggate.EventDecision: {"expired", "signature", "scope", "policy", "bad_request", "proof", "replay"}, sloggate.EventProof: {"proof", "binding", "replay"}, sloggate.EventCall: {"status", "timeout"},
			sloggate.EventFetch: {"connect", "malformed"}, sloggate.EventState: {"stale"}, sloggate.EventStore: {"get"}, sloggate.EventStale: {""}, sloggate.EventSkipped: {""}, sloggate.EventUnmapped: {""},
			sloggate.EventKeyEarly: {""}, sloggate.EventKeyRemoved: {""}, sloggate.EventQueryToken: {"accepted"}, sloggate.EventSuspected: {""}, sloggate.EventForgot: {""},
			sloggate.EventRevocationLog: {"failed"}, sloggate.EventPurgeLog: {"failed"}, sloggate.EventPurge: {"untold"}, sloggate.EventRefetch: {"failed"}, sloggate.EventPutBack: {""},
			sloggate.EventLogout: {"refused"}, sloggate.EventSignal: {"refused"}, sloggate.EventDiscarded: {"subject", "critical", "issuer", "contradiction"}, sloggate.EventStream: {"other"}},
		slog.LevelError: {
			sloggate.EventDecision: {"keys_unavailable", "introspection_unavailable", "overloaded", "internal", "config"},
			sloggate.EventProof:    {"store_unavailable", "overloaded", "internal", "config"},
			sloggate.EventLogout:   {"failed"}, sloggate.EventSignal: {"failed"}, sloggate.EventStream: {"paused", "disabled"},
			sloggate.EventCall: {"unauthorized", "credentials"}, sloggate.EventBreaker: {"open"}, sloggate.EventState: {"expired"}, sloggate.EventPanic: {"jwks"}},
	} {
		for event, details := range cases {
			for _, detail := range details {
				require.Equal(t, want, sloggate.DefaultLevel(event, detail), "%s %s", event, detail)
			}
		}
	}

	// One's own levels; what is not written costs nothing of what is.
	o := &output{}
	a, _ := newAudit(t, sloggate.Config{Handler: jsonTo(t, o, &slog.HandlerOptions{Level: slog.LevelWarn}), MaxPerSecond: 1,
		Level: func(e sloggate.Event, detail string) slog.Level {
			if e == sloggate.EventDecision && detail == "expired" {
				return slog.LevelDebug
			}
			return sloggate.DefaultLevel(e, detail)
		}})
	for range 3 {
		a.GateHooks().Decided(t.Context(), middleware.DecisionEvent{Err: &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonExpired}})
		a.GateHooks().Decided(t.Context(), middleware.DecisionEvent{})
		a.KeyHooks().MissSuppressed(t.Context(), jwks.MissEvent{})
	}
	require.Empty(t, o.String())
	a.GateHooks().Decided(t.Context(), middleware.DecisionEvent{Err: bearergate.ErrInvalidToken})
	require.NotContains(t, o.record(t, sloggate.EventDecision), "suppressed")
}

// Strangers who send requests with an access_token in their query do not hide that a client
// does, also where acceptances are sampled.
func TestAFloodOfQueryTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, o := newAudit(t, sloggate.Config{MaxPerSecond: 10, SampleAccepted: 1 << 30})
		gate := a.GateHooks()
		for range 1000 {
			gate.Decided(t.Context(), middleware.DecisionEvent{QueryToken: true, Err: bearergate.ErrMissingToken})
		}
		require.Len(t, o.records(t, sloggate.EventQueryToken), 10)
		for range 3 {
			gate.Decided(t.Context(), middleware.DecisionEvent{QueryToken: true, Token: bearergate.NewToken(claims)})
		}
		require.Len(t, o.records(t, sloggate.EventQueryToken), 13)
		for _, r := range o.records(t, sloggate.EventDecision) {
			require.Equal(t, true, r["query_token"])
		}
		for range 1000 {
			gate.Decided(t.Context(), middleware.DecisionEvent{QueryToken: true, Token: bearergate.NewToken(claims)})
		}
		require.Len(t, o.records(t, sloggate.EventQueryToken), 20)
		for range 1000 {
			a.VerifyHooks().Verified(t.Context(), jwtverify.VerifyEvent{RemovedKey: "k", Err: bearergate.ErrInvalidToken})
		}
		require.Len(t, o.records(t, sloggate.EventKeyRemoved), 10)
	})
}

// A flood is bounded, hides nobody else's records, and its size is told.
func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, o := newAudit(t, sloggate.Config{MaxPerSecond: 10})
		gate, token := a.GateHooks(), bearergate.NewToken(claims)
		stranger := middleware.DecisionEvent{Err: bearergate.ErrInvalidToken}
		for range 1000 {
			gate.Decided(t.Context(), stranger)
		}
		require.Len(t, o.records(t, ""), 10)

		// The others are written all the same.
		for range 50 {
			gate.Decided(t.Context(), middleware.DecisionEvent{Token: token})
		}
		require.Len(t, o.records(t, ""), 60, "no acceptance is left out")
		gate.Decided(t.Context(), middleware.DecisionEvent{Token: token, Err: bearergate.ErrInsufficientScope})
		gate.Decided(t.Context(), middleware.DecisionEvent{Err: bearergate.ErrUnavailable})
		gate.Decided(t.Context(), middleware.DecisionEvent{Token: token, Err: bearergate.ErrMisconfigured})
		a.VerifyHooks().Verified(t.Context(), jwtverify.VerifyEvent{Err: bearergate.ErrInvalidToken})
		a.IntrospectHooks().Looked(t.Context(), introspect.LookEvent{Err: bearergate.ErrInvalidToken})
		require.Len(t, o.records(t, ""), 65)

		// As time passes, more; the first says how many there were in between.
		time.Sleep(100 * time.Millisecond)
		for range 5 {
			gate.Decided(t.Context(), stranger)
		}
		records := o.records(t, "")
		require.Len(t, records, 66)
		require.EqualValues(t, 990, records[65]["suppressed"])
		time.Sleep(time.Hour)
		for range 1000 {
			gate.Decided(t.Context(), stranger)
		}
		records = o.records(t, "")
		require.Len(t, records, 76)
		require.EqualValues(t, 4, records[66]["suppressed"])
		require.NotContains(t, records[67], "suppressed")

		// So for everything that may come often, each apart.
		tells := []func(){
			func() { a.KeyHooks().StaleServed(t.Context(), jwks.StaleEvent{}) },
			func() { a.KeyHooks().MissSuppressed(t.Context(), jwks.MissEvent{}) },
			func() { a.KeyHooks().KeySkipped(t.Context(), jwks.KeyEvent{}) },
			func() { a.KeyHooks().UsedEarly(t.Context(), jwks.EarlyEvent{}) },
			func() { a.KeyHooks().StateChanged(t.Context(), jwks.StateEvent{}) },
			func() { a.KeyHooks().Fetched(t.Context(), jwks.FetchEvent{}) },
			func() { a.KeyHooks().Panicked(t.Context(), bearergate.PanicEvent{}) },
			func() { a.IntrospectHooks().Called(t.Context(), introspect.CallEvent{}) },
			func() { a.IntrospectHooks().StoreFailed(t.Context(), introspect.StoreEvent{}) },
			func() { a.IntrospectHooks().BreakerChanged(t.Context(), introspect.BreakerEvent{}) },
			func() { a.VerifyHooks().Unmapped(t.Context(), bearergate.UnmappedEvent{}) },
			func() { a.IntrospectHooks().Purged(t.Context(), introspect.PurgeEvent{}) },
			func() { a.VerifyHooks().Verified(t.Context(), jwtverify.VerifyEvent{Err: bearergate.ErrInvalidToken}) },
			func() { a.IntrospectHooks().Looked(t.Context(), introspect.LookEvent{Err: bearergate.ErrInvalidToken}) },
			func() { a.ProofHooks().Judged(t.Context(), dpop.ProofEvent{Err: bearergate.ErrInvalidToken}) },
			func() { a.ProofHooks().Judged(t.Context(), dpop.ProofEvent{Err: bearergate.ErrUnavailable}) },
			func() { a.IntrospectHooks().PurgesRead(t.Context(), introspect.PurgesReadEvent{}) },
			func() { a.RevocationHooks().Refused(t.Context(), revocation.RefusedEvent{}) },
			func() { a.RevocationHooks().Changed(t.Context(), revocation.ChangeEvent{Own: true}) },
			func() { a.RevocationHooks().Changed(t.Context(), revocation.ChangeEvent{}) },
			func() { a.RevocationHooks().Synced(t.Context(), revocation.SyncEvent{}) },
			func() { a.RevocationHooks().PutBack(t.Context(), revocation.PutBackEvent{}) },
			func() { a.RevocationHooks().Refetched(t.Context(), revocation.RefetchEvent{}) },
			func() { a.SignalHooks().Discarded(t.Context(), signals.DiscardedEvent{}) },
			func() { a.SignalHooks().Stream(t.Context(), signals.StreamEvent{}) },
			func() { a.SightingHooks().Suspected(t.Context(), sightings.Event{}) },
			func() { a.SightingHooks().Forgot(t.Context(), sightings.ForgotEvent{}) },
			// Of each feed: strangers, what is genuine and was not taken, what was taken, and our own faults.
			func() {
				a.LogoutHooks().Received(t.Context(), backchannel.ReceivedEvent{Err: bearergate.ErrInvalidToken})
			},
			func() {
				a.LogoutHooks().Received(t.Context(), backchannel.ReceivedEvent{Err: bearergate.ErrUnavailable, By: backchannel.BySession})
			},
			func() {
				a.LogoutHooks().Received(t.Context(), backchannel.ReceivedEvent{By: backchannel.BySession})
			},
			func() {
				a.LogoutHooks().Received(t.Context(), backchannel.ReceivedEvent{Err: bearergate.ErrUnavailable})
			},
			func() {
				a.SignalHooks().Received(t.Context(), signals.ReceivedEvent{Err: bearergate.ErrInvalidToken})
			},
			func() {
				a.SignalHooks().Received(t.Context(), signals.ReceivedEvent{Err: bearergate.ErrUnavailable, Type: "other"})
			},
			func() { a.SignalHooks().Received(t.Context(), signals.ReceivedEvent{Type: "other"}) },
			func() {
				a.SignalHooks().Received(t.Context(), signals.ReceivedEvent{Err: bearergate.ErrMisconfigured})
			},
			func() { // clients that need a nonce hide no proof that is wrong
				a.ProofHooks().Judged(t.Context(), dpop.ProofEvent{Err: &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonNonce}})
			},
		}
		time.Sleep(time.Hour)
		for i, tell := range tells {
			before := len(o.records(t, ""))
			for range 100 {
				tell()
			}
			require.Len(t, o.records(t, ""), before+10, i)
		}
		time.Sleep(time.Second)
		for _, tell := range tells {
			tell()
			records := o.records(t, "")
			require.EqualValues(t, 90, records[len(records)-1]["suppressed"])
		}
	})
}

func TestDefaultBound(t *testing.T) {
	require.Equal(t, 100, sloggate.DefaultMaxPerSecond)
	require.Equal(t, 256, sloggate.DefaultMaxText)
	synctest.Test(t, func(t *testing.T) {
		a, o := newAudit(t, sloggate.Config{})
		for range 300 {
			a.GateHooks().Decided(t.Context(), middleware.DecisionEvent{Err: bearergate.ErrInvalidToken})
		}
		require.Len(t, o.records(t, ""), 100)
	})
}

func TestSample(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, o := newAudit(t, sloggate.Config{SampleAccepted: 10})
		for range 20_000 {
			a.GateHooks().Decided(t.Context(), middleware.DecisionEvent{})
		}
		records := o.records(t, "")
		require.InDelta(t, 2000, len(records), 600) // 14 standard deviations
		require.EqualValues(t, 10, records[0]["one_of"])
		for range 100 { // refusals are all written
			a.GateHooks().Decided(t.Context(), middleware.DecisionEvent{Err: bearergate.ErrInvalidToken})
		}
		refusals := o.records(t, "")[len(records):]
		require.Len(t, refusals, 100)
		require.NotContains(t, refusals[0], "one_of")
	})
}

// Nobody else's text is longer than allowed, or forges a line.
func TestForeignText(t *testing.T) {
	var lines output
	a, _ := newAudit(t, sloggate.Config{Handler: naive{&lines}, MaxText: 16})
	evil := []string{"a\nlevel=INFO msg=\"access decision\" outcome=accepted", "\x1b[2J", "\u202egnp.exe", "a\u2028b", "\xff\xfe\xfd", "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80",
		strings.Repeat("x", 10_000), strings.Repeat("ä", 10_000), "x" + strings.Repeat("ä", 10_000), strings.Repeat("\x00", 10_000), "\u200b", "\r"}
	for _, s := range evil {
		token := bearergate.NewToken(bearergate.Claims{Issuer: s, Subject: s, ClientID: s, ID: s, Raw: []byte(`{}`), Actors: []bearergate.Actor{{Subject: s}}})
		a.GateHooks().Decided(t.Context(), middleware.DecisionEvent{Token: token})
		a.KeyHooks().MissSuppressed(t.Context(), jwks.MissEvent{Issuer: s, URL: s, KeyID: s, Algorithm: s})
		a.KeyHooks().KeySkipped(t.Context(), jwks.KeyEvent{Issuer: s, KeyID: s})
		a.KeyHooks().Fetched(t.Context(), jwks.FetchEvent{Added: slices.Repeat([]string{s}, 100), Removed: []string{s}})
		a.LogoutHooks().Received(t.Context(), backchannel.ReceivedEvent{Outcome: backchannel.Revoked, By: backchannel.BySession, Subject: s, Session: s})
	}
	text := lines.String()
	require.Equal(t, len(evil)*6, strings.Count(text, "\n"))
	for _, r := range text {
		require.True(t, r == '\n' || unicode.IsPrint(r), "%q", r)
	}
	require.True(t, utf8.ValidString(text))
	for line := range strings.Lines(text) {
		require.Less(t, len(line), 1200)
	}
	require.Contains(t, text, "subject="+strings.Repeat("x", 16)+"… ")
	require.Contains(t, text, "subject="+strings.Repeat("ä", 8)+"… ")
	require.Contains(t, text, "subject=x"+strings.Repeat("ä", 7)+"… ")
	require.Contains(t, text, `subject="\x1b[2J" `)
	require.Contains(t, text, `session="\x1b[2J" `)
	require.Contains(t, text, "session="+strings.Repeat("x", 16)+"… ")

	many := make([]string, 1000)
	for i := range many {
		many[i] = fmt.Sprint("scope-", i)
	}
	a, o := newAudit(t, sloggate.Config{})
	a.GateHooks().Decided(t.Context(), middleware.DecisionEvent{Token: bearergate.NewToken(bearergate.Claims{Scopes: scope.Of(many...)}), Required: scope.Any(many...)})
	for _, key := range []string{"scopes", "required"} {
		require.Len(t, o.record(t, sloggate.EventDecision)[key], 1024+len("…"))
	}
}

// naive is a handler that quotes nothing.
type naive struct{ o *output }

func (naive) Enabled(context.Context, slog.Level) bool { return true }
func (n naive) WithAttrs([]slog.Attr) slog.Handler     { return n }
func (n naive) WithGroup(string) slog.Handler          { return n }
func (n naive) Handle(_ context.Context, r slog.Record) error {
	line := r.Message
	r.Attrs(func(a slog.Attr) bool { line += " " + a.Key + "=" + a.Value.String(); return true })
	_, err := n.o.Write([]byte(line + " \n"))
	return err
}

type traceKey struct{}

func TestAttrs(t *testing.T) {
	a, o := newAudit(t, sloggate.Config{Attrs: func(ctx context.Context) []slog.Attr {
		return []slog.Attr{slog.String("trace_id", ctx.Value(traceKey{}).(string))}
	}})
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), traceKey{}, "4bf92f35"))
	cancel()
	a.GateHooks().Decided(ctx, middleware.DecisionEvent{})
	a.KeyHooks().KeySkipped(ctx, jwks.KeyEvent{})
	for _, r := range o.records(t, "") {
		require.Equal(t, "4bf92f35", r["trace_id"])
	}
	require.Len(t, o.records(t, ""), 2)

	// A panic of Attrs costs no record.
	a.GateHooks().Decided(t.Context(), middleware.DecisionEvent{})
	require.Equal(t, "*runtime.TypeAssertionError", o.records(t, "")[2]["attrs_panicked"])
}

// failing is a handler that does not write.
type failing struct {
	naive
	err error
}

func (f failing) Handle(ctx context.Context, _ slog.Record) error {
	if ctx.Err() != nil {
		return errors.New("no record for one who went away")
	}
	return f.err
}

func TestLost(t *testing.T) {
	full := errors.New("the disk is full")
	var lost []error
	a, _ := newAudit(t, sloggate.Config{Handler: failing{err: full}, Lost: func(_ context.Context, err error) { lost = append(lost, err) }})
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // the caller has gone, and the handler must not mind
	a.GateHooks().Decided(ctx, middleware.DecisionEvent{})
	require.Equal(t, []error{full}, lost)
	a, _ = newAudit(t, sloggate.Config{Handler: failing{err: full}})
	a.GateHooks().Decided(t.Context(), middleware.DecisionEvent{})
	a, _ = newAudit(t, sloggate.Config{Handler: failing{}, Lost: func(context.Context, error) { require.Fail(t, "nothing was lost") }})
	a.GateHooks().Decided(ctx, middleware.DecisionEvent{})
}

func TestNew(t *testing.T) {
	o := slog.DiscardHandler
	for name, tc := range map[string]struct {
		config sloggate.Config
		says   []string
	}{
		"nothing":   {sloggate.Config{}, []string{"Handler"}},
		"typed nil": {sloggate.Config{Handler: (*slog.JSONHandler)(nil)}, []string{"Handler"}},
		"all":       {sloggate.Config{SampleAccepted: -1, MaxPerSecond: -1, MaxText: -1}, []string{"set Handler, to slog.Default().Handler() for example", "SampleAccepted is -1: use 1 to write all acceptances, or n for one of n", "MaxPerSecond is -1: use 1 or more, or leave it out for ", "MaxText is -1: use 16 to 65536, or leave it out for 256"}},
		"short":     {sloggate.Config{Handler: o, MaxText: 15}, []string{"MaxText"}},
		"long":      {sloggate.Config{Handler: o, MaxText: 65537}, []string{"MaxText"}},
	} {
		a, err := sloggate.New(tc.config)
		require.Nil(t, a, name)
		require.ErrorIs(t, err, bearergate.ErrMisconfigured, name)
		require.Equal(t, bearergate.ReasonConfig, bearergate.ReasonOf(err), name)
		for _, s := range tc.says {
			require.ErrorContains(t, err, s, name)
		}
	}
	for _, n := range []int{16, 65536} {
		_, err := sloggate.New(sloggate.Config{Handler: o, MaxText: n})
		require.NoError(t, err)
	}
}

// Key events, told by a real cache through an outage, behind a real gate.
func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as := authtest.New(t)
		a, o := newAudit(t, sloggate.Config{})
		v, err := jwtverify.New(jwtverify.Config{Issuer: as.Issuer(), Audiences: []string{authtest.DefaultAudience}, HTTPClient: as.Client(), Hooks: a.VerifyHooks(), KeyHooks: a.KeyHooks()})
		require.NoError(t, err)
		gate, err := middleware.New(v, middleware.Config{Hooks: a.GateHooks()})
		require.NoError(t, err)
		mux := http.NewServeMux()
		mux.Handle("GET /orders/{id}", gate.Require(scope.Template("order:read:{id}"))(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
		get := func(path, token string) int {
			w, r := httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), "GET", path, nil)
			r.Header.Set("Authorization", "Bearer "+token)
			mux.ServeHTTP(w, r)
			synctest.Wait()
			return w.Code
		}
		token := as.Token(authtest.Claims{Subject: "alice", Scopes: scope.Of("order:read:7"), ExpiresAt: time.Now().Add(24 * time.Hour)})
		require.Equal(t, 200, get("/orders/7", token))
		require.Equal(t, 403, get("/orders/8", token))
		require.Equal(t, 401, get("/orders/the-path-of-a-stranger", "forged"))
		decisions := o.records(t, sloggate.EventDecision)
		require.Len(t, decisions, 3)
		require.Equal(t, "order:read:7", decisions[0]["required"])
		require.Equal(t, "order:read:8", decisions[1]["required"])
		require.Equal(t, "order:read:7", decisions[1]["scopes"])
		require.Equal(t, "GET /orders/{id}", decisions[2]["route"])
		require.NotContains(t, o.String(), "stranger")
		require.Len(t, o.records(t, sloggate.EventVerification), 3)

		as.Fail(authtest.Fault{Status: 503})
		time.Sleep(12 * time.Minute)
		require.Equal(t, 200, get("/orders/7", token))
		require.Equal(t, "status", o.records(t, sloggate.EventFetch)[1]["outcome"])
		require.NotEmpty(t, o.records(t, sloggate.EventStale))
		time.Sleep(2 * time.Hour)
		require.Equal(t, 503, get("/orders/7", token))
		states := o.records(t, sloggate.EventState)
		require.Equal(t, "expired", states[len(states)-1]["to"])
		last := o.records(t, sloggate.EventDecision)[4]
		require.Equal(t, "unavailable", last["outcome"])
		require.Equal(t, "keys_unavailable", last["reason"])
		require.EqualValues(t, 503, last["status"])
	})
}

func TestConcurrent(t *testing.T) {
	a, o := newAudit(t, sloggate.Config{MaxPerSecond: 1_000_000})
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 200 {
				a.GateHooks().Decided(t.Context(), middleware.DecisionEvent{Err: bearergate.ErrInvalidToken, Token: bearergate.NewToken(claims)})
				a.KeyHooks().StaleServed(t.Context(), jwks.StaleEvent{})
			}
		})
	}
	all.Wait()
	require.Len(t, o.records(t, ""), 4*200*2)
}

// A refusal says why in words of this module, with both sides, and whose token it was;
// what others wrote stays out.
func TestARefusalExplainsItself(t *testing.T) {
	e := &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonAudience, Detail: "aud names none of the configured audiences",
		Expected: `"https://api.example.test"`, Found: `"graph"`, Refused: bearergate.NewToken(claims), Cause: errors.New("what nobody may read")}
	a, o := newAudit(t, sloggate.Config{})
	a.GateHooks().Decided(t.Context(), middleware.DecisionEvent{Err: e})
	r := o.record(t, sloggate.EventDecision)
	require.Equal(t, "aud names none of the configured audiences", r["detail"])
	require.Equal(t, `"https://api.example.test"`, r["expected"])
	require.Equal(t, `"graph"`, r["found"])
	require.NotContains(t, r, "unverified")
	require.NotContains(t, r, "subject", "a refused token is nobody's")
	require.Equal(t, map[string]any{"issuer": "https://as.example.test", "subject": "alice", "client": "shop", "jti": "jti-1", "principal": "unknown", "actors": chain, "scopes": "orders:read orders:write"}, r["refused"])
	require.NotContains(t, o.String(), "nobody")

	// What no signature vouches for says so.
	a, o = newAudit(t, sloggate.Config{})
	a.GateHooks().Decided(t.Context(), middleware.DecisionEvent{Err: &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonUnknownKey, Found: `kid "x"`, Unsigned: true}})
	r = o.record(t, sloggate.EventDecision)
	require.Equal(t, true, r["unverified"])
	require.NotContains(t, r, "refused")

	// A call to the authorization server, too.
	a, o = newAudit(t, sloggate.Config{})
	a.IntrospectHooks().Called(t.Context(), introspect.CallEvent{Outcome: introspect.OutcomeMalformed, Status: 200,
		Err: &bearergate.Error{Kind: bearergate.ErrUnavailable, Detail: "introspect: malformed: the member acr is not of its type", Cause: errors.New("what nobody may read")}})
	require.Equal(t, "introspect: malformed: the member acr is not of its type", o.record(t, sloggate.EventCall)["detail"])
	require.NotContains(t, o.String(), "nobody")
}

// A failed fetch says why, in words that nobody else had a hand in.
func TestAFailedFetchSaysWhy(t *testing.T) {
	a, o := newAudit(t, sloggate.Config{})
	a.KeyHooks().Fetched(t.Context(), jwks.FetchEvent{URL: "https://as.example.test/jwks?apikey=nobody", Outcome: jwks.OutcomeTLS, Detail: "the certificate is for another host", Err: errors.New("what nobody may read")})
	require.Equal(t, "the certificate is for another host", o.record(t, sloggate.EventFetch)["detail"])
	require.NotContains(t, o.String(), "nobody")
}
