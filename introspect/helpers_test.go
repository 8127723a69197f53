package introspect_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/bearergate/bearergate"
	"github.com/stretchr/testify/require"
)

var (
	unavailable   = bearergate.ErrUnavailable
	misconfigured = bearergate.ErrMisconfigured
	invalid       = bearergate.ErrInvalidToken
)

// many has n callers verify at once, and returns when all have answers.
func many(t *testing.T, v bearergate.Verifier, n int, token func(i int) string) {
	t.Helper()
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { _, errs[i] = v.Verify(context.Background(), token(i)) })
	}
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
}
