package main

import (
	"fmt"
	"math"
)

// diagram is boxes, arrows between them and words beside them, all at their places.
type diagram struct {
	Title  string  `json:"title"`
	Words  string  `json:"words"`
	Width  float64 `json:"width"`
	Height float64 `json:"height"`
	Boxes  []node  `json:"boxes"`
	Arrows []arrow `json:"arrows"`
	Notes  []note  `json:"notes"`
}

// node is a box with some lines in it. Where Bold is set, the first is a heading.
type node struct {
	At    [4]float64 `json:"at"` // left, top, width, height
	Class string     `json:"class"`
	Bold  bool       `json:"bold"`
	Lines []string   `json:"lines"`
}

// arrow is a line through some points, with a head at its end.
type arrow struct {
	Through []point `json:"through"`
	Class   string  `json:"class"`
	Both    bool    `json:"both"` // a head at its beginning, too
}

// note is words, with a middle, start or end at a point.
type note struct {
	At     point  `json:"at"`
	Anchor string `json:"anchor"`
	Class  string `json:"class"`
	Text   string `json:"text"`
}

func drawDiagram(d diagram) (*canvas, error) {
	c := &canvas{width: d.Width, height: d.Height, title: d.Title, words: d.Words}
	for _, a := range d.Arrows {
		n := len(a.Through)
		if n < 2 {
			return nil, fmt.Errorf("an arrow through %d points", n)
		}
		c.addf(`<path d="%s" class="s-%s" stroke-width="1.5"/>`, path(a.Through), a.Class)
		c.head(a.Through[n-2], a.Through[n-1], a.Class)
		if a.Both {
			c.head(a.Through[1], a.Through[0], a.Class)
		}
	}
	for _, b := range d.Boxes {
		left, top, width, height := b.At[0], b.At[1], b.At[2], b.At[3]
		c.addf(`<rect x="%s" y="%s" width="%s" height="%s" rx="6" class="paper"/>`, number(left), number(top), number(width), number(height))
		c.addf(`<rect x="%s" y="%s" width="%s" height="%s" rx="6" class="s-%s" stroke-width="1.5"/>`, number(left), number(top), number(width), number(height), b.Class)
		const step = 17
		y := top + height/2 - step*float64(len(b.Lines)-1)/2 + 0.35*small
		for i, line := range b.Lines {
			var style []string
			if i == 0 && b.Bold {
				style = []string{bold}
			}
			c.write(left+width/2, y, small, "ink", "middle", line, style...)
			if drawn := c.texts[len(c.texts)-1]; drawn.left < left || drawn.right > left+width || drawn.top < top || drawn.bottom > top+height {
				return nil, fmt.Errorf("%q does not fit into its box", line)
			}
			y += step
		}
	}
	for _, n := range d.Notes {
		c.write(n.At.x, n.At.y, small, n.Class, n.Anchor, n.Text)
	}
	return c, nil
}

// head draws the head of an arrow at its end.
func (c *canvas) head(from, to point, class string) {
	const long, wide = 8, 3.5
	angle := math.Atan2(to.y-from.y, to.x-from.x)
	x, y := math.Cos(angle), math.Sin(angle)
	c.addf(`<path d="M%s %sL%s %sL%s %sZ" class="%s"/>`, number(to.x), number(to.y),
		number(to.x-long*x-wide*y), number(to.y-long*y+wide*x), number(to.x-long*x+wide*y), number(to.y-long*y-wide*x), class)
}
