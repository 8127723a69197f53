package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"strings"
)

// colors of each class, on light and on dark paper. What is accepted is green, an outage
// red, and a refusal, which is everyday business, blue or grey.
var colors = []struct{ class, light, dark string }{
	{"paper", "#ffffff", "#0d1117"},
	{"ink", "#1f2328", "#f0f6fc"},
	{"soft", "#59636e", "#9198a1"},
	{"grid", "#d1d9e0", "#3d444d"},
	{"on", "#ffffff", "#0d1117"}, // text upon a color
	{"down", "#fff1e5", "#2d1f12"},
	{"accepted", "#2da44e", "#3fb950"},
	{"outage", "#cf222e", "#f85149"},
	{"outage2", "#82071e", "#ffaba8"},
	{"refused1", "#0550ae", "#a5d6ff"},
	{"refused2", "#218bff", "#58a6ff"},
	{"refused3", "#80ccff", "#1f6feb"},
	{"refused4", "#424a53", "#d1d7e0"},
	{"refused5", "#6e7781", "#9198a1"},
	{"refused6", "#afb8c1", "#656c76"},
	{"line1", "#0969da", "#4493f8"},
	{"line2", "#bc4c00", "#db6d28"},
	{"line3", "#8250df", "#ab7df8"},
	{"line4", "#1a7f37", "#3fb950"},
}

// canvas is an SVG that is being drawn.
type canvas struct {
	width, height float64
	title, words  string // what it is, and what somebody sees in it
	body          bytes.Buffer
	texts         []box // where there is text
}

// box is about where a text is.
type box struct {
	text                     string
	left, top, right, bottom float64
}

func (c *canvas) addf(format string, values ...any) { fmt.Fprintf(&c.body, format+"\n", values...) }

const (
	small = 13
	large = 17
	bold  = "bold"
)

// write writes a text whose start, middle or end is at x, on the line y.
func (c *canvas) write(x, y, size float64, class, anchor, text string, style ...string) {
	weight := ""
	// Wider than the letters of any usual font are on average.
	width := float64(len([]rune(text))) * size * 0.56
	if len(style) > 0 {
		weight, width = ` font-weight="600"`, width*1.06
	}
	left := x
	switch anchor {
	case "middle":
		left -= width / 2
	case "end":
		left -= width
	}
	c.texts = append(c.texts, box{text, left, y - 0.8*size, left + width, y + 0.25*size})
	c.addf(`<text x="%s" y="%s" font-size="%g"%s class="%s" text-anchor="%s">%s</text>`, number(x), number(y), size, weight, class, anchor, html.EscapeString(text))
}

func (c *canvas) line(x1, y1, x2, y2 float64) {
	c.addf(`<line x1="%s" y1="%s" x2="%s" y2="%s" class="s-grid" stroke-width="1"/>`, number(x1), number(y1), number(x2), number(y2))
}

func (c *canvas) rect(x, y, w, h float64, class string) {
	c.addf(`<rect x="%s" y="%s" width="%s" height="%s" class="%s"/>`, number(x), number(y), number(w), number(h), class)
}

// number is a coordinate: a tenth of a pixel is enough.
func number(v float64) string {
	return strings.TrimSuffix(fmt.Sprintf("%.1f", v), ".0")
}

type point struct{ x, y float64 }

// UnmarshalJSON reads [x, y].
func (p *point) UnmarshalJSON(text []byte) error {
	var both [2]float64
	err := json.Unmarshal(text, &both)
	p.x, p.y = both[0], both[1]
	return err
}

func path(points []point) string {
	var out strings.Builder
	for i, p := range points {
		out.WriteString(map[bool]string{true: "M", false: "L"}[i == 0] + number(p.x) + " " + number(p.y))
	}
	return out.String()
}

func (c *canvas) svg() []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, "<!-- Drawn by tools/pictures, do not edit. -->\n"+
		`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" width="%g" height="%g" role="img" aria-labelledby="title words" font-family="system-ui, -apple-system, 'Segoe UI', 'Liberation Sans', Arial, sans-serif">`+"\n",
		c.width, c.height, c.width, c.height)
	fmt.Fprintf(&out, "<title id=\"title\">%s</title>\n<desc id=\"words\">%s</desc>\n<style>\n", html.EscapeString(c.title), html.EscapeString(c.words))
	for _, color := range colors {
		fmt.Fprintf(&out, ".%s{fill:%s}.s-%s{stroke:%s;fill:none}", color.class, color.light, color.class, color.light)
	}
	out.WriteString("\n@media (prefers-color-scheme: dark){\n")
	for _, color := range colors {
		fmt.Fprintf(&out, ".%s{fill:%s}.s-%s{stroke:%s}", color.class, color.dark, color.class, color.dark)
	}
	fmt.Fprintf(&out, "\n}\n</style>\n<rect width=\"%g\" height=\"%g\" rx=\"8\" class=\"paper\"/>\n", c.width, c.height)
	out.Write(c.body.Bytes())
	out.WriteString("</svg>\n")
	return out.Bytes()
}
