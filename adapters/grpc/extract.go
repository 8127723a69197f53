package grpcgate

import (
	"context"
	"errors"

	"google.golang.org/grpc/metadata"

	"github.com/bearergate/bearergate"
)

// extract returns what a call presents. DPoP counts even where nothing checks its proof:
// Authenticate refuses it then.
func (g *Gate) extract(ctx context.Context, fullMethod string) (bearergate.Credentials, error) {
	if g == nil || g.config.Extract == nil {
		return bearergate.ParseCredentials(metadata.ValueFromIncomingContext(ctx, "authorization"), bearergate.SchemeBearer, bearergate.SchemeDPoP)
	}
	return bearergate.ExtractCredentials(ctx, errExtract, func(ctx context.Context) (bearergate.Credentials, error) {
		received, _ := received(ctx, fullMethod)
		return g.config.Extract(received)
	})
}

var errExtract = &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonInternal, Cause: errors.New("grpcgate: Extract")}
