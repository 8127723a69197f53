package bearergate_test

import (
	"testing"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/scope"
	"github.com/stretchr/testify/require"
)

// attacks: SCP-001, SCP-017
func TestAuthorize(t *testing.T) {
	tok := bearergate.NewToken(bearergate.Claims{Scopes: scope.Of("read", "write", "*")})
	for _, tc := range []struct {
		name   string
		r      scope.Requirement
		scopes []string // nil: authorized
		cause  bool
	}{
		{"nothing required", scope.Requirement{}, nil, false},
		{"one", scope.All("read"), nil, false},
		{"all", scope.All("read", "write"), nil, false},
		{"any", scope.Any("admin", "write"), nil, false},
		{"nested", scope.AllOf(scope.All("read"), scope.Any("admin", "write")), nil, false},
		{"missing one", scope.All("read", "admin"), []string{"read", "admin"}, false},
		{"none of", scope.Any("admin", "root"), []string{"admin", "root"}, false},
		{"another case", scope.All("READ"), []string{"READ"}, false},
		{"a prefix", scope.All("rea"), []string{"rea"}, false},
		{"no wildcard", scope.All("other"), []string{"other"}, false},
		{"no names", scope.All(), []string{}, true},
		{"any of no names", scope.Any(), []string{}, true},
		{"a bad name", scope.All("read", "wr ite"), []string{"read"}, true},
		{"any with a bad name", scope.Any("read", ""), []string{"read"}, true},
		{"nothing combined", scope.AllOf(), []string{}, true},
		{"zeros combined", scope.AllOf(scope.Requirement{}), []string{}, true},
		{"any of zero", scope.AnyOf(scope.Requirement{}, scope.All("read")), []string{"read"}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := tok.Authorize(tc.r)
			if tc.scopes == nil {
				require.NoError(t, err)
				return
			}
			requireKind(t, err, bearergate.ErrInsufficientScope, bearergate.ReasonScope)
			e := bearergate.AsError(err)
			require.ElementsMatch(t, tc.scopes, e.Scopes)
			require.Equal(t, tc.cause, e.Cause != nil)
			if tc.cause {
				require.ErrorIs(t, err, tc.r.Err())
			}
			for i := range e.Scopes { // the caller's copy
				e.Scopes[i] = "changed"
			}
			require.ElementsMatch(t, tc.scopes, bearergate.AsError(tok.Authorize(tc.r)).Scopes)
		})
	}
	t.Run("no scopes", func(t *testing.T) {
		none := bearergate.NewToken(bearergate.Claims{})
		require.NoError(t, none.Authorize(scope.Requirement{}))
		requireKind(t, none.Authorize(scope.Any("read")), bearergate.ErrInsufficientScope, bearergate.ReasonScope)
	})
}
