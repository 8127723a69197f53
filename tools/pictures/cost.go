package main

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
)

// costs are how the cost of a verification grows, in four plots.
type costs struct {
	Plots []plot `json:"plots"`
}

type plot struct {
	Title  string    `json:"title"`
	X      string    `json:"x"`  // the unit
	At     []float64 `json:"at"` // where there are values
	Curves []curve   `json:"curves"`
}

type curve struct {
	Name         string    `json:"name"`
	Microseconds []float64 `json:"microseconds"`
}

const (
	costWidth, costHeight = 960, 690
	plotWidth, plotHeight = 470, 325
)

func drawCost(data costs) (*canvas, error) {
	if len(data.Plots) != 4 {
		return nil, fmt.Errorf("%d plots, not 4", len(data.Plots))
	}
	c := &canvas{width: costWidth, height: costHeight, title: "What a verification costs, and how that grows",
		words: "Four plots of microseconds per verification, on logarithmic axes. A new token costs about 100, one that was seen before about 1. The size of the token makes both dearer; the number of keys neither; the number of tokens only when they do not fit into the cache; and two cores halve all of them."}
	c.write(20, 28, large, "ink", "start", "Microseconds per verification, ES256, logarithmic axes", bold)
	for i, p := range data.Plots {
		if err := p.draw(c, float64(i%2)*plotWidth+10, float64(i/2)*plotHeight+40); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// draw draws the plot with its upper left corner at x, y.
func (p plot) draw(c *canvas, x, y float64) error {
	const left, top, right, bottom = 48, 34, 156, 46
	if len(p.At) < 2 {
		return errors.New("a plot has two points at least")
	}
	w, h := float64(plotWidth-left-right), float64(plotHeight-top-bottom)
	across := func(v float64) float64 {
		return x + left + math.Log(v/p.At[0])/math.Log(p.At[len(p.At)-1]/p.At[0])*w
	}
	const least, decades = 0.1, 4
	up := func(v float64) float64 { return y + top + (1-math.Log10(v/least)/decades)*h }

	c.write(x+left, y+22, 15, "ink", "start", p.Title, bold)
	for v := range decades + 1 {
		at := least * math.Pow10(v)
		c.line(x+left, up(at), x+left+w, up(at))
		c.write(x+left-8, up(at)+4, small, "soft", "end", strconv.FormatFloat(at, 'g', 4, 64))
	}
	for _, v := range p.At {
		c.line(across(v), y+top, across(v), y+top+h)
		c.write(across(v), y+top+h+18, 12, "soft", "middle", strconv.FormatFloat(v, 'f', -1, 64))
	}
	c.write(x+left+w/2, y+top+h+36, small, "soft", "middle", p.X)

	// The name of a curve stands where it ends, and below or above that if another's does.
	order := make([]int, len(p.Curves))
	for i, curve := range p.Curves {
		if len(curve.Microseconds) != len(p.At) {
			return fmt.Errorf("%s, %s: %d values, not %d", p.Title, curve.Name, len(curve.Microseconds), len(p.At))
		}
		order[i] = i
	}
	end := func(i int) float64 { return up(p.Curves[i].Microseconds[len(p.At)-1]) }
	slices.SortFunc(order, func(a, b int) int { return int(math.Copysign(1, end(a)-end(b))) })
	lowest := y
	for _, i := range order {
		curve, class := p.Curves[i], fmt.Sprintf("line%d", i+1)
		var points []point
		for j, v := range curve.Microseconds {
			if v < least || v > least*math.Pow10(decades) {
				return fmt.Errorf("%s, %s: %g µs are beyond the axis", p.Title, curve.Name, v)
			}
			points = append(points, point{across(p.At[j]), up(v)})
		}
		c.addf(`<path d="%s" class="s-%s" stroke-width="2.5" stroke-linejoin="round"/>`, path(points), class)
		for _, at := range points {
			c.addf(`<circle cx="%s" cy="%s" r="3.5" class="%s"/>`, number(at.x), number(at.y), class)
		}
		lowest = max(end(i)+4, lowest+18)
		c.write(x+left+w+9, lowest, 12, class, "start", curve.Name, bold)
	}
	return nil
}
