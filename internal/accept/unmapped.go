package accept

import (
	"slices"
	"sync"
	"sync/atomic"
)

// The numbers of tokens after which a path that none of them had is told of.
const (
	unmappedFirst = 100
	unmappedAgain = 10 * unmappedFirst
)

// Unmapped finds the paths that a Map looks for and that no token has. It keeps those that
// the first token lacked, less those that a later one had or was not asked about. So it
// grows no further, and has nothing to do any more when none is left, or all was told.
// The zero value is ready. It is safe for concurrent use.
type Unmapped struct {
	over   atomic.Bool
	mu     sync.Mutex // guards the following
	tokens int
	never  []string
}

// Note takes what a Map did not find in a token that was accepted. It returns the paths to
// tell of now, and how many tokens have lacked them.
func (u *Unmapped) Note(missing []string) (never []string, tokens int) {
	if u == nil || u.over.Load() {
		return nil, 0
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.tokens++; u.tokens == 1 {
		u.never = slices.Clone(missing)
	} else {
		u.never = slices.DeleteFunc(u.never, func(path string) bool { return !slices.Contains(missing, path) })
	}
	switch {
	case len(u.never) == 0 || u.tokens > unmappedAgain: // others may have been on their way here
		u.over.Store(true)
	case u.tokens == unmappedAgain:
		u.over.Store(true)
		return slices.Clone(u.never), u.tokens
	case u.tokens == unmappedFirst:
		return slices.Clone(u.never), u.tokens
	}
	return nil, 0
}
