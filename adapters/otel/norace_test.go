//go:build !race

package otelgate_test

func raceEnabled() bool { return false }
