// Package bubble runs tests in the fake time of testing/synctest.
package bubble

import (
	"crypto/fips140"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
)

// Test is [synctest.Test], which with it works in FIPS 140-3 mode too. There the
// random generator is seeded from the jitter of the processor's clock, and in a
// bubble the clock stands still, so that the seed fails its health tests. In that
// mode, and in that mode only, the test draws from a stream of its own.
func Test(t *testing.T, f func(*testing.T)) {
	t.Helper()
	if fips140.Enabled() {
		cryptotest.SetGlobalRandom(t, 1)
	}
	synctest.Test(t, f)
}
