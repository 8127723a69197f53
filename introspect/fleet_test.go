package introspect_test

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
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
