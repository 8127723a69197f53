//go:build race

package strictjson_test

func raceEnabled() bool { return true }
