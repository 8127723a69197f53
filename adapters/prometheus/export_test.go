package promgate

// The bounds of what a Metrics keeps.
const (
	MaxWords    = maxWords
	MaxChildren = maxChildren
)
