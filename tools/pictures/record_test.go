package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// prometheus answers as one that has seen a run of 60 s, with an outage from 24 s to 36 s,
// in which one of four requests fails.
func prometheus(t *testing.T, outage bool) string {
	t.Helper()
	began := time.Now().Truncate(step).Add(-2 * time.Minute).Unix()
	samples := func(value func(second int64) float64) []any {
		var out []any
		for s := int64(0); s <= 60; s += 2 {
			out = append(out, []any{began + s, fmt.Sprint(value(s))})
		}
		return out
	}
	down := func(s int64) bool { return outage && s >= 24 && s < 36 }
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/query_range", func(w http.ResponseWriter, r *http.Request) {
		answer := map[string]any{"status": "success"}
		switch query := r.FormValue("query"); {
		case strings.Contains(query, "example_authorization_server_up"):
			answer["data"] = map[string]any{"result": []any{map[string]any{"values": samples(func(s int64) float64 {
				if down(s) {
					return 0
				}
				return 1
			})}}}
		case strings.Contains(query, "bearergate_decisions_total"):
			answer["data"] = map[string]any{"result": []any{
				map[string]any{"metric": map[string]any{"outcome": "accepted"}, "values": samples(func(s int64) float64 {
					if down(s) {
						return 30.04
					}
					return 40.04
				})},
				map[string]any{"metric": map[string]any{"outcome": "unavailable", "reason": "keys_unavailable"}, "values": samples(func(int64) float64 { return 10 })[12:18]},
			}}
		default:
			answer = map[string]any{"status": "error", "error": "what is " + query}
		}
		if err := json.NewEncoder(w).Encode(answer); err != nil {
			t.Error(err)
		}
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

// The first seconds are left out, and where a series has no value it is zero.
func TestRecorded(t *testing.T) {
	seen, err := recorded(t.Context(), prometheus(t, true))
	require.NoError(t, err)
	accepted, failed := make([]float64, 25), make([]float64, 25)
	for i := range accepted {
		accepted[i] = 40
		if i >= 6 && i < 12 {
			accepted[i], failed[i] = 30, 10
		}
	}
	require.Equal(t, outage{Step: 2, Down: [2]float64{12, 24}, Series: []series{
		{Outcome: "accepted", Rate: accepted},
		{Outcome: "unavailable", Reason: "keys_unavailable", Rate: failed},
	}}, seen)

	text, err := seen.lines()
	require.NoError(t, err)
	var again outage
	require.NoError(t, json.Unmarshal(text, &again))
	require.Equal(t, seen, again)
}

func TestRecordedNothing(t *testing.T) {
	_, err := recorded(t.Context(), prometheus(t, false))
	require.ErrorContains(t, err, "no run with an outage")
	_, err = query(t.Context(), prometheus(t, true), "nonsense", time.Now())
	require.ErrorContains(t, err, "what is nonsense")
}
