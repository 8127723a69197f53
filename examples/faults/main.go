// Faults shows what an authorization server, and strangers, can do to a resource
// server, and what bearergate makes of it: rotation, outages, floods of forged
// tokens, nonsense instead of keys (S1 to S8) and of introspection answers (F1 to
// F12). It prints one line per fault and exits with an error if one is not met.
//
//	go run ./examples/faults
//
// Nearly everything runs in this process, over real HTTP in memory, in some seconds
// of real time; for F12 there is a second process, which is stopped. For that,
// intervals are scaled. Of the key cache, the 10 s between two fetches for unknown
// keys are 1 s here, the TTL of 10 min is 0.3 s, the hour for which stale keys are
// served 1.5 s, and the 5 s that a fetch may take 0.5 s. Of introspection, the 3 s
// that a call may take are 1 s, and an answer is remembered for 0.3 s where that
// matters. The backoff after failures, from 1 s, is as it is.
package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"text/tabwriter"
	"time"
)

// slack is for a machine that is busy with other things.
const slack = 500 * time.Millisecond

func main() {
	if text, ok := os.LookupEnv(frozenEnv); ok { // for F12: this is the process that is stopped
		if err := frozenChild(text, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "faults:", err)
			os.Exit(1)
		}
		return
	}
	if err := run(os.Stdout, keyFaults(), slices.Concat(introspectionFaults(), frozenFaults())); err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		os.Exit(1)
	}
}

// row is one fault: what must show, and the code that brings it about and says
// what was seen.
type row struct {
	id, fault, must string
	alone           bool // nothing else may run meanwhile
	try             func() (seen string, ok bool, err error)
}

type result struct {
	seen string
	ok   bool
	err  error
}

// run plays all faults, one suite after the other, and prints what came of them.
func run(out io.Writer, suites ...[]row) error {
	rows, results := slices.Concat(suites...), []result{}
	for _, suite := range suites {
		results = append(results, play(suite)...)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\tFAULT\tMUST SHOW\tSEEN\tOK")
	failed := 0
	for i, r := range rows {
		verdict := "ok"
		if results[i].err != nil {
			results[i].seen = results[i].err.Error()
		}
		if !results[i].ok || results[i].err != nil {
			verdict = "NOT MET"
			failed++
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", r.id, r.fault, r.must, results[i].seen, verdict)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d not met", failed, len(rows))
	}
	fmt.Fprintf(out, "\nall %d met\n", len(rows))
	return nil
}

// play plays the faults of a suite side by side, and then those that must be alone.
func play(rows []row) []result {
	results := make([]result, len(rows))
	try := func(i int) { results[i].seen, results[i].ok, results[i].err = rows[i].try() }
	var wg sync.WaitGroup
	for i, r := range rows {
		if !r.alone {
			wg.Go(func() { try(i) })
		}
	}
	wg.Wait()
	for i, r := range rows {
		if r.alone {
			try(i)
		}
	}
	return results
}
