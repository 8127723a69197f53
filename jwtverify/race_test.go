//go:build race

package jwtverify_test

func raceEnabled() bool { return true }
