package bearergate_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/test/kit"
)

func TestExtractCredentials(t *testing.T) {
	token := bearergate.NewSecret("x")
	broken := &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonInternal, Cause: errors.New("Extract")}
	for name, row := range map[string]struct {
		sent   bearergate.Credentials
		err    error
		panics bool
		want   bearergate.Credentials // zero: refused
		kind   error
		reason bearergate.Reason
	}{
		"a scheme":                 {sent: bearergate.Credentials{Scheme: bearergate.SchemeDPoP, Raw: token}, want: bearergate.Credentials{Scheme: bearergate.SchemeDPoP, Raw: token}},
		"no scheme":                {sent: bearergate.Credentials{Raw: token}, want: bearergate.Credentials{Scheme: bearergate.SchemeBearer, Raw: token}},
		"no token":                 {kind: bearergate.ErrMissingToken, reason: bearergate.ReasonNoToken},
		"a scheme alone":           {sent: bearergate.Credentials{Scheme: bearergate.SchemeBearer}, kind: bearergate.ErrMissingToken, reason: bearergate.ReasonNoToken},
		"credentials and an error": {sent: bearergate.Credentials{Raw: token}, err: bearergate.ErrInvalidRequest, kind: bearergate.ErrInvalidRequest, reason: bearergate.ReasonBadRequest},
		"an outage":                {sent: bearergate.Credentials{Raw: token}, err: context.DeadlineExceeded, kind: bearergate.ErrUnavailable, reason: bearergate.ReasonStoreUnavailable},
		"any other error":          {sent: bearergate.Credentials{Raw: token}, err: errors.New("no"), kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonInternal},
		"a panic":                  {panics: true, kind: bearergate.ErrMisconfigured, reason: bearergate.ReasonInternal},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := bearergate.ExtractCredentials(t.Context(), broken, func(context.Context) (bearergate.Credentials, error) {
				if row.panics {
					panic("boom")
				}
				return row.sent, row.err
			})
			require.Equal(t, row.want.Scheme, got.Scheme)
			require.Equal(t, row.want.Raw.Reveal(), got.Raw.Reveal())
			if row.kind == nil {
				require.NoError(t, err)
				return
			}
			kit.RequireError(t, err, row.kind, row.reason)
		})
	}
}
