package bearergate_test

import (
	"context"
	"testing"

	"github.com/bearergate/bearergate"
	"github.com/stretchr/testify/require"
)

func TestContext(t *testing.T) {
	token := bearergate.NewToken(bearergate.Claims{Subject: "alice"})
	other := bearergate.NewToken(bearergate.Claims{Subject: "bob"})
	ctx := bearergate.NewContext(t.Context(), token)
	type key struct{}

	for _, tc := range []struct {
		name string
		ctx  context.Context
		want *bearergate.Token
	}{
		{"a token", ctx, token},
		{"below other values", context.WithValue(ctx, key{}, other), token},
		{"without cancel", context.WithoutCancel(ctx), token},
		{"the last one", bearergate.NewContext(ctx, other), other},
		{"none", t.Context(), nil},
		{"nil context", nil, nil},
		{"nil token", bearergate.NewContext(t.Context(), nil), nil},
		{"nil token hides", bearergate.NewContext(ctx, nil), nil},
		{"zero token hides", bearergate.NewContext(ctx, &bearergate.Token{}), nil},
		{"under another key", context.WithValue(t.Context(), key{}, token), nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, ok := bearergate.FromContext(tc.ctx)
			require.Equal(t, tc.want != nil, ok)
			require.Same(t, tc.want, got)
		})
	}
}
