// Package grpcweb serves an API of gRPC, behind the gate of adapters/grpc, to clients that do
// not speak gRPC: JSON over HTTP by grpc-gateway, and browsers by gRPC-Web and Connect. It is a
// recipe, with tests that run it:
//
//	conn, err := grpc.NewClient(address, …)               // to the server of gRPC
//	mux := grpcweb.Gateway()                              // for RegisterOrdersHandler(ctx, mux, conn) of generated code
//	web, err := grpcweb.Browsers(server)                  // the server of gRPC, for the others
//
// The server of gRPC decides, on every call, and nothing here does. A token arrives there as it
// was sent; a proof of DPoP and a client certificate are of the connection to the gateway and
// not of the call behind it, so that bound tokens are refused there: let the middleware of
// bearergate judge them in front of the gateway.
package grpcweb

import (
	"context"
	"maps"
	"net/http"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
)

// Gateway returns the mux of grpc-gateway that passes refusals on, and from a request nothing
// but Authorization.
//
// Connect it to the server over the network or in memory (bufconn), with
// RegisterOrdersHandler or RegisterOrdersHandlerClient. RegisterOrdersHandlerServer calls the
// implementation past the interceptors, and so past the gate.
func Gateway() *runtime.ServeMux {
	return runtime.NewServeMux(
		runtime.WithErrorHandler(Refusals),
		// Not runtime.LegacyHeaderMatcher: with it, Grpc-Metadata-Authorization is another
		// Authorization, which a proxy in front does not know, and every header that the server
		// trusts, of a forwarded certificate or address, can be set by anybody. Authorization
		// itself is passed on whatever is said here.
		runtime.WithIncomingHeaderMatcher(func(string) (string, bool) { return "", false }),
	)
}

// passedOn are what the gate sends with the trailers of a refusal.
var passedOn = []string{"WWW-Authenticate", "Retry-After", "DPoP-Nonce"}

// Refusals is the error handler of grpc-gateway, with what the gate says in metadata as the
// header that HTTP has for it. The handler that comes with grpc-gateway writes the message of
// the status into WWW-Authenticate, which is no challenge.
func Refusals(ctx context.Context, mux *runtime.ServeMux, m runtime.Marshaler, w http.ResponseWriter, r *http.Request, err error) {
	md, _ := runtime.ServerMetadataFromContext(ctx)
	header := http.Header{}
	for _, name := range passedOn {
		if values := md.TrailerMD.Get(name); len(values) > 0 {
			header[http.CanonicalHeaderKey(name)] = values
		}
	}
	runtime.DefaultHTTPErrorHandler(ctx, mux, m, &refusal{w, header}, r, err)
}

// refusal has the last word on the header.
type refusal struct {
	http.ResponseWriter
	header http.Header
}

func (w *refusal) WriteHeader(status int) {
	for _, name := range passedOn {
		w.Header().Del(name)
	}
	maps.Copy(w.Header(), w.header)
	w.Header().Set("Cache-Control", "no-store")
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (w *refusal) Unwrap() http.ResponseWriter { return w.ResponseWriter }
