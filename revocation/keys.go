package revocation

import (
	"context"
	"sync"
	"time"

	"github.com/bearergate/bearergate/internal/guard"
	"github.com/bearergate/bearergate/jwks"
)

const (
	refetchTimeout = 10 * time.Second
	refetchTries   = 5
	refetchPause   = 2 * time.Second // doubled after each failure
)

// keys has the keys of issuers fetched again.
//
//   - What bounds it: one goroutine for each cache that is watched, refetchTries of
//     refetchTimeout each. An Entry that comes in meanwhile has the keys fetched once more.
//   - Who can fill it: whoever adds entries.
//   - Who can steer it: the issuer, which can be slow. Its keys are fetched by their own
//     schedule anyway.
//   - What the caller sees when it is full: nothing; the Entry refuses all the same.
type keys struct {
	told func(context.Context, RefetchEvent)

	mu      sync.Mutex // guards what follows
	watched []*watched
}

// refresher is a source of keys that can fetch them: a [jwks.Cache].
type refresher interface {
	Issuer() string
	Refresh(ctx context.Context) error
}

// watched is a source of keys.
type watched struct {
	cache  refresher
	busy   bool
	wanted bool // again, while busy
}

func (k *keys) watch(source jwks.Source) {
	c, ok := source.(refresher)
	k.mu.Lock()
	defer k.mu.Unlock()
	if ok && !guard.IsNil(c) {
		k.watched = append(k.watched, &watched{cache: c})
	}
}

// refetch has the keys of an issuer fetched in the background.
func (k *keys) refetch(issuer string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, w := range k.watched {
		if w.cache.Issuer() != issuer {
			continue
		}
		if w.wanted = true; !w.busy {
			w.busy = true
			go k.run(w)
		}
	}
}

func (k *keys) run(w *watched) {
	for k.more(w) {
		pause := refetchPause
		for try := range refetchTries {
			if try > 0 {
				<-time.After(pause)
				pause *= 2
			}
			if k.fetch(w.cache) == nil {
				break
			}
		}
	}
}

func (k *keys) fetch(c refresher) error {
	ctx, cancel := context.WithTimeout(context.Background(), refetchTimeout)
	defer cancel()
	err := guard.Call(func() error { return c.Refresh(ctx) }, nil) // its panic is not worth the process
	if k.told != nil {
		k.told(ctx, RefetchEvent{Issuer: c.Issuer(), Err: err})
	}
	return err
}

func (k *keys) more(w *watched) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	w.busy, w.wanted = w.wanted, false
	return w.busy
}
