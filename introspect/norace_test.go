//go:build !race

package introspect_test

const hookRounds = 2000
