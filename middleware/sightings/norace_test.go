//go:build !race

package sightings_test

const raceEnabled = false
