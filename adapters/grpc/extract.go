package grpcgate

import (
	"context"
	"errors"

	"google.golang.org/grpc/metadata"

	"github.com/bearergate/bearergate"
)

// extract returns what a call presents. DPoP counts even where nothing checks its proof:
// Authenticate refuses it then.
func (g *Gate) extract(ctx context.Context, fullMethod string) (c bearergate.Credentials, err error) {
	if g == nil || g.config.Extract == nil {
		return bearergate.ParseCredentials(metadata.ValueFromIncomingContext(ctx, "authorization"), bearergate.SchemeBearer, bearergate.SchemeDPoP)
	}
	err = bearergate.Guard(ctx, errExtract, func(ctx context.Context) (err error) {
		received, _ := received(ctx, fullMethod)
		c, err = g.config.Extract(received)
		return err
	})
	switch {
	case err != nil:
		return bearergate.Credentials{}, err
	case c.Raw.Reveal() == "":
		return bearergate.Credentials{}, errNoToken
	case c.Scheme == "":
		c.Scheme = bearergate.SchemeBearer
	}
	return c, nil
}

var (
	errNoToken = &bearergate.Error{Kind: bearergate.ErrMissingToken, Reason: bearergate.ReasonNoToken}
	errExtract = &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonInternal, Cause: errors.New("grpcgate: Extract")}
)
