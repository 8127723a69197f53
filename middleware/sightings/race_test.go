//go:build race

package sightings_test

// The race detector makes the simulation take twenty times as long. It has one goroutine.
const raceEnabled = true
