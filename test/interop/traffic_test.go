package interop_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	workers = 4
	pace    = 5 * time.Millisecond // from one request of a worker to its next
)

// traffic is requests that keep coming while a test does something.
type traffic struct {
	cancel context.CancelFunc
	group  sync.WaitGroup

	mu      sync.Mutex // guards the rest
	changed *sync.Cond
	count   map[verdict]int
	total   int
	wrong   []error
	late    bool
}

// drive starts traffic. request sends one request, and its error says that the
// verdict is not what it must be; worker is its own, so that it needs no lock
// for what only that uses.
func drive(t *testing.T, request func(ctx context.Context, worker, n int) (verdict, error)) *traffic {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	d := &traffic{cancel: cancel, count: map[verdict]int{}}
	d.changed = sync.NewCond(&d.mu)
	for worker := range workers {
		d.group.Go(func() {
			tick := time.NewTicker(pace)
			defer tick.Stop()
			for n := 0; ; n++ {
				select {
				case <-tick.C:
				case <-ctx.Done():
					return
				}
				got, err := request(ctx, worker, n)
				if ctx.Err() != nil {
					return // cut short by the end of the test
				}
				d.note(got, err)
			}
		})
	}
	t.Cleanup(func() { d.end() })
	return d
}

func (d *traffic) note(got verdict, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.count[got]++
	d.total++
	if err != nil {
		d.wrong = append(d.wrong, err)
	}
	d.changed.Broadcast()
}

// until returns when done does, which is asked after every request.
func (d *traffic) until(t *testing.T, what string, done func(count map[verdict]int, total int) bool) {
	t.Helper()
	timer := time.AfterFunc(patience, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.late = true
		d.changed.Broadcast()
	})
	defer timer.Stop()
	d.mu.Lock()
	defer d.mu.Unlock()
	for len(d.wrong) == 0 && !done(d.count, d.total) {
		require.False(t, d.late, "waited in vain for: %s; so far %v", what, d.count)
		d.changed.Wait()
	}
	require.Empty(t, d.wrong, "while waiting for: %s", what)
}

// more returns after so many further requests.
func (d *traffic) more(t *testing.T, n int) {
	t.Helper()
	d.mu.Lock()
	goal := d.total + n
	d.mu.Unlock()
	d.until(t, fmt.Sprintf("%d more requests", n), func(_ map[verdict]int, total int) bool { return total >= goal })
}

func (d *traffic) end() (map[verdict]int, []error) {
	d.cancel()
	d.group.Wait()
	return d.count, d.wrong // nobody else is left
}

// stop ends the traffic, in which nothing must have gone wrong.
func (d *traffic) stop(t *testing.T) map[verdict]int {
	t.Helper()
	count, wrong := d.end()
	require.Empty(t, wrong)
	t.Log("answers:", count)
	return count
}

// must is the error of a verdict that is not among those allowed.
func must(got verdict, allowed ...verdict) error {
	if slices.Contains(allowed, got) {
		return nil
	}
	return fmt.Errorf("%v instead of one of %v", got, allowed)
}
