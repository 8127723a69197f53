package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"sync"
	"text/tabwriter"
	"time"
)

// raced is where the answers to races are counted, beside the kinds.
var raced = len(kinds)

// figures are what was seen.
type figures struct {
	mu        sync.Mutex // guards the rest
	statuses  map[int]map[int]int
	took      map[int]*[256]int // how many answers took so long; each step a tenth longer
	faults    []string          // in the order of their first time
	played    map[string]int
	longest   map[string]time.Duration // recovery
	lags      map[string][]time.Duration
	rotations int
	revoked   int
	refused   int // revocations and purges that were not taken, and asked for again
	replayed  int // proofs that were sent again after Redis had failed
	junk      int
}

func (f *figures) add(k int, a answer) {
	longer := math.Log(max(1, float64(a.took.Microseconds()))) / math.Log(1.1)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.statuses == nil {
		f.statuses, f.took = map[int]map[int]int{}, map[int]*[256]int{}
	}
	if f.statuses[k] == nil {
		f.statuses[k], f.took[k] = map[int]int{}, new([256]int)
	}
	f.statuses[k][a.status]++
	f.took[k][min(int(longer), 255)]++
}

func (f *figures) change(what func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	what()
}

// fault notes that one was played, and how long it took until all was well after it.
func (f *figures) fault(name string, recovery time.Duration) {
	f.change(func() {
		if f.played == nil {
			f.played, f.longest = map[string]int{}, map[string]time.Duration{}
		}
		if f.played[name] == 0 {
			f.faults = append(f.faults, name)
		}
		f.played[name]++
		f.longest[name] = max(f.longest[name], recovery)
	})
}

// When something took its time.
const (
	whenWell     = "all is well"
	whileLate    = "the machine is late"
	whileFailing = "Redis fails"
)

// lagName is what lags are kept by.
func lagName(purge bool, when string) string {
	if purge {
		return "a purge, while " + when
	}
	return "a revocation, while " + when
}

// lag notes how long it took until all knew.
func (f *figures) lag(purge bool, when string, took time.Duration) {
	f.change(func() {
		if f.lags == nil {
			f.lags = map[string][]time.Duration{}
		}
		name := lagName(purge, when)
		f.lags[name] = append(f.lags[name], took)
	})
}

// unsent are the kinds of which no request was answered although there is a door for them.
func (w *world) unsent() (names []string) {
	w.figures.change(func() {
		for k := range kinds {
			if len(w.figures.statuses[k]) == 0 && w.through(kinds[k].through) != nil {
				names = append(names, kinds[k].name)
			}
		}
	})
	return names
}

// print prints what was seen, and returns the number of requests.
func (f *figures) print(out io.Writer) (requests int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "REQUEST\t200\t400\t401\t403\t503\tOTHER\tP50\tP99\t")
	for k := range len(kinds) + 1 {
		of, name := f.statuses[k], "DPoP, one proof four times at once"
		if k < len(kinds) {
			name = kinds[k].name
		}
		all := 0
		for _, n := range of {
			all += n
		}
		if all == 0 {
			fmt.Fprintf(t, "%s\t0\t\t\t\t\t\t\t\t\n", name)
			continue
		}
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%v\t%v\t\n", name, of[200], of[400], of[401], of[403], of[503],
			all-of[200]-of[400]-of[401]-of[403]-of[503], f.percentile(k, all, 50), f.percentile(k, all, 99))
		requests += all
	}
	_ = t.Flush()
	t = tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\nFAULT\tPLAYED\tLONGEST RECOVERY")
	for _, name := range f.faults {
		fmt.Fprintf(t, "%s\t%d\t%v\n", name, f.played[name], f.longest[name].Round(10*time.Millisecond))
	}
	fmt.Fprintln(t, "\nUNTIL ALL KNOW OF\tTIMES\tMEDIAN\t99 %\tMAX")
	for _, purge := range []bool{false, true} {
		for _, when := range []string{whenWell, whileLate, whileFailing} {
			f.printLags(t, lagName(purge, when))
		}
	}
	_ = t.Flush()
	return requests
}

func (f *figures) printLags(out io.Writer, name string) {
	all := f.lags[name]
	if len(all) == 0 {
		fmt.Fprintf(out, "%s\t0\n", name)
		return
	}
	slices.Sort(all)
	at := func(percent int) time.Duration {
		return all[min(len(all)-1, len(all)*percent/100)].Round(time.Millisecond)
	}
	fmt.Fprintf(out, "%s\t%d\t%v\t%v\t%v\n", name, len(all), at(50), at(99), all[len(all)-1].Round(time.Millisecond))
}

// percentile is what so many of a hundred stay below.
func (f *figures) percentile(k, all, percent int) time.Duration {
	sum, i := 0, 0
	for ; i < 255 && (sum+f.took[k][i])*100 < all*percent; i++ {
		sum += f.took[k][i]
	}
	return (time.Duration(math.Pow(1.1, float64(i+1))) * time.Microsecond).Round(time.Microsecond)
}
