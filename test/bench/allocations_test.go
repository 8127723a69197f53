package bench

import (
	"bufio"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write what TestAllocations finds into testdata")

// What a call allocates is the same on every machine, for one release of Go: these are exact.
// Where one has changed on purpose, -update writes them anew.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("with the race detector, pools forget at random what they hold")
	}
	release := strings.Join(strings.Split(runtime.Version(), ".")[:2], ".")
	file := filepath.Join("testdata", "allocations-"+release+".txt")
	found := map[string]string{}
	for _, alg := range algorithms {
		w := newWorld(t, alg)
		for _, one := range w.ways(t, []string{w.token}) {
			if alg != "ES256" && one.name != "a new token" {
				continue
			}
			if one.prepare != nil {
				one.prepare(0, 1000)
			}
			i := 0
			n := testing.AllocsPerRun(200, func() {
				if err := one.call(t.Context(), i); err != nil {
					t.Error(err)
				}
				i++
			})
			found[alg+", "+one.name] = strconv.Itoa(int(n))
		}
	}
	if *update {
		var text strings.Builder
		for _, name := range slices.Sorted(maps.Keys(found)) {
			fmt.Fprintf(&text, "%s: %s\n", name, found[name])
		}
		require.NoError(t, os.WriteFile(file, []byte(text.String()), 0o644))
	}
	recorded, err := os.Open(file)
	if os.IsNotExist(err) && os.Getenv("BEARERGATE_ALLOCATIONS") != "required" {
		t.Skip("nobody has recorded what " + release + " allocates")
	}
	require.NoError(t, err)
	defer recorded.Close()
	want := map[string]string{}
	for lines := bufio.NewScanner(recorded); lines.Scan(); {
		name, n, _ := strings.Cut(lines.Text(), ": ")
		want[name] = n
	}
	require.Equal(t, want, found, "if that is meant, record it with -update, with every release of Go in testdata")
}
