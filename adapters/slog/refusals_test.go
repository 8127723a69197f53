package sloggate_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	sloggate "github.com/bearergate/bearergate/adapters/slog"
	"github.com/bearergate/bearergate/jwks"
	"github.com/bearergate/bearergate/middleware"
)

// shown are the routes on the page of refusals, in its order, and all of it.
func shown(t *testing.T, h *sloggate.Refusals) (routes []string, text string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/debug/refusals", nil))
	require.Equal(t, "application/x-ndjson", w.Header().Get("Content-Type"))
	require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	for line := range strings.Lines(w.Body.String()) {
		_, err := checked{t}.Write([]byte(line)) // the schema
		require.NoError(t, err)
		r := map[string]any{}
		require.NoError(t, json.Unmarshal([]byte(line), &r))
		routes = append(routes, r["route"].(string))
	}
	return routes, w.Body.String()
}

// The page shows the last refusals, and no flood of strangers pushes those of genuine tokens out.
func TestRefusals(t *testing.T) {
	last, err := sloggate.NewRefusals(3)
	require.NoError(t, err)
	all := &output{}
	a, _ := newAudit(t, sloggate.Config{Handler: slog.NewMultiHandler(jsonTo(t, all, everything), last), MaxPerSecond: 1000})
	token := bearergate.NewToken(claims)
	expired := &bearergate.Error{Kind: bearergate.ErrInvalidToken, Reason: bearergate.ReasonExpired}
	tell := func(route string, err error, token *bearergate.Token) {
		a.GateHooks().Decided(t.Context(), middleware.DecisionEvent{Pattern: route, Err: err, Token: token})
	}
	routes, _ := shown(t, last)
	require.Empty(t, routes)
	tell("scope 1", bearergate.ErrInsufficientScope, token)
	tell("accepted", nil, token)
	tell("expired", expired.WithRefused(token), nil)
	tell("outage", bearergate.ErrUnavailable, nil)
	a.KeyHooks().KeySkipped(t.Context(), jwks.KeyEvent{})
	for i := range 100 {
		tell(fmt.Sprint("stranger ", i), bearergate.ErrInvalidToken, nil)
	}
	a.KeyHooks().Fetched(t.Context(), jwks.FetchEvent{Outcome: jwks.OutcomeTimeout}) // has an outcome, and is no decision
	routes, text := shown(t, last)
	require.Equal(t, []string{"expired", "scope 1", "stranger 99", "stranger 98", "stranger 97"}, routes)
	require.Contains(t, text, `"refused":{`)
	for i := range 4 {
		tell(fmt.Sprint("scope ", i+2), bearergate.ErrInsufficientScope, token)
	}
	routes, _ = shown(t, last)
	require.Equal(t, []string{"scope 5", "scope 4", "scope 3"}, routes[:3])
	require.Len(t, all.records(t, sloggate.EventDecision), 108, "the log has all of them")
}

// What others add by WithAttrs and WithGroup is theirs, and the page is one.
func TestRefusalsOfSeveralHandlers(t *testing.T) {
	last, err := sloggate.NewRefusals(10)
	require.NoError(t, err)
	eu := last.WithAttrs(nil).WithAttrs(nil).WithAttrs(nil)
	one, other := eu.WithAttrs(nil), eu.WithGroup("other") // each has its own
	require.NotNil(t, other)
	for i, handler := range []slog.Handler{one, last.WithAttrs([]slog.Attr{slog.String("region", "eu")}).WithGroup("g"), last.WithGroup("audit")} {
		a, _ := newAudit(t, sloggate.Config{Handler: handler})
		a.GateHooks().Decided(t.Context(), middleware.DecisionEvent{Pattern: fmt.Sprint(i), Err: errors.New("what nobody may read")})
	}
	w := httptest.NewRecorder()
	last.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/", nil))
	lines := strings.Split(strings.TrimSpace(w.Body.String()), "\n")
	require.Len(t, lines, 3)
	require.Contains(t, lines[0], `"audit":{"schema"`)
	require.Contains(t, lines[1], `"region":"eu","g":{"schema"`)
	require.Contains(t, lines[2], `"msg":"access decision","schema"`)
	require.NotContains(t, w.Body.String(), "nobody")
}

func TestRefusalsAtOnce(t *testing.T) {
	last, err := sloggate.NewRefusals(10)
	require.NoError(t, err)
	a, _ := newAudit(t, sloggate.Config{Handler: last, MaxPerSecond: 1 << 20})
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for range 100 {
				a.GateHooks().Decided(t.Context(), middleware.DecisionEvent{Pattern: "GET /", Err: bearergate.ErrInvalidToken})
				last.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), "GET", "/", nil))
			}
		})
	}
	wait.Wait()
	routes, _ := shown(t, last)
	require.Len(t, routes, 10)
}

func TestNewRefusals(t *testing.T) {
	require.Equal(t, 10_000, sloggate.MaxRefusals)
	for _, n := range []int{-1, 0, sloggate.MaxRefusals + 1} {
		last, err := sloggate.NewRefusals(n)
		require.Nil(t, last)
		require.ErrorIs(t, err, bearergate.ErrMisconfigured)
		require.Equal(t, bearergate.ReasonConfig, bearergate.ReasonOf(err))
	}
	_, err := sloggate.NewRefusals(sloggate.MaxRefusals)
	require.NoError(t, err)
}
