//go:build race

package issuers_test

func raceEnabled() bool { return true }
