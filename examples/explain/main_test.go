package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/authtest"
	"github.com/bearergate/bearergate/middleware"
	"github.com/bearergate/bearergate/scope"
)

// What an operator reads is enough to know what is wrong, and holds no token.
func TestDemonstration(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out))
	list, explained, _ := strings.Cut(out.String(), "\n\n")
	require.Contains(t, explained, "refused: invalid token: audience\n  what to do: The token is for another API: have the client ask for this one")
	require.Contains(t, explained, `failed: audience: aud names none of the configured audiences, expected "https://orders.example.com", found "https://graph.example.com"`)
	var shown []refusal
	require.NoError(t, json.Unmarshal([]byte(list), &shown))
	require.NotContains(t, out.String(), "eyJ", "a token")
	require.NotContains(t, out.String(), "an-opaque-token")
	require.NotContains(t, out.String(), authtest.DefaultSubject)
	require.NotContains(t, out.String(), "n-0S6", "the value of a claim")
	for i, want := range []refusal{ // the latest first
		{Reason: bearergate.ReasonMalformed, Detail: "jose: not exactly three parts: an opaque token, or none at all"},
		{Reason: bearergate.ReasonType, Expected: "an access token", Found: "the member nonce", Client: "shop"},
		{Reason: bearergate.ReasonUnknownKey, Found: `kid "last-year", alg "ES256"`, Unsigned: true},
		{Reason: bearergate.ReasonExpired, Client: "nightly"},
		{Reason: bearergate.ReasonAudience, Expected: `"https://orders.example.com"`, Found: `"https://graph.example.com"`, Client: "shop"},
		{Reason: bearergate.ReasonScope, Expected: "orders:read", Found: `"orders:list"`, Client: "shop"},
	} {
		got := shown[i]
		require.Equal(t, want.Reason, got.Reason)
		require.Equal(t, want.Client, got.Client)
		require.Equal(t, want.Unsigned, got.Unsigned)
		require.Equal(t, "GET /orders", got.Route)
		require.Equal(t, "0af7651916cd43dd8448eb211c80319c", got.Trace)
		if want.Detail != "" {
			require.Equal(t, want.Detail, got.Detail)
		}
		if want.Reason != bearergate.ReasonExpired {
			require.Equal(t, want.Expected, got.Expected)
			require.Equal(t, want.Found, got.Found)
		}
	}
	require.Len(t, shown, 6)
}

// The list is for operators alone.
func TestTheListIsProtected(t *testing.T) {
	as := authtest.New(t, authtest.WithAudience(audience))
	handler, _, err := newAPI(as.Issuer(), as.Client())
	require.NoError(t, err)
	for status, token := range map[int]string{401: "", 403: as.Token(authtest.Claims{Scopes: scope.Of("orders:read")}), 200: as.Token(authtest.Claims{Scopes: scope.Of("ops:read")})} {
		r := httptest.NewRequest(http.MethodGet, "/debug/refusals", nil)
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		require.Equal(t, status, w.Code)
	}
}

// A flood costs no memory: the last ones are kept, in their order, from many goroutines.
func TestTheRing(t *testing.T) {
	l := new(refusals)
	tell := l.hooks().Decided
	event := func(i int) middleware.DecisionEvent {
		return middleware.DecisionEvent{Err: bearergate.ErrInvalidToken, Pattern: fmt.Sprint(i)}
	}
	require.Empty(t, l.last())
	for i := range 3 {
		tell(t.Context(), event(i))
	}
	require.Len(t, l.last(), 3)
	require.Equal(t, "2", l.last()[0].Route)
	for i := range 1000 {
		tell(t.Context(), event(i))
	}
	all := l.last()
	require.Len(t, all, kept)
	require.Equal(t, "999", all[0].Route)
	require.Equal(t, "950", all[kept-1].Route)
	tell(t.Context(), middleware.DecisionEvent{})
	tell(t.Context(), middleware.DecisionEvent{Err: bearergate.ErrMissingToken})
	tell(t.Context(), middleware.DecisionEvent{Err: &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonCanceled}})
	require.Equal(t, all, l.last())
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			for range 200 {
				tell(t.Context(), event(i))
				l.last()
			}
		})
	}
	wait.Wait()
	require.Len(t, l.last(), kept)
}
