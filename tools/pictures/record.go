package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	step   = 2 * time.Second
	window = 15 * time.Minute // the last run is within it
	settle = 12 * time.Second // until a rate of ten seconds is one
)

// matrix is what Prometheus answers to a range query.
type matrix []struct {
	Metric map[string]string
	Values [][2]any // Unix time, and the value as text
}

// recorded asks a Prometheus what it has seen of the last run of the example.
func recorded(ctx context.Context, prometheus string) (outage, error) {
	end := time.Now().Truncate(step)
	up, err := query(ctx, prometheus, "example_authorization_server_up", end)
	if err != nil {
		return outage{}, err
	}
	times, down := upAndDown(up)
	if len(times) < 2 || len(down) == 0 {
		return outage{}, errors.New("there was no run with an outage in the last 15 minutes")
	}
	begin, last := times[0]+settle.Seconds(), times[len(times)-1]
	n := int((last-begin)/step.Seconds()) + 1
	if n < 2 {
		return outage{}, errors.New("the run is too short")
	}
	rates, err := query(ctx, prometheus, `sum by (outcome, reason) (rate(bearergate_decisions_total{report_only="false", outcome!="canceled"}[10s]))`, end)
	if err != nil {
		return outage{}, err
	}
	out := outage{Step: step.Seconds(), Down: [2]float64{down[0] - begin, down[len(down)-1] + step.Seconds() - begin}}
	for _, m := range rates {
		s := series{Outcome: m.Metric["outcome"], Reason: m.Metric["reason"], Rate: make([]float64, n)}
		for _, v := range m.Values {
			when, value, err := sample(v)
			if err != nil {
				return outage{}, err
			}
			if i := int(math.Round((when - begin) / step.Seconds())); i >= 0 && i < n {
				s.Rate[i] = math.Round(value*10) / 10
			}
		}
		out.Series = append(out.Series, s)
	}
	return out, nil
}

// upAndDown returns when the example ran, and when its authorization server was away.
func upAndDown(up matrix) (times, down []float64) {
	for _, m := range up {
		for _, v := range m.Values {
			when, value, err := sample(v)
			if err != nil {
				continue
			}
			times = append(times, when)
			if value == 0 {
				down = append(down, when)
			}
		}
	}
	return times, down
}

func sample(v [2]any) (when, value float64, err error) {
	when, ok := v[0].(float64)
	text, isText := v[1].(string)
	if !ok || !isText {
		return 0, 0, fmt.Errorf("not a sample: %v", v)
	}
	value, err = strconv.ParseFloat(text, 64)
	return when, value, err
}

func query(ctx context.Context, prometheus, promql string, end time.Time) (matrix, error) {
	values := url.Values{"query": {promql}, "step": {strconv.FormatFloat(step.Seconds(), 'f', -1, 64)},
		"start": {strconv.FormatInt(end.Add(-window).Unix(), 10)}, "end": {strconv.FormatInt(end.Unix(), 10)}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(prometheus, "/")+"/api/v1/query_range?"+values.Encode(), nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var answer struct {
		Status, Error string
		Data          struct{ Result matrix }
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return nil, err
	}
	if answer.Status != "success" {
		return nil, errors.New(answer.Error)
	}
	return answer.Data.Result, nil
}
