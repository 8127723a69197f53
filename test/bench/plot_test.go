package bench

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// printTable prints the Markdown table of docs/cost.md.
func (g *growth) printTable() {
	if len(g.rows) == 0 {
		return
	}
	fmt.Printf("\n%s, ES256, medians of %d rounds in turn, on: %s.\n\n", g.title, rounds, processor())
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 1, ' ', 0)
	fmt.Fprintf(w, "| %s\t| %s\t|\n|---:\t%s|\n", g.x, strings.Join(g.columns, "\t| "), strings.Repeat("|---:\t", len(g.columns)))
	for _, row := range g.rows {
		fmt.Fprintf(w, "| %s", row)
		for _, column := range g.columns {
			fmt.Fprintf(w, "\t| %s", micro(g.time(column, row)))
			if g == byCores {
				fmt.Fprintf(w, " (%.2f × the throughput)", 1/g.ratio(column, row, g.rows[0]))
			}
		}
		fmt.Fprint(w, "\t|\n")
	}
	w.Flush()
}

// plotted returns the curves over a logarithmic axis of microseconds.
func (g *growth) plotted() (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = g.title, g.x, "µs per verification"
	p.X.Scale, p.Y.Scale = plot.LogScale{}, plot.LogScale{}
	p.Y.Min, p.Y.Max = 0.1, 1000
	p.Y.Tick.Marker = plot.ConstantTicks{{Value: 0.1, Label: "0.1"}, {Value: 1, Label: "1"}, {Value: 10, Label: "10"}, {Value: 100, Label: "100"}, {Value: 1000, Label: "1000"}}
	p.Legend.Top, p.Legend.Left = true, true
	p.Legend.YOffs, p.Legend.XOffs = -3.4*vg.Centimeter, 3*vg.Millimeter // between the curves
	var ticks []plot.Tick
	for _, row := range g.rows {
		x, err := strconv.ParseFloat(row, 64)
		if err != nil {
			return nil, err
		}
		ticks = append(ticks, plot.Tick{Value: x, Label: row})
	}
	p.X.Tick.Marker = plot.ConstantTicks(ticks)
	p.Add(plotter.NewGrid())
	for i, column := range g.columns {
		var points plotter.XYs
		for j, row := range g.rows {
			points = append(points, plotter.XY{X: ticks[j].Value, Y: g.time(column, row) / 1000})
		}
		line, marks, err := plotter.NewLinePoints(points)
		if err != nil {
			return nil, err
		}
		line.Color, marks.Color, marks.Shape = plotutil.Color(i), plotutil.Color(i), plotutil.Shape(i)
		p.Add(line, marks)
		p.Legend.Add(column, line, marks)
	}
	return p, nil
}

// drawCurves writes the four plots as one SVG.
func drawCurves(path string) error {
	rows := [][]*plot.Plot{make([]*plot.Plot, 2), make([]*plot.Plot, 2)}
	for i, g := range curves {
		if len(g.rows) == 0 {
			return fmt.Errorf("bench: -svg needs the whole of -bench Growth")
		}
		var err error
		if rows[i/2][i%2], err = g.plotted(); err != nil {
			return err
		}
	}
	canvas := vgsvg.New(24*vg.Centimeter, 18*vg.Centimeter)
	tiles := draw.Tiles{Rows: 2, Cols: 2, PadX: vg.Centimeter, PadY: vg.Centimeter, PadTop: vg.Millimeter, PadBottom: vg.Millimeter, PadLeft: vg.Millimeter, PadRight: 3 * vg.Millimeter}
	for i, dcs := range plot.Align(rows, tiles, draw.New(canvas)) {
		for j, dc := range dcs {
			rows[i][j].Draw(dc)
		}
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err := canvas.WriteTo(f); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}
