package introspect_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bearergate/bearergate/introspect"
	"github.com/bearergate/bearergate/test/bubble"
	"github.com/stretchr/testify/require"
)

// What a fleet asks about one token that every process sees four times a second, in ten
// minutes: the table in docs/opaque.md, which is measured here.
func TestCallsOfAFleet(t *testing.T) {
	page, err := os.ReadFile("../docs/opaque.md")
	require.NoError(t, err)
	plain := func() introspect.Store { return newStore() }
	claims := func() introspect.Store { return &claimer{store: newStore(), claims: map[string]time.Time{}} }
	for _, tt := range []struct {
		processes                 int
		noStore, aStore, aClaimer int // calls, about
	}{
		{processes: 1, noStore: 27, aStore: 27, aClaimer: 27},
		{processes: 5, noStore: 135, aStore: 27, aClaimer: 28},
		{processes: 20, noStore: 540, aStore: 32, aClaimer: 28},
		{processes: 100, noStore: 2700, aStore: 33, aClaimer: 29},
	} {
		t.Run(fmt.Sprint(tt.processes), func(t *testing.T) {
			measure := func(name string, store func() introspect.Store, want int) {
				calls := callsOfAFleet(t, tt.processes, store)
				t.Logf("%d processes, %s: %d calls", tt.processes, name, calls)
				require.InEpsilon(t, want, calls, 0.3, name) // which of them asks first, and the end of an answer, are chance
			}
			measure("no Store", nil, tt.noStore)
			measure("a Store", plain, tt.aStore)
			measure("a Store with Claim", claims, tt.aClaimer)
			row := fmt.Sprintf("| %d | %d | %d | %d |", tt.processes, tt.noStore, tt.aStore, tt.aClaimer)
			require.Contains(t, strings.ReplaceAll(string(page), ",", ""), row, "docs/opaque.md")
		})
	}
}

func callsOfAFleet(t *testing.T, processes int, store func() introspect.Store) (calls int) {
	bubble.Test(t, func(t *testing.T) {
		s := newServer()
		s.delay = 20 * time.Millisecond
		c := config(s)
		if store != nil {
			c = sharing(s, store())
		}
		var wg sync.WaitGroup
		for i := range processes {
			wg.Go(func() {
				client := newClient(t, c)
				time.Sleep(time.Duration(i) * 2 * time.Second / time.Duration(processes)) // they do not start together
				for end := time.Now().Add(10 * time.Minute); time.Now().Before(end); time.Sleep(250 * time.Millisecond) {
					requireAccepted(t, client, opaque)
				}
			})
		}
		wg.Wait()
		time.Sleep(time.Minute)
		calls = s.requests()
	})
	return calls
}

// Who hears that another process renews an answer looks again in a while, and not at once.
func TestWhoAsksWhetherAnAnswerIsRenewed(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newServer()
		others := &taken{store: newStore()}
		client := newClient(t, sharing(s, others))
		begun := time.Now()
		var asked []time.Duration
		for time.Since(begun) < introspect.DefaultPositiveTTL*89/100 { // it has a random life, of 90 % at least
			before := others.claims.Load()
			requireAccepted(t, client, opaque)
			if synctest.Wait(); others.claims.Load() > before {
				asked = append(asked, time.Since(begun))
			}
			time.Sleep(10 * time.Millisecond)
		}
		require.GreaterOrEqual(t, len(asked), 2)
		for i, d := range asked[1:] { // first after four fifths, then each time after a twentieth
			require.InDelta(t, asked[0]/16+5*time.Millisecond, d-asked[i], float64(6*time.Millisecond))
		}
		require.Equal(t, 1, s.requests())
		time.Sleep(time.Minute)
	})
}

// Who waits for a call that another process turns out to make asks by itself.
func TestAnAnswerEndsWhileAnotherProcessRenewsIt(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := newServer()
		client := newClient(t, with(sharing(s, &taken{store: newStore(), takes: 90 * time.Millisecond}), func(c *introspect.Config) {
			c.PositiveTTL = 200 * time.Millisecond // and a tenth less at most
		}))
		for range 4 { // it is in use
			requireAccepted(t, client, opaque)
		}
		time.Sleep(165 * time.Millisecond)
		requireAccepted(t, client, opaque) // starts the call that is none
		time.Sleep(40 * time.Millisecond)
		start := time.Now()
		requireAccepted(t, client, opaque)
		require.Equal(t, 50*time.Millisecond, time.Since(start))
		require.Equal(t, 2, s.requests())
		time.Sleep(time.Second)
	})
}

// taken is a Store in which every answer is being renewed by another process.
type taken struct {
	*store

	claims atomic.Int32
	takes  time.Duration
}

func (s *taken) Claim(context.Context, string, time.Duration) (bool, error) {
	s.claims.Add(1)
	time.Sleep(s.takes)
	return false, nil
}
