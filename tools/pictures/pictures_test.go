package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The pictures of the documents are what is drawn from the numbers that are kept.
func TestPictures(t *testing.T) {
	t.Chdir("../..")
	for _, p := range pictures {
		t.Run(p.file, func(t *testing.T) {
			c, err := p.draw()
			require.NoError(t, err)
			svg := c.svg()
			there, err := os.ReadFile(p.file)
			require.NoError(t, err)
			require.Equal(t, string(svg), string(there), "out of date: go run ./tools/pictures")

			classes := map[string]bool{}
			for decoder := xml.NewDecoder(strings.NewReader(string(svg))); ; {
				token, err := decoder.Token()
				if errors.Is(err, io.EOF) {
					break
				}
				require.NoError(t, err)
				element, _ := token.(xml.StartElement)
				for _, a := range element.Attr {
					if a.Name.Local == "class" {
						classes[strings.TrimPrefix(a.Value, "s-")] = true
					}
				}
			}
			for _, color := range colors {
				delete(classes, color.class)
			}
			require.Empty(t, classes, "without a color")
			require.NotEmpty(t, c.title)
			require.NotEmpty(t, c.words)

			// No text overlaps another, or leaves the picture.
			require.Greater(t, len(c.texts), 10)
			for i, a := range c.texts {
				require.True(t, a.left >= 0 && a.top >= 0 && a.right <= c.width && a.bottom <= c.height, "%q leaves the picture", a.text)
				for _, b := range c.texts[:i] {
					apart := a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top
					require.True(t, apart, "%q overlaps %q", a.text, b.text)
				}
			}
		})
	}
}

// Red is for outages, green for what is accepted, and the words say which status it is.
func TestLayers(t *testing.T) {
	for _, layer := range layers {
		want := map[string]string{"accepted": "accepted", "unavailable": "outage", "refused": "refused"}[layer.outcome]
		require.Contains(t, layer.class, want, layer.words)
		status := map[string]string{"accepted": "200: ", "unavailable": "503: ", "refused": "40"}[layer.outcome]
		require.True(t, strings.HasPrefix(layer.words, status), layer.words)
	}
}

// What nobody has words for is not left out silently.
func TestOutageUnknown(t *testing.T) {
	t.Chdir("../..")
	for _, tc := range []struct {
		name   string
		change func(*outage)
		want   string
	}{
		{"another reason", func(o *outage) { o.Series[0].Reason = "teapot" }, "teapot"},
		{"one kind less", func(o *outage) { o.Series = o.Series[1:] }, "these were recorded"},
		{"no outage", func(o *outage) { o.Down = [2]float64{} }, "no outage was recorded"},
		{"a value too many", func(o *outage) { o.Series[0].Rate = append(o.Series[0].Rate, 1) }, "values, not"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := drawn(outageData, func(o outage) (*canvas, error) {
				tc.change(&o)
				return drawOutage(o)
			})
			require.ErrorContains(t, err, tc.want)
		})
	}
}
