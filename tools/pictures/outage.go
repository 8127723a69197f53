package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
)

// outage is decisions per second over time, with an outage in the middle.
type outage struct {
	Step   float64    `json:"step_seconds"` // between two values
	Down   [2]float64 `json:"down_seconds"` // from when to when the authorization server was away
	Series []series   `json:"series"`
}

type series struct {
	Outcome string    `json:"outcome"`
	Reason  string    `json:"reason"`
	Rate    []float64 `json:"per_second"`
}

// lines is the JSON, a line for each series.
func (o outage) lines() ([]byte, error) {
	var out bytes.Buffer
	fmt.Fprintf(&out, "{\"step_seconds\": %g, \"down_seconds\": [%g, %g], \"series\": [\n", o.Step, o.Down[0], o.Down[1])
	for i, s := range o.Series {
		text, err := json.Marshal(s)
		if err != nil {
			return nil, err
		}
		out.Write(text)
		out.WriteString(map[bool]string{true: ",\n", false: "\n"}[i < len(o.Series)-1])
	}
	out.WriteString("]}\n")
	return out.Bytes(), nil
}

// layers are what is drawn, from the bottom: what is accepted, what an outage takes away
// from it, and on top what is refused, which an outage leaves as it is.
var layers = []struct{ outcome, reason, class, words string }{
	{"accepted", "", "accepted", "200: accepted"},
	{"unavailable", "introspection_unavailable", "outage", "503: opaque, and nobody to ask"},
	{"unavailable", "keys_unavailable", "outage2", "503: unknown key, none to be had"},
	{"refused", "unknown_key", "refused1", "401: key that the server does not have"},
	{"refused", "signature", "refused2", "401: forged signature"},
	{"refused", "expired", "refused3", "401: expired"},
	{"refused", "inactive", "refused4", "401: revoked opaque token"},
	{"refused", "no_token", "refused5", "401: no token"},
	{"refused", "scope", "refused6", "403: without the scope"},
}

func drawOutage(data outage) (*canvas, error) {
	const left, top, right, bottom, width, height = 62, 64, 18, 168, 960, 540
	values, err := stacked(data)
	if err != nil {
		return nil, err
	}
	n := len(values[0])
	most := 0.0
	for _, v := range values[len(values)-1] {
		most = max(most, v)
	}
	most = math.Ceil(most/20) * 20
	at := func(i int, v float64) point {
		return point{left + float64(i)/float64(n-1)*(width-left-right), top + (1-v/most)*(height-top-bottom)}
	}
	when := func(seconds float64) float64 {
		return left + seconds/(data.Step*float64(n-1))*(width-left-right)
	}
	c := &canvas{width: width, height: height, title: "Decisions per second before, during and after an outage of the authorization server",
		words: "Stacked areas over time. Green at the bottom, what is accepted, sinks to less than half in the outage. Red above it fills the gap: opaque tokens get 503. On top, in blues and grey, what is refused stays as it was, but for tokens with an unknown key, which get 503 in the outage."}
	c.write(left, 26, large, "ink", "start", "Decisions per second, while the authorization server is away for a minute", bold)
	c.rect(when(data.Down[0]), top-22, when(data.Down[1])-when(data.Down[0]), height-top-bottom+22, "down")
	c.write(when((data.Down[0]+data.Down[1])/2), top-7, small, "ink", "middle", "authorization server down", bold)
	for v := 0.0; v <= most; v += 20 {
		y := at(0, v).y
		c.line(left, y, width-right, y)
		c.write(left-8, y+4, small, "soft", "end", number(v))
	}
	for s := 0.0; s <= data.Step*float64(n-1); s += 30 {
		c.write(when(s), height-bottom+20, small, "soft", "middle", fmt.Sprintf("%g s", s))
	}
	below := make([]float64, n)
	for i, layer := range layers {
		var area []point
		for j := range n {
			area = append(area, at(j, values[i][j]))
		}
		for j := range slices.Backward(below) {
			area = append(area, at(j, below[j]))
		}
		c.addf(`<path d="%sZ" class="%s"/>`, path(area), layer.class)
		below = values[i]
	}
	middle := int((data.Down[0] + data.Down[1]) / 2 / data.Step)
	c.write(when(data.Down[0]/2), at(0, values[0][0]/2).y, large, "on", "middle", "accepted", bold)
	c.write(when((data.Down[0]+data.Down[1])/2), at(0, (values[0][middle]+values[1][middle])/2).y+6, large, "on", "middle", "503, not 401", bold)
	for i, layer := range layers {
		x, y := left+float64(i/3)*305, height-bottom+56+float64(i%3)*28
		c.rect(x, y-12, 16, 16, layer.class)
		c.write(x+24, y+1, small, "ink", "start", layer.words)
	}
	c.write(left, height-18, small, "soft", "start", "Each color is one answer, stacked; the rate is that of ten seconds.")
	return c, nil
}

// stacked returns the upper edge of each layer, at each time.
func stacked(data outage) ([][]float64, error) {
	if len(data.Series) == 0 || data.Step <= 0 || data.Down[0] >= data.Down[1] {
		return nil, fmt.Errorf("no outage was recorded: %d series, down from %g to %g s", len(data.Series), data.Down[0], data.Down[1])
	}
	n := len(data.Series[0].Rate)
	values := make([][]float64, len(layers))
	below := make([]float64, n)
	known := 0
	for i, layer := range layers {
		values[i] = slices.Clone(below)
		for _, s := range data.Series {
			if s.Outcome == layer.outcome && s.Reason == layer.reason {
				known++
				if len(s.Rate) != n {
					return nil, fmt.Errorf("%s %s: %d values, not %d", s.Outcome, s.Reason, len(s.Rate), n)
				}
				for j, v := range s.Rate {
					values[i][j] += v
				}
			}
		}
		below = values[i]
	}
	if known != len(data.Series) || known != len(layers) {
		var got []string
		for _, s := range data.Series {
			got = append(got, strings.TrimSpace(s.Outcome+" "+s.Reason))
		}
		return nil, fmt.Errorf("the picture has colors and words for %d kinds of decisions, and these were recorded: %s", len(layers), strings.Join(got, ", "))
	}
	return values, nil
}
