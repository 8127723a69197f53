//go:build race

package introspect_test

// hookRounds is smaller under the race detector, which does not survive tens of
// thousands of timers in a synctest bubble.
const hookRounds = 100
