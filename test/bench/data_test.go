package bench

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
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

// writeCurves writes the four plots as numbers, which tools/pictures draws.
func writeCurves(path string) error {
	var out bytes.Buffer
	out.WriteString("{\"plots\": [\n")
	for i, g := range curves {
		if len(g.rows) == 0 {
			return errors.New("bench: -data needs the whole of -bench Growth")
		}
		fmt.Fprintf(&out, "  {\"title\": %q, \"x\": %q, \"at\": [%s], \"curves\": [\n", g.title, g.x, strings.Join(g.rows, ", "))
		for j, column := range g.columns {
			var times []string
			for _, row := range g.rows {
				times = append(times, strconv.FormatFloat(g.time(column, row)/1000, 'g', 3, 64))
			}
			fmt.Fprintf(&out, "    {\"name\": %q, \"microseconds\": [%s]}%s\n", column, strings.Join(times, ", "), commaUnless(j == len(g.columns)-1))
		}
		fmt.Fprintf(&out, "  ]}%s\n", commaUnless(i == len(curves)-1))
	}
	out.WriteString("]}\n")
	return os.WriteFile(path, out.Bytes(), 0o600)
}

func commaUnless(last bool) string {
	if last {
		return ""
	}
	return ","
}
