package otelgate

// The bounds of what a Telemetry keeps.
const (
	MaxShared = maxShared
	MaxSeries = maxSeries
)

// Sizes are how many shared spans, series of fetches and other series are kept.
func Sizes(t *Telemetry) []int {
	return []int{len(t.shared.links), len(*t.fetchSeries.made.Load()), len(*t.otherSeries.made.Load())}
}
