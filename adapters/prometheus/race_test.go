//go:build race

package promgate_test

func raceEnabled() bool { return true }
