package bench

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
)

var (
	data        = flag.String("data", "", "write how the cost grows into this file, after -bench Growth")
	turnsOfWays = flag.Int("turns", 40, "of each way in BenchmarkWays")
	check       = flag.Bool("check", false, "fail where a way of BenchmarkWays takes more than its bound, which is wide")

	full = flag.Bool("full", false, "measure the memory of 100,000 entries, not of 3,000")
)

// key is a row and a column of a table.
type key struct{ column, row string }

// results are the nanoseconds of each round.
type results struct {
	columns, rows []string
	ns            map[key][]float64
	allocs        map[key]float64
}

func newResults() *results { return &results{ns: map[key][]float64{}, allocs: map[key]float64{}} }

var verify = newResults()

// add takes what b has just measured with b.Loop.
func (r *results) add(column, row string, b *testing.B) { r.put(column, row, nsPerOp(b)) }

func nsPerOp(b *testing.B) float64 { return float64(b.Elapsed().Nanoseconds()) / float64(b.N) }

func (r *results) put(column, row string, ns float64) {
	if !slices.Contains(r.columns, column) {
		r.columns = append(r.columns, column)
	}
	if !slices.Contains(r.rows, row) {
		r.rows = append(r.rows, row)
	}
	k := key{column, row}
	r.ns[k] = append(r.ns[k], ns)
}

func median(values []float64) float64 {
	v := slices.Sorted(slices.Values(values))
	if len(v) == 0 {
		return 0
	}
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// time is the median of the rounds, ratio that of what each round gave for a
// and b side by side.
func (r *results) time(column, row string) float64 { return median(r.ns[key{column, row}]) }

func (r *results) ratio(column, a, b string) float64 {
	return medianRatio(r.ns[key{column, a}], r.ns[key{column, b}])
}

// medianRatio is the median of what each turn gave for a and b side by side.
func medianRatio(as, bs []float64) float64 {
	var ratios []float64
	for i := range min(len(as), len(bs)) {
		ratios = append(ratios, as[i]/bs[i])
	}
	return median(ratios)
}

// processor says what this is measured on.
func processor() string {
	name, sha := runtime.GOARCH, ""
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		field, value, _ := strings.Cut(line, ":")
		switch strings.TrimSpace(field) {
		case "model name":
			name = strings.TrimSpace(value)
		case "flags", "Features":
			sha = " without SHA extensions"
			if flags := strings.Fields(value); slices.Contains(flags, "sha_ni") || slices.Contains(flags, "sha2") {
				sha = " with SHA extensions"
			}
		}
	}
	if debug := os.Getenv("GODEBUG"); debug != "" {
		sha += ", GODEBUG=" + debug
	}
	return fmt.Sprintf("%s%s, %d cores, %s %s/%s", name, sha, runtime.NumCPU(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// micro writes nanoseconds as microseconds in three digits.
func micro(ns float64) string {
	switch us := ns / 1000; {
	case us >= 100:
		return fmt.Sprintf("%.0f µs", us)
	case us >= 10:
		return fmt.Sprintf("%.1f µs", us)
	default:
		return fmt.Sprintf("%.2f µs", us)
	}
}

func times(ratio float64) string {
	switch {
	case ratio >= 10:
		return fmt.Sprintf("%.0f ×", ratio)
	case ratio >= 0.5:
		return fmt.Sprintf("%.2f ×", ratio)
	default:
		return fmt.Sprintf("1/%.0f", 1/ratio)
	}
}

// printTable prints the Markdown table of BenchmarkVerify.
func (r *results) printTable() {
	if len(r.rows) == 0 {
		return
	}
	fmt.Printf("\nMedians of %d turns, one goroutine, on: %s. In brackets: time, allocations.\n\n", turns, processor())
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 1, ' ', 0)
	fmt.Fprintf(w, "| in multiples of the bare signature check\t| %s\t|\n", strings.Join(r.columns, "\t| "))
	fmt.Fprintf(w, "|---\t%s|\n", strings.Repeat("|---:\t", len(r.columns)))
	for _, row := range r.rows {
		fmt.Fprintf(w, "| %s", row)
		for _, column := range r.columns {
			k := key{column, row}
			fmt.Fprintf(w, "\t| %s (%s, %.0f)", times(r.ratio(column, row, byRaw)), micro(r.time(column, row)), r.allocs[k])
		}
		fmt.Fprint(w, "\t|\n")
	}
	w.Flush()
	for _, column := range r.columns {
		var fastest string
		for _, row := range r.rows {
			if strings.Contains(row, "/") && (fastest == "" || r.time(column, row) < r.time(column, fastest)) {
				fastest = row
			}
		}
		if fastest == "" {
			continue
		}
		overhead := r.time(column, byMiddleware) - r.time(column, byBare)
		fmt.Printf("\n%s: new token %s of the bare check; seen before %s the SHA-256 of the token, 1/%.0f of the fastest other library (%s); a request through the middleware costs %s the time of Verify; an introspected token takes %s that of a JWT.\n",
			column, times(r.ratio(column, byCold, byRaw)), times(r.ratio(column, byWarm, bySHA)), r.ratio(column, fastest, byWarm), fastest,
			times(overhead/r.time(column, byWarm)), times(r.ratio(column, byIntrospect, byWarm)))
	}
}

func TestMain(m *testing.M) {
	flag.Parse()
	_ = flag.Set("test.parallel", "64") // the parallel tests here wait, they do not compute
	code := m.Run()
	if code == 0 {
		verify.printTable()
		if err := printWays(*check); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
		for _, g := range curves {
			g.printTable()
		}
		if *data != "" {
			if err := writeCurves(*data); err != nil {
				fmt.Fprintln(os.Stderr, err)
				code = 1
			}
		}
	}
	os.Exit(code)
}
