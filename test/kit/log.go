package kit

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/bearergate/bearergate/internal/feed"
)

// Log is what the processes of a fleet share (revocation.Log), in memory, with what goes
// wrong with real ones. The zero Log is empty.
type Log struct {
	mu      sync.Mutex // guards what follows
	records []feed.Record
	fault   func(ctx context.Context, call string) error
	loses   bool
	calls   map[string]int
}

// Append is as the interface has it.
func (l *Log) Append(ctx context.Context, records ...feed.Record) error {
	if err := l.begin(ctx, "Append"); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.loses {
		for _, r := range records {
			l.records = append(l.records, feed.Record{Data: append([]byte(nil), r.Data...), Until: r.Until})
		}
	}
	return nil
}

// Read is as the interface has it. A place beyond the end is one at the end: nothing is
// read there until the log is longer again.
func (l *Log) Read(ctx context.Context, after string, limit int) ([][]byte, string, error) {
	if err := l.begin(ctx, "Read"); err != nil {
		return nil, "", err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	from, _ := strconv.Atoi(after) // "" is 0
	var data [][]byte
	to := from
	for ; to < len(l.records) && len(data) < limit; to++ {
		if !l.records[to].Until.Before(time.Now()) {
			data = append(data, append([]byte(nil), l.records[to].Data...))
		}
	}
	if to == 0 {
		return data, "", nil
	}
	return data, strconv.Itoa(to), nil
}

func (l *Log) begin(ctx context.Context, call string) error {
	l.mu.Lock()
	fault := l.fault
	if l.calls == nil {
		l.calls = map[string]int{}
	}
	l.calls[call]++
	l.mu.Unlock()
	if fault != nil {
		return fault(ctx, call)
	}
	return nil
}

// Calls is how often a method was called.
func (l *Log) Calls(call string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls[call]
}

// Fault has every call answered by f, with the name of the method, unless f returns nil;
// nil ends that.
func (l *Log) Fault(f func(ctx context.Context, call string) error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fault = f
}

// Hang is a fault: the call ends with its context.
func Hang(ctx context.Context, _ string) error {
	<-ctx.Done()
	return ctx.Err()
}

// Lose takes away the last n records, as a store that has failed over to a machine that had
// not heard of them.
func (l *Log) Lose(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records = l.records[:max(0, len(l.records)-n)]
}

// Forget takes away the last n records, and what comes later has later places than they had:
// as a store whose places are times, and whose clients do not notice that it fails over.
func (l *Log) Forget(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := max(0, len(l.records)-n); i < len(l.records); i++ {
		l.records[i] = feed.Record{} // one that has ended
	}
}

// CutOff has the log forget whatever is appended, as a machine that is cut off from the
// one that took its place, until it is called with false.
func (l *Log) CutOff(yes bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.loses = yes
}

// Put appends data that none of the processes need have written.
func (l *Log) Put(data []byte, until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records = append(l.records, feed.Record{Data: data, Until: until})
}

// Data is what the records hold whose time has not ended.
func (l *Log) Data() (all [][]byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.records {
		if !r.Until.Before(time.Now()) {
			all = append(all, r.Data)
		}
	}
	return all
}
