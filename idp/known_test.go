package idp

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/issuers"
)

// Two admissions of one tenant: where one has heard that the tenant may not come any more,
// an older yes of the other is not found again.
func TestANoIsNotForgotten(t *testing.T) {
	for _, tt := range []struct {
		name string
		may  bool
		err  error
		kind error
	}{
		{name: "it may not", kind: bearergate.ErrInvalidToken},
		{name: "Lookup is broken", err: bearergate.ErrMisconfigured, kind: bearergate.ErrMisconfigured},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				may, wrong := true, error(nil)
				lookup := func(context.Context, string) (bool, error) { return may, wrong }
				of := newKnown()
				older, newer := admissionOf("a", lookup, of), admissionOf("a", lookup, of)
				require.NoError(t, newer.check(t.Context(), nil))
				require.NoError(t, older.check(t.Context(), nil), "it is the one that is kept")
				time.Sleep(admittedFor + time.Minute)
				may, wrong = tt.may, tt.err
				require.NoError(t, newer.check(t.Context(), nil), "nobody waits to hear it")
				synctest.Wait()
				require.ErrorIs(t, newer.check(t.Context(), nil), tt.kind)
				wrong = errors.New("down")
				require.ErrorIs(t, admissionOf("a", lookup, of).check(t.Context(), nil), bearergate.ErrUnavailable)
			})
		})
	}
}

// As many tenants are known as the router keeps verifiers for, whatever they are called.
func TestAllTenantsAreKnown(t *testing.T) {
	of := newKnown()
	for i := range issuers.DefaultMaxResolved {
		admissionOf(fmt.Sprint("tenant-", i), nil, of).say(time.Now(), nil)
	}
	require.Equal(t, issuers.DefaultMaxResolved, of.Len())
}
